# Generated from notebooks/src/51_denoising.py by `python3 -m course_lib build 51`.
# Edit the lesson, not this file.
"""Lesson 51, "Learn to remove noise": what it builds, for later lessons to import."""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import datasets, device, images, training
from course_lib.built import damage
from course_lib.built.gan import follow, or_stop
from course_lib.built.stable_gans import conv3
from course_lib.photos import PHOTOGRAPHS
from course_lib.settings import CourseError, profile


@dataclass
class Config:
    """The numbers of lesson 51; `profile` picks the value for the profile that you run in."""

    steps: int = profile(smoke=3, standard=500, full=20000)
    batch_size: int = 16
    side: int = 64  # pixels of a training patch
    lr: float = 4e-3  # the highest: a climb of 100 steps, then half a cosine
    average: float = 0.998  # how slowly the averaged (the shipped) weights follow
    measure_every: int = 50  # steps between two safe copies
    seed: int = 0


def posterior(y, clean, sigma):
    """Return p(x_k | y) (B, K): y (B, C, H, W) is one of clean (K, C, H, W), plus noise sigma."""
    apart = torch.cdist(y.flatten(1), clean.flatten(1)).square()
    return (-apart / (2 * sigma**2)).softmax(dim=1)


def posterior_mean(y, clean, sigma):
    """Return E[x | y] (B, C, H, W), the best guess by squared error."""
    return (posterior(y, clean, sigma) @ clean.flatten(1)).view_as(y)


def train_denoiser(
    cfg,
    net,
    pairs,
    *,
    loss=F.mse_loss,
    averaged=None,
    should_stop=training.never_stop,
    view=None,
    label="training",
):
    """Minimise loss(net(*seen), target) over endless pairs (seen, target); return the history.

    averaged: a copy of net whose weights follow slowly. CourseError at nan or wrong shapes."""
    optimiser, good = torch.optim.Adam(net.parameters(), betas=(0.9, 0.99), fused=True), None
    with training.progress(cfg.steps, should_stop, view, label=label) as run:
        for step, (seen, target) in zip(run, pairs, strict=False):
            falling = (1 + math.cos(math.pi * run.fraction)) / 2 * min(1, (step + 1) / 100)
            optimiser.param_groups[0]["lr"] = cfg.lr * falling
            with device.fast_autocast(target.device):
                found = net(*seen)
            if found.shape != target.shape:
                raise CourseError(f"The net gives {[*found.shape]}, the target {[*target.shape]}.")
            error = loss(found.float(), target)
            if step % cfg.measure_every == 0 or not error.isfinite():
                good = or_stop([net], good, loss=error.item())
            optimiser.zero_grad()
            error.backward()
            optimiser.step()
            if averaged is not None:
                follow(averaged, net, min(cfg.average, (step + 1) / (step + 10)))
            run.log(loss=error)
    return run.history


def dead_leaves(side, rng, number=4000, smallest=4, largest=200):
    """Return a picture (side, side) in [0, 1] of opaque discs and boxes with power-law radii."""
    picture, at = torch.full((side, side), 0.5), torch.arange(float(side))
    for y, x, turn, flat, tone, slope, box, u in torch.rand(number, 8, generator=rng).tolist():
        r, turn, flat = min(smallest * (1 - u) ** -0.75, largest), math.pi * turn, 0.3 + 0.7 * flat
        rows, columns = (slice(max(0, int(side * c - r)), int(side * c + r) + 2) for c in (y, x))
        down, right = at[rows, None] - side * y, at[columns] - side * x  # r has a power law
        a = (math.cos(turn) * right + math.sin(turn) * down) / r
        b = (math.cos(turn) * down - math.sin(turn) * right) / (r * flat)
        apart = torch.hypot(a, b) if box < 0.5 else 1.4 * torch.maximum(a.abs(), b.abs())
        cover = (r * flat * (1 - apart) + 0.5).clamp(0, 1)  # 1 inside, 0 outside, soft between
        picture[rows, columns].lerp_(tone + 0.4 * (slope - 0.5) * a, cover)
    return picture.clamp(0, 1)


def training_pictures(rng, leaves=2):
    """Return pictures (H, W) in [0, 1], and the chance of each: photographs 70 %, leaves 30 %."""
    found = []
    for name, (_, split, colour) in PHOTOGRAPHS.items():
        if split == "train" and name not in ("text", "motorcycle_right"):  # the left one is enough
            x = datasets.photograph(name)
            x = torch.cat([images.to_grey(x), x])[: 4 if colour else 1] / 255
            for size in (1, 0.75, 0.5, 0.35):
                found += [*images.resize(x, *(round(size * n) for n in x.shape[1:])).clamp(0, 1)]
    share = torch.tensor([x.numel() ** 0.5 for x in found])
    chances = torch.cat([0.7 * share / share.sum(), torch.full((leaves,), 0.3 / leaves)])
    return found + [dead_leaves(1024, rng) for _ in range(leaves)], chances


def clean_patches(pictures, chances, batch_size, side, rng):
    """Yield endless batches x (B, 1, side, side) in [0, 1]: crops, each of its own contrast."""
    while True:
        x, drawn = [], torch.multinomial(chances, batch_size, True, generator=rng).tolist()
        for whole in (pictures[k] for k in drawn):
            i, j = (torch.randint(n - side + 1, (1,), generator=rng).item() for n in whole.shape)
            x.append(whole[i : i + side, j : j + side])
        turns, mirror = torch.randint(4, (2,), generator=rng).tolist()
        x = torch.stack(x)[:, None].rot90(turns, (2, 3))
        gain, base = torch.rand(2, batch_size, 1, 1, 1, generator=rng)
        yield (0.6 + 0.4 * gain) * (x.mT if mirror % 2 else x) + 0.4 * (1 - gain) * base


def noisy_pairs(clean, sigma, rng, told=False):
    """Yield ((y,), x), or told: ((y, sigma), x); sigma: a number, or (lo, hi) to draw from."""
    lo, hi = sigma if isinstance(sigma, tuple) else (sigma, sigma)
    for x in clean:
        s = lo + (hi - lo) * torch.rand(len(x), 1, 1, 1, generator=rng)
        y = damage.noisy(x, s, rng)
        yield ((y, s) if told else (y,)), x


class Denoiser(nn.Module):
    """Repair y (B, C, H, W) of any size: y minus the noise that `body` finds, at half the size.

    body: (N, 4, h, w) -> (N, 4, h, w), or of 5 channels if told: the fifth is sigma, a number or
    (B, 1, 1, 1), which other nets ignore. CourseError for what is no picture, no sigma."""

    def __init__(self, body, told=False):
        super().__init__()
        self.body, self.told = body, told
        for parameter in [*body.parameters()][-2:]:  # of the last layer
            nn.init.zeros_(parameter)

    def forward(self, y, sigma=None):
        damage.require_pictures(y)
        B, C, H, W = y.shape
        x = F.pad(y.reshape(B * C, 1, H, W), (0, -W % 8, 0, -H % 8), mode="replicate")
        h = F.pixel_unshuffle(x, 2)
        if self.told:
            level = torch.as_tensor(-1 if sigma is None else sigma).to(x).reshape(-1, 1)
            if len(level) not in (1, B) or not ((level >= 0) & (level <= 1)).all():
                raise CourseError("Tell this net one sigma, or one a picture, in 0 to 1: 25 / 255.")
            h = torch.cat([h, level.expand(B, C).reshape(-1, 1, 1, 1).expand_as(h[:, :1])], dim=1)
        noise = F.pixel_shuffle(self.body(h).float(), 2)  # the body may run in half precision
        return (x - noise)[..., :H, :W].reshape(B, C, H, W)


def dncnn(width=32, depth=8):
    """Return `depth` convolutions with ReLUs between, (N, 4, h, w) -> (N, 4, h, w)."""
    sizes = [(4, width), *[(width, width)] * (depth - 2)]
    layers = [part for size in sizes for part in (conv3(*size), nn.ReLU())]
    for layer in layers[::2]:
        nn.init.kaiming_normal_(layer.weight)  # He et al. (2015): the signal keeps its size
    return nn.Sequential(*layers, conv3(width, 4))


class Block(nn.Module):
    """Add to h (N, width, h, w) what two convolutions make of it."""

    def __init__(self, width):
        super().__init__()
        self.layers = nn.Sequential(conv3(width, width), nn.ReLU(), conv3(width, width))

    def forward(self, h):
        return h + self.layers(h)


class UNet(nn.Module):
    """Find noise (N, 4, h, w) in (N, inputs, h, w), h and w multiples of 4."""

    def __init__(self, inputs=4, width=32):
        super().__init__()
        a, b, c = width, 2 * width, 3 * width
        self.first = nn.Sequential(conv3(inputs, a), Block(a))
        self.down = nn.Sequential(nn.Conv2d(a, b, 2, 2), Block(b))
        self.middle = nn.Sequential(nn.Conv2d(b, c, 2, 2), Block(c), nn.ConvTranspose2d(c, b, 2, 2))
        self.up = nn.Sequential(Block(b), nn.ConvTranspose2d(b, a, 2, 2))
        self.last = nn.Sequential(Block(a), conv3(a, 4))

    def forward(self, h):
        b = self.down(a := self.first(h))
        return self.last(self.up(self.middle(b) + b) + a)


def hide(y, hidden, rng):
    """Return y (B, C, H, W), one of its 8 neighbours by chance at each pixel of hidden (bool)."""
    around = F.pad(y, (1,) * 4, mode="reflect").unfold(2, 3, 1).unfold(3, 3, 1).flatten(4)
    k = torch.randint(8, y.shape, generator=rng, device=y.device)
    return torch.where(hidden, around.gather(4, (k + (k >= 4))[..., None])[..., 0], y)
