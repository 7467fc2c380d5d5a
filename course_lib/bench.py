"""The leaderboard: every model on the same data, budget and measures, and the lessons' experiments.

`python3 -m course_lib bench` trains each entry until its budget of CPU seconds is used (process
time; set-up and evaluation do not count), measures it and prints one row and one JSON line a run.
"""

import json
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import torch

from course_lib import experiments, settings, training
from course_lib.experiments import ENTRIES


def summary(rows: list[dict]) -> str:
    """Return a table: one line an entry, each measure as mean ± standard deviation over seeds."""
    lines = [f"{'entry':<18}{'data':<14}{'cpu s':>7}{'params':>11}{'images/s':>10}  measures"]
    for name in dict.fromkeys(row["name"] for row in rows):
        first, *_ = runs = [row for row in rows if row["name"] == name]
        measures = [
            f"{key} {_spread([r['metrics'][key] for r in runs])}" for key in first["metrics"]
        ]
        cpu, speed = (mean(run[key] for run in runs) for key in ("cpu_s", "images_per_s"))
        facts = f"{name:<18}{first['data']:<14}{cpu:>7.1f}{first['params']:>11,}{speed:>10,.0f}"
        lines.append(f"{facts}  {', '.join(measures)}")
    return "\n".join(lines)


def _spread(values: list[float]) -> str:
    deviation = f" ± {stdev(values):.4f} over {len(values)} seeds" if len(values) > 1 else ""
    return f"{mean(values):.4f}{deviation}"


def main(argv: list[str]) -> int:
    """Train entries within a budget of CPU seconds, measure them, print a table.

    Each run is a line of JSON too. Example: bench --only cnn --data mnist --budget 60 --seeds 5
    """
    parser = settings.parser("bench", main.__doc__)
    add, number = parser.add_argument, {"type": int, "default": 1}
    add("--only", nargs="+", choices=list(ENTRIES), help="entries to run (default: all)")
    add("--data", help="data set (default: COURSE_DATA, or strokes)")
    add("--budget", type=float, default=60.0, help="CPU seconds of a training (default 60)")
    add("--objective", metavar="NAME", help="of the entry dcgan: hinge-sn, paper, ... (default r1)")
    add("--threads", **number, help="threads torch may use (default 1)")
    add("--seeds", **number, help="runs of an entry, seeds 0, 1, ... (default 1)")
    add("--save", type=Path, metavar="DIR", help="write NAME.npz with what was made")
    add("--json", type=Path, metavar="FILE", help="also append the JSON lines to FILE")
    add("--experiment", choices=list(experiments.EXPERIMENTS), help="run that of lesson NN")
    options = parser.parse_args(argv)
    if options.budget <= 0 or options.seeds < 1 or options.threads < 1:
        raise settings.CourseError("--budget, --seeds and --threads must be positive.")
    if options.objective and options.only != ["dcgan"]:
        raise settings.CourseError("--objective is for one entry: add --only dcgan.")
    torch.set_num_threads(options.threads)
    with training.ctrl_c_ends_all():
        if options.experiment:
            print(f"written: {experiments.run(options.experiment)}")
        else:
            measure(options)
    return 0


def measure(options):
    """Run the chosen entries; print a line of JSON after each run, and the table at the end."""
    rows, extra = [], {"objective": options.objective} if options.objective else {}
    for name in options.only or ENTRIES:
        for seed in range(options.seeds):
            data = options.data or settings.data_name()
            row, arrays = ENTRIES[name](data, options.budget, seed, **extra)
            rows.append(row)
            print(json.dumps(row), flush=True)
            if options.json:
                with options.json.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
            if options.save:
                _save(arrays, options.save / f"{row['name']}{f'-{seed}' if seed else ''}.npz")
    print(summary(rows))


def _save(arrays: dict[str, np.ndarray], path: Path):
    with settings.atomic(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)
