"""Settings that the authors of a method chose for each domain, from one table: conf/domains.yaml.

conf/algo refers to the table as `${domain:METHOD.KEY,DEFAULT}`; a value on the command line replaces the reference. The rows of a data set
are found by its domain and quality, which are parsed from its id: iwsft/hopper/medium-v0, mujoco/hopper/medium-v0 and d4rl/hopper-medium-v2
are all hopper, medium.
"""

from __future__ import annotations

import re
from enum import Enum
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from bench.config.schema import Config
from bench.errors import RunError
from envs.data.selection import parse
from envs.errors import DataError

LOCOMOTION = ("random", "simple", "medium", "expert", "medium-replay", "medium-expert", "full-replay")
ADROIT = ("human", "cloned", "expert")
MAZES = ("umaze", "umaze-diverse", "medium-play", "medium-diverse", "large-play", "large-diverse")
QUALITIES = {
    **dict.fromkeys(("halfcheetah", "hopper", "walker2d", "ant"), LOCOMOTION),
    **dict.fromkeys(("pen", "door", "hammer", "relocate"), ADROIT),
    "kitchen": ("complete", "partial", "mixed"),
    "antmaze": MAZES,
}
"""The qualities of data by domain, as D4RL and Minari name them."""


class Place(NamedTuple):
    """The domain and the quality of a data set; "" where its id names none that is known."""

    domain: str
    quality: str

    def __str__(self) -> str:
        return "/".join(filter(None, self)) or "an unknown domain"


def place_of(dataset: str) -> Place:
    """Domain and quality of the data set with the id `dataset`, without rules: whole words of the id, never parts of words."""
    *folders, last = [re.sub(r"-v\d+$", "", part) for part in dataset.lower().split("/")]
    if folders and folders[-1] in QUALITIES:
        domain, quality = folders[-1], last.removeprefix(f"{folders[-1]}-")
        return Place(domain, quality)
    domain, _, quality = last.partition("-")
    return Place(domain, quality) if quality in ("", *QUALITIES.get(domain, ())) and domain in QUALITIES else Place("", "")


class TunedSettings(NamedTuple):
    """The authors' settings for a data set.

    data: domain and quality of each part of the data set. source: of the values, "" without a row. values: of the rows, by key.
    changed: values of the run that differ from them, by key.
    """

    method: str
    data: str
    source: str
    values: dict[str, Any]
    changed: dict[str, Any]

    def record(self) -> dict[str, Any]:
        """The settings as plain data, for run.json."""
        return {"data": self.data, "source": self.source, "values": self.values, "changed": self.changed}

    def line(self) -> str:
        """The settings in one line, for the screen."""
        if not self.values:
            return f"{self.method}: conf/domains.yaml has no row for {self.data}; settings of conf/algo"
        shown = [f"{k}={self.changed[k]} (authors: {v})" if k in self.changed else f"{k}={v}" for k, v in self.values.items()]
        return f"{self.method}: settings for {self.data} ({self.source}): {', '.join(shown)}"


def tuned_settings(config: Config) -> TunedSettings | None:
    """The authors' settings for the data set of `config`, which it uses unless it names others; None for a method without a table."""
    method = _method(config.algo)
    if method is None:
        return None
    values, sources = values_of(method, config.dataset)
    own = {key: getattr(config.algo, key) for key in values}
    plain = {key: value.value if isinstance(value, Enum) else value for key, value in own.items()}
    changed = {key: value for key, value in plain.items() if value != values[key]}
    return TunedSettings(method, _spell(config.dataset), "; ".join(sources), values, changed)


def domain_value(name: str, default: Any, *, _root_: DictConfig) -> Any:
    """The value of `name` (METHOD.KEY) for the data set of the configuration, else `default`."""
    method, _, key = name.partition(".")
    if method not in table():
        raise RunError(f"conf/domains.yaml has no method '{method}'; it has {', '.join(table())}")
    return values_of(method, _root_.dataset)[0].get(key, default)


@cache
def table() -> dict[str, list[dict[str, Any]]]:
    """Rows by method: `data` (DOMAIN or DOMAIN/QUALITY), `source`, and values by key."""
    return OmegaConf.to_container(OmegaConf.create(files("conf").joinpath("domains.yaml").read_text()))  # type: ignore[return-value]


def _method(algo: Any) -> str | None:
    """The method of the table that `algo` belongs to, also under a name of its user's."""
    file = type(algo).__module__.rpartition(".")[2]
    known = files("conf").joinpath("algo", f"{algo.name}.yaml").is_file()
    name = algo.name if known else file
    return name if name in table() else None


def _places(dataset: str) -> list[Place]:
    try:
        return list(dict.fromkeys(place_of(part.dataset) for part in parse(dataset)))
    except DataError:  # of the data set, which is reported when it is opened
        return [Place("", "")]


def _spell(dataset: str) -> str:
    places = _places(dataset)
    return " + ".join(map(str, places)) if any(place.domain for place in places) else dataset


def values_of(method: str, dataset: str) -> tuple[dict[str, Any], list[str]]:
    """Values by key, and their sources, of the rows that hold for every part of `dataset`; of several rows the last wins."""
    parts = [_rows(method, place) for place in _places(dataset)]
    common = [row for row in parts[0] if all(any(_settings(row) == _settings(other) for other in rows) for rows in parts)]
    values = {key: value for row in common for key, value in _settings(row).items()}
    return values, list(dict.fromkeys(row["source"] for row in common))


def _rows(method: str, place: Place) -> list[dict[str, Any]]:
    names = {place.domain, f"{place.domain}/{place.quality}"} if place.domain else set()
    return [row for row in table()[method] if names.intersection(row["data"])]


def _settings(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in ("data", "source")}
