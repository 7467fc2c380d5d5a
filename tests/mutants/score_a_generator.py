"""Lesson 01: nats and bits, KL and its direction, sums and means, smoothing, neighbours."""

from tests.mutants import Mutant

TOPIC = "score_a_generator"

MUTANTS = [
    # monte_carlo
    Mutant("no root", "monte_carlo", " / math.sqrt(n)", "", "root of n"),
    Mutant("n for root", "monte_carlo", "math.sqrt(n)", "n", "standard error"),
    Mutant("uniform", "monte_carlo", "multinomial(p,", "multinomial(torch.ones_like(p),", "p is accepted"),
    Mutant("no f", "monte_carlo", "values = f(", "values = (", "f was not applied"),
    Mutant("global", "monte_carlo", "replacement=True, generator=generator", "replacement=True",
           "own generator"),
    Mutant("sum", "monte_carlo", "values.mean()", "values.sum()", "mean of f"),
    # cross_entropy_bits
    Mutant("nats", "cross_entropy_bits", ".log2()", ".log()", "nats"),
    Mutant("sign", "cross_entropy_bits", "return -(", "return (", "sign"),
    Mutant("mean", "cross_entropy_bits", ".sum()", ".mean()", "mean over"),
    Mutant("reversed", "cross_entropy_bits", "p[seen] * q[seen].log2()", "q[seen] * p[seen].log2()",
           "logarithm is of q"),
    Mutant("zeros", "cross_entropy_bits", "seen = p > 0", "seen = p > -1", "Leave out"),
    Mutant("epsilon", "cross_entropy_bits", "q[seen].log2()", "(q[seen] + 1e-12).log2()", ""),
    Mutant("both", "cross_entropy_bits", "seen = p > 0", "seen = (p > 0) & (q > 0)", "excludes"),
    # bits_per_dim
    Mutant("nats", "bits_per_dim", "(dims * math.log(2))", "dims", "in nats"),
    Mutant("times", "bits_per_dim", "nats / (dims * math.log(2))", "nats * math.log(2) / dims",
           "multiplied by ln 2"),
    Mutant("whole", "bits_per_dim", "(dims * math.log(2))", "math.log(2)", "whole picture"),
    Mutant("784", "bits_per_dim", "(dims * ", "(784 * ", "12 pixels"),
    # kl
    Mutant("bits", "kl", ".log()", ".log2()", "bits"),
    Mutant("reversed", "kl", "(p[seen] * (p[seen] / q[seen])", "(q[seen] * (q[seen] / p[seen])",
           "other way round"),
    Mutant("sign", "kl", "p[seen] / q[seen]", "q[seen] / p[seen]", "sign"),
    Mutant("mean", "kl", ".sum()", ".mean()", "mean over the values"),
    Mutant("zeros", "kl", "seen = p > 0", "seen = p > -1", "Leave out"),
    Mutant("both", "kl", "seen = p > 0", "seen = (p > 0) & (q > 0)", "infinite"),
    # js
    Mutant("no half", "js", "(kl(p, m) + kl(q, m)) / 2", "kl(p, m) + kl(q, m)", "one half"),
    Mutant("Jeffreys", "js", "kl(p, m) + kl(q, m)", "kl(p, q) + kl(q, p)", "mixture"),
    Mutant("bits", "js", "(kl(p, m) + kl(q, m)) / 2", "(kl(p, m) + kl(q, m)) / math.log(4)", "bits"),
    Mutant("mixture 2", "js", "m = (p + q) / 2", "m = p + q", "without the half"),
    Mutant("reversed", "js", "kl(p, m) + kl(q, m)", "kl(m, p) + kl(m, q)", "Half of KL"),
    # IndependentPixels
    Mutant("unsmoothed", "IndependentPixels", "counts = counts + self.alpha", "counts = counts + 0",
           "smoothing is forgotten"),
    Mutant("C6 alpha", "IndependentPixels", "counts + self.alpha", "counts + 1", "alpha is accepted"),
    Mutant("mean", "IndependentPixels", ", x].sum(dim=1)", ", x].mean(dim=1)", "mean over the pixels"),
    Mutant("bits", "IndependentPixels", "self.p.log()", "self.p.log2()", "bits"),
    Mutant("denominator", "IndependentPixels", "counts / counts.sum(dim=1, keepdim=True)",
           "counts / (counts.sum(dim=1, keepdim=True) - self.alpha * self.levels)", "not to 1"),
    Mutant("over images", "IndependentPixels", ", x].sum(dim=1)", ", x].sum(dim=0)", "(16,)"),
    Mutant("shared", "IndependentPixels", "[torch.arange(x.shape[1]), x]", "[0, x]", ""),
    # contexts
    Mutant("itself", "contexts", "left[..., 1:] = coarse[..., :-1]", "left[...] = coarse", "itself"),
    Mutant("right", "contexts", "left[..., 1:] = coarse[..., :-1]", "left[..., :-1] = coarse[..., 1:]",
           "looks ahead"),
    Mutant("below", "contexts", "up[..., 1:, :] = coarse[..., :-1, :]",
           "up[..., :-1, :] = coarse[..., 1:, :]", "looks ahead"),
    Mutant("swapped", "contexts", "return 16 * left + up", "return 16 * up + left", "exchanged"),
    Mutant("corner", "contexts", "up[..., 1:, :] = coarse[..., :-1, :]",
           "up[..., 1:, 1:] = coarse[..., :-1, :-1]", "neighbours"),
    Mutant("floor", "contexts", "(images.long() + 16) // 17", "images.long() // 16", "black alone"),
    Mutant("rolled", "contexts", "left[..., 1:] = coarse[..., :-1]", "left = coarse.roll(1, -1)", ""),
    # NeighbourTable
    Mutant("assigned", "NeighbourTable", "counts += torch", "counts = torch", "one of the parts"),
    Mutant("not added", "NeighbourTable", "counts += torch.bincount", "torch.bincount", "nothing was"),
    Mutant("pair", "NeighbourTable", "self.context(part) * self.levels + part.long()",
           "part.long() * 256 + self.context(part)", "context * levels + value"),
    Mutant("mean", "NeighbourTable", ".flatten(1).sum(dim=1)", ".flatten(1).mean(dim=1)",
           "mean over the pixels"),
    Mutant("bits", "NeighbourTable", "self.p.log()", "self.p.log2()", "bits"),
    Mutant("unsmoothed", "NeighbourTable", "+ self.alpha", "+ 1e-300", ""),
    Mutant("sign", "NeighbourTable", "return self.p.log()", "return -self.p.log()", "sign"),
    # sample_in_order
    Mutant("wrong neighbour", "sample_in_order", "[:, 0, -1, -1]", "[:, 0, 0, -1]", "this very pixel"),
    Mutant("most probable", "sample_in_order", "torch.multinomial(p[context], 1, generator=generator)",
           "p[context].argmax(dim=1, keepdim=True)", "most probable"),
    Mutant("global", "sample_in_order", ", 1, generator=generator", ", 1", "own generator"),
    Mutant("no context", "sample_in_order", "p[context]", "p[0 * context]", "this very pixel"),
    Mutant("one for all", "sample_in_order", "p[context], 1,", "p[context][:1], 1,", "each image anew"),
    Mutant("transposed", "sample_in_order", "images[:, 0, i, j] =", "images[:, 0, j % H, i % W] =", ""),
    # mixture_log_likelihood
    Mutant("exp", "mixture_log_likelihood",
           "torch.logaddexp(log_a + math.log(share), log_b + math.log(1 - share))",
           "(share * log_a.exp() + (1 - share) * log_b.exp()).log()", "logaddexp"),
    Mutant("exchanged", "mixture_log_likelihood", "log_a + math.log(share), log_b + math.log(1 - share)",
           "log_b + math.log(share), log_a + math.log(1 - share)", "exchanged"),
    Mutant("no shares", "mixture_log_likelihood",
           "log_a + math.log(share), log_b + math.log(1 - share)", "log_a, log_b", "missing"),
    Mutant("mean of logs", "mixture_log_likelihood",
           "torch.logaddexp(log_a + math.log(share), log_b + math.log(1 - share))",
           "share * log_a + (1 - share) * log_b", "mean of the logarithms"),
    # copier_log_likelihood
    Mutant("sum", "copier_log_likelihood", " - math.log(apart.shape[1])", "", "subtract ln N"),
    Mutant("255", "copier_log_likelihood", "eps / 255", "eps", "eps / 255"),
    Mutant("exp", "copier_log_likelihood", "each.logsumexp(dim=1)", "each.exp().sum(dim=1).log()",
           "logsumexp"),
    Mutant("mean of logs", "copier_log_likelihood",
           "each.logsumexp(dim=1) - math.log(apart.shape[1])", "each.mean(dim=1)", ""),
    Mutant("kept ignored", "copier_log_likelihood", " + (dims - apart) * math.log(1 - eps)", "",
           "1 - eps"),
]  # fmt: skip

# Right answers, written differently: a check that rejects one of these is a false alarm.
ALTERNATIVES = {
    "monte_carlo": [("torch.multinomial(p, n, replacement=True, generator=generator).double()",
                     "torch.searchsorted(p.cumsum(0), torch.rand(n, generator=generator,"
                     " dtype=p.dtype)).clamp(max=len(p) - 1).double()"),
                    ("values.std().item() / math.sqrt(n)", "float((values.var() / n) ** 0.5)")],
    "cross_entropy_bits": [("-(p[seen] * q[seen].log2()).sum()", "-p[seen] @ q[seen].log() / math.log(2)"),
                           ("(p[seen] * q[seen].log2()).sum()", "torch.special.xlogy(p, q).sum() / math.log(2)")],
    "bits_per_dim": [("nats / (dims * math.log(2))", "nats / math.log(2) / dims"),
                     ("nats / (dims * math.log(2))", "nats * math.log2(math.e) / dims")],
    "kl": [("(p[seen] * (p[seen] / q[seen]).log()).sum()",
            "p[seen] @ (p[seen].log() - q[seen].log())"),
           ("(p[seen] * (p[seen] / q[seen]).log()).sum()",
            "(torch.special.xlogy(p, p) - torch.special.xlogy(p, q)).sum()")],
    "js": [("(kl(p, m) + kl(q, m)) / 2", "0.5 * kl(p, m) + 0.5 * kl(q, m)"),
           ("(kl(p, m) + kl(q, m)) / 2", "torch.stack([kl(x, m) for x in (p, q)]).mean()")],
    "IndependentPixels": [("counts / counts.sum(dim=1, keepdim=True)",
                           "counts / (len(images) + self.levels * self.alpha)"),
                          ("self.p.log()[torch.arange(x.shape[1]), x].sum(dim=1)",
                           "self.p.log().T.gather(0, x).sum(1)")],
    "contexts": [("(images.long() + 16) // 17", "-(-images.long() // 17)"),
                 ("left[..., 1:] = coarse[..., :-1]",
                  "left = torch.nn.functional.pad(coarse, (1, 0))[..., :-1]")],
    "NeighbourTable": [("counts += torch.bincount(pairs.flatten(), minlength=len(counts))",
                        "counts.index_add_(0, pairs.flatten(), torch.ones(pairs.numel()).double())"),
                       ("self.p.log()[self.context(images), images.long()].flatten(1).sum(dim=1)",
                        "self.p[self.context(images), images.long()].log().sum(dim=(1, 2, 3))")],
    "sample_in_order": [("contexts(square)[:, 0, -1, -1]", "contexts(images)[:, 0, i, j]"),
                        ("torch.multinomial(p[context], 1, generator=generator)",
                         "(p[context].cumsum(1) < torch.rand(n, 1, generator=generator,"
                         " dtype=p.dtype)).sum(1, keepdim=True)")],
    "mixture_log_likelihood": [
        ("torch.logaddexp(log_a + math.log(share), log_b + math.log(1 - share))",
         "torch.stack([log_a + math.log(share), log_b + math.log1p(-share)]).logsumexp(0)"),
        ("torch.logaddexp(log_a + math.log(share), log_b + math.log(1 - share))",
         "log_b + math.log(1 - share) + torch.nn.functional.softplus("
         "log_a - log_b + math.log(share / (1 - share)))")],
    "copier_log_likelihood": [
        ("each.logsumexp(dim=1) - math.log(apart.shape[1])", "(each - math.log(len(each.T))).logsumexp(1)"),
        ("apart * math.log(eps / 255) + (dims - apart) * math.log(1 - eps)",
         "apart * math.log(eps / 255 / (1 - eps)) + dims * math.log1p(-eps)")],
}  # fmt: skip

# Rows of the catalogue that are questions in the lesson's text rather than code.
QUESTIONS = []
