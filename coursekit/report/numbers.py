"""Numbers of chapters, sections, figures and tables, and links to them: given once, the same in PDF and HTML."""

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import unquote

from coursekit.report import tree
from coursekit.report.tree import Node, attr, node

NBSP = "\u00a0"
CONTAINERS = {"BlockQuote", "BulletList", "OrderedList", "DefinitionList", "Table", "Figure"}


@dataclass
class Numbers:
    """Counts through the chapters of one report."""

    levels: list[int] = field(default_factory=lambda: [0] * 6)
    counts: dict[str, int] = field(default_factory=dict)
    next_chapter: int | None = None
    taken: set[str] = field(default_factory=set)  # names in the document
    said: dict[str, str] = field(default_factory=dict)  # what a link to a name says; "" where it keeps its words
    everywhere: dict[str, str] = field(default_factory=dict)  # an author's name: the document's
    here: dict[str, str] = field(default_factory=dict)  # the same of one chapter, which goes first

    def chapter(self, blocks: list[Node], number: int | None) -> list[Node]:
        """The blocks of a chapter with numbers and links; of somebody else's, without `number`, with links only."""
        blocks = tree.changed(blocks, _without_headings)
        self.here, self.next_chapter = {}, number
        if number is not None:
            self.counts = {}
        for item in _numbered_things(blocks):
            self._name(item, number is not None)
        return blocks

    def linked(self, blocks: list[Node], here: dict[str, str]) -> list[Node]:
        """With every link inside leading somewhere: one that does not is its words."""

        def link(item: Node) -> list[Node] | None:
            if item["t"] != "Link" or not item["c"][2][0].startswith("#"):
                return None
            key = _key(unquote(item["c"][2][0][1:]))
            name = here.get(key) or self.everywhere.get(key)
            if not name:
                return item["c"][1]
            said = self.said.get(name)
            words = [node("Str", said)] if said else item["c"][1]
            return [node("Link", attr(), words, [f"#{name}", ""])]

        return tree.changed(blocks, link)

    def _name(self, item: Node, with_number: bool) -> None:
        kind, said = item["t"], ""
        if kind == "Header" and with_number:
            self._number_heading(item)
        elif kind in ("Figure", "Table") and with_number:
            said = self._number_caption(item)
        attributes = item["c"][1] if kind == "Header" else item["c"][0]
        asked = attributes[0]
        if not asked and kind != "Header":
            return
        base = re.sub(r"[^\w-]+", "-", asked).strip("-") or "section"
        base = base if base[0].isalpha() else f"n-{base}" if not base[0].isdigit() else base
        spellings = itertools.chain([base], (f"{base}-{i}" for i in itertools.count(1)))
        name = next(spelling for spelling in spellings if spelling not in self.taken)
        self.taken.add(name)
        attributes[0], self.said[name] = name, said
        self.here.setdefault(_key(asked), name)
        self.everywhere.setdefault(_key(asked), name)

    def _number_heading(self, header: Node) -> None:
        level, attributes, inlines = header["c"]
        if self.next_chapter is not None or level == 1:
            self.levels[0] = self.next_chapter if self.next_chapter is not None else self.levels[0] + 1
            self.next_chapter = None
        if level > 1:
            self.levels[level - 1] += 1
        self.levels[level:] = [0] * (6 - level)
        if "unnumbered" not in attributes[1]:
            number = ".".join(map(str, self.levels[:level]))
            inlines.insert(0, node("Span", attr(classes=["number"]), [node("Str", number), tree.SPACE]))

    def _number_caption(self, item: Node) -> str:
        caption = item["c"][1][1]
        if not caption:
            return ""
        if self.next_chapter is not None:
            self.levels[0], self.next_chapter = self.next_chapter, None
        kind = item["t"]
        self.counts[kind] = self.counts.get(kind, 0) + 1
        number = f"{kind}{NBSP}{self.levels[0]}.{self.counts[kind]}"
        if caption[0]["t"] in tree.INLINE_FIRST:
            caption[0]["c"][:0] = [node("Strong", [node("Str", f"{number}.")]), tree.SPACE]
        return number


def with_captions(blocks: list[Node]) -> list[Node]:
    """In a notebook's text, a line in italics below a table is its caption."""
    kept: list[Node] = []
    for block in blocks:
        words = block["c"][0] if block["t"] == "Para" and len(block["c"]) == 1 else {"t": ""}
        if words["t"] == "Emph" and kept and kept[-1]["t"] == "Table" and not kept[-1]["c"][1][1]:
            kept[-1]["c"][1] = [None, [node("Plain", words["c"])]]
        else:
            kept.append(block)
    return kept


def _key(name: str) -> str:
    """As GitHub and Jupyter spell the name of a heading, each in its way, for both."""
    return re.sub(r"[^\w-]", "", re.sub(r"\s+", "-", name.strip())).lower() or name


def _numbered_things(blocks: list[Node]) -> Iterable[Node]:
    named = ("Header", "Figure", "Table", "Div", "Span")
    return [item for item in tree.nodes(blocks) if item["t"] in named]


def _without_headings(item: Node) -> list[Node] | None:
    """In a quotation, a list or a table a heading is a line in bold: a chapter cannot begin there."""
    if item["t"] not in CONTAINERS:
        return None
    return [{"t": item["t"], "c": tree.changed(item["c"], _as_line)}]


def _as_line(item: Node) -> list[Node] | None:
    if item["t"] != "Header":
        return None
    name = item["c"][1][0]
    anchor = [node("Span", attr(name), [])] if name else []
    return [node("Para", [*anchor, node("Strong", item["c"][2])])]
