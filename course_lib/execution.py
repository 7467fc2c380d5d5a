"""Executing a notebook in a clean kernel, and what of its outputs is kept."""

import os
import re
import subprocess
import time
from pathlib import Path

from course_lib.editions import code_cells
from course_lib.settings import ROOT, CourseError

WIDGET = "application/vnd.jupyter.widget-view+json"
COLOUR = re.compile(r"\x1b\[[\d;]*m")
PROBE = """\
import sys
try:
    from resource import RUSAGE_SELF, getrusage
    peak = getrusage(RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
except ImportError:  # Windows
    import psutil
    peak = psutil.Process().memory_info().peak_wset
devices = [value for value in globals().values() if type(value).__name__ == "device"]
print(devices[0] if devices else "cpu", peak, end="")"""


def execute(nb, folder: Path, *, root: Path = ROOT, report=lambda text: None, **variables) -> dict:
    """Execute a notebook in place, in a clean kernel of this Python that works in `folder`.

    The kernel imports course_lib from `root`; variables are set in its environment; report(text)
    is called before each cell. Returns {"device", "seconds", "peak_mb"}.
    Raises CourseError at a cell that fails; its outputs are then in the notebook.
    """
    from jupyter_client.kernelspec import KernelSpecManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError
    from nbformat.v4 import new_code_cell

    options = {"resources": {"metadata": {"path": str(folder)}}, "shutdown_kernel": "immediate"}
    options |= {"record_timing": False, "store_widget_state": False, "coalesce_streams": True}
    client = NotebookClient(nb, **options)
    this_python = KernelSpecManager(kernel_dirs=[])  # whatever kernels are installed
    client.create_kernel_manager().kernel_spec_manager = this_python
    python_path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": python_path} | variables
    with client.setup_kernel(env=environment, stderr=subprocess.DEVNULL):
        start = time.perf_counter()
        for position, cell in enumerate(nb.cells):
            elapsed = time.perf_counter() - start
            report(f"cell {position + 1}/{len(nb.cells)}, {elapsed:.0f} s")
            try:
                client.execute_cell(cell, position)
            except (CellExecutionError, DeadKernelError) as error:
                died = "The kernel died; most often there was too little memory."
                reason = COLOUR.sub("", getattr(error, "traceback", died))
                failed = f"Cell {cell.id} failed:\n\n{cell.source}\n\n{reason}"
                raise CourseError(failed) from None
        seconds = time.perf_counter() - start
        nb.cells.append(new_code_cell(PROBE))
        client.execute_cell(nb.cells[-1], len(nb.cells) - 1)
    device, peak = nb.cells.pop().outputs[0].text.split()
    return {"device": device, "seconds": round(seconds, 1), "peak_mb": int(peak) >> 20}


def tidy_outputs(nb):
    """Leave in the outputs what every reader can see.

    Widgets keep their static picture; what a starting kernel writes to stderr goes.
    """
    for position, cell in enumerate(code_cells(nb)):
        if position == 0:
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
        for output in cell.outputs:
            output.get("data", {}).pop(WIDGET, None)
        cell.outputs = [output for output in cell.outputs if output.get("data") != {}]
