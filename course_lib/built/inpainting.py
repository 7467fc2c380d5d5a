# Generated from notebooks/src/53_inpainting.py by `python3 -m course_lib build 53`.
# Edit the lesson, not this file.
"""Lesson 53, "Fill a hole": what it builds, for later lessons to import."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from course_lib.built import damage
from course_lib.built.gan import gen_loss
from course_lib.built.old_photograph import conjugate_gradients, harmonic


def free_form(shape, rng, share=0.2):
    """Return known, bool (B, 1, H, W): 0 on thick bent strokes over `share` of each picture."""
    B, _, H, W = shape
    damage.refuse(not 0 <= share <= 0.9, f"A share of 0 to 0.9 can be holes, not {share}.")
    rows, columns = torch.arange(H)[:, None, None], torch.arange(W)[:, None]
    known = torch.ones(B, 1, H, W, dtype=torch.bool)
    for picture in known:
        while (~picture).float().mean() < share:
            long, angle, bend, top, left, thick = torch.rand(6, generator=rng).tolist()
            bent = 4 * (bend - 0.5) * torch.arange(0, 1, 2 / (max(H, W) * (0.2 + 0.4 * long)))
            angle = 2 * math.pi * angle + bent  # at every second pixel of the stroke
            down, right = top * H + 2 * angle.sin().cumsum(0), left * W + 2 * angle.cos().cumsum(0)
            apart = ((rows - down).square() + (columns - right).square()).amin(dim=2)
            picture &= apart >= (2 + 4 * thick) ** 2
    return known


def square(shape, rng=None, share=0.2):
    """Return known, bool (B, 1, H, W): 0 on a square in the middle, of `share`."""
    half = math.sqrt(share * shape[2] * shape[3]) / 2
    rows, columns = ((torch.arange(n) - (n - 1) / 2).abs() < half for n in shape[2:])
    return ~(rows[:, None] & columns).expand(shape[0], 1, -1, -1)


def scratched(shape, rng, number=6):
    """Return known, bool (B, 1, H, W): 0 on the scratches of lesson 50."""
    return ~torch.cat([damage.scratches((1, *shape[1:]), rng, number)[0] for _ in range(shape[0])])


def require_mask(known):
    """Return known, 0 and 1 in a tensor (B, C or 1, H, W), as bool; CourseError for another."""
    usual = isinstance(known, torch.Tensor) and known.ndim == 4
    damage.refuse(not usual, "A mask is a tensor (B, 1, H, W) of 0 (hole) and 1 (known).")
    return damage.Mask(known).known  # refuses greys


def require_known(y, known):
    """Return known as bool of y's shape (B, C, H, W); CourseError if one of them does not fit."""
    seen = damage.Mask(require_mask(known))(y.nan_to_num(nan=999.0))  # nan may hide in the hole
    damage.refuse(not seen.abs().max() < 20, "Pixels should be near [0, 1]: divide bytes by 255.")
    known = known.bool().expand_as(y)
    damage.refuse(not known.flatten(1).any(1).all(), "A picture has no known pixel to start from.")
    return known


def regions(known, width=2):
    """Return name -> bool (B, 1, H, W): the hole, its ring inside the rim, the whole picture."""
    known = require_mask(known)
    near = F.max_pool2d(known.float(), 2 * width + 1, 1, width) > 0
    return {"hole": ~known, "ring": ~known & near, "whole": torch.ones_like(known)}


def laplacian(x):
    """Return Lx (B, C, H, W): 4 times each pixel less its neighbours, fewer at the border."""
    return damage.differences_adjoint(damage.differences(x))


def biharmonic(y, known, steps=60):
    """Fill y (B, C, H, W), where known is 0, by `steps` steps towards the least |Lx|^2."""
    known = require_known(y, known)
    start = harmonic(torch.where(known, y, 0), known, 50)  # nearly a film

    def bent(x):
        return laplacian(laplacian(x)).masked_fill(known, 0)

    change = conjugate_gradients(bent, -bent(start), steps)
    return torch.where(known, y, start + change)


class Refiner(nn.Module):
    """Add to fill (B, C, H, W), where not known, what body (N, 8, h, w) -> (N, 4, h, w) finds."""

    def __init__(self, body):
        super().__init__()
        self.body = body
        for parameter in [*body.parameters()][-2:]:  # of the last layer
            nn.init.zeros_(parameter)

    def forward(self, fill, known):
        damage.require_pictures(fill)
        known = require_known(fill, known)
        B, C, H, W = fill.shape
        both = torch.stack([fill - 0.5, (~known).to(fill)], dim=2).reshape(B * C, 2, H, W)
        h = F.pixel_unshuffle(F.pad(both.float(), (0, -W % 8, 0, -H % 8), mode="replicate"), 2)
        change = F.pixel_shuffle(self.body(h).float(), 2)[..., :H, :W].reshape(B, C, H, W)
        return torch.where(known, fill, fill + change)


def picture_loss(found, target):
    """Return each picture's root mean squared error, with 1e-6 under the root, averaged."""
    squared = (found - target).square().mean(dim=(1, 2, 3))
    return (squared + 1e-6).sqrt().mean()


def fill_pool(clean, makers, number, rng):
    """Return x, its filling, and known, (N, 1, H, W) each; makers of masks take turns."""
    parts = []
    while sum(len(x) for x, _, _ in parts) < number:
        x, make = next(clean), makers[len(parts) % len(makers)]
        known = make(x.shape, rng)
        holed = ~known.flatten(1).all(dim=1)  # a scratch may miss
        parts.append([part[holed] for part in (x, biharmonic(x, known), known)])
    return [torch.cat(part) for part in zip(*parts, strict=True)]


def refining_pairs(pool, batch_size, rng):
    """Yield endless ((fill, known), x) of a pool, turned, mirrored, and of less contrast."""
    while True:
        picked = torch.randint(len(pool[0]), (batch_size,), generator=rng)
        turns, mirror = torch.randint(4, (2,), generator=rng).tolist()
        parts = (part[picked].rot90(turns, (2, 3)) for part in pool)
        x, fill, known = (part.mT if mirror % 2 else part for part in parts)
        gain = 0.6 + 0.4 * torch.rand(batch_size, 1, 1, 1, generator=rng)
        x, fill = (0.5 + gain * (part - 0.5) for part in (x, fill))
        yield (fill, known), x


def judge_distance(judge, x, x_hat):
    """Return how far the judge's features of x_hat are from those of x, (B,); both in [0, 1]."""
    a, b = (judge.features(part.expand(-1, 3, -1, -1)) for part in (x, x_hat))
    return (a - b).norm(dim=1)


@torch.no_grad()
def inpaint(net, y, known):
    """Fill y (B, C, H, W) in [0, 1]: biharmonic, refined; known pixels come back bit for bit."""
    known = require_known(y, known)
    damage.require_pictures(torch.where(known, y, 0.5), data_range=1)
    at, fill = next(net.parameters()).device, biharmonic(y.float(), known)
    return torch.where(known, y, net(fill.to(at), known.to(at)).to(y).clamp(0, 1))


def context_loss(found, target, logits, weight=50.0):
    """Return the adversarial loss of logits (B,) plus weight times the mean squared error."""
    return gen_loss(logits) + weight * F.mse_loss(found, target)


class PartialConv(nn.Conv2d):
    """Convolve the known pixels of x (B, C, H, W) alone; also return where any was in sight."""

    def forward(self, x, known):  # 0 and 1, (B, 1, H, W); for a stride of 1, with a bias
        known = require_mask(known)
        damage.refuse(known.shape != x[:, :1].shape, "A mask should be (B, 1, H, W), as x is.")
        share = F.avg_pool2d(known.to(x.dtype), self.kernel_size, 1, self.padding)
        bias = self.bias[:, None, None]
        mixed = super().forward(torch.where(known, x, 0)) - bias
        return torch.where(share > 0, mixed / share.clamp(min=1e-9) + bias, 0), share > 0
