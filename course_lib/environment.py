"""Which Python a command runs in: this one, or the course's own. Standard library only.

A Python that meets pyproject.toml is used as it is. Any other one goes on in `.venv`, which holds
the versions pinned in environment.yml and is made or repaired at first use (installer.py).
"""

import os
import re
import socket
import sys
import sysconfig
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


def installed(name: str, place: Path | None = None) -> str | None:
    """Return the version of a package, None if it is not there.

    place: a site-packages folder; without one this Python is asked.
    """
    where = {"path": [str(place)]} if place else {}
    return next((found.version for found in metadata.distributions(name=name, **where)), None)


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
    inside = Path(sys.prefix).resolve() == folder().resolve()
    lacking = unmet()
    if inside:
        link()
    if not lacking:
        return
    if wrong := defect():
        from course_lib import installer

        installer.set_up(wrong, lacking)
    elif inside:
        raise CourseError(f"{folder()} lacks {', '.join(lacking)}: delete it, then try again.")
    link()
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
    import subprocess

    with subprocess.Popen(command) as process:
        while True:
            with suppress(KeyboardInterrupt):  # the process got it too, and decides what to do
                sys.exit(process.wait())


def folder() -> Path:
    """Return where the course's own environment lies."""
    return settings.home() / ".venv"


def unfinished() -> Path:
    """Return the file that stands beside `.venv` from the start of a set-up to its success."""
    return settings.home() / ".venv-unfinished"


def pins_file() -> Path:
    """Return the file in `.venv` that says what was installed; a set-up writes it last."""
    return folder() / "pins.txt"


def python() -> Path:
    """Return the Python of `.venv`."""
    return site("scripts") / ("python.exe" if os.name == "nt" else "python")


def site(kind: str = "purelib") -> Path:
    """Return the folder of `.venv` for a kind of file, a name of sysconfig's."""
    base = str(folder())
    return Path(sysconfig.get_path(kind, "venv", {"base": base, "platbase": base}))


def defect() -> str:
    """Return in a few words why `.venv` cannot be used as it is; nothing if it can."""
    if unfinished().exists():
        return "its set-up was cut short"
    if not folder().exists():
        return "there is none yet"
    if not is_usable():
        return f"it is broken, or not of Python {THIS_PYTHON}"
    if not pins_file().exists() or pins_file().read_text(encoding="utf-8").split() != pins():
        return "it does not hold the pinned versions"
    lost = [pin for pin in pins() if not _holds(*pin.split("=="))]
    return f"it lacks {', '.join(lost)}" if lost else ""


def is_usable() -> bool:
    """Return whether `.venv` is of this version of Python, still has its base, and has pip."""
    with suppress(OSError, KeyError):
        text = (folder() / "pyvenv.cfg").read_text(encoding="utf-8")
        facts = dict(re.findall(r"^([\w-]+) *= *(.+?) *$", text, re.MULTILINE))
        base, version = Path(facts["home"]), facts.get("version") or facts["version_info"]
        if base.is_dir() and python().exists() and version.startswith(f"{THIS_PYTHON}."):
            return installed("pip", site()) is not None
    return False


def _holds(name: str, version: str) -> bool:
    found = installed(name, site()) or installed(name, site("platlib")) or ""
    return found.split("+")[0] == version


def link():
    """Let the Python of `.venv` find course_lib however it is started (editors, terminals)."""
    line = f"import sys; sys.path.append({ascii(str(ROOT))})\n"  # ASCII: read in any encoding
    path = site() / "course_lib.pth"
    if path.exists() and path.read_text(encoding="utf-8") == line:
        return
    with suppress(CourseError), settings.atomic(path) as temporary:  # PYTHONPATH does without
        temporary.write_text(line, encoding="utf-8")


def free_port(first: int, last: int) -> int | None:
    """Return the first of the ports `first`, ..., `last` that is free on this computer, or None."""
    return next(filter(_is_free, range(first, last + 1)), None)


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        if os.name != "nt":  # a port that was closed a moment ago is free
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError, OverflowError):
            listener.bind(("127.0.0.1", port))
            return True
    return False
