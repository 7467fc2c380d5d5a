"""The doctor: each thing that can be wrong gives a line with ✗ and an exit status."""

import socket
from types import SimpleNamespace

import psutil
import pytest

from course_lib import commands, datasets, device, doctor, environment, installer
from course_lib.doctor import BAD, GOOD, NOTE
from course_lib.settings import CourseError

ROW = SimpleNamespace(name="mnist", state="ready", hint="")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture
def healthy(monkeypatch, tmp_path):
    """A computer on which all is well."""
    monkeypatch.setenv("COURSE_HOME", str(tmp_path))
    for name in ("COURSE_PROFILE", "COURSE_DATA", "COURSE_DEVICE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(environment, "enter", lambda argv: None)
    monkeypatch.setattr(commands, "FIRST_PORT", free_port())
    monkeypatch.setattr(doctor, "free_memory", lambda: 8_000_000_000)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: SimpleNamespace(free=9e10))
    monkeypatch.setattr(device, "set_threads", lambda: 2)
    monkeypatch.setattr(device, "self_test", lambda name: [])
    monkeypatch.setattr(device, "pick_device", lambda: "cpu")
    monkeypatch.setattr(datasets, "status", lambda: [ROW])
    monkeypatch.setattr(installer, "has_nvidia", lambda: False)


def marks(name: str) -> list[str]:
    return [finding.mark for finding in doctor.findings() if finding.name == name]


def test_a_healthy_computer_is_ready(healthy, capsys):
    assert doctor.main([]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert last == "Ready."
    assert all(line.startswith(GOOD) for line in lines)
    names = "python choices disk port packages memory cores devices data".split()
    assert sorted({line.split()[1] for line in lines}) == sorted(names)


ILLS = {
    "choices": lambda patch: patch.setenv("COURSE_PROFILE", "slow"),
    "disk": lambda patch: patch.setattr(
        doctor.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1e8)
    ),
    "packages": lambda patch: patch.setattr(environment, "unmet", lambda: ["torch>=2.6 (2.1)"]),
    "memory": lambda patch: patch.setattr(doctor, "free_memory", lambda: 500_000_000),
    "devices": lambda patch: patch.setattr(device, "self_test", lambda name: ["conv2d"]),
    "data": lambda patch: patch.setattr(
        datasets, "status", lambda: [SimpleNamespace(name="mnist", state="damaged", hint="fetch")]
    ),
}


@pytest.mark.parametrize("name", ILLS)
def test_each_ill_is_one_bad_line_and_the_exit_status(healthy, monkeypatch, capsys, name):
    ILLS[name](monkeypatch)
    assert doctor.main([]) == 1
    bad = [line for line in capsys.readouterr().out.splitlines() if line.startswith(BAD)]
    assert [line.split()[1] for line in bad] == [name]


def test_what_the_reader_may_know_is_no_ill(healthy, monkeypatch):
    missing = SimpleNamespace(name="mnist", state="missing", hint="fetch it")
    monkeypatch.setattr(datasets, "status", lambda: [ROW, missing])
    monkeypatch.setattr(device, "set_threads", lambda: 1)
    monkeypatch.setattr(installer, "has_nvidia", lambda: True)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert marks("data") == [GOOD, NOTE]
    assert marks("cores") == [NOTE]
    assert marks("devices")[-1] == NOTE


def test_a_device_that_was_asked_for_in_vain_is_an_ill(healthy, monkeypatch):
    def refuse():
        raise CourseError("no cuda here")

    monkeypatch.setattr(device, "pick_device", refuse)
    assert (BAD, "no cuda here") in [(f.mark, f.text) for f in doctor.findings()]


def test_a_check_that_breaks_is_a_finding(healthy, monkeypatch):
    monkeypatch.setattr(datasets, "status", lambda: 1 / 0)
    assert marks("data") == [BAD]


def test_without_packages_the_rest_is_still_looked_at(healthy, monkeypatch, capsys):
    def fail(argv):
        raise CourseError("There is no network.")

    monkeypatch.setattr(environment, "enter", fail)
    monkeypatch.setattr(device, "self_test", lambda name: pytest.fail("needs the packages"))
    assert doctor.main([]) == 1
    out = capsys.readouterr().out
    assert f"{BAD} packages  There is no network." in out and f"{GOOD} disk" in out


def test_a_folder_that_cannot_be_written_to_is_an_ill(healthy, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "file"))
    assert marks("disk") == [BAD]


@pytest.fixture
def plenty(monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=10**12))


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n", encoding="utf-8")


def test_memory_is_what_the_computer_has_where_no_container_limits_it(plenty, tmp_path):
    assert doctor.free_memory(tmp_path) == 10**12
    write(tmp_path, memory__max="max", memory__current=5000, memory__stat="inactive_file 700")
    assert doctor.free_memory(tmp_path) == 10**12


def test_memory_is_what_the_container_has_left_the_file_cache_not_counted(plenty, tmp_path):
    write(
        tmp_path, memory__max=8000, memory__current=5000, memory__stat="anon 1\ninactive_file 700"
    )
    assert doctor.free_memory(tmp_path) == 3700
    old = tmp_path / "memory"
    write(old, memory__limit_in_bytes=6000, memory__usage_in_bytes=5000)
    write(old, memory__stat="cache 1\ntotal_inactive_file 50")
    assert doctor.free_memory(tmp_path) == 1050


def test_the_port_that_is_looked_at_is_the_one_that_lab_takes(healthy):
    assert marks("port") == [GOOD]
    with socket.socket() as other:
        other.bind(("127.0.0.1", commands.FIRST_PORT))
        other.listen()
        assert marks("port") == [NOTE]
