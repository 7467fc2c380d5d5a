"""Real photographs: those inside scikit-image, cut into patches, and the learner's own folder."""

import importlib.util
import json
from pathlib import Path

import torch

from course_lib import images
from course_lib.settings import CourseError

# name -> file inside scikit-image, split (by scene, never by patch), in colour?
PHOTOGRAPHS = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))


def photograph(name: str) -> torch.Tensor:
    """Return a whole photograph of PHOTOGRAPHS as uint8 (3, H, W); grey ones have R = G = B.

    Read from the installed scikit-image, never downloaded. Raises CourseError for other names.
    """
    if name not in PHOTOGRAPHS:
        raise CourseError(f"There is no photograph {name!r}; there are {', '.join(PHOTOGRAPHS)}.")
    folder = Path(importlib.util.find_spec("skimage").origin).parent / "data"
    return images.open_picture(folder / PHOTOGRAPHS[name][0])


def patches(split: str, side: int, grey: bool) -> tuple[torch.Tensor, torch.Tensor, tuple]:
    """Return patches uint8 (N, C, side, side), the number of the scene of each, the scenes' names.

    C = 3: the colour scenes only; grey: C = 1, all scenes. Neighbours overlap by half in "train".
    Raises CourseError if every photograph is smaller than a patch.
    """
    step = side // 2 if split == "train" else side
    scenes = [name for name, (_, part, _) in PHOTOGRAPHS.items() if part == split]
    names = tuple(name for name in scenes if grey or PHOTOGRAPHS[name][2])
    grids = [_grid(photograph(name), side, step) for name in names]
    counts = torch.tensor([len(grid) for grid in grids])
    if not counts.any():
        raise CourseError(f"No photograph is as large as patch={side}; 300 suits most of them.")
    cut = images.to_grey(torch.cat(grids)) if grey else torch.cat(grids)
    return cut, torch.arange(len(names)).repeat_interleave(counts), names


def _grid(picture: torch.Tensor, side: int, step: int) -> torch.Tensor:
    """Return the patches (N, C, side, side) of a centred grid; N = 0 if the picture is smaller."""
    channels, height, width = picture.shape
    if min(height, width) < side:
        return picture.new_empty(0, channels, side, side)
    top, left = (height - side) % step // 2, (width - side) % step // 2
    grid = picture[:, top:, left:].unfold(1, side, step).unfold(2, side, step)
    return grid.permute(1, 2, 0, 3, 4).reshape(-1, channels, side, side)


def folder(split: str, path: Path, side: int, grey: bool) -> torch.Tensor:
    """Return the readable pictures under a folder, cropped and resized, uint8 (N, C, side, side).

    A line names those that are no pictures. Raises CourseError if none is left.
    """
    if not path.is_dir():
        raise CourseError(f"There is no folder {path}; make it and put your pictures into it.")
    pictures, skipped = [], []
    for file in files(path, split):
        try:
            pictures.append(images.fit(images.open_picture(file), side))
        except CourseError:
            skipped.append(file.name)
    if skipped:
        print(f"Skipped, as they cannot be read as pictures: {', '.join(skipped)}.")
    if not pictures:
        advice = "put at least five there; every fifth, in the order of names, is for testing"
        raise CourseError(f"{path} holds no readable picture for {split!r}: {advice}.")
    return images.to_grey(torch.stack(pictures)) if grey else torch.stack(pictures)


def files(path: Path, split: str) -> list[Path]:
    """Return the files under a folder that belong to a split: every fifth is for "test"."""
    found = [file.relative_to(path) for file in path.rglob("*") if file.is_file()]
    shown = [file for file in found if not any(part.startswith(".") for part in file.parts)]
    shown.sort(key=lambda file: file.as_posix())
    return [path / file for k, file in enumerate(shown) if (k % 5 == 4) == (split == "test")]
