"""Which domain a data set belongs to, for means over a domain."""

from __future__ import annotations

import re

DOMAINS = {
    "locomotion": "hopper|halfcheetah|walker2d|ant|humanoid|swimmer",
    "maze": "pointmaze|antmaze|maze2d|umaze",
    "kitchen": "kitchen",
    "adroit": "door|hammer|pen|relocate",
}


def domain_of(dataset: str) -> str:
    """The domain by a part of the id; a data set of no known domain is its own namespace's."""
    parts = [re.sub(r"-v\d+$", "", part) for part in dataset.lower().split("/")]
    for domain, names in DOMAINS.items():
        if any(re.fullmatch(rf"(?:{names})(?:-.*)?", part) for part in parts):
            return domain
    return parts[0]
