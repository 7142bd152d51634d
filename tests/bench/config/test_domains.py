"""Settings tuned per data set: every D4RL and Minari id of a known domain gets the values of the papers and of their authors' code."""

from __future__ import annotations

from typing import Any

import pytest

from bench.config.compose import compose
from bench.config.domains import QUALITIES, Place, place_of, table, tuned_settings, values_of
from envs.readers.d4rl import addresses
from tests.helpers.paths import CONF

PENALTIES = {
    "halfcheetah/random": (0.001, 0.1), "halfcheetah/medium": (0.001, 0.01), "halfcheetah/expert": (0.01, 0.01),
    "halfcheetah/medium-expert": (0.01, 0.1), "halfcheetah/medium-replay": (0.01, 0.001), "halfcheetah/full-replay": (0.001, 0.1),
    "hopper/random": (0.001, 0.01), "hopper/medium": (0.01, 0.001), "hopper/expert": (0.1, 0.001),
    "hopper/medium-expert": (0.1, 0.01), "hopper/medium-replay": (0.05, 0.5), "hopper/full-replay": (0.01, 0.01),
    "walker2d/random": (0.01, 0.0), "walker2d/medium": (0.05, 0.1), "walker2d/expert": (0.01, 0.5),
    "walker2d/medium-expert": (0.01, 0.01), "walker2d/medium-replay": (0.05, 0.01), "walker2d/full-replay": (0.01, 0.01),
    "antmaze/umaze": (0.003, 0.002), "antmaze/umaze-diverse": (0.003, 0.001), "antmaze/medium-play": (0.001, 0.0005),
    "antmaze/medium-diverse": (0.001, 0.0), "antmaze/large-play": (0.002, 0.001), "antmaze/large-diverse": (0.002, 0.002),
    "pen/human": (0.1, 0.5), "pen/cloned": (0.05, 0.5), "pen/expert": (0.01, 0.01),
    "door/human": (0.1, 0.1), "door/cloned": (0.01, 0.1), "door/expert": (0.05, 0.01),
    "hammer/human": (0.01, 0.5), "hammer/cloned": (0.1, 0.5), "hammer/expert": (0.01, 0.01),
    "relocate/human": (0.1, 0.01), "relocate/cloned": (0.1, 0.01), "relocate/expert": (0.05, 0.01),
}  # fmt: skip
"""policy_penalty and critic_penalty of ReBRAC: arXiv 2305.09836, table of the best penalties."""
RUNNERS, ADROIT = ("halfcheetah", "hopper", "walker2d"), ("pen", "door", "hammer", "relocate")
CODE = {
    "antmaze": {"batch_size": 256, "learning_rate": 3e-4, "critic_learning_rate": 5e-5, "discount": 0.999, "reward_scale": 100.0},
    **{key: {"batch_size": 256, "learning_rate": 0.0003, "critic_learning_rate": 0.0003} for key in ADROIT},
}
"""Other settings of ReBRAC: its authors' code, configs/rebrac."""
IQL = {
    **{key: {"expectile": 0.7, "temperature": 3.0, "reward_scaling": "return_range"} for key in RUNNERS},
    "antmaze": {"expectile": 0.9, "temperature": 10.0, "reward_scaling": "none", "reward_shift": -1.0},
    **{key: {"expectile": 0.7, "temperature": 0.5, "reward_scaling": "none"} for key in (*ADROIT, "kitchen")},
}
"""arXiv 2110.06169, section 5 and appendix B, and its code's configs."""
AWAC = {
    **{key: {"temperature": 0.3333} for key in RUNNERS}, "antmaze": {"temperature": 0.1, "reward_shift": -1.0},
    **{key: {"temperature": 0.1} for key in ADROIT}, "kitchen": {"temperature": 1.0},
}  # fmt: skip
"""CORL, configs/offline/awac."""
POLICY_RATE = ("learning_rate", "entropy_learning_rate")
CQL = {
    **{key: {"alpha": 10.0, **dict.fromkeys(POLICY_RATE, 3e-05), "normalize_observations": True} for key in RUNNERS},
    "antmaze": {
        "alpha": 5.0, **dict.fromkeys(POLICY_RATE, 1e-4), "normalize_observations": False, "reward_scale": 10.0, "reward_shift": -5.0,
    },
    **{key: {"alpha": 1.0, **dict.fromkeys(POLICY_RATE, 0.0001)} for key in ADROIT},
}  # fmt: skip
"""CORL, configs/offline/cql."""
EDAC = {
    **{key: {"critics": 10, "eta": 1.0} for key in ("halfcheetah", "walker2d")}, "hopper": {"critics": 50, "eta": 1.0},
    **{key: {"critics": 10, "eta": 5.0} for key in ("halfcheetah/medium-expert", "walker2d/medium-expert")},
    "pen/human": {"critics": 20, "eta": 1000.0}, **{key: {"critics": 20, "eta": 10.0} for key in ("pen/cloned", "pen/expert")},
    **{key: {"critics": 50, "eta": 200.0} for key in ("door", "hammer", "relocate")},
}  # fmt: skip
"""arXiv 2110.01548 and CORL, configs/offline/edac."""
PLACES = [Place(domain, quality) for domain, qualities in QUALITIES.items() for quality in qualities]


def ids(place: Place) -> list[str]:
    """The names of the data under every scheme: D4RL's own, Minari's, the suite's, a stranger's, a remote one."""
    domain, quality = place
    d4rl = [f"d4rl/{name}" for name in addresses() if name.rsplit("-v", 1)[0] == f"{domain}-{quality}"]
    return [*d4rl, *(f"{n}/{domain}/{quality}-v0" for n in ("D4RL", "mujoco", "iwsft", "mine", "hf://me/x")), f"mine/{domain}-{quality}-v3"]


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_every_name_of_a_data_set_is_parsed(place: Place) -> None:
    assert {place_of(name.removeprefix("hf://me/")) for name in ids(place)} == {place}


def test_all_of_d4rl_is_parsed() -> None:
    """Every name of D4RL's whose first word is a known domain has a known quality, but the one mixture that no paper uses."""
    known = {name: place_of(f"d4rl/{name}") for name in addresses() if name.split("-")[0] in QUALITIES}
    assert len(known) > 100
    assert [name for name, place in known.items() if not place.quality] == ["ant-random-expert-v0"]


@pytest.mark.parametrize(
    "dataset",
    [
        "mine/open/x-v0", "mine/carpenter/human-v0", "mine/outdoor/x-v0", "mine/indoor-human-v0", "mine/pen-holder-v0",
        "d4rl/bullet-hopper-medium-v0",
        "mine/grasshopper/medium-v0", "D4RL/pointmaze/umaze-v2", "d4rl/maze2d-umaze-v1", "mine/pens/human-v0", "mine/plant/medium-v0",
    ],
)  # fmt: skip
def test_a_part_of_a_word_is_no_domain(dataset: str) -> None:
    assert place_of(dataset) == Place("", "")
    assert all(values_of(method, dataset) == ({}, []) for method in table())


def expected(method: str, place: Place) -> dict[str, Any]:
    """The papers' values of `method` for data of `place`; none where there are none."""
    name = str(place)
    if method == "rebrac":
        penalties = dict(zip(("policy_penalty", "critic_penalty"), PENALTIES.get(name, ()), strict=False))
        return CODE.get(place.domain, {}) | penalties
    table: dict[str, Any] = {"iql": IQL, "awac": AWAC, "cql": CQL, "edac": EDAC}[method]
    return table.get(name) or table.get(place.domain) or {}


@pytest.mark.parametrize("method", table())
def test_papers_settings(method: str) -> None:
    for place in PLACES:
        for dataset in (*ids(place), f"{ids(place)[0]}@top:5%@first:3"):
            assert values_of(method, dataset)[0] == expected(method, place), dataset


@pytest.mark.parametrize("dataset", ["d4rl/hopper-medium-v2", "D4RL/antmaze/umaze-v1", "D4RL/pen/human-v2@top:5%"])
def test_the_command_composes_them(dataset: str) -> None:
    for method in table():
        algo = compose([f"algo={method}", f"dataset='{dataset}'"]).algo
        for key, value in expected(method, place_of(dataset.split("@")[0])).items():
            found = getattr(algo, key)
            assert getattr(found, "value", found) == value, (method, key)


def test_other_data_and_the_command_line() -> None:
    other = compose(["algo=rebrac", "dataset=mine/open/x-v0"])
    assert (other.algo.policy_penalty, other.algo.critic_penalty, other.algo.batch_size, other.algo.discount) == (0.01, 0.01, 1024, 0.99)
    tuned = tuned_settings(other)
    assert tuned is not None
    assert tuned.line() == "rebrac: conf/domains.yaml has no row for mine/open/x-v0; settings of conf/algo"
    assert compose(["algo=rebrac", "dataset=d4rl/hopper-medium-v2", "algo.policy_penalty=0.3"]).algo.policy_penalty == 0.3


def test_a_combination_uses_the_rows_that_hold_for_all_its_parts() -> None:
    medium = {"policy_penalty": 0.01, "critic_penalty": 0.001}
    assert values_of("rebrac", "iwsft/hopper/medium-v0@top:5%+d4rl/hopper-medium-v2")[0] == medium
    assert values_of("rebrac", "iwsft/hopper/medium-v0+iwsft/hopper/expert-v0")[0] == {}  # of two values one is the same: neither is used
    assert values_of("rebrac", "D4RL/antmaze/umaze-v1+D4RL/antmaze/large-play-v1")[0] == CODE["antmaze"]
    assert values_of("iql", "D4RL/pen/human-v2+mine/open/x-v0")[0] == {}
    mixed = tuned_settings(compose(["algo=iql", "dataset=D4RL/pen/human-v2+D4RL/door/human-v2"]))
    assert mixed is not None
    assert (mixed.data, mixed.values["temperature"]) == ("pen/human + door/human", 0.5)


def test_the_values_used_are_said_and_recorded() -> None:
    tuned = tuned_settings(compose(["algo=iql", "dataset=d4rl/pen-human-v1", "algo.temperature=3", "algo.name=mine"]))
    assert tuned is not None
    assert tuned.line().startswith("iql: settings for pen/human (arXiv 2110.06169, ")
    assert tuned.line().endswith("): expectile=0.7, temperature=3.0 (authors: 0.5), reward_scaling=none")
    assert tuned.record()["changed"] == {"temperature": 3.0}
    assert tuned_settings(compose(["algo=sft", "dataset=d4rl/pen-human-v1"])) is None
    assert tuned_settings(compose(["algo=sac_n", "dataset=d4rl/pen-human-v1"])) is None  # EDAC's schema, but not its table


def test_the_table_names_its_sources_and_is_used() -> None:
    for method, rows in table().items():
        text = (CONF / "algo" / f"{method}.yaml").read_text()
        for row in rows:
            assert row["source"]
            for domain, _, quality in (name.partition("/") for name in row["data"]):
                assert quality in ("", *QUALITIES[domain])
            keys = row.keys() - {"source", "data"}
            assert keys
            assert all(f"{key}: ${{domain:{method}.{key}," in text for key in keys), (method, keys)
