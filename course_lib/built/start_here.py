# Generated from notebooks/src/00_start_here.py by `python3 -m course_lib build 00`.
# Edit the lesson, not this file.
"""Lesson 00, "Start here": what it builds, for later lessons to import."""

import torch

from course_lib import images


def to_float(x, low=0.0, high=1.0):
    """Turn bytes uint8 (...) into float32 (...): 0 becomes low, 255 becomes high."""
    return low + (high - low) * x.float() / 255


def to_bytes(x, low=0.0, high=1.0):
    """Turn numbers (...) from low to high into the nearest bytes, uint8; clip what sticks out."""
    b = 255 * (x - low) / (high - low)
    return b.round().clamp(0, 255).to(torch.uint8)


def to_grey(x):
    """Return the brightness (N, 1, H, W) of colours (N, 3, H, W), 0 is black. ITU-R BT.601."""
    weights = torch.tensor(images.LUMA, dtype=x.dtype)  # red, green, blue
    return (weights[:, None, None] * x).sum(dim=1, keepdim=True)


def count_greys(x):
    """Return how often each byte from 0 to 255 occurs in images uint8 (...): (256,) counts."""
    return torch.bincount(x.flatten(), minlength=256)


def paint(picture, colour, mask):
    """Paint a colour (3,) onto a picture (3, H, W), as much as mask (1, H, W) in 0..1 says."""
    return (1 - mask) * picture + mask * colour[:, None, None]


def average(images):
    """Return the average, floats (C, H, W) from 0 to 255, of images uint8 (N, C, H, W)."""
    # The sum was kept in bytes, which wrap around; // cut the decimals off.
    return images.float().mean(dim=0)
