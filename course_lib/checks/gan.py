"""Checks of lesson 20: pictures, densities and networks; the losses and the loop stand beside."""

import math

import torch
from torch import nn

from course_lib.checks import check, require
from course_lib.checks.gan_losses import disc_loss, gen_loss, minimax_gen_loss
from course_lib.checks.gan_training import train_gan
from course_lib.checks.probes import differs, normal, random_images

__all__ = [
    "accept",
    "disc_loss",
    "discriminator",
    "follow",
    "gen_loss",
    "minimax_gen_loss",
    "picture_batches",
    "pushed_density",
    "to_pixels",
    "train_gan",
]


@check("gan.picture_batches")
def picture_batches(function):
    """Compare one epoch of batches with the bytes that went in, divided by 255."""
    images = random_images(24, 5)
    images[0, 0, 0, :2] = torch.tensor([0, 255], dtype=torch.uint8)
    batches = function(images, 8, torch.Generator().manual_seed(0))
    epoch = [next(batches) for _ in range(3)]
    x = torch.cat(epoch)
    require(
        x.shape == images.shape and x.is_floating_point(),
        f"three batches of 8 should make floats {tuple(images.shape)}, yours {tuple(x.shape)} of "
        f"{x.dtype}: yield each whole batch, as floats.",
    )
    low, high = x.min().item(), x.max().item()
    require(
        low > -0.01,
        f"the batches reach from {low:.3g} to {high:.3g}; the generator's sigmoid makes 0..1. With "
        "two ranges the discriminator tells them apart by brightness alone (G14).",
    )
    require(high < 1.01, f"the batches reach up to {high:.3g}: divide the bytes by 255.")
    wanted = images.double().flatten().sort().values / 255
    require(
        differs(x.double().flatten().sort().values, wanted) < 1e-6,
        f"byte 255 should become 1 and byte 0 become 0; yours are {high:.4f} and {low:.4f}. Is it "
        "x / 255, in floats?",
    )
    next(batches)
    orders = [next(function(images, 24, torch.Generator().manual_seed(seed))) for seed in (0, 0, 1)]
    require(
        torch.equal(orders[0], orders[1]) and not torch.equal(orders[0], orders[2]),
        "the order should be shuffled by rng: the same for one seed, another for another. Loop "
        "over datasets.batches(..., generator=rng).",
    )
    return "0..255 becomes 0..1, every picture once an epoch, in an order drawn from rng; endless"


@check("gan.to_pixels")
def to_pixels(function):
    """Check that all 256 bytes come back from 0..1, and that nothing wraps around."""
    bytes_ = torch.arange(256, dtype=torch.uint8)
    back = function(bytes_ / 255)
    require(
        back.dtype == torch.uint8, f"pixels are bytes, torch.uint8; yours are {back.dtype} instead."
    )
    require(
        not (back[0] > 100 or back[255] < 200),
        f"0 should become 0 and 1 become 255; yours are {back[0]} and {back[255]}. Samples "
        "shown in the wrong range look grey or dark, and the model is blamed (G15).",
    )
    require(
        torch.equal(function((bytes_.double() - 0.4).clamp(min=0) / 255), bytes_),
        "the nearest byte is meant: .to(torch.uint8) cuts 254.9 off to 254. Round first.",
    )
    outside = function(torch.tensor([-0.2, 1.2]))
    require(
        outside.tolist() == [0, 255],
        f"-0.2 and 1.2 should become 0 and 255; yours are {outside.tolist()}. Beyond 255 bytes "
        "start at 0 again: clamp first.",
    )
    return "all 256 bytes come back, rounded, and what lies outside 0..1 is clamped"


def _density(x, mean, std):
    return torch.exp(-((x - mean) ** 2) / (2 * std**2)) / (std * math.sqrt(2 * math.pi))


@check("gan.pushed_density")
def pushed_density(function):
    """Compare a stretched and an exponentiated normal number with their known densities."""
    z = torch.linspace(-3, 3, 121).double()
    for name, g, exact in (
        ("1 + 2 z, normal with mean 1 and deviation 2", lambda z: 1 + 2 * z, (1, 2)),
        ("exp z, log-normal", torch.exp, None),
    ):
        x, density = function(g, given := z.clone())
        require(
            not given.requires_grad,
            "the caller's z was marked for gradients: work on z.clone().requires_grad_().",
        )
        require(
            not (x.requires_grad or density.requires_grad),
            "the answers carry a graph: return them detached.",
        )
        require(differs(x, g(z)) < 1e-9, "the first answer should be x = g(z).")
        wanted = _density(x, *exact) if exact else _density(z, 0, 1) / x
        error, ratio = (density / wanted - 1).abs().max().item(), (density / wanted)[60].item()
        require(
            error < 1e-9 or error > 0.02,
            f"for x = {name}, your density is wrong by up to {error:.1e} of its value: a "
            "difference quotient is not quite the slope. Use autograd, in the precision of z.",
        )
        require(
            differs(density, wanted) < 1e-9,
            f"for x = {name}, your density at z = 0 is {ratio:.3g} times the right one. It is "
            "phi(z) / g'(z), with g' at each z of its own: where g is steep, x is spread thin; "
            "phi has the factor 1 / sqrt(2 pi).",
        )
    return "phi(z) / g'(z): right for a stretched normal and for the log-normal, without a graph"


@check("gan.Discriminator")
def discriminator(cls):
    """Check the shape of the logits, that they are logits, and that each picture stands alone."""
    disc = cls()
    for seed, parameter in enumerate(disc.parameters()):
        parameter.data.copy_(normal(*parameter.shape, seed=seed) / 3)
    x = torch.rand(6, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    logits = disc(x).detach()
    require(
        logits.shape == (6,),
        f"6 pictures should give logits of shape (6,); yours are {tuple(logits.shape)}. A column "
        "(B, 1) beside a row (B,) is broadcast to (B, B) without a word (G19).",
    )
    require(
        logits.min() < 0 or logits.max() > 1,
        f"with large weights the answers stay in {logits.min():.3f} .. {logits.max():.3f}: these "
        "are probabilities, and the losses expect logits. Two sigmoids train, worse, and nobody "
        "complains (G13): return what the last layer says.",
    )
    alone = torch.cat([disc(x[k : k + 1]).detach() for k in range(6)])
    require(
        differs(logits, alone) < 1e-3,
        "a picture's logit depends on its company in the batch: judge each for itself.",
    )
    return "one logit per picture, (B,), not squeezed into 0..1, each picture judged for itself"


def _pair():
    nets = (
        nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)),
        nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)),
    )
    for k, net in enumerate(nets):
        for seed, tensor in enumerate([*net.parameters(), net[1].running_mean]):
            tensor.data.copy_(normal(*tensor.shape, seed=10 * k + seed))
    return nets


@check("gan.follow")
def follow(function):
    """Check the share of the step, in place, and that buffers are copied and gen stays."""
    averaged, gen = _pair()
    before = [p.detach().clone() for p in averaged.parameters()]
    kept, target = list(averaged.parameters()), [p.detach().clone() for p in gen.parameters()]
    function(averaged, gen, 0.75)
    after = list(averaged.parameters())
    require(
        all(a is b for a, b in zip(after, kept, strict=True)),
        "the parameters were replaced: change them in place.",
    )
    for old, new, goal in zip(before, after, target, strict=True):
        share = ((new.detach() - old) / (goal - old)).mean().item()
        require(
            abs(share - 0.25) < 1e-3,
            f"with decay 0.75 the average should move by 0.25 of the way to gen's weights; yours "
            f"moved by {share:.3f} of it. a <- decay a + (1 - decay) theta.",
        )
    require(
        all(torch.equal(p, t) for p, t in zip(gen.parameters(), target, strict=True)),
        "gen's own weights were changed: only the average moves.",
    )
    require(
        torch.equal(averaged[1].running_mean, gen[1].running_mean),
        "the buffers were not copied. They are statistics (lesson 14's running_mean), made for "
        "the weights of the moment; lesson 21 depends on them.",
    )
    return "each weight moves by 1 - decay of the way, in place; buffers copied, gen untouched"


@check("gan.accept")
def accept(function):
    """Count how often each of five logits is kept, 20,000 times each."""
    logits = torch.tensor([-3.0, -1.0, 0.5, 2.0, 3.0]).repeat(20_000)
    kept = function(logits, torch.Generator().manual_seed(0))
    require(
        kept.shape == logits.shape and kept.dtype == torch.bool,
        f"100,000 logits should give a mask, bool (100000,); yours is {kept.dtype} "
        f"{tuple(kept.shape)}.",
    )
    share = kept.view(-1, 5).double().mean(dim=0)
    wanted = (logits[:5].double() - 3).exp()
    require(
        not 0.999 > share[4] > 0,
        f"samples with the largest logit should all be kept; of yours {share[4]:.1%}. The "
        "probability is exp(logit - largest logit).",
    )
    require(
        differs(share, wanted) < 0.02,
        "logits 0, 1, 2.5 and 4 below the largest should be kept in 100, 37, 8 and 2 % of cases; "
        f"yours in {', '.join(f'{100 * s:.0f}' for s in share.flip(0)[[0, 1, 2, 3]])} %. One "
        "uniform number for each sample, below exp(logit - largest logit).",
    )
    large = function(torch.tensor([500.0, 500.0, 400.0]), torch.Generator().manual_seed(0))
    require(
        large.tolist() == [True, True, False],
        f"of logits 500, 500 and 400 the first two should be kept; yours: {large.tolist()}. The "
        "exponential overflows: subtract the largest logit before exp.",
    )
    again = function(logits, torch.Generator().manual_seed(0))
    require(torch.equal(kept, again), "the same generator gave two answers: draw from rng.")
    return "kept in proportion to exp(logit), the largest always; one number each, drawn from rng"
