"""How text and pictures reach a notebook: small files, alt text, outputs rewritten in place."""

import base64
import io
import shutil
import sys
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

LARGEST_PNG = 100_000  # bytes; a figure above that, full of photographs, becomes a JPEG
_held = ContextVar("held", default=False)


def in_notebook() -> bool:
    """Return whether this code runs in a Jupyter kernel, where pictures can be displayed."""
    ipython = sys.modules.get("IPython")
    return getattr(ipython and ipython.get_ipython(), "kernel", None) is not None


@contextmanager
def switched_on(switch: ContextVar):
    """Set a switch while the block runs."""
    token = switch.set(True)
    try:
        yield
    finally:
        switch.reset(token)


def held():
    """Show nothing: show() only returns its figure, and progress lines stay away."""
    return switched_on(_held)


class Output:
    """One output of a notebook cell that is rewritten in place; no widget, no stored state."""

    def __init__(self):
        self._handle = None

    def put(self, data: dict, metadata: dict | None = None):
        """Show a mime bundle, or put it in the place of the one before."""
        if self._handle is None:
            from IPython.display import display

            self._handle = display(data, metadata=metadata, raw=True, display_id=True)
        else:
            self._handle.update(data, metadata=metadata, raw=True)


class Line:
    """One line of text that is rewritten in place: in a notebook, or on a terminal (stderr)."""

    def __init__(self):
        self._output = Output() if in_notebook() else None
        self.can_change = self._output is not None or sys.stderr.isatty()

    def put(self, text: str, end: str = ""):
        """Show `text` in the place of what was there; a terminal's last text has end="\\n"."""
        if _held.get():
            return
        if self._output is not None:
            self._output.put({"text/plain": text})
        elif self.can_change:
            width = shutil.get_terminal_size().columns - 1
            shown = text if end else text[:width]
            print(f"\r{shown:<{width}}", end=end, file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)


def show(picture, alt: str):
    """Display a figure, or PNG bytes, with its alt text if this is a notebook; return it."""
    if isinstance(picture, Figure):
        picture.set_label(alt)
    if in_notebook() and not _held.get():
        Output().put(*bundle(as_png(picture), alt))
    if "matplotlib.pyplot" in sys.modules and isinstance(picture, Figure):
        sys.modules["matplotlib.pyplot"].close(picture)
    return picture


def bundle(data: bytes, alt: str) -> tuple[dict, dict]:
    """Return PNG bytes as data and metadata of a notebook output.

    A still picture above 100 kB, so full of photographs, becomes a JPEG of quality 90.
    """
    picture = Image.open(io.BytesIO(data))
    kind = "image/png"
    if len(data) > LARGEST_PNG and not getattr(picture, "is_animated", False):
        kind, data = "image/jpeg", _file(picture.convert("RGB"), "JPEG", quality=90)
    return {kind: base64.b64encode(data).decode(), "text/plain": alt}, {kind: {"alt": alt}}


def as_png(picture) -> bytes:
    """Return a figure as a small PNG file, without loss; bytes are handed back."""
    if isinstance(picture, bytes):
        return picture
    canvas = FigureCanvasAgg(picture)
    canvas.draw()
    return _file(smallest(Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])), "PNG")


def smallest(picture: Image.Image) -> Image.Image:
    """Return an RGB picture with a palette where that loses nothing."""
    colours = picture.getcolors(256)
    return picture.quantize(len(colours), dither=Image.Dither.NONE) if colours else picture


def _file(picture: Image.Image, kind: str, **settings) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, optimize=True, **settings)
    return file.getvalue()
