"""Networks as blocks or as columns of units: layers, output shapes and parameters, read from the module itself."""

from collections.abc import Mapping, Sequence
from itertools import groupby, pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import nn

from coursekit.analysis.diagrams import canvas
from coursekit.analysis.diagrams.canvas import FULL, HALF, arrow, box, page, unit, width_of, wrap, write
from coursekit.analysis.diagrams.steps import Step, steps
from coursekit.models import BasicBlock, parameter_count

COLORS = {
    "input": canvas.GREY,
    "convolution": canvas.BLUE,
    "linear": canvas.GREEN,
    "activation": canvas.YELLOW,
    "mean": canvas.ORANGE,
    "pooling": canvas.ORANGE,
    "block": canvas.BLUE,
}
_SHORTCUTS = {"identity": canvas.INK, "projection": canvas.RED, "zero padding": canvas.PURPLE}
_GAP = 0.17  # between two boxes, room for an arrow


def draw_network(model: nn.Module, input_shape: Sequence[int]) -> Figure:
    """A network from its input down to its logits, each layer with its output shape and parameters.

    Activation, normalisation and pooling share the box of the layer before them. A network of linear layers only is
    drawn as columns of units. input_shape is that of one example: (channels, H, W).
    """
    found = steps(model, input_shape)
    if all(step.kind in ("input", "linear") for step in found):
        return _columns(found)
    ax = page(HALF, _height(found, *_room(found)) + 0.6 + 0.25 * _has_blocks(found))
    _stack(ax, found, _room(found), parameter_count(model))
    return ax.figure


def draw_blocks(
    c_in: int = 16, c_out: int = 16, stride: int = 1, shortcut: str = "projection", size: int = 32
) -> Figure:
    """The plain block beside the residual one, of `BasicBlock`, for images of size × size."""
    kinds = {"plain block": "none", "residual block": shortcut}
    blocks = {title: BasicBlock(c_in, c_out, stride, kind) for title, kind in kinds.items()}
    return draw_pair(blocks, (c_in, size, size))


def draw_pair(models: Mapping[str, nn.Module], input_shape: Sequence[int]) -> Figure:
    """Two networks side by side, {title: network}, for one input_shape; linear layers are boxes here, too."""
    found = {title: steps(model, input_shape) for title, model in models.items()}
    room = _room([step for each in found.values() for step in each])
    ax = page(FULL, max(_height(each, *room) for each in found.values()) + 0.6)
    for x, (title, each) in zip((0, HALF), found.items(), strict=True):
        write(ax, x + room[0] + room[1] / 2, 0.12, title, fontweight="bold")
        _stack(ax, each, room, parameter_count(models[title]), x)
    return ax.figure


def _has_blocks(found: Sequence[Step]) -> bool:
    return any(step.kind == "block" for step in found)


def _room(found: Sequence[Step]) -> tuple[float, float]:
    """Where the boxes begin, beside the shortcuts, and how wide they are."""
    joins = any(step.kind == "join" for step in found)
    left = 0.65 if joins else 0.5 if _has_blocks(found) else 0.05
    return left, HALF - left - 1.44


def _label(step: Step, width: float) -> str:
    return wrap(", ".join(step.words).split(", "), width - 0.1)


def _tall(step: Step, width: float) -> float:
    return 0.2 if step.kind == "join" else 0.3 + 0.14 * _label(step, width).count("\n")


def _height(found: Sequence[Step], left: float, width: float) -> float:
    """Of the boxes and the gaps between them."""
    return sum(_tall(step, width) + _GAP for step in found) - _GAP


def _stack(ax: Axes, found: Sequence[Step], room: tuple[float, float], total: int, x: float = 0.0) -> None:
    """The boxes from top to bottom, with columns of shapes and counts on their right, and the sum below."""
    left, width = x + room[0], room[1]
    middle, shapes, counts = left + width / 2, x + HALF - 1.04, x + HALF - 0.08
    write(ax, shapes, 0.12, "output", fontsize=8, color="0.35")
    write(ax, counts, 0.12, "parameters", fontsize=8, color="0.35", ha="right")
    edges = []
    top = 0.26
    for step in found:
        tall = _tall(step, width)
        centre = top + tall / 2
        if step.kind == "join" and len(step.words[0]) == 1:
            unit(ax, middle, centre, 0.1, canvas.INK, step.words[0], fontsize=10)
            edges.append((centre - 0.1, centre + 0.1))
        else:
            box(ax, left, top, width, tall, COLORS.get(step.kind, canvas.PINK), _label(step, width), linespacing=1.15)
            edges.append((top, top + tall))
        write(ax, shapes, centre, step.size)
        if step.parameters:
            write(ax, counts, centre, f"{step.parameters:,}", ha="right")
        top += tall + _GAP
    for (_, start), (end, _) in pairwise(edges):
        arrow(ax, [(middle, start), (middle, end)])
    for number, step in enumerate(found):
        if step.source is not None:
            _joined(ax, step, edges[step.source][1] + _GAP / 2, sum(edges[number]) / 2, left, middle)
    if _has_blocks(found):
        _stages(ax, found, edges, x, left)
        _key(ax, found, x, top + 0.27)
    ax.plot([counts - 0.7, counts], [top - 0.06] * 2, color="0.5", linewidth=0.8)
    write(ax, counts, top + 0.06, f"{total:,}", ha="right", fontweight="bold")


def _joined(ax: Axes, step: Step, start: float, end: float, left: float, middle: float) -> None:
    """A shortcut from the line below its source around the boxes to the plus, with its layers in a box on the way."""
    words, count = step.shortcut
    lane = left - 0.34
    arrow(ax, [(middle, start), (lane, start), (lane, end), (middle - 0.1, end)])
    label = wrap(words, end - start - 0.3) + (f": {count:,}" if count else "")
    lines = label.split("\n")
    tall, wide = max(map(width_of, lines)) + 0.16, 0.1 + 0.15 * len(lines)
    color = _SHORTCUTS.get(words[0], _SHORTCUTS["projection"])
    box(ax, lane - wide / 2, (start + end - tall) / 2, wide, tall, color, label, rotation=90, linespacing=1.15)


def _stages(ax: Axes, found: Sequence[Step], edges: Sequence[tuple[float, float]], x: float, left: float) -> None:
    """A ground behind the blocks of one output shape, and a shortcut around each of them."""
    blocks = [(number, step) for number, step in enumerate(found) if step.kind == "block"]
    for stage, (_, members) in enumerate(groupby(blocks, key=lambda block: block[1].shape), 1):
        numbers = [number for number, _ in members]
        top, bottom = edges[numbers[0]][0] - _GAP / 2 + 0.02, edges[numbers[-1]][1] + _GAP / 2 - 0.02
        ground = dict(facecolor="0.94", linewidth=0, zorder=0)
        ax.add_patch(Rectangle((x + 0.02, top), HALF - 0.04, bottom - top, **ground))
        write(ax, x + 0.13, (top + bottom) / 2, f"stage {stage}", rotation=90, color="0.35", fontsize=8)
    for number, step in blocks:
        for kind in step.shortcut[0]:
            top, bottom = edges[number]
            turn = np.linspace(-np.pi / 2, np.pi / 2, 30)
            middle, radius = (top + bottom) / 2, (bottom - top) / 2 - 0.04
            arc = np.column_stack([left - 0.24 * np.cos(turn), middle + radius * np.sin(turn)])
            arrow(ax, arc, _SHORTCUTS[kind], linewidth=1.6)


def _key(ax: Axes, found: Sequence[Step], x: float, y: float) -> None:
    """What the colours of the shortcuts mean."""
    for kind in dict.fromkeys(kind for step in found for kind in step.shortcut[0]):
        ax.plot([x + 0.05, x + 0.3], [y, y], color=_SHORTCUTS[kind], linewidth=1.6)
        write(ax, x + 0.37, y, kind, ha="left", fontsize=8)
        x += 0.55 + width_of(kind, 8)


def _columns(found: Sequence[Step]) -> Figure:
    """Units as circles, one column a layer; of a large layer only a few are drawn."""
    sizes = [int(np.prod(step.shape)) for step in found]
    words = [[word for word in step.words if word not in ("linear", "flatten")] for step in found]
    places = [_places(size) for size in sizes]
    pitch = max(0.72, (HALF - 1) / (len(found) - 1))
    ax = page(max(HALF, 1 + pitch * (len(found) - 1)), 1.92 + 0.15 * max(map(len, words)))
    xs = [0.62 + pitch * column for column in range(len(found))]
    for column, (before, after) in enumerate(pairwise(places)):
        ends = [((xs[column], start), (xs[column + 1], end)) for start in before for end in after]
        ax.add_collection(LineCollection(ends, color="0.8", linewidth=0.5, zorder=0))
    for x, step, size, ys, below in zip(xs, found, sizes, places, words, strict=True):
        for y in ys:
            unit(ax, x, y, 0.09, COLORS[step.kind])
        if size > len(ys):
            write(ax, x, (ys[2] + ys[3]) / 2, "⋮", fontsize=11)
        write(ax, x, 1.74, f"{size:,}", fontweight="bold")
        write(ax, x, 1.87, "\n".join(below), va="top", fontsize=8)
    write(ax, 0.05, 0.12, "parameters", fontsize=8, color="0.35", ha="left")
    for x, step in zip(xs[1:], found[1:], strict=True):
        write(ax, x - pitch / 2, 0.12, f"{step.parameters:,}", fontsize=8, color="0.35")
    return ax.figure


def _places(size: int) -> np.ndarray:
    """Heights of the circles of a layer, with a gap in the middle where some are left out."""
    if size <= 6:
        return 0.94 + 0.24 * (np.arange(size) - (size - 1) / 2)
    return 0.94 + 0.24 * np.array([-2.5, -1.5, -0.5, 1.0, 2.0])
