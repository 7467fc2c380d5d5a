"""The judge of the cats: a network that reads their attributes."""

import torch
from torch import nn

from course_lib import cats
from course_lib.cats import CHOICES, RANGES

HEADS = {name: len(options) for name, options in CHOICES.items()} | dict.fromkeys(RANGES, 1)


class CatNet(nn.Module):
    """Read the attributes of cats (B, 3, 64, 64) in [0, 1].

    Two planes of x and y (Liu et al. 2018, arXiv:1807.03247) tell the mean where things are.
    """

    def __init__(self, widths=(24, 48, 96, 128)):
        super().__init__()
        at = torch.linspace(-1, 1, cats.SIDE)
        planes = torch.stack(torch.meshgrid(at, at, indexing="xy"))
        self.register_buffer("planes", planes, persistent=False)
        layers = []
        for before, width in zip((3 + 2, *widths), widths, strict=False):
            layers += [nn.Conv2d(before, width, 3, stride=2, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(width), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.linear = nn.Linear(widths[-1], sum(HEADS.values()))

    def features(self, x):
        """Return the mean of the last layer over all positions: (B, 128)."""
        planes = self.planes.expand(len(x), -1, -1, -1)
        return self.layers(torch.cat([2 * x - 1, planes], dim=1)).mean(dim=(2, 3))

    def attributes(self, x) -> dict[str, torch.Tensor]:
        """Return logits (B, K) of each of cats.CHOICES and values (B,) of each of cats.RANGES."""
        parts = self.linear(self.features(x)).split(list(HEADS.values()), dim=1)
        told = dict(zip(HEADS, parts, strict=True))
        for name, (_, low, high) in RANGES.items():
            told[name] = (low + high + told[name][:, 0] * (high - low)) / 2
        return told

    def forward(self, x):
        """Return the logits of the patterns, the classes of the data set: (B, 5)."""
        return self.attributes(x)["pattern"]
