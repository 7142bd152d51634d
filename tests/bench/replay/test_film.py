"""A film shows the episode that was recorded, stays within its size, and what cannot be filmed is said in a line."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from ctypes.util import find_library
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.errors import RunError
from bench.replay import film as video
from bench.replay.film import Film, choose_renderer, encode, record
from bench.report.page.build import _videos

RENDERER = find_library("EGL") or find_library("OSMesa")


def film(count: int, side: int = 64) -> Film:
    """Frames of noise, which does not compress."""
    rng = np.random.default_rng(0)
    return Film([Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8)) for _ in range(count)], 40.0, 1.0, count)


def opened(content: bytes) -> Any:
    return Image.open(io.BytesIO(content))


@pytest.mark.skipif(RENDERER is None, reason=f"no renderer here; {video.REMEDY}")
def test_a_run_is_filmed_and_its_return_is_the_recorded_one(finished: Path) -> None:
    command = [sys.executable, "-m", "bench.replay.film", str(finished), "--seed", "1", "--episode", "2"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = done.stdout.split()
    assert float(said[said.index("return") + 1]) == pytest.approx(float(said[said.index("(recorded") + 1].rstrip("),")), abs=0.02)
    steps = int(said[said.index("steps,") - 1])
    rows = (finished / "episodes.csv").read_text().splitlines()
    assert steps == int(next(r for r in rows if r.startswith("20,1,2,")).split(",")[-1])
    path = finished / "episode-1-2.webp"
    with Image.open(path) as image:
        assert 1 < image.n_frames <= video.FRAMES
        first, image_size = np.asarray(image.convert("RGB"), np.int16), image.size
        image.seek(image.n_frames - 1)
        last = np.asarray(image.convert("RGB"), np.int16)
        assert np.abs(last - first).max() > 50  # something moved
        for picture in (first, last):  # the hopper is orange, and still there
            assert (picture[..., 0] - picture[..., 2] > 40).sum() > 100
    assert image_size[0] == video.WIDTH
    assert path.stat().st_size <= video.BYTES
    assert _videos(finished)[0]["source"].startswith("data:image/webp;base64,")
    path.unlink()


def test_a_film_stays_within_its_size() -> None:
    whole = encode(film(8))
    with opened(whole) as image:
        assert image.n_frames == 8
    for share in (0.7, 0.2):
        small = encode(film(8), int(share * len(whole)))
        assert len(small) <= share * len(whole)
    with opened(small) as image:
        assert image.n_frames < 8
        image.load()
        assert image.info["duration"] > 40  # it is no faster for its missing frames
    with pytest.raises(RunError, match="one frame takes"):
        encode(film(2), 10)


def test_without_a_renderer_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MUJOCO_GL", "DISPLAY"):
        monkeypatch.setenv(name, "")  # so that leaving restores what was, not what is found out here
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(video, "find_library", lambda name: None)
    with pytest.raises(RunError, match=r"no renderer for video here; install .*apt-get install libegl1"):
        choose_renderer()
    monkeypatch.setattr(video, "find_library", lambda name: name if name == "OSMesa" else None)
    choose_renderer()
    assert video.os.environ["MUJOCO_GL"] == "osmesa"
    monkeypatch.delenv("MUJOCO_GL")

    def broken() -> None:
        raise AttributeError("'NoneType' object has no attribute 'glGetError'")

    with pytest.raises(RunError, match=r"cannot draw .*glGetError.*apt-get install"):
        video._draw(SimpleNamespace(render=broken))


@pytest.mark.parametrize(
    ("seed", "episode", "message"),
    [(7, 0, "has no seed 7; it has 0, 1"), (1, 4, "has no final episode 4; it has 0 to 3"), (0, -1, "0 to 3")],
)
def test_what_a_run_does_not_have_is_said(
    finished: Path,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
    episode: int,
    message: str,
) -> None:
    monkeypatch.setenv("MUJOCO_GL", "egl")
    with pytest.raises(RunError, match=message):
        record(finished, seed, episode)
    assert not list(finished.glob("*.webp"))


def test_no_run_is_said_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MUJOCO_GL", "egl")
    (tmp_path / "run.json").write_text(json.dumps({}))
    with pytest.raises(SystemExit) as stopped:
        video.main([str(tmp_path)])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
