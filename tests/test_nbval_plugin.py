"""The repaired nbval: a dead kernel is noticed at once, cells after a failure are skipped."""

import subprocess
import sys
import time

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from course_lib.settings import ROOT

NOTEBOOKS = {
    "dies": ["x = 1", "import os; os._exit(1)", "x", "x"],
    "fails": ["x = 1", "1 / 0", "x"],
    "works": [
        "import os, course_lib; assert os.environ['COURSE_PROFILE'] == 'full'",
        "assert os.environ['COURSE_DEVICE'] == 'cpu'",
    ],
}


def test_broken_notebooks_are_reported_once_and_at_once(tmp_path):
    for name, cells in NOTEBOOKS.items():
        nb = new_notebook(cells=[new_code_cell(cell) for cell in cells])
        nbformat.write(nb, tmp_path / f"{name}.ipynb")
    options = "-p tests.nbval_plugin --nbval-lax --nbval-current-env --nbval-cell-timeout=500 -rA"
    options += " -p no:cacheprovider -p no:xdist --color=no --profile full --device cpu --rootdir"
    command = [sys.executable, "-m", "pytest", *options.split(), str(tmp_path), str(tmp_path)]
    start = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    assert "course: profile full, device cpu, threads" in done.stdout
    assert "2 failed, 4 passed, 3 skipped" in done.stdout
    assert "the kernel died" in done.stdout and "ZeroDivisionError" in done.stdout
    assert "SKIPPED [3]" in done.stdout and "Cell 1 of this notebook failed" in done.stdout
    assert time.perf_counter() - start < 120  # nbval alone waits for 500 s
