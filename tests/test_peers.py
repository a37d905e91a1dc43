"""The comparison with other libraries: how slices are cut, ratios and bars, and that all train the same network."""

import importlib
import json
import multiprocessing
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from benchmarks import bars, page
from benchmarks.__main__ import joined
from benchmarks.peers import handover, measure
from benchmarks.peers.contestants import MATCHES, ONE_THREAD, OURS, Contestant, Match
from benchmarks.peers.measure import Plan, Pool
from benchmarks.peers.pace import Order, Over, Pace, PacedBatches, Slice
from benchmarks.peers.workers import Failed
from benchmarks.workloads import STANDARD, seeded
from coursekit import models

MATCH = MATCHES[0]
MACHINE = {"cpu": "some CPU", "threads": 2, "torch": "2", "data": "drawn", "bfloat16": True, "date": "today"}
MACHINE |= {"peaks": {"float32": 100.0, "bfloat16": 200.0}, "rounds": 7}


def slices(*us: float, neighbour: float = 0.0) -> list[Slice]:
    """Of ten steps each, so many µs an image by both clocks."""
    return [Slice(10, 1280e-6 * one, 1280e-6 * one, neighbour) for one in us]


def test_ratios_are_paired_by_rounds():
    rows = measure.rows(
        MATCH,
        {OURS: slices(8, 80, 8), "Keras on JAX, fit": slices(10, 100, 10)},
        "cpu",
        dict.fromkeys((OURS, "Keras on JAX, fit"), 1.0),
    )
    assert [row["us"] for row in rows] == pytest.approx([8, 10])
    assert rows[1]["ratio"] == pytest.approx(
        {"median": 0.8, "low": 0.8, "high": 0.8}
    )  # the slow round is slow for both


def test_the_neighbour_is_compared_with_one_thread_on_the_quiet_machine():
    quiet = {OURS: slices(6, 6), ONE_THREAD: slices(8, 8)}
    beside = {OURS: slices(12, 12, neighbour=45), ONE_THREAD: slices(9, 9, neighbour=50)}
    row = measure.neighbour_row(MATCH, quiet, beside, [55.0, 55.0])
    assert row["slower"]["median"] == pytest.approx(1.5)
    assert (row["alone"], row["one_thread"], row["ours"]) == (55, 50, 45)
    assert row["kept"]["median"] == pytest.approx(0.9)


def ratio(middle: float) -> dict[str, float]:
    return {"median": middle, "low": middle - 0.1, "high": middle + 0.1}


def peer(network: str, contestant: str, middle: float) -> dict:
    return dict(network=network, batch=128, contestant=contestant, us=9.0, start=1.0, ratio=ratio(middle))


@pytest.mark.parametrize(
    ("network", "contestant", "bar"),
    [
        ("MLP", "JAX, scan of an epoch", 1.0),
        ("MLP", "Keras on JAX, fit", 0.8),
        ("8 × MLP", "JAX, vmap, jit of a step", 0.9),
        ("8 × SimpleNN, BN, crop + flip", "JAX, vmap, jit of a step", 0.6),
        ("cnn4", "Keras on JAX, fit", 0.6),
        ("ResNet-20, crop + flip", "Lightning", 0.9),
        ("SimpleNN, BN, crop + flip", "fastai", 0.9),
    ],
)
@pytest.mark.parametrize("how", ["one_thread", "quiet"])
def test_a_bar_is_met_up_to_its_value(network, contestant, bar, how):
    met, missed = (bars.verdicts({"peers": {how: [peer(network, contestant, bar + more)]}}) for more in (0, 0.001))
    assert [(v.met, v.bar) for v in met + missed] == [(True, f"at most {bar:g}"), (False, f"at most {bar:g}")]


def test_no_bar_for_others():
    rows = [peer("MLP", name, 9.0) for name in (OURS, "ours, bfloat16", "skorch", "a course's loop", "Lightning")]
    assert bars.verdicts({"peers": {"one_thread": rows, "beside": [peer("MLP", "JAX, scan of an epoch", 9.0)]}}) == []


def test_bars_of_the_courses_loop_and_of_the_neighbour():
    loops = [
        dict(network=network, batch=batch, precision=precision, ratio_0=ratio(2.2))
        for network, batch in (("MLP", 128), ("ResNet-20, crop + flip", 128), ("MLP", 64))
        for precision in ("float32", "bfloat16")
    ]
    row = dict(network="MLP", slower=ratio(1.6), kept=ratio(0.95), alone=50, one_thread=50, ours=48)
    verdicts = bars.verdicts({"loops": loops, "peers": {"neighbour": [row, row | {"network": "cnn4"}]}})
    assert [v.met for v in verdicts] == [False, True, False, True]
    assert str(verdicts[0]).startswith("MISSED MLP: beside a neighbour")
    assert "1.60 (1.50–1.70), at most 1.5" in str(verdicts[0])


def test_the_page_has_a_column_for_each_workload_and_says_who_is_left_out():
    rows = [peer("MLP", OURS, 1.0), peer("MLP", "fastai", 0.5), peer("cnn4", OURS, 1.0)]
    found = {"machine": MACHINE, "dates": {"peers": "today"}}
    found["peers"] = {"one_thread": rows, "left_out": {"Lightning": "not installed: lightning"}}
    text = page.whole(found)
    assert "|  | MLP, 128 | cnn4, 128 |" in text
    assert "| fastai | 9.0 µs; 0.50 (0.40–0.60) | – |" in text
    assert "Left out: Lightning (not installed: lightning)." in text
    assert page.NOT_MEASURED in text


def test_parts_that_were_not_measured_again_are_kept_if_the_machine_is_the_same(tmp_path):
    path = tmp_path / "found.json"
    assert joined(path, MACHINE, {"costs": [1]}) == {"machine": MACHINE, "dates": {"costs": "today"}, "costs": [1]}
    before = {"machine": MACHINE, "dates": {"costs": "before", "loops": "before"}, "costs": [1], "loops": [2]}
    path.write_text(json.dumps(before))
    found = joined(path, MACHINE, {"loops": [3]})
    assert (found["loops"], found["costs"]) == ([3], [1])
    assert found["dates"] == {"costs": "before", "loops": "today"}
    assert "costs" not in joined(path, MACHINE | {"cpu": "another"}, {"loops": [3]})


def test_a_training_waits_between_slices_and_ends_when_it_is_told():
    pipe, parent = multiprocessing.Pipe()
    for order in (Order(0, False), Order(0, True), None):
        parent.send(order)
    pace = Pace(pipe)
    pace.settling = 3
    with pytest.raises(Over):
        for _ in PacedBatches(range(100), pace):
            pass
    assert [parent.recv().steps for _ in range(3)] == [1, 1, 3]


def test_batches_end_when_the_machine_has_changed():
    pipe, parent = multiprocessing.Pipe()
    pace, seen = Pace(pipe), []
    for order in (Order(0, False), Order(0, True)):
        parent.send(order)
    for batch in pace.until_changed(iter(range(100))):
        seen.append(batch)
        pace.after()
    assert seen == [0, 1]


class Broken:
    """A worker that trains one slice."""

    def __init__(self, one_thread: bool):
        self.left = False

    def begin(self, *arguments) -> None: ...

    def first_step(self) -> Slice:
        return Slice(1, 0.1, 0.1)

    def slice(self, seconds: float, changed: bool = False) -> Slice:
        raise Failed("ValueError: too deep")


def test_who_fails_or_is_not_installed_is_left_out(monkeypatch, capsys):
    monkeypatch.setattr(measure, "Worker", Broken)
    absent = Contestant("absent", "with_torch:course", ("no_such_package",))
    match = Match(MATCH.workload, (absent, Contestant("broken", "with_torch:course")))
    pool = Pool(True, Plan(1, 0.01, short=True), SimpleNamespace(reading=lambda: (0.0, 0)), {})
    with pool.trained(match) as starts:
        assert starts == {"broken": 0.1}
        assert pool.rounds() == {}
    assert pool.left_out == {"absent": "not installed: no_such_package", "broken": "failed: ValueError: too deep"}
    assert capsys.readouterr().out.count("left out") == 2
    with pytest.raises(Failed), pool.trained(Match(MATCH.workload, MATCH.contestants[:1])):
        pool.rounds()  # without ours there is nothing to compare


# --- The same network and the same update -----------------------------------------------------------------------------


@pytest.fixture
def library(monkeypatch, request):
    """The module of a library; skips where it is not installed."""
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    for package in {"with_jax": ("jax", "optax"), "with_keras": ("jax", "keras")}[request.param]:
        pytest.importorskip(package, reason=f"{package} is not installed: pip install -e '.[bench]'")
    return importlib.import_module(f"benchmarks.peers.{request.param}")


def batch(workload, count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Stored images, channels last, the same as inputs, and labels."""
    shape = (28, 28, 1) if workload.data == "mnist" else (32, 32, 3)
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, *shape), generator=draw).to(torch.uint8)
    inputs = images.permute(0, 3, 1, 2) / 255
    if workload.data == "cifar10":
        mean, std = (part.view(3, 1, 1) for part in STANDARD)
        inputs = (inputs - mean) / std
    return images, inputs, torch.randint(0, 10, (count,), generator=draw)


def of_torch(workload, inputs, labels, steps: int) -> torch.nn.Module:
    """The network of seed 0 after some steps on one batch."""
    model = seeded(workload)
    optimizer = workload.optimizer(model.parameters())
    for _ in range(steps):
        optimizer.zero_grad()
        cross_entropy(model(inputs), labels).backward()
        optimizer.step()
    return model


def assert_close(found, expected) -> None:
    """All but 1 % of each: Adam moves a weight by its whole rate where the gradient is nothing but rounding."""
    for one, other in zip(found, expected, strict=True):
        assert np.quantile(np.abs(np.asarray(one) - other), 0.99) < 1e-4


WORKLOADS = [replace(match.workload, augment=False) for match in MATCHES[:4]]
NAMES = [workload.name for workload in WORKLOADS]
quietly = pytest.mark.filterwarnings("ignore")


@quietly
@pytest.mark.parametrize("library", ["with_jax"], indirect=True)
@pytest.mark.parametrize("workload", WORKLOADS, ids=NAMES)
def test_jax_computes_the_logits_of_torch(library, workload):
    _, inputs, _ = batch(workload, 8)
    state = library.first_state(workload)
    assert sum(array.size for array in state.parameters) == models.parameter_count(seeded(workload))
    for training in (False, True):
        model = seeded(workload).train(training)
        with torch.no_grad():
            expected = model(inputs).numpy()
        found = library.logits(workload, state, inputs.permute(0, 2, 3, 1).numpy(), training)
        np.testing.assert_allclose(found, expected, atol=1e-4)


@quietly
@pytest.mark.parametrize("library", ["with_jax"], indirect=True)
@pytest.mark.parametrize("workload", WORKLOADS[:2], ids=NAMES[:2])
def test_jax_updates_as_torch_does(library, workload):
    images, inputs, labels = batch(workload, 8)
    model = of_torch(workload, inputs, labels, steps=2)
    state, lr = library.first_state(workload), library.rates(workload)
    for _ in range(2):
        state, _ = library.step(workload, state, lr, inputs.permute(0, 2, 3, 1).numpy(), labels.numpy())
    channels = images.shape[3]
    for kind, found in enumerate((state.parameters, state.statistics)):
        expected = [array for layer in handover.layers(model, channels) for array in layer[kind]]
        assert_close(found, expected)


@quietly
@pytest.mark.parametrize("library", ["with_keras"], indirect=True)
@pytest.mark.parametrize("workload", WORKLOADS, ids=NAMES)
def test_keras_computes_the_logits_of_torch(library, workload):
    images, inputs, _ = batch(workload, 8)
    network = library.network(workload)
    assert sum(variable.value.size for variable in network.trainable_variables) == models.parameter_count(
        seeded(workload)
    )
    with torch.no_grad():
        expected = seeded(workload)(inputs).numpy()
    np.testing.assert_allclose(network(images.numpy(), training=True), expected, atol=1e-4)


@quietly
@pytest.mark.parametrize("library", ["with_keras"], indirect=True)
@pytest.mark.parametrize("workload", WORKLOADS[:2], ids=NAMES[:2])
def test_keras_updates_as_torch_does(library, workload):
    images, inputs, labels = batch(workload, 8)
    model = of_torch(workload, inputs, labels, steps=2)
    network = library.compiled(workload)
    for _ in range(2):
        network.train_on_batch(images.numpy(), labels.numpy())
    expected = [array for parameters, _ in handover.layers(model, images.shape[3]) for array in parameters]
    assert_close(network.trainable_variables, expected)
