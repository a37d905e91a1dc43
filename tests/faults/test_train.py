"""FAULTS T1, T2, T4, T6 to T12: trainings killed, full disks, two at once. COURSEKIT_FAULTS=long is the long set."""

import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest
import torch
from torch import nn

from coursekit import files
from coursekit.data.batches import Batches
from coursekit.training import checkpoint, loop
from tests.faults import kills

LONG = os.environ.get("COURSEKIT_FAULTS") == "long"
SEEDS, KILLS, DAMAGES, STACKS, STACK_KILLS = (40, 210, 300, 10, 60) if LONG else (2, 6, 30, 2, 4)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_t1_killed_at_random_moments_and_resumed_bit_for_bit(tmp_path, record_property):
    script = Path(__file__).with_name("kills.py")
    command = [sys.executable, "-W", "error", str(script), str(tmp_path), str(SEEDS), str(KILLS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    found = json.loads(done.stdout)
    record_property("injected", f"{found['kills']} SIGKILLs in {found['runs']} trainings")
    record_property("lost", f"{found['runs'] - found['identical']} trainings not bit-identical")
    assert done.stderr == ""
    assert found["identical"] == found["runs"] >= SEEDS
    assert found["kills"] == KILLS


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_t12_a_stack_killed_at_random_moments_is_bit_identical_or_says_that_it_is_not_exact(tmp_path, record_property):
    script = Path(__file__).with_name("kills.py")
    command = [sys.executable, "-W", "error", str(script), str(tmp_path), str(STACKS), str(STACK_KILLS), "stack"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    found = json.loads(done.stdout)
    record_property("injected", f"{found['kills']} SIGKILLs in {found['runs']} stacks of three")
    record_property("lost", f"{found['runs'] - found['identical']} stacks not bit-identical, all of them said so")
    assert done.stderr == ""
    assert found["identical"] + found["approximate"] == found["runs"] >= STACKS
    assert found["kills"] == STACK_KILLS


def flipped(content: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(content))
    return content[:place] + bytes([content[place] ^ (1 << rng.randrange(8))]) + content[place + 1 :]


def torn(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content))]


def zero_tail(content: bytes, rng: random.Random) -> bytes:
    cut = rng.randrange(len(content.rstrip(b"\0")))
    return content[:cut] + bytes(len(content) - cut)


def foreign(content: bytes, rng: random.Random) -> bytes:
    return rng.randbytes(len(content))


def test_t4_damaged_newest_checkpoints_are_all_noticed(tmp_path, capsys, record_property):
    rng, noticed = random.Random(0), 0
    harms = (flipped, torn, zero_tail, foreign)
    for number in range(DAMAGES):
        folder = tmp_path / str(number)
        for step in (1, 2):
            newest = checkpoint.save(folder, step, {"step": step, "weights": torch.rand(50)})
        harm = harms[number % len(harms)]
        newest.write_bytes(harm(newest.read_bytes(), rng))
        found = checkpoint.load(folder)
        noticed += found["step"] == 1 and f"{newest.name} is damaged" in capsys.readouterr().err
    record_property("injected", f"{DAMAGES} damaged newest checkpoints")
    record_property("lost", f"{DAMAGES - noticed} not noticed")
    assert noticed == DAMAGES


# --- in a process of their own ----------------------------------------------------------------------------------------

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs fork, limits and signals")
HERE = Path(__file__).parent


def crash(fault: str, folder: Path) -> str:
    command = [sys.executable, "-W", "error", str(HERE / "crashes.py"), fault, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def start(folder: Path, epochs: int, **environment) -> subprocess.Popen:
    """`kills.train` with seed 0 in a new process."""
    code = "import sys, pathlib, torch; torch.set_num_threads(1); from tests.faults import kills; "
    code += "kills.train(pathlib.Path(sys.argv[1]), 0, int(sys.argv[2]))"
    command = [sys.executable, "-c", code, str(folder), str(epochs)]
    environment = os.environ | {"PYTHONPATH": str(HERE.parents[1])} | environment
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def wait_for_checkpoint(folder: Path) -> None:
    deadline = time.monotonic() + 60
    while not list(folder.glob("step-*")):
        assert time.monotonic() < deadline, "no checkpoint came"
        time.sleep(0.002)


def final(folder: Path) -> dict:
    return torch.load(folder / "final", weights_only=True)


@posix
def test_t2_killed_at_every_point_of_the_save_protocol(tmp_path, record_property):
    found = json.loads(crash("points", tmp_path))
    assert len(found) == 10
    for point, seen in found.items():
        assert seen["killed"], point
        done = point in list(found)[6:]
        assert seen["loaded"] == (3 if done else 2), point
        assert (seen["said"], seen["left"]) == ("", 2), f"{point}: warnings, or temporary files that stay"
    record_property("injected", f"SIGKILL at {len(found)} points of the save protocol")
    record_property("lost", "0 checkpoints that were there before")


@pytest.mark.skipif(torch.backends.cpu.get_cpu_capability() == "DEFAULT", reason="needs a CPU with AVX")
def test_t6_on_other_instructions_it_goes_on_with_a_warning(tmp_path):
    kills.train(tmp_path, 0, epochs=1)
    (tmp_path / "final").unlink()
    _, stderr = start(tmp_path, 3, ATEN_CPU_CAPABILITY="default").communicate(timeout=120)
    here = torch.backends.cpu.get_cpu_capability()
    assert stderr == f"warning: resume of step 8 is approximate: instructions {here} -> DEFAULT\n"
    assert len(final(tmp_path)["history"]) == 3
    assert not checkpoint.load(tmp_path)["progress"]["exact"]


@posix
def test_t7_no_room_in_the_middle_of_a_write(tmp_path, record_property):
    said = crash("full", tmp_path)
    assert said.startswith("cannot write step-000000013.")
    assert f"(4.0 MB) to {tmp_path}: File too large; step 12 is intact\n" in said
    assert checkpoint.load(tmp_path)["progress"]["step"] == 12
    assert not list(tmp_path.glob(".*.tmp"))
    record_property("injected", "a disk that is full in the middle of a checkpoint")
    record_property("lost", "the steps since the last checkpoint")


@pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare")
def test_t7_a_small_disk(tmp_path):
    script = f"mount -t tmpfs -o size=1m none {tmp_path} && {sys.executable} {HERE / 'crashes.py'} small {tmp_path}"
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, timeout=120)
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip("needs the right to mount")
    assert ": No space left on device (" in done.stdout
    assert "MB free); step 12 is intact" in done.stdout


@posix
def test_t8_a_folder_without_permission_is_refused_before_the_first_step():
    with tempfile.TemporaryDirectory() as parent:  # root's tests are nobody here, who cannot enter tmp_path
        os.chmod(parent, 0o755)
        folder = Path(parent, "run")
        said = crash("readonly", folder)
    assert said.startswith("cannot write .probe.")
    assert f"to {folder}: Permission denied" in said


@posix
def test_t9_two_trainers_in_one_folder_both_finish_and_are_told(tmp_path, record_property):
    kills.train(tmp_path / "alone", 0, epochs=12)
    both = tmp_path / "both"
    first = start(both, 12)
    wait_for_checkpoint(both)
    first.send_signal(signal.SIGSTOP)  # until the second has begun
    second = start(both, 12)
    deadline = time.monotonic() + 60
    while (both / ".writer").read_text() != f"{second.pid} {platform.node()}":
        assert time.monotonic() < deadline, "the second did not begin"
        time.sleep(0.002)
    first.send_signal(signal.SIGCONT)
    said = [process.communicate(timeout=120)[1] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), said
    assert kills.same(final(both), final(tmp_path / "alone"))
    assert checkpoint.load(both)["progress"]["step"] == 12 * 8
    warning = f"warning: another process (pid {{}} on {platform.node()}) writes to {both}\n"
    assert said == [warning.format(second.pid), warning.format(first.pid)]
    record_property("injected", "two trainings in one folder")
    record_property("lost", "0 files; both are bit-identical to one alone")


def test_t9_the_other_one_has_finished_and_removed_the_folder(tmp_path, monkeypatch):
    replace, path = os.replace, tmp_path / "run" / "file"

    def removed_first(*names):
        monkeypatch.setattr(os, "replace", replace)
        shutil.rmtree(path.parent)
        replace(*names)

    monkeypatch.setattr(os, "replace", removed_first)
    files.write_bytes(path, b"content")
    assert path.read_bytes() == b"content"


def test_t9_a_checkpoint_that_is_dropped_while_it_is_looked_for(tmp_path, monkeypatch, capsys):
    for step in (1, 2):
        checkpoint.save(tmp_path, step, {"step": step})
    read, listed = Path.read_bytes, checkpoint._newest_first(tmp_path)

    def dropped(path):
        if path == listed[0]:
            path.unlink(missing_ok=True)
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", dropped)
    assert checkpoint.load(tmp_path)["step"] == 1
    assert capsys.readouterr().err == ""


@posix
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, -signal.SIGINT)])
def test_t10_a_signal_ends_it_after_a_checkpoint_and_it_goes_on_bit_for_bit(tmp_path, number, code, record_property):
    epochs = 6
    kills.train(tmp_path / "whole", 0, epochs)
    process = start(tmp_path / "run", epochs)
    wait_for_checkpoint(tmp_path / "run")
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == code, "after SIGINT Python ends itself by that signal: 130 in a shell"
    assert not (tmp_path / "run" / "final").exists(), "it had finished before the signal"
    kills.train(tmp_path / "run", 0, epochs)
    assert kills.same(final(tmp_path / "run"), final(tmp_path / "whole"))
    record_property("injected", f"{number.name} to a training")
    record_property("lost", "0 steps; bit-identical")


def test_t11_a_training_starts_no_process(tmp_path):
    here, seen = psutil.Process(), []
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    batches = Batches(torch.zeros(8, 2, 2, 3, dtype=torch.uint8), torch.arange(8) % 2, 4, shuffle=True, seed=0)
    before = here.children(recursive=True)

    def count(model):
        seen.append(here.children(recursive=True))
        return {}

    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    loop.fit(model, batches, {}, sgd, 1, probe=count, probe_every=1, folder=tmp_path)
    assert seen == [before, before]
