"""Checks of lesson 00, colours and masks: to_grey, paint, average."""

import torch

from course_lib import images
from course_lib.checks import check, require
from course_lib.checks.probes import TOLERANCE, differs

NAMES = ("red", "green", "blue")


def _random(*shape, seed=0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=draw, dtype=torch.float64)


def require_tensor(out):
    """Raise CheckFailed unless an answer is a tensor."""
    hint = " Is there a return?" if out is None else ""
    message = f"it should return a tensor; yours is {type(out).__name__}.{hint}"
    require(isinstance(out, torch.Tensor), message)


@check("start_here.to_grey")
def to_grey(function):
    """Try white, one colour at a time, and pictures three pixels high, where axes get confused."""
    x = _random(2, 3, 3, 5)
    out = function(x)
    require_tensor(out)
    require(
        out.shape == (2, 1, 3, 5),
        f"pictures (2, 3, 3, 5) should give (2, 1, 3, 5), one channel that is kept as an axis "
        f"(keepdim=True); yours has {tuple(out.shape)}.",
    )
    white = function(torch.ones(1, 3, 4, 4, dtype=torch.float64))
    require(
        differs(white, torch.ones_like(white) / 3) > 1e-6,
        "white becomes 0.333: the weighted channels are averaged. Add them up, with sum: "
        "weights that sum to 1 make a weighted mean of it.",
    )
    require(
        differs(white, torch.ones_like(white)) < 1e-6,
        f"white should stay 1; yours becomes {white.flatten()[0]:.3f}. The three weights sum to 1.",
    )
    got = []
    for channel in range(3):
        pure = torch.zeros(1, 3, 4, 4, dtype=torch.float64)
        pure[:, channel] = 1
        got.append(function(pure).mean().item())
    luma = images.LUMA
    require(
        any(abs(value - 1 / 3) > 1e-3 for value in got),
        "this is the plain mean: red, green and blue all become the same grey. The eye sees green "
        f"brightest: the weights are {luma}.",
    )
    require(
        any(abs(value - w) > 1e-3 for value, w in zip(got, luma[::-1], strict=True)),
        "red and blue are exchanged (BGR): channel 0 is red.",
    )
    for name, value, weight in zip(NAMES, got, luma, strict=True):
        require(
            abs(value - weight) < 1e-6,
            f"pure {name} should become a grey of {weight}; yours is {value:.3f}. Each channel is "
            "multiplied by its own weight: weights (3,) meet x (N, 3, H, W) as w[:, None, None].",
        )
    right = sum(weight * x[:, [k]] for k, weight in enumerate(luma))
    require(
        differs(out, right) < 1e-6,
        "pure colours are right and mixed ones are not: grey is the sum of the weighted channels.",
    )
    return "white stays white, each colour has its weight, and mixtures are their sum"


@check("start_here.paint")
def paint(function):
    """Paint where the mask is 0, 1 and in between; a picture three pixels wide tells the axes."""
    picture, mask = _random(3, 4, 3), _random(1, 4, 3, seed=1)
    before, colour = picture.clone(), torch.tensor([0.9, 0.2, 0.5], dtype=torch.float64)
    spread = colour[:, None, None].expand(3, 4, 3)
    none, full = (torch.full((1, 4, 3), float(v), dtype=torch.float64) for v in (0, 1))
    require_tensor(function(picture, colour, mask))
    require(torch.equal(picture, before), "the picture that came in was changed: make a new one.")
    out = function(picture, colour, none)
    require(
        out.shape == picture.shape,
        f"the picture is (3, 4, 3) and should stay so; yours is {tuple(out.shape)}.",
    )
    require(
        differs(out, spread) > TOLERANCE,
        "the mask is the wrong way round (mistake R1): where it is 0 the picture should stay.",
    )
    require(
        differs(out, picture) < TOLERANCE,
        "where the mask is 0, nothing of the picture should change.",
    )
    out = function(picture, colour, full)
    require(
        differs(out, picture + spread) > TOLERANCE,
        "the colour is added to what was there, and gets too bright: take away the share mask of "
        "the picture first.",
    )
    require(
        differs(out, spread) < TOLERANCE,
        "where the mask is 1 only the colour should be left, one number for each channel: colour "
        "(3,) meets the picture (3, H, W) as colour[:, None, None].",
    )
    out, right = function(picture, colour, mask), (1 - mask) * picture + mask * spread
    require(
        differs(out, torch.where(mask > 0.5, spread, picture)) > TOLERANCE,
        "the mask is taken as yes or no: at 0.3 there should be three tenths of the colour.",
    )
    require(
        differs(out, right) < TOLERANCE,
        "in between, a share `mask` of the colour and a share `1 - mask` of the picture belong "
        f"together; yours is off by {differs(out, right):.2g}.",
    )
    return "nothing where the mask is 0, the colour where it is 1, their mixture in between"


@check("start_here.average")
def average(function):
    """Average bright pictures, whose sum does not fit into a byte, and an odd number of them."""
    draw = torch.Generator().manual_seed(2)
    x = torch.randint(120, 256, (5, 1, 3, 4), generator=draw, dtype=torch.uint8)
    right = sum(x[k].double() for k in range(5)) / 5
    out = function(x)
    require_tensor(out)
    require(
        out.shape == (1, 3, 4),
        f"5 pictures (1, 3, 4) have one average (1, 3, 4); yours is {tuple(out.shape)}. The "
        "average runs over the first axis.",
    )
    require(
        out.is_floating_point(),
        f"an average of bytes lies between bytes: return floats; yours is {out.dtype}.",
    )
    out = out.double()
    wrapped = sum((x[k].long() for k in range(5)), torch.zeros(1, 3, 4).long()) % 256 / 5
    require(
        differs(out, wrapped) > 1e-3,
        "the sum was kept in bytes and wrapped around at 256: add up floats.",
    )
    require(
        differs(out, 5 * right) > 1e-3,
        "this is the sum: divide by the number of pictures.",
    )
    require(
        differs(out, right / 255) > 1e-3,
        "the range was changed to 0 to 1: bytes came in, so answer in 0 to 255.",
    )
    off = out - right
    require(
        not (off.max() <= 1e-3 and off.min() > -1 and off.min() < -1e-3),
        "the decimals are cut off: divide floats with /, not with //, and do not go back to bytes.",
    )
    require(
        differs(out, right.round()) > 1e-3,
        "the average is rounded to whole numbers: keep its decimals.",
    )
    require(
        differs(out, right) < 1e-3,
        f"the average should be {right[0, 0, 0]:.1f} in the first pixel; yours is "
        f"{out[0, 0, 0]:.1f}. Every picture counts once.",
    )
    return "five bright pictures, whose sum no byte can hold"
