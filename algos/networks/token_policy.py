"""Policies that write token sequences: an observation is the tokens so far, PAD after them, and an action the next token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from algos.networks.mlp import Layout, Params
from algos.networks.precision import tracing
from algos.networks.transformer import HEAD, Transformer

PAD = 0  # fills an observation behind its tokens; a policy never chooses it, because no observation would show it
GROUPS, SMALLEST = 4, 4  # groups of sequences of similar lengths, of at least 4 each
SMALLER = 0.5  # share of running rows from which on the others leave the cache

Noise = Callable[[Tensor], Tensor]
"""Uniform numbers [P, B] in (0, 1), float64, for the steps [P, B] of answers; the first step is number 0."""


@dataclass(frozen=True)
class TokenPolicy:
    """softmax over the next token, by a causal transformer of `hidden` blocks, all of one width.

    context: tokens of an observation. num_actions: tokens of the vocabulary, PAD included.
    """

    context: int
    num_actions: int
    hidden: tuple[int, ...]

    @property
    def net(self) -> Transformer:
        return Transformer(self.num_actions, self.context, self.hidden[0], len(self.hidden))

    @property
    def layout(self) -> Layout:
        return Layout(self.net.shapes)

    def init(self, generators: Sequence[torch.Generator]) -> Tensor:
        """Initial parameters [P, N]."""
        return self.layout.flatten(self.net.init(generators))

    @property
    def noise_width(self) -> int:
        return 1

    def mean(self, params: Params, observations: Tensor) -> Tensor:
        """The likeliest token: [P, B, context] -> [P, B, 1]."""
        return choose(self._next(params, observations), None).unsqueeze(-1).float()

    def draw(self, params: Params, observations: Tensor, uniform: Tensor) -> Tensor:
        """Tokens [P, B, 1] drawn by their probabilities with `uniform` [P, B, 1]."""
        return choose(self._next(params, observations), uniform[..., 0]).unsqueeze(-1).float()

    def log_probs(self, params: Params, observations: Tensor) -> Tensor:
        """Log-probabilities of all tokens given `observations` [P, B, context]: [P, B, num_actions]."""
        return self._next(params, observations).log_softmax(-1)

    def log_prob(self, params: Params, observations: Tensor, actions: Tensor) -> Tensor:
        """Log-probability of `actions` [P, B, 1] given `observations` [P, B, context]: [P, B]."""
        return self.log_probs(params, observations).gather(-1, actions.long()).squeeze(-1)

    def _next(self, params: Params, observations: Tensor) -> Tensor:
        """The next token's logits [P, B, num_actions] after `observations` [P, B, context]."""
        tokens = observations.long()
        places = torch.arange(tokens.shape[-1], device=tokens.device)
        last = torch.where(tokens != PAD, places, 0).amax(-1)
        hidden = self.net(params, tokens)
        at_last = hidden.gather(2, last[..., None, None].expand(-1, -1, 1, hidden.shape[-1])).squeeze(2)
        return self.net.logits(params, at_last)

    def sequence_log_probs(self, params: Params, tokens: Tensor, places: Tensor) -> Tensor:
        """Log-probabilities of all tokens [P, B, T, num_actions] behind the places `places` [P, B, T] of `tokens` [P, B, C].

        On a CPU the sequences are read in GROUPS groups of similar lengths, each without the padding behind its longest.
        """
        size = -(-tokens.shape[1] // GROUPS)
        if tokens.device.type != "cpu" or tracing() or size < SMALLEST:
            return self._read(params, tokens, places)
        lengths = places.amax(-1) + 1
        order, found = lengths.argsort(dim=1, stable=True), []
        for rows in order.split(size, 1):
            own, at = (x.gather(1, rows.unsqueeze(-1).expand(-1, -1, x.shape[-1])) for x in (tokens, places))
            found.append(self._read(params, own[:, :, : int(lengths.gather(1, rows).max())], at))
        back = order.argsort(dim=1)[..., None, None].expand(-1, -1, *found[0].shape[2:])
        return torch.cat(found, 1).gather(1, back)

    def _read(self, params: Params, tokens: Tensor, places: Tensor) -> Tensor:
        hidden = self.net(params, tokens)
        hidden = hidden.gather(2, places.unsqueeze(-1).expand(-1, -1, -1, hidden.shape[-1]))
        return self.net.logits(params, hidden).log_softmax(-1)

    @torch.no_grad()
    def write(self, params: Params, prompts: Tensor, lengths: Tensor, end: int, noise: Noise | None = None) -> Tensor:
        """Prompts with their answers [P, B, context], up to the token `end` or a full context, PAD after it.

        prompts: [P, B, context] int64, PAD after the `lengths` [P, B] tokens of each. noise: of drawn tokens; None: the likeliest ones.
        The same tokens as with `mean` or `draw` on every prefix, computed once a token: keys and values are kept, and rows that have ended
        are left out when few are running.
        """
        net, tokens = self.net, prompts.clone()
        at = int(lengths.min())
        rows = torch.arange(prompts.shape[1], device=prompts.device).expand(prompts.shape[:2])
        cache, running = net.cache(prompts), torch.ones_like(rows, dtype=torch.bool)
        logits = net.logits(params, net.advance(params, cache, prompts[:, :, :at], 0)[:, :, -1])
        while True:
            starts = lengths.gather(1, rows)
            uniform = None if noise is None else noise(at - lengths).gather(1, rows)
            answered = at >= starts
            given = prompts[:, :, at].gather(1, rows)
            token = torch.where(answered, choose(logits, uniform), given).where(running, PAD)
            tokens[:, :, at].scatter_(1, rows, token)
            running = running & ~(answered & (token == end))
            at += 1
            most = int(running.sum(1).max())
            if at == self.context or not most:
                return tokens
            if most < SMALLER * running.shape[1]:
                kept = running.long().argsort(dim=1, descending=True, stable=True)[:, :most]
                rows, running, token, cache = rows.gather(1, kept), running.gather(1, kept), token.gather(1, kept), cache.rows(kept)
            logits = net.logits(params, net.advance(params, cache, token.unsqueeze(-1), at - 1)[:, :, 0])


def choose(logits: Tensor, uniform: Tensor | None) -> Tensor:
    """Tokens [...] other than PAD by `logits` [..., V]: the likeliest, or drawn with `uniform` [...] by inversion."""
    logits = logits.index_fill(-1, torch.tensor([PAD], device=logits.device), -torch.inf)
    if uniform is None:
        return logits.argmax(-1)
    shares = logits.double().softmax(-1).cumsum(-1)
    return (shares < (uniform * shares[..., -1]).unsqueeze(-1)).sum(-1).clamp(max=logits.shape[-1] - 1)


def check_widths(hidden: Sequence[int]) -> bool:
    """True if `hidden` can be the widths of a transformer's blocks: all equal, whole heads."""
    return len(set(hidden)) == 1 and hidden[0] % HEAD == 0
