"""Plots: exact pixels, stated ranges, alt text, small files, nothing cropped or overlapping."""

import base64
import io
import warnings

import matplotlib as mpl
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image, ImageDraw, ImageFont

from course_lib import charts, display, plots, sheets
from course_lib.settings import CourseError

quick = hypothesis_settings(deadline=None, derandomize=True, max_examples=12)
rng = np.random.default_rng(0)


def digit(i: int) -> np.ndarray:
    """A slanted digit, light on dark, uint8 (28, 28)."""
    picture = Image.new("L", (28, 28))
    ImageDraw.Draw(picture).text((7, 0), str(i % 10), 255, ImageFont.load_default(24))
    return np.asarray(picture.rotate(i % 13 * 3 - 18, Image.Resampling.BICUBIC))


DIGITS = np.stack([digit(i) for i in range(100)])[:, None]
COLOUR = torch.from_numpy(rng.integers(0, 256, (12, 3, 16, 16), dtype=np.uint8))
LOSSES = {
    name: 2.3 * np.exp(-np.arange(300) / t) + 0.05
    for name, t in zip("abcde", range(20, 70, 10), strict=True)
}
LONG = "with batch norm, residual connections and augmentation"
FASHION = [
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
]
CONFUSION = rng.integers(0, 15, (10, 10)) + 980 * np.eye(10, dtype=int)


@pytest.fixture(autouse=True)
def nothing_global_changes():
    """matplotlib's settings, open figures, and random generators stay; nothing warns."""
    before = dict(mpl.rcParams), torch.get_rng_state(), np.random.get_state()[1].copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    assert dict(mpl.rcParams) == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])
    assert (np.random.get_state()[1] == before[2]).all()


def decoded(picture) -> np.ndarray:
    """The pixels (h, w, 3) of a figure or a file."""
    return np.asarray(Image.open(io.BytesIO(display.as_png(picture))).convert("RGB"))


def texts(fig):
    """Every text of a figure that has been drawn, with its box in pixels."""
    every_axes = [*fig.axes, *(child for parent in fig.axes for child in parent.child_axes)]
    found = fig.findobj(Text)
    for axis in (axis for ax in every_axes for axis in (ax.xaxis, ax.yaxis)):
        drawn = axis._update_ticks() if axis.axes.axison else []  # the others are out of view
        ticks = {tick for ticks in (axis.majorTicks, axis.minorTicks) for tick in ticks}
        hidden = {text for tick in ticks - set(drawn) for text in (tick.label1, tick.label2)}
        found = [text for text in found if text not in hidden]
    found = [text for text in found if text.get_visible() and text.get_text().strip()]
    return [(text.get_text(), text.get_window_extent()) for text in found]


@quick
@given(
    n=st.integers(1, 14),
    shape=st.sampled_from([(5, 7), (28, 28), (3, 9)]),
    channels=st.sampled_from([1, 3]),
    scale=st.integers(1, 4),
    columns=st.none() | st.integers(1, 8),
    caption=st.sampled_from(["", "A caption."]),
    labels=st.booleans(),
)
def test_every_pixel_is_shown_exactly(n, shape, channels, scale, columns, caption, labels):
    x = np.random.default_rng(n).integers(0, 256, (n, channels, *shape), dtype=np.uint8)
    fig = plots.show_images(
        x, value_range=(0, 255), columns=columns, scale=scale, caption=caption,
        labels=range(n) if labels else None,
    )  # fmt: skip
    shown = decoded(fig)
    for image in x:
        tile = image.transpose(1, 2, 0).repeat(scale, 0).repeat(scale, 1)
        assert contains(shown, np.broadcast_to(tile, (*tile.shape[:2], 3)))


def contains(picture, tile) -> bool:
    """Whether the tile stands somewhere in the picture, pixel by pixel."""
    h, w, _ = tile.shape
    corners = np.argwhere((picture[: -h + 1 or None, : -w + 1 or None] == tile[0, 0]).all(2))
    return any(np.array_equal(picture[y : y + h, x : x + w], tile) for y, x in corners)


@pytest.mark.parametrize("value_range", [(0, 1), (-1, 1), (-3, 5), (0, 255)])
def test_the_range_maps_to_black_and_white(value_range):
    lo, hi = value_range
    x = torch.tensor([lo, (lo + hi) / 2, hi]).view(3, 1, 1, 1).expand(3, 1, 4, 4)
    tiles, facts = sheets.pixels(x, value_range)
    assert [int(tile[0, 0, 0]) for tile in tiles] == [0, 128, 255]
    assert f"in a range of {lo} to {hi}" in facts


@pytest.mark.parametrize(
    ("x", "value_range"),
    [(np.full((1, 2, 2), 1.01), (0, 1)), (np.full((1, 2, 2), -0.01), (0, 1)),
     (DIGITS[:3], (0, 1)), (np.full((1, 2, 2), np.nan), (0, 1)),
     (np.full((1, 2, 2), np.inf), (0, 1))],
)  # fmt: skip
def test_a_value_out_of_the_range_is_refused_with_both_ends(x, value_range):
    with pytest.raises(CourseError, match=r"reach from .* to .*value_range=\(0, 1\)"):
        plots.show_images(x, value_range=value_range)


def test_rounding_errors_are_no_reason_to_refuse():
    plots.show_images(np.full((1, 2, 2), 1 + 1e-7), value_range=(0, 1))


@pytest.mark.parametrize("shape", [(28, 28), (2, 4, 28, 28), (1, 2, 3, 4, 5), (0, 1, 28, 28)])
def test_a_wrong_shape_is_one_clear_sentence(shape):
    with pytest.raises(CourseError, match=r"\(N, C, H, W\)"):
        plots.show_images(torch.zeros(shape), value_range=(0, 1))


def test_the_range_is_mandatory_and_labels_must_match():
    with pytest.raises(TypeError, match="value_range"):
        plots.show_images(DIGITS)
    with pytest.raises(CourseError, match="3 images but 2 labels"):
        plots.show_images(DIGITS[:3], value_range=(0, 255), labels="ab")


@pytest.mark.parametrize(
    ("n", "columns"), [(1, 1), (3, 3), (10, 10), (20, 10), (64, 8), (100, 10), (13, 7)]
)
def test_sheets_are_full_grids_where_they_can_be(n, columns):
    assert sheets.best_columns(n, 28) == columns


def test_a_sheet_of_64_digits_is_small():
    assert len(display.as_png(plots.show_images(DIGITS[:64], value_range=(0, 255)))) < 50_000


def test_rows_to_compare_have_one_size():
    small = COLOUR.float().view(12, 3, 8, 2, 8, 2).mean((3, 5))
    fig = plots.compare(
        {"small": small, "grey": COLOUR[:5, 0], "all": COLOUR}, value_range=(0, 255), scale=2
    )
    shown = decoded(fig)
    for image, scale in ((small.round().byte()[4], 4), (COLOUR[4], 2)):
        assert contains(shown, image.numpy().transpose(1, 2, 0).repeat(scale, 0).repeat(scale, 1))
    assert "3 rows of 5 images" in fig.get_label()
    with pytest.raises(CourseError, match="one size"):
        plots.compare({"a": COLOUR, "b": COLOUR[:, :, :9, :9]}, value_range=(0, 255))


def labelled(labels, **more):
    return plots.show_images(DIGITS[: len(labels)], value_range=(0, 255), labels=labels, **more)


EXAMPLES = {
    "1 image": lambda: labelled("7", caption=LONG * 2),
    "10 images": lambda: labelled(FASHION, caption=LONG * 3),
    "64 images": lambda: labelled(range(64)),
    "100 images": lambda: labelled([f"{i % 10} → {i % 7}" for i in range(100)], caption="All"),
    "long labels": lambda: labelled(
        ["is 4, read as 9 with a chance of 0.98", "unquestionably", "a\nb"] * 5
    ),
    "labels wider than tiles": lambda: labelled(["unquestionably"] * 6, columns=6, scale=1),
    "long labels in colour": lambda: plots.show_images(
        COLOUR, value_range=(0, 255), columns=6,
        labels=[*FASHION, "a", "an extraordinarily long word"],
    ),
    "rows": lambda: plots.compare(
        {"clean": DIGITS[:8], LONG: DIGITS[8:16]}, value_range=(0, 255), caption=LONG
    ),
    "1 line": lambda: plots.curves({"loss": LOSSES["a"]}, xlabel="step", ylabel="loss in nats"),
    "5 lines": lambda: plots.curves(
        {name + LONG: y for name, y in LOSSES.items()}, xlabel="step", ylabel="loss in nats",
        log=True, smooth=9, truth=1, caption=LONG,
        reference={"guessing": 2.303, "the best that was published": 0.02},
    ),
    "few points": lambda: plots.curves(
        {name: ([0, 1, 2], y[:3]) for name, y in LOSSES.items()}, xlabel="shift", ylabel="accuracy"
    ),
    "histogram": lambda: plots.histogram(
        {"wide": rng.normal(size=500), LONG: rng.normal(size=50) / 9},
        xlabel="gradient", truth=0.1, caption=LONG,
    ),
    "bars": lambda: plots.bars(
        {"flat": (0.95, 0.004), LONG: 0.99, "worse": -0.3},
        ylabel="gain", reference={"none": 0.1}, caption=LONG,
    ),
    "1 bar": lambda: plots.bars({"cnn": 123456.7}, ylabel="seconds"),
    "points": lambda: plots.bars(
        {"flat": (0.95, 0.004), "pool": (0.97, 0.002)}, ylabel="accuracy", value_range=(0.9, 1)
    ),
    "confusion": lambda: plots.heatmap(
        CONFUSION, xlabel="read as", ylabel="is", ticks=range(10), unit="images"
    ),
    "fashion": lambda: plots.heatmap(
        CONFUSION, xlabel="read as", ylabel="is", ticks=FASHION, value_range=(0, 20), caption=LONG
    ),
    "weights": lambda: plots.heatmap(
        rng.normal(size=(3, 3)), xlabel="x", ylabel="y", unit="weight"
    ),
    "many cells": lambda: plots.heatmap(rng.normal(size=(28, 28)), xlabel="x", ylabel="y"),
    "two rows": lambda: plots.heatmap(
        rng.random((2, 12)), xlabel="unit", ylabel="layer", ticks=(["first", "second"], range(12))
    ),
    "picture and bars": lambda: plots.picture_and_bars(
        DIGITS[0], np.eye(10)[3], value_range=(0, 255)
    ),
    "photograph and bars": lambda: plots.picture_and_bars(
        COLOUR[0], np.full(10, 0.1), value_range=(0, 255), names=FASHION,
        source=COLOUR[0].repeat_interleave(90, 1).repeat_interleave(60, 2),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_picture_is_small_white_told_and_no_text_is_cropped_or_overlaps(name):
    fig = EXAMPLES[name]()
    file = display.as_png(fig)
    width, height = fig.canvas.get_width_height()
    assert len(file) < 100_000 and width <= 800 and fig.dpi == 80
    assert (decoded(file)[-1, -1] == 255).all(), "the background is white and opaque"
    assert any(letter.isdigit() for letter in fig.get_label()), "the alt text has numbers"
    found = texts(fig)
    for text, box in found:
        assert box.x0 >= -1 and box.x1 <= width + 1, f"{text!r} is cropped"
        assert box.y0 >= -1 and box.y1 <= height + 1, f"{text!r} is cropped"
    for i, (text, box) in enumerate(found):
        for other, its_box in found[:i]:
            over_x = min(box.x1, its_box.x1) - max(box.x0, its_box.x0)
            over_y = min(box.y1, its_box.y1) - max(box.y0, its_box.y0)
            slanted = name == "fashion" and text in FASHION and other in FASHION
            assert over_x <= 1 or over_y <= 1 or slanted, f"{text!r} overlaps {other!r}"


def test_an_alt_text_of_ones_own_wins():
    assert plots.histogram({"a": [1, 2]}, xlabel="x", alt="mine").get_label() == "mine"


def test_the_alt_text_of_curves_has_first_last_lowest_highest_and_levels():
    fig = plots.curves(
        {"loss": [3, 0.5, 4, 1]}, xlabel="step", ylabel="nats", reference={"ln 10": 2.3026}
    )
    assert fig.get_label() == (
        "nats over step. loss: from 3 to 1 over 4 values, lowest 0.5, highest 4. "
        "Level: ln 10 (2.303)."
    )


def test_steps_and_values_are_drawn_as_given():
    history = ([0, 10, 20], [3.0, 2.0, 1.0])
    for data in (
        history,
        [list(part) for part in history],
        (torch.tensor(history[0]), torch.tensor(history[1])),
    ):
        ax = plots.curves({"loss": data}, xlabel="x", ylabel="y").axes[0]
        assert ax.lines[0].get_xydata().tolist() == [[0, 3], [10, 2], [20, 1]]
    ax = plots.curves({"loss": [3.0, 2.0]}, xlabel="x", ylabel="y").axes[0]
    assert ax.lines[0].get_xydata().tolist() == [[0, 3], [1, 2]]


def test_whole_steps_have_whole_ticks():
    ax = plots.curves({"a": [1, 2, 3]}, xlabel="x", ylabel="y").axes[0]
    assert all(tick == round(tick) for tick in ax.get_xticks())
    ax = plots.curves({"a": ([0, 0.5, 1], [1, 2, 3])}, xlabel="x", ylabel="y").axes[0]
    assert any(tick != round(tick) for tick in ax.get_xticks())


def test_a_logarithmic_axis_has_plain_numbers():
    lines = {"cnn": ([100, 300, 1000, 3000], [0.5, 0.25, 0.2, 0.125])}
    for log, axis in ((True, "yaxis"), ("x", "xaxis")):
        ax = plots.curves(lines, xlabel="images", ylabel="error", log=log).axes[0]
        assert getattr(ax, axis).get_scale() == "log"
        other = ax.xaxis if axis == "yaxis" else ax.yaxis
        assert other.get_scale() == "linear"
        ax.figure.canvas.draw()
        shown = [label.get_text() for label in getattr(ax, axis).get_ticklabels()]
        assert {"0.2", "0.5"} <= set(shown) if log is True else {"100", "1000"} <= set(shown)


def test_spreads_are_drawn_as_error_bars():
    ax = plots.curves({"a": ([1, 2], [3.0, 4.0], [0.5, 1])}, xlabel="x", ylabel="y").axes[0]
    (bars,) = ax.collections
    assert [part[:, 1].tolist() for part in bars.get_segments()] == [[2.5, 3.5], [3, 5]]


def test_a_line_without_values_is_one_clear_sentence():
    with pytest.raises(CourseError, match="'loss'"):
        plots.curves({"loss": []}, xlabel="x", ylabel="y")


@quick
@given(st.lists(st.floats(-100, 100), min_size=1, max_size=40), st.integers(0, 50))
def test_the_smoothed_line_is_the_mean_of_the_neighbours(values, window):
    y = np.array(values)
    smooth = charts.smoothed(y, window)
    assert smooth.shape == y.shape
    w = max(1, min(window, len(y)))
    for i in range(len(y)):
        near = y[max(0, i - w // 2) : i + (w - 1) // 2 + 1]
        assert smooth[i] == pytest.approx(near.mean(), abs=1e-9)


def test_a_diverged_loss_is_drawn_as_far_as_it_goes():
    y = np.where(np.arange(50) < 30, 1.0, np.nan)
    fig = plots.curves({"loss": y}, xlabel="x", ylabel="y", smooth=5)
    assert np.isfinite(fig.axes[0].lines[1].get_ydata()[:28]).all()
    assert "to nan" in fig.get_label()


def test_the_legend_stands_in_the_order_of_the_ends():
    lines = {"low": [9, 1], "high": [0, 5], "middle": [3, 3]}
    fig = plots.curves(lines, xlabel="x", ylabel="y", reference={"level": 4})
    shown = [text.get_text() for text in fig.axes[0].get_legend().get_texts()]
    assert shown == ["high", "level (4)", "middle", "low"]


def test_lines_differ_in_more_than_colour():
    fig = plots.curves({str(i): [i, i] for i in range(7)}, xlabel="x", ylabel="y")
    looks = {(str(line._dash_pattern), line.get_marker()) for line in fig.axes[0].lines}
    assert len(looks) == 7
    assert len({line.get_color() for line in fig.axes[0].lines}) == 7


@quick
@given(st.lists(st.floats(-10, 10), min_size=1, max_size=50))
def test_the_shares_of_a_histogram_add_up_to_one(values):
    fig = plots.histogram({"a": values, "b": [0.0]}, xlabel="x", bins=7)
    for patch in fig.axes[0].patches:
        assert patch.get_data().values.sum() == pytest.approx(1)


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [np.inf]])
def test_a_histogram_drops_no_value_silently(values):
    with pytest.raises(CourseError, match="'a'"):
        plots.histogram({"a": values}, xlabel="x")


def test_bars_say_their_numbers_and_a_cut_axis_gets_points():
    fig = plots.bars({"a": (0.5, 0.01), "b": torch.tensor(0.25)}, ylabel="share")
    assert [bar.get_width() for bar in fig.axes[0].patches] == [0.5, 0.25]
    assert [note.get_text() for note in fig.axes[0].texts] == ["0.500 ± 0.010", "0.25"]
    fig = plots.bars({"a": 0.5}, ylabel="share", value_range=(0.4, 0.6))
    assert not fig.axes[0].patches and fig.axes[0].get_xlim() == (0.4, 0.6)


def luminance(colour) -> float:
    """The relative luminance of WCAG 2."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


@pytest.mark.parametrize("sign", [1, -1])
def test_numbers_in_cells_can_be_read_on_every_colour(sign):
    matrix = np.linspace(0 if sign > 0 else -1, 1, 144).reshape(12, 12)
    ax = plots.heatmap(matrix, xlabel="x", ylabel="y").axes[0]
    image = ax.images[0]
    assert len(ax.texts) == 144
    for text, value in zip(ax.texts, matrix.ravel(), strict=True):
        pair = luminance(text.get_color()), luminance(image.cmap(image.norm(value))[:3])
        assert (max(pair) + 0.05) / (min(pair) + 0.05) > 4.5


def test_zero_is_white_where_there_are_both_signs():
    image = plots.heatmap([[-1, 0], [0, 3]], xlabel="x", ylabel="y").axes[0].images[0]
    assert image.get_clim() == (-3, 3)
    image = (
        plots.heatmap([[1, 0], [0, 3]], xlabel="x", ylabel="y", value_range=(0, 2))
        .axes[0]
        .images[0]
    )
    assert image.get_clim() == (0, 2)


def test_the_alt_text_of_a_confusion_matrix_names_the_worst_confusion():
    matrix = np.eye(3) * 9
    matrix[2, 1] = 4
    assert (
        "largest is 4, row 2, column 1" in plots.heatmap(matrix, xlabel="x", ylabel="y").get_label()
    )


def frames_of(data):
    picture = Image.open(io.BytesIO(data))
    still = np.asarray(picture.convert("RGB"))
    frames = []
    for i in range(1, picture.n_frames):  # 0 is the still picture
        picture.seek(i)
        frames.append(np.asarray(picture.convert("RGB")))
    return still, frames, picture.info


@pytest.mark.parametrize("shape", [(6, 1, 9, 9), (6, 9, 9), (6, 4, 1, 9, 9)])
def test_an_animation_plays_its_frames_and_rests_on_the_last(shape):
    x = np.random.default_rng(1).random(shape)
    data = plots.animation(x, value_range=(0, 1), fps=4, scale=2)
    still, frames, info = frames_of(data)
    expected = [
        decoded(plots.show_images(f.reshape(-1, 9, 9), value_range=(0, 1), scale=2)) for f in x
    ]
    assert len(frames) == 6 and all(map(np.array_equal, frames, expected))
    assert np.array_equal(still, expected[-1])
    assert info["duration"] == 250 and info["loop"] == 3


def test_an_animation_too_large_loses_frames_but_not_the_last():
    x = np.random.default_rng(1).random((17, 16, 3, 32, 32))
    data = plots.animation(x, value_range=(0, 1), fps=8)
    still, frames, info = frames_of(data)
    assert len(data) <= plots.LARGEST_ANIMATION
    assert 2 <= len(frames) < 17 and np.array_equal(still, frames[-1])
    assert info["duration"] * len(frames) == pytest.approx(17 * 125, rel=0.5)


def test_colours_of_an_animation_come_close():
    still, _, _ = frames_of(plots.animation(COLOUR[:4], value_range=(0, 255), scale=1))
    true = decoded(plots.show_images(COLOUR[3:4], value_range=(0, 255), scale=1))
    assert np.abs(still.astype(int) - true.astype(int)).mean() < 12


@quick
@given(st.integers(1, 400), st.booleans())
def test_files_shrink_without_loss(colours, grey):
    draw = np.random.default_rng(colours)
    palette = draw.integers(0, 256, (colours, 1 if grey else 3), dtype=np.uint8)
    pixels = np.broadcast_to(palette[draw.integers(0, colours, (30, 30))], (30, 30, 3))
    small = display.smallest(Image.fromarray(np.ascontiguousarray(pixels)))
    assert np.array_equal(np.asarray(small.convert("RGB")), pixels)
    assert small.mode == "P" or colours > 256


@pytest.fixture
def shown(monkeypatch):
    """What a notebook would show: a list of (data, metadata)."""
    outputs = []
    monkeypatch.setattr(display, "in_notebook", lambda: True)
    monkeypatch.setattr(
        "IPython.display.display", lambda data, metadata, **more: outputs.append((data, metadata))
    )
    return outputs


def test_a_notebook_shows_one_png_with_alt_text(shown):
    fig = plots.show_images(DIGITS[:2], value_range=(0, 255), caption="Two digits.")
    assert isinstance(fig, Figure)
    ((data, metadata),) = shown
    assert base64.b64decode(data["image/png"]) == display.as_png(fig)
    assert metadata["image/png"]["alt"].startswith("Two digits. 2 grey images of 28 x 28 pixels")


def test_an_animation_is_shown_as_it_is(shown):
    data = plots.animation(COLOUR[:3], value_range=(0, 255))
    assert base64.b64decode(shown[0][0]["image/png"]) == data
    assert shown[0][1]["image/png"]["alt"].startswith("Animation of 3 frames")


def test_held_pictures_are_not_shown_even_if_drawing_fails(shown):
    with pytest.raises(ZeroDivisionError), display.held():
        plots.show_images(DIGITS[:2], value_range=(0, 255))
        1 / 0  # noqa: B018
    assert not shown
    plots.show_images(DIGITS[:2], value_range=(0, 255))
    assert len(shown) == 1


def test_photographs_become_jpeg_close_to_the_original():
    smooth = torch.linspace(0, 60, 450 * 300).view(1, 1, 300, 450).sin() * 60 + 128
    x = (smooth + torch.from_numpy(rng.normal(0, 20, (1, 3, 300, 450)))).clamp(0, 255)
    data = display.as_png(plots.show_images(x, value_range=(0, 255)))
    assert len(data) > display.LARGEST_PNG
    bundle, metadata = display.bundle(data, "noise")
    jpeg = Image.open(io.BytesIO(base64.b64decode(bundle["image/jpeg"])))
    assert metadata == {"image/jpeg": {"alt": "noise"}}
    assert jpeg.size == Image.open(io.BytesIO(data)).size


def test_figures_of_a_lessons_own_can_be_shown_and_are_closed(shown):
    from matplotlib import pyplot

    fig, ax = pyplot.subplots()
    assert plots.show(fig, "an empty pair of axes") is fig
    assert shown[0][1] == {"image/png": {"alt": "an empty pair of axes"}}
    assert not pyplot.get_fignums()
