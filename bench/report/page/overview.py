"""Protocol of a suite, and warnings that precede its numbers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from bench.numbers import spell_seeds
from bench.report.page.runs import finished_at
from bench.report.tables import ACTIONS, WEIGHT_FAULTS
from bench.results.episodes import reference_name
from bench.results.levelling import RISES, has_few_updates, training_marks
from bench.results.names import in_order, method_names
from bench.results.pooling import each_once
from bench.results.protocol import comparable_groups
from bench.results.runs import Runs


def protocol(runs: Runs, results: Runs) -> list[tuple[str, str]]:
    """(name, value) of every part of the protocol: methods, data, seeds, evaluation, selection, versions.

    results: `runs`, pooled.
    """
    records = [record for record, _ in runs]

    def values(key: str) -> str:
        return ", ".join(sorted({str(r[key]) for r in records}))

    seeds = sorted({spell_seeds(r["seeds"]) for r in records})
    versions = sorted({", ".join(f"{name} {v}" for name, v in r["versions"].items()) for r in records})
    times = sorted(finished_at(r) for r in records)
    played = {record["actions"] for record, _ in results}
    actions = " and ".join(ACTIONS[name] for name in ACTIONS if name in played)
    evaluation = (
        f"{actions}; {values('eval_episodes')} episodes a seed every {values('eval_every')} updates; starts depend on the seed alone"
    )
    selection = f"last iterate, {values('final_episodes')} episodes a seed; the leaderboard also has the best and the mean of the last k"
    return [
        ("Methods", ", ".join(in_order([r["algo"] for r in records]))),
        ("Data sets", values("dataset")),
        ("Seeds", "; ".join(seeds)),
        ("Runs", f"{len(records)} finished, {sum(len(r['seeds']) for r in records)} seeds in all"),
        ("Updates", values("updates")),
        ("Evaluation", evaluation),
        ("Selection", selection),
        ("Score", f"100 (return - random) / (expert - random); reference set: {', '.join(sorted(set(map(reference_name, records))))}"),
        ("Interval", "95 %: Student's t over seeds on a data set, stratified bootstrap over seeds for aggregates"),
        ("Finished", times[0] if times[0] == times[-1] else f"{times[0]} to {times[-1]}"),
        ("Device", values("device")),
        ("Code", values("code_revision")),
        ("Versions", "; ".join(versions)),
    ]


def warnings(suite: Path, runs: Runs, results: Runs) -> list[str]:
    """Importance weights that failed, missing runs, failed episodes, several protocols, single seeds, uncommitted code.

    runs: as they are in folder `suite`; results: the same, pooled.
    """
    records = [record for record, _ in runs]
    found = []
    judged = each_once(results)
    for (record, episodes), method in zip(judged, method_names([record for record, _ in judged]), strict=True):
        if RISES in training_marks(record, episodes):
            found.append(f"{method} on {record['dataset']}: still rises after {record['updates']:,} updates")
    for record, method in zip(records, method_names(records), strict=True):
        name = f"{method} on {record['dataset']}"
        if record["failed_episodes"]:
            found.append(f"{name}: {record['failed_episodes']} episodes failed (no finite return) and count as score 0")
        for fault, meaning in WEIGHT_FAULTS.items():
            if fault in record.get("weights", {}):
                found.append(f"{name}: weights {fault} after update {record['weights'][fault]:,}: {meaning}")
    if few := in_order([r["algo"] for r in records if has_few_updates(r)]):
        found.append(f"fewer updates than the papers': {', '.join(few)}")
    cells = Counter((r["dataset"], r["algo"]) for r in records)
    datasets, algos = ({k[i] for k in cells} for i in (0, 1))
    for algo in sorted(algos):
        if missing := [d for d in sorted(datasets) if not cells[d, algo]]:
            found.append(f"{algo} on {', '.join(missing)}: no finished run")
    if unfinished := len(list(suite.glob("runs/*/run.json"))) - len(runs):
        found.append(f"unfinished runs, left out: {unfinished}")
    if (groups := len(comparable_groups([r for r, _ in results if r["final_episodes"]]))) > 1:
        found.append(
            f"{groups} protocols (reference set, number of final episodes, actions): one table each; figures show the largest group"
        )
    if any(len(r["seeds"]) < 2 for r, _ in results):
        found.append("results of one seed have no interval and no test")
    if any(str(r["code_revision"]).endswith("-dirty") for r in records):
        found.append("some runs were made by code with uncommitted changes (-dirty)")
    return found
