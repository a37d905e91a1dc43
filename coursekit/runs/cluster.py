"""Where the runs of a sweep are trained beyond one process: dask.distributed, on this machine or on Slurm's.

Each function returns a factory of `concurrent.futures.Executor`, as those of `executors` do. Raises UsageError where
the extra `cluster` is not installed.
"""

import concurrent.futures
import contextlib
import importlib.util
import itertools
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from functools import partial
from pathlib import Path

import torch

from coursekit.errors import UsageError
from coursekit.runs.executors import Factory, context, default_workers

CLOSING_S = 10.0
SETTINGS = {
    "distributed.worker.daemon": False,  # a run may start processes
    "distributed.scheduler.worker-saturation": 1.0,  # a worker that dies takes no run with it that was waiting
    "distributed.worker.profile.enabled": False,  # a look at every stack, a hundred times a second
}
# On one machine a nanny replaces a worker that died, and dask closes the nanny, for good, when it has none so long
# afterwards, be it of another death. Of jobs it must: their nannies die with them.
LOCAL = {"distributed.deploy.lost-worker-timeout": "1000 days"}


def local(workers: int | None = None, threads: int = 1) -> Factory:
    """Workers on this machine, one run each; where dask-cuda is installed and there are GPUs, one for each of them."""
    _check("distributed")
    settings = LOCAL | {"distributed.worker.multiprocessing-method": context().get_start_method()}
    return partial(Dask, partial(_local, workers or default_workers(threads), threads), threads, settings)


def slurm(jobs: int, threads: int = 1, **options) -> Factory:
    """At most this number of Slurm jobs, one run each; one that ends before the sweep does is replaced.

    Options as `job_options` has them. Raises UsageError where there is no sbatch.
    """
    _check("dask_jobqueue")
    if shutil.which("sbatch") is None:
        raise UsageError("no sbatch here: call this where jobs are submitted to Slurm, or use workers of this machine")
    return partial(Dask, partial(_slurm, jobs, job_options(threads, **options)), threads)


def job_script(threads: int = 1, **options) -> str:
    """What `slurm` with these options submits; needs no Slurm."""
    _check("dask_jobqueue")
    from dask_jobqueue import SLURMCluster

    with SLURMCluster(**job_options(threads, **options)) as cluster:
        return cluster.job_script()


def job_options(
    threads: int = 1,
    queue: str | None = None,
    account: str | None = None,
    walltime: str = "01:00:00",
    memory: str = "8GB",
    gpus: int = 0,
    prologue: Sequence[str] = (),
    directives: Sequence[str] = (),
    interface: str | None = None,
    logs: str = "build/slurm",
) -> dict:
    """The options of dask_jobqueue.SLURMCluster for jobs of one worker with this number of cores.

    `prologue` are shell lines before the worker starts (modules, COURSEKIT_DATA=$TMPDIR), `directives` more #SBATCH
    lines, `interface` the network by which jobs and this machine reach each other ("ib0"). They talk TLS where
    `cryptography` is installed; without it anybody who can reach the driver's port can run programs under this account.
    """
    safe = importlib.util.find_spec("cryptography") is not None
    keys = Path.home() / ".cache" / "coursekit" / "tls"
    if safe:
        keys.mkdir(mode=0o700, parents=True, exist_ok=True)
    return dict(
        queue=queue,
        account=account,
        walltime=walltime,
        memory=memory,
        cores=1,  # of dask: one run at a time
        processes=1,
        job_cpu=threads,
        job_extra_directives=[*([f"--gpus={gpus}"] if gpus else []), *directives],
        job_script_prologue=[f"export OMP_NUM_THREADS={threads}", *prologue],
        log_directory=logs,
        python=sys.executable,
        interface=interface,
        scheduler_options={"dashboard_address": ":0"},
        **(dict(security=True, protocol="tls://", shared_temp_directory=str(keys)) if safe else {}),
    )


class Dask(Executor):
    """A dask cluster of its own, which ends with it."""

    def __init__(self, make: Callable, threads: int, settings: Mapping[str, str] | None = None):
        import dask
        from distributed import Client

        self.threads = threads
        with contextlib.ExitStack() as stack:
            stack.enter_context(dask.config.set(SETTINGS | (settings or {})))
            self.cluster = make()
            self.client = Client(self.cluster)
            self._settings = stack.pop_all()  # they are also read when a worker is lost
        print(f"dask's dashboard: {self.client.dashboard_link}", file=sys.stderr)
        self._numbers = itertools.count()
        self._busy: dict[str, tuple] = {}  # ours and dask's future of every run that has not ended

    def submit(self, function: Callable, /, *arguments, **keywords) -> Future:
        """A run whose worker dies goes to another one, four times; then its future raises dask's KilledWorker."""
        ours: Future = Future()
        theirs = self.client.submit(function, *arguments, **keywords, key=f"run-{next(self._numbers)}", pure=False)
        self._busy[theirs.key] = ours, theirs
        theirs.add_done_callback(self._hand_over)
        return ours

    def running(self) -> list[Future]:
        """The futures that a worker is busy with."""
        keys = {key for busy in self.client.processing().values() for key in busy}
        return [ours for key, (ours, _) in list(self._busy.items()) if key in keys]

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends the workers too."""
        busy = [theirs for _, theirs in self._busy.values()]
        if cancel_futures:
            self.client.cancel(busy)
        elif wait:
            concurrent.futures.wait([ours for ours, _ in self._busy.values()])
        self.client.close(CLOSING_S)
        self.cluster.close(CLOSING_S)
        self._settings.close()

    def _hand_over(self, theirs) -> None:
        # dask's is given up, or its run would be trained again whenever the worker that holds the result dies.
        ours, _ = self._busy.pop(theirs.key)
        if theirs.status == "finished":
            ours.set_result(theirs.result())
        elif theirs.status == "error":
            ours.set_exception(theirs.exception())
        else:
            ours.cancel()
            ours.set_running_or_notify_cancel()


def _local(workers: int, threads: int):
    options = dict(threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0")
    if torch.cuda.is_available() and importlib.util.find_spec("dask_cuda"):
        from dask_cuda import LocalCUDACluster

        return LocalCUDACluster(**options)
    from distributed import LocalCluster
    from distributed.utils import get_mp_context

    get_mp_context()  # here dask says, once, what a forkserver is to import
    context("distributed")  # and we say more
    return LocalCluster(workers, preload=["coursekit.runs.worker"], **options)


def _slurm(jobs: int, options: dict):
    from dask_jobqueue import SLURMCluster

    cluster = SLURMCluster(**options)
    cluster.adapt(minimum_jobs=jobs, maximum_jobs=jobs)  # keeps up their number, where `scale` would not
    return cluster


def _check(module: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise UsageError(
            f"no {module} here: pip install -e '.[cluster]' in the workbook's folder, or use executors.processes"
        )
