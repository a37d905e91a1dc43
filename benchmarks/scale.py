"""What executors gain and cost: python -m benchmarks.scale --into docs/scale.md, on an idle machine.

Forty short runs of one experiment by one process, by two of ours, by two of dask where it is installed, each started
for the first time and again; then runs of one step, of which hardly anything is left but what an engine adds; and what
follows for other numbers of runs.
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
from multiprocessing import forkserver
from pathlib import Path
from typing import NamedTuple

import torch

from coursekit import files, models
from coursekit.runs import cluster, executors
from coursekit.runs.executors import Factory
from coursekit.runs.experiment import Experiment
from coursekit.runs.store import Result
from coursekit.runs.sweeps import sweep

AGAIN = ", again"  # an engine that this process has started before
MARK = "<!-- measured by `python -m benchmarks.scale` -->"
SHORT = Experiment(
    model=partial(models.MLP, (784, 128, 64, 10), dropout=0.2),  # with dropout no two runs are trained as one
    optimizer=partial(torch.optim.Adam, lr=1e-3),
    data="mnist",
    epochs=2,
    batch_size=128,
    train_size=20_000,
    validation=500,
)
LENGTHS = (2, 6)  # epochs, of a run of about one second and of two or three
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


def executors_here(workers: int) -> dict[str, Callable[[], Factory]]:
    """By name, serial first."""
    made = {
        "one process, 1 thread": partial(executors.serial, 1),
        f"one process, {workers} threads": partial(executors.serial, workers),
        f"{workers} processes": partial(executors.processes, workers),
        f"{workers} processes{AGAIN}": partial(executors.processes, workers),
    }
    if importlib.util.find_spec("distributed"):
        made |= {f"dask, {workers} workers{which}": partial(cluster.local, workers) for which in ("", AGAIN)}
    return made


def timed(one: Experiment, runs: int, executor: Factory) -> tuple[float, float, list[Result]]:
    """Seconds of a sweep over so many seeds in an empty store, seconds of these before the first run, results."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COURSEKIT_RESULTS"] = folder
        started, start = Started(executor), time.perf_counter()
        [results] = sweep({"it": one}, range(runs), executor=started).values()
        return time.perf_counter() - start, started.seconds, results


def numbers(results: list[Result]) -> list:
    return [([{k: v for k, v in row.items() if k != "seconds"} for row in r.history], r.metrics) for r in results]


class Measured(NamedTuple):
    """Medians over the rounds: seconds of all, of these before the first run, and the gain over the first engine."""

    whole: float
    start: float
    gain: float


def compare(one: Experiment, runs: int, rounds: int, workers: int) -> tuple[dict[str, Measured], bool]:
    """The executors in turn, so that a slow minute is one for all; and whether their results are equal bit for bit."""
    seconds: dict[str, list] = {name: [] for name in executors_here(workers)}
    for _ in range(rounds):
        found = {}
        for name, make in executors_here(workers).items():
            if not name.endswith(AGAIN):
                forkserver._forkserver._stop()  # which has imported torch for the engine before
            *both, found[name] = timed(one, runs, make())
            seconds[name].append(both)
    names = [name for name in found if "threads" not in name]
    same = all(numbers(found[name]) == numbers(found[names[0]]) for name in names)
    base, measured = seconds[names[0]], {}
    for name, times in seconds.items():
        gain = statistics.median(first[0] / other[0] for first, other in zip(base, times, strict=True))
        measured[name] = Measured(*(statistics.median(column) for column in zip(*times, strict=True)), gain)
    return measured, same


def gains(title: str, runs: int, rounds: int, measured: dict[str, Measured], same: bool) -> str:
    """A table of what was measured, and a line on the digits."""
    lines = [f"{title}: {runs} runs, medians of {rounds}.", "", "| engine | s | of these to start | times as fast |"]
    lines += ["|---|---|---|---|"]
    lines += [f"| {name} | {one.whole:.1f} | {one.start:.1f} | {one.gain:.2f} |" for name, one in measured.items()]
    return "\n".join(
        [*lines, "", f"Results with one thread for a run: {'equal' if same else 'NOT EQUAL'} bit for bit."]
    )


def expected(short: dict[str, Measured], tiny: dict[str, Measured], runs: int, workers: int) -> str:
    """Reckoned: N runs of T s cost one process N · T, an engine its start and N · (T + what it adds) / workers."""
    first = next(iter(short))
    each, nothing = short[first].whole / runs, tiny[first].whole / runs
    lines = ["| engine | first start, s | again | adds to a run, ms | 10 runs | 100 | 1,000 |"]
    lines += ["|---|---|---|---|---|---|---|"]
    lines.append(f"| {first} | 0 | 0 | 0 | {' | '.join(minutes(count * each) for count in (10, 100, 1000))} |")
    for name, one in tiny.items():
        if name.endswith(AGAIN):
            engine = name.removesuffix(AGAIN)
            start, adds = tiny[engine].start, (one.whole - one.start) * workers / runs - nothing
            all_of = [minutes(start + count * (each + adds) / workers) for count in (10, 100, 1000)]
            lines.append(f"| {engine} | {start:.1f} | {one.start:.1f} | {adds * 1000:.0f} | {' | '.join(all_of)} |")
    return "\n".join(
        [f"Reckoned from the first and the last table, for runs of {each:.2f} s on one thread:", "", *lines]
    )


def minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def main() -> None:
    """Measure, print, and write it where it belongs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--note", default="Nothing else ran on the machine.", help="under what conditions")
    parser.add_argument("--into", type=Path, metavar="FILE", help="put the text between the marks of this file")
    parser.add_argument("--quick", action="store_true", help="sample data, a few runs: a test")
    options = parser.parse_args()
    os.environ["COURSEKIT_PROFILE"] = "sample" if options.quick else "full"
    runs, rounds, workers = (2, 1, 2) if options.quick else (options.runs, options.rounds, options.workers)
    one = replace(SHORT, train_size=500, validation=5) if options.quick else SHORT
    texts = [f"`python -m benchmarks.scale` measured this on {workers} cores. {options.note}"]
    measured = []
    for epochs in LENGTHS:
        short, same = compare(replace(one, epochs=epochs), runs, rounds, workers)
        measured.append(short)
        texts += [gains(f"{epochs} epochs of the MLP on {one.train_size:,} digits", runs, rounds, short, same)]
    tiny, too = compare(TINY, runs, rounds, workers)
    texts += [gains("One step on 500 letters, so hardly anything but what an engine adds", runs, rounds, tiny, too)]
    texts += [expected(measured[0], tiny, runs, workers)]
    text = "\n\n".join(texts)
    print(text)
    if options.into:
        files.write_between(options.into, MARK, f"{text}\n", "what was measured")


if __name__ == "__main__":
    main()
