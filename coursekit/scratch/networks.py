"""The course's three NumPy networks: forward and backward, nothing else."""

import numpy as np

from coursekit.errors import UsageError
from coursekit.scratch.layers import Array, Linear, ReLU, accuracy, cross_entropy, relu, relu_derivative, sigmoid


class SimpleNetwork:
    """Linear - ReLU - Linear - ReLU - Linear; returns logits, softmax and loss come after it."""

    def __init__(self, d_in: int, h1: int, h2: int, d_out: int, seed: int = 0, dtype=np.float64):
        rng = np.random.default_rng(seed)
        self.linears = [Linear(m, n, rng, dtype) for m, n in ((d_in, h1), (h1, h2), (h2, d_out))]
        first, second, last = self.linears
        self.layers = [first, ReLU(), second, ReLU(), last]

    def forward(self, images: Array) -> Array:
        """images (batch, d_in) to logits (batch, d_out)."""
        x = images
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dlogits: Array) -> Array:
        """Fill dW and db of every Linear; returns d loss / d images."""
        for layer in reversed(self.layers):
            dlogits = layer.backward(dlogits)
        return dlogits

    def parameter_count(self) -> int:
        """Weights and biases together."""
        return sum(linear.W.size + linear.b.size for linear in self.linears)


class _Classifier:
    """Weights and gradients as two dictionaries with the same keys, made together; gradients start at zero."""

    weights: dict[str, Array]
    gradients: dict[str, Array]

    def forward(self, images: Array, labels: Array, mode: str = "valid") -> tuple[float, float]:
        """Loss and accuracy of a batch; in mode "train" also fills `gradients`, of the loss without any penalty.

        images (batch, 784), labels (batch,). Raises UsageError for another mode.
        """
        if mode not in ("train", "valid"):
            raise UsageError(f"mode must be 'train' or 'valid', got {mode!r}")
        logits = self.logits(images)
        loss, dlogits = cross_entropy(logits, labels)
        if mode == "train":
            self.backward(images, dlogits)
        return loss, accuracy(logits, labels)

    def parameter_count(self) -> int:
        """Weights and biases together."""
        return sum(array.size for array in self.weights.values())

    def _start(self, **weights: Array) -> None:
        self.weights = weights
        self.gradients = {name: np.zeros_like(array) for name, array in weights.items()}


class SoftmaxRegression(_Classifier):
    """One linear layer without bias, then, as one course prescribes it, a ReLU before the softmax.

    That ReLU is a hazard: a class whose logit is negative for all images gets no gradient and stays dead. `relu=False`
    is the usual softmax regression.
    """

    def __init__(self, d_in=784, d_out=10, relu: bool = True, scale=1e-3, seed=0, dtype=np.float32):
        self.relu = relu
        self._start(W1=np.random.default_rng(seed).normal(0, scale, (d_in, d_out)).astype(dtype))

    def logits(self, images: Array) -> Array:
        """images (batch, d_in) to logits (batch, d_out)."""
        self.z = images @ self.weights["W1"]
        return relu(self.z) if self.relu else self.z

    def backward(self, images: Array, dlogits: Array) -> None:
        """Fill `gradients` from d loss / d logits of the last call of `logits`."""
        dz = dlogits * relu_derivative(self.z) if self.relu else dlogits
        self.gradients["W1"] = images.T @ dz


class TwoLayerNet(_Classifier):
    """Linear - sigmoid - Linear; weights N(0, scale²), biases 0."""

    def __init__(self, d_in=784, hidden=128, d_out=10, scale=1e-3, seed=0, dtype=np.float32):
        rng = np.random.default_rng(seed)
        self._start(
            W1=rng.normal(0, scale, (d_in, hidden)).astype(dtype),
            b1=np.zeros(hidden, dtype),
            W2=rng.normal(0, scale, (hidden, d_out)).astype(dtype),
            b2=np.zeros(d_out, dtype),
        )

    def logits(self, images: Array) -> Array:
        """images (batch, d_in) to logits (batch, d_out)."""
        self.hidden = sigmoid(images @ self.weights["W1"] + self.weights["b1"])
        return self.hidden @ self.weights["W2"] + self.weights["b2"]

    def backward(self, images: Array, dlogits: Array) -> None:
        """Fill `gradients` from d loss / d logits of the last call of `logits`."""
        dhidden = dlogits @ self.weights["W2"].T
        dz = dhidden * self.hidden * (1 - self.hidden)  # sigmoid'(z) from the activation a: a (1 - a)
        self.gradients = {
            "W1": images.T @ dz,
            "b1": dz.sum(axis=0),
            "W2": self.hidden.T @ dlogits,
            "b2": dlogits.sum(axis=0),
        }
