"""Tables are read at once: they load neither torch nor Hydra."""

from __future__ import annotations

import subprocess
import sys

from tests.helpers.paths import ROOT


def test_tables_need_neither_torch_nor_hydra() -> None:
    heavy = ("torch", "hydra", "scipy.stats", "matplotlib")
    code = f"import sys, bench.report.suite; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
