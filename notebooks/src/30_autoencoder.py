# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown] tags=["core", "workshop"]
# # 30 Describe a picture in a few numbers
#
# You will build two machines that squeeze a digit into a few numbers and draw it again: PCA, the best that straight lines can
# do, and a convolutional autoencoder. Then you will decode numbers that no digit has, and see why lesson 31 is needed.
#
# ![A map of digits: one point for each, and the digit that lies at the cross](../data/pictures/30-031.png)
#
# | | |
# |---|---|
# | **You need** | entropy in nats (lesson 01), the loop and Adam (10, 11), `pixel_shuffle` (13), batch norm (14), PCA and the Fréchet distance (15), the logarithm and `or_stop` (20) |
# | **Time** | 60 minutes for the core, 60 more for the rest; the notebook itself runs in 3 minutes |
# | **Machine** | no GPU, no network, 1.2 GB of memory |
#
# When you are through, you can
#
# 1. derive the best linear code and draw with it,
# 2. write a training loop in which the classic mistakes are caught,
# 3. say what squared error sees in a picture, and what it does not,
# 4. show that a code which reconstructs well need not generate well,
# 5. remove noise, find odd pictures, and say which odd ones stay hidden.
#
# > **Remember.** An autoencoder learns where real pictures have their codes. What it draws for any other code, nothing
# > in its loss decides.

# %% tags=["core", "workshop", "export"]
from dataclasses import dataclass, replace
from functools import partial

import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional as F

from course_lib import checks, datasets, device, explore, judges, metrics, plots, training
from course_lib.built.cnn import one_cycle  # written in lesson 14
from course_lib.built.gan import or_stop, picture_batches  # written in lesson 20
from course_lib.settings import CourseError, data_name, profile


@dataclass
class Config:
    """The numbers of lesson 30; `profile` picks the value for the profile that you run in."""

    width: int = 32  # channels; half way there are twice as many
    steps: int = profile(smoke=12, standard=500, full=5000)  # optimiser steps of one training
    batch_size: int = 128
    lr: float = 5e-3  # the highest of the cycle
    measure_every: int = 25  # steps
    seed: int = 0


# %% [markdown] tags=["core", "workshop"]
# ## 1 Sixteen numbers
#
# A picture here has 784 numbers. How well can you describe a digit with 16, its **code**? The simplest thing that could work:
# make the picture small, 4x4, and large again. We count the **squared error** summed over a picture's pixels, averaged over
# pictures. **Predict.** What is lost first?
#
# Axes: B pictures, C channels, P = CHW pixels, k numbers in a code. Sections marked *deeper* can wait for another day.

# %% tags=["core", "workshop", "export"]
float_batches = picture_batches  # images uint8, batch_size, rng -> endless x in 0..1


def squared_error(x_hat, x):
    """Return the squared error of each picture (B,), summed over its pixels; both (B, ...)."""
    return (x_hat - x).square().flatten(1).sum(dim=1)


# %% tags=["core", "workshop"]
cfg, dev, judge = Config(), device.pick_device(), judges.judge(data_name())
rng = device.generator(cfg.seed)
train_set = datasets.load(data_name(), "train", size=profile(smoke=2000, standard=None))
test_set = datasets.load(data_name(), "test", size=profile(smoke=500, standard=2000))
train, test = train_set.images.to(dev), test_set.float()
compare = partial(plots.compare, value_range=(0, 1), scale=2)


def cost(x_hat, x=test):
    return squared_error(x_hat, x).mean().item()


small = F.interpolate(F.avg_pool2d(test, 7), scale_factor=7)  # 16 numbers, and back
print(f"4x4: squared error {cost(small):.1f}")
fig = compare({"real": test, "as 4x4": small})

# %% [markdown] tags=["core", "workshop"]
# Strokes and holes are lost to the eye: the squares spend as much on empty corners as on the middle.
#
# ## 2 The best linear code
#
# Let every number of the code be a weighted sum of pixels, and the picture a weighted sum again: $z = E(x - m)$, $\hat x = m + Dz$,
# with $m$ the mean. All $\hat x$ lie in a flat space of $k$ dimensions through $m$. Once that space is chosen, the best $\hat x$ is the
# foot of the perpendicular. So take $k$ **orthonormal** rows $c_j$ in it (of length 1, at right angles), $z_j = c_j^\top(x - m)$. With the
# covariance $S = \mathbb E(x - m)(x - m)^\top$ is $\mathbb E z_j^2 = c_j^\top S c_j$, and by Pythagoras
#
# $$ \mathbb E|x - \hat x|^2 = \mathbb E|x - m|^2 - \sum_j \mathbb E z_j^2
#    = \sum_i \lambda_i - \sum_j c_j^\top S c_j , $$
#
# with the eigenvalues $\lambda_1 \ge \lambda_2 \ge \dots$ of $S$ (lesson 15). Insert $c_j = \sum_i (c_j^\top e_i)\, e_i$, with the
# eigenvectors, $S e_i = \lambda_i e_i$: what is kept is
#
# $$ \sum_j c_j^\top S c_j = \sum_i \lambda_i\, w_i, \qquad w_i = \sum_j (c_j^\top e_i)^2 . $$
#
# $w_i$ is the squared length of $e_i$'s shadow on the space: at most 1. Their sum is $k$. So you have $k$ to spend, at most 1 on
# each $\lambda_i$: spend it on the $k$ largest. **The best linear code is PCA, its error $\sum_{i>k} \lambda_i$.**
#
# `pca` below needs no $S$: with the singular value decomposition $X = U \Sigma V^\top$ of the centred pictures,
# $S = X^\top X / (B-1) = V \Sigma^2 V^\top / (B-1)$, so the rows of $V^\top$ are the eigenvectors, and $\lambda_i = \sigma_i^2 / (B-1)$.
#
# | symbol | variable | shape |
# |---|---|---|
# | $m$; $c_j$; $\lambda_i$ | `mean`; `components`; `variances` | (P,); (k, P); (k,) |
# | $V^\top$; $\sigma_i$ | `rows`; `sigma` | (min(B, P), P); (min(B, P),), falling |
# | $x$, $\hat x$; $z$ | `x`, `x_hat`; `z`, `codes` | (B, C, H, W); (B, k) |
# | $E$, $D$; $w_i$ | weights of two linear layers; what is kept | (k, P), (P, k); (P,) |
# | $\ell$ (section 3); $m_z$, $S_z$ (7) | `logits`; mean and covariance of codes | (B, C, H, W); (k,), (k, k) |
#
# **Your turn (★, 4 min).** Write `flat`: the codes, and the feet of the perpendiculars. **Predict.** 16 numbers again: how much better than 4x4?
#
# <details><summary>Hint 1</summary>Take the mean away. One matrix product makes all codes, (B, P) times (P, k); a second one
# goes back; add the mean.</details>
# <details><summary>Hint 2</summary><code>z = (x.flatten(1) - ___) @ ___.T</code>; <code>(mean + ___ @
# ___).view_as(x)</code>.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def require_rank(sigma, shape, k):
    """Raise CourseError unless pictures (B, P) of these singular values span k directions."""
    rank = int((sigma > sigma[0] * max(shape) * torch.finfo(sigma.dtype).eps).sum())
    if not 1 <= k <= rank:
        raise CourseError(f"These {shape[0]} pictures span {rank} directions around their mean: "
                          f"k must be 1 to {rank}, not {k}; take more pictures or a smaller k.")


def pca(x, k):
    """Return mean (P,), components (k, P), orthonormal, and variances (k,), largest first.

    x: floats (B, P). CourseError if k is not in 1..rank. Pearson (1901); Eckart and Young (1936).
    """
    mean = x.mean(dim=0)
    _, sigma, rows = torch.linalg.svd(x - mean, full_matrices=False)
    require_rank(sigma, x.shape, k)
    return mean, rows[:k], sigma[:k].square() / (len(x) - 1)


def flat(x, mean, components):
    """Return the foot of the perpendicular from each x (B, ...) to PCA's space, shaped as x."""
    ### TODO: the codes z (B, k); from them the pictures, in the shape of x
    ### BEGIN SOLUTION
    z = (x.flatten(1) - mean) @ components.T
    return (mean + z @ components).view_as(x)
    ### END SOLUTION


# %% tags=["core", "workshop"]
flat = checks.autoencoder.flat(flat)
seen = train[:5000].flatten(1).double().cpu() / 255  # what PCA is fitted to
mean, components, variances = pca(seen, 64)
total = seen.var(dim=0).sum()


def foot(x, k=16):
    return flat(x, mean, components[:k])


promised, known = (total - variances[:16].sum()).item(), cost(foot(seen), seen)
print(f"16: promised {promised:.3f}; known digits {known:.3f}, new {cost(foot(test)):.2f}")
fig = compare({"real": test, "as 4x4": small, "PCA, 16": foot(test).clamp(0, 1)})
assert abs(known / promised - 1) < 2 / len(seen) and 0.33 < known / cost(small) < 0.46

# %% [markdown] tags=["core", "workshop"]
# The error falls to two fifths, and the promise is kept, but for $B$ against $B - 1$.
#
# ## 3 An autoencoder, and its loop
#
# An **autoencoder** learns such a pair: an encoder makes the code, a decoder draws the picture, and both descend on the
# reconstruction loss. If both are linear and the loss is the squared error, PCA is the best that they can find. Nothing tells them what the
# code should mean: for every invertible $R$ $RE$, $DR^{-1}$ draw the same. So **single numbers of a code mean nothing by
# themselves**.
#
# For pictures in 0..1 the decoder will return logits $\ell$, and $\hat x = \sigma(\ell)$. Then we train on lesson 20's logarithm, with
# $x$ in place of real or forged, summed over pixels, in nats:
#
# $$ -x \ln \sigma(\ell) - (1 - x) \ln(1 - \sigma(\ell)) = \ln(1 + e^\ell) - x \ell, \qquad \text{slope } \sigma(\ell) - x . $$
#
# If one code stands for several pictures, the mean slope is 0 where $\hat x$ is their mean; that is also the best for squared error
# (section 9 derives it; there, read "code" for "noisy picture"). Same goal, better slope: squared error's, $2(\sigma - x)\,\sigma(1 - \sigma)$, vanishes at clear
# answers, right or wrong. And the slope must be able to reach 0: for $x$ outside of 0..1 it cannot, and the loss falls for ever. So `require_pictures` looks first.

# %% tags=["core", "workshop", "export"]
def require_pictures(x):
    """Raise CourseError unless all of x lies in 0..1."""
    low, high = (value.item() for value in x.aminmax())
    if not (low >= 0 and high <= 1):  # also for nan
        raise CourseError(f"Pictures must lie in 0..1; these reach from {low:.3g} to {high:.3g}: "
                          "divide bytes by 255, do not shift to -1..1, look for nan.")


def pixel_loss(logits, x):
    """Return ln(1 + e^logits) - x logits in nats: the sum of a picture, the mean of the batch."""
    return F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)

# %% [markdown] tags=["core", "workshop"]
# **Your turn (★★, 9 min).** Write the step. `corrupt`, if given, damages what the encoder sees (section 9); the target stays.
#
# <details><summary>Hint 1</summary>What the encoder sees is x, or corrupt(x, rng). The loss compares the decoder's answer with
# x itself. Then the three calls.</details>
# <details><summary>Hint 2</summary><code>seen = x if corrupt is None else ___</code>; <code>loss_rec =
# loss(decoder(encoder(___)), ___)</code>; zero_grad, backward, step.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def train_autoencoder(cfg, encoder, decoder, batches, rng, *, loss=pixel_loss, corrupt=None,
                      should_stop=training.never_stop, view=None, label="training"):
    """Train both on endless batches x in 0..1; return the history; they end in eval mode.

    corrupt(x, rng): what the encoder sees. CourseError for x outside 0..1, and at nan.
    """
    weights = [*encoder.parameters(), *decoder.parameters()]
    optimiser = torch.optim.Adam(weights, lr=cfg.lr, betas=(0.9, 0.99))
    good, nets = None, (encoder.train(), decoder.train())
    with training.progress(cfg.steps, should_stop, view, label=label) as run:
        for step, x in zip(run, batches, strict=False):
            require_pictures(x)
            optimiser.param_groups[0]["lr"] = cfg.lr * one_cycle(run.fraction)
            ### TODO: the loss, loss_rec, between x and what is decoded of what is seen; one step
            ### BEGIN SOLUTION
            seen = x if corrupt is None else corrupt(x, rng)
            loss_rec = loss(decoder(encoder(seen)), x)
            optimiser.zero_grad()
            loss_rec.backward()
            optimiser.step()
            ### END SOLUTION
            run.log(loss=loss_rec)
            if step % cfg.measure_every == 0:
                size = sum(w.detach().norm() for w in weights)
                good = or_stop(nets, good, loss=loss_rec.item(), weights=size.item())
    for net in nets:
        net.eval()
    return run.history


# %% tags=["core", "workshop"]
train_autoencoder = checks.autoencoder.train_autoencoder(train_autoencoder)

# %% [markdown] tags=["deeper"]
# *Deeper: two linear layers.* Does their training find PCA? The error it should; the directions are another matter: what was spent is decided only
# if $\lambda_k$ and $\lambda_{k+1}$ differ. Keep $e_1 \dots e_{k-1}$ and tilt the last direction by an angle $\theta$ from $e_k$ to
# $e_{k+1}$: now $w_k = \cos^2\theta$, $w_{k+1} = \sin^2\theta$, and the price is
#
# $$ (\lambda_k - \lambda_{k+1}) \sin^2 \theta . $$
#
# Without a **gap** between the two, every angle costs nothing, and the angle says nothing about the code.
#
# How far apart are two spaces? Take the pair of unit vectors, one in each, with the smallest angle between
# them; then the next pair, at right angles to the first; and so on: the **principal angles**. Let $A$ and $C$ (k, P) have orthonormal rows.
# The unit vectors of their spaces are $A^\top a$ and $C^\top c$, with coordinates $a$, $c$ of length 1, and their cosine is $a^\top A C^\top c$. It is
# largest at the first singular vectors of $A C^\top$, then at the next: all cosines are its singular values.
#
# The cell below takes the $k$ of 2 to 8 with the smallest gap behind it and the one with the largest, and trains three times for each on PCA's own
# digits. **Predict.** Which angles are large? **Your turn (★★, 10 min).**
#
# <details><summary>Hint 1</summary>The columns of a decoder's weight are no orthonormal basis; <code>torch.linalg.qr</code> of
# (P, k) makes one: its Q has orthonormal columns.</details>
# <details><summary>Hint 2</summary><code>torch.linalg.svdvals(q_a.T @ ___).clamp(max=1).acos()</code>, then
# <code>torch.rad2deg</code>. The largest cosine is the smallest angle.</details>

# %% tags=["deeper", "export", "exercise"]
def principal_angles(a, b):
    """Return the k angles in degrees, rising, between the spaces of the rows of a, b (k, P).

    The rows are independent, in any lengths and at any angles. Björck and Golub (1973).
    """
    ### TODO: orthonormal bases of both, singular values of their product, angles
    ### BEGIN SOLUTION
    q_a, q_b = torch.linalg.qr(a.T).Q, torch.linalg.qr(b.T).Q  # (P, k)
    return torch.rad2deg(torch.linalg.svdvals(q_a.T @ q_b).clamp(max=1).acos())
    ### END SOLUTION


# %% tags=["deeper"]
principal_angles = checks.autoencoder.principal_angles(principal_angles)
drops = 1 - variances[2:9] / variances[1:8]  # the share by which variances 3 to 9 are lower
near, far = 2 + drops.argmin().item(), 2 + drops.argmax().item()
arm = replace(cfg, lr=0.02, steps=profile(smoke=40, standard=2000))
for k, seed in [(k, seed) for k in (near, far) for seed in range(profile(smoke=1, standard=3))]:
    torch.manual_seed(seed)
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(784, k)).to(dev)
    decoder = nn.Sequential(nn.Linear(k, 784), nn.Unflatten(1, (1, 28, 28))).to(dev)
    data = float_batches(train[:len(seen)], cfg.batch_size, device.generator(seed, dev))
    train_autoencoder(arm, encoder, decoder, data, rng, label=f"{k} numbers, seed {seed}",
                      loss=lambda x_hat, x: squared_error(x_hat, x).mean())
    x_hat = decoder(encoder(seen.float().to(dev))).detach().flatten(1).cpu()
    error = cost(x_hat, seen) / cost(foot(seen, k), seen) - 1
    angles = principal_angles(components[:k], decoder[0].weight.detach().T.double().cpu())
    price = (variances[k - 1] - variances[k]) / (total - variances[:k].sum())
    print(f"k = {k}: error {error:+.2%}, 90° would cost {price:.2%}; angle {angles[-1]:.0f}°")
    assert cfg.steps < 500 or 0 < error < 0.01 and (k == near or angles[-1] < 15)

# %% [markdown] tags=["deeper"]
# PCA's error, well within 1 %, and never below. With a gap the three trainings find one space, PCA's, by a few degrees. Without, they do not agree: the tilt is all but
# free, and what the error is beyond its price is the noise of training. (Even where the spaces agree, single numbers need not: the loss cannot see $R$. If the
# decoders' columns are orthonormal, $R$ is a rotation or a mirroring.)

# %% [markdown] tags=["core", "workshop"]
# ## 4 Bend the lines
#
# A flat space is stiff: the mean of two points of it is in it, too, but the mean of two digits is no digit. So let both bend. Networks
# at full resolution are slow, so do the work at 7x7 (8x8 for 64x64 pictures): `nn.PixelUnshuffle` sorts each 4x4 block into 16 channels, 3x3
# convolutions mix them, a dense layer makes the code. The decoder is the mirror. `conv_block`: convolution, batch norm, leaky ReLU.

# %% tags=["core", "workshop", "export"]
def plan(latent, size):
    """Return (side, r): the networks work at side x side, size = side * r. CourseError if not."""
    side = 8 if size % 8 == 0 else 7
    if latent < 1:
        raise CourseError(f"A code needs at least one number, not {latent}.")
    if size < side or size % side:
        raise CourseError(f"Sizes are multiples of 7 or 8, such as 28, 32 or 64; {size} is none.")
    return side, size // side


def conv_block(inputs, outputs):
    """Return the layers of (B, inputs, H, W) -> (B, outputs, H, W): 3x3, batch norm, leaky ReLU."""
    return (nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs),
            nn.LeakyReLU(0.2))


class Encoder(nn.Module):
    """Turn pictures x (B, channels, size, size) in 0..1 into codes (B, latent), any numbers."""

    def __init__(self, latent, width=32, channels=1, size=28):
        super().__init__()
        side, r = plan(latent, size)
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(r), *conv_block(channels * r**2, 2 * width),
            *conv_block(2 * width, width), nn.Flatten(), nn.Linear(width * side**2, latent))

    def forward(self, x):
        return self.layers(x).float()

# %% [markdown] tags=["core", "workshop"]
# **Your turn (★, 4 min).** Write the decoder's last two layers: a 3x3 convolution from 2 · width to C · r² channels, with a bias and no norm behind
# it, and `nn.PixelShuffle`. Logits: no sigmoid and no ReLU at the end.
#
# <details><summary>Hint 1</summary>What undoes the encoder's first layer?</details>
# <details><summary>Hint 2</summary><code>last = nn.Conv2d(___, channels * ___, 3, padding=1), nn.PixelShuffle(___)</code></details>
#
# Before training: an untrained decoder's logits are near 0. **Predict** its loss. And what is the lowest loss there can be? Not 0: a grey
# pixel costs something even at $\hat x = x$.

# %% tags=["core", "workshop", "export", "exercise"]
class Decoder(nn.Module):
    """Turn codes z (B, latent) into logits (B, channels, size, size) of pictures."""

    def __init__(self, latent, width=32, channels=1, size=28):
        super().__init__()
        side, r = plan(latent, size)
        ### TODO: last, two layers: the convolution, and the pixels put back in their places
        ### BEGIN SOLUTION
        last = nn.Conv2d(2 * width, channels * r**2, 3, padding=1), nn.PixelShuffle(r)
        ### END SOLUTION
        self.layers = nn.Sequential(
            nn.Linear(latent, width * side**2), nn.Unflatten(1, (width, side, side)),
            nn.BatchNorm2d(width), nn.LeakyReLU(0.2), *conv_block(width, 2 * width), *last)

    def forward(self, z):
        return self.layers(z).float()


# %% tags=["core", "workshop"]
Decoder = checks.autoencoder.decoder(Decoder)


def fit(latent, label, images=train, arm=cfg, nets=None, **options):  # a pair, and its losses
    torch.manual_seed(arm.seed)
    nets = nets or [net(latent, arm.width, *images.shape[1:3]) for net in (Encoder, Decoder)]
    draw = device.generator(arm.seed, dev)
    data = float_batches(images.to(dev), arm.batch_size, draw)
    with device.fast_autocast(dev):
        history = train_autoencoder(arm, *(net.to(dev) for net in nets), data, draw, label=label,
                                    **options)
    return *nets, history["loss"][1]


@torch.no_grad()
def through(net, x):  # in parts, and back to the CPU
    return torch.cat([net(part.to(dev)).cpu() for part in x.split(1000)])


def redraw(pair, x):
    return through(pair[1], through(pair[0], x)).sigmoid()


x, nothing = train[:64].cpu() / 255, (Encoder(32).to(dev), Decoder(32).to(dev))
before = pixel_loss(torch.logit(redraw(nothing, x)), x).item()
heart = replace(cfg, batch_size=64, steps=profile(smoke=20, standard=150))
after = fit(32, "64 by heart", train[:64], heart)[2][-1]
print(*(f"{device.count_parameters(net):,} parameters;" for net in nothing), f"{before:.1f} nats; "
      f"by heart {after:.1f}, lowest possible {pixel_loss(torch.logit(x, eps=1e-6), x):.1f}")
assert abs(before / 784 - 0.6931) < 0.07 and after < profile(smoke=1, standard=0.3) * before

# %% [markdown] tags=["core", "workshop"]
# $784 \ln 2 = 543.4$, as every pixel costs $\ln 2$ at logit 0, whatever it is. The lowest possible is the formula of section 3 at $\hat x = x$, a coin's
# entropy for every grey. So the loss alone does not tell how good a picture is: we measure squared error on new digits.
#
# ## 5 How many numbers does a digit need?
#
# Six autoencoders, with codes of 2 to 64 numbers. **Predict.** At which size is the lead over PCA largest, in percent? Does it ever lose?

# %% tags=["core", "workshop"]
sizes = (2, 4, 8, 16, 32, 64)
pairs = {k: fit(k, f"{k} numbers") for k in sizes}
drawn = {k: redraw(pairs[k], test) for k in sizes}
errors = {"PCA": [cost(foot(test, k)) for k in sizes], "autoencoder": [*map(cost, drawn.values())]}
fig = plots.curves({name: (sizes, y) for name, y in errors.items()}, log="x",
                   xlabel="numbers in the code", ylabel="squared error a picture")
lead = [1 - ours / theirs for theirs, ours in zip(*errors.values(), strict=True)]
for k, theirs, ours, less in zip(sizes, *errors.values(), lead, strict=True):
    print(f"{k:2} numbers: PCA {theirs:.2f}, autoencoder {ours:.2f}, {less:.0%} less")
fig = compare({"real": test} | {f"{k} numbers": drawn[k] for k in (2, 8, 32)})
assert cfg.steps < 500 or 0 < lead[0] < 0.3 < lead[3] and lead[5] < max(lead)

# %% [markdown] tags=["core", "workshop"]
# The lead grows, then shrinks. With two numbers both can say little. With many, flat spaces catch up: with as many numbers as there are directions in the
# digits PCA is perfect, and these networks are not. (One seed, short trainings: read the trend.)
#
# ## 6 What squared error sees
#
# Trust nobody, least of all the number that we minimise. Damage test digits in four ways. **Predict.** Order them by squared error, then
# by how many a reader (lesson 15's judge) still reads: shifted by two pixels; the right half painted black; the mean digit
# in place of each; redrawn from 32 numbers.

# %% tags=["core", "workshop"]
shifted, masked = F.pad(test, (2, 0))[..., :28], test.clone()
masked[..., 14:] = 0
damaged = {"shifted by 2": shifted, "half masked": masked,
           "mean digit": test.mean(dim=0).expand_as(test), "32 numbers": drawn[32]}
for name, x in damaged.items():
    read = (judge.classify(x).argmax(dim=1) == test_set.labels).double().mean()
    print(f"{name}: squared error {cost(x):.1f}, {read:.1%} read")
fig = compare({"real": test} | damaged)
assert cost(shifted) > max(cost(masked), cost(damaged["mean digit"]))

# %% [markdown] tags=["core", "workshop"]
# Squared error calls the shift the worst of all, worse than half a digit, worse even than no digit in particular. It compares pixel with
# pixel. A thin stroke that has moved is wrong twice: where it was and where it is. An autoencoder spends its code
# accordingly: on where the ink lies.
#
# ## 7 Holes
#
# A decoder turns any code into a picture. So is an autoencoder a generator? Try: fit a Gaussian to the training codes, the cloud with their mean
# $m_z$ and covariance $S_z$, draw from it, decode. If $LL^\top = S_z$ and $\epsilon$ is standard normal, $m_z + L\epsilon$ has covariance
# $L\, \mathbb E[\epsilon\epsilon^\top] L^\top = S_z$. The triangular $L$ is `torch.linalg.cholesky(S_z)`.
#
# **Your turn (★, 7 min).** **Predict.** Beside reconstructions with the same decoder: how good are the digits? Do more numbers help? Do they help PCA,
# with random codes of its own?
#
# <details><summary>Hint 1</summary><code>torch.cov</code> wants one variable per row: the transposed codes. Noise has one code
# per row: <code>noise @ root.T</code>.</details>
# <details><summary>Hint 2</summary><code>codes.mean(dim=0) + torch.randn(n, ___, generator=rng, device=codes.device) @ ___.T</code>.</details>

# %% tags=["core", "workshop", "export", "exercise"]
def random_codes(codes, n, rng):
    """Draw (n, k) from the Gaussian with mean and covariance of codes (N, k), k >= 2, N > k."""
    if not 2 <= codes.shape[1] < len(codes):
        raise CourseError(f"Codes {[*codes.shape]}: k must be 2 or more, and N larger than k.")
    ### TODO: the mean, the triangular root of the covariance, noise from rng
    ### BEGIN SOLUTION
    root = torch.linalg.cholesky(torch.cov(codes.T))
    noise = torch.randn(n, codes.shape[1], generator=rng, device=codes.device)
    return codes.mean(dim=0) + noise @ root.T
    ### END SOLUTION


# %% tags=["core", "workshop"]
random_codes = checks.autoencoder.random_codes(random_codes)
half, made = len(test) // 2, {}
distances = {"reconstructions": [], "random codes": [], "PCA, random codes": []}
real, floor = (judge.features(x) for x in (test[:half], test[half:]))


def moved(pair, z):  # how far off the code of a code's drawing is, as a share of the codes' spread
    again = through(pair[0], through(pair[1], z).sigmoid())
    return ((again - z).norm() / (z - z.mean(dim=0)).norm()).item()


for k, pair in pairs.items():
    z = random_codes(through(pair[0], train[:5000].float() / 255), half, rng)
    made[k] = through(pair[1], z).sigmoid()
    z_flat = torch.randn(half, k, generator=rng) * variances[:k].sqrt()
    lines = (mean + z_flat @ components[:k]).clamp(0, 1).float().view_as(made[k])
    for name, x in zip(distances, (drawn[k][half:], made[k], lines), strict=True):
        distances[name].append(metrics.frechet_distance(judge.features(x), real))
    print(f"{k:2} numbers:", *(f"{name} {y[-1]:.0f};" for name, y in distances.items()),
          f"codes moved {moved(pair, through(pair[0], test)):.0%}, random {moved(pair, z):.0%}")
fig = plots.curves({name: (sizes, y) for name, y in distances.items()}, log="x",
                   xlabel="numbers in the code", ylabel="Fréchet distance", caption=judge.name,
                   reference={"floor: real": metrics.frechet_distance(floor, real)})
fig = compare({"redrawn, 32": drawn[32], "random, 32": made[32], "random, 8": made[8]})
assert cfg.steps < 500 or moved(pair, z) > 2 * moved(pair, through(pair[0], test))
assert cfg.steps < 500 or (distances["random codes"][4] > 3 * distances["reconstructions"][4]
                           and distances["random codes"][5] > 1.2 * distances["random codes"][2])

# %% [markdown] tags=["core", "workshop"]
# Reconstructions come ever nearer to the floor. Random codes do so only at first; then more numbers make them *worse*; PCA's stop falling, far away, and the lead over them melts. The last
# columns tell why: draw a code, encode the drawing, see how far off you land. The codes of digits come back nearly; random ones
# the less, the more numbers. No digit has such a code, so nothing in the loss says what to draw: a **hole**. What is missing is a loss that
# *fills* the space, so that we know where to draw codes from: lesson 31.
#
# ## 8 Play: walk on the map
#
# With two numbers we can look. Each numeral is a training digit of that class at its code; the cross is yours, the picture what
# the decoder draws there. **Find** a place where several classes crowd, and one where nobody lives. What is drawn at each?

# %% tags=["core", "workshop"]
plane, classes = through(pairs[2][0], train[:600].float() / 255), train_set.labels[:600]
(left, low), (right, high) = (plane.quantile(q, dim=0).tolist() for q in (0.02, 0.98))
colours = (*plots.COLOURS, "#882255", "#999999", "#999933")


def draw_place(across, up):
    fig = Figure(figsize=(8, 4.6), dpi=80, layout="constrained")
    ax, picture = fig.subplots(1, 2, width_ratios=(2, 1))
    for k in range(10):
        ax.scatter(*plane[classes == k].T, marker=f"${k}$", color=colours[k], s=40, linewidths=.2)
    ax.plot(across, up, "k+", markersize=22, markeredgewidth=3)
    ax.set(xlim=(left, right), ylim=(low, high), xlabel="across", ylabel="up")
    picture.imshow(through(pairs[2][1], torch.tensor([[across, up]]))[0, 0].sigmoid(), "gray")
    picture.set_axis_off()
    return plots.show(fig, alt=f"600 codes as numerals; at ({across:.1f}, {up:.1f}) a digit.")


start = plane[classes == 0].median(dim=0).values.tolist()  # among the 0s
spans = {"across": (left, right, start[0]), "up": (low, high, start[1])}
explore.View(draw_place, [explore.slider(name, *span) for name, span in spans.items()])

# %% [markdown] tags=["deeper", "workshop"]
# *Deeper: the whole map, and between two digits.* **Predict.** Halfway between two digits: what do you see if you mix the pixels? And if you mix the 32 numbers
# of their codes? (Pixels: both digits, pale. Codes: one drawing, which need not be a digit.)

# %% tags=["deeper", "workshop"]
grid = torch.cartesian_prod(torch.linspace(high, low, 9), torch.linspace(left, right, 14)).flip(1)
fig = plots.show_images(through(pairs[2][1], grid).sigmoid(), value_range=(0, 1), columns=14)
share, (a, b) = torch.linspace(0, 1, 10).view(-1, 1, 1, 1), through(pairs[32][0], test[[0, 4]])
walk = through(pairs[32][1], a.lerp(b, share.view(-1, 1))).sigmoid()
fig = compare({"pixels": test[0].lerp(test[4], share), "codes": walk})

# %% [markdown] tags=["core", "workshop"]
# With two numbers there is hardly room for holes (both curves start together). Where nobody lives, a clean digit may be drawn; in the crowd
# it is a blur, as one code stands for many classes. Holes need more numbers.
#
# ## 9 Denoise
#
# Show the encoder a damaged picture, and demand the clean one: a **denoising autoencoder** (Vincent et al. 2008). What does it learn? Of all
# answers $a$ to one noisy picture $\tilde x$, $\mathbb E[\,|x - a|^2 \mid \tilde x\,]$ has the slope $2(a - \mathbb E[x \mid \tilde x])$:
# the best is $a = \mathbb E[x \mid \tilde x]$, the mean of all clean pictures that it may have been. (Of `pixel_loss` too, by its slope.)
#
# **Predict.** Order by squared error, on noisy test digits: the noisy pictures themselves, PCA, our plain autoencoder, the denoising
# one, all with 32 numbers.

# %% tags=["core", "workshop", "export"]
def add_noise(x, rng, amount=0.5):
    """Return x (B, C, H, W) plus normal noise with that deviation, clamped to 0..1."""
    return (x + amount * torch.randn(x.shape, generator=rng, device=rng.device)).clamp(0, 1)


# %% tags=["core", "workshop"]
denoiser, noisy = fit(32, "denoising", corrupt=add_noise), add_noise(test, device.generator(5))
answers = {"noisy": noisy, "PCA": foot(noisy, 32).clamp(0, 1),
           "plain": redraw(pairs[32], noisy), "denoising": redraw(denoiser, noisy)}
fig = compare(answers | {"real": test})
fig = plots.bars({name: cost(x) for name, x in answers.items()}, ylabel="squared error a picture")
assert cost(answers["denoising"]) < profile(smoke=9, standard=0.8) * cost(answers["PCA"])

# %% [markdown] tags=["core", "workshop"]
# The denoising one is far ahead. The plain one, far better than PCA on clean digits, has lost its lead: what a network has learnt holds for what it
# was shown. PCA cannot be surprised: it is linear, and of noise in 784 directions it keeps the part in 32 (and the noise's mean).
#
# ## 10 Break it on purpose (V12 of the course's catalogue of bugs)
#
# A colleague feeds pictures in -1..1. **Predict.** What does he see? And what, if `require_pictures` does not look?

# %% tags=["core"]
try:
    signed = (2 * x - 1 for x in float_batches(train, cfg.batch_size, device.generator(0, dev)))
    train_autoencoder(cfg, Encoder(16).to(dev), Decoder(16).to(dev), signed, rng, label="-1..1")
except CourseError as error:
    print(error)
brief = replace(cfg, steps=profile(smoke=12, standard=150))
lost = fit(16, "nobody looks", arm=brief, loss=lambda y, x: pixel_loss(y, 2 * x - 1))[2]
assert lost[-1] < profile(smoke=lost[0], standard=-1000)

# %% [markdown] tags=["core"]
# Refused. If nobody looks, the loss falls far below 0: a curve that looks like success, and is none.

# %% [markdown] tags=["deeper"]
# *Deeper: a code that is too large.* Another colleague takes the code one layer too early, before the dense one: 32 maps of 7x7 are 1,568 numbers. **Predict.**
# Is the reconstruction better? And what does this network make of noisy digits?

# %% tags=["deeper"]
tail = nn.Sequential(*conv_block(32, 64), nn.Conv2d(64, 16, 3, padding=1), nn.PixelShuffle(4))
large, turned = fit(None, "large", arm=brief, nets=(Encoder(32).layers[:-2], tail)), test.flip(2)
for name, nets in {"32 numbers": pairs[32], "1,568 numbers": large}.items():
    answers[name] = redraw(nets, noisy)
    print(f"{name}: digits {cost(redraw(nets, test)):.1f}; upside down "
          f"{cost(redraw(nets, turned), turned):.1f}; noisy to clean {cost(answers[name]):.1f}")
fig = compare({name: answers[name] for name in ("noisy", "denoising", *list(answers)[-2:])})
assert cfg.steps < 500 or cost(answers["1,568 numbers"]) > 1.2 * cost(answers["denoising"])

# %% [markdown] tags=["deeper"]
# It draws best, digits or not, after a fraction of the steps: its code has more numbers than the picture, and nothing forces it to know what a digit is. So noise
# stays, too. **A small reconstruction error is no success by itself**: count the numbers in the code first.
#
# ## 11 Find the odd ones out
#
# An autoencoder draws well what it has seen. So call a picture odd if its reconstruction is bad. We train without the digit 4 and score
# 4s, digits upside down, cats (grey, 28x28), digits at half brightness, and empty paper. The measure is the **AUC**: the probability that an odd picture
# has a higher score than a normal one, ties counting half. Chance is 0.5.
#
# **Predict.** Which odd ones are found? Which look *more* normal than digits? As baselines: PCA, and the distance from the mean.
# **Your turn (★, 5 min).** Write the AUC.
#
# <details><summary>Hint 1</summary>Compare every odd score with every normal one: a table (N, M), by indexing with None.</details>
# <details><summary>Hint 2</summary><code>wins = (odd[:, None] > normal).double().mean()</code>, and the same for
# <code>==</code>.</details>

# %% tags=["deeper", "export", "exercise"]
def auc(normal, odd):
    """Return how likely an odd score (N,) is above a normal one (M,), ties counting half: 0..1."""
    ### TODO: the share of pairs that odd wins, plus half the share of ties
    ### BEGIN SOLUTION
    wins, ties = odd[:, None] > normal, odd[:, None] == normal
    return (wins.double().mean() + ties.double().mean() / 2).item()
    ### END SOLUTION


# %% tags=["deeper"]
auc = checks.autoencoder.auc(auc)
without, is_4 = train_set.subset(train_set.labels != 4).images, test_set.labels == 4
pair, usual, fours = fit(16, "no 4s", without), test[~is_4], test[is_4]
middle, axes, _ = pca(without[:5000].flatten(1).double() / 255, 16)
cats = datasets.load("cats", "test", size=200).float().mean(dim=1, keepdim=True)  # grey
odd = {"4s": fours, "upside down": usual.flip(2), "cats": F.adaptive_avg_pool2d(cats, 28),
       "half as bright": usual / 2, "empty paper": 0 * usual[:50]}


def oddness(x):
    return {"autoencoder": squared_error(redraw(pair, x), x), "distance from mean":
            squared_error(x, middle.view(28, 28)), "PCA": squared_error(x, flat(x, middle, axes))}


plain = oddness(usual)
for name, x in odd.items():
    print(f"{name}: AUC", *(f"{how} {auc(plain[how], y):.2f};" for how, y in oddness(x).items()))
least = [x[oddness(x)["autoencoder"].argsort()] for x in (fours, odd["upside down"])]
fig = compare({"4s, least odd": least[0], "4s, most": least[0].flip(0), "turned, least": least[1]})

# %% [markdown] tags=["deeper"]
# Cats are found by anybody, even by the distance from the mean: no feat. Of the 4s the network finds more than PCA; some of the least odd are nearly 9s. Upside down its lead is small: a 1 is
# still a 1, and nothing can find it. And dim or empty paper is *more normal than digits*: little
# ink costs little error. A score that grows with ink measures ink, too.
#
# ## 12 Cats in colour
#
# The same classes, three channels, 64x64: `Encoder(64, channels=3, size=64)` works at 8x8. **Predict.** 64 numbers for 12,288 pixels, PCA beside: which
# is nearer in squared error? (A 12,288 x 12,288 covariance is too large; `pca_lowrank` looks for the first
# components only.)

# %% tags=["deeper", "workshop"]
del drawn, made, damaged, answers  # room for the cats
colour = datasets.load("cats", "train", size=profile(smoke=300, standard=1500)).images
new = datasets.load("cats", "test", size=100).float()
arm = replace(cfg, batch_size=64, lr=0.01, steps=profile(smoke=8, standard=800))
drawings = {"real": new, "autoencoder": redraw(fit(64, "cats", colour, arm), new)}
centre = (sample := colour.flatten(1) / 255).mean(dim=0)
axes = torch.pca_lowrank(sample.sub_(centre), q=80, center=False)[2][:, :64]  # 16 to spare
drawings["PCA"] = flat(new, centre, axes.T).clamp(0, 1)
print(*(f"{name}: {cost(x, new):.0f};" for name, x in drawings.items()), "(squared error)")
fig = compare(drawings, columns=8, scale=1)
assert cfg.steps < 500 or cost(drawings["autoencoder"], new) < 1.25 * cost(drawings["PCA"], new)

# %% [markdown] tags=["deeper", "workshop"]
# The errors are close, for all the bending: a short training on 1,500 cats, against nearly the best that straight lines can do with the same 1,500. Both know pose, fur and
# background, and smear what is small. Eyes are few pixels, so squared error hardly sees them (section 6).

# %% [markdown] tags=["deeper"]
# ## 13 Exercises
#
# **A. Predict (★, 5 minutes): a hundred pictures.** PCA of 100 digits. What is the error on these 100 with 10, 50 and 99 numbers? On new digits? And
# with 100 numbers? Try: `few = seen[:100]`, `middle, axes, _ = pca(few, k)`, `cost(flat(few, middle, axes), few)`.
#
# <details><summary>Hint 1</summary>How many dimensions has the flat space through 2 points? Through 3?</details>
# <details><summary>Hint 2</summary>All 100 lie in a space of 99 dimensions through their mean. New ones do not.</details>
#
# <details><summary>Answer to A</summary>With 99 the known ones are perfect, to rounding, and new ones far from it: that is
# learning by heart, and linear models do it too. 100 is refused: around their mean, 100 pictures span 99 directions.</details>
#
# **B. Debug (★★, 10 minutes).** A colleague's step of the loop. It runs, and the loss falls. Find three faults. Which would you see in the loss
# curve, which in the pictures? Then paste it above the check of section 3, mend what its message names, and ask again.
#
# ```python
# seen = x if corrupt is None else corrupt(x, rng)
# z = encoder(seen).detach()  # a code is data
# x_hat = decoder(z).sigmoid()
# loss_rec = loss(x_hat, seen)
# ```
#
# <details><summary>Hint 1</summary>Who learns? What does pixel_loss expect? What should come out?</details>
# <details><summary>Hint 2</summary>One fault for each of the last three lines.</details>
#
# <details><summary>Answer to B</summary>detach: the encoder stays as it was, and the decoder makes the best of random codes. The loss falls
# all the same. sigmoid: pixel_loss takes logits. Those between 0 and 1 cannot get below ln 2 a pixel on the background: the loss stops near 543, and
# the pictures go black. seen: the noisy picture is the target: as noise clamped at 0 has a mean above 0, the background turns grey.</details>
#
# **C. Build (★★, 15 minutes): fill a gap.** Write `mask_squares(x, rng)`: a black 10x10 square in each picture, at a place of its own. Check: of `torch.ones`
# exactly 100 pixels of each are 0. Train `fit(32, "filling", corrupt=mask_squares)`. What is drawn in the gap?
#
# <details><summary>Hint 1</summary>One random corner per picture; compare row and column numbers with it.</details>
# <details><summary>Hint 2</summary><code>(rows >= top) & (rows < top + 10)</code> is (B, 28) for top (B, 1).</details>
# <details><summary>Answer to C</summary>
#
# ```python
# def mask_squares(x, rng):
#     top, left = torch.randint(19, (2, len(x), 1), generator=rng, device=rng.device)
#     at = torch.arange(28, device=rng.device)
#     rows, columns = ((at >= corner) & (at < corner + 10) for corner in (top, left))
#     return x.masked_fill(rows[:, None, :, None] & columns[:, None, None, :], 0)
# ```
#
# </details>
#
# What comes back is a mean of what may have been there: strokes that can be guessed are closed, ends are pale.
#
# </details>
#
# **D. Modify (★★, 10 minutes; three trainings).** Train `fit(32, ..., corrupt=lambda x, rng: add_noise(x, rng, amount))` with amounts 0.1, 0.5 and
# 1, and score each on test noise of all three amounts. Is the best always the one trained on it?
#
# <details><summary>Hint 1</summary>A 3 x 3 table: <code>plots.heatmap</code>.</details>
# <details><summary>Hint 2</summary><code>cost(redraw(pair, add_noise(test, device.generator(5), amount)))</code>.</details>

# %% [markdown] tags=["core", "workshop"]
# ## 14 To discuss, and to keep
#
# <details><summary><b>V16.</b> A tutorial's "VAE" has an encoder, a decoder and the loss |x - x̂|². Is it one?</summary>No, it is
# this lesson's autoencoder. Nothing makes its codes follow a known distribution, none is sampled, and there is no KL term; its
# random codes fail as in section 7. Lesson 31 adds what is missing.</details>
# <details><summary>An article calls "the pixel difference between the input and the encoder's output" the loss. What is
# wrong?</summary>The encoder's output is a code: k numbers, no pixels. The difference is between the input and the
# <em>decoder's</em> output.</details>
# <details><summary>"Our third code number is the digit's slant." What would convince you?</summary>Not its name. Codes are fixed only up
# to an invertible map, so a training with another seed would have to show it again; and with known factors (lesson 32) it can be
# measured.</details>
#
# **Summary**
#
# - An autoencoder learns where real pictures have their codes. What it draws for any other code, nothing in its loss
#   decides.
# - The best linear code is PCA, its error the sum of the variances left out. Single numbers of a code mean nothing by themselves.
# - Squared error compares pixel with pixel: two pixels of shift cost more than half a picture.
# - Trained on pairs of damaged and clean, the same network answers with the mean of all that it may have been.
# - A code that draws every digit may still be full of holes. Show baselines, and count the code's numbers.
#
# **Later lessons import** `pca`, `Encoder`, `Decoder`, `train_autoencoder`, `pixel_loss` and `float_batches`. **Limits:** one seed for most numbers,
# short trainings; a Gaussian is the simplest choice for random codes, better ones exist (lesson 72 fits a model to codes).
#
# **Papers.** Pearson (1901), *On lines and planes of closest fit* · Eckart and Young (1936), *The approximation of one matrix by
# another of lower rank* · Baldi and Hornik (1989), *Neural networks and principal component analysis* · Björck and Golub (1973),
# *Numerical methods for computing angles between linear subspaces* · Hinton and Salakhutdinov (2006), *Reducing the dimensionality of
# data with neural networks* · Vincent et al. (2008), *Extracting and composing robust features with denoising autoencoders*,
# section 2.
