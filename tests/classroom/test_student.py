import ast
import os
import re
import sys
from pathlib import Path

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coursekit.classroom import autograder, student
from coursekit.cli import main
from coursekit.errors import NotebookError
from coursekit.execution import notebooks
from coursekit.execution import source as sources
from coursekit.execution.source import read_source
from tests import exercises

ROOT = Path(__file__).parents[2]
pytestmark = exercises.NEEDS_OTTER
LONG = os.environ.get("COURSEKIT_FAULTS") == "long"
SOURCES = sorted((ROOT / "notebooks" / "src").glob("*.py"))


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "01_one.py"
    path.write_text(exercises.SOURCE)
    return path


def solution_lines(path: Path) -> set[str]:
    """Lines of a source that its student edition must not have: of marked blocks, marked lines and solution cells."""
    lines = set()
    for cell in read_source(path).cells:
        inside = "solution" in cell.metadata.get("tags", [])
        for line in cell.source.split("\n"):
            inside = inside or "# BEGIN SOLUTION" in line
            marker = line.strip().startswith(("# BEGIN", "# END"))
            if (inside or line.endswith("# SOLUTION")) and not marker:
                lines.add(line.removesuffix("# SOLUTION").strip())
            inside = inside and "# END SOLUTION" not in line
    return {line for line in lines if len(line) > 12}


def test_the_student_edition_has_stubs_hints_and_checks_and_no_solution(source, tmp_path):
    path = student.write(source, tmp_path / "out")
    text = path.read_text()
    assert len(solution_lines(source)) == 6
    assert not [line for line in solution_lines(source) if line in text]
    assert "the_secret" not in text
    assert "The secret" not in text
    cells = nbformat.read(path, 4).cells
    codes = [cell.source for cell in cells if cell.cell_type == "code" and not student.has_tag(cell, "setup")]
    assert codes[0] == 'def my_double(x):\n    """Twice its argument."""\n    ...'
    assert codes[2] == "def my_triple(x):\n    return None  # three times\n\n\narea = ..."
    assert codes[1] == 'check("double", my_double)'
    assert "<details><summary>Hint</summary>Twice.</details>" in text
    nbformat.validate(nbformat.read(path, 4))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_no_student_edition_of_ours_has_a_solution_line(path, tmp_path):
    text = student.write(path, tmp_path).read_text()
    cells = "\n".join(cell.source for cell in nbformat.reads(text, as_version=4).cells)
    assert not [line for line in solution_lines(path) if line in cells]
    assert "SOLUTION" not in cells


def test_outputs_of_the_source_are_not_handed_out(tmp_path):
    output = nbformat.v4.new_output("stream", text="printed by the solution")
    code = "# BEGIN SOLUTION\nprint(1)\n# END SOLUTION"
    cell = nbformat.v4.new_code_cell(code, outputs=[output], execution_count=7)
    nbformat.write(nbformat.v4.new_notebook(cells=[cell, nbformat.v4.new_code_cell("y = 2")]), tmp_path / "03_x.ipynb")
    text = student.write(tmp_path / "03_x.ipynb", tmp_path / "out").read_text()
    cells = [cell for cell in nbformat.reads(text, as_version=4).cells if cell.cell_type == "code"]
    assert [(cell.source, cell.outputs, cell.execution_count) for cell in cells] == [
        ("...", [], None),
        ("y = 2", [], None),
    ]
    assert "printed by" not in text


def test_the_edition_says_what_it_is_and_where_code_belongs(source, tmp_path):
    edition = student.edition(source)
    assert edition.metadata.coursekit.edition == "student"
    assert edition.metadata.coursekit.notebook == "01_one"
    assert [cell.source.startswith("> **Student edition.**") for cell in edition.cells][:3] == [False, True, False]
    nothing_to_do = tmp_path / "04_read.py"
    nothing_to_do.write_text("# %% [markdown]\n# # Read\n\n# %%\nx = 1\n")
    assert not any("Student edition" in cell.source for cell in student.edition(nothing_to_do).cells)


@pytest.mark.parametrize("make", [student.edition, autograder.master])
def test_no_badge_leads_to_the_notebook_with_the_solutions(make, source, monkeypatch):
    monkeypatch.setattr(sources, "address", lambda: "https://github.com/someone/workbook")
    assert any(cell.source.startswith("[![Open in Colab]") for cell in read_source(source).cells)
    cells = make(source).cells
    assert not any("Open in Colab" in cell.source for cell in cells)
    assert any("git clone" in cell.source for cell in cells)


def test_it_runs_to_its_end_and_every_check_says_not_done_yet(source, tmp_path):
    path = student.write(source, tmp_path)
    notebook = notebooks.run(path, tmp_path / "out" / path.name, "sample")
    said = [
        output.data["text/plain"] for cell in notebook.cells for output in cell.get("outputs", []) if "data" in output
    ]
    assert [text for text in said if "not done yet" in text] == [
        "double: not done yet",
        "triple: not done yet",
        "area: not done yet",
    ]
    assert len(said) == 3


def test_the_instructors_edition_is_untouched_and_passes(source, tmp_path):
    notebook = notebooks.run(source, tmp_path / "out.ipynb", "sample")
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", []) if "data" in output]
    assert [output.metadata.coursekit.check.status for output in outputs if output.metadata.get("coursekit")] == [
        "passed"
    ] * 3


@pytest.mark.skipif(not LONG, reason="minutes: make test-faults")
@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_our_student_editions_run_to_their_end_and_every_check_says_not_done_yet(path, tmp_path):
    handed_out = student.write(path, tmp_path)
    notebook = notebooks.run(handed_out, tmp_path / "out" / handed_out.name, "sample")
    said = [
        output.metadata.get("coursekit", {})
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "data" in output
    ]
    found = [about["check"]["status"] for about in said if "check" in about]
    assert found == ["not done"] * len(student.exercises(notebook))
    assert found


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("x = 1  # SOLUTION", "x = ..."),
        ("a = b = 1  # SOLUTION", "a = ..."),
        ("w['é'], v = f(k=1), 2  # SOLUTION", "w['é'], v = ..."),
        ("    return x == y  # SOLUTION", "    ..."),
        ("    total += x  # SOLUTION", "    ..."),
        ("    f(x=3)  # SOLUTION", "    ..."),
        ("y = 2 * x  # SOLUTION NO PROMPT", ""),
        ("np.random.seed(3)  # SEED", ""),
        ("# the solution of this equation", "# the solution of this equation"),
        ("    # BEGIN SOLUTION\n    a\n\n    b\n    # END SOLUTION\nc", "    ...\nc"),
        ("# BEGIN SOLUTION NO PROMPT\na\n# END SOLUTION\nc", "c"),
        (
            "# BEGIN SOLUTION\n# twice, of course\na = 2  # so\n    # and indented\n# END SOLUTION\n# kept",
            "...\n# kept",
        ),
        ("x = 0\n# BEGIN SOLUTION NO PROMPT\n# nothing\nx = 1\n# END SOLUTION\n# kept", "x = 0\n# kept"),
        ("x = f(  # SOLUTION", "x = ..."),
        ("x = 3  #SOLUTION", "x = ..."),
        ("x = 3  # SOLUTION: three", "x = ..."),
        ("''' # BEGIN PROMPT\nhere = 1\n'''; # END PROMPT", "here = 1"),
    ],
)
def test_every_mark_of_otter(code, expected):
    assert student.without_solutions(code) == expected


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x\n# BEGIN SOLUTION\ny", "BEGIN SOLUTION without END SOLUTION"),
        ("x\n# END SOLUTION", "END SOLUTION without BEGIN SOLUTION"),
        ("# BEGIN SOLUTION\n# BEGIN SOLUTION\n", "BEGIN SOLUTION without END SOLUTION"),
        ("# BEGIN SOLUTION\nx\n# End solution", "BEGIN SOLUTION without END SOLUTION"),
        ("# Begin solution\nx\n# END SOLUTION", "END SOLUTION without BEGIN SOLUTION"),
        ('""" # BEGIN PROMPT\nx', "not valid Python (unterminated"),
        ('x\n""" # END PROMPT', "not valid Python (unterminated"),
        ('""" # BEGIN PROMPT\nx = 1\n"""  # END PROMT', "no longer valid Python without its solution"),
        ('# BEGIN SOLUTION\n""" # END PROMPT', "BEGIN SOLUTION without END SOLUTION"),
        ("#BEGIN SOLUTION\nx\n#END SOLUTION", "'#BEGIN SOLUTION' is nearly a mark"),
        ("# Begin solution\nx\n# End solution", "'# Begin solution' is nearly a mark"),
        ("x = 3  #  SOLUTION", "is nearly a mark"),
        ("def f():\n    # BEGIN SOLUTION NO PROMPT\n    x\n    # END SOLUTION", "no longer valid Python"),
    ],
)
def test_a_mark_that_would_give_the_solution_away_names_notebook_and_cell(code, message, tmp_path):
    path = tmp_path / "02_two.py"
    path.write_text(f"# %% [markdown]\n# text\n\n# %%\n{code}\n")
    with pytest.raises(NotebookError, match=r"^02_two.py cell 2: ") as caught:
        student.edition(path)
    assert message in str(caught.value)


PIECES = [
    "# BEGIN SOLUTION",
    "    # BEGIN SOLUTION NO PROMPT",
    "# Begin solution",
    "# END SOLUTION",
    "#END SOLUTION",
    "plain",
    "secret  # SOLUTION",
    "secret = 3  # SOLUTION NO PROMPT",
]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("\n".join))
def test_what_comes_out_has_no_mark_and_a_second_pass_changes_nothing(code):
    try:
        stripped = student.without_solutions(code)
    except ValueError:
        return
    assert not any(word in stripped.lower() for word in ("solution", "secret"))
    assert stripped.count("plain") == re.sub(r"(?s)# BEGIN.*?# END", "", code).count("plain")
    assert student.without_solutions(stripped) == stripped


def test_without_otter_one_line_says_what_to_install(source, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "otter.assign.solutions", None)
    assert main.main(["student", str(source), "-o", str(source.parent / "out")]) == 2
    assert "pip install -e '.[instructor]'" in capsys.readouterr().err
    assert not (source.parent / "out").exists()


def test_names_of_exercises_come_from_the_calls_of_check():
    def names(code):
        return student.exercises(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)]))

    assert names('check("b", f); y = 1\nx = checks.check("a", my_g)\ncheck(my_softmax)') == ["b", "a", "softmax"]
    assert names("gradcheck(f)\nprint('check(me)')") == []


def test_magics_are_no_obstacle():
    assert ast.parse(student.as_python("%time x = 1\n!ls"))


def test_the_command_writes_all_or_one(source, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notebooks" / "src").mkdir(parents=True)
    source.rename(tmp_path / "notebooks" / "src" / source.name)
    assert main.main(["student"]) == 0
    assert main.main(["student", "1", "-o", "out"]) == 0
    assert capsys.readouterr().out.split() == ["build/student/01_one.ipynb", "out/01_one.ipynb"]
    assert Path("out/01_one.ipynb").read_bytes() == Path("build/student/01_one.ipynb").read_bytes()
    assert main.main(["student", "nine"]) == 2
