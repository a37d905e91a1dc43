"""Tables of HTML as tables of a document tree: every row has all its cells, whatever its author spanned."""

import re
from collections.abc import Callable

from coursekit.report.tree import Node, attr, node, text_of

ALIGN = {"left": "AlignLeft", "right": "AlignRight", "center": "AlignCenter", "end": "AlignRight", "start": "AlignLeft"}
LETTER, PADDING, PAGE = (
    4.9,
    10.0,
    465.0,
)  # points: a wide letter of a table's type, the space beside a cell's text, a page
SMALLEST = 0.7  # of a table's type
WIDEST = 40  # letters of a word that is not broken
Cell = list  # [attributes, alignment, rows, columns, blocks]
Row = tuple[dict[int, Cell], set[int]]  # cells by the column that they begin in; columns that a cell from above covers


def read(element, read_cell: Callable[[object], list[Node]]) -> list[Node]:
    """The table of an element; what is in it beside its rows is nothing, since HTML's parser has put it before."""
    head, body = [], []
    for part in element:
        rows = [part] if part.tag == "tr" else part.findall("tr") if part.tag in ("thead", "tbody", "tfoot") else []
        (head if part.tag == "thead" else body).extend(rows)
    if not head:
        while len(body) > 1 and len(body[0]) and all(cell.tag == "th" for cell in body[0]):
            head.append(body.pop(0))
    parts = [_placed(rows, read_cell) for rows in (head, body)]
    width = max((at + 1 for part in parts for row in part for at in _taken(row)), default=0)
    caption = element.find("caption")
    said = read_cell(caption) if caption is not None else []
    return [_table(parts, width, said, element.get("id", ""))] if width else said


def _table(parts: list[list[Row]], width: int, caption: list[Node], name: str) -> Node:
    columns = [[{"t": _column(parts, i)}, {"t": "ColWidthDefault"}] for i in range(width)]
    head, body = ([[attr(), _cells(row, width)] for row in part] for part in parts)
    return node("Table", attr(name), [None, caption], columns, [attr(), head], [[attr(), 0, [], body]], [attr(), []])


def _placed(rows: list, read_cell: Callable[[object], list[Node]]) -> list[Row]:
    """The cells of each row where a browser puts them; spans end with their section, and never overlap."""
    placed: list[Row] = []
    below: dict[int, int] = {}  # column: rows that a cell from above still covers
    for number, row in enumerate(rows):
        covered, column, cells = set(below), 0, {}
        below = {at: left - 1 for at, left in below.items() if left > 1}
        for element in (cell for cell in row if cell.tag in ("td", "th")):
            while column in covered:
                column += 1
            across, down = _span(element, "colspan", 1000), _span(element, "rowspan", len(rows) - number)
            across = next((i for i in range(1, across) if column + i in covered), across)
            cells[column] = [attr(), {"t": _alignment(element)}, down, across, read_cell(element)]
            below |= {at: down - 1 for at in range(column, column + across) if down > 1}
            column += across
        placed.append((cells, covered))
    return placed


def _taken(row: Row) -> set[int]:
    cells, covered = row
    return covered | {at for column, cell in cells.items() for at in range(column, column + cell[3])}


def _cells(row: Row, width: int) -> list[Cell]:
    """In order, with an empty cell wherever there is none."""
    empty = {at: [attr(), {"t": "AlignDefault"}, 1, 1, []] for at in range(width) if at not in _taken(row)}
    return [cell for _, cell in sorted((row[0] | empty).items())]


def _span(element, name: str, most: int) -> int:
    given = element.get(name, "1").strip()
    if given == "0" and name == "rowspan":
        return most
    return max(1, min(int(given) if re.fullmatch(r"\d{1,5}", given) else 1, most))


def _alignment(element) -> str:
    style = re.search(r"text-align\s*:\s*(\w+)", element.get("style", ""))
    return ALIGN.get((style[1] if style else element.get("align", "")).lower(), "AlignDefault")


def _column(parts: list[list[Row]], i: int) -> str:
    """A column is aligned as the first of its cells that says so."""
    cells = (cells[i] for part in parts for cells, _ in part if i in cells)
    return next((cell[1]["t"] for cell in cells if cell[1]["t"] != "AlignDefault"), "AlignLeft")


def align_numbers(item: Node) -> None:
    """As an output shows them: the first column to the left, the others to the right."""
    for i, column in enumerate(item["c"][2]):
        column[0] = {"t": "AlignRight" if i else "AlignLeft"}
    for row in _rows(item):
        for cell in row[1]:
            cell[1] = {"t": "AlignDefault"}


def _rows(item: Node) -> list:
    _, _, _, head, bodies, _ = item["c"]
    return head[1] + [row for body in bodies for row in body[3]]


def fitted(item: Node) -> list[Node]:
    """The table on paper: as it is, in smaller type, or in parts that each begin with the first column."""
    widths = _widths(item)
    if sum(widths) <= PAGE:
        return [item]
    if sum(widths) * SMALLEST <= PAGE or len(widths) < 3:
        return [_in_type(item, max(3.0, 8.5 * PAGE / sum(widths)))]
    parts, used = [[0]], widths[0]
    for i in range(1, len(widths)):
        if len(parts[-1]) > 1 and used + widths[i] > PAGE:
            parts.append([0])
            used = widths[0]
        parts[-1].append(i)
        used += widths[i]
    return [_columns(item, part, first=not n) for n, part in enumerate(parts)]


def _in_type(item: Node, points: float) -> Node:
    (name, classes, more), *rest = item["c"]
    return node("Table", [name, classes, [*more, ["typst:text:size", f"{points:.1f}pt"]]], *rest)


def _widths(item: Node) -> list[float]:
    """Of the longest word of each column, in points."""
    longest = [1] * len(item["c"][2])
    for row in _positions(_rows(item)):
        for at, cell in row:
            if cell[3] == 1 and at < len(longest):
                longest[at] = max(longest[at], *(min(len(word), WIDEST) for word in text_of(cell[4]).split()), 1)
    return [letters * LETTER + PADDING for letters in longest]


def _positions(rows: list) -> list[list[tuple[int, Cell]]]:
    """The column that each cell of a row begins in."""
    placed: list[list[tuple[int, Cell]]] = []
    below: dict[int, int] = {}
    for row in rows:
        covered, column, cells = set(below), 0, []
        below = {at: left - 1 for at, left in below.items() if left > 1}
        for cell in row[1]:
            while column in covered:
                column += 1
            cells.append((column, cell))
            below |= {at: cell[2] - 1 for at in range(column, column + cell[3]) if cell[2] > 1}
            column += cell[3]
        placed.append(cells)
    return placed


def _columns(item: Node, chosen: list[int], first: bool) -> Node:
    """Some columns of a table; a cell that spans several of them spans as many as are there."""
    name, caption, columns, head, bodies, foot = item["c"]

    def of(rows: list) -> list:
        kept = []
        for row, cells in zip(rows, _positions(rows), strict=True):
            spans = [(cell, sum(at <= i < at + cell[3] for i in chosen)) for at, cell in cells]
            kept.append([row[0], [[*cell[:3], span, cell[4]] for cell, span in spans if span]])
        return kept

    bodies = [[*body[:3], of(body[3])] for body in bodies]
    columns = [columns[i] for i in chosen]
    named = [name, caption] if first else [attr(), [None, []]]
    return node("Table", *named, columns, [head[0], of(head[1])], bodies, foot)
