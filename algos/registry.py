"""The methods, found in algos/methods/: a new file there is a new method."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from inspect import isabstract
from pkgutil import iter_modules
from typing import Any, NamedTuple

from torch import Tensor

import algos.methods
from algos.base import Algo, Episodes, MethodConfig
from algos.methods.weighted_bc import Network, WeightedBC, WeightedBCConfig


class Method(NamedTuple):
    """A method's two classes."""

    config: type[MethodConfig]
    algo: Callable[..., Algo]


@cache
def _found() -> dict[str, Method]:
    """The methods by the name of their file. A file whose `Algo` is abstract is a base of others, such as sac.py, and no method."""
    found = {}
    for module in iter_modules(algos.methods.__path__):
        classes = vars(import_module(f"{algos.methods.__name__}.{module.name}"))
        config, algo = (_defined_in(classes, base) for base in (MethodConfig, Algo))
        if config and algo and not isabstract(algo):
            found[module.name] = Method(config, algo)
    return found


def _defined_in(module: Mapping[str, Any], base: type) -> Any:
    """The class derived from `base` that the module with the namespace `module` defines, or None."""
    found = [c for c in module.values() if isinstance(c, type) and issubclass(c, base) and c.__module__ == module["__name__"]]
    return found[-1] if found else None


def methods() -> dict[str, type[MethodConfig]]:
    """The configuration classes by the name of their file, which is also the name of their schema in conf/algo."""
    return {name: method.config for name, method in _found().items()}


def goes_online(config: MethodConfig | type[MethodConfig]) -> bool:
    """True if the method that `config`, or an object of that class, configures can go on with steps of its own."""
    return bool(getattr(_algo_of(config), "goes_online", False))


def evaluates_policies(config: MethodConfig) -> bool:
    """True if the method can train its critic for a policy that stays as it is."""
    return hasattr(_algo_of(config), "evaluate_policy")


def _algo_of(config: MethodConfig | type[MethodConfig]) -> Callable[..., Algo]:
    kind = config if isinstance(config, type) else type(config)
    return _found()[kind.__module__.rpartition(".")[2]].algo


def build(
    config: MethodConfig,
    data: Episodes,
    seeds: Sequence[int],
    pi_ref: Callable[[], Mapping[str, Tensor]] | Mapping[str, Tensor] | None = None,
) -> Algo:
    """A population of the method that `config` configures, a member for each of `seeds`.

    `pi_ref`: the reference policy's parameters [P, ...] by name, or a function that returns them; read only if the method needs it.
    Raises ConfigError for data that the method cannot learn from, or if it needs `pi_ref` and has none.
    """
    return _algo_of(config)(config, data, seeds, **({"pi_ref": pi_ref} if config.needs_pi_ref else {}))


def build_untrained(config: MethodConfig, data: Episodes, seeds: Sequence[int]) -> Algo:
    """`build` with a random reference policy where the method needs one: to measure updates, or to load a state."""
    policy = config.policy if isinstance(config, WeightedBCConfig) else Network.mlp
    return build(config, data, seeds, lambda: WeightedBC(WeightedBCConfig(hidden=config.hidden, policy=policy), data, seeds).policy())
