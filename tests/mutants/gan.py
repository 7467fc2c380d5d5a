"""Mistakes of lesson 20. Rows G1 to G20 are those of the course's catalogue of bugs."""

from tests.mutants import Mutant

TOPIC = "gan"
D_TURN = "disc_loss(disc(x), disc(fake.detach()))"
NEW_D = "            opt_disc.zero_grad()\n"
NEW_G = "            opt_gen.zero_grad()\n"

D_STEPS = """            loss_disc = disc_loss(disc(x), disc(fake.detach()))
            opt_disc.zero_grad()
            loss_disc.backward()
            opt_disc.step()
"""
G_STEPS = """            loss_gen = loss(disc(fake))
            opt_gen.zero_grad()
            loss_gen.backward()
            opt_gen.step()
"""

MUTANTS = [
    # pictures
    Mutant("G14", "picture_batches", "x.float() / 255", "x.float() / 127.5 - 1", "two ranges"),
    Mutant("G14 bytes", "picture_batches", "x.float() / 255", "x.float()", "divide the bytes by 255"),
    Mutant("256", "picture_batches", "x.float() / 255", "x.float() / 256", "255 should become 1"),
    Mutant("not shuffled", "picture_batches",
           "datasets.batches(images, batch_size=batch_size, generator=rng)",
           "zip(images.split(batch_size) * 3)", "shuffled by rng"),
    Mutant("own order", "picture_batches", "batch_size=batch_size, generator=rng",
           "batch_size=batch_size, generator=torch.Generator().manual_seed(0)", "shuffled by rng"),
    Mutant("G15", "to_pixels", "(255 * x.clamp(0, 1))", "(255 * (x.clamp(0, 1) + 1) / 2)", "G15"),
    Mutant("G15 dark", "to_pixels", "(255 * x.clamp(0, 1))", "x.clamp(0, 1)", "G15"),
    Mutant("cut off", "to_pixels", ".round()", "", "Round first"),
    Mutant("wraps", "to_pixels", "x.clamp(0, 1)", "x", "clamp first"),
    # pushed_density
    Mutant("times", "pushed_density", "/ slope", "* slope", "phi(z) / g'(z)"),
    Mutant("no slope", "pushed_density", " / slope", "", "spread thin"),
    Mutant("no norm", "pushed_density", " / math.sqrt(2 * math.pi)", "", "1 / sqrt(2 pi)"),
    Mutant("mean slope", "pushed_density", "/ slope", "/ slope.mean()", "each z of its own"),
    Mutant("graph", "pushed_density", "x.detach()", "x", "graph"),
    Mutant("difference", "pushed_density", "(slope,) = torch.autograd.grad(x.sum(), z)",
           "slope = (g(z + 1e-4) - x) / 1e-4", "Use autograd"),
    Mutant("caller's z", "pushed_density", "z = z.clone().requires_grad_()",
           "z = z.requires_grad_()", "the caller's z"),
    # disc_loss
    Mutant("G1", "disc_loss", "F.softplus(-logits_real), F.softplus(logits_fake)",
           "-logits_real.sigmoid().log(), -(1 - logits_fake.sigmoid()).log()", "G1"),
    Mutant("G2", "disc_loss", "F.softplus(-logits_real), F.softplus(logits_fake)",
           "-(logits_real.sigmoid() + 1e-6).log(), -(1 - logits_fake.sigmoid() + 1e-6).log()", "G2"),
    Mutant("G1 clamped", "disc_loss", "F.softplus(-logits_real)",
           "F.binary_cross_entropy(logits_real.sigmoid(), torch.ones_like(logits_real), "
           "reduction='none')", "G1"),
    Mutant("G6", "disc_loss", "real.mean(dim=-1) + fake", "fake", "G6"),
    Mutant("G9", "disc_loss", "return (", "return -(", "G9"),
    Mutant("labels", "disc_loss", "F.softplus(-logits_real), F.softplus(logits_fake)",
           "F.softplus(logits_real), F.softplus(-logits_fake)", "changed places"),
    Mutant("half", "disc_loss", "return (", "return 0.5 * (", "sum of two means"),
    Mutant("mean of rings", "disc_loss", ").sum()", ").mean()", "sum over rings"),
    Mutant("no sum", "disc_loss", "(real.mean(dim=-1) + fake.mean(dim=-1)).sum()",
           "real.mean(dim=-1) + fake.mean(dim=-1)", "one number is meant; yours is (3,)"),
    Mutant("same sign", "disc_loss", "F.softplus(-logits_real), F.softplus(logits_fake)",
           "F.softplus(-logits_real), F.softplus(-logits_fake)", "the same sign"),
    # the generator's losses
    Mutant("G1", "gen_loss", "F.softplus(-logits_fake)", "(-logits_fake.sigmoid().log())", "G1"),
    Mutant("G2", "gen_loss", "F.softplus(-logits_fake)",
           "(-(logits_fake.sigmoid() + 1e-6).log())", "G2"),
    Mutant("G10", "gen_loss", "F.softplus(-logits_fake)", "F.logsigmoid(logits_fake)", "G10"),
    Mutant("G8", "gen_loss", "F.softplus(-logits_fake)",
           "(F.softplus(-logits_fake) + F.softplus(logits_fake))", "G8"),
    Mutant("other loss", "gen_loss", "F.softplus(-logits_fake)", "(-F.softplus(logits_fake))",
           "slope should be -1"),
    Mutant("mean of rings", "gen_loss", ".sum()", ".mean()", "sum over rings"),
    Mutant("no sum", "gen_loss", ".sum()", "", "one number is meant; yours is (3,)"),
    Mutant("G10", "minimax_gen_loss", "-F.softplus(logits_fake)", "F.softplus(logits_fake)", "G10"),
    Mutant("other loss", "minimax_gen_loss", "-F.softplus(logits_fake)",
           "F.softplus(-logits_fake)", "slope should be 0"),
    Mutant("G1", "minimax_gen_loss", "-F.softplus(logits_fake)",
           "(1 - logits_fake.sigmoid()).log()", "G1"),
    Mutant("G2 1e-8", "minimax_gen_loss", "-F.softplus(logits_fake)",
           "(1 - logits_fake.sigmoid() + 1e-8).log()", "G2"),
    Mutant("G2 1e-6", "minimax_gen_loss", "-F.softplus(logits_fake)",
           "(1 - logits_fake.sigmoid() + 1e-6).log()", "G2"),
    Mutant("no sum", "minimax_gen_loss", ".sum()", "", "one number is meant; yours is (3,)"),
    # follow
    Mutant("decay", "follow", "(w, 1 - decay)", "(w, decay)", "0.25 of the way"),
    Mutant("buffers", "follow", "a.copy_(w)", "pass", "buffers"),
    Mutant("wrong one", "follow", "a.lerp_(w, 1 - decay)", "w.lerp_(a, decay)", "0.25"),
    # train_gan
    Mutant("G3", "train_gan", D_TURN, "disc_loss(disc(x), disc(fake))", "(G3)"),
    Mutant("G3 slow", "train_gan", D_TURN, "disc_loss(disc(x), disc(gen(z)))", "detach"),
    Mutant("G4", "train_gan", "loss(disc(fake))", "loss(disc(fake.detach()))", "G4"),
    Mutant("G5", "train_gan", "loss(disc(fake))", "loss(disc(x))", "G5"),
    Mutant("G7", "train_gan", "            opt_disc.step()\n", "", "G7"),
    Mutant("G8", "train_gan", "loss(disc(fake))",
           "loss(disc(fake)) + disc_loss(disc(x), disc(fake))", "G8"),
    Mutant("G11", "train_gan", "torch.optim.Adam(disc.parameters(), lr=cfg.lr_disc, betas=cfg.betas)",
           "opt_gen", "G11"),
    Mutant("G11 both", "train_gan", "torch.optim.Adam(gen.parameters()",
           "torch.optim.Adam([*gen.parameters(), *disc.parameters()]", "G11"),
    Mutant("G12", "train_gan", "            loss_gen = ",
           "            disc.requires_grad_(False)\n            loss_gen = ", "G12"),
    Mutant("G13", "train_gan", D_TURN,
           "disc_loss(disc(x).sigmoid(), disc(fake.detach()).sigmoid())", "G13"),
    Mutant("G13 both", "train_gan", "loss(disc(fake))", "loss(disc(fake).sigmoid())", "G13"),
    Mutant("G20", "train_gan", D_TURN,
           "disc_loss(disc(x), copy.deepcopy(disc)(fake.detach()))", "G20"),
    Mutant("labels", "train_gan", D_TURN, "disc_loss(disc(fake.detach()), disc(x))", "changed places"),
    Mutant("labels, fresh noise", "train_gan", D_TURN,
           "disc_loss(disc(gen(gen.noise(cfg.batch_size, rng)).detach()), disc(x))", "real first"),
    Mutant("order", "train_gan", D_STEPS + G_STEPS, G_STEPS + D_STEPS, "comes before"),
    Mutant("kept G", "train_gan", NEW_G, "", "opt_gen.zero_grad()"),
    Mutant("kept D", "train_gan", NEW_D, "", "opt_disc.zero_grad()"),
    Mutant("same noise", "train_gan", "gen.noise(cfg.batch_size, rng)",
           "gen.noise(cfg.batch_size, torch.Generator().manual_seed(0))", "same noise"),
    Mutant("rates", "train_gan", "(opt_gen, cfg.lr_gen), (opt_disc, cfg.lr_disc)",
           "(opt_gen, cfg.lr_disc), (opt_disc, cfg.lr_gen)", "changed places"),
    Mutant("flat", "train_gan", " * min(1, 4 - 4 * run.fraction)", "", "last quarter"),
    Mutant("C6 betas", "train_gan", "lr=cfg.lr_gen, betas=cfg.betas", "lr=cfg.lr_gen",
           "cfg.betas is accepted and ignored"),
    Mutant("C6 loss", "train_gan", "loss_gen = loss(disc(fake))", "loss_gen = gen_loss(disc(fake))",
           "`loss` is accepted and ignored"),
    Mutant("no average", "train_gan", "averaged or gen, gen", "gen, gen", "averaged"),
    Mutant("nan", "train_gan", "good = or_stop(nets, good, **signs)", "pass", "nan"),
    Mutant("budget", "train_gan", "training.progress(cfg.steps, should_stop, view, label=label)",
           "training.progress(cfg.steps, view=view)", "budget"),
    # Discriminator
    Mutant("G13", "Discriminator", "self.layers(x.flatten(1))[:, 0]",
           "self.layers(x.flatten(1))[:, 0].sigmoid()", "G13"),
    Mutant("G19", "Discriminator", "[:, 0]", "", "G19"),
    Mutant("company", "Discriminator", "self.layers(x.flatten(1))[:, 0]",
           "(self.layers(x.flatten(1)) - self.layers(x.flatten(1)).mean(0))[:, 0]", "company"),
    # accept
    Mutant("one number", "accept", "logits.shape, generator", "1, generator", "One uniform number"),
    Mutant("sigmoid", "accept", "(logits - logits.max()).exp()", "logits.sigmoid()", "largest"),
    Mutant("reversed", "accept", "< chance", "> chance", "largest"),
    Mutant("overflow", "accept", "(logits - logits.max()).exp()",
           "logits.exp() / logits.exp().max()", "overflows"),
    Mutant("global", "accept", "logits.shape, generator=rng, ", "logits.shape, ", "rng"),
]  # fmt: skip

# Right answers, written differently: a check that rejects one of these is a false alarm.
ALTERNATIVES = {
    "picture_batches": [("x.float() / 255", "x.to(torch.float32).div(255.0)"),
                        ("x.float() / 255", "datasets.to_float(x)")],
    "to_pixels": [("(255 * x.clamp(0, 1)).round()", "torch.clamp(255 * x, 0, 255).round()"),
                  ("(255 * x.clamp(0, 1)).round()", "(255 * x.clamp(0, 1) + 0.5).floor()")],
    "pushed_density": [("torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)",
                        "torch.distributions.Normal(0.0, 1.0).log_prob(z).exp()"),
                       ("torch.autograd.grad(x.sum(), z)",
                        "torch.autograd.grad(x, z, torch.ones_like(x))")],
    "disc_loss": [("F.softplus(-logits_real), F.softplus(logits_fake)",
                   "-F.logsigmoid(logits_real), -F.logsigmoid(-logits_fake)"),
                  ("real.mean(dim=-1) + fake.mean(dim=-1)",
                   "F.binary_cross_entropy_with_logits(logits_real, torch.ones_like(logits_real), "
                   "reduction='none').mean(dim=-1) + fake.mean(dim=-1)")],
    "gen_loss": [("F.softplus(-logits_fake)", "(-F.logsigmoid(logits_fake))"),
                 ("F.softplus(-logits_fake)", "torch.logaddexp(torch.zeros_like(logits_fake), -logits_fake)")],
    "minimax_gen_loss": [("-F.softplus(logits_fake)", "F.logsigmoid(-logits_fake)"),
                         ("F.softplus(logits_fake)",
                          "torch.logaddexp(torch.zeros_like(logits_fake), logits_fake)")],
    "follow": [("a.lerp_(w, 1 - decay)", "a.mul_(decay).add_(w, alpha=1 - decay)"),
               ("a.lerp_(w, 1 - decay)", "a.copy_(decay * a + (1 - decay) * w)")],
    "train_gan": [("loss_gen = loss(disc(fake))",
                   "loss_gen = loss(disc(gen(gen.noise(cfg.batch_size, rng))))"),
                  (D_TURN, "disc_loss(disc(x), disc(fake.data))"),
                  (NEW_D, "            disc.zero_grad(set_to_none=True)\n")],
    "Discriminator": [("self.layers(x.flatten(1))[:, 0]", "self.layers(x.view(len(x), -1)).squeeze(1)"),
                      ("[:, 0]", ".flatten()")],
    "accept": [("(logits - logits.max()).exp()", "logits.softmax(0) / logits.softmax(0).max()"),
               ("return torch.rand(logits.shape, generator=rng, device=logits.device) < chance",
                "return torch.bernoulli(chance, generator=rng).bool()")],
}  # fmt: skip

# Rows of the catalogue that are questions in the lesson's text rather than code.
QUESTIONS = ["G10", "G12", "G17", "G18", "T4"]
