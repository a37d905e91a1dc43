"""What an Experiment can ask for beyond the plain run: classes, precision, label smoothing, weights to keep."""

import functools
from dataclasses import replace
from functools import partial
from typing import ClassVar

import pytest
import torch
from torch import nn

from coursekit import models, settings
from coursekit.data import datasets, drawn
from coursekit.errors import UsageError
from coursekit.runs import experiment, store
from coursekit.runs.experiment import Experiment, run
from coursekit.training import checkpoint, loop

adam = partial(torch.optim.Adam, lr=1e-2)
COLOUR = Experiment(
    partial(models.SimpleNN, True), adam, "cifar10", epochs=2, batch_size=32, validation=3, pixels="standard"
)


@pytest.fixture(autouse=True)
def _few_images(monkeypatch):
    monkeypatch.setenv("COURSEKIT_PROFILE", "sample")
    monkeypatch.setitem(drawn.ARRAYS, "cifar10", partial(drawn.shapes, 200, 50))
    monkeypatch.setitem(drawn.ARRAYS, "mnist", partial(drawn.digits, 200, 50))
    settings.gains_by_bfloat16.cache_clear()


def split(wanted: Experiment) -> tuple:
    return experiment._split(wanted, datasets.load(wanted.data, "sample"), torch.device("cpu"))


# --- classes ----------------------------------------------------------------------------------------------------------


def test_classes_keep_their_images_and_are_numbered_in_the_order_given():
    found = datasets.load("cifar10", "sample")
    train, validation, test, _ = split(replace(COLOUR, classes=(7, 2)))
    for batches, images, labels in (
        (test, found.test_images, found.test_labels),
        (train, found.train_images, found.train_labels),
    ):
        expected = {
            image.numpy().tobytes(): (7, 2).index(int(y))
            for image, y in zip(images, labels, strict=True)
            if y in (7, 2)
        }
        assert all(expected[i.numpy().tobytes()] == y for i, y in zip(batches.images, batches.labels, strict=True))
    assert len(test.labels) == sum(int(y) in (7, 2) for y in found.test_labels)
    assert torch.bincount(validation.labels).tolist() == [3, 3]
    assert torch.bincount(train.labels).tolist() == [17, 17]


def test_a_run_on_some_classes_learns_them():
    some = replace(COLOUR, model=partial(models.MLP, (3072, 2)), optimizer=partial(adam, lr=1e-3), classes=(3, 8))
    assert run(replace(some, epochs=20)).metrics["train_accuracy"] > 0.9


# --- precision --------------------------------------------------------------------------------------------------------


class Listening(nn.Module):
    """A layer that writes down in what type its neighbour computes."""

    heard: ClassVar[set] = set()

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))

    def forward(self, images):
        logits = self.body(images)
        self.heard.add((logits.dtype, images.is_contiguous(memory_format=torch.channels_last)))
        return logits


@pytest.mark.parametrize(
    ("precision", "gains", "dtype"),
    [("float32", True, torch.float32), ("bfloat16", True, torch.bfloat16), ("bfloat16", False, torch.float32)],
)
def test_bfloat16_where_asked_for_and_where_it_pays(precision, gains, dtype, monkeypatch):
    monkeypatch.setattr(settings, "gains_by_bfloat16", functools.cache(lambda: gains))
    monkeypatch.setattr(experiment, "key_of", lambda *_: f"{precision}{gains}".encode().hex() * 4)
    Listening.heard.clear()
    result = run(replace(COLOUR, model=Listening, precision=precision))
    assert Listening.heard == {(dtype, True)}
    assert result.provenance["precision"] == str(dtype).removeprefix("torch.")
    assert not torch.is_autocast_enabled("cpu")


def test_bfloat16_trains_as_float32_does_up_to_its_digits(monkeypatch):
    monkeypatch.setattr(settings, "gains_by_bfloat16", lambda: True)
    monkeypatch.setattr(experiment, "key_of", lambda wanted, _: wanted.precision.encode().hex() * 4)
    one, two = (run(replace(COLOUR, precision=name)).history[-1] for name in experiment.PRECISIONS)
    assert one["train_loss"] != two["train_loss"]
    assert one["train_loss"] == pytest.approx(two["train_loss"], rel=0.05)


def test_a_softmax_is_never_taken_in_bfloat16():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).bfloat16()
    images, labels = torch.rand(5, 1, 2, 2).bfloat16(), torch.tensor([0, 1, 2, 0, 1])
    logits, loss = loop.train_step(model, images, labels, torch.optim.SGD(model.parameters()))
    assert (logits.dtype, loss.dtype) == (torch.float32, torch.float32)


def test_an_unknown_precision_is_refused():
    with pytest.raises(UsageError, match=r"invalid precision 'half'; expected one of float32, bfloat16"):
        run(replace(COLOUR, precision="half"))


def test_the_probe_of_bfloat16_goes_by_the_clock(monkeypatch):
    for slower, answer in ((torch.float32, True), (torch.bfloat16, False)):
        monkeypatch.setattr(settings, "_seconds_of_matmul", lambda m, slower=slower: 1.0 + (m.dtype == slower))
        settings.gains_by_bfloat16.cache_clear()
        assert settings.gains_by_bfloat16() is answer
    settings.gains_by_bfloat16.cache_clear()


# --- label smoothing --------------------------------------------------------------------------------------------------


def test_label_smoothing_is_in_the_training_loss_and_not_in_the_evaluation():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    images, labels = torch.rand(5, 1, 2, 2), torch.tensor([0, 1, 2, 0, 1])
    probabilities = model(images).softmax(1)
    target = 0.9 * nn.functional.one_hot(labels, 3) + 0.1 / 3
    expected = -(target * probabilities.log()).sum(1).mean().item()
    _, loss = loop.train_step(model, images, labels, torch.optim.SGD(model.parameters(), lr=0.0), label_smoothing=0.1)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    smooth, plain = (
        run(replace(COLOUR, label_smoothing=s, epochs=1, optimizer=partial(adam, lr=0.0))) for s in (0.1, 0)
    )
    assert smooth.metrics["train_loss"] == plain.metrics["train_loss"]
    assert smooth.history[0]["val_loss"] == plain.history[0]["val_loss"]
    assert smooth.history[0]["train_loss"] != plain.history[0]["train_loss"]


# --- weights ----------------------------------------------------------------------------------------------------------


DIGITS = replace(
    COLOUR,
    model=partial(models.MLP, (784, 8, 10)),
    data="mnist",
    optimizer=partial(torch.optim.SGD, lr=0.1, momentum=0.9),
    epochs=4,
)


def worse_at_last(epoch):
    return (1, 1, 1, 30)[epoch]


def test_the_weights_kept_are_the_best_by_validation():
    result = run(replace(DIGITS, keep_weights=True, schedule=worse_at_last))
    accuracies = [row["val_accuracy"] for row in result.history]
    assert max(accuracies) > accuracies[-1], "else the test could not tell"
    model = models.MLP((784, 8, 10))
    model.load_state_dict(store.load_weights(result))
    _, validation, test, _ = split(DIGITS)
    assert loop.evaluate(model, validation)[1] == pytest.approx(max(accuracies), abs=1e-6)
    assert loop.evaluate(model, test)[1] == pytest.approx(result.metrics["best_test_accuracy"], abs=1e-6)


def test_weights_that_are_lost_or_damaged_are_trained_again(capsys):
    wanted = replace(COLOUR, keep_weights=True)
    result = run(wanted)
    [path] = store.folder().rglob(f"*-{result.key[:8]}.pt")
    assert run(wanted).replayed
    path.write_bytes(path.read_bytes()[:-1])
    assert store.load_weights(result) is None
    assert "not those that were saved" in capsys.readouterr().err
    again = run(wanted)
    assert not again.replayed
    path.unlink()
    assert store.load_weights(again) is None
    assert not run(wanted).replayed
    assert all(torch.isfinite(value).all() for value in store.load_weights(run(wanted)).values())


def test_without_being_asked_no_weights_are_kept():
    assert store.load_weights(run(COLOUR)) is None
    assert not list(store.folder().rglob("*.pt"))


# --- optimizer and memory ---------------------------------------------------------------------------------------------


class Noticed(torch.optim.Adam):
    made: ClassVar[list] = []

    def __init__(self, params, lr=1e-3, fused=None):
        super().__init__(params, lr=lr, fused=fused)
        self.made.append((fused, {p.is_contiguous(memory_format=torch.channels_last) for p in params if p.ndim == 4}))


def listed(parameters, lr, fused=None):
    return Noticed(list(parameters), lr, fused)


def test_a_run_is_channels_last_and_has_a_fused_optimizer():
    Noticed.made.clear()
    Listening.heard.clear()
    run(replace(COLOUR, model=Listening), refresh=True)
    assert Listening.heard == {(torch.float32, True)}
    run(replace(COLOUR, optimizer=partial(listed, lr=1e-3)), refresh=True)
    assert Noticed.made == [(True, {True})]
    assert run(replace(COLOUR, optimizer=partial(torch.optim.RMSprop, lr=1e-3))).status == "ok"


def test_its_form_changes_the_last_digits_alone():
    ours = run(replace(COLOUR, optimizer=partial(torch.optim.SGD, lr=0.01)))
    torch.manual_seed(COLOUR.seed)
    model = COLOUR.model()
    train, *_ = split(COLOUR)
    plain = loop.fit(model, train, {}, torch.optim.SGD(model.parameters(), lr=0.01), COLOUR.epochs)
    for row, other in zip(ours.history, plain.history, strict=True):
        assert row["train_loss"] == pytest.approx(other["train_loss"], rel=1e-4)


@pytest.mark.parametrize("optimizer", [adam, partial(torch.optim.SGD, lr=0.05, momentum=0.9, weight_decay=1e-3)])
def test_fused_and_plain_optimizers_agree(optimizer):
    runs = []
    for fused in (False, True):
        torch.manual_seed(0)
        model = models.LeNet5().to(memory_format=torch.channels_last)
        train, *_ = split(COLOUR)
        loop.fit(model, train, {}, optimizer(model.parameters(), fused=fused), 2)
        runs.append(model.state_dict())
    for name, value in runs[0].items():
        torch.testing.assert_close(value, runs[1][name], rtol=1e-3, atol=1e-4)


def test_a_fused_run_that_is_cut_off_goes_on_bit_for_bit(monkeypatch):
    wanted = replace(COLOUR, epochs=3)
    whole = run(wanted)
    monkeypatch.setattr(experiment, "CHECKPOINT_SECONDS", 0)
    write = checkpoint.write

    def cut_off(*arguments):
        write(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "write", cut_off)
    with pytest.raises(KeyboardInterrupt):
        run(wanted, refresh=True)
    monkeypatch.setattr(checkpoint, "write", write)
    again = run(wanted, refresh=True)
    assert again.metrics == whole.metrics
    assert [row["train_loss"] for row in again.history] == [row["train_loss"] for row in whole.history]
