"""The judges: networks of the course whose features measure how close two sets of pictures are.

For a digits set the judge is lesson 14's network, trained on that set. For `photos` it is a small
network that tells how a patch was turned and damaged; `random` is the control, filters that nobody
trained. `python3 -m course_lib.judges strokes mnist photos` makes the weights again.
"""

import argparse
import sys
from dataclasses import replace
from functools import cache

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import datasets, device, settings, trained, training
from course_lib.built import cnn

SEED = 0
DAMAGES = ("none", "noise", "blur", "blocks", "faded")
TRAINABLE = (*settings.DATA_SETS, "photos")


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
            found = tuple(images.shape)
            raise settings.CourseError(f"The judge reads images (N, {wanted}); these are {found}.")
        if images.dtype == torch.uint8:
            return datasets.to_float(images.cpu())
        low, high = images.min().item(), images.max().item()
        if not (low >= 0 and high <= 1):
            raise settings.CourseError(
                f"The judge reads floats in [0, 1]; these reach from {low:.3g} to {high:.3g}. Map "
                "the generator's range to [0, 1] first, or clip what sticks out on purpose."
            )
        return images.detach().float().cpu()


class PhotoNet(nn.Module):
    """Tell how patches (B, 3, H, W) were turned and damaged: logits (B, 4 turns x 5 damages)."""

    def __init__(self, widths=(24, 48, 96, 96)):
        super().__init__()
        layers, channels = [], 3
        for width in widths:
            layers += [nn.Conv2d(channels, width, 3, stride=2, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        self.layers = nn.Sequential(*layers)
        self.linear = nn.Linear(channels, 4 * len(DAMAGES))

    def features(self, x):
        """Return the mean of the last layer over all positions: (B, 96)."""
        return self.layers(x).mean(dim=(2, 3))

    def forward(self, x):
        return self.linear(self.features(x))


class RandomFilters(nn.Module):
    """The control: 32 random zero-mean 7x7 filters at three scales, their mean size and spread."""

    def __init__(self):
        super().__init__()
        kernels = torch.randn(32, 3, 7, 7, generator=device.generator(SEED))
        self.register_buffer("kernels", kernels - kernels.mean(dim=(1, 2, 3), keepdim=True))

    def features(self, x):
        """Return (B, 192): of each filter and scale, the mean of |y| and the deviation of y."""
        seen = [F.conv2d(F.avg_pool2d(x, scale), self.kernels) for scale in (1, 2, 4)]
        return torch.cat([part for y in seen for part in _mean_and_spread(y)], dim=1)


def _mean_and_spread(y):
    return y.abs().mean(dim=(2, 3)), y.std(dim=(2, 3))


def damage(x: torch.Tensor, kind: str, generator: torch.Generator) -> torch.Tensor:
    """Damage patches (B, 3, H, W) in [0, 1], H and W divisible by 4; kind: one of DAMAGES."""
    if kind == "noise":
        return (x + 0.1 * torch.randn(x.shape, generator=generator)).clamp(0, 1)
    if kind == "blur":
        return F.avg_pool2d(F.pad(x, (2, 2, 2, 2), mode="replicate"), 5, stride=1)
    if kind == "blocks":
        return F.interpolate(F.avg_pool2d(x, 4), scale_factor=4.0)
    return 0.3 + 0.4 * x if kind == "faded" else x


def turned_and_damaged(x: torch.Tensor, generator: torch.Generator):
    """Return patches in all 4 turns and 5 damages, (20 B, 3, H, W), and their classes (20 B,)."""
    turns = [torch.rot90(x, turn, dims=(2, 3)) for turn in range(4)]
    made = [damage(turned, kind, generator) for turned in turns for kind in DAMAGES]
    return torch.cat(made), torch.arange(len(made)).repeat_interleave(len(x))


@cache
def judge(data: str) -> Judge:
    """Return the judge of a digits set, of "photos", or the control "random" for photographs.

    Raises CourseError where there is none yet.
    """
    if data == "random":
        return Judge("random filters", RandomFilters(), (3, None, None), {})
    path = _weights_path(data)
    if not path.exists():
        raise settings.CourseError(
            f"There is no judge for {data!r} yet; python3 -m course_lib.judges {data} trains one."
        )
    model, shape = _untrained(data)
    facts = training.load_weights(path, model)
    return Judge(f"{data} judge ({facts['accuracy']:.2%} right)", model, shape, facts)


def _untrained(data: str) -> tuple[nn.Module, tuple]:
    if data == "photos":
        return PhotoNet(), (3, None, None)
    return cnn.CNN(cnn.Config().width), (1, 28, 28)


def _weights_path(data: str):
    return trained.shipped_path("photonet" if data == "photos" else "cnn", data)


def train_judge(data: str) -> dict:
    """Train the judge of a data set, write its weights and return the facts saved with them."""
    generator = device.generator(SEED)
    torch.manual_seed(SEED)
    model, _ = _untrained(data)
    train_one = _train_on_photos if data == "photos" else _train_on_digits
    facts = {"data": data, "seed": SEED} | train_one(data, model, generator)
    training.save_weights(_weights_path(data), model, **facts)
    return facts


def _train_on_digits(data: str, model, generator, steps: int = 3000) -> dict:
    train, test = datasets.load(data, "train"), datasets.load(data, "test")
    cfg = replace(cnn.Config(), steps=steps)
    cnn.train_classifier(model, cfg, train.images, train.labels, generator, augment=cnn.augment)
    accuracy = cnn.accuracy(model, test.images, test.labels)
    return {"lesson": 14, "steps": steps, "accuracy": round(accuracy, 5)}


def _train_on_photos(_data: str, model, generator, steps: int = 2000) -> dict:
    train, test = (datasets.load("photos", split, patch=64) for split in ("train", "test"))
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.003, weight_decay=0.01)
    batches = datasets.batches(train.images, batch_size=8, generator=generator)
    with training.progress(steps, label="photos judge") as run:
        for _, (images,) in zip(run, batches, strict=False):
            optimiser.param_groups[0]["lr"] = 0.003 * cnn.one_cycle(run.fraction)
            x, y = turned_and_damaged(datasets.to_float(images), generator)
            loss = F.cross_entropy(model(x), y)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            run.log(loss=loss)
    return {"lesson": 15, "steps": steps} | photo_scores(model, test.float(), generator)


def photo_scores(model: nn.Module, patches: torch.Tensor, generator) -> dict:
    """Return the shares of damages (accuracy) and of turns that a PhotoNet tells rightly."""
    x, y = turned_and_damaged(patches, generator)
    with torch.no_grad():
        told = torch.cat([model.eval()(part).argmax(1) for part in x.split(500)])
    kinds = len(DAMAGES)
    damage_right = (told % kinds == y % kinds).double().mean().item()
    turn_right = (told // kinds == y // kinds).double().mean().item()
    return {"accuracy": round(damage_right, 5), "turn_accuracy": round(turn_right, 5)}


def main(argv: list[str]) -> int:
    """Train the named judges; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python3 -m course_lib.judges", description="Train judges and write their weights."
    )
    parser.add_argument("data", nargs="+", choices=TRAINABLE)
    with training.ctrl_c_ends_all():
        for data in parser.parse_args(argv).data:
            print(train_judge(data))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
