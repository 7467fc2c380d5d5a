# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown] tags=["core"]
# # 10 Learn by gradient descent
#
# You will build a classifier that learns to read digits from examples: its loss, its gradient by hand, and the training
# loop that every later lesson builds on. What it learns is ten pictures.
#
# ![Ten pictures of weights: the averages of the digits, the weights after one step, and after training](../data/pictures/10-031.png)
#
# | | |
# |---|---|
# | **You need** | Python, the matrix product, the derivative |
# | **Time** | 50 minutes for the core, 25 more for the rest; the notebook itself runs in half a minute on two cores |
# | **Machine** | no GPU, no network, 0.7 GB of memory |
#
# Hints fold out. A **check** after each exercise says what is right or wrong; if you wrote nothing, the lesson goes on
# with the course's answer. When you are through, you can
#
# 1. turn scores into probabilities and a loss that never overflows,
# 2. derive the gradient of that loss, and test any gradient against differences,
# 3. write a training loop: loss, gradient, step,
# 4. find a learning rate instead of guessing one,
# 5. say how well a model does on pictures that it has not seen, without fooling yourself.
#
# > **Remember.** Learning is three lines, repeated: the loss says how wrong, the gradient says which way, the step goes a
# > little of that way. All else in a training loop keeps these three honest.
#
# ## 1 Look at the data
#
# By default the course draws its own digits (`strokes`); with `COURSE_DATA=mnist` every cell runs on the real ones.
# A **test set** is put aside that nothing may learn from. Of the rest most are for learning, some for making choices
# (section 7). Axes: N images, B of them in a batch (those of one step), K classes, and P = 784 pixels:
# this lesson reads a picture as a plain list of numbers.

# %% tags=["core", "export"]
import math
from dataclasses import dataclass, replace

import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from course_lib import checks, datasets, device, explore, plots, settings, training
from course_lib.settings import profile


@dataclass
class Config:
    """The numbers of lesson 10; `profile` picks the value for the profile that you run in."""

    steps: int = profile(smoke=40, standard=3000, full=20000)
    batch_size: int = 128  # images per step
    lr: float = 0.3  # learning rate; section 7 finds it
    seed: int = 0

# %% tags=["core"]
cfg = Config()
dev = device.pick_device()
generator = device.generator(cfg.seed, dev)  # shuffles the training images

train = datasets.load(settings.data_name(), "train", size=profile(smoke=2400, standard=None))
test = datasets.load(settings.data_name(), "test", size=profile(smoke=1000, standard=None))
x = train.images
assert x.shape[1:] == (1, 28, 28) and x.dtype == torch.uint8 and x.max() == 255
held = len(train) // 6  # the last sixth is for choosing
train_x, train_y = train.images[:-held].to(dev), train.labels[:-held].to(dev)
choose_x, choose_y = train.images[-held:].to(dev), train.labels[-held:].to(dev)
test_x, test_y = test.images.to(dev), test.labels.to(dev)
print(f"{len(train_x):,} to learn from, {held:,} to choose with, {len(test_x):,} to test on")
fig = plots.show_images(train.images[:30], value_range=(0, 255), columns=10)

# %% [markdown] tags=["core"]
# ## 2 Which digit is this? The simplest thing first
#
# No learning yet. Average all training images of each class: ten blurred pictures $\mu_0, \dots, \mu_9$. A new
# picture belongs to the class whose average is nearest.
#
# **Predict.** Guessing reads 10 % of the digits. How many does the nearest average read?
#
# **Your first line.** Write `class_means`, the ten averages.
#
# <details><summary>Hint 1</summary><code>x[y == k]</code> holds the rows of class k, however many there are.</details>
# <details><summary>Hint 2</summary><code>torch.stack([x[y == k].mean(dim=0) for k in range(classes)])</code></details>

# %% tags=["core", "export", "exercise"]
def as_rows(images):
    """Turn images uint8 (N, C, H, W) into rows float32 (N, P) of numbers from 0 to 1."""
    return images.flatten(1).float() / 255


def as_pictures(W):
    """Turn weights (P, K), P a square, into colour pictures (K, 3, H, H) from 0 to 1.

    Blue is positive, orange negative, white 0; the largest weight has the full colour.
    """
    side = math.isqrt(len(W))
    w = (W / W.abs().max().clamp(min=1e-12)).detach().cpu().T.reshape(-1, 1, side, side)
    blue, orange = torch.tensor([[0.0, 0.45, 0.7], [0.84, 0.37, 0.0]])[..., None, None]
    return 1 - w.clamp(min=0) * (1 - blue) + w.clamp(max=0) * (1 - orange)


def class_means(x, y, classes=10):
    """Return the average picture (K, P) of each class, from rows x (N, P) and labels y (N,)."""
    ### TODO: stack the mean over the rows of each class
    ### BEGIN SOLUTION
    return torch.stack([x[y == k].mean(dim=0) for k in range(classes)])
    ### END SOLUTION


# %% tags=["core"]
class_means = checks.gradient_descent.class_means(class_means)
means = class_means(as_rows(train_x), train_y)
fig = plots.show_images(means.view(-1, 1, 28, 28).cpu(), value_range=(0, 1), columns=10)
nearest = torch.cdist(as_rows(test_x), means).argmin(dim=1)
share_nearest = (nearest == test_y).cpu().double().mean().item()
print(f"nearest average: {share_nearest:.1%} of the test digits read")
assert share_nearest > profile(smoke=0.4, standard=0.6)

# %% [markdown] tags=["core"]
# Far more than a guess, from ten averages. What holds it back? Multiply the squared distance out:
#
# $$ -\tfrac12 \lVert x - \mu_k \rVert^2 = \underbrace{x \cdot \mu_k}_{\text{overlap}}
#    - \underbrace{\tfrac12 \lVert \mu_k \rVert^2}_{\text{a number per class}}
#    - \underbrace{\tfrac12 \lVert x \rVert^2}_{\text{the same for all } k} $$
#
# The last term cannot change which class wins. So the nearest average is a **linear classifier**: class $k$ gets the
# score $s_k = x \cdot w_k + b_k$, one weight per pixel, and the highest score wins. Its weights say which pixels are
# *usual* for a 3. They should say which pixels *tell a 3 from an 8*: where both have ink, nothing is gained. With other
# weights the same formula might read better, but nobody can choose 7,850 numbers by hand.
#
# ## 3 Say how wrong: softmax and cross-entropy
#
# To improve weights we need a number that says how bad they are, and that changes when they change a little. The share
# of wrong answers does not: move a weight by 0.0001 and every answer stays. So let the model say how *sure* it is. Make the scores $s_k$ (they are called **logits**) into probabilities: make them positive, and divide
# by the sum. This is the **softmax**:
#
# $$ p_k = \frac{e^{s_k}}{\sum_j e^{s_j}}, \qquad \text{so that} \qquad \log \frac{p_i}{p_j} = s_i - s_j . $$
#
# A difference of scores is a logarithm of odds; a constant added to all scores changes nothing. Now ask for the
# weights that make our labels as probable as possible. All $N$ together have the probability
# $\prod_n p^{(n)}_{y_n}$. Its logarithm is a sum; with a minus sign and divided by $N$ it is small when all is well:
#
# $$ L = -\frac1N \sum_n \log p^{(n)}_{y_n} , \qquad
#    -\log p_y = -\log \frac{e^{s_y}}{\sum_j e^{s_j}} = \log \sum_j e^{s_j} - s_y . $$
#
# This is the **cross-entropy**: the mean surprise at the right answer, in nats (the unit of natural logarithms).
#
# | symbol | variable | shape |
# |---|---|---|
# | $x$, $y$ | `x`, `y` | (B, P) in 0..1, (B,) whole numbers 0..K-1 |
# | $W$, $b$ | `W`, `b` | (P, K), (K,) |
# | $s$, $p$ | `logits = x @ W + b`, `p` | (B, K) |
#
# **Predict.** Two pictures, two classes, and class 1 is right for both. The first has the logits (0, 1000): sure,
# and right. The second (0, -1000): sure, and wrong. What are the two losses? What does the formula with the fraction,
# typed in as it stands, answer?

# %% tags=["core", "nbval-check-output"]
logits = torch.tensor([[0.0, 1000.0], [0.0, -1000.0]])
p = logits.exp() / logits.exp().sum(dim=1, keepdim=True)
print("probability of class 1:", p[:, 1], "loss:", -p[:, 1].log())

# %% [markdown] tags=["core"]
# The right answers are 0 and 1000. Instead, not a number and infinity: float32 ends near $e^{88.7}$, so $e^{1000}$ is
# infinite and infinity divided by itself is nothing; and a probability of $e^{-1000}$ is rounded to 0 before the
# logarithm is taken. One such number, and after the next step all weights are `nan`. The cure is to take out
# the largest score $m = \max_j s_j$, which is exact, and never to form a probability at all:
#
# $$ \log \sum_j e^{s_j} = m + \log \sum_j e^{s_j - m} . $$
#
# The largest term of the sum is now $e^0 = 1$: nothing overflows, and the logarithm never sees 0.
#
# **Your lines.** Write `log_sum_exp` so.
#
# <details><summary>Hint 1</summary>Every row has a maximum of its own. <code>keepdim=True</code> keeps it a column, so that it
# can be subtracted from the row.</details>
# <details><summary>Hint 2</summary><code>top = logits.max(dim=1, keepdim=True).values</code>; then
# <code>top.squeeze(1) + (logits - top).exp().sum(dim=1).log()</code></details>

# %% tags=["core", "export", "exercise"]
def log_sum_exp(logits):
    """Return log(sum(exp(logits))) of each row: (B, K) -> (B,), without overflow."""
    ### TODO: take each row's maximum out, and add it back
    ### BEGIN SOLUTION
    top = logits.max(dim=1, keepdim=True).values  # (B, 1)
    return top.squeeze(1) + (logits - top).exp().sum(dim=1).log()
    ### END SOLUTION


# %% tags=["core"]
log_sum_exp = checks.gradient_descent.log_sum_exp(log_sum_exp)

# %% [markdown] tags=["core"]
# The loss is, of each row, its log-sum-exp minus the score of its right class; then the mean.
#
# **Predict.** All weights are 0, so the model finds all ten classes equally likely for every picture. What is the loss?
# And what is the loss of the nearest average, taken as a model that says how sure it is?
#
# **Your lines.** Write `cross_entropy`.
#
# <details><summary>Hint 1</summary>You need one entry per row. <code>logits[:, y]</code> gives B columns of every row;
# index with rows and columns in pairs, or use <code>gather</code>.</details>
# <details><summary>Hint 2</summary><code>right = logits[torch.arange(len(y)), y]</code>, then
# <code>(log_sum_exp(logits) - right).mean()</code></details>

# %% tags=["core", "export", "exercise"]
def cross_entropy(logits, y):
    """Return the mean over the batch of -log softmax(logits)[y], in nats.

    logits: (B, K), any real numbers; y: int64 (B,). Bishop (2006), equation 4.108, per picture.
    """
    ### TODO: log-sum-exp minus the logit of the right class, averaged
    ### BEGIN SOLUTION
    right = logits[torch.arange(len(y)), y]  # (B,)
    return (log_sum_exp(logits) - right).mean()
    ### END SOLUTION


def blank(images, classes=10):
    """Return weights (P, K) and biases (K,) of zeros that fit images (N, C, H, W)."""
    P = images[0].numel()
    return torch.zeros(P, classes, device=images.device), torch.zeros(classes, device=images.device)


def accuracy(W, b, images, labels):
    """Return the share of images uint8 (N, C, H, W) whose highest score is that of their label."""
    answers = [(as_rows(part) @ W + b).argmax(dim=1) for part in images.split(5000)]
    return (torch.cat(answers) == labels).cpu().double().mean().item()


# %% tags=["core"]
cross_entropy = checks.gradient_descent.cross_entropy(cross_entropy)
W_near, b_near = means.T, -means.square().sum(dim=1) / 2
agree = accuracy(W_near, b_near, test_x, nearest)
print(f"distance and linear score agree on {agree:.2%} of the answers")
W, b = blank(train_x)
before = cross_entropy(as_rows(test_x) @ W + b, test_y).item()
print(f"{W.numel() + b.numel():,} numbers, all 0: {before:.4f} nats; ln 10 = {math.log(10):.4f}")
near = cross_entropy(as_rows(test_x) @ W_near + b_near, test_y).item()
print(f"nearest average, {share_nearest:.0%} right: {near:.3f} nats")
assert abs(before - math.log(10)) < 1e-4 and near < before and agree > 0.999

# %% [markdown] tags=["core"]
# A model without an opinion costs $-\log \frac1K = \ln K$. For ten classes remember **2.303**: a network
# whose training does not start there has an opinion before it has seen anything, or a bug.
#
# ## 4 Which way is down? The gradient, three times
#
# The loss is a landscape over 7,850 numbers, and we stand at a point of it. The **gradient** lists the slopes in all
# directions: by how much does $L$ change, per unit, when this one weight grows?
#
# **First, by hand.** For one picture $\ell = \log \sum_j e^{s_j} - s_y$, so
#
# $$ \frac{\partial \ell}{\partial s_k} = \frac{e^{s_k}}{\sum_j e^{s_j}} - [k = y] = p_k - [k = y] . $$
#
# Read it aloud: *what the model said, minus what was right*. (The bracket is 1 if it holds, else 0; as a vector it is
# called **one-hot**.) A score is $s_k = \sum_i x_i W_{ik} + b_k$, so the chain rule multiplies by the pixel:
#
# $$ \frac{\partial \ell}{\partial W_{ik}} = x_i\,(p_k - [k = y]), \qquad
#    \frac{\partial \ell}{\partial b_k} = p_k - [k = y] . $$
#
# The loss is the mean over the batch, and so is its gradient. As matrices, with $\Delta$ of shape (B, K) for
# $(p - \text{one-hot}) / B$:
#
# $$ \nabla_W L = X^\top \Delta, \qquad \nabla_b L = \textstyle\sum_n \Delta_n . $$
#
# **Your lines.** Write `loss_gradient`.
#
# <details><summary>Hint 1</summary>Probabilities without overflow: <code>(logits - log_sum_exp(logits)[:, None]).exp()</code>.
# Subtracting the one-hot takes 1 away from one entry of each row.</details>
# <details><summary>Hint 2</summary><code>delta[torch.arange(B), y] -= 1</code>, <code>delta /= B</code>, return
# <code>x.T @ delta, delta.sum(dim=0)</code></details>

# %% tags=["core", "export", "exercise"]
def loss_gradient(x, y, W, b):
    """Return the gradients (P, K) and (K,) of cross_entropy(x @ W + b, y) in W and b.

    x: (B, P), y: int64 (B,). Bishop (2006), equation 4.109, divided by B.
    """
    B = len(x)
    logits = x @ W + b  # (B, K)
    ### TODO: delta (B, K) = (p - one-hot) / B, then the two gradients
    ### BEGIN SOLUTION
    delta = (logits - log_sum_exp(logits)[:, None]).exp()
    delta[torch.arange(B), y] -= 1
    delta /= B
    return x.T @ delta, delta.sum(dim=0)
    ### END SOLUTION


# %% tags=["core"]
loss_gradient = checks.gradient_descent.loss_gradient(loss_gradient)

# %% [markdown] tags=["core"]
# **Second, by differences.** How do you know that no sign and no factor is lost? Ask the loss itself. Move one weight a
# little both ways and see. Taylor's series tells why *both* ways: in
#
# $$ \frac{L(w + \epsilon) - L(w - \epsilon)}{2\epsilon} = L'(w) + \tfrac16 \epsilon^2 L'''(w) + \dots $$
#
# the terms with $L$ and $L''$ cancel; one-sided, an error of order $\epsilon$ would stay.
#
# **Third, by autograd.** PyTorch records what is computed with a tensor that has `requires_grad=True`; `loss.backward()`
# walks the record backwards, applies the chain rule at each operation and leaves the gradient in `W.grad`. Lesson 11
# opens that box.
#
# **Predict.** Three ways to one gradient of 7,840 numbers, in float64. How far apart are they? How many times is the
# loss computed for the differences?
#
# **Your lines.** Write one slope of `numerical_gradient`.
#
# <details><summary>Hint 1</summary>Build a <code>nudge</code> of zeros with <code>eps</code> at one place; call f twice; leave
# <code>w</code> itself alone.</details>
# <details><summary>Hint 2</summary><code>nudge = torch.zeros_like(w)</code>, <code>nudge.view(-1)[i] = eps</code>, then
# <code>grad.view(-1)[i] = (f(w + nudge) - f(w - nudge)) / (2 * eps)</code></details>

# %% tags=["core", "export", "exercise"]
def numerical_gradient(f, w, eps=1e-5):
    """Return the slopes of f(w), a number, in every entry of w, by central differences.

    w: float64 of any shape -> the same shape. Calls f twice per entry; w stays as it is.
    """
    grad = torch.zeros(w.shape, dtype=w.dtype, device=w.device)
    for i in range(w.numel()):
        ### TODO: entry i of grad.view(-1)
        ### BEGIN SOLUTION
        nudge = torch.zeros_like(grad)
        nudge.view(-1)[i] = eps
        grad.view(-1)[i] = (f(w + nudge) - f(w - nudge)) / (2 * eps)
        ### END SOLUTION
    return grad


# %% tags=["core"]
numerical_gradient = checks.gradient_descent.numerical_gradient(numerical_gradient)
x, y = as_rows(train.images[:16]).double(), train.labels[:16]
W64 = torch.randn(784, 10, generator=device.generator(1), dtype=torch.float64) / 10
b64 = torch.zeros(10, dtype=torch.float64)

differences = numerical_gradient(lambda w: cross_entropy(x @ w + b64, y), W64)
by_hand, _ = loss_gradient(x, y, W64, b64)
W_auto = W64.clone().requires_grad_()
cross_entropy(x @ W_auto + b64, y).backward()

print(f"hand and autograd: {(by_hand - W_auto.grad).abs().max():.0e} apart")
print(f"hand and differences: {(by_hand - differences).abs().max():.0e} apart")
assert (by_hand - W_auto.grad).abs().max() < 1e-12
assert (by_hand - differences).abs().max() < 1e-8

# %% [markdown] tags=["core"]
# All three agree: hand and autograd to rounding, the differences to what their own rounding allows. But differences need
# two losses for *every* weight. With a million weights that is out of the question; as a test on a small case
# nothing is better.
#
# ## 5 Take a step, and watch ten pictures form
#
# The gradient points uphill, so go against it. The **learning rate** $\eta$ says how far:
#
# $$ W \leftarrow W - \eta\, \nabla_W L, \qquad b \leftarrow b - \eta\, \nabla_b L . $$
#
# Where does the *first* step lead, from $W = 0$? There every $p_k$ is $\frac1{10}$. With all $N$ pictures in the batch,
# of which a share $\pi_k$ shows digit $k$, the gradient can be worked out on paper:
#
# $$ \nabla_{w_k} L = \frac1N \sum_n x_n \big(\tfrac1{10} - [y_n = k]\big) = \tfrac1{10}\, \mu - \pi_k\, \mu_k , $$
#
# where $\mu$ is the average of all pictures. With equal shares $\pi_k = \frac1{10}$ and $\eta = 1$, the first step leads to
# $w_k = \frac1{10} (\mu_k - \mu)$: a tenth of section 2's weights, less what all classes share. So the constants that fit it
# are a tenth as well: the last line below takes $\frac1{10}$ of $-\frac12 \lVert \mu_k \rVert^2$ (`b_near / 10`).
#
# **Predict.** How many test digits does the model read after that one step? More than the nearest average, or fewer?

# %% tags=["core"]
W, b = blank(train_x)
grad_W, grad_b = loss_gradient(as_rows(train_x), train_y, W, b)
shares = torch.bincount(train_y, minlength=10) / len(train_y)
paper = as_rows(train_x).mean(dim=0) / 10 - shares[:, None] * means  # (K, P)
first_step = W - grad_W
one_step = accuracy(first_step, b - grad_b, test_x, test_y)
print(f"paper and code: {(grad_W.T - paper).abs().max():.0e} apart")
repaired = accuracy(first_step, b_near / 10, test_x, test_y)
print(f"after one step {one_step:.1%} of the test digits read; nearest average {share_nearest:.1%}")
print(f"the same weights with a tenth of its constants: {repaired:.1%}")
assert (grad_W.T - paper).abs().max() < 1e-4
assert 0.2 < one_step < min(repaired, share_nearest)

# %% [markdown] tags=["core"]
# Fewer: the weights are there, yet nothing stands for $-\frac12 \lVert \mu_k \rVert^2$. Put its tenth in, and the score is
# back (with equal shares, exactly). So take many steps. Each uses a **batch** of 128 pictures instead of all; its
# gradient is right on average and costs a fraction. This is **stochastic gradient descent** (Robbins and Monro 1951).
#
# The weights of a class are a picture. Blue pixels speak *for* the class, orange ones *against* it, white ones are not
# heard. **Predict.** What will the weights of the 0 look like in the middle? And in the corners?

# %% tags=["core"]
W, b = blank(train_x)
moments = [0, 1, 2, 4, 8, 15, 30, 60, 120, 250, 500, 1000][: profile(smoke=6, standard=12)]
frames = []
steps = {"batch_size": cfg.batch_size, "generator": generator, "steps": moments[-1] + 1}
for step, (x, y) in enumerate(datasets.batches(train_x, train_y, **steps)):
    if step in moments:
        frames.append(as_pictures(W))
    grad_W, grad_b = loss_gradient(as_rows(x), y, W, b)
    W, b = W - 0.1 * grad_W, b - 0.1 * grad_b
read = accuracy(W, b, test_x, test_y)
print(f"after {moments} steps; in the end {read:.1%} of the test digits read")
film = plots.animation(
    frames, value_range=(0, 1), fps=2,
    alt=f"Weights of the ten classes after {moments} steps: first white, then blurred averages of "
    f"the classes, then strokes for and against each. In the end {read:.1%} of test digits read.",
)

# %% [markdown] tags=["core"]
# The middle of the 0 turns orange: ink *there* is what a 0 never has, the best evidence against it. The nearest
# average could not say that. The corners stay white for ever: where no picture has ink, $x_i = 0$, and so is the gradient.
#
# ## 6 The loop to keep
#
# From here on autograd finds the gradients, and the loop becomes a function. Its heart, in this order: **loss, gradient,
# step.** The step itself must not be recorded (`torch.no_grad()`). And `backward()` *adds* to what is in `W.grad`, so
# the old gradient has to be thrown away (`W.grad = None`). Around the heart, `training.progress` counts the steps, shows
# the loss and the time left, and ends cleanly when you press ■ or when `should_stop()` says that a budget is spent.
#
# **Before you train on everything, train on almost nothing.** 7,850 numbers must be able to learn 20 pictures
# by heart. If not, the loop has a bug, found in a second instead of an hour.
#
# **Predict.** Of the 20 it will read all. How many of the *test* digits?
#
# **Your lines.** Write the heart of `train_linear`.
#
# <details><summary>Hint 1</summary><code>loss = loss_of(...)</code> of the logits, <code>loss.backward()</code>, then
# a step against the gradient for both <code>W</code> and <code>b</code>.</details>
# <details><summary>Hint 2</summary><code>with torch.no_grad():</code> and inside <code>for p in (W, b):</code> the lines
# <code>p -= cfg.lr * p.grad</code> and <code>p.grad = None</code></details>

# %% tags=["core", "export", "exercise"]
def train_linear(
    cfg, images, labels, generator, *,
    start=None, loss_of=cross_entropy, should_stop=training.never_stop, view=None,
):
    """Learn from images uint8 (N, C, H, W) and labels int64 (N,); return (W, b) and the history.

    Stochastic gradient descent on loss_of(logits, y), from zeros or from `start`, a pair (W, b);
    ends after cfg.steps, or when the budget of should_stop is used up.
    """
    W, b = (p.detach().clone().requires_grad_() for p in start or blank(images))
    batches = datasets.batches(images, labels, batch_size=cfg.batch_size, generator=generator)
    with training.progress(cfg.steps, should_stop, view) as run:
        for _, (x, y) in zip(run, batches, strict=False):
            x = as_rows(x)  # (B, P) in 0..1
            ### TODO: the loss, its gradient, the step of W and b, and no gradient left behind
            ### BEGIN SOLUTION
            loss = loss_of(x @ W + b, y)
            loss.backward()
            with torch.no_grad():
                for p in (W, b):
                    p -= cfg.lr * p.grad
                    p.grad = None
            ### END SOLUTION
            run.log(loss=loss)
    return (W.detach(), b.detach()), run.history


# %% tags=["core"]
train_linear = checks.gradient_descent.train_linear(train_linear)
few = replace(cfg, batch_size=20, steps=profile(smoke=150, standard=500))
by_heart, _ = train_linear(few, train_x[:20], train_y[:20], generator)
known = accuracy(*by_heart, train_x[:20], train_y[:20])
print(f"{known:.0%} of the 20 read, {accuracy(*by_heart, test_x, test_y):.1%} of the test digits")
assert known == 1

# %% [markdown] tags=["core"]
# All of the 20, and a minority of the others: learning by heart is not learning to read.
#
# ## 7 Find the learning rate
#
# How long should a step be? Try it: short trainings, each with a rate about three times that of the one before. Which is
# best is *not* asked of the test set: a choice made with its help would fit it a little, and the score
# afterwards would flatter. For choices there is the **validation set**, the images put aside for choosing.
#
# **Predict.** What does the loss do when the rate is a hundred times too small? Thirty times too large? (In the
# curves pale lines are the batches, which all start at ln 10; bold lines are means over neighbouring batches.)

# %% tags=["core"]
rates = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
runs, nats, read = {}, [], []
for lr in rates:
    short = replace(cfg, lr=lr, steps=profile(smoke=30, standard=400))
    found, history = train_linear(short, train_x, train_y, generator)
    runs[f"rate {lr:g}"] = history["loss"]
    logits = as_rows(choose_x) @ found[0] + found[1]
    nats.append(cross_entropy(logits, choose_y).item())
    read.append(accuracy(*found, choose_x, choose_y))
    print(f"rate {lr:g}: {nats[-1]:.2f} nats, {read[-1]:.1%} read, largest logit {logits.max():.0f}")
best_rate = rates[nats.index(min(nats))]
three = {name: runs[name] for name in ("rate 0.003", "rate 0.3", "rate 10")}
names = {"ylabel": "loss in nats", "reference": {"ln 10": math.log(10)}}
fig = plots.curves(three, xlabel="step", log=True, smooth=10, **names)
tried = {"validation images": (list(rates), nats)}
fig = plots.curves(tried, xlabel="learning rate", log="x", **names)
assert 0.01 < best_rate < 3 and min(nats) < min(nats[0], nats[-1]) - 0.05 and logits.max() > 88.7

# %% [markdown] tags=["core"]
# Too small, and the loss creeps; it would arrive, much later. Too large, and it jumps about, even *above* ln 10: worse
# than no opinion. Between them lies a valley with a flat bottom: the factor counts, not the digit. And with the rate 10 the
# scores pass 88.7, where a naive softmax answers `nan`. (Its accuracy is not
# that bad: only its sureness is worthless.)
#
# ## 8 Train, and look
#
# The rate is found; train with it. **Predict:** what will the trained weights show that the averages did not?

# %% tags=["core"]
def loss_curve(run):
    """Draw the loss of a training so far; it is redrawn in place while the training runs."""
    return plots.curves({"training": run.history["loss"]}, xlabel="step", smooth=20, **names)


cfg = replace(cfg, lr=best_rate)
(W, b), history = train_linear(cfg, train_x, train_y, generator, view=loss_curve)
known, read = accuracy(W, b, train_x, train_y), accuracy(W, b, test_x, test_y)
print(f"read: {known:.2%} of the training images, {read:.2%} of the test images")
assert read > profile(smoke=0.5, standard=share_nearest + 0.05)
three = zip(("nearest average", "one step", "trained"), (W_near, first_step, W), strict=True)
fig = plots.compare(
    {k: as_pictures(w) for k, w in three}, value_range=(0, 1), scale=2,
    alt=f"Ten pictures each. Nearest average, {share_nearest:.0%} read: blurred blue digits. One step: "
    f"the digit blue, other digits orange. Trained, {read:.0%} read: fine strokes for and against.",
)

# %% [markdown] tags=["core"]
# The same formula, the same 7,850 numbers, and it reads far more. It no longer asks what is usual for a 3 but what tells
# it from the rest. The **gap**, the accuracy on the images of the training minus that on new ones, is small: hardly any
# of this is learning by heart.
#
# ## 9 Roll the ball: why a large rate jumps
#
# Take the simplest valley, $L(w) = \frac12 h w^2$, with curvature $h$. A step gives
#
# $$ w \leftarrow w - \eta h w = (1 - \eta h)\, w . $$
#
# If $\eta h < 1$, the ball rolls down one side; between 1 and 2 it hops across and still comes lower; above
# 2 every hop ends higher than it began. So $\eta < 2/h$. A real landscape has *many* directions: the steepest
# one limits the rate, and the flattest then has to wait.
#
# **Roll it yourself.** Two numbers instead of 7,850: $u$ scales the overlap and $v$ the constant of section 2,
# $s_k = u\,(x \cdot \mu_k) - \frac v2 \lVert \mu_k \rVert^2$. The nearest average sits at $u = v = 1$. Which rates
# come lowest in 30 steps? From which on does the ball never come to rest?
#
# <details><summary>Answer</summary>The two below the largest come equally low: they reach the bottom. Smaller ones are
# still on their way; the largest never rests, as it lies above 2/h of the steepest direction.</details>

# %% tags=["core"]
overlap, label = as_rows(choose_x[:1000]) @ means.T, choose_y[:1000]  # (B, K), (B,)


def valley(w):
    """Return the loss on 1,000 validation digits for w = (u, v)."""
    return cross_entropy(w[0] * overlap + w[1] * b_near, label)


def roll(rate, steps):
    """Return the places (steps + 1, 2) of a ball that starts at (0, 0)."""
    places = [torch.zeros(2, device=dev)]
    for _ in range(steps):
        w = places[-1].clone().requires_grad_()
        places.append(places[-1] - rate * torch.autograd.grad(valley(w), w)[0])
    return torch.stack(places)


# %% tags=["core"]
us, vs = torch.linspace(-0.3, 2, 40), torch.linspace(-0.5, 1.3, 32)
heights = [[valley(torch.stack([u, v]).to(dev)).item() for u in us] for v in vs]
levels = [0.79, 0.82, 0.87, 0.95, 1.05, 1.2, 1.5, 2, 3, 5, 8, 12]


def draw_roll(rate, steps):
    """Draw the valley with the ball's way through it."""
    places = roll(rate, steps)
    told = f"rate {rate:g}, {steps} steps: from 2.303 to {valley(places[-1]):.4f} nats"
    fig = Figure(figsize=(6.5, 4), dpi=80, layout="constrained")
    ax = fig.add_subplot(xlabel="u, scale of the overlap", ylabel="v, scale of the constant")
    ax.clabel(ax.contour(us, vs, heights, levels, colors="0.6", linewidths=0.8), fontsize=7)
    ax.plot(*places.cpu().T, ".-", color="#0072B2", linewidth=1)
    ax.plot(*places[-1].tolist(), "o", color="#D55E00", markersize=11)
    ax.set(xlim=(-0.3, 2), ylim=(-0.5, 1.3), title=told)
    fig.set_label(f"Level lines of a narrow, slanted valley and a ball's way into it; {told}.")
    return fig


rates = [0.001, 0.003, 0.01, 0.03, 0.1, 0.13, 0.2]
assert valley(roll(0.1, 30)[-1]) < valley(roll(0.03, 30)[-1]) < valley(roll(0.01, 30)[-1])
explore.View(draw_roll, [explore.choice("rate", rates, 0.1), explore.slider("steps", 0, 100, 30)])

# %% [markdown] tags=["deeper"]
# With two numbers the limit can be computed: the curvatures at the bottom are the eigenvalues of the matrix of second
# derivatives, the **Hessian**. **Predict.** Which of the listed rates lies above $2/h$ of the steepest direction?

# %% tags=["deeper"]
bottom = roll(0.1, profile(smoke=200, standard=1000))[-1]
flat, steep = torch.linalg.eigvalsh(torch.autograd.functional.hessian(valley, bottom).cpu()).tolist()
print(f"curvatures {flat:.2f} and {steep:.1f}; the limit 2/h is {2 / steep:.3f}")
for rate in (0.95 * 2 / steep, 1.05 * 2 / steep):
    last = valley(roll(rate, 300)[-1]) - valley(bottom)
    print(f"rate {rate:.3f}: {last:.6f} nats above the bottom after 300 steps")
assert last > 1e-3

# %% [markdown] tags=["deeper"]
# Just below the limit the ball comes to rest, just above it never does. It hops between two
# walls: far out, cross-entropy is no parabola but a plane (no slope $p_k - [k = y]$ exceeds 1).
#
# ### The gap
#
# **Predict.** Train with 20, 100, 500, ... images, always for as many steps. Draw both curves, the accuracy on the images of
# the training and on the test images, before you run this.

# %% tags=["deeper"]
sizes = [n for n in (20, 100, 500, 2000, 10000, 50000) if n <= len(train_x)]
curves = {"its training images": [], "test images": []}
for n in sizes:
    fewer = replace(cfg, batch_size=min(n, cfg.batch_size), lr=0.3)
    found, _ = train_linear(fewer, train_x[:n], train_y[:n], generator)
    curves["its training images"].append(100 * accuracy(*found, train_x[:n], train_y[:n]))
    curves["test images"].append(100 * accuracy(*found, test_x, test_y))
lines = {name: (sizes, values) for name, values in curves.items()}
fig = plots.curves(lines, xlabel="training images", ylabel="% read", log="x")
gaps = [a - b for a, b in zip(*curves.values(), strict=True)]
print("gap in percentage points:", ", ".join(f"{gap:.1f}" for gap in gaps))
assert gaps[0] > gaps[-1] and curves["test images"][-1] > curves["test images"][0]

# %% [markdown] tags=["deeper"]
# With few images everything is learnt by heart; with all of them there is hardly a gap, and
# *both* curves stop below 100 %: with these steps, more images will hardly help. Lesson 11 gives it more possibilities.
#
# ## 10 Break it on purpose
#
# Two mistakes that raise no error. (C1, C2: their numbers in the course's list of
# bugs found in real projects.) Both use torch's `F.cross_entropy(logits, target)`, whose target may also be a row of
# probabilities.
#
# **A softmax too many (C1).** "The loss wants probabilities", says somebody, and passes `logits.softmax(1)`.
# The loss takes these for logits, and the best of them are 1 and nine times 0:
#
# $$ -\log \frac{e^1}{e^1 + 9 e^0} = 1.461 \text{ nats, for a perfect answer.} $$
#
# **The arguments swapped (C2).** `F.cross_entropy(one_hot, p)`. Put in, with $p$ in the place of the target:
#
# $$ -\sum_k p_k \log \operatorname{softmax}(\text{one-hot})_k = \sum_k p_k\,\big(2.461 - [k = y]\big) = 2.461 - p_y . $$
#
# **Predict.** At which loss does each of the three begin, with all weights 0? Which number would have told you?

# %% tags=["deeper"]
losses = {
    "right": lambda s, y: F.cross_entropy(s, y),
    "C1, softmax twice": lambda s, y: F.cross_entropy(s.softmax(dim=1), y),
    "C2, swapped": lambda s, y: F.cross_entropy(F.one_hot(y, 10).float(), s.softmax(dim=1)),
}
floor, broken, reads = math.log(math.e + 9) - 1, {}, []
short = replace(cfg, lr=0.3, steps=profile(smoke=40, standard=600))
for name, loss_of in losses.items():
    found, history = train_linear(short, train_x, train_y, generator, loss_of=loss_of)
    broken[name] = history["loss"]
    reads.append(accuracy(*found, test_x, test_y))
    print(f"{name}: {broken[name][1][0]:.3f} nats before training, {reads[-1]:.1%} read after it")
fig = plots.curves(
    broken, xlabel="step", ylabel="loss in nats", smooth=10,
    reference={"ln 10": math.log(10), "best of C1 and C2": floor},
)
assert min(min(values) for _, values in list(broken.values())[1:]) > floor - 1e-3
assert reads[0] > max(reads[1:]) - profile(smoke=0.2, standard=0)
assert abs(broken["C2, swapped"][1][0] - (floor + 0.9)) < 1e-3

# %% [markdown] tags=["deeper"]
# C2 begins at $2.461 - \frac1{10}$, not at ln 10: known before training, it gives the bug away. C1 begins rightly and shows
# later, as a loss that will not go below 1.461. Both learn, only worse, which is why nobody notices.
#
# **C3** is a bug not in the loss but in the report: a "test" accuracy computed on the training batches (exercise D). **C11**
# is one in the picture: steps counted twice, or epochs (passes over all images) on an axis
# that says steps. The check of `train_linear` looks.
#
# ## 11 Exercises
#
# **A. Predict (★, 5 minutes).** Begin not with zeros but with random weights of standard deviation 0.3. What is the loss
# before training? What do the ten pictures look like *after* training? Think of the corners.
#
# <details><summary>Hint 1</summary>Is the first loss above or below ln 10?</details>
# <details><summary>Hint 2</summary>Which weights ever receive a gradient, and how large is it?</details>

# %% tags=["deeper"]
noisy = 0.3 * torch.randn(784, 10, generator=generator, device=dev)
found, history = train_linear(cfg, train_x, train_y, generator, start=(noisy, b * 0))
black = as_rows(train_x).amax(dim=0) == 0  # never any ink
assert history["loss"][1][0] > math.log(10) and torch.equal(found[0][black], noisy[black])
print(f"before training {history['loss'][1][0]:.2f} nats; {accuracy(*found, test_x, test_y):.1%} read")
fig = plots.compare(
    {"before": as_pictures(noisy), "after": as_pictures(found[0])}, value_range=(0, 1), scale=2
)

# %% [markdown] tags=["deeper"]
# <details><summary>Answer to A</summary>Above ln 10: an opinion without evidence is worse than none. Where there is never
# ink the noise stays as it was, to the last bit; it does no harm, until a picture comes with ink there.
# Zeros are a good start for <em>this</em> model; for lesson 11's they are the worst.</details>
#
# **B. Predict (★★, 10 minutes).** How small should the nudge of `numerical_gradient` be? Its error falls with
# $\epsilon^2$, so the smaller the better. Or not? Sketch the error over $\epsilon$, from $10^{-12}$ to $10^{-1}$.
#
# <details><summary>Hint 1</summary>float64 keeps 16 digits. How many of them do L(w + ε) and L(w - ε) share?</details>
# <details><summary>Hint 2</summary>The difference carries an absolute error of about 1e-16, and is divided by 2ε.</details>

# %% tags=["deeper"]
part, digit = as_rows(train.images[:16])[:, 300:320].double(), train.labels[:16]
some, errors, powers = W64[300:320], [], list(range(-12, 0))
exact, _ = loss_gradient(part, digit, some, b64)
for power in powers:
    rough = numerical_gradient(lambda w: cross_entropy(part @ w + b64, digit), some, 10.0**power)
    errors.append((rough - exact).abs().max().item())
fig = plots.curves(
    {"central differences": (powers, errors)},
    xlabel="log10 of eps", ylabel="largest error of a slope", log=True,
)
assert min(errors) < min(errors[0], errors[-1]) / 100

# %% [markdown] tags=["deeper"]
# <details><summary>Answer to B</summary>Not the smaller the better. At the right the curve rises with
# ε², as derived. At the left it rises again: two losses that agree in nearly all of their 16 digits are subtracted, and
# the few digits left are divided by a tiny number.
# In float32, with 7 digits, there is hardly a good ε: test gradients in float64.</details>
#
# **C. Build (★★, 15 minutes).** The gradient over all images needs all images in memory at once. Compute it from
# pieces of `size` images, exactly. Mind the last piece, which is smaller.
#
# <details><summary>Hint 1</summary><code>loss_gradient</code> gives the mean over a piece. The mean of the pieces' means is
# not the mean over all if the pieces differ in size.</details>
# <details><summary>Hint 2</summary>Weight each piece's gradients with <code>len(part) / len(images)</code> and add up;
# <code>zip(images.split(size), labels.split(size))</code>.</details>

# %% tags=["deeper", "exercise", "export"]
def full_gradient(images, labels, W, b, size=1000):
    """Return the gradients of the mean loss over all images uint8 (N, C, H, W), piece by piece."""
    grad_W, grad_b = torch.zeros_like(W), torch.zeros_like(b)
    ### TODO: add up the gradients of the pieces, each with its weight
    ### BEGIN SOLUTION
    for x, y in zip(images.split(size), labels.split(size), strict=True):
        part_W, part_b = loss_gradient(as_rows(x), y, W, b)
        grad_W += part_W * len(x) / len(images)
        grad_b += part_b * len(x) / len(images)
    ### END SOLUTION
    return grad_W, grad_b


# %% tags=["deeper"]
full_gradient = checks.gradient_descent.full_gradient(full_gradient)

# %% [markdown] tags=["deeper"]
# **D. Debug (★★, 10 minutes).** A colleague reports "train 100 %, test 100 %" for the model of the 20 pictures, with
# this function. It has two faults. Find them, then write it right.
#
# ```python
# def scores(W, b, splits, size=1000):
#     result = {}
#     images, labels = splits["train"]
#     for name in splits:
#         shares = []
#         for x, y in zip(images.split(size), labels.split(size)):
#             shares.append(((as_rows(x) @ W + b).argmax(dim=1) == y).double().mean().item())
#         result[name] = sum(shares) / len(shares)
#     return result
# ```
#
# <details><summary>Hint 1</summary>On which images is "test" computed? (C3.) What does a last piece of one image count for?</details>
# <details><summary>Hint 2</summary><code>for name, (images, labels) in splits.items()</code>; <code>accuracy</code> already
# counts every image once.</details>

# %% tags=["deeper", "exercise", "export"]
def scores(W, b, splits):
    """Return name -> accuracy for splits: name -> (images uint8 (N, C, H, W), labels (N,))."""
    ### TODO: the function above without its two faults
    ### BEGIN SOLUTION
    return {name: accuracy(W, b, images, labels) for name, (images, labels) in splits.items()}
    ### END SOLUTION


# %% tags=["deeper"]
scores = checks.gradient_descent.scores(scores)
splits = {"train": (train_x[:20], train_y[:20]), "test": (test_x, test_y)}
print(", ".join(f"{name} {share:.1%}" for name, share in scores(*by_heart, splits).items()))

# %% [markdown] tags=["core"]
# ## 12 To discuss, and to keep
#
# <details><summary><b>Question C11.</b> Two people plot "loss over steps". One counts batches of 128, the other batches
# of 32. When may the curves share a picture?</summary>If the axis counts the same thing: optimiser steps,
# images seen or seconds. The label has to say which.</details>
# <details><summary><b>Question.</b> The training loss is a mean over the batch. What changes if it is a sum?</summary>Every
# gradient is B times as long, so the same learning rate is B times too large.</details>
# <details><summary><b>Question.</b> Somebody tries 1,000 learning rates on the test set and reports the best score. What is
# wrong?</summary>The largest of many noisy numbers is too high; measure that rate again on images used for nothing
# before.</details>
#
# **Summary**
#
# - Learning is three lines, repeated: the loss says how wrong, the gradient says which way, the step goes a little of that
#   way.
# - Softmax and cross-entropy belong together, in the logarithm: one stable function of the logits.
# - The gradient in the logits is *what the model said minus what was right*. Test gradients by differences, in float64.
# - Know before you train: the loss is ln K without an opinion, and a few images can be learnt by heart.
# - The rate is limited by the steepest direction. Learn on one set, choose on a second, report on a third.
#
# **Later lessons import** `numerical_gradient` (for every gradient by hand), `cross_entropy` and `log_sum_exp`, `as_rows`,
# `train_linear` (the classifier to beat) and `as_pictures`. **Limits:** one template per class. A digit that has moved, or
# has another form, does not fit it; lesson 11 adds a layer.
#
# **Sources.** Bishop (2006), *Pattern Recognition and Machine Learning*, section 4.3.4 (softmax, its gradient) ·
# Goodfellow, Bengio and Courville (2016), *Deep Learning*, sections 4.1 (overflow), 4.3 (gradient descent) and 5.9
# (stochastic) · Robbins and Monro (1951), *A stochastic approximation method* · LeCun et al. (1998), *Gradient-based
# learning applied to document recognition*, section III (linear classifiers on digits).
