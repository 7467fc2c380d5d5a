"""Weights from one lesson to the next: whose are used, and when."""

import pytest
import torch
from torch import nn

from course_lib import trained, training
from course_lib.settings import CourseError


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A home and a folder of shipped weights; standard profile, strokes."""
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COURSE_PROFILE", "standard")
    for name in ("COURSE_DATA", "COURSE_OWN_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("course_lib.settings.weights_dir", lambda: tmp_path / "weights")
    return tmp_path


def network(value: float, width: int = 2) -> nn.Linear:
    model = nn.Linear(width, 1)
    nn.init.constant_(model.weight, value)
    return model


def loaded(**options) -> float:
    model = network(0.0)
    trained.load("net", model, **options)
    return model.weight[0, 0].item()


def test_without_own_weights_those_of_the_course_are_used(places, capsys):
    training.save_weights(trained.shipped_path("net"), network(1.0), lesson=14)
    assert loaded() == 1.0
    assert "the course’s weights (lesson 14)" in capsys.readouterr().out


def test_own_weights_come_first_and_leave_the_shipped_ones_alone(places, capsys):
    training.save_weights(trained.shipped_path("net"), network(1.0))
    before = trained.shipped_path("net").read_bytes()
    trained.save("net", network(2.0), accuracy=0.9)
    assert loaded() == 2.0
    assert "your own weights (accuracy 0.9)" in capsys.readouterr().out
    assert trained.shipped_path("net").read_bytes() == before


@pytest.mark.parametrize(
    "setting", [("COURSE_DATA", "mnist"), ("COURSE_PROFILE", "full"), ("COURSE_OWN_WEIGHTS", "0")]
)
def test_own_weights_of_another_data_set_or_profile_are_not_used(places, monkeypatch, setting):
    trained.save("net", network(2.0))
    monkeypatch.setenv(*setting)
    training.save_weights(trained.shipped_path("net"), network(1.0))
    assert loaded() == 1.0


def test_a_smoke_run_keeps_nothing(places, monkeypatch):
    trained.save("net", network(2.0))
    training.save_weights(trained.shipped_path("net"), network(1.0))
    monkeypatch.setenv("COURSE_PROFILE", "smoke")
    trained.save("net", network(3.0))
    assert loaded() == 1.0
    monkeypatch.setenv("COURSE_PROFILE", "standard")
    assert loaded() == 2.0


def test_no_weights_at_all_say_what_to_do(places):
    with pytest.raises(CourseError, match="no weights of 'net' for 'mnist': run the lesson"):
        loaded(data="mnist")


def test_weights_of_another_architecture_are_refused_by_name(places):
    trained.save("net", network(2.0, width=3))
    model = network(0.0)
    with pytest.raises(CourseError, match=r"weight is \(1, 3\) in the file"):
        trained.load("net", model)
    assert torch.equal(model.weight, torch.zeros(1, 2))
