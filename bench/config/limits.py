"""Limits of settings in files of any origin: far above what a run uses, far below what exhausts a machine."""

from __future__ import annotations

EPISODES = 1_000_000  # of a seed at one evaluation
ROWS = 20_000_000  # final episodes of all seeds
SEEDS = 10_000
VALUES = 30_000  # in a configuration
LAYERS, WIDEST = 32, 1 << 16  # hidden layers of a network, and units of one
CRITICS = 1000  # networks of an ensemble; also steps and samples of a method
PI_REF_UPDATES = 10_000  # of pi_ref's training, unless a suite or the user says otherwise
