"""The config.yaml of a run directory is read, or refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.config.saved import load_config
from bench.errors import RunError


def test_configurations_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no config\.yaml"):
        load_config(tmp_path)
    (tmp_path / "config.yaml").write_text("algo: {name: other, keys: 1}")
    with pytest.raises(RunError, match="no method of this suite has the keys"):
        load_config(tmp_path)
    (tmp_path / "config.yaml").write_text("a: [")
    with pytest.raises(RunError, match="cannot be read"):
        load_config(tmp_path)
