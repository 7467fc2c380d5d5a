"""Checks of lesson 31 for encoder, decoder and the VAE, the last against an exact answer."""

import torch
from torch import nn

from course_lib.checks import check, require
from course_lib.checks.probes import differs, normal
from course_lib.checks.vae_loss import require_answer, times_the_right_one
from course_lib.settings import CourseError

LATENTS, PIXELS, COPIES = 20, 784, 1000
WIDE, NOISE = 1.5, 0.5  # length of the columns of W, and the variance of x given z


def _loud(net, factor):
    for seed, parameter in enumerate(net.parameters()):
        parameter.data.copy_(factor * normal(*parameter.shape, seed=seed))
    return net


def _require_latents(cls):
    try:
        cls(0, 8, 1)
    except CourseError:
        return
    require(False, "latent size 0 was accepted: a code needs at least one number; say so.")


@check("vae.Encoder")
def Encoder(cls):
    """Check shapes, that no logvar overflows, that it may be negative, and each picture alone."""
    net, x = _loud(cls(7, 16, 1), 1.0), (normal(6, 1, 28, 28, seed=30) > 0).float()
    mu, logvar = net(x)
    require(
        mu.shape == (6, 7) and logvar.shape == (6, 7),
        f"6 pictures should give mu and logvar of (6, 7); yours are {tuple(mu.shape)} and "
        f"{tuple(logvar.shape)}.",
    )
    require(differs(mu, logvar) > 1e-3, "mu and logvar are the same numbers: two halves.")
    require(
        logvar.exp().isfinite().all() and (-logvar).exp().isfinite().all(),
        f"with large weights logvar reaches {logvar.abs().max():.3g}, and its exponential is no "
        "number any more: one such picture makes every weight nan (V11). Bound it.",
    )
    require(
        logvar.min() < 0,
        "logvar is never negative: a softplus belongs on a standard deviation, and the KL and the "
        "draw would read this as a log-variance all the same (V13).",
    )
    require(mu.min() < 0, "mu is never negative: it must reach all of the prior.")
    alone = torch.cat([net(x[k : k + 1])[0] for k in range(6)])
    require(differs(mu, alone) < 1e-2, "a picture's code depends on its company in the batch.")
    with torch.autocast("cpu", torch.bfloat16):
        kinds = {part.dtype for part in net(x)}
    require(kinds == {torch.float32}, "under autocast the answers should be float32: .float().")
    _require_latents(cls)
    return "mu and logvar (B, latent), logvar bounded and of both signs; latent 0 is refused"


@check("vae.Decoder")
def Decoder(cls):
    """Check the shape, that the answers are logits of both signs, and each code alone."""
    net, z = _loud(cls(7, 16, 1), 1.0), normal(6, 7, seed=31).float()
    logits = net(z).detach()
    require(
        logits.shape == (6, 1, 28, 28),
        f"6 codes should give logits (6, 1, 28, 28), yours are {tuple(logits.shape)}.",
    )
    require(
        logits.min() < 0,
        f"no logit is below 0 (the smallest is {logits.min():.3g}): with a ReLU at the end no "
        "pixel can be paper, and the loss has a floor (V12). Return what the last layer says.",
    )
    require(
        logits.max() > 1 and logits.abs().max() > 1.01,
        "with large weights all answers stay within 1: these are probabilities or a tanh, and the "
        "likelihood expects logits.",
    )
    alone = torch.cat([net(z[k : k + 1]).detach() for k in range(6)])
    require(differs(logits, alone) < 1e-2, "a code's picture depends on its company.")
    with torch.autocast("cpu", torch.bfloat16):
        kind = net(z).dtype
    require(kind == torch.float32, "under autocast the logits should be float32: .float().")
    _require_latents(cls)
    return "logits (B, 1, 28, 28) of both signs, not squeezed; latent 0 is refused"


class _Posterior(nn.Module):
    """The exact posterior of x = W z + noise, W with orthogonal columns: a cloud along the axes."""

    def __init__(self, W):
        super().__init__()
        self.W, self.var, self.scale = W, 1 / (1 + WIDE**2 / NOISE), nn.Parameter(torch.ones(1))

    def forward(self, x):
        mu = self.scale * self.var * x.flatten(1) @ self.W / NOISE
        return mu, torch.full_like(mu, self.var).log()


class _Linear(nn.Module):
    latent = LATENTS

    def __init__(self, W):
        super().__init__()
        self.W, self.seen = W, []

    def forward(self, z):
        self.seen.append(z.detach())
        return (z.to(self.W) @ self.W.T).view(-1, 1, 28, 28)


def _log_likelihood(mean, x):
    return torch.distributions.Normal(mean, NOISE**0.5).log_prob(x).flatten(1).sum(dim=1)


def _known():
    """Return W, a picture x (1, 1, 28, 28) and its exact log p(x), of a linear-Gaussian model."""
    W = WIDE * torch.linalg.qr(normal(PIXELS, LATENTS, seed=32))[0]
    x = W @ normal(LATENTS, seed=33) + NOISE**0.5 * normal(PIXELS, seed=34)
    covariance = W @ W.T + NOISE * torch.eye(PIXELS).double()
    exact = torch.distributions.MultivariateNormal(torch.zeros(PIXELS).double(), covariance)
    return W, x.view(1, 1, 28, 28), exact.log_prob(x).item()


def _require_beta(log_lik, right_log_lik, kl, right_kl):
    """Name the beta if a term is a multiple of the right one; else say which term is another."""
    a, b = times_the_right_one(log_lik, right_log_lik), times_the_right_one(kl, right_kl)
    require(
        a is not None,
        "log_lik is not log_likelihood(decode(z), x) at the z that was decoded last: is its answer "
        "changed on the way, or is more than one z drawn?",
    )
    require(
        b is not None,
        "kl is not the KL of this encoder's cloud: give it mu and logvar as encode returns them.",
    )
    require(
        abs(a - 1) < 1e-6 and abs(b - 1) < 1e-6,
        f"log_lik is {a:.4g} times the right one and kl {b:.4g} times: in their sum you train "
        f"beta = {b / a:.4g} (V1, V2). Return both summed and unscaled.",
    )


def _require_terms(model, net, x, W):
    terms = model.elbo_terms(x, torch.Generator().manual_seed(0))
    require_answer(terms)
    require(
        isinstance(terms, tuple | list) and len(terms) == 2,
        "elbo_terms should return two tensors, log_lik and kl, apart: `return log_lik, kl`. "
        "Their difference is the loss's business.",
    )
    require(
        all(t.shape == (COPIES,) for t in terms),
        f"log_lik and kl should be (B,) each; yours: {[tuple(t.shape) for t in terms]}.",
    )
    log_lik, kl = terms
    mu, logvar = net(x)
    right_kl = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(dim=1)
    require(
        differs(log_lik, right_kl) > 1e-6,
        "the two have changed places: log_lik first, then kl.",
    )
    require(kl.abs().max() > 0, "the KL is 0 for every picture: without it, an autoencoder (V16).")
    z = model.decoder.seen[-1].to(x) if model.decoder.seen else mu
    sampled = 0.5 * (z**2 - (z - mu) ** 2 / logvar.exp() - logvar).sum(dim=1)
    require(
        differs(kl, sampled) > 1e-6,
        "kl is log q - log p at the one z: right on average, but noisy, and it can be negative. "
        "Use the closed form, kl_to_standard_normal.",
    )
    require(kl.min() > 0, "the KL is negative: a minus too many (V4). Return +KL.")
    require(
        model.decoder.seen and differs(model.decoder.seen[-1], mu) > 1e-3,
        "the decoder was given mu: draw z with reparameterise, or this is an autoencoder (V16).",
    )
    for name, term in {"log_lik": log_lik, "kl": kl}.items():
        require(
            term.requires_grad,
            f"no gradient leads from {name} back to the encoder: is something detached?",
        )
    right = _log_likelihood((z @ W.T).view(-1, 1, 28, 28), x)
    _require_beta(log_lik.detach(), right, kl.detach(), right_kl.detach())


@check("vae.VAE")
def VAE(cls):
    """Compare the ELBO with the exact log p(x) of a linear-Gaussian model, at its posterior."""
    W, one, exact = _known()
    x, net = one.expand(COPIES, -1, -1, -1), _Posterior(W)
    try:
        model = cls(net, _Linear(W), _log_likelihood)
        _require_terms(model, net, x * torch.linspace(0.5, 1.5, COPIES).view(-1, 1, 1, 1), W)
        terms = model.elbo_terms(x, torch.Generator().manual_seed(0))
        log_lik, kl = (t.detach() for t in terms)
    except CourseError as error:
        require(False, f"log_likelihood is accepted and ignored (C6): {error}")
    elbo = log_lik - kl
    error = elbo.std().item() / COPIES**0.5
    require(
        abs(elbo.mean() - exact) < 5 * error,
        f"at the true posterior the ELBO should be log p(x) = {exact:.2f} on average; yours is "
        f"{elbo.mean():.2f} ± {error:.2f}. Is one z drawn for each picture, with both outputs?",
    )
    net.scale.data.fill_(0.9)
    far = torch.stack(model.elbo_terms(x, torch.Generator().manual_seed(1))).detach()
    require((far[0] - far[1]).mean() < exact, "away from the posterior the ELBO should be lower.")
    samples = model.sample(3000, torch.Generator().manual_seed(2))
    codes = model.decoder.seen[-1].double()
    require(
        codes.shape == (3000, LATENTS)
        and abs(codes.std() - 1) < 0.05
        and codes.mean().abs() < 0.05,
        f"sample(n, rng) should decode n codes from the prior, N(0, 1); yours {tuple(codes.shape)} "
        f"have mean {codes.mean():.2f} and deviation {codes.std():.2f}.",
    )
    require(
        samples.min() >= 0 and samples.max() <= 1 and not samples.requires_grad,
        "samples should be means in 0..1, without a graph: the sigmoid of the logits.",
    )
    return f"at the posterior ELBO {elbo.mean():.1f} ± {error:.1f}, exact log p(x) {exact:.1f}"
