"""FAULTS C1, C6, C8, C9: the results store under two writers, on a disk that refuses, with lying clocks and names."""

import json
import multiprocessing
import os
import re
import signal
import time
from functools import partial

import pytest

from coursekit import data, experiment, models, results, samples, storage
from coursekit.recall import recall
from coursekit.results import Result

KEY = "ab" * 32
SECONDS = 2.0


def result(writer: int, size: int = 4000) -> Result:
    return Result(KEY, f"writer {writer}", "ok", {}, [], [], {"all": [writer] * size}, {})


def write_until(end: float, writer: int, failures) -> None:
    while time.time() < end:
        try:
            results.save(result(writer))
        except Exception as error:
            failures.put(repr(error))


def test_c1_two_writers_and_a_reader_of_one_key(record_property, capfd):
    processes = multiprocessing.get_context("spawn")
    failures, end = processes.Queue(), time.time() + SECONDS + 4  # they import torch first
    results.save(result(0))
    writers = [processes.Process(target=write_until, args=(end, number, failures)) for number in (1, 2)]
    for writer in writers:
        writer.start()
    reads, seen = 0, set()
    while time.time() < end:
        found = results.load(KEY)
        assert found is not None, "a failed read"
        assert len(set(found.metrics["all"])) == 1, "a mixed read"
        seen.add(found.name)
        reads += 1
    for writer in writers:
        writer.join(60)
    record_property("injected", f"2 writers and a reader of one key, {reads} reads")
    record_property("lost", "0 failed or mixed reads")
    assert failures.empty()
    assert seen >= {"writer 1", "writer 2"}
    assert "damaged" not in capfd.readouterr().err


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_c1_a_writer_killed_in_the_middle_leaves_a_whole_entry(capfd, record_property):
    processes = multiprocessing.get_context("spawn")
    failures = processes.Queue()
    results.save(result(0))
    for _ in range(3):
        writer = processes.Process(target=write_until, args=(time.time() + 60, 1, failures))
        writer.start()
        end = time.time() + 60
        while results.load(KEY).name != "writer 1":
            assert time.time() < end, "the writer did not start"
            time.sleep(0.01)
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        assert results.load(KEY).name == "writer 1"
        results.save(result(0))
    record_property("injected", "3 SIGKILLs of a writer")
    record_property("lost", "0 entries")
    assert "damaged" not in capfd.readouterr().err


def refuse(source, target):
    if target.suffix == ".json":
        raise OSError(28, "No space left on device")
    REPLACE(source, target)


REPLACE = os.replace


def test_c6_a_result_that_cannot_be_kept_is_returned_all_the_same(monkeypatch, capsys):
    monkeypatch.setenv("COURSEKIT_PROFILE", "sample")
    monkeypatch.setitem(samples.ARRAYS, "mnist", partial(samples.digits, 200, 50))
    sgd = partial(experiment.torch.optim.SGD, lr=0.1)
    small = experiment.Experiment(partial(models.MLP, (784, 10)), sgd, "mnist", 1, 64)
    kept = experiment.run(small)
    monkeypatch.setattr(storage.os, "replace", refuse)
    again = experiment.run(small, "softmax", refresh=True)
    assert again.metrics == kept.metrics
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: the result of softmax is not kept: cannot write")
    assert "No space left on device" in line


def pair(x):
    return {"pair": (x, 1 / 3)}


def test_c6_so_is_what_a_notebook_computed_itself(monkeypatch, capsys):
    digits = data.load("letters", "sample")
    monkeypatch.setattr(storage.os, "replace", refuse)
    assert recall(digits, pair, 2) == {"pair": [2, 0.333333]}
    assert "the result of pair is not kept" in capsys.readouterr().err


def test_c8_no_time_is_ever_read(tmp_path):
    path = results.save(result(1))
    os.utime(path, (0, 0))
    assert results.load(KEY).name == "writer 1"
    newer = results.save(result(2))
    os.utime(newer, (4e9, 4e9))
    assert results.load(KEY).name == "writer 2"


def test_c9_file_names_are_plain_and_text_is_utf8():
    path = results.save(Result(KEY, "Größe: 2/3 «김»", "ok", {}, [], [], {}, {}))
    assert re.fullmatch(r"[a-z0-9.-]{1,64}", path.name)
    assert "«김»" in path.read_text(encoding="utf-8")
    assert json.loads(path.read_text(encoding="utf-8"))["result"]["name"] == "Größe: 2/3 «김»"
