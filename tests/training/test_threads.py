"""The number of threads is measured, kept in checkpoints and provenance, and left alone where it was decided."""

import itertools
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from coursekit.data import Batches
from coursekit.runs import experiment, store
from coursekit.runs.experiment import Experiment
from coursekit.training import checkpoint, loop, stacked, threads
from coursekit.training.loop import Journal


class Machine:
    """A clock on which a step takes `seconds[threads]`, however long it took."""

    def __init__(self, one: float, two: float):
        self.seconds, self.now, self.seen = {1: one, 2: two}, 0.0, []

    def perf_counter(self) -> float:
        return self.now

    def step(self, *_) -> None:
        self.seen.append(torch.get_num_threads())
        self.now += self.seconds[self.seen[-1]]


@pytest.fixture
def machine(monkeypatch):
    """Two cores, the second of them busy."""
    made = Machine(one=1.0, two=3.0)
    monkeypatch.setattr(threads, "time", made)
    monkeypatch.setattr(threads, "MOST", 2)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield made
    torch.set_num_threads(before)


def training(machine, epochs=2, folder=None, **options):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (60, 1, 4, 4), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, 3, (60,), generator=generator)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    batches = Batches(images, labels, 4, shuffle=True, seed=1)
    model.register_forward_hook(lambda *_: machine.step() if model.training else None)
    return model, loop.fit(model, batches, {}, optimizer, epochs, folder=folder, **options)


@pytest.mark.parametrize(("one", "two", "chosen"), [(1.0, 3.0, 1), (1.0, 0.7, 2)])
def test_a_training_takes_the_number_that_was_quicker_on_its_own_steps(machine, one, two, chosen):
    machine.seconds = {1: one, 2: two}
    _, progress = training(machine)
    assert progress.threads == [chosen]
    assert sorted(machine.seen[: 2 * threads.TRIES]) == [1] * threads.TRIES + [2] * threads.TRIES
    assert set(machine.seen[2 * threads.TRIES :]) == {chosen}
    assert torch.get_num_threads() == 2, "the process has its own number again"


@pytest.mark.parametrize(
    ("of_two", "of_one"), [((100, 1, 50, 1, 1), (1, 2, 2, 2, 2)), ((100, 1, 1, 3, 3), (2.5, 2.5, 2.5, 2.5, 2.5))]
)
def test_one_slow_step_decides_nothing_and_the_first_of_each_is_not_counted(machine, of_two, of_one):
    trial = threads.Trial()
    for seconds in itertools.chain(*zip(of_two, of_one, strict=True)):  # two threads and one in turn, from two on
        assert not trial.is_over
        trial.add(seconds)
    assert trial.is_over
    assert trial.best == 2


def test_an_epoch_that_was_slow_is_followed_by_another_trial(machine):
    machine.seconds = {1: 1.0, 2: 0.7}

    def neighbour(progress):
        if progress.step == 31:  # two epochs of 15 are done
            machine.seconds = {1: 1.0, 2: 5.0}

    _, progress = training(machine, epochs=5, on_step=neighbour)
    assert progress.threads == [2, 1]
    assert machine.seen[-1] == 1


def test_what_is_taken_up_goes_on_with_the_threads_that_it_had(machine, tmp_path, capsys):
    whole, _ = training(machine, 4)
    _, half = training(machine, 2, tmp_path)
    assert half.threads == [1]
    machine.seconds, machine.seen = {1: 5.0, 2: 0.1}, []  # now two would be quicker
    resumed, progress = training(machine, 4, tmp_path)
    assert set(machine.seen) == {1}
    assert (progress.threads, progress.exact) == ([1], True)
    assert capsys.readouterr().err == ""
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))


def test_where_the_number_was_decided_it_is_not_measured(machine, monkeypatch):
    with threads.fixed(1):
        assert training(machine)[1].threads == [1]
    assert set(machine.seen) == {1}
    assert torch.get_num_threads() == 2
    machine.seen.clear()
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert training(machine)[1].threads == [2]
    assert set(machine.seen) == {2}
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert not threads.is_free()


def test_a_resume_elsewhere_with_a_decided_number_says_that_it_is_not_exact(machine, tmp_path, capsys, monkeypatch):
    training(machine, 2, tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    _, progress = training(machine, 3, tmp_path)
    assert not progress.exact
    assert "threads 1 -> 2" in capsys.readouterr().err


def test_a_stack_chooses_for_all_its_runs(machine, monkeypatch):
    one = stacked.mlp.train_step

    def train_step(*arguments, **options):
        machine.step()
        return one(*arguments, **options)

    monkeypatch.setattr(stacked.mlp, "train_step", train_step)
    batches = Batches(torch.zeros(60, 1, 4, 4, dtype=torch.uint8), torch.arange(60) % 3, 4, shuffle=True)
    networks = [nn.Sequential(nn.Flatten(), nn.Linear(16, 3)) for _ in range(2)]
    stack = stacked.stack(networks)
    journals = [Journal(m, batches, {}, torch.optim.SGD(m.parameters(), lr=0.1)) for m in networks]
    stacked.fit(stack, journals, 1)
    assert [journal.progress.threads for journal in journals] == [[1], [1]]
    assert machine.seen[-1] == 1


def test_the_provenance_says_how_many(machine, monkeypatch):
    short = Experiment(
        partial(nn_of_digits), partial(torch.optim.SGD, lr=0.1), "mnist", epochs=1, batch_size=100, train_size=1500
    )
    monkeypatch.setenv("COURSEKIT_PROFILE", "sample")
    result = experiment.run(short)
    assert result.provenance["device"] in ("CPU (1 thread)", "CPU (2 threads)")
    [stored] = store.folder().rglob("*.json")
    assert stored.exists()
    with threads.fixed(1):
        assert experiment.run(replace(short, seed=1)).provenance["device"] == "CPU (1 thread)"


def nn_of_digits() -> nn.Module:
    """A network of which a step takes some microseconds."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))


def test_choosing_for_ones_own_loop_takes_the_quicker(machine, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "__matmul__", lambda a, b: machine.step())
    assert threads.choose() == torch.get_num_threads() == 1
    torch.set_num_threads(2)
    with threads.fixed(2):
        assert threads.choose() == 2


@pytest.mark.parametrize(("given", "seen"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_sleep_while_they_wait_unless_told_otherwise(given, seen):
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {"OMP_WAIT_POLICY": given} if given else {}
    code = "import coursekit, os, sys; assert 'torch' not in sys.modules; print(os.environ['OMP_WAIT_POLICY'])"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"{seen}\n"


def test_old_checkpoints_without_a_choice_are_read(machine, tmp_path):
    training(machine, 1, tmp_path)
    state = checkpoint.load(tmp_path)
    del state["progress"]["threads"]
    checkpoint.save(tmp_path, 99, state)
    assert SimpleNamespace(**checkpoint.load(tmp_path)["progress"]).step == 15
    assert training(machine, 2, tmp_path)[1].threads == [1]
