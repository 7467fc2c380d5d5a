"""Paper-cut cats with known attributes: 64x64 in colour, any number of them.

`sample_factors` says who sits where, `draw` turns factors into pictures (catparts.py), `load` makes
whole sets and keeps them on disk. Every picture is a function of its own factors alone, the same
on every machine up to rounding, wherever it stands in a set.
"""

import torch

from course_lib import catparts, drawn, settings
from course_lib.catparts import CHOICES, MARKINGS, RANGES, SIDE, chosen

VERSION, LICENCE, MEGABYTES = 1, "CC BY 4.0", 271
CLASSES = CHOICES["pattern"]
SIZES = {"train": 20_000, "test": 2_000}
CHUNK = 40  # pictures drawn together: little enough to stay in the processor's cache


def _numbers(name: str, values) -> torch.Tensor:
    """Return the values of a factor as a vector; options may be given by their names."""
    values = [values] if isinstance(values, str) else values
    options = CHOICES.get(name, ())
    if isinstance(values, list | tuple):
        values = [options.index(v) if v in options else v for v in values]
        values = [torch.nan if isinstance(v, str) else v for v in values]
    numbers = torch.as_tensor(values, dtype=torch.float32).reshape(-1)
    low, high = RANGES[name][1:] if name in RANGES else (0, len(options) - 1)
    if not ((numbers >= low) & (numbers <= high)).all():
        told = f"one of {', '.join(options)}" if options else f"in {low}..{high}"
        raise settings.CourseError(f"{name} must be {told}.")
    return numbers.long() if options else numbers


def _complete(factors: dict) -> dict[str, torch.Tensor]:
    """Return all factors as vectors of one length, with defaults for those that are missing."""
    if unknown := set(factors) - set(CHOICES) - set(RANGES):
        known = ", ".join([*CHOICES, *RANGES])
        raise settings.CourseError(f"Unknown factors {sorted(unknown)}; cats have {known}.")
    default = {name: 0 for name in CHOICES} | {name: row[0] for name, row in RANGES.items()}
    f = {name: _numbers(name, factors.get(name, default[name])) for name in default}
    if "marking" not in factors:
        f["marking"] = _suitable()[f["fur"], 0]
    n = max((len(_numbers(name, values)) for name, values in factors.items()), default=1)
    if any(len(values) not in (1, n) for values in f.values()):
        raise settings.CourseError(f"The factors' lengths must be {n} or 1.")
    return {name: values.expand(n) for name, values in f.items()}


def draw(factors: dict) -> torch.Tensor:
    """Draw cats from their factors: float32 (N, 3, 64, 64) in [0, 1].

    `factors` holds any of CHOICES (indices or names) and RANGES, each (N,) or one for all. Missing
    ones are the first choice, the neutral value, and the marking that suits the fur best. Raises
    CourseError for an unknown factor or a value out of its range.
    """
    f = _complete(factors)
    blocks = torch.arange(len(f["fur"])).split(CHUNK)
    return torch.cat([catparts.draw({k: v[rows] for k, v in f.items()}) for rows in blocks])


def _suitable() -> torch.Tensor:
    """Return the indices of each fur's MARKINGS: (furs, 3)."""
    markings = [MARKINGS[fur] for fur in CHOICES["fur"]]
    return torch.tensor([[CHOICES["marking"].index(m) for m in row] for row in markings])


def sample_factors(n: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Draw the factors of `n` cats: int64 indices into CHOICES, float32 numbers of RANGES.

    All are independent and even, but for the marking, which is one of the fur's MARKINGS; the
    patterns are balanced.
    """
    f = {k: torch.randint(len(v), (n,), generator=generator) for k, v in CHOICES.items()}
    f["pattern"] = torch.arange(n)[torch.randperm(n, generator=generator)] % 5
    f["marking"] = _suitable()[f["fur"], torch.randint(3, (n,), generator=generator)]
    for name, (_, low, high) in RANGES.items():
        f[name] = low + (high - low) * torch.rand(n, generator=generator)
    return f


def visible(factors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return for every factor of `n` cats, all given, whether it can be seen: bool (n,).

    Shut eyes hide their colour, and a wink whether blue is odd; a plain cat has no marking.
    """
    marked = ~chosen(factors, "pattern", "plain")
    seeing = ~chosen(factors, "eyes", "closed")
    paired = chosen(factors, "eye_colour", "blue") | chosen(factors, "eye_colour", "odd")
    shown = {name: torch.ones_like(marked) for name in factors}
    shown |= {"marking": marked, "extent": marked, "pupil": seeing, "gaze": seeing}
    shown["eye_colour"] = seeing & ~(chosen(factors, "eyes", "wink") & paired)
    shown["wear_colour"] = ~chosen(factors, "wear", "nothing")
    return shown


def render(n: int, seed: int = 0, split: str = "train"):
    """Draw the first `n` cats of a split: (images uint8 (n, 3, 64, 64), factors)."""
    factors = drawn.sample(sample_factors, split, n, seed)
    images = torch.empty(n, 3, SIDE, SIDE, dtype=torch.uint8)
    for rows in torch.arange(n).split(drawn.BLOCK):  # never all of them as floats
        images[rows] = (draw({k: v[rows] for k, v in factors.items()}) * 255).round().byte()
    return images, factors


def load(split: str, size: int | None = None, seed: int = 0):
    """Return (images uint8 (N, 3, 64, 64), labels int64 (N,), factors) of a split.

    `split` is "train" (20,000 images) or "test" (2,000), from separate random streams; `size`
    takes the first ones, or more. The label is the pattern. Drawn once, then read from the cache.
    Raises CourseError for an unknown split.
    """
    images, factors = drawn.load(f"cats/v{VERSION}", SIZES, split, size, seed, render)
    return images, factors["pattern"], factors
