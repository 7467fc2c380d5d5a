"""Data sets as one uint8 tensor in memory, and batches cut from it."""

import itertools
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from course_lib import downloads, photos, settings
from course_lib.photos import photograph  # noqa: F401  (part of this module's face)
from course_lib.settings import CourseError

NAMES = ("strokes", "cats", "mnist", "fashion-mnist", "cifar10", "photos", "folder")
SPLITS = ("train", "test")


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
        return (
            f"{self.name} ({self.split}): {count:,} images, {channels}x{height}x{width}, "
            f"uint8 in {low}..{high}{classes}{factors}"
        )

    def float(self, device=None, range=(0, 1)) -> torch.Tensor:
        """Return the images as float32 (N, C, H, W) on `device`; see `to_float`."""
        return to_float(self.images.to(device), range)

    def subset(self, which) -> "Dataset":
        """Return the first `which` images if it is a number, else those at its indices."""
        index = slice(which) if isinstance(which, int) else torch.as_tensor(which)
        return replace(
            self,
            images=self.images[index],
            labels=None if self.labels is None else self.labels[index],
            factors={name: values[index] for name, values in self.factors.items()},
        )


def to_float(images: torch.Tensor, range=(0, 1)) -> torch.Tensor:
    """Map uint8 images of any shape to float32: 0 -> range[0], 255 -> range[1], linearly."""
    low, high = range
    return (images / 255).mul_(high - low).add_(low)


def batches(
    *tensors,
    batch_size: int,
    generator,
    steps: int | None = None,
    channels_last=False,
    drop_last=True,
):
    """Yield tuples of `batch_size` shuffled rows of tensors that belong together.

    Endless if steps is None, else exactly `steps` batches; every row once per epoch, in an order
    drawn from `generator` for each epoch. drop_last=False adds the smaller rest of an epoch.
    The tensors' type and device are kept; channels_last sets the memory format of images.
    Raises CourseError if the lengths differ or there are fewer rows than one batch.
    """
    count = len(tensors[0])
    if any(len(tensor) != count for tensor in tensors):
        lengths = ", ".join(str(len(tensor)) for tensor in tensors)
        raise CourseError(f"batches needs tensors of the same length, not {lengths}.")
    if count == 0 or batch_size < 1 or (drop_last and count < batch_size):
        sizes = f"batches of {batch_size} from {count} rows"
        raise CourseError(f"batches cannot cut {sizes}; choose 1 to {count} as batch_size.")
    orders = _orders(count, batch_size, generator, drop_last, tensors[0].device)
    return (
        tuple(_take(tensor, rows, channels_last) for tensor in tensors)
        for rows in itertools.islice(orders, steps)
    )


def _orders(count, batch_size, generator, drop_last, device):
    stop = count - count % batch_size if drop_last else count
    while True:
        order = torch.randperm(count, generator=generator, device=generator.device).to(device)
        yield from order[:stop].split(batch_size)


def _take(tensor, rows, channels_last):
    layout = torch.channels_last if channels_last and tensor.ndim == 4 else torch.contiguous_format
    return tensor.index_select(0, rows).contiguous(memory_format=layout)


def load(
    name: str, split: str, *, size=None, seed: int = 0, patch: int = 64, grey=False, folder=None
) -> Dataset:
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
    if name == "strokes":
        return _strokes(split, size, seed)
    if name == "cats":
        return _cats(split, size, seed)
    if name == "photos":
        return _sample(_photos(split, patch, grey), size, seed)
    if name == "folder":
        return _sample(_folder(split, folder, patch, grey), size, seed)
    return _sample(_real(name, split), size, seed)


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


def _strokes(split: str, size: int | None, seed: int) -> Dataset:
    from course_lib import strokes

    drawn, labels, factors = strokes.load(split, size, seed)
    facts = tuple("0123456789"), dict(sorted(factors.items())), "drawn by the course", "CC0 1.0"
    return Dataset("strokes", split, drawn, labels, *facts)


def _cats(split: str, size: int | None, seed: int) -> Dataset:
    from course_lib import cats

    drawn, labels, factors = cats.load(split, size, seed)
    facts = cats.CHOICES["pattern"], dict(sorted(factors.items()))
    return Dataset("cats", split, drawn, labels, *facts, "drawn by the course", "CC BY 4.0")


def _real(name: str, split: str) -> Dataset:
    pictures, labels = downloads.read(name, split)
    entry = downloads.catalogue()[name]
    facts = tuple(entry["classes"]), {}, entry["source"], entry["licence"]
    return Dataset(name, split, pictures, labels.long(), *facts)


def _photos(split: str, patch: int, grey: bool) -> Dataset:
    cut, labels, names = photos.patches(split, patch, grey)
    source, licence = "photographs inside scikit-image", "see data/README.md"
    return Dataset("photos", split, cut, labels, names, {}, source, licence)


def _folder(split: str, folder, side: int, grey: bool) -> Dataset:
    folder = Path(folder or settings.data_dir() / "folder").expanduser()
    pictures = photos.folder(split, folder, side, grey)
    return Dataset("folder", split, pictures, source=str(folder), licence="yours")


@dataclass(frozen=True)
class Row:
    """A line of the list of data sets; size_mb in 10**6 bytes; hint: what to do next, or ""."""

    name: str
    size_mb: float
    licence: str
    state: str
    hint: str


def status() -> list[Row]:
    """Return one Row per data set; the files that are on disk are verified."""
    return [_row(name) for name in NAMES]


def _row(name: str) -> Row:
    if name == "strokes":
        return Row(name, 55, "CC0 1.0", "ready", "drawn by the course when first used")
    if name == "cats":
        return Row(name, 271, "CC BY 4.0", "ready", "drawn by the course when first used")
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
    if not names:
        _list()
    return max([_fetch_and_tell(name) for name in names], default=0)


def _fetch_and_tell(name: str) -> int:
    try:
        fetch(name)
    except CourseError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    row = _row(name)
    print(f"{name}: {row.state}{row.hint and ', '}{row.hint}")
    return 0


def _list():
    for row in status():
        print(f"{row.name:14}{row.size_mb:6.1f} MB  {row.state:14}{row.licence}")
        if row.hint:
            print(f"{'':14}{row.hint}")
