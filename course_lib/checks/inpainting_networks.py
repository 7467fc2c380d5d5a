"""Checks of lesson 53 for its network layers: the refiner, and partial convolution."""

import torch
from torch import nn

from course_lib.checks import check, require
from course_lib.checks.probes import TOLERANCE, differs, normal

NEAR = 1e-6


class _Part(nn.Module):
    """Stand in for a body: four channels of a constant that tells the position in a block."""

    def __init__(self, step=0.25):
        super().__init__()
        self.last = nn.Conv2d(1, 1, 1)
        self.step, self.seen = step, []

    def forward(self, h):
        self.seen.append(h)
        each = torch.arange(1.0, 5.0, dtype=h.dtype).view(1, 4, 1, 1)
        row = 1 + torch.arange(len(h), dtype=h.dtype).view(-1, 1, 1, 1)  # tells colours apart
        return (self.step * row * each).expand(len(h), 4, *h.shape[2:])


class _Linear(nn.Module):
    """Stand in for a body whose last layer is a convolution, as that of a UNet is."""

    def __init__(self):
        super().__init__()
        self.last = nn.Conv2d(8, 4, 3, padding=1)

    def forward(self, h):
        return self.last(h.float())


def _case(B, C, H, W):
    fill = normal(B, C, H, W, seed=H).float()
    known = torch.rand(B, 1, H, W, generator=torch.Generator().manual_seed(W)) < 0.6
    known[:, :, 0, 0] = True
    if H * W > 1:
        known[:, :, -1, -1] = False
    return fill, known


def _wanted(fill, known, step):
    """Return fill plus, in the hole, what _Part says at each place of its 2 x 2 block."""
    B, C, H, W = fill.shape
    rows, columns = torch.arange(H)[:, None] % 2, torch.arange(W) % 2
    row = 1 + torch.arange(B * C).view(B, C, 1, 1)
    change = step * row * (1.0 + 2 * rows + columns)
    return torch.where(known, fill, fill + change)


@check("inpainting.Refiner")
def refiner(cls):
    """A body of known answers: at odd and tiny sizes, in colour; what is kept, seen, refused."""
    for shape in ((2, 1, 8, 8), (2, 1, 9, 13), (1, 3, 7, 10), (2, 3, 1, 7), (1, 1, 5, 1)):
        fill, known = _case(*shape)
        body = _Part()
        found = cls(body)(fill, known)
        require(
            isinstance(found, torch.Tensor) and found.shape == fill.shape,
            f"a picture {[*shape]} should stay of that size, not "
            f"{[*getattr(found, 'shape', ())]}: crop to H x W, then reshape(B, C, H, W).",
        )
        full = known.expand_as(fill)
        require(
            not torch.equal(found[~full], fill[~full]) or torch.equal(found, fill),
            "the hole keeps the filling and known pixels are changed: known is 1 where kept (R1).",
        )
        require(not torch.equal(found, fill), "the body's change has no effect in the hole.")
        require(
            torch.equal(found[full], fill[full]),
            "known pixels should come back bit for bit: torch.where(known, fill, ...).",
        )
        change = _wanted(fill, known, 0.25) - fill
        require(
            differs(found, torch.where(known, fill, change)) > NEAR,
            "the hole holds the body's change alone: add it to the filling.",
        )
        require(
            differs(found, fill - change) > NEAR,
            "the change is subtracted: here it is added.",
        )
        require(
            differs(found, fill + change) < NEAR,
            f"with a body that says 0.25, 0.5, 0.75, 1 in each block of 2 x 2, twice that for the "
            "second colour, and so on, a picture "
            f"{[*shape]} is wrong. pixel_shuffle undoes pixel_unshuffle; padding stands at the "
            "right and below; reshape to B, C, H, W mixes no colours.",
        )
        require(len(body.seen) == 1, f"the body is asked {len(body.seen)} times; once is enough.")
        _require_inputs(body.seen[0], fill, known)
    fill, known = _case(2, 3, 9, 6)
    stray = _Part(torch.nan)
    require(
        torch.equal(cls(stray)(fill, known)[known.expand_as(fill)], fill[known.expand_as(fill)]),
        "nan of the body reaches known pixels: torch.where, no product with the mask.",
    )
    net = cls(_Linear())
    require(torch.equal(net(fill, known), fill), "before training the filling should come back.")
    found = net(fill, known)
    if found.requires_grad:
        found.sum().backward()
    require(
        all(parameter.grad is not None for parameter in net.parameters()),
        "no gradient reaches the body: nothing would be learned. No detach, no no_grad.",
    )
    return "in the hole the filling plus the change; the rest bit for bit, at five sizes"


def _require_inputs(h, fill, known):
    """Demand that the body sees the hole in four of its eight channels, and nothing of y."""
    B, C, H, W = fill.shape
    require(h.shape[:2] == (B * C, 8), f"the body should see 8 channels, not {h.shape[1]} (R9).")
    hole = nn.functional.pixel_shuffle(h[:, 4:], 2)[:, 0, :H, :W].reshape(fill.shape)
    require(
        torch.equal(hole > 0.5, (~known).expand_as(fill)),
        "channels 4 to 7 should be 1 in the hole and 0 where known (R9).",
    )


@check("inpainting.PartialConv")
def PartialConv(cls):  # noqa: N802  named as its object
    """A mean of ones stays 1 around holes; torch's own where all is known; the mask grows."""
    torch.manual_seed(0)
    layer = cls(2, 3, 3, padding=1).double()
    inner = nn.Conv2d(2, 3, 3, padding=1).double()
    inner.load_state_dict(layer.state_dict())
    x = normal(2, 2, 6, 5, seed=1)
    known = torch.ones(2, 1, 6, 5, dtype=torch.bool)
    found, grown = layer(x, known)
    middle = (..., slice(1, -1), slice(1, -1))
    require(
        differs(found[middle], inner(x)[middle]) < TOLERANCE,
        "where everything is known it should be the convolution itself, bias and all.",
    )
    known[:, :, 1:, 1:] = False
    known[:, :, 5, 4] = True
    found, grown = layer(torch.where(known, x, 9.0), known)
    again, _ = layer(torch.where(known, x, -3.0), known)
    require(
        differs(found, again) < TOLERANCE,
        "what stands in the hole changes the answer (R4): set it to 0 before the convolution.",
    )
    require(
        layer(torch.where(known, x, torch.nan), known)[0].isfinite().all().item(),
        "a nan in the hole passes into the answer: torch.where(known, x, 0), no product.",
    )
    require(grown.dtype == torch.bool, f"the new mask should be bool, not {grown.dtype}.")
    near = nn.functional.max_pool2d(known.double(), 3, 1, 1) > 0
    require(
        grown.shape == known.shape and torch.equal(grown.bool(), near),
        "the new mask should be 1 where the window holds any known pixel.",
    )
    require(
        (found[~near.expand_as(found)] == 0).all().item(),
        "where no pixel of the window is known, the output should be 0, without the bias (R4).",
    )
    with torch.no_grad():
        layer.weight.fill_(1 / 18)
        layer.bias.fill_(0.5)
    ones, _ = layer(torch.ones_like(x), known)
    require(
        differs(ones[near.expand_as(ones)], torch.full_like(ones[near.expand_as(ones)], 1.5))
        < 1e-9,
        "a mean of ones should be 1, plus the bias, however few of the window are known: divide by "
        "the known share of the window; the bias comes after.",
    )
    return "a mean of known pixels stays one; the hole is unseen, and shrinks by a pixel"
