"""Checks of lesson 32: the bound of many weights, the loss with beta, and two measures."""

import math

import torch

from course_lib.checks import check, require
from course_lib.checks.probes import differs, normal
from course_lib.settings import CourseError


class Line:
    """z ~ N(0, 1), x ~ N(2 z, 1), one pixel: log p(x) is known. q: the prior, or the posterior."""

    def __init__(self, exact: bool, shift: float = 0.0):
        self.exact, self.shift = exact, shift

    def encode(self, x):
        flat = x.flatten(1)
        if self.exact:
            return 0.4 * flat, torch.full_like(flat, math.log(0.2))
        return 0 * flat, 0 * flat

    def decode(self, z):
        return 2 * z.view(-1, 1, 1, 1)

    def log_likelihood(self, mean, x):
        return self.shift - 0.5 * ((x - mean) ** 2 + math.log(2 * math.pi)).flatten(1).sum(dim=1)

    def log_p(self, x):
        return self.shift - 0.5 * (x.flatten() ** 2 / 5 + math.log(2 * math.pi * 5))


def returned(value):
    """Require a tensor: the first thing that a new function forgets is its return."""
    require(isinstance(value, torch.Tensor), "nothing came back, or no tensor: end with a return.")
    return value


@check("vae_likelihoods.iwae_bound")
def iwae_bound(function):
    """Compare with the exact log p(x) of a line: equal with the exact q, near with many weights."""
    x, rng = normal(6, 1, 1, 1) * 2, torch.Generator().manual_seed(0)
    model = Line(exact=True)
    for k in (1, 8):
        value, wanted = returned(function(model, x, k, rng)), model.log_p(x)
        require(
            value.shape == (6,),
            f"6 pictures should give (6,); yours {tuple(value.shape)}: the mean is over the k "
            "weights only.",
        )
        off = (value - wanted).mean().item()
        require(
            abs(off - math.log(k)) > 1e-6 or k == 1,
            f"with k = {k} yours is ln {k} too large: the log of the sum. Subtract ln k.",
        )
        require(
            differs(value, wanted) < 1e-6,
            f"with the exact posterior as q every weight is p(x), whatever k; with k = {k} yours "
            f"is {off:+.4f} away from ln p(x).",
        )
    same, model = torch.full((400, 1, 1, 1), 1.5).double(), Line(exact=False)
    value, exact = function(model, same, 300, rng), model.log_p(same)[0].item()
    elbo = -0.5 * (1.5**2 + 4 + math.log(2 * math.pi))
    first, again = (function(model, same, 2, torch.Generator().manual_seed(1)) for _ in range(2))
    require(
        torch.equal(first, again),
        "two calls with equally seeded generators differ: draw from rng, not from the global one.",
    )
    require(
        value.std() < 0.3,
        f"with 300 weights yours still varies by {value.std():.2f} from draw to draw: each weight "
        "needs a z of its own, drawn from rng.",
    )
    require(
        abs(value.mean() - elbo) > 0.3,
        f"with 300 weights yours is {value.mean():.3f} on average, still the ELBO ({elbo:.3f}): "
        f"ln p(x) is {exact:.3f}. The mean of the logs is the ELBO again; the log of the mean is "
        "meant.",
    )
    require(
        abs(value.mean() - exact) < 0.03,
        f"with 300 weights yours is {value.mean():.3f} on average; ln p(x) is {exact:.3f}.",
    )
    low = function(Line(exact=True, shift=-2000.0), x, 5, rng)
    require(
        low.isfinite().all(),
        "weights of e^-2000, usual for pictures, gave no finite number: exp is 0 there. Stay in "
        "logarithms, with torch.logsumexp.",
    )
    try:
        function(model, x, 0, rng)
    except CourseError:
        return "the log of the mean weight: exact with the exact q, rises from the ELBO to ln p(x)"
    except (RuntimeError, ValueError, ArithmeticError):
        pass
    require(False, "k = 0 weights have no mean: refuse k < 1 with a CourseError.")


@check("vae_likelihoods.beta_loss")
def beta_loss(function):
    """Check value and slopes for several beta, moments of the warm-up, and either side of free."""
    log_lik, kl = torch.tensor([-90.0, -70.0]), torch.tensor([14.0, 10.0])
    plain = returned(_without_division(function(1.0), log_lik, kl))
    require(
        plain.shape == (),
        f"one number is meant; yours is {tuple(plain.shape)}: the mean over the batch.",
    )
    weights = {b: (function(b)(log_lik, kl, 0.5) - 80).item() / 12 for b in (0.5, 1.0, 4.0)}
    require(
        len({round(w, 4) for w in weights.values()}) > 1,
        "beta 0.5, 1 and 4 give one and the same loss: beta stands in the signature, not in the "
        "loss (V10).",
    )
    require(
        abs(plain.item() + 68) > 1e-4,
        "log_lik is gained, and a loss is what is paid: minus the log-likelihood.",
    )
    for beta, weight in weights.items():
        require(
            abs(weight - beta) < 1e-4,
            f"with a mean KL of 12 and a mean log-likelihood of -80, beta = {beta} should give "
            f"{80 + 12 * beta}; yours is {80 + 12 * weight:.2f}. beta KL - log-likelihood, both "
            "averaged over the batch.",
        )
    rising = function(4.0, warm_up=0.5)
    for fraction, share in ((0.0, 0), (0.125, 0.25), (0.25, 0.5), (0.5, 1), (1.0, 1)):
        weight = (rising(log_lik, kl, fraction).item() - 80) / 12
        require(
            abs(weight - 4 * share) < 1e-4,
            f"beta = 4, warm_up = 0.5: when {fraction} of the training is done, the weight should "
            f"be {4 * share}; yours is {weight:.2f}. It rises from 0 to beta and stays there.",
        )
    _free(function)
    try:
        function(-1.0)
    except CourseError:
        return "beta weighs the KL alone; it rises in the warm-up; below free_bits the slope is 0"
    require(False, "beta = -1 pays for a large KL: refuse it with a CourseError.")


def _without_division(loss, log_lik, kl):
    try:
        return loss(log_lik, kl, 0.5)
    except ZeroDivisionError:
        require(False, "warm_up = 0 means no warm-up, the full beta at once; yours divides by it.")


def _free(function):
    spare = function(2.0, free_bits=8.0)
    for mean, cost, slope in ((12.0, 24.0, 1.0), (5.0, 16.0, 0.0)):
        kl = torch.tensor([mean - 4, mean + 4], requires_grad=True)
        loss = spare(torch.zeros(2, requires_grad=True), kl, 0.5)
        require(
            abs(loss.item() - cost) < 1e-4,
            f"beta = 2, free_bits = 8, KL {mean - 4} and {mean + 4}: the KL costs {cost}; yours "
            f"{loss.item():.2f}. Take the batch's mean first; what it lacks to 8 is filled up, so "
            "the cost is 2 max(8, mean).",
        )
        (grad,) = torch.autograd.grad(loss, kl, allow_unused=True)
        found = 0.0 if grad is None else grad.mean().item()
        require(
            abs(found - slope) < 1e-4,
            f"with a mean KL of {mean} and free_bits = 8 the slope in each KL should be {slope}; "
            f"yours is {found:.2f}.",
        )


@check("vae_likelihoods.active_units")
def active_units(function):
    """Check codes of known variance, some with a mean far from 0, and another threshold."""
    spread = torch.tensor([0.0, 0.05, 0.2, 1.0, 0.08]).double()
    mu = spread * torch.tensor([-1.0, 1.0]).double().repeat(500)[:, None]
    mu = mu + torch.tensor([3.0, 0.0, 0.0, 5.0, 2.0]).double()
    found = function(mu)
    require(
        found.shape == (5,) and found.dtype == torch.bool,
        f"5 codes should give a mask, bool (5,); yours is {found.dtype} {tuple(found.shape)}.",
    )
    require(
        not found[0],
        "the first code is 3 for every picture: it says nothing, far from 0 as it is. Measure how "
        "it varies over the pictures.",
    )
    require(
        not (found[1] or found[4]),
        "standard deviations 0.05 and 0.08 are variances 0.0025 and 0.0064, below 0.01: compare "
        "the variance.",
    )
    require(
        found.tolist() == [False, False, True, True, False],
        f"variances 0, 0.0025, 0.04, 1 and 0.0064: active are the third and fourth; yours "
        f"{found.tolist()}.",
    )
    require(
        function(mu, 0.5).sum() == 1,
        "with threshold 0.5 only one code is active: the threshold is accepted and ignored.",
    )
    return "the codes whose mean varies over the pictures, by more than the threshold"


@check("vae_likelihoods.implied_beta")
def implied_beta(function):
    """Compare with beta = kld_weight N / (2 s^2)."""
    value, wanted = function(0.00025, 3 * 64 * 64), 0.00025 * 12288 / 2
    require(
        abs(value - 2 * wanted) > 1e-9,
        f"yours is {value:.3f}, twice the right one: a Gaussian with s = 1 has half the squared "
        "error in its log-density.",
    )
    require(
        abs(value - wanted) < 1e-9,
        f"kld_weight 0.00025 with 3x64x64 numbers is beta = {wanted:.3f}; yours is {value:.4g}. "
        "Multiply the whole loss by N / 2 (V3).",
    )
    require(
        abs(function(0.1, 784, scale=0.5) - 156.8) < 1e-9,
        f"a weight of 0.1, 784 pixels and s = 0.5 make beta 156.8; yours is "
        f"{function(0.1, 784, scale=0.5):.4g}. The squared error is divided by 2 s^2.",
    )
    return "kld_weight N / (2 s^2): 0.00025 on 3x64x64 is 1.536"
