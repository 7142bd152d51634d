"""Episodes as token sequences: each observation is the tokens so far, PAD after them, and each action the next token."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from algos.base import Episodes
from algos.errors import ConfigError

CHECKED = 1 << 14  # steps compared at once


@dataclass(frozen=True)
class Sequences:
    """The sequences of E episodes with N steps.

    tokens: [E, C] prompts and answers but for the last token, PAD after them. starts: [E] tokens of each prompt, at least one. offsets:
    [E + 1] as in `Episodes`. episode: [N] of each step.
    """

    tokens: Tensor
    starts: Tensor
    offsets: Tensor
    episode: Tensor

    def of(self, steps: Tensor) -> tuple[Tensor, Tensor]:
        """The tokens [P, B, C] of the sequences of `steps` [P, B, T], and the places [P, B, T] of the tokens before them."""
        episode = self.episode[steps[..., 0]]
        within = steps - self.offsets[episode].unsqueeze(-1)
        return self.tokens[episode], self.starts[episode].unsqueeze(-1) - 1 + within

    def steps_of(self, episodes: Tensor, longest: int) -> Tensor:
        """The steps [B, longest] of `episodes` [B]; behind an episode's end its last step again."""
        within = torch.arange(longest, device=episodes.device)
        return torch.minimum(self.offsets[episodes, None] + within, self.offsets[episodes + 1, None] - 1)


def sequences_of(data: Episodes) -> Sequences:
    """The sequences of `data`. Raises ConfigError, naming episode and step, if an observation is not the tokens so far."""
    lengths, offsets, device = data.lengths, data.offsets, data.observations.device
    episode = torch.repeat_interleave(torch.arange(len(lengths), device=device), lengths)
    within = torch.arange(len(episode), device=device) - offsets[episode]
    context = data.observations.shape[1]
    places = torch.arange(context, device=device)
    first = data.observations[offsets[:-1]]
    starts = torch.where(first != 0, places + 1, 1).amax(1)
    if (long := starts + lengths > context + 1).any():
        number = int(long.long().argmax())
        raise _no_sequence(number, 0, f"{int(starts[number])} tokens and {int(lengths[number])} actions exceed the context of {context}")
    tokens = first.long()
    tokens[episode, (starts[episode] + within).clamp(max=context - 1)] = data.actions[:, 0].long()
    for chunk in torch.arange(len(episode), device=device).split(CHECKED):
        shown = places < (starts[episode[chunk]] + within[chunk]).unsqueeze(1)
        wrong = (data.observations[chunk] != torch.where(shown, tokens[episode[chunk]], 0)).any(1)
        if wrong.any():
            step = int(chunk[wrong.long().argmax()])
            raise _no_sequence(int(episode[step]), int(within[step]), "its observation is not the tokens so far, 0 after them")
    most = int((starts + lengths).max()) - 1
    return Sequences(tokens[:, : max(1, most)], starts, offsets, episode)


def _no_sequence(episode: int, step: int, what: str) -> ConfigError:
    return ConfigError(f"policy=transformer learns from token sequences; episode {episode}, step {step}: {what}; use policy=mlp")
