"""The leaderboard's GAN: its row, the samples that it saves, and what their score means."""

import json

import numpy as np
import pytest
import torch

from course_lib import bench, datasets, judges
from course_lib.experiments import gan


def test_a_short_run_has_a_row_and_saves_the_samples_that_were_scored(tmp_path, capsys):
    options = ["--only", "gan", "--data", "strokes", "--budget", "0.3", "--save", str(tmp_path)]
    assert bench.main(options) == 0
    row = json.loads(capsys.readouterr().out.splitlines()[0])
    with np.load(tmp_path / "gan.npz", allow_pickle=False) as arrays:
        samples = torch.from_numpy(arrays["samples"])
    assert samples.shape == (gan.SAMPLES, 1, 28, 28) and samples.dtype == torch.uint8
    judge = judges.judge("strokes")
    assert judge.name in row["protocol"] and 0.3 <= row["cpu_s"] < 5
    assert row["metrics"] == pytest.approx(gan.score(samples, "strokes", judge))


def test_real_pictures_score_best_and_lack_no_class():
    judge = judges.judge("strokes")
    real = datasets.load("strokes", "train", size=3000).images
    found = gan.score(real, "strokes", judge)
    assert found["classes"] == 10 and found["smallest"] > 0.08 and found["frechet"] < 5
    sevens = datasets.load("strokes", "train").images[datasets.load("strokes", "train").labels == 7]
    alone = gan.score(sevens[:1000], "strokes", judge)
    assert alone["classes"] == 1 and alone["smallest"] == 0 and alone["frechet"] > 100
