"""Checks of lesson 23 for the losses of LSGAN and WGAN: values, signs, slopes."""

import torch

from course_lib.checks import check, require
from course_lib.checks.probes import differs, normal


def _value(function, *logits):
    """Return the loss and its gradients in the logits; it must be one number."""
    leaves = [x.detach().clone().requires_grad_() for x in logits]
    value = function(*leaves)
    require(
        isinstance(value, torch.Tensor) and value.ndim == 0,
        "the loss should be one number, a tensor without axes: means over the batch.",
    )
    require(value.requires_grad, "the loss is not connected with the logits.")
    grads = torch.autograd.grad(value, leaves, allow_unused=True)
    require(
        all(grad is not None for grad in grads), "one of the two batches is not used in the loss."
    )
    return value.item(), grads


def _require_mean(function, logits, value):
    doubled = function(*(torch.cat([x, x]) for x in logits)).item()
    require(
        abs(doubled - value) < 1e-9,
        f"the same logits twice make {doubled:.4f} of {value:.4f}: means, no sums, over the batch.",
    )


def _require_linear(function, n):
    """Demand that no sigmoid bounds the loss."""
    far = [function(*(sign * torch.full((3,), 100.0).double() for _ in range(n))).abs().item()
           for sign in (1, -1)]  # fmt: skip
    require(
        max(far) > 1000,
        f"at outputs of 100 and -100 the loss is {far[0]:.4g} and {far[1]:.4g}: something squeezes "
        "them, a sigmoid? LSGAN's D answers with any number (T8).",
    )


@check("objectives.lsgan_disc_loss")
def lsgan_disc_loss(function):
    """Check the targets, that both batches count, and that nothing is squeezed."""
    real, fake = normal(7, seed=1), normal(7, seed=2)
    value, _ = _value(function, real, fake)
    wanted = ((real - 1) ** 2).mean() + (fake**2).mean()
    swapped = (real**2).mean() + ((fake - 1) ** 2).mean()
    coded = ((real - 1) ** 2).mean() + ((fake + 1) ** 2).mean()
    _require_linear(function, 2)
    require(abs(value - swapped) > 1e-9, "the targets have changed places: real 1, forged 0.")
    require(
        abs(value - coded) > 1e-9,
        "forged go to -1 here. That is the paper's other coding; the lesson's is 0, real 1.",
    )
    require(
        abs(value - wanted / 2) > 1e-9,
        "this is half of it, as in the paper; the lesson leaves the half out, so that D's best "
        "value is 1/2 - chi-square / 4.",
    )
    _require_mean(function, (real, fake), value)
    perfect = function(torch.ones(3).double(), torch.zeros(3).double()).item()
    require(
        abs(value - wanted) < 1e-9,
        f"the loss is {value:.4f}, it should be {wanted:.4f}; a D that says 1 and 0 should pay 0, "
        f"yours pays {perfect:.4f}. Squared errors to 1 and to 0.",
    )
    return "squared errors, real to 1, forged to 0; no sigmoid, so no end to what a mistake costs"


@check("objectives.lsgan_gen_loss")
def lsgan_gen_loss(function):
    """Check that forgeries are drawn to 1, and to nothing else."""
    fake = normal(7, seed=3)
    value, (slope,) = _value(function, fake)
    wanted = ((fake - 1) ** 2).mean().item()
    _require_linear(function, 1)
    require(
        abs(value - (fake**2).mean()) > 1e-9,
        "the generator wants forged to be called 0, that is, to be caught: its target is 1.",
    )
    require(
        abs(value + (fake**2).mean()) > 1e-9,
        "this is minus D's term, which has no lower end: G would run away from 0, past 1. It has a "
        "target of its own, 1.",
    )
    require(
        abs(value - wanted / 2) > 1e-9,
        "this is half of it; the lesson leaves the paper's half out.",
    )
    _require_mean(function, (fake,), value)
    require(
        abs(value - wanted) < 1e-9,
        f"the loss is {value:.4f}, it should be {wanted:.4f}: the mean square of forged to 1.",
    )
    require(differs(slope, 2 * (fake - 1) / 7) < 1e-9, "the slope should be 2 (D - 1) / B.")
    return "the mean square of forged to 1; slope 0 only where D says 1"


LOGARITHM = "WGAN's losses have no logarithm and no sigmoid: they are plain means (W4)."


def _require_straight(slopes):
    require(
        all((slope - slope[0]).abs().max() < 1e-9 for slope in slopes),
        f"the slope of your loss depends on the answer. {LOGARITHM}",
    )


@check("objectives.wgan_disc_loss")
def wgan_disc_loss(function):
    """Check the signs and the slopes: plus for forged, minus for real, 1 / B each."""
    real, fake = normal(7, seed=4), normal(7, seed=5)
    value, slopes = _value(function, real, fake)
    _require_straight(slopes)
    wanted = (fake.mean() - real.mean()).item()
    require(
        abs(value + wanted) > 1e-9,
        "the sign is turned: mean real minus mean forged is what the critic *maximises*, and "
        "optimisers minimise. (With both turned, critic and generator, it would be right: T9.)",
    )
    _require_mean(function, (real, fake), value)
    require(
        abs(value - wanted) < 1e-9,
        f"the loss is {value:.4f}, it should be {wanted:.4f}: mean forged minus mean real.",
    )
    turned = function(fake, real).item()
    require(
        abs(turned + wanted) < 1e-9,
        f"with the batches exchanged the loss should be {-wanted:.4f}, yours is {turned:.4f}: no "
        "abs. A critic that ranks forgeries above real pictures has to pay for it.",
    )
    return "mean forged minus mean real; slopes of +1 and -1 over B, wherever the answers are"


@check("objectives.wgan_gen_loss")
def wgan_gen_loss(function):
    """Check the sign and the slope."""
    fake = normal(7, seed=6)
    value, slopes = _value(function, fake)
    _require_straight(slopes)
    require(
        abs(value - fake.mean()) > 1e-9,
        "this is the critic's sign: the generator would make its forgeries worse (W5). It wants "
        "their mean to rise.",
    )
    _require_mean(function, (fake,), value)
    require(
        abs(value + fake.mean()) < 1e-9,
        f"the loss is {value:.4f}, it should be {-fake.mean():.4f}: minus the mean.",
    )
    return "minus the mean answer to forgeries; slope -1 / B, near and far"
