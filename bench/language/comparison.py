"""`python -m bench language`: every method on verified solutions, with the same updates and the same choice of a learning rate.

Each method trains seed 0 once with every learning rate; the one whose samples solve most validation instances trains the other seeds. The
held-out instances have no part in that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from bench.errors import RunError
from bench.language.models import load_language_model
from bench.language.options import Options
from bench.language.results import write
from bench.language.shards import BASE, Bench, Shard, for_sampling, trained
from bench.language.solutions import Words, draw, examples_of
from bench.language.tasks import TASKS, Task
from bench.storage.layout import Row
from bench.storage.locks import Lock


def compare(options: Options, command: str, say: Callable[[str], None] = print, train: bool = True) -> str:
    """Do every shard that is missing, writing the tables after each; returns the text of table.md.

    Without `train`, the tables are those of the finished shards. Raises RunError for a mistake, if another process works in the folder, and
    if there is no shard.
    """
    options.check()
    bench = Bench(options, say)
    lock = Lock(options.out / ".locks" / "comparison.lock")
    if not lock.take():
        raise RunError(f"--out {options.out}: {lock.holder()} works in it; wait, or use another folder")
    try:
        rows: list[Row] = []
        text = ""
        for data in options.data:
            for shard, chosen in _shards(bench, data, train):
                rows.append(bench.result(shard) | {"chosen": chosen})
                if train:
                    text = write(options, bench.task.settings, rows, command)
        if not rows:
            raise RunError(f"--out {options.out}: no finished shard of this model, task and options in it; run it without --no-runs")
        return text or write(options, bench.task.settings, rows, command)
    finally:
        lock.release()


def _shards(bench: Bench, data: str, train: bool) -> Iterator[tuple[Shard, bool]]:
    """Every shard on `data`, and whether its learning rate is the chosen one, in the order in which they are done.

    Without `train`, the finished ones.
    """
    options = bench.options
    rates: dict[str, float] = {}

    def wanted(shards: list[Shard]) -> list[Shard]:
        return [shard for shard in shards if train or bench.path(shard).exists()]

    if BASE in options.methods:
        yield from ((shard, True) for shard in wanted([Shard(data, BASE, 0.0, seed) for seed in range(options.seeds)]))
    for method in trained(options):
        tried = wanted([Shard(data, method, rate, 0) for rate in options.learning_rates])
        if tried:
            best = max(tried, key=lambda shard: float(np.mean(bench.result(shard)["validation"])))
            rates[method] = best.learning_rate
            yield from ((shard, shard == best) for shard in tried)
    for seed in range(1, options.seeds):
        yield from ((shard, True) for shard in wanted([Shard(data, method, rate, seed) for method, rate in rates.items()]))


def find(options: Options, tasks: Sequence[str], say: Callable[[str], None] = print) -> list[str]:
    """Lines of a table: what the model solves of each of `tasks` (empty: TASKS), without and with solved examples before the question."""
    options.check()
    known = [Task(name, options.settings) for name in tasks or TASKS]
    model, tokenizer = load_language_model(options.model)
    playing, words = for_sampling(model, options.precision, shared=False), Words(tokenizer, options.prompt)
    lines = [
        f"| task | settings | samples right | with {options.examples} examples | pass@{options.tries} with examples |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for line in lines:
        say(line)
    for task in known:
        instances = task.instances("validation", options.validation)
        plain, led = (
            draw(playing, words, task, instances, options.tries, 0, options, examples)[1]
            for examples in ([], examples_of(task, options.examples))
        )
        settings = ", ".join(f"{k}={v}" for k, v in task.settings.items())
        lines.append(f"| {task.name} | {settings} | {np.mean(plain):.0%} | {np.mean(led):.0%} | {np.mean(np.any(led, 1)):.0%} |")
        say(lines[-1])
    return lines
