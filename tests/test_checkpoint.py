import os
import pickle

import pytest
import torch
from torch import nn

from coursekit import checkpoint, models
from coursekit.checkpoint import Progress
from coursekit.errors import StorageError


def saved(folder, *steps):
    return [checkpoint.save(folder, step, {"step": step, "weight": torch.full((3,), step)}) for step in steps]


def damage(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_round_trip(tmp_path):
    state = {"weight": torch.rand(3, 2), "nested": [{"a": 1.5, "b": None, "c": "text"}], "step": 7}
    checkpoint.save(tmp_path / "new" / "folder", 7, state)
    loaded = checkpoint.load(tmp_path / "new" / "folder")
    assert torch.equal(loaded.pop("weight"), state.pop("weight"))
    assert loaded == state


def test_nothing_there(tmp_path):
    assert checkpoint.load(tmp_path) is None
    assert checkpoint.load(tmp_path / "missing") is None


def test_the_newest_two_are_kept(tmp_path):
    saved(tmp_path, 1, 2, 3, 10)
    assert sorted(path.name[:14] for path in tmp_path.iterdir()) == ["step-000000003", "step-000000010"]
    assert checkpoint.load(tmp_path)["step"] == 10


def test_newest_is_the_step_in_the_name_not_the_clock(tmp_path):
    newer, older = saved(tmp_path, 9, 100)[::-1]
    os.utime(newer, (0, 0))
    os.utime(older, (2e9, 2e9))
    assert checkpoint.load(tmp_path)["step"] == 100
    saved(tmp_path, 50)
    assert sorted(path.name[:14] for path in tmp_path.iterdir()) == ["step-000000050", "step-000000100"]


def test_other_files_are_left_alone(tmp_path):
    (tmp_path / "step-best.pt").write_text("mine")
    (tmp_path / "step-000000009.pt").write_text("mine")
    saved(tmp_path, 1, 2, 3)
    assert checkpoint.load(tmp_path)["step"] == 3
    assert (tmp_path / "step-best.pt").exists()
    assert (tmp_path / "step-000000009.pt").exists()


@pytest.mark.parametrize(
    "how", [damage, lambda path: path.write_bytes(path.read_bytes()[:-1]), lambda p: p.write_text("")]
)
def test_a_damaged_newest_is_named_and_the_one_before_used(tmp_path, capsys, how):
    _, newest = saved(tmp_path, 1, 2)
    how(newest)
    assert checkpoint.load(tmp_path)["step"] == 1
    [line] = capsys.readouterr().err.splitlines()
    assert newest.name in line
    assert "damaged" in line


def test_a_whole_newest_needs_no_other(tmp_path, capsys):
    older, _ = saved(tmp_path, 1, 2)
    damage(older)
    assert checkpoint.load(tmp_path)["step"] == 2
    assert capsys.readouterr().err == ""


def test_all_damaged_is_an_error_that_names_them(tmp_path):
    paths = saved(tmp_path, 1, 2)
    for path in paths:
        damage(path)
    with pytest.raises(StorageError, match="delete them to start again") as caught:
        checkpoint.load(tmp_path)
    assert all(path.name in str(caught.value) for path in paths)
    assert "\n" not in str(caught.value)


class Code:
    """What a pickle may do to whoever opens it."""

    def __reduce__(self):
        return os.mkdir, ("owned",)


def test_a_pickle_with_code_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkpoint.save(tmp_path / "run", 1, {"model": Code()})
    with pytest.raises(pickle.UnpicklingError):
        checkpoint.load(tmp_path / "run")
    assert not (tmp_path / "owned").exists()


def training_state(sizes=(4, 3, 2)):
    model = models.MLP(sizes)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    model(torch.rand(2, 1, 2, 2)).sum().backward()
    optimizer.step()
    return model, optimizer


def test_restore_puts_everything_back(tmp_path):
    model, optimizer = training_state()
    progress = Progress(step=5, seconds=1.5, history=[{"epoch": 1, "lr": 0.1}], totals=torch.rand(3), best_accuracy=0.5)
    progress.probes = [{"step": 0, "norm": torch.tensor(0.25)}]
    progress.best_state = {"1.weight": torch.rand(3, 4)}
    torch.manual_seed(3)
    checkpoint.write(tmp_path, model, optimizer, progress)
    expected = torch.rand(4)
    other, other_optimizer = training_state()
    found = checkpoint.restore(tmp_path, other, other_optimizer)
    assert torch.equal(torch.rand(4), expected)
    assert (found.step, found.seconds, found.history, found.best_accuracy) == (5, 1.5, progress.history, 0.5)
    assert found.probes == [{"step": 0.0, "norm": 0.25}]
    assert torch.equal(found.totals, progress.totals)
    assert torch.equal(found.best_state["1.weight"], progress.best_state["1.weight"])
    for name, value in model.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])
    for a, b in zip(optimizer.state.values(), other_optimizer.state.values(), strict=True):
        assert all(torch.equal(a[name], b[name]) for name in ("step", "exp_avg", "exp_avg_sq"))


def test_restore_of_nothing_is_a_new_start(tmp_path):
    assert checkpoint.restore(tmp_path, *training_state()) == Progress()


@pytest.mark.parametrize("other", [lambda: models.MLP((4, 5, 2)), lambda: nn.Sequential(nn.Linear(4, 2))])
def test_another_models_checkpoint_is_refused_in_one_line(tmp_path, other):
    checkpoint.write(tmp_path, *training_state(), Progress(step=1))
    model = other()
    with pytest.raises(StorageError, match="belongs to another model; use another folder or delete it") as caught:
        checkpoint.restore(tmp_path, model, torch.optim.Adam(model.parameters()))
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
