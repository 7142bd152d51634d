"""Options of `python -m bench language`, with their meaning and their checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.config.keys import near_names
from bench.errors import RunError, require_folder

METHODS = {
    "base": ("", False),
    "sft": ("sft", False),
    "sft_q": ("sft", True),
    "iw_sft": ("iw_sft", False),
    "iw_sft_q": ("iw_sft", True),
    "dft": ("dft", False),
    "iw_sft_step": ("iw_sft_step", False),
}
"""Weighting (a name of algos.language.OBJECTIVES; none: no training), and whether the data are the multiset of quality strata."""

SAMPLES, WORKED = "samples", "worked"
PROMPTS, PRECISIONS = ("plain", "chat"), ("bf16", "float32")


@dataclass(frozen=True)
class Options:
    """The training, its data and its measurement; `meaning` in the metadata of a field is its line in --help."""

    model: str = field(default="smollm2", metadata={"meaning": "folder, .gguf file, id of the Hub, or smollm2"})
    task: str = field(default="chain_sum", metadata={"meaning": "task of reasoning-gym"})
    settings: Mapping[str, int] = field(default_factory=dict, metadata={"meaning": "of the task, KEY=NUMBER,...; default: easy ones"})
    data: tuple[str, ...] = field(
        default=(SAMPLES,), metadata={"meaning": "samples (the model's own, verified), worked (solutions), or both"}
    )
    methods: tuple[str, ...] = field(default=tuple(METHODS)[:6], metadata={"meaning": f"of {', '.join(METHODS)}"})
    seeds: int = field(default=3, metadata={"meaning": "seeds 0 to N - 1, each with training data of its own"})
    updates: int = field(default=40, metadata={"meaning": "of every method"})
    batch_size: int = field(default=8, metadata={"meaning": "solutions an update"})
    layers: int = field(default=0, metadata={"meaning": "the last N are trained, and nothing else; 0: all parameters"})
    learning_rates: tuple[float, ...] = field(
        default=(5e-5, 3e-4), metadata={"meaning": "tried by every method on seed 0; validation instances choose one"}
    )
    instances: int = field(default=120, metadata={"meaning": "training instances a seed"})
    draws: int = field(default=6, metadata={"meaning": "samples of each training instance"})
    examples: int = field(
        default=4, metadata={"meaning": "solved before the question while samples are drawn; never in training or evaluation"}
    )
    held_out: int = field(default=48, metadata={"meaning": "instances of the final evaluation"})
    validation: int = field(default=24, metadata={"meaning": "instances that choose the learning rate"})
    tries: int = field(default=8, metadata={"meaning": "samples of each evaluated instance: pass@1 and pass@N"})
    temperature: float = field(default=1.0, metadata={"meaning": "of all samples; it divides, 1 is the model's own distribution"})
    length: int = field(default=12, metadata={"meaning": "largest number of tokens of an answer"})
    prompt: str = field(default="plain", metadata={"meaning": "plain (Question: ... Answer:) or chat (the tokenizer's template)"})
    precision: str = field(default="bf16", metadata={"meaning": "bf16 (of products; weights are float32) or float32"})
    out: Path = field(default=Path("results/language"), metadata={"meaning": "folder of the results"})

    def check(self) -> None:
        """Raise RunError or ConfigError for a value that cannot be used."""
        for name in ("seeds", "updates", "batch_size", "instances", "draws", "held_out", "validation", "tries", "length"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), "a positive number")
        for name, known in (("methods", METHODS), ("data", (SAMPLES, WORKED))):
            given = getattr(self, name)
            _require(bool(given), name, "", f"one of {', '.join(known)}")
            for value in given:
                _require(value in known, name, value, f"one of {', '.join(known)}{near_names(value, known)}")
        for name, known in (("prompt", PROMPTS), ("precision", PRECISIONS)):
            _require(getattr(self, name) in known, name, getattr(self, name), f"one of {', '.join(known)}")
        for name in ("examples", "layers"):
            _require(getattr(self, name) >= 0, name, getattr(self, name), "a number of at least 0")
        require_folder("--out", self.out)
        _require(bool(self.learning_rates), "learning_rates", "", "at least one")
        for rate in self.learning_rates:
            _require(0 < rate < 1, "learning_rates", rate, "numbers between 0 and 1")
        _require(self.temperature > 0, "temperature", self.temperature, "a positive number")

    def protocol(self, *parts: str) -> dict[str, Any]:
        """The options that determine a file: those of `parts`, keys of PARTS, and those that determine all of them."""
        return {name: getattr(self, name) for part in ("all", *parts) for name in PARTS[part]}


PARTS = {
    "all": ("temperature", "length", "prompt", "precision"),
    "data": ("instances", "draws", "examples"),
    "training": ("updates", "batch_size", "layers"),
    "evaluation": ("held_out", "validation", "tries"),
}


def _require(holds: bool, name: str, value: object, expected: str) -> None:
    if not holds:
        raise RunError(f"--{name.replace('_', '-')} {value}: expected {expected}")
