"""The leaderboard: every model on the same data, budget and measures, and the lessons' experiments.

`python3 -m course_lib bench` trains each entry until its budget of CPU seconds is used (process
time; set-up and evaluation do not count), measures it and prints one row and one JSON line a run.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import mean, stdev

from course_lib import experiments, settings

NO_LIMIT = 10**9  # steps: the budget ends the training


@dataclass
class Run:
    """What an entry is asked to do once."""

    data: str
    budget: float
    seed: int


@dataclass
class Result:
    """What one run of an entry gave; `arrays` is what --save writes to NAME.npz."""

    name: str
    data: str
    budget: float
    seed: int
    cpu_s: float
    params: int
    images_per_s: float
    metrics: dict[str, float]
    protocol: str
    arrays: dict = field(default_factory=dict, repr=False)

    def row(self) -> dict:
        """Return everything but the arrays, ready for one line of JSON."""
        return {key: value for key, value in asdict(self).items() if key != "arrays"}


def _train_cnn(run: Run):
    """Train the network of lesson 14 within the budget; return (model, cpu seconds, images/s)."""
    import torch

    from course_lib import datasets, device, training
    from course_lib.built import cnn

    cfg = replace(cnn.Config(), steps=NO_LIMIT)
    data = datasets.load(run.data, "train")
    generator = device.generator(run.seed)
    torch.manual_seed(run.seed)
    model = cnn.CNN(cfg.width)
    budget = training.Budget(run.budget)
    start = time.process_time()
    history = cnn.train_classifier(
        model, cfg, data.images, data.labels, generator, augment=cnn.augment, should_stop=budget
    )
    cpu_s = time.process_time() - start
    steps = history["loss"][0][-1] + 1
    return model, cpu_s, steps * cfg.batch_size / cpu_s


def _classifier_result(name: str, run: Run, test_name: str, protocol: str) -> Result:
    from course_lib import datasets, device
    from course_lib.built import cnn

    model, cpu_s, images_per_s = _train_cnn(run)
    test = datasets.load(test_name, "test")
    logits = cnn.predict(model, test.images)
    metrics = {"accuracy": (logits.argmax(1) == test.labels).double().mean().item()}
    return Result(
        name=name,
        data=run.data,
        budget=run.budget,
        seed=run.seed,
        cpu_s=round(cpu_s, 2),
        params=device.count_parameters(model),
        images_per_s=round(images_per_s, 1),
        metrics=metrics,
        protocol=protocol,
        arrays={"logits": logits.numpy(), "labels": test.labels.numpy()},
    )


def cnn_entry(run: Run) -> Result:
    """Measure lesson 14's network on the test images of the data it was trained on."""
    protocol = f"trained on all {run.data} training images, accuracy on its 10,000 test images"
    return _classifier_result("cnn", run, run.data, protocol)


def strokes_realism_entry(run: Run) -> Result:
    """Measure how well a network that has only seen strokes reads real MNIST digits."""
    run.data = "strokes"
    protocol = "trained on 60,000 strokes only, accuracy on MNIST's 10,000 test images"
    return _classifier_result("strokes-realism", run, "mnist", protocol)


ENTRIES: dict[str, Callable[[Run], Result]] = {
    "cnn": cnn_entry,
    "strokes-realism": strokes_realism_entry,
}


def save_arrays(result: Result, folder: Path):
    """Write the arrays of a run to `folder`/NAME.npz (NAME-seed.npz from the second seed on)."""
    import numpy as np

    suffix = f"-{result.seed}" if result.seed else ""
    with settings.atomic(folder / f"{result.name}{suffix}.npz") as path, open(path, "wb") as file:
        np.savez_compressed(file, **result.arrays)


def summary(results: list[Result]) -> str:
    """Return a table: one line an entry, each measure as mean ± standard deviation over seeds."""
    lines = [f"{'entry':<18}{'data':<14}{'cpu s':>7}{'params':>11}{'images/s':>10}  measures"]
    for name in dict.fromkeys(result.name for result in results):
        runs = [result for result in results if result.name == name]
        first = runs[0]
        measures = []
        for key in first.metrics:
            values = [result.metrics[key] for result in runs]
            spread = f" ± {stdev(values):.4f} over {len(values)} seeds" if len(values) > 1 else ""
            measures.append(f"{key} {mean(values):.4f}{spread}")
        cpu, speed = mean(r.cpu_s for r in runs), mean(r.images_per_s for r in runs)
        lines.append(
            f"{name:<18}{first.data:<14}{cpu:>7.1f}{first.params:>11,}{speed:>10,.0f}  "
            + ", ".join(measures)
        )
    return "\n".join(lines)


def parser() -> argparse.ArgumentParser:
    """Return the command line of `bench`."""
    p = argparse.ArgumentParser(
        prog="python3 -m course_lib bench",
        description="Train entries within a budget of CPU seconds, measure them, print a table and "
        "one JSON object a run.",
        epilog="example: python3 -m course_lib bench --only cnn --data mnist --budget 60 --seeds 5",
    )
    add = p.add_argument
    entries = f"entries to run: {', '.join(ENTRIES)} (default: all)"
    cpu = "CPU seconds of training a run, summed over threads (default 60)"
    long = "run the long experiment of lesson NN into data/results/NN.json"
    add("--only", nargs="+", metavar="NAME", choices=list(ENTRIES), help=entries)
    add("--data", help="data set (default: COURSE_DATA, or strokes)")
    add("--budget", type=float, default=60.0, metavar="CPU_SECONDS", help=cpu)
    add("--threads", type=int, default=1, help="threads torch may use (default 1)")
    add("--seeds", type=int, default=1, metavar="N", help="runs an entry, seeds 0 ... N - 1")
    add("--save", type=Path, metavar="DIR", help="write NAME.npz with what was made")
    add("--json", type=Path, metavar="FILE", help="also append the JSON lines to FILE")
    add("--experiment", metavar="NN", choices=sorted(experiments.EXPERIMENTS), help=long)
    return p


def main(argv: list[str]) -> int:
    """Run the command; return its exit status."""
    options = parser().parse_args(argv)
    if options.budget <= 0 or options.seeds < 1 or options.threads < 1:
        raise settings.CourseError("--budget, --seeds and --threads must be positive.")
    import torch

    from course_lib import training

    torch.set_num_threads(options.threads)
    with training.ctrl_c_ends_all():
        if options.experiment:
            print(f"written: {experiments.run(options.experiment)}")
        else:
            measure(options)
    return 0


def measure(options: argparse.Namespace):
    """Run the chosen entries; print a line of JSON after each run, and the table at the end."""
    results = []
    for name in options.only or ENTRIES:
        for seed in range(options.seeds):
            run = Run(options.data or settings.data_name(), options.budget, seed)
            results.append(ENTRIES[name](run))
            line = json.dumps(results[-1].row())
            print(line, flush=True)
            if options.json:
                with open(options.json, "a", encoding="utf-8") as file:
                    file.write(line + "\n")
            if options.save:
                save_arrays(results[-1], options.save)
    print(summary(results))
