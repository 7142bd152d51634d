"""Sampled actions: noise by episode and step alone, from the policy to the rows, tables and verification of a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from algos.registry import build
from bench import cli
from bench.config.compose import compose
from bench.config.schema import Config, EvalConfig
from bench.errors import ConfigError
from bench.replay.evaluate import evaluate
from bench.report.compare import compare
from bench.report.suite import rebuild
from bench.results.episodes import selections
from bench.results.leaderboard import read_board
from bench.results.merging import merge
from bench.results.pooling import by_actions
from bench.results.runs import open_run
from bench.storage.hashes import config_hash
from bench.storage.layout import Row
from bench.storage.rundir import RunDir, read_csv
from bench.training import evaluate as evaluation
from bench.training.evaluate import play
from bench.training.run import train_run, train_runs
from bench.training.shared import Shared
from envs.evaluation.rollout import Evaluator
from envs.readers.load import load
from tests.helpers.episodes import PENDULUM
from tests.helpers.learners import LEARNERS, SMALL, configured, episodes_of

pytestmark = pytest.mark.usefixtures("fresh_data")


def with_actions(config: Config, actions: str, **changes: Any) -> Config:
    return replace(config, eval=replace(config.eval, actions=actions), **changes)


def composed(results: Path, *overrides: str) -> Config:
    """A tiny run on PENDULUM, configured as on the command line."""
    small = ("algo.hidden=[8]", "algo.batch_size=16", "pi_ref.updates=20", "eval.every=15", "eval.episodes=2", "eval.final_episodes=5")
    return compose((*small, *overrides, "seeds=[3,1]", "eval.workers=1", "device=cpu", f"dataset={PENDULUM}", f"results_dir={results}"))


def rows(folder: RunDir) -> list[Row]:
    return read_csv(folder.path / "episodes.csv")


def final(folder: RunDir, sampled: str) -> list[Row]:
    return [{k: v for k, v in r.items() if k != "sampled"} for r in rows(folder) if r["update"] == "40" and r["sampled"] == sampled]


def test_every_way_of_playing_has_its_rows(config: Config, shared: Shared) -> None:
    """both: mean actions as alone, then the last evaluation once more as sampled alone."""
    mean, sampled, both = (train_run(with_actions(config, actions), shared) for actions in ("mean", "sampled", "both"))
    assert "sampled" not in rows(mean)[0]
    assert {r["sampled"] for r in rows(sampled)} == {"1"}
    assert [(r["update"], r["sampled"]) for r in rows(both)] == [("15", "0")] * 4 + [("30", "0")] * 4 + [("40", "0")] * 10 + [
        ("40", "1")
    ] * 10
    assert [{k: v for k, v in r.items() if k != "sampled"} for r in rows(both) if r["sampled"] == "0"] == rows(mean)
    assert final(both, "1") == final(sampled, "1") != final(both, "0")
    assert len({json.loads((f.path / "run.json").read_text())["config_hash"] for f in (mean, sampled, both)}) == 3
    record, episodes = open_run(both.path)
    assert selections(record, episodes)["last"].equals(selections(*open_run(mean.path))["last"])
    parts = by_actions((record, episodes))
    assert [(r["actions"], *selections(r, e)) for r, e in parts] == [("mean", "last", "best", "mean_last_3"), ("sampled", "last")]


def test_the_hash_of_a_run_with_mean_actions_has_no_word_of_actions(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    before = config_hash(config, "data", "cpu")
    monkeypatch.setattr("bench.storage.hashes._evaluation", lambda c: {"every": 15, "episodes": 2, "final_episodes": 5})
    assert config_hash(config, "data", "cpu") == before


def test_a_member_alone_equals_a_member_of_a_population(config: Config, shared: Shared, tmp_path: Path) -> None:
    together = train_run(with_actions(config, "sampled"), shared)
    alone = train_run(with_actions(config, "sampled", seeds=[1], results_dir=str(tmp_path / "alone")), shared)
    own = [r for r in rows(together) if r["seed"] == "1"]
    assert [r["length"] for r in rows(alone)] == [r["length"] for r in own]
    np.testing.assert_allclose([float(r["return"]) for r in rows(alone)], [float(r["return"]) for r in own], rtol=1e-5)


def test_noise_does_not_depend_on_the_number_of_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    data = load(PENDULUM)

    class Noise:
        """A policy that acts by noise alone."""

        seeds, members, device, noise_width, writes = (5, 5), 2, torch.device("cpu"), 1, False

        def act_sampled(self, observations: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
            return (2 * uniform - 1).float()

        def policy(self) -> dict[str, torch.Tensor]:
            return {"none": torch.zeros(2, 1)}

    found = []
    for environments, workers in ((64, 1), (2, 2)):
        monkeypatch.setattr(evaluation, "ENVIRONMENTS", environments)
        with Evaluator(data.env_spec, workers) as processes:
            found.append(play(Noise(), data, processes, 100, 5, sampled=True))  # type: ignore[arg-type]
    for other in found[1:]:
        np.testing.assert_array_equal(other.returns, found[0].returns)
    np.testing.assert_array_equal(found[0].returns[0], found[0].returns[1])  # members with equal seeds
    assert len(set(found[0].lengths[0])) > 1


def test_an_interrupted_run_continues_with_the_same_noise(config: Config, shared: Shared, tmp_path: Path) -> None:
    whole = train_run(with_actions(config, "both"), shared)
    again = with_actions(config, "both", results_dir=str(tmp_path / "again"))

    class StopError(Exception): ...

    def stop_after(calls: int) -> Callable[..., Any]:
        left = [calls]

        def limited(*args: Any, **kwargs: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise StopError
            return play(*args, **kwargs)

        return limited

    for calls in (1, 2):  # the second time between the two last evaluations
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("bench.training.run_loop.play", stop_after(calls))
            with pytest.raises(StopError):
                train_runs([again], shared)
        shared.close_evaluator()
    assert rows(train_run(again, shared)) == rows(whole)


@pytest.mark.parametrize("actions", ["sampled", "both"])
def test_a_run_is_verified_evaluated_and_shown(shared: Shared, tmp_path: Path, actions: str, capfd: Any) -> None:
    folder = train_run(composed(tmp_path, "algo=iw_sft", "algo.updates=40", f"eval.actions={actions}"), shared)
    assert cli.run(["verify", str(folder.path), "--workers", "1"]) == 0
    shown = capfd.readouterr().out
    assert "last, sampled actions: all 10 episodes" in shown
    assert ("last: all 10 episodes" in shown) == (actions == "both")
    swept = evaluate(folder.path, [], workers=1)
    assert [line.split("|")[1].strip() for line in swept.splitlines()[2:]] == (["mean"] if actions == "both" else []) + ["sampled"]
    assert read_csv(folder.path / "evaluation.csv") == [r for r in rows(folder) if r["update"] == "40"]
    suite = folder.path.parents[1]
    text = rebuild(suite, page=actions == "both")
    assert ("mean action" in text, "sampled actions" in text) == (actions == "both", True)
    board = read_board(suite / "leaderboard.csv")
    last = board[board["selection"] == "last"]
    assert sorted(last["actions"]) == (["mean", "sampled"] if actions == "both" else ["sampled"])
    assert len(board) == (4 if actions == "both" else 3)
    assert len(merge([suite / "leaderboard.csv"])) == len(board)
    if actions == "both":
        assert "mean action and sampled actions" in (suite / "report.html").read_text()
    compared = compare(folder.path, folder.path)
    assert ("# Sampled actions" in compared, compared.count("equal")) == (True, 2 if actions == "both" else 1)


def test_a_forged_return_of_sampled_actions_is_found(config: Config, shared: Shared, capfd: Any) -> None:
    folder = train_run(with_actions(config, "both"), shared).path
    text = (folder / "episodes.csv").read_text().splitlines()
    update, seed, episode, value, *rest = text[-1].split(",")
    (folder / "episodes.csv").write_text("\n".join([*text[:-1], ",".join([update, seed, episode, f"{float(value) + 1}", *rest]), ""]))
    assert cli.run(["verify", str(folder), "--workers", "1"]) == 1
    assert "last, sampled actions: 1 of 10 episodes" in capfd.readouterr().out


def test_runs_of_mean_and_of_sampled_actions_are_two_protocols(config: Config, shared: Shared, tmp_path: Path) -> None:
    for actions in ("mean", "sampled"):
        train_run(with_actions(config, actions), shared)
    with pytest.raises(Exception, match=r"actions differ, mean .* and sampled"):
        rebuild(tmp_path / "results" / "single", page=False)


def test_a_deterministic_policy_plays_its_mean_and_says_so(shared: Shared, tmp_path: Path) -> None:
    folder = train_run(composed(tmp_path, "algo=td3_bc", "algo.updates=20", "eval.every=20", "eval.actions=both"), shared)
    mean, sampled = ([{**r, "sampled": ""} for r in rows(folder) if r["sampled"] == kind] for kind in "01")
    assert mean == sampled
    assert "Deterministic, so that their mean was played: td3_bc." in rebuild(tmp_path / "single", page=False)


def test_an_unknown_kind_of_actions_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"eval.actions = random: expected mean, sampled or both"):
        EvalConfig(actions="random").check()


@pytest.mark.parametrize("name", LEARNERS)
def test_every_method_draws_by_its_own_law(name: str) -> None:
    """The same numbers give the same actions; other numbers others, unless the policy is deterministic; all finite."""
    data = episodes_of(1)
    algo = build(configured(name, *SMALL), data, [0, 1])
    observations = data.observations[:6].expand(2, -1, -1)
    width = algo.noise_width
    assert (width == 0) == (name in ("td3_bc", "rebrac"))
    one, two = (torch.as_tensor(np.random.default_rng(k).uniform(size=(2, 6, width))) for k in (1, 2))
    first = algo.act_sampled(observations, one)
    assert first.isfinite().all()
    assert first.shape == algo.act(observations).shape
    assert torch.equal(first, algo.act_sampled(observations, one))
    assert torch.equal(first, algo.act_sampled(observations, two)) == (width == 0)
