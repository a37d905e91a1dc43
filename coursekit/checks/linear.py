"""Checks of a Linear layer by hand: its gradients and its initial weights."""

import numpy as np

from coursekit import scratch
from coursekit.checks.arrays import coarse, rounded
from coursekit.checks.diagnosis import NotDone
from coursekit.checks.judging import Case, Mistake, Piece


def _linear(cls, inputs: dict) -> dict:
    """Forward and backward with given weights; for a case of sizes alone, what the weights are at the start."""
    if "d_in" in inputs:
        layer = cls(*inputs.values())
        W, b = getattr(layer, "W", None), getattr(layer, "b", None)
        if W is None or b is None:
            return {
                "the shape of W": None,
                "the standard deviation of W over √(2 / d_in)": None,
                "b at the start": None,
            }
        return {
            "the shape of W": np.shape(W),
            "the standard deviation of W over √(2 / d_in)": coarse(np.std(W) / np.sqrt(2 / inputs["d_in"])),
            "b at the start": b,
        }
    x, W, b, dy = inputs.values()
    layer = cls(*W.shape)
    if layer is None:
        raise NotDone
    layer.W, layer.b = W, b
    results = {"forward(x)": layer.forward(x), "dX": None, "dW": None, "db": None}
    if results["forward(x)"] is not None:
        results["dX"] = layer.backward(dy)
        results |= {name: getattr(layer, name, None) for name in ("dW", "db")}
    return results


def _linear_case(words: str, batch: int, d_in: int, d_out: int, hint: str = "") -> Case:
    x, W, b, dy = rounded(batch, d_in), rounded(d_in, d_out), rounded(d_out), rounded(batch, d_out)
    return Case(words, {"x": x, "W": W, "b": b, "dy": dy}, hint)


class _NoBias(scratch.Linear):
    def forward(self, x):
        self.x = x
        return x @ self.W


class _ForwardTransposed(scratch.Linear):
    def forward(self, x):
        self.x = x
        return x @ self.W.T + self.b


class _GradientNotTransposed(scratch.Linear):
    def backward(self, dy):
        super().backward(dy)
        return dy @ self.W


class _WeightsTransposed(scratch.Linear):
    def backward(self, dy):
        dx = super().backward(dy)
        self.dW = self.dW.T
        return dx


class _BiasNotSummed(scratch.Linear):
    def backward(self, dy):
        dx = super().backward(dy)
        self.db = dy
        return dx


class _BiasMean(scratch.Linear):
    def backward(self, dy):
        dx = super().backward(dy)
        self.db = dy.mean(axis=0)
        return dx


class _BiasOverUnits(scratch.Linear):
    def backward(self, dy):
        dx = super().backward(dy)
        self.db = dy.sum(axis=1)
        return dx


class _DividedAgain(scratch.Linear):
    def backward(self, dy):
        dx = super().backward(dy)
        self.dW, self.db = self.dW / len(dy), self.db / len(dy)
        return dx


class _ReturnsWeights(scratch.Linear):
    def backward(self, dy):
        super().backward(dy)
        return self.dW


class _ReturnsGradient(scratch.Linear):
    def backward(self, dy):
        super().backward(dy)
        return dy


class _OutputForInput(scratch.Linear):
    def backward(self, dy):
        dx = super().backward(dy)
        self.dW = (self.x @ self.W + self.b).T @ dy
        return dx


def _starting(draw, b=np.zeros):
    """A Linear with other initial weights."""

    class Started(scratch.Linear):
        def __init__(self, d_in, d_out):
            super().__init__(d_in, d_out)
            self.W, self.b = draw(np.random.default_rng(0), d_in, d_out), b(d_out)

    return Started


LINEAR = Piece(
    "linear",
    "Linear(d_in, d_out) with forward(x), backward(dy), and W, b, dW, db",
    scratch.Linear,
    [
        _linear_case("a batch of 2, as many inputs as outputs", 2, 2, 2),
        _linear_case("a batch of 2, three inputs, two outputs", 2, 3, 2),
        _linear_case("a batch of 3, two inputs, one output", 3, 2, 1, "An axis of length 1 has to stay an axis."),
        _linear_case("a batch of one", 1, 2, 3, "A batch of one is a batch: sums run over one row."),
        Case("the initial weights of Linear(500, 400)", {"d_in": 500, "d_out": 400}),
        Case("the initial weights of Linear(50, 600)", {"d_in": 50, "d_out": 600}),
    ],
    [
        Mistake("The bias is not added.", _NoBias),
        Mistake("W has shape (d_in, d_out), so x @ W; here W is transposed.", _ForwardTransposed),
        Mistake("dX = dY times W transposed: here W is not transposed.", _GradientNotTransposed),
        Mistake("dW has the shape of W: it is x transposed times dY, not the other way round.", _WeightsTransposed),
        Mistake(
            "The bias was added to every row, so its gradient is the sum over the batch: dY is not summed.",
            _BiasNotSummed,
        ),
        Mistake("db is a sum over the batch, not a mean: the loss has divided by the batch size already.", _BiasMean),
        Mistake("db is summed over the outputs; sum over the batch, axis 0.", _BiasOverUnits),
        Mistake("dW and db are divided by the batch size, which the loss has done already.", _DividedAgain),
        Mistake("backward returns dW: the layer below needs dX.", _ReturnsWeights),
        Mistake("backward returns dY as it came: it has to go through W.", _ReturnsGradient),
        Mistake("dW uses the layer's output where its input x belongs: keep x in forward.", _OutputForInput),
        Mistake(
            "The standard deviation is sqrt(2 / d_in); this is the variance, 2 / d_in.",
            _starting(lambda rng, m, n: rng.normal(0, 2 / m, (m, n))),
        ),
        Mistake(
            "sqrt(2 / d_in) is the standard deviation: its root was taken once more.",
            _starting(lambda rng, m, n: rng.normal(0, (2 / m) ** 0.25, (m, n))),
        ),
        Mistake(
            "What counts is the number of inputs, d_in, not of outputs.",
            _starting(lambda rng, m, n: rng.normal(0, (2 / n) ** 0.5, (m, n))),
        ),
        Mistake(
            "The weights are not scaled: standard deviation sqrt(2 / d_in).",
            _starting(lambda rng, m, n: rng.normal(0, 1, (m, n))),
        ),
        Mistake(
            "The weights are all zero: all units then learn the same.", _starting(lambda rng, m, n: np.zeros((m, n)))
        ),
        Mistake(
            "It takes 1 where He has 2: sqrt(2 / d_in).", _starting(lambda rng, m, n: rng.normal(0, m**-0.5, (m, n)))
        ),
        Mistake(
            "W has to have the shape (d_in, d_out).", _starting(lambda rng, m, n: rng.normal(0, (2 / m) ** 0.5, (n, m)))
        ),
        Mistake(
            "The bias has to start at 0.", _starting(lambda rng, m, n: rng.normal(0, (2 / m) ** 0.5, (m, n)), np.ones)
        ),
    ],
    probe=_linear,
    hint="Y = XW + b; dX = dY Wᵀ, dW = Xᵀ dY, db = the sum of dY over the batch. Shapes are a good check.",
)


PIECES = (LINEAR,)
