# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown] tags=["core", "workshop"]
# # 20 Train a forger against a detective
#
# You will build a generative adversarial network (GAN): one network that turns noise into digits, and one that tells
# them from real ones. First you are the forger yourself.
#
# ![The same noise as digits, before training and at three moments of it](../data/pictures/20-033.png)
#
# | | |
# |---|---|
# | **You need** | the training loop and Adam (lessons 10 and 11), KL and Jensen-Shannon (lesson 01) |
# | **Time** | 65 minutes for the core, 115 more for what is marked *deeper*; the notebook itself runs in 3 minutes on two cores |
# | **Machine** | no GPU, no network, 1 GB of memory |
#
# When you are through, you can
#
# 1. turn noise into samples, and (deeper) say what density they have,
# 2. read the ratio of two densities off a classifier, and say how far off it is,
# 3. derive what the generator minimises, and show which of its two losses stops giving a gradient,
# 4. write both losses and the loop with two optimisers, in which each classic mistake is caught,
# 5. say why losses do not tell quality, and (deeper) how *often* a setting works, from 20 trainings at once.
#
# > **Remember.** The generator never sees a picture. It follows the slope of the discriminator's logit, an estimate of
# > log p_data / p_gen. So the losses say who is ahead, never how good the samples are.

# %% tags=["core", "workshop", "export"]
import copy
import math
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from course_lib import checks, datasets, device, explore, judges, metrics, plots, rings, training
from course_lib.built.score_a_generator import IndependentPixels, js  # written in lesson 01
from course_lib.settings import CourseError, data_name, profile


@dataclass
class Config:
    """The numbers of lesson 20; `profile` picks the value for the profile that you run in."""

    steps: int = profile(smoke=60, standard=9000, full=60000)  # of both optimisers
    batch_size: int = 64
    lr_gen: float = 3e-3
    lr_disc: float = 1e-3
    betas: tuple = (0.5, 0.99)  # Adam's; see section 7 for the usual 0.9
    average: float = 0.998  # how slowly the averaged generator follows
    measure_every: int = 25  # steps
    seed: int = 0


# %% [markdown] tags=["core", "workshop"]
# ## 1 The data, and one range for both
#
# The generator ends in a sigmoid: what it makes lies in 0..1. The data must arrive in the same range, or telling them apart
# is a matter of brightness. Axes: B pictures in a batch, N samples, R small GANs trained side by side (section 5). Codes
# such as G14 or T4 are rows of the course's catalogue of real bugs; the checks name them.
#
# An exercise marked *deeper* may stay open in the core: run its cells, and the check hands you the course's version.
#
# **Your turn (★, 5 min, deeper).** Write the way there, and the way back to bytes.
#
# <details><summary>Hint 1</summary>A straight line through (0, 0) and (255, 1), and its inverse. What does
# <code>.to(torch.uint8)</code> do with 254.9?</details>
# <details><summary>Hint 2</summary><code>yield x.___() / ___</code>; back: <code>(___ * x.clamp(0, 1)).___()</code>, and
# only then <code>.to(torch.uint8)</code>.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def picture_batches(images, batch_size, rng):
    """Yield endless shuffled batches (B, C, H, W) in 0..1 of images uint8 (N, C, H, W)."""
    if images.dtype != torch.uint8:
        raise CourseError(f"picture_batches reads uint8 in 0..255, not {images.dtype}.")
    for (x,) in datasets.batches(images, batch_size=batch_size, generator=rng):
        ### TODO: yield x as floats, 0 -> 0 and 255 -> 1
        ### BEGIN SOLUTION
        yield x.float() / 255
        ### END SOLUTION


def to_pixels(x):
    """Map floats in 0..1 to the nearest byte, uint8 in 0..255; what lies outside is clamped."""
    ### TODO: the way back, rounded
    ### BEGIN SOLUTION
    return (255 * x.clamp(0, 1)).round().to(torch.uint8)
    ### END SOLUTION


# %% tags=["core", "workshop"]
picture_batches = checks.gan.picture_batches(picture_batches)
to_pixels = checks.gan.to_pixels(to_pixels)
cfg, dev = Config(), device.pick_device()
rng = device.generator(cfg.seed, dev)  # noise, data and order
torch.manual_seed(cfg.seed)  # the layers' first weights
train = datasets.load(data_name(), "train", size=profile(smoke=2000, standard=None)).images.to(dev)
test = datasets.load(data_name(), "test", size=profile(smoke=500, standard=None)).images
assert train.shape[1:] == (1, 28, 28) and train.dtype == torch.uint8 and train.max() == 255
fig = plots.show_images(train[:20].cpu(), value_range=(0, 255), columns=10)

# %% [markdown] tags=["core", "workshop"]
# ## 2 Be the generator
#
# How do you draw from a distribution that nobody gave you a formula for? Draw a number $z$ from one that is easy, a normal
# one, and *transform* it: $x = g(z)$. Here $g$ has three knobs,
#
# $$ g(z) = \text{shift} + \text{scale} \cdot z + \text{split} \cdot \tanh 4z . $$
#
# What density has $x$? If $g$ rises, the noise between $z$ and $z + dz$ lands between $g(z)$ and $g(z) + g'(z)\,dz$. None
# is lost, so $p_{gen}(g(z))\; g'(z)\, dz = \varphi(z)\, dz$, or
#
# $$ p_{gen}(g(z)) = \frac{\varphi(z)}{g'(z)}, \qquad \text{with the normal density } \varphi(z) = \frac{e^{-z^2/2}}{\sqrt{2\pi}} . $$
#
# Where $g$ is steep the samples are spread thin. **Your turn (★★, 10 min, deeper).** Write it; autograd knows $g'$.
#
# <details><summary>Hint 1</summary>Each x depends on its own z only, so the gradient of the sum of all x holds every
# slope.</details>
# <details><summary>Hint 2</summary>A clone of z that requires gradients; <code>slope, = torch.autograd.grad(___,
# z)</code>; the density is ___ / slope; return both detached.</details>
#
# **Then play, and predict.** The data have two humps. Which slider makes two humps out of one? How small can you make the
# Jensen-Shannon divergence of lesson 01 (0 is perfect, ln 2 = 0.69 the worst)? Note your best.

# %% tags=["core", "workshop", "export", "exercise"]
def pushed_density(g, z):
    """Return x = g(z) and its density phi(z) / g'(z) where z ~ N(0, 1); all (N,), g rising."""
    ### TODO: x, the slope of g at each z, the density; without a graph
    ### BEGIN SOLUTION
    z = z.clone().requires_grad_()
    x = g(z)
    (slope,) = torch.autograd.grad(x.sum(), z)
    density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi) / slope
    return x.detach(), density.detach()
    ### END SOLUTION


# %% tags=["core", "workshop"]
pushed_density = checks.gan.pushed_density(pushed_density)
grid = torch.linspace(-6, 7, 1301).double()
truth = sum((-2 * (grid - centre) ** 2).exp() for centre in (-1, 2)) / math.sqrt(2 * math.pi)


def transform(z, shift, scale, split):
    return shift + scale * z + split * torch.tanh(4 * z)


def humps(n, draw):  # at -1 and 2, half a unit wide: (n, 1)
    return 3 * torch.randint(2, (n, 1), generator=draw) - 1 + torch.randn(n, 1, generator=draw) / 2


def forgery(**knobs):
    """Return the density of transformed noise at the points of `grid`, and its JS to the data."""
    x, density = pushed_density(lambda z: transform(z, **knobs), torch.arange(-6, 6, .003).double())
    q = torch.from_numpy(np.interp(grid, x, density, left=0, right=0))
    return q, js(truth / truth.sum(), q / q.sum()).item()


def draw_forgery(**knobs):
    yours = transform(torch.randn(20_000, 1, generator=device.generator(1)), **knobs)
    return plots.histogram({"data": humps(20_000, device.generator(2)), "yours": yours}, xlabel="x",
                           caption=f"Jensen-Shannon divergence {forgery(**knobs)[1]:.3f} nats")


spans = {"shift": (-2.0, 3.0, 0.0), "scale": (0.1, 2.1, 1.0), "split": (0.0, 2.0, 0.0)}
explore.View(draw_forgery, [explore.slider(name, *span) for name, span in spans.items()])

# %% tags=["core", "workshop"]
for split in (0.0, 0.4, 0.8, 1.2, 1.6):
    best = min(forgery(shift=0.5, scale=k / 10, split=split)[1] for k in range(2, 17))
    print(f"split {split}: JS {best:.3f} nats at the best scale")

# %% [markdown] tags=["core", "workshop"]
# Only *split* does it: it makes $g$ steep around $z = 0$, so that little noise lands in the middle. The printed JS falls as
# split grows, then rises again: too steep is wrong, too. Did yours go lower? You were a generator with
# three parameters, and looked at the data to set them. A GAN's generator never looks. It has a critic.
#
# ## 3 The critic estimates a ratio
#
# The **discriminator** gets real $x$ and forged ones, half and half, and says how likely $x$ is real: $D(x) =
# \sigma(\ell(x))$, with the **logit** $\ell$ from a network and $\sigma(\ell) = 1 / (1 + e^{-\ell})$. It maximises the
# **value**
#
# $$ V(D) = \mathbb E_{x \sim data} \ln D(x) + \mathbb E_{x \sim gen} \ln (1 - D(x))
#    = \int p_{data} \ln D + p_{gen} \ln (1 - D) \; dx . $$
#
# What is the best $D$? At each $x$ it is free to be any number. Set the derivative of the integrand to 0:
#
# $$ \frac{p_{data}}{D} - \frac{p_{gen}}{1 - D} = 0 \;\Rightarrow\;
#    D^* = \frac{p_{data}}{p_{data} + p_{gen}}, \qquad
#    \ell^* = \ln \frac{D^*}{1 - D^*} = \ln \frac{p_{data}}{p_{gen}} . $$
#
# The second derivative, $-p_{data}/D^2 - p_{gen}/(1-D)^2$, is negative: a maximum. So a classifier estimates **the ratio of
# two densities** from samples alone. In code we minimise $-V$. As $-\ln \sigma(\ell) = \ln(1 + e^{-\ell})$ and
# $-\ln(1 - \sigma(\ell)) = \ln(1 + e^{\ell})$, no sigmoid appears; that function is `F.softplus`, finite for all logits.
#
# | symbol | variable | shape |
# |---|---|---|
# | $z$; $G(z)$, by hand $g(z)$ | `z`; `fake` | (B, 64); (B, 1, 28, 28) |
# | $\ell(x)$, $\ell(G(z))$ | `logits_real`, `logits_fake` | (B,), for R rings (R, B) |
# | $D(x) = \sigma(\ell(x))$, the best one $D^*$ | `logits_real.sigmoid()` | (B,), in 0..1 |
# | $-V$ | `loss_disc` | one number, nats |
# | $p_{data}$, $p_{gen}$ (in section 2) | `truth`, `q` | (1301,), on `grid` |
# | $m$, JS (section 4) | half of both; `js` | as above; one number, nats |
# | $\theta$, $a$ (section 6) | weights of `gen`, of `averaged` | theirs |
#
# **Your turn (★, 5 min).** Take the mean over the batch, the last axis, and the sum over rings if there are several: each ring
# then gets its own gradient, as if it were alone.
#
# <details><summary>Hint 1</summary>Real logits should be large, forged ones small. Two means, added.</details>
# <details><summary>Hint 2</summary><code>F.softplus(___).mean(dim=-1)</code> twice: one gets its logits with a minus
# sign. Then <code>.sum()</code>.</details>
#
# Then put the theorem to the test. Freeze the forger at *shift 0.5, scale 1, split 0*: both densities are known, so is
# $\ell^*$. A small network sees samples only. **Predict.** Where will its logit be right, and where wrong?

# %% tags=["core", "workshop", "export", "exercise"]
def disc_loss(logits_real, logits_fake):
    """Return -V in nats, of logits (B,) or (R, B): mean over B, sum over R (paper: eq. 1)."""
    ### TODO: softplus of the right signs
    ### BEGIN SOLUTION
    real, fake = F.softplus(-logits_real), F.softplus(logits_fake)
    return (real.mean(dim=-1) + fake.mean(dim=-1)).sum()
    ### END SOLUTION


def mlp(*sizes):
    """Return layers of the given sizes with a leaky ReLU (slope 0.2) between two of them."""
    layers = [part for pair in pairwise(sizes) for part in (nn.Linear(*pair), nn.LeakyReLU(0.2))]
    return nn.Sequential(*layers[:-1])


def train_discriminator(disc, pairs, steps):
    """Train disc alone, for some steps, on `pairs` (real, forged) of batches."""
    opt_disc = torch.optim.Adam(disc.parameters(), betas=(0.5, 0.99))
    for _, (x, fake) in zip(range(steps), pairs, strict=False):
        loss_disc = disc_loss(disc(x), disc(fake))
        opt_disc.zero_grad()
        loss_disc.backward()
        opt_disc.step()


# %% tags=["core", "workshop"]
disc_loss = checks.gan.disc_loss(disc_loss)
draw, (q, far) = device.generator(1), forgery(shift=0.5, scale=1.0, split=0.0)
critic = nn.Sequential(mlp(1, 64, 64, 1), nn.Flatten(0))  # (B, 1) -> (B,)


def pair(n):
    return humps(n, draw), 0.5 + torch.randn(n, 1, generator=draw)


train_discriminator(critic, iter(lambda: pair(512), None), profile(smoke=300, standard=2000))
exact, seen = (truth / q).log(), (truth + q) / 2 > 0.02
logit = critic(grid.float()[:, None]).detach().double()
lines = {"trained": logit, "exact": exact}
fig = plots.curves({name: (grid[200:1100], y[200:1100]) for name, y in lines.items()}, xlabel="x",
                   ylabel="logit", reference={"undecided": 0})
gap = (logit - exact)[seen].square().mean().sqrt().item()
print(f"the logits are {gap:.2f} apart (root mean square) where the mean density is above 0.02")
print(f"at x = -4, where hardly a sample lies: trained {logit[200]:.1f}, exact {exact[200]:.1f}")
assert gap < profile(smoke=2, standard=0.4)

# %% [markdown] tags=["core"]
# Right where samples are. Where hardly any lie, and of one kind only, it knows the sign, not the value: nothing in its loss
# asks for more. Keep this for later: early on, forgeries lie where only one kind does.
#
# ## 4 What the generator minimises
#
# Put $D^*$ into $V$. With the mixture $m = \frac12(p_{data} + p_{gen})$, $D^* = p_{data} / 2m$ and $1 - D^* = p_{gen} / 2m$:
#
# $$ V(D^*) = \int p_{data} \ln \frac{p_{data}}{2m} + p_{gen} \ln \frac{p_{gen}}{2m}
#    = \mathrm{KL}(p_{data} \| m) + \mathrm{KL}(p_{gen} \| m) - 2 \ln 2 = 2\,\mathrm{JS} - 2 \ln 2 . $$
#
# Against a perfect critic, whoever lowers $V$ lowers the Jensen-Shannon divergence: the number that you lowered by hand. It is 0
# for $p_{gen} = p_{data}$ only; then $D = \frac12$ everywhere and `loss_disc` is $2 \ln 2 = 1.386$. **Predict.** On the same
# points, is the loss of the trained critic above or below that of $D^*$?

# %% tags=["core"]
points = pair(200_000)
trained = disc_loss(*(critic(x).detach() for x in points)).item()
best = disc_loss(*(torch.from_numpy(np.interp(x[:, 0], grid, exact)) for x in points)).item()
print(f"loss_disc: trained {trained:.4f}, D* {best:.4f}; 2 ln 2 - 2 JS {math.log(4) - 2 * far:.4f}")
assert trained > best and abs(best - 2 * math.log(2) + 2 * far) < 0.02

# %% [markdown] tags=["core", "workshop"]
# Above, if by little: $D^*$ is the best there is, and its loss is the formula's but for the luck of the draw. One thing to
# remember: where the two densities do not overlap at all, JS is $\ln 2$, whatever the distance between them. It has no slope there.
#
# ## 5 A loss that goes silent
#
# The generator can only change the second term of $V$. So its **minimax** loss is $\mathbb E \ln(1 - D(G(z)))$. It has the
# generator descend on JS, but look at its slope in the logit, beside that of the **non-saturating** loss
# $-\mathbb E \ln D(G(z))$, which Goodfellow et al. propose in section 3 of the same paper:
#
# $$ \frac{d}{d\ell} \ln (1 - \sigma(\ell)) = \frac{-\sigma (1 - \sigma)}{1 - \sigma} = -\sigma(\ell),
#    \qquad \frac{d}{d\ell} \big(\!-\ln \sigma(\ell)\big) = -(1 - \sigma(\ell)) . $$
#
# A bad forgery is recognised: $\ell \ll 0$. There the first slope is about $-e^{\ell}$, nothing, and the second nearly $-1$. The
# worse the forgery, the less the minimax loss says. Both push the same way, and at $\ell = 0$ equally hard. (Which distance the second one minimises is a question for lesson 23.)
#
# **Your turn (★, 5 min).** Write both.
#
# <details><summary>Hint 1</summary>Both get the logits of the forgeries and nothing else. With softplus again, one with a
# minus sign in front.</details>
# <details><summary>Hint 2</summary>-ln σ(ℓ) = ln(1 + e^-ℓ) and ln(1 - σ(ℓ)) = -ln(1 + e^ℓ): which is softplus of what?
# Mean and sum as before.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def gen_loss(logits_fake):
    """Return -ln D(G(z)), non-saturating, of logits (B,) or (R, B): mean over B, sum over R."""
    ### TODO: -ln of the sigmoid, stable
    ### BEGIN SOLUTION
    return F.softplus(-logits_fake).mean(dim=-1).sum()
    ### END SOLUTION


def minimax_gen_loss(logits_fake):
    """Return ln(1 - D(G(z))), minimax, of logits (B,) or (R, B): mean over B, sum over R."""
    ### TODO: ln(1 - sigmoid), stable
    ### BEGIN SOLUTION
    return -F.softplus(logits_fake).mean(dim=-1).sum()
    ### END SOLUTION


# %% [markdown] tags=["core", "workshop"]
# Now see it happen, in two dimensions. The data: eight narrow humps on a circle (Metz et al. 2017, section 3.1). One
# training is an anecdote, so we train **20 rings at once**: in `rings.Networks` each weight has a first axis R, and a layer is
# one batched product, $y_r = x_r W_r + b_r$. Nothing leaks from ring to ring: the losses are summed, and Adam treats every
# number for itself. `rings` also draws the data, counts humps and paints.
#
# **Predict.** Freeze the untrained generators and let the discriminators run 1,000 steps ahead. By what factor does the
# gradient that reaches the generator change, with each loss?

# %% tags=["core", "workshop"]
gen_loss = checks.gan.gen_loss(gen_loss)
minimax_gen_loss = checks.gan.minimax_gen_loss(minimax_gen_loss)
early, sure = rings.Networks().to(dev), rings.Networks(outputs=1).to(dev)
frozen = ((x, early(early.noise(64, rng)).detach()) for x in rings.batches(64, rng))
probe, norms = early.noise(256, rng), {"non-saturating": [], "minimax": []}
ahead = [0, 1, 3, 10, 30, 100, 300, profile(smoke=301, standard=1000)]
for before, after in pairwise([0, *ahead]):
    train_discriminator(sure, frozen, after - before)
    for name, loss in zip(norms, (gen_loss, minimax_gen_loss), strict=True):
        grads = torch.autograd.grad(loss(sure(early(probe))), list(early.parameters()))
        norms[name].append(sum(g.flatten(1).square().sum(1) for g in grads).sqrt().median().item())
fig = plots.curves({name: (ahead, y) for name, y in norms.items()}, log=True,
                   xlabel="steps that D is ahead", ylabel="gradient of G, median of 20")
print(*(f"{k}: {y[0]:.2g} -> {y[-1]:.2g}, times {y[-1] / y[0]:.0e};" for k, y in norms.items()))
assert norms["minimax"][-1] < profile(smoke=0.9, standard=1e-3) * norms["non-saturating"][-1]

# %% [markdown] tags=["core", "workshop"]
# The minimax gradient is all but gone, as its slope $\sigma(\ell)$ says; the other has grown. With the first, plain descent would stand still. Adam hides it: it divides each gradient by its usual size, however
# small. So keep an open mind about who wins (section 7, deeper).
#
# ## 6 The loop with two optimisers
#
# $D$ chases a ratio that changes with every step of the generator. Nobody trains it to the end; the two take turns
# (Goodfellow et al. 2014, algorithm 1). Three things guard what belongs to whom. Each optimiser holds the weights of *one*
# network. In $D$'s turn the forgeries are **detached**: no gradient walks back into the generator. In the generator's turn the
# gradient must pass through $D$ to reach it, and leaves its traces in $D$'s `.grad`: so each clears its own
# gradients *before* its backward pass.
#
# In the last quarter both learning rates fall to 0, so that the chase slows down. Around it: `vital_signs` measures for the
# dashboard, `or_stop` ends the training when one is `nan`, and `follow` keeps an average of the generator's
# recent weights, which circles less (Yazıcı et al. 2019). Its decay starts at 0 and rises to `cfg.average`, so that the
# first weights are soon forgotten.
#
# **Your turn (★★, 10 min, deeper).** The average: $a \leftarrow \text{decay} \cdot a + (1 - \text{decay})\, \theta$ for each weight.
#
# <details><summary>Hint 1</summary><code>a.lerp_(w, share)</code> moves a by that share towards w, in place.</details>
# <details><summary>Hint 2</summary><code>zip(averaged.parameters(), gen.parameters(), strict=True)</code> pairs them; the
# same with <code>buffers()</code> and <code>a.copy_(w)</code>.</details>

# %% tags=["core", "workshop", "export", "exercise"]
@torch.no_grad()
def follow(averaged, gen, decay):
    """Move the weights of `averaged` by the share 1 - decay towards gen's; copy the buffers."""
    ### TODO: every parameter, then every buffer, which is a statistic and no weight
    ### BEGIN SOLUTION
    for a, w in zip(averaged.parameters(), gen.parameters(), strict=True):
        a.lerp_(w, 1 - decay)
    for a, w in zip(averaged.buffers(), gen.buffers(), strict=True):
        a.copy_(w)
    ### END SOLUTION


def or_stop(nets, good, **signs):
    """Return copies of the nets' states; if a sign is not finite, put back `good` and raise."""
    if wrong := [name for name, value in signs.items() if not math.isfinite(value)]:
        for net, state in zip(nets, good or [], strict=False):
            net.load_state_dict(state)
        raise CourseError(f"No finite number any more: {', '.join(wrong)}. The networks are back "
                          "at their last good state; lower the rates, look for nan in data.")
    return [copy.deepcopy(net.state_dict()) for net in nets]


# %% tags=["core", "workshop"]
follow = checks.gan.follow(follow)

# %% tags=["core", "workshop", "export"]
def vital_signs(gen, disc, x, z):
    """Return D's mean answers to x and gen(z), and gen(z)'s diversity relative to x."""
    fake = gen(z)
    if fake.shape != x.shape:
        raise CourseError(f"The generator makes {[*fake.shape]}, the data are {[*x.shape]}.")
    real, forged = disc(x), disc(fake)
    wide, full = (part.std(dim=real.ndim - 1).norm() for part in (fake, x))  # over the batch
    answers = {"D(x)": real.sigmoid().mean().item(), "D(G(z))": forged.sigmoid().mean().item()}
    return answers | {"diversity": (wide / full).item()}


# %% [markdown] tags=["core", "workshop"]
# **Your turn (★★★, 15 min).** The heart of the lesson: the two turns. `x` (real) and `z` are there; leave `loss_disc` and
# `loss_gen` as tensors for the log, and return nothing. Without `averaged`, `follow` moves gen towards itself: no change.
# The cell of the check also defines `watched`, which looks at a training from time to time, and `race`, for section 7.
#
# <details><summary>Hint 1</summary>Discriminator first: forge, loss, clear, backward, step. The generator's turn asks the
# discriminator anew about the same forgeries, attached this time. (Fresh noise for it is allowed.)</details>
# <details><summary>Hint 2</summary><code>fake = gen(z)</code>; <code>loss_disc = disc_loss(disc(x), disc(___))</code>; three
# calls; <code>loss_gen = loss(___)</code>; the same three calls for the other optimiser.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def train_gan(cfg, gen, disc, data, rng, *, loss=gen_loss, averaged=None,
              should_stop=training.never_stop, view=None, label="training"):
    """Train gen and disc in turn on endless batches `data`; return the history. loss: gen's.

    averaged: a copy that follows gen. CourseError at nan. Goodfellow et al. (2014), algorithm 1.
    """
    opt_gen = torch.optim.Adam(gen.parameters(), lr=cfg.lr_gen, betas=cfg.betas)
    opt_disc = torch.optim.Adam(disc.parameters(), lr=cfg.lr_disc, betas=cfg.betas)
    good, nets = None, [net for net in (gen, disc, averaged) if net is not None]
    with training.progress(cfg.steps, should_stop, view, label=label) as run:
        for step, x in zip(run, data, strict=False):
            z = gen.noise(cfg.batch_size, rng)
            for opt, lr in ((opt_gen, cfg.lr_gen), (opt_disc, cfg.lr_disc)):
                opt.param_groups[0]["lr"] = lr * min(1, 4 - 4 * run.fraction)
            if step % cfg.measure_every == 0:
                signs = vital_signs(gen, disc, x, z)
                good = or_stop(nets, good, **signs)
                run.log(**signs)
            ### TODO: the discriminator's turn, with loss_disc; the generator's, with loss_gen
            ### BEGIN SOLUTION
            fake = gen(z)
            loss_disc = disc_loss(disc(x), disc(fake.detach()))
            opt_disc.zero_grad()
            loss_disc.backward()
            opt_disc.step()
            loss_gen = loss(disc(fake))
            opt_gen.zero_grad()
            loss_gen.backward()
            opt_gen.step()
            ### END SOLUTION
            follow(averaged or gen, gen, min(cfg.average, step / (step + 10)))
            run.log(loss_disc=loss_disc, loss_gen=loss_gen)
    return run.history


# %% [markdown] tags=["deeper"]
# ## 7 Deeper: twenty rings, and success as a rate
#
# A hump is **found** if at least a tenth of its fair share of the samples lies near it. **Predict.** After 2,000 steps, how
# many of the 20 rings have found all eight? How will the samples travel, from the middle where they begin? And which of
# these settings are worse: the minimax loss of section 5; Adam's usual $\beta_1 = 0.9$; $\beta_1 = 0.9$ with the generator's rate
# three times ours and $D$'s a third of ours, so that $D$ is ten times slower than its opponent; a $D$ that ends in a sigmoid, "because
# we want probabilities", before losses that expect logits (G13)?
#
# The film shows a ring of ours, 100 steps a frame. Black: samples; orange: D says real; blue: D says forged.

# %% tags=["core", "workshop"]
train_gan = checks.gan.train_gan(train_gan)


def watched(batches, every, look):  # calls look(step) before every so many batches
    for step, x in enumerate(batches):
        if step % every == 0:
            look(step)
        yield x


def race(arm, *, network=rings.Networks, **options):
    """Return the humps of 20 rings at 21 moments (21, 20), frames of one ring, lowest loss_disc."""
    gen, disc, found, frames = rings.Networks().to(dev), network(outputs=1).to(dev), [], []
    draw = device.generator(arm.seed, dev)

    def look(step):
        x = gen(gen.noise(1000, device.generator(9, dev))).detach()
        found.append(rings.modes_found(x).cpu())
        frames.append(rings.picture(x[0, :300], lambda p: disc(p.expand(20, -1, 2))[0].sigmoid()))

    data = watched(rings.batches(arm.batch_size, draw), arm.steps // 20, look)
    history = train_gan(arm, gen, disc, data, draw, **options)
    look(arm.steps)
    return torch.stack(found), frames, min(history["loss_disc"][1]) / 20

# %% tags=["deeper"]
ours = replace(cfg, steps=profile(smoke=40, standard=2000), lr_gen=1e-3, measure_every=100)
heavy, slow = replace(ours, betas=(0.9, 0.99)), "beta1 0.9, D ten times slower"
arms = {"ours": (ours, {}), "minimax loss": (ours, {"loss": minimax_gen_loss})}
arms |= {"beta1 0.9": (heavy, {}), slow: (replace(heavy, lr_gen=3e-3, lr_disc=3e-4), {})}
arms["two sigmoids"] = ours, {"network": lambda **_: nn.Sequential(rings.Networks(1), nn.Sigmoid())}
races = {name: race(arm, label=name, **options) for name, (arm, options) in arms.items()}
film = plots.animation(races["ours"][1], value_range=(0, 1), scale=3, alt="Samples find the humps.")
won = {name: (found == 8).sum(dim=1).tolist() for name, (found, *_) in races.items()}
for name, (found, _, lowest) in races.items():
    print(f"{name}: all 8 humps in {won[name][15]} of 20 rings at 3/4, {won[name][20]} at the end, "
          f"median of humps {found[20].median()}; lowest loss_disc {lowest:.3f}")
at = [k * ours.steps / 20 for k in range(21)]
fig = plots.curves({name: (at, [5 * n for n in row]) for name, row in won.items()}, xlabel="step",
                   ylabel="rings with all 8 humps, %")
fig = plots.show_images(torch.stack(races[slow][1][16:]), value_range=(0, 1), columns=5, scale=1,
                        labels=[f"step {k:,.0f}" for k in at[16:]], caption=slow)
assert min(won["ours"][20], won["minimax loss"][20]) >= profile(smoke=0, standard=19)

# %% [markdown] tags=["deeper"]
# The samples leave the middle, scatter, close to a ring and gather at the humps, always after the orange, where $D$ still
# holds points for real. One run would have told you whether you were lucky; the rate says what the setting does.
#
# | setting | what the rows say |
# |---|---|
# | minimax loss | no worse than ours: with Adam it loses nothing, in spite of section 5 |
# | β₁ = 0.9 | later: its curve rises after ours. Old gradients point to where the opponent was; that this is the cause, no run here tests |
# | and $D$ ten times slower | **collapse**: the median of humps found says it, and the last pictures: all samples in one clump, which is elsewhere 100 steps later. (Three settings changed at once; which one does it is exercise D.) |
# | two sigmoids | fewer rings than ours, and nobody complains |
#
# The last has a sign. "Logits" in 0..1 cost even a perfect $D$ $\ln(1 + e^{-1}) + \ln 2 = 1.006$; it cannot pay less. On this
# ring no $D$ wins, so all arms stay above that. Where $D$ should win, as when it learns one batch by heart below, two
# sigmoids would stop at 1.006.

# %% [markdown] tags=["core", "workshop"]
# ## 8 Digits
#
# The same loop with two plain networks. Three things to know before training: the number of parameters, both losses, and
# that $D$ can learn one batch by heart. **Predict** the two losses.
#
# The generator's learning rate is three times $D$'s, though a slow $D$ is fatal on section 7's ring. There $D$ never wins; here it
# learns 64 pictures by heart in 100 steps. What helps depends on who is ahead.

# %% tags=["core", "workshop", "export"]
class Generator(nn.Module):
    """Turn noise z (B, latent) into pictures (B, 1, 28, 28) in 0..1."""

    def __init__(self, latent=64, width=256):
        super().__init__()
        self.latent, self.layers = latent, mlp(latent, width, width, 784)

    def noise(self, n, rng):
        """Draw z (n, latent) from N(0, 1)."""
        return torch.randn(n, self.latent, generator=rng, device=rng.device)

    def forward(self, z):
        return self.layers(z).sigmoid().view(-1, 1, 28, 28)


class Discriminator(nn.Module):
    """Judge pictures x (B, 1, 28, 28) in 0..1: logits (B,), positive for real."""

    def __init__(self, width=128):
        super().__init__()
        self.layers = mlp(784, width, width // 2, 1)

    def forward(self, x):
        return self.layers(x.flatten(1))[:, 0]


# %% tags=["core", "workshop"]
Discriminator = checks.gan.discriminator(Discriminator)
gen, disc, x = Generator().to(dev), Discriminator().to(dev), next(picture_batches(train, 64, rng))
fake = gen(gen.noise(64, rng)).detach()
first = disc_loss(disc(x), disc(fake)).item(), gen_loss(disc(fake)).item()
train_discriminator(student := copy.deepcopy(disc), iter(lambda: (x, fake), None), 100)
by_heart = disc_loss(student(x), student(fake)).item()
print(*(f"{device.count_parameters(net):,} parameters;" for net in (gen, disc)),
      f"before: loss_disc {first[0]:.3f}, loss_gen {first[1]:.3f}; by heart: {by_heart:.4f} nats")
assert max(abs(first[0] - math.log(4)), abs(first[1] - math.log(2)), by_heart) < 0.1

# %% [markdown] tags=["core", "workshop"]
# Who knows nothing says $D = \frac12$: $2 \ln 2$ and $\ln 2$. The dashboard draws both as level lines. Below it stand what $D$
# says of real and forged, and the **diversity**: how widely samples spread around their mean, 1 if as widely as real ones.
#
# **Predict.** The pictures get better from step to step. Which loss falls meanwhile?

# %% tags=["core", "workshop"]
def dashboard(run):
    return plots.curves({name: run.history[name] for name in ("loss_disc", "loss_gen")}, smooth=99,
                        xlabel="step", ylabel="nats", reference={"2 ln 2": 1.386, "ln 2": .693})


def look(step):
    sheets[f"step {step:,}"] = x = to_pixels(averaged(fixed).detach()).cpu()
    distances.append(metrics.frechet_distance(judge.features(x), real))


judge, sheets, distances = judges.judge(data_name()), {}, []
averaged, fixed = copy.deepcopy(gen), gen.noise(1000, device.generator(3, dev))  # ever the same z
real, moments = judge.features(test), [cfg.steps * k // 6 for k in range(7)]
data = watched(picture_batches(train, cfg.batch_size, rng), cfg.steps // 6, look)
history = train_gan(cfg, gen, disc, data, rng, averaged=averaged, view=dashboard)
look(cfg.steps)
fig = plots.curves({k: history[k] for k in ("D(x)", "D(G(z))", "diversity")}, xlabel="step",
                   ylabel="probability, ratio", smooth=9, reference={"undecided": 0.5})
fig = plots.compare({k: sheets[k] for k in list(sheets)[::2]}, value_range=(0, 255), scale=2)
parts = np.array_split(history["loss_gen"][1], 6)
for step, distance, part in zip(moments[1:], distances[1:], parts, strict=True):
    print(f"to step {step:6,}: mean loss_gen {part.mean():.3f}; Fréchet distance {distance:5.1f}")

# %% [markdown] tags=["core", "workshop"]
# At first `loss_gen` falls, from a stormy start in which $D$ wins. In the middle rows it stands nearly still, and the
# distance goes on falling. In the last, where the learning rates fall, it drops again, and the distance only a little. A
# loss tells how one network fares *against the other, now*. In the pictures the same noise is often another digit in the next row:
# nothing ties a $z$ to a class.

# %% [markdown] tags=["deeper"]
# ### Deeper: measure from outside
#
# The Fréchet distance in the features of lesson 15's judge, beside the floor (real against real)
# and lesson 01's independent pixels; the classes that the judge reads; the nearest training picture.
#
# **Predict.** Is every digit among the samples? Are they copies of training pictures? And what does averaging buy?

# %% tags=["deeper"]
z, known = gen.noise(len(test), rng), train[: len(test)].cpu()
plain, samples = (to_pixels(net(z).detach()).cpu() for net in (gen, averaged))
fig = plots.show_images(samples[:100], value_range=(0, 255), columns=10, scale=2)
old = IndependentPixels(0.1).fit(known).sample(len(test), device.generator(4))
sets = {"independent pixels": old, "not averaged": plain, "GAN": samples, "floor: real": known}
scores = {name: metrics.frechet_distance(judge.features(x), real) for name, x in sets.items()}
fig = plots.bars(scores, ylabel=f"Fréchet distance, {judge.name}")
for name in ("floor: real", "GAN"):
    shares = torch.bincount(judge.classify(sets[name]).argmax(dim=1), minlength=10) / len(test)
    print(f"{name}, read as 0 to 9:", *(f"{share:.1%}" for share in shares))
(apart, index), (usual, _) = (metrics.nearest_distance(x[:200], known) for x in (samples, test))
print(f"to the nearest of {len(known):,} training pictures: median GAN {apart.median():.0f}, "
      f"test {usual.median():.0f}; smallest: GAN {apart.min():.0f}, test {usual.min():.0f}")
rows = {"GAN": samples[:10], "nearest": known[index[:10]], "real": test[:10]}
fig = plots.compare(rows, value_range=(0, 255), scale=2)
assert scores["GAN"] < profile(smoke=math.inf, standard=0.2) * scores["independent pixels"]

# %% [markdown] tags=["deeper"]
# All ten, as the judge reads them; it must name a class for every smudge, and the shares of real data are more even. No
# sample is a copy: they lie no nearer to training pictures than unseen digits do. Averaging buys the difference between two
# of the bars. The floor is far.
#
# ## 9 Deeper: play
#
# Drag through the noise. A and B are two samples; **way** leads from one to the other. What lies between two digits?

# %% tags=["deeper"]
def draw_way(A, B, way):
    a, b = (averaged.noise(1, device.generator(100 + k, dev)) for k in (A, B))
    angles = [part * math.pi / 2 for part in (0, 0.25, 0.5, 0.75, 1, way)]
    x = torch.cat([averaged(math.cos(t) * a + math.sin(t) * b) for t in angles]).detach()
    return plots.show_images(to_pixels(x).cpu(), value_range=(0, 255), columns=6, scale=3,
                             labels=["A", "1/4", "1/2", "3/4", "B", "way"])


spans = {"A": (0, 50, 1), "B": (0, 50, 2), "way": (0.0, 1.0, 0.6)}
explore.View(draw_way, [explore.slider(name, *span) for name, span in spans.items()])

# %% [markdown] tags=["deeper"]
# ## 10 Deeper: break it on purpose, with two ranges (G14)
#
# The data arrive in -1..1, and the sigmoid makes 0..1. **Predict** `loss_disc`, and what the samples look like.

# %% tags=["deeper"]
arm = replace(cfg, steps=profile(smoke=40, standard=500))
net, foe = Generator().to(dev), Discriminator().to(dev)
bright = (2 * x - 1 for x in picture_batches(train, cfg.batch_size, rng))
print(f"last loss_disc: {np.mean(train_gan(arm, net, foe, bright, rng)['loss_disc'][1][-20:]):.4f}")
fig = plots.show_images(to_pixels(net(fixed[:10])).cpu(), value_range=(0, 255), columns=10)

# %% [markdown] tags=["deeper"]
# Nearly 0, and all black: 0 is as near to -1 as a sigmoid gets, and the background alone gives every forgery away. (The
# line of the training averages D(G(z)) over its last 20 measurements, from the first step on.) **A discriminator loss near 0 is no success
# (G17)**: it has won, and the game is over. Look at the ranges first.
#
# ## 11 Deeper: exercises
#
# **A. Predict (★★, 10 minutes): without Adam.** Take section 5's last gradients. The generator makes 100 steps of plain descent at
# rate 0.1 against a frozen $D$ that is 1,000 steps ahead. If the gradient stayed as it is, how far would its weights move
# with each loss? Compare with the length of all its weights; then run the cell.
#
# <details><summary>Hint 1</summary>A step of plain descent is the rate times the gradient.</details>
# <details><summary>Hint 2</summary>100 · 0.1 · the norm that section 5 printed.</details>
#
# <details><summary>Answer to A</summary>By ten times the printed norm. With the minimax loss that is nothing beside the
# weights: it stands still where it is most wrong (Arjovsky and Bottou 2017, section 2.2). With the other it is far more than
# the weights themselves, so the gradient will not stay as it is. Adam's first step is a full learning rate with either, as
# in lesson 11.</details>

# %% tags=["deeper"]
weights = sum(p.flatten(1).square().sum(1) for p in early.parameters()).sqrt().median().item()
print(f"all weights: {weights:.1f};", *(f"{k}: {10 * y[-1]:.1g};" for k, y in norms.items()))

# %% [markdown] tags=["deeper"]
# **B. Build (★★★, 20 minutes): use the ratio.** A bad generator can be mended after training: keep each sample with a probability
# proportional to $p_{data}/p_{gen} = e^{\ell}$ (rejection; Azadi et al. 2019). What is kept has the density
# $p_{gen} \cdot p_{data}/p_{gen} = p_{data}$. A probability is at most 1, so divide by the largest ratio: that is also how many
# times more samples you draw than keep. Where the critic's ratio is a little too large, so is what is kept: compare the humps.
#
# <details><summary>Hint 1</summary>exp(logit - largest logit) is the probability; compare it with a uniform number.</details>
# <details><summary>Hint 2</summary><code>torch.rand(___, generator=rng, device=logits.device)</code> below the chance; subtract
# before <code>exp</code>, or large logits overflow.</details>

# %% tags=["deeper", "exercise", "export"]
def accept(logits, rng):
    """Choose the samples to keep: bool (N,), True with probability exp(logit - largest logit)."""
    ### TODO: one uniform number for each sample
    ### BEGIN SOLUTION
    chance = (logits - logits.max()).exp()
    return torch.rand(logits.shape, generator=rng, device=logits.device) < chance
    ### END SOLUTION


# %% tags=["deeper"]
accept = checks.gan.accept(accept)
data, forged = pair(50_000)
logits = critic(forged).detach()
kept = forged[accept(logits, draw)]
fig = plots.histogram({"forged": forged, "kept": kept, "data": data}, xlabel="x")
print(f"largest ratio {logits.max().exp():.1f}, kept {len(kept) / 50_000:.0%}")
assert abs(kept.std() - data.std()) < profile(smoke=2, standard=0.1)

# %% [markdown] tags=["deeper"]
# **C. Debug (★★, 10 minutes): stuck at 13.82 (G1, G2).** A colleague's losses take probabilities. First they gave `inf`; so he added
# 1e-6. Now `loss_gen` stands at 13.82, and nothing learns. Why this number, what is the slope there, and what do you write
# instead?
#
# ```python
# def gen_loss(logits_fake):
#     return -torch.log(torch.sigmoid(logits_fake) + 1e-6).mean()
# ```
#
# <details><summary>Hint 1</summary>What is -ln 1e-6?</details>
# <details><summary>Hint 2</summary>The slope is -σ(1 - σ) / (σ + 1e-6). Put in the logit -40.</details>
#
# <details><summary>Answer to C</summary>13.82 = -ln 1e-6: beside it σ is 0. The slope is then about -σ / 1e-6, nothing: the
# non-saturating loss, made to saturate. Write softplus of the logits. Paste the colleague's version above the check of
# section 5; it says the same.</details>
#
# **D. Modify (★★, 15 minutes).** Change *one* of `lr_gen=3e-3`, `lr_disc=3e-4`, `betas=(0.0, 0.99)` in `ours`, and call
# section 7's `race` with seeds 0, 1 and 2, with and without the change. How many rings hold all humps at the end, mean and
# spread over seeds? Is the difference larger than the spread?
#
# <details><summary>Hint 1</summary><code>race(replace(ours, lr_gen=3e-3, seed=1))[0][-1]</code> holds the humps of 20
# rings. The seed sets the data and the noise; the first weights go on from where they were.</details>
# <details><summary>Hint 2</summary><code>(humps == 8).sum()</code> for each of six runs; <code>statistics.mean</code> and
# <code>stdev</code>.</details>

# %% [markdown] tags=["core", "workshop"]
# ## 12 To discuss, and to keep
#
# <details><summary><b>G18.</b> "loss_gen went down, so the pictures got better." True?</summary>Not by itself: this
# discriminator is fooled more often; perhaps it got worse. Compare the two columns that section 8 prints.</details>
# <details><summary><b>G10.</b> A tutorial prints the objective "minimise log D(G(z))". What is wrong?</summary>Either
# minimise log(1 - D(G(z))) or maximise log D(G(z)). As printed, the generator is asked to be caught.</details>
# <details><summary><b>G12.</b> Somebody calls disc.requires_grad_(False) in the generator's turn. A bug?</summary>No, it saves
# work, if it is switched on again before D's turn. Frozen for ever, it would be.</details>
# <details><summary><b>T4, G3.</b> Somebody forgot detach. Is the result wrong?</summary>With one batch of forgeries for both
# turns PyTorch refuses: their graph is used up. With a new batch for each it is slower, not wrong, as long as the
# generator's gradients are cleared before its own backward pass. Forget that too, and it is pushed to be caught.</details>
#
# **Summary**
#
# - The generator never sees a picture. It follows the slope of the discriminator's logit, an estimate of
#   log p_data / p_gen. So the losses say who is ahead, never how good the samples are.
# - Against a perfect D the value is 2 JS - 2 ln 2; where nothing can be told apart, the losses are 2 ln 2 and ln 2.
# - The minimax loss falls silent where forgeries are worst, -ln D does not; Adam hides the difference.
# - Two optimisers, detach in D's turn, each clears its own gradients, one range for data and generator.
# - (Deeper) Success is a rate. Count modes and classes, over seeds.
#
# **Later lessons import** `train_gan`, both losses, `follow`, `vital_signs`, `picture_batches` and `to_pixels`.
# **Limits:** dense layers know no neighbourhoods, and their digits are rough; lesson 21 brings convolutions, 23 and 24 other
# objectives and steadier training.
#
# **Papers.** Goodfellow et al. (2014), *Generative adversarial nets*, sections 3 and 4 · Arjovsky and Bottou (2017),
# *Towards principled methods for training GANs*, section 2 · Metz et al. (2017), *Unrolled generative adversarial
# networks*, section 3.1 (the ring, and how it collapses) · Mescheder, Geiger and Nowozin (2018), *Which training methods for GANs do actually
# converge?* · Yazıcı et al. (2019), *The unusual effectiveness of averaging in GAN training* · Azadi et al. (2019),
# *Discriminator rejection sampling*, section 3.
