"""Options of `python -m bench select`."""

from __future__ import annotations

from dataclasses import dataclass, field

from algos.errors import require
from algos.estimators.fitted_q import FittedQConfig
from bench.config.estimates import ESTIMATES

STATED, FITTED = "stated", "fitted"


@dataclass
class Options:
    """Options of the estimates.

    estimators: names of ESTIMATES. data: a data set, or an expression, in place of the one that the runs were trained on. behaviour: the
    densities of logged actions, stated by the data or of a pi_ref fitted to them. held_out: share of the episodes that no Q is fitted to.
    samples: actions of a stochastic policy at a state. download: absent data may be downloaded, recorded or converted.
    """

    estimators: tuple[str, ...] = tuple(ESTIMATES)
    data: str | None = None
    behaviour: str = STATED
    held_out: float = 0.2
    samples: int = 4
    fqe: FittedQConfig = field(default_factory=FittedQConfig)
    download: bool = False

    def check(self) -> None:
        """Raise ConfigError for a value that cannot be used."""
        for name in self.estimators:
            require(name in ESTIMATES, "--estimators", name, f"names of {', '.join(ESTIMATES)}")
        require(bool(self.estimators), "--estimators", "nothing", f"names of {', '.join(ESTIMATES)}")
        require(self.behaviour in (STATED, FITTED), "--behaviour", self.behaviour, f"{STATED} or {FITTED}")
        require(0 < self.held_out < 1, "--held-out", self.held_out, "a share of the episodes between 0 and 1")
        require(self.samples > 0, "--samples", self.samples, "a positive number")
        self.fqe.check("--")

    def needs(self, *names: str) -> bool:
        """True if one of the estimates `names` is asked for."""
        return any(name in self.estimators for name in names)
