"""A loss is handed over once and taken everywhere: single and stacked training, evaluation, the key of a result."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from coursekit import models
from coursekit.data import Batches
from coursekit.errors import UsageError
from coursekit.runs import experiment, sweeps
from coursekit.runs.experiment import Experiment
from coursekit.training import loop, losses, stacked
from coursekit.training.losses import cross_entropy


def focal_loss(logits, labels, reduction="mean", gamma=2.0):
    """Cross-entropy in which what is known already counts less (Lin et al. 2017)."""
    each = cross_entropy(logits, labels, reduction="none")
    each = (1 - torch.exp(-each)) ** gamma * each
    return each if reduction == "none" else getattr(each, reduction)()


LOSSES = losses.LOSSES | {"focal_loss": focal_loss}
BASE = Experiment(
    partial(models.MLP, (784, 8, 10)),
    partial(torch.optim.SGD, lr=0.1, momentum=0.9),
    "mnist",
    epochs=2,
    batch_size=50,
    train_size=300,
    validation=20,
    loss=focal_loss,
)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_its_reductions_agree_and_no_logit_is_too_large(loss):
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(7, 4, generator=generator), torch.randint(0, 4, (7,), generator=generator)
    each = loss(logits, labels, reduction="none")
    assert each.shape == (7,)
    torch.testing.assert_close(loss(logits, labels), each.mean())
    torch.testing.assert_close(loss(logits, labels, reduction="sum"), each.sum())
    large = torch.tensor([[1000.0, -1000.0], [-1000.0, 1000.0]], requires_grad=True)
    loss(large, torch.tensor([0, 0])).backward()
    assert large.grad.isfinite().all()


def data() -> Batches:
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (24, 6, 6), dtype=torch.uint8, generator=generator)
    return Batches(images, torch.arange(24) % 3, 8)


def network(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 5), nn.ReLU(), nn.Linear(5, 3))


def test_a_step_and_an_evaluation_are_those_of_the_loss():
    model, reference = network(0), network(0)
    images, labels = next(iter(data().of_epoch(0)))
    _, mean = loop.train_step(model, images, labels, torch.optim.SGD(model.parameters(), lr=0.1), loss=focal_loss)
    expected = focal_loss(reference(images), labels)
    expected.backward()
    assert mean == expected
    for parameter, other in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(parameter, other - 0.1 * other.grad)
    with torch.no_grad():
        logits = torch.cat([model(images) for images, _ in data().of_epoch(0)])
    assert loop.evaluate(model, data(), focal_loss)[0] == pytest.approx(float(focal_loss(logits, data().labels)))
    assert loop.evaluate(model, data())[0] == pytest.approx(float(cross_entropy(logits, data().labels)))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_a_stack_takes_the_same_loss(smoothing):
    loss = cross_entropy if smoothing else focal_loss
    stack, alone = stacked.stack([network(1), network(2)]), [network(1), network(2)]
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.1) for model in stack.models]
    stacked.train_one_epoch(stack, data().of_epoch(0), optimizers, smoothing, loss=loss)
    for model in alone:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        loop.train_one_epoch(model, data().of_epoch(0), optimizer, label_smoothing=smoothing, loss=loss)
    scores = stacked.evaluate(stack, data(), loss)
    for model, other, score in zip(stack.unstack(), alone, scores, strict=True):
        for parameter, expected in zip(model.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(parameter, expected)
        assert score == pytest.approx(loop.evaluate(other, data(), loss))


def test_an_experiment_trains_and_is_judged_by_its_loss(monkeypatch):
    monkeypatch.setenv("COURSEKIT_PROFILE", "sample")
    focal, plain = experiment.run(BASE), experiment.run(replace(BASE, loss=cross_entropy))
    assert focal.key != plain.key
    assert focal.experiment["loss"].endswith("focal_loss")
    assert "loss" not in plain.experiment, "the default is in no description, so old results keep their keys"
    for name in ("val_loss", "train_loss"):
        assert focal.history[0][name] < 0.8 * plain.history[0][name]
    assert focal.metrics["test_loss"] < 0.8 * plain.metrics["test_loss"]


def test_runs_of_two_losses_are_not_stacked_with_each_other(monkeypatch):
    monkeypatch.setenv("COURSEKIT_PROFILE", "sample")
    runs = sweeps.sweep({"focal": BASE, "plain": replace(BASE, loss=cross_entropy)}, [0, 1])
    groups = {name: {key for run in results for key in run.provenance["stacked"]} for name, results in runs.items()}
    assert groups == {name: {run.key[:8] for run in results} for name, results in runs.items()}
    single = experiment.run(replace(BASE, seed=1), refresh=True)
    assert runs["focal"][1].history[-1]["val_loss"] == pytest.approx(single.history[-1]["val_loss"], rel=1e-4)


def test_smoothing_belongs_to_cross_entropy():
    with pytest.raises(UsageError, match=r"^label_smoothing belongs to cross_entropy; "):
        replace(BASE, label_smoothing=0.1)
