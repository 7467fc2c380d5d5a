"""Checks of lesson 41 for the walks: the pixels asked for, their logits, what is written."""

import torch
from torch.nn import functional as F

from course_lib.checks import check, require
from course_lib.checks.probes import differs, normal

SHAPE = (1, 3, 4)
NEAR = 1e-9


def _randomised(model):
    model = model.double()
    for seed, weights in enumerate(model.parameters()):
        weights.data = 0.8 * normal(*weights.shape, seed=seed)
    return model


def _recorded(function, model, x):
    """Walk with the known pixels x; return the pixels asked for, their logits, the pictures."""
    pixels, logits = [], []

    def choose(pixel, answer):
        require(
            isinstance(answer, torch.Tensor) and answer.shape == (len(x),),
            f"choose takes the logits of one pixel, one for each picture, ({len(x)},); it got "
            f"{tuple(getattr(answer, 'shape', ()))}.",
        )
        require(not answer.requires_grad, "keep @torch.no_grad(): nothing is learned here.")
        pixels.append(pixel)
        logits.append(answer.clone())
        return x.flatten(1)[:, pixel]

    found = function(model, len(x), choose)
    D = x[0].numel()
    require(
        sorted(pixels) == list(range(D)),
        f"{D} pixels should be asked for once each, by their numbers; yours: {pixels[:20]}.",
    )
    require(
        isinstance(found, torch.Tensor) and found.shape == x.shape,
        f"{len(x)} pictures {[*SHAPE]} should come back: return x.",
    )
    return pixels, torch.stack(logits, dim=1)[:, torch.tensor(pixels).argsort()], found


def _require_written(found, x):
    require(
        torch.equal(found, x),
        "the pictures are not what choose said: write its values into x at this pixel.",
    )


def _row_slips(model, x):
    """Return what common mistakes make of the logits (n, D): what to say -> logits."""
    rows = (x - model.mean)[:, 0]
    above = F.pad(rows[:, :-1], (0, 0, 1, 0))
    bare = model.answer(rows, model.gru(above))
    early = model.gru((0 * x - model.mean)[:, 0])  # each row is read while it is still empty
    slips = {
        "the state reads the row that is about to be drawn, here still empty (A5): it reads the "
        "row ABOVE, and zeros before the first.": (model.answer(rows, early) + model.bias),
        "each pixel's own bias is missing: + bias[j].": bare,
        "the mean is not taken off the row that is being drawn: answer(row - mean, ...).": (
            model.answer(x[:, 0], model.gru(above)) + model.bias
        ),
        "the mean is not taken off the rows above: above = row - mean.": (
            model.answer(rows, model.gru(F.pad(x[:, 0, :-1], (0, 0, 1, 0)))) + model.bias
        ),
        "the state is never passed on: state = gru_step(..., state), a step for each row.": (
            model.answer(
                rows, torch.stack([model.gru(row)[:, 0] for row in above.split(1, 1)], dim=1)
            )
            + model.bias
        ),
    }
    return {words: wrong.flatten(1) for words, wrong in slips.items()}


@check("recurrent_pixels.walk")
def walk(function):
    """Compare each pixel's logits with those of one pass, for known pixels."""
    from course_lib.built import recurrent_pixels as course  # lessons are built before checks run

    ink = 0.2 + 0.6 * torch.rand(SHAPE, generator=torch.Generator().manual_seed(1))
    model, x = _randomised(course.RowGRU(ink, 6, 9)), (normal(7, *SHAPE, seed=9) > 0).double()
    pixels, logits, found = _recorded(function, model, x)
    require(pixels == sorted(pixels), "the pixels go in raster order, row by row.")
    with torch.no_grad():
        wanted, slips = model(x).flatten(1), _row_slips(model, x)
    for words, wrong in slips.items():
        require(differs(logits, wrong) > NEAR, words)
    _require_written(found, x)
    off = (logits - wanted).abs().amax(dim=0) > NEAR
    require(
        not off.any(),
        f"from pixel {off.int().argmax().item()} on the logits are not those of the model on the "
        "same pixels: one GRU step a row, with the row above less its mean; within the row the "
        "masked network, which must see what is written: row is a view of x.",
    )
    return "the logits of one pass of the model at every pixel, and what choose says is written"


@check("recurrent_pixels.walk_any")
def walk_any(function):
    """Compare the logits with those of one pass: a model of rows, and a MADE in another order."""
    from course_lib.built import autoregressive, recurrent_pixels

    ink = 0.2 + 0.6 * torch.rand(SHAPE, generator=torch.Generator().manual_seed(1))
    order = torch.tensor([7, 2, 9, 0, 11, 5, 1, 8, 3, 10, 6, 4])
    x = (normal(7, *SHAPE, seed=9) > 0).double()
    for make in (
        lambda: autoregressive.MADE(ink, order, (20,)),
        lambda: recurrent_pixels.RowGRU(ink, 6, 9),
    ):
        model = _randomised(make())
        pixels, logits, found = _recorded(function, model, x)
        require(
            pixels == model.order.tolist(),
            "the pixels go in model.order, which need not be raster: only then is all known that a "
            "guess depends on (A4).",
        )
        with torch.no_grad():
            wanted, blank = model(x).flatten(1), model(torch.zeros_like(x)).flatten(1)
        require(
            differs(logits, blank) > NEAR,
            "each pixel is guessed from an empty canvas (A5): write what choose says into x, a "
            "view, and ask the model anew for every pixel.",
        )
        _require_written(found, x)
        require(
            differs(logits, wanted) < NEAR,
            "the logits are not the model's: model(x).flatten(1)[:, pixel], the logit itself.",
        )
    return "in the model's own order the logits of one pass, and what choose says is written"
