"""The judges: networks of the course whose features measure how close two sets of pictures are.

For the digits sets the judge is lesson 14's network, trained on that set. Its weights come with the
course; `python3 -m course_lib.judges strokes mnist` trains them again.
"""

import argparse
import sys
from dataclasses import replace
from functools import cache

import torch

from course_lib import datasets, device, settings, training
from course_lib.built import cnn

SEED = 0


class Judge:
    """A trained classifier that is only asked, never trained: name it beside every score."""

    def __init__(self, name: str, model: torch.nn.Module, facts: dict):
        self.name, self.facts = name, facts
        self._model = model.eval()

    def features(self, images: torch.Tensor, batch_size: int = 500) -> torch.Tensor:
        """Return what the judge's last layer sees: (N, D) float64 on the CPU.

        images: uint8 (N, 1, 28, 28) in 0..255, or float in [0, 1]. Raises CourseError for others.
        """
        return self._ask(self._model.features, images, batch_size)

    def classify(self, images: torch.Tensor, batch_size: int = 500) -> torch.Tensor:
        """Return the probabilities of the classes, (N, K) float64 on the CPU; images as above."""
        return self._ask(self._model, images, batch_size).softmax(dim=1)

    def _ask(self, function, images, batch_size):
        x = _unit_range(images)
        with torch.no_grad():
            return torch.cat([function(part).double() for part in x.split(batch_size)])


def _unit_range(images: torch.Tensor) -> torch.Tensor:
    if images.ndim != 4 or images.shape[1:] != (1, 28, 28):
        raise settings.CourseError(
            f"The judge reads images (N, 1, 28, 28); these are {tuple(images.shape)}."
        )
    if images.dtype == torch.uint8:
        return datasets.to_float(images.cpu())
    low, high = images.min().item(), images.max().item()
    if not (low >= 0 and high <= 1):
        raise settings.CourseError(
            f"The judge reads floats in [0, 1]; these reach from {low:.3g} to {high:.3g}. Map the "
            "generator's range to [0, 1] first, or clip what sticks out on purpose."
        )
    return images.detach().float().cpu()


@cache
def judge(data: str) -> Judge:
    """Return the judge of a digits set; raises CourseError where there is none yet."""
    path = _weights_path(data)
    if not path.exists():
        raise settings.CourseError(
            f"There is no judge for {data!r} yet; python3 -m course_lib.judges {data} trains one."
        )
    model = cnn.CNN(cnn.Config().width)
    facts = training.load_weights(path, model)
    return Judge(f"{data} judge (lesson 14's CNN, {facts['accuracy']:.2%})", model, facts)


def _weights_path(data: str):
    return settings.weights_dir() / f"judge-{data}.safetensors"


def train_judge(data: str, steps: int = 3000) -> dict:
    """Train the judge of a digits set, write its weights and return the facts saved with them."""
    train, test = datasets.load(data, "train"), datasets.load(data, "test")
    cfg = replace(cnn.Config(), steps=steps)
    generator = device.generator(SEED)
    torch.manual_seed(SEED)
    model = cnn.CNN(cfg.width)
    cnn.train_classifier(model, cfg, train.images, train.labels, generator, augment=cnn.augment)
    accuracy = round(cnn.accuracy(model, test.images, test.labels), 5)
    facts = {"lesson": 14, "data": data, "seed": SEED, "steps": steps, "accuracy": accuracy}
    training.save_weights(_weights_path(data), model, **facts)
    return facts


def main(argv: list[str]) -> int:
    """Train the named judges; return the exit status."""
    parser = argparse.ArgumentParser(prog="python3 -m course_lib.judges", description=__doc__)
    parser.add_argument("data", nargs="+", choices=settings.DATA_SETS)
    for data in parser.parse_args(argv).data:
        print(train_judge(data))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
