# Generated from notebooks/src/42_pixelcnn.py by `python3 -m course_lib build 42`.
# Edit the lesson, not this file.
"""Lesson 42, "PixelCNN: convolve only the past": what it builds, for later lessons to import."""

import copy
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import datasets, device
from course_lib.settings import CourseError, profile


@dataclass
class Config:
    """The numbers of lesson 42; `profile` picks the value for the profile that you run in."""

    steps: int = profile(smoke=6, standard=3000, full=100000)
    stack_steps: int = profile(smoke=2, standard=600, full=30000)  # of the two stacks
    batch_size: int = 8
    lr: float = 1e-2  # the highest; it falls along half a cosine
    measure_every: int = 50  # steps
    seconds: float = profile(smoke=0.2, standard=3.5, full=600.0)  # of CPU, each arm of section 6
    seed: int = 0


def causal_mask(kind, size):
    """Return bool (size, size), True before the centre, and there for "B"; CourseError: even."""
    if size % 2 == 0 or kind not in ("A", "B"):
        raise CourseError(f"A mask is of kind A or B and has an odd size, not {kind} and {size}.")
    half, mask = size // 2, torch.ones(size, size, dtype=torch.bool)
    mask[half, half + (kind == "B") :] = False
    mask[half + 1 :] = False
    return mask


class MaskedConv2d(nn.Conv2d):
    """A convolution that sees the past alone (A), or itself, too (B); (2016a), section 3.4."""

    def __init__(self, kind, channels, out, size):
        mask = causal_mask(kind, size)[: size // 2 + 1]
        super().__init__(channels, out, mask.shape)
        self.reach = size // 2
        self.register_buffer("mask", mask)
        self.weight.data.normal_().div_((channels * mask.sum().clamp(min=1)).sqrt())

    def forward(self, x):
        x = F.pad(x, (self.reach, self.reach, self.reach, 0))
        return F.conv2d(x, self.weight * self.mask, self.bias)


class PixelModel(nn.Module):
    """What the models below share; lesson 40's functions use mean (1, H, W) and order (H W,)."""

    def __init__(self, mean, hidden, reach):
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("order", torch.arange(mean.numel()))
        self.reach, self.last = reach, nn.Conv2d(hidden, 1, 1)
        self.up, self.aside = nn.Conv2d(1, hidden, (28, 1)), nn.Conv2d(1, hidden, (1, 55))
        nn.init.zeros_(self.last.weight)
        self.last.bias.data.fill_(mean.mean().logit())

    def place(self, x):
        """Return (1, hidden, H, W): where each pixel lies, from the edges in sight."""
        ones = torch.ones_like(x[:1])
        return self.up(F.pad(ones, (0, 0, 27, 0))) + self.aside(F.pad(ones, (27, 27, 0, 0)))

    def logits(self, h, x):
        return self.last(F.relu(h)).to(x.dtype).contiguous()


class PixelMLP(PixelModel):
    """Logits of ink from the same net on the past of every pixel; classes (B, 10): section 7."""

    def __init__(self, mean, hidden=64, size=21, blocks=2):
        super().__init__(mean, hidden, size // 2)
        self.first = MaskedConv2d("A", 1, hidden, size)
        self.told = nn.Linear(10, hidden, bias=False)
        nn.init.zeros_(self.told.weight)
        pairs = (
            (nn.Conv2d(hidden, hidden, 1), nn.Conv2d(hidden, hidden, 1)) for _ in range(blocks)
        )
        self.blocks = nn.ModuleList(nn.Sequential(nn.ReLU(), a, nn.ReLU(), b) for a, b in pairs)

    def forward(self, x, classes=None):
        h = self.first(x) + self.place(x)
        h = h if classes is None else h + self.told(classes)[..., None, None]  # the same everywhere
        h = h.contiguous(memory_format=torch.channels_last)  # 1x1s as matrix products
        for block in self.blocks:
            h = h + block(h)
        return self.logits(h, x)


class PixelStack(PixelModel):
    """Logits of ink from a stack of masked 3x3 convolutions, one A, the others B."""

    def __init__(self, mean, hidden=32, layers=6):
        super().__init__(mean, hidden, layers)
        rest = (MaskedConv2d("B", hidden, hidden, 3) for _ in range(layers - 1))
        self.layers = nn.ModuleList([MaskedConv2d("A", 1, hidden, 3), *rest])

    def forward(self, x):
        first, *rest = self.layers
        h = (first(x) + self.place(x)).contiguous(memory_format=torch.channels_last)
        for layer in rest:
            h = layer(F.relu(h))
        return self.logits(h, x)


def sees(model, row, column):
    """Return where d logit of one pixel / d x is not 0, bool (H, W), with positive weights."""
    model, rng = copy.deepcopy(model).cpu().double(), device.generator(0)
    for weights in model.parameters():
        weights.data.uniform_(0, 0.1, generator=rng)
    x = torch.full((1, *model.mean.shape), 0.5, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(model(x)[0, 0, row, column], x)
    return slope[0, 0] != 0


def shifted(x, rows=0, columns=0):
    """Return x (..., H, W) moved down by `rows` and right by `columns`; zeros come in."""
    H, W = x.shape[-2:]
    return F.pad(x, (columns, 0, rows, 0))[..., :H, :W]


def gate(h):
    """Return tanh(a) sigmoid(b) (B, C, H, W) of the halves a and b of h (B, 2C, H, W)."""
    a, b = h.chunk(2, dim=1)
    return a.tanh() * b.sigmoid()


class GatedLayer(nn.Module):
    """A layer of both stacks, (B, C, H, W) each to (B, hidden, H, W). (2016b), figure 2."""

    def __init__(self, channels, hidden, size=3):
        super().__init__()
        self.reach = len(causal_mask("B", size)) // 2  # refuses even sizes
        self.vertical = nn.Conv2d(channels, 2 * hidden, (self.reach + 1, size))
        self.horizontal = nn.Conv2d(channels, 2 * hidden, (1, self.reach + 1))
        self.across = nn.Conv2d(2 * hidden, 2 * hidden, 1)
        self.out = nn.Conv2d(hidden, hidden, 1)

    def forward(self, v, h):
        r = self.reach
        v = self.vertical(F.pad(v, (r, r, r, 0)))
        left = self.horizontal(F.pad(h, (r, 0, 0, 0)))
        new = self.out(gate(left + self.across(shifted(v, rows=1))))
        return gate(v), h + new if h.shape == new.shape else new


class PixelCNN(PixelModel):
    """Logits of ink from two gated stacks, the first layer of odd `size`, the others 3x3."""

    def __init__(self, mean, hidden=32, layers=3, size=15):
        super().__init__(mean, hidden, size // 2 + layers)
        sizes = [(1, hidden, size), *[(hidden, hidden, 3)] * (layers - 1)]
        self.layers = nn.ModuleList(GatedLayer(*each) for each in sizes)

    def forward(self, x):
        first, *rest = self.layers
        v, h = first(x, shifted(x, columns=1))
        h = h + self.place(x)
        for layer in rest:
            v, h = layer(v, h)
        return self.logits(h, x)


class Told(nn.Module):
    """A model that was told the classes (n,) of the pictures that it is asked about next."""

    def __init__(self, model, labels=None):
        super().__init__()
        self.model, self.labels, self.mean, self.order = model, labels, model.mean, model.order

    def forward(self, x):
        return self.model(x, F.one_hot(self.labels.to(x.device), 10).to(x))

    def batches(self, images, labels, batch_size, rng):
        """Yield endless binarised batches, as binary_batches; the model is told their classes."""
        for x, y in datasets.batches(images, labels, batch_size=batch_size, generator=rng):
            self.labels = y
            yield torch.bernoulli(x.float() / 255, generator=rng)


@torch.no_grad()
def sample_rows(model, n, rng):
    """Draw the n pictures of lesson 40's `sample`; the model is shown model.reach + 1 rows."""
    model, x = copy.deepcopy(model), model.mean.new_zeros(n, *model.mean.shape)
    place = model.place(x)  # (1, hidden, H, W), of the whole page
    for row, column in torch.ones_like(model.mean[0]).nonzero().tolist():
        rows = slice(max(0, row - model.reach), row + 1)
        model.place = lambda _, rows=rows: place[:, :, rows]
        logits = model(x[:, :, rows])[:, 0, -1, column]
        x[:, 0, row, column] = torch.bernoulli(logits.sigmoid(), generator=rng)
    return x
