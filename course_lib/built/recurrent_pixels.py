# Generated from notebooks/src/41_recurrent_pixels.py by `python3 -m course_lib build 41`.
# Edit the lesson, not this file.
"""Lesson 41, "Remember the rows, pack the picture": what it builds, for later lessons to import."""

import struct
import zlib
from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from course_lib.built import autoregressive as lesson40
from course_lib.built.autoregressive import MaskedLinear, earlier, require_binary
from course_lib.settings import CourseError, profile


@dataclass
class Config:
    """The numbers of lesson 41; `profile` picks the value for the profile that you run in."""

    steps: int = profile(smoke=30, standard=4500, full=60000)
    batch_size: int = 32  # few pictures, many steps: every row is an example
    lr: float = 5e-3  # the highest; it falls along half a cosine
    measure_every: int = 50  # steps
    seed: int = 0


def fax(images):
    """Return uint8 images as ink and paper: float32 of the same shape, 1 where a byte is >= 128."""
    return (images >= 128).float()


def gru_step(told, recalled, state):
    """Return the next state (B, hidden) of told = W x + b, recalled = U h + b', (B, 3 hidden)."""
    (told_r, told_z, told_c), recalled = told.chunk(3, dim=1), recalled.chunk(3, dim=1)
    r, z = (told_r + recalled[0]).sigmoid(), (told_z + recalled[1]).sigmoid()
    c = (told_c + r * recalled[2]).tanh()
    return (1 - z) * c + z * state


class GRU(nn.Module):
    """A GRU over sequences (B, T, inputs) -> all states (B, T, hidden); it starts at 0."""

    def __init__(self, inputs, hidden):
        super().__init__()
        self.told, self.recalled = nn.Linear(inputs, 3 * hidden), nn.Linear(hidden, 3 * hidden)

    def forward(self, sequence):
        state, states = sequence.new_zeros(len(sequence), self.recalled.in_features), []
        for told in self.told(sequence).unbind(dim=1):
            states.append(state := gru_step(told, self.recalled(state), state))
        return torch.stack(states, dim=1)


class RowGRU(nn.Module):
    """A GRU over the rows above, masks within: x (B, 1, H, W) in {0, 1} -> logits shaped like x."""

    def __init__(self, mean, hidden=160, width=128):
        super().__init__()
        _, H, W = mean.shape
        self.register_buffer("mean", mean)
        self.register_buffer("order", torch.arange(H * W))
        self.gru, (inner, last) = GRU(W, hidden), lesson40.masks(torch.arange(W), width)
        self.inner, self.last = MaskedLinear(inner, scale=2**0.5), MaskedLinear(last)
        self.direct = MaskedLinear(earlier(torch.arange(W)))
        self.to_inner, self.to_logits = nn.Linear(hidden, width), nn.Linear(hidden, W, bias=False)
        nn.init.zeros_(self.to_logits.weight)
        self.bias = nn.Parameter(mean[0].logit())

    def answer(self, rows, states):
        """Return logits (..., W), but for the bias, of rows (..., W) after states (..., hidden)."""
        h = F.relu(self.inner(rows) + self.to_inner(states))
        return self.last(h) + self.direct(rows) + self.to_logits(states)

    def forward(self, x):
        if x.shape[1:] != self.mean.shape:
            raise CourseError(f"The model knows {[*self.mean.shape]}, not {[*x.shape[1:]]}.")
        rows = (x - self.mean)[:, 0]  # (B, H, W)
        states = self.gru(F.pad(rows[:, :-1], (0, 0, 1, 0)))  # (B, H, hidden)
        return (self.answer(rows, states) + self.bias).unsqueeze(1).to(x.dtype)


@torch.no_grad()
def walk(model, n, choose):
    """Fill n pictures (n, 1, H, W) in raster order: choose(pixel, logits (n,)) -> values (n,)."""
    x = model.mean.new_zeros(n, *model.mean.shape)
    above, state, W = x[:, 0, 0], x.new_zeros(n, model.gru.recalled.in_features), x.shape[3]
    for i, (mean, bias) in enumerate(zip(model.mean[0], model.bias, strict=True)):
        state = gru_step(model.gru.told(above), model.gru.recalled(state), state)
        row = x[:, 0, i]  # a view: what is written here is written into x
        for j in range(W):
            row[:, j] = choose(i * W + j, model.answer(row - mean, state)[:, j] + bias[j]).to(row)
        above = row - mean
    return x


def draw(model, n, rng):
    """Draw n pictures (n, 1, H, W) from a RowGRU: lesson 40's sample, toss by toss, but sooner."""
    return walk(model, n, lambda _, logits: torch.bernoulli(logits.sigmoid(), generator=rng))


BITS, TOTAL = 16, 1 << 16  # probabilities are whole 65536ths


def push(state, start, width, bits=BITS):
    """Return the number that packs [start, start + width) of 2**bits on state. Duda (2013)."""
    return (state // width << bits) + start + state % width


def pop(state, starts, bits=BITS):
    """Return (symbol, state), push undone; starts: of symbols 0, 1, ..., and at last 2**bits."""
    slot = state % (1 << bits)
    symbol = bisect_right(starts, slot) - 1
    width = starts[symbol + 1] - starts[symbol]
    return symbol, (state >> bits) * width + slot - starts[symbol]


class Stack:
    """A stack of symbols that becomes a file: last in, first out. The state is below 2**64."""

    def __init__(self, data=b"\1\0\0"):  # 2**16
        head = len(data) - 4 * max(0, (len(data) - 5) // 4)  # 5 to 8 bytes, or all if fewer
        self.state = int.from_bytes(data[:head], "big")
        self.words = np.frombuffer(data[head:], dtype=">u4")[::-1].tolist()

    def push(self, start, width):
        if self.state >= width << (64 - BITS):  # it would not stay below 2**64
            self.words.append(self.state & 0xFFFFFFFF)
            self.state >>= 32
        self.state = push(self.state, start, width)

    def pop(self, starts):
        symbol, self.state = pop(self.state, starts)
        if self.state < 1 << 32 and self.words:
            self.state = self.state << 32 | self.words.pop()
        return symbol

    def to_bytes(self):
        head = self.state.to_bytes((self.state.bit_length() + 7) // 8, "big")
        return head + np.array(self.words[::-1], dtype=">u4").tobytes()


HEADER = struct.Struct("<4sII")  # a sign, how many pictures, of which model


def whole(logits):
    """Return the widths of ink, int64, of logits: sigmoid in whole TOTALths, never 0 nor all."""
    return (logits.cpu().double().sigmoid() * TOTAL).round().long().clamp(1, TOTAL - 1)


def interval(values, logits):
    """Yield for each of values (n,) its interval, (start, width): paper first, then ink."""
    for ink, value in zip(whole(logits).tolist(), values.tolist(), strict=True):
        yield (TOTAL - ink, ink) if value else (0, TOTAL - ink)


def fingerprint(model, n=0):
    """Return 32 bits that change with a model's weights, and with n, how many pictures follow."""
    return zlib.crc32(b"".join(p.cpu().numpy().tobytes() for p in model.state_dict().values()), n)


def compress(model, x, walk=walk):
    """Return x (n, 1, H, W) in {0, 1}, packed by a model, as bytes. CourseError: greys, sizes."""
    require_binary(x)
    if x.shape[1:] != model.mean.shape or not len(x):
        raise CourseError(f"The model packs pictures {[*model.mean.shape]}, not {[*x.shape]}.")
    stack, intervals, flat = Stack(), [], x.flatten(1)

    def known(pixel, logits):
        intervals.extend(interval(flat[:, pixel], logits))
        return flat[:, pixel]

    walk(model, len(x), known)
    for one in reversed(intervals):
        stack.push(*one)
    return HEADER.pack(b"ROWS", len(x), fingerprint(model, len(x))) + stack.to_bytes()


def popped(stack, logits):
    """Return the next values (n,) from a stack, by logits (n,)."""
    return torch.tensor([stack.pop((0, TOTAL - ink, TOTAL)) for ink in whole(logits).tolist()])


def decompress(model, data, walk=walk):
    """Return the pictures that `compress` packed with the same model. CourseError: damaged."""
    sign, n, maker = HEADER.unpack_from(data.ljust(HEADER.size, b"\0"))
    if sign != b"ROWS" or maker != fingerprint(model, n):
        raise CourseError("These bytes are damaged, no pictures, or packed with another model.")
    stack = Stack(data[HEADER.size :])
    x = walk(model, n, lambda _, logits: popped(stack, logits))
    if stack.words or stack.state != TOTAL:
        raise CourseError("The pictures do not unpack: damaged, cut, or rounded otherwise.")
    return x


@torch.no_grad()
def walk_any(model, n, choose):
    """Do what `walk` does, in model.order, with any model of pixels that does not look ahead."""
    x = model.mean.new_zeros(n, *model.mean.shape)
    for pixel in model.order.tolist():
        x.view(n, -1)[:, pixel] = choose(pixel, model(x).flatten(1)[:, pixel]).to(x)
    return x
