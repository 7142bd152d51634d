"""Runs in another environment than the data set's own (env=ID, eval.max_episode_steps), and in none (env=none)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from safetensors.torch import load_file

import bench
from algos.base import MethodConfig
from algos.errors import ConfigError
from algos.methods.rlpd import RLPDConfig
from algos.methods.td3_bc import TD3BCConfig
from algos.methods.weighted_bc import Curation
from bench.config.schema import Config
from bench.errors import RunError
from bench.replay.evaluate import evaluate
from bench.replay.load import load_run
from bench.replay.verify import verify
from bench.report.suite import rebuild
from bench.results.pooling import pooled
from bench.results.runs import suite_runs
from bench.storage.rundir import read_csv
from bench.training.run import train_run
from bench.training.run_loop import RunLoop
from bench.training.run_progress import RunInProgress
from bench.training.shared import Shared
from envs.errors import DataError
from tests.helpers.episodes import PENDULUM, random_episodes, write_minari

pytestmark = pytest.mark.usefixtures("fresh_data")


@pytest.fixture
def config(config: Config) -> Config:
    """The tiny run, with numbers as config.yaml gives them back."""
    return replace(config, algo=replace(config.algo, curation=Curation([50.0, 75.0])))


def tables(config: Config) -> str:
    return rebuild(Path(config.results_dir) / config.suite, page=False)


def test_a_run_without_environment_saves_policies_and_curves_and_no_episode(config: Config, shared: Shared) -> None:
    played, without = train_run(config, shared), train_run(replace(config, env="none"), shared)
    assert played.hash != without.hash
    assert read_csv(without.path / "episodes.csv") == []
    curve = read_csv(without.path / "curve.csv")
    assert [(r["update"], r["seed"]) for r in curve] == [(u, s) for u in ("15", "30", "40") for s in ("3", "1")]
    assert "return_mean" not in curve[0]
    own, other = (load_file(f.path / "policy.safetensors") for f in (played, without))
    assert all((own[name] == other[name]).all() for name in own)  # evaluation does not touch training
    assert [r["loss"] for r in curve] == [r["loss"] for r in read_csv(played.path / "curve.csv")]


@pytest.mark.parametrize("method", [TD3BCConfig, RLPDConfig])
def test_a_method_whose_policy_follows_later_says_the_loss_of_its_critic(
    method: type[MethodConfig], config: Config, shared: Shared, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its updates have no loss of the policy: the mean loss of a run without an environment is the critic's."""
    train_run(replace(config, algo=method(updates=20, batch_size=8, hidden=[8]), env="none"), shared)
    assert re.search(r"update 20/20, critic loss \d", capsys.readouterr().err)


def test_a_run_without_loss_of_a_policy_is_resumed(
    config: Config, shared: Shared, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = replace(config, algo=TD3BCConfig(updates=30, batch_size=8, hidden=[8]), env="none")
    whole = train_run(replace(config, results_dir=config.results_dir + "-whole"), shared)
    save = RunLoop.save

    def interrupted(loop: RunLoop) -> None:
        save(loop)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunLoop, "save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train_run(config, shared)
    resumed = train_run(config, shared)
    assert "resumed after update 15" in capsys.readouterr().err
    assert read_csv(resumed.path / "curve.csv") == read_csv(whole.path / "curve.csv")


def test_tables_leaderboard_and_page_of_runs_without_environment(config: Config, shared: Shared) -> None:
    """Alone, and beside a run that was played."""
    suite = Path(config.results_dir) / config.suite
    run = train_run(replace(config, env="none"), shared)
    assert f"| {PENDULUM} without environment | - (not played) |" in tables(config)
    board = bench.read_results(suite)
    assert board[["dataset", "selection", "eval_episodes", "evaluations"]].to_numpy().tolist() == [
        [f"{PENDULUM} without environment", "last", 0, 0]
    ]
    assert board[["score_mean", "return_mean"]].isna().all(axis=None)
    assert len(bench.read_episodes(suite)) == 0
    train_run(config, shared)
    text = rebuild(suite)
    assert f"| {PENDULUM} |" in text
    assert "not played" in (suite / "report.html").read_text()
    assert bench.load_run(run.path).scores["return"].isna().all()
    rows = pd.read_csv(suite / "leaderboard.csv")
    assert sorted(rows[rows["eval_episodes"] > 0]["selection"]) == ["best", "last", "mean_last_3"]


def test_seeds_in_portions_without_environment_are_one_row(config: Config, shared: Shared) -> None:
    without = replace(config, env="none", algo=replace(config.algo, updates=15))
    for seeds in ([3, 1], [2]):
        train_run(replace(without, seeds=seeds), shared)
    ((record, episodes),) = pooled(suite_runs(Path(config.results_dir) / config.suite))
    assert (record["seeds"], len(episodes)) == ([1, 2, 3], 0)


def test_what_cannot_be_played_says_so(config: Config, shared: Shared) -> None:
    folder = train_run(replace(config, env="none"), shared).path
    for replay in (lambda: evaluate(folder, ["episodes=2"]), lambda: load_run(folder).make_env()):
        with pytest.raises(RunError, match=r"cannot say .*trained without an environment \(env=none\)"):
            replay()
    verdict = verify(folder)
    assert verdict.code == 2  # what can be checked agrees, but nothing says what the policies are worth
    assert "cannot say how its policies score: trained without an environment (env=none)" in verdict.message
    assert bench.load_policy(folder)([0.1, 0.2, 0.3, 0.4]).shape == (1,)


def test_a_run_without_environment_continues_where_it_was_stopped(config: Config, shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(config, env="none")
    expected = load_file(train_run(replace(config, results_dir=f"{config.results_dir}/whole"), shared).path / "policy.safetensors")

    def stop(self: Any, update: int, *_: Any) -> None:
        save(self, update, *_)
        if update == 30:
            raise KeyboardInterrupt

    save = RunInProgress.save
    monkeypatch.setattr(RunInProgress, "save", stop)
    with pytest.raises(KeyboardInterrupt):
        train_run(config, shared)
    monkeypatch.setattr(RunInProgress, "save", save)
    folder = train_run(config, shared)
    assert all((expected[k] == v).all() for k, v in load_file(folder.path / "policy.safetensors").items())
    assert len(read_csv(folder.path / "curve.csv")) == 6


def test_another_limit_of_steps_is_kept_and_its_row_is_its_own(config: Config, shared: Shared) -> None:
    short = replace(config, eval=replace(config.eval, max_episode_steps=2))
    folders = [train_run(c, shared) for c in (config, short)]
    lengths = [{int(r["length"]) for r in read_csv(f.path / "episodes.csv")} for f in folders]
    assert max(lengths[0]) > 2
    assert lengths[1] == {2}
    text = tables(config)
    assert re.search(rf"\| {PENDULUM} \(2 steps\) \(raw return\) \| \*\*2\.0+\*\* ", text)
    assert f"{PENDULUM} (2 steps): the data set's own environment is InvertedPendulum-v5 (1000 steps); its reference scores do not" in text
    assert verify(folders[1].path).reproduces


def test_another_environment_is_in_the_row_and_the_record(config: Config, shared: Shared) -> None:
    folder = train_run(replace(config, env="InvertedPendulum-v4"), shared)
    record = json.loads((folder.path / "run.json").read_text())
    assert record["dataset"] == f"{PENDULUM} in InvertedPendulum-v4"
    assert json.loads(record["environment"]["spec"])["id"] == "InvertedPendulum-v4"
    assert record["reference"] is None
    assert verify(folder.path).reproduces


def test_pi_ref_of_other_data_is_scaled_by_the_same_environment(config: Config, shared: Shared, pendulum_data: Callable) -> None:
    write_minari("test/plain-v0", random_episodes(20, obs=4, act=1), None)
    config = replace(config, env="InvertedPendulum-v4", pi_ref=replace(config.pi_ref, dataset="test/plain-v0"))
    assert train_run(config, shared).finished


def test_data_without_environment_names_both_remedies(config: Config, shared: Shared) -> None:
    write_minari("test/plain-v0", random_episodes(20, obs=4, act=1), None)
    plain = replace(config, dataset="test/plain-v0")
    with pytest.raises(DataError, match=r"names none to play policies in; add env=ID .* or env=none to train without"):
        train_run(plain, shared)
    assert train_run(replace(plain, env="none"), shared).finished
    run = train_run(replace(plain, env="InvertedPendulum-v5"), shared)
    assert json.loads((run.path / "run.json").read_text())["dataset"] == "test/plain-v0 in InvertedPendulum-v5"


def test_wrong_values_are_refused(config: Config) -> None:
    for key, value in (("env", "Hopper v5"), ("env", "")):
        with pytest.raises(ConfigError, match=r"env = .*expected an environment's id such as Hopper-v5, none, or null"):
            replace(config, **{key: value}).check()
    with pytest.raises(ConfigError, match=r"eval.max_episode_steps = 0: expected a positive number"):
        replace(config, eval=replace(config.eval, max_episode_steps=0)).check()
