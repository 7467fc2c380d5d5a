"""Mistakes of lesson 53. Rows R1 to R10 are those of the course's catalogue of bugs."""

from tests.mutants import Mutant

TOPIC = "inpainting"
BENT = "laplacian(laplacian(x)).masked_fill(known, 0)"
SOLVE = "conjugate_gradients(bent, -bent(start), steps)"
FILLED = "torch.where(known, y, start + change)"
CHANGE = "F.pixel_shuffle(self.body(h).float(), 2)[..., :H, :W].reshape(B, C, H, W)"
PASTED = "torch.where(known, fill, fill + change)"
SQUARED = "(found - target).square().mean(dim=(1, 2, 3))"
ROOT = "(squared + 1e-6).sqrt().mean()"
BOTH = "gen_loss(logits) + weight * F.mse_loss(found, target)"
MIXED = "super().forward(torch.where(known, x, 0)) - bias"
SCALED = "torch.where(share > 0, mixed / share.clamp(min=1e-9) + bias, 0), share > 0"

MUTANTS = [
    # biharmonic
    Mutant("R1", "biharmonic", "known = require_known(y, known)", "known = ~require_known(y, known)",
           "1 means known"),
    Mutant("nothing", "biharmonic", FILLED, "torch.where(known, start + change, y)",
           "back as it was"),
    Mutant("one L", "biharmonic", BENT, "laplacian(x).masked_fill(known, 0)", "harmonic filling"),
    Mutant("three L", "biharmonic", BENT, "laplacian(laplacian(laplacian(x))).masked_fill(known, 0)",
           "the solution of the equations"),
    Mutant("early", "biharmonic", BENT, "laplacian(laplacian(x).masked_fill(known, 0))"
           ".masked_fill(known, 0)", "harmonic filling"),
    Mutant("sign", "biharmonic", "-bent(start)", "bent(start)", "the solution of the equations"),
    Mutant("no steps", "biharmonic", "-bent(start), steps)", "-bent(start), 400)", "hand `steps` on"),
    Mutant("R4", "biharmonic", SOLVE, "conjugate_gradients(bent, -bent(y), steps)",
           "stands in the hole"),
    Mutant("rounded", "biharmonic", FILLED, "y * known + (start + change) * ~known + 1e-12",
           "bit for bit"),
    Mutant("R2", "biharmonic", "known = require_known(y, known)\n    start",
           "known = known.expand(y.shape) > 0\n    start", "end in a sentence"),
    # Refiner
    Mutant("R1", "Refiner", PASTED, "torch.where(known, fill + change, fill)", "1 where kept"),
    Mutant("R9", "Refiner", "(~known).to(fill)], dim=2)", "fill], dim=2)", "(R9)"),
    Mutant("R9 too", "Refiner", "(~known).to(fill)], dim=2)", "known.to(fill)], dim=2)", "(R9)"),
    Mutant("alone", "Refiner", PASTED, "torch.where(known, fill, change)", "change alone"),
    Mutant("minus", "Refiner", PASTED, "torch.where(known, fill, fill - change)", "subtracted"),
    Mutant("everywhere", "Refiner", PASTED, "fill + change", "bit for bit"),
    Mutant("no crop", "Refiner", CHANGE, "F.pixel_shuffle(self.body(h).float(), 2)\n"
           "        change = change.view(B, C, *change.shape[2:])\n"
           "        fill = F.pad(fill, (0, -W % 8, 0, -H % 8))\n"
           "        known = F.pad(known, (0, -W % 8, 0, -H % 8))", "of that size"),
    Mutant("corner", "Refiner", "[..., :H, :W]", "[..., -H:, -W:]", "0.25, 0.5"),
    Mutant("scrambled", "Refiner", "F.pixel_shuffle(self.body(h).float(), 2)",
           "self.body(h).float().reshape(B * C, 1, H + -H % 8, W + -W % 8)", "0.25, 0.5"),
    Mutant("no zero", "Refiner", "nn.init.zeros_(parameter)", "pass", "before training"),
    Mutant("detach", "Refiner", PASTED, "torch.where(known, fill, fill + change.detach())",
           "no gradient"),
    Mutant("idle", "Refiner", PASTED, "fill + 0 * change", "no effect"),
    Mutant("product", "Refiner", PASTED, "fill + change * ~known", "no product"),
    Mutant("mixed", "Refiner", ".reshape(B, C, H, W)\n        return",
           ".reshape(C, B, H, W).transpose(0, 1)\n        return", "mixes no colours"),
    # picture_loss
    Mutant("colours", "picture_loss", "mean(dim=(1, 2, 3))", "mean(dim=(2, 3))", "each colour"),
    Mutant("R8", "picture_loss", SQUARED, "(found - target).square().sum(dim=(1, 2, 3))", "(R8)"),
    Mutant("no root", "picture_loss", ROOT, "squared.mean()", "without the root"),
    Mutant("one root", "picture_loss", ROOT, "(squared.mean() + 1e-6).sqrt()", "one root"),
    Mutant("nan", "picture_loss", ROOT, "squared.sqrt().mean()", "gradient is nan"),
    Mutant("beside", "picture_loss", ROOT, "(squared.sqrt() + 1e-6).mean()", "belongs under it"),
    Mutant("batch", "picture_loss", ROOT, "(squared + 1e-6).sqrt().sum()", "batch is summed"),
    Mutant("absolute", "picture_loss", SQUARED + "\n    return " + ROOT,
           "(found - target).abs()\n    return squared.mean()", "not squared"),
    Mutant("each", "picture_loss", ROOT, "(squared + 1e-6).sqrt()", "one number"),
    # context_loss
    Mutant("D's", "context_loss", "gen_loss(logits)", "gen_loss(-logits)", "D's own loss"),
    Mutant("other", "context_loss", BOTH, "weight * gen_loss(logits) + F.mse_loss(found, target)",
           "weight stands at"),
    Mutant("minus", "context_loss", BOTH, "gen_loss(logits) - weight * F.mse_loss(found, target)",
           "subtracted"),
    Mutant("deaf", "context_loss", BOTH, "weight * F.mse_loss(found, target)", "is missing"),
    Mutant("R8", "context_loss", BOTH,
           'gen_loss(logits) + weight * F.mse_loss(found, target, reduction="sum")', "(R8)"),
    Mutant("detached", "context_loss", "F.mse_loss(found, target)",
           "F.mse_loss(found.detach(), target)", "no detach"),
    Mutant("no weight", "context_loss", BOTH, "gen_loss(logits) + F.mse_loss(found, target)",
           "no effect"),
    # PartialConv
    Mutant("R4", "PartialConv", MIXED, "super().forward(x) - bias", "(R4)"),
    Mutant("R4 nan", "PartialConv", MIXED, "super().forward(x * known) - bias", "a nan in the hole"),
    Mutant("share", "PartialConv", "bias, 0), share > 0", "bias, 0), share", "should be bool"),
    Mutant("plain", "PartialConv", "mixed / share.clamp(min=1e-9) + bias", "mixed + bias",
           "mean of ones"),
    Mutant("bias", "PartialConv", SCALED, "torch.where(share > 0, (mixed + bias) / "
           "share.clamp(min=1e-9), 0), share > 0", "mean of ones"),
    Mutant("R4 bias", "PartialConv", SCALED,
           "mixed / share.clamp(min=1e-9) + bias, share > 0", "without the bias"),
    Mutant("still", "PartialConv", "bias, 0), share > 0", "bias, 0), known", "the new mask"),
]  # fmt: skip

ALTERNATIVES = {
    "biharmonic": [
        (BENT, "torch.where(known, 0, laplacian(laplacian(x)))"),
        ("change = " + SOLVE, "change = -conjugate_gradients(bent, bent(start), steps)"),
    ],
    "Refiner": [
        (PASTED, "fill + change.masked_fill(known, 0)"),
        (PASTED, "torch.where(~known, change + fill, fill)"),
    ],
    "picture_loss": [
        (SQUARED, "(found - target).pow(2).flatten(1).mean(1)"),
        (ROOT, "torch.sqrt(squared + 1e-6).sum() / len(squared)"),
    ],
    "context_loss": [
        (BOTH, "F.softplus(-logits).mean() + weight * (found - target).square().mean()"),
        (BOTH, "torch.add(gen_loss(logits), F.mse_loss(target, found), alpha=weight)"),
    ],
    "PartialConv": [
        (MIXED, "F.conv2d(x.masked_fill(~known, 0), self.weight, None, 1, self.padding)"),
        ("bias = self.bias[:, None, None]", "bias = self.bias.view(1, -1, 1, 1)"),
    ],
}  # fmt: skip

# Rows of the catalogue that are questions in the lesson's text rather than code.
QUESTIONS = ["R10", "R3", "R5"]
