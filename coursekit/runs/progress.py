"""How far a sweep is: a table on a terminal; in a notebook a bar with the time left and, where wanted, the losses."""

import io
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TextIO

import pandas as pd
from matplotlib import pyplot as plt
from tqdm import tqdm

from coursekit import settings
from coursekit.analysis import plots
from coursekit.analysis.history import Spread
from coursekit.runs.store import Result
from coursekit.training.checkpoint import Progress

Run = tuple[str, int]
REFRESH_S, DRAW_S = 0.5, 3.0
LOSSES = ("train_loss", "val_loss")
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


class Bar(tqdm):
    """tqdm as one output of a cell, updated in place and empty at the end: no widget to be frozen at 0 % in a file."""

    def __init__(self, *arguments, **options):
        self.output = None
        self.in_cell = settings.is_interactive()
        place = dict(file=io.StringIO(), ascii=False) if self.in_cell else {}
        super().__init__(*arguments, **options, **place)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Show the line: in the cell, or where tqdm does."""
        if self.in_cell:
            self.output = self.output or _output()
            self.output.update({"text/plain": str(self) if msg is None else msg}, raw=True)
        else:
            super().display(msg, pos)


class Show:
    """The trainings of a sweep, `epochs` in all, and with `plot` their losses, while its `with` block runs.

    The plot needs somebody to see it: a batch run has none.
    """

    def __init__(self, epochs: int, plot: bool = False):
        nothing = {} if epochs else {"disable": True}  # left out, TQDM_DISABLE decides
        form = "{desc}{percentage:3.0f}%|{bar}| {n:.1f}/{total} epochs [{elapsed}<{remaining}]"
        # Smoothing 0: the time left is reckoned from all that was done, not from the last half second.
        always = dict(mininterval=0, miniters=0)  # `step` says when; tqdm would leave out more of them
        self.bar = Bar(total=epochs, leave=False, smoothing=0, bar_format=form, **always, **nothing)
        self.bar.initial = 0  # which a bar that is disabled lacks
        self.plot = _output() if plot and epochs and settings.is_interactive() else None
        self.runs: list[tuple[str, Progress]] = []
        self.ended = 0  # epochs of the runs that have ended
        self.running: dict[int, Progress] = {}
        self.due = self.drawn = 0.0

    def __enter__(self) -> "Show":
        return self

    def __exit__(self, *_) -> None:
        self.bar.close()
        self._draw()

    def change(self, epochs: int, text: str) -> None:
        """Runs with this number of epochs have ended, here or elsewhere; `text` says what comes next."""
        if epochs:
            self.ended, self.running = self.ended + epochs, {}
        self._count()
        self.bar.set_description(text)

    def step(self, name: str, run: Progress) -> None:
        """A run of the variant `name` has done one step more."""
        if id(run) not in self.running:
            self.running[id(run)] = run
            self.runs.append((name, run))
            self.bar.initial += (run.step - 1) / run.steps_per_epoch  # done before, where it was taken up
        now = time.monotonic()
        if now >= self.due:
            self.due = now + REFRESH_S
            self._count()
            if self.plot and now >= self.drawn + DRAW_S:
                self.drawn = now
                self._draw()

    def _count(self) -> None:
        self.bar.update(self.ended + sum(run.epochs for run in self.running.values()) - self.bar.n)

    def _draw(self) -> None:
        rows = (dict(variant=name, seed=n, **row) for n, (name, run) in enumerate(self.runs) for row in run.history)
        frame = pd.DataFrame(rows)
        if self.plot is None or frame.empty:
            return
        losses = [loss for loss in LOSSES if loss in frame]
        fig, axes = plots.figure(1, len(losses))
        for ax, loss in zip(axes, losses, strict=True):
            plots.learning_curves(frame, loss, ax)
        self.plot.update(fig)
        plt.close(fig)


def _output():
    """An output of this cell that can be replaced."""
    from IPython.display import DisplayHandle

    handle = DisplayHandle()
    handle.display({"text/plain": ""}, raw=True)
    return handle
