"""How the judges were trained: `python3 -m course_lib.experiments.judges strokes mnist photos`."""

import argparse
import sys
from dataclasses import replace

import torch
from torch.nn import functional as F

from course_lib import damages, datasets, device, judges, settings, training
from course_lib.built import cnn

SEED = 0
TRAINABLE = (*settings.DATA_SETS, "photos")


def train_judge(data: str) -> dict:
    """Train the judge of a data set, write its weights and return the facts saved with them."""
    generator = device.generator(SEED)
    torch.manual_seed(SEED)
    model, _ = judges.untrained(data)
    train_one = _train_on_photos if data == "photos" else _train_on_digits
    facts = {"data": data, "seed": SEED} | train_one(data, model, generator)
    training.save_weights(judges.weights_path(data), model, **facts)
    return facts


def _train_on_digits(data: str, model, generator, steps: int = 3000) -> dict:
    train, test = datasets.load(data, "train"), datasets.load(data, "test")
    cfg = replace(cnn.Config(), steps=steps)
    cnn.train_classifier(model, cfg, train.images, train.labels, generator, augment=cnn.augment)
    accuracy = cnn.accuracy(model, test.images, test.labels)
    return {"lesson": 14, "steps": steps, "accuracy": round(accuracy, 5)}


def _train_on_photos(_data: str, model, generator, steps: int = 2000) -> dict:
    learn_damages(model, training_patches(), generator, steps)
    test = datasets.load("photos", "test").float()
    accuracy = damages.told_rightly(model, test, device.generator(SEED + 1)).mean().item()
    return {"lesson": 15, "steps": steps, "accuracy": round(accuracy, 5)}


def training_patches() -> torch.Tensor:
    """Return the patches of the training photographs, in colour and all in grey: (N, 3, 64, 64)."""
    kinds = [datasets.load("photos", "train", grey=grey).images for grey in (False, True)]
    return torch.cat([images.expand(-1, 3, -1, -1) for images in kinds])


def learn_damages(model, patches, generator, steps: int, batch_size: int = 12, lr: float = 0.003):
    """Train on patches uint8 (N, 3, H, H); in each step each patch comes in all its damages."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=lr)
    batches = datasets.batches(patches, batch_size=batch_size, generator=generator)
    model.train()
    with training.progress(steps, label="photo judge") as run:
        for step, (x,) in zip(run, batches, strict=False):
            optimiser.param_groups[0]["lr"] = lr * cnn.one_cycle(run.fraction)
            turned = torch.rot90(datasets.to_float(x), step % 4, (2, 3))
            x, kinds = damages.all_damages(turned, generator)
            loss = F.cross_entropy(model(x), kinds)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            run.log(loss=loss)


def main(argv: list[str]) -> int:
    """Train the named judges; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python3 -m course_lib.experiments.judges",
        description="Train judges and write their weights.",
    )
    parser.add_argument("data", nargs="+", choices=TRAINABLE)
    with training.ctrl_c_ends_all():
        for data in parser.parse_args(argv).data:
            print(train_judge(data))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
