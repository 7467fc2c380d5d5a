"""Checks of lesson 01's first model: tiny worlds whose pictures can all be counted."""

import math
from contextlib import contextmanager
from itertools import product

import torch

from course_lib.checks import CheckFailed, check, require
from course_lib.checks.probes import TOLERANCE, differs, random_images

SEEN = [3, 5, 7, 15, 15, 8]  # the pictures of the tiny world that a model is fitted to


def world() -> torch.Tensor:
    """Return the 16 pictures of 2x2 pixels that are 0 or 1."""
    return torch.tensor(list(product([0, 1], repeat=4)), dtype=torch.uint8).view(16, 1, 2, 2)


@contextmanager
def advice(text: str):
    """Add what helps to an error that torch raises inside a wrong answer."""
    try:
        yield
    except NotImplementedError:
        raise
    except (RuntimeError, IndexError) as error:
        raise CheckFailed(f"{text} (torch says: {error})") from None


@contextmanager
def half_written(name: str):
    """Say that fit is right, if log_likelihood is still open."""
    try:
        yield
    except NotImplementedError:
        print(f"○ {name}: your fit is right; log_likelihood is still open.")
        raise


def require_distribution(model):
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


def require_no_underflow(kind):
    """Raise CheckFailed if one picture of 28x28 pixels has the score of an impossible one."""
    images = random_images(20, 28, seed=3)
    found = kind(alpha=0.1).fit(images).log_likelihood(images[:1])
    require(
        not found.isinf().any(),
        f"an image of 28x28 pixels gets {found.item()}: these products underflow; sum the "
        "logarithms, do not take the logarithm of a product.",
    )


@check("score_a_generator.IndependentPixels")
def independent_pixels(kind):
    """Sum over a tiny world, compare with fractions counted by hand, draw and count again."""
    images = world()[SEEN]
    model = kind(alpha=0.5, levels=2).fit(images)
    require(model is not None and hasattr(model, "p"), "fit should set self.p and return self.")
    p = model.p
    require(p.shape == (4, 2), f"p of 4 pixels and 2 values is (4, 2); yours is {tuple(p.shape)}.")
    require(
        differs(p.sum(1), torch.full_like(p[:, 0], 7 / 134)) > TOLERANCE,
        "256 is accepted for every number of grey values: here levels is 2. Divide by N + levels * "
        "alpha, or by each row's own sum.",
    )
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
    with (
        half_written("IndependentPixels"),
        advice("Position i of image k has the value x[k, i], int64."),
    ):
        require_distribution(model)
    many = random_images(7, 3)
    big = kind(alpha=0.1).fit(many)
    picked = torch.stack([big.p[i, many[:, 0].flatten(1)[:, i].long()] for i in range(9)])
    require(
        differs(big.log_likelihood(many), picked.log().sum(0)) < TOLERANCE,
        "each pixel's probability comes from the row of its own position: p[i, value], summed in "
        "logarithms over i.",
    )
    require_no_underflow(kind)
    drawn = model.sample(4000, torch.Generator().manual_seed(0)).double().mean(0).flatten()
    require(differs(drawn, share) < 0.05, "the samples' shares are not p: change sample back.")
    return "16 probabilities sum to 1, shares counted by hand with alpha = 0.5, samples as p says"
