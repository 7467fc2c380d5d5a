"""Weights from one lesson to the next: the learner's own where they fit, else the course's."""

import os
from pathlib import Path

import torch

from course_lib import settings, training


def own_path(name: str, data: str | None = None) -> Path:
    """Return where this profile keeps what the learner trained as `name` on a data set."""
    folder = settings.home() / "trained" / settings.profile_name()
    return folder / f"{name}-{data or settings.data_name()}.safetensors"


def shipped_path(name: str, data: str | None = None) -> Path:
    """Return where the weights lie that come with the course."""
    return settings.weights_dir() / f"{name}-{data or settings.data_name()}.safetensors"


def save(name: str, model: torch.nn.Module, data: str | None = None, **facts):
    """Keep the weights of `model` for later lessons, with facts such as lesson and accuracy.

    A smoke run keeps nothing: its networks have hardly been trained.
    """
    if settings.profile_name() == "smoke":
        print(f"{name}: not kept, a smoke run trains too little.")
        return
    training.save_weights(own_path(name, data), model, **facts)
    print(f"{name}: kept for later lessons.")


def load(name: str, model: torch.nn.Module, data: str | None = None) -> dict:
    """Read weights called `name` into `model`, say whose they are and return their facts.

    The learner's own of the same data set and profile come first (unless COURSE_OWN_WEIGHTS is 0),
    then the course's. Raises CourseError if there are none, or if they do not fit the model.
    """
    own, shipped = own_path(name, data), shipped_path(name, data)
    use_own = own.exists() and os.environ.get("COURSE_OWN_WEIGHTS") != "0"
    path = own if use_own else shipped
    if not path.exists():
        lacking = f"There are no weights of {name!r} for {data or settings.data_name()!r}"
        advice = "run the lesson that trains them first, in the same profile, and come back"
        raise settings.CourseError(f"{lacking}: {advice}.")
    facts = training.load_weights(path, model)
    told = ", ".join(f"{key} {value}" for key, value in facts.items())
    print(f"{name}: {'your own' if use_own else 'the course’s'} weights ({told})")
    return facts
