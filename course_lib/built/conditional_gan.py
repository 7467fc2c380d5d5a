# Generated from notebooks/src/22_conditional_gan.py by `python3 -m course_lib build 22`.
# Edit the lesson, not this file.
"""Lesson 22, "Dress a cat: colour and conditions": what it builds, for later lessons to import."""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import cats, datasets, device, training
from course_lib.built.gan import disc_loss, follow, gen_loss, or_stop
from course_lib.settings import CourseError, profile


@dataclass
class Config:
    """The numbers of lesson 22; `profile` picks the value for the profile that you run in."""

    steps: int = profile(smoke=12, standard=400, full=40000)  # of both optimisers
    batch_size: int = 64
    lr_gen: float = 2e-3
    lr_disc: float = 2e-3
    betas: tuple = (0.5, 0.99)
    average: float = 0.999  # how slowly the averaged generator follows
    r1: float = 0.1  # weight of the penalty of section 4
    r1_every: int = 16  # steps from one penalty to the next
    measure_every: int = 25
    seed: int = 0


def channels_first(array):
    """Turn a picture (H, W, 3), as files hold it, into a tensor (3, H, W)."""
    return torch.as_tensor(array).permute(2, 0, 1)


def plan(side):
    """Return (base, n): side = base * 2**n, base 4 to 7, n >= 1. CourseError names the nearest."""
    n = max(1, math.floor(math.log2(max(side, 8) / 4)))
    below = max(8, side // 2**n * 2**n)
    if side == below:
        return side // 2**n, n
    nearest = [below, below + 2**n] if side > 8 else [8]
    raise CourseError(f"Doubling makes no side of {side}; the nearest are {nearest}.")


class Generator(nn.Module):
    """Grow noise z (B, latent) and conditions c (B, K) into (B, channels, side, side) in -1..1."""

    def __init__(self, side=64, latent=64, conditions=0, width=32, most=96, channels=3):
        super().__init__()
        (base, n), self.latent, self.conditions = plan(side), latent, conditions
        widths = [min(most, width * 2**k) for k in reversed(range(n))]  # of 64: 96, 96, 64, 32
        layers = [
            nn.Linear(latent + conditions, widths[0] * base**2, bias=False),
            nn.BatchNorm1d(widths[0] * base**2),
            nn.ReLU(),
            nn.Unflatten(1, (widths[0], base, base)),
        ]
        for wide, narrow in pairwise(widths):
            layers += [
                nn.ConvTranspose2d(wide, narrow, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(narrow),
                nn.ReLU(),
            ]
        layers += [nn.ConvTranspose2d(widths[-1], channels, 4, stride=2, padding=1)]
        self.layers = nn.Sequential(*layers)

    def noise(self, n, rng):
        """Draw z (n, latent) from N(0, 1)."""
        return torch.randn(n, self.latent, generator=rng, device=rng.device)

    def forward(self, z, c=None):
        z = torch.cat([z, c], dim=1) if self.conditions else z
        return torch.tanh(self.layers(z).float())


class Discriminator(nn.Module):
    """Judge pictures x (B, channels, side, side) in -1..1: logits (B,); c is not looked at."""

    def __init__(self, side=64, width=24, most=96, norm=False, channels=3):
        super().__init__()
        (base, n), self.side = plan(side), side
        widths = [min(most, width * 2**k) for k in range(n)]  # of 64: 24, 48, 96, 96
        layers = [nn.Conv2d(channels, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for narrow, wide in pairwise(widths):
            layers += [
                nn.Conv2d(narrow, wide, 4, stride=2, padding=1, bias=not norm),
                nn.BatchNorm2d(wide) if norm else nn.Identity(),
                nn.LeakyReLU(0.2),
            ]
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.head = nn.Linear(widths[-1] * base**2, 1)

    def features(self, x):
        """Return (B, F) of pictures. Raises CourseError that names both sides for another side."""
        if x.shape[-2:] != (self.side, self.side):
            raise CourseError(f"Built for side={self.side}, not for {tuple(x.shape[-2:])} pixels.")
        return self.layers(x)

    def forward(self, x, c=None):
        return self.head(self.features(x)).float()[:, 0]


def gradient_penalty(disc, x, c=None):
    """Return the batch mean of |slope of a picture's logit|^2 at x; R1, always in float32."""
    with torch.autocast(x.device.type, enabled=False):
        x = x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(disc(x, c).sum(), x, create_graph=True)
        return slope.square().flatten(1).sum(dim=1).mean()


def pair_batches(images, c, batch_size, rng):
    """Yield endless batches x (B, C, H, W) in -1..1 and c (B, K), shuffled together."""
    for x, y in datasets.batches(
        images, c, batch_size=batch_size, generator=rng, channels_last=True
    ):
        yield x.float() / 127.5 - 1, y


def train_conditional(
    cfg,
    gen,
    disc,
    data,
    rng,
    *,
    averaged=None,
    should_stop=training.never_stop,
    view=None,
    label="training",
):
    """Train both in turn on endless pairs (x, c); return the history. CourseError at nan."""
    opt_gen = torch.optim.Adam(gen.parameters(), betas=cfg.betas, fused=True)
    opt_disc = torch.optim.Adam(disc.parameters(), betas=cfg.betas, fused=True)
    good, nets = None, [gen, disc, averaged or gen]
    run = training.progress(cfg.steps, should_stop, view, label=label)
    with device.fast_autocast(rng.device), run:
        for step, (x, c) in zip(run, data, strict=False):
            for opt, lr in ((opt_gen, cfg.lr_gen), (opt_disc, cfg.lr_disc)):
                opt.param_groups[0]["lr"] = lr * min(1, 2 - 2 * run.fraction)
            z, due = gen.noise(len(x), rng), step % cfg.r1_every == 0
            penalty = cfg.r1_every * cfg.r1 / 2 * gradient_penalty(disc, x, c) if due else 0
            fake = gen(z, c)
            loss_disc = disc_loss(disc(x, c), disc(fake.detach(), c))
            opt_disc.zero_grad()
            (loss_disc + penalty).backward()
            opt_disc.step()
            disc.requires_grad_(False)  # saves work (G12 of lesson 20); switched on again below
            loss_gen = gen_loss(disc(fake, c))
            opt_gen.zero_grad()
            loss_gen.backward()
            opt_gen.step()
            disc.requires_grad_(True)
            if step % cfg.measure_every == 0:
                good = or_stop(nets, good, loss_disc=loss_disc.item(), loss_gen=loss_gen.item())
            follow(averaged or gen, gen, min(cfg.average, (step + 1) / (step + 10)))
            run.log(loss_disc=loss_disc, loss_gen=loss_gen)
    return run.history


def direction(z, has):
    """Return mean z with minus mean z without, (latent,). CourseError if all or none have it."""
    if has.all() or not has.any():
        raise CourseError("A direction needs samples with the attribute and samples without it.")
    return z[has].mean(dim=0) - z[~has].mean(dim=0)


def one_hot(factors, names):
    """Return (N, K), float: a 1 per named choice. CourseError: name, bad label and its range."""
    parts = []
    for name in names:
        labels, k = factors[name], len(cats.CHOICES[name])
        if len(bad := labels[(labels < 0) | (labels >= k)]):
            raise CourseError(f"{name} {bad[0].item()} is none of its K = {k} options: 0..{k - 1}.")
        parts.append(torch.eye(k, device=labels.device)[labels])
    return torch.cat(parts, dim=1)


WISHES = (
    "pattern",
    "fur",
    "marking",
    "background",
    "motif",
    "pose",
    "head",
    "ears",
    "eyes",
    "mouth",
    "wear",
)  # what section 8 asks for
COLUMNS = sum(len(cats.CHOICES[name]) for name in WISHES)


class Projection(Discriminator):
    """Judge pairs of x (B, C, side, side) and c (B, K). Miyato and Koyama (2018), section 3."""

    def __init__(self, conditions, scale=16.0, **sizes):
        super().__init__(**sizes)
        self.embed, self.scale = nn.Linear(conditions, self.head.in_features, bias=False), scale

    def forward(self, x, c):
        h = self.features(x)
        asked = (h * self.embed(c)).float().sum(dim=1)
        return self.head(h).float()[:, 0] + asked / self.scale


@torch.no_grad()
def heard(disc, x, c):
    """Return by how much D's mean logit of x falls when each picture gets another one's c."""
    return (disc(x, c) - disc(x, c.roll(1, dims=0))).mean().item()


def class_loss(logits, labels):
    """Return the classifier's loss in nats, batch mean: logits (B, K), labels int64 (B,)."""
    return F.cross_entropy(logits, labels)
