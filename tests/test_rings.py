"""The rings: what is drawn, counted and painted, and that networks side by side stay strangers."""

import itertools
import math

import pytest
import torch

from course_lib import device, rings


def test_batches_are_eight_equal_humps_of_the_given_width_and_leave_the_global_state():
    before = torch.get_rng_state()
    x = next(rings.batches(4000, device.generator(0), copies=3, std=0.05))
    assert torch.equal(before, torch.get_rng_state()) and x.shape == (3, 4000, 2)
    hump = (torch.atan2(x[..., 1], x[..., 0]) / (math.pi / 4)).round().long() % 8
    shares = torch.nn.functional.one_hot(hump, 8).double().mean(dim=(0, 1))
    assert (shares - 1 / 8).abs().max() < 0.01
    assert (x - rings.CENTRES[hump]).std().item() == pytest.approx(0.05, rel=0.03)
    assert (rings.modes_found(x) == 8).all()


@pytest.mark.parametrize("found", range(9))
def test_humps_are_counted_that_hold_a_tenth_of_their_share(found):
    for each, counted in ((10, found), (9, 0)):  # of 792 points; the share is 99, a tenth 9.9
        some = rings.CENTRES[:found].repeat(each, 1)
        points = torch.cat([some, torch.zeros(792 - len(some), 2)])
        everywhere = rings.CENTRES.repeat(99, 1)
        assert rings.modes_found(torch.stack([points, everywhere])).tolist() == [counted, 8]


def test_a_point_beside_a_hump_counts_for_none():
    outside = (rings.CENTRES + torch.tensor([0.0, 0.41]))[None]
    assert rings.modes_found(outside).item() == 0
    assert rings.modes_found(outside, radius=0.42).item() == 8


def test_networks_side_by_side_learn_nothing_from_each_other():
    torch.manual_seed(0)
    nets = rings.Networks(copies=3, width=5)
    x = nets.noise(7, device.generator(1))
    nets(x)[1].square().sum().backward()
    for parameter in nets.parameters():
        assert parameter.grad[1].abs().sum() > 0
        assert parameter.grad[[0, 2]].abs().sum() == 0
    assert nets(x).shape == (3, 7, 2) and rings.Networks(outputs=1, copies=3)(x).shape == (3, 7)


def test_one_of_the_networks_is_the_plain_network_with_its_weights():
    torch.manual_seed(0)
    nets, x = rings.Networks(copies=3, width=5), torch.randn(3, 7, 2)
    h = x[2]
    for layer, last in zip((nets.hidden1, nets.hidden2, nets.last), (0, 0, 1), strict=True):
        h = h @ layer.weight[2] + layer.bias[2]
        h = h if last else torch.nn.functional.leaky_relu(h, 0.2)
    assert torch.allclose(nets(x)[2], h, atol=1e-6)


def test_a_picture_has_the_surface_behind_and_the_points_where_they_are():
    point = torch.tensor([[2.0, 1.0], [9.0, 0.0]])  # the second lies outside
    drawn = rings.picture(point, lambda plane: (plane[:, 1] > 0).float(), side=60)
    assert drawn.shape == (3, 60, 60) and drawn.min() >= 0 and drawn.max() <= 1
    assert torch.allclose(drawn[:, 0, 5], torch.tensor(rings.REAL))  # y > 0 is above
    assert torch.allclose(drawn[:, 59, 5], torch.tensor(rings.FORGED))
    (row, column), *others = (drawn.sum(dim=0) == 0).nonzero().tolist()
    assert not others and abs(column - 59 * 5 / 6) < 1 and abs(row - 59 * 2 / 6) < 1


def test_batches_never_end():
    assert len(list(itertools.islice(rings.batches(2, device.generator(0)), 5))) == 5
