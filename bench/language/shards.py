"""Shards of a run: one method on one kind of data with one learning rate and seed. Each is a file, whole or absent, and never done twice.

OUT/shards/NAME.json holds the result, OUT/data/NAME.json the verified solutions of a seed; names end in a digest of all that determines the
content (model, task, protocol). A process that is killed leaves finished shards, and the same command does the others.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from bench.errors import RunError, first_line
from bench.language.finetuning import finetune, last_layers
from bench.language.models import load_language_model
from bench.language.options import METHODS, Options
from bench.language.solutions import Solution, Words, draw, solutions
from bench.language.tasks import Instance, Task
from bench.language.tokens import model_digest
from bench.storage.layout import Row, digest_of
from envs.errors import DataError
from envs.files import write_json
from envs.revision import code_revision
from envs.untrusted import read_json

FORMAT = 1  # raised when results change
BASE = "base"


class Shard(NamedTuple):
    """A method on a kind of data, with a learning rate and a seed; `base` is the model as it is, with learning rate 0."""

    data: str
    method: str
    learning_rate: float
    seed: int


@dataclass
class Bench:
    """The model, the task and its evaluation, and the files of finished shards."""

    options: Options
    say: Callable[[str], None] = field(default=print)

    def __post_init__(self) -> None:
        self.task = Task(self.options.task, self.options.settings)
        self.model, self.tokenizer = load_language_model(self.options.model)
        self.words = Words(self.tokenizer, self.options.prompt)
        last_layers(self.model, self.options.layers)
        self._identity = FORMAT, self.task.name, self.task.settings, model_digest(self.model)

    def digest(self, *parts: str) -> str:
        """A digest of the model, the task and the options of `parts` (bench.language.options.PARTS)."""
        return digest_of((*self._identity, self.options.protocol(*parts)))

    @cached_property
    def held_out(self) -> list[Instance]:
        return self.task.instances("held_out", self.options.held_out)

    @cached_property
    def validation(self) -> list[Instance]:
        return self.task.instances("validation", self.options.validation)

    def path(self, shard: Shard) -> Path:
        """The file of `shard`; that of the model as it is depends on no data."""
        kind = "base" if shard.method == BASE else f"{shard.data}-{shard.method}-{shard.learning_rate:g}"
        return self.options.out / "shards" / f"{self.task.name}-{kind}-{shard.seed}-{self._digest_of(shard)}.json"

    def _digest_of(self, shard: Shard) -> str:
        return self.digest("evaluation") if shard.method == BASE else self.digest("data", "training", "evaluation")

    def result(self, shard: Shard) -> Row:
        """The result of `shard`: read if it is finished, else computed and written."""
        path = self.path(shard)
        if (found := _read(path)) is None:
            started = time.perf_counter()
            found = self._compute(shard)
            found["seconds"] = time.perf_counter() - started
            write_json(path, found)
            self.say(f"{_spelled(self.task.name, shard)}: {np.mean(found['held_out']):.1%} of samples right, {found['seconds']:.0f} s")
        return found | shard._asdict()

    def _compute(self, shard: Shard) -> Row:
        options, model = self.options, self.model
        facts: Row = {}
        if shard.method != BASE:
            known, facts = self.solutions(shard.data, shard.seed)
            tuned = finetune(model, self.tokenizer, known, shard.method, shard.learning_rate, shard.seed, options)
            model = tuned.model
            facts |= {"weight_ess": tuned.ess, "weight_clipped": tuned.clipped, "weight_mean": tuned.weight}
        playing = for_sampling(model, options.precision, shared=model is self.model)
        found: Row = {**shard._asdict(), "task": self.task.name, "settings": self.task.settings, **facts}
        evaluations = (
            ("validation", self.validation, options.tries),
            ("held_out", self.held_out, options.tries),
            ("greedy", self.held_out, 0),
        )
        for k, (name, instances, draws) in enumerate(evaluations):
            found[name] = draw(playing, self.words, self.task, instances, draws, 10 * shard.seed + k, options)[1]
        device = str(next(playing.parameters()).device.type)
        return found | {"digest": self._digest_of(shard), "updates": options.updates if shard.method != BASE else 0, "device": device,
                        "precision": options.precision, "code_revision": code_revision()}  # fmt: skip

    def solutions(self, data: str, seed: int) -> tuple[list[Solution], Row]:
        """The solutions of `seed`, and facts about them: their number, the share of draws that were right, a digest."""
        path = self.options.out / "data" / f"{self.task.name}-{data}-{seed}-{self.digest('data')}.json"
        if (found := _read(path)) is None:
            playing = for_sampling(self.model, self.options.precision, shared=True)
            known, share = solutions(playing, self.words, self.task, data, seed, self.options)
            rows = [list(solution) for solution in known]
            found = {"facts": {"solutions": len(rows), "draws_right": share, "dataset_digest": digest_of(rows)}, "rows": rows}
            write_json(path, found)
            self.say(f"{self.task.name}, {data}, seed {seed}: {len(rows)} solutions, {share:.1%} of the model's draws are right")
        return [Solution(*row) for row in found["rows"]], dict(found["facts"])


def for_sampling(model: Any, precision: str, shared: bool) -> Any:
    """`model` with parameters in the precision of products; a copy if it is `shared`."""
    if precision == "float32":
        return model
    return (copy.deepcopy(model) if shared else model).to(torch.bfloat16)


def _read(path: Path) -> Any:
    """The content of a JSON file, None if it is absent. Raises RunError for a damaged one."""
    if not path.exists():
        return None
    try:
        return read_json(path.parent, path.name)
    except (DataError, OSError) as error:
        raise RunError(f"{path}: cannot be read ({first_line(error)}); remove it, and the same command makes it again") from None


def _spelled(task: str, shard: Shard) -> str:
    rate = f", learning rate {shard.learning_rate:g}" if shard.learning_rate else ""
    return f"{task}, {shard.data}, {shard.method}{rate}, seed {shard.seed}"


def trained(options: Options) -> list[str]:
    """The methods that are trained."""
    return [name for name in options.methods if METHODS[name][0]]
