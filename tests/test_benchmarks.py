"""`make bench` works from end to end, and its loops do the same training."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.page import MARK, extract
from benchmarks.peers import measure
from benchmarks.peers.contestants import MATCHES

ROOT = Path(__file__).parents[1]


@pytest.mark.filterwarnings("ignore")  # of the loaders' workers, which are forked
def test_a_quick_round_writes_the_page(tmp_path, monkeypatch, capsys):
    page, readme = tmp_path / "page.md", tmp_path / "README.md"
    readme.write_text(f"before\n{MARK}\nold\n{MARK}\nafter\n")
    ours = MATCHES[0].contestants[:1]
    monkeypatch.setattr(measure, "MATCHES", (replace(MATCHES[0], contestants=ours),))
    monkeypatch.chdir(ROOT)
    main(["--quick", "-o", str(page), "--into", str(readme)])
    text = page.read_text()
    assert "cifar10 (SAMPLE)" in text
    assert str(ROOT) not in text
    found = json.loads(page.with_suffix(".json").read_text())
    assert [row["precision"] for row in found["loops"]] == ["float32", "bfloat16"]
    assert all(row["ratio_0"]["median"] > 0 and row["gflops"] > 0 for row in found["loops"])
    assert all(row["ratio"]["median"] > 0 for row in found["sweeps"])
    assert all(row["ratio"]["median"] > 0 for row in found["evaluations"])
    assert len(found["costs"]) == 4
    assert {how: len(rows) for how, rows in found["peers"].items()} == {
        "one_thread": 1,
        "quiet": 2,
        "beside": 2,
        "neighbour": 1,
        "left_out": 0,
    }
    assert found["peers"]["neighbour"][0]["alone"] > 0
    out = capsys.readouterr().out
    assert "met    " in out or "MISSED " in out
    assert readme.read_text() == f"before\n{MARK}\n{extract(found)}{MARK}\nafter\n"


def test_the_readme_has_an_extract_of_what_was_measured():
    found = json.loads((ROOT / "docs" / "benchmarks.json").read_text())
    text = (ROOT / "README.md").read_text(encoding="utf-8").split(MARK)[1]
    assert text == f"\n{extract(found)}", "run: make bench"
    first = found["loops"][0]
    assert f"| MLP, 128 | {first['courses_ms']:.1f} | {first['ratio_0']['median']:.1f} |" in text
