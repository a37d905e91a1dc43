"""What the checks train: every network, every optimizer and every option of the course, some twenty steps of each."""

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor, nn

from coursekit import models, settings
from coursekit.data import datasets
from coursekit.data.augment import crop_flip
from coursekit.data.datasets import Dataset
from coursekit.runs import experiment
from coursekit.runs.experiment import Experiment, _Outcome
from coursekit.training import penalties, schedules
from coursekit.training.loop import OnStep

Row = dict[str, float | str | bool | None]  # "holds" is None where nothing is judged
Cases = dict[str, Callable[[], Row]]
EVALUATED = 500  # test images: enough to compare two devices on

ADAM, ADAMW, RMSPROP = torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop
# Small rates: at large ones rounding grows from step to step, fastest in deep networks with BatchNorm.
MOMENTUM = partial(torch.optim.SGD, lr=1e-3, momentum=0.9, weight_decay=1e-4)
SLOW = partial(MOMENTUM, lr=3e-4)
SIMPLE_NN = partial(models.SimpleNN, batch_norm=True)

NETWORKS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "MLP": (partial(models.MLP, (784, 128, 64, 10)), "mnist"),
    "MLP, tanh": (partial(models.MLP, (128, 64, 10), "tanh"), "letters"),
    "DeepMLP, sigmoid": (partial(models.DeepMLP, "sigmoid"), "mnist"),
    "mlp1": (models.mlp1, "cifar10"),
    "mlp2": (models.mlp2, "cifar10"),
    "cnn3": (models.cnn3, "cifar10"),
    "cnn4": (models.cnn4, "cifar10"),
    "cnn5": (models.cnn5, "cifar10"),
    "cnn_b": (models.cnn_b, "cifar10"),
    "cnn_c": (models.cnn_c, "cifar10"),
    "LeNet5": (models.LeNet5, "cifar10"),
    "SimpleCNN": (models.SimpleCNN, "cifar10"),
    "SimpleNN": (models.SimpleNN, "cifar10"),
    "SimpleNN, BN": (SIMPLE_NN, "cifar10"),
    "SimpleNN, BN, swish": (partial(models.SimpleNN, True, "swish"), "cifar10"),
    "ResNet-20": (models.resnet20, "cifar10"),
    "ResNet-20, zero-padding": (partial(models.resnet20, "zero-padding"), "cifar10"),
    "plain-20": (partial(models.resnet20, "none"), "cifar10"),
}
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "SGD": partial(torch.optim.SGD, lr=0.01),
    "momentum": MOMENTUM,
    "Nesterov": partial(torch.optim.SGD, lr=1e-3, momentum=0.9, nesterov=True, weight_decay=5e-4),
    "Adam": partial(ADAM, lr=3e-4, weight_decay=1e-3),
    "AdamW": partial(ADAMW, lr=3e-4),
    "RMSprop": partial(RMSPROP, lr=3e-5),
    "ProximalSGD": partial(penalties.ProximalSGD, lr=1e-3, momentum=0.9, strength=1e-4),
}


@dataclass
class Setup:
    """Where the checks compute and how much of it; `deadline` is when the one that runs has to be done."""

    device: torch.device
    short: bool = False
    deadline: float = math.inf
    loaded: dict[str, Dataset] = field(default_factory=dict)

    @property
    def is_gpu(self) -> bool:
        """Whether this is no rehearsal."""
        return self.device.type == "cuda"

    @property
    def batch_size(self) -> int:
        """Of the comparisons; timings have the courses' own."""
        return 16 if self.short else 64

    def load(self, name: str) -> Dataset:
        """The real data where the cache has them, else drawn by code: a check downloads nothing."""
        if name not in self.loaded:
            cached = (datasets.cache_folder() / f"{name}.npz").exists()
            self.loaded[name] = datasets.load(name, "real" if cached and not self.short else "sample")
        return self.loaded[name]

    def few(self, name: str) -> Dataset:
        """The same with few test images: a CPU would evaluate longer than it trains."""
        whole = self.load(name)
        return replace(whole, test_images=whole.test_images[:EVALUATED], test_labels=whole.test_labels[:EVALUATED])

    def experiment(self, model: Callable[[], nn.Module], data: str = "cifar10", **options) -> Experiment:
        """Two epochs of ten steps whose loss is kept at every step; momentum, where nothing else is said."""
        size = 10 * self.batch_size
        common = dict(epochs=2, batch_size=self.batch_size, train_size=size, probe=gradient_norm, probe_every=1)
        optimizer = SLOW if isinstance(model(), models.ResNet) else MOMENTUM
        defaults = dict(optimizer=optimizer, pixels="unit" if data == "mnist" else "standard", keep_weights=True)
        return Experiment(model=model, data=data, **common | defaults | options)


def gradient_norm(model: nn.Module) -> dict[str, Tensor]:
    """A probe; beside what it reads, the loss of the step is kept."""
    norms = [parameter.grad.norm() for parameter in model.parameters()]
    return {"gradient": torch.stack(norms).norm()}


class ToFloat64(nn.Module):
    """Images in double precision."""

    def forward(self, images: Tensor) -> Tensor:
        return images.double()


def in_float64(make: Callable[[], nn.Module]) -> nn.Sequential:
    """The network in double precision, where rounding is too small to grow into anything within twenty steps."""
    model = make()
    return nn.Sequential(ToFloat64(), *(model if isinstance(model, nn.Sequential) else [model])).double()


def options_of_experiments(setup: Setup, model: Callable[[], nn.Module]) -> dict[str, Experiment]:
    """Every optimizer with one network, then what else a step may have."""
    one_cycle = partial(schedules.one_cycle, total=20)
    options = {
        "crop + flip": dict(augment=crop_flip),
        "schedule by step": dict(schedule=one_cycle, schedule_by="step", optimizer=partial(MOMENTUM, lr=5e-3)),
        "L1 penalty": dict(penalty=partial(penalties.l1, strength=1e-4)),
        "label smoothing": dict(label_smoothing=0.1),
        "He initialisation": dict(initialization="he"),
        "validation": dict(validation=20),
        "a last batch of 8": dict(train_size=9 * setup.batch_size + 8),
    }
    options |= {name: dict(optimizer=optimizer) for name, optimizer in OPTIMIZERS.items()}
    return {name: setup.experiment(model, **own) for name, own in options.items()}


def alone(
    wanted: Experiment,
    setup: Setup,
    device: torch.device,
    folder: Path | None = None,
    on_step: OnStep | None = None,
    dataset: Dataset | None = None,
) -> _Outcome:
    """What `experiment.run` does for a run that is not stored, on a device that is said."""
    run = experiment._Run(wanted, folder, on_step)
    return experiment._train(run, dataset or setup.few(wanted.data), device)


def together(
    wanted: Sequence[Experiment],
    setup: Setup,
    device: torch.device,
    folders: Sequence[Path] = (),
    on_step: OnStep | None = None,
    dataset: Dataset | None = None,
) -> list[_Outcome]:
    """The same of several as one."""
    with tempfile.TemporaryDirectory() as own:  # a stack keeps checkpoints always
        folders = folders or [Path(own) / str(run) for run in range(len(wanted))]
        runs = [experiment._Run(one, folder, on_step) for one, folder in zip(wanted, folders, strict=True)]
        return experiment._train_together(runs, dataset or setup.few(wanted[0].data), device)


def steps(outcome: _Outcome, name: str = "loss") -> list[float]:
    """The loss of every step, or the norm of its "gradient"."""
    return [row[name] for row in outcome.progress.probes]


def largest_deviation(ours: list[float], theirs: list[float]) -> float:
    """Of two series of losses, relative to the second; infinite where one is not a number."""
    off = max(abs(a - b) / abs(b) for a, b in zip(ours, theirs, strict=True))
    return off if math.isfinite(off) else math.inf


def without_tf32() -> AbstractContextManager:
    """Inside the `with` block no convolution computes in TF32, with ten bits: torch's default on a GPU."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, allow_tf32=False)


@contextmanager
def as_the_gpu(setup: Setup) -> Iterator[None]:
    """On the GPU without TF32, so that both devices compute in float32.

    In a rehearsal the CPU stands for the GPU too. Then it computes without oneDNN, by other kernels that round
    otherwise, so that what is compared is not the same by itself.
    """
    with ExitStack() as stack:
        stack.enter_context(without_tf32())
        if not setup.is_gpu:
            torch.backends.mkldnn.enabled = False
            stack.callback(setattr, torch.backends.mkldnn, "enabled", True)
        yield


@contextmanager
def bfloat16() -> Iterator[None]:
    """An experiment of that precision has it, whether this device gains by it or not."""
    with mock.patch.object(settings, "gains_by_bfloat16", return_value=True):
        yield
