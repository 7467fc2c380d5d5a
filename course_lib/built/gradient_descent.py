# Generated from notebooks/src/10_gradient_descent.py by `python3 -m course_lib build 10`.
# Edit the lesson, not this file.
"""Lesson 10, "Learn by gradient descent": what it builds, for later lessons to import."""

import math
from dataclasses import dataclass

import torch

from course_lib import datasets, training
from course_lib.settings import profile


@dataclass
class Config:
    """The numbers of lesson 10; `profile` picks the value for the profile that you run in."""

    steps: int = profile(smoke=40, standard=3000, full=20000)
    batch_size: int = 128  # images per step
    lr: float = 0.3  # learning rate; section 7 finds it
    seed: int = 0


def as_rows(images):
    """Turn images uint8 (N, C, H, W) into rows float32 (N, P) of numbers from 0 to 1."""
    return images.flatten(1).float() / 255


def as_pictures(W):
    """Turn weights (P, K), P a square, into colour pictures (K, 3, H, H) from 0 to 1.

    Blue is positive, orange negative, white 0; the largest weight has the full colour.
    """
    side = math.isqrt(len(W))
    w = (W / W.abs().max().clamp(min=1e-12)).detach().cpu().T.reshape(-1, 1, side, side)
    blue, orange = torch.tensor([[0.0, 0.45, 0.7], [0.84, 0.37, 0.0]])[..., None, None]
    return 1 - w.clamp(min=0) * (1 - blue) + w.clamp(max=0) * (1 - orange)


def class_means(x, y, classes=10):
    """Return the average picture (K, P) of each class, from rows x (N, P) and labels y (N,)."""
    return torch.stack([x[y == k].mean(dim=0) for k in range(classes)])


def log_sum_exp(logits):
    """Return log(sum(exp(logits))) of each row: (B, K) -> (B,), without overflow."""
    top = logits.max(dim=1, keepdim=True).values  # (B, 1)
    return top.squeeze(1) + (logits - top).exp().sum(dim=1).log()


def cross_entropy(logits, y):
    """Return the mean over the batch of -log softmax(logits)[y], in nats.

    logits: (B, K), any real numbers; y: int64 (B,). Bishop (2006), equation 4.108, per picture.
    """
    right = logits[torch.arange(len(y)), y]  # (B,)
    return (log_sum_exp(logits) - right).mean()


def blank(images, classes=10):
    """Return weights (P, K) and biases (K,) of zeros that fit images (N, C, H, W)."""
    P = images[0].numel()
    return torch.zeros(P, classes, device=images.device), torch.zeros(classes, device=images.device)


def accuracy(W, b, images, labels):
    """Return the share of images uint8 (N, C, H, W) whose highest score is that of their label."""
    answers = [(as_rows(part) @ W + b).argmax(dim=1) for part in images.split(5000)]
    return (torch.cat(answers) == labels).cpu().double().mean().item()


def loss_gradient(x, y, W, b):
    """Return the gradients (P, K) and (K,) of cross_entropy(x @ W + b, y) in W and b.

    x: (B, P), y: int64 (B,). Bishop (2006), equation 4.109, divided by B.
    """
    B = len(x)
    logits = x @ W + b  # (B, K)
    delta = (logits - log_sum_exp(logits)[:, None]).exp()
    delta[torch.arange(B), y] -= 1
    delta /= B
    return x.T @ delta, delta.sum(dim=0)


def numerical_gradient(f, w, eps=1e-5):
    """Return the slopes of f(w), a number, in every entry of w, by central differences.

    w: float64 of any shape -> the same shape. Calls f twice per entry; w stays as it is.
    """
    grad = torch.zeros(w.shape, dtype=w.dtype, device=w.device)
    for i in range(w.numel()):
        nudge = torch.zeros_like(grad)
        nudge.view(-1)[i] = eps
        grad.view(-1)[i] = (f(w + nudge) - f(w - nudge)) / (2 * eps)
    return grad


def train_linear(
    cfg,
    images,
    labels,
    generator,
    *,
    start=None,
    loss_of=cross_entropy,
    should_stop=training.never_stop,
    view=None,
):
    """Learn from images uint8 (N, C, H, W) and labels int64 (N,); return (W, b) and the history.

    Stochastic gradient descent on loss_of(logits, y), from zeros or from `start`, a pair (W, b);
    ends after cfg.steps, or when the budget of should_stop is used up.
    """
    W, b = (p.detach().clone().requires_grad_() for p in start or blank(images))
    batches = datasets.batches(images, labels, batch_size=cfg.batch_size, generator=generator)
    with training.progress(cfg.steps, should_stop, view) as run:
        for _, (x, y) in zip(run, batches, strict=False):
            x = as_rows(x)  # (B, P) in 0..1
            loss = loss_of(x @ W + b, y)
            loss.backward()
            with torch.no_grad():
                for p in (W, b):
                    p -= cfg.lr * p.grad
                    p.grad = None
            run.log(loss=loss)
    return (W.detach(), b.detach()), run.history


def full_gradient(images, labels, W, b, size=1000):
    """Return the gradients of the mean loss over all images uint8 (N, C, H, W), piece by piece."""
    grad_W, grad_b = torch.zeros_like(W), torch.zeros_like(b)
    for x, y in zip(images.split(size), labels.split(size), strict=True):
        part_W, part_b = loss_gradient(as_rows(x), y, W, b)
        grad_W += part_W * len(x) / len(images)
        grad_b += part_b * len(x) / len(images)
    return grad_W, grad_b


def scores(W, b, splits):
    """Return name -> accuracy for splits: name -> (images uint8 (N, C, H, W), labels (N,))."""
    return {name: accuracy(W, b, images, labels) for name, (images, labels) in splits.items()}
