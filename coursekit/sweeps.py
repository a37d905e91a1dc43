"""Every variant with every seed: what is not in the results store is trained, alike runs together."""

import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from coursekit import dispatch, experiment, fingerprint, live, profiles, stacked
from coursekit.dispatch import Run, State
from coursekit.engines import Factory
from coursekit.experiment import Experiment
from coursekit.results import Result

TOGETHER = 8  # more gain little on two cores, and memory grows
OWN = ("model", "optimizer", "seed", "initialization", "schedule", "schedule_by", "penalty", "measure")
OWN += ("probe", "probe_every", "watch_test", "keep_weights")  # what runs of one stack may differ in
Watch = Callable[[Mapping[Run, Result], Iterable[Run], Iterable[Run]], None]


def sweep(
    variants: Mapping[str, Experiment],
    seeds: Iterable[int],
    refresh: bool = False,
    executor: Factory | None = None,
    together: int = TOGETHER,
    watch: Watch | None = None,
    plot: bool = False,
) -> dict[str, list[Result]]:
    """Every variant with every seed, as {variant: [result of each seed]}; says on stdout what was trained.

    On a CPU, missing runs of one architecture are trained together, at most so many (see `stacked`): the numbers of
    single runs up to rounding, in a fraction of the time. Their provenance says how many were.

    `executor` makes a `concurrent.futures.Executor` (see `engines` and `cluster`): the numbers are those of any other
    with as many threads for a run, bit for bit on one kind of machine. Then a run that raises is "failed", one whose
    worker died three times is "lost", the others go on; stderr says which. Without it what a run raises ends the sweep.
    `watch(results so far, runs that are being trained, all runs)` is called at every change instead of a bar. With
    `plot` the losses so far are drawn below the bar; runs of an `executor` are not.
    """
    start, seeds = time.perf_counter(), list(seeds)
    wanted = {(name, seed): replace(variants[name], seed=seed) for name in variants for seed in seeds}
    found = {which: None if refresh else experiment.find(one) for which, one in wanted.items()}
    done = {which: result for which, result in found.items() if result}
    missing = {which: one for which, one in wanted.items() if which not in done}
    groups = _groups(missing, together)
    with live.Show(0 if watch else sum(one.epochs for one in missing.values()), plot and not executor) as show:
        for made, running in dispatch.train(groups, wanted, executor) if executor and groups else _here(groups, wanted):
            done |= made
            show.change(sum(wanted[which].epochs for which in made), [name for name, _ in running], _in_words(running))
            if watch:
                watch(done, running, wanted)
    _report(list(done.values()), time.perf_counter() - start)
    return {name: [done[name, seed] for seed in seeds] for name in variants}


def _here(groups: Iterable[list[Run]], wanted: Mapping[Run, Experiment]) -> Iterator[State]:
    for group in groups:
        yield {}, group
        made = experiment.train_and_keep([wanted[which] for which in group], [name for name, _ in group])
        yield dict(zip(group, made, strict=True)), []


def _in_words(running: list[Run]) -> str:
    if not running:
        return ""
    others = f" and {len(running) - 1} more" if len(running) > 1 else ""
    return f"{running[0][0]}, seed {running[0][1]}{others}"


def _groups(missing: Mapping[Run, Experiment], together: int = TOGETHER) -> list[list[Run]]:
    """Runs that can be trained as one, at most `together`; best with one seed, as these share their images."""
    alike: dict[str, list[Run]] = defaultdict(list)
    for which, one in missing.items():
        alike[_kind(one) or f"alone: {which}"].append(which)
    groups = []
    for runs in alike.values():
        seeds = sorted({seed for _, seed in runs})
        by_seed = [[run for run in runs if run[1] == seed] for seed in seeds]
        parts = by_seed if len(runs) >= 3 * len(seeds) else [runs]
        for part in parts:
            count = -(-len(part) // together)
            groups += [part[i::count] for i in range(count)]
    return groups


def _kind(one: Experiment) -> str | None:
    """What runs of one stack have in common, in words; None for a run that must be trained alone."""
    model = one.model()
    if profiles.device().type != "cpu" or not stacked.can_stack(model):
        return None
    described = {name: value for name, value in fingerprint.describe(one).items() if name not in OWN}
    augment = fingerprint.key("", one.augment) if one.augment else ""  # two of one name may differ in their code
    return json.dumps([stacked.plan(model), described, augment], sort_keys=True)


def _report(runs: list[Result], seconds: float) -> None:
    replayed = sum(result.replayed for result in runs)
    statuses = Counter(result.status for result in runs)
    made = len(runs) - statuses["failed"] - statuses["lost"]
    made_on = ", ".join(sorted({result.provenance["device"] for result in runs if "device" in result.provenance}))
    said = f"{len(runs)} runs made on {made_on or 'no device'}: {replayed} replayed from the results store"
    said += f"; {made - replayed} trained in {seconds:.0f} s" if replayed < made else ""
    print(said + "".join(f"; {statuses[s]} {s}" for s in ("diverged", "failed", "lost") if statuses[s]))
