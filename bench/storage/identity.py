"""The identity of a run: the part of its record that its configuration determines. run.json repeats it; readers derive it again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bench.config.estimates import NONE
from envs.data.env_choice import EnvChoice


def identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """Suite, data, method, seeds, updates and protocol of the run of `config` (config.yaml as plain data). Raises KeyError, TypeError."""
    algo, evaluation, choice = config["algo"], config["eval"], env_choice(config)
    played = not choice.without
    return {
        "suite": config["suite"], "dataset": choice.label(config["dataset"]), "algo": algo["name"], "seeds": list(config["seeds"]),
        "updates": algo["updates"], "eval_every": evaluation["every"], "eval_episodes": evaluation["episodes"] * played,
        "final_episodes": evaluation["final_episodes"] * played, "last_k": evaluation["last_k"],
        "pi_ref_dataset": config["pi_ref"]["dataset"], "mixed": config["report"]["mixed"], "published": config["report"]["published"],
        "pi_ref_updates": config["pi_ref"].get("updates", 0), "mix_marked": config["report"].get("mix_marked", False),
        "configs_tried": config["report"].get("configs_tried", {}).get(algo["name"], 1),
        "chosen_by": config["report"].get("chosen_by", {}).get(algo["name"], NONE),
    }  # fmt: skip


def env_choice(config: Mapping[str, Any]) -> EnvChoice:
    """The environment that the run of `config` is evaluated in."""
    return EnvChoice(config.get("env"), config["eval"].get("max_episode_steps"))


def evaluations(record: Mapping[str, Any]) -> Iterator[tuple[int, int]]:
    """(update, episodes a seed) of every evaluation of a run, in order; the last is that of the final policies."""
    for update in on_the_way(record):
        yield update, record["eval_episodes"]
    yield record["updates"], record["final_episodes"]


def on_the_way(record: Mapping[str, Any]) -> range:
    """The updates after which a run is evaluated, without the last. Raises ValueError, TypeError."""
    return range(record["eval_every"], record["updates"], record["eval_every"])
