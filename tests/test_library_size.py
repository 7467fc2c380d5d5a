"""The helper library stays small: what a learner has to read, and what others have to keep."""

import ast

import pytest

from course_lib.settings import ROOT

LIBRARY = ROOT / "course_lib"
MODULES = sorted(LIBRARY.glob("*.py"))
OF_LESSONS = sorted([*LIBRARY.glob("checks/*.py"), *LIBRARY.glob("experiments/*.py")])
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def code_lines(text: str) -> int:
    """Count the lines that are not blank and hold more than a comment or a docstring."""
    prose = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            prose |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    lines = enumerate(text.splitlines(), 1)
    code = [n for n, line in lines if line.strip() and not line.lstrip().startswith("#")]
    return len(set(code) - prose)


def test_blank_lines_comments_and_docstrings_do_not_count():
    text = '"""Title.\n\nMore.\n"""\n\n# Why.\nx = """a\nb"""  # c\n\n\ndef f():\n    "F."\n    x\n'
    assert code_lines(text) == 4


def test_the_library_is_small():
    sizes = {path.stem: code_lines(path.read_text(encoding="utf-8")) for path in MODULES}
    assert sum(sizes.values()) <= 3000, sizes


@pytest.mark.parametrize("path", MODULES + OF_LESSONS, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_every_module_can_be_read_at_one_sitting(path):
    most = 300 if path in MODULES else 250
    assert len(path.read_text(encoding="utf-8").splitlines()) <= most
