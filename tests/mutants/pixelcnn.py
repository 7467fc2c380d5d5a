"""Mistakes of lesson 42. Rows A1, A2 and A5 are those of the course's catalogue of bugs."""

from tests.mutants import Mutant

TOPIC = "pixelcnn"
ROW = 'mask[half, half + (kind == "B") :] = False'
BELOW = "mask[half + 1 :] = False"
PAD = "F.pad(x, (self.reach, self.reach, self.reach, 0))"
MASKED = "self.weight * self.mask"
HALVES = "h.chunk(2, dim=1)"
PRODUCT = "a.tanh() * b.sigmoid()"
SHIFT = "F.pad(x, (columns, 0, rows, 0))[..., :H, :W]"
VERTICAL = "F.pad(v, (r, r, r, 0))"
LEFT = "F.pad(h, (r, 0, 0, 0))"
SUM = "left + self.across(shifted(v, rows=1))"
BOTH = "h + new if h.shape == new.shape else new"
TELL = "model.place = lambda _, rows=rows: place[:, :, rows]"
FLIP = "torch.bernoulli(logits.sigmoid(), generator=rng)"
FIRST = 'self.first = MaskedConv2d("A", 1, hidden, size)'

MUTANTS = [
    # causal_mask
    Mutant("A1", "causal_mask", BELOW, "mask[half:] = False", "bug A1"),
    Mutant("A5 B for A", "causal_mask", '(kind == "B")', "1", "(A5)"),
    Mutant("A for B", "causal_mask", ' + (kind == "B")', "", "Kind B sees the centre"),
    Mutant("kinds exchanged", "causal_mask", 'half + (kind == "B")', 'half + (kind == "A")', "(A5)"),
    Mutant("one too far", "causal_mask", '(kind == "B")', '(kind == "B") + 1', "(A5)"),
    Mutant("below", "causal_mask", BELOW, "pass", "all rows below"),
    Mutant("row right", "causal_mask", ROW, 'mask[half, half] = kind == "B"', "rest of the centre"),
    Mutant("left only", "causal_mask", BELOW, BELOW + "\n    mask[:half, half + 1 :] = False",
           "are missing"),
    Mutant("above only", "causal_mask", ROW, 'mask[half] = False; mask[half, half] = kind == "B"',
           "bug A1"),
    Mutant("columns", "causal_mask", "return mask", "return mask.T", "through"),
    Mutant("even", "causal_mask", "size % 2 == 0 or ", "", "no centre"),
    # MaskedConv2d
    Mutant("A5 no mask", "MaskedConv2d", MASKED, "self.weight", "Is the mask used"),
    Mutant("off by one", "MaskedConv2d", PAD,
           "F.pad(x, (self.reach - 1, self.reach + 1, self.reach, 0))", "F.pad(x, (left,"),
    Mutant("off by one, left", "MaskedConv2d", PAD,
           "F.pad(x, (self.reach + 1, self.reach - 1, self.reach, 0))", "moved away"),
    Mutant("off by a row", "MaskedConv2d", PAD,
           "F.pad(x, (self.reach, self.reach, self.reach - 1, 1))", "F.pad(x, (left,"),
    Mutant("on all sides", "MaskedConv2d", PAD, "F.pad(x, (self.reach,) * 4)", "pad by reach above"),
    Mutant("no bias", "MaskedConv2d", ", self.bias)", ")", "bias is missing"),
    Mutant("no return", "MaskedConv2d", "return F.conv2d", "F.conv2d", "a return missing"),
    Mutant("detached", "MaskedConv2d", MASKED, "self.weight.detach() * self.mask",
           "not have been used in the graph"),
    Mutant("A everywhere", "MaskedConv2d", "causal_mask(kind, size)", 'causal_mask("A", size)',
           "moved away"),
    Mutant("floats", "causal_mask", "return mask", "return mask.float()", "dtype=torch.bool"),
    # gate
    Mutant("exchanged", "gate", PRODUCT, "b.tanh() * a.sigmoid()", "exchanged"),
    Mutant("mixed", "gate", HALVES, "[h[:, k::2] for k in (0, 1)]", "mixed"),
    Mutant("sum", "gate", PRODUCT, "a.tanh() + b.sigmoid()", "multiplies"),
    Mutant("two sigmoids", "gate", "a.tanh()", "a.sigmoid()", "tanh(a) times"),
    Mutant("linear", "gate", "a.tanh()", "a", "tanh(a) times"),
    Mutant("axis", "gate", "dim=1", "dim=2", "half the channels"),
    # shifted
    Mutant("roll", "shifted", SHIFT, "x.roll((rows, columns), (-2, -1))", "Zeros must come in"),
    Mutant("up", "shifted", SHIFT, "F.pad(x, (0, columns, 0, rows))[..., rows:, columns:]",
           "not drawn yet"),
    Mutant("not moved", "shifted", SHIFT, "F.pad(x, (0, columns, 0, rows))[..., :H, :W]",
           "nothing moved"),
    Mutant("not cut", "shifted", "[..., :H, :W]", "", "cut to the first"),
    Mutant("axes", "shifted", "(columns, 0, rows, 0)", "(rows, 0, columns, 0)", "columns come first"),
    Mutant("in place", "shifted", "return " + SHIFT,
           "y = " + SHIFT + "; x.copy_(y); return y", "into its argument"),
    # GatedLayer
    Mutant("unshifted", "GatedLayer", "shifted(v, rows=1)", "v", "shifted(v, rows=1)"),
    Mutant("shifted twice", "GatedLayer", "rows=1", "rows=2", "no more"),
    Mutant("shifted right", "GatedLayer", "rows=1", "columns=1", "shift v by a row"),
    Mutant("A2", "GatedLayer", "nn.Conv2d(2 * hidden, 2 * hidden, 1)",
           'MaskedConv2d("A", 2 * hidden, 2 * hidden, 1)', "(A2)"),
    Mutant("no rows above", "GatedLayer", " + self.across(shifted(v, rows=1))", "", "(A2)"),
    Mutant("no left", "GatedLayer", SUM, "self.across(shifted(v, rows=1))", "F.pad(h, (r, 0"),
    Mutant("left by one", "GatedLayer", LEFT, "F.pad(h, (r - 1, 1, 0, 0))", "comes in"),
    Mutant("right", "GatedLayer", LEFT, "F.pad(h, (0, r, 0, 0))", "on the left only"),
    Mutant("below", "GatedLayer", VERTICAL, "F.pad(v, (r, r, 0, r))", "Rows below"),
    Mutant("column by one", "GatedLayer", VERTICAL, "F.pad(v, (r - 1, r + 1, r, 0))", "rectangle"),
    Mutant("not residual", "GatedLayer", BOTH, "new", "residual"),
    Mutant("v ungated", "GatedLayer", "return gate(v)", "return v.chunk(2, dim=1)[0]", "passes on gate(v)"),
    Mutant("no out", "GatedLayer", "self.out(gate(" + SUM + "))", "gate(" + SUM + ")",
           "self.out is missing"),
    Mutant("no across", "GatedLayer", "self.across(shifted(v, rows=1))", "shifted(v, rows=1)",
           "self.across is missing"),
    Mutant("roll", "GatedLayer", "shifted(v, rows=1)", "v.roll(1, 2)", "The last row comes in"),
    Mutant("swapped", "GatedLayer", "gate(v), h + new if h.shape == new.shape else new",
           "(h + new if h.shape == new.shape else new), gate(v)", "v, h, in this order"),
    Mutant("h alone", "GatedLayer", "return gate(v), ", "return ", "returns two things"),
    Mutant("always added", "GatedLayer", BOTH, "h + new", "In the first layer h has other"),
    Mutant("both sides", "GatedLayer", LEFT, "F.pad(h, (r, r, 0, 0))", "on the left only"),
    Mutant("across late", "GatedLayer", "shifted(v, rows=1)", "shifted(gate(v), rows=1)",
           "before the gate"),
    Mutant("wrong sum", "GatedLayer", SUM, "2 * " + SUM, "nothing else"),
    # sees
    Mutant("of all", "sees", "model(x)[0, 0, row, column]", "model(x).sum()", "not a sum"),
    Mutant("exchanged", "sees", "row, column], x", "column, row], x", "exchanged"),
    Mutant("numbers", "sees", " != 0", "", "Yes or no"),
    Mutant("turned round", "sees", "!= 0", "== 0", "turned round"),
    Mutant("not cut", "sees", "slope[0, 0]", "slope", "(1, 1, H, W)"),
    # sample_rows
    Mutant("rulers lie", "sample_rows", TELL, "pass", "the window's edges"),
    Mutant("other place", "sample_rows", "place[:, :, rows]", "place[:, :, : rows.stop - rows.start]",
           "the window's edges"),
    Mutant("whole", "sample_rows", "max(0, row - model.reach)", "0", "rows are passed"),
    Mutant("one more", "sample_rows", "row - model.reach)", "row - model.reach - 1)", "rows are passed"),
    Mutant("too few", "sample_rows", "row - model.reach)", "row - model.reach + 1)", "begins model.reach"),
    Mutant("first row", "sample_rows", "[:, 0, -1, column]", "[:, 0, 0, column]", "LAST row"),
    Mutant("A6", "sample_rows", FLIP, "(logits > 0).to(x)", "is tossed once"),
    Mutant("not written", "sample_rows", "x[:, 0, row, column] =", "_ =", "write each toss"),
    Mutant("global", "sample_rows", FLIP, "torch.bernoulli(logits.sigmoid())", "global random state"),
    Mutant("no copy", "sample_rows", "copy.deepcopy(model)", "model", "on a copy"),
    # the models, as wholes
    Mutant("A5 B first", "PixelMLP", FIRST, FIRST.replace('"A"', '"B"'), "kind A"),
    Mutant("no mask", "PixelMLP", FIRST,
           "self.first = nn.Conv2d(1, hidden, size, padding=size // 2)", "use its mask"),
    Mutant("size", "PixelMLP", FIRST, FIRST.replace("size)", "3)"), "wanted size"),
    Mutant("A everywhere", "PixelStack", 'MaskedConv2d("B"', 'MaskedConv2d("A"', "kind A in all"),
    Mutant("A5 B everywhere", "PixelStack", 'MaskedConv2d("A"', 'MaskedConv2d("B"', "of kind A"),
    Mutant("no mask", "PixelStack", 'MaskedConv2d("B", hidden, hidden, 3)',
           "nn.Conv2d(hidden, hidden, 3, padding=1)", "without a mask"),
    Mutant("A5 h unshifted", "PixelCNN", "shifted(x, columns=1)", "x", "must not hold the answer"),
    Mutant("h wrapped", "PixelCNN", "shifted(x, columns=1)", "x.roll(1, dims=3)", "shifted to the right"),
    Mutant("two columns", "PixelCNN", "columns=1", "columns=2", "v reach every layer"),
    Mutant("v lost", "PixelCNN", "v, h = layer(v, h)", "_, h = layer(v, h); v = 0 * _", "v reach every layer"),
]  # fmt: skip

ALTERNATIVES = {
    "causal_mask": [
        (ROW + "\n    " + BELOW,
         'mask.view(-1)[size * size // 2 + (kind == "B") :] = False'),
        (ROW, 'mask[half, half + 1 :] = False\n    mask[half, half] = kind == "B"'),
    ],
    "MaskedConv2d": [
        (MASKED, "torch.where(self.mask, self.weight, 0.0)"),
        (PAD, "nn.ZeroPad2d((self.reach, self.reach, self.reach, 0))(x)"),
    ],
    "gate": [
        (HALVES, "torch.tensor_split(h, 2, dim=1)"),
        ("return " + PRODUCT, "return (2 * (2 * a).sigmoid() - 1) / (1 + (-b).exp())"),
    ],
    "shifted": [
        (SHIFT, "F.pad(x, (columns, -columns, rows, -rows))"),
        ("return " + SHIFT,
         "y = torch.zeros_like(x); y[..., rows:, columns:] = x[..., : H - rows, : W - columns]; return y"),
    ],
    "GatedLayer": [
        (SUM, "self.across(shifted(v, rows=1)) + left"),
        ("self.across(shifted(v, rows=1))",
         "shifted(self.across(F.pad(v, (0, 0, 1, 0))), rows=0)[:, :, :-1]"),
        ("self.across(shifted(v, rows=1))", "shifted(self.across(v), rows=1)"),
    ],
    "sees": [
        ("slope[0, 0] != 0", "slope.view(model.mean.shape[1:]).abs() > 0"),
        ("(slope,) = torch.autograd.grad(model(x)[0, 0, row, column], x)",
         "model(x)[0, 0, row, column].backward(); slope = x.grad"),
    ],
    "sample_rows": [
        ("slice(max(0, row - model.reach), row + 1)", "slice(row - min(row, model.reach), row + 1)"),
        (TELL, "model.place = lambda h, top=row + 1: place[:, :, top - h.shape[2] : top]"),
        (FLIP, "torch.bernoulli(1 / (1 + (-logits).exp()), generator=rng)"),
    ],
    "PixelMLP": [
        ("h + block(h)", "block(h).add(h)"),
        (FIRST, 'self.first = nn.Sequential(MaskedConv2d("A", 1, hidden, size))'),
    ],
    "PixelStack": [
        ("layer(F.relu(h))", "layer(h.clamp(min=0))"),
        (".contiguous(memory_format=torch.channels_last)", ""),
    ],
    "PixelCNN": [
        ("shifted(x, columns=1)", "F.pad(x, (1, -1))"),
        ("first, *rest = self.layers", "first, rest = self.layers[0], self.layers[1:]"),
    ],
}  # fmt: skip

# Rows of the catalogue that are questions in the lesson's text rather than code.
QUESTIONS = ["A2", "A5", "A9"]
