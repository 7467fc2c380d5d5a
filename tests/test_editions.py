"""The learner's edition: exercises opened, nothing of the learner's lost, every lesson walked."""

import json

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from course_lib import __main__, editions, lessons
from course_lib.execution import execute
from course_lib.settings import CourseError
from tests.test_notebooks_static import exercise_checks

BLOCK = """{0}### TODO: {1}
{0}### BEGIN SOLUTION
{2}
{0}### END SOLUTION"""


# Opening the exercises


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    depth=st.integers(1, 3),
    todo=st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1),
    lines=st.lists(st.sampled_from(["x = 1", "", "if x:", "    x = '### no marker'"]), max_size=5),
)
def test_a_stub_parses_and_says_what_to_write(depth, todo, lines):
    indent = "    " * depth
    answer = "\n".join(indent + line if line else "" for line in ["x = 0", *lines, "    pass"])
    head = "\n".join("    " * n + f"def f{n}():" for n in range(depth)) + "\n"
    code = head + BLOCK.format(indent, todo, answer) + "\nlast = 1"
    assert editions.solved(code) == head + answer + "\nlast = 1"
    assert editions.answers(code) == [answer]
    stub = editions.opened(code).removeprefix(head).removesuffix("\nlast = 1")
    assert stub.startswith(f"{indent}raise NotImplementedError(")
    scope = {}
    exec(f"def f():\n    {stub.strip()}", scope)
    with pytest.raises(NotImplementedError) as caught:
        scope["f"]()
    assert str(caught.value) == todo


def test_the_solution_is_folded_below_check_and_hints(course):
    nb = lessons.learner_edition(lessons.read(course))
    nbformat.validate(nb)
    names = [cell.id for cell in nb.cells]
    assert names.index("10-004-solution") == names.index("10-006") + 1  # exercise, check, hints
    assert names.index("10-009-solution") == names.index("10-010") + 1  # exercise, check
    folded = nb.cells[names.index("10-004-solution")].source
    assert folded.startswith("<details><summary>Solution</summary>\n\n```python\n    squared =")
    assert nb.cells[names.index("10-004")].source == (
        'def area(radius):\n    """Return the area of a circle."""\n'
        '    raise NotImplementedError("pi times the squared radius")'
    )
    assert "###" not in "\n".join(cell.source for cell in nb.cells)


def test_hints_may_stand_above_the_exercise():
    exercise = 'def f():\n    """F."""\n' + BLOCK.format("    ", "one", "    return 1")
    hints = "<details><summary>Hint 1</summary>a</details>"

    def task(number):
        return [
            new_markdown_cell(f"why {number}\n\n{hints}"),
            new_code_cell(exercise, id=f"e{number}", metadata={"tags": ["exercise"]}),
            new_code_cell("check", id=f"c{number}"),
            new_code_cell("more", id=f"m{number}"),
        ]

    nb = lessons.learner_edition(new_notebook(cells=task(1) + task(2)))
    kinds = [cell.id if cell.cell_type == "code" else cell.source[:5] for cell in nb.cells]
    solution = "<deta"
    assert kinds == ["why 1", "e1", "c1", solution, "m1", "why 2", "e2", "c2", solution, "m2"]
    assert editions.hints_of(task(1)[1:] + task(2), 0) is None  # those below are the next one's
    assert editions.hints_of(task(1)[1:] + task(2)[:1], 0) == 3


def test_solutions_can_be_left_out_and_solution_cells_never_stay(course):
    text = course.read_text(encoding="utf-8")
    course.write_text(text + '\n# %% tags=["solution"]\nsecret = 1\n', encoding="utf-8")
    nb = lessons.read(course)
    assert "secret" not in str(lessons.learner_edition(nb))
    bare = lessons.learner_edition(nb, solutions=False)
    assert "squared = " not in str(bare) and len(bare.cells) == len(nb.cells) - 1


def test_a_route_keeps_its_cells_only(course):
    nb = lessons.learner_edition(lessons.read(course), route="workshop")
    ids = [f"10-00{n}" for n in range(1, 7)]
    assert [cell.id for cell in nb.cells] == [*ids, "10-004-solution"]


def test_pictures_travel_inside_the_learners_notebook(tmp_path):
    (tmp_path / "a.png").write_bytes(b"png")
    nb = new_notebook(cells=[new_markdown_cell("![a](a.png) ![b](https://b.png)")])
    cell = lessons.learner_edition(nb, folder=tmp_path).cells[0]
    assert cell.source == "![a](attachment:a.png) ![b](https://b.png)"
    assert cell.attachments == {"a.png": {"image/png": "cG5n"}}
    with pytest.raises(CourseError, match=r"shows a.png"):
        lessons.learner_edition(nb, folder=tmp_path / "elsewhere")


# Handing out


def edition(text):
    cells = [new_markdown_cell("# Title", id="a"), new_code_cell(text, id="b")]
    return {"10_toy.ipynb": new_notebook(cells=cells)}


def rewritten_by_jupyterlab(path):
    """Save a notebook as JupyterLab does after it was opened and run: no source is edited."""
    nb = nbformat.read(path, as_version=4)
    nb.metadata["language_info"] = {"name": "python", "version": "3.11.7"}
    for cell in nb.cells:
        cell.id += "new"
        cell.source = cell.source.rstrip() + "\n"
    nb.cells[1].update(execution_count=7, outputs=[nbformat.v4.new_output("stream", text="1")])
    nb.cells.append(new_code_cell(""))
    nbformat.write(nb, path)


def edited(path, text="mine"):
    nb = nbformat.read(path, as_version=4)
    nb.cells[1].source = text
    nbformat.write(nb, path)


def code(path):
    return nbformat.read(path, as_version=4).cells[1].source


@pytest.fixture
def folder(tmp_path):
    """A folder in which the first edition was handed out."""
    assert editions.hand_out(tmp_path / "work", edition("first"), "course") == []
    assert editions.is_current(tmp_path / "work", "course")
    return tmp_path / "work"


def test_an_untouched_notebook_is_replaced_silently(folder):
    rewritten_by_jupyterlab(folder / "10_toy.ipynb")
    assert editions.hand_out(folder, edition("second")) == []
    assert code(folder / "10_toy.ipynb") == "second"
    assert sorted(p.name for p in folder.iterdir()) == [".handed_out.json", "10_toy.ipynb"]


def test_turning_code_into_markdown_is_an_edit():
    cells = [new_code_cell("x"), new_markdown_cell("x")]
    first, second = (editions.fingerprint(new_notebook(cells=[cell])) for cell in cells)
    assert first != second


def test_outputs_of_an_unchanged_edition_stay(folder):
    rewritten_by_jupyterlab(folder / "10_toy.ipynb")
    before = (folder / "10_toy.ipynb").read_bytes()
    assert editions.hand_out(folder, edition("first")) == []
    assert (folder / "10_toy.ipynb").read_bytes() == before


def test_an_edited_notebook_stays_and_the_new_edition_arrives_beside_it_once(folder):
    edited(folder / "10_toy.ipynb")
    before = (folder / "10_toy.ipynb").read_bytes()
    assert editions.hand_out(folder, edition("first")) == []
    assert len(list(folder.glob("*.ipynb"))) == 1
    (said,) = editions.hand_out(folder, edition("second"))
    assert "10_toy.new.ipynb" in said
    assert (folder / "10_toy.ipynb").read_bytes() == before
    assert code(folder / "10_toy.new.ipynb") == "second"
    (folder / "10_toy.new.ipynb").unlink()
    assert editions.hand_out(folder, edition("second")) == []
    assert not (folder / "10_toy.new.ipynb").exists()


def test_a_new_edition_that_was_edited_stays_too(folder):
    edited(folder / "10_toy.ipynb")
    editions.hand_out(folder, edition("second"))
    rewritten_by_jupyterlab(folder / "10_toy.new.ipynb")
    editions.hand_out(folder, edition("third"))
    assert code(folder / "10_toy.new.ipynb") == "third"  # it was untouched
    edited(folder / "10_toy.new.ipynb", "also mine")
    (said,) = editions.hand_out(folder, edition("fourth"))
    assert "10_toy.new2.ipynb" in said
    texts = {path.name: code(path) for path in folder.glob("*.ipynb")}
    assert texts == {
        "10_toy.ipynb": "mine",
        "10_toy.new.ipynb": "also mine",
        "10_toy.new2.ipynb": "fourth",
    }


@pytest.mark.parametrize("broken", ["", "{", None])
def test_without_a_manifest_every_file_is_the_learners(folder, broken):
    manifest = folder / ".handed_out.json"
    manifest.unlink() if broken is None else manifest.write_text(broken, encoding="utf-8")
    assert not editions.is_current(folder, "course")
    assert len(editions.hand_out(folder, edition("second"))) == 1
    assert code(folder / "10_toy.ipynb") == "first"
    assert code(folder / "10_toy.new.ipynb") == "second"
    assert json.loads(manifest.read_text(encoding="utf-8"))["notebooks"]


@pytest.mark.parametrize("content", [b"", b"not a notebook", b'{"cells": 3}', b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_the_learners(folder, content):
    (folder / "10_toy.ipynb").write_bytes(content)
    editions.hand_out(folder, edition("second"))
    (folder / ".handed_out.json").unlink()
    editions.hand_out(folder, edition("third"))
    assert (folder / "10_toy.ipynb").read_bytes() == content
    assert code(folder / "10_toy.new.ipynb") == "second"
    assert code(folder / "10_toy.new2.ipynb") == "third"


def test_a_missing_notebook_is_made_again(folder):
    (folder / "10_toy.ipynb").unlink()
    assert editions.hand_out(folder, edition("first")) == []
    assert code(folder / "10_toy.ipynb") == "first"


def test_a_disk_error_leaves_the_old_notebook(folder, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    before = (folder / "10_toy.ipynb").read_bytes()
    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(CourseError, match="Free some space"):
        editions.hand_out(folder, edition("second"))
    assert (folder / "10_toy.ipynb").read_bytes() == before
    assert sorted(p.name for p in folder.iterdir()) == [".handed_out.json", "10_toy.ipynb"]


# The commands


@pytest.fixture
def toy(course, monkeypatch, tmp_path):
    monkeypatch.setattr(lessons, "sources", lambda: [course])
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "home"))
    return course


def test_work_is_prepared_once_and_kept_up_to_date(toy, tmp_path, capsys, monkeypatch):
    assert lessons.prepare_work() == tmp_path / "home" / "work"
    notebook = tmp_path / "home" / "work" / "10_toy.ipynb"
    assert "NotImplementedError" in notebook.read_text(encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(lessons, "read", None)  # a second start reads no lesson
        lessons.prepare_work()
    edited(notebook)
    toy.write_text(toy.read_text(encoding="utf-8") + "\n# %%\n1\n", encoding="utf-8")
    lessons.prepare_work()
    assert "10_toy.new.ipynb" in capsys.readouterr().out
    notebook.unlink()
    lessons.prepare_work()
    assert notebook.exists()


def test_a_route_has_a_folder_of_its_own(toy, tmp_path):
    folder = lessons.prepare_work("workshop")
    assert folder == tmp_path / "home" / "work" / "workshop"
    assert len(nbformat.read(folder / "10_toy.ipynb", as_version=4).cells) == 7


def test_student_writes_files_for_handing_out(toy, tmp_path, capsys):
    assert lessons.main_student([str(tmp_path / "class"), "--no-solutions"]) == 0
    notebook = tmp_path / "class" / "10_toy.ipynb"
    assert "Solution" not in notebook.read_text(encoding="utf-8")
    assert lessons.main_student([str(tmp_path / "class")]) == 0
    assert "Solution" in notebook.read_text(encoding="utf-8")
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert __main__.main(["student", str(tmp_path / "file")]) == 1
    assert "Cannot write" in capsys.readouterr().err


# Every lesson, as a learner meets it


def walk(source, nb, folder):
    """Execute a learner's notebook in an empty folder in the smoke profile; return what it says."""
    execute(nb, folder, root=source.parents[2], COURSE_PROFILE="smoke")
    return said_by(nb)


def said_by(nb) -> list[str]:
    outputs = [output for cell in editions.code_cells(nb) for output in cell.outputs]
    return "".join(o.text for o in outputs if o.output_type == "stream").splitlines()


def solutions_put_back(nb):
    """Fill in the exercises of a learner's edition from its folded solutions, as a learner does."""
    texts = {cell.id: cell.source for cell in nb.cells}
    for cell in editions.code_cells(nb):
        for answer in texts.get(f"{cell.id}-solution", "").split("```python\n")[1:]:
            lines = cell.source.split("\n")
            open_line = next(n for n, ln in enumerate(lines) if "raise NotImplementedError(" in ln)
            lines[open_line] = answer.split("\n```")[0]
            cell.source = "\n".join(lines)
    return nb


def runs_untouched(source, folder):
    lesson = lessons.read(source)
    said = walk(source, lessons.learner_edition(lesson), folder)
    still_open = [line for line in said if "this exercise is open" in line]
    assert len(still_open) == exercise_checks(lesson) > 0


def runs_with_its_solutions(source, folder):
    lesson = lessons.read(source)
    said = walk(source, solutions_put_back(lessons.learner_edition(lesson)), folder)
    assert sum(line.startswith("✓") for line in said) >= exercise_checks(lesson)
    assert not [line for line in said if line.startswith(("○", "✗"))]


def stops_at_a_wrong_answer(source, folder):
    """Answer the first exercise with `return None`; its check stops with its message alone."""
    nb = lessons.learner_edition(lessons.read(source))
    exercise = next(c for c in nb.cells if "exercise" in editions.tags(c))
    before, after = exercise.source.split("raise NotImplementedError(", 1)
    exercise.source = before + "return None\n" + after.partition("\n")[2]
    with pytest.raises(CourseError):
        walk(source, nb, folder)
    (error,) = [o for c in editions.code_cells(nb) for o in c.outputs if o.output_type == "error"]
    assert error.ename == "CheckFailed"
    assert error.traceback == [error.evalue]
    assert error.evalue.startswith("✗") and "Traceback" not in error.evalue


def test_the_toy_lesson_walks(course, tmp_path):
    runs_untouched(course, tmp_path)
    runs_with_its_solutions(course, tmp_path)
    stops_at_a_wrong_answer(course, tmp_path)


def test_walking_notices_a_block_outside_a_function(course, tmp_path):
    text = course.read_text(encoding="utf-8")
    block = BLOCK.format("", "seven", "seven = 7")
    course.write_text(text + f'\n# %% tags=["exercise"]\n{block}\n', encoding="utf-8")
    with pytest.raises(CourseError, match="NotImplementedError"):
        runs_untouched(course, tmp_path)


def test_walking_notices_a_wrong_solution(course, tmp_path):
    text = course.read_text(encoding="utf-8")
    course.write_text(text.replace("math.pi * squared", "3 * squared"), encoding="utf-8")
    with pytest.raises(CourseError, match=r"✗ area: it should be 12"):
        runs_with_its_solutions(course, tmp_path)


def test_walking_notices_an_exercise_that_nobody_checks(course, tmp_path):
    text = course.read_text(encoding="utf-8")
    open_already = text.replace("checks.toy.area(area)", "checks.toy.area(lambda r: 12.566370614)")
    course.write_text(open_already, encoding="utf-8")
    with pytest.raises(AssertionError):
        runs_untouched(course, tmp_path)


@pytest.mark.parametrize(
    "walking", [runs_untouched, runs_with_its_solutions, stops_at_a_wrong_answer]
)
@pytest.mark.parametrize("source", lessons.sources(), ids=lambda source: source.stem)
def test_every_lesson_walks(source, walking, tmp_path):
    walking(source, tmp_path)
