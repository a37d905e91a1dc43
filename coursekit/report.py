"""Executed notebooks as one PDF or HTML file: nbconvert to Markdown, pandoc to Typst or HTML, no TeX, no browser."""

import datetime
import html
import json
import re
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from traitlets import default

from coursekit import __version__, executor, fonts
from coursekit.errors import NotebookError
from coursekit.markdown import TEMPLATES, ReportExporter

TITLE = "Deep learning workbook"
MARKDOWN = (
    "markdown+lists_without_preceding_blankline-blank_before_header-blank_before_blockquote+tex_math_single_backslash"
    "-yaml_metadata_block-pandoc_title_block"  # a notebook's text sets neither title nor header of the report
)


class _DocumentExporter(ReportExporter):
    """One notebook through the same door as the whole workbook."""

    def from_notebook_node(self, nb: NotebookNode, resources=None, **kwargs):
        resources = dict(resources or {})
        name = resources.get("metadata", {}).get("name", "notebook")
        content = self.render([(name, live(nb))])
        resources["output_extension"] = self.file_extension
        resources["outputs"] = {}
        return content, resources


class PDFReportExporter(_DocumentExporter):
    """File > Save and Export Notebook As > PDF report; `jupyter nbconvert --to coursekit_pdf`."""

    export_from_notebook = "PDF report"
    output_mimetype = "application/pdf"

    @default("file_extension")
    def _file_extension(self) -> str:
        return ".pdf"

    def render(self, notebooks):
        """The document's bytes."""
        return to_pdf(notebooks)


class HTMLReportExporter(_DocumentExporter):
    """File > Save and Export Notebook As > HTML report; `jupyter nbconvert --to coursekit_html`."""

    export_from_notebook = "HTML report"
    output_mimetype = "text/html"

    @default("file_extension")
    def _file_extension(self) -> str:
        return ".html"

    def render(self, notebooks):
        """The document's text."""
        return to_html(notebooks)


Notebooks = Sequence[tuple[str, NotebookNode]]


def read(paths: Iterable[Path]) -> list[tuple[str, NotebookNode]]:
    """Name and content of each notebook; raises NotebookError for a file that is none."""
    notebooks = []
    for path in paths:
        try:
            notebooks.append((path.stem, nbformat.read(path, as_version=4)))
        except (OSError, ValueError, nbformat.reader.NotJSONError) as error:
            raise NotebookError(f"{path}: not a readable notebook ({error})".splitlines()[0]) from error
    return notebooks


def live(notebook: NotebookNode) -> NotebookNode:
    """A notebook as somebody runs it: what it ran on is what its outputs say, whatever its file said before."""
    said = notebook.metadata.get("coursekit", {}) | executor.gather_run(notebook)
    return nbformat.from_dict(notebook | {"metadata": notebook.metadata | {"coursekit": said}})


def to_pdf(notebooks: Notebooks, title: str = TITLE, author: str = "") -> bytes:
    """One PDF with cover, contents and a chapter for each notebook.

    Warns on stderr about characters for which this machine has no font. Raises NotebookError when Typst refuses it.
    """
    try:
        import typst
    except ImportError as error:
        raise NotebookError(f"PDF needs typst ({error}): pip install typst, or --format html") from error

    with tempfile.TemporaryDirectory() as folder:
        markdown = _write_sources(notebooks, Path(folder), "typst")
        body = _pandoc(
            markdown, "typst", folder, f"--template={TEMPLATES / 'report.typ'}", "--syntax-highlighting=idiomatic"
        )
        source = Path(folder, "report.typ")
        source.write_text(body, encoding="utf-8")
        cover = _cover(notebooks, title, author)
        families, lost = fonts.cover(author + title + body)
        inputs = cover | {"facts": json.dumps(cover["facts"]), "fonts": json.dumps(families)}
        try:
            pdf = typst.compile(source, root=folder, font_paths=fonts.FOLDERS, sys_inputs=inputs)
        except typst.TypstError as error:
            raise NotebookError(f"Typst refused the report: {error}".splitlines()[0]) from error
    fonts.warn(lost)
    return pdf


def to_html(notebooks: Notebooks, title: str = TITLE, author: str = "") -> str:
    """One self-contained HTML file: pictures inside, mathematics as MathML, no script."""
    cover = _cover(notebooks, title, author)
    lines = [f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in cover["facts"]]
    notice = f'<p class="notice">{html.escape(cover["notice"])}</p>' if cover["notice"] else ""
    with tempfile.TemporaryDirectory() as folder:
        markdown = _write_sources(notebooks, Path(folder), "html")
        Path(folder, "facts.html").write_text(f'{notice}<dl class="facts">{"".join(lines)}</dl>', encoding="utf-8")
        metadata = {"title": _literal(title), "author": [_literal(author)] if author else [], "lang": "en"}
        Path(folder, "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
        return _pandoc(
            markdown,
            "html5",
            folder,
            *("--standalone", "--embed-resources", "--mathml", "--toc", "--toc-depth=2", "--number-sections"),
            f"--number-offset={_chapter(notebooks[0][0]) - 1}",
            f"--css={TEMPLATES / 'report.css'}",
            f"--metadata-file={Path(folder, 'metadata.json')}",
            f"--include-before-body={Path(folder, 'facts.html')}",
        )


def _write_sources(notebooks: Notebooks, folder: Path, target: str) -> Path:
    """All notebooks as one Markdown file in `folder`, their pictures beside it."""
    parts = []
    for name, notebook in notebooks:
        resources = {"unique_key": re.sub(r"[^A-Za-z0-9_-]", "_", name), "output_files_dir": "."}
        markdown, resources = ReportExporter().from_notebook_node(notebook, resources)
        for file, content in resources["outputs"].items():
            Path(folder, file).write_bytes(content)
        if target == "typst":
            parts.append(f"```{{=typst}}\n#counter(heading).update({_chapter(name) - 1})\n```")
        parts.append(markdown)
    path = folder / "report.md"
    path.write_text("\n\n".join(parts), encoding="utf-8")
    return path


def _literal(text: str) -> str:
    """Text that pandoc reads as Markdown and leaves as it is: every ASCII punctuation mark escaped."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)


def _chapter(name: str) -> int:
    """The chapter number that a notebook's file name starts with; 1 where it starts with none."""
    number = re.match(r"\d+", name)
    return int(number[0]) if number else 1


def _pandoc(markdown: Path, to: str, folder: str, *arguments: str) -> str:
    import pypandoc

    options = [f"--lua-filter={TEMPLATES / 'report.lua'}", f"--resource-path={folder}", *arguments]
    try:
        return pypandoc.convert_file(str(markdown), to, format=MARKDOWN, extra_args=options, cworkdir=folder)
    except OSError as error:
        raise NotebookError("the report needs pandoc, which is not found: pip install pypandoc_binary") from error
    except RuntimeError as error:
        raise NotebookError(f"pandoc refused the report: {error}".splitlines()[0]) from error


def _cover(notebooks: Notebooks, title: str, author: str) -> dict:
    """Title, author, and what the notebooks say they ran on; a notice when some of it is sample data."""
    runs = [notebook.metadata.get("coursekit", {}) for _, notebook in notebooks]
    sources = {name: source for run in runs for name, source in run.get("sources", {}).items()}

    def said(key: str) -> str:
        return ", ".join(dict.fromkeys(str(run[key]) for run in runs if key in run))

    facts = [
        ("Profile", said("profile")),
        *((f"Data: {name}", source) for name, source in sources.items()),
        ("Device", said("device")),
        ("Versions", f"coursekit {said('coursekit') or __version__}, torch {said('torch')}, Python {said('python')}"),
        ("Notebooks", f"{len(runs)}, run in {sum(run.get('seconds', 0) for run in runs):.0f} s"),
        ("Date", datetime.date.today().isoformat()),
    ]
    sample = "Made from sample data: no number in this report says anything about the real data sets."
    notices = [sample] if any(source.startswith("sample data") for source in sources.values()) else []
    notices += [
        f"Not complete: {name} {run['failure']}."
        for (name, _), run in zip(notebooks, runs, strict=True)
        if "failure" in run
    ]
    return {
        "title": title,
        "author": author,
        "running": f"profile {said('profile')}" if said("profile") else "",
        "facts": [(name, value) for name, value in facts if value.strip(", ")],
        "notice": " ".join(notices),
    }
