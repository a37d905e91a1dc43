import numpy as np
import pytest

from coursekit.analysis import plots


def test_by_value_draws_every_run_and_the_means_with_zero_left_of_the_smallest():
    ax = plots.by_value({0.1: [3.0, 5.0], 0: [1.0], 0.01: [2.0]}, "decay", "accuracy")
    dots, line = ax.lines
    assert line.get_xdata() == pytest.approx([0.001, 0.01, 0.1])
    assert line.get_ydata() == pytest.approx([1, 2, 4])
    assert sorted(zip(*dots.get_data(), strict=True))[-2:] == [(0.1, 3.0), (0.1, 5.0)]
    assert len(dots.get_xdata()) == 4
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["0", "0.01", "0.1"]
    assert (ax.get_xscale(), ax.get_xlabel(), ax.get_ylabel()) == ("log", "decay", "accuracy")


def test_by_value_without_zero_keeps_every_value_where_it_is():
    _, line = plots.by_value({1.0: [1.0], 0.01: [2.0]}, "lr", "accuracy").lines
    assert line.get_xdata().tolist() == [0.01, 1.0]


def test_histogram_outlines_given_counts_on_a_log_scale():
    ax = plots.histogram({"a": [1, 20, 3], "b": [0, 5, 0]}, [-1, 0, 1, 2], "weight")
    first, second = ax.patches
    assert first.get_data().values.tolist() == [1, 20, 3]
    assert first.get_data().edges.tolist() == [-1, 0, 1, 2]
    assert second.get_data().values.tolist() == [0, 5, 0]
    assert not np.allclose(first.get_edgecolor(), second.get_edgecolor())
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]
    assert ax.get_yscale() == "log"
    assert ax.get_ylim()[0] < 1


@pytest.mark.parametrize(
    "kind",
    [
        ("ReLU", "sigmoid", "tanh", "Swish"),
        ("SGD", "momentum", "RMSprop", "Adam"),
        ("mlp1", "mlp2", "cnn3", "cnn4", "cnn5"),
        ("LeNet5", "SimpleNN", "SimpleNN-BN", "ResNet-20"),
        ("lr 1", "lr 0.1", "lr 0.05", "lr 0.01", "lr 0.005", "lr 0.001"),
        ("sigmoid", "ReLU", "sigmoid, Xavier", "sigmoid, He", "ReLU, He", "sigmoid, Adam", "ReLU, Adam"),
        ("[0, 1]", "standardised"),
    ],
)
def test_variants_of_one_kind_have_the_same_colours_in_every_figure_and_all_differ(kind):
    alone = [plots.colors([name])[name] for name in kind]
    assert len(set(alone)) == len(kind)
    assert list(plots.colors(reversed(kind)).values()) == alone[::-1]


def test_two_kinds_in_one_figure_share_no_colour():
    assert len(set(plots.colors(["ReLU", "SGD", "cnn4", "a", "b"]).values())) == 5
