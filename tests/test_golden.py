"""Golden numbers: small runs whose losses and metrics change only together with `NUMERICS`.

A stored result is looked up by its configuration, its data and what the experiment hands over, not by the code that
trains it. So these tests must fail when that code computes different numbers. If the change is intended, raise
`NUMERICS` and run `python -m tests.test_golden`, which rewrites tests/golden.json.
"""

import json
import math
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from coursekit import models, scratch, settings
from coursekit.analysis.diagnostics import first_gradient_norm, layer_gradients
from coursekit.data import augment, datasets, drawn
from coursekit.runs import fingerprint, store
from coursekit.runs.experiment import PIXELS, PRECISIONS, Experiment, run
from coursekit.runs.store import Result
from coursekit.runs.sweeps import sweep
from coursekit.training import penalties, schedules

FILE = Path(__file__).with_name("golden.json")
NOTEBOOKS = Path(__file__).parents[1] / "notebooks" / "src"
ADVICE = f"If that was meant, raise {fingerprint.__name__}.NUMERICS and rewrite the file: python -m tests.test_golden"
SGD, ADAM, ADAMW, RMSPROP = torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop


# --- what the runs hand over ------------------------------------------------------------------------------------------


def norms(model: nn.Module) -> dict[str, float]:
    """The norm of all parameters and the norm of all running statistics."""
    return {"parameters": _norm(model.parameters()), "buffers": _norm(model.buffers())}


def _norm(tensors) -> float:
    return math.sqrt(sum(float(tensor.detach().double().square().sum()) for tensor in tensors))


def norms_and_logits(model: nn.Module) -> dict[str, float]:
    """These norms and the logits of grey images, which depend on the mode of BatchNorm."""
    with torch.no_grad():
        return norms(model) | {"logits": _norm([model(torch.full((2, 3, 32, 32), 0.5))])}


def grouped(parameters, lr: float) -> torch.optim.Optimizer:
    """SGD with weight decay for the weights and a higher learning rate for the biases."""
    parameters = list(parameters)
    weights, biases = ([p for p in parameters if (p.ndim > 1) == wanted] for wanted in (True, False))
    return SGD([{"params": weights, "weight_decay": 0.1}, {"params": biases, "lr": 3 * lr}], lr=lr)


def custom_norms() -> nn.Sequential:
    """SimpleNN with BatchNorms whose momentum and epsilon are not torch's defaults."""
    model = models.SimpleNN(batch_norm=True)
    for layer in model:
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum, layer.eps = 0.3, 1e-2
    return model


def quiet_resnet() -> nn.Module:
    """A network in which every block begins as its shortcut."""
    return models.zero_last_norms(models.resnet(8))


class LogitsInBfloat16(nn.Module):
    """Gives bfloat16 logits to a loss outside autocast; inside it, torch itself computes the softmax in float32."""

    def __init__(self):
        super().__init__()
        self.body = small_mlp()

    def forward(self, images):
        with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
            return self.body(images)


def use_bfloat16() -> bool:
    """Replaces the measurement of whether this machine gains by bfloat16."""
    return True


# --- the runs ---------------------------------------------------------------------------------------------------------

# Last batches are smaller than the others: 4 of the 100 digits and 8 of the 40 shapes that are trained on, and 30 of
# the 1,030 digits of the test set, which is evaluated 1,000 at a time. Decay and penalties are strong, so that a run of
# eight steps shows them. Learning rates are small where rounding grows from step to step: deep networks with BatchNorm.
DRAWN = {
    "mnist": partial(drawn.digits, 120, 1030),
    "cifar10": partial(drawn.shapes, 100, 30),
    "letters": partial(drawn.letters, 6, 2),
}
digits = partial(Experiment, data="mnist", epochs=2, batch_size=32, validation=2)
shapes = partial(Experiment, data="cifar10", epochs=2, batch_size=16, validation=2, train_size=40)
mlp, small_mlp = partial(models.MLP, (784, 16, 10)), partial(models.MLP, (784, 8, 10))
momentum = partial(SGD, momentum=0.9)
nesterov = partial(momentum, nesterov=True, weight_decay=0.05)
by_image = partial(digits, epochs=1, batch_size=1, probe=first_gradient_norm, probe_every=20)

RUNS = {
    "MLP": digits(mlp, partial(SGD, lr=0.1), watch_test=True, measure=norms),
    "MLP, dropout": digits(partial(mlp, dropout=0.3), partial(momentum, lr=1e-4), seed=1, pixels="raw"),
    "DeepMLP": digits(
        partial(models.DeepMLP, "sigmoid"),
        partial(ADAM, lr=1e-3, weight_decay=0.1),
        initialization="xavier",
        probe=layer_gradients,
        probe_every=5,
    ),
    "letters": Experiment(
        partial(models.MLP, (128, 16, 10), "tanh"),
        partial(RMSPROP, lr=1e-3),
        data="letters",
        epochs=3,
        batch_size=25,
        pixels="raw",
        schedule=partial(schedules.polynomial, total=2, power=1.5, min_ratio=0.1),
    ),
    "mlp1": shapes(
        partial(models.mlp1, "swish"),
        partial(ADAMW, lr=1e-3, weight_decay=5.0),
        initialization="he",
        classes=(7, 2, 5),
    ),
    "mlp2": shapes(
        models.mlp2,
        partial(nesterov, lr=0.01),
        epochs=3,
        schedule=partial(schedules.cosine, total=2, min_ratio=0.2),
    ),
    "cnn3": shapes(
        models.cnn3,
        partial(momentum, lr=0.01),
        penalty=partial(penalties.l1, strength=0.01),
        schedule=partial(schedules.exponential, gamma=0.7),
    ),
    "cnn4": shapes(
        partial(models.cnn4, "sigmoid"),
        partial(penalties.ProximalSGD, lr=0.1, momentum=0.9, strength=0.01),
        schedule=partial(schedules.multi_step, milestones=(2, 4), gamma=0.3),
        schedule_by="step",
        measure=norms,
    ),
    "cnn5": shapes(
        models.cnn5,
        partial(ADAM, lr=1e-3),
        initialization="he",
        probe=first_gradient_norm,
        probe_every=2,
        schedule=schedules.constant,
    ),
    "SimpleNN": shapes(
        partial(models.SimpleNN, activation="tanh"),
        partial(grouped, lr=0.1),
        pixels="standard",
        measure=norms,
        schedule=partial(schedules.cosine_restarts, period=2, mult=2, decay=0.5, min_ratio=0.1),
        schedule_by="step",
    ),
    "SimpleNN, BatchNorm": shapes(
        partial(models.SimpleNN, True),
        partial(nesterov, lr=0.1),
        pixels="standard",
        augment=augment.crop_flip,
        schedule=partial(schedules.one_cycle, total=6, min_ratio=0.2),
        schedule_by="step",
        label_smoothing=0.1,
        measure=norms_and_logits,
    ),
    "LeNet5": shapes(
        models.LeNet5,
        partial(momentum, lr=0.05),
        pixels="standard",
        augment=partial(augment.crop_flip, padding=0),
        schedule=partial(schedules.warmup_cosine, warmup=3, total=5, min_ratio=0.1),
        schedule_by="step",
    ),
    # The rate is too small to change the validation accuracy: the first of three equal epochs is the best.
    "SimpleCNN": shapes(models.SimpleCNN, partial(SGD, lr=1e-3), epochs=3, keep_weights=True),
    "cnn_b": shapes(models.cnn_b, partial(SGD, lr=0.01), schedule=partial(schedules.step, step_size=1, gamma=0.5)),
    "cnn_c": shapes(models.cnn_c, partial(SGD, lr=0.05), pixels="standard", epochs=1),
    "cnn_c, max-pooling": shapes(partial(models.cnn_c, nn.MaxPool2d), partial(SGD, lr=0.05), epochs=1),
    "ResNet-20": shapes(
        models.resnet20,
        partial(nesterov, lr=1e-4),
        epochs=1,
        pixels="standard",
        augment=augment.crop_flip,
        measure=norms_and_logits,
    ),
    "ResNet-8, zero-padding": shapes(partial(models.resnet, 8, "zero-padding"), partial(SGD, lr=0.01), epochs=1),
    "ResNet-8, plain": shapes(partial(models.resnet, 8, "none"), partial(SGD, lr=0.01), epochs=1),
    "ResNet-8, quiet": shapes(quiet_resnet, partial(momentum, lr=0.01)),
    "bfloat16": shapes(partial(models.SimpleNN, True), partial(momentum, lr=0.01), precision="bfloat16"),
    # The sum of a hundred losses would be wrong by a few per cent in bfloat16. The gradient of one image shows whether
    # anything was computed in bfloat16 at all: in a mean over many, the roundings cancel.
    "bfloat16, image by image": by_image(small_mlp, partial(SGD, lr=1e-3), precision="bfloat16"),
    "bfloat16 logits": by_image(LogitsInBfloat16, partial(SGD, lr=1e-3)),
}

together = partial(digits, mlp, label_smoothing=0.1)
normed = partial(shapes, custom_norms, pixels="standard", augment=augment.crop_flip, measure=norms_and_logits)
cnn4 = partial(shapes, models.cnn4, partial(SGD, lr=0.01), keep_weights=True)

# Variants and seeds. With one seed the runs of a stack share their images, with two each has its own.
STACKS: dict[str, tuple[dict[str, Experiment], Sequence[int]]] = {
    "stack of digits": (
        {
            "SGD": together(partial(SGD, lr=0.1), watch_test=True),
            "nesterov": together(partial(nesterov, lr=0.02), schedule=partial(schedules.step, step_size=1, gamma=0.3)),
            "by step": together(
                partial(momentum, lr=0.02),
                schedule=partial(schedules.one_cycle, total=8, min_ratio=0.2),
                schedule_by="step",
            ),
            "Adam": together(partial(ADAM, lr=1e-3, weight_decay=0.1), initialization="xavier"),
            "AdamW": together(partial(ADAMW, lr=1e-3, weight_decay=5.0)),
            "RMSprop": together(partial(RMSPROP, lr=1e-3)),
            "proximal": together(partial(penalties.ProximalSGD, lr=0.05, strength=0.05), measure=norms),
            "L1": together(partial(SGD, lr=0.05), penalty=partial(penalties.l1, strength=0.05), probe=layer_gradients),
        },
        [0],
    ),
    "stack of norms": (
        {"SGD": normed(partial(SGD, lr=0.02), watch_test=True), "momentum": normed(partial(momentum, lr=0.005))},
        [0, 1],
    ),
    "stack of cnn4": (
        {
            "default": cnn4(),
            "he": cnn4(initialization="he"),
            "xavier": cnn4(initialization="xavier"),
            "diverges": cnn4(schedule=partial(schedules.step, step_size=1, gamma=1e30)),  # in its second epoch
        },
        [2],
    ),
    "bfloat16, stack": ({"SGD": by_image(small_mlp, partial(SGD, lr=1e-3), precision="bfloat16")}, [0, 1]),
}


# --- training in NumPy ------------------------------------------------------------------------------------------------


def letters_by_gradient_descent() -> dict:
    """Full batches of 60 letters."""
    letters = datasets.load("letters", "sample")
    net = scratch.SimpleNetwork(128, 16, 12, 10, seed=1)
    images = letters.train_images.flatten(1).double().numpy()
    losses = scratch.train_with_gd(net, images, letters.train_labels.numpy(), lr=0.3, epochs=4)
    return {"loss": losses, "weights": [float(np.linalg.norm(linear.W)) for linear in net.linears]}


def digits_by_mini_batches(build: Callable, lr: float) -> dict:
    """100 digits in batches of 32 with an L2 penalty, the other 20 for validation."""
    digits = datasets.load("mnist", "sample")
    images, labels = digits.train_images.flatten(1).float().numpy() / 255, digits.train_labels.numpy()
    net, optimizer = build(), scratch.SGD(lr, regularization=0.1)
    history = scratch.fit(net, (images[:100], labels[:100]), (images[100:], labels[100:]), optimizer, 3, 32, seed=2)
    loss, accuracy = scratch.evaluate(net, images[100:], labels[100:])
    return _columns(history) | {"best_loss": loss, "best_accuracy": accuracy}


def xor(activation: str, output: str, batch: int | None, lr: float) -> dict:
    """Two seeds side by side."""
    net = scratch.XorNet(4, activation, output, seed=[0, 1])
    x, y = scratch.blobs(24, seed=3)
    log = scratch.train_xor(net, x, y, epochs=5, lr=lr, batch=batch, log_every=2)
    return {"error": {str(epoch): e.tolist() for epoch, e in log.items()}, "accuracy": net.accuracy(x, y).tolist()}


SCRATCH = {
    "NumPy, full batches": letters_by_gradient_descent,
    "NumPy, softmax regression": partial(digits_by_mini_batches, partial(scratch.SoftmaxRegression, seed=4), lr=0.1),
    "NumPy, without ReLU": partial(
        digits_by_mini_batches, partial(scratch.SoftmaxRegression, relu=False, seed=4), lr=0.1
    ),
    "NumPy, two layers": partial(
        digits_by_mini_batches, partial(scratch.TwoLayerNet, hidden=16, scale=0.1, seed=5), lr=0.02
    ),
    "XOR, sigmoid, one by one": partial(xor, "sigmoid", "sigmoid", batch=1, lr=0.3),
    "XOR, tanh, batches of 10": partial(xor, "tanh", "tanh", batch=10, lr=0.05),
    "XOR, ReLU, full batch": partial(xor, "relu", "sigmoid", batch=None, lr=0.05),
    "XOR, linear": partial(xor, "linear", "linear", batch=None, lr=0.01),
}


# --- measuring and comparing ------------------------------------------------------------------------------------------


def measured(result: Result) -> dict:
    """History and probes by column, metrics, and the norm of the weights that were kept; a diverged run has less."""
    values = {"history": _columns(result.history), "probes": _columns(result.probes), "metrics": result.metrics}
    weights = store.load_weights(result)
    values["kept"] = _norm(weights.values()) if weights else None
    return {name: part for name, part in values.items() if part}


def _columns(rows: Sequence[Mapping]) -> dict[str, list]:
    names = [name for name in (rows[0] if rows else ()) if name not in ("epoch", "seconds")]
    return {name: [row.get(name) for row in rows] for name in names}


def train_alone(name: str) -> dict[str, dict]:
    """The numbers of one run, under its name."""
    return {name: measured(run(RUNS[name], refresh=True))}


def train_stacked(name: str) -> dict[str, dict]:
    """The numbers of every run of a stack, after checking that they were trained as one."""
    variants, seeds = STACKS[name]
    runs = sweep(variants, seeds, refresh=True)
    stacked = {line: runs[variant][seeds.index(seed)] for line, (variant, seed) in lines_of_stack(name).items()}
    keys = {result.key[:8] for result in stacked.values()}
    assert all(set(result.provenance["stacked"]) == keys for result in stacked.values())
    return {line: measured(result) for line, result in stacked.items()}


def lines_of_stack(name: str) -> dict[str, tuple[str, int]]:
    """The names of its runs in the file, with variant and seed."""
    variants, seeds = STACKS[name]
    return {f"{name}: {variant}, seed {seed}": (variant, seed) for variant in variants for seed in seeds}


def train_in_numpy(name: str) -> dict[str, dict]:
    """The numbers of one training without torch, under its name."""
    return {name: SCRATCH[name]()}


def checksums() -> dict[str, str]:
    """SHA-256 of each set of drawn images."""
    return {name: datasets.load(name, "sample").sha256 for name in DRAWN}


def numbers(value, path: str = "") -> Iterator[tuple[str, float]]:
    """Every number in nested dictionaries and lists with its path, such as ("history.train_loss.0", 2.3)."""
    if not isinstance(value, dict | list):
        yield path[1:], value
        return
    for name, part in value.items() if isinstance(value, dict) else enumerate(value):
        yield from numbers(part, f"{path}.{name}")


def compare(runs: dict[str, dict]) -> None:
    """Fail with the numbers that differ from the file and with what to do about it."""
    golden = json.loads(FILE.read_text(encoding="utf-8"))
    changes = []
    for line, values in runs.items():
        changes += changes_of(line, golden.get(line, {}), values)
    if changes:
        more = [f"  and {len(changes) - 12} more"] if len(changes) > 12 else []
        message = ["the numbers of the machinery changed:", *changes[:12], *more, ADVICE]
        pytest.fail("\n".join(message), pytrace=False)


def changes_of(line: str, golden: dict, values: dict) -> list[str]:
    """A line of text for every number that is another one than other CPUs may compute."""
    here, expected = dict(numbers(values)), dict(numbers(golden))
    return [
        f"  {line}: {path} was {expected.get(path)}, is {here.get(path)}"
        for path in expected | here
        if path not in here or path not in expected or here[path] != _about(line, path, expected[path])
    ]


def _about(line: str, path: str, expected: float | str):
    """What other CPUs may compute for the same number; bfloat16 may classify a few of 20 or 40 images differently."""
    if isinstance(expected, str):  # the checksum of images
        return expected
    if "bfloat16" not in line:
        return pytest.approx(expected, rel=1e-5, abs=1e-12)
    return pytest.approx(expected, rel=1e-3, abs=0.1 if "accuracy" in path else 0)


def prepare(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Few drawn images, a separate results store, the CPU even if there is a GPU, bfloat16 wherever it is asked for."""
    patch.setenv("COURSEKIT_PROFILE", "sample")
    patch.setenv("COURSEKIT_RESULTS", str(folder))
    patch.setattr(torch.cuda, "is_available", lambda: False)
    patch.setattr(settings, "gains_by_bfloat16", use_bfloat16)
    for name, draw in DRAWN.items():
        patch.setitem(drawn.ARRAYS, name, draw)


@pytest.fixture(autouse=True)
def _prepared(monkeypatch, tmp_path):
    prepare(monkeypatch, tmp_path)


# --- the tests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RUNS)
def test_a_run_has_the_golden_numbers(name):
    if "dropout" in name and not torch.backends.mkl.is_available():
        pytest.skip("without MKL torch draws other random numbers for dropout")
    compare(train_alone(name))


@pytest.mark.parametrize("name", STACKS)
def test_runs_trained_as_one_have_the_golden_numbers(name):
    compare(train_stacked(name))


@pytest.mark.parametrize("name", SCRATCH)
def test_a_training_in_numpy_has_the_golden_numbers(name):
    compare(train_in_numpy(name))


def test_the_images_are_those_of_the_golden_numbers():
    advice = "the drawn images changed; rewrite tests/golden.json: python -m tests.test_golden"
    assert json.loads(FILE.read_text(encoding="utf-8"))["images"] == checksums(), advice


def test_every_line_of_the_file_belongs_to_a_run():
    lines = {"images", *RUNS, *SCRATCH}.union(*map(lines_of_stack, STACKS))
    assert json.loads(FILE.read_text(encoding="utf-8")).keys() == lines


def test_every_network_schedule_penalty_optimizer_and_setting_has_a_run():
    stacked = (experiment for variants, _ in STACKS.values() for experiment in variants.values())
    fields = [value for experiment in (*RUNS.values(), *stacked) for value in vars(experiment).values()]
    used = set().union(*map(names_in, fields))
    functions = {schedule.__name__ for schedule in schedules.FUNCTIONS.values()}
    sources = "".join(path.read_text(encoding="utf-8") for path in NOTEBOOKS.glob("*.py"))
    optimizers = set(re.findall(r"torch\.optim\.([A-Z]\w+)", sources))
    others = {"ProximalSGD", "l1", "crop_flip", "default", "he", "xavier", "epoch", "step", *PIXELS, *PRECISIONS}
    assert len(networks()) >= 15
    assert len(functions) >= 9
    assert optimizers >= {"SGD", "Adam"}
    handed_over = {name for name in networks() | functions if re.search(rf"\b{name}\b", sources)}
    missing = (handed_over | optimizers | others) - used
    assert not missing, f"a notebook uses {', '.join(sorted(missing))}: give it a run here"


def names_in(value) -> set[str]:
    """Names of the functions and classes in a field of an experiment, and of what they call; words as they are."""
    if isinstance(value, partial):
        return set().union(*map(names_in, (value.func, *value.args, *value.keywords.values())))
    code = getattr(value, "__code__", None)
    return {value} if isinstance(value, str) else {getattr(value, "__name__", ""), *(code.co_names if code else ())}


def networks() -> set[str]:
    """What an experiment can take as its model: the classes of `models`, and functions that return a network."""
    classes = {
        name
        for name, value in vars(models.networks).items()
        if isinstance(value, type) and issubclass(value, nn.Module)
    }
    returned = {
        name: getattr(value, "__annotations__", {}).get("return")
        for name, value in (vars(models.networks) | vars(models.residual)).items()
        if name != "stage"
    }
    return classes | {name for name, network in returned.items() if network in (nn.Sequential, models.ResNet)}


def rewrite() -> None:
    """Train every run here, on one thread, and write the file, one run to a line."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        prepare(patch, Path(folder))
        runs: dict[str, dict] = {"images": checksums()}
        for train, names in ((train_alone, RUNS), (train_stacked, STACKS), (train_in_numpy, SCRATCH)):
            for name in names:
                runs |= train(name)
    before = json.loads(FILE.read_text(encoding="utf-8"))
    for line, values in runs.items():  # what differs by another machine's rounding alone stays
        runs[line] = _rounded(values) if changes_of(line, before.get(line, {}), values) else before[line]
    lines = (f"{json.dumps(line)}: {json.dumps(values)}" for line, values in runs.items())
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def _rounded(value):
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return float(f"{value:.7g}") if isinstance(value, float) else value


if __name__ == "__main__":
    rewrite()
