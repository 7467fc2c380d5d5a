"""Lesson 55: pictures of any size, what is refused, batches, and what its features learn from."""

from dataclasses import replace

import pytest
import torch

from course_lib import display, photos, trained, training
from course_lib.built import style_transfer as lesson
from course_lib.experiments import style_transfer, styles
from course_lib.settings import CourseError

CFG = lesson.Config(sides=(16,), steps=(2,))


@pytest.fixture(scope="module")
def net():
    net = lesson.FeatureNet().requires_grad_(False)
    training.load_weights(trained.shipped_path("texturenet", "photos"), net)
    return net


def picture(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def painted(net, style, content=None, cfg=CFG, **options):
    with display.held():
        return lesson.paint(cfg, net.levels, style, content, **options)


@pytest.mark.parametrize("size", [(17, 23), (40, 1), (1, 7), (1, 1), (3, 3)])
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_any_size_grey_or_in_colour_are_painted(net, size, channels):
    y = painted(net, picture(1, 3, 9, 31), picture(1, channels, *size, seed=1))
    assert y.shape[1] == 3 and max(y.shape[2:]) == 16
    assert y.isfinite().all() and 0 <= y.min() <= y.max() <= 1


def test_a_grey_style_and_a_constant_picture_are_no_trouble(net):
    y = painted(net, picture(1, 1, 20, 20), torch.full((1, 3, 20, 20), 0.5))
    assert y.isfinite().all()
    grey = picture(1, 1, 8, 8).expand(-1, 3, -1, -1)
    assert lesson.recolour(grey, picture(1, 3, 8, 8, seed=2)).isfinite().all()
    assert lesson.recolour(0 * grey, grey).isfinite().all()


@pytest.mark.parametrize(
    "bad",
    [
        picture(1, 3, 8, 8) * 255,
        picture(1, 3, 8, 8) * 2 - 1,
        (picture(1, 3, 8, 8) * 255).byte(),
        picture(1, 3, 8, 8) / 0,
        picture(1, 4, 8, 8),
        picture(3, 8, 8),
    ],
    ids=["bytes as floats", "-1 to 1", "uint8", "infinite", "alpha", "no batch"],
)
def test_what_is_no_picture_in_range_ends_in_a_sentence(net, bad):
    good = picture(1, 3, 8, 8)
    for style, content in ((bad, good), (good, bad), (bad, None)):
        with pytest.raises(CourseError):
            painted(net, style, content, rng=torch.Generator())


def test_a_flat_grey_style_and_batches_that_do_not_pair_end_in_a_sentence(net):
    with pytest.raises(CourseError, match="less flat"):
        painted(net, torch.full((1, 3, 16, 16), 0.5), picture(1, 3, 16, 16))
    for styles_given, contents in ((3, 1), (2, 3)):
        with pytest.raises(CourseError, match="as many styles as contents"):
            painted(net, picture(styles_given, 3, 8, 8), picture(contents, 3, 8, 8))
    assert painted(net, picture(1, 3, 8, 8), picture(3, 3, 8, 8)).shape[0] == 3


def test_doubles_and_one_channel_are_painted_and_recoloured(net):
    y = painted(net, picture(1, 3, 8, 8).double(), picture(1, 1, 9, 9, seed=1).double())
    assert y.dtype == torch.float32 and y.isfinite().all()
    grey, style = picture(1, 1, 8, 8), picture(1, 3, 8, 8, seed=2)
    assert torch.equal(
        lesson.recolour(grey, style), lesson.recolour(grey.repeat(1, 3, 1, 1), style)
    )
    for bad in (picture(2, 3, 8, 8), picture(1, 4, 8, 8)):
        with pytest.raises(CourseError):
            lesson.recolour(bad, style)
    assert lesson.edge_match(0 * style, style) == 0


def test_each_picture_of_a_batch_is_painted_as_if_alone(net):
    style, content = picture(2, 3, 16, 16), picture(2, 3, 16, 16, seed=1)
    together = painted(net, style, content)
    alone = painted(net, style[1:], content[1:])
    assert (together[1:] - alone).abs().max() < 1e-3


def test_the_cost_of_the_style_itself_is_nothing_and_falls_towards_it(net):
    style = styles.stained_glass(32, torch.Generator().manual_seed(0), cells=4)
    assert lesson.style_distance(net.levels, style, style) < 1e-9
    cfg = replace(CFG, sides=(32,), steps=(20,))
    start = picture(1, 3, 32, 32)
    y = painted(net, style, start, cfg)
    far = [lesson.style_distance(net.levels, x, style) for x in (start, y)]
    assert far[1] < 0.5 * far[0]


def test_no_test_scene_is_among_the_textures(monkeypatch):
    asked, real = [], style_transfer.datasets.photograph

    def photograph(name):
        asked.append(name)
        return real(name)

    monkeypatch.setattr(style_transfer, "SIDE", 48)
    monkeypatch.setattr(style_transfer.datasets, "photograph", photograph)
    sheets = style_transfer.textures()
    assert len(sheets) == lesson.FeatureNet().linear.out_features
    assert 0 <= sheets.min() <= sheets.max() <= 1
    assert {photos.PHOTOGRAPHS[name][1] for name in asked} == {"train"}
