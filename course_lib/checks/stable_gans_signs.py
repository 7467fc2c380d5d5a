"""Check of lesson 24's doctor, on recorded histories of lesson 20's networks on strokes."""

import itertools
import math

from course_lib.checks import check, require

# D(x), D(G(z)) and the diversity at every 20th of 400 steps: what each training had, by its name.
RECORDED = {
    "two sigmoids": [
        [0.613, 0.6, 0.59, 0.567, 0.718, 0.728, 0.73, 0.731, 0.731, 0.731, 0.731, 0.731, 0.731,
         0.731, 0.731, 0.731, 0.731, 0.731, 0.731, 0.731],
        [0.597, 0.548, 0.515, 0.537, 0.502, 0.501, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5,
         0.5, 0.5, 0.5, 0.5, 0.5],
        [0.087, 0.043, 0.087, 0.027, 0.015, 0.015, 0.011, 0.009, 0.012, 0.009, 0.01, 0.01, 0.01,
         0.013, 0.016, 0.015, 0.012, 0.012, 0.011, 0.011],
    ],
    "D has won": [
        [0.642, 0.999, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
        [0.367, 0.435, 0.356, 0.212, 0.088, 0.038, 0.02, 0.011, 0.007, 0.005, 0.004, 0.003, 0.002,
         0.002, 0.002, 0.001, 0.001, 0.001, 0.001, 0.001],
        [0.043, 0.002, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ],
    "D is fooled": [
        [0.476, 0.477, 0.477, 0.477, 0.478, 0.476, 0.477, 0.475, 0.477, 0.475, 0.477, 0.476,
         0.477, 0.477, 0.477, 0.476, 0.476, 0.476, 0.477, 0.477],
        [0.507, 0.747, 0.748, 0.749, 0.749, 0.749, 0.749, 0.749, 0.749, 0.749, 0.749, 0.749, 0.75,
         0.75, 0.75, 0.75, 0.75, 0.75, 0.75, 0.75],
        [0.086, 0.023, 0.016, 0.015, 0.013, 0.013, 0.012, 0.011, 0.011, 0.011, 0.012, 0.013,
         0.013, 0.013, 0.01, 0.01, 0.011, 0.012, 0.012, 0.012],
    ],
    "collapse": [
        [0.933, 0.726, 0.673, 0.4, 0.742, 0.949, 0.011, 0.808, 0.071, 0.892, 0.634, 0.646, 0.899,
         0.575, 0.662, 0.809, 0.771, 0.712, 0.738, 0.845],
        [0.815, 0.073, 0.482, 0.195, 0.547, 0.235, 0, 0.472, 0, 0.835, 0.58, 0.116, 0.305, 0.357,
         0.407, 0.258, 0.444, 0.353, 0.308, 0.378],
        [0.086, 0.057, 0.081, 0.072, 0.092, 0.083, 0.078, 0.062, 0.086, 0.094, 0.101, 0.084,
         0.146, 0.093, 0.135, 0.176, 0.147, 0.143, 0.206, 0.175],
    ],
    "swings": [
        [0.476, 0.553, 0.79, 0.695, 0.328, 0.554, 0.764, 0.872, 0.41, 0.828, 0.713, 0.59, 0.711,
         0.63, 0.539, 0.565, 0.571, 0.6, 0.607, 0.572],
        [0.522, 0.239, 0.111, 0.567, 0.244, 0.226, 0.088, 0.241, 0.238, 0.162, 0.158, 0.139,
         0.144, 0.189, 0.286, 0.334, 0.352, 0.329, 0.651, 0.646],
        [0.132, 0.006, 1.221, 1.146, 0.317, 0.16, 0.145, 0.866, 0.536, 0.418, 0.809, 0.582, 0.503,
         0.566, 0.604, 0.786, 0.885, 0.967, 0.997, 1.072],
    ],
    "no sign": [
        [0.478, 0.438, 0.507, 0.557, 0.578, 0.515, 0.515, 0.553, 0.523, 0.526, 0.516, 0.516,
         0.521, 0.515, 0.517, 0.518, 0.525, 0.521, 0.523, 0.53],
        [0.416, 0.406, 0.426, 0.324, 0.359, 0.46, 0.537, 0.537, 0.526, 0.512, 0.501, 0.491, 0.509,
         0.489, 0.485, 0.489, 0.49, 0.488, 0.487, 0.498],
        [0.086, 0.045, 0.045, 0.293, 0.671, 0.424, 0.367, 0.377, 0.332, 0.34, 0.359, 0.43, 0.662,
         0.696, 0.602, 0.608, 0.685, 0.684, 0.523, 0.6],
    ],
    "no sign with the hinge": [
        [0.474, 0.226, 0.537, 0.497, 0.725, 0.643, 0.704, 0.551, 0.758, 0.79, 0.654, 0.735, 0.643,
         0.71, 0.723, 0.73, 0.764, 0.683, 0.737, 0.717],
        [0.406, 0.295, 0.394, 0.155, 0.219, 0.262, 0.391, 0.231, 0.407, 0.292, 0.537, 0.172,
         0.319, 0.342, 0.233, 0.223, 0.277, 0.451, 0.285, 0.302],
        [0.086, 0.058, 0.026, 0.052, 0.129, 0.315, 0.403, 0.608, 0.66, 0.706, 0.616, 0.557, 0.656,
         0.592, 0.668, 0.598, 0.575, 0.742, 0.718, 0.668],
    ],
}  # fmt: skip
CAUSE = {
    "two sigmoids": "D(x) stands at 0.731 and D(G(z)) at 0.5: a sigmoid of a sigmoid (G13). All "
    "answers between 0.5 and 0.732.",
    "D has won": "the mean of D(x) - D(G(z)) is nearly 1. That is no success (G17), whatever the "
    "diversity: go down in the table's order.",
    "D is fooled": "D(G(z)) is above D(x); the gap is D(x) - D(G(z)), its mean below -0.05.",
    "collapse": "the mean diversity is below 0.2.",
    "swings": "the standard deviation of the gap is above 0.15.",
    "no sign": "nothing in the second half is out of bounds: mean gap, diversity, deviation of "
    "the gap D(x) - D(G(z)).",
    "no sign with the hinge": "D is well ahead, with gaps up to 0.6, and the generator alive.",
}
NAMES = ("D(x)", "D(G(z))", "diversity")
# Histories on one side of a bound by the mean, on the other by one value or by the last five.
BORDERLINE = {
    "D has won": (
        [[0.99] * 20, [0.01] * 18 + [0.3, 0.01], [0.5] * 20],
        "the mean gap is above 0.9, though not every gap",
    ),
    "no sign, one gap below -0.05": (
        [[0.5] * 20, [0.48] * 18 + [0.6, 0.48], [0.5] * 20],
        "one gap is below -0.05, their mean is not",
    ),
    "no sign, mean gap -0.03": (
        [[0.45] * 20, [0.48] * 20, [0.5] * 20],
        "the mean gap is -0.03, and the bound -0.05",
    ),
    "D is fooled": (
        [[0.45] * 20, [0.56] * 18 + [0.4, 0.56], [0.5] * 20],
        "the mean gap is below -0.05, though one gap is above 0",
    ),
    "no sign, one low diversity": (
        [[0.55] * 20, [0.49] * 20, [0.5] * 18 + [0.1, 0.5]],
        "one diversity is below 0.2, their mean is not",
    ),
    "swings": (
        [[0.9, 0.45] * 7 + [0.8] * 6, [0.4] * 20, [0.5] * 20],
        "the gap swings in the second half, though not in its last five values",
    ),
}


def history(rows):
    """Return what train_objective would: name -> (steps, values)."""
    signs = {
        name: (list(range(0, 20 * len(v), 20)), v) for name, v in zip(NAMES, rows, strict=True)
    }
    return {"loss_disc": ([0], [1.386]), **signs}


def _joined(first, second):
    """Return signs that begin as one history and end as another."""
    return [a[: len(a) // 2] + b[len(b) // 2 :] for a, b in zip(first, second, strict=True)]


@check("stable_gans.diagnose")
def diagnose(function):
    """Show it recorded trainings, nan and inf, one that was ill and is well, and made-up ones."""
    for first, second in (("D has won", "no sign"), ("no sign", "collapse")):
        found = function(history(_joined(RECORDED[first], RECORDED[second])))
        require(
            found == function(history(RECORDED[second])),
            f"a training of {second!r} is {found!r} when only its first half is another's: the "
            "second half counts, where a training is, not where it came from.",
        )
    for bad, row in itertools.product((math.nan, math.inf), range(3)):
        broken = [list(values) for values in RECORDED["no sign"]]
        broken[row][-1] = bad
        found = function(history(broken))
        require(
            found == "no number",
            f"with {bad} in {NAMES[row]} you say {found!r}: ask isfinite() before all else, of all "
            "three signs. isnan() lets inf through, and comparisons with nan are False.",
        )
    for name, rows in RECORDED.items():
        wanted, found = name.removesuffix(" with the hinge"), function(history(rows))
        require(
            found == wanted,
            f"a recorded training, {name}: you say {found!r}, the table {wanted!r}. {CAUSE[name]}",
        )
    for wanted, (rows, why) in BORDERLINE.items():
        found = function(history(rows))
        wanted = wanted.split(",")[0]
        require(found == wanted, f"{why}: that is {wanted!r}; you say {found!r}.")
    return f"right on {len(RECORDED)} recorded trainings, on nan and inf, and near every bound"
