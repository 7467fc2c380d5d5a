"""Score images, in float64 on the CPU; arrays may be torch tensors on any device or numpy's."""

import math
import warnings
from collections import namedtuple

import numpy as np
import torch
from skimage.metrics import structural_similarity

from course_lib.settings import CourseError

BLOCK = 256  # rows at a time: 256 x 10,000 distances take 20 MB


Interval = namedtuple("Interval", "mean lo hi")  # a mean with the two ends of its interval


def frechet_distance(a, b) -> float:
    """Return the squared Fréchet distance of the Gaussians fitted to two sets of features.

    a, b: (N, D), (M, D) -> |m_a - m_b|^2 + Tr(S_a + S_b - 2 (S_a S_b)^(1/2)), at least 0.
    Too high for few samples: set it beside `split_floor` of the same size; warns when N <= D.
    CourseError for N < 2 or NaN. Dowson and Landau (1982); Heusel et al. (2017), eq. 6.
    """
    a, b = _features(a, b)
    if min(len(a), len(b)) <= a.shape[1]:
        sizes = f"{min(len(a), len(b))} samples of {a.shape[1]} features"
        warnings.warn(f"{sizes}: the distance is far too high; take more samples.", stacklevel=2)
    root_a, root_b = _covariance_root(a), _covariance_root(b)
    # Tr (S_a S_b)^(1/2) by singular values: real, and no root of a rounded-off eigenvalue
    overlap = torch.linalg.svdvals(root_a @ root_b.T).sum()
    gap = (a.mean(0) - b.mean(0)).square().sum()
    return max(0.0, (gap + root_a.square().sum() + root_b.square().sum() - 2 * overlap).item())


def _covariance_root(x):
    """Return an upper triangular R with R^T R = the unbiased covariance of the rows of x."""
    return torch.linalg.qr((x - x.mean(0)) / math.sqrt(len(x) - 1), mode="r").R


def kernel_distance(a, b, *, subset=1000, repeats=50, generator) -> tuple[float, float]:
    """Return mean and standard deviation of the kernel distance over random subsets.

    a, b: (N, D), (M, D), N, M >= subset, else CourseError; generator: on the CPU. Unbiased MMD^2
    with k(x, y) = (x.y / D + 1)^3: equal distributions score around 0, also below. Deviation: of
    one subset. Bińkowski et al. (2018), section 4; Gretton et al. (2012), eq. 3.
    """
    a, b = _features(a, b)
    most = min(len(a), len(b))
    if not 2 <= subset <= most or repeats < 2:
        raise CourseError(f"Choose a subset of 2 to {most} samples, not {subset}, and 2 repeats.")
    values = []
    for _ in range(repeats):
        i, j = (torch.randperm(len(x), generator=generator)[:subset] for x in (a, b))
        values.append(_mmd2(a[i], b[j]))
    return float(np.mean(values)), float(np.std(values, ddof=1))


def _mmd2(a, b) -> float:
    """Return the unbiased MMD^2 of two (N, D); a sample is not paired with itself."""
    aa, bb, ab = ((x @ y.T / x.shape[1] + 1) ** 3 for x, y in ((a, a), (b, b), (a, b)))
    pairs = len(a) * (len(a) - 1)
    return ((aa.sum() - aa.trace() + bb.sum() - bb.trace()) / pairs - 2 * ab.mean()).item()


def precision_recall(real, fake, k: int = 3) -> tuple[float, float]:
    """Return the share of fakes on the real manifold, and of reals on the fake one.

    real, fake: (N, D), (M, D) -> two numbers in [0, 1]. A manifold is the union of the balls
    around its samples that reach to their k-th nearest neighbour; compare at equal N and M.
    Raises CourseError unless N, M > k >= 1. Kynkäänniemi et al. (2019), eq. 1 and 2.
    """
    real, fake = _features(real, fake)
    if not 1 <= k < min(len(real), len(fake)):
        raise CourseError(f"precision_recall needs k >= 1 and more than k = {k} rows of each.")
    real, fake = real - real.mean(0), fake - real.mean(0)
    return _covered(fake, real, k), _covered(real, fake, k)


def _covered(points, centres, k) -> float:
    """Return the share of points in a ball that reaches from a centre to its k-th neighbour."""
    radii = _squared_radii(centres, k)
    blocks = (_squared_distances(rows, centres) <= radii for rows in points.split(BLOCK))
    return torch.cat([block.any(1) for block in blocks]).double().mean().item()


def _squared_radii(x, k):
    """Return (N,): squared distance of each row to its k-th neighbour; itself, at 0, is first."""
    blocks = (_squared_distances(rows, x) for rows in x.split(BLOCK))
    return torch.cat([block.topk(k + 1, largest=False).values[:, k] for block in blocks])


def _squared_distances(a, b):
    """Return (N, M): |a|^2 + |b|^2 - 2 a.b, with 0 for what is less than its rounding error."""
    norms = a.square().sum(1)[:, None] + b.square().sum(1)
    squared = norms - 2 * a @ b.T
    return squared.masked_fill_(squared < 1e-12 * norms, 0)


def nearest_distance(samples, train) -> tuple[torch.Tensor, torch.Tensor]:
    """Find the training image nearest to each sample: is the sample a copy?

    samples, train: (N, ...), (M, ...), one image shape and range -> Euclidean distance over all
    pixels (N,), exactly 0 for a copy, and index in train (N,). Raises CourseError for other or
    empty shapes, NaN, or integers against floats.
    """
    samples, train = _tensor(samples), _tensor(train)
    same_kind = samples.is_floating_point() == train.is_floating_point()
    same_shape = samples.ndim > 1 and samples.shape[1:] == train.shape[1:]
    if not (same_kind and same_shape and samples.numel() and train.numel()):
        got = " and ".join(f"{x.dtype} {[*x.shape]}" for x in (samples, train))
        raise CourseError(f"nearest_distance needs images of one shape, type and range, not {got}.")
    samples, train = samples.flatten(1), train.flatten(1)
    pairs = [_nearest(rows.double(), train) for rows in samples.split(BLOCK)]
    return torch.cat([pair[0] for pair in pairs]), torch.cat([pair[1] for pair in pairs])


def _nearest(rows, train):
    """Return distance (N,) and index (N,) of the training row nearest to each row."""
    blocks = [_squared_distances(rows, block.double()).min(1) for block in train.split(BLOCK)]
    squared, within = (torch.stack(parts) for parts in zip(*blocks, strict=True))  # (blocks, N)
    block = squared.argmin(0)
    index = BLOCK * block + within.gather(0, block[None])[0]
    return (rows - train[index].double()).square().sum(1).sqrt(), index


def psnr(x, y, *, data_range, where=None, tolerance: float = 1e-3) -> torch.Tensor:
    """Return the peak signal-to-noise ratio of each image in dB: 10 log10((hi - lo)^2 / MSE).

    x, y: (N, C, H, W) -> (N,); inf for equal images. data_range: (lo, hi), or hi for (0, hi).
    where: bool, (N or 1, C or 1, H, W), True where it counts, say in the hole. CourseError for
    values over tolerance * (hi - lo) outside: clamp them, or raise it for noise that belongs there.
    """
    x, y, width = _images(x, y, data_range, tolerance)
    squared = (x - y).square()
    counts = torch.ones_like(squared) if where is None else _mask(where, squared.shape)
    error = (squared * counts).sum((1, 2, 3)) / counts.sum((1, 2, 3))
    return 10 * torch.log10(width**2 / error)


def ssim(x, y, *, data_range, tolerance: float = 1e-3) -> torch.Tensor:
    """Return the mean structural similarity of each image: 1 for equal images, else less.

    x, y: (N, C, H, W), H, W >= 11 -> (N,), the mean over channels and over the places where the
    whole 11 x 11 Gaussian window (sigma 1.5) fits. data_range, tolerance, errors: see `psnr`;
    values count from lo. Wang et al. (2004), eq. 13 and 17, K1 = 0.01, K2 = 0.03.
    """
    x, y, width = _images(x, y, data_range, tolerance)
    if min(x.shape[2:]) < 11:
        raise CourseError(f"ssim needs images of at least 11 x 11 pixels, not {[*x.shape]}.")
    options = {"channel_axis": 0, "gaussian_weights": True, "use_sample_covariance": False}
    pairs = zip(x.numpy(), y.numpy(), strict=True)
    scores = [structural_similarity(a, b, data_range=width, **options) for a, b in pairs]
    return torch.tensor(scores, dtype=torch.float64)


def bits_per_dim(nats, dims: int):
    """Convert -ln p of an image, in nats, into bits per dimension: nats / (dims ln 2).

    nats: a number or (N,); dims: C * H * W of one image >= 1 -> a number or float64 (N,).
    """
    bits = _tensor(nats).double() / (dims * math.log(2))
    return bits if bits.ndim else bits.item()


def class_coverage(labels, num_classes: int) -> float:
    """Return the share of the K classes that hold at least a tenth of their equal share N / K.

    labels: (N,) integers in [0, K), else CourseError -> 1/K (one class only) to 1.
    """
    labels = _tensor(labels)
    whole = labels.ndim == 1 and len(labels) and not labels.is_floating_point()
    if not whole or labels.min() < 0 or labels.max() >= num_classes:
        raise CourseError(f"Labels must be (N,) integers from 0 to {num_classes - 1}, N >= 1.")
    counts = torch.bincount(labels.long(), minlength=num_classes)
    return (10 * num_classes * counts >= counts.sum()).double().mean().item()


def bootstrap(fn, *arrays, repeats: int = 39, seed: int = 0) -> Interval:
    """Return mean and 95 % interval of fn(*arrays) over rows redrawn with replacement.

    arrays: (N_i, ...), each redrawn by itself; pairs belong into one array. lo, hi: 2.5 and 97.5 %
    points; below 39 repeats the extremes, covering 1 - 2 / (repeats + 1).
    For means: accuracy, PSNR, nats. Not for distances of sets, which redrawn duplicates spoil
    (they double the Fréchet floor): see `split_floor`. Davison and Hinkley (1997), eq. 5.18.
    """
    rng, values = np.random.default_rng(seed), []
    for _ in range(repeats):
        redrawn = (array[rng.integers(len(array), size=len(array))] for array in arrays)
        values.append(fn(*redrawn))
    return _interval(values)


def split_floor(features, size, *, repeats=39, seed=0, distance=frechet_distance) -> Interval:
    """Return the floor of a distance, real against real: `size` rows against `size` others.

    features: (N, D), N >= 2 * size, else CourseError; take the size of the score beside it.
    mean, lo, hi: as in `bootstrap`, over random disjoint pairs; the interval is that of one floor.
    """
    if not 2 <= size <= len(features) // 2:
        raise CourseError(f"split_floor needs 2 <= size <= {len(features) // 2}, not {size}.")
    rng = np.random.default_rng(seed)
    orders = (rng.permutation(len(features)) for _ in range(repeats))
    return _interval(distance(features[i[:size]], features[i[size : 2 * size]]) for i in orders)


def _interval(values):
    values = [float(value) for value in values]
    lo, hi = np.quantile(values, [0.025, 0.975], method="weibull")
    return Interval(float(np.mean(values)), float(lo), float(hi))


def _tensor(x):
    """Return x on the CPU, in its own dtype; raise CourseError for NaN and infinity."""
    is_tensor = isinstance(x, torch.Tensor)
    x = x.detach().cpu() if is_tensor else torch.from_numpy(np.array(x, order="C"))
    if not torch.isfinite(x).all():
        raise CourseError(f"There is NaN or infinity in {[*x.shape]} numbers: find its origin.")
    return x


def _features(a, b):
    a, b = _tensor(a).double(), _tensor(b).double()
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        got = f"{[*a.shape]} and {[*b.shape]}"
        raise CourseError(f"Features must be (N, D) and (M, D), N and M at least 2, not {got}.")
    return a, b


def _mask(where, shape):
    where = _tensor(where)
    fits = where.shape[2:] == shape[2:] and where.dtype == torch.bool
    fits = fits and where.shape[0] in (1, shape[0]) and where.shape[1] in (1, shape[1])
    if not (fits and where.flatten(1).any(1).all()):
        raise CourseError(f"where must be bool, {[*shape]} or N, C = 1, with True in each image.")
    return where.expand(shape)


def _images(x, y, data_range, tolerance):
    """Return x - lo, y - lo, hi - lo; raise CourseError for other shapes or a wrong range."""
    x, y = _tensor(x), _tensor(y)
    if x.ndim != 4 or x.shape != y.shape or not x.numel():
        raise CourseError(f"Images must both be (N, C, H, W), not {[*x.shape]} and {[*y.shape]}.")
    lo, hi = (0, data_range) if np.ndim(data_range) == 0 else data_range
    least, most = min(x.min(), y.min()).item(), max(x.max(), y.max()).item()
    slack = tolerance * (hi - lo)
    grey_levels_of_unit_images = hi > 100 and 0 < most <= 1 and x.is_floating_point()
    if not lo - slack <= least <= most <= hi + slack or grey_levels_of_unit_images or lo >= hi:
        misfit = f"Values from {least:.4g} to {most:.4g} do not fit data_range ({lo}, {hi})"
        raise CourseError(f"{misfit}: clamp the images to it, or give the range that they have.")
    return x.double() - lo, y.double() - lo, float(hi - lo)
