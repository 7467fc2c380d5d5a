"""The judges: they read their digits, say what they are, and refuse pictures in a wrong range."""

import pytest
import torch

from course_lib import datasets, device, judges, metrics, settings


@pytest.fixture(scope="module")
def strokes():
    return datasets.load("strokes", "test", size=1000)


def test_the_strokes_judge_reads_strokes(strokes):
    probabilities = judges.judge("strokes").classify(strokes.images)
    assert probabilities.dtype == torch.float64
    assert torch.allclose(probabilities.sum(1), torch.ones(1000, dtype=torch.float64))
    assert (probabilities.argmax(1) == strokes.labels).double().mean() > 0.98


def test_features_are_the_same_for_bytes_and_floats_and_in_any_company(strokes):
    judge = judges.judge("strokes")
    features = judge.features(strokes.images)
    assert features.shape == (1000, 64) and features.dtype == torch.float64
    assert torch.allclose(judge.features(strokes.float()), features, atol=1e-6)
    assert torch.allclose(judge.features(strokes.images[:7], batch_size=3), features[:7], atol=1e-4)


def test_every_judge_names_itself_and_its_accuracy():
    weights = settings.weights_dir()
    paths = [*weights.glob("cnn-*.safetensors"), *weights.glob("photonet-*.safetensors")]
    assert len(paths) >= 3
    for path in paths:
        judge = judges.judge(path.stem.split("-", 1)[1])
        assert judge.facts["data"] in judge.name and "%" in judge.name
        assert judge.facts["accuracy"] > (0.9 if judge.facts["data"] == "photos" else 0.98)
        assert path.stat().st_size < 1_000_000
        table = (settings.ROOT / "data" / "README.md").read_text(encoding="utf-8")
        assert f"`{path.name}`" in table and f"{judge.facts['accuracy']:.2%}"[:-1] in table


@pytest.mark.parametrize(
    "images",
    [
        torch.rand(2, 1, 28, 28) * 255,  # E1: floats of 0..255
        torch.rand(2, 1, 28, 28) * 2 - 1,  # E6: a tanh generator's -1..1
        torch.rand(2, 3, 28, 28),
        torch.rand(2, 28, 28),
        torch.full((2, 1, 28, 28), float("nan")),
    ],
)
def test_a_wrong_range_or_shape_is_refused(images):
    with pytest.raises(settings.CourseError, match="The judge reads"):
        judges.judge("strokes").features(images)


@pytest.mark.parametrize("name", ["photos", "random"])
def test_damage_moves_photographs_away_from_the_floor(name):
    judge, generator = judges.judge(name), device.generator(0)
    patches = datasets.load("photos", "train", patch=64).float()
    half = judge.features(patches[0::2])[:, :40], judge.features(patches[1::2])[:, :40]
    floor = metrics.frechet_distance(*half)
    for kind in judges.DAMAGES[1:]:
        damaged = judge.features(judges.damage(patches[1::2], kind, generator))[:, :40]
        assert metrics.frechet_distance(half[0], damaged) > 3 * floor, kind


def test_turned_and_damaged_patches_carry_their_classes():
    x = torch.rand(3, 3, 16, 16, generator=device.generator(1))
    made, classes = judges.turned_and_damaged(x, device.generator(2))
    assert made.shape == (60, 3, 16, 16) and classes.bincount().tolist() == [3] * 20
    assert made.min() >= 0 and made.max() <= 1
    clean = len(judges.DAMAGES)
    for turn in range(4):
        assert torch.equal(made[classes == turn * clean], torch.rot90(x, turn, dims=(2, 3)))


def test_the_photo_judges_read_any_size_and_the_control_is_the_same_every_time():
    x = torch.rand(2, 3, 40, 56, generator=device.generator(1))
    assert judges.judge("photos").features(x).shape == (2, 96)
    judges.judge.cache_clear()
    first = judges.judge("random").features(x)
    judges.judge.cache_clear()
    assert first.shape == (2, 192) and torch.equal(judges.judge("random").features(x), first)


def test_a_judge_that_is_not_there_is_named():
    with pytest.raises(settings.CourseError, match="no judge for 'cifar10'"):
        judges.judge("cifar10")
