# Generated from notebooks/src/32_vae_likelihoods.py by `python3 -m course_lib build 32`.
# Edit the lesson, not this file.
"""Lesson 32, "Ask a VAE what it believes": what it builds, for later lessons to import."""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.distributions import Normal
from torch.nn import functional as F

from course_lib import cats, datasets
from course_lib.built import vae
from course_lib.built.stable_gans import conv3
from course_lib.settings import CourseError, profile


@dataclass
class Config:
    """The numbers of lesson 32; `profile` picks the value for the profile that you run in."""

    steps: int = profile(smoke=15, standard=1500, full=20000)
    batch_size: int = 128
    lr: float = 1.5e-3  # at the start; falls along half a cosine to 0
    average: float = 0.99  # how slowly the averaged weights follow
    measure_every: int = 100  # steps between two looks for nan
    seed: int = 0


def in_range(x):
    """Return x if all of it lies in 0..1; else CourseError with the two ends."""
    low, high = x.aminmax()
    if low >= 0 and high <= 1:
        return x
    raise CourseError(f"Pixels are 0..1 here; these reach from {low:.3g} to {high:.3g}.")


def gaussian_log_likelihood(mean, x, log_scale):
    """Return ln p(x | z) (B,) in nats, a density of x (B, C, H, W) in 0..1; log_scale: ln s."""
    far = (in_range(x) - mean) / log_scale.exp()
    each = -far.square() / 2 - log_scale - math.log(2 * math.pi) / 2
    return each.flatten(1).sum(dim=1)


def discretised_logistic_log_likelihood(mean, x, log_scale):
    """Return ln p(x | z) (B,) in nats, a probability of bytes / 255. Salimans (2017), 2.1."""
    half = 0.5 / 255
    below = F.logsigmoid((in_range(x) + half - mean) / log_scale.exp())
    above = F.logsigmoid(-(x - half - mean) / log_scale.exp())
    inner = below + above + torch.log(-torch.expm1(-2 * half / log_scale.exp()))
    each = torch.where(x < half, below, torch.where(x > 1 - half, above, inner))
    return each.flatten(1).sum(dim=1)


def log_weights(model, x, rng):
    """Return ln p(x, z) / q(z | x) (B,) in nats at one z drawn from q; x may be a pair (x, c)."""
    mu, logvar = model.encode(x)
    z = vae.reparameterise(mu, logvar, rng)
    ratio = Normal(0.0, 1.0).log_prob(z) - Normal(mu, torch.exp(logvar / 2)).log_prob(z)
    picture, *told = x if isinstance(x, tuple) else (x,)
    return model.log_likelihood(model.decode(z, *told), picture) + ratio.sum(dim=1)


@torch.no_grad()
def iwae_bound(model, x, k, rng):
    """Return the log of the mean of k >= 1 weights (B,), nats. Burda et al. (2016), eq. 8."""
    if k < 1:
        raise CourseError(f"An average needs at least one weight, not k = {k}.")
    log_w = torch.stack([log_weights(model, x, rng) for _ in range(k)])  # (k, B)
    return torch.logsumexp(log_w, dim=0) - math.log(k)


def beta_loss(beta, warm_up=0.0, free_bits=0.0):
    """Return a loss for train_vae; warm_up: a share of the training, free_bits: nats."""
    if beta < 0:
        raise CourseError(f"beta = {beta} would pay for a large KL; it must be 0 or more.")

    def loss(log_lik, kl, fraction):
        weight = beta * min(1.0, fraction / warm_up) if warm_up else beta
        return weight * kl.mean().clamp(min=free_bits) - log_lik.mean()

    return loss


def active_units(mu, threshold=0.01):
    """Return which codes speak: bool (D,), where mu (N, D) varies. Burda et al. (2016), 5.2."""
    return mu.var(dim=0) > threshold


class LearnedScale(nn.Module):
    """A likelihood (B,) of (the decoder's output, x); its scales, one a channel, are learnt."""

    def __init__(self, log_likelihood, channels=1, start=-2.0):
        super().__init__()
        self.log_likelihood = log_likelihood
        self.log_scale = nn.Parameter(torch.full((channels, 1, 1), start))

    def forward(self, mean, x):
        return self.log_likelihood(mean, x, self.log_scale.clamp(-7, 7))


class Block(nn.Module):
    """Add to h (B, width, H, W) what two convolutions make of it; the second starts at zero."""

    def __init__(self, width):
        super().__init__()
        self.first, self.second = conv3(width, width), conv3(width, width)
        nn.init.zeros_(self.second.weight)

    def forward(self, h):
        return h + self.second(F.silu(self.first(F.silu(h))))


class ConditionalEncoder(nn.Module):
    """Turn x (B, channels, size, size) and c (B, K) into mu, logvar of q(z | x, c), (B, latent)."""

    def __init__(self, latent, conditions=0, channels=1, size=28, width=64):
        super().__init__()
        side, layers = size // 4, [nn.PixelUnshuffle(4), conv3(16 * channels, width), Block(width)]
        if side > 8:
            layers += [nn.Conv2d(width, 2 * width, 4, stride=2, padding=1), Block(2 * width)]
            side, width = side // 2, 2 * width
        self.layers = nn.Sequential(*layers, nn.SiLU(), nn.Conv2d(width, 12, 1), nn.Flatten())
        self.out = nn.Linear(12 * side**2 + conditions, 2 * vae.latent_size(latent))

    def forward(self, x, c):
        h = self.layers(2 * x - 1)
        mu, logvar = self.out(torch.cat([h, c], dim=1)).float().chunk(2, dim=1)
        return mu, vae.bounded(logvar)


class ConditionalDecoder(nn.Module):
    """Turn codes z (B, latent) and c (B, K) into means (B, channels, size, size) of p(x | z, c)."""

    def __init__(self, latent, conditions=0, channels=1, size=28, width=64):
        super().__init__()
        self.latent, side, middle = vae.latent_size(latent), size // 4, []
        if side > 8:
            middle = [Block(2 * width), nn.SiLU(), conv3(2 * width, 4 * width), nn.PixelShuffle(2)]
            side = side // 2
        layers = [
            nn.Linear(latent + conditions, 16 * side**2),
            nn.Unflatten(1, (16, side, side)),
            conv3(16, 2 * width if middle else width),
            *middle,
            Block(width),
            nn.SiLU(),
        ]
        self.layers = nn.Sequential(*layers, conv3(width, 16 * channels), nn.PixelShuffle(4))

    def forward(self, z, c):
        return self.layers(torch.cat([z, c], dim=1)).float()


class ConditionalVAE(vae.VAE):
    """A VAE of p(x | c): a batch is a pair x (B, C, H, W) in 0..1 and c (B, K)."""

    def encode(self, pair):
        return self.encoder(*pair)

    def decode(self, z, c):
        return self.decoder(z, c)

    def elbo_terms(self, pair, rng):
        mu, logvar = self.encode(pair)
        mean = self.decode(vae.reparameterise(mu, logvar, rng), pair[1])
        return self.log_likelihood(mean, pair[0]), vae.kl_to_standard_normal(mu, logvar)

    @torch.no_grad()
    def sample(self, c, rng):
        """Return pictures (B, C, H, W) in 0..1 of c (B, K), at codes from the prior."""
        z = torch.randn(len(c), self.decoder.latent, generator=rng, device=c.device)
        return self.decode(z, c).clamp(0, 1)


@torch.no_grad()
def reconstruct(model, x, c):
    """Return the picture (B, C, H, W) in 0..1 that the code of x stands for, given c (B, K)."""
    mu, _ = model.encode((x, c))
    return model.decode(mu, c).clamp(0, 1)


def class_codes(labels, classes):
    """Return (N, K) float, a 1 at each label. CourseError: a label out of range."""
    if len(bad := labels[(labels < 0) | (labels >= classes)]):
        raise CourseError(f"Label {bad[0].item()} is none of 0..{classes - 1}.")
    return torch.eye(classes, device=labels.device)[labels]


def pair_batches(images, codes, batch_size, rng):
    """Yield pairs x (B, C, H, W) in 0..1, c (B, K). CourseError: a column that no picture has."""
    if len(empty := (codes.sum(dim=0) == 0).nonzero()):
        raise CourseError(f"No picture has condition {empty[0].item()}: the model cannot learn it.")
    for x, c in datasets.batches(images, codes, batch_size=batch_size, generator=rng):
        yield x.float() / 255, c


WISHES = ("fur", "pattern", "background", "pose", "head", "wear")


def cats_vae(latent=48):
    """Return a VAE of 64x64 cats given WISHES: discretised logistic, a scale for each channel."""
    k = sum(len(cats.CHOICES[name]) for name in WISHES)
    sizes = {"conditions": k, "channels": 3, "size": 64, "width": 32}
    nets = ConditionalEncoder(latent, **sizes), ConditionalDecoder(latent, **sizes)
    return ConditionalVAE(*nets, LearnedScale(discretised_logistic_log_likelihood, channels=3))


def implied_beta(kld_weight, dims, scale=1.0):
    """Return the beta of "error, averaged over dims numbers, + kld_weight KL"; scale: s."""
    return kld_weight * dims / (2 * scale**2)
