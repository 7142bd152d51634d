"""Does a row reproduce? A run's checkpoint is loaded and its final episodes are played again, from the seeds that they had.

On the same versions and kind of device the returns are the same to the last digits. On another they differ by rounding, which chaotic
physics magnifies: then seeds' means must agree within the noise of their episodes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open

from algos.base import Algo
from algos.registry import ALGOS
from bench.config.saved import load_config
from bench.config.schema import Config
from bench.errors import RunError, first_line
from bench.results.episodes import counted, read_episodes
from bench.storage.rundir import Row, config_hash
from bench.training.device import arithmetic
from bench.training.evaluate import evaluate
from bench.training.shared import data_set, device_of, evaluator, pi_ref_data
from envs.data.logged_data import LoggedData
from envs.data.references import Reference

ERRORS = 4.0  # standard errors of the difference of two means that still count as noise: one seed in 16,000 goes beyond by chance


class Verdict(NamedTuple):
    """Whether the row reproduces, and what was found."""

    reproduces: bool
    words: str


def verify(folder: Path, workers: int | None = None) -> Verdict:
    """Evaluate the run in `folder` again. Raises RunError for what cannot be evaluated; without run.json nothing is compared."""
    config = load_config(folder)
    record = _json(folder / "run.json")
    other = pi_ref_data(config)
    data = data_set(config.dataset)
    if record:
        _check_identity(folder, config, record, data, other)
    algo = load_algo(folder, config, data)
    rows = evaluate(algo, data, evaluator(data.env_spec, workers), algo.updates, config.eval.final_episodes, lambda: None)
    again = _by_seed(rows, algo.seeds)
    value = _spell(again.mean(1), data.reference)
    if not record:
        return Verdict(True, f"{folder}: evaluated, {value}; there is no run.json to compare it with")
    before = _recorded(folder, record, algo.seeds, again.shape[1])
    return _compare(folder, before, again, data.reference)


def _json(path: Path) -> Row:
    try:
        return json.loads(path.read_text()) if path.is_file() else {}
    except ValueError as error:
        raise RunError(f"{path}: is not JSON ({error})") from error


def _check_identity(folder: Path, config: Config, record: Row, data: LoggedData, other: LoggedData | None) -> None:
    """The row, the configuration and the data (and pi_ref's, if those are others) must belong together."""
    digest = data.trajectories.digest
    if record["dataset_digest"] != digest:
        raise RunError(
            f"{folder}: was made of other data under the name {config.dataset} (digest {record['dataset_digest'][:12]}, here {digest[:12]})"
        )
    pi_ref_digest = None if other is None else other.trajectories.digest
    kind = arithmetic("cpu" if record["device"] == "cpu" else "cuda", record["precision"])
    if (own := config_hash(config, digest, kind, pi_ref_digest)) != record["config_hash"]:
        raise RunError(f"{folder}: config.yaml has hash {own}, run.json says {record['config_hash']}: they are not of one run")


def load_algo(folder: Path, config: Config, data: LoggedData) -> Algo:
    """The population with the state of the last save. Raises RunError for a checkpoint of unfinished training, or a damaged one."""
    path = folder / "checkpoint.safetensors"
    if not path.is_file():
        raise RunError(f"{folder}: no checkpoint.safetensors in it; expected a run directory, or a checkpoint beside its config.yaml")
    device = device_of(config.device if config.device == "cpu" else "auto")
    try:
        with safe_open(path, "pt") as f:
            update = int(f.metadata()["update"])
            state = {k: f.get_tensor(k).to(device) for k in f.keys()}  # noqa: SIM118 (it is no mapping)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{path}: cannot be read ({first_line(error)})") from error
    trajectories: Any = data.trajectories.to(device)
    extra: dict[str, Any] = {}
    if getattr(config.algo, "needs_pi_ref", False):
        # Acting needs the state alone; the constructor asks for a reference policy of the right shape, whatever it says.
        from algos.methods.weighted_bc import WeightedBC

        extra["pi_ref"] = WeightedBC(config.algo.reference, trajectories, config.seeds).policy()
    algo = ALGOS[type(config.algo)](config.algo, trajectories, config.seeds, **extra)  # type: ignore[call-arg]
    if update != algo.updates:
        raise RunError(f"{path}: stands at update {update} of {algo.updates}; finish the run first, the same command goes on from there")
    shapes = {k: tuple(v.shape) for k, v in algo.state.items()}
    if (found := {k: tuple(v.shape) for k, v in state.items()}) != shapes:
        name = next(k for k in {**shapes, **found} if shapes.get(k) != found.get(k))
        raise RunError(f"{path}: {name} has shape {found.get(name)}, the configuration asks for {shapes.get(name)}")
    algo.state = state
    return algo


def _by_seed(rows: list[Row], seeds: list[int]) -> np.ndarray:
    """[seeds, episodes] returns."""
    return np.array([[r["return"] for r in rows if r["seed"] == seed] for seed in seeds])


def _recorded(folder: Path, record: Row, seeds: list[int], episodes: int) -> np.ndarray:
    """The final returns that episodes.csv holds, [seeds, episodes]."""
    rows = counted(record, read_episodes(folder, record))
    last = rows[rows["update"] == record["updates"]].sort_values(["seed", "episode"]).set_index("seed")["return"]
    if missing := [s for s in seeds if s not in last.index]:
        raise RunError(f"{folder}/episodes.csv: no final episode of seed {missing[0]}; a run with missing seeds is not verified")
    return np.array([last.loc[[s]].to_numpy()[:episodes] for s in seeds])


def _spell(means: np.ndarray, reference: Reference | None) -> str:
    value = f"return {means.mean():.2f}"
    return value if reference is None else f"score {float(reference.score(means.mean())):.2f} ({value})"


def _compare(folder: Path, before: np.ndarray, again: np.ndarray, reference: Reference | None) -> Verdict:
    """`before` and `again` are [seeds, episodes] returns of the same policies from the same starts."""
    words = f"recorded {_spell(before.mean(1), reference)}, evaluated again {_spell(again.mean(1), reference)}"
    same = np.isclose(before, again, rtol=1e-6, atol=1e-6)
    if same.all():
        return Verdict(True, f"{folder}: reproduces exactly, all {same.size} episodes alike; {words}")
    error = (
        np.sqrt((before.var(1, ddof=1) + again.var(1, ddof=1)) / before.shape[1]) if before.shape[1] > 1 else np.full(len(before), np.inf)
    )
    off = np.abs(before.mean(1) - again.mean(1)) > ERRORS * error
    if off.any():
        return Verdict(
            False, f"{folder}: does not reproduce, {int(off.sum())} of {len(off)} seeds beyond {ERRORS:g} standard errors; {words}"
        )
    return Verdict(True, f"{folder}: reproduces within the noise of its episodes, {same.mean():.0%} of them alike; {words}")
