"""The edition that is handed out: a notebook's source without its solutions, and what otter-grader makes of it."""

import ast
import re
import warnings
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from coursekit import files
from coursekit.errors import NotebookError, UsageError
from coursekit.execution.source import BADGE, read_source
from coursekit.notebook import document, outputs

STUB = "...  # your code here"
SOLUTION = "solution"  # tag of a cell that the student edition does not have
NOTE = (
    "> **Student edition.** Where `...  # your code here` stands, your code belongs. The cell below it checks what you "
    "wrote; run it as often as you like."
)
BORDER = re.compile(
    r"(?P<indent>\s*)([\"']{3};?\s*)?# (?P<edge>BEGIN|END) (?P<kind>SOLUTION|PROMPT)(?P<silent> NO PROMPT)?\s*"
)
LINE = re.compile(r"(?P<indent>\s*)(?P<code>.*?)\s*# SOLUTION\s*")
DROPPED = re.compile(r".*# (SOLUTION NO PROMPT|SEED)\s*")
CHECK = "check("
NEARLY = re.compile(r"#\s*(?:(?i:BEGIN|END)\s*(?i:SOLUTION|PROMPT)|SOLUTION\b)")


def edition(path: Path) -> NotebookNode:
    """The student edition of a notebook's source: no output, no solution, a stub for each; checks and hints stay.

    Raises NotebookError naming the notebook and the cell whose markers do not pair, whose code a stub would break, or
    which calls `check` and is not Python.
    """
    notebook = read_source(path)
    # The badge opens the notebook that has the solutions.
    cells = [cell for cell in notebook.cells if not has_tag(cell, SOLUTION) and cell.id != BADGE]
    stubs = 0
    for cell in cells:
        if cell.cell_type == "code":
            stripped = _stripped(cell, path)
            stubs += stripped != cell.source
            cell.source = stripped
    note = nbformat.v4.new_markdown_cell(NOTE, id="student-edition")
    notebook.cells = [*cells[:1], note, *cells[1:]] if stubs else cells
    notebook.metadata.coursekit |= {"edition": "student", "notebook": path.stem}
    return notebook


def write(source: Path, folder: Path) -> Path:
    """Write the student edition of a notebook's source into a folder; returns its path.

    Raises UsageError where another notebook has its name there: its outputs may be hours of work.
    """
    target = target_of(source, folder)
    if target.exists() and not _is_edition(target):
        raise UsageError(f"{target} is there and is not a student edition; choose another folder with -o")
    files.write_bytes(target, outputs.to_bytes(edition(source)))
    return target


def target_of(source: Path, folder: Path) -> Path:
    """Where the student edition of a source goes."""
    return folder / f"{source.stem}.ipynb"


def _is_edition(path: Path) -> bool:
    try:
        return document.read(path).metadata.get("coursekit", {}).get("edition") == "student"
    except NotebookError:
        return False


def has_tag(cell: NotebookNode, tag: str) -> bool:
    """Whether a cell carries this tag."""
    return tag in cell.metadata.get("tags", [])


def _stripped(cell: NotebookNode, path: Path) -> str:
    try:
        stripped = without_solutions(cell.source)
    except ValueError as error:
        raise NotebookError(f"{path.name} {number(cell)}: {error}") from error
    if stripped != cell.source or CHECK in stripped:
        try:
            parsed(stripped)
        except SyntaxError as error:
            reason = "not valid Python"
            if stripped != cell.source:
                reason = "no longer valid Python without its solution; mark less, or leave a prompt"
            where = f"{path.name} {number(cell)}"
            raise NotebookError(f"{where}: {reason} ({error.msg}, line {error.lineno})") from error
    return stripped


def number(cell: NotebookNode) -> str:
    """The cell as other messages count it: `runner.read_source` has numbered all but its own."""
    number = cell.id.removeprefix("cell-")
    return f"cell {int(number)}" if number.isdecimal() else f"cell {cell.id}"


def as_python(code: str) -> str:
    """A cell's code with IPython's `%magic` and `!command` lines written as Python."""
    from IPython.core.inputtransformer2 import TransformerManager

    return TransformerManager().transform_cell(code)


def parsed(code: str) -> ast.Module:
    """The syntax tree of a cell's code; raises SyntaxError where it is not Python."""
    try:
        with warnings.catch_warnings(action="ignore"):  # about escapes; the kernel gives them again
            return ast.parse(as_python(code))
    except (ValueError, RecursionError, MemoryError) as error:  # null bytes, or thousands of brackets
        raise SyntaxError(str(error) or type(error).__name__) from error


def without_solutions(code: str) -> str:
    """A cell's code with a stub for each solution, by the markers of otter-grader.

    `# BEGIN SOLUTION` … `# END SOLUTION` and a line that ends in `# SOLUTION` leave a stub, of an assignment its right
    side; with NO PROMPT they leave nothing. What stands in a string between `# BEGIN PROMPT` and `# END PROMPT` is
    left as code. Raises ValueError for markers that do not pair, and for what only looks like one: it would give a
    solution away.
    """
    kept: list[str] = []
    block, begin = "", 0
    for number, line in enumerate(code.split("\n"), 1):
        border = BORDER.fullmatch(line)
        if border and border["edge"] == "BEGIN":
            if block:
                raise ValueError(f"`BEGIN {border['kind']}` in line {number}, inside the {block} of line {begin}")
            block, begin = border["kind"], number
            if block == "SOLUTION" and not border["silent"]:
                kept.append(border["indent"] + STUB)
        elif border:
            if border["kind"] != block:
                raise ValueError(f"`END {border['kind']}` in line {number} has no `BEGIN {border['kind']}`")
            block = ""
        elif block != "SOLUTION" and not DROPPED.fullmatch(line):
            kept.append(_without_solution(line, number))
    if block:
        raise ValueError(f"`BEGIN {block}` in line {begin} has no `END {block}`")
    return "\n".join(kept)


def _without_solution(line: str, number: int) -> str:
    """One line outside of all blocks: itself, or the stub of a line that is a solution."""
    solution = LINE.fullmatch(line)
    if solution:
        return solution["indent"] + _target(solution["code"]) + STUB
    if NEARLY.search(line):
        raise ValueError(f"line {number}, {line.strip()!r}, is nearly a marker; write it as otter-grader does")
    return line


def _target(code: str) -> str:
    """The left side of an assignment with its equals sign, or nothing."""
    try:
        [statement] = ast.parse(code).body
    except (SyntaxError, ValueError):  # ValueError: several statements
        return ""
    return f"{ast.get_source_segment(code, statement.targets[0])} = " if isinstance(statement, ast.Assign) else ""


def checks(notebook: NotebookNode) -> list[tuple[NotebookNode, list[str]]]:
    """The cells that call `check`, each with the names of the exercises that it checks."""
    calls = ((cell, check_calls(cell)) for cell in notebook.cells)
    return [(cell, [exercise(call) for call in some]) for cell, some in calls if some]


def check_calls(cell: NotebookNode) -> list[ast.Call]:
    """The calls of `check` in a cell, in order."""
    if cell.cell_type != "code" or CHECK not in cell.source:
        return []
    calls = [node for node in ast.walk(parsed(cell.source)) if isinstance(node, ast.Call)]
    found = [call for call in calls if ast.unparse(call.func).split(".")[-1] == "check"]
    return sorted(found, key=lambda call: (call.lineno, call.col_offset))


def exercise(call: ast.Call) -> str:
    """The name in words where there is one, else that of the learner's own code: softmax of `check(my_softmax)`."""
    words = [a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    return words[0] if words else ast.unparse(call.args[0]).removeprefix("my_") if call.args else "check"
