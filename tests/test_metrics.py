"""The metrics against closed forms, brute force, SciPy and scikit-image."""

import warnings

import numpy as np
import pytest
import scipy.linalg
import scipy.signal
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio

from course_lib import metrics
from course_lib.settings import CourseError

examples = settings(deadline=None, derandomize=True, max_examples=25)
seeds = st.integers(0, 10_000)


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def rotation(seed, size):
    return np.linalg.qr(normal(seed, size, size))[0]


def gaussian(seed, mean, covariance, rows=50):
    """Return rows whose sample mean and unbiased covariance are exactly these."""
    z = normal(seed, rows, len(mean))
    z = z - z.mean(0)
    whitening = np.linalg.inv(np.linalg.cholesky(np.cov(z.T, ddof=1).reshape(2 * (len(mean),))))
    return mean + z @ whitening.T @ np.linalg.cholesky(covariance).T


def images(seed, *shape, scale=1.0):
    return torch.from_numpy(np.random.default_rng(seed).random(shape) * scale)


# Fréchet distance


@examples
@given(seeds, st.integers(1, 6))
def test_frechet_of_commuting_gaussians_has_a_closed_form(seed, size):
    rng = np.random.default_rng(seed)
    axes = rotation(seed, size)
    mean_a, mean_b, std_a, std_b = rng.uniform(0.1, 3, (4, size))
    a = gaussian(seed + 1, mean_a, axes * std_a**2 @ axes.T)
    b = gaussian(seed + 2, mean_b, axes * std_b**2 @ axes.T)
    exact = ((mean_a - mean_b) ** 2).sum() + ((std_a - std_b) ** 2).sum()
    assert metrics.frechet_distance(a, b) == pytest.approx(exact, abs=1e-10)


@examples
@given(seeds, st.integers(2, 12))
def test_frechet_equals_the_formula_with_scipys_matrix_root(seed, size):
    a = normal(seed, 60, size) @ normal(seed + 1, size, size)
    b = normal(seed + 2, 45, size) @ normal(seed + 3, size, size) + 1
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    trace = np.trace(cov_a + cov_b - 2 * scipy.linalg.sqrtm(cov_a @ cov_b).real)
    exact = ((a.mean(0) - b.mean(0)) ** 2).sum() + trace
    assert metrics.frechet_distance(a, b) == pytest.approx(exact, rel=1e-6)


@examples
@given(seeds)
def test_frechet_is_symmetric_and_follows_rotation_shift_and_scale(seed):
    a, b, turn = normal(seed, 40, 5), 2 * normal(seed + 1, 50, 5), rotation(seed, 5)
    distance = metrics.frechet_distance(a, b)
    assert metrics.frechet_distance(b, a) == pytest.approx(distance)
    assert metrics.frechet_distance(a @ turn + 9, b @ turn + 9) == pytest.approx(distance)
    assert metrics.frechet_distance(3 * a, 3 * b) == pytest.approx(9 * distance)
    shift = normal(seed + 2, 5)
    assert metrics.frechet_distance(a, a + shift) == pytest.approx((shift**2).sum())


def test_frechet_survives_a_singular_covariance_and_warns():
    a, b = normal(0, 40, 30), normal(1, 12, 30)
    with pytest.warns(UserWarning, match="12 samples of 30 features"):
        distance = metrics.frechet_distance(a, b)
    left, right = (x - x.mean(0) for x in (a, b))
    cross = np.linalg.norm(left @ right.T, "nuc") / np.sqrt(39 * 11)
    spread = a.var(0, ddof=1).sum() + b.var(0, ddof=1).sum()
    exact = ((a.mean(0) - b.mean(0)) ** 2).sum() + spread - 2 * cross
    assert distance == pytest.approx(exact, rel=1e-10)
    with pytest.warns(UserWarning, match="30 samples of 30 features"):
        assert 0 <= metrics.frechet_distance(a[:30], a[:30]) < 1e-12


def test_frechet_is_quiet_with_enough_samples_and_never_negative():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        distances = [metrics.frechet_distance(x, x) for x in (normal(s, 7, 6) for s in range(20))]
    assert min(distances) >= 0
    assert max(distances) < 1e-12


BROKEN = normal(0, 9, 2)
BROKEN[4, 1] = np.nan


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (normal(0, 1, 2), normal(1, 9, 2)),
        (normal(0, 9, 2), normal(1, 9, 3)),
        (normal(0, 9, 1, 2), normal(1, 9, 1, 2)),
        (normal(0, 9, 2), BROKEN),
    ],
    ids=["one row", "different D", "images", "NaN"],
)
def test_distances_of_features_refuse_what_is_not_features(a, b):
    generator = torch.Generator()
    for score in (
        metrics.frechet_distance,
        lambda a, b: metrics.kernel_distance(a, b, subset=2, generator=generator),
        lambda a, b: metrics.precision_recall(a, b, k=1),
    ):
        with pytest.raises(CourseError):
            score(a, b)


# Kernel distance


def naive_mmd2(a, b):
    def kernel(x, y):
        return (sum(p * q for p, q in zip(x, y, strict=True)) / len(x) + 1) ** 3

    def mean(xs, ys, same):
        values = [
            kernel(x, y) for i, x in enumerate(xs) for j, y in enumerate(ys) if not same or i != j
        ]
        return sum(values) / len(values)

    return mean(a, a, True) + mean(b, b, True) - 2 * mean(a, b, False)


@settings(examples, max_examples=8)
@given(seeds, st.integers(2, 9), st.integers(1, 4))
def test_kernel_distance_of_whole_sets_equals_the_double_loop(seed, rows, size):
    a, b = normal(seed, rows, size), normal(seed + 1, rows, size) + 0.5
    mean, spread = metrics.kernel_distance(
        a, b, subset=rows, repeats=3, generator=torch.Generator()
    )
    assert mean == pytest.approx(naive_mmd2(a, b), abs=1e-10)
    assert spread == pytest.approx(0, abs=1e-10)


def test_kernel_distance_is_unbiased_and_sees_a_shift():
    a, b = normal(0, 6000, 8), normal(1, 6000, 8)
    generator = torch.Generator().manual_seed(0)
    mean, spread = metrics.kernel_distance(a, b, subset=50, repeats=400, generator=generator)
    assert abs(mean) < 3 * spread / 20
    assert spread > 0
    shifted, _ = metrics.kernel_distance(a, b + 0.3, subset=50, repeats=400, generator=generator)
    assert shifted > 20 * spread / 20


def test_kernel_distance_draws_without_replacement_from_its_generator_alone():
    a, b = normal(0, 30, 4), normal(1, 40, 4)
    before = torch.get_rng_state()
    runs = [
        metrics.kernel_distance(a, b, subset=20, generator=torch.Generator().manual_seed(seed))
        for seed in (5, 5, 6)
    ]
    assert runs[0] == runs[1] != runs[2]
    assert torch.equal(before, torch.get_rng_state())


def test_kernel_distance_spreads_as_its_single_subsets():
    a, b = normal(0, 30, 4), normal(1, 40, 4)
    (mean_2, std_2), (mean_3, std_3) = (
        metrics.kernel_distance(
            a, b, subset=10, repeats=repeats, generator=torch.Generator().manual_seed(0)
        )
        for repeats in (2, 3)
    )
    first_two = mean_2 + np.array([-1, 1]) * std_2 / np.sqrt(2)
    values = [*first_two, 3 * mean_3 - 2 * mean_2]
    assert std_3 == pytest.approx(np.std(values, ddof=1))


@pytest.mark.parametrize(("subset", "repeats"), [(31, 5), (1, 5), (9, 1)])
def test_kernel_distance_refuses_what_it_cannot_draw(subset, repeats):
    a = normal(0, 30, 4)
    with pytest.raises(CourseError, match="2 to 30"):
        metrics.kernel_distance(a, a, subset=subset, repeats=repeats, generator=torch.Generator())


# Precision and recall


def brute_manifold_share(points, centres, k):
    """Return the share of points inside a ball around a centre that reaches its k-th neighbour."""
    inside = 0
    for point in points:
        for i, centre in enumerate(centres):
            others = np.linalg.norm(np.delete(centres, i, 0) - centre, axis=1)
            if np.linalg.norm(point - centre) <= np.sort(others)[k - 1]:
                inside += 1
                break
    return inside / len(points)


@settings(examples, max_examples=15)
@given(seeds, st.integers(5, 25), st.integers(5, 25), st.integers(1, 4), st.sampled_from([0, 1e4]))
def test_precision_and_recall_equal_brute_force(seed, n, m, k, offset):
    real, fake = normal(seed, n, 2) + offset, 1.5 * normal(seed + 1, m, 2) + 0.5 + offset
    assert metrics.precision_recall(real, fake, k) == (
        brute_manifold_share(fake, real, k),
        brute_manifold_share(real, fake, k),
    )


def test_precision_and_recall_of_known_cases():
    two_modes = np.concatenate([normal(0, 150, 4), normal(1, 150, 4) + 50])
    fresh = np.concatenate([normal(2, 150, 4), normal(3, 150, 4) + 50])
    assert metrics.precision_recall(two_modes, two_modes) == (1, 1)
    assert metrics.precision_recall(two_modes, two_modes + 1000) == (0, 0)
    precision, recall = metrics.precision_recall(two_modes, fresh)
    assert min(precision, recall) > 0.8
    precision_dropped, recall_dropped = metrics.precision_recall(two_modes, fresh[:150])
    assert precision_dropped == pytest.approx(precision, abs=0.1)
    assert recall_dropped == pytest.approx(recall / 2, abs=0.1)
    one_image = fresh[:1] + 1e-3 * normal(4, 300, 4)
    precision_collapsed, recall_collapsed = metrics.precision_recall(two_modes, one_image)
    assert (precision_collapsed, recall_collapsed) == (1, 0)


def test_copies_lie_inside_a_ball_of_radius_zero_and_near_misses_do_not():
    real = np.repeat(normal(0, 40, 30), 5, axis=0) + 100
    assert metrics.precision_recall(real, real[::-1]) == (1, 1)
    assert metrics.precision_recall(real, real + 1e-5) == (0, 0)


@pytest.mark.parametrize("k", [0, 6])
def test_precision_recall_refuses_k_without_neighbours(k):
    with pytest.raises(CourseError, match=f"k = {k}"):
        metrics.precision_recall(normal(0, 9, 2), normal(1, 6, 2), k)


# Nearest training image


@examples
@given(seeds, st.integers(1, 20), st.integers(1, 20), st.booleans())
def test_nearest_distance_equals_brute_force(seed, n, m, whole):
    rng = np.random.default_rng(seed)
    samples, train = rng.random((n, 2, 3, 4)), rng.random((m, 2, 3, 4))
    if whole:
        samples, train = (np.round(255 * x).astype(np.uint8) for x in (samples, train))
    gaps = samples[:, None].astype(float) - train[None]
    exact = np.sqrt((gaps**2).sum((2, 3, 4)))
    distance, index = metrics.nearest_distance(samples, train)
    np.testing.assert_allclose(distance, exact.min(1), rtol=1e-12)
    np.testing.assert_array_equal(index, exact.argmin(1))


def test_nearest_distance_of_a_copy_is_exactly_zero_and_of_a_near_copy_exact():
    train = images(0, 700, 1, 5, 5)
    distance, index = metrics.nearest_distance(train[600:650], train)
    assert index.tolist() == list(range(600, 650))
    assert distance.dtype == torch.float64
    assert not distance.any()
    retouched = train[600:650].clone()
    retouched[:, 0, 2, 3] += 1e-4
    distance, _ = metrics.nearest_distance(retouched, train)
    torch.testing.assert_close(distance, torch.full_like(distance, 1e-4), rtol=1e-10, atol=0)


@pytest.mark.parametrize(
    ("samples", "train"),
    [
        (images(0, 2, 1, 5, 5), images(0, 2, 1, 5, 4)),
        (images(0, 2, 1, 5, 5), images(0, 0, 1, 5, 5)),
        (images(0, 2, 1, 5, 5), images(0, 2, 1, 5, 5).to(torch.uint8)),
        (images(0, 2, 1, 5, 5), images(0, 2, 1, 5, 5) / 0),
        (images(0, 5), images(0, 5)),
    ],
    ids=["shape", "empty", "float against integer", "infinity", "no pixels"],
)
def test_nearest_distance_refuses_what_cannot_be_compared(samples, train):
    with pytest.raises(CourseError):
        metrics.nearest_distance(samples, train)


# Blocks


def test_blocks_give_the_same_as_one_piece_and_stay_small(monkeypatch):
    real, fake = normal(0, 100, 3), normal(1, 90, 3) + 0.3
    x, y = images(2, 20, 2, 12, 13), images(3, 20, 2, 12, 13)
    sizes, distances = [], metrics._squared_distances

    def record(a, b):
        sizes.append(len(a))
        return distances(a, b)

    def scores():
        nearest = metrics.nearest_distance(fake, real)
        return (metrics.precision_recall(real, fake), *nearest, metrics.ssim(x, y, data_range=1))

    whole = scores()
    monkeypatch.setattr(metrics, "_squared_distances", record)
    monkeypatch.setattr(metrics, "BLOCK", 7)
    pieces = scores()
    assert max(sizes) == 7
    assert pieces[0] == whole[0]
    for piece, part in zip(pieces[1:], whole[1:], strict=True):
        torch.testing.assert_close(piece, part, rtol=1e-13, atol=0)


# PSNR and SSIM


pictures = st.tuples(
    st.integers(1, 3), st.sampled_from([1, 3]), st.integers(11, 30), st.integers(11, 30)
)
ranges = st.sampled_from([(0, 1), (0, 255), (-1, 1), (5, 7)])


def wang(x, y, width):
    """The mean of SSIM (Wang et al. 2004, eq. 13) over the places where the window fits."""
    axis = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(axis, axis) / axis.sum() ** 2

    def mean(image):
        return scipy.signal.convolve2d(image, window, mode="valid")

    c1, c2 = (0.01 * width) ** 2, (0.03 * width) ** 2
    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    top, bottom = (2 * mx * my + c1) * (2 * cov + c2), (mx**2 + my**2 + c1) * (vx + vy + c2)
    return (top / bottom).mean()


@examples
@given(seeds, pictures, ranges, st.floats(0.01, 0.5))
def test_psnr_and_ssim_equal_their_definitions(seed, shape, limits, noise):
    lo, hi = limits
    x = images(seed, *shape, scale=hi - lo)
    y = (x + noise * (hi - lo) * torch.from_numpy(normal(seed + 1, *shape))).clamp(0, hi - lo)
    psnr = metrics.psnr(x + lo, y + lo, data_range=limits)
    ssim = metrics.ssim(x + lo, y + lo, data_range=limits)
    assert psnr.shape == ssim.shape == (shape[0],)
    assert psnr.dtype == ssim.dtype == torch.float64
    for i, (a, b) in enumerate(zip(x.numpy(), y.numpy(), strict=True)):
        width = hi - lo
        assert psnr[i] == pytest.approx(peak_signal_noise_ratio(a, b, data_range=width), abs=1e-8)
        definition = np.mean([wang(*planes, width) for planes in zip(a, b, strict=True)])
        assert ssim[i] == pytest.approx(definition, abs=1e-9)


def test_byte_images_give_scikit_images_numbers():
    x, y = ((images(s, 1, 1, 16, 20) * 256).to(torch.uint8) for s in (0, 1))
    a, b = x[0, 0].numpy(), y[0, 0].numpy()
    ssim = wang(a.astype(float), b.astype(float), 255)
    assert metrics.ssim(x, y, data_range=255).item() == pytest.approx(ssim, abs=1e-9)
    psnr = peak_signal_noise_ratio(a, b)
    assert metrics.psnr(x, y, data_range=255).item() == pytest.approx(psnr, abs=1e-9)


def test_more_noise_scores_lower_and_none_scores_highest():
    x, noise = images(0, 3, 2, 24, 24), torch.from_numpy(normal(1, 3, 2, 24, 24))
    noisy = [x + level * noise for level in (0, 0.02, 0.1, 0.3, 1)]
    psnr = torch.stack([metrics.psnr(x, y, data_range=1, tolerance=9) for y in noisy])
    ssim = torch.stack([metrics.ssim(x, y, data_range=1, tolerance=9) for y in noisy])
    assert torch.isposinf(psnr[0]).all()
    torch.testing.assert_close(ssim[0], torch.ones(3, dtype=torch.float64))
    assert (psnr.diff(dim=0) < 0).all()
    assert (ssim.diff(dim=0) < 0).all()


def test_psnr_counts_the_masked_pixels_alone():
    x, y = images(0, 4, 3, 8, 9), images(1, 4, 3, 8, 9)
    hole = images(2, 4, 1, 8, 9) < 0.3
    score = metrics.psnr(x, y, data_range=1, where=hole)
    for i in range(4):
        inside = hole[i, 0].numpy()
        expected = peak_signal_noise_ratio(
            x[i].numpy()[:, inside], y[i].numpy()[:, inside], data_range=1
        )
        assert score[i] == pytest.approx(expected)
    pasted = torch.where(hole, y, x)
    torch.testing.assert_close(metrics.psnr(x, pasted, data_range=1, where=hole), score)
    assert torch.isposinf(metrics.psnr(x, pasted, data_range=1, where=~hole)).all()
    assert (metrics.psnr(x, pasted, data_range=1) > score).all()
    everywhere = torch.ones(1, 1, 8, 9, dtype=torch.bool)
    torch.testing.assert_close(
        metrics.psnr(x, y, data_range=1, where=everywhere), metrics.psnr(x, y, data_range=1)
    )


@pytest.mark.parametrize(
    "where",
    [
        torch.ones(2, 1, 12, 12),
        torch.ones(2, 12, 12, dtype=torch.bool),
        torch.ones(2, 1, 12, 1, dtype=torch.bool),
        torch.ones(2, 2, 12, 12, dtype=torch.bool),
        torch.eye(2, dtype=torch.bool)[:, :1, None, None].expand(2, 1, 12, 12),
    ],
    ids=["float", "no channel axis", "broadcast in space", "channels", "one image without"],
)
def test_psnr_refuses_a_mask_that_is_none(where):
    x = images(0, 2, 3, 12, 12)
    with pytest.raises(CourseError, match="where must be bool"):
        metrics.psnr(x, x, data_range=1, where=where)


UNIT = images(0, 2, 1, 12, 12)


@pytest.mark.parametrize("score", [metrics.psnr, metrics.ssim])
@pytest.mark.parametrize(
    ("x", "y", "data_range"),
    [
        (UNIT * 255, UNIT * 255, 1),
        (UNIT * 255, UNIT, 255 / 2),
        (UNIT * 2 - 1, UNIT * 2 - 1, 1),
        (UNIT * 2 - 1, UNIT, 2),
        (UNIT, UNIT, 255),
        (UNIT, UNIT + 0.05, 1),
        (UNIT, UNIT - 0.05, 1),
        (UNIT, UNIT, (1, 0)),
        (0 * UNIT, 0 * UNIT, 0),
        (UNIT, UNIT / 0, 1),
        (UNIT, UNIT[:1], 1),
        (UNIT[0], UNIT[0], 1),
        (UNIT[:0], UNIT[:0], 1),
    ],
)
def test_images_outside_their_range_or_shape_are_refused(score, x, y, data_range):
    with pytest.raises(CourseError):
        score(x, y, data_range=data_range)


@pytest.mark.parametrize("score", [metrics.psnr, metrics.ssim])
def test_the_range_is_never_guessed_and_rounding_is_forgiven(score):
    with pytest.raises(TypeError, match="data_range"):
        score(UNIT, UNIT)
    a_little_outside = UNIT.clone()
    a_little_outside[0, 0, 0, :2] = torch.tensor([-5e-4, 1 + 5e-4])
    assert torch.isfinite(score(UNIT, a_little_outside, data_range=1)[0])
    black = torch.zeros(1, 1, 12, 12)
    assert score(black, black, data_range=255) >= 1


def test_ssim_needs_room_for_its_window():
    with pytest.raises(CourseError, match="11 x 11"):
        metrics.ssim(UNIT[..., :10], UNIT[..., :10], data_range=1)


# Likelihoods and labels


def test_bits_per_dim_of_uniform_bytes_is_eight():
    nats = 784 * np.log(256)
    assert metrics.bits_per_dim(nats, 784) == pytest.approx(8, abs=1e-14)
    assert isinstance(metrics.bits_per_dim(nats, 784), float)
    halves = metrics.bits_per_dim(torch.tensor([nats, nats / 2], dtype=torch.float64), 784)
    torch.testing.assert_close(halves, torch.tensor([8.0, 4.0], dtype=torch.float64))


def test_class_coverage_counts_classes_with_a_tenth_of_their_share():
    assert metrics.class_coverage(torch.arange(10).repeat(3), 10) == 1
    assert metrics.class_coverage(np.zeros(50, dtype=np.uint8), 10) == 0.1
    labels = torch.tensor([0] * 90 + [1] * 9 + [2] * 1)
    assert metrics.class_coverage(labels, 4) == 0.5  # shares of 25: 2.5 labels are needed
    labels = torch.tensor([0] * 90 + [1] * 10)
    assert metrics.class_coverage(labels, 2) == 1
    exactly_a_tenth = torch.tensor([0] * 95 + [1] * 5)
    assert metrics.class_coverage(exactly_a_tenth, 2) == 1


@pytest.mark.parametrize(
    "labels", [np.zeros(0, dtype=int), [0, 3], [-1, 0], [0.0, 1.0], [[0], [1]]]
)
def test_labels_outside_the_classes_are_refused(labels):
    with pytest.raises(CourseError, match="from 0 to 2"):
        metrics.class_coverage(labels, 3)


# Intervals


@pytest.mark.parametrize(("repeats", "least", "most"), [(39, 0.91, 0.97), (9, 0.74, 0.84)])
def test_bootstrap_covers_a_gaussian_mean_as_often_as_it_says(repeats, least, most):
    sets = normal(0, 600, 60) + 3
    intervals = [metrics.bootstrap(np.mean, x, repeats=repeats, seed=i) for i, x in enumerate(sets)]
    assert least < np.mean([lo < 3 < hi for _, lo, hi in intervals]) < most
    assert np.mean([mean for mean, _, _ in intervals]) == pytest.approx(3, abs=0.02)


@pytest.mark.parametrize(("repeats", "lo", "hi"), [(20, 1, 20), (39, 1, 39), (199, 5, 195)])
def test_intervals_leave_out_two_and_a_half_per_cent_at_each_end(repeats, lo, hi):
    values = iter(range(1, repeats + 1))
    interval = metrics.bootstrap(lambda x: next(values), np.zeros(3), repeats=repeats)
    assert interval == pytest.approx(((repeats + 1) / 2, lo, hi))


def test_bootstrap_redraws_rows_whole_and_sets_apart():
    x = normal(0, 50)
    pairs = np.stack([x, x + 1], axis=1)
    together = metrics.bootstrap(lambda pair: (pair[:, 1] - pair[:, 0]).mean(), pairs)
    assert together == pytest.approx((1, 1, 1))
    apart = metrics.bootstrap(lambda a, b: (b - a).mean(), torch.tensor(x), torch.tensor(x) + 1)
    assert apart.hi - apart.lo > 0.5


def test_intervals_come_from_their_seed_alone():
    x = normal(0, 60, 2)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    for interval in (
        lambda seed: metrics.bootstrap(np.mean, x, seed=seed),
        lambda seed: metrics.split_floor(x, 20, seed=seed),
    ):
        assert interval(1) == interval(1) != interval(2)
    assert np.array_equal(before[0], np.random.get_state()[1])
    assert torch.equal(before[1], torch.get_rng_state())


def test_bootstrap_doubles_the_frechet_floor_and_splitting_does_not():
    pool = normal(0, 1600, 16)
    a, b = pool[:400], pool[400:800]
    floor = metrics.frechet_distance(a, b)
    redrawn = metrics.bootstrap(metrics.frechet_distance, a, b)
    split = metrics.split_floor(pool, 400)
    assert redrawn.mean == pytest.approx(2 * floor, rel=0.15)
    assert split.lo < floor < split.hi < redrawn.lo
    fresh = [metrics.frechet_distance(*normal(seed, 2, 400, 16)) for seed in range(1, 100)]
    assert split.mean == pytest.approx(np.mean(fresh), rel=0.05)
    assert np.mean([split.lo < floor < split.hi for floor in fresh]) > 0.85
    assert (split.hi - split.lo) / np.std(fresh) == pytest.approx(4, abs=1.3)


def test_split_floor_compares_disjoint_random_rows():
    rows, seen = torch.arange(50)[:, None], set()

    def distance(a, b):
        chosen = {*a[:, 0].tolist()}, {*b[:, 0].tolist()}
        assert [len(x) for x in chosen] == [20, 20]
        assert not chosen[0] & chosen[1]
        seen.update(*chosen)
        return 1.5

    assert metrics.split_floor(rows, 20, repeats=9, distance=distance) == (1.5, 1.5, 1.5)
    assert seen == set(range(50))
    for size in (1, 26):
        with pytest.raises(CourseError, match="2 <= size <= 25"):
            metrics.split_floor(rows, size)


# What comes in


def test_every_kind_of_array_gives_the_same_number():
    x = normal(0, 40, 3).astype(np.float32)
    y = normal(1, 40, 3).astype(np.float32)
    exact = metrics.frechet_distance(x.astype(np.float64), y.astype(np.float64))
    frozen = x.copy()
    frozen.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for same in (
            x.tolist(),
            frozen,
            x[::-1],
            np.asfortranarray(x),
            torch.tensor(x, requires_grad=True),
            torch.tensor(x).T.contiguous().T,
        ):
            assert metrics.frechet_distance(same, y) == pytest.approx(exact, abs=1e-12)
    assert not metrics.psnr(UNIT.clone().requires_grad_(), UNIT, data_range=1).requires_grad
