"""The leaderboard: what it prints and writes, and that the budget ends the training."""

import json

import numpy as np
import pytest

from course_lib import bench, experiments, settings, training
from course_lib.built import cnn

KEYS = {"name", "data", "budget", "cpu_s", "seed", "params", "images_per_s", "metrics", "protocol"}


@pytest.fixture
def rows(tmp_path, capsys):
    """Two short runs of `bench --only cnn`: the JSON rows, the table and the folder written to."""
    file = tmp_path / "runs.jsonl"
    status = bench.main(
        ["--only", "cnn", "--data", "strokes", "--budget", "0.5", "--seeds", "2"]
        + ["--save", str(tmp_path), "--json", str(file)]
    )
    assert status == 0
    printed = capsys.readouterr().out
    return [json.loads(line) for line in file.read_text().splitlines()], printed, tmp_path


def test_each_run_is_one_json_object_with_the_documented_keys(rows):
    found, printed, _ = rows
    assert [set(row) for row in found] == [KEYS, KEYS]
    assert [row["seed"] for row in found] == [0, 1]
    assert [json.loads(line) for line in printed.splitlines() if line[0] == "{"] == found
    assert "accuracy" in printed.splitlines()[-1] and "over 2 seeds" in printed


def test_the_budget_ends_the_training(rows):
    for row in rows[0]:
        assert 0.5 <= row["cpu_s"] < 3  # one step more than the budget, on a slow machine
        assert row["images_per_s"] > 0 and row["params"] > 0


def test_saved_logits_are_those_that_were_scored(rows):
    found, _, folder = rows
    for row, name in zip(found, ["cnn.npz", "cnn-1.npz"], strict=True):
        with np.load(folder / name, allow_pickle=False) as arrays:
            right = (arrays["logits"].argmax(1) == arrays["labels"]).mean()
        assert right == pytest.approx(row["metrics"]["accuracy"])


@pytest.mark.parametrize("wrong", [["--budget", "0"], ["--seeds", "0"], ["--threads", "0"]])
def test_a_senseless_number_is_refused_in_one_sentence(wrong):
    with pytest.raises(settings.CourseError, match="must be positive"):
        bench.main(wrong)


@pytest.mark.parametrize("options", [["--only", "cnn"], ["--experiment", "14"]])
def test_ctrl_c_records_nothing(options, tmp_path, monkeypatch):
    def cut_short(*_arguments, **_options):
        with training.progress(3) as run:
            for _ in run:
                raise KeyboardInterrupt
        return {"loss": ([0], [1.0])}

    file = tmp_path / "runs.jsonl"
    monkeypatch.setattr(cnn, "train_classifier", cut_short)
    monkeypatch.setattr(experiments, "results_path", lambda number: tmp_path / "14.json")
    with pytest.raises(KeyboardInterrupt):
        bench.main([*options, "--data", "strokes", "--json", str(file)])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", sorted(experiments.EXPERIMENTS))
def test_the_committed_experiment_is_complete(number):
    facts = json.loads(experiments.results_path(number).read_text(encoding="utf-8"))
    assert {"command", "seeds", "machine", "torch", "code", "seconds", "data"} <= set(facts)
    assert facts["seeds"] >= 3 and "strokes" in facts["data"]
    for parts in facts["data"].values():
        assert set(parts) == set(experiments.EXPERIMENTS[number])
        rows = [row for part in parts.values() for row in part.values()]
        if number == "14":  # means and spreads, in per cent
            assert all(len(row["mean"]) == len(row["std"]) > 0 for row in rows)
            assert all(0 < mean <= 100 for row in rows for mean in row["mean"])
