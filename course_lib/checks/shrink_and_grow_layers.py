"""Checks of lesson 13, the layers that grow: transposed convolution, overlaps, pixel shuffle."""

import torch
from torch.nn import functional as F

from course_lib.checks import check, require
from course_lib.checks.probes import TOLERANCE, differs, normal
from course_lib.checks.shrink_and_grow_gradients import returned

CASES = (  # C, C', H, W, kernel, stride, padding, output_padding
    (2, 2, 4, 4, 3, 1, 0, 0),
    (3, 2, 5, 4, 3, 1, 1, 0),
    (2, 3, 4, 5, 4, 2, 1, 0),
    (3, 1, 3, 6, 3, 2, 1, 1),
    (1, 4, 4, 3, 5, 3, 2, 2),
    (2, 3, 4, 2, 2, 3, 0, 0),
)


@check("shrink_and_grow.conv_transpose2d")
def conv_transpose2d(function):
    """Check the adjoint identity, and values and gradients against torch's."""
    for C, out, H, W, kernel, stride, padding, extra in CASES:
        x, weight = normal(2, C, H, W), normal(C, out, kernel, kernel, seed=1)
        geometry = {"stride": stride, "padding": padding, "output_padding": extra}
        case = f"x {tuple(x.shape)}, kernel={kernel}, " + ", ".join(
            f"{name}={value}" for name, value in geometry.items()
        )
        expected = F.conv_transpose2d(x, weight, **geometry)
        y = _grown(function, x, weight, geometry, case, expected)
        _right_size(y, expected, case, extra)
        for message, wrong in _wrong_stamps(x, weight, geometry).items():
            require(differs(y, wrong) > TOLERANCE, f"{case}: {message}")
        large = normal(*expected.shape, seed=2)
        small = F.conv2d(large, weight, stride=stride, padding=padding)
        down, up = (small * x).sum(), (large * y).sum()
        require(
            abs(down - up) < 1e-8,
            f"{case}: it is not the adjoint: <A x, y> is {down:.4f}, <x, A' y> is {up:.4f}. "
            "Does every small pixel add its stamp, at stride times its place, in all channels?",
        )
        require(differs(y, expected) < TOLERANCE, f"{case}: the values are not torch's.")
        _gradients(function, x, weight, geometry, case)
    return (
        "<A x, y> = <x, A' y> and torch's own values and gradients in float64: H unlike W, "
        "strides, padding, output_padding, bias"
    )


def _grown(function, x, weight, geometry, case: str, expected):
    """Call the function; explain the error of a fold whose sizes do not fit."""
    try:
        return returned(function(x, weight, **geometry))
    except NotImplementedError:
        raise
    except RuntimeError as error:
        size, cells = tuple(expected.shape[2:]), x.shape[2] * x.shape[3]
        require(
            False,
            f"{case}: torch refuses: {str(error).splitlines()[0]}\n  Here (H', W') is {size}: H' = "
            "(H - 1) stride - 2 padding + kernel + output_padding. F.fold wants that size, the "
            "kernel, the same stride and padding, and columns (B, C' k², H W), here "
            f"{(len(x), weight[0].numel(), cells)}.",
        )


def _right_size(y, expected, case: str, extra: int):
    if y.shape == expected.shape:
        return
    sizes = f"the output should be {tuple(expected.shape)}, yours is {tuple(y.shape)}."
    shorter = (*expected.shape[:2], *(n - extra for n in expected.shape[2:]))
    if tuple(y.shape) == shorter:
        cause = "output_padding is accepted and ignored: it adds to the size."
    elif y.shape[:2] + y.shape[:1:-1] == expected.shape[:2] + expected.shape[2:]:
        cause = "Rows and columns are swapped."
    else:
        cause = "H' = (H - 1) stride - 2 padding + kernel + output_padding."
    require(False, f"{case}: {sizes} {cause}")


def _wrong_stamps(x, weight, geometry) -> dict:
    """Return what the classic mistakes give, where they give the right shape."""
    C, out, H, W = *weight.shape[:2], *x.shape[2:]
    wrong = {
        "the stamps are upside down: add w[u] at place stride * i + u, without a flip. (A flip "
        "is what a convolution of the padded picture would need.)": F.conv_transpose2d(
            x, weight.flip(-1, -2), **geometry
        )
    }
    if out == C:
        wrong["input and output channels are exchanged: weight is (in, out, k, k) here."] = (
            F.conv_transpose2d(x, weight.transpose(0, 1), **geometry)
        )
    if H == W:
        wrong["rows and columns are exchanged; on pictures with H unlike W this would fail."] = (
            F.conv_transpose2d(x.mT, weight, **geometry)
        )
        wrong["rows and columns of the stamps are exchanged."] = F.conv_transpose2d(
            x, weight.mT, **geometry
        )
    return wrong


def _gradients(function, x, weight, geometry, case: str):
    tensors = [
        [t.clone().requires_grad_() for t in (x, weight, normal(weight.shape[1], seed=4))]
        for _ in range(2)
    ]
    y, expected = (
        f(*t, **geometry) for f, t in zip((function, F.conv_transpose2d), tensors, strict=True)
    )
    require(
        differs(y, expected) < TOLERANCE,
        f"{case}: with a bias the values are off. It is added once to every pixel of its channel.",
    )
    upstream = normal(*y.shape, seed=5)
    for output in (y, expected):
        (output * upstream).sum().backward()
    for name, a, b in zip(("x", "weight", "bias"), *tensors, strict=True):
        require(
            a.grad is not None and differs(a.grad, b.grad) < TOLERANCE,
            f"{case}: the gradient with respect to {name} is wrong: no detach, no .data.",
        )


@check("shrink_and_grow.overlap_counts")
def overlap_counts(function):
    """Compare the counts with a transposed convolution of ones, for all small sizes."""
    wanted = {3: [2, 1, 2, 1], 5: [3, 2, 3, 2], 4: [2, 2, 2, 2], 2: [1, 1, 1, 1]}
    for kernel, pattern in wanted.items():
        counts = torch.as_tensor(returned(function(8, kernel, 2)))
        require(
            counts.dtype == torch.long,
            f"counts are whole numbers, int64: dtype=torch.long; yours are {counts.dtype}.",
        )
        counts = counts.tolist()
        require(
            counts[6:10] == pattern,
            f"kernel {kernel}, stride 2: from cell 6, away from the border, the counts repeat "
            f"{pattern}; yours are {counts}. Stamp i lies on the cells from i * stride to "
            "i * stride + kernel - 1.",
        )
    for n in range(1, 6):
        for kernel in range(1, 7):
            for stride in range(1, 5):
                ones = torch.ones(1, 1, n), torch.ones(1, 1, kernel)
                expected = F.conv_transpose1d(*ones, stride=stride)[0, 0].long()
                got = torch.as_tensor(function(n, kernel, stride)).long()
                case = f"{n} stamps, kernel {kernel}, stride {stride}"
                require(
                    len(got) == len(expected),
                    f"{case}: the last stamp begins at (n - 1) stride and ends kernel later, at "
                    f"{len(expected)}; your line has {len(got)} cells.",
                )
                require(
                    torch.equal(got, expected),
                    f"{case}: the counts are {expected.tolist()}, yours are {got.tolist()}.",
                )
    return "2 1 2 1 for kernel 3 at stride 2, 3 2 3 2 for 5, level for 4 and 2; and all small cases"


@check("shrink_and_grow.pixel_shuffle")
def pixel_shuffle(function):
    """Compare with torch's pixel shuffle on pictures with H unlike W, and name the wrong orders."""
    for B, C, r, H, W in ((2, 3, 2, 3, 5), (1, 2, 3, 4, 2), (2, 2, 2, 4, 4)):
        x = normal(B, C * r**2, H, W)
        y, expected = returned(function(x, r)), F.pixel_shuffle(x, r)
        case = f"x {tuple(x.shape)}, r={r}"
        shuffled_shape(y, expected, case)
        blocks = x.view(B, C, r, r, H, W)
        wrong = {
            "a and b are exchanged: each block is mirrored at its diagonal. The first r of the "
            "view belongs to the rows.": blocks.permute(0, 1, 4, 3, 5, 2),
            "the numbers were only re-read in another shape; the two r must first be moved behind "
            "H and W (permute).": blocks,
            "the channels were split as (r, r, C); it is (C, r, r): the r² channels of one output "
            "channel lie together.": x.view(B, r, r, C, H, W).permute(0, 3, 4, 1, 5, 2),
            "each r stands before its axis instead of behind: copies of the small picture lie "
            "side by side, not its pixels.": blocks.permute(0, 1, 2, 4, 3, 5),
            "rows and columns are exchanged.": blocks.permute(0, 1, 5, 3, 4, 2),
        }
        for message, order in wrong.items():
            require(differs(y, order.reshape(expected.shape)) > 0, f"{case}: {message}")
        require(
            differs(y, expected) == 0,
            f"{case}: numbers stand in wrong places; y[c, r i + a, r j + b] is "
            "x[c r² + a r + b, i, j].",
        )
    return "every number in its place, r = 2 and 3, H unlike W, as torch has it"


def shuffled_shape(y, expected, case: str):
    if y.shape == expected.shape:
        return
    swapped = y.shape[2:] == expected.shape[:1:-1]
    cause = "Rows and columns are swapped: H and W have changed places." * swapped
    require(
        False,
        f"{case}: the output should be {tuple(expected.shape)}, yours is {tuple(y.shape)}. {cause}",
    )
