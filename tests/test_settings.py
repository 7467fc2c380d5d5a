"""Settings from the environment, and files that are either whole or untouched."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from course_lib import settings
from course_lib.settings import CourseError


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for name in ("COURSE_HOME", "COURSE_PROFILE", "COURSE_DATA"):
        monkeypatch.delenv(name, raising=False)
    settings.is_writable.cache_clear()
    yield
    monkeypatch.undo()
    settings.is_writable.cache_clear()


def test_home_is_the_checkout_else_a_folder_of_the_user(monkeypatch):
    for writable, home in ((True, settings.ROOT), (False, Path.home() / "image-course")):
        monkeypatch.setattr(settings, "is_writable", lambda folder, answer=writable: answer)
        assert settings.home() == home


def test_home_can_be_chosen(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "mein Kürs"))
    assert settings.home() == (tmp_path / "mein Kürs").resolve()
    monkeypatch.setenv("COURSE_HOME", "~/here")
    assert settings.home() == (Path.home() / "here").resolve()


def test_what_is_written_lies_under_home_and_what_is_shipped_does_not(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_HOME", str(tmp_path))
    folders = (settings.work_dir, settings.data_dir, settings.cache_dir)
    assert all(folder().is_relative_to(tmp_path.resolve()) for folder in folders)
    assert settings.weights_dir().is_relative_to(settings.ROOT)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_folder_that_refuses_files_is_not_writable(monkeypatch, tmp_path, code):
    def refuse(path, *rest, **more):
        raise OSError(code, "no")

    assert settings.is_writable(tmp_path) and not list(tmp_path.iterdir())
    settings.is_writable.cache_clear()
    monkeypatch.setattr(Path, "touch", refuse)
    assert not settings.is_writable(tmp_path)


def test_profile_chooses_by_name_and_full_falls_back(monkeypatch):
    assert settings.profile(smoke=1, standard=2, full=3) == 2
    for name, value in (("smoke", 1), ("standard", 2), ("full", 3)):
        monkeypatch.setenv("COURSE_PROFILE", name)
        assert settings.profile(smoke=1, standard=2, full=3) == value
    assert settings.profile(smoke=1, standard=0) == 0


def test_slips_in_settings_name_what_there_is(monkeypatch):
    monkeypatch.setenv("COURSE_PROFILE", "Smoke")
    with pytest.raises(CourseError, match="smoke, standard, full"):
        settings.profile_name()
    monkeypatch.setenv("COURSE_DATA", "cats")
    with pytest.raises(CourseError, match="strokes, mnist"):
        settings.data_name()


def test_atomic_writes_whole_files_and_makes_folders(tmp_path):
    path = tmp_path / "new" / "ü.txt"
    for text in ("first", "second"):
        with settings.atomic(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
        assert path.read_text(encoding="utf-8") == text
    assert os.listdir(path.parent) == ["ü.txt"]


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_atomic_leaves_everything_as_it_was_if_the_block_fails(tmp_path, failure):
    path = tmp_path / "kept.txt"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(failure), settings.atomic(path) as temporary:
        temporary.write_text("half", encoding="utf-8")
        raise failure
    assert path.read_text(encoding="utf-8") == "old"
    assert os.listdir(tmp_path) == ["kept.txt"]


def test_atomic_turns_a_full_disk_into_a_sentence_and_nothing_else(tmp_path):
    path = tmp_path / "kept.txt"
    with pytest.raises(CourseError, match="COURSE_HOME"), settings.atomic(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(FileNotFoundError), settings.atomic(path):
        raise FileNotFoundError(errno.ENOENT, "no such input")
    assert not path.exists()


def test_atomic_says_so_if_a_file_is_in_the_way_of_the_folder(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(CourseError, match="Cannot write"),
        settings.atomic(tmp_path / "file" / "x") as temporary,
    ):
        temporary.touch()


def test_an_error_of_the_course_is_shown_in_notebooks_as_its_message_alone():
    assert CourseError("Do this.")._render_traceback_() == ["✗ Do this."]


def test_the_first_steps_need_the_standard_library_alone():
    code = "import course_lib.commands, course_lib.doctor, course_lib.installer, sys; "
    code += "print([m for m in sys.modules if m in ('torch', 'numpy', 'psutil', 'packaging')])"
    command = [sys.executable, "-S", "-c", code]  # -S: without site-packages
    run = subprocess.run(command, cwd=settings.ROOT, capture_output=True, text=True)
    assert run.stdout.strip() == "[]", run.stderr
