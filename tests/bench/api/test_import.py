"""`import bench` has no side effects and loads no large library."""

from __future__ import annotations

import subprocess
import sys

import pytest

import bench
from tests.helpers.paths import ROOT

LOOK = """
import os, sys
before = dict(os.environ)
import bench
assert dict(os.environ) == before
print(sorted({"torch", "numpy", "pandas", "hydra", "gymnasium", "minari", "matplotlib"} & set(sys.modules)))
"""


def test_import_loads_no_large_library() -> None:
    done = subprocess.run([sys.executable, "-c", LOOK], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"
    assert done.stderr == ""


def test_every_public_name_exists_and_is_documented() -> None:
    for name in bench.__all__:
        assert getattr(bench, name).__doc__, name
    assert set(bench.__all__) <= set(dir(bench))


def test_an_unknown_name_names_the_others() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'trian'; it has .*train"):
        bench.trian  # noqa: B018
