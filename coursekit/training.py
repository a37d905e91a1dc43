"""The one torch loop: train_step < train_one_epoch < fit, and evaluate."""

import copy
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from coursekit import checkpoint
from coursekit.batches import Batches
from coursekit.checkpoint import Progress
from coursekit.errors import DataError, Diverged

Penalty = Callable[[nn.Module], Tensor]
Probe = Callable[[nn.Module], Mapping[str, Tensor]]


def check(model: nn.Module, batches: Batches) -> None:
    """Raise DataError for what would stop or spoil a training later: labels without a logit, BatchNorm of one image."""
    rest = len(batches.labels) % batches.batch_size
    normalised = any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in model.modules())
    if normalised and (batches.batch_size == 1 or (rest == 1 and not batches.drop_last)):
        raise DataError("a batch has 1 example, too few for BatchNorm: use drop_last=True or another batch_size")
    with torch.inference_mode(), in_eval_mode(model):
        images, _ = next(batches.of_epoch(0))
        logits = model(images[:1])
    low, high = batches.labels.min(), batches.labels.max()
    if low < 0 or high >= logits.shape[1]:
        wrong = int(((batches.labels < 0) | (batches.labels >= logits.shape[1])).int().argmax())
        found = int(batches.labels[wrong])
        raise DataError(f"labels must be 0..{logits.shape[1] - 1}; found {found} at index {wrong}")


@contextmanager
def in_eval_mode(model: nn.Module) -> Iterator[None]:
    """Eval mode inside the `with` block; every layer's own mode is put back after it."""
    modes = {layer: layer.training for layer in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for layer, mode in modes.items():
            layer.training = mode


def train_step(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    optimizer: torch.optim.Optimizer,
    penalty: Penalty | None = None,
    label_smoothing: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """One optimizer step on the mean cross-entropy of a batch; returns logits and loss, both detached.

    The penalty enters the gradient, not the returned loss. `.grad` keeps the gradient at the weights before the step.
    """
    logits = _logits(model, images)
    loss = cross_entropy(logits, labels, label_smoothing=label_smoothing)
    optimizer.zero_grad()
    (loss + penalty(model) if penalty else loss).backward()
    optimizer.step()
    return logits.detach(), loss.detach()


def train_one_epoch(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    optimizer: torch.optim.Optimizer,
    penalty: Penalty | None = None,
    label_smoothing: float = 0.0,
    totals: Tensor | None = None,
    after_step: Callable[[Tensor, Tensor], None] | None = None,
) -> Tensor:
    """All batches once, in train mode; returns sums over examples (loss, correct, count) as one tensor on the device.

    `totals` are the sums so far when an epoch is taken up in the middle; `after_step(loss, totals)` sees every step.
    """
    model.train()
    for images, labels in batches:
        logits, loss = train_step(model, images, labels, optimizer, penalty, label_smoothing)
        count = torch.full_like(loss, len(labels))
        sums = torch.stack([loss * count, (logits.argmax(1) == labels).sum().to(loss.dtype), count])
        totals = sums if totals is None else totals + sums
        if after_step:
            after_step(loss, totals)
    return totals


def _logits(model: nn.Module, images: Tensor) -> Tensor:
    logits = model(images)
    return logits.to(torch.promote_types(logits.dtype, torch.float32))  # a softmax is never taken in bfloat16


@torch.inference_mode()
def evaluate(model: nn.Module, batches: Batches) -> tuple[float, float]:
    """Mean loss and accuracy over all examples in eval mode; every layer's mode is left as it was found."""
    loss = correct = count = 0
    with in_eval_mode(model):
        for images, labels in batches.of_epoch(0):
            logits = _logits(model, images)
            loss += cross_entropy(logits, labels, reduction="sum")
            correct += (logits.argmax(1) == labels).sum()
            count += len(labels)
    return float(loss) / count, float(correct) / count


def fit(
    model: nn.Module,
    train: Batches,
    evaluations: Mapping[str, Batches],
    optimizer: torch.optim.Optimizer,
    epochs: int,
    *,
    schedule: Callable[[int], float] | None = None,
    schedule_by: str = "epoch",
    penalty: Penalty | None = None,
    label_smoothing: float = 0.0,
    probe: Probe | None = None,
    probe_every: int = 10,
    folder: Path | None = None,
    checkpoint_every: int | None = None,
    checkpoint_seconds: float = 0,
) -> Progress:
    """Train for some epochs, evaluating after each on every set of `evaluations`; "val" decides which weights are best.

    `schedule(epoch)`, or `schedule(step)` by "step", both counted from 0, multiplies the base lr. `probe` is read every
    `probe_every` steps, gradients at hand. With a `folder`, a checkpoint is written there at the end of an epoch (at
    most one in `checkpoint_seconds`) and every `checkpoint_every` steps, and a training found there is taken up:
    bit-identical on the same kind of machine; Ctrl-C and SIGTERM write one before they end it. Raises Diverged, with
    the history so far in `.progress`, when an epoch's loss is not finite, and DataError as `check` does.
    """
    check(model, train)
    run = checkpoint.restore(folder, model, optimizer) if folder else Progress()
    for group in optimizer.param_groups:
        group.setdefault("initial_lr", group["lr"])
    start = time.perf_counter() - run.seconds
    saved = time.monotonic()

    def set_lr(count: int) -> None:
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * schedule(count)

    def after_step(loss: Tensor, totals: Tensor) -> None:
        if probe and run.step % probe_every == 0:
            values = {name: torch.as_tensor(value).detach() for name, value in probe(model).items()}
            run.probes.append({"step": run.step, "loss": loss, **values})
        run.step, run.totals = run.step + 1, totals
        if schedule and schedule_by == "step":
            set_lr(run.step)
        due = checkpoint_every and run.step % checkpoint_every == 0
        if folder and (due or stop.asked):
            checkpoint.write(folder, model, optimizer, run)
        stop.leave_if_asked()

    with checkpoint.Stop(folder) as stop:
        for epoch in range(len(run.history), epochs):
            if schedule:
                set_lr(epoch if schedule_by == "epoch" else epoch * len(train))
            lr = optimizer.param_groups[0]["lr"]  # the epoch's first
            if schedule and schedule_by == "step":
                set_lr(run.step)
            batches = train.of_epoch(epoch, start=run.step - epoch * len(train))
            totals = train_one_epoch(model, batches, optimizer, penalty, label_smoothing, run.totals, after_step)
            loss, correct, count = totals.tolist()
            run.seconds = time.perf_counter() - start
            row = dict(epoch=epoch + 1, step=run.step, lr=lr, train_loss=loss / count, train_accuracy=correct / count)
            run.probes = [{name: float(value) for name, value in values.items()} for values in run.probes]
            if not torch.isfinite(totals[0]):
                before = f", after {run.history[-1]['train_loss']:.3g} in the one before" if run.history else ""
                error = Diverged(
                    f"loss is {row['train_loss']} in epoch {epoch + 1}{before}; try a smaller lr than {lr:g}"
                )
                error.progress = run
                raise error
            for name, batches in evaluations.items():
                row[f"{name}_loss"], row[f"{name}_accuracy"] = evaluate(model, batches)
            run.history.append(row | {"seconds": run.seconds})
            if "val" in evaluations and row["val_accuracy"] > run.best_accuracy:
                run.best_accuracy, run.best_state = row["val_accuracy"], copy.deepcopy(model.state_dict())
            run.totals = None
            if folder and time.monotonic() - saved >= checkpoint_seconds:
                checkpoint.write(folder, model, optimizer, run)
                saved = time.monotonic()
            start = time.perf_counter() - run.seconds  # evaluation and saving are not training
    return run
