"""Tables of scores and published scores."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from bench.report.costs import costs_of
from bench.report.render import markdown
from bench.report.tables import NOT_KEPT, Table, published_tables, table_of
from bench.report.training_notes import UNJUDGED
from bench.results import published
from bench.results.grid import grids
from bench.results.leaderboard import board_of
from bench.results.runs import suite_runs
from bench.results.statistics import summarise
from tests.helpers.suites import make_run, make_suite


def only_table(suite: Path) -> Table:
    (table,) = map(table_of, grids(suite_runs(suite)))
    return table


def test_cells_are_means_with_students_interval(tmp_path: Path) -> None:
    make_suite(tmp_path)
    table = only_table(tmp_path)
    assert table.methods == ["bc", "sft", "iw_sft"]
    assert [line.label for line in table.lines] == [
        "iwsft/hopper/medium-v0", "iwsft/walker2d/medium-v0", "overall (mean)", "overall (IQM)",
    ]  # fmt: skip
    record, episodes = next(run for run in suite_runs(tmp_path) if run[0]["algo"] == "sft" and "hopper" in run[0]["dataset"])
    s = summarise(episodes[episodes["update"] == record["updates"]].groupby("seed")["return"].mean().to_numpy() / 10)
    cell = table.lines[0].cells["sft"]
    assert (cell.value, cell.low, cell.high, cell.std) == pytest.approx((s.mean, s.low, s.high, s.std))
    assert cell.half == pytest.approx(s.high - s.mean)
    assert [cell.bold for cell in table.lines[0].cells.values()] == [False, False, True]
    overall = table.lines[2].cells["sft"].value
    assert overall == pytest.approx(np.mean([line.cells["sft"].value for line in table.lines[:2]]))


def test_the_caption_states_the_protocol(tmp_path: Path) -> None:
    make_run(tmp_path)
    caption = only_table(tmp_path).caption
    for part in ("reference set: iwsft", "over 3 seeds", "Selection: last iterate, 4 episodes a seed", "Code abc."):
        assert part in caption


def test_the_first_line_tells_updates_run_from_the_methods_own(tmp_path: Path) -> None:
    make_run(tmp_path, "iql", default_updates=1_000_000)
    assert "Updates: 200 of 1,000,000. " in only_table(tmp_path).caption
    make_run(tmp_path, "bc", default_updates=200)
    make_run(tmp_path, "awr", default_updates=1_000_000)
    make_run(tmp_path, "own")
    (line, *_) = markdown(only_table(tmp_path)).splitlines()
    assert "Updates: 200 of 1,000,000 (awr, iql); 200 (bc, own). " in line


def test_a_run_without_references_beside_one_with_them(tmp_path: Path) -> None:
    """The row of scores holds the scored run alone, the row of raw returns both."""
    make_run(tmp_path, "bc", level=300.0)
    make_run(tmp_path, "sft", level=500.0, reference=None)
    score, returns = only_table(tmp_path).lines
    assert (score.label, list(score.cells)) == ("iwsft/hopper/medium-v0", ["bc"])
    assert (returns.label, list(returns.cells)) == ("iwsft/hopper/medium-v0 (raw return)", ["bc", "sft"])
    assert score.cells["bc"].value == pytest.approx(32, abs=1)
    assert {m: c.value for m, c in returns.cells.items()} == {"bc": pytest.approx(320, abs=10), "sft": pytest.approx(520, abs=10)}
    assert returns.cells["sft"].bold


def test_success_rates_stand_beside_the_return(tmp_path: Path) -> None:
    """Two of four final episodes of seed 0 succeed, one of the others'; earlier evaluations do not count."""

    def succeed(rows: list[dict]) -> list[dict]:
        return [r | {"success": int(r["update"] == 100 or r["episode"] < (2 if r["seed"] == 0 else 1))} for r in rows]

    make_run(tmp_path, "bc", reference=None, change=succeed)
    make_run(tmp_path, "sft", reference=None)
    returns, success = only_table(tmp_path).lines
    assert (returns.label, success.label) == ("iwsft/hopper/medium-v0 (raw return)", "iwsft/hopper/medium-v0 (success rate, %)")
    assert list(success.cells) == ["bc"]
    s = summarise([50.0, 25.0, 25.0])
    assert (success.cells["bc"].value, success.cells["bc"].low) == pytest.approx((s.mean, s.low))
    board = board_of(tmp_path, suite_runs(tmp_path)).query("selection == 'last'").set_index("algo")["success_rate"]
    assert board["bc"] == pytest.approx(1 / 3)
    assert np.isnan(board["sft"])


def test_configurations_of_one_method_are_named_by_the_settings_that_differ(tmp_path: Path) -> None:
    for temperature in (1.0, 3.0):
        make_run(tmp_path, "iw_sft", temperature=temperature)
    names = ["iw_sft temperature=1.0", "iw_sft temperature=3.0"]
    assert only_table(tmp_path).methods == names
    assert [row[0] for row in costs_of(suite_runs(tmp_path))[1:]] == names


def test_settings_that_differ_between_data_sets_are_a_note(tmp_path: Path) -> None:
    for dataset, temperature in (("hopper", 1.0), ("walker2d", 3.0)):
        make_run(tmp_path, "iw_sft", f"iwsft/{dataset}/medium-v0", temperature=temperature)
    expected = "iw_sft: settings that differ between data sets: algo.weighting.temperature."
    assert only_table(tmp_path).notes == [f"{UNJUDGED}iw_sft.", expected, NOT_KEPT]


def test_fewer_seeds_and_failed_episodes_are_flags(tmp_path: Path) -> None:
    make_run(tmp_path, "bc", seeds=[0, 2])
    make_run(tmp_path, "sft", change=lambda rows: [r | {"return": math.nan} if r["seed"] == 0 and r["update"] == 200 else r for r in rows])
    table = only_table(tmp_path)
    assert {method: cell.flag for method, cell in table.lines[0].cells.items()} == {"bc": "2 of 3 seeds", "sft": "4 failed"}
    assert table.lines[0].cells["sft"].value == pytest.approx((0 + 32 + 34) / 3, abs=3)
    failed = "Failed: the episode's return was no finite number; it counts as score 0."
    assert table.notes == [failed, f"{UNJUDGED}bc, sft.", NOT_KEPT]


def test_failures_without_reference_scores_leave_no_number(tmp_path: Path) -> None:
    make_run(tmp_path, reference=None, change=lambda rows: [r | {"return": math.nan} if r["seed"] == 1 else r for r in rows])
    (line,) = only_table(tmp_path).lines
    assert line.label == "iwsft/hopper/medium-v0 (raw return)"
    assert np.isnan(line.cells["bc"].value)


def test_a_missing_run_leaves_a_gap_and_no_aggregate(tmp_path: Path) -> None:
    make_run(tmp_path, "bc", "a/hopper/x-v0")
    make_run(tmp_path, "bc", "a/ant/x-v0")
    make_run(tmp_path, "sft", "a/ant/x-v0")
    found = {line.label: list(line.cells) for line in only_table(tmp_path).lines}
    assert found == {"a/ant/x-v0": ["bc", "sft"], "a/hopper/x-v0": ["bc"], "overall (mean)": ["bc"], "overall (IQM)": ["bc"]}


def test_several_domains_have_lines_of_their_own(tmp_path: Path) -> None:
    for dataset in ("a/hopper/x-v0", "a/ant/x-v0", "a/kitchen/mixed-v0", "a/kitchen/partial-v0"):
        make_run(tmp_path, "bc", dataset)
    assert {line.name for line in only_table(tmp_path).lines if line.scope == "domain"} == {"locomotion", "kitchen"}


def test_runs_of_different_data_are_noted(tmp_path: Path) -> None:
    make_run(tmp_path, "bc")
    assert only_table(tmp_path).notes == [f"{UNJUDGED}bc.", NOT_KEPT]
    make_run(tmp_path, "sft", dataset_digest="other")
    _, note, _ = only_table(tmp_path).notes
    assert note.startswith("iwsft/hopper/medium-v0: its runs were made of different data")


def test_each_protocol_has_a_table(tmp_path: Path) -> None:
    make_run(tmp_path, "bc")
    make_run(tmp_path, "sft", final_episodes=6)
    make_run(tmp_path, "bc", "D4RL/kitchen/mixed-v2", reference={"name": "d4rl", "random": 0.0, "expert": 4.0})
    tables = [table_of(grid) for grid in grids(suite_runs(tmp_path))]
    assert sorted((t.reference, *t.methods) for t in tables) == [("d4rl", "bc"), ("iwsft", "bc"), ("iwsft", "sft")]


def test_last_and_best_and_two_papers_never_share_a_table() -> None:
    tables = published_tables(published.rows(["iwsft/hopper/medium-v0"]))
    assert [t.caption.split(" Selection: ")[1].split(".")[0] for t in tables] == ["last", "best", "unstated"]
    assert ["ddof 0" in t.caption for t in tables] == [True, True, False]
    cell = tables[0].lines[0].cells["bc"]
    assert (cell.value, cell.half) == (53.51, 1.76)


def test_coinciding_strata_are_marked(tmp_path: Path) -> None:
    make_run(tmp_path, "sft_q", strata_coincide=True)
    make_run(tmp_path, "sft")
    table = only_table(tmp_path)
    assert {name: cell.flag for name, cell in table.lines[0].cells.items()} == {"sft": "", "sft_q": "strata coincide"}
    assert [note for note in table.notes if note.startswith("Strata coincide: equal scores")]


@pytest.mark.parametrize("fault", ["saturated", "collapsed"])
def test_weights_that_do_not_do_their_work_are_marked_and_explained(tmp_path: Path, fault: str) -> None:
    make_run(tmp_path, "sft")
    make_run(tmp_path, "iw_sft", weights={"ess": 0.5, "clipped": 0.95, fault: 400})
    table = table_of(grids(suite_runs(tmp_path))[0])
    assert f"weights {fault}" in table.lines[0].cells["iw_sft"].flag
    assert "weights" not in table.lines[0].cells["sft"].flag
    (note,) = [note for note in table.notes if note.startswith(f"Weights {fault}")]
    assert "iw_sft on" in note
    board = board_of(tmp_path, suite_runs(tmp_path)).set_index(["algo", "selection"])
    assert board.loc[("iw_sft", "last"), ["weight_ess", "weight_clipped"]].tolist() == [0.5, 0.95]
    assert board.loc[("sft", "last"), "weight_ess"] != board.loc[("sft", "last"), "weight_ess"]  # empty


def test_kept_policies_make_all_selections_verifiable(tmp_path: Path) -> None:
    (make_run(tmp_path) / "policy-100.safetensors").touch()
    assert only_table(tmp_path).notes == [f"{UNJUDGED}bc."]
    assert set(board_of(tmp_path, suite_runs(tmp_path))["verifiable"]) == {"yes"}


@pytest.mark.usefixtures("stated_references", "minari_root")
def test_references_that_no_data_set_here_states_are_noted(tmp_path: Path) -> None:
    make_run(tmp_path, "bc", "own/task-v0")
    expected = "Reference scores, or their absence, as the runs recorded them; bench verify computes them: own/task-v0."
    assert only_table(tmp_path).notes == [expected, f"{UNJUDGED}bc.", NOT_KEPT]
