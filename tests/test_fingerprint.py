import ast
import importlib
import itertools
import linecache
import sys
import types
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from coursekit import augment, experiment, fingerprint, models, penalties
from coursekit.errors import UsageError
from coursekit.experiment import Experiment
from coursekit.fingerprint import describe, key

BASE = Experiment(
    model=partial(models.MLP, (784, 8, 10)),
    optimizer=partial(torch.optim.SGD, lr=0.5, momentum=0.9),
    data="mnist",
    epochs=3,
    batch_size=16,
)


def of(**changes) -> str:
    return experiment.key_of(replace(BASE, **changes), "checksum")


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
        ({"b": 1, "a": 2}, {"a": 2, "b": 1}),
    ],
)
def test_equal_values_have_one_description(value, same):
    assert key(describe(value)) == key(describe(same))


def test_np_float32_is_its_own_value():
    assert describe(np.float32(0.1)) == float(np.float32(0.1)) != 0.1


VALUES = [0, 1, 2, "1", "", 0.5, -0.5, None, [], [1], [[1]], [1, 2], [2, 1], {"a": 1}, {"a": 2}, {"b": 1}, {}]


def test_different_values_have_different_descriptions():
    for one, other in itertools.combinations(VALUES, 2):
        assert key(describe(one)) != key(describe(other)), (one, other)


def function(x):
    return x


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
    assert describe(function).endswith("function")
    assert describe(torch.optim.SGD) == "torch.optim.sgd.SGD"
    assert describe(adder(3))["amount"] == 3
    assert describe(partial(function, 1, b=(2,))) == {"call": describe(function), "args": [1], "b": [2]}
    assert describe(Settings(width=9)) == {"width": 9}, "a field at its default is left out"
    assert describe(Decay())["call"].endswith("Decay")
    assert describe(BASE) == {
        "model": {"call": "coursekit.models.MLP", "args": [[784, 8, 10]]},
        "optimizer": {"call": "torch.optim.sgd.SGD", "args": [], "lr": 0.5, "momentum": 0.9},
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


def test_what_a_run_goes_through_is_part_of_the_key():
    reached = {
        name
        for name, _ in fingerprint._reached([experiment._compute, experiment._compute_together, *vars(BASE).values()])
    }
    parts = {
        "splits.split",
        "experiment._finish",
        "experiment._compute_together",
        "stacked.fit",
        "batches.Batches",
        "batches.stratified",
        "models.MLP",
    }
    parts |= {f"training.{name}" for name in ("fit", "train_one_epoch", "train_step", "evaluate")}
    parts |= {"models.initialize", "models.activation_layer", "batches.channel_statistics"}
    assert {f"coursekit.{part}" for part in parts} <= reached
    outside = ("data", "samples", "storage", "results", "checkpoint", "plots", "notebook")
    assert not [name for name in reached if name.startswith(tuple(f"coursekit.{room}." for room in outside))]
    assert not [name for name in reached if name.startswith("torch")]


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


def test_code_in_containers_and_partials_is_reached(written):
    def with_(*replacements):
        written("make", *replacements)
        net = sys.modules["net"]
        wrapped = partial(describe, {"a": [(net.unrelated, partial(net.unrelated))]})
        return key(None, wrapped)

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


def test_f_strings_are_in_a_key_as_python_3_11_writes_them():
    """Under Python 3.12 and later too: the results that are in the workbook must be found on Colab."""

    def said(names, width):
        return (
            f"{', '.join(names)!r:>{width}}\n",
            f'{len(names):.3g} said "hi"',
            f"""{names["a"]} says "it's so\"""",
            f"{(1 if width else 2)}",
        )

    expected = [
        """f"{', '.join(names)!r:>{width}}\\n\"""",
        """f'{len(names):.3g} said "hi"'""",
        "f'''{names['a']} says \"it's so\"'''",
        """f'{(1 if width else 2)}'""",
    ]
    assert fingerprint._source(said).split("return ")[1] == f"({', '.join(expected)})"


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="the oracle is the ast.unparse of Python 3.11")
def test_every_f_string_of_the_package_is_in_a_key_as_python_3_11_writes_it():
    for path in Path(fingerprint.__file__).parent.rglob("*.py"):
        ours, plain = ast.parse(path.read_text()), ast.parse(path.read_text())
        assert ast.unparse(fingerprint._OneNotation().visit(ours)) == ast.unparse(plain), path


def test_code_installed_elsewhere_is_not_ours(tmp_path, monkeypatch):
    """In the home folder, or in the system's environment below this one: a method of torch has no code to read."""
    folder = tmp_path / ".local" / "lib" / "python3.11" / "site-packages"
    folder.mkdir(parents=True)
    (folder / "installed_there.py").write_text("def twice(x):\n    return 2 * x\n")
    monkeypatch.syspath_prepend(folder)
    assert not fingerprint._is_ours(importlib.import_module("installed_there").twice)
    assert fingerprint._is_ours(test_code_installed_elsewhere_is_not_ours)
