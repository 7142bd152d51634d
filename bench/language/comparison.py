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


def compare(options: Options, command: str, say: Callable[[str], None] = print) -> str:
    """Do every shard that is missing, writing the tables after each; returns the text of table.md.

    Raises RunError for a mistake, and if another process works in the folder.
    """
    options.check()
    bench = Bench(options, say)
    lock = Lock(options.out / ".lock")
    if not lock.take():
        raise RunError(f"--out {options.out}: {lock.holder()} works in it; wait, or use another folder")
    try:
        rows: list[Row] = []
        text = ""
        for data in options.data:
            for shard, chosen in _shards(bench, data):
                rows.append(bench.result(shard) | {"chosen": chosen})
                text = write(options, bench.task.settings, rows, command)
        return text
    finally:
        lock.release()


def _shards(bench: Bench, data: str) -> Iterator[tuple[Shard, bool]]:
    """Every shard on `data`, and whether its learning rate is the chosen one, in the order in which they are done."""
    options = bench.options
    rates = dict.fromkeys(trained(options), options.learning_rates[0])
    if BASE in options.methods:
        yield from ((Shard(data, BASE, 0.0, seed), True) for seed in range(options.seeds))
    for method in rates:
        results = {rate: bench.result(Shard(data, method, rate, 0)) for rate in options.learning_rates}
        rates[method] = max(results, key=lambda rate: float(np.mean(results[rate]["validation"])))
        yield from ((Shard(data, method, rate, 0), rate == rates[method]) for rate in options.learning_rates)
    for seed in range(1, options.seeds):
        yield from ((Shard(data, method, rate, seed), True) for method, rate in rates.items())


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
