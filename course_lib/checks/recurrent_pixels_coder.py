"""Checks of lesson 41 for the coder: push and pop by counting numbers, compress by unpacking."""

import math

import numpy as np
import torch

from course_lib.built.autoregressive import log_prob
from course_lib.checks import check, require
from course_lib.checks.probes import normal
from course_lib.settings import CourseError

SHARES = {"a": (0, 4), "b": (4, 3), "c": (7, 1)}  # of eighths, as in the lesson
STARTS = (0, 4, 7, 8)
LARGE = 3**200  # no float holds it


def _numbers(start, width, total):
    """Return the whole numbers whose slot lies in [start, start + width), as they come."""
    return [number for number in range(40 * total) if start <= number % total < start + width]


def _require_no_mistake(found: dict):
    """Say which common mistake makes all the found numbers, (state, start, width) -> number."""
    mistakes = {
        "the slot does not lie in the symbol's interval: + start.": lambda x, f, w: (
            x // w * 8 + x % w
        ),
        "within the block, go to the start and on by the rest, + state % width.": (
            lambda x, f, w: x // w * 8 + f
        ),
        "+ binds before <<: brackets around (state // width << bits).": (
            lambda x, f, w: x // w << 3 + f + x % w
        ),
        "the rest is that of the division by the width: state % width.": (
            lambda x, f, w: x // w * 8 + f + x % 8
        ),
        "the blocks before it are state // width; each number of a block is NOT a block.": (
            lambda x, f, w: x * 8 + f + x % w
        ),
    }
    for words, mistake in mistakes.items():
        wrong = all(number == mistake(*case) for case, number in found.items())
        require(not wrong, words)


@check("recurrent_pixels.push")
def push(function):
    """Compare with the numbers of each symbol, counted out; then a state of any size."""
    cases = [(state, *share) for share in SHARES.values() for state in range(30)]
    found = {case: function(*case, bits=3) for case in cases}
    require(
        all(isinstance(number, int) for number in found.values()),
        "the state must stay a whole number: // instead of /.",
    )
    _require_no_mistake(found)
    for (state, start, width), number in found.items():
        right = _numbers(start, width, 8)[state]
        require(
            number == right,
            f"of the numbers with slots {start} to {start + width - 1} of 8, the one with number "
            f"{state} is {right}; yours is {number}: state // width blocks of 2**bits, + start, "
            "+ state % width.",
        )
    for bits in (3, 16):
        found = function(LARGE, 1, 5, bits=bits)
        exact = (LARGE // 5) * 2**bits + 1 + LARGE % 5
        require(
            found == exact,
            f"with bits={bits} and a state of {LARGE.bit_length()} bits, "
            "yours is off: `bits` says how wide a block is, and // and % (no /, no math.floor) "
            "keep every digit.",
        )
    return "the numbers of each symbol, as counted out; exact at any size"


@check("recurrent_pixels.pop")
def pop(function):
    """Demand what was pushed, for each symbol and state."""
    from course_lib.built.recurrent_pixels import push  # lessons are built before checks run

    for symbol, (letter, (start, width)) in enumerate(SHARES.items()):
        for state in [*range(30), LARGE]:
            packed = push(state, start, width, bits=3)
            found = function(packed, STARTS, bits=3)
            require(
                isinstance(found, tuple | list) and len(found) == 2,
                f"it should return symbol and state, a pair; yours returns {found!r}.",
            )
            case = f"{letter} on {state if state < 30 else 'a large state'}: "
            require(
                found[0] == symbol, case + f"the symbol should be {symbol}, yours is {found[0]}."
            )
            require(
                not isinstance(found[1], np.integer),
                "the state is one of numpy's numbers, which end at 2**63: use Python's int.",
            )
            require(
                isinstance(found[1], int),
                case + "the state must stay a whole number: // or >>, not /.",
            )
            before = found[1] - state
            require(
                before == 0 or before != start,
                case + f"the state comes back {before} too large: how far the slot lies beyond "
                "the start counts, slot - start.",
            )
            require(
                before == 0 or found[1] != (packed >> 3) * width,
                case + "whole blocks only: + slot - start, the place within the interval.",
            )
            require(
                before == 0,
                case
                + f"the state comes back wrong by {before:.4g}: (state >> bits) blocks, each with "
                "`width` numbers of this symbol, and then slot - start.",
            )
    require(
        [*function(push(LARGE, 60000, 5000), (0, 60000, 65000, 65536))] == [1, LARGE],
        "with 16 bits the state does not come back: use `bits`, not 3.",
    )
    return "whatever was pushed comes back, and the state before it, at any size"


def _network():
    from course_lib.built import recurrent_pixels as course

    ink = 0.2 + 0.6 * torch.rand(1, 3, 4, generator=torch.Generator().manual_seed(1))
    model = course.RowGRU(ink, 6, 9)
    for seed, weights in enumerate(model.parameters()):
        weights.data = 0.8 * normal(*weights.shape, seed=seed).float()
    return course, model


def _packed(course, model, x, arrange, told=1):
    """Return what compress makes if it pushes arrange(intervals), (pixels, pictures) of them.

    told: 0 if the walk is never told the pixels, only zeros.
    """
    seen, flat = [], x.flatten(1)

    def known(pixel, logits):
        seen.append([*course.interval(flat[:, pixel], logits)])
        return told * flat[:, pixel]

    course.walk(model, len(x), known)
    stack = course.Stack()
    for one in arrange(seen):
        stack.push(*one)
    maker = course.fingerprint(model, len(x))
    return course.HEADER.pack(b"ROWS", len(x), maker) + stack.to_bytes()


def _right_order(seen):
    return [one for pixel in reversed(seen) for one in reversed(pixel)]


WRONG_ORDERS = {
    "the intervals are pushed in the order of the walk (A4): a stack gives back the LAST one "
    "first, so wait for the end of the walk, then push from the end, reversed(intervals).": (
        lambda seen: [one for pixel in seen for one in pixel]
    ),
    "the pixels are pushed from the last to the first, but the pictures from the first to the "
    "last: reverse all intervals, within each pixel, too.": (
        lambda seen: [one for pixel in reversed(seen) for one in pixel]
    ),
    "the pictures are reversed, the pixels are not: reverse all intervals.": (
        lambda seen: [one for pixel in seen for one in reversed(pixel)]
    ),
    "right length, wrong order, picture by picture: the decoder wants pixel 0 of ALL pictures "
    "first, as the walk meets them.": (
        lambda seen: [one for one_picture in zip(*seen, strict=True) for one in one_picture][::-1]
    ),
    "nothing was pushed: after the walk, stack.push(*one) for each interval.": lambda seen: [],
}


@check("recurrent_pixels.compress")
def compress(function):
    """Unpack with the course's decompress; look at the size; recognise wrong orders."""
    course, model = _network()
    x = (normal(40, 1, 3, 4, seed=9) > 0).float()
    wanted = _packed(course, model, x, _right_order)
    before = x.clone()
    data = _bytes_of(function, model, x)
    require(torch.equal(x, before), "the pictures were changed.")
    for words, arrange in WRONG_ORDERS.items():
        require(data != _packed(course, model, x, arrange), words)
    require(
        data != _packed(course, model, x, _right_order, told=0),
        "the model never saw the pixels: `known` must return them, flat[:, pixel], so that the "
        "walk writes them down and the next logits know of them.",
    )
    try:
        back = course.decompress(model, data)
    except CourseError:
        back = None
    require(
        back is not None and torch.equal(back, x),
        f"{len(data)} bytes that do not unpack ({len(wanted)} would be right): each pixel's "
        "interval comes from its own value and the walk's logits at that pixel, for all pictures, "
        "and is pushed once, the last of all first.",
    )
    promised = -log_prob(model, x).sum().item() / math.log(2) / 8
    size = len(data) - course.HEADER.size
    require(
        size < promised + 5,
        f"{size} bytes where the model's bits are {promised:.1f} bytes: wasteful.",
    )
    for bad, words in (
        (0.5 * x, "greys are"),
        (x.repeat(1, 1, 1, 2), "pictures of another size are"),
    ):
        try:
            function(model, bad)
        except CourseError:
            continue
        require(False, f"{words} accepted: keep the first lines.")
    return (
        f"480 pixels, by a model of random weights, there and back in {size} bytes; its bits are "
        f"{promised:.1f} bytes"
    )


def _bytes_of(function, model, x):
    """Return what compress makes; say so where it asks the model beside the walk, or slips."""
    passes = []
    hook = model.register_forward_hook(lambda *_: passes.append(1))
    try:
        data = function(model, x)
    except (AttributeError, TypeError) as error:
        text = str(error)
        require("'NoneType'" not in text, "known must return the values that it packs: `return`.")
        require("push()" not in text, "`interval` gives many: intervals.extend, not append.")
        raise
    finally:
        hook.remove()
    require(
        not passes,
        "the logits come from a pass of the model over the known pictures, not from the walk: "
        "their last digits may differ, and the decoder can only walk (section 10).",
    )
    return data
