"""How the cats of lesson 22 were made: `python3 -m course_lib.experiments.conditional_gan`.

`... conditional_gan dresser 600` trains only that one, for 600 CPU seconds. Each is lesson 22's
own networks and loop on all 20,000 cats; the averaged generator and the discriminator are kept, in
half precision.
"""

import copy
import sys
from dataclasses import replace
from functools import partial

import torch

from course_lib import datasets, device, judges, metrics, trained, training
from course_lib.built import conditional_gan as lesson
from course_lib.built.dcgan import signed_to_pixels

CPU_SECONDS = {"catgan": 1500, "dresser": 1800}
NO_LIMIT = 10**9  # steps: the budget ends the training
WISHES = {"catgan": (), "dresser": lesson.WISHES}


def conditions(name: str, factors: dict) -> torch.Tensor:
    """Return the conditions of a network, (N, K); K is 0 for catgan."""
    wishes = WISHES[name]
    return lesson.one_hot(factors, wishes) if wishes else torch.zeros(len(factors["fur"]), 0)


def networks(name: str):
    """Return the untrained generator and discriminator of "catgan" or "dresser"."""
    columns = lesson.COLUMNS if WISHES[name] else 0
    make_disc = partial(lesson.Projection, columns) if columns else lesson.Discriminator
    nets = lesson.Generator(conditions=columns), make_disc()
    return tuple(net.to(memory_format=torch.channels_last) for net in nets)


def train(name: str, cpu_seconds: float, seed: int = 0) -> dict:
    """Train a network, write its weights and those of its critic; return what is said of them."""
    torch.manual_seed(seed)
    cfg = replace(lesson.Config(), steps=NO_LIMIT)
    rng, data, (gen, disc) = device.generator(seed), datasets.load("cats", "train"), networks(name)
    averaged, c = copy.deepcopy(gen), conditions(name, data.factors)
    pairs = lesson.pair_batches(data.images, c, cfg.batch_size, rng)
    options = {"averaged": averaged, "should_stop": training.Budget(cpu_seconds), "label": name}
    history = lesson.train_conditional(cfg, gen, disc, pairs, rng, **options)
    facts = {"lesson": "22", "data": "cats", "seed": seed, "steps": len(history["loss_gen"][0])}
    facts |= {"CPU seconds": cpu_seconds} | score(name, averaged, rng)
    for title, net in ((name, averaged), (f"{name}-critic", disc)):
        training.save_weights(trained.shipped_path(title, "cats"), net.half(), **facts)
    return facts


@torch.no_grad()
def score(name: str, gen, rng) -> dict[str, float]:
    """Return the Fréchet distance to the test cats, and the share of wishes read as asked."""
    test, judge = datasets.load("cats", "test"), judges.judge("cats")
    pairs = zip(
        gen.noise(len(test), rng).split(200), conditions(name, test.factors).split(200), strict=True
    )
    x = torch.cat([signed_to_pixels(gen.eval()(z, c)) for z, c in pairs])
    distance = metrics.frechet_distance(judge.features(x), judge.features(test.images))
    facts = {"Fréchet distance": round(distance, 2)}
    if WISHES[name]:
        reader = judges.untrained("cats")[0].eval()
        training.load_weights(judges.weights_path("cats"), reader)
        told = [reader.attributes(datasets.to_float(part)) for part in x.split(200)]
        right = [
            torch.cat([part[wish] for part in told]).argmax(1) == test.factors[wish]
            for wish in WISHES[name]
        ]
        facts["read as asked"] = round(torch.stack(right).double().mean().item(), 3)
    return facts


def main(argv: list[str]) -> int:
    """Train what is named, or both; a number among the names is the CPU seconds of each."""
    seconds = [float(word) for word in argv if word.isdecimal()]
    with training.ctrl_c_ends_all():
        for name in [word for word in argv if word in WISHES] or WISHES:
            print(name, train(name, *(seconds or [CPU_SECONDS[name]])))
    return 0


PARTS = {}
ENTRIES = {}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
