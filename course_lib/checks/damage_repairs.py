"""Checks of lesson 50 for total variation, whose optimum is proved, and for JPEG's rounding."""

import io

import numpy as np
import torch
from PIL import Image
from skimage.restoration import denoise_tv_chambolle
from torch.nn import functional as F

from course_lib.checks import check, require
from course_lib.checks.probes import differs, normal

STEPS = 400


def _arrows(x):
    """Return the steps down and right of x (B, C, H, W), (B, C, H, W, 2), 0 at the far border."""
    down, right = torch.zeros_like(x), torch.zeros_like(x)
    down[:, :, :-1] = x[:, :, 1:] - x[:, :, :-1]
    right[..., :-1] = x[..., 1:] - x[..., :-1]
    return torch.stack([down, right], dim=-1)


def _cost(x, y, weight, kind=2):
    """Return the objective of each picture; kind 1: |right| + |down| in the place of lengths."""
    lengths = _arrows(x).norm(p=kind, dim=-1)
    return ((x - y).square() / 2 + weight * lengths).flatten(1).sum(dim=1)


def _variant(y, weight, *, start="q", slope="q", rate=None, cut=True):
    """Return what a known mistake gives: x or the step from p, another step, nothing cut."""
    p = q = torch.zeros(*y.shape, 2, dtype=y.dtype)
    for step in range(STEPS):
        x = y - weight * _back(p if slope == "p" else q)
        new = (p if start == "p" else q) + _arrows(x) * (rate or 1 / (8 * weight))
        if cut:
            new = new / new.norm(dim=-1, keepdim=True).clamp(min=1)
        p, q = new, new + step / (step + 3) * (new - p)
    return y - weight * _back(p)


def _known(x, y, weight):
    """Fail with the sentence of the mistake that gives exactly this picture, if there is one."""
    mistakes = {
        "x is made of p. It belongs to q, where the step starts: the momentum is in q.": {
            "slope": "p"
        },
        "the step starts at p. It starts at q, which is p carried on: without the momentum, or "
        "with half of it, so many steps are not enough.": {"start": "p"},
        "p in the place of q, twice: that is the method without momentum, and 400 steps are not "
        "enough. x from q, new from q.": {"start": "p", "slope": "p"},
        "the slope by p is weight * Sx, not Sx: times the step 1 / (8 * weight**2) it is Sx / (8 * "
        "weight).": {"rate": 1 / (8 * weight**2)},
        "the weight is lost: slope weight * Sx, times step 1 / (8 * weight**2), is Sx / (8 * "
        "weight).": {"rate": 1 / 8},
        "p climbs, so the slope is added: new = q + ..., not minus.": {"rate": -1 / (8 * weight)},
        "nothing is cut: arrows longer than 1 are divided by their length, and the result is kept, "
        "new = new / ...": {"cut": False},
    }  # fmt: skip
    for sentence, options in mistakes.items():
        found = _variant(y, weight, **options)
        same = torch.isclose(x, found, rtol=1e-6, atol=1e-9, equal_nan=True)
        require(not same.all(), sentence)


def _explain(x, y, weight, cost, best):
    """Fail with what is known of a repair whose objective is too high."""
    _known(x, y, weight)
    require(x.isfinite().all(), "NaN: an arrow of length 0 was divided by its length. Only lengths "
                                "above 1 are cut: .clamp(min=1).")  # fmt: skip
    require(differs(x, y) > 1e-9, "nothing has changed: new must grow by the differences of x.")
    share = cost / best
    corner = _cost(x, y, weight, kind=1)
    peer = _cost(_aniso(y, weight), y, weight, kind=1)
    require(
        (corner > 1.02 * peer).any(),
        "each of the two numbers of an arrow is cut by itself: then slanted edges cost more than "
        "straight ones. Divide by the length, new.norm(dim=0), of the two together.",
    )
    require(
        (share < 1.02).all(),
        f"with weight {weight} and {STEPS} steps the objective is {share.max():.3f} times the "
        "least. Compare with section 7: is x = y minus weight times S^T q, is q moved by Sx over 8 "
        "weight, and is the length that of each arrow, over dim 0?",
    )


def _aniso(y, weight):
    """Return the picture whose |right| + |down| is best, by small steps with each number cut."""
    p = torch.zeros(*y.shape, 2, dtype=y.dtype)
    for _ in range(STEPS):
        x = y - weight * _back(p)
        p = (p + _arrows(x) / (8 * weight)).clamp(-1, 1)
    return y - weight * _back(p)


def _back(p):
    """Return the adjoint of `_arrows`, by autograd: no formula to be wrong in."""
    x = torch.zeros(p.shape[:-1], dtype=p.dtype, requires_grad=True)
    return torch.autograd.grad((_arrows(x) * p).sum(), x)[0]


@check("damage.total_variation")
def total_variation(function):
    """Compare the objective with its dual bound and with scikit-image's repair."""
    step = torch.zeros(2, 1, 10, 9, dtype=torch.float64)
    step[:, :, 3:7, 2:6] = 1
    y = step + 0.2 * normal(2, 1, 10, 9, seed=1)
    for weight in (0.05, 0.2, 4.0):
        x = function(y, weight, STEPS)
        require(x.shape == y.shape, f"{[*y.shape]} should stay so, not become {[*x.shape]}.")
        peers = [denoise_tv_chambolle(z[0].numpy(), weight, eps=0, max_num_iter=STEPS) for z in y]
        best = _cost(torch.from_numpy(np.stack(peers))[:, None], y, weight)
        cost = _cost(x, y, weight)
        if not (cost < 1.001 * best).all():
            _explain(x, y, weight, cost, best)
        floor = (y.square() - x.square()).flatten(1).sum(dim=1) / 2
        gap = ((cost - floor) / cost).max().item()
        require(
            -1e-9 < gap < 2e-3,
            f"the objective is {gap:.1%} above the bound that your arrows prove (weight {weight}): "
            "not yet the optimum. Is the step 1 / (8 * weight), x made of q, and are arrows "
            "shorter than 1 left as they are?",
        )
        quick = _cost(function(y, weight), y, weight)
        require(
            weight > 1 or (quick < 1.05 * cost).all(),
            "50 steps do not come near: the step is 1 / (8 * weight), not less.",
        )
    many = function(normal(2, 3, 6, 1, seed=2), 0.1, 50)
    one = function(normal(2, 3, 6, 1, seed=2)[1:, 2:], 0.1, 50)
    require(
        differs(many[1:, 2:], one) < 1e-9,
        "pictures and channels should not know of each other: the length is over dim 0 only.",
    )
    return f"its objective meets the bound that proves it, and scikit-image's after {STEPS} steps"


@check("damage.median_filter")
def median_filter(function):
    """Compare with sorted windows of three sizes, on pictures that are not square."""
    y = normal(2, 3, 7, 5, seed=1)
    for size in (1, 3, 5):
        found = function(y, size)
        require(
            isinstance(found, torch.Tensor),
            "torch's median(dim=...) returns values and their places: take .values.",
        )
        require(
            found.shape == y.shape,
            f"{[*y.shape]} should stay so, not become {[*found.shape]}: windows of rows and of "
            "columns, then one median over both new axes, .flatten(4).",
        )
        half = size // 2
        padded = F.pad(y, (half,) * 4, mode="replicate")
        shifts = [(i, j) for i in range(size) for j in range(size)]
        each = torch.stack([padded[:, :, i : i + 7, j : j + 5] for i, j in shifts]).sort(0).values
        across = [padded[:, :, half : half + 7, j : j + 5] for j in range(size)]
        down = [padded[:, :, i : i + 7, half : half + 5] for i in range(size)]
        lines = [torch.stack(line).median(dim=0).values for line in (across, down)]
        wanted = each[len(each) // 2]
        require(
            size == 1 or differs(found, each.mean(dim=0)) > 1e-9,
            "this is the mean, which an outlier moves as far as it likes.",
        )
        require(
            size == 1 or min(differs(found, line) for line in lines) > 1e-9,
            "only a line of numbers counts: cut windows out of the rows and of the columns.",
        )
        require(
            size == 1 or min(differs(found, each[0]), differs(found, each[-1])) > 1e-9,
            "this is the smallest or the largest number, not the one in the middle.",
        )
        require(
            differs(found, wanted) < 1e-9,
            f"with size {size} the first number should be {wanted[0, 0, 0, 0]:.4f}, yours is "
            f"{found[0, 0, 0, 0]:.4f}: one median of the size x size numbers around each, channel "
            "by channel. (A median of medians is another number.)",
        )
    return "the number in the middle of each window of 1, 9 or 25, at the border too"


def _picture():
    """Return a grey picture (1, 1, 43, 61) of whole grey levels / 255: waves, an edge, grain."""
    row, column = torch.arange(43.0)[:, None], torch.arange(61.0)
    x = (
        120
        + 50 * torch.sin(row / 5 + column / 9)
        + 60 * (column > row)
        - 8 * normal(43, 61).float()
    )
    return (x.clamp(0, 255).round() / 255)[None, None]


def _real(x, quality):
    """Return what a JPEG file keeps of x (1, 1, H, W)."""
    file = io.BytesIO()
    Image.fromarray((255 * x[0, 0]).round().byte().numpy()).save(file, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(file)))[None, None] / 255


@check("damage.jpeg")
def jpeg(function):
    """Compare with real JPEG files of a picture whose sides are no multiples of 8."""
    x = _picture()
    require(function(x, 50).shape == x.shape, f"{[*x.shape]} should stay so: blocks (..., 8, 8).")
    near = (function(x, 100) - x).abs().mean().item() * 255
    coarse = (function(x, 10) - x).abs().mean().item() * 255
    real = {quality: _real(x, quality) for quality in (10, 50, 90)}
    require(
        coarse > 0.1,
        "nothing is lost at quality 10: the amounts are to be rounded to multiples of steps.",
    )
    require(
        near < 2,
        f"at quality 100 hardly anything should be lost; yours is {near:.1f} grey levels off. "
        "K @ blocks @ K.T there, K.T @ ___ @ K back.",
    )
    for quality, wanted in real.items():
        found = function(x, quality)
        require(
            found.std() > 0.7 * wanted.std(),
            f"at quality {quality} the contrast is gone: * steps after the rounding.",
        )
        shift = (found - wanted).mean().item() * 255
        off = (found - wanted).abs().mean().item() * 255
        require(
            abs(shift) < 0.5,
            f"at quality {quality} the mean is {shift:+.1f} grey levels off: to the *nearest* "
            "multiple, .round(); .floor() and .trunc() pull to one side.",
        )
        require(
            off < 0.9,
            f"at quality {quality} yours is {off:.2f} grey levels from a real file: amounts = K @ "
            "blocks @ K.T, divided by steps, rounded, times steps, and back.",
        )
    colour = function(x.expand(2, 3, 43, 61), 50)
    require(differs(colour, function(x, 50).expand(2, 3, 43, 61)) < 1e-5, "channels differ.")
    return (
        "within rounding of real JPEG files of qualities 10, 50 and 90; 100 loses next to nothing"
    )
