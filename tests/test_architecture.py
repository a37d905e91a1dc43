"""The house of docs/architecture.md: an import along an arrow that is not in its table fails here."""

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "coursekit"
MODULES = sorted(p for p in PACKAGE.rglob("*.py") if p.name != "__init__.py")


def room(path: Path) -> str:
    """The first name below coursekit: a module, or the package that it lies in."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Rooms of ours that a module imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "coursekit":
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("coursekit.")}
    return found - {"__version__"}


def allowed() -> dict[str, set[str]]:
    """The table of docs/architecture.md: room and the rooms that it may import."""
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\| ([^|]*) \|$", (ROOT / "docs" / "architecture.md").read_text(), re.M)
    return {name: set(re.findall(r"`(\w+)`", arrows)) for name, arrows in rows}


def test_every_room_is_in_the_table_and_every_row_is_a_room():
    assert set(allowed()) == {room(path) for path in MODULES}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_follow_the_arrows(path):
    extra = imports(path) - allowed()[room(path)] - {room(path), "errors"}
    assert not extra, f"{path.name} imports {extra}; draw the arrow in docs/architecture.md or leave it"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_there_is_no_drawer_for_everything(path):
    assert path.stem not in {"utils", "helpers", "common", "misc", "manager"}


def test_scratch_is_numpy_only():
    outside = {"coursekit", "numpy", *sys.stdlib_module_names}
    for path in (PACKAGE / "scratch").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else names
            assert {name.split(".")[0] for name in names} <= outside


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_public_names_say_what_they_are(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{path.name}: {node.name} has no docstring"


def test_plots_neither_save_nor_show_nor_train():
    text = (PACKAGE / "plots.py").read_text()
    assert not re.search(r"savefig|plt\.show|backward\(|\bmodel\b", text)


def test_versions_are_pinned_for_everything_that_is_required():
    pinned = {
        line.split("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
    }
    wanted = re.findall(r"^([A-Za-z_]+)[<>=]", (ROOT / "requirements.txt").read_text(), re.M)
    assert wanted
    assert {name.lower() for name in wanted} <= pinned
