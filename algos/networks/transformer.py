"""Causal transformers for a population: the first dimension of every parameter, input and output is the member.

Blocks of attention and a ReLU layer, each added to its input, which is normalised first (pre-norm: Xiong et al. 2020, arXiv 2002.04745).
The normalisation has no parameters of its own: a scale would be one with the weights of the layer that follows. Learned positions, heads
of 16, no dropout, no biases.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from algos.networks.mlp import Params
from algos.networks.precision import hidden_dtype, tracing

HEAD = 16  # width of an attention head
WIDER = 4  # width of a block's ReLU layer over that of the block
EMBEDDING = 0.1  # standard deviation of initial embeddings and positions

SCORES = 1 << 24  # scores of attention that may be in memory at once

Shapes = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass
class Cache:
    """Keys and values [P, B, heads, context, HEAD] of every block, of the positions read so far."""

    keys: list[Tensor]
    values: list[Tensor]

    def rows(self, kept: Tensor) -> Cache:
        """The cache of the rows `kept` [P, B'] of each member."""
        index = kept[:, :, None, None, None]
        found = [[x.gather(1, index.expand(-1, -1, *x.shape[2:])) for x in part] for part in (self.keys, self.values)]
        return Cache(*found)


@dataclass(frozen=True)
class Transformer:
    """`blocks` blocks of width `width` over sequences of at most `context` tokens, numbers below `vocabulary`."""

    vocabulary: int
    context: int
    width: int
    blocks: int

    @property
    def heads(self) -> int:
        return self.width // HEAD

    @property
    def shapes(self) -> Shapes:
        d = self.width
        layers = (("qkv", (d, 3 * d)), ("out", (d, d)), ("up", (d, WIDER * d)), ("down", (WIDER * d, d)))
        blocks = tuple((f"{i}.{name}", shape) for i in range(self.blocks) for name, shape in layers)
        return (("token", (self.vocabulary, d)), ("position", (self.context, d)), *blocks, ("head", (d, self.vocabulary)))

    def init(self, generators: Sequence[torch.Generator]) -> dict[str, Tensor]:
        """Initial parameters: normal, of variance 1 / fan-in; what a block adds is scaled by 1 / sqrt(2 blocks) (GPT-2). Member k is drawn
        from generators[k] alone."""

        def scale(name: str, shape: tuple[int, ...]) -> float:
            if name in ("token", "position"):
                return EMBEDDING
            added = name.endswith(("out", "down"))
            return 1 / math.sqrt(shape[0] * (2 * self.blocks if added else 1))

        return {name: torch.stack([torch.randn(s, generator=g) * scale(name, s) for g in generators]) for name, s in self.shapes}

    def __call__(self, params: Params, tokens: Tensor) -> Tensor:
        """The last block's normalised output [P, B, C, width] at every position of `tokens` [P, B, C]; padding behind a sequence changes
        none of its positions."""
        return self._run(params, tokens, 0, None)

    def logits(self, params: Params, hidden: Tensor) -> Tensor:
        """The next token's logits [P, ..., vocabulary] from outputs [P, ..., width]."""
        return torch.bmm(hidden.flatten(1, -2), params["head"]).unflatten(1, hidden.shape[1:-1])

    def cache(self, tokens: Tensor) -> Cache:
        """An empty cache for sequences in the shape of `tokens` [P, B, context]."""
        shape = (*tokens.shape[:2], self.heads, self.context, HEAD)
        made = [[torch.zeros(shape, device=tokens.device) for _ in range(self.blocks)] for _ in range(2)]
        return Cache(*made)

    def advance(self, params: Params, cache: Cache, tokens: Tensor, start: int) -> Tensor:
        """The output [P, B, C, width] at the positions `start` and later, which hold `tokens` [P, B, C]; the cache holds those before and
        is filled in place. Either start is 0, or C is 1."""
        return self._run(params, tokens, start, cache)

    def _run(self, params: Params, tokens: Tensor, start: int, cache: Cache | None) -> Tensor:
        members, rows, length = tokens.shape
        first = torch.arange(members, device=tokens.device)[:, None, None] * self.vocabulary
        x = F.embedding(tokens + first, params["token"].flatten(0, 1)) + params["position"][:, None, start : start + length]
        x = x.flatten(1, 2)
        for i in range(self.blocks):
            x = x + self._attend(params, i, _normalised(x), (members, rows, length), start, cache)
            x = x + _product(_product(_normalised(x), params[f"{i}.up"]).relu(), params[f"{i}.down"])
        return _normalised(x).unflatten(1, (rows, length))

    def _attend(self, params: Params, block: int, x: Tensor, shape: tuple[int, int, int], start: int, cache: Cache | None) -> Tensor:
        """Causal attention [P, B * C, width] of one block."""
        members, rows, length = shape
        parts = _product(x, params[f"{block}.qkv"]).view(members, rows, length, 3, self.heads, HEAD)
        query, key, value = parts.permute(3, 0, 1, 4, 2, 5).unbind(0)  # [P, B, heads, C, HEAD]
        if cache is not None:
            keys, values = cache.keys[block], cache.values[block]
            keys[:, :, :, start : start + length], values[:, :, :, start : start + length] = key, value
            key, value = keys[:, :, :, : start + length], values[:, :, :, : start + length]
        query, key, value = (t.flatten(0, 1) for t in (query, key, value))
        if length > 1 and x.device.type == "cpu" and not tracing() and query.numel() // HEAD * length <= SCORES:
            found = _attention_by_products(query, key, value)
        else:
            found = F.scaled_dot_product_attention(query, key, value, is_causal=bool(length > 1))
        return _product(found.transpose(1, 2).reshape(members, rows * length, self.width), params[f"{block}.out"])


def _attention_by_products(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Causal attention [N, heads, C, HEAD] by plain products, which for many short sequences on a CPU are faster than torch's own."""
    rows, length = query.shape[:2], query.shape[2]
    query, key, value = (t.flatten(0, 1) for t in (query, key, value))
    later = torch.full((length, length), -torch.inf, device=query.device, dtype=query.dtype).triu(1)
    scores = torch.baddbmm(later.expand(len(query), -1, -1), query, key.transpose(1, 2), alpha=1 / math.sqrt(HEAD))
    return torch.bmm(scores.softmax(-1), value).unflatten(0, rows)


def _normalised(x: Tensor) -> Tensor:
    """`x` with mean 0 and variance 1 over its last dimension."""
    return F.layer_norm(x, x.shape[-1:])


def _product(x: Tensor, weight: Tensor) -> Tensor:
    """x weight: [P, N, in], [P, in, out] -> [P, N, out], multiplied in `hidden_dtype`."""
    dtype = hidden_dtype(x)
    return torch.bmm(x.to(dtype), weight.to(dtype)).to(x.dtype)
