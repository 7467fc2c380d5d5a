"""What can happen to photographs: kinds of damage that a judge learns to tell apart."""

import torch
from torch.nn import functional as F

FAINTEST = 0.2  # strength, in all_damages
RUINED = {  # of photographs x, chances (B, 1, H, W) in [0, 1] and a generator
    "none": lambda x, chance, rng: x,
    "noise": lambda x, chance, rng: (x + 0.3 * torch.randn(x.shape, generator=rng)).clamp(0, 1),
    "blur": lambda x, chance, rng: F.avg_pool2d(F.pad(x, (2,) * 4, mode="replicate"), 5, stride=1),
    "blocks": lambda x, chance, rng: F.interpolate(F.avg_pool2d(x, 4), scale_factor=4.0),
    "faded": lambda x, chance, rng: 0.3 + 0.4 * x,
    # black and white; white, from top to bottom
    "dust": lambda x, chance, rng: torch.where(chance < 0.03, (chance < 0.015).to(x), x),
    "scratches": lambda x, chance, rng: torch.where(chance[:, :, :1] < 0.05, 1.0, x),
    "tinted": lambda x, chance, rng: x * torch.tensor([1.0, 0.8, 0.5])[:, None, None],
}
KINDS = tuple(RUINED)


def damage(x: torch.Tensor, kind: str, generator: torch.Generator, strength=1.0) -> torch.Tensor:
    """Return photographs x (B, 3, H, W) in [0, 1], H and W divisible by 4, damaged.

    kind: one of KINDS; strength: from 0, none, to 1, a number or (B, 1, 1, 1).
    """
    chance = torch.rand(x[:, :1].shape, generator=generator)
    return torch.lerp(x, RUINED[kind](x, chance, generator), torch.as_tensor(strength))


def all_damages(x: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Return x (B, 3, H, W) in every kind, (8 B, 3, H, W), and the number of the kind of each.

    Each picture has a strength of its own, from FAINTEST to 1.
    """
    made = []
    for kind in KINDS:
        strength = torch.rand(len(x), 1, 1, 1, generator=generator)
        made.append(damage(x, kind, generator, FAINTEST + (1 - FAINTEST) * strength))
    return torch.cat(made), torch.arange(len(KINDS)).repeat_interleave(len(x))


def told_rightly(model: torch.nn.Module, patches: torch.Tensor, generator) -> torch.Tensor:
    """Return the share, float64 (8,), of each kind that a model tells on patches in [0, 1]."""
    made, kinds = all_damages(patches, generator)
    with torch.no_grad():
        told = torch.cat([model.eval()(part).argmax(1) for part in made.split(500)])
    return (told == kinds).view(len(KINDS), -1).double().mean(1)
