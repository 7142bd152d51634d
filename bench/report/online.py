"""The table of runs with an online phase: before, after, area and regret (bench/results/online.py)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bench.report.render import markdown_rows
from bench.results.names import method_names
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
                rows[-1] |= {f"{column}_mean": s.mean, f"{column}_ci_low": s.low, f"{column}_ci_high": s.high}
    return pd.DataFrame(rows)


def online_md(table: pd.DataFrame) -> str:
    """`online_table` as a section of table.md; empty without rows."""
    if table.empty:
        return ""
    body = [
        [row["dataset"], row["method"], f"{row['steps']:,}", *(_cell(row, column) for column in COLUMNS)] for _, row in table.iterrows()
    ]
    return "\n".join(["## Online", "", CAPTION, "", *markdown_rows([["data set", "method", "steps", *COLUMNS], *body]), ""])


def _cell(row: pd.Series, column: str) -> str:
    mean, low, high = (float(row[f"{column}_{part}"]) for part in ("mean", "ci_low", "ci_high"))
    if np.isnan(mean):
        return "-"
    return f"{mean:.1f}" + ("" if np.isnan(low) else f" +- {(high - low) / 2:.1f}")
