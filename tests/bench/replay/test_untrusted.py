"""A run of unknown origin that is played again: nothing is downloaded, and no network of any size is built, unless its files hold it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from bench.errors import DataError, RunError
from bench.replay import film
from bench.replay.load import load_run
from bench.replay.verify import verify
from bench.storage.hashes import hashes_again
from bench.storage.tensors import pack, unpack
from envs.readers import d4rl, obtain


def forged(run: Path, to: Path, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> Path:
    """A copy of `run` in `to` whose config.yaml and run.json were edited by `change`; its hashes agree where they can be computed."""
    for name in ("episodes.csv", "policy.safetensors"):
        (to / name).write_bytes((run / name).read_bytes())
    config, record = yaml.safe_load((run / "config.yaml").read_text()), json.loads((run / "run.json").read_text())
    del record["manifest"]
    change(config, record)
    with suppress(Exception):
        record |= {key: value for key, value in hashes_again(config, record).items() if key.endswith("_hash")}
    (to / "config.yaml").write_text(json.dumps(config))
    (to / "run.json").write_text(json.dumps(record))
    return to


@pytest.mark.parametrize(
    "dataset", ["hf://stranger/some/data-v0", "some/data-v0", "d4rl/hopper-medium-v2", "iwsft/hopper/medium-v0", "iwsft/fork-v0@top:5%"]
)
def test_nothing_is_downloaded_or_recorded_unless_asked(
    dataset: str, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def ask(*arguments: Any) -> None:
        asked.append(arguments)
        raise DataError("no network")

    monkeypatch.setattr(obtain, "_download", ask)
    monkeypatch.setattr(obtain, "record", ask)
    monkeypatch.setattr(d4rl, "fetch", ask)
    monkeypatch.setenv("D4RL_DATASET_DIR", str(tmp_path / "d4rl"))

    def change(config: dict[str, Any], record: dict[str, Any]) -> None:
        config["dataset"] = record["dataset"] = dataset

    run = forged(finished, tmp_path, change)
    assert "--allow-download" in verify(run, workers=1).message
    assert not asked
    assert "no network" in verify(run, workers=1, download=True).message
    assert asked


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda config, record: config["algo"].update(hidden=[30_000, 30_000]), "ask for at least"),
        (lambda config, record: config["algo"].update(hidden=[3_000_000, 3_000_000]), r"algo\.hidden: expected at most"),
        (lambda config, record: record["environment"].update(observation_width=900_000), "ask for at least"),
        (lambda config, record: record["environment"].update(observation_width=10**9), "observation_width = 1000000000: expected"),
        (lambda config, record: config["eval"].update(final_episodes=10**11), r"eval\.final_episodes = 100000000000: expected"),
        (lambda config, record: record["environment"].update(spec='{"id": 3}'), "spec is no environment's specification"),
        (lambda config, record: record["environment"].update(action_low=[1e60]), "action_low = a list of 1: expected"),
        (lambda config, record: record["environment"].update(action_dtype="O"), "action_dtype = 'O': expected"),
    ],
)
def test_sizes_are_checked_before_anything_is_built(change: Any, match: str, finished: Path, tmp_path: Path) -> None:
    run, started = forged(finished, tmp_path, change), time.monotonic()
    with pytest.raises(RunError, match=match):
        load_run(run)
    assert time.monotonic() - started < 10


POLICIES: dict[str, Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]] = {
    "one number each": lambda policy: {name: value.sum() for name, value in policy.items()} | {"more": torch.zeros(2, 10_000)},
    "one seed": lambda policy: {name: value[:1] for name, value in policy.items()} | {"more": torch.zeros(2, 10_000)},
    "no seed": lambda policy: {name: value[:0] for name, value in policy.items()} | {"more": torch.zeros(2, 10_000)},
    "whole numbers": lambda policy: {name: value.to(torch.uint16) for name, value in policy.items()},
    "complex numbers": lambda policy: {name: value.to(torch.complex64) for name, value in policy.items()},
}


@pytest.mark.parametrize("name", POLICIES)
def test_policies_of_another_shape_or_type_are_one_line(name: str, finished: Path, tmp_path: Path) -> None:
    """Their digests agree: somebody made the file."""
    run = forged(finished, tmp_path, lambda config, record: None)
    path = run / "policy.safetensors"
    path.write_bytes(pack(POLICIES[name](unpack(path)[0])))
    expected = r"policy.safetensors: .* is torch\.\w+ of shape .*, config.yaml asks for torch.float32, 2 seeds first"
    with pytest.raises(RunError, match=expected):
        load_run(run).population()


class Endless:
    """An environment without end."""

    observation_space = property(lambda self: __import__("gymnasium").spaces.Box(-1, 1, (3,)))
    metadata: dict[str, Any] = {}  # noqa: RUF012
    spec = SimpleNamespace(max_episode_steps=None)
    unwrapped = None

    def reset(self, seed: int) -> tuple[np.ndarray, dict[str, Any]]:
        return np.zeros(3, np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return np.zeros(3, np.float32), 0.0, False, False, {}

    def render(self) -> np.ndarray:
        return np.zeros((4, 4, 3), np.uint8)

    def close(self) -> None: ...


def played(environment: Endless, width: int = 3) -> None:
    """Film a run in `environment` whose policies take observations of `width` numbers."""
    algo = SimpleNamespace(members=1, act=lambda flat: torch.zeros(*flat.shape[:2], 1))
    run: Any = SimpleNamespace(
        folder="there", member=lambda seed: 0, population=lambda: algo, make_env=lambda **_: environment,
        record={"final_episodes": 1, "updates": 1},
        environment=SimpleNamespace(to_env=lambda action: action, observation_width=width),
    )  # fmt: skip
    film.play(run, 0, 0)


@pytest.mark.parametrize(("name", "value"), [("SECONDS", 0.0), ("MOST_FRAMES", 3)])
def test_a_film_has_an_end(name: str, value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(film, name, value)
    with pytest.raises(RunError, match="the film of episode 0 of seed 0 has no end"):
        played(Endless())


@pytest.mark.parametrize("name", ["reset", "step"])
def test_an_environment_that_fails_in_a_film_is_one_line(name: str) -> None:
    environment: Any = Endless()
    setattr(environment, name, lambda *_, **__: 1 / 0)
    with pytest.raises(DataError, match="an environment failed: ZeroDivisionError: division by zero"):
        played(environment)


def test_a_film_of_another_environment_is_refused() -> None:
    with pytest.raises(RunError, match="there: an observation of the environment has 3 numbers; its policies take 11"):
        played(Endless(), width=11)


def test_enormous_pictures_are_refused() -> None:
    with pytest.raises(RunError, match="a frame has 5000 x 2 pixels"):
        film.render(SimpleNamespace(render=lambda: np.zeros((2, 5000, 3), np.uint8)))
