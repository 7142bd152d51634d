"""manifest.json lists every file of a run: each kind of damage to each file is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.storage import manifest

FILES = ("checkpoint.safetensors", "config.yaml", "curve.csv", "episodes.csv", "policy-20.safetensors", "policy.safetensors", "run.json")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).write_bytes(name.encode() * 20)
    (tmp_path / "episode-0-0.webp").write_bytes(b"a film")
    manifest.sign(tmp_path)
    return tmp_path


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "flipped": flip,
    "halved": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "zero-filled": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "removed": lambda path: path.unlink(),
    "a link": lambda path: path.rename(path.with_name("other")) and path.symlink_to(path.with_name("other")),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


def test_whole_files_have_no_damage(folder: Path) -> None:
    assert manifest.damage(folder) == []
    (folder / "evaluation.csv").write_text("later")  # neither later evaluations nor films are the run's
    (folder / "episode-0-1.webp").write_bytes(b"another")
    assert manifest.damage(folder) == []


@pytest.mark.parametrize("name", [*FILES, manifest.NAME])
@pytest.mark.parametrize("how", DAMAGE)
def test_damage_is_named(folder: Path, name: str, how: str) -> None:
    DAMAGE[how](folder / name)
    (line,) = manifest.damage(folder)
    assert line.startswith(f"{folder / name} is ")


def test_of_unread_files_the_size_is_compared(folder: Path) -> None:
    flip(folder / "checkpoint.safetensors")
    assert manifest.damage(folder, unread=("checkpoint.safetensors",)) == []
    DAMAGE["halved"](folder / "checkpoint.safetensors")
    assert len(manifest.damage(folder, unread=("checkpoint.safetensors",))) == 1


def test_a_file_that_was_added_is_named(folder: Path) -> None:
    (folder / "policy-40.safetensors").write_bytes(b"new")
    assert "policy-40.safetensors is not in manifest.json" in manifest.damage(folder)[0]


@pytest.mark.parametrize(
    "content", ["[]", "{}", '{"files": 3, "sha256": ""}', "[" * 5000, '{"files": {"../x": {}}, "sha256": "0"}', "\udc80"]
)
def test_a_manifest_that_is_none_is_damaged(folder: Path, content: str) -> None:
    (folder / manifest.NAME).write_bytes(content.encode(errors="surrogateescape"))
    (line,) = manifest.damage(folder)
    assert line.startswith(f"{folder / manifest.NAME} is damaged")
    assert "\n" not in line


def test_a_manifest_cannot_name_files_elsewhere(folder: Path) -> None:
    files = {"../outside": {"bytes": 1, "sha256": "0"}}
    manifest.write_json(folder / manifest.NAME, {"files": files, "sha256": manifest._own_digest(files)})
    assert manifest.damage(folder) == [f"{folder / manifest.NAME} is damaged"]
