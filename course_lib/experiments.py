"""The long experiments: what a lesson tabulates but is too slow to run inside it.

`python3 -m course_lib bench --experiment NN` runs one and writes data/results/NN.json.
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
DEPTH = 12  # residual blocks


def examples(data_name: str) -> dict:
    """Lesson 14: test accuracy in per cent by number of training images, for three networks."""
    import torch

    from course_lib import datasets, device
    from course_lib.built import cnn

    train, test = datasets.load(data_name, "train"), datasets.load(data_name, "test")
    cfg = replace(cnn.Config(), steps=250)
    nets = {
        "two layers": (cnn.two_layers, 0.002),
        "CNN, flatten": (lambda: cnn.CNN(cfg.width, head="flatten"), cfg.lr),
        "CNN, pool": (lambda: cnn.CNN(cfg.width), cfg.lr),
    }
    scores = {name: {size: [] for size in SIZES} for name in nets}
    for seed in SEEDS:
        order = torch.randperm(len(train), generator=device.generator(seed))
        for size in SIZES:
            some = train.subset(order[:size])
            for name, (net, lr) in nets.items():
                torch.manual_seed(seed)
                model, generator = net(), device.generator(seed)
                arm = replace(cfg, lr=lr, batch_size=min(cfg.batch_size, size))
                cnn.train_classifier(model, arm, some.images, some.labels, generator)
                scores[name][size].append(cnn.accuracy(model, test.images, test.labels))
    return {name: _summary(row.values()) for name, row in scores.items()}


def depth(data_name: str) -> dict:
    """Lesson 14: test accuracy in per cent with 12 blocks, with and without norm and skip."""
    import torch
    from torch import nn

    from course_lib import datasets, device
    from course_lib.built import cnn

    class PlainBlock(cnn.ResidualBlock):
        """The same layers without the skip."""

        def forward(self, x):
            h = self.norm1(self.conv1(x)).relu()
            return self.norm2(self.conv2(h)).relu()

    def no_norm(channels):
        return nn.Identity()

    train, test = datasets.load(data_name, "train"), datasets.load(data_name, "test")
    cfg = replace(cnn.Config(), width=8, steps=250)
    arms = {
        "norm and skip": (nn.BatchNorm2d, cnn.ResidualBlock),
        "norm alone": (nn.BatchNorm2d, PlainBlock),
        "skip alone": (no_norm, cnn.ResidualBlock),
        "neither": (no_norm, PlainBlock),
    }
    scores = {name: [] for name in arms}
    for seed in SEEDS:
        for name, (norm, block) in arms.items():
            torch.manual_seed(seed)
            model = cnn.CNN(cfg.width, norm=norm)
            model.block = nn.Sequential(*(block(2 * cfg.width, norm) for _ in range(DEPTH)))
            cnn.train_classifier(model, cfg, train.images, train.labels, device.generator(seed))
            scores[name].append(cnn.accuracy(model, test.images, test.labels))
    return {name: _summary([values]) for name, values in scores.items()}


def _summary(groups) -> dict:
    """Return mean and standard deviation, in per cent, of each group of shares."""
    groups = [[100 * share for share in group] for group in groups]
    return {
        "mean": [round(mean(group), 2) for group in groups],
        "std": [round(stdev(group), 2) for group in groups],
    }


EXPERIMENTS = {"14": {"examples": examples, "depth": depth}}


def results_path(number: str) -> Path:
    """Return where the figures of a lesson's experiment lie."""
    return settings.ROOT / "data" / "results" / f"{number}.json"


def run(number: str) -> Path:
    """Run the experiment of a lesson for each digits set at hand; write and return its file."""
    import torch

    from course_lib import exporting, lessons

    source = next(path for path in lessons.sources() if path.name.startswith(number))
    facts = {
        "command": f"python3 -m course_lib bench --experiment {number}",
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
            parts = EXPERIMENTS[number].items()
            facts["data"][name] = {part: measure(name) for part, measure in parts}
        except settings.CourseError as error:
            print(f"{name} is left out: {error}")
    facts["seconds"] = round(time.monotonic() - begun)
    with settings.atomic(results_path(number)) as path:
        path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return results_path(number)
