"""Files of the real data sets: looked for on disk, else fetched; verified and read."""

import functools
import gzip
import json
import os
import tarfile
import urllib.parse
from pathlib import Path

import numpy as np
import pooch
import requests
import torch

from course_lib import settings
from course_lib.settings import CourseError

CONNECT_SECONDS = 5
STALL_SECONDS = 15


@functools.cache
def catalogue() -> dict[str, dict]:
    """Return data/checksums.json: data set -> title, source, licence, classes, mirrors, files."""
    text = (settings.ROOT / "data" / "checksums.json").read_text(encoding="utf-8")
    return json.loads(text)


def fault(path: Path, expected: dict) -> str:
    """Say how a file differs from its entry in data/checksums.json; "" if it is the right one."""
    if (found := path.stat().st_size) != expected["bytes"]:
        return f"has {found:,} bytes instead of {expected['bytes']:,}"
    digest = pooch.file_hash(path)
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
    lacking = f"Cannot get {file} ({expected['bytes'] / 1e6:.2g} MB) of {name}"
    mirror = f"set COURSE_DATA_MIRROR to a folder or address that holds {name}/{file}"
    advice = f"put the file into {target.parent}, or {mirror}"
    raise CourseError(f"{lacking} ({'; '.join(reasons)}): {advice}.")


def fetch(name: str) -> list[Path]:
    """Bring every file of a data set, verified, into data_dir()/<name> and return the paths."""
    paths = []
    for file in catalogue()[name]["files"]:
        found, target = get(name, file), settings.data_dir() / name / file
        if found.parent == _mirror_folder(name):
            settings.write(target, found.read_bytes())
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


def _download(url: str, target: Path, expected: dict) -> str:
    """Download a file, verify it and put it in its place; return "" or what the mirror did wrong.

    Raises CourseError if the file cannot be written.
    """
    wait, plain = (CONNECT_SECONDS, STALL_SECONDS), {"Accept-Encoding": "identity"}
    get = pooch.HTTPDownloader(progressbar=True, timeout=wait, headers=plain)
    try:
        with settings.atomic(target) as temporary:
            get(url, str(temporary), None)
            if problem := fault(temporary, expected):
                raise ValueError(f"it {problem}")
        return ""
    except requests.HTTPError as error:
        return f"answered {error.response.status_code}"
    except requests.RequestException as error:
        late = isinstance(error, requests.Timeout) or "timed out" in str(error)
        return "did not answer in time" if late else "cannot be reached, or broke off half-way"
    except ValueError as error:
        return f"sent a wrong file: {error}"
