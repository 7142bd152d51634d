"""Studies made of runs: rows kept across data sets and calls, rows of other settings dropped, sizes, one line for mistakes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.cli import run
from bench.config.schema import Config
from bench.errors import EXIT_MISTAKE, RunError
from bench.studies.runs import Case, configured, on, protocol, results
from bench.studies.study import Options
from bench.training.shared import Shared

FORK, TWIN = "iwsft/fork-v0", "iwsft/fork-v0@first:300"


def cases(temperature: float = 10) -> list[Case]:
    """BC, whose rows do not depend on a temperature, and iw-SFT, on two data sets."""
    iw = configured("algo=iw_sft", f"algo.weighting.temperature={temperature}")
    return on([FORK, TWIN], [Case(configured("algo=bc"), {"method": "bc"}), Case(iw, {"method": "iw_sft"})])


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study that was done on one data set, then on the other, with two episodes a seed."""
    out = tmp_path_factory.mktemp("studies")
    for dataset in (FORK, TWIN):
        results("trial", cases(), Options(True, out, dataset))
    return out


def test_a_data_set_is_added_and_the_rows_of_the_other_are_kept(done: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = results("trial", cases(), Options(True, done))
    assert [(r["dataset"], r["method"], r["seed"]) for r in rows] == [
        (d, m, s) for d in (FORK, TWIN) for m in ("bc", "iw_sft") for s in (0, 1)
    ]
    assert capfd.readouterr().err == ""  # nothing was trained again
    assert all(0 < r["weight_ess"] <= 1 for r in rows if r["method"] == "iw_sft")
    written = (done / "trial" / "rows.csv").read_text().splitlines()
    assert written[0].split(",")[:5] == ["dataset", "method", "seed", "episodes", "score"]
    assert len(written) == 1 + 8


def test_rows_of_other_settings_are_dropped_with_a_line(done: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    copied = tmp_path / "trial"
    copied.mkdir()
    (copied / "rows.csv").write_bytes((done / "trial" / "rows.csv").read_bytes())
    rows = results("trial", cases(temperature=3), Options(True, tmp_path, train=False))
    assert {r["method"] for r in rows} == {"bc"}
    assert "4 rows of other settings are dropped" in capfd.readouterr().err


def test_more_episodes_and_seeds_are_computed_and_fewer_are_there(done: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    bc = cases()[:1]
    rows = results("trial", bc, Options(True, tmp_path, seeds=1))
    assert [(r["seed"], r["episodes"]) for r in rows] == [(0, 2)]
    rows = results("trial", bc, Options(True, tmp_path, episodes=3))
    assert [(r["seed"], r["episodes"]) for r in rows] == [(0, 3), (1, 3)]
    capfd.readouterr()
    assert [r["episodes"] for r in results("trial", bc, Options(True, tmp_path, episodes=1))] == [3, 3]
    assert capfd.readouterr().err == ""


def test_a_function_of_a_case_computes_the_seeds_that_are_missing(tmp_path: Path) -> None:
    asked: list[list[int]] = []

    def own(config: Config, shared: Shared) -> dict[int, dict[str, float]]:
        asked.append(list(config.seeds))
        return {seed: {"score": 10.0 * seed} for seed in config.seeds}

    case = on([FORK], [Case(configured("algo=bc"), {"method": "bc"}, own=own)])
    for seeds in (1, 3, 2):
        rows = results("trial", case, Options(True, tmp_path, seeds=seeds), ("score",))
    assert asked == [[0], [1, 2]]
    assert [(r["seed"], r["score"]) for r in rows] == [(0, 0.0), (1, 10.0), (2, 20.0)]


def test_a_protocol_is_of_all_settings_but_seeds_and_episodes() -> None:
    config = configured("algo=iw_sft")
    same = replace(config, seeds=[7], eval=replace(config.eval, every=10, episodes=2, final_episodes=3), results_dir="x")
    others = [
        config, replace(config, dataset=FORK), replace(config, eval=replace(config.eval, max_episode_steps=10)),
        replace(config, pi_ref=replace(config.pi_ref, updates=5)), configured("algo=iw_sft", "algo.weighting.min_ess=0.3"),
    ]  # fmt: skip
    found = {protocol(Case(c, {})) for c in others}
    assert len(found) == len(others)
    assert protocol(Case(same, {"a": 1}, "b")) in found
    assert protocol(Case(config, {}, own=lambda config, shared: {})) not in found


def test_a_run_under_two_labels_is_trained_once(done: Path) -> None:
    twice = [Case(cases()[0].config, {"method": name}) for name in ("one", "other")]
    rows = results("trial", twice, Options(True, done, train=False))
    assert [(r["method"], r["seed"]) for r in rows] == [("one", 0), ("one", 1), ("other", 0), ("other", 1)]


def test_damaged_rows_and_none_are_one_line(done: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"rows.csv: no rows yet; run python -m bench study trial without --no-runs"):
        results("trial", cases(), Options(True, tmp_path, train=False))
    copied = tmp_path / "trial"
    copied.mkdir(exist_ok=True)
    (copied / "rows.csv").write_text((done / "trial" / "rows.csv").read_text().replace(",0,2,", ",zero,2,", 1))
    with pytest.raises(RunError, match=r"rows.csv: cannot be read as rows of a study .*; move it away to begin anew"):
        results("trial", cases(), Options(True, tmp_path, train=False))


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["ordering", "--only", "iwsft/fork"], "study ordering --only iwsft/fork: expected iwsft/halfcheetah/mixed-v0"),
        (["bandit", "--only", FORK], "expected no --only: this study is done at once"),
        (["study=ordering", "--only", "iwsft/fork"], "study ordering --only iwsft/fork: expected iwsft/halfcheetah/mixed-v0"),
        (["--only", "iwsft/fork", "study=ordering"], "study ordering --only iwsft/fork: expected iwsft/halfcheetah/mixed-v0"),
        (["all", "--only", "iwsft/fork"], "study all --only iwsft/fork: no study is done on it; expected iwsft/"),
        (["ordering", "--seeds", "0"], "--seeds 0: expected a positive number"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    named = any(a.startswith("study=") for a in arguments)
    assert run(arguments if named else ["study", *arguments]) == EXIT_MISTAKE
    error = capsys.readouterr().err
    assert line in error
    assert error.count("\n") == 1
