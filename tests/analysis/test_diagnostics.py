"""Every number of coursekit.diagnostics against the tensors it is read from, or a network small enough to work out."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from coursekit import models
from coursekit.analysis import diagnostics


@pytest.fixture
def trained_once():
    """A convolution and two linear layers after one backward pass, with gradients of weights and biases at hand."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 4 * 4, 5), nn.Sigmoid(), nn.Linear(5, 3)
    )
    cross_entropy(model(torch.rand(4, 1, 6, 6)), torch.tensor([0, 1, 2, 0])).backward()
    return model


def hand_made() -> nn.Sequential:
    """Linear 2 → 1 → 1 with weights (3, -1) and 2, biases 0.5 and -1, and the identity in between."""
    model = nn.Sequential(nn.Linear(2, 1), nn.Identity(), nn.Linear(1, 1))
    for parameter, value in zip(model.parameters(), ([[3.0, -1.0]], [0.5], [[2.0]], [-1.0]), strict=True):
        parameter.data = torch.tensor(value)
    return model


def test_layers_are_named_by_kind_and_place_however_deep_they_lie(trained_once):
    assert list(diagnostics.layers(trained_once)) == ["conv 1", "linear 2", "linear 3"]
    nested = nn.Sequential(trained_once, nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2)))
    found = diagnostics.layers(nested)
    assert list(found) == ["conv 1", "linear 2", "linear 3", "linear 4"]
    assert found["linear 4"] is nested[1][1]


def test_gradients_worked_out_by_hand():
    model = hand_made()
    # y = 2 (3 x1 - x2 + 0.5) - 1 at x = (1, -2): the hidden value is 5.5; dy/dW1 = 2 x, dy/dW2 = 5.5.
    model(torch.tensor([[1.0, -2.0]])).sum().backward()
    torch.testing.assert_close(diagnostics.gradient_norms(model), [torch.tensor(20.0).sqrt(), torch.tensor(5.5)])
    torch.testing.assert_close(diagnostics.mean_absolute_gradients(model), [torch.tensor(3.0), torch.tensor(5.5)])


def test_gradient_norms_are_those_of_the_weight_tensors(trained_once):
    weights = [trained_once[i].weight.grad for i in (0, 3, 5)]
    expected = [weight.square().sum().sqrt() for weight in weights]
    torch.testing.assert_close(diagnostics.gradient_norms(trained_once), expected)


def test_mean_absolute_gradients_are_those_of_the_weight_tensors(trained_once):
    weights = [trained_once[i].weight.grad for i in (0, 3, 5)]
    expected = [weight.abs().sum() / weight.numel() for weight in weights]
    torch.testing.assert_close(diagnostics.mean_absolute_gradients(trained_once), expected)


@pytest.mark.parametrize("measure", [diagnostics.gradient_norms, diagnostics.mean_absolute_gradients])
def test_biases_are_not_mixed_in(trained_once, measure):
    before = torch.stack(measure(trained_once))
    for layer in diagnostics.layers(trained_once).values():
        layer.bias.grad.fill_(1e6)
    torch.testing.assert_close(torch.stack(measure(trained_once)), before, rtol=0, atol=0)


def test_a_batch_of_autograd_and_the_mean_over_it_agree(trained_once):
    """The gradient of the mean loss is what is measured: a batch shown twice gives the same numbers."""
    images, labels = torch.rand(4, 1, 6, 6), torch.tensor([2, 1, 0, 0])
    found = []
    for repeat in (1, 2):
        trained_once.zero_grad()
        cross_entropy(trained_once(images.repeat(repeat, 1, 1, 1)), labels.repeat(repeat)).backward()
        found.append(torch.stack(diagnostics.gradient_norms(trained_once)))
    torch.testing.assert_close(found[0], found[1])


def test_probes_name_what_they_measure(trained_once):
    first = diagnostics.first_gradient_norm(trained_once)
    assert list(first) == ["gradient"]
    torch.testing.assert_close(first["gradient"], trained_once[0].weight.grad.norm())
    by_layer = diagnostics.layer_gradients(trained_once)
    assert list(by_layer) == ["conv 1", "linear 2", "linear 3"]
    torch.testing.assert_close(by_layer["linear 3"], trained_once[5].weight.grad.abs().mean())


def test_probes_leave_the_gradients_as_they_are(trained_once):
    before = [parameter.grad.clone() for parameter in trained_once.parameters()]
    diagnostics.first_gradient_norm(trained_once), diagnostics.layer_gradients(trained_once)
    for parameter, gradient in zip(trained_once.parameters(), before, strict=True):
        assert torch.equal(parameter.grad, gradient)


def test_sparsity_counts_zeros_and_small_weights_without_biases():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    for parameter in model.parameters():
        parameter.data.zero_()  # biases stay 0 and must not count
    model[0].weight.data = torch.tensor([[0.0, 0.5], [-0.0009, 0.001]])
    model[2].weight.data = torch.tensor([[0.0, -2.0]])
    zeros, small = diagnostics.sparsity(model)
    assert zeros == pytest.approx(2 / 6)
    assert small == pytest.approx(3 / 6)  # below the threshold, not at it
    assert diagnostics.sparsity(model, threshold=1.0)[1] == pytest.approx(5 / 6)


def test_sparsity_counts_convolutions():
    model = nn.Sequential(nn.Conv2d(1, 1, 2, bias=False), nn.Flatten(), nn.Linear(1, 4, bias=False))
    model[0].weight.data.fill_(1.0)
    model[2].weight.data.zero_()
    assert diagnostics.sparsity(model) == (0.5, 0.5)


def test_recorded_activations_are_the_outputs_of_the_activation_layers():
    torch.manual_seed(0)
    model = models.MLP((12, 5, 4, 3), "tanh")
    images = torch.rand(7, 1, 3, 4)
    with diagnostics.recorded_activations(model) as outputs:
        model(torch.rand(2, 1, 3, 4))
        model(images)
    first = torch.tanh(model[1](images.flatten(1)))
    assert list(outputs) == ["activation 1", "activation 2"]
    torch.testing.assert_close(outputs["activation 1"], first)  # of the last pass
    torch.testing.assert_close(outputs["activation 2"], torch.tanh(model[3](first)))
    assert not outputs["activation 1"].requires_grad


@pytest.mark.parametrize("activation", sorted(models.ACTIVATIONS))
def test_every_activation_of_the_course_is_recorded(activation):
    model = models.MLP((4, 3, 2), activation)
    with diagnostics.recorded_activations(model) as outputs:
        model(torch.rand(2, 4))
    assert outputs["activation 1"].shape == (2, 3)


def hooks(model: nn.Module) -> int:
    return sum(len(layer._forward_hooks) for layer in model.modules())


def test_hooks_are_gone_after_the_block():
    model = models.MLP((4, 3, 2))
    with diagnostics.recorded_activations(model) as outputs:
        assert hooks(model) == 1
        model(torch.zeros(1, 4))
    seen = outputs["activation 1"]
    model(torch.ones(5, 4))
    assert hooks(model) == 0
    assert outputs["activation 1"] is seen


def test_hooks_are_gone_after_an_error_in_the_block():
    model = models.MLP((4, 3, 2))
    with pytest.raises(RuntimeError, match="shape"), diagnostics.recorded_activations(model):
        model(torch.zeros(1, 5))
    assert hooks(model) == 0


def test_dead_units_are_those_that_no_image_wakes():
    model = models.MLP((2, 4, 2))
    model[1].weight.data = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    model[1].bias.data = torch.tensor([0.0, 0.0, -5.0, 0.0])
    images = torch.tensor([[1.0, 2.0], [3.0, 4.0]])  # unit 1 fires; 2 and 4 see negatives, 3 never exceeds its bias
    assert diagnostics.dead_units(model, images) == {"activation 1": 0.75}
    woken = torch.cat([images, torch.tensor([[1.0, 9.0]])])
    assert diagnostics.dead_units(model, woken) == {"activation 1": 0.5}
    assert hooks(model) == 0


def test_a_channel_is_dead_when_all_its_places_are():
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU())
    model[0].weight.data = torch.tensor([1.0, -1.0]).view(2, 1, 1, 1)
    model[0].bias.data.zero_()
    images = torch.zeros(3, 1, 4, 4)
    images[2, 0, 3, 1] = 1.0  # one pixel of one image
    assert diagnostics.dead_units(model, images) == {"activation 1": 0.5}


def test_dead_units_leaves_no_gradient_behind():
    model = models.MLP((2, 4, 2))
    diagnostics.dead_units(model, torch.rand(3, 2))
    assert all(parameter.grad is None for parameter in model.parameters())
