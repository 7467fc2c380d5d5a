"""Lesson 43's pixel net in the leaderboard: bits/dim of test digits in 256 greys, and samples."""

import time
from dataclasses import replace

import torch

from course_lib import datasets, device, judges, training
from course_lib.built import greys_and_colour
from course_lib.experiments import leaderboard
from course_lib.experiments.gan import score

HIDDEN = 384  # wider than the lesson's
TESTED = 2000  # test images, the first ones, whose bits are counted
SAMPLES = 5000  # half of the others: drawing takes minutes
AT_ONCE = 1000  # pictures drawn side by side


def pixelcnn_entry(data: str, budget: float, seed: int):
    """Train lesson 43's net on 256 greys; measure bits/dim of test images, and samples."""
    net, cpu_s, seen = _train(data, budget, seed)
    rng, judge = device.generator(seed + 1), judges.judge(data)
    test = datasets.load(data, "test").images[:TESTED, 0]
    bits = greys_and_colour.bits_per_pixel(net, test).mean().item()
    parts = range(0, SAMPLES, AT_ONCE)
    samples = [greys_and_colour.sample(net, min(AT_ONCE, SAMPLES - k), rng) for k in parts]
    samples = torch.cat(samples)[:, None]
    protocol = (
        f"trained on pixels of all {data} training images, 256 greys; bits_per_dim of the first "
        f"{len(test):,} test images; {SAMPLES:,} unpicked samples against the 10,000 test images, "
        f"by the {judge.name}"
    )
    told = {
        "metrics": {"bits_per_dim": bits} | score(samples, data, judge),
        "protocol": protocol,
    }
    row = leaderboard.row("pixelcnn", data, budget, seed, (net,), cpu_s, seen, **told)
    return row, {"samples": samples.numpy()}


def _train(data: str, budget: float, seed: int):
    """Return the net, CPU seconds, and the pixels that were seen, in pictures of 784."""
    cfg = replace(greys_and_colour.Config(), steps=leaderboard.NO_LIMIT)
    torch.manual_seed(seed)
    net = greys_and_colour.PixelNet(256, hidden=HIDDEN)
    images, seen = datasets.load(data, "train").images[:, 0], []
    counter = net.register_forward_hook(lambda net, given, logits: seen.append(len(logits)))
    rng, stop, start = device.generator(seed), training.Budget(budget), time.process_time()
    greys_and_colour.train_pixels(cfg, net, images, rng, should_stop=stop)
    cpu_s = time.process_time() - start
    counter.remove()
    return net, cpu_s, sum(seen) // images[0].numel()


PARTS = {}
ENTRIES = {"pixelcnn": pixelcnn_entry}
