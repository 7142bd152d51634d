"""Files of log-probabilities of any origin."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench.errors import RunError
from bench.language.tokens import NAME, stored_logprobs
from bench.storage.tensors import pack

IDENTITY = {"data": "a"}
FORGERIES = {
    "no tensor": {},
    "another name": {"more": torch.zeros(5)},
    "a further one": {NAME: torch.zeros(5), "more": torch.zeros(5)},
    "another length": {NAME: torch.zeros(4)},
    "another shape": {NAME: torch.zeros(5, 1)},
    "another type": {NAME: torch.zeros(5, dtype=torch.int64)},
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_file_with_a_valid_digest_and_other_tensors_is_one_line(forgery: str, tmp_path: Path) -> None:
    path = tmp_path / "q_logprobs.safetensors"
    path.write_bytes(pack(FORGERIES[forgery], IDENTITY))
    with pytest.raises(RunError, match=rf"^{path}: holds no log-probabilities \(.*\); remove it to compute them anew$"):
        stored_logprobs(path, IDENTITY, 5, lambda: pytest.fail("computed"))
    path.unlink()
    written = stored_logprobs(path, IDENTITY, 5, lambda: torch.arange(5.0))
    assert torch.equal(stored_logprobs(path, IDENTITY, 5, lambda: pytest.fail("computed")), written)
