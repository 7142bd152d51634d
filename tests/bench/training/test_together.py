"""Runs trained as one population leave the files of runs trained alone; they resume, fail and are skipped one by one."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from algos.errors import ConfigError
from algos.methods.weighted_bc import Kind, WeightedBC, Weighting
from bench.config.compose import compose
from bench.config.schema import Config, PiRefConfig, TrainerConfig
from bench.storage.rundir import RunDir, read_csv
from bench.training.grouping import differing_settings, expanded, max_members, population_key, populations, split
from bench.training.population import run_dir
from bench.training.run import train_run, train_runs
from bench.training.shared import Shared
from envs.evaluation.rollout import Evaluator, Moments
from tests.helpers.runs import assert_same_run

pytestmark = pytest.mark.usefixtures("fresh_data")


def points(config: Config) -> list[Config]:
    """Three runs: two temperatures with seeds 3 and 1, and the higher temperature with seed 7."""
    (cold, warm) = expanded(replace(config, population={"temperature": [2, 9]}))
    return [cold, warm, replace(warm, seeds=[7])]


def together(configs: Sequence[Config], shared: Shared) -> list[RunDir]:
    """Train runs as one population."""
    train_runs(configs, shared)
    return [run_dir(c, shared) for c in configs]


def in_folder(configs: Sequence[Config], folder: Path) -> list[Config]:
    return [replace(c, results_dir=str(folder)) for c in configs]


def test_every_run_leaves_the_files_of_a_run_trained_alone(config: Config, tmp_path: Path, shared: Shared) -> None:
    found = together(points(config), shared)
    assert len({f.path for f in found}) == 3
    for folder, own in zip(found, in_folder(points(config), tmp_path / "alone"), strict=True):
        assert_same_run(folder.path, train_run(own, shared).path)
    temperatures = [load_file(f.path / "policy.safetensors")["0.weight"] for f in found]
    assert not torch.allclose(temperatures[0], temperatures[1], atol=1e-4)  # the temperature has an effect
    assert [len(t) for t in temperatures] == [2, 2, 1]


def test_time_is_shared_among_members(config: Config, shared: Shared) -> None:
    records = [json.loads((f.path / "run.json").read_text()) for f in together(points(config), shared)]
    assert [r["population_members"] for r in records] == [5, 5, 5]
    seconds = [r["wall_time_s"] / len(r["seeds"]) for r in records]
    assert max(seconds) - min(seconds) < 0.02  # rounding to hundredths
    assert json.loads((train_run(replace(config, seeds=[11]), shared).path / "run.json").read_text())["population_members"] == 1


def test_references_are_found_or_trained_together_once(config: Config, monkeypatch: pytest.MonkeyPatch, shared: Shared) -> None:
    trained: list[tuple[str, list[int]]] = []
    train = WeightedBC.train

    def noted(self: WeightedBC, start: int, stop: int) -> Any:
        if start == 0:
            trained.append((self.config.name, self.seeds))
        return train(self, start, stop)

    monkeypatch.setattr(WeightedBC, "train", noted)
    together(points(config), shared)
    assert trained == [("bc", [3, 1, 7]), ("iw_sft_q", [3, 1, 3, 1, 7])]
    more = replace(config, seeds=[7], algo=replace(config.algo, weighting=replace(config.algo.weighting, temperature=4.0)))
    together([more, replace(more, seeds=[8])], shared)
    assert trained[2:] == [("bc", [8]), ("iw_sft_q", [7, 8])]


class Interrupted(BaseException):
    """An exception in place of a kill."""


def test_an_interrupted_population_is_resumed(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: Shared) -> None:
    """A kill between two saves leaves one run at update 30 and the others at 15: all resume at 15. Finished runs are not trained again."""
    runs = points(config)
    whole = together(in_folder(runs, tmp_path / "whole"), shared)
    save = RunDir.save

    def dies(self: RunDir, update: int, *rest: Any) -> None:
        if update == 30 and self.config.algo.weighting.temperature == 9:
            raise Interrupted
        save(self, update, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(RunDir, "save", dies)
        with pytest.raises(Interrupted):
            together(runs, shared)
    stood = [f.resume() for f in (RunDir(c, shared.data(config.dataset).trajectories.digest, "cpu") for c in runs)]
    assert [saved and saved[0] for saved in stood] == [30, 15, 15]

    trained: list[tuple[int, int, list[int]]] = []
    train = WeightedBC.train

    def noted(self: WeightedBC, start: int, stop: int) -> Any:
        trained.append((start, stop, self.seeds))
        return train(self, start, stop)

    with monkeypatch.context() as patch:
        patch.setattr(WeightedBC, "train", noted)
        resumed = together(runs, shared)
        assert (trained[0][0], trained[-1][1]) == (15, 40)  # from the latest update that all have saved, so that rounding is the same
        assert {tuple(seeds) for _, _, seeds in trained} == {(3, 1, 3, 1, 7)}
        trained.clear()
        together([*runs, replace(config, seeds=[4])], shared)
        assert {tuple(seeds) for _, _, seeds in trained} == {(4,)}
    for one, other in zip(resumed, whole, strict=True):
        assert_same_run(one.path, other.path)


def test_a_run_that_diverges_does_not_stop_another(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shared: Shared
) -> None:
    run_of_environments = Evaluator.run

    def watched(self: Evaluator, act: Any, *rest: Any) -> Any:
        def finite(observations: np.ndarray, moments: Moments) -> np.ndarray:
            actions = act(observations, moments)
            assert np.isfinite(actions).all(), "an environment would be given actions that are no numbers"
            return actions

        return run_of_environments(self, finite, *rest)

    monkeypatch.setattr(Evaluator, "run", watched)
    runs = expanded(replace(config, population={"learning_rate": [1e-3, 1e38]}))
    good, bad = together(runs, shared)
    said = "iw_sft_q learning_rate=1e+38, seed 3: parameters are not finite after update 15"
    assert f"{said}; it counts as failed and the others continue" in capsys.readouterr().err
    assert json.loads((bad.path / "run.json").read_text())["failed_seeds"] == [3, 1]
    assert {r["return"] for r in read_csv(bad.path / "episodes.csv")} == {"nan"}
    assert_same_run(good.path, train_run(in_folder(runs, tmp_path / "alone")[0], shared).path)


def test_settings_without_effect_do_not_change_the_run_directory(config: Config, shared: Shared) -> None:
    settings = [replace(config.algo, weighting=Weighting(Kind.none, temperature)) for temperature in (1.0, 2.0)]
    folders = together([replace(config, algo=algo) for algo in settings], shared)
    assert folders[0].path == folders[1].path
    assert json.loads((folders[0].path / "run.json").read_text())["population_members"] == 2


def test_a_population_has_to_be_expanded_first(config: Config, shared: Shared) -> None:
    with pytest.raises(ConfigError, match=r"^population = .*temperature.*: expected runs of their own"):
        train_runs([replace(config, population={"temperature": [1.0]})], shared)


# The runs of a population.


def test_values_are_crossed(config: Config) -> None:
    runs = expanded(replace(config, population={"temperature": [1, 3], "weighting": {"ema_rate": [0.1, 0.2, 1]}}))
    assert [(c.algo.weighting.temperature, c.algo.weighting.ema_rate) for c in runs] == [
        (1.0, 0.1), (1.0, 0.2), (1.0, 1.0), (3.0, 0.1), (3.0, 0.2), (3.0, 1.0),
    ]  # fmt: skip
    assert all(c.population == {} and c.seeds == [3, 1] for c in runs)
    assert expanded(config) == [config]
    assert [c.algo.weighting.temperature for c in expanded(replace(config, population={"temperature": 5}))] == [5.0]


@pytest.mark.parametrize(
    ("population", "line"),
    [
        ({"temprature": [1]}, "population.temprature: members of iw_sft_q cannot differ in it; they can in learning_rate, "),
        ({"hidden": [8]}, "population.hidden: members of iw_sft_q cannot differ in it; they can in .*, weighting.ema_rate, "),
        ({"temperature": []}, r"population.temperature = \[\]: expected numbers, as in population.temperature=\[1,3,10\]$"),
        ({"temperature": ["hot"]}, r"population.temperature = \['hot'\]: expected numbers"),
        ({"temperature": [1, True]}, "population.temperature = .*: expected numbers"),
        ({"temperature": [1, 1.0]}, "population.temperature = .*: expected each value once"),
        ({"temperature": [1, -1]}, "algo.weighting.temperature = -1.0: expected a number of at least 0"),
        ({"temperature": [1], "weighting": {"temperature": [2]}}, "population.temperature: algo.weighting.temperature is given twice"),
    ],
)
def test_impossible_populations_are_refused(config: Config, population: dict, line: str) -> None:
    with pytest.raises(ConfigError, match=f"^{line}"):
        expanded(replace(config, population=population))


@pytest.mark.parametrize(
    ("algo", "key"),
    [
        ("bc", "weighting.temperature"), ("sft", "weighting.ema_rate"), ("filtered_bc", "weighting.maximum"),
        ("iw_sft", "weighting.minimum"),
        ("dft", "weighting.ema_rate"), ("cfgrl", "temperature"), ("rwr", "critic_learning_rate"), ("awr", "norm_rate"),
    ],
)  # fmt: skip
def test_settings_that_a_method_does_not_use_make_no_population(algo: str, key: str) -> None:
    config = replace(compose([f"algo={algo}"]), population={key: [1, 3]})
    line = f"population.{key}: {algo} does not use algo.{key}, so its members would be equal; leave it out"
    with pytest.raises(ConfigError, match=f"^{re.escape(line)}$"):
        expanded(config)


def test_runs_that_can_be_trained_together(config: Config) -> None:
    same = [
        replace(config, seeds=[5]),
        expanded(replace(config, population={"temperature": [4]}))[0],
        replace(config, trainer=TrainerConfig(processes=1, max_members=3)),
    ]
    assert {population_key(c) for c in same} == {population_key(config)}
    others = [
        replace(config, dataset="other-v0"), replace(config, eval=replace(config.eval, every=20)),
        replace(config, pi_ref=PiRefConfig(dataset="x-v0")),
        replace(config, algo=replace(config.algo, hidden=[9])), replace(config, suite="other"), replace(config, device="auto"),
        replace(config, algo=replace(config.algo, name="sft_q")), replace(config, force=True),
        replace(config, trainer=TrainerConfig()),
    ]  # fmt: skip
    assert len({population_key(c) for c in [config, *others]}) == 1 + len(others)
    assert populations([config, others[0], *same, others[0]]) == [[config, *same], [others[0], others[0]]]


def test_a_population_is_split_between_runs(config: Config) -> None:
    runs = [replace(config, seeds=list(range(n))) for n in (2, 2, 1, 7, 1, 1)]
    assert [[len(c.seeds) for c in group] for group in split(runs, 4)] == [[2, 2], [1], [7], [1, 1]]
    assert [len(group) for group in split(runs, 100)] == [6]


def test_differing_settings_are_named(config: Config) -> None:
    assert differing_settings([config]) == [""]
    assert differing_settings(points(config)) == [
        "weighting.temperature=2 seeds=[3, 1]", "weighting.temperature=9 seeds=[3, 1]", "weighting.temperature=9 seeds=[7]",
    ]  # fmt: skip


def test_max_members_limits_a_population(config: Config, monkeypatch: pytest.MonkeyPatch, shared: Shared) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(
        "bench.training.run._train_population",
        lambda group, shared, wait, jobs, whole: sizes.append(sum(len(c.seeds) for c in group)) or [],
    )
    train_runs([replace(c, trainer=TrainerConfig(processes=1, max_members=4)) for c in points(config)], shared)
    assert sizes == [4, 1]
    train_runs(points(config), shared)
    assert sizes == [4, 1, 5]
    with pytest.raises(ConfigError, match=r"^trainer\.max_members = 0: expected a positive number"):
        replace(config, trainer=TrainerConfig(max_members=0)).check()


def test_the_default_limit_is_a_constant_on_a_cpu_and_none_on_a_gpu(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    assert max_members(config) == 16
    assert max_members(replace(config, trainer=TrainerConfig(max_members=3))) == 3
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert max_members(replace(config, device="auto")) > 10**6
