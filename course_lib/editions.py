"""The learner's edition of a lesson, and handing it out without overwriting anybody's work.

An exercise in a lesson's source is a block of four parts at one indentation:

    ### TODO: what to write, in a few words
    ### BEGIN SOLUTION
    ...the answer...
    ### END SOLUTION

The complete edition shows the answer alone, the learner's edition an error that says what to write.
"""

import base64
import copy
import hashlib
import json
import mimetypes
import re
from pathlib import Path

from course_lib.settings import ROOT, CourseError, write

ROUTES = ("core", "workshop")
MANIFEST = ".handed_out.json"
BLOCK = re.compile(
    r"^(?P<indent>[ \t]*)### TODO: (?P<todo>[^\n]+)\n"
    r"(?P=indent)### BEGIN SOLUTION\n"
    r"(?P<answer>.*?)\n"
    r"(?P=indent)### END SOLUTION$",
    re.MULTILINE | re.DOTALL,
)
MARKER = re.compile(r"### (TODO:|BEGIN SOLUTION|END SOLUTION)")
PICTURE = re.compile(r"!\[[^\]]*\]\((?!\w+:)([^)\s]+)\)")


def tags(cell) -> list[str]:
    """Return the tags of a cell."""
    return cell["metadata"].get("tags", [])


def code_cells(nb) -> list:
    """Return the code cells of a notebook."""
    return [cell for cell in nb.cells if cell.cell_type == "code"]


def answers(code: str) -> list[str]:
    """Return the answers in the solution blocks of a cell, with their indentation."""
    return [block["answer"] for block in BLOCK.finditer(code)]


def solved(code: str) -> str:
    """Return a cell's code with every solution block replaced by its answer.

    Raises CourseError if a marker is left over: a block that is not complete.
    """
    plain = BLOCK.sub(lambda block: block["answer"], code)
    if left := MARKER.search(plain):
        whole = "'### TODO: ...', '### BEGIN SOLUTION', the answer, '### END SOLUTION'"
        raise CourseError(f"'{left[0]}' does not belong to {whole}, at one indentation.")
    return plain


def opened(code: str) -> str:
    """Return a cell's code with every solution block replaced by a NotImplementedError."""

    def stub(block):
        message = json.dumps(block["todo"].strip(), ensure_ascii=False)
        return f"{block['indent']}raise NotImplementedError({message})"

    return BLOCK.sub(stub, code)


def learner_edition(nb, *, solutions: bool = True, route: str | None = None, folder: Path = None):
    """Return a copy of a lesson in which the exercises are open and the outputs cleared.

    solutions: fold each answer into a Markdown cell below the exercise's check and hints.
    route: keep only the cells with this tag ("core", "workshop").
    folder: where the Markdown's pictures lie (notebooks/); they travel inside the notebook.
    """
    edition = copy.deepcopy(nb)
    unsolved = [cell for cell in edition.cells if "solution" not in tags(cell)]
    edition.cells = [cell for cell in unsolved if route is None or route in tags(cell)]
    for position in reversed(range(len(edition.cells))):
        cell = edition.cells[position]
        if cell.cell_type == "markdown":
            _attach_pictures(cell, folder or ROOT / "notebooks")
        elif cell.cell_type == "code":
            found = answers(cell.source)
            cell.update(source=opened(cell.source), outputs=[], execution_count=None)
            if found and solutions:
                check, hints = position + 1, hints_of(edition.cells, position) or 0
                folded = _folded(found, f"{cell.id}-solution")
                edition.cells.insert(max(check, hints) + 1, folded)
    return edition


def hints_of(cells, exercise: int) -> int | None:
    """Return the position of an exercise's hints: in the cell above it, or below its check.

    Hints directly above the next exercise are that one's.
    """
    later = range(exercise + 1, len(cells))
    end = next((n for n in later if "exercise" in tags(cells[n])), len(cells) + 1)
    for position in (exercise - 1, *range(exercise + 1, min(end - 1, len(cells)))):
        if position >= 0 and "<summary>Hint" in cells[position].source:
            return position
    return None


def _folded(found: list[str], cell_id: str):
    from nbformat.v4 import new_markdown_cell

    fences = "\n\n".join(f"```python\n{answer}\n```" for answer in found)
    text = f"<details><summary>Solution</summary>\n\n{fences}\n\n</details>"
    return new_markdown_cell(text, id=cell_id, metadata={"tags": ["solution"]})


def _attach_pictures(cell, folder: Path):
    for link in set(PICTURE.findall(cell.source)):
        path = folder / link
        if not path.is_file():
            raise CourseError(f"Cell {cell.id} shows {link}, which is not in {folder}.")
        kind = mimetypes.guess_type(path.name)[0]
        picture = base64.b64encode(path.read_bytes()).decode("ascii")
        cell.setdefault("attachments", {})[path.name] = {kind: picture}
        cell.source = cell.source.replace(f"({link})", f"(attachment:{path.name})")


def fingerprint(nb) -> str:
    """Return a hash of the cells' types and sources: what a learner can edit.

    Outputs, metadata, ids, empty cells and white space at line ends do not count, since JupyterLab
    changes them in a notebook that was only opened or run.
    """
    cells = []
    for cell in nb["cells"]:
        lines = "".join(cell["source"]).strip().splitlines()
        if lines:
            cells.append([cell["cell_type"], [line.rstrip() for line in lines]])
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()


def _fingerprint_of(path: Path) -> str | None:
    """Return the fingerprint of a file, None if it is no notebook that can be read."""
    try:
        return fingerprint(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _read_manifest(folder: Path) -> dict:
    """Return what was handed out; if that cannot be read, nothing: every file is the learner's.

    notebooks: name -> the fingerprints of all its editions, the latest one last.
    """
    try:
        return json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {"course": "", "notebooks": {}}


def is_current(folder: Path, course: str) -> bool:
    """Tell whether everything of this state of the course has been handed out and is there."""
    manifest = _read_manifest(folder)
    there = [(folder / name).exists() for name in manifest["notebooks"]]
    return manifest["course"] == course and all(there)


def hand_out(folder: Path, editions: dict, course: str = "") -> list[str]:
    """Write notebooks into `folder`; what a learner has edited there is never overwritten.

    editions: {file name: notebook}; course: a hash of what they were made from.
    Returns one sentence for each edition that was laid beside a learner's file.
    """
    manifest, said = _read_manifest(folder), []
    for name, nb in editions.items():
        new, known = fingerprint(nb), manifest["notebooks"].setdefault(name, [])
        if known[-1:] == [new] and (folder / name).exists():
            continue
        place = _place_for(folder / name, [*known, new])
        if _fingerprint_of(place) != new:
            write_notebook(place, nb)
        if place.name != name:
            said.append(f"{name} is yours and stays; the course's new one is {place.name}.")
        known.append(new)
    write(folder / MANIFEST, json.dumps(manifest | {"course": course}, indent=1))
    return said


def _place_for(path: Path, ours: list[str]) -> Path:
    """Return `path`, or the first place beside it, where no notebook is that a learner edited."""
    beside = (path.with_name(f"{path.stem}.new{n or ''}.ipynb") for n in [0, *range(2, 1000)])
    free = (p for p in (path, *beside) if not p.exists() or _fingerprint_of(p) in ours)
    return next(free)


def write_notebook(path: Path, nb):
    """Write a notebook as Jupyter does: UTF-8, one line of text per line."""
    import nbformat

    write(path, nbformat.writes(nb) + "\n")
