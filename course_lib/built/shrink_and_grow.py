# Generated from notebooks/src/13_shrink_and_grow.py by `python3 -m course_lib build 13`.
# Edit the lesson, not this file.
"""Lesson 13, "Shrink a picture, and grow one": what it builds, for later lessons to import."""

import torch
from torch import nn
from torch.nn import functional as F


def output_size(n, kernel, stride=1, padding=0):
    """Return how many windows of `kernel` cells, `stride` apart, fit on n cells.

    The size after a convolution or pooling along one axis; `padding` is added at both ends.
    Needs kernel <= n + 2 padding.
    """
    return (n + 2 * padding - kernel) // stride + 1


def windows(x, kernel, stride):
    """Return the windows of x (B, C, H, W) as a view (B, C, H', W', kernel, kernel)."""
    return x.unfold(2, kernel, stride).unfold(3, kernel, stride)


def max_pool2d(x, kernel, stride=None):
    """Return the maximum of each window of x (B, C, H, W) -> (B, C, H', W'); stride: else kernel.

    Where several cells are the largest, the first (row by row) gets the gradient.
    """
    return windows(x, kernel, stride or kernel).flatten(-2).max(dim=-1).values


def avg_pool2d(x, kernel, stride=None):
    """Return the mean of each window of x (B, C, H, W) -> (B, C, H', W'); stride: else kernel."""
    return windows(x, kernel, stride or kernel).mean(dim=(-2, -1))


def avg_pool2d_gradient(x, upstream, kernel, stride=None):
    """Return dL/dx (B, C, H, W) of average pooling; upstream: dL/dy (B, C, H', W')."""
    (B, C, H, W), stride = x.shape, stride or kernel
    shares = upstream.reshape(B * C, 1, -1).expand(-1, kernel**2, -1) / kernel**2
    return F.fold(shares, (H, W), kernel, stride=stride).view(B, C, H, W)


def max_pool2d_gradient(x, upstream, kernel, stride=None):
    """Return dL/dx (B, C, H, W) of max pooling; upstream: dL/dy (B, C, H', W'); first of ties."""
    (B, C, H, W), stride = x.shape, stride or kernel
    columns = F.unfold(x.reshape(B * C, 1, H, W), kernel, stride=stride)  # (B C, kernel², H' W')
    winner = torch.zeros_like(columns).scatter_(1, columns.argmax(dim=1, keepdim=True), 1)
    shares = winner * upstream.reshape(B * C, 1, -1)
    return F.fold(shares, (H, W), kernel, stride=stride).view(B, C, H, W)


def conv_transpose2d(x, weight, bias=None, stride=1, padding=0, output_padding=0):
    """Stamp weight (C, C', k, k) for each pixel of x (B, C, H, W) -> (B, C', H', W').

    The adjoint of F.conv2d(..., weight): H' = (H - 1) stride - 2 padding + k + output_padding.
    """
    B, C, H, W = x.shape
    kernel = weight.shape[-2:]
    columns = weight.flatten(1).T @ x.flatten(2)
    shape = zip((H, W), kernel, strict=True)
    size = [(n - 1) * stride - 2 * padding + k + output_padding for n, k in shape]
    y = F.fold(columns, size, kernel, stride=stride, padding=padding)
    return y if bias is None else y + bias[:, None, None]


class ConvTranspose2d(nn.Module):
    """Grow x (B, C, H, W) -> (B, C', H', W') by stamps that are learnt; the first ones as torch's.

    Parameters: weight (C, C', kernel, kernel), bias (C',) or None.
    """

    def __init__(self, channels, out, kernel, stride=1, padding=0, output_padding=0, bias=True):
        super().__init__()
        self.geometry = {"stride": stride, "padding": padding, "output_padding": output_padding}
        bound = (out * kernel**2) ** -0.5
        self.weight = nn.Parameter(torch.empty(channels, out, kernel, kernel))
        self.bias = nn.Parameter(torch.empty(out)) if bias else None
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def forward(self, x):
        return conv_transpose2d(x, self.weight, self.bias, **self.geometry)


def overlap_counts(n, kernel, stride):
    """Return how many of n stamps lie on each cell of a line: int64 ((n - 1) stride + kernel,)."""
    counts = torch.zeros((n - 1) * stride + kernel, dtype=torch.long)
    for i in range(n):
        counts[i * stride : i * stride + kernel] += 1
    return counts


def pixel_shuffle(x, r):
    """Sort channels into blocks: x (B, C r², H, W) -> (B, C, H r, W r). Shi et al., eq. 4."""
    B, C, H, W = x.shape
    C = C // r**2
    return x.view(B, C, r, r, H, W).permute(0, 1, 4, 2, 5, 3).reshape(B, C, H * r, W * r)


def smooth_kernel():
    """Return the mirrored stamp (3, 3) that keeps a constant picture constant at stride 2."""
    line = torch.tensor([0.5, 1.0, 0.5])
    return torch.outer(line, line)


def space_to_depth(x, r):
    """Undo pixel_shuffle: x (B, C, H r, W r) -> (B, C r², H, W)."""
    B, C, H, W = x.shape
    x = x.reshape(B, C, H // r, r, W // r, r)
    return x.permute(0, 1, 3, 5, 2, 4).reshape(B, C * r**2, H // r, W // r)


def shuffle_kernel(weight, r):
    """Return the stamp (C, C', 3 r, 3 r) that equals a 3x3 convolution and a pixel shuffle by r.

    weight: (C' r², C, 3, 3), used with padding 1. The stamp is used with stride r and padding r.
    """
    out, C = weight.shape[0] // r**2, weight.shape[1]
    blocks = weight.view(out, r, r, C, 3, 3).flip(-1, -2)
    return blocks.permute(3, 0, 4, 1, 5, 2).reshape(C, out, 3 * r, 3 * r)
