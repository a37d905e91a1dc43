"""Runs that differ in their learning rate: stacked, in this process or in several with one thread each."""

import copy
import itertools
import multiprocessing
from collections.abc import Callable

import torch

from benchmarks.workloads import STANDARD, Workload, autocast, forever, load, our_batches, seeded
from coursekit import models, settings
from coursekit.data import datasets
from coursekit.data.batches import Batches
from coursekit.training import loop, stacked


def stacked_way(workload: Workload, runs: int, bfloat16: bool = False, quick: bool = False) -> Callable[[], None]:
    """Some steps of all runs as one."""
    stack, optimizers = stacked_runs(workload, runs)
    batches = forever(our_batches(load(workload.data, quick), workload.batch_size, workload.augment))

    def train() -> None:
        settings.keep_freed_memory()
        with autocast(bfloat16):
            steps = itertools.islice(batches, workload.steps)
            stacked.train_one_epoch(stack, steps, optimizers).tolist()

    return train


def stacked_runs(workload: Workload, runs: int) -> tuple[stacked.StackedModel, list[torch.optim.Optimizer]]:
    """The network of a workload so many times, each with half the learning rate of the one before it."""
    stack = stacked.stack([models.pooling_first(seeded(workload)) for _ in range(runs)])
    lr = workload.optimizer.keywords["lr"]
    return stack, [workload.optimizer(m.parameters(), lr=lr * 2.0**-i, fused=True) for i, m in enumerate(stack.models)]


def evaluation_ways(model: Callable, dataset: datasets.Dataset, runs: int) -> dict[str, Callable[[], None]]:
    """`runs` networks validated on the 5,000 last images (fewer where there are fewer), in turn and as one."""
    images, labels = dataset.train_images[-5000:], dataset.train_labels[-5000:]
    batches = Batches(images, labels, 1000, normalize=STANDARD if images.ndim == 4 else None)
    networks = [models.pooling_first(model()).to(memory_format=torch.channels_last) for _ in range(runs)]
    stack = stacked.stack(copy.deepcopy(networks))
    return {
        "in turn": lambda: [loop.evaluate(network, batches) for network in networks],
        "as one": lambda: stacked.evaluate(stack, batches),
    }


class InProcesses:
    """The same, with a share of the runs stacked in each of some processes that have one thread."""

    def __init__(self, workload: Workload, runs: int, bfloat16: bool = False, quick: bool = False, processes: int = 2):
        context = multiprocessing.get_context("spawn")
        self.pipes, self.processes = [], []
        for _ in range(processes):
            pipe, other = context.Pipe()
            arguments = (other, workload, runs // processes, bfloat16, quick)
            self.processes.append(context.Process(target=_serve, args=arguments, daemon=True))
            self.processes[-1].start()
            self.pipes.append(pipe)

    def __call__(self) -> None:
        for pipe in self.pipes:
            pipe.send("train")
        for pipe in self.pipes:
            pipe.recv()

    def close(self) -> None:
        """End the processes."""
        for pipe in self.pipes:
            pipe.send(None)
        for process in self.processes:
            process.join()


def _serve(pipe, *arguments) -> None:
    torch.set_num_threads(1)
    train = stacked_way(*arguments)
    while pipe.recv():
        train()
        pipe.send("done")
