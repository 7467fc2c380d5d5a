"""Mistakes of lesson 51. Rows R6 and R12 are those of the course's catalogue of bugs."""

from tests.mutants import Mutant

TOPIC = "denoising"
APART = "torch.cdist(y.flatten(1), clean.flatten(1)).square()"
SOFTMAX = "(-apart / (2 * sigma**2)).softmax(dim=1)"
MEAN = "(posterior(y, clean, sigma) @ clean.flatten(1)).view_as(y)"
NOISE = "F.pixel_shuffle(self.body(h).float(), 2)"
CLEAN = "(x - noise)[..., :H, :W].reshape(B, C, H, W)"
LAST = "self.last(self.up(self.middle(b) + b) + a)"
PICK = "torch.randint(8, y.shape, generator=rng, device=y.device)"
GATHER = "around.gather(4, (k + (k >= 4))[..., None])[..., 0]"
RANGE = "if len(level) not in (1, B) or not ((level >= 0) & (level <= 1)).all():"

MUTANTS = [
    # posterior
    Mutant("sign", "posterior", "(-apart", "(apart", "sign is turned"),
    Mutant("no square", "posterior", ".square()", "", "not squared"),
    Mutant("no 2", "posterior", "(2 * sigma**2)", "(sigma**2)", "the 2 is missing"),
    Mutant("sigma", "posterior", "sigma**2", "sigma", "sigma is not squared"),
    Mutant("no sigma", "posterior", "(2 * sigma**2)", "2", "sigma is ignored"),
    Mutant("pixels", "posterior", "(2 * sigma**2)", "(2 * sigma**2 * y[0].numel())",
           "averaged over the pixels"),
    Mutant("batch", "posterior", "softmax(dim=1)", "softmax(dim=0)", "over the pictures"),
    Mutant("likelihood", "posterior", SOFTMAX, "(-apart / (2 * sigma**2)).exp()", "sum to 1"),
    Mutant("overflow", "posterior", "return " + SOFTMAX,
           "like = (-apart / (2 * sigma**2)).exp()\n    return like / like.sum(dim=1, keepdim=True)",
           "0 / 0 is nan"),
    Mutant("hidden", "posterior", "return " + SOFTMAX,
           "like = (-apart / (2 * sigma**2)).exp()\n"
           "    return like / (like.sum(dim=1, keepdim=True) + 1e-12)", "rounded to 0"),
    Mutant("2 squared", "posterior", "(2 * sigma**2)", "(2 * sigma) ** 2", "the 2 is squared"),
    Mutant("least", "posterior", "return " + SOFTMAX,
           "like = (-apart / (2 * sigma**2)).exp().clamp(1e-30)\n"
           "    return like / like.sum(dim=1, keepdim=True)", "the nearest one is still"),
    Mutant("prior", "posterior", SOFTMAX, "(-apart / (2 * sigma**2) + apart.new_tensor([0, 1, 0])"
           ").softmax(dim=1)", "p(x_1 | y_1)"),
    # posterior_mean
    Mutant("mode", "posterior_mean", MEAN,
           "clean[posterior(y, clean, sigma).argmax(dim=1)]", "most probable patch"),
    Mutant("sum", "posterior_mean", "posterior(y, clean, sigma) @",
           "(posterior(y, clean, sigma) / len(clean)) @", "tanh"),
    Mutant("y too", "posterior_mean", MEAN, "(" + MEAN + " + y) / 2", "tanh"),
    Mutant("flat", "posterior_mean", ".view_as(y)", "", "the mean, a picture"),
    Mutant("scrambled", "posterior_mean", "clean.flatten(1)", "clean.mT.flatten(1)",
           "not where they were"),
    Mutant("twice sigma", "posterior_mean", "clean, sigma) @", "clean, 2 * sigma) @", "tanh"),
    # Denoiser
    Mutant("noise", "Denoiser", "(x - noise)", "noise", "noise itself"),
    Mutant("plus", "Denoiser", "(x - noise)", "(x + noise)", "noise is added"),
    Mutant("turned", "Denoiser", "(x - noise)", "(noise - x)", "turned round"),
    Mutant("still", "Denoiser", "(x - noise)", "x", "no effect"),
    Mutant("no crop", "Denoiser", "[..., :H, :W].reshape(B, C, H, W)", "", "of that size"),
    Mutant("reshape first", "Denoiser", "[..., :H, :W].reshape", ".reshape", "crop to"),
    Mutant("wrong corner", "Denoiser", "[..., :H, :W]", "[..., -H:, -W:]", "top left"),
    Mutant("channels first", "Denoiser", ".reshape(B, C, H, W)",
           ".reshape(C, B, H, W).transpose(0, 1)", "0.75 y"),
    Mutant("mixed", "Denoiser", NOISE, "self.body(h).float().reshape(x.shape)", "pixel_shuffle undoes"),
    Mutant("detach", "Denoiser", NOISE, "F.pixel_shuffle(self.body(h).float(), 2).detach()",
           "no gradient"),
    Mutant("twice", "Denoiser", NOISE, "0.5 * F.pixel_shuffle(self.body(h) + self.body(h), 2)",
           "asked 2 times"),
    Mutant("upsampled", "Denoiser", NOISE,
           "F.interpolate(self.body(h)[:, :1].float(), scale_factor=2)", "pixel_shuffle undoes"),
    Mutant("sigma of 25", "Denoiser", RANGE, "if sigma is None:", "sigma = 25"),
    Mutant("largest", "Denoiser", RANGE, "if not 0 <= level.max() <= 1:", "negative sigma"),
    Mutant("map", "Denoiser", "len(level) not in (1, B) or ", "", "map of sigma"),
    Mutant("bytes", "Denoiser", "damage.require_pictures(y)", "pass", "end in a sentence"),
    Mutant("no zero", "Denoiser", "nn.init.zeros_(parameter)", "pass", "before training"),
    Mutant("clamped", "Denoiser", "(x - noise)", "(x - noise).clamp(0, 1)", "0.75 y"),
    # UNet
    Mutant("no skips", "UNet", LAST, "self.last(self.up(self.middle(b)))", "neither skip"),
    Mutant("no a", "UNet", LAST, "self.last(self.up(self.middle(b) + b))", "larger size"),
    Mutant("no b", "UNet", LAST, "self.last(self.up(self.middle(b)) + a)", "smaller size"),
    Mutant("no middle", "UNet", LAST, "self.last(self.up(b) + a)", "middle is left out"),
    Mutant("a only", "UNet", LAST, "self.last(a)", "coarse half is lost"),
    Mutant("minus", "UNet", LAST, "self.last(self.up(self.middle(b) - b) - a)", "subtracted"),
    Mutant("times", "UNet", LAST, "self.last(self.up(self.middle(b) * b) * a)", "multiplied"),
    Mutant("mean", "UNet", LAST, "self.last((self.up((self.middle(b) + b) / 2) + a) / 2)",
           "averaged"),
    Mutant("twice", "UNet", LAST, "self.last(self.up(self.middle(b) + b) + 2 * a)", "twice"),
    Mutant("too early", "UNet", LAST, "self.last(self.up(self.middle(b) + b)) + h", "not last(up("),
    Mutant("sizes", "UNet", LAST, "self.last(self.up(self.middle(b) + b) + b)", "different size"),
    Mutant("joined", "UNet", LAST, "self.last(torch.cat([self.up(torch.cat([self.middle(b), b], 1))"
           ", a], 1))", "not concatenated"),
    # hide
    Mutant("uneven", "hide", PICK + "\n    return", PICK.replace("(8", "(9") + "\n    k -= (k > 4).long()\n    return", "equally likely"),
    Mutant("not skipped", "hide", "(k + (k >= 4))", "k", "their own value"),
    Mutant("turned round", "hide", "torch.where(hidden, " + GATHER + ", y)",
           "torch.where(hidden, y, " + GATHER + ")", "True in hidden means"),
    Mutant("everywhere", "hide", "torch.where(hidden, " + GATHER + ", y)", GATHER, "bit for bit"),
    Mutant("zero", "hide", GATHER, "0 * y", "no mean, no 0"),
    Mutant("mean", "hide", GATHER, "(around.sum(dim=4) - y) / 8", "no mean, no 0"),
    Mutant("afar", "hide", GATHER, "y.roll((5, 5), (2, 3))", "no pixel from afar"),
    Mutant("always left", "hide", GATHER, "around[..., 3]", "equally likely"),
    Mutant("four", "hide", PICK, PICK.replace("(8", "(4"), "equally likely"),
    Mutant("own chance", "hide", PICK, "torch.randint(8, y.shape)", "generator=rng"),
    Mutant("one picture", "hide", "[..., 0], y)", "[..., 0], y)[0]", "should stay so"),
]  # fmt: skip

ALTERNATIVES = {
    "posterior": [
        (APART, "(y[:, None] - clean).square().flatten(2).sum(dim=2)"),
        (SOFTMAX, "torch.exp(-apart / (2 * sigma**2) - torch.logsumexp(-apart / (2 * sigma**2), "
                  "dim=1, keepdim=True))"),
    ],
    "posterior_mean": [
        (MEAN, 'torch.einsum("bk,kchw->bchw", posterior(y, clean, sigma), clean)'),
        (MEAN, "torch.tensordot(posterior(y, clean, sigma), clean, dims=1)"),
    ],
    "Denoiser": [
        (CLEAN, "y - noise.reshape(B, C, *x.shape[2:])[:, :, :H, :W]"),
        ("noise = " + NOISE + "  # the body may run in half precision\n        return " + CLEAN,
         "clean = F.pixel_shuffle(F.pixel_unshuffle(x, 2) - self.body(h), 2)\n"
         "        return clean.view(B, C, *x.shape[2:])[..., :H, :W]"),
    ],
    "hide": [
        (GATHER, "around[..., [0, 1, 2, 3, 5, 6, 7, 8]].gather(4, k[..., None]).squeeze(4)"),
        (PICK, "torch.rand(y.shape, generator=rng).mul(8).long()"),
    ],
    "UNet": [
        (LAST, "self.last(torch.add(a, self.up(torch.add(b, self.middle(b)))))"),
        (LAST, "self.last(sum([a, self.up(sum([b, self.middle(b)]))]))"),
    ],
}  # fmt: skip

# Rows of the catalogue that are questions in the lesson's text rather than code.
QUESTIONS = ["R6", "R12"]
