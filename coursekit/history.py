"""Histories of several runs as one table, and what may be said about them."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd


def to_frame(histories: Mapping[str, Iterable[list[dict]]]) -> pd.DataFrame:
    """One row per variant, seed and epoch, from {variant: [the history of each seed]}."""
    rows = [
        dict(variant=variant, seed=seed, **row)
        for variant, runs in histories.items()
        for seed, history in enumerate(runs)
        for row in history
    ]
    return pd.DataFrame(rows)


class Spread:
    """Mean and standard deviation over seeds; formats as "0.976 ± 0.002", or as one number when one seed was run."""

    def __init__(self, values: Iterable[float]):
        self.values = np.asarray(list(values), float)
        self.mean = float(self.values.mean())
        known = len(self.values) > 1 and np.isfinite(self.values).all()
        self.std = float(self.values.std(ddof=1)) if known else float("nan")

    def __format__(self, spec: str) -> str:
        spec = spec or ".3f"
        return f"{self.mean:{spec}}" + (f" ± {self.std:{spec}}" if len(self.values) > 1 else "")

    def __str__(self) -> str:
        return format(self)

    def beats(self, other: "Spread") -> bool:
        """Whether the means differ by more than both standard deviations together; anything less is a tie."""
        return self.mean - other.mean > np.nan_to_num(self.std) + np.nan_to_num(other.std)


def seeds(count: int) -> str:
    """How many, in words for a caption."""
    return "one seed" if count == 1 else f"{count} seeds"


def spread_over(count: int) -> str:
    """What the numbers of a figure or table are, in words for its caption: "one seed", or "mean ± std of 3 seeds"."""
    return seeds(count) if count == 1 else f"mean ± std of {seeds(count)}"


def last(frame: pd.DataFrame, metric: str) -> dict[str, Spread]:
    """The metric at each run's last epoch, per variant."""
    runs = ["variant", "seed"]
    final = frame.sort_values("epoch").groupby(runs, sort=False).tail(1).set_index(runs)[metric].sort_index()  # nan too
    return {variant: Spread(final[variant]) for variant in frame["variant"].unique()}
