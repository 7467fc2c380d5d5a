"""Mistakes of lesson 30. Rows V12 and V16 are those of the course's catalogue of bugs."""

from tests.mutants import Mutant

TOPIC = "autoencoder"
FLAT = "z = (x.flatten(1) - mean) @ components.T\n    return (mean + z @ components).view_as(x)"
STEP = "loss_rec = loss(decoder(encoder(seen)), x)"
ANGLES = "torch.rad2deg(torch.linalg.svdvals(q_a.T @ q_b).clamp(max=1).acos())"
BASES = "q_a, q_b = torch.linalg.qr(a.T).Q, torch.linalg.qr(b.T).Q"
ROOT = "root = torch.linalg.cholesky(torch.cov(codes.T))"
LAST = "nn.PixelShuffle(r)"

MUTANTS = [
    # flat
    Mutant("not centred", "flat", "(x.flatten(1) - mean)", "x.flatten(1)", "taken away first"),
    Mutant("no mean", "flat", "(mean + z @ components)", "(z @ components)", "not added"),
    Mutant("no mean at all", "flat", FLAT, "z = x.flatten(1) @ components.T\n"
           "    return (z @ components).view_as(x)", "neither"),
    Mutant("one too few", "flat", "z @ components", "z[:, 1:] @ components[1:]", "feet of the"),
    Mutant("left out", "flat", "(mean + z @ components)", "(x.flatten(1) - mean - z @ components)",
           "leaves out"),
    Mutant("itself", "flat", "(mean + z @ components)", "x.flatten(1)", "pictures themselves"),
    Mutant("shape", "flat", ".view_as(x)", "", "view_as"),
    Mutant("in place", "flat", "(x.flatten(1) - mean)", "x.view(len(x), -1).sub_(mean)", "copy"),
    # train_autoencoder
    Mutant("target", "train_autoencoder", STEP, STEP.replace(", x)", ", seen)"), "clean x"),
    Mutant("C6 corrupt", "train_autoencoder", "encoder(seen)", "encoder(x)", "`corrupt` is accepted"),
    Mutant("C6 loss", "train_autoencoder", "loss(decoder(", "pixel_loss(decoder(", "`loss` is accepted"),
    Mutant("G13", "train_autoencoder", "decoder(encoder(seen))", "decoder(encoder(seen)).sigmoid()",
           "as they are"),
    Mutant("two faults", "train_autoencoder", STEP,
           "loss_rec = loss(decoder(encoder(seen).detach()).sigmoid(), x)", "2 faults at once"),
    Mutant("three faults", "train_autoencoder", STEP,
           "loss_rec = loss(decoder(encoder(seen).detach()).sigmoid(), seen)",
           "3 faults at once. The first: the loss compares"),
    Mutant("no rng", "train_autoencoder", "corrupt(x, rng)\n", "corrupt(x)\n", "two arguments"),
    Mutant("detached", "train_autoencoder", "encoder(seen)", "encoder(seen).detach()", "detach the code"),
    Mutant("kept", "train_autoencoder", "            optimiser.zero_grad()\n", "", "zero_grad()"),
    Mutant("no step", "train_autoencoder", "            optimiser.step()\n", "", "nothing has moved"),
    Mutant("cleared late", "train_autoencoder",
           "            optimiser.zero_grad()\n            loss_rec.backward()\n",
           "            loss_rec.backward()\n            optimiser.zero_grad()\n", "nothing has moved"),
    Mutant("own noise", "train_autoencoder", "else corrupt(x, rng)",
           "else corrupt(x, torch.Generator().manual_seed(9))", "corrupt(x, rng) once"),
    Mutant("V12", "train_autoencoder", "            require_pictures(x)\n", "", "V12"),
    Mutant("nan", "train_autoencoder", "good = or_stop(nets, good, loss=loss_rec.item(), ",
           "good = dict(", "or_stop must be asked"),
    Mutant("budget", "train_autoencoder", "cfg.steps, should_stop, view", "cfg.steps, view=view", "budget"),
    Mutant("train mode", "train_autoencoder", "net.eval()", "net.train()", "eval mode"),
    # Decoder
    Mutant("V12", "Decoder", LAST, LAST + ", nn.ReLU()", "a ReLU or a sigmoid"),
    Mutant("V12 sigmoid", "Decoder", LAST, LAST + ", nn.Sigmoid()", "a ReLU or a sigmoid"),
    Mutant("V12 tanh", "Decoder", LAST, LAST + ", nn.Tanh()", "squeezes"),
    Mutant("grey only", "Decoder", "channels * r**2", "r**2", "channels * r**2"),
    Mutant("norm last", "Decoder", LAST, "nn.BatchNorm2d(channels * r**2, affine=False), " + LAST,
           "norm behind"),
    Mutant("always 7", "Decoder", "side, r = plan(latent, size)", "side, r = 7, size // 7", "64"),
    Mutant("any size", "Decoder", "side, r = plan(latent, size)",
           "side = 8 if size % 8 == 0 else 7\n        r = size // side", "sentence"),
    Mutant("company", "Decoder", "self.layers(z)", "self.layers(z - z.mean(0))", "company"),
    Mutant("deaf", "Decoder", "self.layers(z)", "self.layers(z * (torch.arange(z.shape[1]) > 0))",
           "change nothing"),
    Mutant("no bias", "Decoder", "3, padding=1)", "3, padding=1, bias=False)", "parameters"),
    Mutant("norm with weights", "Decoder", LAST, "nn.BatchNorm2d(channels * r**2), " + LAST,
           "parameters"),
    Mutant("two more", "Decoder", "last = nn", "last = nn.Conv2d(2 * width, 2 * width, 1), nn",
           "parameters"),
    # principal_angles
    Mutant("no basis", "principal_angles", BASES, "q_a, q_b = a.T, b.T", "orthonormal"),
    Mutant("lengths only", "principal_angles", BASES,
           "q_a, q_b = a.T / a.T.norm(dim=0), b.T / b.T.norm(dim=0)", "orthonormal"),
    Mutant("radians", "principal_angles", ANGLES, ANGLES[14:-1], "radians"),
    Mutant("falling", "principal_angles", ANGLES, ANGLES + ".flip(0)", "fall"),
    Mutant("sines", "principal_angles", ".acos()", ".asin()", "arc sines"),
    Mutant("entries", "principal_angles", "torch.linalg.svdvals(q_a.T @ q_b)", "(q_a.T @ q_b).diag().abs()",
           "orthonormal bases"),
    # random_codes
    Mutant("independent", "random_codes", ROOT, "root = torch.diag(codes.std(dim=0))", "independent"),
    Mutant("not transposed", "random_codes", "noise @ root.T", "noise @ root", "transposed"),
    Mutant("S", "random_codes", ROOT, "root = torch.cov(codes.T)", "a root of S"),
    Mutant("no mean", "random_codes", "codes.mean(dim=0) + noise", "noise", "codes.mean"),
    Mutant("rand", "random_codes", "torch.randn(", "torch.rand(", "mean"),
    Mutant("global", "random_codes", "generator=rng, ", "", "generator=rng"),
    Mutant("one noise", "random_codes", "noise @ root.T", "noise[:, :1].expand_as(noise) @ root.T", "off by"),
    Mutant("real codes", "random_codes", "codes.mean(dim=0) + noise @ root.T",
           "codes[torch.randint(len(codes), (n,), generator=rng)]", "codes of the data"),
    Mutant("too few", "random_codes", "if not 2 <=", "if False and not 2 <=", "no covariance"),
    # auc
    Mutant("reversed", "auc", "odd[:, None] > normal", "odd[:, None] < normal", "odd > normal"),
    Mutant("no ties", "auc", " + ties.double().mean() / 2", "", "counts half"),
    Mutant("whole ties", "auc", "/ 2", "/ 1", "counts half"),
    Mutant("threshold", "auc", "odd[:, None] > normal", "odd[:, None] > normal.mean()", "6/12"),
    Mutant("tensor", "auc", ".item()", "", "plain number"),
]  # fmt: skip

# Right answers, written differently: a check that rejects one of these is a false alarm.
ALTERNATIVES = {
    "flat": [("(mean + z @ components)", "torch.addmm(mean, z, components)"),
             (FLAT, "away = x.reshape(len(x), -1) - mean\n"
                    "    return (away @ components.T @ components + mean).reshape(x.shape)")],
    "train_autoencoder": [(STEP, "z = encoder(seen)\n            loss_rec = loss(decoder(z), x)"),
                          ("            optimiser.zero_grad()\n",
                           "            encoder.zero_grad()\n            decoder.zero_grad()\n"),
                          ("seen = x if corrupt is None else corrupt(x, rng)",
                           "seen = corrupt(x, rng) if corrupt else x")],
    "Decoder": [("nn.LeakyReLU(0.2)", "nn.ReLU()"),
                ("channels * r**2, 3, padding=1)", 'channels * r * r, (3, 3), padding="same")')],
    "principal_angles": [(BASES, "q_a, q_b = torch.linalg.svd(a.T, False)[0], torch.linalg.svd(b.T, False)[0]"),
                         (".acos())", ".arccos())")],
    "random_codes": [("noise @ root.T", "(root @ noise.T).T"),
                     (ROOT, "values, vectors = torch.linalg.eigh(torch.cov(codes.T))\n"
                            "    root = vectors * values.sqrt()")],
    "auc": [("(wins.double().mean() + ties.double().mean() / 2)", "(wins + 0.5 * ties).double().mean()"),
            ("odd[:, None] > normal, odd[:, None] == normal",
             "odd > normal[:, None], odd == normal[:, None]")],
}  # fmt: skip

# Rows of the catalogue that are questions in the lesson's text rather than code.
QUESTIONS = ["V16"]
