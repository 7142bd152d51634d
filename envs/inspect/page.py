"""The page of a data set: an HTML file with its facts, and a figure beside it."""

from __future__ import annotations

import html
import io
import re
from pathlib import Path
from typing import Any

import numpy as np

from envs.data.logged_data import LoggedData
from envs.files import write_atomic
from envs.inspect.facts import Facts
from envs.inspect.strata import PERCENTILES

COLUMNS = 24  # of actions or observations in the figure, at most
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2733; max-width: 1080px; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem; overflow-wrap: anywhere } h2 { font-size: 1.05rem; margin: 1.6rem 0 .3rem }
table { border-collapse: collapse; width: 100% } td { padding: .2rem .8rem .2rem 0; vertical-align: top; border-bottom: 1px solid #e6e9ec }
td:first-child { width: 16rem; color: #5a6875 } td:last-child { font-variant-numeric: tabular-nums; overflow-wrap: anywhere }
ul.flags { background: #fff6e5; border-left: 4px solid #d98b00; padding: .6rem .8rem .6rem 2rem }
.figure { overflow-x: auto; margin: 1rem 0 } img { width: 100%; min-width: 860px; display: block }
p.fine { background: #eaf6ee; border-left: 4px solid #2d8a4e; padding: .6rem .8rem }
@media (max-width: 640px) {
  td { display: block; padding: 0 } td:first-child { width: auto; border: 0; padding-top: .4rem; font-size: .85rem }
  td:last-child { padding-bottom: .3rem }
}
"""


def write(data: LoggedData, facts: Facts, folder: Path) -> Path:
    """Write `<name>.html` and `<name>.png` into `folder`, each whole or absent; returns the page. Raises OSError."""
    name = re.sub(r"[^\w.-]+", "-", data.dataset)
    picture, page = folder / f"{name}.png", folder / f"{name}.html"
    write_atomic(picture, _drawn(data))
    write_atomic(page, _html(facts, picture.name))
    return page


def _html(facts: Facts, picture: str) -> str:
    title = html.escape(facts.dataset)
    flags = "".join(f"<li>{html.escape(flag)}</li>" for flag in facts.flags)
    verdict = f'<ul class="flags">{flags}</ul>' if flags else '<p class="fine">Nothing found that will hurt training.</p>'
    sections = "".join(
        f"<h2>{html.escape(section)}</h2><table>"
        + "".join(f"<tr><td>{html.escape(name)}</td><td>{html.escape(value)}</td></tr>" for name, value in rows)
        + "</table>"
        for section, rows in facts.sections.items()
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title><style>{STYLE}</style></head><body>'
        f'<h1>{title}</h1>{verdict}<div class="figure"><img src="{html.escape(picture)}" '
        f'alt="Returns, lengths, actions, observations and sample episodes"></div>'
        f"{sections}</body></html>\n"
    )


def _drawn(data: LoggedData) -> bytes:
    """A PNG of six panels: returns and cut-offs, lengths, returns as recorded, sample episodes, actions, observations."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 7.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 3)
    figure.get_layout_engine().set(hspace=0.06)  # type: ignore[union-attr, call-arg]
    t = data.trajectories
    returns, lengths = t.returns.numpy(), t.lengths.numpy()
    _returns(axes[0, 0], returns)
    _histogram(axes[0, 1], lengths.astype(float))
    axes[0, 1].set(title="lengths", xlabel="steps", ylabel="episodes")
    axes[0, 2].plot(returns, ".", markersize=2, color="#2c6fad")
    axes[0, 2].set(title="returns as recorded", xlabel="episode", ylabel="return")
    _samples(axes[1, 0], data)
    _actions(axes[1, 1], data)
    _observations(axes[1, 2], t.observations.numpy())
    for ax in (axes[1, 1], axes[1, 2]):
        ax.xaxis.get_major_locator().set_params(integer=True)
    for ax in axes.flat:
        ax.spines[["top", "right"]].set_visible(False)
    png = io.BytesIO()
    figure.savefig(png, dpi=110, format="png", metadata={"Software": None})
    return png.getvalue()


def _histogram(ax: Any, values: np.ndarray) -> None:
    low, high = values.min(), values.max()
    if high > low:
        ax.hist(values, np.linspace(low, high, 51), color="#7aa6d1")
        return
    ax.bar([0], [len(values)], width=0.2, color="#7aa6d1")  # one value: a label in place of an axis
    ax.set(xlim=(-1, 1), xticks=[0], xticklabels=[f"{low:.6g}"])


def _returns(ax: Any, returns: np.ndarray) -> None:
    _histogram(ax, returns)
    for percentile, color in zip(PERCENTILES, ("#f0b429", "#de7b1a", "#b3261e"), strict=True):
        at = np.percentile(returns, percentile) if np.ptp(returns) else 0
        ax.axvline(at, color=color, linewidth=1.2, label=f"percentile {percentile}")
    ax.set(title="returns", xlabel="return", ylabel="episodes")
    ax.legend(frameon=False, fontsize=8)


def _samples(ax: Any, data: LoggedData) -> None:
    """Cumulative reward in the worst, middle and best episodes."""
    t = data.trajectories
    order = np.argsort(t.returns.numpy(), kind="stable")
    spots = {"worst": order[:3], "middle": order[len(order) // 2 - 1 : len(order) // 2 + 2], "best": order[-3:]}
    for (name, episodes), color in zip(spots.items(), ("#b3261e", "#7d8791", "#2d8a4e"), strict=True):
        for k, e in enumerate(episodes.tolist()):
            rewards = t.rewards[int(t.offsets[e]) : int(t.offsets[e + 1])].numpy().astype(np.float64)
            ax.plot(np.arange(1, len(rewards) + 1), rewards.cumsum(), color=color, linewidth=1, label=name if k == 0 else None)
            ax.plot(len(rewards), rewards.sum(), "o", markersize=3, color=color)
    ax.set(title="sample episodes", xlabel="step", ylabel="cumulative reward")
    ax.legend(frameon=False, fontsize=8)


def _actions(ax: Any, data: LoggedData) -> None:
    actions = data.trajectories.actions.numpy()
    if data.trajectories.num_actions:
        counts = np.bincount(actions[:, 0].astype(int), minlength=data.trajectories.num_actions)
        ax.bar(np.arange(len(counts)) + data.units.start, counts, color="#7aa6d1")
        ax.set(title="actions", xlabel="action", ylabel="steps")
        return
    edges = np.linspace(-1, 1, 41)
    shares = np.stack([np.histogram(column, edges)[0] / len(column) for column in actions[:, :COLUMNS].T])
    ax.imshow(shares.T, aspect="auto", origin="lower", extent=(-0.5, len(shares) - 0.5, -1, 1), cmap="Blues")
    ax.set(title="actions (unit box; darker is more)", xlabel="column", ylabel="value")


def _observations(ax: Any, observations: np.ndarray) -> None:
    shown = observations[:, :COLUMNS]
    low, middle, high = np.percentile(shown[:: max(1, len(shown) // 50_000)], (5, 50, 95), axis=0)
    columns = np.arange(shown.shape[1])
    ax.vlines(columns, low, high, color="#7aa6d1", linewidth=4)
    ax.plot(columns, middle, ".", color="#1c2733")
    more = f", first {COLUMNS} of {observations.shape[1]}" if observations.shape[1] > COLUMNS else ""
    ax.set(title=f"observations (5, 50, 95 %{more})", xlabel="column", ylabel="value")
