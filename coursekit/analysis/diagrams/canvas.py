"""A page measured in inches, and what is drawn on it: words, boxes, arrows, circles, grids of numbers."""

from collections.abc import Iterable, Sequence
from functools import cache

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.textpath import TextPath

HALF, FULL = 3.3, 6.6  # widths of a figure on the page, in inches
SIZE = 8.5  # points: figures are printed as large as they are drawn
INK = "0.25"
BLUE, ORANGE, GREEN, RED, PURPLE, BROWN, PINK, GREY, YELLOW, SKY = sns.color_palette("colorblind", 10)
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": SIZE,
    "axes.titlesize": SIZE + 0.5,
    "axes.labelsize": SIZE,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.grid": False,
    "axes.edgecolor": "0.6",
    "axes.linewidth": 0.8,
    "figure.constrained_layout.use": True,
}


def page(width: float, height: float) -> Axes:
    """A new figure that is one Axes without frame; coordinates are inches from its upper left corner."""
    fig = plt.figure(figsize=(width, height), layout="none")
    ax = fig.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(height, 0))
    ax.axis("off")
    return ax


def pale(color, strength: float = 0.3) -> tuple[float, ...]:
    """A colour mixed with white, as the ground of words."""
    return tuple(1 - strength * (1 - channel) for channel in to_rgb(color))


@cache
def width_of(words: str, size: float = SIZE) -> float:
    """How wide a line of words is printed, in inches."""
    return float(np.ptp(TextPath((0, 0), words, size=size).vertices[:, 0])) / 72


def write(ax: Axes, x: float, y: float, words: str, **style) -> None:
    """Words centred at a point, unless `ha` or `va` says otherwise."""
    ax.text(x, y, words, **{"ha": "center", "va": "center", "color": "black", "fontsize": SIZE} | style)


def box(ax: Axes, x: float, y: float, width: float, height: float, color, words: str = "", **style) -> None:
    """A rounded box with its upper left corner at (x, y), and words in its middle."""
    shape = "round,pad=0,rounding_size=0.05"
    ax.add_patch(
        FancyBboxPatch((x, y), width, height, shape, facecolor=pale(color), edgecolor=color, linewidth=1, zorder=3)
    )
    write(ax, x + width / 2, y + height / 2, words, zorder=4, **style)


def arrow(ax: Axes, points: Sequence[tuple[float, float]], color=INK, head: bool = True, **style) -> None:
    """A line through points, with a head at its end."""
    xs, ys = zip(*points, strict=True)
    style = {"linewidth": 1.1, "color": color, "zorder": 2} | style
    ax.plot(xs, ys, solid_capstyle="round", solid_joinstyle="round", **style)
    if head:
        start, end = (np.array(point, float) for point in points[-2:])
        start = end - (end - start) / np.linalg.norm(end - start) * 0.06
        ends = dict(shrinkA=0, shrinkB=0, mutation_scale=9, linewidth=0, color=style["color"])
        ax.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", **ends))


def unit(ax: Axes, x: float, y: float, radius: float, color, words: str = "", **style) -> None:
    """A circle with words in its middle; `dashed` makes an empty one."""
    dashed = style.pop("dashed", False)
    ground = {"facecolor": "white", "edgecolor": "0.6", "linestyle": (0, (2, 2))} if dashed else {}
    look = {"facecolor": pale(color), "edgecolor": color, "linewidth": 1, "zorder": 3} | ground
    ax.add_patch(Circle((x, y), radius, **look))
    write(ax, x, y, words, zorder=4, **style)


def cells(ax: Axes, x: float, y: float, numbers: np.ndarray, side: float, grounds=None, faint=(), bold=()) -> None:
    """A grid of numbers from its upper left corner; `grounds` are colours by (row, column), and white elsewhere."""
    for (row, column), number in np.ndenumerate(np.asarray(numbers)):
        corner = (x + column * side, y + row * side)
        ground = (grounds or {}).get((row, column), "white")
        ax.add_patch(Rectangle(corner, side, side, facecolor=ground, edgecolor="0.6", linewidth=0.7))
        style = {"color": "0.6" if (row, column) in faint else "black"}
        style["fontweight"] = "bold" if (row, column) in bold else "normal"
        write(ax, corner[0] + side / 2, corner[1] + side / 2, number_in_words(number), fontsize=8, **style)


def frame(ax: Axes, x: float, y: float, width: float, height: float, color) -> None:
    """A thick rectangle around something that is drawn."""
    ax.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=color, linewidth=2, zorder=3))


def number_in_words(number: float) -> str:
    """A number with at most two decimals and a true minus sign."""
    return f"{round(float(number), 2) + 0.0:g}".replace("-", "−")


def wrap(parts: Iterable[str], width: float, size: float = SIZE) -> str:
    """Parts of a label joined with commas, on as many lines as the width asks for."""
    lines: list[str] = []
    for part in parts:
        longer = f"{lines[-1]}, {part}" if lines else part
        if lines and width_of(longer, size) <= width:
            lines[-1] = longer
        else:
            lines = [*lines[:-1], lines[-1] + ",", part] if lines else [part]
    return "\n".join(lines)
