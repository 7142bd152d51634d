"""A process that steps environments: whatever an environment raises is one answer."""

from __future__ import annotations

import sys
from typing import Any

import gymnasium
import numpy as np
import pytest

from envs.evaluation import worker


class Pipe:
    """A pipe whose other end sends `messages` and takes `room` answers before it closes."""

    def __init__(self, room: int) -> None:
        self.messages: list[Any] = [("start", [[0]]), ("step", np.zeros((1, 1))), ("step", np.zeros((1, 1)))]
        self.room = room
        self.answers: list[Any] = []

    def recv(self) -> Any:
        if not self.messages:
            raise EOFError
        return self.messages.pop(0)

    def send(self, answer: Any) -> None:
        if len(self.answers) == self.room:
            raise BrokenPipeError
        self.answers.append(answer)


class Failing(gymnasium.Env):
    """An environment whose first step raises `error`, and whose close and destructor fail as well."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,))

    def __init__(self, error: BaseException) -> None:
        self.error, self.closed = error, False

    def reset(self, **_: Any) -> Any:
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> Any:
        raise self.error

    def close(self) -> None:
        self.closed = True
        raise ValueError("cannot close")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("fell off\n  the table"), "ValueError: fell off the table (test_worker.py, line "),
        (BrokenPipeError("its own pipe"), "BrokenPipeError: its own pipe (test_worker.py, line "),
        (EOFError("its own file"), "EOFError: its own file ("),
        (SystemExit(3), "SystemExit: 3 ("),
        (KeyboardInterrupt(), "KeyboardInterrupt ("),
        (ValueError("x" * 10000), f"ValueError: {'x' * 300} ("),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("room", [2, 1], ids=["open", "closed"])
def test_an_error_of_an_environment_is_one_line(
    error: BaseException, message: str, room: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """If the main process has closed the pipe, as it does after another process's error, the process ends silently."""
    env, pipe = Failing(error), Pipe(room)
    monkeypatch.setattr(worker, "make", lambda spec: env)
    monkeypatch.setattr(worker, "ignore_signals", lambda: None)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    worker.work(pipe, "")  # type: ignore[arg-type]
    assert env.closed
    assert len(pipe.messages) == 1, "the process ended after the error"
    assert len(pipe.answers) == room
    if room == 2:
        assert pipe.answers[1][0].startswith(message)
        assert pipe.answers[1][1:] == ([], None)
    assert capfd.readouterr() == ("", "")
