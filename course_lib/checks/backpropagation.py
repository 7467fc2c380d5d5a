"""Checks of lesson 11: network and start; the loop and the optimisers have modules of their own."""

import math

import torch

from course_lib.checks import check, require
from course_lib.checks.backpropagation_exercises import keep_best, stable_tanh
from course_lib.checks.backpropagation_loop import NAMES, logits_of, train_two_layers
from course_lib.checks.backpropagation_steps import adam, momentum
from course_lib.checks.probes import TOLERANCE, differs, normal

__all__ = [
    "adam",
    "he_normal",
    "keep_best",
    "momentum",
    "stable_tanh",
    "train_two_layers",
    "two_layers",
]

SHAPES = ((5, 7), (7,), (7, 3), (3,))  # W1, b1, W2, b2


def _numbers() -> list[torch.Tensor]:
    return [normal(*shape, seed=seed) for seed, shape in enumerate(SHAPES)]


@check("backpropagation.TwoLayers")
def two_layers(cls):
    """Compare forward with the formula, backward with autograd, on two batches in turn."""
    parameters, x = _numbers(), normal(6, 5, seed=9)
    model = cls(*(p.clone() for p in parameters))
    _require_forward(model.forward(x), parameters, x)
    for seed in (9, 10):
        x, delta = normal(6, 5, seed=seed), normal(6, 3, seed=seed + 2)
        leaves = [p.clone().requires_grad_() for p in parameters]
        logits_of(leaves, x).backward(delta)
        model.forward(x)
        found = model.backward(delta.clone())
        require(
            isinstance(found, list | tuple) and len(found) == 4,
            "backward returns four gradients, in the order of the parameters: W1, b1, W2, b2.",
        )
        for name, grad, leaf in zip(NAMES, found, leaves, strict=True):
            _require_gradient(name, grad, leaf.grad, parameters, x, delta)
    _require_differences(cls, parameters, x, delta)
    for name, now, before in zip(NAMES, model.parameters, parameters, strict=True):
        require(differs(now, before) == 0, f"{name} was changed: the optimiser does that, later.")
    return "forward is the formula; backward equals autograd and differences, in float64"


def _require_differences(cls, parameters, x, delta, eps=1e-6):
    """Nudge one number of each parameter: the slope of the candidate's own forward is known."""
    model = cls(*(p.clone() for p in parameters))
    model.forward(x)
    for name, p, grad in zip(NAMES, model.parameters, model.backward(delta), strict=True):
        values, old = [], p.view(-1)[0].item()
        for nudge in (eps, -eps):
            p.view(-1)[0] = old + nudge
            values.append((model.forward(x) * delta).sum().item())
        p.view(-1)[0] = old
        gap = abs((values[0] - values[1]) / (2 * eps) - grad.view(-1)[0].item())
        require(gap < 1e-6, f"the first slope in {name} is {gap:.2g} away from differences.")


def _require_forward(logits, parameters, x):
    W1, b1, W2, b2 = parameters
    expected = logits_of(parameters, x)
    require(
        logits.shape == expected.shape,
        f"6 rows and 3 classes should give logits (6, 3); yours are {tuple(logits.shape)}.",
    )
    for message, wrong in {
        "no relu stands between the layers: so they are one linear layer.": (x @ W1 + b1) @ W2 + b2,
        "b1 is missing.": torch.relu(x @ W1) @ W2 + b2,
        "b2 is missing.": torch.relu(x @ W1 + b1) @ W2,
        "a relu stands after the second layer too: logits may be negative.": expected.relu(),
    }.items():
        require(differs(logits, wrong) > TOLERANCE, message)
    require(
        differs(logits, expected) < TOLERANCE,
        "forward should be relu(x @ W1 + b1) @ W2 + b2.",
    )


def _require_gradient(name, grad, right, parameters, x, delta):
    """Raise CheckFailed if one gradient is not autograd's, naming the classic slips."""
    W1, b1, W2, _ = parameters
    a = x @ W1 + b1
    require(
        grad.shape == right.shape,
        f"the gradient in {name} has the shape of {name}, {tuple(right.shape)}; yours is "
        f"{tuple(grad.shape)}.",
    )
    open_ = delta @ W2.T
    slips = {
        "the relu is missing on the way back: blame passes only where a > 0.": {
            "W1": x.T @ open_,
            "b1": open_.sum(0),
        },
        "the relu passes where it was shut: a > 0, not a < 0.": {
            "W1": x.T @ (open_ * (a < 0)),
            "b1": (open_ * (a < 0)).sum(0),
        },
        "blame is multiplied with the relu's output; it passes whole where a > 0.": {
            "W1": x.T @ (open_ * a.relu()),
            "b1": (open_ * a.relu()).sum(0),
        },
        "blame is multiplied with a; it passes whole where a > 0.": {
            "W1": x.T @ (open_ * a),
            "b1": (open_ * a).sum(0),
        },
        "the mask is [a > 0], of a, not of the blame, which passes with either sign.": {
            "W1": x.T @ open_.relu(),
            "b1": open_.relu().sum(0),
        },
        "this takes a where h went into the second layer.": {"W2": a.T @ delta},
        "divide by B nowhere: delta holds the 1/B already.": {
            "W1": right / len(x),
            "b1": right / len(x),
            "W2": right / len(x),
            "b2": right / len(x),
        },
    }
    for message, wrong in slips.items():
        require(
            name not in wrong or differs(grad, wrong[name]) > TOLERANCE,
            f"the gradient in {name} is wrong: {message}",
        )
    require(
        differs(grad, right) < TOLERANCE,
        f"the gradient in {name} is off by {differs(grad, right):.2g} from autograd's. Does "
        "backward read what the *last* forward kept, mask the blame with [a > 0], and sum over "
        "the rows of the batch?",
    )


@check("backpropagation.he_normal")
def he_normal(function):
    """Measure mean and spread of many draws; another generator must give the same."""
    draws = [function(400, 300, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    W = draws[0]
    require(
        W.shape == (400, 300),
        f"400 inputs and 300 outputs need W (400, 300); yours is {tuple(W.shape)}.",
    )
    require(
        differs(W, draws[1]) == 0 and differs(W, draws[2]) > 0,
        "the same seed should give the same weights and another seed others: pass "
        "generator=generator.",
    )
    spread, right = W.double().std().item(), math.sqrt(2 / 400)
    for message, wrong in {
        "2 / inputs is the *variance*; the standard deviation is its root.": 2 / 400,
        "this is 1 / inputs: the relu throws away half, so 2 / inputs.": math.sqrt(1 / 400),
        "n is the number of inputs, not of outputs.": math.sqrt(2 / 300),
        "this is Glorot's mean of inputs and outputs; here only the inputs.": math.sqrt(2 / 700),
        "the numbers have not been scaled at all.": 1.0,
    }.items():
        require(
            abs(spread / wrong - 1) > 0.02,
            f"the standard deviation should be {right:.4f}, yours is {spread:.4f}: {message}",
        )
    require(
        abs(spread / right - 1) < 0.02 and abs(W.double().mean().item()) < right / 50,
        f"mean and standard deviation should be 0 and {right:.4f}; yours are "
        f"{W.double().mean().item():.4f} and {spread:.4f}.",
    )
    kurtosis = ((W.double() / spread) ** 4).mean().item()
    require(abs(kurtosis - 3) < 0.1, "the weights should be normal (randn), not uniform.")
    return f"120,000 weights with standard deviation {spread:.4f} = sqrt(2 / 400), from the seed"
