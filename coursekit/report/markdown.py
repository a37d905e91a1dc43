"""One executed notebook as the Markdown of a report, its pictures as files beside it."""

import json
import re
from pathlib import Path

import nbformat
from nbconvert.exporters import MarkdownExporter
from nbformat import NotebookNode
from traitlets import Enum, default
from traitlets.config import Config

from coursekit.execution import redact

TEMPLATES = Path(__file__).with_name("templates")
LINES_SHOWN = 40  # of a cell's printed output
CODE = ("all", "key", "none")  # how much code a report shows: every cell, what matters, none
MATTERS = "key"  # the tag of a cell whose code matters
EXERCISE, SOLUTION = "exercise", "solution"  # a learner's own code matters; where ours stands beside it, ours is enough
EDGES = re.compile(r"^[ \t]*# (?:BEGIN|END) SOLUTION[ \t]*\n?", re.MULTILINE)
HIDDEN_CELLS = {"remove-cell", "setup"}
HIDDEN_INPUTS = {"hide-input"}
SHOWING = {"claim", "finding", "figure"}  # cells that are there for their output
NOISE = re.compile(r".*(Deprecation|Future)Warning: .*\n(\s+.*\n?)?")


class ReportExporter(MarkdownExporter):
    """Markdown of one notebook, with its pictures as files in resources["outputs"]."""

    template_name = "report"
    template_extension = ".md.j2"
    export_from_notebook = None
    code = Enum(CODE, "key", help="how much code to show").tag(config=True)

    @property
    def extra_template_basedirs(self) -> list[str]:
        return [str(TEMPLATES)]

    @default("template_file")
    def _template_file(self) -> str:
        return "index.md.j2"

    @property
    def default_config(self) -> Config:
        config = Config(
            {
                "ExtractOutputPreprocessor": {"enabled": True},
                "CoalesceStreamsPreprocessor": {"enabled": True},
                "TagRemovePreprocessor": {
                    "enabled": True,
                    "remove_cell_tags": HIDDEN_CELLS,
                    "remove_input_tags": HIDDEN_INPUTS,
                    "remove_all_outputs_tags": {"remove-output"},
                },
                "NbConvertBase": {
                    "display_data_priority": [
                        "text/html",
                        "text/markdown",
                        "image/svg+xml",
                        "image/png",
                        "image/jpeg",
                        "text/latex",
                        "text/plain",
                    ]
                },
            }
        )
        return super().default_config.merge(config) or config

    def default_filters(self):
        yield from super().default_filters()
        yield from {"fenced": fenced, "picture": picture, "caption": caption, "name": name}.items()

    def from_notebook_node(self, nb: NotebookNode, resources=None, **kwargs):
        name = (resources or {}).get("unique_key", "notebook")
        return super().from_notebook_node(for_print(nb, name, self.code), resources, **kwargs)


def for_print(notebook: NotebookNode, name: str = "notebook", code: str = "key") -> NotebookNode:
    """A copy without what only a screen needs (live captions, library warnings, the tail of a long print-out), without
    the code that was not asked for, and without secrets: the notebook may have been executed elsewhere.

    "key" is the code that `show_source` shows, that of cells tagged so, and a learner's own in exercises; all, in a
    notebook that marks none.
    """
    notebook = nbformat.from_dict(json.loads(json.dumps(notebook)))
    solved = any(SOLUTION in _tags(cell) for cell in notebook.cells)
    key = {MATTERS} if solved else {MATTERS, EXERCISE}
    if code == "key" and not any(key & _tags(cell) or _is_source(cell) for cell in notebook.cells):
        code = "all"
    for number, cell in enumerate(notebook.cells, 1):
        kinds = redact.source(cell)
        kinds += redact.outputs(cell) if cell.cell_type == "code" else []
        redact.warn(f"{name} cell {number}", kinds)
        if cell.cell_type != "code":
            cell.source = re.sub(r"^# \d+\s*·\s*", "# ", cell.source)
            continue
        cell.outputs = [
            o for o in cell.outputs if not _said(o).get("live") and "application/javascript" not in o.get("data", ())
        ]
        for output in cell.outputs:
            if output.output_type == "stream":
                output.text = shorten(NOISE.sub("", output.text))
        cell.source = EDGES.sub("", cell.source)
        _hide_code(cell, code, key)
        cell.outputs = _gathered(cell.outputs)
    return notebook


def _tags(cell: NotebookNode) -> set[str]:
    return set(cell.metadata.get("tags", ()))


def _is_source(cell: NotebookNode) -> bool:
    return any(_said(output).get("source") for output in cell.get("outputs", ()))


def _hide_code(cell: NotebookNode, code: str, key: set[str]) -> None:
    """Tag a cell whose code is not to be shown; without it, the value of its last line says nothing either."""
    hide = code == "none" or (code == "key" and not key & _tags(cell))
    if code == "none":
        cell.outputs = [output for output in cell.outputs if not _said(output).get("source")]
    if hide or _is_source(cell) or SHOWING & _tags(cell):  # what `show_source` was told is replaced by what it shows
        cell.metadata.setdefault("tags", []).append("hide-input")
        cell.outputs = [o for o in cell.outputs if o.output_type != "execute_result" or set(o.data) != {"text/plain"}]


def _gathered(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """The lines of claims and scores that stand one below the other as one block of text."""
    kept: list[NotebookNode] = []
    for output in outputs:
        lines = _said(output).keys() & {"claim", "score"}
        if lines and kept and _said(kept[-1]).keys() & {"claim", "score"}:
            kept[-1].data["text/plain"] += "\n" + output.data["text/plain"]
        else:
            kept.append(output)
    return kept


def shorten(text: str, lines_shown: int = LINES_SHOWN) -> str:
    """The first lines of a long print-out and how many more there were; of a progress bar, its last state."""
    lines = [line.rsplit("\r", 1)[-1] for line in text.rstrip("\n").split("\n")]
    if len(lines) > lines_shown:
        lines = [*lines[:lines_shown], f"… {len(lines) - lines_shown} more lines"]
    return "\n".join(lines)


def _said(output: NotebookNode) -> dict:
    """What our own display calls put beside an output."""
    return output.get("metadata", {}).get("coursekit", {})


def fenced(text: str, language: str) -> str:
    """A Markdown code block whose fence is longer than any in the text."""
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}" if text.strip() else ""


def picture(output: NotebookNode, mime: str) -> str:
    """A Markdown image from an output whose picture was written to a file."""
    said = _said(output)
    attributes = [name(output), f"width={said['width']}%" if "width" in said else ""]
    return f"![{said.get('caption', '')}]({output.metadata.filenames[mime]}){{{' '.join(filter(None, attributes))}}}\n"


def name(output: NotebookNode) -> str:
    """What links call a figure or a table, as an attribute of Markdown: "#01-letters"; nothing where it has no name."""
    said = _said(output)
    known = re.sub(r"[^\w-]", "-", said.get("figure") or said.get("table") or "")
    return f"#{known}" if known else ""


def caption(output: NotebookNode) -> str:
    """The caption that `show_table` gave, or nothing."""
    return _said(output).get("caption", "")
