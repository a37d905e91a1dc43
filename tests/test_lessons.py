"""What makes a notebook a lesson: ideas in sight, plumbing out of it, findings that are short and were checked."""

import functools
import re
from pathlib import Path

import nbformat
import pytest

import coursekit
from coursekit.execution.source import COLLAPSED, read_source
from coursekit.notebook.outputs import captioned

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "notebooks" / "src").glob("*.py"))
METHOD = {"key", "exercise", "solution"}
LONGEST_CELL, LONGEST_FINDING = 15, 40
each = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)


notebook_of = functools.cache(read_source)


def tags(cell) -> set[str]:
    return set(cell.metadata.get("tags", []))


def lines(cell) -> list[str]:
    """Lines of code: not the empty ones, the marks around a solution, and docstrings."""
    every = (line.strip() for line in cell.source.splitlines())
    return [line for line in every if line and "SOLUTION" not in line and not line.startswith('"""')]


def visible(notebook) -> list:
    """The code cells that a reader sees."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [cell for cell in code if not tags(cell) & {*COLLAPSED, "hide-input"}]


def counted(notebook) -> dict[str, int]:
    """Lines of visible code: of the method, and all."""
    cells = visible(notebook)
    method = [cell for cell in cells if tags(cell) & METHOD]
    return {"method": sum(len(lines(cell)) for cell in method), "all": sum(len(lines(cell)) for cell in cells)}


@each
def test_no_visible_cell_is_longer_than_a_look(source):
    long = {cell.id: len(lines(cell)) for cell in visible(notebook_of(source)) if len(lines(cell)) > LONGEST_CELL}
    assert long == {}


@each
def test_at_least_half_of_the_visible_code_is_the_method(source):
    count = counted(notebook_of(source))
    assert count["method"] >= 0.5 * count["all"], count


@each
def test_a_notebook_has_a_frame_and_two_diagrams(source):
    notebook = notebook_of(source)
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown").lower()
    for part in ("what you will learn", "you need", "time", "difficulty", "further reading", "## references"):
        assert part in text or (part == "you need" and "prerequisites" in text), part
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    assert code.count("diagrams.") >= 2


@each
def test_what_a_finding_says_was_checked_above_it_or_is_a_hypothesis(source):
    section: list = []
    for cell in notebook_of(source).cells:
        if cell.cell_type == "markdown" and re.search(r"(?m)^#+ ", cell.source):
            section = []
        if "finding" in tags(cell):
            claimed = any("claim" in tags(before) for before in section)
            assert claimed or "hypothesis" in cell.source.lower(), f"{cell.id}: no claim above this finding"
        section.append(cell)


@each
def test_a_finding_is_short(source):
    notebook = nbformat.read(ROOT / "notebooks" / f"{source.stem}.ipynb", 4)
    found = [output.data["text/plain"] for output, said in captioned(notebook) if said.get("finding")]
    assert found
    plain = [re.sub(r"\[([^\]]*)\]\(#[^)]*\)", r"\1", text) for text in found]
    assert [text for text in plain if len(text.split()) > LONGEST_FINDING] == []


def test_every_name_that_stands_for_one_of_an_assignment_exists():
    _, table = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8").split("## The assignments' own names")
    ours = [name for row in table.splitlines() for name in re.findall(r"`([a-z]+(?:\.\w+)+)`", row.split("|")[-2:][0])]
    assert len(ours) > 30
    for name in ours:
        functools.reduce(getattr, name.split("."), coursekit)
