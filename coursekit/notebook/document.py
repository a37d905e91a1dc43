"""The files of notebooks, read with every check: size, UTF-8, format, and the types of the metadata that we rely on."""

import itertools
import json
import re
from collections.abc import Mapping
from pathlib import Path

import nbformat
from nbformat import NotebookNode, v4
from nbformat.validator import iter_validate

from coursekit import files
from coursekit.errors import NotebookError, StorageError

LARGEST = 100_000_000  # bytes of a notebook, pictures included
LARGEST_SCRIPT = 10_000_000
DEEPEST = 100  # levels; Python's own limit is some hundreds, and is not met everywhere with an error
LONGEST = 100  # characters of a reason: a schema's message may quote a whole cell
CELL_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
JSON = re.compile(r"application/(.*\+)?json")

NUMBER = int | float
# What our code reads from metadata.coursekit of a notebook, and of an output (see `notebook`), where it is there.
OF_RUN = {"profile": str, "failure": str, "seconds": NUMBER, "sources": dict, "notebook": str, "edition": str}
OF_OUTPUT = {"figure": str, "table": str, "caption": str, "headline": str, "width": NUMBER}
OF_OUTPUT |= {"run": dict, "claims": list, "check": dict, "score": dict | None}


def read(path: Path) -> NotebookNode:
    """The notebook of an .ipynb file, as nbformat 4.5; raises NotebookError that says what is wrong, and where."""
    try:
        return parse(_content(path, LARGEST))
    except ValueError as error:
        raise NotebookError(f"{path}: not a readable notebook: {error}") from error


def read_script(path: Path) -> NotebookNode:
    """The notebook that a py:percent script describes; raises NotebookError that says what is wrong."""
    import jupytext  # slow to import

    try:
        text = decode(_content(path, LARGEST_SCRIPT))
        try:
            notebook = jupytext.reads(text, {"extension": ".py"})
        except Exception as error:  # whatever jupytext and the YAML reader behind it stumble on
            raise ValueError(f"jupytext stops at its header or at a line `# %%` ({_brief(error)})") from error
        notebook.metadata = {}  # of the header, which may hold what JSON cannot
        return _checked(json.loads(json.dumps(notebook)))
    except ValueError as error:
        raise NotebookError(f"{path}: not a readable py:percent script: {error}") from error


def _content(path: Path, largest: int) -> bytes:
    try:
        return files.read_bytes(path, largest)
    except StorageError as error:
        raise NotebookError(str(error)) from error


def parse(content: bytes, lenient: bool = False) -> NotebookNode:
    """The notebook that an .ipynb file holds; nbformat 3 is upgraded. Raises ValueError that says what is wrong.

    `lenient`: for a reader of the cells' text only; outputs are dropped unread and half characters left in.
    """
    try:
        raw = json.loads(decode(content))
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON (line {error.lineno}: {error.msg})") from error
    except RecursionError:
        raise ValueError(f"nested deeper than {DEEPEST} levels") from None
    if not isinstance(raw, dict) or type(raw.get("nbformat")) is not int:
        raise ValueError("JSON, but not a notebook's: it has no nbformat")
    if raw["nbformat"] not in (3, 4):
        advice = "open it in Jupyter and save it" if raw["nbformat"] < 3 else "pip install --upgrade nbformat"
        raise ValueError(f"nbformat {raw['nbformat']}, not 4; {advice}")
    if lenient and isinstance(raw.get("cells"), list):
        raw["cells"] = [_without_outputs(cell) for cell in raw["cells"]]
    return _checked(raw, half_characters=lenient)


def decode(content: bytes) -> str:
    """The text of a file; raises ValueError unless it is UTF-8 with something in it."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 (byte {error.start}); save it as UTF-8") from error
    if not text.strip():
        raise ValueError("the file is empty")
    if "\0" in text:
        raise ValueError("not text: it has null bytes")
    return text


def _without_outputs(cell):
    is_code = isinstance(cell, dict) and cell.get("cell_type") == "code"
    return cell | {"outputs": [], "execution_count": None} if is_code else cell


def _checked(raw: dict, half_characters: bool = False) -> NotebookNode:
    """A notebook's JSON as a valid NotebookNode with an id for each cell."""
    if _depth(raw) > DEEPEST:
        raise ValueError(f"nested deeper than {DEEPEST} levels")
    raw = _upgraded(raw) if raw["nbformat"] == 3 else raw
    minor = raw.get("nbformat_minor")
    if type(minor) is not int or minor < 0:
        raise ValueError(f"nbformat_minor is {_shown(minor)}; expected a number such as 5")
    raw["nbformat_minor"] = max(5, minor)
    cells = raw.get("cells")
    cells = [cell for cell in cells if isinstance(cell, dict)] if isinstance(cells, list) else []
    _give_ids(cells)
    _check_what_validation_needs(cells)
    for error in iter_validate(raw, version=4, version_minor=raw["nbformat_minor"], relax_add_props=True):
        raise ValueError(f"{_place(error.relative_path)}{_brief(error.message)}")
    notebook = v4.to_notebook_json(raw)
    if not notebook.cells:
        raise ValueError("it has no cells")
    _check(notebook.metadata.get("coursekit", {}), OF_RUN)
    cells = {f"cell {number}": cell for number, cell in enumerate(notebook.cells, 1)}
    for where, cell in cells.items():
        try:
            _check_cell(cell)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
    for where, part in ({} if half_characters else {"metadata": notebook.metadata} | cells).items():
        try:
            json.dumps(part, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError(f"{where}: half a character (a lone surrogate); delete it") from None
    return notebook


def _depth(value) -> int:
    """Levels of lists and dictionaries, counted without recursion."""
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        level = [item for outer in level for item in (outer.values() if isinstance(outer, dict) else outer)]
        depth += 1
    return depth


def _upgraded(raw: dict) -> dict:
    """Nbformat 3 as 4, by nbformat itself, which checks little."""
    try:
        return json.loads(json.dumps(nbformat.convert(nbformat.from_dict(raw), 4)))
    except Exception as error:
        raise ValueError(f"nbformat 3 that cannot be upgraded ({_brief(error)}); save it in Jupyter") from error


def _give_ids(cells: list[dict]) -> None:
    """An id for each cell that has none, none that is valid, or that of another cell."""
    taken: set[str] = set()
    lacking = []
    for cell in cells:
        known = cell.get("id")
        if isinstance(known, str) and CELL_ID.fullmatch(known) and known not in taken:
            taken.add(known)
        else:
            lacking.append(cell)
    fresh = (name for number in itertools.count(1) if (name := f"cell-{number:03d}") not in taken)
    for cell in lacking:
        cell["id"] = next(fresh)


def _check_what_validation_needs(cells: list[dict]) -> None:
    """What nbformat itself stumbles on while it validates, or puts lines together."""
    for number, cell in enumerate(cells, 1):
        if not isinstance(cell.get("cell_type"), str):
            raise ValueError(f"cell {number}: cell_type is {_shown(cell.get('cell_type'))}; expected code or markdown")
        attachments = cell.get("attachments", {})
        if not isinstance(attachments, dict) or not all(isinstance(item, dict) for item in attachments.values()):
            raise ValueError(f"cell {number}: attachments is {_shown(attachments)}; expected dictionaries")


def _check_cell(cell: NotebookNode) -> None:
    """What the schema leaves open: our own metadata, and the type of what an output shows."""
    cell.setdefault("source", "")  # of a cell type that a later minor version knows
    outputs = cell.get("outputs", [])
    if not isinstance(outputs, list) or not all(isinstance(output, dict) for output in outputs):
        raise ValueError(f"outputs is {_shown(outputs)}; expected a list of dictionaries")
    for output in outputs:
        ours = output.get("metadata", {}).get("coursekit", {})
        _check(ours, OF_OUTPUT)
        _check(ours.get("run", {}), OF_RUN)
        data = output.get("data", {})
        if not isinstance(data, dict):
            raise ValueError(f"an output's data is {_shown(data)}; expected a dictionary")
        for mime, value in data.items():
            if not isinstance(value, str) and not JSON.fullmatch(mime):
                raise ValueError(f"an output's {_brief(mime)} is {_shown(value)}; expected text")


def _check(metadata, types: Mapping) -> None:
    """Raise ValueError for metadata.coursekit with a value that is of another type than ours."""
    if not isinstance(metadata, dict):
        raise ValueError(f"metadata.coursekit is {_shown(metadata)}; expected a dictionary")
    for name, kind in types.items():
        if name in metadata and not isinstance(metadata[name], kind):
            raise ValueError(f"{name} in metadata.coursekit is {_shown(metadata[name])}; delete it")


def _place(path) -> str:
    """The place of a validation error as "cell 3 (metadata.tags): "."""
    parts = list(path)
    cell = ""
    if len(parts) > 1 and parts[0] == "cells":
        cell, parts = f"cell {parts[1] + 1}", parts[2:]
    inside = ".".join(map(str, parts))
    return f"{cell} ({inside}): " if cell and inside else f"{cell or inside}: " if cell or inside else ""


def _brief(reason: object) -> str:
    """One line of at most LONGEST characters."""
    if isinstance(reason, Exception):
        reason = (str(reason) or type(reason).__name__).splitlines()[0]
    line = " ".join(str(reason).split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"


def _shown(value) -> str:
    return _brief(repr(value)[: 2 * LONGEST])
