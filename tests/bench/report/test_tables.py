"""Leaderboard, tables and what they refuse, from made-up runs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench import cli
from bench.errors import RunError
from bench.report.markdown import table_of
from bench.report.suite import rebuild
from bench.report.wanted import TableOptions
from bench.results.domains import domain_of
from bench.results.leaderboard import COLUMNS, SCHEMA, merge, read_board
from tests.helpers.suites import make_run, make_suite

Rows = list[dict[str, Any]]


def board(suite: Path) -> pd.DataFrame:
    rebuild(suite)
    return read_board(suite / "leaderboard.csv")


def test_rows_say_iqm_configurations_and_where_they_come_from(tmp_path: Path) -> None:
    for temperature in (1.0, 3.0):
        make_run(tmp_path, "iw_sft", seeds=range(8), temperature=temperature)
    make_run(tmp_path, "iw_sft", seeds=[9], status="running")
    make_run(tmp_path, "bc")
    rows = board(tmp_path)
    assert list(rows.columns) == COLUMNS
    assert set(rows["schema"]) == {SCHEMA}
    assert set(rows["source"]) == {"ours"}
    assert rows.groupby("algo")["configs_tried"].unique().map(list).to_dict() == {"bc": [1], "iw_sft": [3]}
    row = rows[(rows["algo"] == "iw_sft") & (rows["selection"] == "last")].iloc[0]
    assert row["score_iqm"] == pytest.approx(37, abs=0.5)  # of eight seeds at 30, 32, ... 44 the middle four
    assert row["score_mean"] == pytest.approx(37, abs=0.5)


def test_iqm_leaves_out_an_outlier(tmp_path: Path) -> None:
    def outlier(rows: Rows) -> Rows:
        return [r | {"return": 1e6} if r["seed"] == 0 else r for r in rows]

    make_run(tmp_path, seeds=range(4), change=outlier)
    row = board(tmp_path).query("selection == 'last'").iloc[0]
    assert row["score_iqm"] < 50 < row["score_mean"]


def test_a_rebuilt_board_is_the_same_to_the_byte(tmp_path: Path) -> None:
    make_suite(tmp_path)
    texts = []
    for _ in range(2):
        rebuild(tmp_path)
        texts.append([(tmp_path / name).read_bytes() for name in ("leaderboard.csv", "table.md", "table.tex", "table.csv")])
    assert texts[0] == texts[1]


def test_fewer_seeds_than_asked_are_shown(tmp_path: Path) -> None:
    make_run(tmp_path, "bc", change=lambda rows: [r for r in rows if r["seed"] != 1])
    make_run(tmp_path, "sft")
    table = rebuild(tmp_path)
    assert "(2 of 3 seeds)" in table
    assert table.count("of 3 seeds)") == 1
    assert r"\textsuperscript{2 of 3 seeds}" in (tmp_path / "table.tex").read_text()
    assert list(board(tmp_path).query("algo == 'bc'")["seeds"].unique()) == ["0 2"]


def test_failures_count_as_score_0_and_are_shown(tmp_path: Path) -> None:
    def fail(rows: Rows) -> Rows:
        return [r | {"return": math.nan} if r["seed"] == 0 and r["update"] == 200 else r for r in rows]

    make_run(tmp_path, "bc", change=fail)
    make_run(tmp_path, "sft")
    table = rebuild(tmp_path)
    assert "(4 failed)" in table
    assert "counts as score 0" in table
    mean = board(tmp_path).query("algo == 'bc' and selection == 'last'")["score_mean"].item()
    assert mean == pytest.approx((0 + 32 + 34) / 3, abs=0.5)
    raw = pd.read_csv(tmp_path / "scores.csv").query("algo == 'bc' and seed == 0 and update == 200")
    assert raw["return"].isna().all()
    assert (raw["score"] == 0).all()


def test_failures_without_references_leave_no_number(tmp_path: Path) -> None:
    make_run(
        tmp_path, reference=None, change=lambda rows: [rows[0], *(r | {"return": math.nan} if r["seed"] == 1 else r for r in rows[1:])]
    )
    rebuild(tmp_path)
    assert np.isnan(board(tmp_path).query("selection == 'last'")["return_mean"]).all()
    assert "failed" in (tmp_path / "table.tex").read_text()


def test_what_was_not_measured_alike_stands_in_tables_of_its_own(tmp_path: Path) -> None:
    make_run(tmp_path, "bc")
    make_run(tmp_path, "sft", final_episodes=6)
    make_run(tmp_path, "bc", "D4RL/kitchen/mixed-v2", reference={"name": "d4rl", "random": 0.0, "expert": 4.0})
    with pytest.raises(
        RunError, match=r"3 ways .*d4rl, 4 final episodes: bc; .*iwsft, 4 final episodes: bc; .*6 final episodes: sft.*--mixed"
    ):
        rebuild(tmp_path)
    assert not (tmp_path / "leaderboard.csv").exists()
    table = rebuild(tmp_path, TableOptions(mixed=True))
    assert table.count("| data set |") == 3
    for part in table.split("Score (reference set")[1:]:
        assert ("d4rl" in part) != ("iwsft/" in part)
    assert (tmp_path / "table.tex").read_text().count(r"\toprule") == 3
    with pytest.raises(RunError, match="reference families d4rl and iwsft"):
        merge([(tmp_path, read_board(tmp_path / "leaderboard.csv"))])


def test_a_run_may_ask_for_mixed_tables_itself(tmp_path: Path) -> None:
    """The suite `single` collects whatever is run: its runs say so."""
    make_run(tmp_path, "bc")
    make_run(tmp_path, "sft", final_episodes=6, mixed=True)
    assert rebuild(tmp_path).count("| data set |") == 2


def test_mixed_protocols_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(tmp_path, "bc")
    make_run(tmp_path, "sft", final_episodes=6)
    monkeypatch.setattr("bench.report.page.build.draw", lambda suite, runs: {})
    assert cli.run(["tables", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert "--mixed" in error
    assert not list(tmp_path.glob("*.*"))  # nothing half-written
    assert cli.run(["tables", str(tmp_path), "--mixed"]) == 0
    assert {"table.md", "leaderboard.csv", "costs.md", "report.html"} <= {path.name for path in tmp_path.glob("*.*")}


def test_different_data_under_one_name_are_told(tmp_path: Path) -> None:
    make_run(tmp_path, "bc")
    assert "different data" not in rebuild(tmp_path)
    make_run(tmp_path, "sft", dataset_digest="other")
    assert "iwsft/hopper/medium-v0: its runs were made of different data" in rebuild(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: [*rows, rows[0]], "line 20: update 100, seed 0, episode 0 stands there before"),
        (lambda rows: rows[:-1], "seed 2 has 3 of 4 final episodes"),
        (lambda rows: rows[:6], "no episode after update 200"),
        (lambda rows: [*rows[:-1], rows[-1] | {"return": "much"}], "cannot be read"),
    ],
)
def test_missing_and_repeated_rows_are_named(tmp_path: Path, change: Any, message: str) -> None:
    make_run(tmp_path, change=change)
    with pytest.raises(RunError, match=message):
        rebuild(tmp_path)
    assert not (tmp_path / "leaderboard.csv").exists()


def test_latex_marks_the_best_and_what_is_not_worse(tmp_path: Path) -> None:
    make_suite(tmp_path)
    rebuild(tmp_path)
    text = (tmp_path / "table.tex").read_text()
    for command in (r"\toprule", r"\midrule", r"\bottomrule", "overall (IQM)", r"iw\_sft"):
        assert command in text
    row = next(line for line in text.splitlines() if line.startswith("iwsft/hopper"))
    assert [r"\mathbf" in cell for cell in row.split("&")[1:]] == [False, False, True]
    numbers = pd.read_csv(tmp_path / "table.csv")
    assert set(numbers["scope"]) == {"data set", "overall"}  # one domain is no row of its own
    assert numbers.query("scope == 'overall' and statistic == 'mean' and algo == 'iw_sft'")["value"].item() == pytest.approx(74.5, abs=1)


def test_many_methods_are_rows(tmp_path: Path) -> None:
    """More than nine in Markdown, more than five on paper, and no more than six columns there: the numbers are those of table.csv."""
    sets = [f"iwsft/{name}/{kind}-long-v0" for name in ("ant", "hopper") for kind in ("both", "expert", "replay")]
    for i in range(10):
        for dataset in sets if i else sets[:1]:
            make_run(tmp_path, f"m{i}", dataset, [0, 1], level=200.0 + 10 * i)
    make_run(tmp_path, "m9", "iwsft/hopper/simple-v0", [0, 1], reference=None)
    lines = rebuild(tmp_path).splitlines()[2:]
    assert lines[0] == "| method | " + " | ".join(sets) + " | iwsft/hopper/simple-v0 (raw return) |"
    assert [line.split(" |")[0] for line in lines[2:12]] == [f"| m{i}" for i in range(10)]
    assert all(line.count("|") == 9 for line in lines[:12])

    paper = (tmp_path / "table.tex").read_text()
    heads = [line for line in paper.splitlines() if line.startswith("Method")]
    assert [line.count(r"\begin{tabular}") for line in heads] == [4, 3, 2]
    assert r"iwsft/ant/\\both-long-v0" in heads[0]
    pieces = [part.split(r"\midrule")[1].strip().splitlines() for part in paper.split(r"\bottomrule")[:3]]
    assert [len(piece) for piece in pieces] == [10, 9, 9]  # m0 has one result
    numbers = pd.read_csv(tmp_path / "table.csv").query("statistic == 'mean'").set_index(["name", "algo"])["value"]
    for name, piece, column in ((sets[0], 0, 1), (sets[5], 1, 2), ("overall", 2, 1)):
        for row in pieces[piece]:
            cells = row.removesuffix(r" \\").replace(r"\mathbf", "").replace("{", "").replace("}", "").split(" & ")
            assert float(cells[column][1:].split()[0]) == pytest.approx(numbers[name, cells[0]], abs=0.051)


def test_few_methods_or_many_data_sets_are_not_turned() -> None:
    for methods, datasets, head in ((9, 2, "data set"), (10, 2, "method"), (10, 10, "data set")):
        names = [[f"{kind}{k}" for k in range(n)] for kind, n in (("m", methods), ("d", datasets))]
        lines = table_of(names[0], names[1], [[m + d for m in names[0]] for d in names[1]])
        assert lines[0].startswith(f"| {head} | {'d0' if head == 'method' else 'm0'} |")
        assert lines[3].startswith("| m1 | m1d0 | m1d1 |" if head == "method" else "| d1 | m0d1 | m1d1 |")


def test_few_seeds_are_owned_up_to(tmp_path: Path) -> None:
    """Below both tables, where there are intervals: not for a single seed."""
    make_run(tmp_path, "bc", seeds=[0])
    assert "bench.results.few_seeds" not in rebuild(tmp_path)
    make_run(tmp_path, "sft", seeds=range(5))
    make_run(tmp_path, "iw_sft", seeds=range(3))
    table, paper = rebuild(tmp_path), (tmp_path / "table.tex").read_text()
    for text in (table, paper):
        assert text.count("intervals over 3 to 5 seeds hold for scores that are normal") == 1
        assert "python -m bench.results.few_seeds" in text
    assert all(line.startswith("%") for line in paper.splitlines() if "bench.results.few_seeds" in line)


def test_domains_have_rows_where_there_are_several(tmp_path: Path) -> None:
    for dataset in ("a/hopper/x-v0", "a/ant/x-v0", "a/kitchen/mixed-v0", "a/kitchen/partial-v0"):
        make_run(tmp_path, "bc", dataset)
    rebuild(tmp_path)
    numbers = pd.read_csv(tmp_path / "table.csv")
    assert set(numbers.query("scope == 'domain'")["name"]) == {"locomotion", "kitchen"}


@pytest.mark.parametrize(
    ("dataset", "domain"),
    [("D4RL/antmaze/umaze-v1", "maze"), ("mujoco/ant/expert-v0", "locomotion"), ("D4RL/pen/human-v2", "adroit"), ("own/robot-v0", "own")],
)
def test_domain(dataset: str, domain: str) -> None:
    assert domain_of(dataset) == domain


@pytest.mark.parametrize(
    ("algos", "datasets", "seeds", "reference"),
    [(["bc"], ["hopper"], [0], True), (["bc", "sft"], ["hopper"], [0, 1], False), (["bc"], ["hopper", "walker2d"], [3], True)],
)
def test_small_suites_have_tables(tmp_path: Path, algos: list[str], datasets: list[str], seeds: list[int], reference: bool) -> None:
    for algo in algos:
        for name in datasets:
            make_run(tmp_path, algo, f"iwsft/{name}/medium-v0", seeds, **({} if reference else {"reference": None}))
    assert "| data set |" in rebuild(tmp_path)
    assert r"\toprule" in (tmp_path / "table.tex").read_text()


# Reading and merging.


def written(tmp_path: Path, change: Any = lambda rows: rows) -> Path:
    make_suite(tmp_path / "suite")
    rows = change(board(tmp_path / "suite"))
    path = tmp_path / "board.csv"
    rows.to_csv(path, index=False)
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b.assign(schema=SCHEMA + 1), f"schema {SCHEMA + 1} is newer than this program's {SCHEMA}"),
        (lambda b: b.drop(columns="schema"), "no column 'schema'"),
        (lambda b: b.assign(schema=SCHEMA - 1), f"line 2: expected schema {SCHEMA}; rebuild it"),
        (lambda b: b.drop(columns="score_iqm"), "no column score_iqm"),
        (lambda b: pd.concat([b, b[:1]]), "line 20: .* stands there before"),
        (lambda b: b.astype({"score_mean": str}).assign(score_mean=["much", *["1"] * 17]), "line 2: score_mean = much"),
        (lambda b: b.assign(source="heard"), "line 2: source = heard"),
        (lambda b: b.assign(source="published"), "needs a citation"),
    ],
)
def test_a_board_is_checked_on_read(tmp_path: Path, change: Any, message: str) -> None:
    with pytest.raises(RunError, match=message):
        read_board(written(tmp_path, change))


def test_merge_joins_equal_rows_once_and_refuses_two_results_of_one_run(tmp_path: Path) -> None:
    path = written(tmp_path)
    rows = read_board(path)
    assert len(merge([(path, rows), (path, rows[:3])])) == len(rows)
    with pytest.raises(RunError, match="has different values in"):
        merge([(path, rows), (path, rows.assign(score_mean=1.0))])
    with pytest.raises(RunError, match="eval_episodes"):
        merge([(path, rows), (path, rows.assign(eval_episodes=7, config_hash="other"))])
    assert len(merge([(path, rows), (path, rows.assign(eval_episodes=7, config_hash="other"))], mixed=True)) == 2 * len(rows)


def test_merge_refuses_the_best_of_different_numbers_of_evaluations(tmp_path: Path) -> None:
    path = written(tmp_path)
    rows = read_board(path)
    assert rows.groupby("selection")["evaluations"].unique().map(list).to_dict() == {"best": [2], "last": [1], "mean_last_2": [2]}
    more = rows.assign(config_hash="other", evaluations=rows["evaluations"].where(rows["selection"] != "best", 9))
    with pytest.raises(RunError, match=r"hopper/medium-v0: the best of 2 and 9 evaluations .*--selection last.*--mixed"):
        merge([(path, rows), (path, more)])
    last = [(path, b[b["selection"] == "last"]) for b in (rows, more)]
    assert len(merge(last)) == 2 * len(last[0][1])


def test_configurations_tried_in_other_suites_count_where_they_are_asked_for(tmp_path: Path) -> None:
    make_run(tmp_path / "final", "iw_sft", temperature=3.0)
    make_run(tmp_path / "tune", "iw_sft", temperature=3.0)  # the same once more: one configuration
    for temperature in (1.0, 5.0):
        make_run(tmp_path / "tune", "iw_sft", temperature=temperature)
    make_run(tmp_path / "tune", "iw_sft", "iwsft/walker2d/medium-v0", temperature=7.0)
    for wanted, expected in ((TableOptions(), 1), (TableOptions(root=tmp_path), 3)):
        rebuild(tmp_path / "final", wanted)
        assert set(read_board(tmp_path / "final" / "leaderboard.csv")["configs_tried"]) == {expected}
    with pytest.raises(RunError, match="no folder; expected one that holds suites"):
        rebuild(tmp_path / "final", TableOptions(root=tmp_path / "nowhere"))


def test_merge_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path)
    published = read_board(path)[:1].assign(source="published", citation="Someone 2025", config_hash="", algo="other")
    published.to_csv(tmp_path / "published.csv", index=False)
    assert cli.run(["merge", str(path), str(tmp_path / "published.csv"), "--out", str(tmp_path / "all.csv")]) == 0
    assert len(read_board(tmp_path / "all.csv")) == len(read_board(path)) + 1
    assert cli.run(["merge", str(path), str(tmp_path / "nowhere.csv")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
