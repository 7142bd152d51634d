"""Choose a policy without the environment: estimate the returns of finished runs from logged data.

Prints how well each estimate ranks the policies where true returns are known, else its choices.
Writes rows, table, figure and verdict into a folder. A suite may have several data sets; run
directories must be of one.

Example:
  python -m bench select results/quick
  python -m bench select results/quick --estimators fqe,td_error --out choice
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from bench.commands.tables import names


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN_OR_SUITE", help="run directories or suites, such as results/quick")
    parser.add_argument("--estimators", type=names, metavar="A,B", help="estimators (default: all; docs/selection.md lists them)")
    parser.add_argument("--data", metavar="DATASET", help="estimate from these data (default: those that the runs were trained on)")
    parser.add_argument("--behaviour", default="stated", metavar="stated|fitted", help="densities of logged actions (default: stated)")
    parser.add_argument("--held-out", type=float, default=0.2, metavar="SHARE", help="episodes that no Q is fitted to (default: 0.2)")
    parser.add_argument("--samples", type=int, default=4, help="actions of a stochastic policy at a state (default: 4)")
    parser.add_argument("--discount", type=float, default=0.99, help="of future rewards in the estimates (default: 0.99)")
    parser.add_argument("--updates", type=int, default=5_000, help="of fitted Q evaluation (default: 5000)")
    parser.add_argument("--seed", type=int, default=0, help="of the split into episodes, initial Q and batches (default: 0)")
    parser.add_argument(
        "--allow-download", action="store_true", help="download, record or convert the data sets that the runs name, if absent"
    )
    parser.add_argument("--out", type=Path, default=Path("results/selected"), help="folder of the results (results/selected)")


def run(arguments: Namespace) -> None:
    from algos.estimators.fitted_q import FittedQConfig
    from bench.config.estimates import ESTIMATES
    from bench.errors import require_folder
    from bench.report.render import aligned
    from bench.selection.options import Options
    from bench.selection.report import write
    from bench.selection.select import select
    from bench.selection.verdict import verdict

    require_folder("--out", arguments.out)
    fqe = FittedQConfig(arguments.updates, discount=arguments.discount, seed=arguments.seed)
    chosen = tuple(ESTIMATES) if arguments.estimators is None else arguments.estimators
    options = Options(
        chosen, arguments.data, arguments.behaviour, arguments.held_out, arguments.samples, fqe=fqe, download=arguments.allow_download
    )
    selected = select(arguments.runs, options)
    table = write(selected, arguments.out, _spelled(arguments))
    print(aligned(table))
    print(f"{verdict(selected)}\n\nwritten to {arguments.out}")


def _spelled(arguments: Namespace) -> list[str]:
    """The arguments on the command line, without those that have their default."""
    parser = ArgumentParser()
    add_arguments(parser)
    default, spelled = vars(parser.parse_args(["RUN"])), [str(path) for path in arguments.runs]
    for name, value in vars(arguments).items():
        if name != "runs" and value != default[name]:
            text = ",".join(value) if isinstance(value, tuple) else str(value)
            spelled += [f"--{name.replace('_', '-')}", *([] if value is True else [text])]
    return spelled
