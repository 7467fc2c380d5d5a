"""Lesson 50's given pieces against oracles, on pictures of any size, and its sentences."""

import numpy as np
import pytest
import scipy
import torch
from skimage.restoration import denoise_nl_means

from course_lib.built import damage as course
from course_lib.settings import CourseError

X = torch.rand(2, 3, 13, 10, generator=torch.Generator().manual_seed(1))
NAN = torch.full((1, 1, 12, 12), float("nan"))


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


REPAIRS = {
    "gaussian": lambda y: course.gaussian_filter(y, 0.8),
    "median": lambda y: course.median_filter(y, 3),
    "total variation": lambda y: course.total_variation(y, 0.1),
    "non-local means": lambda y: course.non_local_means(y, 0.1),
}
DAMAGES = {
    "noisy": lambda x: course.noisy(x, 0.1, rng()),
    "poisson": lambda x: course.poisson(x, 20, rng()),
    "salt and pepper": lambda x: course.salt_and_pepper(x, 0.2, rng()),
    "fade": course.fade,
    "blur": course.Blur(1.5),
    "jpeg": lambda x: course.jpeg(x, 30),
    "scratches": lambda x: course.marked(x, course.scratches(x.shape, rng())[1]),
    "dust": lambda x: course.marked(x, course.dust(x.shape, rng(), 0.1)[1]),
    "old photograph": lambda x: course.old_photograph(x, rng())[0],
}


@pytest.mark.parametrize("name", [*REPAIRS, *DAMAGES])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (2, 3), (17, 24)])
def test_pictures_of_any_size_and_one_or_three_channels(name, size):
    function, state = (REPAIRS | DAMAGES)[name], torch.random.get_rng_state()
    for channels in (1, 3):
        x = torch.rand(2, channels, *size, generator=rng(3))
        y = function(x)
        assert y.shape == x.shape and y.isfinite().all() and y.dtype == x.dtype
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("name", REPAIRS)
def test_a_flat_picture_needs_no_repair(name):
    flat = torch.full((1, 3, 9, 8), 0.3)
    assert torch.allclose(REPAIRS[name](flat), flat, atol=1e-6)


def test_the_median_is_scipys():
    for size in (1, 3, 5):
        wanted = scipy.ndimage.median_filter(X.numpy(), (1, 1, size, size), mode="nearest")
        assert np.array_equal(course.median_filter(X, size).numpy(), wanted)


def test_the_gaussian_is_scipys_away_from_the_border():
    x = torch.rand(1, 1, 40, 41, generator=rng(), dtype=torch.float64)
    wanted = scipy.ndimage.gaussian_filter(x[0, 0].numpy(), 1.3, truncate=9)
    found = course.gaussian_filter(x, 1.3)[0, 0].numpy()
    assert np.abs(found - wanted)[13:-13, 13:-13].max() < 1e-9


def test_non_local_means_is_a_loop_over_pixels():
    y, h, patch, reach = X[:1, :, :9, :8].double(), 0.3, 3, 2
    found = course.non_local_means(y, h, patch, reach)
    z = torch.nn.functional.pad(y, (reach,) * 4, mode="replicate")
    H, W = y.shape[2:]
    for i, j in ((4, 4), (0, 0), (8, 3)):
        others, weights = [], []
        for di in range(-reach, reach + 1):
            for dj in range(-reach, reach + 1):
                if di == dj == 0:
                    continue
                near = [(a, b) for a in range(i - 1, i + 2) for b in range(j - 1, j + 2)]
                inside = [(a, b) for a, b in near if 0 <= a < H and 0 <= b < W]
                apart = [(y[0, :, a, b] - z[0, :, a + di + reach, b + dj + reach]).square().mean()
                         for a, b in inside]  # fmt: skip
                weights.append(torch.exp(-torch.stack(apart).mean() / h**2))
                others.append(z[0, :, i + di + reach, j + dj + reach])
        weights, others = torch.stack([*weights, max(weights)]), [*others, y[0, :, i, j]]
        wanted = (weights[:, None] * torch.stack(others)).sum(0) / weights.sum()
        assert torch.allclose(found[0, :, i, j], wanted, atol=1e-9)


def test_non_local_means_is_as_good_as_scikit_images():
    x = course.crops(course.TEST, 64)["face"].double()
    y = course.noisy(x, 25 / 255, rng())
    ours = course.non_local_means(y, 0.09)
    peer = denoise_nl_means(y[0, 0].numpy(), 5, 5, h=0.6 * 25 / 255, sigma=25 / 255)
    errors = [(z - x).square().mean() for z in (ours, torch.from_numpy(peer)[None, None])]
    assert errors[0] < 1.1 * errors[1]


def test_noise_has_its_moments_and_is_not_clipped():
    x = torch.full((1, 1, 400, 400), 0.1)
    gauss, photons = course.noisy(x, 0.2, rng()) - x, course.poisson(x, 20, rng())
    assert abs(gauss.mean()) < 2e-3 and abs(gauss.std() - 0.2) < 2e-3
    assert abs(photons.mean() - 0.1) < 2e-3 and abs(photons.var() - 0.1 / 20) < 2e-4
    speckled = course.salt_and_pepper(x, 0.3, rng())
    for value, share in ((0, 0.15), (1, 0.15), (0.1, 0.7)):
        assert abs((speckled == value).float().mean() - share) < 5e-3


@pytest.mark.parametrize("draw", [course.scratches, course.dust])
def test_dirt_is_light_and_dark_thin_and_its_mask_tells_where(draw):
    mask, strength = draw((3, 1, 128, 100), rng())
    assert mask.shape == strength.shape == (3, 1, 128, 100) and mask.dtype == torch.bool
    assert torch.equal(mask, strength.abs() > 0.1) and strength.abs().max() <= 1
    assert strength.min() < -0.3 and strength.max() > 0.3 and 0 < mask.float().mean() < 0.2
    x = course.marked(torch.full((3, 3, 128, 100), 0.5), strength)
    assert x.min() >= 0 and x.max() <= 1 and (x[:, :1][~mask] - 0.5).abs().max() < 0.1
    other, again = draw((3, 1, 128, 100), rng(1))[1], draw((3, 1, 128, 100), rng())[1]
    assert torch.equal(strength, again) and not torch.equal(strength, other)


def test_an_old_photograph_has_a_mask_of_its_dirt():
    x = course.crops(course.TEST, 128, grey=False)["eye"]
    y, dirt = course.old_photograph(x, rng())
    assert y.shape == x.shape and y.min() >= 0 and y.max() <= 1
    rest = (y - course.fade(course.Blur(0.7)(x))).abs()
    assert rest[dirt.expand_as(rest)].mean() > 4 * rest[~dirt.expand_as(rest)].mean()


def test_crops_are_disjoint_and_of_the_right_split():
    from course_lib.photos import PHOTOGRAPHS

    for names, split in ((course.TUNING, "train"), (course.TEST, "test")):
        assert {PHOTOGRAPHS[photo][1] for photo, _, _ in names.values()} == {split}
        assert all(x.shape == (1, 1, 256, 256) for x in course.crops(names, 256).values())
        for a, (photo, row, column) in names.items():
            near = [b for b, (other, r, c) in names.items()
                    if other == photo and abs(r - row) < 256 and abs(c - column) < 256]  # fmt: skip
            assert near == [a]
    assert len(course.TEST) >= 5


def test_tune_takes_the_best_of_the_grid():
    best, scores = course.tune(lambda y, value: y + value, (-0.1, 0.0, 0.2), [(X, X + 0.1)])
    assert best == -0.1 and list(scores) == [-0.1, 0.0, 0.2] and scores[-0.1] > 100


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: course.psnr(X, X, data_range=255), "data_range=255"),
        (lambda: course.psnr(255 * X, 255 * X, data_range=1), "clamp"),
        (lambda: course.psnr(X, X[..., 1:], data_range=1), r"Two shapes: .*10\], .*9\]"),
        (lambda: course.ssim(NAN, NAN, data_range=1), "NaN"),
        (lambda: course.ssim(X, X, data_range=1), "11 x 11"),
        (lambda: course.noisy((255 * X).byte(), 1, rng()), "torch.uint8"),
        (lambda: course.noisy(X, 25, rng()), "25 is not in 0 to 1"),
        (lambda: course.noisy(X, torch.tensor([[25.0]]), rng()), "not in 0 to 1"),
        (lambda: course.salt_and_pepper(X, 3, rng()), "3 is not in 0 to 1"),
        (lambda: course.marked((255 * X).byte(), X[:, :1]), "torch.uint8"),
        (lambda: course.Downsample(2).adjoint((255 * X).byte()), "torch.uint8"),
        (lambda: course.noisy(X[0], 0.1, rng()), r"\[3, 13, 10\]"),
        (lambda: course.noisy(X[:, :2], 0.1, rng()), r"\[2, 2, 13, 10\]"),
        (lambda: course.poisson(X - 1, 20, rng()), "clamp"),
        (lambda: course.poisson(X, 0, rng()), "above 0"),
        (lambda: course.salt_and_pepper(NAN, 0.1, rng()), "NaN"),
        (lambda: course.Blur(0)(X), "above 0"),
        (lambda: course.Blur(1)(NAN), "NaN"),
        (lambda: course.Downsample(2)(X), "multiples of 2"),
        (lambda: course.median_filter(X, 4), "odd"),
        (lambda: course.total_variation(X, 0), "above 0"),
        (lambda: course.non_local_means(X, -1), "above 0"),
        (lambda: course.non_local_means(NAN, 1), "NaN"),
        (lambda: course.jpeg(X, 0), "1 to 100, not 0"),
        (lambda: course.jpeg(X, 101), "1 to 100, not 101"),
        (lambda: course.jpeg(2 * X, 50), "clamp"),
        (lambda: course.Mask(X), "0 .hole. and 1"),
        (lambda: course.Mask(X[..., 1:] > 0)(X), "does not fit"),
    ],
)
def test_what_cannot_work_ends_in_a_sentence(wrong, words):
    with pytest.raises(CourseError, match=words):
        wrong()
