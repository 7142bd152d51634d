"""Facts of a data set: every flag is raised by data with its defect, and good data raise no flag."""

from html.parser import HTMLParser

import numpy as np
import pytest

from envs.inspect.facts import facts_of
from envs.readers.load import load
from tests.helpers import forks
from tests.helpers.logged import episode, write


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    return tmp_path


def good(count: int = 300):
    rng = np.random.default_rng(0)
    episodes = [episode(rng, int(rng.integers(3, 9)), terminated=bool(k % 2)) for k in range(count)]
    for e in episodes:
        e["actions"] = rng.uniform(-1.5, 1.5, e["actions"].shape).astype(np.float32)
    return episodes


def report(episodes, **metadata):
    import minari

    write("test/report-v0", episodes)
    minari.load_dataset("test/report-v0").storage.update_metadata({"ref_min_score": -50.0, "ref_max_score": 50.0} | metadata)
    return facts_of(load("test/report-v0"))


def test_good_data_raise_no_flag():
    facts = report(good())
    assert facts.flags == []
    rows = dict(row for section in facts.sections.values() for row in section)
    assert rows["episodes"] == "300"
    assert rows["ended terminated"] == "150 (50.0%)"
    assert rows["ended truncated"] == "150 (50.0%)"


def constant_column(episodes):
    for e in episodes:
        e["observations"][:, 1] = 0.5


def repeated_column(episodes):
    for e in episodes:
        e["observations"][:, 2] = e["observations"][:, 0]


def scales(episodes):
    for e in episodes:
        e["observations"][:, 2] *= 1e4


def saturated(episodes):
    for e in episodes:
        e["actions"] = np.sign(e["actions"]) * 2


def out_of_bounds(episodes):
    for e in episodes[:40]:
        e["actions"][0] = 3


def repeated_episode(episodes):
    episodes[7] = episodes[3]


def equal_returns(episodes):
    for e in episodes:
        e["rewards"] = np.zeros_like(e["rewards"])


def open_end(episodes):
    episodes[4]["truncations"][:] = episodes[4]["terminations"][:] = False


def early_flag(episodes):
    episodes[4]["terminations"][0] = True


def below_random(episodes):
    for e in episodes:
        e["rewards"] -= 100


def few(episodes):
    del episodes[20:]


@pytest.mark.parametrize(
    ("spoil", "flag"),
    [
        (constant_column, "1 observation columns are constant"),
        (repeated_column, "1 observation columns repeat another one"),
        (scales, "observation scales differ by"),
        (saturated, "100% of action entries are at the bounds"),
        (out_of_bounds, "of action entries lay outside the bounds"),
        (repeated_episode, "1 episodes repeat another one, step by step"),
        (equal_returns, "every return is 0"),
        (open_end, "1 episodes (the first is 4) end without a flag"),
        (early_flag, "1 terminations or truncations are set before"),
        (below_random, "is below that of a random policy"),
        (few, "only 1 episodes reach percentile 98"),
    ],
)
def test_each_flag_is_raised_by_data_with_its_defect(spoil, flag):
    episodes = good()
    spoil(episodes)
    assert any(flag in found for found in report(episodes).flags)


def test_missing_reference_scores_are_a_flag():
    assert any("no reference scores" in flag for flag in report(good(), ref_max_score=None).flags)


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.images, self.text = [], []

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.images.append(dict(attrs)["src"])

    def handle_data(self, data):
        self.text.append(data)


def test_the_command_prints_and_writes_a_page(root):
    write("test/page-v0", good())

    def run(*arguments):
        return forks.run(["inspect", *arguments], root)

    done = run("test/page-v0@top:50%", "--folder", str(root / "pages"))
    assert done.returncode == 0, done.stderr
    assert "150" in done.stdout
    (page,) = (root / "pages").glob("*.html")
    parsed = Page()
    parsed.feed(page.read_text())
    (image,) = parsed.images
    assert (root / "pages" / image).read_bytes().startswith(b"\x89PNG")
    assert "test/page-v0@top:50%" in parsed.text
    assert len(list((root / "pages").iterdir())) == 2
    refused = run("test/page-v1")
    assert (refused.returncode, refused.stdout, len(refused.stderr.splitlines())) == (2, "", 1)
    (root / "file").write_text("")
    unwritable = run("test/page-v0", "--folder", str(root / "file"))
    assert unwritable.returncode == 2
    assert unwritable.stderr.endswith("choose another folder with --folder\n")
