"""Sweeps for other processes: what their workers import, and a driver: sweeping.py FOLDER ENGINE RUNS [POISON].

FOLDER/log gets a line for every epoch that begins: the process, the run, the epoch.
"""

import json
import os
import signal
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import torch

from coursekit import models
from coursekit.runs import cluster, executors, experiment
from coursekit.runs.experiment import Experiment
from coursekit.runs.sweeps import sweep

experiment.CHECKPOINT_SECONDS = 0  # a checkpoint after every epoch
EPOCHS = 6
ENGINES = {
    "processes": partial(executors.processes, 2),
    "dask": partial(cluster.local, 2),
    "slurm": partial(cluster.slurm, 2, interface="lo"),
    "serial": partial(executors.serial, 1),
    "a pool": lambda: partial(ProcessPoolExecutor, 2, mp_context=get_context("spawn")),
}
BASE = Experiment(
    model=partial(models.MLP, (128, 16, 10), dropout=0.1),
    optimizer=partial(torch.optim.Adam, lr=0.01),
    data="letters",
    epochs=EPOCHS,
    batch_size=50,
)


def slow(epoch: int, folder: str, number: int, seconds: float) -> float:
    """No schedule: a line in the log, and time to be killed in, whenever an epoch begins."""
    if sys._getframe(1).f_code.co_name != "_set_lr":  # a schedule is tried before the first step, too
        return 1.0
    with open(f"{folder}/log", "a") as file:
        file.write(f"{os.getpid()} {number} {epoch}\n")
    time.sleep(seconds)
    return 1.0


def poison(epoch: int) -> float:
    """Kills whoever trains with it."""
    os.kill(os.getpid(), signal.SIGKILL)


def variants(folder: Path, runs: int, poisoned: bool = False, seconds: float = 0.1) -> dict[str, Experiment]:
    made = {
        str(i): replace(BASE, schedule=partial(slow, folder=str(folder), number=i, seconds=seconds))
        for i in range(runs)
    }
    return made | ({"poison": replace(BASE, schedule=poison)} if poisoned else {})


def numbers(found: dict) -> dict:
    """All that is kept of the runs but for the seconds."""
    return {
        name: [[{k: v for k, v in row.items() if k != "seconds"} for row in one.history], one.metrics, one.status]
        for name, (one,) in found.items()
    }


def log(folder: Path) -> list[list[str]]:
    lines = (folder / "log").read_text().splitlines() if (folder / "log").exists() else []
    return [line.split() for line in lines]


if __name__ == "__main__":
    from tests.faults import sweeping  # under the name that workers know

    folder, engine, runs = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    found = sweep(sweeping.variants(folder, runs, "poison" in sys.argv), [0], executor=ENGINES[engine]())
    reasons = {name: one.provenance["error"] for name, (one,) in found.items() if "error" in one.provenance}
    (folder / "found").write_text(json.dumps([numbers(found), reasons]))
