# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown] tags=["core", "workshop"]
# # 54 Enlarge a photograph
#
# You will build the interpolations of every image program, then a network that starts as the cubic one and learns the detail that it cannot know, and
# see what looking sharp costs. (Codes such as E3 number mistakes found in real code.)
#
# ![Parts of test photographs at a third of their size, enlarged by repeating, by cubic interpolation and by the network of this lesson, and the truth](../data/pictures/54-028.png)
#
# | | |
# |---|---|
# | **You need** | lessons 12 and 13 (pixel shuffle), 15 (judges), 20 (a critic's loss), 50 (PSNR), 51 (training loop, residual blocks) |
# | **Time** | 60 minutes for the core, 80 more for the rest; the notebook itself runs in 2 minutes on two cores |
# | **Machine** | no GPU, no network, 1 GB of memory |
#
# Afterwards you can
#
# 1. derive nearest, linear and cubic interpolation as one matrix for each axis, and say where a pixel *is*,
# 2. shrink a picture without false patterns and without moving it,
# 3. write a network that works at the small size, and say what that saves,
# 4. tell a picture that is near the truth from one that looks like a photograph, and trade one for the other,
# 5. (deeper) enlarge in tiles without seams, and say why a network fails on another camera.
#
# > **Remember.** A network learns to undo the shrinking that it was shown. By PSNR the best answer is the mean of all large pictures that shrink to the
# > same small one; a sharper one is a guess.

# %% tags=["core", "workshop", "export"]
import copy
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import checks, datasets, device, explore, images, judges, metrics, plots, trained
from course_lib.built import damage, denoising, features  # written in lessons 50, 51 and 15
from course_lib.built.gan import follow  # in 20
from course_lib.built.stable_gans import conv3  # in 24
from course_lib.settings import profile


@dataclass
class Config(denoising.Config):
    """The numbers of lesson 54, those of lesson 51 but for:"""

    steps: int = profile(smoke=3, standard=250, full=10000)
    side: int = 72  # pixels of a large training patch, a multiple of 2 and 3
    lr: float = 3e-3  # the highest


# %% [markdown] tags=["core", "workshop"]
# ## 1 Repeat the pixels
#
# A photograph $y$ has $n$ rows; $m = 3n$ are wanted. Simplest: each pixel becomes a block.
#
# **Predict.** Which parts will look worst: flat ones, edges, fine texture?

# %% tags=["core", "workshop"]
cfg, dev, rng = Config(), device.pick_device(), device.generator(Config.seed)
side = profile(smoke=48, standard=192)
test = torch.cat([*damage.crops(damage.TEST, side).values()])  # never trained on
corners = {3: (0.2, 0.3), 4: (0.33, 0.54), 6: (0.24, 0.22)}  # of details: face, sleeve, eye


def details(rows, d=int(0.35 * side)):  # of three test crops, row by row
    rows = {name: torch.stack([x[k, :, int(i * side) :, int(j * side) :][:, :d, :d].clamp(0, 1)
                               for k, (i, j) in corners.items()]) for name, x in rows.items()}
    return plots.compare(rows, value_range=(0, 1), scale=2)


fig = details({"repeated": F.interpolate(F.avg_pool2d(test, 3), scale_factor=3), "true": test})

# %% [markdown] tags=["core", "workshop"]
# Edges: they become stairs. Flat parts stay right; fine texture is gone in any case, averaged away. So there are two
# tasks: values *between* pixels that fit their neighbours (interpolation, sections 2 to 4), and what is lost, to be *guessed* from what photographs are like.
#
# ## 2 Interpolation: one kernel
#
# Put every pixel's value at its middle, and spread it by a kernel $k$: the picture between the pixels is $f(s) = \sum_i y_i\, k(s - i)$. That is a convolution with $k$ after
# zeros were inserted between the pixels. Three kernels:
#
# - **box**: 1 where $-\frac12 < t \le \frac12$. The nearest pixel counts: our blocks.
# - **tent**: $1 - |t|$ up to 1. A straight line from pixel to pixel.
# - **cubic** (Keys 1981): smooth. On $[0, 1]$ and $[1, 2]$ a cubic polynomial each, even in $t$, 0 beyond 2.
#
# What do we ask of the cubic? The pixels themselves are kept: $k(0) = 1$, $k(1) = k(2) = 0$. No kinks: the slopes meet, 0 at 0 (it is even), 0 at 2, and some slope $a$ at 1. Write the outer piece with $k(2) = k'(2) = 0$ and $k(1) = 0$: only $c\,(t - 1)(t - 2)^2$ is
# left, whose slope at 1 is $c$. So
#
# $$ k(t) = a\,(t - 1)(t - 2)^2 \quad (1 < t < 2), \qquad k(t) = (a + 2)\,t^3 - (a + 3)\,t^2 + 1 \quad (0 \le t \le 1). $$
#
# (The inner piece: $A t^3 + B t^2 + 1$, since its slope at 0 is 0; $k(1) = 0$ says $A + B = -1$, the slope at 1 says $3A + 2B = a$.)
#
# **Which $a$?** A ramp $y_i = i$ should stay one. At a pixel the slope of $f$ is $\sum_j y_j\, k'(i - j)$, and $k'$ is $a$ at 1, $-a$ at $-1$, else 0: $-a\,(y_{i+1} - y_{i-1}) = -2a$. So $a = -\frac12$; between pixels a cubic piece is fixed by two values and two slopes, so it is the line there, too. Programs differ: some take $-0.75$, a little sharper. With any $a$ the four weights around a place sum to 1.
#
# | symbol | variable | shape |
# |---|---|---|
# | $y$; $x$; $\hat x$ | `y`; `x`; `x_hat` | (B, C, H, W), small; (B, C, rH, rW), large; in $[0, 1]$ |
# | $r$ | `factor` | how many times larger: 2, 3 |
# | $k(t)$, $a$ | `cubic(t, a)` | any shape; number |
# | $n$, $m$; $R$ | `n`, `m`; `resize_matrix(n, m)` | numbers; (m, n) |
# | $s_j$ | `centre` | (m,), in pixels of the old row |
#
# **Your turn (★, 5 min).** Write the kernel.
#
# <details><summary>Hint 1</summary>The formulas hold for t of 0 and more; the kernel is even. Leave the given t as it is.</details>
# <details><summary>Hint 2</summary><code>t = t.abs()</code>, the two pieces, then <code>torch.where(t <= 1, near, torch.where(t < 2, far, 0))</code>.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def cubic(t, a=-0.5):
    """Return the cubic kernel at distances t (any shape). Keys (1981), equation 15 for a = -1/2."""
    ### TODO: the piece up to 1, the piece up to 2, and 0 beyond; t may be negative
    ### BEGIN SOLUTION
    t = t.abs()
    near = (a + 2) * t**3 - (a + 3) * t**2 + 1
    far = a * (t - 1) * (t - 2) ** 2
    return torch.where(t <= 1, near, torch.where(t < 2, far, 0))
    ### END SOLUTION


# %% tags=["core", "workshop"]
cubic = checks.super_resolution.cubic(cubic)
t = torch.linspace(-2.5, 2.5, 201)
kernels = {"box": lambda t: ((t > -0.5) & (t <= 0.5)).to(t), "cubic": cubic,
           "tent": lambda t: (1 - t.abs()).clamp(0), "cubic, -0.75": lambda t: cubic(t, -0.75)}
fig = plots.curves({n: (t, k(t)) for n, k in kernels.items()}, xlabel="t, pixels", ylabel="k(t)")

# %% [markdown] tags=["core", "workshop"]
# Only the cubics go below 0. That steepens edges, and can leave black and white behind: clamp results.
#
# ## 3 Where is a pixel? A matrix for each axis
#
# Pixel $i$ is not a point: it covers the stretch from $i$ to $i + 1$, and its middle is $i + \frac12$. If $n$ pixels become $m$ over the same length, the middle of the new pixel $j$ lies, counted in old pixels, at $(j + \frac12)\frac nm$, so between the old *numbers* at
#
# $$ s_j = \left(j + \tfrac12\right) \frac nm - \tfrac12 . $$
#
# The two halves are forgotten in a lot of code: the whole picture is then shifted by $\frac12 \left(\frac nm - 1\right)$ old pixels (and PyTorch's `align_corners=True` is yet another convention).
#
# Row $j$ of the matrix $R$ holds $k(s_j - i)$, divided by the row's sum: so a constant stays constant, at the border too, where part of the kernel falls outside, and when the kernel is stretched (below). Rows and columns are resized one after the other: $\hat x = R_H\, y\, R_W^\top$.
#
# **When it shrinks**, $n > m$, a new pixel covers many old ones. A kernel two pixels wide would leave most of them out, and stripes finer than the new pixels come back as false, coarse ones: **aliasing**. So the kernel is *stretched* by $n / m$: weights $k\big((s_j - i)\, m / n\big)$.
#
# **Your turn (★★, 8 min).** Write $R$.
#
# <details><summary>Hint 1</summary>A column of m middles minus a row of n numbers gives all distances (m, n). The stretch is n / m if that is above 1 and antialias is asked for, else 1.</details>
# <details><summary>Hint 2</summary><code>centre = (torch.arange(m).double() + 0.5) * ___ - 0.5</code>; <code>weights = kernel((centre[:, None] - torch.arange(n)) / ___)</code>; divide by <code>weights.sum(dim=1, keepdim=True)</code>.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def resize_matrix(n, m, kernel=cubic, antialias=True):
    """Return R (m, n), float64, to resize n pixels to m; shrinking stretches the kernel by n/m."""
    ### TODO: middles of the m new pixels, distances to the n old ones, weights whose rows sum to 1
    ### BEGIN SOLUTION
    centre = (torch.arange(m).double() + 0.5) * n / m - 0.5
    stretch = max(n / m, 1) if antialias else 1
    weights = kernel((centre[:, None] - torch.arange(n)) / stretch)
    return weights / weights.sum(dim=1, keepdim=True)
    ### END SOLUTION


def require(x, least=1, **whole):
    """Refuse what is no picture near [0, 1], sides below least, and knobs not whole or below 1."""
    damage.require_pictures(x)
    damage.refuse(x.abs().max() > 8, "Pictures are in 0 to 1: divide bytes by 255 first.")
    wrong = {name: n for name, n in whole.items() if not isinstance(n, int) or n < 1}
    damage.refuse(wrong, f"Whole numbers from 1 on are wanted, not {wrong}.")
    damage.refuse(min(x.shape[2:]) < least, f"{[*x.shape]} is too small to shrink by {least}.")


def resize(x, height, width, kernel=cubic, antialias=True):
    """Return x (B, C, H, W) resized to (B, C, height, width); a cubic may leave x's range."""
    require(x, height=height, width=width)
    (H, W), options = x.shape[2:], (kernel, antialias)
    rows, columns = resize_matrix(H, height, *options), resize_matrix(W, width, *options)
    return rows.to(x) @ x @ columns.to(x).T


def enlarged(y, factor, kernel=cubic):
    """Return y (B, C, H, W) by interpolation as (B, C, factor H, factor W)."""
    require(y, factor=factor)
    return resize(y, factor * y.shape[2], factor * y.shape[3], kernel)


# %% tags=["core", "workshop", "export"]
def shrunk(x, factor, kernel=cubic):
    """Return x (B, C, H, W) as (B, C, H / factor, W / factor); CourseError for other multiples."""
    require(x, factor, factor=factor)
    damage.refuse(any(n % factor for n in x.shape[2:]), f"Crop to multiples of {factor} first.")
    return resize(x, x.shape[2] // factor, x.shape[3] // factor, kernel)


def luma_psnr(x, x_hat, border=4):
    """Return the PSNR (B,) in dB of x_hat (B, C, H, W), clamped, in grey, without a border."""
    damage.require_pictures(x, x_hat)
    H, W = x.shape[2:]
    damage.refuse(not 0 <= 2 * border < min(H, W), f"{H} x {W} is too small for border {border}.")
    luma = torch.tensor(images.LUMA if x.shape[1] == 3 else [1.0]).to(x)[:, None, None]
    pair = ((luma * z).sum(dim=1, keepdim=True) for z in (x, x_hat.clamp(0, 1)))
    inner = (z[..., border : H - border, border : W - border] for z in pair)
    return damage.psnr(*inner, data_range=1)


# %% tags=["core", "workshop"]
resize_matrix = checks.super_resolution.resize_matrix(resize_matrix)

# %% [markdown] tags=["core", "workshop"]
# The same word, "bicubic", and two kernels within one library: PyTorch takes $a = -\frac12$ with `antialias=True` and $-0.75$ without (the check compares both), also repeating border pixels, where we leave out what is missing.
#
# ## 4 Shrink precisely, measure precisely
#
# An enlarger is judged on pairs: $x$, and $y$ made from it by shrinking. So *how* it was shrunk belongs to the task. Ours is the literature's: cubic, antialiased, centred (but neither rounded nor clamped).
#
# **The ruler**, too, has a protocol (E3): luma (grey), clamped to $[0, 1]$, 4 pixels at the border left out: `luma_psnr` above.
#
# **Predict.** Three ways to shrink by 3: ours; every third pixel; and ours with the halves of $s_j$ left out. Which costs most, when the cubic enlarges again?

# %% tags=["core", "workshop"]
tiny = shrunk(test, 3)  # the y of x3 from here on
ways = {"ours": tiny, "every third": test[..., 1::3, 1::3],
        "halves forgotten": shrunk(F.pad(test, (1, 0, 1, 0), mode="replicate")[..., :-1, :-1], 3)}
for name, y in ways.items():
    print(f"x3 {name:17} then cubic: {luma_psnr(test, enlarged(y, 3)).mean():.2f} dB")
ways = {name: y[[0, 3, 4]].clamp(0, 1) for name, y in ways.items()}
ways["difference to ours"] = (0.5 + ways["halves forgotten"] - ways["ours"]).clamp(0, 1)
fig = plots.compare(ways, value_range=(0, 1), scale=3)

# %% [markdown] tags=["core", "workshop"]
# Every third pixel makes jagged lines and specks: what is too fine for the small picture comes back as something else. Forgotten halves are hard to *see*, though the difference (last row) lights up at every edge, and cost more than twice as much: PSNR compares pixel by pixel.
#
# A number travels with its protocol. From here on the **baseline** is the cubic, $a = -\frac12$, as in the literature.
#
# ## 5 Enlarge first, or last?
#
# **SRCNN** (2014) enlarges by interpolation, then repairs the large picture: three convolutions, $9 \times 9$, $1 \times 1$, $5 \times 5$. **ESPCN** (2016) does all of its work on the *small* picture and ends in $r^2$ channels that a pixel shuffle (lesson 13) sorts into the large one. A layer
# of $w$ weights costs $w$ products a place, and the large picture has $r^2$ times as many: 9 times dearer at $r = 3$. The saving buys depth: **residual blocks**.
#
# And the third idea: let the network find only what is *missing*,
#
# $$ \hat x = \text{cubic}(y) + \text{shuffle}(\text{body}(y)) , $$
#
# with the last layer at zero. It starts exactly at the cubic, and the loss at the cubic's squared error. (The first step's gradient reaches the last layer only, every later one the whole body.)

# %% tags=["core", "workshop", "export"]
class Chain(nn.Module):
    """Find detail (N, factor², H, W) in small pictures (N, 1, H, W): residual blocks in a row."""

    def __init__(self, factor=2, width=32, blocks=8):
        super().__init__()
        self.reach = 2 + 2 * blocks  # small pixels that it looks to each side
        self.first = conv3(1, width)
        self.blocks = nn.Sequential(*(denoising.Block(width) for _ in range(blocks)))
        self.last = conv3(width, factor**2)

    def forward(self, y):
        h = self.first(y)
        return self.last(h + self.blocks(h))


# %% [markdown] tags=["core", "workshop"]
# **Your turn (★★, 6 min).** Finish `forward`. Each colour channel is a picture of its own, as in lesson 51.
#
# <details><summary>Hint 1</summary>The body wants (B C, 1, H, W) and gives (B C, factor², H, W), in half precision on some machines (<code>fast_autocast</code>); <code>F.pixel_shuffle</code> makes of it one channel at the large size.</details>
# <details><summary>Hint 2</summary><code>detail = F.pixel_shuffle(self.body(y.reshape(___)).float(), self.factor)</code>; <code>return smooth + detail.reshape(smooth.shape)</code>.</details>

# %% tags=["core", "workshop", "export", "exercise"]
class Enlarger(nn.Module):
    """Enlarge y (B, C, H, W): the cubic, plus what body (N, 1, H, W) -> (N, r², H, W) finds."""

    def __init__(self, body, factor=2):
        super().__init__()
        self.body, self.factor = body, factor
        for parameter in [*body.parameters()][-2:]:  # weight and bias of the last layer
            damage.refuse(len(parameter) != factor**2, f"A body of {factor**2} channels, please.")
            nn.init.zeros_(parameter)

    def forward(self, y):
        smooth = enlarged(y, self.factor)
        damage.refuse(y.dtype != torch.float32, f"The net reads float32, not {y.dtype}.")
        B, C, H, W = y.shape
        ### TODO: the body's detail, each channel a picture of its own; add it to smooth
        ### BEGIN SOLUTION
        detail = F.pixel_shuffle(self.body(y.reshape(B * C, 1, H, W)).float(), self.factor)
        return smooth + detail.reshape(smooth.shape)
        ### END SOLUTION


def enlargers():
    """Return the two shipped nets without their weights: "x2" and "x3" -> Enlarger."""
    return nn.ModuleDict({f"x{r}": Enlarger(Chain(r), r) for r in (2, 3)})


# %% tags=["core", "workshop"]
Enlarger = checks.super_resolution.enlarger(Enlarger)
pictures = denoising.training_pictures(rng, leaves=profile(smoke=1, standard=2))  # lesson 51's


def pairs(shrink=shrunk, factor=3):  # the same patches for each net
    for x in denoising.clean_patches(*pictures, cfg.batch_size, cfg.side, device.generator(1)):
        yield (shrink(x, factor).to(dev),), x.to(dev)


def fresh(name):
    torch.manual_seed(cfg.seed)
    srcnn = [nn.Upsample(scale_factor=3, mode="bicubic"), nn.Conv2d(1, 64, 9, padding=4), nn.ReLU(),
             nn.Conv2d(64, 32, 1), nn.ReLU(), nn.Conv2d(32, 1, 5, padding=2)]
    espcn = [nn.Conv2d(1, 64, 5, padding=2), nn.ReLU(), conv3(64, 32), nn.ReLU(), conv3(32, 9),
             nn.PixelShuffle(3)]
    layers = {"SRCNN": srcnn, "ESPCN": espcn}.get(name, [Enlarger(Chain(3), 3)])
    return nn.Sequential(*layers).to(dev, memory_format=torch.channels_last)


# %% [markdown] tags=["core", "workshop"]
# ## 6 Before training
#
# Do times follow products? Is the loss at the start the cubic's? Can two patches be learned by heart?

# %% tags=["core", "workshop"]
(y,), x = next(pairs())
start, begun = F.mse_loss(enlarged(y, 3), x), F.mse_loss(enlarged(y[:2], 3), x[:2])  # the cubic's
names = "SRCNN", "ESPCN", "blocks + cubic"
for name in names:
    net = fresh(name)
    products = sum(w.numel() for w in net.parameters() if w.ndim == 4)
    products *= 9 if name == "SRCNN" else 1
    net(y)  # to warm up
    with torch.no_grad(), device.measure() as cost:
        loss = F.mse_loss(net(y), x)
    print(f"{name:14} {products:7,} products for a small pixel, "
          f"{1000 * cost.seconds:4.0f} ms, loss {loss:.5f} (cubic {start:.5f})")
short, two = replace(cfg, steps=profile(smoke=3, standard=300)), [((y[:2],), x[:2])] * 300
end = denoising.train_denoiser(short, net, two, label="two patches")["loss"][1][-1]
assert abs(loss / start - 1) < 1e-3 and end < profile(smoke=9, standard=0.05) * begun

# %% [markdown] tags=["core", "workshop"]
# The net on top of the cubic begins exactly at its loss, the others far above; two patches it learns nearly by heart. Times follow products only roughly: SRCNN's 64 channels must be written and read at the large size, and memory is dear; so the blocks, with twice its products, may well be faster.

# %% [markdown] tags=["deeper"]
# ## 7 Deeper: a grid, and its cure
#
# ESPCN's last layer has 9 filters for the 9 pixels of a block, drawn independently: a level grey picture comes out as a *grid* of period 3, lesson 13's checkerboard. **ICNR** (2017): let the 9 filters *begin* equal. Then the shuffle repeats one number 9 times, the
# layer begins as a convolution with the nearest neighbour behind it, and what is level stays level. (Our zeros do it, too.)
#
# **Your turn (★, 4 min).** Output channel $c$ of the large picture comes from the channels $c\,r^2$ to $c\,r^2 + r^2 - 1$.
#
# <details><summary>Hint 1</summary>Keep every r²-th filter, and repeat each of them r² times, next to each other.</details>
# <details><summary>Hint 2</summary><code>weight[:: factor**2].___(factor**2, dim=0)</code>.</details>

# %% tags=["deeper", "export", "exercise"]
def icnr(weight, factor):
    """Return weight (C factor², in, k, k) with each group of factor² filters equal to its first."""
    damage.refuse(len(weight) % factor**2, f"{len(weight)} filters: no groups of {factor**2}.")
    ### TODO: the first filter of each group, factor² times
    ### BEGIN SOLUTION
    return weight[:: factor**2].repeat_interleave(factor**2, dim=0)
    ### END SOLUTION


# %% tags=["deeper"]
icnr = checks.super_resolution.icnr(icnr)

# %% [markdown] tags=["core", "workshop"]
# ## 8 Train and measure
#
# Squared errors, lesson 51's loop and patches, equal steps and rates; the cubic's own error on the same patches beside them. **Predict.** Which will beat the cubic after so short a training?

# %% tags=["core", "workshop"]
history, found = {}, {"cubic": enlarged(tiny, 3)}


@torch.no_grad()
def enlarge(net, y):
    return net(y.to(dev, torch.float32)).cpu().clamp(0, 1)


def train(net, label, loss=F.mse_loss, shrink=shrunk, **changes):
    here = replace(cfg, **changes)
    return denoising.train_denoiser(here, net, pairs(shrink), loss=loss, label=label)["loss"]


for name in names:
    net = fresh(name)
    history[name] = train(net, name, lr=1e-3)
    found[name] = enlarge(net, tiny)
history["cubic"] = [F.mse_loss(enlarged(y.cpu(), 3), x.cpu()).item()
                    for _, ((y,), x) in zip(range(cfg.steps), pairs(), strict=False)]
fig = plots.curves(history, xlabel="step", ylabel="squared error", smooth=25, log=True)

# %% [markdown] tags=["core", "workshop"]
# Only one falls below the cubic: the net that began there. The two others spend the whole training on learning what interpolation knows, even SRCNN, whose input *is* a cubic. (It also has more weights and shortcuts; this run cannot say which helps most.) Now **shipped weights** (`python3 -m course_lib.experiments.super_resolution`): the same functions, five minutes on one core for each factor. **Predict** the gains at x2 and at x3.

# %% tags=["core", "workshop"]
experts = enlargers().to(dev).eval()
trained.load("enlarger", experts, data="photos")
expert, found["shipped"] = experts["x3"], enlarge(experts["x3"], tiny)
half = shrunk(test, 2)  # the y of x2
for name, x_hat in found.items():
    gain = luma_psnr(test, x_hat) - luma_psnr(test, found["cubic"])  # (7,)
    print(f"x3 {name:14} {luma_psnr(test, x_hat).mean():.2f} dB, gain {gain.min():+.2f} to "
          f"{gain.max():+.2f}, mean {gain.mean():+.2f}")
doubled = luma_psnr(test, enlarge(experts["x2"], half)) - luma_psnr(test, enlarged(half, 2))
print(f"x2 shipped: gain {doubled.min():+.2f} to {doubled.max():+.2f}, mean {doubled.mean():+.2f}")
fig = details({"repeated": enlarged(tiny, 3, kernels["box"])} | {name: found[name] for name in (
    "cubic", "blocks + cubic", "shipped")} | {"true": test})

# %% [markdown] tags=["core", "workshop"]
# Both shipped nets beat the cubic on every crop; x2 gains more, although a step costs more there and its net had half as many. (`blocks + cubic` and `shipped` are one design, trained for few and for many steps.) Edges became sharp and stairless: there the small picture says enough. Letters stay illegible; iris and skin are smooth where the truth has texture, for the reason of lesson 51: squared errors
# ask for the **mean** of all pictures that fit.
#
# ## 9 Play
#
# A lens blurs before the pixels are made: move `blur` away from 0, and the net meets what it was not trained for. `judge` is the distance from the truth in the photograph judge's features; sharp blocks may please it more than blur.

# %% tags=["core", "workshop"]
photos = judges.judge("photos")
views = damage.crops(damage.TEST, 144, grey=False)
views["yours"] = images.fit(datasets.photograph("chelsea"), 144)[None] / 255  # a test scene, too


def play(picture, factor, blur):
    x = views[picture]
    y = shrunk(damage.Blur(blur + 0.01)(x), factor)
    sheet = {name: enlarged(y, factor, k).clamp(0, 1) for name, k in kernels.items()}
    sheet["network"] = enlarge(experts[f"x{factor}"], y)
    labels = [f"{n}\n{luma_psnr(x, z).item():.1f} dB, judge "
              f"{(photos.features(x) - photos.features(z)).norm():.2f}" for n, z in sheet.items()]
    return plots.show_images(torch.cat([x, *sheet.values()]), value_range=(0, 1), columns=3,
                             labels=["true", *labels])


explore.View(play, [explore.choice("picture", views, "face"), explore.choice("factor", (2, 3), 3),
                    explore.slider("blur", 0.0, 3.0, 0.0, 0.25)])

# %% [markdown] tags=["deeper", "workshop"]
# **Your own picture**, cut to a square, is shrunk and enlarged again, so that there is a truth; it becomes `yours` above.

# %% tags=["deeper", "workshop"]
def own(picture):  # uint8 (3, H, W), or (1, H, W)
    damage.refuse(picture.dtype != torch.uint8 or picture.ndim != 3, "Bytes (3, H, W), please.")
    views["yours"] = images.fit(picture.expand(3, -1, -1), 144)[None].float() / 255
    return play("yours", 3, 0.0)


explore.upload(own, example=datasets.photograph("chelsea"))

# %% [markdown] tags=["core", "workshop"]
# ## 10 Near the truth, or like a photograph?
#
# The mean of many sharp pictures is no sharp picture. Two ways to ask for more (section 11 has a third):
#
# 1. **sharpen** afterwards: $\hat x + c\,(\hat x - \text{blur}(\hat x))$, no learning;
# 2. an **adversarial** loss: a critic (lesson 20) sees patches of photographs and of answers, and the net earns what the critic takes for real. Only the squared error beside it asks for the truth.
#
# `train_denoiser` takes any loss; a critic that learns *inside* it needs no second loop. It sees only the *fine part*, ten times stronger: the coarse part is alike in answers and photographs, and would drown the rest.

# %% tags=["core", "workshop", "export"]
class Adversary:
    """A loss: squared error - weight * log D(found); each call also trains D, the critic."""

    def __init__(self, critic, weight, lr=1e-3):
        self.critic, self.weight = critic, weight
        self.opt_disc = torch.optim.Adam(critic.parameters(), lr, betas=(0.5, 0.99))

    def believed(self, x):  # what the critic thinks of x's fine part alone
        return self.critic(10 * (x - damage.Blur(1.0)(x)))

    def __call__(self, found, target):
        loss_disc = F.softplus(-self.believed(target)) + F.softplus(self.believed(found.detach()))
        self.opt_disc.zero_grad()
        loss_disc.mean().backward()
        self.opt_disc.step()
        return F.mse_loss(found, target) + self.weight * F.softplus(-self.believed(found)).mean()


# %% [markdown] tags=["core", "workshop"]
# **How is "like a photograph" measured?** Not pair by pair: by the distance between two *sets*, patches of answers and patches of photographs (lesson 15's Fréchet distance; 0 for the truth itself). Blau and Michaeli (2018) proved, for whole distributions, that the goals conflict: the least distance that *any* method can reach grows when its squared error is pushed
# below some value. A method that is not at that bound can still gain in both. So report a curve.
#
# The net starts from the shipped one; then we walk in a straight line *in the weights*, five stops. **Predict** the curve's shape, and who wins: sharpening or the critic?

# %% tags=["core", "workshop"]
torch.manual_seed(cfg.seed)
critic = nn.Sequential(nn.Conv2d(1, 24, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(24, 48, 4, 2, 1),
                       nn.LeakyReLU(0.2), conv3(48, 48), nn.LeakyReLU(0.2), conv3(48, 1)).to(dev)
ends = {name: copy.deepcopy(expert) for name in ("adversarial", "perceptual")}
fine = {"steps": profile(smoke=3, standard=200), "lr": 1e-3}
train(ends["adversarial"], "adversarial", Adversary(critic, weight=0.01), **fine)

# %% tags=["core", "workshop"]
scenes = [images.to_grey(datasets.photograph(name)[None])[..., :300, :450] / 255
          for name in ("astronaut", "camera", "chelsea")]
two_judges = photos, judges.judge("random")


def patches(pictures):  # of 48 pixels, half overlapping, three times: the judge reads colour
    cut = [x[0, 0].unfold(0, 48, 24).unfold(1, 48, 24).reshape(-1, 1, 48, 48) for x in pictures]
    return torch.cat(cut).expand(-1, 3, -1, -1)


def rated(method):  # mean dB, and the distance by each judge
    made = [method(shrunk(x, 3)).clamp(0, 1) for x in scenes]
    dB = sum(luma_psnr(*each).mean().item() for each in zip(scenes, made, strict=True)) / 3
    seen = [[judge.features(patches(x)) for x in (scenes, made)] for judge in two_judges]
    return dB, *(metrics.frechet_distance(*each) for each in seen)


def on_the_way(name, share):  # weights (1 - share) * shipped + share * end
    net = copy.deepcopy(expert)
    follow(net, ends[name], 1 - share)
    return rated(lambda y: enlarge(net, y))


def sharpen(x, c):
    return (x + c * (x - damage.Blur(1.0)(x))).clamp(0, 1)


# %% tags=["core", "workshop"]
stops = profile(smoke=(0, 1), standard=(0, 0.25, 0.5, 0.75, 1))
print("{:12} {:.2f} dB, {:.2f};".format("cubic", *rated(lambda y: enlarged(y, 3))))
plane = {"adversarial": [on_the_way("adversarial", share) for share in stops],
         "sharpened": [rated(lambda y, c=c: sharpen(enlarge(expert, y), c)) for c in stops]}
for name, points in plane.items():
    print(f"{name:12}", *(f"{dB:.2f} dB, {far:.2f};" for dB, far, _ in points))
assert len(stops) < 5 or 2 * plane["adversarial"][-1][1] < plane["adversarial"][0][1]
fig = plots.curves({name: [*zip(*points, strict=True)][:2] for name, points in plane.items()},
                   xlabel="PSNR in dB (start: right)", ylabel="distance, photograph judge")
found["adversarial"] = enlarge(ends["adversarial"], tiny)
fig = details({"shipped": found["shipped"], "sharpened": sharpen(found["shipped"], 1),
               "adversarial": found["adversarial"], "true": test})

# %% [markdown] tags=["core", "workshop"]
# From the cubic to the shipped net both numbers improve: the cubic was far from the bound. Then it is a trade. For about a dB the **adversarial** net's distance falls to less than half; **sharpening** gains less for more. Look: edges are crisp, but in the dark below the badge's shuttle lie faint streaks that the truth does not have.
#
# No stop on these lines is best in both. The line in the weights lets you choose after training; the picture should say what it is.

# %% [markdown] tags=["deeper"]
# ## 11 Deeper: a third loss, and a second judge
#
# 3. A **perceptual** loss: squared error also between *features*, here of the first layers of lesson 15's PhotoNet. They forgive a small shift. (2 and the critic's 0.01: chosen by trying.)
#
# A judge can be pleased by the wrong thing. The **control** has filters that nobody trained. **Predict** what it says of sharpening.

# %% tags=["deeper"]
photonet = features.PhotoNet().eval().requires_grad_(False).to(dev)
trained.load("photonet", photonet, data="photos")


def perceptual(found, target):
    seen = [photonet.layers[:6](part.expand(-1, 3, -1, -1)) for part in (found, target)]
    return F.mse_loss(found, target) + 2 * F.mse_loss(*seen)


train(ends["perceptual"], "perceptual", perceptual, **fine)
plane["perceptual"] = [on_the_way("perceptual", share) for share in stops]
for name, points in plane.items():
    print(f"{name:12}", *(f"{dB:.2f} dB, {far:.2f}, {odd:.3f};" for dB, far, odd in points))
fig = plots.curves({name: [*zip(*points, strict=True)][::2] for name, points in plane.items()},
                   xlabel="PSNR in dB (start: right)", ylabel="distance, control judge")
a, b, c = (torch.tensor(plane[name]) for name in ("adversarial", "sharpened", "perceptual"))
assert len(stops) < 5 or (b[1, 2] < a[1, 2] and a[-1, 2] < b[-2, 2] and c[-1, 1] > 0.8 * c[0, 1])

# %% [markdown] tags=["deeper"]
# Near the start the judges disagree: for its price in dB the control likes a little sharpening, and the perceptual net, better than the adversarial one. Past that, sharpening moves *away*, and ends worse than unsharpened, while the photograph judge still praises it: two judges see more. A dB away the adversarial net leads by both.
#
# The **perceptual** net hardly leaves its start by the photograph judge, though its features are that judge's own: features compared picture by picture have a mean, too, and the shipped net is near it.

# %% [markdown] tags=["deeper"]
# ## 12 Deeper: another camera
#
# Our pairs were made by one shrinking. A real lens blurs as it likes before the pixels are made. **Predict.** The scenes are blurred by $\sigma$ large pixels first: where does the shipped net lose its lead over the cubic? And one trained briefly on many blurs?

# %% tags=["deeper"]
cure, sigmas, lines = copy.deepcopy(expert), (0.1, 0.5, 1, 1.5, 2, 2.5), {}
train(cure, "many blurs", shrink=lambda x, r: shrunk(
    damage.Blur(0.1 + 2.4 * torch.rand(1, generator=rng).item())(x), r), **fine)
blurred = [shrunk(damage.Blur(sigma)(test), 3) for sigma in sigmas]
for name, net in {"cubic": lambda y: enlarged(y, 3), "shipped": expert, "many blurs": cure}.items():
    lines[name] = sigmas, [luma_psnr(test, enlarge(net, y)).mean().item() for y in blurred]
fig = plots.curves(lines, xlabel="blur of the lens, sigma in large pixels", ylabel="PSNR in dB")
assert cfg.steps < 250 or lines["many blurs"][1][-1] > lines["shipped"][1][-1] + 0.5

# %% [markdown] tags=["deeper"]
# The shipped net undoes the shrinking that it knows: as the lens gets softer, its lead over the cubic melts away. The net of many blurs must *guess* the lens: it is worse where the shipped one is at home, far better where it is not, and best at a middling blur: what is sharper it sharpens too much.
#
# ## 13 Deeper: tiles
#
# The net keeps `width` numbers for every small pixel: 12 megapixels need gigabytes (and large matrices $R$). So cut the picture into tiles. **Predict.** What is seen if they are just put side by side?
#
# At a tile's border the net sees zeros that the whole picture does not have. A pixel depends on `Chain.reach` small pixels to each side: a tile must see those, too, and not keep them.
#
# **Your turn (★★, 8 min).** Enlarge a tile with its surroundings; keep the tile.
#
# <details><summary>Hint 1</summary>The part starts at max(0, i - overlap); the tile lies factor * (i - top) rows inside the enlarged part.</details>
# <details><summary>Hint 2</summary><code>part = net(y[..., top : i + tile + overlap, left : j + tile + overlap])</code>; then <code>part[..., factor * (i - top) :, ___][..., : factor * tile, : factor * tile]</code>.</details>

# %% tags=["deeper", "export", "exercise"]
def tiled(net, y, factor, tile=128, overlap=18):
    """Return net(y), y (B, C, H, W), tile by tile; overlap: small pixels seen beyond each tile."""
    require(y, factor=factor, tile=tile)
    (B, C, H, W), r = y.shape, net(y[..., :1, :1]).shape[2]
    damage.refuse(r != factor or overlap < 0, f"factor should be {r}, and overlap from 0 on.")
    x_hat = y.new_empty(B, C, factor * H, factor * W)
    for i in range(0, H, tile):
        for j in range(0, W, tile):
            top, left = max(0, i - overlap), max(0, j - overlap)
            ### TODO: the net's answer for the tile and its surroundings; the tile alone of it
            ### BEGIN SOLUTION
            part = net(y[..., top : i + tile + overlap, left : j + tile + overlap])
            kept = part[..., factor * (i - top) :, factor * (j - left) :]
            kept = kept[..., : factor * tile, : factor * tile]
            ### END SOLUTION
            rows, columns = (slice(factor * n, factor * (n + tile)) for n in (i, j))
            fits = kept.shape == x_hat[..., rows, columns].shape
            damage.refuse(not fits, "kept should be factor * tile pixels high and wide, no more.")
            x_hat[..., rows, columns] = kept
    return x_hat


# %% tags=["deeper"]
tiled = checks.super_resolution.tiled(tiled)
net, tile, apart = experts["x2"], profile(smoke=16, standard=48), {}
for overlap in (0, 4, net.body.reach):
    parts = tiled(lambda y: enlarge(net, y), test[:1], 2, tile, overlap)
    apart[overlap] = parts - enlarge(net, test[:1])
    print(f"overlap {overlap:2}: largest difference {apart[overlap].abs().max():.1e}")
assert apart[18].abs().max() < 1e-5 < 1e-2 < apart[0].abs().max()
seams = torch.cat([*apart.values()])[..., 80:304, 80:304]
fig = plots.show_images((0.5 + 10 * seams).clamp(0, 1), value_range=(0, 1), labels=[*apart])

# %% [markdown] tags=["deeper"]
# With too little overlap there are seams along every tile (above: differences, ten times, for each overlap); with the net's reach the tiles are the whole picture, up to rounding.
#
# ## 14 Break it on purpose
#
# **A shifted pair.** Someone shrinks with `x[..., ::3, ::3]` after a blur: no error, a falling loss. **Predict** what the trained net does to an honest small picture.

# %% tags=["deeper"]
moved, corner = copy.deepcopy(expert), lambda x, r: damage.Blur(1.2)(x)[..., ::r, ::r]
train(moved, "shifted pairs", shrink=corner, **fine)
x_hat = enlarge(moved, tiny)
for step in range(-2, 3):
    there = torch.roll(test, (step, step), (2, 3))
    print(f"truth moved by {step:+d}: {luma_psnr(there, x_hat, 9).mean():.2f} dB")
fig = details({"shipped": found["shipped"], "moved": x_hat,
               "difference": 0.5 + x_hat - found["shipped"]})

# %% [markdown] tags=["deeper"]
# Its loss (first line) looks healthy: it learned what it was shown, to *move* pictures by one large pixel, up and to the left, hard to see without the difference. Against a truth moved likewise it scores best: so such a fault is found.
#
# ## 15 Exercises
#
# **A. Predict (★, 5 minutes).** Enlarge a picture by 2, then shrink it by 2. With which kernel (for both) does the picture come back exactly: box, tent, cubic? Does the network's? The next cell decides.
#
# <details><summary>Hint 1</summary>Box: every pixel is repeated four times, then four are averaged.</details>
# <details><summary>Hint 2</summary>A stretched tent averages over pixels of the neighbours, too.</details>
#
# <details><summary>Answer to A</summary>Only the box: the others smooth twice. The network's comes near; exercise C forces it.</details>
#
# **B. Modify (★★, 10 minutes).** Let section 12's cell draw blurs up to 1 only, without its assertion. Where does the new net win now? That cell's figure decides.
#
# <details><summary>Hint 1</summary>Which number is the largest sigma drawn?</details>
# <details><summary>Hint 2</summary><code>0.1 + 0.9 * torch.rand(...)</code>.</details>
#
# <details><summary>Answer to B</summary>Nearly as good as the shipped net at sharp lenses, little better at soft ones: a net knows what it was shown.</details>
#
# **C. Build (★, 10 minutes).** Whatever was guessed, $\hat x$ should *shrink to y*. Back-projection adds what is lacking, enlarged: $\hat x \leftarrow \hat x + \text{cubic}(y - \text{shrink}(\hat x))$, ten times. Which gains more, the shipped net's answer or the adversarial one's? The next cell decides (off: how far from y it shrinks).
#
# <details><summary>Hint 1</summary>A loop of one line.</details>
# <details><summary>Hint 2</summary><code>x_hat = x_hat + enlarged(tiny - ___, 3)</code>.</details>
#
# <details><summary>Answer to C</summary>The loop in the next cell. What shrinks to y already stays; the adversarial net strayed further, and gains a little more.</details>

# %% tags=["deeper"]
again = {name: shrunk(enlarged(half, 2, k), 2, k) for name, k in kernels.items()}
again["network"] = shrunk(enlarge(experts["x2"], half), 2)
print("A:", *(f"{name} {(y - half).std():.4f};" for name, y in again.items()))
for name in ("shipped", "adversarial"):
    x_hat = found[name]
    for _ in range(10):
        x_hat = x_hat + enlarged(tiny - shrunk(x_hat, 3), 3)
    for z in (found[name], x_hat):
        print(f"C {name} {luma_psnr(test, z).mean():.2f} dB, off {(shrunk(z, 3) - tiny).std():.0e}")

# %% [markdown] tags=["deeper"]
# **D. Debug (★★, 10 minutes).** "My pictures come back shifted, with stripes, and dark at the border." Three faults. Repair it; section 3's check decides: `checks.super_resolution.resize_matrix(resize_matrix)`.
#
# ```python
# def resize_matrix(n, m, kernel=cubic, antialias=True):
#     centre = torch.arange(m).double() * n / m
#     stretch = max(m / n, 1) if antialias else 1
#     weights = kernel((centre[:, None] - torch.arange(n)) / stretch)
#     return weights / (stretch if antialias else 1)
# ```
#
# <details><summary>Hint 1</summary>Where is a pixel? When must the kernel grow? What should a level picture become?</details>
# <details><summary>Hint 2</summary>One fault in the first line, one in the second, one in the last.</details>
#
# <details><summary>Answer to D</summary>The halves are missing; the stretch is n / m; each row is to be divided by its own sum, as in section 3.</details>

# %% [markdown] tags=["core", "workshop"]
# ## 16 To discuss, and to keep
#
# <details><summary><b>E1, E2.</b> Patches in $[0, 1]$ made bytes by <code>.byte()</code>; a distance from 60 patches. Which raises an error?</summary>Neither: zeros and ones <i>are</i> bytes, nearly black; few patches lie far apart even if all are real (lesson 15).</details>
# <details><summary><b>E5.</b> "Our enlarger has the best Inception Score: the classifier is sure of every picture, and the classes are all there." What is wrong?</summary>It never looks at the truth, or any real picture: sure and varied answers may be wrong ones. It
# depends on the classifier and the number of samples, too.</details>
# <details><summary><b>To discuss.</b> A number plate of 5 pixels' height was enlarged by a net, and is legible. May a court use it?</summary>What it shows beyond y is a guess. Many plates shrink to the same y: list <i>them</i>.</details>
# <details><summary><b>To discuss.</b> Which end of section 10's curve for a film, a satellite map, a phone's zoom?</summary>Who measures wants the least error; who watches, the sharp one. A phone should say which.</details>
#
# **Summary**
#
# - Interpolation is one kernel and one matrix for each axis. Middles of pixels lie at halves; a stretched kernel keeps false patterns out when shrinking.
# - A network learns to undo the shrinking that it was shown. Say how pairs are made and measured.
# - Work at the small size, begin at the cubic: depth is affordable there, and training begins where interpolation ends.
# - By PSNR the best answer is the mean of all large pictures that shrink to the same small one; a sharper one is a guess.
# - Tiles that see the net's reach beyond themselves have no seams.
#
# **Later lessons import** `resize`, `shrunk`, `enlarged`, `Enlarger`, `Chain`, `Adversary`, `tiled`, `enlargers`, and weights `enlarger`. **Limits:** two factors, one way of shrinking, nine training photographs, colours apart.
#
# **Papers.** Keys (1981), *Cubic convolution interpolation for digital image processing*, equation 15 · Dong et al. (2014), *Learning a deep convolutional network for image super-resolution* · Shi et al. (2016), *Real-time single image and video super-resolution using an efficient
# sub-pixel convolutional neural network*, section 3 · Lim et al. (2017), *Enhanced deep residual networks* (EDSR) · Aitken et al. (2017), *Checkerboard artifact free sub-pixel convolution* · Johnson et al. (2016), *Perceptual losses for real-time style transfer and super-resolution* · Ledig et al. (2017), *Photo-realistic single
# image super-resolution using a generative adversarial network* · Blau and Michaeli (2018), *The perception-distortion tradeoff* · Wang et al. (2018), *ESRGAN*, section 3.4 (the line in the weights) · Irani and Peleg (1991), *Improving resolution by image registration* (back-projection).
