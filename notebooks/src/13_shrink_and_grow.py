# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown] tags=["core"]
# # 13 Shrink a picture, and grow one
#
# You will build the layers that make pictures smaller (stride, pooling) and larger (transposed convolution, pixel
# shuffle), find out why one of them draws a checkerboard, and never guess the size of a layer's output again.
#
# ![A cat’s eye grown by transposed convolutions with kernels 3, 4, 5 and 2: two of them draw a checkerboard](../data/pictures/13-033.png)
#
# | | |
# |---|---|
# | **You need** | what a convolution computes, as a sum over windows and as a matrix (lesson 12) |
# | **Time** | 50 minutes for the core, 75 more for the rest; the notebook itself runs in under a minute |
# | **Machine** | no GPU, no network, less than 1 GB of memory |
#
# When you are through, you can
#
# 1. say the output size of any layer before you run it, and choose a layer for the size that you want,
# 2. write max and average pooling, and their gradients,
# 3. derive transposed convolution from convolution, and write it,
# 4. predict from kernel and stride alone whether a layer favours a checkerboard,
# 5. write pixel shuffle, and say what it has in common with a transposed convolution.
#
# Codes such as D8 number real bugs.
#
# > **Remember.** A transposed convolution stamps its kernel once for each pixel of the small picture. Stamps of size
# > k, s apart, cover the large picture evenly only if s divides k.

# %% tags=["core"]
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import checks, datasets, device, explore, plots, settings, training
from course_lib.settings import profile


@dataclass
class Config:
    """The numbers of lesson 13; `profile` picks the value for the profile that you run in."""

    draws: int = profile(smoke=200, standard=2000)  # random kernels a size, in section 6
    steps: int = profile(smoke=20, standard=1000)  # optimiser steps of each layer in section 8
    batch_size: int = 32  # patches of 64x64 pixels per step
    lr: float = 0.02
    seed: int = 0


cfg = Config()
torch.manual_seed(cfg.seed)  # the layers' first weights come from torch's own generator
dev = device.pick_device()
generator = device.generator(cfg.seed, dev)

# %% [markdown] tags=["core"]
# ## 1 Keep every fourth pixel, and look
#
# The photograph below has 256x256 pixels (axes, here and everywhere: B images in a batch, C channels, H rows, W columns). The
# simplest way to make it a quarter as wide and high is to keep every fourth pixel of every fourth row. That is also all
# that a *stride* of 4 does to a convolution: the window jumps 4 pixels, and the results between are never computed.
#
# **Predict.** The fur has hairs one or two pixels thin. What will become of them?

# %% tags=["core"]
cat = datasets.to_float(datasets.photograph("chelsea")[None, :, 22:278, 97:353]).to(dev)
assert cat.shape == (1, 3, 256, 256) and cat.min() >= 0 and cat.max() <= 1
fig = plots.show_images(cat, value_range=(0, 1), scale=1)

# %% tags=["core"]
w = torch.randn(2, 3, 3, 3, generator=generator, device=dev)
gap = (F.conv2d(cat, w, stride=4) - F.conv2d(cat, w)[..., ::4, ::4]).abs().max().item()
print(f"stride 4 against every fourth result of stride 1: {gap:.0e} apart")
assert gap < 1e-5


def blur(x, times=3):
    """Smooth x (B, C, H, W) with the binomial kernel 1 4 6 4 1, along rows and columns."""
    C, line = x.shape[1], torch.tensor([1.0, 4, 6, 4, 1], device=x.device) / 16
    kernel = torch.outer(line, line).expand(C, 1, 5, 5)
    for _ in range(times):
        x = F.conv2d(F.pad(x, (2, 2, 2, 2), mode="replicate"), kernel, groups=C)
    return x


shrink = {"every 4th": lambda x: x[..., ::4, ::4], "mean of 4x4": lambda x: F.avg_pool2d(x, 4)}
shrink["blur, every 4th"] = lambda x: blur(x)[..., ::4, ::4]
small = torch.cat([way(cat) for way in shrink.values()])
fig = plots.show_images(small, value_range=(0, 1), columns=3, scale=3, labels=shrink)

# %% [markdown] tags=["core"]
# Thin hairs do not vanish: they turn into pepper and salt, and the whiskers into dotted lines. Each kept pixel is
# one pixel of the original, picked blindly, and its fifteen neighbours might as well not exist.
#
# This has a name, *aliasing*, and a reason. Take a wave $\cos(2\pi f n)$ and keep the pixels $n = s m$. Adding a whole
# number of turns changes nothing, so
#
# $$ \cos(2\pi f\, s m) = \cos(2\pi f\, s m - 2\pi m) = \cos\!\big(2\pi (f - \tfrac1s)\, s m\big) : $$
#
# waves whose frequencies differ by $1/s$ become *the same numbers*. Everything above $\frac{1}{2s}$ comes back in
# disguise, as something coarser. Afterwards nobody can tell them apart, so what is too fine must go *before* the
# pixels are dropped.
#
# **Predict.** A fence with a post every 5 pixels, of which we keep every 4th. How far apart do the posts seem to be, in
# pixels of the original? And which of the three small pictures changes most if the camera moves by one pixel?

# %% tags=["core"]
column = torch.arange(240, dtype=torch.float64)
fence = 0.5 + 0.5 * torch.cos(2 * torch.pi * column / 5).expand(1, 1, 32, 240)
coarse = 0.5 + 0.5 * torch.cos(2 * torch.pi * column / 20).expand(1, 1, 32, 240)
assert torch.allclose(fence[..., ::4], coarse[..., ::4])  # the same numbers, 1/5 - 1/4 = -1/20
seen = {"fence": fence, "every 4th": fence[..., ::4].repeat_interleave(4, dim=-1)}
fig = plots.compare(seen, value_range=(0, 1), scale=2)
unrest = {}
for name, way in shrink.items():
    unrest[name] = (way(cat[..., 1:]) - way(cat[..., :-1])).abs().mean().item()
    print(f"camera moved by one pixel, {name}: {255 * unrest[name]:.1f} grey levels of change")
assert unrest["every 4th"] > 1.5 * unrest["blur, every 4th"]

# %% [markdown] tags=["core"]
# Twenty: the fence has grown a post every 20 pixels that was never there. And the picture that was only subsampled
# flickers most when the camera moves (Zhang 2019 puts a blur in front of every stride of a network). The mean of each 4x4
# block is a blur too, if a crude one.
#
# ## 2 Count the windows before you run the layer
#
# In one direction: n cells, p cells of padding at each end, a window of k cells that jumps s at a time. The windows start
# at $0, s, 2s, \dots$ of the padded line, and the last must end inside it. Window $i$ ends at $is + k$, so
#
# $$ i s + k \le n + 2p \quad\Longleftrightarrow\quad i \le \frac{n + 2p - k}{s}, \qquad
#    n' = \Big\lfloor \frac{n + 2p - k}{s} \Big\rfloor + 1 . $$
#
# The floor is where cells get lost: those after the last window are never looked at. The 1 is window 0.
#
# **Predict.** Halve 28 again and again, with kernel 3, stride 2, padding 1; then 27. Then both with kernel 4. Which sizes will be
# equal?
#
# <details><summary>Hint 1</summary>Python's <code>//</code> rounds down. The padding is at <em>both</em> ends.</details>
# <details><summary>Hint 2</summary><code>(n + 2 * padding - kernel) // stride + 1</code></details>

# %% tags=["core", "export", "exercise"]
def output_size(n, kernel, stride=1, padding=0):
    """Return how many windows of `kernel` cells, `stride` apart, fit on n cells.

    The size after a convolution or pooling along one axis; `padding` is added at both ends.
    Needs kernel <= n + 2 padding.
    """
    ### TODO: n' of the formula above
    ### BEGIN SOLUTION
    return (n + 2 * padding - kernel) // stride + 1
    ### END SOLUTION


# %% tags=["core", "nbval-check-output"]
output_size = checks.shrink_and_grow.output_size(output_size)
for kernel in (3, 4, 2):
    for n in (28, 27, 64):
        sizes = [n]
        while sizes[-1] > 3:
            sizes.append(output_size(sizes[-1], kernel, stride=2, padding=(kernel - 1) // 2))
        print(f"kernel {kernel}:", " → ".join(map(str, sizes)))

# %% [markdown] tags=["core"]
# With kernel 3 the pictures of 28 and of 27 pixels have the same sizes from the first step on: 14, 7, 4, 2. Remember
# this for the way back: a layer that grows 14 pixels cannot know whether 27 or 28 are wanted. With kernel 4 an odd size is
# rounded down, so 27 becomes 13.
#
# ## 3 Pool: keep the strongest, or the mean
#
# Pooling cuts the picture into windows, as a convolution does, but has no weights: of each window and each channel
# it keeps the maximum or the mean. `windows` is a *view*: no number is copied.
#
# | symbol | variable | shape |
# |---|---|---|
# | $x$, $y$ | `x`, `y` | (B, C, H, W), (B, C, H', W') |
# | the windows of $x$ | `windows(x, kernel, stride)` | (B, C, H', W', k, k) |
#
# <details><summary>Hint 1</summary>The last two axes of <code>windows(...)</code> are one window. A stride that is not given is
# the kernel: windows side by side.</details>
# <details><summary>Hint 2</summary><code>windows(x, kernel, stride or kernel)</code>, then
# <code>.flatten(-2).max(dim=-1).values</code> or <code>.mean(dim=(-2, -1))</code>. (<code>amax</code> gives the same numbers but
# another gradient, see below.)</details>

# %% tags=["core", "export", "exercise"]
def windows(x, kernel, stride):
    """Return the windows of x (B, C, H, W) as a view (B, C, H', W', kernel, kernel)."""
    return x.unfold(2, kernel, stride).unfold(3, kernel, stride)


def max_pool2d(x, kernel, stride=None):
    """Return the maximum of each window of x (B, C, H, W) -> (B, C, H', W'); stride: else kernel.

    Where several cells are the largest, the first (row by row) gets the gradient.
    """
    ### TODO: windows, then the maximum over the last two axes
    ### BEGIN SOLUTION
    return windows(x, kernel, stride or kernel).flatten(-2).max(dim=-1).values
    ### END SOLUTION


def avg_pool2d(x, kernel, stride=None):
    """Return the mean of each window of x (B, C, H, W) -> (B, C, H', W'); stride: else kernel."""
    ### TODO: windows, then the mean over the last two axes
    ### BEGIN SOLUTION
    return windows(x, kernel, stride or kernel).mean(dim=(-2, -1))
    ### END SOLUTION


# %% tags=["core"]
max_pool2d = checks.shrink_and_grow.max_pool2d(max_pool2d)
avg_pool2d = checks.shrink_and_grow.avg_pool2d(avg_pool2d)

# %% [markdown] tags=["core"]
# ### Send the gradient back through a window
#
# The loss depends on $x$ only through $y$: $\partial L/\partial x_m = \sum_i (\partial L/\partial y_i)(\partial y_i/\partial x_m)$,
# where $i$ runs over the windows that cover cell $m$. For the mean, $\partial y_i/\partial x_m = 1/k^2$: everybody in the
# window gets the same small share. For the maximum it is 1 for the winner and 0 for all others: a small change of a
# loser changes nothing. If two cells tie, the maximum has a kink and no derivative; torch gives all to the first,
# and so do we.
#
# **Predict.** With 3x3 windows at stride 2, neighbours overlap. What is the largest share of $\partial L/\partial y$
# that one cell can receive, if every $\partial L/\partial y_i$ is 1, for the mean and for the maximum?
#
# `F.unfold(x, k, stride=s)` writes the windows of one channel as columns, (B, k², H'W'); `F.fold(columns, (H, W), k, stride=s)`
# is the way back: it lays the columns on an empty canvas and *adds* where they overlap.
#
# <details><summary>Hint 1</summary>Make columns of shares, (B C, k², H' W'), and fold them. Treat each channel as a picture:
# <code>x.reshape(B * C, 1, H, W)</code>.</details>
# <details><summary>Hint 2</summary>Mean: <code>upstream.reshape(B * C, 1, -1).expand(-1, kernel**2, -1) / kernel**2</code>. Maximum:
# a 1 in each column, <code>torch.zeros_like(columns).scatter_(1, columns.argmax(dim=1, keepdim=True), 1)</code>, times
# <code>upstream</code>.</details>

# %% tags=["core", "exercise", "export"]
def avg_pool2d_gradient(x, upstream, kernel, stride=None):
    """Return dL/dx (B, C, H, W) of average pooling; upstream: dL/dy (B, C, H', W')."""
    (B, C, H, W), stride = x.shape, stride or kernel
    ### TODO: shares (B C, kernel², H' W')
    ### BEGIN SOLUTION
    shares = upstream.reshape(B * C, 1, -1).expand(-1, kernel**2, -1) / kernel**2
    ### END SOLUTION
    return F.fold(shares, (H, W), kernel, stride=stride).view(B, C, H, W)


def max_pool2d_gradient(x, upstream, kernel, stride=None):
    """Return dL/dx (B, C, H, W) of max pooling; upstream: dL/dy (B, C, H', W'); first of ties."""
    (B, C, H, W), stride = x.shape, stride or kernel
    columns = F.unfold(x.reshape(B * C, 1, H, W), kernel, stride=stride)  # (B C, kernel², H' W')
    ### TODO: shares (B C, kernel², H' W'): all for the winner
    ### BEGIN SOLUTION
    winner = torch.zeros_like(columns).scatter_(1, columns.argmax(dim=1, keepdim=True), 1)
    shares = winner * upstream.reshape(B * C, 1, -1)
    ### END SOLUTION
    return F.fold(shares, (H, W), kernel, stride=stride).view(B, C, H, W)


# %% tags=["core"]
avg_pool2d_gradient = checks.shrink_and_grow.avg_pool2d_gradient(avg_pool2d_gradient)
max_pool2d_gradient = checks.shrink_and_grow.max_pool2d_gradient(max_pool2d_gradient)
x, ones = torch.zeros(1, 1, 7, 7), torch.ones(1, 1, 3, 3)
x[0, 0, 2, 2] = 1  # where two rows and two columns of windows meet
for name, way in {"mean": avg_pool2d_gradient, "maximum": max_pool2d_gradient}.items():
    print(f"{name}: the largest share is {way(x, ones, kernel=3, stride=2).max().item():.3f}")

# %% [markdown] tags=["core"]
# A cell where two rows and two columns of windows meet belongs to four windows: in the gradient of pooling it gets 4/9
# for the mean, and 4 if it wins in all four. Average pooling spreads the blame, max pooling singles out.
#
# Sending back is a way from small to large. `F.fold(columns, (H, W), k, stride=s)` does it: it lays blocks of k x k, the
# columns, on an empty canvas and *adds where they overlap*.
#
# ## 4 Turn the convolution round
#
# Write a convolution as a matrix $A$ (lesson 12): $y = Ax$ turns a large picture into a small one. Then
# $A^\top$ turns small into large, and it has a meaning: the *adjoint*, the one map with
#
# $$ \langle A x, y \rangle = \langle x, A^\top y \rangle \quad \text{for all } x, y. $$
#
# The backward pass of every convolution computes it: $\partial L / \partial x = A^\top\, \partial L / \partial y$. What does
# it do? In one dimension, $(Ax)_i = \sum_u w_u\, x_{si + u - p}$. Put it in, and sort by $m = si + u - p$:
#
# $$ \langle Ax, y\rangle = \sum_i y_i \sum_u w_u\, x_{si+u-p}
#    = \sum_m x_m \underbrace{\sum_{i,\,u:\ si + u - p = m} w_u\, y_i}_{(A^\top y)_m} . $$
#
# Read the brace from the point of view of one small pixel $y_i$: it adds $w_0 y_i, w_1 y_i, \dots$ to the places
# from $si - p$ on. **It stamps the kernel, as strong as it is itself, and moves on by s.** With channels, each
# input channel has a stamp for each output channel:
#
# | symbol | variable | shape |
# |---|---|---|
# | $y$, the small picture | `x` | (B, C, H, W) |
# | $w$, the stamps | `weight` | (C, C', k, k) |
# | $A^\top y$, the large one | returned | (B, C', H', W') |
#
# Mind the order: (in, out) where a convolution's weight has (out, in). It *is* that weight; the direction has turned.

# %% tags=["deeper"]
A = F.conv1d(torch.eye(9)[:, None], torch.tensor([[[1.0, 2, 3]]]), stride=2)[:, 0].T  # (4, 9)
fig = plots.heatmap(
    A.T, xlabel="small pixel i", ylabel="large pixel m", ticks=(range(9), range(4)),
    caption="A convolution, kernel 1, 2, 3 and stride 2, transposed: each column is a stamp.",
)

# %% [markdown] tags=["core"]
# **The size.** The last of $n$ stamps begins at $(n-1)s - p$ and ends $k$ later, and $p$ is cut off at the far end too:
#
# $$ n' = (n - 1)\, s - 2p + k + o . $$
#
# Section 2 said why there is an $o$: with stride $s$, up to $s$ sizes shrink to the same $n$. `output_padding` $o < s$
# chooses among them: more rows at the bottom and columns at the right, where only the last stamps and the bias reach.
#
# Below the check the layer stamps for you to see: the kernel is a digit, the small picture has 3x8 pixels from dark to bright,
# and the stride, 16, is smaller than the kernel, 28.
#
# <details><summary>Hint 1</summary>Make columns, (B, C' k², H W), one per small pixel, and
# fold them. A column holds the stamps of all output channels, summed over the input channels.</details>
# <details><summary>Hint 2</summary><code>weight.flatten(1)</code> is (C, C' k²), <code>x.flatten(2)</code> is (B, C, H W):
# <code>columns = weight.flatten(1).T @ x.flatten(2)</code>. Then <code>F.fold(columns, size, kernel, stride=stride,
# padding=padding)</code>.</details>

# %% tags=["core", "export", "exercise"]
def conv_transpose2d(x, weight, bias=None, stride=1, padding=0, output_padding=0):
    """Stamp weight (C, C', k, k) for each pixel of x (B, C, H, W) -> (B, C', H', W').

    The adjoint of F.conv2d(..., weight): H' = (H - 1) stride - 2 padding + k + output_padding.
    """
    B, C, H, W = x.shape
    kernel = weight.shape[-2:]
    ### TODO: columns (B, C' k k, H W), the size (H', W'), and y = F.fold(...)
    ### BEGIN SOLUTION
    columns = weight.flatten(1).T @ x.flatten(2)
    shape = zip((H, W), kernel, strict=True)
    size = [(n - 1) * stride - 2 * padding + k + output_padding for n, k in shape]
    y = F.fold(columns, size, kernel, stride=stride, padding=padding)
    ### END SOLUTION
    return y if bias is None else y + bias[:, None, None]


# %% tags=["core"]
conv_transpose2d = checks.shrink_and_grow.conv_transpose2d(conv_transpose2d)
down = F.conv2d(cat, w, stride=4)  # A x, with the weights of section 1
y = torch.rand(down.shape, generator=generator, device=dev)
up = conv_transpose2d(y, w, stride=4, output_padding=1)
left, right = (down * y).sum().item(), (cat * up).sum().item()
print(f"on the cat: <A x, y> = {left:.2f}, <x, Aᵀy> = {right:.2f}")
assert abs(left - right) < 1e-3 * abs(left)
stamp = datasets.load(settings.data_name(), "test", size=1).float(dev)  # (1, 1, 28, 28)
small = torch.linspace(0.2, 1, 24, device=dev).view(1, 1, 3, 8)
stamped = conv_transpose2d(small, stamp, stride=16)
fig = plots.show_images(stamped, value_range=(0, stamped.max().item()), scale=3)

# %% [markdown] tags=["deeper"]
# So the gradient of average pooling is a transposed convolution, with a kernel of $1/k^2$. As a layer it learns its weights;
# torch draws the first ones, and the bias, uniformly from $\pm 1/\sqrt{C' k^2}$, and so do we.

# %% tags=["deeper", "export"]
class ConvTranspose2d(nn.Module):
    """Grow x (B, C, H, W) -> (B, C', H', W') by stamps that are learnt; the first ones as torch's.

    Parameters: weight (C, C', kernel, kernel), bias (C',) or None.
    """

    def __init__(self, channels, out, kernel, stride=1, padding=0, output_padding=0, bias=True):
        super().__init__()
        self.geometry = {"stride": stride, "padding": padding, "output_padding": output_padding}
        bound = (out * kernel**2) ** -0.5
        self.weight = nn.Parameter(torch.empty(channels, out, kernel, kernel))
        self.bias = nn.Parameter(torch.empty(out)) if bias else None
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def forward(self, x):
        return conv_transpose2d(x, self.weight, self.bias, **self.geometry)


# %% tags=["deeper"]
ConvTranspose2d = checks.shrink_and_grow.conv_transpose_layer(ConvTranspose2d)
small, box, large = torch.rand(5, 1, 4, 6), torch.ones(1, 1, 2, 2) / 4, torch.zeros(5, 1, 8, 12)
stamped = conv_transpose2d(small, box, stride=2)
assert torch.allclose(stamped, avg_pool2d_gradient(large, small, kernel=2))

# %% [markdown] tags=["core"]
# The stamped digits overlap and add up, each as bright as its pixel.
#
# ## 5 Get the size that you asked for
#
# You want to double, exactly: $n' = 2n$ for every $n$. With $s = 2$ the formula says $2n - 2 - 2p + k + o = 2n$, that
# is **$k = 2 + 2p - o$**. So $k = 4, p = 1$; or $k = 2, p = 0$; or, with the $o$ that an odd kernel needs,
# $k = 3, p = 1, o = 1$.
#
# **Predict.** A decoder goes 7 → 14 → 28 with kernel 3, padding 1, and somebody forgot `output_padding`. What is the size
# of its pictures?

# %% tags=["core", "nbval-check-output"]
for kernel, padding, extra in ((4, 1, 0), (2, 0, 0), (3, 1, 1), (3, 1, 0), (5, 2, 1)):
    x, weight, sizes = torch.zeros(1, 1, 7, 4), torch.zeros(1, 1, kernel, kernel), []
    for _ in range(3):
        sizes.append("x".join(map(str, x.shape[2:])))
        x = conv_transpose2d(x, weight, stride=2, padding=padding, output_padding=extra)
    print(f"kernel {kernel}, padding {padding}, output_padding {extra}:", " → ".join(sizes))

# %% [markdown] tags=["core"]
# 25, not 28: 7 → 13 → 25. Nothing fails until the loss compares it with a picture of 28. All other rows double.
#
# ## 6 Count the stamps on each pixel
#
# How many stamps cover pixel $m$? Those with $0 \le m - si < k$. As $i$ runs, $m - si$ takes the values that leave the
# same remainder as $m$ when divided by $s$, so the count is **the number of $u \in \{0, \dots, k-1\}$ with
# $u \equiv m \pmod s$**. Of $k$ numbers in a row, each remainder occurs $k/s$ times if $s$ divides $k$; if not, some
# remainders occur once more than others.
#
# **Predict.** With stride 2, away from the border and from an even pixel on: which pattern repeats for kernels 3, 4, 5, 2?
#
# <details><summary>Hint 1</summary>An empty line of $(n-1)s + k$ zeros; for each stamp, add 1 where it lies. (Or stamp ones with a
# kernel of ones.)</details>
# <details><summary>Hint 2</summary><code>counts[i * stride : i * stride + kernel] += 1</code> for each i</details>

# %% tags=["core", "export", "exercise"]
def overlap_counts(n, kernel, stride):
    """Return how many of n stamps lie on each cell of a line: int64 ((n - 1) stride + kernel,)."""
    ### TODO: zeros, and 1 more wherever a stamp lies
    ### BEGIN SOLUTION
    counts = torch.zeros((n - 1) * stride + kernel, dtype=torch.long)
    for i in range(n):
        counts[i * stride : i * stride + kernel] += 1
    return counts
    ### END SOLUTION


# %% tags=["core"]
overlap_counts = checks.shrink_and_grow.overlap_counts(overlap_counts)
maps = {}
for kernel in (3, 4, 5, 2):
    line = overlap_counts(12, kernel, stride=2)[6:22]  # from an even cell, away from the border
    print(f"kernel {kernel}: {line[:8].tolist()}")
    maps[f"kernel {kernel}"] = torch.outer(line, line)
fig = plots.show_images(
    torch.stack(list(maps.values())), value_range=(0, 9), columns=4, scale=9, labels=maps,
    caption="Stamps on each pixel, stride 2, from 0 (black) to 9 (white).",
)

# %% [markdown] tags=["core"]
# 2, 1, 2, 1 for kernel 3; 3, 2, 3, 2 for kernel 5; level for 4 and 2. In two dimensions the counts of rows and columns
# multiply, and the pattern becomes the **checkerboard** that spoils so many generated pictures (Odena and others 2016).
#
# But counts are not pictures; the stamps have weights. On a picture that is 1 everywhere, pixel $m$ receives the *sum* of
# the weights $w_u$ with $u \equiv m$. If the weights are drawn with variance $\sigma^2$, this sum has variance
# $\sigma^2$ times the count.
#
# **Predict.** Which of the sizes 3 and 4 turns the constant picture into one without any pattern, if the kernel is random?

# %% tags=["core"]
shown = {}
for kernel in (3, 4, 5, 2):
    weight = torch.randn(1, cfg.draws, kernel, kernel, generator=generator, device=dev)
    grown = conv_transpose2d(torch.ones(1, 1, 9, 9, device=dev), weight, stride=2)[0]
    grown = grown[:, 4:16, 4:16]  # away from the border
    power = grown[:, :2, :2].square().mean(dim=0)  # of the four places of one period
    counts = overlap_counts(9, kernel, 2)[4:6]
    print(f"kernel {kernel}: mean square {[round(v, 1) for v in power.flatten().tolist()]}", end="")
    print(f", counts {torch.outer(counts, counts).flatten().tolist()}")
    unfairness = (power.cpu() / torch.outer(counts, counts) - 1).abs().max()
    assert unfairness < profile(smoke=0.6, standard=0.2)
    shown[f"kernel {kernel}"] = 0.5 + grown[:6] / (2 * grown[:6].abs().amax((1, 2), True))
weight = torch.randn(1, 1, 3, 3, generator=generator, device=dev)
spread = F.conv2d(torch.ones(1, 1, 18, 18, device=dev), weight).std().item()
print(f"a constant grown by nearest (a constant), then a random 3x3: spread {spread:.0e}")
caption = "A constant picture through six random kernels of each size (each scaled; grey is 0)."
fig = plots.compare(shown, value_range=(0, 1), scale=4, caption=caption)

# %% [markdown] tags=["core"]
# Neither. On average over kernels, size 4 is fair to all four places and size 3 is not, as the counts say. But
# *each single* kernel of size 4 or 2 draws a pattern too, for its four sums of weights are four different numbers.
# A divisible size removes the *built-in* bias; it does not forbid a checkerboard. What forbids it is to grow first, without
# weights, and convolve then: a convolution has only one sum of weights.
#
# On the photograph: stamps of equal weights, divided by their mean count, so that the brightness stays.

# %% tags=["core"]
def stamp_equal(x, kernel, stride=2, padding=0):
    """Grow each channel of x (B, C, H, W) in [0, 1] by equal stamps; clamped to [0, 1]."""
    B, C, H, W = x.shape
    weight = torch.full((1, 1, kernel, kernel), stride**2 / kernel**2, device=x.device)
    grown = conv_transpose2d(x.reshape(B * C, 1, H, W), weight, stride=stride, padding=padding)
    return grown.clamp(0, 1).view(B, C, *grown.shape[-2:])


eye = avg_pool2d(cat, 2)[..., 26:58, 8:56]  # (1, 3, 32, 48)
grown = [stamp_equal(eye, k, padding=(k - 1) // 2)[..., :62, :94] for k in (3, 4, 5, 2)]
fig = plots.show_images(
    torch.cat(grown), value_range=(0, 1), columns=2, scale=3, labels=maps,
    caption="The cat's eye, 32x48, grown by equal stamps at stride 2. The border has fewer stamps.",
)

# %% [markdown] tags=["core"]
# The counts of 3 and 5 lie on the cat as a grid; 4 and 2 leave none. (Kernel 4's dark top line is the border.)
#
# ## 7 Grow without stamps: shuffle the channels
#
# A second way keeps all work on the small picture: an ordinary convolution computes $r^2$ channels for each one
# that is wanted, and they are sorted into an $r \times r$ block (Shi and others 2016, equation 4; here in torch's order of
# the channels):
#
# $$ y_{c,\; ri + a,\; rj + b} = x_{\,c r^2 + a r + b,\; i,\; j} \qquad 0 \le a, b < r . $$
#
# No number is computed, only moved. Yet a 3x3 convolution and a shuffle by r are *one* transposed convolution: kernel 3r,
# stride r (exercise D). Read the channel index as three digits $(c, a, b)$ and the row index as two, $(i, a)$.
#
# <details><summary>Hint 1</summary><code>x.view(B, C, r, r, H, W)</code> has the axes c, a, b, i, j behind the batch. In which
# order does the result want them?</details>
# <details><summary>Hint 2</summary>c, i, a, j, b: <code>permute(0, 1, 4, 2, 5, 3)</code>, then reshape to (B, C, H r, W r).</details>

# %% tags=["core", "export", "exercise"]
def pixel_shuffle(x, r):
    """Sort channels into blocks: x (B, C r², H, W) -> (B, C, H r, W r). Shi et al., eq. 4."""
    B, C, H, W = x.shape
    C = C // r**2
    ### TODO: split the channels into (C, r, r), move each r behind its axis, join
    ### BEGIN SOLUTION
    return x.view(B, C, r, r, H, W).permute(0, 1, 4, 2, 5, 3).reshape(B, C, H * r, W * r)
    ### END SOLUTION


# %% tags=["core"]
pixel_shuffle = checks.shrink_and_grow.pixel_shuffle(pixel_shuffle)

# %% [markdown] tags=["deeper"]
# ## 8 Let them learn, and measure
#
# Four layers that double a picture start from random weights and learn to undo `avg_pool2d(x, 2)` on patches of
# photographs, from -0.5 (black) to 0.5 (white). The measures: PSNR in decibels, $-10 \log_{10}$ of the mean squared error, on
# scenes never trained on, beside two enlargements that learn nothing; and the **texture**, the spread in what a layer makes
# of a white picture, divided by the mean's size. The border is left out.
#
# **Predict.** Which layer has no texture before training? Will training remove that of the others? Which will beat bilinear?

# %% tags=["deeper"]
def growers():
    """Return new layers that double x (B, 1, H, W), by name."""
    nearest = nn.Upsample(scale_factor=2)
    return {
        "stamps 3x3": ConvTranspose2d(1, 1, 3, stride=2, padding=1, output_padding=1),
        "stamps 4x4": ConvTranspose2d(1, 1, 4, stride=2, padding=1),
        "nearest, then 3x3": nn.Sequential(nearest, nn.Conv2d(1, 1, 3, padding=1)),
        "3x3, then shuffle": nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.PixelShuffle(2)),
    }


def error(layer, x):
    """Return the mean squared error of undoing avg_pool2d(x, 2), the border left out."""
    return (layer(avg_pool2d(x, 2)) - x)[..., 4:-4, 4:-4].square().mean()


def texture(layer):
    """Return the spread over one period, divided by |mean|, of what a layer makes of white (0.5)."""
    flat = layer(torch.full((1, 1, 12, 12), 0.5, device=dev)).detach()[0, 0, 8:10, 8:10]
    return (flat.std() / flat.mean().abs()).item()


# %% tags=["deeper"]
def train_grower(layer, cfg, images, generator):
    """Train a layer to undo avg_pool2d(x, 2) on images (N, 1, H, W) in +-0.5."""
    optimiser = torch.optim.Adam(layer.parameters())
    batches = datasets.batches(images, batch_size=cfg.batch_size, generator=generator)
    with training.progress(cfg.steps) as run:
        for _, (x,) in zip(run, batches, strict=False):
            optimiser.param_groups[0]["lr"] = cfg.lr * (1 - run.fraction)
            loss = error(layer, x)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            run.log(loss=loss)


photos, photos_test = (
    datasets.load("photos", s, patch=64, grey=True).float(dev, (-0.5, 0.5)) for s in datasets.SPLITS
)
plain = {kind: nn.Upsample(scale_factor=2, mode=kind) for kind in ("nearest", "bilinear")}
learnt, before = growers(), {}
for name, layer in learnt.items():
    before[name] = texture(layer.to(dev))
    train_grower(layer, cfg, photos, generator)
    print(f"{name}: texture {before[name]:.3f} before training, {texture(layer):.3f} after")

# %% tags=["deeper"]
with torch.no_grad():
    errors = {name: error(layer, photos_test) for name, layer in (plain | learnt).items()}
psnr = {name: -10 * value.log10().item() for name, value in errors.items()}
ends = min(psnr.values()) - 0.5, max(psnr.values()) + 0.5
fig = plots.bars(psnr, ylabel="PSNR in dB on new photographs", value_range=ends)
assert before["nearest, then 3x3"] < 1e-4 < min(before["stamps 3x3"], before["stamps 4x4"])
if settings.profile_name() != "smoke":
    assert all(texture(layer) < max(0.05, 0.1 * before[name]) for name, layer in learnt.items())
    assert psnr["nearest"] < psnr["stamps 3x3"] == min(map(psnr.get, learnt)) < psnr["bilinear"]
    close = [psnr[name] for name in ("bilinear", "stamps 4x4", "nearest, then 3x3")]
    assert max(close) - min(close) < 0.3 and psnr["3x3, then shuffle"] > max(close) + 0.5

# %% [markdown] tags=["deeper"]
# Only the layer that grows without weights has none, and training all but removes that of the others. All four beat
# nearest, but only convolution and shuffle beats bilinear clearly: "stamps 4x4" and "nearest, then 3x3" end close to it,
# "stamps 3x3" below.
#
# Those two are close relatives. Nearest enlargement is a stamp of 2x2 ones, and two stampings in a row are one: a **4x4
# stamp** made of nine numbers, whose four sums are all $\sum w$. Convolution and shuffle is a 6x6 stamp (exercise D).

# %% [markdown] tags=["core"]
# ## 9 Play
#
# Choose a kernel, a stride and a padding. Left: how many stamps lie on each pixel, brightest where most do. Right: the
# eye, grown by equal stamps or by one random kernel. **Find** three settings without any pattern under equal stamps, and
# a stride with a kernel smaller than it: what do you see between the stamps?

# %% tags=["core"]
def grow_eye(kernel, stride, padding, stamps):
    """Show the overlap counts and the eye, grown as the controls say; the caption has the sizes."""
    small = eye[..., :28]
    ones = torch.ones(1, 1, kernel, kernel, device=dev)
    counts = conv_transpose2d(torch.ones_like(small[:, :1]), ones, stride=stride, padding=padding)
    draw = torch.rand(ones.shape, generator=device.generator(kernel, dev), device=dev)
    weight = ones if stamps == "equal" else draw
    weight = weight * torch.minimum(stride**2 / weight.sum(), 1 / weight.max())
    grown = conv_transpose2d(small.transpose(0, 1), weight, stride=stride, padding=padding)
    tiles = torch.stack([(counts / counts.max())[0].expand(3, -1, -1), grown[:, 0].clamp(0, 1)])
    sizes = [output_size(n, kernel, stride, padding) for n in grown.shape[-2:]]
    return plots.show_images(
        tiles, value_range=(0, 1), columns=2, scale=max(1, 250 // grown.shape[-1]),
        caption=f"32x28 → {grown.shape[2]}x{grown.shape[3]}; back by the convolution: "
        f"{sizes[0]}x{sizes[1]}. Stamps on a pixel: {counts.min():.0f} to {counts.max():.0f}.",
    )


scales = {"kernel": (1, 7, 3), "stride": (1, 4, 2), "padding": (0, 3, 0)}
controls = [explore.slider(name, *scale) for name, scale in scales.items()]
explore.View(grow_eye, [*controls, explore.choice("stamps", ["equal", "random"])])

# %% [markdown] tags=["deeper"]
# ## 10 Break it on purpose
#
# **The gradient shared among ties.** `amax` and `max(dim)` return the same numbers; torch spreads the gradient of `amax`
# evenly over all cells that tie. A matter of taste, you might think: with real numbers ties hardly ever happen. A digit
# on black paper is not made of such numbers.
#
# **Predict.** In which share of the 2x2 windows of the digits do at least two cells tie for the maximum?
#
# **A generator with pooling in it (D8).** Somebody builds a generator from the blocks of a classifier: convolve, rectify, pool,
# three times, starting from a 7x7 picture, and wants 28x28.
#
# **Predict.** What comes out of the first block, the second, the third?

# %% tags=["deeper"]
digits = datasets.load(settings.data_name(), "test", size=500).float()
cells = windows(digits, 2, 2).flatten(-2)
tied = (cells == cells.amax(-1, keepdim=True)).sum(-1) > 1
black = (cells == 0).all(-1)[tied].double().mean().item()
print(f"windows with a tie: {tied.double().mean().item():.0%}; of these all black: {black:.0%}")
for name, pool in {"max": max_pool2d, "amax": lambda x, k: windows(x, k, k).amax((-2, -1))}.items():
    x = digits.clone().requires_grad_()
    pool(x, 2).sum().backward()
    print(f"{name}: {(x.grad > 0).double().mean().item():.0%} of the pixels get some gradient")
sizes = [7]
while sizes[-1] > 0:
    sizes.append(output_size(sizes[-1], kernel=2, stride=2))
print("generator with pooling:", " → ".join(map(str, sizes)))

# %% [markdown] tags=["deeper"]
# Most windows tie, nearly all of them black: there `amax` hands out gradient to four pixels where `max` picks one.
# Both are legal; a comparison with torch's gradients fails, and the check says why. And pooling takes the
# generator from 7x7 to a single pixel, then to nothing: the third block cannot run at all. A generator has a layer of
# sections 4 to 7 in the place of the pooling.

# %% [markdown] tags=["deeper"]
# ## 11 Exercises
#
# **A. Predict (★, 5 minutes).** The layer is often called "deconvolution". Take a picture $x$, a convolution $A$ with stride
# 1 and a blurring kernel, and compute $A^\top A x$. Is it $x$?
#
# <details><summary>Hint 1</summary>What does the kernel do to a single bright pixel, and what does the stamp do with the
# result?</details>
# <details><summary>Hint 2</summary>An orthogonal matrix has its transpose as its inverse. Is blurring orthogonal?</details>

# %% tags=["deeper"]
line = torch.tensor([1.0, 4, 6, 4, 1], device=dev) / 16
kernel, grey = torch.outer(line, line)[None, None], cat[:, :1, 60:124, 20:116]
blurred = F.conv2d(grey, kernel, padding=2)
back = conv_transpose2d(blurred, kernel, padding=2)
fig = plots.compare({"x": grey, "A x": blurred, "AᵀA x": back}, value_range=(0, 1), scale=3)
once, twice = ((picture - grey).norm().item() for picture in (blurred, back))
print(f"distance from x: A x {once:.2f}, AᵀA x {twice:.2f}")
assert twice > once

# %% [markdown] tags=["deeper"]
# <details><summary>Answer to A</summary>It is blurred twice: the stamp of a blurring kernel blurs again. The transpose sends
# every value back to where it came from; it does not undo the sum. It restores the <em>size</em>, not the picture.</details>
#
# **B. Modify (★★, 10 minutes).** Kernel 3 does not divide by stride 2, and yet there is a 3x3 kernel that grows every constant
# picture to a constant one. Find the one that is also the same when mirrored, so that the picture does not move.
#
# <details><summary>Hint 1</summary>Start in one dimension. Which weights fall on the pixels with one stamp, which on those with
# two? Both sums must be 1.</details>
# <details><summary>Hint 2</summary>In one dimension: w₁ = 1 and w₀ + w₂ = 1, mirrored: (½, 1, ½). In two: the outer product
# with itself.</details>

# %% tags=["deeper", "exercise", "export"]
def smooth_kernel():
    """Return the mirrored stamp (3, 3) that keeps a constant picture constant at stride 2."""
    ### TODO: the four sums of weights that share a place must each be 1
    ### BEGIN SOLUTION
    line = torch.tensor([0.5, 1.0, 0.5])
    return torch.outer(line, line)
    ### END SOLUTION


# %% tags=["deeper"]
smooth_kernel = checks.shrink_and_grow.smooth_kernel(smooth_kernel)

# %% [markdown] tags=["deeper"]
# You have found bilinear interpolation: a transposed convolution can start its life as that, and some networks do.
#
# **C. Debug (★★, 10 minutes).** The way back, which gathers each $r \times r$ block into $r^2$ channels and loses nothing. This
# version runs, and its result even has the right shape if H = W, but is wrong (D10). What does `pixel_shuffle` make of it?
# Which pictures show the mistake? Then write it right.
#
# ```python
# def space_to_depth(x, r):
#     B, C, H, W = x.shape
#     x = x.reshape(B, C, W // r, r, H // r, r)
#     return x.permute(0, 1, 5, 3, 4, 2).reshape(B, C * r * r, W // r, H // r)
# ```
#
# <details><summary>Hint 1</summary>With H ≠ W look at the shape. With H = W, is <code>pixel_shuffle(space_to_depth(x, 2), 2)</code>
# x, or its transpose?</details>
# <details><summary>Hint 2</summary>View as (B, C, H/r, r, W/r, r): the axes c, i, a, j, b. The result wants c, a, b, i, j.</details>

# %% tags=["deeper", "exercise", "export"]
def space_to_depth(x, r):
    """Undo pixel_shuffle: x (B, C, H r, W r) -> (B, C r², H, W)."""
    B, C, H, W = x.shape
    ### TODO: the function above with its axes in the right order
    ### BEGIN SOLUTION
    x = x.reshape(B, C, H // r, r, W // r, r)
    return x.permute(0, 1, 3, 5, 2, 4).reshape(B, C * r**2, H // r, W // r)
    ### END SOLUTION


# %% tags=["deeper"]
space_to_depth = checks.shrink_and_grow.space_to_depth(space_to_depth)

# %% [markdown] tags=["deeper"]
# **D. Build (★★★, 20 minutes).** A 3x3 convolution followed by pixel shuffle *is* a transposed convolution with stride r (Shi and
# others 2016b). Derive its kernel. How large is it, and does r divide its size?
#
# In one dimension: $y_{ri + a} = \sum_u w_{a,u}\, x_{i+u-1}$. So the small pixel $x_n$ reaches $y_{r(n - u + 1) + a}$ for
# $u = 0, 1, 2$: that is its stamp.
#
# <details><summary>Hint 1</summary>With padding r the stamp of x_n begins at r(n - 1). Then the place r(n - u + 1) + a is number
# r(2 - u) + a of the stamp: blocks of r, the convolution's kernel back to front.</details>
# <details><summary>Hint 2</summary><code>weight.view(C', r, r, C, 3, 3).flip(-1, -2)</code> has the axes c', a, b, c, u, v; the stamp wants
# c, c', u, a, v, b.</details>

# %% tags=["deeper", "exercise", "export"]
def shuffle_kernel(weight, r):
    """Return the stamp (C, C', 3 r, 3 r) that equals a 3x3 convolution and a pixel shuffle by r.

    weight: (C' r², C, 3, 3), used with padding 1. The stamp is used with stride r and padding r.
    """
    out, C = weight.shape[0] // r**2, weight.shape[1]
    ### TODO: split the output channels, turn the kernel round, interleave
    ### BEGIN SOLUTION
    blocks = weight.view(out, r, r, C, 3, 3).flip(-1, -2)
    return blocks.permute(3, 0, 4, 1, 5, 2).reshape(C, out, 3 * r, 3 * r)
    ### END SOLUTION


# %% tags=["deeper"]
shuffle_kernel = checks.shrink_and_grow.shuffle_kernel(shuffle_kernel)

# %% [markdown] tags=["core"]
# ## 12 To discuss, and to keep
#
# <details><summary><b>Question C9.</b> "A transposed convolution with kernel 2 and stride 2 draws a checkerboard, because 2 is not
# divisible by 2." Right?</summary>No. 2 is divisible by 2, and every pixel lies under exactly one stamp. But one stamp has four
# different weights, so a pattern can be learnt all the same; it is not built in.</details>
# <details><summary><b>Question D8.</b> A paper describes a generator that "alternates convolution and pooling to produce a
# large image". What do you ask its author?</summary>Where it grows. Pooling and strided convolution shrink; without a transposed
# convolution, an enlargement or a shuffle somewhere the sizes cannot be true.</details>
# <details><summary><b>Question.</b> Max pooling with 2x2 windows: the picture moves by one pixel. Does the result move by half a
# pixel? And by two pixels?</summary>By two: the result moves by exactly one. By one: other cells share a window, and the result is
# a different picture, the aliasing of section 1.</details>
#
# **Summary**
#
# - $\lfloor (n + 2p - k)/s \rfloor + 1$ on the way down, $(n-1)s - 2p + k + o$ on the way up; kernel 4, stride 2, padding 1
#   halves and doubles exactly.
# - A stride keeps every s-th result. What is too fine for the small picture comes back as something that was never there,
#   unless a blur went before.
# - The gradient of average pooling spreads evenly, that of max pooling goes to the winner; both add up where windows overlap.
# - A transposed convolution stamps its kernel once for each pixel of the small picture. Stamps of size k, s apart, cover
#   the large picture evenly only if s divides k.
# - It is the adjoint of the convolution, not its inverse. Growing first and convolving then, or shuffling channels, are the
#   alternatives; only the former keeps a constant constant by construction;
#   after a 3x3 convolution, the latter is a transposed convolution.
#
# **Later lessons import** `ConvTranspose2d` (the generators and decoders), `max_pool2d`, `avg_pool2d`, `pixel_shuffle` and
# `output_size`. **Limits:** one stride for both axes, no dilation, no groups; pooling without padding.
#
# **Papers.** Dumoulin and Visin (2016), *A guide to convolution arithmetic for deep learning*, sections 2 and 4 · Odena, Dumoulin
# and Olah (2016), *Deconvolution and checkerboard artifacts*, Distill · Shi et al. (2016), *Real-time single image and video
# super-resolution using an efficient sub-pixel convolutional neural network*, section 3 · Shi et al. (2016b), *Is the
# deconvolution layer the same as a convolutional layer?* · Zhang (2019), *Making convolutional networks shift-invariant again*,
# section 3.
