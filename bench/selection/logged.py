"""The logged data that estimates are computed from: split by episode, with the densities of their actions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from algos.batches.returns import lambda_returns
from algos.likelihood import likelihood_for
from algos.methods.weighted_bc import WeightedBC
from bench.config.estimates import ESTIMATES
from bench.config.schema import Config
from bench.errors import DataError, RunError
from bench.selection.candidates import Candidates
from bench.selection.options import FITTED, Options
from envs.data.logged_data import LoggedData, differences_between
from envs.data.trajectories import Trajectories
from envs.readers.densities import log_densities
from envs.readers.load import load

SPLIT_STREAM = 0x5E1


@dataclass
class Logged:
    """Logged episodes: `whole`, and split into those that a Q is fitted to, `fit`, and the others, `held_out`.

    held_out_steps: [M], the steps of `held_out` in `whole`. dataset: their expression. config: of a run, whose pi_ref can be fitted.
    """

    dataset: str
    config: Config
    whole: Trajectories
    fit: Trajectories
    held_out: Trajectories
    held_out_steps: Tensor
    behaviour: str

    @property
    def starts(self) -> Tensor:
        """The first observation of every episode, [E, obs]."""
        return self.whole.observations[self.whole.offsets[:-1]]

    @cached_property
    def log_density(self) -> Tensor:
        """log b(a | s) [N] of the steps of `whole`. Raises RunError where the data state none and none is to be fitted."""
        if self.behaviour == FITTED:
            return _fitted(self.config, self.whole)
        try:
            return log_densities(self.dataset, self.config.env_choice).to(self.whole.rewards.device)
        except DataError as error:
            free = ",".join(name for name, needs in ESTIMATES.items() if not needs.behaviour)
            what = f"the log-density of its actions; select --behaviour {FITTED} fits pi_ref to the data, --estimators {free} needs none"
            raise RunError(f"{error}, {what}") from error

    def to_undiscounted(self, discount: float) -> tuple[float, float]:
        """Intercept and slope of the episodes' returns by their discounted returns (least squares)."""
        data = self.whole
        zero, one = torch.zeros(1, len(data.rewards), device=data.rewards.device), torch.ones(1, device=data.rewards.device)
        sums = lambda_returns(data, data.rewards, zero, zero[:, : data.num_episodes], discount * one, one)[0, data.offsets[:-1]]
        x, y = sums.double().cpu().numpy(), data.returns.cpu().numpy()
        slope = float(np.cov(x, y, bias=True)[0, 1] / x.var()) if x.var() > 0 else 1.0
        return float(y.mean() - slope * x.mean()), slope


def logged(candidates: Candidates, options: Options, device: torch.device) -> Logged:
    """The data of `options`, by default those that the runs of `candidates` were trained on, split by episode with the seed of `fqe`.

    Raises RunError for other data than the runs', or data that their policies do not fit.
    """
    config = candidates.config
    dataset = options.data or config.dataset
    data = load(dataset, choice=config.env_choice, download=options.download)
    if options.data is None:
        if data.trajectories.digest != candidates.record["dataset_digest"]:
            digests = f"{data.trajectories.digest[:12]}, not {candidates.record['dataset_digest'][:12]}"
            raise RunError(f"{dataset}: the data on this machine are not those that the runs were trained on (digest {digests})")
    else:
        _check_fit(candidates, data, options)
    whole = data.trajectories.to(device)
    if whole.num_episodes < 2:
        raise RunError(f"{dataset}: has one episode; expected at least two, to hold some out")
    order = np.random.default_rng([options.fqe.seed, SPLIT_STREAM]).permutation(whole.num_episodes)
    count = min(whole.num_episodes - 1, max(1, round(options.held_out * whole.num_episodes)))
    held_out, fit = (torch.from_numpy(np.sort(part)).to(device) for part in (order[:count], order[count:]))
    steps = whole.steps_of(held_out)
    return Logged(dataset, config, whole, whole.only(fit), whole.only(held_out), steps, options.behaviour)


def _check_fit(candidates: Candidates, data: LoggedData, options: Options) -> None:
    """Raise RunError unless the policies can act on `data`."""
    facts = candidates.record["environment"]
    own = data.observation_width, data.action_width, data.trajectories.num_actions
    expected = tuple(facts[name] for name in ("observation_width", "action_width", "num_actions"))
    if own != expected:
        what = "observation width, action width and number of discrete actions"
        raise RunError(f"--data {options.data}: {what} are {own}; the runs on {candidates.dataset} have {expected}")
    other = load(candidates.config.dataset, choice=candidates.config.env_choice, download=options.download)
    if difference := differences_between(data, other):
        raise RunError(f"--data {options.data}: has other {difference} than {candidates.dataset}; its returns are of another task")


def _fitted(config: Config, data: Trajectories) -> Tensor:
    """log pi_ref(a | s) [N] of a pi_ref fitted to `data` with the run's settings, one member of seed 0."""
    algo = WeightedBC(config.pi_ref_algo, data, [0])
    algo.train(0, algo.updates)
    everything = torch.arange(data.num_steps, device=data.rewards.device)
    return likelihood_for(algo.policy_net, data, 1).all_of(algo.state["policy"], everything)[0].double()
