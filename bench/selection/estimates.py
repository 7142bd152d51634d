"""Estimates of the policies of one data set: a value for each estimator and policy, larger for better policies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from algos.base import Algo
from algos.batches.curation import Curation
from algos.estimators.doubly_robust import doubly_robust
from algos.estimators.fitted_q import FittedQ
from algos.estimators.likelihood import curated_likelihood
from algos.estimators.per_decision import per_decision
from algos.estimators.policies import Choices, has_density, log_densities, mean_choices, sampled_choices
from algos.estimators.ratios import effective_episodes, log_weights, normalised_weights, plain_weights
from algos.estimators.td_error import td_error
from bench.config.estimates import ESTIMATES
from bench.selection.logged import Logged
from bench.selection.options import Options

CURATED = Curation([90.0])  # the best tenth by return
AT_ONCE = 1 << 27  # numbers of a group of policies that are in memory together


class Estimates(NamedTuple):
    """Values [P] by estimator, NaN for policies that it cannot rate, and the effective number of episodes [P] behind importance weights."""

    values: dict[str, Tensor]
    effective: Tensor


def estimates(populations: Sequence[Algo], logged: Logged, options: Options) -> Estimates:
    """The estimates of all members of `populations`. Raises RunError if the data lack densities that one needs."""
    if any(ESTIMATES[name].behaviour for name in options.estimators):
        _ = logged.log_density  # an error before anything is fitted
    found = [_of_group(group, logged, options) for group in _groups(populations, logged, options)]
    values = {name: torch.cat([each.values[name] for each in found]) for name in options.estimators}
    return Estimates(values, torch.cat([each.effective for each in found]))


def _groups(populations: Sequence[Algo], logged: Logged, options: Options) -> Iterator[list[Algo]]:
    """`populations` in groups whose actions at all states fit AT_ONCE."""
    each = logged.whole.num_steps * options.samples * (logged.whole.actions.shape[1] + 2)
    group: list[Algo] = []
    for algo in populations:
        if group and (sum(a.members for a in group) + algo.members) * each > AT_ONCE:
            yield group
            group = []
        group.append(algo)
    yield group


def _of_group(group: Sequence[Algo], logged: Logged, options: Options) -> Estimates:
    """The estimates of one group of populations."""
    found: dict[str, Tensor] = {}
    rated = [algo for algo in group if has_density(algo)]
    mask = torch.cat([torch.full((algo.members,), has_density(algo)) for algo in group])
    effective = torch.full((len(mask),), torch.nan, dtype=torch.float64)
    if options.needs("fqe", "td_error"):
        found |= _of_mean_actions(group, logged, options)
    if rated and options.needs("log_likelihood"):
        data = logged.held_out
        density = log_densities(rated, data.observations, data.actions)
        found["log_likelihood"] = curated_likelihood(data, density, CURATED)
    if rated and options.needs("fqe_stochastic", "per_decision_is", "self_normalised_is", "doubly_robust", "weighted_doubly_robust"):
        found |= _of_stochastic_form(rated, logged, options)
        if "effective" in found:
            effective[mask] = found.pop("effective").cpu()
    values = {}
    for name in options.estimators:
        values[name] = torch.full((len(mask),), torch.nan, dtype=torch.float64)
        if name in found:
            values[name][mask if ESTIMATES[name].stochastic else slice(None)] = found[name].double().cpu()
    return Estimates(values, effective)


def _critic(choices: Choices, logged: Logged, options: Options) -> FittedQ:
    """The policies' critics, fitted; `choices` are their actions at the next observations of `logged.fit`."""
    critic = FittedQ(options.fqe, logged.fit, choices)
    critic.fit()
    return critic


def _of_mean_actions(group: Sequence[Algo], logged: Logged, options: Options) -> dict[str, Tensor]:
    """FQE and the TD error of its Q."""
    critic = _critic(mean_choices(group, logged.fit.next_observations), logged, options)
    found = {"fqe": critic.values(logged.starts, mean_choices(group, logged.starts)).mean(1)}
    if options.needs("td_error"):
        data = logged.held_out
        after = critic.values(data.next_observations, mean_choices(group, data.next_observations))
        found["td_error"] = -td_error(data, critic.q(data.observations, data.actions), after, options.fqe.discount)
    return found


def _of_stochastic_form(rated: Sequence[Algo], logged: Logged, options: Options) -> dict[str, Tensor]:
    """FQE of the stochastic form, importance sampling over all episodes, doubly robust estimates over the held-out ones."""
    found: dict[str, Tensor] = {}
    discount, data = options.fqe.discount, logged.held_out
    ratio = None
    if options.needs("per_decision_is", "self_normalised_is", "doubly_robust", "weighted_doubly_robust"):
        ratio = log_densities(rated, logged.whole.observations, logged.whole.actions) - logged.log_density
        weights = log_weights(logged.whole, ratio)
        found["effective"] = effective_episodes(logged.whole, weights)
        found["per_decision_is"] = per_decision(logged.whole, plain_weights(weights), discount)
        found["self_normalised_is"] = per_decision(logged.whole, normalised_weights(logged.whole, weights), discount)
    if not options.needs("fqe_stochastic", "doubly_robust", "weighted_doubly_robust"):
        return found

    def choices(observations: Tensor) -> Choices:
        return sampled_choices(rated, observations, options.samples, options.fqe.seed)

    critic = _critic(choices(logged.fit.next_observations), logged, options)
    found["fqe_stochastic"] = critic.values(logged.starts, choices(logged.starts)).mean(1)
    if ratio is not None:
        weights = log_weights(data, ratio[:, logged.held_out_steps])
        last = data.next_observations[data.offsets[1:] - 1]
        values, after = critic.values(data.observations, choices(data.observations)), critic.values(last, choices(last))
        tables = critic.q(data.observations, data.actions), values, after
        found["doubly_robust"] = doubly_robust(data, plain_weights(weights), *tables, discount)
        found["weighted_doubly_robust"] = doubly_robust(data, normalised_weights(data, weights), *tables, discount)
    return found
