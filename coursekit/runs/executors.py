"""Where the runs of a sweep are trained on one machine: in this process, or in processes of their own.

Each function returns a factory of `concurrent.futures.Executor`, which is what `sweeps.sweep` takes;
`cluster` has more.
"""

import contextlib
import importlib
import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing.context import BaseContext

import torch

from coursekit.errors import UsageError

Factory = Callable[[], Executor]
GRACE_S = 5.0  # for the checkpoint of a training whose driver is gone


def serial(threads: int | None = None) -> Factory:
    """This process, one run after the other; `threads` for each, by default as many as torch uses now."""
    return partial(Serial, threads)


def processes(workers: int | None = None, threads: int = 1) -> Factory:
    """Processes of this machine, by default as many as there are GPUs, else cores; GPUs are dealt out in turn.

    Functions that were defined in a notebook or script reach them too.
    """
    return partial(Processes, workers or default_workers(threads), threads)


def side_by_side() -> Factory | None:
    """Two processes with half of this one's threads each, for runs of minutes; None, which is this process, otherwise.

    Two trainings of ResNet-20 side by side, a thread each, took 0.85 of their time in turn. There is nothing to gain
    with one thread or where a GPU does the work. A script would be run again by its workers.
    """
    threads, in_script = torch.get_num_threads(), hasattr(sys.modules["__main__"], "__file__")
    if threads == 1 or in_script or torch.cuda.is_available():
        return None
    return processes(2, threads // 2)


def default_workers(threads: int = 1) -> int:
    """A worker for each GPU, or for each `threads` cores that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return torch.cuda.device_count() or max(1, cores // threads)


def context(*also: str) -> BaseContext:
    """How new processes are made: forked from one that has imported what runs need, and `also`, and nothing else.

    That one is started by the first of them and lives as long as this process; torch takes seconds to import. A fork of
    this process itself would inherit locks, threads and the GPU's state. Where there is no forkserver they are spawned.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(["coursekit.runs.worker", *also])
    return made


class Serial(Executor):
    """A run is trained when it is submitted, by the thread that submits it: there Ctrl-C and SIGTERM find it."""

    def __init__(self, threads: int | None = None):
        self.threads = threads or torch.get_num_threads()

    def submit(self, function: Callable, /, *arguments, **keywords) -> Future:
        """The future is done when this returns."""
        future: Future = Future()
        try:
            future.set_result(function(*arguments, **keywords))
        except Exception as error:
            future.set_exception(error)
        return future


class Processes(Executor):
    """Each worker is a pool of one process: when it dies its own run alone is lost, and a new one takes its place.

    (A ProcessPoolExecutor of several loses all that were running, and is of no use afterwards.) Raises UsageError when
    no worker starts.
    """

    def __init__(self, workers: int, threads: int = 1):
        self.threads = threads
        self._closed = False
        self._callers = ThreadPoolExecutor(workers)
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        gpus = _gpus()
        self._workers = [_Worker(gpus[number % len(gpus)] if gpus else None) for number in range(workers)]
        for worker in self._workers:  # all are on their way
            worker.wait()
            self._idle.put(worker)

    def submit(self, function: Callable, /, *arguments, **keywords) -> Future:
        """The future runs from when a worker has taken it."""
        return self._callers.submit(self._run, function, arguments, keywords)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """With `cancel_futures` runs that are being trained stop too, each with a checkpoint."""
        self._closed = cancel_futures
        self._callers.shutdown(wait=False, cancel_futures=cancel_futures)
        if cancel_futures:
            for worker in self._workers:
                worker.stop()
        self._callers.shutdown(wait)
        for worker in self._workers:
            worker.pool.shutdown(wait)

    def _run(self, function: Callable, arguments: tuple, keywords: dict):
        worker = self._idle.get()
        try:
            return worker.pool.submit(function, *arguments, **keywords).result()
        except BrokenExecutor:
            if not self._closed:
                worker.start()
                worker.wait()
            raise
        finally:
            self._idle.put(worker)


class _Worker:
    """A pool of one process, which ends when this one does."""

    def __init__(self, gpu: str | None):
        self.gpu = gpu
        self.start()

    def start(self) -> None:
        # The process that workers are forked from has this one's environment as it once was.
        begin = partial(_begin, self.gpu, os.environ.get("COURSEKIT_DATA"))
        self.pool = ProcessPoolExecutor(1, mp_context=context(), initializer=begin)
        self.pid = self.pool.submit(os.getpid)

    def wait(self) -> None:
        try:
            self.pid.result()
        except BrokenExecutor:
            advice = "in a script, call sweep below `if __name__ == '__main__':`"
            raise UsageError(f"a worker process ended before it had begun; {advice}") from None

    def stop(self) -> None:
        """SIGTERM: a training writes its checkpoint and ends."""
        with contextlib.suppress(BrokenExecutor, ProcessLookupError):  # it has ended already
            os.kill(self.pid.result(), signal.SIGTERM)


def _gpus() -> list[str]:
    """The GPUs that this process may use, by the names that CUDA_VISIBLE_DEVICES takes."""
    count, visible = torch.cuda.device_count(), os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",")[:count] if visible else [str(number) for number in range(count)]


def _begin(gpu: str | None, data_folder: str | None) -> None:
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    os.environ.pop("COURSEKIT_DATA", None)
    os.environ.update({"COURSEKIT_DATA": data_folder} if data_folder else {})
    threading.Thread(target=_end_with_parent, daemon=True).start()
    importlib.import_module("coursekit.runs.worker")  # where it was spawned: now, while all start, not in the first run


def _end_with_parent() -> None:
    # The process of a pool whose parent was killed would wait for work for ever.
    multiprocessing.parent_process().join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    os._exit(1)
