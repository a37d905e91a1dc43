"""How far a sweep is, as a table of plain text."""

import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TextIO

from coursekit.history import Spread
from coursekit.results import Result

Run = tuple[str, int]
BAD = ("diverged", "failed", "lost")


def table(done: Mapping[Run, Result], running: Iterable[Run], wanted: Iterable[Run], seconds: float) -> str:
    """A row for each variant, one for all: runs done, running, without a result, and the best by validation so far.

    The time that is left counts what was trained in these seconds, not what was replayed.
    """
    wanted, at_work = list(wanted), Counter(name for name, _ in running)
    names = list(dict.fromkeys(name for name, _ in wanted))
    rows = [("", "done", "running", "best", "")]
    for name in [*names, None]:
        results = [result for (variant, _), result in done.items() if name in (variant, None)]
        of = sum(name in (variant, None) for variant, _ in wanted)
        busy = at_work.total() if name is None else at_work[name]
        statuses = Counter(result.status for result in results)
        odd = ", ".join(f"{statuses[status]} {status}" for status in BAD if statuses[status])
        rows.append((name or "all", f"{len(results)}/{of}", str(busy or ""), _best(results), odd))
    trained = sum(not result.replayed for result in done.values())
    left = len(wanted) - len(done)
    if trained and left:
        rows[-1] = (*rows[-1][:-1], ", ".join(filter(None, (rows[-1][-1], f"{_clock(seconds / trained * left)} left"))))
    return _aligned(rows)


def summary(found: Mapping[str, list[Result]]) -> str:
    """A row for each variant: runs that ended well, best validation and last test accuracy, mean ± std over seeds."""
    rows = [("", "ok", "best validation", "test")]
    for name, results in found.items():
        good = [result for result in results if result.status == "ok"]
        validation = [best for best in map(best_validation, good) if best is not None]
        test = [result.metrics["test_accuracy"] for result in good if "test_accuracy" in result.metrics]
        spreads = (f"{Spread(values):.4f}" if values else "" for values in (validation, test))
        rows.append((name, f"{len(good)}/{len(results)}", *spreads))
    return _aligned(rows)


def _aligned(rows: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    first = [f"{row[0]:{widths[0]}}" for row in rows]
    others = ("".join(f"  {c:>{w}}" for c, w in zip(row[1:], widths[1:], strict=True)) for row in rows)
    return "\n".join((a + b).rstrip() for a, b in zip(first, others, strict=True))


def best_validation(result: Result) -> float | None:
    """The best validation accuracy of a run's epochs; None without validation, or without an epoch."""
    return max((row["val_accuracy"] for row in result.history if "val_accuracy" in row), default=None)


def _best(results: Iterable[Result]) -> str:
    found = [best for best in map(best_validation, results) if best is not None]
    return f"{max(found):.4f}" if found else ""


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


class Live:
    """The table drawn again at every change on a terminal; elsewhere the row of all runs, when one has ended."""

    def __init__(self, stream: TextIO | None = None):
        self.stream = stream or sys.stderr
        self.start = time.monotonic()
        self.lines = self.shown = 0

    def __call__(self, done: Mapping[Run, Result], running: Iterable[Run], wanted: Iterable[Run]) -> None:
        text = table(done, running, wanted, time.monotonic() - self.start)
        if self.stream.isatty():
            up = f"\033[{self.lines}A\033[J" if self.lines else ""
            print(up + text, file=self.stream, flush=True)
            self.lines = text.count("\n") + 1
        elif len(done) > self.shown:
            print(text.split("\n")[-1], file=self.stream, flush=True)
            self.shown = len(done)
