"""The last touch to a document tree for its writer: what HTML folds, paper does not; what paper is too narrow for."""

import re
from collections.abc import Callable

from coursekit.report import tables, tree, typesetting
from coursekit.report.pictures import PAGE
from coursekit.report.tree import Node, node

LONGEST = 60  # letters of a word that is not broken on paper
BREAKS = re.compile(r"(?<=[/._?&=:,;|-])(?=\w)")
BREAK = node("RawInline", "typst", "#box()")  # where a line may end
WIDE = 200  # CSS pixels of a picture beside which no text stands


def for_paper(blocks: list[Node]) -> list[Node]:
    """For Typst: answers unfolded, names and links that no other cell can break, tables as wide as the page."""
    return tree.changed(blocks, _on_paper)


def for_screen(blocks: list[Node]) -> list[Node]:
    """For HTML: answers fold."""
    return tree.changed(blocks, _on_screen)


def _on_paper(item: Node) -> list[Node] | None:
    kind, content = item["t"], item.get("c")
    if kind == "Str" and len(content) > LONGEST:
        return _broken(content, lambda part: node("Str", part))
    if kind == "Code" and any(len(word) > LONGEST for word in content[1].split()):
        return _broken(content[1], lambda part: node("Code", content[0], part))
    if kind == "Para" and len(content) > 1:
        return _around_pictures(content)
    if kind == "Link" and content[2][0].startswith("#"):
        name = content[2][0][1:]
        return [node("RawInline", "typst", f'#to("{name}")['), *content[1], node("RawInline", "typst", "]")]
    if kind == "Table":
        return tables.fitted(item)
    if kind == "Span" and content[0][0]:
        return [_anchor("RawInline", content[0][0]), *content[1]]
    if kind == "Div" and "cell" in content[0][1]:
        return [node("RawBlock", "typst", typesetting.mark(int(content[0][0]))), *content[1]]
    if kind == "Div":
        return _unfolded(content) if "details" in content[0][1] else [*_named(content[0][0]), *content[1]]
    return None


def _named(name: str) -> list[Node]:
    return [_anchor("RawBlock", name)] if name else []


def _anchor(kind: str, name: str) -> Node:
    return node(kind, "typst", f'#metadata(none)#label("{name}")')


def _unfolded(content: list) -> list[Node]:
    """<summary>Answer</summary> becomes the bold first word of what it hides."""
    (_, [summary, *hidden]) = content
    title = summary["c"] if summary["t"] in tree.INLINE_FIRST else summary["c"][1][0]["c"]
    strong = [node("Strong", [*title, node("Str", ".")]), tree.SPACE]
    if hidden and hidden[0]["t"] in tree.INLINE_FIRST:
        return [node("Para", strong + hidden[0]["c"]), *hidden[1:]]
    return [node("Para", strong[:1]), *hidden]


def _broken(text: str, make: Callable[[str], Node]) -> list[Node]:
    """Long words may be broken after punctuation, and where they have none, anywhere."""
    parts = []
    for part in BREAKS.split(text):
        parts += [part[i : i + LONGEST // 2] for i in range(0, len(part), LONGEST // 2)]
    return [item for part in parts for item in (make(part), BREAK)][:-1]


def _around_pictures(inlines: list[Node]) -> list[Node] | None:
    """A wide picture has lines of its own, and the text before and after it too."""
    if not any(_is_wide(item) for item in inlines):
        return None
    blocks: list[list[Node]] = [[]]
    for item in inlines:
        blocks += [[item], []] if _is_wide(item) else []
        if not _is_wide(item):
            blocks[-1].append(item)
    return [node("Para", tidied) for part in blocks if (tidied := tree.tidy(part))]


def _is_wide(item: Node) -> bool:
    if item["t"] == "Link":
        return any(map(_is_wide, item["c"][1]))
    width = dict(item["c"][0][2]).get("width", "") if item["t"] == "Image" else ""
    return float(width.rstrip("px%")) > (100 * WIDE / PAGE[0] if width[-1] == "%" else WIDE) if width else False


def _on_screen(item: Node) -> list[Node] | None:
    if item["t"] != "Div" or not {"details", "cell"} & set(item["c"][0][1]):
        return None
    if "cell" in item["c"][0][1]:
        return item["c"][1]
    _, [summary, *hidden] = item["c"]
    begin, end = node("RawBlock", "html", "<details>\n<summary>"), node("RawBlock", "html", "</details>")
    return [begin, *summary["c"][1], node("RawBlock", "html", "</summary>"), *hidden, end]
