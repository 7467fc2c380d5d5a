"""The paper-cut cats: reproducible, in range, and true to their attributes."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from course_lib import cats, datasets, drawn, settings
from course_lib.cats import CHOICES, RANGES

FACTORS = (*CHOICES, *RANGES)


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "höme of cats"))


@pytest.fixture
def small_blocks(monkeypatch):
    """Sets are drawn in multiples of 50 cats, not of 500."""
    monkeypatch.setattr(drawn, "BLOCK", 50)


@pytest.fixture(scope="module")
def sampled():
    """60 sampled cats and their factors."""
    factors = cats.sample_factors(60, torch.Generator().manual_seed(4))
    return cats.draw(factors), factors


def changed(name, factors):
    """The factors with another value of one of them: the next choice, or 40 % of the range off."""
    values = factors[name]
    if name == "marking":  # another one that suits the fur
        suits = cats._suitable()[factors["fur"]]
        other = torch.where(suits[:, 0] == values, suits[:, 1], suits[:, 0])
    elif name == "eye_colour":  # green and gold, blue and odd
        other = values ^ 1
    elif name in CHOICES:
        other = (values + 1) % len(CHOICES[name])
    else:
        _, low, high = RANGES[name]
        step = 0.4 * (high - low)
        other = torch.where(values + step <= high, values + step, values - step)
    return factors | {name: other}


def difference(a, b):
    """The largest change of each pixel: (N, 64, 64)."""
    return (a - b).abs().amax(1)


def test_load_returns_images_labels_and_factors(small_blocks):
    images, labels, factors = cats.load("train", 30)
    assert images.dtype == torch.uint8 and images.shape == (30, 3, 64, 64)
    assert labels.dtype == torch.int64 and torch.equal(labels, factors["pattern"])
    assert set(factors) == set(FACTORS) and all(len(v) == 30 for v in factors.values())
    assert torch.equal(images, (cats.draw(factors) * 255).round().byte())


def test_the_data_set_knows_its_classes_and_its_licence(small_blocks):
    data = datasets.load("cats", "test", size=20)
    assert len(data) == 20 and data.class_names == CHOICES["pattern"] and "CC BY" in data.licence
    assert list(data.factors) == sorted(FACTORS) and data.float().shape == (20, 3, 64, 64)
    few = data.subset(3)
    assert torch.equal(few.factors["fur"], data.factors["fur"][:3])


def test_the_sizes_of_the_splits_are_those_that_are_promised(monkeypatch):
    asked = {}

    def render(n, seed, split):
        asked[split] = n
        return torch.zeros(n, 1), cats.sample_factors(n, torch.Generator().manual_seed(0))

    monkeypatch.setattr(cats, "render", render)
    assert len(cats.load("train")[0]) == asked["train"] == 20_000
    assert len(cats.load("test")[0]) == asked["test"] == 2_000


def test_the_first_cats_do_not_depend_on_how_many_are_asked_for():
    few, some = cats.render(4), drawn.sample(cats.sample_factors, "train", drawn.BLOCK + 1, 0)
    assert all(len(values) == drawn.BLOCK + 1 for values in some.values())
    for name, values in few[1].items():
        assert torch.equal(values, some[name][:4]), name
    assert torch.equal(few[0], cats.render(9)[0][:4])


def test_splits_and_seeds_give_different_cats():
    parts = [cats.render(20), cats.render(20, split="test"), cats.render(20, seed=1)]
    assert len(torch.cat([factors["gaze"] for _, factors in parts]).unique()) == 60


def test_the_factors_redraw_the_cat_alone_in_any_order_and_in_any_chunks(sampled, monkeypatch):
    images, factors = sampled
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    again = cats.draw({name: values[order] for name, values in factors.items()})
    assert torch.allclose(again, images[order], atol=1e-5)
    monkeypatch.setattr(cats, "CHUNK", 7)
    assert torch.allclose(cats.draw(factors), images, atol=1e-5)
    alone = cats.draw({name: values[9:10] for name, values in factors.items()})
    assert torch.allclose(alone, images[9:10], atol=1e-5)


def test_pictures_are_floats_from_dark_to_white(sampled):
    images, _ = sampled
    assert images.dtype == torch.float32 and images.shape == (60, 3, 64, 64)
    assert images.min() >= 0 and images.max() <= 1
    assert images.flatten(1).amax(1).min() > 0.8 and images.flatten(1).amin(1).max() < 0.3


def test_neutral_factors_names_and_numbers_are_enough():
    assert cats.draw({}).shape == (1, 3, 64, 64)
    by_name = cats.draw({"fur": ["white", "black"], "pattern": "tabby", "gaze": 0.5})
    by_number = cats.draw({"fur": torch.tensor([2, 5]), "pattern": 1, "gaze": [0.5, 0.5]})
    assert by_name.shape == (2, 3, 64, 64) and torch.equal(by_name, by_number)
    plain = cats.draw({"fur": CHOICES["fur"]})
    tabby = cats.draw({"fur": CHOICES["fur"], "pattern": "tabby"})
    assert (difference(plain, tabby).amax((1, 2)) > 0.25).all(), "a marking that suits the fur"


@pytest.mark.parametrize(
    "factors, told",
    [
        ({"colour": 1}, "Unknown factors.*colour.*cats have pattern, fur"),
        ({"fur": "purple"}, "fur must be one of ginger"),
        ({"fur": 6}, "fur must be one of"),
        ({"fur": ["white", "purple"]}, "fur must be one of"),
        ({"gaze": "left"}, "gaze must be in -1.0..1.0"),
        ({"gaze": 1.5}, "gaze must be in -1.0..1.0"),
        ({"gaze": float("nan")}, "gaze must be in"),
        ({"gaze": [0, 0], "turn": [0, 0, 0]}, "lengths"),
    ],
)
def test_impossible_factors_are_explained(factors, told):
    with pytest.raises(settings.CourseError, match=told):
        cats.draw(factors)


def test_an_unknown_split_is_explained():
    with pytest.raises(settings.CourseError, match="split 'validation'"):
        cats.load("validation")


def test_sampled_factors_are_even_independent_and_in_their_ranges():
    f = cats.sample_factors(6000, torch.Generator().manual_seed(0))
    assert tuple(f) == FACTORS
    for name, options in CHOICES.items():
        share = f[name].bincount(minlength=len(options)).double() / 6000
        assert f[name].dtype == torch.int64 and len(share) == len(options)
        tolerance = {"pattern": 0, "marking": 0.12}.get(name, 0.025)
        assert (share - 1 / len(options)).abs().max() <= tolerance, name
    for name, (middle, low, high) in RANGES.items():
        assert f[name].dtype == torch.float32 and low <= middle <= high
        assert f[name].amin() >= torch.tensor(low) and f[name].amax() <= torch.tensor(high)
        assert f[name].std() == pytest.approx((high - low) / 12**0.5, rel=0.03), name
    table = torch.stack([f[name].double() for name in FACTORS if name != "marking"])
    assert (torch.corrcoef(table) - torch.eye(len(table))).abs().max() < 0.06
    for fur, marking in zip(f["fur"][:500].tolist(), f["marking"][:500].tolist(), strict=True):
        assert CHOICES["marking"][marking] in cats.MARKINGS[CHOICES["fur"][fur]]


@pytest.mark.parametrize("name", FACTORS)
def test_a_factor_changes_the_cats_that_show_it_and_no_others(sampled, name):
    images, factors = sampled
    shown = cats.visible(factors)[name]
    moved = difference(images, cats.draw(changed(name, factors))).amax((1, 2))
    assert shown.any() and (moved[shown] > 0.04).all(), moved[shown].min()
    assert (moved[~shown] == 0).all()


# Of a cat that sits straight in the middle: first and last row and column that may change.
EVERYTHING, HEAD, FACE = (0, 63, 0, 63), (0, 40, 12, 51), (19, 38, 17, 46)
WHERE = {
    "ears": HEAD,
    "ear_size": HEAD,
    "ear_tilt": HEAD,
    "head": HEAD,
    "head_tilt": (0, 42, 8, 55),
    "eyes": (18, 29, 20, 43),
    "eye_colour": (18, 29, 20, 43),
    "eye_size": (18, 29, 20, 43),
    "pupil": (18, 29, 20, 43),
    "gaze": (18, 29, 20, 43),
    "mouth": (28, 37, 25, 38),
    "turn": (18, 37, 6, 57),
    "whiskers": (26, 34, 6, 57),
    "wear": (34, 47, 18, 45),
    "wear_colour": (34, 47, 18, 45),
    "tail": (40, 63, 0, 63),
    "motif": EVERYTHING,
    "background": EVERYTHING,
}


@pytest.mark.parametrize("name", WHERE)
def test_a_factor_changes_its_own_part_and_nothing_else(name):
    straight = cats.sample_factors(1, torch.Generator().manual_seed(0))
    straight |= {key: torch.zeros(1, dtype=torch.int64) for key in CHOICES}
    straight |= {key: torch.tensor([middle]) for key, (middle, _, _) in RANGES.items()}
    straight |= {"pose": torch.tensor([1]), "wear": torch.tensor([1])}
    moved = difference(cats.draw(straight), cats.draw(changed(name, straight)))[0] > 0
    top, bottom, left, right = WHERE[name]
    assert moved[top : bottom + 1, left : right + 1].any()
    moved[top : bottom + 1, left : right + 1] = False
    assert not moved.any(), moved.nonzero()
    if name in ("background", "motif"):
        after = difference(cats.draw(straight), cats.draw(changed(name, straight)))[0]
        assert (after[16:32, 24:40] < 1e-6).all(), "the head hides what is behind it"


def test_the_mirror_image_is_the_cat_that_looks_the_other_way(sampled):
    factors = sampled[1] | {"pattern": sampled[1]["pattern"].clone()}
    one_sided = {"pattern": "patches", "eyes": "wink", "eye_colour": "odd"}
    for name, option in one_sided.items():
        factors[name] = torch.where(cats.chosen(factors, name, option), 0, factors[name])
    other_way = factors | {"tail": 1 - factors["tail"]}
    for name in ("gaze", "turn", "head_tilt", "shift_x"):
        other_way[name] = -factors[name]
    mirrored = cats.draw(factors).flip(3)
    assert torch.allclose(cats.draw(other_way), mirrored, atol=1e-4)
    assert difference(mirrored, cats.draw(factors)).amax((1, 2)).min() > 0.1


def test_colours_are_those_of_the_paper():
    furs = cats.draw({"fur": CHOICES["fur"], "pose": "sitting"})[:, :, 44, 32]
    wanted = [[*bytes.fromhex(code)] for code in cats.catparts.COLOURS["fur"].split()]
    assert torch.allclose(furs * 255, torch.tensor(wanted).float(), atol=1e-3)
    wall = cats.draw({"background": CHOICES["background"]})[:, :, 2, 2]
    wanted = [[*bytes.fromhex(code)] for code in cats.catparts.COLOURS["background"].split()]
    assert torch.allclose(wall * 255, torch.tensor(wanted).float(), atol=1e-3)


def test_the_size_and_the_shift_move_the_whole_cat():
    def outline(**factors):
        cat = cats.draw({"fur": "black", "background": "mint", **factors})
        rows, columns = (cat[0, 0] < 0.35).nonzero().T
        return rows.double(), columns.double()

    rows, columns = outline()
    right_rows, right_columns = outline(shift_x=3.0)
    assert right_columns.mean() - columns.mean() == pytest.approx(3, abs=0.3)
    assert right_rows.mean() == pytest.approx(rows.mean().item(), abs=0.3)
    assert len(outline(size=0.9)[0]) < len(rows) < len(outline(size=1.05)[0])


def test_the_cache_is_read_and_a_broken_one_is_drawn_again(small_blocks):
    images, labels, _ = cats.load("train", 20)
    (path,) = (settings.cache_dir() / "cats").iterdir()
    written = path.stat().st_mtime_ns
    assert torch.equal(cats.load("train", 20)[0], images)
    assert path.stat().st_mtime_ns == written
    whole = path.read_bytes()
    for broken in (b"nonsense", whole[:-5]):
        path.write_bytes(broken)
        again, again_labels, _ = cats.load("train", 20)
        assert torch.equal(again, images) and torch.equal(again_labels, labels)
        assert path.read_bytes() == whole
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_load_works_where_nothing_can_be_written(tmp_path, monkeypatch, small_blocks):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder", encoding="utf-8")
    monkeypatch.setenv("COURSE_HOME", str(blocked))
    assert len(cats.load("test", 5)[0]) == 5


def test_the_global_random_state_is_left_alone():
    torch.manual_seed(0)
    np.random.seed(0)
    before, legacy = torch.get_rng_state(), np.random.get_state()[1].copy()
    cats.render(3)
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == legacy).all()


def test_another_process_draws_the_same_cats():
    code = "from course_lib import cats; print(cats.render(5)[0].long().sum().item())"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=settings.ROOT, capture_output=True, text=True, check=True
    )
    assert int(run.stdout) == cats.render(5)[0].long().sum().item()
