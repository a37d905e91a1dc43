import math
import statistics
import time
from collections import OrderedDict
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from coursekit import models, settings
from coursekit.data import batches, datasets, drawn
from coursekit.data.augment import crop_flip
from coursekit.data.batches import Batches, Splits
from coursekit.errors import StorageError, UsageError
from coursekit.runs import experiment, store
from coursekit.runs.experiment import Experiment, run
from coursekit.runs.sweeps import sweep
from coursekit.training import checkpoint, loop, penalties, schedules


@pytest.fixture(autouse=True)
def _few_images(monkeypatch):
    monkeypatch.setenv("COURSEKIT_PROFILE", "sample")
    monkeypatch.setitem(drawn.ARRAYS, "mnist", few_digits)
    monkeypatch.setitem(drawn.ARRAYS, "cifar10", few_shapes)


def few_digits():
    return drawn.digits(200, 50)


def few_shapes():
    return drawn.shapes(200, 50)


BASE = Experiment(
    model=partial(models.MLP, (784, 8, 10), dropout=0.2),
    optimizer=partial(torch.optim.SGD, lr=0.1, momentum=0.9),
    data="mnist",
    epochs=2,
    batch_size=64,
)
COLOUR = replace(BASE, model=partial(models.MLP, (3072, 10)), data="cifar10")


def falling(count):
    return 0.5**count


@pytest.fixture
def trainings(monkeypatch):
    """How often something was trained."""
    calls = []
    train = experiment.train_and_keep

    def counted(experiments, names, **options):
        calls.extend(experiments)
        return train(experiments, names, **options)

    monkeypatch.setattr(experiment, "train_and_keep", counted)
    return calls


def untimed(result) -> tuple:
    rows = [{name: value for name, value in row.items() if name != "seconds"} for row in result.history]
    return result.key, result.status, rows, result.probes, result.metrics


# --- replay -----------------------------------------------------------------------------------------------------------


def test_the_second_call_is_replayed_and_equal(trainings):
    first = run(BASE, "a name")
    second = run(replace(BASE))
    assert len(trainings) == 1
    assert (first.replayed, second.replayed) == (False, True)
    assert second == first
    assert (first.status, first.name, len(first.history)) == ("ok", "a name", 2)
    assert [path.name for path in store.folder().rglob("*.json")] == [f"a-name-seed0-{first.key[:8]}.json"]


def test_a_replay_takes_less_than_50_ms():
    run(BASE)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        assert run(BASE).replayed
        seconds.append(time.perf_counter() - start)
    assert statistics.median(seconds) < 0.05


def test_a_replay_needs_no_data(monkeypatch):
    first = run(BASE)
    monkeypatch.setattr(datasets, "load", None)
    assert run(BASE) == first


@pytest.mark.parametrize(
    "change",
    [
        {"optimizer": partial(torch.optim.SGD, lr=0.2, momentum=0.9)},
        {"model": partial(models.MLP, (784, 9, 10), dropout=0.2)},
        {"batch_size": 63},
        {"initialization": "he"},
        {"seed": 1},
        {"train_size": 100},
        {"pixels": "raw"},
        {"penalty": partial(penalties.l1, strength=0.01)},
        {"schedule": falling},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_changed_hyper_parameter_trains_again_and_tells(change, trainings):
    first, second = run(BASE), run(replace(BASE, **change))
    assert len(trainings) == 2
    assert not second.replayed
    assert first.key != second.key
    assert first.history[-1]["train_loss"] != second.history[-1]["train_loss"]


def test_a_schedule_by_step_is_one():
    by_epoch, by_step = (run(replace(BASE, schedule=falling, schedule_by=by)) for by in ("epoch", "step"))
    assert [row["lr"] for row in by_epoch.history] == pytest.approx([0.1, 0.05])
    assert [row["lr"] for row in by_step.history] == pytest.approx([0.1, 0.1 * 0.5**4])


def test_other_data_train_again(trainings, monkeypatch):
    run(BASE)
    monkeypatch.setitem(drawn.ARRAYS, "mnist", lambda: drawn.digits(190, 50))
    assert not run(BASE).replayed


def test_data_that_are_not_the_published_ones_have_a_run_of_their_own(trainings, monkeypatch):
    """A cached copy with another checksum than expected: neither the published run nor none at all."""
    monkeypatch.setattr(datasets, "expected_sha256", lambda name: "published")
    first, second = run(BASE), run(BASE)
    assert (first.replayed, second.replayed, len(trainings)) == (False, True, 1)
    assert first.provenance["data_sha256"] == datasets.load("mnist", "sample").sha256


def test_refresh_trains_again(trainings):
    first = run(BASE)
    again = run(BASE, refresh=True)
    assert len(trainings) == 2
    assert not again.replayed
    assert untimed(again) == untimed(first)


def test_a_damaged_result_trains_again(trainings, capsys):
    first = run(BASE)
    [path] = store.folder().rglob("*.json")
    path.write_bytes(path.read_bytes()[:-20])
    assert untimed(run(BASE)) == untimed(first)
    assert len(trainings) == 2
    assert "is damaged" in capsys.readouterr().err


def test_same_seed_same_result_whatever_happened_before():
    everything = replace(
        BASE,
        model=partial(models.SimpleNN, batch_norm=True),
        data="cifar10",
        epochs=1,
        augment=crop_flip,
        validation=2,
        probe=first_weight,
        probe_every=1,
        measure=size_of_weights,
    )
    first = run(everything)
    torch.manual_seed(12345)
    torch.rand(7)
    assert untimed(run(everything, refresh=True)) == untimed(first)
    assert untimed(run(replace(everything, seed=1)))[2:] != untimed(first)[2:]


def test_provenance():
    result = run(BASE)
    dataset = datasets.load("mnist", "sample")
    made = result.provenance
    assert (made["source"], made["data_sha256"], made["profile"]) == (dataset.source, dataset.sha256, "sample")
    assert (made["device"], made["torch"]) == (settings.device_name(), torch.__version__)
    assert made["seconds"] >= result.history[-1]["seconds"] > 0
    assert result.experiment["model"] == {"call": "MLP", "sizes": [784, 8, 10], "dropout": 0.2}


@pytest.mark.parametrize("change", [{"pixels": "gray"}, {"precision": "half"}, {"schedule_by": "week"}])
def test_unknown_words_are_refused_before_a_training_that_is_asked_for_again(change, trainings):
    for train in (partial(run, refresh=True), lambda one: sweep({"it": one}, [0], refresh=True)):
        with pytest.raises(UsageError, match=f"{next(iter(change.values()))!r}"):
            train(replace(BASE, **change))
    assert not list(store.folder().glob("running/*"))


OUT_OF_RANGE = [
    dict(epochs=0),
    dict(epochs=-1),
    dict(epochs=2.5),
    dict(epochs=True),
    dict(batch_size=0),
    dict(seed=-1),
    dict(train_size=-5),
    dict(train_size=0),
    dict(validation=-1),
    dict(validation=100_000),
    dict(probe_every=0),
    dict(classes=(1,)),
    dict(classes=(1, 1)),
    dict(classes=(1, 12)),
    dict(label_smoothing=-1),
    dict(label_smoothing=1.0),
    dict(initialization="zeros"),
    dict(schedule_by="batch"),
]


@pytest.mark.parametrize("setting", OUT_OF_RANGE, ids=str)
def test_a_setting_out_of_its_range_is_refused_before_anything_is_loaded(setting):
    [name] = setting
    with pytest.raises(UsageError, match=rf"^invalid {name} .*; (expected|a class of mnist has 5421)"):
        replace(BASE, **setting)


@pytest.mark.parametrize(
    "schedule",
    [
        partial(schedules.cosine_restarts, period=0),
        partial(schedules.warmup_cosine, warmup=5, total=5),
        partial(schedules.cosine, total=-3),
        partial(schedules.step, gamma=-1),
        schedules.cosine,
    ],
    ids=["period", "warmup", "total", "gamma", "missing"],
)
def test_a_schedule_out_of_range_is_refused_before_the_first_step(schedule):
    with pytest.raises(UsageError, match=r"^(CosineRestarts|WarmupCosine|CosineDecay|StepDecay): "):
        replace(BASE, schedule=schedule)


def test_unknown_pixels_are_refused():
    with pytest.raises(UsageError, match="invalid pixels 'gray'; expected one of unit, standard, raw"):
        run(replace(BASE, pixels="gray"))


# --- divergence -------------------------------------------------------------------------------------------------------


def test_a_diverged_run_is_stored_and_replayed_as_diverged(trainings):
    wild = replace(BASE, optimizer=partial(torch.optim.SGD, lr=1e30), probe=first_weight, probe_every=1)
    first, second = run(wild), run(wild)
    assert len(trainings) == 1
    assert (first.status, second.status, second.replayed) == ("diverged", "diverged", True)
    assert (first.metrics, first.history) == ({}, [])
    assert second.history == []
    assert [row["step"] for row in second.probes] == [0, 1, 2, 3]


def test_a_diverged_run_has_no_weights_to_keep_and_is_replayed_all_the_same():
    wild = replace(BASE, optimizer=partial(torch.optim.SGD, lr=1e30), keep_weights=True)
    assert [run(wild).replayed for _ in range(2)] == [False, True]


def test_history_up_to_the_divergence_is_kept():
    result = run(replace(BASE, schedule=explode, epochs=3))
    assert (result.status, result.metrics) == ("diverged", {})
    assert [row["epoch"] for row in result.history] == [1]


def test_a_run_that_explodes_in_its_very_last_step_is_no_success():
    last_step = replace(BASE, optimizer=partial(torch.optim.SGD, lr=1e38), epochs=1, batch_size=200)
    result = run(last_step)
    assert math.isfinite(result.history[0]["train_loss"]), "the loss was taken before the step"
    assert (result.status, result.metrics) == ("diverged", {})
    assert run(last_step).status == "diverged"


def explode(epoch):
    return (1, 1e38, 1)[epoch]


# --- protocol ---------------------------------------------------------------------------------------------------------


def split(**changes) -> Splits:
    changed = replace(COLOUR, **changes)
    return experiment._split(changed, datasets.load(changed.data, "sample"), torch.device("cpu"))


def pixels_of(found: Batches) -> torch.Tensor:
    """All images as a run without normalisation would see them, on [0, 255]: (N, C, H, W)."""
    return found.images.permute(0, 3, 1, 2).float()


def rows(found: Batches) -> list[bytes]:
    return [image.numpy().tobytes() for image in found.images]


def test_validation_is_disjoint_stratified_and_the_same_for_every_seed():
    train, validation, test, train_again = split(validation=2, seed=0)
    assert torch.bincount(validation.labels).tolist() == [2] * 10
    assert torch.bincount(train.labels).tolist() == [18] * 10
    assert not set(rows(train)) & set(rows(validation))
    assert set(rows(train)) | set(rows(validation)) == set(rows(split()[0]))
    assert rows(train_again) == rows(train)
    assert not set(rows(test)) & (set(rows(train)) | set(rows(validation)))
    assert rows(split(validation=2, seed=7)[1]) == rows(validation)


def test_a_small_data_set_gives_up_half_of_each_class():
    assert len(split(validation=500)[1].labels) == 100


def test_train_size_takes_the_first_of_the_training_split():
    train, validation, _, train_again = split(validation=2, train_size=50)
    assert rows(train) == rows(train_again) == rows(split(validation=2)[0])[:50]
    assert len(validation.labels) == 20


def test_statistics_are_those_of_the_training_split_alone():
    train, validation, test, train_again = split(validation=2, train_size=50, pixels="standard")
    pixels = pixels_of(train).double() / 255
    mean, std = pixels.mean((0, 2, 3)), pixels.std((0, 2, 3), correction=0)
    for found in (train_again, validation, test):
        images, _ = next(found.of_epoch(0))
        expected = (pixels_of(found).double() / 255 - mean[:, None, None]) / std[:, None, None]
        torch.testing.assert_close(images.double(), expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(train.scale, test.scale)
    assert torch.equal(train.shift, test.shift)
    everything = batches.channel_statistics(datasets.load("cifar10", "sample").train_images)[0]
    assert not torch.allclose(everything, mean.float(), atol=1e-3), "else the test could not tell"


@pytest.mark.parametrize(("pixels", "low", "high"), [("unit", 0, 1), ("raw", 0, 255)])
def test_pixels(pixels, low, high):
    images, _ = next(split(pixels=pixels)[2].of_epoch(0))
    assert (images.min().item(), images.max().item()) == pytest.approx((low, high), abs=high / 50)
    torch.testing.assert_close(images, pixels_of(split()[2]) * (high / 255))


def test_only_training_batches_are_augmented_and_shuffled():
    train, validation, test, train_again = split(validation=2, augment=crop_flip)
    assert train.augment is crop_flip
    assert train.shuffle
    for found in (validation, test, train_again):
        images, labels = (torch.cat(part) for part in zip(*found.of_epoch(3), strict=True))
        torch.testing.assert_close(images, pixels_of(found) / 255)
        assert torch.equal(labels, found.labels)
    images, _ = next(train.of_epoch(0))
    assert not any(torch.equal(images[0], image / 255) for image in pixels_of(train))


def test_the_seed_of_the_run_shuffles():
    first, same, other = (split(seed=seed)[0] for seed in (3, 3, 4))
    labels = [torch.cat([y for _, y in found.of_epoch(0)]).tolist() for found in (first, same, other)]
    assert labels[0] == labels[1] != labels[2]


def test_the_test_set_is_watched_on_demand_only():
    names = {"epoch", "step", "lr", "train_loss", "train_accuracy", "seconds"}
    assert set(run(BASE).history[0]) == names
    watched = run(replace(BASE, watch_test=True))
    assert set(watched.history[0]) == names | {"test_loss", "test_accuracy"}
    assert watched.history[-1]["test_loss"] == watched.metrics["test_loss"]
    assert watched.history[-1]["test_accuracy"] == watched.metrics["test_accuracy"]
    assert untimed(watched)[4] == untimed(run(BASE))[4], "watching changes nothing"


def rebuilt(wanted: Experiment) -> tuple[nn.Module, checkpoint.Progress]:
    """The model after its training, by the steps of `training` alone."""
    torch.manual_seed(wanted.seed)
    model = wanted.model()
    train, validation, *_ = experiment._split(wanted, datasets.load(wanted.data, "sample"), "cpu")
    optimizer = wanted.optimizer(model.parameters())
    return model, loop.fit(
        model, train, {"val": validation} if validation else {}, optimizer, wanted.epochs, schedule=wanted.schedule
    )


def worse_at_last(epoch):
    return (1, 1, 1, 30)[epoch]


def test_metrics_are_those_of_the_last_weights_in_eval_mode():
    result = run(BASE)
    model, _ = rebuilt(BASE)
    dataset = datasets.load("mnist", "sample")
    for name in ("train", "test"):
        images, labels = getattr(dataset, f"{name}_images"), getattr(dataset, f"{name}_labels").long()
        logits = model.eval()(images[:, None].float() / 255)
        loss = nn.functional.cross_entropy(logits, labels).item()
        assert result.metrics[f"{name}_loss"] == pytest.approx(loss, rel=1e-5)
        assert result.metrics[f"{name}_accuracy"] == pytest.approx((logits.argmax(1) == labels).double().mean().item())
    assert result.metrics["train_loss"] != result.history[-1]["train_loss"], "that one ran with dropout"
    assert set(result.metrics) == {"train_loss", "train_accuracy", "test_loss", "test_accuracy"}


def test_best_metrics_are_those_of_the_best_weights_by_validation():
    wavering = replace(BASE, validation=2, epochs=4, schedule=worse_at_last)
    result = run(wavering)
    model, progress = rebuilt(wavering)
    accuracies = [row["val_accuracy"] for row in result.history]
    assert max(accuracies) > accuracies[-1], "else the test could not tell"
    model.load_state_dict(progress.best_state)
    test = split(data="mnist")[2]
    loss, accuracy = loop.evaluate(model, test)
    assert result.metrics["best_test_loss"] == pytest.approx(loss, rel=1e-5)
    assert result.metrics["best_test_accuracy"] == pytest.approx(accuracy)
    assert result.metrics["best_test_loss"] != result.metrics["test_loss"]


def test_of_epochs_that_are_equally_good_the_first_is_tested():
    slow = replace(BASE, validation=2, watch_test=True, optimizer=partial(torch.optim.SGD, lr=1e-3))
    result = run(slow)
    first, last = result.history
    assert first["val_accuracy"] == last["val_accuracy"], "else the test could not tell"
    assert result.metrics["best_test_loss"] == first["test_loss"] != last["test_loss"]


@pytest.mark.parametrize(("epochs", "tests"), [(1, 1), (4, 2)])
def test_last_weights_that_are_the_best_are_not_tested_again(monkeypatch, epochs, tests):
    evaluate, counts = loop.evaluate, []

    def counted(model, batches, *loss):
        counts.append(len(batches.labels))
        return evaluate(model, batches, *loss)

    monkeypatch.setattr(loop, "evaluate", counted)
    metrics = run(replace(BASE, validation=2, epochs=epochs, schedule=worse_at_last)).metrics
    assert counts.count(50) == tests
    assert (metrics["best_test_loss"] == metrics["test_loss"]) == (tests == 1)


def first_weight(model):
    return {"weight": model[0].weight.detach().mean() if hasattr(model[0], "weight") else torch.zeros(())}


def size_of_weights(model):
    return {"sum": float(sum(p.detach().abs().sum() for p in model.parameters()))}


def test_measure_and_probe_are_kept():
    result = run(replace(BASE, measure=size_of_weights, probe=first_weight, probe_every=3))
    model, _ = rebuilt(BASE)
    assert result.metrics["sum"] == pytest.approx(size_of_weights(model)["sum"], rel=1e-5)
    assert [row["step"] for row in result.probes] == [0, 3, 6]


# --- sweeps -----------------------------------------------------------------------------------------------------------


def test_a_sweep_has_a_result_for_each_variant_and_seed(capsys, trainings):
    variants = {"plain": BASE, "tanh": replace(BASE, model=partial(models.MLP, (784, 8, 10), "tanh"))}
    found = sweep(variants, (3, 5))
    assert list(found) == ["plain", "tanh"]
    assert {len(row) for row in found.values()} == {2}
    assert [result.experiment["seed"] for result in found["tanh"]] == [3, 5]
    assert len({result.key for row in found.values() for result in row}) == 4
    assert found["plain"][1] == run(replace(BASE, seed=5))
    assert found["plain"][1].name == "plain"
    device = settings.device_name()
    text = capsys.readouterr().out
    assert text.startswith(f"4 runs made on {device}: 0 replayed from the results store; 4 trained in ")
    assert text.endswith(" s\n")

    assert sweep(variants, range(3, 6, 2)) == found
    assert capsys.readouterr().out == f"4 runs made on {device}: 4 replayed from the results store\n"
    sweep(variants, [3, 4])
    assert "2 replayed from the results store; 2 trained in " in capsys.readouterr().out
    assert len(trainings) == 6
    assert not any(result.replayed for row in sweep(variants, [3], refresh=True).values() for result in row)


def test_a_sweep_says_what_diverged(capsys):
    variants = {"wild": replace(BASE, optimizer=partial(torch.optim.SGD, lr=1e30)), "tame": BASE}
    for _ in range(2):
        assert [row[0].status for row in sweep(variants, [0]).values()] == ["diverged", "ok"]
        assert capsys.readouterr().out.endswith("; 1 diverged\n")


# --- cut off and taken up ---------------------------------------------------------------------------------------------


def test_a_run_that_is_cut_off_goes_on_and_leaves_the_same_result(monkeypatch):
    longer = replace(BASE, epochs=4, validation=2)
    whole = run(longer)
    monkeypatch.setenv("COURSEKIT_RESULTS", str(store.folder().with_name("other")))
    monkeypatch.setattr(experiment, "CHECKPOINT_SECONDS", 0)
    steps, write = [], checkpoint.write

    def cut_off(folder, model, optimizer, progress, *more):
        write(folder, model, optimizer, progress, *more)
        steps.append(progress.step)
        if len(steps) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "write", cut_off)
    with pytest.raises(KeyboardInterrupt):
        run(longer)
    assert list((store.folder() / "running").iterdir())
    assert not list(store.folder().rglob("*.json"))
    result = run(longer)
    assert steps == [3, 6, 9, 12], "two epochs before, two after"
    assert untimed(result) == untimed(whole)
    assert not list((store.folder() / "running").iterdir())


def test_on_a_full_disk_the_checkpoints_stay(monkeypatch, capsys):
    def full(*_):
        raise StorageError("no space left")

    monkeypatch.setattr(store, "save", full)
    monkeypatch.setattr(experiment, "CHECKPOINT_SECONDS", 0)  # else a run this short may end without one
    kept = run(replace(BASE, keep_weights=True))
    assert kept.status == "ok"
    assert "not kept: no space left" in capsys.readouterr().err
    assert list((store.folder() / "running").glob("*/step-*.pt"))


@pytest.mark.parametrize("choice", [{"fused": False}, {"foreach": True}])
def test_an_optimizer_that_says_how_it_steps_is_taken_at_its_word(choice):
    _, optimizer = experiment._begin(
        replace(BASE, optimizer=partial(torch.optim.Adam, lr=0.1, **choice)), torch.device("cpu")
    )
    assert {name: optimizer.defaults[name] for name in choice} == choice
    assert bool(optimizer.defaults["fused"]) is False


def test_layers_with_names_keep_them_and_a_forward_of_its_own_is_used():
    assert run(replace(BASE, model=named, validation=3)).status == "ok"
    own = run(replace(BASE, model=SteeperMLP, epochs=1))
    plain = run(replace(BASE, model=partial(models.MLP, (784, 8, 10)), epochs=1))
    assert own.history[0]["train_loss"] != plain.history[0]["train_loss"]


def named():
    layers = {"flat": nn.Flatten(), "fc": nn.Linear(784, 10), "relu": nn.ReLU()}
    return nn.Sequential(OrderedDict(layers))


class SteeperMLP(models.MLP):
    def __init__(self):
        super().__init__((784, 8, 10))

    def forward(self, x):
        return 10 * super().forward(x)


def test_nothing_but_the_result_is_left_behind():
    run(BASE)
    run(replace(BASE, optimizer=partial(torch.optim.SGD, lr=1e30)))
    left = [path for path in store.folder().rglob("*") if path.is_file()]
    assert len(left) == 2
    assert {path.suffix for path in left} == {".json"}
