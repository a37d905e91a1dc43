"""What goes from the process that sweeps to one that trains, and what that does with it."""

import contextlib
import io
import multiprocessing
import os
import pickle
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FunctionType

import torch

from coursekit import settings
from coursekit.data import datasets
from coursekit.errors import UsageError
from coursekit.runs import experiment, store
from coursekit.runs.experiment import Experiment
from coursekit.runs.store import Result

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
    """`experiment.train_and_keep` under the given settings, on so many threads; never two at once in one process."""
    with _one, _as_set(given), _on(threads):
        _fetch(experiments[0].data)
        return experiment.train_and_keep(experiments, names, keys, data_sha256)


@contextlib.contextmanager
def _as_set(given: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in given}
    own = {"COURSEKIT_DATA"} & os.environ.keys()  # a machine may keep its data in a place of its own
    os.environ.update({name: value for name, value in given.items() if name not in own})
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            os.environ.update({} if value is None else {name: value})


@contextlib.contextmanager
def _on(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _fetch(name: str) -> None:
    """Of the workers of one machine the first downloads a data set, and the others wait for it."""
    path = datasets.cache_folder() / f"{name}.npz"
    if settings.source() == "sample" or path.exists():
        return
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(ImportError, OSError):  # where nothing locks it is downloaded twice, and that is all
            stack.enter_context(_turn(path.with_name(f".{name}.lock")))
        datasets.load(name)


@contextlib.contextmanager
def _turn(path: Path) -> Iterator[None]:
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def pack(call: Callable, name: str) -> bytes:
    """A call as bytes for another process; cloudpickle, where it is installed, takes functions of a notebook along.

    Raises UsageError, with the name of the variant, for what only this process can know.
    """
    try:
        import cloudpickle
    except ImportError:
        cloudpickle = None
    try:
        return cloudpickle.dumps(call) if cloudpickle else _pickled(call)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        others = "" if cloudpickle else ", install cloudpickle, or leave out the executor"
        raise UsageError(
            f"{name}: cannot be sent to another process: {error}; put it into a .py file{others}"
        ) from None


def unpack(call: bytes) -> list[Result]:
    """Make the call that `pack` has packed; a process of a pool that a signal has asked to end ends with its run."""
    try:
        return pickle.loads(call)()
    except (SystemExit, KeyboardInterrupt):
        if multiprocessing.parent_process() is not None:
            os._exit(1)  # the pool would send this home, and the process would train the next run or wait for ever
        raise


def _pickled(call: Callable) -> bytes:
    buffer = io.BytesIO()
    _Pickler(buffer).dump(call)
    return buffer.getvalue()


class _Pickler(pickle.Pickler):
    def reducer_override(self, thing):
        # Pickle sends names, and those of a notebook mean nothing elsewhere.
        from_notebook = isinstance(thing, FunctionType | type) and thing.__module__ == "__main__"
        if from_notebook and not hasattr(sys.modules["__main__"], "__file__"):
            raise pickle.PicklingError(f"{thing.__qualname__} is defined in a notebook")
        return NotImplemented
