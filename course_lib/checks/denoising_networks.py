"""Checks of lesson 51 for its networks: what is subtracted from what, at every size."""

import torch
from torch import nn
from torch.nn import functional as F

from course_lib.checks import check, require
from course_lib.checks.probes import TOLERANCE, differs, normal
from course_lib.settings import CourseError

NEAR = 1e-5  # the noise is float32
SIZES = ((8, 8), (9, 13), (16, 10), (1, 7), (3, 1))


class _Part(nn.Module):
    """Stand in for a body: returns the first four channels of what it sees, times a number."""

    def __init__(self, scale=0.25):
        super().__init__()
        self.scale, self.seen = scale, []

    def forward(self, h):
        self.seen.append(h)
        return self.scale * h[:, :4]


class _Level(nn.Module):
    """Stand in for a body that returns the told sigma, and nothing else."""

    def forward(self, h):
        return h[:, 4:5].expand(-1, 4, -1, -1)


def _refuses(call) -> bool:
    try:
        call()
    except CourseError:
        return True
    except (RuntimeError, TypeError, ValueError):  # no sentence
        return False
    return False


def _answer(net, y):
    """Return net(y); say what a RuntimeError of a wrong shape means. y: (B, C, H, W)."""
    try:
        return net(y)
    except RuntimeError as error:
        require(
            "is invalid for input of size" not in str(error),
            "x is padded to a multiple of 8: crop to [..., :H, :W] before reshape(B, C, H, W).",
        )
        raise


def _require_difference(found, y, name):
    """Demand y - y / 4, and name the usual mistakes; y: (B, C, H, W)."""
    require(
        isinstance(found, torch.Tensor) and found.shape == y.shape,
        f"a picture {[*y.shape]} should stay of that size, {name} gives "
        f"{[*getattr(found, 'shape', ())]}: crop to H x W, then reshape(B, C, H, W).",
    )
    require(
        differs(found, y / 4) > NEAR,
        "the noise itself is returned: subtract it from the picture.",
    )
    require(
        differs(found, y * 1.25) > NEAR,
        "the noise is added: what the body finds is to be taken away.",
    )
    require(
        differs(found, -0.75 * y) > NEAR,
        "the difference is turned round: the picture minus the noise.",
    )
    require(differs(found, y) > NEAR, "the body's noise has no effect.")
    require(
        differs(found, 0.75 * y) < NEAR,
        f"a body that returns a quarter of what it sees should leave 0.75 y; for a picture "
        f"{[*y.shape]} it does not. pixel_shuffle undoes pixel_unshuffle; padding stands at the "
        "right and below, so the top left H x W is wanted.",
    )


@check("denoising.Denoiser")
def denoiser(cls):
    """A body of known answers, at odd and tiny sizes, in colour; what it is told and refuses."""
    for H, W in SIZES:
        y = normal(2, 1, H, W, seed=H)
        _require_difference(_answer(cls(_Part()), y), y, "yours")
    colour = normal(2, 3, 9, 6, seed=3)
    _require_difference(_answer(cls(_Part()), colour), colour, "in colour yours")
    body = _Part()
    cls(body)(normal(2, 1, 9, 13, seed=1))
    require(
        body.seen and body.seen[0].shape == (2, 4, 8, 8),
        "the body should see four channels at half of the padded size, [2, 4, 8, 8] of a picture "
        f"[2, 1, 9, 13]; it sees {[*body.seen[0].shape] if body.seen else 'nothing'}.",
    )
    require(len(body.seen) == 1, f"the body is asked {len(body.seen)} times; once is enough.")
    y, sigma = normal(2, 3, 9, 6, seed=4), torch.tensor([0.1, 0.3]).double().view(2, 1, 1, 1)
    require(
        differs(cls(_Level(), told=True)(y, sigma), y - sigma) < NEAR,
        "told sigma, the body should see it as a fifth channel, each picture its own.",
    )
    net = cls(nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, padding=1)))
    x = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    require(
        torch.equal(net(x), x),
        "before training, with its last layer at 0, the net should return y as it is.",
    )
    require(
        net(x).requires_grad,
        "no gradient reaches the body: neither detach nor no_grad.",
    )
    for name, call in {
        "bytes": lambda: cls(_Part())((255 * x).byte()),
        "NaN": lambda: cls(_Part())(x / 0 * 0),
        "sigma = 25": lambda: cls(_Level(), told=True)(x, 25),
        "no sigma for a told net": lambda: cls(_Level(), told=True)(x),
        "a negative sigma": lambda: cls(_Level(), told=True)(y, torch.tensor([-1.0, 0.1])),
        "a map of sigma": lambda: cls(_Level(), told=True)(x, torch.full((1, 1, 8, 8), 0.1)),
    }.items():
        require(_refuses(call), f"{name} should end in a sentence: keep the lines that refuse it.")
    return "y minus the body's noise at every size, in colour too; it begins as y itself"


def _noise(net, h):
    """Return net(h); say what a RuntimeError of unlike sizes means. h: (N, 4, h, w)."""
    try:
        return net(h)
    except RuntimeError as error:
        require(
            "channels" not in str(error),
            "a part sees another number of channels than it was made for: here the skips are "
            "added, not concatenated.",
        )
        require(
            "size of tensor" not in str(error),
            "two of different size are added: b = down(a) meets middle(b), a meets up(...).",
        )
        raise


def _random(cls):
    """Return a small network with random weights, in float64."""
    net = cls(4, 4).double()
    for seed, weights in enumerate(net.parameters()):
        weights.data = 0.3 * normal(*weights.shape, seed=seed)
    return net


@check("denoising.UNet")
def unet(cls):
    """Compare with the five parts put together by hand; name a missing or misplaced skip."""
    net, h = _random(cls), normal(2, 4, 8, 12, seed=1)
    first, down, middle, up, last = (
        getattr(net, name) for name in ("first", "down", "middle", "up", "last")
    )
    a = first(h)
    b = down(a)
    m = middle(b)
    found = _noise(net, h)
    require(
        isinstance(found, torch.Tensor) and found.shape == h.shape,
        f"noise should have the shape of the picture, {[*h.shape]}; yours is "
        f"{[*getattr(found, 'shape', ())]}.",
    )
    mistakes = {
        "neither skip connection is there: add b before up, a before last.": last(up(m)),
        "the skip of the larger size is missing: last gets up(...) + a.": last(up(m + b)),
        "the skip of the smaller size is missing: up gets middle(b) + b.": last(up(m) + a),
        "the middle is left out: it looks farthest.": last(up(b) + a),
        "what came down is added twice before last.": last(up(m + b) + 2 * a),
        "up gets only what came down, not what the middle made of it.": last(up(b + b) + a),
        "the coarse half is lost: last gets up(...) + a, not a alone.": last(a),
        "the skips are subtracted: add them.": last(up(m - b) - a),
        "the two are averaged: add them.": last((up((m + b) / 2) + a) / 2),
        "the two are multiplied: add them.": last(up(m * b) * a),
    }
    for sentence, value in mistakes.items():
        require(differs(found, value) > TOLERANCE, sentence)
    require(
        differs(found, last(up(m + b) + a)) < TOLERANCE,
        "the answer is not last(up(middle(b) + b) + a), with a = first(h) and b = down(a).",
    )
    require(
        F.mse_loss(net(h.float().double()), found) < 1e-6,
        "the same picture twice should give the same noise twice.",
    )
    return "five parts, two skip connections, each where its size is met again"
