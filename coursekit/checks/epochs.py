"""Checks of a training by hand: mini-batches, full-batch gradient descent, the size of a gradient."""

import numpy as np

from coursekit import scratch
from coursekit.checks.arrays import rounded
from coursekit.checks.diagnosis import Wrong
from coursekit.checks.judging import Case, Mistake, Piece


def _batches(code, inputs: dict) -> dict:
    """Sizes and content of an epoch, and whether it is shuffled."""
    images, labels, size = inputs.values()
    made = [code(images, labels, size, np.random.default_rng(seed)) for seed in (0, 1)]
    if made[0] is None or made[0] is ...:
        return {"the list of batch sizes": None}
    epochs = [[(np.asarray(x), np.asarray(y)) for x, y in epoch] for epoch in made]
    x, y = (
        (np.concatenate(parts) if parts else np.zeros(0) for parts in zip(*epochs[0], strict=True))
        if epochs[0]
        else (labels[:0], labels[:0])
    )
    other = np.concatenate([y for _, y in epochs[1]]) if epochs[1] else labels[:0]
    return {
        "the list of batch sizes": np.array([len(part) for _, part in epochs[0]]),
        "the sorted list of labels": np.sort(y),
        "whether each image has its own label": bool((x[:, 0] == y).all()) if x.ndim == 2 else False,
        "whether the order is drawn": bool((y != labels[: len(y)]).any()) if len(y) == len(labels) else False,
        "whether another rng gives another order": not np.array_equal(y, other),
    }


def _ours_batches(images, labels, size, rng):
    return scratch.minibatches(images, labels, size, rng)


def _other_batches(order, stop=lambda n, size: n):
    def code(images, labels, size, rng):
        left, right = order(rng, len(labels))
        return [
            (images[left[i : i + size]], labels[right[i : i + size]]) for i in range(0, stop(len(labels), size), size)
        ]

    return code


def _both(draw):
    return lambda rng, n: (draw(rng, n),) * 2


def _batch_case(words: str, n: int, size: int, hint: str = "") -> Case:
    return Case(
        words, {"images": np.arange(2 * n).reshape(n, 2) // 2, "labels": np.arange(n), "batch_size": size}, hint
    )


MINIBATCHES = Piece(
    "minibatches",
    "minibatches(images, labels, batch_size, rng)",
    _ours_batches,
    [
        _batch_case("12 examples in batches of 4", 12, 4),
        _batch_case(
            "10 examples in batches of 4", 10, 4, "The last batch is shorter: it is kept, with the 2 that are left."
        ),
        _batch_case("a batch size larger than the data", 9, 20, "One batch with all of them."),
    ],
    [
        Mistake(
            "Images and labels are shuffled separately: one permutation for both.",
            _other_batches(lambda rng, n: (rng.permutation(n), rng.permutation(n))),
        ),
        Mistake(
            "The examples come in file order: draw a permutation from rng.",
            _other_batches(_both(lambda rng, n: np.arange(n))),
        ),
        Mistake(
            "The last, shorter batch is lost.",
            _other_batches(_both(lambda rng, n: rng.permutation(n)), lambda n, size: n - n % size),
        ),
        Mistake(
            "Examples are drawn with replacement: some come twice, some never. Take a permutation.",
            _other_batches(_both(lambda rng, n: rng.integers(0, n, n))),
        ),
        Mistake(
            "The permutation is always the same: draw it from the rng that you are given.",
            _other_batches(_both(lambda rng, n: np.random.default_rng(0).permutation(n))),
        ),
        Mistake(
            "Only the images are shuffled: labels by the same permutation.",
            _other_batches(lambda rng, n: (rng.permutation(n), np.arange(n))),
        ),
    ],
    probe=_batches,
    hint="One permutation of the indices, cut into pieces of batch_size.",
)


def _descended(code, inputs: dict) -> dict:
    """Losses and weights of our network after a training with the learner's code."""
    net = scratch.SimpleNetwork(3, 4, 4, 2, seed=1)
    before = [linear.W.copy() for linear in net.linears]
    losses = code(net, *inputs.values())
    moved = any(not np.array_equal(linear.W, W) for linear, W in zip(net.linears, before, strict=True))
    if losses is None and moved:
        raise Wrong("returns nothing", "It returns the list of losses, one for each epoch.")
    if losses is None or losses is ...:
        return {"the list of losses": None}
    weights = {
        f"{name} of layer {i} after training": getattr(net.linears[i - 1], name) for i in (1, 3) for name in "Wb"
    }
    return {"the list of losses": np.array(losses, float)} | weights


def _descent(loss=lambda value, logits, labels: value, names="Wb", layers=slice(None), sign=-1, late=False):
    """Gradient descent with something else than the rule says."""

    def code(net, images, labels, lr, epochs):
        losses = []
        for _ in range(epochs):
            logits = net.forward(images)
            value, dlogits = scratch.cross_entropy(logits, labels)
            net.backward(dlogits)
            for linear in net.linears[layers]:
                for name in names:
                    setattr(linear, name, getattr(linear, name) + sign * lr * getattr(linear, "d" + name))
            if late:
                value = scratch.cross_entropy(net.forward(images), labels)[0]
            losses.append(loss(value, logits, labels))
        return losses

    return code


def _once(net, images, labels, lr, epochs):
    """The gradient of the first epoch, over and over."""
    net.backward(scratch.cross_entropy(net.forward(images), labels)[1])
    losses = []
    for _ in range(epochs):
        losses.append(scratch.cross_entropy(net.forward(images), labels)[0])
        for linear in net.linears:
            linear.W, linear.b = linear.W - lr * linear.dW, linear.b - lr * linear.db
    return losses


def _one_by_one(net, images, labels, lr, epochs):
    return [
        np.mean([scratch.train_with_gd(net, x[None], y[None], lr, 1)[0] for x, y in zip(images, labels, strict=True)])
        for _ in range(epochs)
    ]


def _descent_case(words: str, batch: int, lr: float, epochs: int) -> Case:
    return Case(words, {"X": rounded(batch, 3), "y": np.arange(batch) % 2, "lr": lr, "epochs": epochs})


TRAIN_WITH_GD = Piece(
    "train_with_gd",
    "train_with_gd(net, X, y, lr, epochs)",
    scratch.train_with_gd,
    [
        _descent_case("one epoch", 2, 0.1, 1),
        _descent_case("three epochs", 4, 0.1, 3),
        _descent_case("another rate", 3, 0.5, 5),
    ],
    [
        Mistake("It climbs: subtract lr times the gradient.", _descent(sign=1)),
        Mistake("The biases stay where they are: they have a gradient too, db.", _descent(names="W")),
        Mistake("Only the last layer is trained: every Linear takes its step.", _descent(layers=slice(2, None))),
        Mistake("Only the first layer is trained: every Linear takes its step.", _descent(layers=slice(0, 1))),
        Mistake(
            "Each loss is measured after its step: the first is that of the untrained network.", _descent(late=True)
        ),
        Mistake("The gradient is computed once: forward and backward belong into the loop.", _once),
        Mistake("It steps after each example: full-batch descent takes one step an epoch.", _one_by_one),
        Mistake(
            "The losses are summed over the examples: the mean is wanted.",
            _descent(lambda value, logits, labels: value * len(labels)),
        ),
        Mistake(
            "It returns accuracies: the losses are wanted.",
            _descent(lambda value, logits, labels: scratch.accuracy(logits, labels)),
        ),
        Mistake(
            "One number is returned: a list, with the loss of every epoch.",
            lambda *arguments: _descent()(*arguments)[-1],
        ),
    ],
    probe=_descended,
    hint="In every epoch: forward, loss, backward, one step for W and b of every layer; keep the loss.",
)


def _norm(gradients):
    return np.sqrt(sum((np.asarray(g) ** 2).sum() for g in gradients))


GRADIENT_NORM = Piece(
    "gradient_norm",
    "gradient_norm(gradients)",
    _norm,
    [
        Case("two arrays", {"gradients": [np.array([[3.0, 0.0], [0.0, -4.0]]), np.array([12.0])]}),
        Case("a matrix and a bias", {"gradients": [np.array([[1.0, -2.0, 2.0]]), np.array([2.0, -4.0])]}),
        Case("one array", {"gradients": [np.array([-3.0, 4.0])]}),
        Case("zeros", {"gradients": [np.zeros((2, 2)), np.zeros(2)]}, "The norm of zeros is 0."),
    ],
    [
        Mistake("The square root is missing.", lambda gradients: _norm(gradients) ** 2),
        Mistake(
            "Norms of the arrays are not added: their squares are.",
            lambda gradients: sum(np.sqrt((g**2).sum()) for g in gradients),
        ),
        Mistake(
            "This is the sum of absolute values, the L1 norm.",
            lambda gradients: sum(np.abs(g).sum() for g in gradients),
        ),
        Mistake("This is the largest, not the norm.", lambda gradients: max(np.abs(g).max() for g in gradients)),
        Mistake(
            "It is a root mean square: a norm does not divide by the number.",
            lambda gradients: np.sqrt(sum((g**2).sum() for g in gradients) / sum(g.size for g in gradients)),
        ),
        Mistake(
            "This is the mean of absolute values, the other measure.",
            lambda gradients: sum(np.abs(g).sum() for g in gradients) / sum(g.size for g in gradients),
        ),
        Mistake("Only the first array counts here.", lambda gradients: _norm(gradients[:1])),
        Mistake("Only the last array counts here.", lambda gradients: _norm(gradients[-1:])),
        Mistake(
            "Positive and negative numbers cancel: square first, then add.",
            lambda gradients: np.sqrt(sum(g.sum() ** 2 for g in gradients)),
        ),
        Mistake(
            "Matrix norms are something else: np.linalg.norm(g, 2) of a matrix is its largest singular value.",
            lambda gradients: np.sqrt(sum(np.linalg.norm(g, 2) ** 2 for g in gradients)),
        ),
    ],
    hint="The root of the sum of the squares of all numbers of all arrays.",
)

PIECES = (MINIBATCHES, TRAIN_WITH_GD, GRADIENT_NORM)
