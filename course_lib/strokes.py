"""Handwritten-looking digits, drawn from their factors: 28x28 grey, in MNIST's format.

A letter form is a pen's path (letterforms). `sample_factors` draws who writes how, `draw` turns
factors into images, `load` draws whole sets and keeps them on disk. Every image is a function of
its own factors alone, the same on every machine up to rounding, wherever it stands in a set.
"""

import json
import math
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from course_lib import drawn, settings
from course_lib.letterforms import FORMS, trace

VERSION, LICENCE, MEGABYTES = 4, "CC0 1.0", 55
CLASSES = tuple("0123456789")
SIZES = {"train": 60_000, "test": 10_000}
BLOCK = 500  # images drawn together: little enough to stay in the processor's cache
SAMPLES = 112  # points along the pen's path
BLUR = 0.5  # pixels: reach of the soft minimum over the distances to these points
PAPERS = 256  # kinds of paper
SIDE, BOX = 28, 20  # pixels: the image, and the box that the digit is fitted into

_TABLES = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
# factor: (neutral value, spread, lowest, highest) of a clipped normal distribution;
# of the RATIOS, the logarithm is normal
RATIOS = ("width", "thickness")
RANGES = {name: tuple(row["range"]) for name, row in _TABLES["ranges"].items()}
# Pixels of thickness that a pixel of the digit's width has room for: a thicker pen fills the loops.
ROOM = _TABLES["room"]


@cache
def _tables() -> tuple[torch.Tensor, ...]:
    """Return, over all forms: first row of each digit, control points, matrices, links."""
    forms = [strokes for digit in range(10) for _, _, strokes in FORMS[digit]]
    points, matrices, links = zip(*(trace(strokes, SAMPLES) for strokes in forms), strict=True)
    points = pad_sequence([torch.from_numpy(p) for p in points], batch_first=True)
    columns = pad_sequence([torch.from_numpy(m.T) for m in matrices], batch_first=True)
    first = torch.tensor([0] + [len(FORMS[digit]) for digit in range(9)]).cumsum(0)
    links = torch.from_numpy(np.stack(links))
    return first, points.float(), columns.transpose(1, 2).contiguous().float(), links.float()


def _normal(seeds: torch.Tensor, count: int) -> torch.Tensor:
    """Return (N, count) normal numbers, clipped at 2.5, that depend on each row's seed alone.

    A 32-bit integer hash of (seed, column), the same on every machine.
    """
    mask = 0xFFFFFFFF
    bits = (seeds[:, None] * 0x9E3779B1 + torch.arange(count) * 0x85EBCA6B) & mask
    for shift, factor in ((16, 0x7FEB352D), (15, 0x2C1B3C6D), (16, 0x297A2D39)):
        bits = ((bits ^ (bits >> shift)) * factor) & mask
    bits = bits ^ (bits >> 15)
    uniform = (bits.double() + 0.5) / 2**32
    return (torch.erfinv(2 * uniform - 1) * math.sqrt(2)).clamp(-2.5, 2.5).float()


def _tremble(f: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    """Return everybody's noise for the control points, the warp of the sheet and the pressure."""
    count = _tables()[1][0].numel()
    return list(_normal(f["noise"], count + 12 + 8).split([count, 12, 8], dim=1))


def _waves(noise: torch.Tensor, along: torch.Tensor) -> torch.Tensor:
    """Return smooth noise of unit size: (N, 2 M) amplitudes on M sines and cosines of `along`."""
    half = noise.shape[1] // 2
    angle = along[..., None] * torch.arange(1, half + 1) * math.pi
    a, b = noise[:, None, :half], noise[:, None, half:]
    return (a * angle.sin() + b * angle.cos()).sum(-1) / math.sqrt(half)


def _pen(f: dict[str, torch.Tensor], jitter: torch.Tensor, bend: torch.Tensor):
    """Return the written path: points (N, SAMPLES, 2) in units of height, links between them."""
    first, points, matrix, links = _tables()
    row = first[f["digit"]] + f["form"]
    wobble = f["wobble"][:, None, None]
    jitter = jitter.view_as(points[row])
    jitter = (jitter.roll(-1, 1) + 2 * jitter + jitter.roll(1, 1)) / 2.5  # neighbours move together
    path = torch.bmm(matrix[row], points[row] + 0.025 * wobble * jitter)
    x, y = (path - torch.tensor([0.3, 0.5])).unbind(-1)
    basis = [2 * x * y, x**2, y**2]
    basis += [0.12 * wave for wave in ((5 * x).sin(), (5 * y).sin(), (5 * y).cos())]
    warp = torch.bmm(torch.stack(basis, -1), 0.15 * wobble * bend.view(-1, 6, 2))
    return torch.stack([x, y], -1) + warp, links[row]


def _pose(path: torch.Tensor, f: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the path widened, slanted and rotated."""
    x, y = path.unbind(-1)
    x = x * f["width"][:, None] - y * f["slant"][:, None]
    angle = torch.deg2rad(f["rotation"])[:, None]
    return torch.stack([x * angle.cos() - y * angle.sin(), x * angle.sin() + y * angle.cos()], -1)


def _thickest(f: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return, in pixels, the thickness beyond which the pen fills the inside of the digit."""
    jitter, bend, _ = _tremble(f)
    path, _ = _pen(f, jitter, bend)
    size = path.amax(1) - path.amin(1)
    room = BOX * (size[:, 0] * f["width"] / size[:, 1]).clamp_max(1)
    return 1 + torch.tensor(ROOM)[f["digit"]] * room.clamp_max(14)


def _fit(path: torch.Tensor, radius: torch.Tensor) -> torch.Tensor:
    """Return the path in pixels: its ink fills a box of 20 in the middle, the aspect is kept."""
    radius = radius[..., None]
    for _ in range(3):  # the pen does not grow with the path: approach the scale
        ink = ((path + radius).amax(1) - (path - radius).amin(1)).amax(1)
        size = (path.amax(1) - path.amin(1)).amax(1)
        path = path * (1 + (BOX - ink) / size)[:, None, None]
    return path - ((path - radius).amin(1) + (path + radius).amax(1))[:, None] / 2 + SIDE / 2


def _ink(path: torch.Tensor, links: torch.Tensor, radius: torch.Tensor) -> torch.Tensor:
    """Return the weight of every point: exp(r²/2s²) times its share of the path, in pixels."""
    steps = (path[:, 1:] - path[:, :-1]).norm(dim=-1) * links
    share = torch.nn.functional.pad(steps, (0, 1)) + torch.nn.functional.pad(steps, (1, 0))
    return share / 2 / (BLUR * math.sqrt(2 * math.pi)) * (radius**2 / (2 * BLUR**2)).exp()


def _centre(grey: torch.Tensor) -> torch.Tensor:
    """Return the images moved by whole pixels, as in MNIST, to have their mass in the middle."""
    at = torch.arange(SIDE)
    for dim in (1, 2):
        mass = grey.sum(3 - dim)
        offset = ((mass * at).sum(1) / mass.sum(1) - (SIDE - 1) / 2).round().long()
        index = (at + offset.clamp(-4, 4)[:, None]).clamp(0, SIDE - 1)  # the rim is blank
        grey = grey.gather(dim, index.unsqueeze(3 - dim).expand_as(grey))
    return grey


@cache
def _paper() -> torch.Tensor:
    """Return pieces of rough paper, (PAPERS, 28, 28): it takes a little more or less ink."""
    return _normal(torch.arange(PAPERS), SIDE * SIDE).reshape(PAPERS, SIDE, SIDE)


def _grey(path, links, radius: torch.Tensor, f: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return (N, 28, 28) grey in 0..1: the distance to the path, cut off at the pen's radius.

    The soft minimum over the points, sum of w exp(-d²/2s²), splits into a matrix product of
    columns and rows.
    """
    pixel = torch.arange(SIDE) + 0.5
    reach = (-((path[..., None] - pixel) ** 2) / (2 * BLUR**2)).exp()  # (N, SAMPLES, 2, 28)
    weight = _ink(path, links, radius)[..., None]
    total = torch.bmm((reach[:, :, 1] * weight).transpose(1, 2), reach[:, :, 0])
    mean = radius.mean(1)[:, None, None]
    excess = 2 * BLUR**2 * total.clamp_min(1e-30).log()  # r² - d²
    inside = mean - (mean**2 - excess).clamp_min(0).sqrt()
    paper = _paper()[f["noise"] % PAPERS] * f["roughness"][:, None, None]
    ramp = (0.5 + (inside + paper) / f["softness"][:, None, None]).clamp(0, 1)
    return ramp**2 * (3 - 2 * ramp)


def _draw_block(f: dict[str, torch.Tensor]) -> torch.Tensor:
    jitter, bend, stress = _tremble(f)
    path, links = _pen(f, jitter, bend)
    stress = _waves(stress, torch.linspace(0, 1, SAMPLES).expand(len(path), -1))
    uneven = (1 + stress * f["pressure"][:, None]).clamp(0.6, 1.5)
    radius = f["thickness"][:, None] / 2 * uneven
    path = _fit(BOX * _pose(path, f), radius)
    grey = _centre(_grey(path, links, radius, f))
    return (grey * 255).round().to(torch.uint8)[:, None]


def _complete(factors: dict) -> dict[str, torch.Tensor]:
    """Return all factors as tensors of one length, checked, neutral where nothing is given."""
    digit = torch.atleast_1d(torch.as_tensor(factors["digit"])).long()
    neutral = {"digit": 0, "form": 0, "noise": 0} | {name: r[0] for name, r in RANGES.items()}
    unknown = sorted(factors.keys() - neutral.keys())
    if unknown:
        raise settings.CourseError(f"strokes has no factor {unknown[0]!r}: use {list(neutral)}.")
    f = {name: torch.as_tensor(factors.get(name, value)) for name, value in neutral.items()}
    f = {n: (v.float() if n in RANGES else v.long()).expand(len(digit)) for n, v in f.items()}
    forms = torch.tensor([len(FORMS[d]) for d in range(10)])[digit.clamp(0, 9)]
    if ((digit < 0) | (digit > 9) | (f["form"] < 0) | (f["form"] >= forms)).any():
        raise settings.CourseError("Digits are 0..9, forms those of the digit in letterforms.json.")
    return f


def draw(factors: dict) -> torch.Tensor:
    """Draw digits from their factors: uint8 (N, 1, 28, 28), 0 is paper and 255 is ink.

    `factors` holds `digit` (N,) and any of `form`, `noise` (integers) and the RANGES, each (N,) or
    one number for all; what is missing is neutral; `noise` is the seed of everybody's tremble.
    Raises CourseError for an unknown factor, digit or form.
    """
    f = _complete(factors)
    blocks = torch.arange(len(f["digit"])).split(BLOCK)
    return torch.cat([_draw_block({k: v[i] for k, v in f.items()}) for i in blocks])


def sample_factors(n: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Draw the factors of `n` digits: int64 digit (balanced), form, noise; float32 the rest."""
    digit = torch.arange(n)[torch.randperm(n, generator=generator)] % 10
    most = max(len(forms) for forms in FORMS.values())
    weights = [[w for _, w, _ in FORMS[d]] + [0] * (most - len(FORMS[d])) for d in range(10)]
    edges = torch.tensor(weights, dtype=torch.float64).cumsum(1)
    pick = torch.rand(n, generator=generator, dtype=torch.float64) * edges[digit, -1]
    form = (pick[:, None] >= edges[digit]).sum(1)
    noise = torch.randint(2**31 - 1, (n,), generator=generator)
    factors = {"digit": digit, "form": form, "noise": noise}
    for name, (middle, spread, low, high) in RANGES.items():
        uniform = torch.rand(n, generator=generator, dtype=torch.float64)
        z = math.sqrt(2) * torch.erfinv(2 * uniform - 1)
        value = middle * (spread * z).exp() if name in RATIOS else middle + spread * z
        factors[name] = value.clamp(low, high).float()
    factors["thickness"] = torch.minimum(factors["thickness"], _thickest(factors))
    return factors


def render(n: int, seed: int = 0, split: str = "train"):
    """Draw the first `n` digits of a split: (images uint8 (n, 1, 28, 28), factors)."""
    factors = drawn.sample(sample_factors, split, n, seed)
    return draw(factors), factors


def load(split: str, size: int | None = None, seed: int = 0):
    """Return (images uint8 (N, 1, 28, 28), labels int64 (N,), factors) of a split.

    `split` is "train" (60,000 images) or "test" (10,000), from separate random streams; `size`
    takes the first ones, or more. Drawn once, then read from the cache. Raises CourseError for
    an unknown split.
    """
    images, factors = drawn.load(f"strokes/v{VERSION}", SIZES, split, size, seed, render)
    return images, factors["digit"], factors
