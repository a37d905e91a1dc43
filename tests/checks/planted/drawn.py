"""Initial weights, dropout, mini-batches, the norm of a gradient."""

import numpy as np


def weights(
    std=lambda m, n: np.sqrt(2 / m), shape=lambda m, n: (m, n), draw=lambda rng, shape: rng.standard_normal(shape)
):
    return lambda m, n, rng: std(m, n) * draw(rng, shape(m, n))


def drop(keep=lambda rng, x, p: rng.random(x.shape) > p, up=lambda p: 1 - p, in_eval=lambda x, p: x):
    def code(x, p, training, rng):
        if not training:
            return in_eval(x, p)
        return np.where(keep(rng, x, p), x / up(p), 0)

    return code


def drop_always(x, p, training, rng):
    return x * rng.binomial(1, 1 - p, x.shape) / (1 - p)


def batches(order=lambda n, rng: rng.permutation(n), end=lambda n, size: n, labels_too=True):
    def code(images, labels, batch_size, rng):
        index = order(len(labels), rng)
        x, y = images[index], labels[index] if labels_too else labels
        for start in range(0, end(len(y), batch_size), batch_size):
            yield x[start : start + batch_size], y[start : start + batch_size]

    return code


def batches_twice_shuffled(images, labels, batch_size, rng):
    x, y = rng.permutation(images), rng.permutation(labels)
    return [(x[i : i + batch_size], y[i : i + batch_size]) for i in range(0, len(y), batch_size)]


def batches_in_place(images, labels, batch_size, rng):
    order = rng.permutation(len(labels))
    images[:], labels[:] = images[order], labels[order]
    return [(images[i : i + batch_size], labels[i : i + batch_size]) for i in range(0, len(labels), batch_size)]


def first_batch(images, labels, batch_size, rng):
    order = rng.permutation(len(labels))[:batch_size]
    return [(images[order], labels[order])]


def flat(gradients):
    return np.concatenate([g.ravel() for g in gradients])


WRONG = {
    "he_weights": [
        ("Take the root", weights(lambda m, n: 2 / m)),
        ("here it is the variance", weights(lambda m, n: (2 / m) ** 0.25)),
        ("not of outputs", weights(lambda m, n: np.sqrt(2 / n))),
        ("Xavier", weights(lambda m, n: np.sqrt(2 / (m + n)))),
        ("1 where He has 2", weights(lambda m, n: np.sqrt(1 / m))),
        ("not scaled", weights(lambda m, n: 1)),
        ("(d_in, d_out)", weights(shape=lambda m, n: (n, m))),
        ("uniform", weights(draw=lambda rng, shape: rng.uniform(-1, 1, shape))),
        ("from nothing else", weights(draw=lambda rng, shape: np.random.standard_normal(shape))),
        ("mean has to be 0", weights(draw=lambda rng, shape: np.abs(rng.standard_normal(shape)))),
    ],
    "dropout": [
        ("divided by 1 − p", drop(up=lambda p: 1)),
        ("not the share that is kept", drop(lambda rng, x, p: rng.random(x.shape) < p)),
        ("not by p", drop(up=lambda p: p or 1)),
        ("where it should be divided", drop(up=lambda p: 1 / (1 - p))),
        ("eval mode", drop_always),
        ("belongs into training", drop(up=lambda p: 1, in_eval=lambda x, p: (1 - p) * x)),
        ("Whole rows", drop(lambda rng, x, p: rng.random((x.shape[0], 1)) > p)),
        ("all examples", drop(lambda rng, x, p: rng.random(x.shape[1]) > p)),
        ("Nothing is dropped", drop(lambda rng, x, p: True, lambda p: 1)),
        ("from nothing else", drop(lambda rng, x, p: np.random.random(x.shape) > p)),
    ],
    "minibatches": [
        ("separately", batches_twice_shuffled),
        ("file order", batches(lambda n, rng: np.arange(n))),
        ("shorter batch", batches(end=lambda n, size: n // size * size)),
        ("replacement", batches(lambda n, rng: rng.choice(n, n))),
        ("always the same", batches(lambda n, rng: np.random.RandomState(3).permutation(n))),
        ("Only the images", batches(labels_too=False)),
        ("work on a copy", batches_in_place),
        ("pieces of batch_size", first_batch),
    ],
    "gradient_norm": [
        ("root is missing", lambda gradients: sum(np.sum(g**2) for g in gradients)),
        ("not added", lambda gradients: sum(np.linalg.norm(g) for g in gradients)),
        ("L1", lambda gradients: np.abs(flat(gradients)).sum()),
        ("largest", lambda gradients: np.abs(flat(gradients)).max()),
        ("root mean square", lambda gradients: np.sqrt(np.mean(flat(gradients) ** 2))),
        ("other measure", lambda gradients: np.abs(flat(gradients)).mean()),
        ("first array", lambda gradients: np.linalg.norm(gradients[0])),
        ("last array", lambda gradients: [np.linalg.norm(g) for g in gradients][-1]),
    ],
}

RIGHT = {
    "he_weights": [weights(), lambda m, n, rng: rng.normal(0, (2 / m) ** 0.5, size=(m, n)).astype(np.float32)],
    "dropout": [drop(), lambda x, p, t, rng: x * rng.binomial(1, 1 - p, x.shape) / (1 - p) if t else x.copy()],
    "minibatches": [batches(), lambda x, y, size, rng: list(batches()(x, y, size, rng))],
    "gradient_norm": [
        lambda gradients: np.linalg.norm(flat(gradients)),
        lambda gradients: (
            flat(gradients) @ flat(gradients) / np.linalg.norm(flat(gradients)) if flat(gradients).any() else 0
        ),
    ],
}
