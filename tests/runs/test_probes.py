"""What probes and measures look at is what the run itself is evaluated on."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from coursekit import data, models
from coursekit.data import drawn
from coursekit.runs import probes
from coursekit.runs.experiment import Experiment, run
from coursekit.training import loop

BASE = Experiment(
    model=partial(models.MLP, (3072, 10)),
    optimizer=partial(torch.optim.SGD, lr=0.01),
    data="cifar10",
    epochs=1,
    batch_size=32,
    validation=3,
    pixels="standard",
)


@pytest.fixture(autouse=True)
def _few_images(monkeypatch):
    monkeypatch.setenv("COURSEKIT_PROFILE", "sample")
    monkeypatch.setitem(drawn.ARRAYS, "cifar10", few_shapes)
    probes._slice.cache_clear()
    yield
    probes._slice.cache_clear()


def few_shapes():
    return drawn.shapes(150, 50)


def loss_on_test_set(model):
    return {"loss": loop.evaluate(model, probes.batches_of_test_set("cifar10", 3, "standard"))[0]}


def test_the_test_set_is_as_the_run_sees_it():
    metrics = run(replace(BASE, measure=loss_on_test_set)).metrics
    assert metrics["loss"] == metrics["test_loss"]


@pytest.mark.parametrize("count", [7, 30])
def test_a_cheap_validation_is_the_accuracy_on_the_first_of_the_validation_images(count):
    torch.manual_seed(0)
    model = models.MLP((3072, 10))
    images, labels = next(data.split(data.load("cifar10"), validation=3, pixels="standard").validation.of_epoch(0))
    right = (model(images[:count]).argmax(1) == labels[:count]).sum().item()
    assert probes.validation_slice(model, "cifar10", 3, count) == {"val_accuracy": right / count}


def test_a_look_inside_a_cnn_counts_every_test_image_once_and_shows_them_beside_their_maps():
    torch.manual_seed(0)
    seen = probes.look_inside(models.cnn3(), "cifar10", validation=3, filters=4, images=2)
    sample = data.load("cifar10")
    rows = torch.tensor(seen["confusion"]).sum(1)
    assert torch.equal(rows, torch.bincount(sample.test_labels, minlength=10))
    assert torch.equal(torch.tensor(seen["images"], dtype=torch.uint8), sample.test_images[:2])
    assert torch.tensor(seen["maps"]).shape == (2, 8, 30, 30)
    assert torch.tensor(seen["maps"]).max() == 255
    assert torch.tensor(seen["filters"]).shape == (4, 3, 3, 3)
    assert torch.tensor(seen["class_means"]).shape == (10, 144)


def test_a_look_inside_an_mlp_has_no_maps():
    seen = probes.look_inside(models.mlp1(), "cifar10", validation=3)
    assert "maps" not in seen
    assert torch.tensor(seen["class_means"]).shape == (10, 32)
