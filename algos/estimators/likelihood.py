"""The mean log-likelihood of curated episodes under a policy (a criterion, no return: larger is better).

    mean over the steps of the curated episodes of log pi(a|s)

The loss of imitation on episodes that were held out. An episode that curation keeps several times counts as often.
"""

from __future__ import annotations

from torch import Tensor

from algos.base import Episodes
from algos.batches.curation import Curation, curate


def curated_likelihood(data: Episodes, log_density: Tensor, curation: Curation) -> Tensor:
    """The mean [P] of the log-densities [P, N] over the steps of the episodes that `curation` keeps. Raises ConfigError without any."""
    kept = curate(data, curation).bincount(minlength=len(data.lengths)).repeat_interleave(data.lengths)
    return (log_density.double() * kept).sum(1) / kept.sum()
