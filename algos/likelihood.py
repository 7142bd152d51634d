"""Log-likelihoods of logged actions: one step at a time, or all steps of a token sequence in one pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from algos.base import Episodes
from algos.batches.sampling import Batch
from algos.batches.sequences import Sequences, sequences_of
from algos.networks.mlp import Params
from algos.networks.token_policy import TokenPolicy

CHUNK = 16_384  # steps per member in one forward pass without gradient
SEQUENCES = 256  # sequences per member in one forward pass without gradient


@dataclass
class StepLikelihood:
    """Log-likelihoods of logged actions under a policy."""

    policy_net: Any  # of algos/networks/policies.py
    data: Episodes

    def __call__(self, params: Params, step: Tensor) -> Tensor:
        """Log-likelihoods [P, B] of the steps `step` [P, B]."""
        log_prob: Tensor = self.policy_net.log_prob(params, self.data.observations[step], self.data.actions[step])
        return log_prob

    def of_batch(self, params: Params, batch: Batch) -> Tensor:
        """Log-likelihoods [P, L] of the steps of `batch`."""
        return self(params, batch.step)

    def kl(self, params: Params, other: Params, step: Tensor) -> Tensor:
        """KL(params || other) [P, B] at the steps `step` [P, B]."""
        found: Tensor = self.policy_net.kl(params, other, self.data.observations[step])
        return found

    def mean_kl(self, params: Params, other: Params, steps: Tensor) -> Tensor:
        """Mean KL(params || other) [P] over the steps `steps` [P, K]."""
        return self.kl(params, other, steps).mean(1)

    @torch.no_grad()
    def all_of(self, flat: Tensor, steps: Tensor) -> Tensor:
        """Log-likelihoods [P, K] of the steps `steps` [K] under flat parameters [P, N]; in chunks, without gradient."""
        params = self.policy_net.layout.views(flat)
        found = flat.new_empty(len(flat), len(steps))  # allocated first: small results between large pieces would fragment memory
        for part, chunk in zip(found.split(CHUNK, 1), steps.split(CHUNK), strict=True):
            part.copy_(self(params, chunk.expand(len(flat), -1)))
        return found


@dataclass
class SequenceLikelihood(StepLikelihood):
    """The same for a `TokenPolicy`: steps of one sequence share a forward pass.

    batch_size: sequences of a batch, whose steps come sequence by sequence, as many of each.
    """

    policy_net: TokenPolicy
    batch_size: int

    def __post_init__(self) -> None:
        """Find the data's sequences. Raises ConfigError for data that are none."""
        self.sequences: Sequences = sequences_of(self.data)

    def __call__(self, params: Params, step: Tensor) -> Tensor:
        """Log-likelihoods [P, B] of the steps `step` [P, B]; each costs a pass over its sequence."""
        return self._of(params, step.unsqueeze(-1)).squeeze(-1)

    def of_batch(self, params: Params, batch: Batch) -> Tensor:
        return self._of(params, batch.step.unflatten(1, (self.batch_size, -1))).flatten(1)

    def kl(self, params: Params, other: Params, step: Tensor) -> Tensor:
        """KL(params || other) [P, L] at the steps `step` [P, L] of a batch."""
        return self._kl(params, other, step.unflatten(1, (self.batch_size, -1))).flatten(1)

    def mean_kl(self, params: Params, other: Params, steps: Tensor) -> Tensor:
        """Mean KL(params || other) [P] over the steps `steps` [P, K], the same for all members."""
        return self._by_sequence(lambda own: self._kl(params, other, own), len(steps), steps[0]).mean(1)

    @torch.no_grad()
    def all_of(self, flat: Tensor, steps: Tensor) -> Tensor:
        params = self.policy_net.layout.views(flat)
        return self._by_sequence(lambda own: self._of(params, own), len(flat), steps)

    @torch.no_grad()
    def _by_sequence(self, values: Callable[[Tensor], Tensor], members: int, steps: Tensor) -> Tensor:
        """`values` [P, K] of the steps `steps` [K], from one pass over each of their sequences."""
        episodes, row = torch.unique(self.sequences.episode[steps], return_inverse=True)
        table = self.data.observations.new_empty(members, len(episodes), int(self.data.lengths.max()))
        for part, chunk in zip(table.split(SEQUENCES, 1), episodes.split(SEQUENCES), strict=True):
            part.copy_(values(self.sequences.steps_of(chunk, part.shape[2]).expand(members, -1, -1)))
        return table[:, row, steps - self.data.offsets[episodes[row]]]

    def _kl(self, params: Params, other: Params, steps: Tensor) -> Tensor:
        """KL(params || other) [P, B, T] at `steps` [P, B, T], those of a row in one sequence."""
        p, q = (self._log_probs(which, steps) for which in (params, other))
        return (p.exp() * (p - q)).sum(-1)

    def _of(self, params: Params, steps: Tensor) -> Tensor:
        """Log-likelihoods [P, B, T] of `steps` [P, B, T], those of a row in one sequence."""
        chosen = self.data.actions[steps].long()
        return self._log_probs(params, steps).gather(-1, chosen).squeeze(-1)

    def _log_probs(self, params: Params, steps: Tensor) -> Tensor:
        tokens, places = self.sequences.of(steps)
        return self.policy_net.sequence_log_probs(params, tokens, places)


def likelihood_for(policy_net: Any, data: Episodes, batch_size: int) -> StepLikelihood:
    """The log-likelihoods of `data` under `policy_net`, in batches of `batch_size` sequences if it writes sequences."""
    return SequenceLikelihood(policy_net, data, batch_size) if isinstance(policy_net, TokenPolicy) else StepLikelihood(policy_net, data)
