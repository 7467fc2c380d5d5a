"""The command `doctor`: is this computer ready for the course, and if not, what to do.

Standard library only; the checks that need the packages come last.
"""

import argparse
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from course_lib import commands, environment, installer, settings
from course_lib.settings import CourseError

GOOD, BAD, NOTE = "✓", "✗", "–"
GIGABYTES_OF_DISK = 1  # for data, caches and checkpoints
GIGABYTES_OF_MEMORY = 2  # a lesson needs up to 1.2, JupyterLab and the browser the rest


class Finding(NamedTuple):
    """One line of the report: a mark, what was looked at, and what was found or is to do."""

    mark: str
    name: str
    text: str


def main(argv: list[str] | None = None) -> int:
    """Look at everything, print a line for each finding; return 1 if one of them is bad."""
    parser = argparse.ArgumentParser(
        prog="python3 -m course_lib doctor",
        description="Check Python, packages, settings, disk, memory, processors, the device that "
        "trains (against the CPU), the data that lies here and JupyterLab's port.",
        epilog=f"{GOOD} good, {BAD} to be mended (exit status 1), {NOTE} for your information.",
    )
    parser.parse_args(argv)
    bad = 0
    for finding in findings(_no_environment()):
        print(f"{finding.mark} {finding.name:<9} {finding.text}", flush=True)
        bad += finding.mark == BAD
    print(f"To mend: {bad} of the above." if bad else "Ready.")
    return int(bad > 0)


def _no_environment() -> str:
    """Go on where the packages are, or return why they cannot be had."""
    try:
        environment.enter(["doctor"])
    except CourseError as error:
        return str(error)
    return ""


def findings(problem: str = "") -> Iterator[Finding]:
    """Yield what every check finds. problem: why the packages cannot be had, if so."""
    for look in (python, choices, disk, port):
        yield from _named(look)
    if problem:
        yield Finding(BAD, "packages", problem)
        return
    for look in (packages, memory, cores, devices, data):
        yield from _named(look)


def _named(look: Callable[[], Iterator[tuple[str, str]]]) -> Iterator[Finding]:
    """Yield the marks and texts of a check under its name; if it breaks, that is a finding too."""
    try:
        for mark, text in look():
            yield Finding(mark, look.__name__, text)
    except CourseError as error:
        yield Finding(BAD, look.__name__, str(error))
    except Exception as error:
        yield Finding(BAD, look.__name__, f"{type(error).__name__}: {error}")


def python() -> Iterator[tuple[str, str]]:
    """Name the Python that runs."""
    version = ".".join(str(number) for number in sys.version_info[:3])
    yield GOOD, f"{version}, {sys.executable}"


def choices() -> Iterator[tuple[str, str]]:
    """Name profile, data and folder; a value that the course does not know is bad."""
    chosen = f"profile {settings.profile_name()}, data {settings.data_name()}"
    yield GOOD, f"{chosen}, files under {settings.home()}"


def disk() -> Iterator[tuple[str, str]]:
    """Write a file under COURSE_HOME and look how much room is left."""
    home = settings.home()
    with suppress(OSError):
        home.mkdir(parents=True, exist_ok=True)
    if not (home.is_dir() and settings.is_writable(home)):
        text = f"cannot write to {home}: set COURSE_HOME to a folder that you can write to"
        yield BAD, text
        return
    free = shutil.disk_usage(home).free / 1e9
    if free < GIGABYTES_OF_DISK:
        advice = f"free {GIGABYTES_OF_DISK} GB, or set COURSE_HOME to a folder on another disk"
        yield BAD, f"{free:.1f} GB free: {advice}"
    else:
        yield GOOD, f"{free:.1f} GB free"


def port() -> Iterator[tuple[str, str]]:
    """Look whether JupyterLab's usual port is free."""
    first = commands.FIRST_PORT
    free = environment.free_port(first, first + commands.PORTS - 1)
    if free is None:
        yield BAD, f"none is free from {first} on: use lab --port N"
    elif free != first:
        yield NOTE, f"{first} is in use, lab will take {free}"
    else:
        yield GOOD, f"{first} is free"


def packages() -> Iterator[tuple[str, str]]:
    """Compare the packages of this Python with pyproject.toml's ranges."""
    lacking = environment.unmet()
    for package in lacking:
        yield BAD, f"{package}: install a version in that range"
    if not lacking:
        torch, count = environment.installed("torch"), len(environment.requirements())
        yield GOOD, f"{count} as pyproject.toml wants them, torch is {torch}"


def memory() -> Iterator[tuple[str, str]]:
    """Compare the memory that is free with what a lesson needs."""
    free = free_memory() / 1e9
    if free < GIGABYTES_OF_MEMORY:
        advice = f"close other programs, a lesson needs up to {GIGABYTES_OF_MEMORY} GB"
        yield BAD, f"{free:.1f} GB free: {advice}"
    else:
        yield GOOD, f"{free:.1f} GB free"


def free_memory(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the bytes that this process can still get, on this computer and in its container."""
    import psutil

    free = psutil.virtual_memory().available
    for folder, limit, used in (
        (cgroup, "memory.max", "memory.current"),
        (cgroup / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        with suppress(OSError, TypeError):  # no such cgroup, or no limit
            cached = _number(folder / "memory.stat", "inactive_file ")
            free = min(free, _number(folder / limit) - _number(folder / used) + cached)
    return free


def _number(path: Path, before: str = "") -> int:
    return int(re.search(rf"{before}(\d+)", path.read_text(encoding="utf-8"))[1])


def cores() -> Iterator[tuple[str, str]]:
    """Count the processors that training will use: affinity and the container's quota count."""
    from course_lib import device

    used = device.set_threads()
    text = f"{used} for training, of {os.cpu_count()}"
    if used == 1:
        yield NOTE, f"{text}: the minutes that lessons name are for two"
    else:
        yield GOOD, text


def devices() -> Iterator[tuple[str, str]]:
    """Compute the layers of the lessons on every device, forward and backward."""
    import torch

    from course_lib import device

    gpus = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    for name in ("cpu", *(gpu for gpu in gpus if gpus[gpu])):
        if wrong := device.self_test(name):
            advice = "install torch anew" if name == "cpu" else "set COURSE_DEVICE=cpu"
            yield BAD, f"{name} computes {', '.join(wrong)} wrongly: {advice}"
        else:
            yield GOOD, f"computes rightly: {device.describe(name)}"
    if installer.has_nvidia() and not gpus["cuda"]:
        text = "there is an NVIDIA driver, but this torch cannot use it"
        yield NOTE, f"{text}: see https://pytorch.org/get-started/locally"
    device.pick_device()  # raises CourseError if COURSE_DEVICE is not there


def data() -> Iterator[tuple[str, str]]:
    """Verify the data sets that lie here."""
    from course_lib import datasets

    marks = {"ready": GOOD, "damaged": BAD}
    for row in datasets.status():
        text = f"{row.name}: {row.state}{row.hint and ', '}{row.hint}"
        yield marks.get(row.state, NOTE), text
