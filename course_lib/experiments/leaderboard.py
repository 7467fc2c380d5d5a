"""The row of an entry of the leaderboard: who was trained on what, for how long, and how well."""

from torch import Tensor

from course_lib import datasets, device, images
from course_lib.built import damage

SCENES = "astronaut", "camera", "chelsea"  # of the test photographs, whole, beside the crops
NO_LIMIT = 10**9  # steps: the budget ends the training


def row(name: str, data: str, budget: float, seed: int, nets, cpu_s: float, seen: int, **told):
    """Return a row: told holds metrics (name -> number) and protocol (a sentence).

    nets: what was trained, its parameters are counted; cpu_s: CPU seconds of the training alone;
    seen: training images in it, counted once for each time.
    """
    return {
        "name": name,
        "data": data,
        "budget": budget,
        "seed": seed,
        "cpu_s": round(cpu_s, 2),
        "params": sum(device.count_parameters(net) for net in nets),
        "images_per_s": round(seen / cpu_s, 1),
        **told,
    }


def photographs(side: int, scenes=SCENES) -> dict[str, list[Tensor]]:
    """Return grey test pictures (1, 1, H, W) in [0, 1]: the named crops, and whole scenes."""
    whole = [images.to_grey(datasets.photograph(name)[None]) / 255 for name in scenes]
    return {"crops": [*damage.crops(damage.TEST, side).values()], "pictures": whole}
