"""Costs of methods: `python -m bench tables results/baselines` writes costs.md there and prints it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bench.errors import RunError
from bench.report.markdown import row_of
from bench.report.suite import finished_runs, selections


def costs(suite: Path) -> str:
    """A row a method: trained parameters, updates, seconds a seed (mean over data sets), and on how many sets its mean return (last
    iterate) is above the data's. Raises RunError if there is no finished run."""
    rows = []
    for record, episodes in finished_runs(suite):
        rows.append(
            {
                "algo": record["algo"],
                "parameters": record["parameters"],
                "updates": record["updates"],
                "seconds": record["wall_time_s"] / len(record["seeds"]),
                "above": selections(record, episodes)["last"].mean() > record["data_return_mean"],
            }
        )
    if not rows:
        raise RunError(f"{suite}: no finished run in it; expected {suite}/runs/*/run.json")
    lines = [
        "Wall time holds training and evaluation on the machine at hand, seeds side by side; time to train pi_ref is BC's.",
        "",
        row_of(["method", "parameters", "updates", "seconds a seed", "sets above the data's mean return"]),
        row_of(["---", *["---:"] * 4]),
    ]
    for name, runs in pd.DataFrame(rows).groupby("algo", sort=True):
        parameters, updates = (_span(runs[column]) for column in ("parameters", "updates"))
        lines.append(row_of([str(name), parameters, updates, f"{runs['seconds'].mean():.0f}", f"{runs['above'].sum()} of {len(runs)}"]))
    return "\n".join([*lines, ""])


def _span(values: pd.Series) -> str:
    low, high = f"{values.min():,}", f"{values.max():,}"
    return low if low == high else f"{low} to {high}"
