"""The machine under a lesson: which device, how many threads, and what a block of code costs."""

import functools
import math
import os
import re
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import psutil
import torch
import torch.nn.functional as F
from torch.utils.benchmark import Timer

from course_lib import settings

SPEED_UP = 1.2  # bfloat16 must be this much faster than float32 to be used
AGREEMENT = 0.02  # largest error against the CPU, relative to the largest value; TF32 has 0.001


def pick_device(name: str | None = None) -> torch.device:
    """Return the device called `name`, or COURSE_DEVICE, or the best one that computes rightly.

    name: cpu, cuda (or cuda:1, ...), mps or auto. `auto` tests a GPU once per torch version and
    uses the CPU, saying so, if the two disagree. Raises CourseError if the device is not there.
    Also sets torch's threads to the cores that this process may use (`set_threads`).
    """
    set_threads()
    name = name or os.environ.get("COURSE_DEVICE") or "auto"
    if name == "auto":
        return _best_device()
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = f"torch {torch.__version__} cannot use a device called {name!r} on this machine"
        advice = "set COURSE_DEVICE to cpu, cuda, mps or auto"
        raise settings.CourseError(f"{reason}; {advice}.") from error


@functools.cache
def _best_device() -> torch.device:
    there = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}
    for device in (name for name, is_there in there.items() if is_there()):
        if not (wrong := self_test(device)):
            return torch.device(device)
        print(f"Using the CPU: on {device}, {', '.join(wrong)} differ from the CPU's results.")
    return torch.device("cpu")


_OPERATIONS = {
    "conv2d": (lambda x, w: F.conv2d(x, w, padding=1), (8, 6, 3, 3)),
    "conv_transpose2d": (lambda x, w: F.conv_transpose2d(x, w, stride=2, padding=1), (6, 8, 4, 4)),
    "batch_norm": (lambda x, w: F.batch_norm(x, None, None, w, training=True), (6,)),
}


def self_test(device) -> list[str]:
    """Return the names of the layers whose values or gradients are wrong on `device`.

    Convolution, transposed convolution and batch norm, forward and backward, in both memory
    layouts, are compared with the CPU in float64. An empty list means that all agree.
    """
    return [name for name in _OPERATIONS if not _agrees(name, torch.device(device))]


def _agrees(name: str, device: torch.device) -> bool:
    operation, weight_shape = _OPERATIONS[name]
    draw = generator(0)
    x, w = (torch.randn(shape, generator=draw) for shape in ((4, 6, 9, 9), weight_shape))
    exact = _forward_backward(operation, x.double(), w.double())
    for layout in (torch.contiguous_format, torch.channels_last):
        try:
            ours = _forward_backward(operation, x.to(device).to(memory_format=layout), w.to(device))
        except (RuntimeError, NotImplementedError):
            return False
        for value, true in zip(ours, exact, strict=True):
            margin = AGREEMENT * true.abs().max().item()
            if not torch.allclose(value.cpu().double(), true, rtol=0, atol=margin):
                return False
    return True


def _forward_backward(operation, x, w) -> list[torch.Tensor]:
    x, w = x.detach().requires_grad_(), w.detach().requires_grad_()
    y = operation(x, w)
    ramp = torch.linspace(-1, 1, y.numel(), dtype=y.dtype, device=y.device)
    (y * ramp.view(y.shape)).sum().backward()
    return [y.detach(), x.grad, w.grad]


def set_threads(n: int | None = None) -> int:
    """Set and return torch's number of CPU threads: n, or what this process may really use.

    That is OMP_NUM_THREADS if it is set, else the smallest of physical cores, CPU affinity and
    cgroup quota: in a hub's container torch would start a thread for every core of the host.
    """
    wished = re.match(r"\d+", os.environ.get("OMP_NUM_THREADS", "").strip())
    torch.set_num_threads(n or (int(wished[0]) if wished else _usable_cores()))
    return torch.get_num_threads()


def _usable_cores() -> int:
    counts = [psutil.cpu_count(logical=False) or os.cpu_count() or 1, _cgroup_quota()]
    if hasattr(os, "sched_getaffinity"):
        counts.append(len(os.sched_getaffinity(0)))
    return max(1, math.floor(min(counts)))


def _cgroup_quota(root=Path("/sys/fs/cgroup"), membership=Path("/proc/self/cgroup")) -> float:
    """Return the CPUs that cgroup v1 or v2 allow this process, infinity where there is no limit."""
    places = [""]
    with suppress(OSError):
        text = membership.read_text(encoding="utf-8")
        places += re.findall(r"^\d+:(?:|.*\bcpu\b.*?):/(.+)$", text, re.MULTILINE)
    ends = [base / place for place in places for base in (root, root / "cpu")]
    return min(_quota(folder) for end in ends for folder in (end, *end.parents))


def _quota(folder: Path) -> float:
    """Return the limit that is set in one cgroup folder: quota / period, in CPUs."""
    for names in (["cpu.max"], ["cpu.cfs_quota_us", "cpu.cfs_period_us"]):
        with suppress(OSError, ValueError):
            words = " ".join((folder / name).read_text(encoding="utf-8") for name in names)
            quota, period = (int(word) for word in words.split())
            if quota > 0 and period > 0:
                return quota / period
    return math.inf


def generator(seed: int, device="cpu") -> torch.Generator:
    """Return a random generator on `device`, seeded with `seed`."""
    return torch.Generator(device).manual_seed(seed)


def fast_autocast(device):
    """Return a context that computes in bfloat16 where that is faster, in float32 elsewhere.

    One training step of a convolution is timed both ways, once (below a second): processors
    without bfloat16 instructions are far slower. Weights are converted anew at every use: a cache
    would keep the first ones until the context ends, so that a training inside it would not train.
    """
    enabled, kind = _prefers_bfloat16(str(device), torch.get_num_threads()), torch.device(device)
    return torch.autocast(kind.type, torch.bfloat16, enabled=enabled, cache_enabled=False)


@functools.cache
def _prefers_bfloat16(device: str, threads: int) -> bool:
    try:
        return _seconds(device, False, threads) > SPEED_UP * _seconds(device, True, threads)
    except (RuntimeError, NotImplementedError):  # not to be had on this device
        return False


def _seconds(device: str, enabled: bool, threads: int) -> float:
    """Return the least seconds of a training step, under bfloat16 autocast if enabled."""
    x = torch.ones(32, 64, 14, 14, device=device).to(memory_format=torch.channels_last)
    w = torch.ones(64, 64, 3, 3, device=device, requires_grad=True)

    def step():
        with torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=enabled):
            loss = F.conv2d(x, w, padding=1).float().mean()
        torch.autograd.grad(loss, w)
        synchronise(device)

    timer = Timer("step()", globals={"step": step}, num_threads=threads)
    return min(timer.blocked_autorange(min_run_time=0.1).times)  # least disturbed by others


def synchronise(device):
    """Wait until `device` has finished what it was asked to do."""
    if torch.device(device).type != "cpu":
        torch.accelerator.synchronize(torch.device(device))


@contextmanager
def measure(device="cpu"):
    """Yield what the block costs, filled in at its end: .seconds, .cpu_seconds and .peak_mb.

    cpu_seconds: of all threads. peak_mb (10^6 bytes): the most memory that this process held at
    any of 50 looks a second, libraries included; for a CUDA device, the most of tensors there.
    """
    cost = SimpleNamespace(seconds=math.nan, cpu_seconds=math.nan, peak_mb=math.nan)
    on_cuda, held = torch.device(device).type == "cuda", psutil.Process().memory_info
    sizes, done = [held().rss], threading.Event()

    def watch():
        while not done.wait(0.02):
            sizes.append(held().rss)

    synchronise(device)
    if on_cuda:
        torch.cuda.reset_peak_memory_stats(device)
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        yield cost
        synchronise(device)
    finally:
        cost.seconds, cost.cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
        done.set()
        watcher.join()
        peak = torch.cuda.max_memory_allocated(device) if on_cuda else max(*sizes, held().rss)
        cost.peak_mb = peak / 1e6


def count_parameters(model: torch.nn.Module) -> int:
    """Return the number of trainable parameters; shared ones count once."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
