"""Files from others are data, never code: they are not unpickled, stay in their root and run no code. No secret is written."""

from __future__ import annotations

import ast
import json
import os
import pickle  # to make files that must be refused
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from algos.errors import ConfigError
from algos.methods.weighted_bc import WeightedBCConfig
from bench.config.compose import compose
from bench.config.redact import SHOWN, redact, redact_tree
from bench.config.saved import read_yaml
from bench.config.schema import Config
from bench.errors import RunError
from bench.report.page.build import page_of
from bench.report.page.datasets import metadata_of
from bench.report.suite import rebuild
from bench.report.tables import table_of
from bench.results.grid import grids
from bench.results.leaderboard import board_of, read_board
from bench.results.pooling import pooled
from bench.results.runs import suite_runs
from bench.storage.layout import films
from bench.storage.rundir import RunDir
from envs.data.cache import Cache, checksum
from envs.data.selection import parse
from envs.data.trajectories import TENSORS
from envs.data.trust import check_spec
from envs.errors import DataError
from envs.evaluation.rollout import Evaluator
from envs.readers.load import load
from tests.helpers import forks
from tests.helpers.paths import ROOT
from tests.helpers.suites import make_run

SOURCES = [p for room in ("algos", "bench", "conf", "docs", "envs") for p in sorted((ROOT / room).rglob("*.py"))]
ID = "test/pendulum/random-v0"

# No file is unpickled, and no text is run.

MODULES = {"pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "jsonpickle"}
CALLS = {
    "torch.load", "torch.jit.load", "torch.hub.load", "torch.package.PackageImporter", "pd.read_pickle", "pandas.read_pickle",
    "yaml.load", "yaml.full_load", "yaml.unsafe_load", "yaml.load_all", "eval", "exec", "os.system",
    "hydra.utils.instantiate", "instantiate",
}  # fmt: skip


def dangers(source: str) -> Iterator[str]:
    """Imports and calls of a source file that could run code from a file."""
    for node in ast.walk(ast.parse(source)):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        yield from (name for name in names if name.split(".")[0] in MODULES)
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in CALLS and ast.unparse(node) != "exec('pass')":  # a constant, which does nothing
                yield name
            yield from (f"{name}(allow_pickle)" for k in node.keywords if k.arg == "allow_pickle" and ast.unparse(k.value) != "False")


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_source_unpickles_or_evaluates(path: Path) -> None:
    assert list(dangers(path.read_text())) == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle", "import cloudpickle.cloudpickle", "from joblib import load", "torch.load(p)", "np.load(p, allow_pickle=True)",
        "yaml.load(t, L)", "pd.read_pickle(p)", "eval(text)",
        "exec(text)", "exec('pass', scope)",
    ],
)  # fmt: skip
def test_the_search_finds_every_kind_of_danger(line: str) -> None:
    assert list(dangers(line))


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[Path]:
    """The file that a bomb makes. The fixture asserts that a bomb works, and at the end of the test that no bomb made the file."""
    mark = tmp_path / "exploded"
    pickle.loads(pickle.dumps(Bomb(mark)))
    assert mark.exists()
    mark.unlink()
    yield mark
    assert not mark.exists()


def test_a_malicious_checkpoint_is_refused(tmp_path: Path, mark: Path) -> None:
    run = RunDir(Config(WeightedBCConfig(), results_dir=str(tmp_path)), "0", "cpu")
    run.path.mkdir(parents=True)
    (run.path / "checkpoint.safetensors").write_bytes(pickle.dumps(Bomb(mark)))
    found = run.resume()
    assert found is not None
    assert (found.update, found.state) == (0, {})
    assert "starting over" in found.notes[-1]


def test_a_malicious_pi_ref_is_refused(tmp_path: Path, mark: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    from bench.training import pi_ref as reference_policy
    from bench.training.progress import Reporter

    config = Config(WeightedBCConfig("sft"), seeds=[0], results_dir=str(tmp_path))
    path = reference_policy._path(config, "0", torch.device("cpu"))
    path.parent.mkdir(parents=True)
    path.write_bytes(pickle.dumps(Bomb(mark)))
    with Reporter("test") as reporter:
        assert not reference_policy._whole(path, reporter)
    assert "is damaged" in capsys.readouterr().err


def test_a_malicious_snapshot_is_refused(tmp_path: Path, mark: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors import SafetensorError

    from envs.recorded import policy

    monkeypatch.setattr(policy, "SNAPSHOTS", tmp_path)
    (tmp_path / "hopper.safetensors").write_bytes(pickle.dumps(Bomb(mark)))
    with pytest.raises(SafetensorError):
        policy.load_snapshot("hopper", 0)


@pytest.mark.parametrize("as_array", [True, False])
def test_a_malicious_cache_is_not_read(as_array: bool, tmp_path: Path, mark: Path) -> None:
    """The cache holds pickled objects within .npy files, which NumPy could read with allow_pickle, or bare pickles."""
    (tmp_path / ".cache" / "index").mkdir(parents=True)
    about = {"digest": "abc", "num_actions": 0}
    (tmp_path / ".cache" / "index" / "key.json").write_text(json.dumps(about | {"check": checksum(about)}))
    (tmp_path / ".cache" / "abc").mkdir()
    for name in TENSORS:
        path = tmp_path / ".cache" / "abc" / f"{name}.npy"
        if as_array:
            np.save(path, np.array([Bomb(mark)], object), allow_pickle=True)
        else:
            path.write_bytes(pickle.dumps(Bomb(mark)))
    assert Cache(tmp_path).find("key") is None


def test_malicious_data_are_refused(pendulum_data: Callable[..., Any], minari_root: Path, mark: Path) -> None:
    pendulum_data()
    (minari_root / ID / "data" / "main_data.hdf5").write_bytes(pickle.dumps(Bomb(mark)))
    with pytest.raises(DataError, match="main_data"):
        load(ID)


@pytest.mark.parametrize(
    "text", ["a: !!python/object/apply:os.system ['touch exploded']", "a: !!python/name:os.system", "dataset: ${oc.env:HOME}"]
)
def test_a_malicious_configuration_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(RunError, match=r"config\.yaml"):
        read_yaml(tmp_path / "config.yaml")


def test_a_malicious_leaderboard_is_refused(tmp_path: Path, mark: Path) -> None:
    (tmp_path / "leaderboard.csv").write_bytes(b"schema\n" + pickle.dumps(Bomb(mark), protocol=0))
    with pytest.raises(RunError, match=r"leaderboard\.csv"):
        read_board(tmp_path / "leaderboard.csv")


# Environments: metadata name code by its import path.


def spec(**changes: Any) -> str:
    return json.dumps(json.loads(gymnasium.spec("InvertedPendulum-v5").to_json()) | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"entry_point": "os:system", "kwargs": {"command": "touch exploded"}},
        {"entry_point": "subprocess:Popen", "kwargs": {"args": ["touch", "exploded"]}},
        {"entry_point": "gymnasium_evil.envs:Env"},
        {"entry_point": "gymnasium.envs.registration:make", "kwargs": {"id": "evil:Env-v0"}},
        {"entry_point": ["os", "system"]},
        {"vector_entry_point": "os:system"},
        {"additional_wrappers": [{"name": "W", "entry_point": "os:system", "kwargs": {}}]},
        {"additional_wrappers": ["os:system"]},
    ],
)
def test_an_environment_of_an_unknown_package_is_refused(
    changes: dict[str, Any], pendulum_data: Callable[..., Any], minari_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(minari_root)
    pendulum_data()
    path = minari_root / ID / "data" / "metadata.json"
    metadata = json.loads(path.read_text())
    for key in ("env_spec", "eval_env_spec"):
        path.write_text(json.dumps(metadata | {key: spec(**changes)}))
        with pytest.raises(DataError, match=rf"{ID}: data/metadata.json, {key}: would run .*IWSFT_TRUSTED_PACKAGES="):
            load(ID)
    assert not (minari_root / "exploded").exists()


def test_an_evaluator_refuses_an_environment_of_an_unknown_package() -> None:
    with pytest.raises(DataError, match="environment: would run 'os:system'"):
        Evaluator(spec(entry_point="os:system"), 1)


def test_a_package_can_be_trusted_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    own = spec(entry_point="my_package.envs:Env")
    with pytest.raises(DataError, match="IWSFT_TRUSTED_PACKAGES=my_package"):
        check_spec("there", own)
    monkeypatch.setenv("IWSFT_TRUSTED_PACKAGES", "other, my_package")
    check_spec("there", own)
    for text in ("no JSON", "[]", "3"):
        with pytest.raises(DataError, match="there: not an environment's specification"):
            check_spec("there", text)


def test_every_environment_that_ships_with_the_suite_is_trusted() -> None:
    import gymnasium_robotics

    gymnasium.register_envs(gymnasium_robotics)
    for found in gymnasium.registry.values():
        if isinstance(found.entry_point, str):
            check_spec(found.id, found.to_json())


# Ids and paths stay in their root.


@pytest.mark.parametrize(
    "text", ["../../etc-v0", "/etc/x-v0", "a/../b-v0", "hf://../x-v0", "hf://./x/y-v0", "a//b-v0", "a\\..\\b-v0", "~/x-v0"]
)
def test_no_dataset_id_leaves_the_root(text: str) -> None:
    with pytest.raises(DataError, match="is not a Minari id"):
        parse(text)


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "a/b", "..", ".hidden", "", "a\\b", "x\n", "~"])
def test_suites_and_methods_are_plain_names(name: str) -> None:
    with pytest.raises(ConfigError, match="suite = "):
        Config(WeightedBCConfig(), suite=name).check()
    with pytest.raises(ConfigError, match=r"algo\.name = "):
        Config(WeightedBCConfig(name=name)).check()


@pytest.mark.parametrize("dataset", ["../../../etc/passwd-v0", "/etc/passwd-v0", "..-v0", "x" * 300])
def test_a_run_directory_stays_in_the_results_folder(dataset: str, tmp_path: Path) -> None:
    path = RunDir(Config(WeightedBCConfig(), dataset, results_dir=str(tmp_path)), "0", "cpu").path
    assert path.resolve().parent == (tmp_path / "single" / "runs").resolve()
    path.mkdir(parents=True)


def test_no_run_is_trained_through_a_link(tmp_path: Path) -> None:
    config = Config(WeightedBCConfig(), results_dir=str(tmp_path))
    path = RunDir(config, "0", "cpu").path
    path.parent.mkdir(parents=True)
    path.symlink_to(tmp_path)
    with pytest.raises(DataError, match=rf"{path.name}: is a link; expected a file or folder in its place; remove it"):
        RunDir(config, "0", "cpu")
    path.unlink()
    path.parent.rmdir()
    path.parent.symlink_to(tmp_path)
    with pytest.raises(DataError, match=r"runs: is a link; expected a file or folder in its place; remove it"):
        RunDir(config, "0", "cpu")


def test_a_report_reads_no_metadata_outside_the_data_sets(minari_root: Path) -> None:
    for folder in (minari_root.parent / "elsewhere" / "x-v0", minari_root / "inside" / "x-v0"):
        (folder / "data").mkdir(parents=True)
        (folder / "data" / "metadata.json").write_text('{"author": "someone"}')
    assert metadata_of("../elsewhere/x-v0") == {}
    assert metadata_of("inside/x-v0") == {"author": "someone"}


def test_a_report_embeds_no_file_from_outside_a_run(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "private").write_text("secret")
    (tmp_path / "run" / "episode-0-0.webp").symlink_to(tmp_path / "private")
    (tmp_path / "run" / "episode-0-1.webp").write_bytes(b"x")
    assert [path.name for path in films(tmp_path / "run")] == ["episode-0-1.webp"]


# The report page.


@pytest.mark.parametrize("where", ["note", "dataset", "algo", "seed", "config", "author", "device", "reference"])
def test_the_report_escapes_text_from_files(where: str, tmp_path: Path, minari_root: Path) -> None:
    script, suite = "<script>alert(1)</script>", tmp_path / "suite"
    record: dict[str, Any] = {"note": script, "device": script} if where in ("note", "device") else {}
    if where == "reference":
        record["reference"] = {"name": script, "random": 0.0, "expert": 100.0}
    folder = make_run(suite, **record)
    written = json.loads((folder / "run.json").read_text())
    if where in ("dataset", "algo"):
        _rename(folder, where, script)
    if where == "seed":
        (folder / "run.json").write_text(json.dumps(written | {"code_revision": script, "versions": {script: script}}))
    if where == "config":
        config = (folder / "config.yaml").read_text()
        (folder / "config.yaml").write_text(config.replace("algo:\n", f"algo:\n  '{script}': '{script}'\n", 1))
    if where == "author":
        (minari_root / written["dataset"] / "data").mkdir(parents=True)
        (minari_root / written["dataset"] / "data" / "metadata.json").write_text(json.dumps({"author": script, "description": script}))
    runs = suite_runs(suite)
    results = pooled(runs)
    text = page_of(suite, runs, results, board_of(suite, results), list(map(table_of, grids(results))))
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text


def _rename(folder: Path, key: str, name: str) -> None:
    """Give the data set or the method of a run the name `name`, in run.json and in config.yaml."""
    record, config = json.loads((folder / "run.json").read_text()), folder / "config.yaml"
    old = f"dataset: {record['dataset']}" if key == "dataset" else f"  name: {record['algo']}"
    assert old in config.read_text()
    config.write_text(config.read_text().replace(old, f"{old.split(':')[0]}: '{name}'", 1))
    (folder / "run.json").write_text(json.dumps(record | {key: name}))


@pytest.mark.parametrize("dataset", ["../../../x-v0", "/x-v0", "x" * 400, "a\0b"])
def test_figures_stay_in_their_folder(dataset: str, tmp_path: Path) -> None:
    from bench.report.figures.style import file_name
    from envs.files import write_atomic

    folder = tmp_path / "suite" / "figures"
    write_atomic(folder / f"curve-{file_name(dataset)}.svg", "")
    assert [p.parent for p in tmp_path.rglob("*.svg")] == [folder]
    assert file_name("iwsft/hopper/medium-v0") == "iwsft-hopper-medium-v0"


def test_figures_escape_text_from_files(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "suite")
    _rename(folder, "algo", "<script>alert(1)</script>")
    rebuild(tmp_path / "suite")
    assert "<script>alert" not in (tmp_path / "suite" / "report.html").read_text()


# Secrets.

KEY = "0123456789abcdef0123456789abcdef01234567"
OTHER = "correct-horse-battery-staple"


@pytest.mark.parametrize(
    "text",
    [
        f"login with {KEY} failed",
        f"http://host/?q={KEY}",
        f"hydra.job.env_set.MY_API_KEY={OTHER}",
        f"HF_TOKEN: {OTHER}",
        f"{{'password': '{OTHER}'}}",
        f"api-key: {OTHER}",
        f'{{"token": "its {OTHER} has spaces"}}',
        f"postgres://bob:{OTHER}@host/db", f"postgres://bob:{OTHER}/{OTHER}@host", f"redis://:{OTHER}@host:6379",
        f"results_dir=s3:/bob:{OTHER}@host/x",
        f"https://{OTHER}@host/x.git", f"https://host/x?api_key={OTHER}&y=1", f"https://host/x?a=1&X-Amz-Signature={OTHER}",
        f"Authorization: Bearer {OTHER}", f"DB_PASSWD={OTHER}", f"apikey: {OTHER}", f"logger.entity={KEY}",
        f"logger:\n  project: '{KEY}'\n",
    ],
)  # fmt: skip
def test_secrets_are_redacted(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    found = redact(text)
    assert SHOWN in found
    for secret in (KEY, OTHER):
        assert secret not in found


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("error: dataset 'postgres://bob:pw@host' is", "error: dataset 'postgres://bob:<redacted>@host' is"),
        ("mysql://bob:p@w@host", "mysql://bob:<redacted>@host"),
        ("password=pw seeds=3", "password=<redacted> seeds=3"),
        ("https://host/x?sig=ab", "https://host/x?sig=<redacted>"),
    ],
)
def test_short_passwords_in_urls_are_redacted(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert redact(shown) == shown


@pytest.mark.parametrize(
    "url", ["postgres://bob:pw@host", "postgres://bob:p+w@host/db", "hf://bob:pw@host/x-v0", "iwsft/a/b-v0+x://b:pw@h"]
)
def test_a_url_as_a_data_set_does_not_show_its_password(url: str) -> None:
    with pytest.raises(DataError, match=" is not a Minari id") as caught:
        parse(url)
    line = redact(str(caught.value))
    assert f":{SHOWN}@" in line
    assert "pw" not in line
    assert "p+w" not in line


@pytest.mark.parametrize(
    "token",
    [
        "hf_" + "aB3" * 10, "ghp_" + "aB3" * 12, "github_pat_" + "aB3_" * 8, "glpat-" + "aB3-" * 5, "sk-proj-" + "aB3" * 8,
        "xoxb-" + "123-" * 6, "AKIA" + "ABCD2345" * 2, "AIza" + "aB3" * 12, "wandb_v1_" + "aB3" * 10,
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NSJ9.c2lnbmF0dXJl",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "npm_" + "aB3" * 12, "pypi-" + "aB3" * 12,
    ],
)  # fmt: skip
def test_tokens_are_redacted_by_their_shape(token: str) -> None:
    assert redact(f"x '{token}', y") == f"x '{SHOWN}', y"
    assert redact_tree({"note": [f"a {token}"]}) == {"note": [f"a {SHOWN}"]}


def test_a_key_as_a_loggers_name_is_refused_and_not_shown() -> None:
    line = r"^logger\.(entity|project) = <redacted>: expected a name; a key belongs into the environment"
    for key in (f"logger.entity={KEY}", f"logger.project={KEY}", "logger.entity=hf_" + "aB3" * 10):
        with pytest.raises(ConfigError, match=line) as caught:
            compose([key])
        assert key.partition("=")[2] not in str(caught.value)
    assert redact_tree({"entity": KEY, "project": "mine", "code_revision": KEY}) == {
        "entity": SHOWN,
        "project": "mine",
        "code_revision": KEY,
    }


def test_text_without_secrets_is_not_redacted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN_PATH", "/somewhere/token-file")
    monkeypatch.setenv("SOME_TOKEN", "short")
    config = Config(WeightedBCConfig("iw_sft"))
    from omegaconf import OmegaConf

    for text in (
        OmegaConf.to_yaml(OmegaConf.structured(config)), "see /somewhere/token-file, short",
        "dataset iwsft/hopper/medium-v0 (digest " + "a" * 64,
        "results/quick/runs/x-bc-0123456789ab: return 12.0, score -0.2, 3 s", "http://host:8080/path",
        "dataset=hf://owner/D4RL/kitchen/complete-v2@top:5%+iwsft/x/y-v0@first:3@min_return:1", "http://host:8080/a@b", "ssh://git@host/x",
        "code revision 0123456789abcdef0123456789abcdef01234567", "logger: {entity: my-team, project: iwsft-bench}",
        "task-learned-3d-long-name-2024",
        "unknown key 'token'; near names: x", "key: algo.updates", "expected key=value with a key of the method",
    ):  # fmt: skip
        assert redact(text) == text


@pytest.mark.parametrize("name", ["SERVICE_KEY", "GITHUB_TOKEN", "CLIENT_SECRET", "my_password"])
@pytest.mark.parametrize("secret", ["four words of secret", "it's 'quoted'", 'back\\slash "and" more'])
def test_values_of_variables_are_secrets(name: str, secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values of secret variables are redacted in plain text, in trees and in JSON."""
    monkeypatch.setenv(name, secret)
    tree = {"note": f"x {secret}", secret: "y", "list": [secret]}
    assert redact(f"x {secret} y") == f"x {SHOWN} y"
    assert redact(json.dumps(tree)) == json.dumps({"note": f"x {SHOWN}", SHOWN: "y", "list": [SHOWN]})
    assert redact_tree(tree) == {"note": f"x {SHOWN}", SHOWN: "y", "list": [SHOWN]}


def test_trees_are_redacted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    tree = {"a": [f"x{KEY}", 3, None], "hf_token": OTHER, "b": {"c": (1.5, True)}}
    assert redact_tree(tree) == {"a": [f"x{SHOWN}", 3, None], "hf_token": SHOWN, "b": {"c": [1.5, True]}}


def holding(folder: Path, *secrets: str) -> list[str]:
    """The files below `folder` that hold one of `secrets`."""
    files = [p for p in folder.rglob("*") if p.is_file() and "minari" not in p.relative_to(folder).parts]
    assert files
    return [str(p.relative_to(folder)) for p in files if any(s.encode() in p.read_bytes() for s in secrets)]


def test_no_file_and_no_line_of_a_sweep_holds_a_secret(tmp_path: Path, pendulum_data: Callable[..., Any]) -> None:
    """Keys from the environment, the command line and a note reach no logger's file, no file of Hydra and no error line."""
    pendulum_data(ref_min_score=5.0, ref_max_score=1000.0, note=f"downloaded with {KEY}")
    env = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")} | {  # without the wandb service of an earlier test
        "PYTHONPATH": str(ROOT), "WANDB_MODE": "offline", "WANDB_API_KEY": KEY, "HF_TOKEN": "hf_" + "b" * 34, "WANDB_SILENT": "true"
    }  # fmt: skip
    sweep = [
        "-m", "algo=bc", "logger=[wandb,tensorboard,jsonl]", "seeds=[0]", "algo.hidden=[8]",
        "algo.updates=10", "eval.every=10", "eval.episodes=1", "eval.final_episodes=1", "eval.workers=1", f"dataset={ID}",
        "device=cpu", f"+hydra.job.env_set.SERVICE_PASSWORD={OTHER}", f"logger.project=of-{KEY}",
    ]  # fmt: skip
    done = forks.run(sweep, tmp_path, environment=env)
    assert done.returncode == 0, done.stderr
    suite = tmp_path / "results" / "single"
    assert (suite / ".hydra" / "multirun.yaml").exists()
    assert SHOWN in (suite / ".hydra" / "multirun.yaml").read_text()
    (run,) = (suite / "runs").iterdir()
    assert SHOWN in (run / "run.json").read_text()
    assert f"project: of-{SHOWN}" in (run / "config.yaml").read_text().replace("'", "")
    assert list(run.glob("wandb/offline-run-*/run-*.wandb"))
    assert list(run.glob("tensorboard/events*"))
    assert holding(tmp_path, KEY, OTHER, "b" * 34) == []
    mistake = forks.run([f"dataset={KEY}"], tmp_path, environment=env)
    assert mistake.returncode == 2
    assert SHOWN in mistake.stderr
    for text in (done.stdout, done.stderr, mistake.stderr):
        assert KEY not in text
        assert OTHER not in text


# Data sent to services.


def test_wandb_receives_no_facts_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import getpass
    import socket

    from bench.config.schema import LoggerConfig
    from bench.loggers import wandb as wandb_logger

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr(socket, "gethostname", lambda: "machine-of-mine")
    monkeypatch.setattr(wandb_logger, "_offline", [])
    run = wandb_logger.start(LoggerConfig(), tmp_path, id="told-nothing")
    run.log({"loss": 1.0}, step=1)
    run.finish()
    (file,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    for _ in range(200):  # the service closes the file some time after `finish` has returned
        if b"loss" in file.read_bytes():
            break
        time.sleep(0.05)
    content = file.read_bytes()
    assert b"loss" in content
    for private in ("machine-of-mine", getpass.getuser() + "@", str(ROOT), "requirements.txt", "sys.argv"):
        assert private.encode() not in content, private
