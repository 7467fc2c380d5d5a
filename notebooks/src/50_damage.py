# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown] tags=["core", "workshop"]
# # 50 Damage a photograph and repair it
#
# You will damage photographs (noise, scratches, dust), write two rulers that say how far a picture is from the truth, and mend it by four
# repairs that need no training. What lessons 51 to 54 learn must beat these four.
#
# ![A portrait, damaged in four ways, and the best repair of this lesson below each](../data/pictures/50-030.jpg)
#
# | | |
# |---|---|
# | **You need** | convolution and its adjoint (lessons 12 and 13), a Gaussian's likelihood (lesson 01) |
# | **Time** | 60 minutes for the core, 70 more for the rest; the notebook itself runs in 2 minutes |
# | **Machine** | no GPU, no network, 1 GB of memory |
#
# When you are through, you can
#
# 1. tell the linear part of a damage from the random one, and write its adjoint,
# 2. derive PSNR and SSIM, write both, and name a picture that fools each,
# 3. say what blurring costs, and write a median, which beats a mean for outliers,
# 4. repair by minimising a total variation; deeper: prove that no picture does better,
# 5. tell a fair table from an unfair one.
#
# > **Remember.** A repair is an assumption about pictures, set against a model of the damage. A number for a repair means nothing
# > without its range, its region, and the pictures that it was tuned on.

# %% tags=["core", "workshop", "export"]
import torch
from torch.nn import functional as F

from course_lib import checks, datasets, device, explore, images, metrics, plots
from course_lib.settings import CourseError, profile

# %% [markdown] tags=["core", "workshop"]
# ## 1 What happens to a photograph
#
# Three photographs (`camera`, `chelsea`, `astronaut`) are for testing only in all of part 5. Seven disjoint crops of them
# make the table; crops of *other* photographs set the methods' knobs. Pictures are floats in $[0, 1]$, axes B, C, H, W: pictures in a batch,
# channels, rows, columns. (Codes such as E7 or R2 number mistakes found in real code.)
#
# Nearly all damage to a picture $x$ has the form
#
# $$ y = D(A\,x) : $$
#
# first something **linear**, $A$: light spreads (blur), the sensor has few pixels (down-sampling), parts are covered (mask), colours
# fade (*affine*: linear but for a constant, the haze). Then something **random**, $D$. *Gaussian noise*: $y = Ax + \sigma n$. *Counting photons*: if white sends $N$ of them on average,
# then $y = \mathrm{Poisson}(N \cdot Ax) / N$ has the right mean and variance $Ax / N$: bright parts are noisier. *Salt and pepper*: some
# pixels become white or black. And *dirt*: thin curved **scratches** with soft edges and round specks of **dust** with a faint halo move
# each pixel towards white or black by a `strength` $s \in [-1, 1]$: $y = (1 - |s|)\, x + \max(s, 0)$.
#
# "Noise 25", in papers, means $\sigma = 25/255$ in our range. Noise is not clipped to $[0, 1]$. **Predict.** A black picture gets noise 25 and
# is then clipped, as in any file. What is its mean now?
# (The code is given: read `noisy` and `marked`, skip the rest.)

# %% tags=["core", "workshop", "export"]
TUNING = {"cup": ("coffee", 200, 300), "tower": ("rocket", 213, 320), "wall": ("brick", 256, 256),
          "saddle": ("motorcycle_left", 250, 300), "dial": ("clock", 150, 200)}  # rows, columns
TEST = {"head": ("camera", 128, 214), "coat": ("camera", 384, 128), "grass": ("camera", 384, 384),
        "face": ("astronaut", 128, 214), "sleeve": ("astronaut", 384, 128),
        "helmet": ("astronaut", 384, 384), "eye": ("chelsea", 130, 190)}


def crops(names, side, grey=True):
    """Return name -> crop (1, C, side, side) in [0, 1] of TUNING or TEST, disjoint up to 256."""

    def cut(photograph, row, column):
        x = datasets.photograph(photograph)[None, :, row - side // 2 :, column - side // 2 :]
        return (images.to_grey(x) if grey else x)[..., :side, :side] / 255

    return {name: cut(*place) for name, place in names.items()}

# %% tags=["core", "workshop", "export"]
def refuse(wrong, sentence):
    """Raise CourseError with a sentence if something is wrong."""
    if wrong:
        raise CourseError(sentence)


def require_pictures(*pictures, data_range=None, share=0, **knobs):
    """Refuse what is no finite float (B, C, H, W) in range; share is in 0 to 1, knobs above 0."""
    refuse(not 0 <= torch.as_tensor(share).max() <= 1, f"{share} is not in 0 to 1, as 25 / 255 is.")
    refuse(min([1, *knobs.values()]) <= 0, f"This should be above 0: {knobs}.")
    for x in pictures:
        usual = x.ndim == 4 and x.shape[1] in (1, 3) and x.numel() and x.is_floating_point()
        refuse(not usual, f"Pictures are floats (B, 1 or 3, H, W), not {x.dtype} {[*x.shape]}.")
        refuse(x.shape != pictures[0].shape, f"Two shapes: {[*pictures[0].shape]}, {[*x.shape]}.")
        refuse(not x.isfinite().all(), "A picture holds NaN or infinity: look where it began.")
        lo, hi, R = x.min(), x.max(), data_range
        fits = not R or -1e-3 * R <= lo <= hi <= 1.001 * R and not (R > 100 and 0 < hi <= 1)
        refuse(not fits, f"{lo:.3g} to {hi:.3g} does not fit data_range={R}: clamp it first.")

# %% tags=["core", "workshop", "export"]
def noisy(x, sigma, rng):
    """Add Gaussian noise of standard deviation sigma to x (B, C, H, W); nothing is clipped."""
    require_pictures(x, share=sigma)
    return x + sigma * torch.randn(x.shape, generator=rng, device=x.device)


def poisson(x, photons, rng):
    """Count photons: x in [0, 1], of which white sends `photons` on average; not clipped."""
    require_pictures(x, data_range=1, photons=photons)
    return torch.poisson(x.clamp(min=0) * photons, generator=rng) / photons


def salt_and_pepper(x, share, rng):
    """Make a share of the pixels black or white, half of them each, in all channels at once."""
    require_pictures(x, share=share)
    u = torch.rand(x[:, :1].shape, generator=rng, device=x.device)
    return torch.where(u < share, (u < share / 2).to(x), x)


def fade(x, contrast=0.6, haze=0.3):
    """Return contrast * x + haze, in [0, 1] as x is, if contrast + haze <= 1."""
    return contrast * x + haze


def marked(x, strength):
    """Move x (B, C, H, W) towards white where strength (B, 1, H, W) is > 0, else to black."""
    require_pictures(x)
    return (1 - strength.abs()) * x + strength.clamp(min=0)

# %% tags=["core", "workshop", "export"]
def scratches(shape, rng, number=6):
    """Return a mask, bool (B, 1, H, W), and a strength in [-1, 1] of thin, curved, soft lines."""
    (B, _, *size), side, dev = shape, max(shape[2:]), rng.device

    def between(lo, hi):
        return lo + (hi - lo) * torch.rand(B, number, 1, 1, generator=rng, device=dev)

    row, column = ((torch.arange(n, device=dev) - n / 2) / side for n in size)
    angle, start, length = between(-0.6, 0.6), between(-0.6, 0.3), between(0.2, 1.0)
    along = row[:, None] * angle.cos() + column * angle.sin()  # along a line, in sides
    curve = between(-0.5, 0.5) + between(-0.4, 0.4) * along**2 + (between(8, 25) * along).sin() / 99
    away = side * (column * angle.cos() - row[:, None] * angle.sin() - curve)  # pixels off it
    ends = torch.sigmoid(30 * (along - start)) * torch.sigmoid(30 * (start + length - along))
    depth = between(0.5, 1) * torch.where(between(0, 1) < 0.67, 1.0, -1.0)  # most are light
    each = depth * ends * torch.exp(-((away / between(0.4, 1.1)) ** 2))  # (B, number, H, W)
    strength = each.gather(1, each.abs().argmax(dim=1, keepdim=True))
    return strength.abs() > 0.1, strength


def dust(shape, rng, share=0.001):
    """Return mask and strength, as `scratches`, of specks; share: of pixels that are a middle."""
    (B, _, H, W), at = shape, torch.arange(-6.0, 7.0, device=rng.device)
    away, radii = torch.hypot(at[:, None], at), torch.tensor([0.6, 1.1, 1.8]).to(at)[:, None, None]
    stamps = torch.sigmoid(4 * (radii - away)) - 0.08 * torch.exp(-((away - radii - 1.5) ** 2))
    u = torch.rand(B, 3, H, W, generator=rng, device=rng.device)
    drops = (u < share / 6).float() - (u > 1 - share / 6).float()  # light and dark
    strength = F.conv2d(drops, stamps[None], padding=6).clamp(-1, 1)
    return strength.abs() > 0.1, strength  # the faint halo, 0.08, is not in the mask

# %% tags=["core", "workshop"]
side, rng = profile(smoke=48, standard=192), device.generator(0)  # pixels of the test crops
test, tuning = (torch.cat([*crops(names, side).values()]) for names in (TEST, TUNING))
black, part = noisy(torch.zeros(1, 1, 256, 256), 25 / 255, rng), slice(side // 4, 7 * side // 10)
print(f"black with noise 25: mean {black.mean():.4f}, clipped {black.clamp(min=0).mean():.4f}")
damages = {  # amount 0 to 1; 0.5 is that of the table
    "noise": lambda x, amount, rng: noisy(x, amount * 50 / 255, rng),
    "photons": lambda x, amount, rng: poisson(x, 10 / amount, rng),
    "salt and pepper": lambda x, amount, rng: salt_and_pepper(x, amount / 5, rng),
    "dirt": lambda x, amount, rng: marked(marked(x, dust(x.shape, rng, amount / 250)[1]),
                                          scratches(x.shape, rng, 1 + round(10 * amount))[1])}
assert test.shape[2:] == (side, side) and test.min() >= 0 and test.max() <= 1
shown = {"true": test} | {name: damage(test, 0.5, rng) for name, damage in damages.items()}
shown = {name: x[[0, 3, 5, 6], :, part, part].clamp(0, 1) for name, x in shown.items()}
fig = plots.compare(shown, value_range=(0, 1), scale=1)

# %% [markdown] tags=["core", "workshop"]
# Clipped, black is no longer black: half of the noise is cut off, and the other half leaves a mean of $\sigma / \sqrt{2 \pi} = 0.0391$. No
# averaging brings black back. So we clip for the eye and for the ruler, never before a repair.
#
# ## 2 The linear part has an adjoint
#
# Lesson 13 used the one map $A^\top$ with $\langle Ax, y \rangle = \langle x, A^\top y \rangle$ for all $x$ and $y$. Repair needs it, since $\nabla_x
# \frac12 |Ax - y|^2 = A^\top (Ax - y)$ tells in which direction a picture must change to explain $y$ better. Three operators:
#
# - **Blur.** Rows and columns are blurred one after the other by matrices $G_H$ (H, H) and $G_W$ (W, W), whose rows are Gaussians that sum to 1, also
#   at the border, where they are cut off: $Ax = G_H\, x\, G_W^\top$.
# - **Down-sampling** by $f$: each small pixel is the mean of $f \times f$ large ones (section 11).
# - **Mask**: $Ax = m \circ x$, with $m$ = 1 where a pixel is known, 0 in the hole (section 11).
#
# | symbol | variable | shape |
# |---|---|---|
# | $x$, $y$, $\hat x$ | `x`, `y`, `x_hat` | (B, C, H, W), in $[0, 1]$ but for noise |
# | $G_H$, $G_W$ | `rows`, `columns` of `gaussian_matrices` | (H, H), (W, W) |
# | $\sigma$, $N$, $s$ | `sigma` (of `Blur`: a width in pixels), `photons`, `strength` | numbers; (B, 1, H, W) |
# | $Sx$, $p$, $q$; $\lambda$ (section 7) | `differences(x)`, `p`, `q`; `weight` | (2, B, C, H, W); number |
#
# **Predict.** Which of the three are their own adjoint?
#
# **Your turn (★★, 5 min).** Write the adjoint of the blur. `rows` is $G_H$ and `columns` $G_W$.
#
# <details><summary>Hint 1</summary>A matrix moves to the other side of a scalar product transposed, and it stays on its side of the
# picture.</details>
# <details><summary>Hint 2</summary><code>rows.T @ y @ ___</code>: what is the transpose of <code>columns.T</code>?</details>

# %% tags=["core", "workshop", "export", "exercise"]
def gaussian_matrices(x, sigma):
    """Return (H, H) and (W, W), whose rows are Gaussians of sigma > 0 pixels and sum to 1."""
    require_pictures(x, sigma=sigma)
    places = [torch.arange(n, dtype=x.dtype, device=x.device) for n in x.shape[2:]]
    return [(-((at[:, None] - at) ** 2) / (2 * sigma**2)).softmax(dim=1) for at in places]


class Blur:
    """Blur x (B, C, H, W) by a Gaussian of sigma > 0 pixels, renormalised at the border."""

    def __init__(self, sigma):
        self.sigma = sigma

    def __call__(self, x):
        rows, columns = gaussian_matrices(x, self.sigma)
        return rows @ x @ columns.T

    def adjoint(self, y):
        rows, columns = gaussian_matrices(y, self.sigma)
        ### TODO: the transposed matrices, from the left and from the right
        ### BEGIN SOLUTION
        return rows.T @ y @ columns
        ### END SOLUTION

# %% tags=["core", "workshop"]
Blur = checks.damage.blur(Blur)

# %% [markdown] tags=["core", "workshop"]
# Only the mask is its own adjoint. Down-sampling changes the size. The blur's weights depend on the distance only, which is symmetric, *but* near
# the border its rows are renormalised, and the adjoint has those numbers in its columns: ones do not stay ones.
#
# ## 3 How far from the truth? PSNR
#
# Suppose that the error of a repair $\hat x$ is Gaussian noise of variance $v$ in each of $n$ numbers. The log-likelihood of the true
# picture is
#
# $$ \ln p(x \mid \hat x) = -\frac n2 \ln 2 \pi v - \frac{1}{2v} \sum_i (x_i - \hat x_i)^2 . $$
#
# Its derivative by $v$ is 0 at $v = \frac1n \sum (x_i - \hat x_i)^2$, the **mean squared error**. Put this in: $-\frac1n \ln p =
# \frac12 \ln (2 \pi e\, \mathrm{MSE})$. So the logarithm of the MSE is a surprise per number (a colour pixel has three). It is counted downwards from the range $R$
# that they may have, in decibels:
#
# $$ \mathrm{PSNR} = 10 \log_{10} \frac{R^2}{\mathrm{MSE}} \text{ dB} , \qquad 1 \text{ nat a number} = \frac{20}{\ln 10} = 8.69 \text{ dB} . $$
#
# $R$ is a property of the *format*, 1 for floats in $[0, 1]$ and 255 for bytes, never of the picture at hand. So it has no default.
#
# **Predict.** What is the PSNR of noise 25, without looking at any picture?
#
# **Your turn (★, 5 min).** Write it, for each picture of a batch.
#
# <details><summary>Hint 1</summary>Mean over all but the batch axis, in float64. The logarithm comes last: first the mean of the squares.</details>
# <details><summary>Hint 2</summary><code>(x.double() - y.double()).square().flatten(1).mean(dim=___)</code>; <code>10 *
# torch.log10(___ / mse)</code>.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def psnr(x, y, *, data_range):
    """Return the PSNR (B,) in dB of pictures x, y (B, C, H, W) in [0, data_range]; inf if equal."""
    require_pictures(x, y, data_range=data_range)
    ### TODO: the mean squared error of each picture, in float64, and its PSNR
    ### BEGIN SOLUTION
    mse = (x.double() - y.double()).square().flatten(1).mean(dim=1)
    return 10 * torch.log10(data_range**2 / mse)
    ### END SOLUTION


# %% tags=["core", "workshop"]
psnr, grey = checks.damage.psnr(psnr), torch.full((1, 1, 64, 64), 0.5)
print(f"noise 25 on grey: {psnr(grey, noisy(grey, 25 / 255, rng), data_range=1).item():.2f} dB")

# %% [markdown] tags=["core", "workshop"]
# It is $20 \log_{10} \frac{255}{25} = 20.17$ dB, up to chance, for any picture, as long as nothing is clipped. (Section 9 has more: its
# ruler clips first.)
#
# ## 4 A ruler with neighbours: SSIM
#
# To PSNR each pixel stands alone. The **structural similarity** (Wang et al. 2004) compares windows by their means $\mu$, variances
# $\sigma^2$ and covariance $\sigma_{xy}$. Build it from two relative errors: of the window's **brightness**, and of what is left, the
# **structure**:
#
# $$ a = \frac{(\mu_x - \mu_y)^2}{\mu_x^2 + \mu_y^2 + C_1} , \qquad b = \frac{\mathrm{Var}(x - y)}{\sigma_x^2 + \sigma_y^2 + C_2} , \qquad \mathrm{SSIM} = (1 - a)(1 - b) . $$
#
# An error counts *relative* to what the window holds: texture hides it. The constants keep empty windows from dividing
# 0 by 0: $C_1 = (0.01 R)^2$, $C_2 = (0.03 R)^2$. Since $\mathrm{Var}(x - y) =
# \sigma_x^2 + \sigma_y^2 - 2 \sigma_{xy}$ and $(\mu_x - \mu_y)^2 = \mu_x^2 + \mu_y^2 - 2 \mu_x \mu_y$, this is the formula of the paper:
#
# $$ \mathrm{SSIM} = \frac{2 \mu_x \mu_y + C_1}{\mu_x^2 + \mu_y^2 + C_1} \cdot \frac{2 \sigma_{xy} + C_2}{\sigma_x^2 + \sigma_y^2 + C_2} . $$
#
# The means are weighted by a Gaussian of 1.5 pixels: `local_mean`, at all places where a window of $11 \times 11$ fits. The score is the mean
# over places and channels.
#
# **Your turn (★★, 10 min).** The means are there. Variances and covariance follow from $\sigma_{xy} = \overline{xy} - \mu_x \mu_y$. Write
# $(1 - a)(1 - b)$ or the paper's formula, as you like.
#
# <details><summary>Hint 1</summary><code>local_mean(x * x) - mx**2</code> is a variance; in the same way the covariance. Then the formula, and
# one mean for each picture.</details>
# <details><summary>Hint 2</summary><code>light = (2 * mx * my + c1) / (mx**2 + my**2 + c1)</code>; <code>structure = (2 * ___ + c2) /
# (___ + ___ + c2)</code>; <code>(light * structure).flatten(1).mean(dim=1)</code>.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def local_mean(x):
    """Return the Gaussian-weighted means (B, C, H - 10, W - 10) of the 11 x 11 windows that fit."""
    weights = torch.exp(-(torch.arange(-5, 6, dtype=x.dtype, device=x.device) ** 2) / 4.5)
    kernel = weights[:, None] * weights / weights.sum() ** 2
    return F.conv2d(x, kernel.expand(x.shape[1], 1, 11, 11), groups=x.shape[1])


def ssim(x, y, *, data_range):
    """Return the SSIM (B,) of x, y (B, C, H, W) in [0, data_range], H, W >= 11; 1 if equal."""
    require_pictures(x, y, data_range=data_range)
    refuse(min(x.shape[2:]) < 11, f"SSIM needs pictures of 11 x 11 or more, not {[*x.shape]}.")
    x, y, c1, c2 = x.double(), y.double(), (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mx, my = local_mean(x), local_mean(y)
    ### TODO: two variances, the covariance, the two factors, the mean of their product
    ### BEGIN SOLUTION
    vx, vy = local_mean(x * x) - mx**2, local_mean(y * y) - my**2
    cov = local_mean(x * y) - mx * my
    light = (2 * mx * my + c1) / (mx**2 + my**2 + c1)
    structure = (2 * cov + c2) / (vx + vy + c2)
    return (light * structure).flatten(1).mean(dim=1)
    ### END SOLUTION


# %% tags=["core", "workshop"]
ssim = checks.damage.ssim(ssim)


def score(x, y):  # of one repair
    dB, same = (ruler(x, y.clamp(0, 1), data_range=1).item() for ruler in (psnr, ssim))
    return f"{dB:.1f} dB, {same:.2f}"

# %% [markdown] tags=["core", "workshop"]
# ## 5 Fool both
#
# Move a face one pixel to the right: nobody would see it, but it costs some MSE. Now make four other
# pictures with *exactly the same* MSE: on the straight line from $x$ to a damaged $y$, $x + t\,(y - x)$ has $t^2$ times its MSE.
#
# **Predict.** Five pictures with one PSNR: which look good, which bad? Order them by SSIM.

# %% tags=["core", "workshop"]
x = 0.2 + 0.6 * crops(TEST, 96)["face"]  # room above and below
others = {"moved by 1": x.roll(1, dims=3), "brighter": x + 1, "noise": noisy(x, 1, rng),
          "blur": Blur(4)(x), "stripe": x.index_fill(3, torch.arange(30, 32), 2.0)}
fooled = {k: x + (y - x) * (x.roll(1, 3) - x).norm() / (y - x).norm() for k, y in others.items()}
fig = plots.show_images(torch.cat([x, *fooled.values()]).clamp(0, 1), value_range=(0, 1), scale=1,
                        labels=["true", *(f"{k}\n{score(x, y)}" for k, y in fooled.items())])

# %% [markdown] tags=["core", "workshop"]
# **PSNR is fooled** by the shift and by brightness, which nobody minds. SSIM forgives the
# brightness at once. But **SSIM is fooled**, too: it rates a scar through the face above the shift that nobody sees, since few windows
# touch it. Two rulers and a look are better than one.
#
# ## 6 Repair by averaging: what it costs, and when the median is better
#
# The simplest repair replaces a pixel by a weighted mean of its neighbourhood: blur it. As $A$ is linear, $A(x + \sigma n) = Ax + \sigma An$,
# and the two errors are independent:
#
# $$ \mathbb E\, |A(x + \sigma n) - x|^2 = \underbrace{|Ax - x|^2}_{\text{edges lost}} + \underbrace{\sigma^2 \textstyle\sum_{ij} A_{ij}^2}_{\text{noise left}} . $$
#
# A Gaussian $w$ pixels wide leaves about $1 / (4 \pi w^2)$ of the noise's variance; the edges pay. (In the code the sum is a product,
# of rows and columns, and a mean over pixels, as an MSE is.)
#
# A mean minimises $\sum_k (v_k - m)^2$ over $m$; a **median** minimises $\sum_k |v_k - m|$: the derivative counts the neighbours below $m$
# minus those above, and is 0 when half of them are on either side. How *far* away they are does not count. So an outlier, however white,
# moves the median no further than a slightly white one would, as long as fewer than half are outliers.
#
# **Your turn (★, 5 min).** The median filter. **Predict**, too: which blur is best for noise 25, 0.3, 0.5, 0.7, 1 or 2 pixels?
#
# <details><summary>Hint 1</summary><code>padded.unfold(2, size, 1)</code> cuts windows of rows, in a new last axis. Cut the columns too.</details>
# <details><summary>Hint 2</summary><code>padded.unfold(2, size, 1).unfold(3, size, 1).flatten(4)</code> holds size² numbers for each
# pixel; <code>.median(dim=___).values</code>.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def gaussian_filter(y, sigma):
    """Repair y (B, C, H, W) by a Gaussian blur of sigma pixels."""
    return Blur(sigma)(y)


def median_filter(y, size):
    """Replace each number of y (B, C, H, W) by the median of size x size around it, size odd."""
    require_pictures(y)
    refuse(size < 1 or size % 2 == 0, f"A window with a middle has an odd size, not {size}.")
    padded = F.pad(y, (size // 2,) * 4, mode="replicate")
    ### TODO: the median of the size x size numbers around each
    ### BEGIN SOLUTION
    return padded.unfold(2, size, 1).unfold(3, size, 1).flatten(4).median(dim=4).values
    ### END SOLUTION

# %% tags=["core", "workshop"]
median_filter, x, noise = checks.damage.median_filter(median_filter), tuning[:1], 25 / 255
for wide in (0.3, 0.5, 0.7, 1.0, 2.0):
    share, other = (G.square().sum(dim=1).mean() for G in gaussian_matrices(x, wide))
    lost, left = (Blur(wide)(x) - x).square().mean(), noise**2 * share * other
    mse = (Blur(wide)(noisy(x, noise, rng)) - x).square().mean()
    print(f"blur {wide}: lost {lost:.5f} + left {left:.5f} = {lost + left:.5f}; true {mse:.5f}")

# %% [markdown] tags=["core", "workshop"]
# The derived sum is the measured error, up to chance; 1 pixel is the best compromise of the five. A better repair must not average *across* edges.
#
# ## 7 Total variation: the repair as an optimisation
#
# You want $\hat x$ near to $y$, with little up and down. Let $Sx$ be the steps to the pixel below and to the right, an arrow
# at each pixel. The **total variation** sums the *lengths* of the arrows, not their squares, so that one jump of 1 costs no more than ten
# steps of 0.1: edges may stay (Rudin, Osher and Fatemi 1992).
#
# $$ \hat x = \arg\min_x \tfrac12 |x - y|^2 + \lambda \sum_{ij} |(Sx)_{ij}| $$
#
# Many small steps find the minimum. **Writing the step is deeper (★★★, 20 min): for the core leave the exercise open**, and its
# check hands you the course's version.
#
# **Predict.** What does a large $\lambda$, 0.4, make of a cup? And could you ever *know* that no picture is better?

# %% [markdown] tags=["deeper", "workshop"]
# **The step, and a proof.** A length has no slope at 0, where most arrows shall end. The trick: it is the best scalar product with an arrow no
# longer than 1, $|v| = \max_{|p| \le 1} p \cdot v$. So we look for $\min_x \max_p \frac12 |x - y|^2 + \lambda \langle p, Sx \rangle$, and
# $\langle p, Sx \rangle = \langle S^\top p, x \rangle$. For given $p$, set the derivative $x - y + \lambda S^\top p$ to 0:
#
# $$ x = y - \lambda S^\top p . $$
#
# And $p$ climbs along its slope, $\lambda Sx$. How far? Move $p$ by $d$, and the slope changes by $-\lambda^2 S S^\top d$, at most $8 \lambda^2 |d|$:
# $(a - b)^2 \le 2 a^2 + 2 b^2$, and a pixel is in four differences, so $|Sx|^2 \le 8 |x|^2$. So a step of $1 / (8 \lambda^2)$ does not overshoot: $p$ grows
# by $Sx / (8 \lambda)$. Then arrows longer than 1 are cut to 1.
#
# Momentum makes it faster (Beck and Teboulle 2009): $q$ is $p$, carried on by a little of its last movement, and the step starts *there*: $x$ belongs
# to $q$, and $q$ climbs. (Chambolle's method of 2004, which scikit-image has, divides by 1 + length instead of cutting.)
#
# The **proof**. For *any* picture $z$, with $\mathrm{TV}(z) = \sum |Sz|$ and the $x$ of a $p$:
#
# $$ \tfrac12 |z - y|^2 + \lambda\, \mathrm{TV}(z) \;\ge\; \tfrac12 |z - y|^2 + \lambda \langle S^\top p, z \rangle \;\ge\; \tfrac12 |x - y|^2 + \langle y - x, x \rangle
# = \tfrac12 |y|^2 - \tfrac12 |x|^2 . $$
#
# The first holds as $|p| \le 1$; the second, as the middle is least at $z = x$. So no picture lies below the right side. Where the objective of $x$ meets it, you
# are done.
#
# **Deeper exercise (★★★, 20 min).** Three lines for one step, ending in `new`.
#
# <details><summary>Hint 1</summary>x from q, as in the formula; new is q plus slope times step; then divide each arrow by its length, if that is
# above 1.</details>
# <details><summary>Hint 2</summary><code>new = q + differences(x) / ___</code>; <code>new = new / new.norm(dim=0).clamp(min=___)</code>.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def differences(x):
    """Return the steps of x (B, C, H, W) down and right, (2, B, C, H, W); 0 at the far border."""
    return torch.stack([F.pad(x.diff(dim=2), (0, 0, 0, 1)), F.pad(x.diff(dim=3), (0, 1))])


def differences_adjoint(p):
    """Return the adjoint of `differences`: (2, B, C, H, W) -> (B, C, H, W)."""
    return -F.pad(p[0][:, :, :-1], (0, 0, 1, 1)).diff(dim=2) - F.pad(p[1][..., :-1], (1, 1)).diff()


def total_variation(y, weight, steps=50):
    """Minimise |x - y|^2 / 2 + weight * sum of |Sx| over x (B, C, H, W), channel by channel."""
    require_pictures(y, weight=weight)
    p = q = torch.zeros_like(differences(y))  # q: where the step starts
    for step in range(steps):
        ### TODO: x from q; new, which is q one step up; no arrow of new longer than 1
        ### BEGIN SOLUTION
        x = y - weight * differences_adjoint(q)
        new = q + differences(x) / (8 * weight)
        new = new / new.norm(dim=0).clamp(min=1)
        ### END SOLUTION
        p, q = new, new + step / (step + 3) * (new - p)
    return y - weight * differences_adjoint(p)

# %% tags=["core", "workshop"]
total_variation, w = checks.damage.total_variation(total_variation), 0.08
y = noisy(x.double(), noise, rng)
for steps in (0, 5, 50, 500):
    z = total_variation(y, w, steps)
    cost = (z - y).square().sum() / 2 + w * differences(z).norm(dim=0).sum()
    print(f"{steps:3} steps: objective {cost:.2f} >= {(y**2 - z**2).sum() / 2:.2f}; {score(x, z)}")
strip = {"y": y, "blur 1": Blur(1)(y)} | {f"λ = {v}": total_variation(y, v) for v in (0.02, w, 0.4)}
fig = plots.show_images(torch.cat([*strip.values()])[..., 20:140, 20:140].clamp(0, 1),
                        value_range=(0, 1), labels=[*strip], columns=5, scale=1)

# %% [markdown] tags=["core", "workshop"]
# The objective meets the bound below which no picture lies: it cannot be bettered. How well it suits photographs, the PSNR says, which hardly changes
# after 50 steps. A small $\lambda$ leaves grain, a large one makes wax.
#
# ## 8 Non-local means
#
# Which pixels may be averaged? Not the near ones, the **alike** ones (Buades, Coll and Morel 2005): those with patches alike around
# them, as along an edge, within `reach` (ours is 5 pixels; the paper's 10). With $d_{ij}$ the mean squared difference of two patches, pixel $j$ gets the weight $e^{-d_{ij} /
# h^2}$ in the mean for $i$.
#
# Shift the whole picture by one vector: the squared difference, averaged by a box filter, holds the patch distances of *all* pixels to their
# neighbours at this vector. So the loop goes over $11^2$ shifts, never over pixels. (A pixel is always exactly like itself; it gets the best weight of
# the others.)

# %% tags=["core", "workshop", "export"]
def non_local_means(y, h, patch=5, reach=5):
    """Average pixels of y (B, C, H, W) up to `reach` away; weights exp(-d / h^2) by patches."""
    require_pictures(y, h=h)
    (H, W), total, weights, best = y.shape[2:], 0, 0, torch.full_like(y[:, :1], 1e-6)
    padded, shifts = F.pad(y, (reach,) * 4, mode="replicate"), range(2 * reach + 1)
    for i, j in ((i, j) for i in shifts for j in shifts if not i == j == reach):
        other = padded[:, :, i : i + H, j : j + W]
        apart = (y - other).square().mean(dim=1, keepdim=True)
        apart = F.avg_pool2d(apart, patch, 1, patch // 2, count_include_pad=False)
        weight = torch.exp(-apart / h**2)
        total, weights, best = total + weight * other, weights + weight, best.maximum(weight)
    return (total + best * y) / (weights + best)


def tune(method, grid, pairs):
    """Return the value of grid with the best mean PSNR of method(y, value), and value -> PSNR."""
    scores = {value: torch.cat([psnr(x, method(y, value).clamp(0, 1), data_range=1)
                                for x, y in pairs]).mean().item() for value in grid}
    return max(scores, key=scores.get), scores

# %% [markdown] tags=["core", "workshop"]
# ## 9 One fair table
#
# Every method has a knob. Turned on the test pictures, it would know them; left at a default, it would lose for nothing. So: the same *tuning* crops for
# all, a grid for each, for each damage anew. Then once over the seven test crops: mean ± spread.
#
# **Predict** the winner for each damage, by PSNR and by SSIM.

# %% tags=["core", "workshop"]
repairs, chosen, best = {  # name -> method and grid
    "as it is": (lambda y, _: y, (0,)),
    "Gaussian": (gaussian_filter, (0.2, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0)),
    "median": (median_filter, (1, 3, 5, 7, 9)),
    "total variation": (total_variation, (0.01, 0.02, 0.04, 0.06, 0.09, 0.13, 0.2, 0.4)),
    "non-local means": (non_local_means, (0.02, 0.05, 0.07, 0.09, 0.13, 0.2, 0.3, 0.5))}, {}, {}


def tabulate(name):
    y, pairs = damages[name](test, 0.5, rng), [(tuning, damages[name](tuning, 0.5, rng))]
    print(f"\n{name:18}knob      PSNR in dB      SSIM")
    for method, (repair, grid) in repairs.items():
        chosen[name, method] = knob = tune(repair, grid, pairs)[0]
        x_hat = repair(y, knob).clamp(0, 1)
        dB, same = (ruler(test, x_hat, data_range=1) for ruler in (psnr, ssim))
        best[name] = max(best.get(name, (0,)), (dB.mean(), method, y, x_hat), key=lambda b: b[0])
        print(f"{method:16}{knob:6}   {dB.mean():6.2f} ± {dB.std():4.2f}    {same.mean():.3f}")


for name in damages:
    tabulate(name)
assert profile(smoke=True, standard=best["salt and pepper"][1] == best["dirt"][1] == "median")
tiles = torch.cat([b[k][3:4, :, 20:160, 20:160] for k in (2, 3) for b in best.values()])
labels = [*best, *(f"{b[1]}\n{score(test[3:4], b[3][3:4])}" for b in best.values())]
fig = plots.show_images(tiles.clamp(0, 1), value_range=(0, 1), labels=labels, columns=4, scale=1)

# %% [markdown] tags=["core", "workshop"]
# No method wins everywhere. In PSNR, non-local means and total variation lead for **noise** and **photons**, above the blur. For **salt and
# pepper** and for **dirt** the median wins: a white pixel is no small deviation, and what assumes small deviations smears it.
# **SSIM disagrees** three times: it prefers total variation for noise, the plain blur for photons, and for dirt the picture *as it is*: to mend a few
# pixels, every method changes them all, and texture is lost. (Lesson 52 finds the dirt first.) The best for photons leaves grain where the face is bright:
# there they are noisier, and one knob cannot suit all. And the crops differ more than the two best methods do: always compare on the same crops.
#
# ## 10 Play
#
# `amount` 0.5 is the damage of the table, and `knob` 0 the value tuned for it; -1 and 1 are its neighbours in the grid, up to the ends. Find a damage that no
# method mends, and a knob that makes faces of wax. (On these pictures that is looking, not tuning.)

# %% tags=["core", "workshop"]
pictures = crops(TEST, 192, grey=False) | {"yours": crops(TUNING, 192, grey=False)["cup"]}


def play(picture, damage, amount, method, knob):
    x, (repair, grid) = pictures[picture], repairs[method]
    y = damages[damage](x, amount, device.generator(5))
    place = min(max(grid.index(chosen[damage, method]) + knob, 0), len(grid) - 1)
    x_hat = repair(y, grid[place])
    said = ["undamaged", f"damaged: {score(x, y)}", f"{method} {grid[place]}: {score(x, x_hat)}"]
    return plots.show_images(torch.cat([x, y, x_hat]).clamp(0, 1), value_range=(0, 1), labels=said)


explore.View(play, [explore.choice("picture", pictures, "face"),
    kind := explore.choice("damage", damages), explore.slider("amount", 0.1, 1.0, 0.5, 0.1),
    explore.slider("knob", -3, 3, 0), explore.choice("method", repairs, "non-local means")])

# %% [markdown] tags=["deeper", "workshop"]
# **Your own picture.** Blur, fading, grain, scratches and dust at once make an `old_photograph`. **Predict:** which method mends it? (Yours, cut to a square, becomes
# `yours` in the view. What was wrong with it before counts as right there: only the damage added is known.)

# %% tags=["deeper", "workshop", "export"]
def old_photograph(x, rng):
    """Return x (B, C, H, W) in [0, 1] grown old, and the mask of its dirt, bool (B, 1, H, W)."""
    (a, lines), (b, drops) = scratches(x.shape, rng), dust(x.shape, rng)
    return marked(marked(noisy(fade(Blur(0.7)(x)), 0.02, rng), lines), drops).clamp(0, 1), a | b

# %% tags=["deeper", "workshop"]
def own(picture):  # uint8 (3, H, W)
    pictures["yours"] = images.fit(picture, 192)[None].float() / 255
    return play("yours", "old photograph", 0.5, "median", 0)


damages["old photograph"] = lambda x, amount, rng: old_photograph(x, rng)[0]
tabulate("old photograph")
undone = median_filter((best["old photograph"][2] - 0.3) / 0.6, 3)  # fade, solved for x
print(f"undone, then median: {psnr(test, undone.clamp(0, 1), data_range=1).mean():.2f} dB")
explore.upload(own, example=datasets.photograph("coffee"))

# %% [markdown] tags=["deeper"]
# None to speak of; some make it worse. Nobody told them of the fading, by far the largest error: undo it, and a median beats all four
# by far. *Know the damage.* But long scratches stay; lesson 52 finds them.
#
# ## 11 Deeper: fewer pixels, masks, and which pixels count
#
# Down-sampling takes the mean of $f \times f$ pixels, each with the weight $1/f^2$. Its adjoint hands that share back to each.
# (Every $f$-th pixel alone, `x[..., ::f, ::f]`, looks sharper and is wrong: stripes finer than $2f$ come back as coarse ones, **aliasing**.)

# %% tags=["deeper", "export"]
class Downsample:
    """Average factor x factor pixels of x (B, C, H, W); H, W must be multiples of factor."""

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x):
        require_pictures(x)
        refuse(any(n % self.factor for n in x.shape[2:]), f"Crop to multiples of {self.factor}.")
        return F.avg_pool2d(x, self.factor)

    def adjoint(self, y):
        require_pictures(y)
        return y.repeat_interleave(self.factor, 2).repeat_interleave(self.factor, 3) / self.factor**2


# %% [markdown] tags=["deeper"]
# A mask, 1 = known, 0 = hole, is damage without any chance. (Some papers mean it the other way round. And a mask that was
# resized, or saved as JPEG, has greys in between, R2 and R3: ours refuses them.)
#
# It chooses, it does not weigh: NaN times 0 is NaN. **Predict.** A hole of 1/36 of a picture is filled with the mean of the known pixels.
# Its PSNR on the whole picture? In the hole?

# %% tags=["deeper", "export"]
class Mask:
    """Keep known pixels of x (B, C, H, W), else 0. known: bool, or 0 and 1, (H, W) or as x."""

    def __init__(self, known):
        binary = ((known == 0) | (known == 1)).all()
        refuse(not binary, "A mask holds 0 (hole) and 1 (known) only: threshold it first.")
        self.known = known.bool()

    def __call__(self, x):
        require_pictures(x)
        (B, C, *size), known = x.shape, self.known
        fits = [*known.shape] in (size, *([b, c, *size] for b in (1, B) for c in (1, C)))
        refuse(not fits, f"A mask {[*known.shape]} does not fit {[*x.shape]}.")
        return torch.where(known, x, 0)

    adjoint = __call__

# %% tags=["deeper"]
Mask, Downsample = checks.damage.mask(Mask), checks.damage.downsample(Downsample)
x, hole = test[3:4], F.pad(torch.ones(1, 1, side // 6, side // 6), (side // 3, side // 2) * 2) > 0
z = torch.where(hole, Mask(~hole)(x).sum() / (~hole).sum(), x)
near = F.max_pool2d(hole.float(), 9, 1, 4) > F.avg_pool2d(hole.float(), 9, 1, 4)  # 4 pixels: rim
print(f"whole {score(x, z)};", *(f"{k} {metrics.psnr(z, x, data_range=1, where=v).item():.1f} dB"
                                 for k, v in {"hole": hole, "ring": near}.items()))

# %% [markdown] tags=["deeper"]
# Pasted pixels hide almost any hole (R7): the whole has 1/36 of the hole's MSE, a gift of $10 \log_{10} 36 = 15.6$ dB. So report the hole, the
# ring (four pixels on both sides of its rim, where seams show; half of it is pasted, too) and the whole.
#
# ## 12 Deeper: JPEG
#
# JPEG cuts the picture into $8 \times 8$ blocks and writes each as a sum of cosines. With the orthonormal matrix $K$, whose row $k$ samples
# $\cos \frac{\pi k (2 j + 1)}{16}$, the amounts are $c = K b K^\top$, and $b = K^\top c\, K$. So far nothing is lost. Then each amount is **rounded** to a
# multiple of its step $q$ in a table: coarse for fast cosines, coarser for low quality. Rounding is our second $D$, after clipping, that is neither random nor linear.
#
# **A. Build (★★, 10 minutes).** The rounding. (Each channel is treated as brightness; the real JPEG has coarser colour.)
#
# <details><summary>Hint 1</summary>To amounts, to the nearest multiples of <code>steps</code>, and back. A matrix product acts on the
# last two axes, which are those of a block.</details>
# <details><summary>Hint 2</summary><code>K @ blocks @ K.T</code>; <code>(amounts / steps).___() * steps</code>; <code>K.T @ ___ @
# K</code>.</details>

# %% tags=["deeper", "export", "exercise"]
JPEG_TABLE = """16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29
    51 87 80 62 18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101
    72 92 95 98 112 100 103 99"""  # the standard's steps for quality 50


def jpeg(x, quality):
    """Return x (B, C, H, W) in [0, 1] as a JPEG of quality 1 to 100 keeps it, up to rounding."""
    require_pictures(x, data_range=1)
    refuse(not 1 <= quality <= 100, f"quality is 1 to 100, not {quality}.")
    scale, (H, W) = 5000 // quality if quality < 50 else 200 - 2 * quality, x.shape[2:]
    table = torch.tensor([int(q) for q in JPEG_TABLE.split()]).view(8, 8)
    steps, at = ((table * scale + 50) // 100).clamp(1, 255).to(x), torch.arange(8).to(x)
    K = F.normalize(torch.cos(torch.pi * at[:, None] * (2 * at + 1) / 16), dim=1)
    padded = F.pad(255 * x - 128, (0, -W % 8, 0, -H % 8), mode="replicate")
    blocks = padded.unflatten(3, (-1, 8)).unflatten(2, (-1, 8)).transpose(3, 4)
    ### TODO: blocks (..., 8, 8) to amounts, to the nearest multiples of steps, and back
    ### BEGIN SOLUTION
    amounts = K @ blocks @ K.T
    blocks = K.T @ ((amounts / steps).round() * steps) @ K
    ### END SOLUTION
    return ((blocks.transpose(3, 4).flatten(4).flatten(2, 3)[:, :, :H, :W] + 128) / 255).clamp(0, 1)

# %% tags=["deeper"]
jpeg = checks.damage.jpeg(jpeg)
damages["JPEG"] = lambda x, amount, rng: jpeg(x, round(21 - 20 * amount))
tabulate("JPEG")  # amount 0.5: quality 11
kind.options = [*damages]  # in the view of section 10

# %% [markdown] tags=["deeper"]
# No method gains much here. (The view of section 10 has JPEG now, and the old photograph.)
#
# ## 13 Break it on purpose
#
# Mistakes that raise no error. **C. Debug (★★, 10 minutes).** "My denoiser reaches 77 dB at noise 25." Find at least three faults. The cell below prices all but one.
#
# ```python
# noise = 25 * np.random.randn(*x.shape)             # x: uint8 (H, W)
# y = np.clip(x + noise, 0, 255).astype(np.uint8)
# x_hat = denoise(y / 255)                           # floats
# print(peak_signal_noise_ratio(x / 255, x_hat, data_range=x.max()))
# best = max(weights, key=lambda w: score(x / 255, denoise(y / 255, w)))   # x: the test picture
# ```
#
# <details><summary>Hint 1</summary>Which range do the pictures have in the fourth line, and what is said?</details>
# <details><summary>Hint 2</summary>Which pictures may turn a knob? And what has happened to the noise in black places?</details>
#
# **Predict**, too: without `clip`, bytes go round from 255 to 0.

# %% tags=["deeper"]
y = 255 * noisy(test, 25 / 255, rng)
cut, around = y.clamp(0, 255).byte() / 255, y.short().byte() / 255
for k, z in {"fair": y / 255, "cut": cut, "round": around}.items():
    dB, light = metrics.psnr(test, z, data_range=1, tolerance=1).mean(), 255 * (z - test).mean()
    print(f"{k:5} {dB:.2f} dB, by range 255 {dB + 48.13:.2f}; mean error {light:+.2f} / 255")
fig = plots.show_images(torch.cat([cut, around])[3::7], value_range=(0, 1), labels=["cut", "round"])

# %% [markdown] tags=["deeper"]
# x.max() of bytes is about 255, the pictures are in 0 to 1: $20 \log_{10} 255 = 48.13$ dB are a gift, which our rulers refuse to give (E7; a well-known library guesses 2 for floats: 6 dB). `astype` cuts off instead of rounding: half a grey level
# darker, hidden here, as clipping lightens the black. The noise is clipped: not what a method assumes. And the knob was turned on the test picture. Bytes that go round make white specks in black and black ones in white.
#
# What cannot work ends in a sentence: bytes, NaN, two shapes, values out of the range, masks with greys or of another size. Odd, tiny and one pixel
# wide pictures work (but for SSIM's window). Try `psnr(255 * x, 255 * y, data_range=1)`, and `noisy(x, 25, rng)`.
#
# ## 14 Exercises
#
# **B. Predict (★, 5 minutes): what an adjoint is good for.** A blurred crop with noise of 2/255 is sharpened by 300 steps of size 1 down
# the slope of $\frac12 |Ax - y|^2$ (section 2), from $x = y$. Sketch the curve of its PSNR, and that without any noise.
#
# <details><summary>Hint 1</summary>What does a blur do to fine details, and what must undo it?</details>
# <details><summary>Hint 2</summary>The noise, too, has fine details.</details>

# %% tags=["deeper"]
A, x, line = Blur(1.5), test[:1], []
z = y = noisy(A(x), 2 / 255, rng)
for _ in range(300):
    line += psnr(x, (z := z - A.adjoint(A(z) - y)).clamp(0, 1), data_range=1).tolist()
fig = plots.curves({"noise 2 / 255": line}, xlabel="steps", ylabel="PSNR in dB")

# %% [markdown] tags=["deeper"]
# It climbs for some steps and then falls: what the blur made small is enlarged, noise and all. Stopping early is a repair. (Put 0 for 2 / 255: it climbs to
# the end, ever more slowly, as fine details come back last.)

# %% [markdown] tags=["core", "workshop"]
# ## 15 To discuss, and to keep
#
# <details><summary><b>R7.</b> A method fills holes of 2 % of a picture and reports 35 dB. What do you ask?</summary>Of which pixels? If the known ones
# were pasted, the hole alone has 18 dB. Ask for it, and for the ring.</details>
# <details><summary><b>E8.</b> A test compares a repair with a stored picture, and has passed for years. What do you do?</summary>Damage the
# stored one and see the test fail. Some compare a file with itself.</details>
# <details><summary><b>E7.</b> Two papers use the same method and pictures, and report SSIM 0.91 and 0.96. What may differ?</summary>The range, the window
# (Gaussian or flat), the border, colour or brightness only, rounding to bytes. The formula has one name and many versions.</details>
#
# **Summary**
#
# - $y = D(Ax)$; the adjoint of $A$ tells a repair which way to go.
# - PSNR is a Gaussian log-likelihood in decibels; SSIM weighs an error by what the window holds. Each is fooled by something else.
# - A mean cannot mend outliers, a median can; a blur pays with edges; total variation and non-local means average along them.
# - A minimum can be *proved*. That the objective suits pictures is another question.
# - A repair is an assumption about pictures, set against a model of the damage. A number for a repair means nothing without its range, its region, and the
#   pictures that it was tuned on.
#
# **Later lessons import** the damages, rulers and repairs. **Limits:** seven grey crops; noise independent from pixel to pixel, as a
# phone's is not.
#
# **Papers.** Rudin, Osher and Fatemi (1992), *Nonlinear total variation …* · Chambolle (2004), *An algorithm for total variation
# minimization …* · Beck and Teboulle (2009), *Fast gradient-based algorithms …* · Wang, Bovik, Sheikh and
# Simoncelli (2004), *Image quality assessment …*, equation 13 · Buades, Coll and Morel (2005), *A non-local algorithm …* · Wallace
# (1992), *The JPEG still picture compression standard*.
