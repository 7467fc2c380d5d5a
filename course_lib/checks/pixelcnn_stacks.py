"""Checks of lesson 42 for whole layers and models: what each guess depends on, by the Jacobian."""

import copy

import torch
from torch import nn
from torch.nn import functional as F

from course_lib.checks import causality, check, require
from course_lib.checks.probes import TOLERANCE, differs, normal

SHAPE = (1, 6, 7)
HEIGHT, WIDTH = SHAPE[1:]
NEW = "self.out(gate(left + self.across(shifted v)))"


def _places():
    return [divmod(pixel, WIDTH) for pixel in range(HEIGHT * WIDTH)]


def _table(sees) -> torch.Tensor:
    """Return bool (D, D) of sees(rows up, columns to the right) for all pairs i (row), j."""
    pairs = [[sees(r - u, c - d) for u, c in _places()] for r, d in _places()]
    return torch.tensor(pairs)


class _Probe(nn.Module):
    """One layer as a model of pixels; stack: 0 for the vertical answer, 1 for the other."""

    def __init__(self, layer, stack):
        super().__init__()
        self.layer, self.stack = layer, stack

    def forward(self, x):
        right = F.pad(x, (1, 0))[..., :-1]
        return self.layer(x, right)[self.stack].sum(dim=1, keepdim=True)


def _require_stack(cls, stack, size, sees, may, cures):
    layer = cls(1, 4, size)
    seen = causality.jacobian(_Probe(layer, stack), SHAPE)
    name = f"size {size}, the {('vertical', 'horizontal')[stack]} stack"
    if seen[:WIDTH, -WIDTH:].any():
        cures = cures | {"ahead": "The last row comes in at the top: zeros must, so use shifted."}
    causality.require_causal(
        seen, SHAPE, wanted=_table(sees), allowed=_table(may), name=name, cures=cures
    )


def _oracle(layer, v, h):
    """Return both answers with the layer's weights, by full masked squares instead of crops."""
    r, down = layer.reach, torch.zeros_like
    kernel = F.pad(layer.vertical.weight, (0, 0, 0, r))
    v = F.conv2d(v, kernel, layer.vertical.bias, padding=r)
    kernel = F.pad(layer.horizontal.weight, (0, r))
    left = F.conv2d(h, kernel, layer.horizontal.bias, padding=(0, r))
    moved = down(v)
    moved[:, :, 1:] = v[:, :, :-1]
    sums = {"": left + layer.across(moved), "self.across": left + moved}
    gated = {name: _gated(total) for name, total in sums.items()}
    news = {name: layer.out(part) for name, part in gated.items()}
    return _gated(v), h, news | {"self.out": gated[""]}


def _gated(both):
    a, b = both.tensor_split(2, dim=1)
    return a.tanh() * b.sigmoid()


CURES = {
    "weight of size": "A 1x1 gets the wrong channels: self.across takes what self.vertical gives, "
    "before the gate; self.out takes what the gate gives.",
    "dimension 1": "In the first layer h has other channels than the new part: return the new "
    "part alone there, h + new elsewhere.",
    "dimension 3": "Parts of different widths are added: pad h by (r, 0, 0, 0), on the left only, "
    "and v by (r, r, r, 0).",
    "dimension 2": "Parts of different heights are added: pad v by (r, r, r, 0), h by none above.",
}


def _answers(layer, v, h):
    """Return what the layer returns; a slip that ends in an error of torch gets its own words."""
    try:
        found = layer(v, h)
    except RuntimeError as error:
        for words, cure in CURES.items():
            require(words not in str(error), f"{error}\n  {cure}")
        raise
    require(
        isinstance(found, tuple) and len(found) == 2,
        "forward returns two things, v, h, in this order: what the stacks pass on.",
    )
    return found


def _require_order(cls):
    """Demand two answers, the first without any of h."""
    layer, v, h = cls(3, 4), torch.ones(1, 3, *SHAPE[1:]), torch.ones(1, 3, *SHAPE[1:])
    first, again = _answers(layer, v, h)[0], _answers(layer, v, 2 * h)[0]
    require(
        torch.equal(first, again),
        "The first answer hangs on h: forward returns v, h, in this order, and the vertical stack "
        "never listens to the horizontal one.",
    )


def _require_numbers(cls):
    for channels, hidden in ((3, 4), (4, 4)):
        layer = copy.deepcopy(cls(channels, hidden)).double()
        for part in (layer.vertical, layer.across):  # in row 0, the order of shift and 1x1 is free
            nn.init.zeros_(part.bias)
        v, h = normal(2, channels, *SHAPE[1:], seed=1), normal(2, channels, *SHAPE[1:], seed=2)
        with torch.no_grad():
            found, (wanted, old, news) = _answers(layer, v, h), _oracle(layer, v, h)
        new = news.pop("")
        require(
            differs(found[0], wanted) < TOLERANCE,
            "the vertical stack passes on gate(v), after its convolution and before the shift.",
        )
        for name, part in news.items():
            slips = (part, old + part) if channels == hidden else (part,)
            missing = any(differs(found[1], slip) < TOLERANCE for slip in slips)
            require(not missing, f"{name} is missing: the new part is {NEW}.")
        if channels != hidden:
            require(
                differs(found[1], new) < TOLERANCE,
                "in the first layer, where h has other channels, the horizontal stack should pass "
                f"on {NEW}, and nothing else.",
            )
            continue
        require(
            differs(found[1], new) > TOLERANCE,
            "the old h is not added: h + new, so that the stack is residual.",
        )
        require(
            differs(found[1], old + new) < TOLERANCE,
            f"the horizontal stack passes on h + {NEW}.",
        )


@check("pixelcnn.GatedLayer")
def gated_layer(cls):
    """Find the fields of both stacks by the Jacobian, then compare the numbers."""
    _require_order(cls)
    for size in (3, 5):
        r = size // 2
        _require_stack(
            cls,
            0,
            size,
            sees=lambda up, right, r=r: 0 <= up <= r and abs(right) <= r,
            may=lambda up, right: up >= 0,
            cures={
                "ahead": "Rows below are seen: pad v by r above, left and right, by 0 below.",
                "blind": "Its rectangle is cut: F.pad(v, (r, r, r, 0)).",
            },
        )
        _require_stack(
            cls,
            1,
            size,
            sees=lambda up, right, r=r: (
                (up == 0 and -r - 1 <= right < 0) or (1 <= up <= r + 1 and abs(right) <= r)
            ),
            may=lambda up, right: up > 0 or (up == 0 and right < 0),
            cures={
                "ahead": "Pixels to the right in the same row come from the vertical stack, which "
                "knows its own row: ask it one row further up, shifted(v, rows=1).",
                "itself": "Its own pixel comes in: shift v by a row, and pad h on the left only.",
                "blind": "Something earlier is not heard: the left part needs F.pad(h, (r, 0, 0, "
                "0)), and the rows above come through self.across, unmasked (A2), shifted by one "
                "row and no more.",
            },
        )
    _require_numbers(cls)
    return "rectangles above, the row to the left, nothing else; equal to full masked squares"


def _require_model(make, name, wanted=None, cures=causality.CURES):
    mean = torch.rand(SHAPE, generator=torch.Generator().manual_seed(1))
    model = make(mean)
    seen = causality.jacobian(model, SHAPE)
    causality.require_causal(seen, SHAPE, wanted=wanted, name=name, cures=cures)


@check("pixelcnn.PixelMLP")
def pixel_mlp(cls):
    """Demand exactly the square of the first mask, then all earlier pixels."""
    cures = {
        "itself": "Is the first layer of kind A, and is its mask used?",
        "ahead": "Does the first layer use its mask?",
        "blind": "Is the first layer of the wanted size?",
    }
    _require_model(lambda mean: cls(mean, hidden=8, size=13), "size 13", cures=cures)
    near = _table(lambda up, right: up >= 0 and up <= 2 and abs(right) <= 2)
    wanted = near & causality.earlier(SHAPE)
    _require_model(lambda mean: cls(mean, hidden=8, size=5), "size 5", wanted, cures)
    return "sees the past within its mask, all of it and nothing else"


@check("pixelcnn.PixelStack")
def pixel_stack(cls):
    """Demand what a stack of 3x3 masks can see: all but the blind spot."""
    reachable = _table(lambda up, right: up >= 0 and right <= up) & causality.earlier(SHAPE)
    cures = {
        "itself": "The first layer must be of kind A.",
        "ahead": "A layer without a mask.",
        "blind": "Layers after the first are of kind B, which keeps the centre and the row's left "
        "side (A1); kind A in all of them moves the view away.",
    }
    _require_model(lambda mean: cls(mean, hidden=6, layers=8), "8 layers", reachable, cures)
    return "all but the wedge: what is further right than up"


@check("pixelcnn.PixelCNN")
def pixel_cnn(cls):
    """Demand that all earlier pixels are seen, none else."""
    cures = {
        "itself": "The first h must not hold the answer: shifted by one column (kind A).",
        "ahead": "Is h shifted to the right, and does each layer use the shifted v?",
        "blind": "Does v reach every layer, and h as well?",
    }
    for size in (3, 7):
        _require_model(lambda mean, s=size: cls(mean, 6, 8, s), f"first size {size}", cures=cures)
    return "two stacks: every earlier pixel is seen, no wedge, and no other"
