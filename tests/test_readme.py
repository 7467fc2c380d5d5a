"""What the README says is true: lessons, minutes, pictures, measured figures, commands, links."""

import json
import re
from statistics import mean, stdev

import nbformat
import pytest

from course_lib import __main__, exporting, lessons
from course_lib.settings import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (\d\d) \| \[([^\]]+)\]\(([^)]+)\) \| (\d+) min, (\d+) MB \|", re.MULTILINE)
BENCH = r"^\| `([\w-]+)` \| ([\w-]+) \| (\d+) s \| "
READERS = re.compile(BENCH + r"([\d.]+) ± ([\d.]+) % \|", re.MULTILINE)
GENERATORS = re.compile(
    BENCH + r"([\d.]+) ± ([\d.]+) \| in (\d+) of (\d+) runs, the smallest with ([\d.]+) % \|",
    re.MULTILINE,
)
BITS = re.compile(BENCH + r"([\d.]+) ± ([\d.]+) bits/dim \|", re.MULTILINE)
REPAIRS = re.compile(BENCH + r"([^|]+) \| ([\d.]+) ± ([\d.]+) dB \| ([\d.]+) dB, ", re.MULTILINE)
OURS_AND_CLASSICAL = {  # keys of the metrics of a run
    "noise 25": ("net crops", "nlm crops"),
    "half the size": ("x2 net crops", "x2 bicubic crops"),
    "a third of the size": ("x3 net crops", "x3 bicubic crops"),
    "free-form holes": ("net free-form crops", "biharmonic free-form crops"),
    "scratches": ("net scratches crops", "biharmonic scratches crops"),
}
LIKELIHOODS = re.compile(BENCH + r"(-[\d.]+) ± ([\d.]+) \| (-[\d.]+) ± ([\d.]+) \|", re.MULTILINE)


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


def measured() -> list[dict]:
    text = (ROOT / "data" / "results" / "bench.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def told(scores: list[float], digits: int) -> tuple[str, str]:
    assert len(scores) >= 5
    return f"{mean(scores):.{digits}f}", f"{stdev(scores):.{digits}f}"


def scores_of(name: str, data: str, budget: str, key: str) -> list[float]:
    wanted = (name, data, float(budget))
    return [
        run["metrics"][key]
        for run in measured()
        if (run["name"], run["data"], run["budget"]) == wanted
    ]


def test_every_measured_entry_is_told():
    kinds = READERS, GENERATORS, REPAIRS
    rows = {row[:3] for kind in kinds for row in kind.findall(README)}
    assert rows == {(run["name"], run["data"], f"{run['budget']:g}") for run in measured()}


@pytest.mark.parametrize("row", READERS.findall(README), ids="-".join)
def test_the_readers_figures_are_those_of_the_committed_runs(row):
    shares = [100 * share for share in scores_of(*row[:3], "accuracy")]
    assert row[3:] == told(shares, 2)


@pytest.mark.parametrize("row", GENERATORS.findall(README), ids="-".join)
def test_the_generators_figures_are_those_of_the_committed_runs(row):
    *entry, distance, spread, whole, runs, smallest = row
    assert (distance, spread) == told(scores_of(*entry, "frechet"), 1)
    classes = scores_of(*entry, "classes")
    assert (int(whole), int(runs)) == (classes.count(10), len(classes))
    assert smallest == f"{100 * min(scores_of(*entry, 'smallest')):.1f}"


def test_the_likelihoods_are_those_of_the_committed_runs():
    rows = LIKELIHOODS.findall(README)
    with_bound = {
        (r["name"], r["data"], f"{r['budget']:g}") for r in measured() if "elbo" in r["metrics"]
    }
    assert {row[:3] for row in rows} == with_bound
    for *entry, elbo, spread, bound, its_spread in rows:
        assert (elbo, spread) == told(scores_of(*entry, "elbo"), 2)
        assert (bound, its_spread) == told(scores_of(*entry, "iwae"), 2)


def test_the_bits_are_those_of_the_committed_runs():
    rows = BITS.findall(README)
    measured_bits = {
        (r["name"], r["data"], f"{r['budget']:g}")
        for r in measured()
        if "bits_per_dim" in r["metrics"]
    }
    assert {row[:3] for row in rows} == measured_bits
    for *entry, bits, spread in rows:
        assert (bits, spread) == told(scores_of(*entry, "bits_per_dim"), 3)


@pytest.mark.parametrize("row", REPAIRS.findall(README), ids="-".join)
def test_the_repairs_figures_are_those_of_the_committed_runs(row):
    *entry, damage, ours, spread, classical = row
    net, peer = OURS_AND_CLASSICAL[damage]
    assert (ours, spread) == told(scores_of(*entry, net), 2)
    assert (classical, "0.00") == told(scores_of(*entry, peer), 2)


def test_every_repair_is_told_for_each_damage():
    told_of = [row[3] for row in REPAIRS.findall(README)]
    assert sorted(told_of) == sorted(OURS_AND_CLASSICAL)
    bm3d, _ = told(scores_of("denoise", "photos", "120", "bm3d crops"), 2)
    assert f"removes noise 25 with {bm3d} dB" in " ".join(README.split())


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!https?:|#)([^)]+)\)", README))))
def test_links_lead_somewhere(link):
    assert (ROOT / link).exists()


def test_every_command_it_names_exists():
    named = set(re.findall(r"-m course_lib (\w+)", README))
    assert {"lab", "test", "doctor", "build", "student", "bench"} <= named
    assert named <= set(__main__.COMMANDS)
