"""Runs of one architecture trained as one: the same layers with one dimension more, and each run its own optimizer."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial

import torch
from torch import Tensor, nn

from coursekit.data.batches import Batches
from coursekit.errors import Diverged, UsageError
from coursekit.training import mlp
from coursekit.training.checkpoint import Stop
from coursekit.training.loop import Journal, Penalty, check_schedule, in_eval_mode, widened
from coursekit.training.losses import Loss, cross_entropy, smoothed
from coursekit.training.stacked_layers import (
    NORM_BUFFERS,
    PLAIN,
    batch_norm,
    buffer,
    convolution,
    flatten,
    linear,
    obstacle,
)
from coursekit.training.threads import Choice


class StackedModel:
    """Several networks of one architecture, computed together: images (batch, ...) to logits (runs, batch, classes).

    `models` are the networks that were given. Their parameters and buffers are views of the stacked ones from here on,
    so each is trained by an optimizer of its own and can be used by itself. They may differ in initial weights and in
    everything that their optimizers do. All see the same images, or each its own: then a batch is (batch, runs ·
    channels, H, W), and labels are (runs, batch).
    """

    def __init__(self, models: Sequence[nn.Sequential]):
        self.models = list(models)
        _check_alike(self.models)
        self._stacked: list[tuple[nn.Parameter, list[nn.Parameter]]] = []
        self._layers: list[Callable[[Tensor], Tensor]] = []
        for layers in zip(*self.models, strict=True):
            self._layers.append(self._layer(layers))

    def __call__(self, images: Tensor) -> Tensor:
        x = images
        for layer in self._layers:
            x = layer(x)
        return x

    def hand_out_gradients(self) -> None:
        """Give every network its part of the gradients of the stacked parameters."""
        for stacked, parameters in self._stacked:
            for parameter, gradient in zip(parameters, stacked.grad.unbind(), strict=True):
                parameter.grad = gradient
            stacked.grad = None

    def chain(self, loss: Loss = cross_entropy) -> mlp.Chain | None:
        """The networks as a chain whose step needs no autograd, where they are MLPs (`mlp.chain` has the rule)."""
        return mlp.chain(self.models, loss, self._stacked)

    def unstack(self) -> list[nn.Module]:
        """The networks with memory of their own again, to be saved or copied; this object is of no use afterwards."""
        for model in self.models:
            for tensor in (*model.parameters(), *model.buffers()):
                tensor.data, tensor.grad = tensor.data.clone(), None
        return self.models

    def _layer(self, layers: tuple[nn.Module, ...]) -> Callable[[Tensor], Tensor]:
        layer, of_images = layers[0], not self._stacked  # before the first layer with weights
        if isinstance(layer, PLAIN) or (isinstance(layer, nn.Flatten) and of_images):
            return layer
        if isinstance(layer, nn.Flatten):
            return partial(flatten, len(layers))
        weight, bias = self._parameter(layers, "weight"), self._parameter(layers, "bias")
        if isinstance(layer, nn.BatchNorm2d):
            return partial(batch_norm, layers, weight, bias, *(buffer(layers, name) for name in NORM_BUFFERS))
        if isinstance(layer, nn.Conv2d):
            return partial(convolution, layer, weight, bias)
        return partial(linear, weight, bias)

    def _parameter(self, layers: tuple[nn.Module, ...], name: str) -> nn.Parameter | None:
        parameters = [getattr(layer, name) for layer in layers]
        if parameters[0] is None:
            return None
        stacked = nn.Parameter(torch.stack([p.detach() for p in parameters]).contiguous())
        for parameter, part in zip(parameters, stacked.detach(), strict=True):
            parameter.data = part
        self._stacked.append((stacked, parameters))
        return stacked


def stack(models: Sequence[nn.Sequential]) -> StackedModel:
    """Networks of one architecture as one; raises UsageError where they differ or have a layer that cannot be stacked.

    Layers: Linear, Conv2d, BatchNorm2d, activations, pooling, Flatten. (Dropout would draw other numbers.)
    """
    return StackedModel(models)


def can_stack(model: nn.Module) -> bool:
    """Whether `stack` takes networks like this one."""
    return obstacle(model) is None


def plan(model: nn.Sequential) -> str:
    """Layers and all their settings in words, the same for networks that can be stacked with each other."""
    pools = [layer for layer in model if isinstance(layer, nn.AvgPool2d)]
    return f"{model} {[(p.ceil_mode, p.count_include_pad, p.divisor_override) for p in pools]}"  # not in its own words


def train_step(
    stacked: StackedModel,
    images: Tensor,
    labels: Tensor,
    optimizers: Iterable[torch.optim.Optimizer],
    label_smoothing: float = 0.0,
    penalties: Sequence[Penalty | None] = (),
    loss: Loss = cross_entropy,
) -> tuple[Tensor, Tensor]:
    """One step of every run on one batch: logits (runs, batch, classes) and losses (runs,), both detached."""
    logits, losses = _logits_and_losses(stacked, images, labels, smoothed(loss, label_smoothing))
    losses = losses.mean(1)
    losses.sum().backward()  # a run's gradient is that of its own loss: no other depends on its weights
    stacked.hand_out_gradients()
    for model, penalty in zip(stacked.models, penalties, strict=False):
        if penalty:
            penalty(model).backward()
    for optimizer in optimizers:
        optimizer.step()
    return logits.detach(), losses.detach()


def _logits_and_losses(stacked: StackedModel, images: Tensor, labels: Tensor, loss: Loss) -> tuple:
    """Logits (runs, batch, classes) and the loss of each image (runs, batch)."""
    logits = widened(stacked(images))
    labels = labels.expand(len(logits), -1)
    losses = loss(logits.flatten(0, 1), labels.flatten(), reduction="none")
    return logits, losses.view_as(labels)


@torch.inference_mode()
def evaluate(stacked: StackedModel, batches: Batches, loss: Loss = cross_entropy) -> list[tuple[float, float]]:
    """`training.evaluate` of every network, on images that all share."""
    total = correct = count = 0
    at_once = -(-batches.batch_size // len(stacked.models))  # images, so that memory is that of one network
    with ExitStack() as modes:
        for model in stacked.models:
            modes.enter_context(in_eval_mode(model))
        for batch in batches.of_epoch(0):
            for images, labels in zip(*(part.split(at_once) for part in batch), strict=True):
                logits, losses = _logits_and_losses(stacked, images, labels, loss)
                total += losses.sum(1)
                correct += (logits.argmax(2) == labels).sum(1)
                count += len(labels)
    return [(lost / count, right / count) for lost, right in zip(total.tolist(), correct.tolist(), strict=True)]


def train_one_epoch(
    stacked: StackedModel,
    batches: Iterable[tuple[Tensor, Tensor]],
    optimizers: Sequence[torch.optim.Optimizer],
    label_smoothing: float = 0.0,
    penalties: Sequence[Penalty | None] = (),
    totals: Tensor | None = None,
    after_step: Callable[[Tensor, Tensor], None] | None = None,
    loss: Loss = cross_entropy,
) -> Tensor:
    """All batches once; sums over examples (loss, correct, count) for each run: one tensor (runs, 3) on the device."""
    for model in stacked.models:
        model.train()
    chain = stacked.chain(loss)
    step = partial(mlp.train_step, chain) if chain else partial(train_step, stacked, loss=loss)
    for images, labels in batches:
        logits, losses = step(images, labels, optimizers, label_smoothing, penalties)
        correct = (logits.argmax(2) == labels).sum(1)
        sums = torch.stack([losses * labels.shape[-1], correct, torch.full_like(losses, labels.shape[-1])], 1)
        totals = sums if totals is None else totals + sums
        if after_step:
            after_step(losses, totals)
    return totals


def fit(
    stacked: StackedModel,
    journals: Sequence[Journal],
    epochs: int,
    penalties: Sequence[Penalty | None] = (),
    label_smoothing: float = 0.0,
    loss: Loss = cross_entropy,
) -> list[Diverged | None]:
    """Train every network of the stack as `training.fit` trains one; returns the error of each run that diverged.

    The journals are those of the networks, all at the same step; the runs whose journals hold one and the same
    `train` see the same images.
    """
    errors: list[Diverged | None] = [None] * len(journals)

    chosen = journals[0].progress.threads
    for journal in journals:
        check_schedule(journal.schedule, journal.schedule_by, journal.train, epochs)
        journal.progress.threads = chosen

    def after_step(losses: Tensor, totals: Tensor) -> None:
        choice.after_step()
        for journal, error, loss, sums in zip(journals, errors, losses.unbind(), totals.unbind(), strict=True):
            if not error:
                journal.after_step(loss, sums)
        stop.leave_if_asked(lambda: [journal.save() for journal in journals])

    with Stop(*(journal.folder for journal in journals)) as stop, Choice(chosen) as choice:
        for epoch in range(len(journals[0].progress.history), epochs):
            if all(errors):
                break
            # A run that diverged is computed on with the others, but its journal stands still.
            begun = (
                j.train.of_epoch(epoch) if error else j.begin(epoch) for j, error in zip(journals, errors, strict=True)
            )
            batches = _batches([(journal.train, batches) for journal, batches in zip(journals, begun, strict=True)])
            sums = [journal.progress.totals for journal in journals]
            totals = torch.stack(sums) if all(part is not None for part in sums) else None
            optimizers = [journal.optimizer for journal in journals]
            train_one_epoch(stacked, batches, optimizers, label_smoothing, penalties, totals, after_step, loss)
            for journal, error in zip(journals, errors, strict=True):
                if not error:
                    journal.stop_clock()
            evaluated = {name: evaluate(stacked, batches, loss) for name, batches in _shared(journals).items()}
            for run, journal in enumerate(journals):
                try:
                    if not errors[run]:
                        journal.finish(epoch, {name: scores[run] for name, scores in evaluated.items()})
                except Diverged as error:
                    errors[run] = error
            going_on = [journal for journal, error in zip(journals, errors, strict=True) if not error]
            if any(journal.is_due() for journal in going_on):
                for journal in going_on:  # all at one step, where they can be taken up together
                    journal.save()
            choice.after_epoch()
    return errors


def _shared(journals: Sequence[Journal]) -> dict[str, Batches]:
    """The sets on which every network of the stack is evaluated."""
    first, *others = (journal.evaluations for journal in journals)
    return {name: batches for name, batches in first.items() if all(own.get(name) is batches for own in others)}


def _batches(epochs: list[tuple[Batches, Iterator]]) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches as a stack takes them; each different `Batches` makes its own once."""
    sources = {id(batches): iterator for batches, iterator in epochs}
    for made in zip(*sources.values(), strict=True):
        if len(made) == 1:
            yield made[0]
            continue
        of = dict(zip(sources, made, strict=True))
        images, labels = zip(*(of[id(batches)] for batches, _ in epochs), strict=True)
        yield torch.cat(images, 1), torch.stack(labels)


def _check_alike(models: list[nn.Sequential]) -> None:
    for model in models:
        if found := obstacle(model):
            raise UsageError(f"cannot stack {found}")
    if len({plan(model) for model in models}) != 1:
        raise UsageError("only networks with the same layers can be stacked")
