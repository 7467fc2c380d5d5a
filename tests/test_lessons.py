"""From a lesson's source to its notebook and module: the builder, on a toy course."""

import os
import signal
import subprocess
import sys
import time

import nbformat
import pytest

from course_lib import __main__, editions, exporting, lessons
from course_lib.settings import CourseError

EXPORTED = '''\
# Generated from notebooks/src/10_toy.py by `python3 -m course_lib build 10`.
# Edit the lesson, not this file.
"""Lesson 10, "Measure circles": what it builds, for later lessons to import."""

import math


def area(radius):
    """Return the area of a circle."""
    squared = radius**2
    return math.pi * squared


class Ring:
    """A ring between two radii."""

    def __init__(self, inner, outer):
        self.inner, self.outer = inner, outer

    def area(self):
        """Return the area between the circles."""
        return area(self.outer) - area(self.inner)
'''


def write(source, text):
    source.write_text(text, encoding="utf-8", newline="\n")


def change(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    write(path, text.replace(old, new))


def everything(source):
    """Return the bytes of every file of the course, caches left out."""
    files = (p for p in source.parents[2].rglob("*") if p.is_file() and p.suffix != ".pyc")
    return {path: path.read_bytes() for path in files}


def outputs(nb) -> str:
    return repr([cell.outputs for cell in editions.code_cells(nb)])


@pytest.fixture
def no_kernel(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a kernel was started")

    monkeypatch.setattr(lessons, "execute", refuse)


def lesson(folder, *cells):
    """Write a lesson of code cells; a cell that starts with `export:` is tagged so."""
    text = "# %% [markdown]\n# # Title\n"
    for cell in cells:
        tagged = cell.startswith("export:")
        text += '\n# %% tags=["export"]\n' if tagged else "\n# %%\n"
        text += cell.removeprefix("export:") + "\n"
    source = folder / "notebooks" / "src" / "11_small.py"
    source.parent.mkdir(parents=True, exist_ok=True)
    write(source, text)
    return source


# Reading


def test_reading_is_deterministic_and_keeps_only_tags(course):
    first, second = lessons.read(course), lessons.read(course)
    assert first == second
    assert [cell.id for cell in first.cells[:2]] == ["10-001", "10-002"]
    assert {key for cell in first.cells for key in cell.metadata} == {"tags"}
    assert set(first.metadata) == {"kernelspec", "language_info"}
    nbformat.validate(first)


def test_complete_edition_has_answers_and_no_markers(course):
    text = "\n".join(cell.source for cell in lessons.complete(course).cells)
    assert "return math.pi * squared" in text
    assert "###" not in text


@pytest.mark.parametrize(
    "broken",
    [
        "### BEGIN SOLUTION\n    return 1\n    ### END SOLUTION",
        "### TODO: what\n    ### BEGIN SOLUTION\n    return 1",
        "### TODO: what\n    ### BEGIN SOLUTION\n    return 1\n### END SOLUTION",
        "### TODO: what\n    return 1",
        "return (",
    ],
)
def test_a_broken_cell_is_named(tmp_path, broken):
    source = lesson(tmp_path, "x = 1", f"def f():\n    {broken}")
    with pytest.raises(CourseError, match=r"11_small.py, cell 11-003"):
        lessons.read(source)


# Exporting


def test_export_resolves_imports_and_drops_markers(course):
    pytest.importorskip("ruff")
    assert lessons.export(course) == EXPORTED
    assert lessons.built_path(course).read_text(encoding="utf-8") == EXPORTED


def test_export_takes_only_the_imports_it_uses_from_any_cell(tmp_path):
    source = lesson(
        tmp_path,
        "import json, sys\nimport os.path as p",
        "from collections import (\n    OrderedDict,\n    deque as d,\n)",
        "export:import math\n\n\n# kept\ndef f(json=None):\n    return d([p.sep, math.pi, json])",
        "from dataclasses import dataclass",
        "export:@dataclass\nclass Config:\n    size: int = len([n for n in range(3)])",
    )
    text = lessons.export(source)
    scope = {"__name__": "built"}
    exec(compile(text, "built", "exec"), scope)
    assert scope["f"]()[0] == os.sep and scope["Config"]().size == 3
    assert "# kept\n" in text and text.count("import math") == 1
    for unused in ("json,", "import json", "import sys", "OrderedDict"):
        assert unused not in text


def test_export_names_a_definition_that_is_not_exported(tmp_path):
    source = lesson(tmp_path, "scale = 2", "export:def f(x):\n    return [scale * v for v in x]")
    with pytest.raises(CourseError, match="uses 'scale': tag the cell"):
        lessons.export(source)


def test_a_lesson_without_exports_has_no_module(tmp_path):
    assert lessons.export(lesson(tmp_path, "x = 1")) == ""


# Building


def test_build_stores_a_clean_executed_notebook(course):
    nb = lessons.stored(course)
    nbformat.validate(nb)
    assert [cell.execution_count for cell in editions.code_cells(nb)] == list(range(1, 8))
    assert b"\r" not in lessons.notebook_path(course).read_bytes()
    said = outputs(nb)
    assert "✓ area: right" in said and "profile standard strokes\\nhere" in said
    assert "noise" not in said and "widget" not in said
    assert "here notebooks" in said and "tmp" not in said
    assert editions.code_cells(nb)[-1].outputs[0].metadata == {"image/png": {"alt": "a ring"}}


def test_build_stamps_the_notebook(course):
    stamp = lessons.stored(course).metadata["course"]
    assert stamp["profile"] == "standard" and stamp["device"] == "cpu"
    assert 10 < stamp["peak_mb"] < 2000 and 0 <= stamp["seconds"] < 60
    assert {"code", "built", "date", "python", "torch", "numpy", "matplotlib"} <= set(stamp)


def test_nothing_to_do_changes_nothing(course, no_kernel):
    before = everything(course)
    assert lessons.stale(course) == ""
    assert "outputs kept" in lessons.build(course)
    assert everything(course) == before


def test_markdown_alone_is_updated_without_executing(course, no_kernel):
    old = outputs(lessons.stored(course))
    change(course, "# ## Area\n", "# ## The area\n\n# %% [markdown]\n# One cell more.\n")
    assert lessons.stale(course) == "its text has changed"
    lessons.build(course)
    nb = lessons.stored(course)
    assert lessons.stale(course) == "" and outputs(nb) == old
    assert nb.cells[3].source == "One cell more."
    assert [cell.id for cell in nb.cells] == [f"10-{n:03d}" for n in range(1, len(nb.cells) + 1)]


def test_a_new_tag_is_updated_without_executing(course, no_kernel):
    change(
        course,
        "# %%\nimport os\n",
        '# %% tags=["deeper"]\nimport os\n',
    )
    assert lessons.stale(course) == "its text has changed"
    lessons.build(course)
    assert lessons.stale(course) == ""


def test_changed_code_is_executed(course):
    change(course, 'print("here"', 'print("there", 6 * 7)\nprint("here"')
    assert lessons.stale(course) == "its code has changed"
    assert "executed" in lessons.build(course, report=lambda text: None)
    assert "there 42" in outputs(lessons.stored(course)) and lessons.stale(course) == ""


def test_an_edited_notebook_or_module_is_stale(course):
    notebook, module = lessons.notebook_path(course), lessons.built_path(course)
    original = notebook.read_text(encoding="utf-8")
    text = course.read_text(encoding="utf-8")
    change(course, "math.pi * squared", "3 * squared")
    change(notebook, "math.pi * squared", "3 * squared")
    assert lessons.stale(course) == "its code has changed"
    write(course, text)
    write(notebook, original)
    change(notebook, "return math.pi * squared", "return math.pi * squared ")
    assert lessons.stale(course) == "its code has changed"
    write(notebook, original[: len(original) // 2])
    assert lessons.stale(course) == "it was never built"
    write(notebook, original)
    change(module, "radius**2", "radius * radius")
    assert lessons.stale(course) == "course_lib/built/toy.py is not what the lesson exports"
    module.unlink()
    assert lessons.stale(course) == "course_lib/built/toy.py is not what the lesson exports"


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        (
            '"""Other."""\nimport course_lib.built.deep\n\ndef f( x ):\n    return x+1\n',
            False,
        ),
        (
            "import course_lib.built.deep\n# a comment\ndef f(x):\n    'Doc.'\n    return x + 1\n",
            False,
        ),
        ("import course_lib.built.deep\ndef f(x):\n    return x + 2\n", True),
        ("import course_lib.built.deep\ndef f(x, y=None):\n    return x + 1\n", True),
    ],
)
def test_the_stamp_hashes_the_code_of_imported_modules(tmp_path, text, counts):
    original = "import course_lib.built.deep\ndef f(x):\n    return x + 1\n"
    nb = lessons.complete(lesson(tmp_path, "from course_lib.built import small\nsmall.f(1)"))
    write(tmp_path / "small.py", original)
    write(tmp_path / "deep.py", "x = 1\n")
    write(tmp_path / "other.py", "x = 1\n")
    before = exporting.built_hash(nb, tmp_path)
    write(tmp_path / "other.py", "x = 2\n")
    assert exporting.built_hash(nb, tmp_path) == before
    write(tmp_path / "small.py", text)
    assert (exporting.built_hash(nb, tmp_path) != before) == counts
    write(tmp_path / "small.py", original)
    write(tmp_path / "deep.py", "x = 2\n")
    assert exporting.built_hash(nb, tmp_path) != before


def test_a_changed_module_makes_the_notebook_stale(course, no_kernel):
    write(lessons.built_path(course).parent / "early.py", "x = 1\n")
    change(course, "import math\n", "import math\nfrom course_lib.built.early import x\n")
    nb = lessons.complete(course)
    old = lessons.stored(course)
    lessons._keep_results(nb, old)
    nb.metadata["course"] = lessons._stamp(course, nb)
    editions.write_notebook(lessons.notebook_path(course), nb)
    assert lessons.stale(course) == ""
    write(lessons.built_path(course).parent / "early.py", "x = 2\n")
    assert "course_lib/built has changed" in lessons.stale(course)


@pytest.mark.parametrize(
    ("failing", "message"),
    [("1 / 0", "ZeroDivisionError"), ("os = __import__('os')\nos._exit(1)", "The kernel died")],
)
def test_a_failing_cell_leaves_everything_as_it_was(course, failing, message):
    change(course, "squared = radius**2", "squared = radius * radius")
    change(course, 'print("here"', f'{failing}\nprint("here"')
    before = everything(course)
    with pytest.raises(CourseError) as caught:
        lessons.build(course, report=lambda text: None)
    assert everything(course) == before
    said = str(caught.value)
    assert "Cell 10-008 failed" in said and failing in said and message in said
    assert "\x1b" not in said


def test_a_smoke_build_writes_the_module_only(course):
    change(course, "squared = radius**2", "squared = radius * radius")
    before = lessons.notebook_path(course).read_bytes()
    done = lessons.build(course, profile="smoke", report=lambda text: None)
    assert done.startswith("executed in")
    assert lessons.notebook_path(course).read_bytes() == before
    assert "radius * radius" in lessons.built_path(course).read_text(encoding="utf-8")


# The command


def run(course, *arguments):
    """Start `build` in the toy course, which has its own copy of the library."""
    code = "import sys; from course_lib import lessons; sys.exit(lessons.main(sys.argv[1:]))"
    environment = os.environ | {"PYTHONPATH": str(course.parents[2]), "PYTHONUTF8": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=course.parent,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


@pytest.fixture
def here(course, monkeypatch):
    monkeypatch.setattr(lessons, "sources", lambda: [course])
    return course


def test_check_says_what_is_stale(here, capsys):
    assert lessons.main(["--check"]) == 0
    assert capsys.readouterr().out == "10_toy: up to date\n"
    change(here, "# ## Area\n", "# ## The area\n")
    assert lessons.main(["--check", "10"]) == 1
    assert capsys.readouterr().out == "10_toy: its text has changed\n"


def test_build_shows_each_cell_and_fails_with_status_1(here, capsys):
    assert __main__.main(["build", "10", "--force"]) == 0
    assert "cell 8/11" in capsys.readouterr().out
    change(here, 'print("here"', '1 / 0\nprint("here"')
    assert __main__.main(["build"]) == 1
    assert "Cell 10-008 failed" in capsys.readouterr().err
    assert __main__.main(["build", "77"]) == 1
    assert "no lesson 77; there are 10" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_ctrl_c_leaves_everything_as_it_was(course):
    change(course, "squared = radius**2", "squared = radius * radius")
    wait = "import time; Path('started').touch(); time.sleep(300)"
    change(course, 'print("here"', f'{wait}\nprint("here"')
    before = everything(course)
    started = course.parent.parent / "started"
    process = run(course, "10")
    while not started.exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=500)
    started.unlink(missing_ok=True)
    assert process.returncode in (130, -signal.SIGINT), err  # the command says "Stopped."
    assert "cell 8/11" in out
    assert everything(course) == before
