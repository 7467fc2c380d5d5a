"""Mistakes of lesson 41. Rows A4 and A5 are those of the course's catalogue of bugs."""

from tests.mutants import Mutant

TOPIC = "recurrent_pixels"
GATES = "r, z = (told_r + recalled[0]).sigmoid(), (told_z + recalled[1]).sigmoid()"
PROPOSAL = "(told_c + r * recalled[2]).tanh()"
MIX = "(1 - z) * c + z * state"
SHIFT = "F.pad(rows[:, :-1], (0, 0, 1, 0))"
ANSWER = "(self.answer(rows, states) + self.bias).unsqueeze(1).to(x.dtype)"
PACK = "(state // width << bits) + start + state % width"
BACK = "(state >> bits) * width + slot - starts[symbol]"
NOTE = "intervals.extend(interval(flat[:, pixel], logits))"
PUSHES = "for one in reversed(intervals):\n        stack.push(*one)"
STEP = "gru_step(model.gru.told(above), model.gru.recalled(state), state)"
CHOOSE = "x.view(n, -1)[:, pixel] = choose(pixel, model(x).flatten(1)[:, pixel]).to(x)"

MUTANTS = [
    # gru_step
    Mutant("turned round", "gru_step", MIX, "z * c + (1 - z) * state", "turned round"),
    Mutant("z, r", "gru_step", "r, z = ", "z, r = ", "order r, z, c"),
    Mutant("no reset", "gru_step", "r * recalled[2]", "recalled[2]", "r is not used"),
    Mutant("reset for all", "gru_step", PROPOSAL, "(r * (told_c + recalled[2])).tanh()",
           "recalled_c alone"),
    Mutant("reset outside", "gru_step", PROPOSAL, "r * (told_c + recalled[2]).tanh()",
           "inside the tanh"),
    Mutant("sigmoid", "gru_step", ".tanh()", ".sigmoid()", "it is a tanh"),
    Mutant("forgets", "gru_step", " + z * state", "", "old state is lost"),
    Mutant("grows", "gru_step", "(1 - z) * c", "c", "without end"),
    Mutant("tanh gate", "gru_step", "(told_r + recalled[0]).sigmoid()",
           "(told_r + recalled[0]).tanh()", "r is a sigmoid"),
    Mutant("row only", "gru_step", GATES, "r, z = told_r.sigmoid(), told_z.sigmoid()",
           "only the row decides"),
    Mutant("dim 0", "gru_step", "recalled.chunk(3, dim=1)", "recalled.chunk(3, dim=0)",
           "size of tensor"),
    Mutant("no dim", "gru_step", "told.chunk(3, dim=1), recalled.chunk(3, dim=1)",
           "told.chunk(3), recalled.chunk(3)", "along dim=1"),
    Mutant("no return", "gru_step", f"return {MIX}", MIX, "`return` is missing"),
    Mutant("no gradient", "gru_step", MIX, f"({MIX}).detach()", "no gradient comes through"),
    Mutant("detached", "gru_step", "z * state", "z * state.detach()", "do not detach"),
    # RowGRU
    Mutant("A5 no shift", "RowGRU", SHIFT, "rows", "(A5)"),
    Mutant("A5 roll", "RowGRU", SHIFT, "rows.roll(1, dims=1)", "roll brings back"),
    Mutant("A4 up", "RowGRU", SHIFT, "F.pad(rows[:, 1:], (0, 0, 0, 1))", "(A4)"),
    Mutant("two rows", "RowGRU", SHIFT, "F.pad(rows[:, :-2], (0, 0, 2, 0))", "by one row, no more"),
    Mutant("columns", "RowGRU", SHIFT, "F.pad(rows[:, :, :-1], (1, 0))", "(A5)"),
    Mutant("shifted answer", "RowGRU", "self.answer(rows, states)",
           "self.answer(F.pad(rows[:, :-1], (0, 0, 1, 0)), states)", "does not see its left"),
    Mutant("row above only", "RowGRU", f"self.gru({SHIFT})",
           f"torch.stack([self.gru(part)[:, 0] for part in {SHIFT}.split(1, dim=1)], dim=1)",
           "Rows far above"),
    Mutant("bias", "RowGRU", " + self.bias)", ")", "bias is missing"),
    Mutant("mean", "RowGRU", "(x - self.mean)[:, 0]", "x[:, 0]", "not taken off"),
    Mutant("mean of one side", "RowGRU", SHIFT, "F.pad(x[:, 0, :-1], (0, 0, 1, 0))",
           "less their means"),
    Mutant("zeros less mean", "RowGRU", SHIFT, "F.pad(x[:, 0, :-1], (0, 0, 1, 0)) - self.mean[0]",
           "take the mean off, then shift"),
    Mutant("states shifted", "RowGRU", f"self.gru({SHIFT})",
           "F.pad(self.gru(rows)[:, :-1], (0, 0, 1, 0))", "states are shifted"),
    Mutant("answer with mean", "RowGRU", "self.answer(rows, states)",
           "self.answer(x[:, 0], states)", "still have their mean"),
    Mutant("channel", "RowGRU", ".unsqueeze(1)", "", "give it back"),
    Mutant("mean over rows", "RowGRU", "self.answer(rows, states)",
           "self.answer(rows, states.mean(dim=1, keepdim=True))", "(A4)"),
    # push
    Mutant("no start", "push", " + start", "", "symbol's interval"),
    Mutant("brackets", "push", PACK, "state // width << bits + start + state % width",
           "binds before"),
    Mutant("float", "push", "state // width << bits", "state / width * 2**bits", "whole number"),
    Mutant("no rest", "push", " + state % width", "", "on by the rest"),
    Mutant("total", "push", "state % width", "state % 2**bits", "that of the division"),
    Mutant("no blocks", "push", "state // width << bits", "state << bits", "blocks before it"),
    Mutant("3 bits", "push", "<< bits", "<< 3", "how wide a block is"),
    Mutant("rounded", "push", "state // width", "int(state / width)", "yours is off"),
    # pop
    Mutant("no start", "pop", "+ slot - starts[symbol]", "+ slot", "slot - start"),
    Mutant("blocks", "pop", BACK, "(state >> bits) * width", "whole blocks only"),
    Mutant("no width", "pop", "(state >> bits) * width", "(state >> bits)", "comes back wrong"),
    Mutant("float", "pop", "(state >> bits)", "(state / 2**bits)", "whole number"),
    Mutant("3 bits", "pop", "state >> bits", "state >> 3", "use `bits`"),
    Mutant("state only", "pop", f"return symbol, {BACK}", f"return {BACK}", "symbol and state"),
    Mutant("numpy", "pop", "width = starts[symbol + 1] - starts[symbol]",
           "width = np.diff(starts)[symbol]", "numpy's numbers"),
    Mutant("next width", "pop", "width = starts[symbol + 1] - starts[symbol]",
           "width = starts[symbol + 1]", "comes back"),
    # compress
    Mutant("A4 forwards", "compress", "reversed(intervals)", "intervals", "(A4)"),
    Mutant("pixels only", "compress", NOTE,
           "intervals.extend(reversed([*interval(flat[:, pixel], logits)]))", "reverse all"),
    Mutant("pictures only", "compress", PUSHES,
           "for k in range(0, len(intervals), len(x)):\n        for one in intervals[k : k + len(x)][::-1]:\n"
           "            stack.push(*one)", "the pixels are not"),
    Mutant("picture by picture", "compress", "reversed(intervals)",
           "[intervals[k + j] for j in range(len(x)) for k in range(0, len(intervals), len(x))][::-1]",
           "wrong order, picture by picture"),
    Mutant("one pass", "compress", "walk(model, len(x), known)",
           "for pixel, logits in enumerate(model(x).detach().flatten(1).T):\n        known(pixel, logits)",
           "not from the walk"),
    Mutant("known without return", "compress", "return flat[:, pixel]", "flat[:, pixel]",
           "known must return"),
    Mutant("append", "compress", NOTE, "intervals.append([*interval(flat[:, pixel], logits)])",
           "extend, not append"),
    Mutant("nothing", "compress", "stack.push(*one)", "pass", "nothing was pushed"),
    Mutant("empty canvas", "compress", "return flat[:, pixel]", "return 0 * flat[:, pixel]",
           "never saw the pixels"),
    Mutant("first pixel", "compress", "interval(flat[:, pixel], logits)",
           "interval(flat[:, 0], logits)", "its own value"),
    Mutant("one picture", "compress", NOTE, "intervals.extend([*interval(flat[:, pixel], logits)][:1])",
           "for all pictures"),
    Mutant("greys", "compress", "    require_binary(x)\n", "", "greys are accepted"),
    Mutant("size", "compress", "x.shape[1:] != model.mean.shape or not len(x)", "not len(x)",
           "another size"),
    # walk
    Mutant("A5 own row", "walk", "model.gru.told(above)", "model.gru.told(x[:, 0, i] - mean)", "still empty (A5)"),
    Mutant("no bias", "walk", " + bias[j]", "", "bias is missing"),
    Mutant("mean of the row", "walk", "model.answer(row - mean,", "model.answer(row,", "being drawn"),
    Mutant("mean above", "walk", "above = row - mean", "above = row", "rows above"),
    Mutant("new state", "walk", STEP, STEP.replace(", state)", ", 0 * state)").replace("recalled(state)", "recalled(0 * state)"),
           "never passed on"),
    Mutant("not written", "walk", "row = x[:, 0, i]", "row = x[:, 0, i].clone()", "write its values"),
    Mutant("columns", "walk", "i * W + j", "j * len(model.bias) + i", "raster order"),
    Mutant("one bias", "walk", "bias[j]", "bias[0]", "not those of the model"),
    # walk_any
    Mutant("A4", "walk_any", "model.order.tolist()", "range(x[0].numel())", "(A4)"),
    Mutant("A5 once", "walk_any", "    for pixel in", "    first = model(x)\n    model = type('M', (), {'order': model.order, '__call__': lambda *_: first})()\n    for pixel in",
           "empty canvas (A5)"),
    Mutant("not written", "walk_any", CHOOSE, "choose(pixel, model(x).flatten(1)[:, pixel])", "empty canvas (A5)"),
    Mutant("chances", "walk_any", ".flatten(1)[:, pixel])", ".sigmoid().flatten(1)[:, pixel])", "the logit itself"),
    Mutant("all", "walk_any", "model(x).flatten(1)[:, pixel])", "model(x).flatten(1))", "logits of one pixel"),
    Mutant("no return", "walk_any", "return x", "x", "return x"),
    Mutant("next", "walk_any", "(1)[:, pixel])", "(1)[:, pixel - 1])", "the logit itself"),
]  # fmt: skip

ALTERNATIVES = {
    "gru_step": [
        (MIX, "c + z * (state - c)"),
        (GATES, "r, z = (told[:, : 2 * state.shape[1]] + torch.cat(recalled[:2], dim=1))"
                ".sigmoid().chunk(2, dim=1)"),
    ],
    "RowGRU": [
        (SHIFT, "torch.cat([torch.zeros_like(rows[:, :1]), rows[:, :-1]], dim=1)"),
        (ANSWER, "self.bias.add(self.answer(rows, states)).view_as(x).to(x.dtype)"),
    ],
    "push": [
        (PACK, "state // width * 2**bits + start + state % width"),
        (PACK, "divmod(state, width)[0] * (1 << bits) + start + divmod(state, width)[1]"),
    ],
    "pop": [
        (BACK, "state // 2**bits * width + state % 2**bits - starts[symbol]"),
        (f"return symbol, {BACK}", f"return [symbol, {BACK}]"),
        (BACK, "width * (state >> bits) - (starts[symbol] - slot)"),
    ],
    "walk": [
        ("above = row - mean", "above = x[:, 0, i] - model.mean[0, i]"),
        (STEP, "model.gru(F.pad((x - model.mean)[:, 0, :i], (0, 0, 1, 0)))[:, -1]"),
    ],
    "walk_any": [
        (CHOOSE, "x.flatten(1)[:, pixel].copy_(choose(pixel, model(x).flatten(1).T[pixel]))"),
        (CHOOSE, "row, column = divmod(pixel, x.shape[3]); "
                 "x[:, 0, row, column] = choose(pixel, model(x)[:, 0, row, column])"),
    ],
    "compress": [
        (PUSHES, "while intervals:\n        stack.push(*intervals.pop())"),
        (NOTE, "intervals[len(intervals) :] = list(interval(x[:, 0].flatten(1)[:, pixel], logits))"),
    ],
}  # fmt: skip

# Rows of the catalogue that are questions in the lesson's text rather than code.
QUESTIONS = ["A4", "A5"]
