"""The methods by the type of their configuration: the one line that a new method adds."""

from __future__ import annotations

from typing import Any

from algos.base import Algo
from algos.weighted_bc import WeightedBC, WeightedBCConfig

ALGOS: dict[type[Any], type[Algo]] = {WeightedBCConfig: WeightedBC}
