"""Checks of lesson 31 for the loss and for the tool that reads beta off a loss."""

import torch

from course_lib.checks import check, require
from course_lib.checks.probes import normal

TOO_LONG = "A mean is a sum with a hidden factor: only the sum belongs to the bound."


def require_answer(value):
    """Fail with a sentence where a function came to its end without an answer."""
    require(value is not None, "nothing came back: is `return` missing?")


def times_the_right_one(value, wanted):
    """Return the factor between two vectors (N,), or None where it is not the same for all."""
    ratio = value / wanted
    return ratio.mean().item() if ratio.std() < 1e-6 else None


@check("vae.elbo_loss")
def elbo_loss(function):
    """Compare the slopes in both terms with 1 / B, and name the beta and the scale."""
    terms = [(100 * normal(256, seed=s)).requires_grad_() for s in (5, 6)]
    value = function(*terms, 0.3)
    require(
        isinstance(value, torch.Tensor) and value.ndim == 0,
        "the loss should be one number: the mean over the batch.",
    )
    slopes = torch.autograd.grad(value, terms, allow_unused=True)
    require(slopes[1] is not None, "the KL is not in the loss: an autoencoder (V10, V16).")
    require(slopes[0] is not None, "the likelihood is not in the loss.")
    in_log_lik, in_kl = (slope.sum().item() for slope in slopes)
    require(
        in_log_lik < 0,
        "the loss rises with the likelihood: minimise minus the ELBO, kl - log_lik.",
    )
    require(in_kl > 0, "the loss falls with the KL: kl_loss is +KL, so it is added (T2, V4).")
    beta = -in_kl / in_log_lik
    require(
        abs(beta - 1) < 1e-6,
        f"you train beta = {beta:.4g}, not 1: the slope in kl is {in_kl:.4g}, in -log_lik "
        f"{-in_log_lik:.4g}. Both are sums already: average both over the batch, once (V1 to V3, "
        "V17).",
    )
    require(
        abs(in_kl - 1) < 1e-6,
        f"beta is 1, but every gradient is {in_kl:.4g} times the right one: the batch of 256 is "
        "averaged twice, or not at all. Adam divides a constant factor out, so no curve would show "
        "it (V17).",
    )
    wanted = (terms[1] - terms[0]).mean()
    require(abs(value - wanted) < 1e-6, f"the loss should be {wanted:.4f}, yours is {value:.4f}.")
    return "minus the ELBO: beta is 1, the scale is 1, averaged once over the batch"


@check("vae.beta_and_scale")
def beta_and_scale(function):
    """Ask for losses whose beta and scale are known."""
    for beta, scale in ((1.0, 1.0), (784.0, 1 / 784), (0.5, 3.0)):
        found = function(
            lambda log_lik, kl, _, b=beta, s=scale: (s * (b * kl - log_lik) + 5).mean()
        )
        require(
            abs(found[0] / beta - 1) < 1e-6,
            f"a loss with beta {beta:g} and scale {scale:.3g} is said to have beta {found[0]:.4g}: "
            "the slope in kl over the slope in -log_lik.",
        )
        require(
            abs(found[1] / scale - 1) < 1e-6,
            f"a loss with beta {beta:g} and scale {scale:.3g} is said to have scale "
            f"{found[1]:.4g}: the summed slope in -log_lik.",
        )
    return "beta and scale of three known losses"
