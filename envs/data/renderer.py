"""MUJOCO_GL, the renderer that MuJoCo loads when it is imported, even where nothing is rendered."""

from __future__ import annotations

import os

from envs.errors import DataError, first_line


def check_renderer() -> None:
    """Raise DataError if MUJOCO_GL names a renderer with which MuJoCo cannot be imported."""
    if not (name := os.environ.get("MUJOCO_GL")):
        return
    try:
        import mujoco  # noqa: F401
    except ModuleNotFoundError:
        pass
    except Exception as error:  # a name without meaning, or a library that is not installed: each renderer fails in its own way
        raise DataError(
            f"MUJOCO_GL = {name}: MuJoCo cannot be imported with it ({first_line(error)}); expected a renderer that is installed (egl, "
            f"osmesa or glfw) or disabled; unset it where nothing is rendered"
        ) from error
