"""Mistakes of lesson 43. Rows A3 to A6 are those of the course's catalogue of bugs."""

from tests.mutants import Mutant

TOPIC = "greys_and_colour"
BEFORE = "if (row, column) < (0, 0)]"
MEAN = "sum(size / sum(sizes) * part.mean() for part, size in pairs if size)"
LOGITS = "logits = net(canvas, everyone, q)"
WRITE = "paper[:, row, column] = draw(logits, rng).byte()"
AFTER = "after = known & ((~known).flatten().cumsum(dim=0).view(known.shape) > 0)"
WEIGHT = "-math.log(2) * bits[:, after].sum(dim=1)"
EACH = "torch.where(v == 0, below, torch.where(v == levels - 1, above, inner))"
MIX = "torch.logsumexp(weight.log_softmax(dim=1)[..., None] + each, dim=1)"

MUTANTS = [
    # near
    Mutant("A5", "near", BEFORE, "if (row, column) <= (0, 0)]", "(A5)"),
    Mutant("A4", "near", BEFORE, "if column < 0 or row < 0 and column == 0]", "are blind"),
    Mutant("A5 row", "near", BEFORE, "if (row, column) != (0, 0)]", "look ahead"),
    Mutant("A4 columns", "near", BEFORE, "if (column, row) < (0, 0)]", "are blind"),
    Mutant("no row", "near", BEFORE, "if row < 0]", "to it, in the pixel's own row"),
    Mutant("A3", "near", BEFORE, "if row < 0 or column < -2]", "colours side by side"),
    Mutant("A3 channels", "near", BEFORE, "if row < 0 or column < -1]", "coloured noise (A3)"),
    Mutant("turned", "near", "[(row, column) for", "[(column, row) for", "lies outside"),
    Mutant("twice", "near", BEFORE, "if (row, column) < (0, 0)] * 2", "occur twice"),
    Mutant("unsorted", "near", "sorted(before, key=lambda offset: offset[0] ** 2 + offset[1] ** 2)",
           "before", "keep the sorting"),
    Mutant("even", "near", "height < 1 or width % 2 == 0", "height < 1", "even width"),
    # unbiased_mean
    Mutant("no weights", "unbiased_mean", MEAN, "torch.cat(parts).mean()", "all draws count alike"),
    Mutant("strata alike", "unbiased_mean", MEAN,
           "sum(part.mean() for part, size in pairs if size) / len(parts)", "all strata count alike"),
    Mutant("not divided", "unbiased_mean", "size / sum(sizes) *", "size *", "must sum to 1"),
    Mutant("sums", "unbiased_mean", "part.mean()", "part.sum()", "sums over the draws"),
    Mutant("twice", "unbiased_mean", "part.mean()", "part.mean() * len(part) / sum(map(len, parts))",
           "no second weight"),
    Mutant("nan", "unbiased_mean", " if size)", ")", "empty stratum"),
    Mutant("no gradient", "unbiased_mean", "part.mean()", "part.detach().mean()", "no gradient"),
    Mutant("vector", "unbiased_mean", "part.mean()", "part[:3]", "one number"),
    # sample
    Mutant("A6", "sample", "draw(logits, rng).byte()", "logits.argmax(dim=1).byte()", "(A6)"),
    Mutant("global", "sample", "draw(logits, rng)", "draw(logits, None)", "global random state"),
    Mutant("A5 once", "sample", "    for row, column in (~known)",
           "    first = net(canvas, torch.arange(n), torch.zeros(n).long())\n    for row, column in (~known)",
           "guesses were made"),
    Mutant("A5 a row at a time", "sample", LOGITS,
           "if column == 0:\n            at = (q[:, None] + torch.arange(4)).flatten()\n"
           "            whole = net(canvas, everyone.repeat_interleave(4), at).view(n, 4, -1)\n"
           "        logits = whole[:, column]", "each guess needs the pixels before it"),
    Mutant("first pixel", "sample", LOGITS, "logits = net(canvas, everyone, 0 * q)", "everyone (n,)"),
    Mutant("one picture", "sample", LOGITS, "logits = net(canvas, 0 * everyone, q)", "everyone (n,)"),
    Mutant("swapped", "sample", LOGITS, "logits = net(canvas, q, everyone)", "pictures' numbers first"),
    Mutant("own draw", "sample", "draw(logits, rng).byte()",
           "torch.multinomial(logits.softmax(dim=1), 1, generator=rng)[:, 0].byte()",
           "only draw(logits, rng) may use rng"),
    Mutant("margin", "sample", "paper[:, row, column] =", "canvas[:, row, column] =", "has margins"),
    Mutant("not written", "sample", WRITE, "draw(logits, rng)", "nothing was written"),
    Mutant("turned", "sample", "paper[:, row, column] =", "paper[:, column % 3, row] =", "one call of draw"),
    Mutant("shared", "sample", "draw(logits, rng).byte()", "draw(logits[:1], rng).byte()", "was shared"),
    Mutant("whole", "sample", LOGITS,
           "at = torch.arange(n * 12); logits = net(canvas, at // 12, at % 12).view(n, 12, -1)[everyone, q]",
           "guesses were made"),
    # complete
    Mutant("sign", "complete", WEIGHT, "math.log(2) * bits[:, after].sum(dim=1)", "sign is turned"),
    Mutant("bits", "complete", "-math.log(2) * bits", "-bits", "these are bits"),
    Mutant("drawn too", "complete", "known & (", "(", "unknown pixels count, too"),
    Mutant("all", "complete", "bits[:, after]", "bits[:, known | ~known]", "unknown pixels count, too"),
    Mutant("hole", "complete", "bits[:, after]", "bits[:, ~known]", "unknown pixels count, too"),
    Mutant("before", "complete", "bits[:, after]", "bits[:, known & ~after]", "all answers weigh alike"),
    Mutant("all known", "complete", "bits[:, after]", "bits[:, known]", "BEFORE the hole"),
    Mutant("last", "complete", AFTER,
           "after = (torch.arange(known.numel()) > (~known).flatten().nonzero()[-1]).view(known.shape)",
           "LAST unknown pixel"),
    Mutant("divided", "complete", WEIGHT, "(" + WEIGHT + ").log_softmax(dim=0)", "off by the same"),
    Mutant("mean", "complete", ".sum(dim=1)", ".mean(dim=1)", "so sum"),
    Mutant("row", "complete", "bits[:, after]", "bits[:, known & after.roll(4)]", "not the probabilities"),
    Mutant("one sum", "complete", ".sum(dim=1)", ".sum()", "dim=1"),
    # mixture_log_probs
    Mutant("no tails", "mixture_log_probs", EACH, "inner + 0 * v", "a whole tail"),
    Mutant("turned tails", "mixture_log_probs", EACH,
           "torch.where(v == 0, above, torch.where(v == levels - 1, below, inner))", "a whole tail"),
    Mutant("one tail", "mixture_log_probs", EACH, "torch.where(v == 0, below, inner)", "a whole tail"),
    Mutant("logits", "mixture_log_probs", "weight.log_softmax(dim=1)[..., None]", "weight[..., None]",
           "are logits"),
    Mutant("alike", "mixture_log_probs", "weight.log_softmax(dim=1)[..., None] + each", "each",
           "count alike"),
    Mutant("product", "mixture_log_probs", MIX,
           "(weight.log_softmax(dim=1)[..., None] + each).sum(dim=1)", "is a product"),
    Mutant("mean of logs", "mixture_log_probs", MIX,
           "(weight.softmax(dim=1)[..., None] * each).sum(dim=1)", "mean of the logarithms"),
    Mutant("rounded", "mixture_log_probs", MIX,
           "(weight.softmax(dim=1)[..., None] * each.exp()).sum(dim=1).log()", "stay with logarithms"),
    Mutant("axis", "mixture_log_probs", "weight.log_softmax(dim=1)", "weight.log_softmax(dim=0)",
           "should sum to 1"),
]  # fmt: skip

ALTERNATIVES = {
    "near": [
        (BEFORE, "if row < 0 or row == 0 and column < 0]"),
        ("[(row, column) for row, column in product(rows, columns) " + BEFORE,
         "list(product(rows, columns))[: (height - 1) * width + width // 2]"),
    ],
    "unbiased_mean": [
        (MEAN, "sum(part.sum() * (size / sum(sizes) / len(part)) for part, size in pairs if len(part))"),
        (MEAN, "(torch.stack([p.mean() * s for p, s in pairs if s]) / sum(sizes)).sum()"),
    ],
    "sample": [
        (WRITE, "canvas[:, net.up + row, net.side + column] = draw(logits, rng).byte()"),
        (LOGITS, "logits = net(canvas, everyone, q).log_softmax(dim=1)"),
    ],
    "complete": [
        (AFTER, "first = (~known).flatten().long().argmax(); "
                "after = known & (torch.arange(known.numel()) > first).view(known.shape)"),
        (WEIGHT, "-(bits * math.log(2) * after).flatten(1).sum(dim=1)"),
    ],
    "mixture_log_probs": [
        (EACH, "inner.where(v != 0, below).where(v != levels - 1, above)"),
        (MIX, "torch.logsumexp(weight[..., None] + each, dim=1) - weight.logsumexp(dim=1)[:, None]"),
    ],
}  # fmt: skip

# Rows of the catalogue that are questions in the lesson's text rather than code.
QUESTIONS = ["A3"]
