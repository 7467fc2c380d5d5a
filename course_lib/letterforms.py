"""How people write the ten digits: the pen's control points (letterforms.json), and splines.

FORMS[digit] lists [name, weight, strokes]. A stroke is a row of points `x,y` on a sheet where a
digit is 100 units tall and y points down; the pen runs through them on a smooth curve, turns a
sharp corner at a point marked `!`, and is lifted at a bar `|`. Weights are relative frequencies.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.interpolate import CubicHermiteSpline

_TEXT = Path(__file__).with_suffix(".json").read_text(encoding="utf-8")
FORMS = {int(digit): forms for digit, forms in json.loads(_TEXT).items()}


def _catmull_rom(count: int, knots: np.ndarray) -> np.ndarray:
    """Return the (len(knots), count) matrix that takes control points to points of the curve.

    Uniform Catmull-Rom spline through `count` points, knots in 0..count-1, ends reflected.
    """
    points = np.eye(count)
    return CubicHermiteSpline(np.arange(count), points, np.gradient(points, axis=0))(knots)


def _stroke_matrix(corners: list[bool], per_piece: int) -> np.ndarray:
    """Return the matrix of one stroke: smooth pieces between corners, joined at the corners."""
    ends = [0, *[i for i, sharp in enumerate(corners) if sharp and 0 < i < len(corners) - 1]]
    ends.append(len(corners) - 1)
    rows = []
    for a, b in zip(ends, ends[1:], strict=False):
        knots = np.linspace(0, b - a, per_piece * (b - a) + 1)[1 if rows else 0 :]
        piece = np.zeros((len(knots), len(corners)))
        piece[:, a : b + 1] = _catmull_rom(b - a + 1, knots)
        rows.append(piece)
    return np.concatenate(rows)


def _even(matrix: np.ndarray, points: np.ndarray, count: int) -> np.ndarray:
    """Return `count` rows of a stroke's matrix, evenly spaced along its path."""
    steps = np.linalg.norm(np.diff(matrix @ points, axis=0), axis=1)
    along = np.concatenate([[0], np.cumsum(steps)])
    wanted = np.linspace(0, along[-1], count)
    return np.stack([np.interp(wanted, along, column) for column in matrix.T], axis=1)


def _parse(strokes: str) -> Iterator[tuple[np.ndarray, list[bool]]]:
    for stroke in strokes.split("|"):
        words = stroke.split()
        points = np.array([[float(v) for v in w.rstrip("!").split(",")] for w in words]) / 100
        yield points, [w.endswith("!") for w in words]


def trace(strokes: str, samples: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what draws a form: control points (C, 2), matrix (samples, C), links (samples - 1,).

    The matrix takes the control points to `samples` points that follow the pen at even distances;
    a link is 0 where the pen is lifted between two of them, else 1.
    """
    parsed = list(_parse(strokes))
    dense = [_stroke_matrix(corners, 30) for _, corners in parsed]
    paths = [m @ p for m, (p, _) in zip(dense, parsed, strict=True)]
    length = np.array([np.linalg.norm(np.diff(p, axis=0), axis=1).sum() for p in paths])
    counts = np.maximum(2, np.floor(samples * length / length.sum())).astype(int)
    counts[0] += samples - counts.sum()
    matrix = np.zeros((samples, sum(len(p) for p, _ in parsed)))
    row = column = 0
    for m, (points, _), count in zip(dense, parsed, counts, strict=True):
        matrix[row : row + count, column : column + len(points)] = _even(m, points, count)
        row, column = row + count, column + len(points)
    links = np.ones(samples - 1)
    links[np.cumsum(counts)[:-1] - 1] = 0  # the pen is lifted here
    return np.concatenate([points for points, _ in parsed]), matrix, links
