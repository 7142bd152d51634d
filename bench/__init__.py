"""Benchmark of offline RL and imitation learning: train, evaluate and compare methods on logged data.

    import bench

    run = bench.train("iw_sft_q", "iwsft/hopper/medium-replay-v0", seeds=[0, 1], settings={"updates": 1000})
    run.scores                                   # a data frame, one row per seed
    policy = bench.load_policy(run, seed=0)      # a callable on one observation or a batch
    bench.read_results("results/single")         # the leaderboard of a folder of runs

`import bench` has no side effects and loads nothing heavy: each name is imported when it is first used.
"""

from __future__ import annotations

TYPE_CHECKING = False  # not typing's: nothing slow is imported before a command can answer signals
if TYPE_CHECKING:
    from typing import Any

    from bench.api.data import data_from_arrays, data_from_dict, data_from_file, load_data
    from bench.api.estimate import estimate
    from bench.api.policy import Policy, load_policy
    from bench.api.results import Run, load_run, read_episodes, read_results
    from bench.api.train import evaluate, train

__all__ = [
    "Policy", "Run", "data_from_arrays", "data_from_dict", "data_from_file", "estimate", "evaluate", "load_data", "load_policy", "load_run",
    "read_episodes", "read_results", "train",
]  # fmt: skip
_MODULES = {
    "data": ("data_from_arrays", "data_from_dict", "data_from_file", "load_data"),
    "estimate": ("estimate",),
    "policy": ("Policy", "load_policy"),
    "results": ("Run", "load_run", "read_episodes", "read_results"),
    "train": ("evaluate", "train"),
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"bench.api.{module}"), name)
    raise AttributeError(f"module 'bench' has no attribute '{name}'; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
