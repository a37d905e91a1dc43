"""Whether the numbers are the same: two devices, single and stacked, two precisions, interrupted and resumed."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest import mock

import torch

from benchmarks.gpu import cases
from benchmarks.gpu.cases import NETWORKS, OPTIMIZERS, SIMPLE_NN, Cases, Row, Setup, alone, in_float64, steps, together
from coursekit import models, settings
from coursekit.data.augment import crop_flip
from coursekit.data.batches import Batches
from coursekit.runs import experiment
from coursekit.runs.experiment import Experiment, _Outcome
from coursekit.training import penalties, schedules

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[2]

# Stated before any GPU was seen; all relative. Before the first update only the rounding of one forward pass differs:
# 1e-7 an operation, more by cuDNN's fast algorithms. The gradient has kinks: where a ReLU or a maximum is a tie but for
# rounding, another path is taken. Each step multiplies what differs so far, faster the deeper the network: with weights
# changed by a relative 1e-6, twenty steps on a CPU moved the losses of shallow networks by up to 1e-6, those of twenty
# layers by up to 2e-3.
FIRST_LOSS = 2e-5
FIRST_GRADIENT, FIRST_GRADIENT_DEEP = 1e-3, 1e-2
TWENTY_STEPS, TWENTY_STEPS_DEEP = 1e-3, 1e-2
FLOAT64 = 1e-8
BFLOAT16 = 0.02  # eight bits: 0.2 to 0.4 % an operation, of which most cancel in a mean over images
USED = 5e-7  # what the first loss differs by at least; in float32 one device gives the same one twice


def data(setup: Setup) -> Cases:
    """Batches that live on the device, normalised, shuffled, augmented."""
    options = {"in order": {}, "shuffled": dict(shuffle=True), "crop + flip": dict(shuffle=True, augment=crop_flip)}
    names = [(name, how) for name in ("mnist", "cifar10") for how in options]
    return {f"{name}, {how}": partial(_data, setup, name, options[how]) for name, how in names}


def _data(setup: Setup, name: str, options: dict) -> Row:
    dataset = setup.few(name)
    channels = 3 if name == "cifar10" else 1
    normalize = torch.full((channels,), 0.45), torch.full((channels,), 0.25)
    make = partial(Batches, dataset.train_images[:500], dataset.train_labels[:500], 64, normalize=normalize, **options)
    there, here = make(device=setup.device), make(device="cpu")
    differing, elsewhere = 0, 0
    for epoch in range(2):
        for ours, theirs in zip(there.of_epoch(epoch), here.of_epoch(epoch), strict=True):
            elsewhere += sum(part.device.type != setup.device.type for part in ours)
            differing += sum(int((a.cpu() != b).sum()) for a, b in zip(ours, theirs, strict=True))
    return {"numbers that differ": differing, "tensors elsewhere": elsewhere, "holds": differing == elsewhere == 0}


def devices(setup: Setup) -> Cases:
    """Every network in float32, every optimizer and option with SimpleNN: the device against the CPU."""
    wanted = {name: setup.experiment(model, source) for name, (model, source) in NETWORKS.items()}
    wanted |= {f"SimpleNN, BN: {name}": one for name, one in cases.options_of_experiments(setup, SIMPLE_NN).items()}
    return {name: partial(_devices, setup, one) for name, one in wanted.items()}


def _devices(setup: Setup, wanted: Experiment) -> Row:
    theirs = alone(wanted, setup, CPU)
    with cases.as_the_gpu(setup):
        ours = alone(wanted, setup, setup.device)
    return _compared(ours, theirs, deep=isinstance(wanted.model(), models.ResNet))


def _compared(ours: _Outcome, theirs: _Outcome, deep: bool = False) -> Row:
    """Losses step by step, the first gradient, and what is evaluated at the end."""
    tolerance = TWENTY_STEPS_DEEP if deep else TWENTY_STEPS
    first, gradient, largest, evaluated = _deviations(ours, theirs)
    holds = first <= FIRST_LOSS and gradient <= (FIRST_GRADIENT_DEEP if deep else FIRST_GRADIENT)
    row = {"first loss": first, "first gradient": gradient, "20 losses": largest, "test loss": evaluated}
    return row | {"tolerance": tolerance, "holds": holds and max(largest, evaluated) <= tolerance}


def _deviations(ours: _Outcome, theirs: _Outcome) -> tuple[float, float, float, float]:
    a, b = steps(ours), steps(theirs)
    norms = [steps(outcome, "gradient")[:1] for outcome in (ours, theirs)]
    evaluated = [[outcome.metrics["test_loss"]] for outcome in (ours, theirs)]
    assert len(a) >= 20, f"{len(a)} steps"
    pairs = ((a[:1], b[:1]), norms, (a, b), evaluated)
    return tuple(cases.largest_deviation(*pair) for pair in pairs)


def float64(setup: Setup) -> Cases:
    """The same in double precision: a wrong formula cannot pass for rounding."""
    small = Setup(setup.device, short=True, loaded=setup.loaded)  # on a CPU slow
    names = ("MLP", "cnn4", "LeNet5", "ResNet-20")
    wanted = {name: small.experiment(partial(in_float64, NETWORKS[name][0]), NETWORKS[name][1]) for name in names}
    more = cases.options_of_experiments(small, partial(in_float64, SIMPLE_NN))
    wanted |= {f"SimpleNN, BN: {name}": one for name, one in more.items()}
    return {name: partial(_float64, small, one) for name, one in wanted.items()}


def _float64(setup: Setup, wanted: Experiment) -> Row:
    theirs = alone(wanted, setup, CPU)
    with cases.as_the_gpu(setup):
        largest = max(_deviations(alone(wanted, setup, setup.device), theirs))
    return {"largest": largest, "tolerance": FLOAT64, "holds": largest <= FLOAT64}


def experiments(setup: Setup) -> Cases:
    """`experiment.run` as a notebook calls it, here and in a process that sees no GPU."""
    return {"SimpleNN, BN, crop + flip": partial(_experiments, setup)}


RUN = "import json; from benchmarks.gpu.same import history; print(json.dumps(history({short})))"


def history(short: bool) -> list[dict]:
    """Of one experiment on the device that `settings.device` chooses; drawn data, which are the same everywhere."""
    wanted = Setup(settings.device(), short).experiment(SIMPLE_NN, augment=crop_flip, keep_weights=False)
    with tempfile.TemporaryDirectory() as folder:
        drawn = dict(COURSEKIT_PROFILE="sample", COURSEKIT_SOURCE="", COURSEKIT_RESULTS=folder)
        with mock.patch.dict(os.environ, drawn), cases.without_tf32():
            result = experiment.run(wanted)
    return [row | {"device": result.provenance["device"]} for row in result.history]


def _experiments(setup: Setup) -> Row:
    ours = history(setup.short)
    hidden = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", RUN.format(short=setup.short)]
    done = subprocess.run(command, env=hidden, capture_output=True, text=True, check=True, cwd=ROOT)
    theirs = json.loads(done.stdout.splitlines()[-1])
    off = cases.largest_deviation(*([row["train_loss"] for row in rows] for rows in (ours, theirs)))
    return {"here": ours[0]["device"], "there": theirs[0]["device"], "largest": off, "holds": off <= TWENTY_STEPS}


def stacks(setup: Setup) -> Cases:
    """Runs of one architecture trained as one against each by itself, both on the device."""
    rates = [partial(cases.MOMENTUM, lr=lr) for lr in (3e-4, 1e-3, 3e-3)]
    mixed = list(OPTIMIZERS.values())
    l1 = partial(penalties.l1, strength=1e-4)
    wanted = {
        "MLP, three rates": [setup.experiment(*NETWORKS["MLP"], optimizer=o) for o in rates],
        "LeNet5, three rates": [setup.experiment(models.LeNet5, optimizer=o) for o in rates],
        "cnn4, three seeds": [setup.experiment(models.cnn4, seed=seed) for seed in range(3)],
        "SimpleNN, BN, three seeds, crop + flip": [
            setup.experiment(SIMPLE_NN, seed=seed, augment=crop_flip) for seed in range(3)
        ],
        "SimpleNN, BN, every optimizer": [setup.experiment(SIMPLE_NN, optimizer=o) for o in mixed],
        "SimpleNN, with and without L1": [setup.experiment(models.SimpleNN, penalty=p) for p in (l1, None)],
    }
    return {name: partial(_stacked, setup, some) for name, some in wanted.items()}


def _stacked(setup: Setup, wanted: list[Experiment]) -> Row:
    with cases.without_tf32():
        ours = together(wanted, setup, setup.device)
        theirs = [alone(one, setup, setup.device) for one in wanted]
    rows = [_compared(a, b) for a, b in zip(ours, theirs, strict=True)]
    numbers = {name: max(row[name] for row in rows) for name in rows[0] if name != "holds"}
    return numbers | {"runs": len(rows), "holds": all(row["holds"] for row in rows)}


def precisions(setup: Setup) -> Cases:
    """bfloat16 under autocast against float32, both on the device."""
    names = ("MLP", "cnn4", "SimpleCNN", "SimpleNN, BN", "ResNet-20")
    found = {name: partial(_precisions, setup, *NETWORKS[name]) for name in names}
    return found | {"SimpleNN, BN, a stack of two": partial(_stacked_precisions, setup)}


def _precisions(setup: Setup, model: Callable, source: str) -> Row:
    theirs = alone(setup.experiment(model, source), setup, setup.device)
    with cases.bfloat16():
        ours = alone(setup.experiment(model, source, precision="bfloat16"), setup, setup.device)
    return _in_bfloat16([ours], [theirs])


def _stacked_precisions(setup: Setup) -> Row:
    wanted = [setup.experiment(SIMPLE_NN, precision="bfloat16", seed=seed) for seed in range(2)]
    theirs = together([setup.experiment(SIMPLE_NN, seed=seed) for seed in range(2)], setup, setup.device)
    with cases.bfloat16():
        ours = together(wanted, setup, setup.device)
    return _in_bfloat16(ours, theirs)


def _in_bfloat16(ours: list[_Outcome], theirs: list[_Outcome]) -> Row:
    pairs = [(steps(a), steps(b)) for a, b in zip(ours, theirs, strict=True)]
    first = max(cases.largest_deviation(a[:1], b[:1]) for a, b in pairs)
    largest = max(cases.largest_deviation(a, b) for a, b in pairs)
    return {
        "first loss": first,
        "largest": largest,
        "tolerance": BFLOAT16,
        "holds": first > USED and largest <= BFLOAT16,
    }


def resumes(setup: Setup) -> Cases:
    """Interrupted by Ctrl-C in the middle of the second epoch and taken up, against never interrupted.

    With cuDNN's deterministic kernels: this is about checkpoints. What torch chooses by itself is the next check's.
    """
    cycle = dict(schedule=partial(schedules.one_cycle, total=20), schedule_by="step", augment=crop_flip)
    dropout = partial(models.MLP, (784, 64, 10), dropout=0.3)  # draws from the device's own generator
    wanted = {
        "SimpleNN, BN, momentum, crop + flip, one cycle": [setup.experiment(SIMPLE_NN, **cycle)],
        "MLP, dropout, Adam": [setup.experiment(dropout, "mnist", optimizer=OPTIMIZERS["Adam"])],
        "ResNet-20, Nesterov": [setup.experiment(models.resnet20, optimizer=OPTIMIZERS["Nesterov"])],
        "cnn4, RMSprop": [setup.experiment(models.cnn4, optimizer=OPTIMIZERS["RMSprop"])],
        "SimpleNN, BN, a stack of three": [setup.experiment(SIMPLE_NN, seed=seed, **cycle) for seed in range(3)],
    }
    return {name: partial(_resumed, setup, some) for name, some in wanted.items()}


def _resumed(setup: Setup, wanted: list[Experiment], stop: int = 13) -> Row:
    with tempfile.TemporaryDirectory() as folder, torch.backends.cudnn.flags(enabled=True, deterministic=True):
        folders = [Path(folder) / str(run) for run in range(len(wanted))]
        straight = _train(setup, wanted)
        try:
            _train(setup, wanted, folders, partial(_interrupt, stop))
            return {"holds": False, "why": "it was not interrupted"}
        except KeyboardInterrupt:
            resumed = _train(setup, wanted, folders)
    differing = sum(_differing(a, b) for a, b in zip(resumed, straight, strict=True))
    exact = all(outcome.progress.exact for outcome in resumed)
    return {"stopped after step": stop, "numbers that differ": differing, "holds": exact and differing == 0}


def _train(setup: Setup, wanted: list[Experiment], folders=(), on_step=None) -> list[_Outcome]:
    if len(wanted) > 1:
        return together(wanted, setup, setup.device, folders, on_step)
    return [alone(wanted[0], setup, setup.device, *folders, on_step=on_step)]


def _interrupt(stop: int, progress) -> None:
    if progress.step == stop:
        signal.raise_signal(signal.SIGINT)


def _differing(ours: _Outcome, theirs: _Outcome) -> int:
    """Weights, running statistics and losses that are not the same, bit for bit."""
    a, b = steps(ours), steps(theirs)
    count = abs(len(a) - len(b)) + sum(x != y for x, y in zip(a, b, strict=False))
    return count + sum(int((value != theirs.weights[name]).sum()) for name, value in ours.weights.items())


def repeats(setup: Setup) -> Cases:
    """One training twice with what torch and cuDNN choose by themselves, as everybody trains."""
    wanted = {name: setup.experiment(*NETWORKS[name]) for name in ("MLP", "cnn4", "SimpleNN, BN", "ResNet-20")}
    return {name: partial(_repeated, setup, one) for name, one in wanted.items()}


def _repeated(setup: Setup, wanted: Experiment) -> Row:
    first, second = (alone(wanted, setup, setup.device) for _ in range(2))
    differing = _differing(first, second)
    with torch.backends.cudnn.flags(enabled=True, deterministic=True):
        chosen = [alone(wanted, setup, setup.device) for _ in range(2)]
    return {"numbers that differ": differing, "with deterministic kernels": _differing(*chosen), "holds": not differing}
