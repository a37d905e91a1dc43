"""Our checks as the tests of otter-grader: the zip with which `otter run` and Gradescope grade a notebook."""

import ast
import builtins
import json
import shutil
import tempfile
import warnings
import zipfile
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_raw_cell

from coursekit import files
from coursekit.classroom import student
from coursekit.errors import NotebookError, UsageError
from coursekit.notebook import outputs

CONFIG = """# ASSIGNMENT CONFIG
init_cell: false
export_cell: false
tests:
    ok_format: false
"""
ENVIRONMENT = """requirements: requirements.txt
files:
    - coursekit
"""
PACKAGE = Path(__file__).parents[1]
TEST = """def test_check(env):
    names = dict(env)
    try:
        exec({imports!r}, names)
        verdict = eval({call!r}, names)
    except (SystemExit, KeyboardInterrupt) as error:  # would end the other tests too
        raise RuntimeError(repr(error))
    assert verdict.passed, str(verdict)
"""


def write(source: Path, folder: Path) -> Path:
    """Write the zip for Gradescope, with the package and the requirements in it; returns its path.

    Raises UsageError for a notebook without a check, where there are no requirements, and where another zip is there.
    """
    target, requirements = target_of(source, folder), Path("requirements.txt")
    if not requirements.is_file():
        raise UsageError(f"no {requirements} here; call this in the workbook's folder")
    if target.exists() and not _is_autograder(target):
        raise UsageError(f"{target} is there and is not an autograder; choose another folder with -o")
    files.write_bytes(target, make(source, requirements))
    return target


def target_of(source: Path, folder: Path) -> Path:
    """Where the zip of a source goes."""
    return folder / f"{source.stem}.zip"


def make(source: Path, requirements: Path | None = None) -> bytes:
    """The zip that `otter assign` makes; with requirements it has all that a bare machine needs.

    Raises NotebookError for what `student.edition` does and for what otter does not take, UsageError for a notebook
    without a check.
    """
    notebook = master(source, CONFIG + (ENVIRONMENT if requirements else ""))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        path = folder / f"{source.stem}.ipynb"
        files.write_bytes(path, outputs.to_bytes(notebook))
        if requirements:
            lines = requirements.read_text(encoding="utf-8").splitlines(keepends=True)
            packages = [line for line in lines if not line.startswith("-")]  # ours is copied, not installed
            (folder / "requirements.txt").write_text("".join(packages), encoding="utf-8")
            shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
        try:
            with warnings.catch_warnings(action="ignore"):
                student.otter("assign").main(str(path), str(folder / "dist"), no_run_tests=True)
        except (AssertionError, RuntimeError, ValueError, OSError) as error:
            raise NotebookError(f"{source.name}: otter assign does not take it: {error}") from error
        [made] = (folder / "dist" / "autograder").glob("*.zip")
        return made.read_bytes()


def master(source: Path, config: str = CONFIG) -> NotebookNode:
    """The student edition with a question of otter's, worth one point, below each check: its test is that check."""
    notebook = student.edition(source)
    imported = _imports(notebook, source)
    cells, seen = [new_raw_cell(config, id="config")], set()
    for cell in notebook.cells:
        cells.append(cell)
        for call in student.check_calls(cell):
            name = student.exercise(call)
            cells += _question(name, call, imported, len(seen)) if name not in seen else []
            seen.add(name)
    if not seen:
        raise UsageError(f"{source.name} has no check, so there is nothing to grade")
    notebook.cells = cells
    return notebook


def _question(name: str, call: ast.Call, imported: dict[str, str], number: int) -> list[NotebookNode]:
    names = {node.id for node in ast.walk(call) if isinstance(node, ast.Name)} - set(dir(builtins))
    # Our own imports, not what the learner's notebook has made of them.
    lines = sorted({imported[name] for name in names if name in imported})
    test = TEST.format(imports="\n".join(lines), call=ast.unparse(call))
    question = f"# BEGIN QUESTION\nname: {json.dumps(name)}\npoints: 1\ncheck_cell: false"
    raw = {"question": question, "tests": "# BEGIN TESTS", "tested": "# END TESTS", "end": "# END QUESTION"}
    cells = {key: new_raw_cell(text, id=f"question-{number}-{key}") for key, text in raw.items()}
    test_cell = new_code_cell(test, id=f"question-{number}-code")
    return [cells["question"], cells["tests"], test_cell, cells["tested"], cells["end"]]


def _imports(notebook: NotebookNode, source: Path) -> dict[str, str]:
    """Every name that the notebook imports, with the statement that does it."""
    found = {}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            try:
                statements = student.parsed(cell.source).body
            except SyntaxError as error:
                raise NotebookError(f"{source.name} {student.number(cell)}: not valid Python ({error.msg})") from error
            for node in statements:
                for alias in node.names if isinstance(node, ast.Import | ast.ImportFrom) else ():
                    is_from = isinstance(node, ast.ImportFrom)
                    alone = ast.ImportFrom(node.module, [alias], node.level) if is_from else ast.Import([alias])
                    found[(alias.asname or alias.name).split(".")[0]] = ast.unparse(alone)
    return found


def _is_autograder(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return "run_autograder" in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False
