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
