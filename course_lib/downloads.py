"""Files of the real data sets: looked for on disk, else fetched; verified and read."""

import functools
import gzip
import hashlib
import json
import os
import shutil
import tarfile
import time
import urllib.parse
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from course_lib import settings
from course_lib.settings import CourseError

CONNECT_SECONDS = 5
STALL_SECONDS = 15
SLOWEST = 2_000  # bytes per second; a transfer that stays below it for STALL_SECONDS is given up
CHUNK = 4096


class _Refused(Exception):
    """What a mirror sent is not what was asked for; the next one is tried."""


@functools.cache
def catalogue() -> dict[str, dict]:
    """Return data/checksums.json: data set -> title, source, licence, classes, mirrors, files."""
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
    right = digest == expected["sha256"]
    return "" if right else f"has SHA-256 {digest} instead of {expected['sha256']}"


def find(name: str, file: str) -> Path | None:
    """Return a verified file from data_dir(), ROOT/data or a mirror folder; None if there is none.

    Raises CourseError, and leaves the file alone, if it is truncated, damaged or another one.
    """
    folders = settings.data_dir() / name, settings.ROOT / "data" / name, _mirror_folder(name)
    path = next((f / file for f in folders if f and (f / file).is_file()), None)
    if path and (problem := fault(path, catalogue()[name]["files"][file])):
        wrong = f"{path} is not the file it should be: it {problem}"
        raise CourseError(f"{wrong}. Delete or replace it, then try again.")
    return path


def get(name: str, file: str) -> Path:
    """Return a verified file of a data set, downloading it if it is not on disk.

    Raises CourseError if no mirror delivers it, with the ways to bring it in by hand.
    """
    if found := find(name, file):
        return found
    target, expected = settings.data_dir() / name / file, catalogue()[name]["files"][file]
    folder, reasons = _mirror_folder(""), []
    if folder and not folder.is_dir():
        reasons.append(f"there is no folder {folder}")
    own = [f"{_mirror().rstrip('/')}/{name}"] if _mirror() and not folder else []
    for address in own + catalogue()[name]["mirrors"]:
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
    images = read_idx(get(name, f"{stem}-images-idx3-ubyte.gz"))
    return images.unsqueeze(1), read_idx(get(name, f"{stem}-labels-idx1-ubyte.gz"))


def read_idx(path: Path) -> torch.Tensor:
    """Return a verified IDX file of unsigned bytes, packed with gzip, as a uint8 tensor.

    Format: LeCun's MNIST page; 0, 0, 8 (unsigned byte), dimensions, sizes as big-endian int32.
    """
    raw = gzip.decompress(path.read_bytes())
    shape = np.frombuffer(raw, ">u4", raw[3], 4).tolist()
    return torch.frombuffer(bytearray(raw), dtype=torch.uint8, offset=4 + 4 * raw[3]).view(shape)


def _read_cifar10(path: Path, split: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Read records of a label and then 1,024 red, green and blue bytes each, row by row."""
    names = [f"data_batch_{k}.bin" for k in range(1, 6)] if split == "train" else ["test_batch.bin"]
    with tarfile.open(path, "r:gz") as archive:
        batches = [archive.extractfile(f"cifar-10-batches-bin/{name}").read() for name in names]
    records = torch.frombuffer(bytearray(b"".join(batches)), dtype=torch.uint8).view(-1, 3073)
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].clone()


def _mirror() -> str:
    return os.environ.get("COURSE_DATA_MIRROR", "").strip()


def _mirror_folder(name: str) -> Path | None:
    is_folder = _mirror() and not _mirror().lower().startswith(("http://", "https://"))
    return Path(_mirror()).expanduser().resolve() / name if is_folder else None


class _Bar(tqdm):
    """A progress bar that gives up on a transfer of too many bytes, or of too few in a while."""

    def __init__(self, *args, **settings):
        self.mark, self.since = 0, time.monotonic()
        super().__init__(*args, **settings)

    def update(self, size=1):
        """Count `size` more bytes."""
        super().update(size)
        if self.n > self.total:
            raise _Refused(f"is larger than {self.total:,} bytes")
        seconds = time.monotonic() - self.since
        if seconds > STALL_SECONDS:
            if self.n - self.mark < SLOWEST * seconds:
                raise _Refused(f"comes with less than {SLOWEST:,} bytes per second")
            self.mark, self.since = self.n, self.since + seconds


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

    name, wait = url.rsplit("/", 1)[-1], (CONNECT_SECONDS, STALL_SECONDS)
    plain = {"Accept-Encoding": "identity"}
    get = pooch.HTTPDownloader(chunk_size=CHUNK, timeout=wait, headers=plain)
    look = {"desc": name, "leave": False, "delay": 0.5}
    with path.open("wb") as file, _Bar.wrapattr(file, "write", size, **look) as counted:
        get(url, counted, None)
