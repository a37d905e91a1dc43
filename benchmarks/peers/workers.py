"""Processes that train a slice when they are asked."""

import contextlib
import importlib
import logging
import multiprocessing
import os
import warnings
from multiprocessing.connection import Connection

from benchmarks.peers.pace import Order, Over, Pace, Slice
from benchmarks.workloads import Workload, load
from coursekit import settings

CONTEXT = multiprocessing.get_context("spawn")
LIBRARIES = {"JAX_PLATFORMS": "cpu", "KERAS_BACKEND": "jax", "TF_CPP_MIN_LOG_LEVEL": "3"}
ONE_THREAD = {"OMP_NUM_THREADS": "1"}


class Failed(Exception):
    """A peer's training raised an error; the message is that error."""


class Worker:
    """A process with one library, with one thread on one core or with as many as the library takes."""

    def __init__(self, one_thread: bool):
        self.pipe, other = CONTEXT.Pipe()
        self.process = CONTEXT.Process(target=_serve, args=(other, one_thread), daemon=True)
        with settings.environment(LIBRARIES | (ONE_THREAD if one_thread else {})):
            self.process.start()
        other.close()  # so that the end of the process is seen here
        self.is_training = False

    def begin(self, train: str, workload: Workload, short: bool) -> None:
        """Start a training, named "module:function"; does not wait."""
        self.pipe.send((train, workload, short))
        self.is_training = True

    def first_step(self) -> Slice:
        """Wait until it has been prepared and compiled."""
        return self._answer()

    def slice(self, seconds: float, changed: bool = False) -> Slice:
        """Train on for about so long."""
        self.pipe.send(Order(seconds, changed))
        return self._answer()

    def leave(self) -> None:
        """End the training, if it has not failed; another one may begin."""
        if self.is_training:
            self.pipe.send(None)
        self.is_training = False

    def close(self) -> None:
        """End the process."""
        with contextlib.suppress(BrokenPipeError):
            self.leave()
            self.pipe.send(None)
        self.process.join(timeout=10)
        self.process.kill()  # does nothing to one that has ended

    def _answer(self) -> Slice:
        try:
            answer = self.pipe.recv()
        except EOFError:
            self.is_training = False
            raise Failed("its process ended") from None
        if isinstance(answer, str):
            self.is_training = False
            raise Failed(answer)
        return answer


def _serve(pipe: Connection, one_thread: bool) -> None:
    if one_thread and hasattr(os, "sched_setaffinity"):  # the one way to keep every library to one thread
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    while order := pipe.recv():
        train, workload, short = order
        module, name = train.split(":")
        try:
            with contextlib.suppress(Over), open(os.devnull, "w") as null, contextlib.redirect_stdout(null):
                function = getattr(importlib.import_module(f"benchmarks.peers.{module}"), name)
                function(workload, load(workload.data, short), Pace(pipe))
        except Exception as error:
            pipe.send(f"{type(error).__name__}: {error}".splitlines()[0])
