"""Notebooks under nbval: `python -m pytest -p tests.nbval_plugin --nbval-lax --nbval-current-env`.

Adds --profile and --device, and mends two defects of nbval 0.11: it waits for a kernel that has
died until the cell's time is over, and it runs the cells after one that failed.
"""

import math
import os
import time
from queue import Empty

import nbval.plugin
import pytest
from nbval.kernel import RunningKernel
from nbval.plugin import IPyNbCell

from course_lib.settings import PROFILES, ROOT

FIRST_FAILURE = pytest.StashKey[str]()


def pytest_addoption(parser):
    group = parser.getgroup("course")
    group.addoption("--profile", default="smoke", choices=PROFILES, help="size of the runs")
    group.addoption("--device", default=None, help="cpu, cuda, mps or auto (COURSE_DEVICE)")


def pytest_configure(config):
    """Set the environment that the notebooks' kernels inherit."""
    os.environ["COURSE_PROFILE"] = config.getoption("--profile")
    if config.getoption("--device"):
        os.environ["COURSE_DEVICE"] = config.getoption("--device")
    paths = [str(ROOT), os.environ.get("PYTHONPATH")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, _cores() // int(workers))))


def pytest_report_header():
    device = os.environ.get("COURSE_DEVICE", "auto")
    threads = os.environ.get("OMP_NUM_THREADS", _cores())
    return f"course: profile {os.environ['COURSE_PROFILE']}, device {device}, threads {threads}"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


class WatchedKernel(RunningKernel):
    """A kernel whose death is noticed within a second."""

    def get_message(self, stream, timeout=None):
        end = math.inf if timeout is None else time.monotonic() + timeout
        while True:
            try:
                return super().get_message(stream, timeout=max(0, min(1, end - time.monotonic())))
            except Empty:
                if not self.is_alive():
                    raise RuntimeError("the kernel died; is there too little memory?") from None
                if time.monotonic() >= end:
                    raise


nbval.plugin.RunningKernel = WatchedKernel


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    if isinstance(item, IPyNbCell) and report.failed:
        item.parent.stash.setdefault(FIRST_FAILURE, item.name)
    return report


def pytest_runtest_setup(item):
    if isinstance(item, IPyNbCell) and FIRST_FAILURE in item.parent.stash:
        pytest.skip(f"{item.parent.stash[FIRST_FAILURE]} of this notebook failed")
