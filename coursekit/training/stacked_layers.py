"""The layers of several networks computed as one, in the forms that were quickest on a CPU."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from coursekit.models.networks import ACTIVATIONS

PLAIN = (*ACTIVATIONS.values(), nn.MaxPool2d, nn.AvgPool2d, nn.Identity)
NORM_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


def buffer(layers: tuple[nn.Module, ...], name: str) -> Tensor:
    """One tensor of a buffer of all runs, of which each layer's own is a view from here on."""
    stacked = torch.stack([getattr(layer, name) for layer in layers])
    for layer, part in zip(layers, stacked, strict=True):
        setattr(layer, name, part)
    return stacked


def convolution(layer: nn.Conv2d, weight: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
    """(batch, runs · channels, H, W) to the same; from images that all runs share, (batch, channels, H, W), no groups.

    Of the forms tried on a CPU, grouped and channels-last was the quickest, forward and backward of eight runs: 16 to
    16 channels, 5×5: 4 ms; run by run 7, grouped channels-first 5, block-diagonal weights 32, unfold and bmm 51.
    """
    bias = None if bias is None else bias.flatten()
    groups = x.shape[1] // layer.in_channels
    return functional.conv2d(x, weight.flatten(0, 1), bias, layer.stride, layer.padding, layer.dilation, groups)


def batch_norm(layers, weight, bias, mean: Tensor, var: Tensor, count: Tensor, x: Tensor) -> Tensor:
    """(batch, runs · channels, H, W) to the same, every channel by itself as ever."""
    layer = layers[0]
    if layer.training:
        count += 1
    affine = [None if part is None else part.flatten() for part in (weight, bias)]
    return functional.batch_norm(
        x, mean.view(-1), var.view(-1), *affine, training=layer.training, momentum=layer.momentum, eps=layer.eps
    )


def flatten(runs: int, x: Tensor) -> Tensor:
    """(batch, runs · channels, H, W) to (runs, batch, features)."""
    return x.unflatten(1, (runs, -1)).transpose(0, 1).flatten(2)


def linear(weight: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
    """(runs, batch, features) to the same.

    Images are (batch, features) where all runs share them, else (batch, runs · features).
    """
    runs, _, features = weight.shape
    if x.ndim == 2 and x.shape[1] == features:
        return _shared_linear(weight, bias, x)
    if x.ndim == 2:
        x = x.unflatten(1, (runs, features)).transpose(0, 1)
    weight = weight.transpose(1, 2)
    return torch.bmm(x, weight) if bias is None else torch.baddbmm(bias[:, None], x, weight)


def _shared_linear(weight: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
    """(batch, features) to (runs, batch, features): one wide layer."""
    out = wide_linear(x, weight.flatten(0, 1), None if bias is None else bias.flatten())
    return out.unflatten(1, weight.shape[:2]).transpose(0, 1)


def wide_linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`functional.linear` with more outputs than a single network has, where x needs no gradient."""
    cpu_float32 = x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    wide = _WideLinear.apply if cpu_float32 and _ONEDNN_LINEAR else functional.linear
    return wide(x, weight, bias)


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


def obstacle(model: nn.Module) -> str | None:
    """What of this network would be computed otherwise than in the network alone; None where nothing is."""
    if not isinstance(model, nn.Sequential) or type(model).forward is not nn.Sequential.forward:
        return f"{type(model).__name__}, which is more than its layers in a row"
    for layer in model:
        if not _is_stackable(layer):
            return str(layer)
    parameters = [parameter for layer in model for parameter in layer.parameters()]
    if len({id(parameter) for parameter in parameters}) < len(parameters):
        return "layers that share weights"
    if not all(parameter.requires_grad for parameter in parameters):
        return "frozen weights"
    first = next((layer for layer in model if list(layer.parameters())), None)
    return "BatchNorm before the first layer with weights" if isinstance(first, nn.BatchNorm2d) else None


def _is_stackable(layer: nn.Module) -> bool:
    if type(layer) is nn.BatchNorm2d:
        return layer.track_running_stats and layer.momentum is not None
    if type(layer) is nn.Conv2d:
        return layer.groups == 1 and layer.padding_mode == "zeros"
    return type(layer) in (*PLAIN, nn.Linear, nn.Flatten)  # a class of its own may compute something else
