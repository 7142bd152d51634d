"""Actions between an environment's units and the unit box [-1, 1]: one definition for reading, acting, random policies and exports.

Box of rank 1    scaled by its bounds, entry by entry; an entry with one value (low = high) is 0 in the unit box; whole numbers are rounded
                 to the nearest, and every action is clipped to the bounds in the environment's own type
Discrete         a number from 0; the environment's numbers begin at `start`
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces

WIDE = 1000  # bounds this many times as wide as the data, and as their magnitude (at least 1), are no scale for the data
LARGEST = float(np.finfo(np.float32).max) / 4  # a bound whose sum with another has a float32
ROUNDING = 1e-6  # of the unit box: entries this far outside are rounding
SCALED_ROWS = 16_384  # actions scaled at once


def supported(space: spaces.Space) -> bool:
    """True for the action spaces that policies can act in: a box of rank 1, or a discrete space."""
    return isinstance(space, spaces.Discrete) or (isinstance(space, spaces.Box) and len(space.shape) == 1)


@dataclass(frozen=True, eq=False)
class ActionUnits:
    """The units of an environment's actions.

    low, high: bounds [act] in the environment's type; empty for discrete actions. num_actions: number of discrete actions, 0 for a box.
    start: the environment's number of discrete action 0.
    """

    low: np.ndarray
    high: np.ndarray
    num_actions: int = 0
    start: int = 0

    @classmethod
    def of(cls, space: spaces.Space) -> ActionUnits:
        """The units of a `supported` action space."""
        if isinstance(space, spaces.Discrete):
            empty = np.empty(0, np.float32)
            return cls(empty, empty, int(space.n), int(space.start))
        assert isinstance(space, spaces.Box)
        return cls(np.asarray(space.low), np.asarray(space.high))

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> ActionUnits:
        """From the keys that `to_json` writes; a file without `action_dtype` or `action_start` has float32 bounds and counts from 0."""
        dtype = np.dtype(content.get("action_dtype", "float32"))
        low, high = (np.asarray(content[f"action_{end}"], dtype) for end in ("low", "high"))
        return cls(low, high, int(content["num_actions"]), int(content.get("action_start", 0)))

    def to_json(self) -> dict[str, Any]:
        """Plain values for run.json and the cache's index."""
        return {
            "num_actions": self.num_actions, "action_start": self.start,
            "action_low": self.low.tolist(), "action_high": self.high.tolist(), "action_dtype": str(self.low.dtype),
        }  # fmt: skip

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ActionUnits) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash(str(self.to_json()))

    def agree(self, other: ActionUnits) -> bool:
        """True if an action means the same in both: equal numbers of discrete actions, or equal bounds wherever both have finite ones."""
        if (self.num_actions, self.start, self.low.shape) != (other.num_actions, other.start, other.low.shape):
            return False
        pairs = ((self.low, other.low), (self.high, other.high))
        return all(bool((np.isclose(a, b, 1e-6, 1e-6) | ~np.isfinite(a) | ~np.isfinite(b)).all()) for a, b in pairs)

    @property
    def whole(self) -> bool:
        """True for a box of whole numbers."""
        return self.low.dtype.kind in "iub"

    @property
    def middle_and_half(self) -> tuple[np.ndarray, np.ndarray]:
        """The middle of the bounds and half their width [act]: in float32, or float64 for whole numbers."""
        dtype: Any = np.float64 if self.whole else np.float32
        low, high = self.low.astype(dtype), self.high.astype(dtype)
        return (high + low) / 2, (high - low) / 2

    def to_env(self, actions: np.ndarray) -> np.ndarray:
        """Actions [..., act] of the unit box in the environment's units and type; discrete actions [..., 1] as whole numbers [...]."""
        if self.num_actions:
            return actions[..., 0].astype(np.int64) + self.start
        middle, half = self.middle_and_half
        scaled = middle + half * actions
        return np.clip((np.rint(scaled) if self.whole else scaled).astype(self.low.dtype), self.low, self.high)

    def scale_to_unit(self, actions: np.ndarray) -> float:
        """Scale `actions` [N, act] float32 to the unit box and clip them, in place; returns the share of entries outside the bounds."""
        middle, half = self.middle_and_half
        width = np.where(half > 0, half, 1)  # an entry with one value: 0, and outside wherever the data have another value
        outside = 0
        for start in range(0, len(actions), SCALED_ROWS):
            part = actions[start : start + SCALED_ROWS]
            part -= middle.astype(np.float32)
            part /= width.astype(np.float32)
            locked = np.abs(part) > ROUNDING * np.maximum(1, np.abs(middle))
            outside += int(np.where(half > 0, np.abs(part) > 1 + ROUNDING, locked).sum())
            np.clip(part, -(half > 0).astype(np.float32), (half > 0).astype(np.float32), out=part)
        return outside / actions.size if actions.size else 0.0

    def random(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """`count` actions [count, act] (discrete: [count]) of the uniform random policy, in the environment's units and type."""
        if self.num_actions:
            return rng.integers(self.num_actions, size=count) + self.start
        shape = (count, len(self.low))
        if self.whole:
            drawn = rng.integers(self.low.astype(np.int64), self.high.astype(np.int64), shape, endpoint=True)
            return drawn.astype(self.low.dtype)
        return np.clip(rng.uniform(self.low, self.high, shape).astype(self.low.dtype), self.low, self.high)

    def narrowed(self, actions: np.ndarray) -> tuple[ActionUnits, list[int]]:
        """Units whose bounds are those of the data `actions` [N, act] where the environment's are infinite or far too wide, and these
        entries. A policy cannot resolve actions that fill a thousandth of the unit box."""
        if self.num_actions:
            return self, []
        lowest, highest = actions.min(0).astype(np.float64), actions.max(0).astype(np.float64)
        low, high = self.low.astype(np.float64), self.high.astype(np.float64)
        magnitude = np.maximum(np.maximum(np.abs(lowest), np.abs(highest)), 1)
        wide = (high - low > WIDE * (highest - lowest)) & (high - low > WIDE * magnitude)
        wide |= np.maximum(np.abs(low), np.abs(high)) > LARGEST
        if self.whole:
            lowest, highest = np.floor(lowest), np.ceil(highest)
        own_low, own_high = self.low.copy(), self.high.copy()
        own_low[wide], own_high[wide] = np.maximum(lowest, low)[wide], np.minimum(highest, high)[wide]
        return ActionUnits(own_low, own_high), np.flatnonzero(wide).tolist()
