"""Ours, the course's loop, and the libraries on top of torch, which are given our resident batches."""

import time
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks import courses
from benchmarks.peers.pace import Pace, PacedBatches
from benchmarks.sweeps import stacked_runs
from benchmarks.workloads import CoursesWay, OurWay, Workload, autocast, forever, our_batches, seeded
from coursekit import settings
from coursekit.data.datasets import Dataset
from coursekit.training import loop, stacked, threads

EPOCHS = 10**6  # more than there will be: the pace ends the training


def ours(workload: Workload, dataset: Dataset, pace: Pace, bfloat16: bool = False) -> None:
    """`train_one_epoch` as `fit` calls it, with its choice of threads."""
    way = OurWay(workload, dataset, bfloat16)
    train = partial(loop.train_one_epoch, way.model, optimizer=way.optimizer)
    with autocast(bfloat16):
        _in_epochs(train, way.batches, pace)


def ours_bfloat16(workload: Workload, dataset: Dataset, pace: Pace) -> None:
    """At best for a large network."""
    ours(workload, dataset, pace, bfloat16=True)


def ours_one_thread(workload: Workload, dataset: Dataset, pace: Pace) -> None:
    """Without the choice."""
    with threads.fixed(1):
        ours(workload, dataset, pace)


def ours_stacked(workload: Workload, dataset: Dataset, pace: Pace) -> None:
    """All runs of a sweep as one."""
    stack, optimizers = stacked_runs(workload, workload.runs)
    batches = forever(our_batches(dataset, workload.batch_size, workload.augment))
    _in_epochs(partial(stacked.train_one_epoch, stack, optimizers=optimizers), batches, pace)


def _in_epochs(train: partial, batches, pace: Pace) -> None:
    """Threads are tried when the machine has changed, which is in `fit` at the end of a slow epoch."""
    settings.keep_freed_memory()
    pace.settling = 2 * threads.TRIES + 2
    while True:
        with threads.Choice([]) as choice:
            train(batches=pace.until_changed(batches), after_step=partial(_after_step, pace, choice))


def _after_step(pace: Pace, choice: threads.Choice, *_) -> None:
    choice.after_step()
    if pace.after():
        choice.last = time.perf_counter()  # the pause belongs to no step


def course(workload: Workload, dataset: Dataset, pace: Pace) -> None:
    """The loop of the courses, with the loader in the same process."""
    way = CoursesWay(workload, dataset, workers=0)
    while True:
        courses.steps(way.model, way.batches, way.optimizer, 1)
        pace.after()


def lightning(workload: Workload, dataset: Dataset, pace: Pace) -> None:
    """A module and a `Trainer` that keeps no log."""
    from lightning import LightningModule, Trainer

    class Module(LightningModule):
        def __init__(self):
            super().__init__()
            self.network = seeded(workload)

        def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
            images, labels = batch
            return nn.functional.cross_entropy(self.network(images), labels)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return workload.optimizer(self.parameters())

    quiet = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
    Trainer(max_epochs=EPOCHS, accelerator="cpu", devices=1, **quiet).fit(Module(), _batches(workload, dataset, pace))


def fastai(workload: Workload, dataset: Dataset, pace: Pace) -> None:
    """A `Learner` with torch's optimizer."""
    from fastai.callback import progress  # noqa: F401, gives a Learner its no_bar
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner
    from fastai.optimizer import OptimWrapper

    loaders = DataLoaders(_batches(workload, dataset, pace), [], device="cpu")
    options = workload.optimizer.keywords
    rule = partial(OptimWrapper, opt=workload.optimizer.func, **options)
    learner = Learner(loaders, seeded(workload), nn.CrossEntropyLoss(), opt_func=rule)
    with learner.no_bar(), learner.no_logging():
        learner.fit(EPOCHS, lr=options["lr"])


def skorch(workload: Workload, dataset: Dataset, pace: Pace) -> None:
    """A `NeuralNetClassifier` without validation."""
    from skorch import NeuralNetClassifier

    batches = _batches(workload, dataset, pace)
    options = {f"optimizer__{name}": value for name, value in workload.optimizer.keywords.items()}
    net = NeuralNetClassifier(
        seeded(workload),
        criterion=nn.CrossEntropyLoss,
        optimizer=workload.optimizer.func,
        max_epochs=EPOCHS,
        iterator_train=lambda dataset, **options: batches,
        train_split=None,
        verbose=0,
        classes=range(10),
        **options,
    )
    net.fit(torch.zeros(1, 1), torch.zeros(1, dtype=torch.long))


def _batches(workload: Workload, dataset: Dataset, pace: Pace) -> PacedBatches:
    return PacedBatches(our_batches(dataset, workload.batch_size, workload.augment), pace)
