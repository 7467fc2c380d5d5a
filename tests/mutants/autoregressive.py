"""Mistakes of lesson 40. Rows A2 to A7 are those of the course's catalogue of bugs."""

from tests.mutants import Mutant

TOPIC = "autoregressive"
SUM = 'surprise = F.binary_cross_entropy_with_logits(model(x), x, reduction="none")'
TOTAL = "-surprise.flatten(1).sum(dim=1)"
PLACES = "place[None, :] < place[:, None]"
INNER = "below[None, :] <= above[:, None]"
LAST = "degrees[-1][None, :] < degrees[0][:, None]"
CHANCE = "(model(x).flatten(1)[:, pixel] / temperature).sigmoid()"
TOSS = "torch.bernoulli(chance, generator=rng)"
WRITE = "flat[:, pixel] = torch.where(kept[:, pixel], flat[:, pixel], drawn)"
LOOP = "for pixel in model.order.tolist():"
LOGIT = "F.relu(seen) @ last[pixel] + (flat - mean) @ direct[pixel] + bias[pixel]"
ADD = "seen += flat[:, pixel, None] * first[:, pixel]"
ANSWER = "logits.append(b[i] + seen.sigmoid() @ V[i])"
GROW = "seen = seen + pixel[:, None] * W[:, i]"

MUTANTS = [
    # log_prob
    Mutant("sign", "log_prob", TOTAL, "surprise.flatten(1).sum(dim=1)", "sign is turned"),
    Mutant("mean", "log_prob", TOTAL, "-surprise.flatten(1).mean(dim=1)", "so sum"),
    Mutant("batch", "log_prob", TOTAL, "-surprise.sum()", "never over the batch"),
    Mutant("batch axis", "log_prob", TOTAL, "-surprise.flatten(1).sum(dim=0)", "5 numbers"),
    Mutant("sigmoid", "log_prob", "model(x), x,", "model(x).sigmoid(), x,", "two sigmoids"),
    Mutant("ln 0", "log_prob", SUM,
           "s = model(x).sigmoid(); surprise = -(x * s.log() + (1 - x) * (1 - s).log())", "ln 0"),
    Mutant("ln 1e-8", "log_prob", SUM,
           "s = model(x).sigmoid(); surprise = -(x * (s + 1e-8).log() + (1 - x) * (1 - s + 1e-8).log())",
           "only hides it"),
    Mutant("greys", "log_prob", "    require_binary(x)\n", "", "require_binary"),
    Mutant("ink only", "log_prob", TOTAL, "-(x * surprise).flatten(1).sum(dim=1)", "only the ink"),
    Mutant("bits", "log_prob", TOTAL, "-surprise.flatten(1).sum(dim=1) / 0.6931471805599453", "bits, not nats"),
    Mutant("swapped", "log_prob", "model(x), x,", "x, model(x),", "exchanged"),
    Mutant("no gradient", "log_prob", "model(x), x,", "model(x).detach(), x,", "no gradient"),
    # earlier
    Mutant("A5", "earlier", PLACES, "place[None, :] <= place[:, None]", "sees itself"),
    Mutant("A4", "earlier", PLACES, "place[None, :] > place[:, None]", "(A4)"),
    Mutant("A4 axes", "earlier", PLACES, "place[:, None] < place[None, :]", "(A4)"),
    Mutant("order for place", "earlier", "order.argsort()", "order", "order.argsort() says"),
    Mutant("raster only", "earlier", "order.argsort()", "torch.arange(len(order))",
           "order.argsort() says"),
    Mutant("neighbour only", "earlier", PLACES, "place[None, :] == place[:, None] - 1",
           "every smaller place"),
    # MaskedLinear
    Mutant("no mask", "MaskedLinear", "self.weight * self.mask", "self.weight", "not used"),
    Mutant("no bias", "MaskedLinear", ", self.bias)", ")", "bias is missing"),
    Mutant("turned round", "MaskedLinear", "self.weight * self.mask", "self.weight * ~self.mask",
           "turned round"),
    Mutant("detached", "MaskedLinear", "self.weight * self.mask", "self.weight.detach() * self.mask",
           "not have been used in the graph"),
    Mutant("mask alone", "MaskedLinear", "self.weight * self.mask", "self.mask.to(x)",
           "first number should be"),
    # masks
    Mutant("A5", "masks", LAST, "degrees[-1][None, :] <= degrees[0][:, None]", "sees itself"),
    Mutant("A5 all", "masks", LAST, "degrees[-1][None, :] >= 0 * degrees[0][:, None]",
           "not drawn yet"),
    Mutant("A2 strict", "masks", INNER, "below[None, :] < above[:, None]", "(A2)"),
    Mutant("A4", "masks", INNER, "below[None, :] >= above[:, None]", "below <= above"),
    Mutant("A4 order", "masks", "order.argsort(), *", "order, *", "not drawn yet"),
    Mutant("axes", "masks", INNER, "below[:, None] <= above[None, :]", "a row for each unit above"),
    Mutant("first only", "masks", "degrees[-1][None, :] <", "degrees[1][None, :] <",
           "LAST hidden layer"),
    # sample
    Mutant("A6", "sample", TOSS, "(chance > 0.5).to(x)", "(A6)"),
    Mutant("A5 one pass", "sample", LOOP + "\n        chance = (model(x)",
           "first = model(x)\n    " + LOOP + "\n        chance = (first", "(A5)"),
    Mutant("A5 a row at a time", "sample", LOOP + "\n        chance = (model(x)",
           "for k, pixel in enumerate(model.order.tolist()):\n        logits = logits if k % 3 else model(x)"
           "\n        chance = (logits", "ask inside the loop (A5)"),
    Mutant("A5 empty", "sample", "(model(x)", "(model(torch.zeros_like(x))", "empty canvas"),
    Mutant("A4 raster", "sample", "model.order.tolist()", "range(flat.shape[1])", "raster order"),
    Mutant("A4 reversed", "sample", "model.order.tolist()", "model.order.flip(0).tolist()",
           "the reverse order"),
    Mutant("A7", "sample", WRITE, WRITE.replace("drawn)", "2 * drawn - 1)"), "(A7)"),
    Mutant("chances kept", "sample", WRITE, WRITE.replace("drawn)", "chance)"), "(A7)"),
    Mutant("global", "sample", TOSS, "torch.bernoulli(chance)", "global random state"),
    Mutant("own seed", "sample", TOSS,
           "torch.bernoulli(chance, generator=torch.Generator().manual_seed(pixel))", "draw from rng"),
    Mutant("no T", "sample", " / temperature)", ")", "accepted and ignored"),
    Mutant("times T", "sample", "/ temperature", "* temperature", "do not multiply"),
    Mutant("T on chances", "sample", CHANCE, "model(x).flatten(1)[:, pixel].sigmoid() ** (1 / temperature)",
           "then the sigmoid"),
    Mutant("all drawn", "sample", WRITE, "flat[:, pixel] = drawn", "of the known pixels kept"),
    Mutant("turned round", "sample", WRITE,
           "flat[:, pixel] = torch.where(kept[:, pixel], drawn, flat[:, pixel])", "no toss was written"),
    Mutant("one toss", "sample", TOSS, "(torch.rand(1, generator=rng).to(x) < chance[0]).to(x).expand(n)",
           "shared by all"),
    Mutant("flat", "sample", "(model(x)", "(model(flat)", "x, not flat"),
    Mutant("logit tossed", "sample", CHANCE, "model(x).flatten(1)[:, pixel] / temperature",
           "outside 0 to 1"),
    Mutant("size", "sample", "canvas(model, n, given, mask)", "canvas(model, n)", "known pixels kept"),
    # sample_incremental
    Mutant("row", "sample_incremental", "@ direct[pixel]", "@ direct[:, pixel]", "Without the regr"),
    Mutant("no regression", "sample_incremental", " + (flat - mean) @ direct[pixel]", "",
           "Without the regr"),
    Mutant("no relu", "sample_incremental", "F.relu(seen)", "seen", "Without the hidden"),
    Mutant("no mean", "sample_incremental", "(flat - mean)", "flat", "mean of 0"),
    Mutant("mean again", "sample_incremental", ADD,
           "seen += (flat - mean)[:, pixel, None] * first[:, pixel]", "mean of 0"),
    Mutant("not added", "sample_incremental", ADD, "pass", "a column"),
    Mutant("added to all", "sample_incremental", ADD, "seen += first[:, pixel]",
           "a column"),
    Mutant("anew", "sample_incremental", "F.relu(seen)",
           "F.relu((flat - mean) @ first.T + model.inner[0].bias)", "made anew"),
    Mutant("whole model", "sample_incremental", LOGIT, "model(x).flatten(1)[:, pixel]",
           "running sums are the point"),
    # nade
    Mutant("A5", "nade", ANSWER + "\n        " + GROW, GROW + "\n        " + ANSWER, "hears itself (A5)"),
    Mutant("no sigmoid", "nade", "seen.sigmoid()", "seen", "sigmoid of the sum"),
    Mutant("no bias", "nade", "b[i] + ", "", "bias b[i]"),
    Mutant("from 0", "nade", "c.expand(len(x), -1)", "(0 * c).expand(len(x), -1)", "starts from c"),
    Mutant("not added", "nade", GROW, "pass", "no pixel is ever added"),
    Mutant("any pixel", "nade", "pixel[:, None] * W", "W", "whatever the pixels are"),
    Mutant("replaced", "nade", "seen + pixel[:, None]", "c + pixel[:, None]", "are blind"),
    Mutant("columns", "nade", "x.flatten(1).T", "x.mT.flatten(1).T", "look ahead"),
    Mutant("dim 0", "nade", "dim=1).view_as(x)", "dim=0).view_as(x)", "last logit"),
    Mutant("no view", "nade", ".view_as(x)", "", "of the same shape"),
]  # fmt: skip

ALTERNATIVES = {
    "log_prob": [
        (TOTAL, "-surprise.sum(dim=(1, 2, 3))"),
        (SUM, "logits = model(x); surprise = -torch.where(x > 0, F.logsigmoid(logits), "
              "F.logsigmoid(-logits))"),
    ],
    "earlier": [
        (PLACES, "(place.unsqueeze(1) - place.unsqueeze(0)) > 0"),
        (PLACES, "torch.ones(len(order), len(order)).tril(-1).bool()[place][:, place]"),
    ],
    "MaskedLinear": [
        ("self.weight * self.mask", "self.weight.masked_fill(~self.mask, 0.0)"),
        ("F.linear(x, self.weight * self.mask, self.bias)",
         "x @ (self.mask * self.weight).T + self.bias"),
    ],
    "masks": [
        (INNER, "above.unsqueeze(1) >= below.unsqueeze(0)"),
        (LAST, "~(degrees[-1][None, :] >= degrees[0][:, None])"),
    ],
    "sample": [
        (TOSS, "(torch.rand(n, generator=rng).to(x) < chance).to(x)"),
        (WRITE, "flat[~kept[:, pixel], pixel] = drawn[~kept[:, pixel]]"),
    ],
    "sample_incremental": [
        (LOGIT, "(F.relu(seen) * last[pixel]).sum(1) + F.linear(flat - mean, direct)[:, pixel] + bias[pixel]"),
        (ADD, "seen = torch.addr(seen, flat[:, pixel], first[:, pixel])"),
    ],
    "nade": [
        (GROW, "seen = torch.addr(seen, pixel, W[:, i])"),
        (ANSWER, "logits.append((seen.sigmoid() * V[i]).sum(dim=1) + b[i])"),
    ],
}  # fmt: skip

# Rows of the catalogue that are questions in the lesson's text rather than code.
QUESTIONS = ["A5", "A8"]
