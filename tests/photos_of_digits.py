"""Photographs of handwritten digits, made from images of digits: paper, light, shadow, noise."""

import numpy as np
import torch
from scipy import ndimage


def synthesise(digit, rng, *, side=480, fill=0.5, angle=4.0, light_on_dark=False) -> torch.Tensor:
    """Return a phone's photograph, uint8 (3, side, side * 3 / 4), of a digit on paper.

    digit: (28, 28) in [0, 1], ink 1. fill: the share of the width that the 28 pixels take.
    angle: the largest rotation in degrees. The pen's blackness, the slope of the light, a soft
    shadow and the sensor's noise are drawn from `rng`.
    """
    height, width = side, side * 3 // 4
    ink = _place(
        _turn(np.asarray(digit, float), rng.uniform(-angle, angle)), rng, height, width, fill
    )
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    light = rng.uniform(0.75, 0.95) - rng.uniform(0, 0.25) * x - rng.uniform(0, 0.25) * y
    edge = rng.uniform(0.2, 0.8) + rng.uniform(-0.5, 0.5) * (x - 0.5)
    light *= 1 - rng.uniform(0, 0.35) / (1 + np.exp((edge - y) * 40))
    pen = np.array(rng.permutation([0.95, 0.85, 0.7]))[:, None, None] * rng.uniform(0.75, 1)
    if light_on_dark:
        light *= 0.25
        photo = light + (0.9 - light) * ink * pen
    else:
        photo = light * (1 - ink * pen)
    photo = photo + rng.normal(0, rng.uniform(0.005, 0.02), (3, height, width))
    return torch.from_numpy(np.rint(255 * photo.clip(0, 1)).astype(np.uint8))


def _turn(digit: np.ndarray, degrees: float) -> np.ndarray:
    return ndimage.rotate(digit, degrees, reshape=False, order=1)


def _place(digit: np.ndarray, rng, height: int, width: int, fill: float) -> np.ndarray:
    large = ndimage.zoom(digit, fill * width / 28, order=3).clip(0, 1)
    ink = np.zeros((height, width))
    rows, columns = large.shape
    top = (height - rows) // 2 + round(rng.uniform(-0.3, 0.3) * (height - rows))
    left = (width - columns) // 2 + round(rng.uniform(-0.3, 0.3) * (width - columns))
    ink[top : top + rows, left : left + columns] = large
    return ink
