"""The environment of Gymnasium in which policies of a D4RL data set are evaluated."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from envs.data.environments import find_spec
from envs.data.references import table
from envs.errors import DataError


@dataclass(frozen=True)
class EvaluationEnv:
    """Environment `env_id` (with `kwargs`), the nearest one to D4RL's `original`. difference: a remark for tables, or empty.

    entry_point: the class of the environment where it is not the registered one.
    """

    env_id: str
    original: str
    kwargs: tuple[tuple[str, Any], ...] = ()
    difference: str = ""
    entry_point: str = ""

    @property
    def note(self) -> str:
        return f"recorded on {self.original}, evaluated on {self.env_id}{self.difference}"

    def spec(self) -> Any:
        """Gymnasium's spec. Raises DataError for an environment that is not registered."""
        spec = find_spec(self.env_id)
        spec.kwargs.update(self.kwargs)
        spec.entry_point = self.entry_point or spec.entry_point
        return spec


HAND_DISTANCE = ", whose dense reward pays for the hand's distance where D4RL's charges for it"
# -v4 keeps the rewards and observations of -v2 (on the newer simulator), -v5 does not.
ENVIRONMENTS = {
    "halfcheetah": EvaluationEnv("HalfCheetah-v4", "HalfCheetah-v2"),
    "hopper": EvaluationEnv("Hopper-v4", "Hopper-v2"),
    "walker2d": EvaluationEnv("Walker2d-v4", "Walker2d-v2"),
    "ant": EvaluationEnv("Ant-v4", "Ant-v2", (("use_contact_forces", True),)),
    # Gymnasium-Robotics 1.4.2 adds 0.1 times the hand's distance where D4RL subtracts it; its notice says that -v1 was changed.
    "pen": EvaluationEnv("AdroitHandPen-v1", "D4RL's pen-v0"),
    "hammer": EvaluationEnv("AdroitHandHammer-v1", "D4RL's hammer-v0", difference=HAND_DISTANCE),
    "door": EvaluationEnv("AdroitHandDoor-v1", "D4RL's door-v0", difference=HAND_DISTANCE),
    "relocate": EvaluationEnv("AdroitHandRelocate-v1", "D4RL's relocate-v0", difference=HAND_DISTANCE),
}
FORCES = slice(27, 111)  # columns of the ant's observations
CONTACT_FREE = replace(
    ENVIRONMENTS["ant"],
    difference=" with contact forces of 0, as in the file",
    entry_point="envs.evaluation.d4rl_ant:ContactFreeAnt",
)
# No environment of Gymnasium has the observations of these: the difference, and a data set of Minari that was recorded again.
INSTEAD = {
    "maze2d": ("4 numbers, PointMaze's 6 have the goal in them", "D4RL/pointmaze/umaze-v2"),
    "antmaze": ("29 numbers, AntMaze-v4's 27 lack the position and the goal", "D4RL/antmaze/umaze-v1"),
    "kitchen": ("60 numbers with a goal for every joint, FrankaKitchen's 59 have velocities and no goals", "D4RL/kitchen/partial-v2"),
}


def has_d4rl_rewards(env_id: str) -> bool:
    """True if `env_id` is an environment of D4RL's or the nearest one to it (`ENVIRONMENTS`): D4RL's reference scores hold there."""
    originals = {env.original for env in ENVIRONMENTS.values()} | {row["env_id"] for row in table()}
    return env_id in originals | {env.env_id for env in ENVIRONMENTS.values()}


def evaluation_env(name: str, env_id: str | None = None) -> EvaluationEnv:
    """The environment for D4RL's data set `name`: the nearest one, or `env_id`. Raises DataError if there is none."""
    base = name.split("-")[0]
    if env_id is not None and (base not in ENVIRONMENTS or env_id != ENVIRONMENTS[base].env_id):
        return EvaluationEnv(env_id, ENVIRONMENTS[base].original if base in ENVIRONMENTS else "an environment unknown")
    if base in ENVIRONMENTS:
        return ENVIRONMENTS[base]
    differing, instead = INSTEAD.get(base, ("", ""))
    why = f" ({differing}); Minari has it recorded again, such as {instead}" if instead else ""
    raise DataError(f"D4RL's '{name}': no environment of Gymnasium has its observations{why}; --env ENVIRONMENT names one")
