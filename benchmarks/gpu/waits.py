"""How often the CPU waits for the device in the middle of an epoch: it should only hand out work."""

import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.profiler import ProfilerActivity

from benchmarks.gpu.cases import NETWORKS, OPTIMIZERS, SIMPLE_NN, Cases, Row, Setup, gradient_norm
from coursekit.data.augment import crop_flip
from coursekit.runs import experiment
from coursekit.runs.experiment import Experiment
from coursekit.training import loop, penalties, schedules, stacked

Epoch = Callable[[int, Callable | None], None]
WAITING = {"item", "tolist", "cpu", "numpy", "nonzero", "__float__", "__int__", "__bool__", "__index__", "__array__"}
SYNCHRONISED = "called a synchronizing CUDA operation"  # torch's own words
RUNTIME = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize", "cudaMemcpy")


def waits(setup: Setup) -> Cases:
    """An epoch of ten steps after one that does not count; the last case waits on purpose, and has to be noticed."""
    cycle = dict(schedule=partial(schedules.one_cycle, total=20), schedule_by="step")
    simple = partial(setup.experiment, SIMPLE_NN)
    wanted = {
        "MLP, Adam": setup.experiment(*NETWORKS["MLP"], optimizer=OPTIMIZERS["Adam"]),
        "SimpleNN, BN, crop + flip, one cycle": simple(augment=crop_flip, **cycle),
        "SimpleNN, BN, L1": simple(penalty=partial(penalties.l1, strength=1e-4)),
        "SimpleNN, BN, RMSprop": simple(optimizer=OPTIMIZERS["RMSprop"]),
        "SimpleNN, BN, ProximalSGD": simple(optimizer=OPTIMIZERS["ProximalSGD"]),
        "ResNet-20": setup.experiment(*NETWORKS["ResNet-20"]),
    }
    found: Cases = {name: partial(_alone, setup, one) for name, one in wanted.items()}
    found["SimpleNN, BN, a stack of three"] = partial(_stack, setup, [simple(seed=seed) for seed in range(3)])
    return found | {"a loop that waits at every step": partial(_noticed, setup, simple())}


def _alone(setup: Setup, wanted: Experiment) -> Row:
    return _judged(count(setup, epoch_of(setup, wanted)))


def _noticed(setup: Setup, wanted: Experiment) -> Row:
    counts = count(setup, epoch_of(setup, wanted), lambda loss, _: loss.item())
    ways = {name: number for name, number in counts.items() if name != "kernels seen by the profiler"}
    return counts | {"holds": all(number >= 10 for number in ways.values())}


def _stack(setup: Setup, wanted: list[Experiment]) -> Row:
    pairs = [experiment._begin(one, setup.device) for one in wanted]
    stack, optimizers = stacked.stack([model for model, _ in pairs]), [optimizer for _, optimizer in pairs]
    train = experiment._split(wanted[0], setup.few("cifar10"), setup.device).train

    def epoch(number: int, after_step: Callable | None = None) -> None:
        stacked.train_one_epoch(stack, train.of_epoch(number), optimizers, after_step=after_step)

    return _judged(count(setup, epoch))


def _judged(counts: dict[str, int]) -> Row:
    return counts | {"holds": not any(n for name, n in counts.items() if name != "kernels seen by the profiler")}


def epoch_of(setup: Setup, wanted: Experiment) -> Epoch:
    """One epoch as `fit` makes it, with all that happens between the steps."""
    model, optimizer = experiment._begin(wanted, setup.device)
    train = experiment._split(wanted, setup.few(wanted.data), setup.device).train
    how = dict(schedule=wanted.schedule, schedule_by=wanted.schedule_by, probe=gradient_norm)
    journal = loop.Journal(model, train, {}, optimizer, **how)

    def epoch(number: int, also: Callable | None = None) -> None:
        def after_step(loss: Tensor, totals: Tensor) -> None:
            journal.after_step(loss, totals)
            if also:
                also(loss, totals)

        loop.train_one_epoch(model, journal.begin(number), optimizer, wanted.penalty, after_step=after_step)

    return epoch


def count(setup: Setup, epoch: Epoch, also: Callable | None = None) -> dict[str, int]:
    """Waits in the second, third and fourth epoch, each seen in another way; on a CPU only calls can be counted."""
    epoch(0, also)  # torch makes its workspaces, cuDNN chooses
    with calls(setup.device) as called:
        epoch(1, also)
    counts = {"calls that wait": sum(called.values())}
    if setup.is_gpu:
        counts["noticed by torch"] = _noticed_by_torch(lambda: epoch(2, also))
        events, baseline = _runtime_events(lambda: epoch(3, also)), _runtime_events(lambda: None)
        counts["noticed by the profiler"] = sum(max(0, events[name] - baseline[name]) for name in RUNTIME)
        counts["kernels seen by the profiler"] = events["cudaLaunchKernel"]
        if not events["cudaLaunchKernel"]:  # it sees nothing on this machine
            del counts["noticed by the profiler"]
    return counts


@contextmanager
def calls(device: torch.device) -> Iterator[Counter]:
    """Calls from Python that wait for this device, with copies to it that are waited for."""
    found: Counter = Counter()

    class Count(TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            kwargs, name = kwargs or {}, getattr(function, "__name__", "")
            if (name in WAITING and args[0].device.type == device.type) or (name == "to" and _waits(*args, **kwargs)):
                found[name] += 1
            return function(*args, **kwargs)

    with Count():
        yield found


def _waits(tensor: Tensor, *args, non_blocking: bool = False, device=None, **_) -> bool:
    """Whether `tensor.to` with these arguments is a copy from the CPU to a device, which is waited for."""
    to_a_device = any(isinstance(value, torch.device | str) for value in (*args, device))
    return to_a_device and tensor.device.type == "cpu" and not non_blocking


def _noticed_by_torch(run: Callable[[], None]) -> int:
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            run()
        finally:
            torch.cuda.set_sync_debug_mode(before)
    return sum(SYNCHRONISED in str(warning.message) for warning in caught)


def _runtime_events(run: Callable[[], None]) -> Counter:
    """What of CUDA's runtime was called, and how often; the profiler itself waits once or twice."""
    torch.cuda.synchronize()
    with torch.profiler.profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        run()
    return Counter({event.key: event.count for event in profiler.key_averages()})
