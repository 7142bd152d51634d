"""The last two checkpoints of a training: each written whole or not at all, and checked when it is read.

<name>.safetensors            the newest
<name>.previous.safetensors   the one before, used if the newest is damaged
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from bench.storage.tensors import DamagedError, pack, unpack
from envs.files import write_atomic
from envs.untrusted import refuse_folder


class Checkpoint(NamedTuple):
    """The state after `update` updates, with the metadata it was saved with."""

    update: int
    state: dict[str, Tensor]
    about: dict[str, str]


class Checkpoints:
    """The checkpoints `name` in `folder`."""

    def __init__(self, folder: Path, name: str) -> None:
        self.newest, self.previous = folder / f"{name}.safetensors", folder / f"{name}.previous.safetensors"

    def save(self, update: int, state: Mapping[str, Tensor], about: Mapping[str, str] | None = None) -> None:
        """Write a checkpoint; the newest so far becomes the previous one. Raises OSError.

        A process killed between the two renames leaves the previous one, from which training ends the same.
        """
        write_atomic(self.newest, pack(state, {**(about or {}), "update": str(update)}), before=self._rename_newest)

    def _rename_newest(self) -> None:
        if self.newest.exists():
            os.replace(self.newest, self.previous)

    def load(self) -> Iterator[Checkpoint | str]:
        """The existing checkpoints, the newest first; a message instead of a damaged one. Raises DataError for a folder in their place."""
        for path in (self.newest, self.previous):
            refuse_folder(path)
            try:
                tensors, about = unpack(path)
                yield Checkpoint(int(about.pop("update")), tensors, about)
            except FileNotFoundError:
                continue
            except (DamagedError, KeyError, ValueError) as error:
                yield f"{path} is damaged ({error})"

    def discard_newest(self) -> None:
        """Remove the newest checkpoint, which is damaged."""
        self.newest.unlink(missing_ok=True)

    def discard_previous(self) -> None:
        """Remove the previous checkpoint, when training is finished."""
        self.previous.unlink(missing_ok=True)

    def clear(self) -> None:
        self.newest.unlink(missing_ok=True)
        self.previous.unlink(missing_ok=True)
