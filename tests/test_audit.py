"""make audit: what it says of pip-audit's findings, and where the advisory service cannot be asked."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

spec = importlib.util.spec_from_file_location("audit", Path(__file__).parent.parent / ".ci" / "audit.py")
assert spec is not None
assert spec.loader is not None
audit = importlib.util.module_from_spec(spec)
spec.loader.exec_module(audit)

SAFE = {"name": "numpy", "version": "2.4.6", "vulns": []}
UNSAFE = {"name": "jinja2", "version": "2.4", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.7"]}, {"id": "PYSEC-2", "fix_versions": []}]}
UNKNOWN = {"name": "torch", "skip_reason": "Dependency not found on PyPI and could not be audited: torch (2.13.0)"}
OWN = {"name": "iwsft-bench", "skip_reason": "distribution marked as editable"}


def audited(packages: list[dict[str, Any]]) -> list[str]:
    """A command that prints what pip-audit would."""
    return [sys.executable, "-c", f"print({json.dumps({'dependencies': packages, 'fixes': []})!r})"]


@pytest.mark.parametrize(
    ("packages", "code", "lines"),
    [
        ([SAFE, OWN], 0, ["audit: 1 packages looked up, 0 vulnerabilities"]),
        (
            [SAFE, UNSAFE],
            1,
            [
                "jinja2 2.4: PYSEC-1, mended in 2.7",
                "jinja2 2.4: PYSEC-2, mended in no version yet",
                "audit: 2 packages looked up, 2 vulnerabilities",
            ],
        ),
        ([SAFE, UNKNOWN], 3, ["audit: 1 packages looked up, 0 vulnerabilities, 1 are unknown to the advisory service"]),
        ([UNKNOWN, OWN], 3, ["audit: the advisory service knows none of the 1 packages or cannot be reached; nothing was checked"]),
    ],
)
def test_findings_are_lines_and_a_code(packages: list[Any], code: int, lines: list[str], capsys: pytest.CaptureFixture) -> None:
    assert audit.main(audited(packages)) == code
    assert capsys.readouterr().out.splitlines() == lines


def test_a_service_that_cannot_be_asked_is_no_clean_bill(capsys: pytest.CaptureFixture) -> None:
    command = [sys.executable, "-c", "import sys; print('Name resolution failed', file=sys.stderr); sys.exit(1)"]
    assert audit.main(command) == 3
    assert capsys.readouterr().out == "audit: the advisory service cannot be asked, nothing was checked (Name resolution failed)\n"
