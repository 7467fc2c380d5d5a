"""Checks of lesson 13: what the classic mistakes make of a pooling layer's gradient."""

import torch
from torch.nn import functional as F

from course_lib.checks import require
from course_lib.checks.probes import TOLERANCE, differs


def returned(value):
    """Hand on what an exercise returned, unless that is nothing."""
    require(value is not None, "it returns None: is the `return` missing?")
    return value


def _windows(x, kernel, stride):
    return x.unfold(2, kernel, stride).unfold(3, kernel, stride)


def _of_all_largest(cells):
    return (cells * (cells == cells.amax((-2, -1), keepdim=True))).sum((-2, -1))


def gradient_of(pool, x, upstream):
    x = x.clone().requires_grad_()
    (pool(x) * upstream).sum().backward()
    return x.grad


def wrong_gradients(x, upstream, kernel, stride) -> dict:
    """Return what the classic mistakes make of a gradient, by what to say about them."""
    step = stride or kernel

    def gradient(pool):
        return gradient_of(pool, x, upstream)

    return {
        "the gradient is that of max pooling; all cells of the window share in a mean.": gradient(
            lambda x: F.max_pool2d(x, kernel, stride)
        ),
        "the gradient is shared among cells that tie for the maximum (amax does that). Give it "
        "all to the first: max(dim=-1).values, or the cell that argmax names.": gradient(
            lambda x: _windows(x, kernel, step).amax((-2, -1))
        ),
        "every cell of a window gets the full gradient; the sum over the window should be that of "
        "the output. For the mean each cell's share is 1 / kernel².": gradient(
            lambda x: _windows(x, kernel, step).sum((-2, -1))
        ),
        "of cells that tie for the maximum each gets the full gradient. Give it to the first "
        "alone: argmax names one cell.": gradient(
            lambda x: _of_all_largest(_windows(x, kernel, step))
        ),
        "of cells that tie for the maximum the last gets the gradient; torch gives it to the "
        "first.": gradient(lambda x: _windows(x, kernel, step).flatten(-2).flip(-1).max(-1).values),
        "each cell's share is 1 / kernel; a window has kernel² cells: 1 / kernel².": gradient(
            lambda x: _windows(x, kernel, step).sum((-2, -1)) / kernel
        ),
        "all cells get a share; of a maximum only the winner does.": gradient(
            lambda x: _windows(x, kernel, step).mean((-2, -1))
        ),
        "the gradient of the winner is 1, whatever comes from above: multiply by upstream.": (
            gradient_of(lambda x: F.max_pool2d(x, kernel, stride), x, torch.ones_like(upstream))
        ),
    }


def same_gradient(got, expected, wrong: dict, case: str):
    require(
        got is not None and got.shape == expected.shape,
        f"{case}: the gradient must have the shape of x, {tuple(expected.shape)}.",
    )
    if differs(got, expected) < TOLERANCE:
        return
    for message, other in wrong.items():
        require(differs(got, other) > TOLERANCE, f"{case}: {message}")
    require(
        False,
        f"{case}: the gradient differs from torch's by {differs(got, expected):.2g}. Does each "
        "window's gradient go to its own cells, added up where windows overlap?",
    )
