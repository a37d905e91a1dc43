"""The document tree of pandoc, as plain Python: made from notebooks, written as Typst and as HTML."""

from collections.abc import Callable, Iterable, Iterator

Node = dict  # {"t": its type, "c": its content}, as in pandoc's JSON
API = [1, 23, 1]
SPACE, BREAK, RULE = {"t": "Space"}, {"t": "LineBreak"}, {"t": "HorizontalRule"}
INLINE_FIRST = {"Para", "Plain"}


def node(kind: str, *content) -> Node:
    """A node with what pandoc lists as its fields."""
    return {"t": kind, "c": content[0] if len(content) == 1 else list(content)}


def attr(name: str = "", classes: Iterable[str] = (), **pairs: str) -> list:
    """Attributes as pandoc has them, without those that are empty."""
    return [name, list(classes), [[key, value] for key, value in pairs.items() if value]]


def words(text: str) -> list[Node]:
    """Text as words and the spaces between them."""
    spaced: list[Node] = [SPACE] * text[:1].isspace()
    for word in text.split():
        spaced += [node("Str", word), SPACE]
    return spaced if text[-1:].isspace() else spaced[:-1]


def para(text: str) -> Node:
    """A paragraph of plain text."""
    return node("Para", words(text))


def code(text: str, language: str = "text") -> Node:
    """A block of code; "text" is what was printed."""
    return node("CodeBlock", attr(classes=[language]), text)


def math(tex: str, display: bool = False) -> Node:
    """A formula in TeX, in the line or with lines of its own."""
    return node("Math", {"t": "DisplayMath" if display else "InlineMath"}, tex)


def tidy(inlines: list[Node]) -> list[Node]:
    """Without spaces at the ends and beside other spaces."""
    kept: list[Node] = []
    for inline in inlines:
        if inline != SPACE or (kept and kept[-1] not in (SPACE, BREAK)):
            kept.append(inline)
    while kept and kept[-1] == SPACE:
        kept.pop()
    return kept


def document(blocks: list[Node], **meta) -> dict:
    """The whole tree as pandoc reads it; `meta` is what a template asks for, in plain values."""
    return {"pandoc-api-version": API, "meta": {key: _meta(value) for key, value in meta.items()}, "blocks": blocks}


def _meta(value) -> Node:
    if isinstance(value, dict):
        return node("MetaMap", {key: _meta(item) for key, item in value.items()})
    if isinstance(value, list):
        return node("MetaList", [_meta(item) for item in value])
    return node("MetaString", value)


def nodes(content) -> Iterator[Node]:
    """Every node of a part of the tree, outer ones first."""
    stack = [content]
    while stack:
        item = stack.pop()
        if isinstance(item, dict) and "t" in item:
            yield item
            stack.append(item.get("c"))
        elif isinstance(item, list):
            stack += reversed(item)


def changed(content, change: Callable[[Node], list[Node] | None]):
    """A copy in which each node is what `change` returns for it, inner ones first; None leaves it."""
    if isinstance(content, list):
        result = []
        for item in content:
            if isinstance(item, dict) and "t" in item:
                item = _changed_node(item, change)
                result += item
            else:
                result.append(changed(item, change))
        return result
    return content


def _changed_node(item: Node, change: Callable[[Node], list[Node] | None]) -> list[Node]:
    if "c" in item:
        item = {"t": item["t"], "c": changed(item["c"], change)}
    result = change(item)
    return [item] if result is None else result


def text_of(content) -> str:
    """The words of a part of the tree, code and TeX as they are; a line for each block."""
    parts: list[str] = []
    for item in nodes(content):
        kind = item["t"]
        if kind in ("Str", "Code", "CodeBlock", "Math", "RawInline", "RawBlock"):
            said = item["c"] if kind == "Str" else item["c"][-1]
            parts.append(said if not kind.endswith("Block") else f"\n{said}\n")
        elif kind in ("Space", "SoftBreak"):
            parts.append(" ")
        elif kind in ("LineBreak", "Para", "Plain", "Header", "Table", "HorizontalRule"):
            parts.append("\n")
    return "".join(parts).strip("\n")
