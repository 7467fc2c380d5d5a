"""Checks of lesson 42: masks, the masked convolution, gates, shifts; stacks beside."""

import itertools

import torch
from torch.nn import functional as F

from course_lib.checks import causality, check, require
from course_lib.checks.pixelcnn_fields import sees
from course_lib.checks.pixelcnn_sampling import sample_rows
from course_lib.checks.pixelcnn_stacks import gated_layer, pixel_cnn, pixel_mlp, pixel_stack
from course_lib.checks.probes import TOLERANCE, differs, normal
from course_lib.settings import CourseError

__all__ = [
    "causal_mask",
    "gate",
    "gated_layer",
    "masked_conv",
    "pixel_cnn",
    "pixel_mlp",
    "pixel_stack",
    "sample_rows",
    "sees",
    "shifted",
]

SHAPE = (1, 5, 6)


def _drawn_before(size) -> torch.Tensor:
    """Return bool (size, size): the places drawn before the centre, by their numbers."""
    return torch.arange(size * size).view(size, size) < size * size // 2


def _picture(mask) -> str:
    rows = [" ".join("#" if value else "." for value in row) for row in mask]
    return "\n    " + "\n    ".join(rows) + "\n  "


@check("pixelcnn.causal_mask")
def causal_mask(function):
    """Compare with the numbers of the places; refuse what has no centre."""
    for kind, size in itertools.product("AB", (1, 3, 5, 7)):
        mask, half = function(kind, size), size // 2
        require(
            isinstance(mask, torch.Tensor)
            and mask.shape == (size, size)
            and mask.dtype == torch.bool,
            f"size {size} should give bool ({size}, {size}); yours is "
            f"{getattr(mask, 'dtype', type(mask))} {tuple(getattr(mask, 'shape', ()))}. "
            "Change the given mask of dtype=torch.bool, all True, and return it.",
        )
        wanted = _drawn_before(size)
        wanted[half, half] = kind == "B"
        if torch.equal(mask, wanted):
            continue
        start = f"of kind {kind} and size {size} it lets through: {_picture(mask)}"
        require(
            mask[half].any() or half == 0,
            start + "The whole centre row is 0, and with it the left neighbours (bug A1): forbid "
            "the rows from half + 1 on.",
        )
        require(
            kind == "B" or not mask[half, half],
            start + "Kind A must not see the centre: there stands the answer (A5).",
        )
        require(
            mask[half, half] or not wanted[half, half],
            start + "Kind B sees the centre: there stands what A gathered without the answer. Cut "
            "the centre row from half + 1 on.",
        )
        require(
            not (mask & ~wanted).any(),
            start + "Later places are let through: forbid the rest of the centre row and all rows "
            "below it.",
        )
        require(False, start + "Some of the places drawn before are missing: rows above, all left.")
    for size in (2, 4):
        try:
            function("A", size)
        except CourseError:
            continue
        require(False, f"size {size} has no centre: keep the CourseError for even sizes.")
    return "kinds A and B, sizes 1 to 7: exactly what is drawn before; even sizes are refused"


def _field(kind, size) -> torch.Tensor:
    """Return bool (D, D), [i, j]: a masked convolution at i sees j; written as two loops."""
    _, height, width = SHAPE
    places = list(itertools.product(range(height), range(width)))
    half, seen = size // 2, torch.zeros(len(places), len(places), dtype=torch.bool)
    for i, (row, column) in enumerate(places):
        for j, (above, beside) in enumerate(places):
            near = abs(above - row) <= half and abs(beside - column) <= half
            seen[i, j] = near and (j < i or (j == i and kind == "B"))
    return seen


def _require_field(cls, kind, size):
    seen = causality.jacobian(cls(kind, 1, 1, size), SHAPE)
    if kind == "A":
        allowed = causality.earlier(SHAPE)
    else:
        allowed = causality.earlier(SHAPE) | torch.eye(30, dtype=torch.bool)
    causality.require_causal(
        seen,
        SHAPE,
        wanted=_field(kind, size),
        allowed=allowed,
        name=f"kind {kind}, size {size}",
        cures={
            "itself": "Is the mask used (self.weight * self.mask), and are there reach zeros on "
            "the left, F.pad(x, (left, right, top, bottom))?",
            "ahead": "Is the mask used (self.weight * self.mask), and does each output stand at "
            "its pixel? F.pad(x, (left, right, top, bottom)): reach, reach, reach and 0.",
            "blind": "The output has moved away from its pixel: F.pad(x, (left, right, top, "
            "bottom)), reach on the left and on the right, reach above, 0 below.",
        },
    )


@check("pixelcnn.MaskedConv2d")
def masked_conv(cls):
    """Find its field by the Jacobian; compare the numbers with a full convolution."""
    for kind, size in itertools.product("AB", (3, 5)):
        layer, x = cls(kind, 2, 3, size).double(), normal(4, 2, 5, 6, seed=1)
        layer.weight.data = normal(*layer.weight.shape, seed=2)
        y = layer(x)
        require(isinstance(y, torch.Tensor), "forward should return a tensor: is a return missing?")
        require(
            y.shape == (4, 3, 5, 6),
            f"(4, 2, 5, 6) should give (4, 3, 5, 6), not {tuple(y.shape)}: pad by reach above, "
            "left and right, by 0 below.",
        )
        _require_field(cls, kind, size)
        whole = torch.zeros(3, 2, size, size, dtype=torch.float64)
        whole[:, :, : size // 2 + 1] = layer.weight.detach() * layer.mask
        wanted = F.conv2d(x, whole, padding=size // 2)
        require(differs(y, wanted) > TOLERANCE, "the bias is missing: F.conv2d(x, ___, self.bias).")
        wanted = wanted + layer.bias[:, None, None]
        require(
            differs(y, wanted) < TOLERANCE,
            f"the first number should be {wanted[0, 0, 0, 0]:.4f}, yours is {y[0, 0, 0, 0]:.4f}: "
            "F.conv2d of the padded x, the masked weight and the bias.",
        )
        (slope,) = torch.autograd.grad(y.square().sum(), layer.weight)
        require(
            (slope[..., layer.mask] != 0).all(), "the weights get no gradient: do not detach them."
        )
    return "kinds A and B, sizes 3 and 5: sees what it may, and equals a full convolution"


@check("pixelcnn.gate")
def gate(function):
    """Compare with the formula; the ways to mix it up are told apart."""
    h = normal(3, 8, 2, 5, seed=1)
    found = function(h)
    require(
        isinstance(found, torch.Tensor) and found.shape == (3, 4, 2, 5),
        f"(3, 8, 2, 5) should give (3, 4, 2, 5), half the channels; yours is "
        f"{tuple(getattr(found, 'shape', ()))}. chunk(2, dim=1).",
    )
    a, b = h[:, :4], h[:, 4:]
    require(
        differs(found, b.tanh() * a.sigmoid()) > TOLERANCE,
        "the halves are exchanged: a, the first one, through tanh; b through the sigmoid.",
    )
    odd, even = h[:, 1::2], h[:, ::2]
    require(
        differs(found, even.tanh() * odd.sigmoid()) > TOLERANCE,
        "the halves are mixed: a is the first half of the channels, not every other one.",
    )
    wanted = a.tanh() * b.sigmoid()
    require(
        differs(found, a.tanh() + b.sigmoid()) > TOLERANCE, "a gate multiplies; it does not add."
    )
    require(
        differs(found, wanted) < TOLERANCE,
        f"the first number should be {wanted[0, 0, 0, 0]:.4f}, yours is {found[0, 0, 0, 0]:.4f}: "
        "tanh(a) times sigmoid(b).",
    )
    return "tanh(a) sigmoid(b) of the two halves, in their order"


@check("pixelcnn.shifted")
def shifted(function):
    """Compare place by place, for several shifts; watch what comes in at the rim."""
    x = normal(2, 3, 5, 7, seed=1)
    for rows, columns in ((0, 0), (1, 0), (0, 1), (2, 3)):
        before, name = x.clone(), f"rows={rows}, columns={columns}: "
        found = function(x, rows=rows, columns=columns)
        require(torch.equal(x, before), name + "it writes into its argument; return a new tensor.")
        require(
            found.shape == x.shape,
            name + f"the shape became {tuple(found.shape)}; cut to the first H rows, W columns.",
        )
        wanted = torch.zeros_like(x)
        wanted[:, :, rows:, columns:] = x[:, :, : 5 - rows, : 7 - columns]
        if torch.equal(found, wanted):
            continue
        rolled = x.roll((rows, columns), (2, 3))
        require(
            differs(found, rolled) > 0,
            name + "what leaves on one side comes in on the other: the first row then knows the "
            "last one, a leak. Zeros must come in.",
        )
        back = torch.zeros_like(x)
        back[:, :, : 5 - rows, : 7 - columns] = x[:, :, rows:, columns:]
        require(
            differs(found, back) > 0,
            name + "it moved up or left, and shows what is not drawn yet. Pad above and to the "
            "left, and keep the first rows and columns.",
        )
        require(
            differs(found, x) > 0, name + "nothing moved: pad first, then cut at the other end."
        )
        require(
            False,
            name + "y[i, j] should be x[i - rows, j - columns], and 0 where that is outside. "
            "F.pad(x, (left, right, top, bottom)): columns come first.",
        )
    return "moved down and right by several steps; zeros come in, nothing wraps around"
