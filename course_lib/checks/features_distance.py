"""Checks of lesson 15: covariance, PCA, the root of a matrix and the Fréchet distance."""

import math

import torch

from course_lib.checks import check, require
from course_lib.checks.probes import TOLERANCE, differs, normal


def _cloud(n, dims, seed, spread=1.0):
    """Return correlated points (n, dims) around a mean that is not 0, float64."""
    mix = normal(dims, dims, seed=seed + 100) / math.sqrt(dims)
    return spread * normal(n, dims, seed=seed) @ mix + normal(dims, seed=seed + 200)


@check("features.covariance")
def covariance(function):
    """Compare with torch.cov, and with what likely slips would give."""
    x = _cloud(50, 6, 0)
    right, found = torch.cov(x.T), function(x)
    require(
        tuple(found.shape) == (6, 6),
        f"50 points with 6 features have a covariance (6, 6), not {tuple(found.shape)}: the sum "
        "runs over the points, centred.T @ centred.",
    )
    for wrong, message in (
        (right * 49 / 50, "this is divided by N; the unbiased estimate divides by N - 1."),
        (right * 49, "this is the sum: divide by N - 1."),
        (x.T @ x / 49, "not centred: subtract the mean of each feature first."),
        (torch.diag(right.diag()), "these are the variances alone: the features' products too."),
    ):
        require(differs(found, wrong) > TOLERANCE, message)
    for mean in (x.mean(dim=1, keepdim=True), x.mean()):
        off = x - mean
        require(
            differs(found, off.T @ off / 49) > TOLERANCE,
            "the mean runs over the wrong axis: it is per feature, over the points: dim=0.",
        )
    require(differs(found, right) < TOLERANCE, "this is not what torch.cov(x.T) gives.")
    return "torch.cov's, for 50 points in 6 dimensions"


@check("features.pca")
def pca(function):
    """Compare with the singular value decomposition, up to signs; check what PCA promises."""
    x = _cloud(60, 5, 1)
    found = function(x, 3)
    require(
        isinstance(found, tuple | list) and len(found) == 3,
        "return three things: mean (D,), directions (dims, D), variances (dims,).",
    )
    mean, directions, variances = found
    require(
        mean.shape == (5,) and differs(mean, x.mean(dim=0)) < TOLERANCE,
        "the mean is that of each feature, (D,).",
    )
    require(
        tuple(directions.shape) == (3, 5) and tuple(variances.shape) == (3,),
        f"for dims=3 and 5 features: directions (3, 5) and variances (3,), not "
        f"{tuple(directions.shape)} and {tuple(variances.shape)}.",
    )
    _, sizes, rows = torch.linalg.svd(x - x.mean(dim=0), full_matrices=False)
    right = sizes.square() / 59
    require(
        differs(variances, right.flip(0)[:3]) > TOLERANCE,
        "these are the smallest: eigh returns them in rising order; flip.",
    )
    require(
        differs(variances, right[:3]) < TOLERANCE,
        f"the variances should be {[round(v, 3) for v in right[:3].tolist()]}, yours are "
        f"{[round(v, 3) for v in variances.tolist()]}.",
    )
    require(
        differs(directions @ directions.T, torch.eye(3, dtype=torch.float64)) < 1e-8,
        "the directions are not unit vectors at right angles: eigenvectors are the columns of what "
        "eigh returns; take columns, then transpose.",
    )
    along = ((x - x.mean(dim=0)) @ directions.T).var(dim=0)
    require(
        differs(along, variances) < 1e-8,
        f"along the first direction the points have variance {along[0]:.3f}, not "
        f"{variances[0]:.3f}: directions and variances do not belong together (eigenvectors are "
        "columns).",
    )
    overlap = (directions * rows[:3]).sum(dim=1).abs()
    require((overlap - 1).abs().max() < 1e-6, "these are other directions than the SVD finds.")
    return "the SVD's directions and variances, at right angles, the largest first"


@check("features.square_root")
def square_root(function):
    """Check R R = S, symmetry, and a matrix without full rank."""
    S = torch.cov(_cloud(40, 6, 2).T)
    R = function(S)
    require(R.shape == S.shape, f"the root of a (6, 6) is (6, 6), not {tuple(R.shape)}.")
    require(
        not R.is_complex(), "the root is complex: use eigh, which is made for symmetric matrices."
    )
    require(
        not torch.isnan(R).any(),
        "there is nan in it: a root of each entry is no root of a matrix, and entries may be "
        "negative; take the roots of the eigenvalues.",
    )
    for product, name in ((R @ R.T, "R R.T"), (R.T @ R, "R.T R")):
        require(
            differs(R @ R, S) < 1e-8 or differs(product, S) > 1e-8,
            f"{name} is S, but R is not symmetric: begin with vectors, times sqrt(eigenvalues) for "
            "each column, and multiply by vectors.T.",
        )
    require(
        differs(R @ R, S) < 1e-8,
        "R R is not S. The root is vectors, times sqrt(eigenvalues) for each column, times "
        "vectors.T.",
    )
    require(differs(R, R.T) < 1e-8, "R is not symmetric.")
    for seed in range(5):
        thin = normal(2, 6, seed=seed)
        poor = thin.T @ thin  # rank 2: four eigenvalues are 0, or just below
        R = function(poor)
        require(
            not torch.isnan(R).any(),
            "nan for a matrix of low rank: rounding makes eigenvalues like -1e-17; clamp(min=0).",
        )
        require(
            differs(R @ R, poor) < 1e-9,
            f"wrong by {differs(R @ R, poor):.0e} for a matrix of low rank: an eigenvalue 0 has "
            "the root 0, so clamp(min=0), no more.",
        )
    return "R R = S, symmetric, and no nan where eigenvalues are zero"


def _by_scipy(a, b):
    """Return the four terms of the distance, the last by scipy's root of the product."""
    from scipy.linalg import sqrtm

    S, T = torch.cov(a.T), torch.cov(b.T)
    gap = (a.mean(0) - b.mean(0)).square().sum().item()
    root = sqrtm((S @ T).numpy()).real.trace()
    return gap, S.trace().item(), T.trace().item(), float(root)


def _slips(a, b):
    """Yield (what a likely slip would give, its message)."""
    gap, s, t, root = _by_scipy(a, b)
    S, T = torch.cov(a.T), torch.cov(b.T)
    yield math.sqrt(gap) + s + t - 2 * root, "the length of the gap is not squared."
    yield gap + s + t - root, "the factor 2 of the last trace is missing."
    yield gap + s + t - 2 * (S @ T).trace().item(), "the root of the product is missing."
    yield gap + s + t, "the trace of the root counts nothing: was its imaginary part taken?"
    half_read = torch.linalg.eigvalsh(S @ T).clamp(min=0).sqrt().sum().item()
    yield (
        gap + s + t - 2 * half_read,
        "S_a S_b is not symmetric, and eigh reads only one triangle of it: take R S_b R, with "
        "R = square_root(S_a).",
    )
    yield gap, "only the means are compared: the traces are missing."
    yield s + t - 2 * root, "the means are not compared."
    yield math.sqrt(gap + s + t - 2 * root), "this is d: wanted is its square."
    only = gap + (S.diag().sqrt() - T.diag().sqrt()).square().sum().item()
    yield (
        only,
        "this compares variances: two features that go together in one set and not in the other "
        "look alike; take the whole covariances.",
    )
    n, m = len(a), len(b)
    p, q = (n - 1) / n, (m - 1) / m
    biased = gap + p * s + q * t - 2 * math.sqrt(p * q) * root
    yield biased, "the covariances are divided by N, not N - 1."


def _require_closed_forms(function, a, trace):
    """Check equal, moved and stretched clouds; trace: that of the covariance of a."""
    same = float(function(a, a.clone()))
    require(abs(same) < 1e-6, f"a set should be 0 from itself; yours says {same:.4f}.")
    moved = float(function(a, a + 3))
    require(
        abs(moved - 54) < 1e-6,
        f"6 features moved by 3 are |d|^2 = 54 apart; yours says {moved:.3f}.",
    )
    doubled = float(function(a, a.mean(0) + (a - a.mean(0)) * 2))
    require(
        abs(doubled - trace) < 1e-6,
        f"doubling all deviations costs Tr S = {trace:.3f} (2 s - s, squared, summed); yours says "
        f"{doubled:.3f}.",
    )


def _require_properties(function, a, b, found):
    """Check symmetry, turns, and clouds with fewer points than features."""
    require(abs(float(function(b, a)) - found) < 1e-6, "d(a, b) and d(b, a) differ.")
    turn = torch.linalg.qr(normal(6, 6, seed=9)).Q
    require(
        abs(float(function(a @ turn, b @ turn)) - found) < 1e-6,
        "turning both clouds changes the distance: it must not depend on the axes.",
    )
    few = float(function(a[:4], b[:5]))
    require(
        not math.isnan(few),
        "nan with fewer points than features: eigenvalues are 0 up to rounding, clamp(min=0).",
    )


@check("features.frechet_distance")
def frechet_distance(function):
    """Compare with scipy's matrix root and closed forms; check what a distance promises."""
    a, b = _cloud(80, 6, 3), _cloud(60, 6, 4, spread=1.7)
    gap, s, t, root = _by_scipy(a, b)
    right, found = gap + s + t - 2 * root, function(a, b)
    require(
        not (isinstance(found, torch.Tensor) and found.is_complex()),
        "the distance is complex: all roots should be of symmetric matrices.",
    )
    require(
        isinstance(found, float),
        f"this is a {type(found).__name__}; return a plain float: .item().",
    )
    require(not math.isnan(found), "nan: a root of negative entries? Eigenvalues, clamped at 0.")
    for wrong, message in _slips(a, b):
        require(abs(found - wrong) > 1e-6, message)
    _require_closed_forms(function, a, s)
    require(
        abs(found - right) < 1e-6,
        f"scipy's matrix root gives {right:.5f} for two clouds; yours is {found:.5f}.",
    )
    _require_properties(function, a, b, found)
    return "scipy's root, |d|² for a shift, Tr S for a doubling; 0, symmetry and turns hold"
