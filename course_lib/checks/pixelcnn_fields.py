"""Check of lesson 42: what one guess depends on, found by back-propagation from one pixel."""

import torch
from torch import nn

from course_lib.checks import check, require


class _Knight(nn.Module):
    """Output (r, c) depends on pixels (r, c) and (r - 1, c - 2), in a picture of 4 x 5."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.full((1, 4, 5), 0.5))
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return self.weight * x.square() * (1 + x.roll((1, 2), (2, 3)))


def _wanted(*places):
    seen = torch.zeros(4, 5, dtype=torch.bool)
    for place in places:
        seen[place] = True
    return seen


@check("pixelcnn.sees")
def sees(function):
    """Ask for two pixels of a model whose dependence is known."""
    model = _Knight()
    for row, column in ((3, 2), (2, 3)):
        found = function(model, row, column)
        require(
            isinstance(found, torch.Tensor) and found.shape == (4, 5),
            "a picture of 4 x 5 should give (4, 5), not "
            f"{tuple(getattr(found, 'shape', ()))}: grad returns a tuple of one, (1, 1, H, W).",
        )
        require(found.dtype == torch.bool, "Yes or no for each pixel: gradient != 0.")
        wanted = _wanted((row, column), (row - 1, column - 2))
        require(not found.all(), "All pixels are seen: back-propagate from one logit, not a sum.")
        require(not torch.equal(found, ~wanted), "It is turned round: True where it is not 0.")
        other = _wanted((column, row), (column - 1, row - 2))
        require(
            not torch.equal(found, other),
            "row and column are exchanged: the logit is model(x)[0, 0, row, column].",
        )
        require(
            torch.equal(found, wanted),
            f"the guess at ({row}, {column}) depends on {wanted.nonzero().tolist()}; yours says "
            f"{found.nonzero().tolist()}.",
        )
    return "exactly the pixels that one guess depends on"
