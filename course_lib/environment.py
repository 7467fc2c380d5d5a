"""Which Python a command runs in: this one, or the course's own. Standard library only.

A Python that meets pyproject.toml is used as it is. Any other one goes on in `.venv`, which holds
the versions pinned in environment.yml and is made or repaired at first use (installer.py).
"""

import os
import re
import subprocess
import sys
import tomllib
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from course_lib import settings
from course_lib.settings import ROOT, CourseError

THIS_PYTHON = "{}.{}".format(*sys.version_info)


def requirements() -> dict[str, str]:
    """Return pyproject.toml's dependencies: name of the package -> range of versions."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return dict(re.fullmatch(r"([\w.-]+)(.*)", line).groups() for line in project["dependencies"])


def pip_section() -> list[str]:
    """Return the entries of environment.yml's pip section: requirements, and options of pip."""
    section = (ROOT / "environment.yml").read_text(encoding="utf-8").partition("- pip:\n")[2]
    return re.findall(r"^ +- (.*?)(?: +#.*)?$", section, re.MULTILINE)


def pins() -> list[str]:
    """Return the pinned requirements, as `name==version`."""
    return [entry for entry in pip_section() if not entry.startswith("-")]


def allows(versions: str, version: str) -> bool:
    """Return whether a range such as '>=2.6,<3' holds a version such as '2.13.0+cpu'."""
    bounds = re.findall(r"(>=|<)([\d.]+)", versions)
    return all((_numbers(version) >= _numbers(bound)) == (sign == ">=") for sign, bound in bounds)


def _numbers(version: str) -> list[int]:
    release = re.match(r"[\d.]*\d", version)[0].split(".")
    return ([int(number) for number in release] + [0, 0, 0])[:4]


def installed(name: str) -> str | None:
    """Return the version of a package of this Python, None if it is not there."""
    return next((found.version for found in metadata.distributions(name=name)), None)


def unmet() -> list[str]:
    """Return those of pyproject.toml's requirements that this Python does not meet."""
    found = {name: installed(name) for name in requirements()}
    return [
        f"{name}{versions} ({found[name] or 'missing'})"
        for name, versions in requirements().items()
        if not (found[name] and allows(versions, found[name]))
    ]


def enter(argv: list[str]):
    """Return if this Python meets pyproject.toml; else go on with command `argv` in `.venv`.

    `.venv` is made or repaired first if need be. Raises CourseError if that cannot be done.
    """
    share_paths()
    lacking = unmet()
    if not lacking:
        return
    if wrong := defect():
        from course_lib import installer

        installer.set_up(wrong, lacking)
    elif Path(sys.prefix).resolve() == folder().resolve():
        raise CourseError(f"{folder()} lacks {', '.join(lacking)}: delete it, then try again.")
    replace([str(python()), "-P", "-m", "course_lib", *argv])


def share_paths():
    """Let every process started from here find course_lib, write to the same place, use UTF-8."""
    paths = [str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(filter(None, paths)))
    os.environ["COURSE_HOME"] = str(settings.home())
    os.environ["PYTHONUTF8"] = "1"
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # a waiting thread frees its core


def replace(command: list[str], place: Path | None = None):
    """Go on as `command`, in the folder `place` if given. Does not return."""
    sys.stdout.flush()
    sys.stderr.flush()
    if place:
        os.chdir(place)
    if os.name != "nt":
        os.execv(command[0], command)
    with subprocess.Popen(command) as process:
        while True:
            with suppress(KeyboardInterrupt):  # the process got it too, and decides what to do
                sys.exit(process.wait())


def folder() -> Path:
    """Return where the course's own environment lies."""
    return settings.home() / ".venv"


def python() -> Path:
    """Return the Python of `.venv`."""
    return folder() / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def record() -> Path:
    """Return the file in `.venv` that says what it holds: a set-up's first loss and last gain."""
    return folder() / "pins.txt"


def contents() -> list[str]:
    """Return what `.venv` must hold, as its record says it: this Python, a link here, the pins."""
    return [f"python=={THIS_PYTHON}", f"course_lib @ {settings.ROOT}", *pins()]


def is_usable() -> bool:
    """Return whether a set-up of `.venv` came to its end, with this version of Python."""
    whole = record().exists() and python().exists()  # a link to a Python that is gone is none
    return whole and record().read_text(encoding="utf-8").splitlines()[:1] == contents()[:1]


def defect() -> str:
    """Return in a few words why `.venv` cannot be used as it is; nothing if it can."""
    if not folder().exists():
        return "there is none yet"
    if not record().exists():
        return "its set-up was cut short"
    if not is_usable():
        return f"it is broken, or not of Python {THIS_PYTHON}"
    whole = record().read_text(encoding="utf-8").splitlines() == contents()
    return "" if whole else "it does not hold the pinned versions, or the course has moved"
