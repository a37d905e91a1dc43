"""The loops on tensors that only say that they are on a GPU: an operation that mixes devices raises, without any GPU.

`FakeTensorMode` computes shapes, dtypes and devices, no numbers. The autograd engine asks for the real driver, so
`backward` is replaced, and autocast would not believe in the GPU: everything else runs.
"""

from functools import partial

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from coursekit import models
from coursekit.data.augment import crop_flip
from coursekit.data.batches import Batches
from coursekit.training import loop, penalties, stacked

NETWORKS = [partial(models.SimpleNN, batch_norm=True), models.cnn4, models.LeNet5, models.resnet20]
OPTIMIZERS = [
    partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=1e-4),  # of fused SGD torch has no fake
    partial(torch.optim.Adam, lr=1e-3, fused=True),
]


@pytest.fixture
def gpu(monkeypatch):
    """Inside the test, tensors have no numbers and "cuda" is a device like any other."""
    trained: list[nn.Parameter] = []

    def backward(loss):
        assert (loss.device.type, loss.shape) == ("cuda", ())
        for parameter in trained:
            parameter.grad = torch.zeros_like(parameter)

    monkeypatch.setattr(torch.Tensor, "backward", backward)
    monkeypatch.setattr(torch.Tensor, "__float__", lambda tensor: 0.0)
    with FakeTensorMode():
        yield trained


def batches(device="cuda", **options) -> Batches:
    images, labels = torch.zeros((20, 32, 32, 3), dtype=torch.uint8), torch.zeros(20, dtype=torch.long)
    statistics = torch.zeros(3), torch.ones(3)
    options = dict(shuffle=True, normalize=statistics, augment=crop_flip) | options
    return Batches(images, labels, 5, device=device, **options)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("network", NETWORKS)
def test_an_epoch_and_an_evaluation_stay_on_the_gpu(gpu, network, optimizer):
    with torch.device("cuda"):
        model = models.pooling_first(network())
    gpu += model.parameters()
    penalty = partial(penalties.l1, strength=1e-4)
    totals = loop.train_one_epoch(model, batches(), optimizer(model.parameters()), penalty, label_smoothing=0.1)
    assert loop.evaluate(model, batches(shuffle=False, augment=None)) == (0, 0)
    assert (totals.device.type, totals.dtype, totals.shape) == ("cuda", torch.float32, (3,))


def test_images_of_another_device_are_noticed(gpu):
    with torch.device("cuda"):
        model = models.LeNet5()
    with pytest.raises(Exception, match="device"):
        model(next(iter(batches(device="cpu")))[0])


def test_a_stack_stays_on_the_gpu(gpu):
    with torch.device("cuda"):
        networks = [models.pooling_first(models.SimpleNN(batch_norm=True)) for _ in range(3)]
    stack = stacked.stack(networks)
    gpu += [parameter for parameter, _ in stack._stacked]
    optimizers = [torch.optim.Adam(network.parameters(), fused=True) for network in networks]
    totals = stacked.train_one_epoch(stack, batches(), optimizers)
    assert (totals.device.type, totals.shape) == ("cuda", (3, 3))
