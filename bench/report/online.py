"""The tables of runs with an online phase: before, after, area and regret (bench/results/online.py)."""

from __future__ import annotations

import pandas as pd

from bench.report.tables import Cell, Line, Table
from bench.results.names import in_order, method_names
from bench.results.online import COLUMNS, online_results
from bench.results.runs import Runs
from bench.results.statistics import summarise

CAPTION = (
    "Mean over seeds +- half-width of its 95 % interval. Before, after: final episodes of the offline policy and of the last. Area: "
    "mean score over the phase. Regret: 100 - mean score of the episodes that were collected, exploration included."
)


def online_table(runs: Runs) -> pd.DataFrame:
    """A row for each pooled run with an online phase: data set, method, steps, and mean and 95 % interval of each statistic."""
    names, rows = method_names([record for record, _ in runs]), []
    for name, (record, episodes) in zip(names, runs, strict=True):
        if record.get("online_steps") and not record.get("final_only"):
            found = online_results(record, episodes)
            rows.append({"dataset": record["dataset"], "method": name, "steps": record["online_steps"], "seeds": len(found)})
            for column in COLUMNS:
                s = summarise(found[column].to_numpy())
                rows[-1] |= {f"{column}_mean": s.mean, f"{column}_std": s.std, f"{column}_ci_low": s.low, f"{column}_ci_high": s.high}
    return pd.DataFrame(rows)


def online_tables(numbers: pd.DataFrame) -> list[Table]:
    """`online_table` as a table with a line for each data set and statistic; none without rows. A statistic that is unknown has no cell."""
    if numbers.empty:
        return []
    lines = []
    for dataset, rows in numbers.groupby("dataset"):
        for column in COLUMNS:
            known = rows[rows[f"{column}_mean"].notna()]
            cells = {row["method"]: _cell(row, column) for _, row in known.iterrows()}
            lines.append(Line("online", str(dataset), column, cells))
    steps = ", ".join(f"{n:,}" for n in sorted(set(numbers["steps"])))
    return [Table(f"{CAPTION} Environment steps: {steps}.", in_order(numbers["method"]), lines, selection="last")]


def _cell(row: pd.Series, column: str) -> Cell:
    mean, low, high = (float(row[f"{column}_{part}"]) for part in ("mean", "ci_low", "ci_high"))
    return Cell(mean, (high - low) / 2, low, high, float(row[f"{column}_std"]), int(row["seeds"]))
