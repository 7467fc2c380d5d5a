# Generated from notebooks/src/54_super_resolution.py by `python3 -m course_lib build 54`.
# Edit the lesson, not this file.
"""Lesson 54, "Enlarge a photograph": what it builds, for later lessons to import."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import images
from course_lib.built import damage, denoising
from course_lib.built.stable_gans import conv3
from course_lib.settings import profile


@dataclass
class Config(denoising.Config):
    """The numbers of lesson 54, those of lesson 51 but for:"""

    steps: int = profile(smoke=3, standard=250, full=10000)
    side: int = 72  # pixels of a large training patch, a multiple of 2 and 3
    lr: float = 3e-3  # the highest


def cubic(t, a=-0.5):
    """Return the cubic kernel at distances t (any shape). Keys (1981), equation 15 for a = -1/2."""
    t = t.abs()
    near = (a + 2) * t**3 - (a + 3) * t**2 + 1
    far = a * (t - 1) * (t - 2) ** 2
    return torch.where(t <= 1, near, torch.where(t < 2, far, 0))


def resize_matrix(n, m, kernel=cubic, antialias=True):
    """Return R (m, n), float64, to resize n pixels to m; shrinking stretches the kernel by n/m."""
    centre = (torch.arange(m).double() + 0.5) * n / m - 0.5
    stretch = max(n / m, 1) if antialias else 1
    weights = kernel((centre[:, None] - torch.arange(n)) / stretch)
    return weights / weights.sum(dim=1, keepdim=True)


def require(x, least=1, **whole):
    """Refuse what is no picture near [0, 1], sides below least, and knobs not whole or below 1."""
    damage.require_pictures(x)
    damage.refuse(x.abs().max() > 8, "Pictures are in 0 to 1: divide bytes by 255 first.")
    wrong = {name: n for name, n in whole.items() if not isinstance(n, int) or n < 1}
    damage.refuse(wrong, f"Whole numbers from 1 on are wanted, not {wrong}.")
    damage.refuse(min(x.shape[2:]) < least, f"{[*x.shape]} is too small to shrink by {least}.")


def resize(x, height, width, kernel=cubic, antialias=True):
    """Return x (B, C, H, W) resized to (B, C, height, width); a cubic may leave x's range."""
    require(x, height=height, width=width)
    (H, W), options = x.shape[2:], (kernel, antialias)
    rows, columns = resize_matrix(H, height, *options), resize_matrix(W, width, *options)
    return rows.to(x) @ x @ columns.to(x).T


def enlarged(y, factor, kernel=cubic):
    """Return y (B, C, H, W) by interpolation as (B, C, factor H, factor W)."""
    require(y, factor=factor)
    return resize(y, factor * y.shape[2], factor * y.shape[3], kernel)


def shrunk(x, factor, kernel=cubic):
    """Return x (B, C, H, W) as (B, C, H / factor, W / factor); CourseError for other multiples."""
    require(x, factor, factor=factor)
    damage.refuse(any(n % factor for n in x.shape[2:]), f"Crop to multiples of {factor} first.")
    return resize(x, x.shape[2] // factor, x.shape[3] // factor, kernel)


def luma_psnr(x, x_hat, border=4):
    """Return the PSNR (B,) in dB of x_hat (B, C, H, W), clamped, in grey, without a border."""
    damage.require_pictures(x, x_hat)
    H, W = x.shape[2:]
    damage.refuse(not 0 <= 2 * border < min(H, W), f"{H} x {W} is too small for border {border}.")
    luma = torch.tensor(images.LUMA if x.shape[1] == 3 else [1.0]).to(x)[:, None, None]
    pair = ((luma * z).sum(dim=1, keepdim=True) for z in (x, x_hat.clamp(0, 1)))
    inner = (z[..., border : H - border, border : W - border] for z in pair)
    return damage.psnr(*inner, data_range=1)


class Chain(nn.Module):
    """Find detail (N, factor², H, W) in small pictures (N, 1, H, W): residual blocks in a row."""

    def __init__(self, factor=2, width=32, blocks=8):
        super().__init__()
        self.reach = 2 + 2 * blocks  # small pixels that it looks to each side
        self.first = conv3(1, width)
        self.blocks = nn.Sequential(*(denoising.Block(width) for _ in range(blocks)))
        self.last = conv3(width, factor**2)

    def forward(self, y):
        h = self.first(y)
        return self.last(h + self.blocks(h))


class Enlarger(nn.Module):
    """Enlarge y (B, C, H, W): the cubic, plus what body (N, 1, H, W) -> (N, r², H, W) finds."""

    def __init__(self, body, factor=2):
        super().__init__()
        self.body, self.factor = body, factor
        for parameter in [*body.parameters()][-2:]:  # weight and bias of the last layer
            damage.refuse(len(parameter) != factor**2, f"A body of {factor**2} channels, please.")
            nn.init.zeros_(parameter)

    def forward(self, y):
        smooth = enlarged(y, self.factor)
        damage.refuse(y.dtype != torch.float32, f"The net reads float32, not {y.dtype}.")
        B, C, H, W = y.shape
        detail = F.pixel_shuffle(self.body(y.reshape(B * C, 1, H, W)).float(), self.factor)
        return smooth + detail.reshape(smooth.shape)


def enlargers():
    """Return the two shipped nets without their weights: "x2" and "x3" -> Enlarger."""
    return nn.ModuleDict({f"x{r}": Enlarger(Chain(r), r) for r in (2, 3)})


def icnr(weight, factor):
    """Return weight (C factor², in, k, k) with each group of factor² filters equal to its first."""
    damage.refuse(len(weight) % factor**2, f"{len(weight)} filters: no groups of {factor**2}.")
    return weight[:: factor**2].repeat_interleave(factor**2, dim=0)


class Adversary:
    """A loss: squared error - weight * log D(found); each call also trains D, the critic."""

    def __init__(self, critic, weight, lr=1e-3):
        self.critic, self.weight = critic, weight
        self.opt_disc = torch.optim.Adam(critic.parameters(), lr, betas=(0.5, 0.99))

    def believed(self, x):  # what the critic thinks of x's fine part alone
        return self.critic(10 * (x - damage.Blur(1.0)(x)))

    def __call__(self, found, target):
        loss_disc = F.softplus(-self.believed(target)) + F.softplus(self.believed(found.detach()))
        self.opt_disc.zero_grad()
        loss_disc.mean().backward()
        self.opt_disc.step()
        return F.mse_loss(found, target) + self.weight * F.softplus(-self.believed(found)).mean()


def tiled(net, y, factor, tile=128, overlap=18):
    """Return net(y), y (B, C, H, W), tile by tile; overlap: small pixels seen beyond each tile."""
    require(y, factor=factor, tile=tile)
    (B, C, H, W), r = y.shape, net(y[..., :1, :1]).shape[2]
    damage.refuse(r != factor or overlap < 0, f"factor should be {r}, and overlap from 0 on.")
    x_hat = y.new_empty(B, C, factor * H, factor * W)
    for i in range(0, H, tile):
        for j in range(0, W, tile):
            top, left = max(0, i - overlap), max(0, j - overlap)
            part = net(y[..., top : i + tile + overlap, left : j + tile + overlap])
            kept = part[..., factor * (i - top) :, factor * (j - left) :]
            kept = kept[..., : factor * tile, : factor * tile]
            rows, columns = (slice(factor * n, factor * (n + tile)) for n in (i, j))
            fits = kept.shape == x_hat[..., rows, columns].shape
            damage.refuse(not fits, "kept should be factor * tile pixels high and wide, no more.")
            x_hat[..., rows, columns] = kept
    return x_hat
