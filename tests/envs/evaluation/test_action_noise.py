"""Noise of sampled actions: the published generator, a function of seed and step alone."""

from __future__ import annotations

import numpy as np
import pytest

from envs.evaluation.action_noise import philox, uniform
from envs.evaluation.episodes import Moments


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_known_answers(counter: str, key: str, expected: str) -> None:
    """Of the authors' Random123 library."""
    words = philox(*([np.array([int(word, 16)], np.uint64) for word in text.split()] for text in (counter, key)))
    assert [f"{int(word[0]):08x}" for word in words] == expected.split()


def test_numbers_depend_on_seed_and_step_alone() -> None:
    seeds, steps = np.array([7, 2**40 + 7, 7, 9]), np.array([0, 0, 1, 5])
    together = uniform(Moments(seeds, steps), 6)
    assert together.shape == (4, 6)
    assert len(np.unique(together)) == together.size
    for k in range(4):
        np.testing.assert_array_equal(uniform(Moments(seeds[k : k + 1], steps[k : k + 1]), 6)[0], together[k])
        np.testing.assert_array_equal(uniform(Moments(seeds[k : k + 1], steps[k : k + 1]), 3)[0], together[k, :3])


def test_numbers_are_uniform() -> None:
    found = uniform(Moments(np.arange(2000) // 50, np.arange(2000) % 50), 4)
    assert 0 < found.min() < found.max() < 1
    np.testing.assert_allclose(found.mean(0), 0.5, atol=0.02)
    np.testing.assert_allclose(np.histogram(found, 10, (0, 1))[0] / found.size, 0.1, atol=0.01)
    np.testing.assert_allclose(np.corrcoef(found.T), np.eye(4), atol=0.06)
