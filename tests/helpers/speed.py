"""The suite and the yardstick on one small workload, and workers without processes."""

from __future__ import annotations

from typing import Any

from bench.speed.worker import Setting
from tests.helpers.learners import configured

HIDDEN, BATCH = [7, 6], 16
OWN = {
    "td3_bc": ["algo.policy_noise=0"],  # suite and yardstick draw this noise with different generators
    "iw_sft_q": ["algo.warmup=0", "algo.learning_rate=0.05", "algo.weighting.refresh_every=2"],  # so that weights differ
}


def config_of(method: str, hidden: list[int] = HIDDEN, batch: int = BATCH) -> Any:
    """The configuration of one of the yardstick's methods, small."""
    updates = 400 if method == "iw_sft_q" else 20
    sizes = (f"algo.hidden={hidden}", f"algo.updates={updates}", f"algo.batch_size={batch}")
    return configured(method, *sizes, *OWN.get(method, []))


class FakeWorker:
    """A worker without a process that records its turns."""

    def __init__(self, setting: Setting, rates: tuple[float, ...] = (), turns: list[str] | None = None) -> None:
        self.setting, self.rates, self.memory_mib, self.turns = setting, list(rates), 300.0, turns

    def measure(self, seconds: float, keep: bool) -> None:
        self.turns.append(f"{self.setting.kind}{self.setting.workload.members} {seconds:g} {keep}")  # type: ignore[union-attr]
