"""Checks of lesson 32: the likelihoods; bounds, losses and conditions stand beside."""

import math

import torch

from course_lib.checks import check, require
from course_lib.checks.probes import differs, normal
from course_lib.checks.vae_likelihoods_bounds import (
    active_units,
    beta_loss,
    implied_beta,
    iwae_bound,
    returned,
)
from course_lib.checks.vae_likelihoods_conditions import (
    class_codes,
    conditional_decoder,
    conditional_encoder,
    pair_batches,
    reconstruct,
)
from course_lib.settings import CourseError

__all__ = [
    "active_units",
    "beta_loss",
    "class_codes",
    "conditional_decoder",
    "conditional_encoder",
    "discretised_logistic_log_likelihood",
    "gaussian_log_likelihood",
    "implied_beta",
    "iwae_bound",
    "pair_batches",
    "reconstruct",
]

BYTES = torch.arange(256).double().view(-1, 1, 1, 1) / 255  # each byte, as a picture of one pixel


def _pictures():
    """Return means (4, 2, 3, 5), bytes / 255 with both ends among them, log-scales of channels."""
    mean = normal(4, 2, 3, 5) / 4 + 0.5
    x = (255 * normal(4, 2, 3, 5, seed=1).sigmoid()).round() / 255
    x[:, :, 0, 0], x[:, :, 0, 1] = 0, 1
    return mean, x, torch.tensor([-1.0, -1.8]).double().view(2, 1, 1)


def _refuses(function, x) -> bool:
    try:
        function(torch.zeros_like(x), x, torch.tensor(0.0).double())
    except CourseError:
        return True
    except Exception:  # noqa: BLE001  another refusal, without the two ends
        return False
    return False


def _one_number_each(value, wanted):
    """Require (B,), summed: no mean over pixels, none over the batch."""
    require(
        value.shape == (4,),
        f"4 pictures should give 4 numbers, (4,); yours have the shape {tuple(value.shape)}: sum "
        "over all axes but the first.",
    )
    require(
        differs(30 * value, wanted) > 1e-6,
        "yours is the mean over a picture's 30 numbers, not the sum. Beside a KL that is summed "
        "this trains a hidden beta of 30; on MNIST, of 784 (V2).",
    )


def _range(function):
    for name, x in (("-0.1", BYTES - 0.1), ("1.1", BYTES + 0.1), ("255", 255 * BYTES)):
        require(
            _refuses(function, x),
            f"pixels that reach {name} were taken without a word. Bytes that were not divided by "
            "255, or data in -1..1, give a number that means nothing: pass x through in_range "
            "(V12).",
        )


def _slopes(function, mean, x, log_scale, each):
    """Require the slopes in mean and log_scale of the right values, each pixel's."""
    wanted = torch.autograd.grad(each.sum(), (mean, log_scale))
    value = function(mean, x, log_scale).sum()
    found = torch.autograd.grad(value, (mean, log_scale), allow_unused=True)
    for name, right, slope in zip(("mean", "log_scale"), wanted, found, strict=True):
        require(
            slope is not None and differs(slope, right) < 1e-4,
            f"the value is right, its slope in {name} is not: part of it was detached, and would "
            "not be learnt.",
        )


@check("vae_likelihoods.gaussian_log_likelihood")
def gaussian_log_likelihood(function):
    """Compare with torch's normal density, and integrate one pixel's over a fine grid."""
    mean, x, log_scale = _pictures()
    value = returned(function(mean, x, log_scale))
    each = torch.distributions.Normal(mean, log_scale.exp())
    wanted = each.log_prob(x).flatten(1).sum(dim=1)
    require(value.isfinite().all(), "nan: log_scale is ln s already; you took its logarithm.")
    _one_number_each(value, wanted)
    constant = 30 * math.log(2 * math.pi) / 2
    require(
        differs(value, wanted + constant) > 1e-6,
        "ln(2 pi) / 2 a pixel is missing. For training it is nothing; for a likelihood, which is "
        "compared with other models', it is 0.92 nats a pixel.",
    )
    scales = 15 * log_scale.sum()
    require(
        differs(value, wanted + scales) > 1e-6,
        "-ln s is missing. Then a larger s is always better, and a learnt scale runs away.",
    )
    require(
        differs(value, wanted + scales - log_scale.sum()) > 1e-6,
        "-ln s counts once for each pixel, not once for a picture: subtract it before you sum.",
    )
    variance = torch.distributions.Normal(mean, (log_scale / 2).exp())
    require(
        differs(value, variance.log_prob(x).flatten(1).sum(dim=1)) > 1e-6,
        "you took log_scale for the log of the variance. It is ln s, the log of the standard "
        "deviation (the name says which: V13, and V7 of lesson 31).",
    )
    require(
        differs(value, wanted) < 1e-9,
        f"the first picture has log-density {wanted[0]:.4f}; yours is {value[0]:.4f}. Each pixel: "
        "-(x - mean)^2 / (2 s^2) - ln s - ln(2 pi) / 2.",
    )
    grid = (torch.arange(20_001).double() / 20_000).view(-1, 1, 1, 1)
    middle, s = torch.full_like(grid, 0.5), torch.tensor(-3.0).double()
    total = function(middle, grid, s).exp().mean().item()
    require(abs(total - 1) < 1e-3, f"the density integrates to {total:.4f}, not to 1.")
    _range(function)
    return "equals torch's normal log-density, summed over a picture; integrates to 1"


@check("vae_likelihoods.discretised_logistic_log_likelihood")
def discretised_logistic_log_likelihood(function):
    """Sum all 256 bytes; compare with differences of the distribution function, and far away."""
    for centre in (-0.2, 0.003, 0.5, 1.3):
        for s in (0.004, 0.05, 0.5):
            log_s = torch.tensor(math.log(s)).double()
            value = returned(function(torch.full_like(BYTES, centre), BYTES, log_s))
            require(
                value.shape == (256,),
                f"256 pictures should give (256,); yours {tuple(value.shape)}: sum over all axes "
                "but the first.",
            )
            ends, total = value[[0, 255]].exp().sum().item(), value.exp().sum().item()
            inside = total - ends
            require(
                abs(total - 1) < 1e-6,
                f"with mean {centre} and s = {s} the 256 probabilities sum to {total:.4f}, not 1 "
                f"(the two ends {ends:.4f}, the rest {inside:.4f}). Is the bin from x - half to "
                "x + half? Does 0 get all that is below it, and 255 all above?",
            )
    mean, x, log_scale = (t.requires_grad_() for t in _pictures())
    value, s, half = function(mean, x, log_scale), log_scale.exp(), 0.5 / 255
    upper = torch.where(x > 1 - half, 1.0, ((x + half - mean) / s).sigmoid())
    lower = torch.where(x < half, 0.0, ((x - half - mean) / s).sigmoid())
    wanted = (upper - lower).log().flatten(1).sum(dim=1)
    _one_number_each(value, wanted)
    require(
        differs(value, wanted) < 1e-5,
        f"the first picture has log-probability {wanted[0]:.4f}; yours is {value[0]:.4f}, though "
        "single pixels sum to 1: are mean and scale those of x's own units, 0..1?",
    )
    _slopes(function, mean, x, log_scale, (upper - lower).log())
    far = function(torch.zeros(1, 1, 1, 1), torch.full((1, 1, 1, 1), 0.8), torch.tensor(-6.0))
    right = -(0.8 - half) * math.exp(6) + math.log1p(-math.exp(-2 * half * math.exp(6)))
    require(
        far.isfinite().all() and abs(far.item() - right) < 0.1,
        f"0.8 under mean 0 and ln s = -6 has log-probability {right:.1f}; yours is "
        f"{far.item():.1f}. The difference of two sigmoids is 0 there; a constant added to it is a "
        "floor: no slope, and not a likelihood (V12). Write it with F.logsigmoid.",
    )
    _range(function)
    return "the 256 bytes sum to 1 whatever mean and scale, finite far away, summed over a picture"
