# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown] tags=["core", "workshop"]
# # 40 Guess the next pixel
#
# You will build a generator that draws a digit pixel by pixel, says exactly how probable any picture is, and finishes digits
# of which only the upper half is left. First you guess pixels yourself.
#
# ![What two neighbours, 784 regressions and a masked network draw, above real digits](../data/pictures/40-026.png)
#
# | | |
# |---|---|
# | **You need** | likelihood, nats and bits/dim (lesson 01), the training loop and Adam (lessons 10 and 11) |
# | **Time** | 65 minutes for the core, 65 more for the rest; the notebook itself runs in 2 minutes on two cores |
# | **Machine** | no GPU, no network, 1.2 GB of memory |
#
# When you are through, you can
#
# 1. split the probability of a picture into one factor for each pixel, in any order,
# 2. fit 784 logistic regressions at once, as one triangular matrix,
# 3. write the masks that keep a network from looking ahead, and prove that they do, and that they forbid no more,
# 4. sample pixel by pixel, and say why this cannot be done in parallel,
# 5. complete pictures, and say which known pixels the model cannot use (deeper).
#
# > **Remember.** Any distribution is a product of guesses at the next pixel. A network that guesses them all at once, and sees
# > only what came before, has an exact likelihood: fast to compute, slow to sample.

# %% tags=["core", "workshop", "export"]
import copy
import math
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import checks, datasets, device, explore, judges, plots, training
from course_lib.built.gan import or_stop  # written in lesson 20
from course_lib.built.score_a_generator import IndependentPixels, NeighbourTable, bits_per_dim
from course_lib.settings import CourseError, data_name, profile


@dataclass
class Config:
    """The numbers of lesson 40; `profile` picks the value for the profile that you run in."""

    steps: int = profile(smoke=30, standard=1500, full=40000)
    batch_size: int = 128
    lr: float = 5e-3  # the highest; it falls along half a cosine
    measure_every: int = 50  # steps
    seed: int = 0


# %% [markdown] tags=["core", "workshop"]
# ## 1 The data: ink or no ink
#
# To keep the guesses simple, a pixel is 1 (ink) or 0 (paper); greys wait for lesson 43. A grey of 30 % becomes ink with
# probability 0.3, drawn anew for every batch (**dynamic binarisation**). On the screen ink is white. The test
# digits are drawn once, with a seed of their own, so that all models answer the same question. Axes: B pictures in a batch,
# one channel, H rows, W columns, D = HW pixels.

# %% tags=["core", "workshop", "export"]
def binary_batches(images, batch_size, rng):
    """Yield endless batches (B, C, H, W) in {0, 1}; a byte is ink with chance byte / 255."""
    for (x,) in datasets.batches(images, batch_size=batch_size, generator=rng):
        yield torch.bernoulli(x.float() / 255, generator=rng)


# %% tags=["core", "workshop"]
cfg, dev = Config(), device.pick_device()
rng = device.generator(cfg.seed, dev)  # data, their order, and samples
torch.manual_seed(cfg.seed)  # the layers' first weights
train = datasets.load(data_name(), "train", size=profile(smoke=2000, standard=None)).images.to(dev)
test = datasets.load(data_name(), "test", size=profile(smoke=500, standard=None))
test_x = torch.bernoulli(test.float(), generator=device.generator(1)).to(dev)
assert train.shape[1:] == (1, 28, 28) and train.max() == 255 and test_x.unique().numel() == 2
fig = plots.compare({"bytes": test.float()[:10], "drawn": test_x[:10].cpu()}, value_range=(0, 1))

# %% [markdown] tags=["core", "workshop"]
# ## 2 Be the model
#
# Below, a digit is uncovered row by row. The orange pixel is next. How probable is ink? Set `ink`, then go to the next `guess`: what
# was there is uncovered, and you pay its surprise, $-\log_2$ of the probability that you gave it. You guess 16 pixels, all at places where
# the left or upper neighbour has ink, since the rest is dull; the slider's last place shows the answer to the 16th. Beside you plays
# lesson 01's table, which knows these two neighbours only. The view opens in the middle of an example: choose another `digit`, and
# begin at `guess` 1.
#
# Untouched, `ink` is 0.5, and each guess costs one bit. **Predict.** How many bits will you pay? Can you beat the table? You
# know digits; it has counted millions of pixels.

# %% tags=["core", "workshop"]
counted = next(binary_batches(train, len(train), rng)).cpu().byte()
pixels, table = (kind(levels=2).fit(counted) for kind in (IndependentPixels, NeighbourTable))
players, guesses = {"left+up": lambda x: table.p[table.context(x.long()), 1]}, {}  # chances of ink


def draw_game(digit, guess, ink):
    x, guesses[digit, guess] = test_x[digit : digit + 1].cpu(), ink
    spots = (table.context(x.long()) > 0).flatten().nonzero()[:, 0]
    spots = spots[torch.linspace(3, len(spots) - 1, 17).long()]
    chances = {"you": torch.tensor([guesses.get((digit, k), 0.5) for k in range(1, 18)])}
    chances |= {name: play(x).flatten()[spots] for name, play in players.items()}
    x, asked = x.flatten(), spots[guess - 1]
    paid = [-torch.where(x[spots] > 0, p, 1 - p).log2()[: guess - 1].sum() for p in chances.values()]
    shown = torch.where(torch.arange(784) < asked, x, 0.4).repeat(3, 1)
    shown[:, asked] = torch.tensor([0.9, 0.4, 0.0])
    return plots.picture_and_bars(shown.view(3, 28, 28), torch.stack(paid), value_range=(0, 1),
                                  names=list(chances), xlabel=f"bits for {guess - 1} guesses")


spans = {"digit": (0, 50, 3), "guess": (1, 17, 10), "ink": (0.01, 0.99, 0.5)}
explore.View(draw_game, [explore.slider(name, *span) for name, span in spans.items()])

# %% [markdown] tags=["core", "workshop"]
# ## 3 The chain rule
#
# Why is guessing pixels a model of *pictures*? By the definition of a conditional probability, $p(a, b) = p(a)\,p(b \mid a)$.
# Put $a = x_1$ and $b$ = all the rest; then split the rest in the same way, now given $x_1$; and so on:
#
# $$ p(x_1, \dots, x_D) = p(x_1)\, p(x_2, \dots, x_D \mid x_1) = \dots = \prod_{i=1}^{D} p(x_i \mid x_1, \dots, x_{i-1}) . $$
#
# Nothing was assumed: *every* distribution is such a product. (Lesson 01's table assumes that two earlier pixels are enough.) Nor did the
# order matter: any permutation $o$ of the pixels will do, with factors $p(x_{o_t} \mid x_{o_1}, \dots, x_{o_{t-1}})$.
#
# The $t$-th factor asks for one number for every past, $2^{t-1}$ of them. A table of all has $2^{784} - 1$ rows. So a network will
# compute it: pixels before in, the **logit** of ink $\ell_i$ out, $p(x_i = 1 \mid x_{<i}) = \sigma(\ell_i)$.
#
# | symbol | variable | shape |
# |---|---|---|
# | $x$; $\ell(x)$ | `x`; `logits` | (B, 1, H, W) in {0, 1}; the same, real |
# | $o$; place of pixel $i$ in it | `order`; `order.argsort()` | (D,) each |
# | $\ln p(x)$ | `log_prob(model, x)` | (B,) nats |
# | $W$, $b$; $\bar x$ (sections 4, 5) | `weight`, `bias`; `mean` | (D, D), (D,); (1, H, W) |
# | $M$; $m_k$ (section 5) | `mask`; `degrees` | bool (out, in); (hidden,) |
# | $T$ (section 6) | `temperature` | number, or (n,) |
#
# **Your turn (★, 5 min).** The logarithm turns the product into a sum. For one pixel, $\ln p = x \ln \sigma(\ell) + (1 - x) \ln (1
# - \sigma(\ell))$. Stay with logits: a rounded probability of 0 has no logarithm.
#
# <details><summary>Hint 1</summary>This is minus torch's <code>F.binary_cross_entropy_with_logits</code> of each pixel. Sum over
# the pixels, never over the batch.</details>
# <details><summary>Hint 2</summary><code>-F.binary_cross_entropy_with_logits(___, ___, reduction="none")</code>, then
# <code>.flatten(1).sum(dim=___)</code>.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def require_binary(x):
    """Raise CourseError unless all of x is 0 or 1."""
    if not ((x == 0) | (x == 1)).all():
        raise CourseError(f"Binarise first: pixels are 0 or 1, not {x.min():g} to {x.max():g}.")


def log_prob(model, x):
    """Return ln p(x) (B,) in nats of x (B, C, H, W) in {0, 1}; model(x): logits shaped like x."""
    require_binary(x)
    ### TODO: the logits, ln p of each pixel, the sum over the pixels of each picture
    ### BEGIN SOLUTION
    surprise = F.binary_cross_entropy_with_logits(model(x), x, reduction="none")
    return -surprise.flatten(1).sum(dim=1)
    ### END SOLUTION


# %% tags=["core", "workshop"]
log_prob = checks.autoregressive.log_prob(log_prob)

# %% [markdown] tags=["core", "workshop"]
# ## 4 784 logistic regressions, one matrix
#
# The simplest network for a factor is a logistic regression: $\ell_i = b_i + \sum_{j \text{ before } i} W_{ij} (x_j - \bar x_j)$.
# One for each pixel, 784 in all, are a **fully visible sigmoid belief network** (FVSBN; Frey, Hinton and Dayan 1996). Write their weights as one
# matrix. In raster order, *before* means $j < i$: only what lies strictly below the diagonal may count. So all 784 guesses are one
# product, of $W \circ M$ and $x - \bar x$, with a **mask** $M$ of zeros and ones. For any other order, pixel $j$ comes before $i$ if its
# *place* in the order is smaller.
#
# Subtracting $\bar x$, how often lesson 01's independent pixels had ink, changes only the bias: $W (x - \bar x) + b = W x + (b - W \bar x)$. It
# keeps the inputs near 0, which Adam likes. And with $W = 0$ and $b_i = \ln \frac{\bar x_i}{1 - \bar x_i}$ the model begins as lesson 01's
# first generator, the independent pixels.
#
# **Your turn (★★, 8 min).** Write the mask, and the layer that uses it. (Codes like A5 in a check's answer number the course's list of bugs.)
#
# <details><summary>Hint 1</summary><code>order[t]</code> is the pixel drawn t-th; you need the opposite, when pixel i is drawn:
# <code>order.argsort()</code>. Compare it as a row with itself as a column.</details>
# <details><summary>Hint 2</summary><code>place[None, :] ___ place[:, None]</code>: row i, column j. And <code>F.linear(x,
# self.weight * ___, self.bias)</code>.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def earlier(order):
    """Return bool (D, D): [i, j] says whether pixel j is drawn before pixel i; order (D,)."""
    ### TODO: compare the places of the pixels in the order
    ### BEGIN SOLUTION
    place = order.argsort()
    return place[None, :] < place[:, None]
    ### END SOLUTION


class MaskedLinear(nn.Linear):
    """A linear layer whose weights, at first scale / sqrt(inputs), count where mask is True."""

    def __init__(self, mask, scale=0.0):
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask)
        self.weight.data.normal_().mul_(scale / mask.sum(dim=1, keepdim=True).clamp(min=1).sqrt())
        self.bias.data.zero_()

    def forward(self, x):
        ### TODO: F.linear with weights that count only where the mask is True
        ### BEGIN SOLUTION
        return F.linear(x, self.weight * self.mask, self.bias)
        ### END SOLUTION


# %% tags=["core", "workshop", "export"]
class FVSBN(nn.Module):
    """Logits of ink, regressions on earlier pixels; mean (C, H, W) inside 0 to 1, order (D,)."""

    def __init__(self, mean, order):
        super().__init__()
        if order.sort().values.tolist() != list(range(mean.numel())):
            raise CourseError(f"order must hold each of 0 to {mean.numel() - 1} exactly once.")
        self.register_buffer("mean", mean)
        self.register_buffer("order", order)
        self.direct = MaskedLinear(earlier(order))
        self.direct.bias.data = mean.flatten().logit()

    def forward(self, x):
        if x.shape[1:] != self.mean.shape:
            raise CourseError(f"The model knows {[*self.mean.shape]}, not {[*x.shape[1:]]}.")
        return self.direct((x - self.mean).flatten(1)).view_as(x).to(x.dtype)


# %% tags=["core", "workshop"]
earlier = checks.autoregressive.earlier(earlier)
MaskedLinear = checks.autoregressive.masked_linear(MaskedLinear)
mean, raster = pixels.p[:, 1].view(1, 28, 28).float(), torch.arange(784)
fvsbn = FVSBN(mean, raster).to(dev)


@torch.no_grad()
def nats(model, x=test_x):  # mean surprise, summed in float64
    return -torch.cat([log_prob(model, part).cpu() for part in x.split(1000)]).double().mean().item()


counts = {"independent pixels": pixels, "left+up table": table}
scores = {k: -model.log_likelihood(test_x.cpu().byte()).mean().item() for k, model in counts.items()}
print(*(f"{name} {score:.2f} nats;" for name, score in scores.items()))
print(f"FVSBN, {device.count_parameters(fvsbn):,} parameters, before training: {nats(fvsbn):.2f}")
assert abs(nats(fvsbn) - scores["independent pixels"]) < 0.01

# %% [markdown] tags=["core", "workshop"]
# It begins with the score of the independent pixels, as it should. (No opinion, 0.5 everywhere, would cost $784 \ln 2 = 543.4$ nats,
# exactly 1 bit/dim.)
#
# **The loop.** Note what it does *not* do: draw. The pixels before come from the real picture, not from the model's own
# guesses, so all 784 guesses at all pictures are made, and judged, in one pass. This is **teacher forcing**, and no trick: the
# chain rule's factors *are* conditioned on the picture's own pixels.
#
# The learning rate rises for 100 steps, then falls to 0. `fused` lets Adam walk over the weights once a step, `fast_autocast` rounds
# where that is faster, `or_stop` is lesson 20's. Regressions bear a higher rate than networks.
#
# First ten digits, tossed once, again and again. **Predict.** Can the loss fall to 0? And what will *all* earlier pixels be
# worth on test digits, in nats?

# %% tags=["core", "workshop", "export"]
def train_autoregressive(cfg, model, batches, *, should_stop=training.never_stop, view=None,
                         label="training"):
    """Maximise log_prob on endless batches in {0, 1}; return the history. CourseError at nan."""
    optimiser, good = torch.optim.Adam(model.parameters(), betas=(0.9, 0.99), fused=True), None
    with training.progress(cfg.steps, should_stop, view, label=label) as run:
        for step, x in zip(run, batches, strict=False):
            falling = (1 + math.cos(math.pi * run.fraction)) / 2
            optimiser.param_groups[0]["lr"] = cfg.lr * falling * min(1, (step + 1) / 100)
            with device.fast_autocast(x.device):
                loss = -log_prob(model, x).mean()
            if step % cfg.measure_every == 0:
                good = or_stop([model], good, nats=loss.item())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            run.log(nats=loss)
    return run.history


# %% tags=["core", "workshop"]
high, twin = replace(cfg, lr=0.02), copy.deepcopy(fvsbn)
ten = next(binary_batches(train, 10, device.generator(2, dev)))
train_autoregressive(replace(cfg, lr=0.1, steps=500), twin, iter(lambda: ten, None), label="ten")
print(f"ten: {nats(fvsbn, ten):.1f} nats, then {nats(twin, ten):.3f}; test digits {nats(twin):.0f}")
assert math.log(10) < nats(twin, ten) < 3 < nats(fvsbn, ten) < nats(twin)
train_autoregressive(high, fvsbn, binary_batches(train, 128, rng), label="FVSBN")
print(f"FVSBN: {nats(fvsbn):.2f} nats on test digits")

# %% [markdown] tags=["core", "workshop"]
# Not to 0: the mean of $-\ln q$ over ten different pictures is $\ln 10 + KL(\text{ten} \,\|\, q)$ (lesson 01), so at least $\ln 10 = 2.303$.
# All others pay for it.
#
# Compare with the table's line above. What can a regression not say? A pixel's weight is the same in every picture: *ink above means
# ink here, unless there is ink on the left* cannot be said. For that it needs units that combine pixels, hidden ones.
#
# ## 5 Masks: a deep network that does not look ahead
#
# 784 deep networks would be too slow. MADE (Germain et al. 2015) is *one*, with all 784 answers at once, in which every path from a
# pixel to the guesses at itself and at earlier ones is cut. Each hidden unit $k$ gets a **degree** $m_k$: the last place in the
# order that it may know of. A pixel's degree is its place. Then two rules are enough:
#
# - *into* a hidden unit only from what knows no more: $m_{below} \le m_{above}$;
# - *into* the answer for pixel $i$ only from what knows strictly less: $m_k < \text{place}_i$.
#
# Along any path $j \to k \to \dots \to i$ the degrees obey $\text{place}_j \le m_k \le \dots < \text{place}_i$. So no path leads from
# $j$ to $i$ unless $j$ comes earlier. And is every earlier pixel heard? For $j$ right before $i$, only a unit with $m_k =
# \text{place}_j$ will do. So each degree $0 \dots D-2$ must occur in every hidden layer. That is enough: through a unit of degree
# $\text{place}_j$ in each layer a path leads from $j$ to every later $i$. So we deal the degrees out in turn, to at least $D - 1$ units. (The
# last place is nobody's degree: what knows all pixels may answer for none.) Three pixels in raster order, hidden degrees 0 and 1:
#
# $$ \begin{pmatrix} 0&0 \\ 1&0 \\ 1&1 \end{pmatrix} \begin{pmatrix} 1&0&0 \\ 1&1&0 \end{pmatrix} = \begin{pmatrix} 0&0&0 \\ 1&0&0 \\ 2&1&0 \end{pmatrix} : $$
#
# the masks' product counts the paths from each pixel (column) to each answer (row). MADE keeps the regressions, too, and adds its logits
# to theirs.
#
# **Your turn (★★, 6 min).** The degrees are there. Write the masks.
#
# <details><summary>Hint 1</summary>A mask has a row for each unit above and a column for each below, as in
# <code>earlier</code>. <code>pairwise(degrees)</code> walks through the layers; the last hidden layer answers to
# <code>degrees[0]</code>.</details>
# <details><summary>Hint 2</summary><code>[below[None, :] ___ above[:, None] for below, above in pairwise(degrees)]</code>, and
# <code>degrees[-1][None, :] ___ degrees[0][:, None]</code>.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def masks(order, *hidden):
    """Return the masks, bool (out, in), of layers D -> hidden[0] -> ... -> D; order (D,)."""
    D = len(order)
    if min(hidden, default=D) < D - 1:
        raise CourseError(f"{D} pixels need {D - 1} units or more in every hidden layer.")
    degrees = [order.argsort(), *(torch.arange(n) % (D - 1) for n in hidden)]  # MADE, eq. 12, 13
    ### TODO: one mask for each pair of neighbouring layers, then the stricter one of the answers
    ### BEGIN SOLUTION
    inner = [below[None, :] <= above[:, None] for below, above in pairwise(degrees)]
    return [*inner, degrees[-1][None, :] < degrees[0][:, None]]
    ### END SOLUTION


class MADE(FVSBN):
    """An FVSBN and a masked network beside it, whose logits are added. Germain et al. (2015)."""

    def __init__(self, mean, order, hidden=(1000,)):
        super().__init__(mean, order)
        *inner, last = masks(order, *hidden)
        self.inner = nn.ModuleList(MaskedLinear(mask, scale=2**0.5) for mask in inner)
        self.last = MaskedLinear(last)  # of weights 0: it begins as the independent pixels, too

    def forward(self, x):
        logits, h = super().forward(x), (x - self.mean).flatten(1)  # h: (B, D), (B, hidden), ...
        for layer in self.inner:
            h = F.relu(layer(h))
        return logits + self.last(h).view_as(x).to(x.dtype)


# %% [markdown] tags=["core", "workshop"]
# **Prove it, twice, before any training.** A mask that leaks gives wonderful scores, a mask that forbids too much mediocre ones; neither
# complains. (1) The **Jacobian** finds leaks: with random weights, $\partial \ell_i / \partial x_j$ must be exactly 0 unless $j$ comes
# before $i$. What is forbidden too much it cannot find, since the regressions connect every pair. So (2) count the **paths**: the
# masks' product must be above 0 for *every* earlier $j$.
#
# Printed: how many pairs have a path, and how many paths bring the middle pixel its left neighbour. **Predict.** Which pixels may reach
# the middle one (grey), in each order? They are drawn white.

# %% tags=["core", "workshop"]
masks = checks.autoregressive.masks(masks)


def jacobian(model):  # d logit_i / d x_j (D, D), of the model with random weights instead
    model, x = copy.deepcopy(model).double(), torch.rand(1, *model.mean.shape).double()
    for weights in model.parameters():
        nn.init.normal_(weights)
    return torch.autograd.functional.jacobian(model, x, vectorize=True).view(x.numel(), -1)


seen, columns = {}, raster.view(28, 28).T.flatten()
shuffled = torch.randperm(784, generator=device.generator(6))
for name, order in {"raster": raster, "columns": columns, "random": shuffled}.items():
    J, (first, last) = jacobian(MADE(mean, order).cpu()), masks(order, 1000)
    paths, before = last.float() @ first.float(), earlier(order)
    assert (J[~before] == 0).all() and ((paths > 0) == before).all(), "a leak, or a path missing"
    seen[name] = (J[406] != 0).float().index_fill(0, torch.tensor(406), 0.5).view(1, 28, 28)
    print(f"{name:8} {(paths > 0).sum():,} of {before.sum():,} pairs; left: {paths[406, 405]:.0f}")
fig = plots.show_images(torch.stack([*seen.values()]), value_range=(0, 1), labels=[*seen], scale=4)

# %% [markdown] tags=["core", "workshop"]
# Exactly the pixels drawn before, in each order. Now train in earnest.
#
# Part of the bill no model can save: the tosses of the binarisation. Who knew every grey $g$ would still pay $-\sum g \ln g + (1 -
# g) \ln (1 - g)$ nats for a digit on average, and who does not know them pays no less. This **floor** we can compute.
#
# **Predict.** How many nats will the hidden layer save? How high is the floor? And the training digits, binarised anew: will they cost
# less than test digits?

# %% tags=["core", "workshop"]
made, data = MADE(mean, raster).to(dev), binary_batches(train, 128, rng)
fig = plots.curves(train_autoregressive(cfg, made, data, label="MADE"), xlabel="step", ylabel="nats", smooth=25)
scores |= {"FVSBN": nats(fvsbn), "MADE": nats(made)}
print(f"training digits cost MADE {nats(made, next(binary_batches(train, 2000, rng))):.2f} nats")
print(*(f"{k} {bits_per_dim(score, 784):.4f} bits/dim;" for k, score in scores.items()))
floor = 784 * F.binary_cross_entropy(g := test.float().double(), g).item()  # g: the greys
fig = plots.bars(scores | {"tosses alone": floor}, ylabel="nats a test digit, less is better")
saved = [a - b for a, b in pairwise(scores.values())]  # by the table, the regressions, hidden units
assert profile(smoke=True, standard=saved[1] > 2 * saved[2] > 4 and floor > 0.4 * scores["MADE"])

# %% [markdown] tags=["core", "workshop"]
# Compare the steps between the bars. The regressions save much over the table, the hidden units only a few nats more. (MADE would gain a little by more steps.) And about *half* of MADE's bill is the tosses: what is left to
# save is far less than it looks. Training and test digits cost nearly the same: after so few passes, each with new tosses, hardly
# anything can be known by heart.
#
# ## 6 Draw
#
# To draw a picture is to play section 2's game against oneself: ask the chance of ink of the first pixel, toss, *write it down*, ask for the
# second. 784 passes, one after the other, for each depends on the toss before. The same loop completes
# pictures: a known pixel is kept instead of tossed. And a **temperature** $T$ divides every logit: below 1 the tosses are safer.
#
# **Your turn (★★, 8 min).** Write the turn of one pixel. `flat` is another view of `x`: what you write into it, the model sees next.
#
# <details><summary>Hint 1</summary>Three lines: a chance (n,) from the logits of this pixel, a toss with
# <code>torch.bernoulli</code> and <code>rng</code>, and the toss or the known value into <code>flat[:, pixel]</code>.</details>
# <details><summary>Hint 2</summary><code>(model(x).flatten(1)[:, pixel] / ___).sigmoid()</code>; then <code>torch.where(kept[:,
# pixel], flat[:, pixel], ___)</code>.</details>
#
# **Predict.** To score 64 pictures takes one pass. How many times longer does it take to draw 64? Will they look better than the table's?

# %% tags=["core", "workshop", "export", "exercise"]
def canvas(model, n, given=None, mask=None):
    """Return pictures (n, C, H, W) that hold what is known, and where that is, bool."""
    x = model.mean.new_zeros(n, *model.mean.shape)
    given, mask = parts = (x, x) if given is mask is None else (given, mask)
    if any(getattr(part, "shape", None) not in (x.shape, x.shape[1:]) for part in parts):
        raise CourseError(f"Pass both given and mask, each {[*x.shape[1:]]}, or n of them.")
    known = mask.bool().expand_as(x)
    require_binary(x := torch.where(known, given.to(x), x))
    return x, known


@torch.no_grad()
def sample(model, n, rng, *, temperature=1.0, given=None, mask=None):
    """Draw n pictures (n, C, H, W) in {0, 1}, pixel by pixel in model.order.

    temperature: above 0, a number or (n,); `given`, (C, H, W) or (n, C, H, W), is kept where mask.
    """
    if not (torch.as_tensor(temperature) > 0).all():
        raise CourseError("temperature must be above 0; close to 0 the likelier side is drawn.")
    x, known = canvas(model, n, given, mask)
    flat, kept = x.view(n, -1), known.flatten(1)
    for pixel in model.order.tolist():
        ### TODO: this pixel's chance of ink, a toss, and the toss or what is known into flat
        ### BEGIN SOLUTION
        chance = (model(x).flatten(1)[:, pixel] / temperature).sigmoid()
        drawn = torch.bernoulli(chance, generator=rng)
        flat[:, pixel] = torch.where(kept[:, pixel], flat[:, pixel], drawn)
        ### END SOLUTION
    return x


# %% tags=["core", "workshop"]
sample = checks.autoregressive.sample(sample)
with device.measure(dev) as once:
    nats(made, test_x[:64])
with device.measure(dev) as drawing:
    drawn = sample(made, 64, rng)
print(f"drawing takes {drawing.seconds / once.seconds:.0f} times as long as scoring")
rows = {"left+up": table.sample(10, device.generator(4)).float(), "FVSBN": sample(fvsbn, 10, rng)}
rows = {name: x[:10].cpu() for name, x in (rows | {"MADE": drawn, "test": test_x}).items()}
fig = plots.compare(rows, value_range=(0, 1), scale=2)

# %% [markdown] tags=["core", "workshop"]
# Hundreds of times: one pass for each pixel, against one in all. That is the bargain of this family, **training in parallel, sampling in
# sequence**. The table draws scraps. The regressions and MADE draw ragged digits, some whole, many that change their mind half-way
# down: a few nats are hard to see in ten pictures.

# %% [markdown] tags=["deeper", "workshop"]
# ## 7 Deeper: complete
#
# The upper half is known: draw the lower one, several times. The judge (a classifier, lesson 15) reads what comes out, and, as a
# control, the known half alone. Then the other way round: the *lower* half is known.
#
# **Predict.** Which of the two completes better? Think of what the model has seen when it draws the first pixel.

# %% tags=["deeper", "workshop"]
judge, n = judges.judge(data_name()), profile(smoke=10, standard=100)


def share_read(x):
    answers = judge.classify((255 * x).cpu().byte()).argmax(dim=1)
    return (answers == test.labels[: len(x)]).double().mean().item()


given = torch.cat([test_x[:n], test_x[:8], test_x[:8]])  # one answer for n of them, 3 for 8
upper, gains = (torch.arange(28, device=dev) < 14)[None, :, None].expand(1, 28, 28), []
names = "known", "answer 1", "answer 2", "answer 3", "true"
for name, known in {"upper half known": upper, "lower half known": ~upper}.items():
    x = sample(made, len(given), rng, given=given, mask=known)
    alone, done = share_read(torch.where(known, test_x[:n], 0)), share_read(x[:n])
    gains.append(done - alone)
    print(f"{name}: read as the true digit {alone:.0%} as it is, {done:.0%} completed")
    rows = torch.where(known, test_x[:8], 0.4), x[:8], x[n : n + 8], x[n + 8 :], test_x[:8]
    rows = dict(zip(names, (part.cpu() for part in rows), strict=True))
    fig = plots.compare(rows, value_range=(0, 1), scale=2, caption=name)
assert gains[0] > profile(smoke=-1, standard=0.2 + max(0, gains[1]))

# %% [markdown] tags=["deeper", "workshop"]
# With the upper half known, the answers go on where the strokes end, and differ where more than one digit fits; compared with the half alone,
# the judge gains much. With the lower half known, the upper one is drawn *first*, from nothing, and the two halves need not meet: little or
# nothing is gained. **In raster order only what follows can be completed**; known pixels after the hole are ignored. A model with the reverse order
# would do.
#
# **Play** section 2's game again. Your guesses still count, and the models have joined. (One digit is luck: move `digit` before you judge.)

# %% tags=["deeper", "workshop"]
for name, net in {"FVSBN": fvsbn, "MADE": made}.items():
    players[name] = lambda x, net=net: net(x.to(dev)).sigmoid().detach().cpu()
explore.View(draw_game, [explore.slider(name, *span) for name, span in spans.items()])

# %% [markdown] tags=["deeper"]
# ## 8 Deeper: a world of 512 pictures
#
# On 3x3 pictures everything can be counted. Take the middle of every training digit, and four orders. **Predict.** Is the chance of ink
# in the centre pixel, after a row of ink above and nothing else, the same in all orders? Is the product?

# %% tags=["deeper", "export"]
def orders(height, width, rng):
    """Return four orders of the pixels of a picture, int64 (D,): the t-th number is drawn t-th."""
    grid = rest = torch.arange(height * width).view(height, width)
    found, spiral = {"raster": grid, "columns": grid.T}, []
    while rest.numel():  # take the top row, then turn the right column to the top
        spiral, rest = [*spiral, rest[0]], rest[1:].rot90()
    found |= {"spiral": torch.cat(spiral), "random": torch.randperm(grid.numel(), generator=rng)}
    return {name: order.flatten() for name, order in found.items()}


# %% tags=["deeper"]
worlds = torch.cartesian_prod(*torch.tensor([[0.0, 1.0]] * 9).double()).view(512, 1, 3, 3)
which = counted[..., 12:15, 12:15].long().flatten(1) @ 2 ** torch.arange(8, -1, -1)
p = torch.bincount(which, minlength=512).view([2] * 9).double() + 0.1
p /= p.sum()  # a table of the whole world: p[x1, ..., x9]
for name, order in orders(3, 3, device.generator(5)).items():
    known = [p.sum(dim=order[t:].tolist(), keepdim=True) for t in range(9)]  # chances of any past
    factors = [after / before for before, after in pairwise([*known, p])]  # p(t-th | those before)
    t = order.tolist().index(4)
    ink = factors[t].expand(p.shape)[1, 1, 1, 0, 1, 0, 0, 0, 0]
    print(f"{name:8} the centre is pixel number {t + 1}, its chance of ink {ink:.3f}")
    assert (math.prod(factors) - p).abs().max() < 1e-12

# %% [markdown] tags=["deeper"]
# The product is the same: each factor's denominator is the numerator before. The factors are not: the chance of ink depends on what is known
# by then. And a third proof for MADE: trained on this world, its 512 probabilities must sum to 1.
# KL counts the nats that it wastes.

# %% tags=["deeper"]
tiny = MADE(mean[:, 12:15, 12:15], torch.arange(9), hidden=(64,)).to(dev)
train_autoregressive(high, tiny, binary_batches(train[..., 12:15, 12:15], 128, rng), label="3x3")
exact = copy.deepcopy(tiny).cpu().double()
q, p = log_prob(exact, worlds).detach().exp(), p.flatten()
print(f"512 probabilities sum to {q.sum():.12f}; KL(counted || q) {(p * (p / q).log()).sum():.4f}")

# %% [markdown] tags=["deeper"]
# ## 9 Deeper: temperature
#
# With $T < 1$ each toss is safer. Surely the pictures then come from the *tempered model*, the joint $p(x)^{1/T} / Z$? On 3x3 we can look: temper
# all 512 probabilities, and compare with the product of tempered factors. How far *apart* two distributions are, the **total variation**
# says: half the sum of the absolute differences, 0 to 1.
#
# **Predict.** Are they the same? Which $T$ gives test digits the best likelihood? And what is drawn for $T \to 0$?

# %% tags=["deeper"]
for T in (0.5, 1.0, 2.0):
    joint, product = q ** (1 / T), log_prob(lambda x, T=T: exact(x) / T, worlds).detach().exp()
    apart = (joint / joint.sum() - product).abs().sum() / 2
    print(f"T = {T}: the product of the factors sums to {product.sum():.9f}; {apart:.4f} apart")
    assert abs(product.sum() - 1) < 1e-6 and (apart < 1e-9) == (T == 1.0)
heats, rows = (1e-3, 0.5, 1.0, 1.5), {}
hot = sample(made, 40, rng, temperature=torch.tensor(heats).repeat_interleave(10).to(dev))
for T, x in zip(heats, hot.split(10), strict=True):
    rows[f"T = {T}"], tempered = x.cpu(), nats(lambda x, T=T: made(x) / T)
    print(f"T = {T}: drawn pictures {nats(made, x):.1f} nats, test digits, tempered {tempered:.1f}")
fig = plots.compare(rows, value_range=(0, 1), scale=2)

# %% [markdown] tags=["deeper"]
# They are not the same. The product of tempered factors is a distribution, but another one: the tempered joint weighs how many likely pictures
# each toss *leads to*; a tempered factor looks at its own pixel, and forgets what follows. Test digits like $T = 1$ best: the training tuned the
# logits to be right, not safe. Cold pictures are cheap for the model, simple, and some nearly empty. For $T \to 0$ every toss takes the **likelier side**, and all
# ten pictures are one: an empty page, though no digit is empty. A stroke must begin *somewhere*, but at each single place paper is likelier.
#
# ## 10 Deeper: does the order matter?
#
# Every order can represent every distribution. But is one easier to learn? Four orders, the same network, few steps, one run each; then two of the orders with four times the steps. **Predict** the best and the worst, and whether the lead lasts.

# %% tags=["deeper"]
found, four = {}, orders(28, 28, device.generator(0))
for name, steps in [*((name, 100) for name in four), ("raster", 400), ("random", 400)]:
    torch.manual_seed(cfg.seed)
    model, label = MADE(mean, four[name], hidden=(800,)).to(dev), f"{name}, {steps} steps"
    arm, data = replace(cfg, steps=profile(smoke=2, standard=steps)), binary_batches(train, 128, rng)
    train_autoregressive(arm, model, data, label=label)
    found[label] = round(nats(model), 1)
fig = plots.bars(found, ylabel="nats a test digit")
lead = [found[f"raster, {steps} steps"] - found[f"random, {steps} steps"] for steps in (100, 400)]
assert profile(smoke=True, standard=lead[0] > 2 * lead[1] > 2)

# %% [markdown] tags=["deeper"]
# After the first steps the random order is far ahead, and the three tidy ones are near each other. With four times the steps most of the lead
# is gone: a lead in *speed*. Nothing here says that one order ends better than another, nor where the lead comes from. One difference
# was printed in section 5: in raster order a single hidden unit brings a pixel its left neighbour, in a random order hundreds may.
#
# ## 11 Deeper: sample in small steps
#
# Each of the 784 passes multiplies by all weights to learn one number, though only *one* pixel has changed since the last. Keep the sums
# that enter the hidden layer, $a = W_1 (x - \bar x) + b_1$. When pixel $j$ becomes $v$, $a$ grows by $v$ times *column* $j$ of $W_1$; and for the
# next logit one *row* of the last layer is enough. With 1000 hidden units that is $2 \cdot 1000 + 784$ products a pixel, where a pass takes $2
# \cdot 784 \cdot 1000 + 784^2$. NADE (Larochelle and Murray 2011) was built on this.
#
# **Exercise A. Build (★★, 15 minutes).** It must draw exactly what `sample` draws from the same seed. (The check says so in float64,
# where no toss is decided by rounding.)
#
# <details><summary>Hint 1</summary>The logit has two parts: the hidden one, from relu of <code>seen</code> and a row of
# <code>last</code>, and the regression's, from <code>flat - mean</code> and a row of <code>direct</code>.</details>
# <details><summary>Hint 2</summary><code>F.relu(seen) @ last[pixel] + (flat - mean) @ ___ + bias[pixel]</code>; toss as in
# <code>sample</code>; <code>seen += flat[:, pixel, None] * first[:, ___]</code>.</details>

# %% tags=["deeper", "exercise", "export"]
@torch.no_grad()
def sample_incremental(model, n, rng):
    """Draw the same n pictures as `sample` from a MADE with one hidden layer, in fewer products."""
    if len(model.inner) != 1:
        raise CourseError(f"One hidden layer is needed; this MADE has {len(model.inner)}.")
    first, last, direct = (f.weight * f.mask for f in (model.inner[0], model.last, model.direct))
    x, mean, bias = canvas(model, n)[0], model.mean.flatten(), model.last.bias + model.direct.bias
    seen, flat = (model.inner[0].bias - first @ mean).repeat(n, 1), x.view(n, -1)  # (n, hidden)
    for pixel in model.order.tolist():
        ### TODO: the logit (n,) of this pixel; the toss into flat; `seen` with the new pixel
        ### BEGIN SOLUTION
        logit = F.relu(seen) @ last[pixel] + (flat - mean) @ direct[pixel] + bias[pixel]
        flat[:, pixel] = torch.bernoulli(logit.sigmoid(), generator=rng)
        seen += flat[:, pixel, None] * first[:, pixel]
        ### END SOLUTION
    return x


# %% tags=["deeper"]
sample_incremental = checks.autoregressive.sample_incremental(sample_incremental)
with device.measure(dev) as quick:
    sample_incremental(made, 64, rng)
print(f"64 pictures in {quick.seconds:.2f} s, the plain way {drawing.seconds:.2f} s")

# %% [markdown] tags=["deeper"]
# The products are hundreds of times fewer, the seconds are not: 784 small steps are mostly Python.
#
# ## 12 Break it on purpose
#
# Three classic mistakes, of which none complains. **Predict** for each what is drawn: a pixel sees *itself*, by one `<=` in the place of
# `<`; the pixels are drawn in the reverse of the order of training; tosses are not written back, so that each pixel is guessed from an
# empty canvas. (A fourth, the likelier side instead of a toss, is section 9's $T \to 0$.)

# %% tags=["deeper"]
leaky = FVSBN(mean, raster).to(dev)
leaky.direct.mask.fill_diagonal_(True)
train_autoregressive(high, leaky, binary_batches(train, 128, rng), label="leaky")
copied = ((leaky(test_x) > 0) == (test_x > 0)).float().mean()
print(f"leaky: {nats(leaky):.1f} nats; {copied:.2%} of the test digits' pixels 'reconstructed'")
backwards, blind = copy.deepcopy(made), made(torch.zeros_like(drawn[:8])).detach().sigmoid()
backwards.order, unfed = made.order.flip(0), torch.bernoulli(blind, generator=rng)
rows = {"as it should be": drawn, "leaky": sample(leaky, 8, rng)}
rows |= {"reversed": sample(backwards, 8, rng), "not fed back": unfed}
fig = plots.compare({name: x[:8].cpu() for name, x in rows.items()}, value_range=(0, 1), scale=2)

# %% [markdown] tags=["deeper"]
# **The leak has by far the best score of the lesson**, it "reconstructs" every picture at a glance, and draws next to nothing: when a pixel's
# turn comes, its own place is still empty, and it copies that. Reversed, every question has a blank past. What is not written down never
# tells that a stroke has begun. No training loss shows any of it; samples, Jacobian and the sum over a tiny world do.
#
# What cannot work ends in a sentence: grey pixels, pictures of another size, an `order` that is no permutation, too few hidden units, a
# temperature of 0, a `given` or `mask` that does not fit. Try `log_prob(made, test.float())`. Training digits without any ink do no harm:
# lesson 01's smoothing keeps the chance of ink above 0.
#
# ## 13 Exercises
#
# **B. Predict (★, 5 minutes).** Where in a picture are the nats spent? Sketch it.
#
# <details><summary>Hint 1</summary>Which pixels does nobody know, though all before are seen? Inside a stroke, or far from one, there is hardly a
# doubt.</details>
# <details><summary>Hint 2</summary>Call a pixel an edge if its 3x3 neighbourhood holds both ink and paper.</details>
#
# <details><summary>Answer to B</summary>At outlines, and most where strokes begin without a warning from above. And wherever the rim is grey: the
# floor of section 5 lies there.</details>

# %% tags=["deeper"]
spent = F.binary_cross_entropy_with_logits(made(test_x).detach(), test_x, reduction="none")
edge = F.max_pool2d(test_x, 3, 1, 1) + F.max_pool2d(-test_x, 3, 1, 1) > 0
print(f"edges: {edge.double().mean():.0%} of the pixels, {spent[edge].sum() / spent.sum():.0%} of the nats")
fig = plots.heatmap(spent.mean(dim=0)[0].cpu(), xlabel="column", ylabel="row", unit="nats")

# %% [markdown] tags=["deeper"]
# **C. Build (★★★, 20 minutes): NADE.** Larochelle and Murray (2011) give each pixel a hidden layer of its own, but with *shared* weights:
# $h_i = \sigma(c + \sum_{j<i} W_{:,j} x_j)$ and $\ell_i = b_i + V_i h_i$. No mask is needed; the sum just stops before $i$.
#
# <details><summary>Hint 1</summary>As in exercise A: start from c; for each pixel first answer, then add its column times x.</details>
# <details><summary>Hint 2</summary><code>seen = seen + pixel[:, None] * W[:, ___]</code> makes a new tensor; then
# <code>torch.stack(logits, dim=1)</code>.</details>

# %% tags=["deeper", "exercise", "export"]
def nade(x, c, W, b, V):
    """Return logits like x, in raster order; c (hidden,), W (hidden, D), b (D,), V (D, hidden)."""
    ### TODO: a running sum; for each pixel in turn its logit, then its share of the sum
    ### BEGIN SOLUTION
    seen, logits = c.expand(len(x), -1), []
    for i, pixel in enumerate(x.flatten(1).T):
        logits.append(b[i] + seen.sigmoid() @ V[i])
        seen = seen + pixel[:, None] * W[:, i]
    return torch.stack(logits, dim=1).view_as(x)
    ### END SOLUTION


# %% tags=["deeper"]
nade = checks.autoregressive.nade(nade)

# %% [markdown] tags=["deeper"]
# An exact likelihood, too. But pixel i's hidden layer differs from pixel i + 1's: 784 for each picture, where MADE has one. A loop over them
# is slow; `cumsum` makes all at once, in 784 times the memory.
#
# **D. Debug (★★, 10 minutes).** A colleague's sampler is 28 times faster, for it draws a row at a time. The strokes are frayed, left and
# right. Why? (Let `sample`, too, ask only once a row: what does its check say?)
#
# ```python
# def draw(model, n):
#     x = torch.rand(n, 1, 28, 28).round()
#     for row in range(28):
#         x[:, :, row] = torch.bernoulli(model(x).sigmoid()[:, :, row])
#     return x
# ```
#
# <details><summary>Hint 1</summary>What stands to the left of a pixel when its chance is computed?</details>
# <details><summary>Hint 2</summary>And what stands there afterwards?</details>
#
# <details><summary>Answer to D</summary>Noise. Each pixel is guessed from a left neighbour that is replaced in the same moment. Between rows all
# is well; within a row the pixels know nothing true of each other.</details>

# %% [markdown] tags=["core", "workshop"]
# ## 14 To discuss, and to keep
#
# <details><summary><b>A8.</b> "Training is slow, for the network goes through the picture pixel by pixel." True?</summary>No: one pass
# gives all 784 guesses, since the real picture stands in for the pixels before. Only sampling goes pixel by pixel.</details>
# <details><summary><b>A5.</b> The loss is near 0 and the model reproduces any picture at one glance. What do you do?</summary>You look for the
# leak, with the Jacobian. A glance at a whole picture is no sample.</details>
# <details><summary>In training the past is always real, in sampling it is the model's own. Does that matter?</summary>One unlucky
# toss leads to a past that was never trained on, and errors may grow. The likelihood, an average over real pasts, does not see
# it; samples do. Cooler tosses avoid strange pasts, at a price.</details>
#
# **Summary**
#
# - Any distribution is a product of guesses at the next pixel. A network that guesses them all at once, and sees only what came
#   before, has an exact likelihood: fast to compute, slow to sample.
# - 784 logistic regressions are one triangular matrix; masks by degree do the same for networks with hidden layers.
# - Masks are proven, not hoped for: the Jacobian finds leaks, the count of paths finds what is forbidden too much.
# - Training in parallel (teacher forcing), sampling in sequence. In a given order only what follows can be completed.
# - A likelihood has a floor: what the data toss, no model can save. Compare models above it.
#
# **Later lessons import** `log_prob`, `sample`, `train_autoregressive`, `binary_batches`, `orders` and `MADE`. **Limits:** every pixel has weights of its own: MADE
# does not know that pixels have neighbours, nor that a stroke may move. Lesson 42 brings convolutions; 43 greys and colour.
#
# **Papers.** Frey, Hinton and Dayan (1996), *Does the wake-sleep algorithm produce good density estimators?* · Larochelle and Murray
# (2011), *The neural autoregressive distribution estimator* · Germain et al. (2015), *MADE: masked autoencoder for distribution estimation*, sections 3 and 4.
