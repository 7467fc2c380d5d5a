"""The leaderboard's denoiser: its row, its peers, what it is trained on; the shipped weights."""

import json

import numpy as np
import pytest
import torch

from course_lib import bench, datasets, device, trained
from course_lib.built import damage, denoising
from course_lib.experiments import denoising as entry
from course_lib.photos import PHOTOGRAPHS


@pytest.fixture
def quick(monkeypatch):
    """Small pictures, one canvas of leaves, and no peers but one that is not tuned."""
    monkeypatch.setattr(entry, "LEAVES", 1)
    monkeypatch.setattr(entry, "SIDE", 64)
    monkeypatch.setattr(entry, "peers", lambda: {"as it is": lambda y: y})


def test_a_short_run_has_a_row_and_saves_what_was_scored(quick, tmp_path, capsys):
    options = ["--only", "denoise", "--budget", "0.4", "--save", str(tmp_path)]
    assert bench.main(options) == 0
    row = json.loads(capsys.readouterr().out.splitlines()[0])
    assert row["data"] == "photos" and 0.4 <= row["cpu_s"] < 5
    found, crops = row["metrics"], damage.crops(damage.TEST, 64)
    with np.load(tmp_path / "denoise.npz", allow_pickle=False) as arrays:
        pairs = [(x, torch.from_numpy(arrays[name]).clamp(0, 1)) for name, x in crops.items()]
    scored = [damage.psnr(x, x_hat, data_range=1).item() for x, x_hat in pairs]
    assert found["net crops"] == pytest.approx(sum(scored) / len(scored), abs=1e-3)
    assert found["as it is pictures"] == pytest.approx(20.3, abs=0.4)  # noise 25, clipped


def test_noise_that_stays_has_its_own_psnr():
    grey = [torch.full((1, 1, 256, 256), 0.5)] * 2
    assert entry.score(lambda y: y, grey, sigma=0.1) == pytest.approx(20, abs=0.1)
    assert entry.score(lambda y: torch.full_like(y, 0.6), grey) == pytest.approx(20, abs=1e-3)


def test_scikit_images_denoisers_are_tuned_on_training_scenes_only(monkeypatch):
    read, photograph = [], datasets.photograph
    monkeypatch.setattr(datasets, "photograph", lambda name: read.append(name) or photograph(name))
    monkeypatch.setattr(entry, "TUNING_SIDE", 48)
    repairs = entry.peers()
    assert {"tv", "nlm"} <= set(repairs) <= {"tv", "nlm", "wavelets", "bm3d"}
    assert {PHOTOGRAPHS[name][1] for name in read} == {"train"}
    crops = [*damage.crops(damage.TEST, 64).values()]
    assert all(entry.score(repair, crops) > 26 for repair in repairs.values())


def test_nothing_of_a_test_scene_is_trained_on(monkeypatch):
    read, photograph = [], datasets.photograph
    monkeypatch.setattr(datasets, "photograph", lambda name: read.append(name) or photograph(name))
    pictures, chances = denoising.training_pictures(device.generator(0), leaves=1)
    assert {PHOTOGRAPHS[name][1] for name in read} == {"train"}
    assert not {"text", "motorcycle_right"} & set(read)  # the latter: a second view of a scene
    assert len(pictures) == len(chances) and chances.sum() == pytest.approx(1)
    assert all(x.min() >= 0 and x.max() <= 1 and min(x.shape) >= 64 for x in pictures)


def test_dead_leaves_come_back_from_their_seed_and_cover_the_ground():
    first, again = (denoising.dead_leaves(128, device.generator(3), number=400) for _ in "ab")
    assert torch.equal(first, again) and first.shape == (128, 128)
    assert first.min() >= 0 and first.max() <= 1 and first.std() > 0.15
    assert (first == 0.5).double().mean() < 0.2


def test_shipping_writes_weights_that_fit_and_says_what_they_are(quick, tmp_path, monkeypatch):
    monkeypatch.setattr("course_lib.trained.shipped_path", lambda *_: tmp_path / "weights")
    facts = entry.ship(0.3)
    net = denoising.Denoiser(denoising.UNet(5), told=True)
    assert trained.load("denoiser", net, data="photos") == facts
    assert facts["steps"] >= 1 and (tmp_path / "weights").stat().st_size < 1_000_000


@torch.no_grad()
def test_the_shipped_weights_beat_non_local_means_at_every_level():
    net = denoising.Denoiser(denoising.UNet(5), told=True)
    trained.load("denoiser", net, data="photos")
    crops = [*damage.crops(damage.TEST, 128).values()]
    for level, h, least in ((15, 0.06, 0.8), (25, 0.09, 0.7), (50, 0.17, 1.4)):
        sigma = level / 255
        plain = entry.score(lambda y, h=h: damage.non_local_means(y, h), crops, sigma)
        assert entry.score(entry.repair_with(net, sigma), crops, sigma) > plain + least
