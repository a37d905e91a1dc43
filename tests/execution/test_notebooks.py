import os
import time
from types import SimpleNamespace

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from coursekit.errors import DataError, NotebookError
from coursekit.execution import notebooks
from coursekit.execution.source import read_source, source_sha256


def write(path, *cells):
    """A py:percent notebook of code cells."""
    path.write_text("".join(f"# %%\n{cell}\n\n" for cell in cells))
    return path


def run(tmp_path, *cells, **options):
    return notebooks.run(write(tmp_path / "n.py", *cells), tmp_path / "out.ipynb", "sample", **options)


def test_a_notebook_is_executed_with_profile_and_source(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    notebook = run(
        tmp_path,
        "import os\nprint(os.environ['COURSEKIT_PROFILE'], os.environ['COURSEKIT_SOURCE'])",
        data_source="real",
    )
    assert notebook.cells[0].outputs[0].text == "sample real\n"
    assert notebook.metadata.coursekit.src_sha256 == source_sha256(tmp_path / "n.py")
    assert notebook.metadata.coursekit.seconds > 0
    assert "widgets" not in notebook.metadata
    assert [cell.id for cell in notebook.cells] == ["cell-001"]
    nbformat.validate(notebook)


@pytest.mark.parametrize(("profile", "folder"), [("sample", "results"), ("cpu", None)])
def test_runs_on_drawn_data_stay_out_of_the_workbooks_results(tmp_path, monkeypatch, profile, folder):
    monkeypatch.delenv("COURSEKIT_RESULTS")
    source = write(tmp_path / "n.py", "import os\nprint(os.environ.get('COURSEKIT_RESULTS'))")
    notebook = notebooks.run(source, tmp_path / "out.ipynb", profile)
    assert notebook.cells[0].outputs[0].text == f"{folder and tmp_path / folder}\n"


def test_an_error_names_its_cell_and_keeps_what_was_done(tmp_path):
    with pytest.raises(NotebookError, match=r"n.py cell 2: ZeroDivisionError: division by zero"):
        run(tmp_path, "print('first')", "1 / 0", "print('third')")
    notebook = nbformat.read(tmp_path / "out.ipynb", 4)
    assert notebook.cells[0].outputs[0].text == "first\n"
    assert notebook.cells[1].outputs[0].output_type == "error"
    assert not notebook.cells[2].outputs


def test_a_data_error_keeps_its_kind(tmp_path):
    with pytest.raises(DataError, match=r"cell 1: DataError: no such file"):
        run(tmp_path, "from coursekit.errors import DataError\nraise DataError('no such file\\nsecond line')")


def test_errors_that_do_not_raise_are_found():
    error = nbformat.v4.new_output("error", ename="ValueError", evalue="hidden", traceback=[])
    cell = new_code_cell("%%capture\nraise ValueError", outputs=[error], execution_count=1)
    with pytest.raises(NotebookError, match="n cell 2: ValueError: hidden"):
        notebooks.check(new_notebook(cells=[new_markdown_cell("text"), cell]), "n")
    cell.metadata["tags"] = ["raises-exception"]
    notebooks.check(new_notebook(cells=[cell]), "n")


def test_a_cell_that_was_not_executed_is_found():
    with pytest.raises(NotebookError, match="n cell 1: was not executed"):
        notebooks.check(new_notebook(cells=[new_code_cell("x = 1")]), "n")


def test_figures_are_written_under_their_names(tmp_path):
    data = {"image/svg+xml": "<svg/>", "text/plain": "caption"}
    output = nbformat.v4.new_output("display_data", data, metadata={"coursekit": {"figure": "01-loss"}})
    unnamed = nbformat.v4.new_output("display_data", data)
    files = notebooks.save_figures(new_notebook(cells=[new_code_cell("x", outputs=[output, unnamed])]), tmp_path)
    assert files == [tmp_path / "01-loss.svg"]
    assert files[0].read_text() == "<svg/>"


def test_a_missing_notebook_is_one_line(tmp_path):
    with pytest.raises(NotebookError, match=r"cannot read .*nothing\.py: No such file"):
        read_source(tmp_path / "nothing.py")


def test_all_notebooks_run_side_by_side_in_order(tmp_path):
    sources = [write(tmp_path / f"{name}.py", "import torch\nprint(torch.get_num_threads())") for name in ("b", "a")]
    executed = list(notebooks.run_all(sources, tmp_path / "out", "sample", jobs=2))
    threads = max(1, os.cpu_count() // 2)
    assert [notebook.cells[0].outputs[0].text for notebook in executed] == [f"{threads}\n"] * 2
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.ipynb", "b.ipynb"]


def test_a_notebook_with_few_threads_says_nothing(tmp_path, capfd):
    run(tmp_path, "1", threads=1)
    assert capfd.readouterr() == ("", "")


def test_several_notebooks_show_one_bar_that_counts_their_cells(tmp_path, capfd):
    sources = [write(tmp_path / "a.py", "1", "2", "3"), write(tmp_path / "b.py", "import os; os.write(1, b'a word')")]
    list(notebooks.run_all(sources, tmp_path / "out", "sample", jobs=2))
    said = capfd.readouterr()
    assert "2 notebooks: 100%" in said.err
    assert "4/4" in said.err
    assert said.out == "a word"


@pytest.mark.parametrize(
    ("cores", "gigabytes", "jobs"),
    [(4, 100, 4), (4, 7, 2), (4, 1, 1), (None, 100, 1)],
)
def test_as_many_notebooks_at_a_time_as_there_are_cores_and_memory_for(monkeypatch, cores, gigabytes, jobs):
    monkeypatch.setattr(notebooks.os, "cpu_count", lambda: cores)
    monkeypatch.setattr(notebooks.psutil, "virtual_memory", lambda: SimpleNamespace(available=gigabytes * 1e9))
    assert notebooks.side_by_side() == jobs


@pytest.mark.parametrize("names", ["ab", "ba"])
def test_the_first_error_stops_the_others(tmp_path, names):
    cells = {"a": "1 / 0", "b": "import time\ntime.sleep(60)"}
    sources = [write(tmp_path / f"{name}.py", cells[name]) for name in names]
    start = time.monotonic()
    with pytest.raises(NotebookError, match="ZeroDivisionError"):
        list(notebooks.run_all(sources, tmp_path / "out", "sample", jobs=2))
    assert time.monotonic() - start < 40
