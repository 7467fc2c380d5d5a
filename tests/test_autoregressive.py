"""Lesson 40's sentences for what cannot work."""

import pytest
import torch

from course_lib.built import autoregressive as course
from course_lib.settings import CourseError

MEAN, RASTER = torch.full((1, 3, 3), 0.3), torch.arange(9)


def rng():
    return torch.Generator().manual_seed(0)


def made(**options):
    return course.MADE(MEAN, **{"order": RASTER, "hidden": (16,)} | options)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: made(order=torch.zeros(9).long()), "exactly once"),
        (lambda: made(order=torch.arange(8)), "exactly once"),
        (lambda: made(hidden=(7,)), "8 units or more"),
        (lambda: made(hidden=(16, 4)), "8 units or more"),
        (lambda: course.sample(made(), 2, rng(), temperature=0), "above 0"),
        (lambda: course.sample(made(), 2, rng(), temperature=torch.tensor([1.0, -1])), "above 0"),
        (lambda: course.sample(made(), 2, rng(), given=torch.ones(1, 3, 3)), "both given and mask"),
        (lambda: course.sample(made(), 2, rng(), given=MEAN, mask=MEAN[:, :2]), "both given"),
        (lambda: course.sample(made(), 2, rng(), given=MEAN, mask=MEAN > 0), "Binarise"),
        (lambda: course.sample_incremental(made(hidden=(9, 9)), 2, rng()), "One hidden layer"),
        (lambda: course.log_prob(made(), MEAN[None]), "Binarise"),
        (lambda: course.log_prob(made(), torch.zeros(1, 1, 3, 4)), "The model knows"),
    ],
)
def test_what_cannot_work_ends_in_a_sentence(wrong, words):
    with pytest.raises(CourseError, match=words):
        wrong()


def test_known_pixels_are_kept_and_the_narrowest_network_is_allowed():
    known = torch.eye(3)[None] > 0
    x = course.sample(made(hidden=(8,)), 5, rng(), given=torch.ones(1, 3, 3), mask=known)
    assert (x[:, known] == 1).all()
