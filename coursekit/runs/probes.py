"""Images to look at while a run trains or when it is done: a cheap validation, and the test set."""

import functools

from torch import nn

from coursekit import settings
from coursekit.data import datasets
from coursekit.data.batches import Batches, split
from coursekit.training import loop


def validation_slice(model: nn.Module, name: str, per_class: int = 500, count: int = 1000) -> dict[str, float]:
    """Accuracy on the first `count` validation images, standard pixels: a probe cheap enough for every tenth step."""
    return {"val_accuracy": loop.evaluate(model, _slice(name, settings.source(), per_class, count))[1]}


@functools.cache
def _slice(name: str, source: str, per_class: int, count: int) -> Batches:
    dataset = datasets.load(name, source)
    batches = split(dataset, settings.device(), validation=per_class, pixels="standard").validation
    batches.images, batches.labels = batches.images[:count], batches.labels[:count]
    return batches


def batches_of_test_set(name: str, validation: int = 0, pixels: str = "unit") -> Batches:
    """The test set as runs with these settings see it, for what `measure` wants to look at."""
    dataset = datasets.load(name)
    return split(dataset, settings.device(), validation=validation, pixels=pixels).test
