"""Arguments KEY=VALUE before Hydra sees them: seeds spelled out, suites of one's own, and mistakes that Hydra would misread or accept."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import is_dataclass
from functools import cache
from importlib.resources import files
from typing import Any, NoReturn

from hydra._internal.utils import get_args_parser
from hydra.conf import HydraConf
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, OverrideType, QuotedString
from hydra.errors import HydraException
from omegaconf import OmegaConf

from algos.errors import ConfigError
from bench.config.choices import schemas
from bench.config.keys import common_keys, method_keys, near, near_names, unknown_key
from bench.config.schema import PLAIN_NAME
from bench.errors import first_line

DEFAULT_ALGO = "iw_sft_q"  # of conf/config.yaml
MOST_SEEDS = 1000  # that seeds=NUMBER stands for
SWEEP = "python -m bench -m"


def prepare(arguments: Sequence[str]) -> list[str]:
    """`arguments` of a training command, flags first, as Hydra takes them.

    `seeds=3` becomes seeds=[0,1,2], `seeds=0-2` the same; `suite=NAME` of a new name becomes known. Raises ConfigError for what is no
    argument of Hydra, a list where one value is expected, a sweep over suites, and a key that there is not, also one that is added with +
    or ++, or removed with ~.
    """
    flags = [a for a in arguments if not _is_override(a)]
    _check_flags(flags)
    parsed = [_parsed(a) for a in arguments if _is_override(a)]
    algos = _algos(parsed)
    found = []
    for override in parsed:
        _check(override, algos)
        if override.key_or_group == "suite":
            found.append(_known_suite(override, flags))
        elif override.key_or_group == "seeds":
            found.append(_spelled_seeds(override))
        else:
            found.append(str(override.input_line))
    return [*flags, *found]


def _is_override(argument: str) -> bool:
    return not argument.startswith("-") and ("=" in argument or argument.startswith("~"))


def _check_flags(flags: Sequence[str]) -> None:
    """Raise ConfigError for an option that Hydra does not have, and for a word that is neither an option nor KEY=VALUE."""
    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign]
    for word in parser.parse_args(list(flags)).overrides:
        raise ConfigError(f"'{word}': expected KEY=VALUE, or an option such as -m; see python -m bench --help")


def _refuse(message: str) -> NoReturn:
    raise ConfigError(f"{message}; see python -m bench --help")


def _parsed(text: str) -> Override:
    """Raises ConfigError for what Hydra cannot parse."""
    try:
        return OverridesParser.create().parse_override(text)
    except HydraException as error:
        reason = f"{text}: cannot be read as KEY=VALUE ({first_line(error)})"
        raise ConfigError(f"{reason}; a value with such signs is quoted twice, as in \"KEY='a=b'\"") from error


def values_of(override: Override) -> list[Any]:
    """The values of a sweep over choices, or the one value of another override; quoted text as text."""
    value = override.value()
    found = value.list if isinstance(value, ChoiceSweep) else [value]
    return [v.text if isinstance(v, QuotedString) else v for v in found]


def _names(override: Override) -> list[Any]:
    """The choices that an override of a group names."""
    return [name for value in values_of(override) for name in (value if isinstance(value, list) else [value])]


def _algos(overrides: Iterable[Override]) -> list[str]:
    """The methods that the command names; all where a suite may sweep over several."""
    values = [name for o in overrides if o.key_or_group == "algo" for name in _names(o)]
    named = [str(name) for name in values]
    swept = any(o.key_or_group == "suite" for o in overrides)
    return named or (list(schemas()) if swept else [DEFAULT_ALGO])


@cache
def _groups() -> list[str]:
    """Groups of which a run has one choice; it may have several loggers."""
    return sorted(f.name for f in files("conf").iterdir() if f.is_dir() and f.name not in ("hydra", "logger", "__pycache__"))


def _check(override: Override, algos: Sequence[str]) -> None:
    """Raise ConfigError for a key that there is not, and for a list given to a key of one value."""
    key = override.key_or_group
    if key.partition(".")[0].partition("/")[0] == "hydra":
        if override.is_add() or override.is_force_add():
            _check_added(key)
        return
    if override.type == OverrideType.DEL:
        raise ConfigError(f"~{key}: no key can be removed; KEY=VALUE gives it another value")
    if override.package is not None:
        raise ConfigError(f"{override.input_line}: '@' has no meaning here; give KEY=VALUE")
    known = common_keys() | {k: v for name in algos if name in schemas() for k, v in method_keys(name).items()}
    elsewhere = key.startswith("algo.") and not schemas().keys() >= set(algos)  # of a method that Hydra finds, or reports
    free = any(value == {} and key.startswith(f"{group}.") for group, value in known.items())  # a group of any names, such as population
    if key not in (*known, *_groups()) and not free and not elsewhere:
        raise ConfigError(unknown_key(key, algos if len(algos) <= 3 else ()))
    if key != "logger" and isinstance(keys := known.get(key), dict) and keys and not all(isinstance(v, dict) for v in values_of(override)):
        raise ConfigError(f"{override.input_line}: expected a value for one of its keys: {', '.join(f'{key}.{name}' for name in keys)}")
    many = [v for v in values_of(override) if isinstance(v, list)]
    if many and key in (*known, *_groups()) and key != "logger" and not free and not isinstance(known.get(key), list):
        raise ConfigError(_one_value(key, many[0]))
    if key in (*_groups(), "logger"):
        _check_choices(override)
    if key == "suite" and override.is_sweep_override():
        raise ConfigError(f"{override.input_line}: {_one_suite(values_of(override))}")


def _check_choices(override: Override) -> None:
    """Raise ConfigError for a choice without a name. A suite may have a number for one, and a sweep may be over a pattern."""
    key = override.key_or_group
    for name in _names(override):
        if name in (None, "") or not (isinstance(name, str) or override.is_sweep_override() or key == "suite"):
            raise ConfigError(f"{override.input_line}: no such {key}; python -m bench --help lists the choices")


def _check_added(key: str) -> None:
    """Raise ConfigError for a key of Hydra's own that there is not, which Hydra would add. Launchers and sweepers have keys of any name."""
    node: Any = OmegaConf.structured(HydraConf)
    for part in key.split(".")[1:]:
        if not is_dataclass(OmegaConf.get_type(node)):
            return
        if part not in (names := [str(name) for name in node]):  # `in node` leaves out those without a value
            raise ConfigError(f"unknown key '{key}' of Hydra{near_names(part, names)}")
        node = node[part] if not OmegaConf.is_missing(node, part) else None


def _one_value(key: str, given: Sequence[Any]) -> str:
    """The line for a list `given` to a key of one value."""
    listed, swept = ",".join(map(str, given)), ",".join(dict.fromkeys(map(str, given)))
    if key == "suite":
        return f"suite=[{listed}]: {_one_suite(given)}"
    start = f"{key}=[{listed}]: a run has one {key}"
    if len(given) == 1:
        return f"{start}; to train it: python -m bench {key}={listed}"
    if key == "dataset":
        return f"{start}; to train on each: {SWEEP} dataset={swept}; on all as one: dataset={'+'.join(map(str, given))}"
    return f"{start}; to train each: {SWEEP} {key}={swept}"


def _one_suite(names: Iterable[Any]) -> str:
    return f"a command runs one suite: {' && '.join(f'python -m bench suite={name}' for name in names)}"


def _spelled_seeds(override: Override) -> str:
    """`seeds=...` with every seed spelled out. Raises ConfigError."""
    values, line = values_of(override), str(override.input_line)
    if len(values) > 1 and any(_is_number(v) for v in values):
        given = line.partition("=")[2]
        pieces = ",".join(f"[{v}]" for v in values)
        raise ConfigError(f"seeds={given}: one run of these seeds is 'seeds=[{given}]'; a run for each is -m 'seeds={pieces}'")
    if override.is_sweep_override() and not isinstance(override.value(), ChoiceSweep):
        raise ConfigError(f"{line}: list the seeds of each run, as in -m 'seeds=[0],[1]'")
    spelled = [_seeds(v) for v in values]
    if any(s is None and not (isinstance(v, str) and "${" in v) for s, v in zip(spelled, values, strict=True)):
        raise ConfigError(f"{line}: expected a number of seeds, a range such as 0-2, or a list such as 'seeds=[4,7]'")
    if None in spelled or not spelled:
        return line  # refers to another key
    head = line.partition("=")[0]
    return f"{head}={','.join('[' + ','.join(map(str, s or ())) + ']' for s in spelled)}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _seeds(value: Any) -> list[int] | None:
    """The seeds that `value` stands for: 3 or "3" for the first three, "0-2" for a range, a list of numbers and ranges; None for others."""
    if isinstance(value, list):
        parts = [[v] if _is_number(v) else _range(v) for v in value]
        return None if any(p is None for p in parts) else [seed for part in parts for seed in part or ()]
    if isinstance(value, str) and re.fullmatch(r"\d+", value):
        value = int(value)
    if not _is_number(value):
        return _range(value)
    if value < 1:
        raise ConfigError(f"seeds={value}: expected a number of seeds of at least 1; the seed 0 alone is 'seeds=[0]'")
    if value > MOST_SEEDS:
        raise ConfigError(
            f"seeds={value} stands for the {value} seeds 0 to {value - 1}, more than {MOST_SEEDS}; the one seed is 'seeds=[{value}]'"
        )
    return list(range(value))


def _range(value: Any) -> list[int] | None:
    match = re.fullmatch(r"(\d+)-(\d+)", value) if isinstance(value, str) else None
    if match is None:
        return None
    first, last = int(match[1]), int(match[2])
    if not 0 <= last - first < MOST_SEEDS:
        raise ConfigError(f"seeds={value}: expected a range from the first to the last seed, such as 0-2, of at most {MOST_SEEDS} seeds")
    return list(range(first, last + 1))


def _known_suite(override: Override, flags: Sequence[str]) -> str:
    """`suite=...` with a name that Hydra knows: a new one has the settings of `single`. Raises ConfigError for a typing error's look.

    Names are refused that are spelled like a suite's, but for those that extend one (quick2, my-quick). With folders of one's own among
    `flags`, Hydra looks for the name first.
    """
    (name,) = (str(v) for v in values_of(override))
    known = [f.name.removesuffix(".yaml") for f in files("conf").joinpath("suite").iterdir() if f.name.endswith(".yaml")]
    if name in known or any(flag.startswith(("--config-", "-cd", "-cp", "-cn")) for flag in flags):
        return str(override.input_line)
    if not PLAIN_NAME.fullmatch(name):
        raise ConfigError(f"suite = {name}: expected a plain name: letters, digits, and _ . + - behind the first")
    extends = any(re.fullmatch(rf"(.*[-_.+])?{re.escape(suite)}([-_.+\d].*)?", name) for suite in known)
    if not extends and (alike := near(name, known, 0.7)):
        raise ConfigError(f"suite={name}: no such suite; near names: {', '.join(alike)}; a suite of your own takes a name less like it")
    node = {"defaults": ["single", "_self_"], "suite": name}
    ConfigStore.instance().store(group="suite", name=name, node=node, package="_global_", provider="bench")
    return f"suite='{name}'"  # in quotes: 2026 is a name, too
