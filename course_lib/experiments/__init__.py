"""What a lesson brings to the leaderboard, and what it tabulates but is too slow to run inside it.

`python3 -m course_lib bench --experiment NN` runs an experiment and writes data/results/NN.json.
There is a module for each lesson: PARTS, functions of a data set's name, with SEEDS and SIZES; and
ENTRIES, functions of (data, CPU seconds, seed) that return a row and the arrays for --save.
"""

import json
import platform
import time
from pathlib import Path

import torch

from course_lib import exporting, lessons, settings
from course_lib.experiments import (
    cnn,
    conditional_gan,
    dcgan,
    denoising,
    gan,
    inpainting,
    pixelcnn,
    stable_gans,
    super_resolution,
    vae,
    vae_likelihoods,
)

MODULES = {
    "14": cnn,
    "20": gan,
    "21": dcgan,
    "22": conditional_gan,
    "24": stable_gans,
    "31": vae,
    "32": vae_likelihoods,
    "43": pixelcnn,
    "51": denoising,
    "53": inpainting,
    "54": super_resolution,
}
EXPERIMENTS = {number: module.PARTS for number, module in MODULES.items() if module.PARTS}
ENTRIES = {name: entry for module in MODULES.values() for name, entry in module.ENTRIES.items()}


def results_path(number: str) -> Path:
    """Return where the figures of a lesson's experiment lie."""
    return settings.ROOT / "data" / "results" / f"{number}.json"


def run(number: str) -> Path:
    """Run the experiment of a lesson for each digits set at hand; write and return its file."""
    source = next(path for path in lessons.sources() if path.name.startswith(number))
    facts = {
        "command": f"python3 -m course_lib bench --experiment {number}",
        "seeds": len(MODULES[number].SEEDS),
        "sizes": MODULES[number].SIZES,
        "torch": torch.__version__,
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "code": exporting.code_hash(lessons.built_path(source)),
        "data": {},
    }
    begun = time.monotonic()
    for name in ("strokes", "mnist"):
        try:
            parts = EXPERIMENTS[number].items()
            facts["data"][name] = {part: measure(name) for part, measure in parts}
        except settings.CourseError as error:
            print(f"{name} is left out: {error}")
    facts["seconds"] = round(time.monotonic() - begun)
    with settings.atomic(results_path(number)) as path:
        path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return results_path(number)
