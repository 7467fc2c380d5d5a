"""Checks of lesson 23: distances on a line; losses, penalties and turns stand beside."""

from itertools import permutations

import torch

from course_lib.checks import check, require
from course_lib.checks.objectives_losses import (
    lsgan_disc_loss,
    lsgan_gen_loss,
    wgan_disc_loss,
    wgan_gen_loss,
)
from course_lib.checks.objectives_penalty import gradient_penalty, one_sided_penalty, slope_norms
from course_lib.checks.objectives_turns import critic_step, train_objective
from course_lib.checks.probes import normal

__all__ = [
    "best_critic",
    "critic_step",
    "earth_mover",
    "gradient_penalty",
    "lsgan_disc_loss",
    "lsgan_gen_loss",
    "one_sided_penalty",
    "slope_norms",
    "train_objective",
    "wgan_disc_loss",
    "wgan_gen_loss",
]


def _carried(function, a, b):
    try:
        return float(function(a, b))
    except TypeError as error:
        require(
            "return_types" not in str(error),
            "sort() returns values and places; the values are a.sort().values.",
        )
        raise


@check("objectives.earth_mover")
def earth_mover(function):
    """Compare with the best of all 720 assignments of six points, and move a heap."""
    a, b = normal(6, seed=1), normal(6, seed=2) + 0.3
    ways = torch.stack([(a - b[list(order)]).abs().mean() for order in permutations(range(6))])
    least, value = ways.min().item(), _carried(function, a, b)
    given = (a - b).abs().mean().item()
    require(
        abs(value - given) > 1e-9,
        f"six points are carried a mean way of {value:.4f}, in the order in which they come; the "
        f"best of all 720 assignments takes {least:.4f}. Sort both first.",
    )
    require(
        abs(value - 6 * least) > 1e-9,
        "this is the sum of the ways; the earth mover's distance is their mean.",
    )
    root = (a.sort().values - b.sort().values).square().mean()
    require(
        min(abs(value - root), abs(value - root.sqrt())) > 1e-9,
        "these are squared ways (W2); W1 is the mean of their absolute values.",
    )
    require(
        abs(abs(value) - abs((a - b).mean().item())) > 1e-9,
        f"ways to the left and to the right cancel in yours, {value:.4f}: abs first, then mean.",
    )
    require(
        abs(value - least) < 1e-9,
        f"the best of all 720 assignments of six points takes {least:.4f}, yours says {value:.4f}.",
    )
    moved = float(function(a, a.flip(0) + 3))
    require(abs(moved - 3) < 1e-9, f"a heap moved by 3 is 3 away; yours says {moved:.4f}.")
    return "equals the best of all 720 assignments of six points; a heap moved by 3 is 3 away"


@check("objectives.best_critic")
def best_critic(function):
    """Check slope, height and value: no 1-Lipschitz function separates better than W1."""
    p, q = normal(40, seed=3).softmax(0), normal(40, seed=4).softmax(0)
    dx = 0.25
    f = function(p, q, dx)
    require(
        tuple(f.shape) == (40,),
        f"f should have a value at each of 40 points, yours is {tuple(f.shape)}: 39 slopes, and a "
        "0 in front.",
    )
    require(
        abs(f[0]) < 1e-9 or abs(f[-1]) > 1e-9,
        "your f ends at 0, it should begin there: pad in front, F.pad(..., (1, 0)).",
    )
    steep = (f.diff() / dx).abs().max().item()
    require(
        steep < 1 + 1e-9,
        f"your f has slope {steep:.3g}, and 1 is allowed: between two points dx = {dx} apart it "
        "may change by dx.",
    )
    require(
        all((f.diff() / dx - sign * (q - p).sign()[:-1]).abs().max() > 1e-6 for sign in (1, -1)),
        "your slopes are signs of q - p, the densities. P and Q are running sums: cumsum first.",
    )
    wanted = (p.cumsum(0) - q.cumsum(0)).abs().sum().item() * dx
    value = (f * (p - q)).sum().item()
    require(
        value > -1e-9 or abs(value + wanted) > 1e-9,
        f"your f is the worst one: it makes {value:.4f} of p - q, the best {wanted:.4f}. The "
        "critic is high where the data, p, are.",
    )
    require(
        abs(value - wanted) < 1e-9,
        f"your f makes {value:.4f} of p - q, the best {wanted:.4f}. Between points k and k + 1 the "
        "slope is the sign of Q - P at k; the last sign is not used.",
    )
    require(abs(f[0]) < 1e-9, f"f should begin at 0, yours at {f[0]:.4g}.")
    return "slopes within -1..1, and the sum of f (p - q) is W1, the most that any such f can make"
