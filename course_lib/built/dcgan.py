# Generated from notebooks/src/21_dcgan.py by `python3 -m course_lib build 21`.
# Edit the lesson, not this file.
"""Lesson 21, "Grow digits with a DCGAN": what it builds, for later lessons to import."""

from dataclasses import dataclass

import torch
from torch import nn

from course_lib import device
from course_lib.built.gan import picture_batches, to_pixels, train_gan
from course_lib.settings import CourseError, profile


@dataclass
class Config:
    """The numbers of lesson 21; `profile` picks the value for the profile that you run in."""

    steps: int = profile(smoke=20, standard=3000, full=30000)  # of both optimisers
    batch_size: int = 32
    width: int = 32  # channels next to the picture; twice as many inside
    lr_gen: float = 2e-3
    lr_disc: float = 2e-3
    betas: tuple = (0.5, 0.99)  # Adam's
    average: float = 0.998  # how slowly the averaged generator follows
    measure_every: int = 25  # steps
    seed: int = 0


def signed_batches(images, batch_size, rng):
    """Yield endless shuffled batches (B, C, H, W) in -1..1 of images uint8 (N, C, H, W)."""
    for x in picture_batches(images, batch_size, rng):  # in 0..1
        yield 2 * x - 1


def signed_to_pixels(x):
    """Map floats in -1..1 to the nearest byte, uint8 in 0..255; what lies outside is clamped."""
    return to_pixels((x + 1) / 2)


def require_company(net, x):
    """Raise CourseError if x is a single sample and net normalises by batch."""
    if net.training and len(x) == 1 and any(isinstance(m, nn.BatchNorm2d) for m in net.modules()):
        raise CourseError(
            "In training mode a batch of one is normalised by its own places alone: "
            "call .eval() on the network first, or give it at least two samples."
        )


def smallest_side(size):
    """Return size / 4, where the generator starts. CourseError unless size is a multiple of 4."""
    if size < 4 or size % 4:
        fits = max(4, size - size % 4)
        raise CourseError(
            f"Two doublings cannot make {size}x{size} pixels; they make multiples "
            f"of 4, as {fits}x{fits} or {fits + 4}x{fits + 4}."
        )
    return size // 4


class Generator(nn.Module):
    """Grow noise z (B, latent) into pictures (B, 1, size, size) in -1..1 (paper: section 3)."""

    def __init__(self, latent=64, width=32, size=28):
        super().__init__()
        self.latent, side = latent, smallest_side(size)
        self.layers = nn.Sequential(
            nn.Linear(latent, 2 * width * side**2, bias=False),
            nn.Unflatten(1, (2 * width, side, side)),  # (B, 2 width, 7, 7)
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width),  # (B, width, 14, 14)
            nn.ReLU(),
            nn.ConvTranspose2d(width, 1, 4, stride=2, padding=1),
        )

    def noise(self, n, rng):
        """Draw z (n, latent) from N(0, 1)."""
        return torch.randn(n, self.latent, generator=rng, device=rng.device)

    def forward(self, z):
        require_company(self, z)
        return torch.tanh(self.layers(z).float())


class Discriminator(nn.Module):
    """Judge pictures x (B, 1, size, size) in -1..1: logits (B,), positive for real."""

    def __init__(self, width=32, norm=True, size=28):
        super().__init__()
        self.size, side = size, smallest_side(size)
        self.layers = nn.Sequential(
            nn.Conv2d(1, width, 4, stride=2, padding=1),  # (B, width, 14, 14)
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1, bias=not norm),
            nn.BatchNorm2d(2 * width) if norm else nn.Identity(),  # (B, 2 width, 7, 7)
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            nn.Linear(2 * width * side**2, 1),
        )

    def forward(self, x):
        require_company(self, x)
        if x.shape[1:] != (1, self.size, self.size):
            raise CourseError(
                f"This discriminator reads {[1, self.size, self.size]} pictures, not "
                f"{[*x.shape[1:]]}: build it with size=..., or resize the pictures."
            )
        return self.layers(x).float()[:, 0]


def initialise(net, std=0.02):
    """Draw the weights of every convolution and linear layer of net from N(0, std); return net."""
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(layer.weight, 0, std)
    return net


def train(cfg, gen, disc, data, rng, **options):
    """Call train_gan in the convolutions' layout, and in bfloat16 where that is faster here."""
    for net in (gen, disc):
        net.to(memory_format=torch.channels_last)
    with device.fast_autocast(rng.device):
        return train_gan(cfg, gen, disc, data, rng, **options)


@torch.no_grad()
def recalibrate(net, rng, batches=100, batch_size=64):
    """Set every norm's statistics to the mean over batches of net's own samples; eval mode."""
    norms = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch: a plain mean instead of a running one
    net.train()
    for _ in range(batches):
        net(net.noise(batch_size, rng))
    return net.eval()


def slerp(a, b, t):
    """Return the point at share t of the arc from a to b (..., L), of the line if there is none."""
    angle = torch.cosine_similarity(a, b, dim=-1).clamp(-1, 1).acos()[..., None]
    arc = torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b
    return torch.where(angle.sin() < 1e-3, (1 - t) * a + t * b, arc / angle.sin())


def to_maps(h, height, width):
    """Arrange h (B, C height width) as maps (B, C, height, width), in torch's order."""
    return h.view(len(h), -1, height, width)
