# Generated from notebooks/src/30_autoencoder.py by `python3 -m course_lib build 30`.
# Edit the lesson, not this file.
"""Lesson 30, "Describe a picture in a few numbers": what it builds, for later lessons to import."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import training
from course_lib.built.cnn import one_cycle
from course_lib.built.gan import or_stop, picture_batches
from course_lib.settings import CourseError, profile


@dataclass
class Config:
    """The numbers of lesson 30; `profile` picks the value for the profile that you run in."""

    width: int = 32  # channels; half way there are twice as many
    steps: int = profile(smoke=12, standard=500, full=5000)  # optimiser steps of one training
    batch_size: int = 128
    lr: float = 5e-3  # the highest of the cycle
    measure_every: int = 25  # steps
    seed: int = 0


float_batches = picture_batches  # images uint8, batch_size, rng -> endless x in 0..1


def squared_error(x_hat, x):
    """Return the squared error of each picture (B,), summed over its pixels; both (B, ...)."""
    return (x_hat - x).square().flatten(1).sum(dim=1)


def require_rank(sigma, shape, k):
    """Raise CourseError unless pictures (B, P) of these singular values span k directions."""
    rank = int((sigma > sigma[0] * max(shape) * torch.finfo(sigma.dtype).eps).sum())
    if not 1 <= k <= rank:
        raise CourseError(
            f"These {shape[0]} pictures span {rank} directions around their mean: "
            f"k must be 1 to {rank}, not {k}; take more pictures or a smaller k."
        )


def pca(x, k):
    """Return mean (P,), components (k, P), orthonormal, and variances (k,), largest first.

    x: floats (B, P). CourseError if k is not in 1..rank. Pearson (1901); Eckart and Young (1936).
    """
    mean = x.mean(dim=0)
    _, sigma, rows = torch.linalg.svd(x - mean, full_matrices=False)
    require_rank(sigma, x.shape, k)
    return mean, rows[:k], sigma[:k].square() / (len(x) - 1)


def flat(x, mean, components):
    """Return the foot of the perpendicular from each x (B, ...) to PCA's space, shaped as x."""
    z = (x.flatten(1) - mean) @ components.T
    return (mean + z @ components).view_as(x)


def require_pictures(x):
    """Raise CourseError unless all of x lies in 0..1."""
    low, high = (value.item() for value in x.aminmax())
    if not (low >= 0 and high <= 1):  # also for nan
        raise CourseError(
            f"Pictures must lie in 0..1; these reach from {low:.3g} to {high:.3g}: "
            "divide bytes by 255, do not shift to -1..1, look for nan."
        )


def pixel_loss(logits, x):
    """Return ln(1 + e^logits) - x logits in nats: the sum of a picture, the mean of the batch."""
    return F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)


def train_autoencoder(
    cfg,
    encoder,
    decoder,
    batches,
    rng,
    *,
    loss=pixel_loss,
    corrupt=None,
    should_stop=training.never_stop,
    view=None,
    label="training",
):
    """Train both on endless batches x in 0..1; return the history; they end in eval mode.

    corrupt(x, rng): what the encoder sees. CourseError for x outside 0..1, and at nan.
    """
    weights = [*encoder.parameters(), *decoder.parameters()]
    optimiser = torch.optim.Adam(weights, lr=cfg.lr, betas=(0.9, 0.99))
    good, nets = None, (encoder.train(), decoder.train())
    with training.progress(cfg.steps, should_stop, view, label=label) as run:
        for step, x in zip(run, batches, strict=False):
            require_pictures(x)
            optimiser.param_groups[0]["lr"] = cfg.lr * one_cycle(run.fraction)
            seen = x if corrupt is None else corrupt(x, rng)
            loss_rec = loss(decoder(encoder(seen)), x)
            optimiser.zero_grad()
            loss_rec.backward()
            optimiser.step()
            run.log(loss=loss_rec)
            if step % cfg.measure_every == 0:
                size = sum(w.detach().norm() for w in weights)
                good = or_stop(nets, good, loss=loss_rec.item(), weights=size.item())
    for net in nets:
        net.eval()
    return run.history


def principal_angles(a, b):
    """Return the k angles in degrees, rising, between the spaces of the rows of a, b (k, P).

    The rows are independent, in any lengths and at any angles. Björck and Golub (1973).
    """
    q_a, q_b = torch.linalg.qr(a.T).Q, torch.linalg.qr(b.T).Q  # (P, k)
    return torch.rad2deg(torch.linalg.svdvals(q_a.T @ q_b).clamp(max=1).acos())


def plan(latent, size):
    """Return (side, r): the networks work at side x side, size = side * r. CourseError if not."""
    side = 8 if size % 8 == 0 else 7
    if latent < 1:
        raise CourseError(f"A code needs at least one number, not {latent}.")
    if size < side or size % side:
        raise CourseError(f"Sizes are multiples of 7 or 8, such as 28, 32 or 64; {size} is none.")
    return side, size // side


def conv_block(inputs, outputs):
    """Return the layers of (B, inputs, H, W) -> (B, outputs, H, W): 3x3, batch norm, leaky ReLU."""
    return (
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(0.2),
    )


class Encoder(nn.Module):
    """Turn pictures x (B, channels, size, size) in 0..1 into codes (B, latent), any numbers."""

    def __init__(self, latent, width=32, channels=1, size=28):
        super().__init__()
        side, r = plan(latent, size)
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(r),
            *conv_block(channels * r**2, 2 * width),
            *conv_block(2 * width, width),
            nn.Flatten(),
            nn.Linear(width * side**2, latent),
        )

    def forward(self, x):
        return self.layers(x).float()


class Decoder(nn.Module):
    """Turn codes z (B, latent) into logits (B, channels, size, size) of pictures."""

    def __init__(self, latent, width=32, channels=1, size=28):
        super().__init__()
        side, r = plan(latent, size)
        last = nn.Conv2d(2 * width, channels * r**2, 3, padding=1), nn.PixelShuffle(r)
        self.layers = nn.Sequential(
            nn.Linear(latent, width * side**2),
            nn.Unflatten(1, (width, side, side)),
            nn.BatchNorm2d(width),
            nn.LeakyReLU(0.2),
            *conv_block(width, 2 * width),
            *last,
        )

    def forward(self, z):
        return self.layers(z).float()


def random_codes(codes, n, rng):
    """Draw (n, k) from the Gaussian with mean and covariance of codes (N, k), k >= 2, N > k."""
    if not 2 <= codes.shape[1] < len(codes):
        raise CourseError(f"Codes {[*codes.shape]}: k must be 2 or more, and N larger than k.")
    root = torch.linalg.cholesky(torch.cov(codes.T))
    noise = torch.randn(n, codes.shape[1], generator=rng, device=codes.device)
    return codes.mean(dim=0) + noise @ root.T


def add_noise(x, rng, amount=0.5):
    """Return x (B, C, H, W) plus normal noise with that deviation, clamped to 0..1."""
    return (x + amount * torch.randn(x.shape, generator=rng, device=rng.device)).clamp(0, 1)


def auc(normal, odd):
    """Return how likely an odd score (N,) is above a normal one (M,), ties counting half: 0..1."""
    wins, ties = odd[:, None] > normal, odd[:, None] == normal
    return (wins.double().mean() + ties.double().mean() / 2).item()
