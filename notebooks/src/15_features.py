# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown] tags=["core", "workshop"]
# # 15 Look inside: features and judges
#
# You will build three windows into a trained network, turn what it sees into a ruler for sets of pictures, the
# Fréchet distance, and then fool that ruler in two ways.
#
# ![Ten pictures of noise, read by the network as the digits 0 to 9 with near certainty](../data/pictures/15-032.png)
#
# | | |
# |---|---|
# | **You need** | the network of lesson 14; eigenvalues of a symmetric matrix; mean and covariance |
# | **Time** | 55 minutes for the core, 35 more for the rest; the notebook itself runs in a minute on two cores |
# | **Machine** | no GPU, no network, 1 GB of memory |
#
# When you are through, you can
#
# 1. take features from a network so that range, mode and company of an image do not spoil them,
# 2. find the part of a picture on which an answer hangs, by covering it,
# 3. write PCA, and read a map of the features,
# 4. derive the Fréchet distance, write it so that no root of a negative number can occur, and test it,
# 5. give a score its three companions: the judge, the number of pictures, the floor.
#
# Codes such as C4 number real bugs; a check is tested against them.
#
# > **Remember.** A judge measures what it has learnt to see, and nothing else. Beside every distance stand the judge's
# > name, the number of pictures, and the distance from real to real.
#
# ## 1 A network to look into
#
# If you trained the network of lesson 14, the second cell below loads your own weights, else the course's. The test
# digits make two sets that share no picture: `half_a` and `half_b`. Axes: N images, B of them in a batch, C channels,
# H rows, W columns, D features.

# %% tags=["core", "workshop", "export"]
from dataclasses import dataclass
from itertools import product

import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional as F

from course_lib import checks, datasets, device, metrics, plots, settings, trained, training
from course_lib.built import cnn
from course_lib.settings import profile


@dataclass
class Config:
    """The numbers of lesson 15; `profile` picks the value for the profile that you run in."""

    images: int = profile(smoke=1000, standard=5000)  # in each of two sets that are compared
    repeats: int = profile(smoke=2, standard=20)  # random splits for each point of a curve
    steps: int = profile(smoke=3, standard=300, full=2000)  # of the photo judge (section 9)
    batch_size: int = 12  # photographs per step, each in all its damages
    lr: float = 0.003  # the highest of the cycle
    seed: int = 0


# %% tags=["core", "workshop"]
cfg = Config()
dev = device.pick_device()
generator = device.generator(cfg.seed)  # for all draws; on the CPU, where the metrics are
torch.manual_seed(cfg.seed)  # the first weights of layers come from torch's own generator
net = cnn.CNN(cnn.Config().width).to(dev)
trained.load("cnn", net)
net.eval().requires_grad_(False)

train = datasets.load(settings.data_name(), "train", size=profile(smoke=2000, standard=20_000))
test = datasets.load(settings.data_name(), "test", size=2 * cfg.images)
binding = settings.profile_name() != "smoke" and settings.data_name() == "strokes"  # bands hold here
half_a, half_b = test.images[: cfg.images], test.images[cfg.images :]
assert half_b.shape == (cfg.images, 1, 28, 28) and test.images.dtype == torch.uint8
print(f"{cnn.accuracy(net, test.images.to(dev), test.labels.to(dev)):.2%} of the test digits read")

# %% [markdown] tags=["core", "workshop"]
# What the last layer sees, `net.features(x)`, are 64 numbers, each the clearest trace of something anywhere in the
# picture. Three slips spoil them without any error: pictures in another *range* (0 to 255, or -1 to 1) than the
# network was trained on; *training mode*, where batch norm mixes each picture with its company (C4); and float32 sums
# over thousands of pictures. So features get a function of their own.
#
# **Your lines.** Write `features_of`: floats outside [0, 1] are refused, bytes are divided by 255.
#
# <details><summary>Hint 1</summary>It is <code>predict</code> of lesson 14, with <code>model.features</code>, and a
# look at <code>images.min()</code> and <code>images.max()</code> first if
# <code>images.is_floating_point()</code>.</details>
# <details><summary>Hint 2</summary><code>raise settings.CourseError("...")</code>; then <code>model.eval()</code>,
# and under <code>torch.no_grad()</code> for each <code>x</code> of <code>images.split(batch_size)</code>:
# <code>model.features(as_floats(x)).cpu().double()</code>; last <code>model.train(was_training)</code>.</details>


# %% tags=["core", "workshop", "export", "exercise"]
def as_floats(x):
    """Return bytes 0..255 as floats in [0, 1]; floats stay as they are."""
    return datasets.to_float(x) if x.dtype == torch.uint8 else x.float()


def features_of(model, images, batch_size=500):
    """Return model.features of images (N, C, H, W): float64 (N, D) on the CPU, in eval mode.

    Bytes, or floats in [0, 1]; CourseError for floats outside. The model keeps its mode.
    """
    was_training = model.training
    ### TODO: refuse other ranges; eval mode, no graph, float64 on the CPU; the mode of before
    ### BEGIN SOLUTION
    if images.is_floating_point() and not (images.min() >= 0 and images.max() <= 1):
        raise settings.CourseError("These floats leave [0, 1]: map them to it first.")
    model.eval()
    with torch.no_grad():
        seen = [model.features(as_floats(x)).cpu().double() for x in images.split(batch_size)]
    model.train(was_training)
    return torch.cat(seen)
    ### END SOLUTION


# %% tags=["core", "workshop"]
features_of = checks.features.features_of(features_of)
seen_a, seen_b = (features_of(net, half.to(dev)) for half in (half_a, half_b))
print(f"{tuple(seen_a.shape)}, from {seen_a.min():.1f} to {seen_a.max():.1f}")

# %% [markdown] tags=["core", "workshop"]
# ## 2 Look at the filters and at what they see
#
# The first window: the weights themselves. **Predict.** The first layer has 32 filters of 3x3 weights. A filter whose
# weights sum to zero is silent where nothing changes. How many of the 32 are nearly so?

# %% tags=["core", "workshop"]
filters = net.stage1[0].weight.cpu()  # (32, 1, 3, 3)
balance = filters.sum(dim=(1, 2, 3)).abs() / filters.abs().sum(dim=(1, 2, 3))
filters, most = filters[balance.argsort()], filters.abs().max().item()
fig = plots.show_images(F.pad(filters, (1, 1, 1, 1), value=most), value_range=(-most, most), columns=16, scale=7,
                        caption="Black is negative, white positive; those nearest to zero sum come first.")
maps = net.stage1(as_floats(half_a[:1].to(dev)))[0].cpu()[balance.argsort()]  # (32, 14, 14)
maps = maps / maps.amax(dim=(1, 2), keepdim=True).clamp(min=1e-6)
fig = plots.show_images(maps, value_range=(0, 1), columns=16, caption="One digit, seen through each of them.")
print(f"nearly zero sum: {(balance < 0.2).sum()} of {len(filters)} filters")

# %% [markdown] tags=["core", "workshop"]
# So many as the print says. They come first in the sheet: they compare one side of a place with the other, and draw
# some edges of the digit. The others react to ink as such, or to its absence: the more a filter is one-signed, the
# more its map is the digit, or its negative. Later layers combine all that, and their maps have no such simple names.
#
# ## 3 Cover a piece, ask again
#
# The second window needs no access to weights at all (Zeiler and Fergus 2014, section 4.2). Cover a square of the
# picture with paper, ask the network again, and write down how far the probability of its answer fell:
#
# $$ \text{drop}(i, j) = p(x) - p(x \text{ with a square around } (i, j) \text{ covered}) . $$
#
# **Predict.** Where must you cover a 4, where a 7, where an 8, so that it is no longer read?
#
# **Your lines.** One copy of the picture for each place, each copy covered in its own square, all asked as one batch.
#
# <details><summary>Hint 1</summary>At the border the square is cut off: rows from <code>max(0, i - size // 2)</code>
# up to, and not including, <code>i + size // 2 + 1</code>.</details>
# <details><summary>Hint 2</summary><code>covered = image.repeat(len(places), 1, 1, 1)</code>; a loop over
# <code>zip(covered, places)</code> sets <code>x[:, rows, columns] = fill</code>; then <code>ask(image[None]) -
# ask(covered)</code>, viewed as a map.</details>


# %% tags=["core", "workshop", "export", "exercise"]
def occlusion(ask, image, size=7, stride=2, fill=0.0):
    """Return how far ask(image) falls when the square around each place is covered: (H', W').

    ask: (B, C, H, W) -> (B,); image: (C, H, W); places: every stride-th row and column; size: odd,
    cut off at the border. Zeiler and Fergus (2014), section 4.2.
    """
    C, H, W = image.shape
    places, half = list(product(range(0, H, stride), range(0, W, stride))), size // 2
    ### TODO: a copy for each place, its square covered; ask(image) - ask(copies) as a map
    ### BEGIN SOLUTION
    covered = image.repeat(len(places), 1, 1, 1)
    for x, (i, j) in zip(covered, places, strict=True):
        x[:, max(0, i - half) : i + half + 1, max(0, j - half) : j + half + 1] = fill
    drop = ask(image[None]) - ask(covered)
    return drop.view(-(-H // stride), -1)
    ### END SOLUTION


# %% tags=["core", "workshop"]
occlusion = checks.features.occlusion(occlusion)
digits = as_floats(torch.stack([half_a[test.labels[: cfg.images] == k][0] for k in range(10)]).to(dev))
drops = [occlusion(lambda x, k=k: net(x).softmax(dim=1)[:, k], digits[k])[None] for k in range(10)]
fig = plots.compare({"digit": digits, "drop": torch.stack(drops).clamp(0, 1)}, value_range=(0, 1), scale=2)
hangs = []
for x in as_floats(half_a[: profile(smoke=5, standard=50)].to(dev)):
    hangs.append(occlusion(lambda z, x=x: (net(z).argmax(1) == net(x[None]).argmax(1)).float(), x) > 0)
hangs = torch.stack(hangs).flatten(1).float()
print(f"{hangs.mean():.0%} of the squares change an answer; {hangs.amax(1).mean():.0%} of the digits have one that does")

# %% [markdown] tags=["core", "workshop"]
# Bright are the places where the answer hangs: as a rule a bend, or the closing of a loop, that keeps a rival away.
# Most squares change nothing, and yet most digits have one that does. What the map does not show: a trace that stands
# in two places. Cover either one, and the other still answers.

# %% [markdown] tags=["deeper", "workshop"]
# **Play.** Cover a digit with black or with white paper. **Find** a square of white paper that makes one digit out of
# another.

# %% tags=["deeper", "workshop"]
from course_lib import explore


def cover(digit, row, column, size, paper):
    """Show a digit with a square of paper on it, and what the network reads."""
    x = digits[digit].clone()
    rows, columns = (slice(max(0, at - size // 2), at + size // 2 + 1) for at in (row, column))
    x[:, rows, columns] = float(paper == "white")
    return plots.picture_and_bars(x.cpu(), net(x[None]).softmax(dim=1)[0].cpu(), value_range=(0, 1))


places = {"digit": (0, 9, 8), "row": (0, 27, 9), "column": (0, 27, 9), "size": (1, 15, 7, 2)}
controls = [explore.slider(name, *span) for name, span in places.items()]
explore.View(cover, [*controls, explore.choice("paper", ["black", "white"])])

# %% [markdown] tags=["core"]
# ## 4 Draw a map of 64 dimensions
#
# The third window shows all features of many pictures at once. Project them onto a plane: which one? Take the plane
# in which they spread most. Along a unit vector $u$ the spread is $\frac{1}{N-1}\sum_n (u^\top (x_n - m))^2 = u^\top
# S u$, with the **covariance** $S = \frac{1}{N-1} \sum_n (x_n - m)(x_n - m)^\top$. It is largest, under $u^\top u =
# 1$, where the gradient of $u^\top S u - \lambda (u^\top u - 1)$ is zero:
#
# $$ 2 S u - 2 \lambda u = 0, \qquad S u = \lambda u, \qquad u^\top S u = \lambda : $$
#
# an eigenvector, and the variance along it is its eigenvalue. So take those of the largest eigenvalues: **PCA**
# (principal component analysis). For real symmetric matrices `torch.linalg.eigh` returns the eigenvalues in rising
# order and the eigenvectors as *columns*.
#
# **Predict.** On two such maps, one of the 784 pixels and one of the 64 features, does a digit's nearest neighbour
# have its class?
#
# **Your lines.** Write the covariance, and PCA with it.
#
# <details><summary>Hint 1</summary>Centre first: <code>x - x.mean(dim=0)</code>. One matrix product gives all D x D
# sums.</details>
# <details><summary>Hint 2</summary><code>centred.T @ centred / (len(x) - 1)</code>; <code>values, vectors =
# torch.linalg.eigh(covariance(x))</code>, then <code>vectors.flip(1)[:, :dims].T</code> and
# <code>values.flip(0)[:dims]</code>.</details>


# %% tags=["core", "export", "exercise"]
def covariance(x):
    """Return the unbiased covariance (D, D) of the rows of x (N, D)."""
    ### TODO: centre, multiply, divide by N - 1
    ### BEGIN SOLUTION
    centred = x - x.mean(dim=0)
    return centred.T @ centred / (len(x) - 1)
    ### END SOLUTION


def pca(x, dims=2):
    """Return mean (D,), directions (dims, D) and variances (dims,) of x (N, D), largest first.

    The directions are unit vectors at right angles. Pearson (1901).
    """
    ### TODO: eigenvectors of the covariance, those of the largest eigenvalues first
    ### BEGIN SOLUTION
    values, vectors = torch.linalg.eigh(covariance(x))  # rising
    return x.mean(dim=0), vectors.flip(1)[:, :dims].T, values.flip(0)[:dims]
    ### END SOLUTION


# %% tags=["core"]
covariance = checks.features.covariance(covariance)
pca = checks.features.pca(pca)
pixels, labels = half_a[:1000].flatten(1).double() / 255, test.labels[:1000]
fig = Figure(figsize=(8, 4), dpi=80, layout="constrained")
for n, (name, x) in enumerate({"pixels": pixels, "features": seen_a[:1000]}.items(), 1):
    mean, directions, variances = pca(x)
    at = (x - mean) @ directions.T  # (1000, 2)
    nearest = torch.cdist(at, at).fill_diagonal_(torch.inf).argmin(dim=1)
    told = f"{name}: {(labels[nearest] == labels).double().mean():.0%} of the neighbours agree"
    print(f"{told}; the map holds {variances.sum() / covariance(x).trace():.0%} of the variance")
    ax = fig.add_subplot(1, 2, n, title=told, xticks=(), yticks=())
    for k in range(10):
        ax.scatter(*at[labels == k].T, marker=f"${k}$", color=plots.COLOURS[k % 7], s=22, linewidths=0.2)
fig = plots.show(fig, alt="Two maps of 1,000 digits, as numerals: mixed by pixels, in islands by features.")

# %% [markdown] tags=["core"]
# Far more often on the map of the features, though it shows two directions of 64. The network was trained to make
# classes separable, and so it folded the digits into islands. Distances between *features* mean something that
# distances between pixels do not. That is why we measure there.
#
# ## 5 From features to a ruler
#
# A generator makes a *set* of pictures. How far is it from the real set? The simplest thing that could work: compare
# the mean features, $|m_a - m_b|^2$.
#
# Two generators apply. One shows real digits, a little blurred (the mean over 3x3). The other has collapsed: it knows
# ten pictures, a typical one for each class, and shows them again and again.
#
# **Predict.** Which of the two has the nearer mean?

# %% tags=["core"]
blur = nn.AvgPool2d(3, stride=1, padding=1)  # the mean of 3x3 pixels; outside is black
learnt, x, blurred = features_of(net, train.images.to(dev)), as_floats(half_b), blur(as_floats(half_b))
typical = torch.stack([learnt[train.labels == k].mean(dim=0) for k in range(10)])
ten = train.images[torch.cdist(typical, learnt).argmin(dim=1)]
fig = plots.compare({"real": x, "blurred": blurred, "ten pictures": as_floats(ten)}, value_range=(0, 1))
sets = {"real, other half": half_b, "blurred": blurred, "ten pictures": ten.repeat(cfg.images // 10, 1, 1, 1)}
seen = {name: features_of(net, images.to(dev)) for name, images in sets.items()}
gaps = {name: (seen_a.mean(0) - b.mean(0)).square().sum().item() for name, b in seen.items()}
print(*(f"{name}: |m_a - m_b|² = {gap:.2f}" for name, gap in gaps.items()), sep="\n")
assert gaps["ten pictures"] < gaps["blurred"]

# %% [markdown] tags=["core"]
# The collapsed one: ten pictures are enough for a good mean. What it lacks is *spread*, so the ruler must compare
# that, too.
#
# ### Derive the distance between two clouds
#
# Pair the points of one cloud with those of the other so that the mean squared way, $\mathbb E|x - y|^2$, becomes as
# short as possible. In one dimension, with $c$ the covariance of the paired $x$ and $y$,
#
# $$ \mathbb E(x-y)^2 = (m_a - m_b)^2 + s_a^2 + s_b^2 - 2c \;\ge\; (m_a - m_b)^2 + (s_a - s_b)^2, $$
#
# since a correlation $c / s_a s_b$ is at most 1; it is 1 if $y$ is the stretched and shifted $x$.
#
# In D dimensions: let $R$ be the symmetric root of $S_a = R R$, and $S_b = Q Q$. Write $x = m_a + R e$,
# $y = m_b + Q f$, where $e$ and $f$ have covariance 1, and $K = \mathbb E[e f^\top]$ is what the pairing can choose:
#
# $$ \mathbb E|x-y|^2 = |m_a - m_b|^2 + \operatorname{Tr} S_a + \operatorname{Tr} S_b - 2 \operatorname{Tr}(R K Q) . $$
#
# With the singular value decomposition $Q R = U \Sigma V^\top$ the last trace is
# $\operatorname{Tr}(K Q R) = \sum_i \sigma_i\, (V^\top K U)_{ii}$. Entry $i$ is the correlation of two numbers with
# variance 1, $v_i^\top e$ and $u_i^\top f$ (with $v_i$, $u_i$ the columns of $V$, $U$), so at most 1; $K = V U^\top$
# makes all of them 1, and Gaussian clouds can be paired so. The $\sigma_i^2$ are the eigenvalues of
# $(QR)^\top QR = R S_b R$. Thus the
# **Fréchet distance** (Dowson and Landau 1982), as always, squared:
#
# $$ d^2 = |m_a - m_b|^2 + \operatorname{Tr} S_a + \operatorname{Tr} S_b - 2 \operatorname{Tr} (R\, S_b\, R)^{1/2} . $$
#
# | symbol | variable | shape |
# |---|---|---|
# | $m_a$, $m_b$ | `a.mean(dim=0)`, `b.mean(dim=0)` | (D,) |
# | $S_a$, $S_b$ | `covariance(a)`, `covariance(b)` | (D, D) |
# | $R = S_a^{1/2}$ | `square_root(covariance(a))` | (D, D) |
#
# Papers write $(S_a S_b)^{1/2}$. $S_a S_b = R (R S_b)$ has the same eigenvalues as $(R S_b) R$, so the trace is the
# same; but it is not symmetric, and its numerical root may come out complex. Ours cannot: all roots are of symmetric
# matrices without negative eigenvalues.
#
# **Your lines.** Write the root ($S = V \Lambda V^\top$ has the root $V \Lambda^{1/2} V^\top$), then the distance.
# The trace of a root is the sum of the roots of the eigenvalues, so the second root needs no matrix.
#
# <details><summary>Hint 1</summary><code>values, vectors = torch.linalg.eigh(S)</code>. Rounding makes an eigenvalue
# 0 a -1e-17, whose root is nan: <code>clamp(min=0)</code>. <code>torch.linalg.eigvalsh</code> returns the eigenvalues
# alone.</details>
# <details><summary>Hint 2</summary><code>(vectors * values.clamp(min=0).sqrt()) @ vectors.T</code>; and with its
# result <code>root</code>, twice <code>torch.linalg.eigvalsh(root @ T @ root).clamp(min=0).sqrt().sum()</code> is
# subtracted.</details>


# %% tags=["core", "export", "exercise"]
def square_root(S):
    """Return the symmetric R (D, D) with R R = S; S: symmetric, no negative eigenvalue, float64."""
    ### TODO: the roots of the eigenvalues between the eigenvectors
    ### BEGIN SOLUTION
    values, vectors = torch.linalg.eigh(S)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    ### END SOLUTION


def frechet_distance(a, b):
    """Return the squared Fréchet distance of the Gaussians fitted to features a (N, D), b (M, D).

    float64. Dowson and Landau (1982); Heusel et al. (2017), equation 6.
    """
    ### TODO: |m_a - m_b|^2 + Tr S_a + Tr S_b - 2 Tr (R S_b R)^(1/2), a plain number
    ### BEGIN SOLUTION
    gap = (a.mean(dim=0) - b.mean(dim=0)).square().sum()
    S, T = covariance(a), covariance(b)
    root = square_root(S)
    overlap = torch.linalg.eigvalsh(root @ T @ root).clamp(min=0).sqrt().sum()
    return (gap + S.trace() + T.trace() - 2 * overlap).item()
    ### END SOLUTION


# %% tags=["core"]
square_root = checks.features.square_root(square_root)
frechet_distance = checks.features.frechet_distance(frechet_distance)
score = {name: frechet_distance(seen_a, b) for name, b in seen.items()}
print(*(f"{name}: {value:.2f}, of which the means {gaps[name]:.2f}" for name, value in score.items()), sep="\n")
assert abs(score["blurred"] - metrics.frechet_distance(seen_a, seen["blurred"])) < 1e-6
assert score["blurred"] < score["ten pictures"]

# %% [markdown] tags=["core"]
# The order has turned: the missing spread costs the ten pictures far more than their good mean saves. (The library
# has the same distance, by another route, `metrics.frechet_distance`; lessons use that from now on.)
#
# ## 6 Real against real is not zero
#
# The other half of the *real* digits got a score, too. Both halves come from one distribution, and the distance of a
# distribution to itself is 0.
#
# **Predict.** You compare 70 real digits with 70 others, 100 with 100, and so on up to thousands. How does the
# distance depend on n? And that of the blurred ones?

# %% tags=["core"]
def at_size(real, other, n, generator):
    """Return the distance of n random rows of real to n different rows of other, both (N, D)."""
    i = torch.randperm(len(real), generator=generator)
    return frechet_distance(real[i[:n]], other[i[n : 2 * n]])


real = torch.cat([seen_a, seen_b])
soft = features_of(net, blur(as_floats(test.images)).to(dev))
sizes = [n for n in (70, 100, 150, 250, 500, 1000, 2000, 5000) if n <= cfg.images]
by_size, inverse = {}, [1000 / n for n in sizes]
for name, other in {"blurred": soft, "real": real}.items():
    found = torch.tensor([[at_size(real, other, n, generator) for _ in range(cfg.repeats)] for n in sizes])
    by_size[name] = (inverse, found.mean(dim=1), found.std(dim=1))
fig = plots.curves(by_size, xlabel="1000 / n", ylabel="Fréchet distance to real digits")
floors, mean_term = by_size["real"][1], 2 * covariance(real).trace()
for n, ground in zip(sizes, floors, strict=True):
    print(f"n = {n:4}: real to real {ground:6.2f}, times n {n * ground:.0f}; mean term {mean_term / n:.2f}")
assert floors[0] > max(by_size["blurred"][1][-1], 10 * floors[-1]) or not binding

# %% [markdown] tags=["core"]
# As $1/n$: over $1/n$ the points form straight lines, and $n$ times the floor stays nearly the same. The reason: the
# estimated means miss by $\mathbb E|\hat m_a - \hat m_b|^2 = 2 \operatorname{Tr} S / n$, printed last. The
# covariances miss, too. Where two clouds are equal the distance has its minimum, 0, so what it answers to a small
# error is a square; the errors shrink as $1/\sqrt n$, and their squares as $1/n$.
#
# So the estimate is **too high** on average, and all the more the fewer pictures there are: at the smallest n *real*
# digits score worse than blurred ones at the largest. A score without its n means nothing, and two scores compare
# only at the same n (Chong and Forsyth 2020). With n at most D the covariances even lack directions (E2; the
# library's distance then warns). The **floor**, real against real at that n, is the best that anybody could reach.
#
# ## 7 Ask the ruler
#
# **Predict.** Order by distance: digits moved by 3 pixels; no 7 among them; noise that you hardly see (standard
# deviation 0.1); blurred; ten pictures; negatives.

# %% tags=["core"]
noise = 0.1 * torch.randn(x.shape, generator=generator)
asked = {"moved by 3 pixels": F.pad(x, (3, -3)), "no 7": half_b[test.labels[cfg.images :] != 7]}
asked |= {"a little noise": (x + noise).clamp(0, 1), "negative": 1 - x}
score |= {name: frechet_distance(seen_a, features_of(net, images.to(dev))) for name, images in asked.items()}
floor = score["real, other half"]
ordered = dict(sorted(score.items(), key=lambda item: item[1]))
fig = plots.bars(ordered, ylabel=f"Fréchet distance, {len(half_a):,} pictures")
assert score["moved by 3 pixels"] < score["no 7"] < score["a little noise"] or not binding

# %% [markdown] tags=["core"]
# Moving is almost free: this judge forgets *where* (lesson 14). A missing class costs less than noise that you would
# forgive. That is not wrong, it is *this judge's* view: it was trained to tell clean digits apart, and all it knows
# of noise is that its features are disturbed. Every Fréchet distance is the view of some network; "FID", the usual
# one, that of an Inception network trained on photographs of a thousand kinds of things (Heusel et al. 2017).
#
# ## 8 Fool it
#
# **By heart.** A "generator" hands out training images. **Predict.** How does it score: with as many different ones
# as are asked for, with a tenth of them, each shown ten times, with a hundredth?

# %% tags=["core"]
for times in (100, 10, 1):
    few = learnt[: cfg.images // times]
    copied = frechet_distance(seen_a, few.repeat(times, 1))
    print(f"{len(few):,} pictures, each copied {times} x: {copied:.2f}; floor {floor:.2f}")
apart = [metrics.nearest_distance(s, train.images)[0].min() for s in (train.images[:20], half_b[:20])]
print(f"nearest training image: copies at {apart[0]:.0f}, new digits at {apart[1]:.0f} or more")
assert copied < 2 * floor and apart[0] == 0 < apart[1]

# %% [markdown] tags=["core"]
# Copies that never repeat are at the floor; few of them, shown often, are caught, since their variety has run out. No
# statistic of features sees theft as such: stolen pictures are perfect. Another question does: how far is the nearest
# training image? So that is measured beside it.

# %% [markdown] tags=["core", "workshop"]
# ### Fool it by climbing
#
# A confident network and a good picture: is that the same? A network gives a probability to *any* 784 numbers.
# Start at noise and change the picture, not the weights, so that a score rises: gradient ascent on the pixels. Each
# step has a fixed length, however small the gradient is, and pixels stay in [0, 1].
#
# **Predict.** Climb until the network is certain. Will you see the digit?
#
# **Your lines.** Write one step of the climb.
#
# <details><summary>Hint 1</summary><code>torch.autograd.grad(score(x).sum(), x)</code>: the sum gives each picture
# its own gradient, as no picture appears in another one's score.</details>
# <details><summary>Hint 2</summary>In each step <code>x = x.detach().requires_grad_()</code>, the gradient, its
# length per picture <code>grad.flatten(1).norm(dim=1).clamp(min=1e-12)[:, None, None, None]</code>, and <code>(x +
# length * grad / norm).clamp(0, 1).detach()</code>.</details>


# %% tags=["core", "workshop", "export", "exercise"]
def climb(score, x, steps=100, length=0.5):
    """Change images x (B, C, H, W) in [0, 1] so that score rises; return the new ones, detached.

    score: (B, C, H, W) -> (B,). Each image takes steps along its own gradient, `length` long (L2
    norm over its pixels), each clamped to [0, 1]. x itself stays as it is.
    """
    for _ in range(steps):
        ### TODO: the gradient of each image's score, made `length` long, added; clamp
        ### BEGIN SOLUTION
        x = x.detach().requires_grad_()
        (grad,) = torch.autograd.grad(score(x).sum(), x)
        norm = grad.flatten(1).norm(dim=1).clamp(min=1e-12)[:, None, None, None]
        x = (x + length * grad / norm).clamp(0, 1).detach()
        ### END SOLUTION
    return x


# %% tags=["core", "workshop"]
climb = checks.features.climb(climb)
start = torch.rand(10, 1, 28, 28, generator=generator).to(dev)
certain = climb(lambda x: net(x).log_softmax(dim=1).diagonal(), start)  # picture k towards class k
sure = net(certain).softmax(dim=1).diagonal()
fig = plots.show_images(certain.cpu(), value_range=(0, 1), columns=10, labels=[f"{k}: {p:.1%}" for k, p in enumerate(sure)],
                        caption="Read as 0 to 9, and how certain the network is.")
assert sure.median() > 0.9

# %% [markdown] tags=["core", "workshop"]
# Noise, and nearly all of it read with certainty. The network never had to say "none of these": between its ten
# classes everything belongs to one. **A confident judge is not a good picture.**
#
# Now fool the *set*. Let each noise picture climb until its features are those of some real digit.
#
# **Predict.** Will this noise score better or worse than real digits slightly blurred? And what will another judge
# say, one that looks through random filters (mean size and spread of what each sees) and that nobody has trained?


# %% tags=["core", "export"]
class RandomFilters(nn.Module):
    """The control: random zero-mean 7x7 filters that nobody trained, the same every time."""

    def __init__(self, channels=3, filters=8, scales=(1, 2, 4)):
        super().__init__()
        kernels = torch.randn(filters, channels, 7, 7, generator=device.generator(0))
        self.scales = scales
        self.register_buffer("kernels", kernels - kernels.mean(dim=(1, 2, 3), keepdim=True))

    def features(self, x):
        """Return (B, 2 filters scales): of each, the mean of |y| and the deviation of y."""
        seen = [F.conv2d(F.avg_pool2d(x, scale), self.kernels) for scale in self.scales]
        spread = [y.std(dim=(2, 3)) for y in seen]
        return torch.cat([y.abs().mean(dim=(2, 3)) for y in seen] + spread, dim=1)


# %% tags=["core"]
n = profile(smoke=100, standard=200)
goal, junk = seen_b[:n].float().to(dev), torch.rand(n, 1, 28, 28, generator=generator).to(dev)
for length in (2, 1, 0.5, 0.25, 0.12):
    junk = climb(lambda x: -(net.features(x) - goal).square().sum(dim=1), junk, profile(smoke=2, standard=40), length)
fig = plots.show_images(junk[:10].cpu(), value_range=(0, 1), columns=10)
control, told = RandomFilters(channels=1, scales=(1, 2)), {}
for name, judge in {"the network": net, "random filters": control.to(dev)}.items():
    first, *others = (features_of(judge, s.to(dev)) for s in (half_a[:n], half_b[:n], blurred[:n], junk))
    told[name] = [frechet_distance(first, other) for other in others]
    print(name + ": real {:.3g}, blurred {:.3g}, noise {:.3g}".format(*told[name]), f"({n} pictures)")
assert told["random filters"][2] > 1.5 * told["random filters"][1]
assert told["the network"][2] < told["the network"][1] or not binding

# %% [markdown] tags=["core"]
# To the network that it was made for, noise is better than blurred digits. The untrained filters are not taken in. So
# a model must never be trained *on* the judge that scores it, and a result that matters gets a second judge.

# %% [markdown] tags=["deeper"]
# ## 9 Deeper: a judge without labels
#
# Photographs here have no classes that a network could learn to tell. So give them some: damage them, and ask *what
# was done*. Whoever can tell blur from none must know what sharp photographs look like. Seven kinds of damage and
# none, each fainter or stronger by chance, all of them for every photograph, so that its content gives nothing away.

# %% tags=["deeper"]
from course_lib import damages

photo_test = datasets.load("photos", "test").float()  # other scenes than those of training
made = [damages.damage(photo_test[73:74], kind, generator) for kind in damages.KINDS]
fig = plots.show_images(torch.cat(made), value_range=(0, 1), columns=8, labels=damages.KINDS, scale=1)

# %% tags=["deeper", "export"]
class PhotoNet(nn.Module):
    """Tell how photographs (B, 3, H, W) of any size were damaged: logits (B, 8)."""

    def __init__(self, widths=(24, 48, 48, 48)):
        super().__init__()
        sizes, layers = (3, *widths), []
        for channels, wide in zip(sizes, widths, strict=False):
            conv = nn.Conv2d(channels, wide, 3, stride=2, padding=1, bias=False)
            layers += [conv, nn.BatchNorm2d(wide), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.linear = nn.Linear(widths[-1], len(damages.KINDS))

    def features(self, x):
        """Return the mean of the last layer over all positions: (B, 48)."""
        return self.layers(x).mean(dim=(2, 3))

    def forward(self, x):
        return self.linear(self.features(x))


# %% tags=["deeper", "export"]
def train_photo_judge(model, cfg, patches, generator, should_stop=training.never_stop):
    """Train a PhotoNet on patches uint8 (N, 3, H, W); return the history of the loss."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=cfg.lr)
    batches = datasets.batches(patches, batch_size=cfg.batch_size, generator=generator)
    model.train()
    with training.progress(cfg.steps, should_stop, label="photo judge") as run:
        for _, (x,) in zip(run, batches, strict=False):
            optimiser.param_groups[0]["lr"] = cfg.lr * cnn.one_cycle(run.fraction)
            x, kinds = damages.all_damages(torch.rot90(datasets.to_float(x), run.step % 4, (2, 3)), generator)
            loss = F.cross_entropy(model(x), kinds)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            run.log(loss=loss)
    return run.history


# %% tags=["deeper"]
small, photo_judge = PhotoNet(), PhotoNet()
losses = train_photo_judge(small, cfg, damages.training_patches(), generator)["loss"][1]
print(f"{device.count_parameters(small):,} parameters; first loss {losses[0]:.2f}, no opinion costs ln 8 = 2.08")
trained.load("photonet", photo_judge, "photos")
for name, judge in {"just trained": small, "the course's": photo_judge}.items():
    shares = damages.told_rightly(judge, photo_test, device.generator(1))
    kinds = ", ".join(f"{kind} {share:.0%}" for kind, share in zip(damages.KINDS, shares, strict=True))
    print(f"{name}: {shares.mean():.1%} of the damages told on new scenes ({kinds}); chance 12.5%")

# %% [markdown] tags=["deeper"]
# Most damages are told on scenes that the judge has never seen. Weakest are those that a scene may have by itself:
# who knows how sharp, pale or orange it really was? (An earlier version also had to tell how a photograph was turned.
# On new scenes it guessed: the few training scenes do not teach what is up, so turning is no part of the task.)
#
# **Predict.** Fréchet distance of damaged photographs to others that are not, by strength: which judge sees a faint
# damage first, the trained one or the random filters?

# %% tags=["deeper"]
pieces = datasets.load("photos", "test", patch=32).float()
pieces = pieces[torch.randperm(len(pieces), generator=generator)]
half, strengths = len(pieces) // 2, (0.1, 0.2, 0.4, 0.8)
for name, judge in {"photo judge": photo_judge, "random filters": RandomFilters()}.items():
    first, other = features_of(judge, pieces[:half]), pieces[half : 2 * half]
    ground, lines = frechet_distance(first, features_of(judge, other)), {}
    for kind in ("noise", "blur", "scratches", "tinted"):
        worse = (features_of(judge, damages.damage(other, kind, generator, s)) for s in strengths)
        lines[kind] = (strengths, [frechet_distance(first, seen) / ground for seen in worse])
    fig = plots.curves(lines, xlabel="strength of the damage", ylabel="distance / floor", log=True,
                       reference={"floor": 1}, caption=f"{name}, {half} pieces of 32x32")

# %% [markdown] tags=["deeper"]
# The trained one, clearly, though blur comes late even there. Both see only what they see: give their names with
# every score.
#
# ## 10 Break it on purpose
#
# **Variances for covariances.** Somebody saves the matrix and compares D variances, $\sum_i (s_{a,i} - s_{b,i})^2$.
# Then we shuffle each feature among the digits, each on its own: every digit gets the hole of an 8 and the stroke of
# a 1.
#
# **Training mode (C4), and the wrong range (E1, E6).** The other half, sorted by class as it would come from a folder
# per class, asked in training mode; and in -1 to 1, as a generator with tanh makes pictures.
#
# **Predict.** What do the two rulers say of the shuffled ones? And by how many floors do the others miss?

# %% tags=["deeper"]
import copy

shuffled = torch.stack([column[torch.randperm(len(seen_b), generator=generator)] for column in seen_b.T], dim=1)
only_variances = (seen_a.mean(0) - shuffled.mean(0)).square().sum() + (seen_a.std(0) - shuffled.std(0)).square().sum()
print(f"shuffled: {only_variances:.2f} by variances, {frechet_distance(seen_a, shuffled):.2f} by covariances")
by_class, ready = test.labels[cfg.images :].argsort(), copy.deepcopy(net).train()
with torch.no_grad():
    in_training = [ready.features(part) for part in as_floats(half_b[by_class]).to(dev).split(100)]
    wrong_range = net.features(2 * as_floats(half_b[:1000]).to(dev) - 1).cpu().double()
for name, wrong in {"training mode": torch.cat(in_training).cpu().double(), "range -1..1": wrong_range}.items():
    print(f"real digits, {name}: {frechet_distance(seen_a, wrong) / floor:.0f} floors")
assert only_variances < 2 * floor < frechet_distance(seen_a, shuffled)

# %% [markdown] tags=["deeper"]
# By variances the shuffled ones are perfect: which features occur *together* is the covariances' business. And real
# digits, asked wrongly, score like bad fakes. Nothing complains. So measure real against real with the whole pipeline
# first: a floor that is too high is a bug.
#
# ## 11 Exercises
#
# **A. Predict (★, 5 minutes): neighbours.** All 64 dimensions now. Find for each digit its nearest neighbour among
# the training images, by pixels and by features; then move the digits by 3 pixels and look again. In which share of
# the four cases does the neighbour have the digit's class?
#
# <details><summary>Hint 1</summary>Which cells hold the ink of a 1 that stands 3 pixels further to the
# right?</details>
# <details><summary>Hint 2</summary>Each feature is a maximum over all places (lesson 14).</details>

# %% tags=["deeper"]
shelf, asked, truth = train.images[:5000], half_a[:500], test.labels[:500]
moved = F.pad(asked, (3, -3))
looks = {"pixels": lambda x: x.flatten(1).double(), "features": lambda x: features_of(net, x.to(dev))}
for name, look in looks.items():
    stay, after = (torch.cdist(look(x), look(shelf)).argmin(dim=1) for x in (asked, moved))
    agree = [(train.labels[i] == truth).double().mean() for i in (stay, after)]
    print(f"{name}: {agree[0]:.1%} where they are, {agree[1]:.1%} moved")
    fig = plots.compare({"moved digit": moved[:8], name: train.images[after[:8]]}, value_range=(0, 255), scale=2)
assert agree[1] > 0.9

# %% [markdown] tags=["deeper"]
# <details><summary>Answer to A</summary>Standing still, the two are close. Moved, the pixels find whatever has ink in
# the same cells; the features hardly notice.</details>
#
# **B. Build (★★, 10 minutes): look behind the largest n.** If $d_n = d_\infty + c / n$, then two points would do, and
# with more of them the best straight line over $1/n$; where it meets $1/n = 0$ is the distance without the bias
# (Chong and Forsyth 2020). Write the least-squares line's height at 0.
#
# <details><summary>Hint 1</summary>Unknowns: d∞ and c. One row (1, 1/n) for each size.</details>
# <details><summary>Hint 2</summary><code>torch.linalg.lstsq(rows, distances[:, None]).solution[0]</code>, all in
# float64. Or: slope = covariance of x and d over the variance of x, and the line goes through both means.</details>


# %% tags=["deeper", "exercise", "export"]
def extrapolate(sizes, distances):
    """Return d at n = infinity of the line d = d_inf + c / n, fitted by least squares.

    sizes: K >= 2 numbers n; distances: K numbers. After Chong and Forsyth (2020).
    """
    ### TODO: the height at 1/n = 0 of the best line through (1/n, d)
    ### BEGIN SOLUTION
    x = 1 / torch.as_tensor(sizes, dtype=torch.float64)
    rows = torch.stack([torch.ones_like(x), x], dim=1)
    d = torch.as_tensor(distances, dtype=torch.float64)
    return torch.linalg.lstsq(rows, d[:, None]).solution[0].item()
    ### END SOLUTION


# %% tags=["deeper"]
extrapolate = checks.features.extrapolate(extrapolate)
for name in ("real", "blurred"):
    straight = extrapolate(sizes[2:], by_size[name][1][2:])
    print(f"{name}: {by_size[name][1][-1]:.2f} at n = {sizes[-1]}, {straight:.2f} extrapolated")

# %% [markdown] tags=["deeper"]
# The real ones come closer to 0, which is what they should have. The blurred ones keep a distance of their own.
#
# **C. Debug (★★, 10 minutes).** A colleague's distance. Three faults. Which of these would show each of them: two
# equal sets; one set moved by d in all features; features doubled in both sets; one feature only?
#
# ```python
# def distance(a, b):
#     gap = (a.mean(0) - b.mean(0)).norm()
#     S, T = torch.cov(a), torch.cov(b)
#     return gap + (S + T - 2 * (S @ T).sqrt()).trace()
# ```
#
# <details><summary>Hint 1</summary>What do rows mean to <code>torch.cov</code>? What does <code>.sqrt()</code> do
# with a matrix?</details>
# <details><summary>Hint 2</summary>If all lengths double, a squared distance grows by four; what do the two summands
# do here?</details>
#
# <details><summary>Answer to C</summary><code>torch.cov</code> wants features as rows: pass a.T (with N ≠ M the sum
# fails, with N = M it is silent). <code>.sqrt()</code> takes the root of each entry, which is right only for one
# feature or diagonal matrices; two equal sets do not score 0. The norm lacks its square: moved by d the score must be
# |d|², and doubling must give four times the score. Paste your repair into the cell of <code>frechet_distance</code>;
# the check knows all of these.</details>

# %% [markdown] tags=["core", "workshop"]
# ## 12 To discuss, and to keep
#
# <details><summary><b>E3.</b> Two teams score the same 256x256 pictures with a judge that reads 64x64, and disagree.
# Why?</summary>They shrink differently: with or without a blur first (lesson 13), from PNG or JPEG. The resizing is a
# part of the ruler. Fix it, and print it.</details>
# <details><summary><b>E4.</b> A team stretches each picture to full contrast when it saves it. What does that hide,
# and whom does it help?</summary>Pale and dark outliers look normal, so generators that make them gain; and if the
# real pictures go through the same door, the floor is no longer that of the real set.</details>
# <details><summary><b>Question.</b> A model's distance is <em>below</em> the floor. Is it better than
# real?</summary>It may be chance: look at the floor's spread. Or it copies: pictures near the real ones it is
# compared with. Or n differs.</details>
#
# **Summary**
#
# - A judge measures what it has learnt to see, and nothing else. Beside every distance stand the judge's name, the
#   number of pictures, and the distance from real to real.
# - Features are taken in evaluation mode, in the range of training, in float64.
# - Covering finds where an answer hangs; PCA, the eigenvectors of the covariance, shows how features lie.
# - The Fréchet distance is the shortest mean squared way between two Gaussian clouds: means, traces, and the trace of
#   a root. It is too high by about c / n.
# - Copies reach the floor, and noise can be made to please any one judge: ask for the nearest training image, and ask
#   a second judge.
#
# **Later lessons import** `judges.judge(data)`, which loads the network of lesson 14 for digits, `PhotoNet` for
# photographs or `RandomFilters` as the control (`python3 -m course_lib.experiments.judges` trains and saves them);
# `metrics.frechet_distance`, `metrics.split_floor` (the floor); and `features_of`, `pca`, `climb`. **Limits:** two
# Gaussians are compared, whatever the clouds look like; part 6 opens distances that assume less.
#
# **Papers.** Zeiler and Fergus (2014), *Visualizing and understanding convolutional networks*, section 4.2 · Dowson
# and Landau (1982), *The Fréchet distance between multivariate normal distributions* · Heusel et al. (2017), *GANs
# trained by a two time-scale update rule converge to a local Nash equilibrium*, section "FID" · Chong and Forsyth
# (2020), *Effectively unbiased FID and Inception Score and where to find them* · Szegedy et al. (2014), *Intriguing
# properties of neural networks* · Nguyen, Yosinski and Clune (2015), *Deep neural networks are easily fooled* ·
# Pearson (1901), *On lines and planes of closest fit to systems of points in space*.
