"""One network trained by two processes: the result of one, also when one of the two is killed on the way."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

LONG = os.environ.get("COURSEKIT_FAULTS") == "long"
ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "train_ddp.py"
OPTIONS = ["--source", "sample", "--depth", "8", "--epochs", "2", "--batch-size", "50", "--train-size", "230"]
OPTIONS += ["--validation", "0", "--lr", "0.02", "--checkpoint-every", "1", "--float64"]

pytestmark = pytest.mark.skipif(
    sys.platform == "win32" or not torch.distributed.is_gloo_available(), reason="needs gloo and SIGKILL"
)


def start(folder: Path, processes: int = 1) -> subprocess.Popen:
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "--max-restarts=2"]
    command = [sys.executable, *(launcher if processes > 1 else []), str(SCRIPT), "--folder", str(folder), *OPTIONS]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def final(folder: Path, running: subprocess.Popen) -> dict:
    _, stderr = running.communicate(timeout=300)
    assert running.returncode == 0, stderr[-8000:]
    return torch.load(folder / "final.pt", weights_only=True)


def kill_one_in_the_middle(folder: Path, torchrun: subprocess.Popen) -> int:
    deadline = time.monotonic() + 200
    while not list(folder.glob("step-00000000[3-6].*")):
        assert time.monotonic() < deadline, "no checkpoint came"
        time.sleep(0.002)
    ranks = [p for p in psutil.Process(torchrun.pid).children() if str(SCRIPT) in p.cmdline()]
    assert len(ranks) == 2
    os.kill(ranks[1].pid, signal.SIGKILL)
    return max(int(path.name[5:14]) for path in folder.glob("step-*"))


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("train_ddp", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(not LONG, reason="a minute: make test-faults")
def test_w1_two_processes_one_of_them_killed_end_as_one(tmp_path, record_property):
    one, two = start(tmp_path / "one"), start(tmp_path / "two", 2)
    step = kill_one_in_the_middle(tmp_path / "two", two)
    alone, killed = final(tmp_path / "one", one), final(tmp_path / "two", two)
    assert step < 10, "it was done before"
    assert [row["step"] for row in killed["history"]] == [5, 10]
    for row, other in zip(killed["history"], alone["history"], strict=True):
        assert row == pytest.approx(other, rel=1e-9)
    for name, weights in alone["model"].items():
        torch.testing.assert_close(killed["model"][name], weights, rtol=1e-8, atol=1e-10)
    record_property("injected", f"one of two processes that train one network killed after step {step} of 10")
    record_property("lost", "at most a step; the weights are those of one process up to rounding")
    whole = final(tmp_path / "whole", start(tmp_path / "whole", 2))
    assert all(torch.equal(killed["model"][name], weights) for name, weights in whole["model"].items())


def test_the_norm_of_one_process_is_that_of_torch(script, monkeypatch):
    monkeypatch.setattr(script.distributed, "all_reduce", lambda x: None)
    x = torch.randn(6, 4, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ours, theirs = (kind(4).double() for kind in (script.GlobalBatchNorm, torch.nn.BatchNorm2d))
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    for layer, given in zip((ours, theirs), inputs, strict=True):
        (layer(given) ** 3).sum().backward()
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad)
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))
