"""What a network looks like from inside: gradients, activations and weights, layer by layer."""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def layers(model: nn.Module) -> dict[str, nn.Module]:
    """Linear and convolution layers in order, named by type and number ("linear 1", "conv 2")."""
    found = [layer for layer in model.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    kinds = ["conv" if isinstance(layer, nn.Conv2d) else "linear" for layer in found]
    return {f"{kind} {number}": layer for number, (kind, layer) in enumerate(zip(kinds, found, strict=True), 1)}


def gradient_norms(model: nn.Module) -> list[Tensor]:
    """L2 norm of each layer's weight gradient, after a backward pass; biases are left out. 0-d tensors on the device.

    Norms of tensors of different size are not comparable; see `mean_absolute_gradients`.
    """
    return [layer.weight.grad.norm() for layer in layers(model).values()]


def mean_absolute_gradients(model: nn.Module) -> list[Tensor]:
    """Mean |gradient| of each layer's weights, after a backward pass. 0-d tensors on the device."""
    return [layer.weight.grad.abs().mean() for layer in layers(model).values()]


def first_gradient_norm(model: nn.Module) -> dict[str, Tensor]:
    """`gradient_norms` of the first layer alone, as a probe for `training.fit`."""
    layer = next(iter(layers(model).values()))
    return {"gradient": layer.weight.grad.norm()}


def layer_gradients(model: nn.Module) -> dict[str, Tensor]:
    """`mean_absolute_gradients` of all layers, as a probe for `training.fit`."""
    return dict(zip(layers(model), mean_absolute_gradients(model), strict=True))


def sparsity(model: nn.Module, threshold: float = 1e-3) -> tuple[float, float]:
    """Share of weights (not biases) that are exactly 0, and share whose magnitude is below the threshold."""
    values = torch.cat([layer.weight.detach().flatten() for layer in layers(model).values()])
    return float((values == 0).double().mean()), float((values.abs() < threshold).double().mean())


def weight_distributions(model: nn.Module, edges: Sequence[float]) -> dict[str, dict]:
    """Histogram, standard deviation and kurtosis (a Gaussian's is 3) of each layer's weights and of all together.

    Plain numbers, to be kept of a trained model; what lies beyond the edges counts in the outer bins.
    """
    weights = {name: layer.weight.detach().flatten().double().cpu() for name, layer in layers(model).items()}
    weights["all layers"] = torch.cat(list(weights.values()))
    return {name: _distribution(values, edges) for name, values in weights.items()}


def first_filters(model: nn.Module, count: int = 8, channels: int = 3) -> dict[str, object]:
    """What the first units of the first layer look for, as whole numbers from -500 to 500 and the `scale` they take.

    "filters" (count, height, width, channels), plain lists to be kept of a trained model; a linear layer reads square
    images, flattened channel by channel.
    """
    weight = next(iter(layers(model).values())).weight.detach()[:count].float().cpu()
    side = math.isqrt(weight[0].numel() // channels)
    filters = weight if weight.ndim == 4 else weight.reshape(-1, channels, side, side)
    scale = float(filters.abs().amax()) / 500
    return {"filters": (filters / scale).round().int().permute(0, 2, 3, 1).tolist(), "scale": scale}


@torch.no_grad()
def class_means(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], classes: int = 10) -> list[list[float]]:
    """Mean output of each unit in front of the last linear layer over the images of each class: (classes, units).

    With the activation, where there is one. Plain numbers of four digits, to be kept of a trained model.
    """
    *_, last = (layer for layer in model.modules() if isinstance(layer, nn.Linear))
    inputs: list[Tensor] = []
    hook = last.register_forward_pre_hook(lambda layer, arguments: inputs.append(arguments[0]))
    try:
        labels = []
        for images, targets in batches:
            model(images)
            labels.append(targets)
    finally:
        hook.remove()
    hidden, members = torch.cat(inputs).float(), nn.functional.one_hot(torch.cat(labels), classes).float()
    means = members.T @ hidden / members.sum(0)[:, None]
    return [[float(f"{value:.4g}") for value in row] for row in means.tolist()]


def _distribution(values: Tensor, edges: Sequence[float]) -> dict:
    counts = torch.histogram(values.clamp(edges[0], edges[-1]), torch.tensor(edges, dtype=torch.float64)).hist
    centred = values - values.mean()
    kurtosis = centred.pow(4).mean() / centred.pow(2).mean() ** 2
    return {"counts": counts.int().tolist(), "std": float(values.std()), "kurtosis": float(kurtosis)}


@contextmanager
def recorded_activations(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Outputs of every activation layer in the forward passes inside the `with` block, by name; the last pass wins."""
    outputs: dict[str, Tensor] = {}
    kinds = (nn.ReLU, nn.Sigmoid, nn.Tanh, nn.SiLU)

    def keep(name: str):
        return lambda layer, inputs, output: outputs.__setitem__(name, output.detach())

    chosen = [layer for layer in model.modules() if isinstance(layer, kinds)]
    hooks = [layer.register_forward_hook(keep(f"activation {i}")) for i, layer in enumerate(chosen, 1)]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


def dead_units(model: nn.Module, images: Tensor) -> dict[str, float]:
    """Share of units (or channels) of each activation layer whose output is 0 on all of the images."""
    with torch.no_grad(), recorded_activations(model) as outputs:
        model(images)
    return {
        name: float((output.transpose(0, 1).flatten(1) == 0).all(1).double().mean()) for name, output in outputs.items()
    }
