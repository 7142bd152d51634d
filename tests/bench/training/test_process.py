"""The process keeps freed memory, unless its environment has settings for the allocator."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.helpers.paths import ROOT

FAULTS = """
import resource
from bench.training.process import prepare_process

prepare_process()
import torch

torch.set_num_threads(1)
for count in (50, 200):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(count):
        held = [torch.zeros(300_000) for _ in range(4)]
        del held
    faults = (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / count
print(faults)
"""


def faults(**variables: str) -> float:
    """Page faults per allocation and release of 4.8 MB."""
    own = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_") and k != "GLIBC_TUNABLES"}
    done = subprocess.run([sys.executable, "-c", FAULTS], env=own | variables, cwd=ROOT, capture_output=True, text=True, check=True)
    return float(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux") or "glibc" not in os.confstr("CS_GNU_LIBC_VERSION"), reason="glibc's allocator")
def test_freed_pages_are_reused() -> None:
    assert faults() < 10
    assert faults(MALLOC_TRIM_THRESHOLD_="131072", MALLOC_MMAP_THRESHOLD_="131072") > 1000  # glibc's own defaults
