"""Checks of lesson 52: what finding is worth, levels, noise; the filling in a module beside."""

import math

import torch

from course_lib.checks import check, require
from course_lib.checks.old_photograph_fill import conjugate_gradients, harmonic, refuses
from course_lib.checks.probes import differs, normal

__all__ = [
    "conjugate_gradients",
    "harmonic",
    "levels",
    "noise_level",
    "scores",
    "threshold",
]


def _masks():
    """Return found and truth with 2 hits, 3 false alarms, 5 missed, 10 pixels of neither."""
    found, truth = torch.zeros(2, 20, dtype=torch.bool)
    found[:5], truth[3:10] = True, True
    return found.view(1, 1, 4, 5), truth.view(1, 1, 4, 5)


def _require_numbers(found):
    plain = isinstance(found, list | tuple) and len(found) == 3
    require(
        plain and all(isinstance(number, float) for number in found),
        f"three floats are wanted, precision, recall and IoU; yours: {found}. Counts of a tensor "
        "become numbers by .item().",
    )


@check("old_photograph.scores")
def scores(function):
    """Compare with counted masks; nothing found, nothing there; what is no mask."""
    found, truth = _masks()
    given = function(found, truth)
    _require_numbers(given)
    wanted = (2 / 5, 2 / 7, 2 / 10)
    for sentence, three in {
        "precision and recall are exchanged: precision divides by what is marked.": (
            wanted[1], wanted[0], wanted[2]),
        "the third is the F1 score (Dice), 2 hits over the two sums: IoU divides by the union.": (
            *wanted[:2], 2 * 2 / 12),
        "the union counts the hits twice: it is found | truth, not the sum of the two.": (
            *wanted[:2], 2 / 12),
        "the counts are divided by all pixels: divide by what is marked, there, in either.": (
            2 / 20,) * 3,
        "pixels that both call clean are hits here: that is accuracy. Hits are found & truth.": (
            12 / 5, 12 / 7, 12 / 10),
    }.items():  # fmt: skip
        require(max(abs(a - b) for a, b in zip(given, three, strict=True)) > 1e-6, sentence)
    require(
        max(abs(a - b) for a, b in zip(given, wanted, strict=True)) < 1e-6,
        f"of 5 marked and 7 dirty pixels 2 are both: 2/5, 2/7 and 2/10 are wanted, not {given}.",
    )
    none = torch.zeros_like(found)
    for a, b, three in (
        (none, none, (1, 1, 1)),
        (none, truth, (1, 0, 0)),
        (found, none, (0, 1, 0)),
    ):
        try:
            empty = tuple(function(a, b))
        except ZeroDivisionError:
            empty = "a division by zero"
        require(
            empty == three,
            f"{a.sum()} pixels marked and {b.sum()} dirty should give {three}, yours gives "
            f"{empty}: 0 / 0 is 1 here, nothing was asked and nothing is wrong.",
        )
    for name, call in {
        "a mask of probabilities": lambda: function(found.float(), truth),
        "masks of two sizes": lambda: function(found, truth[..., 1:]),
    }.items():
        require(refuses(call), f"{name} should end in a sentence: keep the lines that refuse it.")
    return "hits over what is marked, over what is there, over the union; 0 / 0 is 1"


@check("old_photograph.threshold")
def threshold(function):
    """Compare the average costs of marking and leaving at the cut; odds, sign, what is no cost."""
    for missed, wasted in ((0.016, 0.0015), (0.2, 0.2), (0.1, 0.4)):
        at = function(missed, wasted)
        require(
            isinstance(at, float) and math.isfinite(at),
            f"a logit is wanted, a float; yours: {at}. Costs are floats here: math.log.",
        )
        p = 1 / (1 + math.exp(-at))
        require(
            missed == wasted or not math.isclose(at, math.log(missed / wasted)),
            "upside down: the dearer a missed pixel, the LOWER the cut. c_f / c_m.",
        )
        require(
            missed == wasted or not math.isclose(at, wasted / missed),
            "these are the odds: the logit is their logarithm.",
        )
        require(
            missed == wasted or not math.isclose(at, wasted / (wasted + missed)),
            "this is the probability: the logit is ln(p / (1 - p)).",
        )
        require(
            math.isclose((1 - p) * wasted, p * missed),
            f"at the cut, marking and leaving cost the same. With costs {missed} and {wasted} and "
            f"your {at:.2f} they cost {(1 - p) * wasted:.2g} and {p * missed:.2g}.",
        )
    require(
        all(refuses(lambda a=a: function(*a)) for a in ((1.0, 0.0), (1.0, -1.0))),
        "a cost of 0 or below 0 should end in a sentence: keep the line that refuses it.",
    )
    return "at the cut, to mark costs as much as to leave"


@check("old_photograph.levels")
def levels(function):
    """Undo known fadings of a ramp, picture by picture; order, share, one colour."""
    x = torch.linspace(0, 1, 1001).double()[torch.randperm(1001)].view(1, 1, 7, 143)
    x = torch.cat([x, x.flip(3)])
    a, b = torch.tensor([[0.4], [0.7]]).double().view(2, 1, 1, 1), 0.2
    share = 0.02
    found = function(a * x + b, share)
    require(
        isinstance(found, torch.Tensor) and found.shape == x.shape,
        f"pictures {[*x.shape]} should stay of that shape, not {[*getattr(found, 'shape', ())]}.",
    )
    require(
        differs(found, x) > 1e-6,
        "these are minimum and maximum: take the numbers int(n * share) and n - int(n * share).",
    )
    require(
        differs(found, (a * x + b - a * 0.02 - b)) > 1e-6,
        "only the low level is taken off: divide by high - low.",
    )
    high = a * 0.98 + b
    require(
        differs(found, a * (x - 0.02) / high) > 1e-6,
        "divide by high - low: the haze is in high, too.",
    )
    require(
        differs(found[1:], found[:1].flip(3)) < 1e-6,
        "each picture has levels of its own: dim=1 of `ordered`, one low and one high a picture.",
    )
    require(
        found.min() < 0 and found.max() > 1,
        "what lies beyond the levels should stay beyond 0 and 1: nothing is clipped here.",
    )
    require(
        differs(found, (x - 0.02) / 0.96) < 1e-6,
        f"a ramp, faded, should come back as (x - {share}) / {1 - 2 * share}: the low level goes "
        "to 0, the high one to 1.",
    )
    colour = torch.stack([0.2 * x[:1, 0], 0.5 * x[:1, 0], x[:1, 0]], dim=1)
    both = function(colour, 0.0)
    require(
        differs(both, colour) < 1e-6,
        "the three colours of a picture are stretched together, else a tint goes with the haze.",
    )
    flat = torch.full((1, 1, 4, 4), 0.3).double()
    specks = torch.full((1, 1, 100, 100), 0.4).double()
    specks[..., 0, :15], specks[..., 1, :15] = 0.9, 0.4 + 1e-6
    require(
        differs(function(flat), flat) < 1e-9 and differs(function(specks), specks) < 1e-9,
        "a picture of one colour, but for a few specks, should stay as it is: keep the last line.",
    )
    require(
        all(refuses(lambda a=a: function(x, a)) for a in (-0.1, 0.5, 1.5)),
        "a share below 0, of a half or more should end in a sentence: keep the line.",
    )
    return "a faded ramp comes back, each picture by its own levels; one colour stays"


def _known_noise(found, y, sigma):
    """Say which mistake gives `found` for noise of sigma in y."""
    d = y.diff(dim=2).diff(dim=3)
    for sentence, value in {
        "this is the standard deviation: edges and dirt rule it. Take the median of |d|.": (
            d.flatten(1).std(dim=1) / 2),
        "the mean of |d| is taken: edges and dirt rule it. Take the median.": (
            d.abs().flatten(1).mean(dim=1) / (2 * 0.6745)),
        "the 2 is missing: d sums four noises, so its standard deviation is 2 sigma.": (
            d.abs().flatten(1).median(dim=1).values / 0.6745),
        "0.6745 is missing: the median of |d| is 0.6745 of its standard deviation.": (
            d.abs().flatten(1).median(dim=1).values / 2),
        "0.6745 is multiplied: divide by it.": (
            d.abs().flatten(1).median(dim=1).values * 0.6745 / 2),
        "4 instead of 2: the variance of d is 4 sigma^2, its standard deviation 2 sigma.": (
            d.abs().flatten(1).median(dim=1).values / (4 * 0.6745)),
        "the median of d itself is near 0: take that of |d|.": (
            d.flatten(1).median(dim=1).values / (2 * 0.6745)),
    }.items():  # fmt: skip
        require(differs(found.flatten(), value) > 1e-6, sentence)


@check("old_photograph.noise_level")
def noise_level(function):
    """Read known noise off ramps and edges, each picture's own; units; what is too thin."""
    at = torch.linspace(0, 1, 128).double()
    ramp = (at[:, None] + 2 * at).expand(2, 1, 128, 128)
    ramp = ramp + (at > 0.5) + (at[:, None] > 0.7)
    ramp = ramp + 3 * (normal(2, 1, 128, 128, seed=7).abs() > 2.3)  # dirt, on 2 %
    sigma = torch.tensor([0.05, 0.2]).double().view(2, 1, 1, 1)
    y = ramp + sigma * normal(2, 1, 128, 128, seed=1)
    found = function(y)
    require(
        isinstance(found, torch.Tensor) and found.shape == (2, 1, 1, 1),
        f"sigma should be (B, 1, 1, 1), [2, 1, 1, 1] here, yours is "
        f"{[*getattr(found, 'shape', ())]}: .view(-1, 1, 1, 1).",
    )
    _known_noise(found, y, sigma)
    require(
        differs(function(10 * y), 10 * found) < 1e-6,
        "ten times the picture has ten times the noise: no square, no constant.",
    )
    require(
        differs(
            function(ramp[..., :64, :64] * 0 + 0.5 * ramp[..., :1, :1]), torch.zeros_like(found)
        )
        < 1e-9,
        "a picture of one colour holds no noise.",
    )
    slope = (3 * at[:, None] + 2 * at).expand(1, 1, 128, 128)
    require(
        function(slope).abs().max() < 1e-9,
        "a ramp holds no noise: difference along the rows AND along the columns.",
    )
    off = (found / sigma - 1).abs().max().item()
    require(
        off < 0.12,
        f"noise 0.05 and 0.20 in ramps with edges and dirt is read as "
        f"{found[0].item():.3f} and {found[1].item():.3f}: y00 - y01 - y10 + y11, the median of "
        "its absolute value, over 2 times 0.6745.",
    )
    colour = normal(1, 3, 64, 64, seed=2)
    require(
        math.isclose(function(colour).item(), 1, abs_tol=0.05),
        "three colours of noise 1 should be read as 1: difference along dims 2 and 3 only.",
    )
    require(refuses(lambda: function(y[..., :1])), "one column should end in a sentence: keep it.")
    return "noise within 12 %, in spite of ramps, edges and dirt; each picture its own"
