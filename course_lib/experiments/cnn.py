"""Lesson 14's network in the leaderboard, and its long experiments: examples, and depth."""

import time
from dataclasses import replace
from statistics import mean, stdev

import torch
from torch import nn

from course_lib import datasets, device, training
from course_lib.built import cnn
from course_lib.experiments import leaderboard

SEEDS = range(5)
SIZES = (100, 300, 1000, 3000, 10_000)
DEPTH = 12  # residual blocks


def examples(data_name: str) -> dict:
    """Lesson 14: test accuracy in per cent by number of training images, for three networks."""
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


class PlainBlock(cnn.ResidualBlock):
    """The same layers without the skip."""

    def forward(self, x):
        h = self.norm1(self.conv1(x)).relu()
        return self.norm2(self.conv2(h)).relu()


def depth(data_name: str) -> dict:
    """Lesson 14: test accuracy in per cent with 12 blocks, with and without norm and skip."""
    train, test = datasets.load(data_name, "train"), datasets.load(data_name, "test")
    cfg = replace(cnn.Config(), width=8, steps=250)
    arms = {
        "norm and skip": (nn.BatchNorm2d, cnn.ResidualBlock),
        "norm alone": (nn.BatchNorm2d, PlainBlock),
        "skip alone": (nn.Identity, cnn.ResidualBlock),
        "neither": (nn.Identity, PlainBlock),
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


def _train_and_read(name: str, data: str, test_data: str, budget: float, seed: int, protocol: str):
    """Train lesson 14's network within the budget; return the row and the arrays of this run."""
    train, test = datasets.load(data, "train"), datasets.load(test_data, "test")
    cfg = replace(cnn.Config(), steps=leaderboard.NO_LIMIT)
    generator, spent = device.generator(seed), training.Budget(budget)
    torch.manual_seed(seed)
    model = cnn.CNN(cfg.width)
    start = time.process_time()
    history = cnn.train_classifier(
        model, cfg, train.images, train.labels, generator, augment=cnn.augment, should_stop=spent
    )
    cpu_s = time.process_time() - start
    logits = cnn.predict(model, test.images)
    accuracy = (logits.argmax(1) == test.labels).double().mean().item()
    told = {"metrics": {"accuracy": accuracy}, "protocol": protocol}
    seen = (history["loss"][0][-1] + 1) * cfg.batch_size
    row = leaderboard.row(name, data, budget, seed, (model,), cpu_s, seen, **told)
    return row, {"logits": logits.numpy(), "labels": test.labels.numpy()}


def cnn_entry(data: str, budget: float, seed: int):
    """Measure lesson 14's network on the test images of the data it was trained on."""
    protocol = f"trained on all {data} training images, accuracy on its 10,000 test images"
    return _train_and_read("cnn", data, data, budget, seed, protocol)


def strokes_realism_entry(_data: str, budget: float, seed: int):
    """Measure how well a network that has only seen strokes reads real MNIST digits."""
    protocol = "trained on 60,000 strokes only, accuracy on MNIST's 10,000 test images"
    return _train_and_read("strokes-realism", "strokes", "mnist", budget, seed, protocol)


PARTS = {"examples": examples, "depth": depth}
ENTRIES = {"cnn": cnn_entry, "strokes-realism": strokes_realism_entry}
