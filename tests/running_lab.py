"""JupyterLab, started by the command `lab` as the README says, for tests that need it running."""

import os
import re
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psutil

SECONDS = 60  # what takes longer is broken; on two free cores nothing takes ten
ADDRESS = re.compile(r"(http://127\.0\.0\.1:\d+/)\S*\?token=(\w+)")


def wait_until(condition, what: str):
    """Return what condition() returns as soon as it is true; fail after SECONDS."""
    give_up = time.monotonic() + SECONDS
    while not (found := condition()):
        assert time.monotonic() < give_up, f"waited {SECONDS} s in vain for {what}"
        time.sleep(0.05)
    return found


@contextmanager
def running_lab(root: Path, environ: dict[str, str], log: Path, *for_jupyter: str):
    """Yield the address and the token that `lab` prints; end it and its kernels afterwards.

    root: the course's folder. environ: the variables. log: a file for what it says.
    """
    command = [sys.executable, "-m", "course_lib", "lab", "--no-browser", "--port", free_port()]
    command += ["--", *for_jupyter]
    with log.open("wb") as file:
        streams = {"stdin": subprocess.DEVNULL, "stdout": file, "stderr": file}
        process = subprocess.Popen(command, cwd=root, env=environ, **streams)

    def address():
        said = log.read_text(encoding="utf-8", errors="replace")
        assert process.poll() is None, said
        return ADDRESS.search(said)

    try:
        yield wait_until(address, "the address of JupyterLab").groups()
    finally:
        end(process)


def own_environment(home: Path) -> dict[str, str]:
    """Return variables that keep a command from the settings of whoever runs the tests.

    home: COURSE_HOME, and where JupyterLab keeps its files.
    """
    theirs = ("JUPYTER", "JPY_", "COURSE_", "PYTHON")
    environ = {name: text for name, text in os.environ.items() if not name.startswith(theirs)}
    for kind in ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR"):
        environ[f"JUPYTER_{kind}"] = str(home / "jupyter" / kind)
    environ |= {"IPYTHONDIR": str(home / "ipython"), "OMP_NUM_THREADS": "1"}
    return environ | {"COURSE_HOME": str(home), "COURSE_PROFILE": "smoke"}


def free_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


def end(process: subprocess.Popen):
    """End a server and what it started: kernels have process groups of their own."""
    if process.poll() is not None:
        return
    family = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    _, alive = psutil.wait_procs([process, *family], timeout=10)
    for one in alive:
        one.kill()
    psutil.wait_procs(alive, timeout=10)
