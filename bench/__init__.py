"""The runner: configuration, training, evaluation, run directories, statistics and tables."""

import os

# Read when torch loads its OpenMP runtime. Threads that spin while they wait are no faster on a quiet machine, and on a shared one
# they were seen to make training ten times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
