"""The long experiments: what a lesson tabulates but is too slow to run inside it.

`python -m course_lib bench --experiment NN` runs one and writes data/results/NN.json.
"""

import json
import platform
import time
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev

from course_lib import settings

SEEDS = range(5)
SIZES = (100, 300, 1000, 3000, 10_000)


def lesson_14(data_name: str) -> dict:
    """Test accuracy in per cent by number of training images: two layers, CNN with both heads."""
    import torch

    from course_lib import datasets, device
    from course_lib.built import cnn

    train, test = datasets.load(data_name, "train"), datasets.load(data_name, "test")
    cfg = replace(cnn.Config(), steps=400)
    nets = {
        "two layers": (cnn.two_layers, 0.002),
        "CNN, flatten": (lambda: cnn.CNN(cfg.width, head="flatten"), cfg.lr),
        "CNN, pool": (lambda: cnn.CNN(cfg.width), cfg.lr),
    }
    accuracy = {name: {size: [] for size in SIZES} for name in nets}
    for seed in SEEDS:
        generator = device.generator(seed)
        order = torch.randperm(len(train), generator=generator)
        for size in SIZES:
            some = train.subset(order[:size])
            for name, (net, lr) in nets.items():
                torch.manual_seed(seed)
                model = net()
                arm = replace(cfg, lr=lr, batch_size=min(cfg.batch_size, size))
                cnn.train_classifier(model, arm, some.images, some.labels, generator)
                accuracy[name][size].append(cnn.accuracy(model, test.images, test.labels))
    return {
        name: {
            "mean": [round(100 * mean(values), 2) for values in row.values()],
            "std": [round(100 * stdev(values), 2) for values in row.values()],
        }
        for name, row in accuracy.items()
    }


EXPERIMENTS = {"14": lesson_14}


def results_path(number: str) -> Path:
    """Return where the figures of a lesson's experiment lie."""
    return settings.ROOT / "data" / "results" / f"{number}.json"


def run(number: str) -> Path:
    """Run the experiment of a lesson for each digits set at hand; write and return its file."""
    import torch

    from course_lib import exporting, lessons

    source = next(path for path in lessons.sources() if path.name.startswith(number))
    facts = {
        "command": f"python -m course_lib bench --experiment {number}",
        "seeds": len(SEEDS),
        "sizes": SIZES,
        "torch": torch.__version__,
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "code": exporting.code_hash(lessons.built_path(source)),
        "data": {},
    }
    begun = time.monotonic()
    for name in ("strokes", "mnist"):
        try:
            facts["data"][name] = EXPERIMENTS[number](name)
        except settings.CourseError as error:
            print(f"{name} is left out: {error}")
    facts["seconds"] = round(time.monotonic() - begun)
    with settings.atomic(results_path(number)) as path:
        path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return results_path(number)
