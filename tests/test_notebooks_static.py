"""What every committed notebook must be, without running it; each rule is shown to bite."""

import ast
import base64
import copy
import json
import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from course_lib import editions, exporting, lessons
from course_lib.editions import code_cells, tags
from course_lib.settings import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TAGS = {"core", "deeper", "workshop", "export", "exercise", "solution", "raises-exception"}
TAGS |= {"nbval-check-output"}  # nbval compares what such a cell prints
HOME = re.compile(r"/home/\w|/root\b|/Users/\w|[A-Z]:[\\/]+Users|site-packages|ipykernel_\d")
CHECKED = re.compile(r"^(\w+) = checks\.[\w.]+\(\1\)$", re.MULTILINE)  # f = checks.cnn.f(f)
LINK = re.compile(r"\[[^\]]*\]\((?!\w+:|#)([^)\s#]+)[^)]*\)")


# Reading a lesson


def exercises(nb) -> list[int]:
    return [n for n, cell in enumerate(nb.cells) if "exercise" in tags(cell)]


def check_calls(nb, cell) -> int:
    """Count the calls of checks in a cell: of names that come from course_lib.checks."""
    roots = set()
    for node in ast.walk(ast.parse("\n".join(c.source for c in code_cells(nb)))):
        for alias in node.names if isinstance(node, ast.ImportFrom) else ():
            if f"{node.module}.{alias.name}".startswith("course_lib.checks"):
                roots.add(alias.asname or alias.name)
    calls = [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Call)]
    return sum(ast.unparse(call.func).split(".")[0] in roots for call in calls)


def check_of(nb, exercise: int):
    """Return the cell that checks an exercise: the first of the next three that calls a check."""
    for cell in nb.cells[exercise + 1 : exercise + 4]:
        if "exercise" in tags(cell):
            return None
        if cell.cell_type == "code" and check_calls(nb, cell):
            return cell
    return None


def exercise_checks(nb) -> int:
    """Return how many checks the exercises of a lesson have."""
    found = [check_of(nb, exercise) for exercise in exercises(nb)]
    return sum(check_calls(nb, cell) for cell in found if cell)


def outputs(nb) -> list:
    return [output for cell in code_cells(nb) for output in cell.outputs]


def pictures(nb):
    """Yield (mime type, base64 text, alternative text) of every picture."""
    for output in outputs(nb):
        for kind in ("image/png", "image/jpeg"):
            if kind in output.get("data", {}):
                yield kind, output.data[kind], output.metadata.get(kind, {}).get("alt", "")


def words(nb) -> int:
    text = "\n".join(cell.source for cell in nb.cells if cell.cell_type == "markdown")
    # Pictures, code and formulas are not read word by word.
    not_read = r"!\[[^\]]*\]\([^)]*\)|```.*?```|\$\$.*?\$\$|\$.*?\$|<[^>]*>"
    text = re.sub(not_read, " ", text, flags=re.DOTALL)
    return sum(any(letter.isalpha() for letter in word) for word in text.split())


# The rules


def executed_once_from_top_to_bottom(nb):
    counts = [cell.execution_count for cell in code_cells(nb)]
    assert counts == list(range(1, len(counts) + 1))


def no_errors(nb):
    """An error may be shown on purpose, in a cell that says so."""
    for cell in code_cells(nb):
        failed = [output.ename for output in cell.outputs if output.output_type == "error"]
        assert not failed or "raises-exception" in tags(cell), f"{cell.id}: {failed}"


def nothing_on_stderr(nb):
    assert not [o.text for o in outputs(nb) if o.get("name") == "stderr"]


def valid_for_the_schema(nb):
    """Identifiers come first: nbformat.validate mends them silently."""
    ids = [cell.get("id") for cell in nb.cells]
    assert None not in ids and len(ids) == len(set(ids))
    assert nb.nbformat == 4 and nb.nbformat_minor == 5
    nbformat.validate(nb)


def metadata_is_minimal(nb):
    assert set(nb.metadata) == {"kernelspec", "language_info", "course"}
    assert set(nb.metadata.language_info) == {"name"}
    assert nb.metadata.course.profile in ("standard", "full")
    assert not {key for cell in nb.cells for key in cell.metadata} - {"tags"}


def no_widget_views(nb):
    assert not [o for o in outputs(nb) if any("widget" in kind for kind in o.get("data", {}))]


def no_paths_of_a_machine(nb):
    bare = copy.deepcopy(nb)
    for output in outputs(bare):
        for kind in [kind for kind in output.get("data", {}) if kind.startswith("image/")]:
            del output.data[kind]
    text = json.dumps(bare, ensure_ascii=False)
    assert not HOME.search(text), HOME.search(text)
    assert str(ROOT) not in text


def pictures_have_an_alternative_text(nb):
    assert all(len(alt) > 10 for _, _, alt in pictures(nb))


def pictures_are_small(nb):
    sizes = [len(base64.b64decode(picture)) for _, picture, _ in pictures(nb)]
    assert max(sizes, default=0) <= 100_000


def the_file_is_small(nb):
    assert len(nbformat.writes(nb).encode()) <= 1_500_000


def the_right_length(nb):
    assert 30 <= len(nb.cells) <= 60
    assert 1200 <= words(nb) <= 3000
    lines = [cell.source.splitlines() for cell in code_cells(nb)]
    assert sum(bool(line.strip()) for cell in lines for line in cell) <= 300
    assert max(len(cell) for cell in lines) <= 30


def tagged_for_the_routes(nb):
    found = [tag for cell in nb.cells for tag in tags(cell)]
    assert set(found) <= TAGS
    assert found.count("core") <= 35
    assert "core" in found
    assert all({"core", "deeper", "workshop"} & set(tags(cell)) for cell in nb.cells)


def every_exercise_has_a_check_and_two_hints(nb):
    hints = [editions.hints_of(nb.cells, exercise) for exercise in exercises(nb)]
    assert None not in hints and len(hints) == len(set(hints))
    assert all(nb.cells[n].source.count("<details><summary>Hint") == 2 for n in hints)
    assert all(check_of(nb, exercise) for exercise in exercises(nb))


def every_check_passed(nb):
    said = "".join(o.text for o in outputs(nb) if o.get("name") == "stdout")
    assert len(re.findall(r"^✓", said, re.MULTILINE)) >= exercise_checks(nb) > 0
    assert "this exercise is open" not in said


def links_lead_somewhere(nb):
    for cell in nb.cells:
        for link in LINK.findall(cell.source if cell.cell_type == "markdown" else ""):
            assert (ROOT / "notebooks" / link).exists(), f"{cell.id}: {link}"


RULES = [
    executed_once_from_top_to_bottom,
    no_errors,
    nothing_on_stderr,
    valid_for_the_schema,
    metadata_is_minimal,
    no_widget_views,
    no_paths_of_a_machine,
    pictures_have_an_alternative_text,
    pictures_are_small,
    the_file_is_small,
    the_right_length,
    tagged_for_the_routes,
    every_exercise_has_a_check_and_two_hints,
    every_check_passed,
    links_lead_somewhere,
]


# The committed notebooks


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_notebook(path, rule):
    rule(nbformat.v4.reads(path.read_text(encoding="utf-8")))  # nbformat.read would mend it


@pytest.mark.parametrize("source", lessons.sources(), ids=lambda source: source.stem)
def test_notebook_and_module_follow_from_the_source(source):
    pytest.importorskip("ruff")  # formats the module
    assert lessons.stale(source) == "", f"python3 -m course_lib build {source.name[:2]}"


@pytest.mark.parametrize("source", lessons.sources(), ids=lambda source: source.stem)
def test_solution_blocks_stand_in_cells_tagged_exercise(source):
    for cell in code_cells(lessons.read(source)):
        assert bool(editions.answers(cell.source)) == ("exercise" in tags(cell)), cell.id


def missing_names(nb) -> set[str]:
    """Return the names that a notebook's code uses and nothing in it defines; checks do not."""
    code = "\n".join(cell.source for cell in code_cells(nb))
    defined, used = exporting.names(CHECKED.sub(r"\1", code))
    return used - defined - {"display"}


@pytest.mark.parametrize("route", editions.ROUTES)
@pytest.mark.parametrize("source", lessons.sources(), ids=lambda source: source.stem)
def test_a_route_stands_on_its_own(source, route):
    assert not missing_names(lessons.learner_edition(lessons.complete(source), route=route))


def test_nothing_is_left_of_a_lesson_that_is_gone():
    assert {path.stem for path in NOTEBOOKS} <= {source.stem for source in lessons.sources()}
    built = {p.name for p in (ROOT / "course_lib" / "built").glob("*.py")} - {"__init__.py"}
    assert built <= {lessons.built_path(source).name for source in lessons.sources()}


# The rules bite


@pytest.fixture
def good():
    """A notebook that keeps every rule."""
    core = {"tags": ["core", "workshop"]}
    hints = [f"<details><summary>Hint {n}</summary>a</details>" for n in (1, 2)]
    cells = [new_code_cell("from course_lib import checks", metadata=core)]
    for _ in range(9):
        cells += [
            new_markdown_cell("word " * 150, metadata=core),
            new_code_cell("def f(): ...", metadata={"tags": ["deeper", "exercise"]}),
            new_code_cell("f = checks.toy.f(f)", metadata=core),
            new_markdown_cell("\n".join([*hints, "[source](src)"]), metadata=core),
        ]
        cells[-2].outputs = [new_output("stream", text="✓ f: right\n")]
    alt = {"image/png": {"alt": "a picture of something"}}
    cells[0].outputs = [new_output("display_data", data={"image/png": "cG5n"}, metadata=alt)]
    course = {"profile": "standard"}
    nb = new_notebook(cells=cells, metadata=lessons.METADATA | {"course": course})
    for number, cell in enumerate(code_cells(nb), 1):
        cell.execution_count = number
    return copy.deepcopy(nb)


def test_a_cell_that_a_route_lacks_is_noticed():
    cells = [
        new_code_cell(text) for text in ("import math", "x = math.pi", "def f():\n    return x")
    ]
    assert missing_names(new_notebook(cells=cells)) == set()
    assert missing_names(new_notebook(cells=cells[::2])) == {"x"}
    checked = new_notebook(cells=[new_code_cell("import checks\nf = checks.toy.f(f)")])
    assert missing_names(checked) == {"f"}


def _first_output(nb, **values):
    nb.cells[0].outputs[0].update(values)


def _print(nb, text, name="stdout"):
    nb.cells[0].outputs.append(new_output("stream", text=text, name=name))


def _fail(nb):
    nb.cells[0].outputs.append(new_output("error", ename="E", evalue="", traceback=[]))


BREAKS = [
    (executed_once_from_top_to_bottom, lambda nb: nb.cells[0].update(execution_count=2)),
    (executed_once_from_top_to_bottom, lambda nb: nb.cells[0].update(execution_count=None)),
    (no_errors, _fail),
    (nothing_on_stderr, lambda nb: _print(nb, "warning", "stderr")),
    (valid_for_the_schema, lambda nb: nb.cells[1].update(id=nb.cells[0].id)),
    (valid_for_the_schema, lambda nb: nb.cells[1].pop("id")),
    (valid_for_the_schema, lambda nb: nb.cells[1].update(id="a b")),
    (metadata_is_minimal, lambda nb: nb.metadata.update(widgets={})),
    (metadata_is_minimal, lambda nb: nb.metadata.course.update(profile="smoke")),
    (metadata_is_minimal, lambda nb: nb.cells[0].metadata.update(collapsed=True)),
    (
        no_widget_views,
        lambda nb: _first_output(nb, data={"application/vnd.jupyter.widget-view": 1}),
    ),
    (no_paths_of_a_machine, lambda nb: _print(nb, "/home/ann/x")),
    (no_paths_of_a_machine, lambda nb: _print(nb, r"C:\Users\ann")),
    (no_paths_of_a_machine, lambda nb: _print(nb, str(ROOT / "notebooks"))),
    (pictures_have_an_alternative_text, lambda nb: _first_output(nb, metadata={})),
    (pictures_are_small, lambda nb: _first_output(nb, data={"image/png": "A" * 140_000})),
    (the_file_is_small, lambda nb: _print(nb, "x" * 1_500_000)),
    (the_right_length, lambda nb: nb.cells.pop(1) and nb.cells.__delitem__(slice(1, 10))),
    (the_right_length, lambda nb: nb.cells[0].update(source="x\n" * 31)),
    (the_right_length, lambda nb: [nb.cells[n].update(source="word") for n in (1, 5)]),
    (the_right_length, lambda nb: nb.cells[1].update(source="word " * 2000)),
    (tagged_for_the_routes, lambda nb: nb.cells[0].metadata.update(tags=["exercice", "core"])),
    (tagged_for_the_routes, lambda nb: nb.cells[0].metadata.update(tags=[])),
    (tagged_for_the_routes, lambda nb: [c.metadata.update(tags=["core"]) for c in nb.cells]),
    (every_exercise_has_a_check_and_two_hints, lambda nb: nb.cells[3].update(source="1")),
    (every_exercise_has_a_check_and_two_hints, lambda nb: nb.cells[4].update(source="no hints")),
    (every_check_passed, lambda nb: nb.cells[3].update(outputs=[])),
    (every_check_passed, lambda nb: _print(nb, "○ f: this exercise is open")),
    (
        links_lead_somewhere,
        lambda nb: nb.cells[1].update(source="[x](nowhere.ipynb) " + "a " * 200),
    ),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_good_notebook_keeps_every_rule(good, rule):
    rule(good)


@pytest.mark.parametrize(
    ("rule", "damage"), BREAKS, ids=lambda value: getattr(value, "__name__", "")
)
def test_each_rule_notices_its_damage(good, rule, damage):
    damage(good)
    with pytest.raises((AssertionError, nbformat.ValidationError)):
        rule(good)


def test_every_rule_is_shown_to_bite():
    assert {rule for rule, _ in BREAKS} == set(RULES)
