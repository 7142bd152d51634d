"""Known vulnerabilities of the installed packages, by pip-audit: `make audit`.

Exit code 0: all packages were looked up, nothing is known. 1: something is. 3: the advisory service could not be asked, or does not know
packages, so that their absence from the list says nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

OPTIONS = ["--format", "json", "--progress-spinner", "off", "--local", "--skip-editable", "--timeout", "15"]


def main(command: list[str]) -> int:
    """Run `command`, pip-audit with JSON output, and say what it found."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        reason = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "it said nothing")
        print(f"audit: the advisory service cannot be asked, nothing was checked ({reason[:200]})")
        return 3
    return judge([p for p in packages if not p.get("skip_reason", "").startswith("distribution marked as editable")])


def judge(packages: list[dict[str, Any]]) -> int:
    """Print a line a vulnerability and one in all; returns the exit code."""
    asked = [p for p in packages if "skip_reason" not in p]
    found = [(p, v) for p in asked for v in p["vulns"]]
    for package, vulnerability in found:
        mended = ", ".join(vulnerability["fix_versions"]) or "no version yet"
        print(f"{package['name']} {package['version']}: {vulnerability['id']}, mended in {mended}")
    unknown = len(packages) - len(asked)
    if not asked:
        print(f"audit: the advisory service knows none of the {unknown} packages or cannot be reached; nothing was checked")
    else:
        rest = f", {unknown} are unknown to the advisory service" if unknown else ""
        print(f"audit: {len(asked)} packages looked up, {len(found)} vulnerabilities{rest}")
    return 1 if found else 3 if unknown else 0


if __name__ == "__main__":
    sys.exit(main([sys.executable, "-m", "pip_audit", *OPTIONS]))
