"""The commands `lab` and `test`. Standard library only until the packages are there."""

import argparse
import importlib.util
import os
import sys
from pathlib import Path

from course_lib import environment, settings
from course_lib.settings import ROOT, CourseError

FIRST_PORT, PORTS = 8888, 100
JUPYTER_SETTINGS = ROOT / "course_lib" / "jupyter"  # no news, no look for updates


def _parse(parser: argparse.ArgumentParser, argv: list[str]):
    """Return the options before `--`, parsed, and the list of what follows it."""
    end = argv.index("--") if "--" in argv else len(argv)
    return parser.parse_args(argv[:end]), argv[end + 1 :]


def _lab_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 -m course_lib lab",
        description="Open the lessons in JupyterLab. Your notebooks lie in work/. One that you "
        "have changed is never overwritten: a new edition of it is laid beside it.",
        epilog="Ctrl-C, twice, stops JupyterLab. What follows -- is passed on to it.",
    )
    parser.add_argument(
        "--complete", action="store_true", help="open the complete lessons, with every answer"
    )
    parser.add_argument(
        "--route", choices=["core", "workshop"], help="only this route through the lessons"
    )
    parser.add_argument(
        "--no-browser", action="store_true", help="print the address instead of opening it"
    )
    parser.add_argument(
        "--port", type=int, help=f"use this port (default: the first free one from {FIRST_PORT})"
    )
    return parser


def lab(argv: list[str]) -> int:
    """Make or update the learner's notebooks and go on as JupyterLab.

    Raises CourseError if the port cannot be used.
    """
    options, for_jupyter = _parse(_lab_parser(), argv)
    environment.enter(["lab", *argv])
    folder = _lessons_folder(options)
    print(f"Lessons: {folder}")
    if os.environ.get("JUPYTERHUB_USER"):
        print("On a hub: open this folder in the JupyterLab that you are in.")
        print(f"If `import course_lib` fails there, the hub needs: pip install -e '{ROOT}'")
        return 0
    command = _jupyterlab(folder, _port(options.port), options.no_browser)
    layers = [str(JUPYTER_SETTINGS), os.environ.get("JUPYTER_CONFIG_PATH")]
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(filter(None, layers))
    environment.replace([*command, *for_jupyter], folder)


def _lessons_folder(options: argparse.Namespace) -> Path:
    if options.complete:
        return ROOT / "notebooks"
    from course_lib import lessons

    return lessons.prepare_work(route=options.route)


def _port(wanted: int | None) -> int:
    first, last = (wanted, wanted) if wanted else (FIRST_PORT, FIRST_PORT + PORTS - 1)
    port = environment.free_port(first, last)
    if port is None:
        raise CourseError(f"Port {last} cannot be used; choose another with --port.")
    if port != first:
        print(f"Port {first} is in use; JupyterLab takes {port}.")
    return port


def _jupyterlab(folder: Path, port: int, no_browser: bool) -> list[str]:
    """Return the command that serves a folder to this computer alone, its first lesson open."""
    command = [sys.executable, "-P", "-m", "jupyterlab", f"--ServerApp.root_dir={folder}"]
    command += ["--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"]
    if lessons := sorted(folder.glob("[0-9][0-9]_*.ipynb")):
        command.append(f"--LabApp.default_url=/lab/tree/{lessons[0].name}")
    if no_browser:
        command.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    return command


def _test_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 -m course_lib test",
        description="Run the tests of the library and of the checks, and every lesson from top to "
        "bottom: some minutes on two cores.",
        epilog="What follows -- is passed on to pytest, as in: test -k vae -- -x --durations=10",
    )
    parser.add_argument(
        "paths", nargs="*", metavar="PATH", help="only these files, folders or pytest ids"
    )
    parser.add_argument("-k", metavar="WORDS", help="only tests with such names, as in pytest")
    parser.add_argument(
        "--profile",
        choices=settings.PROFILES,
        default="smoke",
        help="how long the lessons train (default: smoke, whatever COURSE_PROFILE says)",
    )
    parser.add_argument("--device", help="cpu, cuda, mps or auto (default: COURSE_DEVICE or auto)")
    parser.add_argument("--jobs", type=int, metavar="N", help="run in N processes (pytest-xdist)")
    return parser


def test(argv: list[str]) -> int:
    """Run pytest on the library and, with nbval, on the lessons; return its exit status.

    Raises CourseError if a path is not there.
    """
    options, for_pytest = _parse(_test_parser(), argv)
    options.paths = [_locate(path) for path in options.paths]
    environment.enter(["test", *argv])
    import pytest

    caches = settings.cache_dir()  # not the checkout, which may be read-only
    os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(caches / "hypothesis"))
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    status = pytest.main(
        [*_pytest_options(options), "-o", f"cache_dir={caches / 'pytest'}", *for_pytest]
    )
    if status == pytest.ExitCode.NO_TESTS_COLLECTED and options.k:
        return 0
    return int(status)


def _locate(path: str) -> str:
    """Return the absolute form of a path of this folder or of the course; `::name` stays."""
    name, colons, test_name = path.partition("::")
    for base in Path.cwd(), ROOT:
        if (base / name).exists():
            return f"{base / name}{colons}{test_name}"
    raise CourseError(f"There is no {name} in {Path.cwd()} or in {ROOT}.")


def _pytest_options(options: argparse.Namespace) -> list[str]:
    chosen = ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=300"]
    chosen += ["--profile", options.profile]
    if options.device:
        chosen += ["--device", options.device]
    if options.k:
        chosen += ["-k", options.k]
    if options.jobs:
        if not importlib.util.find_spec("xdist"):
            raise CourseError("--jobs needs pytest-xdist: pip install pytest-xdist")
        chosen += ["-n", str(options.jobs), "--dist", "loadfile"]
    return chosen + (options.paths or ["notebooks", "tests"])
