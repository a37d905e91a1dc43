"""Trainings killed with SIGKILL at random moments and taken up again until done: kills.py FOLDER SEEDS KILLS [stack].

Prints as JSON how many runs ended with exactly the weights, buffers, optimizer and history of the same run left alone;
of stacks, what is kept of them, and how many say themselves that they are not exact.
A process of its own, because it forks: torch is imported once and no thread runs yet.
"""

import contextlib
import io
import json
import os
import random
import signal
import sys
import time
from functools import partial
from pathlib import Path

import torch
from torch import nn

from coursekit import files
from coursekit.data import drawn
from coursekit.data.augment import crop_flip
from coursekit.data.batches import Batches
from coursekit.models.networks import LeNet5
from coursekit.runs import experiment
from coursekit.runs.experiment import Experiment
from coursekit.runs.sweeps import sweep
from coursekit.training import loop, threads

OPTIMIZERS = (
    partial(torch.optim.SGD, lr=0.05, momentum=0.9, weight_decay=1e-3),
    partial(torch.optim.Adam, lr=0.01),
)


def falling(epoch: int) -> float:
    return 0.5**epoch


def train(folder: Path, seed: int, epochs: int = 3) -> None:
    """A network that has all that has a state: BatchNorm, dropout, augmentation, momentum, schedule."""
    pixels = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (60, 8, 8, 3), dtype=torch.uint8, generator=pixels)
    make = partial(Batches, images, torch.arange(60) % 10, 8)
    torch.manual_seed(seed)
    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(144, 10)]
    model = nn.Sequential(*layers)
    optimizer = OPTIMIZERS[seed % 2](model.parameters())
    train = make(shuffle=True, seed=seed, augment=crop_flip)
    run = loop.fit(
        model, train, {"val": make()}, optimizer, epochs, schedule=falling, folder=folder, checkpoint_every=1
    )
    history = [{name: value for name, value in row.items() if name != "seconds"} for row in run.history]
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "history": history}
    buffer = io.BytesIO()
    torch.save(state | {"best": run.best_state, "random": torch.get_rng_state()}, buffer)
    files.write_bytes(folder / "final", buffer.getvalue())


def train_stack(folder: Path, seed: int) -> None:
    """Three convolutional networks trained as one through the results store, a checkpoint after every epoch."""
    os.environ |= {"COURSEKIT_RESULTS": str(folder), "COURSEKIT_PROFILE": "sample", "TQDM_DISABLE": "1"}
    drawn.ARRAYS["cifar10"] = partial(drawn.shapes, 60, 20)
    experiment.CHECKPOINT_SECONDS = 0
    sgd = partial(torch.optim.SGD, momentum=0.9)
    variants = {
        f"lr {lr}": Experiment(LeNet5, partial(sgd, lr=lr), "cifar10", 4, 16, validation=2) for lr in (0.01, 0.03, 0.1)
    }
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        runs = [run for results in sweep(variants, [seed]).values() for run in results]
    rows = [[{n: v for n, v in row.items() if n != "seconds"} for row in run.history] for run in runs]
    state = {"history": rows, "metrics": [run.metrics for run in runs], "exact": [r.provenance["exact"] for r in runs]}
    buffer = io.BytesIO()
    torch.save(state, buffer)
    files.write_bytes(folder / "final", buffer.getvalue())


def fork(folder: Path, seed: int) -> int:
    """Start the training in a child; returns its process id."""
    child = os.fork()
    if child:
        return child
    try:
        (train_stack if "stack" in sys.argv else train)(folder, seed)
        os._exit(0)
    except BaseException as error:
        print(f"run {seed}: {type(error).__name__}: {error}", file=sys.stderr)
        os._exit(1)


def killed(folder: Path, seed: int, kills: int, seconds: float, rng: random.Random) -> int:
    """Run with so many kills at most, then to its end; returns how many there were."""
    for count in range(kills):
        child = fork(folder, seed)
        time.sleep(rng.uniform(0, seconds))
        os.kill(child, signal.SIGKILL)
        if os.WIFEXITED(os.waitpid(child, 0)[1]):  # it was done before
            return count
    os.waitpid(fork(folder, seed), 0)
    return kills


def same(left, right) -> bool:
    """Bit for bit, however deep."""
    if isinstance(left, torch.Tensor):
        return left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[name], right[name]) for name in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))
    return left == right


def main(folder: Path, seeds: int, kills: int) -> dict:
    """Train with so many seeds until so many kills hit a training; each result is compared with one left alone."""
    rng = random.Random(0)
    runs = identical = approximate = total = 0
    for seed in range(seeds):
        start = time.perf_counter()
        os.waitpid(fork(folder / f"{seed}-whole", seed), 0)
        seconds = time.perf_counter() - start
        whole = torch.load(folder / f"{seed}-whole" / "final", weights_only=True)
        until = -(-kills * (seed + 1) // seeds)
        while total < until:
            run = folder / f"{seed}-{runs}"
            count = killed(run, seed, until - total, seconds, rng)
            if count == 0:
                seconds /= 2  # the run left alone was the slower one, so kills came too late
            total, runs = total + count, runs + 1
            if (run / "final").exists():
                ended = torch.load(run / "final", weights_only=True)
                identical += same(ended, whole)
                approximate += not all(ended.get("exact", [True]))
    return {"runs": runs, "kills": total, "identical": identical, "approximate": approximate}


if __name__ == "__main__":
    with threads.fixed(1):  # two trainings that choose for themselves may choose otherwise
        print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
