"""Check of lesson 51 for Noise2Void: what stands in the place of a hidden pixel."""

import torch
from torch.nn import functional as F

from course_lib.checks import check, require
from course_lib.checks.probes import normal


def _around(y):
    """Return the 9 pixels around each of y (B, C, H, W), reflected at the border."""
    H, W = y.shape[2:]
    z = F.pad(y, (1,) * 4, mode="reflect")
    return torch.stack([z[:, :, i : i + H, j : j + W] for i in range(3) for j in range(3)], dim=4)


@check("denoising.hide")
def hide(function):
    """Each hidden pixel is one of its 8 neighbours, all in turn; the rest stays bit for bit."""
    y = normal(2, 3, 40, 30, seed=1)
    hidden = normal(2, 3, 40, 30, seed=2) > 0.5
    found = function(y, hidden, torch.Generator().manual_seed(1))
    require(
        isinstance(found, torch.Tensor) and found.shape == y.shape,
        f"{[*y.shape]} should stay so, not become {[*getattr(found, 'shape', ())]}.",
    )
    require(
        not torch.equal(found[hidden], y[hidden]) or torch.equal(found[~hidden], y[~hidden]),
        "the visible pixels are changed and the hidden ones stay: True in hidden means hidden.",
    )
    require(
        torch.equal(found[~hidden], y[~hidden]),
        "what is not hidden should stay bit for bit: the net looks there for its answer.",
    )
    same = found[hidden] == y[hidden]
    require(
        not same.any(),
        f"{same.double().mean():.0%} of the hidden pixels still hold their own value: then f(y) = "
        "y is learned. Leave out number 4, the middle.",
    )
    hits = found[hidden][:, None] == _around(y)[hidden]
    require(
        hits.any(dim=1).all(),
        "a hidden pixel should hold one of its 8 neighbours: no mean, no 0, no pixel from afar.",
    )
    inner = hidden.clone()
    inner[:, :, [0, -1]] = inner[..., [0, -1]] = False  # reflected pixels occur twice
    share = (found[inner][:, None] == _around(y)[inner]).double().mean(dim=0)
    require(
        share[[0, 1, 2, 3, 5, 6, 7, 8]].min() > 0.08 and share.max() < 0.17,
        "the 8 neighbours should be equally likely, drawn for each pixel anew; the shares are "
        + ", ".join(f"{s:.2f}" for s in share)
        + " row by row.",
    )
    again = function(y, hidden, torch.Generator().manual_seed(1))
    other = function(y, hidden, torch.Generator().manual_seed(2))
    require(
        torch.equal(found, again) and not torch.equal(found, other),
        "the draw should come from rng, and from nothing else: generator=rng.",
    )
    return "one of the 8 neighbours, never the pixel itself; what is not hidden stays"
