import pytest
import torch
from torch import nn

from coursekit.analysis import diagnostics

EDGES = [-1.5, -0.5, 0.5, 1.5]


def two_layers() -> nn.Sequential:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[-9.0, 0.0], [0.0, 9.0]]))
        model[1].weight.copy_(torch.tensor([[1.0, -1.0]]))
        model[0].bias.fill_(7.0)
    return model


def test_counts_are_per_layer_and_for_all_with_outliers_in_the_outer_bins():
    found = diagnostics.weight_distributions(two_layers(), EDGES)
    counts = {name: values["counts"] for name, values in found.items()}
    assert counts == {"linear 1": [1, 2, 1], "linear 2": [1, 0, 1], "all layers": [2, 2, 2]}


def test_std_and_kurtosis_by_hand():
    found = diagnostics.weight_distributions(two_layers(), EDGES)
    assert found["linear 2"]["std"] == pytest.approx(2**0.5)
    assert found["linear 2"]["kurtosis"] == pytest.approx(1)  # two values at equal distance
    assert found["linear 1"]["kurtosis"] == pytest.approx(2)  # (81² · 2 / 4) / (81 · 2 / 4)²


def test_a_gaussian_has_kurtosis_three_and_layers_of_different_scale_more():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(200, 200), nn.Linear(200, 200))
    nn.init.normal_(model[0].weight, std=1.0)
    nn.init.normal_(model[1].weight, std=0.1)
    found = diagnostics.weight_distributions(model, EDGES)
    assert found["linear 1"]["kurtosis"] == pytest.approx(3, abs=0.1)
    assert found["all layers"]["kurtosis"] > 5


def test_first_filters_give_the_weights_back_with_their_scale():
    torch.manual_seed(0)
    for model in (nn.Sequential(nn.Conv2d(3, 4, 5)), nn.Sequential(nn.Flatten(), nn.Linear(3 * 6 * 6, 4))):
        kept = diagnostics.first_filters(model, count=2)
        filters = torch.tensor(kept["filters"]) * kept["scale"]
        weight = model[-1].weight.detach()[:2].reshape(2, 3, *filters.shape[1:3])
        assert (filters.permute(0, 3, 1, 2) - weight).abs().max() <= kept["scale"] / 2 + 1e-7


def test_class_means_are_of_the_units_in_front_of_the_last_linear_layer():
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 3))
    with torch.no_grad():
        model[1].weight.copy_(torch.eye(2))
        model[1].bias.zero_()
    images = torch.tensor([[1.0, -1.0], [3.0, -1.0], [0.0, 5.0]])
    batches = [(images[:2], torch.tensor([0, 0])), (images[2:], torch.tensor([2]))]
    means = diagnostics.class_means(model, [*batches, (images[:1], torch.tensor([1]))], classes=3)
    assert means == [[2.0, 0.0], [1.0, 0.0], [0.0, 5.0]]
