"""The runner: configuration, training, evaluation, run directories, statistics and tables."""

import os

from bench.training.process import keep_freed_memory

# Read when torch loads its OpenMP runtime: how long a thread spins for its next piece of work before it sleeps. An update is hundreds of
# short pieces. Never spinning made two threads slower than one; spinning without end made training ten times slower beside other processes.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "50000")

keep_freed_memory()
