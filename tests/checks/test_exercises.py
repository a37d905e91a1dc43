"""The exercises of the notebooks: solutions pass their checks, stubs are not done yet, nothing else uses them."""

import re
from pathlib import Path

import jupytext
import pytest

from coursekit.checks import PIECES, Verdict

SOURCES = sorted((Path(__file__).parents[2] / "notebooks" / "src").glob("*.py"))
SOLUTION = re.compile(r"^( *)# BEGIN SOLUTION\n(.*?)^ *# END SOLUTION$", re.M | re.S)
SETUP = "import math\nimport numpy as np\nimport torch\nfrom torch import nn\n"
stem = pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)


def cells(path, tag, is_exercise=True):
    found = [cell for cell in jupytext.read(path).cells if cell.cell_type == "code"]
    return [cell.source for cell in found if (tag in cell.metadata.get("tags", [])) == is_exercise]


def verdicts(path, edit=lambda source: source):
    """What the checks say when the exercise cells alone are run."""
    said: list[Verdict] = []

    def check(name, mine):
        from coursekit.checks import check

        said.append(check(name, mine))

    names = {"check": check}
    exec(SETUP, names)
    for source in cells(path, "exercise"):
        exec(edit(source), names)
    return said


@stem
def test_every_notebook_has_two_exercises_and_their_solutions_pass(path):
    said = verdicts(path)
    assert len(said) >= 2
    assert [str(verdict) for verdict in said if not verdict.passed] == []


@stem
def test_without_the_solutions_every_exercise_is_not_done_yet(path):
    said = verdicts(path, lambda source: SOLUTION.sub(r"\1...", source))
    assert {verdict.status for verdict in said} == {"not done"}


@stem
def test_what_is_defined_in_an_exercise_is_used_in_exercises_alone(path):
    code = "\n".join(cells(path, "exercise"))
    defined = re.findall(r"^(?:def|class) (\w+)", code, re.M)
    assert all(re.match("my_|My", name) for name in defined)
    assert not re.search(r"^\w+ *=", code, re.M)
    rest = "\n".join(cells(path, "exercise", is_exercise=False))
    assert [name for name in defined if re.search(rf"\b{name}\b", rest)] == []


@stem
def test_no_line_of_a_solution_stands_outside_of_it(path):
    solutions = [body for cell in cells(path, "exercise") for _, body in SOLUTION.findall(cell)]
    lines = {line.strip() for body in solutions for line in body.splitlines() if len(line.strip()) > 12}
    text = path.read_text(encoding="utf-8")
    twice = [line for line in lines if text.count(line) > sum(body.count(line) for body in solutions)]
    assert twice == []


@stem
def test_every_function_of_an_exercise_says_its_shapes_or_units_and_is_solved_inside_the_markers(path):
    for cell in cells(path, "exercise"):
        for function in re.findall(r"^(?:def|class) \w+.*?(?=^(?:def|class) |\Z)", cell, re.M | re.S):
            assert '"""' in function
            assert "# BEGIN SOLUTION" in function
            left = SOLUTION.sub(r"\1...", function)
            assert "SOLUTION" not in left
            assert "return" not in re.sub(r'""".*?"""', "", left, flags=re.S)


def test_most_checks_belong_to_an_exercise():
    used = {name for path in SOURCES for name in re.findall(r'^check\("(\w+)"', path.read_text(encoding="utf-8"), re.M)}
    assert used <= PIECES.keys()
    assert len(used) >= 25
