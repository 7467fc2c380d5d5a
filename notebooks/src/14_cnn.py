# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown] tags=["core", "workshop"]
# # 14 Build a network that sees
#
# You will build a convolutional network that reads handwritten digits, with a batch norm and a residual block
# of your own, train it in under a minute, and find out what the convolutions buy.
#
# ![A photographed digit and what the network reads](../data/pictures/14-046.png)
#
# | | |
# |---|---|
# | **You need** | the training loop (lesson 10), what convolution and pooling compute (lessons 12 and 13) |
# | **Time** | 50 minutes for the core, 25 more for the rest; the notebook itself runs in 3 minutes on two cores |
# | **Machine** | no GPU, no network, 1 GB of memory |
#
# When you are through, you can
#
# 1. write a prediction function that gives every image its own answer, whatever its company,
# 2. write batch norm, equal to torch's in training, in evaluation and in its gradients,
# 3. write a residual block, and say what still passes through it when its convolutions are zero,
# 4. write an augmentation that moves every image of a batch differently in one operation,
# 5. measure how a network reacts when the picture moves, and explain the result.
#
# > **Remember.** A convolution moves with the picture; pooling over all positions forgets where. The first is why
# > a CNN needs few weights, both together are why it still reads a digit that has moved.

# %% tags=["core", "workshop", "export"]
import json
import math
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import checks, datasets, device, explore, images, plots, strokes, trained, training
from course_lib.built import convolution, shrink_and_grow  # what lessons 12 and 13 built
from course_lib.settings import ROOT, data_name, profile


@dataclass
class Config:
    """The numbers of lesson 14; `profile` picks the value for the profile that you run in."""

    width: int = 32  # channels after the first stage; the second has twice as many
    steps: int = profile(smoke=40, standard=1000, full=6000)  # optimiser steps
    batch_size: int = 128  # images per step
    lr: float = 0.005  # the highest learning rate of the cycle
    weight_decay: float = 0.01
    seed: int = 0


# %% [markdown] tags=["core", "workshop"]
# ## 1 Look at the data
#
# Sixty thousand digits to learn from, ten thousand that no training step may ever touch. By default the course draws its
# own (`strokes`); with `COURSE_DATA=mnist` every cell runs on the real ones. `train.images` are bytes, 0 to 255;
# `train.float()` are numbers from 0 to 1.
# Axes, here and everywhere: B images in a batch, C channels, H rows, W columns, K classes. Sections marked *deeper* can be
# left for another day.

# %% tags=["core", "workshop"]
cfg = Config()
dev = device.pick_device()
generator = device.generator(cfg.seed, dev)  # shuffling and augmentation draw from this one
torch.manual_seed(cfg.seed)  # the layers' first weights come from torch's own generator

train = datasets.load(data_name(), "train", size=profile(smoke=2000, standard=None))
test = datasets.load(data_name(), "test", size=profile(smoke=1000, standard=None))
train_x, train_y = train.images.to(dev), train.labels.to(dev)
test_x, test_y = test.images.to(dev), test.labels.to(dev)
assert train_x.shape[1:] == (1, 28, 28) and train_x.dtype == torch.uint8 and train_x.max() == 255
print(train)
fig = plots.show_images(train.images[:40], value_range=(0, 255), columns=10)

# %% [markdown] tags=["core", "workshop"]
# ## 2 Begin with what you have: a network that does not know what a picture is
#
# The simplest thing that could work is the two-layer network of lesson 11, which takes the 784 grey values as a
# list. The training loop is lesson 10's, with two additions: a learning rate that rises and falls
# (`one_cycle`), and a place for an augmentation, which section 8 fills. `training.progress` counts the steps, shows how
# far they are, and ends the loop early if you press ■ or if a budget (`should_stop`) is used up.
#
# The model returns *logits* $s_k$, any real numbers, one per class; `F.cross_entropy` turns them into probabilities
# itself, and returns the mean of $\ell$ over the batch (in *nats*, since the logarithm is the natural one):
#
# $$ \ell = -\log \frac{e^{s_y}}{\sum_k e^{s_k}} = -s_y + \log \sum_k e^{s_k} . $$

# %% tags=["core", "workshop", "export"]
def one_cycle(fraction, warm_up=0.2):
    """Return the share of the highest learning rate: a straight rise, then half a cosine to 0."""
    falling = 0.5 + 0.5 * math.cos(math.pi * (fraction - warm_up) / (1 - warm_up))
    return fraction / warm_up if fraction < warm_up else falling


def train_classifier(
    model, cfg, x_all, y_all, generator, *, augment=None, should_stop=training.never_stop, view=None
):
    """Train on images uint8 (N, C, H, W) and labels int64 (N,); return the history of the loss.

    AdamW with a one-cycle learning rate; ends after cfg.steps or when the budget is used up.
    """
    optimiser = torch.optim.AdamW(model.parameters(), lr=cfg.lr, weight_decay=cfg.weight_decay)
    batches = datasets.batches(x_all, y_all, batch_size=cfg.batch_size, generator=generator)
    model.train()
    with training.progress(cfg.steps, should_stop, view) as run:
        for _, (x, y) in zip(run, batches, strict=False):
            optimiser.param_groups[0]["lr"] = cfg.lr * one_cycle(run.fraction)
            x = x.float() / 255  # (B, C, H, W) in [0, 1]
            if augment is not None:
                x = augment(x, generator)
            loss = F.cross_entropy(model(x), y)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            run.log(loss=loss)
    return run.history


# %% [markdown] tags=["core", "workshop"]
# **Your first lines.** Some layers compute one thing while training and another in use (section 4 builds one). Asked in
# training mode, a network with such a layer lets the score of an image depend on the other images in its batch. So
# predictions get a function of their own. It treats every image as if it were alone, builds no graph, and hands the
# model back in the mode in which it came.
#
# <details><summary>Hint 1</summary><code>images.split(n)</code> gives the images n at a time, the last batch being
# smaller; <code>torch.cat</code> joins the answers.</details>
# <details><summary>Hint 2</summary><code>model.eval()</code>; under <code>torch.no_grad()</code> a list of
# <code>model(x.float() / 255)</code>, one per batch; then <code>model.train(was_training)</code>.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def predict(model, images, batch_size=500):
    """Return the logits (N, K) of images uint8 (N, C, H, W), in eval mode and without a graph."""
    was_training = model.training
    ### TODO: eval mode, no graph, images / 255 batch by batch, then the mode of before
    ### BEGIN SOLUTION
    model.eval()
    with torch.no_grad():
        logits = [model(x.float() / 255) for x in images.split(batch_size)]
    model.train(was_training)
    return torch.cat(logits)
    ### END SOLUTION


def two_layers():
    """Return the network of lesson 11: (B, 1, 28, 28) -> logits (B, 10)."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))


def accuracy(model, images, labels):
    """Return the share of images that the model reads rightly."""
    return (predict(model, images).argmax(dim=1) == labels).double().mean().item()


# %% tags=["core", "workshop"]
predict = checks.cnn.predict(predict)

# %% tags=["core", "workshop"]
mlp, mlp_cfg = two_layers().to(dev), replace(cfg, lr=0.002, steps=profile(smoke=20, standard=1500))
train_classifier(mlp, mlp_cfg, train_x, train_y, generator)
print(f"two layers: {accuracy(mlp, test_x, test_y):.2%} of the test digits read")

# %% [markdown] tags=["core", "workshop"]
# Not bad. Nudge the test digits to the right, one pixel at a time. You read a digit anywhere on the page.
#
# **Predict.** How many of the digits does the network still read when they stand 4 pixels, a seventh of the
# picture, further to the right? Write a number down, then run.

# %% tags=["core", "workshop"]
def move(x, dx):
    """Shift pictures (N, C, H, W) to the right by dx pixels; black comes in at the left."""
    return F.pad(x, (dx, 0))[..., : x.shape[-1]]


shifts = range(7)
moved = {"two layers": [100 * accuracy(mlp, move(test_x, dx), test_y) for dx in shifts]}
print("  ".join(f"{dx} px: {percent:.0f} %" for dx, percent in enumerate(moved["two layers"])))
row = torch.cat([move(test_x[:1], dx) for dx in shifts])
fig = plots.show_images(
    row.cpu(), value_range=(0, 255), columns=7, labels=predict(mlp, row).argmax(1).tolist(),
    caption="The same digit, 0 to 6 pixels further to the right, and what the network reads.",
)

# %% [markdown] tags=["core", "workshop"]
# ## 3 Use what you know about pictures
#
# The network has not learnt what a digit looks like. It has learnt which of 784 numbered cells are full when
# somebody writes it *there*. What it knows about an edge in one place it does not know in any other.
#
# We know two things that it does not. **Locality:** what belongs together lies together; an edge
# shows in a 3x3 window. **Sharing:** an edge is an edge everywhere; the same 9 weights will do at every position.
# Count the weights of one layer from 784 numbers to 784:
#
# | layer | one output depends on | weights |
# |---|---|---|
# | dense | all 784 inputs, with weights of its own | 784 · 784 = 614,656 |
# | local | a 3x3 window, with weights of its own | 784 · 9 = 7,056 |
# | convolution | a 3x3 window, with the weights that all share | 9 |
#
# This is the layer `Conv2d` of lesson 12. With several channels the sum runs over the window, $u, v \in \{-1, 0, 1\}$,
# *and* the input channels; what lies outside the picture counts as zero:
#
# $$ y_{k,i,j} = b_k + \sum_{c} \sum_{u,v} w_{k,c,u,v}\; x_{c,\,i+u,\,j+v} $$
#
# | symbol | variable | shape |
# |---|---|---|
# | $x$, $y$ | `x`, `y` | (B, C, H, W), (B, C', H, W) |
# | $w$, $b$ | `conv.weight`, `conv.bias` | (C', C, 3, 3), (C',) |

# %% [markdown] tags=["deeper"]
# *Deeper.* **Why a convolution, and not something else?** Because there is nothing else. Ask for a linear layer $A$ that *moves
# with the picture*: $A\,S = S\,A$ for every shift $S$. This is called **equivariance** to shifts. Every
# picture is a sum of single bright pixels, $x = \sum_p x_p\, S_p\, e$, where $e$ is a bright pixel at the origin
# and $S_p$ moves it to $p$. Then
#
# $$ A x = \sum_p x_p\, A S_p\, e = \sum_p x_p\, S_p\, (A e) : $$
#
# the layer is known as soon as its answer $Ae$ to one bright pixel is known, and it copies this answer to every place,
# weighted by the picture. That is a convolution with the kernel $Ae$ (which torch stores mirrored). Only at the
# border, where pixels fall off the picture, is it not exact.

# %% tags=["deeper"]
conv, x = convolution.Conv2d(1, 8, kernel_size=3, padding=1, bias=False), test.float()[:16]
gap = (conv(move(x, 3)) - move(conv(x), 3))[..., 4:-1].abs().max().item()  # the border aside
print(f"move and convolve, or convolve and move: {gap:g} apart")
assert gap < 1e-5

# %% [markdown] tags=["core"]
# A convolution moves with the picture (the *deeper* cells prove and measure it). That alone does not read moved
# digits: the feature map moves along, and a dense layer on top finds other cells full. What is missing is a last step that **forgets where**: the maximum over all
# positions, *global max pooling*. Of each feature it keeps how clearly it was seen anywhere. First, two
# parts without which deep networks do not train (section 7 tests that, too).
#
# ## 4 Keep the signal in range: batch norm
#
# Pass a signal through many layers, and it grows or shrinks by some factor at each. Batch norm (Ioffe and Szegedy 2015,
# algorithm 1) brings it back to one size after each. For each channel $c$, take mean and variance over all that
# shares the channel's weights: all images of the batch and all positions, $m = BHW$ numbers.
#
# $$ \mu_c = \frac1m \sum_{b,i,j} x_{b,c,i,j}, \qquad
#    \sigma_c^2 = \frac1m \sum_{b,i,j} (x_{b,c,i,j} - \mu_c)^2, \qquad
#    y_{b,c,i,j} = \gamma_c\, \frac{x_{b,c,i,j} - \mu_c}{\sqrt{\sigma_c^2 + \epsilon}} + \beta_c $$
#
# | symbol | variable | shape |
# |---|---|---|
# | $\mu_c$, $\sigma_c^2$ | `mean`, `var` | (C,) |
# | $\gamma_c$, $\beta_c$ | `self.weight`, `self.bias` | (C,) |
#
# $\gamma$ and $\beta$ are learnt, so that the layer can undo what it did. A constant added to its input is subtracted
# again with $\mu_c$: a convolution in front of a batch norm needs no bias.
#
# In *use*, an image must not be judged by its company. So the layer keeps running averages of what it saw in
# training, $r \leftarrow (1 - \alpha)\, r + \alpha\, s$ with momentum $\alpha = 0.1$, and normalises with those.
# For the variance it averages the *unbiased* estimate, which divides by $m - 1$: it stands for all images, of which
# the batch is a sample.
#
# <details><summary>Hint 1</summary><code>self.training</code> decides where mean and variance come from; the formula after
# that is the same. Means go over dims <code>(0, 2, 3)</code>.</details>
# <details><summary>Hint 2</summary><code>x.var(dim=(0, 2, 3), unbiased=False)</code> for the output;
# <code>x.var(dim=(0, 2, 3))</code>, the unbiased one, for the running variance, which is updated under
# <code>torch.no_grad()</code>. A vector (C,) meets x as <code>v[:, None, None]</code>.</details>

# %% tags=["core", "export", "exercise"]
class BatchNorm2d(nn.Module):
    """Normalise each channel of x (B, C, H, W) to mean 0 and variance 1, then scale and shift it.

    In training by the batch's statistics, in evaluation by their running averages.
    Ioffe and Szegedy (2015), algorithms 1 and 2.
    """

    def __init__(self, channels, eps=1e-5, momentum=0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x):
        ### TODO: mean and var per channel (batch or running), update the running ones, normalise
        ### BEGIN SOLUTION
        if self.training:
            mean, var = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3), unbiased=False)
            with torch.no_grad():
                self.running_mean += self.momentum * (mean - self.running_mean)
                self.running_var += self.momentum * (x.var(dim=(0, 2, 3)) - self.running_var)
        else:
            mean, var = self.running_mean, self.running_var
        scale = self.weight / torch.sqrt(var + self.eps)
        shift = self.bias - mean * scale
        return x * scale[:, None, None] + shift[:, None, None]
        ### END SOLUTION


# %% tags=["core"]
BatchNorm2d = checks.cnn.batch_norm(BatchNorm2d)

# %% [markdown] tags=["core", "workshop"]
# ## 5 Leave a way through: the residual block
#
# Stack ten layers, and the first hears of the loss only through the nine above it, each of which multiplies the
# gradient by its own weights. He and others (2016, figure 2) add the input back at the end of a block ($*$ is the
# convolution):
#
# $$ y = \operatorname{relu}\big(x + F(x)\big), \qquad
#    F(x) = \mathrm{norm}_2(w_2 * \operatorname{relu}(\mathrm{norm}_1(w_1 * x))), \qquad
#    \frac{\partial (x + F)}{\partial x} = 1 + \frac{\partial F}{\partial x} $$
#
# Whatever $F$ does, the 1 is there: a path with no weights on it. Set the convolutions to zero, and a block hands on the
# $x \ge 0$ that it gets from the ReLU before it, and the gradient, unchanged: doing nothing is the easy case, not something
# to be learnt.
#
# `conv` and `norm` are classes: lesson 12's `Conv2d` and your `BatchNorm2d`, or torch's (section 6 compares them).
#
# <details><summary>Hint 1</summary>A 3x3 convolution keeps the size with <code>padding=1</code>. Which layers stand in front of
# a batch norm and so need no bias?</details>
# <details><summary>Hint 2</summary><code>conv(channels, channels, 3, padding=1, bias=False)</code> twice,
# <code>norm(channels)</code> twice. The last <code>F.relu</code> goes around the sum.</details>

# %% tags=["core", "workshop", "export", "exercise"]
class ResidualBlock(nn.Module):
    """Add two 3x3 convolutions to what passes through: x (B, C, H, W) -> (B, C, H, W).

    He et al. (2016), figure 2, with a batch norm after each convolution.
    """

    def __init__(self, channels, norm=nn.BatchNorm2d, conv=nn.Conv2d):
        super().__init__()
        ### TODO: self.conv1, self.norm1, self.conv2, self.norm2: size kept, no idle bias
        ### BEGIN SOLUTION
        self.conv1 = conv(channels, channels, 3, padding=1, bias=False)
        self.norm1 = norm(channels)
        self.conv2 = conv(channels, channels, 3, padding=1, bias=False)
        self.norm2 = norm(channels)
        ### END SOLUTION

    def forward(self, x):
        ### TODO: y of the formula above
        ### BEGIN SOLUTION
        h = F.relu(self.norm1(self.conv1(x)))
        h = self.norm2(self.conv2(h))
        return F.relu(x + h)
        ### END SOLUTION


# %% tags=["core", "workshop"]
ResidualBlock = checks.cnn.residual_block(ResidualBlock)

# %% [markdown] tags=["core", "workshop"]
# ## 6 Put it together
#
# Twice convolve with stride 2 (which halves the picture), normalise and rectify; one residual block; then the maximum
# over all positions (lesson 13) and one linear layer. `head="flatten"` keeps the positions apart: the rival of section 7.

# %% tags=["core", "workshop", "export"]
class CNN(nn.Module):
    """Read grey 28x28 pictures: x (B, 1, 28, 28) in [0, 1] -> logits (B, classes).

    head: "pool" (maximum over positions) or "flatten"; norm, conv: the classes of these layers.
    """

    def __init__(self, width=32, classes=10, norm=nn.BatchNorm2d, head="pool", conv=nn.Conv2d):
        super().__init__()
        wide = 2 * width
        self.stage1 = nn.Sequential(
            conv(1, width, 3, stride=2, padding=1, bias=False), norm(width), nn.ReLU()
        )
        self.stage2 = nn.Sequential(
            conv(width, wide, 3, stride=2, padding=1, bias=False), norm(wide), nn.ReLU()
        )
        self.block = ResidualBlock(wide, norm, conv)
        self.head = head
        self.linear = nn.Linear(wide if head == "pool" else 49 * wide, classes)
        nn.init.zeros_(self.linear.weight)  # no opinion before training: the loss is ln 10
        self.to(memory_format=torch.channels_last)  # faster on most processors

    def features(self, x):
        """Return what the last layer sees: (B, 2 width), or (B, 98 width) with head="flatten"."""
        x = self.block(self.stage2(self.stage1(x)))  # (B, 2 width, 7, 7)
        if self.head == "pool":
            x = shrink_and_grow.max_pool2d(x, x.shape[-1])  # one window, as large as the map
        return x.flatten(1)

    def forward(self, x):
        return self.linear(self.features(x))


# %% tags=["deeper", "nbval-check-output"]
h = torch.zeros(2, 1, 28, 28)
for name, part in CNN(width=32).named_children():
    h = part(h.amax(dim=(2, 3)) if name == "linear" else h)
    print(f"{name:<7} {tuple(h.shape)!s:<17} {device.count_parameters(part):>6,} parameters")
print(*(f"{device.count_parameters(net):,}" for net in (CNN(width=32), mlp)), "for the two layers")

# %% [markdown] tags=["deeper"]
# ### Deeper: are your layers good enough to train with?
#
# The checks compared single calls. Now train a small network ten steps, once with lesson 12's convolution (its
# gradients by hand) and your batch norm, once with torch's, from the same weights on the same batch.
#
# **Predict.** Both compute the same formulas. How far apart are the losses after ten steps in float64, which
# keeps 16 digits? In float32, which keeps 7? And how far does Adam move a bias that batch norm cancels?

# %% tags=["deeper"]
def first_losses(dtype, steps=10, **layers):
    """Return the losses of the first Adam steps on one batch, always from the same weights."""
    torch.manual_seed(1)
    start, model = CNN(width=8).state_dict(), CNN(width=8, **layers)
    model.to(dtype).load_state_dict(start, strict=False)  # torch's norm also counts its batches
    adam = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = torch.zeros(steps, dtype=torch.float64)
    for step in range(steps):
        loss = F.cross_entropy(model(train.float()[:32].to(dtype)), train.labels[:32])
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses[step] = loss.detach()
    return losses


for dtype in (torch.float64, torch.float32):
    ours = first_losses(dtype, conv=convolution.Conv2d, norm=BatchNorm2d)
    gap = (ours - first_losses(dtype)).abs()
    print(f"{dtype}: losses apart by {gap[0]:.0e} in the first step, by {gap[-1]:.0e} in the tenth")
    assert gap.max() < (1e-9 if dtype == torch.float64 else 0.5)

idle = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(5408, 10))
adam = torch.optim.Adam([nn.init.zeros_(idle[0].bias)], lr=0.01)
F.cross_entropy(idle(train.float()[:32]), train.labels[:32]).backward()
adam.step()
bias = idle[0].bias
print(f"idle bias: gradient {bias.grad.abs().max():.0e}, step from 0 to {bias.abs().max():.0e}")

# %% [markdown] tags=["deeper"]
# In float64 they agree to the last digits. In float32 two right answers that round differently drift apart, and Adam is
# the amplifier: it divides every gradient by its own size. The idle bias shows it at its purest: its
# gradient is nothing but rounding, and it takes a full step all the same. So compare implementations in float64. From here
# on the network uses torch's layers, which do the same in less time.

# %% [markdown] tags=["core", "workshop"]
# ### Train
#
# Three things can be known before training. The number of parameters. The loss: without an opinion on ten classes it is
# $\ln 10 = 2.303$, and this network starts near there, since its last weights are zero. And that 64 images can be learnt by
# heart: a network that cannot has a bug, whatever its loss does on 60,000.

# %% tags=["deeper"]
torch.manual_seed(cfg.seed)
cnn = CNN(cfg.width).to(dev)
start = F.cross_entropy(predict(cnn, test_x), test_y)
train_classifier(cnn, replace(cfg, batch_size=64, steps=60), train_x[:64], train_y[:64], generator)
print(f"loss before {start:.3f}; learnt by heart: {accuracy(cnn, train_x[:64], train_y[:64]):.0%}")
assert abs(start - math.log(10)) < 0.1

# %% tags=["core", "workshop"]
torch.manual_seed(cfg.seed)
cnn = CNN(cfg.width).to(dev)


def loss_curve(run):
    """Draw the loss of a training so far; it is redrawn in place while the training runs."""
    names = {"xlabel": "step", "ylabel": "loss in nats", "reference": {"ln 10": math.log(10)}}
    return plots.curves({"training batches": run.history["loss"]}, smooth=20, **names)


train_classifier(cnn, cfg, train_x, train_y, generator, view=loss_curve)
print(f"{accuracy(cnn, test_x, test_y):.2%} of the test digits read")
assert accuracy(cnn, test_x, test_y) > profile(smoke=0.15, standard=0.98)

# %% [markdown] tags=["core", "workshop"]
# ## 7 What did the convolutions buy?
#
# Section 3 made a claim with two halves: equivariance comes from the convolution, invariance from the pooling head. To
# test each half, train a rival that differs in the head alone. None of the three has ever seen a moved digit.
#
# **Predict.** Order the three by how well they read a digit moved by 4 pixels: two layers, CNN with `flatten`, CNN
# with `pool`.

# %% tags=["core", "workshop"]
torch.manual_seed(cfg.seed)
rival = CNN(cfg.width, head="flatten").to(dev)
train_classifier(rival, cfg, train_x, train_y, generator)
moved["CNN, flatten"] = [100 * accuracy(rival, move(test_x, dx), test_y) for dx in shifts]
moved["CNN, pool"] = [100 * accuracy(cnn, move(test_x, dx), test_y) for dx in shifts]
fig = plots.curves(moved, xlabel="shift in pixels", ylabel="% of the test digits read")

# %% [markdown] tags=["core"]
# The pooling head hardly notices the shift. The `flatten` head falls later than the two-layer network, and falls: its last
# layer looks for each feature in one of 7x7 cells, and a cell is 4 pixels wide, so small shifts leave most features where
# they are looked for. The convolution finds the features again; the pooling does not ask where.
#
# ### Fewer examples?
#
# Weights that serve everywhere learn from every place of every picture, so a CNN should need fewer pictures.
#
# **Predict.** Which of the three networks wins with 100 training images, and which with 10,000?
#
# That takes many trainings: three networks, five sizes, five seeds. They ran once; the figures lie in
# `data/results/14.json` (`python3 -m course_lib bench --experiment 14` makes them again).

# %% tags=["core"]
results = json.loads((ROOT / "data/results/14.json").read_text(encoding="utf-8"))
figures, sizes = results["data"]["strokes"], results["sizes"]  # accuracies in per cent
shares = {name: (sizes, row["mean"], row["std"]) for name, row in figures["examples"].items()}
names = {"xlabel": "training images", "ylabel": "% of the test digits read"}
names["caption"] = f"Mean and standard deviation over {results['seeds']} seeds."
fig = plots.curves(shares, log="x", **names)

# %% [markdown] tags=["deeper"]
# With 10,000 images the pooling head wins; with 100 it is by far the worst, and the other two are equal within their spread.
# To forget where a feature was seen is to throw something away, and features learnt from so few pictures cannot do
# without it. "A CNN needs less data" is true here from 1,000 images on.
#
# *Deeper.* **And the two parts of sections 4 and 5?** One block is too few to tell. The same experiment also trained twelve
# blocks on top of each other. **Predict:** what happens without batch norm, without the skip, and without both?

# %% tags=["deeper"]
arms = {name: (row["mean"][0], row["std"][0]) for name, row in figures["depth"].items()}
fig = plots.bars(arms, ylabel="% of the test digits read, twelve blocks", reference={"chance": 10})

# %% [markdown] tags=["deeper"]
# Without both, nothing is learnt: the accuracy is that of chance. With one it works with some seeds only, as
# the long error bars say; with both, every time.
#
# ## 8 Deeper: more digits than you have
#
# **Augmentation.** A digit that is turned a little, zoomed a little or shifted a little is still that digit; showing the network such
# variants costs no new data. One 2x3 matrix an image says, for each pixel of the *result*, at which place of the
# *original* to look, in coordinates from $-1$ to $1$:
#
# $$ \begin{pmatrix} x_\text{from} \\ y_\text{from} \end{pmatrix} =
#    \frac1z \begin{pmatrix} \cos a & -\sin a \\ \sin a & \cos a \end{pmatrix}
#    \begin{pmatrix} x \\ y \end{pmatrix} - \begin{pmatrix} t_x \\ t_y \end{pmatrix} $$
#
# | symbol | variable | shape |
# |---|---|---|
# | $a$, $z$ | `angle` (radians), `scale` | (B,) |
# | $t_x$, $t_y$ | to be made of `right` and `down`, in pixels | (B,) |
#
# Mind the direction: to make a digit *larger* by $z$ you look at a *smaller* part of the original. B such matrices and
# two calls move a whole batch, without a loop over images.
#
# <details><summary>Hint 1</summary>The picture is 2 wide in these coordinates, so a shift of one pixel is 2 / W. Looking
# further to the <em>left</em> moves the picture to the <em>right</em>.</details>
# <details><summary>Hint 2</summary><code>torch.stack([cos, -sin, -t_x, sin, cos, -t_y], dim=1).view(B, 2, 3)</code>, with
# <code>cos = torch.cos(angle) / scale</code> and <code>t_x = 2 * right / W</code>.</details>

# %% tags=["deeper", "export", "exercise"]
def augment(x, generator, degrees=10, zoom=0.1, pixels=2):
    """Turn, zoom and shift each image of x (B, C, H, W), H = W, by random amounts of its own.

    Uniform in +-degrees, 1 +- zoom and +- pixels to the right and down; black fills the border.
    """
    B, C, H, W = x.shape
    u = 2 * torch.rand(4, B, generator=generator, device=x.device) - 1  # uniform in -1..1
    angle, scale = math.radians(degrees) * u[0], 1 + zoom * u[1]
    right, down = pixels * u[2], pixels * u[3]
    ### TODO: theta (B, 2, 3), the matrices of the formula above
    ### BEGIN SOLUTION
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    t_x, t_y = 2 * right / W, 2 * down / H
    theta = torch.stack([cos, -sin, -t_x, sin, cos, -t_y], dim=1).view(B, 2, 3)
    ### END SOLUTION
    grid = F.affine_grid(theta, x.shape, align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


# %% tags=["deeper"]
augment = checks.cnn.augment(augment)
x = test.float()[:10]
fig = plots.compare({"drawn": x, "augmented": augment(x, generator)}, value_range=(0, 1), scale=2)

# %% tags=["deeper"]
few = replace(cfg, steps=profile(smoke=40, standard=400))
for name, variants in {"as drawn": None, "augmented": augment}.items():
    torch.manual_seed(cfg.seed)
    small = CNN(cfg.width).to(dev)
    train_classifier(small, few, train_x[:300], train_y[:300], generator, augment=variants)
    print(f"300 digits, {name}: {accuracy(small, test_x, test_y):.1%} read")
cnn = CNN(cfg.width).to(dev)  # takes the place of the one before, from here on
train_classifier(cnn, cfg, train_x, train_y, generator, augment=augment)
print(f"60,000 digits, augmented: {accuracy(cnn, test_x, test_y):.2%} read")

# %% [markdown] tags=["core", "workshop"]
# ## 9 Look, and play
#
# Here are the mistakes of which the network was surest. Are they mistakes? Cover the labels and read them yourself. The confusion matrix below counts, for each true digit, what it was read as; its
# colours end at 20, so that mistakes show beside the diagonal.

# %% tags=["core", "workshop"]
trained.save("cnn", cnn, lesson=14, accuracy=round(accuracy(cnn, test_x, test_y), 4))
certainty, answer = predict(cnn, test_x).softmax(dim=1).cpu().max(dim=1)
wrong = (answer != test.labels).nonzero()[:, 0]
worst = wrong[certainty[wrong].argsort(descending=True)][:20]
fig = plots.show_images(
    test.images[worst], value_range=(0, 255), columns=10,
    labels=[f"{test.labels[i]} → {answer[i]}" for i in worst],
    caption="The surest mistakes: true digit → what the network read.",
)

# %% tags=["deeper", "workshop"]
confusion = torch.bincount(10 * test.labels + answer, minlength=100).view(10, 10)
fig = plots.heatmap(confusion, xlabel="read", ylabel="true", ticks=range(10), value_range=(0, 20))

# %% [markdown] tags=["deeper", "workshop"]
# **Draw a digit that it cannot read.** The sliders set the true factors of a stroke. Find one that you read at once and
# the network does not. (A 4 turned by 90 degrees, say. A convolution knows shifts; of turning it knows only what it was
# shown, and the training digits are turned by 15 degrees at most.)
#
# **Read your own handwriting.** Then write a digit on white paper with a thick pen, photograph it and load the photograph. The
# paper's brightness is estimated and taken out, the ink is cut out, scaled into a 20x20 box and centred by its
# centre of mass, as the training digits are. Until you load one, a drawn stand-in on badly lit paper is read.

# %% tags=["deeper", "workshop"]
def read_stroke(digit, shift, **pen):
    x = move(strokes.draw({"digit": torch.tensor([digit])} | pen), shift)
    chances = predict(cnn, x.to(dev)).softmax(dim=1)[0].cpu()
    return plots.picture_and_bars(x[0], chances, value_range=(0, 255))


scales = {"digit": (0, 9, 4, 1), "shift": (0, 10, 0, 1), "slant": (-1.0, 1.5, 0.1, 0.1)}
scales |= {"rotation": (-90, 90, 0, 5), "thickness": (1.0, 8.0, 2.6, 0.2)}
explore.View(read_stroke, [explore.slider(name, *scale) for name, scale in scales.items()])

# %% tags=["deeper", "workshop"]
def read_photo(picture):
    """Show a photographed digit, uint8 (3, H, W), as the network gets it, and its probabilities."""
    x = (255 * images.digit_from_photo(picture)).to(torch.uint8)
    chances = predict(cnn, x[None].to(dev)).softmax(dim=1)[0].cpu()
    return plots.picture_and_bars(x, chances, value_range=(0, 255), source=picture)


explore.upload(read_photo, example=images.example_photo(test.images[1]))

# %% [markdown] tags=["core"]
# ## 10 Break it on purpose: a softmax too many (C1)
#
# (C1: real bugs have numbers here; each check is tested against them.)
#
# `F.cross_entropy` takes logits. Somebody ends the network with a softmax, "because we want probabilities". Nothing
# complains. But the largest "logit" is now at most 1 and the others at least 0, so even a perfect answer costs
#
# $$ -\log \frac{e^1}{e^1 + 9 e^0} = 1.461 \text{ nats.} $$
#
# **Predict.** Where does the loss curve flatten? Does the accuracy suffer as much as the loss?

# %% tags=["core"]
train_classifier = checks.cnn.train_classifier(train_classifier)  # it is right
floor = -math.log(math.e / (math.e + 9))
runs, quick = {}, replace(cfg, steps=profile(smoke=20, standard=200))
for name, ending in (("logits", nn.Identity()), ("softmax before the loss", nn.Softmax(dim=1))):
    torch.manual_seed(cfg.seed)
    broken = nn.Sequential(CNN(8), ending).to(dev)
    runs[name] = train_classifier(broken, quick, train_x, train_y, generator)["loss"]
    print(f"{name}: loss {runs[name][1][-1]:.2f}, {accuracy(broken, test_x, test_y):.1%} read")
fig = plots.curves(runs, xlabel="step", ylabel="loss in nats", smooth=10, reference={"best": floor})
assert min(runs["softmax before the loss"][1]) > floor - 1e-3

# %% [markdown] tags=["core"]
# It flattens above 1.461, and the accuracy suffers less than the
# loss: the network learns all the same, only worse, which is why nobody notices. A loss over ten classes that will not go
# below 1.46 is the signature.

# %% [markdown] tags=["deeper"]
# ## 11 Deeper: exercises
#
# **A. Predict (★, 5 minutes): four scores (C3, C4).** Train on just 300 digits until they are known by heart, and ask for the
# accuracy in four ways: on these 300 and on the test digits, in eval mode and in training mode. The test digits come
# sorted, as they would from a folder per class. Which of the four numbers is honest, and how wrong are the others?
#
# <details><summary>Hint 1</summary>Which pictures has the network seen?</details>
# <details><summary>Hint 2</summary>In training mode, what is the mean of a batch that holds nothing but ones?</details>

# %% tags=["deeper"]
torch.manual_seed(cfg.seed)
small, some, by_class = CNN(cfg.width).to(dev), slice(300), test_y.argsort()
train_classifier(small, few, train_x[some], train_y[some], generator)
for x, y in ((train_x[some], train_y[some]), (test_x[by_class], test_y[by_class])):
    honest = accuracy(small, x, y)
    with torch.no_grad():  # and no small.eval()
        right = torch.cat([small(part.float() / 255) for part in x.split(100)]).argmax(dim=1) == y
    print(f"{len(x)}: {honest:.1%} in eval mode, {right.double().mean():.1%} in training mode")

# %% [markdown] tags=["deeper"]
# <details><summary>Answer to A</summary>Only the test digits in eval mode. On its 300 training images the network knows the
# answers. In training mode each batch of sorted digits is normalised by company of its own kind, which the network has
# never met.</details>
#
# **B. Predict (★, 5 minutes): shuffled pixels.** Choose one shuffling of the 784 positions and apply it to every training and every test
# picture. What happens to the accuracy of the two-layer network, and to that of the
# CNN, each compared with its own on real pictures?
#
# <details><summary>Hint 1</summary>Which of the two would notice if somebody renumbered its inputs?</details>
# <details><summary>Hint 2</summary>A dense layer sums over all inputs in any order; a convolution trusts that neighbours
# belong together.</details>

# %% tags=["deeper"]
order = torch.randperm(784, generator=generator, device=dev)
shuffled_train, shuffled_test = (x.flatten(1)[:, order].view_as(x) for x in (train_x, test_x))
fig = plots.show_images(shuffled_test[:10].cpu(), value_range=(0, 255), columns=10)
for name, model, arm in (("two layers", two_layers(), mlp_cfg), ("CNN", CNN(cfg.width), cfg)):
    train_classifier(model.to(dev), arm, shuffled_train, train_y, generator)
    print(f"{name} on shuffled pictures: {accuracy(model, shuffled_test, test_y):.2%} read")

# %% [markdown] tags=["deeper"]
# <details><summary>Answer to B</summary>For the two-layer network only the names of its inputs change, and its accuracy stays
# within chance what it was in section 2. The CNN loses most of its lead: what it knows about neighbours has stopped being
# true. (It is also the deeper network; that lead stays.)</details>
#
# **C. Build (★★★, 20 minutes).** In evaluation mode a batch norm is a fixed scale and shift, and a convolution is linear.
# So the two are *one* convolution with a bias. Derive its weight and bias, and fill them in place (`parameter.copy_(...)`
# under `torch.no_grad()`).
#
# <details><summary>Hint 1</summary>norm(y) = s y + (β - μ s) with s = γ / sqrt(σ² + ε), a number per output channel. Put
# y = w * x + b in.</details>
# <details><summary>Hint 2</summary>The weight (C', C, 3, 3) is multiplied by <code>s[:, None, None, None]</code>; the bias is
# <code>(b - running_mean) * s + norm.bias</code>, where b may be None.</details>

# %% tags=["deeper", "exercise", "export"]
def fold_batch_norm(conv, norm):
    """Return one convolution that equals norm(conv(x)) in evaluation mode."""
    size = conv.in_channels, conv.out_channels, conv.kernel_size
    folded = nn.Conv2d(*size, conv.stride, conv.padding).to(conv.weight)  # its device and type
    ### TODO: fill folded.weight and folded.bias from conv, norm and its running statistics
    ### BEGIN SOLUTION
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    bias = 0 if conv.bias is None else conv.bias
    with torch.no_grad():
        folded.weight.copy_(conv.weight * scale[:, None, None, None])
        folded.bias.copy_((bias - norm.running_mean) * scale + norm.bias)
    ### END SOLUTION
    return folded


# %% tags=["deeper"]
fold_batch_norm = checks.cnn.fold_batch_norm(fold_batch_norm)

# %% [markdown] tags=["deeper"]
# **D. Debug (★★, 10 minutes).** This function runs, and returns a table that looks like a confusion matrix. It has three
# faults. Copy it into a cell, ask what it does with a few images of which you know everything, then write it right.
#
# ```python
# def confusion_matrix(model, images, labels, classes=10):
#     counts = torch.zeros(classes, classes, dtype=torch.long)
#     answer = model(images.float() / 255).argmax(dim=1)
#     counts[answer, labels] += 1
#     return counts
# ```
#
# <details><summary>Hint 1</summary>How many images does the table count if you ask for ten? Is the row what the docstring below
# says? What did you learn in section 2 about asking a model?</details>
# <details><summary>Hint 2</summary><code>counts[index] += 1</code> counts a pair that occurs twice only once; section 9 counts every
# time.</details>

# %% tags=["deeper", "exercise", "export"]
def confusion_matrix(model, images, labels, classes=10):
    """Return counts (K, K): row = true class, column = what the model read."""
    ### TODO: the function above without its three faults
    ### BEGIN SOLUTION
    answer = predict(model, images).argmax(dim=1)
    return torch.bincount(classes * labels + answer, minlength=classes**2).view(classes, classes)
    ### END SOLUTION


# %% tags=["deeper"]
confusion_matrix = checks.cnn.confusion_matrix(confusion_matrix)

# %% [markdown] tags=["core", "workshop"]
# ## 12 To discuss, and to keep
#
# <details><summary><b>C8.</b> "A fully connected network needs hand-made features, a CNN learns its own." True?</summary>
# No. Both learn features from the pixels; section 2's network did, and read most digits. The difference is what each knows
# in advance: locality and sharing.</details>
# <details><summary><b>C5.</b> A notebook works for its author and fails after "Restart and run all". What do you look for
# first?</summary>A variable that a deleted or re-ordered cell left behind: an earlier test set, a model trained twice.
# Write functions that take all they use, and run from the top before you believe a number.</details>
# <details><summary>Which augmentations would be wrong for digits, which for street scenes?</summary>Half a turn makes a 6 a 9,
# and a mirrored 2 is no digit; a street may be mirrored (unless signs matter) but hardly turned. An augmentation
# states something that you know about the world.</details>
#
# **Summary**
#
# - A linear layer that must move with the picture is a convolution: local, shared, few weights.
# - A convolution moves with the picture; pooling over all positions forgets where. The first is why a CNN needs few
#   weights, both together are why it still reads a digit that has moved.
# - Batch norm computes one thing in training and another in use; scores are taken in evaluation mode, on images that no
#   training step has seen.
# - A residual block leaves a path without weights: with its convolutions at zero, signal and gradient pass unchanged.
# - Know three things before you train: the number of parameters, the loss ln 10, and that 64 images can be learnt by heart.
#
# **Later lessons import** `CNN` (its features are the ruler of lesson 15), `ResidualBlock`, `train_classifier`, `predict`
# and `augment`. **Limits:** clean, grey, one digit a picture; of rotation and size the network knows what it was shown.
#
# **Papers.** LeCun et al. (1998), *Gradient-based learning applied to document recognition*, section II · Ioffe and Szegedy
# (2015), *Batch normalization*, algorithms 1 and 2 · He et al. (2016), *Deep residual learning for image recognition*,
# section 3 · Oquab et al. (2015), *Is object localization for free?*, section 3 (global max pooling) · Smith and Topin (2018),
# *Super-convergence* (one-cycle) · Loshchilov and Hutter (2019), *Decoupled weight decay regularization*.
