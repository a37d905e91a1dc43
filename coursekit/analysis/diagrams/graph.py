"""Softmax and cross-entropy as a computational graph, with values and derivatives from autograd."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor, autograd

from coursekit.analysis.diagrams import canvas
from coursekit.analysis.diagrams.canvas import BLUE, FULL, RED, arrow, page, unit, width_of, write
from coursekit.errors import UsageError

_RADIUS, _ROW = 0.19, 0.86
_GROUND = dict(facecolor="white", edgecolor="none", pad=1)


@dataclass
class Node:
    """One operation: its sign and its result's symbol, its inputs, how it is computed, and its place on the page."""

    sign: str
    symbol: str
    inputs: tuple[str, ...]
    compute: Callable[..., Tensor]
    x: float
    row: float


def softmax_nodes(classes: int, label: int) -> dict[str, Node]:
    """The operations from logits to the loss of one example: exp, sum, quotient, negative logarithm."""
    numbers = range(classes)
    nodes = {f"z{n}": Node("", f"z_{n}", (), torch.clone, 0.35, n) for n in numbers}
    nodes |= {f"e{n}": Node("exp", f"e_{n}", (f"z{n}",), torch.exp, 1.75, n) for n in numbers}
    aside = {0: (classes - 0.2) / 2, classes - 1: (classes - 1.8) / 2}.get(label, classes - 1)
    nodes["S"] = Node("+", "S", tuple(f"e{n}" for n in numbers), lambda *terms: sum(terms), 3.3, aside)
    nodes["p"] = Node("÷", f"p_{label}", (f"e{label}", "S"), torch.div, 4.8, label)
    return nodes | {"L": Node("−ln", "L", ("p",), lambda p: -torch.log(p), 6.15, label)}


def differentiate(
    nodes: Mapping[str, Node], **inputs: float
) -> tuple[dict[str, float], dict[str, float], dict[tuple[str, str], float]]:
    """By autograd: the value of each node, the derivative of the last with respect to it, and that along each edge."""
    values: dict[str, Tensor] = {}
    local = {}
    for name, node in nodes.items():
        given = [values[source] for source in node.inputs] or [torch.tensor(inputs[name], dtype=torch.float64)]
        alone = [value.detach().requires_grad_() for value in given]
        slopes = autograd.grad(node.compute(*alone), alone)
        local |= {(source, name): float(slope) for source, slope in zip(node.inputs, slopes, strict=False)}
        values[name] = node.compute(*given) if node.inputs else given[0].requires_grad_()
    gradients = autograd.grad(values[next(reversed(nodes))], list(values.values()))
    return (
        {name: value.item() for name, value in values.items()},
        {name: float(gradient) for name, gradient in zip(values, gradients, strict=True)},
        local,
    )


def softmax_graph(logits: Sequence[float] = (2.0, 1.0, 0.1), label: int = 0) -> Figure:
    """Softmax and cross-entropy of one example, operation by operation, with the backward pass.

    Black: values. Blue: the derivative of an operation, on its edge. Red: the derivative of the loss; that of a node is
    the sum over its outgoing edges of blue times red.
    """
    if not 0 <= label < len(logits) or len(logits) < 2:
        raise UsageError(
            f"invalid label {label}; expected 0 to {len(logits) - 1} for {len(logits)} logits, two at least"
        )
    nodes = softmax_nodes(len(logits), label)
    values, gradients, local = differentiate(nodes, **{f"z{n}": float(logit) for n, logit in enumerate(logits)})
    ax = page(FULL, _ROW * len(logits) + 0.44)
    place = {name: (node.x, 0.46 + _ROW * node.row) for name, node in nodes.items()}
    for (source, name), slope in local.items():
        _edge(ax, place[source], place[name], _number(slope))
    for name, node in nodes.items():
        x, y = place[name]
        unit(ax, x, y, _RADIUS, canvas.GREEN if node.inputs else canvas.GREY, node.sign or f"${node.symbol}$")
        above = y + 0.46 if name == "S" else y - 0.3  # edges of the sum come from above and go up
        write(ax, x, above, f"${node.symbol}$ = {_number(values[name])}")
        write(ax, x, y + 0.3, _number(gradients[name]), color=RED, fontweight="bold", bbox=_GROUND, zorder=3)
    _key(ax, _ROW * len(logits) + 0.3)
    return ax.figure


def _edge(ax, start: tuple[float, float], end: tuple[float, float], slope: str) -> None:
    (x1, y1), (x2, y2) = start, end
    length = ((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5
    dx, dy = (x2 - x1) / length * _RADIUS, (y2 - y1) / length * _RADIUS
    arrow(ax, [(x1 + dx, y1 + dy), (x2 - dx, y2 - dy)])
    write(ax, (x1 + x2) / 2, (y1 + y2) / 2, slope, color=BLUE, bbox=_GROUND, zorder=3)


def _key(ax, y: float) -> None:
    x = 0.16
    for words, color in {"value": "black", "local derivative": BLUE, "derivative of the loss": RED}.items():
        write(ax, x, y, words, color=color, ha="left", fontsize=8)
        x += width_of(words, 8) + 0.25


def _number(value: float) -> str:
    """Three digits and a true minus sign."""
    return f"{value:.3g}".replace("-", "−")
