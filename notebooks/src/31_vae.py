# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown] tags=["core", "workshop"]
# # 31 Give every picture a cloud of codes
#
# You will build a variational autoencoder (VAE): an encoder that answers with a cloud instead of a point, a decoder that turns
# most codes into digits, and a loss that is a bound on the likelihood, in nats, which you check against an exact answer.
#
# ![A grid of codes with two numbers each, and the digits that they decode to](../data/pictures/31-033.png)
#
# | | |
# |---|---|
# | **You need** | likelihood, nats and KL (lesson 01), Adam (11), the residual block (14), holes in a latent space (30) |
# | **Time** | 60 minutes for the core, 35 more for the rest; the notebook itself runs in 3 minutes |
# | **Machine** | no GPU, no network, 1 GB of memory |
#
# When you are through, you can
#
# 1. derive the bound in two ways, and say what its gap is,
# 2. write its parts: a KL and a likelihood that equal torch's, and a draw that lets gradients pass,
# 3. read off a loss of the two terms which beta it trains,
# 4. report a test likelihood beside baselines,
# 5. show, with training pictures, why the samples of two latents are blurred, and where that stops.
#
# > **Remember.** ELBO = log p(x) - KL(q || true posterior). Sum over pixels and over latents, then average over pictures; who
# > averages earlier trains another beta than he thinks.

# %% tags=["core", "workshop", "export"]
import math
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import checks, datasets, device, explore, judges, metrics, plots, trained, training
from course_lib.built import dcgan, gan, score_a_generator, stable_gans  # lessons 21, 20, 01, 24
from course_lib.settings import CourseError, data_name, profile


@dataclass
class Config:
    """The numbers of lesson 31; `profile` picks the value for the profile that you run in."""

    steps: int = profile(smoke=30, standard=6000, full=40000)
    batch_size: int = 128
    lr: float = 2e-3  # at the start; falls along half a cosine to 0
    latent: int = 10  # numbers in a code
    hidden: int = 400  # width of both networks
    blocks: int = 2  # residual blocks in each
    average: float = 0.999  # how slowly the averaged weights follow
    measure_every: int = 100  # steps between two looks for nan
    seed: int = 0


# %% [markdown] tags=["core", "workshop"]
# ## 1 A neighbourhood for every picture
#
# A pixel in this lesson is ink or paper. The grey value, divided by 255, is the *chance* of ink, and every batch tosses the coins
# anew (**dynamic binarisation**): $x \in \{0, 1\}^{784}$. So a probability model of $x$ is easy to write, and its likelihood is a probability.
#
# Axes: B pictures in a batch, D numbers in a code. Codes such as V1 or T2 are rows of the course's catalogue of real bugs.

# %% tags=["core", "workshop", "export"]
def binarise(images, rng):
    """Return x (N, C, H, W) in {0, 1} of images uint8: ink with the chance value / 255."""
    if images.dtype != torch.uint8:
        raise CourseError(f"binarise reads uint8 in 0..255, not {images.dtype}.")
    return torch.bernoulli(images.float() / 255, generator=rng)


def binary_batches(images, batch_size, rng):
    """Yield endless shuffled batches x (B, C, H, W) in {0, 1} of images uint8, drawn anew."""
    for (x,) in datasets.batches(images, batch_size=batch_size, generator=rng):
        yield binarise(x, rng)


# %% tags=["core", "workshop"]
binary_batches = checks.vae.binary_batches(binary_batches)
cfg, dev, judge = Config(), device.pick_device(), judges.judge(data_name())
rng, fixed = (device.generator(seed, dev) for seed in (cfg.seed, 4))  # fixed: for the test set
torch.manual_seed(cfg.seed)  # the layers' first weights
size, some, quick = profile(smoke=(2000, 20, True), standard=(None, 1000, False))
train_set, test_set = (datasets.load(data_name(), part, size=size) for part in ("train", "test"))
train, test = train_set.images.to(dev), test_set.images.to(dev)
rows = {name: binarise(train[:10], rng).cpu() for name in ("x", "tossed anew")}
fig = plots.compare({"grey": train[:10].cpu() / 255} | rows, value_range=(0, 1), scale=2)

# %% [markdown] tags=["core", "workshop"]
# Both networks are residual blocks of lesson 14, in dense layers: they are quick. The encoder answers with *two* vectors. The first,
# `mu`, is the code. The second will be the width of the code's cloud: `logvar`, the logarithm of the variance $\sigma^2$, since a
# variance must be positive and a network's output need not be. `bounded` keeps it within ±10, for $e^{89}$ is already no
# number in float32 (V11).
#
# Lesson 30 ended with holes: decode a code that belongs to no picture, and you get no digit. The first idea: let every picture own a
# *neighbourhood*. Add noise $\mathcal N(0, 1)$ to each code while training, so that the decoder must be right nearby, too. We take two numbers
# per code, so that we can look. Below, every digit 0 to 5 is a spot at its code, as wide as its noise, in the colour of its class (the row of
# digits is the key). Both maps have one scale.
#
# **Predict.** The encoder is free to answer as it likes. What will it do about the noise?

# %% tags=["core", "workshop", "export"]
class ResidualBlock(nn.Module):
    """Add to h (B, hidden) what two layers make of it; the second's weights start at zero."""

    def __init__(self, hidden):
        super().__init__()
        self.first, self.second = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)
        nn.init.zeros_(self.second.weight)

    def forward(self, h):
        return h + self.second(F.silu(self.first(F.silu(h))))


def residual_mlp(inputs, hidden, blocks, outputs):
    """Return layers inputs -> hidden, residual blocks, -> outputs."""
    middle = [ResidualBlock(hidden) for _ in range(blocks)]
    return nn.Sequential(nn.Linear(inputs, hidden), *middle, nn.SiLU(), nn.Linear(hidden, outputs))


def bounded(logvar, limit=10.0):
    """Squeeze logvar smoothly into -limit..limit, so that its exponential stays a number."""
    return limit * torch.tanh(logvar / limit)


# %% tags=["core", "workshop", "export"]
def latent_size(latent):
    """Return the number of latents; CourseError if there are none."""
    if latent < 1:
        raise CourseError(f"A code needs at least one number: latent >= 1, not {latent}.")
    return latent


class Encoder(nn.Module):
    """Turn pictures x (B, 1, 28, 28) into mu and logvar of q(z | x), each (B, latent)."""

    def __init__(self, latent, hidden=400, blocks=2):
        super().__init__()
        self.latent = latent_size(latent)
        self.layers = residual_mlp(784, hidden, blocks, 2 * latent)

    def forward(self, x):
        mu, logvar = self.layers(2 * x.flatten(1) - 1).float().chunk(2, dim=1)
        return mu, bounded(logvar)


class Decoder(nn.Module):
    """Turn codes z (B, latent) into the logits (B, 1, 28, 28) of p(x | z)."""

    def __init__(self, latent, hidden=400, blocks=2):
        super().__init__()
        self.latent, self.layers = latent, residual_mlp(latent_size(latent), hidden, blocks, 784)

    def forward(self, z):
        return self.layers(z).float().view(-1, 1, 28, 28)


# %% tags=["core", "workshop"]
def fit(noise):  # an autoencoder's codes (600, 2); noise: how much is added to them in training
    encoder, decoder = Encoder(2, 256, 1).to(dev), Decoder(2, 256, 1).to(dev)
    opt = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=2e-3)
    for _, x in zip(range(some), binary_batches(train, 128, rng), strict=False):
        logits = decoder(encoder(x)[0] + noise * torch.randn(len(x), 2, generator=rng, device=dev))
        opt.zero_grad()
        (F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)).backward()
        opt.step()
    return encoder(binarise(train[:600], rng))[0].detach()


def paint(mu, std, edge):  # (3, 248, 220): clouds of the digits 0 to 5 among 600, under their key
    labels, line = train_set.labels[:600], torch.linspace(-edge, edge, 220)
    inks = [[1 - int(c[k : k + 2], 16) / 255 for k in (1, 3, 5)] for c in plots.COLOURS[:6]]
    inks, kept = torch.tensor(inks), (labels < 6).nonzero()[:, 0]
    first = [labels.tolist().index(k) for k in range(6)]
    key = torch.cat([*(train_set.images[first] / 255 * inks[:, :, None, None])], dim=2)
    at, std = (t.cpu()[kept][:, :, None] for t in (mu, std))  # (N, 2, 1)
    across, up = torch.exp(-((line - at) / std.clamp(min=edge / 90)).square() / 2).unbind(1)
    ink = torch.cat([inks[labels[kept]], torch.ones(len(kept), 1)], dim=1)
    colour = torch.einsum("nx,ny,nc->cyx", across, up, ink).flip(1)  # the last: how much in all
    return 1 - torch.cat([F.pad(key, (26, 26)), colour[:3] / colour[3].clamp(min=1)], dim=1)


codes = {noise: fit(noise) for noise in (0.0, 1.0)}
edge = 2 * max(mu.std().item() for mu in codes.values())
maps = [paint(mu - mu.mean(0), torch.full_like(mu, n), edge) for n, mu in codes.items()]
labels = [f"noise {n:.0f}, spread {mu.std():.1f}" for n, mu in codes.items()]
fig = plots.show_images(torch.stack(maps), value_range=(0, 1), labels=labels, scale=1)
assert quick or codes[1.0].std() > 5

# %% [markdown] tags=["core", "workshop"]
# It runs away. The noise stays 1, and the encoder moves the codes apart until the noise, the width of a spot, is small beside
# their spread (under the maps). Whoever wants overlap must *charge* for distance. How much? A price out of the air is a knob to
# turn for ever. We want the price that makes the whole a probability model.
#
# ## 2 A bound on log p(x), derived twice
#
# Say how a picture comes to be: draw a code from the **prior** $p(z) = \mathcal N(0, I)$, then a picture from $p(x|z)$, which the decoder
# describes. A good model gives the data a high probability,
#
# $$ \log p(x) = \log \int p(z)\, p(x|z)\, dz . $$
#
# Here $\mathcal N(\text{mean}, \text{variance})$, always the variance. Averaging $p(x|z)$ over codes from the prior is hopeless: nearly all codes belong to
# other pictures. So draw from a distribution $q(z|x)$ that knows $x$. Multiply and divide by it, $p(z)\,p(x|z) = q(z|x) \cdot \frac{p(z)\,p(x|z)}{q(z|x)}$,
# and the integral is a mean over $q$: $\mathbb E_q$, the mean over $z$ drawn from $q(z|x)$. The logarithm is concave, so the log of a mean is at least
# the mean of the logs (**Jensen**):
#
# $$ \log p(x) = \log \mathbb E_{q} \frac{p(z)\, p(x|z)}{q(z|x)} \;\ge\; \mathbb E_{q} \log \frac{p(z)\, p(x|z)}{q(z|x)}
#    = \underbrace{\mathbb E_{q} \log p(x|z) - \mathrm{KL}(q(z|x) \,\|\, p(z))}_{\text{ELBO}} . $$
#
# The **evidence lower bound** has two terms: how well codes from the cloud explain $x$, and what the cloud costs. That is the
# price: a KL, with the factor 1. But how much is lost? Derive it again, without an inequality. The distribution of the codes that can have made $x$
# is the **posterior** $p(z|x) = p(z)\,p(x|z) / p(x)$ (Bayes' rule). So for *every* $z$, $\log p(x) = \log p(z)p(x|z) - \log p(z|x)$. Take the mean over $q$, add and subtract $\log q$:
#
# $$ \log p(x) = \mathbb E_q \log \frac{p(z)\, p(x|z)}{q(z|x)} + \mathbb E_q \log \frac{q(z|x)}{p(z|x)}
#    = \text{ELBO} + \mathrm{KL}(q(z|x) \,\|\, p(z|x)) . $$
#
# The gap has a name: the KL from $q$ to the true posterior. It is never negative, and 0 for $q = p(z|x)$ only.
#
# | symbol | variable | shape |
# |---|---|---|
# | $x$; $z$ | `x`; `z` | (B, 1, 28, 28); (B, D) |
# | $\mu$, $\log \sigma^2$ of $q(z \vert x)$ | `mu`, `logvar` | (B, D) |
# | $\log p(x \vert z)$ | `log_lik`, of the decoder's `logits` | (B,), nats |
# | $\mathrm{KL}(q(z \vert x) \,\Vert\, p(z))$ | `kl` | (B,), nats |
#
# With several latents the true posterior may be a *tilted* cloud. Our $q$ knows only means and variances, clouds along the axes; what a
# tilt would save is lost, and stays in the gap.

# %% [markdown] tags=["deeper", "workshop"]
# **Check it where all is known.** $z \sim \mathcal N(0, 1)$ and $x|z \sim \mathcal N(z, 1)$. Then $x \sim \mathcal N(0, 2)$. As a function of $z$,
# $\log p(z)p(x|z) = -\frac12 z^2 - \frac12 (x - z)^2 + \dots = -(z - \frac x2)^2 + \dots$, and $-(z - m)^2 / 2v$ is a normal with variance $v$: the posterior is
# $\mathcal N(x/2, 1/2)$. For $q = \mathcal N(m, v)$, $\mathbb E_q (x - z)^2 = (x-m)^2 + v$, so all terms are plain formulas. **Predict.** For $x = 1$: where does the ELBO touch $\log p(x)$?
# If the KL counts only half ("$\beta = \frac12$"), is it still a bound (V15)?

# %% tags=["deeper", "workshop"]
def kl_normal(m, v, m0, v0):  # KL(N(m, v) || N(m0, v0)), nats; section 3 derives the case N(0, 1)
    return 0.5 * ((m - m0) ** 2 / v0 + v / v0 - 1 - math.log(v / v0))


def toy_elbo(m, v, beta=1.0):  # z ~ N(0, 1), x given z ~ N(z, 1), x = 1, q = N(m, v)
    return -0.5 * (math.log(2 * math.pi) + (1 - m) ** 2 + v) - beta * kl_normal(m, v, 0, 1)


exact, ms = -0.5 * (math.log(4 * math.pi) + 0.5), [k / 50 for k in range(-40, 101)]
arms = {"v = 1/2": (0.5, 1), "v = 1": (1, 1), "v = 1/2, beta 1/2": (0.5, 0.5)}
arms = {name: (ms, [toy_elbo(m, *arm) for m in ms]) for name, arm in arms.items()}
fig = plots.curves(arms, xlabel="mean of q", ylabel="nats", reference={"log p(x)": exact})
worst = max(abs(exact - toy_elbo(m, v) - kl_normal(m, v, 0.5, 0.5)) for m in ms for v in (0.5, 1))
best, half = toy_elbo(0.5, 0.5), toy_elbo(0.5, 0.5, beta=0.5)
print(f"log p(x) {exact:.3f}; at the posterior {best:.3f}, beta 1/2 {half:.3f}; gap-KL {worst:.0e}")
assert max(worst, abs(best - exact)) < 1e-6 and max(toy_elbo(m, 1) for m in ms) < exact < half

# %% [markdown] tags=["deeper", "workshop"]
# It touches at one point, $m = v = \frac12$: the posterior. Everywhere else the gap is the KL, to the last digit. And with $\beta < 1$
# it is no bound: the dash-dotted line crosses $\log p(x)$. For $\beta \ge 1$ it lies below the ELBO, so it stays a bound, a looser one.

# %% [markdown] tags=["core", "workshop"]
# ## 3 The price: a KL in closed form
#
# For one latent, with $q = \mathcal N(\mu, \sigma^2)$: $\log q(z) = -\frac12 (\log 2\pi\sigma^2 + (z-\mu)^2/\sigma^2)$ and $\log p(z) = -\frac12 (\log 2\pi +
# z^2)$. The mean over $q$ of the difference needs only $\mathbb E (z - \mu)^2 = \sigma^2$ and $\mathbb E z^2 = \mu^2 + \sigma^2$:
#
# $$ \mathrm{KL} = \mathbb E_q \tfrac12 \Big( z^2 - \tfrac{(z - \mu)^2}{\sigma^2} - \log \sigma^2 \Big) = \tfrac12 \left( \mu^2 + \sigma^2 - 1 - \log \sigma^2 \right) . $$
#
# The latents are independent under both, so their logs add: **sum** over the D latents.
#
# ## 4 A draw that lets gradients pass
#
# $\mathbb E_q \log p(x|z)$ has no closed form; one draw of $z$ estimates it. But how does the encoder learn from a draw? **Reparameterise**
# (Kingma and Welling 2014, section 2.4): draw $\varepsilon \sim \mathcal N(0, I)$, which knows nothing of the encoder, and set $z = \mu + \sigma \varepsilon$.
# Now $\partial z / \partial \mu = 1$ and $\partial z / \partial \sigma = \varepsilon$: backpropagation does the rest.
#
# **Your turn (★, 6 min).** Write both. The network says `logvar` $= \log \sigma^2$, so $\sigma$ is its exponential of *half*.
#
# <details><summary>Hint 1</summary>The KL adds up over <code>dim=1</code> and leaves (B,). The draw: noise of mu's shape, type
# and device, from rng.</details>
# <details><summary>Hint 2</summary><code>0.5 * (mu.square() + logvar.exp() - ___ - ___).sum(dim=1)</code>; <code>eps =
# torch.randn(mu.shape, generator=rng, device=mu.device, dtype=mu.dtype)</code>; <code>mu + (___ / 2).exp() *
# eps</code>.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def kl_to_standard_normal(mu, logvar):
    """Return KL(N(mu, exp(logvar)) || N(0, 1)) (B,) in nats, summed over the D latents."""
    ### TODO: the formula for each latent, then the sum over them
    ### BEGIN SOLUTION
    return 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum(dim=1)
    ### END SOLUTION


def reparameterise(mu, logvar, rng):
    """Draw z (B, D) from N(mu, exp(logvar)) so that gradients reach both (paper: section 2.4)."""
    ### TODO: noise of mu's shape from rng, moved and stretched
    ### BEGIN SOLUTION
    eps = torch.randn(mu.shape, generator=rng, device=mu.device, dtype=mu.dtype)
    return mu + torch.exp(logvar / 2) * eps
    ### END SOLUTION


# %% tags=["core", "workshop"]
kl_to_standard_normal = checks.vae.kl_to_standard_normal(kl_to_standard_normal)
reparameterise = checks.vae.reparameterise(reparameterise)

# %% [markdown] tags=["deeper"]
# **The other way.** Any $f$, even one without a slope, can be handled by the **score-function** estimator (Williams 1992). As $\nabla q =
# q\, \nabla \log q$,
#
# $$ \nabla_\mu\, \mathbb E_q f(z) = \int f(z)\, \nabla_\mu q(z)\, dz = \mathbb E_q \big[ f(z)\, \nabla_\mu \log q(z) \big]
#    = \mathbb E_q \Big[ f(z)\, \frac{\varepsilon}{\sigma} \Big] , \qquad \text{reparameterised: } \mathbb E_q \Big[ \frac{\partial f}{\partial z_d} \Big] . $$
#
# Compare. Take $f(z) = \sum_d (z_d - 3)^2$ at $\mu = 1$, $\sigma = \frac12$: $\mathbb E f = \sum_d (\mu_d - 3)^2 + \sigma_d^2$, so the
# gradient is $2(\mu_d - 3) = -4$, exactly. **Predict.** A code has D numbers. Which estimator suffers when D grows, and why? (*With baseline*: from each
# $f$ the mean of the *other* draws' $f$ is subtracted.)

# %% tags=["deeper"]
var = {k: ([0, 2, 4, 6], []) for k in ("score function", "with baseline", "reparameterised")}
for D in (1, 4, 16, 64):
    eps = torch.randn(40_000, D, generator=device.generator(3))
    z = 1 + eps / 2
    f, slope = (z - 3).square().sum(dim=1), 2 * (z[:, 0] - 3)  # slope: in the first number
    less = f - (f.sum() - f) / (len(f) - 1)  # minus the mean over the other draws
    for name, one in zip(var, (f * eps[:, 0] / 0.5, less * eps[:, 0] / 0.5, slope), strict=True):
        var[name][1].append(one.var().item())
        print(f"D = {D}, {name}: {one.mean():.2f} ± {one.std() / 200:.2f}, var {one.var():.4g}")
        assert abs(one.mean() + 4) < 5 * one.std() / 200
fig = plots.curves(var, log=True, xlabel="log2 D", ylabel="variance")

# %% [markdown] tags=["deeper"]
# All are unbiased. On two logarithmic axes the slopes are nearly 2, 1 and 0: the variance grows as D², as D, and not at all. The score function
# multiplies the whole $f$, the fate of all latents, by each latent's own noise. A **baseline** knows nothing of this draw's
# $\varepsilon$, so on average nothing changes, and $f$'s height is gone. Reparameterised, the height never enters, only the slope in
# each latent; for this $f$, a sum over latents, that slope does not even notice the others.

# %% [markdown] tags=["core", "workshop"]
# ## 5 The likelihood of a picture
#
# The decoder gives every pixel a **logit** $\ell$, and its ink has the chance $p = \sigma(\ell)$. Given $z$ the pixels are independent, so
#
# $$ \log p(x|z) = \sum_{i=1}^{784} x_i \log p_i + (1 - x_i) \log (1 - p_i) . $$
#
# `F.binary_cross_entropy_with_logits` is minus that, stable at any logit. **Your turn (★, 4 min).** Sum over the pixels. And refuse
# what is no chance: with $x = 2$ the sum is no logarithm of a probability, and has no bound (V12). Greys pass; exercise A says of what they are a
# likelihood.
#
# <details><summary>Hint 1</summary><code>reduction="none"</code> keeps the pixels apart; <code>flatten(1)</code>, then a sum. Mind the
# sign. A comparison with nan is False, so do not ask for what is wrong: ask for what must hold.</details>
# <details><summary>Hint 2</summary><code>low, high = x.aminmax()</code> are the smallest and the largest; <code>if not (low >= 0 and ___)</code> is
# true for nan as well; raise <code>CourseError(...)</code>.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def bernoulli_log_likelihood(logits, x):
    """Return log p(x | z) (B,) in nats, summed over the pixels; logits and x (B, ...).

    CourseError if x leaves 0..1 or holds nan.
    """
    ### TODO: refuse x outside 0..1; minus the cross-entropy, summed over all but the first axis
    ### BEGIN SOLUTION
    low, high = x.aminmax()
    if not (low >= 0 and high <= 1):
        raise CourseError(f"A Bernoulli likelihood needs x in 0..1, not {low:.3g} to {high:.3g}.")
    cost = F.binary_cross_entropy_with_logits(logits, x, reduction="none")
    return -cost.flatten(1).sum(dim=1)
    ### END SOLUTION


# %% tags=["core", "workshop"]
bernoulli_log_likelihood = checks.vae.bernoulli_log_likelihood(bernoulli_log_likelihood)

# %% [markdown] tags=["core", "workshop"]
# ## 6 Put it together
#
# **Your turn (★, 4 min).** `elbo_terms`: encode, draw *one* code for each picture, and return both terms. Keep them apart and
# unscaled; weighing is the loss's business.
#
# The loop below is lesson 10's, with Adam and a rate that falls along half a cosine. The loss may depend on how much of the training
# is done, which lesson 32 uses, like `averaged`; `or_stop` (lesson 20) ends a training that has gone `nan`, at the last good weights.
#
# The check puts a linear encoder and decoder with Gaussian noise into your class (probabilistic PCA; Tipping and Bishop 1999). There log p(x) and the
# posterior are known in closed form, and at the posterior your ELBO must touch log p(x).
#
# <details><summary>Hint 1</summary>Four names, each used once: self.encode, reparameterise, self.decode, self.log_likelihood; and the
# KL.</details>
# <details><summary>Hint 2</summary><code>mu, logvar = ___</code>; <code>z = reparameterise(___)</code>; <code>return
# self.log_likelihood(self.decode(z), x), ___</code>.</details>

# %% tags=["core", "workshop", "export", "exercise"]
class VAE(nn.Module):
    """An encoder, a decoder, and log_likelihood(the decoder's output, x) -> (B,) nats."""

    def __init__(self, encoder, decoder, log_likelihood=bernoulli_log_likelihood):
        super().__init__()
        self.encoder, self.decoder, self.log_likelihood = encoder, decoder, log_likelihood

    def encode(self, x):
        """Return mu and logvar (B, D) of q(z | x)."""
        return self.encoder(x)

    def decode(self, z):
        """Return the logits of p(x | z)."""
        return self.decoder(z)

    def elbo_terms(self, x, rng):
        """Return log p(x | z) at one z drawn from q(z | x), and the KL, both (B,) in nats."""
        ### TODO: encode, draw, decode; the two terms
        ### BEGIN SOLUTION
        mu, logvar = self.encode(x)
        z = reparameterise(mu, logvar, rng)
        return self.log_likelihood(self.decode(z), x), kl_to_standard_normal(mu, logvar)
        ### END SOLUTION

    @torch.no_grad()
    def sample(self, n, rng):
        """Return the means of p(x | z) in 0..1, (n, C, H, W), at n codes from the prior."""
        z = torch.randn(n, self.decoder.latent, generator=rng, device=rng.device)
        return self.decode(z).sigmoid()


# %% tags=["core", "workshop", "export"]
def elbo_loss(log_lik, kl, fraction):
    """Return minus the ELBO in nats, the mean over the batch; fraction of the training: unused."""
    return (kl - log_lik).mean()


def train_vae(cfg, vae, batches, rng, *, loss=elbo_loss, averaged=None,
              should_stop=training.never_stop, view=None, label="training"):
    """Train vae on batches of x; return the history of loss, log_lik, kl. Paper: algorithm 1.

    loss(log_lik, kl, fraction done); averaged: a copy that follows vae. CourseError at nan.
    """
    optimiser = torch.optim.Adam(vae.parameters(), lr=cfg.lr, fused=True)
    good, nets = None, [net for net in (vae, averaged) if net is not None]
    with training.progress(cfg.steps, should_stop, view, label=label) as run:
        for step, x in zip(run, batches, strict=False):
            optimiser.param_groups[0]["lr"] = cfg.lr * (1 + math.cos(math.pi * run.fraction)) / 2
            log_lik, kl = vae.elbo_terms(x, rng)
            objective = loss(log_lik, kl, run.fraction)
            if step % cfg.measure_every == 0 or not objective.isfinite():
                good = gan.or_stop(nets, good, loss=objective.item())
            optimiser.zero_grad()
            objective.backward()
            optimiser.step()
            if averaged is not None:
                gan.follow(averaged, vae, min(cfg.average, step / (step + 10)))
            run.log(loss=objective, log_lik=log_lik.mean(), kl=kl.mean())
    return run.history


# %% tags=["core", "workshop", "export"]
def beta_and_scale(loss):
    """Return beta, the slope of loss in kl over that in -log_lik, and scale, the latter slope."""
    terms = [torch.ones(8).double().requires_grad_() for _ in range(2)]
    in_log_lik, in_kl = (slope.sum() for slope in torch.autograd.grad(loss(*terms, 0.0), terms))
    return -(in_kl / in_log_lik).item(), -in_log_lik.item()


@torch.no_grad()
def measure_elbo(vae, x, rng, batch_size=500):
    """Return log_lik and kl (N,) of x in nats, one draw of z each, float64 on the CPU."""
    terms = [vae.elbo_terms(part, rng) for part in x.split(batch_size)]
    return tuple(torch.cat(parts).double().cpu() for parts in zip(*terms, strict=True))


# %% tags=["core", "workshop"]
VAE = checks.vae.VAE(VAE)

# %% [markdown] tags=["core", "workshop"]
# ## 7 Before training
#
# Three things to know. **Predict** the first two. What does an untrained decoder pay for 784 pixels of which it knows nothing? And
# how low can the loss fall on 64 pictures learnt by heart: to 0? The third checks the gradient:
# `beta_and_scale` asks how steep the loss is in each term; both answers must be 1. Then train; **predict** what the KL will do, which
# begins near 0 (the first 20 steps, a wild start, are not drawn).

# %% tags=["core", "workshop"]
Encoder, Decoder = checks.vae.Encoder(Encoder), checks.vae.Decoder(Decoder)  # all given, and right
elbo_loss, train_vae = checks.vae.elbo_loss(elbo_loss), checks.vae.train_vae(train_vae)
beta_and_scale = checks.vae.beta_and_scale(beta_and_scale)
x, size = next(binary_batches(train, 64, rng)), (cfg.latent, cfg.hidden, cfg.blocks)
vae, student = (VAE(Encoder(*size), Decoder(*size)).to(dev) for _ in range(2))
first, kl = (t.mean().item() for t in vae.elbo_terms(x, rng))
short, coin = replace(cfg, steps=profile(smoke=30, standard=600)), 784 * math.log(2)
learnt = train_vae(short, student, iter(lambda: x, None), rng, label="by heart")
by_heart, cost = (sum(learnt[name][1][-20:]) / 20 for name in ("loss", "kl"))
print(f"{device.count_parameters(vae):,} parameters; before: -log_lik {-first:.1f} "
      f"(784 ln 2 = {coin:.1f}), kl {kl:.2f}; beta, scale {beta_and_scale(elbo_loss)}")
print(f"64 by heart: {by_heart:.1f} nats, {cost:.1f} of them KL; ln 64 = {math.log(64):.2f}")
with device.fast_autocast(dev):
    history = train_vae(cfg, vae, binary_batches(train, cfg.batch_size, rng), rng)
lines = {k: [part[20:] for part in history[k]] for k in ("loss", "kl")}
fig = plots.curves(lines, xlabel="step", ylabel="nats", smooth=49)
assert abs(first + coin) < 10 and (quick or 80 > by_heart > cost > max(0.7 * by_heart, 4.16))

# %% [markdown] tags=["core", "workshop"]
# ## 8 Measure
#
# Every pixel is a coin at first: $784 \ln 2$. And 0 is out of reach: the probabilities of all pictures add up to 1, so 64 different ones
# cost $\ln 64$ nats on average at best. *Which one it is* has to be paid for: hence the KL rises
# from near 0, and stays. By heart nearly the whole bill is KL, and it is more than $\ln 64$: the mean KL is the information *which one*, at most
# $\ln 64$, plus the KL from the mean of all clouds to the prior: 64 clouds do not fill it. In the full training the KL
# exceeds $\ln 60{,}000 = 11.0$, too: the code must also place pictures never seen.
#
# Now the test pictures, binarised once. Beside the VAE: lesson 01's independent pixels, with two grey values. That is also the best that a
# decoder **without a code** can say: one chance for each pixel, whatever the picture. **Predict** how many nats the code is
# worth, after it is paid. Then 64 samples, the first, not chosen: **count** how many you read as digits.

# %% tags=["core", "workshop"]
def sure(x):  # the share of pictures of whose class the judge is surer than 90 %
    return (judge.classify(x).amax(dim=1) > 0.9).double().mean().item()


coins = binarise(test, fixed)  # (N, 1, 28, 28), the test set of this lesson
old = score_a_generator.IndependentPixels(0.5, levels=2).fit(binarise(train[:20000], fixed).byte().cpu())
log_lik, kl = measure_elbo(vae, coins, fixed)
alone, elbo = -old.log_likelihood(coins.byte().cpu()).mean().item(), log_lik - kl
bound, seen = elbo.mean().item(), -torch.tensor(history["loss"][1][-100:]).mean()
fig = plots.bars({"independent pixels": alone, "VAE, -ELBO": -bound}, ylabel="nats per picture")
print(f"ELBO {bound:.2f} ± {elbo.std() / len(kl) ** 0.5:.2f} = {log_lik.mean():.2f} - "
      f"{kl.mean():.2f} nats, {metrics.bits_per_dim(-bound, 784):.3f} bits/dim; train {seen:.2f}")
samples = gan.to_pixels(vae.sample(len(test), device.generator(5, dev))).cpu()
fig = plots.show_images(samples[:64], value_range=(0, 255), columns=16, scale=2)
print(f"surer than 90 %: of the VAE's {sure(samples):.1%}, of the real {sure(test.cpu()):.1%}")
assert quick or 0 < seen - bound < 9 and sure(samples) < 0.93 and kl.mean() > 11 and bound > -110
again = vae.decode(vae.encode(coins[:12])[0]).sigmoid().detach()
fig = plots.compare({"x": coins.cpu(), "again": again.cpu()}, value_range=(0, 1), scale=2)

# %% [markdown] tags=["core", "workshop"]
# The difference of the two bars is what the code is worth, *after* paying the KL. A test picture costs a little more than a training picture
# (`train`): a little is learnt by heart. Did you read all 64 as digits? Most, not all: the
# judge is sure of fewer samples than of real pictures. Not every hole is closed. (The judge knows only greys and must name a class for every smudge:
# a proxy for your eyes.) The last row decodes the cloud's middle, `mu`; a draw would make the same picture jitter from call to
# call (V13).
#
# ## 9 The clouds, and why samples are blurred
#
# Back to two latents, to see what the price has done. **Predict.** Where do the clouds lie, how wide are they, and what does a
# grid of codes decode to?

# %% tags=["core", "workshop"]
flat = VAE(Encoder(2, 256, 1), Decoder(2, 256, 1)).to(dev)
plain = replace(cfg, steps=some)
train_vae(plain, flat, binary_batches(train, 128, rng), rng, label="two latents")
mu, logvar = (t.detach() for t in flat.encode(binarise(train[:600], rng)))
clouds, ticks = paint(mu, (logvar / 2).exp(), 2.5), torch.linspace(-2.25, 2.25, 10)
z = torch.cartesian_prod(-ticks, ticks).flip(1).to(dev)  # rows from top to bottom
print(f"spread of the centres {mu.std():.2f}, median width {(logvar / 2).exp().median():.2f}")
fig = plots.show_images(clouds[None], value_range=(0, 1), scale=2, labels=["clouds, 0 to 5, ±2.5"])
fig = plots.show_images(flat.decode(z).sigmoid().detach(), value_range=(0, 1), columns=10, scale=2)

# %% [markdown] tags=["core", "workshop"]
# They huddle around 0, roughly as the prior does (6 to 9, and most pictures, are not drawn), neighbours overlap,
# and the grid, over the same square, has hardly a hole: between two digits lies a blend of both. Now the blur. What is the *best* picture to decode
# a code $z$ to? Many training pictures' clouds cover it, each with the density $q(z|x_n)$. The decoder's choice $p_i$ at this $z$ earns
#
# $$ \sum_n q(z|x_n) \big[ x_{n,i} \log p_i + (1 - x_{n,i}) \log (1 - p_i) \big] , \quad
#    \text{derivative 0 at} \quad p_i^* = \frac{\sum_n q(z|x_n)\, x_{n,i}}{\sum_n q(z|x_n)} : $$
#
# **the average of the training pictures whose clouds cover $z$**, the conditional mean. Test it: average the training pictures themselves. Its rivals
# are the nearest training picture, in grey, and the mean of all (*overall*). **Predict** which row the decoder's resembles, with two latents, and with ten.

# %% tags=["core", "workshop"]
@torch.no_grad()
def crowd(model, z):  # each training picture's share (K, N) in the best one for z; nearest cloud
    m, lv = (torch.cat(t) for t in zip(*(model.encode(x) for x in known.split(5000)), strict=True))
    away = (z[:, None] - m).square() / lv.exp()  # (K, N, D)
    return (-0.5 * (away + lv).sum(2)).softmax(1), away.mean(2).sqrt().amin(1).median().item()


known, grey, far = binarise(train[:30000], rng), train[:30000].float() / 255, []
for model in (flat, vae):
    z = torch.randn(40, model.decoder.latent, generator=rng, device=dev)
    mean, (share, prior) = model.decode(z[:10]).sigmoid().detach(), crowd(model, z)
    rows = {f"{z.shape[1]} latents": mean,
            "average": (share[:10] @ known.flatten(1)).view_as(mean).clamp(0, 1),
            "nearest": grey[metrics.nearest_distance(mean.cpu(), grey[:10000].cpu())[1]],
            "overall": grey.mean(0).expand_as(mean), "a draw": torch.bernoulli(mean, generator=rng)}
    fig = plots.compare({k: v.cpu() for k, v in rows.items()}, value_range=(0, 1), scale=2)
    far.append([(v - mean).square().mean().sqrt().item() for v in rows.values()])
    own, many = crowd(model, reparameterise(*model.encode(known[:40]), rng))[1], share.square()
    print("root mean square from the first row:", *map("{} {:.3f};".format, rows, far[-1]))
    print(f"pictures in an average, median {(1 / many.sum(1)).median():.1f}; nearest cloud, in its "
          f"widths: of a code from the prior {prior:.2f}, of one from a cloud {own:.2f}")
assert quick or far[0][1] < 0.6 * min(far[0][2:4]) and far[1][1] > 0.9 * far[1][2] and prior > own

# %% [markdown] tags=["core", "workshop"]
# With two latents the average, by far. There blur is no weakness of the decoder: it is the mean of what the code leaves open, and the mean of
# sharp pictures is not sharp. A draw from $p(x|z)$ is no cure: pixels independent given $z$ make grain.
#
# With ten, the samples that you saw, the explanation ends. One training picture has nearly all the weight, so the "average" is that one, sharp,
# and no better than the nearest. And a code from the prior lies further from every cloud than a code from a cloud does: between the clouds.
# Nothing told the decoder what to do there. It interpolates, and some of what comes out is no digit: holes remain.
#
# **Drag.** Ten latents: the upper row leads from test picture A to B, in equal steps of the code. The lower one starts at
# *way* between them and moves one latent from -3 to 3. **Predict** where on the way there is no digit.

# %% tags=["core", "workshop"]
mu = vae.encode(coins[:100])[0].detach()


def draw_way(A, B, way, latent):
    moved = mu[A].lerp(mu[B], way).repeat(9, 1)
    moved[:, latent - 1] = torch.linspace(-3, 3, 9)
    z = {"A to B": mu[A].lerp(mu[B], torch.linspace(0, 1, 9, device=dev)[:, None]), "latent": moved}
    x = {name: vae.decode(codes).sigmoid().detach().cpu() for name, codes in z.items()}
    return plots.compare(x, value_range=(0, 1), scale=2)


spans = {"A": (0, 99, 0), "B": (0, 99, 7), "way": (0.0, 1.0, 0.5), "latent": (1, cfg.latent, 1)}
explore.View(draw_way, [explore.slider(name, *span) for name, span in spans.items()])

# %% [markdown] tags=["core", "workshop"]
# On the first way no digit stands near the middle, where one cloud ends and the next begins: a blend, again.
#
# ## 10 Break it on purpose: hidden betas (V1, V2, V17)
#
# "The mean is only a constant factor", people say. Of one term, it is not. Three losses that run: everything divided by a batch of 128 once more
# (V17); the KL's mean over 8 latents (V1); both means, over pixels and latents (V2). **Predict**: write down the
# three betas. Which loss is harmless? What do the others do to the clouds, and to the samples?

# %% tags=["core", "workshop"]
broken, losses = {}, {"sums": elbo_loss,  # below, a: log_lik, b: kl
          "V17, batch twice": lambda a, b, _: (b - a).mean() / 128,
          "V1, KL's mean": lambda a, b, _: (b / 8 - a).mean(),
          "V2, both means": lambda a, b, _: (b / 8 - a / 784).mean()}
for name, loss in losses.items():
    torch.manual_seed(cfg.seed)
    small, draw = VAE(Encoder(8, 200, 1), Decoder(8, 200, 1)).to(dev), device.generator(7, dev)
    train_vae(plain, small, binary_batches(train, 128, draw), draw, loss=loss, label=name)
    a, b = (t.mean().item() for t in measure_elbo(small, coins[:2000], fixed))
    beta, scale = beta_and_scale(loss)
    mu, logvar = (t.detach() for t in small.encode(coins[:2000]))
    width, x = (logvar / 2).exp().median(), small.sample(2000, device.generator(5, dev)).cpu()
    print(f"{name}: beta {beta:.4g}, scale {scale:.2g}; ELBO {a:.1f} - {b:.2f} = {a - b:.1f}; "
          f"width {width:.2f}, centres {mu.std():.2f}; sure of {sure(gan.to_pixels(x)):.0%}")
    broken[name] = x[:12]
    assert quick or (width < 0.12) == (name == "V1, KL's mean")
fig = plots.compare(broken, value_range=(0, 1), columns=12, scale=2)

# %% [markdown] tags=["core", "workshop"]
# **Harmless, with Adam, is only V17**: a factor on *both* terms. Adam divides by the gradient's usual size (lesson 11), so its line is
# nearly the first one's. With $\frac18$ codes are too cheap: the clouds shrink and their centres spread beyond the prior. The
# likelihood gains, and the ELBO, which nobody trained, loses; samples fall between the clouds, and the judge is sure of fewer. With 98 the KL is 0 and all
# samples are one picture: a code is not worth its price, and the ELBO is that of a decoder without a code.
#
# A factor on *one* term Adam does not cancel, and nobody notices: the loss falls and settles, at another optimum.

# %% [markdown] tags=["deeper", "workshop"]
# ## 11 VAE against GAN
#
# The same judge, the same number of samples: means, draws, and lesson 24's GAN. The yardstick: real pictures as they are, blurred
# (means of 3 x 3), and tossed once, as a draw is. **Predict** the order; and which of the two models can
# tell you how probable a given picture is?

# %% tags=["deeper", "workshop"]
truth = train[: len(test)]
sets = {"VAE, draws": gan.to_pixels(binarise(samples, device.generator(8))),
        "real, tossed": gan.to_pixels(binarise(truth, rng)).cpu(),
        "real, blurred": F.avg_pool2d(truth.float(), 3, 1, 1).byte().cpu(),
        "VAE, means": samples, "floor: real": truth.cpu()}
if data_name() == "strokes":  # for which the course ships this GAN
    trained.load("stable-dcgan", gen := stable_gans.ShuffleGenerator().eval())
    noise = gen.noise(len(test), device.generator(9)).split(1000)
    sets["GAN, lesson 24"] = torch.cat([dcgan.signed_to_pixels(gen(z).detach()) for z in noise])
real = judge.features(test)
scores = {name: metrics.frechet_distance(judge.features(x), real) for name, x in sets.items()}
fig = plots.bars(scores, ylabel=f"Fréchet distance, {judge.name}")
fig = plots.compare({k: x[:12] for k, x in sets.items()}, value_range=(0, 255), columns=12, scale=2)
assert quick or sorted([*scores.values()][:5])[::-1] == [*scores.values()][:5]

# %% [markdown] tags=["deeper", "workshop"]
# The judge minds blur, and grain still more: that is what the two controls show. The draws' own fault is only what lies above
# *real, tossed*. The means' blur is milder than the control's; to this judge they beat that GAN's sharp but misshapen digits (it
# had a small budget of steps; the table of `bench` compares at equal cost). The GAN cannot say how probable any picture is. The VAE can say "no less than", on test pictures, in
# nats.

# %% [markdown] tags=["deeper"]
# ## 12 Exercises
#
# **A. Predict (★, 5 minutes): greys (V12, V14).** Somebody feeds the greys, $x = $ value / 255, to the Bernoulli likelihood. No error. Is the
# reconstruction term "0 at best"? What is the best it can be, and of which data is it a likelihood?
#
# <details><summary>Hint 1</summary>Which p maximises x log p + (1 - x) log(1 - p)?</details>
# <details><summary>Hint 2</summary>Average the log-likelihood of a coin that shows ink with chance x.</details>
#
# <details><summary>Answer to A</summary>p = x, so the best is minus the entropy of the coins, x log x + (1 - x) log(1 - x) over all pixels, below 0. The
# term is the mean of log p over tossings of x: a likelihood of binary pictures, not of greys, over which it does not
# integrate to 1. A Gaussian density may exceed 1, and its log 0: "0 at best" is wrong there, too.</details>
#
# **B. Modify (★★, 15 minutes).** Train `flat` with 4 and with 32 latents, for the same steps. Which ELBO is better, and how many latents have
# a mean KL above 0.05? Does a generous D cost anything? Do the samples agree with the ELBO?
#
# <details><summary>Hint 1</summary><code>VAE(Encoder(32, 256, 1), Decoder(32, 256, 1))</code>, <code>plain</code>, <code>measure_elbo</code>.</details>
# <details><summary>Hint 2</summary><code>kl_to_standard_normal(mu[:, [d]], logvar[:, [d]]).mean()</code> is the price of latent d;
# <code>sure(...)</code> is section 8's judge.</details>
#
# <details><summary>Answer to B</summary>The bound is far better with 32, of which some are unused: they cost nothing. The
# judge prefers the samples of 4. The bound rates codes of real pictures; samples come from the prior, and the more latents, the
# more of the prior lies between the clouds.</details>
#
# **C. Debug (★★, 10 minutes): a magic number (V3).** A colleague's loss for 3x64x64 pictures. It works, and nobody knows why 0.00025. Which beta does he
# train, if the Gaussian likelihood has variance 1?
#
# ```python
# kl = -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(dim=1).mean()
# loss = F.mse_loss(x_hat, x) + 0.00025 * kl
# ```
#
# <details><summary>Hint 1</summary>-log p(x|z) is half the sum of squares, and a constant. How many numbers has a picture?</details>
# <details><summary>Hint 2</summary>The mean of squares is the sum divided by 12,288; that is 2 / 12,288 of -log p.</details>
#
# <details><summary>Answer to C</summary>0.00025 · 12,288 / 2 = 1.54. The magic number undoes the mean. Write sums, and beta in
# plain sight.</details>

# %% [markdown] tags=["core", "workshop"]
# ## 13 To discuss, and to keep
#
# <details><summary><b>V7.</b> A function returns <code>z_std</code>, and the KL uses <code>z_std.exp()</code>. A bug?</summary>Not in the numbers: it
# is a log-variance under a wrong name. The next reader writes mu + z_std * eps, and then it is one.</details>
# <details><summary><b>V14.</b> "The encoder generates, the reconstruction term is an error, 0 at best." What is wrong?</summary>The decoder generates.
# The term is a log-density: for binary pixels at most 0, for greys see exercise A.</details>
# <details><summary><b>T1.</b> Somebody averages BCE over B · 784 and divides the KL's sum by B · 784, not by his 20 latents. Is this a
# bug?</summary>No. Both terms have the same divisor: the ELBO / 784, beta 1. Dividing the KL by the size of the training set would
# be one.</details>
# <details><summary><b>T2.</b> Somebody writes xent + kl_loss, a reviewer wants xent - kl_loss. Who is right?</summary>The first, if kl_loss is +KL:
# look at its sign on an example. KL below 0 in a plot means a minus too many (V4).</details>
# <details><summary><b>T3.</b> "Whether the output is log σ or log σ² is irrelevant, it is learnt anyway." True?</summary>Only if the draw and
# the KL read it in the same way. V5 reads it in two.</details>
#
# **Summary**
#
# - The box at the top. With beta below 1 the objective is no bound (deeper: the toy's numbers say so).
# - Deeper: both gradients are unbiased; the reparameterised one uses the slope, and does not multiply by f's height.
# - A decoder without a code is lesson 01's independent pixels: what a VAE gains, it gains by its code.
# - With two latents the decoder's mean is the average of the pictures that share the code: that is the blur. With ten hardly any pictures share
#   one; between the clouds the decoder interpolates, and holes remain.
#
# **Later lessons import** `VAE`, `Encoder`, `Decoder`, `train_vae`, `kl_to_standard_normal`, `reparameterise`, `binary_batches`, `measure_elbo`.
# **Limits:** dense layers, binary pixels, clouds along the axes; and the ELBO is not log p(x): lesson 32 measures how much lies between.
#
# **Papers.** Kingma and Welling (2014), *Auto-encoding variational Bayes*, sections 2 and 3, appendix B · Rezende, Mohamed and Wierstra
# (2014), *Stochastic backpropagation and approximate inference in deep generative models* · Williams (1992), *Simple statistical
# gradient-following algorithms* · Higgins et al. (2017), *beta-VAE* · Tipping and Bishop (1999), *Probabilistic principal component analysis*.
