"""Lesson 53's functions: what they refuse, each with a sentence, and what they give back."""

import pytest
import torch

from course_lib.built import inpainting
from course_lib.built.denoising import UNet
from course_lib.settings import CourseError

KNOWN = torch.ones(1, 1, 9, 7, dtype=torch.bool)
KNOWN[..., 3:6, 2:5] = False
X = torch.rand(1, 3, 9, 7, generator=torch.Generator().manual_seed(0))
NET = inpainting.Refiner(UNet(8))
LAYER = inpainting.PartialConv(3, 2, 3, padding=1)
FILLERS = {
    "biharmonic": inpainting.biharmonic,
    "inpaint": lambda y, known: inpainting.inpaint(NET, y, known),
    "Refiner": NET,
}
TAKERS = FILLERS | {"PartialConv": LAYER, "regions": lambda _, known: inpainting.regions(known)}


@pytest.mark.parametrize("name", TAKERS)
@pytest.mark.parametrize("known", [KNOWN * 0.5, KNOWN.byte() * 255, KNOWN[0, 0].numpy(), None])
def test_a_mask_that_is_not_binary_or_no_tensor_ends_in_a_sentence(name, known):
    with pytest.raises(CourseError):
        TAKERS[name](X, known)


@pytest.mark.parametrize("name", [*FILLERS, "PartialConv"])
def test_a_mask_of_another_size_ends_in_a_sentence(name):
    with pytest.raises(CourseError, match="mask"):
        TAKERS[name](X, KNOWN[..., 1:])


@pytest.mark.parametrize("name", FILLERS)
def test_nothing_known_or_bytes_end_in_a_sentence_and_everything_known_comes_back(name):
    with pytest.raises(CourseError, match="no known pixel"):
        FILLERS[name](X, torch.zeros_like(KNOWN))
    with pytest.raises(CourseError, match="near"):
        FILLERS[name](X * 255, KNOWN)
    assert torch.equal(FILLERS[name](X, torch.ones_like(KNOWN)), X)


def test_masks_of_nothing_and_of_everything_have_regions_and_a_convolution():
    nothing, everything = torch.zeros_like(KNOWN), torch.ones_like(KNOWN)
    assert inpainting.regions(nothing)["hole"].all()
    assert not inpainting.regions(everything)["hole"].any()
    assert not LAYER(X, nothing)[0].any() and not LAYER(X, nothing)[1].any()
    assert LAYER(X, everything)[1].all()


@pytest.mark.parametrize("name", ["biharmonic", "inpaint"])
def test_nan_in_the_hole_is_filled_and_elsewhere_refused(name):
    found = FILLERS[name](torch.where(KNOWN, X, torch.nan), KNOWN)
    assert torch.equal(found, FILLERS[name](X, KNOWN)) and found.isfinite().all()
    with pytest.raises(CourseError):
        FILLERS[name](torch.where(KNOWN, torch.nan, X), KNOWN)


def test_inpaint_refuses_what_is_outside_0_to_1_and_takes_doubles():
    with pytest.raises(CourseError, match="data_range"):
        inpainting.inpaint(NET, 2 * X - 1, KNOWN)
    assert inpainting.inpaint(NET, X.double(), KNOWN).dtype == torch.float64


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 3, 1, 9), (2, 1, 9, 1), (1, 3, 17, 23)])
@pytest.mark.parametrize("name", FILLERS)
def test_tiny_thin_and_odd_pictures_are_filled(name, shape):
    x, known = torch.full(shape, 0.5), torch.ones(shape[0], 1, *shape[2:], dtype=torch.bool)
    known[..., 1:] = False
    assert (FILLERS[name](x, known) - x).abs().max() < 1e-3
