"""Suites name methods and data sets that exist; what their methods cost is told from the runs alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from algos.methods.weighted_bc import WeightedBCConfig
from bench.config.mistakes import explain
from bench.config.schema import Config
from bench.errors import RunError
from bench.report.costs import costs
from envs.recorded.record import recipes
from tests.helpers.learners import configured
from tests.helpers.paths import CONF

SUITES = [p.stem for p in sorted((CONF / "suite").glob("*.yaml")) if p.stem != "single"]


def jobs(suite: str) -> tuple[list[str], list[str]]:
    """(methods, data sets)"""
    params = OmegaConf.load(CONF / "suite" / f"{suite}.yaml").hydra.sweeper.params
    return str(params.algo).split(","), str(params.dataset).split(",")


@pytest.mark.parametrize("suite", SUITES)
def test_every_job_of_a_suite_can_be_configured(suite: str) -> None:
    methods, datasets = jobs(suite)
    assert methods[0] == "bc"  # whose policy is the others' pi_ref
    assert set(datasets) <= recipes().keys()
    for method in methods:
        assert configured(method, f"suite={suite}").name == method


def test_baselines_has_every_method_and_both_qualities() -> None:
    methods, datasets = jobs("baselines")
    assert set(methods) == {p.stem for p in (CONF / "algo").glob("*.yaml") if not p.stem.startswith("_")}
    assert len(methods) == len(set(methods))
    assert set(datasets) == {d for d in recipes() if "/ant/" not in d and ("medium-replay" in d or "medium-expert" in d)}


def test_a_key_of_another_method_is_told_from_one_of_none() -> None:
    with pytest.raises(OmegaConfBaseException) as error:
        OmegaConf.merge(OmegaConf.structured(Config), {"algo": OmegaConf.structured(WeightedBCConfig)}).algo.critics  # noqa: B018
    assert explain(error.value).startswith("algo.critics: not a key of this method; ")
    assert explain(ConfigKeyError("Key 'algo.critcs' is not in struct")).startswith("unknown key 'algo.critcs'; near names: algo.critics, ")


def test_costs(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no finished run"):
        costs(tmp_path)
    for name, dataset, wall, last in (("iql", "a", 30.0, 5.0), ("iql", "b", 50.0, 3.0), ("bc", "a", 10.0, 4.5)):
        folder = tmp_path / "runs" / f"{name}-{dataset}"
        folder.mkdir(parents=True)
        record = {
            "algo": name, "dataset": dataset, "seeds": [0, 1], "updates": 1000, "eval_episodes": 1, "last_k": 1, "parameters": 1500,
            "wall_time_s": wall, "data_return_mean": 4.0, "status": "finished", "final_episodes": 1, "reference": None,
        }  # fmt: skip
        (folder / "run.json").write_text(json.dumps(record))
        rows = [f"{update},{seed},0,{value},7" for update, value in ((500, 9.0), (1000, last)) for seed in (0, 1)]
        (folder / "episodes.csv").write_text("\n".join(["update,seed,episode,return,length", *rows, ""]))
    lines = costs(tmp_path).splitlines()
    assert lines[-2:] == ["| bc | 1,500 | 1,000 | 5 | 1 of 1 |", "| iql | 1,500 | 1,000 | 20 | 1 of 2 |"]
