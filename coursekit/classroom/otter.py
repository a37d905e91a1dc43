"""The notebook that `otter assign` makes an autograder of, from the same source: our checks as its tests."""

import ast
import builtins
import shutil
import textwrap
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_raw_cell

from coursekit import files
from coursekit.classroom import student
from coursekit.errors import NotebookError, StorageError, UsageError
from coursekit.execution.source import BADGE, read_source
from coursekit.notebook import outputs

CONFIG = """# ASSIGNMENT CONFIG
init_cell: false
export_cell: false
requirements: requirements.txt
files:
    - coursekit
tests:
    ok_format: false
strip_solutions_from_all_cells: true
"""
PROFILE = 'import os\n\nos.environ.setdefault("COURSEKIT_PROFILE", "sample")  # an autograder has minutes and no data'
REMOVED = "otter_assign_solution_cell"  # its tag for text that students do not get


def write(source: Path, folder: Path) -> Path:
    """Write the notebook for `otter assign`, with the package and the requirements beside it; returns its path.

    Raises NotebookError for markers that do not pair, UsageError for a notebook without a check, and where the package
    or the requirements would be copied onto themselves.
    """
    target = target_of(source, folder)
    notebook, requirements, package = master(source), Path("requirements.txt"), Path(__file__).parents[1]
    if not requirements.is_file():
        raise UsageError(f"no {requirements} here; call this in the workbook's folder")
    copies = {target.with_name(requirements.name): requirements, target.with_name(package.name): package}
    for copy, original in copies.items():
        if copy.is_symlink() or copy.resolve() == original.resolve():
            raise UsageError(f"{copy} would be overwritten; choose another folder with -o")
    files.write_bytes(target, outputs.to_bytes(notebook))
    files.write_bytes(target.with_name(requirements.name), requirements.read_bytes())
    ignore = shutil.ignore_patterns("__pycache__")
    try:
        shutil.copytree(package, target.with_name(package.name), dirs_exist_ok=True, ignore=ignore)
    except OSError as error:
        reason = error.strerror or "some of its files"
        raise StorageError(f"cannot copy {package.name} to {target.parent}: {reason}") from error
    return target


def target_of(source: Path, folder: Path) -> Path:
    """Where the notebook for `otter assign` goes: into a folder of its own, with the files that it needs."""
    return folder / source.stem / f"{source.stem}.ipynb"


def master(source: Path) -> NotebookNode:
    """Our source with otter's boundaries: every check is a question whose tests are that check, one point each."""
    student.edition(source)  # raises what otter would only assert
    notebook = read_source(source)
    try:
        imported = _imports(notebook)
    except NotebookError as error:
        raise NotebookError(f"{source.name} {error}") from error
    calls = {cell.id: student.check_calls(cell) for cell in notebook.cells}
    if not any(calls.values()):
        raise UsageError(f"{source.name} has no check, so there is nothing for otter to grade")
    cells, seen = [new_raw_cell(CONFIG), new_code_cell(PROFILE)], set()
    for cell in notebook.cells:
        if cell.id == BADGE:  # it opens the notebook that has the solutions
            continue
        cells.append(_marked(cell))
        for call in calls[cell.id]:
            name = student.exercise(call)
            cells += _question(name, call, imported) if name not in seen else []
            seen.add(name)
    notebook.cells = cells
    for number, cell in enumerate(cells):
        cell.id = f"otter-{number:03d}"
    notebook.metadata.pop("coursekit")
    return notebook


def _marked(cell: NotebookNode) -> NotebookNode:
    """A cell with our tag for solutions as otter marks one."""
    if student.has_tag(cell, student.SOLUTION):
        if cell.cell_type == "code":
            code = [line for line in cell.source.split("\n") if not student.BORDER.fullmatch(line)]
            cell.source = "\n".join(["# BEGIN SOLUTION NO PROMPT", *code, "# END SOLUTION"])
        else:
            cell.metadata.tags.append(REMOVED)
    return cell


def _question(name: str, call: ast.Call, imported: dict[str, str]) -> list[NotebookNode]:
    return [
        new_raw_cell(f"# BEGIN QUESTION\nname: {name}\npoints: 1\ncheck_cell: false"),
        new_raw_cell("# BEGIN TESTS"),
        new_code_cell(_test(name, call, imported)),
        new_raw_cell("# END TESTS"),
        new_raw_cell("# END QUESTION"),
    ]


def _test(name: str, call: ast.Call, imported: dict[str, str]) -> str:
    """A test in otter's form: what the check names comes from the student's notebook, and the check itself from us."""
    names = {node.id for node in ast.walk(call) if isinstance(node, ast.Name)} - set(dir(builtins))
    lines = [imported[name] for name in sorted(names) if name in imported]
    lines += [f"verdict = {ast.unparse(call)}", "assert verdict.passed, str(verdict)"]
    given = ", ".join(sorted(names - set(imported)))
    function = "".join(c if c.isalnum() else "_" for c in name)
    return f"def test_{function}({given}):\n{textwrap.indent(chr(10).join(lines), '    ')}"


def _imports(notebook: NotebookNode) -> dict[str, str]:
    """Every name that the notebook imports, with the statement that does it; raises NotebookError for a broken cell."""
    found = {}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            try:
                statements = student.parsed(cell.source).body
            except SyntaxError as error:
                raise NotebookError(f"{student.number(cell)} is not valid Python ({error.msg})") from error
            for node in statements:
                if isinstance(node, ast.Import | ast.ImportFrom):
                    found |= {(alias.asname or alias.name).split(".")[0]: ast.unparse(node) for alias in node.names}
    return found
