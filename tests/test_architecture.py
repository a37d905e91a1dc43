"""The house of docs/architecture.md: an import along an arrow that is not in its table fails here."""

import ast
import re
import sys

import pytest

from tests.architecture import MODULES, PACKAGE, ROOT, arrows, arrows_up, circles, folder, imports, table

NAMES = [str(path.relative_to(PACKAGE)) for path in MODULES]


def test_every_folder_is_in_the_table_and_every_row_is_a_folder():
    assert set(table()) == {folder(path) for path in MODULES}


def test_arrows_go_down_and_there_is_no_circle():
    assert arrows_up() == []
    assert circles() == []


def test_the_table_draws_no_arrow_that_nobody_uses():
    free = {"errors", "lazy"}
    assert {name: targets - free for name, targets in arrows().items()} == table()


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_imports_follow_the_arrows(path):
    extra = {names[0] for names in imports(path) if names} - table()[folder(path)] - {folder(path), "errors", "lazy"}
    assert not extra, f"{path.name} imports {extra}; draw the arrow in docs/architecture.md or leave it"


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_there_is_no_drawer_for_everything(path):
    assert path.stem not in {"utils", "helpers", "common", "misc", "manager"}


def test_scratch_is_numpy_only():
    outside = {"coursekit", "numpy", *sys.stdlib_module_names}
    for path in (PACKAGE / "scratch").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else names
            assert {name.split(".")[0] for name in names} <= outside


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_public_names_say_what_they_are(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{path.name}: {node.name} has no docstring"


def test_plots_neither_save_nor_show_nor_train():
    text = (PACKAGE / "analysis" / "plots.py").read_text()
    assert not re.search(r"savefig|plt\.show|backward\(|\bmodel\b", text)


def test_versions_are_pinned_for_everything_that_is_required():
    pinned = {
        line.split("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
    }
    wanted = re.findall(r"^([A-Za-z_]+)[<>=]", (ROOT / "requirements.txt").read_text(), re.M)
    assert wanted
    assert {name.lower() for name in wanted} <= pinned
