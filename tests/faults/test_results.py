"""FAULTS C1, C2, C5 to C9: the results store under two writers, damage, full disks and network drives."""

import json
import math
import multiprocessing
import os
import random
import re
import signal
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from coursekit import files, models
from coursekit.data import datasets, drawn
from coursekit.errors import StorageError
from coursekit.runs import experiment, store, sweeps
from coursekit.runs.cached import recall
from coursekit.runs.store import Result
from coursekit.training import checkpoint
from tests.faults.test_train import DAMAGES, flipped, foreign, torn, zero_tail

KEY = "ab" * 32
SECONDS = 2.0


@pytest.fixture(scope="module")
def processes():
    """Torch is imported once, by the process from which the writers are forked."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pytest", "coursekit.runs.sweeps"])
    return context


def result(writer: int, size: int = 4000) -> Result:
    return Result(KEY, f"writer {writer}", "ok", {}, [], [], {"all": [writer] * size}, {})


def write_until(stop, writer: int, failures, folder: Path) -> None:
    os.environ["COURSEKIT_RESULTS"] = str(folder)  # a forked process has the environment of an earlier test
    while not stop.is_set():
        try:
            store.save(result(writer))
        except Exception as error:
            failures.put(repr(error))


def test_c1_two_writers_and_a_reader_of_one_key(processes, record_property, capfd):
    failures, stop = processes.Queue(), processes.Event()
    store.save(result(0))
    writers = [
        processes.Process(target=write_until, args=(stop, number, failures, store.folder())) for number in (1, 2)
    ]
    for writer in writers:
        writer.start()
    reads, seen, start, end = 0, set(), time.monotonic(), None
    while end is None or time.monotonic() < end:
        found = store.load(KEY)
        assert found is not None, "a failed read"
        assert len(set(found.metrics["all"])) == 1, "a mixed read"
        seen.add(found.name)
        reads += 1
        if end is None and seen >= {"writer 1", "writer 2"}:  # both have imported torch
            end = time.monotonic() + SECONDS
        assert time.monotonic() < start + 120, "the writers did not start"
    stop.set()
    for writer in writers:
        writer.join(60)
    record_property("injected", f"2 writers and a reader of one key, {reads} reads")
    record_property("lost", "0 failed or mixed reads")
    assert failures.empty()
    assert "damaged" not in capfd.readouterr().err


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_c1_a_writer_killed_in_the_middle_leaves_a_whole_entry(processes, capfd, record_property):
    failures, never = processes.Queue(), processes.Event()
    store.save(result(0))
    for _ in range(3):
        writer = processes.Process(target=write_until, args=(never, 1, failures, store.folder()))
        writer.start()
        end = time.time() + 60
        while store.load(KEY).name != "writer 1":
            assert time.time() < end, "the writer did not start"
            time.sleep(0.01)
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        assert store.load(KEY).name == "writer 1"
        store.save(result(0))
    record_property("injected", "3 SIGKILLs of a writer")
    record_property("lost", "0 entries")
    assert "damaged" not in capfd.readouterr().err


def test_c2_damaged_entries_are_noticed_and_set_aside(capfd, record_property):
    rng, unnoticed = random.Random(0), 0
    whole = result(1, size=40)
    for number in range(DAMAGES):
        path = store.save(whole)
        harm = (flipped, torn, zero_tail, foreign)[number % 4]
        path.write_bytes(harm(path.read_bytes(), rng))
        found = store.load(KEY)
        if found is None:
            assert path.with_suffix(".corrupt").exists()
            assert "is damaged" in capfd.readouterr().err
        else:  # the last brace or line end, which carry nothing
            unnoticed += found != whole
    record_property("injected", f"{DAMAGES} damaged results")
    record_property("lost", f"{unnoticed} not noticed")
    assert unnoticed == 0


def test_c2_a_damaged_entry_in_a_folder_that_cannot_be_written(monkeypatch, capsys):
    path = store.save(result(1))
    path.write_text("{}")

    def refused(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "replace", refused)
    assert store.load(KEY) is None
    assert "is damaged" in capsys.readouterr().err


@pytest.fixture
def digits(monkeypatch):
    """MNIST as 200 drawn digits, and an experiment of one epoch on them."""
    monkeypatch.setenv("COURSEKIT_PROFILE", "sample")
    monkeypatch.setitem(drawn.ARRAYS, "mnist", partial(drawn.digits, 200, 50))
    sgd = partial(torch.optim.SGD, lr=0.1)
    return experiment.Experiment(partial(models.MLP, (784, 10)), sgd, "mnist", 1, 64)


def test_c5_a_diverged_run_is_shown_as_such_and_repeated_on_demand(digits, capsys):
    wild = replace(digits, model=partial(models.MLP, (784, 8, 10)), optimizer=partial(torch.optim.SGD, lr=1e30))
    for refresh in (False, False, True):
        [found] = sweeps.sweep({"wild": wild}, [0], refresh)["wild"]
        assert found.status == "diverged"
        assert not any(math.isfinite(value) for value in found.metrics.values())
    first, second, third = capsys.readouterr().out.splitlines()
    assert "1 trained" in first
    assert "1 replayed" in second
    assert "1 trained" in third
    assert all(line.endswith("; 1 diverged") for line in (first, second, third))


def refuse(source, target):
    if target.suffix == ".json":
        raise OSError(28, "No space left on device")
    REPLACE(source, target)


REPLACE = os.replace


def test_c6_a_result_that_cannot_be_kept_is_returned_all_the_same(digits, monkeypatch, capsys):
    kept = experiment.run(digits)
    monkeypatch.setattr(files.os, "replace", refuse)
    again = experiment.run(digits, "softmax", refresh=True)
    assert again.metrics == kept.metrics
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: the result of softmax is not kept: cannot write")
    assert "No space left on device" in line


def pair(x):
    return {"pair": (x, 1 / 3)}


def test_c6_so_is_what_a_notebook_computed_itself(monkeypatch, capsys):
    digits = datasets.load("letters", "sample")
    monkeypatch.setattr(files.os, "replace", refuse)
    assert recall(digits, pair, 2) == {"pair": [2, 0.333333]}
    assert "the result of pair is not kept" in capsys.readouterr().err


def no_locks(*_, **__):
    raise OSError(95, "Operation not supported")


def test_c7_a_network_drive_that_loses_the_newest_file(tmp_path, monkeypatch, capsys, record_property):
    monkeypatch.setattr(os, "link", no_locks)
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(fcntl, "flock", no_locks)
    monkeypatch.setattr(fcntl, "lockf", no_locks)
    for step in (1, 2, 3):
        newest = checkpoint.save(tmp_path / "lost", step, {"step": step})
        late = checkpoint.save(tmp_path / "late", step, {"step": step})
    newest.unlink()  # it was never uploaded
    late.write_bytes(late.read_bytes()[:100])  # not to its end
    assert checkpoint.load(tmp_path / "lost")["step"] == 2
    assert checkpoint.load(tmp_path / "late")["step"] == 2
    assert f"{late.name} is damaged" in capsys.readouterr().err
    checkpoint._newest_first(tmp_path / "late")[1].unlink()
    with pytest.raises(StorageError, match="no readable checkpoint"):
        checkpoint.load(tmp_path / "late")
    record_property("injected", "a network drive without locks: the newest checkpoint lost, or cut off")
    record_property("lost", "that one checkpoint")


def test_c8_no_time_is_ever_read(tmp_path):
    path = store.save(result(1))
    os.utime(path, (0, 0))
    assert store.load(KEY).name == "writer 1"
    newer = store.save(result(2))
    os.utime(newer, (4e9, 4e9))
    assert store.load(KEY).name == "writer 2"


def test_c9_file_names_are_plain_and_text_is_utf8():
    path = store.save(Result(KEY, "Größe: 2/3 «김»", "ok", {}, [], [], {}, {}))
    assert re.fullmatch(r"[A-Za-z0-9.=-]{1,85}", path.name)
    assert "«김»" in path.read_text(encoding="utf-8")
    assert json.loads(path.read_text(encoding="utf-8"))["name"] == "Größe: 2/3 «김»"
