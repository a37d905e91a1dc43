"""The edition that is handed out: a notebook's source without its solutions, as otter-grader takes them out."""

import ast
import importlib
import re
import warnings
from pathlib import Path
from types import ModuleType

import nbformat
from nbformat import NotebookNode

from coursekit import files
from coursekit.errors import NotebookError, UsageError
from coursekit.execution.source import BADGE, read_source
from coursekit.notebook import document, outputs

SOLUTION = "solution"  # tag of a cell that the student edition does not have
NOTE = (
    "> **Student edition.** Where `...` stands, your code belongs. The cell below it checks what you wrote; run it as "
    "often as you like."
)
CHECK = "check("
MARK = re.compile(r"#\s*((?i:BEGIN|END)\s*(?i:SOLUTION|PROMPT)|SOLUTION)\b")  # and what is nearly one
PROFILE = 'import os\n\nos.environ.setdefault("COURSEKIT_PROFILE", "sample")  # an autograder has minutes and no data'


def otter(module: str) -> ModuleType:
    """A module of otter-grader; raises UsageError where that is not installed."""
    try:
        with warnings.catch_warnings(action="ignore"):  # of what it imports
            return importlib.import_module(f"otter.{module}")
    except ImportError as error:
        advice = "pip install -e '.[instructor]' in the workbook's folder"
        raise UsageError(f"otter-grader does not load ({error}); {advice}") from error


def edition(path: Path, for_gradescope: bool = False) -> NotebookNode:
    """The student edition of a notebook's source: no output, no solution, a stub for each; checks and hints stay.

    For Gradescope it sets the profile, which nobody else does there. Raises NotebookError naming the notebook and the
    cell whose marks do not pair or are none, whose code a stub would break, or which calls `check` and is not Python.
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
    if for_gradescope:
        first = next((i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"), 0)
        notebook.cells.insert(first, nbformat.v4.new_code_cell(PROFILE, id="for-gradescope"))
    notebook.metadata.coursekit |= {"edition": "student", "notebook": path.stem}
    return notebook


def write(source: Path, folder: Path, for_gradescope: bool = False) -> Path:
    """Write the student edition of a notebook's source into a folder; returns its path.

    Raises UsageError where another notebook has its name there: its outputs may be hours of work.
    """
    target = target_of(source, folder)
    if target.exists() and not _is_edition(target):
        raise UsageError(f"{target} is there and is not a student edition; choose another folder with -o")
    files.write_bytes(target, outputs.to_bytes(edition(source, for_gradescope)))
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
    """A cell's code as otter hands it out, where that is Python and gives no solution away."""
    where = f"{path.name} {number(cell)}"
    try:
        stripped = without_solutions(cell.source)
    except ValueError as error:
        raise NotebookError(f"{where}: {error}") from error
    changed = stripped != cell.source
    versions = {"not valid Python": cell.source} if changed or CHECK in cell.source else {}
    if changed:
        versions["no longer valid Python without its solution; mark less, or leave a prompt"] = stripped
    for reason, code in versions.items():
        try:
            parsed(code)
        except SyntaxError as error:
            raise NotebookError(f"{where}: {reason} ({error.msg}, line {error.lineno})") from error
    return stripped


def number(cell: NotebookNode) -> str:
    """The cell as other messages count it: `source.read_source` has numbered all but its own."""
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
    """A cell's code as `otter assign` hands it out; raises ValueError for marks that otter would not see or not pair.

    It would leave the solution that stands below a misspelt one.
    """
    try:
        left = otter("assign.solutions").replace_solutions(code.split("\n"), "python")
    except AssertionError as error:
        raise ValueError(str(error).partition(" in [")[0]) from error
    for line in left:
        if MARK.search(line):
            raise ValueError(f"{line.strip()!r} is nearly a mark; write it as otter-grader does")
    return "\n".join(left)


def exercises(notebook: NotebookNode) -> list[str]:
    """What the cells of a notebook check, in order, by name."""
    return [exercise(call) for cell in notebook.cells for call in check_calls(cell)]


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
