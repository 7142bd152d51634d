"""The verdict of the study `bound`, computed from its rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from bench.studies.bounds.figure import paths
from bench.studies.bounds.values import OWN

Rows = Sequence[dict[str, Any]]
SLACK = 1e-5  # nats, of float32 log-likelihoods


def verdict(rows: Rows) -> str:
    """The answers in plain words: is it a bound, is it tighter, at which q, at what cost; in enumerated and in sampled settings."""
    exact, drawn = [r for r in rows if "sample" not in r], [r for r in rows if "sample" in r]
    return "\n\n".join([*_exact(exact), *_path(rows), *(_sampled(drawn) if drawn else ())])


def _last(rows: Rows) -> list[dict[str, Any]]:
    """Rows of the end of training of each setting and method."""
    ends: dict[tuple[str, str], int] = {}
    for r in rows:
        ends[r["setting"], r["method"]] = max(r["update"], ends.get((r["setting"], r["method"]), 0))
    return [r for r in rows if r["update"] == ends[r["setting"], r["method"]]]


def _log(share: float) -> float:
    """log(share), -inf for 0."""
    return float(np.log(share)) if share > 0 else float("-inf")


def _place(row: dict[str, Any]) -> tuple[str, str, int]:
    """The policy that a row is about."""
    return row["setting"], row["method"], row["update"]


def _table(head: str, lines: Iterator[str]) -> str:
    columns = head.count("|") - 1
    return "\n".join([head, "| --- | --- |" + " ---: |" * (columns - 2), *lines])


def _exact(rows: Rows) -> Iterator[str]:
    """Enumerated settings: J, SFT's bound and the method's own at the end of training."""
    yield "## Enumerated settings: every number is exact"
    plain = {(r["setting"], r["method"], r["update"]): r for r in rows if r["q"] == "pi_ref"}
    yield _table(
        "| setting | policy of | J | SFT's bound | bound of its own weights | the same, rescaled | ESS | cosine to the gradient of J |",
        (
            f"| {r['setting']} | {r['method']} | {r['J']:.4f} | {plain[_place(r)]['bound']:.4f} | {r['bound']:.4f} "
            f"| {r['bound_best_scale']:.4f} | {r['ess']:.2f} | {'-' if np.isnan(r['cosine']) else format(r['cosine'], '.2f')} |"
            for r in _last(rows)
            if r["q"] == OWN
        ),
    )
    worst = max(r["bound_log_gain"] - r["log_gain"] for r in rows)
    exceed = "None exceeds" if worst <= SLACK else f"**Some exceed, by up to {worst:.2g} nats, which is an error of the code,**"
    yield f"{len(rows):,} bounds were measured along training. {exceed} J."
    trained = [r for r in rows if r["method"] != "SFT" and r["q"] == OWN and r["update"] > 0]
    tighter = [r["bound_log_gain"] > plain[_place(r)]["bound_log_gain"] for r in trained]
    yield f"""Is the bound of iw-SFT tighter than SFT's at the same policy? In {np.mean(tighter):.0%} of {len(tighter)} measurements. SFT's
falls as the policy leaves pi_ref, down to {min(r["bound"] for r in plain.values()):.2f}; that of w = q / pi_ref stays with J, once
rescaled. Weights scaled to mean 1, which the loss uses, give up the scale: the same gradient, a bound that is lower by a factor."""


def _path(rows: Rows) -> Iterator[str]:
    """The path of q from pi_ref to p: the best alpha, the alphas that beat SFT, and the price."""
    yield "## At which q, and at what cost"
    found = list(paths(rows))

    def line(setting: str, method: str, table: np.ndarray) -> str:
        alpha, gap, ess, variance = table.T
        better = alpha[(gap < gap[0]) & (alpha > 0)]
        most = f"{better.max():g}{' or more' if better.max() == alpha.max() else ''}" if len(better) else "none"
        at = [int(np.flatnonzero(alpha == a)[0]) for a in (0.02, 0.1, 1.0)]
        costs = " | ".join(f"{ess[k]:.2f}, {variance[k]:.2g}" for k in at)
        return f"| {setting} | {method} | {gap[0]:.3g} | {alpha[gap.argmin()]:g} | {most} | {costs} |"

    yield _table(
        "| setting | policy p of | gap of SFT (nats) | best alpha | tighter than SFT up to alpha | ESS, variance at 0.02 | at 0.1 | at 1 |",
        (line(*each) for each in found),
    )
    best = {f"{table[table[:, 1].argmin(), 0]:g}" for _, _, table in found}
    yield f"""q is proportional to pi_ref^(1 - alpha) p^alpha; variance is that of the gradient from one rewarded trajectory, relative to
SFT's. The bound is tightest at alpha = {" or ".join(sorted(best))} (theory: 1, that is q = p) and looser beyond: a temperature above a
trajectory's number of steps overshoots."""
    for kind, sampled in (("enumerated", False), ("sampled", True)):
        ones = np.array([table[table[:, 0] == 1][0] for setting, _, table in found if ("/" in setting) == sampled])
        if not len(ones):
            continue
        (low_ess, low), (high_ess, high) = ones[:, 2:].min(0), ones[:, 2:].max(0)
        change = "rises" if low > 1 else "falls" if high < 1 else "falls for some policies and rises for others"
        yield f"""In the {kind} settings, at alpha = 1, the effective sample size is {low_ess:.1%} to {high_ess:.1%} of the rewarded
trajectories, and the variance of the gradient {change}: {low:.2g} to {high:.2g} times SFT's."""


def _sampled(rows: Rows) -> Iterator[str]:
    """Sampled settings: J by rollouts against bounds on held-out and training data, with the recorded density and with a fitted one."""
    yield "## Sampled settings"
    ends = _last(rows)
    keys = dict.fromkeys((r["setting"], r["method"]) for r in ends)

    def mean(column: str, key: tuple[str, str], q: str, sample: str = "held-out", density: str = "recorded") -> float:
        kept = (*key, q, sample, density)
        return float(np.mean([r[column] for r in ends if (r["setting"], r["method"], r["q"], r["sample"], r["density"]) == kept]))

    def line(key: tuple[str, str]) -> str:
        j, low, high, reference = (mean(column, key, OWN) for column in ("J", "J_low", "J_high", "J_ref"))
        gains = [mean("bound_log_gain", key, q) for q in ("pi_ref", OWN)]
        estimates = [mean("log_gain", key, OWN, sample) for sample in ("held-out", "training")]
        numbers = " | ".join(f"{x:.3g}" for x in (_log(j / reference), *gains, *estimates))
        fitted = mean("bound_best_scale", key, OWN, density="fitted")
        return f"| {key[0]} | {key[1]} | {j:.2f} ({low:.2f} to {high:.2f}) | {reference:.3f} | {numbers} | {fitted:.2g} |"

    yield _table(
        "| setting | policy of | J by rollouts (95 % interval) | J_ref | log J / J_ref | K of SFT | K of its own weights "
        "| log J / J_ref by importance sampling | on training data | bound with a fitted pi_ref |",
        map(line, keys),
    )
    held = [r for r in rows if r["sample"] == "held-out"]
    recorded, fitted = ([r for r in held if r["density"] == density] for density in ("recorded", "fitted"))
    over = sum(r["bound_best_scale"] > r["J_high"] for r in recorded)
    yield f"""Means over seeds; K is a bound of log J / J_ref, in nats. With the recorded density, {over} of {len(recorded):,} bounds on
held-out data lie above the interval of J."""
    useful = np.mean([r["bound_log_gain"] > 0 for r in recorded if r["q"] in (OWN, "pi_ref") and r["update"] > 0])
    seen = [key for key in keys if mean("J", key, OWN) > 0]
    misses = [mean("log_gain", key, OWN) - _log(mean("J", key, OWN) / mean("J_ref", key, OWN)) for key in seen] or [float("nan")]
    yield f"""A bound says something if K > 0, where it lies above the data's own J. So do {useful:.0%} of the bounds of SFT and iw-SFT.
Importance sampling with exact densities, the limit of every bound, differs from log J / J_ref of the rollouts by {min(misses):.3g} to
{max(misses):.3g} nats where any rollout succeeds."""
    wrong = [r["bound_best_scale"] > r["J_high"] for r in fitted if r["q"] == OWN and r["update"] > 0]
    yield f"""With the fitted pi_ref in place of the recorded density, as methods compute it, the formula is no bound: it lies above the
interval of J in {sum(wrong)} of {len(wrong)} measurements on held-out data."""
    pairs = [mean("bound_log_gain", key, OWN) - mean("bound_log_gain", key, "pi_ref") for key in keys if key[1] != "SFT"]
    yield f"""At the end of training the methods' own weights give a tighter bound than weight 1 in {sum(d > 0 for d in pairs)} of
{len(pairs)} cases; the differences are {min(pairs):.3g} to {max(pairs):.3g} nats. The default temperature is a short step on the path:
alpha = temperature / length."""
