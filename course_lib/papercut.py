"""Shapes cut from coloured paper: distances to their edges, soft shadows, light rims.

A shape is how far every pixel is from its edge: (n, H, W), in pixels, negative inside. A Frame's
methods return such distances. `paste` lays a shape onto pictures, anti-aliased.
"""

from dataclasses import dataclass
from functools import reduce

import torch
from torch.nn import functional as F

FAR = 99.0  # pixels: the distance to a shape that is not there


@dataclass(frozen=True)
class Frame:
    """Where every pixel lies: x to the right and y down, (n, H, W), in units of `scale` pixels."""

    x: torch.Tensor
    y: torch.Tensor
    scale: torch.Tensor | float = 1.0

    def at(self, x=0.0, y=0.0, degrees=None, scale=1.0) -> "Frame":
        """Return a frame with its origin at (x, y) of this one, turned clockwise and enlarged."""
        dx, dy = (self.x - x) / scale, (self.y - y) / scale
        if degrees is not None:
            angle = torch.deg2rad(torch.as_tensor(degrees, dtype=torch.float32))
            cos, sin = angle.cos(), angle.sin()
            dx, dy = cos * dx + sin * dy, cos * dy - sin * dx
        return Frame(dx, dy, self.scale * scale)

    def mirrored(self) -> "Frame":
        """Return the frame folded along its y axis: what is drawn at x is drawn at -x too."""
        return Frame(self.x.abs(), self.y, self.scale)

    def ellipse(self, rx, ry) -> torch.Tensor:
        """Distance to an ellipse about the origin, exact to first order at its edge."""
        x, y = self.x / rx, self.y / ry
        size = (x * x + y * y).sqrt().clamp_min(1e-6)
        slope = ((x / rx).square() + (y / ry).square()).sqrt().clamp_min(1e-6)
        return self.scale * size * (size - 1) / slope

    def circle(self, radius) -> torch.Tensor:
        """Distance to a circle about the origin."""
        return self.scale * (torch.hypot(self.x, self.y) - radius)

    def leaf(self, width, length, rounding=0.0) -> torch.Tensor:
        """Distance to a leaf `2 width` wide and `2 length` long, tips up and down, rounded off."""
        width, length = width - rounding, length - rounding
        middle = (length**2 - width**2) / (2 * width)
        x, y = self.x.abs(), self.y.abs()
        beyond = (y - length) * middle > x * length
        tip, side = torch.hypot(x, y - length), torch.hypot(x + middle, y) - middle - width
        return self.scale * (torch.where(beyond, tip, side) - rounding)

    def arc(self, radius, half_angle, thickness) -> torch.Tensor:
        """Distance to an arc about the origin, `half_angle` degrees to each side of downwards."""
        angle = torch.deg2rad(torch.as_tensor(half_angle, dtype=torch.float32))
        sin, cos = angle.sin(), angle.cos()
        x = self.x.abs()
        end = torch.hypot(x - sin * radius, self.y - cos * radius)
        on = (torch.hypot(x, self.y) - radius).abs()
        return self.scale * (torch.where(cos * x > sin * self.y, end, on) - thickness / 2)

    def stroke(self, length, start, end) -> torch.Tensor:
        """Distance to a stroke from the origin to y = length; its radius goes from start to end."""
        along = torch.minimum(self.y.clamp_min(0), torch.as_tensor(length))
        radius = start + (end - start) * along / length
        return self.scale * (torch.hypot(self.x, self.y - along) - radius)

    def below(self, y) -> torch.Tensor:
        """Distance to the half plane below y."""
        return self.scale * (y - self.y)


def page(side: int) -> Frame:
    """Return the frame of square pictures, in pixels from the top left corner."""
    at = torch.arange(side) + 0.5
    return Frame(at.expand(1, side, side), at[:, None].expand(1, side, side))


def stripes(x: torch.Tensor, period, width) -> torch.Tensor:
    """Distance to parallel stripes: `width` of every `period` of x, which is in pixels."""
    return ((x + period / 2) % period - period / 2).abs() - width / 2


def union(*shapes: torch.Tensor) -> torch.Tensor:
    """Distance to what lies in any of the shapes."""
    return reduce(torch.minimum, shapes)


def only(d: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """Distance to a shape that is there only for some pictures or pixels."""
    return torch.where(where, d, FAR)


def cover(d: torch.Tensor, softness: float = 1.0) -> torch.Tensor:
    """Return the share of each pixel that the shape covers; `softness`: pixels from 0 to 1."""
    return (0.5 - d / softness).clamp(0, 1)


def paint(canvas: torch.Tensor, mask: torch.Tensor, colour: torch.Tensor):
    """Colour pictures (n, 3, H, W) in place where mask (n, H, W) is 1, partly in between."""
    canvas.lerp_(colour, mask[:, None])


def paste(canvas: torch.Tensor, d: torch.Tensor, colour, shadow: float = 0.3, rim: float = 0.22):
    """Lay paper of a shape onto pictures in place: a soft shadow below it, a light rim on top.

    colour: (n, 3, 1, 1) or (n, 3, H, W).
    """
    d = d.expand(len(canvas), -1, -1)
    dropped = F.pad(d[:, :-1], (0, 0, 1, 0), mode="replicate")
    canvas.mul_((1 - shadow * cover(dropped - 0.5, 4.0).square())[:, None])
    edge = cover(d) - cover(d + 1.0)
    paint(canvas, cover(d), colour)
    canvas.add_((1 - canvas) * (rim * edge)[:, None])
