# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown] tags=["core", "workshop"]
# # 51 Learn to remove noise
#
# You will build the best possible denoiser of a tiny world, see that a trained network becomes the same, and then train two networks on
# photographs, of which one, in minutes, repairs better than all that lesson 50 has against noise.
#
# ![Photographs with noise 25, repaired by non-local means and by the network of this lesson, and the truth](../data/pictures/51-027.png)
#
# | | |
# |---|---|
# | **You need** | the damages, repairs and rulers of lesson 50, convolution and pixel shuffle (12, 13), the training loop (10); helpers come from 20 and 24 |
# | **Time** | 60 minutes for the core, 85 more for the rest; the notebook itself runs in 3 minutes on two cores |
# | **Machine** | no GPU, no network, 1.2 GB of memory |
#
# Afterwards you can
#
# 1. say what a denoiser estimates under a squared and under an absolute error, compute both exactly, and say why one of them blurs,
# 2. read the score of noisy data off a denoiser (Tweedie),
# 3. write a network that predicts the noise, for pictures of any size, and a small U-Net,
# 4. (deeper) train one network for many noise levels, and name damage that it cannot repair,
# 5. (deeper) train without a single clean picture, and ask a denoiser for a picture out of nothing.
#
# > **Remember.** Trained on squared errors, a network estimates the mean of all clean pictures that explain the noisy one. It knows the noise and
# > the pictures of its training, and nothing else.

# %% tags=["core", "workshop", "export"]
import math
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import checks, datasets, device, explore, images, plots, trained, training
from course_lib.built import damage  # written in lesson 50
from course_lib.built.gan import follow, or_stop  # in 20
from course_lib.built.stable_gans import conv3  # in 24
from course_lib.photos import PHOTOGRAPHS
from course_lib.settings import CourseError, profile


@dataclass
class Config:
    """The numbers of lesson 51; `profile` picks the value for the profile that you run in."""

    steps: int = profile(smoke=3, standard=500, full=20000)
    batch_size: int = 16
    side: int = 64  # pixels of a training patch
    lr: float = 4e-3  # the highest: a climb of 100 steps, then half a cosine
    average: float = 0.998  # how slowly the averaged (the shipped) weights follow
    measure_every: int = 50  # steps between two safe copies
    seed: int = 0


# %% [markdown] tags=["core", "workshop"]
# ## 1 What is the best guess?
#
# Take a world so small that nothing need be learned: 14 patches of $8 \times 8$ pixels, an upright or a level edge at one of seven places,
# all equally likely. One is drawn, and noise is added: $y = x + \sigma n$. Which patch was it? And which *picture* would be
# wrong by the least?
#
# **Which patch.** By Bayes' rule the probability of patch $x_k$ is its prior times the likelihood of $y$, normalised. The noise is Gaussian, so
#
# $$ p(x_k \mid y) = \frac{\exp(-|y - x_k|^2 / 2\sigma^2)}{\sum_j \exp(-|y - x_j|^2 / 2\sigma^2)} . $$
#
# **Which picture.** Name $f$ when you see $y$. The expected squared error splits around the mean $m = \mathbb E[x \mid y]$ of the patches that it may have been:
#
# $$ \mathbb E\big[|f - x|^2 \mid y\big] = |f - m|^2 + \mathbb E\big[|m - x|^2 \mid y\big] , $$
#
# since the mixed term $2 (f - m) \cdot \mathbb E[m - x \mid y]$ is 0. The second part does not depend on $f$. So the best is $f = m$: **the conditional mean**
#
# $$ m(y) = \mathbb E[x \mid y] = \sum_k p(x_k \mid y)\, x_k . $$
#
# | symbol | variable | shape |
# |---|---|---|
# | $y$; $x$; $\hat x$ | `y`; `x`; `x_hat` | (B, C, H, W), clean ones in $[0, 1]$ |
# | $x_k$; $p(x_k \mid y)$ | `clean`; `posterior(y, clean, sigma)` | (K, C, H, W); (B, K) |
# | $m(y)$ | `posterior_mean(y, clean, sigma)` | (B, C, H, W) |
# | $\sigma$ | `sigma` | number; later also (B, 1, 1, 1); in units of the pixels |
# | $\nabla_y \ln p(y)$, the score (section 3) | `slope` | (B, C, H, W) |
#
# **Your turn (★★, 6 min).** Write both.
#
# <details><summary>Hint 1</summary>All distances of B pictures to K patches: <code>torch.cdist</code> of the flattened ones. The fraction is a
# softmax over k, which never overflows.</details>
# <details><summary>Hint 2</summary><code>apart = torch.cdist(y.flatten(1), clean.flatten(1)).square()</code>; <code>(-apart /
# ___).softmax(dim=1)</code>; then <code>(posterior(y, clean, sigma) @ ___).view_as(y)</code>.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def posterior(y, clean, sigma):
    """Return p(x_k | y) (B, K): y (B, C, H, W) is one of clean (K, C, H, W), plus noise sigma."""
    ### TODO: the squared distances (B, K), and the softmax over k of what Bayes' rule says
    ### BEGIN SOLUTION
    apart = torch.cdist(y.flatten(1), clean.flatten(1)).square()
    return (-apart / (2 * sigma**2)).softmax(dim=1)
    ### END SOLUTION


def posterior_mean(y, clean, sigma):
    """Return E[x | y] (B, C, H, W), the best guess by squared error."""
    ### TODO: the patches, weighted by their probabilities
    ### BEGIN SOLUTION
    return (posterior(y, clean, sigma) @ clean.flatten(1)).view_as(y)
    ### END SOLUTION


# %% [markdown] tags=["core", "workshop"]
# **Predict.** Four guesses: $y$ itself, the most probable patch, the mean, and for each pixel its *median* over the patches (a pixel is 0 or 1, so this is the
# more probable of the two). Which has the smallest squared error? Which the smallest *absolute* error? Which looks blurred?

# %% tags=["core", "workshop"]
posterior = checks.denoising.posterior(posterior)
posterior_mean = checks.denoising.posterior_mean(posterior_mean)
cfg, dev, rng = Config(), device.pick_device(), device.generator(Config.seed)
upright = torch.stack([(torch.arange(8) >= k).float().expand(8, 8) for k in range(1, 8)])[:, None]
world, sigma = torch.cat([upright, upright.mT]), 1.0  # (14, 1, 8, 8)
x = world[torch.randint(14, (5000,), generator=rng)]
y = damage.noisy(x, sigma, rng)
mean = posterior_mean(y, world, sigma)
guesses = {"noisy": y, "most probable": world[posterior(y, world, sigma).argmax(dim=1)],
           "mean": mean, "median": (mean > 0.5).float()}


def report(names):
    for name in names:
        off, *far = (guesses[name] - part for part in (x, mean, guesses["median"]))
        print(f"{name:17} squared error {off.square().mean():.4f}, absolute {off.abs().mean():.4f};"
              " squared, from mean and median:", *(f"{part.square().mean():.4f}" for part in far))


report(guesses)
torn = (mean * (1 - mean)).flatten(1).sum(dim=1).argsort()[[*range(-6, 0), 0, 1]]  # 2 are certain
rows = {"true": x[torn]} | {name: guess[torn].clamp(0, 1) for name, guess in guesses.items()}
fig = plots.compare(rows, value_range=(0, 1), scale=6)

# %% [markdown] tags=["core", "workshop"]
# **The mean has the smallest squared error and looks blurred; the median has the smallest absolute error and is sharp.** The first six pictures are
# those of the 5000 that leave most doubt: many edges explain $y$, and the mean lies between them, in ramps and stairs, which are *no patch of this world*. (In the last two, one patch is nearly certain,
# and nothing blurs.) The mean is the safest bet under this loss, and the loss
# blurs. The median of lesson 50, the minimiser of $\mathbb E\,|f - x|$ pixel by pixel, bets on the likelier side: sharp, and further off by squares. (Its picture need not be a patch of the world, either.)
#
# ## 2 A network finds the same, without being told the world
#
# Pairs of $x$ and $y$ can be *made*: add noise. Section 1's mean is best at every $y$, so
# it is best on average over $y$, too: among all functions of $y$ it has the least squared error over pairs. So minimise that over a network's weights.
#
# A batch is a pair: what is seen, a tuple of the network's inputs, and a target of the output's shape.
# (Other shapes broadcast, with no more than a warning, into a mean over all pairs of pictures; the loop refuses them.) `averaged` is for the shipped weights.

# %% tags=["core", "workshop", "export"]
def train_denoiser(cfg, net, pairs, *, loss=F.mse_loss, averaged=None,
                   should_stop=training.never_stop, view=None, label="training"):
    """Minimise loss(net(*seen), target) over endless pairs (seen, target); return the history.

    averaged: a copy of net whose weights follow slowly. CourseError at nan or wrong shapes."""
    optimiser, good = torch.optim.Adam(net.parameters(), betas=(0.9, 0.99), fused=True), None
    with training.progress(cfg.steps, should_stop, view, label=label) as run:
        for step, (seen, target) in zip(run, pairs, strict=False):
            falling = (1 + math.cos(math.pi * run.fraction)) / 2 * min(1, (step + 1) / 100)
            optimiser.param_groups[0]["lr"] = cfg.lr * falling
            with device.fast_autocast(target.device):
                found = net(*seen)
            if found.shape != target.shape:
                raise CourseError(f"The net gives {[*found.shape]}, the target {[*target.shape]}.")
            error = loss(found.float(), target)
            if step % cfg.measure_every == 0 or not error.isfinite():
                good = or_stop([net], good, loss=error.item())
            optimiser.zero_grad()
            error.backward()
            optimiser.step()
            if averaged is not None:
                follow(averaged, net, min(cfg.average, (step + 1) / (step + 10)))
            run.log(loss=error)
    return run.history


# %% [markdown] tags=["core", "workshop"]
# **Predict.** Two networks of equal form see the same noisy edges, one with squared, one with absolute errors. What will each draw for the eight patches above?

# %% tags=["core", "workshop"]
def edges(rng):
    while True:
        x = world[torch.randint(14, (256,), generator=rng)]
        yield (damage.noisy(x, sigma, rng).to(dev),), x.to(dev)


toy = replace(cfg, steps=profile(smoke=20, standard=1500), lr=2e-3)
for name, loss in {"trained, squared": F.mse_loss, "trained, absolute": F.l1_loss}.items():
    torch.manual_seed(cfg.seed)
    layers = nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 64)
    net = nn.Sequential(nn.Flatten(), *layers, nn.Sigmoid(), nn.Unflatten(1, (1, 8, 8))).to(dev)
    train_denoiser(toy, net, edges(device.generator(1)), loss=loss, label=name)
    guesses[name] = net(y.to(dev)).detach().cpu()
report(["mean", "trained, squared", "median", "trained, absolute"])
rows = {name: guess[torn].clamp(0, 1) for name, guess in guesses.items() if name != "noisy"}
fig = plots.compare(rows, value_range=(0, 1), scale=6)

# %% [markdown] tags=["core", "workshop"]
# The first draws blotchy versions of the mean's ramps. The second is nearly black and white, as the median is, but where the two sides are nearly as likely, it is often on the wrong one:
# there the absolute loss hardly cares. So it lies far from the median by squares, though its absolute error is the smaller of the two. Neither was told what an edge is. The first one's squared error is the mean's plus its distance from the mean:
# section 1's split. The mean's own part nobody can remove.
#
# ## 3 What a denoiser knows: Tweedie's formula
#
# A good denoiser knows more than it seems. Noisy data have the density $p(y) = \frac1K \sum_k N(y; x_k, \sigma^2)$. Its derivative is
#
# $$ \nabla p(y) = \frac1K \sum_k N(y; x_k, \sigma^2)\, \frac{x_k - y}{\sigma^2} = p(y)\, \frac{\mathbb E[x \mid y] - y}{\sigma^2} , \qquad \text{so} \qquad
# \mathbb E[x \mid y] = y + \sigma^2\, \nabla_y \ln p(y) . $$
#
# (The weights $N / K p(y)$ are the posterior.) So what a denoiser *changes*, over $\sigma^2$, is the slope of the log-density, called the **score**: it points to where
# data are denser. It holds for any data (Robbins 1956, who credits Tweedie). Part 7 builds generators on it. **Predict.** $y$ lies between two patches, a little nearer to one: where does the score point? And how well does the *trained* net know it?

# %% tags=["core", "workshop"]
at = y[:100].double().requires_grad_()
apart = torch.cdist(at.flatten(1), world.flatten(1).double()).square()
slope = torch.autograd.grad(torch.logsumexp(-apart / (2 * sigma**2), dim=1).sum(), at)[0]
gap = at.detach() + sigma**2 * slope - posterior_mean(at.detach(), world.double(), sigma)
off = ((guesses["trained, squared"] - y)[:100] / sigma**2 - slope).norm() / slope.norm()
print(f"largest difference {gap.abs().max():.1e}; the trained net's score is off by {off:.1%}")
assert gap.abs().max() < 1e-9 and off < profile(smoke=9, standard=0.1)

# %% [markdown] tags=["core", "workshop"]
# For the exact mean, rounding; for the trained net, a few percent. Between two patches the score points at their weighted mean.
#
# ## 4 Photographs to learn from
#
# The test scenes are never trained on. That leaves nine photographs, few for a network. So we stretch them: in grey and in single colours, at four
# scales, in random crops, turned and mirrored, with random contrast. And 30 % of the patches are **dead leaves**: opaque discs and
# boxes that cover each other like leaves on the ground, many small, few large. They have sharp edges at all scales and flat parts between. (The drawing code may be skipped.)

# %% tags=["core", "workshop", "export"]
def dead_leaves(side, rng, number=4000, smallest=4, largest=200):
    """Return a picture (side, side) in [0, 1] of opaque discs and boxes with power-law radii."""
    picture, at = torch.full((side, side), 0.5), torch.arange(float(side))
    for y, x, turn, flat, tone, slope, box, u in torch.rand(number, 8, generator=rng).tolist():
        r, turn, flat = min(smallest * (1 - u) ** -0.75, largest), math.pi * turn, 0.3 + 0.7 * flat
        rows, columns = (slice(max(0, int(side * c - r)), int(side * c + r) + 2) for c in (y, x))
        down, right = at[rows, None] - side * y, at[columns] - side * x  # r has a power law
        a = (math.cos(turn) * right + math.sin(turn) * down) / r
        b = (math.cos(turn) * down - math.sin(turn) * right) / (r * flat)
        apart = torch.hypot(a, b) if box < 0.5 else 1.4 * torch.maximum(a.abs(), b.abs())
        cover = (r * flat * (1 - apart) + 0.5).clamp(0, 1)  # 1 inside, 0 outside, soft between
        picture[rows, columns].lerp_(tone + 0.4 * (slope - 0.5) * a, cover)
    return picture.clamp(0, 1)


# %% tags=["core", "workshop", "export"]
def training_pictures(rng, leaves=2):
    """Return pictures (H, W) in [0, 1], and the chance of each: photographs 70 %, leaves 30 %."""
    found = []
    for name, (_, split, colour) in PHOTOGRAPHS.items():
        if split == "train" and name not in ("text", "motorcycle_right"):  # the left one is enough
            x = datasets.photograph(name)
            x = torch.cat([images.to_grey(x), x])[: 4 if colour else 1] / 255
            for size in (1, 0.75, 0.5, 0.35):
                found += [*images.resize(x, *(round(size * n) for n in x.shape[1:])).clamp(0, 1)]
    share = torch.tensor([x.numel() ** 0.5 for x in found])
    chances = torch.cat([0.7 * share / share.sum(), torch.full((leaves,), 0.3 / leaves)])
    return found + [dead_leaves(1024, rng) for _ in range(leaves)], chances


# %% tags=["core", "workshop", "export"]
def clean_patches(pictures, chances, batch_size, side, rng):
    """Yield endless batches x (B, 1, side, side) in [0, 1]: crops, each of its own contrast."""
    while True:
        x, drawn = [], torch.multinomial(chances, batch_size, True, generator=rng).tolist()
        for whole in (pictures[k] for k in drawn):
            i, j = (torch.randint(n - side + 1, (1,), generator=rng).item() for n in whole.shape)
            x.append(whole[i : i + side, j : j + side])
        turns, mirror = torch.randint(4, (2,), generator=rng).tolist()
        x = torch.stack(x)[:, None].rot90(turns, (2, 3))
        gain, base = torch.rand(2, batch_size, 1, 1, 1, generator=rng)
        yield (0.6 + 0.4 * gain) * (x.mT if mirror % 2 else x) + 0.4 * (1 - gain) * base


def noisy_pairs(clean, sigma, rng, told=False):
    """Yield ((y,), x), or told: ((y, sigma), x); sigma: a number, or (lo, hi) to draw from."""
    lo, hi = sigma if isinstance(sigma, tuple) else (sigma, sigma)
    for x in clean:
        s = lo + (hi - lo) * torch.rand(len(x), 1, 1, 1, generator=rng)
        y = damage.noisy(x, s, rng)
        yield ((y, s) if told else (y,)), x


# %% tags=["core", "workshop"]
noise, side = 25 / 255, profile(smoke=48, standard=192)
pictures = training_pictures(rng, leaves=profile(smoke=1, standard=2))


def pairs(sigma=noise, told=False):  # the same patches for each net
    rng = device.generator(1)
    clean = clean_patches(*pictures, cfg.batch_size, cfg.side, rng)
    for seen, x in noisy_pairs(clean, sigma, rng, told):
        yield tuple(part.to(dev) for part in seen), x.to(dev)


test, tuning = (torch.cat([*damage.crops(names, width).values()])
                for names, width in ((damage.TEST, side), (damage.TUNING, 2 * side // 3)))
noisy_test, noisy_tuning = (damage.noisy(part, noise, rng) for part in (test, tuning))
(seen,), x = next(pairs())
fig = plots.compare({"clean": x[:6].cpu(), "noisy": seen[:6].clamp(0, 1).cpu()}, value_range=(0, 1))

# %% [markdown] tags=["core", "workshop"]
# ## 5 Predict the noise, not the picture
#
# DnCNN (2017) is a stack of $3 \times 3$ convolutions with one idea: it predicts the **noise**, and $\hat x = y - \text{noise}$. For the squared error this is no other
# target, since $\hat x - x = \sigma n - \hat n$ with $\hat n$ the predicted noise. But it is another *start*: with its last layer at zero it returns $y$, and the loss begins at $\sigma^2$, known before any training.
#
# To be fast on a CPU, the body works on **half the size**: `pixel_unshuffle(x, 2)` makes four channels of the four pixels of each $2 \times 2$ block, nothing is lost, and
# each convolution sees twice as far for a quarter of the products (FFDNet's idea). Sizes that are no multiple of 8 are padded, and cropped at the end. Colour
# channels are repaired one by one. `told` networks get $\sigma$ as one more channel; that waits for section 8.
#
# (The real DnCNN has 17 layers of width 64 with batch normalisation, which we leave out, and far longer training.)
#
# Before training we ask: is the loss $\sigma^2$? Can it learn two patches nearly by heart?
#
# **Your turn (★★, 8 min).** `h` is there, what the body sees; finish the picture.
#
# <details><summary>Hint 1</summary>The body gives four channels at half the size; <code>F.pixel_shuffle</code> takes them back. x is the padded picture, of the
# noise's size; the top left H x W of it is wanted.</details>
# <details><summary>Hint 2</summary><code>noise = F.pixel_shuffle(self.body(h).float(), ___)</code>; <code>(x ___ noise)[..., :H, :W].reshape(___)</code>.</details>

# %% tags=["core", "workshop", "export", "exercise"]
class Denoiser(nn.Module):
    """Repair y (B, C, H, W) of any size: y minus the noise that `body` finds, at half the size.

    body: (N, 4, h, w) -> (N, 4, h, w), or of 5 channels if told: the fifth is sigma, a number or
    (B, 1, 1, 1), which other nets ignore. CourseError for what is no picture, no sigma."""

    def __init__(self, body, told=False):
        super().__init__()
        self.body, self.told = body, told
        for parameter in [*body.parameters()][-2:]:  # of the last layer
            nn.init.zeros_(parameter)

    def forward(self, y, sigma=None):
        damage.require_pictures(y)
        B, C, H, W = y.shape
        x = F.pad(y.reshape(B * C, 1, H, W), (0, -W % 8, 0, -H % 8), mode="replicate")
        h = F.pixel_unshuffle(x, 2)
        if self.told:
            level = torch.as_tensor(-1 if sigma is None else sigma).to(x).reshape(-1, 1)
            if len(level) not in (1, B) or not ((level >= 0) & (level <= 1)).all():
                raise CourseError("Tell this net one sigma, or one a picture, in 0 to 1: 25 / 255.")
            h = torch.cat([h, level.expand(B, C).reshape(-1, 1, 1, 1).expand_as(h[:, :1])], dim=1)
        ### TODO: the body's noise at x's size; x without it; cropped and shaped as y
        ### BEGIN SOLUTION
        noise = F.pixel_shuffle(self.body(h).float(), 2)  # the body may run in half precision
        return (x - noise)[..., :H, :W].reshape(B, C, H, W)
        ### END SOLUTION


# %% tags=["core", "workshop", "export"]
def dncnn(width=32, depth=8):
    """Return `depth` convolutions with ReLUs between, (N, 4, h, w) -> (N, 4, h, w)."""
    sizes = [(4, width), *[(width, width)] * (depth - 2)]
    layers = [part for size in sizes for part in (conv3(*size), nn.ReLU())]
    for layer in layers[::2]:
        nn.init.kaiming_normal_(layer.weight)  # He et al. (2015): the signal keeps its size
    return nn.Sequential(*layers, conv3(width, 4))


# %% tags=["core", "workshop"]
Denoiser = checks.denoising.denoiser(Denoiser)


def fresh(body, *options, told=False):
    torch.manual_seed(cfg.seed)
    return Denoiser(body(*options), told).to(dev, memory_format=torch.channels_last)


start = F.mse_loss(fresh(dncnn)(seen), x).item()
print(f"loss before training {start:.5f}, sigma squared {noise**2:.5f}")
short, two = replace(cfg, steps=profile(smoke=3, standard=200)), [((seen[:2],), x[:2])] * 200
end = train_denoiser(short, fresh(dncnn), two, label="two patches")["loss"][1][-1]
assert abs(start / noise**2 - 1) < 0.05 and end < profile(smoke=1, standard=0.3) * start

# %% [markdown] tags=["core", "workshop"]
# ## 6 See far, cheaply: a U-Net
#
# Eight convolutions see a window of 34 pixels. To tell fur from noise, farther is better; but layers cost. A **U-Net** looks at several sizes: down twice, where
# a step is worth twice as far and costs a quarter, so that it can afford more channels; then up again. On the way up, at each size, what was known on the way down is *added* (the original concatenates it): the
# **skip connections**. The window grows to about 95 pixels.
#
# ```
# first  (width, 1/2)  ------------- + ->  last  -> noise
#        down (2 width, 1/4)  --- + -> up
#               middle (3 width, 1/8)
# ```
#
# Blocks are residual, $h + f(h)$. `middle` and `up` end at the size of the level above them.

# %% tags=["core", "workshop", "export"]
class Block(nn.Module):
    """Add to h (N, width, h, w) what two convolutions make of it."""

    def __init__(self, width):
        super().__init__()
        self.layers = nn.Sequential(conv3(width, width), nn.ReLU(), conv3(width, width))

    def forward(self, h):
        return h + self.layers(h)


class UNet(nn.Module):
    """Find noise (N, 4, h, w) in (N, inputs, h, w), h and w multiples of 4."""

    def __init__(self, inputs=4, width=32):
        super().__init__()
        a, b, c = width, 2 * width, 3 * width
        self.first = nn.Sequential(conv3(inputs, a), Block(a))
        self.down = nn.Sequential(nn.Conv2d(a, b, 2, 2), Block(b))
        self.middle = nn.Sequential(nn.Conv2d(b, c, 2, 2), Block(c), nn.ConvTranspose2d(c, b, 2, 2))
        self.up = nn.Sequential(Block(b), nn.ConvTranspose2d(b, a, 2, 2))
        self.last = nn.Sequential(Block(a), conv3(a, 4))

    def forward(self, h):
        b = self.down(a := self.first(h))
        return self.last(self.up(self.middle(b) + b) + a)


# %% [markdown] tags=["core", "workshop"]
# The plain net has no shortcuts inside, and gets half the rate. **Predict.** Which net is better after the same number of steps? Will either beat lesson 50's best after less than half a minute?

# %% tags=["core", "workshop"]
UNet = checks.denoising.unet(UNet)


@torch.no_grad()
def repaired(net, y=noisy_test, *sigma):
    return net(y.to(dev), *sigma).cpu().clamp(0, 1)


def dB(x_hat, x=test):  # (7,)
    return damage.psnr(x, x_hat, data_range=1)


found, curve = {"noisy": noisy_test.clamp(0, 1)}, {}
for name, f, grid in (("total variation", damage.total_variation, (0.04, 0.06, 0.08, 0.1, 0.13)),
                      ("non-local means", damage.non_local_means, (0.05, 0.07, 0.09, 0.11, 0.14))):
    best, scores = damage.tune(f, grid, [(tuning, noisy_tuning)])
    found[name] = f(noisy_test, best).clamp(0, 1)
for name, body, lr in (("DnCNN", dncnn, 2e-3), ("U-Net", UNet, cfg.lr)):
    label = f"{name}, {device.count_parameters(net := fresh(body)):,} weights"
    curve[name] = train_denoiser(replace(cfg, lr=lr), net, pairs(), label=label)["loss"]
    found[name] = repaired(net)
unet, fig = net, plots.curves(curve, xlabel="step", ylabel="squared error", smooth=25, log=True)

# %% [markdown] tags=["core", "workshop"]
# And the U-Net once more, with **shipped weights**, made by `python3 -m course_lib.experiments.denoising` with the same functions, for as long as the first line says,
# for all noise levels from 2 to 60, of which it is told. **Predict** its PSNR (longer training, less the price of all levels), on new and on trained scenes.

# %% tags=["core", "workshop"]
trained.load("denoiser", expert := fresh(UNet, 5, told=True), data="photos")
found["U-Net, shipped"] = repaired(expert, noisy_test, noise)
for name, x_hat in found.items():
    each, same = dB(x_hat), damage.ssim(test, x_hat, data_range=1).mean()
    print(f"{name:15} {each.mean():.2f} ± {each.std():.2f} dB, SSIM {same:.3f}")
gain = dB(found["U-Net, shipped"]) - dB(found["non-local means"])
old = dB(repaired(expert, noisy_tuning, noise), tuning).mean() - scores[best]  # trained on these
print(f"shipped, gain: test {gain.mean():.2f} (least {gain.min():.2f}), trained {old:.2f} dB")
assert side < 192 or (gain.min() > 0 and 0.7 < gain.mean() < 1.3 < old)
corners = {3: (0.2, 0.3), 4: (0.33, 0.54), 6: (0.24, 0.22)}  # of details: face, sleeve, eye
rows, found["true"], d = {}, test, int(0.35 * side)
for name in ("noisy", "non-local means", "U-Net, shipped", "true"):
    rows[name] = torch.stack([found[name][k, :, int(i * side) :, int(j * side) :][:, :d, :d]
                              for k, (i, j) in corners.items()])
fig = plots.compare(rows, value_range=(0, 1), scale=2)

# %% [markdown] tags=["core", "workshop"]
# The same loss, the same steps: the U-Net is far ahead of the plain net. But it also has seven times the weights, shortcuts, twice the rate and a wider window; this run cannot say which it is. By PSNR it comes near to lesson 50's best, by SSIM it is
# ahead. The shipped one leads by both rulers, by PSNR on every test crop. On scenes that it was trained on it gains far more: **test on other scenes**. (The noisy row, clipped for the ruler, has half a dB more than $-20 \log_{10} \sigma$. ± is over seven crops of three photographs.)
#
# Look at the flat parts: non-local means leaves a weave of noise, the net does not. But its letters are no easier to read, though their PSNR is higher, and iris and skin are *smooth* where the truth is not: many textures explain $y$, and it shows
# their mean. BM3D was long the best without training; `python3 -m course_lib bench --only denoise` adds it where its package is installed.
#
# ## 7 Play
#
# The net is told `told` times the true sigma, at most 60. At 1 all is right; below, it leaves noise; above, it makes wax. Which costs more?

# %% tags=["core", "workshop"]
views = damage.crops(damage.TEST, 144, grey=False)
views["yours"] = images.fit(datasets.photograph("chelsea"), 144)[None] / 255  # a test scene, too


def play(picture, level, told):
    x, s = views[picture], level / 255
    y = damage.noisy(x, s, device.generator(5))
    sheet = {"noisy": y, "total variation": damage.total_variation(y, 0.8 * s),  # as in lesson 50
             "non-local means": damage.non_local_means(y, 0.9 * s),
             "U-Net": repaired(expert, y, min(told * s, 60 / 255))}
    labels = ["without noise", *(f"{k}\n{dB(v.clamp(0, 1), x).item():.1f} dB" for k, v in sheet.items())]
    return plots.show_images(torch.cat([x, *sheet.values()]).clamp(0, 1), value_range=(0, 1),
                             labels=labels, columns=3)


explore.View(play, [explore.choice("picture", views, "face"), explore.slider("level", 2, 60, 25),
                    explore.slider("told", 0.2, 3.0, 1.0, 0.1)])

# %% [markdown] tags=["deeper", "workshop"]
# **Your own picture.** Cut to a square, it becomes `yours` above. Phones remove noise, so it gets some more.

# %% tags=["deeper", "workshop"]
def own(picture):  # uint8 (3, H, W)
    views["yours"] = images.fit(picture, 144)[None].float() / 255
    return play("yours", 25, 1.0)


explore.upload(own, example=datasets.photograph("chelsea"))

# %% [markdown] tags=["deeper"]
# A net of convolutions takes any size, but its memory grows with the pixels: a phone's 12 megapixels would take gigabytes. Lesson 54 cuts them into tiles.
#
# ## 8 Deeper: which noise level?
#
# Section 1's posterior needs $\sigma$. A net can be trained for one level; for a range, **blind**; or for a range and **told**, by a channel that holds $\sigma$ at every
# pixel. The blind one estimates $\mathbb E[x \mid y]$ all the same, now also over the levels that explain $y$. Is that much worse?
#
# **Predict** the three curves over $\sigma$: where does the net of one level win, and how does it fail below and above?

# %% tags=["deeper"]
levels, span, lines = (5, 15, 25, 35, 50), (2 / 255, 60 / 255), {}
arms = {"only 25": unet, "blind": fresh(UNet), "told": fresh(UNet, 5, told=True)}
for name, net in list(arms.items())[1:]:
    train_denoiser(cfg, net, pairs(span, net.told), label=name)
for name, net in (arms | {"no repair": lambda y, s: y, "told, shipped": expert}).items():
    each = [(s / 255, damage.noisy(test, s / 255, device.generator(2))) for s in levels]
    lines[name] = (levels, [dB(repaired(net, y, s)).mean().item() for s, y in each])
fig = plots.curves(lines, xlabel="noise, sigma x 255", ylabel="PSNR in dB")
assert cfg.steps < 500 or [*lines] == sorted(lines, key=lambda name: lines[name][1][0])  # at 5

# %% [markdown] tags=["deeper"]
# At its own level the one-level net is the best of equal training. At 5 all three short trainings do harm: they end below no repair, and take detail for noise, the one-level net most. Only the shipped one helps. At 50 the one-level net leaves much: it never saw so
# much. Blind lies furthest below told where there is little noise: faint noise and fine texture look the same. Strong noise shows its own level, and there the two lie close together. And told, it leaves the choice to **you** (section 7).
#
# ## 9 Deeper: damage that it was not trained on
#
# **Predict.** Salt and pepper on 5 % of the pixels; noise *blurred* a little, as a phone's is, and brought back to 25; a blur without any noise. What does the shipped net
# make of each, told 25? Told 40?

# %% tags=["deeper"]
grain = damage.Blur(0.7)(torch.randn(test.shape, generator=rng))
cases = {"noise": noisy_test, "salt and pepper": damage.salt_and_pepper(test, 0.05, rng),
         "blurred noise": test + noise * grain / grain.std(), "blur": damage.Blur(1.5)(test)}
for name, y in cases.items():
    told = [repaired(expert, y, s / 255) for s in (25, 40)]
    each = y.clamp(0, 1), *told, damage.median_filter(y, 3).clamp(0, 1)
    print(f"{name:16}", *(f"{dB(part).mean():.2f}" for part in each), "dB (in the figure's order)")
    cases[name] = torch.cat([part[3:4, :, d // 2 :, 2 * d // 3 :][..., :d, :d] for part in each])
fig = plots.compare(cases, value_range=(0, 1), scale=2, caption="Damaged, told 25 and 40, median.")

# %% [markdown] tags=["deeper"]
# An old median beats the net on salt and pepper. Blurred noise looks like texture: neighbours that go up together are what it learned to *keep*. It still takes more away than the median, and told more, it does better (worse on honest noise). A blur it only makes worse:
# nothing in it is noise. Real noise must be modelled, or photographed.
#
# ## 10 Deeper: no clean pictures at all
#
# Who has clean pictures of stars? Let the target be noisy, too: $z = x + \sigma n'$, the same scene with *other* noise. The minimiser of $\mathbb E\,|f(y) - z|^2$ is $\mathbb E[z \mid y]$, by section 1. And
#
# $$ \mathbb E[z \mid y] = \mathbb E[x \mid y] + \sigma\, \mathbb E[n' \mid y] = \mathbb E[x \mid y] , $$
#
# since $n'$ is independent of $y$ and 0 on average: the same function (**Noise2Noise**). Only the gradients are noisier.
#
# **With only one noisy picture of each scene: Noise2Void.** With $z = y$ the best $f$ would be $f(y) = y$. So *hide* some pixels behind a neighbour's value, and
# count the loss there only. From the others a pixel's signal can be guessed, but not its noise, if that is independent.
#
# **Exercise A. Build (★★, 10 minutes).** Hide them. `around` holds the 9 pixels around each, in its last axis; number 4 is the pixel itself.
#
# <details><summary>Hint 1</summary>Draw a number from 0 to 7 for each pixel; from 4 on, one more: that leaves out the middle. <code>gather</code> takes it.</details>
# <details><summary>Hint 2</summary><code>k = torch.randint(8, ___, generator=rng, device=y.device)</code>; <code>around.gather(4, (k + (k >= 4))[..., None])[..., 0]</code>, where hidden.</details>

# %% tags=["deeper", "export", "exercise"]
def hide(y, hidden, rng):
    """Return y (B, C, H, W), one of its 8 neighbours by chance at each pixel of hidden (bool)."""
    around = F.pad(y, (1,) * 4, mode="reflect").unfold(2, 3, 1).unfold(3, 3, 1).flatten(4)
    ### TODO: where hidden, one of the 8 neighbours, all equally likely; else y
    ### BEGIN SOLUTION
    k = torch.randint(8, y.shape, generator=rng, device=y.device)
    return torch.where(hidden, around.gather(4, (k + (k >= 4))[..., None])[..., 0], y)
    ### END SOLUTION

# %% [markdown] tags=["deeper"]
# **Exercise B. Predict (★, 5 minutes).** Three U-Nets of equal steps: two noisy pictures; one noisy, 2 % hidden (the target is nan where nothing counts); clean targets, but *absolute*
# errors. What will the first *loss* end at? Order them and the U-Net of section 6 by PSNR.
#
# <details><summary>Hint 1</summary>Which part of the loss can nobody guess?</details>
# <details><summary>Hint 2</summary>How different are mean and median where the posterior is narrow? And who never sees the pixel that it repairs?</details>

# %% tags=["deeper"]
hide, other = checks.denoising.hide(hide), device.generator(7, dev)
two = ((seen, damage.noisy(x, noise, other)) for seen, x in pairs())
one = (((hide(y, k, other),), y.masked_fill(~k, math.nan)) for (y,), _ in pairs()
       for k in [torch.rand(y.shape, generator=other, device=dev) < 0.02])
for name, source, loss in (("two noisy", two, F.mse_loss), ("absolute", pairs(), F.l1_loss), (
        "one noisy", one, lambda f, z: F.mse_loss(f[z.isfinite()], z[z.isfinite()]))):
    losses = train_denoiser(cfg, net := fresh(UNet), source, loss=loss, label=name)["loss"][1][-50:]
    print(f"{name}: loss at the end {sum(losses) / 50:.5f}, {dB(repaired(net)).mean():.2f} dB")

# %% [markdown] tags=["deeper"]
# With two noisy pictures the loss ends a little above $\sigma^2 = 0.0096$, and on average cannot go below: it is the clean loss plus $\sigma^2$, for the target's noise cannot be guessed. The PSNR comes close to that of clean targets (one seed). A loss that hardly falls is no proof that nothing is learned.
# Absolute errors give nearly the same net: a pixel's posterior has one narrow hump nearly everywhere, where mean and median are close. (The edges of section 1 were chosen to tear them apart.) With one noisy picture it learns from 2 % of the pixels a step, and never sees the
# pixel that it repairs: less, and still far above the noisy picture.

# %% [markdown] tags=["deeper"]
# ## 11 Deeper: a picture from nothing
#
# A denoiser knows where the data are dense. Ask it for a picture that nobody took: begin with grey and noise 60. Repair, go 7 % of the way to the answer, and again, 50 times, always told how much noise
# is left if the answer holds none (after Kadkhodaie and Simoncelli, simplified). Then told only 90 % of it, 80 % and 60 %.
#
# **Predict.** What will appear?

# %% tags=["deeper"]
rows = {}
for share in (1.0, 0.9, 0.8, 0.6):
    s, x = 60 / 255, damage.noisy(torch.full((4, 1, 96, 96), 0.5), 60 / 255, device.generator(3))
    for _ in range(profile(smoke=3, standard=50)):
        x_hat = repaired(expert, x, share * s)
        x, s = x_hat + 0.93 * (x - x_hat), 0.93 * s
    rows[f"told {share:.0%}"] = x_hat.clamp(0.3, 0.7)
fig = plots.compare(rows, value_range=(0.3, 0.7), scale=1, caption="Contrast raised.")

# %% [markdown] tags=["deeper"]
# Told the truth, it finds that grey *explains* what it sees, and takes nearly all of the noise away; a few scratches are its own. Told a little less, it takes the rest for signal, and each step makes more of it: shreds with edges and shadows. Told much less, it leaves the noise. Pictures from nothing, but of
# nothing: at noise 60 only fine structure is in doubt. To dream of large forms, a net must be trained up to noise that drowns everything. Part 7 goes through this door.
#
# ## 12 Break it on purpose
#
# No error: the noisy picture is *clipped* before it is repaired, as every file is. **Predict** what that costs on a dark picture, and on the usual ones.

# %% tags=["deeper"]
for name, x in {"dark": 0.2 * test, "usual": test}.items():
    for how, top in {"as it is": 9, "clipped": 1}.items():
        y = damage.noisy(x, noise, device.generator(9)).clamp(1 - top, top)
        error = repaired(expert, y, noise) - x
        print(f"{name:5} {how:8} {dB(x + error, x).mean():.2f} dB, mean error {error.mean():+.4f}")

# %% [markdown] tags=["deeper"]
# Clipped noise is no longer 0 on average: dark places come out too light, and the usual pictures lose nearly what the net gained over non-local means. This lesson's numbers are for noise that no file holds; the remedy is to clip in training, too.
#
# Bytes, NaN, no sigma or one of 25 for a told net, targets of another shape end in a sentence. Odd and one pixel wide pictures work.
#
# ## 13 Exercises
#
# A and B are in section 10.
#
# **C. Debug (★★, 10 minutes).** "My denoiser has 45 dB at noise 25." Find two faults. Which one explains so much?
#
# ```python
# noise = 25 / 255 * torch.randn(1, 1, 64, 64)
# patches = cut(all_photographs); test, train = patches[::10], patches      # patches overlap
# loss = F.mse_loss(net(x + noise), x)           # x from train; scored with x from test
# ```
#
# <details><summary>Hint 1</summary>How often is noise drawn?</details>
# <details><summary>Hint 2</summary>Do test and training patches share pixels? Section 6 has priced that.</details>

# %% tags=["deeper"]
x = torch.cat([*damage.crops(damage.TEST, 64).values()])
same, net = noise * torch.randn(1, 1, 64, 64, generator=rng), fresh(UNet)
train_denoiser(cfg, net, (((x + same.to(dev),), x) for _, x in pairs()), label="one noise")
old, new = (dB(repaired(net, y), x).mean() for y in (x + same, damage.noisy(x, noise, rng)))
print(f"the same noise {old:.1f} dB, fresh noise {new:.1f} dB")

# %% [markdown] tags=["deeper"]
# The same noise always, in the test too: the net learns *it* by heart, and subtracts it; of other noise it takes nearly nothing away. And the test patches are trained on; even without those, their neighbours overlap: split by scene.

# %% [markdown] tags=["core", "workshop"]
# ## 14 To discuss, and to keep
#
# <details><summary><b>R6.</b> "Trained on 64 x 64 patches, it must fail on a photograph of 512 x 512." True?</summary>No: each answer of a convolution sees its own neighbourhood only, wherever it is. A layer of fixed size
# would fail.</details>
# <details><summary><b>R12.</b> "MSE, GANs and CNNs are three rival methods of repair." What is wrong?</summary>They answer three questions: a loss, a way to train, an architecture. A CNN may be trained with squared errors, or in a GAN.</details>
# <details><summary><b>To discuss.</b> Should a doctor, a judge, a wedding photographer get the mean, the median, or a sample that looks sharp?</summary>The mean shows doubt as blur. A sharp sample looks like knowledge and is one guess of many.</details>
#
# **Summary**
#
# - Squared errors make a network estimate the mean of all clean pictures that explain the noisy one, absolute errors their median. The mean blurs where they differ.
# - What a denoiser changes, over $\sigma^2$, is the score of noisy data.
# - Predict the noise, work at half the size, look at several scales: ten minutes of training on a CPU beat lesson 50's best by PSNR and SSIM.
# - Noisy targets have the same minimiser as clean ones, as long as their noise is independent of the input.
# - A network knows its training: split by scene, and model the noise that you have.
#
# **Later lessons import** `Denoiser`, `UNet`, `train_denoiser`, `training_pictures`, `clean_patches`, `noisy_pairs`, and weights `denoiser`. **Limits:** independent Gaussian noise, nine training photographs, each colour alone.
#
# **Papers.** Robbins (1956), *An empirical Bayes approach to statistics* · Zhang et al. (2017), *Beyond a Gaussian denoiser*, section III · Zhang et al. (2018), *FFDNet* · Ronneberger et al. (2015), *U-Net* · Lee et al. (2001),
# *Occlusion models for natural images* · Lehtinen et al. (2018), *Noise2Noise*, section 2 · Krull et al. (2019), *Noise2Void* · Dabov et al. (2007), *Image denoising by sparse 3-D transform-domain collaborative filtering* ·
# He et al. (2015), *Delving deep into rectifiers* · Kadkhodaie and Simoncelli (2021), *Stochastic solutions for linear inverse problems*.
