import itertools
import re
import types
from functools import partial

import matplotlib.pyplot as plt
import pytest
import torch

from coursekit import models, settings
from coursekit.runs import experiment, progress
from coursekit.runs.experiment import Experiment
from coursekit.runs.sweeps import sweep
from coursekit.training import checkpoint

EPOCHS = 4


@pytest.fixture
def variants(monkeypatch):
    monkeypatch.setenv("COURSEKIT_PROFILE", "sample")
    sgd = partial(torch.optim.SGD, lr=0.1)
    base = dict(optimizer=sgd, data="mnist", epochs=EPOCHS, batch_size=32, train_size=64, validation=1)
    return {f"{n} hidden": Experiment(model=partial(models.MLP, (784, n, 10)), **base) for n in (4, 8)}


@pytest.fixture
def cell(monkeypatch):
    """The outputs of a cell that a person looks at: what each was replaced by, in turn."""
    outputs = []

    def output():
        shown = []
        outputs.append(shown)
        return types.SimpleNamespace(update=lambda what, raw=False: shown.append(what))

    monkeypatch.setattr(settings, "is_interactive", lambda: True)
    monkeypatch.setattr(progress, "_output", output)
    monkeypatch.setattr(progress, "REFRESH_S", 0.0)
    monkeypatch.setattr(progress, "DRAW_S", 0.0)
    return outputs


def test_a_line_counts_the_steps_of_all_runs_and_is_empty_at_the_end(variants, cell, capsys):
    sweep(variants, [0, 1])
    [line] = cell
    texts = [bundle["text/plain"] for bundle in line]
    counts = [float(re.search(r"([\d.]+)/16 epochs \[[\d:]+<", text)[1]) for text in texts if text]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (0, 16)
    assert 0.5 in [count % 1 for count in counts], "it moves within an epoch"
    assert any(text.startswith("4 hidden, seed 0 and 1 more: ") for text in texts)
    assert texts[-1] == ""
    assert capsys.readouterr().err == ""


def test_the_time_left_is_right_after_a_twentieth_of_the_work(monkeypatch):
    """30 epochs of 100 steps of 0.96 s: within a fifth of what is left, from the first twentieth on."""
    clock = itertools.count(0.0, 0.96)
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with progress.Show(30) as show:
        show.bar._time = lambda: now
        show.bar.start_t = show.bar.last_print_t = 0.0
        show.change(0, "a")
        run = checkpoint.Progress(steps_per_epoch=100)
        for step in range(1, 3001):
            now, run.step = next(clock) + 0.96, step
            show.step("a", run)
            if step >= 150:
                rate = show.bar.format_dict["rate"] or show.bar.format_dict["n"] / show.bar.format_dict["elapsed"]
                assert (30 - show.bar.n) / rate == pytest.approx((3000 - step) * 0.96, rel=0.2, abs=1)


def test_the_plot_is_one_output_with_a_line_for_each_variant(variants, cell):
    sweep(variants, [0], plot=True)
    plot, _ = sorted(cell, key=lambda output: isinstance(output[-1], dict))
    assert len(plot) > 1
    axes = plot[-1].axes
    assert [ax.get_ylabel() for ax in axes] == ["training loss (nats)", "validation loss (nats)"]
    assert [text.get_text() for text in axes[0].get_legend().get_texts()] == list(variants)
    assert plt.get_fignums() == []


def test_what_is_replayed_shows_neither(variants, cell):
    sweep(variants, [0])
    cell.clear()
    sweep(variants, [0], plot=True)
    assert cell == []


def test_a_batch_run_shows_a_line_on_stderr_and_no_plot(variants, capsys):
    sweep(variants, [0], plot=True)
    assert f"/{EPOCHS * 2} epochs [" in capsys.readouterr().err
    assert plt.get_fignums() == []


def test_looking_on_changes_no_number_and_no_key(variants, cell):
    alone = experiment.run(variants["4 hidden"])
    [watched] = sweep({"4 hidden": variants["4 hidden"]}, [0], refresh=True, plot=True)["4 hidden"]
    assert (watched.key, watched.metrics) == (alone.key, alone.metrics)
    for row, other in zip(watched.history, alone.history, strict=True):
        assert row | {"seconds": 0} == other | {"seconds": 0}


def test_a_training_that_goes_on_from_a_checkpoint_counts_what_it_had():
    with progress.Show(10) as show:
        show.change(0, "a")
        show.step("a", checkpoint.Progress(step=31, steps_per_epoch=10))
        assert show.bar.n == pytest.approx(3.1)
        assert show.bar.initial == pytest.approx(3), "and not as the work of the last second"
        show.change(5, "b")
        assert show.bar.n == 5
