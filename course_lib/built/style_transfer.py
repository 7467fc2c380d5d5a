# Generated from notebooks/src/55_style_transfer.py by `python3 -m course_lib build 55`.
# Edit the lesson, not this file.
"""Lesson 55, "Paint in another style": what it builds, for later lessons to import."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import training
from course_lib.built import damage, features
from course_lib.settings import profile


@dataclass
class Config:
    """The numbers of lesson 55; `profile` picks the value for the profile that you run in."""

    sides: tuple = profile(smoke=(16, 24), standard=(64, 128))  # the longer side of each stage
    steps: tuple = profile(smoke=(2, 2), standard=(100, 60))  # of Adam, at each stage
    lr: float = 0.04  # falls to a twentieth within each stage
    style_weight: float = 10.0  # how much the style counts, the content counting 1
    smooth_weight: float = 1.0  # of the total variation
    seed: int = 0


class FeatureNet(nn.Module):
    """Tell which of K textures a picture (B, 3, H, W) in [0, 1], of any size, shows: logits."""

    def __init__(self, classes=38, widths=(16, 32, 64, 64, 64, 64), halved=(2, 3, 5)):
        super().__init__()
        self.layers = nn.ModuleList(
            [
                nn.Conv2d(a, b, 3, padding=1, padding_mode="replicate")
                for a, b in zip((3, *widths), widths, strict=False)
            ]
        )
        for layer in self.layers:
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.halved, self.linear = halved, nn.Linear(sum(widths), classes)

    def levels(self, x):
        """Return the six layers' features (B, C, h, w), fine to coarse; halved before three."""
        h, found = x.expand(-1, 3, -1, -1) - 0.5, []
        for k, layer in enumerate(self.layers):
            h = F.avg_pool2d(h, 2, ceil_mode=True) if k in self.halved else h
            h = F.relu(layer(h))
            found.append(h)
        return found

    def forward(self, x):
        return self.linear(torch.cat([h.mean(dim=(2, 3)) for h in self.levels(x)], dim=1))


def moments(x):
    """Return the mean (3,) and covariance (3, 3), plus 1e-6, of colours x (1, 1 or 3, H, W)."""
    damage.require_pictures(x)
    damage.refuse(len(x) != 1, "Recolour one picture at a time.")
    c = x.expand(-1, 3, -1, -1)[0].flatten(1).T.double().cpu()
    centred = c - c.mean(dim=0)
    return c.mean(dim=0), centred.T @ centred / len(c) + 1e-6 * torch.eye(3).double()


def recolour(x, style):
    """Return x (1, 1 or 3, H, W) with mean and covariance of style's colours; do not clip."""
    (mu, S), (nu, T) = moments(x), moments(style)
    x = x.expand(-1, 3, -1, -1)
    c = x[0].flatten(1).T.double().cpu()  # (H W, 3)
    A = features.square_root(T) @ torch.linalg.inv(features.square_root(S))
    y = (c - mu) @ A.T + nu
    return y.T.contiguous().view(x.shape).to(x)


def gram(h):
    """Return the Gram matrices (B, C, C) of features h (B, C, h, w), mean over the positions."""
    flat = h.flatten(2)
    return flat @ flat.mT / flat.shape[2]


def style_loss(levels, grams):
    """Return how far Gram matrices are from grams (B or 1, C, C), relative to their size.

    levels: L features (B, C, h, w). A scalar: mean over levels, sum over pictures. After Gatys et
    al. (2016), equations 3 to 5, with other weights.
    """
    off = [
        (gram(h) - T).square().sum(dim=(1, 2)) / T.square().sum(dim=(1, 2))
        for h, T in zip(levels, grams, strict=True)
    ]
    return torch.stack(off).mean(dim=0).sum()


CONTENT = 3  # the level whose features hold the content


def content_loss(h, target):
    """Return the share of target's variance (B, C, h, w) that h misses, summed over pictures."""
    spread = (target - target.mean(dim=(2, 3), keepdim=True)).square().mean(dim=(1, 2, 3))
    return ((h - target).square().mean(dim=(1, 2, 3)) / spread.clamp(min=1e-6)).sum()


def objective(cfg, levels, style, content=None):
    """Return x -> cost of x: style alone, or with content; targets are held without a graph.

    levels: x (B, 3, H, W) -> list of features. style, content: (B, C, H, W) in [0, 1].
    """
    with torch.no_grad():
        grams = [gram(h) for h in levels(style)]
        target = None if content is None else levels(content)[CONTENT]
    flat = min(T.square().sum(dim=(1, 2)).min() for T in grams) == 0
    damage.refuse(flat, "A layer finds nothing in this style: choose one that is less flat.")

    def cost(x):
        found = levels(x)
        rough = len(x) * damage.differences(x).abs().mean()  # a total variation, as in lesson 50
        total = cfg.style_weight * style_loss(found, grams) + cfg.smooth_weight * rough
        return total if content is None else total + content_loss(found[CONTENT], target)

    return cost


def descend(cfg, x, cost, steps, *, frames=None, should_stop=training.never_stop, label="painting"):
    """Change pictures x (B, C, H, W) so that cost(x) falls; return new ones in [0, 1], history.

    frames: a list that gets every eighth x. CourseError where the cost is no number.
    """
    x = x.detach().clone().clamp(0, 1).requires_grad_()
    optimiser = torch.optim.Adam([x], betas=(0.9, 0.99))
    with training.progress(steps, should_stop, label=label) as run:
        for step in run:
            optimiser.param_groups[0]["lr"] = cfg.lr * (1 - 0.95 * run.fraction)
            loss = cost(x)
            damage.refuse(not loss.isfinite(), f"The cost is {loss:.3g}: lower lr or weights.")
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            with torch.no_grad():
                x.clamp_(0, 1)
            run.log(cost=loss)
            if frames is not None and step % 8 == 0:
                frames.append(x.detach().cpu().clone())
    return x.detach(), run.history


def shrunk(x, side):
    """Return x (B, C, H, W) with the longer side `side`, smoothed."""
    size = [max(1, round(n * side / max(x.shape[2:]))) for n in x.shape[2:]]
    return F.interpolate(x, size, mode="bilinear", antialias=True)


def pyramid(levels):
    """Return x -> the features of x, of its half and of its quarter size, in one list."""
    return lambda x: [h for k in (1, 2, 4) for h in levels(shrunk(x, max(x.shape[2:]) / k))]


def paint(cfg, levels, style, content=None, *, rng=None, frames=None, label="painting"):
    """Return pictures of style's statistics: of content, or, without it, from noise drawn by rng.

    style, content: (B, 1 or 3, H, W) in [0, 1], of any sizes, one style or one for each content,
    else CourseError. levels: as in `objective`. A stage starts from the last one's picture.
    """
    x, given = None, [style] if content is None else [style, content]
    for picture in given:
        damage.require_pictures(picture, data_range=1)
    unpaired = len(style) not in (1, len(given[-1]))
    damage.refuse(unpaired, "Give one style for all contents, or as many styles as contents.")
    for side, steps in zip(cfg.sides, cfg.steps, strict=True):
        s, *c = (shrunk(picture.expand(-1, 3, -1, -1).float(), side) for picture in given)
        if x is None:
            x = c[0] if c else 0.5 + 0.2 * torch.randn(s.shape, generator=rng).to(s)
        x = F.interpolate(x, [*c, s][0].shape[2:], mode="bicubic")
        cost = objective(cfg, levels, s, *c)
        x, _ = descend(cfg, x, cost, steps, frames=frames, label=f"{label}, {side} pixels")
        frames = None  # of the first stage only
    return x


def luma(x):
    """Return the brightness (B, 1, H, W) of x (B, 3, H, W), weights of BT.601."""
    return (x * torch.tensor([0.299, 0.587, 0.114]).to(x)[:, None, None]).sum(dim=1, keepdim=True)


def edge_match(x, content):
    """Return the correlation, -1 to 1, of the edge strengths of two pictures (1, 3, H, W)."""
    strengths = [damage.differences(luma(part)).norm(dim=0).flatten() for part in (x, content)]
    return torch.corrcoef(torch.stack(strengths).double())[0, 1].nan_to_num().item()


def judge_levels(photonet):
    """Return x -> the features after each ReLU of lesson 15's PhotoNet, in eval mode."""
    layers = photonet.eval().layers  # three to a level: convolution, batch norm, ReLU
    return lambda x: [layers[:k](x) for k in range(3, len(layers) + 1, 3)]


@torch.no_grad()
def style_distance(levels, x, style):
    """Return the style cost of x (1, 3, H, W) beside style under the given features, a float."""
    return style_loss(levels(x), [gram(h) for h in levels(style)]).item()


def gram_gradient(h, T):
    """Return the gradient of |gram(h) - T|^2, summed over pictures, by h (B, C, h, w)."""
    flat = h.flatten(2)
    return (4 / flat.shape[2] * (gram(h) - T) @ flat).view_as(h)
