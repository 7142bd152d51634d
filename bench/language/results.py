"""Results of `python -m bench language`: rows.csv (a row for each shard), leaderboard.csv, and table.md.

Scores are per cent of held-out instances. pass@k is the unbiased estimate from the samples of an instance (Chen et al. 2021,
arXiv 2107.03374): the expected best of k of them. A seed's value is the mean over instances; seeds are the sample, as everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench.report.render import markdown, markdown_rows
from bench.report.tables import MARKS_RULE, Cell, Line, Table
from bench.results.best_of_k import expected_best
from bench.results.leaderboard import COLUMNS, NOT_VERIFIABLE, SCHEMA, board_csv
from bench.results.statistics import marks_of, paired, summarise
from bench.storage.layout import Row
from bench.storage.rundir import to_csv
from envs.files import write_atomic

if TYPE_CHECKING:
    from bench.language.options import Options

REFERENCE = "sft"  # the method that the others are compared with
DIFFERENCES = (
    "Differences with 95 % intervals (Student's t): over seeds, which differ in training data and their order, and over held-out instances "
    "for the models of these seeds, which says nothing of another training."
)
ROW = (
    "task", "data", "method", "learning_rate", "chosen", "seed", "updates", "solutions", "draws_right", "validation", "greedy", "pass@1",
    "weight_ess", "weight_clipped", "weight_mean", "seconds", "device", "precision", "digest", "dataset_digest", "code_revision",
)  # fmt: skip


def solved(right: Sequence[Sequence[bool]], k: int) -> np.ndarray:
    """Per cent by which each instance is solved by at least one of k samples, from N >= k samples of it: `right` [instances, N]."""
    return 100 * np.array([expected_best([float(x) for x in own])[k - 1] for own in right])


def by_instance(result: Row, tries: int) -> dict[str, np.ndarray]:
    """The score of every held-out instance, by measure."""
    return {"greedy": solved(result["greedy"], 1)} | {f"pass@{k}": solved(result["held_out"], k) for k in dict.fromkeys((1, tries))}


def row_of(result: Row, tries: int) -> Row:
    """The row of a shard's result."""
    found = {name: result[name] for name in ROW if name in result and result[name] is not None}
    found |= {"validation": float(solved(result["validation"], 1).mean())}
    found |= {measure: float(values.mean()) for measure, values in by_instance(result, tries).items()}
    return found | {"chosen": int(result["chosen"]), "seconds": round(result["seconds"], 1)}


def write(options: Options, settings: Row, results: Sequence[Row], command: str) -> str:
    """Write the files of `results` into the folder of `options`; returns the text of table.md. settings: of the task."""
    rows = [row_of(result, options.tries) for result in results]
    text = to_csv([{k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows], columns_of(options.tries))
    write_atomic(options.out / "rows.csv", text)
    chosen = [row for row in rows if row["chosen"]]
    board = pd.DataFrame(_board(options, chosen), columns=COLUMNS)
    write_atomic(options.out / "leaderboard.csv", board_csv(board))
    instances = {
        (result["data"], result["method"], result["seed"]): by_instance(result, options.tries) for result in results if result["chosen"]
    }
    table = _table_md(options, settings, chosen, instances, command)
    write_atomic(options.out / "table.md", table)
    return table


def columns_of(tries: int) -> list[str]:
    """The columns of rows.csv."""
    at = ROW.index("pass@1") + 1
    return [*ROW[:at], *([f"pass@{tries}"] if tries > 1 else []), *ROW[at:]]


def measures(tries: int) -> dict[str, str]:
    """Columns of scores, and the actions that gave them: the likeliest tokens (mean), or samples."""
    return {"greedy": "mean"} | {f"pass@{k}": "sampled" for k in dict.fromkeys((1, tries))}


def _groups(rows: Sequence[Row]) -> dict[tuple[str, str], dict[str, list[Row]]]:
    """Rows by (task, data) and method, in the order of seeds."""
    found: dict[tuple[str, str], dict[str, list[Row]]] = {}
    for row in sorted(rows, key=lambda row: row["seed"]):
        found.setdefault((row["task"], row["data"]), {}).setdefault(row["method"], []).append(row)
    return found


def _board(options: Options, rows: Sequence[Row]) -> list[Row]:
    """The rows of leaderboard.csv: one for each method, data and measure."""
    found = []
    for (task, data), by_method in _groups(rows).items():
        for method, own in by_method.items():
            for measure, actions in measures(options.tries).items():
                s, first, trained = summarise([row[measure] for row in own]), own[0], own[0]["updates"] > 0
                found.append({
                    "suite": "language", "dataset": f"reasoning-gym/{task}/{data}:{measure}", "algo": method, "selection": "last",
                    "actions": actions, "reference": "share solved", "seeds": " ".join(str(row["seed"]) for row in own),
                    "eval_episodes": options.held_out * (1 if measure == "greedy" else options.tries), "evaluations": 1,
                    "updates": first["updates"], "score_mean": s.mean, "score_std": s.std, "std_ddof": 1, "score_ci_low": s.low,
                    "score_ci_high": s.high, "return_mean": s.mean / 100, "return_std": s.std / 100, "return_ci_low": s.low / 100,
                    "return_ci_high": s.high / 100, "success_rate": s.mean / 100, "config_hash": first["digest"],
                    "dataset_digest": first.get("dataset_digest", ""), "code_revision": first["code_revision"], "device": first["device"],
                    "precision": first["precision"], "wall_time_s": sum(row["seconds"] for row in own), "score_iqm": s.mean,
                    "configs_tried": len(options.learning_rates) if trained else 1, "chosen_by": "environment" if trained else "none",
                    "weight_ess": _mean(own, "weight_ess"), "weight_clipped": _mean(own, "weight_clipped"), "levelled_off": "",
                    "verifiable": NOT_VERIFIABLE, "source": "ours", "citation": "", "schema": SCHEMA, "stepper": "", "engine": "eager",
                })  # fmt: skip
    return found


def _mean(rows: Sequence[Row], name: str) -> float:
    known = [row[name] for row in rows if name in row]
    return float(np.mean(known)) if known else float("nan")


Instances = Mapping[tuple[str, str, int], Mapping[str, np.ndarray]]
"""Scores of held-out instances by (data, method, seed) and measure."""


def _table_md(options: Options, settings: Row, rows: Sequence[Row], instances: Instances, command: str) -> str:
    """table.md: scores with intervals, then each method's difference to SFT, paired by seed and by instance."""
    sizes = ", ".join(f"{key}={value}" for key, value in settings.items())
    layers = f" on the last {options.layers} layers" if options.layers else ""
    rates = ", ".join(f"{rate:g}" for rate in options.learning_rates)
    tuning = f"Learning rates {rates}: every method tried each on seed 0, {options.validation} validation instances chose."
    if len(options.learning_rates) == 1:
        tuning = f"Learning rate {rates} for every method, tuned for none."
    caption = (
        f"{options.model} on reasoning-gym's {options.task} ({sizes}): per cent of {options.held_out} held-out instances, mean +- half of "
        f"the 95 % interval over seeds. {options.updates} updates of {options.batch_size} solutions{layers}; {options.instances} training "
        f"instances and {options.draws} draws of each a seed; {options.tries} samples of an evaluated instance at temperature "
        f"{options.temperature:g}. {tuning}"
    )
    lines, differences = [], [["data, measure", "method", "learning rate", "seeds", "difference to sft", "over seeds", "over instances"]]
    for (task, data), by_method in _groups(rows).items():
        for measure in measures(options.tries):
            values = {m: np.array([row[measure] for row in own]) for m, own in by_method.items()}
            lines.append(_line(f"{task}, {data}: {measure}", values))
            differences += _differences(data, measure, by_method, instances)
    table = Table(caption, [m for m in options.methods if any(m in line.cells for line in lines)], lines, [MARKS_RULE])
    parts = [f"`{command}`", markdown(table).rstrip()]
    if len(differences) > 1:
        parts.append(f"{DIFFERENCES}\n\n" + "\n".join(markdown_rows(differences, "---")))
    return "\n\n".join(parts) + "\n"


def _line(name: str, values: dict[str, np.ndarray]) -> Line:
    marks = dict(zip(values, marks_of([[v] for v in values.values()]), strict=True))
    cells = {}
    for method, own in values.items():
        s = summarise(own)
        mark = marks[method]
        cells[method] = Cell(s.mean, (s.high - s.low) / 2, s.low, s.high, s.std, len(own), mark == "best", "", mark == "tied")
    return Line("data set", name, "mean", cells)


def _differences(data: str, measure: str, rows: dict[str, list[Row]], instances: Instances) -> list[list[str]]:
    """Lines of a table: the difference of every method to SFT, on the seeds that both have."""
    found = []
    for method in (m for m in rows if m != REFERENCE and REFERENCE in rows):
        seeds = sorted({row["seed"] for row in rows[REFERENCE]} & {row["seed"] for row in rows[method]})
        reference, own = (np.stack([instances[data, m, seed][measure] for seed in seeds]) for m in (REFERENCE, method))
        over_seeds, over_instances = (paired([reference.mean(axis)], [own.mean(axis)]) for axis in (1, 0))
        intervals = ("" if np.isnan(d.low) else f"{d.low:+.1f} to {d.high:+.1f}" for d in (over_seeds, over_instances))
        rate = f"{rows[method][0]['learning_rate']:g}"
        found.append([f"{data}, {measure}", method, rate, str(len(seeds)), f"{over_seeds.difference:+.1f}", *intervals])
    return found
