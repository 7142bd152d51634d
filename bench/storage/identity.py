"""The identity of a run: the part of its record that its configuration determines. run.json repeats it; readers derive it again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from bench.config.estimates import NONE
from envs.data.env_choice import EnvChoice

MOST = 1_000_000  # evaluations of a run with an online phase, which readers list


def identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """Suite, data, method, seeds, updates and protocol of the run of `config` (config.yaml as plain data). Raises KeyError, TypeError."""
    algo, evaluation, choice, online = config["algo"], config["eval"], env_choice(config), config.get("online") or {}
    played, steps = not choice.without, online.get("steps", 0)
    return {
        "suite": config["suite"], "dataset": choice.label(config["dataset"]), "algo": algo["name"], "seeds": list(config["seeds"]),
        "updates": algo["updates"] + steps, "eval_every": evaluation["every"], "eval_episodes": evaluation["episodes"] * played,
        "final_episodes": evaluation["final_episodes"] * played, "last_k": evaluation["last_k"],
        "actions": evaluation.get("actions", "mean"),
        "pi_ref_dataset": config["pi_ref"]["dataset"], "mixed": config["report"]["mixed"], "published": config["report"]["published"],
        "pi_ref_updates": config["pi_ref"].get("updates", 0), "mix_marked": config["report"].get("mix_marked", False),
        "configs_tried": config["report"].get("configs_tried", {}).get(algo["name"], 1),
        "chosen_by": config["report"].get("chosen_by", {}).get(algo["name"], NONE),
        **({"online_steps": steps, "online_every": online["every"] or evaluation["every"]} if steps else {}),
    }  # fmt: skip


def env_choice(config: Mapping[str, Any]) -> EnvChoice:
    """The environment that the run of `config` is evaluated in."""
    return EnvChoice(config.get("env"), config["eval"].get("max_episode_steps"))


def evaluations(record: Mapping[str, Any]) -> Iterator[tuple[int, int, bool]]:
    """(update, episodes a seed, sampled actions) of every evaluation of a run, in order; the last ones are those of the final policies."""
    actions = record.get("actions", "mean")
    for update in chain(on_the_way(record), [record["updates"]]):  # no tuple: a configuration may ask for any number of them
        last = update in ends(record)
        for sampled in modes(actions, last):
            yield update, record["final_episodes" if last else "eval_episodes"], sampled


def ends(record: Mapping[str, Any]) -> tuple[int, ...]:
    """The updates after which `final_episodes` are played: the last, and the last before an online phase."""
    offline, last = record["updates"] - record.get("online_steps", 0), record["updates"]
    return (last,) if offline in (0, last) else (offline, last)


def modes(actions: str, last: bool) -> tuple[bool, ...]:
    """The plays of an evaluation with eval.actions = `actions`, in order: False with mean actions, True with sampled ones."""
    return {"mean": (False,), "sampled": (True,), "both": (False, True) if last else (False,)}[actions]


def on_the_way(record: Mapping[str, Any]) -> Sequence[int]:
    """The updates after which a run is evaluated, without the last. Environment steps of an online phase are counted behind the offline
    updates. Raises ValueError, TypeError."""
    last, steps = record["updates"], record.get("online_steps", 0)
    if not steps:
        return range(record["eval_every"], last, record["eval_every"])
    offline, every = last - steps, record["online_every"]
    if offline // record["eval_every"] + steps // every > MOST:
        raise ValueError(f"more than {MOST:,} evaluations")
    return [*range(record["eval_every"], offline, record["eval_every"]), *ends(record)[:-1], *range(offline + every, last, every)]


def arithmetic(kind: str, precision: str) -> str:
    """The part of a run's hash that names the device: "cpu", "cuda", or these with a precision other than float32."""
    if precision == "float32":
        return kind
    return "cpu, hidden layers bf16" if kind == "cpu" else f"{kind} {precision}"
