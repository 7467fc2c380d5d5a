"""Checks of lesson 54: what is added to the cubic, tiles without seams."""

import torch
from torch import nn
from torch.nn import functional as F

from course_lib.checks import check, require
from course_lib.checks.probes import TOLERANCE, differs, normal
from course_lib.settings import CourseError

NEAR = 1e-5  # the detail is float32


def _cubic(y, r):
    """Enlarge by torch's own cubic with a = -1/2."""
    size = tuple(r * n for n in y.shape[2:])
    return F.interpolate(y, size, mode="bicubic", antialias=True)


def _refuses(call) -> bool:
    try:
        call()
    except CourseError:
        return True
    except (RuntimeError, TypeError, ValueError):  # no sentence
        return False
    return False


class _Numbers(nn.Module):
    """Stand in for a body: channel k is what it sees, times k + 1."""

    def __init__(self, r):
        super().__init__()
        self.r, self.seen = r, []

    def forward(self, h):
        self.seen.append(h)
        return torch.cat([h * (k + 1) for k in range(self.r**2)], dim=1).to(torch.bfloat16)


def _detail(y, r):
    """Return what _Numbers adds, place by place."""
    B, C, H, W = y.shape
    detail = y.new_empty(B, C, r * H, r * W)
    for a in range(r):
        for b in range(r):
            detail[..., a::r, b::r] = (y * (a * r + b + 1)).to(torch.bfloat16)
    return detail


def _require_sum(found, y, r):
    smooth, detail = _cubic(y, r), _detail(y, r)
    require(
        isinstance(found, torch.Tensor) and found.shape == smooth.shape,
        f"a picture {[*y.shape]} should become {[*smooth.shape]}, yours is "
        f"{[*getattr(found, 'shape', ())]}.",
    )
    require(found.dtype == y.dtype, f"{y.dtype} should stay, not {found.dtype}: .float() the body.")
    require(differs(found, detail) > NEAR, "the cubic is missing: smooth + detail.")
    require(differs(found, smooth) > NEAR, "the body's detail has no effect.")
    require(differs(found, smooth - detail) > NEAR, "the detail is subtracted: add it.")
    clamped = (smooth + detail).clamp(0, 1)
    require(differs(found, clamped) > NEAR, "do not clamp: a training needs the gradient there.")
    require(
        differs(found, smooth + detail) < NEAR,
        f"for {[*y.shape]} the answer is not cubic + shuffle(body): every channel is a picture of "
        "its own, y.reshape(B * C, 1, H, W), and pixel_shuffle sorts the detail.",
    )


@check("super_resolution.Enlarger")
def enlarger(cls):
    """A body of known answers, at odd and tiny sizes, in colour; the start, and what it refuses."""
    for r in (2, 3):
        for shape in ((2, 1, 5, 7), (2, 3, 4, 6), (1, 1, 1, 3)):
            body, y = _Numbers(r), normal(*shape, seed=r).float()
            net = cls(body, r)
            try:
                found = net(y)
            except RuntimeError:  # NotImplementedError, too
                if not body.seen or body.seen[0].shape[2:] == y.shape[2:]:
                    raise
            seen = [[*h.shape] for h in body.seen]
            require(seen, "the body is never called: its detail is missing.")
            require(
                sum(h[0] for h in seen) == shape[0] * shape[1]
                and all(h[1:] == [1, *shape[2:]] for h in seen),
                f"the body should see {[shape[0] * shape[1], 1, *shape[2:]]}, the small pictures, "
                f"at once or one by one, not {seen[0]}.",
            )
            _require_sum(found, y, r)
    net = cls(nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.Conv2d(6, 4, 3, padding=1)), 2)
    y = torch.rand(1, 3, 6, 5, generator=torch.Generator().manual_seed(1))
    require(
        differs(net(y), _cubic(y, 2)) < NEAR,
        "before training, with its last layer at 0, the net should be the cubic.",
    )
    require(net(y).requires_grad, "no gradient reaches the body: neither detach nor no_grad.")
    for name, wrong in {"bytes": (255 * y).byte(), "NaN": y / 0 * 0, "(H, W)": y[0, 0]}.items():
        require(_refuses(lambda wrong=wrong: net(wrong)), f"{name} should end in a sentence.")
    return "the cubic plus the body's detail at every size, in colour too; it begins as the cubic"


def _net(seed, r=2):
    """Return a network of two convolutions that looks 3 pixels far, on top of the cubic."""
    first, last = normal(2, 1, 5, 5, seed=seed), normal(r * r, 2, 3, 3, seed=seed + 1)

    def net(y):
        B, C, H, W = y.shape
        h = F.conv2d(y.reshape(B * C, 1, H, W), first, padding=2).relu()
        detail = F.pixel_shuffle(F.conv2d(h, last, padding=1), r)
        return _cubic(y, r) + detail.reshape(B, C, r * H, r * W)

    return net


def _tiled(net, y, r, after):
    """Return net(y) by tiles of 8 that see 4 pixels more above and left, `after` beyond."""
    H, W = y.shape[2:]
    whole = y.new_empty(*y.shape[:2], r * H, r * W)
    for i in range(0, H, 8):
        for j in range(0, W, 8):
            top, left = max(0, i - 4), max(0, j - 4)
            part = net(y[..., top : i + 8 + after, left : j + 8 + after])
            kept = part[..., r * (i - top) :, r * (j - left) :][..., : 8 * r, : 8 * r]
            whole[..., r * i : r * (i + 8), r * j : r * (j + 8)] = kept
    return whole


@check("super_resolution.tiled")
def tiled(function):
    """Compare with the whole picture, at sizes that tiles divide and do not; count what is seen."""
    for shape, r in (((1, 1, 24, 24), 2), ((2, 3, 25, 13), 2), ((1, 1, 5, 31), 3)):
        y, net, sizes = normal(*shape, seed=r), _net(3, r), []

        def spy(part, net=net, sizes=sizes):
            sizes.append(max(part.shape[2:]))
            return net(part)

        found, whole = function(spy, y, r, tile=8, overlap=4), net(y)
        require(
            isinstance(found, torch.Tensor) and found.shape == whole.shape,
            f"{[*shape]} should become {[*whole.shape]}, yours is "
            f"{[*getattr(found, 'shape', ())]}.",
        )
        require(
            max(sizes) <= 16,
            f"the net sees {max(sizes)} pixels at once: a tile of 8 and 4 on each side are 16.",
        )
        one_side = _tiled(net, y, r, 0)
        require(
            differs(found, one_side) > NEAR,
            "a tile should see `overlap` pixels more below and at the right, too.",
        )
        bare = differs(found, function(net, y, r, tile=8, overlap=0))
        require(
            bare > 1e-3,
            "overlap has no effect: let the net see `overlap` pixels more on every side.",
        )
        require(
            differs(found, whole) < TOLERANCE,
            f"{[*shape]} in tiles differs from the whole by {differs(found, whole):.2g}: the tile "
            "lies factor * (i - top) rows and factor * (j - left) columns inside its part.",
        )
    return "equal to the whole picture, tile by tile, at every size"
