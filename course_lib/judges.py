"""The judges: networks of the course whose features measure how close two sets of pictures are.

For a digits set the judge is lesson 14's network, trained on that set. For `photos` it is lesson
15's, which tells how a photograph was damaged; `random` is the control, filters that nobody
trained. `python3 -m course_lib.experiments.judges strokes mnist photos` makes the weights again.
"""

from functools import cache
from pathlib import Path

import torch
from torch import nn

from course_lib import cats, datasets, settings, trained, training
from course_lib.built import cnn, features
from course_lib.catnet import CatNet

DIGITS = ("cnn", cnn.CNN, (1, 28, 28))  # name of the weights, network, what it reads
NETWORKS = {
    "photos": ("photonet", features.PhotoNet, (3, None, None)),
    "cats": ("catnet", CatNet, (3, cats.SIDE, cats.SIDE)),
}


class Judge:
    """A network that is only asked, never trained: name it beside every score.

    shape: (C, H, W) of the pictures that it reads; None for any height or width.
    """

    def __init__(self, name: str, model: nn.Module, shape: tuple, facts: dict):
        self.name, self.shape, self.facts = name, shape, facts
        self._model = model.eval()

    def features(self, images: torch.Tensor, batch_size: int = 500) -> torch.Tensor:
        """Return what the judge's last layer sees: (N, D) float64 on the CPU.

        images: (N, C, H, W), uint8 in 0..255 or float in [0, 1]. Raises CourseError for others.
        """
        return self._ask(self._model.features, images, batch_size)

    def classify(self, images: torch.Tensor, batch_size: int = 500) -> torch.Tensor:
        """Return the probabilities of the classes, (N, K) float64 on the CPU; images as above."""
        return self._ask(self._model, images, batch_size).softmax(dim=1)

    def _ask(self, function, images, batch_size):
        x = self._readable(images)
        with torch.no_grad():
            return torch.cat([function(part).double() for part in x.split(batch_size)])

    def _readable(self, images: torch.Tensor) -> torch.Tensor:
        shape = tuple(images.shape[1:])
        fits = [want in (None, got) for want, got in zip(self.shape, shape, strict=False)]
        if len(shape) != 3 or not all(fits):
            wanted = ", ".join("any" if n is None else str(n) for n in self.shape)
            raise settings.CourseError(f"The judge reads (N, {wanted}), not {tuple(images.shape)}.")
        if images.dtype == torch.uint8:
            return datasets.to_float(images.cpu())
        low, high = images.min().item(), images.max().item()
        if not (low >= 0 and high <= 1):
            reach = f"The judge reads floats in [0, 1]; these reach from {low:.3g} to {high:.3g}"
            advice = "map the generator's range to [0, 1], or clip what sticks out on purpose"
            raise settings.CourseError(f"{reach}: {advice}.")
        return images.detach().float().cpu()


@cache
def judge(data: str) -> Judge:
    """Return the judge of a digits set, of "cats", "photos", or "random", the latter's control.

    Raises CourseError where there is none yet.
    """
    if data == "random":
        return Judge("random filters", features.RandomFilters(), (3, None, None), {})
    path = weights_path(data)
    if not path.exists():
        advice = f"python3 -m course_lib.experiments.judges {data} trains one"
        raise settings.CourseError(f"There is no judge for {data!r} yet; {advice}.")
    model, shape = untrained(data)
    facts = training.load_weights(path, model)
    return Judge(f"{data} judge ({facts['accuracy']:.2%} right)", model, shape, facts)


def untrained(data: str) -> tuple[nn.Module, tuple]:
    """Return the network of a judge before training, and the shape of what it reads."""
    _, network, shape = NETWORKS.get(data, DIGITS)
    return network(), shape


def weights_path(data: str) -> Path:
    """Return where the weights of a judge lie."""
    return trained.shipped_path(NETWORKS.get(data, DIGITS)[0], data)
