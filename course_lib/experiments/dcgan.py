"""Lesson 21's long experiment: each rule of the DCGAN paper switched off once."""

import copy
from dataclasses import replace

import torch
from torch import nn

from course_lib import datasets, device, judges
from course_lib.built import dcgan
from course_lib.experiments.gan import SAMPLES, score

SEEDS = range(3)
STEPS = 1000
SIZES = {"steps": STEPS, "batch": 32, "width": 32, "samples": SAMPLES}


def _as_built(gen, disc):
    """Leave both networks as the paper's rules have them."""


def _pooling(gen, disc):
    for n in (0, 2):
        old = disc.layers[n]
        conv = nn.Conv2d(old.in_channels, old.out_channels, 3, padding=1, bias=old.bias is not None)
        disc.layers[n] = nn.Sequential(conv, nn.MaxPool2d(2))


def _upsampling(gen, disc):
    for n in (4, 7):
        old = gen.layers[n]
        conv = nn.Conv2d(old.in_channels, old.out_channels, 3, padding=1, bias=old.bias is not None)
        gen.layers[n] = nn.Sequential(nn.Upsample(scale_factor=2), conv)


def _norm_at_the_ends(gen, disc):
    gen.layers.append(nn.BatchNorm2d(1))
    disc.layers[0] = nn.Sequential(disc.layers[0], nn.BatchNorm2d(disc.layers[0].out_channels))


def _replace(net, kind, new):
    for n, layer in enumerate(net.layers):
        if isinstance(layer, kind):
            net.layers[n] = new()


# What differs from the rules: a change of the networks, or of the numbers of the training.
NETWORKS = {
    "all rules": _as_built,
    "pooling in D": _pooling,
    "upsampling in G": _upsampling,
    "no norm in G": lambda gen, disc: _replace(gen, nn.BatchNorm2d, nn.Identity),
    "no norm in D": lambda gen, disc: _replace(disc, nn.BatchNorm2d, nn.Identity),
    "norm at both ends too": _norm_at_the_ends,
    "ReLU in D": lambda gen, disc: _replace(disc, nn.LeakyReLU, nn.ReLU),
    "leaky ReLU in G": lambda gen, disc: _replace(gen, nn.ReLU, lambda: nn.LeakyReLU(0.2)),
}
NUMBERS = {"beta1 0.9": {"betas": (0.9, 0.999)}, "rate 2e-3": {"lr_gen": 2e-3, "lr_disc": 2e-3}}
DRAWN_BY_TORCH, AVERAGED = "torch's initialisation", "averaged (no rule)"


def rules(data: str) -> dict:
    """Lesson 21: frechet, classes, smallest class of each arm, a list over seeds.

    The paper's Adam, without averaging; the last arm is the first one's averaged generator.
    """
    arms = [*NETWORKS, DRAWN_BY_TORCH, *NUMBERS]
    scores = {arm: {} for arm in (*arms, AVERAGED)}
    for seed in SEEDS:
        for arm in arms:
            gen, averaged = _train(data, arm, seed)
            _keep(scores[arm], _score(gen, data, seed))
            if arm == "all rules":
                _keep(scores[AVERAGED], _score(averaged, data, seed))
            print(data, seed, arm, {name: values[-1] for name, values in scores[arm].items()})
    return scores


def _train(data: str, arm: str, seed: int):
    """Return the generator of an arm after STEPS steps, and its averaged copy."""
    cfg = replace(dcgan.Config(), steps=STEPS, lr_gen=2e-4, lr_disc=2e-4, betas=(0.5, 0.999))
    cfg = replace(cfg, batch_size=SIZES["batch"], width=SIZES["width"], **NUMBERS.get(arm, {}))
    torch.manual_seed(seed)
    gen, disc = dcgan.Generator(width=cfg.width), dcgan.Discriminator(cfg.width)
    NETWORKS.get(arm, _as_built)(gen, disc)
    if arm != DRAWN_BY_TORCH:
        dcgan.initialise(gen), dcgan.initialise(disc)
    images = datasets.load(data, "train").images
    averaged, rng = copy.deepcopy(gen), device.generator(seed)
    batches = dcgan.signed_batches(images, cfg.batch_size, rng)
    dcgan.train(cfg, gen, disc, batches, rng, averaged=averaged, label=f"{data}, {seed}, {arm}")
    return gen, averaged


@torch.no_grad()
def _score(gen, data: str, seed: int) -> dict[str, float]:
    noise = gen.noise(SAMPLES, device.generator(seed + 1000)).split(500)
    gen = copy.deepcopy(gen).eval()
    samples = dcgan.signed_to_pixels(torch.cat([gen(z) for z in noise]))
    return score(samples, data, judges.judge(data))


def _keep(lists: dict, values: dict):
    for name, value in values.items():
        lists.setdefault(name, []).append(round(value, 4))


PARTS = {"rules": rules}
ENTRIES = {}
