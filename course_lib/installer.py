"""Make or repair the course's own environment, `.venv`. Standard library only.

`.venv-unfinished` stands beside it from the start to the success of a set-up, locked against a
second one; the list of what was installed is written last. So whatever cuts a set-up short, the
next command sees it and starts again.
"""

import errno
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import threading
import time
import urllib.request
import venv
from contextlib import contextmanager, suppress
from pathlib import Path

from course_lib import environment, settings
from course_lib.settings import CourseError

GIGABYTES, GIGABYTES_WITH_CUDA = 3, 10  # of disk for the environment and pip's work
ELSEWHERE = ("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT")  # would not install into .venv


def set_up(why: str, lacking: list[str]):
    """Make or repair `.venv` and show how it goes.

    why: what is wrong with it. lacking: the requirements that the Python running here lacks.
    Raises CourseError, one sentence, if this computer, its disk or its network do not allow it.
    """
    if reason := unsupported():
        raise CourseError(reason)
    start = time.monotonic()
    again = environment.unfinished().exists()
    with _alone():
        if len(lacking) < len(environment.requirements()):
            _say(f"This Python lacks {', '.join(lacking)}, so the course uses one of its own.")
        _say(f"Setting up the course in {environment.folder()} ({why}).")
        _say(f"Needs about {_gigabytes()} GB and some minutes, once.")
        try:
            if again or not environment.is_usable():
                _make()
            _install()
        except KeyboardInterrupt:
            _say("\nThe set-up was stopped; the next command starts it again.")
            sys.exit(130)
    _say(f"The course is set up ({time.monotonic() - start:.0f} s).")


def _say(text: str):
    print(text, file=sys.stderr, flush=True)


def unsupported() -> str:
    """Return why no set-up can work with this Python; nothing if it may."""
    musl = "musl" in (sysconfig.get_config_var("HOST_GNU_TYPE") or "")
    intel_mac = sys.platform == "darwin" and platform.machine() == "x86_64"
    if sys.maxsize < 2**32 or sys.implementation.name != "cpython" or musl or intel_mac:
        kind = f"{platform.python_implementation()} for {sysconfig.get_platform()}"
        return (
            f"There is no torch for this Python ({kind}): use 64-bit CPython on Linux (glibc), "
            "Windows or an Apple-silicon Mac, or a conda environment that has torch."
        )
    if importlib.util.find_spec("ensurepip") is None:
        return (
            "This Python cannot make virtual environments: install the package python3-venv "
            "(Debian, Ubuntu: sudo apt install python3-venv), then try again."
        )
    return ""


@contextmanager
def _alone():
    """Keep the mark of an unfinished set-up and lock it; remove it if the block succeeds."""
    mark = environment.unfinished()
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
        file = mark.open("a", encoding="utf-8")
    except OSError as error:
        raise _not_written(error) from error
    with file:
        if not _lock(file):
            raise CourseError("Another command is setting up the course: wait until it is done.")
        yield
    mark.unlink(missing_ok=True)


def _lock(file) -> bool:
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:  # a file system without locks is no reason to stop
        return error.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
    return True


def _not_written(error: Exception) -> CourseError:
    return CourseError(
        f"Cannot write to {settings.home()} ({error}): free some space, close the programs that "
        "use it, or set COURSE_HOME to another folder."
    )


def _gigabytes() -> int:
    return GIGABYTES_WITH_CUDA if has_nvidia() else GIGABYTES


def _make():
    """Make an empty `.venv` with pip in it, in place of whatever is there."""
    free = shutil.disk_usage(settings.home()).free / 1e9
    if free < _gigabytes():
        raise CourseError(
            f"The set-up needs {_gigabytes()} GB of disk and {settings.home()} has {free:.1f}: "
            "free some space, or set COURSE_HOME to a folder on another disk."
        )
    place, links = environment.folder(), os.name != "nt"
    try:
        venv.create(place, clear=True, symlinks=links, with_pip=True, prompt="course")
    except subprocess.CalledProcessError as error:  # of pip, which installs itself
        raise CourseError(explain((error.output or b"").decode("utf-8", "replace"))) from error
    except (OSError, ValueError) as error:
        raise _not_written(error) from error


def _install():
    """Install the pinned versions, then write them down. Raises CourseError with pip's reason."""
    pins = environment.pins()
    pip = [str(environment.python()), "-I", "-m", "pip"]
    environ = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
    known = subprocess.run([*pip, "config", "list"], env=environ, capture_output=True).stdout
    options = extra_index(known.decode("utf-8", errors="replace"))
    install = [*pip, "install", "--disable-pip-version-check", *options, *pins]
    status, said = _run(install, environ)
    if status:
        raise CourseError(explain(said))
    with settings.atomic(environment.pins_file()) as temporary:
        temporary.write_text("\n".join(pins) + "\n", encoding="utf-8")


def _run(command: list[str], environ: dict[str, str]) -> tuple[int, str]:
    """Run pip; return its status and its complaints. What else it says goes to the console."""
    said = []
    with subprocess.Popen(command, env=environ, stdout=2, stderr=subprocess.PIPE) as process:
        try:
            for line in process.stderr:
                said.append(line.decode("utf-8", errors="replace"))
                if "Retrying" in said[-1]:
                    _say("The package index does not answer; trying again ...")
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            raise
    return process.returncode, "".join(said)


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
    """Return whether a web page can be had in that time, the look-up of its name included."""
    got = threading.Event()

    def ask():
        with suppress(Exception), urllib.request.urlopen(url, timeout=seconds):
            got.set()

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return got.is_set()


def explain(said: str) -> str:
    """Return one sentence on why pip failed and what to do, from what pip wrote."""
    errors = re.findall(r"^ERROR: (.*)", said, re.MULTILINE) or said.strip().splitlines() or ["?"]
    where = f"Python {environment.THIS_PYTHON} on {sysconfig.get_platform()}"
    if re.search(r"No space left|Errno 28|Errno 122|WinError 112", said):
        advice = f"free {_gigabytes()} GB of disk, or set COURSE_HOME to a folder on another disk"
    elif re.search(r"connection|timed out|name resolution|SSLError|HTTP error", said, re.I):
        advice = "connect to a network, or set PIP_NO_INDEX=1 and PIP_FIND_LINKS=a folder of wheels"
    elif "No matching distribution" in said:
        advice = f"where pip is told to look there is none for {where}; see its PIP_... variables"
    else:
        advice = "run the command again, with PIP_VERBOSE=1 to see more"
    return f"The packages could not be installed ({errors[-1].strip()}): {advice}."
