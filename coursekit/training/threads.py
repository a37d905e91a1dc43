"""How many threads a training computes with: measured on its own steps.

A second thread helps a large network on an idle machine. It slows a small one down, and beside a busy neighbour, a
browser or another notebook, it makes every step wait for the core that is taken.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

import torch

MOST = torch.get_num_threads()  # what torch takes by itself
TRIES = 5  # steps with one thread, and as many with all, in turn; the first of each is not counted
SLOWER = 1.5  # than the quickest epoch so far: something has changed, so it is tried again
_fixed = False


@contextmanager
def fixed(count: int) -> Iterator[None]:
    """Use this number of threads inside the `with` block; no training chooses another."""
    global _fixed
    before = torch.get_num_threads(), _fixed
    torch.set_num_threads(count)
    _fixed = True
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        _fixed = before[1]


def is_free() -> bool:
    """Whether there is a choice: several cores, no GPU, and nobody has decided (`fixed`, or OMP_NUM_THREADS)."""
    decided = _fixed or "OMP_NUM_THREADS" in os.environ or torch.get_num_threads() not in (1, MOST)
    return MOST > 1 and not decided and not torch.cuda.is_available()


def choose() -> int:
    """Set the number of threads that multiplies two matrices quickest now, for code that is no training of ours."""
    if is_free():
        matrix = torch.ones((512, 512))
        trial = Trial()
        while not trial.is_over:
            start = time.perf_counter()
            for _ in range(4):
                matrix @ matrix
            trial.add(time.perf_counter() - start)
        torch.set_num_threads(trial.best)
    return torch.get_num_threads()


class Trial:
    """Something repeated with one thread and with all of them in turn, so that both meet the same neighbours."""

    def __init__(self):
        self.seconds: dict[int, list[float]] = {1: [], MOST: []}
        torch.set_num_threads(MOST)

    def add(self, seconds: float) -> None:
        """The last repetition took so long; sets the number of threads for the next one."""
        self.seconds[torch.get_num_threads()].append(seconds)
        torch.set_num_threads(min(self.seconds, key=lambda count: (len(self.seconds[count]), -count)))

    @property
    def is_over(self) -> bool:
        """Whether both had their turns."""
        return all(len(seconds) == TRIES for seconds in self.seconds.values())

    @property
    def best(self) -> int:
        """The quicker number of threads, by the median."""
        return min(self.seconds, key=lambda count: median(self.seconds[count][1:]))


class Choice:
    """The threads of one training, while its `with` block runs; the process has its own number again after it.

    `chosen` is the list of all choices, the last one in force: it goes into the checkpoint, and a training that
    resumes computes with the number that it had, so that the same bits come out.
    """

    def __init__(self, chosen: list[int]):
        self.chosen, self.trial = chosen, None
        self.quickest, self.spent, self.steps = float("inf"), 0.0, 0

    def __enter__(self) -> "Choice":
        self.before, self.is_free = torch.get_num_threads(), is_free()
        if self.is_free and self.chosen:
            torch.set_num_threads(self.chosen[-1])
        elif self.is_free:
            self.trial = Trial()
        elif self.chosen[-1:] != [self.before]:
            self.chosen.append(self.before)
        self.last = time.perf_counter()
        return self

    def __exit__(self, *_) -> None:
        torch.set_num_threads(self.before)

    def after_step(self) -> None:
        """A step is done."""
        seconds = time.perf_counter() - self.last
        if self.trial:
            self.trial.add(seconds)
            if self.trial.is_over:
                self._take(self.trial.best)
        else:
            self.spent, self.steps = self.spent + seconds, self.steps + 1
        self.last = time.perf_counter()

    def after_epoch(self) -> None:
        """An epoch and its evaluations are done; where its steps were slow, the next ones are a trial again."""
        if self.steps:
            rate = self.spent / self.steps
            if self.is_free and rate > SLOWER * self.quickest:
                self.trial = Trial()
            self.quickest = min(self.quickest, rate)
        self.spent = self.steps = 0
        self.last = time.perf_counter()

    def _take(self, count: int) -> None:
        torch.set_num_threads(count)
        self.chosen.append(count)
        self.trial, self.quickest = None, float("inf")
