"""What the store holds is what its notebooks compute; where it is not, the audit says which result and where."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from coursekit.cli.main import main
from coursekit.execution import audit, notebooks
from coursekit.files import read_json
from coursekit.runs import contents, store
from coursekit.runs.store import Result

NOTEBOOK = """# %%
from functools import partial
import torch
from coursekit import data, models
from coursekit.runs.experiment import Experiment
from coursekit.notebook import setup
from coursekit.runs.cached import recall
from coursekit.runs.sweeps import sweep
setup("01_small")
sgd = partial(torch.optim.SGD, momentum=0.9)
net = partial(models.MLP, (784, 8, 10))
runs = sweep({f"lr {lr}": Experiment(net, partial(sgd, lr=lr), "mnist", 2, 64) for lr in (0.1, 0.01)}, [0, 1])
def square(number):
    return {"value": number**2, "seconds": torch.rand(1).item()}
recall(data.load("mnist", "sample"), square, 3)
"""


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """A store that a notebook has filled, and its source."""
    source = tmp_path / "src" / "01_small.py"
    source.parent.mkdir()
    source.write_text(NOTEBOOK)
    notebooks.run(source, tmp_path / "01_small.ipynb", "sample", None, 120, 1)
    return [source]


def test_an_audit_finds_every_digit_equal_and_a_changed_one(sources):
    paths = sorted((store.folder() / "01_small").glob("*.json"))
    assert len(paths) == 5
    assert [row.difference for row in audit.audit(9, sources)] == [0] * 5
    assert sorted((store.folder() / "01_small").glob("*.json")) == paths, "the store itself is left alone"

    file = next(file for file in paths if file.name.startswith("lr-0.1-seed1"))
    stored = Result(**read_json(file))
    rows = [stored.history[0], stored.history[1] | {"train_loss": stored.history[1]["train_loss"] * 1.001}]
    store.save(replace(stored, history=rows))
    different = [row for row in audit.audit(9, sources) if row.difference]
    assert [(row.file.name, row.place) for row in different] == [(file.name, "history[1].train_loss")]
    assert different[0].difference == pytest.approx(0.001, rel=0.01)
    assert different[0].other_machine == ""
    elsewhere = replace(stored, provenance=stored.provenance | {"processor": "another"})
    assert different[0]._replace(stored=elsewhere).other_machine.startswith("processor another -> ")


def test_what_took_too_long_with_its_stack_is_not_chosen(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSEKIT_NOTEBOOK", "01_gone")
    made = {"profile": "sample", "device": "CPU (1 thread)", "seconds": 10.0, "stacked": ["a", "b", "c"]}
    store.save(Result("a" * 64, "it", "ok", {}, [], [], {}, made))
    chosen = {limit: [*audit.audit(9, [tmp_path / "01_gone.py"], at_most_s=limit)] for limit in (29, 30)}
    assert {limit: [row.place for row in rows] for limit, rows in chosen.items()} == {29: [], 30: ["not made again"]}


def test_a_result_of_a_profile_that_is_no_more_is_made_again_in_full(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSEKIT_NOTEBOOK", "01_small")
    made = {"profile": "another", "device": "CPU (1 thread)"}
    store.save(Result("a" * 64, "it", "ok", {}, [], [], {}, made))
    source, said = tmp_path / "01_small.py", tmp_path / "said"
    code = (
        f"from pathlib import Path\nfrom coursekit import settings\nPath({str(said)!r}).write_text(settings.profile())"
    )
    source.write_text(f"# %%\n{code}\n")
    assert [row.place for row in audit.audit(1, [source])] == ["not made again"]
    assert said.read_text() == "full"


@pytest.mark.parametrize(("count", "code", "error"), [(1, 0, ""), (2, 6, "error: 1 of 2 audited results differ\n")])
def test_the_command_says_how_far_off_each_is_and_ends_with_6_where_one_differs(
    tmp_path, monkeypatch, capsys, count, code, error
):
    made, again = (Result("key", "it", "ok", {}, [], [], {}, {"torch": torch}) for torch in ("2.6", "2.7"))
    rows = [
        audit.Audited(Path("01_a/it-1.json"), made, again, 0.0, ""),
        audit.Audited(Path("01_a/it-2.json"), made, again, 0.001, "metrics.loss"),
    ][:count]
    asked = []
    monkeypatch.setattr(audit, "audit", lambda *options: asked.append(options) or rows)
    monkeypatch.chdir(tmp_path)
    Path("notebooks/src").mkdir(parents=True)
    Path("notebooks/src/01_a.py").touch()
    assert main(["audit", "2", "--seed", "7", "--limit", "60"]) == code
    assert asked == [(2, [Path("notebooks/src/01_a.py")], 7, 60.0)]
    lines = [
        "01_a/it-1.json: every digit equal",
        "01_a/it-2.json: differs by 0.001 at metrics.loss (torch 2.6 -> 2.7)",
    ][:count]
    assert capsys.readouterr() == ("\n".join([*lines, f"{count} results audited: 1 equal in every digit\n"]), error)


def test_contents_say_what_was_run_and_what_came_of_it():
    provenance = {"seconds": 90.0, "device": "CPU (1 thread)", "date": "2026-01-02"}
    for seed, accuracy in enumerate((0.5, 0.7)):
        experiment = {"optimizer": "SGD", "epochs": 30, "seed": seed, "train_size": 4500}
        metrics = {"test_accuracy": accuracy}
        store.save(Result(f"{seed}" * 64, "BN, lr 0.1", "ok", experiment, [], [], metrics, provenance))
    store.save(Result("a" * 64, "wild", "diverged", {"optimizer": "SGD", "epochs": 5}, [], [], {}, provenance))
    store.save(
        Result(
            "b" * 64,
            "solve",
            "ok",
            {"call": "solve", "net": {"call": "MLP", "sizes": [2, 1]}, "epochs": 3},
            [],
            [],
            {"returned": 1},
            provenance,
        )
    )
    assert main(["results"]) == 0
    lines = (store.folder() / "README.md").read_text().splitlines()
    assert "| BN, lr 0.1 | 2 | 30 of 4,500 images | 1.5 | 0.6000 ± 0.1414 | CPU (1 thread), 2026-01-02 |" in lines
    assert "| wild | 1 | 5 | 1.5 | 1 of 1 diverged | CPU (1 thread), 2026-01-02 |" in lines
    assert "| solve(net=MLP, epochs=3) | 1 | – | 1.5 | – | CPU (1 thread), 2026-01-02 |" in lines
    assert "4 results, 6 minutes." in lines


@pytest.mark.parametrize(
    ("a", "b", "apart"),
    [(1.0, 1.0, 0), (math.nan, math.nan, 0), (1.0, 2.0, 0.5), ("ok", "diverged", math.inf), (None, 1.0, math.inf)],
)
def test_how_far_two_values_are_apart(a, b, apart):
    assert audit._apart(a, b) == apart


def test_the_committed_contents_are_those_of_the_committed_store(monkeypatch):
    monkeypatch.delenv("COURSEKIT_RESULTS")
    committed = store.folder() / "README.md"
    assert committed.read_text() == contents.text(), "run: coursekit results"
