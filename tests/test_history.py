import math

import numpy as np
import pytest

from coursekit import history, plots
from coursekit.history import Spread

RUNS = {"a": [[dict(epoch=1, loss=2.0), dict(epoch=2, loss=1.0)], [dict(epoch=1, loss=4.0), dict(epoch=2, loss=3.0)]]}


def test_to_frame_has_a_row_for_each_variant_seed_and_epoch():
    frame = history.to_frame(RUNS)
    assert frame.columns.tolist() == ["variant", "seed", "epoch", "loss"]
    assert frame.loss.tolist() == [2, 1, 4, 3]
    assert frame.seed.tolist() == [0, 0, 1, 1]


def test_spread_is_the_sample_standard_deviation():
    spread = Spread([1.0, 3.0])
    assert (spread.mean, spread.std) == (2, pytest.approx(np.sqrt(2)))
    assert f"{spread}" == "2.000 ± 1.414"
    assert f"{spread:.1f}" == "2.0 ± 1.4"
    assert str(Spread([0.5])) == "0.500"


def test_beats_only_beyond_both_spreads():
    assert Spread([1.0, 1.1]).beats(Spread([0.5, 0.6]))
    assert not Spread([0.5, 0.9]).beats(Spread([0.5, 0.6]))
    assert Spread([1.0]).beats(Spread([0.5]))


def test_what_never_happens_has_no_spread():
    never = Spread([1.0, math.inf])
    assert never.mean == math.inf
    assert math.isnan(never.std)


def test_seeds_in_words():
    assert [history.seeds(count) for count in (1, 3)] == ["one seed", "3 seeds"]
    assert [history.spread_over(count) for count in (1, 3)] == ["one seed", "mean ± std of 3 seeds"]


def test_last_takes_each_runs_final_epoch():
    assert history.last(history.to_frame(RUNS), "loss")["a"].values.tolist() == [1, 3]


def test_last_takes_nan_for_what_it_is():
    rows = [[dict(epoch=1, loss=1.0), dict(epoch=2, loss=math.nan)]]
    assert math.isnan(history.last(history.to_frame({"a": rows}), "loss")["a"].mean)


def test_learning_curve_is_the_mean_with_a_band():
    ax = plots.learning_curves(history.to_frame(RUNS), "loss")
    assert ax.lines[0].get_xydata().tolist() == [[1, 3], [2, 2]]
    band = ax.collections[0].get_paths()[0].vertices
    assert band[:, 1].max() == pytest.approx(3 + np.sqrt(2))
    assert ax.get_xlabel() == "epoch"


def test_learning_curves_draw_where_they_are_told():
    _, [left, right] = plots.figure(1, 2)
    assert plots.learning_curves(history.to_frame(RUNS), "loss", right, log=True) is right
    assert right.get_yscale() == "log"
    assert not left.lines


def test_a_named_variant_keeps_its_colour():
    assert plots.colors(["sigmoid", "ReLU"])["ReLU"] == plots.colors(["tanh", "x", "ReLU"])["ReLU"]
    many = plots.colors([f"v{i}" for i in range(8)] + ["ReLU"])
    assert len(set(many.values())) == 9


def test_compare_shows_every_run_and_the_mean():
    ax = plots.compare({"a": [1.0, 2.0], "b": [4.0]}, "accuracy")
    dots, mean = ax.lines[:2]
    assert dots.get_xdata().tolist() == [1, 2]
    assert list(mean.get_xdata()) == [1.5, 1.5]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]


def test_image_grid_places_images_row_by_row():
    images = np.arange(1, 6)[:, None, None] * np.ones((5, 2, 3))
    ax = plots.image_grid(images, columns=3, row_labels=["x", "y"])
    canvas = ax.images[0].get_array()
    assert canvas.shape == (5, 11)
    assert canvas[3, 4] == 5
    assert canvas[2, 0] == 5  # the seam has the brightest value
    assert [label.get_text() for label in ax.get_yticklabels()] == ["x", "y"]
