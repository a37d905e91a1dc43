import os
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_markdown_cell, new_notebook

from coursekit.cli import arguments


def coursekit(*arguments, cwd, **environment):
    command = [sys.executable, "-m", "coursekit", *arguments]
    return subprocess.run(command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True)


@pytest.fixture
def workbook(tmp_path):
    """A workbook of two tiny notebooks."""
    folder = tmp_path / "notebooks" / "src"
    folder.mkdir(parents=True)
    (folder / "01_one.py").write_text("# %% [markdown]\n# # 01 · One\n\n# %%\nprint(1)\n")
    (folder / "02_two.py").write_text("# %%\nfrom coursekit import data\n\ndata.load('letters', 'real')\n")
    return tmp_path


def test_report_runs_and_writes_pdf_and_html(workbook):
    done = coursekit("report", "--run", "1", "--author", "A. Learner", cwd=workbook)
    assert done.returncode == 0, done.stderr
    assert (workbook / "build" / "workbook.pdf").read_bytes().startswith(b"%PDF-")
    assert "A. Learner" in (workbook / "build" / "workbook.html").read_text()


def test_each_notebook_is_told_with_its_own_time_in_whatever_order_they_are_done(workbook):
    for name, sleep in (("02_two", 0), ("03_three", 2)):
        (workbook / "notebooks" / "src" / f"{name}.py").write_text(f"# %%\nimport time\n\ntime.sleep({sleep})\n")
    done = coursekit("run", "--jobs", "2", cwd=workbook)
    built = sorted((workbook / "build" / "notebooks").glob("*.ipynb"))
    seconds = {str(path.relative_to(workbook)): nbformat.read(path, 4).metadata.coursekit.seconds for path in built}
    assert sorted(done.stdout.splitlines()) == [f"{path}  {taken:.1f} s" for path, taken in seconds.items()]


def test_data_that_cannot_be_had_end_with_3_and_one_line(workbook, tmp_path):
    nowhere = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    done = coursekit("run", "two", cwd=workbook, COURSEKIT_DATA=str(tmp_path / "cache"), **nowhere)
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error")]
    assert done.returncode == 3
    assert "02_two.py cell 1: DataError: cannot download letters (no network); put letters.npz" in line
    assert "of a machine that has it into cache, or" in line, "a path below the working folder is relative"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run", "9"], 2, "error: no such notebook '9'; there are: 01_one, 02_two"),
        (["run", "--profile", "huge"], 2, "invalid choice"),
        (["fly"], 2, "invalid choice"),
        (["report"], 4, "error: no notebooks in notebooks/"),
        (["run", "notebooks/src/01_one.py", "-o", "/dev/null/x"], 5, "error: cannot write"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_its_code(workbook, arguments, code, message):
    done = coursekit(*arguments, cwd=workbook)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_debug_shows_the_traceback(workbook):
    assert "Traceback" in coursekit("run", "9", "--debug", cwd=workbook).stderr


def test_a_notebook_is_never_executed_over_its_source(workbook):
    path = workbook / "x.ipynb"
    nbformat.write(new_notebook(cells=[new_markdown_cell("text")]), path)
    done = coursekit("run", "x.ipynb", "-o", ".", cwd=workbook)
    assert done.returncode == 2
    assert "would be overwritten" in done.stderr


@pytest.mark.parametrize("word", ["1", "01", "one", "01_one"])
def test_notebooks_are_found_by_number_and_name(word, workbook, monkeypatch):
    monkeypatch.chdir(workbook)
    assert [path.name for path in arguments.find([word], arguments.SOURCES, ".py")] == ["01_one.py"]
    assert len(arguments.find([], arguments.SOURCES, ".py")) == 2


def test_what_starts_notebooks_does_not_import_torch():
    code = "import sys, coursekit.execution.notebooks, coursekit.report.export; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_strict_ends_with_4_when_something_was_left_out(tmp_path):
    path = tmp_path / "mine.ipynb"
    for text, code in (("# All of it", 0), ("# Mine\n\n![x](gone.png)", 4)):
        nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)]), path)
        for strict in ([], ["--strict"]):
            done = coursekit("report", "mine.ipynb", "-o", "out", "--format", "html", *strict, cwd=tmp_path)
            assert done.returncode == (code if strict else 0)
            assert ("warning: mine cell 1: picture gone.png is not found" in done.stderr) == bool(code)
            assert ("error: the report is written, but not all" in done.stderr) == bool(code and strict)
            assert (tmp_path / "out.html").exists()
