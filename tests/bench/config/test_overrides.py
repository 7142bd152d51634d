"""Arguments before Hydra sees them: seeds spelled out, suites of one's own, and one line for what Hydra would misread or accept."""

from __future__ import annotations

import re

import pytest

from algos.batches.curation import Curation
from algos.errors import ConfigError
from algos.importance import Weighting
from bench.api.keys import config_of
from bench.config.choices import schemas
from bench.config.compose import compose
from bench.config.help import comments
from bench.config.keys import common_keys, near
from bench.config.mistakes import explain
from bench.config.overrides import prepare
from bench.config.schema import Config, EvalConfig, LoggerConfig, PiRefConfig, ReportConfig, TrainerConfig
from tests.helpers.paths import ROOT


def refusal(*arguments: str) -> str:
    with pytest.raises(ConfigError) as caught:
        prepare(arguments)
    line = str(caught.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize(
    ("given", "seeds"),
    [
        ("3", "[0,1,2]"), ("1", "[0]"), ("0-2", "[0,1,2]"), ("7-7", "[7]"), ("'4-5'", "[4,5]"), ("'2'", "[0,1]"),
        ("[0,1,2]", "[0,1,2]"), ("[5]", "[5]"), ("[0-2,7]", "[0,1,2,7]"), ("0-1,4-5", "[0,1],[4,5]"), ("[0],3-4", "[0],[3,4]"),
        ("[]", "[]"), ("[1,1]", "[1,1]"), ("[-1]", "[-1]"), ("'${algo.seeds}'", None),
    ],
)  # fmt: skip
def test_seeds_are_a_number_a_range_or_a_list(given: str, seeds: str | None) -> None:
    for prefix in ("", "++"):
        assert prepare([f"{prefix}seeds={given}"]) == [f"{prefix}seeds={seeds or given}"]


def test_the_configuration_has_the_seeds() -> None:
    assert compose(["seeds=3"]).seeds == compose(["seeds=0-2"]).seeds == [0, 1, 2]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("seeds=0", "seeds=0: expected a number of seeds of at least 1; the seed 0 alone is 'seeds=[0]'"),
        ("seeds=abc", "seeds=abc: expected a number of seeds, a range such as 0-2, or a list such as 'seeds=[4,7]'"),
        ("seeds=[a]", "seeds=[a]: expected a number of seeds"), ("seeds=1.5", "seeds=1.5: expected a number of seeds"),
        ("seeds=-2", "seeds=-2: expected a number of seeds of at least 1"),
        ("seeds=12345", "seeds=12345 stands for the 12345 seeds 0 to 12344, more than 1000; the one seed is 'seeds=[12345]'"),
        ("seeds=5-3", "seeds=5-3: expected a range from the first to the last seed, such as 0-2, of at most 1000 seeds"),
        ("-m seeds=0,1,2", "seeds=0,1,2: one run of these seeds is 'seeds=[0,1,2]'; a run for each is -m 'seeds=[0],[1],[2]'"),
        ("-m seeds=range(3)", "seeds=range(3): list the seeds of each run, as in -m 'seeds=[0],[1]'"),
        ("algo=[bc,iw_sft]", "algo=[bc,iw_sft]: a run has one algo; to train each: python -m bench -m algo=bc,iw_sft"),
        ("-m algo=[bc,iw_sft]", "algo=[bc,iw_sft]: a run has one algo; to train each: python -m bench -m algo=bc,iw_sft"),
        ("algo.hidden=[8] algo=[bc,iw_sft]", "algo=[bc,iw_sft]: a run has one algo; to train each: "),
        ("algo=[bc]", "algo=[bc]: a run has one algo; to train it: python -m bench algo=bc"),
        ("dataset=[a/x-v0,b/y-v0]", "dataset=[a/x-v0,b/y-v0]: a run has one dataset; to train on each: "
         "python -m bench -m dataset=a/x-v0,b/y-v0; on all as one: dataset=a/x-v0+b/y-v0"),
        ("device=[cpu,cuda]", "device=[cpu,cuda]: a run has one device; "),
        ("algo.updates=[1,2]", "algo.updates=[1,2]: a run has one algo.updates; to train each: python -m bench -m algo.updates=1,2"),
        ("algo=iql algo.expectile=[0.7,0.9]", "algo.expectile=[0.7,0.9]: a run has one algo.expectile; "),
        ("-m suite=quick,paper", "suite=quick,paper: a command runs one suite: python -m bench suite=quick && python"),
        ("suite=[quick,paper]", "suite=[quick,paper]: a command runs one suite: python -m bench suite=quick && python"),
        ("+seedz=[5]", "unknown key 'seedz'; near names: seeds; "), ("++seedz=[5]", "unknown key 'seedz'; near names: seeds; "),
        ("+hydra.foo=1", "unknown key 'hydra.foo' of Hydra"),
        ("++hydra.job.chdirr=1", "unknown key 'hydra.job.chdirr' of Hydra; near names: chdir"),
        ("seedz=[5]", "unknown key 'seedz'; near names: seeds; "), ("+password=hunter2", "unknown key 'password'; python"),
        ("+algo.foo=1", "unknown key 'algo.foo'; "), ("+eval.epsiodes=1", "unknown key 'eval.epsiodes'; near names: eval.episodes"),
        ("~seeds", "~seeds: no key can be removed; KEY=VALUE gives it another value"), ("~logger", "~logger: no key can be removed"),
        ("+logger@backup=jsonl", "+logger@backup=jsonl: '@' has no meaning here; give KEY=VALUE"),
        ("algo=iw_sft algo.critics=3", "algo.critics: not a key of iw_sft (awac, cal_ql, cfgrl, cql, crr, edac, "),
        ("algo=iql algo.temprature=3", "unknown key 'algo.temprature'; near names: algo.temperature"),
        ("algo=iw_sft algo.temprature=3", "unknown key 'algo.temprature'; near names: algo.weighting.temperature"),
        ("algo=iql temperature=3", "unknown key 'temperature'; near names: algo.temperature; "),
        ("algo=iw_sft temperature=3", "unknown key 'temperature'; near names: algo.weighting.temperature; "),
        ("algo=bc lr=1", "unknown key 'lr'; near names: algo.learning_rate, pi_ref.learning_rate, finetune.learning_rate; "),
        ("suite=quik", "suite=quik: no such suite; near names: quick; a suite of your own takes a name less like it"),
        ("suite=papr", "suite=papr: no such suite; near names: paper"),
        ("suite=quicks", "suite=quicks: no such suite; near names: quick"),
        ("foo", "'foo': expected KEY=VALUE, or an option such as -m"), ("--foo", "unrecognized arguments: --foo"),
        ("seeds=[0", "seeds=[0: cannot be read as KEY=VALUE (no viable alternative"), ("a=b=c", "a=b=c: cannot be read as KEY=VALUE"),
        ("suite=a/b", "suite = a/b: expected a plain name"), ("suite=../x", "suite = ../x: expected a plain name"),
    ],
)  # fmt: skip
def test_one_line_says_what_to_do(arguments: str, line: str) -> None:
    assert refusal(*arguments.split()).startswith(line)


@pytest.mark.parametrize(
    "arguments",
    [
        ["logger=[jsonl,wandb]"], ["algo.hidden=[8,8]"], ["population.temperature=[1,3]"], ["hydra.foo=3"],
        ["+hydra.launcher.x=[1]"], ["+hydra.job.env_set.X=1"], ["++seeds=[5]"],
        ["hydra/launcher=joblib"], ["algo=bc,iql", "algo.expectile=0.8"], ["suite=quick", "algo.expectile=0.8"],
        ["algo=nonsense", "algo.x=1"],
        ["suite=quick"], ["algo.curation={percentiles: [90]}"],
    ],
)  # fmt: skip
def test_other_arguments_stay_as_they_are(arguments: list[str]) -> None:
    assert prepare(["-m", *arguments]) == ["-m", *arguments]


def test_flags_come_first_as_hydra_needs_them() -> None:
    assert prepare(["algo=bc", "-m", "seeds=2", "-cd", "own", "force=true"]) == ["-m", "-cd", "own", "algo=bc", "seeds=[0,1]", "force=true"]


@pytest.mark.parametrize("name", ["mine", "quick2", "quick-2", "my-quick", "paper_v2", "exp.1", "temperature", "2026"])
def test_a_suite_takes_any_new_name(name: str) -> None:
    own, single = compose([f"suite={name}", "algo=bc"]), compose(["suite=single", "algo=bc"])
    assert own.suite == name
    single.suite = name
    assert own == single


def test_hydras_advice_for_several_values_is_not_repeated() -> None:
    def line(argument: str) -> str:
        with pytest.raises(Exception, match="Ambiguous") as caught:
            compose([argument])
        return explain(caught.value)

    assert line("algo=bc,iw_sft") == "algo=bc,iw_sft: several values are a sweep, a run for each: python -m bench -m algo=bc,iw_sft"
    assert line("algo.hidden=8,16").endswith("; one run with this list is 'algo.hidden=[8,16]'")
    assert line("population.temperature=1,3").endswith("; one run with this list is 'population.temperature=[1,3]'")


def test_every_key_has_a_meaning() -> None:
    """The comment beside it, which `--help` shows; groups have none."""
    groups = {key for key, value in common_keys().items() if isinstance(value, dict)} | {"curation", "weighting"}
    for schema in (Config, EvalConfig, LoggerConfig, TrainerConfig, ReportConfig, PiRefConfig, Curation, Weighting, *schemas().values()):
        for field, text in comments(schema).items():
            assert text or field in groups, (schema.__name__, field)


def test_near_names() -> None:
    assert near("temprature", ["algo.weighting.temperature", "algo.trace"]) == ["algo.weighting.temperature"]
    assert near("lr", ["algo.learning_rate", "logger"]) == ["algo.learning_rate"]
    assert near("zzz", ["seeds"]) == []


def test_brackets_in_documents_are_quoted_for_zsh() -> None:
    """zsh takes an unquoted [ as a pattern and refuses the command."""
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = path.read_text()
        blocks = "".join(re.findall(r"```(?:console|bash|sh)\n(.*?)```", text, re.DOTALL)) + "\n".join(
            re.findall(r"^    (\$ .*)$", text, re.MULTILINE)
        )
        for command in re.findall(r"^(?:\$ )?((?:\S+=\S+ )*\S*python .*)$", blocks, re.MULTILINE):
            assert "[" not in re.sub(r"'[^']*'|\"[^\"]*\"", "", command.split("  # ")[0]), f"{path.name}: {command}"


def test_a_number_of_seeds_from_python() -> None:
    assert config_of({"algo": "bc", "seeds": 2}, {}).seeds == [0, 1]
