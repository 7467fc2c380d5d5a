# Generated from notebooks/src/20_gan.py by `python3 -m course_lib build 20`.
# Edit the lesson, not this file.
"""Lesson 20, "Train a forger against a detective": what it builds, for later lessons to import."""

import copy
import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import datasets, training
from course_lib.settings import CourseError, profile


@dataclass
class Config:
    """The numbers of lesson 20; `profile` picks the value for the profile that you run in."""

    steps: int = profile(smoke=60, standard=9000, full=60000)  # of both optimisers
    batch_size: int = 64
    lr_gen: float = 3e-3
    lr_disc: float = 1e-3
    betas: tuple = (0.5, 0.99)  # Adam's; see section 7 for the usual 0.9
    average: float = 0.998  # how slowly the averaged generator follows
    measure_every: int = 25  # steps
    seed: int = 0


def picture_batches(images, batch_size, rng):
    """Yield endless shuffled batches (B, C, H, W) in 0..1 of images uint8 (N, C, H, W)."""
    if images.dtype != torch.uint8:
        raise CourseError(f"picture_batches reads uint8 in 0..255, not {images.dtype}.")
    for (x,) in datasets.batches(images, batch_size=batch_size, generator=rng):
        yield x.float() / 255


def to_pixels(x):
    """Map floats in 0..1 to the nearest byte, uint8 in 0..255; what lies outside is clamped."""
    return (255 * x.clamp(0, 1)).round().to(torch.uint8)


def pushed_density(g, z):
    """Return x = g(z) and its density phi(z) / g'(z) where z ~ N(0, 1); all (N,), g rising."""
    z = z.clone().requires_grad_()
    x = g(z)
    (slope,) = torch.autograd.grad(x.sum(), z)
    density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi) / slope
    return x.detach(), density.detach()


def disc_loss(logits_real, logits_fake):
    """Return -V in nats, of logits (B,) or (R, B): mean over B, sum over R (paper: eq. 1)."""
    real, fake = F.softplus(-logits_real), F.softplus(logits_fake)
    return (real.mean(dim=-1) + fake.mean(dim=-1)).sum()


def mlp(*sizes):
    """Return layers of the given sizes with a leaky ReLU (slope 0.2) between two of them."""
    layers = [part for pair in pairwise(sizes) for part in (nn.Linear(*pair), nn.LeakyReLU(0.2))]
    return nn.Sequential(*layers[:-1])


def train_discriminator(disc, pairs, steps):
    """Train disc alone, for some steps, on `pairs` (real, forged) of batches."""
    opt_disc = torch.optim.Adam(disc.parameters(), betas=(0.5, 0.99))
    for _, (x, fake) in zip(range(steps), pairs, strict=False):
        loss_disc = disc_loss(disc(x), disc(fake))
        opt_disc.zero_grad()
        loss_disc.backward()
        opt_disc.step()


def gen_loss(logits_fake):
    """Return -ln D(G(z)), non-saturating, of logits (B,) or (R, B): mean over B, sum over R."""
    return F.softplus(-logits_fake).mean(dim=-1).sum()


def minimax_gen_loss(logits_fake):
    """Return ln(1 - D(G(z))), minimax, of logits (B,) or (R, B): mean over B, sum over R."""
    return -F.softplus(logits_fake).mean(dim=-1).sum()


@torch.no_grad()
def follow(averaged, gen, decay):
    """Move the weights of `averaged` by the share 1 - decay towards gen's; copy the buffers."""
    for a, w in zip(averaged.parameters(), gen.parameters(), strict=True):
        a.lerp_(w, 1 - decay)
    for a, w in zip(averaged.buffers(), gen.buffers(), strict=True):
        a.copy_(w)


def or_stop(nets, good, **signs):
    """Return copies of the nets' states; if a sign is not finite, put back `good` and raise."""
    if wrong := [name for name, value in signs.items() if not math.isfinite(value)]:
        for net, state in zip(nets, good or [], strict=False):
            net.load_state_dict(state)
        raise CourseError(
            f"No finite number any more: {', '.join(wrong)}. The networks are back "
            "at their last good state; lower the rates, look for nan in data."
        )
    return [copy.deepcopy(net.state_dict()) for net in nets]


def vital_signs(gen, disc, x, z):
    """Return D's mean answers to x and gen(z), and gen(z)'s diversity relative to x."""
    fake = gen(z)
    if fake.shape != x.shape:
        raise CourseError(f"The generator makes {[*fake.shape]}, the data are {[*x.shape]}.")
    real, forged = disc(x), disc(fake)
    wide, full = (part.std(dim=real.ndim - 1).norm() for part in (fake, x))  # over the batch
    answers = {"D(x)": real.sigmoid().mean().item(), "D(G(z))": forged.sigmoid().mean().item()}
    return answers | {"diversity": (wide / full).item()}


def train_gan(
    cfg,
    gen,
    disc,
    data,
    rng,
    *,
    loss=gen_loss,
    averaged=None,
    should_stop=training.never_stop,
    view=None,
    label="training",
):
    """Train gen and disc in turn on endless batches `data`; return the history. loss: gen's.

    averaged: a copy that follows gen. CourseError at nan. Goodfellow et al. (2014), algorithm 1.
    """
    opt_gen = torch.optim.Adam(gen.parameters(), lr=cfg.lr_gen, betas=cfg.betas)
    opt_disc = torch.optim.Adam(disc.parameters(), lr=cfg.lr_disc, betas=cfg.betas)
    good, nets = None, [net for net in (gen, disc, averaged) if net is not None]
    with training.progress(cfg.steps, should_stop, view, label=label) as run:
        for step, x in zip(run, data, strict=False):
            z = gen.noise(cfg.batch_size, rng)
            for opt, lr in ((opt_gen, cfg.lr_gen), (opt_disc, cfg.lr_disc)):
                opt.param_groups[0]["lr"] = lr * min(1, 4 - 4 * run.fraction)
            if step % cfg.measure_every == 0:
                signs = vital_signs(gen, disc, x, z)
                good = or_stop(nets, good, **signs)
                run.log(**signs)
            fake = gen(z)
            loss_disc = disc_loss(disc(x), disc(fake.detach()))
            opt_disc.zero_grad()
            loss_disc.backward()
            opt_disc.step()
            loss_gen = loss(disc(fake))
            opt_gen.zero_grad()
            loss_gen.backward()
            opt_gen.step()
            follow(averaged or gen, gen, min(cfg.average, step / (step + 10)))
            run.log(loss_disc=loss_disc, loss_gen=loss_gen)
    return run.history


class Generator(nn.Module):
    """Turn noise z (B, latent) into pictures (B, 1, 28, 28) in 0..1."""

    def __init__(self, latent=64, width=256):
        super().__init__()
        self.latent, self.layers = latent, mlp(latent, width, width, 784)

    def noise(self, n, rng):
        """Draw z (n, latent) from N(0, 1)."""
        return torch.randn(n, self.latent, generator=rng, device=rng.device)

    def forward(self, z):
        return self.layers(z).sigmoid().view(-1, 1, 28, 28)


class Discriminator(nn.Module):
    """Judge pictures x (B, 1, 28, 28) in 0..1: logits (B,), positive for real."""

    def __init__(self, width=128):
        super().__init__()
        self.layers = mlp(784, width, width // 2, 1)

    def forward(self, x):
        return self.layers(x.flatten(1))[:, 0]


def accept(logits, rng):
    """Choose the samples to keep: bool (N,), True with probability exp(logit - largest logit)."""
    chance = (logits - logits.max()).exp()
    return torch.rand(logits.shape, generator=rng, device=logits.device) < chance
