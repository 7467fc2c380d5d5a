"""Data sets as one uint8 tensor in memory, and batches cut from it."""

import itertools
import sys
from collections import namedtuple
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from course_lib import cats, downloads, photos, settings, strokes
from course_lib.photos import photograph  # noqa: F401  (part of this module's face)
from course_lib.settings import CourseError

NAMES = ("strokes", "cats", "mnist", "fashion-mnist", "cifar10", "photos", "folder")
SPLITS = ("train", "test")
DRAWN = {"strokes": strokes, "cats": cats}


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images uint8 (N, C, H, W) in 0..255, with labels int64 (N,) or None.

    factors: name -> tensor (N, ...) of the true factors of every image; {} where unknown.
    """

    name: str
    split: str
    images: torch.Tensor
    labels: torch.Tensor | None = None
    class_names: tuple[str, ...] = ()
    factors: dict[str, torch.Tensor] = field(default_factory=dict)
    source: str = ""
    licence: str = ""
    value_range: tuple[int, int] = (0, 255)

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        count, channels, height, width = self.images.shape
        classes = f", {len(self.class_names)} classes" if self.class_names else ""
        factors = f", factors: {', '.join(self.factors)}" if self.factors else ""
        low, high = self.value_range
        shape = f"{count:,} images, {channels}x{height}x{width}, uint8 in {low}..{high}"
        return f"{self.name} ({self.split}): {shape}{classes}{factors}"

    def float(self, device=None, range=(0, 1)) -> torch.Tensor:
        """Return the images as float32 (N, C, H, W) on `device`; see `to_float`."""
        return to_float(self.images.to(device), range)

    def subset(self, which) -> "Dataset":
        """Return the first `which` images if it is a number, else those at its indices."""
        index = slice(which) if isinstance(which, int) else torch.as_tensor(which)
        labels = None if self.labels is None else self.labels[index]
        factors = {name: values[index] for name, values in self.factors.items()}
        return replace(self, images=self.images[index], labels=labels, factors=factors)


def to_float(images: torch.Tensor, range=(0, 1)) -> torch.Tensor:
    """Map uint8 images of any shape to float32: 0 -> range[0], 255 -> range[1], linearly."""
    low, high = range
    return (images / 255).mul_(high - low).add_(low)


def batches(*tensors, batch_size: int, generator, steps=None, channels_last=False, drop_last=True):
    """Yield tuples of `batch_size` shuffled rows of tensors that belong together.

    Endless if steps is None, else exactly `steps` batches; every row once per epoch, in an order
    drawn from `generator` for each epoch. drop_last=False adds the smaller rest of an epoch.
    The tensors' type and device are kept; channels_last sets the memory format of images.
    Raises CourseError if the lengths differ or there are fewer rows than one batch.
    """
    count = len(tensors[0])
    lengths = [len(tensor) for tensor in tensors]
    if {*lengths} != {count} or batch_size < 1 or count < (batch_size if drop_last else 1):
        need = "equally many rows, and no fewer than a batch has"
        raise CourseError(f"batches of {batch_size} need tensors of {need}, not {lengths}.")
    stop = count - count % batch_size if drop_last else count

    def cut():
        while True:
            order = torch.randperm(count, generator=generator, device=generator.device)
            for rows in order[:stop].to(tensors[0].device).split(batch_size):
                yield tuple(_take(tensor, rows, channels_last) for tensor in tensors)

    return itertools.islice(cut(), steps)


def _take(tensor, rows, channels_last):
    layout = torch.channels_last if channels_last and tensor.ndim == 4 else torch.contiguous_format
    return tensor.index_select(0, rows).contiguous(memory_format=layout)


def load(name, split, *, size=None, seed=0, patch=64, grey=False, folder=None) -> Dataset:
    """Return the "train" or "test" split of a data set of NAMES, in memory.

    size: that many images, chosen by `seed` (of drawn sets the first, made from `seed`); None: all.
    photos: squares of `patch` pixels on a grid, half overlapping in "train"; colour scenes only,
    or all of them if grey. folder: every picture under `folder` cropped and resized to `patch`.
    Raises CourseError for an unknown name or split, missing or damaged files, too large a size.
    """
    _one_of(NAMES, name, "data set")
    _one_of(SPLITS, split, "split")
    if patch < 8:
        raise CourseError(f"patch={patch} is too small; use at least 8 pixels.")
    if name in DRAWN:
        images, labels, factors = DRAWN[name].load(split, size, seed)
        facts = DRAWN[name].CLASSES, dict(sorted(factors.items())), "drawn by the course"
        return Dataset(name, split, images, labels, *facts, DRAWN[name].LICENCE)
    if name == "photos":
        facts = {}, "photographs inside scikit-image", "see data/README.md"
        data = Dataset(name, split, *photos.patches(split, patch, grey), *facts)
    elif name == "folder":
        path = Path(folder or settings.data_dir() / "folder").expanduser()
        pictures = photos.folder(split, path, patch, grey)
        data = Dataset(name, split, pictures, source=str(path), licence="yours")
    else:
        images, labels = downloads.read(name, split)
        entry = downloads.catalogue()[name]
        facts = tuple(entry["classes"]), {}, entry["source"], entry["licence"]
        data = Dataset(name, split, images, labels.long(), *facts)
    return _sample(data, size, seed)


def _one_of(names: tuple[str, ...], name: str, what: str):
    if name not in names:
        raise CourseError(f"There is no {what} {name!r}; there are {', '.join(names)}.")


def _sample(data: Dataset, size: int | None, seed: int) -> Dataset:
    if size is None:
        return data
    if not 0 < size <= len(data):
        there = f"{data.name} ({data.split}) has {len(data):,} images"
        raise CourseError(f"{there}; size={size} is not between 1 and that.")
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))
    return data.subset(order[:size])


# A line of the list of data sets; size_mb: in 10**6 bytes; hint: what to do next, or "".
Row = namedtuple("Row", "name size_mb licence state hint")


def status() -> list[Row]:
    """Return one Row per data set; the files that are on disk are verified."""
    return [_row(name) for name in NAMES]


def _row(name: str) -> Row:
    if name in DRAWN:
        facts = DRAWN[name].MEGABYTES, DRAWN[name].LICENCE
        return Row(name, *facts, "ready", "drawn by the course when first used")
    if name == "photos":
        return Row(name, 4.2, "see data/README.md", "ready", "inside scikit-image")
    if name == "folder":
        folder = settings.data_dir() / "folder"
        count = sum(len(photos.files(folder, split)) for split in SPLITS)
        return Row(name, 0, "yours", f"{count} files", f"put your own pictures into {folder}")
    facts = downloads.catalogue()[name]
    size = sum(file["bytes"] for file in facts["files"].values())
    return Row(name, size / 1e6, facts["licence"], *downloads.state(name))


def fetch(name: str) -> list[Path]:
    """Bring a data set's files, verified, into settings.data_dir() and return their paths.

    Nothing to do for strokes, cats, photos and folder. Raises CourseError if a file cannot be had.
    """
    _one_of(NAMES, name, "data set")
    return downloads.fetch(name) if name in downloads.catalogue() else []


def main(argv: list[str]) -> int:
    """List the data sets with size, licence and state, or fetch and verify the named ones.

    Files are looked for in data/NAME, then in COURSE_DATA_MIRROR (a folder or address laid out as
    NAME/FILE), then on the net. Each is checked against data/checksums.json. Ctrl-C leaves nothing
    half-written. More in data/README.md.
    """
    parser = settings.parser("data", main.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(NAMES)}")
    names = parser.parse_args(argv).names
    failed = []
    for name in names:
        try:
            fetch(name)
        except CourseError as error:
            print(f"{name}: {error}", file=sys.stderr)
            failed.append(name)
    for row in [_row(name) for name in names or NAMES if name not in failed]:
        print(f"{row.name:14}{row.size_mb:6.1f} MB  {row.state:14}{row.licence}")
        if row.hint:
            print(f"{'':14}{row.hint}")
    return int(bool(failed))
