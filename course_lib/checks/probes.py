"""What several checks share: comparisons, seeded numbers, a small network that tells tales."""

import torch
from torch import nn

TOLERANCE = 1e-9


def differs(a: torch.Tensor, b: torch.Tensor) -> float:
    """Return the largest absolute difference, infinite where the shapes differ."""
    return (a - b).abs().max().item() if a.shape == b.shape else float("inf")


def normal(*shape, seed=0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


class _Probe(nn.Module):
    """A small network whose answers depend on train or eval mode."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(1)
        self.linear = nn.Linear(16, 10)
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        return self.linear(self.drop(self.norm(x).flatten(1)))


def probe() -> nn.Module:
    probe = _Probe()
    for seed, parameter in enumerate(probe.parameters()):
        parameter.data.copy_(normal(*parameter.shape, seed=seed))
    return probe


def random_images(n, size, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 1, size, size), generator=generator, dtype=torch.uint8)
