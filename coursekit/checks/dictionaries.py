"""What networks with dictionaries of weights and gradients have in common: TwoLayerNet and XorNet."""

from collections.abc import Callable

import numpy as np

from coursekit.checks.diagnosis import NotDone, Wrong

SLOPE_OF_OUTPUT = (
    "σ′ belongs to the pre-activation z. With a = σ(z) in hand it is a(1 − a); feeding a to σ′ gives σ(a)(1 − σ(a)), "
    "which is too much."
)


def _weights_of(net, form: str) -> dict:
    """The dictionary of weights that a learner's network has to have."""
    weights = getattr(net, "weights", None)
    if weights is None or weights is ...:
        raise NotDone
    if not isinstance(weights, dict):
        raise Wrong(f"net.weights is a {type(weights).__name__}", f"{form} keeps its weights in a dictionary.")
    return weights


def after_backward(cls: type, inputs: dict, sizes: tuple, results: Callable) -> dict:
    """A network with weights of ours, after a backward pass."""
    net = cls(*sizes)
    weights = _weights_of(net, cls.__name__)
    for name, array in inputs["weights"].items():
        if np.shape(weights.get(name)) != array.shape:
            said = (
                f"weights[{name!r}] has shape {np.shape(weights[name])}"
                if name in weights
                else f"weights has no {name!r}"
            )
            raise Wrong(f"{said}, expected {array.shape}", "The names are W1, b1, W2, b2; W1 has a row for each input.")
    net.weights.update({name: array.copy() for name, array in inputs["weights"].items()})
    found = results(net)
    gradients = getattr(net, "gradients", None) or {}
    if all(gradients.get(name) is None or not np.any(gradients[name]) for name in inputs["weights"]):
        gradients = {}
    return found | {f"the gradient of {name}": gradients.get(name) for name in ("b2", "W2", "b1", "W1")}


def scaled(factor: Callable[[int], float], *names: str) -> Callable:
    """A change of a network that multiplies some gradients by factor(batch size)."""

    def change(net, images, dlogits):
        for name in names:
            net.gradients[name] = net.gradients[name] * factor(len(dlogits))

    return change
