from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from coursekit import Experiment, data, models, sweep
from coursekit.data import datasets
from coursekit.errors import NotStored
from coursekit.runs import duration, experiment

SGD = partial(torch.optim.SGD, lr=0.1)


@pytest.fixture(autouse=True)
def on_real_data(monkeypatch):
    monkeypatch.setenv("COURSEKIT_PROFILE", "full")
    monkeypatch.setenv("COURSEKIT_SOURCE", "real")
    monkeypatch.delenv("COURSEKIT_TRAIN", raising=False)


def resnet(epochs):
    return Experiment(models.resnet20, SGD, "cifar10", epochs, 128, validation=500)


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        (dict(), 30 * 352),
        (dict(validation=0), 30 * 391),
        (dict(train_size=1000), 30 * 8),
        (dict(train_size=10**6), 30 * 352),
        (dict(classes=(0, 1, 2, 3, 4, 5)), 30 * 211),
        (dict(data="mnist", validation=0), 30 * 469),
    ],
)
def test_steps_are_those_of_the_published_data_set(changes, steps):
    assert duration.steps_of(replace(resnet(30), **changes)) == steps


def test_hours_are_refused_with_how_long_and_what_to_do(monkeypatch, tmp_path):
    sample = data.load("cifar10", "sample")
    arrays = {name: getattr(sample, name).numpy() for name in datasets.ARRAYS}
    np.savez(tmp_path / "cifar10.npz", **arrays, source="a copy")
    monkeypatch.setenv("COURSEKIT_DATA", str(tmp_path))
    monkeypatch.setenv("COURSEKIT_SOURCE", "auto")
    with pytest.raises(NotStored, match=r"1 run is not in the results store, .* hours here; set COURSEKIT_TRAIN=1"):
        experiment.run(resnet(10_000))
    with pytest.raises(NotStored, match="2 runs are not"):
        sweep({"ResNet-20": resnet(10_000)}, [0, 1])


def test_minutes_are_not_refused_and_neither_is_what_was_asked_for(monkeypatch):
    duration.refuse_long([Experiment(partial(models.MLP, (784, 8, 10)), SGD, "mnist", 1, 128)])
    monkeypatch.setenv("COURSEKIT_TRAIN", "1")
    duration.refuse_long([resnet(10_000)])


def test_what_is_short_on_every_machine_is_not_timed():
    def refused(parameters):
        raise AssertionError("a step was timed")

    duration.refuse_long([Experiment(models.SimpleNN, refused, "cifar10", 5, 128)] * 2)
    with pytest.raises(AssertionError, match="timed"):
        duration.refuse_long([Experiment(models.resnet20, refused, "cifar10", 30, 128)])
    with pytest.raises(AssertionError, match="timed"):  # many steps, with little in each
        duration.refuse_long([Experiment(partial(models.MLP, (784, 8, 10)), refused, "mnist", 100, 1)])


def test_drawn_data_are_small(monkeypatch):
    monkeypatch.setenv("COURSEKIT_SOURCE", "sample")
    duration.refuse_long([resnet(10_000)])


def test_many_short_runs_add_up():
    seconds = duration.seconds_of_a_step(resnet(1)) * duration.steps_of(resnet(1))
    count = int(3 * duration.LIMIT_S / seconds) + 1
    with pytest.raises(NotStored):
        duration.refuse_long([resnet(1)] * count)


def test_the_estimate_leaves_the_random_numbers_of_the_caller_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    duration.seconds_of_a_step(Experiment(models.LeNet5, SGD, "cifar10", 1, 64, precision="bfloat16"))
    assert torch.equal(before, torch.get_rng_state())
