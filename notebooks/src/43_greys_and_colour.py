# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown] tags=["core", "workshop"]
# # 43 Draw greys and colours, fast
#
# You will build a generator that learns from single pixels and draws digits in 256 greys in seconds. Deeper, it finishes damaged
# digits in several ways, ranks them, and paints in colour.
#
# ![Damaged digits, the heaviest and the lightest answers, and the true digits](../data/pictures/43-029.png)
#
# | | |
# |---|---|
# | **You need** | bits/dim (lesson 01), the chain rule and sampling (lesson 40); masks (lesson 42) help |
# | **Time** | 60 minutes for the core, 100 more for the rest; the notebook itself runs in 4 minutes on two cores |
# | **Machine** | no GPU, no network, 1 GB of memory |
#
# When you are through, you can
#
# 1. turn guessing pixels into an ordinary classification, and cut out the window that a guess may see,
# 2. study some kinds of pixels more than others, without bias,
# 3. draw with one guess a pixel, bit for bit what the plain sampler draws, and say what both cost as pictures grow,
# 4. deeper: complete a picture in several ways, weighed by the known pixels *after* the hole,
# 5. deeper: choose between 256 classes and a curve, and put colours in order.
#
# > **Remember.** Given its window, a pixel is one small classification. So training may study single pixels, of some kinds
# > more often, if each kind counts by its true share; and drawing needs one window a pixel.

# %% tags=["core", "workshop", "export"]
import copy
import math
from dataclasses import dataclass, replace
from itertools import pairwise, product

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import checks, datasets, device, explore, plots, training
from course_lib.built import gan, vae  # lessons 20 and 31
from course_lib.built.score_a_generator import NeighbourTable, bits_per_dim
from course_lib.settings import CourseError, data_name, profile


@dataclass
class Config:
    """The numbers of lesson 43; `profile` picks the value for the profile that you run in."""

    steps: int = profile(smoke=15, standard=1500, full=20000)
    batch_size: int = 512  # pixels of the first steps; the last have four times as many
    lr: float = 2e-3  # the highest; it falls along half a cosine
    measure_every: int = 50  # steps
    seed: int = 0


# %% [markdown] tags=["core", "workshop"]
# ## 1 The data: 256 greys
#
# Lesson 40 made every pixel ink or paper, by a toss. Now the greys stay: a pixel has one of $L = 2^b$ **levels**, and a guess is $L$
# probabilities. Without an opinion it costs $\log_2 L = b$ bits. So 0.5 bits/dim is poor for one
# bit a pixel, and splendid for eight. Below, the same digits at $b$ = 8, 4, 2 and 1, cut by a shift, `x >> (8 - b)`. Axes: N pictures, H
# rows, W columns, D = HW pixels of a picture, B single pixels.

# %% tags=["core", "workshop"]
cfg, dev = Config(), device.pick_device()
rng = device.generator(cfg.seed, dev)  # which pixels are studied
torch.manual_seed(cfg.seed)  # the layers' first weights
train, test = (datasets.load(data_name(), part, size=n).images[:, 0].to(dev) for part, n in (
    ("train", profile(smoke=1000, standard=20000)), ("test", profile(smoke=20, standard=200))))
shown = {f"{b} bit{'s' * (b > 1)}": (test[:10].cpu() >> 8 - b) / (2**b - 1) for b in (8, 4, 2, 1)}
fig = plots.compare(shown, value_range=(0, 1), columns=6, scale=3)

# %% [markdown] tags=["core", "workshop"]
# ## 2 What a guess may see
#
# A PixelCNN's masked convolution followed by 1x1s is a multilayer perceptron (MLP) that slides over the
# picture, the same for all pixels, on a **window** of earlier ones. We keep window and MLP, and drop the convolution. What is
# left is lesson 14's task: a window goes in, one of $L$ classes comes out.
#
# | symbol | variable | shape |
# |---|---|---|
# | $x$; a picture's number, a pixel's, row x W + column | `images`; `n`, `q` | uint8 (N, H, W); (B,) each |
# | $c$, what is seen | `seen`, of K offsets | (B, K) bytes |
# | $\ln p(x_q \mid c)$ plus a constant | `logits` | (B, L) |
# | $-\ln p(x_q \mid c)$ | `surprise` | (B,) nats |
# | $\ell_q$ in stratum $k$; $N_k$ (section 3) | `parts`; `sizes` | (B_k,) each; numbers |
# | $\ln w$ (section 5) | `log_weight` | (n,) |
#
# **Your turn (★, 4 min).** The window has `height` rows, the last of them the pixel's own, and `width` columns, the pixel in the
# middle. List the offsets (row, column), from the pixel, of those that raster order draws before it; for 3 x 7, those marked #. (Codes like A5 number the course's
# list of bugs.)
#
# ```
# # # # # # # #
# # # # # # # #
# # # # ? . . .
# ```
#
# <details><summary>Hint 1</summary>All of the rows above; in the pixel's own row what is to the left. Python compares pairs in
# raster order, too.</details>
# <details><summary>Hint 2</summary><code>[(row, column) for row, column in product(rows, columns) if (row, column) < ___]</code></details>

# %% tags=["core", "workshop", "export", "exercise"]
def near(height, width):
    """Return offsets (row, column), nearest first, of earlier pixels; CourseError at even width."""
    if height < 1 or width % 2 == 0:
        raise CourseError(f"A window of {height} x {width} has no middle: make the width odd.")
    rows, columns = range(1 - height, 1), range(-(width // 2), width // 2 + 1)
    ### TODO: a list of those offsets (row, column) of the window that raster order draws before
    ### BEGIN SOLUTION
    before = [(row, column) for row, column in product(rows, columns) if (row, column) < (0, 0)]
    ### END SOLUTION
    return sorted(before, key=lambda offset: offset[0] ** 2 + offset[1] ** 2)


# %% tags=["core", "workshop"]
near = checks.greys_and_colour.near(near)

# %% [markdown] tags=["core", "workshop"]
# A black margin gives every pixel a whole window; `unfold` (lesson 12) makes a view of all windows; we copy those that are asked for.
#
# What is the net told? The guess must name one *exact* level, which depends on the exact levels near by. A number alone changes
# smoothly; its bits let the net tell 127 from 128. So it gets each neighbour's value (0 to 2) and whether it has ink, 84 + 84 inputs; the eight bits of the nearest
# twelve, 96; and, **one-hot**, row and column, 56, since a digit's middle is not its rim, nor a margin black paper. The MLP is lesson 31's
# residual one; its last layer starts at zero. **Predict** the bits/dim before training. And which axes has the view `windows`?

# %% tags=["core", "workshop", "export"]
class Sight(nn.Module):
    """What a net is told of a pixel: bytes below levels in a window, and, if `places`, where."""

    def __init__(self, levels, shape, window, places):
        super().__init__()
        self.levels, self.shape, self.places, self.window = levels, shape, places, window
        self.up, self.side = window[0] - 1, window[1] // 2
        keep = [(self.up + row) * window[1] + self.side + column for row, column in near(*window)]
        self.register_buffer("keep", torch.tensor(keep), persistent=False)

    def canvas(self, images):
        """Return uint8 images (N, H, W) with black margins; CourseError if they do not suit."""
        if images.dtype != torch.uint8 or int(images.max()) >= self.levels:
            raise CourseError(f"Pass bytes < {self.levels}, not {images.dtype} to {images.max()}.")
        if images.shape[1:] != self.shape and (self.places or images.ndim != 3):
            raise CourseError(f"The net knows {[*self.shape]}; with places=False, any size.")
        return F.pad(images, (self.side, self.side, self.up, 0))

    def near(self, canvas, n, q):
        """Return the bytes near the pixels q (B,) of pictures n (B,): (B, offsets)."""
        windows = canvas.unfold(1, self.window[0], 1).unfold(2, self.window[1], 1)  # a view
        return windows[n, q // windows.shape[2], q % windows.shape[2]].flatten(1)[:, self.keep]


# %% tags=["core", "workshop", "export"]
class PixelNet(Sight):
    """Logits (B, levels) of single pixels; before training all levels are alike."""

    def __init__(self, levels, shape=(28, 28), window=(7, 13), *, hidden=256, places=True, outputs=None):
        super().__init__(levels, shape, window, places)
        canvas, one = self.canvas(torch.zeros(1, *shape).byte()), torch.zeros(1).long()
        self.net = vae.residual_mlp(self.inputs(canvas, one, one).shape[1], hidden, 2, outputs or levels)
        for weights in self.net[-1].parameters():
            nn.init.zeros_(weights)

    def inputs(self, canvas, n, q, kind=torch.float32):
        """Return what the net is told of the pixels, (B, inputs)."""
        seen, (H, W) = self.near(canvas, n, q), self.shape  # seen: nearest first
        bits = torch.arange((self.levels - 1).bit_length(), dtype=torch.uint8, device=q.device)
        told = [seen / (self.levels / 2), seen > 0, (seen[:, :12, None] >> bits & 1).flatten(1)]
        where = [F.one_hot(q // W, H), F.one_hot(q % W, W)] if self.places else []
        return torch.cat([part.to(kind) for part in told + where], dim=1)

    def forward(self, canvas, n, q):
        kind = self.net[0].weight.dtype
        return self.net(self.inputs(canvas, n, q, kind)).to(kind)

    def surprise(self, canvas, n, q, v):
        """Return -ln p (B,), in nats, of the values v (B,) of pixels q of pictures n."""
        return F.cross_entropy(self(canvas, n, q), v.long(), reduction="none")


# %% tags=["core", "workshop", "export"]
@torch.no_grad()
def bits_per_pixel(net, images):
    """Return each pixel's bits, float64 (N, H, W) on the CPU; their mean is bits/dim."""
    canvas, D, nats = net.canvas(images), images[0].numel(), []
    for at in torch.arange(images.numel(), device=images.device).split(8192):
        with device.fast_autocast(at.device):
            nats.append(net.surprise(canvas, at // D, at % D, images.flatten()[at]).cpu().double())
    return torch.cat(nats).view(images.shape) / math.log(2)


# %% tags=["core", "workshop"]
net = PixelNet(256).to(dev)
print(f"{device.count_parameters(net):,} weights, {bits_per_pixel(net, test[:9]).mean():.4f} bits")

# %% [markdown] tags=["core", "workshop"]
# 8 bits, since all levels are alike. The view has the axes N, H, W, rows, columns.
#
# ## 3 Which pixels to study
#
# Neighbours share most of their windows and teach nearly the same. So a batch is not whole pictures, but 512 *single* pixels.
#
# And which? Most are black, far from ink, and soon cost next to nothing; the bits are in the greys. So we sort pixels into **strata**
# (layers): ink, black beside ink, and far black make up 65, 25 and 10 % of a batch. Is that no bias? With $\ell_q$ a pixel's surprise, the loss
# over all $N$ pixels is
#
# $$ \frac1N \sum_{q} \ell_q = \sum_k \frac{N_k}{N} \Big( \frac{1}{N_k} \sum_{q \in k} \ell_q \Big) \approx \sum_k \frac{N_k}{N} \Big( \frac{1}{B_k} \sum_{\text{drawn in } k} \ell_q \Big), $$
#
# and the mean of $B_k$ draws in stratum $k$ has the right expectation, however large or small $B_k$ is. Only the weights $N_k / N$ must be the true
# shares. This is **stratified sampling** with importance weights. (The stratum looks at the answer itself, ink or black, and at what comes
# after. That is no leak: it chooses the question, and is not told to the net.)
#
# **Your turn (★★, 6 min).** Write the estimate. Black pictures have empty strata, and the mean of nothing is nan.
#
# <details><summary>Hint 1</summary>The mean of each part, times its size over the sum of all. Leave out those of size 0.</details>
# <details><summary>Hint 2</summary><code>sum(size / ___ * part.___() for part, size in zip(parts, sizes) if ___)</code></details>

# %% tags=["core", "workshop", "export", "exercise"]
def strata(images):
    """Return the numbers, among all pixels of images, of ink, of black beside ink, and of far."""
    close = torch.cat([F.max_pool2d((part > 0).float(), 3, 1, 1) > 0 for part in images.split(4000)])
    return [kind.flatten().nonzero()[:, 0].int() for kind in (images > 0, close & (images == 0), ~close)]


def unbiased_mean(parts, sizes):
    """Estimate the mean over all pixels from parts (B_k,), each drawn in a stratum of that size."""
    ### TODO: the sum of the strata's means, each times the stratum's share of all pixels
    ### BEGIN SOLUTION
    pairs = zip(parts, sizes, strict=True)
    return sum(size / sum(sizes) * part.mean() for part, size in pairs if size)
    ### END SOLUTION


# %% tags=["core", "workshop"]
unbiased_mean = checks.greys_and_colour.unbiased_mean(unbiased_mean)

# %% [markdown] tags=["core", "workshop"]
# **The loop** has nothing new but the picking. Batches double twice on the way, lest noise drown the small late steps.
#
# First a copy learns ten digits by heart: as they differ, at least $\log_2 10$ bits each (lesson 40), or $3.32 / 784 = 0.0042$ bits/dim.
#
# **Predict.** Lesson 01's table of the left and upper neighbour is the baseline. How many bits/dim does the net save? Which
# share of the pixels is far black, which share of the bits do these cost, and where are the dear pixels?

# %% tags=["core", "workshop", "export"]
def train_pixels(cfg, net, images, rng, *, estimate=unbiased_mean, shares=(0.65, 0.25, 0.1),
                 should_stop=training.never_stop, view=None, label="training"):
    """Minimise the bits/dim of uint8 images (N, H, W); return the history. CourseError at nan."""
    canvas, groups, D = net.canvas(images), strata(images), images[0].numel()
    sizes, values = [len(group) for group in groups], images.flatten()
    optimiser, good = torch.optim.AdamW(net.parameters(), betas=(0.9, 0.99), fused=True), None
    with training.progress(cfg.steps, should_stop, view, label=label) as run:
        for step in run:
            falling = (1 + math.cos(math.pi * run.fraction)) / 2
            optimiser.param_groups[0]["lr"] = cfg.lr * falling * min(1, (step + 1) / 100)
            count = cfg.batch_size * 2 ** round(2 * run.fraction)  # few sizes: memory is used again
            picked = [group[torch.randint(size or 1, (math.ceil(share * count * (size > 0)),),
                                          generator=rng, device=rng.device)].long()
                      for group, size, share in zip(groups, sizes, shares, strict=True)]
            at = torch.cat(picked)
            with device.fast_autocast(at.device):
                cost = net.surprise(canvas, at // D, at % D, values[at])
            loss = estimate(cost.split([len(part) for part in picked]), sizes)
            if step % cfg.measure_every == 0:
                good = gan.or_stop([net], good, nats=loss.item())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            run.log(bits=loss / math.log(2))
    return run.history


# %% tags=["core", "workshop"]
few, twin = replace(cfg, steps=profile(smoke=3, standard=600), batch_size=128, lr=5e-3), copy.deepcopy(net)
train_pixels(few, twin, train[:10], device.generator(2, dev), label="ten digits, again and again")
heart, others = (bits_per_pixel(twin, x).mean() for x in (train[:10], test))
print(f"ten digits cost 8 bits/dim, learned by heart {heart:.4f}, but test digits {others:.2f}")
assert math.log2(10) / 784 < heart < profile(smoke=8, standard=0.3)
train_pixels(cfg, net, train, rng, label="8 bits", view=lambda run: plots.curves(
    {"training": run.history["bits"]}, xlabel="step", ylabel="bits/dim", smooth=50))
table, bits = NeighbourTable().fit(train[:, None].cpu()), bits_per_pixel(net, test)
nats = -table.log_likelihood(test[:, None].cpu()).mean().item()
scores = {"left+up table": bits_per_dim(nats, 784), "PixelNet": bits.mean().item()}
for name, at in zip(("ink", "beside ink", "far black"), strata(test.cpu()), strict=True):
    part = bits.flatten()[at.long()]
    print(f"{name}: {len(part) / bits.numel():.0%} of the pixels, {part.sum() / bits.sum():.1%} of the bits")
fig = plots.bars(scores, ylabel="bits/dim on test digits, less is better")
fig = plots.show_images(bits[:10].clamp(max=8), value_range=(0, 8), columns=10, scale=2)
assert scores["PixelNet"] < profile(smoke=8, standard=0.9 * scores["left+up table"])

# %% [markdown] tags=["core", "workshop"]
# Compare the bars: the net pays clearly less than the table of two neighbours. In the pictures a pixel is the brighter the more bits it costs:
# outlines are dear, and so is where a stroke begins. Far black, most of the pixels, costs next to nothing, and would have
# filled most of every batch. (Section 9 measures what strata are worth.)
#
# ## 4 Draw, and draw fast
#
# To draw: ask for the first pixel's probabilities, draw, write it down, go on. The **plain** way, lesson 40's, lets the model guess *all* pixels
# anew for each pixel, and throws all guesses but one away: $D \cdot D$ windows a picture.

# %% tags=["core", "workshop", "export"]
def draw(logits, rng):
    """Draw a value (B,) for each row of logits (B, levels), by one random number a row."""
    below = logits.double().softmax(dim=1).cumsum(dim=1)
    u = torch.rand(len(below), 1, generator=rng, dtype=torch.float64) * below[:, -1:]
    return torch.searchsorted(below, u, right=True)[:, 0].clamp(max=logits.shape[1] - 1)


def easel(net, n):
    """Return the net in float64 on the CPU, a black canvas and, a view, its n pictures."""
    net = copy.deepcopy(net).cpu().double()
    canvas = net.canvas(torch.zeros(n, *net.shape).byte())
    return net, canvas, canvas[:, net.up :, net.side : net.side + net.shape[1]]


@torch.no_grad()
def sample_plain(net, n, rng):
    """Draw n pictures uint8 (n, H, W); for each pixel the net guesses all pixels of them all."""
    net, _, paper = easel(net, n)
    at, D = torch.arange(paper.numel()), paper[0].numel()
    for pixel, (row, column) in enumerate(product(*map(range, net.shape))):
        logits = net(net.canvas(paper), at // D, at % D).view(n, D, -1)
        paper[:, row, column] = draw(logits[:, pixel], rng).byte()
    return paper.clone()


# %% [markdown] tags=["core", "workshop"]
# One guess is enough: $D$ windows a picture. The canvas is kept from pixel to pixel, so this is called **cached**.
#
# Will it be the same picture? In exact arithmetic, yes. But a matrix product of another shape may add in another order; the last digits
# differ, and now and then the random number falls just between. So both samplers compute in float64, where that hardly
# ever happens, with *one* random number $u$ a pixel: drawn is the first level whose cumulated probability is above $u$.
#
# **Your turn (★★, 8 min).** Write the turn of one pixel. The paper is a view into the canvas: what you write on it, the net sees next.
#
# <details><summary>Hint 1</summary>The net takes the canvas, pictures' numbers and pixels' numbers: all n pictures, the
# same pixel in each.</details>
# <details><summary>Hint 2</summary><code>logits = net(canvas, ___, ___)</code>, then <code>paper[:, row, column] = draw(___, rng).byte()</code></details>

# %% tags=["core", "workshop", "export", "exercise"]
@torch.no_grad()
def sample(net, n, rng, *, given=None, known=None):
    """Draw the pictures of `sample_plain`; one is `given` (H, W) where the mask `known` is True."""
    net, canvas, paper = easel(net, n)
    known = torch.zeros(net.shape).bool() if known is None else known
    if known.shape != net.shape or given is not None and given.shape != net.shape:
        raise CourseError(f"Pass given and known, {[*net.shape]} each.")
    paper[:] = paper if given is None else given.where(known, 0)
    for row, column in (~known).nonzero().tolist():
        everyone, q = torch.arange(n), torch.full((n,), row * net.shape[1] + column)
        ### TODO: this pixel's logits in all n pictures; a draw from them, as bytes, onto the paper
        ### BEGIN SOLUTION
        logits = net(canvas, everyone, q)
        paper[:, row, column] = draw(logits, rng).byte()
        ### END SOLUTION
    return paper.clone()


# %% tags=["core", "workshop"]
sample = checks.greys_and_colour.sample(sample)
with device.measure() as spent:
    digits = sample(net, 64, device.generator(1))
print(f"64 digits in {spent.cpu_seconds:.1f} CPU seconds")
assert spent.cpu_seconds < 20
fig = plots.show_images(digits[:40], value_range=(0, 255), columns=10, scale=2)

# %% [markdown] tags=["core", "workshop"]
# Strokes of an even width with soft outlines, now and then a digit: the net sees only six rows up.
#
# **Predict.** A picture twice as wide and high has four times the pixels. How much longer does one *pixel* of it take, in both ways? And at
# 28 x 28, how many times faster is the cached way?

# %% tags=["core", "workshop"]
sides, costs = profile(smoke=(3, 6), standard=(7, 10, 14, 20, 28)), {"plain": [], "cached": []}
for side in sides:
    small, found = PixelNet(256, (side, side), hidden=32), []
    nn.init.normal_(small.net[-1].weight)
    for name, way in {"plain": sample_plain, "cached": sample}.items():
        with device.measure() as spent:
            found.append(way(small, 2, device.generator(2)))
        costs[name].append(1000 * spent.cpu_seconds / found[0].numel())
    assert torch.equal(*found), "the two ways differ"
lines = {name: ([math.log2(side**2) for side in sides], cost) for name, cost in costs.items()}
fig = plots.curves(lines, xlabel="log2 of a picture's pixels", ylabel="CPU ms a pixel", log=True)
print(f"28x28: plain takes {(ratio := costs['plain'][-1] / costs['cached'][-1]):.0f} times as long")
assert ratio > profile(smoke=0, standard=10)

# %% [markdown] tags=["core", "workshop"]
# Cached, about the same in a picture of any size; plain, towards four times as long, as the fixed costs of a call fade. So a whole picture costs
# $\propto D$ or $\propto D^2$. At 28 x 28 that is 784 times fewer windows, but not 784 times less time: a product of many rows uses the
# processor far better. And the pictures are equal, bit for bit. (A deep PixelCNN must keep the newest rows of every layer:
# Ramachandran et al. 2017. Our windows lie on the picture itself, so the picture is the cache.)

# %% [markdown] tags=["deeper"]
# ## 5 Deeper: complete what is damaged
#
# Known pixels are kept, unknown ones drawn: `sample` can do it. But it ignores what is known *after* the hole, lesson 40's limit. Call *after* every known pixel that follows the first unknown one in raster order, so
# also those to the right of the hole, and between its rows. By the chain rule
#
# $$ p(\text{hole}, \text{after} \mid \text{before}) = \prod_{q \in \text{hole}} p(x_q \mid \text{all earlier}) \; \prod_{q \in \text{after}} p(x_q \mid \text{all earlier}) , $$
#
# and what we want, $p(\text{hole} \mid \text{before}, \text{after})$, is that, divided by a number that no answer changes. From the first product `sample` draws. The second is
# the weight $w$: one pass over the finished picture *scores* it. So draw $n$ answers, and divide each weight by the sum over all: **self-normalised
# importance sampling** (right for many answers, biased for few). An answer that the known strokes do not continue loses.
#
# How many are left? $n_{\text{eff}} = 1 / \sum_i w_i^2$, the **effective sample size**: $n$ if all weigh alike, 1 if one has everything.
#
# **Your turn (★★, 12 min).** Which pixels count? Then sum $\ln p$ over them; `bits` holds $-\log_2 p$ of every pixel.
#
# <details><summary>Hint 1</summary>Walk through the flattened mask: a cumulated sum of the unknown ones is above 0 from the
# first on. Bits times ln 2 are nats.</details>
# <details><summary>Hint 2</summary><code>after = known & (___.flatten().cumsum(dim=0).view(known.shape) > 0)</code>; then
# <code>-math.log(2) * bits[:, ___].sum(dim=1)</code></details>
#
# **Predict.** Holes of 2, 4 and 8 rows, 64 answers to each: how many are left? (In brackets: how far the heaviest
# is ahead of the typical answer, the median.)

# %% tags=["deeper", "export", "exercise"]
def complete(net, n, rng, given, known):
    """Draw n answers to what is not known of given (H, W); return them, ln p(after) (n,)."""
    found = sample(net, n, rng, given=given, known=known)
    bits = bits_per_pixel(easel(net, n)[0], found)  # (n, H, W)
    ### TODO: after, bool (H, W): known, and an unknown pixel before; then log_weight (n,) in nats
    ### BEGIN SOLUTION
    after = known & ((~known).flatten().cumsum(dim=0).view(known.shape) > 0)
    log_weight = -math.log(2) * bits[:, after].sum(dim=1)
    ### END SOLUTION
    return found, log_weight


# %% tags=["deeper"]
complete = checks.greys_and_colour.complete(complete)


def answers(x, top, left, height, width, n, net=net):  # damaged, answers, heaviest first, weights
    known = F.pad(torch.zeros(height, width), (left, 28 - left - width, top, 28 - top - height), value=1) > 0
    found, log_weight = complete(net, n, device.generator(3), x, known)
    order = log_weight.argsort(descending=True)
    return x.where(known, x.new_tensor(90)), found[order], log_weight[order].softmax(dim=0)


columns, n = [], profile(smoke=3, standard=64)
for height, x in zip((2, 4, 8) * profile(smoke=1, standard=3), test.cpu(), strict=False):
    damaged, found, w = answers(x, 10, 5, height, 18, n)
    columns.append([damaged, *found[[0, 1, -2, -1]], x])
    print(f"{height} rows: {1 / (w @ w):.1f} (10^{(w[0] / w[n // 2]).log10():.0f})", end="; ")
names = "damaged", "heaviest", "second", "last but one", "lightest", "true"
rows = {name: torch.stack(row) for name, *row in zip(names, *columns, strict=True)}
fig = plots.compare(rows, value_range=(0, 255), columns=len(columns), scale=2)

# %% [markdown] tags=["deeper"]
# Few: one, two, at best a handful, even of the flattest holes. Weights are products of many factors: the heaviest answer is ahead of the
# typical one by many powers of ten, of the second often by a factor of a few. Yet it is only the best of 64, and its share no certainty. **A small
# effective sample size is the alarm**: draw more, or make the hole smaller. Still, compare the rows: the heaviest answers run into the strokes below,
# in low holes mostly as the true digit does, in holes of eight rows as another figure; the lightest often end in the air.
#
# **Play.** Place a hole. Under each answer stands its weight.

# %% tags=["deeper"]
def draw_answers(digit, top, height):
    damaged, found, w = answers(x := test[digit].cpu(), top, 8, height, 10, profile(smoke=6, standard=60))
    return plots.show_images(torch.stack([damaged, *found[:6], x]), value_range=(0, 255), columns=8,
                             labels=["damaged", *(f"{p:.0%}" for p in w[:6]), "true"])


explore.View(draw_answers, [explore.slider("digit", 0, 19, 3), explore.slider("top", 0, 24, 11),
                            explore.slider("height", 1, 12, 2)])

# %% [markdown] tags=["deeper"]
# ## 6 Deeper: what a bit of depth costs
#
# Cut a byte into its bits, the largest first. By the chain rule a pixel's surprise splits: $p(v) = p(\text{first}) \,
# p(\text{second} \mid \text{first}) \cdots$. The probability of the first bits is
# the sum over all levels that share them.
#
# **Predict.** Which bit costs most? And does a net that sees and guesses *only* the first bit pay less for it than an 8-bit net with as many CPU
# seconds (training prints the clock's)? Beside stands `net`, which had more.

# %% tags=["deeper"]
def trained(kind, levels, images, seconds, name, how, **options):
    torch.manual_seed(cfg.seed)
    model, stop = kind(levels, (*images.shape[1:],), **options).to(dev), training.Budget(seconds)
    train_pixels(replace(cfg, steps=10**6), model, images, rng, should_stop=stop, label=name, **how)
    return model


few, seconds = test[:50], profile(smoke=0.2, standard=5.0)
at, v = torch.arange(few.numel(), device=dev), few.flatten().long()
own = {b: trained(PixelNet, 2**b, train >> 8 - b, seconds, f"depth {b}", {}) for b in (1, 2, 4, 8)}


@torch.no_grad()
def first_bits(model):  # bits/dim of the first 0, 1, ... 8 bits, under a net of 8
    log_p = model(model.canvas(few), at // 784, at % 784).log_softmax(dim=1)  # (39200, 256)
    shared = [log_p.unflatten(1, (2**b, -1)).logsumexp(dim=2) for b in range(9)]
    return [bits_per_dim(F.nll_loss(p, v >> 8 - b).item(), 1) for b, p in enumerate(shared)]


costs, same = first_bits(net), first_bits(own[8])
for b, model in own.items():
    alone = bits_per_pixel(model, few >> 8 - b).mean()
    print(f"depth {b}: own net {alone:.3f}, 8-bit net {same[b]:.3f}, net {costs[b]:.3f}")
    assert data_name() != "strokes" or b > 1 or same[b] < profile(smoke=9, standard=0.95 * alone)
print(f"{((v > 0) & (v < 255)).double().mean():.1%} of the pixels are neither black nor white")
each = {f"bit {b}": later - first for b, (first, later) in enumerate(pairwise(costs), start=1)}
fig = plots.bars(each, ylabel="bits/dim of the core's net")


# %% [markdown] tags=["deeper"]
# The late bits cost most, though hardly anybody sees them: about a toss at every grey pixel (compare the printed share). The exact grey of an outline is
# nearly chance, and bits/dim at 8 bits mostly scores that; *shapes* are in the first bits. The first two numbers of a line are a fair
# race. At the first bit the 8-bit net wins clearly, since it is told more: an outline's grey says where between two pixels the edge runs. At 2 and 4 bits
# the lead is small, or gone.
#
# ## 7 Deeper: classes, or a curve?
#
# A softmax learns each level from examples of its own. PixelCNN++ (Salimans et al. 2017) guesses a
# *curve*: a mixture of $J$ logistics, cut into levels as lesson 32 cut one. A level's probability is the area over it,
#
# $$ p(v) = \sum_j \pi_j \left[ \sigma\Big(\frac{v + \frac12 - \mu_j}{s_j}\Big) - \sigma\Big(\frac{v - \frac12 - \mu_j}{s_j}\Big) \right], $$
#
# and black and white take the tails: $3J$ numbers a pixel instead of 256. (In the code black is -1 and white 1, so a level is $2/(L-1)$ wide.)
#
# **Exercise A. Build (★★, 10 minutes).** The three pieces of a logistic are there. Put them together.
#
# <details><summary>Hint 1</summary>Each logistic: <code>below</code> at level 0, <code>above</code> at the highest, <code>inner</code> between. A sum of
# probabilities is a logsumexp of logarithms; the weights' logarithms are a log_softmax.</details>
# <details><summary>Hint 2</summary><code>torch.where(v == 0, below, torch.where(v == ___, above, inner))</code>; then
# <code>torch.logsumexp(weight.log_softmax(dim=1)[..., None] + ___, dim=1)</code>.</details>

# %% tags=["deeper", "export", "exercise"]
def mixture_log_probs(weight, mean, log_scale, v, levels):
    """Return ln p (B, M) of v (B or 1, M) under J cut logistics (Salimans et al. 2017, 2.1)."""
    half, v = 1 / (levels - 1), v[:, None]  # v (B, 1, M) against (B, J, 1)
    apart, scale = v * 2 * half - 1 - mean[..., None], log_scale.exp()[..., None]
    below, above = F.logsigmoid((apart + half) / scale), F.logsigmoid((half - apart) / scale)
    inner = below + above + torch.log(-torch.expm1(-2 * half / scale))  # lesson 32's formula
    ### TODO: each logistic's ln p (B, J, M), black and white take the tails; then the mixture's
    ### BEGIN SOLUTION
    each = torch.where(v == 0, below, torch.where(v == levels - 1, above, inner))
    return torch.logsumexp(weight.log_softmax(dim=1)[..., None] + each, dim=1)
    ### END SOLUTION


# %% tags=["deeper", "export"]
class MixtureNet(PixelNet):
    """A PixelNet whose guess is a mixture of J discretised logistics."""

    def __init__(self, levels, *args, J=5, **options):
        super().__init__(levels, *args, outputs=3 * J, **options)
        start = torch.cat([torch.zeros(J), torch.linspace(-0.8, 0.8, J), torch.full((J,), -1.5)])
        self.net[-1].bias.data = start

    def forward(self, canvas, n, q, v=None):
        v = torch.arange(self.levels, device=q.device)[None] if v is None else v[:, None]
        weight, mean, log_scale = super().forward(canvas, n, q).chunk(3, dim=1)
        return mixture_log_probs(weight, mean, log_scale.clamp(-7, 7), v, self.levels)

    def surprise(self, canvas, n, q, v):
        return -self(canvas, n, q, v)[:, 0]


# %% [markdown] tags=["deeper"]
# On grey photographs, in patches of 32x32; the test patches come from other scenes. Row and column are
# not told. Nearly no pixel is black, so nearly all are drawn in the first stratum. Same window, same CPU seconds; once with 60 patches, once with all.
#
# **Predict.** Who wins with few, who with many? What do the two guesses look like, over the 256 greys?

# %% tags=["deeper"]
mixture_log_probs = checks.greys_and_colour.mixture_log_probs(mixture_log_probs)
photos, unseen = (datasets.load("photos", part, size=n, patch=32, grey=True).images[:, 0].to(dev)
                  for part, n in (("train", profile(smoke=100, standard=9000)), ("test", 40)))
found, nets, kinds = {}, {}, {"softmax": PixelNet, "mixture": MixtureNet}
for patches, (name, kind) in product((60, len(photos)), kinds.items()):
    label, how = f"{name}, {patches} patches", {"shares": (0.98, 0.01, 0.01)}
    nets[name] = trained(kind, 256, photos[:patches], 1.5 * seconds, label, how, places=False)
    found[label] = bits_per_pixel(nets[name], unseen).mean().item()
fig = plots.bars(found, ylabel="bits/dim on unseen photographs, less is better")
a, b, c, d = found.values()
assert profile(smoke=True, standard=a - b > max(0.1, c - d))

# %% tags=["deeper"]
at, curves = torch.arange(len(unseen), device=dev), {}
for name, model in nets.items():  # pixel 16 x 32 + 16, row 16 and column 16
    p = model(model.canvas(unseen), at, 0 * at + 528).softmax(dim=1).detach().cpu()  # (40, 256)
    curves[name] = range(80, 160), p[3, 80:160]
    teeth = p.diff(dim=1).abs().sum(dim=1) - 2 * p.max(dim=1).values + p[:, 0] + p[:, -1]
    print(f"{name}: teeth {teeth.mean():.3f}; in the figure's pixel, black {p[3, 0]:.3f}")
fig = plots.curves(curves, xlabel="grey", ylabel="probability of one middle pixel")

# %% [markdown] tags=["deeper"]
# With few patches the mixture is clearly ahead: a grey that it never saw still has neighbours. With more the
# softmax gains more: the lead shrinks, or turns if your seconds allow many steps. The softmax's curve is **ragged**; the mixture has at most $J$ peaks and one at each end, here nearly one. (Where it gives black a chance, an end level takes a whole tail. A curve with one
# peak goes up and down by twice its height, less its ends; printed is what is above that.)
#
# ## 8 Deeper: colours in order
#
# A coloured pixel is three values. The chain rule does not mind: R from the past; G from the past *and R*; B from both. Lay the colours side by side, R G B R G B
# ..., and a picture of H x W x 3 is a grey one, three times as wide, whose raster order is just that. Cats of 16x16, 8 levels a colour;
# the window has eight pixels to each side.
#
# The classic mistake (**A3**) is a mask that hides *all* of a pixel's own colours, so that R, G and B are drawn apart: coloured noise. No test on grey digits finds it; the
# Jacobian over colours does, so the check of `near` lays colours side by side, too. **Predict.** Which of R, G and B is dear, which cheap? And in the
# order B G R?

# %% tags=["deeper"]
small = [F.avg_pool2d(datasets.load("cats", part, size=n).images.float(), 4).byte() >> 5
         for part, n in (("train", profile(smoke=100, standard=4000)), ("test", 50))]
for name, order, share in (("B G R", [2, 1, 0], 1.5), ("R G B", [0, 1, 2], 4.5)):
    sheets = [x[:, order].permute(0, 2, 3, 1).flatten(2).to(dev) for x in small]  # (N, 16, 48)
    painter = trained(PixelNet, 8, sheets[0], share * seconds, name, {}, window=(8, 49))
    first, second, third = bits_per_pixel(painter, sheets[1]).view(-1, 3).mean(dim=0)
    print(f"in the order {name}: {first:.2f}, {second:.2f}, {third:.2f} bits")
    assert profile(smoke=True, standard=first > 1.1 * max(second, third))
for weights in painter.net[-1].parameters():
    weights.data /= 0.8  # lesson 40's temperature
drawn = sample(painter, 10, device.generator(2)).unflatten(2, (16, 3)).permute(0, 3, 1, 2) / 7
fig = plots.compare({"drawn": drawn, "test": small[1][:10] / 7}, value_range=(0, 1), scale=3)

# %% [markdown] tags=["deeper"]
# Who is asked first pays most, R or B: not its own nature makes it dear, but its place in the order. The others know it, and pay less.
#
# Honestly: no cats at a glance, even at temperature 0.8. Plain grounds, a blot of a cat's size in the right place, hardly an ear, no
# face. The training is short, and guessing value after value has no plan of the whole.
#
# ## 9 Break it on purpose
#
# Leave the weights out: all draws count alike, as if the world were 65 % ink. Or leave out the strata: pixels by their plain shares. Three nets, the same
# CPU seconds. **Predict** bits/dim and digits. And what will the photographs' net draw on 48x96, larger than its patches, and why can the digits' net not?

# %% tags=["deeper"]
hows = {"no strata": {"shares": [len(part) / train.numel() for part in strata(train)]},
        "no weights": {"estimate": lambda parts, sizes: torch.cat(parts).mean()}}
nets |= {name: trained(PixelNet, 256, train, seconds, name, how) for name, how in hows.items()}
rows, ink = {}, {}
for name, model in {"weights": own[8], **{name: nets[name] for name in hows}}.items():
    spent, rows[name] = bits_per_pixel(model, few).flatten(), sample(model, 10, device.generator(1))
    parts = [spent[part.long()].sum() / len(spent) for part in strata(few.cpu())]
    ink[name] = (rows[name] > 0).double().mean().item()
    print(name, *(f"{part:.3f}" for part in (*parts, sum(parts))), f"bits/dim; {ink[name]:.0%} ink")
fig = plots.compare(rows, value_range=(0, 255), scale=2)
assert profile(smoke=True, standard=1.2 * ink["weights"] < ink["no weights"] < 0.65)
nets["softmax"].shape = profile(smoke=(8, 40), standard=(48, 96))
fig = plots.show_images(sample(nets["softmax"], 3, device.generator(4)), value_range=(0, 255), scale=2)

# %% [markdown] tags=["deeper"]
# Printed are the bits of ink, of black beside ink, of far black, and their sum. Without weights black gets dearer, yet the sum hardly moves. The *drawing*
# shows it, in tangles: small errors at 784 pixels add up. **A good likelihood is no proof of good pictures.** Why not 65 % ink? Where the window says black for sure, the bias
# changes nothing; it acts at the edges, in doubt. Plain shares are unbiased, too, and come close: in so short a race of one seed strata are worth little.
#
# The larger picture works, for a window is a window: smooth ground, edges, texture, no object. The digits' net is told row and column and has no input for row 28. What cannot work ends in a
# sentence: that, bytes that reach the number of levels (try `PixelNet(16).canvas(test)`), a window of even width, a mask of another size. Pictures that
# are all black do no harm: two strata are empty.
#
# ## 10 Exercises
#
# **B. Predict (★, 6 minutes).** The same holes in pure black and white: `own[1]` of section 6 on `test >> 7`, against `own[8]`. Are more answers left, or
# fewer?
#
# <details><summary>Hint 1</summary>What makes the known pixels after an answer likely?</details>
# <details><summary>Hint 2</summary>What do an outline's greys tell of each other?</details>
#
# <details><summary>Answer to B</summary>Often more, by a factor of a few; not always. Outlines' greys depend on each other closely, and an answer that is a few greys off at the seam pays
# bits for it. In black and white only the strokes must meet.</details>

# %% tags=["deeper"]
for b, x in product((8, 1), test[: profile(smoke=1, standard=6)].cpu()):
    print(f"{b} bits: {1 / answers(x >> 8 - b, 10, 5, 4, 18, n, own[b])[2].square().sum():.1f}", end="; ")

# %% [markdown] tags=["deeper"]
# **C. Modify (★★, 10 minutes): see further.** A window of 10 x 21 sees nine rows up. How many more inputs is that? Does it save bits/dim in
# the same seconds?
#
# <details><summary>Hint 1</summary>Section 3's count for 7 x 13: two for each offset, and 96 + 56.</details>
# <details><summary>Hint 2</summary>What does each step cost now?</details>
#
# <details><summary>Answer to C</summary>550 in place of 320. Each step takes longer, so expect no gain in a few seconds; give both ten times as many.</details>

# %% tags=["deeper"]
wider = trained(PixelNet, 256, train, seconds, "window of 10 x 21", {}, window=(10, 21))
print(f"10 x 21: {bits_per_pixel(wider, few).mean():.3f} bits/dim; 7 x 13: {same[8]:.3f}")

# %% [markdown] tags=["deeper"]
# **D. Debug (★★, 8 minutes).** A colleague draws all random numbers beforehand, and a row, not a pixel, at a time. The
# digits fall apart sideways. What is wrong, and what could stay? (Ask once a row in `sample`: its check answers.)
#
# <details><summary>Hint 1</summary>Which of the two changes touches what a pixel *sees*?</details>
# <details><summary>Hint 2</summary>What stands to its left when its window is read?</details>
#
# <details><summary>Answer to D</summary>A row at once reads left neighbours that are still black. So each pixel is drawn as if all before it in the row
# were black, and none knows that another has begun a stroke. The random numbers may be drawn beforehand: they depend on nothing.</details>

# %% [markdown] tags=["core", "workshop"]
# ## 11 To discuss, and to keep
#
# <details><summary><b>A3.</b> A colour model's mask hides R from G and B. The loss looks good. How do you find out?</summary>Change R in one pixel: the guess at its G must
# change. Bits/dim of the channels show it, too: the first should be the dear one (section 8). On grey pictures nothing shows.</details>
# <details><summary>May one compare bits/dim at 8 bits with bits/dim at 4?</summary>No: other questions. The cost of the 4 leading bits under the 8-bit net may be compared
# (section 6).</details>
# <details><summary>Strata look ahead, and at the answer. Why is the Jacobian still right?</summary>It speaks of what the guess is told. Which pixels are asked about, and how
# often, is no input.</details>
#
# **Summary**
#
# - Given its window, a pixel is one small classification. Training may study single pixels; drawing needs one window a pixel.
# - Strata with weights $N_k / N$ are unbiased; without weights the net learns another world, and bits/dim may hardly show it.
# - Plain sampling costs $\propto D^2$ a picture, cached $\propto D$: the same picture, bit for bit.
# - Answers are drawn from what is before the hole, weighed by what is after; the effective sample size tells when that fails.
# - A softmax learns any shape and needs more examples, or steps; a mixture is smooth from the start. Colours are just more steps of the chain rule.
#
# **Later lessons import** `PixelNet`, `train_pixels`, `bits_per_pixel`, `sample` and `complete`. **Limits:** the window ends after six rows, so strokes are right and
# digits often not; lesson 72's transformers see everything.
#
# **Papers.** van den Oord et al. (2016), *Pixel recurrent neural networks*, section 3 (colours in order, softmax) · Salimans et al.
# (2017), *PixelCNN++*, section 2.1 (mixtures) · Ramachandran et al. (2017), *Fast generation for convolutional autoregressive models*.
