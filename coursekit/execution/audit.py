"""Stored results computed again: removed from a copy of the store, retrained by their notebooks, compared by digit."""

import math
import random
import re
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from coursekit import settings
from coursekit.errors import NotebookError
from coursekit.execution import notebooks
from coursekit.runs import store
from coursekit.runs.store import Result

TIMES = {"seconds"}  # what no two runs share


class Audited(NamedTuple):
    """A stored result, the same run made now (None where it was not made), and where they differ most, relatively."""

    file: Path
    stored: Result
    again: Result | None
    difference: float
    place: str

    @property
    def other_machine(self) -> str:
        """What differs between the machines of the two runs and decides the last digits, in words."""
        pairs = {
            name: tuple(run.provenance.get(name) or "unknown" for run in (self.stored, self.again or self.stored))
            for name in ("processor", "device", "torch")
        }
        return "; ".join(f"{name} {before} -> {now}" for name, (before, now) in pairs.items() if before != now)


def audit(count: int, sources: Sequence[Path], seed: int = 0, at_most_s: float = math.inf) -> Iterator[Audited]:
    """Retrain `count` stored runs chosen at random, with the stacks they were trained in, and compare every digit kept.

    `sources` are the notebooks that made them. Each runs in its results' profile, with their number of threads; what
    took longer than `at_most_s`, stack included, is not chosen.
    """
    source_of = {source.stem: source for source in sources}
    stored = {f: store.read(f) for f in sorted(store.folder().glob("*/*.json")) if f.parent.name in source_of}
    affordable = [file for file, result in stored.items() if _seconds(result) <= at_most_s]
    chosen = random.Random(seed).sample(affordable, min(count, len(affordable)))
    jobs: dict[tuple, list[Path]] = defaultdict(list)
    for file in chosen:
        made = stored[file].provenance
        profile = made["profile"] if made["profile"] in settings.PROFILES else "full"  # of an edition with others
        threads = int((re.search(r"(\d+) thread", made["device"]) or [0, 1])[1])
        jobs[file.parent.name, profile, threads].append(file)
    for (notebook, profile, threads), audited in jobs.items():
        with tempfile.TemporaryDirectory() as folder, _store_without(audited, stored, Path(folder)):
            try:
                target = Path(folder, f"{notebook}.ipynb")
                notebooks.run(source_of[notebook], target, profile, "auto", 24 * 3600, threads)
            except NotebookError as error:  # a claim that the new numbers do not keep
                print(f"{notebook}: {error}")
            for file in audited:
                yield _compared(file, stored[file], store.load(stored[file].key))


def _seconds(result: Result) -> float:
    return result.provenance.get("seconds", 0.0) * max(1, len(result.provenance.get("stacked", [])))


@contextmanager
def _store_without(chosen: list[Path], stored: dict[Path, Result], folder: Path) -> Iterator[None]:
    """A copy of the store without these results and those they were trained with, as the store of this process."""
    shutil.copytree(store.folder(), folder / "results", ignore=shutil.ignore_patterns("running"))
    out = {stored[file].key[:8] for file in chosen}.union(*(stored[f].provenance.get("stacked", []) for f in chosen))
    for file in stored:
        if stored[file].key[:8] in out:
            (folder / "results" / file.relative_to(store.folder())).unlink()
    with settings.environment({"COURSEKIT_RESULTS": str(folder / "results"), "COURSEKIT_TRAIN": "1"}):
        yield


def _compared(file: Path, stored: Result, again: Result | None) -> Audited:
    if again is None:
        return Audited(file, stored, None, math.inf, "not made again")
    parts = ("status", "history", "probes", "metrics")
    pairs = _numbers({part: getattr(stored, part) for part in parts}), _numbers({p: getattr(again, p) for p in parts})
    places = pairs[0].keys() | pairs[1].keys()
    worst = max(places, key=lambda place: _apart(pairs[0].get(place), pairs[1].get(place)))
    return Audited(file, stored, again, _apart(pairs[0].get(worst), pairs[1].get(worst)), worst)


def _numbers(value, place: str = "") -> dict[str, object]:
    """Every plain value with its place, without times."""
    if isinstance(value, dict):
        return {
            k: v
            for name, item in value.items()
            if name not in TIMES
            for k, v in _numbers(item, f"{place}.{name}").items()
        }
    if isinstance(value, list):
        return {k: v for number, item in enumerate(value) for k, v in _numbers(item, f"{place}[{number}]").items()}
    return {place.removeprefix("."): value}


def _apart(a, b) -> float:
    if a == b or (a != a and b != b):
        return 0.0
    if not isinstance(a, int | float) or not isinstance(b, int | float) or not math.isfinite(a - b):
        return math.inf
    return abs(a - b) / max(abs(a), abs(b))
