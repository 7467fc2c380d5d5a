"""How the judge of the cats was trained: `python3 -m course_lib.experiments.catnet`."""

import sys

import torch
from torch.nn import functional as F

from course_lib import cats, datasets, judges, training
from course_lib.catnet import HEADS, CatNet
from course_lib.cats import CHOICES, RANGES

STEPS, BATCH, RATE = 6000, 64, 0.003


def attribute_loss(told: dict, true: dict, shown: dict) -> torch.Tensor:
    """Return the sum of all attributes' losses, each the mean over the cats that show it.

    Cross-entropy for choices; for numbers twice the squared error, in units of half their range.
    """
    total = 0.0
    for name in HEADS:
        if name in CHOICES:
            each = F.cross_entropy(told[name], true[name], reduction="none")
        else:
            _, low, high = RANGES[name]
            each = 2 * ((told[name] - true[name]) * 2 / (high - low)).square()
        total = total + (each * shown[name]).sum() / shown[name].sum().clamp_min(1)
    return total


@torch.no_grad()
def scores(model: CatNet, data: datasets.Dataset) -> dict[str, float]:
    """Return the share read rightly of each choice, and R² of each number, where it shows."""
    parts = [model.eval().attributes(part) for part in data.float().split(500)]
    shown, result = cats.visible(data.factors), {}
    for name in HEADS:
        told = torch.cat([part[name] for part in parts])[shown[name]].double()
        true = data.factors[name][shown[name]].double()
        if name in CHOICES:
            result[name] = (told.argmax(1) == true).double().mean().item()
        else:
            result[name] = 1 - ((told - true).square().mean() / true.var(correction=0)).item()
    return result


def train(seed: int = 0, steps: int = STEPS) -> CatNet:
    """Return a network trained on the 20,000 cats."""
    data, generator = datasets.load("cats", "train"), torch.Generator().manual_seed(seed)
    true, shown = data.factors, cats.visible(data.factors)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = CatNet().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, steps)
    rows = datasets.batches(torch.arange(len(data)), batch_size=BATCH, generator=generator)
    with training.progress(steps, label="cats judge") as run:
        for _, (i,) in zip(run, rows, strict=False):
            x = datasets.to_float(data.images[i]).to(memory_format=torch.channels_last)
            y, seen = ({name: values[i] for name, values in d.items()} for d in (true, shown))
            loss = attribute_loss(model.attributes(x), y, seen)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            run.log(loss=loss)
    return model


def main() -> int:
    """Train the judge, print its scores and write its weights; return the exit status."""
    with training.ctrl_c_ends_all():
        model = train()
    each = scores(model, datasets.load("cats", "test"))
    print(*(f"{name:12}{value:.4f}" for name, value in each.items()), sep="\n")
    means = [sum(each[name] for name in names) / len(names) for names in (CHOICES, RANGES)]
    facts = {"accuracy": round(means[0], 5), "r2": round(means[1], 5), "seed": 0, "steps": STEPS}
    training.save_weights(judges.weights_path("cats"), model, data="cats", **facts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
