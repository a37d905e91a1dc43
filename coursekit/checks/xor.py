"""Check of the XOR network by hand."""

import numpy as np

from coursekit import scratch
from coursekit.checks.arrays import rounded
from coursekit.checks.diagnosis import equal
from coursekit.checks.dictionaries import SLOPE_OF_OUTPUT, after_backward, scaled
from coursekit.checks.judging import Case, Mistake, Piece


def _xor(cls, inputs: dict) -> dict:
    hidden = inputs["weights"]["W1"].shape[1]

    def results(net) -> dict:
        out = net.forward(inputs["x"])
        found = {"forward(x)": out, "the squared error": None}
        if out is not None and equal(np.shape(out), (len(inputs["x"]), 1), 0):
            found["the squared error"] = net.backward(inputs["x"], inputs["y"])
        elif out is not None:
            found["the squared error"] = 0.0  # the shape of forward(x) is reported first
        return found

    return after_backward(cls, inputs, (hidden,), results)


def _xor_mistake(change):
    """Our net, its gradients edited by change(net, x, error)."""

    class Changed(scratch.XorNet):
        def backward(self, x, y):
            squared = super().backward(x, y)
            change(self, x, self.a2 - y)
            return squared

    return Changed


def _xor_slopes(outer, inner):
    def change(net, x, error):
        dz2 = 2 * error * outer(net.a2)
        dz1 = dz2 @ net.weights["W2"].T * inner(net.a1)
        sums = {"b1": dz1.sum(0, keepdims=True), "b2": dz2.sum(0, keepdims=True)}
        net.gradients = {"W1": x.T @ dz1, "W2": net.a1.T @ dz2, **sums}

    return change


def _right_slope(a):
    return a * (1 - a)


def _one(a):
    return np.ones_like(a)


class _XorMean(scratch.XorNet):
    def backward(self, x, y):
        return super().backward(x, y) / len(x)


class _XorLinear(scratch.XorNet):
    def __init__(self, hidden):
        super().__init__(hidden, output="linear")


class _XorFlat(scratch.XorNet):
    def forward(self, x):
        return super().forward(x)[:, 0]


ALL = ("W1", "b1", "W2", "b2")


def _xor_case(words: str, batch: int, hidden: int) -> Case:
    weights = {"W1": rounded(2, hidden), "b1": rounded(1, hidden), "W2": rounded(hidden, 1), "b2": rounded(1, 1)}
    return Case(words, {"x": rounded(batch, 2), "y": (np.arange(batch) % 2.0)[:, None], "weights": weights})


XOR_NET = Piece(
    "xor_net",
    "XorNet(hidden) with forward(x), backward(x, y), and the dictionaries weights and gradients",
    scratch.XorNet,
    [
        _xor_case("two points, two hidden units", 2, 2),
        _xor_case("four points, four hidden units", 4, 4),
        _xor_case("one point", 1, 3),
    ],
    [
        Mistake("The error has to be a sum over the points here, not a mean.", _XorMean),
        Mistake("The output has no sigmoid.", _XorLinear),
        Mistake(
            "One output for each point, shape (n, 1): (n,) against labels (n, 1) would broadcast to n × n differences.",
            _XorFlat,
        ),
        Mistake("The sign is turned: the error is output minus label.", _xor_mistake(scaled(lambda n: -1, *ALL))),
        Mistake("The factor 2 of the square's derivative is missing.", _xor_mistake(scaled(lambda n: 0.5, *ALL))),
        Mistake(
            "The gradients are means: here they are sums over the points.", _xor_mistake(scaled(lambda n: 1 / n, *ALL))
        ),
        Mistake("The slope of the output's sigmoid is missing: g′(z2).", _xor_mistake(_xor_slopes(_one, _right_slope))),
        Mistake("The slope of the hidden sigmoid is missing: f′(z1).", _xor_mistake(_xor_slopes(_right_slope, _one))),
        Mistake(SLOPE_OF_OUTPUT, _xor_mistake(_xor_slopes(scratch.sigmoid_derivative, scratch.sigmoid_derivative))),
        Mistake(SLOPE_OF_OUTPUT, _xor_mistake(_xor_slopes(_right_slope, scratch.sigmoid_derivative))),
        Mistake(
            "The slope of the output is that of a sigmoid, a(1 − a); this is tanh's, 1 − a².",
            _xor_mistake(_xor_slopes(lambda a: 1 - a**2, lambda a: 1 - a**2)),
        ),
    ],
    probe=_xor,
    hint="dz2 = 2 (a2 − y) g′(z2); dz1 = (dz2 W2ᵀ) f′(z1); dW = aᵀ dz; db = the sum of dz.",
)

PIECES = (XOR_NET,)
