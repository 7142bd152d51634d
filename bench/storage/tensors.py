"""Named tensors in a safetensors file, whose metadata contain a SHA-256 of tensors and metadata."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from bench.errors import DataError, first_line
from envs.untrusted import check_file

DIGEST = "sha256"  # the metadata's key


class DamagedError(Exception):
    """A file whose content is not what was written; the message says why."""


def pack(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """The bytes of a file with `tensors` and `metadata`."""
    plain = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    metadata = dict(metadata or {})
    return save(plain, metadata | {DIGEST: _digest(plain, metadata)})


def unpack(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """(tensors, metadata) of a file made by `pack`. Raises DamagedError, or OSError if the file cannot be opened."""
    try:
        check_file(path.parent, path.name)
        with safe_open(path, "pt") as f:
            tensors = {k: f.get_tensor(k) for k in f.keys()}  # noqa: SIM118 (not a mapping)
            metadata = dict(f.metadata() or {})
    except (SafetensorError, DataError, ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        raise DamagedError(first_line(error)) from error
    said = metadata.pop(DIGEST, None)
    if said != _digest(tensors, metadata):
        raise DamagedError("its content does not match its digest" if said else "it has no digest")
    return tensors, metadata


def _digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    sha = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        sha.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    for key in sorted(metadata):
        sha.update(f"{key}\0{metadata[key]}\0".encode())
    return sha.hexdigest()
