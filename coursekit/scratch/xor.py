"""XOR on the plane: four Gaussian blobs, and networks 2-4-1 with every derivative written by hand."""

import math
from collections.abc import Sequence

import numpy as np

from coursekit.errors import DataError, Diverged, UsageError
from coursekit.scratch.layers import Array, check_finite, relu, sigmoid


def _linear(z: Array) -> Array:
    return z


# Slopes in terms of the activation a, not of the pre-activation z.
def _sigmoid_slope(a: Array) -> Array:
    return a * (1 - a)


def _tanh_slope(a: Array) -> Array:
    return 1 - a**2


def _relu_slope(a: Array) -> Array:
    return a > 0


def _linear_slope(a: Array) -> int:
    return 1


ACTIVATIONS = {
    "sigmoid": (sigmoid, _sigmoid_slope),
    "tanh": (np.tanh, _tanh_slope),
    "relu": (relu, _relu_slope),
    "linear": (_linear, _linear_slope),
}


def blobs(samples: int, std: float = 0.4, seed: int = 0) -> tuple[Array, Array]:
    """Points (n, 2) around the four corners (±1, ±1), as many at each, shuffled, and their labels (n, 1).

    The label is 1 where the signs of the *centre* differ, so a point that strays over an axis keeps its label and no
    rule is always right: see `bayes_accuracy`. Raises DataError unless `samples` is a positive multiple of 4.
    """
    if samples < 4 or samples % 4:
        raise DataError(f"four blobs of equal size need a positive multiple of 4 samples, got {samples}")
    rng = np.random.default_rng(seed)
    centres = np.tile([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]], (samples // 4, 1))
    order = rng.permutation(samples)
    points = centres + rng.normal(0, std, (samples, 2))
    labels = (centres[:, :1] * centres[:, 1:] < 0).astype(float)
    return points[order], labels[order]


def bayes_accuracy(std: float = 0.4) -> float:
    """What the best possible rule, deciding by quadrant, scores on `blobs`: 0.98766 for std 0.4.

    A coordinate changes its sign with probability p = Φ(-1 / std); the rule is right when none or both do.
    """
    p = 0.5 * math.erfc(1 / (std * math.sqrt(2)))
    return (1 - p) ** 2 + p**2


class XorNet:
    """2-hidden-1 with weights N(0, 1), biases 0 and squared error; several seeds make several nets, side by side.

    With `seed=range(10)` every array has the ten nets as its first axis, and so has every output. Activations are
    "sigmoid", "tanh", "relu" or "linear". Raises UsageError for another one.
    """

    def __init__(
        self,
        hidden: int = 4,
        activation: str = "sigmoid",
        output: str = "sigmoid",
        seed: int | Sequence[int] = 0,
        dtype=np.float64,
    ):
        for name in (activation, output):
            if name not in ACTIVATIONS:
                raise UsageError(f"no activation {name!r}; choose {', '.join(ACTIVATIONS)}")
        self.activation, self.output = ACTIVATIONS[activation], ACTIVATIONS[output]
        draws = [np.random.default_rng(one).normal(size=(3, hidden)) for one in np.atleast_1d(seed)]
        drawn = np.stack(draws).reshape(*np.shape(seed), 3, hidden).astype(dtype)
        self.weights = {
            "W1": drawn[..., :2, :].copy(),
            "b1": np.zeros_like(drawn[..., :1, :]),
            "W2": _transposed(drawn[..., 2:, :]).copy(),
            "b2": np.zeros_like(drawn[..., :1, :1]),
        }
        self.gradients = {name: np.zeros_like(array) for name, array in self.weights.items()}

    def forward(self, x: Array) -> Array:
        """Points (..., n, 2) to outputs (..., n, 1), which count as class 1 above 0.5."""
        w = self.weights
        self.a1 = self.activation[0](x @ w["W1"] + w["b1"])
        self.a2 = self.output[0](self.a1 @ w["W2"] + w["b2"])
        return self.a2

    def backward(self, x: Array, y: Array) -> Array:
        """Fill `gradients` of the squared error summed over the samples; returns that error, one per net.

        y (..., n, 1). Raises DataError for another shape: labels (n,) would broadcast to n × n differences.
        """
        _check_labels(x, y)
        error = self.forward(x) - y
        dz2 = 2 * error * self.output[1](self.a2)
        dz1 = dz2 @ _transposed(self.weights["W2"]) * self.activation[1](self.a1)
        ones = np.ones((1, x.shape[-2]), x.dtype)  # sums over samples as a product: ten times faster than .sum here
        self.gradients = {
            "W1": _transposed(x) @ dz1,
            "b1": ones @ dz1,
            "W2": _transposed(self.a1) @ dz2,
            "b2": ones @ dz2,
        }
        return (error**2).sum(axis=(-2, -1))

    def accuracy(self, x: Array, y: Array) -> Array:
        """Share of samples on the right side of 0.5, one per net; labels as for `backward`."""
        _check_labels(x, y)
        return ((self.forward(x) > 0.5) == (y > 0.5)).mean(axis=(-2, -1))


def _check_labels(x: Array, y: Array) -> None:
    if y.shape[-2:] != (x.shape[-2], 1):
        raise DataError(f"labels must have shape (..., {x.shape[-2]}, 1) like the outputs, got {y.shape}")


def _transposed(matrices: Array) -> Array:
    return np.swapaxes(matrices, -1, -2)


def train_xor(net: XorNet, x, y, epochs: int, lr: float = 1e-3, batch: int | None = None, log_every: int = 1) -> dict:
    """Gradient descent on summed squared errors, `batch` samples a step in file order (None: all, 1: one by one).

    Returns {epoch: mean squared error} of every `log_every`-th epoch, each sample measured just before its own step.
    Raises Diverged when the error of a net is not finite, and DataError for points or labels that are no finite floats.
    """
    _check_labels(x, y)
    check_finite("points", x)
    check_finite("labels", y)
    samples = x.shape[-2]
    batch = samples if batch is None else batch
    if batch < 1:
        raise DataError(f"batch must be at least 1, got {batch}")
    log = {}
    for epoch in range(epochs):
        total = 0
        for start in range(0, samples, batch):
            total += net.backward(x[..., start : start + batch, :], y[..., start : start + batch, :])
            for name, gradient in net.gradients.items():
                net.weights[name] -= lr * gradient
        if not np.isfinite(total).all():
            raise Diverged(f"the error is no longer finite in epoch {epoch}; try a smaller lr than {lr:g}")
        if epoch % log_every == 0:
            log[epoch] = total / samples
    return log
