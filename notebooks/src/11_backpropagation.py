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
# and the optimisers that train nearly every network of today, momentum and Adam.
#
# ![Numbers go forwards through a small network, and the slopes of its loss come back](../data/pictures/11-008.png)
#
# | | |
# |---|---|
# | **You need** | lesson 10: cross-entropy, its gradient, the training loop |
# | **Time** | 75 minutes for the core, 30 more for the rest; the notebook itself runs in a minute on two cores |
# | **Machine** | no GPU, no network, 0.9 GB of memory |
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

short = replace(gradient_descent.Config(), steps=profile(smoke=40, standard=2000))
linear, _ = train_linear(short, train_x, train_y, generator)
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
# matrices is one matrix, with a row for each pixel and a column for each class. So it is again a linear
# classifier.</details>
#
# Something not linear has to stand between. The simplest is the **ReLU**, $\max(a, 0)$: a unit speaks when its template
# fits well enough, and is silent otherwise.
#
# But now the gradient of lesson 10, $x_i (p_k - [k = y])$, holds for the second layer only. Nobody tells the hidden
# units what *they* should have said.
#
# ## 2 Follow the blame backwards, with numbers
#
# Take the smallest network that shows it all: two inputs, two hidden units, one output, and the loss
# $L = \frac12 (s - y)^2$, where $y$ is the right answer.
#
# $$ a = x W_1 + b_1, \qquad h = \max(a, 0), \qquad s = h \cdot w_2 + b_2 . $$
#
# **Predict,** with pencil: $x = (1, 2)$, $W_1 = \begin{pmatrix} \frac12 & -1 \\ \frac14 & \frac14 \end{pmatrix}$,
# $b_1 = (0, 0)$, $w_2 = (2, -1)$, $b_2 = -\frac12$, $y = 1$. What are $a$, $h$, $s$ and $L$?

# %% tags=["core", "nbval-check-output"]
x, y = torch.tensor([1.0, 2]).double(), 1.0
W1, b1 = torch.tensor([[0.5, -1], [0.25, 0.25]]).double(), torch.zeros(2).double()
w2, b2 = torch.tensor([2.0, -1]).double(), torch.tensor(-0.5).double()

a = x @ W1 + b1
h = relu(a)
s = h @ w2 + b2
L = (s - y) ** 2 / 2
print(f"a = {a.tolist()}, h = {h.tolist()}, s = {s.item()}, L = {L.item()}")

# %% [markdown] tags=["core"]
# The second unit is silent. Now backwards. For any quantity $q$ on the way write $\bar q$ for
# $\partial L / \partial q$, the **blame** of $q$. The last operation is easy, and each earlier one multiplies by its own
# small derivative ($[a_j > 0]$ is 1 if it holds, else 0):
#
# $$
# \bar s = s - y, \qquad
# \bar w_2 = h\,\bar s, \quad \bar b_2 = \bar s, \quad \bar h = w_2\,\bar s, \qquad
# \bar a_j = \bar h_j\,[a_j > 0], \qquad
# (\bar W_1)_{ij} = x_i\,\bar a_j, \quad \bar b_1 = \bar a .
# $$
#
# Three rules are all of it. A **product** sends the blame to each factor, multiplied by the other. A **sum** hands it on
# unchanged. A **ReLU** lets it pass where it was open. And each $\bar q$ is computed once and used by everything before
# it: that is why this is cheap.
#
# **Predict,** with pencil: the nine slopes of $W_1$, $b_1$, $w_2$ and $b_2$. Which weights get none?

# %% tags=["core", "nbval-check-output"]
s_bar = s - y
w2_bar, b2_bar, h_bar = h * s_bar, s_bar, w2 * s_bar
a_bar = torch.where(a > 0, h_bar, 0)
W1_bar, b1_bar = torch.outer(x, a_bar), a_bar


def loss_of(nine):
    W1, b1, w2, b2 = nine[:4].view(2, 2), nine[4:6], nine[6:8], nine[8]
    return (relu(x @ W1 + b1) @ w2 + b2 - y) ** 2 / 2


by_rule = torch.cat([W1_bar.flatten(), b1_bar, w2_bar, b2_bar[None]])
slopes = gradient_descent.numerical_gradient(loss_of, torch.cat([W1.flatten(), b1, w2, b2[None]]))
assert (slopes - by_rule).abs().max() < 1e-9
print("slopes in W1, b1, w2, b2, by rule and by differences:", by_rule.tolist())

# %% tags=["core"]
nodes = {"x": ("a", 0, 0, x, None), "a": ("h", 1, 0, a, a_bar), "h": ("s", 2, 0, h, h_bar),  # drawing only
         "s": ("L", 3, 0, s, s_bar), "L": (None, 4, 0, L, None), "W1": ("a", 0.45, -1, W1, W1_bar),
         "b1": ("a", 1.55, -1, b1, b1_bar), "w2": ("s", 2.45, -1, w2, w2_bar), "b2": ("s", 3.55, -1, b2, b2_bar)}
fig, (blue, orange) = Figure(figsize=(8, 2.9), dpi=80), plots.COLOURS[:2]
ax = fig.add_axes((0, 0, 1, 1), xlim=(-0.4, 4.4), ylim=(-1.25, 0.35), frame_on=False, xticks=[], yticks=[])
for name, (end, i, j, value, slope) in nodes.items():
    ax.text(i, j, f"{name}\n{value.tolist()}", ha="center", va="bottom", color=blue)
    ax.text(i, j, "" if slope is None else slope.tolist(), ha="center", va="top", color=orange)
    for by, look in ((0.1, {"arrowstyle": "->", "color": blue}), (-0.1, {"arrowstyle": "<-", "color": orange})):
        right, up, gap = -0.6 * by * j, by * (1 + j), {"shrinkA": 36 - 10 * j, "shrinkB": 36}
        if end and (name != "x" or by > 0):
            ax.annotate("", (nodes[end][1] + right, up), (i + right, j + up), arrowprops=look | gap)
fig = plots.show(fig, alt="Graph. Forwards x, W1 and b1 give a, h; with w2, b2 s = 1.5, L = 0.125. Back come the slopes.")

# %% [markdown] tags=["core"]
# None for the silent unit: not for its column of $W_1$, its bias, or its weight in $w_2$. In the picture the values go
# forwards (blue) and the slopes come back (orange). The price was one walk back, not two losses for each weight.
# Rumelhart, Hinton and Williams (1986) showed what it can teach.
#
# ## 3 The same as matrices
#
# Give the small network a second row, $(0, 4)$, with $y = 1$ again. By the same rules $a = (1, 1)$, $s = \frac12$ and
# $\bar a = (-1, \frac12)$. The loss of both rows is a sum, and so is the slope of a weight that both use. Row by row, and
# as one matrix product:
#
# $$ \bar W_1 = \begin{pmatrix} 1 & 0 \\ 2 & 0 \end{pmatrix} + \begin{pmatrix} 0 & 0 \\ -4 & 2 \end{pmatrix}
# = \begin{pmatrix} 1 & 0 \\ 2 & 4 \end{pmatrix} \begin{pmatrix} 1 & 0 \\ -1 & \frac12 \end{pmatrix}
# = X^\top \bar A = \begin{pmatrix} 1 & 0 \\ -2 & 2 \end{pmatrix} . $$
#
# So for any batch. The loss is now lesson 10's cross-entropy, whose slope in the logits we know:
#
# $$ \bar S = \tfrac1B (p - \text{one-hot}), \quad
# \bar W_2 = H^\top \bar S, \quad \bar b_2 = \textstyle\sum_{\text{rows}} \bar S, \quad
# \bar H = \bar S\, W_2^\top, \quad
# \bar A = \bar H \odot [A > 0], \quad
# \bar W_1 = X^\top \bar A, \quad \bar b_1 = \textstyle\sum_{\text{rows}} \bar A . $$
#
# | symbol | variable | shape, meaning |
# |---|---|---|
# | B, P, M, K | | rows of the batch, pixels, hidden units, classes |
# | $X$, $A$, $H$, $S$ | `x`, `self.a`, `self.h`, `logits` | (B, P), (B, M), (B, M), (B, K) |
# | $W_1, b_1, W_2, b_2$ | `W1, b1, W2, b2` | (P, M), (M,), (M, K), (K,) |
# | $\bar S$, the others | `delta`, `grad_a`, ... | as without the bar |
# | $p$ | `logits.softmax(dim=1)` | (B, K), probabilities |
# | $\odot$, $[A > 0]$ | `*`, `self.a > 0` | product entry by entry; 1 where it holds, else 0 |
#
# Shapes are a guide: $\bar W_2$ must be (M, K), and only $H^\top \bar S$ is.
#
# **Your turn (★★, 15 minutes).** Write the two methods of `TwoLayers`. `forward` returns the logits and keeps what the
# way back needs; `backward` takes $\bar S$ and returns the slopes in $W_1$, $b_1$, $W_2$, $b_2$, in this order.
#
# <details><summary>Hint 1</summary>Forward is three lines, as in section 2. Keep <code>self.x</code>,
# <code>self.a</code> and <code>self.h</code>. Backward reads them in the opposite order.</details>
# <details><summary>Hint 2</summary>The blame in h is <code>delta @ W2.T</code>. What of it passes the ReLU, and which of
# the kept tensors tells? Then two slopes are products of a transposed and a plain matrix, two are sums with
# <code>dim=0</code>.</details>

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
small, rows = TwoLayers(W1, b1, w2[:, None], b2[None]), torch.tensor([[1.0, 2], [0, 4]]).double()
print("two rows, slopes in W1:", small.backward(small.forward(rows) - y)[0].tolist())

# %% [markdown] tags=["core"]
# ## 4 Start well: how large should the first weights be?
#
# All equal will not do: then all hidden units compute the same, receive the same gradient, and stay the same. So draw
# them at random. How large? Follow the size of a signal through one layer. With $n$ inputs and independent weights of
# mean 0, and with $\mathbb E$ for the mean and $\operatorname{Var}$ for the variance over the draws,
#
# $$ a = \sum_{i=1}^n w_i h_i \quad\Rightarrow\quad \operatorname{Var} a = n \operatorname{Var}(w)\, \mathbb E[h^2] . $$
#
# $a$ is symmetric around 0, and the ReLU throws away one half of it, so
# $\mathbb E[\max(a, 0)^2] = \frac12 \operatorname{Var} a$. From layer to layer the mean square is multiplied by
# $\frac12 n \operatorname{Var}(w)$. It stays the same if
#
# $$ \operatorname{Var}(w) = \frac2n \qquad \text{(He et al. 2015, section 2.2)}. $$
#
# Without the one half, for a tanh near 0, it is $\frac1n$. The way back has the number of *outputs* in place of $n$;
# Glorot and Bengio (2010) take $2 / (n_{in} + n_{out})$, between the two.
#
# **Predict.** Twenty layers of 256 units, drawn with half the right standard deviation, with the right one, with twice
# (the *gain*). By what factor do the signals of layer 20 differ from those of layer 1? And the blame, on its way from
# layer 20 to layer 1? In which of the three networks are the most units silent?

# %% tags=["core"]
def signals(gain, layers=20, width=256):
    """Return signals and blame (layers, 100, width) of a deep ReLU network, for random rows."""
    draw = device.generator(0)
    kept, weights = [torch.randn(100, width, generator=draw)], []
    for _ in range(layers):
        weights.append(gain * math.sqrt(2 / width) * torch.randn(width, width, generator=draw))
        kept.append(relu(kept[-1] @ weights[-1]))
    blame = [torch.randn(100, width, generator=draw)]  # that of layer 20
    for W, h in zip(weights[:0:-1], kept[:1:-1], strict=True):
        blame.append((blame[-1] * (h > 0)) @ W.T)
    return torch.stack(kept[1:]), torch.stack(blame[::-1])


lines = {}
for gain in (0.5, 1.0, 2.0):
    h, blame = signals(gain)
    up, down = (x.square().mean(dim=(1, 2)).sqrt() for x in (h, blame))
    lines |= {f"signal, gain {gain:g}": up.log10(), f"blame, gain {gain:g}": down.log10()}
    print(f"gain {gain}: signal x {up[-1] / up[0]:.1e}, blame x {down[0] / down[-1]:.1e}, {1 - h.sign().mean():.1%} silent")
fig = plots.curves(lines, xlabel="layers above the first", ylabel="log10 of the root mean square")
assert up[-1] > 1e5 * up[0] and down[0] > 1e5 * down[-1]

# %% [markdown] tags=["core"]
# By $2^{19}$, about half a million, down or up: one factor of 2 for each of the 19 layers between. At gain 1 the factor
# should be 1; what it is instead is the chance of the draw, the same in all three. The blame passes the same matrices and
# shrinks or grows alike: with a gain of 0.5 the first layers hear next to nothing. Just as many units are silent in
# all three: the ReLU only cares about the sign.
#
# **Your turn (★★, 10 minutes).** Write `he_normal(inputs, outputs, generator)`: return a tensor (inputs, outputs) of
# independent normal numbers with mean 0 and variance 2/inputs.
#
# <details><summary>Hint 1</summary><code>torch.randn</code> has variance 1; a factor f gives variance f².</details>
# <details><summary>Hint 2</summary>Give <code>torch.randn</code> the shape, <code>generator=generator</code> and
# <code>device=generator.device</code>. The factor is a root.</details>

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
    model = fresh(cfg.hidden, generator, gain)
    nats = cross_entropy(model.forward(as_rows(test_x)), test_y)
    print(f"gain {gain:g}: h up to {model.h.max():.2f}, {nats:.2f} nats before training; ln 10 = 2.30")

# %% [markdown] tags=["core"]
# A first loss far above ln 10 gives away weights that are too large. Weights that are too small begin at ln 10, as if all
# were well: only the size of the signals shows them, or the plateau of exercise 12 A.
#
# ## 5 Better steps: momentum
#
# The step moves into an **optimiser**: an object whose method `step(gradients)` changes the parameters in place.
# Lesson 10's ball bounced across the steep direction and crept along the flat one. Give it mass. Let a **velocity**
# collect the gradients:
#
# $$ v \leftarrow \mu v + g, \qquad \theta \leftarrow \theta - \eta v \qquad \text{(Polyak 1964)}. $$
#
# What changes sign cancels in $v$; what stays the same adds up, to $g(1 + \mu + \mu^2 + \dots) = g / (1 - \mu)$. With
# $\mu = 0.9$ that is ten times the step. (The rate inside $v$: the same steps while the rate is constant. A $1 - \mu$
# before $g$: another $\eta$. Ours is PyTorch's.)
#
# | symbol | variable | meaning |
# |---|---|---|
# | $\theta$, $g$ | `p`, `g` | a parameter (a whole tensor), the slope of the loss in it |
# | $v$; $m$, $v$ | `v`; `m`, `v` | velocity (here); running means of $g$ and of $g^2$ (section 7) |
# | $\eta$, $\mu$, $\beta_1, \beta_2$ | `lr`, `momentum`, `betas` | rate; what is kept of $v$; what is kept of $m$ and $v$ |
# | $t$, $\epsilon$, $\lambda$ | `self.t`, `eps`, `decay` | steps so far; a little against division by 0; weight decay |
#
# **Your turn (★★, 10 minutes).** Write the body of the loop in `Momentum.step`: change `v`, then `p`, both in place.
#
# <details><summary>Hint 1</summary>Change <code>v</code> and <code>p</code> themselves: a line <code>v = ...</code> only
# gives a new tensor the name.</details>
# <details><summary>Hint 2</summary>Two lines change v, one changes p; each must be an in-place operator such as
# <code>*=</code>.</details>

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
# **Your turn (★, 5 minutes).** Write two lines of `train_two_layers`: the loss of the batch, and the optimiser's step.
#
# **Predict.** Before all else, one batch: can the network learn 128 images by heart? Three times: with rate 0.05 and
# momentum 0; with the same rate and momentum 0.9; with rate 0.5 and momentum 0. By what factor do the second and the
# third come lower than the first?
#
# <details><summary>Hint 1</summary>The order is that of lesson 10: loss, gradient, step. <code>backward</code> wants
# the gradient in the logits.</details>
# <details><summary>Hint 2</summary>The second line is three calls, one in the other: of a function from section 3, of a
# method of <code>model</code>, of a method of <code>opt</code>.</details>

# %% tags=["core", "export", "exercise"]
def train_two_layers(model, opt, cfg, images, labels, generator, *,
                     measure=None, should_stop=training.never_stop, view=None):
    """Train `model` in place on images uint8 (N, C, H, W), labels int64 (N,); return the history.

    measure(model) -> dict of numbers to log, called every cfg.measure_every steps.
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
by_heart, ends = replace(cfg, steps=profile(smoke=400, standard=600)), []
one = train_x[:128], train_y[:128]
for rate, mu in ((0.05, 0.0), (0.05, 0.9), (0.5, 0.0)):
    model = fresh(cfg.hidden, device.generator(2, dev))
    train_two_layers(model, Momentum(model.parameters, rate, mu), by_heart, *one, generator)
    ends.append(score(model, *one)[0])
    print(f"rate {rate}, momentum {mu}: {ends[-1]:.4f} nats, {ends[0] / ends[-1]:.1f} times lower")
assert score(model, *one)[1] == 1 and ends[0] < 0.1 and 0.5 < ends[1] / ends[2] < 2

# %% [markdown] tags=["core"]
# It can: forward, backward and step are sound. And both factors are large and much alike: on this batch most of the gain
# is the ten times longer step. What the velocity adds shows in a valley too steep for that rate (end of section 7).
#
# ## 7 A rate for each weight: Adam
#
# The slope of a first-layer weight is its pixel times blame. At the border of the picture, where pixels are nearly
# always 0, so are the slopes. One rate can hardly fit border and middle. Adam (Kingma and Ba 2015) measures for *each*
# weight the running mean of its gradients and of their squares,
#
# $$ m \leftarrow \beta_1 m + (1 - \beta_1)\, g, \qquad v \leftarrow \beta_2 v + (1 - \beta_2)\, g^2 , $$
#
# and steps along $m / \sqrt v$, which has no units: scale the loss by 1000 and the step stays.
#
# One flaw is left. Both start at 0, and for a constant $g$ after $t$ steps
# $m = (1 - \beta_1)\sum_{i<t} \beta_1^i\, g = (1 - \beta_1^t)\, g$. Divide that factor out (the **bias correction**):
#
# $$ \theta \leftarrow \theta - \eta\, \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon} . $$
#
# **Weight decay** pulls all weights to 0 a little. Add $\lambda \theta$ to $g$, and Adam divides it by $\sqrt v$ again:
# weights with large gradients would be held less. AdamW (Loshchilov and Hutter 2019, algorithm 2) keeps it apart:
# $\theta \leftarrow (1 - \eta \lambda)\, \theta$, then the step.
#
# **Predict.** How long, in units of $\eta$, is the very first step of a weight, with $g = 0.001$? With $g = 1000$? And
# without the correction, longer or shorter?
#
# **Your turn (★★★, 20 minutes).** Write the body of the loop in `Adam.step`: decay `p`; move `m` and `v` in place;
# correct both (copies: what is kept stays uncorrected); step.
#
# <details><summary>Hint 1</summary>Five lines: decay, m, v, the corrected root, step. t counts from 1, and is counted
# already.</details>
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
for g, t in ((1e-3, 0), (1e3, 0), (1e-3, 10**6)):  # with t = 10**6 the correction divides by 1
    p = torch.zeros(1).double()
    opt = Adam([p], lr=0.01)
    opt.t = t
    opt.step([torch.full_like(p, g)])
    print(f"g = {g:g}, {'without' if t else 'with'} correction: first step {-p.item() / 0.01:.3f} rates long")

# %% [markdown] tags=["core"]
# One rate long, for both $g$: $m/\sqrt v$ is then $g/|g|$. Without the correction it is *longer*: $m$ is too small by
# $1 - \beta_1 = 0.1$, but $v$ by $1 - \beta_2 = 0.001$, and even the root of that is smaller. So the step would be
# $0.1 / \sqrt{0.001}$ rates long, exactly when nothing is known yet.
#
# ### Race them down a narrow valley
#
# A valley with curvature 1 along and 50 across, turned by an angle. The steep side limits plain descent to rates below
# $2/50$ (lesson 10: 2 / curvature). Momentum 0.6 at the rate 0.035 takes, where the slope is steady, steps as long as
# those of the rate $0.035 / (1 - 0.6) = 0.0875$: twice the limit.
#
# **Predict** the heights after 60 steps, then play. What does plain descent do at the rate 0.0875? Which optimiser is
# troubled when the valley is turned by 45 degrees?

# %% tags=["core"]
def valley(angle):
    """Return the curvatures as a matrix (2, 2), 1 along the valley and 50 across; a start (2,)."""
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    along, across = torch.tensor([[cos, sin], [-sin, cos]]).double()
    return torch.outer(along, along) + 50 * torch.outer(across, across), 0.6 * across - 2 * along


def roll(angle, optimiser, *numbers, steps=60):
    """Return places (steps + 1, 2) and heights (steps + 1,) of a ball on its way down."""
    curvature, place = valley(angle)
    opt, places = optimiser([place], *numbers), [place.clone()]
    for _ in range(steps):
        opt.step([curvature @ place])
        places.append(place.clone())
    places = torch.stack(places)
    return places, (places @ curvature * places).sum(dim=1) / 2


ways = [(Momentum, 0.035, 0.0), (Momentum, 0.0875, 0.0), (Momentum, 0.035, 0.6), (Momentum, 0.035, 0.9)]
ways += [(Adam, 0.1), (Adam, 0.5)]
ends = [[roll(angle, *way)[1][-1].item() for angle in (0, 45)] for way in ways]
for (optimiser, *numbers), (straight, turned) in zip(ways, ends, strict=True):
    print(f"{optimiser.__name__} at rate {' and momentum '.join(map(str, numbers))}: {straight:.1e}, turned {turned:.1e}")
assert 30 * ends[4][0] < ends[4][1] and 100 * ends[2][0] < ends[3][0] < ends[0][0] < 1e6 < ends[1][0]


# %% tags=["core"]
def draw_rolls(rate, momentum, adam_rate, angle):  # drawing only
    fig, side = Figure(figsize=(8, 3.8), dpi=80, layout="constrained"), torch.linspace(-2.4, 1.4, 81).double()
    left = fig.add_subplot(121, xlabel="first weight", ylabel="second weight", aspect="equal")
    right = fig.add_subplot(122, xlabel="step", ylabel="height above the bottom", yscale="log")
    grid = torch.cartesian_prod(side, side)
    level = ((grid @ valley(angle)[0] * grid).sum(dim=1) / 2).view(81, 81).T
    left.contour(side, side, level, [0.02, 0.2, 1, 3, 10, 30, 80], colors="0.7", linewidths=0.8)
    ways = {"descent": (Momentum, rate, 0.0), "momentum": (Momentum, rate, momentum), "Adam": (Adam, adam_rate)}
    for (name, way), colour in zip(ways.items(), plots.COLOURS, strict=False):
        places, heights = roll(angle, *way)
        left.plot(*places.T, ".-", color=colour, linewidth=1)
        right.plot(heights, color=colour, label=f"{name}: {heights[-1]:.1e}")
    told = right.legend(title="after 60 steps", loc="lower left").get_texts()
    fig.set_label("Ways down a narrow valley. " + ", ".join(text.get_text() for text in told))
    return fig


explore.View(draw_rolls, [
    explore.slider("rate", 0.005, 0.045, 0.035, 0.005), explore.slider("momentum", 0.0, 0.95, 0.6, 0.05),
    explore.slider("adam_rate", 0.05, 0.5, 0.1, 0.05), explore.slider("angle", 0, 90, 45, 5)])

# %% [markdown] tags=["core"]
# It explodes. With momentum the same long steps along the valley go well, because across it they cancel: this is what the
# velocity adds. But 0.9, right for the network, is too heavy for 60 steps in this valley: drag it and see.
#
# Turned, descent and momentum see the same valley and end at the same height. Adam scales each weight for itself: at the
# rate 0.1 that helps when the narrow directions lie along the weights, and far less when they lie across. At 0.5 it
# bounces in both, and the printed difference is gone.
#
# ## 8 Train for real
#
# **Predict.** The same start, the same number of steps: plain descent at two rates, momentum, Adam. Which comes last
# around step 200? Which wins in the end, on the *validation* images (those put aside for choosing), and by how much does
# it beat the linear classifier?

# %% tags=["core"]
makers = {"descent, rate 0.1": (Momentum, 0.1, 0.0), "descent, rate 0.5": (Momentum, 0.5, 0.0),
          "momentum, rate 0.05": (Momentum, 0.05, 0.9), "Adam, rate 0.001": (Adam, 0.001)}
runs, models, early = {}, {}, slice(profile(smoke=30, standard=150), 200)
for name, (optimiser, *numbers) in makers.items():
    model, order = fresh(cfg.hidden, device.generator(3, dev)), device.generator(4, dev)
    runs[name] = train_two_layers(model, optimiser(model.parameters, *numbers), cfg, train_x, train_y, order)["loss"]
    models[name], nats = (score(model, choose_x, choose_y)[1], model), torch.tensor(runs[name][1][early]).mean()
    print(f"{name}: {nats:.3f} nats before step 200; {models[name][0]:.2%} of the validation images read")
fig = plots.curves(runs, xlabel="step", ylabel="loss in nats", smooth=30, log=True)
best = max(models, key=lambda name: models[name][0])
network, (slow, *others) = models[best][1], [chosen for chosen, _ in models.values()]
share = score(network, test_x, test_y)[1]
print(f"{best} wins: {share:.2%} of the test digits read; linear classifier {share_linear:.2%}")
assert share > profile(smoke=0.6, standard=share_linear + 0.02) and slow < min(others)
assert max(others) - min(others) < profile(smoke=1, standard=(share - share_linear) / 3)
busiest = network.parameters[2].norm(dim=1).argsort(descending=True)[:30]
fig = plots.show_images(as_pictures(network.parameters[0][:, busiest]), value_range=(0, 1), columns=10, scale=2)

# %% [markdown] tags=["core"]
# Plain descent at 0.1 is last, early and late. At 0.5, which is $0.05 / (1 - 0.9)$, it keeps up: in this
# network the rate counts more than the optimiser. The last printed line names the winner; what separates it from the next
# two is small beside the lead of all three over the linear classifier.
#
# The thirty pictures are the first-layer weights of the units that the second layer listens to most. Blue: ink here
# makes the unit speak; orange: ink here silences it. No unit looks like a digit any more. What stands out of the noise is
# a few blotches, for and against, each at *its* place.
#
# ## 9 What it cannot do
#
# **Predict.** Move each test digit a few pixels to the right (at 4 pixels less than 2 % of the ink is cut off). How many
# does the network still read at 1, 2 and 4 pixels?

# %% tags=["core"]
moved = [F.pad(test_x, (by, 0))[..., :28] for by in range(7)]
read = [score(network, x, test_y)[1] for x in moved]
print("read:", ", ".join(f"{share:.1%} at {by} px" for by, share in enumerate(read)))
fig = plots.compare({f"{by} px": moved[by][:6].cpu() for by in (0, 1, 4)}, value_range=(0, 255))
assert moved[4].sum() > 0.98 * test_x.sum() and read[4] < read[0] - profile(smoke=0.15, standard=0.35)

# %% [markdown] tags=["core"]
# One pixel is less than the width of a stroke, so it costs little; at 4 the network collapses, and you read the lower row
# as easily as the upper one. Nothing in it says that a stroke that has moved is still a stroke: it would have to learn
# each again at each place. Lesson 12 shares the weights between the places, and lesson 14 builds a reader from that.

# %% [markdown] tags=["deeper"]
# ## 10 Overfit for real
#
# **Debug (★★, 15 minutes).** *Early stopping* keeps the weights of the lowest validation loss. With this class the
# "best" weights always turn out to be the *last* ones. Why? Write it right.
#
# ```python
# def update(self, parameters, loss):
#     if loss < self.loss:
#         self.loss, self.parameters = loss, list(parameters)
# ```
#
# <details><summary>Hint 1</summary>The optimiser changes the parameters in place. What is in the list: numbers, or
# names of tensors?</details>
# <details><summary>Hint 2</summary>Which method of a tensor returns a tensor with memory of its own?
# (<code>detach</code> alone shares it.)</details>

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
# Why the last ones? `list()` copies the list, not the tensors, and the optimiser changes those in place.
#
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
for decay in (1.0, 0.0):
    model, kept = fresh(cfg.hidden, device.generator(5, dev)), KeepBest()
    history = train_two_layers(model, Adam(model.parameters, decay=decay), long, *few, generator, measure=watch)
    history = {name: [part[1:] for part in history[name]] for name in ("train", "validation")}  # log 0 is no number
    steps, losses = lines[f"validation, decay {decay:g}"] = history["validation"]
    for name, found in {"last": model, "kept": TwoLayers(*kept.parameters)}.items():
        nats, read = score(found, test_x, test_y)
        print(f"decay {decay:g}, {name} weights: {nats:.3f} nats, {read:.1%} of the test digits read")
best = losses.index(min(losses))
lines |= {"train, decay 0": history["train"], f"kept: step {steps[best]}": ([steps[best]], [losses[best]])}
fig = plots.curves(lines, xlabel="step", ylabel="loss in nats", log="x")
assert losses[-1] > 1.1 * min(losses) > 0.2 > history["train"][1][-1]

# %% [markdown] tags=["deeper"]
# One falls to nothing, the other falls, turns (the kept step), and *rises*: from there on the network grows surer of its
# mistakes. Two old cures: keep the weights from the turn, or let large weights, which make a network sure, cost something
# (**weight decay**). Look at the printed nats, and then at the share read. Sureness is mended; the share read hardly
# moves, and not always upwards.
#
# ## 11 Break it on purpose
#
# (C6, C10: their numbers in the course's list of bugs found in real projects.)
#
# **A hyper-parameter accepted and ignored (C6).** Here is an Adam that takes `betas` and does not pass them on. No
# error, ever. **Predict.** It learns as well as ever. At which `betas` would a comparison with PyTorch's Adam find it,
# and at which not?

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
# and 0.9. Test every parameter at a value that is not its default.
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
# **A. Predict (★, 5 minutes).** The same network, plain descent, 300 steps, with first weights a hundred times too
# small, right, ten times too large. Sketch the three curves of the loss.
#
# <details><summary>Hint 1</summary>Where does each begin? Section 4 printed it.</details>
# <details><summary>Hint 2</summary>What does the blame pass on its way to the first layer?</details>

# %% tags=["deeper"]
runs, short = {}, replace(cfg, steps=profile(smoke=60, standard=300))
for g in (0.01, 1, 10):
    model, order = fresh(cfg.hidden, device.generator(3, dev), gain=g), device.generator(4, dev)
    runs[f"gain {g}"] = train_two_layers(model, Momentum(model.parameters, 0.1, 0), short, train_x, train_y, order)["loss"]
fig = plots.curves(runs, xlabel="step", ylabel="loss in nats", smooth=10, log=True)
assert runs["gain 10"][1][0] > 20 and abs(runs["gain 0.01"][1][20] - math.log(10)) < 0.02

# %% [markdown] tags=["deeper"]
# <details><summary>Answer to A</summary>Too small begins on the plateau of ln 10 and stays there long: each layer
# multiplies the blame by its small weights. Too large begins far above, because each layer multiplies the signal by 10,
# and has not recovered in the end. With weights of the right size the loss falls from the first step.</details>
#
# **B. Build (★★, 15 minutes).** `stable_tanh`: a tanh that is right for every number, and whose gradient (by autograd) is, too.
# Without `torch.tanh`.
#
# <details><summary>Hint 1</summary>Multiply the fraction above and below by e^a: only e^(2a) is left. For |a| &gt; 20
# the answer is ±1 to all digits.</details>
# <details><summary>Hint 2</summary>Clamp first: <code>e = torch.exp(2 * a.clamp(-20, 20))</code>. Then write the fraction
# with e alone; <code>torch.expm1</code> keeps more digits near 0.</details>

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
# <details><summary><b>Question.</b> "Backward costs twice as much as forward." Here too? And in
# memory?</summary>In a deep network about twice: for each product of matrices one for the weights, one for the input.
# In ours about as much as forward, because nobody needs the slope in the pixels: for each image
# 784 · 128 + 2 · 128 · 10 multiplications against 784 · 128 + 128 · 10. And all activations must be kept until they are
# used: memory grows with the depth.</details>
# <details><summary><b>Question.</b> Adam with the rate 0.001 serves many networks. Why can it, and what does it
# cost?</summary>Its step has no units: about one rate long, however large the gradients are. It costs two more numbers
# for each weight, three times the memory of plain descent's weights; and scaling weight by weight helps only along the
# axes, as the turned valley shows.</details>
# <details><summary><b>Question.</b> A unit is silent for every image. Can it recover?</summary>Not by its own
# gradient, which is 0; what is left of the velocity may still move it for a few steps. Otherwise only if what comes
# before it changes; in the first layer nothing does.</details>
#
# **Summary**
#
# - Backpropagation is the chain rule in the right order: each operation takes the slope of the loss in its output and
#   hands back the slope in its inputs. It needs only what it kept on the way forward.
# - Without something not linear between them, two layers are one.
# - Draw weights with variance 2/n before a ReLU. A first loss far above ln K betrays weights that are too large; weights
#   too small show in the size of the signals.
# - Momentum adds gradients up over time; Adam also divides by their size, weight by weight; AdamW decays the weights
#   apart. Compare optimisers each at its own best rate.
# - One batch by heart first. Then watch a curve on images that are not learned from, and stop at its bottom.
#
# **Later lessons import** `TwoLayers`, `relu`, `he_normal`, `Momentum`, `Adam`, `train_two_layers` and `KeepBest`.
# **Limits:** the network has no idea of place: shifted digits are new to it. Lesson 12 turns to that.
#
# **Sources.** Rumelhart, Hinton and Williams (1986), *Learning representations by back-propagating errors* · Polyak
# (1964), *Some methods of speeding up the convergence of iteration methods* · Glorot and Bengio (2010),
# *Understanding the difficulty of training deep feedforward neural networks* · He et al. (2015), *Delving deep into
# rectifiers*, section 2.2 · Kingma and Ba (2015), *Adam*, sections 2 and 3 · Loshchilov and Hutter (2019), *Decoupled
# weight decay regularization*, algorithm 2 · Goodfellow, Bengio and Courville (2016), *Deep Learning*, sections 6.5
# (backpropagation), 7.8 (early stopping).
