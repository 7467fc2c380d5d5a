"""Checks of lesson 52 for filling: a linear system, and the picture with the smallest steps."""

import torch

from course_lib.checks import check, require
from course_lib.checks.probes import differs, normal
from course_lib.settings import CourseError


def refuses(call) -> bool:
    """Return whether call() ends in a sentence."""
    try:
        call()
    except CourseError:
        return True
    except (RuntimeError, TypeError, ValueError, IndexError):  # no sentence
        return False
    return False


def _system():
    """Return matrices (2, 12, 12), symmetric, all eigenvalues above 0, and b (2, 1, 3, 4)."""
    half = normal(2, 12, 12, seed=1)
    scale = torch.tensor([1.0, 100.0]).double().view(2, 1, 1)
    return scale * (half @ half.mT + torch.eye(12)), normal(2, 1, 3, 4, seed=2)


def _apply(matrices, v):
    return (matrices @ v.flatten(1)[..., None]).view_as(v)


def _descent(apply, b, steps):
    """Return what steps along the residual alone give."""
    x, r = torch.zeros_like(b), b
    for _ in range(steps):
        image = apply(r)
        alpha = (r * r).sum((1, 2, 3), keepdim=True) / (r * image).sum((1, 2, 3), keepdim=True)
        x, r = x + alpha * r, r - alpha * image
    return x


@check("old_photograph.conjugate_gradients")
def conjugate_gradients(function):
    """Solve 12 unknowns in 12 steps, two systems at once; best in each step; rest and zero."""
    A, b = _system()
    exact = torch.linalg.solve(A, b.flatten(1)).view_as(b)
    first = function(lambda v: _apply(A, v), b, 1)
    require(
        isinstance(first, torch.Tensor) and first.shape == b.shape,
        f"x should have the shape of b, {[*b.shape]}, not {[*getattr(first, 'shape', ())]}.",
    )
    all_at_once = (b * b).sum() / (b * _apply(A, b)).sum() * b
    require(
        differs(first, all_at_once) > 1e-9,
        "one alpha for the whole batch: sums over dims 1, 2, 3 with keepdim, each picture its own.",
    )
    require(
        differs(first, _descent(lambda v: _apply(A, v), b, 1)) < 1e-9,
        "the first step goes along b by alpha = rr / bend, (r . r) / (p . Ap), each picture by its "
        "own: x + alpha * p. (x, r and p start as other names of b: write x = x + ..., never +=.)",
    )
    second = function(lambda v: _apply(A, v), b, 2)
    require(
        differs(second, _descent(lambda v: _apply(A, v), b, 2)) > 1e-9,
        "the direction is the residual alone, which zigzags: p = r + beta * p.",
    )
    x = function(lambda v: _apply(A, v), b, 40)
    require(
        x.isfinite().all(),
        "nan or infinity: a picture that is solved has 0 / 0. Keep torch.where(going, ..., 0), for "
        "alpha and for beta.",
    )
    gap = differs(x, exact)
    require(
        gap < 1e-6,
        f"after 40 steps for 12 unknowns the error is still {gap:.1e}. beta is the new rr over the "
        "old one, and p = r + beta * p with the NEW r; alpha belongs to x (plus) and to r (minus).",
    )
    alone = function(lambda v: _apply(A[:1], v), b[:1], 5)
    pair = function(lambda v: _apply(A, v), b, 5)
    require(
        differs(pair[:1], alone) < 1e-9,
        "the pictures of a batch disturb each other: sums over dims 1, 2, 3, each its own numbers.",
    )
    flat = torch.zeros_like(b)
    still = function(lambda v: _apply(A, v), torch.cat([b[:1], flat[:1]]), 40)
    require(
        still.isfinite().all() and differs(still[1:], flat[:1]) == 0,
        "for b = 0 the answer is 0, without nan: where nothing is going, alpha and beta are 0.",
    )
    mean = flat + b - b.mean(dim=(1, 2, 3), keepdim=True)
    singular = function(lambda v: v - v.mean(dim=(1, 2, 3), keepdim=True), mean.float(), 100)
    require(
        differs(singular.double(), mean) < 1e-5,
        "an operator that sends constants to 0 should be solved, too, in half of the digits: stop "
        "where only rounding is left.",
    )
    return "exact after as many steps as unknowns, each picture alone; 0 stays 0"


def _neighbours(x):
    """Return for each pixel of x (H, W) the sum of its neighbours, and how many it has."""
    total, count = torch.zeros_like(x), torch.zeros_like(x)
    for here, there in (
        ((slice(1, None),), (slice(None, -1),)),
        ((slice(None, -1),), (slice(1, None),)),
        ((slice(None), slice(1, None)), (slice(None), slice(None, -1))),
        ((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
    ):
        total[here] += x[there]
        count[here] += 1
    return total, count


def _off_mean(x, known):
    """Return how far filled pixels of x (B, C, H, W) are from the mean of their neighbours."""
    worst = 0.0
    for picture in x.flatten(0, 1):
        total, count = _neighbours(picture)
        worst = max(worst, ((total / count - picture) * ~known).abs().max().item())
    return worst


@check("old_photograph.harmonic")
def harmonic(function):
    """Each filled pixel is its neighbours' mean, known ones bit for bit; ramps; all and nothing."""
    y, known = normal(2, 3, 9, 12, seed=1), normal(9, 12, seed=2) > 0.2
    known[2:6, 3:8] = False
    x = function(y, known)
    require(
        isinstance(x, torch.Tensor) and x.shape == y.shape,
        f"a picture {[*y.shape]} should stay of that shape, not {[*getattr(x, 'shape', ())]}.",
    )
    require(
        not torch.equal(x[..., ~known], y[..., ~known]),
        "the hole is as it was: its pixels are to be replaced, known is 1 where they are good.",
    )
    require(torch.equal(x[..., known], y[..., known]), "known pixels should come back bit for bit.")
    mean = (y * known).sum((2, 3), keepdim=True) / known.sum()
    change = (x - mean) * ~known
    require(
        change.abs().max() > 1e-9,
        "the hole holds the mean of the known pixels, the start: the change is 0.",
    )
    mirrored = torch.where(known, x, 2 * mean - x)
    require(
        _off_mean(mirrored, known) > 1e-6,
        "the change has the wrong sign: bent(start + change) = 0, so bent(change) = -bent(start).",
    )
    off = _off_mean(x, known)
    require(
        off < 1e3,
        f"an error that grows, to {off:.1e}: is the operator `bent`, 0 outside the hole, and "
        "the right side -bent(start), not -start?",
    )
    require(
        off < 1e-6,
        f"a filled pixel differs from the mean of its neighbours by {off:.1e}: solve "
        "bent(change) = -bent(start) with all steps that are given.",
    )
    other = torch.where(known, y, 100.0)
    require(
        differs(function(other, known), x) < 1e-6, "what stood in the hole should have no effect."
    )
    at = torch.arange(12.0).double()
    ramp = (at[:9, None] + 2 * at).expand(1, 1, 9, 12)
    inner = torch.ones(9, 12)
    inner[3:6, 4:9] = 0
    require(differs(function(ramp, inner), ramp) < 1e-6, "a ramp should be filled as a ramp.")
    require(
        _off_mean(function(y, known, 1), known) > 1e-6,
        "with steps=1 nothing can be solved yet: use conjugate_gradients, and hand `steps` on.",
    )
    require(
        torch.equal(function(y, torch.ones(9, 12)), y),
        "with all known y should come back as it is.",
    )
    for name, call in {
        "a mask of nothing known": lambda: function(y, torch.zeros(9, 12)),
        "a mask with greys (R2)": lambda: function(y, known * 0.5),
        "a mask of 0.5 and 1.5 (R3)": lambda: function(y, known + 0.5),
        "steps=0": lambda: function(y, known, 0),
        "a mask of another size": lambda: function(y, torch.ones(12, 9)),
    }.items():
        require(refuses(call), f"{name} should end in a sentence: keep the lines that refuse it.")
    thin = function(y[..., :1], known[:, :1])
    require(thin.shape == (2, 3, 9, 1) and thin.isfinite().all(), "one column should work, too.")
    return "each filled pixel is the mean of its neighbours; known ones bit for bit"
