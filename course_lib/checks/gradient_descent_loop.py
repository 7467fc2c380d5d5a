"""Checks of lesson 10, the loop: training, the gradient in pieces, honest scores."""

import warnings

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from course_lib import datasets, display
from course_lib.checks import check, require
from course_lib.checks.probes import differs, normal, random_images

CLOSE = 1e-5  # the training computes in float32


class _TinyConfig:
    batch_size, steps, lr, seed = 8, 4, 0.7, 0


def _train_by_hand(
    images, labels, start, *, loss_of=F.cross_entropy, doubled=False, kept=False, uphill=False
):
    """Train rightly, or with one classic mistake, in float64; return W, b and the losses."""
    cfg, losses = _TinyConfig, []
    W, b = (p.double() for p in start)
    old = torch.zeros_like(W), torch.zeros_like(b)
    batches = datasets.batches(
        images,
        labels,
        batch_size=cfg.batch_size,
        generator=torch.Generator().manual_seed(0),
        steps=cfg.steps,
    )
    for x, y in batches:
        W, b = W.detach().requires_grad_(), b.detach().requires_grad_()
        logits = x.flatten(1).double() / 255 @ W + b
        loss = loss_of(logits.softmax(1) if doubled else logits, y)
        grads = torch.autograd.grad(loss, (W, b))
        if kept:
            grads = old = tuple(a + g for a, g in zip(old, grads, strict=True))
        rate = -cfg.lr if uphill else cfg.lr
        W, b = W - rate * grads[0], b - rate * grads[1]
        losses.append(loss.item())
    return W.detach(), b.detach(), losses


MISTAKES = {
    "uphill": "the steps go uphill: the gradient points to where the loss grows, so subtract.",
    "kept": "the gradients of earlier steps are still there: backward() adds. Set p.grad = None "
    "after each step.",
    "doubled": "a softmax stands before cross_entropy (C1), which applies its own: pass the "
    "logits.",
}

# What torch says -> what to do about it.
CURES = {
    "a leaf Variable that requires grad": "The step itself was recorded: take it inside "
    "`with torch.no_grad():`.",
    "does not require grad": "Nothing was recorded. Either the loss is computed inside "
    "torch.no_grad() (only the step belongs there), or W = W - ... made a new tensor in there that "
    "records nothing: change W and b in place, p -= cfg.lr * p.grad.",
    "NoneType": "A gradient is None. Either loss.backward() is missing, or W = W - ... made a new "
    "tensor, and backward() fills .grad only of the first W: change W and b in place, "
    "p -= cfg.lr * p.grad, inside torch.no_grad().",
}


def _train(function, images, labels, **options):
    """Call train_linear; add the cure to the errors that torch raises for known mistakes."""
    generator = torch.Generator().manual_seed(0)
    try:
        with display.held(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of the .grad of a tensor bound anew
            return function(_TinyConfig, images, labels, generator, **options)
    except (RuntimeError, TypeError) as error:
        for words, cure in CURES.items():
            require(words not in str(error), f"{type(error).__name__}: {error}\n  {cure}")
        raise


@check("gradient_descent.train_linear")
def train_linear(function):
    """Compare four steps of training with the same steps written out in float64."""
    images, labels = random_images(40, 4), torch.arange(40) % 10
    start = normal(16, 10).float(), normal(10, seed=1).float()
    (W, b), history = _train(function, images, labels, start=start)
    steps, losses = history["loss"]
    require(
        list(steps) == [0, 1, 2, 3],
        f"4 steps should be logged as 0, 1, 2, 3; the history says {list(steps)} (C11). A step is "
        "one update of the weights, counted once.",
    )
    expected_W, expected_b, expected_losses = _train_by_hand(images, labels, start)
    require(differs(W, start[0]) > 0, "the weights W have not moved at all.")
    require(differs(b, start[1]) > 0, "the biases b have not moved at all.")
    if differs(W, expected_W) > CLOSE:
        for mistake, message in MISTAKES.items():
            wrong = _train_by_hand(images, labels, start, **{mistake: True})[0]
            require(differs(W, wrong) > CLOSE, message)
    require(
        abs(losses[0] - expected_losses[0]) < CLOSE,
        f"the first loss should be {expected_losses[0]:.4f}, yours is {losses[0]:.4f}: the "
        "cross-entropy of x @ W + b, with x in 0..1, the mean over the batch, before the step.",
    )
    require(
        differs(W, expected_W) < CLOSE and differs(b, expected_b) < CLOSE,
        "after four steps the weights are not those of p -= cfg.lr * p.grad for both W and b: "
        "loss, gradient, step, each once a batch, with cfg.lr.",
    )
    _require_loss(function, images, labels, start)
    _require_stop(function, images, labels)
    return "four steps equal the same steps in float64; each counted once; it stops when told"


def _squared(logits, y):
    return (logits - F.one_hot(y, 10)).square().mean()


def _require_loss(function, images, labels, start):
    """Train with another loss, whose gradient is another too."""
    (W, b), history = _train(function, images, labels, start=start, loss_of=_squared)
    right_W, right_b, losses = _train_by_hand(images, labels, start, loss_of=_squared)
    require(
        abs(history["loss"][1][0] - losses[0]) < CLOSE,
        "loss_of is accepted and ignored: the loss is loss_of(logits, y).",
    )
    require(
        differs(W, right_W) < CLOSE and differs(b, right_b) < CLOSE,
        "the loss is that of loss_of, the gradient is not: with a squared error as loss_of the "
        "weights go elsewhere. loss_gradient knows cross-entropy only; loss.backward() follows "
        "whatever loss_of computed.",
    )


def _require_stop(function, images, labels):
    """Train from zeros, on a budget that is spent before the first step."""
    (W, b), history = _train(function, images, labels, should_stop=lambda: 1.0)
    require(
        not history,
        "should_stop is accepted and ignored: give it to training.progress.",
    )
    require(
        differs(W, torch.zeros(16, 10)) == differs(b, torch.zeros(10)) == 0,
        "without a start, W (P, K) and b (K,) begin as zeros.",
    )


class _Pieces(TorchFunctionMode):
    """Note the largest number of pictures of 16 pixels that become floats in one call."""

    largest = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        floats = isinstance(out, torch.Tensor) and out.dim() > 1 and out.is_floating_point()
        if floats and out.shape[1:] in ((16,), (1, 4, 4)):
            self.largest = max(self.largest, len(out))
        return out


@check("gradient_descent.full_gradient")
def full_gradient(function):
    """Compare with autograd over all images at once; the last piece is smaller."""
    images, labels = random_images(24, 4), torch.arange(24) % 10
    W, b = normal(16, 10).float().requires_grad_(), normal(10, seed=1).float().requires_grad_()
    F.cross_entropy(images.flatten(1).float() / 255 @ W + b, labels).backward()
    for size in (24, 12, 10):
        with _Pieces() as pieces_seen:
            grads = function(images, labels, W.detach(), b.detach(), size=size)
        for name, grad, right in zip("Wb", grads, (W.grad, b.grad), strict=True):
            pieces = -(-24 // size)
            require(
                pieces == 1 or differs(grad, pieces * right) > CLOSE,
                f"the gradient in {name} grows with the number of pieces: these are means, so "
                "weight each with its share of the images.",
            )
            require(
                differs(grad, right) < CLOSE,
                f"with pieces of {size} of 24 images the gradient in {name} is off by "
                f"{differs(grad, right):.2g}. Every image counts once, also those of the smaller "
                "last piece: weight each piece with len(x) / len(images).",
            )
        require(
            pieces_seen.largest <= size,
            f"the gradient is right, but with size={size} it is computed from "
            f"{pieces_seen.largest} images at once: split first, as_rows for each piece.",
        )
    return "24 images in one piece, as 12 + 12 and as 10 + 10 + 4: always the same gradient"


@check("gradient_descent.scores")
def scores(function):
    """Score a model that knows its training images by heart on images whose answers are known."""
    images, W, b = random_images(1301, 4), normal(16, 10).float(), normal(10, seed=1).float()
    answers = (images.flatten(1).float() / 255 @ W + b).argmax(1)
    first, last = slice(1000), slice(1000, None)
    wrong = (answers + 1) % 10
    test_y = torch.where(torch.arange(301) % 4 == 0, answers[last], wrong[last])
    mixed_y = torch.where(torch.arange(1301) < 1000, answers, wrong)
    splits = {
        "train": (images[first], answers[first]),
        "test": (images[last], test_y),
        "mixed": (images, mixed_y),
    }
    found = function(W, b, splits)
    require(set(found) == set(splits), f"return one score per name: {', '.join(splits)}.")
    require(
        found["test"] != 1,
        "the score called test is that of the training images (C3): score each split on its own.",
    )
    right = {"train": 1.0, "test": 76 / 301, "mixed": 1000 / 1301}
    for name, share in right.items():
        require(abs(found[name] - (1 - share)) > 1e-9, "these are the shares of *wrong* answers.")
        require(
            abs(found[name] - share) < 1e-9,
            f"{name}: {share:.4f} of the images are read, you report {found[name]:.4f}. Does every "
            "image count once, also in a smaller last piece?",
        )
    return "three splits, each scored on its own images, every image counted once"
