"""Checks of lesson 12, the way forward; convolution_backward holds the gradients and the layer."""

import torch
from torch.nn import functional as F

from course_lib.checks import check, require
from course_lib.checks.convolution_backward import conv2d_layer, conv_backward, fold
from course_lib.checks.convolution_probes import SETTINGS, require_none_of, require_shape
from course_lib.checks.probes import TOLERANCE, differs, normal

__all__ = [
    "conv2d_layer",
    "conv_backward",
    "conv_einsum",
    "conv_forward",
    "conv_loops",
    "conv_matrix",
    "dilate",
    "fold",
    "unfold",
]


@check("convolution.conv_loops")
def conv_loops(function):
    """Compare with torch on an oblong picture and an oblong kernel."""
    x, w = normal(6, 9, seed=1), normal(3, 2, seed=2)
    y = function(x, w)
    expected = F.conv2d(x[None, None], w[None, None])[0, 0]
    require_shape(y, expected, "for a 6x9 picture and a 3x2 kernel y", "Only whole windows count.")
    flipped = F.conv2d(x[None, None], w.flip(0, 1)[None, None])[0, 0]
    require_none_of(
        y,
        expected,
        {
            "the kernel is applied upside down and mirrored: this lesson, like torch, lays w[0, 0] "
            "on the upper left pixel of the window.": flipped,
            "you take the mean of the products; a convolution is their sum.": expected / w.numel(),
        },
    )
    require(
        differs(y, expected) < TOLERANCE,
        f"y[0, 0] should be {expected[0, 0]:.4f}, yours is {y[0, 0]:.4f}. The window that begins "
        "at (i, j) is x[i : i + kh, j : j + kw], rows first; multiply it with w and sum.",
    )
    return (
        "a 6x9 picture under a 3x2 kernel: every window summed, no flip, rows and columns in place"
    )


def _columns(x, kernel, stride, padding):
    """Cut windows out one by one: slow, and written unlike the lesson."""
    kh, kw = kernel
    x = F.pad(x, (padding,) * 4)
    tops = range(0, x.shape[2] - kh + 1, stride)
    lefts = range(0, x.shape[3] - kw + 1, stride)
    cut = [x[:, :, i : i + kh, j : j + kw].reshape(len(x), -1) for i in tops for j in lefts]
    return torch.stack(cut, dim=2)


@check("convolution.unfold")
def unfold(function):
    """Compare with windows cut out one by one, for several strides and paddings."""
    x, kernel = normal(2, 3, 7, 10, seed=3), (3, 2)
    for stride, padding in SETTINGS:
        columns, expected = (f(x, kernel, stride, padding) for f in (function, _columns))
        told = f"for x (2, 3, 7, 10), kernel (3, 2), stride {stride} and padding {padding}"
        require_shape(
            columns,
            expected,
            f"{told} the result",
            "Is the height cut by kh and the width by kw, both by the same stride, after a frame "
            "of zeros on all four sides?",
        )
        require_none_of(columns, expected, _mistaken_columns(x, kernel, stride, padding))
        reordered = differs(columns.sort(dim=1).values, expected.sort(dim=1).values) < TOLERANCE
        require(
            differs(columns, expected) < TOLERANCE or not reordered,
            f"{told} each column holds the right numbers in a wrong order. The rows go channel "
            "first, then u, then v: permute to (B, C, kh, kw, H', W') before you flatten.",
        )
        require(
            differs(columns, expected) < TOLERANCE,
            f"{told} the columns are not the windows, row by row of the picture: off by "
            f"{differs(columns, expected):.2g}.",
        )
    return "all windows of oblong pictures, in the order c, u, v, for four strides and paddings"


def _mistaken_columns(x, kernel, stride, padding) -> dict:
    lopsided = _columns(F.pad(x, (2 * padding, 0, 2 * padding, 0)), kernel, stride, 0)
    B, n, _ = lopsided.shape
    rows = (x.shape[2] + 2 * padding - kernel[0]) // stride + 1
    swapped = _columns(x, kernel, stride, padding).view(B, n, rows, -1).mT.flatten(2)
    return {
        "the frame of zeros stands on one side only: F.pad takes (left, right, top, bottom), and "
        "each gets `padding`.": lopsided,
        "the windows run down the picture, column by column; they should go along its rows: i "
        "before j in the last axis.": swapped,
    }


def _compare_forward(function):
    """Compare a function with torch's conv2d: square kernels, then oblong ones."""
    for size in ((3, 3), (3, 2)):
        for stride, padding in SETTINGS:
            for bias in (None, normal(4, seed=6)):
                _compare_one(function, normal(4, 3, *size, seed=5), bias, stride, padding)


def _compare_one(function, weight, bias, stride, padding):
    x = normal(2, 3, 8, 11, seed=4)
    expected = F.conv2d(x, weight, bias, stride, padding)
    y = function(x, weight, bias, stride, padding)
    told = f"x (2, 3, 8, 11), kernels {tuple(weight.shape)}, stride {stride}, padding {padding}"
    advice = "Height comes before width, and both obey stride and padding."
    require_shape(y, expected, f"{told}: y", advice)
    require_none_of(y, expected, _mistaken_forward(x, weight, bias, stride, padding))
    require(
        differs(y, expected) < TOLERANCE,
        f"{told}: off from torch by {differs(y, expected):.2g}. Y = W X + b with one row of W per "
        "kernel, flattened in the order c, u, v.",
    )


def _mistaken_forward(x, weight, bias, stride, padding) -> dict:
    zero = torch.zeros(len(weight)).to(x)
    bias = zero if bias is None else bias
    right = F.conv2d(x, weight, bias, stride, padding)
    lopsided = F.pad(x, (2 * padding, 0, 2 * padding, 0))
    return {
        "the bias is accepted and ignored: add bias[k] to every place of channel k.": right
        - bias[:, None, None],
        "the kernel is applied upside down and mirrored; torch does not flip it.": F.conv2d(
            x, weight.flip(2, 3), bias, stride, padding
        ),
        "the frame of zeros stands on one side only.": F.conv2d(lopsided, weight, bias, stride),
        "only the first input channel is used: the sum runs over all channels.": F.conv2d(
            x[:, :1], weight[:, :1], bias, stride, padding
        ),
        "you average over the input channels; a convolution sums over them.": F.conv2d(
            x, weight / x.shape[1], bias, stride, padding
        ),
    }


BIAS = (
    "without a bias it runs, with one the shapes clash. The product is (B, C', H' W'); until "
    "its last axis is split the bias meets it as bias[:, None], after that as bias[:, None, None]."
)


@check("convolution.conv_forward")
def conv_forward(function):
    """Compare the matrix product with torch's convolution."""

    def explained(x, weight, bias, *settings):
        try:
            return function(x, weight, bias, *settings)
        except RuntimeError as error:
            require(bias is None or "size of tensor" not in str(error), f"{BIAS} ({error})")
            raise

    _compare_forward(explained)
    return (
        "equal to torch in float64 for oblong pictures and kernels, three channels to four, four "
        "strides and paddings, with and without a bias"
    )


@check("convolution.conv_einsum")
def conv_einsum(function):
    """Compare the mended einsum with torch's convolution."""
    _compare_forward(function)
    return "equal to torch where height and width differ, with bias, stride and an even frame"


@check("convolution.conv_matrix")
def conv_matrix(function):
    """Compare T x with the convolution, and T' g with autograd's gradient."""
    H, W, w = 5, 7, normal(3, 2, seed=7)
    x = normal(H, W, seed=8).requires_grad_()
    y = F.conv2d(x[None, None], w[None, None]).flatten()
    T = function(w, H, W)
    require(
        getattr(T, "shape", None) != (H * W, len(y)),
        "the matrix is the transpose of what is asked for: row = pixel of the answer, column = "
        "pixel of the picture.",
    )
    shape = torch.empty(len(y), H * W)
    require_shape(T, shape, "for a 5x7 picture and a 3x2 kernel T", "Nothing is padded here.")
    expected = y.detach()
    flipped = F.conv2d(x[None, None], w.flip(0, 1)[None, None]).flatten().detach()
    require(
        differs(T @ x.detach().flatten(), flipped) > TOLERANCE,
        "the kernel in the matrix is flipped.",
    )
    require(
        differs(T @ x.detach().flatten(), expected) < TOLERANCE,
        "T @ x.flatten() is not the convolution. Column p is the answer to a picture whose only "
        "bright pixel is number p, counted row by row (H rows of W pixels).",
    )
    g = normal(len(y), seed=9)
    gradient = torch.autograd.grad(y, x, g)[0].flatten()
    require(differs(T.T @ g, gradient) < TOLERANCE, "T' g is not the gradient of the input.")
    return "T x is the convolution, T' g is autograd's gradient with respect to the input"


@check("convolution.dilate")
def dilate(function):
    """Compare convolutions by the spread kernel with torch's dilated convolution."""
    x, weight = normal(2, 3, 13, 16, seed=10), normal(4, 3, 3, 2, seed=11)
    for d in (1, 2, 3):
        wide = function(weight, d)
        shape = torch.empty(4, 3, 2 * d + 1, d + 1)
        told = f"(4, 3, 3, 2) spread by d = {d}"
        require_shape(wide, shape, told, "k weights have k - 1 gaps between them.")
        require(
            int((wide != 0).sum()) == weight.numel(),
            "only the weights themselves may be different from zero; what lies between is zero.",
        )
        gap = differs(F.conv2d(x, wide), F.conv2d(x, weight, dilation=d))
        require(
            gap < TOLERANCE,
            f"with d = {d} the answers differ from torch's dilation={d} by {gap:.2g}. The weights "
            "belong at every d-th place, beginning at 0, in both directions.",
        )
    return "equal to torch's dilation 1, 2 and 3 for an oblong kernel"
