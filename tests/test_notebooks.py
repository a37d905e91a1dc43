"""The committed notebooks: current, executed, clean; and every one of them runs on sample data."""

from pathlib import Path

import nbformat
import pytest

from coursekit.errors import UsageError
from coursekit.execution import notebooks
from coursekit.execution.source import source_sha256
from coursekit.report import export
from coursekit.settings import budget, profile, source

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "notebooks" / "src").glob("*.py"))
stem = pytest.mark.parametrize("source_path", SOURCES, ids=lambda path: path.stem)


@stem
def test_committed_notebook_is_executed_current_and_clean(source_path):
    path = ROOT / "notebooks" / f"{source_path.stem}.ipynb"
    notebook = nbformat.read(path, 4)
    notebooks.check(notebook, path.name)
    kit = notebook.metadata.coursekit
    assert kit.src_sha256 == source_sha256(source_path), "run `make notebooks`: the source has changed since"
    assert kit.profile == "full"
    assert not any(text.startswith("sample") or "NOT VERIFIED" in text for text in kit.sources.values())
    assert "widgets" not in notebook.metadata
    assert path.stat().st_size < 1_000_000
    for word in ("/root/", "/home/", "/tmp/"):
        assert word not in path.read_text()


@stem
def test_committed_figures_are_those_of_the_notebook(source_path, tmp_path):
    notebook = nbformat.read(ROOT / "notebooks" / f"{source_path.stem}.ipynb", 4)
    files = notebooks.save_figures(notebook, tmp_path)
    assert files
    for file in files:
        assert (ROOT / "figures" / file.name).read_bytes() == file.read_bytes(), file.name


@stem
def test_notebook_runs_on_sample_data_and_becomes_a_report(source_path, tmp_path):
    notebook = notebooks.run(source_path, tmp_path / f"{source_path.stem}.ipynb", "sample", threads=1)
    assert notebook.metadata.coursekit.profile == "sample"
    assert export.to_pdf([(source_path.stem, notebook)]).startswith(b"%PDF-")
    assert "Made from sample data" in export.to_html([(source_path.stem, notebook)])


def test_profile_and_source_come_from_outside(monkeypatch):
    monkeypatch.setenv("COURSEKIT_PROFILE", "sample")
    assert (profile(), source(), budget(3, sample=1)) == ("sample", "sample", 1)
    monkeypatch.delenv("COURSEKIT_PROFILE")
    assert (profile(), source(), budget(3, sample=1)) == ("full", "auto", 3)
    monkeypatch.setenv("COURSEKIT_SOURCE", "real")
    assert source() == "real"
    monkeypatch.setenv("COURSEKIT_PROFILE", "quick")
    with pytest.raises(UsageError, match="full, sample"):
        profile()
