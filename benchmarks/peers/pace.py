"""How a training that some library runs from start to end is measured in slices, paused in between."""

import time
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection
from typing import NamedTuple


class Over(BaseException):
    """This training is not asked to go on; not an Exception, so that no library takes it for a fault of its own."""


class Slice(NamedTuple):
    """Some steps of a training, with the seconds that they took by the clock and of the process.

    `neighbour` is how fast a neighbour's loop was meanwhile: million rounds a second.
    """

    steps: int
    wall: float
    cpu: float
    neighbour: float = 0.0


class Order(NamedTuple):
    """The next slice lasts so many seconds; `changed`: the machine is not as busy as before, so it is for settling."""

    seconds: float
    changed: bool


class Pace:
    """Handed to a training, which calls `after` each step: there it waits between slices, and ends by `Over`.

    The first slice ends with the first step: it holds the preparation of the data and what is compiled.
    """

    def __init__(self, pipe: Connection):
        self.pipe = pipe
        self.settling = 1  # steps that the training needs to get used to what changed
        self._begin(Order(0, False))

    def after(self, steps: int = 1, wait: Callable[[], object] = int) -> bool:
        """So many steps are done, or will be when `wait` returns; True where the training was paused here."""
        self.steps += steps
        if self.steps < self.least or time.perf_counter() - self.wall < self.seconds:
            return False
        wait()
        self.pipe.send(Slice(self.steps, time.perf_counter() - self.wall, time.process_time() - self.cpu))
        order = self.pipe.recv()
        if order is None:
            raise Over
        self._begin(order)
        return True

    def until_changed(self, batches: Iterator) -> Iterator:
        """Batches up to the next order to settle."""
        self.changed = False
        for batch in batches:
            yield batch
            if self.changed:
                return

    def _begin(self, order: Order) -> None:
        self.seconds, self.changed = order
        self.least = self.settling if self.changed else 1
        self.steps, self.wall, self.cpu = 0, time.perf_counter(), time.process_time()


class PacedBatches:
    """Batches for a library's own loop: a step is done when it comes for the next one."""

    def __init__(self, batches: Iterable, pace: Pace):
        self.batches, self.pace = batches, pace

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator:
        for batch in self.batches:
            yield batch
            self.pace.after()
