"""A sweep while it trains: a line with the time left and, where wanted, the losses so far; each one output of a cell.

`training.fit` calls it after every step; it waits for no GPU.
"""

import io
import time

import pandas as pd
from matplotlib import pyplot as plt
from tqdm import tqdm

from coursekit import explore, plots
from coursekit.checkpoint import Progress

REFRESH_S, DRAW_S = 0.5, 3.0
LOSSES = ("train_loss", "val_loss")


class Bar(tqdm):
    """tqdm as one output of a cell, updated in place and empty at the end: no widget to be frozen at 0 % in a file."""

    def __init__(self, *arguments, **options):
        self.output = None
        self.in_cell = explore.is_interactive()
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
        self.bar = Bar(total=epochs, leave=False, smoothing=0, bar_format=form, **nothing)
        self.bar.initial = 0  # which a bar that is disabled lacks
        self.plot = _output() if plot and epochs and explore.is_interactive() else None
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
        """Runs of so many epochs have ended, here or elsewhere; `text` says what comes next."""
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
