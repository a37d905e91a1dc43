"""A run as one value: what to train, on what, how; run once, then replayed from the results store."""

import copy
import inspect
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from coursekit import data, fingerprint, models, profiles, recall, results, splits, stacked, training
from coursekit.checkpoint import Progress
from coursekit.data import Dataset
from coursekit.errors import DataError, Diverged, UsageError
from coursekit.results import Result
from coursekit.splits import Splits
from coursekit.training import Journal

CHECKPOINT_SECONDS = 30
PIXELS = ("unit", "standard", "raw")
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class Experiment:
    """The whole configuration of a run, as values and callables; two equal ones are the same run.

    `validation` examples per class are held out, stratified, the same for every run (0: train on all). `train_size`
    cuts the training split to its first examples; `classes` keeps these alone, numbered from 0. `pixels`: "unit"
    [0, 1], "standard" mean 0, std 1 per channel (of the training split), "raw" [0, 255]. `precision` "bfloat16" is
    autocast where the device gains by it and float32 elsewhere; never for studies of gradients. `watch_test`
    evaluates the test set after every epoch, to compare with published series and for nothing else. `measure(model)`
    returns plain numbers to keep of the trained model; `keep_weights` keeps its best by validation, else the last.
    """

    model: Callable[[], nn.Module]
    optimizer: Callable[..., torch.optim.Optimizer]
    data: str
    epochs: int
    batch_size: int
    seed: int = 0
    validation: int = 0
    train_size: int | None = None
    classes: tuple[int, ...] | None = None
    pixels: str = "unit"
    augment: Callable | None = None
    initialization: str = "default"
    schedule: Callable[[int], float] | None = None
    schedule_by: str = "epoch"
    penalty: Callable | None = None
    label_smoothing: float = 0.0
    precision: str = "float32"
    probe: Callable | None = None
    probe_every: int = 10
    watch_test: bool = False
    measure: Callable[[nn.Module], Mapping] | None = None
    keep_weights: bool = False


def run(experiment: Experiment, name: str = "", refresh: bool = False) -> Result:
    """Train, or load what an equal experiment left in the results store; a diverged run is a result with that status.

    `refresh` trains in any case. Raises UsageError for unknown `pixels`, `precision` or `schedule_by`, and
    NotStored where `recall.refuse_hours` does.
    """
    stored = None if refresh else find(experiment)
    return stored or train_and_keep([experiment], [name])[0]


def find(experiment: Experiment) -> Result | None:
    """What an equal experiment on the data that `profiles.source` names left in the store; raises as `run` does."""
    _check_words(experiment)
    source = profiles.source()
    checksum = data.expected_sha256(experiment.data, source)
    stored = _stored(experiment, checksum)
    if stored is None:
        found = data.load(experiment.data, source).sha256
        if found != checksum:  # another copy than the published one: a run of its own
            stored = _stored(experiment, found)
    return stored


def train_and_keep(
    experiments: Sequence[Experiment], names: Sequence[str], keys: Sequence[str] = (), data_sha256: str = ""
) -> list[Result]:
    """Train and keep; several only when they can be `stacked`: equal but for model weights, seed and optimizer.

    `keys` are those of `key_of`, from a process that has the source of a notebook's functions, for these data;
    raises DataError where this machine has others.
    """
    for experiment in experiments:
        _check_words(experiment)
    start, device = time.perf_counter(), profiles.device()
    dataset = data.load(experiments[0].data, profiles.source())
    if keys and dataset.sha256 != data_sha256:
        raise DataError(f"{dataset.name} is another here ({dataset.source}) than for the sweep: give all one copy")
    recall.refuse_hours(names[0] or "run")
    keys = keys or [key_of(experiment, dataset.sha256) for experiment in experiments]
    folders = [results.folder() / "running" / key[:24] for key in keys]  # a run that is cut off goes on from here
    if len(experiments) == 1:
        outcomes = [_compute(experiments[0], dataset, device, folders[0])]
    else:
        outcomes = _compute_together(experiments, dataset, device, folders)
    seconds = (time.perf_counter() - start) / len(experiments)
    made = []
    for key, name, experiment, outcome in zip(keys, names, experiments, outcomes, strict=True):
        provenance = recall.provenance(dataset) | {
            "precision": "bfloat16" if _in_bfloat16(experiment) else "float32",
            "seconds": seconds,
            "stacked": len(experiments),
        }
        made.append(results.keep(_result(key, name, experiment, outcome, provenance), outcome.weights))
    for key, folder in zip(keys, folders, strict=True):
        if results.path(key).exists():  # on a full disk it does not, and the checkpoint is all there is
            shutil.rmtree(folder, ignore_errors=True)
    return made


def _check_words(experiment: Experiment) -> None:
    if experiment.pixels not in PIXELS:
        raise UsageError(f"no pixels {experiment.pixels!r}; choose {', '.join(PIXELS)}")
    if experiment.precision not in PRECISIONS:
        raise UsageError(f"no precision {experiment.precision!r}; choose {', '.join(PRECISIONS)}")
    if experiment.schedule_by not in ("epoch", "step"):
        raise UsageError(f"schedule_by must be 'epoch' or 'step', got {experiment.schedule_by!r}")


def _stored(experiment: Experiment, checksum: str) -> Result | None:
    found = results.load(key_of(experiment, checksum))
    lost = found and found.status == "ok" and experiment.keep_weights and results.load_weights(found) is None
    return None if lost else found


def key_of(experiment: Experiment, checksum: str) -> str:
    """The key of its result, on data of this SHA-256."""
    callables = [value for value in vars(experiment).values() if callable(value)]
    described = fingerprint.describe(experiment) | {"data_sha256": checksum}
    return fingerprint.key(described, _compute, _compute_together, *callables)


@dataclass(frozen=True)
class _Outcome:
    status: str
    progress: Progress
    metrics: dict
    weights: dict | None = None


def _result(key: str, name: str, experiment: Experiment, outcome: _Outcome, provenance: dict) -> Result:
    status, metrics, progress = outcome.status, outcome.metrics, outcome.progress
    if not all(math.isfinite(metrics[loss]) for loss in ("train_loss", "test_loss") if loss in metrics):
        status, metrics = "diverged", {}  # in the very last steps, which no training loss has seen
    provenance["exact"] = progress.exact
    described = fingerprint.describe(experiment)
    return Result(key, name, status, described, progress.history, progress.probes, metrics, provenance)


def _compute(experiment: Experiment, dataset: Dataset, device: torch.device, folder: Path) -> _Outcome:
    """Train one run; this function, the next and all they reach are part of every key."""
    parts = _split(experiment, dataset, device)
    model, optimizer = _begin(experiment, device)
    options = _options(experiment, folder)
    options |= dict(penalty=experiment.penalty, label_smoothing=experiment.label_smoothing)
    watched = _watched(experiment, parts)
    try:
        with _autocast(experiment, device):
            progress = training.fit(
                models.pooling_first(model), parts.train, watched, optimizer, experiment.epochs, **options
            )
    except Diverged as error:
        return _Outcome("diverged", error.progress, {})
    return _finish(experiment, model, parts, progress, device)


def _compute_together(
    experiments: Sequence[Experiment], dataset: Dataset, device: torch.device, folders: Sequence[Path]
) -> list[_Outcome]:
    """Train several as one. Checkpoints of different steps, as a kill may leave them, are taken up one by one."""
    first = experiments[0]
    parts = _split(first, dataset, device)
    trains = {experiment.seed: copy.copy(parts.train) for experiment in experiments}
    for seed, batches in trains.items():
        batches.seed = seed
    networks, optimizers = zip(*(_begin(experiment, device) for experiment in experiments), strict=True)
    stack = stacked.stack([models.pooling_first(model) for model in networks])
    with _autocast(first, device):
        journals = [
            Journal(
                model, trains[experiment.seed], _watched(experiment, parts), optimizer, **_options(experiment, folder)
            )
            for experiment, model, optimizer, folder in zip(experiments, stack.models, optimizers, folders, strict=True)
        ]
        if len({journal.progress.step for journal in journals}) > 1:
            return [_compute(one, dataset, device, folder) for one, folder in zip(experiments, folders, strict=True)]
        penalties = [experiment.penalty for experiment in experiments]
        diverged = stacked.fit(stack, journals, first.epochs, penalties, first.label_smoothing)
        last = zip(*(stacked.evaluate(stack, batches) for batches in (parts.train_in_order, parts.test)), strict=True)
    stack.unstack()
    return [
        _Outcome("diverged", error.progress, {})
        if error
        else _finish(experiment, model, parts, journal.progress, device, own)
        for experiment, model, journal, error, own in zip(experiments, networks, journals, diverged, last, strict=True)
    ]


def _split(experiment: Experiment, dataset: Dataset, device: torch.device) -> Splits:
    names = ("batch_size", "seed", "validation", "train_size", "classes", "pixels", "augment")
    return splits.split(dataset, device, **{name: getattr(experiment, name) for name in names})


def _watched(experiment: Experiment, parts: Splits) -> dict:
    watched = {} if parts.validation is None else {"val": parts.validation}
    return watched | ({"test": parts.test} if experiment.watch_test else {})


def _begin(experiment: Experiment, device: torch.device) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(experiment.seed)
    profiles.keep_freed_memory()
    model = models.initialize(experiment.model(), experiment.initialization)
    model = model.to(device, memory_format=torch.channels_last)  # as convolutions like it, and as the batches are
    chosen = getattr(experiment.optimizer, "keywords", {}).keys() & {"fused", "foreach", "differentiable"}
    fused = "fused" in inspect.signature(experiment.optimizer).parameters and not chosen
    return model, experiment.optimizer(model.parameters(), **({"fused": True} if fused else {}))


def _options(experiment: Experiment, folder: Path) -> dict:
    options = {name: getattr(experiment, name) for name in ("schedule", "schedule_by", "probe", "probe_every")}
    return options | {"folder": folder, "checkpoint_seconds": CHECKPOINT_SECONDS}


def _in_bfloat16(experiment: Experiment) -> bool:
    return experiment.precision == "bfloat16" and profiles.gains_by_bfloat16()


def _autocast(experiment: Experiment, device: torch.device) -> torch.autocast:
    # Cached casts would outlive the step that changes the weights.
    return torch.autocast(device.type, torch.bfloat16, enabled=_in_bfloat16(experiment), cache_enabled=False)


def _finish(
    experiment: Experiment, model: nn.Module, parts: Splits, progress: Progress, device: torch.device, last: tuple = ()
) -> _Outcome:
    """Loss and accuracy of the last weights on both splits (or `last`), then of the best, which stay, on the test."""
    metrics = dict(experiment.measure(model.eval())) if experiment.measure else {}
    with _autocast(experiment, device):
        last = last or [training.evaluate(model, batches) for batches in (parts.train_in_order, parts.test)]
        for name, values in zip(("train", "test"), last, strict=True):
            metrics[f"{name}_loss"], metrics[f"{name}_accuracy"] = tested = values
        if progress.best_state:
            model.load_state_dict(progress.best_state)
            best = max(progress.history, key=lambda row: row["val_accuracy"])  # the first of equals
            if best is not progress.history[-1]:
                tested = training.evaluate(model, parts.test)
            metrics["best_test_loss"], metrics["best_test_accuracy"] = tested
    return _Outcome("ok", progress, metrics, model.state_dict() if experiment.keep_weights else None)
