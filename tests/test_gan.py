"""What lesson 20's loop says to bad input, and that the average is saved with the networks."""

import copy
import itertools
from dataclasses import replace

import pytest
import torch

from course_lib import device, display, rings, settings
from course_lib.built import gan

CFG = replace(gan.Config(), steps=6, batch_size=8, measure_every=2)


@pytest.fixture
def nets():
    torch.manual_seed(0)
    return gan.Generator(width=8), gan.Discriminator(width=8)


def pictures(n=8, side=28):
    return torch.rand(n, 1, side, side, generator=device.generator(1))


def train(nets, data, **options):
    with display.held():
        return gan.train_gan(CFG, *nets, iter(data), device.generator(2), **options)


def finite(net) -> bool:
    return all(p.isfinite().all() for p in net.parameters())


def test_pictures_that_are_no_bytes_are_refused():
    with pytest.raises(settings.CourseError, match="reads uint8 in 0..255, not torch.float32"):
        next(gan.picture_batches(pictures(), 4, device.generator(0)))


def test_pictures_of_another_size_are_refused_with_both_sizes(nets):
    with pytest.raises(settings.CourseError, match=r"makes \[8, 1, 28, 28\].*\[8, 1, 32, 32\]"):
        train(nets, itertools.repeat(pictures(side=32)))


@pytest.mark.parametrize("first_bad", range(5))
def test_nan_stops_the_training_at_the_last_good_state(nets, first_bad):
    averaged, start = copy.deepcopy(nets[0]), copy.deepcopy(nets[0].state_dict())
    data = [pictures()] * first_bad + [pictures() * torch.nan] * (7 - first_bad)
    with pytest.raises(settings.CourseError, match="No finite number any more: D"):
        train(nets, data, averaged=averaged)
    assert all(map(finite, (*nets, averaged)))
    kept = all(torch.equal(p, start[name]) for name, p in nets[0].state_dict().items())
    assert kept == (first_bad < 3)  # looks at steps 0, 2, 4: the states of 0, 0 and 2 are good


def test_the_history_holds_the_vital_signs_from_before_the_first_step(nets):
    history = train(nets, itertools.repeat(pictures()))
    assert history["loss_disc"][0] == list(range(6)) and history["D(x)"][0] == [0, 2, 4]
    assert abs(history["loss_disc"][1][0] - 1.386) < 0.1
    assert set(history) == {"loss_disc", "loss_gen", "D(x)", "D(G(z))", "diversity"}


def test_diversity_is_that_of_each_ring_and_not_between_rings():
    torch.manual_seed(0)
    gen, disc = rings.Networks(copies=3), rings.Networks(outputs=1, copies=3)
    z = gen.noise(500, device.generator(0))
    x = gen(z).detach() + torch.tensor([0.0, 50.0, -50.0])[:, None, None]
    signs = gan.vital_signs(gen, disc, x, z)
    assert signs["diversity"] == pytest.approx(1, rel=1e-4)
