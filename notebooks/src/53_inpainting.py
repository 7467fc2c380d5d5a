# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown] tags=["core", "workshop"]
# # 53 Fill a hole
#
# You will fill holes in photographs, first by an equation that needs no training, then by a network that starts exactly at the equation's answer and
# improves it, and then meet holes that have more than one right answer.
#
# ![Photographs with holes, filled by the harmonic and biharmonic equations and by the network of this lesson, and the truth](../data/pictures/53-023.jpg)
#
# | | |
# |---|---|
# | **You need** | masks, adjoints and rulers of lesson 50, the U-Net of 51, conjugate gradients of 52; the GAN's losses of 20; deeper: 31, 43 |
# | **Time** | 60 minutes for the core, 75 more for the rest; the notebook itself runs in 3 minutes on two cores |
# | **Machine** | no GPU, no network, 1.2 GB of memory |
#
# Afterwards you can
#
# 1. say which of two mask conventions a function has, and test it,
# 2. derive the harmonic and the biharmonic filling, and solve for them,
# 3. train a network that refines an answer and returns known pixels bit for bit,
# 4. read a table of hole, ring and whole picture,
# 5. say why squared errors blur a hole, what an adversary changes, and (deeper) draw many answers in three ways.
#
# > **Remember.** Known pixels are given back bit for bit, and the score is taken in the hole. Where many fillings are right, squared errors return their mean,
# > which is none of them.

# %% tags=["core", "workshop", "export"]
import math
from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import checks, datasets, device, explore, images, judges, metrics, plots, trained
from course_lib.built import damage, denoising, stable_gans, vae  # lessons 50, 51, 24 and 31
from course_lib.built import greys_and_colour as greys  # 43
from course_lib.built.denoising import Config, UNet, train_denoiser  # 51
from course_lib.built.gan import disc_loss, gen_loss  # 20
from course_lib.built.old_photograph import conjugate_gradients, harmonic  # 52
from course_lib.settings import profile
from course_lib.training import progress

# %% [markdown] tags=["core", "workshop"]
# ## 1 Holes
#
# A mask says which pixels are known. Half of all code means 1 = known, the other half 1 = hole, and nothing crashes if they meet (R1; the codes number the traps of repair, as in lesson 50). Ours is called `known`, is
# bool, and 1 is known, as in lesson 50: **name the mask after what its ones mean.**
#
# Two kinds of holes: the **scratches** of lesson 50, thin; and **free-form** ones, thick bent strokes, thrown until a share of the picture, 20 %, is gone. (The drawing
# code may be skipped.) Pictures are floats in $[0, 1]$ with the axes B, C, H, W.
#
# | symbol | variable | shape |
# |---|---|---|
# | $y$; $x$; $\hat x$ | `y`; `x`; `x_hat`, `fill` | (B, C, H, W); $y$ is anything in the hole, nan too |
# | $m$: 1 where known | `known` | bool (B, 1, H, W) |
# | $S$; $L = S^\top S$ | `damage.differences`; `laplacian` | (B, C, H, W) to (2, B, C, H, W); to its own shape |
# | $\tfrac12 \nabla |Lx|^2$ at the hole | `bent(x)` | (B, C, H, W), 0 where known |
# | $x_0$; $h$ | `start`; `change` | (B, C, H, W) |

# %% tags=["core", "workshop", "export"]
def free_form(shape, rng, share=0.2):
    """Return known, bool (B, 1, H, W): 0 on thick bent strokes over `share` of each picture."""
    B, _, H, W = shape
    damage.refuse(not 0 <= share <= 0.9, f"A share of 0 to 0.9 can be holes, not {share}.")
    rows, columns = torch.arange(H)[:, None, None], torch.arange(W)[:, None]
    known = torch.ones(B, 1, H, W, dtype=torch.bool)
    for picture in known:
        while (~picture).float().mean() < share:
            long, angle, bend, top, left, thick = torch.rand(6, generator=rng).tolist()
            bent = 4 * (bend - 0.5) * torch.arange(0, 1, 2 / (max(H, W) * (0.2 + 0.4 * long)))
            angle = 2 * math.pi * angle + bent  # at every second pixel of the stroke
            down, right = top * H + 2 * angle.sin().cumsum(0), left * W + 2 * angle.cos().cumsum(0)
            apart = ((rows - down).square() + (columns - right).square()).amin(dim=2)
            picture &= apart >= (2 + 4 * thick) ** 2
    return known


def square(shape, rng=None, share=0.2):
    """Return known, bool (B, 1, H, W): 0 on a square in the middle, of `share`."""
    half = math.sqrt(share * shape[2] * shape[3]) / 2
    rows, columns = ((torch.arange(n) - (n - 1) / 2).abs() < half for n in shape[2:])
    return ~(rows[:, None] & columns).expand(shape[0], 1, -1, -1)


def scratched(shape, rng, number=6):
    """Return known, bool (B, 1, H, W): 0 on the scratches of lesson 50."""
    return ~torch.cat([damage.scratches((1, *shape[1:]), rng, number)[0] for _ in range(shape[0])])


# %% [markdown] tags=["core", "workshop"]
# **The simplest thing** is the mean of what is known. The score is lesson 50's PSNR in the **hole**, in its **ring** (the two pixels inside the rim, where seams show), and in the **whole** picture.
#
# **Predict.** The three numbers for free-form holes. By how much is the whole above the hole?

# %% tags=["core", "workshop", "export"]
def require_mask(known):
    """Return known, 0 and 1 in a tensor (B, C or 1, H, W), as bool; CourseError for another."""
    usual = isinstance(known, torch.Tensor) and known.ndim == 4
    damage.refuse(not usual, "A mask is a tensor (B, 1, H, W) of 0 (hole) and 1 (known).")
    return damage.Mask(known).known  # refuses greys


def require_known(y, known):
    """Return known as bool of y's shape (B, C, H, W); CourseError if one of them does not fit."""
    seen = damage.Mask(require_mask(known))(y.nan_to_num(nan=999.0))  # nan may hide in the hole
    damage.refuse(not seen.abs().max() < 20, "Pixels should be near [0, 1]: divide bytes by 255.")
    known = known.bool().expand_as(y)
    damage.refuse(not known.flatten(1).any(1).all(), "A picture has no known pixel to start from.")
    return known


def regions(known, width=2):
    """Return name -> bool (B, 1, H, W): the hole, its ring inside the rim, the whole picture."""
    known = require_mask(known)
    near = F.max_pool2d(known.float(), 2 * width + 1, 1, width) > 0
    return {"hole": ~known, "ring": ~known & near, "whole": torch.ones_like(known)}


# %% tags=["core", "workshop"]
cfg = replace(Config(), steps=profile(smoke=3, standard=300, full=20000), lr=3e-3)
dev, rng = device.pick_device(), device.generator(cfg.seed)
side = profile(smoke=48, standard=192)
test = torch.cat([*damage.crops(damage.TEST, side).values()])  # three scenes, for testing only
makers = {"free-form": free_form, "scratches": scratched}
masks = {kind: make(test.shape, device.generator(5)) for kind, make in makers.items()}


def dB(x_hat, known, x=test):  # region -> (B,)
    return {name: metrics.psnr(x_hat.clamp(0, 1), x, data_range=1, where=where)
            for name, where in regions(known).items()}


def told(x_hat, known):
    return "  ".join(f"{k} {v.mean():.2f}" for k, v in dB(x_hat, known).items())


known = masks["free-form"]
fills = {"hole": torch.where(known, test, 1), "mean": torch.where(known, test, test[known].mean())}
print("mean of the known pixels, dB:", told(fills["mean"], known))

# %% [markdown] tags=["core", "workshop"]
# The whole is some 7 dB above the hole, whatever the filling, for holes of this size: $10 \log_{10} 5$, the known pixels' gift (R7). Thinner holes get a larger gift.
#
# ## 2 The answer that needs no learning
#
# Lesson 52 chose the filling whose steps to the neighbours have the least sum of squares, $|Sx|^2$. Its slope $2 S^\top S x$ is 0 in the hole: with $L = S^\top S$,
#
# $$ (Lx)_i = \sum_{j \sim i} (x_i - x_j) = 0 , $$
#
# each pixel is the mean of its neighbours: **harmonic**, a soap film. A film meets the rim in a kink: it takes up the rim's values, but not its slopes. So punish *bending* instead: the least $|Lx|^2$, **biharmonic**, a thin steel plate.
# ($L$ is minus the usual Laplacian.) Derive its equations. $L$ is symmetric, $L^\top = (S^\top S)^\top = L$, so half the slope of $|Lx|^2$ is $L^\top L x = LLx$. Write
# $x = x_0 + h$: a start $x_0$ with the known pixels in place, and a change $h$ that is 0 there. With $(1 - m)$ setting known pixels to 0,
#
# $$ (1 - m)\, L L\, h = - (1 - m)\, L L\, x_0 . $$
#
# On changes the left side is symmetric, and $\langle h, (1 - m) LL h \rangle = |Lh|^2 > 0$ for $h \ne 0$ ($Lh = 0$ only for a constant, and $h$ is 0 where known): lesson 52's conjugate gradients solve it. With endless steps any start would do. Ours are few, so we begin
# with 50 steps towards the film, each half as dear (one $L$, not two). The 60 that follow are near enough for strokes. In a wide hole neither arrives: section 8 shows what that does.
#
# **Predict.** A ramp with a hole, and a bowl, $x = t^2$: what do the two make of them? Can the steel plate be *brighter* than all known pixels?
#
# **Your turn (★★, 10 min).** Write `bent`, and let conjugate gradients find the change.
#
# <details><summary>Hint 1</summary><code>bent</code> is the left side as a function: twice the Laplacian, then 0 where known: <code>.masked_fill(known, 0)</code>. The right side is minus
# the same function of <code>start</code>.</details>
# <details><summary>Hint 2</summary><code>return laplacian(___(x)).masked_fill(known, 0)</code>; <code>change = conjugate_gradients(bent, ___, steps)</code>.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def laplacian(x):
    """Return Lx (B, C, H, W): 4 times each pixel less its neighbours, fewer at the border."""
    return damage.differences_adjoint(damage.differences(x))


def biharmonic(y, known, steps=60):
    """Fill y (B, C, H, W), where known is 0, by `steps` steps towards the least |Lx|^2."""
    known = require_known(y, known)
    start = harmonic(torch.where(known, y, 0), known, 50)  # nearly a film
    ### TODO: bent(x), half the slope of |Lx|^2, but 0 where known; the change that makes it 0
    ### BEGIN SOLUTION
    def bent(x):
        return laplacian(laplacian(x)).masked_fill(known, 0)

    change = conjugate_gradients(bent, -bent(start), steps)
    ### END SOLUTION
    return torch.where(known, y, start + change)


# %% tags=["core", "workshop"]
biharmonic = checks.inpainting.biharmonic(biharmonic)
ramp, gap = torch.linspace(-0.8, 0.8, 13).expand(1, 1, 13, 13), square((1, 1, 13, 13))
for name, x in {"ramp": ramp, "bowl": ramp.square()}.items():
    film, plate = ((fill(x, gap) - x).abs().max() for fill in (harmonic, biharmonic))
    print(f"{name}: largest error, film {film:.1e}, plate {plate:.1e}")
fills |= {"harmonic": harmonic(test, known), "biharmonic": biharmonic(test, known), "true": test}
print(*(f"{k:10} {told(fills[k], known)}" for k in ("harmonic", "biharmonic")), sep="\n")
fig = plots.compare({k: x[[0, 3, 6], :, :136, 24:160].clamp(0, 1) for k, x in fills.items()}, value_range=(0, 1))

# %% [markdown] tags=["core", "workshop"]
# Both keep a ramp; only the plate keeps the bowl, the film cuts it off. And the plate overshoots: where slopes meet, it leaves $[0, 1]$, so it is clamped for the eye and the ruler. Still it is better by PSNR for these holes. (The check compares it with scikit-image's.) Neither knows an edge or a texture.
#
# ## 3 A network that starts at the equation's answer
#
# A U-Net that fills holes from nothing needs long training to be as good as the plate. So let it **refine**: it sees the biharmonic filling and the mask, and its output is *added to the filling, in the hole only*. With its last layer at zero it starts
# exactly at biharmonic; it can only learn from there.
#
# The mask is an input (R9): a filling and a clear sky are both smooth, and the network should not have to guess which is which. And what is in the hole of $y$ must not be (R4): it is replaced by the filling before the network sees anything.
#
# As in lesson 51 the body works at half the size, `pixel_unshuffle` of two channels makes eight, colours are repaired one by one, and other sizes are padded to multiples of 8.
#
# **Your turn (★★, 8 min).** `h` is what the body sees. Finish the picture.
#
# <details><summary>Hint 1</summary>As in the network of lesson 51: pixel_shuffle, <code>.float()</code>, crop to <code>[..., :H, :W]</code>, then <code>fill</code>'s shape. Then add it, and choose.</details>
# <details><summary>Hint 2</summary><code>change = F.pixel_shuffle(self.body(h).float(), 2)[..., :H, :W].reshape(___)</code>; <code>torch.where(___, fill, ___)</code>. A product with the mask would
# let nan through: 0 times nan is nan.</details>

# %% tags=["core", "workshop", "export", "exercise"]
class Refiner(nn.Module):
    """Add to fill (B, C, H, W), where not known, what body (N, 8, h, w) -> (N, 4, h, w) finds."""

    def __init__(self, body):
        super().__init__()
        self.body = body
        for parameter in [*body.parameters()][-2:]:  # of the last layer
            nn.init.zeros_(parameter)

    def forward(self, fill, known):
        damage.require_pictures(fill)
        known = require_known(fill, known)
        B, C, H, W = fill.shape
        both = torch.stack([fill - 0.5, (~known).to(fill)], dim=2).reshape(B * C, 2, H, W)
        h = F.pixel_unshuffle(F.pad(both.float(), (0, -W % 8, 0, -H % 8), mode="replicate"), 2)
        ### TODO: the body's change at fill's shape; fill where known, else with the change
        ### BEGIN SOLUTION
        change = F.pixel_shuffle(self.body(h).float(), 2)[..., :H, :W].reshape(B, C, H, W)
        return torch.where(known, fill, fill + change)
        ### END SOLUTION


# %% tags=["core", "workshop"]
Refiner = checks.inpainting.refiner(Refiner)

# %% [markdown] tags=["core", "workshop"]
# **The data.** Lesson 51's patches, with holes of both kinds. Filling is the slow part, 110 steps each time. But a filling keeps constants and contrast and does not care which way is up, and so does *each step* towards it:
#
# $$ \mathrm{fill}(\mathrm{turn}(g\,y + c)) = g\, \mathrm{turn}(\mathrm{fill}(y)) + c , $$
#
# and one pool of filled patches serves for all turns, mirrorings and contrasts. Is that true? The cell measures it.
#
# **The loss** counts the hole only, and needs no mask for it: known pixels come back as they are, and their error is exactly 0. But how do pictures count against each other? With the mean over all pixels thick holes drown scratches. The **root** of each
# picture's mean squared error, averaged, is fairer. Its slope has the same length for every error well above $\sqrt \epsilon$:
#
# $$ \ell = \frac1B \sum_b \sqrt{\textstyle\frac1n |\hat x_b - x_b|^2 + \epsilon} , \qquad \nabla_{\hat x_b} \ell = \frac{1}{B\, n} \frac{\hat x_b - x_b}{\sqrt{\cdots}} , \qquad \epsilon = 10^{-6} . $$
#
# (A *sum* over pixels would multiply it by $\sqrt n$, R8. Plain gradient descent would take steps as much longer; Adam hides it, until the loss is added to another, as in section 6.)
#
# **Your turn (★, 5 min).** Write it. **Predict**, too: what is the slope of a root at 0, without $\epsilon$?
#
# <details><summary>Hint 1</summary>Mean over the axes 1, 2, 3; plus 1e-6; the root; the mean over the batch.</details>
# <details><summary>Hint 2</summary><code>squared = (found - target).square().mean(dim=(___))</code>; <code>(squared + ___).sqrt().mean()</code></details>

# %% tags=["core", "workshop", "export", "exercise"]
def picture_loss(found, target):
    """Return each picture's root mean squared error, with 1e-6 under the root, averaged."""
    ### TODO: the mean of the squares of each picture, its root, the mean over the batch
    ### BEGIN SOLUTION
    squared = (found - target).square().mean(dim=(1, 2, 3))
    return (squared + 1e-6).sqrt().mean()
    ### END SOLUTION


# %% tags=["core", "workshop", "export"]
def fill_pool(clean, makers, number, rng):
    """Return x, its filling, and known, (N, 1, H, W) each; makers of masks take turns."""
    parts = []
    while sum(len(x) for x, _, _ in parts) < number:
        x, make = next(clean), makers[len(parts) % len(makers)]
        known = make(x.shape, rng)
        holed = ~known.flatten(1).all(dim=1)  # a scratch may miss
        parts.append([part[holed] for part in (x, biharmonic(x, known), known)])
    return [torch.cat(part) for part in zip(*parts, strict=True)]


def refining_pairs(pool, batch_size, rng):
    """Yield endless ((fill, known), x) of a pool, turned, mirrored, and of less contrast."""
    while True:
        picked = torch.randint(len(pool[0]), (batch_size,), generator=rng)
        turns, mirror = torch.randint(4, (2,), generator=rng).tolist()
        parts = (part[picked].rot90(turns, (2, 3)) for part in pool)
        x, fill, known = (part.mT if mirror % 2 else part for part in parts)
        gain = 0.6 + 0.4 * torch.rand(batch_size, 1, 1, 1, generator=rng)
        x, fill = (0.5 + gain * (part - 0.5) for part in (x, fill))
        yield (fill, known), x


# %% tags=["core", "workshop"]
picture_loss = checks.inpainting.picture_loss(picture_loss)
pictures = denoising.training_pictures(rng, leaves=profile(smoke=1, standard=2))


def pooled(makers):
    clean = denoising.clean_patches(*pictures, cfg.batch_size, cfg.side, device.generator(1))
    return fill_pool(clean, makers, profile(smoke=32, standard=1600, full=10000), rng)


pool = x, fill, known = pooled([*makers.values()])
apart = (biharmonic(1 - 0.7 * x[:32].mT, known[:32].mT) - (1 - 0.7 * fill[:32].mT)).abs().max()
print(f"{len(pool[0])} patches; filling and turning commute up to {apart:.1e}")

# %% [markdown] tags=["core", "workshop"]
# Up to rounding. And the slope of a root at 0 is infinite: $0 \cdot \infty$ would be nan, so $\epsilon$ stands under it.
#
# ## 4 Train, and measure
#
# Before training: how many weights, is the loss at the start that of the filling, and can it learn two patches nearly by heart? (The loss of a perfect answer is $\sqrt \epsilon = 0.001$.)

# %% tags=["core", "workshop"]
def pairs(pool=pool):
    for (fill, known), x in refining_pairs(pool, cfg.batch_size, device.generator(2)):
        yield (fill.to(dev), known.to(dev)), x.to(dev)


def fresh(*options):
    torch.manual_seed(cfg.seed)
    return Refiner(UNet(8, *options)).to(dev, memory_format=torch.channels_last)


(fill, known), target = next(pairs())
start, wanted = (picture_loss(part, target).item() for part in (fresh()(fill, known), fill))
print(f"{device.count_parameters(fresh()):,} weights; loss {start:.5f}, the filling's {wanted:.5f}")
few, two = replace(cfg, steps=profile(smoke=3, standard=200)), [((fill[:2], known[:2]), target[:2])]
end = train_denoiser(few, fresh(), two * 200, loss=picture_loss, label="two patches")["loss"][1]
assert start == wanted and end[-1] < profile(smoke=9, standard=0.35) * end[0]

# %% [markdown] tags=["core", "workshop"]
# Now the short training, and **shipped weights**, made by `python3 -m course_lib.experiments.inpainting` with the same functions, in the time that is printed. Beside PSNR stands the **judge's distance**: how far the features of the
# filled picture are from those of the true one, for lesson 15's judge of photographs.
#
# **Predict.** Who wins for scratches, a few pixels wide? For free-form holes? Will the judge agree?

# %% tags=["core", "workshop", "export"]
def judge_distance(judge, x, x_hat):
    """Return how far the judge's features of x_hat are from those of x, (B,); both in [0, 1]."""
    a, b = (judge.features(part.expand(-1, 3, -1, -1)) for part in (x, x_hat))
    return (a - b).norm(dim=1)


@torch.no_grad()
def inpaint(net, y, known):
    """Fill y (B, C, H, W) in [0, 1]: biharmonic, refined; known pixels come back bit for bit."""
    known = require_known(y, known)
    damage.require_pictures(torch.where(known, y, 0.5), data_range=1)
    at, fill = next(net.parameters()).device, biharmonic(y.float(), known)
    return torch.where(known, y, net(fill.to(at), known.to(at)).to(y).clamp(0, 1))


# %% tags=["core", "workshop"]
judge, found, nets = judges.judge("photos"), {}, {k: fresh() for k in ("net, short", "net, shipped")}
curve = train_denoiser(cfg, nets["net, short"], pairs(), loss=picture_loss, label="short training")
curve["filling"] = [picture_loss(f, x).item() for ((f, _), x), _ in zip(pairs(), range(cfg.steps), strict=False)]
fig = plots.curves(curve, xlabel="step", ylabel="loss", smooth=25)

# %% tags=["core", "workshop"]
trained.load("inpainter", expert := nets["net, shipped"], data="photos")
for kind, known in masks.items():
    found[kind] = {fill.__name__: fill(test, known).clamp(0, 1) for fill in (harmonic, biharmonic)}
    found[kind] |= {name: inpaint(net, test, known) for name, net in nets.items()}
    print(f"{kind}: dB, and distance for the {judge.name}")
    far = {name: judge_distance(judge, test, x_hat).mean() for name, x_hat in found[kind].items()}
    for name, x_hat in found[kind].items():
        print(f"  {name:13} {told(x_hat, known)}  judge {far[name]:.4f}")
    hole = {name: dB(x_hat, known)["hole"].mean() for name, x_hat in found[kind].items()}
    best = max(hole, key=hole.get), max(far, key=far.get), far["harmonic"] < far["net, shipped"]
    assert side < 192 or best == ("net, shipped", "biharmonic", kind == "scratches")

part = slice(side // 4, 5 * side // 8)  # details
rows = {"hole": fills["hole"], **found["free-form"], "true": test}
fig = plots.compare({k: x[[0, 3, 6], :, part, part] for k, x in rows.items()}, value_range=(0, 1))

# %% [markdown] tags=["core", "workshop"]
# The shipped network beats the plate in the hole by both rulers and for both kinds of holes; the short training has hardly begun. The rulers do not agree about the other two: by PSNR the plate is better, to the judge the film, perhaps because it never overshoots. **In scratches the judge prefers the film even to the network**, and by PSNR the short training hardly differs from the plate: thin lines need little more than an equation. Look where the network gains: outlines (a nose, the rim of an iris) run *through* the hole where the plate lets them fade. Where the truth is texture (hair, fur), all are smooth, and a glint that is hidden stays lost.
# Section 6 shows why, for squared errors: they ask for a mean. A root per picture asks for another kind of middle (the geometric median), no sharper. (In scratches nearly all is ring.)
#
# ## 5 Play
#
# Place a hole. Where does the network help, where does it invent, and how large may a square grow before everything fails?

# %% tags=["core", "workshop"]
views = damage.crops(damage.TEST, 144, grey=False)
views["yours"] = images.fit(datasets.photograph("chelsea"), 144)[None] / 255  # a test scene, too


def play(picture, hole, size, down, right):
    x, rng = views[picture], device.generator(6)
    number = {"square": (size / 144) ** 2, "free-form": size / 200, "scratches": 1 + size // 8}
    known = kinds[hole](x.shape, rng, number[hole]).roll((down, right), (2, 3))
    sheet = {f.__name__: f(x, known).clamp(0, 1) for f in (harmonic, biharmonic)}
    sheet["net"] = inpaint(expert, x, known)
    labels = [f"{name}\n{dB(v, known, x)['hole'].item():.1f} dB, "
              f"judge {judge_distance(judge, x, v).item():.2f}" for name, v in sheet.items()]
    shown = torch.cat([torch.where(known, x, 1), *sheet.values(), x])
    return plots.show_images(shown, value_range=(0, 1), labels=["hole", *labels, "true"], columns=3)


kinds = makers | {"square": square}
explore.View(play, [explore.choice("picture", views, "helmet"), explore.choice("hole", kinds),
                    explore.slider("size", 2, 72, 32), explore.slider("down", -72, 72, 0),
                    explore.slider("right", -72, 72, 0)])

# %% [markdown] tags=["deeper", "workshop"]
# **Your own picture**, cut to a square, becomes `yours` above.

# %% tags=["deeper", "workshop"]
def own(picture):  # uint8
    views["yours"] = images.fit(picture, 144)[None].float() / 255
    return play("yours", "free-form", 32, 0, 0)


explore.upload(own, example=datasets.photograph("chelsea"))

# %% [markdown] tags=["core", "workshop"]
# ## 6 One right answer does not exist
#
# Hide the middle of a digit, $14 \times 14$ of $28 \times 28$ pixels. Often several digits fit. A squared error asks for the conditional mean (lesson 51), a mixture of them. The **context encoder** (Pathak et al. 2016) adds an adversary: a discriminator sees whole
# pictures, true or filled, and the network must also pass:
#
# $$ \text{loss} = -\ln D(\hat x) + w \cdot \text{mean squared error} . $$
#
# The same `Refiner` does, with 0 in the hole instead of a filling. Both networks see the same holes, for equally many steps. (One square in the middle: enough to compare two losses, too little for use, R5 in section 8. With $w = 50$ the two parts are about equally large at the start; we take 200, which is calmer, and let the rate fall to 0.)
#
# **Your turn (★, 3 min).** The sum of the two.
#
# <details><summary>Hint 1</summary>Both are there: <code>gen_loss(logits)</code> of lesson 20 is the mean of −ln D; <code>F.mse_loss</code>.</details>
# <details><summary>Hint 2</summary><code>return gen_loss(___) + weight * F.mse_loss(___, ___)</code></details>

# %% tags=["core", "workshop", "export", "exercise"]
def context_loss(found, target, logits, weight=50.0):
    """Return the adversarial loss of logits (B,) plus weight times the mean squared error."""
    ### TODO: -ln D on average, and the weighted mean squared error of found and target
    ### BEGIN SOLUTION
    return gen_loss(logits) + weight * F.mse_loss(found, target)
    ### END SOLUTION


# %% [markdown] tags=["core", "workshop"]
# **Predict.** Which of the two has the better PSNR? Whose pictures look like digits? And to whose side does the judge of lesson 15 lean?

# %% tags=["core", "workshop"]
context_loss = checks.inpainting.context_loss(context_loss)
digits, held = (datasets.load("strokes", part) for part in ("train", "test"))
small = replace(cfg, steps=profile(smoke=3, standard=500), lr=2e-3)
middle = square((1, 1, 28, 28), share=0.25)[0, 0]


def digit_pairs():
    for (x,) in datasets.batches(digits.images, batch_size=64, generator=device.generator(3)):
        x, known = x.to(dev) / 255, middle.to(dev).expand(x.shape)
        yield (x * known, known), x


x, labels = (part[: profile(smoke=80, standard=2000)] for part in (held.images / 255, held.labels))

# %% tags=["core", "workshop"]
reader, rows, dBs, far = judges.judge("strokes"), {"hole": torch.where(middle, x, 0.4)}, {}, {}


def train_against(cfg, net, disc, pairs, weight):
    adam = {part: torch.optim.Adam(part.parameters(), cfg.lr, (0.5, 0.99)) for part in (net, disc)}

    def descend(part, loss):
        adam[part].param_groups[0]["lr"] = cfg.lr * (1 - run.fraction)  # or luck decides
        adam[part].zero_grad()
        loss.backward()
        adam[part].step()

    with progress(cfg.steps, label=f"weight {weight:g}") as run:
        for _, ((y, known), target) in zip(run, pairs, strict=False):
            found = net(y, known)
            descend(disc, disc_loss(disc(target), disc(found.detach())))
            descend(net, loss := context_loss(found, target, disc(found), weight))
            run.log(loss=loss)


# %% tags=["core", "workshop"]
def arm(name, weight=None):  # train from the same start, score
    net, disc = fresh(16), stable_gans.ShuffleDiscriminator().to(dev)
    if weight is None:
        train_denoiser(small, net, digit_pairs(), label=name)
    else:
        train_against(small, net, disc, digit_pairs(), weight)
    with torch.no_grad():
        x_hat = rows[name] = net((x * middle).to(dev), middle[None, None].to(dev)).cpu().clamp(0, 1)
    dBs[name] = metrics.psnr(x_hat, x, data_range=1, where=~middle[None, None]).mean()
    far[name] = metrics.frechet_distance(reader.features(x_hat), reader.features(x))
    right = (reader.classify(x_hat).argmax(dim=1) == labels).double().mean()
    print(f"{dBs[name]:.2f} dB, Fréchet distance {far[name]:.2f}, read right {right:.1%}")


# %% tags=["core", "workshop"]
arm("squared error")
arm("with adversary", 200.0)
doubt, rows["true"] = (rows["squared error"] * (1 - rows["squared error"])).flatten(1).sum(dim=1).argsort(), x
fig = plots.compare({k: v[doubt[-10:]] for k, v in rows.items()}, value_range=(0, 1), scale=2)
assert small.steps < 500 or sorted(dBs, key=dBs.get) == sorted(far, key=far.get) == [*dBs][::-1]

# %% [markdown] tags=["core", "workshop"]
# The squared error has the better PSNR and pictures in grey, where several strokes fit and their mean is drawn. The adversary's have more black and white, though not every figure is a digit. To the judge they are nearer to true digits, though each pixel is further off: **PSNR rewards the mean, a judge of pictures does not.** Which digit it was, these ten rims do not tell. Over all digits the judge reads neither much more often right than the other.
#
# ## 7 Deeper: many answers, in three ways
#
# Both networks give one answer, the same each time. To see what *may* have stood there, draw from $p(x \mid \text{known})$. None of the three does so exactly:
#
# - **VAE** (31). Begin with noise in the hole. Encode, draw a code, decode, put the known pixels back, and again: each round the code fits better (Rezende et al. 2014, appendix F). We stop after 30 and show a mean.
# - **PixelCNN** (43). Draw the hole pixel by pixel, and weigh each answer by how well it explains what is known *after* it. Draw again by these weights: exact with endlessly many.
# - **The GAN's generator** (24). Search its code: with noise of $\sigma$ (0.2, chosen by eye) on the known pixels and a code from $N(0, 1)$,
#   $-\ln p(z \mid y) = |m \circ (G(z) - y)|^2 / 2 \sigma^2 + |z|^2 / 2$ up to a constant. Descend it from many starts (Yeh et al. 2017): each ends on a peak, which is no draw. ($G$ is brought to $[0, 1]$.)
#
# **Predict.** Which gives the most different answers? Which the sharpest? For which may known and filled pixels not match?

# %% tags=["deeper"]
model, pixels = vae.VAE(vae.Encoder(10), vae.Decoder(10)), greys.PixelNet(2)
trained.load("stable-dcgan", gen := stable_gans.ShuffleGenerator().eval(), data="strokes")
few, other = replace(vae.Config(), steps=profile(smoke=3, standard=1000)), device.generator(4)
vae.train_vae(few, model, vae.binary_batches(digits.images, 128, other), other, label="VAE")
few = replace(greys.Config(), steps=profile(smoke=3, standard=300))
greys.train_pixels(few, pixels, (digits.images[:9999, 0] > 127).byte(), other, label="PixelCNN")

# %% tags=["deeper"]
@torch.no_grad()
def by_vae(y, n, rng):
    x = torch.where(middle, y, torch.rand(n, 1, 28, 28, generator=rng))
    for _ in range(30):
        z = vae.reparameterise(*model.encode(x), rng)
        x = torch.where(middle, y, model.decode(z).sigmoid())
    return x


def by_pixels(y, n, rng):
    drawn, log_weight = greys.complete(pixels, 4 * n, rng, (y[0, 0] > 0.5).byte(), middle)
    weight = log_weight.softmax(dim=0)
    print(f"the weights of {4 * n} draws are worth {1 / weight.square().sum():.1f} equal ones")
    picked = torch.multinomial(weight, n, replacement=True, generator=rng)
    return torch.where(middle, y, drawn[picked, None].float())


def by_codes(y, n, rng, sigma=0.2):
    z = gen.noise(n, rng).requires_grad_()
    optimiser = torch.optim.Adam([z], lr=0.1)
    for _ in range(150):
        x = (gen(z) + 1) / 2
        loss = ((x - y) * middle).square().sum() / (2 * sigma**2) + z.square().sum() / 2
        (z.grad,) = torch.autograd.grad(loss, z)
        optimiser.step()
    return torch.where(middle, y, x.detach().clamp(0, 1))


# %% tags=["deeper"]
covered, sheet, n = rows["hole"], {}, profile(smoke=8, standard=32)
three = [next(k for k in doubt.flip(0).tolist() if labels[k] == digit) for digit in (2, 5, 8)]
for name, draw in {"VAE": by_vae, "PixelCNN": by_pixels, "GAN codes": by_codes}.items():
    for k in three:  # of each digit the most doubtful
        drawn = draw(x[k : k + 1], n, device.generator(6))
        read = reader.classify(drawn).argmax(dim=1).bincount(minlength=10)
        spread, n_inks = drawn[..., ~middle].std(dim=0).mean(), len((drawn > 0.5).unique(dim=0))
        print(f"{name:9} {labels[k]}: {n_inks:2} unlike, spread {spread:.3f}, read", *read.tolist())
        sheet[f"{name}, {labels[k]}"] = torch.stack([covered[k], *drawn[:8], x[k]])
fig = plots.compare(sheet, value_range=(0, 1), columns=10, scale=2)

# %% [markdown] tags=["deeper"]
# (Read as: how many of the answers the judge takes for a 0, 1, ..., 9. Unlike: how many are different, as ink and paper.) The VAE's answers are soft, mere variations, and fit at the rim. The PixelCNN's are ink or paper, which raises a spread by itself, and **fewer**: its 128 draws are worth $1 / \sum w^2$ equal ones, printed, and the same answer comes often (lesson 43's alarm). So the largest spread is not the most answers. The generator's codes
# cannot always explain the known strokes; then the pasted parts do not meet.
#
# ## 8 Break it on purpose
#
# Nothing below raises an error. The first papers trained on one square in the middle, and users brought scribbles (**R5**). A mask is inverted (**R1**). And `biharmonic` may stop early. **Predict** for each the PSNR in the hole, beside the biharmonic one.

# %% tags=["deeper"]
train_denoiser(cfg, only := fresh(), pairs(pooled([square])), loss=picture_loss, label="squares")
for kind, make in {"free-form": free_form, "square": square}.items():
    known = make(test.shape, device.generator(5))
    cases = {f"plate, {n} steps": biharmonic(test, known, n) for n in (60, 1500)}
    cases |= {"film": harmonic(test, known, 400), "R1, inverted": biharmonic(test, ~known)}
    cases |= {k: inpaint(v, test, known) for k, v in (nets | {"R5, squares only": only}).items()}
    print(kind, *(f"  {name:17} {told(x_hat, known)}" for name, x_hat in cases.items()), sep="\n")
sixty, plate, film, *_ = (dB(x_hat, known)["hole"].mean() for x_hat in cases.values())
assert side < 192 or film > sixty > plate and cases["plate, 1500 steps"].max() > 1.1

# %% [markdown] tags=["deeper"]
# **Stopped early.** For strokes 60 steps are as good as 1,500. For a wide square they stop far from the plate, and that is luck: the true plate swings far out of $[0, 1]$ and is worse than the film. So "biharmonic" in this lesson means 60 steps from nearly a film.
#
# **The distribution of the masks is part of the data** (R5): trained on squares, the network gains less on strokes than its twin, and on squares hardly more. (One short run of each: a hint, no proof.) A square of 20 % is also far harder than strokes of 20 %: it covers the face or the eye, and most of it is far from anything known. A share without a shape says little.
# Inverted, the hole is *perfect*, for what was to be hidden is given back, and the rest is ruined: an infinite PSNR is an alarm.
#
# Masks with greys, of another size, or with nothing known, and bytes end in a sentence, and for `inpaint` all values outside $[0, 1]$. A mask without holes gives the picture back.
#
# ## 9 Exercises
#
# **A. Predict (★, 5 minutes).** Can a *harmonic* filling be brighter than the known pixels at its rim? Where is its brightest pixel? The cell below decides, picture by picture.
#
# <details><summary>Hint 1</summary>In the hole each pixel is the mean of its neighbours.</details>
# <details><summary>Hint 2</summary>Can a mean be above all that it is the mean of?</details>
#
# <details><summary>Answer to A</summary>No: the maximum principle. A brightest pixel in the hole would have neighbours as bright, and they too, up to the rim. So the brightest stands beside the rim.</details>

# %% tags=["deeper"]
rim, film = known & (F.max_pool2d((~known).float(), 3, 1, 1) > 0), cases["film"]
highest, bound = (torch.where(where, film, 0).amax(dim=(1, 2, 3)) for where in (~known, rim))
print("brightest in the hole", highest.numpy().round(3), "at its rim", bound.numpy().round(3))
assert (highest <= bound + 1e-3).all()

# %% [markdown] tags=["deeper"]
# **B. Build (★★★, 15 minutes): partial convolution** (Liu et al. 2018). Average over the known pixels of each window only: set the hole to 0, convolve without the bias, divide by the known share of the window, add the bias; 0 where the window knows nothing.
# The new mask is 1 where it knows anything.
#
# <details><summary>Hint 1</summary><code>F.avg_pool2d(known.to(x), self.kernel_size, 1, self.padding)</code> is the share. The bias must neither be divided nor stay where nothing is known.</details>
# <details><summary>Hint 2</summary><code>bias = self.bias[:, None, None]</code>; <code>mixed = super().forward(torch.where(known, x, 0)) - bias</code>; <code>torch.where(share > 0, mixed / ___ + bias, 0)</code>.</details>

# %% tags=["deeper", "export", "exercise"]
class PartialConv(nn.Conv2d):
    """Convolve the known pixels of x (B, C, H, W) alone; also return where any was in sight."""

    def forward(self, x, known):  # 0 and 1, (B, 1, H, W); for a stride of 1, with a bias
        known = require_mask(known)
        damage.refuse(known.shape != x[:, :1].shape, "A mask should be (B, 1, H, W), as x is.")
        ### TODO: the known share of each window; the scaled convolution and the new mask
        ### BEGIN SOLUTION
        share = F.avg_pool2d(known.to(x.dtype), self.kernel_size, 1, self.padding)
        bias = self.bias[:, None, None]
        mixed = super().forward(torch.where(known, x, 0)) - bias
        return torch.where(share > 0, mixed / share.clamp(min=1e-9) + bias, 0), share > 0
        ### END SOLUTION


# %% tags=["deeper"]
PartialConv = checks.inpainting.PartialConv(PartialConv)

# %% [markdown] tags=["deeper"]
# **C. Modify (★★, 10 minutes).** Set `weight` to 5000, and to 0. What becomes of section 6's numbers? Write the two lines; the cell below decides.
#
# <details><summary>Hint 1</summary>Somebody who sums the squares over 784 pixels, and keeps a paper's weight, has multiplied it by 784 (R8).</details>
# <details><summary>Hint 2</summary><code>arm("weight 5000", ___)</code></details>
#
# <details><summary>Answer to C</summary>Compare the printed lines. With 5000 the adversary is hardly heard: expect about the PSNR of the squared error. With 0 nothing ties the filling to <i>this</i> hole but what the discriminator sees: expect a lower PSNR.</details>

# %% tags=["deeper"]
_ = arm("weight 0", 0.0), arm("weight 5000", 5000.0)

# %% [markdown] tags=["deeper"]
# **D. Debug (★★, 10 minutes).** "My network fills holes at 41 dB." Find three faults. The cell below runs it with a "network" that only copies what it sees.
#
# ```python
# mask = F.interpolate(mask, size=x.shape[2:], mode="bilinear")      # 1 in the hole
# out = net(torch.cat([x, mask], 1))
# out = mask * out + (1 - mask) * x
# print(psnr(x, out, data_range=1))
# ```
#
# <details><summary>Hint 1</summary>What does the network see in the hole?</details>
# <details><summary>Hint 2</summary>Which pixels does the PSNR count, and what is a mask of 0.5?</details>
#
# <details><summary>Answer to D</summary>x goes in with the hole's truth in it (R4): the copier is perfect. Set it to 0 or to a filling first. The PSNR is that of the whole picture (R7). A resized mask has greys, which mix truth into the rim (R2) and flatter the score: resize by nearest, and keep it bool.</details>

# %% tags=["deeper"]
print("copier:", told(test, known), " hole set to 0:", told(test * known, known))

# %% [markdown] tags=["core", "workshop"]
# ## 10 To discuss, and to keep
#
# <details><summary><b>R10.</b> "My context encoder is a GAN, so it must give another answer each time." Must it?</summary>No. Nothing random goes in: one hole, one answer. A noise input alone does not help, since the squared error punishes using it. Draw from a posterior (section 7).</details>
# <details><summary><b>R3.</b> A library's "mask" holds 0.5 and 1.5, and a loss multiplied by it still falls. How would you notice?</summary>Assert its values: 0 and 1 only. Or test that the loss is 0 when only known pixels differ.</details>
# <details><summary><b>To discuss.</b> A filled photograph of an accident is shown in court. What should stand beside it?</summary>The mask, and that nothing within it was seen. Better: several answers, or none.</details>
#
# **Summary**
#
# - Name a mask after its ones, keep it bool, and test the convention: the loss is 0 when only known pixels differ.
# - The least squared bending is one linear system. It keeps ramps and bowls, and knows neither edges nor texture.
# - A network that starts at that answer need only learn what is missing.
# - Known pixels are given back bit for bit, and the score is taken in the hole. Where many fillings are right, squared errors return their mean, which is none of them.
# - An adversary trades PSNR for a likely picture; a posterior gives many.
#
# **Later lessons import** `free_form`, `biharmonic`, `Refiner`, `picture_loss`, `inpaint`, `judge_distance`, and weights `inpainter`. **Limits:** grey training, each colour alone, holes a few pixels wide: a wide square stays smooth.
#
# **Papers.** Bertalmio et al. (2000), *Image inpainting* · Damelin and Hoang (2018), *On surface completion and image inpainting by biharmonic functions* · Pathak et al. (2016), *Context encoders*, section 3 · Liu et al. (2018), *Image inpainting for irregular holes using partial convolutions*, section 3 ·
# Yeh et al. (2017), *Semantic image inpainting with deep generative models* · Rezende, Mohamed and Wierstra (2014), *Stochastic backpropagation …*, appendix F · Hestenes and Stiefel (1952), *Methods of conjugate gradients …*.
