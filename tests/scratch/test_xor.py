import numpy as np
import pytest
import torch

from coursekit import scratch
from coursekit.errors import DataError, UsageError
from coursekit.scratch.gradcheck import numerical_gradient, relative_error

TORCH = {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu, "linear": lambda z: z}


def test_blobs_are_four_equal_clouds_shuffled():
    points, labels = scratch.blobs(1000, seed=3)
    assert points.shape == (1000, 2)
    assert labels.shape == (1000, 1)
    assert labels.mean() == 0.5
    nearest = np.where(points > 0, 1, -1)
    counts = np.unique(nearest, axis=0, return_counts=True)[1]
    assert np.abs(counts - 250).max() < 10
    assert points[(nearest == [-1, 1]).all(1)].mean(0) == pytest.approx([-1, 1], abs=0.1)
    assert len(set(labels[:20, 0])) == 2


def test_blobs_without_noise_are_labelled_by_the_signs_of_the_centre():
    points, labels = scratch.blobs(8, std=0.0)
    np.testing.assert_array_equal(labels[:, 0], points[:, 0] * points[:, 1] < 0)


def test_blobs_are_a_function_of_the_seed():
    for a, b in zip(scratch.blobs(100, seed=1), scratch.blobs(100, seed=1), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(scratch.blobs(100, seed=1)[0], scratch.blobs(100, seed=2)[0])


@pytest.mark.parametrize("samples", [0, 10, -4])
def test_blobs_refuse_unequal_clouds(samples):
    with pytest.raises(DataError, match=f"multiple of 4 samples, got {samples}"):
        scratch.blobs(samples)


def test_bayes_accuracy_is_what_the_rule_by_quadrant_scores():
    assert scratch.bayes_accuracy() == pytest.approx(0.98766, abs=5e-6)
    for std in (0.4, 1.0):
        points, labels = scratch.blobs(200_000, std)
        by_quadrant = points[:, :1] * points[:, 1:] < 0
        assert (by_quadrant == labels).mean() == pytest.approx(scratch.bayes_accuracy(std), abs=0.003)


@pytest.mark.parametrize("seed", [0, range(3)])
def test_no_two_weights_of_a_net_are_one_draw(seed):
    weights = scratch.XorNet(seed=seed).weights
    drawn = np.concatenate([weights[name].ravel() for name in ("W1", "W2")])
    assert len(set(drawn)) == len(drawn) == 12 * np.size(seed)


@pytest.mark.parametrize("output", ["sigmoid", "tanh", "relu", "linear"])
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_gradients_equal_differences_and_autograd(activation, output):
    net = scratch.XorNet(4, activation, output, seed=5)
    x, y = scratch.blobs(12, seed=1)
    error = net.backward(x, y)
    ours = dict(net.gradients)

    weights = {name: torch.tensor(array, requires_grad=True) for name, array in net.weights.items()}
    hidden = TORCH[activation](torch.tensor(x) @ weights["W1"] + weights["b1"])
    expected = ((TORCH[output](hidden @ weights["W2"] + weights["b2"]) - torch.tensor(y)) ** 2).sum()
    expected.backward()
    assert error == pytest.approx(expected.item(), rel=1e-12)
    for name, array in net.weights.items():
        assert ours[name].shape == array.shape
        assert relative_error(ours[name], weights[name].grad.numpy()) < 1e-9
        numeric = numerical_gradient(lambda: ((net.forward(x) - y) ** 2).sum(), array)
        assert relative_error(ours[name], numeric) < 1e-6


def test_a_net_has_seventeen_parameters_and_zero_biases():
    weights = scratch.XorNet().weights
    assert sum(array.size for array in weights.values()) == 17
    assert not weights["b1"].any()
    assert not weights["b2"].any()
    drawn = scratch.XorNet(hidden=5000, seed=1).weights["W1"]
    assert drawn.std() == pytest.approx(1, abs=0.02)


def test_nets_side_by_side_train_like_each_alone():
    x, y = (np.stack(arrays) for arrays in zip(*[scratch.blobs(20, seed=s) for s in (3, 4)], strict=True))
    both = scratch.XorNet(4, "tanh", "sigmoid", seed=[3, 4])
    log = scratch.train_xor(both, x, y, epochs=5, lr=0.01, log_every=2)
    assert list(log) == [0, 2, 4]
    for i, seed in enumerate((3, 4)):
        alone = scratch.XorNet(4, "tanh", "sigmoid", seed=seed)
        own = scratch.train_xor(alone, x[i], y[i], epochs=5, lr=0.01, log_every=2)
        assert [mse[i] for mse in log.values()] == pytest.approx(list(own.values()), rel=1e-12)
        np.testing.assert_allclose(both.forward(x)[i], alone.forward(x[i]), rtol=1e-12)
        assert both.accuracy(x, y)[i] == alone.accuracy(x[i], y[i])


def test_full_batch_steps_along_the_summed_gradient():
    net, twin = scratch.XorNet(seed=1), scratch.XorNet(seed=1)
    x, y = scratch.blobs(40)
    log = scratch.train_xor(net, x, y, epochs=2, lr=0.01)
    for epoch in range(2):
        assert log[epoch] == twin.backward(x, y) / 40
        twin.weights = {name: array - 0.01 * twin.gradients[name] for name, array in twin.weights.items()}
    for name in net.weights:
        np.testing.assert_allclose(net.weights[name], twin.weights[name], rtol=1e-12)


def test_one_by_one_steps_after_every_sample_in_file_order():
    net, twin = scratch.XorNet(seed=1), scratch.XorNet(seed=1)
    x, y = scratch.blobs(8)
    log = scratch.train_xor(net, x, y, epochs=1, lr=0.1, batch=1)
    errors = []
    for i in range(8):
        errors.append(twin.backward(x[i : i + 1], y[i : i + 1]))
        for name, gradient in twin.gradients.items():
            twin.weights[name] -= 0.1 * gradient
    assert log[0] == pytest.approx(np.mean(errors))
    for name in net.weights:
        np.testing.assert_allclose(net.weights[name], twin.weights[name])


def test_training_learns_xor():
    net = scratch.XorNet(4, "tanh", "sigmoid", seed=range(5))
    x, y = scratch.blobs(200)
    log = scratch.train_xor(net, x, y, epochs=3000, lr=0.01, log_every=1000)
    assert np.median(net.accuracy(x, y)) > 0.95
    assert np.median(log[2000]) < 0.05 < np.median(log[0])


def test_labels_that_would_broadcast_are_refused():
    x, y = scratch.blobs(12)
    with pytest.raises(DataError, match=r"shape \(\.\.\., 12, 1\) like the outputs, got \(12,\)"):
        scratch.XorNet().backward(x, y[:, 0])
    with pytest.raises(DataError, match="got"):
        scratch.XorNet(seed=range(3)).accuracy(x, y[:, 0])


def test_unknown_activation():
    with pytest.raises(UsageError, match="no activation 'swoosh'; choose sigmoid, tanh, relu, linear"):
        scratch.XorNet(activation="swoosh")
