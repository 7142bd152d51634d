"""The online phase: after its offline updates a method goes on with steps of its own, one environment for each member.

`Online` is the population in both phases. Update number t below the method's own number is an offline update; from there on it is an
environment step of every member, with `online.updates` updates after it. Evaluation, curves, saves, failed members and worker processes are
those of the first phase. A step acts (the stochastic policy, or the mean plus noise), writes the transition into the member's buffer, and
updates on logged and own transitions (algos/batches/replay.py).

Every random number is a function of the member's seed and of a step's number. The environments' state is not saved: the present episode is
begun again from its seed and its actions, which the buffer holds, and must lead to the observation that was saved.
"""

from __future__ import annotations

import os

import numpy as np
import torch
from torch import Tensor

from algos.base import Algo, Draws, Metrics, State
from algos.batches.replay import Replay
from algos.continuation import ActorCritic, actor_critic, joined_state, load_state, own_stage
from algos.engines import InBfloat16
from algos.methods.awac import AWAC
from algos.networks.policies import standard_normal
from algos.networks.precision import hidden_in_bfloat16
from bench.config.schema import Config, OnlineConfig
from bench.errors import RunError
from bench.storage.layout import ONLINE_RETURN
from bench.training.device import device_of
from envs.data.logged_data import LoggedData
from envs.errors import DataError
from envs.evaluation.action_noise import uniform
from envs.evaluation.collector import Collector, collection_seed, longest_episode
from envs.evaluation.episodes import Moments

BUFFER, OWN = "buffer.", "online."  # beginnings of names in the state
EVALUATION_RATE = (
    0.05  # at which target critics follow while a policy that stays as it is is evaluated (as in algos/estimators/fitted_q.py)
)


def check_online(config: Config, data: LoggedData, members: int) -> None:
    """Raise RunError for an online phase without an environment, or with a buffer that is too small or larger than the memory."""
    online, name = config.online, config.algo.name
    if not online.steps:
        if not config.algo.updates:
            raise RunError(f"algo.updates = 0: {name} learns from its own steps, beside the logged ones; say how many with online.steps")
        return
    if not data.env_spec:
        raise RunError(f"online.steps = {online.steps}: {config.dataset} names no environment to act in; add env=ID, or leave it out")
    if online.buffer_size < min(online.steps, longest := longest_episode(data.env_spec)):
        raise RunError(
            f"online.buffer = {online.buffer}: expected at least {longest}, the longest episode, which a resumed run plays again"
        )
    needed = Replay.bytes_of(members, online.buffer_size, data.observation_width, data.action_width)
    device = device_of(config.device)
    if needed > (memory := _memory_of(device)):
        held = f"{members} members with {online.buffer_size:,} steps each need {needed / 1e9:,.1f} GB"
        owner = "this machine" if device.type == "cpu" else f"{device}"
        raise RunError(f"online.buffer: {held}, {owner} has {memory / 1e9:,.1f} GB; keep fewer with online.buffer=STEPS")


def _memory_of(device: torch.device) -> int:
    """The memory in bytes that buffers on `device` are held in."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


class Online(Algo):
    """The population of `algo`, whose members go on in environments of `logged` after `algo.updates` updates.

    Raises ConfigError for a method that does not go on online (in the stage that `config` asks for).
    """

    def __init__(self, algo: Algo, config: OnlineConfig, logged: LoggedData) -> None:
        self.algo, self.config, self.logged = algo, config, logged
        self.data, self.seeds, self.device = algo.data, algo.seeds, algo.device
        self.offline, self.updates = algo.updates, algo.updates + config.steps
        self.stage = own_stage(algo) if config.stage == "own" else actor_critic(algo, config.batch_size, config.critic_learning_rate)
        self.stride = max(config.updates, config.critic_updates, 1)  # numbers of updates that belong to a step
        size, widths = config.buffer_size, (logged.observation_width, logged.action_width)
        self.replay = Replay(Replay.empty(self.members, size, *widths, self.device, self.stage.own_columns))
        self.unknown = {name: torch.full((self.members,), -torch.inf, device=self.device) for name in self.stage.own_columns}
        self.own = self._beginning()
        self.environments: Collector | None = None
        self.at = 0  # the number of the environments' next step
        self.online = False  # True once the stage learns from its own steps

    def _beginning(self) -> State:
        """Observation, number and length of every member's present episode, its return so far, and the sum of the returns before it."""
        zeros = torch.zeros(self.members, dtype=torch.int64, device=self.device)
        observation = torch.zeros(self.members, self.logged.observation_width, device=self.device)
        return {
            "observation": observation, "episode": zeros, "length": zeros.clone(), "return": zeros.double(), "returns": zeros.double(),
        }  # fmt: skip

    @property
    def state(self) -> State:
        """The state of the method, of its stage, of the buffers and of the present episodes."""
        buffer, own = ({p + k: v for k, v in named.items()} for p, named in ((BUFFER, self.replay.state), (OWN, self.own)))
        return joined_state(self.algo, self.stage) | buffer | own

    @state.setter
    def state(self, state: State) -> None:
        """Use `state`: a whole one, what `checkpoint` returns, or that of the method alone, after its offline updates."""
        buffer, own = ({k[len(p) :]: v for k, v in state.items() if k.startswith(p)} for p in (BUFFER, OWN))
        self.replay.state = {k: _filled(v, buffer.get(k)) for k, v in self.replay.state.items()}
        self.own = self._beginning() | own
        rest = {k: v for k, v in state.items() if not k.startswith((BUFFER, OWN))}
        load_state(self.algo, self.stage, joined_state(self.algo, self.stage) | rest)
        self._close()

    def checkpoint(self, done: int) -> State:
        """The state after `done` updates; of the buffers the slots that hold a step, nothing before the online phase."""
        filled, taken = self.state, min(max(0, done - self.offline), self.replay.size)
        if taken == 0:
            return {k: v for k, v in filled.items() if not k.startswith((BUFFER, OWN))}
        return {k: v[:, :taken] if k.startswith(BUFFER) else v for k, v in filled.items()}

    @torch.no_grad()
    def train(self, start: int, stop: int) -> Metrics:
        metrics: Metrics = {}
        if start < self.offline:
            metrics = self.algo.train(start, min(stop, self.offline))
        for t in range(max(start, self.offline), stop):
            metrics = self._step(t - self.offline)
        return {name: value.clone() for name, value in metrics.items()}

    def _step(self, k: int) -> Metrics:
        """Environment step number `k` of every member, and the updates after it."""
        self._prepare(k)
        self._collect()
        if not self.online:
            self.stage.go_online(self.replay, self.config.offline_share)
            self.online = True
        metrics, episodes = self._update(k), self.own["episode"]
        return metrics | {ONLINE_RETURN: torch.where(episodes > 0, self.own["returns"] / episodes, torch.nan).float()}

    def _update(self, k: int) -> Metrics:
        """The updates after step number `k`; during the warm-up those of the critic alone."""
        config, stage, metrics = self.config, self.stage, Metrics()
        first, warm = self.offline + k * self.stride, k < config.warmup
        stage.penalty_share = 1 + (config.penalty - 1) * (k + 1) / config.steps
        rate = stage.scalar(EVALUATION_RATE)
        with hidden_in_bfloat16(isinstance(self.algo.engine, InBfloat16)):
            for u in range(first, first + (config.critic_updates if warm else config.updates)):
                if warm:
                    assert isinstance(stage, AWAC)
                    metrics = stage.evaluate_policy(stage.draws(u), rate)
                else:
                    stage.before(u)
                    metrics = stage.step(stage.phase(u), stage.draws(u))
        return metrics

    def _collect(self) -> None:
        """Act in every environment and write the step into the buffer. A failed member, whose actions are not finite, stays where it is."""
        assert self.environments is not None
        own, chosen = self.own, self._explore()
        actions, running = chosen.nan_to_num(), chosen.isfinite().all(-1)
        found = self.environments.step(self.logged.to_env(actions.cpu().numpy()), running.cpu().numpy())
        ended = found.terminated | found.truncated
        rewards, terminated, last = (torch.from_numpy(x).to(self.device) for x in (found.rewards, found.terminated, ended))
        observations = torch.from_numpy(found.observations).to(self.device)
        self.replay.taken = self.at
        step = {"observations": own["observation"], "actions": actions, "rewards": rewards, "next_observations": observations}
        self.replay.add({**step, "terminated": terminated, "ended": last, **self.unknown})
        self.at += 1
        own["observation"].copy_(torch.where(running.unsqueeze(1), observations, own["observation"]))
        own["length"] += running
        own["return"] += rewards
        for i in np.flatnonzero(ended).tolist():
            if self.unknown:
                self.stage.end_episode(self.replay, i, torch.arange(self.at - int(own["length"][i]), self.at) % self.replay.size)
            own["episode"][i] += 1
            own["returns"][i] += own["return"][i]
            own["return"][i], own["length"][i] = 0, 0
            own["observation"][i] = self._begin(i)

    def _explore(self) -> Tensor:
        """Actions [P, act] in the unit box: the policy's own, or its mean plus Gaussian noise."""
        own, policy = self.own, self.algo
        seeds = [collection_seed(s, int(e)) for s, e in zip(self.seeds, own["episode"], strict=True)]
        moments = Moments(np.array(seeds, np.int64), own["length"].cpu().numpy())
        observations = own["observation"].unsqueeze(1)
        noise = torch.from_numpy(uniform(moments, policy.noise_width or self.logged.action_width)).to(self.device).unsqueeze(1)
        if policy.noise_width:
            actions = policy.act_sampled(observations, noise)
        else:
            actions = policy.act(observations) + self.config.noise * standard_normal(noise)
        return actions[:, 0].clamp(-1, 1)

    def _begin(self, i: int) -> Tensor:
        """Begin member `i`'s present episode; its first observation."""
        assert self.environments is not None
        return torch.from_numpy(self.environments.begin(i, collection_seed(self.seeds[i], int(self.own["episode"][i])))).to(self.device)

    def _prepare(self, k: int) -> None:
        """Bring the environments to step number `k`. Raises DataError if they do not repeat the present episodes."""
        if self.environments is not None and self.at == k:
            return
        if k == 0 and isinstance(self.stage, ActorCritic):
            self.stage.begin()
        self._close()
        self.environments, self.at = Collector(self.logged.env_spec, self.members), k
        for i in range(self.members):
            length, observation = int(self.own["length"][i]), self.own["observation"][i]
            slots = torch.arange(k - length, k, device=self.device) % self.replay.size
            actions = self.logged.to_env(self.replay.state["actions"][i, slots].nan_to_num().cpu().numpy())
            seed = collection_seed(self.seeds[i], int(self.own["episode"][i]))
            found = torch.from_numpy(self.environments.replay(i, seed, list(actions))).to(self.device)
            if k == 0:
                observation.copy_(found)
            elif bool(observation.isfinite().all()) and not torch.equal(observation, found):
                what = "the environment does not repeat an episode from its seed and actions, so that the run cannot be continued"
                raise DataError(f"{self.logged.dataset}: {what}; force=true begins it anew")

    def _close(self) -> None:
        if self.environments is not None:
            self.environments.close()
            self.environments = None

    # The policy is that of the method, in both phases.

    @property
    def parameters(self) -> int:
        return self.algo.parameters

    def draws(self, update: int) -> Draws:
        return self.stage.draws(update)

    def step(self, phase: int, draws: Draws) -> Metrics:
        return self.stage.step(phase, draws)

    def act(self, observations: Tensor) -> Tensor:
        return self.algo.act(observations)

    @property
    def noise_width(self) -> int:
        return self.algo.noise_width

    def act_sampled(self, observations: Tensor, uniform: Tensor) -> Tensor:
        return self.algo.act_sampled(observations, uniform)

    def frozen(self) -> Algo:
        return self.algo.frozen()

    def diagnostics(self) -> Metrics:
        return self.algo.diagnostics()

    def policy(self) -> dict[str, Tensor]:
        return self.algo.policy()


def _filled(whole: Tensor, part: Tensor | None) -> Tensor:
    """`part` [P, n, ...] at the beginning of a tensor of the shape of `whole`; zeros where there is none."""
    if part is None or part.shape == whole.shape:
        return torch.zeros_like(whole) if part is None else part
    found = torch.zeros_like(whole)
    found[:, : part.shape[1]] = part
    return found
