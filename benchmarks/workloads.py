"""What is timed: the courses' networks with their batch sizes and optimizers, trained the courses' way and ours."""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from benchmarks import courses
from coursekit import models, settings
from coursekit.data import datasets
from coursekit.data.augment import crop_flip
from coursekit.data.batches import Batches
from coursekit.training import loop

GLIBC_KEEPS = 32 * 2**20  # bytes, at most, of a process that says nothing: the largest threshold it comes to by itself
ADAM = partial(torch.optim.Adam, lr=1e-3)
STANDARD = torch.tensor(courses.MEAN), torch.tensor(courses.STD)
SGD = partial(torch.optim.SGD, lr=0.01, momentum=0.9, weight_decay=1e-4)


@dataclass(frozen=True)
class Workload:
    """One network of the courses with its protocol; `steps` are timed at a time, of `runs` trainings as one.

    `validate` checks every tenth step: the courses on 5,000 images, we on the first 1,000 of them.
    """

    name: str
    model: Callable[[], nn.Module]
    data: str
    batch_size: int
    optimizer: Callable[..., torch.optim.Optimizer]
    steps: int
    augment: bool = False
    validate: bool = False
    runs: int = 1


MLP = partial(models.MLP, (784, 128, 64, 10))
SIMPLE_NN = partial(models.SimpleNN, batch_norm=True)
WORKLOADS = [
    Workload("MLP", MLP, "mnist", 128, ADAM, 60),
    Workload("MLP", MLP, "mnist", 64, ADAM, 100),
    Workload("SimpleNN, BN, crop + flip", SIMPLE_NN, "cifar10", 128, SGD, 40, augment=True),
    Workload("SimpleCNN", models.SimpleCNN, "cifar10", 64, ADAM, 50),
    Workload("cnn4", models.cnn4, "cifar10", 50, ADAM, 60),
    Workload("cnn4, validated", models.cnn4, "cifar10", 50, ADAM, 20, validate=True),
    Workload("ResNet-20, crop + flip", models.resnet20, "cifar10", 128, SGD, 12, augment=True),
]


class CoursesWay:
    """Some steps in the courses' loop; batches keep coming, as in the middle of an epoch."""

    def __init__(self, workload: Workload, dataset: datasets.Dataset, workers: int, device: str = "cpu"):
        self.model = seeded(workload).to(device)
        self.optimizer = workload.optimizer(self.model.parameters())
        images, labels = dataset.train_images, dataset.train_labels
        load = partial(courses.loader, batch_size=workload.batch_size, augment=workload.augment, workers=workers)
        loaded = forever(load(images, labels))
        self.batches = ((images.to(device), labels.to(device)) for images, labels in loaded)
        self.validation = courses.loader(images[-5000:], labels[-5000:], workload.batch_size, False, workers)
        self.validate = workload.validate

    def __call__(self, steps: int) -> None:
        settings.keep_freed_memory(GLIBC_KEEPS)
        for count in chunks(steps, self.validate):
            courses.steps(self.model, self.batches, self.optimizer, count)
            if self.validate:
                courses.accuracy(self.model, self.validation)


class OurWay:
    """Some steps of `training.train_one_epoch` with all that `experiment.run` chooses for a network."""

    def __init__(self, workload: Workload, dataset: datasets.Dataset, bfloat16: bool = False, device: str = "cpu"):
        self.model = models.pooling_first(seeded(workload)).to(device, memory_format=torch.channels_last)
        self.optimizer = workload.optimizer(self.model.parameters(), fused=True)
        self.train = our_batches(dataset, workload.batch_size, workload.augment, device=device)
        self.batches = forever(self.train)
        self.validate = workload.validate
        last = slice(-1000, None)
        self.validation = Batches(
            dataset.train_images[last], dataset.train_labels[last], 1000, normalize=STANDARD if self.validate else None
        )
        self.bfloat16, self.device = bfloat16, device

    def __call__(self, steps: int) -> None:
        settings.keep_freed_memory()
        with autocast(self.bfloat16, self.device):
            for count in chunks(steps, self.validate):
                batches = itertools.islice(self.batches, count)
                totals = loop.train_one_epoch(self.model, batches, self.optimizer)
                if self.validate:
                    loop.evaluate(self.model, self.validation)
        totals.tolist()


def load(name: str, quick: bool) -> datasets.Dataset:
    """The real data where the cache has them: nothing is downloaded for a benchmark."""
    cached = (datasets.cache_folder() / f"{name}.npz").exists()
    return datasets.load(name, "real" if cached and not quick else "sample")


def our_batches(
    dataset: datasets.Dataset, batch_size: int, augment: bool = False, seed: int = 0, device: str = "cpu"
) -> Batches:
    """Shuffled batches: colour images standardised, grey ones in [0, 1], as in the courses."""
    images, labels = dataset.train_images, dataset.train_labels
    normalize = STANDARD if images.ndim == 4 else None
    options = dict(shuffle=True, seed=seed, normalize=normalize, augment=crop_flip if augment else None)
    return Batches(images, labels, batch_size, device=device, **options)


def seeded(workload: Workload) -> nn.Module:
    """The network of a workload with the weights of seed 0."""
    torch.manual_seed(0)
    return workload.model()


def autocast(bfloat16: bool, device: str = "cpu") -> contextlib.AbstractContextManager:
    """bfloat16 as `experiment` uses it."""
    return torch.autocast(device, torch.bfloat16, enabled=bfloat16, cache_enabled=False)


def forever(batches) -> Iterator:
    """One epoch after the other."""
    while True:
        yield from batches


def chunks(steps: int, validate: bool) -> list[int]:
    """All steps at once, or ten at a time."""
    return [10] * (steps // 10) if validate else [steps]
