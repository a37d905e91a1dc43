"""The one torch loop: train_step < train_one_epoch < fit, and evaluate."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from coursekit.data.batches import Batches
from coursekit.errors import DataError, Diverged
from coursekit.training import checkpoint, mlp, schedules, threads
from coursekit.training.checkpoint import Progress
from coursekit.training.losses import Loss, cross_entropy, smoothed

Penalty = Callable[[nn.Module], Tensor]
Probe = Callable[[nn.Module], Mapping[str, Tensor]]
OnStep = Callable[[Progress], None]


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


def check_schedule(schedule: Callable[[int], float] | None, schedule_by: str, train: Batches, epochs: int) -> None:
    """Raise UsageError for a schedule that gives no learning rate somewhere in the epochs to come."""
    if schedule:
        schedules.check_counts(schedule, epochs * (len(train) if schedule_by == "step" else 1))


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
    loss: Loss = cross_entropy,
) -> tuple[Tensor, Tensor]:
    """One optimizer step on the mean loss of a batch; returns logits and that loss, both detached.

    The penalty enters the gradient, not the returned loss. `.grad` keeps the gradient at the weights before the step.
    """
    logits = widened(model(images))
    mean = smoothed(loss, label_smoothing)(logits, labels)
    optimizer.zero_grad()
    (mean + penalty(model) if penalty else mean).backward()
    optimizer.step()
    return logits.detach(), mean.detach()


def train_one_epoch(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    optimizer: torch.optim.Optimizer,
    penalty: Penalty | None = None,
    label_smoothing: float = 0.0,
    totals: Tensor | None = None,
    after_step: Callable[[Tensor, Tensor], None] | None = None,
    loss: Loss = cross_entropy,
) -> Tensor:
    """All batches once, in train mode; returns sums over examples (loss, correct, count) as one tensor on the device.

    An MLP on a CPU makes the same steps without autograd (`mlp.chain` has the rule).
    `totals` are the sums so far when an epoch is resumed in the middle; `after_step(loss, totals)` sees every step.
    """
    model.train()
    chain = mlp.chain([model], loss)
    for images, labels in batches:
        if chain:
            logits, mean = mlp.train_step(chain, images, labels, [optimizer], label_smoothing, [penalty])
        else:
            logits, mean = train_step(model, images, labels, optimizer, penalty, label_smoothing, loss)
        count = torch.full_like(mean, len(labels))
        sums = torch.stack([mean * count, (logits.argmax(1) == labels).sum(), count])
        totals = sums if totals is None else totals + sums
        if after_step:
            after_step(mean, totals)
    return totals


def widened(logits: Tensor) -> Tensor:
    """Logits in float32 at least: a softmax is never taken in bfloat16."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


@torch.inference_mode()
def evaluate(model: nn.Module, batches: Batches, loss: Loss = cross_entropy) -> tuple[float, float]:
    """Mean loss and accuracy over all examples in eval mode; every layer's mode is left as it was found."""
    total = correct = count = 0
    with in_eval_mode(model):
        for images, labels in batches.of_epoch(0):
            logits = widened(model(images))
            total += loss(logits, labels, reduction="sum")
            correct += (logits.argmax(1) == labels).sum()
            count += len(labels)
    return float(total) / count, float(correct) / count


class Journal:
    """What one training does between its steps: learning rates, probes, history, the best weights, checkpoints.

    `fit` keeps one, `stacked.fit` one for each of its networks. The options are those of `fit`; of a network in a stack
    `company` says which (`checkpoint.company`) and `step` where all of them resume.
    """

    def __init__(
        self,
        model: nn.Module,
        train: Batches,
        evaluations: Mapping[str, Batches],
        optimizer: torch.optim.Optimizer,
        *,
        schedule: Callable[[int], float] | None = None,
        schedule_by: str = "epoch",
        probe: Probe | None = None,
        probe_every: int = 10,
        folder: Path | None = None,
        checkpoint_every: int | None = None,
        checkpoint_seconds: float = 0,
        on_step: OnStep | None = None,
        loss: Loss = cross_entropy,
        company: str = "alone",
        step: int | None = None,
    ):
        check(model, train)
        self.model, self.train, self.evaluations, self.optimizer = model, train, evaluations, optimizer
        self.schedule, self.schedule_by, self.probe, self.probe_every = schedule, schedule_by, probe, probe_every
        self.folder, self.checkpoint_every, self.checkpoint_seconds = folder, checkpoint_every, checkpoint_seconds
        self.on_step, self.loss, self.company = on_step, loss, company
        names = ("batch_size", "shuffle", "seed", "drop_last")
        self.settings = {"examples": len(train.labels)} | {name: getattr(train, name) for name in names}
        self.progress = Progress()
        if folder:
            self.progress = checkpoint.restore(folder, model, optimizer, company, step, self.settings, self._ratio)
        self.progress.steps_per_epoch = len(train)
        self.losses: list[Tensor] = []  # of the epoch that is running
        self.saved = time.monotonic()
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])

    def _ratio(self, epoch: int) -> float:
        """Of the base lr, as an epoch begins."""
        count = epoch * len(self.train) if self.schedule_by == "step" else epoch
        return self.schedule(count) if self.schedule else 1.0

    def begin(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Set the epoch's learning rate; the batches that are still to come of it."""
        first, done = epoch * len(self.train), self.progress.step
        if self.schedule:
            self._set_lr(first if self.schedule_by == "step" else epoch)
        self.lr = self.optimizer.param_groups[0]["lr"]
        if self.schedule and self.schedule_by == "step":
            self._set_lr(done)
        self.losses = []
        self.start = time.perf_counter() - self.progress.seconds
        return self.train.of_epoch(epoch, start=done - first)

    def after_step(self, loss: Tensor, totals: Tensor) -> None:
        """Count the step; nothing here waits for the device unless a checkpoint is due."""
        run = self.progress
        if self.probe and run.step % self.probe_every == 0:
            # Copies: a probe may return a part of a weight or of a gradient, which the next step overwrites.
            values = {name: torch.as_tensor(value).detach().clone() for name, value in self.probe(self.model).items()}
            run.probes.append({"step": run.step, "loss": loss, **values})
        self.losses.append(loss)
        run.step, run.totals = run.step + 1, totals
        if self.schedule and self.schedule_by == "step":
            self._set_lr(run.step)
        if self.on_step:
            self.on_step(run)
        if self.checkpoint_every and run.step % self.checkpoint_every == 0:
            self.save()

    def stop_clock(self) -> None:
        """The steps of the epoch are done; what comes before the next one, of other runs too, is not training."""
        self.progress.totals[0].item()  # waits for the device
        self.progress.seconds = time.perf_counter() - self.start

    def finish(self, epoch: int, evaluated: Mapping[str, tuple[float, float]] | None = None) -> None:
        """Evaluate, add the epoch's row, remember the best weights; raises Diverged when a loss is not finite.

        `evaluated` are losses and accuracies of sets that need not be evaluated again.
        """
        run = self.progress
        loss, correct, count = run.totals.tolist()
        run.probes = [{name: float(value) for name, value in values.items()} for values in run.probes]
        if not torch.isfinite(run.totals[0]):
            error = Diverged(f"{self._first_not_finite()}; try a smaller lr than {self.lr:g}")
            error.progress = run
            raise error
        row = dict(epoch=epoch + 1, step=run.step, lr=self.lr, train_loss=loss / count, train_accuracy=correct / count)
        for name, batches in self.evaluations.items():
            known = (evaluated or {}).get(name)
            row[f"{name}_loss"], row[f"{name}_accuracy"] = known or evaluate(self.model, batches, self.loss)
        run.history.append(row | {"seconds": run.seconds})
        if "val" in self.evaluations and row["val_accuracy"] > run.best_accuracy:
            run.best_accuracy = row["val_accuracy"]
            run.best_state = {name: value.clone() for name, value in self.model.state_dict().items()}
        run.totals = None

    def is_due(self) -> bool:
        """Whether the last checkpoint is old enough for another one at the end of an epoch."""
        return time.monotonic() - self.saved >= self.checkpoint_seconds

    def save(self) -> None:
        """Write a checkpoint, where there is a folder for it."""
        if self.folder:
            checkpoint.write(self.folder, self.model, self.optimizer, self.progress, self.company, self.settings)
        self.saved = time.monotonic()

    def _set_lr(self, count: int) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * self.schedule(count)

    def _first_not_finite(self) -> str:
        """The loss and the number of the first step that went wrong, and the loss before it."""
        losses = torch.stack(self.losses)
        wrong = int((~losses.isfinite()).int().argmax())
        step = self.progress.step - len(losses) + wrong + 1
        before = f" (last finite {float(losses[wrong - 1]):.3g} at step {step - 1})" if wrong else ""
        return f"loss is {float(losses[wrong])} at step {step}{before}"


def fit(
    model: nn.Module,
    train: Batches,
    evaluations: Mapping[str, Batches],
    optimizer: torch.optim.Optimizer,
    epochs: int,
    *,
    penalty: Penalty | None = None,
    label_smoothing: float = 0.0,
    schedule: Callable[[int], float] | None = None,
    schedule_by: str = "epoch",
    probe: Probe | None = None,
    probe_every: int = 10,
    folder: Path | None = None,
    checkpoint_every: int | None = None,
    checkpoint_seconds: float = 0,
    on_step: OnStep | None = None,
    loss: Loss = cross_entropy,
) -> Progress:
    """Train for some epochs, evaluating after each on every set of `evaluations`; "val" decides which weights are best.

    `schedule(epoch)`, or `schedule(step)` with `schedule_by="step"`, both counted from 0, multiplies the base lr.
    `probe(model)` is read every `probe_every` steps, gradients at hand. `on_step(progress)` is called after every step.
    With a `folder`, a checkpoint is written there at the end of an epoch (at most one in `checkpoint_seconds`) and
    every `checkpoint_every` steps, and a training found there is resumed: bit-identical on the same kind of machine;
    Ctrl-C and SIGTERM write one before they end it.

    Raises Diverged at the end of an epoch with a loss that is not finite; its `.progress` has the history so far.
    Raises DataError as `check` does, UsageError before the first step for a schedule that gives no learning rate
    somewhere, and StorageError for a folder with another training.
    """
    check_schedule(schedule, schedule_by, train, epochs)
    journal = Journal(
        model,
        train,
        evaluations,
        optimizer,
        schedule=schedule,
        schedule_by=schedule_by,
        probe=probe,
        probe_every=probe_every,
        folder=folder,
        checkpoint_every=checkpoint_every,
        checkpoint_seconds=checkpoint_seconds,
        on_step=on_step,
        loss=loss,
    )

    def after_step(loss: Tensor, totals: Tensor) -> None:
        choice.after_step()
        journal.after_step(loss, totals)
        stop.leave_if_asked(journal.save)

    with checkpoint.Stop(folder) as stop, threads.Choice(journal.progress.threads) as choice:
        for epoch in range(len(journal.progress.history), epochs):
            batches, totals = journal.begin(epoch), journal.progress.totals
            train_one_epoch(model, batches, optimizer, penalty, label_smoothing, totals, after_step, loss)
            journal.stop_clock()
            journal.finish(epoch)
            if journal.is_due():
                journal.save()
            choice.after_epoch()
    return journal.progress
