import copy
import errno
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from coursekit import models
from coursekit.errors import StorageError
from coursekit.training import checkpoint
from coursekit.training.checkpoint import Progress


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


def test_another_company_of_the_same_size_is_another_company(tmp_path, capsys):
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    a, b, c = (tmp_path / name for name in "abc")
    checkpoint.write(a, model, optimizer, Progress(step=1), checkpoint.company([a, b]))
    assert checkpoint.restore(a, model, optimizer, checkpoint.company([a, b])).exact
    assert not checkpoint.restore(a, model, optimizer, checkpoint.company([a, c])).exact
    assert "resume of step 1 is approximate: trained as one of 2 (" in capsys.readouterr().err


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
    with pytest.raises(StorageError, match=r"contains code \((posix|nt)\.mkdir\), refused") as caught:
        checkpoint.load(tmp_path / "run")
    assert "\n" not in str(caught.value)
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


def refused(folder, model, optimizer) -> str:
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(StorageError, match=r"belongs to another run: .*; use another folder or delete it") as caught:
        checkpoint.restore(folder, model, optimizer)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    return str(caught.value)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (lambda: models.MLP((4, 5, 2)), "1.weight 3×4 -> 5×4"),
        (lambda: nn.Sequential(nn.Linear(4, 2)), "1.weight 3×4 -> none"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), "1.weight 3×4 -> 4×3"),
    ],
)
def test_another_models_checkpoint_is_refused_in_one_line(tmp_path, other, said):
    checkpoint.write(tmp_path, *training_state(), Progress(step=1))
    model = other()
    assert said in refused(tmp_path, model, torch.optim.Adam(model.parameters()))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: torch.optim.Adam(p, lr=0.2), "lr 0.1 -> 0.2"),
        (lambda p: torch.optim.Adam(p, lr=0.1, weight_decay=1e-4), "weight_decay 0 -> 0.0001"),
        (lambda p: torch.optim.Adam(p, lr=0.1, betas=(0.8, 0.999)), "betas (0.9, 0.999) -> (0.8, 0.999)"),
        (lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0), "optimizer Adam -> AdamW"),
        (lambda p: torch.optim.Adam([{"params": [q]} for q in p], lr=0.1), "lr of group 1 none -> 0.1"),
    ],
)
def test_changed_hyper_parameters_are_refused(tmp_path, make, said):
    checkpoint.write(tmp_path, *training_state(), Progress(step=1))
    model, _ = training_state()
    assert said in refused(tmp_path, model, make(list(model.parameters())))


def test_a_schedule_changes_no_hyper_parameter(tmp_path):
    model, optimizer = training_state()
    for group in optimizer.param_groups:
        group.update(initial_lr=0.1, lr=0.001)
    checkpoint.write(tmp_path, model, optimizer, Progress(step=1))
    assert checkpoint.restore(tmp_path, *training_state()).step == 1


def test_another_machine_is_named_and_the_result_no_longer_exact(tmp_path, capsys, monkeypatch):
    checkpoint.write(tmp_path, *training_state(), Progress(step=1))
    assert checkpoint.restore(tmp_path, *training_state()).exact
    assert capsys.readouterr().err == ""
    here = torch.get_num_threads()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 17)
    progress = checkpoint.restore(tmp_path, *training_state())
    assert not progress.exact
    assert f"resume of step 1 is approximate: threads {here} -> 17" in capsys.readouterr().err
    checkpoint.write(tmp_path, *training_state(), progress)
    assert not checkpoint.restore(tmp_path, *training_state()).exact, "it stays so"


def test_what_killed_writers_left_is_removed_and_that_of_living_ones_kept(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left, living, other = (tmp_path / f".step.pt.{pid}.0123abcd.tmp" for pid in (dead.pid, os.getpid(), "x"))
    for path in (left, living, other):
        path.write_text("half")
    saved(tmp_path, 1)
    assert [path.exists() for path in (left, living, other)] == [False, True, True]


def test_a_folder_that_cannot_be_written_is_refused_before_the_first_step(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot write .*: Not a directory"):
        checkpoint.restore(tmp_path / "file" / "run", *training_state())


def test_a_full_disk_leaves_the_checkpoint_before_and_says_so(tmp_path, monkeypatch):
    saved(tmp_path, 12)

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        StorageError, match=r"cannot write step-000000013.* \(0\.0 MB\) to .*: No space left on device "
    ):
        saved(tmp_path, 13)
    with pytest.raises(StorageError, match=r"MB free\); step 12 is intact"):
        saved(tmp_path, 13)
    assert checkpoint.load(tmp_path)["step"] == 12
    assert not list(tmp_path.glob(".*.tmp"))
