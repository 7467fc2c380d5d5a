"""Where things lie, which profile is active, and how files are written. Standard library only."""

import argparse
import errno
import functools
import os
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROFILES = ("smoke", "standard", "full")
DATA_SETS = ("strokes", "mnist", "fashion-mnist")


class CourseError(Exception):
    """An error that the reader can mend: one sentence that says what to do."""

    def _render_traceback_(self):
        return [f"✗ {self}"]


def home() -> Path:
    """Return the folder for everything that is written.

    COURSE_HOME if it is set; else the checkout if it is writable; else ~/image-course.
    """
    if chosen := os.environ.get("COURSE_HOME"):
        return Path(chosen).expanduser().resolve()
    return ROOT if is_writable(ROOT) else Path.home() / "image-course"


@functools.cache
def is_writable(folder: Path) -> bool:
    """Return whether files can be made in a folder (os.access does not know Windows' rights)."""
    probe = folder / f".{os.getpid()}.part"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        return error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS)
    return True


def work_dir() -> Path:
    """Return the folder of the learner's notebooks."""
    return home() / "work"


def data_dir() -> Path:
    """Return the folder where data sets are looked for first and downloads are kept."""
    return home() / "data"


def cache_dir() -> Path:
    """Return the folder for what can be made again: drawn data, measurements of this machine."""
    return home() / ".cache"


def weights_dir() -> Path:
    """Return the folder of the small trained weights that come with the course."""
    return ROOT / "data" / "weights"


def _chosen(variable: str, default: str, allowed: tuple[str, ...]) -> str:
    value = os.environ.get(variable) or default
    if value not in allowed:
        raise CourseError(f"{variable} is {value!r}; it must be one of {', '.join(allowed)}.")
    return value


def profile_name() -> str:
    """Return the active profile: COURSE_PROFILE, or standard."""
    return _chosen("COURSE_PROFILE", "standard", PROFILES)


def profile(*, smoke, standard, full=None):
    """Return the value that belongs to the active profile; full falls back to standard."""
    values = {"smoke": smoke, "standard": standard, "full": standard if full is None else full}
    return values[profile_name()]


def data_name() -> str:
    """Return the digits data set that the lessons use: COURSE_DATA, or strokes."""
    return _chosen("COURSE_DATA", "strokes", DATA_SETS)


def parser(command: str, about: str) -> argparse.ArgumentParser:
    """Return the parser of a command; about: what it does, which is the docstring of its code."""
    return argparse.ArgumentParser(f"python3 -m course_lib {command}", description=about)


@contextmanager
def atomic(path):
    """Yield a temporary path beside `path`; rename it onto `path` if the block succeeds.

    Raises CourseError, with `path` untouched, if the disk is full or the folder is not writable.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if not error.errno or isinstance(error, FileNotFoundError | ConnectionError | TimeoutError):
            raise  # the disk has nothing to do with it
        advice = "Free some space or set COURSE_HOME to a folder that you can write to"
        raise CourseError(f"Cannot write {path}: {error.strerror}. {advice}.") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def write(path, content):
    """Write a file as `atomic` does: bytes, or text, which becomes UTF-8 with plain line ends."""
    with atomic(path) as temporary:
        temporary.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
