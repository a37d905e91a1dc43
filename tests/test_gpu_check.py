"""The GPU check rehearsed on a CPU, in parts; and with bugs planted, which its checks have to notice."""

import warnings
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from unittest import mock

import pytest
import torch

from benchmarks.gpu import __main__ as check_gpu
from benchmarks.gpu import cases, page, same, waits
from benchmarks.gpu.__main__ import CHECKS, SECONDS, Check, main, run
from coursekit import files, settings
from coursekit.training import checkpoint, loop, stacked
from tests.test_golden import names_in, networks

ROOT = Path(__file__).parents[1]
NAMES = [check.name for check in CHECKS]


@pytest.fixture(scope="module")
def setup():
    return cases.Setup(torch.device("cpu"), short=True)


def yes(number: int = 0) -> dict:
    return {"number": number, "holds": True}


def broken() -> dict:
    raise RuntimeError("an illegal memory access\nwas encountered")


def test_a_rehearsal_writes_a_file_for_each_check_and_the_page(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    into = tmp_path / "gpu"
    assert main(["--device", "cpu", "--short", "--into", str(into), "--only", "data"]) == 0
    found = files.read_json(into / "cpu" / "data.json")
    assert (found["verdict"], len(found["cases"]), found["left_out"]) == ("holds", 6, [])
    assert found["provenance"].keys() >= {"device", "torch", "commit", "date", "data_sha256", "threads", "short"}
    text = into.with_suffix(".md").read_text(encoding="utf-8")
    assert "**No GPU has been at hand so far.**" in text
    assert "| cifar10, crop + flip | 0 | 0 | ✓ |" in text


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_and_writes_nothing(tmp_path, capsys):
    assert main(["--into", str(tmp_path / "gpu")]) == 0
    assert capsys.readouterr().out.startswith("skipped: torch ")
    assert not list(tmp_path.iterdir())


def test_a_failing_check_stops_no_other_and_is_kept(setup, tmp_path):
    def cannot_be_listed(_):
        raise ImportError("No module named 'torchvision'")

    checks = [
        Check("one", lambda _: {"a": broken, "b": yes}, "?", "", 10),
        Check("two", cannot_be_listed, "?", "", 10),
        Check("three", lambda _: {"c": yes}, "?", "", 10),
        Check("four", lambda _: {"d": yes}, "?", "", -1),
        Check("five", lambda _: {}, "?", "", 10),
        Check("six", lambda _: {"e": lambda: {"ms": 1.5, "holds": None}}, "?", "", 10),
    ]
    assert run(checks, setup, tmp_path) == ["fails", "fails", "holds", "unfinished", "unfinished", "not judged"]
    found = {path.stem: files.read_json(path) for path in tmp_path.glob("*.json")}
    assert found["one"]["cases"][0] == {"case": "a", "error": "RuntimeError: an illegal memory access", "holds": False}
    assert found["one"]["cases"][1]["holds"]
    assert "torchvision" in found["two"]["cases"][0]["error"]
    assert found["four"]["left_out"] == ["d"]
    (tmp_path / "cuda").mkdir()
    for name in found:
        (tmp_path / f"{name}.json").rename(tmp_path / "cuda" / f"{name}.json")
    text = page.whole(tmp_path, [check.name for check in checks], SECONDS)
    assert "of 6 checks 2 fails, 1 holds, 2 unfinished, 1 not judged" in text
    assert "| e | 1.5 | not judged |" in text
    assert "Left out, as time was up: d." in text


def test_one_check_that_does_not_hold_is_exit_code_1(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(check_gpu, "CHECKS", (Check("bad", lambda _: {"case": broken}, "?", "", 10),))
    assert main(["--device", "cpu", "--short", "--into", str(tmp_path / "gpu")]) == 1


def test_all_checks_fit_into_the_time():
    assert sum(check.seconds for check in CHECKS) <= SECONDS <= 8 * 60


def test_every_network_and_optimizer_of_the_course_is_compared():
    used = set().union(*(names_in(model) for model, _ in cases.NETWORKS.values()))
    assert networks() - used <= {"ResNet", "resnet", "zero_last_norms"}  # these three make no other layers
    optimizers = {optimizer.func.__name__ for optimizer in cases.OPTIMIZERS.values()}
    assert optimizers >= {"SGD", "Adam", "AdamW", "RMSprop", "ProximalSGD"}


def test_the_page_is_made_of_what_lies_in_its_folder():
    text = (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")
    assert text == page.whole(ROOT / "docs" / "gpu", NAMES, SECONDS), "run: python -m benchmarks.gpu --report"


# --- planted bugs -----------------------------------------------------------------------------------------------------


def test_a_momentum_that_is_lost_at_a_resume_is_noticed(setup, monkeypatch):
    case = partial(same._resumed, setup, [setup.experiment(*cases.NETWORKS["MLP, tanh"])])
    assert case() == {"stopped after step": 13, "numbers that differ": 0, "holds": True}
    restore = checkpoint.restore

    def forgets(folder, model, optimizer, *others):
        progress = restore(folder, model, optimizer, *others)
        for state in optimizer.state.values():
            state["momentum_buffer"].zero_()
        return progress

    monkeypatch.setattr(checkpoint, "restore", forgets)
    found = case()
    assert not found["holds"]
    assert found["numbers that differ"] > 1000


def test_a_stack_with_other_numbers_is_noticed(setup, monkeypatch):
    case = same.stacks(setup)["SimpleNN, with and without L1"]
    assert case()["holds"]
    hand_out = stacked.StackedModel.hand_out_gradients

    def too_large(stack):
        hand_out(stack)
        for model in stack.models:
            for parameter in model.parameters():
                parameter.grad *= 1.01

    monkeypatch.setattr(stacked.StackedModel, "hand_out_gradients", too_large)
    assert not case()["holds"]


def test_a_step_that_waits_is_noticed(setup, monkeypatch):
    case = waits.waits(setup)["SimpleNN, BN, L1"]
    assert case() == {"calls that wait": 0, "holds": True}
    train_step = loop.train_step

    def waits_for_the_loss(*arguments):
        logits, loss = train_step(*arguments)
        loss.item()
        return logits, loss

    monkeypatch.setattr(loop, "train_step", waits_for_the_loss)
    assert case() == {"calls that wait": 10, "holds": False}


def test_a_device_that_computes_something_else_is_noticed(setup, monkeypatch):
    case = same.devices(setup)["LeNet5"]
    assert case()["holds"]

    @contextmanager
    def wrong(_):
        with mock.patch.object(loop, "smoothed", lambda loss, _: partial(loss, label_smoothing=0.02)):
            yield

    monkeypatch.setattr(cases, "as_the_gpu", wrong)
    found = case()
    assert not found["holds"]
    assert found["first gradient"] > same.FIRST_GRADIENT


def test_augmentation_by_draws_of_the_device_is_noticed(setup, monkeypatch):
    def crop_flip(images, generator):
        return torch.where(torch.rand(len(images))[:, None, None, None] < 0.5, images.flip(3), images)

    monkeypatch.setattr(same, "crop_flip", crop_flip)
    assert not same.data(setup)["mnist, crop + flip"]()["holds"]


def test_bfloat16_that_is_not_used_is_noticed(setup, monkeypatch):
    case = same.precisions(setup)["MLP"]
    assert case()["holds"]
    monkeypatch.setattr(settings, "autocast", lambda *_: nullcontext())
    assert not case()["holds"]


def test_the_warnings_of_torch_are_counted_and_the_mode_is_put_back(monkeypatch):
    modes = []
    monkeypatch.setattr(torch.cuda, "get_sync_debug_mode", lambda: 0)
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)

    def run():
        for _ in range(3):
            warnings.warn(waits.SYNCHRONISED, stacklevel=1)
        warnings.warn("something else", stacklevel=1)

    assert waits._noticed_by_torch(run) == 3
    assert modes == ["warn", 0]


def test_calls_that_wait_are_counted_and_others_are_not():
    tensor = torch.ones(3)
    with waits.calls(torch.device("cpu")) as found:
        float(tensor[0]), bool(tensor[0]), tensor.tolist(), tensor.cpu(), tensor.numpy(), tensor.to("cpu")
        tensor.to(torch.float64), tensor.to("cpu", non_blocking=True), tensor.sum(), len(tensor)
    assert found == {"__float__": 1, "__bool__": 1, "tolist": 1, "cpu": 1, "numpy": 1, "to": 1}
