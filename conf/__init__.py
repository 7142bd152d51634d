"""Hydra configs, shipped as data: see `bench.config` for what every key means."""
