"""Hydra configs, shipped as data: see `bench.config.schema` for what every key means."""
