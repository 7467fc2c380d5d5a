"""The leaderboard's VAE: its row, what its nats mean, and the samples that it saves."""

import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from course_lib import bench, device, judges
from course_lib.built import vae
from course_lib.experiments import gan
from course_lib.experiments import vae as entry


def test_a_short_run_has_a_row_and_saves_what_was_scored(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(entry, "IMPORTANCE", 2)
    options = ["--only", "vae", "--data", "strokes", "--budget", "0.3", "--save", str(tmp_path)]
    assert bench.main(options) == 0
    row = json.loads(capsys.readouterr().out.splitlines()[0])
    with np.load(tmp_path / "vae.npz", allow_pickle=False) as arrays:
        samples = torch.from_numpy(arrays["samples"])
    assert samples.shape == (gan.SAMPLES, 1, 28, 28) and samples.dtype == torch.uint8
    judge = judges.judge("strokes")
    assert judge.name in row["protocol"] and 0.3 <= row["cpu_s"] < 5
    scored = {key: row["metrics"][key] for key in ("frechet", "classes", "smallest")}
    assert scored == pytest.approx(gan.score(samples, "strokes", judge))
    assert -784 * math.log(2) < row["metrics"]["elbo"] < row["metrics"]["iwae"] < 0


class Known(nn.Module):
    """An encoder that answers with the prior: the code tells nothing."""

    def forward(self, x):
        return torch.zeros(len(x), 3), torch.zeros(len(x), 3)


class Constant(nn.Module):
    """A decoder that gives every pixel the chance 1 / (1 + e) to be ink, whatever the code."""

    latent = 3

    def forward(self, z):
        return torch.full((len(z), 1, 28, 28), -1.0)


def test_of_a_model_whose_likelihood_is_known_both_bounds_are_exact():
    x = (torch.rand(410, 1, 28, 28, generator=device.generator(0)) < 0.2).float()
    found = entry.nats(vae.VAE(Known(), Constant()), x, device.generator(1))
    ink = x.mean().item()
    exact = 784 * (ink * math.log(1 / (1 + math.e)) + (1 - ink) * math.log(1 / (1 + 1 / math.e)))
    assert found == pytest.approx({"elbo": exact, "iwae": exact}, rel=1e-5)
