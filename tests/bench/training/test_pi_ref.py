"""Folders, links and pipes in the place of a reference policy's file are replaced, or refused before training; none is followed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bench.config.schema import Config
from bench.errors import DataError
from bench.storage.tensors import pack
from bench.training import pi_ref
from bench.training.progress import Reporter
from bench.training.shared import Shared

pytestmark = pytest.mark.usefixtures("fresh_data")

CPU = torch.device("cpu")


def outside(path: Path) -> Path:
    """A file that is not in the results folder."""
    found = path.parents[2] / "outside"
    found.write_text("as it was")
    return found


PLACES: dict[str, Callable[[Path], object]] = {
    "link": lambda path: path.symlink_to(outside(path)),
    "dangling link": lambda path: path.symlink_to(outside(path).with_name("nothing")),
    "link to a folder": lambda path: path.symlink_to(path.parents[2]),
    "pipe": os.mkfifo,
}


def find(config: Config, shared: Shared) -> dict[str, torch.Tensor]:
    data = shared.run_data(config)
    with Reporter("test") as reporter:
        return pi_ref.find_or_train([config], data.trajectories, data.trajectories.digest, CPU, reporter)


def path_of(config: Config, shared: Shared) -> Path:
    path = pi_ref._path(config, shared.run_data(config).trajectories.digest, CPU)
    path.parent.mkdir(parents=True)
    return path


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("place", PLACES)
def test_a_link_or_pipe_is_replaced(place: str, training: bool, config: Config, shared: Shared, capsys: pytest.CaptureFixture[str]) -> None:
    path = path_of(config, shared)
    blocked = path.with_suffix(".training.safetensors") if training else path
    kept = outside(path)
    PLACES[place](blocked)
    beside = sorted(kept.parent.iterdir())
    trained = find(config, shared)
    assert kept.read_text() == "as it was"
    assert sorted(kept.parent.iterdir()) == beside
    assert path.is_file()
    assert not path.is_symlink()
    assert training or "pi_ref is trained again" in capsys.readouterr().err
    assert not os.path.lexists(path.with_suffix(".training.safetensors"))
    assert all(torch.equal(value, trained[name]) for name, value in find(config, shared).items())


@pytest.mark.parametrize("name", ["", ".training", ".training.previous"])
def test_a_folder_is_refused_before_training(name: str, config: Config, shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    path = path_of(config, shared)
    blocked = path.with_suffix(f"{name}.safetensors")
    (blocked / "inside").mkdir(parents=True)
    monkeypatch.setattr(pi_ref.PiRefLoop, "train", lambda *arguments: pytest.fail("was trained"))
    with pytest.raises(DataError, match=rf"{blocked}: is a folder; expected a file in its place; remove it"):
        find(config, shared)
    assert (blocked / "inside").is_dir()


def test_nothing_is_written_through_a_link_in_the_place_of_the_folder(config: Config, shared: Shared, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    Path(config.results_dir).mkdir(exist_ok=True)
    (Path(config.results_dir) / ".pi_ref").symlink_to(elsewhere)
    with pytest.raises(DataError, match=r"\.pi_ref: is a link; expected a file or folder in its place"):
        find(config, shared)
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("forge", ["without a key", "another shape", "another type"])
def test_a_policy_of_another_kind_is_trained_again(
    forge: str, training: bool, config: Config, shared: Shared, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file with a valid digest whose tensors are not those of the policy, or of its training."""
    path = path_of(config, shared)
    trained = find(config, shared)
    tensors, about = (dict(trained), {}) if not training else (dict(trained), {"update": "5"})
    name = next(iter(tensors))
    if forge == "without a key":
        del tensors[name]
    else:
        tensors[name] = tensors[name][:1] if forge == "another shape" else tensors[name].double()
    if training:
        path.unlink()
    (path.with_suffix(".training.safetensors") if training else path).write_bytes(pack(tensors, about))
    capsys.readouterr()
    again = find(config, shared)
    assert set(again) == set(trained)
    assert all(torch.equal(value, trained[k]) for k, value in again.items())
    assert training or "pi_ref is trained again" in capsys.readouterr().err
