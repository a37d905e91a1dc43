"""Convolution and pooling on small grids of numbers, and how the receptive field grows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle
from torch import nn
from torch.nn import functional

from coursekit.analysis.diagrams.canvas import (
    BLUE,
    FULL,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    arrow,
    cells,
    frame,
    number_in_words,
    page,
    pale,
    write,
)
from coursekit.errors import UsageError

_TINTS = (BLUE, ORANGE, GREEN, PURPLE)


def sliding_window(
    image: Sequence, kernel: Sequence, position: tuple[int, int] = (0, 0), stride: int = 1, padding: int = 0
) -> Figure:
    """A convolution of small grids: the window at a position of the output, the kernel, and the cell that they give."""
    image, kernel = np.asarray(image, float), np.asarray(kernel, float)
    tensors = (torch.from_numpy(array)[None, None] for array in (image, kernel))
    output = functional.conv2d(*tensors, stride=stride, padding=padding)[0, 0].numpy()
    if not all(0 <= place < size for place, size in zip(position, output.shape, strict=True)):
        raise UsageError(f"invalid position {position}; the output has {output.shape[0]} × {output.shape[1]} cells")
    padded = np.pad(image, padding)
    top, left = stride * position[0], stride * position[1]
    window = [(top + i, left + j) for i, j in np.ndindex(kernel.shape)]
    inside = np.pad(np.ones(image.shape, bool), padding)
    zeros = {at for at, real in np.ndenumerate(inside) if not real}
    grounds = dict.fromkeys(zeros, "0.93") | dict.fromkeys(window, pale(BLUE))

    grids = {"input": padded, "kernel": kernel, "output": output}
    side = min(0.34, (FULL - 1.0) / sum(grid.shape[1] for grid in grids.values()))
    tall = side * max(grid.shape[0] for grid in grids.values())
    ax = page(1.0 + side * sum(grid.shape[1] for grid in grids.values()), tall + 0.62)
    looks = {
        "input": dict(grounds=grounds, faint=zeros),
        "kernel": dict(grounds=dict.fromkeys(np.ndindex(kernel.shape), pale(ORANGE))),
        "output": dict(grounds={tuple(position): pale(GREEN)}, bold={tuple(position)}),
    }
    x, corners = 0.1, {}
    for (name, grid), sign in zip(grids.items(), ("∗", "=", ""), strict=True):
        corners[name] = x, 0.3 + (tall - side * grid.shape[0]) / 2
        cells(ax, *corners[name], grid, side, **looks[name])
        words = f"{name}, padded" if name == "input" and padding else name
        write(ax, x + side * grid.shape[1] / 2, corners[name][1] - 0.13, words)
        x += side * grid.shape[1] + 0.4
        if sign:
            write(ax, x - 0.2, 0.3 + tall / 2, sign, fontsize=12)
    x, y = corners["input"]
    frame(ax, x + left * side, y + top * side, side * kernel.shape[1], side * kernel.shape[0], BLUE)
    x, y = corners["output"]
    frame(ax, x + position[1] * side, y + position[0] * side, side, side, GREEN)
    _sum(ax, [padded[at] for at in window], kernel.ravel(), output[tuple(position)])
    return ax.figure


def _sum(ax, pixels: Iterable[float], weights: Iterable[float], result: float) -> None:
    """The products that make one cell, if they fit on a line."""
    width, height = ax.figure.get_size_inches()
    factors = [(number_in_words(pixel), number_in_words(weight)) for pixel, weight in zip(pixels, weights, strict=True)]
    words = " + ".join(f"{pixel}·{f'({weight})' if weight[0] == '−' else weight}" for pixel, weight in factors)
    words += f" = {number_in_words(result)}"
    while len(words) * 0.072 > width and " + … + " not in words:
        first, *_, last = words.split(" = ")[0].split(" + ")
        words = f"{first} + … + {last} = {number_in_words(result)}"
    write(ax, width / 2, height - 0.15, words)


@dataclass
class Field:
    """What one unit of a layer sees of the input, pixels in a row, and the pixels from one unit to the next."""

    layer: str
    size: int
    step: int


def receptive_fields(layers: nn.Module | Iterable[nn.Module]) -> list[Field]:
    """The receptive field after each convolution and pooling of a network, or of layers in a row, the input first.

    A layer adds kernel - 1 steps to the field; its step is the product of all strides up to it.
    """
    fields = [Field("input", 1, 1)]
    for layer in layers.modules() if isinstance(layers, nn.Module) else layers:
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
            kernel, stride = (int(np.ravel(size)[0]) for size in (layer.kernel_size, layer.stride))
            kind = "conv" if isinstance(layer, nn.Conv2d) else "pool"
            size, step = fields[-1].size, fields[-1].step
            fields.append(Field(f"{kind} {kernel}×{kernel}", size + (kernel - 1) * step, step * stride))
    return fields


def receptive_field(layers: nn.Module | Iterable[nn.Module]) -> Figure:
    """How the receptive field of one unit grows from layer to layer: its cone down to the input, along one axis."""
    fields = receptive_fields(layers)
    most = fields[-1].size
    scale, row = min(0.3, (FULL - 2.4) / most), 0.44
    right = 2.3 + scale * most
    ax = page(right + 0.1, 0.4 + row * len(fields))
    write(ax, right, 0.16, "one unit sees", ha="right", fontsize=8, color="0.35")
    lower: list[float] = []
    for level, field in enumerate(fields):
        y = 0.1 + row * (len(fields) - level)
        color = SKY if level == 0 else BLUE if field.layer.startswith("conv") else ORANGE
        count = (most - field.size) // field.step + 1
        centres = 1.05 + scale * (field.size / 2 + field.step * np.arange(count))
        if level:
            cone = [(lower[0], y + row), (centres[0], y), (centres[-1], y), (lower[-1], y + row)]
            ax.add_patch(Polygon(cone, facecolor="0.93", linewidth=0, zorder=0))
            write(ax, right, y, f"{field.size}×{field.size} pixels", ha="right")
        side = min(0.2, 0.85 * scale * field.step)
        for centre in centres:
            ax.add_patch(
                Rectangle((centre - side / 2, y - 0.1), side, 0.2, facecolor=pale(color), edgecolor=color, linewidth=1)
            )
        write(ax, 0.85, y, field.layer, ha="right")
        lower = centres
    return ax.figure


def max_pooling(image: Sequence, size: int = 2, d_output: Sequence | None = None) -> Figure:
    """Max pooling of a small grid, and where the gradient of its output goes: to the largest number of each window."""
    inputs = torch.tensor(np.asarray(image, float)[None, None], requires_grad=True)
    output = functional.max_pool2d(inputs, size)
    counted = 1 + np.arange(output.numel(), dtype=float).reshape(output.shape[2:])
    gradient = counted if d_output is None else np.asarray(d_output, float)
    output.backward(torch.from_numpy(gradient)[None, None])
    kept = inputs.grad[0, 0].numpy()
    winners = {(row, column) for row, column in zip(*np.nonzero(kept), strict=True)}
    rows, columns = inputs.shape[2:]
    tints = {at: pale(_tint(at[0] // size, at[1] // size, columns // size)) for at in np.ndindex(rows, columns)}
    small = {at: pale(_tint(*at, columns // size)) for at in np.ndindex(*gradient.shape)}
    won = {at: tints[at] for at in winners}

    side = 0.3
    wide, narrow = side * columns, side * gradient.shape[1]
    ax = page(2 * wide + 2 * narrow + 1.7, side * rows + 0.42)
    grids = [
        ("input", inputs.detach()[0, 0].numpy(), tints, winners),
        ("output", output.detach()[0, 0].numpy(), small, ()),
        ("its gradient", gradient, small, ()),
        ("gradient of the input", kept, won, winners),
    ]
    x = 0.15
    for number, (name, grid, grounds, bold) in enumerate(grids):
        y = 0.32 + side * (rows - grid.shape[0]) / 2
        faint = {at for at in np.ndindex(grid.shape) if number == 3 and at not in winners}
        cells(ax, x, y, grid, side, grounds, faint, bold)
        write(ax, x + side * grid.shape[1] / 2, y - 0.14, name)
        x += side * grid.shape[1] + 0.45
        if number in (0, 2):
            arrow(ax, [(x - 0.38, 0.32 + side * rows / 2), (x - 0.07, 0.32 + side * rows / 2)], INK)
    return ax.figure


def _tint(row: int, column: int, columns: int) -> tuple[float, ...]:
    """Neighbouring windows differ in colour."""
    return _TINTS[(2 * row + column) % 4] if columns % 2 else _TINTS[2 * (row % 2) + column % 2]
