# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown] tags=["core"]
# # 01 Score a generator
#
# You will build two of the simplest generators, which know almost nothing about digits, and the ruler that says exactly
# how bad they are: bits per pixel. Every later model with a likelihood has their scores to beat.
#
# ![Real digits, what each of their pixels costs, and the samples of two models](../data/pictures/01-030.png)
#
# | | |
# |---|---|
# | **You need** | Python, the logarithm, the idea of a probability |
# | **Time** | 75 minutes for the core, 40 more for the rest; the notebook runs in half a minute on two cores |
# | **Machine** | no GPU, no network, less than 1.5 GB of memory |
#
# When you are through, you can
#
# 1. estimate an expectation from samples, and say how far off the estimate is,
# 2. turn a model's probabilities into bits per dimension, and say what 8 of them mean,
# 3. compute the two KL divergences and the Jensen-Shannon divergence, and say what each punishes,
# 4. fit, score and sample two models of pixels by counting, and check on a tiny world that their probabilities sum to 1,
# 5. build a model with good scores and bad pictures (and, in a *deeper* part, one with good pictures and bad scores).
#
# > **Remember.** A likelihood asks how little a model is surprised by real pictures. It does not ask how its own pictures
# > look. Measure both.
#
# **If you start here:** in an exercise, put your lines in the place of `raise NotImplementedError`. The *check* below says
# ✓, or what is wrong and where to look. Left open, it is filled in by the course. Two *hints* are folded above, the solution
# below. ★ is a formula to type, ★★ needs a thought, ★★★ patience.
#
# ## 1 Look at the data
#
# Digits as bytes: 28 rows of 28 pixels, each one of 256 grey values. By default the course draws them (`strokes`); with
# `COURSE_DATA=mnist` every cell runs on the real ones. The test images are only scored, never counted. Axes: N images,
# 1 channel, H rows, W columns. All counting is done on the CPU, in float64.

# %% tags=["core", "export"]
import math
from dataclasses import dataclass
from itertools import product

import torch
from matplotlib.figure import Figure

from course_lib import checks, datasets, device, explore, plots, settings
from course_lib.settings import profile


@dataclass
class Config:
    """The numbers of lesson 01; `profile` picks the value for the profile that you run in."""

    alpha: float = 0.1  # imaginary observations of each grey value
    repeats: int = profile(smoke=50, standard=400)  # Monte Carlo estimates per size
    samples: int = 20  # pictures drawn from each model
    seed: int = 0


# %% tags=["core"]
cfg = Config()
generator = device.generator(cfg.seed)
train = datasets.load(settings.data_name(), "train", size=profile(smoke=2000, standard=None)).images
test = datasets.load(settings.data_name(), "test", size=profile(smoke=500, standard=None)).images
assert train.shape[1:] == (1, 28, 28) and train.dtype == torch.uint8 and train.max() == 255
D = train[0].numel()
shares = torch.bincount(train.flatten(), minlength=256).double() / train.numel()
test_shares = torch.bincount(test.flatten(), minlength=256).double() / test.numel()
print(f"black: {shares[0]:.1%} of the pixels, white: {shares[255]:.1%}")
fig = plots.show_images(train[:20], value_range=(0, 255), columns=10, caption="Training images.")

# %% [markdown] tags=["core"]
# ## 2 Estimate by drawing: Monte Carlo
#
# The symbols of this lesson:
#
# | symbol | in code | meaning |
# |---|---|---|
# | $D$; $N$; $n$ | `D`, `dims`; `len(images)`; `n` | pixels; images counted; draws |
# | $v$; $K$ | `levels` | a grey value; how many there are, 256 |
# | $p$; $q$; $m$ | `p`, `truth`; `q`; `m` | (K,), sum 1: the truth; a model's belief; their mean |
# | $f$; $\sigma$ | `f` | what is averaged; its standard deviation |
# | $\mathcal H(p, q)$ | `cross_entropy_bits` | cross-entropy (H are the rows) |
# | $\ln q(x)$ | `log_likelihood(images)` | (N,), in nats |
# | $c_{iv}$; $\alpha$; $q_i(v)$ | `counts`; `alpha`; `self.p` | value v at pixel i: seen; imagined; believed (so `self.p` is a $q$) |
# | $x_{<i}$ | | the pixels drawn before pixel i |
# | $u(x)$ | | the probability of pure noise |
# | $\epsilon$; $d_k$ | `eps`; `apart` | share of spoilt pixels; pixels in which x and copy k differ |
#
# The mean grey value is an **expectation**: every value, weighted by its probability,
# $\mathbb E[f(x)] = \sum_v p_v f(v)$. Over 256 values that sum is short. Over all pictures it has $256^{784}$ terms. So
# draw $x_1, \dots, x_n$ from $p$ and take the plain average,
#
# $$ \hat f = \frac1n \sum_k f(x_k), \qquad
#    \operatorname{Var} \hat f = \frac1{n^2} \sum_k \operatorname{Var} f(x_k) = \frac{\sigma^2}{n} . $$
#
# The draws are independent, so their variances add up. The **standard error** is
# $\sigma / \sqrt n$, with $\sigma$ estimated from the same draws.
#
# **Predict.** A hundred draws miss the mean grey value by some typical amount. How many draws do you need to
# miss it by a tenth of that?
#
# **Write** `monte_carlo` (★, 5 minutes): it draws n values from p and returns the mean of f over them, and its standard
# error.
#
# <details><summary>Hint 1</summary><code>torch.multinomial</code> draws indices with given probabilities; the index is the
# grey value.</details>
# <details><summary>Hint 2</summary><code>v = torch.multinomial(p, n, replacement=True, generator=generator)</code>, then
# <code>values = f(v.double())</code>; the error is <code>values.std() / n**0.5</code>.</details>


# %% tags=["core", "export", "exercise"]
def monte_carlo(f, p, n, generator):
    """Estimate E[f(v)] for v in 0..K-1 with probabilities p (K,) from n draws.

    f: float64 (n,) -> (n,). Returns (mean, standard error), two numbers.
    """
    ### TODO: draw n values, apply f, return the mean and its standard error
    ### BEGIN SOLUTION
    values = f(torch.multinomial(p, n, replacement=True, generator=generator).double())
    return values.mean().item(), values.std().item() / math.sqrt(n)
    ### END SOLUTION


# %% tags=["core"]
monte_carlo = checks.score_a_generator.monte_carlo(monte_carlo)
exact = (shares * torch.arange(256)).sum().item()
sizes = [10, 30, 100, 300, 1000, 3000, 10000]
misses = []
for n in sizes:
    found = [monte_carlo(lambda v: v, shares, n, generator)[0] for _ in range(cfg.repeats)]
    misses.append((torch.tensor(found) - exact).square().mean().sqrt().item())
sigma = ((shares * (torch.arange(256) - exact) ** 2).sum()).sqrt().item()
lines = {"measured": (sizes, misses), "σ / √n": (sizes, [sigma / math.sqrt(n) for n in sizes])}
fig = plots.curves(lines, xlabel="draws n", ylabel="typical error, grey values", log="x")
ratio = misses[2] / misses[-1]
print(f"100 draws miss by {misses[2]:.2f}, 10,000 by {misses[-1]:.2f}: {ratio:.1f} times less")
assert 7 < ratio < 14

# %% [markdown] tags=["core"]
# A hundred times as many. The error falls with the root of $n$: each further decimal costs a hundred times the work. But
# nothing in the derivation asked how many values $x$ can take: it holds for pictures, too, and every score of this course
# is such an average, over test images.
#
# ## 3 Measure surprise: nats and bits
#
# A model gives every picture a probability $q(x)$. A good one is not surprised by new pictures: it gave them much.
# Independent pictures multiply, $\prod_k q(x_k)$; we want a sum to average, and the logarithm turns products into sums.
# So the **surprise** is $-\log q(x)$: 0 for what was certain, infinite for what was declared impossible. The natural
# logarithm counts in **nats**, $\log_2$ in **bits**, one for each toss of a fair coin: 1 nat = $1 / \ln 2$ bits. Its
# expectation over the truth $p$ is the **cross-entropy**,
#
# $$ \mathcal H(p, q) = -\sum_v p_v \log_2 q_v, \qquad \mathcal H(p) = \mathcal H(p, p) . $$
#
# $\mathcal H(p)$, the **entropy**, is what the truth itself would pay. Values with $p_v = 0$ never occur and cost nothing,
# whatever $q_v$ is; a value with $p_v > 0 = q_v$ costs everything.
#
# As more pixels surprise more, the surprise of a picture is shared out among them:
# **bits/dim** $= -\ln q(x) \,/\, (D \ln 2)$.
#
# **Predict.** A model without any opinion gives each of the $256^{784}$ pictures the same probability. How many bits/dim
# does it pay, and on which pictures?
#
# **Write** `cross_entropy_bits` and `bits_per_dim` (★, 5 minutes).
#
# <details><summary>Hint 1</summary><code>0 * log(0)</code> is <code>nan</code> in floating point. Leave out where
# <code>p</code> is 0.</details>
# <details><summary>Hint 2</summary><code>seen = p > 0</code>, then <code>-(p[seen] * q[seen].log2()).sum()</code>; and
# <code>nats / (dims * math.log(2))</code>.</details>


# %% tags=["core", "export", "exercise"]
def cross_entropy_bits(p, q):
    """Return the mean of -log2 q over values drawn from p, in bits; p and q are (K,).

    Infinite where q excludes what p has; values with p = 0 count nothing. A number or a 0-d tensor.
    """
    ### TODO: minus the sum of p log2 q over the values that p has
    ### BEGIN SOLUTION
    seen = p > 0
    return -(p[seen] * q[seen].log2()).sum()
    ### END SOLUTION


def bits_per_dim(nats, dims):
    """Convert a surprise -ln q(x) in nats into bits for each of the dims pixels."""
    ### TODO: one nat is 1 / ln 2 bits; share them out
    ### BEGIN SOLUTION
    return nats / (dims * math.log(2))
    ### END SOLUTION


# %% tags=["core"]
cross_entropy_bits = checks.score_a_generator.cross_entropy_bits(cross_entropy_bits)
bits_per_dim = checks.score_a_generator.bits_per_dim(bits_per_dim)
nothing_known = 784 * math.log(256)  # -ln of 256 to the power -784
print(f"{nothing_known:.2f} nats a picture, {bits_per_dim(nothing_known, 784):.6f} bits/dim")
results = {"one histogram": float(cross_entropy_bits(test_shares, shares))}
print(f"one histogram for all pixels: {results['one histogram']:.3f} bits/dim on test images")

# %% [markdown] tags=["core"]
# Exactly 8, on every picture, since a byte has 8 bits: $\ln 256^{784} / (784 \ln 2) = \log_2 256$. Who pays more has wrong
# opinions. The first right opinion is how common each grey is, wherever it stands: $\mathcal H$ of the test images' shares
# and the training images', printed last.
#
# ## 4 Compare two distributions: KL and JS
#
# What does a wrong belief cost *beyond* what the truth costs? The difference $\mathcal H(p, q) - \mathcal H(p)$ (with ln in
# $\mathcal H$) is the **Kullback-Leibler divergence**, here in nats:
#
# $$ \mathrm{KL}(p \,\|\, q) = \sum_v p_v \ln \frac{p_v}{q_v} \;\ge\; 0 . $$
#
# Why not negative? Because $\ln t \le t - 1$, with equality at $t = 1$ only. So, over the values with $p_v > 0$,
#
# $$ -\mathrm{KL} = \sum_v p_v \ln \frac{q_v}{p_v} \le \sum_v p_v \Big(\frac{q_v}{p_v} - 1\Big)
#    = \sum_v q_v - 1 \le 0 , $$
#
# as the $q_v$ over those values sum to at most 1. Nobody beats the truth on average.
#
# KL is infinite as soon as $q$ excludes something real. The **Jensen-Shannon divergence** compares both with the
# mixture $m = \frac12 (p + q)$, which excludes nothing of either:
#
# $$ \mathrm{JS}(p, q) = \tfrac12 \mathrm{KL}(p \,\|\, m) + \tfrac12 \mathrm{KL}(q \,\|\, m) \le \ln 2, $$
#
# since $m \ge p/2$, so no ratio $p / m$ is above 2. The original GAN (lesson 20) meets it.
#
# **Write** `kl(p, q)` and `js(p, q)` (★, 5 minutes).
#
# <details><summary>Hint 1</summary>Leave out where <code>p</code> is 0, as before. <code>js</code> needs <code>kl</code>
# twice.</details>
# <details><summary>Hint 2</summary><code>(p[seen] * (p[seen] / q[seen]).log()).sum()</code>; then
# <code>m = (p + q) / 2</code>.</details>


# %% tags=["core", "export", "exercise"]
def kl(p, q):
    """Return KL(p || q) of two distributions (K,), in nats, as a number or a 0-d tensor."""
    ### TODO: the sum of p ln(p / q) over the values that p has
    ### BEGIN SOLUTION
    seen = p > 0
    return (p[seen] * (p[seen] / q[seen]).log()).sum()
    ### END SOLUTION


def js(p, q):
    """Return the Jensen-Shannon divergence of two distributions (K,), in nats. Lin (1991)."""
    ### TODO: half the KL of each to the mixture of both
    ### BEGIN SOLUTION
    m = (p + q) / 2
    return (kl(p, m) + kl(q, m)) / 2
    ### END SOLUTION


# %% tags=["core"]
kl = checks.score_a_generator.kl(kl)
js = checks.score_a_generator.js(js)
beyond = results["one histogram"] - float(cross_entropy_bits(test_shares, test_shares))
belief = float(kl(test_shares, shares)) / math.log(2)
print(f"one histogram pays {beyond:.6f} bits/dim more than the best one; KL / ln 2 = {belief:.6f}")
assert abs(beyond - belief) < 1e-9

# %% [markdown] tags=["core"]
# **Play, and predict.** The truth $p$ has two humps; your model $q$ only one, with a centre and a width of your choice.
# Where would you put it to make $\mathrm{KL}(p \| q)$ smallest? Where for $\mathrm{KL}(q \| p)$? And for JS? Move the
# sliders, and write three places down before you run on.

# %% tags=["core"]
greys = torch.arange(256).double()


def hump(centre, width):
    """Return a bell over the 256 grey values, cut off at 0 and 255."""
    bell = (-0.5 * ((greys - centre) / width) ** 2).exp() + 1e-12
    return bell / bell.sum()


truth = 0.6 * hump(60, 12) + 0.4 * hump(180, 16)


def draw_hump(centre, width):
    """Draw the truth, the model, and what the three divergences say of them."""
    q = hump(centre, width)
    told = f"KL(p‖q) {kl(truth, q):.2f}, KL(q‖p) {kl(q, truth):.2f}, JS {js(truth, q):.2f} nats"
    fig = Figure(figsize=(6.5, 3), dpi=80, layout="constrained")
    ax = fig.add_subplot(xlabel="grey value", ylabel="probability", title=told, ylim=(0, 0.04))
    ax.fill_between(greys, truth, color="#56B4E9", alpha=0.5, label="truth p")
    ax.plot(greys, q, color="#D55E00", label="model q")
    ax.legend()
    fig.set_label(f"Two humps and one; centre {centre}, width {width}: {told}.")
    return fig


sliders = [explore.slider("centre", 0, 255, 128), explore.slider("width", 5, 120, 30)]
explore.View(draw_hump, sliders)

# %% tags=["core", "nbval-check-output"]
places = list(product(range(0, 256, 4), range(8, 121, 4)))
fits = {"KL(p‖q)": lambda q: kl(truth, q), "KL(q‖p)": lambda q: kl(q, truth)}
fits["JS"] = lambda q: js(truth, q)
best = {name: min(places, key=lambda at, f=f: float(f(hump(*at)))) for name, f in fits.items()}
mean = (truth * greys).sum()
print(f"the truth: mean {mean:.0f}, spread {(truth * (greys - mean) ** 2).sum().sqrt():.0f}")
for name, (centre, width) in best.items():
    print(f"{name:8} smallest at centre {centre}, width {width}")
covers, seeks = (hump(*best[name]) for name in ("KL(p‖q)", "KL(q‖p)"))
shown = {"truth": truth, "best by KL(p‖q)": covers, "best by KL(q‖p) and JS": seeks}
fig = plots.curves(shown, xlabel="grey value", ylabel="probability")
assert best["KL(p‖q)"][1] > 2 * best["KL(q‖p)"][1] and best["JS"] == best["KL(q‖p)"]

# %% [markdown] tags=["core"]
# The $q$ that is best by $\mathrm{KL}(p\|q)$ lies over both humps and fills the gap between them, where the truth has
# nothing: it is punished only for what it *misses*, weighted by $p$. That is **mode-covering**. (Wider than the
# truth's own spread, as the bell is cut off at 0 and 255.) The $q$ that is best by $\mathrm{KL}(q\|p)$ sits on the larger
# hump and forgets the other: it is punished only for what it *invents*. That is **mode-seeking**. JS sides with
# $\mathrm{KL}(q\|p)$ here: what is missed costs at most a bounded amount. The average of $-\ln q(x)$ over data is
# $\mathcal H(p) + \mathrm{KL}(p\|q)$ (with ln in $\mathcal H$), so training by likelihood covers, and blurs (lesson 31).
#
# ## 5 The simplest generator: every pixel for itself
#
# The simplest thing that could work on pictures: one histogram for each position, and the pixels drawn independently,
#
# $$ q(x) = \prod_{i=1}^{D} q_i(x_i), \qquad \ln q(x) = \sum_i \ln q_i(x_i), \qquad q_i(v) = \frac{c_{iv}}{N} . $$
#
# $c_{iv}$ counts the training images with value $v$ at position $i$.
#
# **Predict.** The counts come from all training images. To what share of the *test* images will this model give the
# probability zero?


# %% tags=["core", "export"]
def pixel_counts(images, levels=256):
    """Return how often each position has each value: (D, levels), float64."""
    flat, dims = images.flatten(1), images[0].numel()
    counts, cells = torch.zeros(dims * levels).double(), levels * torch.arange(dims)
    for part in flat.split(1000):
        counts += torch.bincount((cells + part).flatten(), minlength=dims * levels)
    return counts.view(dims, levels)


# %% tags=["core"]
counts = pixel_counts(train)
never = counts[torch.arange(D), test.flatten(1).long()] == 0  # (N, D)
impossible = never.any(dim=1)
share, pixels = impossible.double().mean(), never.double().mean()
print(f"impossible: {share:.1%} of the test images, because of {pixels:.4%} of their pixels")
fig = plots.show_images(test[impossible][:10], value_range=(0, 255), caption="Impossible images.")
assert impossible.any() and pixels < 0.05

# %% [markdown] tags=["core"]
# The share printed above, and nothing is wrong with these images to the eye: a single pixel with a value never seen
# *there* is enough. The mean surprise is infinite, worse than no opinion at all. **Never seen is not impossible.** The cure is as old as Laplace: pretend to have seen every value $\alpha$ times before the data,
#
# $$ q_i(v) = \frac{c_{iv} + \alpha}{N + K \alpha} . $$
#
# The denominator, with all K grey values (`levels`), makes each row sum to 1 again.
#
# **Write** `self.p` and `log_likelihood` of `IndependentPixels` (★★, 10 minutes).
#
# <details><summary>Hint 1</summary>Add <code>alpha</code> to all counts, then divide each position by its own sum. The
# logarithm of a product is a <em>sum</em> over positions.</details>
# <details><summary>Hint 2</summary>With <code>x = images.flatten(1).long()</code>, position i of image k has the value
# <code>x[k, i]</code>, and <code>self.p.log()[torch.arange(x.shape[1]), x]</code> is (N, D).</details>


# %% tags=["core", "export", "exercise"]
class IndependentPixels:
    """A generator that draws each pixel from a histogram of its own, smoothed by alpha > 0.

    Images are uint8 (N, 1, H, W) with values below `levels`. After fit: p (D, levels), float64.
    """

    def __init__(self, alpha=0.1, levels=256):
        self.alpha, self.levels = alpha, levels

    def fit(self, images):
        """Count, smooth, and return the model itself."""
        counts, self.shape = pixel_counts(images, self.levels), images.shape[1:]
        ### TODO: self.p from the counts (D, levels), with self.alpha added to each
        ### BEGIN SOLUTION
        counts = counts + self.alpha
        self.p = counts / counts.sum(dim=1, keepdim=True)
        ### END SOLUTION
        return self

    def log_likelihood(self, images):
        """Return ln q(x) (N,) of each image, in nats."""
        ### TODO: the sum over the positions of the logarithm of each pixel's probability
        ### BEGIN SOLUTION
        x = images.flatten(1).long()  # (N, D)
        return self.p.log()[torch.arange(x.shape[1]), x].sum(dim=1)
        ### END SOLUTION

    def sample(self, n, generator):
        """Return n new images."""
        draws = torch.multinomial(self.p, n, replacement=True, generator=generator)  # (D, n)
        return draws.T.reshape(n, *self.shape).to(torch.uint8)


# %% tags=["core"]
IndependentPixels = checks.score_a_generator.independent_pixels(IndependentPixels)


def score(model, images):
    """Return the mean bits/dim of images, with its standard error."""
    bits = torch.cat([bits_per_dim(-model.log_likelihood(x), D) for x in images.split(1000)])
    return bits.mean().item(), bits.std().item() / math.sqrt(len(bits))


independent = IndependentPixels(cfg.alpha).fit(train)
results["independent pixels"] = score(independent, test)
print("independent pixels: {:.3f} ± {:.3f} bits/dim".format(*results["independent pixels"]))
drawn = independent.sample(cfg.samples, generator)
fig = plots.show_images(drawn, value_range=(0, 255), columns=10, caption="Independent pixels.")
assert results["independent pixels"][0] < results["one histogram"]

# %% [markdown] tags=["core"]
# From 8 bits, past one histogram for all, to the score just printed, and the samples are dust. The score comes from knowing
# that corners are black, and how often each other place is black; no two pixels know of each other. **Few bits per pixel
# sound like success, mostly because most pixels are black.** Never read such a number without the next-worst model beside
# it.
#
# ## 6 Let a pixel look at two neighbours
#
# Number the pixels row by row. By the definition of conditional probability, again and again, and without approximation,
#
# $$ q(x) = q(x_1)\, q(x_2 \mid x_1)\, q(x_3 \mid x_1, x_2) \cdots = \prod_i q(x_i \mid x_{<i}) . $$
#
# This is the **chain rule**; part 4 lives on it. Now approximate: of all that came before, let a pixel see its left
# neighbour and the one above. One table of counts for all positions says how probable each value is *in
# each context*. To have enough counts, the neighbours are told in 16 coarse levels: 0 for black, 1 to 15 for 17 grey
# values each. The pixel itself keeps its 256 values. Outside of the picture all is black. A context is one number,
# 16 · left + up, from 0 to 255.
#
# **Write** `contexts` (★★, 5 minutes).
#
# <details><summary>Hint 1</summary><code>(x + 16) // 17</code> maps 0 to 0, 1..17 to 1, ..., 239..255 to 15; use
# <code>images.long()</code>, as bytes overflow.</details>
# <details><summary>Hint 2</summary>The left neighbours of all pixels at once: the picture moved to the right by one.
# Start with <code>torch.zeros_like(coarse)</code> and fill <code>left[..., 1:] = coarse[..., :-1]</code>.</details>


# %% tags=["core", "export", "exercise"]
def contexts(images):
    """Return the context of every pixel, 16 * left + up in coarse levels 0..15.

    images: uint8 (N, 1, H, W) -> int64 (N, 1, H, W) in 0..255; outside of the picture is level 0.
    """
    ### TODO: coarse levels, moved right by one and down by one
    ### BEGIN SOLUTION
    coarse = (images.long() + 16) // 17
    left, up = torch.zeros_like(coarse), torch.zeros_like(coarse)
    left[..., 1:] = coarse[..., :-1]
    up[..., 1:, :] = coarse[..., :-1, :]
    return 16 * left + up
    ### END SOLUTION


# %% tags=["core"]
contexts = checks.score_a_generator.contexts(contexts)
told = contexts(test[:4])
rows = {"pixel": test[:4], "its left": 17 * (told // 16), "the one above": 17 * (told % 16)}
fig = plots.compare(rows, value_range=(0, 255), caption="What each pixel is, and what it is told.")

# %% [markdown] tags=["core"]
# The model is the table `p` (256 contexts, 256 values), smoothed as before. `context` says which function makes the
# contexts (section 9 puts in a wrong one); `sample` is your next exercise.
#
# Are these really distributions? The probabilities of **all** pictures must sum to 1. A world of 2x2 pixels that are 0 or
# 1 has just 16: the cell of the check sums over them.
#
# **Write** the open lines of `NeighbourTable` (★★, 10 minutes): the counts, part by part, and `log_likelihood`.
#
# <details><summary>Hint 1</summary>Context and value together are one number, <code>context * levels + value</code>, which
# <code>torch.bincount</code> can count. The contexts come from <code>self.context</code>.</details>
# <details><summary>Hint 2</summary><code>torch.bincount(pairs.flatten(), minlength=len(counts))</code> is added to
# <code>counts</code>. The probability of every pixel: <code>self.p[self.context(images), images.long()]</code>, of the
# images' shape; sum its logarithm over all but the first axis.</details>


# %% tags=["core", "export", "exercise"]
class NeighbourTable:
    """A generator whose pixels know their left and upper neighbour, smoothed by alpha > 0.

    Images are uint8 (N, 1, H, W) with values below `levels`. After fit: p (256, levels), float64.
    """

    def __init__(self, alpha=0.1, levels=256, context=contexts):
        self.alpha, self.levels, self.context = alpha, levels, context

    def fit(self, images):
        """Count, smooth, and return the model itself."""
        counts, self.shape = torch.zeros(256 * self.levels).double(), images.shape[1:]
        for part in images.split(1000):
            ### TODO: add to counts how often each pair of context and value occurs in part
            ### BEGIN SOLUTION
            pairs = self.context(part) * self.levels + part.long()
            counts += torch.bincount(pairs.flatten(), minlength=len(counts))
            ### END SOLUTION
        counts = counts.view(256, self.levels) + self.alpha
        self.p = counts / counts.sum(dim=1, keepdim=True)
        return self

    def log_likelihood(self, images):
        """Return ln q(x) (N,) of each image, in nats."""
        ### TODO: the sum over all pixels of ln p[context, value]
        ### BEGIN SOLUTION
        return self.p.log()[self.context(images), images.long()].flatten(1).sum(dim=1)
        ### END SOLUTION

    def sample(self, n, generator):
        """Return n new images."""
        return sample_in_order(self.p, n, self.shape, generator)


# %% tags=["core", "nbval-check-output"]
NeighbourTable = checks.score_a_generator.neighbour_table(NeighbourTable)
world = torch.tensor(list(product([0, 1], repeat=4)), dtype=torch.uint8).view(16, 1, 2, 2)


def world_sum(model):
    """Fit a model to five pictures of the world of 2x2 bits; sum its 16 probabilities."""
    return model.fit(world[[3, 5, 7, 15, 15]]).log_likelihood(world).exp().sum().item()


for kind in (IndependentPixels, NeighbourTable):
    total = world_sum(kind(alpha=0.5, levels=2))
    print(f"{kind.__name__}: the 16 probabilities sum to {total:.12f}")
    assert abs(total - 1) < 1e-12

# %% [markdown] tags=["core"]
# **Draw from it.** The factors say how: the first pixel, then the second given the first, and so on. Pixels must wait for
# each other; images need not. So loop over the positions, and draw that pixel of all images in one call.
#
# **Predict.** Which of the two models will pay fewer bits? The first knows *where* a pixel is, the second only what stands
# beside it. And will its samples look like digits?
#
# **Write** the inside of the loop of `sample_in_order` (★★★, 10 minutes).
#
# <details><summary>Hint 1</summary><code>contexts</code> of the images as far as they are drawn holds the context of the
# pixel to draw; of its rows <code>p[context]</code>, <code>torch.multinomial</code> draws one value each, (n, 1).</details>
# <details><summary>Hint 2</summary>Cheaper: only the square of four that ends at (i, j),
# <code>images[..., max(i - 1, 0) : i + 1, max(j - 1, 0) : j + 1]</code>; its last context is the one.</details>


# %% tags=["core", "export", "exercise"]
def sample_in_order(p, n, shape, generator):
    """Draw n images uint8 (n, 1, H, W), row by row, from p (256, K): one distribution a context."""
    images = torch.zeros(n, *shape, dtype=torch.uint8)
    _, H, W = shape
    for i, j in product(range(H), range(W)):
        ### TODO: the context of pixel (i, j) in each image, a draw for each, stored
        ### BEGIN SOLUTION
        square = images[..., max(i - 1, 0) : i + 1, max(j - 1, 0) : j + 1]
        context = contexts(square)[:, 0, -1, -1]  # (n,)
        draws = torch.multinomial(p[context], 1, generator=generator)  # (n, 1)
        images[:, 0, i, j] = draws[:, 0].to(torch.uint8)
        ### END SOLUTION
    return images


# %% tags=["core"]
sample_in_order = checks.score_a_generator.sample_in_order(sample_in_order)
table = NeighbourTable(cfg.alpha).fit(train)
results["neighbour table"] = score(table, test)
fig = plots.bars(results, ylabel="bits/dim on test images, less is better (no opinion: 8)")
drawn_table = table.sample(cfg.samples, generator)
some = test[:2000]
paid = -table.p.log()[contexts(some), some.long()] / math.log(2)  # bits of each pixel
edge = (some > 0) & (some < 250)
share, cost = edge.double().mean(), paid[edge].sum() / paid.sum()
print(f"{share:.1%} of the test pixels are grey; they pay {cost:.1%} of the bits")
ink, ink_real = (x.float().mean() for x in (drawn_table, some))
print(f"mean grey value: {ink:.1f} in the table's samples, {ink_real:.1f} in real digits")
rows = {"real": test[:8], "its bits": 255 * paid[:8] / paid[:8].max()}
rows |= {"independent": drawn[:8], "neighbours": drawn_table[:8]}
told = f"Second row: what each pixel pays, from 0 (black) to {paid[:8].max():.1f} bits (white)."
fig = plots.compare(rows, value_range=(0, 255), caption=told)
assert results["neighbour table"][0] < results["independent pixels"][0] - 0.1
assert cost > 0.5 and share < 0.25

# %% [markdown] tags=["core"]
# The neighbours win, clearly, and still there is no digit. The table knows that ink continues and that edges are soft; it
# draws too little ink (see the means), in strokes that wander off, anywhere. What makes a digit, how its parts lie to each
# other across the picture, is a small part of all bits: most are paid for the exact greys of the few pixels along the
# edges, bright in the second row. A model can gain much there and never learn what a 7 is.
#
# ## 7 Good scores, bad pictures; good pictures, bad scores
#
# Take that to the end (Theis, van den Oord and Bethge 2016, section 3). **A swindler** draws from the good model in 1 of
# 100 cases, otherwise pure noise $u(x) = 256^{-D}$. Its probability is a mixture, and one of two positive terms cannot
# exceed the sum:
#
# $$ \ln\big(0.01\, q(x) + 0.99\, u(x)\big) \;\ge\; \ln q(x) - \ln 100 . $$
#
# **Predict.** Its samples are 99 % noise. How many bits/dim does that cost it?
#
# **Write** `mixture_log_likelihood` (★, 5 minutes).
#
# <details><summary>Hint 1</summary>These probabilities are far too small for floating point; stay with logarithms.</details>
# <details><summary>Hint 2</summary><code>torch.logaddexp(a, b)</code> is ln(exp a + exp b), stable. Add the
# logarithm of its share to each.</details>


# %% tags=["core", "export", "exercise"]
def mixture_log_likelihood(log_a, log_b, share):
    """Return ln(share * a + (1 - share) * b) from log_a and log_b (N,); 0 < share < 1."""
    ### TODO: stable, without exp of numbers around -1000
    ### BEGIN SOLUTION
    return torch.logaddexp(log_a + math.log(share), log_b + math.log(1 - share))
    ### END SOLUTION


# %% tags=["core"]
mixture_log_likelihood = checks.score_a_generator.mixture_log_likelihood(mixture_log_likelihood)
log_table = table.log_likelihood(test)
swindle = mixture_log_likelihood(log_table, torch.full_like(log_table, -nothing_known), 0.01)
bits = bits_per_dim(-swindle, D)
results["swindler"] = bits.mean().item(), bits.std().item() / math.sqrt(len(bits))
honest = torch.rand(16, generator=generator) < 0.01  # which of its samples are not noise
noise = torch.randint(0, 256, (16, 1, 28, 28), generator=generator, dtype=torch.uint8)
shown = torch.where(honest[:, None, None, None], table.sample(16, generator), noise)
lost = (log_table - swindle).max().item()
print(f"lost: at most {lost:.4f} nats; ln 100 = {math.log(100):.4f}")
print(f"table {results['neighbour table'][0]:.3f}, swindler {results['swindler'][0]:.3f} bits/dim")
fig = plots.show_images(shown, value_range=(0, 255), columns=8, caption="Drawn by the swindler.")
assert lost <= math.log(100) + 1e-9

# %% [markdown] tags=["core"]
# At most ln 100 nats, shared among 784 pixels: compare the two scores. In a table of results nobody would notice. The
# opposite exists as well. A generator that hands out its training images has perfect samples, and gives every new picture
# the probability zero. The *deeper* part that follows scores one. About such a copier the likelihood is right and the eye
# is fooled; about the swindler the eye is right. So measure in several ways, as part 6 does.

# %% [markdown] tags=["deeper"]
# **A copier** shows a training image, each pixel of it replaced by another value with probability $\epsilon$, so that it
# can score at all. With $d_k$ the number of pixels in which $x$ differs from training image $k$ of $N$,
#
# $$ q(x) = \frac1N \sum_k \Big(\frac{\epsilon}{255}\Big)^{d_k} (1 - \epsilon)^{D - d_k} . $$
#
# **Predict.** With $\epsilon = 0.01$ its samples are the best of this lesson. Where does its score stand? And does it rise
# or fall if the copies are spoilt more?
#
# **Write** `copier_log_likelihood` (★★, 10 minutes), again without forming a probability: $\epsilon^{200}$ is 0 in floating
# point.
#
# <details><summary>Hint 1</summary>The logarithm of each term is a sum of two products; then a sum over k inside a
# logarithm.</details>
# <details><summary>Hint 2</summary><code>torch.logsumexp(..., dim=1)</code>, and the mean over N images subtracts
# <code>math.log(N)</code>.</details>


# %% tags=["deeper", "export", "exercise"]
def copier_log_likelihood(apart, dims, eps):
    """Return ln q(x) (B,) from apart, float64 (B, N): in how many pixels x and copy k differ.

    A copy keeps each pixel with probability 1 - eps, else it has one of the 255 other values.
    """
    ### TODO: ln of the mean over k of (eps / 255)^d (1 - eps)^(dims - d)
    ### BEGIN SOLUTION
    each = apart * math.log(eps / 255) + (dims - apart) * math.log(1 - eps)
    return each.logsumexp(dim=1) - math.log(apart.shape[1])
    ### END SOLUTION


# %% tags=["deeper"]
copier_log_likelihood = checks.score_a_generator.copier_log_likelihood(copier_log_likelihood)
shelf = train[: profile(smoke=500, standard=10000)].flatten(1)
asked = test[: profile(smoke=20, standard=100)].flatten(1)
apart = torch.stack([(x != shelf).sum(dim=1) for x in asked]).double()  # (asked, shelf)
nearest, rows = (apart.min(dim=1).values / D).mean().item(), {}
pick = torch.randint(len(shelf), (8,), generator=generator)
other = (shelf[pick] + torch.randint(1, 256, (8, D), generator=generator)) % 256
luck = torch.rand(8, D, generator=generator)
for eps in (0.01, nearest):
    name, log_q = f"copier, {eps:.0%} spoilt", copier_log_likelihood(apart, D, eps)
    bits = bits_per_dim(-log_q, D)
    results[name] = bits.mean().item(), bits.std().item() / math.sqrt(len(bits))
    rows[name] = torch.where(luck < eps, other, shelf[pick]).view(8, 1, 28, 28).to(torch.uint8)
print(f"{len(asked)} digits, {len(shelf):,} copies: the nearest differs in {nearest:.1%} of pixels")
fig = plots.compare(rows, value_range=(0, 255))
fig = plots.bars(results, ylabel="bits/dim on test images, less is better (no opinion: 8)")
assert results["independent pixels"][0] < results[name][0] < results["copier, 1% spoilt"][0]

# %% [markdown] tags=["deeper"]
# Behind the independent pixels, either way: a new digit differs from each copy in many pixels, and the copier pays for
# every one. Spoiling more helps. For a single copy that differs in $d$ pixels, the score
# $d \ln \epsilon + (D - d) \ln (1 - \epsilon)$ is highest where $d / \epsilon = (D - d) / (1 - \epsilon)$, at
# $\epsilon = d / D$. So much noise covers each copy; the digit still shows. The pictures are worse, the score better.
#
# ## 8 How much smoothing?
#
# **Predict.** Too little alpha, and the unseen costs dearly; too much, and the counts drown. Which model suffers more from
# too much? And what does a billionth cost? Alpha is chosen on training images put aside, since a choice made on test images
# would flatter their score.

# %% tags=["deeper"]
held, counted = train[: len(train) // 6], train[len(train) // 6 :][:20000]
alphas, lines = [1e-9, 1e-6, 1e-3, 0.01, 0.1, 1, 10], {}
for kind in (IndependentPixels, NeighbourTable):
    bits = [score(kind(alpha).fit(counted), held)[0] for alpha in alphas]
    above = [b - min(bits) for b in bits]
    lines[kind.__name__] = (alphas, above)
    print(f"{kind.__name__}: 1e-9 costs {above[0]:.3f} bits/dim, 10 costs {above[-1]:.3f}")
fig = plots.curves(lines, xlabel="alpha", ylabel="bits/dim above the model's best", log="x")
assert lines["IndependentPixels"][1][-1] > 2 * lines["NeighbourTable"][1][-1]

# %% [markdown] tags=["deeper"]
# The independent pixels suffer more from too much. Each of their 784 rows has only as many real observations as there are
# images, against 256 · 10 imaginary ones; the table's black row has millions. And a billionth costs little: a thousandth
# of the alpha adds ten bits at a value never seen, but section 5 counted how few pixels have one. Only zero costs
# everything. It matters *that* you smooth, far more than how much.
#
# ## 9 Break it on purpose
#
# **Look at the answer.** A context that contains the pixel itself, by one shift too few: the classic bug of every model
# that predicts pixels. **Predict** its score.


# %% tags=["deeper"]
def peeking(images):
    """Return contexts from the pixel itself and its upper neighbour: wrong."""
    coarse = (images.long() + 16) // 17
    return 16 * coarse + contexts(images) % 16


cheat = score(NeighbourTable(cfg.alpha, context=peeking).fit(train), test)[0]
total = world_sum(NeighbourTable(0.5, levels=2, context=peeking))
print(f"peeking: {cheat:.3f} bits/dim against {results['neighbour table'][0]:.3f}")
print(f"sum over the 16 pictures of the tiny world: {total:.3f}")
assert cheat < results["neighbour table"][0] and total > 1.01

# %% [markdown] tags=["deeper"]
# Wonderful, and worthless. No picture can be drawn from it, as each pixel would have to be known before it is drawn, and
# its "probabilities" sum to more than 1. **A score that is too good is a bug until the sum over a tiny world says
# otherwise.**
#
# **Fewer grey values.** Store the pictures with 16 grey values instead of 256 (`x // 16`), and score those. **Predict** the
# bits/dim of independent pixels. Is the model better now?

# %% tags=["deeper"]
coarse = IndependentPixels(cfg.alpha, levels=16).fit(train // 16)
told, extra = score(coarse, test // 16)[0], math.log2(16)
print(f"told: {told:.3f} bits/dim; for the true greys {extra:.0f} more, {told + extra:.3f}")
assert told < results["independent pixels"][0] < told + extra

# %% [markdown] tags=["deeper"]
# It told fewer bits, about an easier question. Whoever got the coarse picture must still guess which of the 16 greys in
# the bin it was: uniformly, another $\log_2 16 = 4$ bits a pixel. With them it is much *worse*: in the darkest bin nearly
# all is black, and a uniform guess wastes four bits on every black pixel. So never compare bits/dim of different grey
# scales.
#
# ## 10 Exercises
#
# **A. Predict (★, 5 minutes).** Which single neighbour tells more about a pixel, the left or the upper one? And what do
# both together gain over the better one?
#
# <details><summary>Hint 1</summary>Along an upright stroke the upper one knows, along a level one the left.</details>
# <details><summary>Hint 2</summary><code>contexts(x) // 16</code> is the left neighbour alone, <code>% 16</code> the upper.</details>

# %% tags=["deeper"]
neighbours = {"left": lambda x: contexts(x) // 16, "up": lambda x: contexts(x) % 16}
neighbours["both"] = contexts
told = {}
for name, context in neighbours.items():
    told[name] = score(NeighbourTable(cfg.alpha, context=context).fit(counted), held)
fig = plots.bars(told, ylabel="bits/dim, images put aside")
left, up, both = (told[name][0] for name in neighbours)
print(f"left and up differ by {abs(left - up):.3f} bits/dim; both gain {min(left, up) - both:.3f}")
assert min(left, up) - both > abs(left - up)

# %% [markdown] tags=["deeper"]
# <details><summary>Answer to A</summary>The two are close, as printed, and both together gain more than the two differ. Whether
# a stroke goes on, and in which direction, no single neighbour says.</details>
#
# **B. Build (★★, 15 minutes).** Give the table a third neighbour, the one above at the right: it is drawn before the pixel,
# too. With 6 coarse levels, (x + 50) // 51, there are $6^3 = 216$ contexts, fewer than now. **Predict:** which is worth
# more, the finer levels of two or the third? Then **write** `three_neighbours`.
#
# <details><summary>Hint 1</summary>As in <code>contexts</code>; the third is the picture moved down by one and to the
# <em>left</em> by one, with black at the right border.</details>
# <details><summary>Hint 2</summary><code>torch.nn.functional.pad(coarse, (1, 1, 1, 0))</code> puts black at the left, the
# right and on top. Then the left neighbours are <code>[..., 1:, :-2]</code> of it, and the others are two more such windows.</details>


# %% tags=["deeper", "export", "exercise"]
def three_neighbours(images):
    """Return contexts 36 * left + 6 * up + right, where `right` is the one above at the right.

    images: uint8 (N, 1, H, W) -> int64 (N, 1, H, W) in 0..215; outside of the picture is level 0.
    """
    ### TODO: 6 coarse levels, and the three neighbours of every pixel
    ### BEGIN SOLUTION
    coarse = torch.nn.functional.pad((images.long() + 50) // 51, (1, 1, 1, 0))
    return 36 * coarse[..., 1:, :-2] + 6 * coarse[..., :-1, 1:-1] + coarse[..., :-1, 2:]
    ### END SOLUTION


# %% tags=["deeper"]
three_neighbours = checks.score_a_generator.three_neighbours(three_neighbours)
third = score(NeighbourTable(cfg.alpha, context=three_neighbours).fit(counted), held)[0]
total = world_sum(NeighbourTable(0.5, levels=2, context=three_neighbours))
print(f"two fine neighbours {both:.3f}, three coarse {third:.3f} bits/dim; world sum {total:.6f}")
assert third < both and abs(total - 1) < 1e-12

# %% [markdown] tags=["deeper"]
# The third neighbour is worth more, and the sum over the tiny world says that nobody peeked.
#
# **C. Debug (★★, 10 minutes).** A colleague reports a Jensen-Shannon divergence of 1.39 for two histograms that
# share no value. How do you know that it is wrong without reading the code, and what is wrong with it?
#
# ```python
# def js(p, q):
#     m = (p + q) / 2
#     return (p * (p / m).log()).sum() + (q * (q / m).log()).sum()
# ```
#
# <details><summary>Hint 1</summary>Which values can JS have at all?</details>
# <details><summary>Hint 2</summary>Compare with the formula of section 4, factor by factor. Then try p = (1, 0).</details>
#
# <details><summary>Answer to C</summary>JS is at most ln 2 = 0.693 nats. Twice that came out: the half is missing. A second fault
# waits: wherever p or q is 0, 0 · ln 0 gives nan, so the 1.39 came from slightly smoothed histograms. Paste it into the
# cell of <code>js</code>; the check says the same.</details>

# %% [markdown] tags=["core"]
# ## 11 To discuss, and to keep
#
# <details><summary><b>Question.</b> Two papers report 1.2 and 3.1 bits/dim. What must be the same before you compare them?</summary>Data,
# test images, number of grey values, and that both are likelihoods (not bounds from different sides).</details>
# <details><summary><b>Question.</b> A model scores better on its training images than on test images. Is that wrong?</summary>Every
# fitted model does, a little. The copier shows the extreme. Only the test score counts.</details>
# <details><summary><b>Question.</b> May one test image of probability zero be left out of the mean?</summary>Then a model
# gains by excluding whatever is difficult. The infinite mean is the right verdict; smooth the model.</details>
#
# **Summary**
#
# - A likelihood asks how little a model is surprised by real pictures. It does not ask how its own pictures look. Measure
#   both.
# - An average over n draws misses by σ/√n, however many values there are: that is how every score is computed.
# - Bits/dim = nats / (D ln 2). No opinion costs 8 for bytes; sums over pixels, never means.
# - KL(p‖q) punishes what q misses, KL(q‖p) what it invents; JS is never above ln 2.
# - Never seen is not impossible: smooth. Too good to be true: sum over a tiny world.
#
# **Later lessons import** `IndependentPixels` and `NeighbourTable` (to beat), `kl`, `js`, `monte_carlo` and
# `mixture_log_likelihood`. **Limits:** the table sees two pixels. Part 4 lets networks look at all that came before.
#
# **Sources.** Theis, van den Oord and Bethge (2016), *A note on the evaluation of generative models*, section 3 ·
# Kullback and Leibler (1951), *On information and sufficiency* · Lin (1991), *Divergence measures based on the Shannon
# entropy* · Shannon (1948), *A mathematical theory of communication*, sections 6 and 7 · Goodfellow et al.
# (2014), *Generative adversarial nets*, section 4.1 (JS).
