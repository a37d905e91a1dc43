import numpy as np
import pytest
import torch
from torch import nn

from coursekit import models
from coursekit.training import penalties
from coursekit.training.penalties import ProximalSGD


def small() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 2), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))


def test_weights_are_matrices_and_kernels():
    model = small()
    assert [id(w) for w in penalties.weights(model)] == [id(model[0].weight), id(model[3].weight)]


def test_l1_is_the_sum_of_magnitudes_and_its_gradient_the_sign():
    model = small()
    with torch.no_grad():
        model[3].weight[0, :2] = 0
    value = penalties.l1(model, 0.25)
    expected = 0.25 * sum(np.abs(model[i].weight.detach().numpy()).sum() for i in (0, 3))
    assert value.item() == pytest.approx(expected, rel=1e-6)
    value.backward()
    for layer in (model[0], model[3]):
        np.testing.assert_array_equal(layer.weight.grad, 0.25 * np.sign(layer.weight.detach().numpy()))
        assert layer.bias.grad is None
    assert model[1].weight.grad is None
    assert model[1].bias.grad is None


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_proximal_sgd_twice_by_hand(momentum):
    start, lr, strength = np.array([[0.5, -0.5, 0.02, -0.3], [0.0, 0.31, -0.015, 2.0]]), 0.1, 0.4
    gradients = [np.array([[1.0, -1, 0, -2.5], [0, -1, 0.1, 0]]), np.array([[-1.0, 0, 0.5, -0.5], [0.2, 4, 0, 1]])]
    weight, bias = nn.Parameter(torch.tensor(start)), nn.Parameter(torch.tensor([0.01, -0.01], dtype=torch.float64))
    optimizer = ProximalSGD([weight, bias], lr=lr, strength=strength, momentum=momentum)
    by_hand, velocity = start.copy(), np.zeros_like(start)
    for gradient in gradients:
        weight.grad, bias.grad = torch.tensor(gradient), torch.zeros(2, dtype=torch.float64)
        optimizer.step()
        velocity = momentum * velocity + gradient
        moved = by_hand - lr * velocity
        by_hand = np.sign(moved) * np.maximum(np.abs(moved) - 0.04, 0)  # 0.04 = 0.1 · 0.4
        np.testing.assert_allclose(weight.detach(), by_hand, rtol=1e-12, atol=1e-15)
        np.testing.assert_array_equal(weight.detach() == 0, by_hand == 0)
    assert (by_hand == 0).any(), "some must have come to rest at exactly 0"
    assert bias.tolist() == [0.01, -0.01], "biases do not shrink"


def test_proximal_threshold_is_that_of_each_group_and_follows_the_lr():
    first, second = (nn.Parameter(torch.ones(1, 1, dtype=torch.float64)) for _ in range(2))
    optimizer = ProximalSGD([{"params": [first]}, {"params": [second], "lr": 0.5}], lr=0.1, strength=0.3)
    for lr, expected in ((0.1, 1 - 0.03), (0.2, 1 - 0.03 - 0.06)):
        optimizer.param_groups[0]["lr"] = lr
        first.grad = second.grad = torch.zeros(1, 1, dtype=torch.float64)
        optimizer.step()
        assert first.item() == pytest.approx(expected, rel=1e-12)
    assert second.item() == pytest.approx(1 - 2 * 0.15, rel=1e-12)


def test_proximal_sgd_of_strength_0_is_sgd():
    results = []
    for kind in (torch.optim.SGD, lambda *a, **k: ProximalSGD(*a, strength=0.0, **k)):
        torch.manual_seed(0)
        model = models.MLP((6, 4, 3))
        optimizer = kind(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01)
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.ones(2, 1, 2, 3)).square().sum().backward()
            optimizer.step()
        results.append([p.detach() for p in model.parameters()])
    for sgd, proximal in zip(*results, strict=True):
        torch.testing.assert_close(proximal, sgd, rtol=0, atol=0)


def test_proximal_step_returns_what_the_closure_returns():
    weight = nn.Parameter(torch.ones(1, 1))

    def closure():
        loss = 3 * weight.sum()
        loss.backward()
        return loss

    loss = ProximalSGD([weight], lr=0.1, strength=1.0).step(closure)
    assert loss.item() == 3
    assert weight.item() == pytest.approx(1 - 0.3 - 0.1)
