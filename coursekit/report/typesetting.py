"""Typst: the PDF of a report, whatever a cell holds; one that Typst refuses is found and set as plain text."""

import json
import re
from collections.abc import Callable
from pathlib import Path

from coursekit.errors import NotebookError

MARK = re.compile(r"^// cell (\d+)$", re.MULTILINE)


def mark(number: int) -> str:
    """A mark before a cell in the source, so that the cell can be removed."""
    return f"// cell {number}"


class Refused(Exception):
    """Typst's reason, in one line."""


def to_pdf(
    preamble: str, body: str, folder: Path, inputs: dict[str, str], fonts: list[str], replace: Callable[[int, str], str]
) -> bytes:
    """The PDF of `preamble` and `body`; `replace(number, reason)` gives plain text for a refused cell."""
    head, *rest = MARK.split(body)
    cells = dict(zip(map(int, rest[::2]), rest[1::2], strict=True))

    def source(chosen) -> str:
        return head + "".join(f"{mark(number)}\n{cells[number]}" for number in chosen)

    def compiled(chosen) -> bytes:
        return _compiled(preamble + source(chosen), folder, inputs, fonts)

    try:
        return compiled(cells)
    except Refused:
        for number, reason in _guilty(compiled, list(cells)):
            cells[number] = _raw(replace(number, reason))
    try:
        return compiled(cells)
    except Refused as error:
        raise NotebookError(f"Typst refused the report: {error}") from error


def _guilty(compiled: Callable, numbers: list[int]) -> list[tuple[int, str]]:
    """The cells that Typst refuses, each with its reason, found by halves."""
    try:
        compiled(numbers)
    except Refused as error:
        if len(numbers) == 1:
            return [(numbers[0], str(error))]
        half = len(numbers) // 2
        return _guilty(compiled, numbers[:half]) + _guilty(compiled, numbers[half:])
    return []


def _compiled(text: str, folder: Path, inputs: dict[str, str], fonts: list[str]) -> bytes:
    import typst

    source = Path(folder, "report.typ")
    source.write_text(text, encoding="utf-8")
    try:
        return typst.compile(source, root=folder, font_paths=fonts, sys_inputs=inputs)
    except BaseException as error:  # a panic of Typst's own is no Exception
        if not isinstance(error, typst.TypstError) and type(error).__name__ != "PanicException":
            raise
        raise Refused(f"{error}".splitlines()[0] if f"{error}" else type(error).__name__) from None


def _raw(text: str) -> str:
    """Text as a block of Typst that nothing in it can end."""
    return f'#raw(block: true, lang: "text", {json.dumps(text, ensure_ascii=False)})\n\n'
