"""The leaderboard's inpainter: its row, its peers, what it is trained on; the shipped weights."""

import json

import numpy as np
import pytest
import torch

from course_lib import bench, datasets, device, trained
from course_lib.built import damage, inpainting
from course_lib.built.denoising import UNet
from course_lib.experiments import inpainting as entry
from course_lib.photos import PHOTOGRAPHS


@pytest.fixture
def quick(monkeypatch):
    """Small pictures, one canvas of leaves, few patches."""
    monkeypatch.setattr(entry, "LEAVES", 1)
    monkeypatch.setattr(entry, "PATCHES", 32)
    monkeypatch.setattr(entry, "SIDE", 64)
    monkeypatch.setattr(entry, "SCENES", ("chelsea",))


def test_a_short_run_has_a_row_and_saves_what_was_scored(quick, tmp_path, capsys):
    options = ["--only", "inpaint", "--budget", "0.4", "--save", str(tmp_path)]
    assert bench.main(options) == 0
    row = json.loads(capsys.readouterr().out.splitlines()[0])
    assert row["data"] == "photos" and 0.4 <= row["cpu_s"] < 9
    found, rng, scored = row["metrics"], device.generator(5), []
    with np.load(tmp_path / "inpaint.npz", allow_pickle=False) as arrays:
        for name, x in damage.crops(damage.TEST, 64).items():
            known, x_hat = inpainting.free_form(x.shape, rng), torch.from_numpy(arrays[name])
            assert torch.equal(x_hat[known], x[known])
            mse = (x_hat - x).double()[~known].square().mean()
            scored.append(-10 * mse.log10().item())
    assert found["net free-form crops"] == pytest.approx(sum(scored) / len(scored), abs=1e-3)


def test_a_true_filling_scores_best_and_an_offset_its_own_psnr(quick):
    crops = entry.held_out()["crops"]
    grey = [torch.full((1, 1, 64, 64), 0.5)] * 2
    dB, far = entry.score(lambda y, known: torch.where(known, y, 0.6), grey, inpainting.free_form)
    assert dB == pytest.approx(20, abs=1e-3) and far > 0
    truth = iter(crops)
    assert entry.score(lambda *_: next(truth), crops, inpainting.free_form) == (float("inf"), 0)


def test_nothing_of_a_test_scene_is_trained_on(quick, monkeypatch):
    read, photograph = [], datasets.photograph
    monkeypatch.setattr(datasets, "photograph", lambda name: read.append(name) or photograph(name))
    entry.train(0.1)
    assert {PHOTOGRAPHS[name][1] for name in read} == {"train"}


def test_shipping_writes_weights_that_fit_and_says_what_they_are(quick, tmp_path, monkeypatch):
    monkeypatch.setattr("course_lib.trained.shipped_path", lambda *_: tmp_path / "weights")
    facts = entry.ship(0.3)
    net = inpainting.Refiner(UNet(8))
    assert trained.load("inpainter", net, data="photos") == facts
    assert facts["steps"] >= 1 and (tmp_path / "weights").stat().st_size < 1_000_000


@pytest.mark.parametrize(("hole", "least"), [("free-form", 0.3), ("scratches", 0.0)])
def test_the_shipped_weights_beat_biharmonic_by_both_rulers(hole, least):
    net = inpainting.Refiner(UNet(8))
    trained.load("inpainter", net, data="photos")
    crops, make = entry.held_out()["crops"], entry.HOLES[hole]
    plain, far = entry.score(inpainting.biharmonic, crops, make)
    filled, near = entry.score(lambda y, known: inpainting.inpaint(net, y, known), crops, make)
    assert filled > plain + least and near < far
