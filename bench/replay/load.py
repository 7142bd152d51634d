"""A finished run, loaded from its directory: configuration, record, policies and environment. The training data are not read."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import gymnasium
import torch
from torch import Tensor

from algos.base import Algo, MethodConfig
from algos.members import with_settings
from algos.registry import build
from bench.config.saved import load_config
from bench.config.schema import Config
from bench.errors import RunError, first_line
from bench.results.runs import open_run
from bench.storage.layout import Row
from bench.storage.tensors import DamagedError, unpack
from envs.data.actions import ActionUnits
from envs.data.environments import make
from envs.data.logged_data import LoggedData
from envs.data.references import Reference
from envs.data.trajectories import Trajectories
from envs.errors import DataError

COPIES = 4  # of each parameter: its value, a target's, two moments of Adam


@dataclass(frozen=True, eq=False)
class LoadedRun:
    """The finished run in `folder`.

    record: run.json. environment: the data set's facts (env_spec, action bounds, reference) beside two placeholder steps in place of its
    trajectories. parameters: the final policies by name, [P, ...], member k of seed config.seeds[k].
    """

    folder: Path
    config: Config
    record: Row
    environment: LoggedData
    parameters: dict[str, Tensor]

    def member(self, seed: int) -> int:
        """Position of `seed` on the member axis. Raises RunError for a seed that the run does not have."""
        if seed not in self.config.seeds:
            raise RunError(f"{self.folder}: has no seed {seed}; it has {', '.join(map(str, self.config.seeds))}")
        return self.config.seeds.index(seed)

    def population(
        self, seeds: Sequence[int] | None = None, settings: Mapping[str, Any] | None = None, device: str | torch.device = "cpu"
    ) -> Algo:
        """The policies of `seeds` (default: all) as a population that acts on `device`; it cannot be trained.

        `settings` replace evaluation-only settings of the method, such as CFGRL's guidance. Raises ConfigError for a value that the
        method refuses, RunError for a seed that the run does not have.
        """
        seeds = self.config.seeds if seeds is None else list(seeds)
        method: MethodConfig = with_settings(self.config.algo, dict(settings or {}))
        method.check("algo")
        if hasattr(method, "curation"):
            own_score = {"curation.min_score": None, "curation.score": "return"}  # placeholder data have no other score to filter by
            method = with_settings(method, own_score)
        path, members = self.folder / "policy.safetensors", len(self.config.seeds)
        for name, value in self.parameters.items():
            if value.shape[:1] != (members,) or value.dtype not in (torch.float32, torch.float64):
                kind = f"{value.dtype} of shape {tuple(value.shape)}"
                raise RunError(f"{path}: {name} is {kind}, config.yaml asks for torch.float32, {members} seeds first")
        own = {name: value[[self.member(seed) for seed in seeds]].to(device) for name, value in self.parameters.items()}
        # Acting reads the policy alone, but a method that needs pi_ref asks for one of its policy's shape.
        algo = build(method, self.environment.trajectories.to(device), seeds, own)
        expected, found = ({k: tuple(v.shape) for k, v in named.items()} for named in (algo.policy(), own))
        if wrong := next((k for k in {**expected, **found} if expected.get(k) != found.get(k)), None):
            raise RunError(f"{path}: {wrong} has shape {found.get(wrong)}, config.yaml asks for {expected.get(wrong)}; run it again")
        algo.load_policy(own)
        return algo

    @property
    def env_spec(self) -> str:
        """The environment that evaluation plays in, as Gymnasium's JSON. Raises RunError for a run that was trained without one."""
        if not self.environment.env_spec:
            raise RunError(f"{self.folder}: cannot say how its policies score: trained without an environment (env=none)")
        return self.environment.env_spec

    def make_env(self, **arguments: Any) -> gymnasium.Env:
        """The environment that evaluation plays in; `arguments` go to gymnasium.make.

        Raises DataError for an environment of a package that is not trusted or not installed, RunError for one that cannot be made.
        """
        spec = self.env_spec
        try:
            return make(spec, **arguments)
        except DataError:
            raise
        except Exception as error:  # an environment's constructor can raise anything
            name = json.loads(spec)["id"]
            raise RunError(f"{name}: the environment cannot be made ({first_line(error)})") from error


def load_run(folder: Path, whole: bool = True) -> LoadedRun:
    """The finished run in `folder`; `whole` refuses one of which any file differs from its manifest, the checkpoint's content excepted.

    Raises RunError for a directory without a finished run or with damaged files, ConfigError for a configuration that is refused.
    """
    config, record = load_config(folder), open_run(folder, whole)[0]
    if "environment" not in record:
        raise RunError(f"{folder}/run.json: no key 'environment', an earlier version wrote it; run it again with force=true")
    parameters = read_policy(folder / "policy.safetensors")
    check_memory(folder / "policy.safetensors", config, record, parameters)
    return LoadedRun(folder, config, record, environment_of(record), parameters)


def read_policy(path: Path) -> dict[str, Tensor]:
    """The policies in file `path`, [P, ...] by name. Raises RunError if it is absent or its content does not match its digest."""
    try:
        return unpack(path)[0]
    except FileNotFoundError:
        raise RunError(f"{path.parent}: no {path.name} in it; expected the directory of a finished run") from None
    except DamagedError as error:
        raise RunError(f"{path} is damaged ({error}); run it again with force=true") from error


def check_memory(path: Path, config: Config, record: Row, parameters: Mapping[str, Tensor]) -> None:
    """Raise RunError if config.yaml asks for larger networks than the policy file has, or for more critics than memory holds.

    The method is built with its critics before the policy is put into it.
    """
    widths = [record["environment"]["observation_width"], *config.algo.hidden]
    smallest = len(config.seeds) * sum(a * b for a, b in pairwise(widths))
    found = sum(value.numel() for value in parameters.values())
    if smallest > found:
        raise RunError(f"{path}: has {found:,} numbers; seeds and algo.hidden of config.yaml ask for at least {smallest:,}")
    needed = COPIES * 4 * found * (1 + getattr(config.algo, "critics", 0))
    if needed > (memory := os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")):
        raise RunError(f"{path}: its method needs about {needed:,} bytes of memory; this machine has {memory:,}")


def environment_of(record: Row) -> LoggedData:
    """The facts of the run's data set with placeholder data: two episodes of one step whose
    returns differ, enough to set up any method."""
    facts, reference = record["environment"], record["reference"]
    observations = torch.zeros(2, facts["observation_width"])
    actions = torch.zeros(2, facts["action_width"])
    ends, rewards = torch.ones(2, dtype=torch.bool), torch.tensor([0.0, 1.0])
    steps = Trajectories.from_tensors([observations, actions, rewards, observations, ends, ~ends, torch.arange(3)], facts["num_actions"])
    reference = None if reference is None else Reference(**reference)
    units = ActionUnits.from_json(facts)
    return LoggedData(record["dataset"], steps, units, facts["spec"], reference, record["clipped_actions"], record["note"])
