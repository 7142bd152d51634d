"""`python -m bench language` on a tiny random model: rows, resume, tables, mistakes in one line. No network and no pretrained weights."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

for package in ("transformers", "trl", "reasoning_gym"):
    pytest.importorskip(package, reason="the extra `language` is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")

from bench import cli  # noqa: E402
from bench.errors import RunError  # noqa: E402
from bench.language.comparison import compare, find  # noqa: E402
from bench.language.finetuning import finetune  # noqa: E402
from bench.language.models import load_language_model  # noqa: E402
from bench.language.options import Options  # noqa: E402
from bench.language.results import solved  # noqa: E402
from bench.language.solutions import STRATA, Solution, multiset  # noqa: E402
from bench.language.tasks import Task, answer_in, worked  # noqa: E402
from bench.results.leaderboard import read_board  # noqa: E402
from bench.storage.rundir import read_csv  # noqa: E402
from tests.helpers.paths import ROOT  # noqa: E402

TOY = Options(
    methods=("base", "sft", "sft_q", "iw_sft", "iw_sft_q", "dft"), seeds=2, updates=2, batch_size=4, learning_rates=(1e-3, 1e-2),
    instances=12, draws=60, held_out=5, validation=3, tries=3, length=4, prompt="plain", precision="float32",
    examples=1, task="letter_counting", settings={"min_words": 3, "max_words": 3},
)  # fmt: skip
LONG = {"min_terms": 2, "max_terms": 2, "min_digits": 9, "max_digits": 9}  # no random text is such a sum
FLAGS = (
    "--task", "letter_counting", "--methods", "base,sft,iw_sft", "--examples", "1", "--seeds", "2",
    "--updates", "2", "--batch-size", "4", "--learning-rates", "1e-3", "--instances", "12",
    "--draws", "60", "--held-out", "5", "--validation", "3", "--tries", "3", "--length", "4", "--prompt", "plain", "--precision", "float32",
)  # fmt: skip


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random model of digits and letters."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    words = {token: k for k, token in enumerate(["<pad>", "<end>", *"0123456789", "\n", " ", *'abcdefghijklmnopqrstuvwxyz?:,."'])}
    tokens = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    tokens.pre_tokenizer, tokens.decoder = pre_tokenizers.Split("", "isolated"), decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokens, pad_token="<pad>", eos_token="<end>")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(words), hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2,
        max_position_embeddings=256, pad_token_id=0, eos_token_id=1,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k not in ("seconds", "code_revision")} for row in read_csv(folder / "rows.csv")]


def test_every_method_has_rows_and_the_tables_read_them(tiny: Path, tmp_path: Path) -> None:
    options = replace(TOY, model=str(tiny), out=tmp_path / "a", data=("samples", "worked"))
    text = compare(options, "the command", lambda line: None)
    assert text.startswith("`the command`")
    rows = rows_of(options.out)
    for data in options.data:
        own = [row for row in rows if row["data"] == data]
        assert {row["method"] for row in own} == set(options.methods)
        for method in options.methods:
            chosen = [row for row in own if row["method"] == method and row["chosen"] == "1"]
            assert [row["seed"] for row in chosen] == ["0", "1"]
            assert len({row["learning_rate"] for row in chosen}) == 1
        assert len([row for row in own if row["chosen"] == "0"]) == 5  # the other learning rate of each trained method
        tried = {row["learning_rate"]: float(row["validation"]) for row in own if (row["method"], row["seed"]) == ("sft", "0")}
        taken = next(row for row in own if row["method"] == "sft" and row["chosen"] == "1")
        assert tried[taken["learning_rate"]] == max(tried.values())
    board = read_board(options.out / "leaderboard.csv")
    assert len(board) == 2 * 6 * 3
    assert set(board["actions"]) == {"mean", "sampled"}
    weighted = board[board["algo"].str.startswith("iw_sft")]
    assert (weighted["weight_ess"] > 0.5).all()
    assert board[board["algo"] == "dft"]["weight_ess"].isna().all()
    assert "| letter_counting, samples: pass@3 |" in text


def test_the_last_layers_alone_are_trained(tiny: Path) -> None:
    start, tokenizer = load_language_model(tiny)
    found = [Solution([4, 5, 6], [7, 12], 0.5)] * 4
    before = {name: value.clone() for name, value in start.state_dict().items()}
    trained = finetune(start, tokenizer, found, "sft", 1e-2, 0, replace(TOY, layers=1)).model.state_dict()
    changed = {name for name, value in trained.items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith("model.layers.1.") for name in changed)
    assert all(torch.equal(value, before[name]) for name, value in start.state_dict().items())


def test_a_killed_run_continues_and_gives_the_same_rows(tiny: Path, tmp_path: Path) -> None:
    """SIGKILL after the first finished shard; the same command leaves the rows of a run without interruption."""
    assert cli.run(["language", "--model", str(tiny), "--out", str(tmp_path / "whole"), *FLAGS]) == 0
    killed = tmp_path / "killed"
    command = [sys.executable, "-m", "bench", "language", "--model", str(tiny), "--out", str(killed), *FLAGS]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    while not list(killed.glob("shards/[!.]*sft*.json")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {path: path.stat().st_mtime_ns for path in killed.glob("shards/[!.]*.json")}
    assert before
    assert cli.run(command[3:]) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert rows_of(killed) == rows_of(tmp_path / "whole")
    next(killed.glob("shards/*-iw_sft-*-1-*.json")).unlink()
    assert cli.run([*command[3:], "--no-runs"]) == 0
    assert rows_of(killed) == [row for row in rows_of(tmp_path / "whole") if (row["method"], row["seed"]) != ("iw_sft", "1")]


def test_find_lists_what_the_model_solves(tiny: Path) -> None:
    lines = find(replace(TOY, model=str(tiny), settings={}), ["letter_counting", "chain_sum"], lambda line: None)
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["letter_counting", "chain_sum"]


def test_splits_are_disjoint_and_seeds_differ() -> None:
    task = Task("letter_counting")
    questions = [
        {i.question for i in task.instances(*of)} for of in (("held_out", 100), ("validation", 100), ("train", 100, 1), ("train", 100, 2))
    ]
    assert [len(own) for own in questions] == [100] * 4
    for k, own in enumerate(questions[:3]):
        assert all(own.isdisjoint(other) for other in questions[k + 1 :][: 3 - k] if other is not questions[3] or k < 2)
    assert len(questions[2] & questions[3]) < 10


@pytest.mark.parametrize("name", ["letter_counting", "chain_sum", "basic_arithmetic", "gcd", "word_sorting"])
def test_worked_solutions_are_right_and_the_verifier_is_the_tasks_own(name: str) -> None:
    task = Task(name)
    for instance in task.instances("train", 10, 1):
        assert all(task.solved(instance, worked(instance, detailed)) for detailed in (False, True))
        assert not task.solved(instance, "no")
        assert not task.solved(instance, "")


def test_an_answer_is_the_last_number_or_the_last_line() -> None:
    assert answer_in('The letter "e" appears 2 times, so 3.', "4") == "3"
    assert answer_in("It is -1,250", "7") == "-1250"
    assert answer_in("Sorted:\nant, bee, cat.\n", "a, b") == "ant, bee, cat"
    assert answer_in("", "3") == answer_in("none", "3") == answer_in("", "x") == ""


def test_pass_at_k_is_the_unbiased_estimate() -> None:
    right = [[True, False, False, False], [False] * 4]
    assert solved(right, 1) == pytest.approx([100 / 4, 0])
    assert solved(right, 2) == pytest.approx([100 * (1 - (3 * 2) / (4 * 3)), 0])
    assert solved(right, 4) == pytest.approx([100, 0])


def test_the_multiset_has_the_best_thrice() -> None:
    found = [Solution([0], [k], k / 10) for k in range(10)]
    counts = {k: sum(s.completion == [k] for s in multiset(found, 0)) for k in range(10)}
    assert counts == {**dict.fromkeys(range(5), 1), **dict.fromkeys(range(5, 8), 2), 8: 3, 9: 3}
    assert STRATA == (1.0, 0.5, 0.2)


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--task", "leter_counting"], "error: task leter_counting: reasoning-gym has no such task; near names: letter_counting"),
        (["--task", "gcd", "--settings", "max_val=4"], "error: task gcd: no setting max_val; near names: max_value"),
        (["--task", "letter_counting", "--settings", "min_words=9"], "error: task letter_counting: max_words must be >= min_words"),
        (["--methods", "iwsft"], "error: --methods iwsft: expected one of base, sft, sft_q, iw_sft, iw_sft_q, dft"),
        (["--seeds", "0"], "error: --seeds 0: expected a positive number"),
        (["--learning-rates", "fast"], "error: argument --learning-rates: fast: expected numbers separated by commas"),
        (["--model", "."], "error: .: holds no weights; expected *.safetensors"),
        (["--precision", "int8"], "error: --precision int8: expected one of bf16, float32"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(
    flags: list[str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["language", *flags]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert error[0].startswith(line)
    assert list(tmp_path.iterdir()) == []


def test_mistakes_of_model_and_data_are_one_line(tiny: Path, tmp_path: Path) -> None:
    options = replace(TOY, model=str(tiny), out=tmp_path / "b")
    with pytest.raises(RunError, match="no chat template; use --prompt plain"):
        compare(replace(options, prompt="chat"), "", lambda line: None)
    with pytest.raises(RunError, match="none of 720 samples is right: nothing to train on; use --data worked"):
        compare(replace(options, task="chain_sum", settings=LONG, methods=("sft",)), "", lambda line: None)
    with pytest.raises(RunError, match=r"only \d+ different instances of split held_out, 5000 expected; ask for fewer"):
        compare(replace(options, task="products", settings={"max_digits": 1}, held_out=5000, methods=("base",)), "", lambda line: None)
    with pytest.raises(RunError, match="--layers 3: expected at most 2, the layers of the model, or 0 for all parameters"):
        compare(replace(options, layers=3), "", lambda line: None)
    done = replace(options, methods=("base",), seeds=1)
    with pytest.raises(RunError, match="no finished shard of this model, task and options in it; run it without --no-runs"):
        compare(done, "", lambda line: None, train=False)
    compare(done, "", lambda line: None)
    path = next((done.out / "shards").glob("*.json"))
    assert np.shape(json.loads(path.read_text())["held_out"]) == (5, 3)
    path.write_text("{")
    with pytest.raises(RunError, match=r"cannot be read .*; remove it, and the same command makes it again"):
        compare(done, "", lambda line: None)


def test_a_missing_extra_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("bench.config.extras.find_spec", lambda package: None)
    assert cli.run(["language"]) == 2
    expected = "error: language: the package transformers is not installed; pip install 'iwsft-bench[language]'\n"
    assert capsys.readouterr().err == expected
