"""Checkpoints: the last two are kept, a damaged one is detected, and a kill during a save leaves a whole one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from bench.storage.checkpoints import Checkpoint, Checkpoints
from bench.storage.tensors import DamagedError, pack, unpack
from envs import files

STATE = {
    "policy": torch.arange(6.0).reshape(2, 3), "update": torch.tensor(7), "done": torch.tensor([True, False]),
    "moments": torch.tensor([1e-300, -0.0], dtype=torch.float64), "none": torch.empty(2, 0),
}  # fmt: skip


def test_a_change_of_any_byte_is_detected(tmp_path: Path) -> None:
    """A file with a changed or missing byte is refused as damaged, unless the change leaves its content equal."""
    path = tmp_path / "x.safetensors"
    path.write_bytes(whole := pack(STATE, {"note": "a"}))
    tensors, metadata = unpack(path)
    assert metadata == {"note": "a"}
    assert all(torch.equal(tensors[k], v) and tensors[k].dtype == v.dtype for k, v in STATE.items())
    for position in range(len(whole)):
        changed = bytearray(whole)
        changed[position] ^= 0x10
        path.write_bytes(changed)
        try:
            found, said = unpack(path)
        except DamagedError:
            continue
        # Only a change in white space of the header leaves the content equal.
        assert said == metadata
        assert all(torch.equal(found[k], v) for k, v in STATE.items())
    for length in (0, 1, 9, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedError):
            unpack(path)


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path, "checkpoint")
    assert list(kept.load()) == []
    for update in (10, 20, 30):
        kept.save(update, {"x": torch.tensor([float(update)])}, {"said": str(update)})
    newest, before = kept.load()
    assert isinstance(newest, Checkpoint)
    assert isinstance(before, Checkpoint)
    assert (newest.update, float(newest.state["x"]), newest.about) == (30, 30.0, {"said": "30"})
    assert (before.update, float(before.state["x"])) == (20, 20.0)
    assert len(list(tmp_path.iterdir())) == 2

    kept.newest.write_bytes(kept.newest.read_bytes()[:-1] + b"\0")
    damaged, before = kept.load()
    assert damaged == f"{kept.newest} is damaged (its content does not match its digest)"
    assert isinstance(before, Checkpoint)
    assert before.update == 20


@pytest.mark.parametrize("step", ["write", "put aside", "rename"])
def test_a_kill_at_any_step_of_a_save_leaves_a_whole_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    kept = Checkpoints(tmp_path, "checkpoint")
    kept.save(10, STATE)

    class Killed(BaseException):
        pass

    def stop(*_: object) -> None:
        raise Killed

    renamed: list[str] = []
    replace = os.replace

    def rename(source: Path, target: Path) -> None:
        renamed.append(target.name)
        if {"put aside": 1, "rename": 2}.get(step) == len(renamed):
            raise Killed
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", rename)
        if step == "write":
            patch.setattr(files.os, "fsync", stop)
        with pytest.raises(Killed):
            kept.save(20, STATE)
    assert [found.update for found in kept.load() if isinstance(found, Checkpoint)] == [10]
    kept.save(20, STATE)
    assert next(iter(kept.load())).update == 20  # type: ignore[union-attr]
