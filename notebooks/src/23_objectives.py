# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown] tags=["core", "workshop"]
# # 23 Compare five GAN objectives
#
# You will build five GAN objectives, find out which distance each of them minimises, and let them compete on digits.
#
# ![Samples of five objectives after the same processor time](../data/pictures/23-031.png)
#
# | | |
# |---|---|
# | **You need** | the two losses and the loop of lesson 20, the networks of lesson 21 (used as they are), KL and JS (lesson 01) |
# | **Time** | 65 minutes for the core, 105 more for what is marked *deeper*; the notebook itself runs in 4 minutes |
# | **Machine** | no GPU, no network, 1 GB of memory |
#
# When you are through, you can
#
# 1. compute what a discriminator measures, and the gradient that it hands over, for five objectives,
# 2. compute the earth mover's distance by sorting, and (deeper) the critic that reaches it,
# 3. write a gradient penalty, and know its silent mistakes,
# 4. say what the critic's number means: not the distance, but, for two points, d (1 + d / 2λ), or worse,
# 5. train all of them by one loop, and (deeper) write it.
#
# > **Remember.** What D measures and what G descends on are two questions. Overlap measures (JS, χ²) stop saying how far;
# > the earth mover's distance goes on, if something holds the critic's slope.

# %% tags=["core", "workshop", "export"]
import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from course_lib import checks, datasets, device, explore, judges, metrics, plots, training
from course_lib.built import dcgan, gan  # lessons 21 and 20
from course_lib.built.gan import disc_loss, follow, gen_loss, minimax_gen_loss, or_stop, vital_signs
from course_lib.built.score_a_generator import js, kl  # lesson 01
from course_lib.settings import CourseError, data_name, profile


@dataclass
class Config:
    """The numbers of lesson 23; `profile` picks the value for the profile that you run in."""

    seconds: float = profile(smoke=0.4, standard=20, full=600)  # processor time per objective
    steps: int = 1_000_000  # of the generator at most: the seconds end it
    batch_size: int = 64
    lr_gen: float = 2e-3
    lr_disc: float = 2e-3
    betas: tuple = (0.5, 0.99)
    average: float = 0.99
    measure_every: int = 50
    seed: int = 0


# %% [markdown] tags=["core", "workshop"]
# ## 1 Two humps
#
# Lesson 20 ended its theory with a warning: where data and forgeries do not overlap, the Jensen-Shannon divergence (JS) is
# ln 2, however far apart they are. A generator needs to hear "closer", "farther". So measure by *transport*. How much
# earth must be carried, and how far, to turn one heap into the other? With N samples a of one and b of the other, and
# one barrow for each, the **earth mover's distance** is the cheapest assignment's mean way,
#
# $$ W_1 = \min_{\pi} \frac1N \sum_i |a_i - b_{\pi(i)}| . $$
#
# Trying all assignments is hopeless. On a line there is a short cut. Let $a_1 \le a_2$ and $b_1 \le b_2$. Crossing
# ($a_1$ to $b_2$, $a_2$ to $b_1$) never costs less than going straight: each stretch of the line is
# walked at least as often. So uncross until nothing crosses: everything is in order.
#
# **Your turn (★, 5 min).** Write it. Codes such as W2 or T9 are rows of the course's catalogue of real bugs; the checks name them. Axes: B
# pictures in a batch, N samples, K points of a grid.
#
# <details><summary>Hint 1</summary>The smallest of a goes to the smallest of b, and so on.</details>
# <details><summary>Hint 2</summary><code>a.sort().values</code>; the mean of the absolute differences.</details>
#
# **Predict.** A hump of data, half a unit wide, stands at 0, an equal one of forgeries at d. Which of four measures still
# tell d = 4 from d = 8?

# %% tags=["core", "workshop", "export", "exercise"]
def earth_mover(a, b):
    """Return W1, the least mean way that carries samples a (N,) to b (N,), on a line."""
    if a.shape != b.shape or a.ndim != 1:
        raise CourseError(f"earth_mover pairs rows of one length, not {[*a.shape]} and {[*b.shape]}.")
    ### TODO: in order, one to one
    ### BEGIN SOLUTION
    return (a.sort().values - b.sort().values).abs().mean()
    ### END SOLUTION


# %% tags=["core", "workshop"]
earth_mover = checks.objectives.earth_mover(earth_mover)
cfg, dev = Config(), device.pick_device()
rng = device.generator(cfg.seed, dev)  # noise, data and order
torch.manual_seed(cfg.seed)  # the layers' first weights
line, dx = torch.linspace(-4, 12, 1601).double(), 0.01


def log_hump(x, at, width=0.5):  # ln of a normal density
    return -((x - at) / width).square() / 2 - math.log(width * math.sqrt(2 * math.pi))


def measures(p, q):  # p, q: (K,), each with the sum 1
    chi = ((p - q).square() / (p + q)).sum()
    area = (p.cumsum(0) - q.cumsum(0)).abs().sum() * dx
    return {"JS": js(p, q), "KL(gen to data)": kl(q, p), "chi-square": chi, "earth mover": area}


p, z = log_hump(line, 0).exp() * dx, torch.special.ndtri((torch.arange(20_000).double() + 0.5) / 20_000)
apart = [0.1, 0.25, 0.5, 1, 1.5, 2, 3, 4, 5, 6, 7, 8]
rows = [measures(p, log_hump(line, d).exp() * dx) for d in apart]
fig = plots.curves({k: (apart, [row[k].item() for row in rows]) for k in rows[0]}, log=True,
                   xlabel="d, between two humps 0.5 wide", ylabel="measure", reference={"ln 2": math.log(2)})
print(*(f"{k}: {rows[7][k]:.4g} at d = 4, {rows[11][k]:.4g} at d = 8" for k in rows[0]), sep="\n")
print(f"earth mover, by sorting: {earth_mover(z / 2, 4 + z / 2):.4f} and {earth_mover(z / 2, 8 + z / 2):.4f}")

# %% [markdown] tags=["core", "workshop"]
# KL and the earth mover's distance do. JS and $\chi^2 = \int (p - q)^2 / (p + q)$ measure overlap, and there is none left.
# KL, here $d^2 / 2s^2$ for humps of width $s$, grows beyond all bounds when $s \to 0$; two points have KL = ∞ at every d > 0.
# Only the last says d. (The code takes the area between two distribution functions.)
#
# ## 2 Two questions to every objective
#
# Write $p$ for the density of the data, $q$ for the generator's, $m = (p + q)/2$. Lesson 20 found
# $D^* = p / (p + q)$, its logit $\ell^* = \ln p/q$, and what such a $D$ *measures*: its loss is $2 \ln 2 - 2\,\mathrm{JS}$. What
# does the generator *descend on*? It sees $D$ frozen. For the saturating (minimax) loss the answer is again $2\,\mathrm{JS}$: $D^*$
# maximises $V$ (lesson 20's value, minus D's loss), so $dV/d\theta = \partial V/\partial\theta + 0$: that $D^*$ moves along with θ adds nothing (the envelope theorem).
#
# **Non-saturating.** The same $D$ measures the same, but $G$ descends on something else (Arjovsky and Bottou 2017, theorem 2.5):
#
# $$ \nabla_\theta\, \mathbb E_{q_\theta} [-\ln D^*] = \nabla_\theta \big( \mathrm{KL}(q_\theta \| p) - 2\, \mathrm{JS} \big) . $$
#
# A strange thing to descend on: JS counts with the *wrong* sign, and KL in this direction forgives a missing mode.
#
# **LSGAN** (Mao et al. 2017) takes squares: $D$ wants 1 for real and 0 for forged, $G$ wants 1; no sigmoid, $D$ is any number.
# Pointwise, $p\,(D - 1)^2 + q\,D^2$ is least at the same $D^* = p/(p + q)$, and there $D$ pays
#
# $$ \int \frac{p q^2 + q p^2}{(p + q)^2} = \int \frac{p q}{p + q} = \frac12 - \frac{\chi^2}{4}, \qquad \text{as } 4pq = (p + q)^2 - (p - q)^2 . $$
#
# $D$ measures Pearson's $\chi^2$ of $p + q$ and $2q$. But with $D$ frozen, $G$ descends on $2\,\mathrm{KL}(p\|m) - \chi^2/4$, and not on $\chi^2$.

# %% [markdown] tags=["deeper"]
# ### Deeper: both derived
#
# **Non-saturating.** Since $\ln D - \ln(1 - D) = \ell$, the loss is $-\ln D = -\ell - \ln(1 - D)$. The second part is minus the
# minimax loss: $-2\,\mathrm{JS}$. The first: $\mathrm{KL}(q_\theta \| p) = \mathbb E_{q_\theta}[\ln q_\theta / q_0] - \mathbb
# E_{q_\theta}[\ell^*]$ with $q_0$ the density at the present θ, for which $\ell^*$ is right. At $q_\theta = q_0$ the first mean is a KL at its
# minimum, slope 0. So $\nabla\, \mathbb E[-\ell^*] = \nabla\, \mathrm{KL}(q \| p)$.
#
# **LSGAN.** $\mathbb E_q (D^* - 1)^2$ has, with $D^*$ frozen, the derivative $(D^* - 1)^2 = q^2/(p + q)^2$ in $q$. Integrate that: $q - 2p \ln(p + q) - p^2/(p + q)$,
# up to what does not depend on $q$. As $p^2/(p + q) = p - pq/(p + q)$ and $\int p = \int q = 1$, that is
# $2\,\mathrm{KL}(p\|m) - \chi^2/4$. (The paper's section 3.2 finds $\chi^2$ for $G$, with targets -1, 1, 0, by letting $D^*$ move along.)

# %% [markdown] tags=["core", "workshop"]
# **Your turn (★, 5 min, deeper).** Both losses, means over the batch, without the paper's ½. (Exercises marked *deeper* may
# stay open in the core: the check hands you the course's version.)
#
# <details><summary>Hint 1</summary>Three squares in all: real to 1, forged to 0; and forged to 1.</details>
# <details><summary>Hint 2</summary><code>(logits_real - 1).square().mean() + ___</code>; no sigmoid anywhere.</details>
#
# **Predict.** Humps 4 apart, $D$ perfect. Sort the three gradients that reach the generator, the largest first.

# %% tags=["core", "workshop", "export", "exercise"]
def lsgan_disc_loss(logits_real, logits_fake):
    """Return the mean squares of real to 1 and of forged to 0, added; any numbers (B,)."""
    ### TODO: two means of squares
    ### BEGIN SOLUTION
    return (logits_real - 1).square().mean() + logits_fake.square().mean()
    ### END SOLUTION


def lsgan_gen_loss(logits_fake):
    """Return the mean square of forged to 1. Mao et al. (2017), eq. 9 without the half."""
    ### TODO: one mean of squares
    ### BEGIN SOLUTION
    return (logits_fake - 1).square().mean()
    ### END SOLUTION


# %% tags=["core", "workshop"]
lsgan_disc_loss = checks.objectives.lsgan_disc_loss(lsgan_disc_loss)
lsgan_gen_loss = checks.objectives.lsgan_gen_loss(lsgan_gen_loss)
best = {"saturating": (lambda logit: logit, minimax_gen_loss, lambda p, q: 2 * js(p, q)),
        "non-saturating": (lambda logit: logit, gen_loss, lambda p, q: kl(q, p) - 2 * js(p, q)),
        "LSGAN": (torch.sigmoid, lsgan_gen_loss,
                  lambda p, q: 2 * kl(p, (p + q) / 2) - measures(p, q)["chi-square"] / 4)}  # (D* as a value, G's loss, distance)


def handed(name, d):  # what a generator at d gets from the best, frozen D: d loss / d shift
    x, (output, loss, _) = line.clone().requires_grad_(), best[name]
    (slope,) = torch.autograd.grad(len(x) * loss(output(log_hump(x, 0) - log_hump(x, d))), x)
    return (slope * log_hump(line, d).exp() * dx).sum().item()  # the loss's slope, where q is


def slope_of(name, d):  # the same for the distance, in which q alone moves
    shift = torch.tensor(d).double().requires_grad_()
    return torch.autograd.grad(best[name][2](p, log_hump(line, shift).exp() * dx), shift)[0].item()


for name in best:
    pairs = [(handed(name, d), slope_of(name, d)) for d in (0.5, 1.0, 4.0)]
    print(f"{name}, d = 0.5, 1, 4:", *(f"handed {a:.3g}, formula {b:.3g};" for a, b in pairs))
    assert all(abs(a - b) < 0.001 * abs(b) for a, b in pairs)
logits = [log_hump(x, 0) - log_hump(x, 1) for x in (z / 2, 1 + z / 2)]  # of real and forged, d = 1
paid, row = lsgan_disc_loss(*(y.sigmoid() for y in logits)).item(), measures(p, log_hump(line, 1).exp() * dx)
print(f"D's loss at d = 1: {disc_loss(*logits):.4f}, 2 ln 2 - 2 JS {math.log(4) - 2 * row['JS']:.4f};",
      f"LSGAN {paid:.4f}, 1/2 - chi-square / 4 {0.5 - row['chi-square'] / 4:.4f}")

# %% [markdown] tags=["core", "workshop"]
# Non-saturating by far; against a *perfect* $D$, LSGAN and the saturating loss say next to nothing. All formulas hold. In practice $D$ is
# never perfect, and Adam divides the common size out (lesson 20); what remains is how the push differs between samples. The
# non-saturating push does say "farther": it is about $d/s^2$ with the *data's* width $s$. But the thinner the data, the wilder, and for
# data and forgeries on separate thin sheets $\ell^*$ is infinite. All three ask for a ratio of densities.
#
# ## 3 The dual: a critic with a limited slope
#
# How could a network compute $W_1$? Nobody sorts pictures. Take any function $f$ that never rises faster than one unit per
# unit, $|f(x) - f(y)| \le |x - y|$ (**1-Lipschitz**). A way to carry $q$
# to $p$ is now a joint density of $(x, y)$ with the marginals $p$ and $q$, and $W_1$ its least $\mathbb E |x - y|$. For each,
#
# $$ \mathbb E_p f - \mathbb E_q f = \mathbb E [f(x) - f(y)] \le \mathbb E |x - y| , \quad \text{so} \quad
#    \max_f \; \mathbb E_p f - \mathbb E_q f \le W_1 . $$
#
# Is there an $f$ that reaches it? On the line, integrate by parts, with the distribution functions $P$ and $Q$:
#
# $$ \int f\, (p - q)\, dx = -\int f' \, (P - Q)\, dx \le \int |P - Q| \, dx = W_1 , $$
#
# with equality for $f' = \mathrm{sign}(Q - P)$. So uphill, at full slope, to where the data are. This is the
# **Kantorovich-Rubinstein duality**; it holds in any dimension. It makes $f$ something to train: a **critic**, which answers with
# any number, and not a judge of real or forged.
#
# **Your turn (★★, 10 min, deeper).** The best critic on a grid, then WGAN's two losses: the critic minimises the mean over forgeries minus the mean
# over real, the generator minus the mean over forgeries.
#
# <details><summary>Hint 1</summary><code>cumsum</code> makes P and Q of p and q. Between two points of the grid f changes by
# plus or minus dx, by the sign at the left one; f itself is the running sum of that.</details>
# <details><summary>Hint 2</summary><code>slope = (q.cumsum(0) - ___).sign()[:-1]</code>;
# <code>F.pad(slope.cumsum(0), (1, 0)) * dx</code>. The losses are one line each, no logarithm, no sigmoid.</details>
#
# **Predict.** Data: half at -1, half at 2. Forgeries: one hump at 0. Sketch the best critic.

# %% tags=["core", "workshop", "export", "exercise"]
def best_critic(p, q, dx):
    """Return f (K,), f[0] = 0, slopes in -1..1, sum of f (p - q) = W1; p, q (K,), grid step dx."""
    ### TODO: slope +1 where q's distribution function is the higher one, -1 where p's is; add up
    ### BEGIN SOLUTION
    slope = (q.cumsum(0) - p.cumsum(0)).sign()[:-1]
    return F.pad(slope.cumsum(0), (1, 0)) * dx
    ### END SOLUTION


def wgan_disc_loss(logits_real, logits_fake):
    """Return the critic's mean answer to forgeries minus that to real pictures."""
    ### TODO: two means
    ### BEGIN SOLUTION
    return logits_fake.mean() - logits_real.mean()
    ### END SOLUTION


def wgan_gen_loss(logits_fake):
    """Return minus the critic's mean answer to forgeries."""
    ### TODO: one mean
    ### BEGIN SOLUTION
    return -logits_fake.mean()
    ### END SOLUTION


# %% tags=["core", "workshop"]
best_critic = checks.objectives.best_critic(best_critic)
wgan_disc_loss = checks.objectives.wgan_disc_loss(wgan_disc_loss)
wgan_gen_loss = checks.objectives.wgan_gen_loss(wgan_gen_loss)
two, one = (log_hump(line, -1).exp() + log_hump(line, 2).exp()) * dx / 2, log_hump(line, 0).exp() * dx
f, shown = best_critic(two, one, dx), slice(100, 801)
shapes = {"data": two / dx, "forgeries": one / dx, "best critic": f - f[400]}
fig = plots.curves({k: (line[shown], y[shown]) for k, y in shapes.items()}, xlabel="x", ylabel="density, f")
print(f"sum f (p - q): {(f * (two - one)).sum():.4f}; by sorting:",
      f"{earth_mover(torch.cat([z[::2] / 2 - 1, z[::2] / 2 + 2]), z / 2):.4f}")
humps = {d: log_hump(line, d).exp() * dx for d in apart[:8]}  # up to d = 4
pushes = {name: [handed(name, d) for d in humps] for name in best}
pushes["WGAN"] = [-(q[:-1] * best_critic(p, q, dx).diff() / dx).sum().item() for q in humps.values()]
fig = plots.curves({k: (list(humps), y) for k, y in pushes.items()}, log=True,
                   xlabel="d, between two humps 0.5 wide", ylabel="gradient handed to G")

# %% [markdown] tags=["core", "workshop"]
# A valley: up to the left, up to the right, at full slope, with the bottom inside the hump of forgeries, where half of
# it leaves for each side. (Less than ½·1 + ½·2: each half already lies to its side.) Below, the gradients. The best critic of two equal
# humps is the straight line $-x$: it hands 1 over, near and far, while the others die out or grow. At d = 0.1, too: it does not
# calm down (exercise A, deeper).
#
# | objective | D measures | G descends on |
# |---|---|---|
# | saturating | JS | 2 JS |
# | non-saturating | JS | KL(q ‖ p) - 2 JS |
# | LSGAN | χ² | 2 KL(p ‖ m) - χ² / 4 |
# | WGAN | W₁ | W₁ |
#
# WGAN's two answers agree, by the envelope theorem again. The price is the condition on the slope.
#
# ## 4 The critic's turn
#
# An `Objective` says what each network minimises. **Clipping** (Arjovsky et al. 2017, algorithm 1): after each step all weights are cut
# to $-c..c$, so no slope can exceed what such weights can make. A **penalty** is added to the critic's loss instead. A rare
# penalty, every k-th step, counts k times (lesson 24 will use that).

# %% tags=["core", "workshop", "export"]
@dataclass(frozen=True)
class Objective:
    """What each network minimises; logits (B,) -> a number.

    penalty(disc, x, fake, rng) is added to the discriminator's loss at every `penalty_every`th
    step, that many times as strong; after each of its `disc_steps` steps, weights are clipped to
    -clip..clip.
    """

    disc_loss: Callable
    gen_loss: Callable
    penalty: Callable | None = None
    penalty_every: int = 1
    disc_steps: int = 1
    clip: float | None = None


@torch.no_grad()
def clip_weights(net, limit):
    """Cut every weight of net to -limit..limit, in place."""
    for w in net.parameters():
        w.clamp_(-limit, limit)


# %% [markdown] tags=["core", "workshop"]
# **Your turn (★★★, 10 min, deeper).** One step of the critic. Mistakes here are silent: a penalty computed and not added (W6), a limit given and
# not used (W7).
#
# <details><summary>Hint 1</summary>Detach; loss; perhaps plus penalty_every times the penalty; clear, backward, step;
# perhaps clip, which comes last.</details>
# <details><summary>Hint 2</summary><code>if objective.penalty and step % ___ == 0: loss = loss + ___ *
# objective.penalty(disc, x, fake, rng)</code>; after the step, <code>clip_weights(disc, ___)</code>.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def critic_step(objective, disc, opt_disc, x, fake, rng, step=0):
    """Move disc by one step on x and fake (B, ...), detached; return its loss with the penalty."""
    ### TODO: loss, penalty, the three calls, clipping
    ### BEGIN SOLUTION
    fake = fake.detach()
    loss = objective.disc_loss(disc(x), disc(fake))
    if objective.penalty and step % objective.penalty_every == 0:
        loss = loss + objective.penalty_every * objective.penalty(disc, x, fake, rng)
    opt_disc.zero_grad()
    loss.backward()
    opt_disc.step()
    if objective.clip:
        clip_weights(disc, objective.clip)
    return loss
    ### END SOLUTION


# %% tags=["core", "workshop"]
critic_step = checks.objectives.critic_step(critic_step)
usual = profile(smoke=20, standard=300)  # steps of a critic on a line

# %% [markdown] tags=["core", "workshop"]
# ## 5 Clipping settles at a wrong value
#
# A critic for points on a line: 1 → 64 → 64 → 1, lesson 20's `mlp`. With all weights at $c$ its slope is $64^2 c^3$. So clipping does not
# hold the slope at 1, but at some $K \le 64^2 c^3$ that nobody knows, and it can say $K\, W_1$ at most. Does it reach at least that?
# Two pairs, real against forged:
#
# - **shift**: 3.5 against 3, distance ½,
# - **split**: 2 and 4, half and half, against 3, distance 1.
#
# **Predict.** For $c$ = 0.01, 0.1 and 0.3: what does the critic say of each pair? Which pair does it call the farther one? Where will its
# weights be?

# %% tags=["core", "workshop"]
def points(places, n, draw):  # n points, each at one of the places: (n, 1)
    return torch.tensor(places)[torch.randint(len(places), (n, 1), generator=draw)]


def fit(objective, real, forged, steps=usual, seed=0):
    """Return a critic trained alone on two sets of places, and its mean real minus mean forged."""
    draw = device.generator(seed)
    critic = nn.Sequential(gan.mlp(1, 64, 64, 1), nn.Flatten(0))  # (B, 1) -> (B,)
    for w in critic.parameters():
        w.data = torch.randn(w.shape, generator=draw) / math.sqrt(2 * w.shape[-1])
    opt = torch.optim.Adam(critic.parameters(), betas=cfg.betas)
    for step in range(steps):
        opt.param_groups[0]["lr"] = 1e-3 * min(1, 2 - 2 * step / steps)
        critic_step(objective, critic, opt, points(real, 128, draw), points(forged, 128, draw), draw)
    return critic, -wgan_disc_loss(critic(points(real, 4000, draw)), critic(points(forged, 4000, draw))).item()


cases = {"shift, 0.5": ([3.5], [3.0]), "split, 1.0": ([2.0, 4.0], [3.0])}
clipped = {c: Objective(wgan_disc_loss, wgan_gen_loss, clip=c) for c in (0.01, 0.1, 0.3)}
said = {(name, c): fit(way, *pair) for name, pair in cases.items() for c, way in clipped.items()}
for name in cases:
    print(f"{name}; the critic says", *(f"{said[name, c][1]:.2g} of at most {64**2 * c**3 * float(name[-3:]):.2g}"
                                        f" (c = {c});" for c in clipped))
weights = {name: torch.cat([w.detach().flatten() for w in said[name, 0.1][0].parameters()]) for name in cases}
fig = plots.histogram(weights, xlabel="weight, clipped at c = 0.1")
x = torch.linspace(1, 5, 81)
answers = {k: said[k, 0.1][0](x[:, None]).detach() for k in cases} | {"best for split": (x - 3).abs()}
fig = plots.curves({k: (x, y - y[40]) for k, y in answers.items()}, xlabel="x", ylabel="f(x) - f(3)")
shift, split = ([said[name, c][1] for c in clipped] for name in cases)
assert profile(smoke=True, standard=shift[0] < 1e-3 and 5 * split[1] < shift[1] < 1 and shift[2] > 10)

# %% [markdown] tags=["core", "workshop"]
# Anything from less than a thousandth to more than ten, by the choice of $c$ alone. And the order is wrong: the pair at half the
# distance is called farther, by far. For *shift* a straight line is best, and the weights pile up at the limits to make it as steep as they can. *Split* needs a valley,
# and next to nothing of the bound is reached: a kink at 3 takes a bias three times its weight. There are such critics (first weights ±c/3, biases ∓c, at a third of the slope), but
# the first clip cuts most first weights to ±c, so their kinks lie within -1..1, and training does not find the way to 3. (Is it only slow? Exercise B, deeper, gives it
# seven times the steps.) "Weight clipping is a clearly terrible way to enforce a Lipschitz constraint", says the paper that
# introduced it (Arjovsky et al. 2017, section 3).
#
# ## 6 A price on the slope
#
# **WGAN-GP** (Gulrajani et al. 2017) asks for slope 1 instead, by a penalty: $\lambda\, \mathbb E (\|\nabla f(\tilde x)\| - 1)^2$. Where? Their
# proposition 1: the best critic has slope 1 on the straight lines between points that the cheapest transport pairs. The pairs are unknown, so
# $\tilde x = \alpha x + (1 - \alpha)\, G(z)$ with any real, any forged picture and one uniform $\alpha$ for each.
#
# What does it find? Take real at $d$, forged at 0. A critic with slope $w > 0$ in between gains $w\,d$ and pays $\lambda (w - 1)^2$:
#
# $$ \frac{d}{dw} \big[ w d - \lambda (w - 1)^2 \big] = d - 2 \lambda (w - 1) = 0 \;\Rightarrow\; w^* = 1 + \frac{d}{2\lambda} . $$
#
# So the critic's number is $w^* d = d\,(1 + d/2\lambda)$, not $d$; with the penalty, $d + d^2/4\lambda$. (At each point of the way, $s\,d - \lambda(|s| - 1)^2$
# is greatest at the slope $s = w^*$, so no $f$ does better.) And for $w < 0$? The price is $\lambda(-w - 1)^2$, and $w = -(1 - d/2\lambda)$ is a *second* hill, if
# $d < 2\lambda$. Between them, at slope 0, the price is $\lambda$.
#
# **Your turn (★★★, 15 min).** The norms. Each is over **all pixels of one picture**. And the critic must learn from it, so the gradient
# needs a graph of its own. The penalty itself is then one line, given.
#
# <details><summary>Hint 1</summary>alpha has the shape (B, 1, 1, 1), or (B, 1) for points: one number per picture.
# <code>flatten(1)</code> before the norm.</details>
# <details><summary>Hint 2</summary><code>mixed = (alpha * x + ___).detach().requires_grad_()</code>; <code>slope, =
# torch.autograd.grad(disc(mixed).sum(), mixed, create_graph=___)</code>. (<code>detach</code>: the generator takes no part.)</details>
#
# **Predict.** Six critics with six seeds, d = 1, λ = 10. What will they say?

# %% tags=["core", "workshop", "export", "exercise"]
def require_critic(disc, x, fake):
    """Raise CourseError for what a penalty per picture cannot work with."""
    layers = list(disc.modules())
    if x.shape != fake.shape:
        raise CourseError(f"A penalty needs as many real as forged, not {[*x.shape]} and {[*fake.shape]}.")
    if isinstance(layers[-1], nn.Sigmoid):
        raise CourseError("The critic ends in a sigmoid, which limits it to 0..1: leave it out.")
    if any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in layers):
        raise CourseError("Batch norm makes a picture's slope depend on the batch: use norm=False.")


def slope_norms(disc, x, fake, rng):
    """Return the norms (B,) of the critic's gradient at random points between x and fake (B, ...).

    Differentiable. CourseError for other sizes, a sigmoid, batch norm. Gulrajani et al., alg. 1.
    """
    require_critic(disc, x, fake)
    ### TODO: one alpha per picture, the point between, the gradient with a graph, its norms
    ### BEGIN SOLUTION
    alpha = torch.rand(len(x), *[1] * (x.ndim - 1), generator=rng, device=x.device)
    mixed = (alpha * x + (1 - alpha) * fake).detach().requires_grad_()
    (slope,) = torch.autograd.grad(disc(mixed).sum(), mixed, create_graph=True)
    return slope.flatten(1).norm(dim=1)
    ### END SOLUTION


# %% tags=["core", "workshop", "export"]
def gradient_penalty(disc, x, fake, rng, strength=10.0):
    """Return strength times the mean of (slope norm - 1)^2. Gulrajani et al. (2017), eq. 3."""
    return strength * (slope_norms(disc, x, fake, rng) - 1).square().mean()


# %% tags=["core", "workshop"]
slope_norms = checks.objectives.slope_norms(slope_norms)
penalised = Objective(wgan_disc_loss, wgan_gen_loss, penalty=gradient_penalty)


def over_seeds(objective, d):
    return [fit(objective, [d], [0.0], seed=seed)[1] for seed in range(profile(smoke=2, standard=6))]


for d in (1.0, 4.0):
    found, hills = over_seeds(penalised, d), (d * (1 + d / 20), -d * (1 - d / 20))
    print(f"d = {d:g}: the critics say", *(f"{y:.2f}" for y in sorted(found)),
          f"; the hills are at {hills[0]:.2f} and {hills[1]:.2f}")
    assert all(min(abs(y - hill) for hill in hills) < profile(smoke=9, standard=0.05) for y in found)
    assert profile(smoke=True, standard=min(found) < 0 < max(found))
slopes = {f"seed {k}": torch.tensor([y / d]) for k, y in enumerate(found)}
slopes = {"straight critics": torch.linspace(-1.6, 2, 73)} | slopes
fig = plots.curves({k: (w, w * d - 10 * (w.abs() - 1) ** 2) for k, w in slopes.items()},
                   xlabel="slope w", ylabel=f"gain minus price, d = {d:g}")

# %% [markdown] tags=["core", "workshop"]
# Not 1, and not always 1.05: some stand on the other hill (six dots, one upon the other), with a *negative* distance. A straight critic with the wrong sign would have
# to cross slope 0, where the price is highest. A kink that wanders in from one end would do it almost for nothing, as slopes of +1 and -1
# are both free; these critics begin nearly straight, and none of them found it. Exercise B (deeper) mends it by one word.
#
# So a critic's number is a distance times an unknown (clipping), or a distance plus something that depends on λ, if it has found the
# right hill. The *generator* needs neither: it needs the direction.
#
# ## 7 One loop for all
#
# Lesson 20's loop with two changes: `disc_steps` turns of the critic, each on new pictures and new noise, for one of the generator; and both
# rates fall over the last half.
#
# **Your turn (★★, 10 min, deeper).** Both turns.
#
# <details><summary>Hint 1</summary>In each critic's turn: <code>x, z = next(data), gen.noise(...)</code>, forge,
# <code>critic_step</code>. The generator's turn comes once, after them, and uses the last forgeries.</details>
# <details><summary>Hint 2</summary><code>for _ in range(objective.disc_steps):</code> ... <code>loss_gen =
# objective.gen_loss(disc(fake))</code>, then clear, backward, step, outside of that loop.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def train_objective(cfg, objective, gen, disc, data, rng, *, averaged=None,
                    should_stop=training.never_stop, view=None, label="training"):
    """Train gen and disc by `objective` on endless batches `data`; return the history."""
    opt_gen = torch.optim.Adam(gen.parameters(), lr=cfg.lr_gen, betas=cfg.betas)
    opt_disc = torch.optim.Adam(disc.parameters(), lr=cfg.lr_disc, betas=cfg.betas)
    good, nets = None, [net for net in (gen, disc, averaged) if net is not None]
    with training.progress(cfg.steps, should_stop, view, label=label) as run:
        for step in run:
            for opt, lr in ((opt_gen, cfg.lr_gen), (opt_disc, cfg.lr_disc)):
                opt.param_groups[0]["lr"] = lr * min(1, 2 - 2 * run.fraction)
            ### TODO: disc_steps turns of the critic, with x, z, fake and loss_disc; one of gen
            ### BEGIN SOLUTION
            for _ in range(objective.disc_steps):
                x, z = next(data), gen.noise(cfg.batch_size, rng)
                fake = gen(z)
                loss_disc = critic_step(objective, disc, opt_disc, x, fake, rng, step)
            loss_gen = objective.gen_loss(disc(fake))
            opt_gen.zero_grad()
            loss_gen.backward()
            opt_gen.step()
            ### END SOLUTION
            follow(averaged or gen, gen, min(cfg.average, step / (step + 10)))
            run.log(loss_disc=loss_disc, loss_gen=loss_gen)
            if step % cfg.measure_every == 0:
                run.log(**(signs := vital_signs(gen, disc, x, z)))
                good = or_stop(nets, good, **signs)
    return run.history


# %% tags=["core", "workshop", "export"]
LSGAN = Objective(lsgan_disc_loss, lsgan_gen_loss)
WGAN = Objective(wgan_disc_loss, wgan_gen_loss, disc_steps=2, clip=0.03)
WGAN_GP = replace(WGAN, penalty=gradient_penalty, clip=None)
NON_SATURATING = Objective(disc_loss, gen_loss)
SATURATING = Objective(disc_loss, minimax_gen_loss)

# %% tags=["core", "workshop"]
train_objective = checks.objectives.train_objective(train_objective)
train = datasets.load(data_name(), "train", size=profile(smoke=2000, standard=None)).images.to(dev)
test = datasets.load(data_name(), "test", size=profile(smoke=500, standard=None)).images

# %% [markdown] tags=["core", "workshop"]
# ## 8 The competition
#
# One pair of small networks (`built.dcgan`, no batch norm in $D$), one batch size, one learning rate, the same first weights, the same
# processor time. Wasserstein critics get more turns, so the generator gets fewer. **One seed is an anecdote**, and one learning rate for all
# is unfair to somebody. Lesson 24 holds the bake-off, with spreads.
#
# Each arm is measured at every sixth of its time: the Fréchet distance of 2,000 samples of the averaged generator, and the
# **gap**, D's mean answer to real pictures minus that to the unaveraged generator's. (`D(x)` in the progress lines is a sigmoid of
# the answer, and says nothing where D answers with any number.) A rank correlation of +1 would mean that gap and distance fall
# together.
#
# **Predict.** Which arm wins, which comes last? WGAN's gap estimates a distance: does it fall when the samples get better? Does LSGAN's, too?

# %% tags=["core", "workshop"]
arms = {"saturating": SATURATING, "non-saturating": NON_SATURATING, "LSGAN": LSGAN,
        "WGAN, clipped": WGAN, "WGAN-GP": WGAN_GP}
first = [net.to(dev, memory_format=torch.channels_last)
         for net in (dcgan.Generator(), dcgan.Discriminator(norm=False))]
fixed, some = first[0].noise(profile(smoke=300, standard=2000), rng), train[:1000].float() / 127.5 - 1


def compete(name):
    """Train one arm; return its samples and gaps at seven moments, and its number of steps."""
    gen, disc = copy.deepcopy(first)
    averaged, budget, kept = copy.deepcopy(gen), training.Budget(cfg.seconds), []

    def should_stop():
        while len(kept) < 7 and budget() >= len(kept) / 6:  # a slow step may pass two moments
            kept.append(copy.deepcopy((averaged, gen, disc)))  # looked at later, off the clock
        return budget()

    draw = device.generator(cfg.seed, dev)
    data = dcgan.signed_batches(train, cfg.batch_size, draw)
    with device.fast_autocast(dev):
        history = train_objective(cfg, arms[name], gen, disc, data, draw, averaged=averaged,
                                  should_stop=should_stop, label=name)
    with torch.no_grad():
        seen = [dcgan.signed_to_pixels(net(fixed)).cpu() for net, *_ in kept]
        gaps = [(D(some).mean() - D(G(fixed[:1000])).mean()).item() for _, G, D in kept]
    return seen, gaps, len(history["loss_gen"][0])


# %% tags=["core", "workshop"]
runs, judge = {name: compete(name) for name in arms}, judges.judge(data_name())
real = judge.features(test)
fig = plots.compare({k: seen[-1][:10] for k, (seen, *_) in runs.items()}, value_range=(0, 255), scale=2)

# %% tags=["core", "workshop"]
distances = {name: [metrics.frechet_distance(judge.features(x), real) for x in seen]
             for name, (seen, *_) in runs.items()}
floor = metrics.frechet_distance(judge.features(train[: len(fixed)].cpu()), real)
fig = plots.curves({k: ([cfg.seconds * n / 6 for n in range(1, len(y))], y[1:]) for k, y in distances.items()}, log=True, xlabel="processor seconds",
                   ylabel="Fréchet distance", caption=f"{judge.name}; floor, real against real: {floor:.1f}")
for name, (_, gaps, steps) in runs.items():
    ranks = [np.argsort(np.argsort(y[1:])) for y in (gaps, distances[name])]
    print(f"{name}, {steps:,} steps. Fréchet:", *(f"{y:.0f}" for y in distances[name]), end="; ")
    print("gap:", *(f"{y:.3g}" for y in gaps), f"; rank correlation {np.corrcoef(ranks)[0, 1]:+.2f}")
*close, last = sorted(y[-1] for name, y in distances.items() if name != "saturating")
assert profile(smoke=True, standard=last == distances["WGAN, clipped"][-1] > 1.3 * close[-1]
               and 20 * floor < close[0] and close[1] < 1.3 * close[0]
               and runs["WGAN-GP"][1][1] > 2 * runs["WGAN-GP"][1][3])

# %% [markdown] tags=["core", "workshop"]
# Non-saturating and LSGAN end close together; WGAN-GP, whose generator had less than half as many steps, is not far behind. All are far above the
# floor. The clipped one is far behind, and also the farthest from its paper's settings (RMSProp,
# rate 5e-5, $c$ = 0.01, five turns). **The saturating loss is a gamble.** Where $D$ gets ahead in the first steps, section 2's push falls silent: the
# gap is large, the distance stays high. With other first weights it keeps up. Lesson 24 counts seeds.
#
# And the gap? WGAN-GP's falls steeply at first and then no more, while the Fréchet distance goes on falling. The
# rank correlations do not set the Wasserstein critics apart; with six moments chance alone makes large ones. Arjovsky et al. (2017, section 4.2)
# found the estimate to follow quality, with critics trained nearly to the end; ours are not.
# A loss is no score: measure from outside.

# %% [markdown] tags=["deeper"]
# ## 9 Deeper: play
#
# Drag the hump of forgeries. The curve is what the chosen objective's best discriminator answers; the arrow, up to 4 units long, is its push
# on the samples. **Predict.** Which arrows vanish at distance 4? Do they come back when the
# hump gets wider?

# %% tags=["deeper"]
def at_best(distance, width):  # p, q on `line`; per objective D's best answer and the push on G
    log_p, log_q = log_hump(line, 4), log_hump(line, 4 + distance, width)
    p, q, D = log_p.softmax(0), log_q.softmax(0), (log_p - log_q).sigmoid()
    f = best_critic(p, q, dx)
    pays = {"WGAN": ((f - f.mean()) / 8, -f), "saturating": (D, -F.softplus(log_p - log_q)),
            "non-saturating": (D, F.softplus(log_q - log_p)), "LSGAN": (D, (D - 1).square())}
    return p, q, {k: (y, -((q[1:] + q[:-1]) / 2 * loss.diff() / dx).sum().item()) for k, (y, loss) in pays.items()}


def draw_best(objective, distance, width):
    p, q, found = at_best(distance, width)
    values = ", ".join(f"{name} {y:.3g}" for name, y in measures(p, q).items())
    pushes = ", ".join(f"{name} {y:.2g}" for name, (_, y) in found.items())
    answers, push = found[objective]
    lines = {"data": p / dx, "forgeries": q / dx, "best D": answers}
    fig = plots.curves({k: (line - 4, y) for k, y in lines.items()}, xlabel="x", ylabel="density, D or f / 8",
                       caption=f"{values}. Push: {pushes}.")
    fig.axes[0].quiver(distance, 0.4, np.clip(push, -4, 4), 0, angles="xy", scale_units="xy", scale=1)
    return fig


explore.View(draw_best, [explore.choice("objective", at_best(1, 1)[2]),
                         explore.slider("distance", -4.0, 6.0, 2.0), explore.slider("width", 0.2, 2.0, 0.5)])

# %% [markdown] tags=["deeper"]
# The saturating loss's and LSGAN's. They come back with the width: it makes overlap, which is all that they feel. WGAN's push
# is at most 1.
#
# ## 10 Deeper: break it on purpose
#
# **No constraint at all (W7).** A program had an option for clipping and never used it. **Predict** what the critic says of two points 1 apart
# after 30, 100 and 300 steps.

# %% tags=["deeper"]
free = Objective(wgan_disc_loss, wgan_gen_loss)
for steps in (30, 100, 300):
    print(f"unconstrained, {steps} steps: the critic says {fit(free, [1.0], [0.0], steps=steps)[1]:.3g}")

# %% [markdown] tags=["deeper"]
# More and more, without end, and no error: there is no best critic, only a steeper one.
#
# ## 11 Deeper: exercises
#
# **A. Predict (★★, 10 minutes): at the goal.** The data lie at one point, the forgeries nearly there: d = 0.01, λ = 10. What does the
# two-sided penalty make of the critic's slope, and so of the generator's gradient? When will the generator rest?
#
# <details><summary>Hint 1</summary>Put d = 0.01 into both hills.</details>
# <details><summary>Hint 2</summary>The gradient handed over is the slope, not slope times distance.</details>
#
# <details><summary>Answer to A</summary>Slopes of about +1 or -1: a push of full size, in either direction, though nothing is left to do. It never
# rests by itself; Mescheder et al. (2018) show that WGAN-GP need not converge in such a case. Falling rates and averaged weights calm
# it.</details>

# %% [markdown] tags=["deeper"]
# **B. Build (★★, 10 minutes): one-sided.** Slope *above* 1 is what the duality forbids. So charge only that: $\lambda\, \mathbb E \max(0, \|\nabla f\| - 1)^2$ (Petzka et
# al. 2018). Where is the hill now, and is there a second one? Then run the seeds again, and the pair *split* of section 5.
#
# <details><summary>Hint 1</summary>The derivation with w > 1 is the same; for w < 1 more slope is free.</details>
# <details><summary>Hint 2</summary><code>F.relu</code> around the difference, before the square.</details>

# %% tags=["deeper", "exercise", "export"]
def one_sided_penalty(disc, x, fake, rng, strength=10.0):
    """Return strength times the mean of max(0, norm - 1)^2. Petzka et al. (2018)."""
    ### TODO: as gradient_penalty, free below slope 1
    ### BEGIN SOLUTION
    return strength * F.relu(slope_norms(disc, x, fake, rng) - 1).square().mean()
    ### END SOLUTION


# %% tags=["deeper"]
one_sided_penalty = checks.objectives.one_sided_penalty(one_sided_penalty)
one_sided = Objective(wgan_disc_loss, wgan_gen_loss, penalty=one_sided_penalty)
found = over_seeds(one_sided, 1.0)
print("d = 1, one-sided: the critics say", *(f"{y:.2f}" for y in found))
ways = {"clipped": clipped[0.1], "two-sided": penalised, "one-sided": one_sided}
split = {kind: fit(way, *cases["split, 1.0"], steps=7 * usual)[1] for kind, way in ways.items()}
print(f"split, {7 * usual} steps: the critics say", *(f"{y:.2f} ({kind})" for kind, y in split.items()))
assert all(abs(y - 1.05) < profile(smoke=9, standard=0.05) for y in [*found, split["one-sided"]])
assert max(split["clipped"], split["two-sided"]) < profile(smoke=9, standard=0.3)

# %% [markdown] tags=["deeper"]
# One hill, and all seeds stand on it: free below 1 means no valley to cross. *Split*, with seven times the steps, tells the three apart:
# one-sided digs its valley and arrives at the penalised optimum, which is 1.05 here, too; the two-sided critic stays on a hill where almost
# nothing is gained; the clipped one has not brought its kinks to 3.
#
# **C. Debug (★★, 10 minutes): a penalty of 0 (W2).** A colleague's critic trains wildly. The log says that the penalty is 0.00, so "the slope is 1, as it should
# be". What is the slope really, for 32x32 pictures, and which line is wrong?
#
# ```python
# alpha = torch.rand(len(x), 1, 1, 1)
# mixed = (alpha * x + (1 - alpha) * fake).detach().requires_grad_()
# slope, = torch.autograd.grad(disc(mixed).sum(), mixed, create_graph=True)
# return 10 * (slope.norm(2, dim=1) - 1).square().mean()
# ```
#
# <details><summary>Hint 1</summary>What shape has <code>slope</code>, and what has its norm over axis 1?</details>
# <details><summary>Hint 2</summary>One grey channel: the norm over it is the absolute value of each pixel's slope.</details>
#
# <details><summary>Answer to C</summary>Axis 1 is the channel. Each pixel's slope is held at 1, so the picture's is √(32 · 32) = 32, and the right penalty
# would be 10 · 31² = 9,610. Flatten each picture first: <code>slope.flatten(1).norm(dim=1)</code>.</details>
#
# **D. Modify (★★, 15 minutes).** Change *one* of `strength` (0.1, 100), `disc_steps` (1, 5) in WGAN-GP (`functools.partial` sets the strength), add it to `arms`, and run
# `compete`. Does the Fréchet distance change by more than two seeds of the same setting differ?
#
# <details><summary>Hint 1</summary><code>arms["gentle"] = replace(WGAN_GP, disc_steps=1)</code>, then
# its last samples score <code>metrics.frechet_distance(judge.features(compete("gentle")[0][-1]), real)</code>.</details>
# <details><summary>Hint 2</summary>The seed sets data and noise: <code>cfg = replace(cfg, seed=1)</code>, then again.</details>

# %% [markdown] tags=["core", "workshop"]
# ## 12 To discuss, and to keep
#
# <details><summary><b>T8.</b> "This LSGAN's D lacks its sigmoid: a bug." Is it?</summary>No. Its loss is a squared error to 0 and 1; any number will do. A
# sigmoid in front of the squares saturates, which LSGAN was made to avoid.</details>
# <details><summary><b>T9.</b> A WGAN's critic minimises mean real minus mean forged, its generator plus the mean forged. Both signs
# are wrong?</summary>Equivalent: with f also -f is 1-Lipschitz. Only one reversed sign is a bug (W5): then the generator helps the critic.</details>
# <details><summary><b>W8.</b> `slope_norms` refuses a critic with batch norm. Why?</summary>Its answer to one picture depends on the others. The
# gradient of the sum then holds what a picture does to its neighbours, and "the slope at this picture" has no meaning.</details>
# <details><summary><b>W4.</b> "I put a sigmoid at the end of the critic and log into the loss, for stability." What is it now?</summary>The GAN
# of lesson 20 with a penalty, no longer a distance of transport. That can work well; but do not read its loss as W₁.</details>
#
# **Summary**
#
# - What D measures and what G descends on are two questions. Overlap measures stop saying how far; the earth mover's distance goes on.
# - Non-saturating: KL(q ‖ p) - 2 JS. LSGAN: D measures χ², G descends on 2 KL(p ‖ m) - χ²/4. Both checked on humps.
# - On a line W₁ is sorting; its dual is a critic of slope ±1.
# - Clipping gives an unknown multiple, and can rank wrongly; the penalty gives, for two points, d (1 + d / 2λ), and sometimes the wrong hill.
# - The silent mistakes: norm per pixel, α per pixel, no graph, not added, not clipped. Test the penalty where its value is known.
#
# **Later lessons import** `Objective`, `train_objective`, `critic_step`, the losses, `gradient_penalty` and the five objectives.
# **Limits:** one seed, one setting, 20 seconds of processor time each; perfect critics in the theory, and none in practice.
#
# **Papers.** Arjovsky and Bottou (2017), *Towards principled methods for training GANs*, theorem 2.5 · Mao et al. (2017), *Least squares
# generative adversarial networks*, section 3 · Arjovsky, Chintala and Bottou (2017), *Wasserstein GAN*, sections 2 and 3 ·
# Gulrajani et al. (2017), *Improved training of Wasserstein GANs*, sections 3 and 4 · Petzka, Fischer and Lukovnikov (2018), *On the
# regularization of Wasserstein GANs* · Mescheder, Geiger and Nowozin (2018), *Which training methods for GANs do actually converge?*
