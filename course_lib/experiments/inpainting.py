"""Lesson 53 on photographs: its entry of the leaderboard, and the weights that it ships.

The weights are made by `python3 -m course_lib.experiments.inpainting`, in 460 CPU seconds, or in as
many as the first argument says, after some 20 in which patches are filled.
"""

import copy
import sys
import time
from dataclasses import replace
from functools import partial

import torch

from course_lib import device, judges, metrics, trained, training
from course_lib.built import damage, denoising
from course_lib.built import inpainting as lesson
from course_lib.experiments import leaderboard

SIDE = 192  # pixels of the crops
SCENES = leaderboard.SCENES  # whole, beside the crops
LEAVES, PATCHES = 4, 8000  # PATCHES: filled before the training
MAKERS = lesson.free_form, partial(lesson.scratched, number=4)  # of holes, for training
HOLES = {"free-form": lesson.free_form, "scratches": lesson.scratched}
PLAIN = {"biharmonic": lesson.biharmonic, "harmonic": lesson.harmonic}
RATE = 2e-3
SECONDS = 460


def train(seconds: float, seed: int = 0):
    """Train lesson 53's refiner; return averaged weights, CPU seconds with the filling, steps."""
    torch.manual_seed(seed)
    start = time.process_time()
    rng, cfg = device.generator(seed), replace(denoising.Config(), steps=10**9, lr=RATE)
    pictures = denoising.training_pictures(rng, LEAVES)
    clean = denoising.clean_patches(*pictures, cfg.batch_size, cfg.side, rng)
    pool = lesson.fill_pool(clean, MAKERS, PATCHES, rng)
    net = lesson.Refiner(denoising.UNet(8)).to(memory_format=torch.channels_last)
    averaged = copy.deepcopy(net)
    pairs = lesson.refining_pairs(pool, cfg.batch_size, rng)
    options = {
        "loss": lesson.picture_loss,
        "averaged": averaged,
        "should_stop": training.Budget(seconds),
    }
    history = denoising.train_denoiser(cfg, net, pairs, **options)
    return averaged, time.process_time() - start, len(history["loss"][0])


def held_out() -> dict[str, list[torch.Tensor]]:
    """Return grey test pictures (1, 1, H, W) in [0, 1]: the named crops, and the whole scenes."""
    return leaderboard.photographs(SIDE, SCENES)


def score(repair, pictures, make) -> tuple[float, float]:
    """Return the mean PSNR in the hole, in dB, and the mean distance for the photos judge.

    repair(y, known) -> (1, 1, H, W); make(shape, rng) -> known, of a fixed seed for all.
    """
    rng, judge, found = device.generator(5), judges.judge("photos"), []
    for x in pictures:
        known = make(x.shape, rng)
        x_hat = repair(torch.where(known, x, 0), known).clamp(0, 1)
        hole = metrics.psnr(x_hat, x, data_range=1, where=~known)
        found.append((hole.item(), lesson.judge_distance(judge, x, x_hat).item()))
    return tuple(sum(each) / len(each) for each in zip(*found, strict=True))


def inpaint_entry(data: str, budget: float, seed: int):
    """Train lesson 53's refiner on the training photographs, whatever `data` says."""
    net, cpu_s, steps = train(budget, seed)
    test, repairs = held_out(), {"net": partial(lesson.inpaint, net)} | PLAIN
    found = {}
    for kind, pictures in test.items():
        for hole, make in HOLES.items():
            for name, repair in repairs.items():
                dB, far = score(repair, pictures, make)
                found |= {f"{name} {hole} {kind}": dB, f"{name} {hole} {kind} judge": far}
    protocol = (
        f"grey photographs, holes free-form (20 %) or six scratches; mean PSNR in dB in the hole, "
        f"and mean distance of the features of the {judges.judge('photos').name}, over the test "
        f"crops {', '.join(damage.TEST)} ({SIDE} x {SIDE}) and over the whole scenes "
        f"{', '.join(SCENES)}; trained on the other scenes and dead leaves"
    )
    seen = steps * denoising.Config().batch_size
    told = {"metrics": found, "protocol": protocol}
    row = leaderboard.row("inpaint", "photos", budget, seed, (net,), cpu_s, seen, **told)
    rng, arrays = device.generator(5), {}
    for name, x in zip(damage.TEST, test["crops"], strict=True):
        known = lesson.free_form(x.shape, rng)
        arrays[name] = lesson.inpaint(net, torch.where(known, x, 0), known).numpy()
    return row, arrays


def ship(seconds: float, seed: int = 0) -> dict:
    """Train the refiner, write its weights; return what is said of them."""
    net, cpu_s, steps = train(seconds, seed)
    net = net.half()
    facts = {"lesson": "53", "data": "photos", "seed": seed, "steps": steps}
    facts["CPU seconds"] = round(cpu_s)
    training.save_weights(trained.shipped_path("inpainter", "photos"), net, **facts)
    return facts


def main(argv: list[str]) -> int:
    """Train the shipped weights; the first argument is the CPU seconds."""
    with training.ctrl_c_ends_all():
        print(ship(float(argv[0]) if argv else SECONDS))
    return 0


PARTS = {}
ENTRIES = {"inpaint": inpaint_entry}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
