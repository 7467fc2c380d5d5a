"""The judges: they read their digits, say what they are, and refuse pictures in a wrong range."""

import pytest
import torch

from course_lib import datasets, judges, settings


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
    for path in sorted(settings.weights_dir().glob("judge-*.safetensors")):
        judge = judges.judge(path.stem.removeprefix("judge-"))
        assert judge.facts["data"] in judge.name and "%" in judge.name
        assert judge.facts["accuracy"] > 0.98
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


def test_a_judge_that_is_not_there_is_named():
    with pytest.raises(settings.CourseError, match="no judge for 'cifar10'"):
        judges.judge("cifar10")
