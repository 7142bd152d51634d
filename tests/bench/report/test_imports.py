"""Tables are read at once: they load neither torch nor Hydra."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.helpers.paths import ROOT


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("bench.report.suite", ("torch", "hydra", "scipy.stats", "matplotlib")),
        ("bench.report.page.build", ("torch", "hydra", "scipy.stats")),
    ],
)
def test_tables_and_page_need_neither_torch_nor_hydra(module: str, heavy: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
