# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown] tags=["core", "workshop"]
# # 42 PixelCNN: convolve only the past
#
# You will build convolutions that see only what is drawn already, find by back-propagation the pixels that a famous design forgot, and
# mend it with two stacks. They accept a page of any size; what they draw on a larger one is a surprise (section 8).
#
# ![Digits drawn by one small net on the past of each pixel, and by two stacks, above real ones](../data/pictures/42-032.png)
#
# | | |
# |---|---|
# | **You need** | convolution (lesson 12), residual blocks (14), the chain rule, `log_prob` and `sample` (40) |
# | **Time** | 60 minutes for the core, 60 more for the rest; the notebook itself runs in 4 minutes on two cores |
# | **Machine** | no GPU, no network, 1.2 GB of memory |
#
# When you are through, you can
#
# 1. mask a convolution, types A and B, and say why B may see itself,
# 2. show that a masked convolution followed by 1x1s is one small net, applied to the past of every pixel,
# 3. back-propagate from one logit to see what a guess depends on, and find a blind spot,
# 4. build the vertical and the horizontal stack, and say why the vertical one must be shifted,
# 5. tell a model the class, and see what happens on a page larger than those it was trained on (deeper).
#
# > **Remember.** A masked convolution is one small net that guesses every pixel from the pixels above and to the left. What it
# > really sees, the Jacobian says; the loss does not.

# %% tags=["core", "workshop", "export"]
import copy
import math
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import checks, datasets, device, explore, judges, plots, training
from course_lib.built import autoregressive
from course_lib.built.autoregressive import binary_batches, log_prob, sample, train_autoregressive
from course_lib.checks import causality
from course_lib.settings import CourseError, data_name, profile


@dataclass
class Config:
    """The numbers of lesson 42; `profile` picks the value for the profile that you run in."""

    steps: int = profile(smoke=6, standard=3000, full=100000)
    stack_steps: int = profile(smoke=2, standard=600, full=30000)  # of the two stacks
    batch_size: int = 8
    lr: float = 1e-2  # the highest; it falls along half a cosine
    measure_every: int = 50  # steps
    seconds: float = profile(smoke=0.2, standard=3.5, full=600.0)  # of CPU, each arm of section 6
    seed: int = 0


# %% [markdown] tags=["core", "workshop"]
# ## 1 What MADE does not know
#
# The data are lesson 40's, so nats can be compared. Its nets have weights of their own for every pixel. That a
# stroke goes on where it was heading, they must learn anew at each of 784 places.
#
# A convolution uses the same weights everywhere. So each picture is not one example but 784: *this past, that pixel*. Here are the pasts
# of eight pixels, 10 rows up and 10 columns to each side. The guessed pixel and what is not drawn yet are grey.
#
# **Predict.** Can you guess the pixel (bottom row, middle) from such a cut-out alone? What does a digit hold that no cut-out shows?
# How often would you be right by saying the same as the left neighbour?

# %% tags=["core", "workshop"]
cfg, dev = Config(), device.pick_device()
rng = device.generator(cfg.seed, dev)  # data, their order, and samples
torch.manual_seed(cfg.seed)  # the layers' first weights
train = datasets.load(data_name(), "train", size=profile(smoke=500, standard=None))
test = datasets.load(data_name(), "test", size=profile(smoke=60, standard=None))
images = train.images.to(dev)
test_x = torch.bernoulli(test.float(), generator=device.generator(1)).to(dev)
assert images.shape[1:] == (1, 28, 28) and test_x.unique().numel() == 2
mean = images.float().mean(dim=0).div(255).clamp(0.001, 0.999).cpu()  # (1, 28, 28)
spots = [(k, 10 + k, 8 + 2 * k) for k in range(8)]  # digit, row, column
padded = F.pad(test_x[:8, 0].cpu(), (10, 10, 10, 0))
pasts = torch.stack([padded[k, r : r + 11, c : c + 21] for k, r, c in spots])
truth, pasts[:, 10, 10:] = pasts[:, 10, 10].clone(), 0.4
fig = plots.show_images(pasts, value_range=(0, 1), labels="abcdefgh", columns=4, scale=6)

# %% tags=["core", "workshop"]
print("ink:", ", ".join(name for name, yes in zip("abcdefgh", truth, strict=True) if yes))
same, near = test_x[..., 1:] == test_x[..., :-1], F.max_pool2d(test_x, 3, 1, 1)[..., 1:] > 0
print(f"{same[near].double().mean():.0%} of the pixels in or at ink are as their left neighbour")

# %% [markdown] tags=["core", "workshop"]
# Often; near ink, one neighbour is not enough. What no cut-out shows: how the digit began, and where in the picture we are.
#
# ## 2 Masks A and B
#
# A convolution of odd size looks at a square around its pixel. Set the weights to 0 at every place that is drawn later (below, and to
# the right in the same row), and it looks at the past only. What about the centre?
#
# - The **first** layer reads pixels. At its own place stands the answer: type **A** forbids the centre.
# - A **later** layer reads features. At its own place stands what layer A gathered *without* the answer: type **B** allows the
#   centre, and should, or each layer would move the view one pixel further off.
#
# | symbol | variable | shape |
# |---|---|---|
# | $x$; $\ell(x)$ | `x`; `logits` | (B, 1, H, W) in {0, 1}; the same, real |
# | $M$ | `mask`, from `causal_mask(kind, size)` | bool (size, size) |
# | $h$; $v$ (sections 3, 5) | `h`, `v` | (B, hidden, H, W) |
# | $\gamma(a, b)$ (section 5) | `gate` of both, stacked | (B, 2 hidden, H, W) to (B, hidden, H, W) |
# | $S$ (section 5) | `shifted(x, rows, columns)` | shaped like x |
# | $y$; $T$ (section 7) | `classes`; `told` | (B, 10), zeros and ones; (hidden, 10) |
#
# **Your turn (★, 6 min).** Write the mask, then the layer. Its kernel has only the rows that may count, `size // 2` above and the
# centre's. Zeros stand in for what lies outside the picture: `self.reach` of them above, left and right, none below.
#
# <details><summary>Hint 1</summary>Start from ones. Forbid the rest of the centre row, from the centre on (A) or one further (B), then the rows
# below. In the layer: <code>F.pad</code>, then <code>F.conv2d</code>.</details>
# <details><summary>Hint 2</summary><code>mask[half, half + (kind == "B") :] = ___</code>, <code>mask[half + 1 :] = ___</code>.
# <code>F.pad(x, (left, right, top, bottom))</code>; <code>self.weight * ___</code>.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def causal_mask(kind, size):
    """Return bool (size, size), True before the centre, and there for "B"; CourseError: even."""
    if size % 2 == 0 or kind not in ("A", "B"):
        raise CourseError(f"A mask is of kind A or B and has an odd size, not {kind} and {size}.")
    half, mask = size // 2, torch.ones(size, size, dtype=torch.bool)
    ### TODO: forbid what is drawn later, and for kind A the centre
    ### BEGIN SOLUTION
    mask[half, half + (kind == "B") :] = False
    mask[half + 1 :] = False
    ### END SOLUTION
    return mask


class MaskedConv2d(nn.Conv2d):
    """A convolution that sees the past alone (A), or itself, too (B); (2016a), section 3.4."""

    def __init__(self, kind, channels, out, size):
        mask = causal_mask(kind, size)[: size // 2 + 1]
        super().__init__(channels, out, mask.shape)
        self.reach = size // 2
        self.register_buffer("mask", mask)
        self.weight.data.normal_().div_((channels * mask.sum().clamp(min=1)).sqrt())

    def forward(self, x):
        ### TODO: zeros above, left and right; then a convolution with masked weights
        ### BEGIN SOLUTION
        x = F.pad(x, (self.reach, self.reach, self.reach, 0))
        return F.conv2d(x, self.weight * self.mask, self.bias)
        ### END SOLUTION


# %% tags=["core", "workshop"]
causal_mask = checks.pixelcnn.causal_mask(causal_mask)
MaskedConv2d = checks.pixelcnn.masked_conv(MaskedConv2d)

# %% [markdown] tags=["core", "workshop"]
# ## 3 One small net for every pixel
#
# The simplest deep model: one *large* masked convolution, then only 1x1 convolutions, which mix the channels of a place and look nowhere
# else. **Predict.** To what in lesson 10 is the first layer equal, exactly?

# %% tags=["core", "workshop"]
conv, x = MaskedConv2d("A", 1, 64, 21).double(), test_x[:4].cpu().double()
past = F.unfold(F.pad(x, (10, 10, 10, 0)), conv.mask.shape).mT  # (B, 784, 231): all pasts
linear = F.linear(past, (conv.weight * conv.mask).flatten(1), conv.bias)  # (B, 784, 64)
print(f"{past.shape[1]} pasts of {conv.mask.sum()} pixels in each picture")
assert torch.allclose(linear, conv(x).flatten(2).mT, rtol=0, atol=1e-12)

# %% [markdown] tags=["core", "workshop"]
# To a linear layer on the cut-outs of section 1. With the 1x1s, the whole model is a multilayer perceptron on the past of a
# pixel, the *same* for each pixel. But then it cannot know **where** it is. So it
# measures how far the edges are: outside of a picture of ones there are zeros, and two thin convolutions, the **rulers**, look 27 places up and
# 27 to each side. (The bottom edge they know by counting from the top only.) What they say is the same for all pictures.
#
# The last layer's weights start at 0, and its bias at the log-odds of ink: the training begins with one rate of ink everywhere. `reach`
# says how many rows above a guess can depend on; `told` (640 weights, all 0) waits for section 7. The two classes are bookkeeping: skim them.

# %% tags=["core", "workshop", "export"]
class PixelModel(nn.Module):
    """What the models below share; lesson 40's functions use mean (1, H, W) and order (H W,)."""

    def __init__(self, mean, hidden, reach):
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("order", torch.arange(mean.numel()))
        self.reach, self.last = reach, nn.Conv2d(hidden, 1, 1)
        self.up, self.aside = nn.Conv2d(1, hidden, (28, 1)), nn.Conv2d(1, hidden, (1, 55))
        nn.init.zeros_(self.last.weight)
        self.last.bias.data.fill_(mean.mean().logit())

    def place(self, x):
        """Return (1, hidden, H, W): where each pixel lies, from the edges in sight."""
        ones = torch.ones_like(x[:1])
        return self.up(F.pad(ones, (0, 0, 27, 0))) + self.aside(F.pad(ones, (27, 27, 0, 0)))

    def logits(self, h, x):
        return self.last(F.relu(h)).to(x.dtype).contiguous()


# %% tags=["core", "workshop", "export"]
class PixelMLP(PixelModel):
    """Logits of ink from the same net on the past of every pixel; classes (B, 10): section 7."""

    def __init__(self, mean, hidden=64, size=21, blocks=2):
        super().__init__(mean, hidden, size // 2)
        self.first = MaskedConv2d("A", 1, hidden, size)
        self.told = nn.Linear(10, hidden, bias=False)
        nn.init.zeros_(self.told.weight)
        pairs = ((nn.Conv2d(hidden, hidden, 1), nn.Conv2d(hidden, hidden, 1)) for _ in range(blocks))
        self.blocks = nn.ModuleList(nn.Sequential(nn.ReLU(), a, nn.ReLU(), b) for a, b in pairs)

    def forward(self, x, classes=None):
        h = self.first(x) + self.place(x)
        h = h if classes is None else h + self.told(classes)[..., None, None]  # the same everywhere
        h = h.contiguous(memory_format=torch.channels_last)  # 1x1s as matrix products
        for block in self.blocks:
            h = h + block(h)
        return self.logits(h, x)


# %% [markdown] tags=["core", "workshop"]
# **Prove it before the training.** As in lesson 40: weights at random, and the Jacobian $\partial \ell_i / \partial x_j$ must be exactly 0
# unless $j$ is drawn before $i$. `causality.jacobian` computes it in float64 on a small picture, and `causality.sentences` says what is
# wrong, if anything. With a mask larger than the picture, nothing earlier may be missing either.
#
# **Predict.** What should an untrained model pay? How many parameters has it, beside MADE's millions? And can it learn ten digits by heart?

# %% tags=["core", "workshop"]
small = (1, 7, 7)
proof = causality.jacobian(PixelMLP(mean[:, :7, :7], hidden=8, size=13), small)
assert causality.sentences(proof, small) == []


@torch.no_grad()
def nats(model, x=test_x[:2000]):  # mean surprise, summed in float64
    return -torch.cat([log_prob(model, part).cpu() for part in x.split(100)]).double().mean().item()


net = PixelMLP(mean).to(dev)
p, ink = mean.double().mean().item(), test_x[:2000].double().mean().item()
known = -784 * (ink * math.log(p) + (1 - ink) * math.log(1 - p))  # one rate everywhere
print(f"{device.count_parameters(net):,} parameters; before training {nats(net):.2f} nats")
assert abs(nats(net) - known) < 0.01
ten = next(binary_batches(images, 10, rng))  # learn ten digits by heart
twin, few = copy.deepcopy(net), replace(cfg, steps=profile(smoke=3, standard=150))
train_autoregressive(few, twin, iter(lambda: ten, None), label="ten digits, again and again")
print(f"ten digits by heart: {nats(twin, ten):.1f} nats, test digits {nats(twin):.1f}")

# %% [markdown] tags=["core", "workshop"]
# It begins at the cost of one rate for the whole page, as computed; lesson 40's models began lower, with a rate for each place,
# which would nail this net to one size of page. And it can learn by heart, at the test digits' expense. The loop is lesson 40's.
#
# **Predict.** MADE was the best so far. Will a net with a fiftieth of its weights, that sees 220 of 784 pixels at most, come near? And what will ten of its
# digits look like?

# %% tags=["core", "workshop"]
history = train_autoregressive(cfg, net, binary_batches(images, cfg.batch_size, rng), label="PixelMLP")
fig = plots.curves(history, xlabel="step", ylabel="nats a training digit", smooth=25)
print(f"PixelMLP: {(score := nats(net, test_x)):.2f} nats a test digit, after {cfg.steps * cfg.batch_size:,} digits")
assert score < profile(smoke=600, standard={"strokes": 85, "mnist": 89}.get(data_name(), 600))
with device.measure(dev) as drawing, device.fast_autocast(dev):
    drawn = sample(net, profile(smoke=1, standard=10), rng)
print(f"{len(drawn)} pictures, 784 passes, {drawing.seconds:.1f} s")
rows = {"drawn": drawn.cpu(), "test": test_x[: len(drawn)].cpu()}
fig = plots.compare(rows, value_range=(0, 1), scale=2)

# %% [markdown] tags=["core", "workshop"]
# It pays less than MADE did in lesson 40 (its bar there), with a fiftieth of the weights, a narrow view, and an eighth of the digits: that is what sharing weights is worth. Most
# strokes are a pen's. What still goes wrong is the plan: loops that do not close, digits
# without a name. Probably the past that would tell lies beyond the cut-out.
#
# ## 4 See further by stacking?
#
# A larger mask costs weights by the square. Lesson 12's cure is depth: three 3x3 layers see as far as one 7x7. So stack a 3x3 layer A
# and many of type B. What does the guess at *one* pixel depend on? Back-propagate from its logit to all pixels. Blue: the gradient is not
# 0. Yellow: drawn before, but not seen. Grey: not drawn yet. (Positive weights: no two paths cancel, and no relu sleeps and leaves
# a hole.)
#
# **Your turn (★, 3 min).** Back-propagate, in two lines. Then **predict**: with enough layers, is the whole past blue? Draw the yellow part for 2
# layers and for 20.
#
# <details><summary>Hint 1</summary>Lesson 11's backward pass starts from one number: the logit at (row, column). <code>torch.autograd.grad(number, x)</code>
# returns a tuple, here of one gradient.</details>
# <details><summary>Hint 2</summary><code>(slope,) = torch.autograd.grad(model(x)[0, 0, ___, ___], ___)</code>; then where <code>slope[0, 0]</code> is not 0.</details>

# %% tags=["core", "workshop", "export", "exercise"]
class PixelStack(PixelModel):
    """Logits of ink from a stack of masked 3x3 convolutions, one A, the others B."""

    def __init__(self, mean, hidden=32, layers=6):
        super().__init__(mean, hidden, layers)
        rest = (MaskedConv2d("B", hidden, hidden, 3) for _ in range(layers - 1))
        self.layers = nn.ModuleList([MaskedConv2d("A", 1, hidden, 3), *rest])

    def forward(self, x):
        first, *rest = self.layers
        h = (first(x) + self.place(x)).contiguous(memory_format=torch.channels_last)
        for layer in rest:
            h = layer(F.relu(h))
        return self.logits(h, x)


def sees(model, row, column):
    """Return where d logit of one pixel / d x is not 0, bool (H, W), with positive weights."""
    model, rng = copy.deepcopy(model).cpu().double(), device.generator(0)
    for weights in model.parameters():
        weights.data.uniform_(0, 0.1, generator=rng)
    x = torch.full((1, *model.mean.shape), 0.5, dtype=torch.float64, requires_grad=True)
    ### TODO: the gradient of one logit by all pixels; say where it is not 0
    ### BEGIN SOLUTION
    (slope,) = torch.autograd.grad(model(x)[0, 0, row, column], x)
    return slope[0, 0] != 0
    ### END SOLUTION


# %% tags=["core", "workshop"]
sees = checks.pixelcnn.sees(sees)
COLOURS = torch.tensor([(0.85,) * 3, (0, 0.45, 0.7), (0.94, 0.89, 0.26), (0.84, 0.37, 0), (0,) * 3])


def draw_fields(models, row=14, column=12, scale=6):
    pictures, labels = [], []
    for name, model in models.items():
        seen = sees(model, row, column)
        before = model.order.view(seen.shape) < row * seen.shape[1] + column
        which = torch.where(before, 2 - seen.int(), 3 * seen.int())  # a row of COLOURS for each
        which[row, column] = 3 if seen[row, column] else 4
        pictures.append(COLOURS[which].permute(2, 0, 1))
        leaks = f", {(which == 3).sum()} leak" * (which == 3).any().item()
        labels.append(f"{name}: {(which == 2).sum()} unseen{leaks}")
    return plots.show_images(torch.stack(pictures), value_range=(0, 1), labels=labels, scale=scale)


fig = draw_fields({f"{n} layers": PixelStack(mean, hidden=4, layers=n) for n in (2, 6, 20)})

# %% [markdown] tags=["core", "workshop"]
# No: a wedge stays yellow, however deep the stack: the **blind spot**. From layer to layer a path takes one step: to the left, up, up and
# left, up and right, or none. To the right it gets only by going up as well. So $u$ rows up it is at most $u$ columns further right, and what
# lies beyond that diagonal is out of reach for ever. The first PixelCNN (2016a) had this flaw, with good scores and no complaint.
#
# ## 5 Two stacks
#
# Cut the past in two, and give each part a stack of its own (van den Oord et al. 2016b, section 2.2):
#
# - the **vertical** stack $v$ takes all rows above, to both sides: rectangles, whose stacks are rectangles again, without a wedge;
# - the **horizontal** stack $h$ takes the pixels to the left in the same row, and listens to the vertical one.
#
# The convolution $K_v * v$ looks $r$ rows up (half its size, rounded down) and $r$ columns to each side, in its row $i$ *to the right as well*: it knows pixels that are not drawn. At
# row $i - 1$ it knows rows up to $i - 1$, and all of these are drawn. So the horizontal stack asks one row further up; that is, the
# vertical features are **shifted** down by one, $S$:
#
# $$ v' = \gamma(K_v * v), \qquad h' = h + U\, \gamma\big( K_h * h + C\, S(K_v * v) \big) . $$
#
# $K_h$ looks at the pixel itself and $r$ to the left, $U$ and $C$ are 1x1s. No mask is left: the kernels have just the places that they
# may use. Type A is a shift as well: the first $h$ is $x$ moved one column to the right.
#
# **Your turn (★, 3 min).** Write the shift. What leaves the picture is gone, what enters is 0.
#
# <details><summary>Hint 1</summary>Zeros above and to the left with <code>F.pad</code>; then keep the first H rows and W columns.</details>
# <details><summary>Hint 2</summary><code>F.pad(x, (columns, 0, ___, 0))[..., :___, :___]</code>.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def shifted(x, rows=0, columns=0):
    """Return x (..., H, W) moved down by `rows` and right by `columns`; zeros come in."""
    H, W = x.shape[-2:]
    ### TODO: pad above and to the left, then cut to the old size
    ### BEGIN SOLUTION
    return F.pad(x, (columns, 0, rows, 0))[..., :H, :W]
    ### END SOLUTION


# %% tags=["core", "workshop"]
shifted = checks.pixelcnn.shifted(shifted)

# %% [markdown] tags=["core", "workshop"]
# And $\gamma$? A relu net adds. "Ink above means ink here, *unless* there is ink on the left" is a product. So $K_v$, $K_h$ and $C$ give 2 hidden channels, cut in
# two halves, a tanh for *what* and a sigmoid for *how much of it*, a **gate** (2016b, equation 2): $\gamma(a, b) = \tanh(a) \circ \sigma(b)$.
#
# **Your turn (★★★, 12 min).** Write the layer, equation by equation. `self.vertical` ($K_v$) and `self.horizontal` ($K_h$) do not pad, you do: `r` zeros
# above, left and right for the one, `r` to the left for the other. $U$ is `self.out`, $C$ is `self.across`. Return `v`, `h`, in this order. In the first
# layer `h` has one channel, the new part more: return the new part alone.
#
# <details><summary>Hint 1</summary>Four lines: pad and convolve v; pad and convolve h; the new part, <code>self.out</code> of a gate of the sum;
# return the gated v and the old plus the new h.</details>
# <details><summary>Hint 2</summary><code>v = self.vertical(F.pad(v, (r, r, r, 0)))</code>, <code>left = self.horizontal(F.pad(h, (___, 0, 0,
# 0)))</code>, <code>new = self.out(gate(left + self.across(shifted(v, rows=___))))</code>.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def gate(h):
    """Return tanh(a) sigmoid(b) (B, C, H, W) of the halves a and b of h (B, 2C, H, W)."""
    a, b = h.chunk(2, dim=1)
    return a.tanh() * b.sigmoid()


class GatedLayer(nn.Module):
    """A layer of both stacks, (B, C, H, W) each to (B, hidden, H, W). (2016b), figure 2."""

    def __init__(self, channels, hidden, size=3):
        super().__init__()
        self.reach = len(causal_mask("B", size)) // 2  # refuses even sizes
        self.vertical = nn.Conv2d(channels, 2 * hidden, (self.reach + 1, size))
        self.horizontal = nn.Conv2d(channels, 2 * hidden, (1, self.reach + 1))
        self.across = nn.Conv2d(2 * hidden, 2 * hidden, 1)
        self.out = nn.Conv2d(hidden, hidden, 1)

    def forward(self, v, h):
        r = self.reach
        ### TODO: the two convolutions, the new part of h, and what both stacks pass on
        ### BEGIN SOLUTION
        v = self.vertical(F.pad(v, (r, r, r, 0)))
        left = self.horizontal(F.pad(h, (r, 0, 0, 0)))
        new = self.out(gate(left + self.across(shifted(v, rows=1))))
        return gate(v), h + new if h.shape == new.shape else new
        ### END SOLUTION


# %% tags=["core", "workshop"]
GatedLayer = checks.pixelcnn.gated_layer(GatedLayer)

# %% tags=["core", "workshop", "export"]
class PixelCNN(PixelModel):
    """Logits of ink from two gated stacks, the first layer of odd `size`, the others 3x3."""

    def __init__(self, mean, hidden=32, layers=3, size=15):
        super().__init__(mean, hidden, size // 2 + layers)
        sizes = [(1, hidden, size), *[(hidden, hidden, 3)] * (layers - 1)]
        self.layers = nn.ModuleList(GatedLayer(*each) for each in sizes)

    def forward(self, x):
        first, *rest = self.layers
        v, h = first(x, shifted(x, columns=1))
        h = h + self.place(x)
        for layer in rest:
            v, h = layer(v, h)
        return self.logits(h, x)


# %% [markdown] tags=["core", "workshop"]
# **Predict.** The same question for two stacks of 3x3 layers: which part of the past stays yellow now? Then **play**: move the pixel, add layers.
# Where is the wedge largest, and where does it vanish?

# %% tags=["core", "workshop"]
assert causality.sentences(causality.jacobian(PixelCNN(mean, 4, 6, 3), small), small) == []
kinds = {"one stack": lambda n: PixelStack(mean, 2, n),
         "two stacks": lambda n: PixelCNN(mean, 2, n, 3),
         "one large mask": lambda n: PixelMLP(mean, 2, 2 * n + 1)}
fig = draw_fields({f"{k}, {n}": kinds[k](n) for k in [*kinds][:2] for n in (6, 20)}, scale=5)

# %% tags=["core", "workshop"]
controls = [explore.choice("model", kinds), explore.slider("layers", 1, 20, 8)]
controls += [explore.slider("row", 0, 27, 16), explore.slider("column", 0, 27, 9)]
explore.View(lambda model, layers, row, column: draw_fields(
    {f"{model}, {layers} layers": kinds[model](layers)}, row, column, scale=9), controls)

# %% [markdown] tags=["core", "workshop"]
# Only what is too far away, and with enough layers nothing. (One stack's wedge is largest at the left end of the last row. At the right end of a row
# there is none: nothing lies further right.)
#
# Let your stacks draw. A step of theirs takes longer, so they get fewer steps. **Predict:** do they pay more or less than PixelMLP?

# %% tags=["core", "workshop"]
stacks, plan = PixelCNN(mean).to(dev), replace(cfg, steps=cfg.stack_steps)
train_autoregressive(plan, stacks, binary_batches(images, cfg.batch_size, rng), label="two stacks")
print(f"on the first 2,000 test digits: {nats(stacks):.2f} nats, PixelMLP {nats(net):.2f}")
assert nats(stacks) < profile(smoke=600, standard={"strokes": 91, "mnist": 93}.get(data_name(), 600))
with device.fast_autocast(dev):
    rows = {"PixelMLP": drawn.cpu(), "two stacks": sample(stacks, len(drawn), rng).cpu()}
fig = plots.compare(rows | {"test": test_x[: len(drawn)].cpu()}, value_range=(0, 1), scale=2)

# %% [markdown] tags=["core", "workshop"]
# More, but after a fifth of the digits; PixelMLP, after so few, stands about there as well (section 6).

# %% [markdown] tags=["deeper", "workshop"]
# ## 6 Deeper: which is better in the same time?
#
# Every model gets the same few CPU seconds, with a learning rate that falls to 0 at their end. Two get a second try with only 300 training
# digits. And one has bug **A1** (of this course's list of bugs): its masks of type B forbid their whole centre row, `mask[half:]` for
# `mask[half + 1:]`. No error; the loss falls.
#
# Is the wedge worth mending? The models differ in more than that. So one PixelMLP is made blind where a stack is: 45 of its 220 places
# are forbidden, all else is equal.
#
# **Predict** the order. How much is the wedge worth? Who suffers from few digits?

# %% tags=["deeper", "workshop"]
def blinded(stack):  # bug A1
    for layer in stack.layers[1:]:
        layer.mask[-1] = False
    return stack


def fitted(model, label, pictures=images, batch_size=cfg.batch_size, lr=cfg.lr):
    arm, budget = replace(cfg, steps=10**9, lr=lr), training.Budget(cfg.seconds)
    batches = binary_batches(pictures, batch_size, device.generator(0, dev))
    steps, _ = train_autoregressive(arm, model, batches, should_stop=budget, label=label)["nats"]
    model.score, own = nats(model), nats(model, next(binary_batches(pictures, 300, rng)))
    print(f"  {len(steps) * batch_size:,} digits seen; on 300 {own:.1f}, test {model.score:.2f} nats")
    return model


# %% tags=["deeper", "workshop"]
makers = {"PixelMLP": PixelMLP, "PixelMLP, wedge": PixelMLP, "PixelMLP, no rulers": PixelMLP,
          "one stack": PixelStack, "two stacks": PixelCNN}
arms = {name: make(mean).to(dev) for name, make in makers.items()}
arms["PixelMLP, wedge"].first.mask &= (torch.arange(11)[:, None] + torch.arange(21) < 21).to(dev)
arms["PixelMLP, no rulers"].place = lambda x: 0.0  # does not know where it is
found = {name: fitted(model, name).score for name, model in arms.items()}
fitted(blinded(PixelStack(mean)).to(dev), "one stack, bug A1")
made, few_made = (autoregressive.MADE(mean, net.order.cpu()).to(dev) for _ in range(2))
arms["MADE"] = fitted(made, "MADE", images, 128, 5e-3)
few = [fitted(few_made, "MADE, 300", images[:300], 128, 5e-3),
       fitted(PixelMLP(mean).to(dev), "PixelMLP, 300", images[:300])]
fig = plots.bars({name: made.score - found[name] for name in sorted(found, key=found.get)},
                 ylabel=f"nats a test digit below MADE's, after {cfg.seconds:g} CPU seconds")
gaps = found["PixelMLP, wedge"] - found["PixelMLP"], made.score - found["PixelMLP, wedge"]
assert profile(smoke=True, standard=min(gaps) > 1 and few[0].score > few[1].score + 10)

# %% [markdown] tags=["deeper", "workshop"]
# All five beat MADE in this run (one seed), and **the wedge is dear**: without those 45 places the same net pays several nats more. So the
# flaw was worth mending. Yet the two stacks are not ahead: a step of theirs takes longer, and they saw far fewer digits. (In the core
# they saw about as many as PixelMLP here: compare.) One wide layer and 1x1s are what a CPU likes, a few thick
# matrix products. **Equal CPU seconds of one thread** are compared, and the order can change with the machine: with two threads one stack drew level with PixelMLP. To know where you are is worth several nats, too: see the bar without rulers.
#
# MADE went through the 300 digits a hundred times and more, PixelMLP a dozen times (the digits seen tell): MADE knows them by heart, and fails at others.
# Given as many passes PixelMLP learns them, too, but the test digits hardly suffer: it has 784 examples in each.
#
# A1 is a disaster, since every layer lifts the view by a row: the last one sees only what is far above. Section 9 draws it.
#
# ## 7 Deeper: tell it the class
#
# `PixelMLP` has weights $T$, `told`, that nobody has used yet: for a class $y$, $Ty$ is added to its first sums, at every place the same. The chain
# rule allows it: $p(x \mid y)$ is a product of guesses as well, each given $y$. We go on with a copy of the trained net.
#
# **Predict.** At most how many nats can the class save a *perfect* model? (How many nats are there in a class of ten?)

# %% tags=["deeper", "export"]
class Told(nn.Module):
    """A model that was told the classes (n,) of the pictures that it is asked about next."""

    def __init__(self, model, labels=None):
        super().__init__()
        self.model, self.labels, self.mean, self.order = model, labels, model.mean, model.order

    def forward(self, x):
        return self.model(x, F.one_hot(self.labels.to(x.device), 10).to(x))

    def batches(self, images, labels, batch_size, rng):
        """Yield endless binarised batches, as binary_batches; the model is told their classes."""
        for x, y in datasets.batches(images, labels, batch_size=batch_size, generator=rng):
            self.labels = y
            yield torch.bernoulli(x.float() / 255, generator=rng)


# %% tags=["deeper"]
more, told = replace(cfg, steps=profile(smoke=3, standard=800), lr=8e-3), Told(copy.deepcopy(net))
train_autoregressive(more, told, told.batches(images, train.labels, 8, rng), label="told the class")
some, own = test_x[:300], test.labels[:300]
each = [log_prob(Told(told.model, 0 * own + k), some).detach().double().cpu() for k in range(10)]
each, true = torch.stack(each), (own, torch.arange(len(own)))  # ln p(x | y), (10, 300)
saved = math.log(10) + each.log_softmax(dim=0)[true].mean()
print(f"before {nats(net, some):.2f} nats, told the class {-each[true].mean():.2f}")
print(f"against the mean of its ten: {saved:.2f} of ln 10 = {math.log(10):.2f} nats saved")
print(f"the likeliest class is the true one for {(each.argmax(dim=0) == own).double().mean():.0%}")
assert profile(smoke=True, standard=saved > 0.8)

# %% tags=["deeper"]
asked = torch.arange(10).repeat(5)[: profile(smoke=2, standard=50)]
with device.fast_autocast(dev):
    wished, judge = sample(Told(told.model, asked), len(asked), rng), judges.judge(data_name())
for name, x, y in (("test digits", some, own), ("drawn ones", wished, asked)):
    right = judge.classify((255 * x).cpu().byte()).argmax(dim=1) == y
    print(f"lesson 15's judge reads {right.double().mean():.0%} of {len(y)} {name} as it should")
fig = plots.show_images(wished.cpu(), value_range=(0, 1), columns=10, scale=2)

# %% [markdown] tags=["deeper"]
# By Bayes' rule $p(y \mid x) = p(y)\, p(x \mid y) / p(x)$. So a generator that is told the class can *read*: try all ten, take the one that
# makes the digit most probable. For digits that anybody can read, a perfect model would save nearly all of $\ln 10$; ours saves a part. (Compared within one
# model, $p(x \mid y)$ against $\frac{1}{10} \sum_k p(x \mid k)$: two trainings differ in other ways as well.)
#
# It draws worse than it reads, and the judge can read black and white. Perhaps because in drawing one odd turn is never taken back: a guess. (In the paper $Ty$ stands inside each gate, equation 4.)
#
# ## 8 Deeper: a larger page
#
# No weight belongs to a place, so the net takes pictures of any size. (MADE refuses: its matrix has 784 columns.) But what does it *believe*
# there? We ask section 6's PixelMLP, the one without rulers, and the first again with rulers that begin anew every 28 columns.
#
# **Predict.** A page of 28x84: one wide digit, three of the usual size, or neither?

# %% tags=["deeper"]
ruled, free = arms["PixelMLP"], arms["PixelMLP, no rulers"]
tiled = copy.deepcopy(ruled)
tiled.place = lambda x: ruled.place(x[..., :28]).repeat(1, 1, 1, x.shape[-1] // 28)
(H, W), rows = profile(smoke=(4, 56), standard=(28, 84)), {}
for name, model in {"rulers": ruled, "no rulers": free, "rulers anew": tiled}.items():
    large = copy.deepcopy(model)
    large.mean, large.order = large.mean.new_zeros(1, H, W), torch.arange(H * W)
    with device.fast_autocast(dev):
        rows[name] = sample(large, 2, rng).cpu()
fig = plots.compare(rows, value_range=(0, 1), scale=3)

# %% [markdown] tags=["deeper"]
# Neither, at first. The rulers say "further from the rim than you have ever been", and what the net makes of such a place nobody has promised: hardly any ink. Without rulers there are strokes, but no plan: scraps of digits wherever there is room. Tell it three times that a page begins, and it draws three digits.
# Convolutions *work* at any size; what they learned is still about the size they saw.
#
# ## 9 Break it on purpose
#
# Three mistakes, all silent. **A1** you know. **A2**: the 1x1s between the stacks are masked "to be safe", with type A: of a 1x1 mask nothing
# is left. And: the vertical stack is not shifted. **Predict** for each what turns yellow (blind) or red (leaks).

# %% tags=["deeper"]
class Unshifted(GatedLayer):
    def forward(self, v, h):
        v = self.vertical(F.pad(v, (1, 1, 1, 0)))
        return gate(v), self.out(gate(self.horizontal(F.pad(h, (1, 0, 0, 0))) + self.across(v)))


broken = {"A1": blinded(PixelStack(mean, 4)), "A2": PixelCNN(mean, 4, 6, 3)}
broken["unshifted"] = copy.deepcopy(broken["A2"])
for layer in broken["A2"].layers:
    layer.across = MaskedConv2d("A", 8, 8, 1)
broken["unshifted"].layers = nn.ModuleList(Unshifted(c, 4) for c in (1, 4, 4, 4, 4, 4))
for name, model in broken.items():
    print(f"{name}: {' '.join(causality.sentences(causality.jacobian(model, small), small))}")
fig = draw_fields(broken)

# %% [markdown] tags=["deeper"]
# **A1**: each layer looks one row further up; even the row right above is gone. **A2**: nothing that was drawn above reaches it; only the ruler
# knows which row it is. **Unshifted**: red, its own pixel and those to its right. The first two cost nats and nobody knows why; the third has nats
# to be proud of, until it draws.
#
# What cannot work ends in a sentence: an even size (try `MaskedConv2d("A", 1, 8, 4)`), grey pixels. Blank pictures do no harm.
#
# ## 10 Exercises
#
# **A. Predict (★, 5 minutes).** Move every test digit three pixels to the right. Who pays more for it, MADE or the PixelMLP?
#
# <details><summary>Hint 1</summary>Which of the two has weights that belong to places?</details>
# <details><summary>Hint 2</summary>And what tells the other one the place?</details>
#
# <details><summary>Answer to A</summary>MADE: its bill more than doubles, since to its weights a digit further right is another picture. PixelMLP pays a
# few nats, for its rulers tell it the place.</details>

# %% tags=["deeper"]
aside, pair = shifted(test_x[:2000], columns=3), (arms["MADE"], arms["PixelMLP"])
print("MADE {:+.1f} nats, PixelMLP {:+.1f}".format(*(extra := [nats(m, aside) - nats(m) for m in pair])))
assert profile(smoke=True, standard=extra[0] > 3 * extra[1])

# %% [markdown] tags=["deeper"]
# **B. Build (★★, 20 minutes).** `sample` passes the whole picture for each pixel, though only `model.reach` rows above can tell. Pass only
# these and the pixel's own. The first try draws other digits than `sample`. Why?
#
# <details><summary>Hint 1</summary>The window is <code>x[:, :, max(0, row - model.reach) : row + 1]</code>, the logit stands in its last row. In its upper rows
# the features are wrong, but no path leads from there to the guess. What else does the model look at?</details>
# <details><summary>Hint 2</summary>What do the rulers say in the window's last row, and what in the whole picture? <code>forward</code> calls
# <code>self.place(x)</code>: put <code>lambda _: place[:, :, ___]</code> there.</details>

# %% tags=["deeper", "export", "exercise"]
@torch.no_grad()
def sample_rows(model, n, rng):
    """Draw the n pictures of lesson 40's `sample`; the model is shown model.reach + 1 rows."""
    model, x = copy.deepcopy(model), model.mean.new_zeros(n, *model.mean.shape)
    place = model.place(x)  # (1, hidden, H, W), of the whole page
    for row, column in torch.ones_like(model.mean[0]).nonzero().tolist():
        ### TODO: the rows that can tell; their place; the logits (n,) of this pixel; a toss into x
        ### BEGIN SOLUTION
        rows = slice(max(0, row - model.reach), row + 1)
        model.place = lambda _, rows=rows: place[:, :, rows]
        logits = model(x[:, :, rows])[:, 0, -1, column]
        x[:, 0, row, column] = torch.bernoulli(logits.sigmoid(), generator=rng)
        ### END SOLUTION
    return x


# %% tags=["deeper"]
sample_rows = checks.pixelcnn.sample_rows(sample_rows)

# %% [markdown] tags=["deeper"]
# In the window the top edge is always near: the rulers would lie. Lesson 43 goes further.
#
# **C. Debug (★★, 10 minutes).** A colleague writes the shift of the vertical stack as `torch.roll(v, 1, dims=2)`. On a 7x7
# picture, with two layers, `causality.drawing` shows for the pixel in row 0, column 3 (# rightly seen, ? guessed, ! leaks):
#
# ```
# row 0: # # # ? . . .
# row 1: . . . . . . .
# row 2: . . . . . . .
# row 3: . . . . . . .
# row 4: . ! ! ! ! ! .
# row 5: . ! ! ! ! ! .
# row 6: . ! ! ! ! ! .
# ```
#
# <details><summary>Hint 1</summary>What stands in row 0 after a roll by one?</details>
# <details><summary>Hint 2</summary>Which rows does a vertical feature of the last row know?</details>
#
# <details><summary>Answer to C</summary><code>roll</code> wraps around: the last row comes in at the top, so row 0 knows the bottom of the picture. Both are mostly paper: the
# loss hardly shows it. Zeros must come in. (<code>checks.pixelcnn.shifted</code> judges it.)</details>

# %% [markdown] tags=["core", "workshop"]
# ## 11 To discuss, and to keep
#
# <details><summary><b>A2.</b> "To be safe I mask every layer, the 1x1s as well." What happens?</summary>A 1x1 of type A is 0: no information passes. Type B would
# change nothing. Masks too strict cost nats, and no test of leaks finds them: ask for blind pixels, too.</details>
# <details><summary><b>A5.</b> Your PixelCNN reaches half of everybody's nats. What do you do first?</summary>Back-propagate from one logit, and look for red. Lesson 40's tosses alone cost half of MADE's bill: below them no honest model can be.</details>
# <details><summary><b>A9.</b> A PixelCNN learns another network's codes instead of pixels. Its loss is 0 within minutes. Success?</summary>Rather, all codes have
# become one: easy to guess, and its pictures are noise. Count how often each is used (lesson 72).</details>
#
# **Summary**
#
# - A masked convolution is one small net that guesses every pixel from the pixels above and to the left. What it really sees, the Jacobian
#   says; the loss does not.
# - Mask A, in the first layer, hides the answer; mask B, in all others, keeps the view from moving away.
# - Stacks of 3x3 masked convolutions have a blind spot; a vertical stack, shifted by one row, and a horizontal one have none.
# - Shared weights make 784 examples of each picture, work at any size, and know no place unless told.
# - At equal CPU seconds of one thread, one wide layer with 1x1s beat small stacks here: measure what your machine is good at.
#
# **Later lessons import** `causal_mask`, `MaskedConv2d`, `gate`, `shifted`, `GatedLayer`, `PixelMLP`, `PixelCNN`, `Told` and `sees`. **Limits:** strokes without a plan; drawing
# is slow, lesson 43 mends it; greys and colours are 43's.
#
# **Papers.** van den Oord, Kalchbrenner and Kavukcuoglu (2016a), *Pixel recurrent neural networks*, sections 3.4 and 3.5 · van den Oord et al. (2016b), *Conditional image generation with PixelCNN decoders*,
# sections 2.1 to 2.3 · Salimans et al. (2017), *PixelCNN++*.
