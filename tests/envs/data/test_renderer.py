"""MUJOCO_GL with a renderer that cannot be loaded: one line, before anything is trained."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.helpers.paths import ROOT

CODE = """
from envs.data.renderer import check_renderer
from envs.errors import DataError
try:
    check_renderer()
except DataError as error:
    print(error)
"""


@pytest.mark.parametrize("name", ["foo", "disabled", None])
def test_a_renderer_that_cannot_be_loaded_is_named(name: str | None) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "MUJOCO_GL"} | ({"MUJOCO_GL": name} if name else {})
    said = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    if name == "foo":
        assert said.startswith("MUJOCO_GL = foo: MuJoCo cannot be imported with it (")
        assert said.count("\n") == 1
    else:
        assert said == ""
