"""The device: choosing, self-test, threads, generators, autocast, the cost of a block."""

import json
import math
import os
import subprocess
import sys
import time
from statistics import median

import numpy as np
import pytest
import torch

from course_lib import device
from course_lib.settings import ROOT, CourseError


def forget():
    device._prefers_bfloat16.cache_clear()
    device._best_device.cache_clear()


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """A home of its own, no settings from outside, and torch's state as it was."""
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "home ä"))
    for name in ("COURSE_DEVICE", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    forget()
    yield
    forget()
    torch.set_num_threads(threads)
    assert torch.equal(state, torch.get_rng_state()), "the global generator was used"


@pytest.fixture
def gpu(monkeypatch):
    """A machine with CUDA, as far as choosing a device goes; returns the self-test's calls."""
    calls = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(device, "self_test", lambda name: calls.append(name) or calls.answer)
    calls = type("Calls", (list,), {"answer": []})()
    return calls


def test_a_device_is_picked_by_name_then_by_variable(monkeypatch):
    monkeypatch.setenv("COURSE_DEVICE", "no such thing")
    assert device.pick_device("cpu") == torch.device("cpu")
    monkeypatch.setenv("COURSE_DEVICE", "cpu")
    assert device.pick_device() == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda", "cuda:7", "cpu cpu"])
def test_a_device_that_is_not_there_is_one_clear_sentence(name):
    if name.startswith("cuda") and torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(CourseError, match="COURSE_DEVICE"):
        device.pick_device(name)


def test_auto_takes_a_gpu_that_computes_rightly(gpu):
    assert device.pick_device() == torch.device("cuda")
    assert gpu == ["cuda"]


def test_auto_falls_back_says_so_and_asks_the_gpu_only_once(gpu, capsys):
    gpu.answer = ["conv2d", "batch_norm"]
    for _ in range(2):
        assert device.pick_device("auto") == torch.device("cpu")
    assert gpu == ["cuda"]
    assert capsys.readouterr().out.count("Using the CPU: on cuda, conv2d, batch_norm") == 1


def test_the_cpu_agrees_with_itself():
    assert device.self_test("cpu") == []


class WrongGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return x * w

    @staticmethod
    def backward(ctx, grad):
        x, w = ctx.saved_tensors
        return grad * w, (grad * x).sum((0, 2, 3), keepdim=True) * (
            1.1 if x.is_floating_point() and x.dtype == torch.float32 else 1
        )


def _single(x, bad, good):
    return bad if x.dtype == torch.float32 else good


def _raises(x, w):
    if x.dtype == torch.float32:
        raise NotImplementedError("no kernel image")
    return x * w


WRONG = {
    "values": lambda x, w: _single(x, x * w + 0.2 * w, x * w),
    "one gradient": WrongGradient.apply,
    "not a number": lambda x, w: _single(x, x * w * math.nan, x * w),
    "one layout": lambda x, w: (
        x
        * w
        * (
            1.1
            if x.is_contiguous(memory_format=torch.channels_last) and x.dtype == torch.float32
            else 1
        )
    ),
    "no kernel": _raises,
}


@pytest.mark.parametrize("name", WRONG)
def test_the_self_test_names_what_is_wrong(monkeypatch, name):
    monkeypatch.setitem(device._OPERATIONS, "right", (lambda x, w: x * w, (1, 6, 1, 1)))
    monkeypatch.setitem(device._OPERATIONS, "layer", (WRONG[name], (1, 6, 1, 1)))
    assert device.self_test("cpu") == ["layer"]


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def v2(root, where, text):
    write(root / where / "cpu.max", text)


def v1(root, where, quota):
    write(root / "cpu" / where / "cpu.cfs_quota_us", f"{quota}\n")
    write(root / "cpu" / where / "cpu.cfs_period_us", "100000\n")


@pytest.mark.parametrize(
    ("make", "member", "cpus"),
    [
        (lambda root: None, None, math.inf),
        (lambda root: v2(root, ".", "max 100000\n"), "0::/\n", math.inf),
        (lambda root: v2(root, ".", "150000 100000\n"), "0::/\n", 1.5),
        (lambda root: v2(root, "user/me", "400000 100000"), "0::/user/me\n", 4),
        (lambda root: v2(root, "user", "200000 100000"), "0::/user/me\n", 2),
        (lambda root: v2(root, "other", "200000 100000"), "0::/user/me\n", math.inf),
        (lambda root: v1(root, ".", -1), "1:cpu:/\n", math.inf),
        (lambda root: v1(root, ".", 300000), "2:memory:/x\n1:cpu,cpuacct:/\n", 3),
        (lambda root: v1(root, "docker/a:b", 50000), "4:cpuacct,cpu:/docker/a:b\n0::/\n", 0.5),
        (lambda root: v2(root, ".", "nonsense\n"), "0::/\n", math.inf),
    ],
)
def test_the_cgroup_quota_is_read(tmp_path, make, member, cpus):
    make(tmp_path / "cgroup")
    if member is not None:
        write(tmp_path / "self", member)
    assert device._cgroup_quota(tmp_path / "cgroup", tmp_path / "self") == cpus


@pytest.mark.parametrize(
    ("physical", "quota", "affinity", "cores"),
    [(8, math.inf, 16, 8), (8, 2.9, 16, 2), (8, 0.5, 16, 1), (8, math.inf, 1, 1), (None, 64, 3, 3)],
)
def test_the_smallest_limit_counts(monkeypatch, physical, quota, affinity, cores):
    monkeypatch.setattr(device.psutil, "cpu_count", lambda logical: physical)
    monkeypatch.setattr(device.os, "cpu_count", lambda: 32)
    monkeypatch.setattr(device, "_cgroup_quota", lambda: quota)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(affinity)), raising=False)
    assert device._usable_cores() == cores


def test_threads_can_be_given_wished_or_found(monkeypatch):
    monkeypatch.setattr(device, "_usable_cores", lambda: 2)
    assert device.set_threads() == torch.get_num_threads() == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "3,1")
    assert device.set_threads() == 3
    assert device.set_threads(1) == torch.get_num_threads() == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert device.set_threads() == 2


def test_generators_repeat():
    a, b, c = (torch.randn(5, generator=device.generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(a, b) and not torch.equal(a, c)


@pytest.mark.parametrize(
    ("bfloat16", "enabled"), [(0.5, True), (0.8, True), (0.9, False), (13, False)]
)
def test_autocast_needs_a_clear_gain_and_one_measurement(monkeypatch, bfloat16, enabled):
    asked = []
    monkeypatch.setattr(
        device, "_seconds", lambda step, on, n: asked.append((on, n)) or (bfloat16 if on else 1.0)
    )
    for _ in range(2):
        with device.fast_autocast("cpu"):
            y = torch.ones(2, 2) @ torch.ones(2, 2)
        assert y.dtype == (torch.bfloat16 if enabled else torch.float32)
    n = torch.get_num_threads()
    assert asked == [(False, n), (True, n)]
    torch.set_num_threads(n + 1)
    device.fast_autocast("cpu")
    assert asked[2:] == [(False, n + 1), (True, n + 1)]


def test_a_weight_that_changes_in_the_context_is_used_as_it_is_now(monkeypatch):
    monkeypatch.setattr(device, "_seconds", lambda step, on, n: 0.5 if on else 1.0)
    weight, x = torch.zeros(3, 3, requires_grad=True), torch.ones(2, 3)
    with device.fast_autocast("cpu"):
        before = x @ weight
        with torch.no_grad():
            weight.add_(1)
        assert before.eq(0).all() and (x @ weight).eq(3).all()


def test_a_device_without_bfloat16_gets_float32(monkeypatch):
    def seconds(where, enabled, threads):
        if enabled:
            raise RuntimeError("not implemented for bfloat16")
        return 1.0

    monkeypatch.setattr(device, "_seconds", seconds)
    assert device._prefers_bfloat16("cpu", 1) is False


SLOW_BFLOAT16 = """
import json, time, torch
torch.set_num_threads(1)
from course_lib import device
x, w = torch.ones(1, 8, 8, 8), torch.ones(8, 8, 3, 3)
told, measure = {}, device._seconds
def remember(device, enabled, threads):
    told[str(enabled)] = measure(device, enabled, threads)
    return told[str(enabled)]
device._seconds = remember
begun = time.process_time()
with device.fast_autocast("cpu"):
    y = torch.nn.functional.conv2d(x, w)
told |= {"dtype": str(y.dtype), "spent": time.process_time() - begun}
print(json.dumps(told))
"""


def test_a_processor_without_bfloat16_instructions_computes_in_float32():
    settings = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", SLOW_BFLOAT16], env=settings, capture_output=True, check=True
    )
    told = json.loads(done.stdout)
    faster = told["False"] > device.SPEED_UP * told["True"]
    assert told["dtype"] == ("torch.bfloat16" if faster else "torch.float32")
    assert told["spent"] < 3  # CPU seconds; about 0.5 on a quiet machine
    assert done.stderr == b""


def megabytes_grown() -> float:
    """Return by how much a block that holds 100 MB exceeds an empty one."""
    with device.measure() as before:
        pass
    with device.measure() as cost:
        block = np.ones(12_500_000)
        end = time.process_time() + 0.2
        while time.process_time() < end:
            pass
        del block
    assert 0.2 <= cost.cpu_seconds <= cost.seconds * os.cpu_count() + 0.1
    return cost.peak_mb - before.peak_mb


def test_a_block_is_measured():
    grown = [megabytes_grown() for _ in range(3)]  # on a busy machine a look comes late
    assert 80 < median(grown) < 200


def test_a_block_that_fails_is_measured_too():
    with pytest.raises(ZeroDivisionError), device.measure() as cost:
        1 / 0  # noqa: B018
    assert cost.seconds >= 0 and cost.peak_mb > 0


def test_parameters_are_counted_once_and_only_those_that_learn():
    first, second = torch.nn.utils.skip_init(torch.nn.Linear, 3, 4), torch.nn.BatchNorm2d(7)
    model = torch.nn.Sequential(first, first, second)
    assert device.count_parameters(model) == 3 * 4 + 4 + 2 * 7
    first.weight.requires_grad_(False)
    assert device.count_parameters(model) == 4 + 2 * 7
