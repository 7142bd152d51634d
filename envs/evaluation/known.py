"""The environments whose observations, rewards and terminations `envs.evaluation.locomotion` computes.

An environment is known if its specification names one of Gymnasium's classes with no wrapper but the limit of steps, and the code of the
class's methods is the one that the formulas were taken from. Comments, docstrings and line breaks do not count.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import textwrap
from functools import lru_cache
from typing import Any

from envs.evaluation import locomotion
from envs.evaluation.locomotion import Locomotion

OWN = ("step", "_get_rew", "_get_obs", "healthy_reward", "is_healthy", "control_cost", "contact_forces", "contact_cost")
INHERITED = ("do_simulation", "_step_mujoco_simulation", "state_vector", "dt", "reset")
"""Methods of a class that the formulas stand for: its own, and those of MujocoEnv."""
MODULE = "gymnasium.envs.mujoco."
WRAPPERS = ("gymnasium.wrappers.", "gymnasium.wrappers:")
D4RL_ANT = "envs.evaluation.d4rl_ant:"
SIMULATION = ("do_simulation", "_step_mujoco_simulation")
TASKS: dict[str, tuple[type[Locomotion], str]] = {
    "ant_v5:AntEnv": (locomotion.Ant, "d9c1cba246087f6a"),
    "half_cheetah_v5:HalfCheetahEnv": (locomotion.Locomotion, "0bf47a30985ed0a5"),
    "hopper_v5:HopperEnv": (locomotion.Hopper, "fe301742d7b99e91"),
    "swimmer_v5:SwimmerEnv": (locomotion.Swimmer, "23b2bcac2b0486ab"),
    "walker2d_v5:Walker2dEnv": (locomotion.Walker2d, "b74da9ca182313e0"),
}
"""Formulas and digest of the methods, by class; the digests are those of Gymnasium 1.2 to 1.4."""


def known_task(spec: Any) -> type[Locomotion] | None:
    """The formulas for Gymnasium's `spec`; None for an environment that is not known."""
    from gymnasium.envs.registration import load_env_creator

    name = str(spec.entry_point).removeprefix(MODULE)
    if name not in TASKS or spec.entry_point != MODULE + name or spec.additional_wrappers or spec.kwargs.get("render_mode") == "human":
        return None
    task, digest = TASKS[name]
    kind: Any = load_env_creator(spec.entry_point)
    return task if digest_of(kind) == digest else None


def steps_by_itself(spec: Any) -> bool:
    """True if threads may call `step` of environments of Gymnasium's `spec`: their code is Gymnasium's, and shares nothing between them."""
    from gymnasium.envs.mujoco.mujoco_env import MujocoEnv
    from gymnasium.envs.registration import load_env_creator

    names = [wrapper.entry_point for wrapper in spec.additional_wrappers or ()]
    if not str(spec.entry_point).startswith((MODULE, D4RL_ANT)) or not all(name.startswith(WRAPPERS) for name in names):
        return False
    try:
        kind: Any = load_env_creator(spec.entry_point)
    except (ImportError, AttributeError):  # processes report it
        return False
    own = isinstance(kind, type) and issubclass(kind, MujocoEnv) and all(getattr(kind, k) is getattr(MujocoEnv, k) for k in SIMULATION)
    return own and spec.kwargs.get("render_mode") != "human"


def made_as_known(env: Any) -> bool:
    """True if `gymnasium.make` wrapped `env` in nothing but the limit of steps and the check of the order of calls."""
    from gymnasium.wrappers import OrderEnforcing, TimeLimit

    return type(env) is TimeLimit and type(env.env) is OrderEnforcing and env.env.env is env.unwrapped


@lru_cache
def digest_of(kind: type) -> str:
    """The digest of the methods OWN and INHERITED of `kind`, a class derived from MujocoEnv; empty for another class or without source."""
    from gymnasium.envs.mujoco.mujoco_env import MujocoEnv

    if not isinstance(kind, type) or kind.__mro__[1] is not MujocoEnv:
        return ""
    found = hashlib.sha256()
    try:
        for owner, names in ((kind, OWN + INHERITED), (MujocoEnv, INHERITED)):
            for name in names:
                found.update(repr((name, _code(vars(owner).get(name)))).encode())
    except (OSError, TypeError, SyntaxError):
        return ""
    return found.hexdigest()[:16]


def _code(method: Any) -> Any:
    """The code of a method or property as nested tuples, without docstrings and annotations; None for an absent one."""
    if method is None:
        return None
    function: Any = method.fget if isinstance(method, property) else method
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    return _tuples(definition)


def _tuples(node: Any) -> Any:
    if isinstance(node, list):
        return tuple(_tuples(item) for item in node if not (isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant)))
    if not isinstance(node, ast.AST):
        return node
    # Empty fields are left out: versions of Python differ in them.
    fields = ((k, _tuples(v)) for k, v in ast.iter_fields(node) if k not in ("annotation", "returns", "kind") and v not in (None, []))
    return (type(node).__name__, *fields)
