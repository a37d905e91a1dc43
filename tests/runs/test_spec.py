"""A sweep in a file is the one that a notebook writes, and a mistake in it is one line before anything is trained."""

import json
from functools import partial

import pytest
import torch

from coursekit import models
from coursekit.cli import main
from coursekit.data import augment
from coursekit.errors import UsageError
from coursekit.runs import executors, experiment, spec
from coursekit.runs.experiment import Experiment
from coursekit.runs.store import Result
from coursekit.training import schedules

YAML = """
model: LeNet5
optimizer: {SGD: {momentum: 0.9, weight_decay: 1e-4}}
data: cifar10
epochs: 10
batch_size: 128
validation: 500
train_size: 20000
pixels: standard
seeds: [0, 2]
exp_dict:
  halved: {Learning_rate: 0.1, Scheduler: StepDecay, Scheduler_param: {step_size: 10, gamma: 0.5}}
  constant: {Learning_rate: 0.01}
  other: {optimizer: {Adam: {lr: 1e-3}}, model: {resnet20: {shortcut: none}}, augment: crop_flip, classes: [1, 2]}
"""


@pytest.fixture
def file(tmp_path):
    def write(text: str, name: str = "sweep.yaml"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def test_a_file_in_the_courses_form_has_the_keys_of_a_notebooks_sweep(file):
    variants, seeds = spec.read(file(YAML))
    sgd = partial(torch.optim.SGD, momentum=0.9, weight_decay=1e-4)
    lenet = partial(Experiment, models.LeNet5, data="cifar10", epochs=10, batch_size=128, validation=500)
    lenet = partial(lenet, train_size=20000, pixels="standard")
    lr, schedule = schedules.from_course(
        {"Learning_rate": 0.1, "Scheduler": "StepDecay", "Scheduler_param": {"step_size": 10, "gamma": 0.5}}
    )
    expected = {
        "halved": lenet(partial(sgd, lr=lr), schedule=schedule),
        "constant": lenet(partial(sgd, lr=0.01)),
        "other": Experiment(
            partial(models.resnet20, shortcut="none"),
            partial(torch.optim.Adam, lr=1e-3),
            "cifar10",
            10,
            128,
            validation=500,
            train_size=20000,
            pixels="standard",
            augment=augment.crop_flip,
            classes=(1, 2),
        ),
    }
    keys = [{name: experiment.key_of(one, "data") for name, one in sweep.items()} for sweep in (variants, expected)]
    assert keys[0] == keys[1]
    assert seeds == [0, 2]


def test_json_says_the_same(file):
    content = {"model": "LeNet5", "optimizer": "SGD", "data": "cifar10", "epochs": 1, "batch_size": 8, "seeds": 3}
    content["exp_dict"] = {"it": {"Learning_rate": 0.1, "schedule": {"CosineDecay": {"total": 5}}}}
    del content["exp_dict"]["it"]["schedule"]
    variants, seeds = spec.read(file(json.dumps(content), "sweep.json"))
    assert variants["it"].optimizer.keywords == {"lr": 0.1}
    assert seeds == [0, 1, 2]


SHORT = "model: LeNet5\noptimizer: {SGD: {lr: 0.1}}\ndata: cifar10\nepochs: 1\nbatch_size: 8\n"


def test_a_schedule_by_its_name(file):
    text = SHORT + "exp_dict: {it: {schedule: {CosineDecay: {total: 5}}, schedule_by: step}}"
    one = spec.read(file(text))[0]["it"]
    assert (one.schedule(0), one.schedule(5), one.schedule_by) == (1.0, 0.0, "step")


def test_a_learning_rate_alone_leaves_the_schedule(file):
    text = SHORT + "schedule: {CosineDecay: {total: 5}}\nexp_dict: {it: {Learning_rate: 0.5}}"
    one = spec.read(file(text))[0]["it"]
    assert (one.schedule(0), one.schedule(5)) == (1.0, 0.0)
    assert one.optimizer([torch.zeros(1)]).param_groups[0]["lr"] == 0.5


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("exp_dict: {it: {model: Nothing}}", "it: no model 'Nothing'; choose MLP, DeepMLP"),
        ("exp_dict: {it: {model: {MLP: {width: 3}}}}", "it: MLP has no 'width'"),
        ("exp_dict: {it: {model: {MLP: {sizes: [3]}}}}", "MLP takes at least two sizes"),
        ("exp_dict: {it: {optimizer: {SGD: {lr: -1}}}}", "it: optimizer: Invalid learning rate"),
        ("exp_dict: {it: {optimizer: __import__('os').system('true')}}", 'it: no optimizer "__import__'),
        ("exp_dict: {it: {optimizer: !!python/name:os.system ''}}", "could not determine a constructor"),
        ("exp_dict: {it: {momentum: 0.9}}", "it: no 'momentum'; choose model"),
        ("exp_dict: {it: {measure: foo}}", "it: no 'measure'; choose"),
        ("exp_dict: {it: {epochs: many}}", "it: epochs is 'many'; it takes int"),
        ("exp_dict: {it: {epochs: true}}", "it: epochs is True; it takes int"),
        ("exp_dict: {it: {classes: [a]}}", "it: classes is ['a']; it takes tuple[int, ...] | None"),
        ("exp_dict: {it: {Scheduler: Fast, Learning_rate: 1}}", "it: no 'Fast' in"),
        ("exp_dict: {it: {schedule: {StepDecay: {size: 1}}}}", "step() got an unexpected keyword argument 'size'"),
        ("exp_dict: {it: {Scheduler: Constant, schedule: Constant}}", "it: schedule and Scheduler say the same"),
        ("exp_dict: {it: 5}", "it is 5, not a dictionary"),
        ("exp_dict: {it: {}, it: {}}", "it stands there twice"),
        ("exp_dict: {}", "no exp_dict with a variant in it"),
        ("exp_dict: {it: {}}\nseeds: none", "seeds is 'none'; give a list of whole numbers"),
        ("exp_dict: {it: {}", "expected ',' or '}'"),
    ],
)
def test_what_is_wrong_is_one_line_with_its_place(file, text, line):
    path = file(SHORT + text)
    with pytest.raises(UsageError) as error:
        spec.read(path)
    assert str(error.value).startswith(f"{path}: ")
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_missing_and_a_file_that_is_not_there(file, tmp_path):
    with pytest.raises(UsageError, match="it: epochs is missing"):
        spec.read(file(SHORT.replace("epochs: 1\n", "") + "exp_dict: {it: {}}"))
    with pytest.raises(UsageError, match=r"cannot read .*: No such file"):
        spec.read(tmp_path / "none.yaml")


# --- coursekit sweep --------------------------------------------------------------------------------------------------

LETTERS = """
model: {MLP: {sizes: [128, 8, 10]}}
data: letters
epochs: 1
batch_size: 50
validation: 3
seeds: 2
optimizer: SGD
exp_dict: {slow: {Learning_rate: 1e-2}, fast: {Learning_rate: 0.1}}
"""


@pytest.fixture
def command(monkeypatch, capsys):
    monkeypatch.setenv("COURSEKIT_PROFILE", "cpu")  # is set by the command, and put back after the test

    def run(*arguments) -> tuple[int, str, str]:
        code = main.main(["sweep", *map(str, arguments), "--profile", "sample"])
        return code, *capsys.readouterr()

    return run


def test_the_command_trains_tells_and_replays(file, command):
    path = file(LETTERS)
    code, out, err = command(path)
    assert code == 0
    assert "4 runs made on CPU" in out
    assert "; 4 trained in" in out
    assert [line.split()[:2] for line in out.splitlines() if line.startswith(("slow", "fast"))] == [
        ["slow", "2/2"],
        ["fast", "2/2"],
    ]
    assert "all" in err
    assert "4 replayed from the results store\n" in command(path)[1]


def test_runs_without_a_result_are_exit_code_6(file, command, monkeypatch):
    lost = Result("key", "it", "lost", {}, [], [], {}, {"error": "no reason"})
    monkeypatch.setattr("coursekit.runs.sweeps.sweep", lambda *_: {"it": [lost, lost]})
    code, out, err = command(file(LETTERS))
    assert (code, "it  0/2" in out) == (6, True)
    assert err == "error: 2 of 2 runs have no result; the same command tries them again\n"


def test_engines_of_the_command(file, command, monkeypatch):
    asked = []
    monkeypatch.setattr("coursekit.runs.sweeps.sweep", lambda *arguments: asked.append(arguments) or {})
    for options in ([], ["--workers", 3, "--threads", 2], ["--refresh", "--together", 1]):
        assert command(file(LETTERS), *options)[0] == 0
    assert [arguments[3].func for arguments in asked] == [executors.Serial, executors.Processes, executors.Serial]
    assert asked[1][3].args == (3, 2)
    assert [arguments[2] for arguments in asked] == [False, False, True]
    assert asked[2][4] == 1
    code, _, err = command(file(LETTERS), "--queue", "short")
    assert (code, err) == (2, "error: --queue goes with --slurm\n")
