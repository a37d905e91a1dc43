"""What a notebook holds and what its report shows, counted by readers that the report does not use."""

import json
import re
from collections import Counter
from dataclasses import dataclass, field

import html5lib
import pypdfium2
import typst
from nbconvert.filters import markdown2html, strip_ansi
from nbformat import NotebookNode

from coursekit.report import export

WORD = re.compile(r"[^\W_]{2,}")
TEX = re.compile(r"\$\$.+?\$\$|\$.+?\$|\\begin\{(\w+\*?)\}.*?\\end\{\1\}", re.DOTALL)
DEFINES = re.compile(r"\\(?:re)?newcommand|\\def\b")  # which shows nothing
NO_TEXT = ("style", "script", "title", "video", "audio", "iframe", "object", "annotation", "svg", "math")
UNINFORMATIVE = re.compile(r"<[\w.]+( object.*)?>")


@dataclass
class Holds:
    """What is counted, of a notebook by cell or of a report."""

    words: Counter = field(default_factory=Counter)
    formulas: int = 0
    pictures: int = 0
    table_cells: int = 0

    def __add__(self, other):
        return Holds(
            self.words + other.words,
            self.formulas + other.formulas,
            self.pictures + other.pictures,
            self.table_cells + other.table_cells,
        )


def words(text: str) -> Counter:
    return Counter(word.lower() for word in WORD.findall(text))


def of_html(html: str, *, has_tex: bool = False) -> Holds:
    """What a page or a piece of one shows."""
    root = html5lib.parse(html, namespaceHTMLElements=False)
    texts, holds = [], Holds()

    def walk(element, is_code: bool) -> None:
        tag = element.tag.rpartition("}")[2] if isinstance(element.tag, str) else "style"
        holds.pictures += tag in ("img", "svg")
        holds.formulas += tag == "math" or "math" in element.get("class", "").split()
        holds.table_cells += tag in ("td", "th")
        hidden = element.get("hidden") is not None or "display:none" in element.get("style", "").replace(" ", "")
        between = "" if tag in INLINE else " "
        texts.append(between)
        if tag not in NO_TEXT and not hidden:
            is_code = is_code or tag in ("code", "pre")
            for text, child in ((element.text, None), *((child.tail, child) for child in element)):
                if child is not None:
                    walk(child, is_code)
                texts.append((text or "").replace("$", " ") if is_code else text or "")
        texts.append(between)

    walk(root, False)
    prose = "".join(texts)
    if has_tex:
        holds.formulas += sum(not DEFINES.search(match[0]) for match in TEX.finditer(prose))
        prose = TEX.sub(" ", prose)
    holds.words = words(prose)
    return holds


INLINE = set(
    [
        "a",
        "abbr",
        "b",
        "code",
        "em",
        "i",
        "span",
        "strong",
        "sub",
        "sup",
        "u",
        "s",
        "del",
        "ins",
        "mark",
        "small",
        "kbd",
        "font",
        "tt",
    ]
)


def of_cell(cell: NotebookNode) -> Holds:
    """What Jupyter shows of a cell."""
    if cell.cell_type == "markdown":
        return of_html(markdown2html(cell.source.replace("(attachment:", "(")), has_tex=True)
    if cell.cell_type != "code":
        return Holds(words(cell.source) if cell.cell_type == "raw" else Counter())
    holds = Holds(words(cell.source))
    for output in cell.outputs:
        holds += of_output(output)
    return holds


def of_output(output: NotebookNode) -> Holds:
    if output.output_type == "stream":
        lines = strip_ansi(output.text).replace("\r\n", "\n").split("\n")
        return Holds(
            words("\n".join([p for p in line.split("\r") if p.strip()][-1] if line.strip() else "" for line in lines))
        )
    if output.output_type == "error":
        return Holds(words(strip_ansi("\n".join(output.traceback))))
    data = output.data
    if "text/html" in data:
        shown = of_html(data["text/html"], has_tex="$" in data["text/html"])
        if shown.words or shown.pictures:
            return shown
    if "text/markdown" in data:
        return of_html(markdown2html(data["text/markdown"]), has_tex=True)
    if any(mime.startswith("image/") for mime in data):
        return Holds(pictures=1)
    if "text/latex" in data:
        return Holds(formulas=len(TEX.findall(data["text/latex"])))
    text = data.get("text/plain", "")
    return Holds(words("" if UNINFORMATIVE.fullmatch(text.strip()) else text))


@dataclass
class Account:
    """What came out of a notebook, in HTML and PDF, and what was said to be missing."""

    html: Holds
    pdf: Holds
    pdf_text: str
    named: dict[int, list[str]]  # cell: reasons
    content: bytes
    page: str

    def lost(self, expected: Holds, shown: Holds, text: str = "") -> list[str]:
        """Words that are not there as often as they were; a word may be broken at the end of a line."""
        joined = re.sub(r"[\W_]", "", text).lower()
        return [word for word, n in (expected.words - shown.words).items() if joined.count(word) < n]


def account(notebook: NotebookNode, name: str = "n", folder=None, **options) -> Account:
    with export.Report([export.Chapter(name, notebook, folder)], **options) as report:
        page, content = report.html(), report.pdf()
        source = report.folder / "report.typ"
        equations, images, tables = (
            json.loads(typst.query(source, kind, root=report.folder, sys_inputs=INPUTS))
            for kind in ("math.equation", "image", "table")
        )
    document = pypdfium2.PdfDocument(content)
    text = "\n".join(page.get_textpage().get_text_bounded() for page in document).replace("\r", "")
    text = re.sub(r"[\u00ad\ufffe\u200b]\n?", "", re.sub(r"(?<=\w)[-\u2010\ufffe\x02]\n", "", text))
    document.close()
    named: dict[int, list[str]] = {}
    for (_, reason), numbers in report.losses.found.items():
        for number in numbers:
            named.setdefault(number, []).append(reason)
    shown = of_html(page.split("<main>")[1])
    parts = [part for table in tables for part in table["children"]]
    cells = sum(
        len(part["children"]) if part["func"] in ("header", "footer") else part["func"] == "cell" for part in parts
    )
    return Account(shown, Holds(words(text), len(equations), len(images), cells), text, named, content, page)


INPUTS = {"title": "", "author": "", "notice": "", "description": "", "kind": "body", "lists": '[[],[],[],["",""],[]]'}
