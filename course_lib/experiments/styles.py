"""Styles drawn by code: brush strokes, glass, cut paper, hatching; no picture is needed."""

import math

import torch
from torch.nn import functional as F

from course_lib.built import denoising

NIGHT = "0b1d51 12377a 1f5fa8 4d9bd0 a8d3e0 f3e9b0 f5c542 e8961e 0b1d51 12377a"
GLASS = "c8102e f2a900 ffd966 00693e 1b75bc 00a3ad 5b2a86 e4572e f7f3e3 0d3b66"
INK = "1c1a17 22344f 3f6173 f4ecd8 f4ecd8 f4ecd8 c8102e"


def palette(text):
    """Return the colours of a text such as "ff0000 0000ff" as (K, 3) in [0, 1]."""
    return (
        torch.tensor([[int(code[k : k + 2], 16) for k in (0, 2, 4)] for code in text.split()]) / 255
    )


def waves(side, cells, rng):
    """Return a smooth random surface (side, side): normal numbers on a coarse grid, joined."""
    z = torch.randn(1, 1, cells + 3, cells + 3, generator=rng)
    return F.interpolate(z, size=side, mode="bicubic", align_corners=True)[0, 0]


def blend(colours, u):
    """Return the colours (K, 3) at places u (...) in [0, 1], mixed between neighbours: (..., 3)."""
    t = u.clamp(0, 0.9999) * (len(colours) - 1)
    k = t.long()
    return torch.lerp(colours[k], colours[k + 1], (t - k)[..., None])


def places(side):
    """Return row and column of each pixel: (side, side, 2)."""
    return torch.stack(torch.meshgrid(*[torch.arange(float(side))] * 2, indexing="ij"), dim=2)


def brush(side, rng, colours=NIGHT, length=12, grain=3, swirls=5):
    """Paint (1, 3, side, side): grains of colour, drawn out along the level lines of waves."""
    hills, n = waves(side, swirls, rng), side // grain
    slope = torch.stack(torch.gradient(hills), dim=2)  # (side, side, 2): down, right
    along = F.normalize(slope.flip(2) * torch.tensor([1.0, -1.0]), dim=2)  # turned by 90 degrees
    specks = torch.randn(1, 1, n, n, generator=rng)
    tone = 0.5 + 0.28 * waves(side, 4, rng) + 0.16 * F.interpolate(specks, size=side)[0, 0]
    sheets = [t.permute(2, 0, 1)[None] for t in (blend(palette(colours), tone), along)]
    drawn = 0
    for way in (1, -1):
        at = places(side)
        for _ in range(length):
            where = (2 * at / (side - 1) - 1).flip(2)[None]  # as grid_sample wants it: x, y
            colour, step = (
                F.grid_sample(s, where, padding_mode="border", align_corners=True) for s in sheets
            )
            drawn, at = drawn + colour, at + way * step[0].permute(1, 2, 0)
    mean = drawn.mean(dim=(2, 3), keepdim=True)
    return ((mean + 1.35 * (drawn - mean)) / (2 * length)).clamp(0, 1)


def stained_glass(side, rng, colours=GLASS, cells=10, lead=2.5):
    """Draw (1, 3, side, side): panes around jittered seeds, with lines of lead between."""
    grid = torch.stack(torch.meshgrid(*[torch.arange(-1.0, cells + 1)] * 2, indexing="ij"), dim=2)
    seeds = (grid + 0.1 + 0.8 * torch.rand(grid.shape, generator=rng)).view(-1, 2) * side / cells
    apart, near = torch.cdist(places(side).view(-1, 2), seeds).topk(2, largest=False)
    between = (seeds[near[:, 0]] - seeds[near[:, 1]]).norm(dim=1)
    rim = (apart[:, 1] ** 2 - apart[:, 0] ** 2) / (2 * between)  # how far the next pane is
    drawn = torch.randint(len(palette(colours)), (len(seeds),), generator=rng)
    light = 0.8 + 0.4 * waves(side, 6, rng).sigmoid().view(-1, 1)
    x = palette(colours)[drawn][near[:, 0]] * light * (rim - lead / 2).clamp(0, 1)[:, None]
    return x.clamp(0, 1).view(side, side, 3).permute(2, 0, 1)[None]


def hatching(side, rng, colours=INK, pitch=8.0, angle=0.7, bend=10.0):
    """Draw (1, 3, side, side): bent lines of ink, of changing width, on coloured paper."""
    row, column = places(side).unbind(2)
    across = row * math.cos(angle) + column * math.sin(angle) + bend * waves(side, 5, rng)
    ink = torch.sigmoid(4 * (torch.sin(2 * math.pi * across / pitch) - waves(side, 4, rng)))
    paper = blend(palette(colours)[3:], 0.5 + 0.35 * waves(side, 4, rng))
    dark = blend(palette(colours)[:3], 0.5 + 0.35 * waves(side, 4, rng))
    return torch.lerp(paper, dark, ink[..., None]).permute(2, 0, 1)[None].clamp(0, 1)


def cut_paper(side, rng, colours=GLASS, smallest=6, largest=30, number=3000):
    """Draw (1, 3, side, side): discs and boxes of shaded paper, one over the other."""
    tones = denoising.dead_leaves(side, rng, number, smallest, largest)
    return blend(palette(colours), 7.3 * tones % 1).permute(2, 0, 1)[None]
