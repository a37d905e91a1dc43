"""The imports between the folders of coursekit: `python -m tests.architecture` counts them."""

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "coursekit"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def folder(path: Path) -> str:
    """The first name below coursekit: a folder, or a module that is in none."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[str, ...]]:
    """What of ours a module imports, at its top or inside a function: ("data", "batches") is coursekit.data.batches."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "coursekit":
            inside = tuple(node.module.split(".")[1:])
            yield from (_module((*inside, alias.name)) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (tuple(a.name.split(".")[1:]) for a in node.names if a.name.startswith("coursekit."))


def _module(names: tuple[str, ...]) -> tuple[str, ...]:
    """Without the last name, where that is none of a module or a folder."""
    path = PACKAGE.joinpath(*names)
    return names if path.is_dir() or path.with_suffix(".py").exists() else names[:-1]


def arrows() -> dict[str, set[str]]:
    """Each folder and the other folders that its modules import."""
    found: dict[str, set[str]] = {folder(path): set() for path in MODULES}
    for path in MODULES:
        found[folder(path)] |= {names[0] for names in imports(path) if names} - {folder(path)}
    return found


def modules() -> dict[tuple[str, ...], set[tuple[str, ...]]]:
    """Each module and the modules that it imports, short of the packages' faces."""
    names = {path: path.relative_to(PACKAGE).with_suffix("").parts for path in MODULES if path.name != "__init__.py"}
    return {own: {other for other in imports(path) if other in names.values()} for path, own in names.items()}


def table() -> dict[str, set[str]]:
    """The table of docs/architecture.md, from the ground floor up: a folder and the folders that it may import."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\| ([^|]*) \|$", text, re.M)
    return {name: set(re.findall(r"`(\w+)`", targets)) for name, targets in rows}


def arrows_up() -> list[tuple[str, str]]:
    """Imports of a folder that stands above in the table's order, or nowhere in it."""
    floors = list(table())
    return [(a, b) for a, targets in arrows().items() for b in targets if b not in floors[: floors.index(a)]]


def circles() -> list:
    """A circle among the folders and one among the modules, where there is any."""
    found = []
    for graph in (arrows(), modules()):
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            found.append(error.args[1])
    return found


if __name__ == "__main__":
    count = len([path for path in PACKAGE.iterdir() if (path / "__init__.py").exists()])
    between = sum(len(targets - {"errors", "lazy"}) for targets in arrows().values())
    print(f"{count} folders, {len(modules())} modules, {between} imports between folders")
    print(f"{len(circles())} circles, {len(arrows_up())} arrows up")
