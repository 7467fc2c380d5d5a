"""Lesson 54's tools: a bad input ends in one clear sentence, and the ruler measures grey."""

import pytest
import torch

from course_lib import device, images
from course_lib.built import damage, super_resolution
from course_lib.built.super_resolution import (
    Chain,
    Enlarger,
    enlarged,
    icnr,
    luma_psnr,
    resize,
    shrunk,
    tiled,
)
from course_lib.settings import CourseError


def pictures(*shape, seed=0):
    return torch.rand(*shape, generator=device.generator(seed))


X = pictures(1, 1, 12, 12)


def thrice(y):
    return enlarged(y, 3)


WRONG = {
    "bytes as floats": (lambda: enlarged(255 * X, 2), "divide bytes by 255"),
    "bytes in the net": (lambda: Enlarger(Chain(2), 2)(255 * X), "divide bytes by 255"),
    "factor 0": (lambda: shrunk(X, 0), "Whole numbers from 1 on .*'factor': 0"),
    "factor -1": (lambda: enlarged(X, -1), "Whole numbers from 1 on .*'factor': -1"),
    "factor 1.5": (lambda: shrunk(X, 1.5), "Whole numbers from 1 on .*1.5"),
    "factor '2'": (lambda: shrunk(X, "2"), "Whole numbers from 1 on .*'2'"),
    "half a row": (lambda: resize(X, 7.5, 4), "Whole numbers from 1 on .*7.5"),
    "no batch": (lambda: shrunk(X[0], 3), "Pictures are floats .B, 1 or 3, H, W."),
    "no batch in tiles": (lambda: tiled(thrice, X[0], 3), "Pictures are floats"),
    "no batch to measure": (lambda: luma_psnr(X[0], X[0]), "Pictures are floats"),
    "one pixel": (lambda: shrunk(X[..., :1, :1], 3), "too small to shrink by 3"),
    "one pixel wide": (lambda: shrunk(X[..., :1], 3), "too small to shrink by 3"),
    "13 of 12": (lambda: shrunk(X, 13), "too small to shrink by 13"),
    "uneven": (lambda: shrunk(X[..., :11], 3), "Crop to multiples of 3"),
    "two shapes": (lambda: luma_psnr(X, pictures(1, 1, 13, 12)), "Two shapes"),
    "all border": (lambda: luma_psnr(X[..., :8, :8], X[..., :8, :8]), "8 x 8 .* border 4"),
    "border -1": (lambda: luma_psnr(X, X, -1), "border -1"),
    "tile 0": (lambda: tiled(thrice, X, 3, tile=0), "Whole numbers from 1 on .*'tile': 0"),
    "tile -3": (lambda: tiled(thrice, X, 3, tile=-3), "Whole numbers from 1 on .*'tile': -3"),
    "overlap -1": (lambda: tiled(thrice, X, 3, overlap=-1), "overlap from 0 on"),
    "another net": (lambda: tiled(thrice, X, 2), "factor should be 3"),
    "no groups": (lambda: icnr(pictures(8, 1, 3, 3), 3), "8 filters: no groups of 9"),
    "another body": (lambda: Enlarger(Chain(2), 3), "A body of 9 channels"),
    "float64": (lambda: Enlarger(Chain(2), 2)(X.double()), "reads float32, not torch.float64"),
}


@pytest.mark.parametrize(("call", "words"), WRONG.values(), ids=WRONG)
def test_a_bad_input_ends_in_a_clear_sentence(call, words):
    with pytest.raises(CourseError, match=words):
        call()


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 1, 1, 9), (2, 3, 7, 11)])
def test_pictures_of_any_size_and_colour_are_enlarged(shape):
    y = pictures(*shape)
    net = Enlarger(Chain(3), 3)
    for x_hat in (enlarged(y, 3), net(y), tiled(net, y, 3, tile=4)):
        assert x_hat.shape == (*shape[:2], 3 * shape[2], 3 * shape[3]) and x_hat.isfinite().all()


def test_the_ruler_measures_grey_clamped_and_without_the_border():
    x, x_hat = pictures(2, 3, 16, 18), pictures(2, 3, 16, 18, seed=1) * 1.2
    found = luma_psnr(x, x_hat, border=3)
    grey = (
        sum(w * z[:, k : k + 1] for k, w in enumerate(images.LUMA)) for z in (x, x_hat.clamp(0, 1))
    )
    wanted = damage.psnr(*(z[..., 3:-3, 3:-3] for z in grey), data_range=1)
    assert torch.allclose(found, wanted, atol=1e-4)


def test_a_level_picture_stays_level_through_an_icnr_layer():
    layer = torch.nn.Conv2d(1, 9, 3)
    layer.weight.data = super_resolution.icnr(layer.weight.data, 3)
    layer.bias.data.zero_()
    made = torch.nn.functional.pixel_shuffle(layer(torch.full((1, 1, 8, 8), 0.5)), 3)
    assert made.std() < 1e-6
