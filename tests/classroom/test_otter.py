"""The notebook for otter-grader, and where that is installed, an autograder made of it that grades two submissions."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest

from coursekit.classroom import otter
from coursekit.cli import main
from coursekit.errors import NotebookError, UsageError
from coursekit.execution.source import read_source
from tests import exercises

ROOT = Path(__file__).parents[2]


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A workbook with one source, and its path."""
    path = tmp_path / "notebooks" / "src" / "01_one.py"
    path.parent.mkdir(parents=True)
    path.write_text(exercises.SOURCE)
    (tmp_path / "requirements.txt").write_text((ROOT / "requirements.txt").read_text())
    monkeypatch.chdir(tmp_path)
    return path


def test_every_check_is_a_question_with_that_check_as_its_test(source):
    cells = otter.master(source).cells
    raw = [cell.source.splitlines()[:2] for cell in cells if cell.cell_type == "raw"]
    assert raw[0][0] == "# ASSIGNMENT CONFIG"
    assert [lines[1] for lines in raw if lines[0] == "# BEGIN QUESTION"] == [
        "name: double",
        "name: triple",
        "name: area",
    ]
    tests = [cell.source for cell in cells if cell.source.startswith("def test_")]
    assert tests[0] == (
        "def test_double(check, my_double):\n"
        "    verdict = check('double', my_double)\n"
        "    assert verdict.passed, str(verdict)"
    )
    assert len({cell.id for cell in cells}) == len(cells)


def test_what_the_notebook_imports_the_test_imports_itself(source):
    text = exercises.SOURCE.replace(
        "# %%\ncheck(", "# %%\nfrom a.b import check, c as d\nimport numpy.linalg as la\ncheck(", 1
    )
    source.write_text(text.replace('"double", my_double', '"double", la.f(d, my_double)'))
    [test] = [cell.source for cell in otter.master(source).cells if cell.source.startswith("def test_double")]
    assert test.splitlines()[:4] == [
        "def test_double(my_double):",
        "    from a.b import check, c as d",
        "    from a.b import check, c as d",
        "    import numpy.linalg as la",
    ]


def test_cells_that_are_solutions_are_marked_for_otter(source):
    cells = otter.master(source).cells
    [code] = [cell for cell in cells if "the_secret_cell" in cell.source]
    assert code.source == "# BEGIN SOLUTION NO PROMPT\nthe_secret_cell = 3\n# END SOLUTION"
    [text] = [cell for cell in cells if "secret text" in cell.source]
    assert otter.REMOVED in text.metadata.tags


def test_what_otter_could_not_take_is_one_line(source, capsys):
    source.write_text("# %%\nx = 1\n")
    with pytest.raises(UsageError, match=r"01_one.py has no check"):
        otter.write(source, Path("out"))
    source.write_text("# %%\n# BEGIN SOLUTION\n")
    with pytest.raises(NotebookError, match=r"01_one.py cell 1: `BEGIN SOLUTION`"):
        otter.write(source, Path("out"))
    source.write_text(exercises.SOURCE)
    Path("requirements.txt").unlink()
    assert main.main(["student", "--otter"]) == 2
    assert "no requirements.txt here" in capsys.readouterr().err
    assert not Path("out").exists()


def run(*arguments):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-m", "otter", *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done


def score(submission: Path, autograder: Path) -> dict[str, float]:
    """What the autograder gives a notebook, question by question."""
    folder = submission.with_suffix("")
    folder.mkdir()
    run("run", submission, "-a", autograder, "-o", folder)
    tests = json.loads((folder / "results.json").read_text())["tests"]
    return {test["name"]: test["score"] for test in tests if "score" in test}


def test_an_autograder_for_gradescope_from_the_same_source(source):
    pytest.importorskip("otter", reason="needs otter-grader: pip install -e '.[instructor]'")
    assert main.main(["student", "--otter", "-o", "otter"]) == 0
    run("assign", "otter/01_one/01_one.ipynb", "otter/dist")
    handed_out = Path("otter/dist/student/01_one.ipynb")
    assert "the_secret" not in handed_out.read_text()
    assert "The secret text" not in handed_out.read_text()
    [autograder] = Path("otter/dist/autograder").glob("*.zip")
    members = zipfile.ZipFile(autograder).namelist()
    assert {"run_autograder", "setup.sh", "tests/double.py", "files/coursekit/__init__.py"} <= set(members)

    notebook = nbformat.read(handed_out, 4)
    [double, triple] = [cell for cell in notebook.cells if "def my_" in cell.source]
    double.source, triple.source = exercises.SOLVED["double"], "def my_triple(x):\n    return 7\narea = 2"
    nbformat.write(notebook, "half.ipynb")
    assert score(Path("half.ipynb"), autograder) == {"double": 1, "triple": 0, "area": 1}
    notebook = read_source(source)  # our own edition, solved
    nbformat.write(notebook, "ours.ipynb")
    assert set(score(Path("ours.ipynb"), autograder).values()) == {1}
