# Generated from notebooks/src/14_cnn.py by `python3 -m course_lib build 14`.
# Edit the lesson, not this file.
"""Lesson 14, "Build a network that sees": what it builds, for later lessons to import."""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import datasets, training
from course_lib.built import shrink_and_grow
from course_lib.settings import profile


@dataclass
class Config:
    """The numbers of lesson 14; `profile` picks the value for the profile that you run in."""

    width: int = 32  # channels after the first stage; the second has twice as many
    steps: int = profile(smoke=40, standard=1000, full=6000)  # optimiser steps
    batch_size: int = 128  # images per step
    lr: float = 0.005  # the highest learning rate of the cycle
    weight_decay: float = 0.01
    seed: int = 0


def one_cycle(fraction, warm_up=0.2):
    """Return the share of the highest learning rate: a straight rise, then half a cosine to 0."""
    falling = 0.5 + 0.5 * math.cos(math.pi * (fraction - warm_up) / (1 - warm_up))
    return fraction / warm_up if fraction < warm_up else falling


def train_classifier(
    model, cfg, x_all, y_all, generator, *, augment=None, should_stop=training.never_stop, view=None
):
    """Train on images uint8 (N, C, H, W) and labels int64 (N,); return the history of the loss.

    AdamW with a one-cycle learning rate; ends after cfg.steps or when the budget is used up.
    """
    optimiser = torch.optim.AdamW(model.parameters(), lr=cfg.lr, weight_decay=cfg.weight_decay)
    batches = datasets.batches(x_all, y_all, batch_size=cfg.batch_size, generator=generator)
    model.train()
    with training.progress(cfg.steps, should_stop, view) as run:
        for _, (x, y) in zip(run, batches, strict=False):
            optimiser.param_groups[0]["lr"] = cfg.lr * one_cycle(run.fraction)
            x = x.float() / 255  # (B, C, H, W) in [0, 1]
            if augment is not None:
                x = augment(x, generator)
            loss = F.cross_entropy(model(x), y)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            run.log(loss=loss)
    return run.history


def predict(model, images, batch_size=500):
    """Return the logits (N, K) of images uint8 (N, C, H, W), in eval mode and without a graph."""
    was_training = model.training
    model.eval()
    with torch.no_grad():
        logits = [model(x.float() / 255) for x in images.split(batch_size)]
    model.train(was_training)
    return torch.cat(logits)


def two_layers():
    """Return the network of lesson 11: (B, 1, 28, 28) -> logits (B, 10)."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))


def accuracy(model, images, labels):
    """Return the share of images that the model reads rightly."""
    return (predict(model, images).argmax(dim=1) == labels).double().mean().item()


class BatchNorm2d(nn.Module):
    """Normalise each channel of x (B, C, H, W) to mean 0 and variance 1, then scale and shift it.

    In training by the batch's statistics, in evaluation by their running averages.
    Ioffe and Szegedy (2015), algorithms 1 and 2.
    """

    def __init__(self, channels, eps=1e-5, momentum=0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x):
        if self.training:
            mean, var = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3), unbiased=False)
            with torch.no_grad():
                self.running_mean += self.momentum * (mean - self.running_mean)
                self.running_var += self.momentum * (x.var(dim=(0, 2, 3)) - self.running_var)
        else:
            mean, var = self.running_mean, self.running_var
        scale = self.weight / torch.sqrt(var + self.eps)
        shift = self.bias - mean * scale
        return x * scale[:, None, None] + shift[:, None, None]


class ResidualBlock(nn.Module):
    """Add two 3x3 convolutions to what passes through: x (B, C, H, W) -> (B, C, H, W).

    He et al. (2016), figure 2, with a batch norm after each convolution.
    """

    def __init__(self, channels, norm=nn.BatchNorm2d, conv=nn.Conv2d):
        super().__init__()
        self.conv1 = conv(channels, channels, 3, padding=1, bias=False)
        self.norm1 = norm(channels)
        self.conv2 = conv(channels, channels, 3, padding=1, bias=False)
        self.norm2 = norm(channels)

    def forward(self, x):
        h = F.relu(self.norm1(self.conv1(x)))
        h = self.norm2(self.conv2(h))
        return F.relu(x + h)


class CNN(nn.Module):
    """Read grey 28x28 pictures: x (B, 1, 28, 28) in [0, 1] -> logits (B, classes).

    head: "pool" (maximum over positions) or "flatten"; norm, conv: the classes of these layers.
    """

    def __init__(self, width=32, classes=10, norm=nn.BatchNorm2d, head="pool", conv=nn.Conv2d):
        super().__init__()
        wide = 2 * width
        self.stage1 = nn.Sequential(
            conv(1, width, 3, stride=2, padding=1, bias=False), norm(width), nn.ReLU()
        )
        self.stage2 = nn.Sequential(
            conv(width, wide, 3, stride=2, padding=1, bias=False), norm(wide), nn.ReLU()
        )
        self.block = ResidualBlock(wide, norm, conv)
        self.head = head
        self.linear = nn.Linear(wide if head == "pool" else 49 * wide, classes)
        nn.init.zeros_(self.linear.weight)  # no opinion before training: the loss is ln 10
        self.to(memory_format=torch.channels_last)  # faster on most processors

    def features(self, x):
        """Return what the last layer sees: (B, 2 width), or (B, 98 width) with head="flatten"."""
        x = self.block(self.stage2(self.stage1(x)))  # (B, 2 width, 7, 7)
        if self.head == "pool":
            x = shrink_and_grow.max_pool2d(x, x.shape[-1])  # one window, as large as the map
        return x.flatten(1)

    def forward(self, x):
        return self.linear(self.features(x))


def augment(x, generator, degrees=10, zoom=0.1, pixels=2):
    """Turn, zoom and shift each image of x (B, C, H, W), H = W, by random amounts of its own.

    Uniform in +-degrees, 1 +- zoom and +- pixels to the right and down; black fills the border.
    """
    B, C, H, W = x.shape
    u = 2 * torch.rand(4, B, generator=generator, device=x.device) - 1  # uniform in -1..1
    angle, scale = math.radians(degrees) * u[0], 1 + zoom * u[1]
    right, down = pixels * u[2], pixels * u[3]
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    t_x, t_y = 2 * right / W, 2 * down / H
    theta = torch.stack([cos, -sin, -t_x, sin, cos, -t_y], dim=1).view(B, 2, 3)
    grid = F.affine_grid(theta, x.shape, align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


def fold_batch_norm(conv, norm):
    """Return one convolution that equals norm(conv(x)) in evaluation mode."""
    size = conv.in_channels, conv.out_channels, conv.kernel_size
    folded = nn.Conv2d(*size, conv.stride, conv.padding).to(conv.weight)  # its device and type
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    bias = 0 if conv.bias is None else conv.bias
    with torch.no_grad():
        folded.weight.copy_(conv.weight * scale[:, None, None, None])
        folded.bias.copy_((bias - norm.running_mean) * scale + norm.bias)
    return folded


def confusion_matrix(model, images, labels, classes=10):
    """Return counts (K, K): row = true class, column = what the model read."""
    answer = predict(model, images).argmax(dim=1)
    return torch.bincount(classes * labels + answer, minlength=classes**2).view(classes, classes)
