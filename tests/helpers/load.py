"""Time and memory of tables and report for many runs: `make load`.

`python -m tests.helpers.load FOLDER` writes the runs and measures `rebuild` in a process of its own for each case: a table of runs that
nobody has read, one after another run has ended (the others are known), and the page with all figures, then with none to draw again.
A measured process imports what `python -m bench tables` imports, and nothing else.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path


def measure(suite: Path, case: str) -> None:
    """Print the seconds, those of a core (on a busy machine), and the peak memory of one `rebuild`, imports included."""
    start = time.perf_counter()
    from bench.report.suite import rebuild

    rebuild(suite, page=case == "report")
    # Not by getrusage, which counts the memory of the process that started this one.
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")).split()[1]
    seconds = f"{time.perf_counter() - start:6.1f} s, {time.process_time():6.1f} s of a core"
    print(f"{suite.name:10} {case:16} {seconds}, {int(peak) / 1024:6.0f} MB", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        measure(Path(sys.argv[1]), sys.argv[2])
    else:
        import numpy as np

        from bench.results.known import AGE
        from tests.helpers.load_runs import write_run, write_suites

        root = Path(sys.argv[1])
        for suite in [root / "methods", root / "settings"] if root.is_dir() else write_suites(root):
            time.sleep(AGE)  # as after training; younger files are read again
            for case in ("table, first", "table", "table, one more", "report", "report"):
                if case == "table, one more":
                    algo, dataset = ("iw_sft", "iwsft/hopper/medium-v0") if suite.name == "settings" else ("sft", "own/set0-v0")
                    write_run(suite, algo, dataset, 50.0 + time.time(), np.random.default_rng(1))
                subprocess.run([sys.executable, "-m", "tests.helpers.load", str(suite), case], check=True)
