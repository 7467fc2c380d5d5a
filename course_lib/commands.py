"""The commands `lab` and `test`."""

import argparse
import os
import sys
from pathlib import Path

from course_lib import environment, lessons, settings
from course_lib.settings import ROOT

FIRST_PORT = 8888  # where JupyterLab begins to look for a free one
JUPYTER_SETTINGS = ROOT / "course_lib" / "jupyter"  # no news, no look for updates


def lab(argv: list[str]) -> int:
    """Open the lessons in JupyterLab.

    Your notebooks lie in work/. One that you have changed is never overwritten: a new edition of
    it is laid beside it. Ctrl-C, twice, stops JupyterLab. Other options are passed on to it.
    """
    parser = settings.parser("lab", lab.__doc__)
    add = parser.add_argument
    add("--complete", action="store_true", help="open the complete lessons, with every answer")
    add("--route", choices=["core", "workshop"], help="only this route through the lessons")
    add("--no-browser", action="store_true", help="print the address instead of opening it")
    add("--port", type=int, help=f"use this port (default: the first free one from {FIRST_PORT})")
    options, others = parser.parse_known_args(argv)
    folder = ROOT / "notebooks" if options.complete else lessons.prepare_work(route=options.route)
    print(f"Lessons: {folder}")
    if os.environ.get("JUPYTERHUB_USER"):
        print("On a hub: open this folder in the JupyterLab that you are in.")
        print(f"If `import course_lib` fails there, the hub needs: pip install -e '{ROOT}'")
        return 0
    layers = [str(JUPYTER_SETTINGS), os.environ.get("JUPYTER_CONFIG_PATH")]
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(filter(None, layers))
    for_jupyter = [word for word in others if word != "--"]
    environment.replace([*_jupyterlab(folder, options), *for_jupyter], folder)


def _jupyterlab(folder: Path, options: argparse.Namespace) -> list[str]:
    """Return the command that serves a folder to this computer alone, its first lesson open."""
    command = [sys.executable, "-P", "-m", "jupyterlab", f"--ServerApp.root_dir={folder}"]
    command += ["--ip=127.0.0.1", f"--port={options.port or FIRST_PORT}"]
    if options.port:  # no other one will do
        command.append("--ServerApp.port_retries=0")
    if notebooks := sorted(folder.glob("[0-9][0-9]_*.ipynb")):
        command.append(f"--LabApp.default_url=/lab/tree/{notebooks[0].name}")
    if options.no_browser:
        command.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    return command


def test(argv: list[str]) -> int:
    """Run the tests of the library and of the checks, and every lesson from top to bottom.

    That takes some minutes on two cores. PYTEST_ADDOPTS holds more options of pytest, as in "-n 2".
    """
    parser = settings.parser("test", test.__doc__)
    add, profiles = parser.add_argument, {"choices": settings.PROFILES, "default": "smoke"}
    add("paths", nargs="*", metavar="PATH", help="only these files, folders or pytest ids")
    add("-k", metavar="WORDS", help="only tests with such names, as in pytest")
    add("--profile", **profiles, help="how long lessons train (default: smoke, whatever is set)")
    add("--device", help="cpu, cuda, mps or auto (default: COURSE_DEVICE or auto)")
    options = parser.parse_intermixed_args(argv)
    # Paths of this folder; pytest looks for others in the course.
    paths = [os.path.abspath(p) if Path(p.split("::")[0]).exists() else p for p in options.paths]
    import pytest  # here, since the doctor imports this module without packages

    caches = settings.cache_dir()  # not the checkout, which may be read-only
    os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(caches / "hypothesis"))
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    chosen = ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=300"]
    chosen += ["--profile", options.profile, "-o", f"cache_dir={caches / 'pytest'}"]
    chosen += ["--device", options.device] if options.device else []
    chosen += ["-k", options.k] if options.k else []
    status = pytest.main([*chosen, *(paths or ["notebooks", "tests"])])
    return 0 if options.k and status == pytest.ExitCode.NO_TESTS_COLLECTED else int(status)
