"""Checks of lesson 12, the way back: fold as an adjoint, the three gradients, the layer."""

from types import SimpleNamespace

import torch
from torch import nn
from torch.nn import functional as F

from course_lib.checks import check, require
from course_lib.checks.convolution_probes import SETTINGS, require_none_of, require_shape
from course_lib.checks.probes import TOLERANCE, differs, normal


@check("convolution.fold")
def fold(function):
    """Compare <unfold(x), c> with <x, fold(c)>, and every pixel with torch's fold."""
    size, kernel = (7, 10), (3, 2)
    for stride, padding in SETTINGS:
        x = normal(2, 3, *size, seed=1)
        columns = F.unfold(x, kernel, 1, padding, stride)
        c = normal(*columns.shape, seed=2)
        back = function(c, size, kernel, stride, padding)
        told = f"with kernel (3, 2), stride {stride} and padding {padding}"
        require_shape(back, x, f"{told} the result", "Cut the frame off on all four sides.")
        here, there = (columns * c).sum(), (x * back).sum()
        expected = F.fold(c, size, kernel, 1, padding, stride)
        shared = F.fold(torch.ones_like(c), size, kernel, 1, padding, stride).clamp(min=1)
        mistakes = {
            "where windows overlap the last one wins: add to what is there (+=), do not write over "
            "it. A pixel of nine windows gets nine shares.": _last(c, size, stride, padding),
            "you average over the windows that share a pixel; the adjoint adds.": expected / shared,
        }
        require_none_of(back, expected, mistakes)
        require(
            abs(here - there) < TOLERANCE * 1000 and differs(back, expected) < TOLERANCE,
            f"{told} <unfold(x), c> = {here:.4f}, but <x, fold(c)> = {there:.4f}: not the adjoint. "
            "Place (u, v) of window (i, j) came from the padded pixel (s i + u, s j + v).",
        )
    return "<unfold(x), c> = <x, fold(c)> for random x and c, four strides and paddings"


def _last(c, size, stride, padding):
    """Fold by writing where one should add."""
    H, W = (side + 2 * padding for side in size)
    rows, cols = ((side - k) // stride + 1 for side, k in ((H, 3), (W, 2)))
    parts, x = c.view(len(c), 3, 3, 2, rows, cols), c.new_zeros(len(c), 3, H, W)
    for u in range(3):
        for v in range(2):
            i, j = torch.arange(rows) * stride + u, torch.arange(cols) * stride + v
            x[:, :, i[:, None], j] = parts[:, :, u, v]
    return x[:, :, padding : H - padding, padding : W - padding]


@check("convolution.conv_backward")
def conv_backward(function):
    """Compare the three gradients with autograd's and with finite differences."""
    for stride, padding in SETTINGS:
        x, weight = normal(2, 3, 8, 11, seed=3), normal(4, 3, 3, 2, seed=4)
        inputs = [t.requires_grad_() for t in (x, weight, normal(4, seed=5))]
        y = F.conv2d(*inputs, stride, padding)
        g = normal(*y.shape, seed=6)
        expected = torch.autograd.grad(y, inputs, g)
        with torch.no_grad():
            grads = function(g, x, weight, stride, padding)
        told = f"with stride {stride} and padding {padding} the"
        three = isinstance(grads, tuple | list) and len(grads) == 3
        require(three, "return three gradients: of x, of weight, of bias.")
        for name, got, right in zip(("x", "weight", "bias"), grads, expected, strict=True):
            advice = f"A gradient has the shape of what it belongs to, here {name}."
            require_shape(got, right, f"{told} gradient of {name}", advice)
            _require_a_sum(name, got, right, y)
            require(
                differs(got, right) < TOLERANCE,
                f"{told} gradient of {name} is off by {differs(got, right):.2g}. {HINTS[name]}",
            )
        _finite_differences(grads[1], g, x, weight, stride, padding)
    return (
        "all three equal autograd's in float64 for four strides and paddings, and the weights' "
        "equals finite differences"
    )


HINTS = {
    "x": "It is fold(W' G), with W = weight.flatten(1), and the same kernel, stride and padding as "
    "on the way forward.",
    "weight": "It is G X' for each image, summed over the images, in the shape of the weight.",
    "bias": "b[k] is added at every place of every image: sum g over batch, rows and columns.",
}


def _require_a_sum(name: str, got, right, y):
    """Say so where a gradient is a mean over images or places."""
    B, _, rows, cols = y.shape
    for count, what in (
        (B, "images"),
        (rows * cols, "places"),
        (B * rows * cols, "images and places"),
    ):
        require(
            differs(got, right / count) > TOLERANCE,
            f"the gradient of {name} is averaged over the {what}; it is a sum: each of them uses "
            "the same numbers, and each has its say.",
        )


def _finite_differences(gradient, g, x, weight, stride, padding):
    """Move one weight by 1 either way; the loss is linear in it, so this is exact."""
    with torch.no_grad():
        step = torch.zeros_like(weight)
        step[1, 2, 0, 1] = 1
        up, down = (F.conv2d(x, weight + d, None, stride, padding) for d in (step, -step))
        slope = (g * (up - down)).sum() / 2
    require(
        abs(slope - gradient[1, 2, 0, 1]) < TOLERANCE,
        "the gradient of the weight differs from finite differences.",
    )


@check("convolution.Conv2d")
def conv2d_layer(layer_class):
    """Compare the layer with torch's: parameters, first values, answers, gradients."""
    for settings in ({}, {"stride": 2, "padding": 1}, {"padding": 2, "bias": False}):
        with torch.random.fork_rng(devices=[]):  # the global generator stays as it is
            torchs, ours = (kind(3, 5, 3, **settings).double() for kind in (nn.Conv2d, layer_class))
        _compare_parameters(ours, torchs)
        ours.load_state_dict(torchs.state_dict())
        x = normal(2, 3, 8, 11, seed=7)
        a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
        y, expected = ours(a), torchs(b)
        told = f"Conv2d(3, 5, 3, {', '.join(f'{k}={v}' for k, v in settings.items())})"
        require_shape(y, expected, f"{told}: y", "Are stride and padding passed on?")
        require(
            differs(y, expected) < TOLERANCE,
            f"{told} with torch's weights is off from torch's by {differs(y, expected):.2g}. "
            "Are bias, stride and padding passed on, in this order?",
        )
        g = normal(*y.shape, seed=8)
        y.backward(g), expected.backward(g)
        pairs = [("x", a, b)] + [
            (n, p, dict(ours.named_parameters())[n]) for n, p in torchs.named_parameters()
        ]
        for name, p, q in pairs:
            require(
                q.grad is not None and p.grad is not None and differs(p.grad, q.grad) < TOLERANCE,
                f"{told}: the gradient of {name} is not torch's.",
            )
    _require_first_values(layer_class)
    _require_its_function(layer_class)
    return "torch's parameters, first values, answers and gradients, with and without a bias"


def _require_its_function(layer_class):
    """Put another function into a layer, as section 9 does, and see it called."""
    with torch.random.fork_rng(devices=[]):
        layer, calls = layer_class(3, 5, 3).double(), []
    apply = layer.function.apply
    layer.function = SimpleNamespace(apply=lambda *args: calls.append(args) or apply(*args))
    layer(normal(2, 3, 8, 11, seed=9))
    require(
        calls,
        "the answers are right, but self.function.apply was not called: your own pair, forward "
        "and backward, is bypassed, and section 9 could not put another in its place.",
    )


def _compare_parameters(ours, torchs):
    names = {name: tuple(p.shape) for name, p in ours.named_parameters()}
    right = {name: tuple(p.shape) for name, p in torchs.named_parameters()}
    require(
        names == right,
        f"the layer's parameters should be {right}; yours are {names}. Each is an nn.Parameter, or "
        "nothing would train it; without a bias self.bias is None.",
    )


def _require_first_values(layer_class):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer, bound = layer_class(8, 400, 3), 1 / 72**0.5
    for name, p in layer.named_parameters():
        p = p.detach()
        require(
            0.97 * bound < p.abs().max() <= bound and abs(p.std() / bound - 3**-0.5) < 0.05,
            f"the first values of {name} should be uniform in +-1/sqrt(C k k) = +-{bound:.4f}; "
            f"yours reach from {p.min():.4f} to {p.max():.4f} with a spread of {p.std():.4f}.",
        )
        require(abs(p.mean()) < 0.15 * bound, f"the mean of {name} at first should be 0.")
