"""Checks of a plain step and of the penalties: L2's gradient, L1's soft threshold."""

from types import SimpleNamespace

import numpy as np

from coursekit import scratch
from coursekit.checks.arrays import G, W
from coursekit.checks.diagnosis import Wrong, equal
from coursekit.checks.judging import Case, Mistake, Piece

MODEL = {
    "weights": {"W1": W, "b1": np.array([0.5, -1.0]), "W2": np.array([[2.0], [-1.0]]), "b2": np.array([0.3])},
    "gradients": {"W1": G, "b1": np.array([0.1, 0.2]), "W2": np.array([[-1.0], [0.4]]), "b2": np.array([0.7])},
}
DEEP = {
    kind: {name.replace("1", "3"): 2 * array for name, array in arrays.items() if name.endswith("1")} | arrays
    for kind, arrays in MODEL.items()
}


def _in_place(kind: str):
    """A probe of code that changes model.weights or model.gradients where they are."""

    def probe(code, inputs: dict) -> dict:
        kept = {k: {name: array.copy() for name, array in inputs[k].items()} for k in MODEL}
        model = SimpleNamespace(weights=inputs["weights"], gradients=inputs["gradients"])
        returned = code(model, *(value for name, value in inputs.items() if name not in MODEL))
        changed = {k: getattr(model, k) for k in MODEL}
        amount = inputs.get("lr", inputs.get("strength"))
        if amount and all(equal(changed[k], kept[k], 0) for k in MODEL):
            if returned is None or returned is ...:
                return dict.fromkeys(kept[kind])
            raise Wrong(
                "changes nothing in the model", f"Write the result into model.{kind}[name]; returning it is not enough."
            )
        other = next(k for k in MODEL if k != kind)
        if not equal(changed[other], kept[other], 0):
            raise Wrong(f"changes model.{other}", f"It should change model.{kind} and leave the rest.")
        return {f"{kind[:-1]} {name}": changed[kind].get(name) for name in kept[kind]}

    return probe


def _regularized(change):
    """A penalty whose gradient is another: change(name, weight, strength)."""

    def code(model, strength):
        for name, weight in model.weights.items():
            model.gradients[name] = model.gradients[name] + change(name, weight, strength)

    return code


def _if_weight(value):
    return lambda name, weight, strength: value(weight, strength) if name.startswith("W") else 0 * weight


def _replaces(model, strength):
    for name, weight in model.weights.items():
        if name.startswith("W"):
            model.gradients[name] = strength * weight


def _only(name):
    def code(model, strength):
        model.gradients[name] = model.gradients[name] + strength * model.weights[name]

    return code


REGULARIZATION = Piece(
    "regularization",
    "apply_regularization(model, strength)",
    scratch.apply_regularization,
    [
        Case("two layers", MODEL | {"strength": 0.1}),
        Case(
            "three layers",
            DEEP | {"strength": 0.01},
            "Go through all names in model.weights, not through those of one network.",
        ),
        Case("strength 0", MODEL | {"strength": 0.0}, "Without a penalty the gradients stay as they are."),
    ],
    [
        Mistake(
            "The biases are regularised too: only names that start with W.", _regularized(lambda name, w, s: s * w)
        ),
        Mistake(
            "It is twice too large: the penalty is strength / 2 · Σ w², its gradient strength · w.",
            _regularized(_if_weight(lambda w, s: 2 * s * w)),
        ),
        Mistake(
            "It is half of what it should be: the derivative of ½ w² is w.",
            _regularized(_if_weight(lambda w, s: s / 2 * w)),
        ),
        Mistake("The sign is wrong: the penalty's gradient is added.", _regularized(_if_weight(lambda w, s: -s * w))),
        Mistake(
            "This is the gradient of L1, the sign of w; L2 gives w itself.",
            _regularized(_if_weight(lambda w, s: s * np.sign(w))),
        ),
        Mistake(
            "The penalty itself, a square, was added: its gradient is wanted.",
            _regularized(_if_weight(lambda w, s: s / 2 * w**2)),
        ),
        Mistake(
            "The sum over all weights was added to each: every weight gets its own.",
            _regularized(_if_weight(lambda w, s: s / 2 * (w**2).sum() + 0 * w)),
        ),
        Mistake("The loss's gradient is lost: add to it, do not replace it.", _replaces),
        Mistake("The strength is missing.", _regularized(_if_weight(lambda w, s: w))),
        Mistake("Only the first layer is regularised.", _only("W1")),
    ],
    probe=_in_place("gradients"),
    hint="Add strength · w to the gradient of each weight; biases are left alone.",
    changes=frozenset({"gradients"}),
)


def _ours_sgd(model, lr):
    for name, gradient in model.gradients.items():
        model.weights[name] -= lr * gradient


def _sgd(change):
    def code(model, lr):
        for name, gradient in model.gradients.items():
            model.weights[name] = change(model.weights[name], gradient, lr, name)

    return code


SGD = Piece(
    "sgd",
    "sgd(model, lr)",
    _ours_sgd,
    [
        Case("two layers", MODEL | {"lr": 0.1}),
        Case("three layers", DEEP | {"lr": 0.01}, "Go through all names in model.gradients."),
        Case("lr 0", MODEL | {"lr": 0.0}, "A step of length 0 goes nowhere."),
    ],
    [
        Mistake("It climbs: the step goes against the gradient, w − lr · g.", _sgd(lambda w, g, lr, _: w + lr * g)),
        Mistake("The learning rate is missing.", _sgd(lambda w, g, lr, _: w - g)),
        Mistake("The weight is lost: subtract the step from it.", _sgd(lambda w, g, lr, _: -lr * g)),
        Mistake(
            "The biases are learnt too: every name gets its step.",
            _sgd(lambda w, g, lr, name: w - lr * g if name[0] == "W" else w),
        ),
        Mistake(
            "The weights shrink by lr · w: it is the gradient that is subtracted.", _sgd(lambda w, g, lr, _: w - lr * w)
        ),
        Mistake(
            "It steps by the sign of the gradient: its size counts.", _sgd(lambda w, g, lr, _: w - lr * np.sign(g))
        ),
        Mistake("It divides by the learning rate.", _sgd(lambda w, g, lr, _: w - g / lr if lr else w)),
        Mistake(
            "It is divided by the number of rows of the weights; the loss has divided by the batch size already.",
            _sgd(lambda w, g, lr, _: w - lr * g / len(w)),
        ),
    ],
    probe=_in_place("weights"),
    hint="w ← w − lr · g, for each name.",
    changes=frozenset({"weights"}),
)


def _threshold(w, amount):
    return np.sign(w) * np.maximum(np.abs(w) - amount, 0)


SOFT_THRESHOLD = Piece(
    "soft_threshold",
    "soft_threshold(w, amount)",
    _threshold,
    [
        Case("weights on both sides of 0", {"w": np.array([2.0, -1.5, 0.4, -0.1]), "amount": 0.5}),
        Case("a matrix", {"w": W, "amount": 0.25}),
        Case("amount 0", {"w": W, "amount": 0.0}, "Without a threshold nothing moves."),
        Case("weights as large as the amount", {"w": np.array([0.5, -0.5, 0.0]), "amount": 0.5}, "They end at 0."),
    ],
    [
        Mistake(
            "This is a hard threshold: the large weights have to shrink by the amount too.",
            lambda w, a: np.where(np.abs(w) > a, w, 0),
        ),
        Mistake(
            "Weights step over 0: what is smaller than the amount has to stop at 0.", lambda w, a: w - a * np.sign(w)
        ),
        Mistake("The sign is lost: shrink |w| and give the sign back.", lambda w, a: np.maximum(np.abs(w) - a, 0)),
        Mistake(
            "Negative weights go to 0 as well: they shrink towards 0 from below.", lambda w, a: np.maximum(w - a, 0)
        ),
        Mistake("This is weight decay, a factor: L1 takes the same amount from each.", lambda w, a: w * (1 - a)),
        Mistake("The weights grow: |w| minus the amount.", lambda w, a: np.sign(w) * (np.abs(w) + a)),
        Mistake("This cuts off the large weights; the small ones are to vanish.", lambda w, a: np.clip(w, -a, a)),
        Mistake("The amount is subtracted from every weight: negative ones move away from 0.", lambda w, a: w - a),
    ],
    hint="Every weight moves towards 0 by the amount, and stops there.",
)

PIECES = (REGULARIZATION, SGD, SOFT_THRESHOLD)
