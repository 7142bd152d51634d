"""How fast the suite trains, measured beside a plain loop and beside what the machine's arithmetic allows: `python -m bench speed`."""

import os

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # read when torch loads: its profiler otherwise says on stderr that it starts and stops
