"""Checks of lesson 24: the flow of two numbers, R1, the hinge, modes, noise; norms stand beside."""

import itertools

import torch
from torch import nn
from torch.nn import functional as F

from course_lib.checks import check, require
from course_lib.checks.probes import differs, normal
from course_lib.checks.stable_gans_norms import conv_norm, spectral_norm
from course_lib.checks.stable_gans_signs import diagnose

__all__ = [
    "SpectralNorm",
    "conv_norm",
    "diagnose",
    "expected_modes",
    "hinge_disc_loss",
    "r1_penalty",
    "truncated_noise",
    "velocity",
]
SpectralNorm = spectral_norm


def _value(real, fake):
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def _non_saturating(fake):
    return F.softplus(-fake).mean()


def _exact(theta, psi, strength=0.0, s=0.0):
    """Return the flow by hand: non-saturating, noise -s and s, a cost strength / 2 psi^2."""
    real, fake = (torch.stack([psi * (x - s), psi * (x + s)]) for x in (0 * theta, theta))
    shifts = torch.tensor([-s, s]).to(theta)
    down_psi = (fake.sigmoid() * (theta + shifts) - (-real).sigmoid() * shifts).mean()
    return torch.stack([(-fake).sigmoid().mean() * psi, -down_psi - strength * psi])


@check("stable_gans.velocity")
def velocity(function):
    """Compare with the flow derived by hand, with and without noise and a cost."""
    games = {
        "no cost and no noise": ({}, {}),
        "a cost of 0.35 psi^2": ({"penalty": lambda psi: 0.35 * psi**2}, {"strength": 0.7}),
        "noise -0.5 and 0.5": ({"noise": torch.tensor([-0.5, 0.5])}, {"s": 0.5}),
    }
    for (name, (given, exact)), seed in itertools.product(games.items(), range(3)):
        state = normal(2, seed=seed)
        found, wanted = function(state, _value, _non_saturating, **given), _exact(*state, **exact)
        require(
            isinstance(found, torch.Tensor) and found.shape == (2,),
            "the velocity of (theta, psi) is a tensor (2,): torch.stack([..., ...]).",
        )
        if differs(found, wanted) < 1e-6:
            continue
        require(
            differs(found, -wanted) > 1e-6,
            "both players go uphill: each moves against the slope of its loss. Minus.",
        )
        require(
            differs(found.flip(0), wanted) > 1e-6,
            "theta and psi have changed places: the state is (theta, psi), in this order.",
        )
        require(
            abs(found[1] - wanted[1]) > 1e-6,
            f"with {name}, psi moves rightly and theta does not: the generator follows the slope "
            "of gen_loss(fake) alone, not that of D's loss (G8).",
        )
        require(
            False,
            f"with {name}, at theta {state[0]:.2f} and psi {state[1]:.2f}, the velocity should be "
            f"({wanted[0]:.3f}, {wanted[1]:.3f}); yours is ({found[0]:.3f}, {found[1]:.3f}). The "
            "logits are psi * noise and psi * (theta + noise); the penalty belongs to D's loss.",
        )
    require(
        found.requires_grad,
        "the velocity carries no graph, and its Jacobian is wanted: create_graph=True, no detach.",
    )
    jacobian = torch.autograd.functional.jacobian
    J = jacobian(lambda s: function(s, _value, _non_saturating), torch.zeros(2).double())
    wanted = torch.tensor([[0.0, 0.5], [-0.5, 0.0]]).double()
    require(
        differs(J, wanted) < 1e-9,
        f"the Jacobian at 0 should be {wanted.tolist()}; yours is {J.tolist()}: create_graph=True.",
    )
    return "each player against its own slope: as derived by hand, at 9 states; J has ±i/2"


class _Quadratic(nn.Module):
    """D whose logit is w . x^2 / 2, so that its slope at x is w x; pictures (B, 2, 3, 3)."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(normal(2, 3, 3))

    def forward(self, x):
        return (self.w * x.square() / 2).flatten(1).sum(dim=1)


@check("stable_gans.r1_penalty")
def r1_penalty(function):
    """Compare value and gradient with a discriminator whose slope is known."""
    disc, x, fake = _Quadratic(), normal(5, 2, 3, 3, seed=1), normal(5, 2, 3, 3, seed=2)
    rng = torch.Generator().manual_seed(0)

    def exact(points, strength):
        lengths = (disc.w * points).flatten(1).square().sum(dim=1)
        return strength / 2 * lengths.mean()

    found, wanted = function(disc, x, fake, rng), exact(x, 0.2)
    require(
        isinstance(found, torch.Tensor) and found.shape == (),
        "one number is meant: the mean over the pictures.",
    )
    ratio = (found / wanted).item()
    require(
        differs(found, exact(fake, 0.2)) > 1e-9,
        "the slope is taken at the forgeries; R1 is paid at real pictures only.",
    )
    require(
        abs(ratio - 1 / 25) > 1e-6,
        "the penalty is 25 times too small with 5 pictures: a mean of logits has slopes 5 times "
        "too small, and they are squared. Take the gradient of disc(x).sum().",
    )
    require(
        abs(ratio - 1 / 18) > 1e-6,
        "the squares are averaged over the 18 pixels: the squared length of a slope is their sum.",
    )
    require(abs(ratio - 2) > 1e-6, "twice too large: strength / 2, as in the formula.")
    require(
        differs(found, wanted) < 1e-9,
        f"for a D with known slopes the penalty should be {wanted:.4f}; yours is {found:.4f}: "
        "strength / 2 times the squared length (no root) of each picture's slope, averaged.",
    )
    require(
        differs(function(disc, x, fake, rng, strength=3.0), exact(x, 3.0)) < 1e-9,
        "the argument `strength` is accepted and ignored.",
    )
    require(
        found.requires_grad,
        "the penalty is a constant for D's weights: it is added, printed and does nothing. The "
        "slope needs create_graph=True (W6).",
    )
    (grad,) = torch.autograd.grad(found, disc.w)
    require(
        differs(grad, torch.autograd.grad(wanted, disc.w)[0]) < 1e-9,
        "the value is right and its gradient in D's weights is not: nothing may be detached "
        "after the slope (W6).",
    )
    require(
        not x.requires_grad,
        "the caller's x was marked for gradients: x.detach() before requires_grad_().",
    )
    return "strength / 2 times the mean squared slope at real x; D's weights feel it"


@check("stable_gans.hinge_disc_loss")
def hinge_disc_loss(function):
    """Compare with the loss by hand at logits on both sides of the margins; mean and sum."""
    real, fake = (
        torch.tensor([-2.5, 0.5, 3.0]).double(),
        torch.tensor([-3.0, 0.0, 2.0, 0.5]).double(),
    )
    found, wanted = function(real, fake), (3.5 + 0.5 + 0) / 3 + (0 + 1 + 3 + 1.5) / 4
    require(
        isinstance(found, torch.Tensor) and found.shape == (),
        "one number is meant: a mean of each term (3 real, 4 forged here), then the sum.",
    )
    swapped, no_margin = (0 + 1.5 + 4) / 3 + (4 + 1 + 0 + 0.5) / 4, 2.5 / 3 + 2.5 / 4
    require(
        abs(found - swapped) > 1e-6,
        "real and forged have changed places: real logits should be above 1, forged below -1.",
    )
    require(abs(found - no_margin) > 1e-6, "the margin is missing: 1 - real and 1 + fake.")
    beyond = [function(real, fake - 9), function(real + 9, fake)]  # of each, one term is 0
    require(
        min(abs(loss).item() for loss in beyond) > 1e-9,
        "one of the two terms is missing: real and forged both count (G6).",
    )
    require(
        min(loss.item() for loss in [*beyond, function(real + 9, fake - 9)]) >= 0,
        "logits beyond the margin earn a negative cost: max(0, .) of each logit, before the mean.",
    )
    require(
        abs(found - wanted) < 1e-9,
        f"for real logits -2.5, 0.5, 3 and forged -3, 0, 2, 0.5 the loss should be {wanted:.3f}; "
        f"yours is {found:.3f}: max(0, 1 - real) and max(0, 1 + fake), a mean of each, added.",
    )
    rings = function(torch.stack([real, real + 1]), torch.stack([fake, fake - 1]))
    each = function(real, fake) + function(real + 1, fake - 1)
    require(
        rings.shape == () and abs(rings - each) < 1e-9,
        "for logits (R, B) the sum over rings is meant: mean over the last axis, then the sum.",
    )
    return "what is beyond the margin costs nothing, what is before it by its distance"


@check("stable_gans.expected_modes")
def expected_modes(function):
    """Compare with all outcomes of three draws, counted one by one."""
    p, n = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64), 3
    outcomes = list(itertools.product(range(3), repeat=n))
    wanted = sum(len(set(o)) * p[list(o)].prod().item() for o in outcomes)
    found = float(function(p, n))
    require(
        abs(found - (p**n).sum().item()) > 1e-9 and abs(found - (1 - p**n).sum().item()) > 1e-9,
        "p^n is the chance that all samples show the mode. That none does is (1 - p)^n.",
    )
    require(
        abs(found - (3 - wanted)) > 1e-9,
        "you count the modes that are missed; those seen are the rest.",
    )
    require(
        abs(found - wanted) < 1e-9,
        f"of modes 0.5, 0.3 and 0.2 three samples show {wanted:.4f} on average (27 outcomes "
        f"counted); yours is {found:.4f}. 1 - (1 - p)^n for each mode, then the sum.",
    )
    return f"three draws from three modes: {wanted:.4f}, as counted over all 27 outcomes"


@check("stable_gans.truncated_noise")
def truncated_noise(function):
    """Compare range and spread with the truncated normal distribution's."""
    z = function(4000, 10, 0.8, torch.Generator().manual_seed(0))
    require(z.shape == (4000, 10), f"the noise should be (4000, 10); yours is {tuple(z.shape)}.")
    require(
        z.abs().max() <= 0.8,
        f"with limit 0.8 a number is {z.abs().max():.2f}: what was drawn again may be out of "
        "bounds again. Repeat while any is.",
    )
    ends = (z.abs() > 0.7999).double().mean().item()
    require(
        ends < 0.01,
        f"{ends:.0%} of the numbers lie at the very ends: clamping piles them up. Draw again.",
    )
    normal_, limit = torch.distributions.Normal(0.0, 1.0), torch.tensor(0.8)
    share = 2 * normal_.cdf(limit) - 1
    wanted = (1 - 2 * limit * normal_.log_prob(limit).exp() / share).sqrt().item()
    require(
        abs(z.std().item() - wanted) < 0.01,
        f"the standard deviation should be {wanted:.3f}, that of a normal cut off at 0.8; yours "
        f"is {z.std():.3f}. Not scaled, not uniform: each number drawn from N(0, 1) until it fits.",
    )
    again = function(4000, 10, 0.8, torch.Generator().manual_seed(0))
    require(torch.equal(z, again), "the same generator gave two answers: draw from rng.")
    return "all within the limit, spread as a normal cut off there, drawn from rng"
