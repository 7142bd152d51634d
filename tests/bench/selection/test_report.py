"""Tables and verdict of a selection, from made-up estimates of known quality."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bench.config.estimates import ESTIMATES
from bench.selection.report import table_of, write
from bench.selection.select import ROWS, Selected, accuracies
from bench.selection.verdict import verdict

TRUTHS = np.arange(0.0, 60.0, 5.0)  # of 12 policies


def made(datasets: Sequence[str] = ("a/one-v0",), truths: np.ndarray = TRUTHS, outlier: bool = False) -> Selected:
    """`fqe` ranks as the truth does, `td_error` the other way round, `log_likelihood` cannot rate the best half.

    outlier: `fqe` alone, which estimates 900 for the worst policy.
    """
    estimates = {"fqe": 2 * truths - 7, "td_error": -truths, "log_likelihood": np.where(truths < 30, truths, np.nan)}
    if outlier:
        estimates = {"fqe": np.where(truths == 0, 900.0, truths)}
    parts = [
        pd.DataFrame({
            "dataset": dataset, "algo": "bc", "run": "r", "seed": np.arange(len(truths)), "true_return": 10 * truths, "true_score": truths,
            "estimator": name, "policy": ESTIMATES[name].form, "estimate": values, "estimated_return": values, "estimated_score": values,
            "effective_episodes": np.nan,
        })
        for dataset in datasets
        for name, values in estimates.items()
    ]  # fmt: skip
    rows = pd.concat(parts, ignore_index=True)[ROWS]
    return Selected(rows, accuracies(rows))


def test_the_accuracy_of_known_estimates() -> None:
    board = made().accuracy.set_index("estimator")
    assert board.loc["fqe", ["correlation", "regret_1", "regret_3"]].tolist() == [1, 0, 0]
    assert board.loc["td_error", ["correlation", "regret_1", "regret_3"]].tolist() == [-1, 55, 45]
    assert board.loc["log_likelihood", ["correlation", "regret_1", "rated"]].tolist() == [1, 30, 6]
    assert board.loc["at random", "regret_1"] == TRUTHS.max() - TRUTHS.mean()


def test_the_verdict_is_computed_from_the_rows() -> None:
    lines = verdict(made()).splitlines()
    assert lines[0] == "**a/one-v0**, 12 policies: a choice at random is on average 27.5 points of score below the best."
    assert lines[2:] == [
        "- Smallest regret at 1: 0 (fqe; 95 % 0 to 0).",
        "- No better than chance: td_error, log_likelihood.",
        "- Ranks with the true return, interval above 0: fqe (1.00), log_likelihood (1.00).",
        "- Ranks against it, interval below 0: td_error (-1.00).",
        "- First choices, with their true score: fqe bc (55), td_error bc (0), log_likelihood bc (25).",
        "- Without a density, not rated by stochastic estimates: bc.",
    ]
    assert verdict(made(("a/one-v0", "b/two-v0"))).endswith("with the worst share of its regret: fqe (0%).")
    outlier = verdict(made(truths=np.arange(0.0, 100.0, 2.0), outlier=True))
    assert "- Ranking well is not choosing well: the first choice of fqe is bc (0), estimated 900." in outlier
    equal = verdict(made(truths=np.ones(4)))
    assert equal == "**a/one-v0**, 4 policies, all of the same true return: no choice is better than another."


def test_one_table_for_one_data_set_and_one_a_metric_for_several() -> None:
    one, several = table_of(made()), table_of(made(("a/one-v0", "b/two-v0")))
    assert "| a/one-v0 | policy | rank correlation | regret at 1 | regret at 3 |" in one
    assert "| log_likelihood | stochastic | 1.00 (1.00 to 1.00) [6 of 12] |" in one
    assert [line for line in several.splitlines() if line.endswith("| policy | a/one-v0 | b/two-v0 |")] == [
        f"| {metric} | policy | a/one-v0 | b/two-v0 |" for metric in ("rank correlation", "regret at 1", "regret at 3")
    ]


def test_the_same_rows_give_the_same_files(tmp_path: Path) -> None:
    for name in ("one", "again"):
        write(made(), tmp_path / name, ["results/mine"])
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()
    assert "`python -m bench select results/mine`" in (tmp_path / "one" / "README.md").read_text()


def test_files_of_an_earlier_selection_go(tmp_path: Path) -> None:
    """Files that only a selection with true returns has go; a user's stay."""
    (tmp_path / "notes.txt").touch()
    write(made(), tmp_path, [])
    write(made(truths=np.full(12, np.nan)), tmp_path, [])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["README.md", "notes.txt", "rows.csv", "table.md"]
