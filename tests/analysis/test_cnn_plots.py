import numpy as np
import pytest

from coursekit.analysis import plots


def test_confusion_writes_counts_and_colours_shares():
    ax = plots.confusion(np.array([[8, 2], [0, 5]]), ["cat", "dog"])
    assert [text.get_text() for text in ax.texts] == ["8", "2", "0", "5"]
    shares = ax.collections[0].get_array().data.ravel()
    assert shares.tolist() == pytest.approx([0.8, 0.2, 0, 1])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted", "true")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["cat", "dog"]


def test_confusion_of_a_class_that_never_occurs():
    ax = plots.confusion(np.array([[0, 0], [1, 3]]), ["cat", "dog"])
    assert np.isfinite(ax.collections[0].get_array()).all()


def test_labelled_points_stand_where_they_are_told_beside_their_names():
    ax = plots.labelled_points({"a": (1, 2), "b": (3, 4)})
    assert [tuple(line.get_xydata()[0]) for line in ax.lines] == [(1, 2), (3, 4)]
    assert [(text.get_text(), text.xy) for text in ax.texts] == [("a", (1, 2)), ("b", (3, 4))]
