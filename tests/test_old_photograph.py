"""Lesson 52: the free labels, the finder's sizes and weights, the fill against a dense solution."""

import pytest
import torch

from course_lib import datasets, device, trained
from course_lib.built import damage, denoising
from course_lib.built import old_photograph as lesson
from course_lib.experiments import old_photograph as experiment
from course_lib.photos import PHOTOGRAPHS
from course_lib.settings import CourseError


def pictures(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def dense(y, known):
    """Return the fill of y (H, W) by lstsq of all steps, as functions of the hole's pixels."""
    hole = (~known).flatten().nonzero().flatten()
    units = torch.eye(y.numel(), dtype=y.dtype).view(-1, 1, *y.shape)
    S = damage.differences(units).transpose(0, 1).flatten(1).T  # (2 H W, H W)
    start = torch.where(known, y, 0).flatten()
    x = start.clone()
    x[hole] = torch.linalg.lstsq(S[:, hole], -(S @ start)[:, None]).solution[:, 0]
    return x.view_as(y)


@pytest.mark.parametrize("shape", [(8, 9), (1, 12), (12, 1), (3, 3)])
def test_the_fill_is_the_least_squares_solution(shape):
    y, known = pictures(*shape).double(), pictures(*shape, seed=1) > 0.4
    found = lesson.harmonic(y[None, None], known)[0, 0]
    assert torch.allclose(found, dense(y, known), atol=1e-9)
    assert torch.equal(found[known], y[known])


def test_a_fill_commutes_with_fading():
    y, known = pictures(2, 3, 16, 16).double(), pictures(2, 1, 16, 16, seed=1) > 0.3
    faded = damage.fade(lesson.harmonic(y, known))
    assert torch.allclose(lesson.harmonic(damage.fade(y), known), faded, atol=1e-9)


def test_labels_are_where_the_picture_was_marked():
    x = torch.full((8, 1, 96, 96), 0.5)
    y, mask = lesson.grown_old(x, device.generator(0))
    again, same = lesson.grown_old(x, device.generator(0))
    assert torch.equal(y, again) and torch.equal(mask, same)
    assert y.min() >= 0 and y.max() <= 1 and mask.dtype == torch.bool
    middle = y.flatten(1).median(dim=1).values.view(-1, 1, 1, 1)
    off = (y - middle).abs()
    assert off[mask].mean() > 4 * off[~mask].mean()
    (seen,), label = next(lesson.dirty_pairs(iter([x]), device.generator(0)))
    assert torch.equal(seen, y) and torch.equal(label, mask.float())


@pytest.mark.parametrize("shape", [(2, 1, 16, 16), (1, 3, 9, 13), (1, 1, 1, 7), (1, 1, 5, 1)])
def test_the_finder_takes_any_size(shape):
    logits = lesson.Finder(8)(pictures(*shape))
    assert logits.shape == (shape[0], 1, *shape[2:]) and (logits == 0).all()


@pytest.mark.parametrize("factor", [-1, 2, 255])
def test_the_finder_refuses_what_is_out_of_range(factor):
    with pytest.raises(CourseError, match="data_range"):
        lesson.Finder(8)(factor * pictures(1, 1, 8, 8))


def test_restore_takes_colour_and_odd_sizes_and_every_mask_but_that_of_everything():
    net = denoising.Denoiser(denoising.UNet(5, 8), told=True).requires_grad_(False)
    y, mask = pictures(2, 3, 9, 13), torch.zeros(2, 1, 9, 13, dtype=torch.bool)
    assert lesson.restore(y, mask, net).shape == y.shape
    with pytest.raises(CourseError, match="no known pixel"):
        lesson.restore(y, ~mask, net)


@pytest.mark.parametrize("factor", [-1, 2, 255])
def test_growing_old_and_restoring_refuse_what_is_out_of_range(factor):
    x, mask = 0.1 + 0.9 * pictures(1, 1, 8, 8), torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    for call in (lambda x: lesson.grown_old(x, device.generator(0)),
                 lambda x: lesson.restore(x, mask, None)):  # fmt: skip
        with pytest.raises(CourseError, match="data_range"):
            call(factor * x)


@pytest.mark.parametrize("kind", [torch.float32, torch.uint8, torch.int64, None])
def test_dirt_is_a_bool_mask(kind):
    mask = torch.zeros(1, 1, 8, 8, dtype=kind) if kind else None
    for call in (lesson.widened, lambda mask, _: lesson.restore(pictures(1, 1, 8, 8), mask, None)):
        with pytest.raises(CourseError, match="A mask of dirt is bool"):
            call(mask, 1)
    with pytest.raises(CourseError, match="A mask of dirt is bool"):
        lesson.widened(torch.zeros(8, 8, dtype=torch.bool), 1)


@pytest.mark.parametrize("by", [-1, 0.5, (0, 5), None])
def test_a_mask_grows_by_whole_pixels(by):
    with pytest.raises(CourseError, match="pixels, not"):
        lesson.widened(torch.zeros(1, 1, 8, 8, dtype=torch.bool), by)


@pytest.mark.parametrize("steps, known", [(0, torch.ones(8, 8)), (-1, torch.ones(8, 8)), (9, None)])
def test_the_fill_refuses_no_steps_and_no_mask(steps, known):
    with pytest.raises(CourseError, match="Hand over a mask"):
        lesson.harmonic(pictures(1, 1, 8, 8), known, steps)


@pytest.mark.parametrize("shape", [(1, 1, 1, 9), (1, 3, 9, 1), (1, 1, 2, 2), (1, 3, 7, 9)])
@pytest.mark.parametrize("low, high", [(0, 1), (-1, 1), (0, 255)])
def test_fill_and_levels_take_any_size_and_range(shape, low, high):
    y, known = low + (high - low) * pictures(*shape), pictures(*shape, seed=1) > 0.3
    known[..., 0, 0] = True
    filled = lesson.harmonic(y, known)
    stretched = lesson.levels(y)
    assert filled.shape == stretched.shape == shape
    assert filled.isfinite().all() and stretched.isfinite().all()
    assert torch.equal(filled[known], y[known])


@pytest.mark.parametrize("share", [-0.1, 0.5, 1.5, float("nan")])
def test_levels_refuse_a_share_that_turns_the_picture(share):
    with pytest.raises(CourseError, match="share is 0 to below"):
        lesson.levels(pictures(1, 1, 8, 8), share)


def test_the_finder_and_restore_take_doubles():
    net = denoising.Denoiser(denoising.UNet(5, 8), told=True).requires_grad_(False)
    y = pictures(1, 1, 8, 8).double()
    assert lesson.Finder(8)(y).dtype == torch.float32
    assert lesson.restore(y, torch.zeros(1, 1, 8, 8, dtype=torch.bool), net).isfinite().all()


def test_a_picture_too_thin_for_noise_is_refused():
    with pytest.raises(CourseError, match="too thin"):
        lesson.restore(pictures(1, 1, 9, 1), torch.zeros(1, 1, 9, 1, dtype=torch.bool), None)


@pytest.mark.parametrize("costs", [(0, 1), (1, 0), (-1, 1), (float("nan"), 1)])
def test_costs_are_above_0(costs):
    with pytest.raises(CourseError, match="Costs are above 0"):
        lesson.threshold(*costs)


def test_widened_grows_a_mask_to_all_sides():
    mask = torch.zeros(1, 1, 7, 7, dtype=torch.bool)
    mask[..., 3, 3] = True
    assert torch.equal(lesson.widened(mask, 0), mask)
    assert lesson.widened(mask, 2).sum() == 25


def test_shipping_trains_on_training_scenes_and_writes_weights_that_fit(tmp_path, monkeypatch):
    read, photograph = [], datasets.photograph
    monkeypatch.setattr(datasets, "photograph", lambda name: read.append(name) or photograph(name))
    monkeypatch.setattr(experiment, "LEAVES", 1)
    monkeypatch.setattr("course_lib.trained.shipped_path", lambda *_: tmp_path / "weights")
    experiment.train(0.2)
    assert {PHOTOGRAPHS[name][1] for name in read} == {"train"}
    facts = experiment.ship(0.2)
    assert trained.load("scratch_finder", lesson.Finder(), data="photos") == facts
    assert facts["steps"] >= 1 and (tmp_path / "weights").stat().st_size < 500_000


def test_the_shipped_weights_find_dirt_on_new_scenes():
    net = lesson.Finder()
    trained.load("scratch_finder", net, data="photos")
    assert experiment.score(net) > 0.8
