"""The machine under a lesson: which device, how many threads, and what a block of code costs."""

import functools
import json
import math
import os
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import torch
import torch.nn.functional as F

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
        raise settings.CourseError(
            f"torch {torch.__version__} cannot use a device called {name!r} on this machine; "
            "set COURSE_DEVICE to cpu, cuda, mps or auto."
        ) from error


def _best_device() -> torch.device:
    there = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}
    for device in (name for name, is_there in there.items() if is_there()):
        key = f"self-test | {describe(device)}"
        wrong = _remembered(key, functools.partial(self_test, device))
        if not wrong:
            return torch.device(device)
        print(f"Using the CPU: on {device}, {', '.join(wrong)} differ from the CPU's results.")
    return torch.device("cpu")


def describe(device) -> str:
    """Return one line that names torch, the device and what decides its speed."""
    kind = torch.device(device).type
    if kind == "cuda":
        name = torch.cuda.get_device_name(device)
    elif kind == "mps":
        name = "mps"
    else:
        name = f"{_processor()} | {torch.get_num_threads()} threads"
    return f"torch {torch.__version__} | {name}"


def _processor() -> str:
    facts = getattr(torch.cpu, "get_capabilities", dict)()
    fast = [name for name, has in sorted(facts.items()) if "bf16" in name and has is True]
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "")
    name = facts.get("cpu_name", "cpu")
    return " ".join([name, torch.backends.cpu.get_cpu_capability(), *fast, limit]).strip()


def _remembered(key: str, measure):
    """Return what `measure()` said about this machine, from the disk if it was asked before."""
    path = settings.cache_dir() / "machine.json"
    known = {}
    with suppress(OSError, ValueError):
        known = json.loads(path.read_text(encoding="utf-8"))
    if key not in known:
        known[key] = measure()
        text = json.dumps(known, indent=1)
        with suppress(settings.CourseError), settings.atomic(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return known[key]


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
            error = (value.cpu().double() - true).abs().max()
            if not error <= AGREEMENT * true.abs().max():  # NaN fails too
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
    torch.set_num_threads(n or _wanted_threads() or _usable_cores())
    return torch.get_num_threads()


def _wanted_threads() -> int:
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(first) if first.isdigit() else 0


def _usable_cores() -> int:
    counts = [psutil.cpu_count(logical=False) or os.cpu_count() or 1, _cgroup_quota()]
    if hasattr(os, "sched_getaffinity"):
        counts.append(len(os.sched_getaffinity(0)))
    return max(1, math.floor(min(counts)))


def _cgroup_quota(
    root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")
) -> float:
    """Return the CPUs that cgroup v1 or v2 allow this process, infinity where there is no limit."""
    folders = {root, root / "cpu"}
    with suppress(OSError):
        for line in membership.read_text(encoding="utf-8").splitlines():
            _, controllers, place = line.split(":", 2)
            if not controllers or "cpu" in controllers.split(","):
                start = root / ("cpu" if controllers else "")
                parts = Path(place.strip("/")).parts
                folders |= {start.joinpath(*parts[:k]) for k in range(1, len(parts) + 1)}
    return min(_quota(folder) for folder in folders)


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

    One training step of a small convolutional network is timed both ways, once for this machine
    (below a second, kept on the disk): processors without bfloat16 instructions are far slower.
    """
    enabled = _prefers_bfloat16(str(device), torch.get_num_threads())
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=enabled)


@functools.cache
def _prefers_bfloat16(device: str, threads: int) -> bool:
    seconds = _remembered(f"autocast | {describe(device)}", lambda: _time_both(device))
    return seconds["float32"] > SPEED_UP * seconds["bfloat16"]


def _time_both(device: str) -> dict[str, float]:
    """Return the seconds of the quickest training step in float32 and under bfloat16 autocast."""
    step, begun = _conv_step(torch.device(device)), time.perf_counter()
    best = {"float32": math.inf, "bfloat16": math.inf}
    for turn in range(7):
        for name in best:
            start = time.perf_counter()
            try:
                step(name == "bfloat16")
            except (RuntimeError, NotImplementedError):
                return {"float32": 0.0, "bfloat16": math.inf}  # not to be had on this device
            if turn:  # the first turn only warms up
                best[name] = min(best[name], time.perf_counter() - start)
        if turn and time.perf_counter() - begun > 0.4:
            break
    return best


def _conv_step(device: torch.device):
    draw = generator(0)
    x = torch.randn(32, 16, 28, 28, generator=draw).to(device, memory_format=torch.channels_last)
    weights = [(torch.randn(32, c, 3, 3, generator=draw) / 12).to(device) for c in (16, 32)]
    weights = [w.to(memory_format=torch.channels_last).requires_grad_() for w in weights]

    def step(enabled: bool):
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled):
            y = x
            for w in weights:
                y = F.relu(F.conv2d(y, w, padding=1))
            loss = y.float().mean()
        torch.autograd.grad(loss, weights)
        synchronise(device)

    return step


def synchronise(device):
    """Wait until `device` has finished what it was asked to do."""
    kind = torch.device(device).type
    if kind == "cuda":
        torch.cuda.synchronize(device)
    elif kind == "mps":
        torch.mps.synchronize()


class Cost:
    """What a block cost: seconds, cpu_seconds (of all threads), peak_mb (10^6 bytes)."""

    seconds = cpu_seconds = peak_mb = math.nan

    def __repr__(self):
        return f"{self.seconds:.1f} s, {self.cpu_seconds:.1f} CPU s, peak {self.peak_mb:.0f} MB"


@contextmanager
def measure(device="cpu"):
    """Yield a Cost that holds seconds, cpu_seconds and peak_mb when the block has ended.

    peak_mb is the most memory that this process held at any of 50 looks a second, libraries
    included; for a CUDA device, the most memory of tensors there.
    """
    cost, on_cuda = Cost(), torch.device(device).type == "cuda"
    synchronise(device)
    if on_cuda:
        torch.cuda.reset_peak_memory_stats(device)
    wall, cpu = time.perf_counter(), time.process_time()
    peak = [0]
    try:
        with _watched_memory(peak):
            yield cost
            synchronise(device)
    finally:
        cost.seconds, cost.cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
        cost.peak_mb = (torch.cuda.max_memory_allocated(device) if on_cuda else peak[0]) / 1e6


@contextmanager
def _watched_memory(peak: list[int], interval: float = 0.02):
    """Let peak[0] grow to the most resident memory seen while the block runs, in bytes."""
    process, done = psutil.Process(), threading.Event()

    def look():
        peak[0] = max(peak[0], process.memory_info().rss)

    def watch():
        while not done.wait(interval):
            look()

    look()
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        look()
        done.set()
        watcher.join()


def count_parameters(model: torch.nn.Module) -> int:
    """Return the number of trainable parameters; shared ones count once."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
