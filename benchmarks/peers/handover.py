"""The weights of one of our networks, in the order of its layers, for libraries that keep channels last."""

from collections.abc import Iterator

import numpy as np
from torch import Tensor, nn


def layers(model: nn.Module, channels: int) -> Iterator[tuple[list[np.ndarray], list[np.ndarray]]]:
    """Of each layer its parameters, and mean and variance where it is a BatchNorm; `channels` of the images.

    A convolution's weight becomes (H, W, in, out), a linear layer's (in, out); the first linear layer after a
    convolution finds its inputs in the order position, channel instead of channel, position.
    """
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            channels = layer.out_channels
            yield [_array(layer.weight.permute(2, 3, 1, 0)), *_bias(layer)], []
        elif isinstance(layer, nn.Linear):
            by_position = layer.weight.unflatten(1, (channels, -1)).transpose(1, 2).flatten(1)
            channels = layer.out_features
            yield [_array(by_position.t()), *_bias(layer)], []
        elif isinstance(layer, nn.BatchNorm2d):
            statistics = [layer.running_mean, layer.running_var]
            yield [_array(layer.weight), *_bias(layer)], [_array(tensor) for tensor in statistics]


def _bias(layer: nn.Module) -> list[np.ndarray]:
    return [] if layer.bias is None else [_array(layer.bias)]


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy().copy()
