"""How the generator of lesson 00 was made: `python3 -m course_lib.experiments.firstlook`.

Four minutes on one core.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import datasets, device, judges, trained, training
from course_lib.firstlook import NUMBERS, Generator, shares


def train(seed: int = 0, steps: int = 40_000) -> dict:
    """Train generator and encoder, write the generator's weights and return their facts.

    Kingma and Welling (2014), appendix C; Sohn et al. (2015), section 4. Strongest number first.
    """
    torch.manual_seed(seed)
    draw, model, data = device.generator(seed), Generator(), datasets.load("strokes", "train")
    layers = [nn.Linear(784 + 10, 256), nn.SiLU(), nn.Linear(256, 128), nn.SiLU()]
    encoder = nn.Sequential(*layers, nn.Linear(128, 2 * NUMBERS))
    batches = datasets.batches(data.images, data.labels, batch_size=128, generator=draw)
    optimiser = torch.optim.Adam([*model.parameters(), *encoder.parameters()])
    with training.progress(steps, label="firstlook") as run:
        for _, (x, y) in zip(run, batches, strict=False):
            optimiser.param_groups[0]["lr"] = 0.0015 * (1 + math.cos(math.pi * run.fraction))
            x, y = x / 255, F.one_hot(y, 10).float()
            mu, logvar = encoder(torch.cat([x.flatten(1), y], dim=1)).chunk(2, dim=1)
            z = mu + torch.randn(mu.shape, generator=draw) * (0.5 * logvar).exp()
            rec = F.binary_cross_entropy(model(y, z), x, reduction="sum") / len(x)
            kl = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(dim=1).mean()
            optimiser.zero_grad()
            (rec + kl).backward()
            optimiser.step()
            run.log(rec=rec, kl=kl)
    ones, digits = torch.eye(NUMBERS).repeat_interleave(10, dim=0), torch.eye(10).repeat(NUMBERS, 1)
    model.requires_grad_(False)
    change = (model(digits, ones) - model(digits, -ones)).square().view(NUMBERS, -1).sum(dim=1)
    model.first.weight[:, 10:] = model.first.weight[:, 10:][:, change.argsort(descending=True)]
    facts = {"lesson": "00", "data": "strokes", "seed": seed, "steps": steps}
    facts |= {"read_as_asked": round(read_as_asked(model, draw), 3)}
    training.save_weights(trained.shipped_path("firstlook", "strokes"), model.half(), **facts)
    return facts


def read_as_asked(model: Generator, draw: torch.Generator, count: int = 2000) -> float:
    """Return the share of digits, all numbers drawn from N(0, 1), that the judge reads as asked."""
    asked = torch.arange(count) % 10
    drawn = model(shares(asked), torch.randn(count, NUMBERS, generator=draw))
    return (judges.judge("strokes").classify(drawn).argmax(1) == asked).double().mean().item()


if __name__ == "__main__":
    print(train())
