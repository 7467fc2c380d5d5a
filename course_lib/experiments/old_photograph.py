"""Lesson 52 on photographs: the weights that it ships, of the net that finds scratches and dust.

They are made by `python3 -m course_lib.experiments.old_photograph`, in 200 CPU seconds, or in as
many as the first argument says.
"""

import copy
import sys
import time
from dataclasses import replace

import torch
from torch.nn import functional as F

from course_lib import device, trained, training
from course_lib.built import damage, denoising
from course_lib.built import old_photograph as lesson

SIDE, BATCH, RATE, LEAVES = 96, 8, 3e-3, 2
CROP = 192  # pixels of the test crops
SECONDS = 200


def train(seconds: float, seed: int = 0):
    """Train lesson 52's finder; return its averaged weights, CPU seconds and steps."""
    torch.manual_seed(seed)
    rng = device.generator(seed)
    cfg = replace(denoising.Config(), steps=10**9, lr=RATE)
    pictures = denoising.training_pictures(rng, LEAVES)
    net = lesson.Finder().to(memory_format=torch.channels_last)
    averaged = copy.deepcopy(net)
    clean = denoising.clean_patches(*pictures, BATCH, SIDE, rng)
    stop, start = training.Budget(seconds), time.process_time()
    history = denoising.train_denoiser(
        cfg,
        net,
        lesson.dirty_pairs(clean, rng),
        loss=F.binary_cross_entropy_with_logits,
        averaged=averaged,
        should_stop=stop,
    )
    return averaged, time.process_time() - start, len(history["loss"][0])


@torch.no_grad()
def score(net) -> float:
    """Return the intersection over union of the dirt that net finds on the test crops, at 1/2."""
    x = torch.cat([*damage.crops(damage.TEST, CROP).values()])
    y, mask = damage.old_photograph(x, device.generator(1))
    found = net(y) > 0
    return ((found & mask).sum() / (found | mask).sum()).item()


def ship(seconds: float, seed: int = 0) -> dict:
    """Train the finder, write its weights in half precision; return what is said of them."""
    net, cpu_s, steps = train(seconds, seed)
    net = net.half()
    facts = {"lesson": "52", "data": "photos", "seed": seed, "steps": steps}
    facts["CPU seconds"] = round(cpu_s)
    facts["IoU"] = round(score(copy.deepcopy(net).float()), 3)
    training.save_weights(trained.shipped_path("scratch_finder", "photos"), net, **facts)
    return facts


def main(argv: list[str]) -> int:
    """Train the shipped weights; the first argument is the CPU seconds."""
    with training.ctrl_c_ends_all():
        print(ship(float(argv[0]) if argv else SECONDS))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
