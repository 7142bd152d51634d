"""Blocks of random numbers from a prefetching thread: the same numbers in any order of requests, and no error is lost."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from algos.base import Draws
from algos.batches.random_blocks import Blocks
from algos.batches.sampling import BLOCK, BatchStream, LengthWeighting, Sampler
from algos.batches.transitions import Noise, TransitionStream
from envs.data.trajectories import Trajectories

CPU = torch.device("cpu")
SIZE = 4


class Maker:
    """Makes block k of the numbers 4 k, 4 k + 1, ...; records block and thread of every call, and fails at block `broken`."""

    def __init__(self, broken: int = -1) -> None:
        self.made: list[tuple[int, bool]] = []
        self.broken = broken

    def __call__(self, block: int) -> Draws:
        self.made.append((block, threading.current_thread() is threading.main_thread()))
        if block == self.broken:
            raise MemoryError(f"no room for block {block}")
        return {"x": torch.arange(block * SIZE, (block + 1) * SIZE)}


def test_the_next_block_is_made_by_a_thread_while_one_is_used() -> None:
    maker = Maker()
    blocks = Blocks(maker, SIZE, CPU, prefetch=True)
    assert [int(blocks.row(update)["x"]) for update in range(3 * SIZE)] == list(range(3 * SIZE))
    assert blocks.next is not None
    blocks.next[1].result(timeout=10)
    assert maker.made == [(0, True), (1, False), (2, False), (3, False)]  # each once


def test_a_cpu_has_no_thread_by_default() -> None:
    maker = Maker()
    blocks = Blocks(maker, SIZE, CPU)
    assert [int(blocks.row(update)["x"]) for update in range(2 * SIZE)] == list(range(2 * SIZE))
    assert maker.made == [(0, True), (1, True)]


def test_rows_in_any_order_are_right() -> None:
    """Rows are right after jumps forward, back, and into the block that the thread is making, as after a resume."""
    blocks = Blocks(Maker(), SIZE, CPU, prefetch=True)
    for update in (0, 5, 23, 2, 3, 4, 40, 41, 0, 39):
        assert int(blocks.row(update)["x"]) == update


def test_an_error_in_the_thread_is_raised_where_its_block_is_needed() -> None:
    blocks = Blocks(Maker(broken=1), SIZE, CPU, prefetch=True)
    for update in range(SIZE):
        assert int(blocks.row(update)["x"]) == update  # the block made before the error is intact
    for _ in range(2):  # raised at every request
        with pytest.raises(MemoryError, match="no room for block 1"):
            blocks.row(SIZE)
    assert int(blocks.row(2 * SIZE)["x"]) == 2 * SIZE


def test_streams_draw_the_same_with_and_without_the_thread(small_data: Trajectories) -> None:
    everything = torch.arange(small_data.num_episodes)
    shift, scale = torch.zeros(5), torch.ones(5)

    def streams() -> list[BatchStream | TransitionStream]:
        noise = {"target": Noise((3, 2)), "start": Noise((2,), uniform=True)}
        return [
            BatchStream(small_data, everything, [3, 1], 3, Sampler.transitions, LengthWeighting.per_step),
            TransitionStream(small_data, small_data.rewards, [3, 1], 3, noise, shift, scale),
        ]

    for plain, threaded in zip(streams(), streams(), strict=True):
        threaded.blocks = Blocks(threaded.blocks.make, threaded.blocks.size, CPU, prefetch=True)
        if isinstance(threaded, TransitionStream):
            threaded.steps.blocks = Blocks(threaded.steps.blocks.make, BLOCK, CPU, prefetch=True)
        for update in (*range(2 * BLOCK + 2), 7, 5 * BLOCK - 1, 5 * BLOCK):
            one, other = plain.draws(update), threaded.draws(update)
            assert one.keys() == other.keys()
            for name in one:
                np.testing.assert_array_equal(one[name], other[name])
