"""The judge of the cats reads their attributes."""

import pytest
import torch

from course_lib import cats, datasets, settings, training
from course_lib.catnet import HEADS, CatNet
from course_lib.experiments.catnet import attribute_loss, scores, train


@pytest.fixture(scope="module")
def few():
    images, factors = cats.render(300, split="test")
    return datasets.Dataset("cats", "test", images, factors["pattern"], (), factors)


@pytest.fixture(scope="module")
def trained():
    model = CatNet()
    path = settings.weights_dir() / "catnet-cats.safetensors"
    assert path.stat().st_size < 1_000_000
    return model, training.load_weights(path, model)


def right_answers(factors):
    """What a network that knows everything says."""
    told = {name: values.clone() for name, values in factors.items()}
    for name, options in cats.CHOICES.items():
        told[name] = 50 * torch.nn.functional.one_hot(factors[name], len(options)).float()
    return told


def test_the_shipped_weights_read_the_cats(trained, few):
    model, facts = trained
    each = scores(model, few)
    assert set(each) == set(HEADS) and facts["data"] == "cats"
    accuracy = sum(each[name] for name in cats.CHOICES) / len(cats.CHOICES)
    assert accuracy == pytest.approx(facts["accuracy"], abs=0.02)
    r2 = sum(each[name] for name in cats.RANGES) / len(cats.RANGES)
    assert r2 == pytest.approx(facts["r2"], abs=0.05)
    assert each["pattern"] > 0.97 and each["fur"] > 0.97 and each["background"] > 0.99
    table = (settings.ROOT / "data" / "README.md").read_text(encoding="utf-8")
    assert "`catnet-cats.safetensors`" in table and f"{facts['accuracy']:.2%}"[:-1] in table


def test_the_network_is_asked_as_every_judge_is(trained):
    model = trained[0].eval()
    x = torch.rand(5, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert model.features(x).shape == (5, 128) and model(x).shape == (5, 5)
        assert torch.equal(model(x), model.attributes(x)["pattern"])
        assert torch.allclose(model.features(x[2:3]), model.features(x)[2:3], atol=1e-4)
        sizes = {name: tuple(values.shape) for name, values in model.attributes(x).items()}
    assert sizes["fur"] == (5, 6) and sizes["gaze"] == (5,) and set(sizes) == set(HEADS)


def test_it_knows_where_things_are(trained):
    """The mean over all positions alone could not tell a cat from the same cat further right."""
    left, right = cats.draw({"shift_x": [-3.0, 3.0], "fur": "black"})[:, None]
    with torch.no_grad():
        told = [trained[0].eval().attributes(x)["shift_x"].item() for x in (left, right)]
    assert told[0] < -1 and told[1] > 1


def test_the_loss_is_nought_for_right_answers_and_counts_only_what_shows(few):
    true, shown = few.factors, cats.visible(few.factors)
    told = right_answers(true)
    assert attribute_loss(told, true, shown) < 1e-6
    for name in ("marking", "gaze"):
        seen = shown[name].reshape(-1, *[1] * (told[name].ndim - 1))
        wrong = told | {name: torch.where(seen, told[name], -told[name])}
        assert attribute_loss(wrong, true, shown) < 1e-6, "a wrong answer about what is hidden"
    wrong = told | {"shift_x": told["shift_x"] + 4}  # half of its range: an error of 1
    assert attribute_loss(wrong, true, shown).item() == pytest.approx(2, rel=1e-4)


def test_scores_are_one_for_right_answers_and_fall_with_wrong_ones(few):
    told = right_answers(few.factors)

    class Oracle(torch.nn.Module):
        def attributes(self, x):
            start = self.asked = getattr(self, "asked", -len(x)) + len(x)
            return {name: values[start : start + len(x)] for name, values in told.items()}

    assert scores(Oracle(), few) == dict.fromkeys(HEADS, 1.0)
    told["fur"] = told["fur"].roll(1, dims=1)
    told["size"] = told["size"].mean().expand(300)
    each = scores(Oracle(), few)
    assert each["fur"] == 0 and each["size"] == pytest.approx(0, abs=1e-6) and each["head"] == 1


def test_a_short_training_lowers_the_loss_and_leaves_the_global_random_state(few, monkeypatch):
    monkeypatch.setattr(datasets, "load", lambda *_: few)
    state = torch.get_rng_state()
    first, again = train(steps=5), train(steps=5)
    assert torch.equal(torch.get_rng_state(), state)
    for a, b in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
    longer = train(steps=60)
    losses = []
    for model in (first, longer):
        with torch.no_grad():
            told = model.eval().attributes(few.float())
        losses.append(attribute_loss(told, few.factors, cats.visible(few.factors)).item())
    assert losses[1] < 0.85 * losses[0]
