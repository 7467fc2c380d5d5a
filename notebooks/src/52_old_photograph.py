# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown] tags=["core", "workshop"]
# # 52 Restore an old photograph
#
# You will build a restorer for scratched, dusty, faded, grainy photographs: a small network finds the dirt, a few lines fill it, undo the fading and
# remove the grain. You will also see what it takes for a scratch that is none.
#
# ![A portrait grown old, a tuned median of it, the dirt that a network found, the picture filled, then stretched and denoised, beside the truth](../data/pictures/52-034.jpg)
#
# | | |
# |---|---|
# | **You need** | the damages and rulers of lesson 50, the U-Net and the training of 51, logits and cross-entropy (10) |
# | **Time** | 60 minutes for the core, 75 more for the rest; the notebook itself runs in a minute on two cores |
# | **Machine** | no GPU, no network, 1.2 GB of memory |
#
# Afterwards you can
#
# 1. train a segmentation network on labels that cost nothing, and judge it when 96 % of the pixels are of one class,
# 2. derive from two costs where to cut its probabilities,
# 3. fill holes by solving a linear system with conjugate gradients,
# 4. read fading and noise off a picture, and say what cannot be read,
# 5. put the steps in an order, give reasons for it, and show where the result is invented.
#
# > **Remember.** Damage that you can make gives you labels for nothing. What is found can be filled; what is filled is invented, however good it looks.

# %% tags=["core", "workshop", "export"]
import math
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import checks, datasets, device, explore, images, metrics, plots, trained
from course_lib.built import damage, denoising  # written in lessons 50 and 51
from course_lib.settings import CourseError, profile


@dataclass
class Config(denoising.Config):  # its other numbers are those of lesson 51
    """The numbers of lesson 52; `profile` picks the value for the profile that you run in."""

    steps: int = profile(smoke=3, standard=700, full=8000)
    batch_size: int = 8
    lr: float = 3e-3


# %% [markdown] tags=["core", "workshop"]
# ## 1 Grow old, on purpose
#
# Nobody has a thousand old photographs with maps of their dirt. But we can *make* old ones: blur, fade, add grain, and draw scratches and
# dust with lesson 50's code, which knows where it drew. **The labels are free.** Fading, grain, blur and dust are drawn by chance, more and less than in the test; a patch gets 1 to 5 scratches, and a fifth of the patches none.
#
# The test is lesson 50's `old_photograph` of its seven crops: a blur of 0.7, contrast 0.6, haze 0.3, noise 0.02, six scratches, dust. **Predict.** Which share of their pixels is dirt?
#
# | symbol | variable | shape |
# |---|---|---|
# | $x$; $y$; $\hat x$ | `x`; `y`; `x_hat` | (B, C, H, W) in $[0, 1]$ |
# | dirt $m$; $1 - m$ | `mask`; `known` | bool (B, 1, H, W); `known` is lesson 50's `Mask`: True = good |
# | logit $l$; $p = 1 / (1 + e^{-l})$ | `logits` | (B, 1, H, W) |
# | contrast $a$, haze $b$; $\sigma$ | `contrast`, `haze`; `sigma` | (B, 1, 1, 1) |
# | $S$, $S^\top$; $L = S^\top S$ (section 5) | `damage.differences`, `differences_adjoint` | pictures to (2, B, C, H, W), and back |


# %% tags=["core", "workshop", "export"]
def grown_old(x, rng):
    """Return x (B, C, H, W) in [0, 1] grown old by chance, and its dirt, bool (B, 1, H, W)."""
    damage.require_pictures(x, data_range=1)
    contrast, haze, sigma, clean = torch.rand(4, len(x), 1, 1, 1, generator=rng)
    contrast, (wide, share) = 0.5 + 0.5 * contrast, torch.rand(2, generator=rng).tolist()
    y = damage.fade(damage.Blur(0.3 + 0.7 * wide)(x), contrast, (1 - contrast) * haze)
    y, number = damage.noisy(y, 0.04 * sigma, rng), torch.randint(1, 6, (), generator=rng).item()
    lines = damage.scratches(x.shape, rng, number)[1] * (clean > 0.2)  # some have none
    drops = damage.dust(x.shape, rng, 0.002 * share)[1]
    y = damage.marked(damage.marked(y, lines), drops)
    return y.clamp(0, 1), torch.maximum(lines.abs(), drops.abs()) > 0.1


def dirty_pairs(clean, rng):
    """Yield ((y,), mask): pictures grown old, and a float (B, 1, H, W), 1 where there is dirt."""
    for x in clean:
        y, mask = grown_old(x, rng)
        yield (y,), mask.float()

# %% tags=["core", "workshop"]
cfg, dev, rng = Config(), device.pick_device(), device.generator(Config.seed)
side = profile(smoke=48, standard=192)
test, tuning = (torch.cat([*damage.crops(names, width).values()])
                for names, width in ((damage.TEST, side), (damage.TUNING, 2 * side // 3)))
(old, dirt), (old_tuning, dirt_tuning) = (
    damage.old_photograph(x, device.generator(3)) for x in (test, tuning))
pictures = denoising.training_pictures(rng, leaves=2)


def pairs():  # the same patches for each net
    rng = device.generator(1)
    clean = denoising.clean_patches(*pictures, cfg.batch_size, cfg.side, rng)
    return (((y.to(dev),), mask.to(dev)) for (y,), mask in dirty_pairs(clean, rng))


(seen,), label = next(pairs())
print(f"dirt: {dirt.float().mean():.1%} of the test's pixels")
fig = plots.compare({"trained on": seen.cpu(), "dirt": label.cpu()}, value_range=(0, 1), columns=6)

# %% [markdown] tags=["core", "workshop"]
# A few percent. What mends *every* pixel, as lesson 50's methods do, risks many good ones for each bad one.
#
# ## 2 The simplest thing, and a ruler for it
#
# The simplest repair is a median of all pixels. What it is worth, PSNR alone cannot say: fading is by far the largest error, and hides the rest. So ask also how good a
# picture is **up to contrast**: with the gain $g$ and the offset $o$ that suit it best. $\sum (g \hat x + o - x)^2$ is a straight line's fit, so
#
# $$ g = \frac{\mathrm{Cov}(\hat x, x)}{\mathrm{Var}(\hat x)} , \qquad o = \bar x - g\, \bar{\hat x} . $$
#
# (This needs the truth: it is for the ruler, never for a repair.) **Predict.** How many dB does the best median gain, up to contrast?

# %% tags=["core", "workshop"]
def matched(x_hat, x):  # g * x_hat + o, for each picture the best g and o
    a, b = (part - part.mean(dim=(1, 2, 3), keepdim=True) for part in (x_hat, x))
    g = (a * b).sum((1, 2, 3), True) / (a * a).sum((1, 2, 3), True).clamp(min=1e-9)
    return (x - b + g * a).clamp(0, 1)


def dB(x_hat, x=test, where=None):  # (B,), up to contrast
    return metrics.psnr(matched(x_hat, x), x, data_range=1, where=where)


def tell(name, x_hat):
    plain = damage.psnr(test, x_hat.clamp(0, 1), data_range=1).mean()
    a, b, c = (dB(x_hat, where=where).mean() for where in (None, dirt, ~dirt))
    print(f"{name:26}{plain:6.2f} dB; up to contrast {a:.2f}, in dirt {b:.2f}, outside {c:.2f}")
    return a


window = max((1, 3, 5, 7), key=lambda k: dB(damage.median_filter(old_tuning, k), tuning).mean())
tell("as it is", old)
medians = [tell(f"median of {k}{', tuned' * (k == window)}", damage.median_filter(old, k))
           for k in (3, 5, 7)]

# %% [markdown] tags=["core", "workshop"]
# The tuned median gains much in the dirt and loses *outside* it: texture is smoothed, and traces of the scratches stay. (On the test a smaller window does better: the tuning crops are smoother. Section 5 meets that again.) Find the dirt *first*.
#
# ## 3 Find the dirt: a task where 96 % is nothing
#
# A finder says of each pixel: dirt or none. How good is it? Its **accuracy** is worthless: "all is clean" has 96 %. Ask instead
#
# - **precision**: of what it marks, which share is dirt? $|F \cap M| / |F|$,
# - **recall**: of the dirt, which share does it mark? $|F \cap M| / |M|$,
# - **IoU**, intersection over union: $|F \cap M| / |F \cup M|$, both in one number.
#
# Where nothing is asked for, nothing is wrong: a division by 0 counts as 1.
#
# The simplest detector: what is far from its median, $|y - \mathrm{median}_5(y)|$, with a threshold tuned on the tuning crops.
#
# **Your turn (★, 5 min).** The three numbers, as floats. **Predict**, too, the IoU of that detector.
#
# <details><summary>Hint 1</summary><code>(found & truth).sum().item()</code> counts the hits; the union is <code>found | truth</code>.</details>
# <details><summary>Hint 2</summary><code>wholes = [part.sum().item() for part in (found, ___, ___)]</code>; <code>[hits / whole if whole else ___ for whole in wholes]</code>.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def scores(found, truth):
    """Return precision, recall and IoU, floats, of bool masks of one shape; 1 for 0 / 0."""
    damage.refuse(found.shape != truth.shape, f"{[*found.shape]} and {[*truth.shape]} differ.")
    damage.refuse({found.dtype, truth.dtype} != {torch.bool}, "Masks are bool: cut them first.")
    ### TODO: hits over what is marked, over what is there, over the union
    ### BEGIN SOLUTION
    hits = (found & truth).sum().item()
    wholes = [part.sum().item() for part in (found, truth, found | truth)]
    return [hits / whole if whole else 1.0 for whole in wholes]
    ### END SOLUTION


# %% tags=["core", "workshop"]
scores = checks.old_photograph.scores(scores)


def line(name, found, truth=dirt):
    accuracy, (p, r, iou) = (found == truth).float().mean(), scores(found, truth)
    print(f"{name:21} accuracy {accuracy:.3f}, precision {p:.3f}, recall {r:.3f}, IoU {iou:.3f}")
    return iou


off, off_tuning = ((y - damage.median_filter(y, 5)).abs() for y in (old, old_tuning))
line("all is clean", torch.zeros_like(dirt))
level = max(torch.arange(2, 40) / 100, key=lambda t: scores(off_tuning > t, dirt_tuning)[2])
best_old = line(f"off the median > {level:.2f}", off > level)

# %% [markdown] tags=["core", "workshop"]
# It misses much, and marks edges and grass, which differ from their median, too (its picture comes below). What is *long and thin and curved* no window of five pixels can see.
#
# ## 4 Learn to find it
#
# A U-Net sees nearly 100 pixels wide. Lesson 51's, narrower, on half the size, gives one logit $l$ for each pixel; the loss is the cross-entropy of all pixels,
#
# $$ -\, m \ln p - (1 - m) \ln (1 - p) . $$
#
# Its last layer begins at 0, so $l = 0$, $p = \frac12$, and the loss begins at $\ln 2$, known before any training. Then: can it learn one batch by heart?
#
# "The classes are unbalanced, so weight the rare one!" What a weight does, a threshold can do afterwards: section 9 derives it. The plain loss keeps honest probabilities.

# %% tags=["core", "workshop", "export"]
class Finder(nn.Module):
    """Find dirt in y (B, 1 or 3, H, W) in [0, 1], of any size: logits (B, 1, H, W)."""

    def __init__(self, width=24):
        super().__init__()
        self.body = denoising.UNet(4, width)
        for parameter in [*self.body.parameters()][-2:]:  # of the last layer
            nn.init.zeros_(parameter)

    def forward(self, y):
        damage.require_pictures(y, data_range=1)
        H, W = y.shape[2:]
        x = F.pad(y.float().mean(dim=1, keepdim=True), (0, -W % 8, 0, -H % 8), mode="replicate")
        logits = F.pixel_shuffle(self.body(F.pixel_unshuffle(x, 2)).float(), 2)
        return logits[..., :H, :W]

# %% tags=["core", "workshop"]
def fresh(net):
    torch.manual_seed(cfg.seed)
    return net().to(dev, memory_format=torch.channels_last)


cross_entropy = F.binary_cross_entropy_with_logits
start = cross_entropy(fresh(Finder)(seen), label).item()
print(f"{device.count_parameters(Finder()):,} weights; loss {start:.4f}, ln 2 {math.log(2):.4f}")
short, two = replace(cfg, steps=profile(smoke=3, standard=200)), [((seen[:2],), label[:2])] * 200
history = denoising.train_denoiser(short, fresh(Finder), two, loss=cross_entropy, label="by heart")
assert abs(start - math.log(2)) < 1e-5 and history["loss"][1][-1] < profile(smoke=1, standard=0.1)

# %% [markdown] tags=["core", "workshop"]
# A second value is known: a net that says the share $s$ of dirt everywhere has the loss $H(s) = -s \ln s - (1 - s) \ln (1 - s)$, without finding anything. **Predict** the curve of the loss, and the maps after 150 steps, after all, and of the shipped weights (longer
# training, same functions: `python3 -m course_lib.experiments.old_photograph`).

# %% tags=["core", "workshop"]
@torch.no_grad()
def ask(net, y=old):
    return net(y.to(dev)).cpu()


batches, maps = pairs(), {}
rare = torch.cat([next(batches)[1] for _ in range(20)]).mean()
for name, steps in (("early", profile(smoke=2, standard=150)), ("late", cfg.steps)):
    net, part = fresh(Finder), replace(cfg, steps=steps)
    history = denoising.train_denoiser(part, net, pairs(), loss=cross_entropy, label=name)
    maps[name] = ask(net)
known = {"ln 2": math.log(2), f"H({rare:.1%})": cross_entropy(rare.logit(), rare).item()}
fig = plots.curves(history, xlabel="step", ylabel="nats a pixel", smooth=25, reference=known)
finder = fresh(Finder)
trained.load("scratch_finder", finder, data="photos")
maps["shipped"] = logits = ask(finder)
found = {name: line(name, part > 0) for name, part in maps.items()}
assert side < 192 or found["shipped"] > found["late"] > best_old > 0.3 > found["early"]
rows = {"old": old, "its dirt": dirt, "off the median": off > level,
        "early, times 10": 10 * maps["early"].sigmoid()}
rows |= {name: maps[name].sigmoid() for name in ("late", "shipped")}
rows = {k: part[[0, 3, 2, 6], :, :120, :120].float().clamp(0, 1) for k, part in rows.items()}
fig = plots.compare(rows, value_range=(0, 1), scale=1, caption="White is dirt.")

# %% [markdown] tags=["core", "workshop"]
# The loss falls to $H(s)$ within a hundred steps, and **rests there** for another hundred and more: the net knows only that dirt is rare. (Ten times as bright, its early map is a blurred picture: it looks at greys, not at lines.) Then it leaves the ledge.
# Late, it beats the detector; the shipped one is far better still. Look at the tripod in the row *late*: long, thin and straight. **Is it a scratch?** Section 7 comes back to that, with the shipped net.
#
# ## 5 Where to cut? Ask what mistakes cost
#
# A marked pixel is filled, an unmarked one stays. Let a missed pixel of dirt cost $c_m$, and a good pixel that is filled cost $c_f$. To mark costs $(1 - p)\, c_f$ on average, to leave costs $p\, c_m$. So mark where
#
# $$ \frac{p}{1 - p} > \frac{c_f}{c_m} , \qquad \text{that is} \qquad l > \ln \frac{c_f}{c_m} . $$
#
# Both costs can be measured, once we can fill. So first:
#
# ### Fill: the smoothest picture that fits
#
# With $Sx$ lesson 50's steps down and right, choose the hole's pixels so that $\frac12 |Sx|^2$ is least. Its slope is $S^\top S x = L x$, which must be 0 *in the hole*. Amid others, $(Lx)_i$ is 4 times $x_i$ minus its four neighbours: **each filled pixel is the mean of its neighbours** (a *harmonic* function, as a soap film is). Write $x = s + d$ with any start $s$ that has the known pixels, and a change $d$
# that is 0 there. With $P$, which keeps the hole and clears the rest,
#
# $$ P L\, d = - P L\, s . $$
#
# A linear system, with as many unknowns as the hole has pixels, and a symmetric matrix $P L P$ that we never write down: we can *apply* it. That is all that **conjugate gradients** need. (Writing them is deeper, ★★★, 20 min: for the core leave that exercise open, and its check hands you the course's. All vectors here are 0 outside the hole, so $P L$ does to them what $P L P$ does.)

# %% [markdown] tags=["deeper", "workshop"]
# **Conjugate gradients, derived.** To solve $Ax = b$ is to minimise $\frac12 x \cdot Ax - b \cdot x$, whose slope is $-r$ with the **residual** $r = b - Ax$. Going along $p$ by $\alpha$ changes it by $\frac12 \alpha^2\, p \cdot Ap - \alpha\, p \cdot r$, least at $\alpha = p \cdot r / p \cdot Ap$;
# then $x$ grows by $\alpha p$, and $r$ shrinks by $\alpha Ap$. Always going along $r$ zigzags. Better: a direction that spoils nothing that is won, $p_{\text{new}} \cdot A p = 0$. Try $p_{\text{new}} = r_{\text{new}} + \beta p$:
#
# $$ \beta = - \frac{r_{\text{new}} \cdot Ap}{p \cdot Ap} = \frac{r_{\text{new}} \cdot r_{\text{new}}}{r \cdot r} , $$
#
# since $Ap = (r - r_{\text{new}}) / \alpha$ and residuals turn out to be orthogonal. For the same reason $p \cdot r = r \cdot r$. All earlier directions stay conjugate as well, so after $n$ steps (as many as unknowns) the answer is exact but for rounding; it is
# good after far fewer.
#
# <details><summary>Hint 1</summary>alpha is rr over <code>bend</code>, which is p · Ap; <code>image</code> is Ap. Where a picture is not going, alpha and beta are 0.</details>
# <details><summary>Hint 2</summary><code>alpha = torch.where(going, rr / bend, 0)</code>; <code>x + alpha * p</code>; <code>r - alpha * ___</code>; then the new rr, and <code>p = r + torch.where(going, rr / old, 0) * ___</code>.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def conjugate_gradients(apply, b, steps=100):
    """Return x (B, C, H, W) with apply(x) = b, by at most `steps` steps, each picture alone.

    apply: linear, symmetric, <v, apply(v)> >= 0 for all v. Hestenes and Stiefel (1952).
    """
    x, r = torch.zeros_like(b), b  # r: the residual, b - apply(x)
    p, rr = r, (r * r).sum(dim=(1, 2, 3), keepdim=True)
    least = torch.finfo(b.dtype).eps ** 2 * rr
    for _ in range(steps):
        image = apply(p)
        bend = (p * image).sum(dim=(1, 2, 3), keepdim=True)
        going = (rr > least) & (bend > 0)
        if not going.any():
            break
        ### TODO: (deeper, may stay open) alpha, 0 where not going; the new x and r, rr, p
        ### BEGIN SOLUTION
        alpha = torch.where(going, rr / bend, 0)
        x, r, old = x + alpha * p, r - alpha * image, rr
        rr = (r * r).sum(dim=(1, 2, 3), keepdim=True)
        p = r + torch.where(going, rr / old, 0) * p
        ### END SOLUTION
    return x


# %% tags=["core", "workshop"]
conjugate_gradients = checks.old_photograph.conjugate_gradients(conjugate_gradients)

# %% [markdown] tags=["core", "workshop"]
# **Your turn (★★, 8 min).** One line: the change $d$. `bent(x)` is $P L x$.
#
# <details><summary>Hint 1</summary>Which right side has the system above? <code>bent</code> may be handed on as it is.</details>
# <details><summary>Hint 2</summary><code>conjugate_gradients(bent, -bent(___), steps)</code>.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def harmonic(y, known, steps=100):
    """Fill y (B, C, H, W), any range, where known is 0: least steps; the rest bit for bit."""
    damage.refuse(known is None or steps < 1, "Hand over a mask, True = good, and steps >= 1.")
    damage.Mask(known)(y)  # refuses what does not fit
    known = damage.Mask(known).known.expand(y.shape)
    count = known.sum(dim=(2, 3), keepdim=True)
    damage.refuse((count == 0).any(), "A picture has no known pixel: there is nothing to go by.")
    mean = torch.where(known, y, 0).sum(dim=(2, 3), keepdim=True) / count
    start = torch.where(known, y, mean)

    def bent(x):  # half the slope of the sum of squares by the hole's pixels, else 0
        return damage.differences_adjoint(damage.differences(x)).masked_fill(known, 0)

    ### TODO: what to add to start: 0 where it is known, and bent(start + change) = 0
    ### BEGIN SOLUTION
    change = conjugate_gradients(bent, -bent(start), steps)
    ### END SOLUTION
    return torch.where(known, y, start + change)

def widened(mask, by):
    """Return a bool mask (B, 1, H, W), grown by so many pixels (0, 1, ...) to all sides."""
    bad = getattr(mask, "dtype", None) != torch.bool or mask.ndim != 4
    damage.refuse(bad, "A mask of dirt is bool (B, 1, H, W), True = dirt: cut it first.")
    damage.refuse(not isinstance(by, int) or by < 0, f"by is 0, 1, 2, ... pixels, not {by}.")
    return F.max_pool2d(mask.float(), 2 * by + 1, 1, by) > 0


# %% tags=["core", "workshop"]
harmonic = checks.old_photograph.harmonic(harmonic)
print(*(f"{n} steps: {dB(harmonic(old, ~dirt, n)).mean():.3f} dB" for n in (1, 3, 10, 30, 100)))

# %% [markdown] tags=["core", "workshop"]
# **Measure the costs.** $c_m$: what filling wins in a dirty pixel; $c_f$: what it loses in a good one, in squared error. Of which pixels? A cut decides only about those *near it*. So measure within 1 of the cut, move the cut to where they say, and again, until both agree; beside it, the PSNR of the fill for all cuts. **Predict** the sign of the cut, and whether that of the tuning crops suits the test.
#
# **Your turn (★, 3 min).** The cut, in one line.
#
# <details><summary>Hint 1</summary>One logarithm of one ratio.</details>
# <details><summary>Hint 2</summary>Costly misses ask for a low cut: <code>math.log(___ / missed)</code>.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def threshold(missed, wasted):
    """Return the logit above which to mark, of the costs c_m and c_f, both above 0."""
    damage.refuse(not (missed > 0 and wasted > 0), "Costs are above 0: is this a pixel in doubt?")
    ### TODO: the logit at which marking costs as much as leaving
    ### BEGIN SOLUTION
    return math.log(wasted / missed)
    ### END SOLUTION


# %% tags=["core", "workshop"]
threshold = checks.old_photograph.threshold(threshold)
logits_tuning, cuts = ask(finder, old_tuning), [k / 2 for k in range(-10, 7)]


def balance(y, x, logits, dirt, at=0.0):
    for _ in range(6):  # known = ~mask: True is good
        filled, doubt = harmonic(y, ~(logits > at - 1)), (logits - at).abs() < 1
        better = (y - damage.fade(x)).square() - (filled - damage.fade(x)).square()
        costs = better[doubt & dirt].mean().item(), -better[doubt & ~dirt].mean().item()
        at = threshold(*costs)
    print(f"c_m {costs[0]:.4f}, c_f {costs[1]:.4f}: cut at l > {at:.2f}")
    return at


def filled(y, x, mask):
    return dB(harmonic(y, ~mask), x).mean().item()


curve = {f"widened by {by}": (cuts, [filled(old_tuning, tuning, widened(logits_tuning > t, by))
                                     for t in cuts]) for by in (0, 1)}
cut = cuts[max(range(len(cuts)), key=curve["widened by 0"][1].__getitem__)]
asked = balance(old_tuning, tuning, logits_tuning, dirt_tuning)
other = balance(old, test, logits, dirt)  # had we looked at the test
assert side < 192 or -3 < asked < other - 0.3 < 0 and abs(cut - asked) < 0.75
for t in (0, cut):  # the second: the best on the tuning crops
    line(f"test, l > {t}", logits > t)
    print(f"filled so: {filled(old, test, logits > t):.2f} dB")
fig = plots.curves(curve, xlabel="marked where the logit is above", ylabel="dB up to contrast")

# %% [markdown] tags=["core", "workshop"]
# A missed pixel of dirt costs several times a good one that is filled: photographs are smooth, and the fill of a thin line is nearly right. So the cut lies well below 0, **recall is worth more than precision here**, and on the tuning crops the curve agrees with the derivation.
# **On the test it does not pay.** Its texture is finer: a pixel filled for nothing costs more beside a missed one, its own cut would lie nearer to 0, and the tuned cut fills no better than $l > 0$. The derivation holds; the *costs* were those of other pictures. We keep the cut: who picks by the test has no test left. Section 7 shows where it wins and loses.
# (A mark that misses the soft rim of a scratch leaves it *known*, and the fill takes its colour: so widening by 1, with a higher cut, does as well on the tuning crops. Two knobs for one thing. Where an invention would matter, as in a doctor's picture, costs are others, and so is the cut.)
#
# ## 6 Unfade, and read the noise
#
# Fading is $y = a x + b$. Neither $a$ nor $b$ is known, but nearly every photograph has something near to black and something near to white. Take a low and a high **percentile** of the picture's numbers as these two (minimum and maximum are noise, or a speck that was not found). It is a guess: a
# wall in fog has no black. And some is gone for good: what was clipped, and what lay between two bytes: contrast 0.6 leaves 154 of 256 steps.
#
# **Your turn (★, 5 min).** The levels. (`noise_level`, below, will tell lesson 51's net its $\sigma$; its derivation is deeper.)
#
# <details><summary>Hint 1</summary><code>ordered</code> holds each picture's numbers, smallest first: number <code>n * share</code> of n + 1 is the low one.</details>
# <details><summary>Hint 2</summary><code>(y - low) / (high - low)</code>, the two viewed as (B, 1, 1, 1).</details>

# %% tags=["core", "workshop", "export", "exercise"]
def levels(y, share=0.002):
    """Stretch y (B, C, H, W), of any range: a share of its numbers ends below 0, one above 1."""
    damage.require_pictures(y)
    damage.refuse(not 0 <= share < 0.5, f"share is 0 to below 0.5, not {share}: low below high.")
    ordered = y.flatten(1).sort(dim=1).values
    n = ordered.shape[1] - 1
    ### TODO: low, high (B, 1, 1, 1), numbers int(n * share) and n - int(n * share); y stretched
    ### BEGIN SOLUTION
    k = int(n * share)
    low, high = (ordered[:, at].view(-1, 1, 1, 1) for at in (k, n - k))
    stretched = (y - low) / (high - low)
    ### END SOLUTION
    wide = high - low > 1e-3 * (ordered[:, -1] - ordered[:, 0]).view(-1, 1, 1, 1)
    return torch.where(wide, stretched, y)  # what is nearly of one colour stays as it is


def noise_level(y):
    """Return sigma (B, 1, 1, 1) of the noise in y (B, C, H, W), H, W >= 2, in its units."""
    damage.require_pictures(y)
    damage.refuse(min(y.shape[2:]) < 2, "The noise is read off squares of 2 x 2 pixels: too thin.")
    d = y.diff(dim=2).diff(dim=3)
    return d.abs().flatten(1).median(dim=1).values.view(-1, 1, 1, 1) / (2 * 0.6745)

# %% [markdown] tags=["deeper", "workshop"]
# **Read the noise, derived.** Four neighbours in a square give $d = y_{00} - y_{01} - y_{10} + y_{11}$. Any constant or ramp is gone. Independent noise is left, with variance $4 \sigma^2$. The standard deviation of $d$ would be ruled by the few
# edges; its **median absolute value** is not. Half of a Gaussian lies within 0.6745 standard deviations, so
#
# $$ \hat\sigma = \frac{\mathrm{median}\, |d|}{2 \cdot 0.6745} . $$
#
# **Predict:** for which pictures, and when, is $\hat\sigma$ too large?

# %% tags=["core", "workshop"]
levels = checks.old_photograph.levels(levels)
for sigma in (0, 2, 10, 25, 50):
    read = 255 * noise_level(damage.noisy(test, sigma / 255, rng)).flatten()
    print(f"noise {sigma:2}: read", *(f"{part:5.1f}" for part in read))

# %% [markdown] tags=["core", "workshop"]
# With little noise the reading is too large everywhere, on grass several times: texture as fine as noise counts as noise, and the two add in squares. Strong noise is read well.
#
# ## 7 The whole chain
#
# **Find, fill, stretch, denoise**, in this order, because
#
# - the finder was trained on old pictures, with their grain,
# - the fill is linear and keeps constants, so filling and stretching may be exchanged, but *reading* the levels must not see dirt: white scratches would be taken for white,
# - to a denoiser a scratch is no noise: it keeps it, and smears its rims. So it comes last. (Section 10 measures the wrong orders.)
#
# **Predict.** Which step gains most? How far is the end from that with the *true* mask?

# %% tags=["core", "workshop", "export"]
def restore(y, mask, denoiser):
    """Return y (B, C, H, W) in [0, 1] without dirt (mask: bool (B, 1, H, W)), fading, noise."""
    damage.require_pictures(y, data_range=1)
    light = levels(harmonic(y, ~widened(mask, 0)).float())  # refuses what is no mask
    return denoiser(light, noise_level(light).clamp(max=60 / 255)).clamp(0, 1)  # 51's range


# %% tags=["core", "workshop"]
noise_level = checks.old_photograph.noise_level(noise_level)
denoiser = denoising.Denoiser(denoising.UNet(5), told=True).requires_grad_(False)
trained.load("denoiser", denoiser, data="photos")
marked = logits > cut
fill, restored = harmonic(old, ~marked), restore(old, marked, denoiser)
tell("fill", fill)
tell("fill, levels", levels(fill))
best = tell("fill, levels, denoise", restored)
middle = tell("the same, l > 0", restore(old, logits > 0, denoiser))
tell("the same, true mask", restore(old, dirt, denoiser))
assert side < 192 or middle > best > max(medians) + 2
parts = old, levels(damage.median_filter(old, window)), marked.float(), fill, restored, test
tiles = torch.cat([part[k : k + 1, :, 8:140, 24:156] for k in (3, 0, 6) for part in parts])
names = ["old", "tuned median", "found", "filled", "restored", "true"]
fig = plots.show_images(tiles.clamp(0, 1), value_range=(0, 1), labels=3 * names, columns=6, scale=1)

# %% [markdown] tags=["core", "workshop"]
# Up to contrast the fill helps in the dirt, and the denoiser everywhere; levels cannot show there (why?), but rule the plain PSNR: the cat has no white of its own, and comes out too light. The chain is far ahead of any median.
# **The tuned cut wins in the dirt, and loses outside it**, where it fills good texture; on the whole, a little less than $l > 0$. The true mask is better: so much a better finder could still gain. Round grey ghosts stay on the sky: haloes of dust, too faint for our mask to call them dirt.
#
# ### Where it invents
#
# Give it the *clean* test crops. Whatever it marks now is a mistake, and is filled. **Predict** where.

# %% tags=["core", "workshop"]
clean_marks = ask(finder, test) > cut
print(f"marked in clean pictures, at l > 0 and at l > {cut}:")
for name, part in zip(damage.TEST, ask(finder, test), strict=True):
    print(f"{name:7} {(part > 0).float().mean():.1%} {(part > cut).float().mean():.1%}")
rows = {"clean": test, "marked": clean_marks.float(), "filled": harmonic(test, ~clean_marks)}
clean_marks[2, ..., 20:, 15:120] = False  # says a person of the tripod
rows["not this"] = harmonic(test, ~clean_marks)
rows = {name: part[2:5, :, :160, :160].clamp(0, 1) for name, part in rows.items()}
fig = plots.compare(rows, value_range=(0, 1), scale=1)

# %% [markdown] tags=["core", "workshop"]
# Half of the tripod is taken for a scratch and *removed*; so are letters, folds, a part of the smile. At $l > 0$ less would be: this is what a low cut costs where there is nothing to repair. Nothing in the picture says that it is no scratch: a person knows. Restoring is not finding out what was there. So the person must be able to say **not this**, as in the last row.
#
# ## 8 Play
#
# `keep` erases the marks in a square around (`row`, `column`): take `grass` *as it is*, and save the tripod. `cut` and `widen` are those of section 5, the median is section 2's. Which pair removes the ghosts, and what else goes?

# %% tags=["core", "workshop"]
views = damage.crops(damage.TEST, 192, grey=False)
views["yours"] = images.fit(datasets.photograph("astronaut"), 192)[None] / 255


def play(picture, state, cut, widen, row, column, keep):
    x, at = views[picture], torch.arange(192)
    y = x if state == "as it is" else damage.old_photograph(x, device.generator(3))[0]
    mask = widened(ask(finder, y) > cut, widen)
    mask &= ((at[:, None] - row).abs() >= keep) | ((at - column).abs() >= keep)
    sheet = {"old": y, "marked": mask.float(), "filled": harmonic(y, ~mask),
             "tuned median": levels(damage.median_filter(y, window)),
             "restored": restore(y, mask, denoiser)}
    known = state == "grown old" or picture != "yours"  # else nobody knows the truth
    bare = {"marked"} if state == "grown old" else {"marked", "old"} if known else {*sheet}
    labels = [k if k in bare else f"{k}\n{dB(v, x).item():.1f} dB" for k, v in sheet.items()]
    sheet, labels = sheet | {"true": x} if known else sheet, [*labels, "true"]
    tiles = torch.cat([part.expand(-1, 3, -1, -1) for part in sheet.values()]).clamp(0, 1)
    return plots.show_images(tiles, value_range=(0, 1), labels=labels[: len(sheet)], columns=3)


explore.View(play, [
    explore.choice("picture", views, "face"), explore.choice("state", ["grown old", "as it is"]),
    explore.slider("cut", -5.0, 5.0, cut, 0.5), explore.slider("widen", 0, 3, 0),
    *(explore.slider(*knob) for knob in (("row", 0, 191, 110), ("column", 0, 191, 70),
                                         ("keep", 0, 96, 0)))])

# %% [markdown] tags=["deeper", "workshop"]
# **Your own old picture**, cut to a square, becomes `yours` above; choose *as it is* there. Nobody knows the truth, so there are no numbers: look.

# %% tags=["deeper", "workshop"]
def own(picture):  # uint8 (3, H, W)
    views["yours"] = images.fit(picture, 192)[None].float() / 255
    return play("yours", "as it is", cut, 0, 0, 0, 0)


explore.upload(own, example=(255 * old[4].expand(3, -1, -1)).byte())

# %% [markdown] tags=["deeper"]
# ## 9 Deeper: weight the rare class after all?
#
# Weight dirt by $w$: at a pixel where dirt has the true probability $q$, $-w q \ln p - (1 - q) \ln (1 - p)$ is least where its derivative by $l$,
# $-wq (1 - p) + (1 - q) p$, is 0:
#
# $$ \frac{p}{1 - p} = w\, \frac{q}{1 - q} , \qquad l_w = l_1 + \ln w . $$
#
# **At the minimum, the weight moves all logits by one constant.** A threshold can do that afterwards; what a weight does on the *way* to the minimum is another matter. **Predict** the two curves of precision over recall, for the net of section 4 and one trained with $w = 20$; and its precision at $p > \frac12$.

# %% tags=["deeper"]
heavy, weight = fresh(Finder), torch.tensor(20.0, device=dev)
denoising.train_denoiser(cfg, heavy, pairs(), label="weighted",
                         loss=lambda f, m: cross_entropy(f, m, pos_weight=weight))
for t in (0, math.log(20)):
    line(f"weighted, l > {t:.1f}", ask(heavy) > t)
curve = {}
for name, part in {"plain": maps["late"], "weighted": ask(heavy), "shipped": logits}.items():
    precision, recall, _ = zip(*(scores(part > t / 2, dirt) for t in range(-8, 17)), strict=True)
    curve[name] = recall, precision
fig = plots.curves(curve, xlabel="recall", ylabel="precision")

# %% [markdown] tags=["deeper"]
# At $p > \frac12$ the weighted net marks far too much; cut at $\ln 20$ it is about where the plain one is, as derived: a little ahead at high recall, behind at low. So a weight is a means of *training*, a threshold one of deciding. Longer training lifts the whole curve.
#
# ## 10 Deeper: the wrong order
#
# **Predict** what two wrong orders cost: denoise before the finder sees the picture; stretch it first, by levels that are read off the dirt.

# %% tags=["deeper"]
smooth, blind = denoiser(old, noise_level(old)).clamp(0, 1), levels(old).clamp(0, 1)
masks = [ask(finder, y) > cut for y in (old, smooth, blind)]
unread = harmonic(blind, ~masks[2])
tell("denoise, find, fill, levels", levels(harmonic(smooth, ~masks[1])))
tell("levels, find, fill, denoise", denoiser(unread, noise_level(unread).clamp(max=60 / 255)))
ious = [line(n, mask) for n, mask in zip(("old", "smooth", "blind"), masks, strict=True)]

# %% [markdown] tags=["deeper"]
# Up to contrast both cost little: the finder marks somewhat worse in smoothed and stretched pictures. In plain dB the second loses much: its levels were read off scratches.
#
# ## 11 Deeper: a tint
#
# Paper yellows: each colour fades in its own way. Three pairs $(a, b)$, one a channel: so read the levels of *each channel alone*, as if they were three pictures. **Predict** what that makes of the cat, which is orange in truth.

# %% tags=["deeper"]
scenes = torch.cat([views[name] for name in ("face", "helmet", "eye")])
sepia = damage.fade(scenes, *torch.tensor([[0.6, 0.5, 0.35], [0.35, 0.3, 0.2]])[..., None, None])
alone = levels(sepia.flatten(0, 1)[:, None]).view_as(sepia)
rows = {"true": scenes, "tinted": sepia, "levels": levels(sepia).clamp(0, 1),
        "each alone": alone.clamp(0, 1)}
for name, part in [*rows.items()][1:]:
    print(f"{name:10}", *(f"{n:.1f}" for n in damage.psnr(scenes, part, data_range=1)), "dB")
fig = plots.compare({name: part[..., 40:, :144] for name, part in rows.items()},
                    value_range=(0, 1), scale=1)

# %% [markdown] tags=["deeper"]
# Each channel alone undoes the tint where a picture holds white and black: the helmet's exactly, up to rounding. The cat, in warm light, holds no white: it loses the light that it was photographed in, worse than doing nothing by the numbers, and looks as convincing. What is paint and what is paper no picture can say.
#
# ## 12 Break it on purpose
#
# Four mistakes. Two raise an error here, because somebody wrote a sentence for them; two do not. **Predict** which: the mask is inverted (R1); the mask was made smaller and larger again, and has greys (R2);
# weights of another architecture are loaded (R11); the picture is divided by 255 twice (R13).

# %% tags=["deeper"]
for call, given in ((lambda known: harmonic(old, known), 0.5 + 0.5 * ~dirt),
                    (lambda net: trained.load("scratch_finder", net, data="photos"), Finder(32))):
    try:
        call(given)
    except CourseError as error:
        print(str(error).rpartition("fit: ")[2])
print(f"255 twice: {(ask(finder, old / 255) > cut).float().mean():.1%} marked, no error")
broken = torch.cat([old, harmonic(old, dirt), harmonic(old, ~dirt)])[3::7].clamp(0, 1)
fig = plots.show_images(broken, value_range=(0, 1), scale=1, labels=["old", "inverted", "right"])

# %% [markdown] tags=["deeper"]
# Inverted, the dirt is kept and the rest is spun between the scratches: one look is enough. Divided twice, the picture is nearly black, but in range, and nothing is found: *look at the numbers that go in*.
#
# ## 13 Exercises
#
# **A. Predict (★, 5 minutes).** `harmonic` fills a hole of 32 x 32 pixels in a face. What will it look like?
#
# <details><summary>Hint 1</summary>Which edge could enter the hole?</details>
# <details><summary>Hint 2</summary>A soap film has no highest point inside. What of an eye?</details>
#
# <details><summary>Answer to A</summary>A smooth spot, with neither edge nor eye: all inside lies between the least and the largest of the rim. That is nearly right for thin lines only. Lesson 53 goes on from there.</details>

# %% tags=["deeper"]
hole, box = torch.zeros_like(dirt), slice(side // 3, side // 2)
hole[..., box, box] = True
fig = plots.show_images(harmonic(test, ~hole)[2:6], value_range=(0, 1), scale=1)

# %% [markdown] tags=["deeper"]
# **B. Modify (★★, 10 minutes).** Weight dirt by 20 in the loss. It is section 9: write its training before you look, and compare the lines that it prints with *late* in section 4. (To build: `conjugate_gradients`, above.)
#
# <details><summary>Hint 1</summary><code>F.binary_cross_entropy_with_logits</code> has a <code>pos_weight</code>.</details>
# <details><summary>Hint 2</summary>Which cut undoes the weight?</details>
#
# **C. Debug (★★, 10 minutes).** "My scratch finder has 97 % accuracy and an IoU of 0 on new pictures." Find three faults.
#
# ```python
# y, mask = grown_old(x / 255, rng)                  # x: bytes
# loss = F.binary_cross_entropy_with_logits(net(y).sigmoid(), mask.float())
# found = net(photo) > 0.5                           # photo: bytes / 255, as scanned
# accuracy = (found == mask).float().mean()
# ```
#
# <details><summary>Hint 1</summary>What does the loss do with what it is given? What is a logit of 0.5?</details>
# <details><summary>Hint 2</summary>Which answer has 97 %, always?</details>
#
# <details><summary>Answer to C</summary>Worst, the sigmoid is taken twice. Even 0 costs a clean pixel ln 2, so most pixels push all logits down, until the first sigmoid is flat: no slope is left to bring the dirt back, and nothing is found for ever (next cell). Then, the cut is 0.5 for a logit, where p is 0.62. And accuracy is the share of clean pixels, which hides all: print recall.</details>

# %% tags=["deeper"]
net, twice = fresh(Finder), lambda logits, mask: cross_entropy(logits.sigmoid(), mask)
history = denoising.train_denoiser(short, net, pairs(), loss=twice, label="sigmoid twice")
line("sigmoid twice", ask(net) > 0)
assert side < 192 or (history["loss"][1][-1] > 0.69 and not (ask(net) > 0).any())

# %% [markdown] tags=["core", "workshop"]
# ## 14 To discuss, and to keep
#
# <details><summary><b>E9.</b> On one machine the restored pictures have coloured stripes; the loss was normal, and so are all numbers on the test set, computed on the same machine. What do you do first?</summary>Restore one picture on the CPU, with the same weights, and compare number by number. A device can corrupt just the output, and a metric that is computed there may hide it.</details>
# <details><summary><b>R11.</b> Two nets have layers of equal shapes, one with partial convolutions, one with plain ones. Weights load without an error, and the loss is huge. Who is to blame?</summary>Shapes do not say what a layer does. A file should say which architecture made it.</details>
# <details><summary><b>To discuss.</b> A museum asks for this chain, an insurance does, a family does. What may be filled, and what must be marked as filled?</summary>A filled pixel is a guess from its neighbours. Keep the original, and the mask beside it.</details>
#
# **Summary**
#
# - Damage that you can make gives you labels for nothing. What is found can be filled; what is filled is invented, however good it looks.
# - Where 96 % of the pixels are clean, accuracy says nothing; precision, recall and IoU do. A class weight moves the logits by its logarithm.
# - Costs say where to cut: mark where the odds exceed $c_f / c_m$. Costs belong to pictures: others ask for another cut.
# - The smoothest fill is a linear system, $P L d = - P L s$, solved by conjugate gradients without writing the matrix.
# - Noise is read off fine differences, fading off percentiles: two guesses about pictures; the second can be far off.
#
# **Later lessons import** `conjugate_gradients`, `harmonic`, `widened`, `levels`, `noise_level`, and weights `scratch_finder`. **Limits:** drawn dirt; no stains, folds or missing corners; the blur stays; noise independent from pixel to pixel.
#
# **Papers.** Hestenes and Stiefel (1952), *Methods of conjugate gradients for solving linear systems* · Ronneberger et al. (2015), *U-Net* · Elkan (2001), *The foundations of cost-sensitive learning*, section 1 · Donoho and Johnstone (1994), *Ideal spatial
# adaptation by wavelet shrinkage* (the median of fine differences) · Immerkær (1996), *Fast noise variance estimation* · Wan et al. (2020), *Bringing old photos back to life*.
