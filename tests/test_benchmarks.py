"""`make bench` works from end to end, and its loops do the same training."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.peers import measure
from benchmarks.peers.contestants import MATCHES

ROOT = Path(__file__).parents[1]
PARTS = {
    "some parts": ["evaluations", "costs"],
    "all parts": ["loops", "peers", "sweeps", "evaluations", "costs"],
}
LONG = pytest.mark.skipif(os.environ.get("COURSEKIT_FAULTS") != "long", reason="a minute: make test-faults")


@pytest.mark.filterwarnings("ignore")  # of the loaders' workers, which are forked
@pytest.mark.parametrize("parts", [PARTS["some parts"], pytest.param(PARTS["all parts"], marks=LONG)], ids=list(PARTS))
def test_a_quick_round_writes_the_page(parts, tmp_path, monkeypatch, capsys):
    page = tmp_path / "page.md"
    ours = MATCHES[0].contestants[:1]
    monkeypatch.setattr(measure, "MATCHES", (replace(MATCHES[0], contestants=ours),))
    monkeypatch.chdir(ROOT)
    main(["--quick", "-o", str(page), "--only", *parts])
    text = page.read_text()
    assert "cifar10 (SAMPLE)" in text
    assert str(ROOT) not in text
    found = json.loads(page.with_suffix(".json").read_text())
    assert all(row["ratio"]["median"] > 0 for row in found["evaluations"])
    assert len(found["costs"]) == 4
    if "loops" in parts:
        assert [row["precision"] for row in found["loops"]] == ["float32", "bfloat16"]
        assert all(row["ratio_0"]["median"] > 0 and row["gflops"] > 0 for row in found["loops"])
        assert all(row["ratio"]["median"] > 0 for row in found["sweeps"])
        counts = {"one_thread": 1, "quiet": 2, "beside": 2, "neighbour": 1, "left_out": 0}
        assert {how: len(rows) for how, rows in found["peers"].items()} == counts
        assert found["peers"]["neighbour"][0]["alone"] > 0
    out = capsys.readouterr().out
    assert "met    " in out or "MISSED " in out
