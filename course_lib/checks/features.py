"""Checks of lesson 15: features, occlusion, climbing, extrapolation; the distance stands beside."""

import numpy as np
import torch
from torch import nn

from course_lib.checks import check, require
from course_lib.checks.features_distance import covariance, frechet_distance, pca, square_root
from course_lib.checks.probes import TOLERANCE, differs, normal, random_images
from course_lib.settings import CourseError

__all__ = [
    "climb",
    "covariance",
    "extrapolate",
    "features_of",
    "frechet_distance",
    "occlusion",
    "pca",
    "square_root",
]


class _Eye(nn.Module):
    """A small network with features (B, 5), logits (B, 3) and a batch norm."""

    def __init__(self):
        super().__init__()
        self.norm, self.see, self.tell = nn.BatchNorm2d(1), nn.Linear(16, 5), nn.Linear(5, 3)
        for seed, parameter in enumerate(self.parameters()):
            parameter.data.copy_(normal(*parameter.shape, seed=seed))

    def features(self, x):
        return self.see(self.norm(x).flatten(1))

    def forward(self, x):
        return self.tell(self.features(x))


def _refuses(function, model, images) -> bool:
    try:
        function(model, images)
    except CourseError:
        return True
    return False


def _in_both_modes(function, model, images):
    """Return the features of images; raise CheckFailed if the model is not left as it was."""
    before = {key: value.clone() for key, value in model.state_dict().items()}
    for training in (True, False):
        found = function(model.train(training), images)
        require(
            model.training == training,
            f"the model came with training={training} and left with training={model.training}: "
            "keep what it was, and put it back.",
        )
        for key, value in model.state_dict().items():
            require(
                torch.equal(value, before[key]),
                f"taking features changed {key}: the model was in training mode, where every "
                "picture's features depend on its company (C4). model.eval() first.",
            )
    return found


@check("features.features_of")
def features_of(function):
    """Check values, range, mode, type and that no trace is left in the model."""
    model, images = _Eye().eval(), random_images(1003, 4)
    with torch.no_grad():
        expected, unscaled = (model.features(x).double() for x in (images / 255, images.float()))
        logits = model(images / 255)
    found = _in_both_modes(function, model, images)
    require(
        found.shape != logits.shape,
        "these are the logits: call model.features(x), not model(x).",
    )
    require(
        found.shape == (1003, 5),
        f"1003 images should give features (1003, 5), not {tuple(found.shape)}. The last, smaller "
        "batch counts too.",
    )
    require(not found.requires_grad, "the features carry a graph: torch.no_grad() is missing.")
    require(
        found.dtype == torch.float64,
        f"the features are {found.dtype}; distances need float64: .double().",
    )
    require(
        differs(found, unscaled) > 1e-2,
        "bytes went in as 0..255; the network was trained on 0..1: as_floats(x) (E1).",
    )
    require(differs(found, expected) < 1e-3, "these are not the features of eval mode.")
    require(
        differs(function(model, images / 255), expected) < 1e-3,
        "floats in [0, 1] give other features than the same pictures as bytes: were they divided "
        "by 255 once more?",
    )
    for what, wrong in (("0..255", images.float()), ("-1..1", images / 127.5 - 1)):
        require(
            _refuses(function, model, wrong),
            f"floats in {what} passed in silence (E1, E6): raise settings.CourseError unless all "
            "lie in [0, 1].",
        )
    return "1,003 images as bytes and as floats, in eval mode, float64; 0..255 and -1..1 refused"


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

    found = function(ask, image, size=3, stride=2, fill=0.5)
    require(torch.equal(image, kept), "the image itself was painted over: cover copies of it.")
    require(
        tuple(found.shape) == (5, 4),
        f"9 rows and 7 columns at stride 2 are 5 x 4 places; the map is {tuple(found.shape)}.",
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
    return "steps of one length for strong and weak gradients, the peak found, pixels in [0, 1]"


@check("features.extrapolate")
def extrapolate(function):
    """Compare with an exact line and with numpy's least squares."""
    sizes = [100, 200, 500, 2000]
    exact = [3.0 + 800 / n for n in sizes]
    found = float(function(sizes, exact))
    for wrong, message in (
        (800.0, "this is the slope c; wanted is the height at 1/n = 0."),
        (np.polyfit(sizes, exact, 1)[1], "the line is over n: take it over 1/n."),
        (exact[-1], "this is the last distance."),
    ):
        require(abs(found - wrong) > 1e-6, message)
    require(abs(found - 3) < 1e-6, f"d = 3 + 800/n should give 3; yours gives {found:.4f}.")
    bent = [11.5, 6.8, 4.9, 3.3]
    right = np.polyfit(1 / np.array(sizes), bent, 1)[1]
    found = float(function(torch.tensor(sizes), torch.tensor(bent)))
    require(
        abs(found - right) < 1e-4,
        f"points off the line: least squares gives {right:.4f}, yours {found:.4f}. All points "
        "count alike.",
    )
    return "an exact line, and numpy's least squares on points beside one"
