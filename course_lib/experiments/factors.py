"""What codes tell of the true factors of strokes: mutual information; lesson 32's experiment."""

import torch

from course_lib import datasets, device, strokes
from course_lib.built.score_a_generator import kl

ALL = ("digit", "form", "slant", "rotation", "width", "thickness")
FACTORS = ALL[2:]
FORM = (4, 0)  # the digit and its letter form within which factors are measured


def form_factors(n: int, rng) -> dict[str, torch.Tensor]:
    """Draw FACTORS (n,) of one letter form, independently.

    Each is uniform within 1.5 spreads of its middle (of a ratio, its logarithm).
    """
    factors = {}
    for name in FACTORS:
        middle, spread, *_ = strokes.RANGES[name]
        away = spread * (3 * torch.rand(n, generator=rng) - 1.5)
        factors[name] = middle * away.exp() if name in strokes.RATIOS else middle + away
    return factors


def one_form(n: int, rng):
    """Draw n pictures of FORM: images uint8 (n, 1, 28, 28), and their FACTORS, name -> (n,)."""
    factors, (digit, form) = form_factors(n, rng), FORM
    fixed = {"digit": torch.full((n,), digit), "form": form}
    noise = torch.randint(2**31 - 1, (n,), generator=rng)
    return strokes.draw(fixed | {"noise": noise} | factors), factors


def discretise(values, bins: int = 10) -> torch.Tensor:
    """Return bins (N,) of values (N,): equally full ones for floats; whole numbers stay apart."""
    if not values.is_floating_point():
        return torch.unique(values, return_inverse=True)[1]
    edges = torch.quantile(values.double(), torch.linspace(0, 1, bins + 1).double()[1:-1])
    return torch.bucketize(values.double(), edges)


def information(a, b) -> float:
    """Return the mutual information of two rows of bins (N,), nats; information(a, a) is H(a)."""
    rows, columns = int(a.max()) + 1, int(b.max()) + 1
    joint = torch.bincount(a * columns + b, minlength=rows * columns).view(rows, columns)
    joint = joint.double() / len(a)
    return kl(joint, joint.sum(dim=1, keepdim=True) * joint.sum(dim=0)).item()


def shared(codes, factors: dict) -> torch.Tensor:
    """Return (F, D): what each code (N, D) tells of each factor, as a share of its entropy."""
    binned = [discretise(code) for code in codes.T]
    rows = [discretise(factor) for factor in factors.values()]
    return torch.tensor([[information(f, c) / information(f, f) for c in binned] for f in rows])


def information_gap(table) -> torch.Tensor:
    """Return for each factor (F,) the best code's share minus the second best's; table (F, D).

    The mean is the gap of Chen et al. (2018), section 4.1: 1 if each factor has its own code.
    """
    best = table.topk(2, dim=1).values
    return best[:, 0] - best[:, 1]


def nested(data: str) -> dict:
    """Return the gaps of the true factors themselves as codes: over all digits, in one form."""
    if data != "strokes":
        return {}
    known = datasets.load("strokes", "train").factors
    parts = {"all digits": {name: known[name] for name in ALL}}
    parts["all digits"]["form"] = 100 * known["digit"] + known["form"]  # each digit has its own
    parts["one form"] = form_factors(60_000, device.generator(11))
    return {title: _gaps(part) for title, part in parts.items()}


def _gaps(factors: dict) -> dict[str, float]:
    rows = [discretise(factor) for factor in factors.values()]
    shares = [[information(a, b) / information(a, a) for b in rows] for a in rows]
    gaps = information_gap(torch.tensor(shares)).tolist()
    return {name: round(gap, 4) for name, gap in zip(factors, gaps, strict=True)}
