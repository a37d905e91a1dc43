"""The zip that otter-grader makes of our checks grades two submissions, as Gradescope would."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest

from coursekit.classroom import autograder
from coursekit.cli import main
from coursekit.errors import NotebookError, UsageError
from coursekit.execution.source import read_source
from tests import exercises

pytestmark = exercises.NEEDS_OTTER
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


def test_every_check_is_a_question_below_it(source):
    cells = autograder.master(source).cells
    raw = [cell.source.splitlines()[:2] for cell in cells if cell.cell_type == "raw"]
    assert raw[0][0] == "# ASSIGNMENT CONFIG"
    questions = [lines[1] for lines in raw if lines[0] == "# BEGIN QUESTION"]
    assert questions == ['name: "double"', 'name: "triple"', 'name: "area"']
    assert len({cell.id for cell in cells}) == len(cells)
    assert not any("the_secret" in cell.source for cell in cells)


class Verdict:
    passed = False

    def __str__(self):
        return "it is wrong"


def test_a_test_takes_the_learners_code_and_our_own_imports(source):
    text = exercises.SOURCE.replace("# %%\ncheck(", "# %%\nfrom math import tau, pi as our_pi\ncheck(", 1)
    source.write_text(text.replace('"double", my_double', '"double", my_double, our_pi'))
    [test, *_] = [cell.source for cell in autograder.master(source).cells if cell.source.startswith("def test_")]
    assert "tau" not in test
    seen, names = [], {}
    exec(test, names)
    theirs = {"our_pi": 3, "my_double": 5, "check": lambda *given: seen.append(given) or Verdict()}
    with pytest.raises(AssertionError, match="it is wrong"):
        names["test_check"](theirs)
    assert seen == [("double", 5, 3.141592653589793)]
    assert theirs["our_pi"] == 3, "the notebook's variables are not changed"
    with pytest.raises(NameError, match="my_double"):
        names["test_check"]({"check": print})


def test_what_otter_could_not_take_is_one_line(source, capsys):
    source.write_text("# %%\nx = 1\n")
    with pytest.raises(UsageError, match=r"01_one.py has no check"):
        autograder.write(source, Path("out"))
    source.write_text("# %%\n# BEGIN SOLUTION\n")
    with pytest.raises(NotebookError, match=r"01_one.py cell 1: BEGIN SOLUTION without"):
        autograder.write(source, Path("out"))
    source.write_text(exercises.SOURCE.replace('check("area"', 'check("no/area"'))
    with pytest.raises(NotebookError, match=r"01_one.py: otter assign does not take it: .*No such file"):
        autograder.write(source, Path("out"))
    source.write_text(exercises.SOURCE)
    Path("requirements.txt").unlink()
    assert main.main(["student", "--gradescope"]) == 2
    assert "no requirements.txt here" in capsys.readouterr().err
    assert not Path("out").exists()


def test_another_zip_of_its_name_is_left_alone(source):
    with zipfile.ZipFile("01_one.zip", "w") as archive:
        archive.writestr("kim.txt", "a week's work")
    with pytest.raises(UsageError, match="is not an autograder"):
        autograder.write(source, Path())
    with zipfile.ZipFile("01_one.zip") as archive:
        assert archive.namelist() == ["kim.txt"]


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
    for _ in range(2):  # it replaces its own
        assert main.main(["student", "--gradescope", "-o", "out"]) == 0
    assert sorted(path.name for path in Path("out").iterdir()) == ["01_one.ipynb", "01_one.zip"]
    handed_out, zipped = Path("out/01_one.ipynb"), Path("out/01_one.zip")
    assert "the_secret" not in handed_out.read_text()
    with zipfile.ZipFile(zipped) as archive:
        members = archive.namelist()
        assert "torch" in archive.read("environment.yml").decode()
    assert {"run_autograder", "setup.sh", "tests/double.py", "files/coursekit/__init__.py"} <= set(members)
    assert not any("__pycache__" in name for name in members)

    notebook = nbformat.read(handed_out, 4)
    [first, *_] = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert 'setdefault("COURSEKIT_PROFILE", "sample")' in first
    [double, triple] = [cell for cell in notebook.cells if "def my_" in cell.source]
    double.source, triple.source = exercises.SOLVED["double"], "def my_triple(x):\n    return 7\narea = 2"
    nbformat.write(notebook, "half.ipynb")
    assert score(Path("half.ipynb"), zipped) == {"double": 1, "triple": 0, "area": 1}
    notebook = read_source(source)  # our own edition, solved
    nbformat.write(notebook, "ours.ipynb")
    assert set(score(Path("ours.ipynb"), zipped).values()) == {1}
