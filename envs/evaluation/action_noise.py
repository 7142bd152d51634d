"""Random numbers for sampled actions: a function of an episode's seed and a step's number alone.

Every method and member gets the same numbers in the same episode, whatever environments play side by side, after an interruption and when
a run is played again. The generator is Philox4x32-10 (Salmon et al. 2011, doi 10.1145/2063384.2063405). NumPy's Philox makes one stream at
a time; here every environment has its own key, so it is written out for arrays of keys.
"""

from __future__ import annotations

import numpy as np

from envs.evaluation.episodes import Moments

ROUNDS = 10
MULTIPLIERS = np.array([0xD2511F53, 0xCD9E8D57], np.uint64)
WEYL = np.array([0x9E3779B9, 0xBB67AE85], np.uint64)  # added to the key between two rounds
LOW = np.uint64(0xFFFFFFFF)
WORD = np.uint64(32)
STREAM = np.uint64(0xAC7)  # separates these numbers from other uses of the same key


def uniform(moments: Moments, width: int) -> np.ndarray:
    """Numbers [environments, width] in (0, 1), float64 with 32 random bits, for the step of every environment."""
    blocks = -(-width // 4)
    seeds, steps = (x.astype(np.uint64)[:, None] for x in moments)
    shape = (len(seeds), blocks)
    counter = [np.broadcast_to(x, shape) for x in (steps & LOW, np.arange(blocks, dtype=np.uint64)[None], steps >> WORD, STREAM)]
    words = philox(counter, [np.broadcast_to(x, shape) for x in (seeds & LOW, seeds >> WORD)])
    return (np.stack(words, -1).reshape(len(seeds), -1)[:, :width] + 0.5) / 2.0**32


def philox(counter: list[np.ndarray], key: list[np.ndarray]) -> list[np.ndarray]:
    """Four words from a counter of four words and a key of two; words are arrays of one shape, 32 bits each in uint64."""
    for _ in range(ROUNDS):
        first, second = MULTIPLIERS[0] * counter[0], MULTIPLIERS[1] * counter[2]
        high = [first >> WORD, second >> WORD]
        counter = [high[1] ^ counter[1] ^ key[0], second & LOW, high[0] ^ counter[3] ^ key[1], first & LOW]
        key = [(key[0] + WEYL[0]) & LOW, (key[1] + WEYL[1]) & LOW]
    return counter
