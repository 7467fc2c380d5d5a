# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown] tags=["core", "workshop"]
# # 55 Paint in another style
#
# You will find what makes a style in a network's features, make textures out of noise with it, and paint photographs as stained glass and cut paper, at 256 x 256 in less than a minute.
#
# ![A cat and a coffee cup, each painted as brush strokes, stained glass, cut paper and hatching, with the four styles above](../data/pictures/55-037.jpg)
#
# | | |
# |---|---|
# | **You need** | features and judges (lesson 15), Adam (11), rulers for pictures (50), the kernel distance's idea (01, 15) |
# | **Time** | 60 minutes for the core, 40 more for the rest; the notebook itself runs in 2 minutes |
# | **Machine** | no GPU, no network, 1 GB of memory |
#
# Afterwards you can
#
# 1. derive whitening and colouring, and give a photograph another one's colours,
# 2. say what a Gram matrix keeps and what it forgets (deeper: which distance it is),
# 3. write texture synthesis and style transfer as a descent in pixels,
# 4. measure a painting with features that it was not optimised for,
# 5. (deeper) derive the gradient, compare two optimisers, and keep a photograph's colours.
#
# > **Remember.** A style is a set of statistics without places, a content is features with places. Which statistics, and which features, the network
# > decides that you ask: so name it, and measure with another one.

# %% tags=["core", "workshop", "export"]
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import checks, datasets, device, explore, images, plots, trained, training
from course_lib.built import damage, features  # written in lessons 50 and 15
from course_lib.experiments.styles import INK, brush, cut_paper, hatching, stained_glass
from course_lib.settings import profile


@dataclass
class Config:
    """The numbers of lesson 55; `profile` picks the value for the profile that you run in."""

    sides: tuple = profile(smoke=(16, 24), standard=(64, 128))  # the longer side of each stage
    steps: tuple = profile(smoke=(2, 2), standard=(100, 60))  # of Adam, at each stage
    lr: float = 0.04  # falls to a twentieth within each stage
    style_weight: float = 10.0  # how much the style counts, the content counting 1
    smooth_weight: float = 1.0  # of the total variation
    seed: int = 0


# %% tags=["core", "workshop", "export"]
class FeatureNet(nn.Module):
    """Tell which of K textures a picture (B, 3, H, W) in [0, 1], of any size, shows: logits."""

    def __init__(self, classes=38, widths=(16, 32, 64, 64, 64, 64), halved=(2, 3, 5)):
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv2d(a, b, 3, padding=1, padding_mode="replicate")
                                     for a, b in zip((3, *widths), widths, strict=False)])
        for layer in self.layers:
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.halved, self.linear = halved, nn.Linear(sum(widths), classes)

    def levels(self, x):
        """Return the six layers' features (B, C, h, w), fine to coarse; halved before three."""
        h, found = x.expand(-1, 3, -1, -1) - 0.5, []
        for k, layer in enumerate(self.layers):
            h = F.avg_pool2d(h, 2, ceil_mode=True) if k in self.halved else h
            h = F.relu(layer(h))
            found.append(h)
        return found

    def forward(self, x):
        return self.linear(torch.cat([h.mean(dim=(2, 3)) for h in self.levels(x)], dim=1))

# %% [markdown] tags=["core", "workshop"]
# ## 1 The simplest thing: mix the pictures, or their colours
#
# **Contents** are from the test photographs `chelsea` and `astronaut` (`cat`, `face`), which no network of part 5 has seen, and `cup`, a training photograph. **Styles** are *drawn by code*: brush strokes (grains of
# colour, drawn out along level lines), stained glass, cut paper, hatching. Nothing is downloaded. (The drawing code is `course_lib/experiments/styles.py`.)
#
# What would be simple? To average the two pictures: that gives a double exposure. Or to give the photograph the *colours* of the style.
# Take each pixel as a point $c$ with three numbers. The photograph's cloud of points has a mean $\mu$ and a covariance $S$, the style's $\nu$ and
# $T$. We want an affine map that carries one to the other. $A (c - \mu) + \nu$ has the mean $\nu$ and the covariance
#
# $$ \mathbb E\big[A (c - \mu)(c - \mu)^\top A^\top\big] = A S A^\top . $$
#
# With $S^{-1/2}$ the cloud becomes round ($S^{-1/2} S S^{-1/2} = I$: **whitening**), with $T^{1/2}$ the round cloud gets the style's shape (**colouring**):
#
# $$ A = T^{1/2} S^{-1/2} , \qquad A S A^\top = T^{1/2}\, T^{1/2} = T . $$
#
# `features.square_root` (lesson 15) gives the symmetric root. Other maps fit too ($T^{1/2} Q\, S^{-1/2}$ with any rotation $Q$); with the symmetric roots the colours move little. A little is added to the diagonals, since
# the cloud of a grey photograph is a line. An affine map of a line is a line: whitening cannot invent hues, and a grey photograph gets one line of colours.
#
# **Your turn (★★, 6 min).** Write the map. **Predict**, too: what will the cat look like in the colours of the glass?
#
# <details><summary>Hint 1</summary><code>c</code> holds a colour in each row, so the matrix acts from the right, transposed.</details>
# <details><summary>Hint 2</summary><code>A = features.square_root(T) @ torch.linalg.inv(features.square_root(___))</code>; <code>(c - mu) @ A.T + ___</code>.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def moments(x):
    """Return the mean (3,) and covariance (3, 3), plus 1e-6, of colours x (1, 1 or 3, H, W)."""
    damage.require_pictures(x)
    damage.refuse(len(x) != 1, "Recolour one picture at a time.")
    c = x.expand(-1, 3, -1, -1)[0].flatten(1).T.double().cpu()
    centred = c - c.mean(dim=0)
    return c.mean(dim=0), centred.T @ centred / len(c) + 1e-6 * torch.eye(3).double()


def recolour(x, style):
    """Return x (1, 1 or 3, H, W) with mean and covariance of style's colours; do not clip."""
    (mu, S), (nu, T) = moments(x), moments(style)
    x = x.expand(-1, 3, -1, -1)
    c = x[0].flatten(1).T.double().cpu()  # (H W, 3)
    ### TODO: the matrix that whitens and colours; y, the new colours (H W, 3)
    ### BEGIN SOLUTION
    A = features.square_root(T) @ torch.linalg.inv(features.square_root(S))
    y = (c - mu) @ A.T + nu
    ### END SOLUTION
    return y.T.contiguous().view(x.shape).to(x)


# %% tags=["core", "workshop"]
recolour = checks.style_transfer.recolour(recolour)
cfg, dev, rng = Config(), device.pick_device(), device.generator(Config.seed)
large = profile(smoke=24, standard=256)


def photo(name, side=large):
    return images.fit(datasets.photograph(name), side)[None] / 255


contents = {"cat": photo("chelsea"), "cup": photo("coffee"),
            **damage.crops({"face": damage.TEST["face"]}, large, grey=False)}
styles = {"brush": brush(large, rng, length=12, grain=profile(smoke=2, standard=4), swirls=6),
          "glass": stained_glass(large, rng, cells=profile(smoke=3, standard=8), lead=large / 64),
          "paper": cut_paper(large, rng), "hatching": hatching(large, rng, INK[:-7])}
cat, looks = contents["cat"], torch.cat([*styles.values()])
coloured = torch.cat([recolour(cat, s[None]).clamp(0, 1) for s in looks])
sheet = {"style": looks, "average": (cat + looks) / 2, "colours": coloured}
fig = plots.compare({name: F.interpolate(row, min(large, 112), mode="area")
                     for name, row in sheet.items()}, value_range=(0, 1), scale=1)

# %% [markdown] tags=["core", "workshop"]
# A cat in odd light: every hair is where it was, and no pane of glass has appeared. Colours of single pixels know nothing of their neighbours. But they are a good **start**, and we keep them.
#
# ## 2 What a Gram matrix keeps, and forgets
#
# A style is what stays when the picture is cut up and put together anew: statistics, not places. So take features that see a
# neighbourhood: at each of $n = h w$ positions a layer of a network gives a vector $f_i$ of $C$ numbers. Their **Gram matrix** is
#
# $$ G = \frac1n \sum_{i=1}^{n} f_i f_i^\top = \frac1n F F^\top , \qquad F = (f_1, \dots, f_n) : $$
#
# how often, on average, feature $a$ is strong where feature $b$ is. The sum knows no order of the positions.
#
# | symbol | variable | shape |
# |---|---|---|
# | $c$; $\mu, S$; $\nu, T$ (section 1) | `c`; `mu, S`; `nu, T` | (H W, 3); (3,), (3, 3) |
# | $x$; content; style | `x`; `content`; `style` | (B, 3, H, W) in $[0, 1]$ |
# | $F$, one of six levels | `h` | (B, C, h, w) |
# | $G$; of the style, from here on, $T_l$ | `gram(h)`; `grams` | (B, C, C) |
# | weight of the style | `cfg.style_weight` | number |
#
# **Predict.** Shuffle all positions, the same way in all channels. How far does $G$ move? And if the sum is *not* divided by $n$, and the style is twice as wide as the content, how large is its $G$?
#
# **Your turn (★, 4 min).** Write it for a batch.
#
# <details><summary>Hint 1</summary>Join the two axes of positions; then it is one matrix product, of each picture with itself, transposed.</details>
# <details><summary>Hint 2</summary><code>F_ = h.flatten(2)</code> is (B, C, n); <code>F_ @ F_.mT / ___</code>.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def gram(h):
    """Return the Gram matrices (B, C, C) of features h (B, C, h, w), mean over the positions."""
    ### TODO: the products of all pairs of channels, averaged over the positions
    ### BEGIN SOLUTION
    flat = h.flatten(2)
    return flat @ flat.mT / flat.shape[2]
    ### END SOLUTION


# %% tags=["core", "workshop"]
gram = checks.style_transfer.gram(gram)
shuffled = cat.flatten(2)[:, :, torch.randperm(large**2, generator=rng)].view_as(cat)
print(f"shuffled pixels move G by {(gram(shuffled.double()) - gram(cat.double())).abs().max():.1e}")
assert torch.allclose(gram(shuffled.double()), gram(cat.double()), atol=1e-12)

# %% [markdown] tags=["core", "workshop"]
# Not at all, up to rounding: it forgets every place. Not divided, the $G$ of the wide picture would be twice as large, and its square four times: the optimisation would chase a size.
#
# Pixels as features keep nothing but colours: the shuffled cat is noise with the same $G$. So the features must see edges, dots, strokes. The first famous ones came from VGG, trained on a
# million photographs. Ours are a `FeatureNet`, six layers of $3 \times 3$ convolutions, halved three times, trained for 100 CPU seconds by
# `python3 -m course_lib.experiments.style_transfer` to tell 38 textures apart, mean by mean over all positions: 10 training photographs and 28 drawn ones. Not our styles, but their *kinds*: 21 drawn ones are brushes, glass and hatchings of other seeds, three are cut paper, and gravel, brick, grass, tissue and the cup are among the photographs. The control is the same net, **untrained** (one draw of its weights).
#
# | level | 0 | 1 | 2 | 3 | 4 | 5 |
# |---|---|---|---|---|---|---|
# | channels | 16 | 32 | 64 | 64 | 64 | 64 |
# | size of the picture's side | 1 | 1 | 1/2 | 1/4 | 1/4 | 1/8 |
# | window, pixels | 3 | 5 | 10 | 20 | 28 | 48 |

# %% [markdown] tags=["deeper"]
# **Deeper: which distance is it?** As $\langle f f^\top, g g^\top \rangle = \sum_{ab} f_a f_b g_a g_b = (f \cdot g)^2$,
#
# $$ |G - G'|^2 = \frac{1}{n^2} \sum_{ij} k(f_i, f_j) - \frac{2}{n m} \sum_{ij} k(f_i, g_j) + \frac{1}{m^2} \sum_{ij} k(g_i, g_j) , \qquad k(f, g) = (f \cdot g)^2 : $$
#
# the **maximum mean discrepancy**, the (squared) kernel distance of lesson 01, between two *sets* of vectors, with this kernel (Li et al. 2017). It is 0 when all second moments agree.

# %% tags=["deeper"]
f, g = torch.randn(2, 5, 40, generator=rng).double().unbind()  # two sets of 40 vectors
k = [((a.T @ b) ** 2).mean() for a, b in ((f, f), (f, g), (g, g))]
apart = (gram(f[None, :, None]) - gram(g[None, :, None])).square().sum()
print(f"squared distance of Gram matrices {apart:.6f}, MMD {k[0] - 2 * k[1] + k[2]:.6f}")
assert abs(apart - (k[0] - 2 * k[1] + k[2])) < 1e-9 * apart

# %% [markdown] tags=["core", "workshop"]
# ## 3 Two costs, and their known values
#
# **Style**: $\frac{1}{6} \sum_l |G_l - T_l|^2 / |T_l|^2$, summed over the pictures of a batch. The division makes the levels count alike, whatever the size of their features. **Content**: the squared distance of the features at level 3 (of 0 to 5), over their variance in the content.
#
# **Predict** the style cost of the style itself, of features that are all 0, and of the style after a quarter turn.
#
# **Your turn (★★, 5 min).** Write the style cost.
#
# <details><summary>Hint 1</summary>For one level: the squared distance of <code>gram(h)</code> from its target, over the target's square, both summed over the last two axes.</details>
# <details><summary>Hint 2</summary><code>(gram(h) - T).square().sum(dim=(1, 2)) / T.square().___</code>; then the mean over levels, the sum over pictures.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def style_loss(levels, grams):
    """Return how far Gram matrices are from grams (B or 1, C, C), relative to their size.

    levels: L features (B, C, h, w). A scalar: mean over levels, sum over pictures. After Gatys et
    al. (2016), equations 3 to 5, with other weights.
    """
    ### TODO: of each level (B,) relative squared distances; mean over levels, sum over pictures
    ### BEGIN SOLUTION
    off = [(gram(h) - T).square().sum(dim=(1, 2)) / T.square().sum(dim=(1, 2))
           for h, T in zip(levels, grams, strict=True)]
    return torch.stack(off).mean(dim=0).sum()
    ### END SOLUTION


# %% tags=["core", "workshop", "export"]
CONTENT = 3  # the level whose features hold the content


def content_loss(h, target):
    """Return the share of target's variance (B, C, h, w) that h misses, summed over pictures."""
    spread = (target - target.mean(dim=(2, 3), keepdim=True)).square().mean(dim=(1, 2, 3))
    return ((h - target).square().mean(dim=(1, 2, 3)) / spread.clamp(min=1e-6)).sum()


def objective(cfg, levels, style, content=None):
    """Return x -> cost of x: style alone, or with content; targets are held without a graph.

    levels: x (B, 3, H, W) -> list of features. style, content: (B, C, H, W) in [0, 1].
    """
    with torch.no_grad():
        grams = [gram(h) for h in levels(style)]
        target = None if content is None else levels(content)[CONTENT]
    flat = min(T.square().sum(dim=(1, 2)).min() for T in grams) == 0
    damage.refuse(flat, "A layer finds nothing in this style: choose one that is less flat.")

    def cost(x):
        found = levels(x)
        rough = len(x) * damage.differences(x).abs().mean()  # a total variation, as in lesson 50
        total = cfg.style_weight * style_loss(found, grams) + cfg.smooth_weight * rough
        return total if content is None else total + content_loss(found[CONTENT], target)

    return cost


# %% tags=["core", "workshop"]
style_loss = checks.style_transfer.style_loss(style_loss)
torch.manual_seed(cfg.seed)
untrained = FeatureNet().to(dev).requires_grad_(False)
net = FeatureNet().to(dev).requires_grad_(False)
trained.load("texturenet", net, data="photos")
target = styles["brush"].to(dev)
grams = [gram(h) for h in net.levels(target)]
nothing = [0 * h for h in net.levels(target)]
turned = [style_loss(net.levels(s.rot90(1, (2, 3))), [gram(h) for h in net.levels(s)]).item()
          for s in (target, styles["hatching"].to(dev))]
own_cost = style_loss(net.levels(target), grams)
print(f"itself {own_cost:.1e}, nothing {style_loss(nothing, grams):.4f}, turned: brush {turned[0]:.4f}, hatching {turned[1]:.4f}")
assert own_cost < 1e-9 and abs(style_loss(nothing, grams) - 1) < 1e-5
assert large < 256 or turned[1] > 20 * turned[0]

# %% [markdown] tags=["core", "workshop"]
# 0; exactly 1; and next to nothing for the brush, whose strokes run in all directions. Hatching has one direction, and its cost says so. The first two are the known values before any optimisation.
#
# ## 4 Descend to a picture
#
# Nothing is trained now: the weights stand still, and the *pixels* are what Adam moves. After each step they are clamped to $[0, 1]$: outside of the graph, for inside it every pixel beyond the border would have gradient 0 and never come back.
#
# **Your turn (★, 4 min).** Write one step.
#
# <details><summary>Hint 1</summary>As in any training loop: forget the old gradient, find the new one, step. Then the clamp, in place.</details>
# <details><summary>Hint 2</summary><code>with torch.no_grad(): x.___(0, 1)</code>.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def descend(cfg, x, cost, steps, *, frames=None, should_stop=training.never_stop, label="painting"):
    """Change pictures x (B, C, H, W) so that cost(x) falls; return new ones in [0, 1], history.

    frames: a list that gets every eighth x. CourseError where the cost is no number.
    """
    x = x.detach().clone().clamp(0, 1).requires_grad_()
    optimiser = torch.optim.Adam([x], betas=(0.9, 0.99))
    with training.progress(steps, should_stop, label=label) as run:
        for step in run:
            optimiser.param_groups[0]["lr"] = cfg.lr * (1 - 0.95 * run.fraction)
            loss = cost(x)
            damage.refuse(not loss.isfinite(), f"The cost is {loss:.3g}: lower lr or weights.")
            ### TODO: one step of the optimiser; clamp x to [0, 1] in place, without a graph
            ### BEGIN SOLUTION
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            with torch.no_grad():
                x.clamp_(0, 1)
            ### END SOLUTION
            run.log(cost=loss)
            if frames is not None and step % 8 == 0:
                frames.append(x.detach().cpu().clone())
    return x.detach(), run.history


# %% [markdown] tags=["core", "workshop"]
# Can it learn *one* picture by heart? With the content alone, from noise, it should find the cat again. That also shows what level 3 still knows. **Predict:** sharp? In its colours?

# %% tags=["core", "workshop"]
descend = checks.style_transfer.descend(descend)
small = profile(smoke=16, standard=96)
cat_small = F.interpolate(cat, small, mode="area").to(dev)
noise = (0.5 + 0.2 * torch.randn(cat_small.shape, generator=rng)).clamp(0, 1).to(dev)
found = {"noise": noise, "true": cat_small}
for level in (0, CONTENT, 5):
    cost = lambda x: content_loss(net.levels(x)[level], net.levels(cat_small)[level])  # noqa
    x, history = descend(cfg, noise, cost, profile(smoke=3, standard=300), label=f"level {level}")
    found[f"from level {level}\nleft: {history['cost'][1][-1]:.3f}"] = x
fig = plots.show_images(torch.cat([*found.values()]).cpu(), value_range=(0, 1), labels=[*found])

# %% [markdown] tags=["core", "workshop"]
# The first level gives the picture back, level 3 (of 0 to 5) gives stripes and edges at their places, with neither its colours nor its grain, the last a rumour of it. So level 3 is a loose keeper of *content*: what is where, not how it is painted. That suits: we start from the photograph, and the cost need only hold on to it.
#
# ## 5 Texture from noise
#
# The style cost alone, from noise (Gatys et al. 2015): a picture with the same statistics. First small, then enlarged and refined: the coarse levels decide where things are while that is cheap. And a window of 48 pixels sees no large form, so the net may look at the picture's half and quarter size, too: `pyramid`.
#
# **Predict.** Four textures, matched at three sizes by the *untrained* net, then by the trained one at one size and at three. Where does training matter? Which texture fails?

# %% tags=["core", "workshop", "export"]
def shrunk(x, side):
    """Return x (B, C, H, W) with the longer side `side`, smoothed."""
    size = [max(1, round(n * side / max(x.shape[2:]))) for n in x.shape[2:]]
    return F.interpolate(x, size, mode="bilinear", antialias=True)


def pyramid(levels):
    """Return x -> the features of x, of its half and of its quarter size, in one list."""
    return lambda x: [h for k in (1, 2, 4) for h in levels(shrunk(x, max(x.shape[2:]) / k))]


# %% tags=["core", "workshop", "export"]
def paint(cfg, levels, style, content=None, *, rng=None, frames=None, label="painting"):
    """Return pictures of style's statistics: of content, or, without it, from noise drawn by rng.

    style, content: (B, 1 or 3, H, W) in [0, 1], of any sizes, one style or one for each content,
    else CourseError. levels: as in `objective`. A stage starts from the last one's picture.
    """
    x, given = None, [style] if content is None else [style, content]
    for picture in given:
        damage.require_pictures(picture, data_range=1)
    unpaired = len(style) not in (1, len(given[-1]))
    damage.refuse(unpaired, "Give one style for all contents, or as many styles as contents.")
    for side, steps in zip(cfg.sides, cfg.steps, strict=True):
        s, *c = (shrunk(picture.expand(-1, 3, -1, -1).float(), side) for picture in given)
        if x is None:
            x = c[0] if c else 0.5 + 0.2 * torch.randn(s.shape, generator=rng).to(s)
        x = F.interpolate(x, [*c, s][0].shape[2:], mode="bicubic")
        cost = objective(cfg, levels, s, *c)
        x, _ = descend(cfg, x, cost, steps, frames=frames, label=f"{label}, {side} pixels")
        frames = None  # of the first stage only
    return x


# %% tags=["core", "workshop"]
stages = profile(smoke=(6, 12, 24), standard=(24, 48, 96)), profile(smoke=(2,) * 3, standard=(60, 80, 100))
fine = stained_glass(large, rng, cells=profile(smoke=3, standard=14), lead=large / 64)
wanted = shrunk(torch.cat([fine, styles["paper"], photo("gravel"), photo("brick")]), stages[0][-1]).to(dev)
texture, made = replace(cfg, smooth_weight=0.3, sides=stages[0], steps=stages[1]), {"texture": wanted}
for name, levels in {"untrained": pyramid(untrained.levels), "one size": net.levels,
                     "three sizes": pyramid(net.levels)}.items():
    made[name] = x = paint(texture, levels, wanted, rng=device.generator(1), label=name)
    off = [style_loss(levels(y[None]), [gram(h) for h in levels(s[None])]).item()
           for y, s in zip(x, wanted, strict=True)]
    print(f"{name:12}", *(f"{far:7.4f}" for far in off))
halves = [part.tensor_split(2, dim=3) for part in wanted.split(1)]
floor = [style_loss(net.levels(a), [gram(h) for h in net.levels(b)]).item() for a, b in halves]
print(f"{'halves':12}", *(f"{far:7.4f}" for far in floor))
assert large < 256 or all(3 * far < half for far, half in zip(off, floor, strict=True))
fig = plots.compare({name: x.cpu() for name, x in made.items()}, value_range=(0, 1), scale=1)

# %% [markdown] tags=["core", "workshop"]
# Gravel is well met; of the paper come colours and edges, of the glass chips between bits of lead, and three sizes make larger pieces of it than one. The bricks fail: their rows are an order over long distances. The trained net makes pieces with borders, the untrained one softer spots and, of the grey textures, haze with coloured fringes: in published work,
# random nets do well when they are wide (Ustyuzhaninov et al. 2016); ours is not. Now look at the numbers. They are small, in each texture far below the distance of one *half* of the texture from its other half: the net is more than content with panes and bricks that nobody would call so. It is not the steps that are too few, but the statistics.
#
# ## 6 Paint a photograph
#
# Start from the photograph in the colours of the style, keep its level 3, and match the style's Gram matrices: of the trained net and, for a reason that section 7 measures, of the untrained one, at three sizes. **Predict** what comes first: colours, strokes, or large forms?

# %% tags=["core", "workshop"]
both = pyramid(lambda x: net.levels(x) + untrained.levels(x))
big, frames = replace(cfg, sides=profile(smoke=(16, 24), standard=(128, 256))), []
source = recolour(cat, styles["glass"]).clamp(0, 1).to(dev)
with device.measure() as cost_of:
    painted = paint(big, both, styles["glass"].to(dev), source, frames=frames)
print(f"{painted.shape[3]} x {painted.shape[2]} in {cost_of.seconds:.0f} s, "
      f"{cost_of.cpu_seconds:.0f} CPU seconds, {cost_of.peak_mb:,.0f} MB")
assert cost_of.cpu_seconds < 120  # 60 s on two cores
fig = plots.show_images(torch.cat([cat, painted.cpu()]), value_range=(0, 1), scale=1)

# %% tags=["core", "workshop"]
fig = plots.show_images(torch.cat([frames[:k][-1] for k in (1, 2, 5, 99)]), value_range=(0, 1), scale=1,
                        labels=["start", "step 8", "step 32", "end of stage 1"])
moving = plots.animation(torch.cat(frames[::2]), value_range=(0, 1), fps=4, scale=1)

# %% [markdown] tags=["core", "workshop"]
# Colours are there at the start; the lead comes within a few steps, and the second stage sharpens it. The eyes stay where they were: level 3 holds them. The lines of lead run *along the cat's own edges*: there the content pays least for them. Glass gives its colours and its bars; its panes, the large form, are lost.
#
# ## 7 Measure, with another ruler
#
# The optimised cost must not be its own judge: a picture can please one net. So the style distance is taken once more, by Gram matrices of **the photograph judge of lesson 15** (trained to tell damages) and of the untrained net. The content is measured by the
# correlation of edge strengths with the photograph's, pixel by pixel. The **floor**: the left half of the style against its right half; small samples, so it is high.

# %% tags=["core", "workshop", "export"]
def luma(x):
    """Return the brightness (B, 1, H, W) of x (B, 3, H, W), weights of BT.601."""
    return (x * torch.tensor([0.299, 0.587, 0.114]).to(x)[:, None, None]).sum(dim=1, keepdim=True)


def edge_match(x, content):
    """Return the correlation, -1 to 1, of the edge strengths of two pictures (1, 3, H, W)."""
    strengths = [damage.differences(luma(part)).norm(dim=0).flatten() for part in (x, content)]
    return torch.corrcoef(torch.stack(strengths).double())[0, 1].nan_to_num().item()


def judge_levels(photonet):
    """Return x -> the features after each ReLU of lesson 15's PhotoNet, in eval mode."""
    layers = photonet.eval().layers  # three to a level: convolution, batch norm, ReLU
    return lambda x: [layers[:k](x) for k in range(3, len(layers) + 1, 3)]


@torch.no_grad()
def style_distance(levels, x, style):
    """Return the style cost of x (1, 3, H, W) beside style under the given features, a float."""
    return style_loss(levels(x), [gram(h) for h in levels(style)]).item()


# %% tags=["core", "workshop"]
photonet = features.PhotoNet().to(dev).requires_grad_(False)
trained.load("photonet", photonet, data="photos")
rulers = {"texture net": net.levels, "photo judge": judge_levels(photonet),
          "untrained": untrained.levels}
s, c, start = (shrunk(x.to(dev), cfg.sides[-1]) for x in (styles["glass"], cat, source))
rows = {"style": s, "photograph": c, "average": (c + s) / 2, "colours": start}
for name, levels in {"trained": pyramid(net.levels), "untrained": pyramid(untrained.levels),
                     "both": both}.items():
    rows[name] = paint(cfg, levels, s, start, label=name)
scores = {name: [style_distance(levels, x, s) for levels in rulers.values()] + [edge_match(x, c)]
          for name, x in rows.items() if name != "style"}
scores["floor"] = [style_distance(levels, *s.tensor_split(2, dim=3)) for levels in rulers.values()]
print(f"{'':10}", *(f"{name:>12}" for name in [*rulers, "edges"]))
for name, row in scores.items():
    print(f"{name:10}", *(f"{number:12.3f}" for number in row))
fig = plots.show_images(torch.cat([*rows.values()]).cpu(), value_range=(0, 1), labels=[*rows], columns=4, scale=1)
by = [scores[name][1] for name in ("floor", "both", "trained", "colours", "untrained")]
assert large < 256 or by == sorted(by) and by[1] < 1.4 * by[0] and scores["both"][0] < scores["floor"][0]

# %% [markdown] tags=["core", "workshop"]
# By the texture net, the two paintings that it made are *below the floor*: nearer to the style than one half of the style is to the other. So a ruler that was optimised says little. By the judge, for which no painting was optimised, both nets together come best, a little above the floor: about as near as one half of the glass is to the other, and not
# nearer. That is as much as such a ruler can tell. The untrained net alone is no better there than recoloured pixels. (One content, one style: an example, no law.) The edges pay: the photograph's own match is 1, and the paintings keep less than half of it. The average shows what a bad compromise is: far in style, and with the edges of something else.
#
# ## 8 Play
#
# `weight` is the exponent of the style weight: each 1 is a factor of ten. `colours`: those of the style, or of the photograph: then the *style* is recoloured before it is matched. Each painting takes a few seconds. `face` is the hardest: we know too well how one looks. Lower its weight. `style off` is the judge's distance (for the glass, compare section 7's floor), `edges` the match with the photograph's.

# %% tags=["core", "workshop"]
gallery = contents | {"yours": photo("coffee")}
papers = styles | {"your style": photo("chelsea")}
quick = replace(cfg, sides=(profile(smoke=16, standard=96),), steps=(profile(smoke=2, standard=60),))


def play(picture, style, weight, colours):
    x, s = gallery[picture], papers[style]
    start, s = (recolour(x, s), s) if colours == "style" else (x, recolour(s, x))
    start, s = start.clamp(0, 1).to(dev), s.clamp(0, 1).to(dev)
    y = paint(replace(quick, style_weight=10.0**weight), both, s, start)
    x, s = (shrunk(part, quick.sides[0]).to(dev) for part in (x, s))
    far = style_distance(rulers["photo judge"], y, s)
    labels = ["photograph", "style", f"style off {far:.3f}\nedges {edge_match(y, x):.2f}"]
    return plots.show_images(torch.cat([x, s, y]).cpu(), value_range=(0, 1), labels=labels, scale=2)


explore.View(play, [explore.choice("picture", gallery, "cat"),
                    explore.choice("style", papers, "glass"),
                    explore.slider("weight", 0.0, 3.0, 1.0, 0.2),
                    explore.choice("colours", ["style", "photograph"])])

# %% [markdown] tags=["deeper", "workshop"]
# **Your own photograph** is cut to a square, and becomes `yours` above; the second button takes your own style (the example: a finer glass).

# %% tags=["deeper", "workshop"]
def own(picture, shelf=gallery, name="yours"):  # uint8 (3, H, W)
    shelf[name] = images.fit(picture, large)[None].float() / 255
    return play("yours", "glass" if name == "yours" else name, 1.0, "style")


explore.upload(own, example=datasets.photograph("coffee"))

# %% tags=["deeper", "workshop"]
explore.upload(lambda x: own(x, papers, "your style"), example=(255 * fine[0]).byte())

# %% [markdown] tags=["deeper", "workshop"]
# **A gallery**, four styles in one batch: each picture has its own Gram matrices and its own gradient. **Predict**: which style suits, and which does not?

# %% tags=["deeper", "workshop"]
wall = replace(cfg, sides=profile(smoke=(16, 24), standard=(96, 112)), steps=profile(smoke=(2, 2), standard=(80, 40)))
hung = {"": shrunk(torch.cat([torch.ones_like(cat), looks]), wall.sides[-1])}
for name in ("cat", "cup"):
    c = contents[name]
    starts = torch.cat([recolour(c, s[None]).clamp(0, 1) for s in looks])
    y = paint(wall, both, looks.to(dev), starts.to(dev), label=name)
    hung[name] = torch.cat([shrunk(c, wall.sides[-1]), y.cpu()])
fig = plots.compare(hung, value_range=(0, 1), scale=1)

# %% [markdown] tags=["deeper", "workshop"]
# Glass is the boldest: its colours and its short black bars are what the features know, and no pane closes. Paper draws borders along borders. Brush and hatching give their colours more than their lines: large swirls are lost. Choose styles with small, strong parts, and contents with clear borders.

# %% [markdown] tags=["deeper"]
# ## 9 Deeper: the gradient by hand, and two optimisers
#
# What pushes a feature? With $L = |G - T|^2$ and $G = F F^\top / n$, a small change $dF$ gives $dG = (dF\, F^\top + F\, dF^\top) / n$ and
#
# $$ dL = 2 \langle G - T,\, dG \rangle = \frac 4n \langle (G - T) F,\, dF \rangle , \qquad \text{so} \qquad \nabla_F L = \frac 4n (G - T)\, F , $$
#
# since $G - T$ is symmetric. Each position is moved by the *same* matrix, according to its own features: no position knows where it is.
#
# **Exercise A. Build (★★, 6 minutes).** Write it; the check compares it with autograd.
#
# <details><summary>Hint 1</summary>The matrix (B, C, C) acts on flattened features (B, C, n).</details>
# <details><summary>Hint 2</summary><code>4 / n * (gram(h) - T) @ h.flatten(2)</code>, then <code>.view_as(___)</code>.</details>

# %% tags=["deeper", "export", "exercise"]
def gram_gradient(h, T):
    """Return the gradient of |gram(h) - T|^2, summed over pictures, by h (B, C, h, w)."""
    ### TODO: 4 / n (G - T) F, in the shape of h
    ### BEGIN SOLUTION
    flat = h.flatten(2)
    return (4 / flat.shape[2] * (gram(h) - T) @ flat).view_as(h)
    ### END SOLUTION


# %% [markdown] tags=["deeper"]
# **L-BFGS**, which the paper used, estimates curvature from the last gradients, with a search along each direction. **Predict:** which is ahead after as many gradients (they cost nearly all of the time)? (L-BFGS knows no clamp: its pixels are clamped at the end only, and until then it is freer than Adam.)

# %% tags=["deeper"]
gram_gradient = checks.style_transfer.gram_gradient(gram_gradient)
c, s = shrunk(source, small), shrunk(styles["glass"].to(dev), small)
cost, costs, x = objective(cfg, net.levels, s, c), [], c.clone().requires_grad_()
_, history = descend(cfg, c, cost, profile(smoke=3, standard=120), label="Adam")
lbfgs = torch.optim.LBFGS([x], max_iter=100, max_eval=profile(smoke=2, standard=120),
                          tolerance_change=0, line_search_fn="strong_wolfe")


def closure():
    lbfgs.zero_grad()
    costs.append(cost(x))
    costs[-1].backward()
    return costs[-1]


lbfgs.step(closure)
lines = {"Adam": history["cost"][1], "L-BFGS": [part.item() for part in costs]}
y = x.detach().clamp(0, 1)
print(f"L-BFGS: {(y != x).float().mean():.0%} of the numbers leave [0, 1]; clamped: {cost(y):.4f}")
assert small < 96 or cost(y) > lines["Adam"][-1] > costs[-1]
fig = plots.curves(lines, xlabel="gradients", ylabel="cost", log=True)

# %% [markdown] tags=["deeper"]
# L-BFGS is ahead of Adam at the end. Not all of its lead is curvature: it was free to leave the range, and Adam was not. Clamped at the end, its picture is worse than Adam's by far. A fair race would give both the same freedom. With a clamp in each step Adam is the simpler choice.
#
# ## 10 Break it on purpose
#
# Three mistakes that raise no error. **Predict** each: (1) the clamp stands *inside* the cost, and the start leaves the range in places; (2) the *style* is mapped to $[-1, 1]$, as some nets want it, while the features were trained on $[0, 1]$ and the picture is there; (3) the targets are not detached: they are computed from $x$ itself in each step.

# %% tags=["deeper"]
s, c = shrunk(styles["glass"].to(dev), small), shrunk(source, small)
cost, steps = objective(cfg, net.levels, s, c), profile(smoke=2, standard=80)
beyond = (2 * c - 0.5).requires_grad_()  # some numbers are below 0, some above 1
dead = (torch.autograd.grad(cost(beyond.clamp(0, 1)), beyond)[0] == 0).float().mean()
print(f"1 clamp inside: {(beyond != beyond.clamp(0, 1)).float().mean():.0%} of the numbers are outside, {dead:.0%} have no gradient")
wrong = objective(cfg, net.levels, 2 * s - 1, c)
for name, target in {"wrong": wrong, "right": cost}.items():
    y, _ = descend(cfg, c, target, steps, label=name)
    print(f"2 {name} range: judge {style_distance(rulers['photo judge'], y, s):.3f}")
x = c.clone().requires_grad_()
(slope,) = torch.autograd.grad(style_loss(net.levels(x), [gram(h) for h in net.levels(x)]), x)
print(f"3 not detached: largest gradient {slope.abs().max():.1e}")

# %% [markdown] tags=["deeper"]
# (1) All numbers outside of the range have no gradient, and stay there for ever. (2) The picture looks for statistics that no picture in $[0, 1]$ has: and the judge's distance is larger by far. `paint` refuses such a style in a sentence, as it refuses bytes, NaN, four channels and a flat style; odd, tiny, grey and one pixel wide pictures work. (3) No gradient at all: everything is its own target, and nothing moves. In `objective`, `torch.no_grad()` and the place *before* the loop prevent it.
#
# ## 11 Debug
#
# **Exercise B. Debug (★★, 10 minutes).** "The style has no effect unless I set its weight to 1e9, and with another picture size I must tune again." Find three faults. Checks that you know decide: write line 1 as `gram`, the sum in line 2 as `style_loss` and the clamp of line 3 as yours in `descend`, and run their cells again: each refuses its fault in a sentence.
#
# ```python
# def sums(h): return h.flatten(2) @ h.flatten(2).mT / (h.shape[1] * h.shape[2] * h.shape[3]) ** 2
# loss = content_loss + weight * sum((sums(h) - sums(t)).pow(2).mean() for h, t in levels)
# x = torch.nn.Parameter(content); x.data = x.data.clamp(0, 255)      # content in [0, 1]
# ```
#
# <details><summary>Hint 1</summary>By which power of the size does a sum over positions grow, and by which is it divided?</details>
# <details><summary>Hint 2</summary>Which levels count when no one is divided by its own target? And is the clamp's range right?</details>
#
# <details><summary>Answer to B</summary>A sum over positions is divided once; here the size stands there twice, so everything is tiny and changes with it. No level is scaled by its target, and a mean over C x C numbers makes it smaller still. The clamp to 0..255 never acts at the top: pixels of [0, 1] may leave their range.</details>

# %% [markdown] tags=["core", "workshop"]
# ## 12 To discuss, and to keep
#
# <details><summary><b>R8 (sum for mean).</b> A paper's style weight is 1e6, yours 40. Who is wrong?</summary>Nobody. A sum or a mean over positions, channels and levels, and features of other sizes, change the number by powers of ten. A weight means something only with its formula.</details>
# <details><summary><b>R13 (ranges).</b> The painting comes out lighter than the style, everywhere. Where do you look?</summary>At ranges: pictures in [0, 1] or [-1, 1], a mean subtracted twice, or once only for the target. Feed the style itself as the start: the cost must be 0.</details>
# <details><summary><b>To discuss.</b> Whose picture is a painting in the style of a living artist?</summary>Statistics of strokes are no copy of a picture, and yet they are what somebody took years to find. Law and decency may give two answers.</details>
#
# **Summary**
#
# - A Gram matrix is a mean over positions: it keeps which features go together, and forgets where.
# - Equal Gram matrices are equal second moments: an MMD with the kernel $(f \cdot g)^2$.
# - Style transfer descends in pixels, from the recoloured photograph, with fixed targets, and clamps outside the graph.
# - A painting is measured with features that it was not optimised for, beside baselines and a floor.
# - A style is a set of statistics without places, a content is features with places. Which statistics, and which features, the network
#   decides that you ask: so name it, and measure with another one.
#
# **Later lessons import** `gram`, `style_loss`, `FeatureNet` with its weights `texturenet`, the drawn styles. **Limits:** a small net of textures: it knows marks and borders, no eyes or roofs; large forms of a style are lost; half a minute for a picture.
#
# **Papers.** Gatys, Ecker and Bethge (2015), *Texture synthesis using convolutional neural networks*, section 3 · the same (2016), *Image style transfer using convolutional neural networks*, section 2 · Gatys et al. (2016), *Preserving color in neural artistic style transfer* · Ustyuzhaninov et al. (2016), *Texture synthesis using shallow convolutional networks with random filters* · Li et al. (2017), *Demystifying neural style transfer*, section 3 · Johnson, Alahi and Fei-Fei (2016), *Perceptual losses for real-time style transfer and super-resolution*.
