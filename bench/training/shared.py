"""Data sets and environment processes that the runs of one process share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import TracebackType

from bench.config.schema import Config
from bench.training.device import cores
from envs.data.env_choice import OWN, EnvChoice
from envs.data.logged_data import LoggedData
from envs.evaluation.measured_reference import measured_reference
from envs.evaluation.rollout import Evaluator
from envs.readers.load import load

KEPT = 2  # data sets: a run's own and the one that its pi_ref is trained on


class Shared:
    """Loads each data set once and keeps its environments open. Use as a context manager, or call `close`.

    `open_evaluator` (Gymnasium's JSON of an environment, processes) opens the environments. download: data sets that are absent may be
    downloaded, recorded or converted. noted: notes about data and settings, which are printed once for all runs. seconds: of this process
    before its first run, by phase (import, recording), until a run's record has them.
    """

    def __init__(self, open_evaluator: Callable[[str, int], Evaluator] = Evaluator, download: bool = True) -> None:
        self.open_evaluator, self.download = open_evaluator, download
        self.noted: set[str] = set()
        self.seconds: dict[str, float] = {}
        self._data: dict[tuple[str, EnvChoice], LoggedData] = {}
        self._evaluator: tuple[tuple[str, int | None], Evaluator] | None = None

    def take_seconds(self) -> dict[str, float]:
        """`seconds`, once: the process's first run records them."""
        taken, self.seconds = self.seconds, {}
        return taken

    def keep(self, data: LoggedData, choice: EnvChoice = OWN) -> None:
        """Use `data` wherever its id is asked for with `choice`; the data set used longest ago is dropped."""
        self._data.pop((data.dataset, choice), None)
        self._data[data.dataset, choice] = data
        while len(self._data) > KEPT:
            del self._data[next(iter(self._data))]

    def data(self, dataset: str, workers: int | None = None, choice: EnvChoice = OWN) -> LoggedData:
        """Data set `dataset`, with the environment of `choice`. If its environment has no reference scores, they are measured in `workers`
        processes; in another environment than its own, returns stay raw. Raises DataError."""
        data = self._data.get((dataset, choice)) or load(dataset, choice=choice, download=self.download)
        measurable = data.reference is None and not (data.own_env or data.unscored or choice.without)
        if (dataset, choice) not in self._data and measurable:
            data = replace(data, reference=measured_reference(data, self.evaluator(data.env_spec, workers)))
        self.keep(data, choice)
        return data

    def run_data(self, config: Config) -> LoggedData:
        """The data set of the run. Raises DataError."""
        return self.data(config.dataset, config.eval.workers, config.env_choice)

    def pi_ref_data(self, config: Config) -> LoggedData | None:
        """The data set that the run's pi_ref is trained on, None if it is the run's own or the method needs no pi_ref."""
        dataset = config.pi_ref.dataset if config.algo.needs_pi_ref else None
        return None if dataset in (None, config.dataset) else self.data(dataset, config.eval.workers, config.env_choice)

    def evaluator(self, env_spec: str, workers: int | None) -> Evaluator:
        """Open environments of `env_spec` in `workers` processes, all cores by default; other environments are closed."""
        key = env_spec, workers
        if self._evaluator is None or self._evaluator[0] != key or not self._evaluator[1].between_episodes:
            self.close_evaluator()
            self._evaluator = key, self.open_evaluator(env_spec, workers or cores())
        return self._evaluator[1]

    def close_evaluator(self) -> None:
        """Close the environments, in the middle of an episode if need be; the next `evaluator` opens new ones."""
        if self._evaluator is not None:
            evaluator, self._evaluator = self._evaluator[1], None
            evaluator.close()

    def close(self) -> None:
        """Close the environments and drop the data. The object can be used again."""
        self.close_evaluator()
        self._data.clear()

    def __enter__(self) -> Shared:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
