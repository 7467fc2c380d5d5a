"""Checks of lesson 51: the exact denoisers of a tiny world; networks and hidden pixels beside."""

import torch

from course_lib.checks import check, require
from course_lib.checks.denoising_hidden import hide
from course_lib.checks.denoising_networks import denoiser, unet
from course_lib.checks.probes import TOLERANCE, differs, normal

__all__ = ["denoiser", "hide", "posterior", "posterior_mean", "unet"]


def _world():
    """Return y (4, 2, 3, 2), clean (3, 2, 3, 2) and sigma, all distances different."""
    clean = normal(3, 2, 3, 2, seed=1)
    y = clean[[0, 1, 2, 0]] + 0.8 * normal(4, 2, 3, 2, seed=2)
    return y, clean, 1.3


def _squared_distances(y, clean):
    return (y[:, None] - clean).square().flatten(2).sum(dim=2)


def _bayes(y, clean, sigma):
    """Return the posterior as Bayes' rule says it, likelihood by likelihood."""
    likelihood = torch.exp(-_squared_distances(y, clean) / (2 * sigma**2))
    return likelihood / likelihood.sum(dim=1, keepdim=True)


def _require_shape(found, shape, what):
    require(
        isinstance(found, torch.Tensor) and found.shape == shape,
        f"{what} should be {[*shape]}, not {[*getattr(found, 'shape', ())]}.",
    )


def _mistaken_posteriors(y, clean, sigma):
    """Return what known mistakes give: sentence -> (B, K)."""
    apart = _squared_distances(y, clean)
    softmax = {
        "the sign is turned: the far patches are the probable ones. The exponent is negative.": (
            apart / (2 * sigma**2)
        ),
        "the distances are not squared: a Gaussian falls with |y - x_k|^2.": (
            -apart.sqrt() / (2 * sigma**2)
        ),
        "the 2 is missing: the exponent is -|y - x_k|^2 / (2 sigma^2).": -apart / sigma**2,
        "sigma is not squared: the exponent is -|y - x_k|^2 / (2 sigma^2).": -apart / (2 * sigma),
        "the 2 is squared, too: sigma alone is, in -|y - x_k|^2 / (2 sigma^2).": -apart
        / (2 * sigma) ** 2,
        "sigma is ignored: it says how far noise may carry a patch.": -apart / 2,
        "the distances are averaged over the pixels: the likelihood of a picture is the product of "
        "its pixels', so the squares are summed.": -apart / (2 * sigma**2 * y[0].numel()),
    }
    return {sentence: logits.softmax(dim=1) for sentence, logits in softmax.items()}


@check("denoising.posterior")
def posterior(function):
    """Compare with Bayes' rule, term by term; near, far, and where all likelihoods are 0."""
    y, clean, sigma = _world()
    found = function(y, clean, sigma)
    _require_shape(found, (4, 3), "the probabilities of 3 patches for 4 noisy pictures")
    apart = _squared_distances(y, clean)
    require(
        differs(found, (-apart / (2 * sigma**2)).softmax(dim=0)) > TOLERANCE,
        "the softmax runs over the pictures: each noisy picture has probabilities of its own, so "
        "over k, dim=1.",
    )
    require(
        differs(found.sum(dim=1), torch.ones(4).double()) < TOLERANCE,
        f"the probabilities of one noisy picture should sum to 1, yours to {found[0].sum():.4f}.",
    )
    for sentence, value in _mistaken_posteriors(y, clean, sigma).items():
        require(differs(found, value) > TOLERANCE, sentence)
    wanted = _bayes(y, clean, sigma)
    require(
        differs(found, wanted) < 1e-7,
        f"p(x_1 | y_1) should be {wanted[0, 0]:.5f}, yours is {found[0, 0]:.5f}: the softmax "
        "over k of -|y - x_k|^2 / (2 sigma^2).",
    )
    far = function(y + 1000, clean, 0.1)
    require(
        far.isfinite().all() and differs(far.sum(dim=1), torch.ones(4).double()) < 1e-6,
        "far from all patches every likelihood is rounded to 0, and 0 / 0 is nan: use softmax, "
        "which subtracts the largest exponent first.",
    )
    nearest = torch.eye(3).double()[_squared_distances(y + 1000, clean).argmin(dim=1)]
    require(
        differs(far, nearest) < 1e-6,
        "far from all patches the nearest one is still the probable one: no least value for the "
        "likelihoods, but softmax.",
    )
    return "Bayes' rule for every patch, sums of 1, finite also where every likelihood is 0"


@check("denoising.posterior_mean")
def posterior_mean(function):
    """Compare two points with the tanh of the textbook; more noise, less; no guess is better."""
    a = 0.7
    two = torch.tensor([-a, a]).double().view(2, 1, 1, 1)
    at, sigma = torch.linspace(-2, 2, 9).double().view(9, 1, 1, 1), 0.9
    found = function(at, two, sigma)
    _require_shape(found, at.shape, "the mean, a picture for each noisy one,")
    require(
        differs(found, a * at.sign()) > TOLERANCE
        and differs(found[5:], two[1:].expand(4, 1, 1, 1)) > 1e-6,
        "this is the most probable patch: weigh all of them by their probabilities.",
    )
    exact = a * torch.tanh(a * at / sigma**2)
    require(
        differs(found, exact) < 1e-6,
        f"if x is -{a} or {a}, E[x | y = 1] is {a} tanh({a} / sigma^2) = {exact[6].item():.4f}; "
        f"yours is {found[6].item():.4f}. Multiply the probabilities by the patches, and sum.",
    )
    y, clean, sigma = _world()
    found = function(y, clean, sigma)
    _require_shape(found, y.shape, "the mean, a picture for each noisy one,")
    wanted = torch.einsum("bk,kchw->bchw", _bayes(y, clean, sigma), clean)
    require(
        differs(found, wanted.flip(3)) > TOLERANCE and differs(found, wanted) < 1e-6,
        "the pixels are not where they were: flatten the patches, weigh them, then view_as(y).",
    )
    wide, narrow = function(y, clean, 1e4), function(clean, clean, 0.01)
    require(
        differs(wide, clean.mean(dim=0).expand(4, 2, 3, 2)) < 1e-5,
        "in endless noise y says nothing, and the mean of all patches should be left.",
    )
    require(differs(narrow, clean) < 1e-6, "with hardly any noise the patch itself should be left.")
    return f"{a} tanh({a} y / sigma^2) for two points; from the nearest patch to the mean of all"
