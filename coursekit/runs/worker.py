"""What goes from the process that sweeps to one that trains, and what that does with it."""

import multiprocessing
import os
import pickle
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager

import cloudpickle

from coursekit import settings
from coursekit.data import datasets
from coursekit.errors import UsageError
from coursekit.runs import experiment, store
from coursekit.runs.experiment import Experiment
from coursekit.runs.store import Result
from coursekit.training.threads import fixed

_one = threading.Lock()  # two runs in one process would share torch's random numbers


def surroundings(source: str) -> dict[str, str]:
    """The environment variables that decide here how a run is trained, where its data are and its result lies."""
    decided = {"COURSEKIT_PROFILE": settings.profile(), "COURSEKIT_SOURCE": source}
    decided |= {"COURSEKIT_NOTEBOOK": settings.notebook()}
    decided |= {"COURSEKIT_RESULTS": str(store.folder().resolve())}
    if "COURSEKIT_DATA" in os.environ:
        decided["COURSEKIT_DATA"] = str(datasets.cache_folder().resolve())
    return decided


def train(
    experiments: Sequence[Experiment],
    names: Sequence[str],
    keys: Sequence[str],
    data_sha256: str,
    given: Mapping[str, str],
    threads: int,
) -> list[Result]:
    """`experiment.train_and_keep` with these settings and this number of threads; never two at once in one process."""
    with _one, _as_set(given), fixed(threads):
        return experiment.train_and_keep(experiments, names, keys, data_sha256)


def _as_set(given: Mapping[str, str]) -> AbstractContextManager:
    own = {"COURSEKIT_DATA"} & os.environ.keys()  # a machine may keep its data in a place of its own
    return settings.environment({name: value for name, value in given.items() if name not in own})


def pack(call: Callable, name: str) -> bytes:
    """A call as bytes for another process, with the functions of a notebook that it uses.

    Raises UsageError, with the name of the variant, for what only this process can know.
    """
    try:
        return cloudpickle.dumps(call)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise UsageError(f"{name}: cannot be sent to another process: {error}; put it into a .py file") from None


def unpack(call: bytes) -> list[Result]:
    """Make the call that `pack` has packed; a process of a pool that a signal has asked to end ends with its run."""
    try:
        return pickle.loads(call)()
    except (SystemExit, KeyboardInterrupt):
        if multiprocessing.parent_process() is not None:
            os._exit(1)  # the pool would send this home, and the process would train the next run or wait for ever
        raise
