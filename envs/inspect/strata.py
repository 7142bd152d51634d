"""Facts of the quality strata of a data set: sizes, spread of returns, and the behaviour policies in them.

SFT, its quality-weighted form and iw-SFT differ in the weights of good episodes. Where these come from one policy, or have nearly one
return, every weight gives the same policy, and the data cannot tell the methods apart.
"""

from __future__ import annotations

import numpy as np

from envs.data.selection import best
from envs.readers.behaviours import Behaviours

PERCENTILES = (90, 95, 98)  # of curation, as in the methods' configurations
FEW = 5  # episodes in the best stratum that call for a flag
FEW_POLICIES = 2  # policies in the best tenth that call for a flag
NARROW = 0.005  # standard deviation of returns in the best tenth, as a share of the range of all returns, that calls for a flag


def strata(returns: np.ndarray, lengths: np.ndarray, behaviours: Behaviours | None) -> tuple[list[tuple[str, str]], list[str]]:
    """Rows (name, value) and flags on the strata of episodes with `returns` and `lengths` [E]; behaviours: None if they are not known."""
    rows, flags, counts = [], [], []
    span = float(np.ptp(returns))
    for percentile in PERCENTILES:
        kept = best(returns, percentile)
        counts.append(len(kept))
        size = f"{counts[-1]:,} episodes, {int(lengths[kept].sum()):,} steps"
        spread = f"std {returns[kept].std():.4g}" + (f" ({returns[kept].std() / span:.1%} of the range of all returns)" if span else "")
        value = f"return >= {returns[kept].min():.6g}: {size}, mean return {returns[kept].mean():.6g}, {spread}"
        rows.append((f"from percentile {percentile}", f"{value}; behaviour policies: {_policies(behaviours, kept)}"))
    if counts[-1] < FEW:
        flags.append(f"only {counts[-1]} episodes reach percentile {PERCENTILES[-1]}: few for quality weighting")
    if len(set(counts)) < len(counts):
        flags.append("several cut-offs keep the same episodes (equal returns): quality weighting has fewer levels than cut-offs")
    elif counts[0] > 1.5 * (1 - PERCENTILES[0] / 100) * len(returns) + 1:
        flags.append(f"{counts[0]} of {len(returns)} episodes share the best return: the best tenth is all of them")
    flags += _indistinct(returns, behaviours)
    return rows, flags


def _policies(behaviours: Behaviours | None, kept: np.ndarray) -> str:
    """The number of policies that recorded the episodes `kept`, and the share of the commonest."""
    if behaviours is None:
        return "unknown, the data do not name them"
    own = behaviours.policies[kept]
    count, every = np.bincount(own), len(np.unique(behaviours.policies))
    text = f"{len(np.unique(own))} of {every}, {count.max() / len(own):.0%} of the episodes from one"
    return text + (", action noise of its own in each episode" if _noisy(behaviours, kept) else "")


def _noisy(behaviours: Behaviours, kept: np.ndarray) -> bool:
    """True if the episodes `kept` have more levels of action noise than FEW_POLICIES, so that one policy's quality varies."""
    return len(np.unique(behaviours.noise[kept])) > FEW_POLICIES


def _indistinct(returns: np.ndarray, behaviours: Behaviours | None) -> list[str]:
    """Flags of a best tenth in which nothing can be chosen."""
    kept, flags = best(returns, PERCENTILES[0]), []
    cannot = "filtered BC, SFT and iw-SFT all meet its return, and the data cannot tell them apart"
    if behaviours is not None:
        count = len(np.unique(behaviours.policies[kept]))
        if count <= FEW_POLICIES and not _noisy(behaviours, kept):
            flags.append(f"the best tenth comes from {count} behaviour {'policy' if count == 1 else 'policies'}: {cannot}")
    deviation, span = returns[kept].std(), np.ptp(returns)
    if deviation < NARROW * span:
        flags.append(f"returns in the best tenth hardly differ (std {deviation / span:.2%} of the range of all returns): {cannot}")
    return flags
