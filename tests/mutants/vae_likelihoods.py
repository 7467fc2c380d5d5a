"""Mistakes of lesson 32. Rows V1 to V17 are those of the course's catalogue of bugs."""

from tests.mutants import Mutant

TOPIC = "vae_likelihoods"
GAUSS, LOGISTIC = "gaussian_log_likelihood", "discretised_logistic_log_likelihood"
SUM = "each.flatten(1).sum(dim=1)"
WEIGHTS = "torch.stack([log_weights(model, x, rng) for _ in range(k)])"
LOG_MEAN = "torch.logsumexp(log_w, dim=0) - math.log(k)"
LOSS = "weight * kl.mean().clamp(min=free_bits) - log_lik.mean()"
WEIGHT = "beta * min(1.0, fraction / warm_up) if warm_up else beta"
INNER = "below + above + torch.log(-torch.expm1(-2 * half / log_scale.exp()))"
ENDS = "torch.where(x < half, below, torch.where(x > 1 - half, above, inner))"

MUTANTS = [
    # the Gaussian
    Mutant("V2", GAUSS, SUM, "each.flatten(1).mean(dim=1)", "V2"),
    Mutant("batch", GAUSS, SUM, "each.sum()", "4 numbers"),
    Mutant("constant", GAUSS, " - math.log(2 * math.pi) / 2", "", "ln(2 pi) / 2"),
    Mutant("no scale", GAUSS, " - log_scale - math", " - math", "-ln s is missing"),
    Mutant("scale once", GAUSS, f"- log_scale - math.log(2 * math.pi) / 2\n    return {SUM}",
           f"- math.log(2 * math.pi) / 2\n    return {SUM} - log_scale.sum()", "once for each pixel"),
    Mutant("V13 variance", GAUSS, "/ log_scale.exp()\n    each = -far.square() / 2 - log_scale",
           "/ (log_scale / 2).exp()\n    each = -far.square() / 2 - log_scale / 2", "V13"),
    Mutant("no half", GAUSS, "-far.square() / 2", "-far.square()", "log-density"),
    Mutant("V12", GAUSS, "in_range(x)", "x", "V12"),
    # the discretised logistic
    Mutant("no ends", LOGISTIC, ENDS, "inner", "all that is below it"),
    Mutant("density", LOGISTIC, INNER, "below + above - log_scale", "sum to"),
    Mutant("half a bin", LOGISTIC, "0.5 / 255", "0.25 / 255", "sum to"),
    Mutant("whole bin", LOGISTIC, "0.5 / 255", "1 / 255", "sum to"),
    Mutant("ends exchanged", LOGISTIC, "(x < half, below, torch.where(x > 1 - half, above, inner))",
           "(x < half, above, torch.where(x > 1 - half, below, inner))", "sum to"),
    Mutant("V12 floor", LOGISTIC, INNER, "(below.exp() - (1 - above.exp())).clamp(min=1e-7).log()",
           "sum"),
    Mutant("V12 floor far", LOGISTIC, INNER, "(below.exp() - (1 - above.exp()) + 1e-12).log()",
           "V12"),
    Mutant("V12 sigmoids", LOGISTIC, INNER, "(below.exp() - (1 - above.exp())).log()", "V12"),
    Mutant("V2", LOGISTIC, SUM, "each.flatten(1).mean(dim=1)", "V2"),
    Mutant("detached", LOGISTIC, INNER, INNER.replace("log_scale", "log_scale.detach()"), "slope"),
    Mutant("no return", LOGISTIC, f"return {SUM}", SUM, "nothing came back"),
    Mutant("V12 range", LOGISTIC, "in_range(x)", "x", "V12"),
    # many weights
    Mutant("sum", "iwae_bound", " - math.log(k)", "", "Subtract ln"),
    Mutant("mean of logs", "iwae_bound", LOG_MEAN, "log_w.mean(dim=0)", "log of the mean is meant"),
    Mutant("underflow", "iwae_bound", LOG_MEAN, "log_w.exp().mean(dim=0).log()", "logsumexp"),
    Mutant("one z", "iwae_bound", WEIGHTS, "log_weights(model, x, rng).expand(k, -1)", "z of its own"),
    Mutant("seed", "iwae_bound", "log_weights(model, x, rng)",
           "log_weights(model, x, torch.Generator().manual_seed(0))", "z of its own"),
    Mutant("wrong axis", "iwae_bound", "dim=0) - math.log(k)", "dim=1) - math.log(k)", "6 pictures"),
    Mutant("no return", "iwae_bound", f"return {LOG_MEAN}", LOG_MEAN, "nothing came back"),
    Mutant("other rng", "iwae_bound", "log_weights(model, x, rng)", "log_weights(model, x, None)",
           "from rng"),
    Mutant("k", "iwae_bound", "if k < 1:", "if k < 0:", "k < 1"),
    # beta
    Mutant("V10", "beta_loss", LOSS, "kl.mean().clamp(min=free_bits) - log_lik.mean()", "V10"),
    Mutant("V10 no KL", "beta_loss", LOSS, "-log_lik.mean()", "V10"),
    Mutant("on the other", "beta_loss", LOSS,
           "kl.mean().clamp(min=free_bits) - weight * log_lik.mean()", "beta = 0.5 should give"),
    Mutant("sign", "beta_loss", "- log_lik.mean()", "+ log_lik.mean()", "minus the log-likelihood"),
    Mutant("no warm-up", "beta_loss", " if warm_up else beta", "", "means no warm-up"),
    Mutant("no return", "beta_loss", f"return {LOSS}", LOSS, "nothing came back"),
    Mutant("to one", "beta_loss", WEIGHT,
           "min(beta, fraction / warm_up) if warm_up else beta", "warm_up = 0.5"),
    Mutant("never full", "beta_loss", WEIGHT, "beta * fraction if warm_up else beta", "warm_up = 0.5"),
    Mutant("goes on", "beta_loss", WEIGHT, "beta * fraction / warm_up if warm_up else beta",
           "warm_up = 0.5"),
    Mutant("ignored warm-up", "beta_loss", WEIGHT, "beta", "warm_up = 0.5"),
    Mutant("each picture", "beta_loss", "kl.mean().clamp(min=free_bits)",
           "kl.clamp(min=free_bits).mean()", "batch's mean first"),
    Mutant("C6 free bits", "beta_loss", ".clamp(min=free_bits)", "", "filled up"),
    Mutant("ceiling", "beta_loss", "clamp(min=free_bits)", "clamp(max=free_bits or 1e9)", "filled up"),
    Mutant("not averaged", "beta_loss", "- log_lik.mean()", "- log_lik", "one number"),
    Mutant("negative", "beta_loss", "if beta < 0:", "if False:", "refuse"),
    # units
    Mutant("size", "active_units", "mu.var(dim=0)", "mu.square().mean(dim=0)", "over the pictures"),
    Mutant("deviation", "active_units", "mu.var(dim=0)", "mu.std(dim=0)", "variance"),
    Mutant("axis", "active_units", "dim=0", "dim=1", "5 codes"),
    Mutant("C6", "active_units", "> threshold", "> 0.01", "ignored"),
    # V3
    Mutant("V3", "implied_beta", "(2 * scale**2)", "scale**2", "half the squared"),
    Mutant("V3 product", "implied_beta", "dims / (2 * scale**2)", "2 / dims", "V3"),
    Mutant("V3 scale", "implied_beta", "(2 * scale**2)", "(2 * scale)", "2 s^2"),
    # conditions
    Mutant("last row", "class_codes", "(labels < 0) | ", "", "-1"),
    Mutant("too large", "class_codes", " | (labels >= classes)", "", "4 classes"),
    Mutant("columns", "class_codes", "torch.eye(classes, device=labels.device)[labels]",
           "torch.eye(classes, device=labels.device)[labels - 1]", "identity"),
    Mutant("bytes", "pair_batches", "x.float() / 255", "x.float()", "0..1"),
    Mutant("apart", "pair_batches", "yield x.float() / 255, c",
           "yield x.float() / 255, c[torch.randperm(len(c), generator=rng)]", "shuffled apart"),
    Mutant("order", "pair_batches",
           "datasets.batches(images, codes, batch_size=batch_size, generator=rng)",
           "[(images, codes)]", "shuffled, by rng"),
    Mutant("empty class", "pair_batches", "(codes.sum(dim=0) == 0)", "(codes.sum(dim=0) < 0)",
           "no picture"),
    Mutant("V11", "ConditionalEncoder", "vae.bounded(logvar)", "logvar", "V11"),
    Mutant("deaf", "ConditionalEncoder", "[h, c]", "[h, 0 * c]", "not heard"),
    Mutant("halves", "ConditionalEncoder", ".chunk(2, dim=1)", ".split(1, dim=1)[:2]", "mu and logvar"),
    Mutant("deaf", "ConditionalDecoder", "[z, c]", "[z, 0 * c]", "c is not heard"),
    Mutant("no code", "ConditionalDecoder", "[z, c]", "[0 * z, c]", "z is not heard"),
    Mutant("V12 squeezed", "ConditionalDecoder", ".float()", ".float().sigmoid()", "squeezed"),
    Mutant("V13", "reconstruct", "mu, _ = model.encode((x, c))",
           "mu = vae.reparameterise(*model.encode((x, c)), torch.default_generator)", "V13"),
    Mutant("V13 logvar", "reconstruct", "mu, _ =", "_, mu =", "not logvar"),
    Mutant("no clamp", "reconstruct", ".clamp(0, 1)", "", "Clamp"),
    Mutant("deaf", "reconstruct", "model.decode(mu, c)", "model.decode(mu, 0 * c)", "hand on c"),
]  # fmt: skip

# Right answers, written differently: a check that rejects one of these is a false alarm.
ALTERNATIVES = {
    GAUSS: [("-far.square() / 2 - log_scale - math.log(2 * math.pi) / 2",
             "torch.distributions.Normal(mean, log_scale.exp()).log_prob(x)"),
            (SUM, "each.sum(dim=(1, 2, 3))")],
    LOGISTIC: [(SUM, "each.sum(dim=(1, 2, 3))"),
               ("torch.log(-torch.expm1(-2 * half / log_scale.exp()))",
                "torch.log1p(-torch.exp(-2 * half * (-log_scale).exp()))"),
               ("F.logsigmoid(-(x - half - mean) / log_scale.exp())",
                "-F.softplus((x - half - mean) * (-log_scale).exp())")],
    "iwae_bound": [(LOG_MEAN, "log_w.max(0).values + (log_w - log_w.max(0).values).exp().mean(0).log()"),
                   (LOG_MEAN, "torch.logsumexp(log_w - math.log(k), dim=0)")],
    "beta_loss": [(LOSS, "weight * torch.clamp_min(kl.mean(), free_bits) - log_lik.mean()"),
                  (LOSS, "weight * (free_bits + F.relu(kl.mean() - free_bits)) - log_lik.mean()"),
                  (LOSS, "weight * max(kl.mean(), free_bits) - log_lik.mean()"),
                  (WEIGHT, "beta if fraction >= warm_up else beta * fraction / warm_up")],
    "active_units": [("mu.var(dim=0)", "torch.cov(mu.T).diagonal()"),
                     ("mu.var(dim=0)", "(mu - mu.mean(dim=0)).square().mean(dim=0)")],
    "implied_beta": [("kld_weight * dims / (2 * scale**2)", "0.5 * dims * kld_weight / scale**2"),
                     ("(2 * scale**2)", "2 / scale / scale")],
    "class_codes": [("torch.eye(classes, device=labels.device)[labels]",
                     "F.one_hot(labels, classes).float()"),
                    ("(labels < 0) | (labels >= classes)", "~((0 <= labels) & (labels < classes))")],
    "pair_batches": [("(codes.sum(dim=0) == 0)", "(codes.amax(dim=0) == 0)"),
                     ("x.float() / 255", "datasets.to_float(x)")],
    "ConditionalEncoder": [("vae.bounded(logvar)", "logvar.clamp(-10, 10)"),
                           (".chunk(2, dim=1)", ".unflatten(1, (2, -1)).unbind(dim=1)")],
    "ConditionalDecoder": [("torch.cat([z, c], dim=1)", "torch.hstack([z, c])"),
                           (".float()", ".to(torch.float32)")],
    "reconstruct": [("mu, _ = model.encode((x, c))", "mu = model.encode((x, c))[0]"),
                    (".clamp(0, 1)", ".clip(min=0, max=1)")],
}  # fmt: skip

# Rows of the catalogue that are questions in the lesson's text rather than code.
QUESTIONS = ["V9", "V15"]
