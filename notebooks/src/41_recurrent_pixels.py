# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown] tags=["core", "workshop"]
# # 41 Remember the rows, pack the picture
#
# You will build a network that reads pictures row by row and remembers, and a coder that turns its guesses into a file: as long as
# the bits promised, and not one pixel lost.
#
# ![Eight test digits from the cheapest to the costliest, what the model expected of each pixel, and where it was surprised](../data/pictures/41-033.png)
#
# | | |
# |---|---|
# | **You need** | the chain rule, masks, sampling (lesson 40); bits (lesson 01) |
# | **Time** | 60 minutes for the core, 65 more for the rest; the notebook itself runs in 2 minutes on two cores |
# | **Machine** | no GPU, no network, 1.2 GB of memory |
#
# Afterwards you can
#
# 1. write a GRU cell, and say what each gate is for,
# 2. build a causal model of rows from it, and prove that it does not look ahead,
# 3. turn probabilities into a file with rANS, and back, without a loss,
# 4. say what a file costs beyond the model's bits,
# 5. show where a picture's bits are, and why both ends need the very same numbers (deeper).
#
# > **Remember.** A model that predicts is a model that compresses: $-\log_2 p(x)$ bits are the length of a file. To unpack is to sample, with the file as dice.

# %% tags=["core", "workshop", "export"]
import copy
import io
import math
import struct
import zlib
from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from course_lib import checks, datasets, device, explore, plots, settings
from course_lib.built import autoregressive as lesson40
from course_lib.built.autoregressive import MaskedLinear, earlier, require_binary
from course_lib.built.score_a_generator import IndependentPixels, NeighbourTable
from course_lib.settings import CourseError, data_name, profile

# %% [markdown] tags=["core", "workshop"]
# ## 1 The data: a fax
#
# A fax machine knows black and white. So does this lesson: a byte of 128 or more is ink, anything else is paper. Lesson 40
# tossed for each grey; here nothing is tossed, and all bits are structure. Axes: B pictures (of a file: n), H rows of W pixels.

# %% tags=["core", "workshop", "export"]
@dataclass
class Config:
    """The numbers of lesson 41; `profile` picks the value for the profile that you run in."""

    steps: int = profile(smoke=30, standard=4500, full=60000)
    batch_size: int = 32  # few pictures, many steps: every row is an example
    lr: float = 5e-3  # the highest; it falls along half a cosine
    measure_every: int = 50  # steps
    seed: int = 0


def fax(images):
    """Return uint8 images as ink and paper: float32 of the same shape, 1 where a byte is >= 128."""
    return (images >= 128).float()


# %% tags=["core", "workshop"]
cfg, dev = Config(), device.pick_device()
rng = device.generator(cfg.seed, dev)
torch.manual_seed(cfg.seed)  # the layers' first weights
train = datasets.load(data_name(), "train", size=profile(smoke=2000, standard=None)).images.to(dev)
test_x = fax(datasets.load(data_name(), "test", size=profile(smoke=500, standard=None)).images).to(dev)
assert train.shape[1:] == (1, 28, 28) and test_x.unique().tolist() == [0, 1]
fig = plots.show_images(test_x[:20].cpu(), value_range=(0, 1), columns=10, scale=2)


# %% [markdown] tags=["core", "workshop"]
# ## 2 A state that sweeps
#
# MADE has weights of its own for each pixel; hardly anything that it learns at one place helps at another. A reader of a fax
# keeps in mind what matters of the lines so far, a **state** $h$, and changes it a little with each line, *by the same rule everywhere*. The simplest rule is
#
# $$ h' = \tanh(W x + U h + b) , $$
#
# where $x$ is the line just read. But *all* of this state is made anew with each line: what is to survive ten lines must go ten times through $U$ and
# tanh. The **gated recurrent unit** (GRU; Cho et al. 2014) makes a proposal $c$ instead, and a gate $z$, numbers
# from 0 to 1, decides for each unit how much of the *old* value stays:
#
# $$ \begin{aligned} r &= \sigma(a_r + s_r), \qquad z = \sigma(a_z + s_z), \\ c &= \tanh(a_c + r \circ s_c), \\ h' &= (1 - z) \circ c + z \circ h . \end{aligned} $$
#
# Here $a = W x + b$ and $s = U h + b'$, of three parts each: what the line says, and what the state says. Where $z = 1$, the old value passes
# untouched, and so does its gradient. The gate $r$ says how much the state counts in the proposal: where
# $r = 0$, it starts afresh from the line.
#
# | symbol | variable | shape |
# |---|---|---|
# | $x$; pictures in a file | `x`; `n` | (B, 1, H, W) in {0, 1}; number |
# | $a$; $s$ | `told`; `recalled` | (B, 3 hidden), in the order r, z, c |
# | $r$, $z$; $c$ | `r`, `z`; `c` | (B, hidden), from 0 to 1; from -1 to 1 |
# | $h$; all states of a sequence | `state`; `states` | (B, hidden); (B, H, hidden) |
# | $f_v$, $F_v$ (section 6) | `width`, `start` | whole numbers; all widths sum to $2^k$ |
# | $k$ | `BITS` | 16 |
# | $X$ (section 6) | `state` of a stack, not of a GRU | whole number, any size |
#
# **Your turn (★, 6 min).** Write one step. The order r, z, c is torch's (which calls $c$ *n*). Cho et al. apply $r$ to
# $h$ *before* the matrix, $U_c (r \circ h)$; torch, as here, after it, so that one product $U h$ serves all three parts.
#
# <details><summary>Hint 1</summary><code>.chunk(3, dim=1)</code> cuts (B, 3 hidden) into three. Two sigmoids, one tanh, one mixture.</details>
# <details><summary>Hint 2</summary><code>(told_r, told_z, told_c), (recalled_r, ...) = (part.chunk(3, dim=1) for part in (told, recalled))</code>;
# inside the tanh: <code>told_c + r * ___</code>; at last <code>(1 - z) * ___ + z * ___</code>.</details>
#
# The check compares one step with `torch.nn.GRUCell`, then the lesson 28 with `torch.nn.GRU`, with the same weights.

# %% tags=["core", "workshop", "export", "exercise"]
def gru_step(told, recalled, state):
    """Return the next state (B, hidden) of told = W x + b, recalled = U h + b', (B, 3 hidden)."""
    ### TODO: cut both into three; the gates r and z; the proposal c; the mixture
    ### BEGIN SOLUTION
    (told_r, told_z, told_c), recalled = told.chunk(3, dim=1), recalled.chunk(3, dim=1)
    r, z = (told_r + recalled[0]).sigmoid(), (told_z + recalled[1]).sigmoid()
    c = (told_c + r * recalled[2]).tanh()
    return (1 - z) * c + z * state
    ### END SOLUTION


class GRU(nn.Module):
    """A GRU over sequences (B, T, inputs) -> all states (B, T, hidden); it starts at 0."""

    def __init__(self, inputs, hidden):
        super().__init__()
        self.told, self.recalled = nn.Linear(inputs, 3 * hidden), nn.Linear(hidden, 3 * hidden)

    def forward(self, sequence):
        state, states = sequence.new_zeros(len(sequence), self.recalled.in_features), []
        for told in self.told(sequence).unbind(dim=1):
            states.append(state := gru_step(told, self.recalled(state), state))
        return torch.stack(states, dim=1)


# %% tags=["core", "workshop"]
gru_step = checks.recurrent_pixels.gru_step(gru_step)
ours, theirs = GRU(28, 50).double(), nn.GRU(28, 50, batch_first=True).double()
for weights, k in zip(ours.parameters(), (0, 2, 1, 3), strict=True):
    weights.data = theirs.all_weights[0][k].data
rows = test_x[:16, 0].cpu().double()
assert torch.allclose(ours(rows), theirs(rows)[0], rtol=0, atol=1e-12)


# %% [markdown] tags=["core", "workshop"]
# ## 3 A model of rows
#
# The chain rule asks for a guess at each *pixel*. A plain recurrent network walks over pixels, 784 steps, and that
# is slow; PixelRNN (van den Oord et al. 2016) found ways round it (section 11). Ours walks over *rows*, 28 steps, and a pixel has two kinds of past:
#
# - the **rows above**: the GRU has read them. Its state goes to every pixel of the row;
# - the **pixels to the left**: lesson 40's masks, now for 28 pixels: the *same* small masked network for every row.
#
# Each pixel also has a bias of its own, at first the logit of its mean. All other weights that lead to the logits start at 0: the model begins as lesson 01's independent pixels.
#
# The state that row $i$ gets must have read rows $0 \dots i-1$ and *not* row $i$. So the rows enter the GRU
# **shifted by one**: first a row of zeros (the mean is off already), then row 0, and so on; the last row does not enter.
#
# **Your turn (★★, 7 min).** Write `forward`. `self.answer(rows, states)` is there; it is the masked network and takes (B, H, W) and (B, H, hidden).
#
# <details><summary>Hint 1</summary>Take the mean off, drop the channel; shift; run the GRU; ask <code>answer</code>; add the bias (H, W), and give the channel
# back. What enters the answer are the rows themselves, not shifted: the masks take care.</details>
# <details><summary>Hint 2</summary><code>rows = (x - self.mean)[:, 0]</code>; <code>F.pad(rows[:, :-1], (0, 0, ___, ___))</code> pads rows with
# zeros; the four numbers count left, right, above, below. Then <code>self.answer(rows, self.gru(___)) + self.bias</code>.</details>
#
# Then the proof, as in lesson 40, on 8x8 pixels with random weights: $\partial \ell_i / \partial x_j$ is *exactly* 0 unless $j$ comes before $i$, and not 0
# where it does.

# %% tags=["core", "workshop", "export", "exercise"]
class RowGRU(nn.Module):
    """A GRU over the rows above, masks within: x (B, 1, H, W) in {0, 1} -> logits shaped like x."""

    def __init__(self, mean, hidden=160, width=128):
        super().__init__()
        _, H, W = mean.shape
        self.register_buffer("mean", mean)
        self.register_buffer("order", torch.arange(H * W))
        self.gru, (inner, last) = GRU(W, hidden), lesson40.masks(torch.arange(W), width)
        self.inner, self.last = MaskedLinear(inner, scale=2**0.5), MaskedLinear(last)
        self.direct = MaskedLinear(earlier(torch.arange(W)))
        self.to_inner, self.to_logits = nn.Linear(hidden, width), nn.Linear(hidden, W, bias=False)
        nn.init.zeros_(self.to_logits.weight)
        self.bias = nn.Parameter(mean[0].logit())

    def answer(self, rows, states):
        """Return logits (..., W), but for the bias, of rows (..., W) after states (..., hidden)."""
        h = F.relu(self.inner(rows) + self.to_inner(states))
        return self.last(h) + self.direct(rows) + self.to_logits(states)

    def forward(self, x):
        if x.shape[1:] != self.mean.shape:
            raise CourseError(f"The model knows {[*self.mean.shape]}, not {[*x.shape[1:]]}.")
        ### TODO: rows less their mean; the states of the rows above; the answer and the bias
        ### BEGIN SOLUTION
        rows = (x - self.mean)[:, 0]  # (B, H, W)
        states = self.gru(F.pad(rows[:, :-1], (0, 0, 1, 0)))  # (B, H, hidden)
        return (self.answer(rows, states) + self.bias).unsqueeze(1).to(x.dtype)
        ### END SOLUTION


# %% tags=["core", "workshop"]
RowGRU = checks.recurrent_pixels.row_gru(RowGRU)
counted = fax(train).byte().cpu()
pixels, table = IndependentPixels(levels=2).fit(counted), NeighbourTable(levels=2).fit(counted)
mean = pixels.p[:, 1].view(1, 28, 28).float()  # how often each pixel has ink
tiny = RowGRU(mean[:, 10:18, 10:18], hidden=16, width=16).double()
for weights in tiny.parameters():
    nn.init.normal_(weights, std=0.3)
x, before = torch.rand(1, 1, 8, 8).double(), earlier(tiny.order)
J = torch.autograd.functional.jacobian(tiny, x, vectorize=True).view(64, 64)
assert (J[~before] == 0).all() and (J[before] != 0).all(), "a leak, or a blind pixel"


# %% [markdown] tags=["core", "workshop"]
# Lesson 40's loop trains it as it is. We count in bits from now on, $-\log_2 p(x)$ for a picture; a byte is 8.
#
# First a copy learns ten digits by heart. Beside RowGRU trains MADE, with its own batch size of 128 and many times the weights. **Predict.** How few bits can the ten cost? Which net needs fewer for
# test digits, and by how much? And for which do *training* digits cost clearly less than test digits?

# %% tags=["core", "workshop"]
def bits(model, x=test_x):  # of each picture, float64 (n,)
    return -torch.cat([lesson40.log_prob(model, part).detach().cpu() for part in x.split(500)]).double() / math.log(2)


net, made = RowGRU(mean).to(dev), lesson40.MADE(mean, torch.arange(784)).to(dev)
scores = {"independent pixels": bits(net).mean().item(),  # as which RowGRU begins
          "left+up table": -table.log_likelihood(test_x.cpu().byte()).mean().item() / math.log(2)}
few, ten, twin = Config(steps=profile(smoke=3, standard=400), lr=2e-2), fax(train[:10]), copy.deepcopy(net)
lesson40.train_autoregressive(few, twin, iter(lambda: ten, None), label="ten digits, again and again")
start, heart, others = (bits(*pair).mean() for pair in ((net, ten), (twin, ten), (twin, test_x)))
print(f"ten digits cost {start:.1f} bits, learned by heart {heart:.2f}, but test digits {others:.0f}")
assert math.log2(10) < heart < profile(smoke=start, standard=5)
plans, curve = {"MADE": (made, Config(steps=cfg.steps * 2 // 5, batch_size=128)), "RowGRU": (net, cfg)}, {}
for name, (model, plan) in plans.items():
    data = (fax(x) for (x,) in datasets.batches(train, batch_size=plan.batch_size, generator=rng))
    curve[name] = lesson40.train_autoregressive(plan, model, data, label=name)["nats"]
    known, scores[name] = bits(model, fax(train[:2000])).mean(), bits(model).mean().item()
    seen = f"{device.count_parameters(model):,} weights, {plan.steps * plan.batch_size:,} pictures seen"
    print(f"{name}: {seen}; training digits {known:.1f} bits")
fig = plots.curves(curve, xlabel="step", ylabel="nats a training digit", smooth=25)
fig = plots.bars(scores, ylabel="bits a test digit, less is better")
assert profile(smoke=True, standard=scores["RowGRU"] < 0.92 * scores["MADE"])


# %% [markdown] tags=["core", "workshop"]
# Ten different pictures cost $\log_2 10$ bits or more (lesson 40). RowGRU needs clearly fewer bits, with far fewer weights (of MADE's, about half are masked) and fewer pictures, though more seconds. MADE has begun to know its training digits by
# heart. A likely reason: what RowGRU learns at one row it can use at all others.
#
# ## 4 Walk
#
# Lesson 40's `sample` asks the whole model for every pixel: 784 passes of 28 steps each. But while a row is drawn, the state of the rows above stays. So walk: one GRU step a row, 28 in all, and for each pixel only the small masked network.
#
# `choose` gets the logits of a pixel and returns the values to write. It may toss. The
# compressor will come in through the same opening, *and so will the decompressor*.

# %% tags=["core", "workshop", "export"]
@torch.no_grad()
def walk(model, n, choose):
    """Fill n pictures (n, 1, H, W) in raster order: choose(pixel, logits (n,)) -> values (n,)."""
    x = model.mean.new_zeros(n, *model.mean.shape)
    above, state, W = x[:, 0, 0], x.new_zeros(n, model.gru.recalled.in_features), x.shape[3]
    for i, (mean, bias) in enumerate(zip(model.mean[0], model.bias, strict=True)):
        state = gru_step(model.gru.told(above), model.gru.recalled(state), state)
        row = x[:, 0, i]  # a view: what is written here is written into x
        for j in range(W):
            row[:, j] = choose(i * W + j, model.answer(row - mean, state)[:, j] + bias[j]).to(row)
        above = row - mean
    return x


def draw(model, n, rng):
    """Draw n pictures (n, 1, H, W) from a RowGRU: lesson 40's sample, toss by toss, but sooner."""
    return walk(model, n, lambda _, logits: torch.bernoulli(logits.sigmoid(), generator=rng))


# %% tags=["core", "workshop"]
n, exact = profile(smoke=2, standard=10), copy.deepcopy(net).cpu().double()  # see section 10
with device.measure() as plain:
    slow = lesson40.sample(exact, n, device.generator(1))
with device.measure() as walking:
    assert torch.equal(slow, draw(exact, n, device.generator(1)))
print(f"{n} pictures, the same tosses: {plain.seconds:.1f} s and {walking.seconds:.2f} s")
rows = torch.stack([lesson40.sample_incremental(made, 10, rng), draw(net, 10, rng), test_x[:10]]).cpu()
fig = plots.compare(dict(zip(("MADE", "RowGRU", "test"), rows, strict=True)), value_range=(0, 1), scale=2)


# %% [markdown] tags=["core", "workshop"]
# The same pictures, many times sooner. Compare the rows: fewer bits *are* better digits here.
#
# ## 5 From bits to a file: the interval
#
# Shannon's promise: what has probability $p$ can be written in about $-\log_2 p$ bits. For $p = 1/8$, 3 bits, that is easy; but a
# pixel with $p = 0.97$, 0.04 bits, cannot have a code word of its own. The way out: write *all pixels into one number*.

# %% [markdown] tags=["deeper", "workshop"]
# ### Deeper: the interval
#
# Cut the numbers from 0 to 1 in the shares of the symbols: a 4/8, b 3/8, c 1/8. The first symbol of a message says which part we are in;
# cut *that* part in the same shares for the second; and so on.
#
# ```text
# 0                               0.5                     0.875   1
# |               a               |           b           |   c   |
# b:                              |     a     |   b    |c |
# ba:                             |  a  | b |c|
# bac: from 0.6640625 to 0.6875             | |
# ```
#
# The last interval's length is the product of the probabilities, $p(\text{bac}) = 3/128$, 5.42 bits. A number inside with at most two binary digits more than $-\log_2 p$ names the message (0.101011, six digits, is 0.671875), if its length is known; rounding up is paid *once*,
# not for each symbol. That is **arithmetic coding** (Witten, Neal and Cleary 1987). In practice it keeps two whole numbers, and has carries to watch. A
# younger relative needs one whole number and two lines.

# %% [markdown] tags=["core", "workshop"]
# ## 6 One whole number (rANS)
#
# Let a, b and c have probabilities 4/8, 3/8 and 1/8: whole widths $f_v$ that sum to $2^k$, here $k = 3$, $f = (4, 3, 1)$ with starts $F = (0, 4, 7)$. Now colour *all* whole numbers: $X$
# belongs to the symbol in whose interval its **slot** $X \bmod 2^k$ lies. Then count the numbers of each symbol separately:
#
# | $X'$ | 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10 | 11 | 12 | 13 | 14 | 15 | 16 |
# |---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|
# | symbol | a | a | a | a | b | b | b | c | a | a | a | a | b | b | b | c | a |
# | $X$, its number among those | 0 | 1 | 2 | 3 | 0 | 1 | 2 | 0 | 4 | 5 | 6 | 7 | 3 | 4 | 5 | 1 | 8 |
#
# Each column pairs one $X'$ with one (symbol, $X$), and none is left over. So a number $X$ and a symbol $v$ can be *packed* into one number:
# take the $X$-th number of colour $v$. Where is it? Each block of $2^k$ numbers has $f_v$ of that colour, so go to block
# $\lfloor X / f_v \rfloor$, to the start $F_v$, and on by the rest:
#
# $$ X' = \lfloor X / f_v \rfloor \cdot 2^k + F_v + X \bmod f_v . $$
#
# Backwards: the slot says the symbol, and the same equation is solved for $X$: the block's number, times $f_v$, plus how far the slot lies beyond $F_v$,
#
# $$ X = \lfloor X' / 2^k \rfloor \cdot f_v + X' \bmod 2^k - F_v . $$
#
# And the bits?
# $X' \approx X \cdot 2^k / f_v = X / p_v$, so $\log_2 X'$ has grown by $-\log_2 p_v$. This is **rANS** (Duda 2013).
#
# The symbol packed *last* comes out *first*: a stack.
#
# **Your turn (★★, 8 min).** Write both.
#
# <details><summary>Hint 1</summary>Python's whole numbers have no end: <code>//</code>, <code>%</code>, and <code>&lt;&lt; bits</code> for times
# 2**bits. (<code>+</code> binds before <code>&lt;&lt;</code>: use brackets.) Try the column 13: it is b, and X is 4.</details>
# <details><summary>Hint 2</summary><code>(state // width &lt;&lt; bits) + ___ + state % ___</code>; back: <code>width = starts[symbol + 1] -
# starts[symbol]</code>, then <code>(state &gt;&gt; bits) * ___ + slot - ___</code>.</details>

# %% tags=["core", "workshop", "export", "exercise"]
BITS, TOTAL = 16, 1 << 16  # probabilities are whole 65536ths


def push(state, start, width, bits=BITS):
    """Return the number that packs [start, start + width) of 2**bits on state. Duda (2013)."""
    ### TODO: the state-th number of this symbol
    ### BEGIN SOLUTION
    return (state // width << bits) + start + state % width
    ### END SOLUTION


def pop(state, starts, bits=BITS):
    """Return (symbol, state), push undone; starts: of symbols 0, 1, ..., and at last 2**bits."""
    slot = state % (1 << bits)
    symbol = bisect_right(starts, slot) - 1
    ### TODO: the symbol's width, and the state before its push
    ### BEGIN SOLUTION
    width = starts[symbol + 1] - starts[symbol]
    return symbol, (state >> bits) * width + slot - starts[symbol]
    ### END SOLUTION


# %% tags=["core", "workshop"]
push, pop = checks.recurrent_pixels.push(push), checks.recurrent_pixels.pop(pop)
shares = {"a": (0, 4), "b": (4, 3), "c": (7, 1)}  # start and width, in eighths
state, need, message = 8, 0.0, "bacabaaabaab"
for letter in message:
    state, need = push(state, *shares[letter], bits=3), need - math.log2(shares[letter][1] / 8)
    print(letter, state, end="  ")
print(f"\ngrown by {math.log2(state / 8):.2f} bits, promised were {need:.2f}; back: ", end="")
while state > 8:
    symbol, state = pop(state, (0, 4, 7, 8), bits=3)
    print("abc"[symbol], end="" if state > 8 else "\n")


# %% [markdown] tags=["core", "workshop"]
# Why does it start at 8? Below $2^k$ the promise fails: 0, 1, 2 and 3 are all a's of the first block, so that on 1 you can pile as many a's as you like, and it stays 1. Every width is below $2^k$, so from there on each
# push changes the block, and the state grows. The start costs $k$ bits, once.
#
# **A number of bounded size.** For a thousand digits the state would have some 80,000 bits, and each push would walk through all of
# them. `Stack`, given, keeps it below 64 bits: when it would grow beyond, its lower 32 bits are first set aside, as a *word*; when pop finds it below $2^{32}$, the last word comes back.
#
# <details><summary>Deeper: does pop take the word back at the right moment?</summary>Say that before a push the state X is at least 2<sup>32</sup>, and below 2<sup>64</sup>. If a word is set aside for this push,
# what is left is below 2<sup>32</sup>; else it is X, not below. So, once pop has undone the push, the state is below 2<sup>32</sup> exactly if a word was set aside for it. After the push it is at least 2<sup>32</sup> again. (The first
# few symbols lie on less, but then no word is left.)</details>

# %% tags=["core", "workshop", "export"]
class Stack:
    """A stack of symbols that becomes a file: last in, first out. The state is below 2**64."""

    def __init__(self, data=b"\1\0\0"):  # 2**16
        head = len(data) - 4 * max(0, (len(data) - 5) // 4)  # 5 to 8 bytes, or all if fewer
        self.state = int.from_bytes(data[:head], "big")
        self.words = np.frombuffer(data[head:], dtype=">u4")[::-1].tolist()

    def push(self, start, width):
        if self.state >= width << (64 - BITS):  # it would not stay below 2**64
            self.words.append(self.state & 0xFFFFFFFF)
            self.state >>= 32
        self.state = push(self.state, start, width)

    def pop(self, starts):
        symbol, self.state = pop(self.state, starts)
        if self.state < 1 << 32 and self.words:
            self.state = self.state << 32 | self.words.pop()
        return symbol

    def to_bytes(self):
        head = self.state.to_bytes((self.state.bit_length() + 7) // 8, "big")
        return head + np.array(self.words[::-1], dtype=">u4").tobytes()


# %% tags=["core", "workshop", "export"]
HEADER = struct.Struct("<4sII")  # a sign, how many pictures, of which model


def whole(logits):
    """Return the widths of ink, int64, of logits: sigmoid in whole TOTALths, never 0 nor all."""
    return (logits.cpu().double().sigmoid() * TOTAL).round().long().clamp(1, TOTAL - 1)


def interval(values, logits):
    """Yield for each of values (n,) its interval, (start, width): paper first, then ink."""
    for ink, value in zip(whole(logits).tolist(), values.tolist(), strict=True):
        yield (TOTAL - ink, ink) if value else (0, TOTAL - ink)


def fingerprint(model, n=0):
    """Return 32 bits that change with a model's weights, and with n, how many pictures follow."""
    return zlib.crc32(b"".join(p.cpu().numpy().tobytes() for p in model.state_dict().values()), n)


# %% [markdown] tags=["core", "workshop"]
# ## 7 Pack digits
#
# Now both ends meet. `walk` gives the logits of a pixel; `whole` makes them whole widths of ink. Each side keeps at least 1: what has width 0 cannot be packed, however rarely
# it comes. A header holds how many pictures follow, and a **fingerprint** of this and of the model's weights: no other model can unpack them.
#
# **The decoder** walks over an empty canvas. At each pixel it knows the logits, pops the value that was packed with them, and writes it down, so that the next
# logits are right, too. It is `draw`, with the stack as dice.
#
# **The encoder** does the same walk, not one pass of `net(x)`, whose logits may differ in their last digits (section 10). It writes down the pixels it knows, and notes their intervals. (Why can it not push at once?)
#
# **Your turn (★★, 8 min).** Write it.
#
# <details><summary>Hint 1</summary>Last in, first out: the decoder wants the first pixel of the first picture first. So gather all intervals in the order of the
# walk, then push from the end.</details>
# <details><summary>Hint 2</summary>Inside: <code>def known(pixel, logits): intervals.extend(interval(flat[:, ___], logits)); return ___</code>. Then
# <code>walk(model, len(x), known)</code>, and for each of <code>reversed(intervals)</code> a <code>stack.push(*___)</code>.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def compress(model, x, walk=walk):
    """Return x (n, 1, H, W) in {0, 1}, packed by a model, as bytes. CourseError: greys, sizes."""
    require_binary(x)
    if x.shape[1:] != model.mean.shape or not len(x):
        raise CourseError(f"The model packs pictures {[*model.mean.shape]}, not {[*x.shape]}.")
    stack, intervals, flat = Stack(), [], x.flatten(1)
    ### TODO: walk with the known pixels, gather their intervals, push them in the right order
    ### BEGIN SOLUTION

    def known(pixel, logits):
        intervals.extend(interval(flat[:, pixel], logits))
        return flat[:, pixel]

    walk(model, len(x), known)
    for one in reversed(intervals):
        stack.push(*one)
    ### END SOLUTION
    return HEADER.pack(b"ROWS", len(x), fingerprint(model, len(x))) + stack.to_bytes()

# %% tags=["core", "workshop", "export"]
def popped(stack, logits):
    """Return the next values (n,) from a stack, by logits (n,)."""
    return torch.tensor([stack.pop((0, TOTAL - ink, TOTAL)) for ink in whole(logits).tolist()])


def decompress(model, data, walk=walk):
    """Return the pictures that `compress` packed with the same model. CourseError: damaged."""
    sign, n, maker = HEADER.unpack_from(data.ljust(HEADER.size, b"\0"))
    if sign != b"ROWS" or maker != fingerprint(model, n):
        raise CourseError("These bytes are damaged, no pictures, or packed with another model.")
    stack = Stack(data[HEADER.size :])
    x = walk(model, n, lambda _, logits: popped(stack, logits))
    if stack.words or stack.state != TOTAL:
        raise CourseError("The pictures do not unpack: damaged, cut, or rounded otherwise.")
    return x


# %% tags=["core", "workshop"]
compress = checks.recurrent_pixels.compress(compress)
sheet, path = test_x[: profile(smoke=20, standard=1000)], settings.work_dir() / "digits.rows"
with device.measure(dev) as cost:
    settings.write(path, compress(net, sheet))
    assert torch.equal(decompress(net, path.read_bytes()), sheet), "a pixel was lost"
print(f"{len(sheet):,} digits to a file and back, every pixel right, in {cost.seconds:.1f} s")


# %% [markdown] tags=["core", "workshop"]
# (What is to come out first must be pushed last: so it has to wait for all the others.) Now compare, in bytes a digit: the bare bits (98); PNG at one bit a pixel, each digit alone, or all on one sheet; a sheet in the fax machines' own code (group 4);
# zlib on the bare bits; lesson 01's table and MADE, if they packed; our file, header and all. **Predict** the order. And how many bytes does our file lie above the model's bits?

# %% tags=["core", "workshop"]
def picture_file(x, kind="PNG", **options):  # bytes of pictures (n, 1, H, W), 20 in a row
    page = torch.cat([torch.cat([*line], dim=2) for line in x.cpu().split(20)], dim=1)[0]
    page, file = Image.fromarray((255 * page).byte().numpy()).convert("1"), io.BytesIO()
    page.save(file, kind, **options)
    return len(file.getvalue())


bare = np.packbits(sheet.cpu().byte().numpy()).tobytes()
sizes = {"bare bits": len(bare), "PNG, each alone": sum(map(picture_file, sheet.split(1))),
         "PNG, one sheet": picture_file(sheet), "zlib": len(zlib.compress(bare, 9)),
         "fax, one sheet": picture_file(sheet, "TIFF", compression="group4")}
best, own, promised = min(sizes.values()), path.stat().st_size, bits(net, sheet).sum().item() / 8
sizes |= {f"{name}, bits": len(sheet) * scores[name] / 8 for name in ("left+up table", "MADE")}
sizes |= {"RowGRU, bits": promised, "RowGRU, our file": own}
fig = plots.bars({k: size / len(sheet) for k, size in sizes.items()}, ylabel="bytes a digit")
network = 4 * device.count_parameters(net)
print(f"our file: {own:,} bytes, {own - promised:.1f} ({own / promised - 1:.2%}) above the model's bits")
print(f"with the network: {own + network:,}; it pays from {network * len(sheet) / max(best - own, 1):,.0f} digits on")
assert own - promised < 20 and profile(smoke=True, standard=own < min(1.02 * promised, best))


# %% [markdown] tags=["core", "workshop"]
# Ours keeps Shannon's promise but for some 15 bytes: 12 of the header, 2 of the stack's start, and what rounds up the last byte. Alone, a PNG pays its wrapping for each digit, some 70 bytes, as for an empty page. On a sheet PNG and zlib find
# repetition; the fax code only compares each line with the one above, and so comes near lesson 01's table. None of the three has ever seen a digit. To be fair, add the network, for the receiver must own it: for so few digits
# it does not pay.

# %% [markdown] tags=["deeper", "workshop"]
# ## 8 Deeper: where the bits are, and what is remembered
#
# A pixel's **surprise** is $-\log_2$ of the probability that the model gave to what came. Below, from the cheapest digit to the costliest: the digit; how likely ink was at each pixel, given its past; the surprise,
# orange for ink that came, blue for ink that did not. **Predict** where it is, and what costly digits have in common.

# %% tags=["deeper", "workshop"]
def surprise(x):  # bits of each pixel
    return F.binary_cross_entropy_with_logits(net(x).detach(), x, reduction="none").cpu() / math.log(2)


def overlay(x):  # (n, 3, H, W): ink grey; ink that surprised orange, paper blue
    colours = torch.tensor([[1.0, 0.6, 0.0], [0.2, 0.6, 1.0]]).view(2, 3, 1, 1)
    colour, grey = torch.where(x.cpu() > 0, *colours), (0.4 * x.cpu()).expand(-1, 3, -1, -1)
    return torch.lerp(grey, colour, (surprise(x) / 3).clamp(0, 1))


by_cost = bits(net, sheet).argsort()
x = sheet[by_cost[torch.linspace(0, len(sheet) - 1, 8).long()]]
greys = torch.cat([x, net(x).sigmoid()]).detach().cpu().expand(-1, 3, -1, -1)
labels = [""] * 16 + [f"{cost / 8:.1f} bytes" for cost in bits(net, x).tolist()]
fig = plots.show_images(torch.cat([greys, overlay(x)]), value_range=(0, 1), columns=8, scale=3,
                        labels=labels, caption="digit; chance of ink; surprise, full colour from 3 bits on")
same = (sheet == F.pad(sheet, (1, 0))[..., :-1]) & (sheet == F.pad(sheet, (0, 0, 1, 0))[..., :-1, :])
share = 1 - (surprise(sheet)[same.cpu()].sum() / bits(net, sheet).sum()).item()
print(f"{1 - same.float().mean():.0%} of the pixels differ from the left or upper neighbour: {share:.0%} of the bits")
assert profile(smoke=True, standard=share > 0.65)


# %% [markdown] tags=["deeper", "workshop"]
# Costly is what begins, turns or ends: some tenth of the pixels, most of the bits. Elsewhere ink is cheap, and paper nearly free. A short, straight stroke
# is cheap.
#
# And the memory? Let the GRU forget: start it anew $k$ rows above each row. **Predict** how many rows are worth remembering.

# %% tags=["deeper", "workshop"]
@torch.no_grad()
def bits_remembering(k, x):  # a digit, on average
    rows, nats = (x - net.mean)[:, 0], 0.0
    for i in range(28):
        state = net.gru(F.pad(rows[:, max(0, i - k) : i], (0, 0, 1, 0)))[:, -1]
        logits = net.answer(rows[:, i], state) + net.bias[i]
        nats += F.binary_cross_entropy_with_logits(logits, x[:, 0, i], reduction="sum").item()
    return nats / math.log(2) / len(x)


x = test_x[: profile(smoke=20, standard=400)]
kept = {k: bits_remembering(k, x) for k in (0, 1, 2, 4, 8, 12, 16, 20, 27)}
fig = plots.curves({"RowGRU": ([*kept], [*kept.values()])}, xlabel="rows remembered", ylabel="bits a digit")
assert profile(smoke=True, standard=kept[0] - kept[1] > kept[1] - kept[2] and kept[8] > 1.04 * kept[27])


# %% [markdown] tags=["deeper", "workshop"]
# The row above is worth most, yet far rows still save bits. (This model was never trained to forget; one without memory might lose less.)

# %% [markdown] tags=["deeper", "workshop"]
# ## 9 Deeper: play with digits
#
# Choose a digit by its place, in percent, from the cheapest to the costliest: its surprise, and the bytes that it needs alone. (Alone, the start of the stack is not shared: 2 bytes.)

# %% tags=["deeper", "workshop"]
def show_digit(place):
    x = sheet[by_cost[place * (len(sheet) - 1) // 100]][None]
    alone = {"bare bits": 98, "PNG": picture_file(x), "ours, less the header":
             len(compress(net, x)) - HEADER.size, "model's bits": bits(net, x).item() / 8}
    return plots.picture_and_bars(overlay(x)[0], [*alone.values()], value_range=(0, 1), names=[*alone],
                                  source=(255 * x[0]).byte().cpu().expand(3, -1, -1), xlabel="bytes, alone")


explore.View(show_digit, [explore.slider("place", 0, 100, 50)])


# %% [markdown] tags=["deeper", "workshop"]
# What if the decoder is fed random bytes? It is `draw`, with other dice: noise looks like a well packed file.
#
# ## 10 Deeper: the very same numbers
#
# The encoder knows all pixels, and `net(x)` gives all logits in one pass. Why does it walk, with the same pictures side by side? Let us unpack the file with the same weights, but *more exactly*, in
# float64. **Predict.** How many of the pictures come out right?

# %% tags=["deeper", "workshop"]
stack, some = Stack(path.read_bytes()[HEADER.size :]), sheet[:100]
x = walk(exact, len(sheet), lambda _, logits: popped(stack, logits))
wrong, others = (x != sheet.cpu()).flatten(1), (sheet != sheet.roll(1, dims=0)).float().mean()
alone = whole(net(some)) != whole(torch.cat([net(one) for one in some.split(1)]))
print(f"wrong from pixel {wrong.any(dim=0).int().argmax()} on; pictures right: {(~wrong.any(dim=1)).sum()}; "
      f"pixels wrong: {wrong.float().mean():.0%} (two different digits differ in {others:.0%})")
print(f"float32, 100 pictures at once or each alone: {alone.sum()} of {alone.numel():,} widths differ")
fig = plots.compare({"packed": some.cpu(), "unpacked": x}, value_range=(0, 1), columns=10, scale=2)
assert profile(smoke=True, standard=wrong.any(dim=1).float().mean() > 0.9)


# %% [markdown] tags=["deeper", "workshop"]
# Hardly any. A better number is a different number. The logits differ in their last digits, some widths are rounded to the other side, and behind the *first* of them the stack's state is wrong: for the decoder, noise. So
# it draws digits, but others: all is lost. Float32 alone can do it, for one picture at a time may be summed in another order. So both ends walk with the same
# pictures. Another machine may still round otherwise; then `decompress` finds the stack not empty, and says so. (The cure is a network of whole numbers.)
#
# **What does not fit.** Four kinds of pictures: **predict** which need *more* than their 98 bare bytes. Then three files that cannot be unpacked.

# %% tags=["deeper"]
page, data = torch.zeros_like(sheet[:10]), path.read_bytes()
tossed = torch.bernoulli(page + 0.5, generator=rng)
for name, x in {"paper": page, "ink": page + 1, "noise": tossed, "digits": sheet[:10]}.items():
    print(f"{name}: {(len(compress(net, x)) - HEADER.size) / 10:.1f} bytes a picture")
for model, damaged in ((RowGRU(mean), data), (net, data[:-40]), (net, data[:7] + b"\x80" + data[8:])):
    try:
        decompress(model, damaged)
    except CourseError as error:
        print(error)


# %% [markdown] tags=["deeper"]
# Ink and noise, for what is not expected is costly. No code can make *every* picture shorter: there are $2^{784}$ pictures, but only $2^{784} - 1$ shorter files; fewer than one in $2^m$ can save more than $m$ bits. A compressor is a bet. (The empty page is cheap, though
# no training picture was empty; that no stroke ever begins is a surprise.)
#
# ## 11 Deeper: why not a step for every pixel?
#
# The plain recurrent model reads pixel by pixel: a GRU with one input, 784 steps. **Predict.** What does a pass cost, forward and back?

# %% tags=["deeper"]
for x in (test_x[:8, 0], test_x[:8].view(8, 784, 1)):
    with device.measure(dev) as cost:
        GRU(x.shape[2], 160).to(dev)(x).sum().backward()
    print(f"{x.shape[1]} steps, 8 pictures: {cost.seconds:.3f} s")


# %% [markdown] tags=["deeper"]
# Each step waits for the one before. And what reaches back through many steps fades, the **vanishing gradient**; Hochreiter and Schmidhuber
# eased it in 1997 with the LSTM, the GRU's elder brother: gates *can* stay open.
#
# **PixelRNN** has a state for *every pixel*, and saves steps in two ways. The **Row LSTM** makes the states of a row at once, by a convolution over the three states above: H
# steps, but a pixel sees only a triangle. The **Diagonal BiLSTM** goes along diagonals, whose pixels do not need each other: H + W - 1 steps, and everything is seen. Ours sees everything through *one* state
# a row; its weights are tied to columns.

# %% [markdown] tags=["deeper"]
# ## 12 Exercises
#
# **A. Build (★★, 20 minutes).** Compress with lesson 40's MADE. It has no GRU: ask the whole model at each pixel, as `sample` does.
# Is the file larger, as section 3's bars say?
#
# <details><summary>Hint 1</summary>The logits of this pixel, then what <code>choose</code> says into <code>x.view(n, -1)[:, pixel]</code>.</details>
# <details><summary>Hint 2</summary><code>choose(pixel, model(x).flatten(1)[:, ___]).to(x)</code></details>

# %% tags=["deeper", "export", "exercise"]
@torch.no_grad()
def walk_any(model, n, choose):
    """Do what `walk` does, in model.order, with any model of pixels that does not look ahead."""
    x = model.mean.new_zeros(n, *model.mean.shape)
    for pixel in model.order.tolist():
        ### TODO: what choose makes of this pixel's logits, into x
        ### BEGIN SOLUTION
        x.view(n, -1)[:, pixel] = choose(pixel, model(x).flatten(1)[:, pixel]).to(x)
        ### END SOLUTION
    return x


# %% tags=["deeper"]
walk_any = checks.recurrent_pixels.walk_any(walk_any)
some, data = sheet[:20], compress(made, sheet[:20], walk_any)
assert torch.equal(decompress(made, data, walk_any), some), "a pixel was lost"
print(f"MADE's file {(len(data) - HEADER.size) / 20:.2f} bytes a digit, RowGRU's bits {bits(net, some).mean() / 8:.2f}")

# %% [markdown] tags=["deeper"]
# It is: files stand as the bits do.
#
# **B. Debug (★★, 10 minutes).** A colleague trained without the shift, and encodes with the walk below, over an `x` that holds the pictures. His files are *tiny*. But what is unpacked, over an empty `x`, is right at most down to the first row where any picture has ink. Why?
#
# ```python
# for i in range(H):
#     row = x[:, 0, i]
#     state = gru_step(model.gru.told(row - mean[i]), model.gru.recalled(state), state)
#     for j in range(W):
#         row[:, j] = choose(i * W + j, model.answer(row - mean[i], state)[:, j] + bias[i, j])
# ```
#
# <details><summary>Hint 1</summary>What does the state of row i know in the encoder? And in the decoder?</details>
# <details><summary>Hint 2</summary>Which rows are the same in both, though the decoder has not unpacked them yet?</details>
#
# <details><summary>Answer to B</summary>The state has read row i itself: in the encoder the real one, in the decoder a row that is still empty. A model
# with this leak (A5) packs wonderfully; its likelihood would never tell. A round trip is a test of causality. (Mend it: <code>checks.recurrent_pixels.walk</code> judges.)</details>

# %% [markdown] tags=["core", "workshop"]
# ## 13 To discuss, and to keep
#
# (A4, A5: numbers of the course's catalogue of bugs.)
#
# <details><summary><b>A5.</b> A student's compressor makes 1 byte of each digit. What do you ask first?</summary>Whether it unpacks. Only the decoder, which does not have the pixel yet, notices a leak.</details>
# <details><summary><b>A4.</b> The encoder pushes in the order of the walk. What does the decoder get?</summary>The last pixel of the last picture first, with the chances of the first pixel of the first: nonsense.</details>
#
# **Summary**
#
# - A recurrent network changes a state by one rule everywhere; gates let it keep what matters.
# - Rows shifted by one make a GRU causal; masks do the rest within the row. To train: 28 steps in place of 784.
# - Probabilities become a file: rANS packs each symbol into one whole number, which grows by $-\log_2 p$ bits.
# - The file is as long as the model's bits, and a few bytes more (header, start, rounding). A better likelihood *is* a smaller file.
# - To unpack is to sample, with the file as dice; both ends need the very same numbers.
#
# **Later lessons import** `fax`, `RowGRU`, `walk`, `Stack`, `compress` and `decompress`. **Limits:** RowGRU's weights are tied to columns: a stroke further right is new to it, another width impossible. Lesson 42's convolutions know neither limit. A file is tied to one model, and to machines that round
# alike.
#
# **Papers.** Hochreiter and Schmidhuber (1997), *Long short-term memory* · Cho et al. (2014), *Learning phrase representations using RNN encoder-decoder*, section 2.3 · van den Oord et
# al. (2016), *Pixel recurrent neural networks*, section 3 · Witten, Neal and Cleary (1987), *Arithmetic coding for data compression* · Duda (2013), *Asymmetric numeral systems*.
