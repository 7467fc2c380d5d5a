"""Checks of lesson 11, the exercises at its end: a stable tanh, and weights kept in time."""

import torch

from course_lib.checks import check, require
from course_lib.checks.probes import differs


@check("backpropagation.stable_tanh")
def stable_tanh(function):
    """Compare values and gradients with torch's from -1000 to 1000, in both precisions."""
    for kind, close in ((torch.float32, 1e-6), (torch.float64, 1e-12)):
        a = torch.tensor([-1000, -100, -30, -3, -0.1, 0, 0.1, 3, 30, 100, 1000], dtype=kind)
        a.requires_grad_()
        out = function(a)
        bad = a[out.isnan()].tolist()
        require(
            not bad,
            f"tanh is nan at {', '.join(f'{v:g}' for v in bad)}: exp overflows, and infinity / "
            "infinity is no number.",
        )
        true = a.detach().tanh()
        worst = (out.detach() - true).abs().argmax()
        require(
            differs(out.detach(), true) < close,
            f"tanh({a[worst]:g}) is {true[worst]:.6f}; yours is {out[worst]:.6f}. Where the "
            "exponential is cut off, tanh should be ±1 to all digits.",
        )
        slope = torch.autograd.grad(out.sum(), a)[0]
        require(
            not slope.isnan().any(),
            "the values are right but autograd's gradient is nan: an infinity somewhere inside is "
            "multiplied by 0. Keep the argument of exp small.",
        )
        require(
            differs(slope, 1 - true**2) < 10 * close,
            "the gradient should be 1 - tanh(a)**2; at 0 it is 1.",
        )
    return "values and gradients equal torch's from -1000 to 1000, in float32 and float64"


@check("backpropagation.KeepBest")
def keep_best(cls):
    """Offer weights that an optimiser goes on changing in place."""
    kept, p = cls(), torch.zeros(2)
    for value, loss in enumerate((3.0, 1.0, 2.0, 1.5)):
        p.fill_(value)
        kept.update([p], loss)
        if value == 0:
            require(kept.parameters is not None, "the first weights are the best so far.")
    require(kept.loss == 1.0, f"the lowest of the losses 3, 1, 2, 1.5 is 1; you keep {kept.loss}.")
    found = kept.parameters[0].tolist()
    require(
        found != [3.0, 3.0],
        "the weights kept changed when the optimiser went on: the list holds the tensors "
        "themselves. Keep copies (clone).",
    )
    require(found == [1.0, 1.0], f"the weights with the loss 1 were (1, 1); you keep {found}.")
    kept.update([p], 1.0)
    require(
        kept.parameters[0].tolist() == [1.0, 1.0], "an equal loss is no better: keep the first."
    )
    return "the weights of the lowest loss, unchanged by what the optimiser does afterwards"
