# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown] tags=["core", "workshop"]
# # 24 Keep a GAN from falling apart
#
# You will build three tools of today's GANs: R1, which damps the game, and the hinge loss and spectral normalisation, which limit
# $D$; and a doctor who names what ails a training.
#
# ![Samples of the generator trained at the end, beside real digits](../data/pictures/24-038.png)
#
# | | |
# |---|---|
# | **You need** | the two losses and the loop (lesson 20), the DCGAN (21), `train_objective` (23); eigenvalues (complex ones too), singular values |
# | **Time** | 60 minutes for the core, 140 more for what is marked *deeper*; the notebook itself runs in 4 minutes on two cores |
# | **Machine** | no GPU, no network, 1 GB of memory |
#
# When you are through, you can
#
# 1. read off two eigenvalues whether a game settles near its solution, and prove that the plain one circles,
# 2. write R1, and (deeper) the hinge loss and spectral normalisation,
# 3. say what spectral normalisation bounds, and what it does not,
# 4. (deeper) read a table with spreads, and say which differences are none,
# 5. name the illness of a training from its vital signs, and cure it.
#
# > **Remember.** Two players who each follow their own slope need not arrive anywhere: they circle. What damps the circle
# > is a cost for a steep discriminator *at the data*.

# %% tags=["core", "workshop", "export"]
import copy
import json
from dataclasses import dataclass, replace
from functools import partial
from statistics import mean, stdev

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from course_lib import checks, datasets, device, explore, judges, metrics, plots, trained
from course_lib.built import dcgan, gan, objectives
from course_lib.settings import ROOT, CourseError, data_name, profile


@dataclass
class Config:
    """The numbers of lesson 24; `profile` picks the value for the profile that you run in."""

    steps: int = profile(smoke=12, standard=2000, full=30000)  # of both optimisers
    batch_size: int = 64
    lr_gen: float = 2e-3
    lr_disc: float = 2e-3
    betas: tuple = (0.5, 0.99)  # Adam's
    average: float = 0.997  # how slowly the averaged generator follows
    measure_every: int = 50  # steps
    seed: int = 0


# %% tags=["core", "workshop"]
cfg, dev, judge = Config(), device.pick_device(), judges.judge(data_name())
rng = device.generator(cfg.seed, dev)  # noise, data and order
torch.manual_seed(cfg.seed)  # the layers' first weights
train = datasets.load(data_name(), "train", size=profile(smoke=2000, standard=None)).images.to(dev)
test = datasets.load(data_name(), "test", size=profile(smoke=500, standard=None)).images
assert train.shape[1:] == (1, 28, 28) and train.dtype == torch.uint8 and train.max() == 255
fig = plots.show_images(train[:10].cpu(), value_range=(0, 255), columns=10)

# %% [markdown] tags=["core", "workshop"]
# ## 1 The smallest GAN there is
#
# Why should a GAN settle at all? In lesson 20 the samples jumped, and an average of weights hid it. Strip
# everything away (Mescheder, Geiger and Nowozin 2018, section 2). All data are the number 0. The generator knows one number
# and always says it: $x = \theta$. The discriminator is a straight line, $\ell(x) = \psi x$. The right answer is $\theta =
# 0$, and then $\psi = 0$, for nothing is left to tell apart. This is the **Dirac-GAN**.
#
# | symbol | variable | shape |
# |---|---|---|
# | $\theta, \psi$; $s$; $J, \lambda$ | `theta`, `psi`; `state`; `J`, `roots` | numbers; (2,); (2, 2), complex |
# | $\ell(x)$; $\nabla_x \ell$; $\gamma$ | `disc(x)`; `slope`; `strength` | (B,); (B, C, H, W); number |
# | $p, q$; TV (section 3) | densities of data and generator; `tv` | numbers |
# | $W$; $u, v$; $\sigma_1$ (section 4: no sigmoid) | `matrix`; `u`, `v`; `sigma` | (out, rest); (out,), (rest,); number |
#
# $D$ minimises $\ln 2 + \ln(1 + e^{\psi\theta})$, the generator, with the minimax loss, $-\ln(1 + e^{\psi\theta})$. Both follow
# their own slope, for very small steps a flow (a dot: the change per unit of time; $\sigma$: the sigmoid):
#
# $$ \dot\psi = -\sigma(\psi\theta)\,\theta, \qquad \dot\theta = \sigma(\psi\theta)\,\psi
#    \quad\Rightarrow\quad \tfrac{d}{dt}(\theta^2 + \psi^2) = 2\sigma\,(\theta\psi - \psi\theta) = 0 . $$
#
# The distance to the solution never changes: **the game circles, for ever**. Near 0 the flow of $s = (\theta, \psi)$ is nearly
# linear, $\dot s = Js$. With $Jv = \lambda v$, $s(t) = e^{\lambda t} v$ solves it, and its size changes like
# $e^{t\,\mathrm{Re}\lambda}$. So the real part is the rate of growth (below 0: it settles; exactly 0: undecided, here the distance
# decides), the imaginary part the speed of turning. With $\sigma(0) = \frac12$
#
# $$ J = \begin{pmatrix} 0 & \frac12 \\ -\frac12 & 0 \end{pmatrix}, \quad \lambda = \pm \tfrac i2; \qquad
#    \text{with a cost } \tfrac\gamma2 \psi^2 \text{ for } D: \;
#    J = \begin{pmatrix} 0 & \frac12 \\ -\frac12 & -\gamma \end{pmatrix}, \quad
#    \lambda^2 + \gamma\lambda + \tfrac14 = 0, \quad \lambda = \frac{-\gamma \pm \sqrt{\gamma^2 - 1}}{2} . $$
#
# The non-saturating loss has the same $J$, for $\sigma(0) = 1 - \sigma(0)$; only the exact circle is lost.
#
# The cost is **R1**: $\frac\gamma2$ times the squared slope of $D$ at the data; the slope of $\psi x$ is $\psi$. Now the real part
# is below 0. **Your turn (★★, 10 min).** Write the flow for any two losses, with autograd: each player moves against the slope
# of its *own* loss in its *own* number. `noise`, 0 or (K,), is added to both sides; `penalty` is $D$'s.
#
# <details><summary>Hint 1</summary>Two losses, two gradients: D's in psi alone, the generator's in theta alone. Downhill:
# minus.</details>
# <details><summary>Hint 2</summary><code>real, fake = psi * noise, psi * (theta + noise)</code>; <code>(down_psi,) =
# torch.autograd.grad(___ + penalty(psi), psi, create_graph=True)</code>; the same for theta; <code>-torch.stack([___,
# ___])</code>.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def velocity(state, disc_loss, gen_loss, penalty=lambda psi: 0 * psi, noise=0.0):
    """Return how (theta, psi), state (2,), moves in the Dirac-GAN, with a graph. Data: noise."""
    theta, psi = state if state.requires_grad else state.clone().requires_grad_()
    ### TODO: the logits of real and forged numbers (K,), one gradient for each player
    ### BEGIN SOLUTION
    real, fake = psi * noise, psi * (theta + noise)
    loss_disc = disc_loss(real, fake) + penalty(psi)
    (down_psi,) = torch.autograd.grad(loss_disc, psi, create_graph=True)
    (down_theta,) = torch.autograd.grad(gen_loss(fake), theta, create_graph=True)
    return -torch.stack([down_theta, down_psi])
    ### END SOLUTION


# %% [markdown] tags=["core", "workshop"]
# Which other cures work here? **Instance noise** adds noise to real and forged alike; here it is $\pm s$, each half the time.
# **WGAN-GP** (lesson 23) wants slope 1 between real and forged; here $D$ has one slope everywhere: a cost $(|\psi| - 1)^2$. The
# **hinge** loss of section 3 charges $D$ $\max(0, 1 - \ell)$ for real and $\max(0, 1 + \ell)$ for forged; at the data $\psi x$
# is 0 whatever $\psi$ is, so only the second pulls. **Predict.** Each starts at $\theta = 1$, $\psi = 0$. Which ones arrive at 0?

# %% tags=["core", "workshop"]
velocity = checks.stable_gans.velocity(velocity)


def flow(state, game, time=40, dt=0.1):
    """Return the states (T, 2) of a flow, by Runge and Kutta: plain steps alone spiral out."""
    states = [state]
    for _ in range(round(time / dt)):
        a = velocity(state, **game).detach()
        b = velocity(state + dt / 2 * a, **game).detach()
        c = velocity(state + dt / 2 * b, **game).detach()
        d = velocity(state + dt * c, **game).detach()
        states.append(state := state + dt / 6 * (a + 2 * b + 2 * c + d))
    return torch.stack(states)


# %% tags=["core", "workshop"]
def hinge(real, fake):
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


plain = {"disc_loss": gan.disc_loss, "gen_loss": gan.minimax_gen_loss}
wgan = {"disc_loss": objectives.wgan_disc_loss, "gen_loss": objectives.wgan_gen_loss}
games = {"plain": plain, "R1, strength 0.32": plain | {"penalty": lambda psi: 0.16 * psi**2}}
games["noise, s = 0.8"] = plain | {"noise": torch.tensor([-0.8, 0.8])}
games["WGAN-GP"] = wgan | {"penalty": lambda psi: (psi.abs() - 1) ** 2}
games["hinge"] = {"disc_loss": hinge, "gen_loss": objectives.wgan_gen_loss}
start, origin = torch.tensor([1.0, 0.0]).double(), torch.zeros(2).double()
paths, roots = {name: flow(start, game) for name, game in games.items()}, {}
for name, game in games.items():
    J = torch.autograd.functional.jacobian(lambda s, game=game: velocity(s, **game), origin)
    roots[name] = torch.linalg.eigvals(J)[0]
    root = f"{roots[name]:.3f}" if name != "WGAN-GP" else "none, a kink at 0"
    print(f"{name}: eigenvalue {root}; distance at the end {paths[name][-1].norm():.4f}")
lines = {name: (torch.arange(len(path)) / 10, path[:, 0]) for name, path in paths.items()}
fig = plots.curves(lines, xlabel="time", ylabel="theta")
assert abs((roots["R1, strength 0.32"] - roots["noise, s = 0.8"]).real) < 1e-6
assert (paths["plain"].norm(dim=1) - 1).abs().max() < 1e-6
assert max(paths[name][-1].norm() for name in list(games)[1:3]) < 0.1 < paths["WGAN-GP"][-1].norm()

# %% [markdown] tags=["core", "workshop"]
# Two arrive: R1 and noise. Near 0 noise *is* R1 of strength $s^2/2$: with $\sigma(a) \approx \frac12 + \frac a4$ its pulls at $s$ and
# $-s$ leave $-\psi s^2/2$ (Roth et al. 2017). The plain game and the hinge keep their circles; the hinge
# turns faster, for its slopes are 1 and not about $\frac12$. A mere bound, $|\psi| \le 1$, which is all that spectral
# normalisation will give, would change nothing: this circle lies within. WGAN-GP, with weight 1, comes to rest at -2: to call the
# generator back, $\psi$ would have to pass 0, where its cost has a kink (so no eigenvalue). Pushed across, it flies to 2.
#
# A computer's steps are not small. A step of size $h$ along the tangent leaves the circle, $(I + hJ)v = (1 + h\lambda)v$ with $|1 +
# h\lambda| > 1$, if both players move *at once*. Lesson 20's loop lets them move *in turns*: $D$, then the generator against the new $D$.
#
# **Play.** Which strength is the fastest at rate 0.5? Is more always better? What do turns change at strength 0?

# %% tags=["core", "workshop"]
def draw_game(strength, rate, moves):
    game, states = plain | {"penalty": lambda psi: strength / 2 * psi**2}, [start]
    who = {"at once": [[1, 1]], "in turns": [[0, 1], [1, 0]]}[moves]  # theta, psi
    for _ in range(150):
        state = states[-1]
        for mask in torch.tensor(who).double():
            state = state + rate * mask * velocity(state, **game).detach()
        states.append(state.clamp(-3, 3))
    return plots.curves({"150 steps": torch.stack(states).T.numpy()}, xlabel="theta", ylabel="psi",
                        caption=f"distance at the end {states[-1].norm():.4f}; cut off at 3")


controls = [explore.slider("strength", 0.0, 4.0, 0.3), explore.slider("rate", 0.05, 1.0, 0.5)]
explore.View(draw_game, [*controls, explore.choice("moves", ["at once", "in turns"])])

# %% [markdown] tags=["core", "workshop"]
# Without R1 every rate spirals out if both move at once; in turns it circles and does not arrive either. Strength 1 is best for
# small rates: there $\sqrt{\gamma^2 - 1} = 0$. Beyond it one eigenvalue comes back towards 0: $D$, held so tightly, hardly tells
# the generator anything. The other grows, and at a high rate each step overshoots.
#
# ## 2 R1 for pictures
#
# For pictures the slope is the gradient of the logit in all pixels:
#
# $$ R_1 = \frac\gamma2\; \mathbb E_{x \sim data}\, \| \nabla_x \ell(x) \|^2 . $$
#
# At real pictures only, and towards 0, not 1: at the solution $D$ must be flat on the data. A gradient of a gradient is
# needed: so the first one keeps its graph, and a step costs nearly twice as much. Karras et al. (2020,
# appendix B) compute it **lazily**, every 16th step and 16 times as strong; we every 8th, by `penalty_every`. No strength
# carries over: 0.2 here, 10 in Mescheder's paper. `fake` and `rng` are handed to every penalty; this one needs neither.
#
# **Your turn (★★, 10 min).**
#
# <details><summary>Hint 1</summary>Each logit depends on its own picture only, so the gradient of their <i>sum</i> holds
# every picture's slope.</details>
# <details><summary>Hint 2</summary><code>x = x.detach().requires_grad_()</code>; <code>(slope,) =
# torch.autograd.grad(disc(x).___(), x, create_graph=___)</code>; flatten, square, sum over pixels, mean over
# pictures.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def r1_penalty(disc, x, fake, rng, strength=0.2):
    """Return strength / 2 times the mean squared slope of D at real x. Mescheder (2018), eq. 9."""
    ### TODO: the slope with a graph, its squared length for each picture
    ### BEGIN SOLUTION
    x = x.detach().requires_grad_()
    (slope,) = torch.autograd.grad(disc(x).sum(), x, create_graph=True)
    return strength / 2 * slope.flatten(1).square().sum(dim=1).mean()
    ### END SOLUTION


# %% tags=["core", "workshop"]
r1_penalty = checks.stable_gans.r1_penalty(r1_penalty)

# %% [markdown] tags=["core", "workshop"]
# ## 3 The hinge loss, and what it asks for
#
# A real picture with logit 5 is no longer news. The **hinge** loss (Lim and Ye 2017; Miyato et al. 2018, eq. 16) charges
# only what is on the wrong side of a margin: $\max(0, 1 - \ell)$ for real, $\max(0, 1 + \ell)$ for forged. The best $\ell$ at a
# point with densities $p$ (data) and $q$ (generator) is the sign of $p - q$. Such a $D$ pays $2 - 2\,\mathrm{TV}$, with the
# **total variation** $\mathrm{TV} = \frac12 \int |p - q|$. But a sign has slope 0 at every sample: the best $D$ gives *no* gradient. So the
# hinge needs a $D$ that may not jump: by section 4, or by R1.

# %% [markdown] tags=["deeper"]
# ### Deeper: the hinge's best $D$, derived
#
# At a point the cost $p \max(0, 1 - \ell) + q \max(0, 1 + \ell)$ has slope
# $-p$ left of $-1$, $+q$ right of $1$, and $q - p$ between. So it is least at an end of the middle part:
#
# $$ \ell^* = \begin{cases} +1 & p > q \\ -1 & p < q \end{cases}, \qquad
#    \text{cost} = 2 \min(p, q) = p + q - |p - q|, \qquad \int \text{cost} = 2 - 2\,\mathrm{TV} . $$
#
# The generator minimises $-\mathbb E_q\, \ell$, lesson 23's
# `wgan_gen_loss`. Against this $D$, $\mathbb E_p \ell^* - \mathbb E_q \ell^* = \int (p - q)\, \mathrm{sign}(p - q) = 2\,\mathrm{TV}$. $D$ is
# held fixed in the generator's step; $\ell^*$ is the best of all $|\ell| \le 1$, so holding it changes no slope: in $q$ it descends on
# 2 TV. JS's $D^*$ has a slope wherever the two
# overlap.

# %% [markdown] tags=["core", "workshop"]
# **Your turn (★, 5 min, deeper).** Mean over the batch, the last axis, sum over what is before, as in lesson 20. (Exercises
# marked *deeper* may stay open in the core: the check hands you the course's version.)
#
# <details><summary>Hint 1</summary>max(0, a) is <code>F.relu(a)</code>.</details>
# <details><summary>Hint 2</summary><code>F.relu(1 - ___).mean(dim=-1) + F.relu(1 + ___).mean(dim=-1)</code>, then the
# sum.</details>
#
# **Predict.** Data from N(0, 1), forgeries from N(1, 1). What does the best $D$ pay? (TV = 0.383.) And lesson 20's $D^*$, which
# answers with the logarithm of the ratio?

# %% tags=["core", "workshop", "export", "exercise"]
def hinge_disc_loss(logits_real, logits_fake):
    """Return the mean of max(0, 1 - real) plus that of max(0, 1 + fake), over B; sum over R."""
    ### TODO: what is beyond the margin costs nothing
    ### BEGIN SOLUTION
    real, fake = F.relu(1 - logits_real), F.relu(1 + logits_fake)
    return (real.mean(dim=-1) + fake.mean(dim=-1)).sum()
    ### END SOLUTION


# %% tags=["core", "workshop"]
hinge_disc_loss = checks.stable_gans.hinge_disc_loss(hinge_disc_loss)
real, forged = (torch.randn(200_000, generator=device.generator(1)) + shift for shift in (0, 1))
ratios = [0.5 - x for x in (real, forged)]  # ln p(x) / q(x)
tv = torch.erf(torch.tensor(0.125**0.5)).item()
best = hinge_disc_loss(*(ratio.sign() for ratio in ratios)).item()
print(f"sign: {best:.3f}, formula: {2 - 2 * tv:.3f}; ln p/q: {hinge_disc_loss(*ratios):.3f}")
assert abs(best - 2 + 2 * tv) < 0.01 < hinge_disc_loss(*ratios) - best

# %% [markdown] tags=["core", "workshop"]
# The sign pays what the formula says. The logarithm pays more: it says less than the margin where it could say 1, and more than 1
# where it then pays when wrong.
#
# ## 4 Spectral normalisation
#
# How steep can $D$ be? A layer $x \mapsto Wx$ stretches a vector at most by $\sigma_1$, the largest singular value of $W$;
# a leaky ReLU by 1. So the product of all $\sigma_1$ bounds the slope. **Spectral normalisation** (Miyato et al. 2018)
# divides each weight by its $\sigma_1$. To find it: multiply any vector by $W^\top W$ again and again. Along the $i$-th right singular vector it
# grows by $\sigma_i^2$ a time, so the first one outgrows the rest:
#
# $$ v \leftarrow \frac{W^\top u}{\|W^\top u\|}, \qquad u \leftarrow \frac{W v}{\|W v\|}, \qquad \sigma_1 \approx u^\top W v . $$
#
# Weights change little from step to step. So `u` is kept, in a buffer, and *one* iteration a call is enough. `u` and `v` count
# as constants; $\sigma_1$ does not: its gradient takes the part along $W$ out of a step, for $W$'s length changes nothing. PyTorch's
# `parametrize` puts a module between Adam's weight and the layer's.
#
# **Your turn (★★★, 15 min, deeper).** $v$, then the new $u$, then $\sigma_1$ with the new $u$. In evaluation `u` stays. Give `self.u` a new
# tensor: an earlier call's graph needs the old one.
#
# <details><summary>Hint 1</summary>v and u inside <code>with torch.no_grad()</code>, u only <code>if self.training</code>; sigma
# outside.</details>
# <details><summary>Hint 2</summary><code>v = F.normalize(matrix.T.mv(___), dim=0)</code>; <code>self.u =
# F.normalize(matrix.mv(___), dim=0)</code>; <code>sigma = self.u.dot(___)</code>; return weight / sigma.</details>

# %% tags=["core", "workshop", "export", "exercise"]
class SpectralNorm(nn.Module):
    """Divide a weight (out, ...) by the largest singular value of its matrix (out, rest).

    Miyato et al. (2018), algorithm 1. u (out,) is a buffer; one iteration a call in training.
    """

    def __init__(self, weight):
        super().__init__()
        self.register_buffer("u", F.normalize(torch.randn_like(weight.flatten(1)[:, 0]), dim=0))

    def forward(self, weight):
        matrix = weight.flatten(1)
        ### TODO: v from u, u from v (in training), both without a graph; sigma with one
        ### BEGIN SOLUTION
        with torch.no_grad():
            v = F.normalize(matrix.T.mv(self.u), dim=0)
            if self.training:
                self.u = F.normalize(matrix.mv(v), dim=0)
        sigma = self.u.dot(matrix.mv(v))
        return weight / sigma
        ### END SOLUTION


# %% tags=["core", "workshop", "export"]
def spectrally_normalised(net):
    """Put SpectralNorm on the weight of every convolution and linear layer; return net."""
    for layer in list(net.modules()):
        if isinstance(layer, nn.Conv2d | nn.Linear):
            parametrize.register_parametrization(layer, "weight", SpectralNorm(layer.weight))
    return net


HINGE = objectives.Objective(hinge_disc_loss, objectives.wgan_gen_loss)
R1 = objectives.Objective(gan.disc_loss, gan.gen_loss, penalty=r1_penalty, penalty_every=8)

# %% tags=["core", "workshop"]
SpectralNorm = checks.stable_gans.SpectralNorm(SpectralNorm)
torch.manual_seed(cfg.seed)  # the weight and ten first u
weight = dcgan.Discriminator(32, norm=False).layers[2].weight.detach().double()  # (64, 32, 4, 4)
values, starts = torch.linalg.svdvals(weight.flatten(1)), []
for norm in [SpectralNorm(weight) for _ in range(10)]:  # every call is one iteration
    used = torch.stack([norm(weight).norm() for _ in range(30)])
    starts.append(values[0] * used / weight.norm() - 1)
starts.sort(key=lambda far: far[-1])
ends = {"best of ten": starts[0], "middle": starts[5], "worst": starts[-1]}
fig = plots.curves({name: (range(1, 31), far) for name, far in ends.items()}, log=True,
                   xlabel="iterations", ylabel="distance of the used weight's norm to 1")
print(f"second to first singular value {values[1] / values[0]:.3f}")
assert starts[0][-1] >= 0 and starts[-1][-1] < 0.1

# %% [markdown] tags=["core", "workshop"]
# Some starts have not found the first direction after 30 calls, and yet all are near. If a share $a$ of the direction's square lies along the
# second, the relative error of $\sigma_1$ is about $\frac a2 (1 - (\sigma_2/\sigma_1)^2)$: a near-tie slows the search and makes it
# harmless.
#
# What is bounded is the kernel, as a matrix. The convolution's own norm can be up to $\sqrt m$ times as large, if a pixel
# lies in $m$ patches (4 for 4x4 and stride 2).

# %% [markdown] tags=["deeper"]
# ### Deeper: but whose norm is it?
#
# $W$ is the kernel, reshaped to (out, in · 4 · 4): it maps *one patch* to one place of the output. The
# convolution maps the *picture*, and patches overlap. Let $P_i x$ be the $i$-th patch, and $m$ the number of patches that a pixel
# lies in at most. Then
#
# $$ \|\mathrm{conv}(x)\|^2 = \sum_i \|W P_i x\|^2 \le \sigma_1^2 \sum_i \|P_i x\|^2 \le \sigma_1^2\, m\, \|x\|^2 , $$
#
# and a picture that is the best patch alone reaches at least $\sigma_1$, if the patch fits in. So $\sigma_1 \le \|\mathrm{conv}\| \le \sqrt m\, \sigma_1$. With
# stride 1 $m$ is the kernel's area. Measure it: power iteration once more, on pictures; the
# transpose of `conv2d` is `conv_transpose2d` (lesson 13).
#
# **Your turn (★★, 10 min).**
#
# <details><summary>Hint 1</summary>Forth with W, back with its transpose; at the end the length of
# the answer to a picture of length 1.</details>
# <details><summary>Hint 2</summary><code>y = F.conv2d(x / x.norm(), weight, stride=stride, padding=padding)</code>; x becomes
# <code>F.conv_transpose2d(y, ___, ...)</code>.</details>
#
# **Predict.** A 3x3 kernel of nine ones, one channel, stride 1: $\sigma_1 = 3$. And the convolution's norm?

# %% tags=["deeper", "export", "exercise"]
@torch.no_grad()
def conv_norm(weight, side, stride=1, padding=1, iterations=200):
    """Return the largest singular value of a convolution, as a map of pictures side x side."""
    x = torch.ones(1, weight.shape[1], side, side).to(weight)
    x = x + 0.1 * torch.randn(x.shape, generator=device.generator(0)).to(weight)
    ### TODO: there and back, many times; the length of what a picture of length 1 becomes
    ### BEGIN SOLUTION
    for _ in range(iterations):
        y = F.conv2d(x / x.norm(), weight, stride=stride, padding=padding)
        x = F.conv_transpose2d(y, weight, stride=stride, padding=padding)
    return y.norm().item()
    ### END SOLUTION


# %% tags=["deeper"]
conv_norm = checks.stable_gans.conv_norm(conv_norm)
layers = dcgan.Discriminator(32, norm=False).layers
kernels = {"D, first": (layers[0].weight, 28, 2, 2), "D, second": (layers[2].weight, 14, 2, 2)}
kernels |= {"nine ones": (torch.ones(1, 1, 3, 3), 28, 1, 3)}
for name, (kernel, side, stride, root) in kernels.items():
    matrix = torch.linalg.svdvals(kernel.detach().flatten(1))[0].item()
    whole = conv_norm(kernel.double(), side, stride)
    print(f"{name}: matrix {matrix:.3f} <= convolution {whole:.3f} <= {root * matrix:.3f}; "
          f"{whole / matrix:.2f} times")
    assert matrix * 0.999 <= whole <= 1.001 * root * matrix

# %% [markdown] tags=["deeper"]
# Nearly 9, three times the matrix's: on a picture of one grey all patches agree. Only the border keeps it from 9; without one
# the norm is the largest absolute value of the kernel's Fourier transform (Sedghi, Gupta and Long 2019; with more channels, the largest
# singular value over frequencies). Two normalised layers of 4x4, stride 2, could together be 4 times as steep as 1.

# %% [markdown] tags=["deeper"]
# ## 5 Deeper: the bake-off
#
# Who wins? Equal for all here: the network (`Generator(64, 32)`,
# `Discriminator(32, norm=False)`), the data, **the CPU seconds** on one core, averaged weights, rates falling over the last half, and
# the search: two rates for both players, 5e-4 and 2e-3, each tried for 15 seconds with seed 99, the better one taken. The rows:
# saturating, non-saturating (NS), LSGAN; WGAN, clipped, and WGAN-GP, both with five steps of $D$ as in their papers; WGAN-GP with
# one; hinge, also with spectral norm (SN); NS with R1; NS with batch norm in $D$, the one other network.
#
# **Predict** the first and the last. Which differences are larger than the spread over seeds?

# %% tags=["deeper"]
facts = json.loads((ROOT / "data" / "results" / "24.json").read_text(encoding="utf-8"))
measured = facts["data"].get(data_name(), facts["data"]["strokes"])


def spread(values):
    finite = [value for value in values if value is not None]
    return (mean(finite), stdev(finite)) if len(finite) > 1 else (float("nan"), 0.0)


table = {name: spread(row["frechet"]) for name, row in measured["bakeoff"].items()}
table = dict(sorted(table.items(), key=lambda row: row[1][0]))
fig = plots.bars(table, ylabel=f"Fréchet distance, {facts['sizes']['seconds']['bakeoff']} CPU s")
for name, (middle, deviation) in table.items():
    row = measured["bakeoff"][name]
    print(f"{name:17}{middle:6.0f} ± {deviation:4.0f}, {len(row['frechet'])} seeds, {row['frechet'].count(None)} nan; "
          f"rate {row['rate']} (tried: {row['search'][0]:.0f}, {row['search'][1]:.0f}); "
          f"rarest digit {spread(row['smallest'])[0]:.1%}")
print(f"made by `{facts['command']}`, {facts['seconds'] / 60:.0f} minutes")
assert data_name() != "strokes" or {*list(table)[-2:]} == {"saturating", "WGAN, clipped"}
assert data_name() != "strokes" or max(table, key=lambda k: table[k][1]) == "saturating"

# %% [markdown] tags=["deeper"]
# A row whose spread reaches its neighbour's has not beaten it. Rates count as much: see the
# search. The purse matters: five steps of $D$, or a gradient of a gradient at every step, leave fewer
# steps for the same seconds. The clipped WGAN is far behind. In so short a
# race section 1 promises R1 no lead: it damps, it does not speed up. On strokes the saturating loss has the widest spread: some seeds good, some stuck as in lesson 20. Lucic et al. (2018), with far more computing: given enough search, most
# objectives reach similar scores.

# %% [markdown] tags=["deeper"]
# ## 6 Deeper: a thousand modes
#
# Ten classes are few. Three digits in the three colour channels are 1,000 modes, 000 to 999; the judge
# reads each channel (Metz et al. 2017; Lin et al. 2018 count among 25,600 samples). How many would a *perfect* generator show?
# The chance that $n$ samples all miss a mode of probability $p$ is $(1 - p)^n$. So the expected number is a sum over modes:
#
# $$ \mathbb E[\text{modes seen}] = \sum_k 1 - (1 - p_k)^n . $$
#
# **Your turn (★, 5 min).** Write it. **Predict** it for 1,000 equal modes and 1,000 samples; and for 25,600.
#
# <details><summary>Hint 1</summary>One chance for each mode, then the sum.</details>
# <details><summary>Hint 2</summary><code>(1 - (1 - ___) ** n).sum()</code>, in float64.</details>

# %% tags=["deeper", "export", "exercise"]
def expected_modes(p, n):
    """Return how many modes of probabilities p (K,) n independent samples show on average."""
    ### TODO: for each mode the chance that at least one sample shows it
    ### BEGIN SOLUTION
    return (1 - (1 - p.double()) ** n).sum().item()
    ### END SOLUTION


def stacked_batches(images, batch_size, rng):
    """Yield batches (B, 3, 28, 28) in -1..1: in each colour channel another digit."""
    for x in dcgan.signed_batches(images, 3 * batch_size, rng):
        yield x.view(batch_size, 3, 28, 28)


def modes_of(samples, judge):
    """Return the number 0..999 that the judge reads in each of samples uint8 (N, 3, 28, 28)."""
    digits = judge.classify(samples.flatten(0, 1)[:, None]).argmax(dim=1).view(-1, 3)
    return digits @ torch.tensor([100, 10, 1])


# %% tags=["deeper"]
expected_modes = checks.stable_gans.expected_modes(expected_modes)
even = torch.full((1000,), 1 / 1000)
stack = dcgan.signed_to_pixels(next(stacked_batches(train, 600, rng))).cpu()
fig = plots.show_images(stack[:8], value_range=(0, 255), columns=8,
                        labels=[f"{mode:03}" for mode in modes_of(stack[:8], judge).tolist()])
print(f"600 real stacks: {modes_of(stack, judge).unique().numel()} modes; perfect: "
      f"{expected_modes(even, 600):.0f} ± 8 of 600, {expected_modes(even, 1000):.0f} of 1,000, "
      f"{expected_modes(even, 25_600):.2f} of 25,600")
for name, row in measured["stacked"].items():
    print(f"{name}: {row['modes']} of 1,000 modes in 25,600 samples, by seed")

# %% [markdown] tags=["deeper"]
# With 1,000 samples even a perfect generator misses more than a third of the modes, $(1 - 1/1000)^{1000} \approx 1/e$; with 25,600
# practically none. (An average: 600 samples give ± 8 from draw to draw.) What the last lines lack is the generator's fault. And the
# judge must read something in every smudge: a mode counted is not yet one drawn well.

# %% [markdown] tags=["core", "workshop"]
# ## 7 Train the best
#
# A step spends most of its time on the large maps, where each convolution has few channels to mix and many
# places to visit. Lesson 13's `pixel_shuffle` offers another way: stay at 7x7 *all the time*. D sorts every 4x4
# block of pixels into 16 channels first; G makes 16 channels and sorts them back last (`nn.PixelUnshuffle`, `nn.PixelShuffle`;
# Shi et al. 2016). Between them, plain 3x3 convolutions of 64 channels: more mixing for the time.
#
# Three trainings of as many steps: lesson 21's networks as they were; then R1, without a norm in $D$ and at twice the rates; then R1
# with the new pair. Averaged weights need batch statistics of their own: `recalibrate`.
#
# **Predict.** Order the three by their Fréchet distance. How far is the floor (real against real)?

# %% tags=["core", "workshop", "export"]
conv3 = partial(nn.Conv2d, kernel_size=3, padding=1)


class ShuffleGenerator(dcgan.Generator):
    """Grow noise z (B, latent) into pictures (B, 1, 28, 28) in -1..1 by convolutions at 7x7."""

    def __init__(self, latent=64, width=64):
        super().__init__(latent)
        layers = [nn.Linear(latent, 49 * width, bias=False), nn.Unflatten(1, (width, 7, 7))]
        for _ in range(2):
            layers += [nn.BatchNorm2d(width), nn.ReLU(), conv3(width, width, bias=False)]
        layers += [nn.BatchNorm2d(width), nn.ReLU(), conv3(width, 16), nn.PixelShuffle(4)]
        self.layers = nn.Sequential(*layers)


class ShuffleDiscriminator(dcgan.Discriminator):
    """Judge pictures x (B, 1, 28, 28) in -1..1 by convolutions at 7x7: logits (B,); no norm."""

    def __init__(self, width=64):
        super().__init__()
        hidden = [conv3(16, width), nn.LeakyReLU(0.2), conv3(width, width), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(nn.PixelUnshuffle(4), *hidden, nn.Flatten(),
                                    nn.Linear(49 * width, 1))


# %% tags=["core", "workshop"]
def grow(arm, objective, gen, disc):
    """Train; return the averaged generator, its norms' statistics set anew."""
    draw = device.generator(arm.seed, dev)
    gen, disc = (net.to(dev, memory_format=torch.channels_last) for net in (gen, disc))
    averaged, data = copy.deepcopy(gen), dcgan.signed_batches(train, arm.batch_size, draw)
    with device.fast_autocast(dev):
        objectives.train_objective(arm, objective, gen, disc, data, draw, averaged=averaged)
    return dcgan.recalibrate(averaged, draw)


runs = {"DCGAN": grow(cfg, objectives.NON_SATURATING, dcgan.Generator(), dcgan.Discriminator())}
runs["R1"] = grow(cfg, R1, dcgan.Generator(), dcgan.Discriminator(norm=False))
runs["R1 at 7x7"] = grow(cfg, R1, ShuffleGenerator(), ShuffleDiscriminator())

# %% tags=["core", "workshop"]
@torch.no_grad()
def sample(gen, noise):
    return torch.cat([dcgan.signed_to_pixels(gen(z)).cpu() for z in noise.split(1000)])


noise, real = device.generator(5, dev), judge.features(test)
sets = {name: sample(gen, gen.noise(len(test), noise)) for name, gen in runs.items()}
sets["real"] = train[: len(test)].cpu()
scores = {name: metrics.frechet_distance(judge.features(x), real) for name, x in sets.items()}
fig = plots.bars(scores, ylabel=f"Fréchet distance, {judge.name}")
for name, x in sets.items():
    shares = judge.classify(x).argmax(dim=1).bincount(minlength=10) / len(x)
    print(f"{name}: distance {scores[name]:.1f}, rarest digit {shares.min():.1%}")
fig = plots.compare({k: x[:12] for k, x in sets.items()}, value_range=(0, 255), columns=12, scale=2)
facts = {"lesson": 24, "steps": cfg.steps, "seed": cfg.seed, "frechet": round(scores["R1 at 7x7"], 1)}
trained.save("stable-dcgan", runs["R1 at 7x7"], **facts)
assert scores["real"] < scores["R1 at 7x7"] < profile(smoke=9e9, standard=1.0) * scores["DCGAN"]

# %% [markdown] tags=["core", "workshop"]
# With the same steps, the new pair is ahead of the DCGAN, as the assertion demands; against R1 on lesson 21's networks compare the two
# bars yourself, for one seed is an anecdote, and 2,000 steps are few. `bench --only dcgan` trains the new pair for longer, by seed. The
# floor is far lower still.
#
# ## 8 The clinic
#
# Now be the doctor. `vital_signs` leaves three numbers every few steps: $D(x)$, $D(G(z))$
# and the diversity. Look at the second half of a training, take the **gap** $D(x) - D(G(z))$, and go down this list; the
# first row that holds is the diagnosis. The bounds suit lesson 20's networks; a sigmoid of 0..1 lies in 0.5..0.732, rounding apart.
#
# | diagnosis | the sign, over the second half | what may be behind it | cure |
# |---|---|---|---|
# | `no number` | a sign is not finite | rates too high, nan in the data | `or_stop`; look at the data |
# | `two sigmoids` | all answers lie in 0.4999..0.732 | a sigmoid before losses that expect logits (G13) | return logits |
# | `D has won` | mean gap above 0.9 | D far too strong; two ranges (G14), if early | one range; R1 |
# | `D is fooled` | mean gap below -0.05 | D never steps (G7), or far too slowly | call its optimiser |
# | `collapse` | mean diversity below 0.2 | D runs away | R1, stronger; lower rate of D |
# | `swings` | standard deviation of the gap above 0.15 | the circle of section 1 | R1; β₁ 0.5; averaging |
# | `no sign` | none of these | perhaps health | measure from outside |
#
# **Your turn (★★, 10 min, deeper).** Write `diagnose`.
#
# <details><summary>Hint 1</summary>Three tensors, cut at half their length; then the table's rows, in order.</details>
# <details><summary>Hint 2</summary><code>real, fake, diversity = (torch.tensor(history[name][1])[len(history[name][1]) // 2 :]
# for name in SIGNS)</code>; <code>both = torch.cat([real, fake])</code>; nan makes every comparison False, so ask
# <code>isfinite().all()</code> first.</details>

# %% tags=["core", "workshop", "export", "exercise"]
SIGNS = ("D(x)", "D(G(z))", "diversity")


def diagnose(history):
    """Name the illness of a training from the second half of its vital signs, or "no sign".

    history: name -> (steps, values), as train_gan and train_objective return it.
    """
    ### TODO: the rows of the table, in its order
    ### BEGIN SOLUTION
    halves = [torch.tensor(history[name][1])[len(history[name][1]) // 2 :] for name in SIGNS]
    real, fake, diversity = halves
    gap, both = real - fake, torch.cat([real, fake])
    if not torch.cat(halves).isfinite().all():
        return "no number"
    if both.min() >= 0.4999 and both.max() <= 0.732:
        return "two sigmoids"
    if gap.mean() > 0.9:
        return "D has won"
    if gap.mean() < -0.05:
        return "D is fooled"
    if diversity.mean() < 0.2:
        return "collapse"
    return "swings" if gap.std() > 0.15 else "no sign"
    ### END SOLUTION


# %% [markdown] tags=["core", "workshop"]
# The patients are lesson 20's dense networks, made ill on purpose; beside the
# diagnosis stands a measure from outside. The first four are bugs: mended, all are the same healthy training. The last two keep
# their mad rates ($D$'s 30 times the healthy one's) and get R1. **Predict** each diagnosis, ill and cured.

# %% tags=["core", "workshop"]
diagnose = checks.stable_gans.diagnose(diagnose)
ward = replace(cfg, steps=profile(smoke=10, standard=400), lr_gen=3e-3, lr_disc=1e-3,
               measure_every=10)
strong = replace(R1, penalty=partial(r1_penalty, strength=2.0), penalty_every=1)


def treat(objective=objectives.NON_SATURATING, disc=gan.Discriminator, feed=lambda x: x, **numbers):
    """Train lesson 20's networks; return diagnosis, distance and samples."""
    torch.manual_seed(0)
    draw, gen, disc = device.generator(0, dev), gan.Generator().to(dev), disc().to(dev)
    data = (feed(x) for x in gan.picture_batches(train, ward.batch_size, draw))
    averaged = copy.deepcopy(gen)
    try:
        history = objectives.train_objective(replace(ward, **numbers), objective, gen, disc, data,
                                             draw, averaged=averaged, label="patient")
    except CourseError:
        return "no number", float("nan"), torch.zeros_like(test)
    x = gan.to_pixels(averaged(gen.noise(2000, draw)).detach()).cpu()
    return diagnose(history), metrics.frechet_distance(judge.features(x), real), x


# %% tags=["core", "workshop"]
rows = {"nan in the data": {"feed": lambda x: x / (x - x)}, "two ranges": {"feed": lambda x: 2 * x - 1}}
rows["sigmoid at D's end"] = {"disc": lambda: nn.Sequential(gan.Discriminator(), nn.Sigmoid())}
rows |= {"D's optimiser not called": {"lr_disc": 0.0}, "D 30 times as fast": {"lr_disc": 3e-2}}
rows["beta1 0.9, fast generator"] = {"betas": (0.9, 0.99), "lr_gen": 1e-2, "lr_disc": 3e-4}
ill, healthy = {name: treat(**arm) for name, arm in rows.items()}, treat()
cured = {name: treat(strong, **rows[name]) for name in list(rows)[4:]}
for name, (found, far, _) in ill.items():
    well, near, _ = cured.get(name, healthy)
    print(f"{name:26} {found:13}{far:5.0f}  ->  {well:10}{near:5.0f}")
    assert name not in cured or near < profile(smoke=float("inf"), standard=0.95) * far
fig = plots.compare({f"{name}: {row[0]}": row[2][:12] for name, row in ill.items()},
                    value_range=(0, 255), columns=12, scale=2)

# %% [markdown] tags=["core", "workshop"]
# No penalty helps against the first four. The last two are the game itself: R1, with the same mad rates, brings
# the distance down. And what is "no sign" worth? Compare the distances of
# those without one; the healthy one's need not be the smallest.

# %% [markdown] tags=["deeper"]
# ## 9 Deeper: exercises
#
# **A. Predict (★★, 10 minutes): how strong?** By section 1's formula, at which rate (minus the larger real part) does the distance
# to 0 shrink for strengths 0.25, 1, 4 and 16? Then run.
#
# <details><summary>Hint 1</summary>Below 1 the root is imaginary: the real part is -strength / 2.</details>
# <details><summary>Hint 2</summary>For large strengths the root is about strength - 1 / (2 strength).</details>

# %% tags=["deeper"]
for strength in (0.25, 1.0, 4.0, 16.0):
    game = plain | {"penalty": lambda psi, strength=strength: strength / 2 * psi**2}
    J = torch.autograd.functional.jacobian(lambda s, game=game: velocity(s, **game), origin)
    print(f"strength {strength}: rate {-torch.linalg.eigvals(J).real.max():.4f}")

# %% [markdown] tags=["deeper"]
# <details><summary>Answer to A</summary>1/8, 1/2, then about 1 / (4 strength). Four times too little: a quarter of the best rate; four
# times too much: an eighth; sixteen times: a thirty-second.</details>
#
# **B. Build (★★, 20 minutes): trade diversity for fidelity.** Noise near 0 was seen most in training. The **truncation trick** (Brock
# et al. 2019, section 3.1) draws each number of $z$ from N(0, 1) again until it lies in -limit..limit. **Predict** what happens to
# precision (share of samples that look real) and recall (share of real data that samples come near) as the limit falls.
#
# <details><summary>Hint 1</summary>While any number is out of bounds, draw those again.</details>
# <details><summary>Hint 2</summary><code>while (out := z.abs() > limit).any(): z[out] = torch.randn(___, generator=rng,
# device=rng.device)</code>. Clamping is not the same: it piles up at the ends.</details>

# %% tags=["deeper", "exercise", "export"]
def truncated_noise(n, latent, limit, rng):
    """Draw z (n, latent) from N(0, 1), each number anew until it lies in -limit..limit."""
    z = torch.randn(n, latent, generator=rng, device=rng.device)
    ### TODO: draw again what is out of bounds
    ### BEGIN SOLUTION
    while (out := z.abs() > limit).any():
        z[out] = torch.randn(int(out.sum()), generator=rng, device=rng.device)
    ### END SOLUTION
    return z


# %% tags=["deeper"]
truncated_noise = checks.stable_gans.truncated_noise(truncated_noise)
few, sheets = profile(smoke=200, standard=2000), {}
for limit in (0.3, 0.7, 1.2, 4.0):
    x = sample(runs["R1 at 7x7"], truncated_noise(few, 64, limit, noise))
    sheets[f"limit {limit}"] = x[:12]
    precision, recall = metrics.precision_recall(real[:few], judge.features(x))
    print(f"limit {limit}: precision {precision:.2f}, recall {recall:.2f}")
fig = plots.compare(sheets, value_range=(0, 255), columns=12, scale=2)

# %% [markdown] tags=["deeper"]
# The trick is to pay recall for precision. Recall falls; precision hardly rises, and at 0.3 falls, too: such noise lies far inside lesson 21's
# shell, where G was never trained.
#
# **C. Debug (★★, 10 minutes): R1 that does nothing (W6).** Two colleagues' lines. What is wrong with each, and by what factor is the
# second too weak with 64 pictures? Paste each into `r1_penalty` and read what the check says.
#
# ```python
# (slope,) = torch.autograd.grad(disc(x).sum(), x)                      # the first
# (slope,) = torch.autograd.grad(disc(x).mean(), x, create_graph=True)  # the second
# ```
#
# <details><summary>Hint 1</summary>Does the penalty know D's weights? How long is a slope that was divided by 64?</details>
# <details><summary>Hint 2</summary>Ask the penalty for its <code>requires_grad</code>. Squares count twice.</details>
#
# <details><summary>Answer to C</summary>Without create_graph the penalty is a constant, without a gradient. The mean makes each
# slope 64 times smaller, the penalty 4,096 times.</details>
#
# **D. Modify (★★, 15 minutes).** How much R1 does the patient with the fast D need? Run `treat` on its row with strengths
# 0.02, 0.2, 2 and 20, and with HINGE and a spectrally normalised D. Does too much hurt, as in section 1?
#
# <details><summary>Hint 1</summary>`strong` in section 8 shows how to set a strength.</details>
# <details><summary>Hint 2</summary><code>treat(HINGE, disc=lambda: spectrally_normalised(gan.Discriminator()),
# **rows["D 30 times as fast"])</code></details>
#
# <details><summary>What to look for</summary>Both columns: a sign may go while the distance stays.</details>

# %% [markdown] tags=["core", "workshop"]
# ## 10 To discuss, and to keep
#
# <details><summary><b>W7.</b> Spectral normalisation helps, R1 helps, clipping helps. All three at once?</summary>No: one
# constraint. A D that is held three times over tells the generator too little.</details>
# <details><summary><b>W8.</b> May D have batch norm under R1?</summary>Better not: a picture's logit then depends on the
# batch, and the sum's gradient no longer holds each picture's slope.</details>
# <details><summary><b>G17.</b> The gap is 0 and loss_disc is 2 ln 2. Has the training converged?</summary>Either nothing
# is left to tell apart, or D is blind. No vital sign knows; a measure from outside does.</details>
#
# **Summary**
#
# - R1 damps the circle: eigenvalues ± i/2 get a negative real part; too much of it is slow again.
# - The hinge's best D is the sign of p - q: its value is total variation, its slope 0. It needs a D that may not jump.
# - Spectral normalisation bounds the kernel's matrix; the convolution's norm is up to √m times larger.
# - (Deeper) Compare on one network, one budget, several seeds, equally many rates; a difference inside the spread is none.
#
# **Later lessons import** `r1_penalty`, `R1`, `HINGE`, `SpectralNorm`, `spectrally_normalised`, `diagnose`, `truncated_noise`,
# `ShuffleGenerator`, `ShuffleDiscriminator`, weights `stable-dcgan`.
# **Limits:** small pictures, networks and budgets; the table's order is theirs, not a law.
#
# **Papers** (arXiv). Mescheder, Geiger and Nowozin (2018), 1801.04406, sections 2 to 4 · Roth et al. (2017), 1705.09367 · Lim and Ye
# (2017), 1705.02894 · Miyato et al. (2018), 1802.05957, section 2 · Sedghi, Gupta and Long (2019), 1805.10408 · Metz et al. (2017),
# 1611.02163 · Lin et al. (2018), 1712.04086 · Shi et al. (2016), 1609.05158 · Brock, Donahue and Simonyan (2019), 1809.11096 · Karras et al.
# (2020), 1912.04958, appendix B · Lucic et al. (2018), 1711.10337
