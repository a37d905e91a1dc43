import numpy as np
import pytest

from coursekit.analysis import plots


def test_gradient_by_layer_draws_the_median_and_the_range_of_the_seeds():
    values = np.array([[1e-5, 1e-3, 1e-1], [2e-5, 4e-3, 3e-1], [8e-5, 2e-3, 2e-1]])
    ax = plots.gradient_by_layer({"sigmoid": values, "ReLU": values[:, ::-1]})
    sigmoid, relu = ax.lines
    assert list(sigmoid.get_xdata()) == [1, 2, 3]
    assert list(sigmoid.get_ydata()) == [2e-5, 2e-3, 2e-1]
    assert list(relu.get_ydata()) == [2e-1, 2e-3, 2e-5]
    edges = ax.collections[0].get_paths()[0].vertices
    for layer, column in enumerate(values.T, 1):
        heights = edges[edges[:, 0] == layer, 1]
        assert heights.min() == column.min()
        assert heights.max() == column.max()
    assert ax.get_yscale() == "log"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["sigmoid", "ReLU"]


def test_gradient_by_layer_takes_one_run_as_a_plain_row():
    ax = plots.gradient_by_layer({"ReLU": [0.1, 0.2]})
    assert list(ax.lines[0].get_ydata()) == [0.1, 0.2]


def test_gradient_by_layer_colours_a_variant_as_the_learning_curves_do():
    ax = plots.gradient_by_layer({"ReLU": [0.1, 0.2], "He": [0.3, 0.4]})
    expected = plots.colors(["ReLU", "He"])
    assert [line.get_color() for line in ax.lines] == [expected["ReLU"], expected["He"]]


@pytest.mark.parametrize("layers", [4, 14])
def test_gradient_by_layer_numbers_layers_with_whole_numbers(layers):
    ax = plots.gradient_by_layer({"ReLU": np.ones(layers)})
    ax.figure.canvas.draw()
    assert all(tick == int(tick) for tick in ax.get_xticks())
