"""Layers, activations and losses in NumPy, each with its derivative written by hand."""

import numpy as np

from coursekit.errors import DataError

Array = np.ndarray


def sigmoid(x: Array) -> Array:
    """Logistic function; the exponent is never positive, so it cannot overflow."""
    e = np.exp(-1.0 * np.abs(x))  # the factor makes floats of integers: a plain minus wraps around in uint8
    return np.where(x >= 0, 1, e) / (1 + e)


def sigmoid_derivative(x: Array) -> Array:
    """Slope of the sigmoid at the *pre-activation* x; at most 1/4, reached at 0."""
    s = sigmoid(x)
    return s * (1 - s)


def tanh_derivative(x: Array) -> Array:
    """Slope of tanh at the pre-activation x; at most 1, reached at 0."""
    return 1 - np.tanh(x) ** 2


def relu(x: Array) -> Array:
    """max(x, 0), element by element."""
    return np.maximum(x, 0)


def relu_derivative(x: Array) -> Array:
    """Slope of ReLU at the pre-activation x, taken as 0 at x = 0 where it is undefined."""
    return (x > 0).astype(x.dtype)


def swish(x: Array) -> Array:
    """x · sigmoid(x), a ReLU without the corner; also called SiLU."""
    return x * sigmoid(x)


def swish_derivative(x: Array) -> Array:
    """Slope of Swish at the pre-activation x; negative below -1.28, so Swish is not monotone."""
    return sigmoid(x) + x * sigmoid_derivative(x)


def softmax(logits: Array) -> Array:
    """Probabilities of each row of logits (batch, classes), or of one row alone.

    Adding a constant to a row leaves its probabilities as they are; with its maximum subtracted, exp cannot overflow.
    """
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def cross_entropy(logits: Array, labels: Array) -> tuple[float, Array]:
    """Mean cross-entropy over the batch and its gradient (softmax(logits) - onehot) / batch.

    logits (batch, classes), labels (batch,) integers. Raises DataError for an empty batch or a label out of range.
    """
    rows = np.arange(len(labels))
    check_labels(labels, logits)
    shifted = logits - logits.max(axis=1, keepdims=True)
    e = np.exp(shifted)
    sums = e.sum(axis=1)
    loss = float(np.mean(np.log(sums) - shifted[rows, labels]))
    gradient = e / sums[:, None]
    gradient[rows, labels] -= 1
    return loss, gradient / len(labels)


def check_labels(labels: Array, logits: Array) -> None:
    """Raise DataError unless there is one integer label in 0..classes-1 for each row of logits."""
    if logits.ndim != 2:
        raise DataError(f"logits must have shape (batch, classes), got {logits.shape}")
    classes = logits.shape[1]
    if len(labels) == 0:
        raise DataError("the batch is empty: a mean over no examples does not exist")
    if labels.shape != (len(logits),) or labels.dtype.kind not in "ui":
        raise DataError(f"labels must be {len(logits)} integers, got shape {labels.shape} of {labels.dtype}")
    if labels.min() < 0 or labels.max() >= classes:
        index = int(np.flatnonzero((labels < 0) | (labels >= classes))[0])
        raise DataError(f"labels must be 0..{classes - 1}; found {labels[index]} at index {index}")


def check_finite(name: str, array: Array) -> None:
    """Raise DataError unless an array holds floats and each is a finite number: argmax takes nan for the largest."""
    if array.dtype.kind != "f":
        raise DataError(f"{name} must be floats (pixels in [0, 1]: divide by 255), got {array.dtype}")
    if not np.isfinite(array).all():
        rows = np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(axis=1))
        raise DataError(f"{name} contain values that are not finite in {len(rows)} rows, first at index {rows[0]}")


def accuracy(logits: Array, labels: Array) -> float:
    """Share of rows whose largest logit (or probability) is the label's; a row with a nan is wrong.

    Raises DataError as `cross_entropy` does.
    """
    check_labels(labels, logits)
    return float(np.mean((logits.argmax(axis=1) == labels) & ~np.isnan(logits).any(axis=1)))


class Linear:
    """y = x W + b with W (d_in, d_out).

    W is drawn with standard deviation (not variance) sqrt(2 / d_in): He et al. 2015, section 2.2. b starts at 0.
    """

    def __init__(self, d_in: int, d_out: int, seed: int | np.random.Generator = 0, dtype=np.float64):
        rng = np.random.default_rng(seed)
        self.W = rng.normal(0, np.sqrt(2 / d_in), (d_in, d_out)).astype(dtype)
        self.b = np.zeros(d_out, dtype)

    def forward(self, x: Array) -> Array:
        """x (batch, d_in) to (batch, d_out); keeps x for the backward pass."""
        self.x = x
        return x @ self.W + self.b

    def backward(self, dy: Array) -> Array:
        """From d loss / d y to d loss / d x; stores dW and db, summed over the batch."""
        self.dW = self.x.T @ dy
        self.db = dy.sum(axis=0)
        return dy @ self.W.T


class ReLU:
    """max(x, 0), passing gradients where x > 0."""

    def forward(self, x: Array) -> Array:
        self.active = x > 0
        return x * self.active

    def backward(self, dy: Array) -> Array:
        return dy * self.active
