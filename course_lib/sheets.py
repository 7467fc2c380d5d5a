"""From a batch of images to one sheet of tiles in which every pixel is a whole number of pixels."""

import io
import math
import textwrap
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from course_lib.settings import CourseError

DPI = 80
WIDTH = 640  # pixels of a chart, and of a sheet where its tiles allow that
TILE = 168  # pixels of the largest enlarged tile
FRAME = 200  # grey level of the thin line around every tile
LETTER, LINE = 6.4, 14  # pixels that a letter and a line of small text take
styled = mpl.rc_context(fname=Path(__file__).with_name("course.mplstyle"))


def array(x) -> np.ndarray:
    """Return a tensor, an array or numbers as a float64 array."""
    return np.asarray(x.detach().cpu().double() if hasattr(x, "detach") else x, dtype=np.float64)


def pixels(x, value_range) -> tuple[np.ndarray, str]:
    """Return images as uint8 (N, H, W, 3), and a sentence with their numbers.

    x: (N, C, H, W) with 1 or 3 channels, or (N, H, W). Raises CourseError for another shape and
    for values outside of value_range.
    """
    x, (lo, hi) = array(x), value_range
    x = x[:, None] if x.ndim == 3 else x
    if x.ndim != 4 or x.shape[1] not in (1, 3) or not x.size:
        raise CourseError(f"Images must be (N, C, H, W), C = 1 or 3, or (N, H, W), not {x.shape}.")
    slack = 1e-6 * (hi - lo)
    if not (lo - slack <= x.min() and x.max() <= hi + slack):
        reach = f"The images reach from {x.min():.4g} to {x.max():.4g}"
        outside = f"outside of value_range=({lo:g}, {hi:g})"
        raise CourseError(f"{reach}, {outside}; give their range, or clamp them and say so.")
    n, channels, height, width = x.shape
    kind = f"{'grey' if channels == 1 else 'colour'} image{'s' * (n > 1)}"
    size = f"{height} x {width} pixels"
    facts = f"{n} {kind} of {size}, mean {x.mean():.3g} in a range of {lo:g} to {hi:g}."
    levels = np.round(255 * np.clip((x - lo) / (hi - lo), 0, 1)).astype(np.uint8)
    return np.repeat(levels, 3 // channels, axis=1).transpose(0, 2, 3, 1), facts


def enlarge(tiles: np.ndarray, scale: int) -> np.ndarray:
    """Return (N, H, W, 3) tiles with every pixel repeated scale x scale times."""
    return tiles.repeat(scale, axis=1).repeat(scale, axis=2)


def best_columns(n: int, width: int, least: int = 0) -> int:
    """Return how many tiles stand in a row: up to 10 in one, else the fullest grid.

    width: of an image, which is thought of as enlarged to about 56 pixels; least: of a column.
    """
    shown = width * max(1, round(56 / width))
    most = max(1, min(12, WIDTH // (max(shown, least) + 2)))
    if n <= min(most, 10):
        return n
    return min(range(max(1, most // 2), most + 1), key=lambda c: (-n % c, -c))


def best_scale(columns: int, width: int, room: int = WIDTH) -> int:
    """Return the whole factor by which tiles of this width fill the room, at least 1."""
    return max(1, min(room // columns - 2, TILE) // width)


def wrap(text: str, width: float) -> str:
    """Return text broken into lines of at most `width` pixels; words stay whole."""
    lines = text.split("\n")
    letters = max(4, int(width / LETTER))
    return "\n".join(textwrap.fill(line, letters, break_long_words=False) for line in lines)


def text_width(texts) -> int:
    """Return the pixels that the longest line of the texts takes."""
    return math.ceil(LETTER * max((len(line) for t in texts for line in t.split("\n")), default=0))


def assemble(tiles: np.ndarray, columns: int, *, left=0, across=0, strip=0):
    """Return the (N, h, w, 3) tiles on one white sheet and their top left corners (x, y).

    left: free pixels at the left; across: pixels from tile to tile; strip: free ones below each.
    """
    n, height, width, _ = tiles.shape
    down, across = height + 2 + strip, max(across, width + 2)
    sheet = np.full((math.ceil(n / columns) * down, left + columns * across, 3), 255, np.uint8)
    first = left + (across - width) // 2
    corners = [(first + i % columns * across, 1 + i // columns * down) for i in range(n)]
    for (x, y), tile in zip(corners, tiles, strict=True):
        sheet[y - 1 : y + height + 1, x - 1 : x + width + 1] = FRAME
        sheet[y : y + height, x : x + width] = tile
    return sheet, corners


@styled
def draw(tiles: np.ndarray, columns: int, *, labels=(), names=(), caption="") -> Figure:
    """Return a figure of the tiles, pixel by pixel: labels below, names at the left, a caption."""
    _, tile_height, tile_width, _ = tiles.shape
    labels = [wrap(str(label), max(tile_width, 9 * LETTER)) for label in labels]
    names = [wrap(name, 110) for name in names]
    left, across = text_width(names) + 10 if names else 0, text_width(labels) + 6
    strip = max((LINE * (label.count("\n") + 1) + 4 for label in labels), default=0)
    sheet, corners = assemble(tiles, columns, left=left, across=across, strip=strip)
    height, width, _ = sheet.shape
    whole = max(width, 400) if caption else width
    caption = wrap(caption, whole)
    total = height + (LINE * (caption.count("\n") + 1) + 8 if caption else 0)
    fig = Figure(figsize=((whole + 0.01) / DPI, (total + 0.01) / DPI), dpi=DPI)
    ax = fig.add_axes((0, 1 - height / total, width / whole, height / total))
    ax.set_axis_off()
    ax.imshow(sheet, interpolation="nearest", aspect="auto")
    fig.text(2 / whole, 3 / total, caption, size=9, color="0.25", va="bottom")
    for (x, y), label in zip(corners, labels, strict=False):
        ax.text(x + tile_width / 2, y + tile_height + 3, label, size=9, ha="center", va="top")
    for (x, y), name in zip(corners[::columns], names, strict=False):
        ax.text(x - 9, y + tile_height / 2, name, size=9, ha="right", va="center")
    return fig


def animated(moments: list[np.ndarray], fps: float) -> bytes:
    """Return sheets (h, w, 3) as an animated PNG, played three times; its still is the last one."""
    film = Image.fromarray(np.concatenate(moments))
    grey = all(np.ptp(moment, axis=2).max() == 0 for moment in moments)
    film = film.convert("L") if grey else film.quantize(128, dither=Image.Dither.NONE)
    height = len(moments[0])
    pictures = [film.crop((0, y, film.width, y + height)) for y in range(0, film.height, height)]
    settings = {"append_images": pictures, "duration": 1000 / fps, "loop": 3}
    file = io.BytesIO()
    pictures[-1].save(file, "PNG", save_all=True, default_image=True, **settings)
    return file.getvalue()
