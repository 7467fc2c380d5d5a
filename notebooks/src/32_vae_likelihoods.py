# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown] tags=["core", "workshop"]
# # 32 Ask a VAE what it believes
#
# You will build three likelihoods for grey pictures, an estimate of how likely a test picture is, the knob beta with its two
# treatments, and a VAE that changes a cat's paper and fur and keeps the rest.
#
# ![Cats, their reconstructions, and the same codes told another paper and fur](../data/pictures/32-048.jpg)
#
# | | |
# |---|---|
# | **You need** | the VAE, its ELBO and training loop (lesson 31); nats and bits/dim (01); for the deeper half conditions (22) and pixel shuffle (24) |
# | **Time** | 70 minutes for the core, 45 more for the rest; the notebook itself runs in 2 minutes on two cores |
# | **Machine** | no GPU, no network, 1.2 GB of memory |
#
# When you are through, you can
#
# 1. say what a Bernoulli, a Gaussian and a discretised logistic mean for greys, and which of their numbers may be compared,
# 2. write the last one, so that it sums to 1 and stays finite,
# 3. estimate the likelihood of a test picture with k weights, and say on which side of the truth you are,
# 4. write a loss with beta, warm-up and free bits, and count the codes that still speak,
# 5. (deeper) undo a hidden beta, train a VAE that is told the class, and move a style from digit to digit.
#
# > **Remember.** A likelihood is nats *for something*: for bits, for bytes, for a point on a scale. Say for what, and whether
# > it is a bound, before you compare two.

# %% tags=["core", "workshop", "export"]
import copy
import json
import math
from dataclasses import dataclass, replace
from statistics import mean, stdev

import torch
from torch import nn
from torch.distributions import Normal
from torch.nn import functional as F

from course_lib import cats, checks, datasets, device, explore, judges, plots, trained
from course_lib.built import score_a_generator, vae  # written in lessons 01 and 31
from course_lib.built.conditional_gan import one_hot  # in 22
from course_lib.built.stable_gans import conv3  # and in 24
from course_lib.metrics import bits_per_dim, psnr
from course_lib.settings import ROOT, CourseError, data_name, profile


@dataclass
class Config:
    """The numbers of lesson 32; `profile` picks the value for the profile that you run in."""

    steps: int = profile(smoke=15, standard=1500, full=20000)
    batch_size: int = 128
    lr: float = 1.5e-3  # at the start; falls along half a cosine to 0
    average: float = 0.99  # how slowly the averaged weights follow
    measure_every: int = 100  # steps between two looks for nan
    seed: int = 0


# %% tags=["core", "workshop"]
cfg, dev = Config(), device.pick_device()
rng = device.generator(cfg.seed, dev)  # noise, data and order
torch.manual_seed(cfg.seed)  # the layers' first weights
train = datasets.load(data_name(), "train", size=profile(smoke=2000, standard=None))
test = datasets.load(data_name(), "test", size=profile(smoke=200, standard=2000))
images, greys = train.images.to(dev), test.float(dev)  # bytes to train on; test pictures in 0..1
assert images.shape[1:] == (1, 28, 28) and images.max() == 255 and greys.max() == 1

# %% [markdown] tags=["core", "workshop"]
# ## 1 How likely is a grey?
#
# Lesson 31 tossed a coin for every pixel, and its likelihood was honest: $p^b (1 - p)^{1 - b}$ for a bit $b$ sums
# to $1$. Most programs skip the toss and put the grey $x$ itself in place of $b$. Pretend that
#
# $$ q(x) = p^x (1 - p)^{1 - x}, \qquad x = 0, \tfrac1{255}, \dots, 1 $$
#
# were the probability of a byte. **Predict.** What do the 256 numbers sum to for $p = 0.5$? Can you mend it with a constant?

# %% tags=["core", "workshop"]
grid = torch.arange(256).double().view(-1, 1, 1, 1) / 255  # 256 pictures of one pixel: all bytes
for p in (0.01, 0.1, 0.5):
    share = vae.bernoulli_log_likelihood(torch.full_like(grid, p).logit(), grid).exp()
    print(f"p = {p}: sum {share.sum():.1f}")

# %% [markdown] tags=["core", "workshop"]
# 128 for one half, and it changes with $p$: no constant mends it (a factor that depends on $p$ does: the continuous Bernoulli, Loaiza-Ganem and
# Cunningham 2019). Its nats are about lesson 31's tosses. Two ways to a likelihood of greys:
#
# **A density.** Let $x$ lie on a line, normally distributed around the decoder's mean $m$ with deviation $s$:
#
# $$ \ln p(x) = -\frac{(x - m)^2}{2 s^2} - \ln s - \tfrac12 \ln 2\pi . $$
#
# A density is not a probability: it is one *per unit of x*. Where $s$ is small it exceeds 1; then its logarithm is positive. In other units, $y = 255\,x$, lesson 20's rule for
# densities gives $p_y(y) = p_x(x) / 255$: each pixel has $\ln 255 = 5.54$ nats less, a picture of 784 pixels 4,344, for the same model and the same pictures.
#
# | symbol | variable | shape |
# |---|---|---|
# | $x$; $m$ | `x`; `mean` | (B, C, H, W); x in 0..1 |
# | $s$, as $\ln s$ | `log_scale` | broadcasts to x, e.g. (C, 1, 1) |
# | $h$; $\ln \sigma(a)$, $\ln \sigma(-b)$ | `half`; `below`, `above` | number; (B, C, H, W) |
# | $w_i$, as $\ln w_i$; $k$ | `log_w`; `k` | (k, B); number |
# | $\beta$ | `beta` | number |
#
# `in_range` refuses pixels outside 0..1, whose units nobody knows. Read both: $\ln s$ is subtracted for each *pixel*, before the sum.

# %% tags=["core", "workshop", "export"]
def in_range(x):
    """Return x if all of it lies in 0..1; else CourseError with the two ends."""
    low, high = x.aminmax()
    if low >= 0 and high <= 1:
        return x
    raise CourseError(f"Pixels are 0..1 here; these reach from {low:.3g} to {high:.3g}.")


def gaussian_log_likelihood(mean, x, log_scale):
    """Return ln p(x | z) (B,) in nats, a density of x (B, C, H, W) in 0..1; log_scale: ln s."""
    far = (in_range(x) - mean) / log_scale.exp()
    each = -far.square() / 2 - log_scale - math.log(2 * math.pi) / 2
    return each.flatten(1).sum(dim=1)


# %% [markdown] tags=["core", "workshop"]
# **A probability of bytes.** Give each byte the share of a density that lies between it and its neighbours: from $x - h$ to $x + h$, $h = \frac{1}{2 \cdot
# 255}$; and black all that is below, white all above (Salimans et al. 2017, section 2.1). That sums to 1 whatever the density. The *logistic* one
# is handy, since its distribution function is the sigmoid: with $a = (x + h - m)/s$ and $b = (x - h - m)/s$
#
# $$ P(x) = \sigma(a) - \sigma(b), \qquad P(0) = \sigma(a), \qquad P(1) = 1 - \sigma(b) = \sigma(-b) . $$
#
# A byte's upper border is the next one's lower: in the sum all but 1 cancels. But far from $m$ both sigmoids are 0, or both 1, in floating
# point: their difference is 0, its logarithm $-\infty$. So write
#
# $$ \sigma(a) - \sigma(b) = \frac{e^a - e^b}{(1 + e^a)(1 + e^b)} = \sigma(a)\, \sigma(-b)\, (1 - e^{-(a - b)}), \qquad a - b = 2h / s : $$
#
# three factors, each with a logarithm that is finite. **Your turn (★★, 10 min).**
#
# <details><summary>Hint 1</summary>Divide by <code>log_scale.exp()</code>. <code>F.logsigmoid</code> of a and of -b; the third factor's logarithm is
# <code>torch.log(-torch.expm1(-2 * half / s))</code>, where expm1(t) is exp(t) - 1. <code>torch.where(condition, this, else that)</code> picks, pixel by pixel.</details>
# <details><summary>Hint 2</summary><code>inner = below + above + ___</code>; <code>torch.where(x &lt; half, ___, torch.where(x > 1 - half,
# ___, inner))</code>, summed as in the Gaussian.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def discretised_logistic_log_likelihood(mean, x, log_scale):
    """Return ln p(x | z) (B,) in nats, a probability of bytes / 255. Salimans (2017), 2.1."""
    half = 0.5 / 255
    ### TODO: log of the share between x - half and x + half; the two ends apart; summed
    ### BEGIN SOLUTION
    below = F.logsigmoid((in_range(x) + half - mean) / log_scale.exp())
    above = F.logsigmoid(-(x - half - mean) / log_scale.exp())
    inner = below + above + torch.log(-torch.expm1(-2 * half / log_scale.exp()))
    each = torch.where(x < half, below, torch.where(x > 1 - half, above, inner))
    return each.flatten(1).sum(dim=1)
    ### END SOLUTION


# %% [markdown] tags=["core", "workshop"]
# Test both on one pixel with mean 0.06, near black. **Predict.** What does each sum to, over the 256 bytes? (The Gaussian, times $2h$: the width of a byte.)

# %% tags=["core", "workshop"]
discretised_logistic_log_likelihood = (
    checks.vae_likelihoods.discretised_logistic_log_likelihood(discretised_logistic_log_likelihood))
pixel, wide = torch.full_like(grid, 0.06), torch.tensor(-3.0).double()
shares = {"Gaussian x width": gaussian_log_likelihood(pixel, grid, wide).exp() / 255,
          "logistic": discretised_logistic_log_likelihood(pixel, grid, wide - 0.6).exp()}
fig = plots.curves({k: v[:80] for k, v in shares.items()}, log=True, xlabel="byte", ylabel="share")
print({name: round(share.sum().item(), 4) for name, share in shares.items()})

# %% [markdown] tags=["core", "workshop"]
# The logistic sums to 1: byte 0 took in all that lies below. The Gaussian leaves a part of its mass on bytes that do not exist.
#
# Now the simplest model of pictures: every picture is the mean picture plus noise of one size, each likelihood with its best scale; and two models of
# lesson 01, which speak of bytes, too. **Predict.** Which of these numbers are about the same thing?

# %% tags=["core", "workshop"]
centre = images.sum(dim=0).to(greys) / len(images) / 255
scales = [torch.tensor(k / 4, device=dev) for k in range(-12, 5)]  # one number, so chosen on test
both = gaussian_log_likelihood, discretised_logistic_log_likelihood
gauss, logistic = (max(f(centre, greys, s).mean().item() for s in scales) for f in both)
nats = {f"Gaussian, pixels {unit}": gauss - 784 * math.log(size)
        for unit, size in (("0..1", 1), ("-1..1", 2), ("0..255", 255))} | {"logistic": logistic}
for kind in (score_a_generator.IndependentPixels, score_a_generator.NeighbourTable):
    nats[kind.__name__] = kind().fit(images.cpu()).log_likelihood(test.images).mean().item()
for name, value in nats.items():
    print(f"{name:24}{value:9.1f} nats, {bits_per_dim(-value, 784):6.3f} bits/dim")
assert nats["Gaussian, pixels 0..255"] < -784 * math.log(256) < nats["logistic"]

# %% [markdown] tags=["core", "workshop"]
# The last four. Three times one model, and the nats differ by thousands: read no Gaussian's nats without its units. Those of 0..255
# may stand beside probabilities of bytes, for their unit is a byte's width. They are worse than no opinion, 8 bits/dim! Most pixels are
# exactly black: the line gives black the width of one byte, the probability all that lies below. That is why one discretises.
#
# ## 2 Learn the scale
#
# Where does $s$ come from? From the data: it is one more parameter, and the best Gaussian one is the root of the mean squared error (set the slope in $\ln s$,
# $(x - m)^2 / s^2 - 1$, to 0 in the mean). One for each colour channel is the rule. One for each pixel would be fatal for a density: a corner that is always black has
# error 0, and the density rises without a bound as its $s \to 0$. (A probability cannot.)
#
# Who fixes $s$ instead fixes a **hidden beta**. Multiply reconstruction and KL by $2 s^2$: what is left is $\text{squared error} + 2 s^2\, \mathrm{KL}$, and $s$
# decides how much the KL counts.
#
# ## 3 How likely is a test picture?
#
# The ELBO of lesson 31 is a bound. How far below $\ln p(x)$ is it? Draw $z$ from $q(z | x)$ and weigh it:
#
# $$ w = \frac{p(x, z)}{q(z | x)}, \qquad \mathbb E_q\, w = \int q(z | x) \frac{p(x, z)}{q(z | x)}\, dz = p(x) . $$
#
# The weight is right on average. Its logarithm is not: $\mathbb E \ln w \le \ln \mathbb E\, w$ (Jensen), and the left side is the ELBO. So average *first*, over k
# weights, then take the logarithm (Burda et al. 2016, equation 8):
#
# $$ L_k = \mathbb E\, \ln \frac1k \sum_{i=1}^k w_i, \qquad L_1 = \text{ELBO} \le L_2 \le \dots \le \ln p(x) . $$
#
# (It rises: a mean of $k$ is the mean of the $k$ means that leave one out. Apply Jensen to those.)
#
# $w$ is about $e^{-90}$ for bits, and 0 in float32 for bytes. So stay in logarithms: `torch.logsumexp`. **Your turn (★★, 5 min).** `log_weights` is there.
#
# <details><summary>Hint 1</summary>k log-weights for each picture, each with new draws. What does dividing a sum by k do to its logarithm?</details>
# <details><summary>Hint 2</summary><code>log_w = torch.stack([___ for _ in range(k)])</code>; <code>torch.logsumexp(log_w, dim=0) - ___</code>.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def log_weights(model, x, rng):
    """Return ln p(x, z) / q(z | x) (B,) in nats at one z drawn from q; x may be a pair (x, c)."""
    mu, logvar = model.encode(x)
    z = vae.reparameterise(mu, logvar, rng)
    ratio = Normal(0.0, 1.0).log_prob(z) - Normal(mu, torch.exp(logvar / 2)).log_prob(z)
    picture, *told = x if isinstance(x, tuple) else (x,)
    return model.log_likelihood(model.decode(z, *told), picture) + ratio.sum(dim=1)


@torch.no_grad()
def iwae_bound(model, x, k, rng):
    """Return the log of the mean of k >= 1 weights (B,), nats. Burda et al. (2016), eq. 8."""
    if k < 1:
        raise CourseError(f"An average needs at least one weight, not k = {k}.")
    ### TODO: k log-weights for each picture, and the log of their mean
    ### BEGIN SOLUTION
    log_w = torch.stack([log_weights(model, x, rng) for _ in range(k)])  # (k, B)
    return torch.logsumexp(log_w, dim=0) - math.log(k)
    ### END SOLUTION


# %% [markdown] tags=["core", "workshop"]
# Test it on lesson 31's toy, where the truth is known (N(mean, variance)): $z \sim N(0, 1)$, one pixel $x \sim N(z, 1)$, so $x \sim N(0, 2)$. At $x = 1$ the posterior is
# $N(\frac12, \frac12)$; let $q$ have twice the variance, $N(\frac12, 1)$. **Predict.** How many weights close the gap? And what would the mean of 1,000 *logarithms* say, which many a program reports?

# %% tags=["core", "workshop"]
iwae_bound = checks.vae_likelihoods.iwae_bound(iwae_bound)
line = vae.VAE(lambda x: (x.flatten(1) / 2, torch.zeros(len(x), 1)), lambda z: z[:, :, None, None],
               lambda mean, x: gaussian_log_likelihood(mean, x, torch.zeros(1)))
one, draw = torch.ones(2000, 1, 1, 1), device.generator(1)  # x = 1, two thousand times
exact, ks = -math.log(4 * math.pi) / 2 - 1 / 4, (1, 10, 100, profile(smoke=200, standard=1000))
bounds = [iwae_bound(line, one, k, draw).mean().item() for k in ks]
print(f"exact {exact:.4f};", *(f"k = {k}: {b:.4f};" for k, b in zip(ks, bounds, strict=True)))
assert bounds[0] < bounds[1] < bounds[2] < exact + 0.002 and abs(bounds[3] - exact) < 0.002

# %% [markdown] tags=["core", "workshop"]
# Ten close most of it, a hundred nearly all. The mean of 1,000 logarithms is the line of k = 1 again, the ELBO, a thousand times as dear.
#
# Now real pictures, binarised, with lesson 31's networks at half their width. **Predict.** Is the gap larger or smaller than in the toy, and is 1,000 enough?

# %% tags=["core", "workshop"]
def grow(cfg, model, feed, loss=vae.elbo_loss, label="training"):
    model, slow = (copy.deepcopy(model).to(dev) for _ in range(2))  # slow: the averaged weights
    with device.fast_autocast(dev):
        slow.history = vae.train_vae(cfg, model, feed, rng, loss=loss, averaged=slow, label=label)
    return slow.eval()


dense = vae.VAE(vae.Encoder(16, 256), vae.Decoder(16, 256))
plain = grow(cfg, dense, feed := vae.binary_batches(images, cfg.batch_size, rng))
bits = vae.binarise(test.images.to(dev), rng)
nats = [iwae_bound(plain, bits[:100], k, rng).double().mean().item() for k in ks]
fig = plots.curves({"bound": (ks, nats)}, xlabel="k", log="x", ylabel="nats, 100 test pictures")
print(f"k = {ks[3]} gains {nats[3] - nats[0]:.2f} nats over the ELBO, {nats[3] - nats[2]:.2f} over 100")
assert nats[0] < nats[1] < nats[2] < nats[3] + 0.5

# %% [markdown] tags=["core", "workshop"]
# Larger, by nats, and the curve has not come to rest: the posterior is no cloud along the axes, or the encoder misses the best one.
# "The likelihood" of a VAE is always a bound, so say which k.
#
# ## 4 Beta
#
# Weigh the KL (Higgins et al. 2017): $\;\mathcal L_\beta = \beta\, \mathrm{KL} - \ln p(x | z)$. The KL is what a code costs, in nats; the other term what is lost. $\beta$ is the price of a nat
# of code in nats of reconstruction. At the best code $\mathcal L_\beta$ has slope 0: one more nat of KL then saves just $\beta$ nats of reconstruction. High prices leave short codes and blurred pictures.
# From lesson 31: for $\beta \ge 1$ $-\mathcal L_\beta$ is still a bound on $\ln p(x)$, if a worse one; below 1 it need not be.
#
# Two treatments for what section 5 calls collapse. **Warm-up:** the weight rises from 0 to $\beta$ over the first part of the training, so that
# the code is in use before it costs. **Free bits** (Kingma et al. 2016, appendix; here with all codes in one group): the first $\lambda$ nats cost the same whether used or not,
#
# $$ \text{cost} = \beta \max(\lambda,\; \text{mean KL of the batch}) . $$
#
# **Your turn (★★, 10 min).** `fraction` is the part of the training that is done.
#
# <details><summary>Hint 1</summary>Two lines: the weight at this moment, at most beta (warm_up = 0 means none); and the sum, with the KL's mean held above free_bits.</details>
# <details><summary>Hint 2</summary><code>beta * min(1.0, ___) if warm_up else beta</code>; <code>kl.mean().clamp(min=___)</code>; both
# terms are means over the batch.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def beta_loss(beta, warm_up=0.0, free_bits=0.0):
    """Return a loss for train_vae; warm_up: a share of the training, free_bits: nats."""
    if beta < 0:
        raise CourseError(f"beta = {beta} would pay for a large KL; it must be 0 or more.")

    def loss(log_lik, kl, fraction):
        ### TODO: the weight of this moment; the KL, not below free_bits
        ### BEGIN SOLUTION
        weight = beta * min(1.0, fraction / warm_up) if warm_up else beta
        return weight * kl.mean().clamp(min=free_bits) - log_lik.mean()
        ### END SOLUTION

    return loss


# %% tags=["core", "workshop"]
beta_loss = checks.vae_likelihoods.beta_loss(beta_loss)

# %% [markdown] tags=["core", "workshop"]
# Report the ELBO, with $\beta = 1$, whatever you trained with.
#
# Now sweep it: five betas, as `bench --experiment 32` ran it once, with three seeds on strokes. ("bound" has k = 100, for the first 200 test
# pictures; the other curves are of all.) **Predict.** Which beta has the best ELBO? The best reconstruction? And what does a further nat of code save, from one beta to the next?

# %% tags=["core", "workshop"]
def middle(values):  # mean and spread over seeds
    return mean(values), stdev(values) if len(values) > 1 else 0.0


results = json.loads((ROOT / "data" / "results" / "32.json").read_text(encoding="utf-8"))
drawn = results["data"]["strokes"]  # the set with true factors, and most seeds
sweep = results["data"].get(data_name(), drawn)["beta"]
lines = {m: ([float(b) for b in sweep], *zip(*(middle(row[m]) for row in sweep.values()), strict=True))
         for m in ("reconstruction", "kl", "elbo", "bound")}
for pair in (("reconstruction", "kl"), ("elbo", "bound")):
    fig = plots.curves({m: lines[m] for m in pair}, xlabel="beta", ylabel="nats", log="x")
(betas, lost, _), (_, kl, _) = lines["reconstruction"], lines["kl"]
saved = [(b - a) / (c - d) for a, b, c, d in zip(lost, lost[1:], kl, kl[1:], strict=False)]
print("from beta to beta, a nat of code saves", ", ".join(f"{nat:.2f}" for nat in saved), "nats")
assert all(a < nat < b for a, nat, b in zip(betas, saved, betas[1:], strict=False))
others = [row for b, row in sweep.items() if b != "1"]  # beta 1 is the best of every seed
assert all(min(sweep["1"][m]) > max(row[m]) for row in others for m in ("elbo", "bound"))

# %% [markdown] tags=["core", "workshop"]
# Beta is a price that one sees: what a nat saves lies between the two betas, each time. So the ELBO and the bound, where a nat counts as a nat on either side, are best at 1, in
# every seed: below it nats are bought that save less than they cost, above it nats are missing that would save more. The
# best reconstruction has the lowest price: alone it is no measure. (Lower is better for the first two curves, higher for the others.)

# %% [markdown] tags=["core", "workshop"]
# ## 5 Collapse
#
# At a high price no code is worth buying: $q(z | x) = N(0, 1)$ for every picture, KL 0, and the decoder draws one grey average of all digits. This is **posterior collapse**. The other road there is said to be a
# decoder so strong that it needs no code. A code is called **active** if its mean varies over the
# pictures, by a variance above 0.01 (Burda et al. 2016).
#
# Beta 20, for a few hundred steps, alone and with each treatment; `plain` is section 3's, trained longer. **Predict** the active codes, of 16, and how the KL runs in each training.

# %% tags=["core", "workshop", "export"]
def active_units(mu, threshold=0.01):
    """Return which codes speak: bool (D,), where mu (N, D) varies. Burda et al. (2016), 5.2."""
    return mu.var(dim=0) > threshold


# %% tags=["core", "workshop"]
arms, runs = {"plain, beta 1": None, "beta 20": beta_loss(20), "free bits": beta_loss(20, free_bits=8.0),
              "warm-up": beta_loss(20, warm_up=0.5)}, {}
short, shown = replace(cfg, steps=profile(smoke=12, standard=400)), {"real": bits[:10].cpu()}
for name, loss in arms.items():
    model = grow(short, dense, feed, loss, name) if loss else plain
    mu, logvar = (part.detach() for part in model.encode(bits))
    shown[name], runs[name] = model.decode(mu[:10]).detach().sigmoid().cpu(), model.history["kl"]
    kl = vae.kl_to_standard_normal(mu, logvar).mean()
    print(f"{name}: KL {kl:.2f} nats, {active_units(mu).sum()} active codes")
fig = plots.compare(shown, value_range=(0, 1), columns=10, scale=2)
fig = plots.curves(runs, xlabel="step", ylabel="KL of the batch, nats", log=True)

# %% [markdown] tags=["core", "workshop"]
# Below, three seeds, more steps, the same for all rows. The *strong* decoder also sees the 24 pixels before each in a 7x7 window; its beta is 1.

# %% tags=["core", "workshop"]
measures, arms = ("active", "kl", "reconstruction", "elbo"), drawn["collapse"]
print(f"{'':25}", *(f"{m:>14}" for m in measures))
for name, row in arms.items():
    cells = ["{:.1f} ± {:.1f}".format(*middle(row[m])) for m in measures]
    print(f"{name.replace('strong', 'strong, beta 1'):25}", *(f"{cell:>14}" for cell in cells))
kl, elbo = ({name: mean(row[m]) for name, row in arms.items()} for m in ("kl", "elbo"))
assert kl["beta 20, warm-up"] < 1 and all(-90.5 < elbo[k] < -89 for k in elbo if "strong" in k)
assert 7 < kl["beta 20, free bits"] < 9 < kl["strong"] < 11 < 14 < kl["strong, warm-up"] < 20 < kl["beta 1"]

# %% [markdown] tags=["core", "workshop"]
# Beta 20 leaves next to nothing: a fraction of a nat, and one average digit. **Warm-up hardly saves it**: the curve shows a hill while the code is cheap, and
# the fall at the full price. Some codes still pass 0.01, but all together carry less than a nat: read the KL beside the count. Free bits hold the KL near the 8
# nats that they were told, and the digits are digits again.
#
# The strong decoder does not collapse at beta 1. It spends about half of the nats of `beta 1` on its code, for a better ELBO. Here warm-up *does* fill
# the code, by half as much again; 8 free bits, fewer than it uses anyway, change nothing. And the ELBO of all three is the same, within the spreads: a likelihood
# does not say how much should go through the code.

# %% [markdown] tags=["deeper"]
# ## 6 What do single codes mean?
#
# A larger beta is said to *disentangle*: one code for slant, one for width. `strokes` knows the true factors, so it was measured (`course_lib/experiments/factors.py`). What does code
# $j$ tell of factor $f$? The **mutual information** $I = \sum p(f, z_j) \ln \frac{p(f, z_j)}{p(f)\, p(z_j)}$ of their bins (ten equally full ones), as a share of the factor's entropy.
# The **mutual information gap** (Chen et al. 2018, section 4.1) is the best code's share minus the second best's: 1 if every factor has one code of its own.
#
# **Predict.** Give it the best codes there are: the *true factors themselves*, each in a code of its own. Is the gap 1?

# %% tags=["deeper"]
for title, gaps in drawn["nested"].items():
    print(f"{title}: mean {mean(gaps.values()):.2f}", {k: round(gap, 2) for k, gap in gaps.items()})

# %% [markdown] tags=["deeper"]
# In one form, yes. Over all digits, no, with codes that could not be better: the digit's gap is 0. Every letter form belongs to one digit, so the code for the form tells
# the digit, too. **Nested factors break the gap**; it measures something only among independent ones. So: one class, one form, the open 4, its four
# factors drawn independently; VAEs with ten codes, three seeds. **Predict** the gap by beta.

# %% tags=["deeper"]
found, ticks = drawn["factors"], list(drawn["nested"]["one form"])
gaps = {name: row["gap"] for name, row in found.items() if name != "tables"}
fig = plots.bars({name: middle(g) for name, g in gaps.items()}, ylabel="information gap, by beta")
fig = plots.heatmap(found["tables"]["2"], xlabel="code, beta 2, first seed", ylabel="",
                    ticks=(ticks, range(10)), unit="share")
assert 0.3 > min(gaps["2"] + gaps["4"]) > max(gaps["0.5"] + gaps["1"] + gaps["8"])
assert max(max(table[ticks.index("rotation")]) for table in found["tables"].values()) < 0.05

# %% [markdown] tags=["deeper"]
# It about doubles from beta 1 to 2 and 4, in every seed, and falls again at 8: there is something in the claim. But all of it is far from 1: in the heat map the best code tells less
# than a third of any factor, and rotation is found by none, at no beta. It tilts
# the 4 much as slant does: perhaps codes hold both together. Nothing in the loss prefers *these* axes to others that explain the pictures as well.

# %% [markdown] tags=["deeper", "workshop"]
# ## 7 Tell it the class
#
# Give both networks a condition $c$, here the class: then everything in lesson 31's derivation holds for each $c$ on its own,
#
# $$ \ln p(x | c) \ge \mathbb E_{q(z | x, c)} \ln p(x | z, c) - \mathrm{KL}\big(q(z | x, c)\, \|\, p(z)\big) , $$
#
# with the same $p(z)$ for every class (Kingma et al. 2014; Sohn, Lee and Yan 2015 let $p(z | c)$ depend on $c$). A nat spent in $z$ on what $c$ says already is wasted. So $z$ should hold the rest: how thick, how slanted. But only the
# price of the KL asks for it.
#
# The mean is not squeezed into 0..1 here: only a mean well below 0 makes black nearly certain. So a picture is the mean, clamped; `sample` is written anew, and `iwae_bound`
# takes a pair. `LearnedScale` holds section 2's $\ln s$.
#
# The networks work at a quarter of the side, by pixel (un)shuffle as in lesson 24, without norms; 64 pixels need one halving more.

# %% tags=["deeper", "workshop", "export"]
class LearnedScale(nn.Module):
    """A likelihood (B,) of (the decoder's output, x); its scales, one a channel, are learnt."""

    def __init__(self, log_likelihood, channels=1, start=-2.0):
        super().__init__()
        self.log_likelihood = log_likelihood
        self.log_scale = nn.Parameter(torch.full((channels, 1, 1), start))

    def forward(self, mean, x):
        return self.log_likelihood(mean, x, self.log_scale.clamp(-7, 7))


class Block(nn.Module):
    """Add to h (B, width, H, W) what two convolutions make of it; the second starts at zero."""

    def __init__(self, width):
        super().__init__()
        self.first, self.second = conv3(width, width), conv3(width, width)
        nn.init.zeros_(self.second.weight)

    def forward(self, h):
        return h + self.second(F.silu(self.first(F.silu(h))))


# %% tags=["deeper", "workshop", "export"]
class ConditionalEncoder(nn.Module):
    """Turn x (B, channels, size, size) and c (B, K) into mu, logvar of q(z | x, c), (B, latent)."""

    def __init__(self, latent, conditions=0, channels=1, size=28, width=64):
        super().__init__()
        side, layers = size // 4, [nn.PixelUnshuffle(4), conv3(16 * channels, width), Block(width)]
        if side > 8:
            layers += [nn.Conv2d(width, 2 * width, 4, stride=2, padding=1), Block(2 * width)]
            side, width = side // 2, 2 * width
        self.layers = nn.Sequential(*layers, nn.SiLU(), nn.Conv2d(width, 12, 1), nn.Flatten())
        self.out = nn.Linear(12 * side**2 + conditions, 2 * vae.latent_size(latent))

    def forward(self, x, c):
        h = self.layers(2 * x - 1)
        mu, logvar = self.out(torch.cat([h, c], dim=1)).float().chunk(2, dim=1)
        return mu, vae.bounded(logvar)


# %% tags=["deeper", "workshop", "export"]
class ConditionalDecoder(nn.Module):
    """Turn codes z (B, latent) and c (B, K) into means (B, channels, size, size) of p(x | z, c)."""

    def __init__(self, latent, conditions=0, channels=1, size=28, width=64):
        super().__init__()
        self.latent, side, middle = vae.latent_size(latent), size // 4, []
        if side > 8:
            middle = [Block(2 * width), nn.SiLU(), conv3(2 * width, 4 * width), nn.PixelShuffle(2)]
            side = side // 2
        layers = [nn.Linear(latent + conditions, 16 * side**2), nn.Unflatten(1, (16, side, side)),
                  conv3(16, 2 * width if middle else width), *middle, Block(width), nn.SiLU()]
        self.layers = nn.Sequential(*layers, conv3(width, 16 * channels), nn.PixelShuffle(4))

    def forward(self, z, c):
        return self.layers(torch.cat([z, c], dim=1)).float()


# %% tags=["deeper", "workshop", "export"]
class ConditionalVAE(vae.VAE):
    """A VAE of p(x | c): a batch is a pair x (B, C, H, W) in 0..1 and c (B, K)."""

    def encode(self, pair):
        return self.encoder(*pair)

    def decode(self, z, c):
        return self.decoder(z, c)

    def elbo_terms(self, pair, rng):
        mu, logvar = self.encode(pair)
        mean = self.decode(vae.reparameterise(mu, logvar, rng), pair[1])
        return self.log_likelihood(mean, pair[0]), vae.kl_to_standard_normal(mu, logvar)

    @torch.no_grad()
    def sample(self, c, rng):
        """Return pictures (B, C, H, W) in 0..1 of c (B, K), at codes from the prior."""
        z = torch.randn(len(c), self.decoder.latent, generator=rng, device=c.device)
        return self.decode(z, c).clamp(0, 1)


@torch.no_grad()
def reconstruct(model, x, c):
    """Return the picture (B, C, H, W) in 0..1 that the code of x stands for, given c (B, K)."""
    mu, _ = model.encode((x, c))
    return model.decode(mu, c).clamp(0, 1)


# %% tags=["deeper", "workshop", "export"]
def class_codes(labels, classes):
    """Return (N, K) float, a 1 at each label. CourseError: a label out of range."""
    if len(bad := labels[(labels < 0) | (labels >= classes)]):
        raise CourseError(f"Label {bad[0].item()} is none of 0..{classes - 1}.")
    return torch.eye(classes, device=labels.device)[labels]


def pair_batches(images, codes, batch_size, rng):
    """Yield pairs x (B, C, H, W) in 0..1, c (B, K). CourseError: a column that no picture has."""
    if len(empty := (codes.sum(dim=0) == 0).nonzero()):
        raise CourseError(f"No picture has condition {empty[0].item()}: the model cannot learn it.")
    for x, c in datasets.batches(images, codes, batch_size=batch_size, generator=rng):
        yield x.float() / 255, c


# %% [markdown] tags=["deeper", "workshop"]
# Greys this time, with the discretised logistic: some nats of code beside nearly a thousand for pixels. Then the code of a test digit (its own class told), decoded as
# all ten. **Predict.** Which digit appears with beta 1? And with 20?

# %% tags=["deeper", "workshop"]
codes, c = (class_codes(part.labels.to(dev), 10) for part in (train, test))
few, judge = replace(cfg, steps=profile(smoke=8, standard=500), lr=2e-3), judges.judge(data_name())
styles, obeyed = {}, {}
for beta in (1, 20):
    nets = ConditionalEncoder(16, 10, width=32), ConditionalDecoder(16, 10, width=32)
    digits = ConditionalVAE(*nets, LearnedScale(discretised_logistic_log_likelihood))
    feed = pair_batches(images, codes, cfg.batch_size, rng)
    digits = grow(few, digits, feed, beta_loss(beta), f"beta {beta}")
    with torch.no_grad():
        mu, _ = digits.encode((greys, c))
        styled = [digits.decode(mu, c.roll(k, dims=1)).clamp(0, 1) for k in range(10)]
        log_lik, kl = (part.mean().item() for part in digits.elbo_terms((greys, c), rng))
    read = [judge.classify((255 * x).round().byte().cpu()).argmax(dim=1) for x in styled]
    told = [((read[k] - test.labels) % 10 == k).double().mean().item() for k in range(1, 10)]
    styles[beta], obeyed[beta] = [x[:3] for x in styled], mean(told)
    print(f"KL {kl:.1f} nats, {bits_per_dim(kl - log_lik, 784):.3f} bits/dim; read as asked "
          f"{obeyed[beta]:.1%}")

# %% tags=["deeper", "workshop"]
sheet = [[x[n] for x in (greys, *(styled[(k - test.labels[n]) % 10] for k in range(10)))]
         for styled in styles.values() for n in range(3)]
fig = plots.show_images(torch.stack(sum(sheet, [])).cpu(), value_range=(0, 1), columns=11, scale=2,
                        caption="A test digit, and its code decoded as 0 to 9. Below: beta 20.")
assert obeyed[1] < profile(smoke=1.1, standard=0.3) and obeyed[20] > profile(smoke=0, standard=0.8)

# %% [markdown] tags=["deeper", "workshop"]
# With beta 1 the old digit stays, whatever is asked: the code says the class again, at a price that nobody notices beside the pixels', and the decoder believes it. With 20 the class
# obeys, and thick digits stay thick: one $z$, ten digits, one pen. A condition is not obeyed because it was given. The price of obedience:
# more bits/dim. (Compare with those of section 1.)
#
# ## 8 Cats
#
# The same three classes, at 64 pixels in colour, told six attributes: 25 columns of zeros and ones. They need more than a lesson's minutes, so here are **shipped
# weights**, made by `python3 -m course_lib.experiments.vae_likelihoods` with `train_vae`, these classes and all 20,000 cats; the first line says in how many CPU seconds, two thirds of them with beta 1, the rest with 10 (8 bits/dim are no opinion).
#
# **Predict.** Keep a code and tell the decoder *sea* paper, or *black* fur: what happens? And to a new code, drawn from N(0, 1), with the same wishes?

# %% tags=["deeper", "workshop", "export"]
WISHES = ("fur", "pattern", "background", "pose", "head", "wear")


def cats_vae(latent=48):
    """Return a VAE of 64x64 cats given WISHES: discretised logistic, a scale for each channel."""
    k = sum(len(cats.CHOICES[name]) for name in WISHES)
    sizes = {"conditions": k, "channels": 3, "size": 64, "width": 32}
    nets = ConditionalEncoder(latent, **sizes), ConditionalDecoder(latent, **sizes)
    return ConditionalVAE(*nets, LearnedScale(discretised_logistic_log_likelihood, channels=3))


# %% tags=["deeper", "workshop"]
new = datasets.load("cats", "test", size=profile(smoke=100, standard=500))
trained.load("catvae", tomcat := cats_vae().to(dev), data="cats")
x, c, furs = new.float(dev), one_hot(new.factors, WISHES).to(dev), new.factors["fur"].to(dev)


def tell(**asked):
    options = {k: torch.full((len(x),), cats.CHOICES[k].index(v)) for k, v in asked.items()}
    return one_hot(new.factors | options, WISHES).to(dev)


with torch.no_grad():
    mu, _ = tomcat.encode((x, c))
    typical = torch.stack([mu[furs == k].mean(dim=0) for k in range(6)])  # code of each fur
    rows = {"test cats": x, "black ones": x[furs == 5], "reconstructed": reconstruct(tomcat, x, c)}
    rows["told: sea"] = tomcat.decode(mu, tell(background="sea"))
    rows["told: black"] = tomcat.decode(mu, tell(fur="black"))
    rows["black, code moved"] = tomcat.decode(mu + typical[5] - typical[furs], tell(fur="black"))
rows["new code, same wishes"] = tomcat.sample(c, rng)
near = psnr(rows["reconstructed"].cpu(), x.cpu(), data_range=1).mean()
light = {name: v.clamp(0, 1).mean().item() for name, v in rows.items()}
print(f"PSNR {near:.1f} dB; mean brightness:", {name: round(v, 3) for name, v in light.items()})
fig = plots.compare({k: v[:8].clamp(0, 1).cpu() for k, v in rows.items()}, value_range=(0, 1), scale=1)
assert light["reconstructed"] - 0.01 > light["told: black"] > light["black, code moved"] + 0.01

# %% [markdown] tags=["deeper", "workshop"]
# The reconstructions keep paper, outline and the large markings; edges and faces are soft, a mean once more. *Told* another paper, the decoder obeys. Told *black*, it goes
# only a part of the way: as with the digits at beta 1, the code says the old fur, and the tenfold price did not drive all of it out. So **move the code, too**, by
# lesson 22's arithmetic: minus the mean code of the old fur, plus that of the new. In the last row, compare paper and fur with the first: a new code brings a fur of its own, which
# may contradict the wish.
#
# **Play.** Tell and move. What of the old fur is left at 0, and what at 1.5?

# %% tags=["deeper", "workshop"]
def restyle(cat, fur, background, move):
    z = mu[[cat]] + move * (typical[cats.CHOICES["fur"].index(fur)] - typical[furs[cat]])
    changed = tomcat.decode(z, tell(fur=fur, background=background)[[cat]]).detach().clamp(0, 1)
    trio = torch.cat([x[[cat]], rows["reconstructed"][[cat]], changed]).cpu()
    return plots.show_images(trio, value_range=(0, 1), labels=["test cat", "again", "changed"])


explore.View(restyle, [explore.slider("cat", 0, 50, 4), explore.slider("move", 0.0, 1.5, 1.0),
                       explore.choice("fur", cats.CHOICES["fur"], "black"),
                       explore.choice("background", cats.CHOICES["background"], "sea")])

# %% [markdown] tags=["deeper"]
# ## 9 Break it on purpose: a scale for each pixel
#
# The top left corner is black in every training picture. Give it its own scale, and let it shrink. **Predict** both log-likelihoods of this one pixel.

# %% tags=["deeper"]
corner = images[:, :, :1, :1].float().amax(dim=0, keepdim=True)  # 0: black in all
for s in torch.tensor([-2.0, -5.0, -10.0, -20.0]):
    density, share = (round(f(corner, corner, s).item(), 4) + 0.0 for f in both)  # no -0.0
    print(f"ln s = {s:.0f}: density {density:.1f} nats, probability {share:.4f} nats")

# %% [markdown] tags=["deeper"]
# The density buys any number of nats with one pixel that says nothing. A probability ends at 0.
#
# ## 10 Exercises
#
# **A. Build (★, 5 minutes): undo a hidden beta (V3, a row of the catalogue of bugs).** Lesson 31's exercise C undid a `kld_weight` of 0.00025 beside `F.mse_loss`, for a Gaussian with $s = 1$: noise as
# wide as from black to white. Which beta is it for any $s$? **Predict** it for a plausible 0.1.
#
# <details><summary>Hint 1</summary>Multiply the loss by what turns a mean over N numbers into the sum, divided by 2 s².</details>
# <details><summary>Hint 2</summary>By N / (2 s²), and so is the weight of the KL.</details>

# %% tags=["deeper", "export", "exercise"]
def implied_beta(kld_weight, dims, scale=1.0):
    """Return the beta of "error, averaged over dims numbers, + kld_weight KL"; scale: s."""
    ### TODO: multiply the loss by what makes its first term a log-likelihood
    ### BEGIN SOLUTION
    return kld_weight * dims / (2 * scale**2)
    ### END SOLUTION


# %% tags=["deeper"]
implied_beta = checks.vae_likelihoods.implied_beta(implied_beta)
print({f"s = {s}": round(implied_beta(0.00025, 3 * 64**2, s), 2) for s in (1.0, 0.1)})

# %% [markdown] tags=["deeper"]
# **B. Debug (★★, 10 minutes): trembling cats (V13).** Two colleagues' lines for `reconstruct`. What is wrong with each? Paste the first into it and call
# `checks.vae_likelihoods.reconstruct(reconstruct)`; the second only read.
#
# ```python
# mu, logvar = model.encode((x, c)); z = vae.reparameterise(mu, logvar, rng)   # the first decodes z
# mu, logvar = model.encode((x, c)); var = F.softplus(logvar)                  # the second, in the KL
# ```
#
# <details><summary>Hint 1</summary>Call the first one twice.</details>
# <details><summary>Hint 2</summary>reparameterise takes exp(logvar): what do exp and softplus make of 0?</details>
#
# <details><summary>Answer to B</summary>The first draws a code at use: two calls, two cats. Draw in training; to reconstruct, take mu. The second's KL
# has another variance than its draws: at logvar 0 the two are 0.69 and 1. Any parameterisation is right if both use the same.</details>
#
# **C. Modify (★★, 15 minutes).** Take `grow` with `beta_loss(20, free_bits=λ)` for λ = 2, 8 and 20. Does the KL stand at λ? How many codes are active, and what is
# the reconstruction? Then try λ = 20 with beta 1.
#
# <details><summary>Hint 1</summary>Section 5's loop prints all but the reconstruction.</details>
# <details><summary>Hint 2</summary><code>model.elbo_terms(bits, rng)[0].mean()</code>, without a graph.</details>
#
# <details><summary>What to look for</summary>Whether the KL stops at λ, on either side.</details>

# %% [markdown] tags=["core", "workshop"]
# ## 11 To discuss, and to keep
#
# <details><summary><b>V15.</b> "The loss with beta = 0.1 is a lower bound on the likelihood, as the ELBO is." True?</summary>No: lesson 31 drew one that crosses ln p(x).
# From beta 1 on it is a bound; below, an objective and no more.</details>
# <details><summary><b>V9.</b> One network finds faces and learns a VAE of them; the loss is mask · cls + vae, the mask being "is a face". What goes wrong?</summary>The
# mask belongs to the other term: cls + mask · vae. As written, the VAE learns what is no face, too.</details>
# <details><summary><b>To discuss.</b> One VAE has 1,200 nats, another -90. Which is better?</summary>Nobody can say. Ask for what, in which units, with
# which k.</details>
#
# **Summary**
#
# - Bernoulli on greys is a loss, not a likelihood; a density depends on its units and has no top; bytes have probabilities.
# - k weights, averaged before the logarithm, lift the ELBO towards ln p(x); the mean of the logarithms does not.
# - Beta is the price of a nat of code; at 1 the ELBO is best. A mean over pixels, a fixed scale: each is a beta in disguise.
# - Count active codes, and read the KL. Warm-up helps where the final price leaves a use for the code, not at beta 20; free bits keep what they are told to keep.
#
# **Later lessons import** likelihoods, `iwae_bound`, `beta_loss`, `active_units`, the conditional VAE, weights `catvae`.
# **Limits:** one scale for all pixels is crude; the sweep's networks are small, its posteriors along the axes.
#
# **Papers** (arXiv). Burda, Grosse and Salakhutdinov (2016), 1509.00519 · Higgins et al. (2017), *beta-VAE* · Kingma et al. (2016), 1606.04934,
# appendix · Salimans et al. (2017), 1701.05517, section 2.1 · Chen et al. (2018), 1802.04942 · Kingma et al. (2014), 1406.5298 · Sohn, Lee and Yan (2015), *Learning
# structured output representation* · Loaiza-Ganem and Cunningham (2019), 1907.06845 · Bowman et al. (2016), 1511.06349 (warm-up) · Rybkin, Daniilidis and
# Levine (2021), 2006.13202 (the scale)
