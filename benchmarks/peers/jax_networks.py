"""The networks of the benchmarks in JAX: plain functions of weights, images with channels last."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.nn import relu

MOMENTUM, EPSILON = 0.1, 1e-5  # of BatchNorm, as torch has them


class Layers:
    """Layers that take their weights one after the other, in the order in which the torch network made them."""

    def __init__(self, parameters: Sequence[Array], statistics: Sequence[Array], training: bool):
        self.parameters, self.statistics, self.training = iter(parameters), iter(statistics), training
        self.new_statistics: list[Array] = []

    def linear(self, x: Array) -> Array:
        return x @ next(self.parameters) + next(self.parameters)

    def convolution(self, x: Array, stride: int = 1, padding: int = 0, bias: bool = True) -> Array:
        pads, kinds = [(padding, padding)] * 2, ("NHWC", "HWIO", "NHWC")
        y = lax.conv_general_dilated(x, next(self.parameters), (stride, stride), pads, dimension_numbers=kinds)
        return y + next(self.parameters) if bias else y

    def norm(self, x: Array) -> Array:
        weight, bias = next(self.parameters), next(self.parameters)
        mean, variance = next(self.statistics), next(self.statistics)
        if self.training:
            old, (mean, variance), count = (mean, variance), _moments(x), x[..., 0].size
            seen = mean, variance * (count / (count - 1))
            self.new_statistics += [(1 - MOMENTUM) * a + MOMENTUM * b for a, b in zip(old, seen, strict=True)]
        scale = weight * lax.rsqrt(variance + EPSILON)
        return x * scale + (bias - mean * scale)


def _moments(x: Array) -> tuple[Array, Array]:
    return x.mean((0, 1, 2)), x.var((0, 1, 2))


def pool(x: Array) -> Array:
    """The largest of 2×2; with slices the gradient costs less than `reduce_window`'s."""
    rows = jnp.maximum(x[:, ::2], x[:, 1::2])
    return jnp.maximum(rows[:, :, ::2], rows[:, :, 1::2])


def mlp(layers: Layers, x: Array) -> Array:
    x = x.reshape(len(x), -1)
    return layers.linear(relu(layers.linear(relu(layers.linear(x)))))


def simple_nn(layers: Layers, x: Array) -> Array:
    for _ in range(2):
        x = pool(relu(layers.norm(layers.convolution(x))))
    return mlp(layers, x)


def cnn4(layers: Layers, x: Array) -> Array:
    for _ in range(3):
        x = relu(layers.convolution(x))
    x = pool(relu(layers.convolution(pool(x))))
    return layers.linear(x.reshape(len(x), -1))


def resnet20(layers: Layers, x: Array) -> Array:
    x = relu(layers.norm(layers.convolution(x, padding=1, bias=False)))
    for stage in range(3):
        for block in range(3):
            x = _block(layers, x, stride=2 if stage and not block else 1)
    return layers.linear(x.mean((1, 2)))


def _block(layers: Layers, x: Array, stride: int) -> Array:
    y = relu(layers.norm(layers.convolution(x, stride, padding=1, bias=False)))
    y = layers.norm(layers.convolution(y, padding=1, bias=False))
    shortcut = x if stride == 1 else layers.norm(layers.convolution(x, stride, bias=False))
    return relu(y + shortcut)


NETWORKS: dict[str, Callable[[Layers, Array], Array]] = {
    "MLP": mlp,
    "SimpleNN, BN, crop + flip": simple_nn,
    "cnn4": cnn4,
    "ResNet-20, crop + flip": resnet20,
}


def crop_flip(images: Array, key: Array, padding: int = 4) -> Array:
    """Each image padded with zeros, cropped at a random place and mirrored with probability ½."""
    count, height, width, channels = images.shape
    place, mirror = jax.random.split(key)
    corners = jax.random.randint(place, (count, 2), 0, 2 * padding + 1)
    padded = jnp.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    window = lambda image, corner: lax.dynamic_slice(image, (*corner, 0), (height, width, channels))  # noqa: E731
    crops = jax.vmap(window)(padded, corners)
    return jnp.where(jax.random.bernoulli(mirror, shape=(count, 1, 1, 1)), crops[:, :, ::-1], crops)
