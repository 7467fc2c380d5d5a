"""Checks of lesson 14, the layers: batch norm, residual block, batch norm folded away."""

import torch
from torch import nn
from torch.nn import functional as F

from course_lib.checks import check, require
from course_lib.checks.probes import TOLERANCE, differs, normal


@check("cnn.BatchNorm2d")
def batch_norm(layer_class):
    """Compare a batch norm layer with torch's: output, running statistics, gradients."""
    channels = 3
    ours, torchs = layer_class(channels).double(), nn.BatchNorm2d(channels).double()
    for name, value in (("weight", normal(channels, seed=1)), ("bias", normal(channels, seed=2))):
        require(
            hasattr(ours, name) and isinstance(getattr(ours, name), nn.Parameter),
            f"the layer has no nn.Parameter called {name}: nothing would train it.",
        )
        for layer in (ours, torchs):
            getattr(layer, name).data.copy_(value)
    buffers = dict(ours.named_buffers())
    require(
        {"running_mean", "running_var"} <= set(buffers),
        "running_mean and running_var must be buffers (register_buffer): otherwise they are "
        "neither saved with the model nor moved to another device.",
    )
    for seed in (3, 4):
        x = 2 * normal(4, channels, 5, 6, seed=seed) + 1
        _compare_batch_norm_training(ours, torchs, x)
    _compare_batch_norm_eval(ours, torchs, 2 * normal(1, channels, 5, 6, seed=5) - 1)
    return (
        "the same as torch's in float64: output and gradients in training, running statistics "
        "after two batches, and the output for a single image in eval mode"
    )


def _compare_batch_norm_training(ours, torchs, x):
    x1, x2 = x.clone().requires_grad_(), x.clone().requires_grad_()
    out, expected = ours(x1), torchs(x2)
    require(out.shape == expected.shape, f"the output has shape {tuple(out.shape)}, not that of x.")
    mean = ((out - ours.bias.view(1, -1, 1, 1)) / ours.weight.view(1, -1, 1, 1)).mean((0, 2, 3))
    require(
        mean.abs().max() < 1e-6,
        f"in training every channel of the normalised batch should have mean 0; yours has "
        f"{mean.abs().max():.3f}. The mean goes over batch, height and width, dims (0, 2, 3).",
    )
    ratio = ((out - expected).std() / expected.std()).item()
    require(
        differs(out, expected) < TOLERANCE,
        f"in training the output is off by {differs(out, expected):.2g} (relative {ratio:.1g}). "
        "Divide by sqrt(var + eps), with the variance that divides by B*H*W (unbiased=False).",
    )
    for name in ("running_mean", "running_var"):
        a, b = getattr(ours, name), getattr(torchs, name)
        require(
            differs(a, b) < TOLERANCE,
            f"{name} should now be {b[0]:.4f} in channel 0, yours is {a[0]:.4f}. The new value is "
            "(1 - momentum) * old + momentum * batch, and the running variance takes the unbiased "
            "estimate, which divides by B*H*W - 1.",
        )
    require(
        not (ours.running_mean.requires_grad or ours.running_var.requires_grad),
        "the running statistics carry a graph that grows with every step and fills the memory: "
        "update them under torch.no_grad().",
    )
    upstream = normal(*x.shape, seed=9)
    (out * upstream).sum().backward()
    (expected * upstream).sum().backward()
    for name, a, b in (
        ("x", x1.grad, x2.grad),
        ("weight", ours.weight.grad, torchs.weight.grad),
        ("bias", ours.bias.grad, torchs.bias.grad),
    ):
        require(
            a is not None and differs(a, b) < 1e-8,
            f"the gradient with respect to {name} is wrong. Mean and variance depend on x too: the "
            "gradient has to flow through them in the output (no detach, no .data, no no_grad "
            "there); only the running statistics are updated without gradient.",
        )
    ours.zero_grad(), torchs.zero_grad()


def _compare_batch_norm_eval(ours, torchs, x):
    ours.eval(), torchs.eval()
    before = ours.running_mean.clone()
    out, expected = ours(x), torchs(x)
    require(
        differs(out, expected) < TOLERANCE,
        "in eval mode the layer must normalise with running_mean and running_var, not with the "
        "statistics of the batch: ask self.training.",
    )
    require(
        differs(before, ours.running_mean) == 0,
        "in eval mode the running statistics must stay as they are; yours moved.",
    )


@check("cnn.ResidualBlock")
def residual_block(block_class):
    """Compare a residual block with its formula, and look at what flows past its convolutions."""
    C = 4
    _require_given_classes(block_class)
    block = block_class(C).double()
    convs = [m for m in block.modules() if isinstance(m, nn.Conv2d)]
    require(len(convs) == 2, f"the block should hold two convolutions; yours holds {len(convs)}.")
    for conv in convs:
        require(
            conv.kernel_size == (3, 3) and conv.weight.shape == (C, C, 3, 3),
            f"both convolutions are 3x3, {C} to {C} channels; found {tuple(conv.weight.shape)}.",
        )
        require(
            conv.bias is None,
            "a convolution in front of a batch norm needs no bias: the norm subtracts it again. "
            "Pass bias=False.",
        )
    x = normal(2, C, 6, 5).requires_grad_()
    out = block(x)
    require(
        out.shape == x.shape,
        f"x has shape {tuple(x.shape)}, the output {tuple(out.shape)}: the skip can only be added "
        "if the convolutions keep the size (padding=1).",
    )
    norms = [m for m in block.modules() if hasattr(m, "running_mean")]
    require(
        len(norms) == 2,
        f"each convolution needs a batch norm of its own; the block holds {len(norms)}.",
    )
    h = F.relu(norms[0](convs[0](x)))
    expected = F.relu(x + norms[1](convs[1](h)))
    plain = F.relu(norms[1](convs[1](h)))
    early = x + plain
    require(
        differs(out, plain) > TOLERANCE,
        "the output is the same as without the skip: add x before the last ReLU.",
    )
    require(
        differs(out, early) > TOLERANCE,
        "the last ReLU comes after the addition: relu(x + ...), not x + relu(...).",
    )
    linear = F.relu(x + norms[1](convs[1](norms[0](convs[0](x)))))
    require(
        differs(out, linear) > TOLERANCE,
        "between the two convolutions stands a ReLU; without it they collapse into one linear map.",
    )
    require(
        differs(out, expected) < TOLERANCE,
        f"the output is off by {differs(out, expected):.2g} from relu(x + norm2(conv2(relu(norm1("
        "conv1(x)))))). Are the layers applied in this order, each once?",
    )
    for conv in convs:
        nn.init.zeros_(conv.weight)
    gradient = torch.autograd.grad(block(x).sum(), x)[0]
    require(
        differs(gradient, (x > 0).double()) < TOLERANCE,
        "with dead convolutions the gradient should still pass through the skip unchanged.",
    )
    return (
        "relu(x + norm2(conv2(relu(norm1(conv1(x)))))), no idle biases, and with both convolutions "
        "set to zero x and its gradient still pass"
    )


def _require_given_classes(block_class):
    """Demand that the block is made of the classes norm and conv, where they are given."""

    class GivenConv(nn.Conv2d):
        pass

    class GivenNorm(nn.BatchNorm2d):
        pass

    block = block_class(4, norm=GivenNorm, conv=GivenConv)
    for name, torchs, given in (
        ("conv", nn.Conv2d, GivenConv),
        ("norm", nn.BatchNorm2d, GivenNorm),
    ):
        made = [m for m in block.modules() if isinstance(m, torchs)]
        require(
            all(isinstance(m, given) for m in made),
            f"the argument {name} was accepted and ignored (C6): make the layers with {name}(...), "
            "so that lesson 12's layer or yours can be put in.",
        )


@check("cnn.fold_batch_norm")
def fold_batch_norm(function):
    """Compare the folded convolution with convolution and norm, with and without a bias."""
    for bias in (False, True):
        conv = nn.Conv2d(3, 5, 3, stride=2, padding=1, bias=bias).double()
        norm = nn.BatchNorm2d(5).double().eval()
        for seed, tensor in enumerate(
            [*conv.parameters(), norm.weight, norm.bias, norm.running_mean]
        ):
            tensor.data.copy_(normal(*tensor.shape, seed=seed))
        norm.running_var.copy_(normal(5, seed=9).square() + 0.5)
        x = normal(2, 3, 8, 7, seed=10)
        folded = function(conv, norm)
        require(isinstance(folded, nn.Conv2d), "return one nn.Conv2d.")
        gap, kind = differs(folded(x), norm(conv(x))), "with" if bias else "without"
        require(
            gap < TOLERANCE,
            f"for a convolution {kind} a bias the outputs differ by {gap:.2g}. The scale is "
            "weight / sqrt(running_var + eps), one number per output channel; the bias of the "
            "convolution is shifted by the mean before it is scaled.",
        )
    return "equal to norm(conv(x)) in float64, with and without a bias in the convolution"
