"""Paired timings: ways that do the same work take turns, and each round gives one ratio."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping

import torch

SETTLE_S = 0.2  # the workers of a DataLoader go on until their queues are full


def rounds(ways: Mapping[str, Callable[[], None]], count: int) -> dict[str, list[float]]:
    """Seconds of each way in each round, after one round that does not count; a rest before each."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(count + 1):
        for name, way in ways.items():
            time.sleep(SETTLE_S)
            start = time.perf_counter()
            way()
            if number:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(slow: list[float], fast: list[float], factor: float = 1.0) -> dict[str, float]:
    """Median and quartiles of the rounds' ratios."""
    ratios = [factor * a / b for a, b in zip(slow, fast, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
    return {"median": middle, "low": low, "high": high}


def matmul_peak(dtype: torch.dtype, size: int) -> float:
    """GFLOP/s of square matrices: the better of torch's product and the same as a 1×1 convolution.

    Behind the two are different libraries, and on some processors the first reaches half of the second.
    """
    a = torch.rand(size, size).to(dtype)
    rows = a[None, :, None].permute(0, 3, 1, 2)
    ways = {"product": lambda: a @ a, "convolution": lambda: torch.nn.functional.conv2d(rows, a[:, :, None, None])}
    best = min(min(seconds) for seconds in rounds(ways, 5).values())
    return 2 * size**3 / best / 1e9


def in_subprocess(code: str) -> float:
    """The number that a fresh Python prints last."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])
