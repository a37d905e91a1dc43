"""A sweep while it trains: a line with the time left and, where wanted, the losses so far; each one output of a cell.

It reads what `checkpoint` hands out, so no key knows of it, and waits for no GPU.
"""

import io
import time
from collections.abc import Sequence

from matplotlib import pyplot as plt
from tqdm import tqdm

from coursekit import checkpoint, explore, history, plots
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
    """Looks at the trainings that are begun in its `with` block: `epochs` in all, and with `plot` their losses.

    The plot needs somebody to see it: a batch run has none.
    """

    def __init__(self, epochs: int, plot: bool = False):
        nothing = {} if epochs else {"disable": True}  # left out, TQDM_DISABLE decides
        self.bar = Bar(total=epochs, unit="epoch", leave=False, **nothing)
        self.plot = _output() if plot and epochs and explore.is_interactive() else None
        self.runs: list[tuple[str, Progress]] = []
        self.ended = self.before = 0  # epochs of the runs that have ended, and how many of `runs` those are
        self.names: list[str] = []
        self.due = self.drawn = 0.0

    def __enter__(self) -> "Show":
        checkpoint.watchers.append(self)
        return self

    def __exit__(self, *_) -> None:
        checkpoint.watchers.remove(self)
        self.bar.close()
        self._draw()

    def change(self, epochs: int, names: Sequence[str], text: str) -> None:
        """Runs of so many epochs have ended, here or elsewhere; those of these variants come next, says `text`."""
        if epochs:
            self.ended, self.before = self.ended + epochs, len(self.runs)
        self.names = list(names)
        self._count()
        self.bar.set_description(text)

    def begin(self, run: Progress) -> None:
        """A training begins, or goes on from a checkpoint."""
        self.runs.append((self.names.pop(0) if self.names else "again", run))

    def step(self) -> None:
        """One step is done."""
        now = time.monotonic()
        if now >= self.due:
            self.due = now + REFRESH_S
            self._count()
            if self.plot and now >= self.drawn + DRAW_S:
                self.drawn = now
                self._draw()

    def _count(self) -> None:
        here = sum(len(run.history) for _, run in self.runs[self.before :])
        self.bar.update(self.ended + here - self.bar.n)

    def _draw(self) -> None:
        histories: dict[str, list] = {}
        for name, run in self.runs:
            histories.setdefault(name, []).append(run.history)
        frame = history.to_frame(histories)
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
