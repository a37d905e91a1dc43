"""Every variant with every seed: what is not in the results store is trained, alike runs together."""

import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from operator import methodcaller

import pandas as pd

from coursekit import settings
from coursekit.analysis import history
from coursekit.analysis.history import Comparison, Spread
from coursekit.errors import UsageError
from coursekit.runs import dispatch, duration, experiment, fingerprint, progress
from coursekit.runs.dispatch import Run, State
from coursekit.runs.executors import Factory
from coursekit.runs.experiment import Experiment
from coursekit.runs.store import Result
from coursekit.training import stacked

TOGETHER = 8  # more gain little, and memory grows
OWN = ("model", "optimizer", "seed", "initialization", "schedule", "schedule_by", "penalty", "measure")
OWN += ("probe", "probe_every", "watch_test", "keep_weights")  # what runs of one stack may differ in
Watch = Callable[[Mapping[Run, Result], Iterable[Run], Iterable[Run]], None]


class Runs(dict[str, list[Result]]):
    """{variant: its runs in the order of seeds}, with the questions that are asked of them."""

    def __or__(self, other: Mapping[str, list[Result]]) -> "Runs":
        return Runs({**self, **other})

    @property
    def ok(self) -> "Runs":
        """Those that ended well."""
        return Runs({name: [run for run in runs if run.status == "ok"] for name, runs in self.items()})

    def frame(self) -> pd.DataFrame:
        """One row per variant, seed and epoch."""
        return history.to_frame(self)

    def each(self, read: Callable[[Result], float]) -> dict[str, Spread]:
        """A number of every run, over the seeds of each variant."""
        return {name: Spread(map(read, runs)) for name, runs in self.items()}

    def final(self, metric: str) -> dict[str, Spread]:
        """The metric as measured after the training."""
        return self.each(lambda run: run.final(metric))

    def last(self, metric: str) -> dict[str, Spread]:
        """The metric of the last epoch."""
        return self.each(lambda run: run.last(metric))

    def best(self, metric: str) -> dict[str, Spread]:
        """The best of the metric over the epochs of each run."""
        return self.each(lambda run: run.best(metric))

    def first_epoch(self, metric: str, level: float) -> dict[str, Spread]:
        """The first epoch in which the metric reaches a level; infinite where one never does."""
        return self.each(lambda run: run.first_epoch(metric, level))

    def table(self, columns: Mapping[str, Mapping[str, Spread]], form: str = ".3f") -> pd.DataFrame:
        """A row for each variant; `columns` are {title: what a method above returned}."""
        cells = {title: [f"{spreads[name]:{form}}" for name in self] for title, spreads in columns.items()}
        return pd.DataFrame(cells, index=pd.Index(list(self), name="variant"))

    def compare(
        self,
        a: str,
        b: str,
        metric: str | Callable[[Result], float],
        equal_within: float | None = None,
        *,
        at: str = "final",
        lower_is_better: bool | None = None,
    ) -> Comparison:
        """Variant a against b over the seeds that both have, as `history.compare`.

        `at` names the method of `Result` that reads the metric: "final", "last" or "best". A function of a run reads a
        number by itself. Lower is better by default where the metric's name ends in "loss".
        """
        read = metric if callable(metric) else methodcaller(at, metric)
        values = [{run.seed: read(run) for run in self[name]} for name in (a, b)]
        shared = [seed for seed in values[0] if seed in values[1]]
        pairs = ([of_seed[seed] for seed in shared] for of_seed in values)
        if lower_is_better is None:
            lower_is_better = isinstance(metric, str) and metric.endswith("loss")
        return history.compare(*pairs, equal_within, lower_is_better)

    def against(self, baseline: str, metric: str | Callable[[Result], float], **options) -> dict[str, Comparison]:
        """Every other variant compared with a baseline; the options are those of `compare`."""
        return {name: self.compare(name, baseline, metric, **options) for name in self if name != baseline}


def sweep(
    variants: Mapping[str, Experiment],
    seeds: Iterable[int],
    refresh: bool = False,
    executor: Factory | None = None,
    together: int = TOGETHER,
    watch: Watch | None = None,
    plot: bool = False,
) -> Runs:
    """Every variant with every seed; says on stdout what was trained.

    On a CPU, missing runs of one architecture are trained together, at most `together` of them (see `stacked`): the
    numbers of single runs up to rounding, in a fraction of the time. Their provenance says which were.

    `executor` makes a `concurrent.futures.Executor` (see `executors` and `cluster`): the numbers are those of any other
    with as many threads for a run, bit for bit on one kind of machine. Then a run that raises is "failed", one whose
    worker died three times is "lost", the others go on; stderr says which. Without it what a run raises ends the sweep.
    `watch(results so far, runs that are being trained, all runs)` is called at every change instead of a bar. With
    `plot` the losses so far are drawn below the bar; runs of an `executor` are not. Raises UsageError for two equal
    seeds, and NotStored where `duration.refuse_long` does.
    """
    start, seeds = time.perf_counter(), list(seeds)
    if len(set(seeds)) < len(seeds):
        raise UsageError(f"invalid seeds {seeds}; expected each of them once")
    wanted = {(name, seed): replace(variants[name], seed=seed) for name in variants for seed in seeds}
    stored = {run: None if refresh else experiment.find(wanted[run]) for run in wanted}
    done = {run: result for run, result in stored.items() if result}
    missing = {run: wanted[run] for run in wanted if run not in done}
    duration.refuse_long(missing.values())
    groups = _groups(missing, together)
    with progress.Show(0 if watch else sum(e.epochs for e in missing.values()), plot and not executor) as show:
        trained = dispatch.train(groups, wanted, executor) if executor and groups else _here(groups, wanted, show.step)
        for made, running in trained:
            done |= made
            show.change(sum(wanted[run].epochs for run in made), _in_words(running))
            if watch:
                watch(done, running, wanted)
    _report(list(done.values()), time.perf_counter() - start)
    return Runs({name: [done[name, seed] for seed in seeds] for name in variants})


def _here(groups: Iterable[list[Run]], wanted: Mapping[Run, Experiment], on_step: Callable) -> Iterator[State]:
    for group in groups:
        yield {}, group
        names = [name for name, _ in group]
        made = experiment.train_and_keep([wanted[run] for run in group], names, on_step=on_step)
        yield dict(zip(group, made, strict=True)), []


def _in_words(running: list[Run]) -> str:
    if not running:
        return ""
    others = f" and {len(running) - 1} more" if len(running) > 1 else ""
    return f"{running[0][0]}, seed {running[0][1]}{others}"


def _groups(missing: Mapping[Run, Experiment], together: int = TOGETHER) -> list[list[Run]]:
    """Runs that can be trained as one, at most `together`; best with one seed, as these share their images."""
    alike: dict[str, list[Run]] = defaultdict(list)
    for run, configuration in missing.items():
        alike[_kind(configuration) or f"alone: {run}"].append(run)
    groups = []
    for runs in alike.values():
        seeds = sorted({seed for _, seed in runs})
        by_seed = [[run for run in runs if run[1] == seed] for seed in seeds]
        parts = by_seed if len(runs) >= 3 * len(seeds) else [runs]
        for part in parts:
            count = -(-len(part) // together)
            groups += [part[i::count] for i in range(count)]
    return groups


def _kind(configuration: Experiment) -> str | None:
    """What runs of one stack have in common, in words; None for a run that must be trained alone."""
    model = configuration.model()
    if settings.device().type != "cpu" or not stacked.can_stack(model):
        return None
    described = {name: value for name, value in fingerprint.describe(configuration).items() if name not in OWN}
    codes = fingerprint.key("", configuration.augment, configuration.loss)  # one name may be two codes
    return json.dumps([stacked.plan(model), described, codes], sort_keys=True)


def _report(runs: list[Result], seconds: float) -> None:
    replayed = sum(result.replayed for result in runs)
    statuses = Counter(result.status for result in runs)
    made = len(runs) - statuses["failed"] - statuses["lost"]
    devices = ", ".join(sorted({result.provenance["device"] for result in runs if "device" in result.provenance}))
    text = f"{len(runs)} runs made on {devices or 'no device'}: {replayed} replayed from the results store"
    text += f"; {made - replayed} trained in {seconds:.0f} s" if replayed < made else ""
    print(text + "".join(f"; {statuses[s]} {s}" for s in ("diverged", "failed", "lost") if statuses[s]))
