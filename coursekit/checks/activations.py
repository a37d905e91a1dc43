"""Checks of activations and their slopes, element by element."""

import numpy as np

from coursekit import scratch
from coursekit.checks.diagnosis import NotDone
from coursekit.checks.judging import Case, Mistake, Piece

ROW = np.array([-2.0, -0.5, 0.3, 2.0])
TABLE = np.array([[0.7, -1.2, 3.0], [0.1, -0.4, -2.5]])
FEED_THE_INPUT = (
    "The slope is wanted at the pre-activation x; this is the slope at the output. The formula a(1 − a), or 1 − a², "
    "holds for a = the activation of x."
)


def _cases(big: str, zero: str = "") -> list[Case]:
    return [
        Case("four numbers", {"x": ROW}),
        Case("a table of 2 × 3", {"x": TABLE}, "Element by element: no sums, no loop over the first axis alone."),
        Case("zero", {"x": np.array([0.0, -1.0])}, zero),
        Case("one number", {"x": np.array(0.5)}, "Write it with NumPy functions that take any shape; `if` takes one."),
        Case("integers", {"x": np.array([-3, 0, 2])}, "Integers have to give decimals where decimals are due."),
        Case("inputs of ±1000", {"x": np.array([-1000.0, 1000.0])}, big),
    ]


def _naive_sigmoid(x):
    return np.exp(x) / (1 + np.exp(x))


def _naive_tanh(x):
    return (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x))


OVERFLOW = "exp of a large number overflows, and inf / inf is nan: use exp of −|x|, which cannot, on both sides of 0."

SIGMOID = Piece(
    "sigmoid",
    "sigmoid(x)",
    scratch.sigmoid,
    _cases(OVERFLOW),
    [
        Mistake("It falls where it should rise: look at the sign in the exponent.", lambda x: scratch.sigmoid(-x)),
        Mistake("This is tanh: its range is (−1, 1), the sigmoid's is (0, 1).", np.tanh),
        Mistake("This is the slope of the sigmoid, not the sigmoid.", scratch.sigmoid_derivative),
        Mistake(
            "exp(x) / sum(exp(x)) is softmax: it couples the numbers. The sigmoid sees one at a time.",
            lambda x: np.exp(x) / np.exp(x).sum(),
        ),
        Mistake("The 1 in the denominator is missing, or is subtracted.", lambda x: 1 / np.exp(-np.asarray(x, float))),
        Mistake(
            "The 1 in the denominator is added, not subtracted.", lambda x: 1 / (1 - np.exp(-np.asarray(x, float)))
        ),
        Mistake(OVERFLOW, _naive_sigmoid),
    ],
    hint="1 / (1 + e^−x), between 0 and 1, and ½ at 0.",
)

SIGMOID_DERIVATIVE = Piece(
    "sigmoid_derivative",
    "sigmoid_derivative(x)",
    scratch.sigmoid_derivative,
    _cases(OVERFLOW, "At 0 the sigmoid is steepest: ¼."),
    [
        Mistake(
            "The slope is wanted at the pre-activation x; here x is taken for the activation: σ(x) has to come first.",
            lambda x: x * (1 - x),
        ),
        Mistake(FEED_THE_INPUT, lambda x: scratch.sigmoid_derivative(scratch.sigmoid(x))),
        Mistake("This is the sigmoid itself; its slope is wanted.", scratch.sigmoid),
        Mistake(
            "The sign is wrong, as in one course's print: the inner derivative of e^−x is −e^−x, which makes a plus.",
            lambda x: -scratch.sigmoid_derivative(x),
        ),
        Mistake("This is the slope of tanh.", scratch.tanh_derivative),
        Mistake("The factor is 1 − σ, not 1 − σ².", lambda x: scratch.sigmoid(x) * (1 - scratch.sigmoid(x) ** 2)),
        Mistake(OVERFLOW, lambda x: np.exp(-np.asarray(x, float)) / (1 + np.exp(-np.asarray(x, float))) ** 2),
    ],
    hint="σ(x)(1 − σ(x)), at most ¼.",
)

TANH = Piece(
    "tanh",
    "tanh(x)",
    np.tanh,
    _cases(OVERFLOW),
    [
        Mistake("The signs of the two exponentials are swapped.", lambda x: -np.tanh(x)),
        Mistake("This is the sigmoid: tanh is centred on 0 and reaches −1.", scratch.sigmoid),
        Mistake("This is tanh of half of x, 2σ(x) − 1: it takes 2σ(2x) − 1.", lambda x: np.tanh(np.asarray(x) / 2)),
        Mistake("This is the tangent, tan; the hyperbolic one is wanted.", np.tan),
        Mistake("This is sinh: divide by cosh.", np.sinh),
        Mistake("This is the slope of tanh.", scratch.tanh_derivative),
        Mistake("tanh is sinh / cosh; here it is upside down.", lambda x: 1 / np.tanh(np.asarray(x, float))),
        Mistake(OVERFLOW, _naive_tanh),
    ],
    hint="(e^x − e^−x) / (e^x + e^−x), between −1 and 1.",
)

TANH_DERIVATIVE = Piece(
    "tanh_derivative",
    "tanh_derivative(x)",
    scratch.tanh_derivative,
    _cases("1 − tanh² needs no exponentials of your own: those overflow.", "At 0 tanh is steepest: 1."),
    [
        Mistake(
            "The slope is wanted at the pre-activation x: tanh has to be taken before it is squared.",
            lambda x: 1 - x**2,
        ),
        Mistake(FEED_THE_INPUT, lambda x: scratch.tanh_derivative(np.tanh(x))),
        Mistake("The square is missing: 1 − tanh².", lambda x: 1 - np.tanh(x)),
        Mistake("The sign is wrong: tanh rises everywhere.", lambda x: np.tanh(x) ** 2 - 1),
        Mistake("The 1 is added where tanh² is subtracted.", lambda x: 1 + np.tanh(x) ** 2),
        Mistake("This is tanh itself; its slope is wanted.", np.tanh),
        Mistake("This is a(1 − a), the sigmoid's form.", lambda x: np.tanh(x) * (1 - np.tanh(x))),
        Mistake("This is the slope of the sigmoid.", scratch.sigmoid_derivative),
    ],
    hint="1 − tanh²(x), at most 1.",
)

RELU = Piece(
    "relu",
    "relu(x)",
    scratch.relu,
    _cases("Compare, do not compute: max(x, 0) cannot overflow.", "At 0 it is 0."),
    [
        Mistake("This is |x|: below 0 ReLU is 0.", np.abs),
        Mistake(
            "It keeps what is below 0 and drops what is above: the comparison is turned.", lambda x: np.minimum(x, 0)
        ),
        Mistake("This is the slope, 0 or 1: above 0 ReLU is x itself.", lambda x: (np.asarray(x) > 0).astype(float)),
        Mistake(
            "Below 0 it is 0; this is a leaky ReLU.", lambda x: np.where(np.asarray(x) > 0, x, 0.01 * np.asarray(x))
        ),
        Mistake("This is the largest number of all: np.max reduces, np.maximum compares element by element.", np.max),
        Mistake("It is clipped at 1: ReLU is not bounded above.", lambda x: np.clip(x, 0, 1)),
        Mistake("This is softplus, a smooth relative: ReLU has a corner.", lambda x: np.logaddexp(0, x)),
        Mistake("It drops the numbers below 0: they become 0, and the shape stays.", lambda x: x[x > 0]),
    ],
    hint="max(x, 0), element by element.",
)

RELU_DERIVATIVE = Piece(
    "relu_derivative",
    "relu_derivative(x)",
    scratch.relu_derivative,
    _cases("Compare, do not compute.", "At 0 there is no slope: the course takes 0, so compare with > and not >=."),
    [
        Mistake("At 0 there is no slope: the course takes 0, so compare with > and not >=.", lambda x: (x >= 0) * 1.0),
        Mistake("This is ReLU itself; above 0 its slope is 1 everywhere.", scratch.relu),
        Mistake("The slope is 0 below 0, not −1: this is the sign, the slope of |x|.", np.sign),
        Mistake("The comparison is turned: the slope is 1 above 0.", lambda x: (x < 0) * 1.0),
        Mistake("The slope does not depend on how far above 0: it is 1.", lambda x: np.clip(x, 0, 1)),
        Mistake("Below 0 it is 0; this is the slope of a leaky ReLU.", lambda x: np.where(x > 0, 1, 0.01)),
        Mistake("Below 0 the slope is 0: this is 1 everywhere.", lambda x: np.ones_like(x)),
    ],
    hint="1 where x > 0, else 0.",
)


def _layer(cls, inputs: dict) -> dict:
    """Forward and backward of an activation layer."""
    layer = cls()
    if layer is None:
        raise NotDone
    y = layer.forward(inputs["x"])
    return {"forward": y, "backward": None if y is None else layer.backward(inputs["dy"])}


class _NoMask(scratch.ReLU):
    def backward(self, dy):
        return dy


class _MaskOfGradient(scratch.ReLU):
    def backward(self, dy):
        return dy * (dy > 0)


class _Again(scratch.ReLU):
    def forward(self, x):
        self.x = x
        return super().forward(x)

    def backward(self, dy):
        return dy * self.x * (self.x > 0)


class _OnlyMask(scratch.ReLU):
    def backward(self, dy):
        return self.active * 1.0


class _AtZero(scratch.ReLU):
    def forward(self, x):
        self.active = x >= 0
        return x * self.active


class _Sign(scratch.ReLU):
    def backward(self, dy):
        return dy * np.where(self.active, 1, -1)


class _Turned(scratch.ReLU):
    def backward(self, dy):
        return dy * ~self.active


RELU_LAYER = Piece(
    "relu_layer",
    "ReLU() with forward(x) and backward(dy)",
    scratch.ReLU,
    [
        Case("a batch of 2", {"x": TABLE, "dy": np.array([[0.5, -1.0, 2.0], [-3.0, 1.0, 0.2]])}),
        Case("zeros", {"x": np.zeros((1, 3)), "dy": np.ones((1, 3))}, "At x = 0 the slope is taken as 0."),
        Case(
            "images of 1 × 2 × 1 × 2", {"x": ROW.reshape(1, 2, 1, 2), "dy": np.ones((1, 2, 1, 2))}, "Any shape will do."
        ),
    ],
    [
        Mistake("The gradient passes everywhere: it has to stop where x was not positive.", _NoMask),
        Mistake("What decides is the sign of x in the forward pass, not the sign of the gradient.", _MaskOfGradient),
        Mistake("The gradient is multiplied by the slope, 0 or 1, not by the activation.", _Again),
        Mistake("This is the slope alone: by the chain rule it multiplies dy.", _OnlyMask),
        Mistake("At x = 0 the slope is taken as 0: > and not >=.", _AtZero),
        Mistake("Below 0 the gradient is stopped, not turned.", _Sign),
        Mistake("The mask is turned: the gradient passes where x was positive.", _Turned),
    ],
    probe=_layer,
    hint="Keep in forward where x > 0, and multiply dy by it in backward.",
)

PIECES = (SIGMOID, SIGMOID_DERIVATIVE, TANH, TANH_DERIVATIVE, RELU, RELU_DERIVATIVE, RELU_LAYER)
