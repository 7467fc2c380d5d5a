"""Files of the real data sets: every way in, and every way in which one can go wrong."""

import errno
import gzip
import hashlib
import io
import socket
import struct
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

from course_lib import downloads
from course_lib.settings import ROOT, CourseError

CONTENT = {
    "a.bin": np.random.default_rng(0).bytes(50_000),
    "b.bin": np.random.default_rng(1).bytes(1_000),
}
FAULTS = {
    "missing": "answered 404",
    "half": "broke off half-way",
    "wrong": "has SHA-256",
    "long": "150,000 bytes instead of 50,000",
    "stalled": "did not answer in time",
    "silent": "did not answer in time",
}


class Mirror(BaseHTTPRequestHandler):
    """The first part of the address is how this mirror behaves; the last is the file."""

    release = threading.Event()

    def do_GET(self):
        behaviour, file = self.path.strip("/").split("/")[0], self.path.rsplit("/", 1)[-1]
        self.server.asked.append(self.path)
        body = CONTENT[file]
        if behaviour == "silent":
            self.release.wait(10)
            return
        if behaviour == "missing":
            self.send_error(404)
            return
        self.send_response(200)
        if behaviour != "long":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        sent = {"wrong": bytes(len(body)), "long": body * 3}.get(behaviour, body)
        self.wfile.write(sent[: len(body) // 2] if behaviour in ("half", "stalled") else sent)
        if behaviour == "stalled":
            self.wfile.flush()
            self.release.wait(10)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    Mirror.release.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as running:
        running.daemon_threads, running.block_on_close, running.asked = True, False, []
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        Mirror.release.set()
        running.shutdown()


@pytest.fixture
def address(server):
    return f"http://127.0.0.1:{server.server_port}"


@pytest.fixture
def toy(monkeypatch, tmp_path):
    """A data set of two files without mirrors; home is an empty folder with an awkward name."""
    files = {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in CONTENT.items()
    }
    entry = {"mirrors": [], "files": files}
    monkeypatch.setattr(downloads, "catalogue", lambda: {"toy": entry})
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "Übung 1"))
    monkeypatch.delenv("COURSE_DATA_MIRROR", raising=False)
    monkeypatch.setattr(downloads, "CONNECT_SECONDS", 2)
    monkeypatch.setattr(downloads, "STALL_SECONDS", 0.3)
    return entry


@pytest.fixture
def folder(toy, tmp_path):
    return tmp_path / "Übung 1" / "data" / "toy"


def put(folder, name="a.bin", content=None):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(CONTENT[name] if content is None else content)
    return folder / name


def names(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_a_file_dropped_in_by_hand_is_used_where_it_lies(folder):
    path = put(folder)
    assert downloads.get("toy", "a.bin") == path


def test_a_mirror_folder_is_read_in_place_and_fetch_copies_from_it(folder, tmp_path, monkeypatch):
    mirror = tmp_path / "stick à 8 GB"
    lying = [put(mirror / "toy", name) for name in CONTENT]
    monkeypatch.setenv("COURSE_DATA_MIRROR", str(mirror))
    assert downloads.get("toy", "a.bin") == lying[0]
    assert names(folder) == []
    assert downloads.fetch("toy") == [folder / "a.bin", folder / "b.bin"]
    assert (folder / "a.bin").read_bytes() == CONTENT["a.bin"]
    assert downloads.get("toy", "a.bin") == folder / "a.bin"


def test_the_mirror_of_the_environment_is_asked_first(toy, folder, server, address, monkeypatch):
    toy["mirrors"] = [f"{address}/missing"]
    monkeypatch.setenv("COURSE_DATA_MIRROR", f"{address}/good/")
    assert downloads.get("toy", "a.bin") == folder / "a.bin"
    assert (folder / "a.bin").read_bytes() == CONTENT["a.bin"]
    assert server.asked == ["/good/toy/a.bin"] and names(folder) == ["a.bin"]
    downloads.get("toy", "a.bin")
    assert len(server.asked) == 1, "a file that is there is not fetched again"


@pytest.mark.parametrize("fault", FAULTS)
def test_after_a_faulty_mirror_comes_the_next(fault, toy, folder, address, capsys):
    toy["mirrors"] = [f"{address}/{fault}", f"{address}/good"]
    start = time.monotonic()
    assert downloads.get("toy", "a.bin").read_bytes() == CONTENT["a.bin"]
    assert time.monotonic() - start < 7, "given up after STALL_SECONDS, not when the mirror ends"
    assert names(folder) == ["a.bin"]
    said = capsys.readouterr().out
    assert FAULTS[fault] in said and said.count("\n") == 1


def test_when_all_mirrors_fail_one_sentence_says_what_to_do(toy, folder, address, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    toy["mirrors"] = [f"{address}/missing", f"{address}/half", nobody]
    monkeypatch.setenv("COURSE_DATA_MIRROR", str(folder / "unplugged"))
    with pytest.raises(CourseError) as failure:
        downloads.get("toy", "a.bin")
    for part in ("a.bin", "0.05 MB", "404", "half-way", "cannot be reached", "unplugged"):
        assert part in str(failure.value)
    assert f"put the file into {folder}" in str(failure.value)
    assert "COURSE_DATA_MIRROR" in str(failure.value) and "\n" not in str(failure.value)
    assert names(folder) == []


@pytest.mark.parametrize(
    "content, told",
    [
        (CONTENT["a.bin"][:-1], "49,999 bytes instead of 50,000"),
        (b"", "0 bytes instead of 50,000"),
        (CONTENT["a.bin"][:-1] + b"?", hashlib.sha256(CONTENT["a.bin"]).hexdigest()),
    ],
)
def test_a_wrong_file_of_the_user_is_named_and_kept(content, told, toy, folder, address):
    toy["mirrors"] = [f"{address}/good"]
    path = put(folder, content=content)
    with pytest.raises(CourseError, match="is not the file it should be") as failure:
        downloads.get("toy", "a.bin")
    assert str(path) in str(failure.value) and told in str(failure.value)
    assert path.read_bytes() == content and names(folder) == ["a.bin"]
    assert downloads.state("toy") == ("damaged", str(failure.value))


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")])
def test_ctrl_c_and_a_full_disk_leave_nothing_half_written(stop, toy, folder, monkeypatch):
    toy["mirrors"] = ["http://good", "http://other"]
    asked = []

    def stopping(self, url, output_file, pooch):
        asked.append(url)
        Path(output_file).write_bytes(b"half")
        assert len(names(folder)) == 1, "the half-written file lies beside its place"
        raise stop

    monkeypatch.setattr(downloads.pooch.HTTPDownloader, "__call__", stopping)
    expected = CourseError if isinstance(stop, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as failure:
        downloads.get("toy", "a.bin")
    assert names(folder) == [] and asked == ["http://good/a.bin"]
    if expected is CourseError:
        assert str(folder / "a.bin") in str(failure.value) and "COURSE_HOME" in str(failure.value)


def test_a_folder_that_cannot_be_made(toy, folder, address):
    folder.parent.parent.mkdir()
    folder.parent.write_bytes(b"a file where the folder should be")
    toy["mirrors"] = [f"{address}/good"]
    with pytest.raises(CourseError, match="Cannot write"):
        downloads.get("toy", "a.bin")


def test_the_state_of_a_data_set(folder):
    assert downloads.state("toy") == ("missing", "python3 -m course_lib data toy")
    put(folder, "b.bin")
    assert downloads.state("toy")[0] == "1 of 2 files"
    put(folder, "a.bin")
    assert downloads.state("toy") == ("ready", "")


def test_the_catalogue_is_complete():
    assert set(downloads.catalogue()) == {"mnist", "fashion-mnist", "cifar10"}
    for entry in downloads.catalogue().values():
        assert {"title", "source", "licence"} <= set(entry) and len(entry["mirrors"]) >= 3
        assert len(set(entry["classes"])) == 10
        assert all(not mirror.endswith("/") for mirror in entry["mirrors"])
        for facts in entry["files"].values():
            assert facts["bytes"] > 1000 and len(bytes.fromhex(facts["sha256"])) == 32


def test_the_sums_of_mnist_are_those_of_the_original_files():
    folder = ROOT.parent / "shared" / "datasets" / "mnist"
    if not folder.is_dir():
        pytest.skip("the real MNIST files are not in ../shared/datasets")
    for file, expected in downloads.catalogue()["mnist"]["files"].items():
        assert downloads.fault(folder / file, expected) == ""


def idx(array):
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.mark.parametrize("shape", [(5,), (2, 3, 4), (1, 1, 1)])
def test_idx_files_are_read_whole(shape, tmp_path):
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    path = put(tmp_path, content=gzip.compress(idx(array)))
    assert np.array_equal(downloads.read_idx(path).numpy(), array)


def records(count, seed):
    array = np.random.default_rng(seed).integers(0, 256, (count, 3073), dtype=np.uint8)
    array[:, 0] %= 10
    return array


def archive(path, members):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_cifar10_is_read_out_of_its_archive(tmp_path, monkeypatch):
    batches = {f"data_batch_{k}.bin": records(4, k) for k in (3, 1, 5, 2, 4)}
    batches["test_batch.bin"] = records(4, 9)
    path = archive(tmp_path / "c.tar.gz", {n: b.tobytes() for n, b in batches.items()})
    monkeypatch.setattr(downloads, "get", lambda name, file: path)
    images, labels = downloads.read("cifar10", "train")
    expected = np.concatenate([batches[f"data_batch_{k}.bin"] for k in range(1, 6)])
    assert images.shape == (20, 3, 32, 32) and images.dtype == labels.dtype == torch.uint8
    assert np.array_equal(labels.numpy(), expected[:, 0])
    assert np.array_equal(images[7, 1, 2].numpy(), expected[7, 1 + 1024 + 64 :][:32])
    assert len(downloads.read("cifar10", "test")[0]) == 4
