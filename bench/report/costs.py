"""Costs of methods: `python -m bench.report.costs results/baselines` writes costs.md there and prints it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

from bench.errors import USER_ERRORS, RunError
from bench.report.markdown import row_of
from bench.report.suite import finished_runs, selections
from bench.storage.files import write_atomic


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


def main() -> None:
    parser = argparse.ArgumentParser(description="Write costs.md from a suite's runs.")
    parser.add_argument("folder", type=Path, help="such as results/baselines")
    folder = parser.parse_args().folder
    try:
        table = costs(folder)
        write_atomic(folder / "costs.md", table)
        print(table, end="")
    except (*USER_ERRORS, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
