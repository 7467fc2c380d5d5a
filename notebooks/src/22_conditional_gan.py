# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown] tags=["core", "workshop"]
# # 22 Dress a cat: colour and conditions
#
# You will build a GAN for colour pictures of many sizes, and then one that does as it is told: this fur, these eyes, that
# bow.
#
# ![Cats drawn from their attributes above the cats of a GAN that was asked for the same](../data/pictures/22-041.jpg)
#
# | | |
# |---|---|
# | **You need** | the losses and the loop of lesson 20, the convolutional networks of lesson 21 |
# | **Time** | 70 minutes for the core, 135 more for what is marked *deeper*; the notebook itself runs in 4 minutes |
# | **Machine** | no GPU, no network, 1.2 GB of memory |
#
# When you are through, you can
#
# 1. bring colour pictures into a network without mixing up their axes, and see it when somebody did,
# 2. (deeper) build both networks for every side that strides can make, and refuse the others in words,
# 3. (deeper) find an attribute's direction in the noise, and measure what else it changes,
# 4. derive why a discriminator should look at picture *and* condition, and why by a scalar product,
# 5. measure how often a generator does as it is told, beside chance and beside what the judge reads on real pictures.
#
# > **Remember.** A condition counts only if the *discriminator* sees it beside the picture. The generator then has to obey:
# > a perfect cat of the wrong colour is a forgery.

# %% tags=["core", "workshop", "export"]
import math
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import cats, checks, datasets, device, explore, judges, metrics, plots, training
from course_lib.built.dcgan import signed_to_pixels  # written in lesson 21
from course_lib.built.gan import disc_loss, follow, gen_loss, or_stop  # and in 20
from course_lib.settings import CourseError, profile
from course_lib.trained import load as load_trained


@dataclass
class Config:
    """The numbers of lesson 22; `profile` picks the value for the profile that you run in."""

    steps: int = profile(smoke=12, standard=400, full=40000)  # of both optimisers
    batch_size: int = 64
    lr_gen: float = 2e-3
    lr_disc: float = 2e-3
    betas: tuple = (0.5, 0.99)
    average: float = 0.999  # how slowly the averaged generator follows
    r1: float = 0.1  # weight of the penalty of section 4
    r1_every: int = 16  # steps from one penalty to the next
    measure_every: int = 25
    seed: int = 0


# %% [markdown] tags=["core", "workshop"]
# ## 1 Cats whose every attribute is known
#
# The pictures are cut from paper, by the course: 64 by 64 pixels in colour, 14 **choices** (fur, pattern, pose, ...) and 12
# **numbers** (size of the eyes, ...). This set tells the truth about each picture, so
# we can measure whether a generator has learnt it. Axes: B pictures in a batch, N in a set, C channels, H rows, W columns, K conditions.
#
# Exercises marked *deeper* may stay open in the core: the check hands you the course's version.
#
# (Your own pictures: put at least five into `data/folder` and call `datasets.load("folder", "train", patch=64)`. They have no
# attributes: go as far as section 4.)
#
# **Predict.** Fur, pattern and background are drawn independently. Are all furs equally frequent? All patterns?
#
# <details><summary>Answer, after the cell</summary>The patterns are: they are the *classes* of the set, balanced on purpose. The others
# differ by luck.</details>

# %% tags=["core", "workshop"]
cfg, dev = Config(), device.pick_device()
rng = device.generator(cfg.seed, dev)  # noise, data and order
torch.manual_seed(cfg.seed)  # the layers' first weights
train = datasets.load("cats", "train", size=profile(smoke=500, standard=12_000, full=None))
test = datasets.load("cats", "test", size=profile(smoke=200, standard=None))
show = partial(plots.show_images, value_range=(0, 255), columns=8, scale=1)
figs = [show(part) for part in train.images[:64].split(32)]
print({k: torch.bincount(train.factors[k]).tolist() for k in ("pattern", "fur", "background")})

# %% [markdown] tags=["deeper"]
# *Deeper.* Draw one yourself: the true cat, from its attributes. In section 9 a network stands in its place.

# %% tags=["deeper"]
def draw_cat(**wish):
    return plots.show_images(cats.draw(wish), value_range=(0, 1), scale=4, alt=f"A cat: {wish}.")


controls = [explore.choice(k, cats.CHOICES[k]) for k in ("pattern", "fur", "eyes", "wear")]
controls += [explore.slider(k, *cats.RANGES[k][1:], 0.0) for k in ("gaze", "turn", "head_tilt")]
explore.View(draw_cat, controls)

# %% [markdown] tags=["core", "workshop"]
# ## 2 Colour
#
# A colour picture is three grey ones, red, green and blue, that belong together. A file holds it as (H, W, 3): the three numbers
# of a pixel side by side. PyTorch wants (3, H, W): three whole planes. The numbers are the same, their order is not.
#
# **Your turn (★, 5 min).** Write the way from one to the other.
#
# <details><summary>Hint 1</summary>Which axis of the answer is which axis of the array? No number may leave its pixel.</details>
# <details><summary>Hint 2</summary><code>torch.as_tensor(array).permute(___, ___, ___)</code></details>
#
# **Predict.** Below the same cat arrives wrongly in three ways: reshaped instead of permuted; rows and columns exchanged; with its channels in the
# order blue, green, red, as some libraries write them. Which of them would you
# notice in a *loss*?

# %% tags=["core", "workshop", "export", "exercise"]
def channels_first(array):
    """Turn a picture (H, W, 3), as files hold it, into a tensor (3, H, W)."""
    ### TODO: move the axes, not the numbers
    ### BEGIN SOLUTION
    return torch.as_tensor(array).permute(2, 0, 1)
    ### END SOLUTION


# %% tags=["core", "workshop"]
channels_first = checks.conditional_gan.channels_first(channels_first)
array = train.images[3].permute(1, 2, 0).contiguous().numpy()  # as a file would hold it
right = channels_first(array)
arrivals = {"right": right, "reshaped": torch.tensor(array).reshape(3, 64, 64), "BGR": right.flip(0),
            "H and W exchanged": right.mT}
fig = plots.show_images(torch.stack([*arrivals.values()]), value_range=(0, 255), labels=arrivals)

# %% [markdown] tags=["core", "workshop"]
# A loss has no reason to complain: all four have one shape, and a network that never saw a right cat takes wrong ones for the truth. A
# test picture with H ≠ W shows exchanged axes by its shape (D10); single pixels, compared, show the other two. The check does both. Look at what a network is fed.
#
# An edge in one channel is often one in the others. So the first layer of the discriminator looks at all three at once, and the
# last of the generator makes all three from the same features.
#
# ## 3 From 28 to 32 to 64 pixels
#
# Lesson 21's networks double the side twice: 7, 14, 28. Kernel 4, stride 2, padding 1 doubles exactly. So the sides that can be
# made are $\text{base} \cdot 2^n$. We take the base from 4 to 7; then each side has one plan:
#
# | side | base | doublings $n$ | |
# |---|---|---|---|
# | 28 | 7 | 2 | digits |
# | 32 | 4 | 3 | small cats, section 7 (deeper) |
# | 64 | 4 | 4 | cats |
# | 100 | | | cannot be made; the nearest are 96 and 112 |
#
# **Your turn (★★, 15 min, deeper).** Find base and n. For any other side the error names the nearest below and above.
#
# <details><summary>Hint 1</summary>n is the exponent for which side / 2ⁿ lies from 4 up to, but below, 8: a rounded-down
# logarithm. At least one doubling; below 8 there is only 8.</details>
# <details><summary>Hint 2</summary><code>n = max(1, math.floor(math.log2(side / ___)))</code>; if <code>side % 2**n</code>
# leaves nothing and side is 8 or more, return. Else the multiples of 2ⁿ below and above.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def plan(side):
    """Return (base, n): side = base * 2**n, base 4 to 7, n >= 1. CourseError names the nearest."""
    ### TODO: n, the base if there is one; else the sides below and above, in a CourseError
    ### BEGIN SOLUTION
    n = max(1, math.floor(math.log2(max(side, 8) / 4)))
    below = max(8, side // 2**n * 2**n)
    if side == below:
        return side // 2**n, n
    nearest = [below, below + 2**n] if side > 8 else [8]
    raise CourseError(f"Doubling makes no side of {side}; the nearest are {nearest}.")
    ### END SOLUTION


# %% tags=["core", "workshop"]
plan = checks.conditional_gan.plan(plan)

# %% [markdown] tags=["core", "workshop"]
# Now the networks, for every plan. Wide where the picture is small: the generator starts with up to `most` features at base x
# base places; before the last doubling it has `width`. The discriminator goes the other way. Both get a second input, the **conditions** c of shape (B, K); it
# plays no role before section 6, and has K = 0 columns until then.
#
# **Your turn (★★, 10 min, deeper).** The generator's doublings.
#
# <details><summary>Hint 1</summary>For each pair of neighbouring widths a transposed convolution, batch norm and ReLU, as in lesson 21; the last
# doubling goes to `channels` and ends the list: tanh stands in `forward`.</details>
# <details><summary>Hint 2</summary><code>for wide, narrow in pairwise(widths): layers += [nn.ConvTranspose2d(___, ___, 4, stride=2,
# padding=1, bias=False), ___, ___]</code>.</details>

# %% tags=["core", "workshop", "export", "exercise"]
class Generator(nn.Module):
    """Grow noise z (B, latent) and conditions c (B, K) into (B, channels, side, side) in -1..1."""

    def __init__(self, side=64, latent=64, conditions=0, width=32, most=96, channels=3):
        super().__init__()
        (base, n), self.latent, self.conditions = plan(side), latent, conditions
        widths = [min(most, width * 2**k) for k in reversed(range(n))]  # of 64: 96, 96, 64, 32
        layers = [nn.Linear(latent + conditions, widths[0] * base**2, bias=False), nn.BatchNorm1d(
            widths[0] * base**2), nn.ReLU(), nn.Unflatten(1, (widths[0], base, base))]
        ### TODO: a doubling from each width to the next; then the last, to the channels
        ### BEGIN SOLUTION
        for wide, narrow in pairwise(widths):
            layers += [nn.ConvTranspose2d(wide, narrow, 4, stride=2, padding=1, bias=False),
                       nn.BatchNorm2d(narrow), nn.ReLU()]
        layers += [nn.ConvTranspose2d(widths[-1], channels, 4, stride=2, padding=1)]
        ### END SOLUTION
        self.layers = nn.Sequential(*layers)

    def noise(self, n, rng):
        """Draw z (n, latent) from N(0, 1)."""
        return torch.randn(n, self.latent, generator=rng, device=rng.device)

    def forward(self, z, c=None):
        z = torch.cat([z, c], dim=1) if self.conditions else z
        return torch.tanh(self.layers(z).float())


# %% tags=["core", "workshop"]
Generator = checks.conditional_gan.generator(Generator)

# %% [markdown] tags=["core", "workshop"]
# A discriminator for 64 pixels whose last layer is a convolution also accepts 128, and gives 5 x 5 = 25 logits for each picture.
# Flattened, or broadcast against one label, such logits may pass for a long time (D6). Ours ends in a linear layer, which fails there; say
# in words why.
#
# **Your turn (★, 5 min, deeper).** The features, for pictures of its own side only.
#
# <details><summary>Hint 1</summary>Compare the last two axes of x, both, with the side.</details>
# <details><summary>Hint 2</summary><code>if x.shape[-2:] != ___: raise CourseError(f"... {both sides}")</code>; then
# <code>self.layers(x)</code>.</details>

# %% tags=["core", "workshop", "export", "exercise"]
class Discriminator(nn.Module):
    """Judge pictures x (B, channels, side, side) in -1..1: logits (B,); c is not looked at."""

    def __init__(self, side=64, width=24, most=96, norm=False, channels=3):
        super().__init__()
        (base, n), self.side = plan(side), side
        widths = [min(most, width * 2**k) for k in range(n)]  # of 64: 24, 48, 96, 96
        layers = [nn.Conv2d(channels, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for narrow, wide in pairwise(widths):
            layers += [nn.Conv2d(narrow, wide, 4, stride=2, padding=1, bias=not norm),
                       nn.BatchNorm2d(wide) if norm else nn.Identity(), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.head = nn.Linear(widths[-1] * base**2, 1)

    def features(self, x):
        """Return (B, F) of pictures. Raises CourseError that names both sides for another side."""
        ### TODO: refuse another side; else what the layers say
        ### BEGIN SOLUTION
        if x.shape[-2:] != (self.side, self.side):
            raise CourseError(f"Built for side={self.side}, not for {tuple(x.shape[-2:])} pixels.")
        return self.layers(x)
        ### END SOLUTION

    def forward(self, x, c=None):
        return self.head(self.features(x)).float()[:, 0]


# %% tags=["core", "workshop"]
Discriminator = checks.conditional_gan.discriminator(Discriminator)
for side in (28, 32, 64):
    gen, disc = Generator(side).to(dev), Discriminator(side).to(dev)
    logits = disc(x := gen(gen.noise(8, rng)))
    real = F.interpolate(train.images[:8].float().to(dev) / 127.5 - 1, side)
    start = disc_loss(disc(real), logits).item(), gen_loss(logits).item()
    print(tuple(x.shape), tuple(logits.shape), "losses {:.3f}, {:.3f}".format(*start))
    assert max(abs(start[0] - math.log(4)), abs(start[1] - math.log(2))) < 0.2

# %% [markdown] tags=["core", "workshop"]
# Losses near $2 \ln 2$ and $\ln 2$: the logits are near 0, for real and for made pictures. As in lesson 20, that is where to begin.
#
# ## 4 A loop for pairs, with a seat belt
#
# The data now are pairs $(x, c)$, shuffled *together*. Shuffled apart they would raise no error, and teach that c means nothing.
#
# A discriminator that is far ahead can make of its logit a cliff: flat where the forgeries are, steep elsewhere. The seat belt is a penalty on the logit's slope at *real* pictures (near
# which good forgeries lie), called R1:
#
# $$ R = \operatorname{mean}_{x \sim data} \big\lVert \nabla_x\, \ell(x, c) \big\rVert^2 , \qquad \text{and } D \text{ minimises its loss}
#    + \tfrac{\gamma}{2} R , \quad \gamma = 0.1 . $$
#
# (Mescheder et al. 2018, equation 9; lesson 24 derives what it is good for.) It needs a derivative of a derivative, twice the work; so we
# charge it every 16th step, sixteen times as much: on average the same.
#
# **Your turn (★★, 10 min, deeper).** Three lines.
#
# <details><summary>Hint 1</summary>Each logit depends on its own picture, so the gradient of the *sum* of all logits holds every
# picture's slope (as in lesson 20's pushed_density). The penalty itself must be differentiable.</details>
# <details><summary>Hint 2</summary><code>slope, = torch.autograd.grad(disc(x, c).___, x, create_graph=___)</code>; then squares, summed
# over a picture, and the mean over the batch.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def gradient_penalty(disc, x, c=None):
    """Return the batch mean of |slope of a picture's logit|^2 at x; R1, always in float32."""
    with torch.autocast(x.device.type, enabled=False):
        ### TODO: x that wants gradients; the slopes; the mean of their squared lengths
        ### BEGIN SOLUTION
        x = x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(disc(x, c).sum(), x, create_graph=True)
        return slope.square().flatten(1).sum(dim=1).mean()
        ### END SOLUTION


def pair_batches(images, c, batch_size, rng):
    """Yield endless batches x (B, C, H, W) in -1..1 and c (B, K), shuffled together."""
    for x, y in datasets.batches(images, c, batch_size=batch_size, generator=rng, channels_last=True):
        yield x.float() / 127.5 - 1, y


# %% tags=["core", "workshop"]
gradient_penalty = checks.conditional_gan.gradient_penalty(gradient_penalty)

# %% [markdown] tags=["core", "workshop"]
# **Your turn (★★★, 15 min, deeper).** Lesson 20's two turns, with c in every question. `x`, `c` and `z` are there, and `penalty`: a number,
# 0 in most steps, already with its weight. The forger is asked for the conditions of the real batch: so both kinds come with the same c.
#
# <details><summary>Hint 1</summary>One question to G and three to D in a step, as in lesson 20, and each gets c. To whose loss does the
# penalty belong?</details>
# <details><summary>Hint 2</summary><code>fake = gen(z, c)</code>; <code>loss_disc = disc_loss(disc(x, c), ___)</code>; <code>(loss_disc +
# penalty).backward()</code> between zero_grad and step; then <code>gen_loss(disc(fake, c))</code>.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def train_conditional(cfg, gen, disc, data, rng, *, averaged=None,
                      should_stop=training.never_stop, view=None, label="training"):
    """Train both in turn on endless pairs (x, c); return the history. CourseError at nan."""
    opt_gen = torch.optim.Adam(gen.parameters(), betas=cfg.betas, fused=True)
    opt_disc = torch.optim.Adam(disc.parameters(), betas=cfg.betas, fused=True)
    good, nets = None, [gen, disc, averaged or gen]
    run = training.progress(cfg.steps, should_stop, view, label=label)
    with device.fast_autocast(rng.device), run:
        for step, (x, c) in zip(run, data, strict=False):
            for opt, lr in ((opt_gen, cfg.lr_gen), (opt_disc, cfg.lr_disc)):
                opt.param_groups[0]["lr"] = lr * min(1, 2 - 2 * run.fraction)
            z, due = gen.noise(len(x), rng), step % cfg.r1_every == 0
            penalty = cfg.r1_every * cfg.r1 / 2 * gradient_penalty(disc, x, c) if due else 0
            ### TODO: the discriminator's turn, with loss_disc; the generator's, with loss_gen
            ### BEGIN SOLUTION
            fake = gen(z, c)
            loss_disc = disc_loss(disc(x, c), disc(fake.detach(), c))
            opt_disc.zero_grad()
            (loss_disc + penalty).backward()
            opt_disc.step()
            disc.requires_grad_(False)  # saves work (G12 of lesson 20); switched on again below
            loss_gen = gen_loss(disc(fake, c))
            opt_gen.zero_grad()
            loss_gen.backward()
            opt_gen.step()
            disc.requires_grad_(True)
            ### END SOLUTION
            if step % cfg.measure_every == 0:
                good = or_stop(nets, good, loss_disc=loss_disc.item(), loss_gen=loss_gen.item())
            follow(averaged or gen, gen, min(cfg.average, (step + 1) / (step + 10)))
            run.log(loss_disc=loss_disc, loss_gen=loss_gen)
    return run.history


# %% tags=["core", "workshop"]
train_conditional = checks.conditional_gan.train_conditional(train_conditional)

# %% [markdown] tags=["core", "workshop"]
# First without conditions: a colour DCGAN on cats, from nothing, for a few hundred steps.
#
# **Predict.** What will it learn first: colours, outlines, or eyes?

# %% tags=["core", "workshop"]
def networks(make_disc=Discriminator, **sizes):
    """Return a generator, a discriminator, and the generator that will follow the first."""
    nets = Generator(**sizes), make_disc(), Generator(**sizes)
    return [net.to(dev, memory_format=torch.channels_last) for net in nets]


@torch.no_grad()
def sample(net, z, *c):
    """Return the pixels, uint8 on the CPU, of net in eval mode for z and c, if it takes any."""
    parts = zip(*(rows.split(200) for rows in (z, *c)), strict=True)
    return torch.cat([signed_to_pixels(net.eval()(*part)).cpu() for part in parts])


reader = judges.untrained("cats")[0].eval().requires_grad_(False)  # the judge, for attributes
training.load_weights(judges.weights_path("cats"), reader)


def read(x):
    """Return the judge's reading of every choice, name -> int64 (N,), of pixels x."""
    told = [reader.attributes(datasets.to_float(part)) for part in x.split(200)]
    return {name: torch.cat([part[name] for part in told]).argmax(1) for name in cats.CHOICES}


# %% tags=["core", "workshop"]
images, nothing = train.images.to(dev), torch.zeros(len(train), 0, device=dev)
gen, disc, young = networks()
fixed = gen.noise(10, device.generator(1, dev))
pairs, rows = pair_batches(images, nothing, cfg.batch_size, rng), {"untrained": sample(gen, fixed)}
for part in (0.1, 0.3, 0.6):  # three trainings, each going on from the one before
    arm = replace(cfg, steps=int(part * cfg.steps), average=0.98)
    train_conditional(arm, gen.train(), disc, pairs, rng, averaged=young)
    rows[f"{arm.steps} steps more"] = sample(young, fixed)
fig = plots.compare(rows, value_range=(0, 255), scale=1)

# %% [markdown] tags=["core", "workshop"]
# Smudges: pale papers, a darker patch about the middle, and a chequered grain from the doublings. No outline, no eyes: coarse before
# fine, if that. These are no cats; they need many times the steps. So the lesson goes on with **shipped
# weights**: the same nets and the same loop on all 20,000 cats, run once by `python3 -m course_lib.experiments.conditional_gan`. The next
# line says for how long.
#
# We continue them here for a moment, at a small rate: it is the same loop. Their $D$ is far ahead by its loss, and they are no better
# afterwards: compare with the stored distance. We measure the Fréchet distance of the
# judge that reads attributes, beside the floor, real against real. Then the first 64,
# unpicked. **Count:** in how many do you see a cat at a glance?

# %% tags=["core", "workshop"]
def shipped(name, c, **nets):
    """Return the average of continuing shipped weights for a moment on train.images and c."""
    gen, disc, averaged = networks(**nets)
    load_trained(name, gen, data="cats")
    load_trained(f"{name}-critic", disc, data="cats")
    averaged.load_state_dict(gen.state_dict())
    few = replace(cfg, steps=profile(smoke=4, standard=60), lr_gen=1e-4, lr_disc=1e-4)
    pairs = pair_batches(images, c, cfg.batch_size, rng)
    train_conditional(few, gen, disc, pairs, rng, averaged=averaged, label="continued")
    return averaged


averaged = shipped("catgan", nothing)
judge, z = judges.judge("cats"), averaged.noise(len(test), rng)
sets = {"trained here": sample(young, z), "shipped, continued": sample(averaged, z)}
sets["floor: real"], real = train.images[: len(test)], judge.features(test.images, 100)
distances = {k: metrics.frechet_distance(judge.features(x, 100), real) for k, x in sets.items()}
fig = plots.bars(distances, ylabel=f"Fréchet distance, {judge.name}")
figs = [show(part) for part in sets["shipped, continued"][:64].split(32)]
assert distances["shipped, continued"] < profile(smoke=math.inf, standard=9)

# %% [markdown] tags=["deeper"]
# ## 5 Deeper: arithmetic with attributes
#
# Radford et al. (2016, section 6.3.2) found that directions in the noise carry
# meaning: average the noise of samples with an attribute, subtract the average of those without,
#
# $$ d = \operatorname{mean}(z \mid \text{has}) - \operatorname{mean}(z \mid \text{has not}) , $$
#
# and add $d$ to any other noise. Why could this work? Noise is spread evenly around 0. If the samples with the attribute are those on
# one side of a plane through the noise, the two averages lie on its two sides, and $d$ is the way straight across. Who has the attribute,
# the judge reads.
#
# **Your turn (★, 5 min).**
#
# <details><summary>Hint 1</summary>A mask picks rows: two means over the samples, of shape (latent,).</details>
# <details><summary>Hint 2</summary><code>z[has].mean(dim=___) - z[___].mean(dim=___)</code>; refuse a mask that is all true or all
# false.</details>
#
# **Predict.** For each of six attributes we walk along its own direction and let the judge read all six. What stands on the
# diagonal, and what beside it?

# %% tags=["deeper", "export", "exercise"]
def direction(z, has):
    """Return mean z with minus mean z without, (latent,). CourseError if all or none have it."""
    ### TODO: the difference of two means, if there are two
    ### BEGIN SOLUTION
    if has.all() or not has.any():
        raise CourseError("A direction needs samples with the attribute and samples without it.")
    return z[has].mean(dim=0) - z[~has].mean(dim=0)
    ### END SOLUTION


# %% tags=["deeper"]
direction = checks.conditional_gan.direction(direction)
def has(told, look):  # look: "name option"
    name, option = look.split()
    return told[name] == cats.CHOICES[name].index(option)


looks = ["fur black", "fur white", "background rose", "pose portrait", "eyes closed", "wear bow"]
z, fresh = averaged.noise(profile(smoke=300, standard=3000), rng), averaged.noise(500, rng)
seen, walked = read(sample(averaged, z)), {"before": sample(averaged, fresh)}
for look in looks:
    way = 1.5 * direction(z, has(seen, look).to(dev))
    walked[look] = sample(averaged, fresh + way)
readings = [read(x) for x in walked.values()]
shares = torch.tensor([[has(told, look).float().mean() for look in looks] for told in readings])
change = 100 * (shares[1:] - shares[0])
fig = plots.heatmap(change, xlabel="read by the judge", ylabel="walked along", ticks=looks,
                    value_range=(-100, 100), unit="percentage points")
fig = plots.compare(walked, value_range=(0, 255), scale=1, columns=7)
assert profile(smoke=True, standard=change.diagonal()[[0, 1, 3]].min() > 15 > change[2, 2])
assert profile(smoke=True, standard=change[3, 5] > change[5, 5])

# %% [markdown] tags=["deeper"]
# Furs and the portrait obey their direction. The rose paper does not: this one direction does not carry it. And more bows come from walking
# to *portrait* than to *bow*: close up, a bow is easier to see. Black and white exclude each other, so a negative number there is right; the other
# large ones are **entanglement**: nobody asked the noise to keep one axis for fur and another for the eyes.

# %% [markdown] tags=["core", "workshop"]
# ## 6 To order instead of to search
#
# Give the generator the wish: the noise z and conditions c, one after the other in one row. Is that enough?
# **Predict:** G gets c, D does not. What will G do with it?
#
# Nothing obliges it to anything: every real-looking cat passes, whatever was asked. So $D$ must see the pair. Then for each c the game of lesson 20 is
# played, with the data that have this c. Its best $D$ is, by the same derivation with c held fixed,
#
# $$ D^*(x, c) = \frac{p(x \mid c)}{p(x \mid c) + p_{gen}(x \mid c)}, \qquad
#    \ell^*(x, c) = \ln \frac{p(x \mid c)}{p_{gen}(x \mid c)} , $$
#
# and the generator, for every c, approaches $p(x \mid c)$. How should a network compute such a logit? Draw c from the data, then x from G: all
# such x together have the density $p_{gen}(x)$. By Bayes, $p(x \mid c) = p(c \mid x)\, p(x) / p(c)$, and so for $p_{gen}$. Both sides get the same c, so $p(c)$ cancels:
#
# $$ \ell^* = \underbrace{\ln \frac{p(c \mid x)}{p_{gen}(c \mid x)}}_{\text{does it look as asked?}}
#    + \underbrace{\ln \frac{p(x)}{p_{gen}(x)}}_{\text{does it look real?}} . $$
#
# The second term knows nothing of c: the head's part. And the first? A classifier on features $h(x)$ says $\ln p(c \mid x) = \langle v_c, h \rangle - \ln Z(h)$,
# a scalar product and a normalisation that is the same for all c. A difference of two such, on the same h, is $\langle v_c - v^{gen}_c, h \rangle$ plus
# something without c, which joins the second term. (Our head is linear, so the layers below must shape h until that is enough: this is
# a motivation, no proof.) With one vector $E c$ for each condition:
#
# $$ \ell(x, c) = \text{head}(h) + \langle E c, h \rangle / s . $$
#
# This is the **projection** discriminator (Miyato and Koyama 2018, section 3). The scale $s$ = 16 slows this term's learning: Adam moves
# all weights of E by about as much, and F = 1,536 of them push together. If several
# attributes are independent given x (for G's pictures an assumption), their logarithms add up: put their one-hot codes side by side, and $E c$ is the sum of their vectors.
#
# | symbol | variable | shape |
# |---|---|---|
# | $x$; $z$ | `x`, `fake`; `z` | (B, 3, H, W) in -1..1; (B, 64) |
# | $c$ | `c`, from `one_hot` | (B, K), zeros and ones |
# | $h(x)$ | `self.features(x)` | (B, F) |
# | $E$, $E c$; $s$ | `self.embed`, `self.embed(c)`; `scale` | (F, K), (B, F); a number |
# | $\ell(x, c)$ | `logits` | (B,) |
# | $d$ (section 5, deeper) | `direction(z, has)` | (64,) |
#
# **Your turn (★★, 15 min).** The codes, and the projection.
#
# <details><summary>Hint 1</summary>Row k of the identity matrix is the code of label k. But -1 picks the last row, without a word: look at the
# labels first. The projection: a product, number by number, and a sum over features.</details>
# <details><summary>Hint 2</summary><code>bad = labels[(labels < 0) | (labels >= k)]</code>, then <code>if len(bad): raise
# CourseError(f"...")</code>; <code>torch.eye(k)[labels]</code>. The logit: <code>self.head(h)[:, 0] +
# (h * ___).sum(dim=___) / ___</code>.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def one_hot(factors, names):
    """Return (N, K), float: a 1 per named choice. CourseError: name, bad label and its range."""
    parts = []
    for name in names:
        labels, k = factors[name], len(cats.CHOICES[name])
        ### TODO: refuse labels outside 0..k-1; append the codes (N, k)
        ### BEGIN SOLUTION
        if len(bad := labels[(labels < 0) | (labels >= k)]):
            raise CourseError(f"{name} {bad[0].item()} is none of its K = {k} options: 0..{k - 1}.")
        parts.append(torch.eye(k, device=labels.device)[labels])
        ### END SOLUTION
    return torch.cat(parts, dim=1)


WISHES = ("pattern", "fur", "marking", "background", "motif", "pose", "head", "ears", "eyes",
          "mouth", "wear")  # what section 8 asks for
COLUMNS = sum(len(cats.CHOICES[name]) for name in WISHES)


class Projection(Discriminator):
    """Judge pairs of x (B, C, side, side) and c (B, K). Miyato and Koyama (2018), section 3."""

    def __init__(self, conditions, scale=16.0, **sizes):
        super().__init__(**sizes)
        self.embed, self.scale = nn.Linear(conditions, self.head.in_features, bias=False), scale

    def forward(self, x, c):
        h = self.features(x)
        ### TODO: what the head says plus the scalar product with the embedded c, over the scale
        ### BEGIN SOLUTION
        asked = (h * self.embed(c)).float().sum(dim=1)
        return self.head(h).float()[:, 0] + asked / self.scale
        ### END SOLUTION


# %% tags=["core", "workshop"]
one_hot = checks.conditional_gan.one_hot(one_hot)
Projection = checks.conditional_gan.projection(Projection)

# %% [markdown] tags=["deeper"]
# ## 7 Deeper: first one condition, small
#
# The background, six papers, on cats of 32 pixels: a quarter of the work, so that two trainings fit in here. One discriminator is the projection; the other is section 3's,
# which does not look at c. The judge reads 64 pixels, so small cats are enlarged for it, real ones too: what it reads on *those* is the
# **ceiling**; one of six is **chance**.
#
# **Predict** both generators' shares of cats with the paper that was asked.

# %% tags=["deeper"]
def halve(x):  # in parts: as floats all of them would need much memory
    return torch.cat([F.avg_pool2d(part.float(), 2).byte() for part in x.split(200)])


small, tiny_test = halve(images[:6000]), halve(test.images)
codes = one_hot(train.factors, ["background"]).to(dev)[: len(small)]


def share(x, asked):  # enlarged for the judge
    told = read(F.interpolate(x, scale_factor=2))["background"]
    return (told == asked).double().mean().item()


asked, grid, critics = torch.arange(500) % 6, {}, {}
obeyed = {"ceiling: real": share(tiny_test, test.factors["background"])}
arm = replace(cfg, steps=profile(smoke=8, standard=800), average=0.99)
for name, make in {"projection": partial(Projection, 6), "c ignored": Discriminator}.items():
    gen, critics[name], slow = networks(partial(make, side=32), side=32, conditions=6)
    pairs = pair_batches(small, codes, cfg.batch_size, device.generator(2, dev))
    train_conditional(arm, gen, critics[name], pairs, rng, averaged=slow, label=name)
    grid[name] = sample(slow, slow.noise(500, rng), torch.eye(6)[asked].to(dev))
    obeyed[name] = share(grid[name], asked)
fig = plots.bars(obeyed, ylabel="share with the paper asked for", reference={"chance": 1 / 6})
fig = plots.compare(grid, value_range=(0, 255), scale=2)
assert profile(smoke=True, standard=obeyed["c ignored"] < 0.27 and obeyed["projection"] > 0.9)

# %% [markdown] tags=["deeper"]
# With the projection close to the ceiling; without c, chance. (Asked, from left to right: sky, mint, rose, lilac, straw, sea, and again.) The cats are smudges with
# at best ears, in both rows: their papers alone obey. *No error and no strange loss gives the second away.* Therefore measure obedience, always.

# %% [markdown] tags=["core", "workshop"]
# ## 8 Eleven conditions
#
# Now all the choices that are easily seen, at 64 pixels, again from shipped weights: **the dresser**. Each one-hot code takes its columns in c, 47 together.
#
# The dresser is asked for the attributes of the test cats. The judge reads the real ones (ceiling) and
# those made to the same wishes. **Predict.** Which attributes will be obeyed best, which worst?

# %% tags=["core", "workshop"]
codes64, c = (one_hot(part.factors, WISHES).to(dev) for part in (train, test))
dresser = shipped("dresser", codes64, make_disc=partial(Projection, COLUMNS), conditions=COLUMNS)
x = sample(dresser, dresser.noise(len(c), rng), c)
figs = [show(part) for part in x[:64].split(32)]
fig = plots.compare({"test cats": test.images[:10], "same wishes": x[:10]}, value_range=(0, 255))
right = {"chance": {k: test.factors[k].mode().values for k in WISHES}, "dresser": read(x),
         "ceiling": read(test.images)}
hits = [[(told[k] == test.factors[k]).float().mean() for told in right.values()] for k in WISHES]
table = 100 * torch.tensor(hits)
fig = plots.heatmap(table.round(), xlabel="", ylabel="", unit="% right", ticks=(WISHES, [*right]))
print("distance:", metrics.frechet_distance(judge.features(x, 100), real))
gap = (table[:, 2] - table[:, 1]).tolist()  # of the head 6, of the mouth 9
assert profile(smoke=True, standard=max(gap[1], *gap[3:6]) < 6 and sorted(gap)[-2:] == gap[6:10:3])

# %% [markdown] tags=["core", "workshop"]
# Papers, motifs, furs and poses are obeyed about as well as the judge can read. The mouth and the *shape of the head* lag most, large as a head is. A
# likely reason, not tested here: another shape changes few pixels, those of an outline, so $D$ gains little by looking there. (Chance is here the share of the
# most frequent option. The marking's low ceiling is no mistake of the judge: plain cats show none. The distance is not to be compared with
# section 4's: this network trained longer.)
#
# ## 9 Dress a cat
#
# Ask. At the left the true drawing, beside it what the network makes of the same wish and seven noises. **cat** draws other
# noise: what stays is what you asked for, what changes is what you left open.

# %% tags=["core", "workshop"]
def dress(cat, **wish):
    options = {k: torch.tensor([cats.CHOICES[k].index(option)]) for k, option in wish.items()}
    c, z = one_hot(options, WISHES).to(dev), dresser.noise(7, device.generator(cat, dev))
    x = torch.cat([(255 * cats.draw(options)).byte(), sample(dresser, z, c.expand(7, -1))])
    return plots.show_images(x, value_range=(0, 255), columns=4, scale=2,
                             labels=["drawn", *(f"cat {k}" for k in range(1, 8))])


first = {"pattern": "tuxedo", "fur": "black", "background": "sea", "wear": "bow"}
controls = [explore.choice(name, cats.CHOICES[name], first.get(name)) for name in WISHES]
explore.View(dress, [explore.slider("cat", 0, 50, 1), *controls])


# %% [markdown] tags=["deeper"]
# ## 10 Deeper: exercises
#
# **A. Predict (★★, 10 minutes): what nobody has seen.** In the data a ginger cat's marking is snow, rust or cocoa, never ink. A
# grey one's may be ink. Ask for *ginger with ink* patches. Does the network combine what it saw apart?
#
# <details><summary>Hint 1</summary>In the generator's first layer the two wishes are added; the layers above have never met this sum.</details>
# <details><summary>Hint 2</summary>D was never asked about this pair of wishes: nobody corrected the generator there. And the judge?
# It needs a ceiling.</details>

# %% tags=["deeper"]
for fur in ("grey", "ginger"):
    wish = {"fur": fur, "marking": "ink", "pattern": "patches"}
    asked = {k: v[:200] for k, v in test.factors.items() if k in WISHES}
    asked |= {k: torch.full((200,), cats.CHOICES[k].index(wish[k])) for k in wish}
    x = {"drawn": (255 * cats.draw(asked)).byte()}
    x["made"] = sample(dresser, dresser.noise(200, rng), one_hot(asked, WISHES).to(dev))
    fig = plots.compare({k: part[:9] for k, part in x.items()}, value_range=(0, 255), scale=1)
    ink = {k: (read(part)["marking"] == asked["marking"]).float().mean() for k, part in x.items()}
    print(fur, "read as ink:", *(f"{k} {share:.0%}" for k, share in ink.items()))
assert profile(smoke=True, standard=ink["made"] < 0.2 and ink["drawn"] > 0.5)

# %% [markdown] tags=["deeper"]
# <details><summary>Answer to A</summary>Grey with ink was in the data, and is obeyed. Ginger with ink is hardly ever made: the network draws a marking that
# ginger cats have. The judge has not seen this pair either, so its ceiling on true drawings is lower, but far from 0: the failure is the
# network's. Measure such combinations before you rely on them.</details>
#
# **B. Build (★★, 15 minutes): who listens?** Section 7's *c ignored* has a D that does not look at c. Write the **test of
# shuffled conditions**, which needs no judge: ask D about real pictures with their own conditions, and with those of other pictures.
#
# <details><summary>Hint 1</summary>Two questions about the same x, and the mean difference of the logits.</details>
# <details><summary>Hint 2</summary>A permutation drawn from rng may leave a row in its place; <code>c.roll(1, dims=___)</code> never
# does.</details>
#
# **Predict** the answer for section 7's two discriminators, and for one whose pictures and conditions were shuffled apart.

# %% tags=["deeper", "exercise", "export"]
@torch.no_grad()
def heard(disc, x, c):
    """Return by how much D's mean logit of x falls when each picture gets another one's c."""
    ### TODO: own conditions minus another's
    ### BEGIN SOLUTION
    return (disc(x, c) - disc(x, c.roll(1, dims=0))).mean().item()
    ### END SOLUTION


# %% tags=["deeper"]
heard = checks.conditional_gan.heard(heard)
x, c = tiny_test.to(dev) / 127.5 - 1, one_hot(test.factors, ["background"]).to(dev)  # new to D
print(fell := {name: heard(critic.eval(), x, c) for name, critic in critics.items()})
assert fell["c ignored"] == 0 and fell["projection"] > profile(smoke=-99, standard=0)

# %% [markdown] tags=["deeper"]
# Exactly 0 for the one that ignores c, and more for the other. Pictures and conditions that were shuffled apart should give about 0
# on new pictures (not run here): that D *could* listen, but c says nothing.
#
# **C. Debug (★★, 15 minutes): the auxiliary classifier (G16).** Another way to conditions (Odena et al. 2017): a second head of $D$ names the class, and both
# networks are paid for its being right. A colleague writes
#
# ```python
# probabilities = disc.classifier(h).softmax(dim=1)
# loss_class = F.cross_entropy(probabilities, labels)
# ```
#
# It trains without an error. `F.cross_entropy` takes *logits* and applies the softmax itself. What is the smallest loss that a
# sure and right classifier of 5 classes can reach so? And what slope does one get that is sure and wrong?
#
# <details><summary>Hint 1</summary>Sure and right: the "logits" are (1, 0, 0, 0, 0). Put them into a softmax. Sure and wrong: how much does a
# softmax move that stands at 1?</details>
# <details><summary>Hint 2</summary>Either the cross-entropy of logits, or the negative log-likelihood, <code>F.nll_loss</code>, of
# log-probabilities; never a mixture.</details>

# %% tags=["deeper", "exercise", "export"]
def class_loss(logits, labels):
    """Return the classifier's loss in nats, batch mean: logits (B, K), labels int64 (B,)."""
    ### TODO: one softmax, not two
    ### BEGIN SOLUTION
    return F.cross_entropy(logits, labels)
    ### END SOLUTION


# %% tags=["deeper"]
class_loss = checks.conditional_gan.class_loss(class_loss)
for state, row, size in (("undecided", 0, 0), ("sure and right", 0, 20), ("sure and wrong", 1, 20)):
    for softmaxes, squeeze in ((1, nn.Identity()), (2, nn.Softmax(dim=1))):
        logits = (size * torch.eye(5)[row : row + 1]).requires_grad_()
        (value := class_loss(squeeze(logits), torch.tensor([0]))).backward()
        print(f"{state}, {softmaxes} softmax: {value.item():.3f}, slope {logits.grad.norm():.1e}")

# %% [markdown] tags=["deeper"]
# <details><summary>Answer to C</summary>The smallest loss is ln(1 + 4/e) = 0.905: never 0, so it looks as if there were much to learn. Undecided, the
# slope is a fifth of the right one; sure and wrong, where it should be largest, it is nothing. The signal to the generator is weak
# from the start and dies where it is needed. The true classifier has a weakness, too, by its formula: it pays for pictures that are *easy to name*, not for
# p(x | c). The projection has no such term.</details>

# %% [markdown] tags=["core", "workshop"]
# ## 11 To discuss, and to keep
#
# <details><summary><b>D11.</b> A loader says "Found 0 files", but the folder is full of pictures. Why?</summary>Loaders of the ImageFolder kind take each
# *subfolder* for a class; pictures that lie directly in the root belong to none. Put them into a subfolder, or use a loader without
# classes: datasets.load("folder", ...) takes every picture below the folder and has no labels.</details>
# <details><summary><b>D6.</b> A discriminator gives logits of shape (3200,) for 128 pictures. What happened?</summary>25 logits a picture: 128
# pixels went into a network for 64 that ends in a convolution, which leaves 5 x 5 places. Build one more block.</details>
# <details><summary><b>To discuss.</b> The dresser reaches the ceiling for some attributes. Does it know p(x | c)?</summary>No. It might draw one and the
# same cat for each wish. Obedience says nothing about diversity: look at one wish with many noises, and at the Fréchet distance.</details>
#
# **Summary**
#
# - A condition counts only if the discriminator sees it beside the picture. The generator then has to obey: a perfect cat of the wrong
#   colour is a forgery.
# - Colour is three planes that belong together; wrong axes and orders raise no error.
# - A side is base times 2ⁿ; a network that refuses all others saves an evening.
# - (Deeper) Noise has directions that carry some attributes, and entangles them: measure what else a direction changes.
# - Obedience stands between two numbers: chance, and the judge's own reading of real pictures.
#
# **Later lessons import** `plan`, `Generator`, `Discriminator`, `Projection`, `one_hot`, `gradient_penalty` and
# `train_conditional`. **Limits:** paper cats are simpler than photographs; the good weights took longer than a lesson;
# mouths and the shapes of heads are obeyed badly.
#
# **Papers.** Mirza and Osindero (2014), *Conditional generative adversarial nets* · Radford, Metz and Chintala (2016),
# *Unsupervised representation learning with deep convolutional generative adversarial networks*, section 6 · Odena, Olah and Shlens (2017),
# *Conditional image synthesis with auxiliary classifier GANs* · Mescheder, Geiger and Nowozin (2018), *Which training methods for
# GANs do actually converge?*, section 4 · Miyato and Koyama (2018), *cGANs with projection discriminator*, section 3.
