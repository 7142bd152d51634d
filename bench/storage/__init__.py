"""Files that are whole or absent, locks, checkpoints, the layout of a run directory."""
