"""What lesson 21's networks say to bad input, and that each arm of its experiment is another."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from course_lib import datasets, device, display, settings
from course_lib.built import dcgan
from course_lib.experiments import dcgan as experiment

CFG = replace(dcgan.Config(), steps=4, batch_size=8, width=4, measure_every=2)


def pair():
    torch.manual_seed(0)
    nets = dcgan.Generator(width=CFG.width), dcgan.Discriminator(CFG.width)
    return [dcgan.initialise(net) for net in nets]


def train(images, cfg=CFG):
    gen, disc = pair()
    rng = device.generator(1)
    data = dcgan.signed_batches(images, cfg.batch_size, rng)
    with display.held():
        dcgan.train(cfg, gen, disc, data, rng)
    return gen, disc


def pictures(side=28):
    return torch.randint(256, (32, 1, side, side), dtype=torch.uint8, generator=device.generator(0))


@pytest.mark.parametrize(("size", "fits"), [(30, "28x28 or 32x32"), (3, "4x4 or 8x8")])
@pytest.mark.parametrize("kind", [dcgan.Generator, dcgan.Discriminator])
def test_a_size_that_cannot_be_made_is_refused_with_those_that_can(kind, size, fits):
    with pytest.raises(settings.CourseError, match=f"{size}x{size}.*{fits}"):
        kind(size=size)


def test_a_batch_of_one_is_refused_in_training_mode_only():
    gen, disc = pair()
    z, x = torch.zeros(1, 64), torch.zeros(1, 1, 28, 28)
    for net, given in ((gen, z), (disc, x)):
        with pytest.raises(settings.CourseError, match="batch of one"):
            net(given)
        assert len(net.eval()(given)) == 1
    assert len(dcgan.Discriminator(norm=False)(x)) == 1


def test_pictures_of_another_size_are_refused_with_both():
    with pytest.raises(settings.CourseError, match=r"\[1, 28, 28\].*\[1, 32, 32\]"):
        pair()[1](torch.zeros(2, 1, 32, 32))
    with pytest.raises(settings.CourseError, match=r"28, 28\].*32, 32\]"):
        train(pictures(side=32))


def test_training_moves_both_networks_also_in_half_precision(monkeypatch):
    monkeypatch.setattr(device, "_prefers_bfloat16", lambda *_: True)
    before = [p.clone() for net in pair() for p in net.parameters()]
    short, long = (train(pictures(), replace(CFG, steps=n)) for n in (1, 4))
    after = [[p for net in nets for p in net.parameters()] for nets in (short, long)]
    for start, one, four in zip(before, *after, strict=True):
        assert not torch.equal(start, one) and not torch.equal(one, four)
        assert four.dtype == torch.float32


def test_half_precision_does_not_keep_the_first_weights(monkeypatch):
    """Autocast's cached copies of the weights would answer for ever as the first ones did."""
    monkeypatch.setattr(device, "_prefers_bfloat16", lambda *_: True)
    seen = []
    monkeypatch.setattr(dcgan, "train_gan", lambda cfg, gen, *_, **__: seen.extend(answers(gen)))

    def answers(gen):
        z = torch.ones(4, 64)
        first = gen(z).detach()
        gen.layers[-1].weight.data.mul_(-5)
        return first, gen(z).detach()

    gen, disc = pair()
    dcgan.train(CFG, gen, disc, iter(()), device.generator(0))
    assert (seen[0] - seen[1]).abs().max() > 0.01


def layers(net):
    return [(type(layer).__name__, getattr(layer, "kernel_size", None)) for layer in net.modules()]


@pytest.mark.parametrize("arm", [arm for arm in experiment.NETWORKS if arm != "all rules"])
def test_each_arm_changes_a_network_and_keeps_its_shapes(arm):
    changed, plain = pair(), pair()
    experiment.NETWORKS[arm](*changed)
    assert [layers(net) for net in changed] != [layers(net) for net in plain]
    gen, disc = changed
    x = gen(torch.randn(4, 64, generator=device.generator(0)))
    assert x.shape == (4, 1, 28, 28) and disc(x).shape == (4,)


def test_arms_without_a_norm_have_none():
    for arm, which in (("no norm in G", 0), ("no norm in D", 1)):
        nets = pair()
        experiment.NETWORKS[arm](*nets)
        norms = [any(isinstance(m, nn.BatchNorm2d) for m in net.modules()) for net in nets]
        assert norms == [which == 1, which == 0]


def test_the_experiment_keeps_a_list_over_seeds_for_each_arm(monkeypatch):
    some = datasets.load("strokes", "train", size=100)
    monkeypatch.setattr(experiment, "STEPS", 1)
    monkeypatch.setattr(experiment, "SEEDS", range(2))
    monkeypatch.setattr(experiment, "NETWORKS", {"all rules": experiment.NETWORKS["all rules"]})
    monkeypatch.setattr(experiment, "NUMBERS", {})
    monkeypatch.setattr(experiment.datasets, "load", lambda *_, **__: some)
    monkeypatch.setattr(experiment, "_score", lambda *_: {"frechet": 1.0, "classes": 10.0})
    with display.held():
        found = experiment.rules("strokes")
    assert set(found) == {"all rules", experiment.DRAWN_BY_TORCH, experiment.AVERAGED}
    assert all(row == {"frechet": [1.0, 1.0], "classes": [10.0, 10.0]} for row in found.values())
