"""Random numbers of updates, made on the host a block at a time; for an accelerator the next block while this one is used."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

Draws = dict[str, Tensor]
"""What an update reads beside the state and the data, by name, each [P, ...]."""


class Blocks:
    """Rows of blocks: `make(block)` gives the tensors [size, P, ...], on the host, of updates block * size onwards.

    With `prefetch` (None: on CUDA, for a CPU has no time to spare) a thread makes the next block, so that `make` must
    depend on its argument alone; what it raises there is raised by the `row` that needs the block.
    """

    def __init__(self, make: Callable[[int], Draws], size: int, device: torch.device, prefetch: bool | None = None) -> None:
        self.make, self.size, self.device = make, size, device
        self.pinned = device.type == "cuda"
        self.block, self.tensors = -1, Draws()
        self.ahead: tuple[int, Future[Draws]] | None = None
        self.pool = ThreadPoolExecutor(1) if (self.pinned if prefetch is None else prefetch) else None

    def row(self, update: int) -> Draws:
        """What update number `update` reads, on the device."""
        block, row = divmod(update, self.size)
        if block != self.block:
            made = self.ahead[1].result() if self.ahead is not None and self.ahead[0] == block else self._made(block)
            self.tensors = {name: x.to(self.device, non_blocking=True) for name, x in made.items()}
            self.block = block
            if self.pool is not None:
                self.ahead = block + 1, self.pool.submit(self._made, block + 1)
        return {name: x[row] for name, x in self.tensors.items()}

    def _made(self, block: int) -> Draws:
        found = self.make(block)
        return {name: x.pin_memory() for name, x in found.items()} if self.pinned else found
