import numpy as np

from coursekit.analysis import plots

POINTS = np.array([[-1.0, 0.0], [1.0, 0.5], [2.0, -1.0]])
LABELS = np.array([[0.0], [1.0], [1.0]])


def right_half(points):
    return 1 / (1 + np.exp(-4 * points[:, 0]))


def test_decision_boundary_draws_the_line_at_one_half_and_every_point():
    _, [left, right] = plots.figure(1, 2)
    ax = plots.decision_boundary(right_half, POINTS, LABELS, right)
    assert ax is right
    assert not left.collections
    *filled, zero, one = ax.collections
    np.testing.assert_array_equal(zero.get_offsets(), POINTS[:1])
    np.testing.assert_array_equal(one.get_offsets(), POINTS[1:])
    line = filled[-1].get_paths()[0].vertices
    np.testing.assert_allclose(line[:, 0], 0, atol=1e-6)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("$x_1$", "$x_2$")
    assert ax.get_xlim()[1] > 2


def test_decision_boundary_of_a_constant_has_no_line_and_outside_values_are_clipped():
    ax = plots.decision_boundary(lambda points: np.full((len(points), 1), 7.0), POINTS, LABELS)
    assert len(ax.collections) == 3  # the colours and the two classes
    assert ax.collections[0].norm.vmax <= 1
