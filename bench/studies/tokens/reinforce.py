"""REINFORCE with a leave-one-out baseline on a token task (Kool et al. 2019; Ahmadian et al. 2024, arXiv 2402.14740).

    loss = - mean over sequences of  (R_i - mean of R_j over the other answers j to its prompt) * log pi(answer i | prompt)

Each update answers new training instances; Adam at a constant rate. Every policy gets as many sequences.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from algos.networks.token_policy import TokenPolicy
from algos.optimizer import Adam
from bench.studies.tokens.answers import Answers, log_probs, write
from envs.evaluation.tokens.task import Task
from envs.evaluation.tokens.vocabulary import CONTEXT

STREAM = 0x2E1F  # separates these random numbers from others of the same seed


@dataclass(frozen=True)
class Reinforce:
    """The size of the stage: updates, prompts of an update, answers to each prompt, learning rate."""

    updates: int = 80
    prompts: int = 8
    answers: int = 8
    learning_rate: float = 1e-4

    @property
    def sequences(self) -> int:
        """Generated sequences of a seed."""
        return self.updates * self.prompts * self.answers


def reinforce(
    net: TokenPolicy, flat: Tensor, task: Task, seeds: Sequence[int], settings: Reinforce, on_update: Callable[[int], None] = lambda _: None
) -> Tensor:
    """The policies `flat` [P, N] after the stage; member k depends on `seeds[k]` alone."""
    flat, optimizer = flat.clone(), Adam()
    moments, rate = optimizer.init(flat), torch.full((len(flat),), settings.learning_rate)
    for update in range(settings.updates):
        answers = _answered(net, flat, task, seeds, settings, update)
        leaf = flat.detach().requires_grad_()
        (grad,) = torch.autograd.grad(losses(net, leaf, answers, settings.answers).sum(), leaf)
        optimizer.step(flat, grad, moments, torch.tensor(update), rate)
        on_update(update + 1)
    return flat


def losses(net: TokenPolicy, flat: Tensor, answers: Answers, group: int) -> Tensor:
    """The loss [P] of answers of which every `group` neighbours have one prompt."""
    _, chosen, real = log_probs(net, net.layout.views(flat), answers)
    rewards = answers.solved.float().unflatten(1, (-1, group))
    advantages = (rewards - (rewards.sum(-1, keepdim=True) - rewards) / (group - 1)).flatten(1)
    return -(advantages * torch.where(real, chosen, 0.0).sum(-1)).mean(1)


def _answered(net: TokenPolicy, flat: Tensor, task: Task, seeds: Sequence[int], settings: Reinforce, update: int) -> Answers:
    """Answers to new training instances."""
    instances, noise = [], []
    for seed in seeds:
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, STREAM, update))))
        own = [task.sample(rng, "train") for _ in range(settings.prompts)]
        instances.append([instance for instance in own for _ in range(settings.answers)])
        noise.append(rng.random((len(instances[-1]), CONTEXT)))
    return write(net, flat, task, instances, np.stack(noise))
