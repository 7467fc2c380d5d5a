"""What the checks of lesson 12 share: settings to try, shapes, mistakes known by their result."""

from course_lib.checks import require
from course_lib.checks.probes import TOLERANCE, differs

SETTINGS = [(1, 0), (1, 1), (2, 1), (3, 2)]  # stride and padding


def require_shape(out, expected, what: str, advice: str):
    """Raise CheckFailed with `advice` unless `out` is a tensor of the shape of `expected`."""
    got = getattr(out, "shape", None)
    yours = "nothing is returned" if out is None else f"yours has {got and tuple(got)}"
    require(
        got == expected.shape,
        f"{what} should have shape {tuple(expected.shape)}; {yours}. {advice}",
    )


def require_none_of(out, expected, mistakes: dict):
    """Raise CheckFailed with the message of the mistake that `out` equals, unless it is right.

    mistakes: message -> what that mistake gives.
    """
    if differs(out, expected) > TOLERANCE:
        for message, wrong in mistakes.items():
            require(differs(out, wrong) > TOLERANCE, message)
