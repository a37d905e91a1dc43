"""The loss around trained weights, along a random direction that is scaled filter by filter (Li et al. 2018)."""

import copy
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from coursekit import training
from coursekit.data.batches import Batches


@torch.no_grad()
def filter_normalised_direction(model: nn.Module, generator: torch.Generator) -> dict[str, Tensor]:
    """A Gaussian direction, by parameter name, in which every filter is as long as the model's own filter.

    A filter is what makes one output: a slice of a convolution's weight, a row of a linear layer's. Without this scale
    a network with small weights would look rugged and one with large weights smooth, though BatchNorm makes them the
    same function. Biases and BatchNorm's parameters stay where they are: their direction is 0.
    """
    return {name: _like(parameter, generator) for name, parameter in model.named_parameters()}


def _like(weight: Tensor, generator: torch.Generator) -> Tensor:
    if weight.ndim < 2:
        return torch.zeros_like(weight)
    noise = torch.randn(weight.shape, generator=generator).to(weight.device)  # the same draw on every device
    length, wanted = (_lengths(tensor) for tensor in (noise, weight))
    return noise * (wanted / length)


def _lengths(weight: Tensor) -> Tensor:
    return weight.flatten(1).norm(dim=1).view(-1, *[1] * (weight.ndim - 1))


def loss_along(
    model: nn.Module,
    direction: Mapping[str, Tensor],
    distances: Iterable[float],
    batches: Batches,
    batch_statistics: bool = False,
) -> list[float]:
    """Mean loss in eval mode at weights + distance · direction, for each distance; the model itself is not touched.

    BatchNorm uses the running statistics of the trained model: the loss is then one function of the weights, and at
    distance 0 it is what `training.evaluate` says. They do not fit moved weights, though, so part of a rise is theirs:
    with `batch_statistics` each batch is normalised by its own, as in training.
    """
    moved = copy.deepcopy(model)
    for layer in moved.modules() if batch_statistics else ():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.running_mean = layer.running_var = None  # torch then takes the batch's, in eval mode too
    return [_loss_at(moved, model, direction, distance, batches) for distance in distances]


@torch.no_grad()
def _loss_at(moved: nn.Module, model: nn.Module, direction: Mapping, distance: float, batches: Batches) -> float:
    for parameter, (name, start) in zip(moved.parameters(), model.named_parameters(), strict=True):
        parameter.copy_(start + distance * direction[name])
    return training.evaluate(moved, batches)[0]
