"""The workbook on Colab: one address makes badge and first cell of every notebook; in a session, report and Drive."""

import ast
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from coursekit import colab
from coursekit.classroom import student
from coursekit.cli import main
from coursekit.errors import UsageError
from coursekit.execution import source
from coursekit.notebook import outputs
from coursekit.report import export
from coursekit.runs import store
from tests import exercises

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "notebooks" / "src").glob("*.py"))
HERE = "https://github.com/somebody/workbook"


def notebook():
    setup = new_code_cell("import coursekit", metadata={"tags": ["setup"]}, execution_count=1)
    return new_notebook(cells=[new_markdown_cell("# Title"), setup], metadata={"coursekit": {}})


def dressed(url, times=1):
    made = notebook()
    for _ in range(times):
        source.dress(made, "01_first", url)
    nbformat.validate(made)
    return made


@pytest.mark.parametrize(
    ("url", "clone", "opens"),
    [
        (HERE, HERE, "somebody/workbook/blob/main"),
        (f"{HERE}/", HERE, "somebody/workbook/blob/main"),
        (f"{HERE}.git", HERE, "somebody/workbook/blob/main"),
        (f"{HERE}/tree/2026", f"--branch 2026 {HERE}", "somebody/workbook/blob/2026"),
        ("https://git.example.org/a/b/workbook", "https://git.example.org/a/b/workbook", None),
    ],
)
def test_address_becomes_first_cell_and_badge(url, clone, opens):
    assert f"git clone -q --depth 1 {clone} workbook\n" in source.first_cell(url)
    assert "-U" not in source.first_cell(url)
    there = f"(https://colab.research.google.com/github/{opens}/notebooks/01_first.ipynb)"
    assert source.badge("01_first", url).endswith(there) if opens else source.badge("01_first", url) == ""


def test_without_an_address_there_is_no_badge_and_the_first_cell_says_what_to_do(monkeypatch):
    cells = dressed(None).cells
    assert [cell.cell_type for cell in cells] == ["markdown", "code", "code"]
    exec(cells[1].source, {})
    monkeypatch.setitem(sys.modules, "coursekit", None)
    with pytest.raises(ImportError, match="pip install -e"):
        exec(cells[1].source, {})


def test_dressing_again_replaces_what_is_there_and_keeps_that_it_was_executed():
    made = dressed(None)
    made.cells[1].execution_count = 1
    for url, count in ((HERE, 4), (f"{HERE}/tree/b", 4), ("https://example.org/a", 3), (HERE, 4), (None, 3)):
        source.dress(made, "01_first", url)
        assert len(made.cells) == count
        first = made.cells[count - 2]
        assert (first.source, first.execution_count) == (source.first_cell(url), 1)
    assert [cell.source for cell in dressed(HERE, times=3).cells] == [cell.source for cell in dressed(HERE).cells]


def test_a_notebook_of_somebody_else_is_left_alone():
    made = new_notebook(cells=[new_code_cell("1")])
    source.dress(made, "mine", HERE)
    assert [cell.source for cell in made.cells] == ["1"]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_every_source_is_plain_python_and_gets_its_first_cell(path):
    ast.parse(path.read_text())
    cells = source.read_source(path).cells
    firsts = [i for i, cell in enumerate(cells) if cell.id == "colab-first"]
    assert firsts == [next(i for i, cell in enumerate(cells) if cell.cell_type == "code")]
    assert cells[firsts[0] + 1].source.removeprefix("#@title Setup\n").startswith(("import", "from"))
    assert all(cell.id == f"cell-{i:03d}" for i, cell in enumerate(cells, 1) if cell.id != "colab-first")


@exercises.NEEDS_OTTER
def test_the_student_edition_has_the_first_cell_and_no_badge_to_the_solutions(monkeypatch):
    monkeypatch.setattr(source, "address", lambda: HERE)
    ids = [cell.id for cell in student.edition(SOURCES[0]).cells]
    assert source.FIRST in ids
    assert source.BADGE not in ids


def test_neither_badge_nor_first_cell_is_in_a_report():
    made = dressed(HERE)
    text = export.to_html([("01_first", made)])
    assert "Title" in text
    assert "colab" not in text.lower()


@pytest.mark.parametrize(
    "url", ["http://github.com/a/b", "https://github.com/a/b; rm -r .", "a/b", "https://github.com"]
)
def test_an_address_that_is_none_is_refused(url, tmp_path):
    with pytest.raises(UsageError, match="not an address"):
        source.set_address(url, tmp_path)


def test_command_sets_the_address_in_one_place_and_dresses_the_notebooks(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before = (ROOT / "pyproject.toml").read_bytes()
    Path("pyproject.toml").write_bytes(before)
    path = Path("notebooks/01_first.ipynb")
    path.parent.mkdir()
    path.write_bytes(outputs.to_bytes(dressed(None)))
    first = path.read_bytes()
    assert main.main(["colab", HERE]) == 0
    assert source.address(tmp_path) == HERE
    assert HERE in path.read_text()
    assert "badge" in capsys.readouterr().out
    assert main.main(["colab", "none"]) == 0
    assert source.address(tmp_path) is None
    assert path.read_bytes() == first
    assert main.main(["colab", "nonsense"]) == UsageError.exit_code


@pytest.fixture
def on_colab(monkeypatch, tmp_path):
    """A google.colab that notes what it is asked for; the notebook on its screen has run on sample data."""
    sources = {"sources": {"mnist": "sample data"}}
    output = new_output("display_data", {"text/plain": "profile"}, metadata={"coursekit": {"run": sources}})
    screen = notebook()
    screen.cells[1].outputs = [output]
    screen.metadata.colab = {"name": "02_mine.ipynb"}
    asked = []
    google = SimpleNamespace(
        _message=SimpleNamespace(blocking_request=lambda name, **_: {"ipynb": screen}),
        files=SimpleNamespace(download=asked.append),
        drive=SimpleNamespace(mount=asked.append),
    )
    module = ModuleType("google.colab")
    vars(module).update(vars(google))
    monkeypatch.setitem(sys.modules, "google", ModuleType("google"))
    monkeypatch.setitem(sys.modules, "google.colab", module)
    monkeypatch.setattr(colab, "DRIVE", tmp_path / "drive")
    monkeypatch.chdir(tmp_path)
    return asked


def test_report_of_the_notebook_on_the_screen_is_downloaded(on_colab, monkeypatch):
    said = {}

    def to_pdf(notebooks, **options):
        said.update(sources=notebooks[0][1].metadata.coursekit.sources, **options)
        return b"%PDF-"

    monkeypatch.setattr(export, "to_pdf", to_pdf)
    assert colab.download_report(author="A. Learner") == Path("02_mine.pdf")
    assert on_colab == ["02_mine.pdf"]
    assert Path("02_mine.pdf").read_bytes() == b"%PDF-"
    assert said == {"sources": {"mnist": "sample data"}, "author": "A. Learner"}


def test_results_go_to_drive_with_those_that_were_there(on_colab, tmp_path, monkeypatch):
    here = store.folder()
    (store.folder() / "scores").mkdir(parents=True)
    (store.folder() / "scores" / "a.json").write_text("{}")
    kept = colab.keep_on_drive()
    assert store.folder() == kept == tmp_path / "drive" / "MyDrive" / "coursekit-results"
    assert (kept / "scores" / "a.json").read_text() == "{}"
    assert on_colab == [str(tmp_path / "drive")]
    (kept / "scores" / "a.json").write_text("newer")
    monkeypatch.setenv("COURSEKIT_RESULTS", str(here))  # the next session
    colab.keep_on_drive()
    assert (kept / "scores" / "a.json").read_text() == "newer"


@pytest.mark.parametrize("call", [colab.download_report, colab.keep_on_drive])
def test_elsewhere_they_say_what_to_do(call):
    with pytest.raises(UsageError, match="this is not Colab"):
        call()


def test_an_export_says_what_the_outputs_say_and_not_what_the_file_said(on_colab):
    screen = sys.modules["google.colab"]._message.blocking_request("get_ipynb")["ipynb"]
    screen.metadata.coursekit = {"sources": {"mnist": "the published files"}}
    text, _ = export.HTMLReportExporter().from_notebook_node(screen)
    assert "Made from sample data" in text
