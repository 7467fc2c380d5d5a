# Generated from notebooks/src/43_greys_and_colour.py by `python3 -m course_lib build 43`.
# Edit the lesson, not this file.
"""Lesson 43, "Draw greys and colours, fast": what it builds, for later lessons to import."""

import copy
import math
from dataclasses import dataclass
from itertools import product

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import device, training
from course_lib.built import gan, vae
from course_lib.settings import CourseError, profile


@dataclass
class Config:
    """The numbers of lesson 43; `profile` picks the value for the profile that you run in."""

    steps: int = profile(smoke=15, standard=1500, full=20000)
    batch_size: int = 512  # pixels of the first steps; the last have four times as many
    lr: float = 2e-3  # the highest; it falls along half a cosine
    measure_every: int = 50  # steps
    seed: int = 0


def near(height, width):
    """Return offsets (row, column), nearest first, of earlier pixels; CourseError at even width."""
    if height < 1 or width % 2 == 0:
        raise CourseError(f"A window of {height} x {width} has no middle: make the width odd.")
    rows, columns = range(1 - height, 1), range(-(width // 2), width // 2 + 1)
    before = [(row, column) for row, column in product(rows, columns) if (row, column) < (0, 0)]
    return sorted(before, key=lambda offset: offset[0] ** 2 + offset[1] ** 2)


class Sight(nn.Module):
    """What a net is told of a pixel: bytes below levels in a window, and, if `places`, where."""

    def __init__(self, levels, shape, window, places):
        super().__init__()
        self.levels, self.shape, self.places, self.window = levels, shape, places, window
        self.up, self.side = window[0] - 1, window[1] // 2
        keep = [(self.up + row) * window[1] + self.side + column for row, column in near(*window)]
        self.register_buffer("keep", torch.tensor(keep), persistent=False)

    def canvas(self, images):
        """Return uint8 images (N, H, W) with black margins; CourseError if they do not suit."""
        if images.dtype != torch.uint8 or int(images.max()) >= self.levels:
            raise CourseError(f"Pass bytes < {self.levels}, not {images.dtype} to {images.max()}.")
        if images.shape[1:] != self.shape and (self.places or images.ndim != 3):
            raise CourseError(f"The net knows {[*self.shape]}; with places=False, any size.")
        return F.pad(images, (self.side, self.side, self.up, 0))

    def near(self, canvas, n, q):
        """Return the bytes near the pixels q (B,) of pictures n (B,): (B, offsets)."""
        windows = canvas.unfold(1, self.window[0], 1).unfold(2, self.window[1], 1)  # a view
        return windows[n, q // windows.shape[2], q % windows.shape[2]].flatten(1)[:, self.keep]


class PixelNet(Sight):
    """Logits (B, levels) of single pixels; before training all levels are alike."""

    def __init__(
        self, levels, shape=(28, 28), window=(7, 13), *, hidden=256, places=True, outputs=None
    ):
        super().__init__(levels, shape, window, places)
        canvas, one = self.canvas(torch.zeros(1, *shape).byte()), torch.zeros(1).long()
        self.net = vae.residual_mlp(
            self.inputs(canvas, one, one).shape[1], hidden, 2, outputs or levels
        )
        for weights in self.net[-1].parameters():
            nn.init.zeros_(weights)

    def inputs(self, canvas, n, q, kind=torch.float32):
        """Return what the net is told of the pixels, (B, inputs)."""
        seen, (H, W) = self.near(canvas, n, q), self.shape  # seen: nearest first
        bits = torch.arange((self.levels - 1).bit_length(), dtype=torch.uint8, device=q.device)
        told = [seen / (self.levels / 2), seen > 0, (seen[:, :12, None] >> bits & 1).flatten(1)]
        where = [F.one_hot(q // W, H), F.one_hot(q % W, W)] if self.places else []
        return torch.cat([part.to(kind) for part in told + where], dim=1)

    def forward(self, canvas, n, q):
        kind = self.net[0].weight.dtype
        return self.net(self.inputs(canvas, n, q, kind)).to(kind)

    def surprise(self, canvas, n, q, v):
        """Return -ln p (B,), in nats, of the values v (B,) of pixels q of pictures n."""
        return F.cross_entropy(self(canvas, n, q), v.long(), reduction="none")


@torch.no_grad()
def bits_per_pixel(net, images):
    """Return each pixel's bits, float64 (N, H, W) on the CPU; their mean is bits/dim."""
    canvas, D, nats = net.canvas(images), images[0].numel(), []
    for at in torch.arange(images.numel(), device=images.device).split(8192):
        with device.fast_autocast(at.device):
            nats.append(net.surprise(canvas, at // D, at % D, images.flatten()[at]).cpu().double())
    return torch.cat(nats).view(images.shape) / math.log(2)


def strata(images):
    """Return the numbers, among all pixels of images, of ink, of black beside ink, and of far."""
    close = torch.cat(
        [F.max_pool2d((part > 0).float(), 3, 1, 1) > 0 for part in images.split(4000)]
    )
    return [
        kind.flatten().nonzero()[:, 0].int() for kind in (images > 0, close & (images == 0), ~close)
    ]


def unbiased_mean(parts, sizes):
    """Estimate the mean over all pixels from parts (B_k,), each drawn in a stratum of that size."""
    pairs = zip(parts, sizes, strict=True)
    return sum(size / sum(sizes) * part.mean() for part, size in pairs if size)


def train_pixels(
    cfg,
    net,
    images,
    rng,
    *,
    estimate=unbiased_mean,
    shares=(0.65, 0.25, 0.1),
    should_stop=training.never_stop,
    view=None,
    label="training",
):
    """Minimise the bits/dim of uint8 images (N, H, W); return the history. CourseError at nan."""
    canvas, groups, D = net.canvas(images), strata(images), images[0].numel()
    sizes, values = [len(group) for group in groups], images.flatten()
    optimiser, good = torch.optim.AdamW(net.parameters(), betas=(0.9, 0.99), fused=True), None
    with training.progress(cfg.steps, should_stop, view, label=label) as run:
        for step in run:
            falling = (1 + math.cos(math.pi * run.fraction)) / 2
            optimiser.param_groups[0]["lr"] = cfg.lr * falling * min(1, (step + 1) / 100)
            count = cfg.batch_size * 2 ** round(2 * run.fraction)  # few sizes: memory is used again
            picked = [
                group[
                    torch.randint(
                        size or 1,
                        (math.ceil(share * count * (size > 0)),),
                        generator=rng,
                        device=rng.device,
                    )
                ].long()
                for group, size, share in zip(groups, sizes, shares, strict=True)
            ]
            at = torch.cat(picked)
            with device.fast_autocast(at.device):
                cost = net.surprise(canvas, at // D, at % D, values[at])
            loss = estimate(cost.split([len(part) for part in picked]), sizes)
            if step % cfg.measure_every == 0:
                good = gan.or_stop([net], good, nats=loss.item())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            run.log(bits=loss / math.log(2))
    return run.history


def draw(logits, rng):
    """Draw a value (B,) for each row of logits (B, levels), by one random number a row."""
    below = logits.double().softmax(dim=1).cumsum(dim=1)
    u = torch.rand(len(below), 1, generator=rng, dtype=torch.float64) * below[:, -1:]
    return torch.searchsorted(below, u, right=True)[:, 0].clamp(max=logits.shape[1] - 1)


def easel(net, n):
    """Return the net in float64 on the CPU, a black canvas and, a view, its n pictures."""
    net = copy.deepcopy(net).cpu().double()
    canvas = net.canvas(torch.zeros(n, *net.shape).byte())
    return net, canvas, canvas[:, net.up :, net.side : net.side + net.shape[1]]


@torch.no_grad()
def sample_plain(net, n, rng):
    """Draw n pictures uint8 (n, H, W); for each pixel the net guesses all pixels of them all."""
    net, _, paper = easel(net, n)
    at, D = torch.arange(paper.numel()), paper[0].numel()
    for pixel, (row, column) in enumerate(product(*map(range, net.shape))):
        logits = net(net.canvas(paper), at // D, at % D).view(n, D, -1)
        paper[:, row, column] = draw(logits[:, pixel], rng).byte()
    return paper.clone()


@torch.no_grad()
def sample(net, n, rng, *, given=None, known=None):
    """Draw the pictures of `sample_plain`; one is `given` (H, W) where the mask `known` is True."""
    net, canvas, paper = easel(net, n)
    known = torch.zeros(net.shape).bool() if known is None else known
    if known.shape != net.shape or given is not None and given.shape != net.shape:
        raise CourseError(f"Pass given and known, {[*net.shape]} each.")
    paper[:] = paper if given is None else given.where(known, 0)
    for row, column in (~known).nonzero().tolist():
        everyone, q = torch.arange(n), torch.full((n,), row * net.shape[1] + column)
        logits = net(canvas, everyone, q)
        paper[:, row, column] = draw(logits, rng).byte()
    return paper.clone()


def complete(net, n, rng, given, known):
    """Draw n answers to what is not known of given (H, W); return them, ln p(after) (n,)."""
    found = sample(net, n, rng, given=given, known=known)
    bits = bits_per_pixel(easel(net, n)[0], found)  # (n, H, W)
    after = known & ((~known).flatten().cumsum(dim=0).view(known.shape) > 0)
    log_weight = -math.log(2) * bits[:, after].sum(dim=1)
    return found, log_weight


def mixture_log_probs(weight, mean, log_scale, v, levels):
    """Return ln p (B, M) of v (B or 1, M) under J cut logistics (Salimans et al. 2017, 2.1)."""
    half, v = 1 / (levels - 1), v[:, None]  # v (B, 1, M) against (B, J, 1)
    apart, scale = v * 2 * half - 1 - mean[..., None], log_scale.exp()[..., None]
    below, above = F.logsigmoid((apart + half) / scale), F.logsigmoid((half - apart) / scale)
    inner = below + above + torch.log(-torch.expm1(-2 * half / scale))  # lesson 32's formula
    each = torch.where(v == 0, below, torch.where(v == levels - 1, above, inner))
    return torch.logsumexp(weight.log_softmax(dim=1)[..., None] + each, dim=1)


class MixtureNet(PixelNet):
    """A PixelNet whose guess is a mixture of J discretised logistics."""

    def __init__(self, levels, *args, J=5, **options):
        super().__init__(levels, *args, outputs=3 * J, **options)
        start = torch.cat([torch.zeros(J), torch.linspace(-0.8, 0.8, J), torch.full((J,), -1.5)])
        self.net[-1].bias.data = start

    def forward(self, canvas, n, q, v=None):
        v = torch.arange(self.levels, device=q.device)[None] if v is None else v[:, None]
        weight, mean, log_scale = super().forward(canvas, n, q).chunk(3, dim=1)
        return mixture_log_probs(weight, mean, log_scale.clamp(-7, 7), v, self.levels)

    def surprise(self, canvas, n, q, v):
        return -self(canvas, n, q, v)[:, 0]
