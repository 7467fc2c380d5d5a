"""Checks of lesson 32: codes of classes, pairs, conditional networks, reconstruction."""

import torch

from course_lib.checks import check, require
from course_lib.checks.probes import differs, normal, random_images
from course_lib.settings import CourseError


@check("vae_likelihoods.class_codes")
def class_codes(function):
    """Compare with the identity's rows, and ask for labels that there are not."""
    codes = function(torch.tensor([2, 0, 3]), 4)
    require(
        codes.shape == (3, 4) and torch.equal(codes, torch.eye(4)[[2, 0, 3]]),
        "labels 2, 0, 3 of 4 classes should become the rows 2, 0, 3 of the identity matrix.",
    )
    for bad in (4, -1):
        try:
            function(torch.tensor([0, bad]), 4)
        except CourseError:
            continue
        except IndexError:
            pass
        require(
            False,
            f"label {bad} of 4 classes should be refused in words, with a CourseError. (-1 picks "
            "the last row without an error.)",
        )
    return "a 1 at each label; labels out of range are refused"


@check("vae_likelihoods.pair_batches")
def pair_batches(function):
    """Check the range, that pictures keep their conditions, and that an idle column is named."""
    images = random_images(12, 5)
    images[:, 0, 0, 0] = torch.arange(12, dtype=torch.uint8) * 20
    codes = torch.eye(3)[torch.arange(12) % 3]
    rng = torch.Generator().manual_seed(0)
    x, c = next(function(images, codes, 12, rng))
    require(
        x.is_floating_point() and x.min() >= 0 and 0.5 < x.max() <= 1,
        f"x should lie in 0..1; yours reaches {x.max():.3g}: divide the bytes by 255.",
    )
    require(
        not torch.equal((255 * x[:, 0, 0, 0]).round(), 20.0 * torch.arange(12)),
        "the order should be shuffled, by rng.",
    )
    told = (255 * x[:, 0, 0, 0] / 20).round().long() % 3
    require(
        torch.equal(c.argmax(dim=1), told),
        "pictures and conditions were shuffled apart: no error, and c means nothing. Cut both from "
        "one call of datasets.batches.",
    )
    try:
        next(function(images, torch.cat([codes, torch.zeros(12, 1)], dim=1), 12, rng))
    except CourseError:
        return "0..1, shuffled together, and a condition without a picture is refused"
    require(
        False,
        "condition 3 has no picture: its weights would never be trained, and its samples be "
        "noise. Refuse it with a CourseError.",
    )


def _filled(net, size):
    with torch.no_grad():
        for seed, parameter in enumerate(net.parameters()):
            parameter.copy_(size * normal(*parameter.shape, seed=seed))
    return net


@check("vae_likelihoods.ConditionalEncoder")
def conditional_encoder(cls):
    """Check shapes for two sizes, that c is heard, and that exp(logvar) never overflows."""
    for size, channels in ((28, 1), (64, 3)):
        net = _filled(cls(5, conditions=3, channels=channels, size=size, width=8), 0.1)
        x, c = torch.rand(2, channels, size, size), torch.eye(3)[:2]
        with torch.no_grad():
            (mu, logvar), (other, _) = net(x, c), net(x, c.flip(0))
        require(
            mu.shape == logvar.shape == (2, 5),
            f"2 pictures of {size} pixels should give mu and logvar (2, 5); yours "
            f"{tuple(mu.shape)} and {tuple(logvar.shape)}.",
        )
        require(differs(mu, other) > 1e-4, "another c gives the same mu: c is not heard.")
    with torch.no_grad():
        _, logvar = _filled(net, 3.0)(x, c)
    require(
        logvar.exp().isfinite().all() and logvar.abs().max() < 40,
        f"with large weights logvar reaches {logvar.abs().max():.3g}; from 89 on exp(logvar) is "
        "inf, and the KL with it (V11): squeeze it, with vae.bounded.",
    )
    return "mu and logvar for both sizes; c is heard; logvar stays where exp is finite"


@check("vae_likelihoods.ConditionalDecoder")
def conditional_decoder(cls):
    """Check shapes for two sizes, that z and c are heard, and that means are not squeezed."""
    for size, channels in ((28, 1), (64, 3)):
        net = _filled(cls(5, conditions=3, channels=channels, size=size, width=8), 0.3)
        z, c = normal(2, 5).float(), torch.eye(3)[:2]
        with torch.no_grad():
            x, other, again = net(z, c), net(z, c.flip(0)), net(-z, c)
        require(
            x.shape == (2, channels, size, size),
            f"2 codes should give {(2, channels, size, size)}; yours {tuple(x.shape)}.",
        )
        require(differs(x, other) > 1e-4, "another c gives the same picture: c is not heard.")
        require(differs(x, again) > 1e-4, "another z gives the same picture: z is not heard.")
        require(
            x.min() < 0 or x.max() > 1,
            "the means stay in 0..1: they were squeezed. Let them out: only a mean beyond the ends "
            "makes black or white certain.",
        )
    return "means of both sizes, from z and c, not squeezed into 0..1"


class _Tale:
    """A model whose pictures tell what was decoded."""

    def encode(self, pair):
        x, c = pair
        return x.mean(dim=(2, 3)).repeat(1, 3) + c, torch.full((len(x), 3), 1.0)

    def decode(self, z, c):
        return 0.45 * (z + c)[:, :, None, None].expand(-1, -1, 4, 4) - 0.1


@check("vae_likelihoods.reconstruct")
def reconstruct(function):
    """Check that two calls agree and that the code's mean is decoded, with c, clamped."""
    x = torch.tensor([0.1, 0.5, 0.9]).view(3, 1, 1, 1).expand(-1, -1, 4, 4)
    c, model = torch.eye(3), _Tale()
    first, second = function(model, x, c), function(model, x, c)
    require(
        torch.equal(first, second),
        "two reconstructions of one picture differ: a code was drawn. Draw in training; to "
        "reconstruct take mu, the middle of q (V13).",
    )
    mu, wanted = model.encode((x, c))[0], model.decode(model.encode((x, c))[0], c)
    require(
        first.min() >= 0 and first.max() <= 1,
        f"the picture reaches from {first.min():.2f} to {first.max():.2f}: means may lie beyond "
        "0..1, a picture may not. Clamp it.",
    )
    for wrong in (model.decode(mu, 0 * c), model.decode(mu + 0.5, c), model.decode(0 * mu + 1, c)):
        require(
            differs(first, wrong.clamp(0, 1)) > 1e-6,
            "that is not the picture of (mu, c): decode mu, not logvar, and hand on c.",
        )
    require(differs(first, wanted.clamp(0, 1)) < 1e-6, "decode mu with c, and clamp to 0..1.")
    return "the mean of q, decoded with c, in 0..1; the same at every call"
