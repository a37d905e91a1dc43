"""Executed notebooks as one PDF or HTML file: nbconvert to Markdown, pandoc to Typst or HTML, no TeX, no browser."""

import json
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from traitlets import default

from coursekit import __version__
from coursekit.errors import NotebookError
from coursekit.notebook import document, outputs
from coursekit.report import fonts, front_page, references
from coursekit.report.front_page import Notebooks
from coursekit.report.markdown import TEMPLATES, ReportExporter

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
    """File > Save and Export Notebook As > Coursekit_pdf; `jupyter nbconvert --to coursekit_pdf`."""

    export_from_notebook = "PDF report"
    output_mimetype = "application/pdf"

    @default("file_extension")
    def _file_extension(self) -> str:
        return ".pdf"

    def render(self, notebooks):
        """The document's bytes."""
        return to_pdf(notebooks, front_page.heading(notebooks[0][1]) or TITLE, code=self.code)


class HTMLReportExporter(_DocumentExporter):
    """File > Save and Export Notebook As > Coursekit_html; `jupyter nbconvert --to coursekit_html`."""

    export_from_notebook = "HTML report"
    output_mimetype = "text/html"

    @default("file_extension")
    def _file_extension(self) -> str:
        return ".html"

    def render(self, notebooks):
        """The document's text."""
        return to_html(notebooks, front_page.heading(notebooks[0][1]) or TITLE, code=self.code)


def read(paths: Iterable[Path]) -> list[tuple[str, NotebookNode]]:
    """Name and content of each notebook; raises NotebookError for a file that is none."""
    return [(path.stem, document.read(path)) for path in paths]


def live(notebook: NotebookNode) -> NotebookNode:
    """A notebook as somebody runs it: what it ran on is what its outputs say, whatever its file said before."""
    said = notebook.metadata.get("coursekit", {}) | outputs.gather_run(notebook)
    return nbformat.from_dict(notebook | {"metadata": notebook.metadata | {"coursekit": said}})


def to_pdf(
    notebooks: Notebooks, title: str = TITLE, author: str = "", *, collaborators: str | None = None, code: str = "key"
) -> bytes:
    """One PDF with cover, abstract, contents, a chapter for each notebook, and collaboration and sources at the end.

    `code` is one of `markdown.CODE`. `collaborators`: whom the author worked with; None leaves a line to fill in. Warns
    on stderr about characters for which this machine has no font. Raises NotebookError when Typst refuses it.
    """
    try:
        import typst
    except ImportError as error:
        raise NotebookError(f"PDF needs typst ({error}): pip install typst, or --format html") from error

    with tempfile.TemporaryDirectory() as folder:
        markdown = _write_sources(notebooks, Path(folder), author, collaborators, code)
        body = _pandoc(
            markdown, "typst", folder, f"--template={TEMPLATES / 'report.typ'}", "--syntax-highlighting=idiomatic"
        )
        source = Path(folder, "report.typ")
        source.write_text(body, encoding="utf-8")
        first = front_page.of(notebooks, title, author)
        families, lost = fonts.cover(" ".join((author, title, body)))
        lists = (first.facts, first.abstract, first.keywords, [*first.running, ""], families)
        words = {"title": title, "author": author, "notice": first.notice, "description": " ".join(first.abstract)}
        try:
            inputs = words | {"lists": json.dumps(lists)}
            pdf = typst.compile(source, root=folder, font_paths=fonts.FOLDERS, sys_inputs=inputs)
        except typst.TypstError as error:
            raise NotebookError(f"Typst refused the report: {error}".splitlines()[0]) from error
    fonts.warn(lost)
    return pdf


def to_html(
    notebooks: Notebooks, title: str = TITLE, author: str = "", *, collaborators: str | None = None, code: str = "key"
) -> str:
    """The same as one self-contained HTML file: pictures inside, mathematics as MathML, no script."""
    first = front_page.of(notebooks, title, author)
    metadata = {
        "title": _literal(title),
        "author": _literal(author),
        "notice": _literal(first.notice),
        "keywords": _literal(", ".join(first.keywords)),
        "facts": [{"name": _literal(name), "value": _literal(value)} for name, value in first.facts],
        "abstract": [_literal(paragraph) for paragraph in first.abstract],
    }
    with tempfile.TemporaryDirectory() as folder:
        markdown = _write_sources(notebooks, Path(folder), author, collaborators, code)
        Path(folder, "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
        return _pandoc(
            markdown,
            "html5",
            folder,
            *("--standalone", "--embed-resources", "--mathml", "--toc", "--toc-depth=2"),
            f"--template={TEMPLATES / 'report.html'}",
            f"--css={TEMPLATES / 'report.css'}",
            f"--metadata-file={Path(folder, 'metadata.json')}",
        )


def _write_sources(
    notebooks: Notebooks, folder: Path, author: str = "", collaborators: str | None = None, code: str = "key"
) -> Path:
    """All notebooks as one Markdown file in `folder`, their pictures beside it."""
    parts = []
    for name, notebook in notebooks:
        resources = {"unique_key": re.sub(r"[^A-Za-z0-9_-]", "_", name), "output_files_dir": "."}
        try:
            markdown, resources = ReportExporter(code=code).from_notebook_node(notebook, resources)
        except Exception as error:  # whatever nbconvert stumbles on in an output: a picture that is not base64, say
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise NotebookError(f"{name}: cannot be converted ({reason})") from error
        for file, content in (resources["outputs"] or {}).items():  # "" of a notebook without a cell
            Path(folder, file).write_bytes(content)
        parts += [f"::: {{chapter={front_page.chapter(name)}}}\n:::", markdown]
    parts.append(f"::: {{chapter={len(notebooks) + 1}}}\n:::")
    parts.append(_last_page("\n".join(parts), notebooks, author, collaborators))
    path = folder / "report.md"
    path.write_text("\n\n".join(parts), encoding="utf-8")
    return path


def _last_page(text: str, notebooks: Notebooks, author: str, collaborators: str | None) -> str:
    """Who worked on this and what it builds on, as courses ask to have it stated."""
    line = _literal("_" * 40)
    data = {name for _, notebook in notebooks for name in notebook.metadata.get("coursekit", {}).get("sources", {})}
    works = [f"- {_literal(work)}" for work in references.of_data(data) + references.cited(text)]
    rows = [
        "# Collaboration and sources {.unnumbered}",
        f"**Author:** {_literal(author) or line}",
        f"**Worked with:** {line if collaborators is None else _literal(collaborators) or 'nobody'}",
        f"**Help and code from elsewhere:** {line}",
        "Most courses ask for this page: name everybody with whom you discussed solutions, write your own text and "
        "code, and cite what you took from books, papers, web pages and assistants. The rules of your course decide.",
        f"The code in this report comes from the notebooks and from the package coursekit {__version__} (MIT licence), "
        "which they call; the exercises unite and correct those of several university courses.",
        *["## Sources {.unnumbered}"] * bool(works),
        "\n".join(works),
    ]
    return "\n\n".join(rows)


def _literal(text: str) -> str:
    """Text that pandoc reads as Markdown and leaves as it is: every ASCII punctuation mark as a character reference."""
    return re.sub(r"[!-/:-@\[-`{-~]", lambda match: f"&#{ord(match[0])};", text)


def _pandoc(markdown: Path, to: str, folder: str, *arguments: str) -> str:
    import pypandoc

    options = [f"--lua-filter={TEMPLATES / 'report.lua'}", f"--resource-path={folder}", *arguments]
    try:
        return pypandoc.convert_file(str(markdown), to, format=MARKDOWN, extra_args=options, cworkdir=folder)
    except OSError as error:
        raise NotebookError("the report needs pandoc, which is not found: pip install pypandoc_binary") from error
    except RuntimeError as error:
        raise NotebookError(f"pandoc refused the report: {error}".splitlines()[0]) from error
