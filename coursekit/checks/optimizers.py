"""Checks of the update rules that remember: momentum, RMSprop, Adam."""

from collections.abc import Mapping

import numpy as np

from coursekit.checks.arrays import G, W
from coursekit.checks.diagnosis import Wrong, equal
from coursekit.checks.judging import Case, Mistake, Piece


def _rule(names: tuple[str, ...], counted: bool = False):
    """A probe that takes three steps of a pure update rule and gives the weight and what is remembered after each."""

    def probe(code, inputs: dict) -> dict:
        w, gradients, options = inputs["w"], inputs["gradients"], inputs["options"]
        state = [np.zeros_like(w) for _ in names]
        results = {}
        for t, g in enumerate(gradients, 1):
            now = [array.copy() for array in (w, g, *state)]
            returned = code(w, g, *state, *([t] if counted else []), *options.values())
            if returned is None or returned is ...:
                return {"w after step 1": None}
            if not isinstance(returned, tuple | list) or len(returned) != 1 + len(names):
                raise Wrong(
                    "does not return all that is needed for the next step", f"It returns {', '.join(('w', *names))}."
                )
            if not all(equal(a, b, 0) for a, b in zip((w, g, *state), now, strict=True)):
                raise Wrong("changes an array that it was given", "Return new arrays: w = w − …, and not w −= ….")
            w, *state = returned
            results |= {f"{name} after step {t}": value for name, value in zip((*names, "w"), (*state, w), strict=True)}
        return results

    return probe


def _steps(words: str, options: Mapping, hint: str = "", scale: float = 1.0) -> Case:
    return Case(words, {"w": W, "gradients": [scale * G, scale * (1 - G), -scale * G], "options": dict(options)}, hint)


def _momentum(w, g, m, lr, mu):
    m = mu * m + g
    return w - lr * m, m


MOMENTUM = Piece(
    "momentum",
    "momentum(w, g, m, lr, mu)",
    _momentum,
    [
        _steps("three steps", {"lr": 0.1, "mu": 0.9}),
        _steps("another rate and memory", {"lr": 0.5, "mu": 0.5}),
        _steps("mu 0", {"lr": 0.1, "mu": 0.0}, "Without memory it is plain SGD."),
    ],
    [
        Mistake("It forgets: the new m is μ m + g.", lambda w, g, m, lr, mu: (w - lr * g, g)),
        Mistake(
            "This is the running mean, (1 − μ) g: the course's and torch's rule adds all of g.",
            lambda w, g, m, lr, mu: (w - lr * (mu * m + (1 - mu) * g), mu * m + (1 - mu) * g),
        ),
        Mistake(
            "The step uses the old m: remember g first, then step.", lambda w, g, m, lr, mu: (w - lr * m, mu * m + g)
        ),
        Mistake("It climbs: w − lr · m.", lambda w, g, m, lr, mu: (w + lr * (mu * m + g), mu * m + g)),
        Mistake("The learning rate is missing in the step.", lambda w, g, m, lr, mu: (w - mu * m - g, mu * m + g)),
        Mistake(
            "m holds lr · g: here m remembers gradients, and lr comes in at the step.",
            lambda w, g, m, lr, mu: (w - mu * m - lr * g, mu * m + lr * g),
        ),
        Mistake(
            "This is Nesterov's step, g + μ m: the plain one is wanted.",
            lambda w, g, m, lr, mu: (w - lr * (g + mu * (mu * m + g)), mu * m + g),
        ),
        Mistake(
            "m is not multiplied by μ: nothing is ever forgotten.", lambda w, g, m, lr, mu: (w - lr * (m + g), m + g)
        ),
        Mistake(
            "μ multiplies the gradient, where it should multiply the old m.",
            lambda w, g, m, lr, mu: (w - lr * (m + mu * g), m + mu * g),
        ),
    ],
    probe=_rule(("m",)),
    hint="m ← μ m + g, then w ← w − lr · m.",
)


def _rmsprop(w, g, v, lr, alpha, eps):
    v = alpha * v + (1 - alpha) * g**2
    return w - lr * g / (np.sqrt(v) + eps), v


def _other_rmsprop(memory, step):
    def code(w, g, v, lr, alpha, eps):
        v = memory(g, v, alpha)
        return w - lr * step(g, v, eps), v

    return code


def _mean_square(g, v, alpha):
    return alpha * v + (1 - alpha) * g**2


def _root(g, v, eps):
    return g / (np.sqrt(v) + eps)


RMSPROP = Piece(
    "rmsprop",
    "rmsprop(w, g, v, lr, alpha, eps)",
    _rmsprop,
    [
        _steps("three steps", {"lr": 0.1, "alpha": 0.9, "eps": 1e-2}),
        _steps("another rate and memory", {"lr": 0.01, "alpha": 0.5, "eps": 1e-8}),
        _steps(
            "gradients of zero",
            {"lr": 0.1, "alpha": 0.9, "eps": 1e-8},
            "0 / 0 is nan: ε stands in the denominator.",
            0.0,
        ),
    ],
    [
        Mistake("v holds g: its square is wanted.", _other_rmsprop(lambda g, v, a: a * v + (1 - a) * g, _root)),
        Mistake(
            "It adds up all squares, as AdaGrad does: v is a running mean.",
            _other_rmsprop(lambda g, v, a: v + g**2, _root),
        ),
        Mistake("The square root of v is missing.", _other_rmsprop(_mean_square, lambda g, v, eps: g / (v + eps))),
        Mistake(
            "ε belongs outside the square root; here it is inside.",
            _other_rmsprop(_mean_square, lambda g, v, eps: g / np.sqrt(v + eps)),
        ),
        Mistake("α and 1 − α are swapped.", _other_rmsprop(lambda g, v, a: (1 - a) * v + a * g**2, _root)),
        Mistake(
            "ε is missing: a gradient of 0 gives 0 / 0.", _other_rmsprop(_mean_square, lambda g, v, eps: g / np.sqrt(v))
        ),
        Mistake(
            "It climbs: w − lr · g / (√v + ε).", _other_rmsprop(_mean_square, lambda g, v, eps: -g / (np.sqrt(v) + eps))
        ),
    ],
    probe=_rule(("v",)),
    hint="v ← α v + (1 − α) g², then w ← w − lr · g / (√v + ε).",
)


def _adam(w, g, m, v, t, lr, beta1, beta2, eps):
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
    return w - lr * m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + eps), m, v


def _other_adam(change):
    """Adam from its parts: change(m, v, g, t, beta1, beta2, eps) returns the step, m and v are right."""

    def code(w, g, m, v, t, lr, beta1, beta2, eps):
        _, m, v = _adam(w, g, m, v, t, lr, beta1, beta2, eps)
        return w - lr * change(m, v, g, t, beta1, beta2, eps), m, v

    return code


def _remembering(first, second):
    def code(w, g, m, v, t, lr, beta1, beta2, eps):
        m, v = first(m, g, beta1), second(v, g, beta2)
        return w - lr * m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + eps), m, v

    return code


def _mean(m, g, beta):
    return beta * m + (1 - beta) * g


ADAM = Piece(
    "adam",
    "adam(w, g, m, v, t, lr, beta1, beta2, eps)",
    _adam,
    [
        _steps("three steps", {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-2}),
        _steps("another rate and memory", {"lr": 0.01, "beta1": 0.5, "beta2": 0.9, "eps": 1e-8}),
        _steps(
            "gradients of zero",
            {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8},
            "0 / 0 is nan: ε stands in the denominator.",
            0.0,
        ),
    ],
    [
        Mistake(
            "The correction is missing: m and v start at 0 and are too small at first.",
            _other_adam(lambda m, v, g, t, b1, b2, eps: m / (np.sqrt(v) + eps)),
        ),
        Mistake(
            "Only m is corrected: v needs its own, 1 − β2ᵗ.",
            _other_adam(lambda m, v, g, t, b1, b2, eps: m / (1 - b1**t) / (np.sqrt(v) + eps)),
        ),
        Mistake(
            "The correction has a power: 1 − βᵗ, with t the number of the step.",
            _other_adam(lambda m, v, g, t, b1, b2, eps: m / (1 - b1) / (np.sqrt(v / (1 - b2)) + eps)),
        ),
        Mistake(
            "The step counts from 1 here: t is not to be raised by one.",
            _other_adam(
                lambda m, v, g, t, b1, b2, eps: m / (1 - b1 ** (t + 1)) / (np.sqrt(v / (1 - b2 ** (t + 1))) + eps)
            ),
        ),
        Mistake(
            "ε belongs outside the square root; here it is inside.",
            _other_adam(lambda m, v, g, t, b1, b2, eps: m / (1 - b1**t) / np.sqrt(v / (1 - b2**t) + eps)),
        ),
        Mistake(
            "ε is added before v is corrected: √v̂ + ε, with v̂ = v / (1 − β2ᵗ).",
            _other_adam(lambda m, v, g, t, b1, b2, eps: m / (1 - b1**t) / (np.sqrt(v) + eps) * np.sqrt(1 - b2**t)),
        ),
        Mistake(
            "The square root of v is missing.",
            _other_adam(lambda m, v, g, t, b1, b2, eps: m / (1 - b1**t) / (v / (1 - b2**t) + eps)),
        ),
        Mistake(
            "The step takes g in place of m: that is RMSprop with a correction.",
            _other_adam(lambda m, v, g, t, b1, b2, eps: g / (np.sqrt(v / (1 - b2**t)) + eps)),
        ),
        Mistake(
            "It climbs: w minus the step.",
            _other_adam(lambda m, v, g, t, b1, b2, eps: -m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + eps)),
        ),
        Mistake("v holds g: its square is wanted.", _remembering(_mean, _mean)),
        Mistake(
            "m adds up whole gradients, as momentum does: here it is a mean, (1 − β1) g.",
            _remembering(lambda m, g, b: b * m + g, lambda v, g, b: b * v + (1 - b) * g**2),
        ),
    ],
    probe=_rule(("m", "v"), counted=True),
    hint="m ← β1 m + (1 − β1) g, v ← β2 v + (1 − β2) g², both divided by 1 − βᵗ, then w ← w − lr · m̂ / (√v̂ + ε).",
)

PIECES = (MOMENTUM, RMSPROP, ADAM)
