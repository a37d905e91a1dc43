"""Batch normalisation in NumPy, forward and backward."""

import numpy as np

from coursekit.scratch.layers import Array


def batch_norm_forward(x: Array, weight: Array, bias: Array, eps: float = 1e-5) -> tuple[Array, tuple]:
    """Training mode: subtract each channel's mean, divide by its standard deviation, scale by weight, shift by bias.

    x (batch, channels) or (batch, channels, H, W): mean and variance are taken over every axis but the channels.
    Returns the output and what `batch_norm_backward` needs.
    """
    axes, per_channel = _axes(x)
    std = np.sqrt(x.var(axes, keepdims=True) + eps)
    normal = (x - x.mean(axes, keepdims=True)) / std
    weight = weight.reshape(per_channel)
    return weight * normal + bias.reshape(per_channel), (normal, std, weight)


def batch_norm_backward(d_out: Array, cache: tuple) -> tuple[Array, Array, Array]:
    """Gradients with respect to x, weight and bias.

    Every number of a channel changes the channel's mean and standard deviation, and with them all its outputs. So the
    gradient loses its mean, and its part along the normalised x: x + constant and x · constant have the same output.
    """
    normal, std, weight = cache
    axes, _ = _axes(d_out)
    d_normal = weight * d_out
    along = normal * (normal * d_normal).mean(axes, keepdims=True)
    dx = (d_normal - d_normal.mean(axes, keepdims=True) - along) / std
    return dx, (d_out * normal).sum(axes), d_out.sum(axes)


def _axes(x: Array) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """All axes but the channels', and the shape of one number for each channel."""
    return (0, *range(2, x.ndim)), (1, -1, *[1] * (x.ndim - 2))
