import math
import types

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from coursekit.analysis import history, plots
from coursekit.analysis.history import Spread

HISTORIES = [dict(epoch=1, loss=2.0), dict(epoch=2, loss=1.0)], [dict(epoch=1, loss=4.0), dict(epoch=2, loss=3.0)]
RUNS = {"a": [types.SimpleNamespace(seed=seed, history=rows) for seed, rows in zip((0, 7), HISTORIES, strict=True)]}


def test_to_frame_has_a_row_for_each_variant_seed_and_epoch():
    frame = history.to_frame(RUNS)
    assert frame.columns.tolist() == ["variant", "seed", "epoch", "loss"]
    assert frame.loss.tolist() == [2, 1, 4, 3]
    assert frame.seed.tolist() == [0, 0, 7, 7]


def test_spread_is_the_sample_standard_deviation():
    spread = Spread([1.0, 3.0])
    assert (spread.mean, spread.std) == (2, pytest.approx(np.sqrt(2)))
    assert f"{spread}" == "2.000 ± 1.414"
    assert f"{spread:.1f}" == "2.0 ± 1.4"
    assert str(Spread([0.5])) == "0.500"


def test_a_comparison_is_the_paired_t_interval():
    a, b = [0.981, 0.979, 0.984, 0.980], [0.975, 0.976, 0.979, 0.978]
    comparison = history.compare(a, b)
    oracle = stats.ttest_rel(a, b)
    interval = oracle.confidence_interval(0.95)
    assert (comparison.low, comparison.high) == pytest.approx((interval.low, interval.high))
    assert comparison.difference == pytest.approx(np.mean(a) - np.mean(b))
    assert (comparison.verdict, comparison.better) == ("better", True)
    assert f"{comparison}" == f"{comparison.difference:+.4f} [{interval.low:+.4f}, {interval.high:+.4f}]"


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=2, max_size=9))
def test_comparisons_are_antisymmetric_and_agree_with_the_t_test(pairs):
    a, b = zip(*pairs, strict=True)
    forth, back = history.compare(a, b), history.compare(b, a)
    opposite = {"better": "worse", "worse": "better", "undecided": "undecided"}
    assert opposite[forth.verdict] == back.verdict
    assert (forth.low, forth.high) == pytest.approx((-back.high, -back.low))
    spread = np.ptp(np.subtract(a, b))
    if spread > 1e-6:
        p = stats.ttest_rel(a, b).pvalue
        if abs(p - 0.05) > 1e-6:
            assert (forth.verdict == "undecided") == (p > 0.05)


def test_pairs_that_agree_are_better_where_their_spreads_overlap():
    base = np.array([0.97, 0.99, 0.95, 0.98, 0.96, 0.94, 0.985, 0.975])
    assert history.compare(base + 0.003 + base / 1e3, base).better
    assert history.compare([1, 2], [1.01, 1.9]).verdict == "undecided", "two seeds that happen to"


def test_one_seed_decides_nothing_nor_do_values_that_are_not_finite():
    assert history.compare([0.9], [0.1]).verdict == "undecided"
    assert history.compare([0.9, math.nan, 0.8], [0.1, 0.2, math.inf]).verdict == "undecided"
    assert history.compare([], []).verdict == "undecided"
    assert f"{history.compare([0.9], [0.5])}" == "+0.4000 (one seed)"


def test_equal_is_said_only_of_an_interval_within_what_was_stated():
    a, b = [0.901, 0.899, 0.900], [0.900, 0.900, 0.900]
    assert history.compare(a, b).verdict == "undecided"
    assert history.compare(a, b, equal_within=0.003).verdict == "equal"
    assert history.compare(a, b, equal_within=0.002).verdict == "undecided", "the interval is ±0.0025"
    assert str(history.compare(a, b, equal_within=0.003)).endswith("equal within 0.003")


def test_of_a_loss_less_is_better():
    assert history.compare([1.0, 1.1], [2.0, 2.1], lower_is_better=True).verdict == "better"
    assert history.compare([1.0, 1.1], [2.0, 2.1]).verdict == "worse"


def test_what_never_happens_has_no_spread():
    never = Spread([1.0, math.inf])
    assert never.mean == math.inf
    assert math.isnan(never.std)


def test_seeds_in_words():
    assert [history.seeds(count) for count in (1, 3)] == ["one seed", "3 seeds"]
    assert [history.spread_over(count) for count in (1, 3)] == ["one seed", "mean ± std of 3 seeds"]


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


def test_image_grid_has_a_seam_of_the_brightness_that_is_asked_for():
    images = np.full((2, 1, 1), 0.25)
    for options, seam in (({}, 0.25), ({"seam": 1}, 1)):
        ax = plots.image_grid(images, 2, plots.figure()[1][0], **options)
        assert ax.images[0].get_array().tolist() == [[0.25, seam, 0.25]]
