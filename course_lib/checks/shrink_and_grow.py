"""Checks of lesson 13: sizes and pooling; grow holds transposed convolution and shuffling."""

import torch
from torch import nn
from torch.nn import functional as F

from course_lib.checks import check, require
from course_lib.checks.probes import TOLERANCE, differs, normal
from course_lib.checks.shrink_and_grow_exercises import (
    shuffle_kernel,
    smooth_kernel,
    space_to_depth,
)
from course_lib.checks.shrink_and_grow_gradients import (
    gradient_of,
    returned,
    same_gradient,
    wrong_gradients,
)
from course_lib.checks.shrink_and_grow_layers import (
    conv_transpose2d,
    overlap_counts,
    pixel_shuffle,
)

__all__ = [
    "avg_pool2d",
    "avg_pool2d_gradient",
    "conv_transpose2d",
    "conv_transpose_layer",
    "max_pool2d",
    "max_pool2d_gradient",
    "output_size",
    "overlap_counts",
    "pixel_shuffle",
    "shuffle_kernel",
    "smooth_kernel",
    "space_to_depth",
]

GEOMETRIES = ((2, None), (3, None), (3, 2), (2, 1), (2, 3))  # kernel, stride
SIZES = [
    (n, kernel, stride, padding)
    for n in range(1, 13)
    for kernel in range(1, 6)
    for stride in range(1, 5)
    for padding in range(3)
    if kernel <= n + 2 * padding
]


@check("shrink_and_grow.output_size")
def output_size(function):
    """Compare with the size of torch's convolution, for all small sizes."""
    sizes = [returned(function(*case)) for case in SIZES]
    for case, got in zip(SIZES, sizes, strict=True):
        n, kernel, stride, padding = case
        y = F.conv1d(torch.zeros(1, 1, n), torch.zeros(1, 1, kernel), None, stride, padding)
        require(
            got == y.shape[-1],
            f"n={n}, kernel={kernel}, stride={stride}, padding={padding}: torch gives "
            f"{y.shape[-1]}, yours {got}. {_cause(sizes)}",
        )
    require(
        isinstance(function(5, 2), int), "the size should be a whole number (int): divide with //."
    )
    return f"torch's own size in all {len(SIZES)} cases with up to 12 cells"


def _cause(sizes: list) -> str:
    """Name the classic mistake that gives just these sizes."""
    wrong = {
        "It is rounded up; a window that does not fit in full is not computed: round down, "
        "with //.": lambda n, k, s, p: -(-(n + 2 * p - k) // s) + 1,
        "The window at 0 is missing: add 1.": lambda n, k, s, p: (n + 2 * p - k) // s,
        "The padding is not counted.": lambda n, k, s, p: (n - k) // s + 1,
        "The padding is counted at one end only.": lambda n, k, s, p: (n + p - k) // s + 1,
        "The window's own size is not subtracted.": lambda n, k, s, p: (n + 2 * p) // s + 1,
    }
    found = [words for words, size in wrong.items() if sizes == [size(*case) for case in SIZES]]
    return found[0] if found else "The last window i satisfies i stride + kernel <= n + 2 padding."


def _cases(seed=0):
    """Yield kernel, stride and pictures float64 (2, 3, 8, 7), some of them full of ties."""
    for kernel, stride in GEOMETRIES:
        x = normal(2, 3, 8, 7, seed=seed)
        yield kernel, stride, x
        yield kernel, stride, x.round()


def _pooled(function, torchs, others: dict):
    """Compare values and gradients of a pooling function with torch's."""
    for kernel, stride, x in _cases():
        case = f"kernel={kernel}, stride={stride}"
        x1, x2 = x.clone().requires_grad_(), x.clone().requires_grad_()
        y, expected = returned(function(x1, kernel, stride)), torchs(x2, kernel, stride)
        require(
            y.shape == expected.shape,
            f"{case}: x {tuple(x.shape)} should give {tuple(expected.shape)}, yours is "
            f"{tuple(y.shape)}. A stride of None means: as large as the kernel.",
        )
        for message, other in others.items():
            require(differs(y, other(x, kernel, stride or kernel)) > TOLERANCE, message)
        require(
            differs(y, expected) < TOLERANCE,
            f"{case}: values differ by {differs(y, expected):.2g} from torch's. Is each window "
            "reduced over its own two axes, and no other?",
        )
        upstream = normal(*y.shape, seed=1)
        require(y.requires_grad, "no gradient flows back: was something detached?")
        (y * upstream).sum().backward()
        (expected * upstream).sum().backward()
        same_gradient(x1.grad, x2.grad, wrong_gradients(x, upstream, kernel, stride), case)


@check("shrink_and_grow.max_pool2d")
def max_pool2d(function):
    """Compare max pooling and its gradient with torch's, overlaps and ties included."""
    others = {
        "this is the mean of each window, not its maximum.": F.avg_pool2d,
        "this is the minimum of each window.": lambda x, k, s: -F.max_pool2d(-x, k, s),
    }
    _pooled(function, F.max_pool2d, others)
    return "equal to torch's in float64, values and gradients, with overlaps, gaps and ties"


@check("shrink_and_grow.avg_pool2d")
def avg_pool2d(function):
    """Compare average pooling and its gradient with torch's."""
    others = {
        "this is the maximum of each window, not its mean.": F.max_pool2d,
        "this is the sum of each window: divide by kernel².": (
            lambda x, k, s: k**2 * F.avg_pool2d(x, k, s)
        ),
        "the sum is divided by the kernel; a window has kernel² cells.": (
            lambda x, k, s: k * F.avg_pool2d(x, k, s)
        ),
    }
    _pooled(function, F.avg_pool2d, others)
    return "equal to torch's in float64, values and gradients, with overlaps and gaps"


def _gradient_written(function, torchs):
    for kernel, stride, x in _cases(seed=2):
        upstream = normal(*torchs(x, kernel, stride).shape, seed=3)
        expected = gradient_of(lambda x, k=kernel, s=stride: torchs(x, k, s), x, upstream)
        got = returned(function(x, upstream, kernel, stride))
        wrong = wrong_gradients(x, upstream, kernel, stride)
        same_gradient(got, expected, wrong, f"kernel={kernel}, stride={stride}")


@check("shrink_and_grow.max_pool2d_gradient")
def max_pool2d_gradient(function):
    """Compare the gradient of max pooling with autograd's through torch's own layer."""
    _gradient_written(function, F.max_pool2d)
    return "equal to autograd through torch's layer; the winner takes it, the first one on a tie"


@check("shrink_and_grow.avg_pool2d_gradient")
def avg_pool2d_gradient(function):
    """Compare the gradient of average pooling with autograd's through torch's own layer."""
    _gradient_written(function, F.avg_pool2d)
    return "equal to autograd through torch's layer; shares add up where windows overlap"


@check("shrink_and_grow.ConvTranspose2d")
def conv_transpose_layer(layer_class):
    """Compare parameters, first weights and outputs with those of torch's layer."""
    cases = ({"stride": 2, "padding": 1}, {"stride": 3, "output_padding": 2, "bias": False})
    for geometry in cases:
        ours, torchs = (kind(8, 24, 4, **geometry) for kind in (layer_class, nn.ConvTranspose2d))
        expected, bound = torchs.state_dict(), (24 * 4**2) ** -0.5
        shapes = {name: tuple(value.shape) for name, value in ours.named_parameters()}
        wanted = {name: tuple(value.shape) for name, value in expected.items()}
        require(
            shapes == wanted,
            f"with {geometry} the layer's parameters (nn.Parameter) are {shapes}; they should be "
            f"{wanted}.",
        )
        for name, value in ours.named_parameters():
            spread = value.std() / bound
            require(
                value.abs().max() <= 1.001 * bound and 0.3 < spread < 0.9,
                f"{name} should start uniform in +-{bound:.4f}, 1 / sqrt(C' k²) with C' the "
                f"channels that come out; yours reaches {value.abs().max().item():.4f}.",
            )
        ours.load_state_dict(expected)
        x = normal(2, 8, 5, 3)
        y, true = ours.double()(x), torchs.double()(x)
        require(
            differs(y, true) < TOLERANCE,
            f"with {geometry} and torch's weights the output {tuple(y.shape)} is not torch's "
            f"{tuple(true.shape)}. Do stride, padding, output_padding and bias arrive?",
        )
    return "parameters, first weights and outputs as those of torch's layer"
