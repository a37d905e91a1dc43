import copy
import math
import re
import signal
import threading
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from coursekit import models
from coursekit.data.augment import crop_flip
from coursekit.data.batches import Batches
from coursekit.errors import DataError, Diverged, StorageError, UsageError
from coursekit.training import checkpoint, loop, penalties, schedules

IMAGES = torch.randint(0, 256, (20, 6, 6, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(8))
LABELS = torch.arange(20, dtype=torch.uint8) % 10
STEPS, EPOCHS = 4, 3  # 20 examples in batches of 6: the last has 2


def batches(**options) -> Batches:
    return Batches(IMAGES, LABELS, 6, **options)


def linear() -> nn.Module:
    torch.manual_seed(0)
    return models.MLP((108, 10))


def everything() -> nn.Module:
    """A small network with all that has a state or a mode of its own."""
    conv = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten()]
    return nn.Sequential(*conv, nn.Dropout(0.3), nn.Linear(64, 10))


def sgd(model: nn.Module, lr: float, **options) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=lr, **options)


def assert_same(left, right, where=""):
    """Bit for bit, however deep."""
    assert type(left) is type(right), where
    if isinstance(left, torch.Tensor):
        assert left.dtype == right.dtype, where
        assert torch.equal(left, right), where
    elif isinstance(left, dict):
        assert list(left) == list(right), where
        for name in left:
            assert_same(left[name], right[name], f"{where}.{name}")
    elif isinstance(left, list | tuple):
        assert len(left) == len(right), where
        for i, (a, b) in enumerate(zip(left, right, strict=True)):
            assert_same(a, b, f"{where}[{i}]")
    else:
        assert left == right, where


# --- one step ---------------------------------------------------------------------------------------------------------


def softmax_gradient(weight, bias, x, labels):
    """Of the mean cross-entropy of one linear layer, by hand."""
    logits = x @ weight.T + bias
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    loss = -np.log(p[np.arange(len(x)), labels]).mean()
    p[np.arange(len(x)), labels] -= 1
    return loss, p.T @ x / len(x), p.mean(0)


@pytest.mark.parametrize("strength", [0.0, 0.3])
def test_two_steps_by_hand(strength):
    torch.manual_seed(0)
    model = models.MLP((6, 4)).double()
    x, labels, lr = torch.rand(5, 1, 2, 3, dtype=torch.float64), torch.tensor([0, 3, 1, 1, 2]), 0.5
    w, b = (p.detach().numpy().copy() for p in model.parameters())
    optimizer = sgd(model, lr)
    penalty = partial(penalties.l1, strength=strength) if strength else None
    for _ in range(2):
        logits, loss = loop.train_step(model, x, labels, optimizer, penalty)
        np.testing.assert_allclose(logits, x.flatten(1).numpy() @ w.T + b, rtol=1e-10)
        expected, dw, db = softmax_gradient(w, b, x.flatten(1).numpy(), labels.numpy())
        assert loss.item() == pytest.approx(expected, rel=1e-10), "the penalty is no part of the loss"
        dw = dw + strength * np.sign(w)
        w, b = w - lr * dw, b - lr * db
        np.testing.assert_allclose(model[1].weight.detach(), w, atol=1e-10)
        np.testing.assert_allclose(model[1].bias.detach(), b, atol=1e-10)
        np.testing.assert_allclose(model[1].weight.grad, dw, atol=1e-10)
    assert not logits.requires_grad
    assert not loss.requires_grad


def test_an_epoch_counts_examples_and_trains_in_train_mode():
    model = everything().eval()
    seen = []
    totals = loop.train_one_epoch(
        model, batches().of_epoch(0), sgd(model, 0.0), after_step=lambda loss, totals: seen.append(totals)
    )
    assert model.training
    assert [step[2].item() for step in seen] == [6, 12, 18, 20]
    assert totals is seen[-1]
    assert model[1].num_batches_tracked == STEPS


def test_reported_loss_is_weighted_by_examples_and_free_of_the_penalty():
    model = linear()
    penalty = partial(penalties.l1, strength=10.0)
    row = loop.fit(model, batches(shuffle=True), {}, sgd(model, 0.0), 1, penalty=penalty).history[0]
    [(images, labels)] = Batches(IMAGES, LABELS, 20)
    logits = model(images).detach()
    assert row["train_loss"] == pytest.approx(cross_entropy(logits, labels).item(), rel=1e-6)
    assert row["train_accuracy"] == pytest.approx((logits.argmax(1) == labels).double().mean().item())


# --- evaluation -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_training", [True, False])
def test_evaluate_equals_a_plain_computation_and_leaves_the_model_alone(in_training):
    torch.manual_seed(0)
    model = everything()
    loop.fit(model, batches(), {}, sgd(model, 0.1), 2)  # running statistics that are not those of a batch
    model.train(in_training)
    before, random = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    loss, accuracy = loop.evaluate(model, batches())
    assert {module.training for module in model.modules()} == {in_training}
    assert_same(dict(model.state_dict()), dict(before))
    assert torch.equal(torch.get_rng_state(), random)

    state = model.state_dict()
    [(images, labels)] = Batches(IMAGES, LABELS, 20)
    hidden = nn.functional.conv2d(images, state["0.weight"], state["0.bias"]).permute(0, 2, 3, 1)
    hidden = (hidden - state["1.running_mean"]) / (state["1.running_var"] + 1e-5).sqrt()
    hidden = (hidden * state["1.weight"] + state["1.bias"]).relu().permute(0, 3, 1, 2).flatten(1)
    logits = hidden @ state["5.weight"].T + state["5.bias"]
    assert loss == pytest.approx(cross_entropy(logits, labels).item(), rel=1e-5)
    assert accuracy == pytest.approx((logits.argmax(1) == labels).double().mean().item())


def test_evaluate_returns_numbers():
    assert [type(value) for value in loop.evaluate(linear(), batches())] == [float, float]


# --- many epochs ------------------------------------------------------------------------------------------------------


def test_history_has_a_row_an_epoch():
    torch.manual_seed(0)
    model = everything()
    rows = loop.fit(model, batches(), {"val": batches(), "test": batches()}, sgd(model, 0.1), 3).history
    names = ["epoch", "step", "lr", "train_loss", "train_accuracy"]
    names += ["val_loss", "val_accuracy", "test_loss", "test_accuracy", "seconds"]
    assert [list(row) for row in rows] == [names] * 3
    assert [(row["epoch"], row["step"], row["lr"]) for row in rows] == [(1, 4, 0.1), (2, 8, 0.1), (3, 12, 0.1)]
    assert 0 < rows[0]["seconds"] < rows[1]["seconds"] < rows[2]["seconds"]
    assert (rows[2]["val_loss"], rows[2]["val_accuracy"]) == loop.evaluate(model, batches())


def in_training(kept: list, of_inputs: bool = False):
    """A hook that keeps logits, or images, of the forward passes in train mode."""

    def hook(module, inputs, logits):
        if module.training:
            kept.append((inputs[0] if of_inputs else logits).detach().clone())

    return hook


def test_a_row_is_the_mean_over_the_examples_of_its_own_epoch():
    model, outputs = linear(), []
    model.register_forward_hook(in_training(outputs))
    train = batches(shuffle=True)
    rows = loop.fit(model, train, {}, sgd(model, 0.1), EPOCHS).history
    for epoch, row in enumerate(rows):
        logits = torch.cat(outputs[epoch * STEPS : (epoch + 1) * STEPS])
        labels = torch.cat([labels for _, labels in train.of_epoch(epoch)])
        assert row["train_loss"] == pytest.approx(cross_entropy(logits, labels).item(), rel=1e-5)
        assert row["train_accuracy"] == pytest.approx((logits.argmax(1) == labels).double().mean().item())


def test_epochs_take_the_batches_of_their_number():
    model, seen = linear(), []
    model.register_forward_hook(in_training(seen, of_inputs=True))
    train = batches(shuffle=True, seed=3, augment=crop_flip)
    loop.fit(model, train, {}, sgd(model, 0.1), 3)
    assert_same(seen, [images for epoch in range(3) for images, _ in train.of_epoch(epoch)])
    assert not torch.equal(seen[0], seen[4])


FACTORS = (0.5, 0.25, 3.0)


@pytest.mark.parametrize(
    ("by", "expected"),
    [("epoch", np.repeat(FACTORS, STEPS)), ("step", [1 / (1 + step) for step in range(STEPS * EPOCHS)])],
)
def test_schedule_multiplies_the_base_lr_of_each_group(by, expected):
    model = linear()
    weight, bias = model.parameters()
    optimizer = torch.optim.SGD([{"params": [weight], "lr": 0.1}, {"params": [bias], "lr": 0.02}])
    used = []
    optimizer.register_step_pre_hook(lambda opt, *rest: used.append([group["lr"] for group in opt.param_groups]))
    schedule = FACTORS.__getitem__ if by == "epoch" else lambda step: 1 / (1 + step)
    rows = loop.fit(model, batches(), {}, optimizer, EPOCHS, schedule=schedule, schedule_by=by).history
    np.testing.assert_allclose(used, np.outer(expected, [0.1, 0.02]), rtol=1e-12)
    np.testing.assert_allclose([row["lr"] for row in rows], 0.1 * np.array(expected)[::STEPS], rtol=1e-12)


def test_momentum_outlives_a_change_of_lr():
    torch.manual_seed(0)
    model = models.MLP((108, 10)).double()
    train = Batches(IMAGES, LABELS, 20)
    train.scale, train.shift = train.scale.double(), train.shift.double()
    model.register_forward_pre_hook(lambda module, inputs: (inputs[0].double(),))
    x = (IMAGES.permute(0, 3, 1, 2).flatten(1).float() / 255).double().numpy()
    w, b = (p.detach().numpy().copy() for p in model.parameters())
    velocity = np.zeros_like(w), np.zeros_like(b)
    loop.fit(model, train, {}, sgd(model, 0.1, momentum=0.9), EPOCHS, schedule=FACTORS.__getitem__)
    for factor in FACTORS:
        _, *gradients = softmax_gradient(w, b, x, LABELS.long().numpy())
        velocity = [0.9 * v + g for v, g in zip(velocity, gradients, strict=True)]
        w, b = (p - 0.1 * factor * v for p, v in zip((w, b), velocity, strict=True))
    np.testing.assert_allclose(model[1].weight.detach(), w, atol=1e-6)
    np.testing.assert_allclose(model[1].bias.detach(), b, atol=1e-6)


def test_probe_sees_the_gradient_of_every_third_step():
    model, gradients = linear(), []
    optimizer = sgd(model, 0.1)
    optimizer.register_step_pre_hook(lambda *rest: gradients.append(model[1].weight.grad.norm().item()))
    losses = []
    model.register_forward_hook(in_training(losses))
    progress = loop.fit(
        model, batches(), {}, optimizer, EPOCHS, probe=lambda m: {"norm": m[1].weight.grad.norm()}, probe_every=3
    )
    assert [row["step"] for row in progress.probes] == [0, 3, 6, 9]
    assert [row["norm"] for row in progress.probes] == gradients[::3]
    labels = [labels for epoch in range(EPOCHS) for _, labels in batches().of_epoch(epoch)]
    expected = [cross_entropy(losses[step], labels[step]).item() for step in (0, 3, 6, 9)]
    assert [row["loss"] for row in progress.probes] == expected
    assert {type(value) for row in progress.probes for value in row.values()} == {float}


def test_best_state_is_a_copy_of_the_first_of_the_best_by_validation(monkeypatch):
    model, states = linear(), []
    accuracies = {"val": iter([0.2, 0.5, 0.5, 0.1]), "test": iter([0.1, 0.1, 0.1, 0.9])}

    def evaluate(model, which, _):
        if which == "val":
            states.append(copy.deepcopy(dict(model.state_dict())))
        return 1.0, next(accuracies[which])

    monkeypatch.setattr(loop, "evaluate", evaluate)
    progress = loop.fit(model, batches(), {"test": "test", "val": "val"}, sgd(model, 0.1), 4)
    assert progress.best_accuracy == 0.5
    assert_same(dict(progress.best_state), states[1])
    assert_same(dict(model.state_dict()), states[3])
    assert not torch.equal(states[1]["1.weight"], states[3]["1.weight"])


def test_the_test_set_chooses_nothing():
    model = linear()
    assert loop.fit(model, batches(), {"test": batches()}, sgd(model, 0.1), 2).best_state is None


def test_divergence_carries_what_was_seen_before():
    model = linear()
    with pytest.raises(Diverged) as caught:
        loop.fit(
            *(model, batches(), {"val": batches()}, sgd(model, 0.1), 3),
            schedule=(1.0, 1e38, 1.0).__getitem__,
            probe=lambda m: {"bias": m[1].bias.detach().sum()},
            probe_every=2,
        )
    progress = caught.value.progress
    told = re.fullmatch(
        r"loss is (inf|nan) at step (\d) \(last finite (\S+) at step (\d)\); try a smaller lr than 1e\+37",
        str(caught.value),
    )
    assert STEPS < int(told[2]) <= 2 * STEPS
    assert (float(told[3]) > 0, int(told[4])) == (True, int(told[2]) - 1)
    assert "\n" not in str(caught.value)
    assert [row["epoch"] for row in progress.history] == [1]
    assert math.isfinite(progress.history[0]["val_loss"])
    assert progress.step == 2 * STEPS
    assert [row["step"] for row in progress.probes] == [0, 2, 4, 6]
    assert {type(row["bias"]) for row in progress.probes} == {float}


# --- interrupted and taken up again -----------------------------------------------------------------------------------


class Stop(Exception):
    """The power goes out."""


class Interrupted:
    """A training that stops at the nth time that it comes to a place; a new one is a new process, with other luck."""

    def __init__(self, folder, kind, seed, place="", at=-1, **options):
        torch.manual_seed(seed)
        self.model, self.at, self.place, self.count = everything(), at, place, 0
        self.optimizer = kind(self.model.parameters())
        self.optimizer.register_step_pre_hook(lambda *rest: self.comes_to("before the step"))
        self.optimizer.register_step_post_hook(lambda *rest: self.comes_to("after the step"))
        self.options = {"folder": folder, "checkpoint_every": 1, "probe": self.probe, "probe_every": 1} | options

    def comes_to(self, place):
        if place == self.place:
            self.count += 1
            if self.count > self.at:
                raise Stop

    def probe(self, model):
        self.comes_to("in the probe")
        return {"gradient": model[0].weight.grad.norm()}

    def of_epoch(self, epoch):
        self.comes_to("in the evaluation")
        return batches().of_epoch(epoch)

    labels = LABELS

    def fit(self):
        train = batches(shuffle=True, seed=5, augment=partial(crop_flip, padding=1))
        progress = loop.fit(self.model, train, {"val": self}, self.optimizer, EPOCHS, **self.options)
        history = [{name: value for name, value in row.items() if name != "seconds"} for row in progress.history]
        return {
            "model": dict(self.model.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "history": history,
            "probes": progress.probes,
            "best": [progress.best_accuracy, dict(progress.best_state)],
            "random": torch.get_rng_state(),
        }


KINDS = {
    "momentum": partial(torch.optim.SGD, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "Adam": partial(torch.optim.Adam, lr=0.01),
}
PLACES = {
    "before the step": STEPS * EPOCHS,
    "after the step": STEPS * EPOCHS,
    "in the probe": STEPS * EPOCHS,
    "in the evaluation": EPOCHS,
}
SCHEDULE = {"schedule": (1.0, 0.5, 0.1).__getitem__}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("place", PLACES)
def test_interrupted_after_any_step_and_resumed_is_the_same_bit_for_bit(tmp_path, kind, place):
    whole = Interrupted(None, kind, seed=1, **SCHEDULE).fit()
    assert len(whole["probes"]) == STEPS * EPOCHS
    for at in range(PLACES[place]):
        folder = tmp_path / str(at)
        with pytest.raises(Stop):
            Interrupted(folder, kind, 1, place, at, **SCHEDULE).fit()
        # Before the first checkpoint there is nothing to take up: the same seed starts the same run.
        resumed = Interrupted(folder, kind, seed=2 if any(folder.glob("step-*")) else 1, **SCHEDULE).fit()
        assert_same(resumed, whole, f"stopped {place} {at}")


@pytest.mark.parametrize("every", [1, 3])
def test_interrupted_again_and_again(tmp_path, every):
    whole = Interrupted(None, KINDS["momentum"], seed=1, **SCHEDULE).fit()
    for attempt in range(STEPS * EPOCHS + 1):
        run = Interrupted(tmp_path, KINDS["momentum"], 1 + attempt, "before the step", every, **SCHEDULE)
        run.options["checkpoint_every"] = every
        try:
            assert_same(run.fit(), whole)
            break
        except Stop:
            continue
    assert attempt == STEPS * EPOCHS // every - 1


def test_a_schedule_by_step_goes_on_at_its_step(tmp_path):
    used = []

    def lrs(*arguments):
        run = Interrupted(*arguments, schedule=lambda step: 1 / (1 + step), schedule_by="step")
        run.optimizer.register_step_pre_hook(lambda opt, *rest: used.append(opt.param_groups[0]["lr"]))
        return run

    with pytest.raises(Stop):
        lrs(tmp_path, KINDS["momentum"], 1, "after the step", 5).fit()
    del used[-1]  # the step that was lost
    lrs(tmp_path, KINDS["momentum"], 2).fit()
    np.testing.assert_allclose(used, [0.05 / (1 + step) for step in range(STEPS * EPOCHS)], rtol=1e-12)


def test_a_schedule_by_step_leaves_the_same_history(tmp_path):
    options = {"schedule": lambda step: 1 / (1 + step), "schedule_by": "step"}
    whole = Interrupted(None, KINDS["momentum"], 1, **options).fit()
    with pytest.raises(Stop):
        Interrupted(tmp_path, KINDS["momentum"], 1, "after the step", 5, **options).fit()
    assert_same(Interrupted(tmp_path, KINDS["momentum"], 2, **options).fit(), whole)


def test_a_finished_training_is_not_trained_again(tmp_path):
    whole = Interrupted(tmp_path, KINDS["Adam"], 1).fit()
    assert_same(Interrupted(tmp_path, KINDS["Adam"], 2, "before the step", 0).fit(), whole)


def test_more_epochs_than_before_go_on_from_there(tmp_path):
    whole = Interrupted(None, KINDS["Adam"], 1).fit()
    first = Interrupted(tmp_path, KINDS["Adam"], 1)
    train = batches(shuffle=True, seed=5, augment=partial(crop_flip, padding=1))
    loop.fit(first.model, train, {"val": first}, first.optimizer, 1, **first.options)
    assert_same(Interrupted(tmp_path, KINDS["Adam"], 2).fit(), whole)


def test_checkpoints_are_written_when_they_are_due(tmp_path):
    def steps(name, **options):
        model = linear()
        loop.fit(model, batches(), {}, sgd(model, 0.1), 2, folder=tmp_path / name, **options)
        return sorted(int(path.name[5:14]) for path in (tmp_path / name).glob("step-*"))

    assert steps("each epoch") == [4, 8]
    assert steps("never", checkpoint_seconds=1e9) == []
    assert steps("by step", checkpoint_seconds=1e9, checkpoint_every=3) == [3, 6]


def test_evaluate_leaves_every_layers_mode_also_after_an_error():
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(12), nn.Dropout(), nn.Linear(12, 3)).train()
    model[1].eval()  # frozen, as for fine-tuning
    images = torch.zeros(4, 2, 2, 3, dtype=torch.uint8)
    loop.evaluate(model, Batches(images, torch.zeros(4, dtype=torch.uint8), 2))
    assert [layer.training for layer in model] == [True, False, True, True]
    with pytest.raises(IndexError, match="out of bounds"):
        loop.evaluate(model, Batches(images, torch.full((4,), 7, dtype=torch.uint8), 2))
    assert [layer.training for layer in model] == [True, False, True, True]


def test_evaluate_divides_by_what_it_saw():
    images, labels = torch.zeros(5, 2, 2, 3, dtype=torch.uint8), torch.zeros(5, dtype=torch.uint8)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    whole = loop.evaluate(model, Batches(images, labels, 2))
    assert loop.evaluate(model, Batches(images, labels, 2, drop_last=True)) == pytest.approx(whole)


# --- before the first step, and at a signal ---------------------------------------------------------------------------


def some(labels, batch_size, drop_last=False):
    images = torch.zeros(len(labels), 2, 2, dtype=torch.uint8)
    return Batches(images, torch.tensor(labels), batch_size, drop_last=drop_last)


@pytest.mark.parametrize(("label", "index"), [(3, 2), (-1, 0), (-100, 4)])
def test_labels_without_a_logit_are_refused_before_training(label, index):
    labels = [0, 1, 2, 0, 1]
    labels[index] = label
    model = models.MLP((4, 3))
    with pytest.raises(DataError, match=rf"labels must be 0\.\.2; found {label} at index {index}"):
        loop.fit(model, some(labels, 2), {}, sgd(model, 0.1), 1)


def test_a_batch_of_one_with_batch_norm_is_refused_before_training():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.BatchNorm1d(3)).train()
    for labels, size in (([0, 1, 2, 0, 1], 4), ([0, 1], 1)):
        with pytest.raises(DataError, match="1 example, too few for BatchNorm: use drop_last=True or another batch"):
            loop.fit(model, some(labels, size), {}, sgd(model, 0.1), 1)
    loop.fit(model, some([0, 1, 2, 0, 1], 4, drop_last=True), {}, sgd(model, 0.1), 1)
    plain = models.MLP((4, 3))
    loop.fit(plain, some([0, 1, 2, 0, 1], 4), {}, sgd(plain, 0.1), 1)


def test_the_check_leaves_model_and_random_state_alone():
    model = everything().train()
    before = copy.deepcopy(model.state_dict())
    state = torch.get_rng_state()
    loop.check(model, batches())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(layer.training for layer in model.modules())


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_a_signal_ends_the_training_at_the_next_step_with_a_checkpoint(tmp_path, number, error):
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

    def at_step_five(model):
        if len(seen) == 5:
            signal.raise_signal(number)
        seen.append(0)
        return {}

    torch.manual_seed(0)
    whole, model, again = (everything() for _ in range(3))
    model.load_state_dict(whole.state_dict())
    again.load_state_dict(whole.state_dict())
    torch.manual_seed(1)
    expected = loop.fit(whole, batches(), {}, sgd(whole, 0.1), 3)
    seen = []
    torch.manual_seed(1)
    with pytest.raises(error) as caught:
        loop.fit(model, batches(), {}, sgd(model, 0.1), 3, probe=at_step_five, probe_every=1, folder=tmp_path)
    assert getattr(caught.value, "code", None) == (143 if error is SystemExit else None)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    run = loop.fit(again, batches(), {}, sgd(again, 0.1), 3, folder=tmp_path)
    assert [row["train_loss"] for row in run.history] == [row["train_loss"] for row in expected.history]
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    assert checkpoint.load(tmp_path)["progress"]["step"] == 12


def test_a_second_ctrl_c_ends_it_at_once(tmp_path):
    with checkpoint.Stop(tmp_path) as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.asked == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        stop.asked = 0


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_what_is_asked_for_after_the_last_step_is_not_lost(tmp_path, number, error):
    handler = signal.getsignal(number)
    with pytest.raises(error), checkpoint.Stop(tmp_path):
        signal.raise_signal(number)
    assert signal.getsignal(number) == handler


def test_a_run_that_has_diverged_leaves_no_checkpoint(tmp_path):
    model = everything()
    optimizer = sgd(model, 0.1)
    checkpoint.write(tmp_path, model, optimizer, checkpoint.Progress(step=1, totals=torch.tensor([2.0, 1.0, 4.0])))
    checkpoint.write(
        tmp_path, model, optimizer, checkpoint.Progress(step=2, totals=torch.tensor([torch.nan, 1.0, 8.0]))
    )
    assert checkpoint.load(tmp_path)["progress"]["step"] == 1


def test_signals_are_left_alone_without_a_folder_or_in_a_thread(tmp_path):
    handlers = [signal.getsignal(signal.SIGINT)]

    def inside(folder):
        with checkpoint.Stop(folder):
            handlers.append(signal.getsignal(signal.SIGINT))

    inside(None)
    thread = threading.Thread(target=inside, args=(tmp_path,))
    thread.start()
    thread.join()
    assert len(set(handlers)) == 1


def fitted(folder, epochs, schedule=None, size=6, by="epoch", **options):
    model = linear()
    train = Batches(IMAGES, LABELS, size, **options)
    return loop.fit(model, train, {}, sgd(model, 0.1), epochs, folder=folder, schedule=schedule, schedule_by=by)


COSINE = partial(schedules.cosine, total=4)
OTHERS = {
    "batch size": (dict(size=10), "batch_size 6 -> 10"),
    "order": (dict(shuffle=True), "shuffle False -> True"),
    "seed": (dict(seed=3), "seed 0 -> 3"),
    "rest": (dict(drop_last=True), "drop_last False -> True"),
    "no schedule": (dict(schedule=None), "lr of epoch 2 0.08536 -> 0.1"),
    "another schedule": (dict(schedule=partial(schedules.step, step_size=1)), "lr of epoch 2 0.08536 -> 0.05"),
    "a longer one": (dict(schedule=partial(schedules.cosine, total=8)), "lr of epoch 2 0.08536 -> 0.09619"),
    "by step": (dict(by="step"), "lr of epoch 2 0.08536 -> 0"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_a_training_of_other_settings_is_refused_and_says_which(tmp_path, kind):
    options, said = OTHERS[kind]
    fitted(tmp_path, 2, COSINE)
    with pytest.raises(StorageError, match=r"belongs to another run: .*; use another folder or delete it") as caught:
        fitted(tmp_path, 4, **{"schedule": COSINE} | options)
    assert said in str(caught.value)
    assert len(list(tmp_path.glob("step-*.pt"))) == 2, "they are left as they are"


def test_the_same_settings_in_other_words_go_on(tmp_path):
    fitted(tmp_path, 2, COSINE)
    rows = fitted(tmp_path, 4, lambda epoch: schedules.cosine(epoch, 4)).history
    assert [row["lr"] for row in rows] == pytest.approx([0.1 * schedules.cosine(epoch, 4) for epoch in range(4)])


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        (lambda epoch: schedules.warmup_cosine(epoch, 5, 5), "no learning rate at 5: .*zero"),
        (lambda epoch: math.nan if epoch == 6 else 1, "no learning rate at 6: nan; expected a number ≥ 0"),
        (lambda epoch: 1 - epoch, "no learning rate at 2: -1; expected"),
        (lambda epoch: [1, 0.5][epoch], "no learning rate at 2: list index out of range"),
        (lambda epoch: schedules.cosine_restarts(epoch, 0), "period is 0 and mult 1; both must be at least 1"),
        (lambda epoch: schedules.cosine_restarts(epoch, 4, 0.5), "period is 4 and mult 0.5; both"),
    ],
)
def test_a_schedule_that_ends_too_early_is_refused_before_the_first_step(schedule, said):
    model = linear()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(UsageError, match=said):
        loop.fit(model, batches(), {}, sgd(model, 0.1), 7, schedule=schedule)
    assert_same(dict(model.state_dict()), dict(before))
