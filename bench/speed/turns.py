"""Measured things take turns, so that what changes on a machine over minutes meets all of them alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, zip_longest
from statistics import median

from bench.speed import limit
from bench.speed.machine import QUIET, others_busy
from bench.speed.options import Options
from bench.speed.worker import Setting, Worker
from bench.speed.workload import Workload

LIMIT_SHARE = 0.25  # of a measurement's time: products have no cycle to go through

Say = Callable[[str], None]


@contextmanager
def at_work(settings: Sequence[Setting]) -> Iterator[list[Worker]]:
    """A worker each, ended in any case."""
    workers: list[Worker] = []
    try:
        for setting in settings:
            workers.append(Worker(setting))
        for worker in workers:
            worker.ready()
        yield workers
    finally:
        for worker in workers:
            worker.stop()


def limits(members: Sequence[int], o: Options) -> list[Setting]:
    """The large square product, and a population's hidden layer for each number of members."""
    square = Workload("square", 1, device=o.device, precision=o.precision)
    layers = [replace(square, method="batched", members=p, batch=o.batch, hidden=(o.hidden[0],)) for p in members]
    return [Setting("limit", shape, o.all_threads) for shape in (square, *layers)]


def product_flops(setting: Setting) -> float:
    """Operations of a member's product."""
    what = setting.what
    return 2.0 * limit.SQUARE[what.device] ** 3 if what.method == "square" else 2.0 * what.batch * what.hidden[0] ** 2


def peak(found: Sequence[Worker]) -> float:
    """FLOP/s: the fastest of the products, by their medians."""
    return max(median(w.rates) * product_flops(w.setting) for w in found if w.rates)


def take_turns(workers: Sequence[Sequence[Worker]], rounds: int, seconds: float) -> None:
    """Warm up, then `rounds` times one measurement of each, the groups mixed; every second round in the opposite order."""
    order = [w for w in chain.from_iterable(zip_longest(*workers)) if w is not None]

    def once(worker: Worker, share: float, keep: bool) -> None:
        worker.measure(seconds * share * (LIMIT_SHARE if worker.setting.who == "limit" else 1.0), keep)

    for worker in order:
        once(worker, 0.5, keep=False)
    for i in range(rounds):
        for worker in reversed(order) if i % 2 else order:
            once(worker, 1.0, keep=True)


def look_around(say: Say) -> float:
    """How busy others keep the machine while nothing is measured; says so if it is not quiet."""
    busy = others_busy()
    if not math.isnan(busy) and busy > QUIET:
        say(f"warning: other processes keep {busy:.0%} of the cores busy; figures hold for a quiet machine only")
    return busy
