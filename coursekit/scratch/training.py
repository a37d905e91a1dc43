"""Gradient descent in NumPy: full batch for the letters, mini-batches for MNIST."""

import copy
import time
from collections.abc import Iterator

import numpy as np

from coursekit.errors import DataError, Diverged
from coursekit.scratch.layers import Array, check_finite, cross_entropy
from coursekit.scratch.networks import SimpleNetwork


def train_with_gd(net: SimpleNetwork, images: Array, labels: Array, lr: float, epochs: int) -> list[float]:
    """Full-batch gradient descent; the loss of each epoch, measured before its step.

    Raises Diverged at the first loss that is not finite, and DataError for images that are no finite floats.
    """
    _check("images", images, net.linears[0].W)
    losses = []
    for epoch in range(epochs):
        loss, dlogits = cross_entropy(net.forward(images), labels)
        if not np.isfinite(loss):
            raise Diverged(f"loss is {loss} at epoch {epoch}; try a smaller lr than {lr}")
        net.backward(dlogits)
        for linear in net.linears:
            linear.W -= lr * linear.dW
            linear.b -= lr * linear.db
        losses.append(loss)
    return losses


def _check(name: str, images: Array, weight: Array) -> None:
    """Raise DataError unless images are finite floats, a row each, as many as the first layer has weights for."""
    if images.ndim != 2 or images.shape[1] != len(weight):
        raise DataError(f"{name} must have shape (N, {len(weight)}), got {images.shape}")
    check_finite(name, images)


def minibatches(images: Array, labels: Array, batch_size: int, rng=None) -> Iterator[tuple[Array, Array]]:
    """Batches in file order, or in an order drawn from `rng`: one permutation for images and labels together.

    The last, shorter batch is kept. Raises DataError when images and labels differ in number or there are none, and
    for a batch size below 1.
    """
    if batch_size < 1:
        raise DataError(f"batch_size must be at least 1, got {batch_size}")
    if len(images) != len(labels) or len(labels) == 0:
        raise DataError(f"need as many images as labels and at least one, got {len(images)} and {len(labels)}")
    order = np.arange(len(labels)) if rng is None else rng.permutation(len(labels))
    for start in range(0, len(order), batch_size):
        index = order[start : start + batch_size]
        yield images[index], labels[index]


def apply_regularization(model, strength: float) -> None:
    """Add strength · w, the gradient of strength/2 · Σ w², to the weights' gradients; biases are left alone."""
    for name, weight in model.weights.items():
        if name.startswith("W"):
            model.gradients[name] += strength * weight


class SGD:
    """Stochastic gradient descent with an L2 penalty; the penalty enters the gradient, never the reported loss."""

    def __init__(self, lr: float, regularization: float = 0.0):
        self.lr, self.regularization = lr, regularization

    def update(self, model) -> None:
        """One step in place: regularise, then w -= lr · gradient."""
        apply_regularization(model, self.regularization)
        for name, gradient in model.gradients.items():
            model.weights[name] -= self.lr * gradient


def evaluate(model, images: Array, labels: Array) -> tuple[float, float]:
    """Loss and accuracy over all examples at once, gradients untouched."""
    return model.forward(images, labels, mode="valid")


def fit(model, train, validation, optimizer: SGD, epochs: int, batch_size: int = 64, seed: int = 0) -> list[dict]:
    """Mini-batch training with a validation after every epoch; the model ends with the weights of its best one.

    train and validation are pairs (images, labels). Returns one history row per epoch; train_loss and train_accuracy
    are means over the epoch's examples while the weights moved. Raises Diverged when a loss is not finite, and
    DataError, before the first step, for images that are no finite floats.
    """
    for name, (images, _) in {"train images": train, "validation images": validation}.items():
        _check(name, images, model.weights["W1"])
    rng = np.random.default_rng(seed)
    history, best = [], (-1.0, model.weights)
    start = time.perf_counter()
    for epoch in range(1, epochs + 1):
        totals = np.zeros(2)
        for images, labels in minibatches(*train, batch_size, rng):
            totals += np.multiply(model.forward(images, labels, mode="train"), len(labels))
            optimizer.update(model)
        train_loss, train_accuracy = totals / len(train[1])
        if not np.isfinite(train_loss):
            raise Diverged(f"loss is {train_loss} in epoch {epoch}; try a smaller lr than {optimizer.lr}")
        val_loss, val_accuracy = evaluate(model, *validation)
        if val_accuracy > best[0]:
            best = (val_accuracy, copy.deepcopy(model.weights))
        history.append(
            dict(
                epoch=epoch,
                step=epoch * -(-len(train[1]) // batch_size),
                lr=optimizer.lr,
                train_loss=float(train_loss),
                train_accuracy=float(train_accuracy),
                val_loss=val_loss,
                val_accuracy=val_accuracy,
                seconds=time.perf_counter() - start,
            )
        )
    model.weights = best[1]
    return history
