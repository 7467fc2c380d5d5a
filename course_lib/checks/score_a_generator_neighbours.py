"""Checks of lesson 01's table: contexts by loops, counts by loops, pictures that can be counted."""

from itertools import product

import torch

from course_lib.checks import CheckFailed, check, require
from course_lib.checks.probes import TOLERANCE, differs, normal, random_images
from course_lib.checks.score_a_generator_models import (
    SEEN,
    advice,
    half_written,
    require_distribution,
    require_no_underflow,
    world,
)

LEFT, UP = (0, -1), (-1, 0)  # rows, columns


def _neighbour(images, place) -> torch.Tensor:
    """Return the grey value at an offset (rows, columns) from every pixel, 0 outside: int64."""
    found = torch.zeros(images.shape, dtype=torch.int64)
    _, _, H, W = images.shape
    for i, j in product(range(H), range(W)):
        row, column = i + place[0], j + place[1]
        if 0 <= row < H and 0 <= column < W:
            found[:, 0, i, j] = images[:, 0, row, column]
    return found


def _require_the_past(function, images, found):
    """Raise CheckFailed if a context contains its own pixel, or one that is drawn later."""
    require(
        found.shape == images.shape,
        f"one context a pixel: images {tuple(images.shape)}; yours is {tuple(found.shape)}.",
    )
    require(found.dtype == torch.int64, "contexts are indices, so int64: begin with images.long().")
    changed = images.clone()
    changed[..., 2, 2] = (images[..., 2, 2].long() + 128).to(torch.uint8)
    moved = (function(changed) != found).any(0)[0].nonzero().tolist()
    require([2, 2] not in moved, "a pixel's context contains the pixel itself: it looks ahead.")
    ahead = [place for place in moved if place < [2, 2]]
    require(
        not ahead, f"pixel (2, 2) is in the context of {ahead}, drawn before it: it looks ahead."
    )


def _mixed(near, factors, step, wrap=1024) -> torch.Tensor:
    """Return the context: the coarse levels (x + step - 1) // step, each times its factor."""
    return sum(k * ((x + step - 1) % wrap // step) for k, x in zip(factors, near, strict=True))


def _require_contexts(found, near: dict, factors, step):
    """Raise CheckFailed if bytes overflowed, or with the first pixel whose context differs."""
    expected = _mixed(near.values(), factors, step)
    require(
        differs(found, _mixed(near.values(), factors, step, wrap=256)) > 0,
        f"bytes overflow: 250 + {step - 1} is {249 + step - 256} in uint8. Begin with "
        "images.long().",
    )
    wrong = (found != expected).nonzero().tolist()
    inside = [(n, 0, i, j) for n, _, i, j in wrong if i > 0 and 0 < j < found.shape[-1] - 1]
    if inside:
        place = inside[0]
        neighbours = " and ".join(f"{name} {values[place]}" for name, values in near.items())
        raise CheckFailed(
            f"pixel {place[2:]} of image {place[0]} has the neighbours {neighbours}: context "
            f"{expected[place]}; yours is {found[place]}. Coarse levels are "
            f"(x + {step - 1}) // {step}, and black alone is 0."
        )
    require(
        not wrong,
        "inside it is right, at the border not: outside of the picture all is level 0 (torch.roll "
        "brings the other side in).",
    )


@check("score_a_generator.contexts")
def contexts(function):
    """Compare with loops over the pixels; then change one pixel and see whose context moves."""
    images = random_images(3, 5, seed=1)
    found = function(images)
    _require_the_past(function, images, found)
    near = {"left": _neighbour(images, LEFT), "up": _neighbour(images, UP)}
    require(
        differs(found, _mixed(near.values(), (1, 16), 17)) > 0,
        "left and up are exchanged: the context is 16 * left + up.",
    )
    _require_contexts(found, near, (16, 1), 17)
    return "75 pixels as loops have them, black outside, and nobody looks ahead"


@check("score_a_generator.three_neighbours")
def three_neighbours(function):
    """Compare with loops over the pixels; then change one pixel and see whose context moves."""
    images = random_images(3, 5, seed=1)
    found = function(images)
    _require_the_past(function, images, found)
    near = {"left": _neighbour(images, LEFT), "up": _neighbour(images, UP)}
    corner = [*near.values(), _neighbour(images, (-1, -1))]
    require(
        differs(found, _mixed(corner, (36, 6, 1), 51)) > 0,
        "the third is the one above at the left: move the picture to the left, not to the right.",
    )
    near["up right"] = _neighbour(images, (-1, 1))
    _require_contexts(found, near, (36, 6, 1), 51)
    return "75 pixels as loops have them, black outside, and nobody looks ahead"


def _columns(images) -> torch.Tensor:
    """Return a context that no neighbour gives: the number of the pixel's column."""
    return torch.arange(images.shape[-1]).expand(images.shape)


def _smoothed(pairs, levels, alpha, times=1) -> torch.Tensor:
    counts = torch.bincount(pairs.flatten(), minlength=256 * levels).double().view(256, levels)
    return (times * counts + alpha) / (times * counts + alpha).sum(1, keepdim=True)


def _require_parts(kind):
    """Raise CheckFailed unless 1003 images, that come in two parts, are counted once each."""
    many = random_images(1003, 2, seed=2) // 64
    left, up = ((_neighbour(many, place) + 16) // 17 for place in (LEFT, UP))
    pairs = (16 * left + up) * 4 + many
    p = kind(alpha=0.5, levels=4).fit(many).p
    for one_part in (pairs[:1000], pairs[1000:]):
        require(
            differs(p, _smoothed(one_part, 4, 0.5)) > 1e-6,
            "only one of the parts was counted: add to counts, part by part.",
        )
    require(
        differs(p, _smoothed(pairs, 4, 0.5, times=2)) > TOLERANCE,
        "of two parts each was counted twice: inside the loop use part, not images.",
    )


def _require_own_context(kind, images):
    """Raise CheckFailed if another context function is accepted and ignored."""
    model = kind(alpha=0.5, levels=2, context=_columns).fit(images)
    right = _smoothed(_columns(images) * 2 + images, 2, 0.5)
    logs = right.log()[_columns(world()), world().long()].flatten(1).sum(1)
    for where, ignored in (
        ("fit", differs(model.p, right) > TOLERANCE),
        ("log_likelihood", differs(model.log_likelihood(world()), logs) > TOLERANCE),
    ):
        require(not ignored, f"context was accepted and ignored in {where}: use self.context.")


@check("score_a_generator.NeighbourTable")
def neighbour_table(kind):
    """Sum over a tiny world, and compare with counts made by loops."""
    images = world()[SEEN]
    with advice("A pair is one number, context * levels + value, with minlength=len(counts)."):
        model = kind(alpha=0.5, levels=2).fit(images)
    require(model is not None and hasattr(model, "p"), "fit should return self.")
    require(model.p.shape == (256, 2), f"p should be (256, 2); yours is {tuple(model.p.shape)}.")
    context = 16 * _neighbour(images, LEFT) + _neighbour(images, UP)
    right = _smoothed(context * 2 + images, 2, 0.5)
    require(
        differs(model.p, torch.full_like(right, 0.5)) > TOLERANCE,
        "nothing was counted: add the pairs to counts (in place, or counts = counts + ...).",
    )
    with advice("Inside the loop use part, not images."):
        _require_parts(kind)
    require(
        differs(model.p, right) < TOLERANCE,
        f"with a black neighbourhood a pixel is 1 with probability {right[0, 1]:.4f} here; yours "
        f"is {model.p[0, 1]:.4f}. A pair is context * levels + value.",
    )
    with (
        half_written("NeighbourTable"),
        advice("A pixel has the probability p[context, value], both int64."),
    ):
        require_distribution(model)
    _require_own_context(kind, images)
    logs = model.log_likelihood(world())
    context = 16 * _neighbour(world(), LEFT) + _neighbour(world(), UP)
    picked = right[context, world().long()].log().flatten(1).sum(1)
    require(
        differs(logs, picked) < TOLERANCE,
        "each pixel's probability is p[context, value]; sum its logarithm over all pixels.",
    )
    require_no_underflow(kind)
    return "16 probabilities sum to 1, p is what loops count, and any context function will do"


@check("score_a_generator.sample_in_order")
def sample_in_order(function):
    """Draw from a table that allows one picture only, then count the pictures of a tiny world."""
    levels = torch.arange(256)
    following = torch.zeros(256, 16, dtype=torch.float64)  # left + 2 up + 1, modulo 16: certain
    following[levels, (levels // 16 + 2 * (levels % 16) + 1) % 16] = 1
    scaled = torch.zeros(256, 256, dtype=torch.float64)
    scaled[:, torch.arange(16) * 17] = following
    before = torch.get_rng_state()
    with advice("torch.multinomial returns (n, 1): store its column, draws[:, 0]."):
        found = function(scaled, 3, (1, 4, 5), torch.Generator().manual_seed(0))
    require(
        torch.equal(before, torch.get_rng_state()),
        "the draws came from torch's own generator: pass generator=generator.",
    )
    require(
        found.shape == (3, 1, 4, 5) and found.dtype == torch.uint8,
        f"3 images of 4x5 should be uint8 (3, 1, 4, 5); yours are {tuple(found.shape)}.",
    )
    expected = torch.zeros(4, 5, dtype=torch.int64)
    for i, j in product(range(4), range(5)):
        left, up = expected[i, j - 1] if j else 0, expected[i - 1, j] if i else 0
        expected[i, j] = (left + 2 * up + 1) % 16
    wrong = (found[0, 0].long() != expected * 17).nonzero().tolist()
    require(
        not wrong,
        f"with a table that allows a single picture, pixel {wrong[:1]} differs from it: is the "
        "context that of this very pixel, from the neighbours already drawn, left and up?",
    )
    p = normal(256, 2, seed=3).softmax(1)
    drawn = function(p, 8000, (1, 2, 2), torch.Generator().manual_seed(1))
    code = (drawn.flatten(1).long() * torch.tensor([8, 4, 2, 1])).sum(1)
    shares = torch.bincount(code, minlength=16)[:16].double() / 8000
    x = world().long()[:, 0]
    zero = torch.zeros_like(x[:, 0, 0])
    places = ((zero, zero), (x[:, 0, 0], zero), (zero, x[:, 0, 0]), (x[:, 1, 0], x[:, 0, 1]))
    exact = torch.ones(16, dtype=torch.float64)
    for (left, up), value in zip(places, x.flatten(1).T, strict=True):
        exact *= p[16 * left + up, value]
    require(
        differs(shares, exact) < 0.03,
        f"of 8,000 pictures of a 2x2 world the shares are off by {differs(shares, exact):.3f}: "
        "draw from p[context] with torch.multinomial, for each image anew; do not take the most "
        "probable value.",
    )
    return "the one picture of a certain table, and the shares of 16 pictures over 8,000 draws"
