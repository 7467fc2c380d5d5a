# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown] tags=["core"]
# # 11 Backpropagate through two layers
#
# You will build a network of two layers that reads digits: its gradients by hand, a start from which it can learn,
# and the
# optimisers that train nearly every network of today, momentum and Adam.
#
# | | |
# |---|---|
# | **You need** | lesson 10: cross-entropy, its gradient, the training loop |
# | **Time** | 55 minutes for the core, 30 more for the rest; the notebook itself runs in half a minute on two cores |
# | **Machine** | no GPU, no network, 0.8 GB of memory |
#
# When you are through, you can
#
# 1. follow a gradient backwards through any chain of operations, with numbers and with matrices,
# 2. choose starting weights whose signals neither die nor explode,
# 3. write momentum, Adam and AdamW, equal to PyTorch's step by step,
# 4. tell learning from learning by heart, and stop in time.
#
# > **Remember.** Backpropagation is the chain rule in the right order: each operation takes the slope of the loss in its
# > output and hands back the slope in its inputs. It needs only what it kept on the way forward.

# %% tags=["core", "export"]
import math
from dataclasses import dataclass, replace

import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from course_lib import checks, datasets, device, explore, plots, settings, training
from course_lib.built import gradient_descent
from course_lib.built.gradient_descent import as_pictures, as_rows, cross_entropy, train_linear
from course_lib.settings import profile


@dataclass
class Config:
    """The numbers of lesson 11; `profile` picks the value for the profile that you run in."""

    steps: int = profile(smoke=60, standard=3000, full=10000)
    batch_size: int = 128  # images per step
    hidden: int = 128  # units between the two layers
    measure_every: int = 25  # steps
    seed: int = 0


def relu(a):
    """Return max(a, 0), entry by entry."""
    return a.clamp(min=0)


# %% tags=["core"]
cfg = Config()
dev = device.pick_device()
generator = device.generator(cfg.seed, dev)  # starting weights, and the order of the images

train = datasets.load(settings.data_name(), "train", size=profile(smoke=2400, standard=None))
test = datasets.load(settings.data_name(), "test", size=profile(smoke=1000, standard=None))
assert train.images.shape[1:] == (1, 28, 28) and train.images.max() == 255
held = len(train) // 6  # the last sixth is for choosing
train_x, train_y = train.images[:-held].to(dev), train.labels[:-held].to(dev)
choose_x, choose_y = train.images[-held:].to(dev), train.labels[-held:].to(dev)
test_x, test_y = test.images.to(dev), test.labels.to(dev)

linear_cfg = replace(gradient_descent.Config(), steps=profile(smoke=40, standard=2000))
linear, _ = train_linear(linear_cfg, train_x, train_y, generator)
share_linear = gradient_descent.accuracy(*linear, test_x, test_y)
print(f"lesson 10's linear classifier reads {share_linear:.1%} of the test digits")

# %% [markdown] tags=["core"]
# ## 1 Why one layer more is not enough
#
# The linear classifier has one template per class. A 7 with a bar and one without must share it. Idea: first compute
# $M$ *features* with $M$ templates of their own, then let a second layer combine them: $s = (x W_1) W_2$.
#
# **Predict.** How much more can these two layers say than one? Count the numbers: with M = 128, over 100,000 against
# 7,850.
#
# <details><summary>Answer</summary>Nothing more. Move the bracket: s = (x W1) W2 = x (W1 W2), and the product of two
# matrices is one
# matrix, of shape (P, K). So it is again a linear classifier.</details>
#
# Something not linear has to stand between. The simplest is the
# **ReLU**, $\max(a, 0)$: a unit speaks when its template fits well enough, and is silent otherwise.
#
# But now the gradient of lesson 10, $x_i (p_k - [k = y])$, holds for the second layer only. Nobody tells the hidden
# units what *they* should have said.
#
# ## 2 Follow the blame backwards, with numbers
#
# Take the smallest network that shows it all: two inputs, two hidden units, one output, and the loss
# $L = \frac12 (s - t)^2$ for a target $t$.
#
# $$ a = x W_1 + b_1, \qquad h = \max(a, 0), \qquad s = h \cdot w_2 + b_2 . $$
#
# **Predict,** with pencil: $x = (1, 2)$, $W_1 = \begin{pmatrix} \frac12 & -1 \\ \frac14 & \frac14 \end{pmatrix}$,
# $b_1 = (0, 0)$, $w_2 = (2, -1)$, $b_2 = -\frac12$, $t = 1$. What are $a$, $h$, $s$ and $L$?

# %% tags=["core", "nbval-check-output"]
x, t = torch.tensor([1.0, 2]).double(), 1.0
W1, b1 = torch.tensor([[0.5, -1], [0.25, 0.25]]).double(), torch.zeros(2).double()
w2, b2 = torch.tensor([2.0, -1]).double(), torch.tensor(-0.5).double()

a = x @ W1 + b1
h = relu(a)
s = h @ w2 + b2
L = (s - t) ** 2 / 2
print(f"a = {a.tolist()}, h = {h.tolist()}, s = {s.item()}, L = {L.item()}")

# %% [markdown] tags=["core"]
# The second unit is silent. Now backwards. Write $\bar v$ for $\partial L / \partial v$, the **blame** of $v$. The last
# operation is easy, and each earlier one multiplies by its own small derivative:
#
# $$
# \bar s = s - t, \qquad
# \bar w_2 = h\,\bar s, \quad \bar b_2 = \bar s, \quad \bar h = w_2\,\bar s, \qquad
# \bar a_j = \bar h_j\,[a_j > 0], \qquad
# (\bar W_1)_{ij} = x_i\,\bar a_j, \quad \bar b_1 = \bar a .
# $$
#
# Three rules are all of it. A **product** sends the blame to each factor, multiplied by the other. A **sum** hands it on
# unchanged. A **ReLU** lets it pass where it was open. And each $\bar v$ is computed once and used by everything before
# it: that is why this is cheap.
#
# **Predict.** All nine slopes, with pencil. Which weights get none?

# %% tags=["core", "nbval-check-output"]
s_bar = s - t
w2_bar, b2_bar, h_bar = h * s_bar, s_bar, w2 * s_bar
a_bar = h_bar * (a > 0)
W1_bar, b1_bar = torch.outer(x, a_bar), a_bar


def loss_from(a=None, h=None, s=None, W1=W1, b1=b1, w2=w2, b2=b2):
    h = relu(x @ W1 + b1 if a is None else a) if h is None else h
    return ((h @ w2 + b2 if s is None else s) - t) ** 2 / 2


found = {"s": (s, s_bar), "h": (h, h_bar), "a": (a, a_bar), "b2": (b2, b2_bar), "w2": (w2, w2_bar)}
found |= {"b1": (b1, b1_bar), "W1": (W1, W1_bar)}
for name, (value, bar) in found.items():
    slope = gradient_descent.numerical_gradient(lambda v: loss_from(**{name: v}), value)  # noqa: B023
    assert (slope - bar).abs().max() < 1e-9
    print(f"slope in {name}: {(bar + 0.0).tolist()}, by differences the same")

# %% tags=["core"]
fig = Figure(figsize=(7.6, 2.4), dpi=80)
ax = fig.add_axes((0, 0, 1, 1), xlim=(-0.45, 4.35), ylim=(-1.5, 0.5))
ax.set_axis_off()
places = {name: (i, 0) for i, name in enumerate("xahsL")}
places |= {"W1": (0.1, -1.1), "b1": (1.3, -1.1), "w2": (2.4, -1.1), "b2": (3.5, -1.1)}
for start, end in ("xa", "ah", "hs", "sL", ("W1", "a"), ("b1", "a"), ("w2", "s"), ("b2", "s")):
    gap = 31 if places[start][1] == 0 else 21
    arrow = {"arrowstyle": "->", "shrinkA": gap, "shrinkB": gap, "color": "0.4"}
    ax.annotate("", places[end], places[start], arrowprops=arrow)
for name, (value, slope) in (found | {"x": (x, x), "L": (L, torch.ones(()))}).items():
    told = f"{name} = {value.tolist()}" + f"\nslope {(slope + 0.0).tolist()}" * (name != "x")
    ax.text(*places[name], told, ha="center", va="center", size=7, bbox={"facecolor": "white"})
fig = plots.show(fig, alt="Graph: x, W1 and b1 lead to a, then h; with w2 and b2 to s, then L = 0.125. "
                 "Slopes: s 0.5, h (1, -0.5), a (1, 0), W1 (1, 0; 2, 0), b1 (1, 0), w2 (0.5, 0), b2 0.5.")

# %% [markdown] tags=["core"]
# None for the silent unit: not for its column of $W_1$, its bias, or its weight in $w_2$. In the picture every place
# carries what was computed forwards and the slope that came back. Every slope agrees with the differences. The price
# was one walk back, not two losses for each weight.
# The rule was found several times; Rumelhart, Hinton and Williams (1986) showed what it can teach.
#
# ## 3 The same as matrices
#
# For a batch every row of $X$ (B, P) does the above; the slopes of shared weights add up over the rows, and a sum over
# rows is a matrix product. The loss is lesson 10's cross-entropy, whose slope in the logits we know:
#
# $$ \bar S = \tfrac1B (p - \text{one-hot}), \quad
# \bar W_2 = H^\top \bar S, \quad \bar b_2 = \textstyle\sum_n \bar S_n, \quad
# \bar H = \bar S\, W_2^\top, \quad
# \bar A = \bar H \odot [A > 0], \quad
# \bar W_1 = X^\top \bar A, \quad \bar b_1 = \textstyle\sum_n \bar A_n . $$
#
# | symbol | variable | shape |
# |---|---|---|
# | $X$, $A$, $H$, $S$ | `x`, `self.a`, `self.h`, logits | (B, P), (B, M), (B, M), (B, K) |
# | $W_1, b_1, W_2, b_2$ | `W1, b1, W2, b2` | (P, M), (M,), (M, K), (K,) |
# | $\bar S$, the others | `delta`, `grad_W2`, ... | as without the bar |
#
# Shapes are a guide: $\bar W_2$ must be (M, K), and only $H^\top \bar S$ is.
#
# <details><summary>Hint 1</summary>Forward is three lines, as in section 2. Keep <code>self.x</code>,
# <code>self.a</code> and
# <code>self.h</code>. Backward reads them in the opposite order.</details>
# <details><summary>Hint 2</summary><code>grad_a = (delta @ W2.T) * (self.a &gt; 0)</code>; then
# <code>self.x.T @ grad_a</code>, <code>grad_a.sum(dim=0)</code>, <code>self.h.T @ delta</code>,
# <code>delta.sum(dim=0)</code></details>

# %% tags=["core", "export", "exercise"]
def logits_gradient(logits, y):
    """Return the gradient (B, K) of cross_entropy(logits, y) in the logits (B, K); lesson 10."""
    return (logits.softmax(dim=1) - F.one_hot(y, logits.shape[1])) / len(y)


class TwoLayers:
    """A network of two layers, relu(x @ W1 + b1) @ W2 + b2, that finds its own gradients.

    parameters: [W1 (P, M), b1 (M,), W2 (M, K), b2 (K,)], changed in place by an optimiser.
    """

    def __init__(self, W1, b1, W2, b2):
        self.parameters = [W1, b1, W2, b2]

    def forward(self, x):
        """Return logits (B, K) for rows x (B, P), and keep what backward needs."""
        W1, b1, W2, b2 = self.parameters
        ### TODO: keep self.x, self.a (B, M) and self.h (B, M); return the logits
        ### BEGIN SOLUTION
        self.x = x
        self.a = x @ W1 + b1
        self.h = relu(self.a)
        return self.h @ W2 + b2
        ### END SOLUTION

    def backward(self, delta):
        """Return the loss's gradients in the four parameters, from that in the logits (B, K)."""
        W1, b1, W2, b2 = self.parameters
        ### TODO: walk back to grad_a (B, M); return [of W1, of b1, of W2, of b2]
        ### BEGIN SOLUTION
        grad_a = (delta @ W2.T) * (self.a > 0)
        return [self.x.T @ grad_a, grad_a.sum(dim=0), self.h.T @ delta, delta.sum(dim=0)]
        ### END SOLUTION


# %% tags=["core"]
TwoLayers = checks.backpropagation.two_layers(TwoLayers)
# %% [markdown] tags=["core"]
# ## 4 Start well: how large should the first weights be?
#
# All equal will not do: then all hidden units compute the same, receive the same
# gradient, and stay the same. So draw them at random. How
# large? Follow the size of a signal through one layer. With $n$ inputs and independent weights of mean 0,
#
# $$ a = \sum_{i=1}^n w_i h_i \quad\Rightarrow\quad \operatorname{Var} a = n \operatorname{Var}(w)\, \mathbb E[h^2] . $$
#
# $a$ is symmetric around 0, and the ReLU throws away one half of it, so
# $\mathbb E[\max(a, 0)^2] = \frac12 \operatorname{Var} a$. From layer to
# layer the mean square is multiplied by $\frac12 n \operatorname{Var}(w)$. It stays the same if
#
# $$ \operatorname{Var}(w) = \frac2n \qquad \text{(He et al. 2015, section 2.2)}. $$
#
# Without the one half, for a tanh near 0, it is $\frac1n$. The way back has the number of *outputs* in place of $n$;
# Glorot and Bengio (2010) take $2 / (n_{in} + n_{out})$, between the two.
#
# **Predict.** Twenty layers of 256 units; the weights are half as large as this, right, twice as large. By what
# factor do the signals of layer 20
# differ from those of layer 1? Drag the gain and see which units are left.

# %% tags=["core"]
def signals(gain, layers=20, width=256):
    """Return the activations (layers, 100, width) of a deep ReLU network on 100 random rows."""
    draw = device.generator(0)
    kept = [torch.randn(100, width, generator=draw)]
    for _ in range(layers):
        W = gain * math.sqrt(2 / width) * torch.randn(width, width, generator=draw)
        kept.append(relu(kept[-1] @ W))
    return torch.stack(kept[1:])


def draw_signals(gain):
    logs = {f"layer {i + 1}": h[h > 0].log10() for i, h in enumerate(signals(gain)) if i in (0, 9, 19)}
    return plots.histogram(logs, xlabel="log10 of the activations that are not 0")


sizes = {f"gain {gain:g}": signals(gain).square().mean(dim=(1, 2)).sqrt() for gain in (0.5, 1.0, 2.0)}
lines = {name: (list(range(1, 21)), size.log10()) for name, size in sizes.items()}
fig = plots.curves(lines, xlabel="layer", ylabel="log10 of the root mean square of h")
print({name: f"{size[-1] / size[0]:.1e}" for name, size in sizes.items()}, "from layer 1 to 20")
assert sizes["gain 0.5"][-1] < 1e-4 and 0.3 < sizes["gain 1"][-1] < 3 and sizes["gain 2"][-1] > 1e4
explore.View(draw_signals, [explore.choice("gain", (0.5, 0.7, 0.9, 1.0, 1.1, 1.5, 2.0), 1.0)])

# %% [markdown] tags=["core"]
# By $2^{19}$, about half a million, down or up: the factor of a layer to the power of their number. The gradient,
# which passes the same matrices,
# does the same. With the right size the signal arrives.
#
# <details><summary>Hint 1</summary>The number of inputs is the number of rows of <code>W</code>.
# <code>torch.randn</code> has variance 1; a factor f gives variance f².</details>
# <details><summary>Hint 2</summary><code>math.sqrt(2 / inputs) * torch.randn(inputs, outputs, generator=generator,
# device=generator.device)</code></details>

# %% tags=["core", "export", "exercise"]
def he_normal(inputs, outputs, generator):
    """Draw weights (inputs, outputs) ~ N(0, 2 / inputs). He et al. (2015), equation 10."""
    ### TODO: normal numbers on the generator's device, times the right standard deviation
    ### BEGIN SOLUTION
    unit = torch.randn(inputs, outputs, generator=generator, device=generator.device)
    return math.sqrt(2 / inputs) * unit
    ### END SOLUTION


def fresh(hidden, generator, gain=1.0, inputs=784, classes=10):
    """Return an untrained TwoLayers: He's weights times `gain`, biases of zero."""
    W1, W2 = he_normal(inputs, hidden, generator), he_normal(hidden, classes, generator)
    b1, b2 = (torch.zeros(n, device=generator.device) for n in (hidden, classes))
    return TwoLayers(gain * W1, b1, gain * W2, b2)


# %% tags=["core"]
he_normal = checks.backpropagation.he_normal(he_normal)
for gain in (0.01, 1, 10):
    logits = fresh(cfg.hidden, generator, gain).forward(as_rows(test_x))
    print(f"gain {gain:g}: {cross_entropy(logits, test_y):.2f} nats before training; ln 10 = 2.30")

# %% [markdown] tags=["core"]
# The first loss gives a wrong size away, as in lesson 10: a network that has seen nothing should cost about ln 10.
#
# ## 5 Better steps: momentum
#
# The step moves out of the loop into an **optimiser**: an object whose method `step(gradients)` changes the parameters in
# place. Which step? Lesson 10's ball bounced across the steep direction and crept along the flat one. Give it mass.
# Let a **velocity** collect the gradients:
#
# $$ v \leftarrow \mu v + g, \qquad p \leftarrow p - \eta v \qquad \text{(Polyak 1964)}. $$
#
# What changes sign cancels in $v$; what stays the same adds up, to $g(1 + \mu + \mu^2 + \dots) = g / (1 - \mu)$. With
# $\mu = 0.9$
# that is ten times the step. (Some books put the rate inside $v$ or a $1 - \mu$ before $g$: same idea, another
# $\eta$. Ours is PyTorch's.)
#
# <details><summary>Hint 1</summary>Change <code>v</code> and <code>p</code> themselves: <code>v *= ...</code>,
# <code>v += ...</code>. A line
# <code>v = ...</code> only gives a new tensor the name.</details>
# <details><summary>Hint 2</summary><code>v *= self.momentum</code>, <code>v += g</code>, <code>p -= self.lr *
# v</code></details>

# %% tags=["core", "export", "exercise"]
class Momentum:
    """Gradient descent with a velocity, v <- momentum v + g, p <- p - lr v. Polyak (1964)."""

    def __init__(self, parameters, lr, momentum=0.9):
        self.parameters, self.lr, self.momentum = list(parameters), lr, momentum
        self.velocities = [torch.zeros_like(p) for p in self.parameters]

    @torch.no_grad()
    def step(self, gradients):
        """Change velocities and parameters in place."""
        for p, v, g in zip(self.parameters, self.velocities, gradients, strict=True):
            ### TODO: the velocity, then the parameter, both in place
            ### BEGIN SOLUTION
            v *= self.momentum
            v += g
            p -= self.lr * v
            ### END SOLUTION


# %% tags=["core"]
Momentum = checks.backpropagation.momentum(Momentum)

# %% [markdown] tags=["core"]
# ## 6 The loop, and one batch by heart
#
# The loop of lesson 10, with two changes: your own `backward` takes the place of autograd, and the optimiser makes
# the step.
#
# **Predict.** Before all else, one batch: can the network learn 128 images by heart? Once with plain steps (momentum 0),
# once with momentum 0.9. How many times lower does the second come?
#
# <details><summary>Hint 1</summary>The order is that of lesson 10: loss, gradient, step. <code>backward</code> wants
# the gradient in
# the logits.</details>
# <details><summary>Hint 2</summary><code>loss = cross_entropy(logits, y)</code>, then
# <code>opt.step(model.backward(logits_gradient(logits, y)))</code></details>

# %% tags=["core", "export", "exercise"]
def train_two_layers(
    model, opt, cfg, images, labels, generator, *,
    measure=None, should_stop=training.never_stop, view=None
):
    """Train `model` in place on images uint8 (N, C, H, W), labels int64 (N,); return the history.

    measure(model) -> dict of numbers, logged every cfg.measure_every steps. Ends after cfg.steps,
    or when should_stop() reaches 1.
    """
    batches = datasets.batches(images, labels, batch_size=cfg.batch_size, generator=generator)
    with training.progress(cfg.steps, should_stop, view) as run:
        for step, (x, y) in zip(run, batches, strict=False):
            if measure and step % cfg.measure_every == 0:
                run.log(**measure(model))
            logits = model.forward(as_rows(x))  # (B, K)
            ### TODO: the loss, its gradients, the optimiser's step
            ### BEGIN SOLUTION
            loss = cross_entropy(logits, y)
            opt.step(model.backward(logits_gradient(logits, y)))
            ### END SOLUTION
            run.log(loss=loss)
    return run.history


# %% tags=["core"]
def score(model, images, labels):
    """Return loss in nats and share read of images uint8 (N, C, H, W)."""
    logits = model.forward(as_rows(images))
    return cross_entropy(logits, labels).item(), (logits.argmax(1) == labels).double().mean().item()


train_two_layers = checks.backpropagation.train_two_layers(train_two_layers)
by_heart, one = replace(cfg, steps=profile(smoke=400, standard=600)), (train_x[:128], train_y[:128])
for mu in (0.0, 0.9):
    model = fresh(cfg.hidden, device.generator(2, dev))
    train_two_layers(model, Momentum(model.parameters, 0.05, mu), by_heart, *one, generator)
    print(f"one batch, momentum {mu}: {score(model, *one)[0]:.4f} nats, {score(model, *one)[1]:.0%} read")
assert score(model, *one)[1] == 1 and score(model, *one)[0] < 0.1

# %% [markdown] tags=["core"]
# It can: forward, backward and step are sound. And the velocity is worth a lot of steps.
#
# ## 7 A rate for each weight: Adam
#
# A weight at the border of the picture rarely sees ink: its gradients are tiny. One rate for all is wrong for most. Adam
# (Kingma and Ba 2015) measures for *each* weight the running mean of its gradients and of their squares,
#
# $$ m \leftarrow \beta_1 m + (1 - \beta_1)\, g, \qquad v \leftarrow \beta_2 v + (1 - \beta_2)\, g^2 , $$
#
# and steps along $m / \sqrt v$, which has no units: scale the loss by 1000 and the step stays.
#
# One flaw is left. Both start at 0, and for a constant $g$ after $t$ steps
# $m = (1 - \beta_1)\sum_{i<t} \beta_1^i\, g = (1 - \beta_1^t)\, g$.
# Divide that factor out (the **bias correction**):
#
# $$ p \leftarrow p - \eta\, \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon} . $$
#
# **Weight decay** pulls all weights to 0 a little. Add $\lambda p$ to $g$, and Adam divides it by $\sqrt v$ again:
# weights
# with large gradients would be held less. AdamW (Loshchilov and Hutter 2019, algorithm 2) keeps it apart:
# $p \leftarrow (1 - \eta \lambda)\, p$, then the step.
#
# **Predict.** How long is the very first step of a weight, with $g = 0.001$? With $g = 1000$? And without the correction?
#
# <details><summary>Hint 1</summary>Five lines in the loop: decay, m, v, corrected m and v, step. t counts from
# 1.</details>
# <details><summary>Hint 2</summary><code>m += (1 - beta1) * (g - m)</code> is the running mean in place;
# <code>m / (1 - beta1**self.t)</code> is corrected; <code>eps</code> comes after the root.</details>

# %% tags=["core", "export", "exercise"]
class Adam:
    """Adam with bias correction, Kingma and Ba (2015), algorithm 1.

    decay > 0: AdamW, decoupled weight decay, Loshchilov and Hutter (2019), algorithm 2.
    """

    def __init__(self, parameters, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, decay=0.0):
        self.parameters, self.lr, self.betas = list(parameters), lr, betas
        self.eps, self.decay, self.t = eps, decay, 0
        self.means = [torch.zeros_like(p) for p in self.parameters]
        self.squares = [torch.zeros_like(p) for p in self.parameters]

    @torch.no_grad()
    def step(self, gradients):
        """Change means, squares and parameters in place."""
        self.t += 1
        beta1, beta2 = self.betas
        state = zip(self.parameters, self.means, self.squares, gradients, strict=True)
        for p, m, v, g in state:
            ### TODO: decay p; update m and v; correct both; step
            ### BEGIN SOLUTION
            p *= 1 - self.lr * self.decay
            m += (1 - beta1) * (g - m)
            v += (1 - beta2) * (g**2 - v)
            root = (v / (1 - beta2**self.t)).sqrt()
            p -= self.lr * (m / (1 - beta1**self.t)) / (root + self.eps)
            ### END SOLUTION


# %% tags=["core"]
Adam = checks.backpropagation.adam(Adam)
for g in (1e-3, 1e3):
    p = torch.zeros(1, dtype=torch.float64)
    Adam([p], lr=0.01).step([torch.tensor([g], dtype=torch.float64)])
    print(f"g = {g:g}: first step {p.item():.6f}; without correction {-0.01 * 0.1 / 0.001**0.5:.6f}")

# %% [markdown] tags=["core"]
# One rate long, in both cases: $m/\sqrt v$ is then $g/|g|$. Uncorrected, it would be
# $0.1 / \sqrt{0.001}$ times as long, about three: too long exactly when nothing is known yet.
#
# ### Race them down a narrow valley
#
# A valley with curvature 1 along and 50 across, turned by an angle. The steep side limits plain descent to rates below
# $2/50$, and the flat side has to wait. **Predict,** then play: which optimiser is troubled when the valley is turned
# by 45
# degrees?

# %% tags=["core"]
def roll(opt_of, angle, steps=60):
    """Return places (steps + 1, 2), heights and H of a ball on its way down a turned valley."""
    along = torch.tensor([math.cos(math.radians(angle)), math.sin(math.radians(angle))]).double()
    across = along.flip(0) * torch.tensor([-1, 1])
    H = torch.eye(2) + 49 * torch.outer(across, across)  # curvatures 1 and 50
    places = [0.6 * across - 2 * along]
    opt = opt_of([places[0].clone()])
    for _ in range(steps):
        opt.step([H @ places[-1]])
        places.append(opt.parameters[0].clone())
    places = torch.stack(places)
    return places, (places @ H * places).sum(dim=1) / 2, H


def draw_rolls(rate, momentum, adam_rate, angle):
    plain, heavy = (lambda p, mu=mu: Momentum(p, rate, mu) for mu in (0.0, momentum))
    ways = {"descent": plain, "momentum": heavy, "Adam": lambda p: Adam(p, adam_rate)}
    fig = Figure(figsize=(7, 3.9), dpi=80, layout="constrained")
    ax, side = fig.add_subplot(xlabel="first weight", ylabel="second weight"), torch.linspace(-2.4, 1, 81)
    for (name, opt_of), colour in zip(ways.items(), plots.COLOURS, strict=False):
        places, heights, H = roll(opt_of, angle)
        ax.plot(*places.T, ".-", color=colour, linewidth=1, label=f"{name}: height {heights[-1]:.1e}")
    grid = torch.cartesian_prod(side, side).double()
    level = ((grid @ H * grid).sum(dim=1) / 2).view(81, 81).T
    ax.contour(side, side, level, [0.02, 0.2, 1, 3, 10, 30, 80], colors="0.7", linewidths=0.8)
    ax.set_aspect("equal")
    told = fig.legend(loc="outside right upper", title="after 60 steps").get_texts()
    fig.set_label("Ways down a narrow valley. " + ", ".join(text.get_text() for text in told))
    return fig


# %% tags=["core"]
opts = {mu: lambda p, mu=mu: Momentum(p, 0.035, mu) for mu in (0.0, 0.6)} | {"Adam": lambda p: Adam(p, 0.2)}
ends = {(name, angle): roll(opt, angle)[1] for name, opt in opts.items() for angle in (0, 45)}
print(*(f"{name}, {angle}°: {run[-1]:.1e} above the bottom" for (name, angle), run in ends.items()), sep="\n")
assert 100 * ends[0.6, 0][-1] < ends["Adam", 0][-1] < min(ends["Adam", 45][-1], ends[0.0, 0][-1])
assert all(torch.allclose(ends[mu, 0], ends[mu, 45]) for mu in (0.0, 0.6))
sliders = [explore.slider("rate", 0.005, 0.045, 0.035, 0.005), explore.slider("momentum", 0.0, 0.95, 0.6, 0.05)]
sliders += [explore.slider("adam_rate", 0.05, 0.5, 0.2, 0.05), explore.slider("angle", 0, 90, 45, 5)]
explore.View(draw_rolls, sliders)

# %% [markdown] tags=["core"]
# Adam. The other two see the same valley, turned, and end at the same height (momentum with 0.6 by far the lowest). Adam
# scales each weight for itself: that helps when the narrow directions lie along the weights, and less when they lie across.
#
# ## 8 Train for real
#
# **Predict.** Three optimisers, the same start, the same number of steps. Which is highest after the first two
# hundred steps?
# Which wins in the end, and by how much does it beat the linear classifier?

# %% tags=["core"]
makers = {
    "descent, rate 0.1": lambda p: Momentum(p, 0.1, 0.0),
    "momentum, rate 0.05": lambda p: Momentum(p, 0.05),
    "Adam, rate 0.001": lambda p: Adam(p, 0.001),
}
runs, models = {}, {}
for name, make in makers.items():
    model, order = fresh(cfg.hidden, device.generator(3, dev)), device.generator(4, dev)
    history = train_two_layers(model, make(model.parameters), cfg, train_x, train_y, order)
    runs[name] = history["loss"]
    chosen = score(model, choose_x, choose_y)[1]
    models[chosen] = model
    print(f"{name}: {chosen:.2%} of the validation images read")
fig = plots.curves(runs, xlabel="step", ylabel="loss in nats", smooth=30, log=True)
early = [sum(losses[20:200]) for _, losses in runs.values()]  # descent, momentum, Adam
network = models[max(models)]
share = score(network, test_x, test_y)[1]
print(f"test digits read: {share:.2%}; linear classifier {share_linear:.2%}")
assert share > profile(smoke=0.6, standard=share_linear + 0.02) and early[0] > max(early[1:])
busiest = network.parameters[2].norm(dim=1).argsort(descending=True)[:30]
pictures = as_pictures(network.parameters[0][:, busiest])
fig = plots.show_images(pictures, value_range=(0, 1), columns=10, scale=2)

# %% [markdown] tags=["core"]
# Momentum and Adam leave plain descent behind early on; between the two the difference depends on
# the rates (try them). The thirty
# pictures are the first-layer weights of the units that the second layer listens to most. No unit looks like a digit any
# more: most of them show a few short strokes, for and against, each at *its* place.
#
# ## 9 What it cannot do
#
# **Predict.** Move each test digit a few pixels to the right, without cutting any ink that a reader would miss. How many
# does the network still read at 1, 2 and 4 pixels?

# %% tags=["core"]
moved = [F.pad(test_x, (by, 0))[..., :28] for by in range(7)]
read = [100 * score(network, x, test_y)[1] for x in moved]
print("two layers:", ", ".join(f"{by} px {percent:.1f} %" for by, percent in enumerate(read)))
fig = plots.curves({"two layers": read}, xlabel="shift in pixels", ylabel="% of test digits read")
fig = plots.compare({f"{by} px": moved[by][:10].cpu() for by in (0, 4)}, value_range=(0, 255))
assert read[4] < read[0] - profile(smoke=15, standard=35)

# %% [markdown] tags=["core"]
# You read the lower row as easily as the upper one; the network collapses. Nothing in it says that a stroke moved by
# one pixel is still a stroke. It would have to learn each stroke again at each place. Lesson 12 shares the weights
# between the places, and
# lesson 14 builds a reader from that.

# %% [markdown] tags=["deeper"]
# ## 10 Overfit for real
#
# **Exercise: debug (★★, 15 minutes).** *Early stopping* keeps the weights of the lowest validation loss. With this
# class the "best" weights always turn
# out to be the *last* ones. Why? Write it right.
#
# ```python
# def update(self, parameters, loss):
#     if loss < self.loss:
#         self.loss, self.parameters = loss, list(parameters)
# ```
#
# <details><summary>Hint 1</summary>The optimiser changes the parameters in place. What is in the list: numbers, or
# names of tensors?</details>
# <details><summary>Hint 2</summary><code>[p.detach().clone() for p in parameters]</code></details>

# %% tags=["deeper", "exercise", "export"]
class KeepBest:
    """Keep a copy of the parameters with the lowest loss so far: `parameters`, `loss`."""

    def __init__(self):
        self.loss, self.parameters = math.inf, None

    def update(self, parameters, loss):
        """Keep the parameters if `loss`, a number, is below that of those kept."""
        ### TODO: the lines above without their fault
        ### BEGIN SOLUTION
        if loss < self.loss:
            self.loss, self.parameters = loss, [p.detach().clone() for p in parameters]
        ### END SOLUTION


# %% tags=["deeper"]
KeepBest = checks.backpropagation.keep_best(KeepBest)

# %% [markdown] tags=["deeper"]
# 100,000 numbers and only 300 images. **Predict.** Draw the loss on the training images and on the validation images over
# the steps, before you run this. Then with weight decay.

# %% tags=["deeper"]
def watch(model):
    """Return the losses on the 300 images and on 3,000 others, and keep the best weights."""
    new = score(model, choose_x[:3000], choose_y[:3000])[0]
    kept.update(model.parameters, new)
    return {"train": score(model, *few)[0], "validation": new}


few, lines = (train_x[:300], train_y[:300]), {}
long = replace(cfg, steps=profile(smoke=300, standard=1500), batch_size=100, measure_every=10)
for decay in (0.0, 1.0):
    model, kept = fresh(cfg.hidden, device.generator(5, dev)), KeepBest()
    opt = Adam(model.parameters, decay=decay)
    history = train_two_layers(model, opt, long, *few, generator, measure=watch)
    lines |= {f"{name}, decay {decay:g}": history[name] for name in ("train", "validation")}
    for name, found in {"last": model, "kept": TwoLayers(*kept.parameters)}.items():
        nats, read = score(found, test_x, test_y)
        print(f"decay {decay:g}, {name} weights: {nats:.3f} nats, {read:.1%} of the test digits read")
fig = plots.curves(lines, xlabel="step", ylabel="loss in nats")
new = lines["validation, decay 0"][1]
assert new[-1] > min(new) > 0.2 > lines["train, decay 0"][1][-1]

# %% [markdown] tags=["deeper"]
# One falls to nothing, the other falls, turns, and *rises*: from there on the network grows surer of its mistakes. Two
# old cures: keep the weights from the turn, or let large weights, which make a network sure, cost something (**weight
# decay**). The printed lines say what each is worth here: look at the nats, and then at the share read. Sureness is
# mended;
# reading hardly.
#
# ## 11 Break it on purpose
#
# **A hyper-parameter accepted and ignored (C6).** Here is an Adam that takes `betas` and does not pass them on. No
# error, ever.
# **Predict.** It learns as well as ever. At which `betas` would a comparison with PyTorch's Adam find it, and at
# which not?

# %% tags=["deeper", "nbval-check-output"]
class DeafAdam(Adam):
    def __init__(self, parameters, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, decay=0.0):
        super().__init__(parameters, lr, eps=eps, decay=decay)


try:
    checks.backpropagation.adam(DeafAdam)
except checks.CheckFailed as failure:
    print("caught:", str(failure)[2:])

# %% [markdown] tags=["deeper"]
# Only away from the defaults 0.9 and 0.999: there it is the right Adam, to the last digit. The check compares at 0.7
# and 0.9.
# Test every parameter at a value that is not its default.
#
# **A tanh that forgets its size (C10).** Before the ReLU, hidden units were
# $\tanh a = \frac{e^a - e^{-a}}{e^a + e^{-a}}$.
# **Predict.** What does the formula, as it stands, answer for 10, 80 and 100 in float32?

# %% tags=["deeper", "nbval-check-output"]
a = torch.tensor([-100.0, 0, 10, 80, 100])
print(((a.exp() - (-a).exp()) / (a.exp() + (-a).exp())).tolist(), "should be", a.tanh().tolist())

# %% [markdown] tags=["deeper"]
# Infinity divided by infinity at 100, and one `nan` in a hidden layer is in all weights after the next step.
#
# ## 12 Exercises
#
# **A. Predict (★, 5 minutes).** The same network, plain descent, 300 steps, with first weights a hundred times too small,
# right, ten times too large. Sketch the three curves of the loss.
#
# <details><summary>Hint 1</summary>Where does each begin? Section 4 printed it.</details>
# <details><summary>Hint 2</summary>What does the blame pass on its way to the first layer?</details>

# %% tags=["deeper"]
runs, short = {}, replace(cfg, steps=profile(smoke=60, standard=300))
for gain in (0.01, 1, 10):
    model, order = fresh(cfg.hidden, device.generator(3, dev), gain), device.generator(4, dev)
    opt = Momentum(model.parameters, 0.1, 0.0)
    runs[f"gain {gain:g}"] = train_two_layers(model, opt, short, train_x, train_y, order)["loss"]
fig = plots.curves(runs, xlabel="step", ylabel="loss in nats", smooth=10, log=True)
assert runs["gain 10"][1][0] > 20 and abs(runs["gain 0.01"][1][20] - math.log(10)) < 0.02

# %% [markdown] tags=["deeper"]
# <details><summary>Answer to A</summary>Too small begins on the plateau of ln 10 and stays there long: each layer
# multiplies the
# blame by its small weights. Too large begins far above, because each layer multiplies the signal by 10, and has not
# recovered in the end. With weights of the right size the loss falls from the first step.</details>
#
# **B. Build (★★, 15 minutes).** A tanh that is right for every number, and whose gradient (by autograd) is, too.
#
# <details><summary>Hint 1</summary>Multiply the fraction above and below by e^a: only e^(2a) is left. For |a| &gt; 20
# the answer is ±1 to all digits.</details>
# <details><summary>Hint 2</summary><code>e = torch.exp(2 * a.clamp(-20, 20))</code>, then <code>(e - 1) / (e + 1)</code>;
# <code>torch.expm1</code> keeps more digits near 0.</details>

# %% tags=["deeper", "exercise", "export"]
def stable_tanh(a):
    """Return tanh(a), entry by entry, without overflow in the value or the gradient."""
    ### TODO: only exponentials that stay finite
    ### BEGIN SOLUTION
    e = torch.expm1(2 * a.clamp(-20, 20))
    return e / (e + 2)
    ### END SOLUTION


# %% tags=["deeper"]
stable_tanh = checks.backpropagation.stable_tanh(stable_tanh)

# %% [markdown] tags=["core"]
# ## 13 To discuss, and to keep
#
# <details><summary><b>Question.</b> Backward costs about twice as much as forward. Why, and what does it cost in
# memory?</summary>Each
# matrix product forward has two backward: one for its weights, one for its input. And all activations must be kept until
# they are used: memory grows with the depth.</details>
# <details><summary><b>Question.</b> Adam needs hardly any tuning. What does it cost?</summary>Two more numbers for
# each weight,
# three times the memory of plain descent's weights; and its rate per weight helps only along the axes, as the turned
# valley shows.</details>
# <details><summary><b>Question.</b> A unit is silent for every image. Can it recover?</summary>Not by its own
# gradient, which is 0. Only if
# what comes before it changes; in the first layer nothing does. Weight decay alone will not wake it either.</details>
#
# **Summary**
#
# - Backpropagation is the chain rule in the right order: each operation takes the slope of the loss in its output and
#   hands back the slope in its inputs. It needs only what it kept on the way forward.
# - Without something not linear between them, two layers are one.
# - Draw weights with variance 2/n before a ReLU. Check that the first loss is about ln K.
# - Momentum averages gradients over time; Adam also divides by their size, weight by weight; AdamW decays the weights
#   apart.
# - One batch by heart first. Then watch a curve on images that are not learned from, and stop at its bottom.
#
# **Later lessons import** `TwoLayers`, `relu`, `he_normal`, `Momentum`, `Adam`, `train_two_layers` and `KeepBest`.
# **Limits:** the network has no idea of place: shifted digits are new to it. Lesson 12 turns to that.
#
# **Sources.** Rumelhart, Hinton and Williams (1986), *Learning representations by back-propagating errors* · Polyak
# (1964),
# *Some methods of speeding up the convergence of iteration methods* · Glorot and Bengio (2010), *Understanding the
# difficulty of
# training deep feedforward neural networks* · He et al. (2015), *Delving deep into rectifiers*, section 2.2 · Kingma
# and Ba (2015),
# *Adam*, sections 2 and 3 · Loshchilov and Hutter (2019), *Decoupled weight decay regularization*, algorithm 2 ·
# Goodfellow, Bengio and Courville
# (2016), *Deep Learning*, sections 6.5 (backpropagation), 7.8 (early stopping).
