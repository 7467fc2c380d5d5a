# Generated from notebooks/src/52_old_photograph.py by `python3 -m course_lib build 52`.
# Edit the lesson, not this file.
"""Lesson 52, "Restore an old photograph": what it builds, for later lessons to import."""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from course_lib.built import damage, denoising
from course_lib.settings import profile


@dataclass
class Config(denoising.Config):  # its other numbers are those of lesson 51
    """The numbers of lesson 52; `profile` picks the value for the profile that you run in."""

    steps: int = profile(smoke=3, standard=700, full=8000)
    batch_size: int = 8
    lr: float = 3e-3


def grown_old(x, rng):
    """Return x (B, C, H, W) in [0, 1] grown old by chance, and its dirt, bool (B, 1, H, W)."""
    damage.require_pictures(x, data_range=1)
    contrast, haze, sigma, clean = torch.rand(4, len(x), 1, 1, 1, generator=rng)
    contrast, (wide, share) = 0.5 + 0.5 * contrast, torch.rand(2, generator=rng).tolist()
    y = damage.fade(damage.Blur(0.3 + 0.7 * wide)(x), contrast, (1 - contrast) * haze)
    y, number = damage.noisy(y, 0.04 * sigma, rng), torch.randint(1, 6, (), generator=rng).item()
    lines = damage.scratches(x.shape, rng, number)[1] * (clean > 0.2)  # some have none
    drops = damage.dust(x.shape, rng, 0.002 * share)[1]
    y = damage.marked(damage.marked(y, lines), drops)
    return y.clamp(0, 1), torch.maximum(lines.abs(), drops.abs()) > 0.1


def dirty_pairs(clean, rng):
    """Yield ((y,), mask): pictures grown old, and a float (B, 1, H, W), 1 where there is dirt."""
    for x in clean:
        y, mask = grown_old(x, rng)
        yield (y,), mask.float()


def scores(found, truth):
    """Return precision, recall and IoU, floats, of bool masks of one shape; 1 for 0 / 0."""
    damage.refuse(found.shape != truth.shape, f"{[*found.shape]} and {[*truth.shape]} differ.")
    damage.refuse({found.dtype, truth.dtype} != {torch.bool}, "Masks are bool: cut them first.")
    hits = (found & truth).sum().item()
    wholes = [part.sum().item() for part in (found, truth, found | truth)]
    return [hits / whole if whole else 1.0 for whole in wholes]


class Finder(nn.Module):
    """Find dirt in y (B, 1 or 3, H, W) in [0, 1], of any size: logits (B, 1, H, W)."""

    def __init__(self, width=24):
        super().__init__()
        self.body = denoising.UNet(4, width)
        for parameter in [*self.body.parameters()][-2:]:  # of the last layer
            nn.init.zeros_(parameter)

    def forward(self, y):
        damage.require_pictures(y, data_range=1)
        H, W = y.shape[2:]
        x = F.pad(y.float().mean(dim=1, keepdim=True), (0, -W % 8, 0, -H % 8), mode="replicate")
        logits = F.pixel_shuffle(self.body(F.pixel_unshuffle(x, 2)).float(), 2)
        return logits[..., :H, :W]


def conjugate_gradients(apply, b, steps=100):
    """Return x (B, C, H, W) with apply(x) = b, by at most `steps` steps, each picture alone.

    apply: linear, symmetric, <v, apply(v)> >= 0 for all v. Hestenes and Stiefel (1952).
    """
    x, r = torch.zeros_like(b), b  # r: the residual, b - apply(x)
    p, rr = r, (r * r).sum(dim=(1, 2, 3), keepdim=True)
    least = torch.finfo(b.dtype).eps ** 2 * rr
    for _ in range(steps):
        image = apply(p)
        bend = (p * image).sum(dim=(1, 2, 3), keepdim=True)
        going = (rr > least) & (bend > 0)
        if not going.any():
            break
        alpha = torch.where(going, rr / bend, 0)
        x, r, old = x + alpha * p, r - alpha * image, rr
        rr = (r * r).sum(dim=(1, 2, 3), keepdim=True)
        p = r + torch.where(going, rr / old, 0) * p
    return x


def harmonic(y, known, steps=100):
    """Fill y (B, C, H, W), any range, where known is 0: least steps; the rest bit for bit."""
    damage.refuse(known is None or steps < 1, "Hand over a mask, True = good, and steps >= 1.")
    damage.Mask(known)(y)  # refuses what does not fit
    known = damage.Mask(known).known.expand(y.shape)
    count = known.sum(dim=(2, 3), keepdim=True)
    damage.refuse((count == 0).any(), "A picture has no known pixel: there is nothing to go by.")
    mean = torch.where(known, y, 0).sum(dim=(2, 3), keepdim=True) / count
    start = torch.where(known, y, mean)

    def bent(x):  # half the slope of the sum of squares by the hole's pixels, else 0
        return damage.differences_adjoint(damage.differences(x)).masked_fill(known, 0)

    change = conjugate_gradients(bent, -bent(start), steps)
    return torch.where(known, y, start + change)


def widened(mask, by):
    """Return a bool mask (B, 1, H, W), grown by so many pixels (0, 1, ...) to all sides."""
    bad = getattr(mask, "dtype", None) != torch.bool or mask.ndim != 4
    damage.refuse(bad, "A mask of dirt is bool (B, 1, H, W), True = dirt: cut it first.")
    damage.refuse(not isinstance(by, int) or by < 0, f"by is 0, 1, 2, ... pixels, not {by}.")
    return F.max_pool2d(mask.float(), 2 * by + 1, 1, by) > 0


def threshold(missed, wasted):
    """Return the logit above which to mark, of the costs c_m and c_f, both above 0."""
    damage.refuse(not (missed > 0 and wasted > 0), "Costs are above 0: is this a pixel in doubt?")
    return math.log(wasted / missed)


def levels(y, share=0.002):
    """Stretch y (B, C, H, W), of any range: a share of its numbers ends below 0, one above 1."""
    damage.require_pictures(y)
    damage.refuse(not 0 <= share < 0.5, f"share is 0 to below 0.5, not {share}: low below high.")
    ordered = y.flatten(1).sort(dim=1).values
    n = ordered.shape[1] - 1
    k = int(n * share)
    low, high = (ordered[:, at].view(-1, 1, 1, 1) for at in (k, n - k))
    stretched = (y - low) / (high - low)
    wide = high - low > 1e-3 * (ordered[:, -1] - ordered[:, 0]).view(-1, 1, 1, 1)
    return torch.where(wide, stretched, y)  # what is nearly of one colour stays as it is


def noise_level(y):
    """Return sigma (B, 1, 1, 1) of the noise in y (B, C, H, W), H, W >= 2, in its units."""
    damage.require_pictures(y)
    damage.refuse(min(y.shape[2:]) < 2, "The noise is read off squares of 2 x 2 pixels: too thin.")
    d = y.diff(dim=2).diff(dim=3)
    return d.abs().flatten(1).median(dim=1).values.view(-1, 1, 1, 1) / (2 * 0.6745)


def restore(y, mask, denoiser):
    """Return y (B, C, H, W) in [0, 1] without dirt (mask: bool (B, 1, H, W)), fading, noise."""
    damage.require_pictures(y, data_range=1)
    light = levels(harmonic(y, ~widened(mask, 0)).float())  # refuses what is no mask
    return denoiser(light, noise_level(light).clamp(max=60 / 255)).clamp(0, 1)  # 51's range
