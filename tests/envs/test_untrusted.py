"""Files of unknown origin: only regular files below their folder are read, of bounded size and depth."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from envs.errors import DataError
from envs.untrusted import DEPTH, check_tree, clean, parse_json, read_bytes, read_json, read_text


def _link(path: Path) -> None:
    (path.parent / "secret").write_text("secret")
    path.symlink_to(path.parent / "secret")


IMPOSTORS: dict[str, Callable[[Path], None]] = {
    "link": _link,
    "dangling link": lambda path: path.symlink_to("nothing"),
    "pipe": os.mkfifo,
    "folder": Path.mkdir,
    "device": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("kind", IMPOSTORS)
def test_only_regular_files_are_read(kind: str, tmp_path: Path) -> None:
    IMPOSTORS[kind](tmp_path / "file")
    with pytest.raises(DataError, match=r"file: is (a link|no regular file)"):
        read_bytes(tmp_path, "file", 100)


def test_a_link_in_the_path_is_refused_and_the_folder_itself_may_be_one(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").write_text("x")
    (tmp_path / "link").symlink_to("real")
    assert read_text(tmp_path / "link", "file") == "x"
    with pytest.raises(DataError, match="link: is a link"):
        read_text(tmp_path, "link/file")
    with pytest.raises(FileNotFoundError):
        read_text(tmp_path, "real/other")


def test_sizes_are_limited_also_of_files_that_state_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 11)
    with pytest.raises(DataError, match="has 11 bytes; expected at most 10"):
        read_bytes(tmp_path, "file", 10)
    assert len(read_bytes(tmp_path, "file", 11)) == 11
    with pytest.raises(DataError, match="is larger than 10 bytes"):
        read_bytes(Path("/proc/self"), "maps", 10)


@pytest.mark.parametrize("text", ["[" * 100_000, "[" * (DEPTH + 2) + "]" * (DEPTH + 2), '{"a":' * 50 + "1" + "}" * 50, "9" * 5000, "{"])
def test_json_is_limited(text: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text(text)
    with pytest.raises(DataError, match="is not JSON"):
        read_json(tmp_path, "file")
    assert parse_json("[" * DEPTH + "]" * DEPTH)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"a\xff")
    with pytest.raises(DataError, match=r"is no text \(byte 1"):
        read_text(tmp_path, "file")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb", "a b"),
        ("a\x1b[31mb", "a [31mb"),
        ("\u202eabc", " abc"),
        ("\ud800", " "),
        ("x" * 2000, "x" * 1000 + "..."),
        ("ä<|$", "ä<|$"),
    ],
)
def test_texts_are_one_printable_line(text: str, shown: str) -> None:
    assert clean(text) == shown


@pytest.mark.parametrize("kind", ["link", "pipe", "device"])
def test_a_data_set_holds_regular_files_alone(kind: str, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    check_tree(tmp_path)
    IMPOSTORS[kind](tmp_path / "data" / "file")
    with pytest.raises(DataError, match="file: is"):
        check_tree(tmp_path)
