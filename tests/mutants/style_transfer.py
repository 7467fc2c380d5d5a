"""Mistakes of lesson 55. Rows R8 and R13 are those of the course's catalogue of bugs."""

from tests.mutants import Mutant

TOPIC = "style_transfer"
MAP = "features.square_root(T) @ torch.linalg.inv(features.square_root(S))"
CLOUD = "(c - mu) @ A.T + nu"
MEAN = "flat @ flat.mT / flat.shape[2]"
OFF = "(gram(h) - T).square().sum(dim=(1, 2)) / T.square().sum(dim=(1, 2))"
COST = "torch.stack(off).mean(dim=0).sum()"
HAND = "4 / flat.shape[2] * (gram(h) - T) @ flat"
CLAMP = "            with torch.no_grad():\n                x.clamp_(0, 1)\n"

MUTANTS = [
    # recolour
    Mutant(
        "no whitening",
        "recolour",
        " @ torch.linalg.inv(features.square_root(S))",
        "",
        "covariance is not",
    ),
    Mutant("white", "recolour", "features.square_root(T) @ ", "", "whitened only"),
    Mutant(
        "order",
        "recolour",
        MAP,
        "torch.linalg.inv(features.square_root(S)) @ features.square_root(T)",
        "in this order",
    ),
    Mutant("no root", "recolour", MAP, "T @ torch.linalg.inv(S)", "covariance is not"),
    Mutant(
        "other way",
        "recolour",
        MAP,
        "features.square_root(S) @ torch.linalg.inv(features.square_root(T))",
        "covariance",
    ),
    Mutant("transposed", "recolour", "A.T", "A", "c @ A.T"),
    Mutant("old mean", "recolour", CLOUD, "(c - mu) @ A.T + mu", "still the photograph's"),
    Mutant("no mean", "recolour", CLOUD, "(c - mu) @ A.T", "nearly all is black"),
    Mutant("not centred", "recolour", CLOUD, "c @ A.T + nu", "subtract mu"),
    Mutant("mean only", "recolour", CLOUD, "c - mu + nu", "the matrix is missing"),
    Mutant(
        "channels", "recolour", MAP, "(T.diagonal() / S.diagonal()).sqrt().diag()", "a 3 x 3 matrix"
    ),
    # gram
    Mutant("R8", "gram", " / flat.shape[2]", "", "grows with the picture"),
    Mutant("channels", "gram", "flat.shape[2]", "flat.numel() * flat.shape[0]", "has no place"),
    Mutant("by channels", "gram", "flat.shape[2]", "flat.shape[1]", "number of channels"),
    Mutant("both", "gram", "flat.shape[2]", "(flat.shape[1] * flat.shape[2])", "has no place"),
    Mutant("positions", "gram", "flat @ flat.mT", "flat.mT @ flat", "positions with positions"),
    Mutant("rows", "gram", "flat.shape[2]", "h.shape[2]", "only rows"),
    Mutant(
        "centred",
        "gram",
        "h.flatten(2)",
        "(h - h.mean(dim=(2, 3), keepdim=True)).flatten(2)",
        "the covariance",
    ),
    Mutant(
        "scrambled",
        "gram",
        "h.flatten(2)",
        "h.reshape(len(h), -1, h.shape[1]).mT",
        "axes are scrambled",
    ),
    Mutant("mixed", "gram", MEAN, "(flat @ flat.mT / flat.shape[2]).mean(dim=0)", "are mixed"),
    Mutant("detach", "gram", "h.flatten(2)", "h.detach().flatten(2)", "no gradient"),
    # style_loss
    Mutant("not relative", "style_loss", " / T.square().sum(dim=(1, 2))", "", "not divided"),
    Mutant("mean", "style_loss", COST, "torch.stack(off).mean()", "pictures are averaged"),
    Mutant("sum", "style_loss", COST, "torch.stack(off).sum()", "levels are summed"),
    Mutant(
        "batch",
        "style_loss",
        OFF,
        "(gram(h) - T).square().sum() / T.square().sum()",
        "are mixed in the fraction",
    ),
    Mutant("root", "style_loss", OFF, "(" + OFF + ").sqrt()", "a root is taken"),
    Mutant(
        "absolute",
        "style_loss",
        OFF,
        "(gram(h) - T).abs().sum(dim=(1, 2)) / T.abs().sum(dim=(1, 2))",
        "the cost should be",
    ),
    Mutant(
        "own size",
        "style_loss",
        OFF,
        "(gram(h) - T).square().sum(dim=(1, 2)) / gram(h).square().sum(dim=(1, 2))",
        "the cost should be",
    ),
    Mutant("pictures", "style_loss", COST, "torch.stack(off).mean(dim=0)", "one number"),
    # gram_gradient
    Mutant("half", "gram_gradient", "4 /", "2 /", "half of it"),
    Mutant("quarter", "gram_gradient", "4 /", "1 /", "quarter"),
    Mutant("R8", "gram_gradient", "4 / flat.shape[2] *", "4 *", "20 times too much"),
    Mutant("sign", "gram_gradient", "(gram(h) - T)", "(T - gram(h))", "turned round"),
    Mutant("no target", "gram_gradient", "(gram(h) - T)", "gram(h)", "first number"),
    Mutant("flat", "gram_gradient", "(" + HAND + ").view_as(h)", HAND, "gradient should be"),
    # descend
    Mutant("rebound", "descend", "x.clamp_(0, 1)", "x = x.clamp(0, 1)", "Adam holds"),
    Mutant("graph clamp", "descend", CLAMP, "            x.clamp_(0, 1)\n", "Adam holds"),
    Mutant("no clamp", "descend", CLAMP, "", "pixels leave"),
    Mutant(
        "dead",
        "descend",
        "loss = cost(x)",
        "loss = cost(x.clamp(0, 1) * (x != 0))",
        "never come back",
    ),
    Mutant("no step", "descend", "optimiser.step()", "pass", "nothing moves"),
    Mutant("gradients add up", "descend", "optimiser.zero_grad()", "pass", "set to zero"),
    Mutant("inside", "descend", CLAMP, "            x.data = x.data.clamp(0, 2)\n", "pixels leave"),
    Mutant(
        "in place",
        "descend",
        "x.detach().clone().clamp(0, 1)",
        "x.detach()",
        "handed in was changed",
    ),
    Mutant(
        "graph",
        "descend",
        "return x.detach(), run.history",
        "return x, run.history",
        "carry no graph",
    ),
]

ALTERNATIVES = {
    "recolour": [
        (MAP, "torch.linalg.solve(features.square_root(S), features.square_root(T)).T"),
        (CLOUD, "torch.einsum('ab,nb->na', A, c - mu) + nu"),
        (MAP, "torch.linalg.cholesky(T) @ torch.linalg.inv(torch.linalg.cholesky(S))"),
    ],
    "gram": [
        (MEAN, "torch.einsum('ban,bcn->bac', flat, flat) / flat.shape[2]"),
        (MEAN, "(flat[:, :, None] * flat[:, None]).mean(dim=3)"),
    ],
    "style_loss": [
        (COST, "sum(off).sum() / len(off)"),
        (OFF, "((gram(h) - T).norm(dim=(1, 2)) / T.norm(dim=(1, 2))) ** 2"),
    ],
    "gram_gradient": [
        (HAND, "4 * torch.einsum('bac,bcn->ban', gram(h) - T, flat) / flat.shape[2]"),
        (HAND, "2 * ((gram(h) - T) + (gram(h) - T).mT) @ flat / flat.shape[2]"),
    ],
    "descend": [
        (CLAMP, "            x.data.clamp_(0, 1)\n"),
        ("optimiser.zero_grad()", "x.grad = None"),
    ],
}

QUESTIONS = ["R8", "R13"]
