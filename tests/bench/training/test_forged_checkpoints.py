"""Checkpoints with a valid digest and other content than training writes are damaged ones: training starts over with a line."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.config.schema import Config
from bench.storage.layout import digest_of
from bench.storage.rundir import RunDir, read_csv
from bench.storage.tensors import pack, unpack
from bench.training import run_loop
from bench.training.population import run_dir
from bench.training.run import train_run
from bench.training.shared import Shared

Tensors, About = dict[str, Tensor], dict[str, str]


def rows(folder: RunDir) -> list[dict[str, Any]]:
    return read_csv(folder.path / "episodes.csv")


def first(tensors: Tensors) -> str:
    """The name of a tensor of the state with several dimensions."""
    return next(name for name, value in tensors.items() if value.ndim > 1 and not name.startswith("metrics/"))


def without_key(tensors: Tensors, about: About) -> None:
    del tensors[first(tensors)]


def further_key(tensors: Tensors, about: About) -> None:
    tensors["more"] = torch.zeros(2)


def other_shape(tensors: Tensors, about: About) -> None:
    tensors[first(tensors)] = tensors[first(tensors)][..., :1]


def other_type(tensors: Tensors, about: About) -> None:
    tensors[first(tensors)] = tensors[first(tensors)].double()


def fewer_members(tensors: Tensors, about: About) -> None:
    tensors[first(tensors)] = tensors[first(tensors)][:1]


def missing_metric(tensors: Tensors, about: About) -> None:
    about["metrics"] = '["loss", "unknown"]'


def metrics_of_another_kind(tensors: Tensors, about: About) -> None:
    about["metrics"] = "{"


def no_time(tensors: Tensors, about: About) -> None:
    del about["wall_time_s"]


def seconds_that_are_none(tensors: Tensors, about: About) -> None:
    about["seconds"] = '{"saving": "x"}'


def beyond_the_end(tensors: Tensors, about: About) -> None:
    about["update"] = "1000"


FORGERIES: list[Callable[[Tensors, About], None]] = [
    without_key, further_key, other_shape, other_type, fewer_members, missing_metric, metrics_of_another_kind, no_time,
    seconds_that_are_none, beyond_the_end,
]  # fmt: skip


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The results folder of an interrupted run, and the rows of the whole one; filled by the first test."""
    return {"root": tmp_path_factory.mktemp("interrupted")}


@pytest.fixture
def interrupted(
    places: dict[str, Any], fresh_data: None, config: Config, shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> tuple[Config, Any]:
    """The configuration of a run that was interrupted after its first save, and the rows of the undisturbed run."""
    config.algo.updates = 20
    if "rows" not in places:
        places["rows"] = rows(train_run(replace(config, results_dir=str(places["root"] / "whole")), shared))
        with monkeypatch.context() as patch:
            patch.setattr(run_loop.RunLoop, "save", stop_after(run_loop.RunLoop.save))
            with pytest.raises(KeyboardInterrupt):
                train_run(replace(config, results_dir=str(places["root"] / "half")), shared)
    shutil.copytree(places["root"] / "half", config.results_dir)
    return config, places["rows"]


def stop_after(save: Callable[[Any], None]) -> Callable[[Any], None]:
    def saved(self: Any) -> None:
        save(self)
        raise KeyboardInterrupt

    return saved


def forge(path: Path, change: Callable[[Tensors, About], None]) -> None:
    """Change a file's content and write it with a valid digest."""
    tensors, about = unpack(path)
    change(tensors, about)
    path.write_bytes(pack(tensors, about))


@pytest.mark.parametrize("change", FORGERIES)
def test_a_forged_checkpoint_is_one_line_and_training_starts_over(
    change: Callable[[Tensors, About], None], interrupted: tuple[Config, Any], shared: Shared, capsys: pytest.CaptureFixture[str]
) -> None:
    config, whole = interrupted
    folder: RunDir = run_dir(config, shared)
    forge(folder.checkpoints.newest, change)
    capsys.readouterr()
    assert rows(train_run(config, shared)) == whole
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "damaged" in line]
    assert line.endswith("; starting over")


def test_rows_that_lack_a_column_are_damaged(interrupted: tuple[Config, Any], shared: Shared, capsys: pytest.CaptureFixture[str]) -> None:
    """Under a checkpoint with their digest."""
    config, whole = interrupted
    folder: RunDir = run_dir(config, shared)
    path = folder.path / "curve.csv"
    path.write_text("update,seed\n15,3\n15,1\n")

    def change(tensors: Tensors, about: About) -> None:
        about["curve"] = digest_of(path.read_text())

    forge(folder.checkpoints.newest, change)
    capsys.readouterr()
    assert rows(train_run(config, shared)) == whole
    assert "curve.csv is damaged" in capsys.readouterr().err
