"""Checks of networks by hand: forward and backward from the same weights as ours."""

from itertools import pairwise

import numpy as np

from coursekit import scratch
from coursekit.checks.arrays import rounded
from coursekit.checks.diagnosis import NotDone, Wrong
from coursekit.checks.judging import Case, Mistake, Piece


def _network(cls, inputs: dict) -> dict:
    """Logits and gradients with seeded weights."""
    x, dlogits, sizes = inputs.values()
    net = cls(*sizes)
    layers = getattr(net, "layers", None)
    if layers is None or layers is ...:
        raise NotDone
    linears = [layer for layer in layers if hasattr(layer, "W")]
    if len(linears) != 3:
        raise Wrong(
            f"net.layers has {len(linears)} layers with a W, three are wanted", "Linear, ReLU, Linear, ReLU, Linear."
        )
    rng = np.random.default_rng(1)
    for linear, (m, n) in zip(linears, pairwise(sizes), strict=True):
        if np.shape(linear.W) != (m, n):
            raise Wrong(
                f"a layer's W has shape {np.shape(linear.W)}, expected {(m, n)}", "In order: d_in, h1, h2, d_out."
            )
        linear.W, linear.b = rng.normal(0, 1, (m, n)).round(2), rng.normal(0, 1, n).round(2)
    results = {"forward(x)": net.forward(x), "dX": None} | {f"dW of layer {i}": None for i in (3, 2, 1)}
    if results["forward(x)"] is not None:
        results["dX"] = net.backward(dlogits)
        results |= {f"dW of layer {i}": getattr(linears[i - 1], "dW", None) for i in (3, 2, 1)}
    return results


class _OneReLU(scratch.SimpleNetwork):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.layers = [*self.layers[:3], self.layers[4]]


class _NoReLU(scratch.SimpleNetwork):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.layers = self.linears


class _ReLUOnLogits(scratch.SimpleNetwork):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.layers = [*self.layers, scratch.ReLU()]


class _Softmax(scratch.SimpleNetwork):
    def forward(self, images):
        return scratch.softmax(super().forward(images))


class _ReturnsInput(scratch.SimpleNetwork):
    def backward(self, dlogits):
        super().backward(dlogits)
        return dlogits


class _SameGradient(scratch.SimpleNetwork):
    def backward(self, dlogits):
        dx = super().backward(dlogits)
        for layer in self.layers[:4]:
            with_shape = getattr(layer, "dW", None)
            if with_shape is not None:
                layer.dW = np.zeros_like(with_shape)
        return dx


class _SkipsReLU(scratch.SimpleNetwork):
    def backward(self, dlogits):
        for linear in reversed(self.linears):
            dlogits = linear.backward(dlogits)
        return dlogits


def _network_case(words: str, batch: int, *sizes: int) -> Case:
    return Case(words, {"x": rounded(batch, sizes[0]), "dlogits": rounded(batch, sizes[-1]), "sizes": sizes})


NETWORK = Piece(
    "network",
    "SimpleNetwork(d_in, h1, h2, d_out) with forward(x), backward(dlogits), and the list layers",
    scratch.SimpleNetwork,
    [
        _network_case("a batch of 2, all layers of size 3", 2, 3, 3, 3, 3),
        _network_case("a batch of 3, sizes 4, 5, 3, 2", 3, 4, 5, 3, 2),
        _network_case("a batch of one", 1, 2, 4, 3, 2),
    ],
    [
        Mistake("A ReLU is missing: there is one after each of the first two Linear layers.", _OneReLU),
        Mistake("Without ReLUs the three layers are one linear map.", _NoReLU),
        Mistake("There is a ReLU on the logits: a class whose logit is negative would be dead.", _ReLUOnLogits),
        Mistake("It returns probabilities: logits are wanted, softmax belongs to the loss.", _Softmax),
        Mistake("backward returns what it was given: pass on what each layer returns.", _ReturnsInput),
        Mistake(
            "Only the last layer gets a gradient: pass on what each layer returns to the one below.", _SameGradient
        ),
        Mistake("The backward pass has to go through the ReLUs too.", _SkipsReLU),
    ],
    probe=_network,
    hint="forward: each layer takes what the one before gave. backward: the same in reverse order.",
)


PIECES = (NETWORK,)
