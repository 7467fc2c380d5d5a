"""Lesson 24: nine objectives on one network and budget; stacked digits; the DCGAN's entry.

The networks are lesson 21's. A budget is CPU seconds of one core, and pays for everything that a
training does, also for several steps of D or a penalty.
"""

import copy
import functools
import time
from dataclasses import dataclass, replace

import torch
from torch import nn

from course_lib import datasets, device, judges, settings, training
from course_lib.built import dcgan, objectives, stable_gans
from course_lib.experiments import gan, leaderboard

SEEDS = range(5)
FEWER = range(3)  # seeds on data other than strokes, and for stacked digits
RATES = (5e-4, 2e-3)  # of Adam, tried for every objective on strokes
SEARCH_SEED = 99
SECONDS = {"search": 15, "bakeoff": 30, "stacked": 30}  # CPU seconds of one training
STACKED_SAMPLES = 25_600  # as Lin et al. (2018) count modes
SIZES = {"seconds": SECONDS, "rates": RATES, "search seed": SEARCH_SEED}
SIZES |= {"samples": gan.SAMPLES, "stacked samples": STACKED_SAMPLES}


@dataclass(frozen=True)
class Recipe:
    """An objective, the networks and the numbers of its training.

    norm: batch norm in D. steady: weights from N(0, 0.02), float32, a constant rate, no average.
    """

    objective: objectives.Objective
    spectral: bool = False
    norm: bool = False
    latent: int = 64
    widths: tuple = (32, 32)  # of G and D
    steady: bool = False
    shuffled: bool = False  # lesson 24's pair that works at 7x7
    numbers: tuple = ()  # where they differ from lesson 24's Config: (name, value), ...


BY_PAPER = ("lr_gen", 2e-4), ("lr_disc", 2e-4), ("betas", (0.5, 0.999)), ("batch_size", 128)
ARMS = {
    "saturating": Recipe(objectives.SATURATING),
    "non-saturating": Recipe(objectives.NON_SATURATING),
    "LSGAN": Recipe(objectives.LSGAN),
    "WGAN, clipped": Recipe(replace(objectives.WGAN, disc_steps=5, clip=0.01)),  # as in the paper
    "WGAN-GP": Recipe(replace(objectives.WGAN_GP, disc_steps=5)),  # as in the paper
    "WGAN-GP, 1 step": Recipe(replace(objectives.WGAN_GP, disc_steps=1)),
    "hinge": Recipe(stable_gans.HINGE),
    "hinge + SN": Recipe(stable_gans.HINGE, spectral=True),
    "NS + R1": Recipe(stable_gans.R1),
    "NS, batch norm": Recipe(objectives.NON_SATURATING, norm=True),
}
RECIPES = {
    "r1": Recipe(stable_gans.R1, widths=(64, 64), shuffled=True),
    "r1-dcgan": ARMS["NS + R1"],
    "hinge-sn": ARMS["hinge + SN"],
    "wgan-gp": ARMS["WGAN-GP"],
    "non-saturating": ARMS["non-saturating"],
    "paper": Recipe(
        objectives.NON_SATURATING,
        norm=True,
        latent=100,
        widths=(64, 64),
        steady=True,
        numbers=BY_PAPER,
    ),
}


class Coloured(dcgan.Discriminator):
    """The same layers for pictures of more channels: (B, C, 28, 28) -> logits (B,)."""

    def forward(self, x):
        return self.layers(x).float()[:, 0]


def networks(recipe: Recipe, channels: int = 1):
    """Return generator and discriminator of a recipe; their first weights: torch's global state."""
    if recipe.shuffled:
        gen = stable_gans.ShuffleGenerator(recipe.latent, recipe.widths[0])
        return gen, stable_gans.ShuffleDiscriminator(recipe.widths[1])
    gen = dcgan.Generator(recipe.latent, recipe.widths[0])
    kind = dcgan.Discriminator if channels == 1 else Coloured
    disc = kind(recipe.widths[1], norm=recipe.norm)
    if channels != 1:
        gen.layers[-1] = nn.ConvTranspose2d(recipe.widths[0], channels, 4, stride=2, padding=1)
        disc.layers[0] = nn.Conv2d(channels, recipe.widths[1], 4, stride=2, padding=1)
    if recipe.steady:
        gen, disc = dcgan.initialise(gen), dcgan.initialise(disc)
    if recipe.spectral:
        disc = stable_gans.spectrally_normalised(disc)
    return gen, disc


def train(recipe: Recipe, batches, budget: float, seed: int, rng, channels: int = 1):
    """Train within `budget` CPU seconds; return the averaged generator, D, seconds and steps."""
    torch.manual_seed(seed)
    fast = not recipe.steady
    layout = torch.channels_last if fast else torch.contiguous_format
    gen, disc = (net.to(memory_format=layout) for net in networks(recipe, channels))
    averaged, stop = copy.deepcopy(gen), training.Budget(budget)
    cfg = replace(stable_gans.Config(), steps=leaderboard.NO_LIMIT, **dict(recipe.numbers))
    cfg = replace(cfg, average=0.0) if recipe.steady else cfg
    until = (lambda: stop() >= 1) if recipe.steady else stop  # a bool leaves the rates as they are
    with device.fast_autocast("cpu") if fast else torch.autocast("cpu", enabled=False):
        start = time.process_time()
        history = objectives.train_objective(
            cfg, recipe.objective, gen, disc, batches(cfg, rng), rng,
            averaged=averaged, should_stop=until, label=f"seed {seed}",
        )  # fmt: skip
        seconds = time.process_time() - start
    return averaged, disc, seconds, len(history["loss_gen"][0]) * cfg.batch_size


@torch.no_grad()
def sample(gen, n: int, seed: int) -> torch.Tensor:
    """Return n samples of a generator, uint8 (n, C, 28, 28), in float32."""
    noise = gen.noise(n, device.generator(seed + 1))
    return dcgan.signed_to_pixels(torch.cat([gen(z) for z in noise.split(1000)]))


def _on(images, batches=dcgan.signed_batches):
    return lambda cfg, rng: batches(images, cfg.batch_size, rng)


def _scored(recipe: Recipe, data: str, budget: float, seed: int) -> dict:
    """Train, and score the samples; a training that ends in nan has no scores."""
    images, rng = datasets.load(data, "train").images, device.generator(seed)
    try:
        gen, *_ = train(recipe, _on(images), budget, seed, rng)
    except settings.CourseError:
        return {"frechet": None, "classes": None, "smallest": None}
    found = gan.score(sample(gen, gan.SAMPLES, seed), data, judges.judge(data))
    return {name: round(value, 4) for name, value in found.items()}


@functools.cache
def searched() -> dict:
    """Return for each objective the Fréchet distance at each of RATES, on strokes."""
    found = {}
    for name, recipe in ARMS.items():
        found[name] = {}
        for rate in RATES:
            row = _scored(_at(recipe, rate), "strokes", SECONDS["search"], SEARCH_SEED)
            found[name][rate] = row["frechet"]
            print(name, rate, row, flush=True)
    return found


def _at(recipe: Recipe, rate: float) -> Recipe:
    return replace(recipe, numbers=(("lr_gen", rate), ("lr_disc", rate)))


def _best(distances: dict) -> float:
    return min((rate for rate in distances if distances[rate] is not None), key=distances.get)


def bakeoff(data: str) -> dict:
    """Return scores of all arms, each at its best rate, with that rate and the search."""
    search = searched()
    arms = {name: _at(recipe, _best(search[name])) for name, recipe in ARMS.items()}
    rows = {name: {"frechet": [], "classes": [], "smallest": []} for name in arms}
    for seed in SEEDS if data == "strokes" else FEWER:
        for name, recipe in arms.items():
            row = _scored(recipe, data, SECONDS["bakeoff"], seed)
            print(data, seed, name, row, flush=True)
            for measure, value in row.items():
                rows[name][measure].append(value)
    for name, distances in search.items():
        rows[name] |= {"rate": _best(distances), "search": list(distances.values())}
    return rows


def stacked(data: str) -> dict:
    """Return how many of 1,000 three-digit numbers 25,600 samples show, with and without R1."""
    names, images = ("non-saturating", "NS + R1"), datasets.load(data, "train").images
    judge, rows = judges.judge(data), {name: {"modes": [], "rarest digit": []} for name in names}
    for seed in FEWER:
        for name in names:
            recipe, rng = _at(ARMS[name], _best(searched()[name])), device.generator(seed)
            feed = _on(images, stable_gans.stacked_batches)
            gen, *_ = train(recipe, feed, SECONDS["stacked"], seed, rng, channels=3)
            parts = [sample(gen, STACKED_SAMPLES // 8, 8 * seed + k) for k in range(8)]
            modes = torch.cat([stable_gans.modes_of(x, judge) for x in parts])
            rows[name]["modes"].append(modes.unique().numel())
            share = (modes % 10).bincount(minlength=10).min().item() / len(modes)
            rows[name]["rarest digit"].append(round(share, 4))
            print(data, seed, name, rows[name], flush=True)
    return rows


def dcgan_entry(data: str, budget: float, seed: int, objective: str = "r1"):
    """Train the DCGAN with one of RECIPES; measure 10,000 samples of its averaged generator."""
    if objective not in RECIPES:
        known = ", ".join(RECIPES)
        raise settings.CourseError(f"There is no objective {objective!r}; there are {known}.")
    recipe, images = RECIPES[objective], datasets.load(data, "train").images
    gen, disc, cpu_s, seen = train(recipe, _on(images), budget, seed, device.generator(seed))
    samples, judge = sample(gen, gan.SAMPLES, seed), judges.judge(data)
    protocol = (
        f"trained on all {data} training images; {gan.SAMPLES:,} unpicked samples "
        f"{'' if recipe.steady else 'of the averaged generator '}against the 10,000 test images, "
        f"by the {judge.name}"
    )
    told = {"metrics": gan.score(samples, data, judge), "protocol": protocol}
    name = "dcgan" if objective == "r1" else f"dcgan-{objective}"
    row = leaderboard.row(name, data, budget, seed, (gen, disc), cpu_s, seen, **told)
    return row, {"samples": samples.numpy()}


PARTS = {"bakeoff": bakeoff, "stacked": stacked}
ENTRIES = {"dcgan": dcgan_entry}
