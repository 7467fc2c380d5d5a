"""Checks of lesson 01's models: tiny worlds whose pictures can all be counted."""

import math
from itertools import product

import torch

from course_lib.checks import check, require
from course_lib.checks.probes import TOLERANCE, differs, normal, random_images


def world() -> torch.Tensor:
    """Return the 16 pictures of 2x2 pixels that are 0 or 1."""
    return torch.tensor(list(product([0, 1], repeat=4)), dtype=torch.uint8).view(16, 1, 2, 2)


SEEN = [3, 5, 7, 15, 15, 8]  # the pictures of the tiny world that a model is fitted to


def _require_distribution(model):
    """Raise CheckFailed unless the probabilities of all pictures of the tiny world sum to 1."""
    logs = model.log_likelihood(world())
    require(
        isinstance(logs, torch.Tensor) and logs.shape == (16,),
        f"log_likelihood of 16 images should be (16,); yours is {tuple(getattr(logs, 'shape', ()))}"
        ". Sum over the pixels, not over the images.",
    )
    require(
        not logs.isinf().any() and not logs.isnan().any(),
        "a picture not among those counted has probability zero: the smoothing is forgotten. Add "
        "alpha to every count.",
    )
    total = logs.exp().sum().item()
    require(
        abs((4 * logs).exp().sum().item() - 1) > TOLERANCE,
        "this is the mean over the pixels: their probabilities multiply, so the logarithms sum.",
    )
    require(
        abs((math.log(2) * logs).exp().sum().item() - 1) > TOLERANCE,
        "this is in bits: log_likelihood is in nats.",
    )
    require(
        abs(total - 1) < TOLERANCE,
        f"the probabilities of all 16 pictures of a 2x2 world sum to {total:.4f}, not to 1. Do the "
        "rows of p sum to 1? Is the likelihood the sum of logarithms, over all pixels, with its "
        "sign?",
    )


@check("score_a_generator.IndependentPixels")
def independent_pixels(kind):
    """Sum over a tiny world, compare with fractions counted by hand, draw and count again."""
    images = world()[SEEN]
    model = kind(alpha=0.5, levels=2).fit(images)
    require(model is not None and hasattr(model, "p"), "fit should set self.p and return self.")
    p = model.p
    require(p.shape == (4, 2), f"p of 4 pixels and 2 values is (4, 2); yours is {tuple(p.shape)}.")
    _require_distribution(model)
    ones = images.flatten(1).double().sum(0)
    share = (ones + 0.5) / (6 + 2 * 0.5)
    for wrong, message in (
        (ones / 6, "the smoothing is forgotten: add self.alpha to every count."),
        ((ones + 1) / 8, "alpha is accepted and ignored: it was 0.5 here, and 1 was added."),
    ):
        require(differs(p[:, 1], wrong) > TOLERANCE, message)
    require(
        differs(p[:, 1], share) < TOLERANCE,
        f"the first pixel is 1 in {ones[0]:.0f} of 6 images; with alpha = 0.5 that is "
        f"{share[0]:.4f}, yours is {p[0, 1]:.4f}: (count + alpha) / (N + levels * alpha).",
    )
    many = random_images(7, 3)
    big = kind(alpha=0.1).fit(many)
    picked = torch.stack([big.p[i, many[:, 0].flatten(1)[:, i].long()] for i in range(9)])
    require(
        differs(big.log_likelihood(many), picked.log().sum(0)) < TOLERANCE,
        "each pixel's probability comes from the row of its own position: p[i, value], summed in "
        "logarithms over i.",
    )
    drawn = model.sample(4000, torch.Generator().manual_seed(0)).double().mean(0).flatten()
    require(differs(drawn, share) < 0.05, "the samples' shares are not p: change sample back.")
    return "16 probabilities sum to 1, shares counted by hand with alpha = 0.5, samples as p says"


@check("score_a_generator.contexts")
def contexts(function):
    """Compare with loops over the pixels; then change one pixel and see whose context moves."""
    images = random_images(3, 5, seed=1)
    found = function(images)
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
    expected = torch.zeros_like(found)
    for n, i, j in product(range(3), range(5), range(5)):
        left = images[n, 0, i, j - 1].item() if j else 0
        up = images[n, 0, i - 1, j].item() if i else 0
        expected[n, 0, i, j] = 16 * ((left + 16) // 17) + (up + 16) // 17
    swapped = expected % 16 * 16 + expected // 16
    require(
        differs(found, swapped) > 0, "left and up are exchanged: the context is 16 * left + up."
    )
    require(
        differs(found[..., 1:, 1:], expected[..., 1:, 1:]) == 0,
        f"pixel (1, 1) has the neighbours left {images[0, 0, 1, 0]} and up {images[0, 0, 0, 1]}: "
        f"context {expected[0, 0, 1, 1]}; yours is {found[0, 0, 1, 1]}. Coarse levels are "
        "(x + 16) // 17, and black alone is 0.",
    )
    require(
        differs(found, expected) == 0,
        "inside it is right, at the border not: outside of the picture all is level 0 (torch.roll "
        "brings the other side in).",
    )
    return "75 pixels as loops have them, black outside, and nobody looks ahead"


@check("score_a_generator.NeighbourTable")
def neighbour_table(kind):
    """Sum over a tiny world, and compare with counts made by loops."""
    images = world()[SEEN]
    model = kind(alpha=0.5, levels=2).fit(images)
    require(model is not None and hasattr(model, "p"), "fit should return self.")
    require(model.p.shape == (256, 2), f"p should be (256, 2); yours is {tuple(model.p.shape)}.")
    counts = torch.full((256, 2), 0.5, dtype=torch.float64)
    for image, i, j in product(images[:, 0].tolist(), range(2), range(2)):
        left, up = image[i][j - 1] if j else 0, image[i - 1][j] if i else 0
        counts[16 * left + up, image[i][j]] += 1
    right = counts / counts.sum(1, keepdim=True)
    require(
        differs(model.p, torch.full_like(right, 0.5)) > TOLERANCE,
        "nothing was counted: add the pairs to counts (in place, or counts = counts + ...).",
    )
    many = random_images(5003, 2, seed=2) // 64
    whole, parts = kind(levels=4).fit(many[:5000]).p, kind(levels=4).fit(many).p
    require(
        differs(whole, parts) > 0 and differs(kind(levels=4).fit(many[5000:]).p, parts) > 0.1,
        "only one of the parts was counted: add to counts, part by part.",
    )
    require(
        differs(model.p, right) < TOLERANCE,
        f"with a black neighbourhood a pixel is 1 with probability {right[0, 1]:.4f} here; yours "
        f"is {model.p[0, 1]:.4f}. A pair is context * levels + value.",
    )
    _require_distribution(model)
    logs = model.log_likelihood(world())
    picked = right[model.context(world()), world().long()].log().flatten(1).sum(1)
    require(
        differs(logs, picked) < TOLERANCE,
        "each pixel's probability is p[context, value]; sum its logarithm over all pixels.",
    )
    return "16 probabilities sum to 1, and p is what loops count"


@check("score_a_generator.sample_in_order")
def sample_in_order(function):
    """Draw from a table that allows one picture only, then count the pictures of a tiny world."""
    levels = torch.arange(256)
    following = torch.zeros(256, 16, dtype=torch.float64)  # left + 2 up + 1, modulo 16: certain
    following[levels, (levels // 16 + 2 * (levels % 16) + 1) % 16] = 1
    scaled = torch.zeros(256, 256, dtype=torch.float64)
    scaled[:, torch.arange(16) * 17] = following
    before = torch.get_rng_state()
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
