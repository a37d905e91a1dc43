"""One executed notebook as the Markdown of a report, its pictures as files beside it."""

import json
import re
from pathlib import Path

import nbformat
from nbconvert.exporters import MarkdownExporter
from nbformat import NotebookNode
from traitlets import default
from traitlets.config import Config

from coursekit import redact

TEMPLATES = Path(__file__).with_name("templates")
LINES_SHOWN = 40  # of a cell's printed output
HIDDEN_CELLS = {"remove-cell", "setup"}
HIDDEN_INPUTS = {"hide-input", "claim", "finding", "figure"}
NOISE = re.compile(r".*(Deprecation|Future)Warning: .*\n(\s+.*\n?)?")


class ReportExporter(MarkdownExporter):
    """Markdown of one notebook, with its pictures as files in resources["outputs"]."""

    template_name = "report"
    template_extension = ".md.j2"
    export_from_notebook = None

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
        yield from {"fenced": fenced, "picture": picture, "caption": caption}.items()

    def from_notebook_node(self, nb: NotebookNode, resources=None, **kwargs):
        name = (resources or {}).get("unique_key", "notebook")
        return super().from_notebook_node(for_print(nb, name), resources, **kwargs)


def for_print(notebook: NotebookNode, name: str = "notebook") -> NotebookNode:
    """A copy without what only a screen needs (live captions, library warnings, the tail of a long print-out), and
    without secrets: the notebook may have been executed elsewhere.
    """
    notebook = nbformat.from_dict(json.loads(json.dumps(notebook)))
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
        if any(_said(output).get("source") for output in cell.outputs):
            cell.metadata.setdefault("tags", []).append("hide-input")  # show_source(...) is replaced by what it shows
    return notebook


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
    width = f"{{width={said['width']}%}}" if "width" in said else ""
    return f"![{said.get('caption', '')}]({output.metadata.filenames[mime]}){width}\n"


def caption(output: NotebookNode) -> str:
    """The caption that `show_table` gave, or nothing."""
    return _said(output).get("caption", "")
