"""Ours and the peers in turn: with one thread by the time of the process, with all threads by the clock."""

import statistics
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import NamedTuple

from benchmarks import timing
from benchmarks.peers.contestants import FIXED, MATCHES, ONE_THREAD, OURS, Match
from benchmarks.peers.neighbour import Neighbour
from benchmarks.peers.pace import Slice
from benchmarks.peers.workers import Failed, Worker

Slices = dict[str, list[Slice]]


class Plan(NamedTuple):
    """How much is measured; `short` is a test with drawn data."""

    rounds: int
    seconds: float  # of a slice, which ends with a step
    short: bool = False


class Pool:
    """A process for each contestant, started when it is first needed; in a round they train one after the other."""

    def __init__(self, one_thread: bool, plan: Plan, neighbour: Neighbour, left_out: dict[str, str]):
        self.one_thread, self.plan, self.neighbour, self.left_out = one_thread, plan, neighbour, left_out
        self.workers: dict[str, Worker] = {}
        self.training: list[str] = []

    @contextmanager
    def trained(self, match: Match) -> Iterator[dict[str, float]]:
        """Inside the block they train this workload; gives the CPU seconds up to the first step of each."""
        self._leave_out({c.name: f"not installed: {', '.join(c.missing)}" for c in match.contestants if c.missing})
        chosen = {c.name: c for c in match.contestants if c.name not in self.left_out}
        for name, contestant in chosen.items():
            if name not in self.workers:
                self.workers[name] = Worker(self.one_thread)
            self.workers[name].begin(contestant.train, match.workload, self.plan.short)
        self.training = list(chosen)
        yield {name: first.cpu for name, first in self._each(lambda name: self.workers[name].first_step())}
        for name in self.training:
            self.workers[name].leave()

    def rounds(self) -> Slices:
        """The slices of some rounds, after one in which all get used to the machine as it is now."""
        self._round(changed=True)
        rounds = [self._round() for _ in range(self.plan.rounds)]
        return {name: [slices[name] for slices in rounds] for name in self.training}

    def close(self) -> None:
        """End the processes."""
        for worker in self.workers.values():
            worker.close()

    def _round(self, changed: bool = False) -> dict[str, Slice]:
        def ask(name: str) -> Slice:
            before = self.neighbour.reading()
            done = self.workers[name].slice(self.plan.seconds, changed)
            return done._replace(neighbour=self.neighbour.rate_since(before))

        return dict(self._each(ask))

    def _each(self, ask: Callable[[str], Slice]) -> Iterator[tuple[str, Slice]]:
        for name in list(self.training):
            try:
                yield name, ask(name)
            except Failed as error:
                if name == OURS:
                    raise
                self.training.remove(name)
                self._leave_out({name: f"failed: {error}"})

    def _leave_out(self, reasons: dict[str, str]) -> None:
        for name in reasons.keys() - self.left_out.keys():
            print(f"{name} left out, {reasons[name]}", flush=True)
            self.left_out[name] = reasons[name]


def peers(plan: Plan) -> dict:
    """All matches: rows of `one_thread`, `quiet` and `beside` a neighbour, what it suffers, who was left out."""
    matches = MATCHES[:1] if plan.short else MATCHES
    found: dict = {"one_thread": [], "quiet": [], "beside": [], "neighbour": [], "left_out": {}}
    with closing(Neighbour()) as neighbour:
        with closing(Pool(True, plan, neighbour, found["left_out"])) as pool:
            for match in matches:
                found["one_thread"] += one_thread(pool, match)
        with closing(Pool(False, plan, neighbour, found["left_out"])) as pool:
            for match in matches:
                all_threads(pool, match, found)
    return found


def one_thread(pool: Pool, match: Match) -> list[dict]:
    """By CPU time, so that a busy machine does not matter much."""
    with pool.trained(match) as starts:
        return rows(match, pool.rounds(), "cpu", starts)


def all_threads(pool: Pool, match: Match, found: dict) -> None:
    """By the clock, first with the machine to themselves and then beside a busy neighbour."""
    if match.workload.runs == 1:
        match = replace(match, contestants=(*match.contestants, FIXED))
    with pool.trained(match) as starts:
        quiet = pool.rounds()
        with pool.neighbour.busy():
            beside = pool.rounds()
            alone = pool.neighbour.rates_alone(pool.plan.rounds, pool.plan.seconds)
    found["quiet"] += rows(match, quiet, "wall", starts)
    found["beside"] += rows(match, beside, "wall", starts)
    if ONE_THREAD in beside:
        found["neighbour"].append(neighbour_row(match, quiet, beside, alone))


def rows(match: Match, slices: Slices, clock: str, starts: dict[str, float]) -> list[dict]:
    """µs an image of each contestant, and ours / theirs, paired by rounds."""
    us = {name: [1e6 * getattr(s, clock) / s.steps / match.images for s in each] for name, each in slices.items()}
    made = []
    for name, times in us.items():
        row = {"network": match.name, "batch": match.workload.batch_size, "contestant": name}
        row |= {"us": statistics.median(times), "start": starts[name], "ratio": timing.ratio(us[OURS], times)}
        print("{network}, {batch}, {contestant}, {clock}: {us:.1f} µs".format(clock=clock, **row), flush=True)
        made.append(row)
    return made


def neighbour_row(match: Match, quiet: Slices, beside: Slices, alone: list[float]) -> dict:
    """How much slower we are beside it than with one thread and nobody there; how fast its own loop is beside us."""
    seconds = [[s.wall / s.steps for s in slices] for slices in (beside[OURS], quiet[ONE_THREAD])]
    rates = {name: [s.neighbour for s in beside[name]] for name in (OURS, ONE_THREAD)}
    return {
        "network": match.name,
        "slower": timing.ratio(*seconds),
        "alone": statistics.median(alone),
        "one_thread": statistics.median(rates[ONE_THREAD]),
        "ours": statistics.median(rates[OURS]),
        "kept": timing.ratio(rates[OURS], rates[ONE_THREAD]),
    }
