"""Check of lesson 14 for the augmentation, by the moments of the ink."""

import math

import torch

from course_lib.checks import check, require
from course_lib.checks.probes import differs


def _moments(x):
    """Return mass, centre (x, y) and covariance of the ink of pictures (B, 1, H, W)."""
    B, _, H, W = x.shape
    rows, columns = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
    w = x[:, 0].double()
    mass = w.sum((1, 2))
    centre = torch.stack([(w * columns).sum((1, 2)), (w * rows).sum((1, 2))], 1) / mass[:, None]
    dx = columns - centre[:, 0, None, None]
    dy = rows - centre[:, 1, None, None]
    cov = torch.stack(
        [(w * a * b).sum((1, 2)) / mass for a, b in ((dx, dx), (dx, dy), (dy, dy))], 1
    )
    return mass, centre, cov


def _bars(B, H=28):
    """A soft upright bar in the middle of each picture, (B, 1, H, H) in [0, 1]."""
    at = torch.arange(H) - (H - 1) / 2
    bar = torch.exp(-(at[None, :] ** 2) / 3 - at[:, None] ** 2 / 18)
    return bar.expand(B, 1, H, H).contiguous()


@check("cnn.augment")
def augment(function):
    """Check identity at strength 0, and shift, zoom and angle by the moments of the ink."""
    B, x = 64, _bars(64)
    run = lambda **strength: function(x, torch.Generator().manual_seed(7), **strength)  # noqa: E731
    u = 2 * torch.rand(4, B, generator=torch.Generator().manual_seed(7)) - 1
    out = run(degrees=0, zoom=0, pixels=0)
    require(out.shape == x.shape, f"the output has shape {tuple(out.shape)}, not {tuple(x.shape)}.")
    require(
        differs(out, x) < 1e-4,
        "with degrees, zoom and pixels all 0 every picture should stay as it is. Is theta the unit "
        "matrix then: 1 and 1 on its diagonal, 0 elsewhere?",
    )
    _, before, cov = _moments(x)
    centre = _moments(run(degrees=0, zoom=0, pixels=3))[1] - before
    for axis, name in ((0, "right"), (1, "down")):
        wanted, got = 3 * u[2 + axis].double(), centre[:, axis]
        require(
            differs(got, -wanted) > 0.1,
            f"the pictures move the wrong way: `{name}` > 0 should move the ink {name}, so the "
            "matrix has to look on the other side (-t).",
        )
        require(
            differs(got, wanted) < 0.1,
            f"a picture that should move {wanted[0]:.2f} pixels {name} moves {got[0]:.2f}. One "
            "pixel is 2 / W in coordinates from -1 to 1, and every picture has a shift of its own.",
        )
    spread = _moments(run(degrees=0, zoom=0.2, pixels=0))[2]
    factor = (spread[:, 2] / cov[:, 2]).sqrt()
    wanted = 1 + 0.2 * u[1].double()
    require(
        differs(factor, wanted) < 0.02,
        f"a digit that should be zoomed by {wanted[0]:.3f} is zoomed by {factor[0]:.3f}. theta "
        "says where to look, so a larger digit means a smaller part: divide by scale.",
    )
    spread = _moments(run(degrees=30, zoom=0, pixels=0))[2]
    angle = 0.5 * torch.atan2(2 * spread[:, 1], spread[:, 2] - spread[:, 0])
    wanted = math.radians(30) * u[0].double()
    require(
        min(differs(angle, wanted), differs(angle, -wanted)) < 0.03,
        f"a bar that should turn by {math.degrees(wanted[0]):.1f} degrees turns by "
        f"{math.degrees(angle[0]):.1f}. The upper row of theta is (cos, -sin), the lower "
        "(sin, cos), with the angle in radians.",
    )
    mass = _moments(run(degrees=30, zoom=0, pixels=0))[0] / _moments(x)[0]
    require((mass - 1).abs().max() < 0.02, "turning should neither stretch nor shear the digit.")
    return f"{B} pictures, each turned, zoomed and shifted by its own amounts, measured on the ink"
