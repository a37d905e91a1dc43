"""The geometry of penalties, and the paths of optimizers, on functions of two variables."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Polygon
from torch import optim

from coursekit.analysis.diagrams.canvas import BLUE, FULL, INK, RED, STYLE, number_in_words, pale
from coursekit.analysis.plots import colors

Optimizer = Callable[[Iterable[torch.Tensor]], optim.Optimizer]
OPTIMIZERS: dict[str, Optimizer] = {
    "SGD": partial(optim.SGD, lr=0.09),
    "momentum 0.9": partial(optim.SGD, lr=0.02, momentum=0.9),
    "RMSprop": partial(optim.RMSprop, lr=0.15),
    "Adam": partial(optim.Adam, lr=0.4),
}
HESSIAN = ((2.0, 0.5), (0.5, 0.8))


@plt.rc_context(STYLE)
def penalty_balls(
    minimum: Sequence[float] = (1.6, 0.8), hessian: Sequence[Sequence[float]] = HESSIAN, radius: float = 1.0
) -> Figure:
    """The smallest quadratic loss within an L1 ball and within an L2 ball: at a corner of the first, a weight is 0."""
    minimum, hessian = np.asarray(minimum, float), np.asarray(hessian, float)
    fig, axes = plt.subplots(1, 2, figsize=(FULL, 3.2), sharey=True)
    reach = max(radius, *np.abs(minimum)) + 0.7
    w1, w2 = np.meshgrid(*[np.linspace(-reach, reach, 200)] * 2)
    away = np.stack([w1, w2], -1) - minimum
    loss = 0.5 * np.einsum("ijk,kl,ijl->ij", away, hessian, away)
    ground = dict(facecolor="white", edgecolor="none", pad=1)
    for ax, norm in zip(axes, (1, 2), strict=True):
        best = constrained_minimum(minimum, hessian, radius, norm)
        touching = 0.5 * (best - minimum) @ hessian @ (best - minimum)
        levels = touching * np.array([0.1, 0.4, 1, 2, 3.4, 5.2])
        ax.contour(w1, w2, loss, levels=levels, colors="0.6", linewidths=[0.8, 0.8, 1.5, 0.8, 0.8, 0.8])
        ball = {"facecolor": pale(BLUE), "edgecolor": BLUE, "zorder": 1.5}
        corners = radius * np.array([(1, 0), (0, 1), (-1, 0), (0, -1)])
        ax.add_patch(Polygon(corners, **ball) if norm == 1 else Circle((0, 0), radius, **ball))
        ax.plot(*minimum, "x", color=INK, markersize=7)
        ax.plot(*best, "o", color=RED, markersize=6)
        words = "lowest loss in the ball: ({}, {})".format(*map(number_in_words, best))
        ax.text(0.97, 0.04, words, color=RED, fontsize=8, ha="right", transform=ax.transAxes, bbox=ground)
        ax.annotate("lowest loss", minimum, (0, 9), textcoords="offset points", ha="center", fontsize=8, bbox=ground)
        ax.set(xlabel="$w_1$", aspect="equal", xlim=(-reach, reach), ylim=(-reach, reach))
        ax.set_title(
            rf"L1: $|w_1| + |w_2| \leq {radius:g}$" if norm == 1 else rf"L2: $w_1^2 + w_2^2 \leq {radius**2:g}$"
        )
        ax.axhline(0, color="0.8", linewidth=0.8, zorder=0)
        ax.axvline(0, color="0.8", linewidth=0.8, zorder=0)
    axes[0].set_ylabel("$w_2$")
    return fig


def constrained_minimum(minimum: np.ndarray, hessian: np.ndarray, radius: float, norm: int) -> np.ndarray:
    """The point of a ball with the smallest quadratic loss, by gradient steps that are projected onto the ball."""
    project = {1: _onto_l1_ball, 2: _onto_l2_ball}[norm]
    step = 1 / np.linalg.eigvalsh(hessian).max()
    w = np.zeros_like(minimum)
    for _ in range(2000):
        w = project(w - step * hessian @ (w - minimum), radius)
    return w


def _onto_l2_ball(w: np.ndarray, radius: float) -> np.ndarray:
    return w * min(1, radius / max(np.linalg.norm(w), 1e-12))


def _onto_l1_ball(w: np.ndarray, radius: float) -> np.ndarray:
    """All magnitudes lose the same amount, and none goes below 0 (Duchi et al. 2008)."""
    sizes = np.sort(np.abs(w))[::-1]
    surplus = (np.cumsum(sizes) - radius) / np.arange(1, len(w) + 1)
    loss = max(0.0, surplus[sizes > surplus].max(initial=0))
    return np.sign(w) * np.maximum(np.abs(w) - loss, 0)


@plt.rc_context(STYLE)
def optimizer_paths(
    optimizers: Mapping[str, Optimizer] = OPTIMIZERS,
    steps: int = 40,
    curvature: float = 20.0,
    start: tuple[float, float] = (-6.0, 1.2),
) -> Figure:
    """The steps of torch's optimizers down the ravine f(x, y) = (x² + curvature · y²) / 2, a panel for each.

    An optimizer is what takes parameters and has its settings: `partial(optim.Adam, lr=0.4)`.
    """
    columns = min(2, len(optimizers))
    rows = -(-len(optimizers) // columns)
    shape = dict(figsize=(FULL * columns / 2, 0.3 + 1.6 * rows), sharex=True, sharey=True, squeeze=False)
    fig, axes = plt.subplots(rows, columns, **shape)
    paths = {name: descend(optimizer, steps, curvature, start) for name, optimizer in optimizers.items()}
    reach = 1.15 * np.abs(start)
    for ax, (name, color) in zip(axes.ravel(), colors(paths).items(), strict=False):
        _ravine(ax, curvature, reach)
        ax.plot(*paths[name].T, "o-", color=color, markersize=2.5, linewidth=1.2)
        ax.plot(0, 0, "*", color="black", markersize=7)
        ax.set_title(f"{name}: {_outcome(paths[name], curvature)}")
    for ax in axes.ravel()[len(paths) :]:
        ax.set_axis_off()
    for ax in axes[-1]:
        ax.set_xlabel("$x$")
    for ax in axes[:, 0]:
        ax.set_ylabel("$y$", rotation=0)
    return fig


def _outcome(path: np.ndarray, curvature: float) -> str:
    """The last loss in words, unless it is above the first."""
    with np.errstate(over="ignore"):
        losses = 0.5 * path**2 @ (1, curvature)
    if not losses[-1] <= losses[0]:
        return "diverges"
    if losses[-1] >= 1:
        return f"loss {losses[-1]:.1f}"
    mantissa, exponent = f"{losses[-1]:.1e}".split("e")
    return rf"loss ${mantissa} \times 10^{{{int(exponent)}}}$"


def _ravine(ax: Axes, curvature: float, reach: np.ndarray) -> None:
    x, y = np.meshgrid(np.linspace(-reach[0], reach[0] / 2, 150), np.linspace(-reach[1], reach[1], 150))
    height = 0.5 * (x**2 + curvature * y**2)
    ax.contour(
        x, y, height, levels=height.max() * np.array([0.01, 0.04, 0.12, 0.25, 0.45, 0.7]), colors="0.8", linewidths=0.8
    )
    ax.set(xlim=(-reach[0], reach[0] / 2), ylim=(-reach[1], reach[1]))


def descend(optimizer: Optimizer, steps: int, curvature: float, start: tuple[float, float]) -> np.ndarray:
    """The points (steps + 1, 2) that an optimizer visits on the ravine."""
    point = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    scale = torch.tensor([1.0, curvature], dtype=torch.float64)
    made, path = optimizer([point]), [point.tolist()]
    for _ in range(steps):
        made.zero_grad()
        (0.5 * (scale * point**2).sum()).backward()
        made.step()
        path.append(point.tolist())
    return np.array(path)
