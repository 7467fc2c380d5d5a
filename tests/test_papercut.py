"""Shapes of paper: distances in pixels, areas, shadows and rims."""

import math

import pytest
import torch

from course_lib import papercut
from course_lib.papercut import FAR, Frame, cover

PAGE = papercut.page(64).at(32.0, 32.0)
TURNED = papercut.page(64).at(31.3, 32.4, torch.tensor([[[25.0]]]), 5.0)  # 5 pixels to the unit
SHAPES = {
    "ellipse": TURNED.ellipse(4.0, 2.5),
    "circle": TURNED.circle(3.0),
    "leaf": TURNED.leaf(2.0, 4.5),
    "rounded leaf": TURNED.leaf(2.5, 4.0, 1.0),
    "arc": TURNED.arc(3.5, 70, 1.2),
    "wide arc": TURNED.arc(3.5, 140, 1.2),
    "stroke": TURNED.stroke(4.0, 1.0, 0.5),
    "half plane": TURNED.below(1.0),
}


@pytest.mark.parametrize("name", SHAPES)
def test_distances_grow_by_a_pixel_from_pixel_to_pixel_across_the_edge(name):
    d = SHAPES[name].double()[0]
    dy, dx = torch.gradient(d)
    edge = (d.abs() < 1.5)[2:-2, 2:-2]
    slope = torch.hypot(dx, dy)[2:-2, 2:-2][edge]
    assert edge.sum() > 60
    assert slope.mean() == pytest.approx(1, abs=0.06) and slope.max() < 1.15
    assert (slope > 0.8).double().mean() > 0.85  # less at a tip only


def test_shapes_cover_their_areas():
    def area(d):
        return cover(d).double().sum().item()

    assert area(PAGE.circle(12.3)) == pytest.approx(math.pi * 12.3**2, rel=2e-3)
    turned = PAGE.at(2.0, 1.0, 30.0)
    assert area(turned.ellipse(20.0, 9.0)) == pytest.approx(math.pi * 180, rel=5e-3)
    ring = 2 * 70 / 360 * 2 * math.pi * 15 * 4 + math.pi * 4
    assert area(turned.arc(15.0, 70, 4.0)) == pytest.approx(ring, rel=1e-2)
    rod = 20 * 6 + math.pi * 9
    assert area(turned.stroke(20.0, 3.0, 3.0)) == pytest.approx(rod, rel=1e-2)
    angle = 2 * math.atan2(8, 20)  # of the chord: two segments make the leaf
    radius = 20 / math.sin(angle)
    leaf = radius**2 * (2 * angle - math.sin(2 * angle))
    assert area(turned.leaf(8.0, 20.0)) == pytest.approx(leaf, rel=1e-2)


def test_the_middle_of_an_ellipse_is_inside():
    middle = Frame(torch.zeros(1, 1, 1), torch.zeros(1, 1, 1))
    assert middle.ellipse(5.0, 3.0).item() <= -0.5


def test_frames_move_turn_enlarge_and_fold():
    point = Frame(torch.tensor([[[5.0]]]), torch.tensor([[[7.0]]]), 2.0)
    moved = point.at(3.0, 7.0, 90.0, 2.0)
    assert moved.x.item() == pytest.approx(0, abs=1e-6) and moved.y.item() == pytest.approx(-1)
    assert moved.scale == 4.0
    assert Frame(-point.x, point.y).mirrored().x.item() == 5.0


def test_stripes_repeat():
    x = torch.arange(48.0)
    d = papercut.stripes(x, 12, 6)
    assert torch.equal(d[:36], d[12:]) and d[0] == -3 and d[6] == 3


def test_union_and_only_choose():
    a, b = PAGE.at(-5.0).circle(6.0), PAGE.at(5.0).circle(6.0)
    assert torch.equal(cover(papercut.union(a, b)), torch.maximum(cover(a), cover(b)))
    assert (papercut.only(a, torch.tensor([[[False]]])) == FAR).all()
    assert torch.equal(papercut.only(a, torch.tensor([[[True]]])), a)


def test_paper_has_its_colour_a_shadow_below_and_a_rim_inside():
    canvas = torch.full((2, 3, 64, 64), 0.5)
    colour = torch.tensor([[0.1, 0.2, 0.3], [0.6, 0.5, 0.4]])[..., None, None]
    d = PAGE.circle(15.0)
    papercut.paste(canvas, d, colour)
    inside, near = d[0] < -2, (d[0] > 1) & (d[0] < 2)
    assert torch.allclose(canvas[:, :, inside], colour[..., 0].expand(-1, -1, inside.sum()))
    assert (canvas[:, :, d[0] > 4] == 0.5).all()
    shade = 0.5 - canvas[0, 0]
    assert shade[40:][near[40:]].mean() > 2 * shade[:24][near[:24]].mean() > 0
    rim = (d[0] < -0.5) & (d[0] > -1)
    assert (canvas[0, 0][rim] > 0.15).all()


def test_a_shape_that_is_not_there_leaves_no_trace():
    canvas = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    before = canvas.clone()
    papercut.paste(canvas, torch.full((1, 64, 64), FAR), torch.zeros(1, 3, 1, 1))
    assert torch.equal(canvas, before)
