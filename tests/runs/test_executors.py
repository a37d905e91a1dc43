"""Runs trained elsewhere are the runs trained here, and what goes wrong with one is told and stays with it."""

import importlib.util
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar

import psutil
import pytest
import torch

from coursekit import models, settings
from coursekit.data import drawn
from coursekit.errors import UsageError
from coursekit.runs import dispatch, executors, experiment, store, sweeps, worker
from coursekit.runs.experiment import Experiment
from coursekit.runs.sweeps import sweep
from tests.faults import sweeping

ROOT = Path(__file__).parents[2]
SGD = torch.optim.SGD
BASE = Experiment(
    model=partial(models.MLP, (128, 16, 10)),
    optimizer=partial(SGD, lr=0.1),
    data="letters",
    epochs=2,
    batch_size=50,
    validation=3,
)
VARIANTS = {
    "plain": BASE,
    "faster": replace(BASE, optimizer=partial(SGD, lr=0.3)),
    "dropout": replace(BASE, model=partial(models.MLP, (128, 16, 10), dropout=0.5), keep_weights=True),
}


@pytest.fixture(autouse=True)
def _sample(monkeypatch):
    monkeypatch.setenv("COURSEKIT_PROFILE", "sample")


def numbers(found) -> list:
    return [
        (one.key, one.status, [{k: v for k, v in row.items() if k != "seconds"} for row in one.history], one.metrics)
        for row in found.values()
        for one in row
    ]


def assert_as_here(tmp_path, monkeypatch, executor, stacked: list[int]) -> None:
    """The results of an executor and of `sweep` without one, bit for bit, in two stores that hold the same."""
    here = sweep(VARIANTS, [0, 1])
    own = store.load_weights(here["dropout"][0])
    monkeypatch.setenv("COURSEKIT_RESULTS", str(tmp_path / "elsewhere"))
    there = sweep(VARIANTS, [0, 1], executor=executor)
    assert numbers(there) == numbers(here)
    assert [len(one.provenance["stacked"]) for row in there.values() for one in row] == stacked
    assert {one.provenance["device"] for row in there.values() for one in row} == {"CPU (1 thread)"}
    others = store.load_weights(there["dropout"][0])
    assert all(torch.equal(others[name], value) for name, value in own.items())
    again = sweep(VARIANTS, [0, 1])
    assert all(one.replayed for row in again.values() for one in row), "the workers' results are not in the store"
    assert not list((store.folder() / "running").iterdir())


def test_processes_train_what_one_process_trains_bit_for_bit(tmp_path, monkeypatch):
    assert_as_here(tmp_path, monkeypatch, executors.processes(2), [4, 4, 4, 4, 0, 0])


def test_serial_trains_the_same_and_leaves_this_process_as_it_was(tmp_path, monkeypatch):
    before = ours() | {"COURSEKIT_RESULTS": str(tmp_path / "elsewhere")}
    threads = torch.get_num_threads()
    assert_as_here(tmp_path, monkeypatch, executors.serial(1), [4, 4, 4, 4, 0, 0])
    assert (ours(), torch.get_num_threads()) == (before, threads)


def ours() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("COURSEKIT")}


def test_together_decides_how_many_are_trained_as_one(tmp_path):
    found = sweep({"plain": BASE}, range(3), executor=executors.serial(1), together=1)
    assert [one.provenance["stacked"] for one in found["plain"]] == [[], [], []]


@pytest.mark.parametrize(
    ("threads", "gpu", "script", "expected"),
    [
        (2, False, False, (2, 1)),
        (16, False, False, (2, 8)),
        (3, False, False, (2, 1)),
        (1, False, False, None),
        (2, True, False, None),
        (2, False, True, None),
    ],
)
def test_side_by_side_halves_the_threads_where_that_pays(monkeypatch, threads, gpu, script, expected):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(sys.modules["__main__"], "__file__", "train.py", raising=False)
    if not script:
        monkeypatch.delattr(sys.modules["__main__"], "__file__")
    factory = executors.side_by_side()
    assert expected == (factory and factory.args)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_run_has_the_threads_that_it_was_given(threads):
    [one] = sweep({"it": BASE}, [0], executor=executors.serial(threads))["it"]
    assert one.provenance["device"] == {1: "CPU (1 thread)", 2: "CPU (2 threads)"}[threads]


# --- what goes wrong --------------------------------------------------------------------------------------------------


def wrong(model):
    raise ValueError("no such luck\nwith details")


def test_a_run_that_raises_has_failed_and_the_others_have_not(capsys):
    variants = VARIANTS | {"wrong": replace(BASE, measure=wrong)}
    found = sweep(variants, [0, 1], executor=executors.serial(1))
    assert [one.status for row in found.values() for one in row] == ["ok"] * 6 + ["failed"] * 2
    assert found["wrong"][1].provenance == {"error": "ValueError: no such luck"}
    told = capsys.readouterr()
    assert "failed: wrong, seed 1: ValueError: no such luck\n" in told.err
    assert "; 6 trained in " in told.out
    assert told.out.endswith("; 2 failed\n")
    again = sweep(variants, [0, 1], executor=executors.serial(1))
    assert [one.replayed for row in again.values() for one in row] == [True] * 6 + [False] * 2, "failure was stored"


def test_without_an_executor_it_is_raised():
    with pytest.raises(ValueError, match="no such luck"):
        sweep({"wrong": replace(BASE, measure=wrong)}, [0])


@pytest.mark.parametrize("asked", [KeyboardInterrupt, SystemExit])
def test_who_asks_this_process_to_stop_is_not_answered_with_another_attempt(asked):
    def stop(model):
        raise asked

    with pytest.raises(asked):
        sweep({"it": replace(BASE, measure=stop)}, [0], executor=executors.serial(1))


class Breaking(Executor):
    """A pool that is of no use when one run has broken it, as a ProcessPoolExecutor."""

    made = 0

    def __init__(self, deadly: str, times: int):
        type(self).made += 1
        self.deadly, self.times, self.broken = deadly, times, False

    def submit(self, call):
        if self.broken:
            raise BrokenProcessPool("broken")
        future = Future()
        made = call()
        self.broken = made[0].name == self.deadly and Breaking.made <= self.times
        if self.broken:
            future.set_exception(BrokenProcessPool("broken"))
        else:
            future.set_result(made)
        return future


@pytest.mark.parametrize(("times", "status"), [(2, "ok"), (3, "lost")])
def test_when_a_whole_pool_breaks_the_rest_goes_on_one_by_one(times, status, capsys):
    Breaking.made = 0
    variants = {name: replace(VARIANTS["dropout"], epochs=epochs) for epochs, name in enumerate("abcd", 1)}
    found = sweep(variants, [0], executor=partial(Breaking, "b", times))
    assert [one.status for row in found.values() for one in row] == ["ok", status, "ok", "ok"]
    assert Breaking.made == 3
    lost = "lost: b, seed 0: its worker died 3 times (last: BrokenProcessPool)\n"
    assert (lost in capsys.readouterr().err) == (status == "lost")


class Counting(ThreadPoolExecutor):
    """A pool of two that counts what was given to it and has not ended."""

    given: ClassVar[list[Future]] = []
    most = 0

    def submit(self, call):
        self.given.append(super().submit(call))
        type(self).most = max(self.most, sum(not future.done() for future in self.given))
        return self.given[-1]


def test_a_pool_that_may_break_is_given_no_more_than_it_runs():
    found = sweep(VARIANTS, [0, 1], executor=partial(Counting, 2), together=1)
    assert {one.status for row in found.values() for one in row} == {"ok"}
    assert (len(Counting.given), Counting.most) == (6, 2)


def test_a_stack_whose_worker_dies_is_taken_apart():
    Breaking.made = 0
    found = sweep({"a": BASE, "b": VARIANTS["faster"]}, [0], executor=partial(Breaking, "a", 1))
    assert [one.provenance["stacked"] for row in found.values() for one in row] == [[], []]


def test_processes_that_do_not_start_are_told_in_one_line(monkeypatch):
    monkeypatch.setattr(executors, "_begin", os.abort)
    with pytest.raises(UsageError, match="ended before it had begun; in a script, call sweep below"):
        executors.processes(1)()


def test_processes_begin_with_torch_imported():
    with ProcessPoolExecutor(1, mp_context=executors.context()) as pool:
        assert pool.submit(eval, "'torch' in __import__('sys').modules").result()


def test_processes_are_spawned_where_there_is_no_forkserver(monkeypatch):
    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    assert executors.context().get_start_method() == "spawn"


# --- what goes to a worker and what it does with it -------------------------------------------------------------------


def test_what_cannot_be_sent_is_named_with_its_variant():
    lock = threading.Lock()
    expected = r"^mine: cannot be sent to another process: .*lock.*; put it into a \.py file$"
    with pytest.raises(UsageError, match=expected):
        worker.pack(lambda: lock, "mine")


@pytest.mark.parametrize("signalled", [partial(sys.exit, 143), partial(signal.raise_signal, signal.SIGINT)])
def test_only_the_process_of_a_pool_ends_with_a_run_that_is_asked_to(monkeypatch, signalled):
    ended = []
    monkeypatch.setattr(os, "_exit", ended.append)
    for parent in (None, "the driver"):
        monkeypatch.setattr(multiprocessing, "parent_process", lambda parent=parent: parent)
        with pytest.raises((SystemExit, KeyboardInterrupt)):
            worker.unpack(worker.pack(signalled, "it"))
        assert ended == [1] * (parent is not None)


def test_no_two_runs_at_once_in_one_process(monkeypatch):
    inside, most = [], []

    def slow(*_):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.05)
        inside.pop()

    monkeypatch.setattr(experiment, "train_and_keep", slow)
    threads = [threading.Thread(target=worker.train, args=([BASE], ["it"], ["key"], "", {}, 1)) for _ in range(4)]
    monkeypatch.setenv("COURSEKIT_SOURCE", "sample")
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1, 1]


def test_a_worker_has_the_drivers_settings_and_its_own_data(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSEKIT_DATA", "of the driver")
    monkeypatch.setenv("COURSEKIT_NOTEBOOK", "05_mine")
    given = worker.surroundings("auto")
    assert given["COURSEKIT_RESULTS"] == str(tmp_path / "results")
    for name in ("COURSEKIT_PROFILE", "COURSEKIT_NOTEBOOK"):
        monkeypatch.delenv(name)
    with worker._as_set(given):
        assert os.environ["COURSEKIT_PROFILE"] == "sample"
        assert settings.notebook() == "05_mine", "the results would lie in another folder"
    assert "COURSEKIT_PROFILE" not in os.environ
    monkeypatch.setenv("COURSEKIT_DATA", "of the machine")
    with worker._as_set(given):
        assert os.environ["COURSEKIT_DATA"] == "of the machine"
    assert os.environ["COURSEKIT_DATA"] == "of the machine"


def test_a_worker_with_other_data_trains_nothing_under_the_drivers_key(capsys, monkeypatch):
    keys = dispatch._keys

    def elsewhere(groups, wanted):
        found, sources, _ = keys(groups, wanted)
        return found, sources, dict.fromkeys(sources, "of other pixels")

    monkeypatch.setattr(dispatch, "_keys", elsewhere)
    [result] = sweep({"it": BASE}, [0], executor=executors.serial())["it"]
    assert result.status == "failed"
    assert "letters is another here" in capsys.readouterr().err
    assert store.load(result.key) is None


def test_where_sample_data_stand_in_no_worker_looks_for_the_real_ones(monkeypatch):
    monkeypatch.setenv("COURSEKIT_PROFILE", "full")
    [one] = sweep({"it": replace(BASE, measure=looks_for)}, [0], executor=executors.serial())["it"]
    assert (one.metrics["looks for"], one.provenance["source"]) == ("sample", drawn.SOURCE)


def looks_for(model):
    return {"looks for": settings.source()}


def test_workers_have_the_data_folder_that_the_driver_has_now(monkeypatch, tmp_path):
    for folder in (str(tmp_path / "a"), str(tmp_path / "b"), None):
        monkeypatch.setenv("COURSEKIT_DATA", folder) if folder else monkeypatch.delenv("COURSEKIT_DATA")
        with executors.Processes(1) as pool:
            assert pool.submit(os.getenv, "COURSEKIT_DATA").result() == folder


def test_gpus_keep_the_names_that_the_driver_was_given(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert executors._gpus() == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-5")
    assert executors._gpus() == ["2", "GPU-5"]


def test_gpus_are_dealt_out_in_turn(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(executors._Worker, "start", lambda self: None)
    monkeypatch.setattr(executors._Worker, "wait", lambda self: None)
    assert executors.default_workers() == 2
    assert [one.gpu for one in executors.Processes(3)._workers] == ["0", "1", "0"]


# --- dask -------------------------------------------------------------------------------------------------------------

needs_dask = pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="needs the extra cluster")
needs_jobqueue = pytest.mark.skipif(importlib.util.find_spec("dask_jobqueue") is None, reason="needs the extra cluster")


@pytest.mark.skipif(importlib.util.find_spec("distributed") is not None, reason="the extra cluster is installed")
def test_without_the_extra_one_line_says_what_to_install():
    from coursekit.runs import cluster

    for make in (cluster.local, partial(cluster.slurm, 1), cluster.job_script):
        with pytest.raises(UsageError, match=r"pip install -e '\.\[cluster\]'"):
            make()


@needs_dask
def test_dask_trains_what_one_process_trains_bit_for_bit(tmp_path, monkeypatch):
    from coursekit.runs import cluster

    assert_as_here(tmp_path, monkeypatch, cluster.local(2), [4, 4, 4, 4, 0, 0])


@needs_jobqueue
def test_what_is_submitted_to_slurm(tmp_path):
    options = dict(queue="short", account="course", walltime="00:30:00", memory="4GB", gpus=1, logs=str(tmp_path))
    options |= dict(interface="lo", prologue=["module load python"], directives=["--exclusive"])
    code = f"from coursekit import cluster; print(cluster.job_script(3, **{options}))"  # SLURMCluster.job_script()
    environment = os.environ | {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    lines = done.stdout.strip().splitlines()
    for line in ("-p short", "-A course", "-t 00:30:00", "--mem=4G", "--cpus-per-task=3", "--gpus=1", "--exclusive"):
        assert f"#SBATCH {line}" in lines
    assert lines.index("export OMP_NUM_THREADS=3") < lines.index("module load python") < len(lines) - 1
    assert lines[-1].startswith(f"{sys.executable} -m distributed.cli.dask_worker t")
    assert "--nthreads 1 " in lines[-1], "a worker must train one run at a time"


@needs_jobqueue
def test_slurm_where_there_is_none(monkeypatch):
    from coursekit.runs import cluster

    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match="no sbatch here"):
        cluster.slurm(2)


SBATCH = """#!/bin/sh
cp "$1" {folder}/job-$$.sh
setsid sh {folder}/job-$$.sh > {folder}/job-$$.log 2>&1 &
echo Submitted batch job $!
echo $! >> {folder}/jobs
"""
SCANCEL = """#!/bin/sh
kill -- -$1
"""


@needs_jobqueue
@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")
def test_jobs_of_a_pretended_slurm_train_the_same(tmp_path):
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (tmp_path / name).write_text(text.format(folder=tmp_path))
        (tmp_path / name).chmod(0o755)
    places = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "tests/faults/sweeping.py"), str(tmp_path), "slurm", "3"]
    subprocess.run(command, env=os.environ | places, cwd=tmp_path, capture_output=True, check=True, timeout=200)
    found, _ = json.loads((tmp_path / "found").read_text())
    again = sweep(sweeping.variants(tmp_path, 3), [0], refresh=True, executor=executors.serial(1))
    assert json.loads(json.dumps(sweeping.numbers(again))) == found
    jobs = [int(job) for job in (tmp_path / "jobs").read_text().split()]
    assert len(jobs) >= 2
    assert not psutil.wait_procs([psutil.Process(job) for job in jobs if psutil.pid_exists(job)], timeout=20)[1]


@needs_dask
def test_where_there_are_gpus_each_has_a_dask_worker(monkeypatch):
    from types import ModuleType

    from coursekit.runs import cluster

    pretended = ModuleType("dask_cuda")
    pretended.__spec__ = importlib.util.spec_from_loader("dask_cuda", None)
    pretended.LocalCUDACluster = lambda **options: options
    monkeypatch.setitem(sys.modules, "dask_cuda", pretended)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert cluster._local(2, 1)["threads_per_worker"] == 1


def test_groups_do_not_depend_on_the_engine():
    missing = {(name, seed): replace(one, seed=seed) for name, one in VARIANTS.items() for seed in range(6)}
    assert sorted(map(len, sweeps._groups(missing))) == [1] * 6 + [6, 6]
    assert sorted(map(len, sweeps._groups(missing, 4))) == [1] * 6 + [4, 4, 4]
    assert dispatch.ATTEMPTS == 3
