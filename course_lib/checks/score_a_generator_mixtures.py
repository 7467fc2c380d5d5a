"""Checks of lesson 01: mixtures, whose probabilities are too small to be formed."""

import math
from itertools import product

import torch

from course_lib.checks import check, require
from course_lib.checks.probes import TOLERANCE, differs, normal


@check("score_a_generator.mixture_log_likelihood")
def mixture_log_likelihood(function):
    """Compare with the plain formula where that works, and at -1000 where it does not."""
    a, b = normal(6, seed=4), normal(6, seed=5)
    right = (0.3 * a.exp() + 0.7 * b.exp()).log()
    found = function(a, b, 0.3)
    for wrong, message in (
        ((0.7 * a.exp() + 0.3 * b.exp()).log(), "the shares are exchanged: share belongs to a."),
        ((a.exp() + b.exp()).log(), "the shares are missing."),
        (0.3 * a + 0.7 * b, "this is the mean of the logarithms: probabilities mix, not those."),
    ):
        require(differs(found, wrong) > TOLERANCE, message)
    far = function(a - 5000, b - 5000, 0.3)
    require(
        differs(far, right - 5000) < 1e-6,
        f"around -5000 the first should be {right[0] - 5000:.3f}; not {far[0]:.3f}. exp(-5000) "
        "is 0 in floating point: use torch.logaddexp.",
    )
    require(differs(found, right) < TOLERANCE, "ln(share * exp(a) + (1 - share) * exp(b)).")
    return "the plain formula, and the same at -5000 where exp is 0"


@check("score_a_generator.copier_log_likelihood")
def copier_log_likelihood(function):
    """Sum over all pictures of two pixels, and compare far off with the nearest copy's term."""
    pairs = torch.tensor(list(product(range(256), repeat=2)))  # all pictures of two pixels
    shelf = torch.tensor([[0, 0], [3, 200], [3, 7]])
    apart = (pairs[:, None] != shelf).sum(2).double()  # (65536, 3)
    found = function(apart, 2, 0.2)
    require(found.shape == (len(pairs),), "one number for each picture: sum over dim=1.")
    total = found.exp().sum().item()
    require(abs(total - 3) > 1e-6, "sum where a mean belongs: subtract ln N, of the N copies.")
    require(
        abs(total - 1) < 1e-6,
        f"the probabilities of all pictures of two pixels sum to {total:.4f}, not 1. A changed "
        "pixel has probability eps / 255, one that stays 1 - eps.",
    )
    right = (0.64 + 2 * (0.2 / 255) ** 2) / 3
    require(
        abs(found[0].exp().item() - right) < 1e-9,
        f"the first copy itself has probability {right:.9f} here; yours {found[0].exp():.9f}: mean "
        "over the copies of the probabilities, not of their logarithms.",
    )
    far = function(torch.tensor([[300.0, 300.0]], dtype=torch.float64), 784, 0.01).item()
    exact = 300 * math.log(0.01 / 255) + 484 * math.log(0.99)
    require(
        abs(far - exact) < 1e-6,
        f"300 pixels off it should be {exact:.2f}; yours is {far}. "
        "Stay with logarithms: logsumexp.",
    )
    return "sums to 1 over all 65,536 pictures of two pixels, and right 300 pixels off"
