# Generated from notebooks/src/40_autoregressive.py by `python3 -m course_lib build 40`.
# Edit the lesson, not this file.
"""Lesson 40, "Guess the next pixel": what it builds, for later lessons to import."""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import datasets, device, training
from course_lib.built.gan import or_stop
from course_lib.settings import CourseError, profile


@dataclass
class Config:
    """The numbers of lesson 40; `profile` picks the value for the profile that you run in."""

    steps: int = profile(smoke=30, standard=1500, full=40000)
    batch_size: int = 128
    lr: float = 5e-3  # the highest; it falls along half a cosine
    measure_every: int = 50  # steps
    seed: int = 0


def binary_batches(images, batch_size, rng):
    """Yield endless batches (B, C, H, W) in {0, 1}; a byte is ink with chance byte / 255."""
    for (x,) in datasets.batches(images, batch_size=batch_size, generator=rng):
        yield torch.bernoulli(x.float() / 255, generator=rng)


def require_binary(x):
    """Raise CourseError unless all of x is 0 or 1."""
    if not ((x == 0) | (x == 1)).all():
        raise CourseError(f"Binarise first: pixels are 0 or 1, not {x.min():g} to {x.max():g}.")


def log_prob(model, x):
    """Return ln p(x) (B,) in nats of x (B, C, H, W) in {0, 1}; model(x): logits shaped like x."""
    require_binary(x)
    surprise = F.binary_cross_entropy_with_logits(model(x), x, reduction="none")
    return -surprise.flatten(1).sum(dim=1)


def earlier(order):
    """Return bool (D, D): [i, j] says whether pixel j is drawn before pixel i; order (D,)."""
    place = order.argsort()
    return place[None, :] < place[:, None]


class MaskedLinear(nn.Linear):
    """A linear layer whose weights, at first scale / sqrt(inputs), count where mask is True."""

    def __init__(self, mask, scale=0.0):
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask)
        self.weight.data.normal_().mul_(scale / mask.sum(dim=1, keepdim=True).clamp(min=1).sqrt())
        self.bias.data.zero_()

    def forward(self, x):
        return F.linear(x, self.weight * self.mask, self.bias)


class FVSBN(nn.Module):
    """Logits of ink, regressions on earlier pixels; mean (C, H, W) inside 0 to 1, order (D,)."""

    def __init__(self, mean, order):
        super().__init__()
        if order.sort().values.tolist() != list(range(mean.numel())):
            raise CourseError(f"order must hold each of 0 to {mean.numel() - 1} exactly once.")
        self.register_buffer("mean", mean)
        self.register_buffer("order", order)
        self.direct = MaskedLinear(earlier(order))
        self.direct.bias.data = mean.flatten().logit()

    def forward(self, x):
        if x.shape[1:] != self.mean.shape:
            raise CourseError(f"The model knows {[*self.mean.shape]}, not {[*x.shape[1:]]}.")
        return self.direct((x - self.mean).flatten(1)).view_as(x).to(x.dtype)


def train_autoregressive(
    cfg, model, batches, *, should_stop=training.never_stop, view=None, label="training"
):
    """Maximise log_prob on endless batches in {0, 1}; return the history. CourseError at nan."""
    optimiser, good = torch.optim.Adam(model.parameters(), betas=(0.9, 0.99), fused=True), None
    with training.progress(cfg.steps, should_stop, view, label=label) as run:
        for step, x in zip(run, batches, strict=False):
            falling = (1 + math.cos(math.pi * run.fraction)) / 2
            optimiser.param_groups[0]["lr"] = cfg.lr * falling * min(1, (step + 1) / 100)
            with device.fast_autocast(x.device):
                loss = -log_prob(model, x).mean()
            if step % cfg.measure_every == 0:
                good = or_stop([model], good, nats=loss.item())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            run.log(nats=loss)
    return run.history


def masks(order, *hidden):
    """Return the masks, bool (out, in), of layers D -> hidden[0] -> ... -> D; order (D,)."""
    D = len(order)
    if min(hidden, default=D) < D - 1:
        raise CourseError(f"{D} pixels need {D - 1} units or more in every hidden layer.")
    degrees = [order.argsort(), *(torch.arange(n) % (D - 1) for n in hidden)]  # MADE, eq. 12, 13
    inner = [below[None, :] <= above[:, None] for below, above in pairwise(degrees)]
    return [*inner, degrees[-1][None, :] < degrees[0][:, None]]


class MADE(FVSBN):
    """An FVSBN and a masked network beside it, whose logits are added. Germain et al. (2015)."""

    def __init__(self, mean, order, hidden=(1000,)):
        super().__init__(mean, order)
        *inner, last = masks(order, *hidden)
        self.inner = nn.ModuleList(MaskedLinear(mask, scale=2**0.5) for mask in inner)
        self.last = MaskedLinear(last)  # of weights 0: it begins as the independent pixels, too

    def forward(self, x):
        logits, h = super().forward(x), (x - self.mean).flatten(1)  # h: (B, D), (B, hidden), ...
        for layer in self.inner:
            h = F.relu(layer(h))
        return logits + self.last(h).view_as(x).to(x.dtype)


def canvas(model, n, given=None, mask=None):
    """Return pictures (n, C, H, W) that hold what is known, and where that is, bool."""
    x = model.mean.new_zeros(n, *model.mean.shape)
    given, mask = parts = (x, x) if given is mask is None else (given, mask)
    if any(getattr(part, "shape", None) not in (x.shape, x.shape[1:]) for part in parts):
        raise CourseError(f"Pass both given and mask, each {[*x.shape[1:]]}, or n of them.")
    known = mask.bool().expand_as(x)
    require_binary(x := torch.where(known, given.to(x), x))
    return x, known


@torch.no_grad()
def sample(model, n, rng, *, temperature=1.0, given=None, mask=None):
    """Draw n pictures (n, C, H, W) in {0, 1}, pixel by pixel in model.order.

    temperature: above 0, a number or (n,); `given`, (C, H, W) or (n, C, H, W), is kept where mask.
    """
    if not (torch.as_tensor(temperature) > 0).all():
        raise CourseError("temperature must be above 0; close to 0 the likelier side is drawn.")
    x, known = canvas(model, n, given, mask)
    flat, kept = x.view(n, -1), known.flatten(1)
    for pixel in model.order.tolist():
        chance = (model(x).flatten(1)[:, pixel] / temperature).sigmoid()
        drawn = torch.bernoulli(chance, generator=rng)
        flat[:, pixel] = torch.where(kept[:, pixel], flat[:, pixel], drawn)
    return x


def orders(height, width, rng):
    """Return four orders of the pixels of a picture, int64 (D,): the t-th number is drawn t-th."""
    grid = rest = torch.arange(height * width).view(height, width)
    found, spiral = {"raster": grid, "columns": grid.T}, []
    while rest.numel():  # take the top row, then turn the right column to the top
        spiral, rest = [*spiral, rest[0]], rest[1:].rot90()
    found |= {"spiral": torch.cat(spiral), "random": torch.randperm(grid.numel(), generator=rng)}
    return {name: order.flatten() for name, order in found.items()}


@torch.no_grad()
def sample_incremental(model, n, rng):
    """Draw the same n pictures as `sample` from a MADE with one hidden layer, in fewer products."""
    if len(model.inner) != 1:
        raise CourseError(f"One hidden layer is needed; this MADE has {len(model.inner)}.")
    first, last, direct = (f.weight * f.mask for f in (model.inner[0], model.last, model.direct))
    x, mean, bias = canvas(model, n)[0], model.mean.flatten(), model.last.bias + model.direct.bias
    seen, flat = (model.inner[0].bias - first @ mean).repeat(n, 1), x.view(n, -1)  # (n, hidden)
    for pixel in model.order.tolist():
        logit = F.relu(seen) @ last[pixel] + (flat - mean) @ direct[pixel] + bias[pixel]
        flat[:, pixel] = torch.bernoulli(logit.sigmoid(), generator=rng)
        seen += flat[:, pixel, None] * first[:, pixel]
    return x


def nade(x, c, W, b, V):
    """Return logits like x, in raster order; c (hidden,), W (hidden, D), b (D,), V (D, hidden)."""
    seen, logits = c.expand(len(x), -1), []
    for i, pixel in enumerate(x.flatten(1).T):
        logits.append(b[i] + seen.sigmoid() @ V[i])
        seen = seen + pixel[:, None] * W[:, i]
    return torch.stack(logits, dim=1).view_as(x)
