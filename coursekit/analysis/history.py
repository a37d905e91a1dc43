"""Histories of several runs as one table, and what may be said about them."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats


def to_frame(runs: Mapping[str, Iterable]) -> pd.DataFrame:
    """One row per variant, seed and epoch, from {variant: [a run with `seed` and `history` for each seed]}."""
    rows = [
        dict(variant=variant, seed=run.seed, **row)
        for variant, of_seeds in runs.items()
        for run in of_seeds
        for row in run.history
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

    def __repr__(self) -> str:
        return format(self)


@dataclass(frozen=True)
class Comparison:
    """a against b over shared seeds: mean difference a - b, its 95 % interval, and what follows from it.

    The verdict on a is "better", "worse" (the interval is on one side of zero), "equal" (it is within ±`equal_within`)
    or "undecided". Formats as "+0.0037 [+0.0015, +0.0059]".
    """

    differences: tuple[float, ...]
    difference: float
    low: float
    high: float
    verdict: str
    equal_within: float | None = None

    @property
    def better(self) -> bool:
        """Whether a is better."""
        return self.verdict == "better"

    def __format__(self, spec: str) -> str:
        spec = spec or "+.4f"
        if len(self.differences) < 2:
            return f"{self.difference:{spec}} ({seeds(len(self.differences))})"
        return f"{self.difference:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"

    def __str__(self) -> str:
        words = f"equal within {self.equal_within:g}" if self.verdict == "equal" else self.verdict
        return f"{format(self)}: {words}"


def compare(
    a: Iterable[float], b: Iterable[float], equal_within: float | None = None, lower_is_better: bool = False
) -> Comparison:
    """Compare two methods whose values come in pairs, one pair for each seed: the t interval of the differences.

    Pairs with a value that is not finite are left out; fewer than two decide nothing.
    """
    pairs = np.asarray(list(zip(a, b, strict=True)), float).reshape(-1, 2)
    differences = np.subtract(*pairs[np.isfinite(pairs).all(1)].T)
    count = len(differences)
    mean = float(differences.mean()) if count else math.nan
    if count < 2:
        return Comparison(tuple(differences.tolist()), mean, -math.inf, math.inf, "undecided", equal_within)
    half = float(stats.t.ppf(0.975, count - 1) * stats.sem(differences))
    low, high = mean - half, mean + half
    if equal_within is not None and -equal_within <= low and high <= equal_within:
        verdict = "equal"
    elif low <= 0 <= high:
        verdict = "undecided"
    else:
        verdict = "better" if (mean < 0) == lower_is_better else "worse"
    return Comparison(tuple(differences.tolist()), mean, low, high, verdict, equal_within)


def seeds(count: int) -> str:
    """How many, in words for a caption."""
    return "one seed" if count == 1 else f"{count} seeds"


def spread_over(count: int) -> str:
    """What the numbers of a figure or table are, in words for its caption: "one seed", or "mean ± std of 3 seeds"."""
    return seeds(count) if count == 1 else f"mean ± std of {seeds(count)}"
