"""Parts of run.json that training writes and `verify` computes again: facts of the data, and the machine that rounding depends on."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import version
from typing import Any

import torch

from bench.config.schema import Config
from bench.training.device import processor
from envs.data.logged_data import LoggedData

PACKAGES = ("torch", "numpy", "gymnasium", "mujoco", "minari")
ROUNDING = ("torch", "numpy", "gymnasium", "mujoco")  # packages whose version can change the last digits of a return


def data_facts(config: Config, data: LoggedData) -> dict[str, Any]:
    """Digest, references, environment and spaces of the data set of the run of `config`."""
    reference = data.reference
    return {
        "dataset_digest": data.trajectories.digest,
        "reference": None if reference is None else reference.to_json(),
        "environment": {
            "spec": data.env_spec, "observation_width": data.observation_width, "action_width": data.action_width,
            **data.units.to_json(),
        },
        "note": "; ".join(filter(None, (data.remarks, _own_environment(config, data)))),
        "data_return_mean": None if data.other_rewards else float(data.trajectories.returns.mean()), "clipped_actions": data.clipped,
    }  # fmt: skip


def _own_environment(config: Config, data: LoggedData) -> str:
    """The remark on a run that was not evaluated in the data set's own environment; empty for others."""
    if config.env_choice.without:
        return "trained without an environment (env=none), so that no episode was played"
    return f"the data set's own environment is {data.own_env}; its reference scores do not hold here" if data.own_env else ""


def machine_facts(device: torch.device) -> dict[str, Any]:
    """Device, processor, threads and versions."""
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "processor": processor(), "system": f"{platform.system()} {platform.machine()}", "threads": torch.get_num_threads(),
        "versions": {"python": sys.version.split()[0], **{p: version(p) for p in PACKAGES}},
    }  # fmt: skip


def same_machine(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """True if two runs with these `machine_facts` round alike. Threads do not count: `verify` sets those of the run."""
    keys = ("device", "processor", "system")
    versions = [{p: (facts.get("versions") or {}).get(p) for p in ROUNDING} for facts in (one, other)]
    return versions[0] == versions[1] and all(one.get(k) is not None and one.get(k) == other.get(k) for k in keys)
