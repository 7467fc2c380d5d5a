"""Checks of lesson 15: features and extrapolation; pictures and the distance stand beside."""

import numpy as np
import torch
from torch import nn

from course_lib.checks import check, require
from course_lib.checks.features_distance import covariance, frechet_distance, pca, square_root
from course_lib.checks.features_pictures import climb, occlusion
from course_lib.checks.probes import differs, normal, random_images
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


def _require_refusal(function, model, images, message: str):
    """Raise CheckFailed unless images are refused, with the course's own error."""
    try:
        function(model, images)
    except CourseError:
        return
    except (ValueError, TypeError, RuntimeError, AssertionError) as error:
        require(
            False, f"right to refuse, but raise settings.CourseError, not {type(error).__name__}."
        )
    require(False, message)


def _require_bytes_pass(function, model, images):
    try:
        function(model, images)
    except (CourseError, ValueError, AssertionError) as error:
        require(
            False,
            "bytes 0..255 were refused: they must pass; look at the range only of floats, "
            f"images.is_floating_point(). ({type(error).__name__}: {error})",
        )


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
    _require_bytes_pass(function, model, images)
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
    hole = images / 255
    hole[700, 0, 1, 2] = torch.nan
    cure = "raise settings.CourseError unless all lie in [0, 1]."
    for wrong, message in (
        (images.float(), f"floats in 0..255 passed in silence (E1): {cure}"),
        (images / 127.5 - 1, f"floats in -1..1 passed in silence (E6): {cure}"),
        (hole, f"nan passed: comparisons with it are false; not (min >= 0 and max <= 1). {cure}"),
    ):
        _require_refusal(function, model, wrong, message)
    return (
        "1,003 images as bytes and as floats, in eval mode, float64; 0..255, -1..1 and nan refused"
    )


@check("features.extrapolate")
def extrapolate(function):
    """Compare with an exact line and with numpy's least squares."""
    sizes = [100, 200, 500, 2000]
    exact = [3.0 + 800 / n for n in sizes]
    found = function(sizes, exact)
    require(
        isinstance(found, float),
        f"this is a {type(found).__name__}; return a plain float: .item().",
    )
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
