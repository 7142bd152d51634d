"""A film of a policy: `python -m bench.replay.film RUN_DIR` plays a final episode again and leaves episode-0-0.webp (seed, episode) there.

The report page shows what it finds in a run directory. An animated WebP needs no encoder beside Pillow, and every browser plays it.
Rendering needs no screen: MuJoCo draws through EGL or OSMesa, whichever is there.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from ctypes.util import find_library
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from bench.errors import USER_ERRORS, RunError
from bench.storage.files import write_atomic

if TYPE_CHECKING:
    from algos.base import Algo
    from bench.config.schema import Config
    from envs.data.logged_data import LoggedData

WIDTH = 240  # pixels
FRAMES = 300  # at most; a longer episode is shown in fewer frames a second
BYTES = 1_500_000  # at most; beyond it quality goes down, then frames
QUALITIES = (60, 40, 20)
REMEDY = "install a renderer that needs no screen (apt-get install libegl1 libgl1-mesa-dri, or libosmesa6 with MUJOCO_GL=osmesa)"


class Film(NamedTuple):
    """Frames [height, width, 3] uint8 with the time between two of them in milliseconds, and the raw return of the episode."""

    frames: list[Image.Image]
    interval: float
    value: float
    length: int


def choose_renderer() -> None:
    """Point MuJoCo at a renderer that is there, unless MUJOCO_GL or a display says otherwise. To be called before MuJoCo is imported."""
    if os.environ.get("MUJOCO_GL") or os.environ.get("DISPLAY"):
        return
    found = next((name for name, library in (("egl", "EGL"), ("osmesa", "OSMesa")) if find_library(library)), None)
    if found is None:
        raise RunError(f"no renderer for video here; {REMEDY}")
    os.environ["MUJOCO_GL"] = found


def record(folder: Path, seed: int | None = None, episode: int = 0) -> tuple[Path, str]:
    """Play final episode `episode` of `seed` (the run's first unless told) of the run in `folder` and write its film there.

    Returns the film's path and a line that says its return beside the recorded one. Raises RunError for what cannot be played or drawn.
    """
    choose_renderer()
    from bench.replay.verify import load_algo, load_config
    from bench.training.shared import data_set  # loads torch and MuJoCo

    config = load_config(folder)
    seed = config.seeds[0] if seed is None else seed
    if seed not in config.seeds:
        raise RunError(f"{folder}: has no seed {seed}; it has {', '.join(map(str, config.seeds))}")
    if not 0 <= episode < config.eval.final_episodes:
        raise RunError(f"{folder}: has no final episode {episode}; it has 0 to {config.eval.final_episodes - 1}")
    data = data_set(config.dataset)
    film = play(config, data, load_algo(folder, config, data), seed, episode)
    path = folder / f"episode-{seed}-{episode}.webp"
    write_atomic(path, encode(film))
    said = f"{path}: {film.length} steps, return {film.value:.2f}"
    before = _recorded(folder, seed, episode)
    return path, said if before is None else f"{said} (recorded {before:.2f}), {path.stat().st_size / 1000:.0f} kB"


def play(config: Config, data: LoggedData, algo: Algo, seed: int, episode: int) -> Film:
    """The final episode that evaluation played from the same start, drawn."""
    import gymnasium
    import torch
    from gymnasium.envs.registration import EnvSpec

    from envs.data.spaces import Flattener
    from envs.evaluation.rollout import episode_seeds

    member = config.seeds.index(seed)
    start = int(episode_seeds([seed], algo.updates, episode + 1)[0, episode])
    env, total, length, frames = _environment(EnvSpec.from_json(data.env_spec), gymnasium), 0.0, 0, []
    try:
        flat = Flattener(env.observation_space)
        observation, going = flat(env.reset(seed=start)[0]), True
        second = float(env.metadata.get("render_fps") or 30)  # steps
        every = max(1, round(second / 25))  # no more frames than one sees; drawing without a GPU is slow
        frames.append(_draw(env))
        while going:
            batch = np.repeat(observation[None, None].astype(np.float32), algo.members, 0)
            action = data.to_env(algo.act(torch.from_numpy(batch).to(algo.device))[member, 0].cpu().numpy())
            raw, reward, terminated, truncated, _ = env.step(action)
            observation, total, length, going = flat(raw), total + float(reward), length + 1, not (terminated or truncated)
            if length % every == 0 or not going:
                frames.append(_draw(env))
    finally:
        env.close()
    keep = -(-len(frames) // FRAMES)
    return Film(frames[::keep], 1000 * every * keep / second, total, length)  # as fast as life


def _environment(spec: Any, gymnasium: Any) -> Any:
    try:
        env = gymnasium.make(spec, disable_env_checker=True, render_mode="rgb_array")
    except Exception as error:  # environments raise what they like
        raise RunError(f"{spec.id}: cannot be drawn ({_first_line(error)}); if it is the renderer, {REMEDY}") from error
    if (renderer := getattr(env.unwrapped, "mujoco_renderer", None)) is not None:
        import mujoco

        camera = mujoco.mj_name2id(renderer.model, mujoco.mjtObj.mjOBJ_CAMERA, "track")
        if camera != -1:
            renderer.camera_id = camera  # Gymnasium's own choice stands still, and what walks leaves the picture
    return env


def _draw(env: Any) -> Image.Image:
    try:
        image = Image.fromarray(np.asarray(env.render(), np.uint8))
    except Exception as error:  # every renderer fails in its own way
        raise RunError(f"MUJOCO_GL={os.environ.get('MUJOCO_GL', '')}: cannot draw ({_first_line(error)}); {REMEDY}") from error
    return image.resize((WIDTH, round(image.height * WIDTH / image.width)), Image.Resampling.BILINEAR)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__} {str(error)[:80]}".splitlines()[0].strip()


def encode(film: Film, limit: int = BYTES) -> bytes:
    """The film as an animated WebP of at most `limit` bytes: in lower quality where it has to be, then in fewer frames."""
    frames, interval = film.frames, film.interval
    while True:
        for quality in QUALITIES:
            out = io.BytesIO()
            frames[0].save(
                out, "WEBP", save_all=True, append_images=frames[1:], duration=round(interval), loop=0, quality=quality, method=2
            )
            if out.tell() <= limit:
                return out.getvalue()
        if len(frames) == 1:
            raise RunError(f"one frame takes {out.tell()} bytes, more than {limit}")
        frames, interval = frames[::2], interval * 2


def _recorded(folder: Path, seed: int, episode: int) -> float | None:
    """What evaluation recorded for this episode, None without its files."""
    import json

    from bench.storage.rundir import read_csv

    if not (folder / "run.json").is_file() or not (folder / "episodes.csv").is_file():
        return None
    updates = json.loads((folder / "run.json").read_text())["updates"]
    same = (str(updates), str(seed), str(episode))
    rows = read_csv(folder / "episodes.csv")
    return next((float(r["return"]) for r in rows if (r["update"], r["seed"], r["episode"]) == same), None)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Film a final episode of a run's policy; the report page shows it.")
    parser.add_argument("run", type=Path, metavar="RUN_DIR", help="config.yaml and checkpoint.safetensors")
    parser.add_argument("--seed", type=int, help="which of the run's seeds; the first unless told")
    parser.add_argument("--episode", type=int, default=0, help="which of its final episodes; 0 unless told")
    given = parser.parse_args(arguments)
    try:
        print(record(given.run, given.seed, given.episode)[1])
    except (*USER_ERRORS, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
