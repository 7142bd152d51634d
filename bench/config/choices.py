"""The methods that `algo=NAME` chooses from, and those of them that go on online."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from omegaconf import OmegaConf

from algos.registry import goes_online, methods


@cache
def schemas() -> dict[str, type[Any]]:
    """The dataclass of every `algo=NAME`: the one that its file in conf/algo names, itself or through the file that it derives from."""
    found = {
        f.name.removesuffix(".yaml"): _defaults(f.read_text()) for f in files("conf").joinpath("algo").iterdir() if f.name[-5:] == ".yaml"
    }

    def schema(name: str) -> type[Any]:
        first = found[name][0]
        return methods()[first.removeprefix("schema/").partition("@")[0]] if first.startswith("schema/") else schema(first)

    return {name: schema(name) for name in sorted(found)}


def online_methods() -> list[str]:
    """The methods that go on online by themselves."""
    return [name for name, schema in schemas().items() if goes_online(schema)]


def _defaults(text: str) -> list[str]:
    return [str(entry) for entry in OmegaConf.create(text).defaults]
