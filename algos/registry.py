"""The methods by the type of their configuration: a new method adds one line. Its schema is named after its file."""

from __future__ import annotations

from typing import Any

from algos.base import Algo
from algos.methods.awac import AWAC, AWACConfig
from algos.methods.awr import AWR, AWRConfig
from algos.methods.cfgrl import CFGRL, CFGRLConfig
from algos.methods.cql import CQL, CQLConfig
from algos.methods.edac import EDAC, EDACConfig
from algos.methods.iql import IQL, IQLConfig
from algos.methods.rebrac import ReBRAC, ReBRACConfig
from algos.methods.td3_bc import TD3BC, TD3BCConfig
from algos.methods.weighted_bc import WeightedBC, WeightedBCConfig

ALGOS: dict[type[Any], type[Algo]] = {
    WeightedBCConfig: WeightedBC,
    AWACConfig: AWAC,
    AWRConfig: AWR,
    CFGRLConfig: CFGRL,
    CQLConfig: CQL,
    EDACConfig: EDAC,
    IQLConfig: IQL,
    ReBRACConfig: ReBRAC,
    TD3BCConfig: TD3BC,
}


def schema_name(config: type[Any]) -> str:
    """What conf/algo calls the configuration `config`: the name of the file that defines it."""
    return config.__module__.rpartition(".")[2]
