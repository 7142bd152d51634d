"""Training data: verified solutions of a task's instances, each with a quality.

`samples` are the model's own (rejection sampling): draws after a few solved examples, which lead a model that would ramble to short
answers. Every draw that the verifier accepts is kept, equal ones too, and learned as the answer to the question alone. `worked` are
solutions by rule, the answer alone and the answer after its steps, for every training instance.

The quality of a solution is 1 - the share of the model's draws that solve its instance: its reward minus the mean reward there. SFT(Q) and
iw-SFT(Q) train on the multiset of three strata, all solutions, the best half and the best fifth, which are in control the best 10, 5 and
2 % of all trajectories.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

from algos.language import IGNORED
from bench.errors import RunError
from bench.language.options import SAMPLES, Options
from bench.language.sampling import Tokens, sample
from bench.language.tasks import Instance, Task, worked

STRATA = (1.0, 0.5, 0.2)
EXAMPLES = 999  # seed of the instances that are solved in prompts


class Solution(NamedTuple):
    """A verified solution in tokens, the last of which ends it."""

    prompt: Tokens
    completion: Tokens
    quality: float

    @property
    def row(self) -> dict[str, Tokens]:
        """A row of a data set: input_ids, and labels that leave the prompt out."""
        return {"input_ids": self.prompt + self.completion, "labels": [IGNORED] * len(self.prompt) + self.completion}


class Words:
    """Prompts and completions of a tokenizer: its chat template, or "Question: ...", "Answer:" and a line."""

    def __init__(self, tokenizer: Any, prompt: str) -> None:
        self.tokenizer, self.chat = tokenizer, prompt == "chat"
        if self.chat and not getattr(tokenizer, "chat_template", None):
            raise RunError("--prompt chat: the tokenizer of this model has no chat template; use --prompt plain")
        if tokenizer.eos_token_id is None:
            raise RunError("--model: its tokenizer has no token that ends a text (eos_token)")
        self.ends = {int(tokenizer.eos_token_id)}
        if not self.chat:  # tokens of a line's end; a text of several tokens ends at the first
            self.ends |= set(self._ids("\n")[:1])

    def prompt(self, question: str, examples: Sequence[tuple[str, str]] = ()) -> Tokens:
        """The tokens before an answer; examples: questions with their solutions, which come first."""
        if not self.chat:
            return self._ids("".join(f"Question: {q}\nAnswer: {a}\n\n" for q, a in examples) + f"Question: {question}\nAnswer:")
        turns = [{"role": role, "content": text} for pair in examples for role, text in zip(("user", "assistant"), pair, strict=True)]
        chat = [*turns, {"role": "user", "content": question}]
        return self._ids(self.tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False))

    def completion(self, text: str) -> Tokens:
        return [*self._ids(text), int(self.tokenizer.eos_token_id)] if self.chat else self._ids(f" {text}\n")

    def text(self, completion: Tokens) -> str:
        """The text of a completion, without its end; empty if it was cut off."""
        return str(self.tokenizer.decode(completion, skip_special_tokens=True)) if completion and completion[-1] in self.ends else ""

    def _ids(self, text: str) -> Tokens:
        return [int(k) for k in self.tokenizer(text, add_special_tokens=False)["input_ids"]]


def examples_of(task: Task, count: int) -> list[tuple[str, str]]:
    """`count` training questions with worked solutions, by turns the answer alone and the answer after its steps."""
    found = task.instances("train", count, EXAMPLES) if count else []
    return [(instance.question, worked(instance, detailed=k % 2 == 1)) for k, instance in enumerate(found)]


def draw(
    model: Any,
    words: Words,
    task: Task,
    instances: Sequence[Instance],
    draws: int,
    seed: int,
    options: Options,
    examples: Sequence[tuple[str, str]] = (),
) -> tuple[list[list[Tokens]], list[list[bool]]]:
    """Completions of each instance, and whether they solve it; a completion that was cut off does not. draws = 0: the likeliest one."""
    prompts = [words.prompt(i.question, examples) for i in instances]
    temperature = options.temperature if draws else 0.0
    found = sample(model, prompts, draws or 1, temperature=temperature, length=options.length, ends=words.ends, seed=seed)
    right = [[bool(t) and task.solved(i, t) for t in map(words.text, some)] for i, some in zip(instances, found, strict=True)]
    return found, right


def solutions(model: Any, words: Words, task: Task, kind: str, seed: int, options: Options) -> tuple[list[Solution], float]:
    """Verified solutions for the training instances of `seed`, and the share of the model's draws that are right.

    Raises RunError if there is none.
    """
    instances = task.instances("train", options.instances, seed + 1)  # 0: of the evaluation
    examples = examples_of(task, options.examples)
    drawn, right = draw(model, words, task, instances, options.draws, seed, options, examples)
    rates = [sum(own) / len(own) for own in right]
    found: list[Solution] = []
    for instance, completions, own, rate in zip(instances, drawn, right, rates, strict=True):
        prompt = words.prompt(instance.question)
        if kind == SAMPLES:
            kept = [c for c, is_right in zip(completions, own, strict=True) if is_right]
        else:
            kept = [words.completion(worked(instance, detailed)) for detailed in (False, True)]
        found += [Solution(prompt, c, 1 - rate) for c in kept]
    if not found:
        tried = options.instances * options.draws
        raise RunError(f"task {task.name}: none of {tried} samples is right: nothing to train on; use --data worked, or easier --settings")
    return found, sum(rates) / len(rates)


def multiset(found: Sequence[Solution], seed: int) -> list[Solution]:
    """All solutions, the best half and the best fifth by quality, one after the other; ties are broken by `seed`."""
    shuffled = random.Random(seed).sample(list(found), len(found))
    ranked = sorted(shuffled, key=lambda solution: -solution.quality)
    return [solution for share in STRATA for solution in ranked[: max(1, round(share * len(ranked)))]]
