"""The leaderboard's DCGAN and lesson 24's experiment: rows, recipes, and what a search keeps."""

import json

import numpy as np
import pytest
import torch

from course_lib import bench, experiments, judges, settings
from course_lib.experiments import gan, stable_gans


def test_a_short_run_has_a_row_and_saves_the_samples_that_were_scored(tmp_path, capsys):
    options = ["--only", "dcgan", "--data", "strokes", "--budget", "0.3", "--save", str(tmp_path)]
    assert bench.main([*options, "--objective", "hinge-sn"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    row = json.loads(lines[0])
    with np.load(tmp_path / "dcgan-hinge-sn.npz", allow_pickle=False) as arrays:
        samples = torch.from_numpy(arrays["samples"])
    assert samples.shape == (gan.SAMPLES, 1, 28, 28) and samples.dtype == torch.uint8
    judge = judges.judge("strokes")
    assert judge.name in row["protocol"] and 0.3 <= row["cpu_s"] < 10
    assert row["name"] == "dcgan-hinge-sn"
    assert row["metrics"] == pytest.approx(gan.score(samples, "strokes", judge))


@pytest.mark.parametrize("only", [["--only", "gan"], [], ["--only", "dcgan", "gan"]])
def test_an_objective_for_an_entry_without_one_is_refused(only):
    with pytest.raises(settings.CourseError, match="--only dcgan"):
        bench.main([*only, "--objective", "r1"])


def test_an_unknown_objective_is_refused_by_name():
    with pytest.raises(
        settings.CourseError, match="no objective 'r2'; there are r1, r1-dcgan, hinge-sn"
    ):
        stable_gans.dcgan_entry("strokes", 1.0, 0, "r2")


def test_a_training_learns_in_bfloat16_too():
    """Copies of the first weights that autocast keeps would be used for ever."""
    torch.manual_seed(0)
    before = torch.cat(
        [p.flatten() for p in stable_gans.networks(stable_gans.ARMS["hinge"])[1].parameters()]
    )
    batches = stable_gans._on(torch.randint(0, 256, (64, 1, 28, 28), dtype=torch.uint8))
    rng = torch.Generator().manual_seed(0)
    _, disc, seconds, seen = stable_gans.train(stable_gans.ARMS["hinge"], batches, 0.2, 0, rng)
    after = torch.cat([p.flatten() for p in disc.parameters()])
    assert seconds >= 0.2 and seen >= 64 and not torch.equal(before, after)


def test_every_objective_is_tried_at_every_rate_and_the_best_is_kept(monkeypatch):
    scores = {5e-4: 3.0, 2e-3: 2.0}
    tried = []

    def scored(recipe, data, budget, seed):
        rate = dict(recipe.numbers)["lr_gen"]
        tried.append((data, budget, seed))
        return {"frechet": None if recipe.spectral and rate == 2e-3 else scores[rate]}

    monkeypatch.setattr(stable_gans, "_scored", scored)
    stable_gans.searched.cache_clear()
    found = stable_gans.searched()
    stable_gans.searched.cache_clear()
    assert set(found) == set(stable_gans.ARMS) and set(tried) == {
        ("strokes", stable_gans.SECONDS["search"], stable_gans.SEARCH_SEED)
    }
    assert stable_gans._best(found["hinge"]) == 2e-3
    assert stable_gans._best(found["hinge + SN"]) == 5e-4  # the other ended in nan


def test_the_committed_bake_off_has_a_score_for_every_seed():
    facts = json.loads(experiments.results_path("24").read_text(encoding="utf-8"))
    data, seeds = "strokes", len(stable_gans.SEEDS)
    rows = facts["data"][data]["bakeoff"]
    assert set(rows) == set(stable_gans.ARMS)
    for row in rows.values():
        assert len(row["frechet"]) == len(row["classes"]) == len(row["smallest"]) == seeds
        assert row["rate"] in stable_gans.RATES and len(row["search"]) == len(stable_gans.RATES)
        assert all(value is None or 0 < value < 5000 for value in row["frechet"])
    for row in facts["data"][data]["stacked"].values():
        assert len(row["modes"]) == 3 and all(0 < modes <= 1000 for modes in row["modes"])
