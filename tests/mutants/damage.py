"""Mistakes of lesson 50. Rows E4 to E7 and R1 to R4 are those of the course's catalogue of bugs."""

from tests.mutants import Mutant

TOPIC = "damage"
SIDES = "rows.T @ y @ columns"
WIDE = "y.repeat_interleave(self.factor, 2).repeat_interleave(self.factor, 3)"
SHARE = " / self.factor**2"
BINARY = "((known == 0) | (known == 1)).all()"
KEEP = "torch.where(known, x, 0)"
FITS = "[*known.shape] in (size, *([b, c, *size] for b in (1, B) for c in (1, C)))"
MSE = "(x.double() - y.double()).square().flatten(1).mean(dim=1)"
DECIBELS = "10 * torch.log10(data_range**2 / mse)"
REQUIRE = "require_pictures(x, y, data_range=data_range)"
CONSTANTS = "(0.01 * data_range) ** 2, (0.03 * data_range) ** 2"
COV = "local_mean(x * y) - mx * my"
LIGHT = "(2 * mx * my + c1) / (mx**2 + my**2 + c1)"
STRUCTURE = "(2 * cov + c2) / (vx + vy + c2)"
MEAN = "(light * structure).flatten(1).mean(dim=1)"
FROM_Q = "x = y - weight * differences_adjoint(q)"
CLIMB = "new = q + differences(x) / (8 * weight)"
CUT = "new / new.norm(dim=0).clamp(min=1)"
UNFOLD = "unfold(2, size, 1).unfold(3, size, 1)"
MEDIAN = ".median(dim=4).values"
FORTH = "amounts = K @ blocks @ K.T"
ROUND = "((amounts / steps).round() * steps)"
BACK = "K.T @ ((amounts / steps).round() * steps) @ K"

MUTANTS = [
    # Blur
    Mutant("itself", "Blur", SIDES, "rows @ y @ columns.T", "not near the border"),
    Mutant("one side", "Blur", SIDES, "rows.T @ y", "only one side"),
    Mutant("other side", "Blur", SIDES, "y @ columns", "only one side"),
    Mutant("columns", "Blur", SIDES, "rows.T @ y @ columns.T", "not transposed"),
    Mutant("rows", "Blur", SIDES, "rows @ y @ columns", "not transposed"),
    Mutant("inverse", "Blur", SIDES, "torch.linalg.inv(rows) @ y @ torch.linalg.inv(columns).T",
           "no inverse"),
    Mutant("sides", "Blur", SIDES, "columns.T @ y @ rows", "on its own side"),
    Mutant("twice", "Blur", SIDES, "2 * rows.T @ y @ columns", "<x, A^T y> ="),
    # Downsample
    Mutant("no share", "Downsample", SHARE, "", "4 times too much"),
    Mutant("half a share", "Downsample", SHARE, " / self.factor", "2 times too much"),
    Mutant("tiled", "Downsample", WIDE, "y.repeat(1, 1, self.factor, self.factor)", "tiled"),
    Mutant("rows only", "Downsample", WIDE, "y.repeat_interleave(self.factor, 2)",
           "goes back to pictures"),
    Mutant("smooth", "Downsample", WIDE,
           'F.interpolate(y, scale_factor=self.factor, mode="bilinear")', "in its own block"),
    Mutant("odd sizes", "Downsample", "any(n % self.factor for n in x.shape[2:])",
           "False", "cut into pairs"),
    # Mask
    Mutant("R1", "Mask", KEEP, "torch.where(known, 0, x)", "(R1)"),
    Mutant("R2", "Mask", BINARY, "(known <= 1).all()", "(R2, R3)"),
    Mutant("R3", "Mask", BINARY, "((known >= 0) & (known <= 1.6)).all()", "(R2, R3)"),
    Mutant("R2 all", "Mask", BINARY, "True", "(R2, R3)"),
    Mutant("R4", "Mask", KEEP, "torch.where(known, x, 0.1 * x)", "(R4)"),
    Mutant("any size", "Mask", FITS, "True", "keep the sentence"),
    Mutant("identity", "Mask", "adjoint = __call__", "adjoint = lambda self, y: y", "its own adjoint"),
    # psnr
    Mutant("E7 own maximum", "psnr", "data_range**2", "x.max() ** 2", "(E7)"),
    Mutant("E7 own range", "psnr", "data_range**2", "(x.max() - x.min()) ** 2", "(E7)"),
    Mutant("E7 each", "psnr", "data_range**2", "y.flatten(1).amax(1) ** 2", "(E7)"),
    Mutant("E7 one", "psnr", "data_range**2 /", "1 /", "data_range is ignored"),
    Mutant("E4", "psnr", "    " + REQUIRE, "    " + REQUIRE + """
    low, high = (f(dim=(1, 2, 3), keepdim=True) for f in (x.amin, x.amax))
    x = (x - low) / (high - low) * data_range
    low, high = (f(dim=(1, 2, 3), keepdim=True) for f in (y.amin, y.amax))
    y = (y - low) / (high - low) * data_range""", "(E4)"),
    Mutant("E6", "psnr", REQUIRE, "pass", "keep require_pictures"),
    Mutant("E6 range", "psnr", REQUIRE, "require_pictures(x, y)", "(E6)"),
    Mutant("sign", "psnr", "data_range**2 / mse", "mse / data_range**2", "sign is turned"),
    Mutant("20", "psnr", "10 *", "20 *", "20 log10"),
    Mutant("ln", "psnr", "torch.log10", "torch.log", "natural logarithm"),
    Mutant("R", "psnr", "data_range**2", "data_range", "to be squared"),
    Mutant("batch", "psnr", ".flatten(1).mean(dim=1)", ".mean()", "3 numbers"),
    Mutant("batch spread", "psnr", ".flatten(1).mean(dim=1)", ".mean().expand(len(x))",
           "a PSNR of its own"),
    Mutant("absolute", "psnr", MSE, "(x.double() - y.double()).abs().flatten(1).mean(dim=1) ** 2",
           "squared before the mean"),
    Mutant("early", "psnr", MSE + "\n    return " + DECIBELS,
           "(x.double() - y.double()).square()\n    return (" + DECIBELS + ").flatten(1).mean(dim=1)",
           "logarithm comes last"),
    Mutant("hidden", "psnr", "/ mse)", "/ (mse + 1e-3))", "add nothing"),
    Mutant("hidden little", "psnr", "/ mse)", "/ (mse + 1e-13))", "add nothing"),
    Mutant("float32", "psnr", "(x.double() - y.double())", "(x.float() - y.float())", "first PSNR"),
    # ssim
    Mutant("E7", "ssim", CONSTANTS, "0.01**2, 0.03**2", "(E7)"),
    Mutant("E7 two", "ssim", CONSTANTS, "0.02**2, 0.06**2", "(E7)"),
    Mutant("E6", "ssim", REQUIRE, "require_pictures(x, y)", "(E6)"),
    Mutant("brightness", "ssim", "light * structure", "light", "structure is missing"),
    Mutant("structure", "ssim", "light * structure", "structure", "brightness is missing"),
    Mutant("means first", "ssim", MEAN, "light.flatten(1).mean(dim=1) * structure.flatten(1).mean(dim=1)",
           "place by place"),
    Mutant("exchanged", "ssim", CONSTANTS, "(0.03 * data_range) ** 2, (0.01 * data_range) ** 2",
           "exchanged"),
    Mutant("no constants", "ssim", CONSTANTS, "0, 0", "constants are missing"),
    Mutant("squares", "ssim", "local_mean(x * x) - mx**2, local_mean(y * y) - my**2",
           "local_mean(x * x), local_mean(y * y)", "lack - mx**2"),
    Mutant("product", "ssim", COV, "local_mean(x * y)", "lacks - mx * my"),
    Mutant("no 2", "ssim", LIGHT + "\n    structure = " + STRUCTURE,
           LIGHT.replace("2 *", "") + "\n    structure = " + STRUCTURE.replace("2 *", ""), "the 2 in both"),
    Mutant("one variance", "ssim", "vx + vy", "vx + vx", "only one variance"),
    Mutant("times", "ssim", "vx + vy", "vx * vy", "stands their sum"),
    Mutant("squared", "ssim", "vx + vy", "vx**2 + vy**2", "the variance itself"),
    Mutant("sample", "ssim", STRUCTURE, STRUCTURE.replace("2 * cov", "2 * 121 / 120 * cov").replace(
        "vx + vy", "121 / 120 * (vx + vy)"), "those of a sample"),
    Mutant("batch", "ssim", ".flatten(1).mean(dim=1)", ".mean()", "3 numbers"),
    Mutant("small", "ssim", "min(x.shape[2:]) < 11", "False", "raised in"),
    # total_variation
    Mutant("x up", "total_variation", FROM_Q, FROM_Q.replace("y - ", "y + "), "times the least"),
    Mutant("down", "total_variation", CLIMB, CLIMB.replace("q +", "q -"), "is added"),
    Mutant("no cut", "total_variation", CUT, "new", "is kept"),
    Mutant("each number", "total_variation", CUT, "new.clamp(-1, 1)", "by itself"),
    Mutant("p for x", "total_variation", FROM_Q, FROM_Q.replace("(q)", "(p)"), "x is made of p"),
    Mutant("p for new", "total_variation", CLIMB, CLIMB.replace("q +", "p +"), "starts at p"),
    Mutant("p twice", "total_variation", FROM_Q + "\n        " + CLIMB,
           FROM_Q.replace("(q)", "(p)") + "\n        " + CLIMB.replace("q +", "p +"), "without momentum"),
    Mutant("slope", "total_variation", "(8 * weight)", "(8 * weight**2)", "the slope by p"),
    Mutant("not kept", "total_variation", "new = " + CUT, CUT, "is kept"),
    Mutant("all to 1", "total_variation", CUT, "new / new.norm(dim=0)", "left as they are"),
    Mutant("still", "total_variation", CLIMB, "new = q", "nothing has changed"),
    Mutant("no weight", "total_variation", "(8 * weight)", "8", "weight is lost"),
    Mutant("small steps", "total_variation", "(8 * weight)", "(800 * weight)", "objective"),
    Mutant("large steps", "total_variation", "(8 * weight)", "weight", "objective"),
    Mutant("joint length", "total_variation", "new.norm(dim=0)", "new.norm(dim=(0, 1), keepdim=True)[0]",
           "objective"),
    # median_filter
    Mutant("mean", "median_filter", MEDIAN, ".mean(dim=4)", "as far as it likes"),
    Mutant("no values", "median_filter", ".values", "", "take .values"),
    Mutant("rows", "median_filter", UNFOLD, "unfold(2, size, 1)[..., size // 2 : -(size // 2) or None, :]",
           "a line of numbers"),
    Mutant("smallest", "median_filter", MEDIAN, ".amin(dim=4)", "the smallest"),
    Mutant("medians", "median_filter", UNFOLD + ".flatten(4)" + MEDIAN,
           UNFOLD + ".median(dim=5).values.median(dim=4).values", "median of medians"),
    Mutant("channels", "median_filter", UNFOLD + ".flatten(4)" + MEDIAN,
           UNFOLD + ".flatten(4).transpose(1, 3).flatten(3).median(dim=3).values", "should stay so"),
    Mutant("padded", "median_filter", UNFOLD + ".flatten(4)" + MEDIAN, "unfold(2, size, 1)" + MEDIAN,
           "should stay so"),
    # jpeg
    Mutant("no rounding", "jpeg", ROUND, "amounts", "nothing is lost"),
    Mutant("no steps back", "jpeg", ROUND, "(amounts / steps).round()", "* steps after the rounding"),
    Mutant("floor", "jpeg", ".round()", ".floor()", "*nearest*"),
    Mutant("trunc", "jpeg", ".round()", ".trunc()", "*nearest*"),
    Mutant("same way", "jpeg", BACK, BACK.replace("K.T @", "K @").replace("@ K", "@ K.T").replace("K.T @ ((", "K @ (("),
           "K.T @ ___ @ K back"),
    Mutant("pixels", "jpeg", FORTH, "amounts = blocks", "K.T @ ___ @ K back"),
    Mutant("reversed", "jpeg", FORTH + "\n    blocks = " + BACK,
           "amounts = K.T @ blocks @ K\n    blocks = K @ " + ROUND + " @ K.T", "real file"),
]  # fmt: skip

ALTERNATIVES = {
    "Blur": [
        (SIDES, "(columns.T @ (rows.T @ y).mT).mT"),
        (SIDES, 'torch.einsum("ij,bcik,kl->bcjl", rows, y, columns)'),
    ],
    "Downsample": [
        (WIDE, 'F.interpolate(y, scale_factor=self.factor, mode="nearest")'),
        (WIDE, "torch.kron(y, torch.ones(self.factor, self.factor).to(y))"),
    ],
    "Mask": [
        (KEEP, "x.masked_fill(~known, 0)"),
        ("adjoint = __call__", "def adjoint(self, y):\n        return y * self.known"),
    ],
    "psnr": [
        (DECIBELS, "20 * torch.log10(data_range / mse.sqrt())"),
        (MSE, "(x.double() - y.double()).pow(2).mean(dim=(1, 2, 3))"),
    ],
    "ssim": [
        (COV, "(local_mean((x + y) ** 2) - (mx + my) ** 2 - vx - vy) / 2"),
        (STRUCTURE, "1 - (vx + vy - 2 * cov) / (vx + vy + c2)"),
    ],
    "total_variation": [
        (CUT, "new / new.square().sum(dim=0).sqrt().maximum(torch.ones(()).to(new))"),
        (CUT, "torch.where(new.norm(dim=0) > 1, new / new.norm(dim=0), new)"),
    ],
    "median_filter": [
        (MEDIAN, ".sort(dim=4).values[..., size**2 // 2]"),
        (MEDIAN, ".quantile(0.5, dim=-1)"),
        (UNFOLD, "unfold(3, size, 1).unfold(2, size, 1)"),
    ],
    "jpeg": [
        (BACK, "(K.T @ (torch.round(amounts / steps) * steps)) @ K"),
        (FORTH, 'amounts = torch.einsum("ij,...jk,lk->...il", K, blocks, K)'),
    ],
}  # fmt: skip

# Rows of the catalogue that are questions in the lesson's text rather than code.
QUESTIONS = ["E7", "E8", "R7"]
