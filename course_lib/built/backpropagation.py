# Generated from notebooks/src/11_backpropagation.py by `python3 -m course_lib build 11`.
# Edit the lesson, not this file.
"""Lesson 11, "Backpropagate through two layers": what it builds, for later lessons to import."""

import math
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from course_lib import datasets, training
from course_lib.built.gradient_descent import as_rows, cross_entropy
from course_lib.settings import profile


@dataclass
class Config:
    """The numbers of lesson 11; `profile` picks the value for the profile that you run in."""

    steps: int = profile(smoke=60, standard=3000, full=10000)
    batch_size: int = 128  # images per step
    hidden: int = 128  # units between the two layers
    measure_every: int = 25  # steps
    seed: int = 0


def relu(a):
    """Return max(a, 0), entry by entry."""
    return a.clamp(min=0)


def logits_gradient(logits, y):
    """Return the gradient (B, K) of cross_entropy(logits, y) in the logits (B, K); lesson 10."""
    return (logits.softmax(dim=1) - F.one_hot(y, logits.shape[1])) / len(y)


class TwoLayers:
    """A network of two layers, relu(x @ W1 + b1) @ W2 + b2, that finds its own gradients.

    parameters: [W1 (P, M), b1 (M,), W2 (M, K), b2 (K,)], changed in place by an optimiser.
    """

    def __init__(self, W1, b1, W2, b2):
        self.parameters = [W1, b1, W2, b2]

    def forward(self, x):
        """Return logits (B, K) for rows x (B, P), and keep what backward needs."""
        W1, b1, W2, b2 = self.parameters
        self.x = x
        self.a = x @ W1 + b1
        self.h = relu(self.a)
        return self.h @ W2 + b2

    def backward(self, delta):
        """Return the loss's gradients in the four parameters, from that in the logits (B, K)."""
        W1, b1, W2, b2 = self.parameters
        grad_a = (delta @ W2.T) * (self.a > 0)
        return [self.x.T @ grad_a, grad_a.sum(dim=0), self.h.T @ delta, delta.sum(dim=0)]


def he_normal(inputs, outputs, generator):
    """Draw weights (inputs, outputs) ~ N(0, 2 / inputs). He et al. (2015), equation 10."""
    unit = torch.randn(inputs, outputs, generator=generator, device=generator.device)
    return math.sqrt(2 / inputs) * unit


def fresh(hidden, generator, gain=1.0, inputs=784, classes=10):
    """Return an untrained TwoLayers: He's weights times `gain`, biases of zero."""
    W1, W2 = he_normal(inputs, hidden, generator), he_normal(hidden, classes, generator)
    b1, b2 = (torch.zeros(n, device=generator.device) for n in (hidden, classes))
    return TwoLayers(gain * W1, b1, gain * W2, b2)


class Momentum:
    """Gradient descent with a velocity, v <- momentum v + g, p <- p - lr v. Polyak (1964)."""

    def __init__(self, parameters, lr, momentum=0.9):
        self.parameters, self.lr, self.momentum = list(parameters), lr, momentum
        self.velocities = [torch.zeros_like(p) for p in self.parameters]

    @torch.no_grad()
    def step(self, gradients):
        """Change velocities and parameters in place."""
        for p, v, g in zip(self.parameters, self.velocities, gradients, strict=True):
            v *= self.momentum
            v += g
            p -= self.lr * v


def train_two_layers(
    model,
    opt,
    cfg,
    images,
    labels,
    generator,
    *,
    measure=None,
    should_stop=training.never_stop,
    view=None,
):
    """Train `model` in place on images uint8 (N, C, H, W), labels int64 (N,); return the history.

    measure(model) -> dict of numbers to log, called every cfg.measure_every steps.
    """
    batches = datasets.batches(images, labels, batch_size=cfg.batch_size, generator=generator)
    with training.progress(cfg.steps, should_stop, view) as run:
        for step, (x, y) in zip(run, batches, strict=False):
            if measure and step % cfg.measure_every == 0:
                run.log(**measure(model))
            logits = model.forward(as_rows(x))  # (B, K)
            loss = cross_entropy(logits, y)
            opt.step(model.backward(logits_gradient(logits, y)))
            run.log(loss=loss)
    return run.history


class Adam:
    """Adam with bias correction, Kingma and Ba (2015), algorithm 1.

    decay > 0: AdamW, decoupled weight decay, Loshchilov and Hutter (2019), algorithm 2.
    """

    def __init__(self, parameters, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, decay=0.0):
        self.parameters, self.lr, self.betas = list(parameters), lr, betas
        self.eps, self.decay, self.t = eps, decay, 0
        self.means = [torch.zeros_like(p) for p in self.parameters]
        self.squares = [torch.zeros_like(p) for p in self.parameters]

    @torch.no_grad()
    def step(self, gradients):
        """Change means, squares and parameters in place."""
        self.t += 1
        beta1, beta2 = self.betas
        state = zip(self.parameters, self.means, self.squares, gradients, strict=True)
        for p, m, v, g in state:
            p *= 1 - self.lr * self.decay
            m += (1 - beta1) * (g - m)
            v += (1 - beta2) * (g**2 - v)
            root = (v / (1 - beta2**self.t)).sqrt()
            p -= self.lr * (m / (1 - beta1**self.t)) / (root + self.eps)


class KeepBest:
    """Keep a copy of the parameters with the lowest loss so far: `parameters`, `loss`."""

    def __init__(self):
        self.loss, self.parameters = math.inf, None

    def update(self, parameters, loss):
        """Keep the parameters if `loss`, a number, is below that of those kept."""
        if loss < self.loss:
            self.loss, self.parameters = loss, [p.detach().clone() for p in parameters]


def stable_tanh(a):
    """Return tanh(a), entry by entry, without overflow in the value or the gradient."""
    e = torch.expm1(2 * a.clamp(-20, 20))
    return e / (e + 2)
