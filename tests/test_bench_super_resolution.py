"""The leaderboard's enlarger: its row, its baselines, its ruler; the shipped weights."""

import json

import numpy as np
import pytest
import torch

from course_lib import bench, datasets, device, trained
from course_lib.built import damage, super_resolution
from course_lib.built.denoising import training_pictures
from course_lib.experiments import super_resolution as entry
from course_lib.photos import PHOTOGRAPHS
from course_lib.settings import CourseError


@pytest.fixture
def quick(monkeypatch):
    """Small pictures, one canvas of leaves, and no whole scenes."""
    monkeypatch.setattr(entry, "LEAVES", 1)
    monkeypatch.setattr(entry, "SIDE", 48)
    monkeypatch.setattr(entry, "PATCH", 48)
    crops = [*damage.crops(damage.TEST, 48).values()]
    monkeypatch.setattr(entry, "held_out", lambda: {"crops": crops, "pictures": crops[:1]})


def test_a_short_run_has_a_row_and_saves_what_was_scored(quick, tmp_path, capsys):
    options = ["--only", "superres", "--budget", "0.6", "--save", str(tmp_path)]
    assert bench.main(options) == 0
    row = json.loads(capsys.readouterr().out.splitlines()[0])
    assert row["data"] == "photos" and 0.6 <= row["cpu_s"] < 8
    crops = damage.crops(damage.TEST, 48)
    with np.load(tmp_path / "superres.npz", allow_pickle=False) as arrays:
        for factor in (2, 3):
            made = [torch.from_numpy(arrays[f"{name} x{factor}"]) for name in crops]
            scored = entry.score(made, [*crops.values()])
            assert row["metrics"][f"x{factor} net crops"] == pytest.approx(scored, abs=1e-3)


def test_the_ruler_leaves_the_border_out_and_the_truth_has_no_distance():
    x = [torch.full((1, 1, 32, 32), 0.5)] * 2
    found = [part.clone() for part in x]
    for part in found:
        part[..., :4, :] = 1  # only in the border
        part[..., 10, 10] = 0.6
    assert entry.score(found, x) == pytest.approx(20 + 10 * np.log10(24 * 24), abs=1e-3)
    assert entry.judged(x, x) == 0 < entry.judged(found, x)


def test_the_peers_are_torchs_two_bicubics(quick):
    y = torch.rand(1, 1, 16, 16, generator=device.generator(0))
    made = entry.methods(torch.nn.Identity(), 2)
    assert made["bicubic"](y).shape == made["bicubic -0.75"](y).shape == (1, 1, 32, 32)
    peer = torch.nn.functional.interpolate(y, scale_factor=2, mode="bicubic", antialias=True)
    assert torch.allclose(made["bicubic"](y), peer, atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (7, 3), (64, 65)])
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_any_size_are_enlarged_whole_or_in_tiles(size, channels):
    x = torch.rand(2, channels, *size, generator=device.generator(1))
    net = super_resolution.enlargers()["x3"]
    with torch.no_grad():
        torch.nn.init.normal_(net.body.last.weight, std=0.1, generator=device.generator(2))
        whole, parts = net(x), super_resolution.tiled(net, x, 3, tile=16)
    assert whole.shape == (2, channels, 3 * size[0], 3 * size[1])
    assert torch.allclose(whole, parts, atol=1e-5)


@pytest.mark.parametrize(
    "wrong",
    [
        torch.rand(4, 4),
        torch.rand(1, 2, 4, 4),
        torch.rand(1, 1, 0, 4),
        torch.full((1, 1, 4, 4), float("nan")),
        torch.zeros(1, 1, 4, 4, dtype=torch.uint8),
    ],
    ids=["no batch", "2 channels", "empty", "nan", "bytes"],
)
def test_what_is_no_picture_ends_in_a_sentence(wrong):
    net = super_resolution.enlargers()["x2"]
    for call in (net, lambda x: super_resolution.shrunk(x, 2), entry.methods(net, 2)["bicubic"]):
        with pytest.raises(CourseError, match="Pictures are floats|NaN"):
            call(wrong)


def test_sizes_that_cannot_be_end_in_a_sentence():
    x = torch.rand(1, 1, 9, 8)
    with pytest.raises(CourseError, match="multiples of 2"):
        super_resolution.shrunk(x, 2)
    with pytest.raises(CourseError, match="Whole numbers from 1 on"):
        super_resolution.resize(x, 0, 4)


def test_nothing_of_a_test_scene_is_trained_on(monkeypatch):
    read, photograph = [], datasets.photograph
    monkeypatch.setattr(datasets, "photograph", lambda name: read.append(name) or photograph(name))
    training_pictures(device.generator(0), leaves=1)
    assert {PHOTOGRAPHS[name][1] for name in read} == {"train"}
    assert not set(read) & set(entry.SCENES)


def test_whole_scenes_shrink_by_2_and_by_3():
    whole = entry.held_out()["pictures"]
    assert len(whole) == 3 and all(n % 6 == 0 and n >= 300 for x in whole for n in x.shape[2:])


def test_shipping_writes_weights_that_fit_and_says_what_they_are(quick, tmp_path, monkeypatch):
    monkeypatch.setattr("course_lib.trained.shipped_path", lambda *_: tmp_path / "weights")
    facts = entry.ship(0.3)
    assert trained.load("enlarger", super_resolution.enlargers(), data="photos") == facts
    assert facts["x2: steps"] >= 1 and (tmp_path / "weights").stat().st_size < 900_000


def test_the_shipped_weights_pass_the_bars_on_crops_and_scenes():
    nets = super_resolution.enlargers()
    trained.load("enlarger", nets, data="photos")
    for factor, least in ((2, 1.2), (3, 0.8)):
        found, _ = entry.measured(nets[f"x{factor}"], factor)
        for kind in ("crops", "pictures"):
            best = max(found[f"x{factor} bicubic{a} {kind}"] for a in ("", " -0.75"))
            assert found[f"x{factor} net {kind}"] > best + least
