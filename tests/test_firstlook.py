"""The generator of lesson 00, and the five questions that say where to start."""

import pytest
import torch

from course_lib import datasets, device, display, firstlook, metrics, settings
from course_lib.checks import start_here_quiz as quiz
from course_lib.checks.start_here import where_to_start
from course_lib.experiments import firstlook as making
from course_lib.settings import CourseError


@pytest.fixture(scope="module")
def model():
    return firstlook.load()


def test_it_says_whose_weights_it_has_and_they_are_in_the_table(capsys):
    firstlook.load()
    path = settings.weights_dir() / "firstlook-strokes.safetensors"
    said = capsys.readouterr().out
    assert "the course’s weights (lesson 00" in said
    score = float(said.split("read_as_asked ")[1].rstrip(")\n"))
    table = (settings.ROOT / "data" / "README.md").read_text(encoding="utf-8")
    assert f"`{path.name}`" in table and f"{score:.1%}"[:-1] in table
    assert path.stat().st_size < 300_000


def test_nearly_all_of_its_digits_are_read_as_asked(model):
    assert making.read_as_asked(model, device.generator(7), 1000) > 0.93


def test_each_slider_changes_the_picture_smoothly_and_the_first_most(model):
    stops = torch.linspace(-firstlook.REACH, firstlook.REACH, 21)
    changes = []
    for k in range(firstlook.SLIDERS):
        numbers = torch.zeros(21, firstlook.NUMBERS)
        numbers[:, k] = stops
        drawn = model(firstlook.shares(torch.full((21,), 3)), numbers)
        steps = (drawn[1:] - drawn[:-1]).square().sum(dim=(1, 2, 3))
        assert 0 < steps.max() < 15, k  # two different digits are about 100 apart
        numbers = torch.zeros(2, 1, firstlook.NUMBERS)
        numbers[0, :, k], numbers[1, :, k] = -1, 1
        low, high = (model(torch.eye(10), ends.expand(10, -1)) for ends in numbers)
        changes.append((high - low).square().sum().item())
    assert changes == sorted(changes, reverse=True)


def test_it_has_not_learnt_its_digits_by_heart(model):
    train = datasets.load("strokes", "train", size=2000)
    numbers = torch.randn(20, firstlook.NUMBERS, generator=device.generator(3))
    drawn = model(firstlook.shares(torch.arange(20) % 10), numbers)
    assert drawn.min() >= 0 and drawn.max() <= 1
    assert metrics.nearest_distance(drawn, train.float())[0].min() > 0.5


def test_shares_are_one_hot_at_digits_and_mix_neighbours_between():
    assert torch.equal(firstlook.shares(torch.arange(10)), torch.eye(10))
    mixed = firstlook.shares(3.25)[0]
    assert mixed.tolist() == [0, 0, 0, 0.75, 0.25, 0, 0, 0, 0, 0]


def test_the_picture_is_small_and_says_what_it_shows(model):
    state = torch.get_rng_state()
    plain, other = (firstlook.picture(model, 8.0, [0.5, -1.0, 0.0, 2.5], hand) for hand in (0, 3))
    assert torch.equal(torch.get_rng_state(), state)
    assert "8.0" in plain.get_label() and "[0.5, -1.0, 0.0, 2.5]" in plain.get_label()
    assert len(display.as_png(plain)) < 100_000
    assert display.as_png(plain) != display.as_png(other)


def test_training_writes_weights_that_fit_and_that_a_second_run_repeats(tmp_path, monkeypatch):
    monkeypatch.setattr("course_lib.trained.shipped_path", lambda *_: tmp_path / "weights")
    monkeypatch.setattr("course_lib.experiments.firstlook.read_as_asked", lambda *_: 0.5)
    strokes = datasets.load("strokes", "train", size=500)
    monkeypatch.setattr("course_lib.datasets.load", lambda *_: strokes)
    state, files = torch.get_rng_state(), []
    for _ in range(2):
        facts = making.train(steps=3)
        files.append((tmp_path / "weights").read_bytes())
    torch.set_rng_state(state)
    assert facts == {"lesson": "00", "data": "strokes", "seed": 0, "steps": 3, "read_as_asked": 0.5}
    assert files[0] == files[1]


# The five questions


RIGHT = {number: answer for number, (answer, _, _) in quiz.KEY.items()}


def test_nothing_answered_is_met_kindly():
    for answers in ({}, {n: "" for n in RIGHT}, {1: "?", 2: None}):
        assert where_to_start(answers).startswith("No answers yet.")
        assert "start at 10" in where_to_start(answers)


@pytest.mark.parametrize(("number", "lesson"), [(1, 10), (2, 11), (3, 12), (4, 13), (5, 14)])
def test_the_first_question_missed_says_where_to_start(number, lesson):
    other = {n: "a" if right != "a" else "b" for n, right in RIGHT.items() if n >= number}
    for wrong in ({number: ""}, other):
        said = where_to_start(RIGHT | wrong)
        assert ("never trained" in said) == (lesson > 10)
        assert f"\nStart at {lesson}" in said and f"Question {number}:" in said
        assert all(f"Question {n}:" not in said for n in range(1, number))


def test_who_knows_it_all_starts_at_20_and_hears_when_that_is_not_there(monkeypatch):
    answers = {n: f" {letter.upper()}) " for n, letter in RIGHT.items()}
    monkeypatch.setattr(quiz, "_is_there", lambda lesson: False)
    said = where_to_start(answers)
    assert said.startswith("5 of 5") and "Start at 20" in said and "until then" in said
    assert "you know lessons 10 to 15" in said and "never trained" not in said
    monkeypatch.setattr(quiz, "_is_there", lambda lesson: True)
    assert "until then" not in where_to_start(answers)


@pytest.mark.parametrize("answers", [{1: "e"}, {6: "a"}, {1: 3}])
def test_an_answer_that_is_none_is_named(answers):
    with pytest.raises(CourseError, match="a, b, c and d|numbered from 1 to 5"):
        where_to_start(RIGHT | answers)


def test_the_answers_to_the_questions_are_right():
    w = torch.tensor(5.0, requires_grad=True)
    (slope,) = torch.autograd.grad((w - 3) ** 2, w)
    assert (w - 0.1 * slope).item() == pytest.approx(4.6)  # 1b
    w = torch.tensor(-1.0, requires_grad=True)
    assert torch.autograd.grad(((w * 2).relu() - 1) ** 2, w)[0] == 0  # 2a
    assert torch.nn.Conv2d(8, 16, 3, bias=False).weight.numel() == 1152  # 3d
    up = torch.nn.ConvTranspose2d(1, 1, 4, stride=2, padding=1)
    assert up(torch.zeros(1, 1, 7, 7)).shape[2:] == (14, 14)  # 4c
    norm, x = torch.nn.BatchNorm1d(1), torch.tensor([[1.0], [2.0], [5.0]])
    assert not torch.equal(norm(x[:2])[0], norm(x)[0])  # 5b
    assert list(RIGHT.values()) == ["b", "a", "d", "c", "b"]
