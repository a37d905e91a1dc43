import copy
from functools import partial

import pytest
import torch
from torch import nn

from coursekit.analysis import landscape
from coursekit.data.batches import Batches
from coursekit.models.residual import ResNet
from coursekit.training import loop


def some_batches(batch_size: int) -> Batches:
    draw = partial(torch.randint, generator=torch.Generator().manual_seed(0))
    return Batches(draw(0, 256, (12, 8, 8, 3), dtype=torch.uint8), draw(0, 10, (12,)), batch_size)


@pytest.fixture
def batches():
    return some_batches(5)


@pytest.fixture
def model(batches):
    """A small ResNet that has seen data, so that its running statistics are not those it was born with."""
    torch.manual_seed(0)
    model = ResNet(blocks=1)
    loop.train_one_epoch(model, batches.of_epoch(0), torch.optim.SGD(model.parameters(), lr=0.1))
    return model


def direction_of(model, seed: int = 0) -> dict:
    return landscape.filter_normalised_direction(model, torch.Generator().manual_seed(seed))


def test_every_filter_of_the_direction_is_as_long_as_the_weights(model):
    direction = direction_of(model)
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    assert list(direction) == list(parameters)
    for name, parameter in parameters.items():
        if parameter.ndim > 1:
            for filter_, along in zip(parameter, direction[name], strict=True):
                assert float(along.norm()) == pytest.approx(float(filter_.norm()), rel=1e-5)
            assert not torch.allclose(direction[name], parameter)
        else:
            assert not direction[name].any()
    kinds = {name.rsplit(".", 1)[1] for name, along in direction.items() if not along.any()}
    assert kinds == {"weight", "bias"}  # of BatchNorm, and of the linear layer


def test_generator_decides_the_direction(model):
    first, again, other = direction_of(model, 0), direction_of(model, 0), direction_of(model, 1)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["head.2.weight"], other["head.2.weight"])


def test_loss_at_zero_is_the_evaluated_one_and_rises_away_from_a_minimum(model, batches):
    losses = landscape.loss_along(model, direction_of(model), [0.0, 0.5, -1.0], batches)
    assert losses[0] == pytest.approx(loop.evaluate(model, batches)[0], rel=1e-6)
    assert len({round(loss, 6) for loss in losses}) == 3


def test_loss_at_a_distance_is_that_of_weights_moved_by_hand(model, batches):
    direction = direction_of(model)
    [loss] = landscape.loss_along(model, direction, [0.3], batches)
    for name, parameter in model.named_parameters():
        parameter.data += 0.3 * direction[name]
    assert loss == pytest.approx(loop.evaluate(model, batches)[0], rel=1e-5)


def test_batch_statistics_are_those_of_training():
    norm = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(192, 10))
    norm[0].running_mean += 5
    whole = some_batches(12)
    images, labels = next(whole.of_epoch(0))
    expected = nn.functional.cross_entropy(copy.deepcopy(norm).train()(images), labels)
    still = {name: torch.zeros_like(p) for name, p in norm.named_parameters()}
    [own] = landscape.loss_along(norm, still, [0.0], whole, batch_statistics=True)
    [running] = landscape.loss_along(norm, still, [0.0], whole)
    assert own == pytest.approx(float(expected.detach()), rel=1e-5)
    assert running == pytest.approx(loop.evaluate(norm, whole)[0], rel=1e-6)
    assert abs(own - running) > 1e-3
    assert norm[0].running_mean is not None


@pytest.mark.parametrize("batch_statistics", [False, True])
def test_model_is_left_as_it_was_even_after_an_error(model, batches, batch_statistics):
    model.train()
    model.stem[1].eval()
    before = copy.deepcopy(model.state_dict())

    def cut_off():
        yield 0.7
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        landscape.loss_along(model, direction_of(model), cut_off(), batches, batch_statistics)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.training
    assert not model.stem[1].training
