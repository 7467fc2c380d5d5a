"""Checks of lesson 23 for the gradient penalty: critics whose gradient is known, in float32."""

import torch
from torch import nn

from course_lib.checks import check, require
from course_lib.checks.probes import differs, normal
from course_lib.settings import CourseError


class Linear(nn.Module):
    """A critic f(x) = <w, x> for pictures; its gradient is w everywhere."""

    def __init__(self, w):
        super().__init__()
        self.w = nn.Parameter(w.clone())

    def forward(self, x):
        return (x * self.w).flatten(1).sum(dim=1)


class Growing(nn.Module):
    """A critic f(x) = scale |x|^2 / 2, whose gradient is scale x: another norm for each picture."""

    def __init__(self):
        super().__init__()
        self.scale, self.asked = nn.Parameter(torch.tensor(0.5)), None

    def forward(self, x):
        self.asked = x
        return self.scale * x.flatten(1).square().sum(dim=1) / 2


def _rng(seed=0):
    return torch.Generator().manual_seed(seed)


def _pair(n=64, side=4):
    return normal(n, 1, side, side, seed=1).float(), normal(n, 1, side, side, seed=2).float()


def _ask(function, disc, x, fake, **options):
    try:
        return function(disc, x, fake, _rng(), **options)
    except TypeError as error:
        require(
            "positional argument" not in str(error),
            "the critic is called with the wrong arguments at the points between; it takes "
            f"pictures alone, disc(mixed) (W9). {error}",
        )
        raise


def _require_norms(function):
    """Demand the norm over all pixels of each picture, where it is known."""
    ones = torch.ones(1, 32, 32)
    x, fake = _pair(6, 32)
    norms = _ask(function, Linear(ones), x, fake).detach()
    over = (
        "32x32 gradients of ones have norm 32, and at slope 1 per pixel the penalty would say 0 "
        "(W2): flatten each picture first, slope.flatten(1).norm(dim=1)."
    )
    require(
        tuple(norms.shape) == (6,),
        f"6 pictures should give 6 norms, (6,); yours are {tuple(norms.shape)}. {over}",
    )
    value = norms.mean().item()
    require(abs(value - 1) > 1e-6, f"this is the slope of one pixel, 1. {over}")
    require(
        abs(value - 1024) > 1e-3,
        "these are squared norms: 1024, where the norm is 32. Take the root.",
    )
    require(
        abs(6 * value - 32) > 1e-3,
        "the gradient is 6 times too small, one over the batch: take the gradient of the *sum* of "
        "the answers, in which each picture has its own.",
    )
    require(abs(value - 32) < 1e-3, f"the norm of 32x32 ones is 32; yours is {value:.4g}. {over}")


def _require_between(function):
    """Recover each pixel's alpha from what the critic was asked."""
    x, fake = _pair()
    critic = Growing()
    norms = _ask(function, critic, x, fake).detach()
    mixed = critic.asked.detach()
    way = (x - fake).flatten(1)
    alpha = ((mixed - fake).flatten(1) * way).sum(dim=1) / way.square().sum(dim=1)
    straight = fake + alpha[:, None, None, None] * (x - fake)
    require(
        differs(mixed, straight) < 1e-4,
        "within one picture alpha differs from pixel to pixel (W1): such points do not lie on the "
        "way from real to forged. One number per picture, shape (B, 1, 1, 1).",
    )
    low, high = alpha.min().item(), alpha.max().item()
    ends = {"real": 1 - low, "forged": high}
    for name, off in ends.items():
        require(abs(off) > 1e-5, f"all points are the {name} pictures; points *between* are meant.")
    require(
        low > -1e-5 and high < 1 + 1e-5,
        f"alpha reaches from {low:.2f} to {high:.2f}: points beyond the ends of the way (W3). Draw "
        "it with torch.rand, uniform in 0..1, not randn.",
    )
    require(
        high - low > 1e-3,
        f"all pictures share one alpha, {low:.3f}: draw one for each of the B pictures.",
    )
    require(
        high > 0.8 and low < 0.2,
        f"of 64 values of alpha all lie in {low:.2f} .. {high:.2f}: the whole way, 0..1, is meant.",
    )
    require(
        differs(norms, 0.5 * mixed.flatten(1).norm(dim=1)) < 1e-4,
        "for the critic |x|^2 / 4 each picture's norm should be half its own length at the point "
        "between: the gradient belongs there, picture by picture.",
    )
    again, other = Growing(), Growing()
    function(again, x, fake, _rng()), function(other, x, fake, _rng(1))
    require(
        torch.equal(again.asked, mixed) and not torch.equal(other.asked, mixed),
        "alpha should come from rng: the same for one seed, another for another.",
    )


def _require_graph(function):
    """Demand that the critic can learn from it: d(norm) / d(theta)."""
    critic = Growing()
    norms = function(critic, *_pair(), _rng())
    require(
        norms.requires_grad,
        "the norms carry no graph: the penalty is a number that teaches the critic nothing, plain "
        "WGAN without a limit (W6). torch.autograd.grad(..., create_graph=True).",
    )
    (grad,) = torch.autograd.grad(norms.sum(), critic.scale)
    wanted = 2 * norms.detach().sum()  # the norms are scale |x|, scale 1/2
    require(
        abs(grad / wanted - 1) < 1e-4,
        f"doubling the critic should double the norms, d norm / d scale = {wanted:.4g}; through "
        f"your graph it is {grad:.4g} (W6).",
    )


def _refused(function, disc, x, fake):
    try:
        function(disc, x, fake, _rng())
    except CourseError:
        return True
    except Exception:  # noqa: BLE001  any other error is no clear sentence
        return False
    return False


def _require_refusals(function):
    x, fake = torch.rand(4, 1, 2, 2), torch.rand(4, 1, 2, 2)
    head = [nn.Flatten(), nn.Linear(4, 1), nn.Flatten(0)]
    require(
        _refused(function, nn.Sequential(*head), x, fake[:1]),
        "4 real and 1 forged picture were accepted, and stretched to fit: call require_critic.",
    )
    require(
        _refused(function, nn.Sequential(*head, nn.Sigmoid()), x, fake),
        "a critic that ends in a sigmoid was accepted (W4): call require_critic.",
    )
    require(
        _refused(function, nn.Sequential(nn.BatchNorm2d(1), *head), x, fake),
        "a critic with batch norm was accepted: a picture's slope depends on its company (W8).",
    )


@check("objectives.slope_norms")
def slope_norms(function):
    """Check norms, points between and graph, with critics whose gradient is known."""
    _require_norms(function)
    _require_between(function)
    _require_graph(function)
    _require_refusals(function)
    rows = normal(5, 3, seed=3).float()
    there = function(Linear(torch.tensor([2.0, 1.0, 2.0])), rows, rows + 1, _rng())
    require(differs(there.detach(), torch.full((5,), 3.0)) < 1e-5,
            "points (B, 3) and a critic of gradient (2, 1, 2): the norms should be 3.")  # fmt: skip
    return "one norm per picture, on the way from real to forged, with a graph; 32x32 ones have 32"


def _penalty(function, slope, side=32, **options):
    """Return the penalty of a linear critic with gradient `slope` in each of side x side pixels."""
    critic = Linear(slope * torch.ones(1, side, side))
    return function(critic, *_pair(6, side), _rng(), **options)


def _examine(function, below):
    """Compare the penalty with its formula; below: what slope 0 should cost."""
    value = _penalty(function, 1.0)
    require(
        isinstance(value, torch.Tensor) and value.ndim == 0, "one number is meant: the mean over B."
    )
    require(
        value.abs() > 1e-6,
        "a 32x32 gradient of ones has norm 32, and your penalty says 0: that is the norm per pixel "
        "(W2). It should be 10 * 31^2 = 9610.",
    )
    require(
        abs(_penalty(function, 1.0, strength=1.0) - value) > 1e-6,
        "the argument `strength` is accepted and ignored.",
    )
    require(value.requires_grad, "the penalty carries no graph: the critic cannot learn it (W6).")
    require(value > 0, f"the penalty is {value:.4g}: it is a price, and cannot be negative.")
    require(
        abs(value - 9610) < 1e-3,
        f"a 32x32 gradient of ones has norm 32, so the penalty is 10 * 31^2 = 9610; yours is "
        f"{value:.5g}. strength * mean of (norm - 1)^2.",
    )
    free = _penalty(function, 1 / 32).item()
    require(abs(free) < 1e-6, f"slope 1 should cost 0, yours costs {free:.4g}.")
    half = _penalty(function, 0.5 / 32).item()
    require(
        abs(half - below) < 1e-6,
        f"slope 1/2 should cost {below:g}, yours costs {half:.4g}: "
        + ("both sides of 1 have a price." if below else "below 1 it is free, max(0, norm - 1)."),
    )
    critic = Growing()
    critic.scale.data.fill_(0.3)
    got = function(critic, *_pair(), _rng()).item()
    missing = 0.3 * critic.asked.detach().flatten(1).norm(dim=1) - 1
    wanted = 10 * (missing if below else missing.clamp(min=0)).square().mean().item()
    require(
        abs(got / wanted - 1) < 1e-4,
        f"pictures with different norms should pay {wanted:.4f} on average, yours pay {got:.4f}: "
        "square each, then the mean.",
    )


@check("objectives.gradient_penalty")
def gradient_penalty(function):
    """Check the formula on critics of known slope, on both sides of 1."""
    _examine(function, 2.5)
    return "10 * (norm - 1)^2, averaged: 9610 at norm 32, 0 at 1, 2.5 at 1/2; it can be learnt from"


@check("objectives.one_sided_penalty")
def one_sided_penalty(function):
    """Check that only slopes above 1 have a price."""
    _examine(function, 0.0)
    return "10 * max(0, norm - 1)^2, averaged: 9610 at norm 32, free up to norm 1"
