"""What a run's configuration says beside the defaults of its method."""

from __future__ import annotations

from functools import cache
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bench.config.schema import register
from bench.results.grid import flat

# Where and on what, told elsewhere.
OWN = (
    "results_dir", "force", "logger.", "device", "trainer.engine", "suite", "dataset", "seeds", "eval.workers",
    "population", "trainer.max_members", "report.",
)  # fmt: skip


@cache
def defaults(algo: str) -> dict[str, Any]:
    """Every key of `algo=NAME` without a suite, dotted; empty for a method that conf/ does not have."""
    register()
    if GlobalHydra.instance().is_initialized():  # at the end of a suite
        loader = GlobalHydra.instance().config_loader()
    else:
        loader = ConfigLoaderImpl(create_config_search_path("pkg://conf"))
    try:
        composed = loader.load_configuration("config", [f"algo={algo}"], RunMode.RUN)
    except (HydraException, OmegaConfBaseException):
        return {}
    tree = OmegaConf.to_container(
        OmegaConf.masked_copy(composed, [str(k) for k in composed if k != "hydra"]), resolve=True, enum_to_str=True
    )
    return flat(tree if isinstance(tree, dict) else {})  # type: ignore[arg-type]


def difference(config: dict[str, Any], base: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(key, value in `base`, value in `config`) of every key that differs, "-" where there is none."""
    own = flat(config)
    keys = [k for k in {**base, **own} if not k.startswith(OWN)]
    return [(k, str(base.get(k, "-")), str(own.get(k, "-"))) for k in keys if base.get(k, "-") != own.get(k, "-")]
