"""A process that keeps a core busy, as a browser or a second notebook does."""

import contextlib
import multiprocessing
import os
import time
from collections.abc import Iterator

CONTEXT = multiprocessing.get_context("spawn")
CHUNK = 50_000  # rounds of the loop between two looks at the event: a millisecond


class Neighbour:
    """A process with a loop in plain Python, busy while a `with neighbour.busy()` block runs."""

    def __init__(self):
        self.is_busy, self.chunks = CONTEXT.Event(), CONTEXT.Value("L", 0, lock=False)
        self.process = CONTEXT.Process(target=_count, args=(self.is_busy, self.chunks), daemon=True)
        self.process.start()

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Let it loop inside the block."""
        self.is_busy.set()
        before = self.chunks.value
        while self.chunks.value == before:  # it may still be starting
            time.sleep(0.01)
        try:
            yield
        finally:
            self.is_busy.clear()
            time.sleep(0.02)

    def reading(self) -> tuple[float, int]:
        """The time, and how often it has counted."""
        return time.perf_counter(), self.chunks.value

    def rate_since(self, reading: tuple[float, int]) -> float:
        """Million rounds a second of its loop since then; of one chunk at least, so that every rate has a ratio."""
        now, count = self.reading()
        return max(count - reading[1], 1) * CHUNK / (now - reading[0]) / 1e6

    def rates_alone(self, count: int, seconds: float) -> list[float]:
        """What it makes while nobody trains."""
        rates = []
        for _ in range(count):
            before = self.reading()
            time.sleep(seconds)
            rates.append(self.rate_since(before))
        return rates

    def close(self) -> None:
        """End the process."""
        self.process.terminate()
        self.process.join()


def _count(is_busy, chunks) -> None:
    parent = os.getppid()
    while os.getppid() == parent:  # it outlives no benchmark that is killed
        if is_busy.wait(timeout=1):
            for _ in range(CHUNK):
                pass
            chunks.value += 1
