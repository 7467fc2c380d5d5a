"""Mistakes of lesson 52. Rows R1, R2, R3 and the questions are those of the catalogue of bugs."""

from tests.mutants import Mutant

TOPIC = "old_photograph"
ALPHA = "alpha = torch.where(going, rr / bend, 0)"
GROW = "x, r, old = x + alpha * p, r - alpha * image, rr"
NEW = "rr = (r * r).sum(dim=(1, 2, 3), keepdim=True)\n"
TURN = "p = r + torch.where(going, rr / old, 0) * p"
CHANGE = "conjugate_gradients(bent, -bent(start), steps)"
COST = "math.log(wasted / missed)"
HITS = "hits = (found & truth).sum().item()"
WHOLES = "(found, truth, found | truth)"
RATIO = "[hits / whole if whole else 1.0 for whole in wholes]"
LOW = "for at in (k, n - k)"
STRETCH = "(y - low) / (high - low)"
D = "y.diff(dim=2).diff(dim=3)"
READ = "d.abs().flatten(1).median(dim=1).values.view(-1, 1, 1, 1) / (2 * 0.6745)"

MUTANTS = [
    # scores
    Mutant("exchanged", "scores", WHOLES, "(truth, found, found | truth)", "exchanged"),
    Mutant("dice", "scores", RATIO, "[*" + RATIO + "[:2], 2 * hits / (wholes[0] + wholes[1] or 1)]",
           "F1 score"),
    Mutant("sum", "scores", RATIO, "[*" + RATIO + "[:2], hits / (wholes[0] + wholes[1] or 1)]",
           "hits twice"),
    Mutant("accuracy", "scores", "(found & truth).sum()", "(found == truth).sum()", "accuracy"),
    Mutant("all", "scores", RATIO, "[hits / found.numel() for _ in wholes]", "all pixels"),
    Mutant("zero", "scores", " if whole else 1.0", "", "0 / 0 is 1"),
    Mutant("zero is 0", "scores", "else 1.0", "else 0.0", "0 / 0 is 1"),
    Mutant("tensors", "scores", "(found & truth).sum().item()", "(found & truth).sum()",
           "three floats"),
    Mutant("soft", "scores", "{found.dtype, truth.dtype} != {torch.bool}", "False", "sentence"),
    # threshold
    Mutant("upside down", "threshold", COST, "math.log(missed / wasted)", "upside down"),
    Mutant("odds", "threshold", COST, "wasted / missed", "odds"),
    Mutant("probability", "threshold", COST, "wasted / (wasted + missed)", "probability"),
    Mutant("base", "threshold", COST, "math.log10(wasted / missed)", "cost the same"),
    Mutant("no costs", "threshold", "not (missed > 0 and wasted > 0)", "False", "sentence"),
    # conjugate_gradients
    Mutant("descent", "conjugate_gradients", TURN, "p = r", "zigzags"),
    Mutant("sign", "conjugate_gradients", "x + alpha * p", "x - alpha * p", "first step"),
    Mutant("residual", "conjugate_gradients", "r - alpha * image", "r + alpha * image",
           "after 40 steps"),
    Mutant("beta", "conjugate_gradients", "rr / old, 0)", "old / rr, 0)", "after 40 steps"),
    Mutant("batch", "conjugate_gradients",
           "bend = (p * image).sum(dim=(1, 2, 3), keepdim=True)", "bend = (p * image).sum()",
           "first step"),
    Mutant("one alpha", "conjugate_gradients", ALPHA, "alpha = rr.sum() / bend.sum()",
           "whole batch"),
    Mutant("nan", "conjugate_gradients",
           "going = (rr > least) & (bend > 0)", "going = rr >= 0 * bend", "nan"),
    Mutant("too far", "conjugate_gradients", "rr / bend, 0)", "2 * rr / bend, 0)", "first step"),
    Mutant("old r", "conjugate_gradients", TURN, "p = p + torch.where(going, rr / old, 0) * r",
           "after 40 steps"),
    # harmonic
    Mutant("R1", "harmonic", "return torch.where(known, y, start + change)",
           "return torch.where(known, start + change, y)", "as it was"),
    Mutant("start", "harmonic", CHANGE, "0 * start", "the start"),
    Mutant("sign", "harmonic", "-bent(start)", "bent(start)", "wrong sign"),
    Mutant("steps", "harmonic", "-bent(start), steps)", "-bent(start))", "hand `steps` on"),
    Mutant("few", "harmonic", "-bent(start), steps", "-bent(start), 3", "mean of its neighbours"),
    Mutant("bits", "harmonic", "torch.where(known, y, start + change)",
           "(start - mean) + mean + change", "bit for bit"),
    Mutant("leak", "harmonic", "-bent(start)", "-bent(y)", "mean of its neighbours"),
    Mutant("R2", "harmonic", "damage.Mask(known)(y)  # refuses what does not fit",
           "known = known > 0", "greys (R2)"),
    Mutant("R3", "harmonic", "damage.Mask(known)(y)  # refuses what does not fit",
           "known = known if known.max() < 1 or known.dtype == torch.bool else known >= 1",
           "0.5 and 1.5"),
    Mutant("grows", "harmonic", "-bent(start)", "-start", "an error that grows"),
    Mutant("no steps", "harmonic", "known is None or steps < 1", "False", "steps=0"),
    Mutant("nothing", "harmonic", "(count == 0).any()", "False", "nothing known"),
    # levels
    Mutant("least", "levels", "k = int(n * share)", "k = 0", "minimum and maximum"),
    Mutant("low", "levels", STRETCH, "y - low", "only the low"),
    Mutant("batch", "levels", STRETCH, "(y - low.min()) / (high.max() - low.min())",
           "levels of its own"),
    Mutant("clipped", "levels", STRETCH, "((y - low) / (high - low)).clamp(0, 1)",
           "stay beyond"),
    Mutant("high", "levels", STRETCH, "(y - low) / high", "haze is in high"),
    Mutant("nan", "levels", "return torch.where(wide, stretched, y)",
           "return stretched", "one colour"),
    Mutant("share", "levels", "not 0 <= share < 0.5", "False", "a half or more"),
    Mutant("specks", "levels", "high - low > 1e-3 *", "high - low > 0 *", "one colour"),
    Mutant("channels", "levels", "y.flatten(1).sort(dim=1).values",
           "y[:, :1].flatten(1).sort(dim=1).values", "together"),
    # noise_level
    Mutant("std", "noise_level", READ, "d.flatten(1).std(dim=1).view(-1, 1, 1, 1) / 2",
           "standard deviation"),
    Mutant("mean", "noise_level", ".median(dim=1).values", ".mean(dim=1)", "mean of |d|"),
    Mutant("2", "noise_level", "(2 * 0.6745)", "0.6745", "the 2 is missing"),
    Mutant("0.6745", "noise_level", "(2 * 0.6745)", "2", "0.6745 is missing"),
    Mutant("4", "noise_level", "(2 * 0.6745)", "(4 * 0.6745)", "4 instead of 2"),
    Mutant("no abs", "noise_level", "d.abs()", "d", "near 0"),
    Mutant("one way", "noise_level", "y.diff(dim=2).diff(dim=3)", "y.diff(dim=2) * 2**0.5",
           "a ramp holds no noise"),
    Mutant("shape", "noise_level", ".view(-1, 1, 1, 1)", "", "(B, 1, 1, 1)"),
    Mutant("thin", "noise_level", "min(y.shape[2:]) < 2", "False", "one column"),
]  # fmt: skip

ALTERNATIVES = {
    "threshold": [
        (COST, "math.log(wasted) - math.log(missed)"),
        (COST, "-math.log(missed / wasted)"),
    ],
    "scores": [
        (HITS, "hits = float((found * truth).sum())"),
        (WHOLES, "(found, truth, ~(~found & ~truth))"),
    ],
    "conjugate_gradients": [
        (GROW, "x = x + alpha * p\n        r, old = r - alpha * image, rr"),
        (TURN, "p = torch.where(going, rr / old, 0).mul(p).add(r)"),
    ],
    "harmonic": [
        (CHANGE, "-conjugate_gradients(bent, bent(start), steps)"),
        (CHANGE, "conjugate_gradients(lambda v: 2 * bent(v), -2 * bent(start), steps)"),
    ],
    "levels": [
        (STRETCH, "y / (high - low) - low / (high - low)"),
        (LOW, "for at in (int(n * share), n - int(share * n))"),
    ],
    "noise_level": [
        (D, "y[..., 1:, 1:] - y[..., 1:, :-1] - y[..., :-1, 1:] + y[..., :-1, :-1]"),
        (READ, "(d / 2).abs().flatten(1).quantile(0.5, dim=1)[:, None, None, None] / 0.67449"),
    ],
}  # fmt: skip

# Rows of the catalogue that are questions or shown in the lesson's text rather than code.
QUESTIONS = ["R11", "R13", "E9"]
