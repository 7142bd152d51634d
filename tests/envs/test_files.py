"""Files and folders are whole or absent, and scratch files of killed processes are removed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from envs import files
from tests.helpers.paths import ROOT


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize("content", ["text\n", b"\x00bytes"])
def test_a_file_is_written_with_its_folder(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "a" / "b" / "file"
    files.write_atomic(path, content)
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert names(path.parent) == ["file"]


@pytest.mark.parametrize("step", ["write", "fsync", "before", "replace"])
def test_after_an_error_the_folder_has_the_old_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    path = tmp_path / "file"
    files.write_atomic(path, "old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    def write() -> None:
        with files.replacing(path, fail if step == "before" else lambda: None) as scratch:
            scratch.write_text("new")
            if step == "write":
                fail()

    if step in ("fsync", "replace"):
        monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="No space left") as caught:
        write()
    assert caught.value.filename == str(path)
    assert (names(tmp_path), path.read_text()) == (["file"], "old")


def test_an_error_about_another_file_keeps_its_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, files.replacing(tmp_path / "file"):
        (tmp_path / "other").read_text()
    assert caught.value.filename == str(tmp_path / "other")


def test_a_file_is_flushed_before_it_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for name in ("fsync", "replace"):
        original = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, name=name, original=original: (calls.append(name), original(*a))[1])
    files.write_atomic(tmp_path / "file", "x")
    assert calls == ["fsync", "replace", "fsync"]  # the file, the rename, the folder


def test_scratch_files_of_killed_writers_are_removed(tmp_path: Path) -> None:
    for name in (".run.json.0123abcd", ".x.csv.00000000", ".git", "run.json", ".locks"):
        (tmp_path / name).write_text("")
    (tmp_path / ".folder.00000000").mkdir()  # not of this program, and blocks no other file
    files.remove_scratch(tmp_path, "run")
    assert names(tmp_path) == [".folder.00000000", ".git", ".locks", ".x.csv.00000000", "run.json"]
    files.remove_scratch(tmp_path)
    assert names(tmp_path) == [".folder.00000000", ".git", ".locks", "run.json"]


def test_a_scratch_folder_is_removed_at_the_end_unless_it_was_renamed(tmp_path: Path) -> None:
    with files.scratch_folder(tmp_path / "new") as first, files.scratch_folder(tmp_path / "new") as second:
        assert first.is_dir()  # the second call does not remove the folder of the first
        (second / "file").write_text("x")
        os.replace(second, tmp_path / "kept")
    assert names(tmp_path / "new") == []
    assert names(tmp_path / "kept") == ["file"]


def test_the_scratch_folder_of_a_killed_process_is_removed_by_the_next(tmp_path: Path) -> None:
    program = "import os, sys; from pathlib import Path; from envs.files import scratch_folder\n"
    program += "with scratch_folder(Path(sys.argv[1])) as f:\n (f / 'x').write_text('x'); os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT).returncode == -9
    abandoned = names(tmp_path)
    assert len(abandoned) == 1
    with files.scratch_folder(tmp_path) as folder:
        assert names(tmp_path) == [folder.name] != abandoned


@pytest.mark.parametrize("taken", [BlockingIOError(11, "locked"), FileNotFoundError(2, "gone")])
def test_a_folder_that_another_process_takes_at_once_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: OSError) -> None:
    flock, failures = files.fcntl.flock, [taken]

    def once(*arguments: int) -> None:
        if failures:
            raise failures.pop()
        flock(*arguments)

    monkeypatch.setattr(files.fcntl, "flock", once)
    with files.scratch_folder(tmp_path) as folder:
        assert folder.is_dir()
    assert not failures


def test_scratch_folders_work_without_file_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(files.fcntl, "flock", refuse)
    with files.scratch_folder(tmp_path) as first, files.scratch_folder(tmp_path):
        assert first.is_dir()
