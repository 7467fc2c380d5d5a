# Generated from notebooks/src/01_score_a_generator.py by `python3 -m course_lib build 01`.
# Edit the lesson, not this file.
"""Lesson 01, "Score a generator": what it builds, for later lessons to import."""

import math
from dataclasses import dataclass
from itertools import product

import torch

from course_lib.settings import profile


@dataclass
class Config:
    """The numbers of lesson 01; `profile` picks the value for the profile that you run in."""

    alpha: float = 0.1  # imaginary observations of each grey value
    repeats: int = profile(smoke=50, standard=400)  # Monte Carlo estimates per size
    samples: int = 20  # pictures drawn from each model
    seed: int = 0


def monte_carlo(f, p, n, generator):
    """Estimate E[f(v)] for v in 0..K-1 with probabilities p (K,) from n draws.

    f: float64 (n,) -> (n,). Returns (mean, standard error), two numbers.
    """
    values = f(torch.multinomial(p, n, replacement=True, generator=generator).double())
    return values.mean().item(), values.std().item() / math.sqrt(n)


def cross_entropy_bits(p, q):
    """Return the mean of -log2 q over values drawn from p, in bits; p and q are (K,).

    Infinite where q excludes what p has; values with p = 0 count nothing. A number or a 0-d tensor.
    """
    seen = p > 0
    return -(p[seen] * q[seen].log2()).sum()


def bits_per_dim(nats, dims):
    """Convert a surprise -ln q(x) in nats into bits for each of the dims pixels."""
    return nats / (dims * math.log(2))


def kl(p, q):
    """Return KL(p || q) of two distributions (K,), in nats, as a number or a 0-d tensor."""
    seen = p > 0
    return (p[seen] * (p[seen] / q[seen]).log()).sum()


def js(p, q):
    """Return the Jensen-Shannon divergence of two distributions (K,), in nats. Lin (1991)."""
    m = (p + q) / 2
    return (kl(p, m) + kl(q, m)) / 2


def pixel_counts(images, levels=256):
    """Return how often each position has each value: (D, levels), float64."""
    flat, dims = images.flatten(1), images[0].numel()
    counts, cells = torch.zeros(dims * levels).double(), levels * torch.arange(dims)
    for part in flat.split(1000):
        counts += torch.bincount((cells + part).flatten(), minlength=dims * levels)
    return counts.view(dims, levels)


class IndependentPixels:
    """A generator that draws each pixel from a histogram of its own, smoothed by alpha > 0.

    Images are uint8 (N, 1, H, W) with values below `levels`. After fit: p (D, levels), float64.
    """

    def __init__(self, alpha=0.1, levels=256):
        self.alpha, self.levels = alpha, levels

    def fit(self, images):
        """Count, smooth, and return the model itself."""
        counts, self.shape = pixel_counts(images, self.levels), images.shape[1:]
        counts = counts + self.alpha
        self.p = counts / counts.sum(dim=1, keepdim=True)
        return self

    def log_likelihood(self, images):
        """Return ln q(x) (N,) of each image, in nats."""
        x = images.flatten(1).long()  # (N, D)
        return self.p.log()[torch.arange(x.shape[1]), x].sum(dim=1)

    def sample(self, n, generator):
        """Return n new images."""
        draws = torch.multinomial(self.p, n, replacement=True, generator=generator)  # (D, n)
        return draws.T.reshape(n, *self.shape).to(torch.uint8)


def contexts(images):
    """Return the context of every pixel, 16 * left + up in coarse levels 0..15.

    images: uint8 (N, 1, H, W) -> int64 (N, 1, H, W) in 0..255; outside of the picture is level 0.
    """
    coarse = (images.long() + 16) // 17
    left, up = torch.zeros_like(coarse), torch.zeros_like(coarse)
    left[..., 1:] = coarse[..., :-1]
    up[..., 1:, :] = coarse[..., :-1, :]
    return 16 * left + up


class NeighbourTable:
    """A generator whose pixels know their left and upper neighbour, smoothed by alpha > 0.

    Images are uint8 (N, 1, H, W) with values below `levels`. After fit: p (256, levels), float64.
    """

    def __init__(self, alpha=0.1, levels=256, context=contexts):
        self.alpha, self.levels, self.context = alpha, levels, context

    def fit(self, images):
        """Count, smooth, and return the model itself."""
        counts, self.shape = torch.zeros(256 * self.levels).double(), images.shape[1:]
        for part in images.split(1000):
            pairs = self.context(part) * self.levels + part.long()
            counts += torch.bincount(pairs.flatten(), minlength=len(counts))
        counts = counts.view(256, self.levels) + self.alpha
        self.p = counts / counts.sum(dim=1, keepdim=True)
        return self

    def log_likelihood(self, images):
        """Return ln q(x) (N,) of each image, in nats."""
        return self.p.log()[self.context(images), images.long()].flatten(1).sum(dim=1)

    def sample(self, n, generator):
        """Return n new images."""
        return sample_in_order(self.p, n, self.shape, generator)


def sample_in_order(p, n, shape, generator):
    """Draw n images uint8 (n, 1, H, W), row by row, from p (256, K): one distribution a context."""
    images = torch.zeros(n, *shape, dtype=torch.uint8)
    _, H, W = shape
    for i, j in product(range(H), range(W)):
        square = images[..., max(i - 1, 0) : i + 1, max(j - 1, 0) : j + 1]
        context = contexts(square)[:, 0, -1, -1]  # (n,)
        draws = torch.multinomial(p[context], 1, generator=generator)  # (n, 1)
        images[:, 0, i, j] = draws[:, 0].to(torch.uint8)
    return images


def mixture_log_likelihood(log_a, log_b, share):
    """Return ln(share * a + (1 - share) * b) from log_a and log_b (N,); 0 < share < 1."""
    return torch.logaddexp(log_a + math.log(share), log_b + math.log(1 - share))


def copier_log_likelihood(apart, dims, eps):
    """Return ln q(x) (B,) from apart, float64 (B, N): in how many pixels x and copy k differ.

    A copy keeps each pixel with probability 1 - eps, else it has one of the 255 other values.
    """
    each = apart * math.log(eps / 255) + (dims - apart) * math.log(1 - eps)
    return each.logsumexp(dim=1) - math.log(apart.shape[1])


def three_neighbours(images):
    """Return contexts 36 * left + 6 * up + right, where `right` is the one above at the right.

    images: uint8 (N, 1, H, W) -> int64 (N, 1, H, W) in 0..215; outside of the picture is level 0.
    """
    coarse = torch.nn.functional.pad((images.long() + 50) // 51, (1, 1, 1, 0))
    return 36 * coarse[..., 1:, :-2] + 6 * coarse[..., :-1, 1:-1] + coarse[..., :-1, 2:]
