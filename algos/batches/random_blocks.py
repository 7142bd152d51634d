"""Random numbers of updates, drawn on the host in blocks. For a GPU, a thread draws the next block while updates use this one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from algos.base import Draws


class Blocks:
    """The random numbers of updates: `make(block)` returns tensors [size, P, ...] on the host for the updates from block * size on.

    With `prefetch` (default: on CUDA) a thread makes the next block, so `make` must depend on its argument alone; an error that it raises
    there is raised by the call of `row` that needs the block.
    """

    def __init__(self, make: Callable[[int], Draws], size: int, device: torch.device, prefetch: bool | None = None) -> None:
        self.make, self.size, self.device = make, size, device
        self.pinned = device.type == "cuda"
        self.block, self.tensors = -1, Draws()
        self.next: tuple[int, Future[Draws]] | None = None
        self.pool = ThreadPoolExecutor(1) if (self.pinned if prefetch is None else prefetch) else None

    def row(self, update: int) -> Draws:
        """The random numbers of update number `update`, on the device."""
        block, row = divmod(update, self.size)
        if block != self.block:
            made = self.next[1].result() if self.next is not None and self.next[0] == block else self._pinned(block)
            self.tensors = {name: x.to(self.device, non_blocking=True) for name, x in made.items()}
            self.block = block
            if self.pool is not None:
                self.next = block + 1, self.pool.submit(self._pinned, block + 1)
        return {name: x[row] for name, x in self.tensors.items()}

    def _pinned(self, block: int) -> Draws:
        """The block, in pinned memory if the device is a GPU."""
        found = self.make(block)
        return {name: x.pin_memory() for name, x in found.items()} if self.pinned else found
