"""The dashboard at Weights & Biases as wandb's library would send it, and the one line printed if it cannot be built."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bench import cli
from bench.loggers import dashboard

pytest.importorskip("wandb_workspaces", reason="needs the extra `dashboard`")


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_API_KEY", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", "/nonexistent")


def error_of(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    assert cli.run(["dashboard", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def test_the_workspace_groups_runs_and_shows_curves_and_weights() -> None:
    model = json.loads(dashboard.workspace("me", "bench", "quick")._to_model().model_dump_json(by_alias=True))
    assert (model["entity"], model["project"], model["displayName"]) == ("me", "bench", "Methods by data set: quick")
    sections = {s["name"]: s["panels"] for s in model["spec"]["section"]["panelBankConfig"]["sections"]}
    assert list(sections) == ["Results", "Curves", "Importance weights"]
    shown = {m for panels in sections.values() for p in panels for m in p["config"].get("metrics") or ()}
    assert {"summary_metrics.score_mean", "return_mean", "loss", "weight_ess_share", "kl_q_pi_ref"} <= shown
    assert {p["config"]["groupBy"] for p in sections["Curves"]} == {"algo.value.name"}
    (runs,) = model["spec"]["section"]["runSets"]
    assert [key["name"] for key in runs["grouping"]] == ["suite.value", "dataset.value", "algo.value.name"]
    assert "quick" in json.dumps(runs["filters"])
    everything = dashboard.workspace("me", "bench", None)._to_model().model_dump_json(by_alias=True)
    assert "quick" not in everything


def test_the_report_shows_the_same_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    from wandb_workspaces.reports.v2 import interface

    monkeypatch.setattr(interface, "_get_api", lambda: None)
    monkeypatch.setattr(interface, "execute_graphql", lambda *_: {"project": {"internalId": "1"}})
    text = dashboard.report("me", "bench", "quick")._to_model().model_dump_json(by_alias=True)
    for said in ("Methods by data set: quick", "Importance weights", "summary_metrics.score_mean", "weight_ess_share", "dataset.value"):
        assert said in text


def test_workspace_and_report_are_saved_with_an_account(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    import wandb_workspaces.reports.v2 as reports
    import wandb_workspaces.workspaces as workspaces

    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    monkeypatch.setattr(dashboard, "server_error", lambda: None)
    for kind, name in ((workspaces.Workspace, "workspace"), (reports.Report, "report")):
        monkeypatch.setattr(kind, "save", lambda self: self)
        monkeypatch.setattr(kind, "url", property(lambda self, name=name: f"https://there/{self.entity}/{self.project}/{name}"))
    assert cli.run(["dashboard", "--entity", "me", "--suite", "quick"]) == 0
    assert capsys.readouterr().out == "https://there/me/iwsft-bench/workspace\nhttps://there/me/iwsft-bench/report\n"


def test_without_an_account_the_error_names_the_remedy(capsys: pytest.CaptureFixture) -> None:
    line = error_of(capsys)
    assert line.startswith(
        "error: no wandb account: set WANDB_API_KEY or run `wandb login`; without one, look at offline runs with `wandb leet"
    )


def test_a_server_out_of_reach_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    assert error_of(capsys).startswith("error: wandb's server does not answer (http://127.0.0.1:9: [Errno 111] Connection refused); ")


def test_an_error_of_the_service_is_one_line_without_the_key(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    monkeypatch.setattr(dashboard, "server_error", lambda: None)

    def refuse(*_: Any) -> None:
        raise ValueError(f"key {'k' * 40} may not write\nmore")

    monkeypatch.setattr(dashboard, "workspace", refuse)
    assert error_of(capsys, "--entity", "me").startswith("error: wandb: key <redacted> may not write; are --entity")


def test_without_the_library_the_line_names_the_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr("bench.config.extras.find_spec", lambda name: None if name == "wandb_workspaces" else object())
    line = "error: dashboard: the package wandb_workspaces is not installed; pip install 'iwsft-bench[dashboard]'\n"
    assert error_of(capsys) == line
