"""What a run trains on, is selected by and is tested on: the splits of a data set, as batches on a device."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from coursekit import data, profiles, training
from coursekit.batches import Batches, channel_statistics, stratified
from coursekit.data import Dataset

EVALUATION_BATCH = 1000


class Splits(NamedTuple):
    """`train` is shuffled and augmented; `train_in_order` are the same images as they are, to be evaluated on."""

    train: Batches
    validation: Batches | None
    test: Batches
    train_in_order: Batches


def split(
    dataset: Dataset,
    device: torch.device | str = "cpu",
    *,
    batch_size: int = EVALUATION_BATCH,
    seed: int = 0,
    validation: int = 0,
    train_size: int | None = None,
    classes: tuple[int, ...] | None = None,
    pixels: str = "unit",
    augment: Callable | None = None,
) -> Splits:
    """The splits as `experiment.Experiment` describes them with fields of these names."""
    images, labels = _only(classes, dataset.train_images, dataset.train_labels)
    train_index, val_index = torch.arange(len(labels)), None
    if validation:
        # A small (sample) data set gives up half of each class instead of all of it.
        per_class = min(validation, len(labels) // len(classes or dataset.classes) // 2)
        train_index, val_index = stratified(labels, per_class)
    train_index = train_index[:train_size]
    normalize = {
        "unit": None,
        "raw": (torch.zeros(1), torch.full((1,), 1 / 255)),
        "standard": channel_statistics(images[train_index]) if pixels == "standard" else None,
    }[pixels]
    common = dict(device=device, normalize=normalize)

    def whole(images: Tensor, labels: Tensor) -> Batches:
        return Batches(images, labels, EVALUATION_BATCH, **common)

    chosen = images[train_index], labels[train_index]
    train = Batches(*chosen, batch_size, shuffle=True, seed=seed, augment=augment, **common)
    held_out = None if val_index is None else whole(images[val_index], labels[val_index])
    test = whole(*_only(classes, dataset.test_images, dataset.test_labels))
    return Splits(train, held_out, test, whole(*chosen))


def _only(classes: tuple[int, ...] | None, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    if classes is None:
        return images, labels
    matches = labels[:, None] == torch.tensor(classes)
    chosen = matches.any(1)
    return images[chosen], matches[chosen].int().argmax(1)


def validation_slice(model: nn.Module, name: str, per_class: int = 500, count: int = 1000) -> dict[str, float]:
    """Accuracy on the first `count` validation images, standard pixels: a probe cheap enough for every tenth step."""
    return {"val_accuracy": training.evaluate(model, _slice(name, profiles.source(), per_class, count))[1]}


@functools.cache
def _slice(name: str, source: str, per_class: int, count: int) -> Batches:
    dataset = data.load(name, source)
    batches = split(dataset, profiles.device(), validation=per_class, pixels="standard").validation
    batches.images, batches.labels = batches.images[:count], batches.labels[:count]
    return batches


def batches_of_test_set(name: str, validation: int = 0, pixels: str = "unit") -> Batches:
    """The test set as runs with these settings see it, for what `measure` wants to look at."""
    dataset = data.load(name, profiles.source())
    return split(dataset, profiles.device(), validation=validation, pixels=pixels).test
