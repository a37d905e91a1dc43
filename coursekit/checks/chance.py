"""Checks of what is drawn at random: initial weights and dropout."""

import numpy as np

from coursekit.checks.arrays import coarse
from coursekit.checks.diagnosis import Wrong
from coursekit.checks.judging import Case, Mistake, Piece


def _binned(value: float, unit: float) -> float:
    """A statistic, rounded so coarsely that chance does not show."""
    return float(np.round(value / unit) * unit)


def _he(d_in, d_out, rng):
    return rng.normal(0, np.sqrt(2 / d_in), (d_in, d_out))


def _weights(code, inputs: dict) -> dict:
    """Shape and statistics of drawn weights, in units of He's deviation."""
    d_in, d_out, seed = inputs.values()
    W, again = (code(d_in, d_out, np.random.default_rng(seed)) for _ in range(2))
    if W is None or W is ...:
        return {"the shape": None}
    W, he = np.asarray(W), np.sqrt(2 / d_in)
    if not np.array_equal(W, again):
        raise Wrong(
            "draws other weights from the same rng", "Draw from the rng that you are given, and from nothing else."
        )
    return {
        "the shape": W.shape,
        "the mean over √(2 / d_in)": _binned(W.mean() / he, 0.25),
        "the standard deviation over √(2 / d_in)": coarse(W.std() / he),
        "the share beyond two deviations": _binned((np.abs(W) > 2 * W.std()).mean(), 0.04),
    }


def _drawn(draw):
    return lambda d_in, d_out, rng: draw(rng, d_in, d_out)


HE_WEIGHTS = Piece(
    "he_weights",
    "he_weights(d_in, d_out, rng)",
    _he,
    [
        Case("400 inputs, 300 outputs", dict(d_in=400, d_out=300, seed=0)),
        Case("50 inputs, 2000 outputs", dict(d_in=50, d_out=2000, seed=1), "What counts is the number of inputs."),
        Case("784 inputs, 128 outputs", dict(d_in=784, d_out=128, seed=2)),
    ],
    [
        Mistake(
            "The variance is 2 / d_in; here the deviation is. Take the root.",
            _drawn(lambda rng, m, n: rng.normal(0, 2 / m, (m, n))),
        ),
        Mistake(
            "√(2 / d_in) is the deviation; here it is the variance.",
            _drawn(lambda rng, m, n: rng.normal(0, (2 / m) ** 0.25, (m, n))),
        ),
        Mistake(
            "What counts is the number of inputs, not of outputs.",
            _drawn(lambda rng, m, n: rng.normal(0, np.sqrt(2 / n), (m, n))),
        ),
        Mistake(
            "This is Xavier's, √(2 / (d_in + d_out)): He's counts inputs alone.",
            _drawn(lambda rng, m, n: rng.normal(0, np.sqrt(2 / (m + n)), (m, n))),
        ),
        Mistake(
            "It takes 1 where He has 2, for the half of the units that a ReLU switches off.",
            _drawn(lambda rng, m, n: rng.normal(0, np.sqrt(1 / m), (m, n))),
        ),
        Mistake(
            "The weights are not scaled: deviation 1, whatever d_in is.",
            _drawn(lambda rng, m, n: rng.normal(0, 1, (m, n))),
        ),
        Mistake("The shape has to be (d_in, d_out).", _drawn(lambda rng, m, n: rng.normal(0, np.sqrt(2 / m), (n, m)))),
        Mistake(
            "The weights are all equal: units that start alike stay alike.",
            _drawn(lambda rng, m, n: np.full((m, n), np.sqrt(2 / m))),
        ),
        Mistake(
            "All are positive: their mean has to be 0.",
            _drawn(lambda rng, m, n: np.abs(rng.normal(0, np.sqrt(2 / m), (m, n)))),
        ),
        Mistake(
            "These are uniform between ±√(2 / d_in); a normal distribution is wanted.",
            _drawn(lambda rng, m, n: rng.uniform(-np.sqrt(2 / m), np.sqrt(2 / m), (m, n))),
        ),
        Mistake(
            "These are uniform, with the right deviation; a normal distribution is wanted.",
            _drawn(lambda rng, m, n: rng.uniform(-np.sqrt(6 / m), np.sqrt(6 / m), (m, n))),
        ),
    ],
    probe=_weights,
    hint="Normal, mean 0, standard deviation √(2 / d_in).",
)


def _dropout(x, p, training, rng):
    return x * (rng.random(x.shape) >= p) / (1 - p) if training else x


def _dropped(code, inputs: dict) -> dict:
    """Statistics of many dropped units; in eval mode, the result itself."""
    x, p, training, seed = inputs.values()
    y, again = (code(x, p, training, np.random.default_rng(seed)) for _ in range(2))
    if y is None or y is ...:
        return {"the result": None}
    y = np.asarray(y, float)
    if not training or y.shape != x.shape:
        return {"the result": y}
    if not np.array_equal(y, again):
        raise Wrong(
            "drops other units with the same rng", "Draw from the rng that you are given, and from nothing else."
        )
    zero = y == 0
    return {
        "the share of zeros": _binned(zero.mean(), 0.05),
        "the set of values that are kept": np.unique(np.round(y[~zero] / x[~zero], 6)),
        "the mean over the mean before": _binned(y.mean() / x.mean(), 0.1),
        "the share of rows that are all zero or not at all": _binned((zero.all(1) | ~zero.any(1)).mean(), 0.1),
        "the share of columns that are all zero or not at all": _binned((zero.all(0) | ~zero.any(0)).mean(), 0.1),
    }


def _other_dropout(kept=lambda rng, x, p: rng.random(x.shape) >= p, scale=lambda p: 1 / (1 - p), always=False):
    def code(x, p, training, rng):
        return x * kept(rng, x, p) * scale(p) if training or always else x

    return code


def _scaled_in_eval(x, p, training, rng):
    return x * (rng.random(x.shape) >= p) if training else x * (1 - p)


def _drop_case(words: str, p: float, training: bool, x, hint: str = "") -> Case:
    return Case(words, dict(x=x, p=p, training=training, seed=3), hint)


MANY = np.random.default_rng(5).uniform(1, 2, (200, 150)).round(2)
DROPOUT = Piece(
    "dropout",
    "dropout(x, p, training, rng)",
    _dropout,
    [
        _drop_case("p = 0.5 in training", 0.5, True, MANY),
        _drop_case("p = 0.2 in training", 0.2, True, MANY),
        _drop_case("p = 0 in training", 0.0, True, MANY, "Nothing is dropped."),
        _drop_case("eval mode", 0.5, False, np.array([[1.0, -2.0, 3.0]]), "In eval mode dropout does nothing."),
    ],
    [
        Mistake(
            "What is kept has to be divided by 1 − p, so that the mean stays what it was.",
            _other_dropout(scale=lambda p: 1),
        ),
        Mistake(
            "p is the share that is dropped, not the share that is kept.",
            _other_dropout(lambda rng, x, p: rng.random(x.shape) < p),
        ),
        Mistake(
            "p is the share that is dropped, not the share that is kept; and divide by the share that is kept.",
            _other_dropout(lambda rng, x, p: rng.random(x.shape) < p, lambda p: 1 / p if p else 0),
        ),
        Mistake(
            "What is kept has to be divided by 1 − p, not by p.", _other_dropout(scale=lambda p: 1 / p if p else 1)
        ),
        Mistake(
            "What is kept is multiplied by 1 − p, where it should be divided.", _other_dropout(scale=lambda p: 1 - p)
        ),
        Mistake("It drops in eval mode too.", _other_dropout(always=True)),
        Mistake("The scale belongs into training, 1 / (1 − p); in eval mode nothing happens.", _scaled_in_eval),
        Mistake(
            "Whole rows are dropped: draw for each number.",
            _other_dropout(lambda rng, x, p: rng.random((len(x), 1)) >= p),
        ),
        Mistake(
            "The same units are dropped for all examples: draw for each number.",
            _other_dropout(lambda rng, x, p: rng.random((1, x.shape[1])) >= p),
        ),
        Mistake("Nothing is dropped.", _other_dropout(lambda rng, x, p: 1, lambda p: 1)),
    ],
    probe=_dropped,
    hint="A mask of zeros and ones, drawn for each number, times x, divided by 1 − p; nothing in eval mode.",
)

PIECES = (HE_WEIGHTS, DROPOUT)
