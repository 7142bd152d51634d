"""The config.yaml of a run directory is read, or refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from bench.config.saved import load_config
from bench.config.schema import Config
from bench.errors import RunError


def test_configurations_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no config\.yaml"):
        load_config(tmp_path)
    (tmp_path / "config.yaml").write_text("algo: {name: other, keys: 1}")
    with pytest.raises(
        RunError, match=r"another version of this suite wrote the run \(no method here has the keys name, keys\); give its command again"
    ):
        load_config(tmp_path)
    (tmp_path / "config.yaml").write_text("a: [")
    with pytest.raises(RunError, match="cannot be read"):
        load_config(tmp_path)


@pytest.mark.parametrize("key", ["budget", "eval.minutes", "pi_ref.budget"])
def test_a_run_of_another_version_is_one_line(tmp_path: Path, config: Config, key: str) -> None:
    """An earlier version had other keys; the same command trains the run anew."""
    path, tree = tmp_path / "config.yaml", OmegaConf.structured(config)
    OmegaConf.save(tree, path)
    load_config(tmp_path)
    OmegaConf.set_struct(tree, False)
    OmegaConf.save(OmegaConf.merge(OmegaConf.to_container(tree, enum_to_str=True), OmegaConf.from_dotlist([f"{key}=1"])), path)
    with pytest.raises(RunError) as error:
        load_config(tmp_path)
    assert (
        str(error.value)
        == f"{path}: another version of this suite wrote the run (unknown key '{key}'); give its command again, which trains it anew"
    )
