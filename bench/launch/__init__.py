"""Hydra's side of a run: callbacks, launchers, the tuner, checks before the first job."""
