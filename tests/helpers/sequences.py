"""Token sequences as logged data, and a transformer in NumPy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from envs.data.trajectories import Trajectories

VOCABULARY, CONTEXT = 7, 12


def sequences_of(seed: int = 0, count: int = 20, vocabulary: int = VOCABULARY, context: int = CONTEXT) -> Trajectories:
    """Episodes of random prompts of 1 to 4 tokens and answers of 1 to 6, the reward at the end; `partial` rises with the episode."""
    rng = np.random.default_rng(seed)
    columns: list[list[np.ndarray]] = [[] for _ in range(4)]
    lengths = []
    for _ in range(count):
        prompt, answer = rng.integers(1, vocabulary, rng.integers(1, 5)), rng.integers(0, vocabulary, rng.integers(1, 7))
        row = np.zeros(context)
        row[: len(prompt)] = prompt
        seen = [row.copy()]
        for k, token in enumerate(answer):
            row[len(prompt) + k] = token
            seen.append(row.copy())
        last = np.arange(len(answer)) == len(answer) - 1
        for column, value in zip(columns, (seen[:-1], answer[:, None], last * rng.integers(0, 2), seen[1:]), strict=True):
            column.append(np.asarray(value, np.float32))
        lengths.append(len(answer))
    observations, actions, rewards, following = (torch.from_numpy(np.concatenate(column)).float() for column in columns)
    offsets = torch.tensor([0, *np.cumsum(lengths)])
    ends = torch.zeros(len(actions), dtype=torch.bool)
    ends[offsets[1:] - 1] = True
    partial = torch.linspace(0, 1, count, dtype=torch.float64)
    return Trajectories(observations, actions, rewards, following, ends, torch.zeros_like(ends), offsets, vocabulary, partial)


def transformer(params: Mapping[str, torch.Tensor], k: int, tokens: Sequence[int], blocks: int) -> np.ndarray:
    """Log-probabilities [C, V] of the token after each of `tokens`, by member `k`, position by position and head by head."""
    p = {name: value[k].double().numpy() for name, value in params.items()}

    def norm(x: np.ndarray) -> np.ndarray:
        return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)

    x = p["token"][list(tokens)] + p["position"][: len(tokens)]
    width = x.shape[1]
    for i in range(blocks):
        query, key, value = np.split(norm(x) @ p[f"{i}.qkv"], 3, -1)
        heads = np.zeros_like(x)
        for h in range(width // 16):
            own = slice(16 * h, 16 * h + 16)
            for t in range(len(tokens)):
                score = np.exp(key[: t + 1, own] @ query[t, own] / 4)
                heads[t, own] = score @ value[: t + 1, own] / score.sum()
        x = x + heads @ p[f"{i}.out"]
        x = x + np.maximum(norm(x) @ p[f"{i}.up"], 0) @ p[f"{i}.down"]
    logits = norm(x) @ p["head"]
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))
