"""Lesson 20's GAN in the leaderboard: trained within a budget, its samples scored by a judge."""

import time
from dataclasses import replace

import torch

from course_lib import datasets, device, judges, metrics, training
from course_lib.built import gan
from course_lib.experiments import leaderboard

SAMPLES = 10_000


def gan_entry(data: str, budget: float, seed: int):
    """Train lesson 20's GAN and measure 10,000 samples of its averaged generator."""
    generator, disc, cpu_s, seen = _train(data, budget, seed)
    with torch.no_grad():
        noise = generator.noise(SAMPLES, device.generator(seed + 1))
        samples = gan.to_pixels(torch.cat([generator(z) for z in noise.split(1000)]))
    judge = judges.judge(data)
    protocol = (
        f"trained on all {data} training images; {SAMPLES:,} unpicked samples of the "
        f"averaged generator against the 10,000 test images, by the {judge.name}"
    )
    told = {"metrics": score(samples, data, judge), "protocol": protocol}
    row = leaderboard.row("gan", data, budget, seed, (generator, disc), cpu_s, seen, **told)
    return row, {"samples": samples.numpy()}


def score(samples: torch.Tensor, data: str, judge: judges.Judge) -> dict[str, float]:
    """Return what a judge says of samples, uint8 (N, 1, 28, 28), of a digits set.

    frechet: distance to the test images; classes: how many of the 10 hold at least 1 % of the
    samples; smallest: the share of the rarest class.
    """
    real = judge.features(datasets.load(data, "test").images)
    labels = judge.classify(samples).argmax(dim=1)
    return {
        "frechet": metrics.frechet_distance(judge.features(samples), real),
        "classes": 10 * metrics.class_coverage(labels, 10),
        "smallest": labels.bincount(minlength=10).min().item() / len(labels),
    }


def _train(data: str, budget: float, seed: int):
    """Return the averaged generator, the discriminator, CPU seconds and images seen."""
    cfg = replace(gan.Config(), steps=leaderboard.NO_LIMIT)
    torch.manual_seed(seed)
    rng, gen, disc = device.generator(seed), gan.Generator(), gan.Discriminator()
    averaged = gan.Generator()
    averaged.load_state_dict(gen.state_dict())
    batches = gan.picture_batches(datasets.load(data, "train").images, cfg.batch_size, rng)
    stop, start = training.Budget(budget), time.process_time()
    history = gan.train_gan(cfg, gen, disc, batches, rng, averaged=averaged, should_stop=stop)
    cpu_s = time.process_time() - start
    return averaged, disc, cpu_s, len(history["loss_gen"][0]) * cfg.batch_size


PARTS = {}
ENTRIES = {"gan": gan_entry}
