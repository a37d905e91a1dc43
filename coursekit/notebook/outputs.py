"""What outputs carry: written by the display calls, read by executor and report."""

from collections.abc import Iterator

import nbformat
from nbformat import NotebookNode


def errors_in(cell: NotebookNode) -> list[NotebookNode]:
    """The error outputs of a code cell."""
    return [output for output in cell.outputs if output.output_type == "error"]


def text_of(error: NotebookNode) -> str:
    """Name and first line of an error output, with what to do when the memory was too small."""
    line = f"{error.ename}: {error.evalue}".splitlines()[0]
    is_memory = error.ename in ("MemoryError", "OutOfMemoryError") or "allocate memory" in error.evalue
    line = line.rstrip(": ")
    return f"{line}; lower batch_size, or close other notebooks" if is_memory else line


def to_bytes(notebook: NotebookNode) -> bytes:
    """The notebook as a file holds it; half characters that a cell has printed become question marks."""
    return (nbformat.writes(notebook) + "\n").encode(errors="replace")


def gather_run(notebook: NotebookNode) -> dict:
    """What the cells said about their run (profile, device, versions, data sources), as one dictionary."""
    run: dict = {}
    for _, beside in captioned(notebook):
        about = beside.get("run", {})
        if isinstance(about, dict) and isinstance(about.get("sources", {}), dict):
            sources = run.get("sources", {}) | about.get("sources", {})
            run |= about | ({"sources": sources} if sources else {})
    return run


def said(output: NotebookNode) -> dict:
    """What our own display calls put beside an output; nothing for one that they did not make."""
    beside = output.get("metadata", {}).get("coursekit")
    return beside if isinstance(beside, dict) else {}  # a cell may put anything there


def captioned(notebook: NotebookNode) -> Iterator[tuple[NotebookNode, dict]]:
    """Every output that one of our display calls made, with what it said beside it."""
    every = (output for cell in notebook.cells for output in cell.get("outputs", []))
    return ((output, beside) for output in every if (beside := said(output)))
