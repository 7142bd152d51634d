"""Film a final episode of a finished run: the policy plays it again, from the start that evaluation used, into an animated WebP.

Pillow writes the file, and every browser plays it. MuJoCo renders without a screen through EGL or OSMesa.
"""

from __future__ import annotations

import io
import os
import time
import warnings
from contextlib import closing
from ctypes.util import find_library
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from bench.errors import RunError
from bench.storage.layout import film_path
from bench.storage.rundir import read_csv
from envs.files import write_atomic

WIDTH = 240  # pixels
FRAMES = 300  # at most, of the longest episode; longer ones have fewer frames per second
MOST_FRAMES = 10 * FRAMES  # of an episode in an environment without a limit of steps
SECONDS = 600.0  # of playing and rendering an episode
SIDE = 4096  # pixels of a frame, before it is made smaller
QUALITY = 40  # of 100, WebP; a film of 250 frames takes about 0.3 MB
RENDERERS = ("egl", "osmesa", "glfw")
REMEDY = "install a renderer that needs no screen (apt-get install libegl1 libgl1-mesa-dri, or libosmesa6 with MUJOCO_GL=osmesa)"


class Film(NamedTuple):
    """Frames, milliseconds per frame, and the raw return and length of the episode."""

    frames: list[Image.Image]
    interval: float
    value: float
    length: int


def choose_renderer() -> None:
    """Set MUJOCO_GL to an installed renderer that needs no screen, unless MUJOCO_GL or DISPLAY is set. Call before MuJoCo is imported."""
    if (name := os.environ.get("MUJOCO_GL")) and name not in RENDERERS:
        raise RunError(f"MUJOCO_GL = {name}: expected {', '.join(RENDERERS[:-1])} or {RENDERERS[-1]} to render films; {REMEDY}")
    if name or os.environ.get("DISPLAY"):
        return
    found = next((name for name, library in (("egl", "EGL"), ("osmesa", "OSMesa")) if find_library(library)), None)
    if found is None:
        raise RunError(f"no renderer for films is installed; {REMEDY}")
    os.environ["MUJOCO_GL"] = found


def film(folder: Path, seed: int | None = None, episode: int = 0) -> str:
    """Film final episode `episode` of `seed` (default: the first) of the run in `folder`; return a line with its path and return.

    Raises RunError for a seed or an episode that the run does not have, and for an environment that cannot be rendered.
    """
    choose_renderer()
    from bench.replay.load import load_run  # imports MuJoCo

    run = load_run(folder)
    seed, count = run.config.seeds[0] if seed is None else seed, run.record["final_episodes"]
    if count and not 0 <= episode < count:  # without any, there is no environment, which `play` says
        raise RunError(f"{folder}: has no final episode {episode}; it has 0 to {count - 1}")
    played = play(run, seed, episode)
    path = film_path(folder, seed, episode)
    write_atomic(path, encode(played))
    key = (run.record["updates"], seed, episode)
    before = next(
        float(r["return"]) for r in read_csv(folder / "episodes.csv") if key == tuple(int(r[k]) for k in ("update", "seed", "episode"))
    )
    size = path.stat().st_size / 1000
    return f"{path}: {played.length} steps, return {played.value:.2f} (recorded {before:.2f}), {size:.0f} kB"


def play(run: Any, seed: int, episode: int) -> Film:
    """Play and render the final episode `episode` of `seed` of a LoadedRun. Raises RunError or DataError for an environment that fails, or
    whose observations are not those of the run."""
    import torch

    from bench.training.evaluate import environments_a_member
    from envs.data.spaces import Flattener
    from envs.evaluation.action_noise import uniform
    from envs.evaluation.episodes import Moments, episode_seeds
    from envs.evaluation.threads import reported

    member, algo = run.member(seed), run.population()
    # A batch of evaluation's shape, because rounding depends on it and chaotic physics magnifies rounding.
    evaluated = run.record.get("population_members", algo.members)
    batch = (algo.members, environments_a_member(evaluated, run.record["final_episodes"]), -1)
    start = int(episode_seeds([seed], run.record["updates"], episode + 1)[0, episode])
    width = algo.noise_width if run.record.get("actions") == "sampled" else 0  # both: the mean action
    until = time.monotonic() + SECONDS
    env, frames, value, length = _make_env(run), [], 0.0, 0
    try:
        flatten, second = Flattener(env.observation_space), float(env.metadata.get("render_fps") or 30)  # steps a second
        longest = env.spec.max_episode_steps or 1000
        every = max(1, round(second / 25), -(-longest // FRAMES))  # 25 frames a second look smooth; rendering without a GPU is slow
        _follow(env)
        with reported():
            observation, running = env.reset(seed=start)[0], True
        frames.append(render(env))
        while running:
            if time.monotonic() > until or len(frames) > MOST_FRAMES:  # an environment of unknown origin may be endless, its pictures large
                limits = f"{SECONDS:g} seconds or {MOST_FRAMES} frames"
                raise RunError(f"{run.folder}: the film of episode {episode} of seed {seed} has no end after {limits}")
            flat = torch.from_numpy(np.asarray(flatten(observation), np.float32))
            if len(flat) != (expected := run.environment.observation_width):
                raise RunError(f"{run.folder}: an observation of the environment has {len(flat)} numbers; its policies take {expected}")
            observations = flat.expand(batch).contiguous()
            if width:
                noise = torch.from_numpy(uniform(Moments(np.array([start]), np.array([length])), width))
                actions = algo.act_sampled(observations, noise.expand(*batch[:2], -1))
            else:
                actions = algo.act(observations)
            action = run.environment.to_env(actions[member, 0].numpy())
            with reported():
                observation, reward, terminated, truncated, _ = env.step(action)
            value, length, running = value + float(reward), length + 1, not (terminated or truncated)
            if length % every == 0 or not running:
                frames.append(render(env))
    finally:
        env.close()
    return Film(frames, 1000 * every / second, value, length)


def _make_env(run: Any) -> Any:
    """The environment, which draws pictures. Raises RunError for one that draws none."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*not in the possible render_modes")  # it may draw all the same
            return run.make_env(render_mode="rgb_array")
    except RunError:
        with closing(run.make_env()) as env:
            if "rgb_array" in (env.metadata.get("render_modes") or ()):
                raise
            name = type(env.unwrapped).__name__
        raise RunError(f"{run.folder}: {name} draws no pictures; a film needs an environment with the render mode rgb_array") from None


def _follow(env: Any) -> None:
    """Use the camera that follows the robot, where the model has one: Gymnasium's default lets it walk out of the picture."""
    if (renderer := getattr(env.unwrapped, "mujoco_renderer", None)) is not None:
        import mujoco

        camera = mujoco.mj_name2id(renderer.model, mujoco.mjtObj.mjOBJ_CAMERA, "track")
        renderer.camera_id = renderer.camera_id if camera == -1 else camera


def render(env: Any) -> Image.Image:
    """One frame. Raises RunError, with the remedy, if the renderer fails."""
    try:
        image = Image.fromarray(np.asarray(env.render(), np.uint8))
    except Exception as error:  # every renderer raises errors of its own
        reason = f"{type(error).__name__} {str(error)[:80]}".splitlines()[0]
        raise RunError(f"MUJOCO_GL={os.environ.get('MUJOCO_GL', '')}: cannot render ({reason}); {REMEDY}") from error
    if max(image.size) > SIDE:
        raise RunError(f"a frame has {image.width} x {image.height} pixels; expected at most {SIDE} on a side")
    return image.resize((WIDTH, round(image.height * WIDTH / image.width)), Image.Resampling.BILINEAR)


def encode(film: Film) -> bytes:
    """The film as an animated WebP that repeats."""
    out, (first, *others) = io.BytesIO(), film.frames
    first.save(out, "WEBP", save_all=True, append_images=others, duration=round(film.interval), loop=0, quality=QUALITY, method=2)
    return out.getvalue()
