# Generated from notebooks/src/24_stable_gans.py by `python3 -m course_lib build 24`.
# Edit the lesson, not this file.
"""Lesson 24, "Keep a GAN from falling apart": what it builds, for later lessons to import."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from course_lib import device
from course_lib.built import dcgan, gan, objectives
from course_lib.settings import profile


@dataclass
class Config:
    """The numbers of lesson 24; `profile` picks the value for the profile that you run in."""

    steps: int = profile(smoke=12, standard=2000, full=30000)  # of both optimisers
    batch_size: int = 64
    lr_gen: float = 2e-3
    lr_disc: float = 2e-3
    betas: tuple = (0.5, 0.99)  # Adam's
    average: float = 0.997  # how slowly the averaged generator follows
    measure_every: int = 50  # steps
    seed: int = 0


def velocity(state, disc_loss, gen_loss, penalty=lambda psi: 0 * psi, noise=0.0):
    """Return how (theta, psi), state (2,), moves in the Dirac-GAN, with a graph. Data: noise."""
    theta, psi = state if state.requires_grad else state.clone().requires_grad_()
    real, fake = psi * noise, psi * (theta + noise)
    loss_disc = disc_loss(real, fake) + penalty(psi)
    (down_psi,) = torch.autograd.grad(loss_disc, psi, create_graph=True)
    (down_theta,) = torch.autograd.grad(gen_loss(fake), theta, create_graph=True)
    return -torch.stack([down_theta, down_psi])


def r1_penalty(disc, x, fake, rng, strength=0.2):
    """Return strength / 2 times the mean squared slope of D at real x. Mescheder (2018), eq. 9."""
    x = x.detach().requires_grad_()
    (slope,) = torch.autograd.grad(disc(x).sum(), x, create_graph=True)
    return strength / 2 * slope.flatten(1).square().sum(dim=1).mean()


def hinge_disc_loss(logits_real, logits_fake):
    """Return the mean of max(0, 1 - real) plus that of max(0, 1 + fake), over B; sum over R."""
    real, fake = F.relu(1 - logits_real), F.relu(1 + logits_fake)
    return (real.mean(dim=-1) + fake.mean(dim=-1)).sum()


class SpectralNorm(nn.Module):
    """Divide a weight (out, ...) by the largest singular value of its matrix (out, rest).

    Miyato et al. (2018), algorithm 1. u (out,) is a buffer; one iteration a call in training.
    """

    def __init__(self, weight):
        super().__init__()
        self.register_buffer("u", F.normalize(torch.randn_like(weight.flatten(1)[:, 0]), dim=0))

    def forward(self, weight):
        matrix = weight.flatten(1)
        with torch.no_grad():
            v = F.normalize(matrix.T.mv(self.u), dim=0)
            if self.training:
                self.u = F.normalize(matrix.mv(v), dim=0)
        sigma = self.u.dot(matrix.mv(v))
        return weight / sigma


def spectrally_normalised(net):
    """Put SpectralNorm on the weight of every convolution and linear layer; return net."""
    for layer in list(net.modules()):
        if isinstance(layer, nn.Conv2d | nn.Linear):
            parametrize.register_parametrization(layer, "weight", SpectralNorm(layer.weight))
    return net


HINGE = objectives.Objective(hinge_disc_loss, objectives.wgan_gen_loss)
R1 = objectives.Objective(gan.disc_loss, gan.gen_loss, penalty=r1_penalty, penalty_every=8)


@torch.no_grad()
def conv_norm(weight, side, stride=1, padding=1, iterations=200):
    """Return the largest singular value of a convolution, as a map of pictures side x side."""
    x = torch.ones(1, weight.shape[1], side, side).to(weight)
    x = x + 0.1 * torch.randn(x.shape, generator=device.generator(0)).to(weight)
    for _ in range(iterations):
        y = F.conv2d(x / x.norm(), weight, stride=stride, padding=padding)
        x = F.conv_transpose2d(y, weight, stride=stride, padding=padding)
    return y.norm().item()


def expected_modes(p, n):
    """Return how many modes of probabilities p (K,) n independent samples show on average."""
    return (1 - (1 - p.double()) ** n).sum().item()


def stacked_batches(images, batch_size, rng):
    """Yield batches (B, 3, 28, 28) in -1..1: in each colour channel another digit."""
    for x in dcgan.signed_batches(images, 3 * batch_size, rng):
        yield x.view(batch_size, 3, 28, 28)


def modes_of(samples, judge):
    """Return the number 0..999 that the judge reads in each of samples uint8 (N, 3, 28, 28)."""
    digits = judge.classify(samples.flatten(0, 1)[:, None]).argmax(dim=1).view(-1, 3)
    return digits @ torch.tensor([100, 10, 1])


conv3 = partial(nn.Conv2d, kernel_size=3, padding=1)


class ShuffleGenerator(dcgan.Generator):
    """Grow noise z (B, latent) into pictures (B, 1, 28, 28) in -1..1 by convolutions at 7x7."""

    def __init__(self, latent=64, width=64):
        super().__init__(latent)
        layers = [nn.Linear(latent, 49 * width, bias=False), nn.Unflatten(1, (width, 7, 7))]
        for _ in range(2):
            layers += [nn.BatchNorm2d(width), nn.ReLU(), conv3(width, width, bias=False)]
        layers += [nn.BatchNorm2d(width), nn.ReLU(), conv3(width, 16), nn.PixelShuffle(4)]
        self.layers = nn.Sequential(*layers)


class ShuffleDiscriminator(dcgan.Discriminator):
    """Judge pictures x (B, 1, 28, 28) in -1..1 by convolutions at 7x7: logits (B,); no norm."""

    def __init__(self, width=64):
        super().__init__()
        hidden = [conv3(16, width), nn.LeakyReLU(0.2), conv3(width, width), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(4), *hidden, nn.Flatten(), nn.Linear(49 * width, 1)
        )


SIGNS = ("D(x)", "D(G(z))", "diversity")


def diagnose(history):
    """Name the illness of a training from the second half of its vital signs, or "no sign".

    history: name -> (steps, values), as train_gan and train_objective return it.
    """
    halves = [torch.tensor(history[name][1])[len(history[name][1]) // 2 :] for name in SIGNS]
    real, fake, diversity = halves
    gap, both = real - fake, torch.cat([real, fake])
    if not torch.cat(halves).isfinite().all():
        return "no number"
    if both.min() >= 0.4999 and both.max() <= 0.732:
        return "two sigmoids"
    if gap.mean() > 0.9:
        return "D has won"
    if gap.mean() < -0.05:
        return "D is fooled"
    if diversity.mean() < 0.2:
        return "collapse"
    return "swings" if gap.std() > 0.15 else "no sign"


def truncated_noise(n, latent, limit, rng):
    """Draw z (n, latent) from N(0, 1), each number anew until it lies in -limit..limit."""
    z = torch.randn(n, latent, generator=rng, device=rng.device)
    while (out := z.abs() > limit).any():
        z[out] = torch.randn(int(out.sum()), generator=rng, device=rng.device)
    return z
