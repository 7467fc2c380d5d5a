"""Checks of lesson 54: kernel, resizing matrix, the start of a shuffle; networks lie beside."""

import torch
from torch.nn import functional as F

from course_lib.checks import check, require
from course_lib.checks.probes import TOLERANCE, differs, normal
from course_lib.checks.super_resolution_networks import enlarger, tiled

__all__ = ["cubic", "enlarger", "icnr", "resize_matrix", "tiled"]

A = (-0.5, -0.75, -1.0)
NEAR = 1e-6  # torch computes its weights in float32 in places
SIZES = ((6, 12), (7, 7), (5, 8), (12, 4), (9, 6), (10, 1), (1, 3))  # n, m


def _shape(found):
    return [*getattr(found, "shape", ())]


def _pieces(t, a):
    """Return the cubic at one number, piece by piece."""
    t = abs(t)
    if t <= 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    return a * (t - 1) * (t - 2) ** 2 if t < 2 else 0.0


@check("super_resolution.cubic")
def cubic(function):
    """Ask for what the derivation asked: values, slopes, evenness, a sum of 1; then compare."""
    t = torch.linspace(-3, 3, 241, dtype=torch.float64)
    kept = t.clone()
    found = function(t)
    require(torch.equal(t, kept), "the distances given were changed: t.abs(), not t.abs_().")
    require(
        isinstance(found, torch.Tensor) and found.shape == t.shape,
        f"a weight for each distance is wanted, [241], not {_shape(found)}.",
    )
    require(
        differs(found, found.flip(0)) < TOLERANCE,
        "the kernel is not even: t may be negative, so take t.abs() first.",
    )
    require(
        found[t.abs() >= 2].abs().max() < TOLERANCE,
        "beyond 2 the kernel is 0: the outer piece holds from 1 to 2 only.",
    )
    at = function(torch.tensor([0.0, 1.0]).double())
    require(differs(at[0], at.new_tensor(1.0)) < TOLERANCE, f"k(0) should be 1, not {at[0]:.3g}.")
    require(at[1].abs() < TOLERANCE, f"k(1) should be 0, not {at[1]:.3g}.")
    require(
        differs(found, function(t, -0.5)) < TOLERANCE,
        "called without a it should take a = -1/2: leave the default as it is.",
    )
    for a in A:
        wanted = torch.tensor([_pieces(number, a) for number in t.tolist()]).double()
        found = function(t, a)
        inner, outer = t.abs() <= 1, t.abs() > 1
        require(
            differs(found[inner], wanted[inner]) < 1e-6,
            f"for a = {a} the inner piece should be (a + 2) t^3 - (a + 3) t^2 + 1.",
        )
        require(
            differs(found[outer], wanted[outer]) < 1e-6,
            f"for a = {a} the outer piece should be a (t - 1) (t - 2)^2.",
        )
    fraction = torch.linspace(0, 1, 11, dtype=torch.float64)
    places = fraction[:, None] - torch.arange(-1, 3)
    require(
        differs(function(places).sum(dim=1), torch.ones(11).double()) < TOLERANCE,
        "the four weights around any place should sum to 1.",
    )
    return "1 at its own pixel, 0 at the others, no kinks, weights that sum to 1, a ramp stays one"


def _hat(t):
    """A kernel of the check's own: not symmetric, so that a turned sign is seen."""
    return (1 - (t - 0.1).abs() / 1.2).clamp(min=0)


def _oracle(n, m, kernel, antialias=True, half=0.5, stretch=None):
    """Return the matrix, row by row and weight by weight."""
    stretch = stretch or (max(n / m, 1.0) if antialias else 1.0)
    rows = []
    for j in range(m):
        centre = (j + half) * n / m - half
        distance = torch.tensor([(centre - i) / stretch for i in range(n)], dtype=torch.float64)
        weights = kernel(distance)
        rows.append(weights / weights.sum())
    return torch.stack(rows)


def _worst(found, wanted):
    """Say where two matrices differ most."""
    j, i = divmod((found - wanted).abs().argmax().item(), wanted.shape[1])
    return f"weight [{j}, {i}] should be {wanted[j, i]:.4f}, yours is {found[j, i]:.4f}"


def _repeated(n, m):
    """Return the matrix of a method that repeats the border's pixels."""
    wide = _oracle(n, m, _hat) * 0
    for j in range(m):
        for i in range(-3 * n, 4 * n):
            distance = torch.tensor(((j + 0.5) * n / m - 0.5 - i) / max(n / m, 1.0)).double()
            wide[j, min(max(i, 0), n - 1)] += _hat(distance)
    return wide / wide.sum(dim=1, keepdim=True)


def _require_not(found, n, m):
    """Name the usual mistakes."""
    raw = _oracle(n, m, _hat)
    mistakes = {
        "the halves are missing: a pixel's middle is at j + 1/2, and the old numbers begin "
        "at 1/2.": _oracle(n, m, _hat, half=0.0),
        "a shrinking kernel must be stretched by n / m, or it skips pixels.": _oracle(
            n, m, _hat, antialias=False
        ),
        "the kernel is stretched by m / n: it becomes narrow where it should grow wide.": _oracle(
            n, m, _hat, stretch=m / n
        ),
        "enlarging, the kernel keeps its width: the stretch is never below 1.": _oracle(
            n, m, _hat, stretch=n / m
        ),
        "the border's pixels are repeated: leave out what is missing, and divide by what is "
        "left.": _repeated(n, m),
    }
    for sentence, wrong in mistakes.items():
        if wrong.isfinite().all() and differs(wrong, raw) > 1e-3:
            require(differs(found, wrong) > 1e-6, sentence)


@check("super_resolution.resize_matrix")
def resize_matrix(function):
    """Compare with a loop over every weight, and with torch's interpolation both ways."""
    for n, m in SIZES:
        found, wanted = function(n, m, _hat), _oracle(n, m, _hat)
        require(
            isinstance(found, torch.Tensor) and found.shape == (m, n),
            f"from {n} to {m} pixels the matrix is {[m, n]}, yours is {_shape(found)}.",
        )
        require(found.dtype == torch.float64, f"float64 is wanted, not {found.dtype}.")
        require(
            found.isfinite().all(),
            "a row has no weight at all: is n / m turned round? New middles lie n / m old pixels "
            "apart.",
        )
        require(
            differs(found.sum(dim=1), torch.ones(m).double()) < TOLERANCE,
            "each row should sum to 1, at the border too: divide by the row's own sum.",
        )
        _require_not(found, n, m)
        require(
            differs(found, wanted) < 1e-6,
            f"from {n} to {m} pixels {_worst(found, wanted)}: k((s_j - i) / stretch), "
            "s_j = (j + 1/2) n / m - 1/2.",
        )
    bare = function(12, 4, _hat, antialias=False)
    require(
        differs(bare, _oracle(12, 4, _hat, antialias=False)) < 1e-6,
        "with antialias=False the kernel keeps its width.",
    )
    x = normal(1, 1, 12, 9, seed=1)
    ours = function(12, 5) @ x @ function(9, 14).T
    peer = F.interpolate(x, (5, 14), mode="bicubic", antialias=True)
    require(differs(ours, peer) < NEAR, "with the cubic it should equal torch's antialiased one.")

    def other(t):
        return torch.tensor([_pieces(u, -0.75) for u in t.flatten().tolist()]).double().view_as(t)

    sharper, peer = x @ function(9, 27, other).T, F.interpolate(x, (12, 27), mode="bicubic")
    require(
        differs(sharper[..., 6:-6], peer[..., 6:-6]) < 10 * NEAR,
        "with a = -0.75 it should equal torch's other cubic, up to the border.",
    )
    return "every weight as in a loop, and equal to torch's two cubics, -1/2 and -0.75"


@check("super_resolution.icnr")
def icnr(function):
    """A level picture stays level through convolution and shuffle; groups are not mixed up."""
    for C, r in ((1, 3), (2, 2), (3, 2)):
        weight = normal(C * r * r, 4, 3, 3, seed=C)
        kept = weight.clone()
        found = function(weight, r)
        require(
            isinstance(found, torch.Tensor) and found.shape == weight.shape,
            f"{C * r * r} filters should stay {C * r * r}, {_shape(weight)}; yours is "
            f"{_shape(found)}.",
        )
        require(torch.equal(weight, kept), "the weight given was changed: return a new one.")
        h = normal(2, 4, 6, 5, seed=7)
        shuffled = F.pixel_shuffle(F.conv2d(h, found, padding=1), r)
        blocks = F.max_pool2d(shuffled, r) - -F.max_pool2d(-shuffled, r)
        require(
            not torch.equal(found, weight),
            "the weights are as they were: make the r² filters of a group equal.",
        )
        turned = weight[:: r * r].repeat(r * r, 1, 1, 1)
        require(
            C == 1 or differs(found, turned) > TOLERANCE,
            "the r² filters of one output channel stand next to each other: repeat_interleave, "
            "not repeat.",
        )
        require(
            blocks.abs().max() < TOLERANCE,
            "the r² filters of one output channel differ: a group has r² filters, not r.",
        )
        require(found.abs().max() > 0, "all filters are 0: they should be equal, not nothing.")
        wanted = F.interpolate(F.conv2d(h, weight[:: r * r], padding=1), scale_factor=r)
        require(
            differs(shuffled, wanted) < TOLERANCE,
            "each group should repeat its own first filter: weight[::r²].",
        )
    return "a convolution, then nearest: what is level stays level"
