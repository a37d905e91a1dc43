"""A text cell's Markdown as Jupyter reads it: formulas are removed first, by MathJax's rules; the rest is CommonMark.

What comes out is HTML with a mark in place of each formula, so that HTML that the text holds, and the text around it,
become one tree (`html`).
"""

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from markdown_it import MarkdownIt
from markdown_it.rules_block.table import escapedSplit
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from mdit_py_plugins.footnote import footnote_plugin
from mdit_py_plugins.tasklists import tasklists_plugin

MARK = re.compile("\ufdd0(\\d+)\ufdd1")  # two characters that Unicode will never use, so no text holds them
CODE = r"^[ >]*(?P<fence>`{3,}|~{3,})[^`\n]*\n(?:[\s\S]*?^[ >]*(?P=fence)[`~]*[ \t]*$|[\s\S]*\Z)"
CODE += r"|(?<![\\`])(?P<ticks>`+)(?!`)(?:(?!\n\s*\n)[\s\S])*?(?<!`)(?P=ticks)(?!`)"
# JupyterLab's own expression, after code, in which nothing is a formula; those of text/latex have a backslash less.
ENDS = r"\$\$?|\\(?:begin|end)\{[a-z]*\*?\}|\\[{}$]|[{}]|(?:\n\s*)+"
TOKENS = re.compile(rf"{CODE}|(?P<sign>{ENDS}|\\\\[()\[\]])", re.IGNORECASE | re.MULTILINE)
LATEX = re.compile(rf"(?P<sign>{ENDS}|\\[()\[\]])", re.IGNORECASE)
CLOSING = {"$": "$", "$$": "$$"} | {f"{slash}{a}": f"{slash}{b}" for slash in ("\\", r"\\") for a, b in ("()", "[]")}
INLINE = ("$", "\\(", r"\\(")


@dataclass(frozen=True)
class Formula:
    """A formula: its TeX, as it stood in the text with its delimiters, and whether it has lines of its own."""

    source: str
    tex: str
    display: bool


def pieces(text: str, tokens: re.Pattern = TOKENS) -> Iterator[str | Formula]:
    """Text and formulas in turn, by the rules of MathJax in Jupyter."""
    found = [match for match in tokens.finditer(text) if match["sign"]]
    begin, i = 0, 0
    while i < len(found):
        end = _closing(text, found, i)
        if end is None:
            i += 1
            continue
        start, sign = found[i].start(), found[i][0]
        inner = slice(start, found[end].end()) if sign[1:2] in ("b", "B") else slice(found[i].end(), found[end].start())
        if text[inner].strip():
            yield text[begin:start]
            yield Formula(text[start : found[end].end()], _joined(text[inner]), sign not in INLINE)
            begin = found[end].end()
        i = end + 1
    yield text[begin:]


def _closing(text: str, found: list[re.Match], i: int) -> int | None:
    """Which of the signs ends the formula that the i-th one begins, if it begins one."""
    sign = found[i][0]
    is_environment = sign[:2].lower() == r"\b"
    end = rf"\end{sign[6:]}" if is_environment else CLOSING.get(sign)
    # A formula on lines of its own may hold empty ones, as nbconvert reads them; one in a line ends with its paragraph.
    whole = sign not in INLINE and not text[text.rfind("\n", 0, found[i].start()) + 1 : found[i].start()].strip(" \t>")
    depth, last = 0, None
    for j in range(i + 1, len(found) if end else 0):
        token = found[j][0]
        if token == end:
            if not depth:
                return j
            last = j
        elif not whole and token.count("\n") > 1:
            return last
        depth += (token == "{") - (token == "}" and depth > 0)
    return last


def _joined(tex: str) -> str:
    """Without empty lines, which end a paragraph in TeX, and without the marks of a quotation around it."""
    return re.sub(r"\n[ \t>]*(?=\n)|\n[ \t]*>[ \t]?", "\n", tex).strip()


def to_html(text: str, name: str = "", *, typographic: bool = False) -> tuple[str, list[Formula]]:
    """HTML with a mark for each formula, and the formulas; `name` keeps the footnotes of two cells apart.

    `typographic` makes quotes curly, which somebody else's text may not want.
    """
    formulas: list[Formula] = []
    marked = []
    for piece in pieces(text):
        if isinstance(piece, Formula):
            marked.append(f"\ufdd0{len(formulas)}\ufdd1")
            formulas.append(piece)
        else:
            marked.append(piece)
    return _parser(typographic).render("".join(marked), {"docId": name}), formulas


@functools.cache
def _parser(typographic: bool) -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"typographer": typographic, "maxNesting": 200}).enable(
        ["table", "strikethrough", "smartquotes"]
    )
    parser.use(footnote_plugin).use(tasklists_plugin)
    parser.core.ruler.after("block", "all_cells", _with_all_cells)
    # What links and pictures may lead to is decided where HTML is read, for both kinds at once.
    parser.validateLink = lambda url: True
    parser.normalizeLink = lambda url: url
    return parser


def _with_all_cells(state: StateCore) -> None:
    """Rows of tables with the cells beyond the last column too, which GitHub and Jupyter drop: of `a|b`, say."""
    if not any(token.type == "tr_open" for token in state.tokens):
        return
    lines, tokens, cells, count = state.src.split("\n"), [], [], 0
    for token in state.tokens:
        if token.type == "tr_open":
            row = lines[token.map[0]].strip(" \t>") if token.map else ""
            cells, count = escapedSplit(row.removeprefix("|").removesuffix("|")), 0
        elif token.type in ("td_close", "th_close"):
            count += 1
        elif token.type == "tr_close":
            for text in cells[count:]:
                inline = Token("inline", "", 0, content=text.strip(), level=token.level + 2, children=[])
                tokens += [Token("td_open", "td", 1), inline, Token("td_close", "td", -1)]
        tokens.append(token)
    state.tokens = tokens
