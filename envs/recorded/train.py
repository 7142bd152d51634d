"""Training of a behaviour policy, with snapshots on the way.

PPO (Schulman et al. 2017, arXiv 1707.06347) from SBX on EnvPool, which extra `behaviour` installs. The committed
snapshots were made this way.

The policy draws u ~ Normal(mean(obs), exp(log_std)) and the environment receives tanh(u): actions stay inside the bounds without clipping,
so a logged action has an exact density (`envs.recorded.policy`).
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from envs.files import write_atomic, write_json


@dataclass(frozen=True)
class Settings:
    """The settings that determine the training of a behaviour policy. steps: environment steps. rollout: steps per environment."""

    env: str
    steps: int
    seed: int = 0
    snapshots: int = 20
    num_envs: int = 32
    rollout: int = 128
    batch_size: int = 128
    epochs: int = 10
    learning_rate: float = 3e-4  # linear to 0
    gamma: float = 0.99
    gae_lambda: float = 0.95
    clip_range: float = 0.2
    hidden: int = 64
    log_std_init: float = -0.5


SETTINGS = {
    "hopper": Settings("Hopper-v5", 1_500_000),
    "halfcheetah": Settings("HalfCheetah-v5", 2_000_000),
    "walker2d": Settings("Walker2d-v5", 2_500_000),
    # 105 observations: fewer snapshots keep the file below 1 MB.
    "ant": Settings("Ant-v5", 1_200_000, snapshots=16),
}


def snapshot_rollouts(total: int, count: int) -> list[int]:
    """The PPO updates, of `total`, after which snapshots are taken: the first, the last, and quadratically spaced ones between.

    A policy changes most at the start: equal spacing would leave a gap where medium-replay data are recorded.
    """
    return sorted({round(1 + (total - 1) * (k / (count - 1)) ** 2) for k in range(count)})


def _vector_env(settings: Settings) -> Any:
    import envpool
    from gymnasium import spaces
    from stable_baselines3.common.vec_env import VecEnv, VecMonitor, VecNormalize

    class Pool(VecEnv):
        """EnvPool under Stable-Baselines3's interface, with tanh between the policy and the environment."""

        def __init__(self) -> None:
            self.pool = envpool.make_gymnasium(settings.env, num_envs=settings.num_envs, seed=settings.seed)
            box = self.pool.action_space
            unbounded = spaces.Box(-20, 20, box.shape, np.float32)  # wide enough: tanh(20) is 1, and PPO wants finite bounds
            self.half_range, self.middle = (box.high - box.low) / 2, (box.high + box.low) / 2
            super().__init__(settings.num_envs, self.pool.observation_space, unbounded)

        def reset(self) -> np.ndarray:
            return self.pool.reset()[0]

        def step_async(self, actions: np.ndarray) -> None:
            self.actions = self.middle + self.half_range * np.tanh(actions)

        def step_wait(self) -> tuple:
            obs, rewards, terminated, truncated, _ = self.pool.step(self.actions)
            infos: list[dict] = [{} for _ in range(self.num_envs)]
            ended = np.flatnonzero(terminated | truncated)
            if len(ended):
                for i in ended:
                    infos[i]["terminal_observation"] = obs[i].copy()
                    infos[i]["TimeLimit.truncated"] = bool(truncated[i] and not terminated[i])
                obs[ended] = self.pool.reset(ended)[0]
            return obs, rewards, terminated | truncated, infos

        def close(self) -> None:
            self.pool.close()

        def get_attr(self, attr_name: str, indices: Any = None) -> list:
            return [None] * self.num_envs  # such as render_mode, which EnvPool lacks

        def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
            raise AttributeError(attr_name)

        def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list:
            raise AttributeError(method_name)

        def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
            return [False] * self.num_envs

    # Without a clip of observations, which could not be folded into the first layer.
    return VecNormalize(VecMonitor(Pool()), gamma=settings.gamma, clip_obs=np.inf)


def _folded(params: Any, mean: np.ndarray, var: np.ndarray) -> dict[str, np.ndarray]:
    """The actor's layers as arrays, observation normalisation folded into the first one."""
    layers = [params[f"Dense_{i}"] for i in range(3)]
    std = np.sqrt(var + 1e-8)
    first = np.asarray(layers[0]["kernel"], np.float64) / std[:, None]
    out = {"0.weight": first, "0.bias": np.asarray(layers[0]["bias"], np.float64) - mean @ first}
    for i in (1, 2):
        out |= {f"{i}.weight": layers[i]["kernel"], f"{i}.bias": layers[i]["bias"]}
    return {k: np.asarray(v, np.float32) for k, v in (out | {"log_std": params["log_std"]}).items()}


def train(name: str, settings: Settings, folder: Path) -> None:
    """Train and write `<name>.safetensors` (arrays [snapshot, ...]), `<name>.curve.csv` and `<name>.json` into `folder`.

    Raises ImportError without the packages of extra `behaviour`.
    """
    from sbx import PPO
    from stable_baselines3.common.callbacks import BaseCallback

    env = _vector_env(settings)
    updates = settings.steps // (settings.num_envs * settings.rollout)
    due = snapshot_rollouts(updates, settings.snapshots)
    taken: list[dict[str, np.ndarray]] = []
    curve: list[tuple] = []
    started = time.perf_counter()

    class Keep(BaseCallback):
        update = -1  # on_rollout_start is called before the first update too

        def _on_step(self) -> bool:
            return True

        def snapshot(self) -> None:
            self.update += 1
            if self.update in due:
                taken.append(_folded(self.model.policy.actor_state.params["params"], env.obs_rms.mean, env.obs_rms.var))
            recent = self.model.ep_info_buffer
            if self.update and recent:
                returns = float(np.mean([e["r"] for e in recent]))
                lengths = float(np.mean([e["l"] for e in recent]))
                curve.append((self.update, self.model.num_timesteps, round(returns, 2), round(lengths, 1)))
                if self.update % 20 == 0:
                    rate = self.model.num_timesteps / (time.perf_counter() - started)
                    print(f"{name}: update {self.update}/{updates}, return {returns:.0f}, {rate:.0f} steps/s", flush=True)

        _on_rollout_start = snapshot
        _on_training_end = snapshot

    model = PPO(
        "MlpPolicy", env, seed=settings.seed, n_steps=settings.rollout, batch_size=settings.batch_size, n_epochs=settings.epochs,
        gamma=settings.gamma, gae_lambda=settings.gae_lambda, clip_range=settings.clip_range,
        learning_rate=lambda left: settings.learning_rate * left,
        policy_kwargs={"net_arch": [settings.hidden] * 2, "ortho_init": True, "log_std_init": settings.log_std_init},
    )  # fmt: skip
    model.learn(updates * settings.num_envs * settings.rollout, callback=Keep())
    write_atomic(folder / f"{name}.safetensors", save({k: np.stack([t[k] for t in taken]) for k in taken[0]}))
    rows = [("update", "step", "return_mean_last_100", "length_mean_last_100"), *curve]
    write_atomic(folder / f"{name}.curve.csv", "".join(",".join(map(str, row)) + "\n" for row in rows))
    packages = {p: version(p) for p in ("sbx-rl", "stable-baselines3", "envpool", "jax", "numpy")}
    steps = [u * settings.num_envs * settings.rollout for u in due]
    record = {"settings": asdict(settings), "snapshot_updates": due, "snapshot_steps": steps, "packages": packages,
              "wall_time_s": round(time.perf_counter() - started)}  # fmt: skip
    write_json(folder / f"{name}.json", record)
