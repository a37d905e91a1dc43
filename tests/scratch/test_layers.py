import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from coursekit import scratch
from coursekit.errors import DataError
from coursekit.scratch.gradcheck import numerical_gradient, relative_error

RNG = np.random.default_rng(0)
NASTY = np.array([-1000.0, -20.0, -1.0, -1e-8, 0.0, 1e-8, 1.0, 20.0, 1000.0])
numbers = st.floats(-1e3, 1e3, allow_nan=False)


@pytest.mark.parametrize(
    ("function", "derivative", "oracle"),
    [
        (scratch.sigmoid, scratch.sigmoid_derivative, torch.sigmoid),
        (np.tanh, scratch.tanh_derivative, torch.tanh),
        (scratch.relu, scratch.relu_derivative, torch.relu),
        (scratch.swish, scratch.swish_derivative, torch.nn.functional.silu),
    ],
)
def test_activation_and_derivative_equal_autograd(function, derivative, oracle):
    x = torch.tensor(NASTY, requires_grad=True)
    y = oracle(x)
    y.sum().backward()
    np.testing.assert_allclose(function(NASTY), y.detach().numpy(), rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(derivative(NASTY), x.grad.numpy(), rtol=1e-9, atol=1e-12)


def test_derivatives_take_the_pre_activation():
    assert scratch.sigmoid_derivative(np.array(2.0)) == pytest.approx(0.104993585)
    assert scratch.sigmoid_derivative(np.array(0.0)) == 0.25
    assert scratch.relu_derivative(np.array([0.0])) == [0.0]


@given(arrays(float, (3, 5), elements=numbers), numbers)
def test_softmax_rows_are_probabilities_and_ignore_a_shift(logits, shift):
    p = scratch.softmax(logits)
    assert np.all(p >= 0)
    np.testing.assert_allclose(p.sum(1), 1)
    np.testing.assert_allclose(scratch.softmax(logits + shift), p, atol=1e-9)


def test_softmax_at_logits_that_overflow():
    np.testing.assert_array_equal(scratch.softmax(np.array([[1000.0, 0.0, -1000.0]])), [[1.0, 0.0, 0.0]])


@given(arrays(float, (4, 3), elements=numbers), arrays(np.int64, 4, elements=st.integers(0, 2)))
def test_cross_entropy_equals_torch(logits, labels):
    x = torch.tensor(logits, requires_grad=True)
    expected = torch.nn.functional.cross_entropy(x, torch.tensor(labels))
    expected.backward()
    loss, gradient = scratch.cross_entropy(logits, labels)
    assert loss == pytest.approx(expected.item(), rel=1e-9, abs=1e-9)
    np.testing.assert_allclose(gradient, x.grad.numpy(), atol=1e-12)


def test_cross_entropy_of_guessing_is_ln_classes_and_of_knowing_is_zero():
    labels = np.arange(10)
    assert scratch.cross_entropy(np.zeros((10, 10)), labels)[0] == pytest.approx(np.log(10))
    assert scratch.cross_entropy(100 * np.eye(10), labels)[0] < 1e-3


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 3], "labels must be 0..2; found 3 at index 2"),
        ([0, -1, 1], "found -1 at index 1"),
        ([0, -100, 1], "found -100 at index 1"),
        ([0, 1], "labels must be 3 integers"),
        ([0.0, 1.0, 2.0], "of float64"),
        ([[0], [1], [2]], r"got shape \(3, 1\)"),
    ],
)
def test_cross_entropy_refuses_bad_labels(labels, message):
    with pytest.raises(DataError, match=message):
        scratch.cross_entropy(np.zeros((3, 3)), np.array(labels))


def test_cross_entropy_of_an_empty_batch():
    with pytest.raises(DataError, match="empty"):
        scratch.cross_entropy(np.zeros((0, 3)), np.zeros(0, int))


def test_accuracy_counts_rows():
    assert scratch.accuracy(np.array([[1, 2], [3, 0], [0, 1]]), np.array([1, 1, 1])) == pytest.approx(2 / 3)


def test_linear_gradients_against_differences():
    layer = scratch.Linear(4, 3, seed=1)
    x, weight = RNG.normal(size=(5, 4)), RNG.normal(size=(5, 3))

    def loss():
        return float((layer.forward(x) * weight).sum())

    loss()
    dx = layer.backward(weight)
    for analytic, array in ((dx, x), (layer.dW, layer.W), (layer.db, layer.b)):
        assert relative_error(analytic, numerical_gradient(loss, array)) < 1e-6


def test_relu_gradient_against_differences_and_at_zero():
    layer, x, weight = scratch.ReLU(), RNG.normal(size=(5, 4)), RNG.normal(size=(5, 4))
    layer.forward(x)
    dx = layer.backward(weight)
    assert relative_error(dx, numerical_gradient(lambda: float((layer.forward(x) * weight).sum()), x)) < 1e-6
    layer.forward(np.zeros((1, 2)))
    np.testing.assert_array_equal(layer.backward(np.ones((1, 2))), [[0, 0]])


def test_relu_is_not_fooled_when_its_input_is_changed_afterwards():
    layer, x = scratch.ReLU(), np.array([[1.0, -1.0]])
    layer.forward(x)
    x *= -1
    np.testing.assert_array_equal(layer.backward(np.ones((1, 2))), [[1, 0]])


def test_he_initialisation_is_a_standard_deviation():
    layer = scratch.Linear(128, 4000)
    assert layer.W.std() == pytest.approx(np.sqrt(2 / 128), rel=0.01)
    assert not layer.b.any()


def test_numerical_gradient_wants_float64_and_leaves_x_alone():
    x = np.array([1.0, 2.0])
    np.testing.assert_allclose(numerical_gradient(lambda: float((x**3).sum()), x), [3, 12], rtol=1e-8)
    np.testing.assert_array_equal(x, [1, 2])
    with pytest.raises(ValueError, match="float64"):
        numerical_gradient(lambda: 0.0, x.astype(np.float32))


def test_relative_error_of_zeros_is_zero_and_of_a_sign_is_two():
    assert relative_error(np.zeros(3), np.zeros(3)) == 0
    assert relative_error(np.ones(3), -np.ones(3)) == 2
    assert relative_error(np.zeros(1), np.ones(1)) == relative_error(np.ones(1), np.zeros(1)) == 1
