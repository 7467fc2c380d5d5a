"""Checks of lesson 20 for the three losses: their values, their slopes, and where they overflow."""

import math

import torch
from torch.nn import functional as F

from course_lib.checks import check, require
from course_lib.checks.probes import normal

FAR = 200.0  # a logit whose sigmoid is 0 or 1 in floating point
PROBABILITIES = (
    "Losses on probabilities take the logarithm of a sigmoid that is rounded to 0 or 1 (G1), and a "
    "small number inside the logarithm only hides it (G2): use F.softplus on the logits."
)


def _slope(function, *logits, of=0):
    """Return the gradient of function(*logits) in logits[of]."""
    leaves = [x.detach().clone().requires_grad_() for x in logits]
    value = function(*leaves)
    require(
        isinstance(value, torch.Tensor) and value.ndim == 0,
        "the loss should be one number, a tensor without axes: the mean over the batch.",
    )
    return torch.autograd.grad(value, leaves[of], allow_unused=True)[0]


def _require_one_number(function, *rings):
    """Demand a tensor without axes for three rings; the natural slip is to forget their sum."""
    value = function(*rings)
    require(
        isinstance(value, torch.Tensor) and value.ndim == 0,
        f"one number is meant; yours is {tuple(getattr(value, 'shape', [type(value)]))} for three "
        "rings: the mean over the batch, dim=-1, then the sum over the rings.",
    )


def _require_rings(function, logits, value):
    """Demand the sum over rings of what each would pay alone."""
    alone = sum(function(*(part[r] for part in logits)) for r in range(3))
    require(
        abs(value - alone) < 1e-9,
        f"three rings that pay {alone:.4f} together pay {value:.4f} side by side: take the mean "
        "over the batch, dim=-1, and the sum over rings, so that each has its own gradient.",
    )


@check("gan.disc_loss")
def disc_loss(function):
    """Compare -V with its formula, near and far, alone and for rings side by side."""
    real, fake = normal(7, seed=1), normal(7, seed=2)
    rings = normal(3, 7, seed=3), normal(3, 7, seed=4)
    _require_one_number(function, *rings)
    value, nothing = function(real, fake), torch.zeros(7).double()
    wanted = (F.softplus(-real).mean() + F.softplus(fake).mean()).item()
    require(_slope(function, real, fake) is not None, "the real logits are not used (G6).")
    require(_slope(function, real, fake, of=1) is not None, "the forged logits are not used.")
    require(
        abs(value + wanted) > 1e-6,
        "the sign is turned: this is V, which the discriminator maximises (G9). Optimisers "
        "minimise, so return -V.",
    )
    swapped = (F.softplus(real).mean() + F.softplus(-fake).mean()).item()
    require(
        abs(value - swapped) > 1e-6,
        "real and forged have changed places: a good D gives real pictures large logits, and pays "
        "softplus(-logit) for them.",
    )
    same = (F.softplus(-real).mean() + F.softplus(-fake).mean()).item()
    require(
        abs(value - same) > 1e-6,
        "both means have the same sign: D wants forged logits small, so they pay softplus(+logit).",
    )
    blind = function(nothing, nothing).item()
    require(
        abs(blind - 2 * math.log(2)) < 1e-3,
        f"with all logits 0 the loss should be 2 ln 2 = 1.3863; yours is {blind:.4f}. The sum of "
        "two means, one over the real and one over the forged.",
    )
    far = torch.full((7,), FAR)
    for a, b in ((far, -far), (-far, far)):
        require(
            math.isfinite(function(a, b).item()),
            f"at logits of ±{FAR:g} the loss is {function(a, b).item()}. {PROBABILITIES}",
        )
    lost = function(-far, far).item()
    require(
        abs(lost - 2 * FAR) < 1e-3,
        f"a discriminator that is sure and wrong, by logits of {FAR:g}, should pay {2 * FAR:g} "
        f"nats; yours pays {lost:.4g}. {PROBABILITIES}",
    )
    require(abs(value - wanted) < 1e-9, f"the loss is {value:.4f}, it should be {wanted:.4f}.")
    _require_rings(function, rings, function(*rings))
    return "-V, finite at any logit, 2 ln 2 where nothing is known; each ring pays for itself"


def _examine_gen_loss(function, exact, at_zero, slope_at):
    """Compare a generator's loss with `exact`, its value at 0 and its slope at -40, 0 and 2."""
    fake, rings = normal(7, seed=5), normal(3, 7, seed=6)
    _require_one_number(function, rings)
    value = function(fake)
    slope = _slope(function, fake)
    require(
        slope is not None and slope.abs().max() > 0,
        "no gradient reaches the logits of the forgeries: the loss has to be built on them (G5).",
    )
    require(
        slope.min() < 0,
        "the loss rises with the logits: the generator would be pushed to be caught (G10). It "
        "wants D to say real.",
    )
    for logit, wanted in slope_at.items():
        got = _slope(function, torch.full((1,), logit).double()).item()
        require(
            abs(got - wanted) < 1e-4,
            f"at logit {logit:g} the slope should be {wanted:.3g}, yours is {got:.3g}. "
            + (
                PROBABILITIES
                if logit < -30
                else "Only D(G(z)) belongs in it, nothing of D's own "
                "loss (G8), and which of the two losses is this?"
            ),
        )
    for far in (FAR, -FAR):
        there, wanted = function(torch.full((3,), far)).item(), exact(torch.tensor(far)).item()
        require(
            abs(there - wanted) < 1e-3,
            f"at logit {far:g} the loss should be {wanted:g}, yours is {there:.4g}. "
            + PROBABILITIES,
        )
    zero = function(torch.zeros(4).double()).item()
    require(
        abs(zero - at_zero) < 1e-9 and abs(value - exact(fake).mean()) < 1e-9,
        f"at logits of 0 the loss should be {at_zero:.4f}, yours is {zero:.4f}: a mean over the "
        "batch, in nats.",
    )
    _require_rings(function, (rings,), function(rings))


@check("gan.gen_loss")
def gen_loss(function):
    """Check -ln D: its value, that it does not saturate, and that nothing else is in it."""
    slopes = {-40: -1.0, 0: -0.5, 2: -torch.sigmoid(torch.tensor(-2.0)).item()}
    _examine_gen_loss(function, lambda x: F.softplus(-x), math.log(2), slopes)
    return "-ln D, ln 2 where D is undecided, slope -1 where the forgery is worst"


@check("gan.minimax_gen_loss")
def minimax_gen_loss(function):
    """Check ln(1 - D): its value, and that it does saturate."""
    slopes = {-40: 0.0, 0: -0.5, 2: -torch.sigmoid(torch.tensor(2.0)).item()}
    _examine_gen_loss(function, lambda x: -F.softplus(x), -math.log(2), slopes)
    return "ln(1 - D), -ln 2 where D is undecided, slope 0 where the forgery is worst"
