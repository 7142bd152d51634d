"""Hydra's basic sweeper, with every job checked before the first one starts: a typing error in job 7 costs no hour."""

from __future__ import annotations

from collections.abc import Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.types import HydraContext

from bench import progress
from bench.config import to_config
from bench.preflight import preflight


class CheckedSweeper(BasicSweeper):
    """The basic sweeper with `preflight` in front."""

    def sweep(self, arguments: list[str]) -> object:
        parser_input = [*(f"{k}={v}" for k, v in (self.params or {}).items()), *arguments]
        context = self.hydra_context
        assert context is not None
        jobs = self._jobs(context, parser_input)
        preflight([to_config(context.config_loader.load_sweep_config(self.config, list(job))) for job in jobs])
        progress.job_numbers["total"] = len(jobs)
        return super().sweep(arguments)

    def _jobs(self, context: HydraContext, arguments: list[str]) -> Sequence[Sequence[str]]:
        from hydra.core.override_parser.overrides_parser import OverridesParser

        overrides = OverridesParser.create(config_loader=context.config_loader).parse_overrides(arguments)
        return [job for batch in self.split_arguments(overrides, None) for job in batch]
