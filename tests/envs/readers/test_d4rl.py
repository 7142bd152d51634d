"""D4RL's files: episodes end at flags, not at lengths; refusals; local files and downloads."""

import http.server
import importlib.util
import json
import os
import subprocess
import sys
import threading

import h5py
import numpy as np
import pytest

from envs.data.references import D4RL, built_in_table, d4rl_row, table
from envs.errors import DataError
from envs.evaluation.rollout import Evaluator
from envs.readers import d4rl
from envs.readers.d4rl_environments import evaluation_env
from envs.readers.load import load
from tests.helpers import forks
from tests.helpers.logged import ragged, write

N_OBS, N_ACT = 11, 3  # Hopper
MEDIUM = "d4rl/hopper-medium-v2"


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """Empty folders for Minari's and D4RL's data sets."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    monkeypatch.setenv("D4RL_DATASET_DIR", str(tmp_path / "d4rl"))
    return tmp_path


def arrays(ends, steps: int, seed: int = 0, next_observations: bool = True):
    """Arrays of `steps` steps with `ends` {step: kind}, kind 't' terminal, 'o' timeout, 'b' both."""
    rng = np.random.default_rng(seed)
    found = {
        "observations": rng.standard_normal((steps, N_OBS)).astype(np.float32),
        "actions": rng.uniform(-1, 1, (steps, N_ACT)).astype(np.float32),
        "rewards": rng.standard_normal(steps).astype(np.float32),
        "terminals": np.isin(np.arange(steps), [k for k, v in ends.items() if v in "tb"]),
        "timeouts": np.isin(np.arange(steps), [k for k, v in ends.items() if v in "ob"]),
    }
    if next_observations:
        after = np.concatenate([found["observations"][1:], rng.standard_normal((1, N_OBS)).astype(np.float32)])
        for k in ends:
            after[k] = rng.standard_normal(N_OBS)
        found["next_observations"] = after
    return found


def save(path, found) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, array in found.items():
            file[name] = array
        file["infos/qpos"] = np.zeros((3, 2))  # ignored


def golden(tmp_path, **changes):
    """Episodes of 3, 1, 4 and 2 steps by terminal, timeout, both and terminal; 2 steps after the last flag."""
    found = arrays({2: "t", 3: "o", 7: "b", 9: "t"}, 12) | changes
    path = tmp_path / "golden.hdf5"
    save(path, {k: v for k, v in found.items() if v is not None})
    return path, found


def assert_episode(data, number, found, start, stop, after) -> None:
    t = data.trajectories
    rows = slice(int(t.offsets[number]), int(t.offsets[number + 1]))
    np.testing.assert_array_equal(t.observations[rows], found["observations"][start:stop])
    np.testing.assert_array_equal(t.next_observations[rows], np.concatenate([found["observations"][start + 1 : stop], after[None]]))
    np.testing.assert_array_equal(t.actions[rows], found["actions"][start:stop])
    np.testing.assert_array_equal(t.rewards[rows], found["rewards"][start:stop])
    np.testing.assert_array_equal(t.terminated[rows], found["terminals"][start:stop])


def test_golden_file_step_by_step(tmp_path):
    path, found = golden(tmp_path)
    d4rl.convert(path, MEDIUM)
    data = load(MEDIUM)
    assert data.trajectories.lengths.tolist() == [3, 1, 4, 2]
    for e, (start, stop) in enumerate([(0, 3), (3, 4), (4, 8), (8, 10)]):
        assert_episode(data, e, found, start, stop, found["next_observations"][stop - 1])
    t, last = data.trajectories, data.trajectories.offsets[1:] - 1
    assert t.terminated[last].tolist() == [True, False, True, True]
    assert t.truncated[last].tolist() == [False, True, True, False]  # both flags on one step stay both
    assert int(t.terminated.sum()) == 3
    assert int(t.truncated.sum()) == 2
    assert (data.reference.name, data.reference.random, data.reference.expert) == ("d4rl", -20.272305, 3234.3)
    assert data.note == "recorded on Hopper-v2, evaluated on Hopper-v4"
    assert '"id": "Hopper-v4"' in data.env_spec


def test_trailing_steps_are_kept_as_a_truncated_episode(tmp_path):
    path, found = golden(tmp_path)
    d4rl.convert(path, MEDIUM, trailing="keep")
    data = load(MEDIUM)
    assert data.trajectories.lengths.tolist() == [3, 1, 4, 2, 2]
    assert_episode(data, 4, found, 10, 12, found["next_observations"][11])
    assert bool(data.trajectories.truncated[-1])
    assert not bool(data.trajectories.terminated[-1])


def test_a_changed_file_and_changed_options_are_converted_again(tmp_path, capsys):
    path, _ = golden(tmp_path)
    d4rl.convert(path, MEDIUM)
    before = os.stat(tmp_path / "minari" / MEDIUM / "data" / "main_data.hdf5").st_ino
    d4rl.convert(path, MEDIUM)
    assert os.stat(tmp_path / "minari" / MEDIUM / "data" / "main_data.hdf5").st_ino == before
    assert capsys.readouterr().err == ""
    assert load(MEDIUM).trajectories.num_episodes == 4
    d4rl.convert(path, MEDIUM, trailing="keep")
    assert capsys.readouterr().err == f"{MEDIUM}: converting again, because --trailing changed\n"
    assert load(MEDIUM).trajectories.num_episodes == 5
    save(path, arrays({5: "t"}, 6))
    d4rl.convert(path, MEDIUM, env="Hopper-v5")
    assert capsys.readouterr().err == f"{MEDIUM}: converting again, because the file and --trailing and --env changed\n"
    data = load(MEDIUM)
    assert data.trajectories.lengths.tolist() == [6]
    assert '"id": "Hopper-v5"' in data.env_spec


def test_a_file_that_became_unusable_leaves_the_conversion(tmp_path):
    path, _ = golden(tmp_path)
    d4rl.convert(path, MEDIUM)
    path.write_bytes(b"no HDF5")
    with pytest.raises(DataError, match="cannot be read"):
        d4rl.convert(path, MEDIUM)
    path.unlink()
    with pytest.raises(DataError, match="it is missing"):
        d4rl.convert(path, MEDIUM)
    assert load(MEDIUM).trajectories.num_episodes == 4


def test_a_data_set_that_is_no_conversion_is_not_replaced(tmp_path):
    path, _ = golden(tmp_path)
    write("mine/hopper-v0", ragged(0))
    with pytest.raises(DataError, match=r"'mine/hopper-v0' exists in .* and was not converted from a D4RL file; choose another"):
        d4rl.convert(path, "mine/hopper-v0", env="Hopper-v4")


def test_a_replaced_local_file_is_converted_again(tmp_path, capsys):
    path, _ = golden(tmp_path)
    place = d4rl.local_folder() / "hopper_medium-v2.hdf5"
    place.parent.mkdir(parents=True)
    path.rename(place)
    assert load(MEDIUM).trajectories.num_episodes == 4
    save(place, arrays({5: "t"}, 6))
    assert load(MEDIUM).trajectories.lengths.tolist() == [6]
    assert capsys.readouterr().err == f"{MEDIUM}: converting again, because the file changed\n"


def test_a_conversion_with_options_stays_when_a_run_uses_it(tmp_path):
    """Only the file is followed, and only by data sets that were made from D4RL's folder on first use."""
    path, _ = golden(tmp_path)
    d4rl.convert(path, MEDIUM, trailing="keep")
    save(d4rl.local_folder() / "hopper_medium-v2.hdf5", arrays({5: "t"}, 6))
    assert load(MEDIUM).trajectories.num_episodes == 5


@pytest.mark.parametrize("forces", [0.0, 0.5])
def test_ants_contact_forces_are_0_in_evaluation_where_they_are_in_the_file(tmp_path, forces):
    rng = np.random.default_rng(0)
    observations = np.concatenate([rng.normal(size=(50, 27)), np.full((50, 84), forces)], 1)
    steps = {"observations": observations, "actions": rng.uniform(-1, 1, (50, 8)), "rewards": np.ones(50), "terminals": np.arange(50) == 49}
    save(tmp_path / "ant.hdf5", steps)
    d4rl.convert(tmp_path / "ant.hdf5", "d4rl/ant-medium-v2")
    data = load("d4rl/ant-medium-v2")
    assert data.reference.expert == 3879.7
    assert ("with contact forces of 0, as in the file" in data.note) == (forces == 0)
    played = []
    with Evaluator(data.env_spec, 1) as environments:
        environments.run(lambda o, _: (played.append(o.copy()), np.zeros((len(o), 8), np.float32))[1], np.array([[0]]))
    seen = np.concatenate(played)
    assert seen.shape[1] == 111
    assert bool(seen[:, 27:].any()) == (forces != 0)


def test_pen_is_evaluated_over_d4rls_100_steps(tmp_path):
    """AdroitHandPen has 200, in which returns are twice those that the reference scores are of."""
    rng = np.random.default_rng(0)
    steps = {"observations": rng.random((100, 45)), "actions": rng.uniform(-1, 1, (100, 24)), "rewards": np.ones(100)}
    save(tmp_path / "pen.hdf5", steps | {"terminals": np.zeros(100, bool), "timeouts": np.arange(100) == 99})
    folder = d4rl.convert(tmp_path / "pen.hdf5", "d4rl/pen-human-v1")
    assert json.loads(json.loads((folder / "data" / "metadata.json").read_text())["env_spec"])["max_episode_steps"] == 100
    data = load("d4rl/pen-human-v1")
    assert (json.loads(data.env_spec)["max_episode_steps"], data.reference.expert) == (100, 3076.8331017826877)


def test_notes_of_hands_name_the_difference_in_rewards():
    notes = {hand: evaluation_env(f"{hand}-human-v1").note for hand in ("pen", "door", "hammer", "relocate")}
    assert notes["pen"] == "recorded on D4RL's pen-v0, evaluated on AdroitHandPen-v1"
    assert all(notes[hand].endswith("pays for the hand's distance where D4RL's charges for it") for hand in ("door", "hammer", "relocate"))


def test_repeated_last_observations_are_counted_by_the_report(tmp_path):
    from envs.inspect.facts import facts_of

    path, _ = golden(tmp_path, next_observations=None)
    d4rl.convert(path, MEDIUM)
    facts = facts_of(load(MEDIUM))
    repeated = dict(facts.sections["episodes"])["last observation repeated"]
    assert repeated == "4 (100.0%); 1 of them truncated, where methods bootstrap from it"
    assert any(flag.startswith("1 truncated episodes repeat their last observation") for flag in facts.flags)
    whole, _ = golden(tmp_path)
    d4rl.convert(whole, "d4rl/hopper-expert-v2")
    facts = facts_of(load("d4rl/hopper-expert-v2"))
    assert dict(facts.sections["episodes"])["last observation repeated"] == "0 (0.0%)"
    assert not any("repeat their last observation" in flag for flag in facts.flags)


def test_absent_next_observations_are_derived(tmp_path):
    path, found = golden(tmp_path, next_observations=None)
    folder = d4rl.convert(path, MEDIUM)
    data = load(MEDIUM)
    for e, (start, stop) in enumerate([(0, 3), (3, 4), (4, 8), (8, 10)]):
        assert_episode(data, e, found, start, stop, found["observations"][stop - 1])
    facts = json.loads((folder / "data" / "metadata.json").read_text())["d4rl"]
    assert facts["next_observations"] == "derived"
    assert facts["approximate_ends"] == 1  # the episode with a timeout and no terminal
    assert facts["trailing_steps"] == 2


@pytest.mark.parametrize("seed", range(6))
def test_ragged_files_stay_aligned(tmp_path, seed):
    """Random episodes with overlapping flags, some longer than 1,000 steps, none cut at another step."""
    rng = np.random.default_rng(seed)
    lengths = rng.choice([1, 2, 5, 40, 999, 1000, 1001, 1500], 6)
    stops = np.cumsum(lengths)
    found = arrays(
        {int(s) - 1: str(rng.choice(list("tob"))) for s in stops}, int(stops[-1]) + int(rng.integers(0, 3)), seed, bool(seed % 2)
    )
    save(tmp_path / "f.hdf5", found)
    d4rl.convert(tmp_path / "f.hdf5", MEDIUM)
    data = load(MEDIUM, cache=False)
    assert data.trajectories.lengths.tolist() == lengths.tolist()
    for e, stop in enumerate(stops):
        after = found["next_observations" if seed % 2 else "observations"][stop - 1]
        assert_episode(data, e, found, int(stop - lengths[e]), int(stop), after)


GROWTH = """
import re, sys
from pathlib import Path

from envs.evaluation.rollout import Evaluator
from envs.readers import d4rl

def most():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

d4rl.convert(Path(sys.argv[1]), "d4rl/small-v0", env="Hopper-v4")  # loads the libraries
before = most()
d4rl.convert(Path(sys.argv[2]), "d4rl/large-v0", env="Hopper-v4")
print(most() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/status is Linux's")
@pytest.mark.parametrize("chunks", [pytest.param(None, marks=pytest.mark.slow), (700, N_OBS)])
def test_a_file_is_never_in_memory_as_a_whole(tmp_path, chunks):
    """Converting 125 MB of arrays takes less memory, compressed or not, and no more for a larger file (reading them whole takes 275 MB)."""
    for name, steps in (("small", 1000), ("large", 1_000_000)):
        values = np.arange(steps, dtype=np.float32)
        with h5py.File(tmp_path / name, "w") as file:
            for key, first in (("observations", 0), ("next_observations", 1)):
                rows = np.broadcast_to(values[:, None] + first, (steps, N_OBS))
                file.create_dataset(key, data=rows, chunks=chunks, compression=None if chunks is None else "lzf")
            file["actions"], file["rewards"] = np.broadcast_to(np.float32(0.5), (steps, 8))[:, :N_ACT], values
            file["terminals"], file["timeouts"] = values % 1000 == 999, values % 1500 == 1499
    command = [sys.executable, "-c", GROWTH, str(tmp_path / "small"), str(tmp_path / "large")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 85_000_000  # HDF5 keeps 40 to 60 MB of its output in memory, for files of any size
    t = load("d4rl/large-v0", cache=False).trajectories
    assert t.num_steps == 1_000_000
    np.testing.assert_array_equal(t.observations[:, N_OBS - 1], np.arange(1_000_000))
    np.testing.assert_array_equal(t.next_observations[:, 0], np.arange(1, 1_000_001))


def test_pieces_and_episodes_of_any_size_give_the_same_data(tmp_path, monkeypatch):
    found = arrays({2: "t", 3: "o", 40: "b", 41: "t", 99: "o"}, 103) | {"timeouts": None}
    for piece, chunks in ((1, None), (100, (7, 2)), (1000, (64, N_OBS)), (1 << 20, None)):
        monkeypatch.setattr("envs.readers.d4rl_file.PIECE", piece)
        with h5py.File(tmp_path / "f.hdf5", "w") as file:
            for name, array in found.items():
                if array is not None:
                    fits = chunks is not None and array.ndim == 2 and array.shape[1] == N_OBS
                    file.create_dataset(name, data=array, chunks=chunks if fits else None)
        with pytest.raises(DataError, match=r"step 3 has no flag.*\(2 such steps\)"):
            d4rl.convert(tmp_path / "f.hdf5", MEDIUM)
        name = f"d4rl/pieces{piece}-v0"
        d4rl.convert(tmp_path / "f.hdf5", name, trailing="keep", breaks="cut", env="Hopper-v4")
        data = load(name)
        assert data.trajectories.lengths.tolist() == [3, 1, 37, 1, 58, 3]
        for e, (start, stop) in enumerate([(0, 3), (3, 4), (4, 41), (41, 42), (42, 100), (100, 103)]):
            assert_episode(data, e, found, start, stop, found["next_observations"][stop - 1])


def test_defect_2_episodes_of_999_rows_are_not_cut_at_1000(tmp_path):
    """CORL splits every 1,000 rows, but its rows lack each time-limit step: 999 per episode, so pieces straddle episodes."""
    found = arrays({998: "o", 1997: "o", 2996: "o"}, 2997)
    save(tmp_path / "f.hdf5", found)
    d4rl.convert(tmp_path / "f.hdf5", MEDIUM)
    t = load(MEDIUM).trajectories
    assert t.lengths.tolist() == [999, 999, 999]
    sums = [float(found["rewards"][k * 999 : (k + 1) * 999].astype(np.float64).sum()) for k in range(3)]
    np.testing.assert_allclose(t.returns, sums, rtol=1e-6)


# Refused files.


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"observations": None}, "no array 'observations'"),
        ({"actions": None}, "no array 'actions'"),
        ({"rewards": None}, "no array 'rewards'"),
        ({"terminals": None}, "no array 'terminals'; it has actions, infos"),
        ({"terminals": np.zeros(12, bool), "timeouts": np.zeros(12, bool)}, "no terminal and no timeout is set"),
        ({"terminals": np.zeros(12, bool), "timeouts": None}, "no terminal and no timeout is set"),
        ({"terminals": np.full(12, 2)}, "terminals is 2 at step 0; expected flags"),
        ({"timeouts": np.full(12, np.nan)}, "timeouts is nan at step 0; expected flags"),
        ({"rewards": np.zeros(11)}, r"rewards has shape \(11,\); expected 12 rows"),
        ({"actions": np.zeros((13, N_ACT))}, r"actions has shape \(13, 3\); expected 12 rows"),
        ({"actions": np.zeros(12)}, r"actions has shape \(12,\); expected 12 rows of rank 2"),
        ({"observations": np.zeros((12, 2, 2))}, r"observations has shape \(12, 2, 2\)"),
        ({"observations": np.zeros((0, N_OBS))}, "observations has no row"),
        ({"next_observations": np.zeros((12, 5))}, r"next_observations has shape \(12, 5\)"),
        ({"rewards": np.full(12, b"x")}, r"rewards has type \|S1; expected numbers"),
        ({"actions": np.zeros((12, 4))}, "observations and actions are 11 and 4 wide; environment Hopper-v4 has"),
        ({"observations": np.zeros((12, 5)), "next_observations": None}, "observations and actions are 5 and 3 wide"),
    ],
)
def test_unusable_files_are_refused(tmp_path, change, message):
    path, _ = golden(tmp_path, **change)
    with pytest.raises(DataError, match=message) as error:
        d4rl.convert(path, MEDIUM)
    assert str(path) in str(error.value)
    assert not list((tmp_path / "minari").glob("**/*.hdf5"))


@pytest.mark.parametrize("name", ["observations", "actions", "rewards", "next_observations"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(tmp_path, name, value):
    found = arrays({2: "t", 3: "o", 7: "b", 9: "t"}, 12)
    found[name][6] = value
    path, _ = golden(tmp_path, **found)
    with pytest.raises(DataError, match=rf"golden.hdf5: episode 2, step 2 \(row 6\): {name} is not finite"):
        d4rl.convert(path, MEDIUM)


def test_a_missing_end_is_refused_or_cut(tmp_path):
    found = arrays({2: "t", 9: "t"}, 10)
    found["next_observations"][5] += 1
    path, _ = golden(tmp_path, **found)
    with pytest.raises(DataError, match=r"step 5 has no flag, but its next_observations are not .* \(1 such steps\).*--breaks cut"):
        d4rl.convert(path, MEDIUM)
    d4rl.convert(path, MEDIUM, breaks="cut")
    t = load(MEDIUM).trajectories
    assert t.lengths.tolist() == [3, 3, 4]
    assert t.truncated[t.offsets[1:] - 1].tolist() == [False, True, False]


@pytest.mark.parametrize("keep", [0, 100, 2000])
def test_files_that_are_cut_off_are_refused(tmp_path, keep):
    path, _ = golden(tmp_path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"golden.hdf5 cannot be read \(truncated, or no HDF5 file"):
        d4rl.convert(path, MEDIUM)


def test_an_absent_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"nowhere.hdf5 cannot be read \(it is missing\)"):
        d4rl.convert(tmp_path / "nowhere.hdf5", MEDIUM)


def test_a_header_that_claims_too_much_memory_is_refused(tmp_path):
    path, _ = golden(tmp_path)
    with h5py.File(path, "a") as file:
        del file["rewards"]
        file.create_dataset("rewards", (10**12,), np.float32, chunks=(1024,))
    with pytest.raises(DataError, match="rewards claims 4,000,000,000,000 bytes"):
        d4rl.convert(path, MEDIUM)


def test_rewards_of_rank_two_with_one_column_are_accepted(tmp_path):
    path, found = golden(tmp_path)
    with h5py.File(path, "a") as file:
        del file["rewards"]
        file["rewards"] = found["rewards"][:, None]
    d4rl.convert(path, MEDIUM)
    assert load(MEDIUM).trajectories.lengths.tolist() == [3, 1, 4, 2]


# Names and addresses.


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ("d4rl/hopper-medum-v2", "no D4RL data set 'hopper-medum-v2'; near names: hopper-medium-v2"),
        ("d4rl/hopper-medium-v9", "near names: hopper-medium-v"),
        (
            "d4rl/maze2d-umaze-v1",
            r"no environment of Gymnasium has its observations \(4 numbers, PointMaze's 6 have the goal in them\); "
            "Minari has it recorded again, such as D4RL/pointmaze",
        ),
        ("d4rl/antmaze-umaze-v0", r"its observations \(29 numbers, AntMaze-v4's 27 .*such as D4RL/antmaze/umaze-v1"),
        ("d4rl/kitchen-complete-v0", r"its observations \(60 numbers .*such as D4RL/kitchen/partial-v2"),
        ("d4rl/../hopper-medium-v2", "is not a Minari id"),
    ],
)
def test_names_without_data_are_refused(dataset, message):
    with pytest.raises(DataError, match=message):
        load(dataset)


def test_without_a_network_the_error_names_the_remedy(monkeypatch):
    monkeypatch.setitem(d4rl.addresses(), "hopper-medium-v2", "http://nowhere.invalid/hopper_medium-v2.hdf5")
    with pytest.raises(
        DataError, match=r"cannot be downloaded \(.*where there is a network, get http://nowhere.invalid/hopper_medium-v2.hdf5, put"
    ):
        load(MEDIUM)


def test_a_local_file_is_found_and_converted_once(tmp_path):
    path, _ = golden(tmp_path)
    place = d4rl.local_folder() / "hopper_medium-v2.hdf5"
    place.parent.mkdir(parents=True)
    path.rename(place)
    first = load(MEDIUM).trajectories.digest
    place.unlink()
    assert load(MEDIUM).trajectories.digest == first


class Handler(http.server.BaseHTTPRequestHandler):
    content, sent = b"", 0

    def do_GET(self):
        self.send_response(200 if self.path.endswith("hdf5") else 404)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content[: self.sent])

    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server at the address of hopper-medium-v2: it sends `handler.sent` bytes of `handler.content`."""
    path, _ = golden(tmp_path)
    handler = type("H", (Handler,), {"content": path.read_bytes(), "sent": path.stat().st_size})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.delenv(variable, raising=False)
        monkeypatch.setitem(d4rl.addresses(), "hopper-medium-v2", f"http://127.0.0.1:{httpd.server_port}/hopper_medium-v2.hdf5")
        yield handler
        httpd.shutdown()


def test_a_file_is_downloaded_on_first_use(server):
    assert load(MEDIUM).trajectories.lengths.tolist() == [3, 1, 4, 2]
    assert sorted(os.listdir(d4rl.local_folder())) == ["hopper_medium-v2.hdf5", "hopper_medium-v2.hdf5.sha256"]
    server.sent = 0
    assert load(MEDIUM).trajectories.num_steps == 10  # the server is not asked again


def test_a_download_cut_off_half_way_leaves_no_file(server):
    server.sent = len(server.content) // 2
    with pytest.raises(DataError, match=r"was cut off after [\d,]+ of [\d,]+ bytes; try again"):
        load(MEDIUM)
    assert os.listdir(d4rl.local_folder()) == []
    server.sent = len(server.content)
    assert load(MEDIUM).trajectories.num_steps == 10


def test_a_download_of_another_format_leaves_no_file(server):
    server.content = b"<html>moved</html>"
    with pytest.raises(DataError, match="no HDF5 file"):
        load(MEDIUM)
    assert os.listdir(d4rl.local_folder()) == []


def test_an_address_that_is_not_found_is_an_error(server, monkeypatch):
    monkeypatch.setitem(d4rl.addresses(), "hopper-medium-v2", d4rl.addresses()["hopper-medium-v2"].replace(".hdf5", ".gone"))
    with pytest.raises(DataError, match=r"cannot be downloaded \(Not Found\)"):
        load(MEDIUM)


def test_the_command_converts_and_refuses(tmp_path):
    path, _ = golden(tmp_path)

    def run(*arguments):
        return forks.run(arguments, tmp_path)

    done = run("convert", str(path), MEDIUM, "--trailing", "keep")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "minari" / MEDIUM)
    assert load(MEDIUM).trajectories.num_episodes == 5
    refused = run("convert", str(path), "mine/unknown-v0")
    assert (refused.returncode, refused.stdout, len(refused.stderr.splitlines())) == (2, "", 1)
    assert "--env" in refused.stderr
    assert run("convert", str(path), "mine/unknown-v0", "--env", "Hopper-v5").returncode == 0
    assert load("mine/unknown-v0").reference is None


@pytest.mark.parametrize(("env", "scored"), [(None, True), ("Hopper-v4", True), ("Hopper-v5", False)])
def test_d4rls_reference_scores_are_not_those_of_another_environment(tmp_path, env, scored):
    path, _ = golden(tmp_path)
    data = load(str(d4rl.convert(path, MEDIUM, env=env).relative_to(tmp_path / "minari")))
    assert (data.reference is not None) == scored
    expected = "evaluated on Hopper-v4" if scored else "evaluated on Hopper-v5, of which D4RL has no reference scores"
    assert data.note.startswith(f"recorded on Hopper-v2, {expected}")


# The tables.


def test_the_package_d4rl_has_the_same_tables():
    """Reference scores and addresses, entry by entry, against the package itself (`make d4rl`)."""
    if importlib.util.find_spec("d4rl") is None:
        pytest.skip("the package d4rl is not installed; make d4rl installs it")
    script = "import json, d4rl.infos as i; print(json.dumps([i.REF_MIN_SCORE, i.REF_MAX_SCORE, i.DATASET_URLS], default=float))"
    environment = os.environ | {"D4RL_SUPPRESS_IMPORT_ERROR": "1"}
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0, done.stderr
    low, high, urls = json.loads(done.stdout.splitlines()[-1])
    rows = {row["dataset"]: row for row in table() if row["family"] == D4RL}
    assert len(rows) == len(low) == 147
    assert {k: (float(r["random"]), float(r["expert"])) for k, r in rows.items()} == {k: (low[k], high[k]) for k in low}
    assert len(urls) == 155
    assert d4rl.addresses() == urls


def test_every_reference_has_its_provenance():
    for row in (*table(), *built_in_table()):
        assert row["source"]
        assert float(row["expert"]) > float(row["random"])
    assert all(int(row["time_limit"]) > 0 for row in table())
    names = [(row["family"], row["dataset"]) for row in table()]
    assert len(set(names)) == len(names)
    assert d4rl_row("kitchen-partial-v0")["expert"] == "4.0"


def test_files_of_different_data_sets_have_different_names():
    names = [url.rsplit("/", 1)[1] for url in d4rl.addresses().values()]
    assert len(set(names)) == len(names)


def test_data_are_converted_into_a_relative_root(tmp_path, monkeypatch):
    path, _ = golden(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINARI_DATASETS_PATH", "here")
    assert d4rl.convert(path, MEDIUM) == tmp_path / "here" / MEDIUM
    assert load(MEDIUM).trajectories.num_episodes == 4
