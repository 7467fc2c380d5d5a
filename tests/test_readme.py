"""What the README says is true: lessons, minutes, pictures, measured figures, commands, links."""

import json
import re

import nbformat
import pytest

from course_lib import __main__, exporting, lessons
from course_lib.settings import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (\d\d) \| \[([^\]]+)\]\(([^)]+)\) \| (\d+) min, (\d+) MB \|", re.MULTILINE)
BENCH = re.compile(
    r"^\| `([\w-]+)` \| ([\w-]+) \| (\d+) s \| ([\d.]+) ± ([\d.]+) % \|", re.MULTILINE
)


def test_the_map_lists_every_lesson_with_its_title_minutes_and_memory():
    rows = {number: rest for number, *rest in ROW.findall(README)}
    assert set(rows) == {source.name[:2] for source in lessons.sources()}
    for source in lessons.sources():
        nb = nbformat.read(lessons.notebook_path(source), as_version=4)
        title, link, minutes, memory = rows[source.name[:2]]
        stamp = nb.metadata["course"]
        assert nb.cells[0].source.splitlines()[0] == f"# {source.name[:2]} {title}"
        assert link == f"notebooks/{source.stem}.ipynb"
        assert stamp["seconds"] <= 60 * int(minutes) <= stamp["seconds"] + 120
        assert stamp["peak_mb"] <= int(memory) <= stamp["peak_mb"] + 100


def test_the_pictures_shown_are_those_of_the_executed_notebooks():
    shown = set(re.findall(r"!\[[^\]]{20,}\]\(data/pictures/([\w.-]+)\)", README))
    assert shown and len(shown) == README.count("![")
    for source in lessons.sources():
        text = source.read_text(encoding="utf-8")
        shown |= set(re.findall(r"!\[[^\]]{20,}\]\(\.\./data/pictures/([\w.-]+)\)", text))
    files = {path.name: path for path in (ROOT / "data" / "pictures").iterdir()}
    assert set(files) == shown
    for name, path in files.items():
        source = next(path for path in lessons.sources() if path.name[:2] == name[:2])
        assert path.read_bytes() == exporting.pictures(lessons.stored(source))[name], name


def test_measured_figures_are_those_of_the_committed_runs():
    text = (ROOT / "data" / "results" / "bench.jsonl").read_text(encoding="utf-8")
    runs = [json.loads(line) for line in text.splitlines()]
    rows = BENCH.findall(README)
    assert {(name, data) for name, data, *_ in rows} == {(r["name"], r["data"]) for r in runs}
    for name, data, budget, mean, spread in rows:
        scores = [
            100 * run["metrics"]["accuracy"]
            for run in runs
            if (run["name"], run["data"], run["budget"]) == (name, data, float(budget))
        ]
        assert len(scores) >= 5
        average = sum(scores) / len(scores)
        deviation = (sum((s - average) ** 2 for s in scores) / (len(scores) - 1)) ** 0.5
        assert f"{average:.2f}" == mean and f"{deviation:.2f}" == spread


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!https?:|#)([^)]+)\)", README))))
def test_links_lead_somewhere(link):
    assert (ROOT / link).exists()


def test_every_command_it_names_exists():
    named = set(re.findall(r"-m course_lib (\w+)", README))
    assert {"lab", "test", "doctor", "build", "student", "bench"} <= named
    assert named <= set(__main__.COMMANDS)
