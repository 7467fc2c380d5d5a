"""Checks of lesson 15: pictures covered piece by piece, and pictures that climb."""

import torch

from course_lib.checks import check, require
from course_lib.checks.probes import TOLERANCE, differs, normal

_PLACES = (
    "9 rows and 7 columns at stride 2 are 5 x 4 places: ceil(H / stride), where H // stride is one "
    "too few; rows come first."
)


def _window(image, weight, i, j, half, fill):
    """Return the sum of (image - fill) * weight in the square around (i, j)."""
    _, H, W = image.shape
    total = 0.0
    for r in range(i - half, i + half + 1):
        for c in range(j - half, j + half + 1):
            if 0 <= r < H and 0 <= c < W:
                total += ((image[:, r, c] - fill) * weight[:, r, c]).sum().item()
    return total


def _drops(image, weight, half, stride, fill):
    _, H, W = image.shape
    rows = [
        [_window(image, weight, i, j, half, fill) for j in range(0, W, stride)]
        for i in range(0, H, stride)
    ]
    return torch.tensor(rows, dtype=torch.float64)


@check("features.occlusion")
def occlusion(function):
    """Compare with a linear network, whose answer falls by what stood under the square."""
    image, weight = normal(2, 9, 7, seed=1), normal(2, 9, 7, seed=2)
    kept = image.clone()

    def ask(x):
        return (x * weight).sum(dim=(1, 2, 3))

    try:
        found = function(ask, image, size=3, stride=2, fill=0.5)
    except RuntimeError as error:
        require("invalid for input of size" not in str(error), f"{_PLACES} ({error})")
        raise
    require(torch.equal(image, kept), "the image itself was painted over: cover copies of it.")
    require(
        tuple(found.shape) == (5, 4),
        f"{_PLACES} The map is {tuple(found.shape)}.",
    )
    right = _drops(image, weight, 1, 2, 0.5)
    for wrong, message in (
        (-right, "the sign: the drop is the answer for the whole image minus the covered one's."),
        (_drops(image, weight, 1, 2, 0.0), "fill is accepted and ignored: cover with it."),
        (
            ask(image[None]) - right,
            "this is the covered image's answer: subtract it from the whole image's.",
        ),
    ):
        require(differs(found, wrong) > TOLERANCE, message)
    if differs(found, right) > TOLERANCE:
        inside = differs(found[1:-1, 1:-1], right[1:-1, 1:-1]) < TOLERANCE
        require(
            not inside,
            "right inside, wrong at the border: an index below 0 counts from the other end; start "
            "at max(0, i - half).",
        )
    require(
        differs(found, right) < TOLERANCE,
        f"with a linear network the drop at place (2, 2) is {right[1, 1]:.3f}; yours is "
        f"{found[1, 1]:.3f}. A square of size 3 reaches from i - 1 to i + 1, all channels, each "
        "copy with its own square alone.",
    )
    return "20 places on a linear network, each drop equal to what stood under the square"


def _climb_slopes(function, start):
    """Check three steps on scores that rise evenly, some steeply, some hardly."""
    weight = normal(3, 1, 4, 4, seed=3)
    strength = torch.tensor([1.0, 100.0, 0.01])[:, None, None, None]

    def score(x):
        return (x * weight * strength).sum(dim=(1, 2, 3))

    found = function(score, start, steps=3, length=0.05)
    require(
        torch.equal(start, torch.full_like(start, 0.5)), "x itself was changed: make new tensors."
    )
    require(not found.requires_grad, "the result carries a graph: detach it.")
    require(found.shape == start.shape, f"the result has shape {tuple(found.shape)}.")
    way = found - start
    require((way * weight).sum() > 0, "the score falls: this descends; add the gradient.")
    lengths = way.flatten(1).norm(dim=1)
    require(
        lengths.max() < 1.01 * lengths.min(),
        f"the images moved by {lengths[0]:.3g}, {lengths[1]:.3g} and {lengths[2]:.3g}: each should "
        "take steps of the same length; divide by each image's own norm, (B, 1, 1, 1).",
    )
    require(
        abs(lengths[0] - 0.05) > 0.005,
        "three steps were asked for, one was taken: loop over steps.",
    )
    unit = weight / weight.flatten(1).norm(dim=1)[:, None, None, None]
    require(
        differs(way, 0.15 * unit) < 1e-6,
        f"three steps of 0.05 along the gradient move an image by 0.15; yours moved "
        f"by {lengths[0]:.3f}, or another way. Divide by the L2 norm over the image's pixels.",
    )
    far = function(score, start, steps=50, length=1.0)
    require(
        far.min() >= 0 and far.max() <= 1,
        f"pixels from {far.min():.2f} to {far.max():.2f}: clamp to [0, 1] after each step.",
    )


def _climb_over_the_edge(function):
    """Check a step that leaves [0, 1], whose next step would come back."""
    start = torch.full((2, 1, 4, 4), 0.9, dtype=torch.float64)
    found = function(lambda x: -(x - 1).abs().sum(dim=(1, 2, 3)), start, 2, 1.0)
    require(
        differs(found, torch.ones_like(start)) < 1e-6,
        "a step left [0, 1] and the next one came back from outside: clamp after each step, not "
        "once at the end.",
    )


@check("features.climb")
def climb(function):
    """Check length and direction of steps on scores whose gradients are known."""
    start = torch.full((3, 1, 4, 4), 0.5, dtype=torch.float64)
    _climb_slopes(function, start)
    goal = torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    near = function(lambda x: -(x - goal).square().sum(dim=(1, 2, 3)), start, 60, 0.05)
    require(
        (near - goal).flatten(1).norm(dim=1).max() < 0.06,
        "a score with one peak is not climbed: take the gradient anew at each step's place.",
    )
    flat = function(lambda x: 0 * x.sum(dim=(1, 2, 3)), start, 2, 0.1)
    require(
        differs(flat, start) == 0,
        "where the gradient is 0 the image should stay; yours has nan: clamp(min=1e-12) the norm.",
    )
    _climb_over_the_edge(function)
    return "steps of one length for strong and weak gradients, the peak found, pixels in [0, 1]"
