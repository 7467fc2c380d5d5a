"""A toy course: one lesson without torch, its checks and the part of the library it needs."""

import shutil
import signal

import pytest

from course_lib import lessons
from course_lib.settings import ROOT

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # so a shell starts its background jobs
    signal.signal(signal.SIGINT, signal.default_int_handler)

LIBRARY = ("__init__", "settings", "editions", "exporting", "execution", "lessons")

LESSON = '''\
# %% [markdown] tags=["core", "workshop"]
# # Measure circles
#
# You will build two small functions.

# %% tags=["core", "workshop"]
import math
import sys

from course_lib import checks
from course_lib.checks import toy

print("noise of the start", file=sys.stderr)

# %% [markdown] tags=["core", "workshop"]
# ## Area

# %% tags=["export", "exercise", "core", "workshop"]
def area(radius):
    """Return the area of a circle."""
    ### TODO: pi times the squared radius
    ### BEGIN SOLUTION
    squared = radius**2
    return math.pi * squared
    ### END SOLUTION

# %% tags=["core", "workshop"]
area = checks.toy.area(area)

# %% [markdown] tags=["core", "workshop"]
# <details><summary>Hint 1</summary>Archimedes.</details>
# <details><summary>Hint 2</summary><code>math.pi</code></details>

# %% [markdown]
# ## Where are we?

# %%
import os
from pathlib import Path

print("profile", os.environ["COURSE_PROFILE"], os.environ.get("COURSE_DATA"), flush=True)
print("here", Path.cwd().name)

# %% tags=["export", "exercise", "deeper"]
class Ring:
    """A ring between two radii."""

    def __init__(self, inner, outer):
        self.inner, self.outer = inner, outer

    def area(self):
        """Return the area between the circles."""
        ### TODO: the difference of the two areas
        ### BEGIN SOLUTION
        return area(self.outer) - area(self.inner)
        ### END SOLUTION

# %% tags=["deeper"]
Ring = checks.toy.Ring(Ring)

# %%
picture = {"image/png": "iVBORw0KGgo=", "text/plain": "View()"}
picture["application/vnd.jupyter.widget-view+json"] = {"model_id": "1"}
display(picture, raw=True, metadata={"image/png": {"alt": "a ring"}})
'''

CHECKS = """\
import importlib

from course_lib.checks import CheckFailed


def check(name, measure, right):
    def run(candidate):
        try:
            if abs(measure(candidate) - right) > 1e-6:
                raise CheckFailed(f"✗ {name}: it should be {right}")
        except NotImplementedError:
            print(f"○ {name}: this exercise is open")
            return getattr(importlib.import_module("course_lib.built.toy"), name)
        except TypeError as error:
            raise CheckFailed(f"✗ {name}: {error}") from None
        print(f"✓ {name}: right")
        return candidate

    return run


area = check("area", lambda area: area(2), 12.566370614)
Ring = check("Ring", lambda Ring: Ring(1, 2).area(), 9.424777961)
"""


@pytest.fixture(scope="session")
def built_course(tmp_path_factory):
    """The toy course, built once in the standard profile; use `course`."""
    root = tmp_path_factory.mktemp("toy") / "a course à part"
    for name in (*LIBRARY, "checks/__init__"):
        target = root / "course_lib" / f"{name}.py"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / "course_lib" / f"{name}.py", target)
    (root / "course_lib" / "checks" / "toy.py").write_text(CHECKS, encoding="utf-8")
    source = root / "notebooks" / "src" / "10_toy.py"
    source.parent.mkdir(parents=True)
    source.write_text(LESSON, encoding="utf-8")
    lessons.build(source, report=lambda text: None)
    return root


@pytest.fixture
def course(built_course, tmp_path):
    """The source of the toy lesson in a copy of the toy course, built and up to date."""
    root = shutil.copytree(built_course, tmp_path / built_course.name)
    return root / "notebooks" / "src" / "10_toy.py"
