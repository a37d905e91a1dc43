"""Figures: numbers in, Axes out; nothing here saves, shows or trains."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

LABELS = {
    "epoch": "epoch",
    "step": "step",
    "train_loss": "training loss (nats)",
    "train_accuracy": "training accuracy",
    "val_loss": "validation loss (nats)",
    "val_accuracy": "validation accuracy",
    "test_loss": "test loss (nats)",
    "test_accuracy": "test accuracy",
}
# A variant keeps its colour in every notebook: its place in the palette. Variants of one kind differ; names that are
# not listed take what is left, in order.
REGISTRY = {
    **{"ReLU": 0, "sigmoid": 1, "tanh": 2, "Swish": 4},
    **{"SGD": 0, "momentum": 1, "RMSprop": 2, "Adam": 3},
    **{"mlp1": 7, "mlp2": 4, "cnn3": 2, "cnn4": 0, "cnn5": 1},
    **{"CNN_A": 0, "CNN_B": 1, "CNN_C": 2, "CNN_C max": 3, "SimpleCNN": 0},
    **{"LeNet5": 8, "SimpleNN": 9, "SimpleNN-BN": 4, "ResNet-20": 3},
    **{"lr 1": 7, "lr 0.1": 3, "lr 0.05": 1, "lr 0.01": 0, "lr 0.005": 2, "lr 0.001": 4},
    **{"residual": 0, "plain": 1, "published": 7},
    **{"warm-up": 4, "polynomial": 5, "restarts": 9, "one drop": 0, "two drops": 2},
    **{"three drops": 3, "one cycle": 0},
    **{"sigmoid, Xavier": 2, "sigmoid, He": 3, "ReLU, He": 4, "sigmoid, Adam": 5, "ReLU, Adam": 9},
    **{"[0, 1]": 0, "standardised": 2},
    **{"BatchNorm": 4, "BatchNorm, Swish": 2},
    **{"none": 7, "L2 1e-3": 0, "dropout 0.5": 3, "dropout + L2": 4, "as they are": 7, "augmented": 2},
    **{"L2 1e-4": 0, "L1 1e-4": 1, "proximal 1e-4": 5, "proximal 1e-3": 2},
}
_PALETTE = sns.color_palette("colorblind", 10)


def set_theme() -> None:
    """One style for all figures: white ground, light grid, text that stays readable at half width."""
    sns.set_theme(context="notebook", style="whitegrid", palette=_PALETTE, font="DejaVu Sans")
    layout = {"figure.constrained_layout.use": True, "figure.constrained_layout.w_pad": 0.1}
    plt.rcParams.update(layout | {"svg.hashsalt": "coursekit", "legend.frameon": False})


def colors(variants: Iterable[str]) -> dict[str, tuple]:
    """A colour for each variant: its own from REGISTRY, else the next free one of a colour-blind safe palette."""
    variants = list(dict.fromkeys(variants))
    places: dict[str, int] = {}
    for name in variants:
        if name in REGISTRY and REGISTRY[name] not in places.values():
            places[name] = REGISTRY[name]
    free = [place for place in range(len(_PALETTE)) if place not in places.values()] or range(len(_PALETTE))
    unnamed = [name for name in variants if name not in places]
    places |= {name: free[i % len(free)] for i, name in enumerate(unnamed)}
    return {name: _PALETTE[places[name]] for name in variants}


def figure(rows: int = 1, columns: int = 1, height: float = 3.4) -> tuple[Figure, np.ndarray]:
    """A figure as wide as the page, with its Axes as a flat array."""
    fig, axes = plt.subplots(rows, columns, figsize=(4.6 * max(columns, 1.4), height * rows), squeeze=False)
    return fig, axes.ravel()


def learning_curves(frame: pd.DataFrame, metric: str, ax: Axes | None = None, x: str = "epoch", log=False) -> Axes:
    """One line per variant of a `history.to_frame`: the mean over seeds with a band of ± one standard deviation."""
    ax = ax or plt.gca()
    palette = colors(frame["variant"].unique())
    sns.lineplot(frame, x=x, y=metric, hue="variant", palette=palette, errorbar="sd", ax=ax)
    ax.set(xlabel=LABELS.get(x, x), ylabel=LABELS.get(metric, metric), yscale="log" if log else "linear")
    ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], integer=True))  # labels of more run into each other
    ax.get_legend().set_title(None)
    return ax


def learning_curve_panels(frame: pd.DataFrame, metrics: Sequence[str], drops: Iterable[float] = ()) -> Figure:
    """`learning_curves` of several metrics, two in a row, under one legend; dotted lines after the epochs `drops`."""
    fig, axes = figure(-(-len(metrics) // 2), 2)
    for ax, metric in zip(axes, metrics, strict=False):
        learning_curves(frame, metric, ax).get_legend().remove()
        for epoch in drops:
            ax.axvline(epoch + 0.5, linestyle=":", color="black", linewidth=1.2)
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return fig


def compare(scores: Mapping[str, Iterable[float]], label: str, ax: Axes | None = None) -> Axes:
    """Every run as a dot, one row per variant, with the mean as a bar: what is inside the spread is a tie."""
    ax = ax or plt.gca()
    palette = colors(scores)
    for row, (variant, values) in enumerate(scores.items()):
        values = np.asarray(list(values), float)
        ax.plot(values, np.full(len(values), row), "o", color=palette[variant], alpha=0.6)
        ax.plot([values.mean()] * 2, [row - 0.3, row + 0.3], color=palette[variant], linewidth=2.5)
    ax.set(yticks=range(len(scores)), yticklabels=list(scores), xlabel=label)
    ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))  # as above; these may be fractions
    ax.set_ylim(len(scores) - 0.5, -0.5)
    return ax


def gradient_by_layer(gradients: Mapping[str, np.ndarray], ax: Axes | None = None) -> Axes:
    """Gradient size of each layer from {variant: (seeds, layers)}, log scale: median, and a band from least to most."""
    ax = ax or plt.gca()
    palette = colors(gradients)
    for variant, values in gradients.items():
        values = np.atleast_2d(np.asarray(values, float))
        numbers = np.arange(1, values.shape[1] + 1)
        ax.plot(numbers, np.median(values, axis=0), "o-", markersize=4, color=palette[variant], label=variant)
        ax.fill_between(numbers, values.min(axis=0), values.max(axis=0), color=palette[variant], alpha=0.2, linewidth=0)
    ax.set(xlabel="layer, from the input", ylabel="mean |gradient|", yscale="log")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend()
    return ax


def by_value(scores: Mapping[float, Iterable[float]], xlabel: str, ylabel: str, ax: Axes | None = None) -> Axes:
    """Every run as a dot and the means as a line over a hyper-parameter, log scale.

    0 stands at the left end, behind a break of the axis: its mean is a dash by itself.
    """
    ax = ax or plt.gca()
    values = sorted(scores)
    smallest = min(value for value in values if value > 0)
    places = {value: value or smallest / 10 for value in values}
    runs = [(places[value], run) for value in values for run in scores[value]]
    ax.plot(*zip(*runs, strict=True), "o", color=_PALETTE[0], alpha=0.5)
    means = {value: float(np.mean(list(scores[value]))) for value in values}
    ax.plot([value for value in values if value], [means[value] for value in values if value], color=_PALETTE[0])
    ax.set(xscale="log", xlabel=xlabel, ylabel=ylabel)
    if 0 in places:
        ax.plot([places[0] / 1.4, places[0] * 1.4], [means[0]] * 2, color=_PALETTE[0])
        _break_x(ax, places[0] * 10**0.5)
    ax.set_xticks([places[value] for value in values], [f"{value:g}" for value in values], rotation=45)
    ax.minorticks_off()
    return ax


def _break_x(ax: Axes, x: float) -> None:
    """Two strokes through the x axis, and a gap in what is above: the scale does not go on here."""
    across = ax.get_xaxis_transform()
    ax.axvline(x, color="white", linewidth=7, zorder=0.5)
    ax.text(x, 0, "//", transform=across, ha="center", va="center", fontsize="small", zorder=5)


def histogram(counts: Mapping[str, Sequence[int]], edges: Sequence[float], xlabel: str, ax: Axes | None = None) -> Axes:
    """Outlines of histograms that were counted elsewhere, one per variant, with a log scale of counts."""
    ax = ax or plt.gca()
    palette = colors(counts)
    for variant, heights in counts.items():
        ax.stairs(heights, edges, color=palette[variant], label=variant, linewidth=1.3)
    ax.set(xlabel=xlabel, ylabel="count", yscale="log")
    ax.set_ylim(bottom=0.7)  # a bin with a single count stays visible
    ax.legend()
    return ax


def decision_boundary(
    predict: Callable[[np.ndarray], np.ndarray], points: np.ndarray, labels: np.ndarray, ax: Axes | None = None
) -> Axes:
    """P(y = 1) as colour over the plane, the line where it is 0.5, and the labelled points.

    `predict` takes points (n, 2) to P(y = 1), n numbers; what lies outside [0, 1] is shown as 0 or 1.
    """
    ax = ax or plt.gca()
    x1, x2 = np.meshgrid(*[np.linspace(points.min() - 0.3, points.max() + 0.3, 200)] * 2)
    probability = np.clip(predict(np.column_stack([x1.ravel(), x2.ravel()])), 0, 1).reshape(x1.shape)
    ax.contourf(x1, x2, probability, levels=np.linspace(0, 1, 11), cmap="coolwarm", alpha=0.6)
    if probability.min() < 0.5 < probability.max():
        ax.contour(x1, x2, probability, levels=[0.5], colors="black", linewidths=1.5)
    for label, marker, color in ((0, "o", "navy"), (1, "^", "darkred")):
        chosen = points[np.ravel(labels) == label]
        ax.scatter(*chosen.T, s=14, marker=marker, color=color, label=f"class {label}")
    ax.set(xlabel="$x_1$", ylabel="$x_2$", aspect="equal")
    ax.grid(False)
    return ax


def image_grid(
    images: np.ndarray,
    columns: int,
    ax: Axes | None = None,
    row_labels: Sequence[str] = (),
    seam: float | None = None,
) -> Axes:
    """Images (N, H, W) or (N, H, W, 3) as one picture with `columns` in a row and a one-pixel seam.

    The seam is as bright as the brightest pixel, unless it is given.
    """
    ax = ax or plt.gca()
    images = np.asarray(images)
    rows = -(-len(images) // columns)
    height, width = images.shape[1:3]
    brightness = images.max() if seam is None else seam
    canvas = np.full((rows * (height + 1), columns * (width + 1), *images.shape[3:]), brightness, images.dtype)
    for index, image in enumerate(images):
        y, x = divmod(index, columns)
        canvas[y * (height + 1) :, x * (width + 1) :][:height, :width] = image
    ax.imshow(canvas[:-1, :-1], cmap="gray", interpolation="nearest")
    centres = np.arange(rows) * (height + 1) + height / 2 - 0.5
    ax.set(xticks=[], yticks=centres if len(row_labels) else [])
    if len(row_labels):
        ax.set_yticklabels(row_labels)
    ax.tick_params(length=0)
    ax.grid(False)
    ax.spines[:].set_visible(False)
    return ax


def confusion(matrix: np.ndarray, classes: Sequence[str], ax: Axes | None = None) -> Axes:
    """Counts of true class (rows) against predicted class (columns), coloured by their share of the row."""
    ax = ax or plt.gca()
    matrix = np.asarray(matrix)
    shares = matrix / matrix.sum(axis=1, keepdims=True).clip(min=1)
    names = dict(xticklabels=classes, yticklabels=classes, cbar_kws={"label": "share of the true class"})
    sns.heatmap(shares, annot=matrix, fmt="d", annot_kws={"size": 8}, vmin=0, vmax=1, cmap="Blues", ax=ax, **names)
    ax.set(xlabel="predicted", ylabel="true")
    return ax


def labelled_points(points: Mapping[str, tuple[float, float]], ax: Axes | None = None) -> Axes:
    """One dot per name at (x, y), with its name beside it."""
    ax = ax or plt.gca()
    palette = colors(points)
    for rank, (name, (x, y)) in enumerate(sorted(points.items(), key=lambda point: point[1][1])):
        ax.plot(x, y, "o", color=palette[name])
        up = 4 if rank % 2 else -12  # neighbours in height have their names on different sides
        ax.annotate(name, (x, y), xytext=(5, up), textcoords="offset points", fontsize=9)
    ax.margins(0.15)
    return ax


def deviations(rows: Mapping[str, tuple[Iterable[float], Mapping]], ax: Axes | None = None, limit: float = 3) -> Axes:
    """Deviations in units of a tolerance, one row per name, from {name: (values, how to draw them)}; grey: inside.

    What is farther off than `limit` stands at the edge as an arrow head.
    """
    ax = ax or plt.gca()
    ax.axvspan(-1, 1, color="0.9", zorder=0)
    for place, (values, style) in enumerate(rows.values()):
        values = np.asarray(list(values), float)
        for side, marker in ((-1, "<"), (1, ">")):
            beyond = values[side * values > limit]
            ax.plot(np.full(len(beyond), side * limit), np.full(len(beyond), place), **{**style, "marker": marker})
        near = values[np.abs(values) <= limit]
        ax.plot(near, np.full(len(near), place), **style)
    ax.set(yticks=range(len(rows)), yticklabels=list(rows), xlim=(-limit - 0.3, limit + 0.3))
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xlabel("ours - published, in tolerances")
    return ax


def weight_histogram(
    weights: Mapping, edges: Sequence[float], color, ax: Axes | None = None, near: float = 0.05
) -> Axes:
    """One entry of `diagnostics.weight_distributions`, log scale, with a Gaussian of the same standard deviation.

    The inset has the bins within `near` of 0 on a linear scale, where a spike at 0 shows its height.
    """
    ax = ax or plt.gca()
    counts, edges = np.asarray(weights["counts"]), np.asarray(edges)
    centres = (edges[1:] + edges[:-1]) / 2
    ax.stairs(counts, edges, fill=True, color=color, alpha=0.6, label="weights")
    density = np.exp(-0.5 * (centres / weights["std"]) ** 2) / (weights["std"] * np.sqrt(2 * np.pi))
    ax.plot(centres, counts.sum() * np.diff(edges) * density, color="black", linewidth=1.2, label="Gaussian")
    ax.set(xlabel="weight", ylabel="count", yscale="log", ylim=(0.7, 30 * counts.max()), xlim=(edges[0], edges[-1]))
    inset = ax.inset_axes((0.72, 0.55, 0.26, 0.32))
    chosen = np.flatnonzero(np.abs(centres) < near)
    inset.stairs(counts[chosen] / counts.sum(), edges[chosen[0] : chosen[-1] + 2], fill=True, color=color, alpha=0.6)
    inset.set(xlim=(-near, near), xticks=[-near, 0, near])
    inset.set_title("share per bin", fontsize="x-small")
    inset.tick_params(labelsize="x-small", pad=1)
    return ax
