# Generated from notebooks/src/31_vae.py by `python3 -m course_lib build 31`.
# Edit the lesson, not this file.
"""Lesson 31, "Give every picture a cloud of codes": what it builds, for later lessons to import."""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import datasets, training
from course_lib.built import gan
from course_lib.settings import CourseError, profile


@dataclass
class Config:
    """The numbers of lesson 31; `profile` picks the value for the profile that you run in."""

    steps: int = profile(smoke=30, standard=6000, full=40000)
    batch_size: int = 128
    lr: float = 2e-3  # at the start; falls along half a cosine to 0
    latent: int = 10  # numbers in a code
    hidden: int = 400  # width of both networks
    blocks: int = 2  # residual blocks in each
    average: float = 0.999  # how slowly the averaged weights follow
    measure_every: int = 100  # steps between two looks for nan
    seed: int = 0


def binarise(images, rng):
    """Return x (N, C, H, W) in {0, 1} of images uint8: ink with the chance value / 255."""
    if images.dtype != torch.uint8:
        raise CourseError(f"binarise reads uint8 in 0..255, not {images.dtype}.")
    return torch.bernoulli(images.float() / 255, generator=rng)


def binary_batches(images, batch_size, rng):
    """Yield endless shuffled batches x (B, C, H, W) in {0, 1} of images uint8, drawn anew."""
    for (x,) in datasets.batches(images, batch_size=batch_size, generator=rng):
        yield binarise(x, rng)


class ResidualBlock(nn.Module):
    """Add to h (B, hidden) what two layers make of it; the second's weights start at zero."""

    def __init__(self, hidden):
        super().__init__()
        self.first, self.second = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)
        nn.init.zeros_(self.second.weight)

    def forward(self, h):
        return h + self.second(F.silu(self.first(F.silu(h))))


def residual_mlp(inputs, hidden, blocks, outputs):
    """Return layers inputs -> hidden, residual blocks, -> outputs."""
    middle = [ResidualBlock(hidden) for _ in range(blocks)]
    return nn.Sequential(nn.Linear(inputs, hidden), *middle, nn.SiLU(), nn.Linear(hidden, outputs))


def bounded(logvar, limit=10.0):
    """Squeeze logvar smoothly into -limit..limit, so that its exponential stays a number."""
    return limit * torch.tanh(logvar / limit)


def latent_size(latent):
    """Return the number of latents; CourseError if there are none."""
    if latent < 1:
        raise CourseError(f"A code needs at least one number: latent >= 1, not {latent}.")
    return latent


class Encoder(nn.Module):
    """Turn pictures x (B, 1, 28, 28) into mu and logvar of q(z | x), each (B, latent)."""

    def __init__(self, latent, hidden=400, blocks=2):
        super().__init__()
        self.latent = latent_size(latent)
        self.layers = residual_mlp(784, hidden, blocks, 2 * latent)

    def forward(self, x):
        mu, logvar = self.layers(2 * x.flatten(1) - 1).float().chunk(2, dim=1)
        return mu, bounded(logvar)


class Decoder(nn.Module):
    """Turn codes z (B, latent) into the logits (B, 1, 28, 28) of p(x | z)."""

    def __init__(self, latent, hidden=400, blocks=2):
        super().__init__()
        self.latent, self.layers = latent, residual_mlp(latent_size(latent), hidden, blocks, 784)

    def forward(self, z):
        return self.layers(z).float().view(-1, 1, 28, 28)


def kl_to_standard_normal(mu, logvar):
    """Return KL(N(mu, exp(logvar)) || N(0, 1)) (B,) in nats, summed over the D latents."""
    return 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum(dim=1)


def reparameterise(mu, logvar, rng):
    """Draw z (B, D) from N(mu, exp(logvar)) so that gradients reach both (paper: section 2.4)."""
    eps = torch.randn(mu.shape, generator=rng, device=mu.device, dtype=mu.dtype)
    return mu + torch.exp(logvar / 2) * eps


def bernoulli_log_likelihood(logits, x):
    """Return log p(x | z) (B,) in nats, summed over the pixels; logits and x (B, ...).

    CourseError if x leaves 0..1 or holds nan.
    """
    low, high = x.aminmax()
    if not (low >= 0 and high <= 1):
        raise CourseError(f"A Bernoulli likelihood needs x in 0..1, not {low:.3g} to {high:.3g}.")
    cost = F.binary_cross_entropy_with_logits(logits, x, reduction="none")
    return -cost.flatten(1).sum(dim=1)


class VAE(nn.Module):
    """An encoder, a decoder, and log_likelihood(the decoder's output, x) -> (B,) nats."""

    def __init__(self, encoder, decoder, log_likelihood=bernoulli_log_likelihood):
        super().__init__()
        self.encoder, self.decoder, self.log_likelihood = encoder, decoder, log_likelihood

    def encode(self, x):
        """Return mu and logvar (B, D) of q(z | x)."""
        return self.encoder(x)

    def decode(self, z):
        """Return the logits of p(x | z)."""
        return self.decoder(z)

    def elbo_terms(self, x, rng):
        """Return log p(x | z) at one z drawn from q(z | x), and the KL, both (B,) in nats."""
        mu, logvar = self.encode(x)
        z = reparameterise(mu, logvar, rng)
        return self.log_likelihood(self.decode(z), x), kl_to_standard_normal(mu, logvar)

    @torch.no_grad()
    def sample(self, n, rng):
        """Return the means of p(x | z) in 0..1, (n, C, H, W), at n codes from the prior."""
        z = torch.randn(n, self.decoder.latent, generator=rng, device=rng.device)
        return self.decode(z).sigmoid()


def elbo_loss(log_lik, kl, fraction):
    """Return minus the ELBO in nats, the mean over the batch; fraction of the training: unused."""
    return (kl - log_lik).mean()


def train_vae(
    cfg,
    vae,
    batches,
    rng,
    *,
    loss=elbo_loss,
    averaged=None,
    should_stop=training.never_stop,
    view=None,
    label="training",
):
    """Train vae on batches of x; return the history of loss, log_lik, kl. Paper: algorithm 1.

    loss(log_lik, kl, fraction done); averaged: a copy that follows vae. CourseError at nan.
    """
    optimiser = torch.optim.Adam(vae.parameters(), lr=cfg.lr, fused=True)
    good, nets = None, [net for net in (vae, averaged) if net is not None]
    with training.progress(cfg.steps, should_stop, view, label=label) as run:
        for step, x in zip(run, batches, strict=False):
            optimiser.param_groups[0]["lr"] = cfg.lr * (1 + math.cos(math.pi * run.fraction)) / 2
            log_lik, kl = vae.elbo_terms(x, rng)
            objective = loss(log_lik, kl, run.fraction)
            if step % cfg.measure_every == 0 or not objective.isfinite():
                good = gan.or_stop(nets, good, loss=objective.item())
            optimiser.zero_grad()
            objective.backward()
            optimiser.step()
            if averaged is not None:
                gan.follow(averaged, vae, min(cfg.average, step / (step + 10)))
            run.log(loss=objective, log_lik=log_lik.mean(), kl=kl.mean())
    return run.history


def beta_and_scale(loss):
    """Return beta, the slope of loss in kl over that in -log_lik, and scale, the latter slope."""
    terms = [torch.ones(8).double().requires_grad_() for _ in range(2)]
    in_log_lik, in_kl = (slope.sum() for slope in torch.autograd.grad(loss(*terms, 0.0), terms))
    return -(in_kl / in_log_lik).item(), -in_log_lik.item()


@torch.no_grad()
def measure_elbo(vae, x, rng, batch_size=500):
    """Return log_lik and kl (N,) of x in nats, one draw of z each, float64 on the CPU."""
    terms = [vae.elbo_terms(part, rng) for part in x.split(batch_size)]
    return tuple(torch.cat(parts).double().cpu() for parts in zip(*terms, strict=True))
