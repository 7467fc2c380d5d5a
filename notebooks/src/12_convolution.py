# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown] tags=["core", "workshop"]
# # 12 Slide one kernel over the picture
#
# You will build the convolution three times, by loops, as one matrix product and as one large matrix, derive its three
# gradients by hand, and let it find out for itself what an edge detector looks like.
#
# ![A photograph as it is, blurred, sharpened, and its edges: five kernels of nine numbers](../data/pictures/12-013.png)
#
# | | |
# |---|---|
# | **You need** | the matrix product, the gradient and the training loop (lesson 10), the chain rule, backward from the loss |
# | **Time** | 60 minutes for the core, 25 more for the rest; the notebook itself runs in under half a minute |
# | **Machine** | no GPU, no network, 0.6 GB of memory |
#
# When you are through, you can
#
# 1. compute a convolution with stride, padding and channels as one matrix product, equal to torch's,
# 2. write a convolution as a matrix and read off its transpose what flows back to the input,
# 3. derive and write the gradients with respect to input, weight and bias, and prove them right in two ways,
# 4. build a `Conv2d` layer that takes over torch's weights and gives torch's answers,
# 5. measure where a convolution moves with the picture, and where its border betrays the position.
#
# > **Remember.** A convolution is a linear layer with one small set of weights for all places. Forward, every window
# > becomes a column; backward, every column is *added* back to the window it came from.
#
# ## 1 Look at the data
#
# Axes, here and everywhere: B images in a batch, C channels, H rows, W
# columns. We compute in `float64`, where two right answers differ in the fifteenth digit only.

# %% tags=["core", "workshop"]
import timeit
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import checks, datasets, device, explore, images, plots, training
from course_lib.settings import profile


@dataclass
class Config:
    """The numbers of lesson 12; `profile` picks the value for the profile that you run in."""

    steps: int = profile(smoke=60, standard=400)  # optimiser steps of each training
    seed: int = 0


cfg = Config()
generator = device.generator(cfg.seed)  # on the CPU: not every GPU knows float64
torch.manual_seed(cfg.seed)  # the layers' first weights come from torch's own generator

photo = F.avg_pool2d(datasets.photograph("camera")[None, :1].double() / 255, 2)  # (1, 1, 256, 256)
assert photo.shape == (1, 1, 256, 256) and photo.min() >= 0 and 0.9 < photo.max() <= 1
fig = plots.show_images(photo, value_range=(0, 1))

# %% [markdown] tags=["core", "workshop"]
# ## 2 Ask every place the same question
#
# Where is an edge in this picture? The simplest thing that could work: compare every pixel with its right neighbour. But
# then one noisy pixel looks like an edge. Better to ask a whole window of 3x3 pixels: is its right column brighter than
# its left one? Write the question as a little picture of weights, the **kernel**, lay it on the window, multiply what lies
# on each other and add up:
#
# $$ y_{i,j} = \sum_{u=0}^{k_h-1} \sum_{v=0}^{k_w-1} w_{u,v}\; x_{i+u,\,j+v} $$
#
# | symbol | variable | shape |
# |---|---|---|
# | $x$ | `x` | (H, W) |
# | $w$ | `w` | (kh, kw) |
# | $y$ | `y` | (H - kh + 1, W - kw + 1): only windows that lie inside |
#
# **Your lines.** Write one line: y at (i, j).
#
# <details><summary>Hint 1</summary>The window that begins at row i and column j is a slice of x with kh rows and kw
# columns.</details>
# <details><summary>Hint 2</summary><code>x[i : i + kh, j : j + kw]</code>, times <code>w</code>, and then
# <code>.sum()</code>.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def conv_loops(x, w):
    """Slide the kernel w (kh, kw) over x (H, W): y (H - kh + 1, W - kw + 1), by two loops."""
    (H, W), (kh, kw) = x.shape, w.shape
    y = x.new_zeros(H - kh + 1, W - kw + 1)
    for i in range(H - kh + 1):
        for j in range(W - kw + 1):
            ### TODO: y[i, j], the sum over the window that begins at (i, j), weighted with w
            ### BEGIN SOLUTION
            y[i, j] = (x[i : i + kh, j : j + kw] * w).sum()
            ### END SOLUTION
    return y


# %% tags=["core", "workshop"]
conv_loops = checks.convolution.conv_loops(conv_loops)
edge = torch.tensor([[-1.0, 0, 1], [-1, 0, 1], [-1, 0, 1]]).double()
slow = conv_loops(photo[0, 0], edge)
loop_seconds = timeit.timeit(lambda: conv_loops(photo[0, 0], edge), number=1)
print(f"{slow.numel():,} windows, one after the other: {loop_seconds:.2f} s")
fig = plots.show_images((0.5 + slow / 6)[None], value_range=(0, 1), caption="Grey: no edge.")

# %% [markdown] tags=["core", "workshop"]
# White: brighter to the right. Black: darker. The horizon is gone, for we did not ask about it.
#
# ## 3 Turn windows into columns, and loops into one product
#
# Python pays for each of the 64,516 windows that the loops visit. But every visit is the inner product of the same 9
# weights with 9 pixels. So lay each window out as a column, all columns side by side in a matrix $X$, the kernel as a row
# $w$; then $wX$ is all answers at once. This is called **unfold** (or im2col). Three things come for free:
#
# - **Channels.** A window has $C$ layers; its column has $C\,k_h k_w$ numbers. $C'$ kernels are $C'$ rows, a matrix $W$:
#   $Y = WX + b$. The sum runs over the window *and* all input channels.
# - **Padding** $p$: a frame of $p$ zeros on all four sides, so that the picture need not shrink.
# - **Stride** $s$: take only every $s$-th window, in both directions (lesson 13 is about that).
#
# $$ y_{k,i,j} = b_k + \sum_{c,u,v} w_{k,c,u,v}\; \tilde x_{c,\,si+u,\,sj+v}, \qquad
#    H' = \Big\lfloor \frac{H + 2p - k_h}{s} \Big\rfloor + 1 $$
#
# with $\tilde x$ the padded picture. The last window must still fit, $s\,i + k_h \le H + 2p$, and counting begins at $i = 0$:
# that gives $H'$.
#
# | symbol | variable | shape |
# |---|---|---|
# | $X$ | `columns` | (B, C kh kw, H' W'), rows in the order c, u, v |
# | $W$, $b$ | `weight`, `bias` | (C', C, kh, kw), (C',) |
# | $y$ | `y` | (B, C', H', W') |
#
# **Your lines.** Write the body of `unfold`: pad, cut, lay out as columns.
#
# <details><summary>Hint 1</summary>torch's method <code>x.unfold(dim, size, step)</code> cuts one axis into windows and puts
# what is inside a window on a new last axis. Use it twice, on the padded picture.</details>
# <details><summary>Hint 2</summary><code>F.pad(x, (padding,) * 4)</code>, then <code>.unfold(2, kh, stride).unfold(3, kw,
# stride)</code> has the axes (B, C, H', W', kh, kw). Permute them to (B, C, kh, kw, H', W') and flatten axes 1 to 3,
# then the rest.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def out_size(size, kernel, stride=1, padding=0):
    """Return how many windows fit along one axis."""
    return (size + 2 * padding - kernel) // stride + 1


def unfold(x, kernel, stride=1, padding=0):
    """Lay every window of x (B, C, H, W) out as a column: (B, C kh kw, H' W').

    kernel: (kh, kw); rows in the order c, u, v, columns in that of the windows, row by row.
    """
    kh, kw = kernel
    ### TODO: pad, cut into windows, bring the axes into the order c, u, v, i, j and flatten
    ### BEGIN SOLUTION
    padded = F.pad(x, (padding,) * 4)
    windows = padded.unfold(2, kh, stride).unfold(3, kw, stride)  # (B, C, H', W', kh, kw)
    return windows.permute(0, 1, 4, 5, 2, 3).flatten(1, 3).flatten(2)
    ### END SOLUTION


# %% tags=["core", "workshop"]
unfold = checks.convolution.unfold(unfold)
columns = unfold(torch.arange(20.0).view(1, 1, 4, 5), (3, 3))[0]
places, windows = ([f"{a},{b}" for a in range(n) for b in range(3)] for n in (3, 2))
fig = plots.heatmap(
    columns, xlabel="window i, j", ylabel="place u, v in it", ticks=(places, windows), unit="pixel",
    caption="Six windows of a 4x5 picture whose pixels are numbered 0 to 19.",
)

# %% [markdown] tags=["core", "workshop"]
# Pixel 7 stands in this matrix six times: once for every window that it lies in. On the way back that will be the whole
# point.
#
# **Your lines.** Write the product $WX$, add the bias, make pictures of the result.
#
# <details><summary>Hint 1</summary><code>weight.flatten(1)</code> is the matrix W with one row per kernel; torch multiplies it
# with every matrix of a batch.</details>
# <details><summary>Hint 2</summary><code>y = weight.flatten(1) @ columns</code> is (B, C', H' W'); the bias meets it as
# <code>bias[:, None]</code>; <code>y.unflatten(2, (rows, cols))</code> splits the last axis.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def conv_forward(x, weight, bias=None, stride=1, padding=0):
    """Convolve x (B, C, H, W) with weight (C', C, kh, kw), add bias (C',): y (B, C', H', W')."""
    B, C, H, W = x.shape
    kh, kw = weight.shape[2:]
    rows, cols = out_size(H, kh, stride, padding), out_size(W, kw, stride, padding)
    columns = unfold(x, (kh, kw), stride, padding)
    ### TODO: y = W X, plus the bias if there is one, with its last axis split into rows and cols
    ### BEGIN SOLUTION
    y = weight.flatten(1) @ columns
    if bias is not None:
        y = y + bias[:, None]
    return y.unflatten(2, (rows, cols))
    ### END SOLUTION


# %% tags=["core", "workshop"]
conv_forward = checks.convolution.conv_forward(conv_forward)
fast = conv_forward(photo, edge[None, None])[0, 0]
seconds = min(timeit.repeat(lambda: conv_forward(photo, edge[None, None]), number=1, repeat=3))
print(f"{loop_seconds / seconds:.0f} times as fast as the loops")
assert loop_seconds > 3 * seconds and (fast - slow).abs().max() < 1e-12

# %% [markdown] tags=["core", "workshop"]
# ## 4 Edge, blur, sharpen: play with nine numbers
#
# Two laws tell much about a kernel before you run it. On an even grey area $x = a$ the answer is $a \sum w$: a
# kernel whose weights sum to 1 keeps the brightness, one whose weights sum to 0 sees only change. And the answer is
# linear in $w$: "sharpen" = picture + 2 (picture - blurred), so its kernel is that sum of kernels.
#
# **Predict.** Which of the six kernels in the next cell lets the even sky stay as bright as it is? What does the last one do
# to the man's coat?

# %% tags=["core", "workshop"]
blur = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]).double() / 16
same = F.pad(torch.ones(1, 1), (1, 1, 1, 1)).double()
kernels = {"as it is": same, "blur": blur, "sharpen": same + 2 * (same - blur)}
kernels |= {"edge, across": edge, "edge, down": edge.T, "all edges": 8 * (same - blur)}
stack = torch.stack(list(kernels.values()))[:, None]  # (6, 1, 3, 3): six kernels, six channels
seen = conv_forward(photo[..., 30:130, 60:200], stack, padding=1)[0]
sums = stack.sum((1, 2, 3)).round(decimals=9) + 0
seen = torch.where((sums == 0)[:, None, None], 0.5 + seen / 2, seen).clamp(0, 1)
fig = plots.show_images(
    seen, value_range=(0, 1), columns=3, caption="Cut off at 0 and 1.",
    labels=[f"{name}, sum {total:.0f}" for name, total in zip(kernels, sums, strict=True)],
)

# %% [markdown] tags=["core", "workshop"]
# The first three keep the sky: their weights sum to 1. The others sum to 0 and turn every even area, bright sky or black
# coat, into the same nothing (shown as middle grey). One call computed all six: six kernels are six output channels.
#
# **Play.** Nine weights, a divisor, and a grey to add. Find a kernel that shifts the picture by one pixel; one that makes it
# look like a relief lit from one side; one that blurs along one direction only, as a moving camera does.

# %% tags=["core", "workshop"]
def filtered(divide_by, add, **weights):
    """Show the photograph beside what nine weights, given row by row, make of it."""
    w = torch.tensor(list(weights.values())).double().view(1, 1, 3, 3) / divide_by
    y = (conv_forward(photo, w, padding=1) + add).clamp(0, 1)
    told = f"The photograph, and the same through {[*weights.values()]} / {divide_by} + {add}."
    return plots.show_images(torch.cat([photo, y]), value_range=(0, 1), alt=told)


start = {"divide_by": (1, 16, 1), "add": (0.0, 1.0, 0.5, 0.05)}
relief = (-2, -1, 0, -1, 0, 1, 0, 1, 2)
start |= {f"row {n // 3}, column {n % 3}": (-8, 8, weight) for n, weight in enumerate(relief)}
explore.View(filtered, [explore.slider(name, *scale) for name, scale in start.items()])

# %% [markdown] tags=["deeper"]
# ### Convolution, or correlation?
#
# **Predict.** A picture that is black but for one bright pixel goes in. With the kernel 1, 2, ..., 9, what comes out?

# %% tags=["deeper", "nbval-check-output"]
bright = torch.zeros(1, 1, 5, 5, dtype=torch.float64)
bright[0, 0, 2, 2] = 1
print(conv_forward(bright, torch.arange(1.0, 10).double().view(1, 1, 3, 3)).int().tolist())

# %% [markdown] tags=["deeper"]
# The kernel, *turned by half a turn*: the window that starts up and left of the bright pixel sees it at its lower right.
# Mathematicians call this operation **cross-correlation**, and
# convolution the one with $x_{i-u,\,j-v}$, which stamps the kernel as it is on every bright pixel. The flip is all the
# difference. The field computes the first and says the second, and so does torch: for *learnt* weights it does not
# matter which of the two is stored.
#
# **The smallest kernel there is.** A 1x1 kernel looks at one pixel, but at all its channels. With the weights 0.299, 0.587
# and 0.114 it turns colour into brightness: a convolution from 3 channels to 1.

# %% tags=["deeper"]
cat = datasets.photograph("chelsea")[None]
grey = conv_forward(cat.double(), torch.tensor([0.299, 0.587, 0.114]).double().view(1, 3, 1, 1))
assert grey.shape == (1, 1, 300, 451) and (grey - images.to_grey(cat)).abs().max() <= 0.51

# %% [markdown] tags=["core"]
# ## 5 The same thing as one large matrix
#
# You know linear layers, $y = Tx$ with the picture as one long list. A convolution is linear, so it is one. $T$ has $H'W'$
# rows and $HW$ columns, and its column number $p$ is what the layer answers to a picture with a single 1 at position $p$.
#
# **Your lines.** Write `conv_matrix`, column by column at once.
#
# <details><summary>Hint 1</summary>All pictures with a single 1 are the rows of the unit matrix <code>torch.eye(H *
# W)</code>: a batch of H W pictures.</details>
# <details><summary>Hint 2</summary><code>torch.eye(H * W).to(w).view(-1, 1, H, W)</code> goes through
# <code>conv_forward</code>. Answer number p, flattened, is <em>column</em> p: transpose.</details>

# %% tags=["core", "export", "exercise"]
def conv_matrix(w, H, W):
    """Return T (H' W', H W) with T @ x.flatten() = the convolution of x (H, W) with w (kh, kw)."""
    ### TODO: send all pictures with a single 1 through conv_forward; each answer is a column
    ### BEGIN SOLUTION
    impulses = torch.eye(H * W).to(w).view(-1, 1, H, W)
    return conv_forward(impulses, w[None, None]).flatten(1).T
    ### END SOLUTION


# %% tags=["core"]
conv_matrix = checks.convolution.conv_matrix(conv_matrix)
T = conv_matrix(torch.arange(1.0, 10).double().view(3, 3), 5, 6)
fig = plots.heatmap(
    T, xlabel="pixel of the 5x6 picture", ylabel="pixel of the 3x4 answer", unit="weight",
    caption="The kernel 1, 2, ..., 9 as a matrix: each row holds it once, the next row a step on.",
)
print(f"{T.numel()} entries, {(T != 0).sum()} of them not zero, {len(T.unique()) - 1} different")

# %% [markdown] tags=["core"]
# Along every diagonal of a block stands one and the same number: a **Toeplitz** matrix (of Toeplitz blocks, as the picture has
# two directions). So a convolution *is* a linear layer, $f(Tx + b)$, but one in which almost all entries are forced to be zero
# and the rest to be copies of 9 numbers.
#
# The matrix pays at once. Let a loss $\ell$ depend on $y = Tx$, and call $g = \partial\ell/\partial y$ what comes back from
# the layers above. Write $\langle a, b\rangle$ for $\sum_i a_i b_i$. A small change $dx$
# changes the loss, to first order, by
#
# $$ d\ell = \langle g,\, T\,dx \rangle = \langle T^\top g,\, dx \rangle
#    \qquad\Longrightarrow\qquad \frac{\partial \ell}{\partial x} = T^\top g . $$
#
# The way back is the transposed matrix; the check above has compared it with autograd.
#
# ## 6 The three gradients by hand
#
# For our photograph $T$ would have four thousand million entries. The columns
# of section 3 do the same in little space. Two linear steps, $x \mapsto X = U x$ (unfold, which copies pixels) and
# $Y = WX + b$; walk them backward, with $G = \partial\ell/\partial Y$ of shape $(C', H'W')$:
#
# $$ d\ell = \langle G,\, dW X + W\,dX + db \rangle
#    \;\Longrightarrow\;
#    \frac{\partial\ell}{\partial W} = G X^\top, \quad
#    \frac{\partial\ell}{\partial X} = W^\top G, \quad
#    \frac{\partial\ell}{\partial b} = \textstyle\sum_{i,j} G . $$
#
# All images and all places share the weights and the bias, so their gradients are **sums** over both. What is left is the
# way from $X$ to $x$. Since $dX = U\,dx$, we have $\partial\ell/\partial x = U^\top\, \partial\ell/\partial X$. $U$ *copies* a
# pixel into every window that it lies in; so $U^\top$ **adds up** what comes back from all those copies. This **adjoint**
# of unfold (the transpose, where nobody writes the matrix) is called **fold**.
#
# <details><summary>Hint 1</summary>Fix a place (u, v) of the kernel. Over all windows (i, j) it meets the pixels in rows u,
# u + s, u + 2s, ... and columns v, v + s, ...: a slice with a step. No pixel occurs twice in it.</details>
# <details><summary>Hint 2</summary><code>x[:, :, u : u + stride * rows : stride, v : v + stride * cols : stride] +=
# parts[:, :, u, v]</code>. At the end, cut off the frame.</details>

# %% tags=["core", "export", "exercise"]
def fold(columns, size, kernel, stride=1, padding=0):
    """Add every column (B, C kh kw, H' W') back to its window: x (B, C, H, W), size = (H, W).

    The adjoint of unfold: <unfold(x), columns> = <x, fold(columns)>.
    """
    (H, W), (kh, kw) = size, kernel
    rows, cols = out_size(H, kh, stride, padding), out_size(W, kw, stride, padding)
    parts = columns.unflatten(2, (rows, cols)).unflatten(1, (-1, kh, kw))  # (B, C, kh, kw, H', W')
    x = columns.new_zeros(*parts.shape[:2], H + 2 * padding, W + 2 * padding)
    ### TODO: for each u and v, add parts[:, :, u, v] to the pixels that it came from; cut the frame
    ### BEGIN SOLUTION
    for u in range(kh):
        for v in range(kw):
            i, j = slice(u, u + stride * rows, stride), slice(v, v + stride * cols, stride)
            x[:, :, i, j] += parts[:, :, u, v]
    return x[:, :, padding : padding + H, padding : padding + W]
    ### END SOLUTION


# %% tags=["core"]
fold = checks.convolution.fold(fold)

# %% [markdown] tags=["core"]
# The check drew $x$ and $c$ at random and compared $\langle Ux, c\rangle$ with
# $\langle x, U^\top c\rangle$, which says what a transpose *is*. Now the three gradients, one line each.
#
# <details><summary>Hint 1</summary><code>G = g.flatten(2)</code> is (B, C', H' W'). Over which axes do image, position and
# channel of the formula run?</details>
# <details><summary>Hint 2</summary><code>(G @ columns.transpose(1, 2)).sum(dim=0).view_as(weight)</code>;
# <code>fold(weight.flatten(1).T @ G, x.shape[2:], kernel, stride, padding)</code>;
# <code>g.sum(dim=(0, 2, 3))</code>.</details>

# %% tags=["core", "export", "exercise"]
def conv_backward(g, x, weight, stride=1, padding=0):
    """Return the gradients (of x, of weight, of bias), given g (B, C', H', W') at the output."""
    kernel = weight.shape[2:]
    columns = unfold(x, kernel, stride, padding)
    G = g.flatten(2)
    ### TODO: grad_x, grad_weight and grad_bias, by the three formulas
    ### BEGIN SOLUTION
    grad_x = fold(weight.flatten(1).T @ G, x.shape[2:], kernel, stride, padding)
    grad_weight = (G @ columns.transpose(1, 2)).sum(dim=0).view_as(weight)
    grad_bias = g.sum(dim=(0, 2, 3))
    ### END SOLUTION
    return grad_x, grad_weight, grad_bias


class Convolution(torch.autograd.Function):
    """A convolution whose way back is conv_backward; ctx keeps until then what that needs."""

    @staticmethod
    def forward(ctx, x, weight, bias, stride, padding):
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return conv_forward(x, weight, bias, stride, padding)

    @staticmethod
    def backward(ctx, g):
        grads = conv_backward(g, *ctx.saved_tensors, ctx.stride, ctx.padding)
        asked = zip(grads, ctx.needs_input_grad, strict=False)
        return *(grad if needed else None for grad, needed in asked), None, None


# %% tags=["core"]
conv_backward = checks.convolution.conv_backward(conv_backward)

# %% [markdown] tags=["deeper"]
# The check compared with autograd, and with finite differences, which know nothing of any derivation: move one number
# by $\pm h$, and see how the loss $\langle g, y\rangle$ changes.
#
# **Predict.** In lesson 10 a step $h$ that was too large spoilt the estimate, and one that was too small drowned it in
# rounding. Which $h$ is best here?

# %% tags=["deeper"]
shapes, errors = ((2, 3, 6, 5), (4, 3, 3, 2), (2, 4, 3, 3)), {}  # for stride 2 and padding 1
x, w, g = (torch.randn(shape, generator=generator).double() for shape in shapes)
for name, one, gradient in zip("xw", (x, w), conv_backward(g, x, w, 2, 1), strict=False):
    for h in (1e-9, 1e-6, 1e-3, 1.0):
        d = h * F.one_hot(torch.tensor(7), one.numel()).double().view_as(one)  # moves number 7
        ends = [(x + d, w), (x - d, w)] if name == "x" else [(x, w + d), (x, w - d)]
        up, down = ((g * conv_forward(*end, None, 2, 1)).sum() for end in ends)
        errors[name, h] = abs((up - down) / (2 * h) - gradient.flatten()[7]).item()
        print(f"gradient of {name} with h = {h:g}: off by {errors[name, h]:.0e}")
assert max(errors["x", 1.0], errors["w", 1.0]) < 1e-12 < errors["x", 1e-9]

# %% [markdown] tags=["deeper"]
# A large one: $h = 1$ is as exact as numbers get, and $h = 10^{-9}$ is the worst. The loss is *linear* in $x$, and linear in
# the weights, and a straight line has the same slope over any distance. Only rounding is left, and small steps suffer
# most.

# %% [markdown] tags=["core"]
# ### A layer of your own
#
# `Convolution` put the pair, forward and backward, into autograd's hands. The layer around it holds the
# parameters, and calls the pair as `self.function`, so that section 9 can put a wrong one in its place. Its first weights
# are drawn as in torch: uniform in $\pm 1/\sqrt{n}$, where $n = C\,k^2$ numbers flow into one output. Why so? Each of the
# $n$ terms then has $1/(3n)$ of its input's mean square, and the answer a third of it, whatever $n$ is.
#
# <details><summary>Hint 1</summary>The weight has one kernel of C layers for each output channel: which four numbers are its
# shape?</details>
# <details><summary>Hint 2</summary><code>nn.Parameter(torch.empty(...).uniform_(-bound, bound))</code>, first the weight,
# then the bias; <code>self.bias = None</code> where there is none.</details>

# %% tags=["core", "export", "exercise"]
def conv2d(x, weight, bias=None, stride=1, padding=0):
    """Return conv_forward of the same arguments, with conv_backward as its way back."""
    return Convolution.apply(x, weight, bias, stride, padding)


class Conv2d(nn.Module):
    """Convolve x (B, C, H, W) with square kernels that are learnt: y (B, C', H', W')."""

    function = Convolution

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, bias=True):
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        bound = (in_channels * kernel_size**2) ** -0.5
        ### TODO: self.weight, and self.bias (or None), uniform in -bound..bound
        ### BEGIN SOLUTION
        shape = out_channels, in_channels, kernel_size, kernel_size
        self.weight = nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
        numbers = torch.empty(out_channels).uniform_(-bound, bound)
        self.bias = nn.Parameter(numbers) if bias else None
        ### END SOLUTION

    def forward(self, x):
        ### TODO: self.function.apply (not conv2d) with all that Convolution.forward takes after ctx
        ### BEGIN SOLUTION
        return self.function.apply(x, self.weight, self.bias, self.stride, self.padding)
        ### END SOLUTION


# %% tags=["core", "nbval-check-output"]
Conv2d = checks.convolution.conv2d_layer(Conv2d)
layer, x = Conv2d(3, 8, 3, stride=2, padding=1), torch.rand(4, 3, 15, 20, generator=generator)
print(f"{tuple(x.shape)} -> {tuple(layer(x).shape)}, {device.count_parameters(layer)} parameters")

# %% [markdown] tags=["core"]
# ## 7 Does it move with the picture?
#
# Since all places share their weights, a moved picture should give the same answer, moved: this is **equivariance** to shifts.
# But a picture ends. Shift it round, so that what leaves at the right comes in at the left; then no pixel is lost, and
# whatever gap remains between "shift, then convolve" and "convolve, then shift" is the padding's doing.
#
# **Predict.** With 3x3 kernels and a frame of zeros, where do the two differ? And after four such layers, or eight?

# %% tags=["core"]
def layers(x, depth, mode="constant"):
    """Send x through `depth` 3x3 convolutions that keep the size."""
    for _ in range(depth):
        x = conv_forward(F.pad(x, (1, 1, 1, 1), mode=mode), blur[None, None])
    return x


still = photo[..., 30:94, 80:176]  # 64 x 96: not square, so that a swap of H and W shows
moved = still.roll(40, dims=3)
gaps = [layers(moved, depth) - layers(still, depth).roll(40, dims=3) for depth in (1, 4, 8)]
felt = torch.cat(gaps).abs() > 1e-9  # (3, 1, 64, 96)
deep = felt[:, 0, 32, :20].sum(dim=1).tolist()
print("1, 4 and 8 layers: the border is felt", deep, "pixels deep")
gap = layers(moved, 8, "circular") - layers(still, 8, "circular").roll(40, dims=3)
assert deep == [1, 4, 8] and not felt[..., 12:28].any() and gap.abs().max() < 1e-12
fig = plots.show_images(
    felt.double(), value_range=(0, 1), scale=2, labels=["1 layer", "4 layers", "8 layers"],
    caption="White: here shift and convolution do not commute. The middle band is the old border.",
)

# %% [markdown] tags=["core"]
# At the border, old and new, and one pixel deeper with every layer; elsewhere not at all. Not along top and bottom: a
# shift sideways moves their zeros onto zeros. The windows at the border see
# the frame of zeros, and the next layer's windows see their answers. So a network with padding *can* tell where it is:
# from the border inward, as far as it is deep (Islam et al. 2020 found that large networks do). Circular padding has no
# border, and its gap is rounding.

# %% [markdown] tags=["core"]
# ## 8 Let it learn the kernel
#
# Now hide a kernel: given a picture and its filtered version, can gradient descent find out which kernel was used? The
# loop is lesson 10's; the loss is the mean squared error.
#
# For one layer the course of the training can be *computed in advance*. With one column $x_n$ per window, and
# $A = \frac1N \sum_n x_n x_n^\top$, a 9x9 matrix, the loss at weights $w$, with $w^*$ the hidden ones, is
#
# $$ \ell = \tfrac1N \textstyle\sum_n \big((w - w^*)^\top x_n\big)^2 = (w - w^*)^\top A\, (w - w^*),
#    \qquad \nabla \ell = 2A\,(w - w^*) . $$
#
# A step of size $\eta$ turns $w - w^*$ into $(I - 2\eta A)(w - w^*)$. Along an eigenvector of $A$ (a direction that $A$ only
# stretches, by its eigenvalue $\lambda_k$) the
# error shrinks by the factor $1 - 2\eta\lambda_k$ in each step, so with its first length $c_k$
#
# $$ \ell_t = \sum_k \lambda_k\, (1 - 2\eta\lambda_k)^{2t}\, c_k^2 . $$
#
# We take $\eta = 1/2\lambda_{\max}$: the largest direction is right after one step.
#
# **Predict.** Two pictures to learn from, both of mean 0: the photograph, and noise, where each pixel is drawn on its own.
# From which of the two does the layer learn its kernel faster?

# %% tags=["core", "export"]
def learn(model, optimiser, x, y, steps, should_stop=training.never_stop, label="training"):
    """Train model(x) towards y by the mean squared error; return the history of the loss."""
    with training.progress(steps, should_stop, label=label) as run:
        for _ in run:
            loss = (model(x) - y).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            run.log(loss=loss)
    return run.history


# %% tags=["core"]
hidden = torch.tensor([[1.0, 2, 1], [0, 0, 0], [-1, -2, -1]]).double()[None, None]
scene = photo[..., 20:148, 70:198]
noise, curves, learnt = torch.randn(scene.shape, generator=generator).double(), {}, {}
for name, x in (("photograph", scene - scene.mean()), ("noise", noise)):
    columns = unfold(x, (3, 3))[0]
    eigenvalues, directions = torch.linalg.eigh(columns @ columns.T / columns.shape[1])
    torch.manual_seed(cfg.seed)
    conv = Conv2d(1, 1, 3, bias=False).double()
    c = directions.T @ (conv.weight - hidden).detach().flatten()
    lr = 0.5 / eigenvalues.max().item()
    sgd, y = torch.optim.SGD(conv.parameters(), lr=lr), conv_forward(x, hidden)
    losses = torch.tensor(learn(conv, sgd, x, y, cfg.steps, label=name)["loss"][1]).double()
    powers = (1 - 2 * lr * eigenvalues) ** (2 * torch.arange(cfg.steps)[:, None])
    computed = (eigenvalues * powers * c**2).sum(dim=1)
    assert torch.allclose(computed, losses, rtol=1e-6, atol=1e-12)
    curves[f"{name}, computed"], curves[name], learnt[name] = computed, losses, conv.weight.detach()
    print(f"{name}: largest eigenvalue {eigenvalues[-1] / eigenvalues[0]:,.1f} times the smallest,",
          f"{eigenvalues[-1] / eigenvalues.sum():.0%} of their sum; cosine of its direction with",
          f"an even window {directions[:, -1].sum().abs() / 3:.2f}; learnt",
          learnt[name][0, 0].mul(100).round().div(100).tolist())  # fmt: skip
powers_of_ten = {name: line.clamp(1e-9).log10() for name, line in curves.items()}
fig = plots.curves(powers_of_ten, xlabel="step", ylabel="error, power of ten, at least -9")

assert (learnt["noise"] - hidden).abs().max() < 1e-6 < (learnt["photograph"] - hidden).abs().max()

# %% [markdown] tags=["core"]
# From noise; and both trainings ran along the computed line. In a photograph neighbours are alike: nearly all that
# varies lies along *one* direction, the brightness of the whole window (the printed share and cosine), and there the kernel
# is right at once. Noise varies more, and in all directions: its error starts higher. In the photograph, what would tell
# the other eight apart hardly occurs. The error is small and the kernel still wrong, because the picture never asked.

# %% [markdown] tags=["deeper"]
# ### An edge detector that nobody wrote
#
# Draw pictures with one upright edge each, in noise half as strong as the edge, and ask for 1 on the edge and 0 elsewhere.
# In each row of new pictures, is the strongest answer on the edge? Three known kernels compete.
#
# **Predict.** The rows of Prewitt's kernel weigh 1, 1, 1; those of Sobel's 1, 2, 1. Which one will the learnt one be like?

# %% tags=["deeper"]
def drawn_edges(count, H=16, W=24):
    """Draw noisy pictures (count, 1, H, W) of one upright edge, and the truth at inner pixels."""
    at = torch.randint(3, W - 3, (count, 1, 1, 1), generator=generator)
    side = torch.sign(torch.arange(W) - at).expand(count, 1, H, W).double()  # -1, on the edge 0, 1
    noise = torch.randn(side.shape, generator=generator).double()
    return 0.5 + 0.5 * side + 0.5 * noise, (side == 0)[..., 1:-1, 1:-1].double()


(x, y), (new_x, new_y), found = drawn_edges(200), drawn_edges(2000), {}
conv = Conv2d(1, 1, 3).double()
learn(conv, torch.optim.Adam(conv.parameters(), lr=0.02), x, y, cfg.steps)
row, w = torch.tensor([[-1.0, 0, 1]]).double(), conv.weight.detach()[0, 0]
weights = {"the middle row only": (0, 1, 0), "Sobel": (1, 2, 1), "Prewitt": (1, 1, 1)}
rivals = {name: torch.tensor(v).double()[:, None] * row for name, v in weights.items()}
for name, kernel in (rivals | {"learnt": w}).items():
    best = conv_forward(new_x, kernel[None, None]).argmax(dim=3)
    found[name] = 100 * (best == new_y.argmax(dim=3)).double().mean().item()
print("learnt, largest weight 1 or -1:", (w / w.abs().max()).mul(100).round().div(100).tolist())
assert found["learnt"] > found["Sobel"] - profile(smoke=20, standard=0)
fig = plots.bars(found, ylabel="% of the rows whose edge was found")

# %% [markdown] tags=["deeper"]
# Prewitt's: the three rows weigh the same. The noise is alike in all rows and the edge is straight, so no row deserves
# more trust.
#
# ## 9 Break it on purpose
#
# A wrong backward pass raises no error. Here are two. In the first, fold *writes* where it should *add*, so that of the
# windows that share a pixel the last one wins. In the second the gradient of the weights is a mean over images and
# windows, not a sum. Each trains two layers with a ReLU between them, by plain SGD and by Adam.
#
# **Predict.** Four broken trainings: which learn nothing, which learn something worse, which look perfectly well?

# %% tags=["deeper"]
class Overwritten(Convolution):
    @staticmethod
    def backward(ctx, g):
        x, weight = ctx.saved_tensors
        grad_x, (rows, cols) = torch.zeros_like(x), g.shape[2:]
        parts = (weight.flatten(1).T @ g.flatten(2)).view(*x.shape[:2], 3, 3, rows, cols)
        for u in range(3):
            for v in range(3):
                grad_x[:, :, u : u + rows, v : v + cols] = parts[:, :, u, v]
        return grad_x, *conv_backward(g, x, weight)[1:], None, None


class Averaged(Convolution):
    @staticmethod
    def backward(ctx, g):
        grad_x, grad_weight, *others = Convolution.backward(ctx, g)
        return grad_x, grad_weight / (g.numel() / g.shape[1]), *others


# %% tags=["deeper"]
def two_layers(function=Convolution, seed=1):
    torch.manual_seed(seed)
    net = nn.Sequential(Conv2d(1, 8, 3), nn.ReLU(), Conv2d(8, 1, 3)).double()
    net[0].function = net[2].function = function
    return net


x, last = torch.randn(32, 1, 12, 16, generator=generator).double(), {}
y = two_layers(seed=5)(x).detach()  # what a network with other weights makes of it
y = (y - y.mean()) / y.std()
for function in (Convolution, Overwritten, Averaged):
    for optimiser, lr in ((torch.optim.SGD, 0.05), (torch.optim.Adam, 0.02)):
        net, label = two_layers(function), f"{function.__name__}, {optimiser.__name__}"
        history = learn(net, optimiser(net.parameters(), lr=lr), x, y, cfg.steps // 2, label=label)
        last[label] = history["loss"][1][-1]
fig = plots.bars(last, ylabel="mean squared error at the end")
right, factor = last["Convolution, Adam"], profile(smoke=0.8, standard=2)
as_told = last["Averaged, SGD"] > 0.7 and last["Overwritten, Adam"] > factor * right
as_told = as_told and abs(last["Averaged, Adam"] / right - 1) < 0.2
assert as_told, f"the wrong pairs leave no trace: does forward call self.function? {last}"

# %% [markdown] tags=["deeper"]
# One learns next to nothing: averaged, with SGD, whose steps are thousands of times too small (only its
# biases move). Adam divides each gradient by its own size, so a wrong factor is *invisible* to it. The overwritten one is
# the nastiest: the loss falls with both optimisers, only less far, for the last layer learns as it should and the first is
# badly advised. Only the right pair's bar beside it gives that away; your own project has none. A
# comparison in float64 shows it, which is what the checks of `fold` and `conv_backward` make.

# %% [markdown] tags=["deeper"]
# ## 10 Exercises
#
# **A. Predict (★, 5 minutes).** Two 3x3 convolutions follow each other with nothing in between. They are linear, so they
# equal one convolution. How large is its kernel? You may send *one* picture through the pair to read it off: which?
#
# <details><summary>Hint 1</summary>How far away may a pixel be and still reach the answer, after one layer and after
# two?</details>
# <details><summary>Hint 2</summary>Section 4: what comes out if the picture is black but for one bright pixel?</details>

# %% tags=["deeper"]
first, second = edge[None, None], blur[None, None]
bright = F.pad(torch.ones(1, 1, 1, 1).double(), (4, 4, 4, 4))
both = conv_forward(conv_forward(bright, first), second).flip(2, 3)  # turned back, for torch
print(f"one kernel of {tuple(both.shape[2:])}:", (16 * both[0, 0]).int().tolist())
assert torch.allclose(conv_forward(photo, both), conv_forward(conv_forward(photo, first), second))

# %% [markdown] tags=["deeper"]
# <details><summary>Answer to A</summary>5x5: each layer adds one pixel on each side. A single bright pixel in a black picture
# reads it off, turned by half a turn. Without a nonlinearity in between, depth buys a larger window only.</details>
#
# **B. Build (★★, 15 minutes).** A *dilated* convolution looks at every d-th pixel only: $x_{i+du,\,j+dv}$. Nine weights
# then see a window of $2d + 1$ pixels. You need no new convolution for it: spread the kernel out, with zeros in between.
#
# <details><summary>Hint 1</summary>k weights, d apart, span d (k - 1) + 1 pixels.</details>
# <details><summary>Hint 2</summary><code>wide = weight.new_zeros(C_out, C, d * (kh - 1) + 1, d * (kw - 1) + 1)</code>, then
# <code>wide[:, :, ::d, ::d] = weight</code>.</details>

# %% tags=["deeper", "exercise", "export"]
def dilate(weight, d):
    """Spread the weights (C', C, kh, kw) d pixels apart, with zeros in between."""
    C_out, C, kh, kw = weight.shape
    ### TODO: a larger kernel of zeros, with the weights at every d-th place in both directions
    ### BEGIN SOLUTION
    wide = weight.new_zeros(C_out, C, d * (kh - 1) + 1, d * (kw - 1) + 1)
    wide[:, :, ::d, ::d] = weight
    return wide
    ### END SOLUTION


# %% tags=["deeper"]
dilate = checks.convolution.dilate(dilate)

# %% [markdown] tags=["deeper"]
# **C. Debug (★★, 15 minutes).** Somebody wrote the convolution as one `einsum`. With 28x28 pictures and 3x3 kernels it runs
# and gives the right shape. It has four faults. Find them, and write it right.
#
# ```python
# def conv_einsum(x, weight, bias=None, stride=1, padding=0):
#     kh, kw = weight.shape[2:]
#     padded = F.pad(x, (2 * padding, 0, 2 * padding, 0))
#     windows = padded.unfold(2, kw, stride).unfold(3, kh, stride)
#     return torch.einsum("bcijuv,kcuv->bkji", windows, weight)
# ```
#
# <details><summary>Hint 1</summary>Try a picture with H ≠ W, a kernel with kh ≠ kw, a bias of 100, and one bright pixel
# with padding 1.</details>
# <details><summary>Hint 2</summary>Pad (left, right, top, bottom) evenly; dim 2 is the height; the answer's axes are b, k,
# i, j; the bias meets it as <code>bias[:, None, None]</code>.</details>

# %% tags=["deeper", "exercise", "export"]
def conv_einsum(x, weight, bias=None, stride=1, padding=0):
    """Convolve x (B, C, H, W) with weight (C', C, kh, kw), add bias (C',): y (B, C', H', W')."""
    ### TODO: the function above without its four faults
    ### BEGIN SOLUTION
    kh, kw = weight.shape[2:]
    padded = F.pad(x, (padding, padding, padding, padding))
    windows = padded.unfold(2, kh, stride).unfold(3, kw, stride)
    y = torch.einsum("bcijuv,kcuv->bkij", windows, weight)
    return y if bias is None else y + bias[:, None, None]
    ### END SOLUTION


# %% tags=["deeper"]
conv_einsum = checks.convolution.conv_einsum(conv_einsum)

# %% [markdown] tags=["deeper"]
# **D. Measure (★★, 10 minutes).** Five ways to the same numbers: rank them for one 24x32 picture, and three of them for 64
# pictures with 16 channels in and out. Which one needs the most memory? Then run.
#
# <details><summary>Hint 1</summary>Count the numbers that each of them has to write down in between.</details>
# <details><summary>Hint 2</summary>Unfold writes every pixel nine times; the matrix has H W numbers for each of H' W'
# answers.</details>

# %% tags=["deeper"]
one, many = torch.randn(1, 1, 24, 32), torch.randn(64, 16, 24, 32)
w_one, w_many = torch.randn(1, 1, 3, 3), torch.randn(16, 16, 3, 3)
T = conv_matrix(w_one[0, 0], 24, 32)
ways = {"loops": lambda: conv_loops(one[0, 0], w_one[0, 0]), "matrix": lambda: T @ one.flatten()}
for name, way in {"unfold": conv_forward, "einsum": conv_einsum, "torch": F.conv2d}.items():
    ways[name] = lambda way=way: way(one, w_one)
    ways[f"{name}, 64 of 16 channels"] = lambda way=way: way(many, w_many)
for name, way in ways.items():
    print(f"{name:<24} {1000 * min(timeit.repeat(way, number=1, repeat=3)):8.3f} ms")

# %% [markdown] tags=["deeper"]
# <details><summary>Answer to D</summary>For one picture the loops are far behind, since Python handles every window, and
# the matrix, mostly zeros, needs the most memory. For 64 pictures torch comes first, then unfold, then einsum, and unfold
# writes most: 64 &middot; 16 &middot; 9 numbers per answer pixel, the matrix of one channel 768. So the course trains with
# torch's layer, which computes what yours computes.</details>

# %% [markdown] tags=["core", "workshop"]
# ## 11 To discuss, and to keep
#
# <details><summary><b>Question C7.</b> A text introduces CNNs with "the formula of a CNN layer is y = f(Wx + b)". Is that
# right?</summary> Only in the sense of section 5. It is the formula of <em>any</em> layer. What makes a convolution is what
# W is not free to be: zero outside the window, the same weights in every row. The formula to write is the sum over channels
# and window, with a w that has no position.</details>
# <details><summary><b>Question.</b> A convolution moves with the picture. Does it also turn with it, or grow with
# it?</summary> No. Turn the picture by a quarter turn and the kernel "edge, across" finds what was an edge downward. Only
# kernels that are symmetric themselves, like the blur, commute with quarter turns; with a change of size only those that
# look at a single pixel, 1x1.</details>
#
# **Summary**
#
# - Forward, every window becomes a column; backward, every column is *added* back to its window.
# - As a matrix it is sparse and Toeplitz; its transpose carries the gradient to the input.
# - The gradients of shared weights are sums over images and places; a mean is a mistake that Adam hides.
# - It moves with the picture, exactly, except where the border's zeros are seen, one pixel deeper per layer.
# - A learnt kernel knows what its examples asked; smooth pictures ask little.
#
# **Later lessons import** `Conv2d`, `conv2d`, `unfold` and `fold` (lesson 13 turns fold into a layer that *enlarges* pictures;
# lesson 14 trains a network of such layers). **Limits:** square kernels in the layer, zero padding, no groups, and slower than
# torch's.
#
# **Papers.** LeCun et al. (1998), *Gradient-based learning applied to document recognition*, section II · Dumoulin and Visin
# (2016), *A guide to convolution arithmetic for deep learning*, chapters 2 and 4 · Chellapilla et al. (2006), *High
# performance convolutional neural networks for document processing* (unfold) · Islam, Jia and Bruce (2020), *How much position
# information do convolutional neural networks encode?*
