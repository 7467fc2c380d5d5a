"""Mistakes of lesson 54. Rows E1, E2, E3 and E5 are those of the course's catalogue of bugs."""

from tests.mutants import Mutant

TOPIC = "super_resolution"
NEAR = "(a + 2) * t**3 - (a + 3) * t**2 + 1"
FAR = "a * (t - 1) * (t - 2) ** 2"
CENTRE = "(torch.arange(m).double() + 0.5) * n / m - 0.5"
STRETCH = "max(n / m, 1) if antialias else 1"
DIVIDED = "weights / weights.sum(dim=1, keepdim=True)"
DETAIL = "F.pixel_shuffle(self.body(y.reshape(B * C, 1, H, W)).float(), self.factor)"
SUM = "smooth + detail.reshape(smooth.shape)"
EQUAL = "weight[:: factor**2].repeat_interleave(factor**2, dim=0)"
SEEN = "y[..., top : i + tile + overlap, left : j + tile + overlap]"
KEPT = "part[..., factor * (i - top) :, factor * (j - left) :]"

MUTANTS = [
    # cubic
    Mutant("uneven", "cubic", "t = t.abs()", "t = t + 0", "not even"),
    Mutant("endless", "cubic", "torch.where(t < 2, far, 0)", "far", "beyond 2"),
    Mutant("inner", "cubic", "(a + 3) * t**2", "(a + 2) * t**2", "k(1) should be 0"),
    Mutant("top", "cubic", "t**2 + 1", "t**2", "k(0) should be 1"),
    Mutant("outer", "cubic", "(t - 1) * (t - 2) ** 2", "(t - 1) ** 2 * (t - 2)", "outer piece"),
    Mutant("sign", "cubic", FAR, "-" + FAR, "outer piece"),
    Mutant("in place", "cubic", "t.abs()", "t.abs_()", "were changed"),
    Mutant("default", "cubic", "a=-0.5", "a=-0.75", "without a"),
    Mutant("fixed a", "cubic", FAR, "-0.5 * (t - 1) * (t - 2) ** 2", "outer piece"),
    Mutant("inner a", "cubic", NEAR, "1.5 * t**3 - 2.5 * t**2 + 1", "inner piece"),
    # resize_matrix
    Mutant("halves", "resize_matrix", CENTRE, "torch.arange(m).double() * n / m", "halves"),
    Mutant("E3", "resize_matrix", STRETCH, "1", "stretched"),
    Mutant("narrow", "resize_matrix", STRETCH, "m / n", "narrow"),
    Mutant("always", "resize_matrix", STRETCH, "max(n / m, 1)", "keeps its width"),
    Mutant("no sum", "resize_matrix", DIVIDED, "weights", "sum to 1"),
    Mutant("columns", "resize_matrix", "weights.sum(dim=1, keepdim=True)",
           "weights.sum(dim=0, keepdim=True)", "sum to 1"),
    Mutant("turned", "resize_matrix", "* n / m - 0.5", "* m / n - 0.5", "turned round"),
    Mutant("mirrored", "resize_matrix", "(centre[:, None] - torch.arange(n))",
           "(torch.arange(n) - centre[:, None])", "weight ["),
    Mutant("squeezed", "resize_matrix", STRETCH, "n / m if antialias else 1", "never below 1"),
    Mutant("border", "resize_matrix", "return " + DIVIDED,
           "at = torch.arange(-3 * n, 4 * n); "
           "far = kernel((centre[:, None] - at) / stretch); "
           "folded = torch.zeros(m, n).double().index_add_(1, at.clamp(0, n - 1), far); "
           "return folded / folded.sum(dim=1, keepdim=True)", "are repeated"),
    Mutant("transposed", "resize_matrix", "return " + DIVIDED, "return (" + DIVIDED + ").T",
           "the matrix is"),
    Mutant("float32", "resize_matrix", DIVIDED, "(" + DIVIDED + ").float()", "float64"),
    # Enlarger
    Mutant("detail", "Enlarger", SUM, "detail.reshape(smooth.shape)", "cubic is missing"),
    Mutant("smooth", "Enlarger", SUM, "smooth + 0 * detail.reshape(smooth.shape)", "no effect"),
    Mutant("minus", "Enlarger", SUM, "smooth - detail.reshape(smooth.shape)", "subtracted"),
    Mutant("transposed", "Enlarger", SUM,
           "smooth + detail.reshape(C, B, *smooth.shape[2:]).transpose(0, 1)", "its own"),
    Mutant("no shuffle", "Enlarger", DETAIL,
           "self.body(y.reshape(B * C, 1, H, W)).float()", "shuffle"),
    Mutant("large", "Enlarger", DETAIL,
           "F.pixel_shuffle(self.body(smooth[:, :1]).float(), self.factor)", "should see"),
    Mutant("detach", "Enlarger", ".float(), self.factor)", ".float().detach(), self.factor)",
           "no gradient"),
    Mutant("clamped", "Enlarger", SUM, "(smooth + detail.reshape(smooth.shape)).clamp(0, 1)",
           "do not clamp"),
    Mutant("no body", "Enlarger", SUM, "smooth", "no effect"),
    Mutant("no zero", "Enlarger", "nn.init.zeros_(parameter)", "pass", "before training"),
    # icnr
    Mutant("repeat", "icnr", EQUAL, "weight[:: factor**2].repeat(factor**2, 1, 1, 1)",
           "repeat_interleave"),
    Mutant("first only", "icnr", EQUAL, "weight[:1].expand_as(weight)", "its own first"),
    Mutant("zeros", "icnr", EQUAL, "0 * weight", "all filters are 0"),
    Mutant("head", "icnr", "weight[:: factor**2]", "weight[: len(weight) // factor**2]",
           "its own first"),
    Mutant("as it is", "icnr", EQUAL, "weight.clone()", "as they were"),
    Mutant("one r", "icnr", EQUAL, "weight[::factor].repeat_interleave(factor, dim=0)", "not r."),
    # tiled
    Mutant("no overlap", "tiled", "top, left = max(0, i - overlap), max(0, j - overlap)",
           "top, left, overlap = i, j, 0", "overlap has no effect"),
    Mutant("one side", "tiled", SEEN, "y[..., top : i + tile, left : j + tile]", "below"),
    Mutant("uncut", "tiled", "kept = kept[..., : factor * tile, : factor * tile]", "pass",
           "kept should be"),
    Mutant("cut short", "tiled", ": factor * tile, : factor * tile]", ": tile, : tile]",
           "kept should be"),
    Mutant("all", "tiled", SEEN, "y", "at once"),
    Mutant("corner", "tiled", KEPT, "part", "differs from"),
    Mutant("small pixels", "tiled", KEPT, "part[..., i - top :, j - left :]", "differs from"),
    Mutant("always", "tiled", KEPT,
           "part[..., factor * overlap * (i > 0) :, factor * (i - top) :]", "differs from"),
]  # fmt: skip

ALTERNATIVES = {
    "cubic": [
        (FAR, "a * (t**3 - 5 * t**2 + 8 * t - 4)"),
        (NEAR, "((a + 2) * t - (a + 3)) * t * t + 1"),
    ],
    "resize_matrix": [
        (CENTRE, "torch.linspace(n / m / 2 - 0.5, n - n / m / 2 - 0.5, m).double()"),
        (DIVIDED, "torch.nn.functional.normalize(weights, p=1, dim=1) * 0 + " + DIVIDED),
    ],
    "Enlarger": [
        (DETAIL, "nn.PixelShuffle(self.factor)(self.body(y.flatten(0, 1)[:, None]).float())"),
        (SUM, "detail.view_as(smooth).add(smooth)"),
        (DETAIL, "torch.stack([F.pixel_shuffle(self.body(y[:, c : c + 1]).float(), self.factor)"
         " for c in range(C)], dim=1)"),
    ],
    "icnr": [
        (EQUAL, "torch.cat([part[:1].expand_as(part) for part in weight.split(factor**2)])"),
        (EQUAL, "weight[torch.arange(len(weight)) // factor**2 * factor**2]"),
    ],
    "tiled": [
        (SEEN, "y[..., top : min(H, i + tile + overlap), left : min(W, j + tile + overlap)]"),
        (KEPT, "part[..., min(i, overlap) * factor :, min(j, overlap) * factor :]"),
    ],
}  # fmt: skip

# Rows of the catalogue that are questions in the lesson's text rather than code.
QUESTIONS = ["E1", "E2", "E5"]
