"""Mistakes of lesson 21. Rows D1 to D12 are those of the course's catalogue of bugs."""

from tests.mutants import Mutant

TOPIC = "dcgan"
G_NORM = "            nn.BatchNorm2d(width),"
G_OUT = "nn.ConvTranspose2d(width, 1, 4, stride=2, padding=1),"
G_IN = "nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1, bias=False),"
UNFLATTEN = "nn.Unflatten(1, (2 * width, side, side)),"
D_IN = "nn.Conv2d(1, width, 4, stride=2, padding=1),"
D_TWO = "nn.Conv2d(width, 2 * width, 4, stride=2, padding=1, bias=not norm),"
D_NORM = "nn.BatchNorm2d(2 * width) if norm else nn.Identity(),"
KINDS = "nn.Conv2d | nn.ConvTranspose2d | nn.Linear"
DRAW = "nn.init.normal_(layer.weight, 0, std)"

MUTANTS = [
    # the range
    Mutant("G14", "signed_batches", "2 * x - 1", "x", "G14"),
    Mutant("returned", "signed_batches", "yield 2 * x - 1", "return 2 * x - 1", "so `yield` it"),
    Mutant("half", "signed_batches", "2 * x - 1", "x - 1", "255 should become 1"),
    Mutant("bent", "signed_batches", "2 * x - 1", "2 * x**2 - 1", "straight line"),
    Mutant("G15", "signed_to_pixels", "(x + 1) / 2", "x", "G15"),
    Mutant("grey", "signed_to_pixels", "(x + 1) / 2", "x / 2 + 1", "G15"),
    Mutant("cut off", "signed_to_pixels", "to_pixels((x + 1) / 2)",
           "(127.5 * (x.clamp(-1, 1) + 1) - 0.3).clamp(min=0).to(torch.uint8)", "round"),
    Mutant("wraps", "signed_to_pixels", "to_pixels((x + 1) / 2)",
           "(127.5 * (x + 1)).round().to(torch.int64).to(torch.uint8)", "-1.2 and 1.2"),
    # Generator
    Mutant("D2", "Generator", G_NORM, "            nn.BatchNorm2d(width, 0.8),", "D2"),
    Mutant("D7", "Generator", G_OUT,
           "nn.ConvTranspose2d(width, 1, 3, stride=2, padding=1, output_padding=1),", "D7"),
    Mutant("D7 five", "Generator", G_IN,
           "nn.ConvTranspose2d(2 * width, width, 5, 2, 2, output_padding=1, bias=False),", "D7"),
    Mutant("D8", "Generator", G_IN, "nn.Conv2d(2 * width, width, 3), nn.MaxPool2d(2),", "D8"),
    Mutant("D9", "Generator", G_OUT, "nn.Conv2d(width, 1, 3, padding=1),", "D9"),
    Mutant("D9 never", "Generator", "nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1, "
           "bias=False)", "nn.Conv2d(2 * width, width, 3, padding=1)", "D9"),
    Mutant("D10", "Generator", UNFLATTEN,
           "type('T', (nn.Module,), {'forward': lambda s, h: h.view(-1, 2 * width, side, side)"
           ".transpose(2, 3)})(),", "D10"),
    Mutant("D10 last", "Generator", UNFLATTEN,
           "type('T', (nn.Module,), {'forward': lambda s, h: h.view(-1, side, side, 2 * width)"
           ".permute(0, 3, 1, 2)})(),", "D10"),
    Mutant("norm at the end", "Generator", G_OUT, G_OUT + " nn.BatchNorm2d(1),", "No norm in G's"),
    Mutant("no norm", "Generator", G_NORM, "", "there is no norm behind layer 2"),
    Mutant("norm per number", "Generator",
           "nn.Unflatten(1, (2 * width, side, side)),  # (B, 2 width, 7, 7)\n"
           "            nn.BatchNorm2d(2 * width),",
           "nn.BatchNorm1d(2 * width * side**2), nn.Unflatten(1, (2 * width, side, side)),",
           "BatchNorm2d, once the maps"),
    Mutant("leaky", "Generator", G_NORM + "  # (B, width, 14, 14)\n            nn.ReLU(),",
           G_NORM + " nn.LeakyReLU(0.2),", "the leaky one is D's"),
    Mutant("tanh twice", "Generator", G_OUT, G_OUT + " nn.Tanh(),", "tanh already"),
    Mutant("fixed size", "Generator", "(2 * width, side, side)", "(2 * width, 7, 7)",
           "write side, not 7"),
    # Discriminator
    Mutant("G13", "Discriminator", "nn.Linear(2 * width * side**2, 1),",
           "nn.Linear(2 * width * side**2, 1), nn.Sigmoid(),", "G13"),
    Mutant("D2", "Discriminator", "nn.BatchNorm2d(2 * width)", "nn.BatchNorm2d(2 * width, 0.8)",
           "D2"),
    Mutant("fixed size", "Discriminator", "nn.Linear(2 * width * side**2, 1),",
           "nn.Linear(2 * width * 49, 1),", "write side, not 7"),
    Mutant("D9", "Discriminator", D_IN, "nn.Conv2d(1, width, 3, padding=1), nn.Upsample((14, 14)),",
           "D9"),
    Mutant("pooling", "Discriminator", D_IN, "nn.Conv2d(1, width, 3, padding=1), nn.MaxPool2d(2),",
           "strides"),
    Mutant("norm at the start", "Discriminator", D_IN + "  # (B, width, 14, 14)",
           D_IN + " nn.BatchNorm2d(width),", "No norm at D's input"),
    Mutant("no norm", "Discriminator", D_NORM, "nn.Identity(),", "with norm=True"),
    Mutant("always a norm", "Discriminator", D_NORM, "nn.BatchNorm2d(2 * width),", "norm=False"),
    Mutant("ReLU", "Discriminator", D_IN + "  # (B, width, 14, 14)\n            nn.LeakyReLU(0.2)",
           D_IN + " nn.ReLU()", "a leaky ReLU is meant"),
    Mutant("slope", "Discriminator", D_IN + "  # (B, width, 14, 14)\n            nn.LeakyReLU(0.2)",
           D_IN + " nn.LeakyReLU()", "slope is 0.01"),
    # initialise
    Mutant("D1", "initialise", DRAW, "nn.init.normal_(layer.weight.clone(), 0, std)", "D1"),
    Mutant("D1 not deep", "initialise", "net.modules()", "net.children()", "D1"),
    Mutant("D1 one kind", "initialise", KINDS, "nn.Conv2d | nn.Linear", "D1"),
    Mutant("D1 norms too", "initialise", KINDS, KINDS + " | nn.BatchNorm2d", "Leave them at 1"),
    Mutant("uniform", "initialise", DRAW, "nn.init.uniform_(layer.weight, -std, std)",
           "draw from N(0, std)"),
    Mutant("same spread", "initialise", DRAW,
           "nn.init.uniform_(layer.weight, -1.732 * std, 1.732 * std)", "not normal"),
    Mutant("D1 its layers", "initialise", "net.modules()", "net.layers", "any net is meant"),
    Mutant("fixed", "initialise", DRAW, "nn.init.normal_(layer.weight, 0, 0.02)", "std=0.3"),
    # recalibrate
    Mutant("D3", "recalibrate", "return net.eval()", "return net", "D3"),
    Mutant("D4 old ones", "recalibrate", "        norm.reset_running_stats()\n", "        pass\n",
           "Forget the old statistics"),
    Mutant("running", "recalibrate",
           "norm.momentum = None  # torch: a plain mean instead of a running one", "pass",
           "momentum = None"),
    Mutant("not training", "recalibrate", "    net.train()\n", "    net.eval()\n",
           "only a pass in training mode"),
    Mutant("mode as found", "recalibrate", "    net.train()\n", "    pass\n",
           "only a pass in training mode"),
    Mutant("one batch", "recalibrate", "range(batches)", "range(1)", "7 batches of 5"),
    # slerp
    Mutant("straight", "slerp", "angle.sin() < 1e-3", "angle.sin() < 9", "straight line"),
    Mutant("no line", "slerp", "torch.where(angle.sin() < 1e-3, (1 - t) * a + t * b, "
           "arc / angle.sin())", "arc / angle.sin()", "the sine is 0"),
    Mutant("stretched line", "slerp", "arc / angle.sin())",
           "((1 - t) * a + t * b) / ((1 - t) ** 2 + t**2) ** 0.5)", "equal steps are meant"),
    Mutant("swapped", "slerp", "torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b",
           "torch.sin(t * angle) * a + torch.sin((1 - t) * angle) * b", "t = 0 should be a"),
    Mutant("one angle", "slerp", "acos()[..., None]", "acos().mean()", "one angle for each row"),
    Mutant("length 1", "slerp", "    arc = ", "    a, b = a / a.norm(dim=-1, keepdim=True), "
           "b / b.norm(dim=-1, keepdim=True)\n    arc = ", "of the lengths 3 and 5"),
    Mutant("zero", "slerp", "torch.where(angle.sin() < 1e-3, (1 - t) * a + t * b, arc / angle.sin())",
           "arc / angle.sin().clamp(min=1e-3)", "take the straight line there"),
    Mutant("no line back", "slerp", "angle.sin() < 1e-3", "angle < 1e-3",
           "take the straight line there"),
    Mutant("all or none", "slerp", "angle.sin() < 1e-3", "(angle.sin() < 1e-3).any()",
           "choose row by row"),
    # to_maps
    Mutant("D10", "to_maps", "h.view(len(h), -1, height, width)",
           "h.view(len(h), -1, width, height)", "D10"),
    Mutant("D10 w h", "to_maps", "h.view(len(h), -1, height, width)",
           "h.view(len(h), -1, width, height).transpose(2, 3)", "D10"),
    Mutant("D10 last", "to_maps", "h.view(len(h), -1, height, width)",
           "h.view(len(h), height, width, -1).permute(0, 3, 1, 2)", "D10"),
]  # fmt: skip

# Right answers, written differently: a check that rejects one of these is a false alarm.
ALTERNATIVES = {
    "signed_batches": [("2 * x - 1", "(x - 0.5) / 0.5"), ("2 * x - 1", "x.mul(2).sub(1)")],
    "signed_to_pixels": [("(x + 1) / 2", "0.5 + x / 2"),
                         ("to_pixels((x + 1) / 2)",
                          "(127.5 * (x.clamp(-1, 1) + 1)).round().to(torch.uint8)")],
    "Generator": [("stride=2, padding=1, bias=False", "stride=2, padding=1"),
                  (G_IN, "nn.Sequential(nn.Upsample(scale_factor=2), "
                   "nn.Conv2d(2 * width, width, 3, padding=1)),")],
    "Discriminator": [(", bias=not norm", ""),
                      (D_NORM, "*([nn.BatchNorm2d(2 * width)] if norm else []),")],
    "initialise": [(DRAW, "layer.weight.data.normal_(0, std)"),
                   (DRAW, "layer.weight.data = std * torch.randn_like(layer.weight)")],
    "recalibrate": [("norm.reset_running_stats()",
                     "norm.running_mean.zero_(), norm.running_var.fill_(1), "
                     "norm.num_batches_tracked.zero_()"),
                    ("net.train()", "[norm.train() for norm in norms]")],
    "slerp": [("angle.sin() < 1e-3", "angle.sin().abs() < 1e-4"),
              ("torch.cosine_similarity(a, b, dim=-1)",
               "((a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1)))")],
    "to_maps": [("h.view(len(h), -1, height, width)", "h.unflatten(1, (-1, height, width))"),
                ("h.view(len(h), -1, height, width)", "h.reshape(len(h), -1, height, width)")],
}  # fmt: skip

# Rows of the catalogue that are questions in the lesson's text rather than code.
QUESTIONS = ["D4", "D5", "D12"]
