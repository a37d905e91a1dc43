"""What engines gain and cost: python -m benchmarks.scale, on an idle machine of two cores; dask where it is installed.

Forty short runs of one experiment by one process, by two of ours, by two of dask; then runs of one step, of which
hardly anything is left but what an engine adds. Prints tables for docs/scale.md.
"""

import argparse
import importlib.util
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial

import torch

from coursekit import cluster, data, engines, models
from coursekit.engines import Factory
from coursekit.experiment import Experiment
from coursekit.results import Result
from coursekit.sweeps import sweep

SHORT = Experiment(
    model=partial(models.MLP, (784, 128, 64, 10), dropout=0.2),  # with dropout no two runs are trained as one
    optimizer=partial(torch.optim.Adam, lr=1e-3),
    data="mnist",
    epochs=2,
    batch_size=128,
    train_size=20_000,
    validation=500,
)
STACKED = replace(SHORT, model=partial(models.MLP, (784, 128, 64, 10)))
TINY = replace(SHORT, data="letters", epochs=1, batch_size=500, train_size=500, validation=0)
TINY = replace(TINY, model=partial(models.MLP, (128, 8, 10), dropout=0.2))


class Started:
    """A factory whose executors say how long they took to start."""

    def __init__(self, factory: Factory):
        self.factory, self.seconds = factory, 0.0

    def __call__(self) -> Executor:
        start = time.perf_counter()
        made = self.factory()
        self.seconds = time.perf_counter() - start
        return made


def engines_here(workers: int) -> dict[str, Callable[[], Factory]]:
    """By name, serial first."""
    made = {
        "one process, 1 thread": partial(engines.serial, 1),
        f"one process, {workers} threads": partial(engines.serial, workers),
        f"{workers} processes": partial(engines.processes, workers),
    }
    if importlib.util.find_spec("distributed"):
        made[f"dask, {workers} workers"] = partial(cluster.local, workers)
    return made


def timed(one: Experiment, runs: int, executor: Factory, together: int) -> tuple[float, float, list[Result]]:
    """Seconds of a sweep over so many seeds in an empty store, seconds of these before the first run, results."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COURSEKIT_RESULTS"] = folder
        started, start = Started(executor), time.perf_counter()
        [results] = sweep({"it": one}, range(runs), executor=started, together=together).values()
        return time.perf_counter() - start, started.seconds, results


def numbers(results: list[Result]) -> list:
    return [([{k: v for k, v in row.items() if k != "seconds"} for row in r.history], r.metrics) for r in results]


def compare(title: str, one: Experiment, runs: int, rounds: int, workers: int, together: int) -> None:
    """A table of the engines, in turn, so that a slow minute is one for all."""
    seconds: dict[str, list] = {name: [] for name in engines_here(workers)}
    for _ in range(rounds):
        found = {}
        for name, make in engines_here(workers).items():
            *both, found[name] = timed(one, runs, make(), together)
            seconds[name].append(both)
    names = [name for name in found if "threads" not in name]
    same = all(numbers(found[name]) == numbers(found[names[0]]) for name in names)
    print(f"\n{title}: {runs} runs, {rounds} rounds, medians\n")
    print("| engine | s | of these to start | ms a run | times as fast |\n|---|---|---|---|---|")
    base = seconds[names[0]]
    for name, times in seconds.items():
        all_s, start_s = (statistics.median(column) for column in zip(*times, strict=True))
        gain = statistics.median(first[0] / other[0] for first, other in zip(base, times, strict=True))
        print(f"| {name} | {all_s:.2f} | {start_s:.2f} | {(all_s - start_s) / runs * 1000:.1f} | {gain:.2f} |")
    print(f"\nResults with one thread for a run, bit for bit: {'equal' if same else 'NOT EQUAL'}.")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="sample data, a few runs: a test")
    options = parser.parse_args()
    os.environ["COURSEKIT_PROFILE"] = "sample" if options.quick else "cpu"
    runs, rounds = (2, 1) if options.quick else (options.runs, options.rounds)
    short = replace(SHORT, train_size=500, validation=5) if options.quick else SHORT
    start = time.perf_counter()
    loaded = data.load("mnist", "sample" if options.quick else "real")
    print(f"data: {loaded}, read and verified in {time.perf_counter() - start:.2f} s")
    compare("Short runs", short, runs, rounds, options.workers, together=1)
    if not options.quick:
        compare("The same without dropout, five trained as one", STACKED, runs, rounds, options.workers, together=5)
    compare("Runs of one step", TINY, runs, rounds, options.workers, together=1)


if __name__ == "__main__":
    main()
