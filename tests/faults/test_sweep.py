"""FAULTS W1 to W3: workers and drivers of sweeps killed. COURSEKIT_FAULTS=long is the long set, on dask too."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from tests.faults import sweeping

LONG = os.environ.get("COURSEKIT_FAULTS") == "long"
RUNS = 40 if LONG else 5
ROOT = Path(__file__).parents[2]
posix = pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
needs_dask = pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="needs the extra cluster")
BOTH = ["processes", pytest.param("dask", marks=needs_dask)] if LONG else ["processes"]

pytestmark = posix


@pytest.fixture(autouse=True)
def _sample(monkeypatch):
    monkeypatch.setenv("COURSEKIT_PROFILE", "sample")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def start(folder: Path, engine: str, *more: str) -> subprocess.Popen:
    command = [sys.executable, str(ROOT / "tests/faults/sweeping.py"), str(folder), engine, str(RUNS), *more]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition, seconds: float = 120):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.01)
    return found


def in_the_middle(folder: Path) -> int | None:
    """A process that has just begun its fourth epoch, when half of the runs have begun."""
    lines = sweeping.log(folder)
    half = len({run for _, run, _ in lines}) > RUNS // 2
    return int(lines[-1][0]) if half and lines[-1][2:] == ["3"] else None


def whole(folder: Path) -> dict:
    """The same runs without a fault, in this process."""
    found = sweeping.sweep(sweeping.variants(folder, RUNS, seconds=0), [0], executor=sweeping.ENGINES["serial"]())
    return json.loads(json.dumps(sweeping.numbers(found)))


@pytest.mark.parametrize("engine", [*BOTH, *(["a pool"] if LONG else [])])
def test_w1_w2_a_worker_killed_and_a_run_that_always_kills_its_own(tmp_path, monkeypatch, record_property, engine):
    driver = start(tmp_path, engine, "poison")
    os.kill(wait_for(lambda: in_the_middle(tmp_path)), signal.SIGKILL)
    _, stderr = driver.communicate(timeout=300)
    found, reasons = json.loads((tmp_path / "found").read_text())
    assert driver.returncode == 0, stderr
    death = "KilledWorker" if engine == "dask" else "BrokenProcessPool"
    assert reasons == {"poison": f"its worker died 3 times (last: {death})"}
    assert f"lost: poison, seed 0: {reasons['poison']}" in stderr
    assert Counter(status for *_, status in found.values()) == {"ok": RUNS, "lost": 1}
    begun = Counter((run, epoch) for _, run, epoch in sweeping.log(tmp_path))
    assert len(begun) == RUNS * sweeping.EPOCHS
    cut_off = 3 if engine == "a pool" else 1  # it ends whole: two were running at the kill, one beside the poison
    assert begun.total() <= len(begun) + cut_off, "more was trained again than the epochs that were cut off"
    monkeypatch.setenv("COURSEKIT_RESULTS", str(tmp_path / "others"))
    expected = whole(tmp_path)
    assert {name: found[name] for name in expected} == expected, "not bit for bit those of runs left alone"
    record_property("injected", f"a worker of {engine} killed, and a run that kills each of its own, among {RUNS}")
    record_property("lost", "that run; 0 of the others, bit for bit")


@pytest.mark.skipif(not LONG, reason="half a minute: make test-faults")
@pytest.mark.parametrize("engine", BOTH)
def test_w1_the_driver_killed(tmp_path, capfd, record_property, engine):
    driver = start(tmp_path, engine)
    wait_for(lambda: in_the_middle(tmp_path))
    family = psutil.Process(driver.pid).children(recursive=True)
    driver.kill()
    driver.communicate()
    _, left = psutil.wait_procs(family, timeout=20)
    assert not left, "workers outlive their driver"
    done = len(list((tmp_path / "results").glob("*.json")))
    before = Counter(run for _, run, _ in sweeping.log(tmp_path))
    found = whole_again(tmp_path)
    assert f"{done} replayed from the results store; {RUNS - done} trained" in capfd.readouterr().out
    after = Counter(run for _, run, _ in sweeping.log(tmp_path))
    finished = [run for run in before if found[run][2] == "ok" and after[run] == before[run]]
    assert len(finished) >= done
    assert after.total() <= RUNS * sweeping.EPOCHS + 2 * 2, "more was trained again than what two workers had begun"
    record_property("injected", f"the driver of a sweep of {RUNS} killed, {engine}")
    record_property("lost", "0 runs; the epochs that were being trained")


def whole_again(folder: Path) -> dict:
    found = sweeping.sweep(sweeping.variants(folder, RUNS), [0], executor=sweeping.ENGINES["serial"]())
    return sweeping.numbers(found)


NOTEBOOK = """
from dataclasses import replace
from tests.faults import sweeping

def network():
    return sweeping.models.MLP((128, width(), 10), dropout=0.1)

def width():
    return 8

found = sweeping.sweep({"mine": replace(sweeping.BASE, model=network)}, [0], executor=sweeping.executors.processes(1))
print("then", sweeping.sweep({"mine": replace(sweeping.BASE, model=network)}, [0])["mine"][0].replayed)
"""
SHELL = "import sys; from IPython.core.interactiveshell import InteractiveShell as Shell; "
SHELL += "raise SystemExit(not Shell.instance().run_cell(sys.stdin.read()).success)"


def test_w3_a_function_of_a_notebook(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "IPYTHONDIR": str(tmp_path)}
    command = [sys.executable, "-c", SHELL]
    done = subprocess.run(command, input=NOTEBOOK, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "then True" in done.stdout, "the key of the worker is another one"
