"""The leaderboard's pixel net: its row, what its bits mean, and the samples that it saves."""

import json

import numpy as np
import pytest
import torch

from course_lib import bench, datasets, judges
from course_lib.built import greys_and_colour
from course_lib.experiments import gan, pixelcnn


@pytest.mark.filterwarnings("ignore:30 samples of 64 features")
def test_a_short_run_has_a_row_and_saves_what_was_scored(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(pixelcnn, "SAMPLES", 30)
    monkeypatch.setattr(pixelcnn, "AT_ONCE", 20)
    monkeypatch.setattr(pixelcnn, "TESTED", 25)
    options = ["--only", "pixelcnn", "--data", "strokes", "--budget", "0.3"]
    assert bench.main([*options, "--save", str(tmp_path)]) == 0
    row = json.loads(capsys.readouterr().out.splitlines()[0])
    with np.load(tmp_path / "pixelcnn.npz", allow_pickle=False) as arrays:
        samples = torch.from_numpy(arrays["samples"])
    assert samples.shape == (30, 1, 28, 28) and samples.dtype == torch.uint8
    judge = judges.judge("strokes")
    assert judge.name in row["protocol"] and 0.3 <= row["cpu_s"] < 10
    scored = {key: row["metrics"][key] for key in ("frechet", "classes", "smallest")}
    assert scored == pytest.approx(gan.score(samples, "strokes", judge))
    assert 0 < row["metrics"]["bits_per_dim"] < 8 and row["images_per_s"] > 0


def test_a_net_without_an_opinion_costs_eight_bits_a_pixel():
    test = datasets.load("strokes", "test").images[:5, 0]
    net = greys_and_colour.PixelNet(256, hidden=pixelcnn.HIDDEN)
    assert greys_and_colour.bits_per_pixel(net, test).mean().item() == pytest.approx(8)
