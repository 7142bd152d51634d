"""A file where a command's results are to be: one line before anything is computed."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.cli import run
from bench.errors import EXIT_MISTAKE, ConfigError, require_folder
from bench.language.options import Options


@pytest.mark.parametrize(
    ("command", "key"),
    [
        (["select", "results/none", "--out"], "--out"),
        (["study", "bandit", "--toy", "--out"], "--out"),
        (["speed", "online"], "out"),
    ],
)
def test_a_file_for_a_folder_is_one_line(command: list[str], key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    assert run([*command, f"out={file}" if key == "out" else str(file)]) == EXIT_MISTAKE
    assert capsys.readouterr().err == f"error: {key} = {file}: expected a folder; {file} is a file\n"
    assert file.read_text() == "mine"


def test_a_file_for_the_folder_of_language_models(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ConfigError, match=r"--out = .*: expected a folder"):
        Options(out=tmp_path / "notes.txt").check()


def test_folders_that_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    require_folder("--out", tmp_path)
    require_folder("--out", tmp_path / "a" / "b")
    with pytest.raises(ConfigError, match=r"--out = .*notes.txt/b: expected a folder; .*notes.txt is a file"):
        require_folder("--out", tmp_path / "notes.txt" / "b")
