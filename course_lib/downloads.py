"""Files of the real data sets: looked for on disk, else fetched; verified and read."""

import functools
import gzip
import hashlib
import json
import math
import os
import shutil
import tarfile
import time
import urllib.parse
import urllib.request
import zlib
from pathlib import Path

import numpy as np
import torch

from course_lib import settings
from course_lib.settings import CourseError

CONNECT_SECONDS = 5
STALL_SECONDS = 15
SLOWEST = 2_000  # bytes per second; a transfer that stays below it for STALL_SECONDS is given up
CHUNK = 4096
CIFAR_RECORD = 1 + 3 * 32 * 32  # bytes of an image: its label, then red, green, blue
CIFAR_BATCH = 10_000  # images in a file


class _Refused(Exception):
    """What a mirror sent is not what was asked for; the next one is tried."""


@functools.cache
def catalogue() -> dict[str, dict]:
    """Return data/checksums.json: data set -> title, source, licence, mirrors, files."""
    text = (settings.ROOT / "data" / "checksums.json").read_text(encoding="utf-8")
    return json.loads(text)


def fault(path: Path, expected: dict) -> str:
    """Say how a file differs from its entry in data/checksums.json; "" if it is the right one."""
    try:
        found = path.stat().st_size
        if found != expected["bytes"]:
            return f"has {found:,} bytes instead of {expected['bytes']:,}"
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if digest != expected["sha256"]:
        return f"has SHA-256 {digest} instead of {expected['sha256']}"
    return ""


def find(name: str, file: str) -> Path | None:
    """Return a verified file from data_dir(), ROOT/data or a mirror folder; None if there is none.

    Raises CourseError, and leaves the file alone, if it is truncated, damaged or another one.
    """
    for path in _places(name, file):
        if path.is_file():
            problem = fault(path, catalogue()[name]["files"][file])
            if problem:
                raise CourseError(
                    f"{path} is not the file it should be: it {problem}. "
                    "Delete or replace it, then try again."
                )
            return path
    return None


def get(name: str, file: str) -> Path:
    """Return a verified file of a data set, downloading it if it is not on disk.

    Raises CourseError if no mirror delivers it, with the ways to bring it in by hand.
    """
    found = find(name, file)
    if found:
        return found
    target, expected = settings.data_dir() / name / file, catalogue()[name]["files"][file]
    folder, reasons = _mirror_folder(""), []
    if folder and not folder.is_dir():
        reasons.append(f"there is no folder {folder}")
    for address in _addresses(name):
        failure = _download(f"{address}/{file}", target, expected)
        if not failure:
            return target
        reasons.append(f"{urllib.parse.urlsplit(address).hostname} {failure}")
        print(f"{file}: {reasons[-1]}; trying the next place.", flush=True)
    raise CourseError(
        f"Cannot get {file} ({expected['bytes'] / 1e6:.2g} MB) of {name} ({'; '.join(reasons)}): "
        f"put the file into {target.parent}, or set COURSE_DATA_MIRROR to a folder or address "
        f"that holds {name}/{file}."
    )


def fetch(name: str) -> list[Path]:
    """Bring every file of a data set, verified, into data_dir()/<name> and return the paths."""
    paths = []
    for file in catalogue()[name]["files"]:
        found, target = get(name, file), settings.data_dir() / name / file
        if found.parent == _mirror_folder(name):
            with settings.atomic(target) as temporary:
                shutil.copyfile(found, temporary)
            found = target
        paths.append(found)
    return paths


def state(name: str) -> tuple[str, str]:
    """Return (state, hint) of a data set on this disk; every file that is there is verified."""
    files = catalogue()[name]["files"]
    try:
        ready = [file for file in files if find(name, file)]
    except CourseError as error:
        return "damaged", str(error)
    if len(ready) == len(files):
        return "ready", ""
    here = "missing" if not ready else f"{len(ready)} of {len(files)} files"
    return here, f"python3 -m course_lib data {name}"


def read(name: str, split: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (images uint8 (N, C, H, W), labels uint8 (N,)) of a real data set's split."""
    if name == "cifar10":
        return _read_cifar10(get(name, "cifar-10-binary.tar.gz"), split)
    stem = "train" if split == "train" else "t10k"
    images = _read_idx(get(name, f"{stem}-images-idx3-ubyte.gz"), 3)
    return images.unsqueeze(1), _read_idx(get(name, f"{stem}-labels-idx1-ubyte.gz"), 1)


def parse_idx(raw: bytes, dimensions: int) -> torch.Tensor:
    """Return an IDX file's bytes as a uint8 tensor of so many dimensions.

    Raises CourseError if the magic number, the dimensions or the number of bytes do not fit.
    Format: LeCun's MNIST page; 0, 0, 8 (unsigned byte), dimensions, sizes as big-endian int32.
    """
    start = 4 + 4 * dimensions
    if len(raw) < start or raw[:4] != bytes((0, 0, 8, dimensions)):
        raise CourseError(f"not an IDX file of unsigned bytes in {dimensions} dimensions")
    shape = np.frombuffer(raw, ">u4", dimensions, 4).tolist()
    if len(raw) - start != math.prod(shape):
        raise CourseError(f"{len(raw) - start:,} bytes of data for the shape {shape}")
    return torch.frombuffer(bytearray(raw), dtype=torch.uint8, offset=start).reshape(shape)


def _read_idx(path: Path, dimensions: int) -> torch.Tensor:
    try:
        return parse_idx(gzip.decompress(path.read_bytes()), dimensions)
    except (OSError, EOFError, zlib.error, CourseError) as error:
        raise CourseError(f"{path} cannot be read: {error}.") from error


def _read_cifar10(path: Path, split: str) -> tuple[torch.Tensor, torch.Tensor]:
    names = [f"data_batch_{k}.bin" for k in range(1, 6)] if split == "train" else ["test_batch.bin"]
    wanted = {f"cifar-10-batches-bin/{name}": b"" for name in names}
    size = CIFAR_BATCH * CIFAR_RECORD
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                if member.name in wanted and member.isfile() and member.size == size:
                    wanted[member.name] = archive.extractfile(member).read()
        return parse_cifar10(b"".join(wanted.values()), CIFAR_BATCH * len(names))
    except (OSError, EOFError, zlib.error, tarfile.TarError, CourseError) as error:
        raise CourseError(f"{path} cannot be read: {error}.") from error


def parse_cifar10(raw: bytes, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (images uint8 (count, 3, 32, 32), labels uint8 (count,)) of CIFAR-10's binary form.

    A record is a label and then 1,024 red, green and blue bytes each, row by row.
    Raises CourseError if the number of bytes does not fit.
    """
    if len(raw) != count * CIFAR_RECORD:
        raise CourseError(f"{len(raw):,} bytes instead of {count:,} records of {CIFAR_RECORD:,}")
    records = torch.frombuffer(bytearray(raw), dtype=torch.uint8).reshape(count, CIFAR_RECORD)
    return records[:, 1:].reshape(count, 3, 32, 32).contiguous(), records[:, 0].clone()


def _mirror() -> str:
    return os.environ.get("COURSE_DATA_MIRROR", "").strip()


def _is_web(mirror: str) -> bool:
    return mirror.lower().startswith(("http://", "https://"))


def _mirror_folder(name: str) -> Path | None:
    mirror = _mirror()
    if not mirror or _is_web(mirror):
        return None
    if mirror.lower().startswith("file://"):
        mirror = urllib.request.url2pathname(urllib.parse.urlsplit(mirror).path)
    return Path(mirror).expanduser().resolve() / name


def _places(name: str, file: str) -> list[Path]:
    folders = [settings.data_dir() / name, settings.ROOT / "data" / name, _mirror_folder(name)]
    return [folder / file for folder in dict.fromkeys(folders) if folder]


def _addresses(name: str) -> list[str]:
    own = [f"{_mirror().rstrip('/')}/{name}"] if _is_web(_mirror()) else []
    return own + catalogue()[name]["mirrors"]


class _Sink:
    """A file for the downloader to write to, which gives up on a transfer that went wrong."""

    def __init__(self, file, bar, limit: int):
        self.file, self.bar, self.limit = file, bar, limit
        self.written, self.mark, self.since = 0, 0, time.monotonic()

    def write(self, chunk: bytes):
        self.file.write(chunk)
        self.bar.update(len(chunk))
        self.written += len(chunk)
        if self.written > self.limit:
            raise _Refused(f"is larger than {self.limit:,} bytes")
        self._notice_crawling()

    def _notice_crawling(self):
        now = time.monotonic()
        if now - self.since < STALL_SECONDS:
            return
        if self.written - self.mark < SLOWEST * (now - self.since):
            raise _Refused(f"comes with less than {SLOWEST:,} bytes per second")
        self.mark, self.since = self.written, now

    def flush(self):
        self.file.flush()


def _download(url: str, target: Path, expected: dict) -> str:
    """Download a file, verify it and put it in its place; return "" or what the mirror did wrong.

    Raises CourseError if the file cannot be written.
    """
    import requests

    try:
        with settings.atomic(target) as temporary:
            _transfer(url, temporary, expected["bytes"])
            problem = fault(temporary, expected)
            if problem:
                raise _Refused(problem)
        return ""
    except _Refused as error:
        return f"sent a wrong file: it {error}"
    except requests.HTTPError as error:
        return f"answered {error.response.status_code}"
    except requests.exceptions.ChunkedEncodingError:
        return "broke off half-way"
    except (requests.RequestException, ValueError) as error:
        late = isinstance(error, requests.Timeout) or "timed out" in str(error)
        return "did not answer in time" if late else "cannot be reached"


def _transfer(url: str, path: Path, size: int):
    import pooch
    from tqdm import tqdm

    downloader = pooch.HTTPDownloader(
        chunk_size=CHUNK,
        timeout=(CONNECT_SECONDS, STALL_SECONDS),
        headers={"Accept-Encoding": "identity"},
    )
    name = url.rsplit("/", 1)[-1]
    with (
        tqdm(total=size, desc=name, unit="B", unit_scale=True, leave=False, delay=0.5) as bar,
        path.open("wb") as file,
    ):
        downloader(url, _Sink(file, bar, size), None)
