"""Runs that a sweep trains together are the runs trained one by one, in everything that is kept of them."""

import signal
import time
from dataclasses import replace
from functools import partial

import pytest
import torch

from coursekit import models, settings
from coursekit.data import drawn
from coursekit.data.augment import crop_flip
from coursekit.errors import Diverged, UsageError
from coursekit.runs import experiment, store, sweeps
from coursekit.runs.experiment import Experiment
from coursekit.runs.sweeps import Runs, sweep
from coursekit.training import checkpoint, loop, penalties

SGD, ADAM = torch.optim.SGD, torch.optim.Adam
BASE = Experiment(
    model=partial(models.MLP, (3072, 16, 10)),
    optimizer=partial(SGD, lr=0.02),
    data="cifar10",
    epochs=2,
    batch_size=32,
    validation=3,
)


@pytest.fixture(autouse=True)
def _few_images(monkeypatch):
    monkeypatch.setenv("COURSEKIT_PROFILE", "sample")
    monkeypatch.setitem(drawn.ARRAYS, "cifar10", partial(drawn.shapes, 150, 50))


def falling(epoch):
    return 0.5**epoch


def first_layer(model):
    return {"norm": next(model.parameters()).grad.norm()}


def of_weights(model):
    return {"sum": float(sum(p.detach().double().sum() for p in model.parameters()))}


VARIANTS = {
    "plain": BASE,
    "Adam": replace(BASE, optimizer=partial(ADAM, lr=1e-3, weight_decay=1e-2)),
    "schedule": replace(BASE, schedule=falling),
    "by step": replace(BASE, schedule=falling, schedule_by="step"),
    "L1": replace(BASE, penalty=partial(penalties.l1, strength=1e-3)),
    "probe": replace(BASE, probe=first_layer, probe_every=2),
    "watched": replace(BASE, watch_test=True, measure=of_weights),
}


def assert_alike(together: store.Result, alone: store.Result, stacked: int) -> None:
    assert (together.key, together.name, together.status) == (alone.key, alone.name, alone.status)
    assert (len(together.provenance["stacked"]), alone.provenance["stacked"]) == (stacked, [])
    assert together.key[:8] in together.provenance["stacked"]
    assert together.experiment == alone.experiment
    for kept in ("history", "probes"):
        for row, other in zip(getattr(together, kept), getattr(alone, kept), strict=True):
            assert without(row) == pytest.approx(without(other), rel=2e-3, abs=1e-5)
    assert together.metrics == pytest.approx(alone.metrics, rel=2e-3, abs=1e-4)


def without(row: dict, name: str = "seconds") -> dict:
    return {key: value for key, value in row.items() if key != name}


@pytest.mark.parametrize("seeds", [[0], [0, 1]], ids=["one seed", "two seeds"])
def test_every_kind_of_run_is_the_same_in_company(seeds):
    found = sweep(VARIANTS, seeds)
    for name, one in VARIANTS.items():
        for seed, result in zip(seeds, found[name], strict=True):
            alone = experiment.run(replace(one, seed=seed), name, refresh=True)
            assert_alike(result, alone, len(VARIANTS))


@pytest.mark.parametrize(
    "changes",
    [
        dict(model=models.LeNet5, augment=crop_flip, pixels="standard"),
        dict(model=partial(models.SimpleNN, True), epochs=1),
        dict(label_smoothing=0.1, classes=(1, 5, 7), train_size=40),
        dict(initialization="he", model=models.mlp2),
    ],
    ids=["LeNet5", "BatchNorm", "classes", "initialization"],
)
def test_seeds_with_images_of_their_own_are_the_same_in_company(changes):
    one = replace(BASE, **changes)
    for seed, result in enumerate(sweep({"it": one}, range(3))["it"]):
        assert_alike(result, experiment.run(replace(one, seed=seed), "it", refresh=True), 3)


def test_a_run_that_diverges_stays_alone_with_it(capsys):
    variants = {"wild": replace(BASE, optimizer=partial(SGD, lr=1e25), epochs=3), "calm": replace(BASE, epochs=3)}
    found = sweep(variants, [0])
    assert (found["wild"][0].status, found["wild"][0].metrics) == ("diverged", {})
    assert "1 diverged" in capsys.readouterr().out
    assert_alike(found["calm"][0], experiment.run(variants["calm"], "calm", refresh=True), 2)
    both = sweep({name: replace(one, optimizer=partial(SGD, lr=1e25)) for name, one in variants.items()}, [0])
    assert {result.status for row in both.values() for result in row} == {"diverged"}


@pytest.mark.parametrize("seeds", [[0], [0, 1]], ids=["one seed", "two seeds"])
def test_the_others_go_on_with_their_own_batches_after_one_diverged(seeds):
    longer = {name: replace(VARIANTS[name], epochs=4) for name in ("plain", "Adam", "by step")}
    found = sweep(longer | {"wild": replace(BASE, optimizer=partial(SGD, lr=1e25), epochs=4)}, seeds)
    for number, seed in enumerate(seeds):
        assert len(found["wild"][number].history) < 3
        for name, one in longer.items():
            alone = experiment.run(replace(one, seed=seed), name, refresh=True)
            assert_alike(
                found[name][number], alone, 4 if len(seeds) == 1 else len(found[name][number].provenance["stacked"])
            )


def test_a_stack_stopped_with_a_diverged_run_in_it_diverges_again(monkeypatch):
    """Stopped in the epoch in which one of two has diverged; taken up, both end as they would have ended."""
    variants = {"fine": BASE, "wild": replace(BASE, optimizer=partial(SGD, lr=1e30))}
    whole = sweep(variants, [0], refresh=True)
    monkeypatch.setenv("COURSEKIT_RESULTS", str(store.folder() / "again"))
    step = loop.Journal.after_step

    def asked(journal, loss, totals):
        step(journal, loss, totals)
        if journal.progress.step == len(journal.train) and not torch.isfinite(totals[0]):
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(loop.Journal, "after_step", asked)
    with pytest.raises(KeyboardInterrupt):
        sweep(variants, [0])
    monkeypatch.setattr(loop.Journal, "after_step", step)
    again = sweep(variants, [0])
    assert (again["wild"][0].status, whole["wild"][0].status) == ("diverged", "diverged")
    assert again["fine"][0].metrics == pytest.approx(whole["fine"][0].metrics, rel=2e-3, abs=1e-4)


def test_augmentations_of_one_name_are_not_trained_together():
    def made(padding):
        def shifted(images, generator, padding=padding):
            return images.roll(padding, 3)

        return shifted

    few, more = (replace(BASE, augment=made(padding)) for padding in (0, 4))
    assert sweeps._kind(BASE) == sweeps._kind(replace(BASE))
    assert sweeps._kind(few) != sweeps._kind(more)


@pytest.mark.parametrize("setting", [{"ceil_mode": True}, {"count_include_pad": False}])
def test_what_a_layer_does_not_print_keeps_runs_apart(setting):
    pooled = partial(_pooled, **setting)
    one, other = (replace(BASE, model=model) for model in (_pooled, pooled))
    assert str(one.model()) == str(other.model()) or "ceil_mode" in setting
    assert sweeps._kind(one) != sweeps._kind(other)


def _pooled(**setting):
    return torch.nn.Sequential(
        torch.nn.AvgPool2d(3, padding=1, **setting), torch.nn.Flatten(), torch.nn.Linear(363, 10)
    )


def test_a_clock_stops_before_any_run_of_the_stack_is_evaluated(monkeypatch):
    slow = loop.evaluate

    def evaluate(model, batches, *loss):
        time.sleep(0.2)
        return slow(model, batches, *loss)

    monkeypatch.setattr(loop, "evaluate", evaluate)
    found = sweep({f"lr {lr}": replace(BASE, optimizer=partial(SGD, lr=lr)) for lr in (0.1, 0.01, 0.001)}, [0])
    seconds = [runs[0].history[-1]["seconds"] for runs in found.values()]
    assert max(seconds) < min(seconds) + 0.15


def test_the_runs_of_a_stack_share_the_time_that_it_took():
    start = time.perf_counter()
    found = sweep({f"lr {lr}": replace(BASE, optimizer=partial(SGD, lr=lr)) for lr in (0.1, 0.01, 0.001)}, [0])
    took = time.perf_counter() - start
    seconds = [runs[0].provenance["seconds"] for runs in found.values()]
    assert seconds == [seconds[0]] * 3
    assert 0 < sum(seconds) <= took * 1.001


def test_what_is_stored_is_not_trained_again(monkeypatch):
    trained = []
    train = experiment.train_and_keep
    monkeypatch.setattr(experiment, "train_and_keep", lambda e, n, **o: trained.append(len(e)) or train(e, n, **o))
    sweep({"plain": BASE}, [0])
    sweep(VARIANTS, [0])
    again = sweep(VARIANTS, [0])
    assert trained == [1, len(VARIANTS) - 1]
    assert all(result.replayed for row in again.values() for result in row)
    sweep({"plain": BASE, "Adam": VARIANTS["Adam"]}, [0], refresh=True)
    assert trained[2:] == [2]


def kinds(variants, seeds=(0,)) -> list[set]:
    missing = {(name, seed): replace(one, seed=seed) for name, one in variants.items() for seed in seeds}
    return sorted((set(group) for group in sweeps._groups(missing)), key=lambda group: sorted(group))


def test_runs_are_grouped_by_what_a_stack_must_have_in_common(monkeypatch):
    others = dict(
        batch=replace(BASE, batch_size=16),
        data=replace(BASE, data="mnist"),
        deep=replace(BASE, model=partial(models.MLP, (3072, 16, 16, 10))),
        dropout=replace(BASE, model=partial(models.MLP, (3072, 16, 10), dropout=0.5)),
        longer=replace(BASE, epochs=3),
        pixels=replace(BASE, pixels="standard"),
        smooth=replace(BASE, label_smoothing=0.1),
    )
    groups = kinds({"plain": BASE, "same": replace(BASE, optimizer=partial(ADAM, lr=1.0))} | others)
    assert groups == sorted([{("plain", 0), ("same", 0)}, *({(name, 0)} for name in others)], key=sorted)
    assert kinds({"dropout": others["dropout"]}, range(3)) == [{("dropout", seed)} for seed in range(3)]
    three = {"a": BASE, "b": BASE, "c": BASE}
    assert kinds(three, [0, 1]) == [{(name, seed) for name in "abc"} for seed in (0, 1)], "shared images first"
    assert [len(group) for group in kinds({"a": BASE, "b": BASE}, range(9))] == [6, 6, 6], "never more than TOGETHER"
    monkeypatch.setattr(settings, "device", lambda: torch.device("cuda"))
    assert [len(group) for group in kinds(three)] == [1, 1, 1]


def cut_off_after(writes: int, monkeypatch) -> None:
    """Checkpoints at every epoch, and after some of them Ctrl-C."""
    left = [writes]
    monkeypatch.setattr(experiment, "CHECKPOINT_SECONDS", 0)
    write = checkpoint.write

    def counted(*arguments):
        write(*arguments)
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "write", counted)
    with pytest.raises(KeyboardInterrupt):
        sweep(FOUR, [0, 1])
    monkeypatch.setattr(checkpoint, "write", write)


FOUR = {name: replace(VARIANTS[name], epochs=3) for name in ("plain", "Adam")}


def numbers(found) -> list:
    rows = [result for row in found.values() for result in row]
    return [([without(line) for line in result.history], result.metrics) for result in rows]


def test_a_stack_that_is_cut_off_goes_on_bit_for_bit(monkeypatch):
    whole = numbers(sweep(FOUR, [0, 1]))
    for path in store.folder().rglob("*.json"):
        path.unlink()
    cut_off_after(4, monkeypatch)
    found = sweep(FOUR, [0, 1])
    assert numbers(found) == whole
    assert {result.provenance["exact"] for row in found.values() for result in row} == {True}


@pytest.mark.parametrize("writes", [1, 3, 5, 6, 7])
def test_checkpoints_of_different_steps_are_taken_up_from_the_last_that_all_have(monkeypatch, writes):
    """A stack killed while its four runs write their checkpoints, one after the other."""
    whole = numbers(sweep(FOUR, [0, 1]))
    for path in store.folder().rglob("*.json"):
        path.unlink()
    cut_off_after(writes, monkeypatch)
    again = sweep(FOUR, [0, 1])
    exact = {result.provenance["exact"] for row in again.values() for result in row}
    assert (numbers(again) == whole and exact == {True}) or exact == {False}
    assert exact == {writes >= 4}, "before all have one, they go on one by one"


def test_a_run_that_leaves_its_stack_says_that_it_is_not_exact(monkeypatch, capsys):
    whole = sweep(FOUR, [0, 1])
    for path in store.folder().rglob("*.json"):
        path.unlink()
    cut_off_after(4, monkeypatch)
    alone = experiment.run(FOUR["plain"])
    assert not alone.provenance["exact"]
    assert "is approximate: trained as one of 4" in capsys.readouterr().err
    assert alone.metrics == pytest.approx(whole["plain"][0].metrics, rel=1e-3, abs=1e-4)


RUNS = Runs(
    {
        name: [
            store.Result(
                "",
                name,
                "ok",
                {"seed": seed},
                [{"epoch": 1, "loss": loss}, {"epoch": 2, "loss": loss / 2}],
                [],
                {"accuracy": accuracy},
                {},
            )
            for seed, loss, accuracy in rows
        ]
        for name, rows in {
            "a": [(0, 1.0, 0.5), (1, 2.0, 0.6), (2, 1.5, 0.7)],
            "b": [(2, 3.0, 0.69), (0, 2.0, 0.49), (5, 9.0, 0.0)],
        }.items()
    }
)


def test_what_is_asked_of_the_runs_of_a_sweep():
    assert RUNS.frame().columns.tolist() == ["variant", "seed", "epoch", "loss"]
    assert RUNS.frame().query("variant == 'b'").seed.tolist() == [2, 2, 0, 0, 5, 5]
    assert RUNS.last("loss")["a"].values.tolist() == [0.5, 1.0, 0.75]
    assert RUNS.best("loss")["b"].mean == pytest.approx(7 / 3)
    assert RUNS.final("accuracy")["a"].mean == pytest.approx(0.6)
    assert RUNS.first_epoch("loss", 1.0)["a"].values.tolist() == [1, 2, 2]
    assert RUNS.each(lambda run: run.seed)["b"].values.tolist() == [2, 0, 5]
    table = RUNS.table({"accuracy": RUNS.final("accuracy"), "loss": RUNS.last("loss")}, ".2f")
    assert table.loc["a"].tolist() == ["0.60 ± 0.10", "0.75 ± 0.25"]


def test_variants_are_compared_over_the_seeds_that_both_have():
    comparison = RUNS.compare("a", "b", "accuracy")
    assert comparison.differences == pytest.approx((0.01, 0.01)), "seeds 0 and 2"
    assert comparison.better
    assert RUNS.compare("a", "b", "loss", at="last").differences == (-0.5, -0.75)
    assert RUNS.compare("a", "b", lambda run: float(run.seed)).differences == (0, 0)
    assert RUNS.compare("a", "b", "accuracy", 0.02).verdict == "equal"
    assert RUNS.compare("a", "b", "accuracy", lower_is_better=True).verdict == "worse"
    assert RUNS.against("b", "accuracy") == {"a": comparison}
    falling = RUNS | {"c": [replace(run, history=[{"loss": 9.0 + run.seed / 10}]) for run in RUNS["a"]]}
    assert falling.compare("a", "c", "loss", at="best").better, "of a loss less is better"


def test_runs_that_did_not_end_well_can_be_left_out():
    both = RUNS | {"a": [*RUNS["a"], replace(RUNS["a"][0], status="diverged", metrics={})]}
    assert isinstance(both, Runs)
    assert [len(both["a"]), len(both.ok["a"]), len(both.ok["b"])] == [4, 3, 3]
    assert both.final("accuracy")["a"].mean != both.final("accuracy")["a"].mean, (
        "nan, not in silence the mean of others"
    )


@pytest.mark.parametrize("seeds", [[1, 1], [0, True, 1], [-1], [0.5]])
def test_seeds_that_are_none_or_equal_are_refused(seeds):
    with pytest.raises(UsageError, match="invalid seed"):
        sweep({"plain": BASE}, seeds)


def test_each_source_of_images_makes_its_batches_once():
    one, other = (experiment._split(replace(BASE, seed=seed), data_of(BASE), "cpu").train for seed in (0, 1))
    epochs = [(one, iter([(torch.zeros(2, 3, 1, 1), torch.tensor([0, 1]))]))]
    epochs += [(other, iter([(torch.ones(2, 3, 1, 1), torch.tensor([2, 3]))])), (one, iter([]))]
    [(images, labels)] = experiment.stacked._batches([*epochs[:2], (one, epochs[0][1])])
    assert images[0, :, 0, 0].tolist() == [0, 0, 0, 1, 1, 1, 0, 0, 0]
    assert labels.tolist() == [[0, 1], [2, 3], [0, 1]]


def data_of(one: Experiment):
    return experiment.datasets.load(one.data, "sample")


def test_the_step_that_went_wrong_is_named():
    parts = experiment._split(BASE, data_of(BASE), "cpu")
    model = BASE.model()
    with pytest.raises(
        Diverged, match=r"^loss is (nan|inf) at step \d \(last finite \S+ at step \d\); try a smaller lr"
    ):
        loop.fit(model, parts.train, {}, SGD(model.parameters(), lr=1e25), 1)
