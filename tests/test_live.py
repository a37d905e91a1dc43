import re
import types
from functools import partial

import matplotlib.pyplot as plt
import pytest
import torch

from coursekit import checkpoint, experiment, explore, live, models, results
from coursekit.experiment import Experiment
from coursekit.sweeps import sweep

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

    monkeypatch.setattr(explore, "is_interactive", lambda: True)
    monkeypatch.setattr(live, "_output", output)
    monkeypatch.setattr(live, "REFRESH_S", 0.0)
    monkeypatch.setattr(live, "DRAW_S", 0.0)
    return outputs


def test_a_line_counts_the_epochs_of_all_runs_and_is_empty_at_the_end(variants, cell, capsys):
    sweep(variants, [0, 1])
    [line] = cell
    said = [bundle["text/plain"] for bundle in line]
    counts = [int(re.search(r"(\d+)/16 \[[\d:]+<.*epoch/s", text)[1]) for text in said if text]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (0, 16)
    assert "4 hidden, seed 0 and 1 more" in said[-2] + said[1]
    assert said[-1] == ""
    assert capsys.readouterr().err == ""


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
    assert f"/{EPOCHS * 2} [" in capsys.readouterr().err
    assert plt.get_fignums() == []


def test_nobody_looks_on_after_a_sweep_nor_after_one_that_failed(variants, cell, monkeypatch):
    monkeypatch.setattr(results, "keep", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        sweep(variants, [0])
    assert checkpoint.watchers == []


def test_looking_on_changes_no_number_and_no_key(variants, cell):
    alone = experiment.run(variants["4 hidden"])
    [watched] = sweep({"4 hidden": variants["4 hidden"]}, [0], refresh=True, plot=True)["4 hidden"]
    assert (watched.key, watched.metrics) == (alone.key, alone.metrics)
    for row, other in zip(watched.history, alone.history, strict=True):
        assert row | {"seconds": 0} == other | {"seconds": 0}


def test_a_training_that_goes_on_from_a_checkpoint_counts_what_it_had():
    with live.Show(10) as show:
        show.change(0, ["a"], "a")
        show.begin(checkpoint.Progress(history=[{"epoch": 1, "train_loss": 1.0}] * 3))
        show.due = 0.0
        show.step()
        assert show.bar.n == 3
        show.change(5, ["b"], "b")
        assert show.bar.n == 5
