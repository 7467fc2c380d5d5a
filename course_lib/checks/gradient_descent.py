"""Checks of lesson 10: averages, loss and gradients; gradient_descent_loop holds the others."""

import math

import torch
from torch.nn import functional as F

from course_lib.checks import check, require
from course_lib.checks.gradient_descent_loop import full_gradient, scores, train_linear
from course_lib.checks.probes import TOLERANCE, differs, normal

__all__ = [
    "class_means",
    "cross_entropy",
    "full_gradient",
    "log_sum_exp",
    "loss_gradient",
    "numerical_gradient",
    "scores",
    "train_linear",
]

NARROW = (
    "it fails on a batch in which no picture shows the last class. F.one_hot(y) makes only as many "
    "columns as the largest label needs; write F.one_hot(y, K)"
)


@check("gradient_descent.class_means")
def class_means(function):
    """Compare the averages with a loop over the rows; the classes differ in size."""
    x, y = normal(30, 6), torch.tensor([0] * 15 + [1] * 9 + [2] * 5 + [3])
    y = y[torch.randperm(30, generator=torch.Generator().manual_seed(1))]
    sums, counts = torch.zeros(4, 6, dtype=torch.float64), [0] * 4
    for row, k in zip(x, y.tolist(), strict=True):
        sums[k] += row
        counts[k] += 1
    means = function(x, y, classes=4)
    require(
        means.shape == (4, 6),
        f"4 classes of rows of 6 numbers should give (4, 6); yours is {tuple(means.shape)}.",
    )
    require(
        differs(means, sums) > TOLERANCE,
        "these are sums, not averages: divide by the number of rows of the class.",
    )
    require(
        differs(means, sums / 30) > TOLERANCE and differs(means, sums / (30 / 4)) > TOLERANCE,
        "the sums are divided by the same number for every class. The classes differ in size: "
        "divide each by how many rows of its own it has.",
    )
    expected = sums / torch.tensor(counts)[:, None]
    require(
        differs(means, expected) < TOLERANCE,
        "row k should be the mean over the rows of x whose label is k, pixel by pixel (dim=0).",
    )
    return "classes of 15, 9, 5 and 1 rows, each with the mean of its own"


@check("gradient_descent.log_sum_exp")
def log_sum_exp(function):
    """Compare with the plain formula where that works, and with exact values where it does not."""
    logits = normal(5, 7, seed=1)
    out, plain = function(logits), logits.exp().sum(1).log()
    require(
        out.shape == (5,),
        f"logits (5, 7) should give one number a row, (5,); yours is {tuple(out.shape)}.",
    )
    top = logits.max(1).values
    require(
        differs(out, plain - top) > TOLERANCE,
        "the maximum was taken out and never added back: log sum exp(s) = m + log sum exp(s - m).",
    )
    require(
        differs(out, plain) < TOLERANCE,
        f"for moderate logits the answer should be log(sum(exp(logits))) over each row, "
        f"{plain[0]:.4f} in the first; yours is {out[0]:.4f}. Sum, not mean; dim=1; logarithm.",
    )
    big = torch.tensor([[1000.0, 1000.0], [-1000.0, -1000.0], [-500.0, 500.0]])
    out = function(big)
    exact = torch.tensor([1000 + math.log(2), -1000 + math.log(2), 500])
    require(
        not (out == math.inf).any() and not out.isnan().any(),
        f"for logits (1000, 1000) and (-500, 500) the answers are 1000.693 and 500; yours are "
        f"{out[0]} and {out[2]}: exp(1000) overflows. Subtract the row's largest logit before exp.",
    )
    require(
        differs(out, exact) < 1e-3,
        f"for rows around 1000 and -1000 the answers are 1000.693 and -999.307; yours are "
        f"{out[0]:.3f} and {out[1]:.3f}. Every row needs the maximum of its own.",
    )
    logits = normal(3, 4, seed=2).requires_grad_()
    gradient = torch.autograd.grad(function(logits).sum(), logits)[0]
    require(
        differs(gradient, logits.detach().softmax(1)) < TOLERANCE,
        "the gradient should be softmax(logits): use tensors all the way (no .item(), no .data).",
    )
    return "equal to the plain formula, exact at 1000 and -1000, and its gradient is the softmax"


@check("gradient_descent.cross_entropy")
def cross_entropy(function):
    """Check values known without computing, torch's own loss, and the signatures of mistakes."""
    logits, y = normal(6, 10, seed=3), torch.tensor([3, 1, 4, 1, 5, 9])
    _require_order(function, logits, y)
    loss, nats = function(logits, y), F.cross_entropy(logits, y)
    require(
        loss.shape == (),
        f"the loss is one number, the mean over the batch; yours has shape {tuple(loss.shape)}.",
    )
    p = logits.softmax(1)
    known = {
        "it is the sum over the batch; take the mean, or the gradient grows with the batch.": 6
        * nats,
        "the sign is the other way round: log-sum-exp minus the right logit.": -nats,
        "this is in bits: take the natural logarithm.": nats / math.log(2),
        "a softmax stands before the loss (C1), which applies its own: pass the logits as they "
        "are.": F.cross_entropy(p, y),
        "input and target are swapped (C2): the labels say which log-probability of the model "
        "counts, not the other way round.": F.cross_entropy(F.one_hot(y, 10).double(), p),
        "each row is paired with the labels of all rows: logits[:, y] has shape (B, B). You need "
        "one entry a row.": (logits.logsumexp(1)[:, None] - logits[:, y]).mean(),
    }
    for message, value in known.items():
        require(
            differs(loss, value) > TOLERANCE, f"{loss:.4f} where {nats:.4f} is right: {message}"
        )
    require(
        differs(loss, nats) < TOLERANCE,
        f"on random logits the loss should be {nats:.4f} nats; yours is off by {loss - nats:.1e}. "
        "It is the mean over the batch of log_sum_exp(logits) - (the logit of the right class), "
        "with no small number added inside a logarithm.",
    )
    sure = torch.tensor([[0.0, 1000.0], [0.0, -1000.0]])
    got = [function(row[None], torch.tensor([1])).item() for row in sure]
    require(
        abs(got[0]) < 1e-3 and abs(got[1] - 1000) < 1e-3,
        f"logits (0, 1000) and (0, -1000) with class 1 right cost 0 and 1000 nats; yours are "
        f"{got[0]} and {got[1]}. Form no probability: stay with log_sum_exp.",
    )
    equal = function(torch.zeros(4, 10), torch.tensor([0, 3, 6, 9])).item()
    require(abs(equal - math.log(10)) < 1e-6, "ten equal logits should cost ln 10 = 2.303 nats.")
    return "torch's value on random logits, 0 and 1000 nats for sure answers, ln 10 without opinion"


def _require_order(function, logits, y):
    """Raise CheckFailed if the function works only with its arguments in the other order."""
    try:
        function(logits, y)
    except NotImplementedError:
        raise
    except Exception:
        try:
            function(y, logits)
        except Exception:  # noqa: BLE001  then the first error is the one to show
            function(logits, y)
        else:
            require(False, "the arguments are swapped (C2): the logits come first, then y.")


@check("gradient_descent.numerical_gradient")
def numerical_gradient(function):
    """Differentiate a cubic, of which central differences have a known error."""
    a, w = normal(2, 3, seed=4), normal(2, 3, seed=5)
    before, eps = w.clone(), 0.01

    def cubic(v):
        return (a * v**3).sum()

    grad = function(cubic, w, eps=eps)
    require(differs(w, before) == 0, "w itself was moved: nudge a copy, or put it back exactly.")
    require(
        grad.shape == w.shape,
        f"the gradient has the shape of w, (2, 3); yours is {tuple(grad.shape)}.",
    )
    slope = 3 * a * w**2
    right = slope + a * eps**2  # exact for a cubic
    for message, value in {
        "divide by 2 * eps: the two points lie that far apart.": 2 * right,
        "the sign is wrong: f(w + nudge) - f(w - nudge).": -right,
        "one-sided differences have an error of order eps; go both ways.": slope
        + 3 * a * w * eps
        + a * eps**2,
        "eps is accepted and ignored.": slope + a * 1e-10,
    }.items():
        require(differs(grad, value) > 1e-7, message)
    require(
        differs(grad, right) < TOLERANCE,
        f"of a cubic the first slope should be {right[0, 0]:.5f} with eps = 0.01; yours is "
        f"{grad[0, 0]:.5f}. Every entry is moved alone, the others stay.",
    )
    return "the six slopes of a cubic, with exactly the error that central differences have"


@check("gradient_descent.loss_gradient")
def loss_gradient(function):
    """Compare the gradient by hand with autograd on torch's own loss."""
    x, y = normal(6, 5, seed=6), torch.tensor([0, 2, 1, 2, 2, 0])
    W, b = normal(5, 3, seed=7).requires_grad_(), normal(3, seed=8).requires_grad_()
    F.cross_entropy(x @ W + b, y).backward()
    expected = W.grad, b.grad
    found = function(x, y, W.detach(), b.detach())
    require(
        isinstance(found, tuple | list) and len(found) == 2,
        "return two tensors: the gradient in W and the gradient in b.",
    )
    for name, grad, right in zip("Wb", found, expected, strict=True):
        require(
            grad.shape == right.shape,
            f"the gradient in {name} has the shape of {name}, {tuple(right.shape)}; yours is "
            f"{tuple(grad.shape)}.",
        )
        _require_gradient(name, grad, right)
    p = (x @ W.detach() + b.detach()).softmax(1)
    require(differs(found[0], x.T @ p / 6) > TOLERANCE, "the one-hot is missing: p - one-hot.")
    for name, grad, right in zip("Wb", found, expected, strict=True):
        require(
            differs(grad, right) < TOLERANCE,
            f"the gradient in {name} is off by {differs(grad, right):.2g} from autograd's. delta = "
            "(p - one-hot) / B takes 1 from one entry of each row; then x.T @ delta and the sum "
            "of delta over the batch.",
        )
    try:
        function(x, y % 2, W.detach(), b.detach())  # a batch without the last class
    except RuntimeError as error:
        require(False, f"{NARROW}. ({error})")
    large = function(torch.ones(1, 1), torch.tensor([1]), torch.tensor([[1000.0, 0.0]]), 0)
    require(
        differs(large[0], torch.tensor([[1.0, -1.0]])) < 1e-6,
        "with a logit of 1000 the gradient should be (1, -1): the softmax overflows. Take exp of "
        "logits - log_sum_exp(logits).",
    )
    return "equal to autograd through torch's loss in float64, and right at a logit of 1000"


def _require_gradient(name, grad, right):
    """Raise CheckFailed if the gradient is off by its sign or by a factor of the batch size."""
    require(
        differs(grad, -right) > TOLERANCE,
        f"the gradient in {name} has the wrong sign: what the model said minus what was right.",
    )
    require(
        differs(grad, 6 * right) > TOLERANCE,
        f"the gradient in {name} is 6 times too large for a batch of 6: the loss is a mean, so "
        "divide by B.",
    )
    require(
        differs(grad, right / 6) > TOLERANCE,
        f"the gradient in {name} is 6 times too small for a batch of 6: divide by B once, and sum.",
    )
