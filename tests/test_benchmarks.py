"""`make bench` works from end to end, and its loops do the same training."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_a_quick_round_writes_the_page(tmp_path):
    page = tmp_path / "page.md"
    command = [sys.executable, "-m", "benchmarks", "--quick", "-o", str(page)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    text = page.read_text()
    assert "cifar10 (SAMPLE)" in text
    assert str(ROOT) not in text
    found = json.loads(page.with_suffix(".json").read_text())
    assert [row["precision"] for row in found["loops"]] == ["float32", "bfloat16"]
    assert all(row["ratio_0"]["median"] > 0 and row["gflops"] > 0 for row in found["loops"])
    assert all(row["ratio"]["median"] > 0 for row in found["sweeps"])
    assert len(found["costs"]) == 4
