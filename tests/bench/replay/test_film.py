"""A film shows the recorded episode; a run that cannot be filmed is one line."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from ctypes.util import find_library
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from bench import cli
from bench.errors import EXIT_MISTAKE, RunError
from bench.replay.film import FRAMES, REMEDY, WIDTH, Film, choose_renderer, encode, film, play, render
from bench.report.page.films import LIMITS
from bench.storage.layout import film_path, films
from envs.evaluation.fork import Fork

RENDERER = find_library("EGL") or find_library("OSMesa")


@pytest.mark.skipif(RENDERER is None, reason=f"no renderer here; {REMEDY}")
def test_a_run_is_filmed_and_its_return_is_the_recorded_one(finished: Path) -> None:
    code = "import sys; from pathlib import Path; from bench.replay.film import film; print(film(Path(sys.argv[1]), 1, 2))"
    done = subprocess.run([sys.executable, "-c", code, str(finished)], capture_output=True, text=True)  # MuJoCo must not be imported yet
    assert done.returncode == 0, done.stderr
    said = done.stdout.split()
    assert float(said[said.index("return") + 1]) == pytest.approx(float(said[said.index("(recorded") + 1].rstrip("),")), abs=0.02)
    steps = int(said[said.index("steps,") - 1])
    rows = (finished / "episodes.csv").read_text().splitlines()
    assert steps == int(next(r for r in rows if r.startswith("20,1,2,")).split(",")[-1])
    path = film_path(finished, 1, 2)
    assert films(finished) == [path]
    with Image.open(path) as image:
        assert 1 < image.n_frames <= FRAMES
        first, image_size = np.asarray(image.convert("RGB"), np.int16), image.size
        image.seek(image.n_frames - 1)
        last = np.asarray(image.convert("RGB"), np.int16)
        assert np.abs(last - first).max() > 50  # the picture changes
        for picture in (first, last):  # the orange hopper is visible
            assert (picture[..., 0] - picture[..., 2] > 40).sum() > 100
    assert image_size[0] == WIDTH
    assert path.stat().st_size < LIMITS.film
    path.unlink()


def test_an_environment_without_pictures_is_one_line(tmp_path: Path) -> None:
    def make_env(**arguments: str) -> Fork:
        if arguments:  # its constructor takes none
            raise RunError("iwsft/Fork-v0: the environment cannot be made")
        return Fork()

    run = SimpleNamespace(
        folder=tmp_path, record={"final_episodes": 1, "updates": 1}, member=lambda seed: 0, make_env=make_env,
        population=lambda: SimpleNamespace(members=1, noise_width=0),
    )  # fmt: skip
    with pytest.raises(RunError, match="Fork draws no pictures; a film needs an environment with the render mode rgb_array"):
        play(run, 0, 0)


def test_a_long_episode_is_shown_at_its_own_pace_in_few_frames() -> None:
    """An animated WebP of three frames, each shown for the time between two of them."""
    rng = np.random.default_rng(0)
    frames = [Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)) for _ in range(3)]
    with Image.open(io.BytesIO(encode(Film(frames, 80.0, 1.0, 6)))) as image:
        assert image.n_frames == 3
        image.load()
        assert image.info["duration"] == 80


def test_without_a_renderer_the_error_names_the_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MUJOCO_GL", "DISPLAY"):
        monkeypatch.setenv(name, "")  # the end of the test restores the variable even if it was unset
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("bench.replay.film.find_library", lambda name: None)
    with pytest.raises(RunError, match=r"no renderer for films is installed; install .*apt-get install libegl1"):
        choose_renderer()
    monkeypatch.setattr("bench.replay.film.find_library", lambda name: name if name == "OSMesa" else None)
    choose_renderer()
    assert os.environ["MUJOCO_GL"] == "osmesa"
    monkeypatch.delenv("MUJOCO_GL")

    def broken() -> None:
        raise AttributeError("'NoneType' object has no attribute 'glGetError'")

    with pytest.raises(RunError, match=r"cannot render .*glGetError.*apt-get install"):
        render(SimpleNamespace(render=broken))


@pytest.mark.parametrize(
    ("seed", "episode", "message"),
    [(7, 0, "has no seed 7; it has 0, 1"), (1, 4, "has no final episode 4; it has 0 to 3"), (0, -1, "0 to 3")],
)
def test_a_missing_seed_or_episode_is_refused(
    finished: Path,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
    episode: int,
    message: str,
) -> None:
    monkeypatch.setenv("MUJOCO_GL", "egl")
    with pytest.raises(RunError, match=message):
        film(finished, seed, episode)
    assert not list(finished.glob("*.webp"))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "flipped": lambda path: path.write_bytes((whole := path.read_bytes())[:-1] + bytes([whole[-1] ^ 1])),
    "halved": lambda path: path.write_bytes((whole := path.read_bytes())[: len(whole) // 2]),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "missing": Path.unlink,
    "a link": lambda path: path.symlink_to(path.rename(path.with_name("other"))),
}


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_policy_is_one_line(
    damage: str, signed: bool, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The manifest shows it or, in a run of an earlier version that has none, the digest within the file."""
    monkeypatch.setenv("MUJOCO_GL", "egl")
    run = shutil.copytree(finished, tmp_path / "run")
    DAMAGES[damage](run / "policy.safetensors")
    if not signed:
        (run / "manifest.json").unlink()
        record = json.loads((run / "run.json").read_text())
        (run / "run.json").write_text(json.dumps({key: value for key, value in record.items() if key != "manifest"}))
    before = sorted(run.iterdir())
    assert cli.run(["film", str(run)]) == EXIT_MISTAKE
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {run}")
    assert "policy.safetensors" in line
    assert sorted(run.iterdir()) == before
