"""The parts that the charts of plots.py share: axes, level lines, legends, cells of a heat map."""

from itertools import cycle

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from course_lib.settings import CourseError
from course_lib.sheets import DPI, WIDTH, array, wrap

LEVELS = (("0.15", ":"), ("0.4", (0, (6, 2))), ("0.6", "-"))


def axes(xlabel: str, ylabel: str, caption: str, width=WIDTH, height=272):
    """Return an empty figure, width x height pixels with its caption, and its axes."""
    fig = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, layout="constrained")
    ax = fig.add_subplot(xlabel=xlabel, ylabel=ylabel)
    if caption:
        fig.supxlabel(wrap(caption, width), x=0.01, ha="left", size=9, color="0.25")
    return fig, ax


def level_lines(draw, truth, reference) -> dict[str, float]:
    """Draw level lines with ax.axhline or ax.axvline; return label -> value."""
    levels = ({} if truth is None else {"truth": truth}) | (reference or {})
    labels = {f"{name} ({float(value):.4g})": float(value) for name, value in levels.items()}
    for (label, value), (colour, dash) in zip(labels.items(), cycle(LEVELS)):
        draw(value, color=colour, linestyle=dash, linewidth=1.4, label=label)
    return labels


def legend(ax, rank=None, **place):
    """Put the legend at the right of the axes; rank: label -> value, the highest on top."""
    handles = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    if not handles:
        return
    order = sorted(handles, key=lambda name: -rank[name]) if rank else handles
    names = [wrap(name, 150) for name in order]
    high = 70 + 17 * sum(name.count("\n") + 1 for name in names)  # pixels
    ax.figure.set_figheight(max(ax.figure.get_figheight(), high / DPI))
    place = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)} | place
    ax.legend([handles[name] for name in order], names, **place)


def told(caption: str, facts: str, levels: dict) -> str:
    """Return the default alt text."""
    return " ".join(filter(None, [caption, facts, *(f"Level: {label}." for label in levels)]))


def line(name: str, data) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return x, y and spread (or None) of values, (steps, values) or (steps, values, spreads)."""
    has_steps = len(data) in (2, 3) and np.ndim(data[0]) == 1
    parts = data if has_steps else (np.arange(len(data)), data)
    x, y, spread = [*map(array, parts), None][:3]
    if not len(y):
        raise CourseError(f"There are no values of {name!r} to draw yet.")
    return x, y, spread


def logarithmic(axis):
    """Give a drawn axis a logarithmic scale with plain numbers at 1, 2, 5, 10, ...

    Over more than three decades the numbers stand at powers of ten only.
    """
    getattr(axis.axes, f"set_{axis.axis_name}scale")("log")
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 1e3 * low else (1,)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter("")


def whole_ticks(ax):
    """Put the x axis's ticks at whole numbers if every x that is drawn is one."""
    if all(np.array_equal(line.get_xdata(), np.round(line.get_xdata())) for line in ax.lines):
        ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True))


def smoothed(y: np.ndarray, window: int) -> np.ndarray:
    """Return the centred mean over `window` values, over fewer at both ends."""
    ones = np.ones(max(1, min(window, len(y))))
    return np.convolve(y, ones, "same") / np.convolve(np.ones(len(y)), ones, "same")


def colour_map(matrix: np.ndarray, value_range) -> dict:
    """Return the colour map: blue for one sign, else orange and purple on both sides of 0."""
    lo, hi = value_range or (matrix.min(), matrix.max())
    if lo >= 0 or hi <= 0:
        return {"cmap": "Blues", "vmin": lo, "vmax": hi}
    return {"cmap": "PuOr", "vmin": -max(-lo, hi), "vmax": max(-lo, hi)}


def name_cells(ax, ticks):
    """Put names, or whole numbers, at the rows and columns of a heat map."""
    for axis, i in ((ax.yaxis, 0), (ax.xaxis, 1)):
        axis.set_major_locator(MaxNLocator("auto", integer=True))
        if ticks is not None:
            names = [str(name) for name in (ticks if np.ndim(ticks[0]) == 0 else ticks[i])]
            axis.set_ticks(range(len(names)), names)
    if ticks is not None and max(len(name) for name in names) > 4:
        slanted = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
        ax.set_xticks(range(len(names)), names, **slanted)


def write_cells(ax, matrix: np.ndarray, image):
    """Write the numbers into the cells, black or white, whichever has more contrast (WCAG 2)."""
    whole = np.array_equal(matrix, np.round(matrix))
    for (row, column), value in np.ndenumerate(matrix):
        colour = np.array(image.cmap(image.norm(value))[:3])
        light = colour**2.2 @ [0.2126, 0.7152, 0.0722] > 0.18
        text, ink = f"{value:.{0 if whole else 2}f}", "black" if light else "white"
        ax.text(column, row, text, size=9, ha="center", va="center", color=ink)
