"""`python -m bench select` on tiny runs: its estimates, the files that it writes, and mistakes in one line."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import bench
from algos.batches.curation import Curation
from algos.estimators.fitted_q import FittedQConfig
from algos.estimators.likelihood import curated_likelihood
from algos.estimators.per_decision import per_decision
from algos.estimators.policies import log_densities
from algos.estimators.ratios import log_weights, normalised_weights
from bench import cli
from bench.config.estimates import ESTIMATES
from bench.errors import ConfigError, DataError, RunError
from bench.replay.load import load_run
from bench.selection.candidates import candidates
from bench.selection.logged import logged
from bench.selection.options import Options
from bench.selection.select import Selected, select
from envs.readers.densities import log_densities as stated
from envs.readers.load import load
from tests.helpers.episodes import PENDULUM

OPTIONS = Options(fqe=FittedQConfig(updates=20, batch_size=16, hidden=[8]), samples=2)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def selected(results: Path) -> Selected:
    return select([results / "mine"], OPTIONS)


@pytest.fixture
def iql(results: Path) -> Path:
    (folder,) = (results / "mine" / "runs").glob("*-iql-*")
    return folder


def test_every_policy_has_every_estimate_that_it_can_have(selected: Selected) -> None:
    """Deterministic policies have no density, and so no estimate of a stochastic form."""
    rows = selected.rows
    assert len(rows) == 6 * len(ESTIMATES)
    known = rows.assign(known=rows["estimate"].notna()).groupby(["estimator", "algo"])["known"].agg(["all", "any"])
    assert (known["all"] == known["any"]).all()
    missing = {key for key, found in known["all"].items() if not found}
    assert missing == {(name, "td3_bc") for name, needs in ESTIMATES.items() if needs.stochastic}
    assert set(rows[rows["policy"] == "mean action"]["estimator"]) == {"fqe", "td_error"}
    assert rows["effective_episodes"].notna().sum() == 4 * sum(needs.behaviour for needs in ESTIMATES.values())


def test_estimates_are_those_of_the_stored_policies(iql: Path, selected: Selected) -> None:
    """Importance sampling and likelihood, from the policies' densities and the data's own."""
    data = load("iwsft/fork-v0").trajectories
    algo = load_run(iql).population()
    density = log_densities([algo], data.observations, data.actions)
    weights = normalised_weights(data, log_weights(data, density - stated("iwsft/fork-v0")))
    own = selected.rows[selected.rows["run"] == iql.name].set_index(["estimator", "seed"])["estimate"]
    np.testing.assert_allclose(own["self_normalised_is"].sort_index(), per_decision(data, weights, 0.99), rtol=1e-5)
    (group,) = candidates([iql], CPU)
    split = logged(group, OPTIONS, CPU)
    density = log_densities([algo], split.held_out.observations, split.held_out.actions)
    np.testing.assert_allclose(own["log_likelihood"].sort_index(), curated_likelihood(split.held_out, density, Curation([90])), rtol=1e-5)


def test_true_returns_are_those_of_the_tables(results: Path, selected: Selected) -> None:
    for folder in (results / "mine" / "runs").iterdir():
        record, episodes = json.loads((folder / "run.json").read_text()), pd.read_csv(folder / "episodes.csv")
        final = episodes[episodes["update"] == record["updates"]].groupby("seed")["return"].mean()
        own = selected.rows[(selected.rows["run"] == folder.name) & (selected.rows["estimator"] == "fqe")].set_index("seed")
        np.testing.assert_allclose(own["true_return"].sort_index(), final)
        low, high = record["reference"]["random"], record["reference"]["expert"]
        np.testing.assert_allclose(own["true_score"].sort_index(), 100 * (final - low) / (high - low))


def test_the_split_is_by_episode_and_seeded(results: Path) -> None:
    (group,) = candidates([results / "mine"], CPU)
    one, again = (logged(group, OPTIONS, CPU) for _ in range(2))
    assert torch.equal(one.held_out_steps, again.held_out_steps)
    other = logged(group, replace(OPTIONS, fqe=replace(OPTIONS.fqe, seed=1)), CPU)
    assert not torch.equal(one.held_out_steps, other.held_out_steps)
    assert torch.equal(one.held_out.rewards, one.whole.rewards[one.held_out_steps])
    assert one.held_out.num_episodes == round(0.2 * one.whole.num_episodes)
    assert one.fit.num_episodes + one.held_out.num_episodes == one.whole.num_episodes
    together = torch.cat([one.fit.returns, one.held_out.returns]).sort().values
    assert torch.equal(together, one.whole.returns.sort().values)


def test_estimates_do_not_depend_on_the_other_policies(
    results: Path, iql: Path, selected: Selected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor on the groups in which they are computed."""
    alone = select([iql], OPTIONS).rows
    monkeypatch.setattr("bench.selection.estimates.AT_ONCE", 1)
    grouped = select([results / "mine"], OPTIONS).rows
    for other in (alone, grouped):
        both = other.merge(selected.rows, on=["estimator", "run", "seed"], suffixes=("", "_all"))
        assert len(both) == len(other)
        np.testing.assert_allclose(both["estimate"], both["estimate_all"], rtol=1e-4, atol=1e-5)


def test_a_fitted_behaviour(results: Path) -> None:
    options = replace(OPTIONS, estimators=("self_normalised_is",))
    fitted, exact = (select([results / "mine"], replace(options, behaviour=name)).rows for name in ("fitted", "stated"))
    assert fitted["estimate"].notna().sum() == 4
    assert not np.allclose(fitted["estimate"].dropna(), exact["estimate"].dropna())


def test_the_files_of_a_suite(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    command = ["select", str(results / "mine"), "--samples", "2", "--updates", "20", "--out", str(out)]
    assert cli.run(command) == 0
    printed = capsys.readouterr().out
    assert sorted(p.name for p in out.iterdir()) == [
        "README.md", "accuracy.csv", "calibration.png", "calibration.svg", "rows.csv", "table.md",
    ]  # fmt: skip
    text = (out / "README.md").read_text()
    assert f"`python -m bench {' '.join(command)}`" in text
    assert "**iwsft/fork-v0**, 6 policies" in text
    board = pd.read_csv(out / "accuracy.csv").set_index("estimator")
    assert list(board.index) == [*ESTIMATES, "at random"]
    assert set(board["unit"]) == {"score"}
    assert (board.loc[[n for n, needs in ESTIMATES.items() if needs.stochastic], "rated"] == 4).all()
    assert "[4 of 6]" in printed


def test_without_true_returns_the_choices_are_listed(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert cli.run(["select", str(results / "apart"), "--updates", "20", "--estimators", "fqe,log_likelihood", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "Highest estimates on iwsft/fork-v0" in printed
    assert "bc, seed " in printed
    assert "No true returns are known" in printed
    assert sorted(p.name for p in out.iterdir()) == ["README.md", "rows.csv", "table.md"]


def test_other_data_of_the_same_task(results: Path) -> None:
    some = select([results / "mine"], replace(OPTIONS, data="iwsft/fork-v0@top:20%", estimators=("fqe",)))
    assert some.rows["estimate"].notna().all()
    with pytest.raises(RunError, match=rf"--data {PENDULUM}: observation width, action width and number of discrete actions are"):
        select([results / "mine"], replace(OPTIONS, data=PENDULUM))


def test_nothing_is_downloaded_unasked(iql: Path) -> None:
    with pytest.raises(DataError, match=r"data set 'mujoco/hopper/medium-v0' is not in .*, or --allow-download"):
        select([iql], replace(OPTIONS, data="mujoco/hopper/medium-v0"))


def test_the_api_returns_the_rows(results: Path, iql: Path) -> None:
    rows = bench.estimate(bench.load_run(iql), ["log_likelihood"])
    again = bench.estimate([results / "mine"], ["log_likelihood"], seed=0)
    own = again[again["run"] == iql.name].reset_index(drop=True)
    pd.testing.assert_frame_equal(rows, own)
    assert rows["estimate"].is_monotonic_decreasing


def test_run_directories_of_different_data_sets(results: Path, iql: Path) -> None:
    (other,) = (results / "other" / "runs").iterdir()
    with pytest.raises(RunError, match=rf"is on iwsft/fork-v0 and .* on {PENDULUM}@first:10.*: name runs of one data set"):
        select([iql, other], OPTIONS)
    both = select([results / "mine", results / "other"], replace(OPTIONS, estimators=("td_error",)))
    assert both.rows["dataset"].nunique() == 2


def test_a_run_without_policies(iql: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = shutil.copytree(iql, tmp_path / "runs" / iql.name)
    (copy / "policy.safetensors").unlink()
    (tmp_path / "empty").mkdir()
    out = str(tmp_path / "out")
    for path, line in (
        (copy, r"policy.safetensors"),
        (tmp_path / "nowhere", "nowhere: no such run or suite"),
        (tmp_path / "empty", "empty: neither a run directory (run.json) nor a suite"),
    ):
        assert cli.run(["select", str(path), "--out", out]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert line in error
        assert error.count("\n") == 1
    assert not Path(out).exists()


def test_data_without_densities(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused before anything is fitted, with both remedies; estimates that need none are computed."""
    monkeypatch.setattr("envs.readers.densities.INFO", "absent")
    line = r"^iwsft/fork-v0: episode 0: states no infos/absent, .*; select --behaviour fitted fits .* --estimators fqe,"
    with pytest.raises(RunError, match=line):
        select([results / "mine"], OPTIONS)
    assert len(select([results / "mine"], replace(OPTIONS, estimators=("fqe", "td_error"))).rows) == 12


def test_other_data_under_the_name(iql: Path) -> None:
    (group,) = candidates([iql], CPU)
    group.record["dataset_digest"] = "0" * 64
    with pytest.raises(RunError, match=r"iwsft/fork-v0: the data on this machine are not those that the runs were trained on"):
        logged(group, OPTIONS, CPU)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"estimators": ("fqe", "luck")}, "--estimators = luck: expected names of fqe"),
        ({"estimators": ()}, "--estimators = nothing: expected names of fqe"),
        ({"behaviour": "guessed"}, "--behaviour = guessed: expected stated or fitted"),
        ({"held_out": 1.0}, "--held-out = 1.0: expected a share of the episodes between 0 and 1"),
        ({"samples": 0}, "--samples = 0: expected a positive number"),
        ({"fqe": FittedQConfig(updates=0)}, "--updates = 0: expected a positive number"),
    ],
)
def test_refused_options(change: dict[str, object], line: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"^{line}"):
        select([tmp_path], replace(OPTIONS, **change))
