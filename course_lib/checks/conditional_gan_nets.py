"""Checks of lesson 22 for the networks: which sides and shapes, and who looks at the condition."""

from itertools import pairwise

import torch
from torch import nn

from course_lib.checks import CheckFailed, check, require
from course_lib.checks.probes import differs
from course_lib.settings import CourseError

SIDES = {base * 2**n: (base, n) for n in range(1, 8) for base in (4, 5, 6, 7)}


@check("conditional_gan.plan")
def plan(function):
    """Try every side from 1 to 300 against a table of what can be made."""
    for side in range(8, 301):
        near = max(s for s in SIDES if s <= side), min(s for s in SIDES if s >= side)
        try:
            found = function(side)
        except CourseError as error:
            require(
                side not in SIDES,
                f"{side} = {SIDES.get(side, (0, 0))[0]} · 2^{SIDES.get(side, (0, 0))[1]} can be "
                f"made, and you refuse it: {error}",
            )
            require(
                all(str(s) in str(error) for s in near),
                f"for {side} the message should name the nearest sides that can be made, {near[0]} "
                f"and {near[1]}; yours says: {error}",
            )
            continue
        require(
            side in SIDES,
            f"{side} became {found}, but doubling a base of 4 to 7 does not give {side}: raise "
            f"CourseError and name {near[0]} and {near[1]}.",
        )
        require(
            tuple(found) == SIDES[side],
            f"{side} should be (base, n) = {SIDES[side]}, that is {SIDES[side][0]} · "
            f"2^{SIDES[side][1]}; yours is {tuple(found)}. The base lies in 4..7, and both are "
            "whole numbers.",
        )
    for side in (1, 4, 7):
        try:
            found = function(side)
        except CourseError as error:
            require("8" in str(error), f"below 8 only 8 is near; yours says: {error}")
        else:
            require(
                False,
                f"side {side} became {found}: without a doubling there is no network; raise "
                "CourseError that names 8.",
            )
    return "28 = 7·2², 32 = 4·2³, 64 = 4·2⁴; 293 sides tried, the others refused with the nearest"


def _filled(net):
    """Give every weight a reproducible value of a size that keeps signals alive."""
    draw = torch.Generator().manual_seed(0)
    for parameter in net.parameters():
        if parameter.ndim > 1:
            parameter.data = torch.randn(parameter.shape, generator=draw) / 12
    return net


def _layers(net, kind) -> list:
    return [layer for layer in net.modules() if isinstance(layer, kind)]


@check("conditional_gan.Generator")
def generator(cls):
    """Grow pictures of three sides, with and without conditions; look at widths and range."""
    for side, (base, n) in ((28, (7, 2)), (32, (4, 3)), (64, (4, 4))):
        gen = _filled(cls(side=side, latent=8, conditions=3, width=8, most=16))
        z, c = gen.noise(5, torch.Generator().manual_seed(1)), torch.eye(3)[[0, 1, 2, 0, 1]]
        try:
            x = gen(z, c).detach()
        except RuntimeError as error:
            raise CheckFailed(
                f"for side {side} the layers do not fit each other: each reads as many features as "
                f"the one before gives, widths[0] at first. PyTorch says: {error}"
            ) from None
        require(
            x.shape == (5, 3, side, side),
            f"Generator(side={side}) makes {tuple(x.shape)} instead of (5, 3, {side}, {side}): "
            f"{base} doubled {n} times is {side}; the first layer gives {base} x {base}, so there "
            f"are {n} transposed convolutions, the last of them to the channels.",
        )
        widths = [layer.in_channels for layer in _layers(gen, nn.ConvTranspose2d)]
        wanted = [16] * (n - 1) + [8]
        require(
            widths == wanted,
            f"with width=8 and most=16 the transposed convolutions for side {side} should read "
            f"{wanted} features, yours {widths}: from each of `widths` to the next.",
        )
        norms = len(_layers(gen, nn.BatchNorm2d))
        require(
            norms == n - 1,
            f"between {n} doublings stand {n - 1} batch norms, yours are {norms}; none after the "
            "last, where it would take the pictures' colours away.",
        )
        relus = len(_layers(gen, nn.ReLU))
        require(
            relus == n,
            f"for side {side} there should be {n} ReLU, yours are {relus}: after each norm, and "
            "none before tanh (pictures could not be dark).",
        )
        require(
            not _layers(gen, nn.Tanh),
            "tanh is applied twice, in the list and in `forward`: then no picture is darker than "
            "-0.76 or lighter than 0.76. Leave it to `forward`.",
        )
        followers = [b for a, b in pairwise(gen.layers) if isinstance(a, nn.BatchNorm2d)]
        require(
            all(isinstance(layer, nn.ReLU) for layer in followers),
            "each batch norm should be followed by its ReLU: convolution, norm, ReLU.",
        )
    require(
        x.abs().max() <= 1 and x.min() < 0,
        f"the pictures lie in {x.min():.2f}..{x.max():.2f}; -1..1 is meant: what the layers say "
        "goes through tanh.",
    )
    other = gen(z, c.roll(1, dims=0)).detach()
    require(differs(x, other) > 1e-4, "another condition makes the same picture: concatenate z, c.")
    require(gen(z, c).dtype == torch.float32, "the pictures should be float32.")
    grey = cls(side=28, latent=8, width=16, channels=1)
    shape = tuple(grey(grey.noise(2, torch.Generator())).shape)
    require(shape == (2, 1, 28, 28), f"channels=1 should make (2, 1, 28, 28), yours {shape}.")
    return "sides 28, 32 and 64, from each width to the next, -1..1, conditions heard"


def _require_refusal(net, *c):
    """Demand words for a picture of a wrong side: 128 in a network for 64 (D6)."""
    for shape in ((128, 128), (32, 32), (128, 64), (64, 128)):
        x = torch.zeros(2, 3, *shape)
        wrong = next(side for side in shape if side != 64)
        try:
            logits = net(x, *c)
        except CourseError as error:
            require(
                "64" in str(error) and str(wrong) in str(error),
                f"the message should name both sides, 64 and {wrong}; yours says: {error}",
            )
        except RuntimeError as error:
            require(
                False,
                f"pictures of {shape} in a network for 64 raise a RuntimeError, {str(error)[:60]}: "
                "true, but who knows what it means? Compare the sides first, raise CourseError.",
            )
        else:
            require(
                False,
                f"2 pictures of {shape} in a network for 64 give logits {tuple(logits.shape)}, "
                f"{logits.numel() // 2} for each: a convolution at the end, or a mean over places, "
                "takes any size without a word (D6). Refuse other sides.",
            )


@check("conditional_gan.Discriminator")
def discriminator(cls):
    """Check logits of three sides, that other sides are refused, each picture judged alone."""
    for side in (28, 32, 64):
        disc = _filled(cls(side=side, width=8))
        x = torch.rand(4, 3, side, side, generator=torch.Generator().manual_seed(2)) * 2 - 1
        shape, wide = tuple(disc.features(x).shape), disc.head.in_features
        require(
            shape == (4, wide),
            f"features should be (4, {wide}), yours {shape}: what the layers say, before the head.",
        )
        logits = disc(x).detach()
        require(
            logits.shape == (4,),
            f"4 pictures of side {side} should give logits (4,), yours are {tuple(logits.shape)}.",
        )
    _require_refusal(disc)
    alone = torch.cat([disc(part).detach() for part in x.split(1)])
    require(
        differs(logits, alone) < 1e-4,
        "a picture's logit depends on its company in the batch, though norm=False.",
    )
    big = 40 * disc(x).detach().abs().max()
    require(
        big > 0 and (disc(5 * x).min() < 0 or disc(5 * x).max() > 1),
        "the answers stay in 0..1: the losses expect logits (G13).",
    )
    return "one logit per picture at sides 28, 32, 64; 128 in a network for 64 is refused (D6)"


@check("conditional_gan.Projection")
def projection(cls):
    """Separate the two terms: the head's, and the product with the embedded condition."""
    disc = _filled(cls(conditions=5, scale=4.0, side=64, width=8))
    x = torch.rand(6, 3, 64, 64, generator=torch.Generator().manual_seed(3)) * 2 - 1
    c = torch.eye(5)[[0, 1, 2, 3, 4, 0]]
    h = disc.features(x)
    head, product = disc.head(h)[:, 0], (h * disc.embed(c)).sum(dim=1)
    none, logits = disc(x, torch.zeros(6, 5)), disc(x, c)
    require(logits.shape == (6,), f"6 pairs should give (6,), yours {tuple(logits.shape)}.")
    require(
        differs(logits, none) > 1e-6,
        "the logits do not depend on c: the generator would never be asked to obey. Add the "
        "product with self.embed(c).",
    )
    require(
        differs(none, torch.zeros(6)) > 1e-6,
        "without a condition nothing is left: the head's own term, whether it looks real at all, "
        "is missing.",
    )
    require(
        differs(none, head) < 1e-4,
        "for c = 0 the logit should be what the head says of the features.",
    )
    ratio = ((logits - none) / product).detach()
    require(
        (ratio - ratio.mean()).abs().max() < 1e-2,
        "the term of c is not the scalar product of the features with E c: multiply number by "
        "number, then sum over the features, dim=1, for each pair by itself.",
    )
    require(
        (ratio - 1 / 4).abs().max() < 1e-3,
        f"the product should be divided by self.scale = 4; yours is multiplied by "
        f"{ratio.mean():.3g}.",
    )
    pair = disc(x, torch.eye(5)[[0] * 6] + torch.eye(5)[[3] * 6])
    parts = disc(x, torch.eye(5)[[0] * 6]) + disc(x, torch.eye(5)[[3] * 6]) - none
    require(differs(pair, parts) < 1e-3, "two attributes should add up: E c is linear in c.")
    _require_refusal(disc, torch.eye(5)[[0, 1]])
    return "head(h) + <E c, h> / scale: c heard, two attributes add up, other sides refused"
