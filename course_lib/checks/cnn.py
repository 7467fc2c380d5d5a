"""Checks of lesson 14: training and prediction; cnn_layers and cnn_augment hold the others."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import datasets, display
from course_lib.checks import check, require
from course_lib.checks.cnn_augment import augment
from course_lib.checks.cnn_layers import batch_norm, fold_batch_norm, residual_block
from course_lib.checks.probes import TOLERANCE, differs, normal, probe, random_images

__all__ = [
    "augment",
    "batch_norm",
    "confusion_matrix",
    "fold_batch_norm",
    "predict",
    "residual_block",
    "train_classifier",
]


@check("cnn.predict")
def predict(function):
    """Check that predictions are those of eval mode, for every image, and leave no trace."""
    model, images = probe(), random_images(1003, 4)
    model.train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    logits = function(model, images)
    require(
        model.training,
        "the model came in training mode and left in eval mode; a training loop that goes on would "
        "train with frozen statistics. Put it back: model.train(was_training).",
    )
    for key, value in model.state_dict().items():
        require(
            torch.equal(value, before[key]),
            f"predicting changed {key}: the model was in training mode. Call model.eval() first.",
        )
    require(
        logits.shape == (len(images), 10),
        f"1003 images should give logits of shape (1003, 10); yours is {tuple(logits.shape)}. The "
        "last, smaller batch counts too.",
    )
    require(
        not logits.requires_grad, "the logits carry a graph: compute them under torch.no_grad()."
    )
    model.eval()
    with torch.no_grad():
        expected = model(images.float() / 255)
        unscaled = model(images.float())
    require(
        differs(logits, unscaled) > 1e-3,
        "the images went in as 0..255; the model is trained on 0..1. Divide by 255.",
    )
    require(
        differs(logits, expected) < 1e-3,
        "the logits are not those of the model in eval mode, image by image in the given order. "
        "With dropout or batch statistics at work, an image's score depends on its company.",
    )
    return (
        "1,003 images, each scored as if it were alone; eval mode, no graph, and the model is left "
        "as it came"
    )


class _TinyConfig:
    batch_size, steps, lr, weight_decay = 8, 3, 0.1, 0.3


class _Linear64(nn.Module):
    """A linear classifier in float64 whose weights all start at known values."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(16, 10).double()
        for seed, parameter in enumerate(self.parameters()):
            parameter.data.copy_(normal(*parameter.shape, seed=seed))

    def forward(self, x):
        return self.linear(x.double().flatten(1))


def _one_cycle(fraction):
    return (
        fraction / 0.2 if fraction < 0.2 else 0.5 + 0.5 * math.cos(math.pi * (fraction - 0.2) / 0.8)
    )


def _oracle_training(
    images, labels, *, softmax=False, keep_gradients=False, decay=True, flat=False
):
    """Train the probe by hand, rightly or with one classic mistake; return weights and losses."""
    cfg, model, losses = _TinyConfig, _Linear64(), []
    generator = torch.Generator().manual_seed(0)
    decay = cfg.weight_decay if decay else 0.0
    optimiser = torch.optim.AdamW(model.parameters(), lr=cfg.lr, weight_decay=decay)
    batches = datasets.batches(
        images, labels, batch_size=cfg.batch_size, generator=generator, steps=cfg.steps
    )
    for step, (x, y) in enumerate(batches):
        optimiser.param_groups[0]["lr"] = cfg.lr * (1 if flat else _one_cycle(step / cfg.steps))
        logits = model(x.float() / 255)
        log_p = F.log_softmax(logits.softmax(1) if softmax else logits, dim=1)
        loss = -log_p[torch.arange(len(y)), y].mean()
        if not keep_gradients:
            optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return torch.cat([p.detach().flatten() for p in model.parameters()]), losses


MISTAKES = {
    "softmax": "a softmax stands before F.cross_entropy, which applies its own: pass the logits.",
    "keep_gradients": "the gradients of earlier steps are still there: call optimiser.zero_grad() "
    "before loss.backward().",
    "flat": "the learning rate does not follow one_cycle: set it in every step.",
}


@check("cnn.train_classifier")
def train_classifier(function):
    """Compare three steps of training, in float64, with the same steps written out by hand."""
    images = random_images(40, 4)
    labels = torch.arange(40) % 10
    model, generator = _Linear64(), torch.Generator().manual_seed(0)
    with display.held():
        history = function(model.eval(), _TinyConfig, images, labels, generator)
    require(model.training, "the model must be put in training mode: model.train().")
    steps, losses = history["loss"]
    require(
        list(steps) == [0, 1, 2],
        f"3 steps should be logged as 0, 1, 2; the history says {list(steps)}. A step is one "
        "optimiser step, counted once.",
    )
    weights = torch.cat([p.detach().flatten() for p in model.parameters()])
    expected, expected_losses = _oracle_training(images, labels)
    if differs(weights, expected) > TOLERANCE:
        for mistake, message in MISTAKES.items():
            wrong, _ = _oracle_training(images, labels, **{mistake: True})
            require(differs(weights, wrong) > TOLERANCE, message)
        wrong, _ = _oracle_training(images, labels, decay=False)
        require(differs(weights, wrong) > TOLERANCE, "cfg.weight_decay is accepted and ignored.")
    require(
        abs(losses[0] - expected_losses[0]) < TOLERANCE,
        f"the first loss should be {expected_losses[0]:.4f}, yours is {losses[0]:.4f}. It is "
        "F.cross_entropy(model(x), y) on x / 255, the mean over the batch.",
    )
    require(
        differs(weights, expected) < TOLERANCE,
        "the weights after three steps are not those of AdamW with cfg.lr * one_cycle(fraction) "
        "and cfg.weight_decay: forward, zero_grad, backward, step, each once a batch.",
    )
    seen = []

    def augment_and_count(x, _generator):
        seen.append(x)
        return x

    with display.held():
        function(_Linear64(), _TinyConfig, images, labels, generator, augment=augment_and_count)
    require(len(seen) == 3, "augment must be applied to every batch.")
    return (
        "three float64 steps equal the same steps written out; softmax once, each step counted once"
    )


@check("cnn.confusion_matrix")
def confusion_matrix(function):
    """Check orientation, repeated pairs and evaluation mode on answers that are known."""
    model, images = probe(), random_images(400, 4)
    model.eval()
    with torch.no_grad():
        answer = model(images.float() / 255).argmax(1)
    labels = (answer + torch.arange(400) % 2) % 10
    model.train()
    counts = function(model, images, labels)
    expected = torch.zeros(10, 10, dtype=torch.long)
    for true, read in zip(labels.tolist(), answer.tolist(), strict=True):
        expected[true, read] += 1
    require(counts.shape == (10, 10), f"the table has shape {tuple(counts.shape)}, not (10, 10).")
    require(
        counts.sum() == 400,
        f"400 images were read and {int(counts.sum())} counted: `counts[index] += 1` counts a "
        "pair that occurs many times only once.",
    )
    require(
        not torch.equal(counts, expected.T),
        "rows and columns are swapped: the row is the true digit.",
    )
    require(
        torch.equal(counts, expected),
        "the counts are wrong: are the predictions those of a `predict` that passes its own check?",
    )
    return (
        "400 images, each counted once, in the row of its true digit, predicted in evaluation mode"
    )
