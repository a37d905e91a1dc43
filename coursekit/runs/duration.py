"""How long trainings would take here, so that opening a notebook does not start hours of them."""

import math
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Protocol

import torch
from torch import nn

from coursekit import models, settings
from coursekit.data import datasets
from coursekit.errors import NotStored
from coursekit.training import loop

LIMIT_S = 20 * 60
TIMED_STEPS = 3
SLOWEST = 5e9  # floating-point operations a second: every machine that is used for this makes more
BESIDE = 1e-3  # seconds of a step at most, apart from these


class Training(Protocol):
    """What decides how long a training takes, of an `Experiment`."""

    model: Callable[[], nn.Module]
    optimizer: Callable[..., torch.optim.Optimizer]
    data: str
    epochs: int
    batch_size: int
    validation: int
    train_size: int | None
    classes: tuple[int, ...] | None
    precision: str


def refuse_long(missing: Iterable[Training]) -> None:
    """Raise NotStored when these trainings would take more than 20 minutes here, one after the other.

    COURSEKIT_TRAIN=1 trains them all the same. Drawn data are small, so nothing is refused for those.
    """
    missing = list(missing)
    if not missing or os.environ.get("COURSEKIT_TRAIN") or settings.source() == "sample":
        return
    steps: Counter[tuple] = Counter()
    examples: dict[tuple, Training] = {}
    for experiment in missing:
        size = models.parameter_count(experiment.model())
        kind = (size, experiment.batch_size, experiment.data, experiment.precision)
        steps[kind] += steps_of(experiment)
        examples[kind] = experiment
    if sum(steps[kind] * (operations_of_a_step(examples[kind]) / SLOWEST + BESIDE) for kind in steps) < LIMIT_S:
        return  # without timing steps, which takes a second or more
    total = sum(steps[kind] * seconds_of_a_step(examples[kind]) for kind in steps)
    if total > LIMIT_S:
        count = "1 run is" if len(missing) == 1 else f"{len(missing)} runs are"
        raise NotStored(
            f"{count} not in the results store, and training would take about {_in_words(total)} here; "
            "set COURSEKIT_TRAIN=1 to train, or cut the epochs or train_size"
        )


def steps_of(experiment: Training) -> int:
    """Optimizer steps of the whole training on the published data set."""
    classes = experiment.classes or range(datasets.CLASS_COUNT)
    images = datasets.TRAIN_IMAGES[experiment.data] * len(classes) // datasets.CLASS_COUNT
    images -= experiment.validation * len(classes)
    return experiment.epochs * math.ceil(min(experiment.train_size or images, images) / experiment.batch_size)


def operations_of_a_step(experiment: Training) -> float:
    """Floating-point operations: six for each multiply-add of the network and image, forward and backward."""
    with torch.random.fork_rng():  # the caller's random numbers stay as they were
        layers = models.layer_table(experiment.model(), _image_shape(experiment))
    return 6.0 * layers.MACs.sum() * experiment.batch_size


def _image_shape(experiment: Training) -> tuple[int, int, int]:
    height, width, *channels = datasets.IMAGE_SHAPES[experiment.data]
    return (*(channels or [1]), height, width)


def seconds_of_a_step(experiment: Training) -> float:
    """The shortest of a few steps of this network on random images, after one to warm up."""
    device = settings.device()
    shape = (experiment.batch_size, *_image_shape(experiment))
    with torch.random.fork_rng():
        images = torch.rand(shape, device=device).contiguous(memory_format=torch.channels_last)
        labels = torch.randint(len(experiment.classes or range(datasets.CLASS_COUNT)), shape[:1], device=device)
        model = experiment.model().to(device, memory_format=torch.channels_last).train()
        optimizer, model = experiment.optimizer(model.parameters()), models.pooling_first(model)
        seconds = []
        with settings.autocast(experiment.precision):
            for _ in range(1 + TIMED_STEPS):
                start = time.perf_counter()
                _, loss = loop.train_step(model, images, labels, optimizer)
                loss.item()  # waits for a GPU
                seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def _in_words(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds < 2 * 3600 else f"{seconds / 3600:.0f} hours"
