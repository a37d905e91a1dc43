"""Who trains what: the networks of the comparison, and the libraries in the form that is quickest for each."""

import importlib.util
from dataclasses import dataclass, replace
from functools import partial

import torch

from benchmarks.workloads import WORKLOADS, Workload

OURS, ONE_THREAD = "ours", "ours, one thread"


@dataclass(frozen=True)
class Contestant:
    """`train` is "module:function" of this folder; `needs` are the packages without which it is left out."""

    name: str
    train: str
    needs: tuple[str, ...] = ()

    @property
    def missing(self) -> list[str]:
        """Packages that are not installed."""
        return [package for package in self.needs if importlib.util.find_spec(package) is None]


@dataclass(frozen=True)
class Match:
    """A workload and those who train it, ours first."""

    workload: Workload
    contestants: tuple[Contestant, ...]

    @property
    def name(self) -> str:
        """As tables and bars call it."""
        runs = f"{self.workload.runs} × " * (self.workload.runs > 1)
        return f"{runs}{self.workload.name}"

    @property
    def images(self) -> int:
        """In a step, of all runs."""
        return self.workload.batch_size * self.workload.runs


ALONE = (
    Contestant(OURS, "with_torch:ours"),
    Contestant("Keras on JAX, fit", "with_keras:fit", ("keras", "jax")),
    Contestant("Lightning", "with_torch:lightning", ("lightning",)),
    Contestant("fastai", "with_torch:fastai", ("fastai",)),
    Contestant("skorch", "with_torch:skorch", ("skorch",)),
    Contestant("a course's loop", "with_torch:course"),
)
STACKED = Contestant(OURS, "with_torch:ours_stacked")
BFLOAT16 = Contestant("ours, bfloat16", "with_torch:ours_bfloat16")
FIXED = Contestant(ONE_THREAD, "with_torch:ours_one_thread")
JAX = ("jax", "optax")
PER_STEP = Contestant("JAX, jit of a step", "with_jax:per_step", JAX)
SCANNED = Contestant("JAX, scan of an epoch", "with_jax:scanned", JAX)  # convolutions in a scan are far slower
PER_STEP_OF_ALL = replace(PER_STEP, name="JAX, vmap, jit of a step")
SCANNED_OF_ALL = replace(SCANNED, name="JAX, vmap, scan of an epoch")

DIGITS, CROPPED, RESNET = WORKLOADS[0], WORKLOADS[2], WORKLOADS[6]
CNN4 = replace(WORKLOADS[4], optimizer=partial(torch.optim.SGD, lr=0.01))

MATCHES = (
    Match(DIGITS, (*ALONE, PER_STEP, SCANNED)),
    Match(CROPPED, (*ALONE, BFLOAT16, PER_STEP)),
    Match(CNN4, (*ALONE, BFLOAT16, PER_STEP)),
    Match(RESNET, (*ALONE, BFLOAT16, PER_STEP)),
    Match(replace(DIGITS, runs=8), (STACKED, PER_STEP_OF_ALL, SCANNED_OF_ALL)),
    Match(replace(CROPPED, runs=8), (STACKED, PER_STEP_OF_ALL)),
)
