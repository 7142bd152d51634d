"""Tables and verdict of a selection, from made-up estimates of known quality."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bench.config.estimates import ESTIMATES
from bench.selection.report import table_of, verdict, write
from bench.selection.select import ROWS, Selected, accuracies

TRUTHS = np.arange(0.0, 60.0, 5.0)  # of 12 policies


def made(datasets: Sequence[str] = ("a/one-v0",), truths: np.ndarray = TRUTHS) -> Selected:
    """`fqe` ranks as the truth does, `td_error` the other way round, `log_likelihood` cannot rate the best half."""
    estimates = {"fqe": 2 * truths - 7, "td_error": -truths, "log_likelihood": np.where(truths < 30, truths, np.nan)}
    parts = [
        pd.DataFrame({
            "dataset": dataset, "algo": "bc", "run": "r", "seed": np.arange(len(truths)), "true_return": 10 * truths, "true_score": truths,
            "estimator": name, "policy": ESTIMATES[name].form, "estimate": values, "estimated_return": values, "estimated_score": values,
            "effective_episodes": np.nan,
        })
        for dataset in datasets
        for name, values in estimates.items()
    ]  # fmt: skip
    rows = pd.concat(parts, ignore_index=True)[ROWS].sample(frac=1, random_state=0)
    return Selected(rows, accuracies(rows))


def test_the_accuracy_of_known_estimates() -> None:
    board = made().accuracy.set_index("estimator")
    assert board.loc["fqe", ["correlation", "regret_1", "regret_3"]].tolist() == [1, 0, 0]
    assert board.loc["td_error", ["correlation", "regret_1", "regret_3"]].tolist() == [-1, 55, 45]
    assert board.loc["log_likelihood", ["correlation", "regret_1", "rated"]].tolist() == [1, 30, 6]
    assert board.loc["at random", "regret_1"] == TRUTHS.max() - TRUTHS.mean()


def test_the_verdict_is_computed_from_the_rows() -> None:
    text = verdict(made())
    assert text.startswith("**a/one-v0**, 12 policies. A choice at random is on average 27.5 points of score below the best.")
    assert "Smallest regret at 1: 0 (fqe; 95 % 0 to 0)." in text
    assert "No better than chance: td_error, log_likelihood." in text or "No better than chance: log_likelihood, td_error." in text
    assert "Ranks against it, interval below 0: td_error (-1.00)." in text
    assert "Cannot rate policies without a density: log_likelihood." in text
    assert verdict(made(("a/one-v0", "b/two-v0"))).endswith("with the worst share of its regret: fqe (0%).")
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
