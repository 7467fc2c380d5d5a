"""Checks of lesson 01: Monte Carlo, bits and divergences; the models' stand beside it."""

import math

import torch
from torch.distributions import Categorical, kl_divergence

from course_lib.checks import check, require
from course_lib.checks.probes import TOLERANCE
from course_lib.checks.score_a_generator_mixtures import (
    copier_log_likelihood,
    mixture_log_likelihood,
)
from course_lib.checks.score_a_generator_models import independent_pixels
from course_lib.checks.score_a_generator_neighbours import (
    contexts,
    neighbour_table,
    sample_in_order,
    three_neighbours,
)

__all__ = [
    "bits_per_dim",
    "contexts",
    "copier_log_likelihood",
    "cross_entropy_bits",
    "independent_pixels",
    "js",
    "kl",
    "mixture_log_likelihood",
    "monte_carlo",
    "neighbour_table",
    "sample_in_order",
    "three_neighbours",
]


def _vector(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def _number(value, what: str) -> float:
    require(
        isinstance(value, float) or (isinstance(value, torch.Tensor) and value.ndim == 0),
        f"{what} should be one number; yours is {type(value).__name__}"
        + (f" of shape {tuple(value.shape)}." if hasattr(value, "shape") else "."),
    )
    return float(value)


@check("score_a_generator.monte_carlo")
def monte_carlo(function):
    """Compare mean and standard error of many draws with the exact ones of a small histogram."""
    p, n = _vector(0.5, 0.2, 0.1, 0.0, 0.2), 20000
    squares = torch.arange(5).double() ** 2
    exact = (p * squares).sum().item()
    error = (p * (squares - exact) ** 2).sum().sqrt().item() / math.sqrt(n)
    before = torch.get_rng_state()
    found = function(lambda v: v**2, p, n, torch.Generator().manual_seed(0))
    require(
        isinstance(found, tuple | list) and len(found) == 2,
        "return two numbers: the mean and its standard error.",
    )
    mean, told = (_number(value, "each of the two") for value in found)
    require(
        torch.equal(before, torch.get_rng_state()),
        "the draws came from torch's own generator: pass generator=generator.",
    )
    plain, flat = (p * squares.sqrt()).sum().item(), squares.mean().item()
    require(abs(mean - plain) > 5 * error, "f was not applied: average f(v), not v.")
    require(abs(mean - flat) > 5 * error, "p is accepted and ignored: the draws are uniform.")
    require(
        abs(mean - exact) < 5 * error,
        f"E[v^2] is {exact:.3f} here and {n} draws miss it by {error:.3f}; yours is {mean:.3f}. "
        "The mean of f over the draws.",
    )
    require(
        abs(told / error / math.sqrt(n) - 1) > 0.1,
        "the error is the spread of single draws: that of their mean is smaller, divide by the "
        "root of n.",
    )
    require(
        abs(told / error - 1) < 0.1,
        f"the standard error should be about {error:.4f}; yours is {told:.4f}. The standard "
        "deviation of the values over the root of n.",
    )
    other = function(lambda v: v**2, p, n, torch.Generator().manual_seed(1))[0]
    require(float(other) != mean, "another generator gives the same mean: were values drawn?")
    return f"E[v²] = {exact:.1f} within five standard errors, and the error σ/√n itself"


@check("score_a_generator.cross_entropy_bits")
def cross_entropy_bits(function):
    """Compare with entropies known without computing, and with Categorical's."""
    p, q = _vector(0.5, 0.25, 0.25), _vector(0.25, 0.25, 0.5)
    bits = _number(function(p, p), "the cross-entropy")
    require(
        abs(bits - 1.5 * math.log(2)) > TOLERANCE,
        "this is in nats: take the logarithm to base 2.",
    )
    require(abs(bits + 1.5) > TOLERANCE, "the sign: surprise is minus the logarithm.")
    require(abs(bits - 0.5) > TOLERANCE, "this is a mean over the values: p already weights them.")
    require(
        abs(bits - 1.5) < TOLERANCE,
        f"(1/2, 1/4, 1/4) has an entropy of 1.5 bits; yours is {bits:.4f}.",
    )
    crossed, right = float(function(_vector(0.9, 0.1), _vector(0.5, 0.5))), 1.0
    require(
        abs(crossed - right) < TOLERANCE,
        f"who believes in a fair coin pays 1 bit whatever the coin does; yours is {crossed:.4f}. "
        "p weights, and the logarithm is of q.",
    )
    require(abs(float(function(p, q)) - 1.75) < TOLERANCE, "p weights, the logarithm is of q.")
    never = float(function(_vector(1.0, 0.0), _vector(0.5, 0.5)))
    both = float(function(_vector(1.0, 0.0), _vector(1.0, 0.0)))
    require(
        not math.isnan(never + both) and abs(never - 1) + abs(both) < TOLERANCE,
        f"a value that never occurs costs nothing; with p = (1, 0) yours gives {never} and {both}, "
        "where 1 and 0 are right. Leave out the entries with p = 0.",
    )
    excluded = float(function(_vector(0.5, 0.5), _vector(1.0, 0.0)))
    require(
        excluded == math.inf,
        f"a q that excludes what p has costs infinitely much, not {excluded:.3g}: nothing is to be "
        "added inside the logarithm.",
    )
    return "1.5 bits, a fair coin's 1 bit, 0 for the certain, infinite for the excluded"


@check("score_a_generator.bits_per_dim")
def bits_per_dim(function):
    """Compare with the model that knows nothing: 8 bits a pixel, whatever the size."""
    for dims in (784, 12):
        bits = float(function(dims * math.log(256), dims))
        require(
            abs(bits - 8 * math.log(2)) > TOLERANCE,
            "this is in nats for each pixel: one nat is 1 / ln 2 bits.",
        )
        require(
            abs(bits - 8 * math.log(2) ** 2) > TOLERANCE,
            "multiplied by ln 2 where division is right: bits are smaller, so there are more.",
        )
        require(
            abs(bits - 8 * dims) > TOLERANCE,
            "these are the bits of the whole picture: divide by dims.",
        )
        require(
            abs(bits - 8) < TOLERANCE,
            f"{dims} pixels with 256 equally probable values cost 8 bits each, not {bits:.4f}.",
        )
    many = function(_vector(0, 784 * math.log(2)), 784)
    require(
        isinstance(many, torch.Tensor) and torch.allclose(many, _vector(0, 1)),
        "a tensor of surprises (N,) should give one number each, (N,).",
    )
    return "8 bits for bytes without opinion, for pictures of 784 and of 12 pixels"


def _pairs():
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        yield torch.rand(2, 6, generator=generator, dtype=torch.float64).softmax(1).unbind()


@check("score_a_generator.kl")
def kl(function):
    """Compare with torch.distributions, and with the cases of zero and of infinity."""
    for p, q in _pairs():
        right = kl_divergence(Categorical(p), Categorical(q)).item()
        back = kl_divergence(Categorical(q), Categorical(p)).item()
        found = _number(function(p, q), "KL")
        for wrong, message in (
            (right / math.log(2), "this is in bits: take the natural logarithm."),
            (-right, "the sign: ln(p / q), not ln(q / p)."),
            (back, "KL(q || p), the other way round: the first argument weights."),
            ((right + back) / 2, "symmetric: KL is not; one sum, weighted by p."),
            (right / 6, "a mean over the values: p already weights them, so sum."),
        ):
            require(abs(found - wrong) > TOLERANCE, message)
        require(
            abs(found - right) < TOLERANCE,
            f"torch.distributions says {right:.5f}; yours is {found:.5f}. Sum of p ln(p / q).",
        )
    sure, fair = _vector(1, 0), _vector(0.5, 0.5)
    values = [float(function(*pair)) for pair in ((sure, fair), (sure, sure), (fair, sure))]
    require(
        not math.isnan(sum(values[:2])) and abs(values[0] - math.log(2)) + abs(values[1]) < 1e-9,
        f"KL of (1, 0) to (1/2, 1/2) is ln 2 and to itself 0; yours are {values[0]} and "
        f"{values[1]}. Leave out the entries with p = 0.",
    )
    require(values[2] == math.inf, f"q excludes what p has: infinite, not {values[2]:.3g}.")
    return "five pairs as torch.distributions has them, 0 ln 0 = 0, infinite for the excluded"


@check("score_a_generator.js")
def js(function):
    """Compare with the entropy form H(m) - (H(p) + H(q)) / 2, and with the bound ln 2."""
    for p, q in _pairs():
        m = (p + q) / 2
        h_m, h_p, h_q = (Categorical(x).entropy().item() for x in (m, p, q))
        right, found = h_m - (h_p + h_q) / 2, _number(function(p, q), "JS")
        to_each = [
            kl_divergence(Categorical(a), Categorical(b)).item() for a, b in ((p, q), (q, p))
        ]
        for wrong, message in (
            (2 * right, "twice too large: each KL counts one half."),
            (right / math.log(2), "this is in bits: take the natural logarithm."),
            (sum(to_each) / 2, "the mean of both KL: each is to the mixture m = (p + q) / 2."),
            (right - math.log(2), "the mixture is p + q without the half: it sums to 2."),
        ):
            require(abs(found - wrong) > TOLERANCE, message)
        require(
            abs(found - right) < TOLERANCE,
            f"JS should be {right:.6f} here; yours is {found:.6f}. Half of KL(p, m) and half of "
            "KL(q, m).",
        )
    apart = float(function(_vector(1, 0), _vector(0, 1)))
    require(
        abs(apart - math.log(2)) < TOLERANCE,
        f"of distributions that share nothing JS is ln 2 = 0.693; yours is {apart}.",
    )
    return "H(m) - (H(p) + H(q)) / 2 on five pairs, and ln 2 for those that share nothing"
