"""FAULTS T1, T4: trainings killed at random moments, and damaged checkpoints. COURSEKIT_FAULTS=long is the long set."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from coursekit import checkpoint

LONG = os.environ.get("COURSEKIT_FAULTS") == "long"
RUNS, KILLS, DAMAGES = (40, 200, 300) if LONG else (6, 30, 60)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_t1_killed_at_random_moments_and_resumed_bit_for_bit(tmp_path, record_property):
    script = Path(__file__).with_name("kills.py")
    command = [sys.executable, "-W", "error", str(script), str(tmp_path), str(RUNS), str(KILLS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    found = json.loads(done.stdout)
    record_property("injected", f"{found['kills']} SIGKILLs in {found['runs']} trainings")
    record_property("lost", f"{found['runs'] - found['identical']} trainings not bit-identical")
    assert done.stderr == ""
    assert found["identical"] == found["runs"] == RUNS
    assert found["kills"] >= KILLS / 2, "too few hit a running training"


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
