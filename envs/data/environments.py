"""Environments by id or by their saved specification; Gymnasium-Robotics is imported only for its own environments."""

from __future__ import annotations

import contextlib
import importlib
import json
import warnings
from collections.abc import Iterator
from typing import Any

from envs.data.renderer import check_renderer
from envs.data.trust import check_spec, entry_points, own_packages
from envs.errors import DataError, first_line

ROBOTICS = "run: pip install 'iwsft-bench[robotics]'"


def find_spec(env_id: str) -> Any:
    """A copy of Gymnasium's spec of environment `env_id`. Raises DataError if neither Gymnasium nor a package that may be imported has it.

    Packages in IWSFT_TRUSTED_PACKAGES are imported, since they may register it, and Gymnasium-Robotics is.
    """
    import copy

    import gymnasium

    try:
        return copy.deepcopy(gymnasium.spec(env_id))
    except (gymnasium.error.Error, ModuleNotFoundError):  # of a package before a colon
        pass
    for package in own_packages():
        with contextlib.suppress(ImportError):
            importlib.import_module(package)
    try:
        if env_id not in gymnasium.registry:
            import_robotics(env_id)
        return copy.deepcopy(gymnasium.spec(env_id))
    except (gymnasium.error.Error, ModuleNotFoundError) as error:
        raise DataError(f"environment '{env_id}' is not registered: {first_line(error)}") from error


def make(env_spec: str, **kwargs: Any) -> Any:
    """The environment of `env_spec` (Gymnasium's JSON), made with `kwargs`, which alone say whether it draws.

    Raises DataError for one that is absent or not trusted.
    """
    import gymnasium
    from gymnasium.envs.registration import EnvSpec

    check_spec("environment", env_spec)
    check_renderer()
    import_packages(env_spec)
    spec = EnvSpec.from_json(env_spec)
    spec.kwargs = {key: value for key, value in (spec.kwargs or {}).items() if key != "render_mode"}
    with quiet():
        return gymnasium.make(spec, disable_env_checker=True, **kwargs)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress the notice of Gymnasium's wrappers that they round bounds to float32."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*precision lowered by casting")
        yield


def import_packages(env_spec: str) -> None:
    """Import the package of environment `env_spec` (Gymnasium's JSON). Raises DataError if it is not installed."""
    spec = json.loads(env_spec)
    if any(entry.startswith("gymnasium_robotics") for entry in entry_points(spec) if isinstance(entry, str)):
        import_robotics(str(spec.get("id")))


def import_robotics(env_id: str) -> None:
    """Register the environments of Gymnasium-Robotics. Raises DataError, naming `env_id`, if it is not installed.

    Suppresses the package's notice that the dense rewards of Adroit's hands changed without a new version, which docs/data.md states; other
    notices are printed.
    """
    import gymnasium
    from farama_notifications import notifications

    notices = notifications.get("gymnasium_robotics", {})
    for number in [number for number, text in notices.items() if text.startswith("AdroitHand")]:
        del notices[number]
    try:
        import gymnasium_robotics
    except ImportError as error:
        raise DataError(f"environment '{env_id}' is unknown to Gymnasium; if it is one of Gymnasium-Robotics, {ROBOTICS}") from error
    gymnasium.register_envs(gymnasium_robotics)
