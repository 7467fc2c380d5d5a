"""Checks of lesson 13, the layers that grow: transposed convolution, overlaps, pixel shuffle."""

import torch
from torch.nn import functional as F

from course_lib.checks import check, require
from course_lib.checks.probes import TOLERANCE, differs, normal

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
        y = function(x, weight, **geometry)
        expected = F.conv_transpose2d(x, weight, **geometry)
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
    wanted = {3: [1, 2, 1, 2], 5: [2, 3, 2, 3], 4: [2, 2, 2, 2], 2: [1, 1, 1, 1]}
    for kernel, pattern in wanted.items():
        counts = torch.as_tensor(function(8, kernel, 2)).tolist()
        require(
            counts[5:9] == pattern,
            f"kernel {kernel}, stride 2: away from the border the counts repeat {pattern}; yours "
            f"are {counts}. Stamp i lies on the cells from i * stride to i * stride + kernel - 1.",
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
    return "1 2 1 2 for kernel 3 at stride 2, 2 3 2 3 for 5, level for 4 and 2; and all small cases"


@check("shrink_and_grow.pixel_shuffle")
def pixel_shuffle(function):
    """Compare with torch's pixel shuffle on pictures with H unlike W, and name the wrong orders."""
    for B, C, r, H, W in ((2, 3, 2, 3, 5), (1, 2, 3, 4, 2), (2, 2, 2, 4, 4)):
        x = normal(B, C * r**2, H, W)
        y, expected = function(x, r), F.pixel_shuffle(x, r)
        case = f"x {tuple(x.shape)}, r={r}"
        _shuffled_shape(y, expected, case)
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


def _shuffled_shape(y, expected, case: str):
    if y.shape == expected.shape:
        return
    swapped = y.shape[2:] == expected.shape[:1:-1]
    cause = "Rows and columns are swapped; on a square picture nobody would notice." * swapped
    require(
        False,
        f"{case}: the output should be {tuple(expected.shape)}, yours is {tuple(y.shape)}. {cause}",
    )


@check("shrink_and_grow.space_to_depth")
def space_to_depth(function):
    """Check that it undoes torch's pixel shuffle on pictures with H unlike W."""
    for r, H, W in ((2, 3, 5), (3, 2, 4), (2, 4, 4)):
        x = normal(2, 3, r * H, r * W)
        z, expected = function(x, r), F.pixel_unshuffle(x, r)
        _shuffled_shape(z, expected, f"x {tuple(x.shape)}, r={r}")
        require(
            differs(F.pixel_shuffle(z, r), x) == 0,
            f"x {tuple(x.shape)}, r={r}: pixel_shuffle does not bring x back. Channel "
            "c r² + a r + b holds the pixels at row a and column b of every block.",
        )
    return "pixel_shuffle brings every picture back, H unlike W included"


@check("shrink_and_grow.smooth_kernel")
def smooth_kernel(function):
    """Check that the stamp keeps constants and does not move the picture."""
    kernel = torch.as_tensor(function()).double()
    require(kernel.shape == (3, 3), f"the stamp should be (3, 3), yours is {tuple(kernel.shape)}.")
    ones = torch.ones(1, 1, 8, 8, dtype=torch.float64)
    middle = F.conv_transpose2d(ones, kernel[None, None], stride=2)[0, 0, 4:12, 4:12]
    require(
        differs(middle, middle.mean().expand(8, 8)) < 1e-6,
        "a constant picture gets a pattern: one period is "
        f"{[round(v, 3) for v in middle[:2, :2].flatten().tolist()]}. The weights that fall on one "
        "place must have the same sum in all four.",
    )
    require(
        abs(middle.mean() - 1) < 1e-6,
        f"a picture of ones becomes one of {middle.mean():.3f}: all four sums must be 1.",
    )
    require(
        differs(kernel, kernel.flip(0)) < 1e-6 and differs(kernel, kernel.flip(1)) < 1e-6,
        "constants stay, but the stamp is not its own mirror image: the picture moves.",
    )
    return "a constant stays constant and the picture stays in place: bilinear interpolation"


@check("shrink_and_grow.shuffle_kernel")
def shuffle_kernel(function):
    """Compare the one transposed convolution with convolution and shuffle."""
    for r, C, out in ((2, 3, 2), (3, 2, 4)):
        x, weight = normal(2, C, 4, 5), normal(out * r**2, C, 3, 3, seed=1)
        stamp, shape = function(weight, r), (C, out, 3 * r, 3 * r)
        require(stamp.shape == shape, f"the stamp should be {shape}, yours {tuple(stamp.shape)}.")
        y = F.conv_transpose2d(x, stamp, stride=r, padding=r)
        expected = F.pixel_shuffle(F.conv2d(x, weight, padding=1), r)
        unflipped = stamp.view(C, out, 3, r, 3, r).flip(2, 4).reshape(shape)
        require(
            differs(F.conv_transpose2d(x, unflipped, stride=r, padding=r), expected) > 1e-8,
            "the blocks stand in the wrong direction: a stamp is the convolution's kernel back to "
            "front (block 2 - u).",
        )
        require(
            differs(y, expected) < 1e-8,
            f"r={r}: it is not convolution and shuffle. Number r (2 - u) + a of the stamp is "
            "w[a, u], in rows as in columns.",
        )
    return "equal to a 3x3 convolution and a pixel shuffle, r = 2 and 3: kernels 6 and 9"
