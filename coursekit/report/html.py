"""HTML as a browser reads it, in text and in outputs, as the blocks of a document tree; what has no place is named.

Everything is translated or named, nothing else is kept: no attribute that a browser would act on reaches a report.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from xml.etree import ElementTree

import html5lib

from coursekit.report import tables, tree
from coursekit.report.markdown import LATEX, MARK, Formula, pieces
from coursekit.report.pictures import Pictures
from coursekit.report.tex import Macros
from coursekit.report.tree import Node, attr, node

SVG, MATHML = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1998/Math/MathML}"
HEADINGS = {f"h{level}": level for level in range(1, 7)}
GROUPS = set(
    [
        "address",
        "article",
        "aside",
        "body",
        "center",
        "dd",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "header",
        "hgroup",
        "html",
        "legend",
        "li",
        "main",
        "nav",
        "section",
        "summary",
        "details",
        "menu",
        "dir",
        "search",
    ]
)
BLOCKS = GROUPS | set(HEADINGS) | {"p", "pre", "ul", "ol", "table", "blockquote", "hr", "listing", "xmp", "plaintext"}
STYLES: Mapping[str, Callable[[list[Node]], Node]] = {
    **dict.fromkeys(("b", "strong"), lambda inner: node("Strong", inner)),
    **dict.fromkeys(("i", "em", "cite", "var", "dfn"), lambda inner: node("Emph", inner)),
    **dict.fromkeys(("s", "strike", "del"), lambda inner: node("Strikeout", inner)),
    **dict.fromkeys(("u", "ins"), lambda inner: node("Underline", inner)),
    "sub": lambda inner: node("Subscript", inner),
    "sup": lambda inner: node("Superscript", inner),
    "q": lambda inner: node("Quoted", {"t": "DoubleQuote"}, inner),
    "mark": lambda inner: node("Span", attr(classes=["mark"]), inner),
}
CODE = {"code", "kbd", "samp", "tt"}
# Seen by nobody: what a browser keeps for itself. Its text is not a notebook's.
UNSEEN = set(
    [
        "style",
        "title",
        "head",
        "meta",
        "link",
        "base",
        "template",
        "wbr",
        "col",
        "colgroup",
        "source",
        "track",
        "param",
        "area",
        "map",
        "noframes",
    ]
)
RUNS = {
    "script": "a script",
    "canvas": "a drawing made by a script",
    "object": "an embedded object",
    "embed": "an object",
}
RUNS |= {"video": "a video", "audio": "a sound", "iframe": "a page inside the page", "frame": "a page inside the page"}
RUNS |= {"applet": "an applet", "dialog": "a dialog"}
PASSES = set(
    [
        "a",
        "abbr",
        "acronym",
        "b",
        "bdi",
        "bdo",
        "big",
        "blink",
        "button",
        "caption",
        "data",
        "datalist",
        "font",
        "label",
        "meter",
        "nobr",
        "noscript",
        "noembed",
        "optgroup",
        "option",
        "output",
        "picture",
        "progress",
        "rb",
        "rp",
        "rt",
        "rtc",
        "ruby",
        "select",
        "small",
        "span",
        "tbody",
        "td",
        "textarea",
        "tfoot",
        "th",
        "thead",
        "time",
        "tr",
        "input",
        "img",
        "br",
        "details",
        "frameset",
        "image",
        "marquee",
        "slot",
        "selectedcontent",
    ]
)
KNOWN = BLOCKS | set(STYLES) | CODE | UNSEEN | set(RUNS) | PASSES
SCHEMES = ("http", "https", "mailto", "ftp")
LONGEST_LINK = 2000


@dataclass
class Reader:
    """Reads what the cells of one notebook hold; macros and names are those of the whole notebook."""

    pictures: Pictures
    lost: Callable[[str], None]  # is told what was left out
    macros: Macros = field(default_factory=Macros)
    attachments: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # of the cell that is read
    formulas: list[Formula] = field(default_factory=list)
    source: str = ""
    runs: list[str] = field(default_factory=list)  # what of the last text only a browser could show
    in_link: bool = False

    def read(self, html: str, formulas: list[Formula] | None = None) -> list[Node]:
        """The blocks of a piece of HTML; `formulas` are what its marks stand for, and None where it may hold TeX."""
        self.source, self.formulas, self.runs = html, formulas or [], []
        self.plain_tex = formulas is None
        fragment = html5lib.parseFragment(html, treebuilder="etree", namespaceHTMLElements=False)
        return self._blocks(fragment, "Para")

    def tex(self, formula: Formula) -> list[Node]:
        """A formula in pandoc's words; nothing where it only defines a macro."""
        translated = self.macros.translate(formula.tex)
        has_lines = re.search(r"\\begin\{(?:aligned|gathered|split)\}", translated)  # too wide for the middle of a line
        return [tree.math(translated, formula.display or bool(has_lines))] if translated else []

    def latex(self, text: str) -> list[Node]:
        """The block of an output in LaTeX: its formulas, and the text between them."""
        found = list(pieces(text, LATEX))
        inlines = [item for piece in found for item in self._piece(piece)]
        return [node("Para", tree.tidy(inlines))] if inlines else []

    def _piece(self, piece: str | Formula) -> list[Node]:
        return self.tex(piece) if isinstance(piece, Formula) else tree.words(piece)

    # --- blocks

    def _blocks(self, element, bare: str) -> list[Node]:
        """The children of an element as blocks; `bare` is the kind of a line that stands in no element of its own."""
        blocks: list[Node] = []
        line: list[Node] = self._text(element.text)

        def end_line() -> None:
            if said := tree.tidy(line):
                blocks.append(node(bare, said))
            line.clear()

        for child in element:
            if self._has_blocks(child):
                end_line()
                blocks += self._block(child, bare)
            else:
                line += self._inline(child)
            line += self._text(child.tail)
        end_line()
        return blocks

    def _has_blocks(self, element) -> bool:
        if not isinstance(element.tag, str) or element.tag in CODE or element.tag in UNSEEN:
            return False
        return element.tag in BLOCKS or any(part.tag in BLOCKS for part in element.iter())

    def _block(self, element, bare: str) -> list[Node]:
        tag = element.tag
        if _is_hidden(element):
            return []
        if tag in HEADINGS:
            return self._heading(element)
        if tag == "p":
            return self._anchored(element, self._blocks(element, "Para"))
        if tag in ("pre", "listing", "xmp", "plaintext"):
            return self._preformatted(element)
        if tag in ("ul", "ol", "menu", "dir"):
            return self._list(element)
        if tag == "table":
            return tables.read(element, self._cell)
        if tag == "hr":
            return [] if "footnotes-sep" in element.get("class", "") else [tree.RULE]
        if tag == "dl":
            return self._definitions(element)
        if tag == "blockquote" or "alert" in element.get("class", "").split():
            inner = self._blocks(element, "Para")
            return [node("BlockQuote", inner)] if inner else []
        if tag == "details":
            return self._details(element)
        if tag == "figure":
            return self._figure(element)
        if tag in RUNS:
            return self._run(element, as_blocks=True)
        if tag not in KNOWN and not tag.startswith("{"):
            return [node(bare, self._unknown(element)), *self._blocks(element, bare)]
        inner = self._blocks(element, bare if tag not in GROUPS else "Para")
        return self._anchored(element, [self._styled_block(element, block) for block in inner])

    def _anchored(self, element, blocks: list[Node]) -> list[Node]:
        """With the name that a link can lead to."""
        name = element.get("id") or element.get("name")
        return [node("Div", attr(name), blocks)] if name and blocks else blocks

    def _styled_block(self, element, block: Node) -> Node:
        """<b><p>…</p></b>: the style of an element around blocks is that of their lines."""
        if block["t"] not in tree.INLINE_FIRST:
            return block
        return node(block["t"], self._styled(element, block["c"]))

    def _heading(self, element) -> list[Node]:
        if any(part.tag in BLOCKS for part in element.iter() if part is not element):
            return self._blocks(element, "Para")
        inner = tree.tidy(self._inlines(element))
        name = element.get("id") or _slug("".join(self._plain(element).split("\n")))
        return [node("Header", HEADINGS[element.tag], attr(name), inner)] if inner else []

    def _preformatted(self, element) -> list[Node]:
        languages = [element, *element.iter("code")]
        named = " ".join(part.get("class", "") for part in languages) + " " + element.get("lang", "")
        language = re.search(r"(?:language-|lang-|brush:\s*|highlight-source-)([\w+#-]+)", named)
        name = language[1].lower() if language else "text" if element.tag == "output" else ""
        text = self._plain(element).strip("\n")
        blocks = [node("CodeBlock", attr(classes=[name or "pre"]), text)] if text.strip() else []
        drawn = [item for picture in element.iter("img") for item in self._image(picture)]
        return blocks + ([node("Para", drawn)] if drawn else [])

    def _list(self, element) -> list[Node]:
        items: list[list[Node]] = []
        loose = self._blocks_outside(element, "li")
        for child in element:
            if child.tag == "li":
                items.append(self._anchored(child, self._blocks(child, "Plain")) or [node("Plain", [])])
            elif items and self._has_blocks(child):
                items[-1] += self._block(child, "Plain")
        if not items:
            return loose
        start = element.get("start", "")
        style = {"a": "LowerAlpha", "A": "UpperAlpha", "i": "LowerRoman", "I": "UpperRoman"}
        if element.tag == "ol":
            number = int(start) if re.fullmatch(r"\d{1,6}", start) else 1
            kind = {"t": style.get(element.get("type", ""), "Decimal")}
            return [*loose, node("OrderedList", [number, kind, {"t": "Period"}], items)]
        return [*loose, node("BulletList", items)]

    def _blocks_outside(self, element, inside: str) -> list[Node]:
        """What stands in a list or table beside its items."""
        inlines = self._text(element.text)
        for child in element:
            if child.tag != inside and not self._has_blocks(child):
                inlines += self._inline(child)
            inlines += self._text(child.tail)
        inlines = tree.tidy(inlines)
        return [node("Plain", inlines)] if inlines else []

    def _definitions(self, element) -> list[Node]:
        items: list[list] = []
        entries = [part for child in element for part in (child if child.tag == "div" else [child])]
        for child in entries:
            if child.tag == "dd" and items:
                items[-1][1].append(self._blocks(child, "Plain"))
            else:
                items.append([tree.tidy(self._flat(child)), []])
        return [node("DefinitionList", items)] if items else []

    def _flat(self, element) -> list[Node]:
        """All of an element as one line."""
        if not self._has_blocks(element) or element.tag in ("dt", "summary", "figcaption", "caption", "legend"):
            return self._inlines(element)
        inlines: list[Node] = []
        for block in self._block(element, "Plain"):
            inlines += [
                tree.SPACE,
                *(block["c"] if block["t"] in tree.INLINE_FIRST else tree.words(tree.text_of(block))),
            ]
        return inlines

    def _details(self, element) -> list[Node]:
        summary = element.find("summary")
        title = tree.tidy(self._flat(summary)) if summary is not None else tree.words("Details")
        if summary is not None:
            _remove(element, summary)
        head = node("Div", attr(classes=["summary"]), [node("Plain", title)])
        return [node("Div", attr(classes=["details"]), [head, *self._blocks(element, "Para")])]

    def _figure(self, element) -> list[Node]:
        caption = element.find("figcaption")
        said = self._blocks(caption, "Plain") if caption is not None else []
        if caption is not None:
            _remove(element, caption)
        inner = self._blocks(element, "Plain")
        if not any(item["t"] in ("Image", "Table", "CodeBlock") for item in tree.nodes(inner)):
            return inner + said
        return [node("Figure", attr(element.get("id", "")), [None, said], inner)] if said else inner

    def _cell(self, element) -> list[Node]:
        return self._blocks(element, "Plain")

    # --- inlines

    def _text(self, text: str | None) -> list[Node]:
        if not text:
            return []
        if self.plain_tex:
            return (
                [item for piece in pieces(text, LATEX) for item in self._piece(piece)]
                if "$" in text
                else tree.words(text)
            )
        parts = MARK.split(text)
        inlines = tree.words(parts[0])
        for number, after in zip(parts[1::2], parts[2::2], strict=True):
            inlines += self.tex(self.formulas[int(number)]) + tree.words(after)
        return inlines

    def _as_written(self, text: str) -> str:
        """Text in which no formula is meant: in code, in an address."""
        return MARK.sub(lambda mark: self.formulas[int(mark[1])].source, text) if self.formulas else text

    def _plain(self, element) -> str:
        """The text of an element with its line breaks, as it was written."""
        parts = [element.text or ""]
        for child in element:
            if child.tag == "br":
                parts.append("\n")
            elif isinstance(child.tag, str) and child.tag not in UNSEEN and child.tag not in RUNS:
                parts.append(self._plain(child))
            parts.append(child.tail or "")
        return self._as_written("".join(parts))

    def _inlines(self, element) -> list[Node]:
        inlines = self._text(element.text)
        for child in element:
            inlines += self._flat(child) if self._has_blocks(child) else self._inline(child)
            inlines += self._text(child.tail)
        return inlines

    def _inline(self, element) -> list[Node]:
        tag = element.tag
        if not isinstance(tag, str) or tag in UNSEEN or _is_hidden(element):
            return []
        if tag == "br":
            return [tree.BREAK]
        if tag in ("img", "image"):
            return self._image(element)
        if tag == f"{SVG}svg":
            return self.pictures.written(_serialised(element))
        if tag == f"{MATHML}math":
            return self._mathml(element)
        if tag == "input":
            return self._input(element)
        if tag in RUNS:
            return self._run(element)
        if tag in CODE:
            text = " ".join(self._plain(element).split())
            return [node("Code", attr(), text)] if text else []
        if tag not in KNOWN and not tag.startswith("{"):
            return self._unknown(element) + self._inlines(element)
        if tag == "a":
            self.in_link = True
        inner = self._inlines(element)
        self.in_link = self.in_link and tag != "a"
        return self._styled(element, inner)

    def _styled(self, element, inner: list[Node]) -> list[Node]:
        name = element.get("id") or (element.get("name", "") if element.tag == "a" else "")
        anchor = [node("Span", attr(name), [])] if name else []
        if element.tag == "a" and inner:
            return anchor + self._link(element, inner)
        if element.tag in STYLES and tree.tidy(inner):
            return [*anchor, STYLES[element.tag](inner)]
        return anchor + inner

    def _link(self, element, inner: list[Node]) -> list[Node]:
        target = self._as_written(element.get("href", "")).strip()
        target = re.sub(r"[\x00-\x20]", "", target)
        scheme = re.match(r"([^/?#]*?):", target)
        harmless = not scheme or scheme[1].lower() in SCHEMES
        if not target or target == "#" or not harmless or len(target) > LONGEST_LINK:
            return inner
        return [node("Link", attr(), inner, [target, ""])]

    def _image(self, element) -> list[Node]:
        source = self._as_written(element.get("src", "")).strip()
        alt = " ".join(self._as_written(element.get("alt", "")).split())
        if source.startswith("attachment:") or source in self.attachments:
            return self.pictures.attached(source.removeprefix("attachment:"), self.attachments, alt, _width(element))
        return self.pictures.read(source, alt, _width(element), is_button=self.in_link and bool(alt))

    def _input(self, element) -> list[Node]:
        if element.get("type", "").lower() == "checkbox":
            return [node("Str", "☒" if element.get("checked") is not None else "☐"), tree.SPACE]
        return tree.words(element.get("value", "")) if element.get("type") in ("button", "submit", "text") else []

    def _mathml(self, element) -> list[Node]:
        annotation = element.find(f".//{MATHML}annotation")
        tex = "".join(annotation.itertext()) if annotation is not None else ""
        if tex:
            return [tree.math(self.macros.translate(tex), element.get("display") == "block")]
        return tree.words(" ".join("".join(element.itertext()).split()))

    def _run(self, element, as_blocks: bool = False) -> list[Node]:
        """What only a browser could show: a link to where it is, or what stands there for browsers that cannot."""
        self.runs.append(RUNS[element.tag])
        source = element.get("src") or element.get("data") or next((s.get("src") for s in element.iter("source")), "")
        if source and source.startswith(("http://", "https://", "//")) and element.tag != "script":
            source = f"https:{source}" if source.startswith("//") else source
            link = node("Link", attr(), tree.words(source), [source, ""])
            return [node("Para", [link])] if as_blocks else [link]
        if element.tag in ("object", "canvas", "dialog", "applet"):
            return self._blocks(element, "Para") if as_blocks else self._inlines(element)
        return []

    def _unknown(self, element) -> list[Node]:
        """<EOS> is a word of somebody who did not think of HTML; a browser would hide it."""
        if "-" in element.tag or ":" in element.tag:
            return []
        written = re.search(rf"<{re.escape(element.tag)}\b[^<>]*>", self.source, re.IGNORECASE)
        return tree.words(self._as_written(written[0] if written else f"<{element.tag}>"))


def _is_hidden(element) -> bool:
    style = element.get("style", "").replace(" ", "").lower()
    return element.get("hidden") is not None or "display:none" in style


def _remove(element, child) -> None:
    """Take a child away; the text after it stays."""
    at = list(element).index(child)
    if child.tail and at:
        element[at - 1].tail = (element[at - 1].tail or "") + child.tail
    elif child.tail:
        element.text = (element.text or "") + child.tail
    element.remove(child)


def _width(element) -> str:
    """The width that an author gave, in pixels or per cent, or nothing."""
    style = re.search(r"(?:^|;)\s*width\s*:\s*([\d.]+(?:px|%))", element.get("style", ""))
    given = style[1] if style else element.get("width", "").strip()
    match = re.fullmatch(r"(\d{1,5}(?:\.\d+)?)(px|%)?", given)
    return f"{match[1]}{match[2] or 'px'}" if match and float(match[1]) else ""


def _slug(text: str) -> str:
    """The name that Jupyter gives to a heading."""
    return re.sub(r"\s+", "-", text.strip())


def _serialised(element) -> str:
    """An SVG as a file of its own."""
    ElementTree.register_namespace("", SVG[1:-1])
    ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    for part in element.iter():
        for name in [name for name in part.attrib if "xmlns" in name or (":" in name and name[0] != "{")]:
            del part.attrib[name]  # names of namespaces, which are given anew
    tail, element.tail = element.tail, None
    text = ElementTree.tostring(element, encoding="unicode")
    element.tail = tail
    return text
