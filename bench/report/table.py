"""The table that a person reads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bench.report.markdown import table_of
from bench.results.few_seeds import note as few_seeds
from bench.storage.rundir import Row

ORDER = ("bc", "filtered_bc", "sft", "sft_q", "iw_sft", "iw_sft_q")  # others follow in alphabetical order


def markdown(board: pd.DataFrame, records: Sequence[Row]) -> str:
    """Scores of the last iterate under a line that says the protocol: a row a data set, a column a method, or transposed.

    A cell is the mean over seeds and the half-width of its 95 % interval; a data set without reference scores shows raw returns.
    Two runs of one method on one data set stand as two columns, told apart by their hash. What was not measured alike (reference
    family, episodes a seed) stands in tables of its own. Cells with fewer seeds than asked and with failed episodes say so.
    """
    return "\n".join(_table(board[board["config_hash"].isin([r["config_hash"] for r in part])], part) for part in split(records))


def split(records: Sequence[Row]) -> list[list[Row]]:
    """`records` in groups that may share a table: as many final episodes, one reference family (data sets without one join it)."""
    groups: dict[tuple[int, str], list[Row]] = {}
    families: dict[int, set[str]] = {}
    for r in records:
        families.setdefault(r["final_episodes"], set()).update({"none"} if r["reference"] is None else {r["reference"]["name"]})
    for r in records:
        known = families[r["final_episodes"]] - {"none"}
        own = "none" if r["reference"] is None else r["reference"]["name"]
        groups.setdefault((r["final_episodes"], known.copy().pop() if len(known) == 1 else own), []).append(r)
    return [groups[key] for key in sorted(groups)]


def _table(board: pd.DataFrame, records: Sequence[Row]) -> str:
    last = board[board["selection"] == "last"].copy()
    asked = max(len(r["seeds"]) for r in records)
    failures = {r["config_hash"]: r.get("failed_episodes", 0) for r in records}
    last["flag"] = [_flag(len(row.seeds.split()), asked, failures[row.config_hash]) for row in last.itertuples()]
    twice = last.duplicated(["dataset", "algo"], keep=False)
    last["column"] = np.where(twice, last["algo"] + " " + last["config_hash"].str[:4], last["algo"])
    columns = sorted(last["column"].unique(), key=lambda c: (_rank(c.split()[0]), c))
    cells = last.set_index(["dataset", "column"])
    datasets = sorted(last["dataset"].unique())
    names = [_name(dataset, last) for dataset in datasets]
    rows = [[_cell(cells, dataset, c) for c in columns] for dataset in datasets]
    complete = len(last) == len(datasets) * len(columns) and last["score_mean"].notna().all() and last["reference"].nunique() == 1
    if len(datasets) > 1 and complete:
        means = last.groupby("column")["score_mean"].mean()
        names, rows = [*names, "**mean**"], [*rows, [f"{means[c]:.1f}" for c in columns]]
    digests = {(r["dataset"], r["dataset_digest"]) for r in records}
    notes = ["", "Failed: the episode's return was no finite number; it counts as score 0."] if any(failures.values()) else []
    for dataset in datasets:
        if sum(dataset == name for name, _ in digests) > 1:
            notes += ["", f"{dataset}: its runs were made of different data under that name; their digests are in leaderboard.csv."]
    if said := few_seeds([len(row.seeds.split()) for row in last[last["score_mean"].notna()].itertuples()]):
        notes += ["", said]
    for dataset, note in sorted({(r["dataset"], r["note"]) for r in records if r.get("note")}):
        notes += ["", f"{dataset}: {note}."]
    return "\n".join([_protocol(records), "", *table_of(columns, names, rows), *notes, ""])


def _flag(seeds: int, asked: int, failures: int) -> str:
    parts = [f"{seeds} of {asked} seeds"] * (seeds < asked) + [f"{failures} failed"] * (failures > 0)
    return f" ({', '.join(parts)})" if parts else ""


def _protocol(records: Sequence[Row]) -> str:
    def values(*keys: str) -> str:
        return ", ".join(sorted({" x ".join(str(r[k]) for k in keys) for r in records}))

    seeds = ", ".join(sorted({str(len(r["seeds"])) for r in records}))
    references = ", ".join(sorted({"none" if r["reference"] is None else r["reference"]["name"] for r in records}))
    return (
        f"Score (reference set: {references}; 0 random, 100 expert), mean over {seeds} seeds +- half-width of its 95 % interval "
        f"(Student's t over seeds). Selection: last iterate, {values('final_episodes')} episodes a seed, mean action. "
        f"Code {values('code_revision')}."
    )


def _name(dataset: str, last: pd.DataFrame) -> str:
    scored = last[last["dataset"] == dataset]["score_mean"].notna().all()
    return dataset if scored else f"{dataset} (raw return)"


def _cell(cells: pd.DataFrame, dataset: str, column: str) -> str:
    if (dataset, column) not in cells.index:
        return ""
    row = cells.loc[(dataset, column)]
    if np.isnan(row["score_mean"]):
        return f"{row['return_mean']:.0f}{row['flag']}"
    half = row["score_ci_high"] - row["score_mean"]
    return f"{row['score_mean']:.1f}" + ("" if np.isnan(half) else f" +- {half:.1f}") + row["flag"]


def _rank(algo: str) -> int:
    return ORDER.index(algo) if algo in ORDER else len(ORDER)
