"""Checks of lesson 11, the training loop: every gradient of its steps, against autograd."""

import torch
from torch.nn import functional as F

from course_lib import datasets, display
from course_lib.checks import check, require
from course_lib.checks.probes import differs, normal, random_images

NAMES = ("W1", "b1", "W2", "b2")


def logits_of(parameters, x):
    """Return the logits (B, K) of the network with the parameters W1, b1, W2, b2."""
    W1, b1, W2, b2 = parameters
    return torch.relu(x @ W1 + b1) @ W2 + b2


class _TinyConfig:
    batch_size, steps, measure_every = 8, 4, 2


class _Recorder:
    """An optimiser that remembers the gradients and takes plain steps."""

    def __init__(self, parameters):
        self.parameters, self.seen = parameters, []

    def step(self, gradients):
        self.seen.append([g.detach().clone() for g in gradients])
        for p, g in zip(self.parameters, gradients, strict=True):
            p -= 0.5 * g


@check("backpropagation.train_two_layers")
def train_two_layers(function):
    """Compare every gradient of four steps with autograd's, in float64."""
    from course_lib.built.backpropagation import TwoLayers

    images, labels = random_images(40, 4), torch.arange(40) % 10
    shapes = ((16, 6), (6,), (6, 10), (10,))
    start = [normal(*shape, seed=seed).float() / 2 for seed, shape in enumerate(shapes)]
    model, measured = TwoLayers(*(p.clone() for p in start)), []
    opt = _Recorder(model.parameters)
    history = _train(
        function, model, opt, _TinyConfig, images, labels, torch.Generator().manual_seed(0),
        measure=lambda m: {"seen": float(measured.append(m) or len(opt.seen))},
    )  # fmt: skip
    require(len(opt.seen) > 0, "the optimiser was never called: opt.step(gradients).")
    require(
        len(opt.seen) == 4 and list(history["loss"][0]) == [0, 1, 2, 3],
        f"4 steps should be 4 calls of opt.step and 4 logged losses; there were {len(opt.seen)} "
        f"and {len(history['loss'][0])}.",
    )
    batches = datasets.batches(
        images, labels, batch_size=8, generator=torch.Generator().manual_seed(0), steps=4
    )
    expected = [p.double() for p in start]
    for step, (x, y) in enumerate(batches):
        leaves = [p.clone().requires_grad_() for p in expected]
        loss = F.cross_entropy(logits_of(leaves, x.flatten(1).double() / 255), y)
        loss.backward()
        _require_step(step, opt.seen[step], [p.grad for p in leaves], history, loss.item())
        expected = [p.detach() - 0.5 * p.grad for p in leaves]
    require(
        history.get("seen") == ([0, 2], [0.0, 2.0]),
        "measure(model) should be logged before steps 0 and 2 with measure_every = 2.",
    )
    history = _train(
        function,
        model,
        opt,
        _TinyConfig,
        images,
        labels,
        torch.Generator(),
        should_stop=lambda: 1.0,
    )
    require(not history, "should_stop is accepted and ignored: give it to training.progress.")
    return "four steps, each with the gradients of its own batch; measures on time; stops when told"


def _train(function, *arguments, **settings):
    """Call the loop without its progress line; explain the error of a loss.backward()."""
    try:
        with display.held():
            return function(*arguments, **settings)
    except RuntimeError as error:
        require(
            "does not require grad" not in str(error),
            "there is no autograd here, so no loss.backward(): your own "
            "model.backward(logits_gradient(logits, y)) returns the gradients.",
        )
        raise


def _require_step(step, seen, right, history, loss):
    for name, grad, true in zip(NAMES, seen, right, strict=True):
        for message, wrong in {
            "uphill: the sign of the gradient is turned.": -true,
            "8 times too large for a batch of 8: logits_gradient divides by B already.": 8 * true,
        }.items():
            require(differs(grad, wrong) > 1e-5, f"step {step}, {name}: {message}")
        require(
            differs(grad, true) < 1e-5,
            f"in step {step} the gradient in {name} is off by {differs(grad, true):.2g}: backward "
            "needs logits_gradient(logits, y) of this very batch, with pixels in 0..1.",
        )
    found = history["loss"][1][step]
    require(
        abs(found - loss) < 1e-4,
        f"the loss logged at step {step} should be {loss:.4f}, yours is {found:.4f}: the "
        "cross-entropy of this batch before the step.",
    )
