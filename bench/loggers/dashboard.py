"""A project's dashboard at Weights & Biases: a workspace and a report of the runs that `logger=wandb` sent.

Needs the extra `dashboard` (wandb's library for workspaces and reports), an account and the network.
"""

from __future__ import annotations

import warnings
from typing import Any

from bench.config.extras import require_extra
from bench.errors import RunError, first_line
from bench.loggers.wandb import has_account, server_error

NAME = "Methods by data set"
DATASET, METHOD, SUITE = "dataset", "algo.name", "suite"
CURVES = (("Mean return of evaluations", "return_mean"), ("Training loss", "loss"), ("Log-likelihood, curated data", "log_prob_curated"))
WEIGHTS = (
    ("Effective sample size / number", "weight_ess_share"), ("KL(q || pi_ref) a step", "kl_q_pi_ref"),
    ("Largest weight", "weight_maximum"), ("Share of weights at a clip", "weight_clipped_share"),
)  # fmt: skip
FINAL = (("Score, last iterate", "score_mean"), ("Return, last iterate", "return_mean"))
OFFLINE = "without one, look at offline runs with `wandb leet RUN_DIR/wandb/offline-run-*`; `wandb sync` sends them later"


def libraries() -> tuple[Any, Any]:
    """The modules `workspaces` and `reports` of wandb-workspaces. Raises RunError if it is not installed."""
    require_extra("dashboard", "dashboard", "wandb", "wandb_workspaces")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations of pydantic
        import wandb_workspaces.reports.v2 as reports
        import wandb_workspaces.workspaces as workspaces
    return workspaces, reports


def panels(reports: Any) -> dict[str, list[Any]]:
    """The panels by section. A line or bar is the mean of a method over the runs shown, with its standard error."""

    def line(title: str, key: str) -> Any:
        return reports.LinePlot(
            title=title, x="Step", y=[key], groupby=reports.Config(METHOD), groupby_aggfunc="mean", groupby_rangefunc="stderr",
            title_x="updates", smoothing_type="none",
        )  # fmt: skip

    def bar(title: str, key: str) -> Any:
        metric = reports.SummaryMetric(key)
        return reports.BarPlot(title=title, metrics=[metric], groupby=reports.Config(METHOD), groupby_rangefunc="stderr", orientation="h")

    return {
        "Results": [bar(*entry) for entry in FINAL],
        "Curves": [line(*entry) for entry in CURVES],
        "Importance weights": [line(*entry) for entry in WEIGHTS],
    }


def workspace(entity: str, project: str, suite: str | None) -> Any:
    """The workspace: runs grouped by suite, data set and method."""
    workspaces, reports = libraries()
    runs = workspaces.RunsetSettings(
        groupby=[workspaces.Config(key) for key in (SUITE, DATASET, METHOD)],
        filters=workspaces.And(workspaces.Config(SUITE) == suite) if suite else "",
    )
    sections = [workspaces.Section(name=name, panels=found, is_open=True) for name, found in panels(reports).items()]
    name = f"{NAME}: {suite}" if suite else NAME
    return workspaces.Workspace(entity=entity, project=project, name=name, sections=sections, runset_settings=runs)


def report(entity: str, project: str, suite: str | None) -> Any:
    """The report: the same panels as one page of text."""
    workspaces, reports = libraries()
    condition = workspaces.And(workspaces.Config(SUITE) == suite) if suite else ""
    blocks: list[Any] = [
        reports.P(
            "Scores are 100 (return - random) / (expert - random). Tables with intervals and tests are computed from raw runs, not "
            "from this page: see report.html in the suite's folder."
        )
    ]
    for name, found in panels(reports).items():
        runs = reports.Runset(entity=entity, project=project, name=suite or "all runs", groupby=[f"config.{DATASET}"], filters=condition)
        blocks += [reports.H2(name), reports.PanelGrid(runsets=[runs], panels=found)]
    title = f"{NAME}: {suite}" if suite else NAME
    return reports.Report(entity=entity, project=project, title=title, blocks=blocks, width="fluid")


def build(entity: str | None, project: str, suite: str | None) -> list[str]:
    """Save workspace and report; returns their addresses. Raises RunError without account, network or permission."""
    libraries()
    if not has_account():
        raise RunError(f"no wandb account: set WANDB_API_KEY or run `wandb login`; {OFFLINE}")
    if reason := server_error():
        raise RunError(f"wandb's server does not answer ({reason}); {OFFLINE}")
    try:
        import wandb

        entity = entity or wandb.Api().default_entity
        if not entity:
            raise RunError("this account has no default entity; name one with --entity")
        return [made(entity, project, suite).save().url for made in (workspace, report)]
    except RunError:
        raise
    except Exception as error:  # wandb raises errors of many types
        raise RunError(f"wandb: {first_line(error)}; are --entity and --project right, and may this account write there?") from error
