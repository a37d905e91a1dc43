"""Executed notebooks as one PDF or HTML file: cells to a tree, pandoc to Typst or HTML, no TeX, no browser."""

import base64
import functools
import json
import re
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, Self

import nbformat
from nbconvert.exporters.exporter import Exporter
from nbformat import NotebookNode
from traitlets import Enum, default

from coursekit import __version__
from coursekit.errors import NotebookError
from coursekit.notebook import document, outputs
from coursekit.report import cells, finish, fonts, front_page, tree, typesetting
from coursekit.report.front_page import Notebooks
from coursekit.report.losses import Losses
from coursekit.report.numbers import Numbers, with_captions
from coursekit.report.tree import Node, attr, node

TITLE = "Deep learning workbook"
LAST_PAGE = "Collaboration and sources"
TEMPLATES = Path(__file__).with_name("templates")


class _DocumentExporter(Exporter):
    """One notebook through the same door as the whole workbook."""

    code = Enum(cells.CODE, "key", help="how much code to show").tag(config=True)
    exclude_input = False

    def from_notebook_node(self, nb: NotebookNode, resources=None, **kwargs):
        nb, resources = super().from_notebook_node(nb, resources, **kwargs)
        about = resources.get("metadata", {})
        chapter = Chapter(about.get("name", "notebook"), live(nb), Path(about["path"]) if about.get("path") else None)
        with Report([chapter], code=self.code) as report:
            content = self.render(report)
        report.losses.warn()
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

    def render(self, report):
        """The document's bytes."""
        return report.pdf()


class HTMLReportExporter(_DocumentExporter):
    """File > Save and Export Notebook As > Coursekit_html; `jupyter nbconvert --to coursekit_html`."""

    export_from_notebook = "HTML report"
    output_mimetype = "text/html"

    @default("file_extension")
    def _file_extension(self) -> str:
        return ".html"

    def render(self, report):
        """The document's text."""
        return report.html()


class Chapter(NamedTuple):
    """A notebook by its name, and the folder from which its text may take pictures."""

    name: str
    notebook: NotebookNode
    folder: Path | None = None


def read(paths: Iterable[Path]) -> list[Chapter]:
    """The notebooks of files; raises NotebookError for a file that is none."""
    return [Chapter(path.stem, document.read(path), path.parent) for path in paths]


def live(notebook: NotebookNode) -> NotebookNode:
    """A notebook as somebody runs it: what it ran on is what its outputs say, whatever its file said before."""
    said = notebook.metadata.get("coursekit", {}) | outputs.gather_run(notebook)
    return nbformat.from_dict(notebook | {"metadata": notebook.metadata | ({"coursekit": said} if said else {})})


def to_pdf(notebooks: Notebooks, title: str = "", author: str = "", **options) -> bytes:
    """The PDF of a `Report`, with a warning on stderr for all that it leaves out."""
    with Report(notebooks, title, author, **options) as report:
        content = report.pdf()
    report.losses.warn()
    return content


def to_html(notebooks: Notebooks, title: str = "", author: str = "", **options) -> str:
    """The page of a `Report`, with a warning on stderr for all that it leaves out."""
    with Report(notebooks, title, author, **options) as report:
        content = report.html()
    report.losses.warn()
    return content


class Report:
    """One document tree, from which PDF and HTML are written; used in a `with`, which keeps its pictures for as long.

    `code` is one of `cells.CODE`. `collaborators`: the people the author worked with; None leaves a line to fill in.
    Cover, abstract and last page are those of our own notebooks. What was left out is in `losses`.
    """

    def __init__(
        self,
        notebooks: Notebooks,
        title: str = "",
        author: str = "",
        *,
        collaborators: str | None = None,
        code: str = "key",
    ):
        self.chapters = [Chapter(*each) for each in notebooks]
        self.asked, self.author, self.collaborators, self.code = title, author, collaborators, code
        self.ours = any(cells.is_ours(chapter.notebook) for chapter in self.chapters)
        self.losses = Losses()

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory()
        self.folder = Path(self._folder.name)
        return self

    def __exit__(self, *_) -> None:
        self._folder.cleanup()

    @functools.cached_property
    def title(self) -> str:
        """As asked for; else what a single notebook calls itself; else ours, or the names of the others."""
        headings = [front_page.heading(chapter.notebook) for chapter in self.chapters]
        if self.asked or (len(headings) == 1 and headings[0]):
            return self.asked or headings[0]
        names = [heading or chapter.name for heading, chapter in zip(headings, self.chapters, strict=True)]
        return TITLE if self.ours else ", ".join(names)

    @functools.cached_property
    def cells(self) -> list[tuple[int, cells.Cell, list[Node]]]:
        """Every cell with its chapter, counted from one, and its blocks in the document, with all numbers and links."""
        numbers, chapters = Numbers(), []
        for place, chapter in enumerate(self.chapters, 1):
            ours = cells.is_ours(chapter.notebook)
            options = {"number": place, "beside": chapter.folder, "code": self.code}
            read = list(cells.read(chapter.name, chapter.notebook, self.folder, self.losses, **options))
            parts = [with_captions(cell.blocks) if ours else cell.blocks for cell in read]
            parts = [node("Div", attr(), part) for part in parts]
            numbered = numbers.chapter(parts, front_page.chapter(chapter.name) if ours else None)
            chapters.append((read, numbered, numbers.here))
        return [
            (place, cell, numbers.linked(part["c"][1], here))
            for place, (read, numbered, here) in enumerate(chapters, 1)
            for cell, part in zip(read, numbered, strict=True)
        ]

    @functools.cached_property
    def blocks(self) -> list[Node]:
        """The whole document: chapters, each a list of cells, and the last page."""
        blocks, begun = [], 0
        for number, (chapter, _, part) in enumerate(self.cells):
            while begun < chapter:  # one without a cell is a chapter too
                begun += 1
                blocks.append(_chapter_begins(begun, new_page=self.ours or begun > 1))
            blocks.append(node("Div", attr(str(number), ["cell"]), part))
        if self.ours or self.collaborators is not None:
            blocks += [_chapter_begins(len(self.chapters) + 1), *self._last_page()]
        return blocks

    def pdf(self) -> bytes:
        """Raises NotebookError where typst or pandoc is not installed."""
        try:
            import typst  # noqa: F401
        except ImportError as error:
            raise NotebookError(f"PDF needs typst ({error}): pip install typst, or --format html") from error
        first = front_page.of(self.chapters, self.title, self.author)
        document = tree.document(finish.for_paper(self.blocks))
        body = self._pandoc(document, "typst", "--wrap=none", "--syntax-highlighting=idiomatic")
        families, lost = fonts.cover(" ".join((self.author, self.title, body)))
        lists = (first.facts, first.abstract, first.keywords, [*first.running, ""], families)
        given = {"title": self.title, "author": self.author, "notice": first.notice}
        given |= {"description": " ".join(first.abstract), "lists": json.dumps(lists), "kind": self._kind()}
        preamble = Path(TEMPLATES, "report.typ").read_text(encoding="utf-8")
        pdf = typesetting.to_pdf(preamble, body, self.folder, given, fonts.FOLDERS, self._plain)
        fonts.warn(lost)
        return pdf

    def html(self) -> str:
        """One self-contained file: pictures inside, mathematics as MathML, no script."""
        first = front_page.of(self.chapters, self.title, self.author)
        about = {
            "title": self.title,
            "author": self.author,
            "notice": first.notice,
            "keywords": ", ".join(first.keywords),
            "facts": [{"name": name, "value": value} for name, value in first.facts],
            "abstract": first.abstract,
        }
        about |= {"cover": "yes"} if self._kind() != "body" else {}
        about |= {"contents": "yes"} if self.ours else {}
        page = self._pandoc(
            tree.document(finish.for_screen(self.blocks), **about),
            "html5",
            *("--standalone", "--mathml", "--toc", "--toc-depth=2", "--wrap=none"),
            *(f"--template={TEMPLATES / 'report.html'}", f"--include-in-header={TEMPLATES / 'report.css'}"),
        )
        return re.sub(r'(?<=<img src=")[^":/]+(?=")', lambda name: self._inside(name[0]), page)

    def _inside(self, name: str) -> str:
        """A picture as a part of the page; pandoc would do that too, in more time than all the rest takes."""
        kind = {"jpg": "jpeg", "svg": "svg+xml"}.get(name.rpartition(".")[2], name.rpartition(".")[2])
        return f"data:image/{kind};base64,{base64.b64encode(Path(self.folder, name).read_bytes()).decode()}"

    def _kind(self) -> str:
        """What comes before the first cell: our cover, a title, or nothing where the notebook begins with its own."""
        if self.ours:
            return "cover"
        return "title" if self.asked or self.author or not front_page.heading(self.chapters[0].notebook) else "body"

    def _plain(self, number: int, reason: str) -> str:
        """The words of a cell that Typst refuses."""
        _, cell, blocks = self.cells[number]
        self.losses.add(f"set as plain text in the PDF (Typst: {reason})", (cell.notebook, cell.number))
        return tree.text_of(blocks)

    def _last_page(self) -> list[Node]:
        """Who worked on this and what it builds on, as courses ask to have it stated."""
        line = "_" * 40

        def said(name: str, text: str) -> Node:
            return node("Para", [node("Strong", tree.words(f"{name}:")), tree.SPACE, *tree.words(text)])

        ours = (
            f"The code in this report comes from the notebooks and from the package coursekit {__version__} (MIT "
            "licence), which they call; the exercises unite and correct those of several university courses. Each "
            "chapter lists the papers and data sets that it builds on."
        )
        return [
            node(
                "Header", 1, attr("collaboration-and-sources", ["unnumbered"]), tree.words("Collaboration and sources")
            ),
            said("Author", self.author or line),
            said("Worked with", line if self.collaborators is None else self.collaborators or "nobody"),
            said("Help and code from elsewhere", line),
            tree.para(
                "Most courses ask for this page: name everybody you discussed solutions with, write your own text "
                "and code, and cite what you took from books, papers, web pages and assistants. The rules of your "
                "course decide."
            ),
            *[tree.para(ours)] * self.ours,
        ]

    def _pandoc(self, document: Mapping, to: str, *options: str) -> str:
        """What pandoc writes; formulas that it does not understand stay TeX, and are named."""
        import pypandoc

        log = self.folder / "pandoc.json"
        try:
            command = [pypandoc.get_pandoc_path(), "--from=json", f"--to={to}", f"--log={log}", *options]
            content = json.dumps(document, ensure_ascii=False).encode()
            done = subprocess.run(command, input=content, capture_output=True, cwd=self.folder)
        except OSError as error:
            raise NotebookError("the report needs pandoc, which is not found: pip install pypandoc_binary") from error
        if done.returncode:
            raise NotebookError(f"pandoc refused the report: {done.stderr.decode()}".splitlines()[0])
        refused = {
            each.get("contents") for each in json.loads(log.read_text(encoding="utf-8")) if "TeX" in each["type"]
        }
        for _, cell, part in self.cells if refused else ():
            for item in tree.nodes(part):
                if item["t"] == "Math" and item["c"][1] in refused:
                    tex = re.sub(r"\s+", " ", item["c"][1])[:60]
                    self.losses.add(f"a formula is shown as TeX: {tex}", (cell.notebook, cell.number))
        return done.stdout.decode()


def _chapter_begins(number: int, new_page: bool = True) -> Node:
    """Where a page begins in the PDF, whose running head looks up what stands there."""
    page = "#pagebreak(weak: true)\n" * new_page
    return node("RawBlock", "typst", f"{page}#metadata({number}) <chapter>")
