"""Pictures in one style: sheets of images, curves, histograms, bars, heat maps, animations.

Every function shows one picture with alt text in a notebook and returns it, a matplotlib figure
(of animation, bytes), so end the line with `fig = ...`. matplotlib's global state stays as it is.
The colours are those of Okabe and Ito (2008); lines differ in style too; the background is white,
on dark pages as well.
"""

import math
from itertools import cycle

import numpy as np
from matplotlib.figure import Figure

from course_lib import charts, sheets
from course_lib.display import show
from course_lib.settings import CourseError
from course_lib.sheets import DPI, WIDTH, array, styled, text_width, wrap

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (9, 3)), (0, (3, 3)))
FEW = 20  # lines of up to as many points have markers
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
SIDE = 168  # pixels of the image beside bars
LARGEST_ANIMATION = 300_000  # bytes


def show_images(x, *, value_range, columns=None, labels=None, caption="", alt=None, scale=None):
    """Show images as one sheet of crisp tiles, with a short label under each if given.

    x: (N, C, H, W) with 1 or 3 channels, or (N, H, W); value_range: (lo, hi), black and white.
    scale: screen pixels per pixel, an integer. Raises CourseError for a value out of the range.
    """
    tiles, facts = sheets.pixels(x, value_range)
    n, _, width, _ = tiles.shape
    labels = [] if labels is None else [str(label) for label in labels]
    if len(labels) not in (0, n):
        raise CourseError(f"There are {n} images but {len(labels)} labels; give one for each.")
    word = text_width(word for label in labels for word in label.split())
    columns = columns or sheets.best_columns(n, width, word + 6)
    scale = scale or sheets.best_scale(columns, width)
    fig = sheets.draw(sheets.enlarge(tiles, scale), columns, labels=labels, caption=caption)
    told = f"Labels: {', '.join(labels[:20])}." if any(labels) else ""
    return show(fig, alt or " ".join(filter(None, [caption, facts, told])))


def compare(rows: dict, *, value_range, columns=None, caption="", alt=None, scale=None):
    """Show the same images in several states, one row each, with the row's name at its left.

    rows: name -> images as in show_images; smaller ones are enlarged by a whole number.
    columns: how many images of each row; without it all that every row has, at most 10.
    """
    states, facts = zip(*(sheets.pixels(x, value_range) for x in rows.values()), strict=True)
    columns = min(columns or 10, *map(len, states))
    width = max(tiles.shape[2] for tiles in states)
    scale = scale or sheets.best_scale(columns, width, WIDTH - 110)
    tiles = [sheets.enlarge(x[:columns], scale * (width // x.shape[2])) for x in states]
    if len({batch.shape for batch in tiles}) > 1:
        raise CourseError("The rows' images must have one size, or whole fractions of it.")
    fig = sheets.draw(np.concatenate(tiles), columns, names=list(rows), caption=caption)
    told = " ".join(f"{name}: {fact}" for name, fact in zip(rows, facts, strict=True))
    return show(fig, alt or f"{caption} {len(rows)} rows of {columns} images. {told}".strip())


def animation(frames, *, value_range, fps=8, alt=None, scale=None) -> bytes:
    """Show frames as an animated PNG that plays three times, rests on the last, and return it.

    frames: (T, C, H, W), (T, H, W), or (T, N, C, H, W) for a sheet of N images a frame. Where
    nothing moves the last frame is seen. Frames are left out until the file is below 300 kB.
    """
    frames = [array(frame) for frame in frames]
    batches = [f if f.ndim == 4 else f.reshape(1, -1, *f.shape[-2:]) for f in frames]
    n, _, _, width = batches[0].shape
    tiles, facts = sheets.pixels(np.concatenate(batches), value_range)
    columns = sheets.best_columns(n, width)
    tiles = sheets.enlarge(tiles, scale or sheets.best_scale(columns, width))
    moments = [sheets.assemble(tiles[i : i + n], columns)[0] for i in range(0, len(tiles), n)]
    data = sheets.animated(moments, fps)
    while len(data) > LARGEST_ANIMATION and len(moments) > 2:
        moments, fps = moments[::-2][::-1], fps / 2  # every other one; the last is kept
        data = sheets.animated(moments, fps)
    return show(data, alt or f"Animation of {len(frames)} frames, {n} images each. {facts}")


@styled
def curves(
    lines, *, xlabel, ylabel, smooth=0, log=False, truth=None, reference=None, caption="", alt=None
):
    """Draw one line per name; the legend stands in the order of the lines' ends.

    lines: name -> values, or (steps, values) as run.history has them, or (steps, values, spreads);
    smooth: how many values a centred mean takes in (the values themselves stay visible, pale).
    log: True for a logarithmic y axis, "x" for a logarithmic x axis. truth: a number; reference:
    name -> number; both are drawn as level lines.
    """
    fig, ax = charts.axes(xlabel, ylabel, caption)
    ends, facts = {}, []
    for (name, data), look in zip(lines.items(), cycle(zip(COLOURS, DASHES, MARKERS, strict=True))):
        x, y, spread = charts.line(name, data)
        mean = charts.smoothed(y, smooth)
        if smooth > 1:
            ax.plot(x, y, color=look[0], alpha=0.25, linewidth=1)
        marker = look[2] if len(x) <= FEW else None
        ax.plot(x, mean, color=look[0], linestyle=look[1], marker=marker, label=name)
        if spread is not None:
            ax.errorbar(x, mean, yerr=spread, fmt="none", ecolor=look[0], capsize=3)
        ends[name] = np.nan_to_num(mean[-1])
        course = f"from {y[0]:.3g} to {y[-1]:.3g} over {len(y)} values"
        facts.append(f"{name}: {course}, lowest {y.min():.3g}, highest {y.max():.3g}.")
    if log != "x":
        charts.whole_ticks(ax)
    levels = charts.level_lines(ax.axhline, truth, reference)
    if log:
        charts.logarithmic(ax.xaxis if log == "x" else ax.yaxis)
    charts.legend(ax, ends | levels)
    kind = f"{ylabel} over {xlabel}{', logarithmic' * bool(log)}."
    return show(fig, alt or charts.told(caption, " ".join([kind, *facts]), levels))


@styled
def histogram(samples, *, xlabel, truth=None, reference=None, bins=60, caption="", alt=None):
    """Draw the share of values in common bins, one outline per name.

    samples: name -> values, any shape, finite. truth, reference: level lines as in curves.
    """
    samples = {name: array(values).ravel() for name, values in samples.items()}
    for name, values in samples.items():
        if not values.size or not np.isfinite(values).all():
            raise CourseError(f"The values of {name!r} must be finite, and at least one.")
    fig, ax = charts.axes(xlabel, "share of values", caption)
    edges = np.histogram_bin_edges(np.concatenate(list(samples.values())), bins)
    facts = []
    for (name, values), colour, dash in zip(samples.items(), cycle(COLOURS), cycle(DASHES)):
        share = np.histogram(values, edges)[0] / len(values)
        ax.stairs(share, edges, fill=True, color=colour, alpha=0.2)
        ax.stairs(share, edges, color=colour, linestyle=dash, linewidth=1.6, label=name)
        moments = f"mean {values.mean():.3g}, standard deviation {values.std():.3g}"
        span = f"{values.min():.3g} to {values.max():.3g}"
        facts.append(f"{name}: {len(values)} values, {moments}, {span}.")
    levels = charts.level_lines(ax.axvline, truth, reference)
    charts.legend(ax)
    facts = " ".join([f"Histogram of {xlabel}.", *facts])
    return show(fig, alt or charts.told(caption, facts, levels))


@styled
def bars(values, *, ylabel, value_range=None, truth=None, reference=None, caption="", alt=None):
    """Draw one bar per name, from top to bottom, with its number and its spread.

    values: name -> value or (value, spread); ylabel: what they measure, and the unit. With a
    value_range that leaves out 0 the values are points, since a cut bar misleads.
    """
    pairs = [np.append(array(value).ravel(), 0.0)[:2] for value in values.values()]
    means, spreads = np.array(pairs).T
    fig, ax = charts.axes(ylabel, "", caption, height=84 + 28 * len(pairs))
    rows = np.arange(len(pairs))
    if value_range and not value_range[0] <= 0 <= value_range[1]:
        ax.plot(means, rows, "o", color=COLOURS[0])
    else:
        ax.barh(rows, means, height=0.62, color=COLOURS[5])
    some = spreads > 0
    ax.errorbar(means[some], rows[some], xerr=spreads[some], fmt="none", ecolor="0.2", capsize=3)
    numbers = [_with_spread(*pair) for pair in pairs]
    for row, end, number in zip(rows, np.maximum(means, 0) + spreads, numbers, strict=True):
        ax.annotate(number, (end, row), (6, 0), textcoords="offset points", va="center", size=9)
    ax.set_yticks(rows, [wrap(name, 170) for name in values])
    ax.set_ylim(len(pairs) - 0.4, -0.6)
    ax.set_xlim(value_range)
    ax.grid(visible=False, axis="y")
    levels = charts.level_lines(ax.axvline, truth, reference)
    charts.legend(ax, loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    facts = ", ".join(f"{name} {number}" for name, number in zip(values, numbers, strict=True))
    return show(fig, alt or charts.told(caption, f"{ylabel}: {facts}.", levels))


def _with_spread(value: float, spread: float) -> str:
    """Return "1.3600 ± 0.0033": two digits of the spread, and the value as far as it is known."""
    if not spread:
        return f"{value:.4g}"
    digits = max(0, 1 - math.floor(math.log10(spread)))
    return f"{value:.{digits}f} ± {spread:.{digits}f}"


@styled
def heatmap(matrix, *, xlabel, ylabel, ticks=None, value_range=None, unit="", caption="", alt=None):
    """Draw a matrix as coloured cells, with their numbers up to 12 x 12 cells.

    matrix: (rows, columns); ticks: names of rows and columns, or (row names, column names);
    value_range: (lo, hi) of the colours, without it the matrix's own; unit: the colour bar's label.
    """
    matrix = array(matrix)
    rows, columns = matrix.shape
    cell = min(36, 480 // max(rows, columns))
    fig, ax = charts.axes(xlabel, ylabel, caption, columns * cell + 190, rows * cell + 90)
    image = ax.imshow(matrix, interpolation="nearest", **charts.colour_map(matrix, value_range))
    bar = ax.inset_axes((1 + 14 / (columns * cell), 0, 12 / (columns * cell), 1))
    fig.colorbar(image, cax=bar, label=unit)
    ax.grid(visible=False)
    charts.name_cells(ax, ticks)
    if max(rows, columns) <= 12:
        charts.write_cells(ax, matrix, image)
    facts = f"{rows} x {columns} cells, {matrix.min():.4g} to {matrix.max():.4g}."
    if rows == columns > 1:
        others = np.where(np.eye(rows, dtype=bool), -np.inf, matrix)
        row, column = np.unravel_index(others.argmax(), others.shape)
        facts += f" Off the diagonal the largest is {others.max():.4g}, row {row}, column {column}."
    return show(fig, alt or charts.told(caption, facts, {}))


@styled
def picture_and_bars(
    picture, values, *, value_range, source=None, names=None, xlabel="probability", alt=None
):
    """Show one image, after its source if there is one, and a bar for each of its classes.

    picture: (C, H, W) or (H, W); values: K numbers, as probabilities; source: a photograph, uint8
    (3, H, W), of any size; names: of the K classes, else 0, 1, ...
    """
    values = array(values)
    names = [str(name) for name in (range(len(values)) if names is None else names)]
    shown = [(source, (0, 255))] * (source is not None) + [(picture, value_range)]
    size = (WIDTH / DPI, (max(SIDE, 18 * len(values)) + 44) / DPI)
    fig = Figure(figsize=size, dpi=DPI, layout="constrained")
    *places, ax = fig.subplots(1, len(shown) + 1, width_ratios=[*(1 for _ in shown), 2])
    for place, (image, span) in zip(places, shown, strict=True):
        step = max(1, max(image.shape) // 512)
        place.imshow(sheets.pixels(image[None, ..., ::step, ::step], span)[0][0])
        place.set_axis_off()
    rows = ax.barh(names, values, color=[COLOURS[0 if v == values.max() else 5] for v in values])
    ax.bar_label(rows, fmt="%.2f", padding=4)
    ax.set(xlabel=xlabel, xlim=(0, max(1.1, 1.1 * values.max())), ylim=(len(values) - 0.4, -0.6))
    ax.grid(visible=False, axis="y")
    best = ", ".join(f"{names[k]} {values[k]:.2f}" for k in np.argsort(-values)[:3])
    return show(fig, alt or f"A picture beside bars of {xlabel}. The highest: {best}.")
