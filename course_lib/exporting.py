"""What a lesson hands to later lessons: the module made of its exported cells."""

import ast
import base64
import builtins
import hashlib
import json
import re
import shutil
import subprocess
import symtable
import sysconfig
from pathlib import Path

from course_lib.editions import code_cells, tags
from course_lib.settings import ROOT, CourseError, write

IMPORTS = (ast.Import, ast.ImportFrom)
HEADER = '''# Generated from notebooks/src/{stem}.py by `python3 -m course_lib build {number}`.
# Edit the lesson, not this file.
"""Lesson {number}, "{title}": what it builds, for later lessons to import."""

{imports}
'''


def module_text(nb, stem: str) -> str:
    """Return the module that a complete lesson exports, "" if it exports nothing.

    It holds the cells tagged `export` and those imports of the lesson that they use. Raises
    CourseError if they use a name that the lesson does not export.
    """
    exported = [_without_imports(cell.source) for cell in code_cells(nb) if "export" in tags(cell)]
    if not exported:
        return ""
    defined, used = names("\n".join(exported))
    available = _imports(nb)
    if missing := sorted(used - defined - set(available)):
        advice = "tag the cell that defines it 'export', pass it as an argument or import it"
        raise CourseError(f"{stem}.py exports code that uses '{missing[0]}': {advice}.")
    title = re.search(r"^# (?:\d\d )?(.+)$", nb.cells[0].source, re.MULTILINE)
    imports = "\n".join(sorted(line for name in used - defined for line in available[name]))
    facts = {"stem": stem, "number": stem[:2], "title": title[1] if title else stem[3:]}
    header = HEADER.format(imports=imports, **facts)
    return _formatted("\n\n\n".join([header, *exported]) + "\n")


def _imports(nb) -> dict[str, set[str]]:
    """Return the import statements at a lesson's top level by the name that they bind."""
    found = {}
    for cell in code_cells(nb):
        for node in ast.parse(cell.source).body:
            for alias in node.names if isinstance(node, IMPORTS) else ():
                name = alias.asname or alias.name.split(".")[0]
                alone = type(node)(**dict(ast.iter_fields(node)) | {"names": [alias]})
                found.setdefault(name, set()).add(ast.unparse(alone))
    return found


def _without_imports(code: str) -> str:
    lines = code.splitlines()
    for node in reversed(ast.parse(code).body):
        if isinstance(node, IMPORTS):
            del lines[node.lineno - 1 : node.end_lineno]
    return "\n".join(lines).strip()


def names(code: str) -> tuple[set[str], set[str]]:
    """Return the global names that code binds and those that it uses, builtins left out."""
    top = symtable.symtable(code, "lesson", "exec")
    used, scopes = set(), [top]
    for scope in scopes:
        scopes += scope.get_children()
        for symbol in scope.get_symbols():
            if symbol.is_referenced() and (scope is top or symbol.is_global()):
                used.add(symbol.get_name())
    bound = [one for one in top.get_symbols() if one.is_assigned() or one.is_imported()]
    defined = {symbol.get_name() for symbol in bound}
    return defined, used - set(dir(builtins))


def _formatted(code: str) -> str:
    """Sort the imports and format, where ruff is installed."""
    ruff = shutil.which("ruff", path=sysconfig.get_path("scripts"))
    place = ["--quiet", "--stdin-filename", str(ROOT / "course_lib" / "built" / "lesson.py"), "-"]
    for step in (["check", "--select=I", "--fix-only"], ["format"]) if ruff else ():
        pipes = {"stdout": subprocess.PIPE, "check": True, "encoding": "utf-8"}
        code = subprocess.run([ruff, *step, *place], input=code, **pipes).stdout
    return code


def pictures(nb) -> dict[str, bytes]:
    """Return the pictures in a notebook's outputs: file name, id of the cell + suffix -> file."""
    return {
        f"{cell.id}{suffix}": base64.b64decode(output.data[kind])
        for cell in code_cells(nb)
        for output in cell.outputs
        for kind, suffix in (("image/png", ".png"), ("image/jpeg", ".jpg"))
        if kind in output.get("data", {})
    }


def write_pictures(nb, number: str, root: Path):
    """Bring those of a lesson's pictures up to date that lie in data/pictures, for its title."""
    made = pictures(nb)
    for path in (root / "data" / "pictures").glob(f"{number}-*"):
        if path.name in made:
            write(path, made[path.name])


def built_hash(nb, folder: Path) -> str:
    """Return a hash of the modules in `folder` that a lesson imports, directly or through others.

    Comments, docstrings and the formatting do not count.
    """
    shapes, waiting = {}, [ast.parse("\n".join(cell.source for cell in code_cells(nb)))]
    while waiting:
        for topic in _built_imports(waiting.pop()) - set(shapes):
            path = folder / f"{topic}.py"
            tree = ast.parse(path.read_text(encoding="utf-8") if path.exists() else "")
            shapes[topic] = _shape(tree)
            waiting.append(tree)
    return digest(shapes)


def code_hash(path: Path) -> str:
    """Return a hash of a module's code; comments, docstrings and the formatting do not count."""
    return digest(_shape(ast.parse(path.read_text(encoding="utf-8"))))


def digest(value) -> str:
    """Return a short hash of what JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _built_imports(tree) -> set[str]:
    modules = set()
    for node in ast.walk(tree):
        if isinstance(node, IMPORTS):
            package = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            modules |= {package + alias.name for alias in node.names}
    return {name.split(".")[2] for name in modules if name.startswith("course_lib.built.")}


def _shape(node):
    """Return a syntax tree as lists, equal in all versions of Python (ast.dump's text is not)."""
    if isinstance(node, list):
        return [_shape(item) for item in node if not _is_docstring(item)]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = [(name, value) for name, value in ast.iter_fields(node) if value not in (None, [])]
    return [type(node).__name__, *((name, _shape(value)) for name, value in fields)]


def _is_docstring(node) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
