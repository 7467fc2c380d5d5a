"""Checks of lesson 31: coins, KL and draw; likelihood, losses, networks, loop stand beside."""

import torch

from course_lib.checks import check, require
from course_lib.checks.probes import differs, normal, random_images
from course_lib.checks.vae_likelihood import bernoulli_log_likelihood
from course_lib.checks.vae_loss import (
    TOO_LONG,
    beta_and_scale,
    elbo_loss,
    require_answer,
    times_the_right_one,
)
from course_lib.checks.vae_networks import VAE, Decoder, Encoder
from course_lib.checks.vae_training import train_vae

__all__ = [
    "Decoder",
    "Encoder",
    "VAE",
    "bernoulli_log_likelihood",
    "beta_and_scale",
    "binary_batches",
    "elbo_loss",
    "kl_to_standard_normal",
    "reparameterise",
    "train_vae",
]


@check("vae.binary_batches")
def binary_batches(function):
    """Check that all is 0 or 1, with the right chance, anew in every epoch, drawn from rng."""
    images = random_images(20, 4)
    batches = function(images, 20, torch.Generator().manual_seed(0))
    epochs = [next(batches) for _ in range(300)]
    values = torch.cat(epochs).unique()
    require(
        epochs[0].shape == images.shape and epochs[0].is_floating_point(),
        f"a batch of 20 should be floats {tuple(images.shape)}; yours is {epochs[0].dtype} "
        f"{tuple(epochs[0].shape)}.",
    )
    require(
        set(values.tolist()) <= {0.0, 1.0},
        f"a pixel is ink or paper, 1 or 0; yours has {len(values)} values between "
        f"{values.min():.3g} and {values.max():.3g}. Greys have another likelihood (V12): toss.",
    )
    mean, chance = torch.stack(epochs).mean(dim=(0, 1)), images.float().mean(dim=0) / 255
    require(
        differs(mean, chance) < 0.05,
        "a pixel should be 1 with the chance value / 255; in 300 epochs your shares of ones are "
        f"off by up to {differs(mean, chance):.2f}. A threshold is no toss.",
    )
    sums = {x.sum().item() for x in epochs}
    require(len(sums) > 10, "every epoch holds the same tosses: toss anew for each batch.")
    again = [next(function(images, 20, torch.Generator().manual_seed(s))) for s in (1, 1, 2)]
    require(
        torch.equal(again[0], again[1]) and not torch.equal(again[0], again[2]),
        "coins and order should be drawn from rng: the same for one seed, others for another.",
    )
    return "0 or 1, with the chance value / 255, tossed anew in every batch from rng"


def _kl_mistakes(mu, logvar):
    var, var2 = logvar.exp(), (2 * logvar).exp()
    return {
        "the 1/2 is lost on a part: mu^2 + sigma^2 - log sigma - 1/2 is not the formula, which is "
        "1/2 (mu^2 + sigma^2 - 1) - log sigma (V6).": mu**2 + var - logvar / 2 - 0.5,
        "logvar is read as log sigma: sigma^2 is logvar.exp(), and log sigma^2 is logvar itself "
        "(V5, T3).": (mu**2 + var2 - 1 - 2 * logvar) / 2,
        "at mu = 0, sigma = 1 the KL should be 0, yours is not: the -1 is missing.": (
            mu**2 + var - logvar
        )
        / 2,
        "logvar has the wrong sign: minus log sigma^2.": (mu**2 + var - 1 + logvar) / 2,
        "this is the KL the other way round, from the prior to q.": (logvar + (1 + mu**2) / var - 1)
        / 2,
        "mu enters without its square.": (mu + var - 1 - logvar) / 2,
    }


def _require_slopes(kl, mu, logvar):
    slopes = [None, None]
    if kl.requires_grad:
        slopes = torch.autograd.grad(kl.sum(), [mu, logvar], allow_unused=True)
    wanted = {"mu": (mu, slopes[0], mu), "logvar": (logvar, slopes[1], (logvar.exp() - 1) / 2)}
    for name, (at, slope, right) in wanted.items():
        slope = torch.zeros_like(at) if slope is None else slope
        require(
            differs(slope, right) < 1e-6,
            f"the value is right, its gradient with {name} is not: the price would not move the "
            f"encoder. Take {name} as it is, not detached.",
        )


def _kl_by_draws(mu, logvar) -> str:
    """Estimate the KL as the mean of log q - log p over draws from q; with its standard error."""
    q, p = torch.distributions.Normal(mu, (logvar / 2).exp()), torch.distributions.Normal(0.0, 1.0)
    z = mu + (logvar / 2).exp() * normal(100_000, len(mu), seed=3)
    each = (q.log_prob(z) - p.log_prob(z)).sum(dim=1)
    return f"{each.mean():.3f} ± {each.std() / len(each) ** 0.5:.3f}"


@check("vae.kl_to_standard_normal")
def kl_to_standard_normal(function):
    """Compare with torch.distributions, and name the beta or the mistake."""
    mu, logvar = (normal(6, 20, seed=s).requires_grad_() for s in (1, 2))
    answer = function(mu, logvar)
    require_answer(answer)
    value = answer.detach()
    require(
        value.shape == (6,),
        f"6 codes of 20 numbers should give 6 KLs, (6,); yours are {tuple(value.shape)}: sum over "
        "the latents, dim=1, and leave the pictures apart.",
    )
    require(
        value.isfinite().all(),
        "the KL is no finite number: logvar may be negative, and is a logarithm already. Take "
        "neither its logarithm nor its root.",
    )
    q = torch.distributions.Normal(mu.detach(), (logvar.detach() / 2).exp())
    wanted = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(dim=1)
    if differs(value, wanted) < 1e-9:
        _require_slopes(answer, mu, logvar)
        drawn = _kl_by_draws(mu[0].detach(), logvar[0].detach())
        return (
            "1/2 sum (mu^2 + sigma^2 - 1 - log sigma^2). For one code of 20 numbers: yours "
            f"{value[0]:.3f}, torch.distributions {wanted[0]:.3f}, by 100,000 draws {drawn}"
        )
    beta = times_the_right_one(value, wanted)
    if beta is not None:
        require(beta > 0, "your KL is negative: a minus too many (V4). No KL is below 0.")
        cause = "averaged over the 20 latents (V1)" if beta < 0.06 else "1/2 or a sum is off"
        require(
            False,
            f"your KL is {beta:.4g} times the right one, {cause}: beside a summed likelihood you "
            f"train beta = {beta:.4g}. {TOO_LONG}",
        )
    for message, per_latent in _kl_mistakes(mu.detach(), logvar.detach()).items():
        for wrong in (per_latent.sum(dim=1), per_latent.mean(dim=1)):
            require(differs(value, wrong) > 1e-9, message)
    require(False, f"the first KL should be {wanted[0]:.4f}, yours is {value[0]:.4f}.")


@check("vae.reparameterise")
def reparameterise(function):
    """Check mean, width, independence, both gradients, and where the noise comes from."""
    mu = torch.tensor([[1.0, -2.0, 0.0]]).repeat(20_000, 1).double().requires_grad_()
    logvar = torch.tensor([[-2.0, 0.0, 1.0]]).repeat(20_000, 1).double().requires_grad_()
    z = function(mu, logvar, torch.Generator().manual_seed(0))
    require_answer(z)
    require(z.shape == mu.shape, f"z should have mu's shape, yours is {tuple(z.shape)}.")
    require(
        differs(z, mu) > 0,
        "z is mu: nothing is drawn, so this is an autoencoder (V16).",
    )
    require(
        z.std(dim=0).max() > 1e-6,
        "all pictures of the batch share one draw of noise: draw eps with mu's shape, (B, D).",
    )
    std, wanted = z.std(dim=0).detach(), torch.tensor([-1.0, 0.0, 0.5]).double().exp()
    require(
        differs(std, wanted**2) > 0.05,
        "your widths are exp(logvar), the variances; sigma = exp(logvar / 2) (V5). The KL would "
        "charge for another cloud than the one that you draw from.",
    )
    require(
        differs(std, wanted) < 0.05,
        f"at logvar -2, 0, 1 the widths should be 0.37, 1.00, 1.65; yours are "
        f"{', '.join(f'{s:.2f}' for s in std)}.",
    )
    require(
        differs(z.mean(dim=0).detach(), mu[0].detach()) < 0.08,
        "the draws do not lie around mu: eps has mean 0, N(0, 1).",
    )
    eps = ((z - mu) / (logvar / 2).exp()).detach()
    require(
        eps.T.corrcoef().fill_diagonal_(0).abs().max() < 0.1,
        "all latents of a picture share one number of noise: draw eps with mu's shape.",
    )
    tails = (eps**4).mean().item()
    require(
        abs(tails - 3) < 0.25,
        "mean and width of the noise are right, its shape is not that of N(0, 1): the mean of "
        f"eps^4 should be 3, yours is {tails:.2f}. Draw it with torch.randn.",
    )
    require(
        z.requires_grad,
        "no gradient passes: z = mu + sigma * eps, from mu and logvar as they are, not detached.",
    )
    to_mu, to_logvar = torch.autograd.grad(z.sum(), [mu, logvar], allow_unused=True)
    require(
        to_mu is not None and differs(to_mu, torch.ones_like(mu)) < 1e-9,
        "dz / dmu should be 1: add mu itself, not detached; and no gradient passes torch.normal.",
    )
    require(
        to_logvar is not None and differs(to_logvar, (z - mu).detach() / 2) < 1e-6,
        "the gradient does not reach logvar as it should: dz / dlogvar = sigma eps / 2.",
    )
    same = [function(mu, logvar, torch.Generator().manual_seed(s)) for s in (0, 1)]
    require(
        torch.equal(same[0], z) and not torch.equal(same[1], z),
        "the noise should be drawn from rng: the same for one seed, other for another.",
    )
    return "mu + exp(logvar / 2) eps, independent noise from rng; gradients reach mu and logvar"
