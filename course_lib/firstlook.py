"""The generator that lesson 00 shows in its first minute: sliders that draw digits.

It is the decoder of a small conditional variational autoencoder; lesson 31 builds one and says why
it works. `python3 -m course_lib.experiments.firstlook` trains it again.
"""

import torch
from matplotlib.figure import Figure
from torch import nn

from course_lib import device, plots, sheets, trained

NUMBERS, SLIDERS = 8, 4  # numbers that describe a digit; the first four have a slider each
REACH = 2.5  # the sliders go from -REACH to REACH; in training the numbers were near N(0, 1)


class Generator(nn.Module):
    """Draw digits: shares of the ten digits (B, 10), numbers (B, 8) -> (B, 1, 28, 28) in 0..1."""

    def __init__(self, width=128):
        super().__init__()
        self.first = nn.Linear(10 + NUMBERS, width)
        layers = nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 28 * 28)
        self.rest = nn.Sequential(nn.SiLU(), *layers, nn.Sigmoid())

    def forward(self, digits, numbers):
        return self.rest(self.first(torch.cat([digits, numbers], dim=1))).view(-1, 1, 28, 28)


def load() -> Generator:
    """Return the trained generator, and say whose weights it has."""
    model = Generator()
    trained.load("firstlook", model, "strokes")
    return model.eval().requires_grad_(False)


def shares(digit) -> torch.Tensor:
    """Return (B, 10) shares of numbers (B,) in 0..9: 3.2 is 0.8 of a three and 0.2 of a four."""
    digit = torch.as_tensor(digit, dtype=torch.float32).reshape(-1, 1)
    return (1 - (digit - torch.arange(10)).abs()).clamp(min=0)


@sheets.styled
def picture(model: Generator, digit: float, sliders, hand: int = 0) -> Figure:
    """Show one digit beside what each slider alone does to it; `hand` draws the other numbers."""
    sliders, stops = list(sliders), torch.linspace(-REACH, REACH, 9)
    others = torch.randn(NUMBERS - SLIDERS, generator=device.generator(hand)) * (hand > 0)
    numbers = torch.cat([torch.tensor(sliders), others])
    fig = Figure(figsize=(8, 3.3), dpi=sheets.DPI)
    grey = {"cmap": "gray", "vmin": 0, "vmax": 1, "aspect": "auto"}
    edge = 9 / 8 * REACH  # half a picture beyond the last stop
    large = fig.add_axes((0, 0.02, 0.396, 0.96), xticks=[], yticks=[])
    large.imshow(model(shares(digit), numbers[None])[0, 0].numpy(), **grey)
    for row in range(SLIDERS):
        moved = numbers.repeat(9, 1).index_copy(1, torch.tensor([row]), stops[:, None])
        strip = torch.cat([*model(shares(digit).expand(9, 10), moved)[:, 0]], dim=1).numpy()
        ax = fig.add_axes((0.44, 0.8 - 0.25 * row, 0.55, 0.185), xticks=[], yticks=[])
        ax.plot(sliders[row], -0.12, "^", color=plots.COLOURS[1], markersize=8, clip_on=False)
        ax.imshow(strip, extent=(-edge, edge, 0, 1), **grey)
        ax.set_ylabel(row + 1, rotation=0, labelpad=8, va="center")
    fig.set_label(f"The generator draws a {digit:.1f}; its four sliders stand at {sliders}.")
    return fig
