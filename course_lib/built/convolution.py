# Generated from notebooks/src/12_convolution.py by `python3 -m course_lib build 12`.
# Edit the lesson, not this file.
"""Lesson 12, "Slide one kernel over the picture": what it builds, for later lessons to import."""

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import training


def conv_loops(x, w):
    """Slide the kernel w (kh, kw) over x (H, W): y (H - kh + 1, W - kw + 1), by two loops."""
    (H, W), (kh, kw) = x.shape, w.shape
    y = x.new_zeros(H - kh + 1, W - kw + 1)
    for i in range(H - kh + 1):
        for j in range(W - kw + 1):
            y[i, j] = (x[i : i + kh, j : j + kw] * w).sum()
    return y


def out_size(size, kernel, stride=1, padding=0):
    """Return how many windows fit along one axis."""
    return (size + 2 * padding - kernel) // stride + 1


def unfold(x, kernel, stride=1, padding=0):
    """Lay every window of x (B, C, H, W) out as a column: (B, C kh kw, H' W').

    kernel: (kh, kw); rows in the order c, u, v, columns in that of the windows, row by row.
    """
    kh, kw = kernel
    padded = F.pad(x, (padding,) * 4)
    windows = padded.unfold(2, kh, stride).unfold(3, kw, stride)  # (B, C, H', W', kh, kw)
    return windows.permute(0, 1, 4, 5, 2, 3).flatten(1, 3).flatten(2)


def conv_forward(x, weight, bias=None, stride=1, padding=0):
    """Convolve x (B, C, H, W) with weight (C', C, kh, kw), add bias (C',): y (B, C', H', W')."""
    B, C, H, W = x.shape
    kh, kw = weight.shape[2:]
    rows, cols = out_size(H, kh, stride, padding), out_size(W, kw, stride, padding)
    columns = unfold(x, (kh, kw), stride, padding)
    y = weight.flatten(1) @ columns
    if bias is not None:
        y = y + bias[:, None]
    return y.unflatten(2, (rows, cols))


def conv_matrix(w, H, W):
    """Return T (H' W', H W) with T @ x.flatten() = the convolution of x (H, W) with w (kh, kw)."""
    impulses = torch.eye(H * W).to(w).view(-1, 1, H, W)
    return conv_forward(impulses, w[None, None]).flatten(1).T


def fold(columns, size, kernel, stride=1, padding=0):
    """Add every column (B, C kh kw, H' W') back to its window: x (B, C, H, W), size = (H, W).

    The adjoint of unfold: <unfold(x), columns> = <x, fold(columns)>.
    """
    (H, W), (kh, kw) = size, kernel
    rows, cols = out_size(H, kh, stride, padding), out_size(W, kw, stride, padding)
    parts = columns.unflatten(2, (rows, cols)).unflatten(1, (-1, kh, kw))  # (B, C, kh, kw, H', W')
    x = columns.new_zeros(*parts.shape[:2], H + 2 * padding, W + 2 * padding)
    for u in range(kh):
        for v in range(kw):
            i, j = slice(u, u + stride * rows, stride), slice(v, v + stride * cols, stride)
            x[:, :, i, j] += parts[:, :, u, v]
    return x[:, :, padding : padding + H, padding : padding + W]


def conv_backward(g, x, weight, stride=1, padding=0):
    """Return the gradients (of x, of weight, of bias), given g (B, C', H', W') at the output."""
    kernel = weight.shape[2:]
    columns = unfold(x, kernel, stride, padding)
    G = g.flatten(2)
    grad_x = fold(weight.flatten(1).T @ G, x.shape[2:], kernel, stride, padding)
    grad_weight = (G @ columns.transpose(1, 2)).sum(dim=0).view_as(weight)
    grad_bias = g.sum(dim=(0, 2, 3))
    return grad_x, grad_weight, grad_bias


class Convolution(torch.autograd.Function):
    """A convolution whose way back is conv_backward; ctx keeps until then what that needs."""

    @staticmethod
    def forward(ctx, x, weight, bias, stride, padding):
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return conv_forward(x, weight, bias, stride, padding)

    @staticmethod
    def backward(ctx, g):
        grads = conv_backward(g, *ctx.saved_tensors, ctx.stride, ctx.padding)
        asked = zip(grads, ctx.needs_input_grad, strict=False)
        return *(grad if needed else None for grad, needed in asked), None, None


def conv2d(x, weight, bias=None, stride=1, padding=0):
    """Return conv_forward of the same arguments, with conv_backward as its way back."""
    return Convolution.apply(x, weight, bias, stride, padding)


class Conv2d(nn.Module):
    """Convolve x (B, C, H, W) with square kernels that are learnt: y (B, C', H', W')."""

    function = Convolution

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, bias=True):
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        bound = (in_channels * kernel_size**2) ** -0.5
        shape = out_channels, in_channels, kernel_size, kernel_size
        self.weight = nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
        numbers = torch.empty(out_channels).uniform_(-bound, bound)
        self.bias = nn.Parameter(numbers) if bias else None

    def forward(self, x):
        return self.function.apply(x, self.weight, self.bias, self.stride, self.padding)


def learn(model, optimiser, x, y, steps, should_stop=training.never_stop, label="training"):
    """Train model(x) towards y by the mean squared error; return the history of the loss."""
    with training.progress(steps, should_stop, label=label) as run:
        for _ in run:
            loss = (model(x) - y).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            run.log(loss=loss)
    return run.history


def dilate(weight, d):
    """Spread the weights (C', C, kh, kw) d pixels apart, with zeros in between."""
    C_out, C, kh, kw = weight.shape
    wide = weight.new_zeros(C_out, C, d * (kh - 1) + 1, d * (kw - 1) + 1)
    wide[:, :, ::d, ::d] = weight
    return wide


def conv_einsum(x, weight, bias=None, stride=1, padding=0):
    """Convolve x (B, C, H, W) with weight (C', C, kh, kw), add bias (C',): y (B, C', H', W')."""
    kh, kw = weight.shape[2:]
    padded = F.pad(x, (padding, padding, padding, padding))
    windows = padded.unfold(2, kh, stride).unfold(3, kw, stride)
    y = torch.einsum("bcijuv,kcuv->bkij", windows, weight)
    return y if bias is None else y + bias[:, None, None]
