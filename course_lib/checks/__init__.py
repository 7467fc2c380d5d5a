"""Checks that a learner calls: they say what was tested, or what is wrong and where to look.

`thing = checks.<lesson>.<thing>(thing)` hands back what the lesson goes on with: the learner's own
object if it is right, the course's version if the exercise is still open.
"""

import functools
import importlib
import traceback

ALIGNMENT = (
    "Shapes are matched from the right; indexing with None adds an axis: v[:, None, None] makes "
    "(C, 1, 1) of (C,), v[:, None] makes (C, 1)."
)


class CheckFailed(AssertionError):
    """A wrong answer; a notebook shows the message alone."""

    def _render_traceback_(self):
        return [str(self)]


def require(condition, message: str):
    """Raise CheckFailed with `message` unless `condition` holds."""
    if not condition:
        raise CheckFailed(message)


def check(path: str):
    """Turn a function(candidate) -> success text into a check that hands the candidate on.

    path: "topic.name" of the course's version, the object `name` of `course_lib.built.topic`.
    """
    topic, name = path.split(".")

    def decorate(examine):

        @functools.wraps(examine)
        def run(candidate):
            try:
                print(f"✓ {name}: {examine(candidate)}")
                return candidate
            except NotImplementedError as error:
                part = traceback.extract_tb(error.__traceback__)[-1].name
                where = "" if part == name else f" ({part} is still to be written)"
                print(
                    f"○ {name}: this exercise is open{where}; the lesson goes on with the course's "
                    "own."
                )
                return getattr(importlib.import_module(f"course_lib.built.{topic}"), name)
            except CheckFailed as failure:
                message = str(failure)
            except Exception as error:  # noqa: BLE001  whatever a wrong answer may raise
                line = traceback.extract_tb(error.__traceback__)[-1]
                message = f"{type(error).__name__}: {error}\n  raised in {line.name}: {line.line}"
                if "size of tensor" in message:
                    message += f"\n  {ALIGNMENT}"
            raise CheckFailed(f"✗ {name}: {message}") from None

        run.checks = path
        return run

    return decorate


def __getattr__(lesson: str):
    """Import `checks.<lesson>` when it is first used."""
    try:
        return importlib.import_module(f"{__name__}.{lesson}")
    except ModuleNotFoundError:
        raise AttributeError(f"there are no checks for {lesson!r}") from None
