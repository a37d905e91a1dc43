"""The cells of one executed notebook as blocks of a document tree: text, code and outputs, as a report shows them."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from coursekit.execution import redact
from coursekit.notebook.outputs import said
from coursekit.report import markdown, printed, tables, tree
from coursekit.report.html import Reader
from coursekit.report.losses import Losses
from coursekit.report.pictures import Pictures
from coursekit.report.tree import Node, attr, node

CODE = ("all", "key", "none")  # how much code a report shows: every cell, what matters, none
MATTERS = "key"  # the tag of a cell whose code matters
EXERCISE, SOLUTION = "exercise", "solution"  # a learner's own code matters; where ours stands beside it, ours is enough
EDGES = re.compile(r"^[ \t]*# (?:BEGIN|END) SOLUTION[ \t]*\n?", re.MULTILINE)
HIDDEN_CELLS = {"remove-cell", "setup"}
SHOWING = {"claim", "finding", "figure", "scorecard", "plumbing"}  # cells that are there for their output
PICTURES = ("image/svg+xml", "image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp")
PREFERRED = ("text/html", "text/markdown", *PICTURES, "text/latex", "text/plain")
REPR = re.compile(r"<(?:IPython\.core\.display\.)?[\w.]+(?: object.*)?>")  # says nothing of what it stands for
SEEN = {"Str", "Code", "CodeBlock", "Math", "Image", "Table"}


@dataclass(frozen=True)
class Cell:
    """A cell of a report: the notebook's name, the cell's number in it, and its blocks."""

    notebook: str
    number: int
    blocks: list[Node]


def is_ours(notebook: NotebookNode) -> bool:
    """Whether a notebook works with this package: only then its tags mean what they do here, and its cover is ours."""
    if "coursekit" in notebook.metadata:
        return True
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    outputs = [output for cell in code for output in cell.get("outputs", [])]
    return any(said(output) for output in outputs) or any(
        re.search(r"^\s*(?:from|import) coursekit\b", cell.get("source", ""), re.MULTILINE) for cell in code
    )


def read(
    name: str,
    notebook: NotebookNode,
    folder: Path,
    losses: Losses,
    *,
    number: int = 1,
    beside: Path | None = None,
    code: str = "key",
) -> Iterator[Cell]:
    """Each cell that a report shows, its pictures as files in `folder`. Anything left out is added to `losses`.

    `number` is the notebook's in the report, and keeps its pictures' names apart from those of another.

    Secrets go: the notebook may have been executed elsewhere. "key" is the code that `show_source` shows, that of cells
    tagged so, and a learner's own in exercises; all, in a notebook that marks none. `beside` is the folder from which
    text may take pictures.
    """
    ours = is_ours(notebook)
    notebook = nbformat.from_dict(json.loads(json.dumps(notebook)))
    reader = Reader(Pictures(folder, f"picture-{number}", beside, losses.add), losses.add)
    language = _language(notebook)
    hide = _hider(notebook, code) if ours else lambda cell: code == "none"
    for place, cell in enumerate(notebook.cells, 1):
        losses.cell = (name, place)
        cell.source = cell.get("source", "")
        kinds = redact.source(cell) + (redact.outputs(cell) if cell.cell_type == "code" else [])
        redact.warn(f"{name} cell {place}", kinds)
        if ours and HIDDEN_CELLS & _tags(cell):
            continue
        reader.attachments = cell.get("attachments", {})
        try:
            blocks = _Reading(reader, losses, ours, code, hide(cell), language, f"{number}-{place}").blocks(cell)
        except Exception as error:  # whatever somebody's notebook holds, it is shown
            losses.add(f"set as plain text ({type(error).__name__}: {error})".splitlines()[0][:160])
            blocks = [tree.code(printed.clean(plain(cell)))]
        yield Cell(name, place, blocks)


def plain(cell: NotebookNode) -> str:
    """A cell as it was written, with what of its outputs is text."""
    outputs = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.get("outputs", [])]
    return "\n\n".join([cell.get("source", ""), *filter(None, outputs)])


def _hider(notebook: NotebookNode, code: str):
    """Whether the code of a cell of ours is not to be shown."""
    solved = any(SOLUTION in _tags(cell) for cell in notebook.cells)
    key = {MATTERS} if solved else {MATTERS, EXERCISE}
    if code == "key" and not any(key & _tags(cell) or _is_source(cell) for cell in notebook.cells):
        code = "all"

    def hides(cell: NotebookNode) -> bool:
        if code == "none" or (code == "key" and not key & _tags(cell)):
            return True
        return _is_source(cell) or bool((SHOWING | {"hide-input"}) & _tags(cell))

    return hides


def _tags(cell: NotebookNode) -> set[str]:
    return set(cell.metadata.get("tags", ()))


def _is_source(cell: NotebookNode) -> bool:
    return any(said(output).get("source") for output in cell.get("outputs", ()))


def _language(notebook: NotebookNode) -> str:
    metadata = notebook.metadata
    said = metadata.get("language_info", {}).get("name") or metadata.get("kernelspec", {}).get("language")
    return re.sub(r"[^\w+-]", "", str(said or "python")).lower()


@dataclass
class _Reading:
    """How one cell is read."""

    reader: Reader
    losses: Losses
    ours: bool
    code: str
    hidden: bool  # its code
    language: str
    name: str

    def blocks(self, cell: NotebookNode) -> list[Node]:
        if cell.cell_type == "markdown":
            return self.markdown(_our_text(cell.source) if self.ours else cell.source)
        if cell.cell_type == "raw":
            kind = cell.metadata.get("format", cell.metadata.get("raw_mimetype", ""))
            if kind == "text/html":
                return self.reader.read(cell.source)
            return self.markdown(cell.source) if kind == "text/markdown" else self._text(cell.source)
        if cell.cell_type == "code":
            return self._code(cell)
        if cell.source.strip():
            self.losses.add(f"a cell of the unknown type {cell.cell_type[:40]!r} is left out")
        return []

    def markdown(self, text: str) -> list[Node]:
        text = printed.CONTROLS.sub("", text.replace("\r", ""))
        blocks = self.reader.read(*markdown.to_html(text, self.name, typographic=self.ours))
        if self.reader.runs:
            self.losses.add(f"left out of the text: {_listed(self.reader.runs)}")
        return blocks

    def _text(self, text: str) -> list[Node]:
        text = printed.clean(text)
        return [tree.code(text)] if text.strip() else []

    def _code(self, cell: NotebookNode) -> list[Node]:
        source = printed.clean(EDGES.sub("", cell.source) if self.ours else cell.source)
        shown = [tree.code(source, self.language)] if source.strip() and not self.hidden else []
        if self.ours and {"remove-output", "scorecard"} & _tags(cell):  # the abstract counts the scores
            return shown
        unwanted = {"live", "claims"} | ({"source"} if self.code == "none" else set())  # the abstract counts claims
        outputs = [output for output in cell.get("outputs", []) if not any(map(said(output).get, unwanted))]
        if self.ours and self.hidden:  # without its code, the value of its last line says nothing either
            outputs = [o for o in outputs if o.output_type != "execute_result" or set(o.data) != {"text/plain"}]
        for output in _gathered(outputs):
            shown += self._output(output)
        return shown

    def _output(self, output: NotebookNode) -> list[Node]:
        if output.output_type == "stream":
            return self._stream(output.text)
        if output.output_type == "error":
            return self._text("\n".join(output.get("traceback") or [f"{output.ename}: {output.evalue}"]))
        return self._shown(output)

    def _stream(self, text: str) -> list[Node]:
        text, warned = printed.without_noise(printed.clean(text))
        if warned:
            self.losses.add("warnings of libraries (deprecation, future) are left out")
        text, more = printed.shorten(text)
        if more:
            self.losses.add(f"of what it printed, only the first {printed.LINES_SHOWN} lines are shown")
        return [tree.code(text)] if text.strip() else []

    def _shown(self, output: NotebookNode) -> list[Node]:
        """The best form of an output that a report can show."""
        data, runs = output.get("data", {}), []
        forms = [mime for mime in PREFERRED if data.get(mime)]
        for mime in forms:
            if mime == "text/plain" and (runs or "text/html" in data) and REPR.fullmatch(data[mime].strip()):
                continue
            blocks = self._form(mime, output)
            if mime == "text/html":
                runs = self.reader.runs
                if runs and any(form in PICTURES for form in forms):
                    continue
            if any(item["t"] in SEEN for item in tree.nodes(blocks)):
                self._name(runs, blocks, mime)
                return blocks
            if mime in PICTURES:
                self.losses.add(f"a picture of an output ({mime}) cannot be read")
        return self._not_shown(data, runs)

    def _name(self, runs: list[str], blocks: list[Node], mime: str) -> None:
        """Say what only a browser could show, unless what is shown stands for it: a picture, a table with buttons."""
        kinds = {item["t"] for item in tree.nodes(blocks)}
        only_scripts = set(runs) <= {"a script"}
        if runs and mime not in PICTURES and not (only_scripts and kinds & {"Table", "Image"}):
            self.losses.add(f"left out of an output: {_listed(runs)}; its text stands there")

    def _not_shown(self, data: dict, runs: list[str]) -> list[Node]:
        if not runs and "text/html" in data:
            return []  # a style sheet, say: a browser shows nothing either
        text = next(
            (v for mime, v in data.items() if mime.startswith("text/") and isinstance(v, str) and v.strip()), ""
        )
        if text and not runs and "text/plain" not in data:
            return self._text(text)
        if not data or all(isinstance(value, str) and not value.strip() for value in data.values()):
            return []
        if "application/json" in data and not runs:
            return self._text(json.dumps(data["application/json"], indent=2, ensure_ascii=False))
        name = _listed(runs) if runs else f"an output ({', '.join(sorted(data))[:80]})"
        if set(data) <= {"application/javascript", "text/plain"}:
            self.losses.add("an output that is a script is left out")
            return []
        self.losses.add(f"not shown: {name}")
        return [tree.para(f"[not shown: {name}]")]

    def _form(self, mime: str, output: NotebookNode) -> list[Node]:
        text, beside = output.data[mime], said(output)
        if mime == "text/plain":
            return self._text(text)
        if mime == "text/markdown":
            return self.markdown(text)
        if mime == "text/latex":
            return self.reader.latex(text)
        caption = self._caption(beside.get("caption", ""))
        name = re.sub(r"[^\w-]", "-", beside.get("figure") or beside.get("table") or "")
        if mime == "text/html":
            return self._html(text, name, caption)
        width = f"{beside['width']}%" if "width" in beside else _pixels(output, mime)
        drawn = self.reader.pictures.drawn(text, beside.get("caption", ""), mime, width)
        if not drawn or not caption:
            return [node("Para", drawn)] if drawn else []
        return [node("Figure", attr(name), [None, caption], [node("Plain", drawn)])]

    def _html(self, text: str, name: str, caption: list[Node]) -> list[Node]:
        blocks = self.reader.read(text)
        for block in blocks:
            for item in [block] if block["t"] == "Table" else block["c"][1] if block["t"] == "Div" else []:
                if item["t"] == "Table":
                    tables.align_numbers(item)
                    item["c"][0][0] = item["c"][0][0] or name
                    item["c"][1] = [None, caption or item["c"][1][1]]
                    name, caption = "", []
        return blocks

    def _caption(self, text: str) -> list[Node]:
        blocks = self.markdown(text) if text else []
        return [node("Plain", block["c"]) for block in blocks if block["t"] in tree.INLINE_FIRST]


def _our_text(text: str) -> str:
    """Without the chapter's number, and with the Markdown that our answers hold right behind their <summary>."""
    text = re.sub(r"^# \d+\s*·\s*", "# ", text)
    return re.sub(r"^([ \t]*)(<details>.*?</summary>)[ \t]*(?=\S)", r"\1\2\n\n\1", text, flags=re.MULTILINE)


def _pixels(output: NotebookNode, mime: str) -> str:
    """The width that an output asks for, in CSS pixels: of a picture made for a screen with small ones, say."""
    asked = output.get("metadata", {}).get(mime, {})
    width = asked.get("width") if isinstance(asked, dict) else None
    return f"{width}px" if isinstance(width, int | float) and width > 0 else ""


def _gathered(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """What was printed in pieces as one text, and the lines of scores as one block."""
    kept: list[NotebookNode] = []
    for output in outputs:
        before = kept[-1] if kept else None
        if before and output.output_type == before.output_type == "stream" and output.get("name") == before.get("name"):
            before.text += output.text
        elif before and all("score" in said(each) for each in (before, output)):
            before.data["text/plain"] += "\n" + output.data["text/plain"]
        else:
            kept.append(output)
    return kept


def _listed(kinds: list[str]) -> str:
    return ", ".join(dict.fromkeys(kinds))
