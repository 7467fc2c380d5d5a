"""The command `doctor`: is this computer ready for the course, and if not, what to do.

Standard library only; the checks that need the packages come last.
"""

import os
import platform
import re
import shutil
import socket
import sys
from collections import namedtuple
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from course_lib import commands, environment, installer, settings
from course_lib.settings import CourseError

GOOD, BAD, NOTE = "✓", "✗", "–"
GIGABYTES_OF_DISK = 1  # for data, caches and weights
GIGABYTES_OF_MEMORY = 2  # a lesson needs up to 1.2, JupyterLab and the browser the rest


# One line of the report: a mark, what was looked at, and what was found or is to do.
Finding = namedtuple("Finding", "mark name text")


def main(argv: list[str]) -> int:
    """Check this computer, line by line, and say what is to do.

    Python, settings, disk, JupyterLab's port, packages, memory, processors, the device that
    trains (against the CPU) and the data that lies here. A cross is to be mended (exit status 1).
    """
    settings.parser("doctor", main.__doc__).parse_args(argv)
    bad, problem = 0, ""
    try:
        environment.enter(["doctor"])
    except CourseError as error:  # the rest can still be looked at
        problem = str(error)
    for finding in findings(problem):
        print(f"{finding.mark} {finding.name:<9} {finding.text}", flush=True)
        bad += finding.mark == BAD
    print(f"To mend: {bad} of the above." if bad else "Ready.")
    return int(bad > 0)


def findings(problem: str = "") -> Iterator[Finding]:
    """Yield what every check finds; one that breaks is a finding too.

    problem: why the packages cannot be had, if so.
    """
    with_packages = (packages, memory, cores, devices, data)
    for look in (python, choices, disk, port, *(() if problem else with_packages)):
        try:
            for mark, text in look():
                yield Finding(mark, look.__name__, text)
        except Exception as error:
            kind = "" if isinstance(error, CourseError) else f"{type(error).__name__}: "
            yield Finding(BAD, look.__name__, f"{kind}{error}")
    if problem:
        yield Finding(BAD, "packages", problem)


def python() -> Iterator[tuple[str, str]]:
    """Name the Python that runs."""
    yield GOOD, f"{platform.python_version()}, {sys.executable}"


def choices() -> Iterator[tuple[str, str]]:
    """Name profile, data and folder; a value that the course does not know is bad."""
    chosen = f"profile {settings.profile_name()}, data {settings.data_name()}"
    yield GOOD, f"{chosen}, files under {settings.home()}"


def disk() -> Iterator[tuple[str, str]]:
    """Write a file under COURSE_HOME and look how much room is left."""
    settings.write(settings.cache_dir() / "doctor", "")
    advice = f"free {GIGABYTES_OF_DISK} GB, or set COURSE_HOME to a folder on another disk"
    yield _room(shutil.disk_usage(settings.home()).free, GIGABYTES_OF_DISK, advice)


def _room(free: int, gigabytes: int, advice: str) -> tuple[str, str]:
    text = f"{free / 1e9:.1f} GB free"
    return (GOOD, text) if free >= gigabytes * 1e9 else (BAD, f"{text}: {advice}")


def port() -> Iterator[tuple[str, str]]:
    """Look whether JupyterLab's usual port is free."""
    with socket.socket() as client:
        in_use = client.connect_ex(("127.0.0.1", commands.FIRST_PORT)) == 0
    busy = NOTE, f"{commands.FIRST_PORT} is in use, JupyterLab will take the next free one"
    yield busy if in_use else (GOOD, f"{commands.FIRST_PORT} is free")


def packages() -> Iterator[tuple[str, str]]:
    """Compare the packages of this Python with pyproject.toml's ranges."""
    lacking = environment.unmet()
    yield from ((BAD, f"{package}: install a version in that range") for package in lacking)
    if not lacking:
        torch, count = environment.installed("torch"), len(environment.requirements())
        yield GOOD, f"{count} as pyproject.toml wants them, torch is {torch}"


def memory() -> Iterator[tuple[str, str]]:
    """Compare the memory that is free with what a lesson needs."""
    advice = f"close other programs, a lesson needs up to {GIGABYTES_OF_MEMORY} GB"
    yield _room(free_memory(), GIGABYTES_OF_MEMORY, advice)


def free_memory(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the bytes that this process can still get, on this computer and in its container."""
    import psutil

    free = psutil.virtual_memory().available
    v1, v2 = ("memory.limit_in_bytes", "memory.usage_in_bytes"), ("memory.max", "memory.current")
    for folder, names in ((cgroup, v2), (cgroup / "memory", v1)):
        with suppress(OSError, TypeError):  # no such cgroup, or no limit
            limit, used = (_number(folder / name) for name in names)
            free = min(free, limit - used + _number(folder / "memory.stat", "inactive_file "))
    return free


def _number(path: Path, before: str = "") -> int:
    return int(re.search(rf"{before}(\d+)", path.read_text(encoding="utf-8"))[1])


def cores() -> Iterator[tuple[str, str]]:
    """Count the processors that training will use: affinity and the container's quota count."""
    from course_lib import device

    used = device.set_threads()
    alone = ": the minutes that lessons name are for two" * (used == 1)
    yield NOTE if alone else GOOD, f"{used} for training, of {os.cpu_count()}{alone}"


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
            yield GOOD, f"torch {torch.__version__} computes rightly on {name}"
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
