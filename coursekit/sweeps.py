"""Every variant with every seed: what is not in the results store is trained, alike runs together."""

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from tqdm import tqdm

from coursekit import experiment, fingerprint, profiles, stacked
from coursekit.experiment import Experiment
from coursekit.results import Result

TOGETHER = 8  # more gain little on two cores, and memory grows
OWN = ("model", "optimizer", "seed", "initialization", "schedule", "schedule_by", "penalty", "measure")
OWN += ("probe", "probe_every", "watch_test", "keep_weights", "fast")  # what runs of one stack may differ in
Run = tuple[str, int]  # variant and seed


def sweep(variants: Mapping[str, Experiment], seeds: Iterable[int], refresh: bool = False) -> dict[str, list[Result]]:
    """Every variant with every seed, as {variant: [result of each seed]}; says on stdout what was trained.

    On a CPU, missing runs of one architecture are trained together (see `stacked`): the numbers of single runs up to
    rounding, in a fraction of the time. Their provenance says how many were.
    """
    start, seeds = time.perf_counter(), list(seeds)
    wanted = {(name, seed): replace(variants[name], seed=seed) for name in variants for seed in seeds}
    done: dict[Run, Result] = {}
    with tqdm(total=len(wanted), unit="run", leave=False) as bar:
        for which, one in wanted.items():
            found = None if refresh else experiment.find(one)
            if found:
                done[which] = found
        bar.update(len(done))
        for group in _groups({which: one for which, one in wanted.items() if which not in done}):
            others = f" and {len(group) - 1} more" if len(group) > 1 else ""
            bar.set_description(f"{group[0][0]}, seed {group[0][1]}{others}")
            made = experiment.train_and_keep([wanted[which] for which in group], [name for name, _ in group])
            done |= zip(group, made, strict=True)
            bar.update(len(group))
    _report(list(done.values()), time.perf_counter() - start)
    return {name: [done[name, seed] for seed in seeds] for name in variants}


def _groups(missing: Mapping[Run, Experiment]) -> list[list[Run]]:
    """Runs that can be trained as one, at most TOGETHER; best with one seed, as these share their images."""
    alike: dict[str, list[Run]] = defaultdict(list)
    for which, one in missing.items():
        alike[_kind(one) or f"alone: {which}"].append(which)
    groups = []
    for runs in alike.values():
        seeds = sorted({seed for _, seed in runs})
        by_seed = [[run for run in runs if run[1] == seed] for seed in seeds]
        parts = by_seed if len(runs) >= 3 * len(seeds) else [runs]
        for part in parts:
            count = -(-len(part) // TOGETHER)
            groups += [part[i::count] for i in range(count)]
    return groups


def _kind(one: Experiment) -> str | None:
    """What runs of one stack have in common, in words; None for a run that must be trained alone."""
    model = one.model()
    if profiles.device().type != "cpu" or not stacked.can_stack(model):
        return None
    described = {name: value for name, value in fingerprint.describe(one).items() if name not in OWN}
    return json.dumps([str(model), described], sort_keys=True)


def _report(runs: list[Result], seconds: float) -> None:
    replayed = sum(result.replayed for result in runs)
    made_on = ", ".join(sorted({result.provenance["device"] for result in runs}))
    diverged = sum(result.status == "diverged" for result in runs)
    trained = f"; {len(runs) - replayed} trained in {seconds:.0f} s" if replayed < len(runs) else ""
    warning = f"; {diverged} diverged" if diverged else ""
    print(f"{len(runs)} runs made on {made_on}: {replayed} replayed from the results store{trained}{warning}")
