"""Checks of lesson 55 that look at pictures: colours, and a descent in pixels."""

from types import SimpleNamespace

import torch

from course_lib import display
from course_lib.checks import check, require
from course_lib.checks.probes import differs, normal
from course_lib.settings import CourseError


def _cloud(x):
    """Return mean (3,) and covariance (3, 3) of the colours of x (1, 3, H, W)."""
    c = x[0].flatten(1)
    centred = c - c.mean(dim=1, keepdim=True)
    return c.mean(dim=1), centred @ centred.T / c.shape[1]


def _pictures():
    """Return two pictures whose three channels depend on each other, of different sizes."""
    mix = normal(3, 3, seed=5)
    x = 0.5 + 0.1 * torch.einsum("ab,nbhw->nahw", mix, normal(1, 3, 9, 6, seed=1))
    style = 0.3 + 0.2 * torch.einsum("ab,nbhw->nahw", mix.flip(0), normal(1, 3, 5, 8, seed=2))
    return x, style + torch.tensor([0.1, 0.0, -0.2])[:, None, None]


@check("style_transfer.recolour")
def recolour(function):
    """Mean and covariance afterwards are the style's; the style itself stays; grey is finite."""
    x, style = _pictures()
    y = function(x, style)
    require(
        isinstance(y, torch.Tensor) and y.shape == x.shape,
        f"{[*x.shape]} should stay so, not become {[*getattr(y, 'shape', ())]}.",
    )
    require(y.isfinite().all(), "nan or infinity came out: an inverse of what has none?")
    (mu, S), (nu, T), (mean, cov) = _cloud(x), _cloud(style), _cloud(y)
    size = T.abs().max().item()
    require(differs(y, style.mean() + 0 * y) > 1e-6, "all colours became one.")
    require(
        differs(mean, nu) < 1e-3 or differs(mean, mu) > 1e-3,
        "the mean is still the photograph's: add nu at the end.",
    )
    require(
        not (differs(mean, 0 * nu) < 1e-3),
        "the mean is 0, so nearly all is black: add the style's mean, nu.",
    )
    require(
        differs(mean, nu) < 1e-3,
        "the mean is not the style's: subtract mu before the matrix, add nu after it, and do not "
        "clip here.",
    )
    require(differs(cov, S) > 1e-3 * size, "only the mean has changed: the matrix is missing.")
    require(
        differs(cov, torch.eye(3).double()) > 1e-2,
        "this is whitened only: the cloud is round. Now T^(1/2), from the left.",
    )
    spread = torch.diag(cov.diagonal()) if differs(cov, T) > 0.02 * size else cov
    require(
        differs(spread.diagonal(), T.diagonal()) > 0.02 * size or differs(cov, T) < 0.02 * size,
        "each channel has the right spread, but their covariances are not the style's: channels "
        "depend on each other, so a 3 x 3 matrix is needed.",
    )
    require(
        differs(cov, T) < 0.02 * size,
        "the covariance is not the style's: A = T^(1/2) S^(-1/2), in this order, and each row of c "
        "is a colour, so c @ A.T.",
    )
    require(differs(function(style, style), style) < 1e-3, "a picture in its own colours changes.")
    grey = x[:, :1].expand(-1, 3, -1, -1)
    flat = function(grey, style)
    require(
        flat.isfinite().all() and flat.abs().max() < 10,
        "a grey photograph explodes: keep what `moments` adds to the diagonal.",
    )
    return "mean and covariance are the style's; a grey photograph stays on a line of colours"


def _descended(function, start, goal, steps=200):
    """Return x, history and what the cost saw, for |x - goal|^2."""
    seen = []

    def cost(x):
        seen.append(x.detach().clone())
        return (x - goal).square().sum()

    try:
        with display.held():
            x, history = function(SimpleNamespace(lr=0.04), start, cost, steps, label="check")
    except RuntimeError as error:
        replaced = ("backward through the graph", "leaf", "does not require grad")
        require(
            not any(words in str(error) for words in replaced),
            "x must stay the tensor that Adam holds: x.clamp_(0, 1), inside torch.no_grad().",
        )
        raise
    return x, history, seen


@check("style_transfer.descend")
def descend(function):
    """The nearest picture in [0, 1] to a goal that lies partly outside; pixels return from 0."""
    inner = torch.tensor([0.2, 0.3, 0.8, 0.6]).view(1, 1, 2, 2)
    goal = torch.cat([inner - 1, inner, inner + 1], dim=1)
    start = torch.full((1, 3, 2, 2), 0.5)
    kept = start.clone()
    x, history, seen = _descended(function, start, goal)
    require(torch.equal(start, kept), "the picture handed in was changed: descend in the clone.")
    require(
        len(seen) < 2 or not torch.equal(seen[0], seen[-1]),
        "nothing moves: loss.backward(), then optimiser.step().",
    )
    first, last = history["cost"][1][0], history["cost"][1][-1]
    require(last <= first, f"the cost rises, from {first:.2f} to {last:.2f}.")
    far = max(max(-part.min().item(), part.max().item() - 1) for part in [*seen, x])
    require(far <= 0, f"pixels leave [0, 1] by {far:.2f}: clamp x after each step, in place.")
    require(
        differs(x, goal.clamp(0, 1)) < 0.02,
        "after 200 steps it is not at the nearest picture: is the gradient set to zero in each "
        "step?",
    )
    x, _, _ = _descended(function, torch.zeros(1, 3, 2, 2), inner.expand(1, 3, 2, 2))
    require(differs(x, inner.expand(1, 3, 2, 2)) < 0.02, "pixels that start at 0 never come back.")
    require(not x.requires_grad, "what comes back should carry no graph.")
    one, _, two = _descended(function, start, goal, steps=3)
    short = one - start
    require(
        short.abs().max().item() < 0.2 and len(two) == 3,
        "each turn of the loop is one step of size lr, at most.",
    )
    try:
        _descended(function, start, goal * float("nan"), steps=2)
    except CourseError:
        return "the nearest picture in [0, 1]; pixels come back from the border; nan is refused"
    require(False, "a cost that is nan should end in the sentence that was given.")
