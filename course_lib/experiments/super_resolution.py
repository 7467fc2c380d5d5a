"""Lesson 54 on photographs: its entry of the leaderboard, and the weights that it ships.

The weights are made by `python3 -m course_lib.experiments.super_resolution`, in 300 CPU seconds for
each factor, or in as many as the first argument says.
"""

import copy
import sys
import time
from dataclasses import replace

import torch
from torch.nn import functional as F

from course_lib import device, judges, trained, training
from course_lib.built import damage
from course_lib.built import super_resolution as lesson
from course_lib.built.denoising import clean_patches, train_denoiser, training_pictures
from course_lib.built.inpainting import judge_distance
from course_lib.experiments import leaderboard

FACTORS = 2, 3
SIDE = 192  # pixels of the test crops
PATCH = 96  # pixels of a large training patch
SCENES = leaderboard.SCENES  # whole, beside the crops
LEAVES = 4
SECONDS = 300  # of each factor


def pairs(clean, factor: int):
    """Yield ((y,), x) endlessly, y being x shrunk."""
    for x in clean:
        yield (lesson.shrunk(x, factor),), x


def train(factor: int, seconds: float, seed: int = 0):
    """Train lesson 54's enlarger; return its averaged weights, CPU seconds and steps."""
    torch.manual_seed(seed)
    rng, cfg = device.generator(seed), replace(lesson.Config(), steps=10**9, side=PATCH)
    pictures = training_pictures(rng, LEAVES)
    net = lesson.Enlarger(lesson.Chain(factor), factor).to(memory_format=torch.channels_last)
    averaged = copy.deepcopy(net)
    clean = clean_patches(*pictures, cfg.batch_size, cfg.side, rng)
    stop, start = training.Budget(seconds), time.process_time()
    seen = pairs(clean, factor)
    history = train_denoiser(cfg, net, seen, averaged=averaged, should_stop=stop)
    return averaged, time.process_time() - start, len(history["loss"][0])


def held_out() -> dict[str, list[torch.Tensor]]:
    """Return grey test pictures (1, 1, H, W) in [0, 1], H and W multiples of 6."""
    found = leaderboard.photographs(SIDE, SCENES)
    whole = [x[..., : x.shape[2] // 6 * 6, : x.shape[3] // 6 * 6] for x in found["pictures"]]
    return found | {"pictures": whole}


def answers(enlarge, pictures, factor: int) -> list[torch.Tensor]:
    """Return enlarge(y) in [0, 1] of each picture, y being the picture shrunk."""
    return [enlarge(lesson.shrunk(x, factor)).clamp(0, 1) for x in pictures]


def score(found, pictures) -> float:
    """Return the mean PSNR in dB of the answers found, 4 pixels at the border left out."""
    both = zip(pictures, found, strict=True)
    return sum(lesson.luma_psnr(x, x_hat).item() for x, x_hat in both) / len(pictures)


def judged(found, pictures) -> float:
    """Return the mean distance between answers and truth in the photograph judge's features."""
    judge, both = judges.judge("photos"), zip(pictures, found, strict=True)
    return sum(judge_distance(judge, *each).item() for each in both) / len(pictures)


def methods(net, factor: int) -> dict:
    """Return name -> y -> x_hat: a net, and the two cubics that are called bicubic."""
    return {
        "net": torch.no_grad()(net),
        "bicubic": lambda y: lesson.enlarged(y, factor),
        "bicubic -0.75": lambda y: F.interpolate(y, scale_factor=factor, mode="bicubic"),
    }


def measured(net, factor: int):
    """Return name -> number, and the net's answers to the test crops."""
    found, kept = {}, None
    for kind, pictures in held_out().items():
        for name, enlarge in methods(net, factor).items():
            made = answers(enlarge, pictures, factor)
            found[f"x{factor} {name} {kind}"] = score(made, pictures)
            if kind == "crops":
                found[f"x{factor} {name} judge"] = judged(made, pictures)
                kept = made if name == "net" else kept
    return found, kept


def superres_entry(data: str, budget: float, seed: int):
    """Train an enlarger for each factor, half the budget each, whatever `data` says."""
    metrics, arrays, nets, cpu_s, steps = {}, {}, [], 0, 0
    for factor in FACTORS:
        net, spent, took = train(factor, budget / len(FACTORS), seed)
        found, crops = measured(net, factor)
        metrics |= found
        arrays |= {
            f"{name} x{factor}": x.numpy() for name, x in zip(damage.TEST, crops, strict=True)
        }
        nets, cpu_s, steps = [*nets, net], cpu_s + spent, steps + took
    protocol = (
        f"luma, shrunk by the antialiased cubic (a = -1/2), 4 pixels at the border left out; mean "
        f"PSNR in dB over the test crops {', '.join(damage.TEST)} ({SIDE} x {SIDE}) and over the "
        f"whole scenes {', '.join(SCENES)}; judge: distance from the truth in the features of "
        f"the {judges.judge('photos').name}, mean over the crops; trained on the other scenes and "
        "dead leaves; bicubic: a = -1/2; the other is torch's without antialiasing"
    )
    seen = steps * lesson.Config.batch_size
    told = {"metrics": metrics, "protocol": protocol}
    return leaderboard.row("superres", "photos", budget, seed, nets, cpu_s, seen, **told), arrays


def ship(seconds: float, seed: int = 0) -> dict:
    """Train both enlargers, write their weights; return what is said of them."""
    both = lesson.enlargers()
    facts = {"lesson": "54", "data": "photos", "seed": seed}
    for factor in FACTORS:
        net, cpu_s, steps = train(factor, seconds, seed)
        both[f"x{factor}"] = net.half()
        found = measured(copy.deepcopy(net).float(), factor)[0]
        facts[f"x{factor}: steps"], facts[f"x{factor}: CPU seconds"] = steps, round(cpu_s)
        facts[f"x{factor}: dB"] = round(found[f"x{factor} net crops"], 2)
    training.save_weights(trained.shipped_path("enlarger", "photos"), both, **facts)
    return facts


def main(argv: list[str]) -> int:
    """Train the shipped weights; the first argument is the CPU seconds of each factor."""
    with training.ctrl_c_ends_all():
        print(ship(float(argv[0]) if argv else SECONDS))
    return 0


PARTS = {}
ENTRIES = {"superres": superres_entry}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
