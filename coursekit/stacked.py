"""Runs of one architecture trained as one: the same layers with one dimension more, and each run its own optimizer."""

import ctypes
import functools
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from coursekit.errors import UsageError
from coursekit.models import ACTIVATIONS

MONOTONE = (nn.ReLU, nn.Sigmoid, nn.Tanh)
PLAIN = (*ACTIVATIONS.values(), nn.MaxPool2d, nn.AvgPool2d, nn.Identity)


class StackedModel:
    """Several networks of one architecture, computed together: images (batch, ...) to logits (runs, batch, classes).

    `models` are the networks that were given. Their parameters and buffers are views of the stacked ones from here on,
    so each is trained by an optimizer of its own and evaluated by itself. All runs see the same batches; they may
    differ in initial weights and in everything that their optimizers do.
    """

    def __init__(self, models: Sequence[nn.Sequential]):
        self.models = list(models)
        _check_alike(self.models)
        _keep_freed_memory()
        self._stacked: list[tuple[nn.Parameter, list[nn.Parameter]]] = []
        self._layers: list[Callable[[Tensor], Tensor]] = []
        self._shared = True  # until the first layer with weights, all runs have the same images before them
        for layers in _pool_before_activation(list(zip(*self.models, strict=True))):
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

    def unstack(self) -> list[nn.Module]:
        """The networks with memory of their own again, to be saved or copied; this object is of no use afterwards."""
        for model in self.models:
            for tensor in (*model.parameters(), *model.buffers()):
                tensor.data, tensor.grad = tensor.data.clone(), None
        return self.models

    def _layer(self, layers: tuple[nn.Module, ...]) -> Callable[[Tensor], Tensor]:
        layer, shared = layers[0], self._shared
        if isinstance(layer, PLAIN) or (isinstance(layer, nn.Flatten) and shared):
            return layer
        if isinstance(layer, nn.Flatten):
            return partial(_flatten, len(layers))
        weight, bias = self._parameter(layers, "weight"), self._parameter(layers, "bias")
        if isinstance(layer, nn.BatchNorm2d):
            return partial(_batch_norm, layers, weight, bias, *(_buffer(layers, name) for name in NORM_BUFFERS))
        self._shared = False
        if isinstance(layer, nn.Conv2d):
            return partial(_convolution, layer, 1 if shared else len(layers), weight, bias)
        return partial(_first_linear if shared else _linear, weight, bias)

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


def train_step(
    stacked: StackedModel,
    images: Tensor,
    labels: Tensor,
    optimizers: Iterable[torch.optim.Optimizer],
    label_smoothing: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """One step of every run on one batch: logits (runs, batch, classes) and losses (runs,), both detached."""
    logits = stacked(images)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    runs = len(logits)
    losses = functional.cross_entropy(
        logits.flatten(0, 1), labels.repeat(runs), reduction="none", label_smoothing=label_smoothing
    )
    losses = losses.view(runs, -1).mean(1)
    losses.sum().backward()  # a run's gradient is that of its own loss: no other depends on its weights
    stacked.hand_out_gradients()
    for optimizer in optimizers:
        optimizer.step()
    return logits.detach(), losses.detach()


def train_one_epoch(
    stacked: StackedModel,
    batches: Iterable[tuple[Tensor, Tensor]],
    optimizers: Sequence[torch.optim.Optimizer],
    label_smoothing: float = 0.0,
) -> Tensor:
    """All batches once; sums over examples (loss, correct, count) for each run: one tensor (runs, 3) on the device."""
    for model in stacked.models:
        model.train()
    totals = None
    for images, labels in batches:
        logits, losses = train_step(stacked, images, labels, optimizers, label_smoothing)
        correct = (logits.argmax(2) == labels).sum(1)
        sums = torch.stack([losses * len(labels), correct, torch.full_like(losses, len(labels))], 1)
        totals = sums if totals is None else totals + sums
    return totals


def merged(optimizers: Sequence[torch.optim.Optimizer]) -> torch.optim.Optimizer:
    """Optimizers of one class as one with a parameter group for each run: one `step()` is quicker than several.

    Raises UsageError for different classes. Only optimizers that have not made a step.
    """
    first, *others = optimizers
    if any(type(optimizer) is not type(first) or optimizer.state for optimizer in optimizers):
        raise UsageError("only new optimizers of one class can be merged")
    for optimizer in others:
        for group in optimizer.param_groups:
            first.add_param_group(group)
    return first


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h
NORM_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


def _buffer(layers: tuple[nn.Module, ...], name: str) -> Tensor:
    stacked = torch.stack([getattr(layer, name) for layer in layers])
    for layer, part in zip(layers, stacked, strict=True):
        setattr(layer, name, part)
    return stacked


@functools.cache
def _keep_freed_memory() -> None:
    """Stacked activations are large: Linux gives them back at every step and gets them again, page by page.

    That takes 15 % of the time of eight stacked SimpleNNs on one thread. glibc only; elsewhere nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    for name in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD) if mallopt else ():
        mallopt(name, 2**31 - 1)


def _check_alike(models: list[nn.Sequential]) -> None:
    if not models or len({str(model) for model in models}) > 1:
        raise UsageError("only networks with the same layers can be stacked")
    for layer in models[0]:
        norm = isinstance(layer, nn.BatchNorm2d) and layer.track_running_stats and layer.momentum is not None
        conv = isinstance(layer, nn.Conv2d) and layer.groups == 1 and layer.padding_mode == "zeros"
        if not (norm or conv or isinstance(layer, (*PLAIN, nn.Linear, nn.Flatten))):
            raise UsageError(f"cannot stack {layer}")


def _pool_before_activation(rows: list[tuple[nn.Module, ...]]) -> list[tuple[nn.Module, ...]]:
    """max(f(x)) = f(max(x)) for a rising f, on a quarter of the numbers."""
    for i in range(len(rows) - 1):
        if isinstance(rows[i][0], MONOTONE) and isinstance(rows[i + 1][0], nn.MaxPool2d):
            rows[i], rows[i + 1] = rows[i + 1], rows[i]
    return rows


def _convolution(layer: nn.Conv2d, groups: int, weight: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
    """(batch, runs · channels, H, W) to the same; without groups from images that all runs share.

    Of the forms tried on a CPU, grouped and channels-last was the quickest, forward and backward of eight runs: 16 to
    16 channels, 5×5: 4 ms; run by run 7, grouped channels-first 5, block-diagonal weights 32, unfold and bmm 51.
    """
    bias = None if bias is None else bias.flatten()
    return functional.conv2d(x, weight.flatten(0, 1), bias, layer.stride, layer.padding, layer.dilation, groups)


def _batch_norm(layers, weight, bias, mean: Tensor, var: Tensor, count: Tensor, x: Tensor) -> Tensor:
    layer = layers[0]
    if layer.training:
        count += 1
    affine = [None if part is None else part.flatten() for part in (weight, bias)]
    return functional.batch_norm(
        x, mean.view(-1), var.view(-1), *affine, training=layer.training, momentum=layer.momentum, eps=layer.eps
    )


def _flatten(runs: int, x: Tensor) -> Tensor:
    return x.unflatten(1, (runs, -1)).transpose(0, 1).flatten(2)


def _linear(weight: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
    weight = weight.transpose(1, 2)
    return torch.bmm(x, weight) if bias is None else torch.baddbmm(bias[:, None], x, weight)


def _first_linear(weight: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
    """All runs read the same images: one wide layer."""
    cpu_float32 = x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    wide = _WideLinear.apply if cpu_float32 and _ONEDNN_LINEAR else functional.linear
    out = wide(x, weight.flatten(0, 1), None if bias is None else bias.flatten())
    return out.unflatten(1, weight.shape[:2]).transpose(0, 1)


# In float32, torch multiplies matrices by MKL, which on AMD's processors reaches half of what oneDNN does there:
# for eight runs of the MLP's first layer 1.6 ms against 3.6 on one thread, forward and backward.
_ONEDNN_LINEAR = torch.backends.mkldnn.is_available() and getattr(torch.ops.mkldnn, "_linear_pointwise", None)


class _WideLinear(torch.autograd.Function):
    """`linear` by oneDNN; the images need no gradient."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x)
        return _ONEDNN_LINEAR(x, weight, bias, "none", [], "")

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[None, Tensor, Tensor | None]:
        (x,) = ctx.saved_tensors
        bias_grad = grad.sum(0) if ctx.needs_input_grad[2] else None
        return None, _ONEDNN_LINEAR(grad.t(), x.t(), None, "none", [], ""), bias_grad
