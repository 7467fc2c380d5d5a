# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown] tags=["core", "workshop"]
# # 21 Grow digits with a DCGAN
#
# You will build the generator and the discriminator of the deep convolutional GAN (DCGAN), find out what batch
# normalisation does to a sample, and (deeper) see each rule of its paper switched off once.
#
# ![The same noise as digits, at five moments of the training](../data/pictures/21-023.png)
#
# | | |
# |---|---|
# | **You need** | the GAN loop (lesson 20), transposed convolution (13), batch normalisation (14) |
# | **Time** | 60 minutes for the core, 105 more for what is marked *deeper*; the notebook itself runs in 3 minutes |
# | **Machine** | no GPU, no network, 1 GB of memory |
#
# When you are through, you can
#
# 1. build a generator that grows 7x7 to 28x28 and a discriminator that halves twice, and say why each layer is there,
# 2. derive what the first weights' spread does in a network with batch normalisation, and prove that yours arrived,
# 3. say by which statistics a sample was normalised, and (deeper) measure those of an averaged generator,
# 4. (deeper) walk between two samples without leaving the noise's shell, and tell a checkerboard by a number,
# 5. (deeper) tell a discriminator that has learnt its pictures by heart from one that has learnt what digits look like.
#
# > **Remember.** Batch normalisation makes the size of the weights before it meaningless, and each sample depend on its
# > company. Sample in evaluation mode, with statistics that belong to the weights.

# %% tags=["core", "workshop", "export"]
import copy
import json
from dataclasses import dataclass, replace
from statistics import mean, stdev

import torch
from torch import nn

from course_lib import checks, datasets, device, explore, judges, metrics, plots, trained, training
from course_lib.built import gan, shrink_and_grow
from course_lib.built.gan import disc_loss, gen_loss, picture_batches, to_pixels, train_gan
from course_lib.settings import ROOT, CourseError, data_name, profile


@dataclass
class Config:
    """The numbers of lesson 21; `profile` picks the value for the profile that you run in."""

    steps: int = profile(smoke=20, standard=3000, full=30000)  # of both optimisers
    batch_size: int = 32
    width: int = 32  # channels next to the picture; twice as many inside
    lr_gen: float = 2e-3
    lr_disc: float = 2e-3
    betas: tuple = (0.5, 0.99)  # Adam's
    average: float = 0.998  # how slowly the averaged generator follows
    measure_every: int = 25  # steps
    seed: int = 0


# %% [markdown] tags=["core", "workshop"]
# ## 1 The data, from -1 to 1
#
# Radford et al. (2016) end their generator in tanh, which reaches from -1 to 1. As $\tanh x = 2\sigma(2x) - 1$, it is lesson
# 20's sigmoid in another range; $D$ gets inputs on both sides of 0. Axes: B pictures in a batch, C channels, H rows, W
# columns, L numbers of noise. Codes such as D7 or D12 are rows of the course's catalogue of real bugs.
#
# **Your turn (★, 5 min).** Both ways, by way of lesson 20's functions.
#
# <details><summary>Hint 1</summary>A straight line through (0, -1) and (1, 1), and its inverse.</details>
# <details><summary>Hint 2</summary><code>yield ___ * x - ___</code>; back: <code>to_pixels((x + ___) / ___)</code>.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def signed_batches(images, batch_size, rng):
    """Yield endless shuffled batches (B, C, H, W) in -1..1 of images uint8 (N, C, H, W)."""
    for x in picture_batches(images, batch_size, rng):  # in 0..1
        ### TODO: yield x with 0 -> -1 and 1 -> 1
        ### BEGIN SOLUTION
        yield 2 * x - 1
        ### END SOLUTION


def signed_to_pixels(x):
    """Map floats in -1..1 to the nearest byte, uint8 in 0..255; what lies outside is clamped."""
    ### TODO: the way back, by way of to_pixels
    ### BEGIN SOLUTION
    return to_pixels((x + 1) / 2)
    ### END SOLUTION


# %% tags=["core", "workshop"]
signed_batches = checks.dcgan.signed_batches(signed_batches)
signed_to_pixels = checks.dcgan.signed_to_pixels(signed_to_pixels)
cfg, dev = Config(), device.pick_device()
rng = device.generator(cfg.seed, dev)  # noise, data and order
torch.manual_seed(cfg.seed)  # the layers' first weights
train_set = datasets.load(data_name(), "train", size=profile(smoke=2000, standard=None)).images.to(dev)
test = datasets.load(data_name(), "test", size=profile(smoke=500, standard=None)).images
fig = plots.show_images(next(signed_batches(train_set, 20, rng)), value_range=(-1, 1), columns=10)

# %% [markdown] tags=["core", "workshop"]
# ## 2 From your layer to torch's
#
# The generator grows by transposed convolution: each pixel of the small picture stamps its kernel on the large one. You
# wrote that layer in lesson 13. **Predict.** Does torch's give the same numbers and gradients?

# %% tags=["core", "workshop"]
ours = shrink_and_grow.ConvTranspose2d(64, 32, 4, stride=2, padding=1).to(dev)
theirs = nn.ConvTranspose2d(64, 32, 4, stride=2, padding=1).to(dev)
theirs.load_state_dict(ours.state_dict())
h, found = torch.randn(32, 64, 7, 7, generator=rng, device=dev, requires_grad=True), []
for layer in (ours, theirs):
    y = layer(h)
    found.append([y, *torch.autograd.grad(y.square().mean(), [h, *layer.parameters()])])
gaps = [(a - b).abs().max().item() for a, b in zip(*found, strict=True)]
print("values, gradients of x, weight, bias:", *(f"{gap:.0e}" for gap in gaps), "apart")
assert max(gaps) < 1e-4

# %% [markdown] tags=["core", "workshop"]
# The same, up to rounding. From here on torch's. Sections 3 and 4 of the paper list what made deep convolutional GANs
# train, found by trying:
#
# | rule of the paper | what it is for, as we see it |
# |---|---|
# | strided convolutions, no pooling | the network learns how to shrink (D) and to grow (G) |
# | batch norm in both, but not in G's output or D's input | keeps the sizes of signals; at the ends it would hide brightness and contrast |
# | no *hidden* fully connected layers | neighbours stay neighbours; only G's input and D's output are linear layers |
# | ReLU in G, leaky ReLU (0.2) in D | D is G's only teacher: some gradient must pass everywhere |
# | tanh, weights from N(0, 0.02) | section 4 |
# | Adam, 0.0002, β₁ = 0.5 | sections 6 and 7 (deeper) |

# %% tags=["core", "workshop", "export"]
def require_company(net, x):
    """Raise CourseError if x is a single sample and net normalises by batch."""
    if net.training and len(x) == 1 and any(isinstance(m, nn.BatchNorm2d) for m in net.modules()):
        raise CourseError("In training mode a batch of one is normalised by its own places alone: "
                          "call .eval() on the network first, or give it at least two samples.")


def smallest_side(size):
    """Return size / 4, where the generator starts. CourseError unless size is a multiple of 4."""
    if size < 4 or size % 4:
        fits = max(4, size - size % 4)
        raise CourseError(f"Two doublings cannot make {size}x{size} pixels; they make multiples "
                          f"of 4, as {fits}x{fits} or {fits + 4}x{fits + 4}.")
    return size // 4


# %% [markdown] tags=["core", "workshop"]
# ## 3 Build both networks
#
# Lesson 13: kernel 4, stride 2, padding 1 doubles exactly. Two doublings make 28 of 7. So $z$ is mapped by a linear layer
# to $2\,\text{width} \cdot 7 \cdot 7$ numbers, arranged as maps, and grown twice:
#
# | symbol | what | shape, width w |
# |---|---|---|
# | $z$ | noise from N(0, 1) | (B, L = 64) |
# | | linear, unflatten, norm, ReLU | (B, 2 w, 7, 7) |
# | | transposed convolution, norm, ReLU | (B, w, 14, 14) |
# | $G(z)$ | transposed convolution; tanh in `forward` | (B, 1, 28, 28) |
#
# **Your turn (★★, 10 min).** A norm subtracts the mean, so a bias before it does nothing: `bias=False`. `smallest_side(size)`
# is 7 for 28, and says which sizes cannot be made. (The paper's $z$: 100 uniform numbers.)
#
# <details><summary>Hint 1</summary>nn.Sequential of eight layers. The norm is BatchNorm2d, after nn.Unflatten: one mean for each
# map. The output has neither norm nor ReLU.</details>
# <details><summary>Hint 2</summary><code>nn.Linear(latent, 2 * width * side**2, bias=False)</code>, <code>nn.Unflatten(1, (2 * width, side,
# side))</code>, ___, ___, <code>nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1, bias=False)</code>, ___, ___, and
# one more to 1 channel.</details>

# %% tags=["core", "workshop", "export", "exercise"]
class Generator(nn.Module):
    """Grow noise z (B, latent) into pictures (B, 1, size, size) in -1..1 (paper: section 3)."""

    def __init__(self, latent=64, width=32, size=28):
        super().__init__()
        self.latent, side = latent, smallest_side(size)
        ### TODO: self.layers, up to the numbers that tanh gets
        ### BEGIN SOLUTION
        self.layers = nn.Sequential(
            nn.Linear(latent, 2 * width * side**2, bias=False),
            nn.Unflatten(1, (2 * width, side, side)),  # (B, 2 width, 7, 7)
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width),  # (B, width, 14, 14)
            nn.ReLU(),
            nn.ConvTranspose2d(width, 1, 4, stride=2, padding=1),
        )
        ### END SOLUTION

    def noise(self, n, rng):
        """Draw z (n, latent) from N(0, 1)."""
        return torch.randn(n, self.latent, generator=rng, device=rng.device)

    def forward(self, z):
        require_company(self, z)
        return torch.tanh(self.layers(z).float())


# %% tags=["core", "workshop"]
Generator = checks.dcgan.generator(Generator)

# %% [markdown] tags=["core", "workshop"]
# **The discriminator (★★, 10 min)** goes the way back: 28 → 14 → 7 by strided convolutions with the same kernel, stride and padding,
# then one linear layer to a logit. Leaky ReLU behind both convolutions, a norm behind the second only, and only if `norm`.
#
# <details><summary>Hint 1</summary>Seven layers: convolution, leaky; convolution, norm, leaky; flatten, linear. No
# sigmoid: lesson 20's losses take logits.</details>
# <details><summary>Hint 2</summary><code>nn.BatchNorm2d(2 * width) if norm else nn.Identity()</code>, and before it
# <code>bias=not norm</code>; the linear layer reads
# <code>2 * width * side**2</code> numbers.</details>

# %% tags=["core", "workshop", "export", "exercise"]
class Discriminator(nn.Module):
    """Judge pictures x (B, 1, size, size) in -1..1: logits (B,), positive for real."""

    def __init__(self, width=32, norm=True, size=28):
        super().__init__()
        self.size, side = size, smallest_side(size)
        ### TODO: self.layers, up to one logit (B, 1); norm: with BatchNorm or without
        ### BEGIN SOLUTION
        self.layers = nn.Sequential(
            nn.Conv2d(1, width, 4, stride=2, padding=1),  # (B, width, 14, 14)
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1, bias=not norm),
            nn.BatchNorm2d(2 * width) if norm else nn.Identity(),  # (B, 2 width, 7, 7)
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            nn.Linear(2 * width * side**2, 1),
        )
        ### END SOLUTION

    def forward(self, x):
        require_company(self, x)
        if x.shape[1:] != (1, self.size, self.size):
            raise CourseError(f"This discriminator reads {[1, self.size, self.size]} pictures, not "
                              f"{[*x.shape[1:]]}: build it with size=..., or resize the pictures.")
        return self.layers(x).float()[:, 0]


# %% tags=["core", "workshop", "nbval-check-output"]
Discriminator = checks.dcgan.discriminator(Discriminator)
gen, disc = Generator(width=cfg.width).to(dev), Discriminator(cfg.width).to(dev)
print(*(f"{device.count_parameters(net):,} parameters;" for net in (gen, disc)))

# %% [markdown] tags=["core", "workshop"]
# ## 4 The first weights
#
# Let $W$ be a layer's weights and $a > 0$. A norm divides by the batch's spread, so (but for its tiny eps)
#
# $$ \mathrm{BN}(aWx) = \mathrm{BN}(Wx) \;\Rightarrow\; L(aW) = L(W) \;\Rightarrow\;
#    a\, \nabla L(aW) = \nabla L(W) , $$
#
# the last by differentiating with respect to $W$. Larger weights change nothing but the gradient, which becomes *smaller*. And
# Adam divides by the gradient's size: a step moves each weight by about the learning rate. So at first $W$ turns by an angle of about
# rate / std a step, 0.0002 / 0.02 = 0.01 (half a degree) at the paper's numbers, 0.1 at ours. But as $L$ does not change along $W$, the
# gradient stands at right angles to $W$: $W$ only grows, and later steps turn it less. **Where a norm follows, the first std sets no
# signal's size; it sets how fast the layer turns at first**, for some (std / rate)² steps.
#
# The output layer has no norm behind it. There the sum over $n$ inputs has the spread $\text{std} \sqrt{n\, \mathbb E h^2}$. A pixel lies under 2x2
# stamps of $w = 32$ channels, $n = 128$. Behind a norm a number has $\mathbb E x^2 = 1$, and ReLU cuts half of the squares: $\mathbb E h^2 = \frac12$.
#
# **Predict.** The spread of an untrained generator's pictures, before tanh. And if the two normalised layers' weights are
# ten times larger: the pictures' change, and the gradient's?
#
# **Your turn (★, 5 min).** `initialise` must reach the *built* network, and every layer of it (D1). Leave the norms: their weight of 1
# scales what was just normalised.
#
# <details><summary>Hint 1</summary><code>net.modules()</code> yields all layers, however deep; <code>isinstance</code> takes several
# classes at once.</details>
# <details><summary>Hint 2</summary>If it is an <code>nn.Conv2d | nn.ConvTranspose2d | nn.___</code>:
# <code>nn.init.normal_(layer.weight, 0, ___)</code>.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def initialise(net, std=0.02):
    """Draw the weights of every convolution and linear layer of net from N(0, std); return net."""
    ### TODO: all layers, however deep; no norm's weight
    ### BEGIN SOLUTION
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(layer.weight, 0, std)
    ### END SOLUTION
    return net


# %% tags=["core", "workshop"]
initialise = checks.dcgan.initialise(initialise)
for name in ("torch's", "ours"):
    nets = [initialise(net) if name == "ours" else net for net in (gen, disc)]
    stds = [w.std().item() for net in nets for w in net.parameters() if w.ndim > 1]
    print(f"{name} std, G then D:", *(f"{std:.4f}" for std in stds))
large, z, seen = copy.deepcopy(gen), gen.noise(256, rng), []
for n in (0, 4):
    large.layers[n].weight.data *= 10
for net in (gen, large):
    y = net.layers(z)
    seen += [y, torch.autograd.grad(y.square().mean(), net.layers[4].weight)[0].norm().item()]
y, slope, y_large, slope_large = seen
print(f"spread before tanh: {y.std():.3f}, derived {0.02 * 64**0.5:.3f}; weights times 10: pictures "
      f"{(y - y_large).abs().max():.0e} apart, gradient {slope_large / slope:.3f} times as large")
assert max(abs(std - 0.02) for std in stds) < 0.002 and abs(slope_large / slope - 0.1) < 0.02

# %% [markdown] tags=["core", "workshop"]
# The spread is near the derived one, which is a mean over networks; one network may be a sixth away. Ten times the weights change the
# pictures by about what eps explains, a share of eps / (2 · 64 · 0.02²) = 0.0002, and the gradient to a tenth. Torch's own spreads are near 0.02 in
# two layers, half of it in one, several times it in three: an arm of section 7 (deeper). Biases we leave.
#
# ## 5 Before training
#
# The logit's first size (root mean square) follows as above: $n = 2 \cdot 32 \cdot 49$ inputs, and $\mathbb E h^2 = \frac12 \cdot 1 + \frac12 \cdot 0.2^2$ after the leaky ReLU. **Predict** it,
# and `loss_disc`: as $\ln(1 + e^\ell) \approx \ln 2 + \ell/2 + \ell^2/8$, logits of size $s$ cost about $2 \ln 2 + s^2/4$, where the terms $\ell/2$ cancel.

# %% tags=["core", "workshop"]
x, fake = next(signed_batches(train_set, 64, rng)), gen(gen.noise(64, rng)).detach()
logits = disc(x), disc(fake)
spread = 0.02 * (2 * cfg.width * 49 * 0.52) ** 0.5
size = torch.cat(logits).square().mean().sqrt()
print(f"logits: root mean square {size:.3f}, derived {spread:.3f}; loss_disc {disc_loss(*logits):.3f}, "
      f"derived {1.386 + spread**2 / 4:.3f}; loss_gen {gen_loss(logits[1]):.3f}")

# %% [markdown] tags=["core", "workshop"]
# The derivation holds for the mean over many networks. In one, much of $\mathbb E h^2$ is the same for all pictures and moves all logits
# together: `loss_gen` is off ln 2 = 0.693 by that, and in `loss_disc` the terms $\ell/2$ do not quite cancel.
#
# ## 6 Train, three ways on one budget
#
# The loop is lesson 20's `train_gan`. `train` only changes how the machine computes: convolutions like their channels last in memory,
# and where bfloat16 (numbers of 16 bits) is faster, it is used.
#
# | | width | batch | Adam: rate, betas | averaged |
# |---|---|---|---|---|
# | ours | 32 | 32 | 0.002, (0.5, 0.99) | 0.998, from lesson 20 |
# | the paper's recipe | 64 | 128 | 0.0002, (0.5, 0.999) | no |
# | lesson 20's dense GAN | 256 | 64 | as there | 0.998 |
#
# All get the processor seconds that ours takes; the wall clock may differ. **Predict** the order, and by what factor the best Fréchet
# distance beats the worst.

# %% tags=["core", "workshop", "export"]
def train(cfg, gen, disc, data, rng, **options):
    """Call train_gan in the convolutions' layout, and in bfloat16 where that is faster here."""
    for net in (gen, disc):
        net.to(memory_format=torch.channels_last)
    with device.fast_autocast(rng.device):
        return train_gan(cfg, gen, disc, data, rng, **options)


# %% tags=["core", "workshop"]
def watched(batches, every):  # keeps samples of `averaged` before every so many batches
    for step, x in enumerate(batches):
        if step % every == 0:
            sheets[f"step {step:,}"] = signed_to_pixels(averaged.eval()(fixed).detach())
        yield x


averaged, sheets, fixed = copy.deepcopy(gen), {}, gen.noise(10, device.generator(3, dev))
data = watched(signed_batches(train_set, cfg.batch_size, rng), cfg.steps // 4)
with device.measure(dev) as cost:
    train(cfg, gen, disc, data, rng, averaged=averaged, label="ours")
sheets[f"step {cfg.steps:,}"] = signed_to_pixels(averaged.eval()(fixed).detach())
fig = plots.compare(sheets, value_range=(0, 255), scale=2)
grown = averaged.layers[4].weight.std().item()
print(f"{cost.cpu_seconds:.0f} processor seconds; std of averaged.layers[4]: 0.02 at first, now {grown:.3f}")
assert grown > profile(smoke=0.01, standard=0.04)
trained.save("dcgan", averaged, lesson=21, seed=cfg.seed, steps=cfg.steps, width=cfg.width)

# %% tags=["core", "workshop"]
paper = replace(cfg, steps=10**6, batch_size=128, width=64, lr_gen=2e-4, lr_disc=2e-4)
paper = replace(paper, betas=(0.5, 0.999))
theirs, foe = (initialise(net(width=64)).to(dev) for net in (Generator, Discriminator))
data = signed_batches(train_set, paper.batch_size, rng)
train(paper, theirs, foe, data, rng, should_stop=training.Budget(cost.cpu_seconds), label="paper's")
dense, foe = gan.Generator().to(dev), gan.Discriminator().to(dev)
dense_average, data = copy.deepcopy(dense), picture_batches(train_set, 64, rng)
train_gan(replace(gan.Config(), steps=10**6), dense, foe, data, rng, label="lesson 20's",
          averaged=dense_average, should_stop=training.Budget(cost.cpu_seconds))


def sample(net, z, pixels=signed_to_pixels):  # in evaluation mode: uint8 (N, 1, 28, 28), on the CPU
    with torch.no_grad():
        return pixels(torch.cat([net.eval()(part) for part in z.split(500)])).cpu()


z_test = gen.noise(len(test), device.generator(7, dev))
judge = judges.judge(data_name())
real, known = judge.features(test), train_set[: len(test)].cpu()
sets = {"floor: real": known, "ours": sample(averaged, z_test)}
sets |= {"ours, not averaged": sample(gen, z_test), "paper's recipe": sample(theirs, z_test)}
sets["lesson 20"] = sample(dense_average, z_test, to_pixels)
scores = {name: metrics.frechet_distance(judge.features(x), real) for name, x in sets.items()}
fig = plots.bars(scores, ylabel=f"Fréchet distance, {judge.name}")
fig = plots.compare(sets, value_range=(0, 255), scale=2)
assert scores["ours"] < profile(smoke=9, standard=0.6) * scores["paper's recipe"]
assert 0.5 < scores["ours"] / scores["lesson 20"] < profile(smoke=99, standard=2)

# %% [markdown] tags=["core", "workshop"]
# Ours beats the paper's recipe by far. Probably because more and longer steps fit in, but width, batch,
# rate, β₂ and averaging differ at once: section 7 (deeper) changes one thing at a time. And lesson 20's dense
# GAN, whose steps cost a fraction, is in the same region.
# As in lesson 20 the rates fall to 0 over the last quarter, which calms the
# weights as averaging does. The floor is training digits against test digits.

# %% [markdown] tags=["deeper"]
# ## 7 Deeper: each rule, switched off once
#
# Too long for a lesson: short trainings with width and batch 32, the paper's Adam and no averaging, each with
# several seeds. `python3 -m course_lib bench --experiment 21` ran it. A difference inside the spreads is no difference.
#
# **Predict.** Which missing rule costs most? Which costs nothing? And the rate, ten times the paper's?

# %% tags=["deeper"]
facts = json.loads((ROOT / "data" / "results" / "21.json").read_text(encoding="utf-8"))
shown = data_name() if data_name() in facts["data"] else "strokes"
arms = {arm: row["frechet"] for arm, row in facts["data"][shown]["rules"].items()}
table = {arm: (mean(arms[arm]), stdev(arms[arm])) for arm in sorted(arms, key=lambda arm: mean(arms[arm]))}
base, wide = table["all rules"]
told = f"{shown}; {facts['sizes']['steps']:,} steps, {facts['seeds']} seeds; {facts['machine']}"
fig = plots.bars(table, ylabel="Fréchet distance", reference={"all rules": base}, caption=told)
for arm, (score, spread) in table.items():
    said = "better" if score < base else "worse"
    print(f"{arm}: {said if abs(score - base) > spread + wide else 'no difference'}")
worst = min(score for arm, (score, _) in table.items() if "norm" in arm)
assert shown != "strokes" or table["rate 2e-3"][0] < 0.8 * base < 1.2 * base < worst

# %% [markdown] tags=["deeper"]
# *No difference* means that the distance to "all rules" lies within the two spreads: the seeds explain it, and the order of such bars says
# nothing. On strokes the norms matter most: without one in G or in D, or with norms at both ends too, samples are far worse. Of all changes ten times the
# rate helps most, *at this budget*. Torch's first weights (section 4) cost a little, if anything. The other rules and β₁ show nothing,
# which is no proof that they never matter: the seeds are few, so short a training has not converged, and what is better here may only be *faster*.
# *Averaged* is no rule: the first arm's averaged generator.

# %% [markdown] tags=["deeper"]
# ## 8 Deeper: a checkerboard, in a number
#
# A pattern that alternates from pixel to pixel is the wave $(-1)^m$, the highest frequency there is. So measure the share of a
# picture's variance that lies there, along rows or columns, by the Fourier transform. White noise has all frequencies
# equally: $55$ of $783$, that is 7 %. Lesson 13 counted stamps: kernels 3 and 5 at stride 2 lay them unevenly, 4 evenly.
#
# **Predict** (D7). Rank real digits and untrained generators with kernels 3, 4 and 5 by that share; then the *mean square* of many
# untrained networks' pixels.

# %% tags=["deeper"]
def checker_share(x):  # of the variance of x (N, 1, 28, 28), at the highest frequency
    power = torch.fft.fft2(x - x.mean((2, 3), keepdim=True)).abs().square().mean((0, 1))
    return ((power[14].sum() + power[:, 14].sum() - power[14, 14]) / power.sum()).item()


def with_kernel(kernel, width=8):  # untrained, with other transposed convolutions
    net, edge = Generator(width=width), {"padding": (kernel - 1) // 2, "output_padding": kernel % 2}
    for n in (4, 7):
        old = net.layers[n]
        net.layers[n] = nn.ConvTranspose2d(old.in_channels, old.out_channels, kernel, 2, **edge)
    return initialise(net).to(dev)


shares, rows = {"real": checker_share(known.float())}, {}
shares["ours, trained"] = checker_share(sets["ours"].float())
for kernel in (4, 3, 5):
    line = shrink_and_grow.overlap_counts(9, kernel, stride=2)[6:10].tolist()
    drawn = [with_kernel(kernel)(fixed).detach() for _ in range(profile(smoke=4, standard=30))]
    shares[f"kernel {kernel}, {line}"] = mean(map(checker_share, drawn))
    size = torch.stack([y - y.mean((2, 3), keepdim=True) for y in drawn]).square().mean((0, 1))
    shares[f"kernel {kernel}, squares"] = checker_share(size[None])
    rows[f"kernel {kernel}"] = torch.stack([y / y.abs().max() for y in (*(d[0] for d in drawn[:7]), size)])
fig = plots.compare(rows, value_range=(-1, 1), scale=2, caption="networks; last, the mean square of all")
fig = plots.bars(shares, ylabel="share at the highest frequency", reference={"white noise": 55 / 783})
assert profile(smoke=True, standard=shares["kernel 4, squares"] < 0.15 < shares["kernel 5, squares"])

# %% [markdown] tags=["deeper"]
# Real digits have least, and the trained generator stands near them. Single untrained networks have far more than white noise, *all three
# kernels alike*: any random kernel draws a pattern of its own. The mean square over networks forgets those.
# What stays is built in: kernels 3 and 5 keep a checkerboard, kernel 4 has none. In our generator training removed the rest.

# %% [markdown] tags=["core"]
# ## 9 A laboratory for batch normalisation
#
# In training mode a norm uses the mean and variance of *this* batch; in evaluation mode the running averages of earlier ones,
# which are buffers, not weights. **Predict** (D5). One $z$ is sampled in eight batches of four, in different company, in both modes. How far
# apart are the pictures, in grey levels?

# %% tags=["core"]
z, looks = averaged.noise(1, device.generator(11, dev)), {}
others = [averaged.noise(3, device.generator(seed, dev)) for seed in range(1, 9)]
for mode in ("training", "evaluation"):
    net = copy.deepcopy(averaged).train(mode == "training")
    alike = torch.cat([net(torch.cat([z, part]))[:1].detach() for part in others])
    looks[mode], gap = signed_to_pixels(alike), 127.5 * (alike[:, None] - alike).abs().max().item()
    print(f"{mode} mode, the same z in eight batches: up to {gap:.0f} grey levels apart")
fig = plots.compare(looks, value_range=(0, 255), scale=2)

# %% [markdown] tags=["core"]
# In training mode the company changes the picture by the printed number of grey levels; in evaluation mode there is only rounding.
# (`follow` of lesson 20 copied the averages along: statistics must belong to the weights.)

# %% [markdown] tags=["deeper"]
# ### Deeper: which statistics belong to averaged weights?
#
# Those that `follow` copies were measured with the moving generator's
# weights. If nobody copies them (D4), they stay as they were before training. Or measure anew: let the averaged generator
# itself make batches, and take the mean of their means and variances (the spread *between* batches is left out).
#
# **Your turn (★★, 10 min).** `norm.momentum = None` makes torch's norm keep a plain mean over all batches since
# `reset_running_stats()`; a pass in training mode updates it.
#
# <details><summary>Hint 1</summary>Three lines: forget and set the momentum, for each norm; training mode; a loop of passes whose
# results nobody needs.</details>
# <details><summary>Hint 2</summary><code>norm.reset_running_stats()</code>; <code>net.train()</code>; <code>for _ in range(batches):
# net(net.noise(___, ___))</code>.</details>

# %% tags=["deeper", "export", "exercise"]
@torch.no_grad()
def recalibrate(net, rng, batches=100, batch_size=64):
    """Set every norm's statistics to the mean over batches of net's own samples; eval mode."""
    norms = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)]
    ### TODO: forget the old statistics, let new ones be means of all batches, make the batches
    ### BEGIN SOLUTION
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch: a plain mean instead of a running one
    net.train()
    for _ in range(batches):
        net(net.noise(batch_size, rng))
    ### END SOLUTION
    return net.eval()


# %% [markdown] tags=["deeper"]
# **Predict** the order of three versions of *the same weights*: statistics never copied, copied, measured anew.

# %% tags=["deeper"]
recalibrate = checks.dcgan.recalibrate(recalibrate)
forgotten, measured = copy.deepcopy(averaged), copy.deepcopy(averaged)
for norm in forgotten.layers[2:6:3]:
    norm.reset_running_stats()  # 0 and 1, as before training
recalibrate(measured, device.generator(5, dev), batches=profile(smoke=5, standard=100))
versions = {"never copied (D4)": forgotten, "copied": averaged, "measured anew": measured}
made = {name: sample(net, z_test) for name, net in versions.items()}
distance = {name: metrics.frechet_distance(judge.features(x), real) for name, x in made.items()}
fig = plots.bars(distance, ylabel=f"Fréchet distance, {judge.name}")
fig = plots.compare(made, value_range=(0, 255), scale=2)

# %% [markdown] tags=["deeper"]
# Never copied is far the worst: the norms divide by 1 and subtract 0, and what arrives at the ReLUs is of another size than in
# training. *Silent*, too: shapes and ranges are right. Copied and measured anew lie close together: at the end of our training the rates have fallen to 0,
# so the moving weights stand near the average, and their statistics fit.

# %% [markdown] tags=["deeper"]
# ## 10 Deeper: ways through the noise
#
# How long is $z$? $\mathbb E |z|^2 = \sum_i \mathbb E z_i^2 = L$, and $|z|^2$ has the variance $L\,(\mathbb E z_i^4 - 1) = 2L$, as $\mathbb E z_i^4 = 3$. A root turns a small
# deviation $\delta$ of $u$ into $\delta / 2\sqrt u$: so $|z| \approx \sqrt L$, with a deviation of $\sqrt{2L} / 2\sqrt L = 1/\sqrt 2$, whatever $L$. For $L = 64$: 8,
# give or take 0.7. All noise lies in a thin **shell**. Halfway on a line between two of them, $\frac12(a + b)$ has the variance $\frac14 + \frac14 = \frac12$ in each coordinate and the length
# $\sqrt{L/2}$: too short by $\sqrt 2$, more than three deviations inside. The arc stays in the shell. With the angle $\Omega$ between $a$ and $b$, near 90° for two noises
# (Shoemake 1985),
#
# $$ \mathrm{slerp}(a, b, t) = \frac{\sin((1 - t)\,\Omega)}{\sin \Omega}\, a + \frac{\sin(t\,\Omega)}{\sin \Omega}\, b . $$
#
# **Your turn (★★, 10 min).** Where $a$ and $b$ are parallel, $\sin \Omega = 0$ and there is no one arc: take the line, row by row. **Predict.** Are samples
# from halfway on the line worse? And in *training* mode, where a whole batch is too short by √2?
#
# <details><summary>Hint 1</summary>The formula as it stands; <code>angle</code> has the shape (..., 1).</details>
# <details><summary>Hint 2</summary><code>torch.where(angle.sin() < 1e-3, ___, ___ / angle.sin())</code>, the line being (1 - t) a + t b. Both
# branches are computed; nan in the one not taken does no harm.</details>

# %% tags=["deeper", "export", "exercise"]
def slerp(a, b, t):
    """Return the point at share t of the arc from a to b (..., L), of the line if there is none."""
    angle = torch.cosine_similarity(a, b, dim=-1).clamp(-1, 1).acos()[..., None]
    ### TODO: the arc; the line where its sine is below 1e-3
    ### BEGIN SOLUTION
    arc = torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b
    return torch.where(angle.sin() < 1e-3, (1 - t) * a + t * b, arc / angle.sin())
    ### END SOLUTION


# %% tags=["deeper"]
slerp = checks.dcgan.slerp(slerp)
a, b = (averaged.noise(len(test), device.generator(seed, dev)) for seed in (21, 22))
halfway = {"ends": a, "line, halfway": (a + b) / 2, "arc, halfway": slerp(a, b, 0.5)}
lengths = {name: z.norm(dim=-1).cpu() for name, z in halfway.items()}
fig = plots.histogram(lengths, xlabel="|z|", reference={"√64": 8, "√32": 32**0.5})
for name, z in halfway.items():
    score = metrics.frechet_distance(judge.features(sample(averaged, z)), real)
    print(f"{name}: Fréchet distance {score:.1f}")
net, z = copy.deepcopy(averaged), halfway["line, halfway"][:500]
for mode in ("training", "evaluation"):
    gap = (net.train(mode == "training")(z) - net(2**0.5 * z)).abs().max().item()
    print(f"{mode} mode: G(z) and G(√2 z) up to {127.5 * gap:.2g} grey levels apart")
assert 0.4 < lengths["arc, halfway"].std() < 0.6 < lengths["ends"].std() < 0.8


def draw_way(A, B, way):
    a, b = (averaged.noise(1, device.generator(100 + k, dev)) for k in (A, B))
    rows = {"line": [(1 - t) * a + t * b for t in (0, 0.25, 0.5, 0.75, 1, way)]}
    rows["arc"] = [slerp(a, b, t) for t in (0, 0.25, 0.5, 0.75, 1, way)]
    made = {name: sample(averaged, torch.cat(z)) for name, z in rows.items()}
    return plots.compare(made, value_range=(0, 255), scale=3, caption="A, 1/4, 1/2, 3/4, B; way")


ends = [explore.slider("A", 0, 50, 1), explore.slider("B", 0, 50, 2)]
explore.View(draw_way, [*ends, explore.slider("way", 0.0, 1.0, 0.6)])

# %% [markdown] tags=["deeper"]
# Two humps, as derived. The arc's points lie even nearer to the shell's middle (0.5 instead of 0.7), since two
# lengths are averaged; $(a + b)/\sqrt 2$ would be N(0, 1) exactly. Distances that differ from the ends' by no more than section 6's (another draw of $z$) are alike.
# In training mode "too short" costs *nothing*: the first layer has no bias, so its norm undoes
# the factor, section 4's theorem. In evaluation mode the statistics are those of full length, and a short $z$ moves every map towards its mean.
#
# Drag **way**. Where on the way does one digit become the other? Compare the two rows.

# %% [markdown] tags=["deeper"]
# ## 11 Deeper: learnt by heart? (D12)
#
# Does a GAN copy its training pictures? G never sees one; D does. "A thousand pictures are enough", says an article. So
# train the same pair on 200. **Predict.** What does D say of the 200, and of real digits that it has not seen? Do the samples move
# closer to the 200 than unseen digits are?

# %% tags=["deeper"]
few, short = train_set[:200], replace(cfg, steps=profile(smoke=10, standard=700))
net, critic = (initialise(kind(width=cfg.width)).to(dev) for kind in (Generator, Discriminator))
data, copier = signed_batches(few, cfg.batch_size, rng), copy.deepcopy(net)
train(short, net, critic, data, rng, averaged=copier, label="200 pictures")
for known, net, maker, c in ((few, critic, copier, short), (train_set, disc, averaged, cfg)):
    told = [net.eval()(2 * y.to(dev).float() / 255 - 1).median().item() for y in (few, test[:200])]
    print(f"{len(known):,} pictures, each seen {c.steps * c.batch_size / len(known):.0f} times. D's "
          f"median logit: the 200 {told[0]:.1f}, unseen real {told[1]:.1f}")
    made, known = sample(maker, z_test[:200]), known[:20_000].cpu()
    (apart, index), (usual, _) = (metrics.nearest_distance(y, known) for y in (made, test[:200]))
    print(f"to the nearest of {len(known):,}: median of samples {apart.median():.0f}, of unseen real "
          f"{usual.median():.0f}; least {apart.min():.0f} and {usual.min():.0f}")
    closest = apart.argsort()[:10]
    rows = {"closest samples": made[closest], "nearest": known[index[closest]]}
    fig = plots.compare(rows, value_range=(0, 255), scale=2)
    assert profile(smoke=True, standard=apart.median() > usual.median())
    assert profile(smoke=True, standard=c is cfg or told[0] > told[1] + 1)

# %% [markdown] tags=["deeper"]
# D of 200 pictures tells its 200 from real ones that it has not seen: it has learnt *pictures*, where D of all, which saw each only a few times, says much the same of both.
# Yet the samples lie no nearer to the 200 than unseen digits do: at this moment D has memorised, and G has not copied. (Poor samples are far from everything.)
# Nor is one of 200 samples of the full set's generator a copy of one of those 20,000.
#
# ## 12 Deeper: break it on purpose
#
# **A momentum in the wrong place (D2).** Keras writes `BatchNormalization(momentum=0.8)`; somebody writes `nn.BatchNorm2d(c, 0.8)`. torch's second
# argument is eps, which is added to the variance. **And norms initialised like the rest (D1's cousin):** a published course draws *all* weights
# from N(0, 0.02), the norms' too. **Predict** for both the spread behind each norm, where 1 is normal, and the pictures'.

# %% tags=["deeper"]
found = {}
for name, eps, std in (("right", 1e-5, 0), ("eps 0.8", 0.8, 0), ("norms drawn", 1e-5, 0.02)):
    net = initialise(Generator()).to(dev)
    for norm in net.layers[2:6:3]:
        norm.eps = eps
        nn.init.normal_(norm.weight, 0 if std else 1, std)
    found[name] = [net.layers[:n](z_test[:256]).std().item() for n in (3, 6, 8)]
    print(f"{name}: behind the norms, and pictures:", *(f"{std:.4f}" for std in found[name]))
assert 25 < found["right"][2] / found["norms drawn"][2] < 100

# %% [markdown] tags=["deeper"]
# The right one has spreads of 1. With eps 0.8 the first layer's variance, $64 \cdot 0.02^2$, drowns in it: hardly anything is normalised, and what
# was derived in section 4 no longer holds. With drawn norms each norm cuts to about a fiftieth, but the second undoes the first one's cut (section 4): the pictures are some fifty times fainter, not 2,500. Both run without a word; the checks
# of sections 3 and 4 catch them.
#
# ## 13 Deeper: exercises
#
# **A. Predict (★★, 5 minutes).** 64 copies of *one* z go through G in training mode. The norm subtracts the batch's mean: do all
# pictures turn grey?
#
# <details><summary>Hint 1</summary>Over which axes does BatchNorm2d take its mean?</details>
# <details><summary>Hint 2</summary>B, H and W. The copies are equal over B, not over H and W.</details>

# %% tags=["deeper"]
z, clones = fixed[:1], copy.deepcopy(averaged).train()(fixed[:1].expand(64, -1))
rows = {"evaluation": averaged.eval()(z).detach(), "training": clones[:1].detach()}
fig = plots.compare(rows, value_range=(-1, 1), scale=3)

# %% [markdown] tags=["deeper"]
# <details><summary>Answer to A</summary>No. Each map is normalised over its own places, so the pictures keep their shape. But what says
# how strong a map is compared with other samples is lost. A batch of one would be treated so, too: <code>require_company</code> forbids it.</details>
#
# **B. Modify (★★, 25 minutes with the waiting).** In section 6's `ours`, put nearest enlargement and a 3x3 convolution in the place of
# `gen.layers[4]`. Train 1,000 steps with three seeds each, with and without. Is the difference of the Fréchet distances larger than their spreads?
#
# <details><summary>Hint 1</summary>A function of the seed that builds, initialises and trains a pair as section 6 does, and returns
# <code>metrics.frechet_distance(judge.features(sample(averaged)), real)</code>.</details>
# <details><summary>Hint 2</summary><code>torch.manual_seed(seed)</code> for the first weights, <code>device.generator(seed, dev)</code> for the rest;
# <code>mean</code> and <code>stdev</code> are imported.</details>
# <details><summary>Answer to B</summary>Section 7's <i>upsampling in G</i> asked much the same, at the paper's rate: compare the verdicts.</details>

# %% [markdown] tags=["deeper"]
# **C. Debug (★★, 10 minutes): the right shape on every map (D10).** A colleague writes her own `Unflatten`. Her generator trains as well as yours. With *your* weights
# it draws the pictures below. Why the one and the other? Write it right.
#
# ```python
# def to_maps(h, height, width):
#     return h.view(len(h), -1, width, height).transpose(2, 3)
# ```
#
# <details><summary>Hint 1</summary>The linear layer's numbers come in no order of their own. Which order do the next layers
# learn?</details>
# <details><summary>Hint 2</summary><code>view</code> alone: the last axis is the one whose neighbours lie side by side.</details>

# %% tags=["deeper", "export", "exercise"]
def to_maps(h, height, width):
    """Arrange h (B, C height width) as maps (B, C, height, width), in torch's order."""
    ### TODO: the colleague's line, right
    ### BEGIN SOLUTION
    return h.view(len(h), -1, height, width)
    ### END SOLUTION


# %% tags=["deeper"]
to_maps = checks.dcgan.to_maps(to_maps)
with torch.no_grad():
    maps = (layers := averaged.eval().layers)[:2](fixed)
    rows = {"yours": layers[2:](maps).tanh(), "hers": layers[2:](maps.transpose(2, 3)).tanh()}
fig = plots.compare(rows, value_range=(-1, 1), scale=2)

# %% [markdown] tags=["deeper"]
# <details><summary>Answer to C</summary>While training, the linear layer learns whatever order the rest expects, so any fixed one will do. Weights
# from elsewhere expect theirs: here the coarse 7x7 plan is mirrored along the diagonal, and the strokes in it are not. Her shape is
# right on every size, so no error tells: only weights from elsewhere, or a comparison with <code>nn.Unflatten</code>.</details>

# %% [markdown] tags=["core", "workshop"]
# ## 14 To discuss, and to keep
#
# <details><summary><b>D12 (deeper).</b> "A GAN needs about 1,000 pictures." What do you ask, and what would you measure?</summary>Which pictures, how
# varied, how long the training? Measure D's logits on training pictures and on unseen ones, and the samples' nearest training
# pictures: section 11.</details>
# <details><summary><b>D5.</b> A user reports: "The same z gives another digit in a grid than alone." Where do you look?</summary>Whether the
# generator was in training mode: the company in the batch enters the statistics.</details>
# <details><summary><b>D4 (deeper).</b> An averaged generator makes faint digits in evaluation mode, and fine ones in training mode. Why?</summary>Its weights
# were averaged, its norms' buffers not. Copy them, or measure them anew.</details>
# <details><summary><b>Question.</b> D sees real and forged in two batches, and so normalises each by its own statistics. What can it not see then, and what
# would one joint batch change?</summary>A difference in the mean or spread of a map between real and forged is normalised away. In a joint batch it can be seen,
# but each picture's logit then depends on pictures of the other kind.</details>
#
# **Summary**
#
# - Batch normalisation makes the size of the weights before it meaningless, and each sample depend on its company. Sample in
#   evaluation mode, with statistics that belong to the weights.
# - Under a norm the first std sets how fast a layer turns *at first*: by about rate / std a step with Adam.
# - Kernel 4, stride 2, padding 1 doubles exactly and evenly; (deeper) a checkerboard is a share of variance at the highest frequency.
# - (Deeper) The rules are recipes, found by trying. Switch each off, with several seeds, before you believe it.
# - (Deeper) Noise lives in a shell of radius √L. D can know a small set by heart while G copies none of it.
#
# **Later lessons import** `Generator`, `Discriminator`, `initialise`, `signed_batches`, `signed_to_pixels`, `train`, `recalibrate` and `slerp`.
# **Limits:** one channel, 28x28 and a few minutes. Lesson 22 brings
# colour and 64x64, 23 and 24 other objectives.
#
# **Papers.** Radford, Metz and Chintala (2016), *Unsupervised representation learning with deep convolutional generative adversarial
# networks*, sections 3 and 4 · Ioffe and Szegedy (2015), *Batch normalization*, section 3 · Odena, Dumoulin and Olah (2016), *Deconvolution and
# checkerboard artifacts* · Shoemake (1985), *Animating rotation with quaternion curves* · White (2016), *Sampling generative networks*,
# section 2 · Karras et al. (2020), *Training generative adversarial networks with limited data*, section 2.
