"""Checks of lesson 00: numbers and their ranges; colour and the first test lie beside it."""

import torch

from course_lib import datasets
from course_lib.checks import check, require
from course_lib.checks.probes import differs
from course_lib.checks.start_here_pictures import average, paint, require_tensor, to_grey
from course_lib.checks.start_here_quiz import where_to_start

__all__ = [
    "average",
    "count_greys",
    "paint",
    "to_bytes",
    "to_float",
    "to_grey",
    "where_to_start",
]

RANGES = [(0, 1), (-1, 1), (2, 5)]


def _bytes() -> torch.Tensor:
    """Return every byte once, as an image (1, 1, 16, 16)."""
    return torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)


@check("start_here.to_float")
def to_float(function):
    """Map all 256 bytes into three ranges, and a dark picture whose largest byte is 100."""
    x = _bytes()
    out = function(x)
    _require_float(out, x)
    tops = {
        "out of bytes come numbers up to 255: divide by 255, so white is 1 (E1).": 255.0,
        "white becomes 0.0039: it is divided by 255 twice (E1).": 1 / 255,
        "white becomes 0.9961, not 1: divide by 255. There are 256 bytes, but the largest is "
        "255.": 255 / 256,
    }
    for message, top in tops.items():
        require(abs(out.max().item() - top) > 1e-5, message)
    require(
        abs(out.min().item()) < 1e-5,
        f"without a range, black and white should become 0 and 1; black becomes {out.min():g}. "
        "Use low and high, which say 0 and 1 unless somebody asks for something else (E6).",
    )
    different = len(out.unique())
    require(
        different == 256,
        f"256 different bytes become only {different} different numbers: // and round() cut the "
        "decimals off. Divide with /.",
    )
    dark = function(torch.tensor([[0, 50, 100]], dtype=torch.uint8))
    require(
        abs(dark.max().item() - 100 / 255) < 1e-5,
        f"in a dark picture the byte 100 becomes {dark.max():.3f}, not {100 / 255:.3f}. Divide by "
        "255, not by the picture's own largest value: a dark picture stays dark (E4).",
    )
    ignored = all(differs(function(x, *ends), function(x)) < 1e-5 for ends in RANGES)
    require(not ignored, "low and high are accepted and ignored: every range gives 0 to 1 (E6).")
    for low, high in RANGES:
        _require_range(function, x, low, high)
    require(torch.equal(x, _bytes()), "the picture that came in was changed: make a new one.")
    return "all 256 bytes in 0 to 1, -1 to 1 and 2 to 5; a dark picture stays dark"


def _require_range(function, x, low: int, high: int):
    out, right = function(x, low, high), datasets.to_float(_bytes(), (low, high))
    if differs(out, right) < 1e-5:
        return
    require(
        differs(function(x.float(), low, high), right) > 1e-5,
        f"the formula is right, but for the range ({low}, {high}) it multiplies bytes by "
        f"{high - low}, and bytes wrap around at 256: x.float() first.",
    )
    require(
        False,
        f"for the range ({low}, {high}) black and white should become {low} and {high}; yours are "
        f"{out.min():.3f} and {out.max():.3f}. Stretch 0..1 by (high - low), in brackets, then add "
        "low.",
    )


def _require_float(out, x):
    require_tensor(out)
    require(
        out.dtype == torch.float32,
        f"it should return float32; yours is {out.dtype}. Bytes cannot hold what lies between 0 "
        "and 1: x.float() comes first.",
    )
    require(
        out.shape == x.shape,
        f"the shape should stay {tuple(x.shape)}; yours is {tuple(out.shape)}.",
    )


@check("start_here.to_bytes")
def to_bytes(function):
    """Take floats back to bytes: rounded, cut off at the ends, and all 256 there and back."""
    x = torch.tensor([[0.0, 0.25, 0.9988, 1.0]])
    out = function(x)
    require_tensor(out)
    require(out.dtype == torch.uint8, f"it should return uint8; yours is {out.dtype}.")
    require(
        out.shape == x.shape,
        f"the shape should stay {tuple(x.shape)}; yours is {tuple(out.shape)}.",
    )
    require(
        out.max() > 1,
        "white becomes 1, nearly black as a byte: multiply by 255 before you make bytes.",
    )
    require(
        out[0, 2] != 254,
        "0.9988 is 254.7 as a byte, so 255; yours is 254: to(torch.uint8) cuts decimals off. "
        "Round first.",
    )
    require(
        out.tolist() == [[0, 64, 255, 255]],
        f"0, 0.25, 0.9988 and 1 should become 0, 64, 255 and 255; yours are {out[0].tolist()}.",
    )
    dark = function(torch.tensor([0.0, 0.4]))
    require(
        dark.tolist() == [0, 102],
        f"a dark picture of 0 and 0.4 should become 0 and 102; yours is {dark.tolist()}. The range "
        "is from low to high, not from the picture's own smallest to its own largest value (E4).",
    )
    near = function(torch.tensor([0.01, 0.6995])).tolist()
    require(
        near == [3, 178],
        f"0.01 is 2.55 as a byte and 0.6995 is 178.37, so the nearest are 3 and 178; yours are "
        f"{near}. Times 255, not 256, since white is 255; then round.",
    )
    outside = function(torch.tensor([-0.2, 1.2]))
    require(
        outside.tolist() == [0, 255],
        f"-0.2 and 1.2 stick out of the range and should become 0 and 255; yours are "
        f"{outside.tolist()}: they wrapped around. clamp(0, 255) before the bytes are made.",
    )
    for low, high in RANGES:
        there = datasets.to_float(_bytes(), (low, high))
        back = function(there, low, high)
        wrong = int((back != _bytes()).sum())
        require(
            not wrong,
            f"{wrong} of the 256 bytes do not come back from the range ({low}, {high}) (E6). Undo "
            "to_float step by step: subtract low, divide by (high - low), multiply by 255.",
        )
    grey = torch.tensor([0.4])
    function(grey)
    require(grey.item() == torch.tensor(0.4).item(), "the picture that came in was changed.")
    return "rounded, cut off at 0 and 255, and all 256 bytes come back from three ranges"


@check("start_here.count_greys")
def count_greys(function):
    """Compare with counting one by one; most of the 256 values do not occur."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randint(0, 12, (3, 1, 5, 7), generator=draw, dtype=torch.uint8) * 9
    right = torch.zeros(256)
    for value in x.flatten().tolist():
        right[value] += 1
    out = function(x)
    require_tensor(out)
    require(
        tuple(out.shape) == (256,),
        f"it should return 256 counts, one for each byte from 0 to 255, zeros included; yours has "
        f"the shape {tuple(out.shape)}. minlength=256 keeps the bytes that do not occur.",
    )
    out = out.double()
    require(
        not torch.equal(out, (right > 0).double()),
        "each value was counted once, however often it occurs: counts[x] += 1 does that.",
    )
    require(
        abs(out.sum().item() - 1) > 1e-6,
        "these are shares that sum to 1: return the counts; who wants shares divides.",
    )
    require(
        abs(out.sum().item() - right.sum().item()) < 1e-6,
        f"the counts should sum to the number of pixels, {x.numel()}; yours sum to {out.sum():g}. "
        "Count the pixels of all images, not of the first.",
    )
    require(
        torch.equal(out, right.double()),
        "the counts sum to the right number, but stand in the wrong places: entry v says how many "
        "pixels have the value v, also for 0 and for 255.",
    )
    ends = function(torch.tensor([[0, 255, 255]], dtype=torch.uint8))
    require(
        [int(ends[v]) for v in (0, 254, 255)] == [1, 0, 2],
        "the bytes 0, 255 and 255 should give counts of 1 at 0 and 2 at 255, which has an entry of "
        "its own.",
    )
    return f"equal to counting {x.numel()} pixels one by one, zeros included"
