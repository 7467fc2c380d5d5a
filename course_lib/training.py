"""What goes around a training loop: progress, a live picture, a clean stop, saved weights.

The loop itself stands in the lesson:

    with training.progress(cfg.steps, should_stop) as run:
        for step in run:
            ...
            run.log(loss=loss)
"""

import json
import math
import time
from contextvars import ContextVar
from pathlib import Path

import safetensors.torch
import torch

from course_lib import display, settings

TEXT_EVERY = 0.5  # seconds between two updates of the bar
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

    The time of all threads counts, from the first call on, so set-up is free.
    """

    def __init__(self, cpu_seconds: float):
        self.cpu_seconds = cpu_seconds
        self._begun = None  # process time of the first call

    def __call__(self) -> float:
        """Return the fraction of the budget that is spent: 0, ..., 1 and beyond."""
        if self._begun is None:
            self._begun = time.process_time()
        return (time.process_time() - self._begun) / self.cpu_seconds


class Run:
    """A training of `steps` steps: `with` shows and stops it, `for step in run` counts them.

    should_stop() -> bool, or the fraction of a budget that is spent; the training ends at 1.
    view(run) -> figure, drawn anew in place every `every` seconds in a notebook; the last stays.
    Ctrl-C or the notebook's stop button end the block; model and history stay as they are.
    step: how many steps are finished (set it to resume). interrupted: stopped by hand. A second
    `with run:` goes on where the first one ended.
    """

    def __init__(self, steps, should_stop=never_stop, view=None, every=3.0, label="training"):
        self.steps, self.should_stop, self.label = steps, should_stop, label
        self.step, self.interrupted = 0, False
        self._view, self._every = view, every
        self._history, self._begun = {}, None

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
        """Keep one number per name for this step; of a GPU it is read when the history is."""
        for name, value in values.items():
            if isinstance(value, torch.Tensor):
                if value.numel() != 1:
                    shape = tuple(value.shape)
                    raise settings.CourseError(f"log({name}=...) takes one number, not {shape}.")
                # Read at once where no GPU waits: kept, small tensors pin a CPU's large pages.
                value = value.item() if value.device.type == "cpu" else value.detach().clone()
            steps, kept = self._history.setdefault(name, ([], []))
            steps.append(self.step)
            kept.append(value)

    @property
    def history(self) -> dict[str, tuple[list[int], list[float]]]:
        """What was logged: name -> (steps, values), two lists of plain numbers."""
        for _, values in self._history.values():
            values[:] = map(float, values)
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
        kept = ". Model, optimiser and history are kept." if self.interrupted else ""
        text = f"{self.label}: stopped at step {self.step:,} of {self.steps:,} after {seconds}"
        return f"{text}{self._numbers()}{kept}"


progress = Run  # as lessons call it: with training.progress(...) as run


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{seconds:.1f} s"


def save_weights(path, model: torch.nn.Module, **facts):
    """Write the model's tensors and `facts` (what JSON can hold) as safetensors, never a pickle."""
    # One string of facts: the file's bytes then depend on nothing but its content.
    plain = {k: v.detach().cpu().contiguous().clone() for k, v in model.state_dict().items()}
    settings.write(path, safetensors.torch.save(plain, {"facts": json.dumps(facts, default=float)}))


def load_weights(path, model: torch.nn.Module) -> dict:
    """Read weights into `model`, on its device; return the facts that were saved with them.

    Raises CourseError, with the model untouched, if the file or one of its layers does not fit.
    """
    try:
        data = Path(path).read_bytes()
        tensors = safetensors.torch.load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        facts = json.loads(header["__metadata__"]["facts"])
    except OSError as error:
        raise settings.CourseError(f"Cannot read {path}: {error.strerror}.") from error
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise settings.CourseError(f"{path} is damaged; delete it and train again.") from error
    _require_fit(path, tensors, model)
    model.load_state_dict(tensors)
    return facts


def _require_fit(path, tensors: dict, model):
    """Raise CourseError that names the first layer in which file and model differ."""
    own = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    saved = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for name in [*own, *sorted(saved)]:
        here, there = own.get(name, "missing"), saved.get(name, "missing")
        if here != there:
            misfit = f"{name} is {there} in the file and {here} in the model"
            advice = "build the model as it was when the file was saved"
            raise settings.CourseError(f"{path} does not fit: {misfit}; {advice}.")
