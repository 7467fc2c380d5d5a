"""What goes around a training loop: progress, a live picture, a clean stop, saved state.

The loop itself stands in the lesson:

    with training.progress(cfg.steps, should_stop) as run:
        for step in run:
            ...
            run.log(loss=loss)
"""

import json
import math
import time
from collections import deque
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import safetensors.torch
import torch

from course_lib import display, settings

TEXT_EVERY = 0.5  # seconds between two updates of the bar
BLOCK = 200  # logged values that wait before they are read in one go
RECENT = 20  # logged values that the bar averages
_ends_all = ContextVar("ends_all", default=False)


def never_stop() -> float:
    """Return 0.0: the training ends after its steps."""
    return 0.0


def ctrl_c_ends_all():
    """Let Ctrl-C pass through the trainings in the block: a measurement cut short is none."""
    return display.switched_on(_ends_all)


class Budget:
    """A should_stop that ends a training when it has used `cpu_seconds` of processor time.

    The time of all threads counts, from the first call on (so set-up is free), outside pause().
    """

    def __init__(self, cpu_seconds: float):
        if not cpu_seconds > 0:
            raise settings.CourseError(f"A budget of {cpu_seconds} CPU seconds is none; give more.")
        self.cpu_seconds = cpu_seconds
        self._begun = None  # process time of the first call, moved on by every pause

    @property
    def used(self) -> float:
        """CPU seconds spent so far."""
        return 0.0 if self._begun is None else time.process_time() - self._begun

    def __call__(self) -> float:
        """Return the fraction of the budget that is spent: 0, ..., 1 and beyond."""
        if self._begun is None:
            self._begun = time.process_time()
        return self.used / self.cpu_seconds

    @contextmanager
    def pause(self):
        """Leave what happens inside the block, such as an evaluation, uncounted."""
        used = self.used
        try:
            yield
        finally:
            if self._begun is not None:
                self._begun = time.process_time() - used


def progress(steps: int, should_stop=never_stop, view=None, every: float = 3.0, label="training"):
    """Return a Run that counts up to `steps`, shows how far it is and keeps what is logged.

    should_stop() -> bool, or the fraction of a budget that is spent; the training ends at 1.
    view(run) -> figure, drawn anew in place every `every` seconds in a notebook; the last stays.
    Ctrl-C or the notebook's stop button end the block; model and history stay as they are.
    """
    return Run(steps, should_stop, view, every, label)


class Run:
    """A training under way: `with` shows and stops it, `for step in run` counts its steps.

    step: how many steps are finished (set it to resume). interrupted: stopped by hand. A second
    `with run:` goes on where the first one ended.
    """

    def __init__(self, steps: int, should_stop, view, every: float, label: str):
        self.steps, self.should_stop, self.label = steps, should_stop, label
        self.step, self.interrupted = 0, False
        self._view, self._every = view, every
        self._history, self._waiting = {}, deque()
        self._begun = None

    def __enter__(self):
        self.interrupted = False
        self._begun, self._first = time.monotonic(), self.fraction
        self._line, self._picture = display.Line(), display.Output()
        live = self._line.can_change and settings.profile_name() != "smoke"
        self._next_text = self._begun + TEXT_EVERY if live else math.inf
        self._next_view = self._begun + self._every
        return self

    def __iter__(self):
        if self._begun is None:
            raise settings.CourseError("Open it first: `with training.progress(...) as run:`.")
        while self.step < self.steps and self.should_stop() < 1:
            yield self.step
            self.step += 1
            if time.monotonic() >= self._next_text:
                self._refresh()

    def __exit__(self, kind, error, traceback):
        self.interrupted = kind is not None and issubclass(kind, KeyboardInterrupt)
        self._line.put(self._result(kind), end="\n")
        self._begun = None
        if kind is None or self.interrupted:
            self._draw()
        return self.interrupted and not _ends_all.get()

    def log(self, **values):
        """Keep one number per name for this step; tensors are read later, many at once."""
        for name, value in values.items():
            if isinstance(value, torch.Tensor):
                if value.numel() != 1:
                    shape = tuple(value.shape)
                    raise settings.CourseError(f"log({name}=...) takes one number, not {shape}.")
                value = value.detach().clone()
            self._waiting.append((name, self.step, value))
        if len(self._waiting) >= BLOCK:
            self._read()

    def _read(self):
        while self._waiting:
            name, step, value = self._waiting.popleft()
            steps, values = self._history.setdefault(name, ([], []))
            steps.append(step)
            values.append(float(value))

    @property
    def history(self) -> dict[str, tuple[list[int], list[float]]]:
        """What was logged: name -> (steps, values), two lists of plain numbers."""
        self._read()
        return self._history

    @property
    def fraction(self) -> float:
        """How much of the training is done, 0 to 1, by steps or by budget: for schedules."""
        done = self.step / self.steps if self.steps else 1.0
        return min(1.0, max(done, self.should_stop()))

    def _refresh(self):
        self._line.put(self._status())
        begun = time.monotonic()
        if begun >= self._next_view:
            self._draw()
            took = time.monotonic() - begun
            self._next_view = time.monotonic() + max(self._every, 9 * took)  # a tenth at most
        self._next_text = time.monotonic() + TEXT_EVERY

    def _draw(self):
        if self._view is not None and display.in_notebook():
            with display.held():
                fig = self._view(self)
            alt = fig.get_label() or f"{self.label} after {self.step} steps"
            self._picture.put(*display.bundle(display.as_png(fig), alt))

    def _numbers(self) -> str:
        recent = [(name, values[-RECENT:]) for name, (_, values) in self.history.items()]
        return "".join(f", {name} {sum(v) / len(v):.3g}" for name, v in recent[:3])

    def _status(self) -> str:
        done, seconds = self.fraction, time.monotonic() - self._begun
        bar = "━" * round(20 * done) + "─" * (20 - round(20 * done))
        fresh = done - self._first
        left = f", {_duration(seconds * (1 - done) / fresh)} left" if fresh > 0 else ""
        return f"{self.label} {bar} {done:4.0%}, step {self.step:,}{self._numbers()}{left}"

    def _result(self, error) -> str:
        seconds = _duration(time.monotonic() - self._begun)
        if error is None:
            return f"{self.label}: {self.step:,} steps in {seconds}{self._numbers()}"
        text = f"{self.label}: stopped at step {self.step:,} of {self.steps:,} after {seconds}"
        if not self.interrupted:
            return f"{text} by {error.__name__}"
        return f"{text}{self._numbers()}. Model, optimiser and history are kept."


def _duration(seconds: float) -> str:
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def save_weights(path, model: torch.nn.Module, **facts):
    """Write the model's tensors and `facts` (what JSON can hold) as safetensors, never a pickle."""
    _write(path, model.state_dict(), facts)


def load_weights(path, model: torch.nn.Module) -> dict:
    """Read weights into `model`, on its device; return the facts that were saved with them.

    Raises CourseError, with the model untouched, if the file or one of its layers does not fit.
    """
    tensors, facts = _read_file(Path(path))
    _require_fit(path, tensors, model)
    model.load_state_dict(tensors)
    return facts


def save_checkpoint(path, model, optimiser=None, step: int = 0, history=None, **facts):
    """Write model, optimiser state, step, history and facts, so that a training can go on."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    facts |= {"step": step, "history": history or {}}
    if optimiser is not None:
        state = optimiser.state_dict()
        facts["param_groups"] = state["param_groups"]
        for i, entry in state["state"].items():
            tensors |= {f"optimiser.{i}.{k}": v for k, v in entry.items() if v is not None}
    _write(path, tensors, facts)


def load_checkpoint(path, model, optimiser=None) -> dict:
    """Read a checkpoint into `model` and `optimiser`; return its facts, with step and history.

    Raises CourseError, with both untouched, if the file, a layer or the optimiser does not fit.
    """
    tensors, facts = _read_file(Path(path))
    weights = {k[6:]: v for k, v in tensors.items() if k.startswith("model.")}
    _require_fit(path, weights, model)
    groups, state = facts.pop("param_groups", []), {}
    for key in tensors.keys() - {f"model.{name}" for name in weights}:
        _, index, name = key.split(".", 2)
        state.setdefault(int(index), {})[name] = tensors[key]
    if optimiser is not None:
        if _outline(groups) != _outline(optimiser.param_groups):
            raise settings.CourseError(f"{path} holds no state for this optimiser and its layers.")
        optimiser.load_state_dict({"state": state, "param_groups": groups})
    model.load_state_dict(weights)
    facts["history"] = {name: tuple(lists) for name, lists in facts.get("history", {}).items()}
    return facts


def _outline(groups: list) -> list:
    return [(sorted(group), len(group["params"])) for group in groups]


def _write(path, tensors: dict, facts: dict):
    # One string of facts: the file's bytes then depend on nothing but its content.
    plain = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    with settings.atomic(path) as temporary:
        data = safetensors.torch.save(plain, {"facts": json.dumps(facts, default=float)})
        temporary.write_bytes(data)


def _read_file(path: Path) -> tuple[dict, dict]:
    try:
        data = path.read_bytes()
        tensors = safetensors.torch.load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        return tensors, json.loads(header["__metadata__"]["facts"])
    except OSError as error:
        raise settings.CourseError(f"Cannot read {path}: {error.strerror}.") from error
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise settings.CourseError(f"{path} is damaged; delete it and train again.") from error


def _require_fit(path, tensors: dict, model):
    """Raise CourseError that names the first layer in which file and model differ."""
    own = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    saved = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for name in [*own, *sorted(saved)]:
        here, there = own.get(name, "missing"), saved.get(name, "missing")
        if here != there:
            raise settings.CourseError(
                f"{path} does not fit: {name} is {there} in the file and {here} in the model; "
                "build the model as it was when the file was saved."
            )
