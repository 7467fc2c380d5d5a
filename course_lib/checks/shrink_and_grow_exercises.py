"""Checks of lesson 13, the exercises: the way back, a smooth stamp, the shuffle as a stamp."""

import torch
from torch.nn import functional as F

from course_lib.checks import check, require
from course_lib.checks.probes import differs, normal
from course_lib.checks.shrink_and_grow_gradients import returned
from course_lib.checks.shrink_and_grow_layers import shuffled_shape


@check("shrink_and_grow.space_to_depth")
def space_to_depth(function):
    """Check that it undoes torch's pixel shuffle on pictures with H unlike W."""
    for r, H, W in ((2, 3, 5), (3, 2, 4), (2, 4, 4)):
        x = normal(2, 3, r * H, r * W)
        z, expected = returned(function(x, r)), F.pixel_unshuffle(x, r)
        shuffled_shape(z, expected, f"x {tuple(x.shape)}, r={r}")
        turned = x.view(2, 3, H, r, W, r).permute(0, 1, 5, 3, 4, 2).reshape(expected.shape)
        require(
            differs(z, turned) > 0,
            "rows and columns are exchanged: from a square picture pixel_shuffle brings back the "
            "transpose of x.",
        )
        require(
            differs(F.pixel_shuffle(z, r), x) == 0,
            f"x {tuple(x.shape)}, r={r}: pixel_shuffle does not bring x back. Channel "
            "c r² + a r + b holds the pixels at row a and column b of every block.",
        )
    return "pixel_shuffle brings every picture back, H unlike W included"


@check("shrink_and_grow.smooth_kernel")
def smooth_kernel(function):
    """Check that the stamp keeps constants and does not move the picture."""
    kernel = torch.as_tensor(returned(function())).double()
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
        stamp, shape = returned(function(weight, r)), (C, out, 3 * r, 3 * r)
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
