"""The features of lesson 55: a small network that learns to tell textures apart.

The weights are made by `python3 -m course_lib.experiments.style_transfer`, in 100 CPU seconds, or
in as many as the first argument says. It sees training photographs (brick, grass, gravel, tissue,
coffee and others), and drawings of the kinds that the lesson takes as styles, with other seeds.
No test scene is trained on.
"""

import math
import sys
import time

import torch
from torch.nn import functional as F

from course_lib import datasets, device, images, trained, training
from course_lib.built import style_transfer as lesson
from course_lib.experiments import styles
from course_lib.photos import PHOTOGRAPHS

SIDE, CROP, BATCH = 384, 48, 32  # pixels of a texture and of a crop; crops in a batch
RATE, SECONDS = 2e-3, 100
PALETTES = styles.NIGHT, styles.GLASS, styles.INK
LEAVES = (3, 20, 6000), (6, 60, 3000), (12, 200, 800)  # smallest, largest radius, number


def textures() -> torch.Tensor:
    """Return the textures (K, 3, SIDE, SIDE) in [0, 1]: training photographs, and drawn ones."""
    names = [name for name, (_, split, _) in PHOTOGRAPHS.items() if split == "train"]
    names.remove("motorcycle_right")  # the same scene as the left one
    found = [images.fit(datasets.photograph(name), SIDE)[None] / 255 for name in names]
    for k in range(8):
        length, grain = (6, 12, 24, 40)[k % 4], (2, 3, 5, 8)[k // 2]
        found.append(styles.brush(SIDE, device.generator(10 + k), PALETTES[k % 3], length, grain))
    for k, cells in enumerate((6, 10, 16, 24, 36, 60)):
        found.append(
            styles.stained_glass(SIDE, device.generator(30 + k), cells=cells, lead=3 - k / 3)
        )
    for k, (smallest, largest, number) in enumerate(LEAVES):
        rng = device.generator(50 + k)
        found.append(styles.cut_paper(SIDE, rng, PALETTES[k], smallest, largest, number))
    for k, pitch in enumerate((3, 4, 5, 7, 9, 12, 16)):
        rng = device.generator(70 + k)
        found.append(styles.hatching(SIDE, rng, pitch=pitch, angle=k * math.pi / 7, bend=k % 3 * 6))
    for k, cells in enumerate((200, 100, 50, 25)):
        rng = device.generator(90 + k)
        sheet = torch.stack([styles.waves(SIDE, cells, rng) for _ in range(3)])
        found.append((0.5 + 0.2 * sheet).clamp(0, 1)[None])
    return torch.cat(found)


def crops(pool: list[torch.Tensor], rng):
    """Yield endless crops (BATCH, 3, CROP, CROP) and the number of the texture of each.

    pool: the textures at several sizes. Contrast, and often the order of the channels, change.
    """
    while True:
        for sheets in pool:
            kinds = torch.randint(len(sheets), (BATCH,), generator=rng)
            corners = torch.randint(sheets.shape[2] - CROP, (BATCH, 2), generator=rng).tolist()
            cut = [
                sheets[k, :, i : i + CROP, j : j + CROP]
                for k, (i, j) in zip(kinds.tolist(), corners, strict=True)
            ]
            mixed = torch.rand((), generator=rng) < 0.7
            order = torch.randperm(3, generator=rng) if mixed else torch.arange(3)
            gain, base = torch.rand(2, BATCH, 1, 1, 1, generator=rng)
            gain = 0.5 + 0.5 * gain
            yield gain * torch.stack(cut)[:, order] + (1 - gain) * base, kinds


def train(seconds: float, seed: int = 0):
    """Train a FeatureNet; return it, the CPU seconds, the steps and the share told rightly."""
    torch.manual_seed(seed)
    whole = textures()
    small = F.interpolate(whole, scale_factor=0.6, mode="bilinear", antialias=True)
    net = lesson.FeatureNet(len(whole)).to(memory_format=torch.channels_last)
    optimiser, right = torch.optim.Adam(net.parameters(), RATE), 0.0
    stop, start = training.Budget(seconds), time.process_time()
    with training.progress(10**9, stop, label="textures") as run:
        for step, (x, kinds) in zip(
            run, crops([whole, small], device.generator(seed)), strict=False
        ):
            falling = (1 + math.cos(math.pi * run.fraction)) / 2 * min(1, (step + 1) / 50)
            optimiser.param_groups[0]["lr"] = RATE * falling
            logits = net(x.contiguous(memory_format=torch.channels_last))
            loss = F.cross_entropy(logits, kinds)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            right += 0.02 * ((logits.argmax(dim=1) == kinds).float().mean().item() - right)
            run.log(loss=loss, right=right)
    return net, time.process_time() - start, run.step, right


def ship(seconds: float, seed: int = 0) -> dict:
    """Train the features, write their weights; return what is said of them."""
    net, cpu_s, steps, right = train(seconds, seed)
    facts = {"lesson": "55", "data": "photos", "seed": seed, "steps": steps}
    facts |= {"CPU seconds": round(cpu_s), "told rightly": round(right, 3)}
    training.save_weights(trained.shipped_path("texturenet", "photos"), net.half(), **facts)
    return facts


def main(argv: list[str]) -> int:
    """Train the shipped weights; the first argument is the CPU seconds."""
    with training.ctrl_c_ends_all():
        print(ship(float(argv[0]) if argv else SECONDS))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
