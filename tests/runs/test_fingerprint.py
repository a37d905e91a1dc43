import importlib
import itertools
import json
import linecache
import os
import shutil
import subprocess
import sys
import types
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from coursekit import models
from coursekit.analysis import diagnostics
from coursekit.data import augment
from coursekit.errors import UsageError
from coursekit.runs import experiment, fingerprint
from coursekit.runs.experiment import Experiment
from coursekit.runs.fingerprint import describe, key
from coursekit.training import penalties, schedules

BASE = Experiment(
    model=partial(models.MLP, (784, 8, 10)),
    optimizer=partial(torch.optim.SGD, lr=0.5, momentum=0.9),
    data="mnist",
    epochs=3,
    batch_size=16,
)


def of(**changes) -> str:
    return experiment.key_of(replace(BASE, **changes), "checksum")


def function(x):
    return x


def two(a, b=(3,), **others):
    return a, b, others


def adder(amount):
    def add(x):
        return x + amount

    return add


@dataclass(frozen=True)
class Decay:
    """A schedule with a name and parameters: values that can be called."""

    rate: float = 0.5

    def __call__(self, epoch):
        return self.rate**epoch


# --- descriptions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "same"),
    [
        (np.float64(0.1), 0.1),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        ((1, (2, 3)), [1, [2, 3]]),
        (range(3), [0, 1, 2]),
        (torch.Size([2, 3]), [2, 3]),
        (Path("a") / "b", "a/b"),
        (1.0, 1),
        (0.1 + 0.2, 0.3),
        (partial(two, 1, (2,)), partial(two, b=[2], a=1.0)),
        (partial(two, 1, (3,)), partial(partial(two), a=1)),
        (partial(two, c=1), partial(two, **{"c": 1})),
        (partial(two), two),
        (Decay(), Decay(rate=0.5)),
        (partial(models.SimpleNN, True), partial(models.SimpleNN, activation="relu", batch_norm=True)),
        (partial(torch.optim.SGD, lr=1e-3, weight_decay=0), partial(torch.optim.SGD, momentum=0.0)),
        ({"b": 1, "a": 2}, {"a": 2, "b": 1}),
    ],
)
def test_equal_values_have_one_description(value, same):
    assert key(describe(value)) == key(describe(same))


def test_np_float32_is_its_own_value():
    assert describe(np.float32(0.1)) == pytest.approx(float(np.float32(0.1)), rel=1e-12)
    assert describe(np.float32(0.1)) != describe(0.1)


VALUES = [0, 1, 2, "1", "", 0.5, -0.5, None, [], [1], [[1]], [1, 2], [2, 1], {"a": 1}, {"a": 2}, {"b": 1}, {}]


def test_different_values_have_different_descriptions():
    for one, other in itertools.combinations(VALUES, 2):
        assert key(describe(one)) != key(describe(other)), (one, other)


@dataclass(frozen=True)
class Growth:
    rate: float = 0.5

    def __call__(self, epoch):
        return self.rate**-epoch


@dataclass(frozen=True)
class Settings:
    depth: int = 3
    width: int = 8


def test_descriptions_are_plain_values():
    assert describe(function) == "function", "ours go by name without their module, which may move"
    assert describe(torch.optim.SGD) == "torch.optim.sgd.SGD"
    assert describe(adder(3))["amount"] == 3
    assert describe(partial(two, 1, b=(2,))) == {"call": "two", "a": 1, "b": [2]}
    assert describe(Settings(width=9)) == {"width": 9}, "a field at its default is left out"
    assert (describe(Decay()), describe(Decay(0.25))) == ("Decay", {"call": "Decay", "rate": 0.25})
    assert describe(BASE) == {
        "model": {"call": "MLP", "sizes": [784, 8, 10]},
        "optimizer": {"call": "torch.optim.sgd.SGD", "lr": 0.5, "momentum": 0.9},
        "data": "mnist",
        "epochs": 3,
        "batch_size": 16,
    }


@pytest.mark.parametrize(
    "value",
    [
        object(),
        {1, 2},
        np.zeros(2),
        torch.zeros(2),
        torch.float32,
        torch.nn.ReLU(),
        1j,
        b"x",
        float("nan"),
        float("inf"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_without_description_is_refused(value):
    for wrapped in (value, [value], {"a": value}, partial(function, value), adder(value), Settings(value)):
        with pytest.raises(UsageError, match="cannot build a key from"):
            describe(wrapped)


def test_a_lambda_is_refused_because_two_of_them_look_alike():
    for one in (lambda epoch: 0.1, partial(lambda epoch, k: k, k=1)):
        with pytest.raises(UsageError, match="give the function a name"):
            of(schedule=one)


# --- experiments ------------------------------------------------------------------------------------------------------


def test_the_key_is_a_function_of_the_configuration():
    assert of() == of(seed=0, validation=0, pixels="unit") == of(epochs=np.int64(3))
    assert of() == of(model=partial(models.MLP, [784, 8, 10]))
    assert of() == of(optimizer=partial(torch.optim.SGD, momentum=0.9, lr=np.float64(0.5)))
    assert of() == of(optimizer=partial(torch.optim.SGD, momentum=0.9, lr=np.float32(0.5)))
    assert of(schedule=Decay(0.5)) == of(schedule=Decay())
    assert of(schedule=adder(2)) == of(schedule=adder(2))


CHANGES = {
    "width": {"model": partial(models.MLP, (784, 9, 10))},
    "depth": {"model": partial(models.MLP, (784, 8, 8, 10))},
    "activation": {"model": partial(models.MLP, (784, 8, 10), "tanh")},
    "dropout": {"model": partial(models.MLP, (784, 8, 10), dropout=0.5)},
    "other model": {"model": models.DeepMLP},
    "lr": {"optimizer": partial(torch.optim.SGD, lr=0.51, momentum=0.9)},
    "momentum": {"optimizer": partial(torch.optim.SGD, lr=0.5)},
    "nesterov": {"optimizer": partial(torch.optim.SGD, lr=0.5, momentum=0.9, nesterov=True)},
    "other optimizer": {"optimizer": partial(torch.optim.RMSprop, lr=0.5, momentum=0.9)},
    "proximal": {"optimizer": partial(penalties.ProximalSGD, lr=0.5, momentum=0.9, strength=1e-3)},
    "data": {"data": "cifar10"},
    "epochs": {"epochs": 4},
    "batch_size": {"batch_size": 17},
    "seed": {"seed": 1},
    "validation": {"validation": 10},
    "train_size": {"train_size": 100},
    "classes": {"classes": (0, 1)},
    "other classes": {"classes": (0, 2)},
    "pixels": {"pixels": "standard"},
    "label_smoothing": {"label_smoothing": 0.1},
    "loss": {"loss": torch.nn.functional.multi_margin_loss},
    "loss of ours": {"loss": partial(torch.nn.functional.multi_margin_loss, margin=2.0)},
    "precision": {"precision": "bfloat16"},
    "keep_weights": {"keep_weights": True},
    "augment": {"augment": augment.crop_flip},
    "augment's padding": {"augment": partial(augment.crop_flip, padding=2)},
    "initialization": {"initialization": "he"},
    "schedule": {"schedule": Decay()},
    "schedule's rate": {"schedule": Decay(0.25)},
    "other schedule, same field": {"schedule": Growth()},
    "schedule_by": {"schedule": Decay(), "schedule_by": "step"},
    "closure": {"schedule": adder(1)},
    "closure's value": {"schedule": adder(2)},
    "penalty": {"penalty": partial(penalties.l1, strength=1e-3)},
    "penalty's strength": {"penalty": partial(penalties.l1, strength=1e-4)},
    "probe": {"probe": function},
    "probe_every": {"probe_every": 5},
    "watch_test": {"watch_test": True},
    "measure": {"measure": function},
}


def test_every_change_of_the_configuration_changes_the_key():
    keys = {name: of(**change) for name, change in CHANGES.items()} | {"none": of()}
    for (one, key_one), (other, key_other) in itertools.combinations(keys.items(), 2):
        assert key_one != key_other, f"{one} and {other} have the same key"
    changed = {name for change in CHANGES.values() for name in change}
    assert changed == set(Experiment.__dataclass_fields__), "a field has no change of its own here"


def test_the_data_change_the_key():
    assert experiment.key_of(BASE, "one checksum") != experiment.key_of(BASE, "another")


def test_an_argument_that_the_function_does_not_take_is_refused_at_once():
    with pytest.raises(UsageError, match="SimpleNN: got an unexpected keyword argument 'batchnorm'"):
        of(model=partial(models.SimpleNN, batchnorm=True))


# --- code -------------------------------------------------------------------------------------------------------------

MODULE = '''
import functools
from dataclasses import dataclass, replace
from types import SimpleNamespace

import torch
from torch import nn

import {name}_parts
import {name}_parts as parts
from {name}_parts import Base, deep

WIDTH = 4
SIZES = [1, 2]
DEPTHS = [1, 2]
SETTINGS = SimpleNamespace(width=[1, 2])
CHOSEN = {{1, 2}}
TABLE = {{"first": deep}}


def activation(x):
    """Says what it does."""
    return x.relu()  # and why


class Net(Base):
    """A network."""

    kind = parts.Block
    depths = DEPTHS

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, WIDTH)

    def forward(self, x):
        return activation(self.layer(x))

    @property
    def rate(self):
        return parts.of_property()

    @staticmethod
    def helper():
        return parts.of_static()


def make():
    return Net()


def through_module():
    return parts.shallow()


def through_package():
    return {name}_parts.shallow()


def through_table():
    return TABLE["first"]()


def through_default(f=deep, k=SIZES):
    return f(k)


@functools.cache
def through_cache():
    return deep()


def through_closure():
    def inner():
        return deep()

    return inner


@dataclass(frozen=True)
class Decay:
    rate: float = 0.5

    def __call__(self, epoch):
        return deep()


instance = Decay()


def through_instance():
    return instance(1)


def constant():
    return SIZES


def settings():
    return SETTINGS.width, CHOSEN, instance.rate


def unrelated():
    return 1
'''
PARTS = """
from torch import nn


class Base(nn.Module):
    def extra(self):
        return deep()


class Block:
    size = 1


def shallow():
    return deep()


def deep(*arguments):
    return 3


def of_property():
    return 1


def of_static():
    return 1
"""


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Keys of things in two small modules, after replacing text in them."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    counter = itertools.count()

    def keys(what, *replacements, name="net"):
        module, parts = MODULE.format(name=name), PARTS
        for old, new in replacements:
            assert old in module + parts
            module, parts = module.replace(old, new), parts.replace(old, new)
        # A size of its own for each version: linecache looks at size and time, and here both may be the same.
        padding = "\n" * next(counter)
        (tmp_path / f"{name}_parts.py").write_text(parts + padding)
        (tmp_path / f"{name}.py").write_text(module + padding)
        importlib.invalidate_caches()
        for loaded in (f"{name}_parts", name):
            if loaded in sys.modules:
                importlib.reload(sys.modules[loaded])
            else:
                importlib.import_module(loaded)
        thing = getattr(sys.modules[name], what)
        thing = thing() if what == "through_closure" else thing
        return key(describe(None), thing)

    yield keys
    for name in ("net", "net_parts"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("what", ["Net", "make"])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("CHOSEN = {1, 2}", "CHOSEN = {1, 3}"),
        ("SIZES = [1, 2]", "SIZES = [1, 3]"),
        ("  # and why", "  # and for what"),
        ('"""Says what it does."""', '"""Says something else."""'),
        ('    """A network."""\n', ""),
        ("nn.Linear(2, WIDTH)", "nn.Linear(\n            2,\n            WIDTH,\n        )"),
        ("nn.Linear(2, WIDTH)", "nn.Linear(2, WIDTH, non_blocking=True)"),
        ("return x.relu()", "if TABLE:\n        raise ValueError(SIZES)\n    return x.relu()"),
        ("return 1\n\n\ndef of_static", "return (1)  # one\n\n\n\n\ndef of_static"),
        ("def unrelated():\n    return 1", "def unrelated():\n    return 2"),
    ],
)
def test_comments_docstrings_layout_and_other_code_do_not_change_the_key(written, what, old, new):
    assert written(what) == written(what, (old, new))


@pytest.mark.parametrize("what", ["Net", "make"])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("nn.Linear(2, WIDTH)", "nn.Linear(2, WIDTH, bias=False)"),
        ("return x.relu()", "return x.tanh()"),
        ("return deep()\n\n\nclass Block", "return deep() + 1\n\n\nclass Block"),
        ("return 3", "return 4"),
        ("size = 1", "size = 2"),
        ("def of_property():\n    return 1", "def of_property():\n    return 2"),
        ("def of_static():\n    return 1", "def of_static():\n    return 2"),
        ("WIDTH = 4", "WIDTH = 5"),
        ("class Base(nn.Module)", "class Base(nn.Sequential)"),
    ],
)
def test_a_changed_line_in_a_model_or_in_what_it_uses_changes_the_key(written, what, old, new):
    assert written(what) != written(what, (old, new))


WAYS = [f"through_{way}" for way in ("module", "package", "table", "default", "cache", "closure", "instance")]


@pytest.mark.parametrize("what", [*WAYS, "instance"])
def test_code_is_reached_in_every_way_that_one_calls_it(written, what):
    assert written(what) != written(what, ("return 3", "return 4"))


@pytest.mark.parametrize("what", ["constant", "through_default"])
def test_constants_that_are_read_change_the_key(written, what):
    assert written(what) != written(what, ("SIZES = [1, 2]", "SIZES = [1, 3]"))
    few, more = (written(what, ("SIZES = [1, 2]", f"SIZES = range({count})")) for count in (1, 2))
    assert few != more


def test_an_attribute_that_is_read_from_a_global_changes_the_key(written):
    assert written("Net") != written("Net", ("DEPTHS = [1, 2]", "DEPTHS = [1, 3]"))


@pytest.mark.parametrize("old", ["width=[1, 2]", "CHOSEN = {1, 2}", "rate: float = 0.5"])
def test_settings_that_are_read_change_the_key(written, old):
    assert written("settings") == written("settings")
    assert written("settings") != written(
        "settings", (old, old.replace("2}", "3}").replace("2]", "3]").replace("0.5", "0.6"))
    )


def test_code_put_into_an_old_function_changes_the_key(written):
    """As IPython's autoreload does."""
    before = written("make")
    old = sys.modules["net"].make
    after = written("make", ("return 3", "return 4"), ("nn.Linear(2, WIDTH)", "nn.Linear(2, WIDTH, bias=False)"))
    old.__code__ = sys.modules["net"].make.__code__
    assert key(describe(None), old) == after != before


@pytest.mark.parametrize(
    "wrap",
    [lambda code: partial(describe, {"a": [(code, partial(code))]}), lambda code: partial(describe, value=code)],
    ids=["in a container", "by keyword"],
)
def test_code_in_containers_and_partials_is_reached(written, wrap):
    def with_(*replacements):
        written("make", *replacements)
        return key(None, wrap(sys.modules["net"].unrelated))

    assert with_() == with_()
    assert with_() != with_(("def unrelated():\n    return 1", "def unrelated():\n    return 2"))


@pytest.mark.parametrize("field", ["model", "augment", "penalty", "probe", "schedule", "measure", "optimizer"])
def test_the_code_behind_every_field_of_an_experiment_is_part_of_its_key(written, field):
    def with_(*replacements):
        written("make", *replacements)
        return of(**{field: partial(sys.modules["net"].through_module)})

    assert with_() == with_()
    assert with_() != with_(("return 3", "return 4"))


def test_two_functions_of_one_name_are_both_part_of_the_key(written):
    written("make")
    net, others = sys.modules["net"], {}
    for value in (1, 2):
        path = Path(net.__file__).with_name(f"other{value}.py")
        path.write_text(f"def unrelated():\n    return {value}0\n")
        others[value] = importlib.import_module(f"other{value}").unrelated
        others[value].__module__ = "net"  # as when a cell of a notebook is run again with a change
    assert key(None, net.unrelated, others[1]) != key(None, net.unrelated, others[2])
    assert key(None, others[1], others[2]) == key(None, others[2], others[1])


CELL = '''
WIDTH = 3
class Net(torch.nn.Module):
    """Of a notebook."""
    depth = 2
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, WIDTH)
def make():
    return Net()
'''


@pytest.fixture
def cell(monkeypatch):
    """Runs a cell as IPython does: in a module __main__ that has no file, its text known to linecache alone."""
    count = itertools.count()

    def run(text, what="make"):
        main = types.ModuleType("__main__")
        main.torch = torch
        monkeypatch.setitem(sys.modules, "__main__", main)
        name = f"<cell {next(count)}>"
        monkeypatch.setitem(linecache.cache, name, (len(text), None, text.splitlines(True), name))
        exec(compile(text, name, "exec"), vars(main))
        return key(describe(getattr(main, what)), getattr(main, what))

    return run


@pytest.mark.parametrize("what", ["make", "Net"])
def test_a_class_of_a_notebook_has_a_key(cell, what):
    original = cell(CELL, what)
    assert cell("\n\n" + CELL.replace("Of a notebook.", "Of another."), what) == original
    for old, new in (("depth = 2", "depth = 3"), ("Linear(2, WIDTH)", "Linear(3, WIDTH)"), ("WIDTH = 3", "WIDTH = 4")):
        assert cell(CELL.replace(old, new), what) != original


def test_a_class_whose_source_is_nowhere_is_refused(cell):
    with pytest.raises(UsageError, match="cannot build a key from Empty"):
        cell("class Empty(torch.nn.Module):\n    pass\n", "Empty")


def test_a_function_of_a_notebook_has_the_key_that_it_has_in_a_file(cell, written):
    text = "def unrelated():\n    return 1\n"
    written("make")
    net = sys.modules["net"]
    assert cell(text, "unrelated") == key(describe(net.unrelated), net.unrelated)


SYNTAX = """
def all_sorts(names: list[str], /, width: int = 3, *, deep=None) -> str:
    'Its docstring.'
    text = f"{', '.join(names)!r:>{width}}\\n" 'and' f"{len(names):.3g} {{}} {width=}"
    match names:
        case [first, *_] if (n := len(first)) > 2:
            return f"{n}" + text
    async def inner():
        return [x async for x in deep if x[1:, ...] is not None] + [-1, 1j, b"x", 2**0.5]
    return {**{k: v for k, v in zip(names, names)}, "lambda": lambda *a, **k: (yield)}
"""


@pytest.mark.parametrize(
    ("imports", "use"),
    [
        ("from coursekit import training", "training.evaluate"),
        ("from coursekit.training import loop", "loop.evaluate"),
        ("from coursekit.training.loop import evaluate", "evaluate"),
        ("import coursekit.training.loop as elsewhere", "elsewhere.evaluate"),
    ],
)
def test_where_a_function_of_ours_lies_is_no_part_of_a_key(cell, imports, use):
    text = "def measured(model, batches):\n    return {use}(model, batches.test)[1]"
    plain = cell(f"from coursekit.training import evaluate\n\n{text.format(use='evaluate')}", "measured")
    assert cell(f"{imports}\n\n{text.format(use=use)}", "measured") == plain
    assert cell(f"{imports}\n\n{text.format(use=use).replace('test', 'train')}", "measured") != plain


def test_an_attribute_of_something_else_stays_in_a_key(cell):
    text = "def measured(data, shape):\n    return {use}.shape"
    assert cell(text.format(use="data"), "measured") != cell("def measured(data, shape):\n    return shape", "measured")
    imported = f"from coursekit import data\n\n{text.format(use='data')}"  # a parameter of a module's name
    assert cell(imported, "measured") == cell(text.format(use="data"), "measured")


def test_the_source_in_a_key_is_the_same_under_every_python(cell):
    """The results that are in the workbook must be found on Colab. Made with Python 3.11; 3.12 and 3.13 agree."""
    assert cell(SYNTAX, "all_sorts").startswith("41b6a934df2612acb44430d8")


# --- the machinery ----------------------------------------------------------------------------------------------------

MACHINERY = {
    "runs/experiment.py": [("invalid {name}", "wrong {name}")],
    "data/batches.py": [("EVALUATION_BATCH = 1000", "EVALUATION_BATCH = 500")],
    "runs/sweeps.py": [("replayed from the results store", "found")],
    "training/loop.py": [("def train_step(", "def unused():\n    pass\n\n\ndef train_step(")],
    "training/stacked.py": [
        ("labels = labels.expand(len(logits), -1)", "labels = labels.expand(len(logits), labels.shape[-1])")
    ],
    "data/datasets.py": [("WAIT_S = 600", "WAIT_S = 700")],
    "runs/store.py": [("is damaged", "is broken")],
}
NETWORK = {"models/networks.py": [("(8, 16, 3)):", "(8, 16, 5)):")]}
PRINT_KEYS = """
import json
from tests.runs import test_fingerprint
print(json.dumps(test_fingerprint.keys_of_networks()))
"""


def keys_of_networks() -> dict[str, str]:
    """The key of a run for each network, one of a stack's, one of a measure of the package."""
    nets = {name: getattr(models, name) for name in ("LeNet5", "SimpleNN", "SimpleCNN", "cnn4", "cnn_c", "DeepMLP")}
    nets |= {"MLP": partial(models.MLP, (784, 8, 10)), "SimpleNN, BN": partial(models.SimpleNN, True)}
    keys = {name: of(model=net, augment=augment.crop_flip) for name, net in nets.items()}
    schedule = partial(schedules.cosine, total=30)
    return keys | {"ResNet-20": of(model=models.resnet20, schedule=schedule, probe=diagnostics.layer_gradients)}


def keys_after(folder: Path, edits: dict) -> dict[str, str]:
    """`keys_of_networks` in a copy of the package with some text replaced."""
    root = Path(fingerprint.__file__).parents[2]
    shutil.copytree(root / "coursekit", folder / "coursekit", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "tests" / "runs").mkdir(parents=True)
    shutil.copy(__file__, folder / "tests" / "runs")
    for name, replacements in edits.items():
        path = folder / "coursekit" / name
        for old, new in replacements:
            assert old in path.read_text(), f"{name} has no {old}"
            path.write_text(path.read_text().replace(old, new))
    done = subprocess.run(
        [sys.executable, "-c", PRINT_KEYS],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_an_edit_of_the_machinery_gives_no_new_key(tmp_path):
    assert keys_after(tmp_path, MACHINERY) == keys_of_networks()


def test_an_edit_of_a_network_gives_its_runs_a_new_key_and_no_others(tmp_path):
    before, after = keys_of_networks(), keys_after(tmp_path, NETWORK)
    assert {name for name in before if before[name] != after[name]} == {"SimpleNN", "SimpleNN, BN"}


def test_numerics_are_part_of_every_key(monkeypatch):
    before = of()
    monkeypatch.setattr(fingerprint, "NUMERICS", fingerprint.NUMERICS + 1)
    assert of() != before


def test_code_installed_elsewhere_is_not_ours(tmp_path, monkeypatch):
    """In the home folder, or in the system's environment below this one: a method of torch has no code to read."""
    folder = tmp_path / ".local" / "lib" / "python3.11" / "site-packages"
    folder.mkdir(parents=True)
    (folder / "installed_there.py").write_text("def twice(x):\n    return 2 * x\n")
    monkeypatch.syspath_prepend(folder)
    assert not fingerprint._is_ours(importlib.import_module("installed_there").twice)
    assert fingerprint._is_ours(test_code_installed_elsewhere_is_not_ours)


EDITED = """\
import torch


def halved(epoch):
    return 0.5**epoch


class Net(torch.nn.Linear):
    def __init__(self):
        super().__init__(4, 2)

    def forward(self, x):
        return super().forward(x).relu()
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "edited.py").write_text(EDITED)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("edited")
    del sys.modules["edited"]


@pytest.mark.parametrize("name", ["halved", "Net"])
def test_lines_that_move_in_a_file_while_it_is_in_use_change_no_key(module, name):
    def key_now():
        fingerprint._normalised.cache_clear()
        return key("", getattr(module, name))

    before = key_now()
    Path(module.__file__).write_text("# a comment\n\n\ndef other(epoch):\n    return 1\n\n\n" + EDITED)
    assert key_now() == before


@pytest.mark.parametrize(
    ("name", "old", "new"), [("halved", "0.5", "0.6"), ("Net", "relu", "tanh"), ("halved", "halved", "x")]
)
def test_code_that_is_no_longer_in_its_file_gives_no_key(module, name, old, new):
    Path(module.__file__).write_text(EDITED.replace(old, new))
    fingerprint._normalised.cache_clear()
    with pytest.raises(UsageError, match=rf"{name}: .*edited.py was edited after it was imported; restart the kernel"):
        key("", getattr(module, name))
