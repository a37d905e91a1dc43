import pytest
import torch

from coursekit import data, models
from coursekit.runs import probes


@pytest.fixture
def sample(monkeypatch):
    monkeypatch.setenv("COURSEKIT_PROFILE", "sample")
    return data.load("cifar10")


def test_a_look_inside_a_cnn_counts_every_test_image_once_and_shows_them_beside_their_maps(sample):
    torch.manual_seed(0)
    model = models.cnn3()
    seen = probes.look_inside(model, "cifar10", validation=20, filters=4, images=2)
    rows = torch.tensor(seen["confusion"]).sum(1)
    assert torch.equal(rows, torch.bincount(sample.test_labels, minlength=10))
    assert torch.equal(torch.tensor(seen["images"], dtype=torch.uint8), sample.test_images[:2])
    assert torch.tensor(seen["maps"]).shape == (2, 8, 30, 30)
    assert torch.tensor(seen["maps"]).max() == 255
    assert torch.tensor(seen["filters"]).shape == (4, 3, 3, 3)
    assert torch.tensor(seen["class_means"]).shape == (10, 144)


def test_a_look_inside_an_mlp_has_no_maps(sample):
    seen = probes.look_inside(models.mlp1(), "cifar10", validation=20)
    assert "maps" not in seen
    assert torch.tensor(seen["class_means"]).shape == (10, 32)
