"""The runs of a sweep given to an executor: what dies is tried again, alone; what fails does not stop the others."""

import math
import sys
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from functools import partial

from coursekit import files, settings
from coursekit.data import datasets
from coursekit.errors import CoursekitError
from coursekit.runs import experiment, fingerprint, store, worker
from coursekit.runs.executors import Factory, Serial
from coursekit.runs.experiment import Experiment
from coursekit.runs.store import Result

ATTEMPTS = 3  # of a run whose worker dies
TICK_S = 1.0  # between two looks at what is running
Run = tuple[str, int]  # variant and seed
State = tuple[dict[Run, Result], list[Run]]  # what has just ended, and what is running


def train(groups: Sequence[list[Run]], wanted: Mapping[Run, Experiment], executor: Factory) -> Iterator[State]:
    """Train groups of runs, each group as one, wherever the executor does; yields at every change, and once a second.

    The process that trains a run writes its result and its checkpoints. A run whose worker dies is tried again, alone,
    when all others have ended; after three deaths it is "lost". One that raises is "failed". Both have a result of
    that status with the reason as provenance["error"], which is not kept, so that the next sweep tries again. Raises
    UsageError for an experiment that cannot be sent to another process, StorageError where no result could be kept.
    """
    rounds = _Rounds(groups, wanted, executor)
    try:
        yield from rounds
    finally:
        rounds.pool.shutdown(cancel_futures=True)


class _Rounds:
    def __init__(self, groups: Sequence[list[Run]], wanted: Mapping[Run, Experiment], executor: Factory):
        files.probe(store.folder())  # or each run would be trained, and fail when it is to be kept
        self.wanted, self.executor = wanted, executor
        self.keys, self.sources, self.checksums = _keys(groups, wanted)
        self.todo = deque(sorted(groups, key=len, reverse=True))  # long ones first: they end together
        self.suspects: deque[list[Run]] = deque()
        self.deaths: Counter[Run] = Counter()
        self.futures: dict[Future, list[Run]] = {}
        self.pool = executor()

    def __iter__(self) -> Iterator[State]:
        while self.todo or self.suspects or self.futures:
            while self.todo and self._has_room() and not self._submit(self.todo.popleft()).done():
                pass
            if self.suspects and not self.futures:
                self._submit(self.suspects.popleft())
            ended, _ = wait(self.futures, TICK_S, FIRST_COMPLETED)
            made: dict[Run, Result] = {}
            for future in ended:
                made |= self._take(future, self.futures.pop(future))
            yield made, self._running()

    def _has_room(self) -> bool:
        """A pool of concurrent.futures breaks with all that it was given, so it is given what it can run at once."""
        return len(self.futures) < getattr(self.pool, "_max_workers", math.inf)

    def _submit(self, group: list[Run]) -> Future:
        experiments, names = [self.wanted[run] for run in group], [name for name, _ in group]
        name = experiments[0].data
        surroundings = worker.surroundings(self.sources[name])
        threads = getattr(self.pool, "threads", 1)
        keys = [self.keys[run] for run in group]
        call = partial(worker.train, experiments, names, keys, self.checksums[name], surroundings, threads)
        call = call if isinstance(self.pool, Serial) else partial(worker.unpack, worker.pack(call, names[0]))
        try:
            future = self.pool.submit(call)
        except BrokenExecutor:  # a foreign pool, which is of no use when one of its workers has died
            self.pool.shutdown()  # when its other processes, asked to end, have written their checkpoints
            self.pool = self.executor()
            future = self.pool.submit(call)
        self.futures[future] = group
        return future

    def _take(self, future: Future, group: list[Run]) -> dict[Run, Result]:
        """The results of a group that has ended, or less where some of it has to be tried again."""
        error = CancelledError() if future.cancelled() else future.exception()
        if error is None:
            return dict(zip(group, future.result(), strict=True))
        if _died(error):
            self.deaths.update(group)
            lost = [run for run in group if self.deaths[run] == ATTEMPTS]
            self.suspects += [[run] for run in group if run not in lost]
            reason = f"its worker died {ATTEMPTS} times (last: {type(error).__name__})"
            return {run: self._none(run, "lost", reason) for run in lost}
        if len(group) > 1:
            self.todo += [[run] for run in group]  # to learn which of them it is
            return {}
        line = str(error) if isinstance(error, CoursekitError) else f"{type(error).__name__}: {error}"
        return {group[0]: self._none(group[0], "failed", line.split("\n")[0])}

    def _none(self, run: Run, status: str, reason: str) -> Result:
        print(f"{status}: {run[0]}, seed {run[1]}: {reason}", file=sys.stderr)
        described = fingerprint.describe(self.wanted[run])
        return Result(self.keys[run], run[0], status, described, [], [], {}, {"error": reason})

    def _running(self) -> list[Run]:
        started = self.pool.running() if hasattr(self.pool, "running") else filter(Future.running, self.futures)
        return [run for future in started for run in self.futures.get(future, ())]


def _died(error: BaseException) -> bool:
    """Whether the worker ended, not the run; dask's error by its name, as dask may not be there."""
    ended = (BrokenExecutor, CancelledError, SystemExit, KeyboardInterrupt)
    return isinstance(error, ended) or type(error).__name__ == "KilledWorker"


def _keys(
    groups: Sequence[list[Run]], wanted: Mapping[Run, Experiment]
) -> tuple[dict[Run, str], dict[str, str], dict[str, str]]:
    """The key of every run, where each data set comes from, and its SHA-256; downloads what this machine lacks."""
    runs = [run for group in groups for run in group]
    sources, checksums = {}, {}
    for name in {wanted[run].data for run in runs}:
        dataset = datasets.load(name)
        checksums[name] = dataset.sha256
        sources[name] = "sample" if dataset.is_sample else settings.source()
    return {run: experiment.key_of(wanted[run], checksums[wanted[run].data]) for run in runs}, sources, checksums
