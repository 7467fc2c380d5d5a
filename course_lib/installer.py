"""Make or repair the course's own environment, `.venv`. Standard library only.

The record of what it holds is deleted first and written last. So whatever cuts a set-up short, the
next command sees it and starts again.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
import urllib.request
import venv
from contextlib import suppress
from pathlib import Path

from course_lib import environment, settings
from course_lib.settings import CourseError

GIGABYTES, GIGABYTES_WITH_CUDA = 3, 10  # of disk for the environment and pip's work


def set_up(why: str, lacking: list[str]):
    """Make or repair `.venv` and show how it goes.

    why: what is wrong with it. lacking: the requirements that the Python running here lacks.
    Raises CourseError, one sentence, if this computer, its disk or its network do not allow it.
    """
    if importlib.util.find_spec("ensurepip") is None:
        need = "This Python cannot make virtual environments: install the package python3-venv"
        raise CourseError(f"{need} (Debian, Ubuntu: sudo apt install python3-venv) and try again.")
    start = time.monotonic()
    if len(lacking) < len(environment.requirements()):
        _say(f"This Python lacks {', '.join(lacking)}, so the course uses one of its own.")
    _say(f"Setting up the course in {environment.folder()} ({why}).")
    _say(f"Needs about {_gigabytes()} GB and some minutes, once.")
    if environment.is_usable():
        environment.record().unlink()
    else:
        _make()
    _install()
    _say(f"The course is set up ({time.monotonic() - start:.0f} s).")


def _say(text: str):
    print(text, file=sys.stderr, flush=True)


def _gigabytes() -> int:
    return GIGABYTES_WITH_CUDA if has_nvidia() else GIGABYTES


def _make():
    """Make an empty `.venv` with pip in it, in place of whatever is there."""
    home, links = settings.home(), os.name != "nt"
    try:
        home.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(home).free / 1e9
        if free < _gigabytes():
            need = f"The set-up needs {_gigabytes()} GB of disk and {home} has {free:.1f}"
            raise CourseError(f"{need}: free some, or set COURSE_HOME to a folder elsewhere.")
        venv.create(environment.folder(), clear=True, symlinks=links, with_pip=True)
    except subprocess.CalledProcessError as error:  # of pip, which installs itself
        raise CourseError(explain((error.output or b"").decode("utf-8", "replace"))) from error
    except (OSError, ValueError) as error:
        advice = "close the programs that use it, or set COURSE_HOME to another folder"
        raise CourseError(f"Cannot write to {home} ({error}): {advice}.") from error


def _install():
    """Install the pinned versions, then write them down. Raises CourseError with pip's reason."""
    pip = [str(environment.python()), "-I", "-m", "pip"]
    environ = os.environ | {"PIP_USER": "0"}  # 1, as on some hubs, would not install into .venv
    known = subprocess.run([*pip, "config", "list"], env=environ, capture_output=True).stdout
    options = extra_index(known.decode("utf-8", errors="replace"))
    install = [*pip, "install", "--disable-pip-version-check", *options, *environment.pins()]
    held = {"stdout": 2, "stderr": subprocess.PIPE, "encoding": "utf-8", "errors": "replace"}
    done = subprocess.run(install, env=environ, **held)
    if done.returncode:
        raise CourseError(explain(done.stderr))
    _link()
    settings.write(environment.record(), "\n".join(environment.contents()) + "\n")


def _link():
    """Let the Python of `.venv` find course_lib however it is started (editors, terminals)."""
    base = str(environment.folder())
    site = sysconfig.get_path("purelib", "venv", {"base": base, "platbase": base})
    line = f"import sys; sys.path.append({ascii(str(settings.ROOT))})\n"  # ASCII: in any encoding
    settings.write(Path(site, "course_lib.pth"), line)


def extra_index(pip_config: str) -> list[str]:
    """Return the option for PyTorch's CPU builds, where they help and can be had.

    That is on Linux without an NVIDIA driver, if `pip config list` names no index of one's own and
    does not forbid any, and if PyTorch's index answers within 3 seconds.
    """
    lines = [line for line in environment.pip_section() if line.startswith("--extra-index-url")]
    own = re.search(r"\.(index-url=|no-index='?(1|true|yes|on)\b)", pip_config, re.IGNORECASE)
    if not lines or own or sys.platform != "linux" or has_nvidia():
        return []
    option, url = lines[0].split()
    return [option, url] if answers(f"{url}/torch/") else []


def has_nvidia() -> bool:
    """Return whether there is an NVIDIA driver."""
    return bool(shutil.which("nvidia-smi")) or Path("/proc/driver/nvidia/version").exists()


def answers(url: str, seconds: float = 3) -> bool:
    """Return whether a web page can be had in that time."""
    with suppress(OSError), urllib.request.urlopen(url, timeout=seconds):
        return True
    return False


def explain(said: str) -> str:
    """Return one sentence on why pip failed and what to do, from what pip wrote."""
    errors = re.findall(r"^ERROR: (.*)", said, re.MULTILINE) or said.strip().splitlines() or ["?"]
    where = f"Python {environment.THIS_PYTHON} on {sysconfig.get_platform()}"
    if re.search(r"No space left|Errno 28|Errno 122|WinError 112", said):
        advice = f"free {_gigabytes()} GB of disk, or set COURSE_HOME to a folder on another disk"
    elif re.search(r"connection|timed out|name resolution|SSLError|HTTP error", said, re.I):
        advice = "connect to a network, or set PIP_NO_INDEX=1 and PIP_FIND_LINKS=a folder of wheels"
    elif "No matching distribution" in said:
        advice = f"there is none for {where} where pip is told to look (see its PIP_... variables)"
    else:
        advice = "run the command again, with PIP_VERBOSE=1 to see more"
    return f"The packages could not be installed ({errors[-1].strip()}): {advice}."
