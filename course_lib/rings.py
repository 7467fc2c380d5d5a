"""Eight narrow humps on a circle, many rings at a time: data, networks, the count, the picture.

Metz et al. (2017), "Unrolled generative adversarial networks", section 3.1. R rings, B points.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

ANGLES = torch.arange(8) * math.pi / 4
CENTRES = 2 * torch.stack([ANGLES.cos(), ANGLES.sin()], dim=1)  # (8, 2)
EDGE = 3.0  # pictures show the square from -EDGE to EDGE
LEVELS = 6  # steps of the surface's colour
REAL, FORGED = (1.0, 0.72, 0.35), (0.45, 0.72, 0.95)  # orange and blue


def batches(size: int, generator: torch.Generator, *, copies: int = 20, std: float = 0.1):
    """Yield endless batches (copies, size, 2): points of 8 normal humps on a circle of radius 2."""
    place = {"generator": generator, "device": generator.device}
    while True:
        hump = torch.randint(8, (copies, size), **place)
        yield CENTRES.to(generator.device)[hump] + std * torch.randn(copies, size, 2, **place)


def modes_found(points: torch.Tensor, radius: float = 0.4) -> torch.Tensor:
    """Count the humps, (R,) from 0 to 8, that hold a tenth of their equal share of (R, B, 2).

    A point belongs to its nearest hump, and counts if it lies within `radius` of the centre.
    """
    distance, hump = torch.cdist(points, CENTRES.to(points).expand(len(points), 8, 2)).min(dim=2)
    hits = F.one_hot(hump, 8) * (distance < radius)[..., None]
    return (hits.double().mean(dim=1) >= 0.1 / 8).sum(dim=1)


@torch.no_grad()
def picture(points: torch.Tensor, surface, side: int = 96) -> torch.Tensor:
    """Draw points (B, 2) of one ring, black, on a surface: (3, side, side) in [0, 1]; side even.

    surface(plane (N, 2)) -> (N,) in [0, 1]: orange at 1, blue at 0; asked at every other pixel.
    """
    line = torch.linspace(-EDGE, EDGE, side // 2, device=points.device)
    y, x = torch.meshgrid(-line, line, indexing="ij")
    level = surface(torch.stack([x, y], dim=-1).view(-1, 2)).view(len(line), -1).cpu()
    level = (LEVELS * level).round().repeat_interleave(2, 0).repeat_interleave(2, 1) / LEVELS
    drawn = torch.stack([level * a + (1 - level) * b for a, b in zip(REAL, FORGED, strict=True)])
    inside = points[points.abs().amax(dim=1) < EDGE].cpu()
    place = ((inside + EDGE) / (2 * EDGE) * (side - 1)).round().long()
    drawn[:, side - 1 - place[:, 1], place[:, 0]] = 0
    return drawn


class BatchedLinear(nn.Module):
    """R linear layers side by side: x (R, B, inputs) -> (R, B, outputs)."""

    def __init__(self, copies: int, inputs: int, outputs: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(copies, inputs, outputs) / math.sqrt(3 * inputs))
        self.bias = nn.Parameter(torch.zeros(copies, 1, outputs))

    def forward(self, x):
        return torch.baddbmm(self.bias, x, self.weight)


class Networks(nn.Module):
    """R small networks that know nothing of each other: (R, B, 2) -> points (R, B, 2).

    outputs: 1 for discriminators, whose logits are (R, B).
    """

    def __init__(self, outputs: int = 2, copies: int = 20, width: int = 64):
        super().__init__()
        self.copies = copies
        self.hidden1 = BatchedLinear(copies, 2, width)
        self.hidden2 = BatchedLinear(copies, width, width)
        self.last = BatchedLinear(copies, width, outputs)

    def noise(self, n: int, generator: torch.Generator) -> torch.Tensor:
        """Draw z (R, n, 2) from N(0, 1)."""
        place = {"generator": generator, "device": generator.device}
        return torch.randn(self.copies, n, 2, **place)

    def forward(self, x):
        x = F.leaky_relu(self.hidden1(x), 0.2)
        x = F.leaky_relu(self.hidden2(x), 0.2)
        return self.last(x).squeeze(-1)
