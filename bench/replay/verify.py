"""Check that a run reproduces: its policies play the final episodes again, from the same starts, and the returns are compared.

On the same versions and kind of device the returns are equal to the last digits. On others they differ by rounding, which chaotic physics
magnifies: then the mean of every seed must agree within the noise of its episodes.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from bench.errors import RunError
from bench.numbers import decimals
from bench.replay.load import LoadedRun, load_run
from bench.results.episodes import failures_as_random, read_episodes
from bench.storage.layout import Row
from bench.storage.rundir import config_hash
from bench.training.device import arithmetic, cores, device_of
from bench.training.evaluate import evaluate
from bench.training.shared import Shared
from envs.data.references import Reference
from envs.evaluation.rollout import Evaluator

ERRORS = 4.0  # standard errors of a difference of two means that count as noise; one seed in 16,000 exceeds it by chance


class Verdict(NamedTuple):
    """A verdict: `reproduces`, and a message in one line that says how closely."""

    reproduces: bool
    message: str


def verify(folder: Path, workers: int | None = None, download: bool = False) -> Verdict:
    """Play the final episodes of the run in `folder` again, with `workers` processes (default: one per core).

    download: data sets that are not on this machine may be downloaded; the run names them, and may be a stranger's.

    Raises RunError for a run that cannot be played, or whose files or data do not belong together.
    """
    run = load_run(folder)
    env_spec = run.env_spec
    check_identity(run, download)
    record, seeds = run.record, run.config.seeds
    algo = run.population(device=device_of("cpu" if record["device"] == "cpu" else "auto"))
    with Evaluator(env_spec, workers or cores()) as environments:
        rows = evaluate(algo, run.environment, environments, record["updates"], record["final_episodes"], lambda: None)
    before, again = (_final_returns(folder, record, seeds, e) for e in (read_episodes(folder, record), pd.DataFrame(rows)))
    return compare(folder, before, again, run.environment.reference)


def check_identity(run: LoadedRun, download: bool = False) -> None:
    """Raise RunError unless run.json, config.yaml and the data, those of pi_ref included, belong together."""
    folder, config, record = run.folder, run.config, run.record
    with Shared(download=download) as shared:
        other, digest = shared.pi_ref_data(config), shared.run_data(config).trajectories.digest
    if record["dataset_digest"] != digest:
        digests = f"digest {record['dataset_digest'][:12]}, here {digest[:12]}"
        raise RunError(f"{folder}: the run was trained on other data under the name {config.dataset} ({digests})")
    kind = arithmetic("cpu" if record["device"] == "cpu" else "cuda", record["precision"])
    own = config_hash(config, digest, kind, None if other is None else other.trajectories.digest)
    if own != record["config_hash"]:
        raise RunError(f"{folder}: config.yaml has hash {own}, run.json has {record['config_hash']}; the files are of two runs")


def _final_returns(folder: Path, record: Row, seeds: list[int], episodes: pd.DataFrame) -> np.ndarray:
    """Returns [seeds, episodes] after the last update, failed episodes counted as tables count them."""
    rows = failures_as_random(record, episodes)
    last = rows[rows["update"] == record["updates"]].sort_values(["seed", "episode"]).set_index("seed")["return"]
    if missing := [s for s in seeds if s not in last.index]:
        raise RunError(f"{folder}/episodes.csv: seed {missing[0]} has no final episode; a run with missing seeds cannot be verified")
    return np.array([last.loc[[s]].to_numpy() for s in seeds])


def compare(folder: Path, before: np.ndarray, again: np.ndarray, reference: Reference | None) -> Verdict:
    """The verdict on two sets of returns [seeds, episodes] of the same policies from the same starts."""
    values = f"recorded {_spell(before, reference)}, played again {_spell(again, reference)}"
    same = np.isclose(before, again, rtol=1e-6, atol=1e-6, equal_nan=True)
    if same.all():
        return Verdict(True, f"{folder}: reproduces exactly, all {same.size} episodes equal; {values}")
    seeds, episodes = before.shape
    error = np.sqrt((before.var(1, ddof=1) + again.var(1, ddof=1)) / episodes) if episodes > 1 else np.full(seeds, np.inf)
    off = int((np.abs(before.mean(1) - again.mean(1)) > ERRORS * error).sum())
    if off:
        return Verdict(False, f"{folder}: does not reproduce, {off} of {seeds} seeds differ by over {ERRORS:g} standard errors; {values}")
    return Verdict(True, f"{folder}: reproduces within the noise of its episodes, {same.mean():.0%} of them equal; {values}")


def _spell(returns: np.ndarray, reference: Reference | None) -> str:
    value = f"return {returns.mean():.{max(2, decimals(returns.mean()))}f}"
    return value if reference is None else f"score {float(reference.score(returns.mean())):.2f} ({value})"
