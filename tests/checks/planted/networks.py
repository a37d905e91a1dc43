"""Networks whose weights and gradients are dictionaries."""

import numpy as np


def sigma(z):
    return 1 / (1 + np.exp(-z))


class TwoLayerNet:
    """The right one; what a wrong one changes are the methods below forward."""

    def __init__(self, d_in, hidden, d_out):
        rng = np.random.default_rng()
        self.weights = {"W1": rng.standard_normal((d_in, hidden)), "b1": np.zeros(hidden)}
        self.weights |= {"W2": rng.standard_normal((hidden, d_out)), "b2": np.zeros(d_out)}
        self.gradients = {name: 0 * array for name, array in self.weights.items()}

    def forward(self, x, labels, mode="valid"):
        w = self.weights
        self.z = x @ w["W1"] + w["b1"]
        self.a = self.activation(self.z)
        logits = self.output(self.a @ w["W2"] + w["b2"])
        p = np.exp(logits - logits.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        n = len(labels)
        loss = -np.log(p[np.arange(n), labels]).mean()
        if mode == "train":
            p[np.arange(n), labels] -= 1
            self.back(x, self.scaled(p, n))
        return self.result(loss, float((logits.argmax(1) == labels).mean()))

    def back(self, x, d2):
        d1 = self.slope(d2 @ self.weights["W2"].T)
        self.gradients["W2"], self.gradients["b2"] = self.a.T @ d2, self.reduced(d2)
        self.gradients["W1"], self.gradients["b1"] = x.T @ d1, self.reduced(d1)

    def activation(self, z):
        return sigma(z)

    def output(self, logits):
        return logits

    def scaled(self, d2, n):
        return d2 / n

    def slope(self, da):
        return da * self.a * (1 - self.a)

    def reduced(self, d):
        return d.sum(0)

    def result(self, loss, accuracy):
        return loss, accuracy


def softmaxed(self, logits):
    e = np.exp(logits - logits.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def two(**methods):
    return type("TwoLayerNet", (TwoLayerNet,), methods)


class XorNet:
    def __init__(self, hidden):
        self.weights = {"W1": np.random.randn(2, hidden), "b1": np.zeros((1, hidden))}
        self.weights |= {"W2": np.random.randn(hidden, 1), "b2": np.zeros((1, 1))}
        self.gradients = {}

    def forward(self, x):
        self.a1 = sigma(x @ self.weights["W1"] + self.weights["b1"])
        self.a2 = self.output(self.a1 @ self.weights["W2"] + self.weights["b2"])
        return self.a2

    def backward(self, x, y):
        e = self.forward(x) - y
        dz2 = self.factor(len(x)) * e * self.outer(self.a2)
        dz1 = np.outer(dz2, self.weights["W2"]) * self.inner(self.a1)
        self.gradients["W2"], self.gradients["b2"] = self.a1.T @ dz2, dz2.sum(0, keepdims=True)
        self.gradients["W1"], self.gradients["b1"] = x.T @ dz1, dz1.sum(0, keepdims=True)
        return self.error(e)

    def output(self, z):
        return sigma(z)

    def factor(self, n):
        return 2

    def outer(self, a):
        return a * (1 - a)

    def inner(self, a):
        return a - a**2

    def error(self, e):
        return float((e**2).sum())


def xor(**methods):
    return type("XorNet", (XorNet,), methods)


def slope_of(a):
    return sigma(a) * (1 - sigma(a))


WRONG = {
    "two_layer_net": [
        ("applied before the cross-entropy", two(output=softmaxed)),
        ("no sigmoid", two(activation=lambda self, z: z)),
        ("feeding a to σ′", two(slope=lambda self, da: da * slope_of(self.a))),
        ("slope of the sigmoid is missing", two(slope=lambda self, da: da)),
        ("not by the activation", two(slope=lambda self, da: da * self.a)),
        ("not divided by the batch size", two(scaled=lambda self, d, n: d)),
        ("twice", two(scaled=lambda self, d, n: d / n**2)),
        ("sign", two(scaled=lambda self, d, n: -d / n)),
        ("means", two(reduced=lambda self, d: d.mean(0))),
        ("(loss, accuracy)", two(result=lambda self, loss, accuracy: loss)),
    ],
    "xor_net": [
        ("not a mean", xor(error=lambda self, e: float((e**2).mean()))),
        ("no sigmoid", xor(output=lambda self, z: z)),
        ("n × n", xor(forward=lambda self, x: XorNet.forward(self, x)[:, 0])),
        ("sign is turned", xor(factor=lambda self, n: -2)),
        ("factor 2", xor(factor=lambda self, n: 1)),
        ("means", xor(factor=lambda self, n: 2 / n)),
        ("g′(z2)", xor(outer=lambda self, a: 1)),
        ("f′(z1)", xor(inner=lambda self, a: 1)),
        ("feeding a to σ′", xor(outer=lambda self, a: slope_of(a), inner=lambda self, a: slope_of(a))),
        ("tanh's", xor(outer=lambda self, a: 1 - a**2, inner=lambda self, a: 1 - a**2)),
    ],
}

RIGHT = {"two_layer_net": [TwoLayerNet], "xor_net": [XorNet]}
