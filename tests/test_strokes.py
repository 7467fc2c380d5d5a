"""The drawn digits: reproducible, in MNIST's format, and true to their factors."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from course_lib import settings, strokes
from course_lib.letterforms import FORMS, trace


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "höme of strokes"))


@pytest.fixture(scope="module")
def drawn():
    """1,500 sampled digits and their factors."""
    factors = strokes.sample_factors(1500, torch.Generator().manual_seed(3))
    return strokes.draw(factors), factors


def one_hand(digit, form=0, n=25, **factors):
    """The same writers, drawn with the given factors: only these differ between two calls."""
    noise = torch.arange(n) * 7919
    return strokes.draw({"digit": torch.full((n,), digit), "form": form, "noise": noise, **factors})


def moments(images):
    """Centre of mass (x, y) in pixels and the central second moments xx, xy, yy."""
    ink = images[:, 0].double()
    mass = ink.sum((1, 2))
    at = torch.arange(28) + 0.5
    x, y = (ink.sum(1) * at).sum(1) / mass, (ink.sum(2) * at).sum(1) / mass
    dx, dy = at - x[:, None], at - y[:, None]
    xx = (ink.sum(1) * dx**2).sum(1) / mass
    yy = (ink.sum(2) * dy**2).sum(1) / mass
    xy = torch.einsum("nij,ni,nj->n", ink, dy, dx) / mass
    return x, y, xx, xy, yy


def test_load_returns_images_labels_and_factors():
    images, labels, factors = strokes.load("train", 300)
    assert images.dtype == torch.uint8 and images.shape == (300, 1, 28, 28)
    assert labels.dtype == torch.int64 and labels.shape == (300,)
    assert torch.equal(labels, factors["digit"])
    assert all(len(values) == 300 for values in factors.values())
    assert images.amin() == 0 and images.amax() == 255


def test_the_first_images_do_not_depend_on_how_many_are_asked_for():
    small, small_labels, small_factors = strokes.load("test", 40)
    large, large_labels, large_factors = strokes.load("test", strokes.BLOCK + 1)
    assert len(large) == strokes.BLOCK + 1
    assert torch.equal(small, large[:40]) and torch.equal(small_labels, large_labels[:40])
    for name, values in small_factors.items():
        assert torch.equal(values, large_factors[name][:40]), name


def test_splits_and_seeds_give_different_digits():
    sets = [strokes.load("train", 50), strokes.load("test", 50), strokes.load("train", 50, seed=1)]
    noises = torch.cat([factors["noise"] for _, _, factors in sets])
    assert len(noises.unique()) == 150


def test_classes_are_balanced_and_shuffled():
    _, labels, _ = strokes.load("train", strokes.BLOCK)
    assert (labels.bincount(minlength=10) == strokes.BLOCK // 10).all()
    assert labels[:40].bincount(minlength=10).amax() < 14
    assert (labels[1:] == labels[:-1]).float().mean() < 0.2


def test_the_factors_redraw_the_image_alone_and_in_any_order(drawn):
    images, factors = drawn
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    again = strokes.draw({name: values[order] for name, values in factors.items()})
    # A matrix product may be summed in another order: one grey level at most.
    assert (again.int() - images[order].int()).abs().amax() <= 1
    alone = strokes.draw({name: values[7:8] for name, values in factors.items()})
    assert (alone.int() - images[7:8].int()).abs().amax() <= 1


def test_noise_changes_the_tremble():
    a, b, c = (one_hand(3, n=1), one_hand(3, n=1), strokes.draw({"digit": 3, "noise": 1}))
    assert torch.equal(a, b) and not torch.equal(a, c)


def test_neutral_factors_are_enough():
    assert strokes.draw({"digit": range(10)}).shape == (10, 1, 28, 28)
    assert strokes.draw({"digit": 4, "slant": 0.3}).shape == (1, 1, 28, 28)


@pytest.mark.parametrize(
    "factors", [{"digit": 10}, {"digit": 1, "form": 99}, {"digit": 1, "slope": 0.1}]
)
def test_impossible_factors_are_explained(factors):
    with pytest.raises(settings.CourseError):
        strokes.draw(factors)
    with pytest.raises(settings.CourseError, match="split"):
        strokes.load("validation")


def test_every_digit_has_letter_forms_that_really_occur():
    factors = strokes.sample_factors(20_000, torch.Generator().manual_seed(0))
    for digit in range(10):
        forms = factors["form"][factors["digit"] == digit]
        share = forms.bincount(minlength=len(FORMS[digit])).double() / len(forms)
        weights = torch.tensor([weight for _, weight, _ in FORMS[digit]]).double()
        assert (share > 0.03).sum() >= 4
        assert torch.allclose(share, weights / weights.sum(), atol=0.04)
        assert len({name for name, _, _ in FORMS[digit]}) == len(FORMS[digit])


def test_letter_forms_of_a_digit_look_different():
    for digit in range(10):
        n = len(FORMS[digit])
        digits = strokes.draw({"digit": [digit] * n, "form": torch.arange(n), "wobble": 0.2})
        pixels = digits.flatten(1).double()
        assert (torch.pdist(pixels) > 400).all(), digit


def test_sampled_factors_stay_in_their_ranges(drawn):
    _, factors = drawn
    for name, (_, spread, low, high) in strokes.RANGES.items():
        assert factors[name].dtype == torch.float32
        assert factors[name].amin() >= min(low, 1.0 if name == "thickness" else low)
        assert factors[name].amax() <= high
        assert factors[name].std() > spread / 2, name


def test_digits_fill_the_box_and_their_mass_is_centred(drawn):
    images, _ = drawn
    ink = images[:, 0] > 127
    longer = torch.maximum(ink.any(1).sum(1), ink.any(2).sum(1))
    assert ((longer >= 19) & (longer <= 20)).double().mean() > 0.97
    assert longer.amin() >= 17 and longer.amax() <= 21
    x, y, *_ = moments(images)
    off = torch.maximum((x - 14).abs(), (y - 14).abs())
    assert (off <= 0.51).double().mean() > 0.995 and off.amax() < 1.5
    assert abs(x.mean() - 14) < 0.1 and abs(y.mean() - 14) < 0.1
    border = torch.stack([ink[:, 0], ink[:, -1], ink[:, :, 0], ink[:, :, -1]])
    assert border.any(2).any(0).double().mean() < 0.005


def test_ink_is_soft_and_full(drawn):
    grey = drawn[0][drawn[0] > 0].double() / 255
    assert 0.3 < (grey > 0.95).double().mean() < 0.7
    assert (drawn[0].flatten(1).amax(1) > 200).double().mean() > 0.99


@pytest.mark.parametrize("digit", range(10))
def test_ink_grows_with_thickness(digit):
    masses = [
        one_hand(digit, thickness=t).double().sum((1, 2, 3)) / 255 for t in (1.5, 2.0, 2.5, 3.0)
    ]
    for thin, thick in zip(masses, masses[1:], strict=False):
        assert (thick > thin).all()


def test_a_straight_one_is_as_thick_as_its_factor_says():
    for thickness in (2.0, 3.0, 4.0):
        quiet = dict(slant=0.0, wobble=0.0, pressure=0.0, roughness=0.0)
        tall = one_hand(1, n=1, thickness=thickness, rotation=5.0, **quiet)[0, 0, 10:18]
        assert tall.double().sum(1).mean() / 255 == pytest.approx(thickness, abs=0.25)


def test_slant_and_rotation_are_measured_in_the_image():
    slants = torch.linspace(-0.3, 0.6, 25)
    _, _, _, xy, yy = moments(one_hand(1, slant=slants, wobble=0.2))
    fit = np.polyfit(slants, -xy / yy, 1)
    assert fit[0] == pytest.approx(1, abs=0.15)
    angles = torch.linspace(-15, 15, 25)
    _, _, _, xy, yy = moments(one_hand(1, slant=0.0, rotation=angles, wobble=0.2))
    measured = torch.rad2deg(torch.atan(-xy / yy))
    assert np.polyfit(angles, measured, 1)[0] == pytest.approx(1, abs=0.15)


def test_width_wobble_and_pressure_do_what_they_say():
    _, _, narrow, _, tall = moments(one_hand(0, width=0.7))
    _, _, wide, _, low = moments(one_hand(0, width=1.3))
    assert (wide / low > narrow / tall).all()
    spread = [one_hand(3, wobble=w).double().std(0).sum() for w in (0.2, 1.0, 2.0)]
    assert spread[0] < spread[1] < spread[2]
    even, uneven = (
        one_hand(1, pressure=p, wobble=0.0, roughness=0.0)[:, 0].double().sum(2)[:, 7:21].std(1)
        for p in (0.0, 0.3)
    )
    assert uneven.mean() > 2 * even.mean()


def test_softness_and_roughness_change_the_edge():
    hard, soft = (one_hand(0, softness=s, roughness=0.0) for s in (0.8, 2.2))
    between = [((x > 25) & (x < 230)).double().mean() for x in (hard, soft)]
    assert between[1] > 1.3 * between[0]
    smooth, ragged = (one_hand(1, roughness=r).double() for r in (0.0, 0.2))
    assert (smooth - ragged).abs().mean() > 0.2


def test_traces_pass_through_their_control_points_at_even_steps():
    points, matrix, links = trace("0,0 50,0! 50,100 | 10,10 20,20", 200)
    path = matrix @ points
    assert np.allclose(matrix.sum(1), 1)
    for point in points:
        assert np.linalg.norm(path - point, axis=1).min() < 0.01
    steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    assert (links == 0).sum() == 1 and links[steps.argmax()] == 0
    assert steps[links == 1].max() < 1.2 * np.median(steps[links == 1])
    assert path[:, 0].max() <= 0.5 + 1e-9  # the sharp corner does not overshoot


def test_the_cache_is_read_and_a_broken_one_is_drawn_again():
    images, labels, _ = strokes.load("train", 20)
    (path,) = (settings.cache_dir() / "strokes").iterdir()
    written = path.stat().st_mtime_ns
    assert torch.equal(strokes.load("train", 20)[0], images)
    assert path.stat().st_mtime_ns == written
    whole = path.read_bytes()
    for broken in (b"", b"nonsense", whole[: len(whole) // 2]):
        path.write_bytes(broken)
        again, again_labels, _ = strokes.load("train", 20)
        assert torch.equal(again, images) and torch.equal(again_labels, labels)
        assert path.read_bytes() == whole
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_load_works_where_nothing_can_be_written(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder", encoding="utf-8")
    monkeypatch.setenv("COURSE_HOME", str(blocked))
    assert len(strokes.load("test", 5)[0]) == 5


def test_load_works_where_the_disk_is_full(tmp_path):
    resource = pytest.importorskip("resource", reason="needs a limit on the size of files")
    limit = 1024, resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    code = (
        f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, {limit}); "
        "from course_lib import strokes; print(len(strokes.load('test', 5)[0]))"
    )
    run = subprocess.run(  # a process of its own: the limit would also stop pytest's report
        [sys.executable, "-B", "-c", code],
        cwd=settings.ROOT,
        env=os.environ | {"COURSE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert (run.stdout, run.returncode) == ("5\n", 0), run.stderr
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_the_global_random_state_is_left_alone():
    torch.manual_seed(0)
    np.random.seed(0)
    before, legacy = torch.get_rng_state(), np.random.get_state()[1].copy()
    strokes.load("train", 5)
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == legacy).all()


def test_another_process_draws_the_same_digits():
    code = "from course_lib import strokes; print(strokes.load('test', 9)[0].long().sum().item())"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=settings.ROOT, capture_output=True, text=True, check=True
    )
    assert int(run.stdout) == strokes.load("test", 9)[0].long().sum().item()
