"""A run as one value: what to train, on what, how; run once, then replayed from the results store."""

import functools
import inspect
import math
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from coursekit import data, fingerprint, models, profiles, recall, results, training
from coursekit.batches import Batches, channel_statistics, stratified
from coursekit.checkpoint import Progress
from coursekit.data import Dataset
from coursekit.errors import Diverged, UsageError
from coursekit.results import Result

EVALUATION_BATCH = 1000
CHECKPOINT_SECONDS = 30
PIXELS = ("unit", "standard", "raw")
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class Experiment:
    """The whole configuration of a run, as values and callables; two equal ones are the same run.

    `validation` examples per class are held out, stratified, the same for every run (0: train on all). `train_size`
    cuts the training split to its first examples; `classes` keeps these alone, numbered from 0. `pixels`: "unit"
    [0, 1], "standard" mean 0, std 1 per channel (of the training split), "raw" [0, 255]. `precision` "bfloat16" is
    autocast where the device gains by it and float32 elsewhere; never for studies of gradients. `fast` lays kernels
    channels-last in memory and updates all parameters in one kernel: other rounding, nothing else. `watch_test`
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
    fast: bool = False
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
    if experiment.pixels not in PIXELS:
        raise UsageError(f"no pixels {experiment.pixels!r}; choose {', '.join(PIXELS)}")
    if experiment.precision not in PRECISIONS:
        raise UsageError(f"no precision {experiment.precision!r}; choose {', '.join(PRECISIONS)}")
    if experiment.schedule_by not in ("epoch", "step"):
        raise UsageError(f"schedule_by must be 'epoch' or 'step', got {experiment.schedule_by!r}")
    source = profiles.source()
    checksum = data.expected_sha256(experiment.data, source)
    stored = None if refresh else _stored(experiment, checksum)
    if stored:
        return stored
    dataset = data.load(experiment.data, source)
    if dataset.sha256 != checksum:  # another copy than the published one: a run of its own
        stored = None if refresh else _stored(experiment, dataset.sha256)
        if stored:
            return stored
    recall.refuse_hours(name or "run")
    result = _train(experiment, dataset, name)
    return results.keep(result)


def sweep(variants: Mapping[str, Experiment], seeds: Iterable[int], refresh: bool = False) -> dict[str, list[Result]]:
    """Every variant with every seed, as {variant: [result of each seed]}; says on stdout what was trained."""
    start, seeds = time.perf_counter(), list(seeds)
    found: dict[str, list[Result]] = {name: [] for name in variants}
    with tqdm(total=len(variants) * len(seeds), unit="run", leave=False) as bar:
        for name, experiment in variants.items():
            for seed in seeds:
                bar.set_description(f"{name}, seed {seed}")
                found[name].append(run(replace(experiment, seed=seed), name, refresh))
                bar.update()
    runs = [result for row in found.values() for result in row]
    replayed = sum(result.replayed for result in runs)
    made_on = ", ".join(sorted({result.provenance["device"] for result in runs}))
    diverged = sum(result.status == "diverged" for result in runs)
    warning = f"; {diverged} diverged" if diverged else ""
    seconds = f"; {len(runs) - replayed} trained in {time.perf_counter() - start:.0f} s" if replayed < len(runs) else ""
    print(f"{len(runs)} runs made on {made_on}: {replayed} replayed from the results store{seconds}{warning}")
    return found


def _stored(experiment: Experiment, checksum: str) -> Result | None:
    found = results.load(_key(experiment, checksum))
    lost = found and found.status == "ok" and experiment.keep_weights and results.load_weights(found) is None
    return None if lost else found


def _key(experiment: Experiment, checksum: str) -> str:
    callables = [value for value in vars(experiment).values() if callable(value)]
    return fingerprint.key(fingerprint.describe(experiment) | {"data_sha256": checksum}, _compute, *callables)


def _train(experiment: Experiment, dataset: Dataset, name: str) -> Result:
    start = time.perf_counter()
    device = profiles.device()
    key, described = _key(experiment, dataset.sha256), fingerprint.describe(experiment)
    folder = results.folder() / "running" / key[:24]  # a run that is cut off goes on from here
    status, progress, metrics, weights = _compute(experiment, dataset, device, folder)
    shutil.rmtree(folder, ignore_errors=True)
    if not all(math.isfinite(metrics[loss]) for loss in ("train_loss", "test_loss") if loss in metrics):
        status, metrics = "diverged", {}  # in the very last steps, which no training loss has seen
    provenance = recall.provenance(dataset) | {
        "precision": "bfloat16" if _in_bfloat16(experiment) else "float32",
        "seconds": time.perf_counter() - start,
        "exact": progress.exact,
    }
    if weights is not None:
        provenance["weights_sha256"] = results.save_weights(key, weights)
    return Result(key, name, status, described, progress.history, progress.probes, metrics, provenance)


def _fused(experiment: Experiment) -> dict:
    has_one = "fused" in inspect.signature(experiment.optimizer).parameters
    return {"fused": True} if experiment.fast and has_one else {}


def _in_bfloat16(experiment: Experiment) -> bool:
    return experiment.precision == "bfloat16" and profiles.gains_by_bfloat16()


def _compute(
    experiment: Experiment, dataset: Dataset, device: torch.device, folder: Path
) -> tuple[str, Progress, dict, dict | None]:
    """Status, progress, metrics and the weights to keep; this function and all it reaches are part of the key."""
    torch.manual_seed(experiment.seed)
    model = models.initialize(experiment.model(), experiment.initialization).to(device)
    if experiment.fast:
        model = model.to(memory_format=torch.channels_last)
    optimizer = experiment.optimizer(model.parameters(), **_fused(experiment))
    train, evaluations, test, train_again = _batches(experiment, dataset, device)
    options = ("schedule", "schedule_by", "penalty", "label_smoothing", "probe", "probe_every")
    options = {name: getattr(experiment, name) for name in options}
    options |= dict(folder=folder, checkpoint_seconds=CHECKPOINT_SECONDS)
    # Cached casts would outlive the step that changes the weights.
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=_in_bfloat16(experiment), cache_enabled=False)
    try:
        with autocast:
            progress = training.fit(model, train, evaluations, optimizer, experiment.epochs, **options)
    except Diverged as error:
        return "diverged", error.progress, {}, None
    metrics = dict(experiment.measure(model.eval())) if experiment.measure else {}
    with autocast:
        metrics |= _scores(model, train_again, test, progress.best_state)
    return "ok", progress, metrics, model.state_dict() if experiment.keep_weights else None


def _scores(model: nn.Module, train: Batches, test: Batches, best: dict | None) -> dict:
    """Loss and accuracy of the last weights on both splits, then of the best by validation, which stay, on the test."""
    scores = {}
    for split, batches in (("train", train), ("test", test)):
        scores[f"{split}_loss"], scores[f"{split}_accuracy"] = training.evaluate(model, batches)
    if best is not None:
        model.load_state_dict(best)
        scores["best_test_loss"], scores["best_test_accuracy"] = training.evaluate(model, test)
    return scores


def _batches(experiment: Experiment, dataset: Dataset, device: torch.device) -> tuple:
    images, labels = _only(experiment.classes, dataset.train_images, dataset.train_labels)
    train_index, val_index = torch.arange(len(labels)), None
    if experiment.validation:
        # A small (sample) data set gives up half of each class instead of all of it.
        per_class = min(experiment.validation, len(labels) // len(experiment.classes or dataset.classes) // 2)
        train_index, val_index = stratified(labels, per_class)
    train_index = train_index[: experiment.train_size]
    normalize = {
        "unit": None,
        "raw": (torch.zeros(1), torch.full((1,), 1 / 255)),
        "standard": channel_statistics(images[train_index]) if experiment.pixels == "standard" else None,
    }[experiment.pixels]

    common = dict(device=device, normalize=normalize, channels_last=experiment.fast)

    def whole(images, labels) -> Batches:
        return Batches(images, labels, EVALUATION_BATCH, **common)

    train = Batches(
        images[train_index],
        labels[train_index],
        experiment.batch_size,
        shuffle=True,
        seed=experiment.seed,
        augment=experiment.augment,
        **common,
    )
    test = whole(*_only(experiment.classes, dataset.test_images, dataset.test_labels))
    evaluations = {} if val_index is None else {"val": whole(images[val_index], labels[val_index])}
    evaluations |= {"test": test} if experiment.watch_test else {}
    return train, evaluations, test, whole(images[train_index], labels[train_index])


def _only(classes: tuple[int, ...] | None, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    if classes is None:
        return images, labels
    matches = labels[:, None] == torch.tensor(classes)
    chosen = matches.any(1)
    return images[chosen], matches[chosen].int().argmax(1)


def validation_slice(
    model: nn.Module, name: str, per_class: int = 500, count: int = 1000, fast: bool = False
) -> dict[str, float]:
    """Accuracy on the first `count` validation images, standard pixels: a probe cheap enough for every tenth step."""
    return {"val_accuracy": training.evaluate(model, _slice(name, profiles.source(), per_class, count, fast))[1]}


@functools.cache
def _slice(name: str, source: str, per_class: int, count: int, fast: bool) -> Batches:
    splits = replace(_splits(name, per_class, "standard"), fast=fast)
    batches = _batches(splits, data.load(name, source), profiles.device())[1]["val"]
    batches.images, batches.labels = batches.images[:count], batches.labels[:count]
    return batches


def batches_of_test_set(name: str, validation: int = 0, pixels: str = "unit") -> Batches:
    """The test set as runs with these settings see it, for what `measure` wants to look at."""
    return _batches(_splits(name, validation, pixels), data.load(name, profiles.source()), profiles.device())[2]


def _splits(name: str, validation: int, pixels: str) -> Experiment:
    return Experiment(nn.Identity, torch.optim.SGD, name, 0, EVALUATION_BATCH, validation=validation, pixels=pixels)
