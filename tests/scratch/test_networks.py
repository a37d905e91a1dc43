import subprocess
import sys

import numpy as np
import pytest
import torch

from coursekit import scratch
from coursekit.errors import UsageError
from coursekit.scratch.gradcheck import numerical_gradient, relative_error

RNG = np.random.default_rng(0)


def batch(d_in, classes=10, count=7):
    return RNG.normal(size=(count, d_in)), RNG.integers(0, classes, count)


def test_importing_scratch_does_not_import_torch():
    code = "import sys, coursekit.scratch, coursekit.scratch.gradcheck; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    ("model", "count"),
    [
        (scratch.SimpleNetwork(128, 128, 64, 10), 25_418),
        (scratch.SimpleNetwork(128, 64, 32, 10), 10_666),
        (scratch.SoftmaxRegression(), 7_840),
        (scratch.TwoLayerNet(), 101_770),
    ],
)
def test_published_parameter_counts(model, count):
    assert model.parameter_count() == count


def test_simple_network_equals_autograd():
    net = scratch.SimpleNetwork(6, 5, 4, 3, seed=2)
    images, labels = batch(6, 3)
    loss, dlogits = scratch.cross_entropy(net.forward(images), labels)
    dimages = net.backward(dlogits)

    x = torch.tensor(images, requires_grad=True)
    weights = [torch.tensor(a, requires_grad=True) for linear in net.linears for a in (linear.W, linear.b)]
    hidden = torch.nn.functional.relu(torch.nn.functional.relu(x @ weights[0] + weights[1]) @ weights[2] + weights[3])
    expected = torch.nn.functional.cross_entropy(hidden @ weights[4] + weights[5], torch.tensor(labels))
    gradients = torch.autograd.grad(expected, [x, *weights])
    assert loss == pytest.approx(expected.item(), rel=1e-12)
    ours = [dimages] + [a for linear in net.linears for a in (linear.dW, linear.db)]
    for mine, theirs in zip(ours, gradients, strict=True):
        assert relative_error(mine, theirs.numpy()) < 1e-9


@pytest.mark.parametrize("relu", [True, False])
def test_softmax_regression_gradient(relu):
    model = scratch.SoftmaxRegression(6, 4, relu=relu, scale=1.0, dtype=np.float64)
    images, labels = batch(6, 4)
    model.forward(images, labels, mode="train")
    numeric = numerical_gradient(lambda: model.forward(images, labels)[0], model.weights["W1"])
    assert relative_error(model.gradients["W1"], numeric) < 1e-6
    logits = np.maximum(images @ model.weights["W1"], 0) if relu else images @ model.weights["W1"]
    np.testing.assert_allclose(model.logits(images), logits)


def test_two_layer_net_gradients_and_torch():
    model = scratch.TwoLayerNet(6, 5, 4, scale=1.0, dtype=np.float64)
    model.weights["b1"] += RNG.normal(size=5)
    images, labels = batch(6, 4)
    loss, accuracy = model.forward(images, labels, mode="train")
    for name, weight in model.weights.items():
        numeric = numerical_gradient(lambda: model.forward(images, labels)[0], weight)
        assert relative_error(model.gradients[name], numeric) < 1e-6, name
    w = {name: torch.tensor(array) for name, array in model.weights.items()}
    logits = torch.sigmoid(torch.tensor(images) @ w["W1"] + w["b1"]) @ w["W2"] + w["b2"]
    assert loss == pytest.approx(torch.nn.functional.cross_entropy(logits, torch.tensor(labels)).item(), rel=1e-12)
    assert accuracy == float((logits.argmax(1).numpy() == labels).mean())


def test_weights_and_gradients_have_the_same_keys_and_start_at_zero():
    model = scratch.TwoLayerNet(6, 5, 4)
    assert model.weights.keys() == model.gradients.keys()
    assert not any(gradient.any() for gradient in model.gradients.values())


def test_valid_mode_leaves_gradients_alone_and_other_modes_are_refused():
    model = scratch.TwoLayerNet(6, 5, 4)
    images, labels = batch(6, 4)
    model.forward(images, labels, mode="valid")
    assert not any(gradient.any() for gradient in model.gradients.values())
    with pytest.raises(UsageError, match="'test'"):
        model.forward(images, labels, mode="test")


def test_same_seed_same_weights_other_seed_others():
    a, b, c = (scratch.TwoLayerNet(6, 5, 4, seed=seed).weights["W1"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)
