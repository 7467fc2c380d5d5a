"""Lessons: from one text source to an executed notebook, a module and the learner's edition.

notebooks/src/NN_topic.py (jupytext's percent format) is the lesson, the only file that a person
edits. `build` makes notebooks/NN_topic.ipynb of it and, of the cells tagged `export`,
course_lib/built/topic.py.
"""

import ast
import importlib.metadata
import logging
import platform
from datetime import date
from pathlib import Path

from course_lib import editions, exporting, settings
from course_lib.editions import code_cells, learner_edition, tags
from course_lib.execution import execute, tidy_outputs
from course_lib.exporting import digest
from course_lib.settings import ROOT, CourseError, work_dir

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
METADATA = {"kernelspec": KERNEL, "language_info": {"name": "python"}}

# jupytext and nbformat are imported where they are used: they take two seconds, and `lab` needs
# them only after the course has changed.


def sources(root: Path = ROOT) -> list[Path]:
    """Return the sources of all lessons, in order."""
    return sorted((root / "notebooks" / "src").glob("[0-9][0-9]_*.py"))


def notebook_path(source: Path) -> Path:
    """Return where the executed notebook of a lesson lies."""
    return source.parent.parent / f"{source.stem}.ipynb"


def built_path(source: Path) -> Path:
    """Return where the module lies that a lesson exports."""
    return source.parents[2] / "course_lib" / "built" / f"{source.stem[3:]}.py"


def read(source: Path):
    """Return a lesson as a notebook without outputs, exercise blocks as they are written.

    Cell ids count the cells (14-001, ...). Raises CourseError at a cell that cannot be understood.
    """
    import jupytext

    nb = jupytext.read(source, fmt="py:percent")
    for number, cell in enumerate(nb.cells, 1):
        cell.id = f"{source.name[:2]}-{number:03d}"
        cell.metadata = type(nb)({"tags": tags(cell)} if tags(cell) else {})
        try:
            ast.parse(editions.solved(cell.source) if cell.cell_type == "code" else "")
        except (CourseError, SyntaxError) as error:
            raise CourseError(f"{source.name}, cell {cell.id}: {error}") from None
    nb.metadata = type(nb)(METADATA)
    nb.nbformat_minor = 5
    return nb


def complete(source: Path):
    """Return the complete edition of a lesson, without outputs: answers in place, no markers."""
    nb = read(source)
    for cell in code_cells(nb):
        cell.source = editions.solved(cell.source)
    return nb


def export(source: Path) -> str:
    """Return the text of the module that a lesson exports, "" if it exports nothing."""
    return exporting.module_text(complete(source), source.stem)


def stored(source: Path):
    """Return the executed notebook of a lesson, None if there is none that can be read."""
    import nbformat

    try:
        return nbformat.reads(notebook_path(source).read_text(encoding="utf-8"), as_version=4)
    except (OSError, ValueError):
        return None


def stale(source: Path) -> str:
    """Say what of a lesson's notebook or module does not follow from its source, "" if all does."""
    new, old = complete(source), stored(source)
    if reason := _why_execute(source, new, old):
        return reason
    _keep_results(new, old)
    if new.cells != old.cells:
        return "its text has changed"
    if _text(built_path(source)) != export(source):
        return f"course_lib/built/{built_path(source).name} is not what the lesson exports"
    return ""


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _why_execute(source: Path, new, old) -> str:
    """Say why the stored outputs cannot be kept, "" if they can."""
    if old is None:
        return "it was never built"
    stamp = old.metadata.get("course", {})
    code = [cell.source for cell in code_cells(new)]
    if stamp.get("code") != digest(code) or code != [cell.source for cell in code_cells(old)]:
        return "its code has changed"
    if stamp.get("built") != exporting.built_hash(new, built_path(source).parent):
        return "a module that it imports from course_lib/built has changed"
    return ""


def build(source: Path, *, profile: str = "standard", force: bool = False, report=print) -> str:
    """Bring the module and the notebook of a lesson up to date; return what was done.

    Executes unless nothing but Markdown has changed. The smoke profile executes and writes the
    module only. Raises CourseError, with everything as it was, at a cell that fails.
    """
    module, before = export(source), _text(built_path(source))
    nb, old = complete(source), stored(source)
    try:
        _write_module(built_path(source), module)
        if profile != "smoke" and not force and not _why_execute(source, nb, old):
            _keep_results(nb, old)
            done = "up to date, outputs kept"
        else:
            root, folder = source.parents[2], notebook_path(source).parent
            # The result must depend neither on the builder's settings nor on weights trained here.
            fixed = {"COURSE_DATA": "strokes", "COURSE_OWN_WEIGHTS": "0"}
            facts = execute(nb, folder, root=root, report=report, COURSE_PROFILE=profile, **fixed)
            tidy_outputs(nb)
            nb.metadata["course"] = _stamp(source, nb, profile=profile, **facts)
            done = f"executed in {facts['seconds']:.0f} s, {facts['peak_mb']} MB"
        if profile != "smoke":  # which is no result: the notebook stays as it is
            editions.write_notebook(notebook_path(source), nb)
            exporting.write_pictures(nb, source.name[:2], source.parents[2])
    except BaseException:
        _write_module(built_path(source), before)
        raise
    return done


def _write_module(path: Path, text: str):
    if not text:
        path.unlink(missing_ok=True)
    elif text != _text(path):
        settings.write(path, text)


def _keep_results(nb, old):
    for new_cell, old_cell in zip(code_cells(nb), code_cells(old), strict=True):
        new_cell.update(outputs=old_cell.outputs, execution_count=old_cell.execution_count)
    nb.metadata["course"] = old.metadata["course"]


def _stamp(source: Path, nb, **facts) -> dict:
    """Return how a notebook came about: what its outputs depend on, and what they cost."""
    return {
        "code": digest([cell.source for cell in code_cells(nb)]),
        "built": exporting.built_hash(nb, built_path(source).parent),
        **facts,
        "date": date.today().isoformat(),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in ("torch", "numpy", "matplotlib")},
    }


def main(argv: list[str]) -> int:
    """Make notebooks/NN_topic.ipynb and course_lib/built/topic.py from notebooks/src/NN_topic.py.

    A lesson is executed if its code or a module that it imports from built/ has changed; if only
    its text has changed, the outputs are kept. A cell that fails, or Ctrl-C, leaves the notebook
    and the module as they were.
    """
    parser = settings.parser("build", main.__doc__)
    add, smoke = parser.add_argument, "smoke: a quick trial that writes the module only"
    add("lessons", nargs="*", metavar="NN", help="lesson numbers (default: all)")
    add("--check", action="store_true", help="only say what is out of date")
    add("--force", action="store_true", help="execute even if nothing has changed")
    add("--profile", choices=settings.PROFILES, default="standard", help=smoke)
    wanted = parser.parse_args(argv)
    known = {source.name[:2]: source for source in sources()}
    if unknown := sorted(set(wanted.lessons) - set(known)):
        raise CourseError(f"There is no lesson {unknown[0]}; there are {', '.join(known)}.")
    chosen = [known[number] for number in wanted.lessons or known]
    if wanted.check:
        reasons = {source.stem: stale(source) for source in chosen}
        print(*(f"{name}: {why or 'up to date'}" for name, why in reasons.items()), sep="\n")
        return int(any(reasons.values()))
    logging.getLogger("asyncio").disabled = True  # Ctrl-C is no news: the lesson is as it was
    for source in chosen:
        _build_aloud(source, wanted.profile, wanted.force)
    return 0


def _build_aloud(source: Path, profile: str, force: bool):
    def report(text):
        print(f"\r{source.stem}: {text} ", end="", flush=True)

    try:
        report(build(source, profile=profile, force=force, report=report) + " " * 20)
    finally:
        print()


def prepare_work(route: str | None = None) -> Path:
    """Make or update the learner's notebooks; return their folder (one of its own for a route).

    What the learner has edited stays as it is; one line is printed for each new edition beside it.
    """
    folder = work_dir() / route if route else work_dir()
    for sentence in _hand_out(folder, route=route):
        print(sentence)
    return folder


def main_student(argv: list[str]) -> int:
    """Write the learner's edition of all lessons into a folder, for handing out.

    Exercises open, outputs cleared, each solution folded below its hints. A notebook that was
    edited there is never overwritten: the new edition is laid beside it as NN_topic.new.ipynb.
    """
    parser = settings.parser("student", main_student.__doc__)
    add = parser.add_argument
    add("folder", metavar="DIR", type=Path, help="made if it is missing")
    add("--no-solutions", action="store_true", help="leave the solutions out")
    add("--route", choices=editions.ROUTES, help="only the cells of this route")
    wanted = parser.parse_args(argv)
    said = _hand_out(wanted.folder, solutions=not wanted.no_solutions, route=wanted.route)
    print(*said, f"The learner's edition is in {wanted.folder}.", sep="\n")
    return 0


def _hand_out(folder: Path, *, solutions: bool = True, route: str | None = None) -> list[str]:
    made_from = [Path(editions.__file__), *sources()]
    course = digest([solutions, route, *(path.read_text(encoding="utf-8") for path in made_from)])
    if editions.is_current(folder, course):
        return []
    notebooks = {}
    for source in sources():
        nb = learner_edition(read(source), solutions=solutions, route=route)
        if nb.cells:
            notebooks[f"{source.stem}.ipynb"] = nb
    return editions.hand_out(folder, notebooks, course)
