"""What batch normalisation and dropout do to numbers, with torch's own layers."""

from collections.abc import Sequence
from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from torch import nn

from coursekit.analysis.diagrams.canvas import (
    BLUE,
    FULL,
    GREEN,
    GREY,
    INK,
    ORANGE,
    RED,
    STYLE,
    number_in_words,
    page,
    pale,
    unit,
    write,
)

_SLABS = (BLUE, ORANGE, GREEN)


@plt.rc_context(STYLE)
def batch_norm_axes(batch: int = 8, steps: int = 50, momentum: float = 0.1, seed: int = 0) -> Figure:
    """Which numbers share one mean and variance, and how the running mean for evaluation follows those of the batches.

    The data of the right panel have the mean 2 and the standard deviation 1; the layer is `nn.BatchNorm2d`.
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(FULL, 2.7), width_ratios=(1, 1.15))
    _cube(left)
    batches, running = running_means(batch, steps, momentum, seed)
    right.axhline(2, color="0.6", linewidth=1, linestyle="--", label="mean of the data")
    right.plot(range(1, steps + 1), batches, "o", color=BLUE, markersize=2.5, label="mean of the batch: training")
    right.plot(range(steps + 1), running, color=RED, linewidth=1.6, label="running mean: evaluation")
    right.set(xlabel="training step", ylabel="mean of one channel", xlim=(0, steps), ylim=(0, 1.2 * max(batches)))
    right.legend(loc="lower right")
    return fig


def running_means(batch: int, steps: int, momentum: float, seed: int) -> tuple[list[float], list[float]]:
    """The mean of each batch and the running mean of `nn.BatchNorm2d`, before the first step and after each."""
    noise = torch.Generator().manual_seed(seed)
    layer = nn.BatchNorm2d(1, momentum=momentum)
    means, running = [], [layer.running_mean.item()]
    for _ in range(steps):
        images = 2 + torch.randn(batch, 1, 2, 2, generator=noise)
        layer(images)
        means.append(images.mean().item())
        running.append(layer.running_mean.item())
    return means, running


def _cube(ax: Axes, examples: int = 4, positions: int = 4) -> None:
    """Activations as a block: channels to the right, positions down, examples into the depth; a slab is a channel."""
    deep = np.array([0.32, 0.32])
    for channel, color in reversed(list(enumerate(_SLABS))):
        x = 2.7 * channel
        look = dict(edgecolor=color, linewidth=0.8)
        for row in range(positions):
            _face(ax, np.array([x, row]), (1, 0), (0, 1), facecolor=pale(color, 0.3), **look)
        for example in range(examples):
            _face(ax, np.array([x, positions]) + example * deep, (1, 0), deep, facecolor=pale(color, 0.15), **look)
        for example, row in product(range(examples), range(positions)):
            _face(ax, np.array([x + 1, row]) + example * deep, deep, (0, 1), facecolor=pale(color, 0.5), **look)
        ax.text(x + 0.9, -0.65, rf"$\mu_{channel + 1}, \sigma_{channel + 1}^2$", ha="center", va="center")
    ax.text(-0.35, positions / 2, "positions (H × W)", rotation=90, ha="center", va="center")
    ax.text(0.2, positions + 1.15, "examples", rotation=45, ha="center", va="center")
    ax.text(3.6, -1.45, "channels: one mean and variance each", ha="center", va="center")
    ax.set(xlim=(-0.8, 8.0), ylim=(-1.9, positions + 1.9), aspect="equal")
    ax.axis("off")


def _face(ax: Axes, corner: np.ndarray, along: Sequence[float], up: Sequence[float], **look) -> None:
    along, up = np.asarray(along), np.asarray(up)
    ax.add_patch(Polygon([corner, corner + along, corner + along + up, corner + up], **look))


def dropout_masks(
    hidden: Sequence[float] = (1.0, 2.0, 1.0, 3.0, 2.0), p: float = 0.5, steps: int = 3, seed: int = 4
) -> Figure:
    """One small network in several training steps, each with its own mask, and in evaluation.

    In training `nn.Dropout` divides what it keeps by 1 - p, so that the expected sum is that of evaluation.
    """
    panels = {f"training step {step}": values for step, values in enumerate(masked(hidden, p, steps, seed), 1)}
    panels["evaluation"] = list(hidden)
    wide, pitch = FULL / len(panels), 0.44
    tall = pitch * len(hidden)
    ax = page(FULL, tall + 0.7)
    for panel, (title, values) in enumerate(panels.items()):
        middle = wide * (panel + 0.5)
        write(ax, middle, 0.15, title, fontweight="bold")
        ys = 0.3 + pitch * (np.arange(len(hidden)) + 0.5)
        sides = (
            [(middle - 0.55, y) for y in 0.3 + tall * np.array([0.25, 0.5, 0.75])],
            [(middle + 0.55, 0.3 + tall / 2)],
        )
        for value, y in zip(values, ys, strict=True):
            for x, other in [*sides[0], *sides[1]] if value else []:
                ax.plot([middle, x], [y, other], color="0.75", linewidth=0.7, zorder=0)
            unit(ax, middle, y, 0.17, BLUE, number_in_words(value), dashed=not value)
        for x, y in [*sides[0], *sides[1]]:
            unit(ax, x, y, 0.1, GREY if x < middle else GREEN)
        write(ax, middle, tall + 0.5, f"sum {number_in_words(sum(values))}", color=INK)
    return ax.figure


def masked(hidden: Sequence[float], p: float, steps: int, seed: int) -> list[list[float]]:
    """The hidden values after `nn.Dropout(p)` in training mode, once for each step."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return [nn.Dropout(p)(torch.tensor(hidden)).tolist() for _ in range(steps)]
