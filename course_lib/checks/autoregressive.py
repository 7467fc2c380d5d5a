"""Checks of lesson 40: the chain rule's sum and the masks; the samplers stand in modules beside."""

import math

import torch
from torch.nn import functional as F

from course_lib.checks import check, require
from course_lib.checks.autoregressive_incremental import sample_incremental
from course_lib.checks.autoregressive_nade import nade
from course_lib.checks.autoregressive_sampling import sample
from course_lib.checks.probes import TOLERANCE, differs, normal
from course_lib.settings import CourseError

__all__ = ["earlier", "log_prob", "masked_linear", "masks", "nade", "sample", "sample_incremental"]

FAR = 200.0  # a logit whose sigmoid is 0 or 1 in floating point
HEIGHT, WIDTH = 3, 4
ORDERS = {
    "raster": list(range(12)),
    "columns": [4 * row + column for column in range(4) for row in range(3)],
    "random": [7, 2, 9, 0, 11, 5, 1, 8, 3, 10, 6, 4],
}
LEGEND = "(? the guessed pixel, # rightly seen, ! leaks, o should be seen, . rightly unseen)"


def _allowed(order) -> torch.Tensor:
    """Return bool (D, D), [i, j]: j is drawn before i; written as the definition says it."""
    allowed = torch.zeros(len(order), len(order), dtype=torch.bool)
    for t, pixel in enumerate(order):
        allowed[pixel, order[:t]] = True
    return allowed


def _drawing(seen, allowed, pixel) -> str:
    """Return the picture, as lines of text, of what a pixel's guess sees and what it should."""
    signs = []
    for j in range(len(seen)):
        wrong = "!" if seen[pixel, j] else "o"
        sign = "#" if seen[pixel, j] else "."
        signs.append(wrong if seen[pixel, j] != allowed[pixel, j] else "?" if j == pixel else sign)
    rows = [" ".join(signs[WIDTH * row : WIDTH * (row + 1)]) for row in range(HEIGHT)]
    return "\n  " + "\n  ".join(rows) + f"\n  {LEGEND}"


def _require_causal(seen, order, name, cures):
    """Demand that exactly the earlier pixels are seen; cures: what to say to each mistake."""
    allowed = _allowed(order)
    wrong = seen != allowed
    if not wrong.any():
        return
    pixel = wrong.sum(dim=1).argmax().item()
    picture = (
        f"In {name} order, pixel {pixel} is guessed from: {_drawing(seen, allowed, pixel)}\n  "
    )
    require((seen != allowed.T).any(), picture + cures["reversed"])
    own, ahead = seen.diagonal().any(), (seen & ~allowed).fill_diagonal_(False).any()
    require(ahead or not own, picture + cures["itself"])
    require(not ahead, picture + cures["ahead"])
    require(False, picture + cures["blind"])


@check("autoregressive.log_prob")
def log_prob(function):
    """Compare with the sum of logarithms, near and far, and add up a tiny world."""
    x = (normal(5, 1, HEIGHT, WIDTH, seed=1) > 0).double()
    logits = 2 * normal(5, 1, HEIGHT, WIDTH, seed=2)
    each = torch.where(x > 0, F.logsigmoid(logits), F.logsigmoid(-logits)).flatten(1)
    found = function(lambda _: logits, x)
    require(
        isinstance(found, torch.Tensor) and found.shape == (5,),
        f"5 pictures should give 5 numbers; yours is {tuple(getattr(found, 'shape', ()))}. Sum "
        "over the pixels of each picture, .flatten(1).sum(dim=1), never over the batch.",
    )
    wanted = each.sum(dim=1)
    require(
        differs(found, -wanted) > TOLERANCE,
        "the sign is turned: ln p is below 0; the cross-entropy is the surprise, -ln p.",
    )
    require(
        differs(found, each.mean(dim=1)) > TOLERANCE,
        "a mean over the pixels is no probability: the chain rule multiplies, so sum.",
    )
    require(
        differs(found, wanted / math.log(2)) > TOLERANCE,
        "these are bits, not nats: leave out the division by ln 2.",
    )
    ink = torch.where(x > 0, each.view_as(x), 0.0).flatten(1).sum(dim=1)
    require(
        min(differs(found, ink), differs(found, wanted - ink)) > TOLERANCE,
        "only the ink or only the paper pixels count: both terms, x and 1 - x, belong to the sum.",
    )
    swapped = -F.binary_cross_entropy_with_logits(x, logits, reduction="none")
    require(
        differs(found, swapped.flatten(1).sum(dim=1)) > TOLERANCE,
        "the arguments are exchanged: first the logits, then the pixels x.",
    )
    squeezed = -F.binary_cross_entropy_with_logits(logits.sigmoid(), x, reduction="none")
    require(
        differs(found, squeezed.flatten(1).sum(dim=1)) > TOLERANCE,
        "two sigmoids: the function takes the logits as the model returns them.",
    )
    far = function(lambda x: torch.full_like(x, FAR), torch.zeros(2, 1, 1, 3).double())
    require(
        differs(far, torch.full((2,), -3 * FAR).double()) < 1e-6,
        f"paper where the logit of ink is {FAR:g} should give {-FAR:g} nats a pixel; yours gives "
        f"{far[0] / 3:.4g}. The logarithm of a sigmoid is rounded to ln 0, and a small number "
        "inside only hides it: use F.binary_cross_entropy_with_logits.",
    )
    require(
        differs(found, wanted) < TOLERANCE,
        f"ln p of the first picture should be {wanted[0]:.4f}, yours is {found[0]:.4f}.",
    )
    slopes = logits.clone().requires_grad_()
    require(
        function(lambda _: slopes, x).requires_grad,
        "no gradient reaches the logits, so no model can be trained: neither detach nor no_grad.",
    )
    weights = 2 * normal(6, 6).tril(-1)
    worlds = torch.cartesian_prod(*torch.tensor([0.0, 1.0]).expand(6, 2)).double()
    total = function(lambda x: (x.flatten(1) @ weights.T).view_as(x), worlds.view(64, 1, 2, 3))
    require(
        abs(total.exp().sum() - 1) < TOLERANCE,
        f"the 64 pictures of 2x3 pixels should sum to 1; yours sum to {total.exp().sum():.4f}.",
    )
    try:
        function(lambda x: x, torch.full((1, 1, 2, 2), 0.5))
    except CourseError:
        return "a sum over pixels, in nats, finite at any logit; 64 pictures sum to 1; 0 and 1 only"
    require(False, "grey pixels are accepted: keep require_binary(x), for 0.5 has no probability.")


@check("autoregressive.earlier")
def earlier(function):
    """Compare with the definition, in three orders."""
    cures = {
        "reversed": "This is its mirror image, of the *later* pixels (A4): row i, column j, and "
        "the place of j is the smaller one.",
        "itself": "A pixel sees itself: the loss will fall to 0 and nothing can be drawn (A5). "
        "Strictly smaller, <.",
        "ahead": "Pixels ahead are seen. order[t] is the pixel drawn t-th; when a pixel is drawn, "
        "order.argsort() says.",
        "blind": "Some of the pixels before are not seen: every smaller place counts.",
    }
    for name, order in ORDERS.items():
        found = function(torch.tensor(order))
        require(
            found.shape == (12, 12) and found.dtype == torch.bool,
            f"12 pixels should give bool (12, 12); yours is {found.dtype} {tuple(found.shape)}.",
        )
        _require_causal(found, order, name, cures)
    return "in three orders, exactly the pixels drawn before; none sees itself"


@check("autoregressive.MaskedLinear")
def masked_linear(cls):
    """Compare with a product of weights that are 0 where the mask is False; follow a gradient."""
    mask = normal(5, 7, seed=1) > 0
    layer, x = cls(mask, scale=1.0).double(), normal(3, 7, seed=2)
    layer.weight.data, layer.bias.data = normal(5, 7, seed=3), normal(5, seed=4)
    y = layer(x)
    require(
        y.shape == (3, 5), f"(3, 7) through a mask (5, 7) should give (3, 5), not {[*y.shape]}."
    )
    plain, wanted = x @ layer.weight.T, x @ torch.where(mask, layer.weight, 0.0).T
    bias = layer.bias.detach()
    require(
        min(differs(y, plain + bias), differs(y, plain)) > TOLERANCE,
        "the mask is not used: the weights have changed since they were made, as they do in "
        "training, so it must be applied anew in every forward: self.weight * self.mask.",
    )
    require(differs(y, wanted) > TOLERANCE, "the bias is missing: F.linear(x, ___, self.bias).")
    opposite = x @ torch.where(mask, 0.0, layer.weight).T + bias
    require(differs(y, opposite) > TOLERANCE, "the mask is turned round: True lets a weight count.")
    require(
        differs(y, wanted + bias) < TOLERANCE,
        f"the first number should be {(wanted + bias)[0, 0]:.4f}, yours is {y[0, 0]:.4f}: "
        "F.linear of x, the masked weight and the bias.",
    )
    (slope,) = torch.autograd.grad(y.square().sum(), layer.weight)
    require((slope[~mask] == 0).all(), "a masked weight gets a gradient: mask inside forward.")
    require((slope[mask] != 0).all(), "the weights get no gradient: do not detach them.")
    return "equal to a product with zeros where the mask is False; no gradient there"


@check("autoregressive.masks")
def masks(function):
    """Multiply the masks together: a path from every earlier pixel, and from no other."""
    cures = {
        "reversed": "The masks look ahead instead of back (A4): below <= above.",
        "itself": "A pixel sees itself: the loss will fall to 0 and nothing can be drawn (A5). "
        "Into the answers strictly less, <.",
        "ahead": "A path leads from a pixel that is not drawn yet. Into a hidden unit below <= "
        "above, into an answer below < its pixel's place; rows above, columns below.",
        "blind": "Too strict (A2): no path from an earlier pixel. Into a hidden unit from what "
        "knows *no more*, <=; only the answers ask for strictly less.",
    }
    for hidden in ((11,), (30,), (23, 15), (11, 12, 13)):
        sizes = (12, *hidden, 12)
        for name, order in ORDERS.items():
            found = function(torch.tensor(order), *hidden)
            sides = [(len(mask), mask.shape[-1]) for mask in found[-1:]]
            require(
                len(hidden) == 1 or sides != [(12, hidden[0])],
                "the last mask's columns are the units of the LAST hidden layer, degrees[-1].",
            )
            wanted = list(zip(sizes[1:], sizes[:-1], strict=True))
            require(
                [tuple(mask.shape) for mask in found] == wanted
                and all(mask.dtype == torch.bool for mask in found),
                f"12 pixels and hidden layers {hidden} should give bool masks {wanted}, a row for "
                f"each unit above; yours: {[(mask.dtype, tuple(mask.shape)) for mask in found]}.",
            )
            paths = torch.eye(12).double()
            for mask in found:
                paths = mask.double() @ paths
            _require_causal(paths > 0, order, f"{name}, hidden {hidden},", cures)
    return "with one, two and three hidden layers: a path from every earlier pixel, and no other"
