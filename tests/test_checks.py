"""Every check accepts the course's version and other right answers, and fails on every mutant."""

import ast
import importlib
import re
import types
from pathlib import Path

import pytest

from course_lib import checks, settings

TOPICS = sorted(p.stem for p in (Path(__file__).parent / "mutants").glob("[a-z]*.py"))
ROWS = [f"C{n}" for n in range(1, 12)]  # of the bug catalogue, that concern lessons 00 to 15,
ROWS += [f"G{n}" for n in range(1, 21)]  # and part 2: the game, DCGAN and its networks, critics
ROWS += [f"D{n}" for n in range(1, 13)] + [f"W{n}" for n in range(1, 10)]
ROWS += [f"V{n}" for n in range(1, 18)] + ["T1", "T2", "T3"]  # part 3: VAEs, and answers to doubt
ROWS += [f"A{n}" for n in range(1, 10)]  # part 4: autoregressive models
ROWS += [f"R{n}" for n in range(1, 14)] + [f"E{n}" for n in range(1, 10)]  # part 5: repair
FAMILIES = {topic: importlib.import_module(f"tests.mutants.{topic}") for topic in TOPICS}


def built_source(topic: str) -> str:
    return (settings.ROOT / "course_lib" / "built" / f"{topic}.py").read_text(encoding="utf-8")


def definition(source: str, name: str) -> tuple[int, int]:
    """Return start and end of the top-level definition `name` in `source`."""
    node = next(node for node in ast.parse(source).body if getattr(node, "name", None) == name)
    lines = source.splitlines(keepends=True)
    return len("".join(lines[: node.lineno - 1])), len("".join(lines[: node.end_lineno]))


def replaced(topic: str, name: str, old: str, new: str):
    """Return the object `name` of the built module with one replacement in its definition."""
    source = built_source(topic)
    start, end = definition(source, name)
    assert source[start:end].count(old) == 1, f"{old!r} occurs {source[start:end].count(old)} times"
    module = types.ModuleType(f"mutant_{topic}")
    code = source[:start] + source[start:end].replace(old, new) + source[end:]
    exec(compile(code, f"<{name}>", "exec"), vars(module))
    return getattr(module, name)


def run_check(topic: str, name: str, candidate):
    return check_of(topic, name)(candidate)


def check_of(topic: str, name: str):
    """Return the check of the object `name`; its function may have another name."""
    module = importlib.import_module(f"course_lib.checks.{topic}")
    path = f"{topic}.{name}"
    return next(f for f in vars(module).values() if getattr(f, "checks", None) == path)


def cases(kind: str) -> list:
    return list(_cases(kind))


def _cases(kind: str):
    for topic, family in FAMILIES.items():
        if kind == "mutants":
            yield from (pytest.param(topic, m, id=f"{m.name}-{m.row}") for m in family.MUTANTS)
        elif kind == "alternatives":
            for name, pairs in family.ALTERNATIVES.items():
                for k, pair in enumerate(pairs):
                    yield pytest.param(topic, name, *pair, id=f"{name}-{k}")
        else:
            yield from (pytest.param(topic, name, id=name) for name in family.ALTERNATIVES)


@pytest.mark.parametrize(("topic", "name"), cases("reference"))
def test_a_check_accepts_the_courses_version_and_hands_it_back(topic, name, capsys):
    reference = getattr(importlib.import_module(f"course_lib.built.{topic}"), name)
    assert run_check(topic, name, reference) is reference
    assert capsys.readouterr().out.startswith(f"✓ {name}: ")


@pytest.mark.parametrize(("topic", "name", "old", "new"), cases("alternatives"))
def test_a_check_accepts_a_right_answer_written_differently(topic, name, old, new):
    candidate = replaced(topic, name, old, new)
    assert run_check(topic, name, candidate) is candidate


@pytest.mark.parametrize(("topic", "mutant"), cases("mutants"))
def test_a_check_fails_on_a_mutant_with_the_right_words(topic, mutant):
    candidate = replaced(topic, mutant.name, mutant.old, mutant.new)
    with pytest.raises(checks.CheckFailed) as failure:
        run_check(topic, mutant.name, candidate)
    message = str(failure.value)
    assert message.startswith(f"✗ {mutant.name}: ")
    assert mutant.words in " ".join(message.split())


@pytest.mark.parametrize("topic", TOPICS)
def test_every_checked_object_has_mutants_and_two_other_right_answers(topic):
    family = FAMILIES[topic]
    assert {m.name for m in family.MUTANTS} == set(family.ALTERNATIVES)
    assert all(len(pairs) >= 2 for pairs in family.ALTERNATIVES.values())


@pytest.mark.parametrize("topic", TOPICS)
def test_the_questions_stand_in_the_lesson(topic):
    source = next((settings.ROOT / "notebooks" / "src").glob(f"??_{topic}.py"))
    text = source.read_text(encoding="utf-8")
    for row in FAMILIES[topic].QUESTIONS:
        assert re.search(rf"\b{row}\b", text), f"{row} is neither asked nor shown in {source.name}"


def test_every_row_of_the_catalogue_about_a_built_lesson_is_caught_or_asked():
    """The report: which check or question stands for which row (pytest -rP shows it)."""
    stands_for = {}
    for topic, family in FAMILIES.items():
        for row in family.QUESTIONS:
            stands_for.setdefault(row, set()).add(f"{topic} (question)")
        for mutant in family.MUTANTS:
            stands_for.setdefault(mutant.row, set()).add(f"{topic}.{mutant.name}")
    for row in ROWS:
        print(f"{row:<4}", ", ".join(sorted(stands_for.get(row, ["nothing"]))))
    assert set(ROWS) <= set(stands_for)


def test_an_open_exercise_is_reported_and_replaced_by_the_courses_version(capsys):
    from course_lib.built import cnn

    def predict(model, images):
        raise NotImplementedError("write me")

    assert checks_cnn().predict(predict) is cnn.predict
    assert capsys.readouterr().out.startswith("○ predict: this exercise is open")


def test_a_crashing_answer_fails_with_its_own_error_and_line():
    def predict(model, images):
        return model(images.undefined)

    with pytest.raises(checks.CheckFailed) as failure:
        checks_cnn().predict(predict)
    assert "AttributeError" in str(failure.value)
    assert "return model(images.undefined)" in str(failure.value)
    assert failure.value._render_traceback_() == [str(failure.value)]


def checks_cnn():
    return importlib.import_module("course_lib.checks.cnn")
