# Generated from notebooks/src/15_features.py by `python3 -m course_lib build 15`.
# Edit the lesson, not this file.
"""Lesson 15, "Look inside: features and judges": what it builds, for later lessons to import."""

from dataclasses import dataclass
from itertools import pairwise, product

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import damages, datasets, device, settings
from course_lib.settings import profile


@dataclass
class Config:
    """The numbers of lesson 15; `profile` picks the value for the profile that you run in."""

    images: int = profile(smoke=1000, standard=5000)  # in each of two sets that are compared
    repeats: int = profile(smoke=2, standard=20)  # random splits for each point of a curve
    seed: int = 0


def as_floats(x):
    """Return bytes 0..255 as floats in [0, 1]; floats stay as they are."""
    return datasets.to_float(x) if x.dtype == torch.uint8 else x.float()


def features_of(model, images, batch_size=500):
    """Return model.features of images (N, C, H, W): float64 (N, D) on the CPU, in eval mode.

    Bytes, or floats in [0, 1]; CourseError for floats outside and nan. The model keeps its mode.
    """
    was_training = model.training
    if images.is_floating_point() and not (images.min() >= 0 and images.max() <= 1):
        raise settings.CourseError("These floats leave [0, 1]: map them to it first.")
    model.eval()
    with torch.no_grad():
        seen = [model.features(as_floats(x)).cpu().double() for x in images.split(batch_size)]
    model.train(was_training)
    return torch.cat(seen)


def occlusion(ask, image, size=7, stride=2, fill=0.0):
    """Return how far ask(image) falls when the square around each place is covered: (H', W').

    ask: (B, C, H, W) -> (B,); image: (C, H, W); places: every stride-th row and column, so
    H' = ceil(H / stride), W' likewise; size: odd, cut off at the border. Zeiler and Fergus (2014).
    """
    C, H, W = image.shape
    places, half = list(product(range(0, H, stride), range(0, W, stride))), size // 2
    covered = image.repeat(len(places), 1, 1, 1)
    for x, (i, j) in zip(covered, places, strict=True):
        x[:, max(0, i - half) : i + half + 1, max(0, j - half) : j + half + 1] = fill
    drop = ask(image[None]) - ask(covered)
    return drop.view(len(range(0, H, stride)), -1)


def covariance(x):
    """Return the unbiased covariance (D, D) of the rows of x (N, D)."""
    centred = x - x.mean(dim=0)
    return centred.T @ centred / (len(x) - 1)


def pca(x, dims=2):
    """Return mean (D,), directions (dims, D) and variances (dims,) of x (N, D), largest first.

    The directions are unit vectors at right angles. Pearson (1901).
    """
    values, vectors = torch.linalg.eigh(covariance(x))  # rising
    return x.mean(dim=0), vectors.flip(1)[:, :dims].T, values.flip(0)[:dims]


def square_root(S):
    """Return the symmetric R (D, D) with R R = S; S: symmetric, no negative eigenvalue, float64."""
    values, vectors = torch.linalg.eigh(S)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def frechet_distance(a, b):
    """Return the squared Fréchet distance of the Gaussians fitted to features a (N, D), b (M, D).

    float64 in, a float out. Dowson and Landau (1982); Heusel et al. (2017), equation 6.
    """
    gap = (a.mean(dim=0) - b.mean(dim=0)).square().sum()
    S, T = covariance(a), covariance(b)
    root = square_root(S)
    overlap = torch.linalg.eigvalsh(root @ T @ root).clamp(min=0).sqrt().sum()
    return (gap + S.trace() + T.trace() - 2 * overlap).item()


def climb(score, x, steps=100, length=0.5):
    """Change images x (B, C, H, W) in [0, 1] so that score rises; return the new ones, detached.

    score: (B, C, H, W) -> (B,). Each image takes steps along its own gradient, `length` long (L2
    norm over its pixels), each clamped to [0, 1]. x itself stays as it is.
    """
    for _ in range(steps):
        x = x.detach().requires_grad_()
        (grad,) = torch.autograd.grad(score(x).sum(), x)
        norm = grad.flatten(1).norm(dim=1).clamp(min=1e-12)[:, None, None, None]
        x = (x + length * grad / norm).clamp(0, 1).detach()
    return x


class RandomFilters(nn.Module):
    """The control: random zero-mean 7x7 filters that nobody trained, the same every time."""

    def __init__(self, channels=3, filters=8, scales=(1, 2, 4)):
        super().__init__()
        kernels = torch.randn(filters, channels, 7, 7, generator=device.generator(0))
        self.scales = scales
        self.register_buffer("kernels", kernels - kernels.mean(dim=(1, 2, 3), keepdim=True))

    def features(self, x):
        """Return (B, 2 filters scales): of each, the mean of |y| and the deviation of y."""
        seen = [F.conv2d(F.avg_pool2d(x, scale), self.kernels) for scale in self.scales]
        return torch.cat(
            [y.abs().mean(dim=(2, 3)) for y in seen] + [y.std(dim=(2, 3)) for y in seen], dim=1
        )


class PhotoNet(nn.Module):
    """Tell how photographs (B, 3, H, W) of any size were damaged: logits (B, 8)."""

    def __init__(self, widths=(24, 48, 48, 48)):
        super().__init__()
        layers = []
        for channels, wide in pairwise((3, *widths)):
            conv = nn.Conv2d(channels, wide, 3, stride=2, padding=1, bias=False)
            layers += [conv, nn.BatchNorm2d(wide), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.linear = nn.Linear(widths[-1], len(damages.KINDS))

    def features(self, x):
        """Return the mean of the last layer over all positions: (B, 48)."""
        return self.layers(x).mean(dim=(2, 3))

    def forward(self, x):
        return self.linear(self.features(x))


def extrapolate(sizes, distances):
    """Return d at n = infinity, a float, of the line d = d_inf + c / n, fitted by least squares.

    sizes: K >= 2 numbers n; distances: K numbers. After Chong and Forsyth (2020).
    """
    x = 1 / torch.as_tensor(sizes, dtype=torch.float64)
    rows = torch.stack([torch.ones_like(x), x], dim=1)
    d = torch.as_tensor(distances, dtype=torch.float64)
    return torch.linalg.lstsq(rows, d[:, None]).solution[0].item()
