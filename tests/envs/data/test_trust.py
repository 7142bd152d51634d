"""Environments that metadata names: wrappers that write, and arguments that name files, are refused whatever is trusted."""

from __future__ import annotations

import json
from typing import Any

import gymnasium
import pytest

from envs.data.trust import check_spec
from envs.errors import DataError

RECORD = "gymnasium.wrappers.rendering:RecordVideo"


def spec(*wrappers: tuple[str, dict[str, Any] | None], **changes: Any) -> str:
    """The JSON of InvertedPendulum-v5 with `wrappers` (entry point, arguments) and other `changes`."""
    added = [{"name": entry.split(":")[-1], "entry_point": entry, "kwargs": kwargs} for entry, kwargs in wrappers]
    return json.dumps(json.loads(gymnasium.spec("InvertedPendulum-v5").to_json()) | {"additional_wrappers": added} | changes)


@pytest.mark.parametrize(
    ("entry", "kwargs"),
    [
        (RECORD, {"video_folder": "videos"}),
        (RECORD, None),
        ("gymnasium.wrappers:RecordVideo", {"video_folder": "videos"}),
        ("gymnasium.wrappers.vector.rendering:RecordVideo", {"video_folder": "videos"}),
        ("gymnasium.wrappers:HumanRendering", {}),
        ("gymnasium.wrappers:NewWrapper", {}),
        ("gymnasium.envs.mujoco.mujoco_rendering:WindowViewer", {}),
        ("gymnasium_robotics.core:GoalEnv", {}),
        ("toys.wrappers:RecordVideo", {}),
        ("toys.wrappers:Own", {"log_dir": "logs"}),
        ("toys.wrappers:Own", {"video_folder": "videos"}),
        ("toys.wrappers:Own", {"filename": "x"}),
    ],
)
def test_wrappers_that_write_are_refused_whatever_is_trusted(entry: str, kwargs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IWSFT_TRUSTED_PACKAGES", "gymnasium,toys")
    with pytest.raises(DataError, match="may write files or open a window, and is never run"):
        check_spec("there", spec((entry, kwargs)))


def test_other_wrappers_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IWSFT_TRUSTED_PACKAGES", "toys")
    check_spec("there", spec(("gymnasium.wrappers:TimeLimit", {"max_episode_steps": 5}), ("toys.wrappers:Own", {"gain": 2})))


def test_a_wrapper_is_no_environment() -> None:
    with pytest.raises(DataError, match=r"there: 'gymnasium\.wrappers:RecordVideo' is a wrapper; expected an environment"):
        check_spec("there", spec(entry_point="gymnasium.wrappers:RecordVideo", kwargs={"video_folder": "videos"}))


@pytest.mark.parametrize("path", ["/etc/passwd", "~/x.xml", "../../x.xml"])
def test_arguments_name_no_file_outside_the_package(path: str) -> None:
    with pytest.raises(DataError, match="names the file"):
        check_spec("there", spec(kwargs={"nested": [{"xml_file": path}]}))
    check_spec("there", spec(kwargs={"xml_file": "inverted_pendulum.xml"}))


@pytest.mark.parametrize("text", ["[" * 5000, json.dumps({"id": 3}), json.dumps({"id": "x" * 500}), "{}"])
def test_what_is_no_specification_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(DataError, match="not an environment's specification"):
        check_spec("there", text)
