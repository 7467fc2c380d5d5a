"""Checks of lesson 41: one step of a GRU, and a model of rows; those of the coder stand beside."""

import torch
from torch import nn

from course_lib.checks import check, require
from course_lib.checks.probes import TOLERANCE, differs, normal
from course_lib.checks.recurrent_pixels_coder import compress, pop, push
from course_lib.checks.recurrent_pixels_walks import walk, walk_any
from course_lib.settings import CourseError

__all__ = ["compress", "gru_step", "pop", "push", "row_gru", "walk", "walk_any"]

H, W = 4, 5
LEGEND = "(? the guessed pixel, # rightly seen, ! leaks, o should be seen, . rightly unseen)"


def _wrong_steps(told, recalled, state):
    """Return what common mistakes make of one step: what to say -> the next state."""
    (a_r, a_z, a_c), (s_r, s_z, s_c) = told.chunk(3, dim=1), recalled.chunk(3, dim=1)
    r, z, c_r = (a_r + s_r).sigmoid(), (a_z + s_z).sigmoid(), (a_r + s_r).tanh()
    c = (a_c + r * s_c).tanh()
    swapped = (a_c + z * s_c).tanh()
    return {
        "the gate z is turned round: where it is 1 the OLD value stays, (1 - z) * c + z * state.": (
            z * c + (1 - z) * state
        ),
        "the gates are exchanged: the three parts stand in the order r, z, c.": (
            (1 - r) * swapped + r * state
        ),
        "the gate r is not used: inside the tanh, told_c + r * recalled_c.": (
            (1 - z) * (a_c + s_c).tanh() + z * state
        ),
        "the gate r weakens what the row says, too: it belongs to recalled_c alone.": (
            (1 - z) * (r * (a_c + s_c)).tanh() + z * state
        ),
        "the gate r multiplies the proposal: it belongs inside the tanh, to recalled_c.": (
            (1 - z) * (r * (a_c + s_c).tanh()) + z * state
        ),
        "the proposal lies between 0 and 1: it is a tanh, so that a state can sink, too.": (
            (1 - z) * (a_c + r * s_c).sigmoid() + z * state
        ),
        "the old state is lost: + z * state.": (1 - z) * c,
        "the proposal is added in full, so that the state can grow without end: (1 - z) * c.": (
            c + z * state
        ),
        "the first part is a gate, too: r is a sigmoid.": (
            (1 - z) * (a_c + c_r * s_c).tanh() + z * state
        ),
        "only the row decides: each gate is the sigmoid of told + recalled.": (
            (1 - a_z.sigmoid()) * (a_c + a_r.sigmoid() * s_c).tanh() + a_z.sigmoid() * state
        ),
    }


@check("recurrent_pixels.gru_step")
def gru_step(function):
    """Compare with torch's GRUCell of the same weights; say which common mistake it is."""
    cell, x, state = nn.GRUCell(5, 7).double(), normal(4, 5, seed=1), normal(4, 7, seed=2)
    for seed, weights in enumerate(cell.parameters()):
        weights.data = normal(*weights.shape, seed=seed + 3)
    told = x @ cell.weight_ih.T + cell.bias_ih
    recalled = state @ cell.weight_hh.T + cell.bias_hh
    parts, kept = (told.detach(), recalled.detach()), state.clone()
    found = _one_step(function, *parts, state)
    require(found is not None, "it returns nothing: `return` is missing.")
    require(
        isinstance(found, torch.Tensor) and found.shape == (4, 7),
        "4 states of 7 units, with told and recalled (4, 21), should give (4, 7); yours is "
        f"{tuple(getattr(found, 'shape', ()))}. chunk(3, dim=1) cuts the 21 into r, z and c.",
    )
    require(torch.equal(state, kept), "the old state was changed in place; make a new one.")
    for words, wrong in _wrong_steps(*parts, state).items():
        require(differs(found, wrong) > TOLERANCE, words)
    wanted = cell(x, state)
    require(
        differs(found, wanted) < TOLERANCE,
        f"the first number should be {wanted[0, 0]:.4f}, yours is {found[0, 0]:.4f}. r and z are "
        "sigmoids of the sums of their parts, c is tanh(told_c + r * recalled_c), and the next "
        "state (1 - z) * c + z * state.",
    )
    slopes = [part.clone().requires_grad_() for part in (*parts, state)]
    total = function(*slopes).sum()
    require(total.requires_grad, "no gradient comes through: no torch.no_grad, no .detach.")
    found = torch.autograd.grad(total, slopes, allow_unused=True)
    require(
        all(slope is not None and (slope != 0).any() for slope in found),
        "a gradient is missing, so nothing behind it learns: do not detach.",
    )
    return "equal to torch.nn.GRUCell with the same weights, and gradients flow"


def _one_step(function, told, recalled, state):
    try:
        return function(told, recalled, state)
    except (IndexError, ValueError) as error:
        words = "Cut told and recalled into three along dim=1, the units: .chunk(3, dim=1)."
        require(False, f"{error}. {words}")


def _network(cls):
    """Return a model of random weights on 4x5 pixels."""
    model = cls(0.2 + 0.6 * torch.rand(1, H, W, generator=torch.Generator().manual_seed(1)), 6, 9)
    model = model.double()
    for seed, weights in enumerate(model.parameters()):
        weights.data = 0.4 * normal(*weights.shape, seed=seed)
    for part in (model.inner, model.last, model.direct):
        part.weight.data += 0.2  # no path is cut by chance
    return model


def _drawing(seen, allowed, pixel):
    signs = []
    for j in range(H * W):
        sign = "#" if seen[pixel, j] else "."
        wrong = "!" if seen[pixel, j] else "o"
        signs.append(wrong if seen[pixel, j] != allowed[pixel, j] else "?" if j == pixel else sign)
    rows = [" ".join(signs[W * row : W * (row + 1)]) for row in range(H)]
    return f"pixel {pixel} is guessed from:\n  " + "\n  ".join(rows) + f"\n  {LEGEND}\n  "


def _cure(seen, leaks, blind):
    """Return what to say of the pixels that leak or are not seen."""
    row = torch.arange(H * W) // W
    above, own = row[None, :] < row[:, None], row[None, :] == row[:, None]
    if (leaks & own).any() and not (leaks & ~above & ~own).any():
        return (
            "The state has read the row itself (A5): shift the rows down by one before the GRU, "
            "F.pad(rows[:, :-1], (0, 0, 1, 0)). Such a model can be trained, but not unpacked."
        )
    if not (leaks & ~own).any() and leaks.any():
        return "Within the row, pixels ahead are seen: rows enter `answer` as they are."
    if leaks[:W].any() and seen[0, -W:].any():
        return (
            "The first row's state has read the last row: roll brings back at the top what falls "
            "out at the bottom. Zeros belong there: F.pad(rows[:, :-1], (0, 0, 1, 0))."
        )
    if leaks.any():
        return (
            "The state has read rows below (A4): the rows are shifted the wrong way. First a row "
            "of zeros, then row 0: F.pad(rows[:, :-1], (0, 0, 1, 0))."
        )
    if (blind & own).any() and not (blind & above).any():
        return "A pixel does not see its left: the rows themselves enter `answer`, not shifted."
    if (blind & above)[: 2 * W].any():
        return (
            "The row right above is not seen: shift by one row, no more, and along dim 1, the "
            "rows: F.pad(rows[:, :-1], (0, 0, 1, 0))."
        )
    return "Rows far above are not seen: the states of the GRU run over all rows of the picture."


def _require_causal(model):
    x = torch.rand(1, 1, H, W, generator=torch.Generator().manual_seed(3)).double()
    slopes = torch.autograd.functional.jacobian(model, x).view(H * W, H * W)
    require(
        (slopes != 0).any(),
        "the logits do not depend on the picture at all: no gradient reaches x.",
    )
    allowed = torch.ones(H * W, H * W).tril(-1).bool()
    seen = slopes != 0
    wrong = seen != allowed
    if wrong.any():
        pixel = wrong.sum(dim=1).argmax().item()
        cure = _cure(seen, seen & ~allowed, allowed & ~seen)
        require(False, _drawing(seen, allowed, pixel) + cure)


@check("recurrent_pixels.RowGRU")
def row_gru(cls):
    """Find leaks and blind pixels by the Jacobian; compare row by row; a size that is wrong."""
    model = _network(cls)
    x = (normal(3, 1, H, W, seed=5) > 0).double()
    found = model(x)
    require(
        found.shape == x.shape,
        f"the logits should be shaped like x, {[*x.shape]}; yours are {[*found.shape]}. Take the "
        "channel off, [:, 0], and give it back, .unsqueeze(1).",
    )
    _require_causal(model)
    for words, wrong in _wrong_logits(model, x[:, 0]).items():
        require(differs(found[:, 0], wrong) > TOLERANCE, words)
    rows, zeros = (x - model.mean)[:, 0], torch.zeros(3, 1, W).double()
    wanted = _by_rows(model, rows, zeros) + model.bias
    row = int((found[:, 0] - wanted).abs().amax(dim=(0, 2)).gt(TOLERANCE).int().argmax())
    require(
        differs(found[:, 0], wanted) < TOLERANCE,
        f"row {row} should be self.answer of the row, less its mean, and the GRU's state after a "
        "row of zeros and all rows above (less their means, too), and self.bias. Yours differs by "
        f"{differs(found[:, 0], wanted):.2g}.",
    )
    require(model.float()(x.float()).dtype == torch.float32, "float32 pictures: float32 logits.")
    try:
        model(x[..., :-1].float())
    except CourseError:
        return "sees the rows above and the pixels to the left, and no other; equal row by row"
    require(False, "a picture of another size is accepted: keep the first two lines.")


def _wrong_logits(model, x):
    """Return what common mistakes make of pictures x (B, H, W): what to say -> the logits."""
    rows, bias = x - model.mean[0], model.bias
    states = model.gru(_shifted(rows))
    return {
        "the bias is missing: + self.bias, (H, W).": model.answer(rows, states),
        "the mean is not taken off: rows = (x - self.mean)[:, 0].": (
            model.answer(x, model.gru(_shifted(x))) + bias
        ),
        "the first row that the GRU reads is -mean, not 0: take the mean off, then shift.": (
            model.answer(rows, model.gru(_shifted(x) - model.mean[0])) + bias
        ),
        "the states are shifted; shift the rows: the first state has then read a row of zeros.": (
            model.answer(rows, _shifted(model.gru(rows))) + bias
        ),
        "the rows that enter `answer` still have their mean: it gets (x - self.mean)[:, 0].": (
            model.answer(x, states) + bias
        ),
    }


def _shifted(rows):
    return torch.cat([torch.zeros_like(rows[:, :1]), rows[:, :-1]], dim=1)


def _by_rows(model, rows, zeros):
    """Return the logits (B, H, W), less the bias, one row after the other."""
    answers = []
    for i in range(H):
        state = model.gru(torch.cat([zeros, rows[:, :i]], dim=1))[:, -1]
        answers.append(model.answer(rows[:, i], state))
    return torch.stack(answers, dim=1)
