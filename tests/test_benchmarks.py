"""`make bench` works from end to end, and its loops do the same training."""

import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.page import MARK, extract

ROOT = Path(__file__).parents[1]


def test_a_quick_round_writes_the_page(tmp_path):
    page, readme = tmp_path / "page.md", tmp_path / "README.md"
    readme.write_text(f"before\n{MARK}\nold\n{MARK}\nafter\n")
    command = [sys.executable, "-m", "benchmarks", "--quick", "-o", str(page), "--into", str(readme)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    text = page.read_text()
    assert "cifar10 (SAMPLE)" in text
    assert str(ROOT) not in text
    found = json.loads(page.with_suffix(".json").read_text())
    assert [row["precision"] for row in found["loops"]] == ["float32", "bfloat16"]
    assert all(row["ratio_0"]["median"] > 0 and row["gflops"] > 0 for row in found["loops"])
    assert all(row["ratio"]["median"] > 0 for row in found["sweeps"])
    assert all(row["ratio"]["median"] > 0 for row in found["evaluations"])
    assert len(found["costs"]) == 4
    assert readme.read_text() == f"before\n{MARK}\n{extract(found)}{MARK}\nafter\n"


def test_the_readme_has_an_extract_of_what_was_measured():
    found = json.loads((ROOT / "docs" / "benchmarks.json").read_text())
    text = (ROOT / "README.md").read_text(encoding="utf-8").split(MARK)[1]
    assert text == f"\n{extract(found)}", "run: make bench"
    first = found["loops"][0]
    assert f"| MLP, 128 | {first['courses_ms']:.1f} | {first['ratio_0']['median']:.1f} |" in text
