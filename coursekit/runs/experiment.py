"""A run as one value: what to train, on what, how; run once, then replayed from the results store."""

import copy
import inspect
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from coursekit import models, settings
from coursekit.data import batches, datasets
from coursekit.data.batches import Splits
from coursekit.data.datasets import Dataset
from coursekit.errors import DataError, Diverged, UsageError
from coursekit.models.networks import INITIALIZATIONS
from coursekit.runs import duration, fingerprint, store
from coursekit.runs.store import Result
from coursekit.training import checkpoint, loop, schedules, stacked
from coursekit.training.checkpoint import Progress
from coursekit.training.loop import Journal
from coursekit.training.losses import Loss, cross_entropy

CHECKPOINT_SECONDS = 30
PIXELS = ("unit", "standard", "raw")
PRECISIONS = ("float32", "bfloat16")
COUNTS = ("epoch", "step")  # of what a schedule is a function
LEAST = dict(epochs=1, batch_size=1, seed=0, validation=0, train_size=1, probe_every=1)


@dataclass(frozen=True)
class Experiment:
    """The whole configuration of a run, as values and callables; two equal ones are the same run.

    `validation` examples per class are held out, stratified, the same for each run (0: train on all). `train_size`
    cuts the training split to its first examples; `classes` keeps these alone, numbered from 0. `pixels`: "unit"
    [0, 1], "standard" mean 0, std 1 per channel (of the training split), "raw" [0, 255]. `precision` "bfloat16" is
    autocast where the device gains by it and float32 elsewhere; never for studies of gradients. `watch_test`
    evaluates the test set after every epoch, to compare with published series and for nothing else. `loss` is a
    `losses.Loss`; evaluations take it too, without `label_smoothing`, which is cross-entropy's. `measure(model)`
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
    loss: Loss = cross_entropy
    label_smoothing: float = 0.0
    precision: str = "float32"
    probe: Callable | None = None
    probe_every: int = 10
    watch_test: bool = False
    measure: Callable[[nn.Module], Mapping] | None = None
    keep_weights: bool = False

    def __post_init__(self):
        _check(self)


def _check(experiment: Experiment) -> None:
    """Raise UsageError for a setting out of its range, before anything is loaded or trained."""
    schedules.check(experiment.schedule)
    known = {"pixels": PIXELS, "precision": PRECISIONS, "schedule_by": COUNTS, "initialization": INITIALIZATIONS}
    for name, words in known.items():
        if getattr(experiment, name) not in words:
            raise UsageError(f"invalid {name} {getattr(experiment, name)!r}; expected one of {', '.join(words)}")
    for name, least in LEAST.items():
        value = getattr(experiment, name)
        if value is None and name == "train_size":
            continue
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise UsageError(f"invalid {name} {value!r}; expected a whole number of at least {least}")
    smallest = datasets.SMALLEST_CLASS.get(experiment.data)
    if smallest and experiment.validation >= smallest:
        raise UsageError(
            f"invalid validation {experiment.validation}; a class of {experiment.data} has {smallest} training images"
        )
    if not 0 <= experiment.label_smoothing < 1:
        raise UsageError(f"invalid label_smoothing {experiment.label_smoothing}; expected 0 or more, less than 1")
    if experiment.label_smoothing and experiment.loss is not cross_entropy:
        raise UsageError("label_smoothing belongs to cross_entropy; hand over a loss that smooths by itself")
    classes = experiment.classes
    if classes is not None and (len(set(classes)) < max(2, len(classes)) or not set(classes) <= set(range(10))):
        raise UsageError(
            f"invalid classes {list(classes)}; expected two or more different numbers of classes, from 0 to 9"
        )


def run(experiment: Experiment, name: str = "", refresh: bool = False) -> Result:
    """Train, or load what an equal experiment left in the results store; a diverged run is a result with that status.

    `refresh` retrains. Raises NotStored where `duration.refuse_long` does.
    """
    stored = None if refresh else find(experiment)
    if stored:
        return stored
    duration.refuse_long([experiment])
    return train_and_keep([experiment], [name])[0]


def find(experiment: Experiment) -> Result | None:
    """What an equal experiment on the data that `settings.source` names left in the store."""
    checksum = datasets.expected_sha256(experiment.data)
    stored = _stored(experiment, checksum)
    if stored is None:
        loaded = datasets.load(experiment.data).sha256
        if loaded != checksum:  # another copy than the published one: a run of its own
            stored = _stored(experiment, loaded)
    return stored


def _stored(experiment: Experiment, checksum: str) -> Result | None:
    stored = store.load(key_of(experiment, checksum))
    lost = stored and stored.status == "ok" and experiment.keep_weights and store.load_weights(stored) is None
    return None if lost else stored


def key_of(experiment: Experiment, checksum: str) -> str:
    """The key of its result, on data of this SHA-256."""
    handed_over = [value for value in vars(experiment).values() if callable(value)]
    return fingerprint.key(fingerprint.describe(experiment) | {"data_sha256": checksum}, *handed_over)


def train_and_keep(
    experiments: Sequence[Experiment],
    names: Sequence[str],
    keys: Sequence[str] = (),
    data_sha256: str = "",
    on_step: Callable[[str, Progress], None] | None = None,
) -> list[Result]:
    """Train and keep; several only when they can be `stacked`: equal but for model weights, seed and optimizer.

    `keys` are those of `key_of`, from a process that has the source of a notebook's functions, for these data;
    raises DataError where this machine has others. `on_step(name, progress)` is called after every step of each run.
    """
    start, device = time.perf_counter(), settings.device()
    dataset = datasets.load(experiments[0].data)
    if keys and dataset.sha256 != data_sha256:
        raise DataError(f"{dataset.name} is another here ({dataset.source}) than for the sweep: give all one copy")
    keys = keys or [key_of(experiment, dataset.sha256) for experiment in experiments]
    runs = [
        _Run(experiment, store.running(key), on_step and partial(on_step, name))
        for experiment, key, name in zip(experiments, keys, names, strict=True)
    ]
    outcomes = _train_together(runs, dataset, device) if len(runs) > 1 else [_train(runs[0], dataset, device)]
    seconds = (time.perf_counter() - start) / len(runs)
    kept = []
    for key, name, run, outcome in zip(keys, names, runs, outcomes, strict=True):
        provenance = store.provenance(dataset) | {
            "device": settings.device_name(outcome.progress.threads),
            "precision": settings.precision_here(run.experiment.precision),
            "seconds": seconds,
            "exact": outcome.progress.exact,
            "stacked": [key[:8] for key in keys] if outcome.stacked else [],
        }
        kept.append(store.keep(_result(key, name, run.experiment, outcome, provenance), outcome.weights))
    for key, run in zip(keys, runs, strict=True):
        if store.load(key):  # on a full disk it is not there, and the checkpoint is all there is
            shutil.rmtree(run.folder, ignore_errors=True)
    return kept


class _Run(NamedTuple):
    """What is to be trained, where its checkpoints are, and the callback for each step."""

    experiment: Experiment
    folder: Path
    on_step: Callable[[Progress], None] | None

    def options(self) -> dict:
        """The options of `training.fit` and `training.Journal` that a single run and one of a stack share."""
        names = ("loss", "schedule", "schedule_by", "probe", "probe_every")
        own = {name: getattr(self.experiment, name) for name in names}
        return own | dict(folder=self.folder, checkpoint_seconds=CHECKPOINT_SECONDS, on_step=self.on_step)


@dataclass(frozen=True)
class _Outcome:
    status: str
    progress: Progress
    metrics: dict
    weights: dict | None = None
    stacked: bool = False


def _result(key: str, name: str, experiment: Experiment, outcome: _Outcome, provenance: dict) -> Result:
    status, metrics, progress = outcome.status, outcome.metrics, outcome.progress
    if not all(math.isfinite(metrics[loss]) for loss in ("train_loss", "test_loss") if loss in metrics):
        status, metrics = "diverged", {}  # in the very last steps, which no training loss has seen
    described = fingerprint.describe(experiment)
    return Result(key, name, status, described, progress.history, progress.probes, metrics, provenance)


def _train(run: _Run, dataset: Dataset, device: torch.device) -> _Outcome:
    experiment = run.experiment
    parts = _split(experiment, dataset, device)
    model, optimizer = _begin(experiment, device)
    own = dict(penalty=experiment.penalty, label_smoothing=experiment.label_smoothing)
    watched = _watched(experiment, parts)
    with settings.autocast(experiment.precision):
        try:
            progress = loop.fit(
                models.pooling_first(model), parts.train, watched, optimizer, experiment.epochs, **own, **run.options()
            )
        except Diverged as error:
            return _Outcome("diverged", error.progress, {})
        last = [loop.evaluate(model, part, experiment.loss) for part in (parts.train_in_order, parts.test)]
    return _finish(experiment, model, parts, progress, device, last)


def _train_together(runs: Sequence[_Run], dataset: Dataset, device: torch.device) -> list[_Outcome]:
    """Train several as one, from the last step that all of them have a checkpoint of."""
    folders = [run.folder for run in runs]
    step = checkpoint.common_step(folders)
    if step is None:  # a run that diverged has none of the later ones
        outcomes = [_train(run, dataset, device) for run in runs]
        for outcome in outcomes:
            outcome.progress.exact = False
        return outcomes
    first = runs[0].experiment
    parts = _split(first, dataset, device)
    trains = {run.experiment.seed: copy.copy(parts.train) for run in runs}
    for seed, train in trains.items():
        train.seed = seed
    networks, optimizers = zip(*(_begin(run.experiment, device) for run in runs), strict=True)
    stack = stacked.stack([models.pooling_first(model) for model in networks])
    place = dict(company=checkpoint.company(folders), step=step)
    with settings.autocast(first.precision):
        journals = [
            Journal(
                model,
                trains[run.experiment.seed],
                _watched(run.experiment, parts),
                optimizer,
                **run.options(),
                **place,
            )
            for run, model, optimizer in zip(runs, stack.models, optimizers, strict=True)
        ]
        penalties = [run.experiment.penalty for run in runs]
        errors = stacked.fit(stack, journals, first.epochs, penalties, first.label_smoothing, first.loss)
        scores = [[None] * len(runs)] * 2
        if not all(errors):
            scores = [stacked.evaluate(stack, part, first.loss) for part in (parts.train_in_order, parts.test)]
    stack.unstack()
    return [
        _Outcome("diverged", error.progress, {}, stacked=True)
        if error
        else replace(_finish(run.experiment, model, parts, journal.progress, device, last), stacked=True)
        for run, model, journal, error, last in zip(
            runs, networks, journals, errors, zip(*scores, strict=True), strict=True
        )
    ]


def _split(experiment: Experiment, dataset: Dataset, device: torch.device) -> Splits:
    names = ("batch_size", "seed", "validation", "train_size", "classes", "pixels", "augment")
    return batches.split(dataset, device, **{name: getattr(experiment, name) for name in names})


def _watched(experiment: Experiment, parts: Splits) -> dict:
    watched = {} if parts.validation is None else {"val": parts.validation}
    return watched | ({"test": parts.test} if experiment.watch_test else {})


def _begin(experiment: Experiment, device: torch.device) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(experiment.seed)
    settings.keep_freed_memory()
    model = models.initialize(experiment.model(), experiment.initialization)
    model = model.to(device, memory_format=torch.channels_last)  # as convolutions like it, and as the batches are
    chosen = getattr(experiment.optimizer, "keywords", {}).keys() & {"fused", "foreach", "differentiable"}
    fused = "fused" in inspect.signature(experiment.optimizer).parameters and not chosen
    return model, experiment.optimizer(model.parameters(), **({"fused": True} if fused else {}))


def _finish(
    experiment: Experiment,
    model: nn.Module,
    parts: Splits,
    progress: Progress,
    device: torch.device,
    last: Sequence[tuple[float, float]],
) -> _Outcome:
    """With loss and accuracy of the `last` weights on both splits; then of the best, which stay, on the test split."""
    metrics = dict(experiment.measure(model.eval())) if experiment.measure else {}
    for split, tested in zip(("train", "test"), last, strict=True):
        metrics[f"{split}_loss"], metrics[f"{split}_accuracy"] = tested
    if progress.best_state:
        model.load_state_dict(progress.best_state)
        best = max(progress.history, key=lambda row: row["val_accuracy"])  # the first of equals
        if best is not progress.history[-1]:
            with settings.autocast(experiment.precision):
                tested = loop.evaluate(model, parts.test, experiment.loss)
        metrics["best_test_loss"], metrics["best_test_accuracy"] = tested
    return _Outcome("ok", progress, metrics, model.state_dict() if experiment.keep_weights else None)
