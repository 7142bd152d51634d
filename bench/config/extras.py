"""Optional packages: the extras of pyproject.toml that a feature needs."""

from __future__ import annotations

from importlib.util import find_spec

from bench.errors import RunError

REPORT = ("matplotlib", "jinja2")  # figures and pages


def missing_package(*packages: str) -> str | None:
    """The first of `packages` (import names) that is not installed."""
    return next((name for name in packages if find_spec(name) is None), None)


def require_extra(feature: str, extra: str, *packages: str) -> None:
    """Raise RunError, with the command to install `extra`, unless all `packages` (import names) are installed."""
    if (name := missing_package(*packages)) is not None:
        raise RunError(f"{feature}: the package {name} is not installed; pip install 'iwsft-bench[{extra}]'")
