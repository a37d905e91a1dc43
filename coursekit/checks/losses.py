"""Checks of softmax, cross-entropy and accuracy."""

import numpy as np

from coursekit import scratch
from coursekit.checks.diagnosis import Wrong
from coursekit.checks.judging import Case, Mistake, Piece

SMALL = np.array([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]])
SUBTRACT = (
    "exp(1000) overflows, and inf / inf is nan: subtract the maximum of each row first. It changes nothing in exact "
    "arithmetic."
)
TIES = "Nothing is special about equal logits: equal probabilities."


def _exp(logits):
    return np.exp(logits - logits.max())


SOFTMAX = Piece(
    "softmax",
    "softmax(logits)",
    scratch.softmax,
    [
        Case("two rows of three", {"logits": SMALL}),
        Case("a batch of one", {"logits": np.array([[2.0, 1.0]])}, "A batch of one keeps its first axis."),
        Case("more rows than classes", {"logits": np.arange(8.0).reshape(4, 2) ** 2 / 9}),
        Case("equal logits", {"logits": np.zeros((2, 4))}, TIES),
        Case("integers", {"logits": np.array([[1, 2, 3]])}, "Integers have to give decimals."),
        Case("logits of 1000", {"logits": np.array([[1000.0, 0.0]])}, SUBTRACT),
        Case(
            "logits of −1000",
            {"logits": np.array([[-1000.0, -1001.0]])},
            SUBTRACT.replace("exp(1000) overflows, and inf / inf", "exp(−1000) is 0, and 0 / 0"),
        ),
        Case(
            "rows of very different size",
            {"logits": np.array([[1000.0, 999.0], [-1000.0, -999.0]])},
            "The maximum has to be that of each row: with one for the whole batch, exp of the other rows is 0.",
        ),
    ],
    [
        Mistake(
            "The sum runs over all rows at once: each row has to add up to 1 (axis=1, keepdims=True).",
            lambda z: _exp(z) / _exp(z).sum(),
        ),
        Mistake(
            "The sum runs over the batch: each row has to add up to 1, so sum along the classes.",
            lambda z: _exp(z) / _exp(z).sum(axis=0),
        ),
        Mistake("These are numbers above 0 that do not add up to 1: divide by the sum of each row.", np.exp),
        Mistake("They are not divided by the sum of their row.", lambda z: np.exp(z - z.max(axis=1, keepdims=True))),
        Mistake("This is log-softmax: its exponential is wanted.", lambda z: np.log(scratch.softmax(z))),
        Mistake("This is the sigmoid of each logit by itself; softmax makes the classes compete.", scratch.sigmoid),
        Mistake(
            "The exponent has the wrong sign: the largest logit gets the smallest probability.",
            lambda z: scratch.softmax(-z),
        ),
        Mistake(
            "The logits themselves are divided by their sum: exp comes first.",
            lambda z: z / z.sum(axis=1, keepdims=True),
        ),
    ],
    hint="Exponentials of a row, divided by their sum.",
)


def _loss(function, inputs: dict) -> dict:
    returned = function(*inputs.values())
    if returned is None or returned is ...:
        return {"the loss": None, "the gradient": None}
    if not isinstance(returned, tuple | list) or len(returned) != 2:
        raise Wrong("returns one value, two are wanted", "It returns the loss and the gradient: loss, gradient.")
    loss, gradient = returned
    return {"the loss": loss, "the gradient": gradient}


def _naive_loss(logits, labels):
    p = scratch.softmax(logits)
    return -np.log(p[np.arange(len(labels)), labels]).mean()


def _with_loss(change):
    """A cross-entropy whose loss is another, and whose gradient follows it where that is a factor."""
    return lambda logits, labels: change(*scratch.cross_entropy(logits, labels), logits, labels)


CLIPPED = (
    "The loss is cut off: a clip of the probability, or log(p + ε), hides how wrong the network is. Take the log of "
    "softmax by formula: z − max − log of the sum of exp(z − max)."
)


def _clipped(epsilon):
    def code(logits, labels):
        right = scratch.softmax(logits)[np.arange(len(labels)), labels]
        return -np.log(np.maximum(right, epsilon)).mean(), scratch.cross_entropy(logits, labels)[1]

    return code


def _one_hot_times_log(softmax):
    """The loss as one-hot times log p, in which 0 · log(0) is nan."""

    def code(logits, labels):
        p, onehot = softmax(logits), np.eye(logits.shape[1])[labels]
        return -(onehot * np.log(p)).sum() / len(labels), (p - onehot) / len(labels)

    return code


def _overflowing(logits):
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def _overflowing_loss(logits, labels):
    p = _overflowing(logits)
    gradient = (p - np.eye(logits.shape[1])[labels]) / len(labels)
    return -np.log(p[np.arange(len(labels)), labels]).mean(), gradient


CROSS_ENTROPY = Piece(
    "cross_entropy",
    "cross_entropy(logits, labels)",
    scratch.cross_entropy,
    [
        Case("a batch of 2", {"logits": SMALL, "labels": np.array([1, 0])}),
        Case(
            "more examples than classes",
            {"logits": np.arange(6.0).reshape(3, 2) ** 2 / 9, "labels": np.array([0, 1, 1])},
        ),
        Case("a batch of one", {"logits": np.array([[2.0, 1.0, 0.0]]), "labels": np.array([2])}),
        Case("a label seen twice", {"logits": SMALL, "labels": np.array([2, 2])}),
        Case(
            "equal logits",
            {"logits": np.zeros((2, 4)), "labels": np.array([0, 3])},
            "Of equal logits the loss is ln of the number of classes.",
        ),
        Case(
            "a logit of −1000, sure and right",
            {"logits": np.array([[0.0, -1000.0]]), "labels": np.array([0])},
            "The other class has the probability 0: 0 · log(0) is nan, so take the log of the label's alone.",
        ),
        Case(
            "logits of 1000, sure and right", {"logits": np.array([[1000.0, 0.0]]), "labels": np.array([0])}, SUBTRACT
        ),
        Case(
            "logits of 1000, sure and wrong",
            {"logits": np.array([[1000.0, 0.0]]), "labels": np.array([1])},
            "The probability is 0 and log(0) is −inf: take the log of softmax by formula, z − max − log of the sum of "
            "exp(z − max); no logarithm of 0 is left in it.",
        ),
    ],
    [
        Mistake(
            "One-hot times log p: a probability of 0 makes 0 · log(0), which is nan. Take the log of the label's "
            "probability alone, by formula: z − max − log of the sum of exp(z − max).",
            _one_hot_times_log(scratch.softmax),
        ),
        Mistake(SUBTRACT, _overflowing_loss),
        Mistake(SUBTRACT, lambda z, y: (_overflowing_loss(z, y)[0], scratch.cross_entropy(z, y)[1])),
        Mistake(
            "The minus is missing: log of a probability is negative, a loss is not.",
            _with_loss(lambda loss, g, *_: (-loss, g)),
        ),
        Mistake(
            "It is summed over the batch: the mean is wanted.", _with_loss(lambda loss, g, z, y: (loss * len(y), g))
        ),
        Mistake(
            "It is divided by the number of classes too: the mean runs over examples.",
            _with_loss(lambda loss, g, z, y: (loss / z.shape[1], g)),
        ),
        Mistake(
            "This is a logarithm to the base 2; the natural one is wanted.",
            _with_loss(lambda loss, g, *_: (loss / np.log(2), g)),
        ),
        Mistake(
            "These are the losses of the single examples: take their mean.",
            lambda z, y: (
                np.array([scratch.cross_entropy(z[i : i + 1], y[i : i + 1])[0] for i in range(len(y))]),
                scratch.cross_entropy(z, y)[1],
            ),
        ),
        Mistake(
            "This is −log of the logits' mean probability, not the mean of −log: log comes first.",
            lambda z, y: (-np.log(scratch.softmax(z)[np.arange(len(y)), y].mean()), scratch.cross_entropy(z, y)[1]),
        ),
        Mistake(
            "softmax is applied twice: the logits go in as they are.",
            lambda z, y: scratch.cross_entropy(scratch.softmax(z), y),
        ),
        Mistake(
            "It takes the probability of the largest logit: the label's is wanted.",
            lambda z, y: (scratch.cross_entropy(z, z.argmax(1))[0], scratch.cross_entropy(z, y)[1]),
        ),
        Mistake(
            "The gradient is not divided by the batch size; the loss is a mean.",
            _with_loss(lambda loss, g, z, y: (loss, g * len(y))),
        ),
        Mistake(
            "The sign of the gradient is turned: probabilities minus one-hot.",
            _with_loss(lambda loss, g, *_: (loss, -g)),
        ),
        Mistake(
            "The one-hot labels are not subtracted: this is the gradient of no loss, just the probabilities.",
            _with_loss(lambda loss, g, z, y: (loss, scratch.softmax(z) / len(y))),
        ),
        Mistake(
            "The one-hot labels are subtracted from the logits: softmax comes first.",
            _with_loss(lambda loss, g, z, y: (loss, (z - np.eye(z.shape[1])[y]) / len(y))),
        ),
        Mistake(
            "The gradient is divided by the number of classes, not by the number of examples.",
            _with_loss(lambda loss, g, z, y: (loss, g * len(y) / z.shape[1])),
        ),
        Mistake(
            "The gradient is zero but for the label's column: every logit has one.",
            _with_loss(lambda loss, g, z, y: (loss, g * np.eye(z.shape[1])[y])),
        ),
        *(
            Mistake(CLIPPED, _clipped(epsilon))
            for epsilon in (1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12, 1e-15, 1e-16, 1e-20, 1e-300)
        ),
    ],
    probe=_loss,
    hint="Mean of −log p of the label; gradient: (softmax − onehot) / batch.",
)

ACCURACY = Piece(
    "accuracy",
    "accuracy(logits, labels)",
    scratch.accuracy,
    [
        Case("one of two right", {"logits": SMALL, "labels": np.array([1, 0])}),
        Case("all right", {"logits": SMALL, "labels": np.array([1, 2])}),
        Case("three of four right", {"logits": -np.eye(4)[:, :2], "labels": np.array([1, 0, 0, 1])}),
        Case("a batch of one", {"logits": np.array([[2.0, 1.0, 0.0]]), "labels": np.array([2])}),
    ],
    [
        Mistake("It counts: divide by the number of examples.", lambda z, y: (z.argmax(1) == y).sum()),
        Mistake("It is the share of errors: 1 minus the accuracy.", lambda z, y: (z.argmax(1) != y).mean()),
        Mistake("It is in percent: a share is wanted.", lambda z, y: 100 * (z.argmax(1) == y).mean()),
        Mistake("It takes the smallest logit.", lambda z, y: (z.argmin(1) == y).mean()),
        Mistake("These are the examples' own results: take their mean.", lambda z, y: z.argmax(1) == y),
        Mistake("It is divided by the number of classes.", lambda z, y: (z.argmax(1) == y).sum() / z.shape[1]),
        Mistake(
            "The labels have an axis too many: (n,) against (n, 1) compares all with all.",
            lambda z, y: (z.argmax(1)[:, None] == y).mean(),
        ),
        Mistake("It says whether all are right; the share is wanted.", lambda z, y: (z.argmax(1) == y).all()),
    ],
    hint="The share of rows whose largest logit is the label's.",
)

PIECES = (SOFTMAX, CROSS_ENTROPY, ACCURACY)
