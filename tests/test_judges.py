"""The judges: they read their digits, say what they are, and refuse pictures in a wrong range."""

import pytest
import torch

from course_lib import damages, datasets, device, judges, metrics, settings
from course_lib.built import features as lesson
from course_lib.experiments import judges as making


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
        assert judge.facts["accuracy"] > (0.7 if judge.facts["data"] == "photos" else 0.98)
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


SEEN = {"photos": damages.KINDS[1:], "random": ("noise", "faded", "scratches", "tinted")}


@pytest.mark.parametrize(("name", "least"), [("photos", 10), ("random", 1.5)])
def test_damage_moves_photographs_of_new_scenes_away_from_the_floor(name, least):
    judge, generator = judges.judge(name), device.generator(0)
    patches = datasets.load("photos", "test", patch=32).float()
    patches = patches[torch.randperm(len(patches), generator=generator)]
    half, other = patches.chunk(2)
    seen = judge.features(half)
    floor = metrics.frechet_distance(seen, judge.features(other))
    for kind in SEEN[name]:
        damaged = judge.features(damages.damage(other, kind, generator))
        assert metrics.frechet_distance(seen, damaged) > least * floor, kind


def test_all_damages_carry_their_kinds():
    x = torch.rand(3, 3, 16, 16, generator=device.generator(1))
    made, kinds = damages.all_damages(x, device.generator(2))
    assert made.shape == (24, 3, 16, 16) and kinds.bincount().tolist() == [3] * len(damages.KINDS)
    assert made.min() >= 0 and made.max() <= 1
    assert torch.equal(made[kinds == 0], x)
    assert all(not torch.equal(made[kinds == kind], x) for kind in range(1, len(damages.KINDS)))


@pytest.mark.parametrize("kind", damages.KINDS)
def test_the_strength_of_a_damage_goes_from_none_to_full(kind):
    x = torch.rand(2, 3, 16, 16, generator=device.generator(1))
    before = torch.get_rng_state()
    made = [damages.damage(x, kind, device.generator(2), s) for s in (0.0, 0.5, 1.0)]
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(made[0], x)
    assert torch.allclose(made[1], (x + made[2]) / 2, atol=1e-6)
    each = damages.damage(
        x, kind, device.generator(2), torch.tensor([0.0, 1.0])[:, None, None, None]
    )
    assert torch.equal(each[0], x[0]) and torch.allclose(each[1], made[2][1])


def test_the_share_told_rightly_counts_each_kind_for_itself():
    class Always(torch.nn.Module):
        """Says "blur" whatever it sees."""

        def forward(self, x):
            return torch.eye(len(damages.KINDS))[2].expand(len(x), -1)

    x = torch.rand(5, 3, 16, 16, generator=device.generator(1))
    assert damages.told_rightly(Always(), x, device.generator(2)).tolist() == [
        0,
        0,
        1,
        0,
        0,
        0,
        0,
        0,
    ]


def test_the_loop_of_the_photo_judge_learns_to_tell_damages():
    torch.manual_seed(0)
    model, patches = lesson.PhotoNet(), making.training_patches()[:100, :, :32, :32]
    told = [damages.told_rightly(model, patches / 255, device.generator(1)).mean()]
    making.learn_damages(model, patches, device.generator(0), steps=40)
    told += [damages.told_rightly(model, patches / 255, device.generator(1)).mean()]
    assert told[0] < 0.2 and told[1] > 0.25


def test_nothing_of_a_test_photograph_is_trained_on():
    patches = making.training_patches()
    assert patches.shape[1:] == (3, 64, 64) and patches.dtype == torch.uint8
    sizes = [len(datasets.load("photos", "train", grey=grey)) for grey in (False, True)]
    assert len(patches) == sum(sizes)
    rows = {patch.numpy().tobytes() for patch in patches}
    assert not any(p.numpy().tobytes() in rows for p in datasets.load("photos", "test").images)


def test_a_judge_is_the_lessons_network_with_the_lessons_features():
    images = torch.randint(0, 256, (3, 3, 32, 32), generator=device.generator(1)).to(torch.uint8)
    for name in ("photos", "random"):
        judge = judges.judge(name)
        assert torch.equal(judge.features(images), lesson.features_of(judge._model, images))


def test_the_photo_judges_read_any_size_and_the_control_is_the_same_every_time():
    x = torch.rand(2, 3, 40, 56, generator=device.generator(1))
    assert judges.judge("photos").features(x).shape == (2, 48)
    judges.judge.cache_clear()
    first = judges.judge("random").features(x)
    judges.judge.cache_clear()
    assert first.shape == (2, 48) and torch.equal(judges.judge("random").features(x), first)


def test_a_judge_that_is_not_there_is_named():
    with pytest.raises(settings.CourseError, match="no judge for 'cifar10'"):
        judges.judge("cifar10")
