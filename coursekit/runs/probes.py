"""Images to look at while a run trains or when it is done: a cheap validation, and the test set."""

import functools

import torch
from torch import nn

from coursekit import settings
from coursekit.analysis import diagnostics
from coursekit.data import datasets
from coursekit.data.batches import Batches, split
from coursekit.training import loop


def validation_slice(model: nn.Module, name: str, per_class: int = 500, count: int = 1000) -> dict[str, float]:
    """Accuracy on the first `count` validation images, standard pixels: a probe cheap enough for each tenth step."""
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


def look_inside(model: nn.Module, name: str, validation: int = 500, filters: int = 16, images: int = 3) -> dict:
    """What a trained network shows of itself, as plain numbers for `Experiment(measure=…)`; standard pixels.

    "filters" and "scale" (`diagnostics.first_filters`); "class_means" (`diagnostics.class_means`) of the validation
    images; "confusion" on the test set, rows true and columns predicted; "images", the first of the test set (number,
    height, width, channels), and "maps" (number, 8, height, width), what the first eight filters make of them after
    the first activation, from 0 to 255 on one scale; no maps where the first layer is linear.
    """
    dataset = datasets.load(name)
    parts = split(dataset, settings.device(), validation=validation, pixels="standard")
    test = parts.test
    with torch.inference_mode(), diagnostics.recorded_activations(model.eval()) as outputs:
        predicted = torch.cat([model(images).argmax(1) for images, _ in test.of_epoch(0)])
        model(next(test.of_epoch(0))[0][:images])
    classes = len(dataset.classes)
    matrix = torch.bincount(classes * test.labels + predicted, minlength=classes**2).reshape(classes, classes)
    seen = {"confusion": matrix.tolist(), "images": test.images[:images].tolist()}
    maps = outputs["activation 1"][:, :8].float()
    if maps.ndim == 4:
        seen["maps"] = (255 * maps / maps.amax()).round().int().tolist()
    means = diagnostics.class_means(model, parts.validation.of_epoch(0), classes)
    return diagnostics.first_filters(model, filters) | {"class_means": means} | seen
