"""Lesson 51 on photographs: its entry of the leaderboard, and the weights that it ships.

The weights are made by `python3 -m course_lib.experiments.denoising`, in 600 CPU seconds, or in as
many as the first argument says.
"""

import copy
import importlib
import importlib.util
import sys
import time
from dataclasses import replace
from functools import partial

import torch
from skimage import restoration

from course_lib import device, trained, training
from course_lib.built import damage
from course_lib.built import denoising as lesson
from course_lib.experiments import leaderboard

SIGMA = 25 / 255
LEVELS = 2 / 255, 60 / 255  # of the shipped weights, which are told the level
SIDE, TUNING_SIDE = 192, 128  # pixels of the crops
SCENES = leaderboard.SCENES  # whole, beside the crops
RATE, LEAVES = 3e-3, 4
SECONDS = 600


def train(sigma, told: bool, seconds: float, seed: int = 0):
    """Train lesson 51's U-Net; return its averaged weights, CPU seconds and steps.

    sigma: one level, or the ends of a range.
    """
    torch.manual_seed(seed)
    rng, cfg = device.generator(seed), replace(lesson.Config(), steps=10**9, lr=RATE)
    pictures = lesson.training_pictures(rng, LEAVES)
    net = lesson.Denoiser(lesson.UNet(4 + told), told).to(memory_format=torch.channels_last)
    averaged = copy.deepcopy(net)
    clean = lesson.clean_patches(*pictures, cfg.batch_size, cfg.side, rng)
    pairs = lesson.noisy_pairs(clean, sigma, rng, told)
    stop, start = training.Budget(seconds), time.process_time()
    history = lesson.train_denoiser(cfg, net, pairs, averaged=averaged, should_stop=stop)
    return averaged, time.process_time() - start, len(history["loss"][0])


def held_out() -> dict[str, list[torch.Tensor]]:
    """Return grey test pictures (1, 1, H, W) in [0, 1]: the named crops, and the whole scenes."""
    return leaderboard.photographs(SIDE, SCENES)


def score(repair, pictures, sigma: float = SIGMA) -> float:
    """Return the mean PSNR in dB of repair(y), y: each picture with noise of a fixed seed."""
    rng = device.generator(1)
    found = []
    for x in pictures:
        x_hat = repair(damage.noisy(x, sigma, rng)).clamp(0, 1)
        found.append(damage.psnr(x, x_hat, data_range=1).item())
    return sum(found) / len(found)


def repair_with(net, *told):
    """Return y -> the net's repair of y (1, 1, H, W), without a graph; told: sigma, if it is."""
    return torch.no_grad()(lambda y: net(y, *told))


def on_arrays(function, y, **options):
    """Repair y (1, 1, H, W) by a function of an array (H, W)."""
    return torch.from_numpy(function(y[0, 0].numpy(), **options)).float()[None, None]


def peers() -> dict:
    """Return name -> repair: scikit-image's, tuned on training scenes, and bm3d if installed."""
    non_local = partial(
        restoration.denoise_nl_means, patch_size=5, patch_distance=6, sigma=SIGMA, fast_mode=True
    )
    grids = {
        "tv": (restoration.denoise_tv_chambolle, "weight", (0.06, 0.07, 0.08, 0.09, 0.1, 0.12)),
        "nlm": (non_local, "h", [SIGMA * k for k in (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)]),
    }
    if importlib.util.find_spec("pywt"):
        wavelet = partial(restoration.denoise_wavelet, mode="soft", method="VisuShrink")
        grids["wavelets"] = (wavelet, "sigma", [SIGMA * k for k in (0.2, 0.25, 0.33, 0.4, 0.5)])
    tuning, found = [*damage.crops(damage.TUNING, TUNING_SIDE).values()], {}
    for name, (function, knob, grid) in grids.items():
        repairs = [partial(on_arrays, function, **{knob: value}) for value in grid]
        found[name] = max(repairs, key=lambda repair: score(repair, tuning))
    if importlib.util.find_spec("bm3d"):
        peer = importlib.import_module("bm3d")  # not for commercial use, so no dependency
        found["bm3d"] = partial(on_arrays, peer.bm3d, sigma_psd=SIGMA)
    return found


def costs(repair) -> dict[str, float]:
    """Return the seconds and the MB of memory, in all, of repairing 512 x 512 and 1024 x 1024."""
    found = {}
    for side in (512, 1024):
        y = torch.rand(1, 1, side, side, generator=device.generator(0))
        with device.measure() as cost:
            repair(y)
        found |= {f"{side} x {side} s": round(cost.seconds, 3), f"{side} x {side} MB": cost.peak_mb}
    return found


def denoise_entry(data: str, budget: float, seed: int):
    """Train lesson 51's U-Net for noise 25 on the training photographs, whatever `data` says."""
    net, cpu_s, steps = train(SIGMA, False, budget, seed)
    test, repairs = held_out(), {"net": repair_with(net)} | peers()
    found = {
        f"{name} {kind}": score(repair, pictures)
        for kind, pictures in test.items()
        for name, repair in repairs.items()
    }
    protocol = (
        f"grey photographs with Gaussian noise of sigma 25/255; mean PSNR in dB over the test "
        f"crops {', '.join(damage.TEST)} ({SIDE} x {SIDE}) and over the whole scenes "
        f"{', '.join(SCENES)}; trained on the other scenes and dead leaves; tv and nlm are "
        "scikit-image's, tuned on crops of training scenes"
    )
    seen = steps * lesson.Config.batch_size
    told = {"metrics": found | costs(repairs["net"]), "protocol": protocol}
    row = leaderboard.row("denoise", "photos", budget, seed, (net,), cpu_s, seen, **told)
    rng = device.generator(1)
    arrays = {
        name: repairs["net"](damage.noisy(x, SIGMA, rng)).numpy()
        for name, x in zip(damage.TEST, test["crops"], strict=True)
    }
    return row, arrays


def ship(seconds: float, seed: int = 0) -> dict:
    """Train the U-Net that is told the level, write its weights; return what is said of them."""
    net, cpu_s, steps = train(LEVELS, True, seconds, seed)
    net = net.half()
    facts = {"lesson": "51", "data": "photos", "seed": seed, "steps": steps}
    facts["CPU seconds"] = round(cpu_s)
    crops = held_out()["crops"]
    facts["dB at 25"] = round(score(repair_with(copy.deepcopy(net).float(), SIGMA), crops), 2)
    training.save_weights(trained.shipped_path("denoiser", "photos"), net, **facts)
    return facts


def main(argv: list[str]) -> int:
    """Train the shipped weights; the first argument is the CPU seconds."""
    with training.ctrl_c_ends_all():
        print(ship(float(argv[0]) if argv else SECONDS))
    return 0


PARTS = {}
ENTRIES = {"denoise": denoise_entry}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
