"""The estimates of a policy's return from logged data alone: their names, and what each needs. `bench.selection` computes them."""

from __future__ import annotations

from typing import NamedTuple

ENVIRONMENT, NONE = "environment", "none"


class Needs(NamedTuple):
    """The needs and the nature of an estimate.

    stochastic: it is of the policy's stochastic form, which needs a density; else of its mean actions, as evaluation plays them.
    behaviour: it needs the log-densities of the logged actions under the policy that recorded them. unit: its values are returns.
    """

    stochastic: bool
    behaviour: bool
    unit: bool

    @property
    def form(self) -> str:
        """The form of the policies that it is of, in a word."""
        return "stochastic" if self.stochastic else "mean action"


ESTIMATES = {
    "fqe": Needs(False, False, True),  # fitted Q evaluation
    "fqe_stochastic": Needs(True, False, True),  # the same for the stochastic form
    "per_decision_is": Needs(True, True, True),  # per-decision importance sampling
    "self_normalised_is": Needs(True, True, True),  # the same with self-normalised weights
    "doubly_robust": Needs(True, True, True),
    "weighted_doubly_robust": Needs(True, True, True),  # the same with self-normalised weights
    "td_error": Needs(False, False, False),  # minus the mean squared TD error of fqe's Q on episodes that it was not fitted to
    "log_likelihood": Needs(True, False, False),  # of the best tenth of these episodes
}
OBJECTIVES = (ENVIRONMENT, *ESTIMATES)
CHOSEN_BY = (*OBJECTIVES, NONE)
