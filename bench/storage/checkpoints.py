"""The last two states of something that is trained: written whole or not at all, and known for damaged if they are.

<name>.safetensors            the newest
<name>.previous.safetensors   the one before, in case the newest is damaged
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from bench.storage.tensors import DamagedError, pack, unpack
from envs.files import write_atomic


class Checkpoint(NamedTuple):
    """State after `update` updates, and what else was said of it."""

    update: int
    state: dict[str, Tensor]
    about: dict[str, str]


class Checkpoints:
    """The checkpoints `name` in `folder`."""

    def __init__(self, folder: Path, name: str) -> None:
        self.newest, self.previous = folder / f"{name}.safetensors", folder / f"{name}.previous.safetensors"

    def save(self, update: int, state: Mapping[str, Tensor], about: Mapping[str, str] | None = None) -> None:
        """Keep `state`, and the newest so far as the one before. Raises OSError.

        Killed between the two renames, the one before is there and whole: training goes on from it to the same end.
        """
        write_atomic(self.newest, pack(state, {**(about or {}), "update": str(update)}), before=self._put_aside)

    def _put_aside(self) -> None:
        if self.newest.exists():
            os.replace(self.newest, self.previous)

    def load(self) -> Iterator[Checkpoint | str]:
        """The checkpoints that there are, the newest first; for a damaged one a line that says so."""
        for path in (self.newest, self.previous):
            try:
                tensors, about = unpack(path)
                yield Checkpoint(int(about.pop("update")), tensors, about)
            except FileNotFoundError:
                continue
            except (DamagedError, KeyError, ValueError) as error:
                yield f"{path} is damaged ({error})"

    def discard_newest(self) -> None:
        """Forget the newest, which is damaged."""
        self.newest.unlink(missing_ok=True)

    def only_newest(self) -> None:
        """Forget the one before: nothing goes on from here."""
        self.previous.unlink(missing_ok=True)

    def clear(self) -> None:
        self.newest.unlink(missing_ok=True)
        self.previous.unlink(missing_ok=True)
