"""The check of lesson 40 for NADE: its definition pixel by pixel, its Jacobian, a tiny world."""

import torch

from course_lib.checks import causality, check, require
from course_lib.checks.probes import TOLERANCE, differs, normal

SHAPE = (1, 2, 4)
D, HIDDEN = 8, 5


def _by_definition(x, c, W, b, V, *, own=False, squash=torch.sigmoid):
    """Return the logits as the equations say it, each hidden layer anew; own: j <= i for j < i."""
    flat, logits = x.flatten(1), []
    for i in range(D):
        past = slice(0, i + own)
        hidden = squash(c + flat[:, past] @ W[:, past].T)
        logits.append(b[i] + hidden @ V[i])
    return torch.stack(logits, dim=1).view_as(x)


def _require_no_mistake(found, x, c, W, b, V):
    """Say which common mistake makes these logits."""

    def alike(wrong):
        return differs(found, wrong) < TOLERANCE

    require(
        not alike(_by_definition(x, c, W, b, V, own=True)),
        "each pixel hears itself (A5): first answer, then add its column to the sum.",
    )
    require(
        not alike(_by_definition(x, c, W, b, V, squash=lambda sums: sums)),
        "the hidden layer is the sigmoid of the sum: without it all is one regression.",
    )
    require(not alike(_by_definition(x, c, W, torch.zeros_like(b), V)), "the bias b[i] is missing.")
    require(not alike(_by_definition(x, 0 * c, W, b, V)), "the sum starts from c, not from 0.")
    require(
        not alike(_by_definition(torch.zeros_like(x), c, W, b, V)),
        "no pixel is ever added: seen = seen + pixel[:, None] * W[:, i].",
    )
    require(
        not alike(_by_definition(torch.ones_like(x), c, W, b, V)),
        "the columns are added whatever the pixels are: times pixel[:, None].",
    )


@check("autoregressive.nade")
def nade(function):
    """Compare with the equations; look ahead by the Jacobian; add up a world of 256 pictures."""
    c, W, b, V = (
        normal(*n, seed=k) for k, n in enumerate([(HIDDEN,), (HIDDEN, D), (D,), (D, HIDDEN)])
    )
    x = (normal(6, *SHAPE, seed=9) > 0).double()
    start = c.clone()
    found = function(x, c, W, b, V)
    require(
        isinstance(found, torch.Tensor) and found.shape == x.shape,
        f"6 pictures {[*SHAPE]} should get logits of the same shape, not "
        f"{[*getattr(found, 'shape', [])]}: torch.stack(logits, dim=1).view_as(x).",
    )
    require(torch.equal(c, start), "c itself was changed: seen = seen + ___, not +=.")
    _require_no_mistake(found, x, c, W, b, V)
    seen = causality.jacobian(lambda x: function(x, c, W, b, V), SHAPE)
    causality.require_causal(seen, SHAPE)
    require(
        differs(found, _by_definition(x, c, W, b, V)) < TOLERANCE,
        f"the last logit of the first picture should be "
        f"{_by_definition(x, c, W, b, V)[0, 0, -1, -1]:.4f}, yours is {found[0, 0, -1, -1]:.4f}: "
        "b[i] + sigmoid(c + the sum of W[:, j] x_j for j < i) @ V[i].",
    )
    from course_lib.built.autoregressive import log_prob  # lessons are built before checks run

    worlds = torch.cartesian_prod(*torch.tensor([[0.0, 1.0]] * D).double()).view(-1, *SHAPE)
    total = log_prob(lambda x: function(x, c, W, b, V), worlds).exp().sum()
    require(abs(total - 1) < TOLERANCE, f"256 pictures should sum to 1, yours to {total:.4f}.")
    return "as the equations say; the Jacobian is strictly triangular; 256 pictures sum to 1"
