"""Every command works from a read-only checkout, as a shared folder on a hub is one."""

import os
import shutil
import socket
import stat
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from course_lib import lessons, settings
from course_lib.settings import ROOT
from tests.running_lab import own_environment, running_lab

pytestmark = pytest.mark.slow
NOT_SHIPPED = (".*", "__pycache__", "*.egg-info", "work", "mnist", "fashion-mnist", "cifar10")


def state(folder: Path) -> dict[str, tuple[int, int]]:
    """Return the size and the time of the last change of everything in a folder."""
    entries = {path: path.stat() for path in folder.rglob("*")}
    return {str(path): (found.st_size, found.st_mtime_ns) for path, found in entries.items()}


def set_rights(folder: Path, rights: int):
    for path in [folder, *folder.rglob("*")]:
        path.chmod(rights | (stat.S_IXUSR if path.is_dir() else 0))


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the course that must not be written to, in a path with a space and an umlaut."""
    copy = tmp_path_factory.mktemp("read-only") / "geteilte Übung"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*NOT_SHIPPED))
    set_rights(copy, stat.S_IRUSR)
    before = state(copy)
    yield copy
    after = state(copy)
    set_rights(copy, stat.S_IRUSR | stat.S_IWUSR)
    assert after == before


@pytest.fixture(scope="module")
def user(tmp_path_factory):
    """The folder of the user who runs the commands."""
    return tmp_path_factory.mktemp("user")


@pytest.fixture(scope="module")
def environ(checkout, user):
    """Variables without COURSE_HOME; with it where read-only does not bind (root, Windows)."""
    variables = own_environment(user) | {"HOME": str(user), "USERPROFILE": str(user)}
    variables |= {"PYTHONDONTWRITEBYTECODE": "1", "COURSE_HOME": str(user / "image-course")}
    if not settings.is_writable(checkout):
        del variables["COURSE_HOME"]
    return variables


@pytest.fixture
def run(checkout, environ):
    def run(*argv: str, **variables: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "course_lib", *argv]
        streams = {"capture_output": True, "encoding": "utf-8", "stdin": subprocess.DEVNULL}
        environment = environ | variables
        done = subprocess.run(command, cwd=checkout, env=environment, timeout=300, **streams)
        assert "Traceback" not in done.stdout + done.stderr
        return done

    return run


def test_doctor_says_where_files_go(run, user):
    done = run("doctor")
    assert done.stderr == ""  # the exit status is about the computer
    assert f"✓ choices   profile smoke, data strokes, files under {user / 'image-course'}" in (
        done.stdout.splitlines()
    )


def test_build_can_check(run):
    lines = run("build", "--check").stdout.splitlines()
    assert [line.partition(":")[0] for line in lines] == [path.stem for path in lessons.sources()]


@pytest.mark.parametrize("command, words", [("data", "strokes"), ("bench --help", "--budget")])
def test_lists_and_help_are_printed(run, command, words):
    done = run(*command.split())
    assert done.returncode == 0 and words in done.stdout


def test_student_writes_elsewhere(run, tmp_path):
    assert run("student", str(tmp_path / "handout")).returncode == 0
    written = [path.stem for path in sorted((tmp_path / "handout").glob("*.ipynb"))]
    assert written == [path.stem for path in lessons.sources()]


def test_tests_and_kernels_run(run, user):
    one = "tests/test_settings.py::test_home_can_be_chosen"
    done = run("test", one, "notebooks/12_convolution.ipynb::Cell 0")
    assert done.returncode == 0 and "2 passed" in done.stdout
    assert (user / "image-course" / ".cache" / "pytest").is_dir()


def test_lab_opens_notebooks_that_can_be_written_to(checkout, environ, user):
    with running_lab(checkout, environ, user / "lab.log") as (address, token):
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(f"{address}api/contents?token={token}") as answer:
            assert f"{lessons.sources()[0].stem}.ipynb" in answer.read().decode()
    work = user / "image-course" / "work"
    assert os.access(work, os.W_OK) and list(work.glob("*.ipynb"))


def test_a_home_that_cannot_be_written_to_is_one_sentence(run, environ, user):
    (user / "file").touch()
    nowhere = {name: str(user / "file") for name in ("HOME", "USERPROFILE")}
    if "COURSE_HOME" in environ:
        nowhere["COURSE_HOME"] = str(user / "file" / "image-course")
    done = run("lab", **nowhere)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert "Cannot write" in done.stderr and "COURSE_HOME" in done.stderr


def test_a_port_that_was_asked_for_and_is_taken_is_named(run):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = str(listener.getsockname()[1])
        done = run("lab", "--no-browser", "--port", port)
    assert done.returncode == 1 and port in done.stdout + done.stderr
