"""Linear and ReLU layers, a chain of them, and its training."""

from itertools import pairwise

import numpy as np


class Linear:
    def __init__(self, d_in, d_out, seed=None):
        self.W = np.random.default_rng(seed).standard_normal((d_in, d_out)) * np.sqrt(2.0 / d_in)
        self.b = np.zeros((d_out,))

    def forward(self, x):
        self.cache = x
        return np.dot(x, self.W) + self.b

    def backward(self, dy):
        self.dW = np.einsum("ni,no->io", self.cache, dy)
        self.db = np.ones(len(dy)) @ dy
        return np.dot(dy, self.W.T)


def linear(**methods):
    return type("Linear", (Linear,), methods)


def backward_with(dW=None, db=None, dX=None):
    def backward(self, dy):
        result = Linear.backward(self, dy)
        self.dW = dW(self, dy) if dW else self.dW
        self.db = db(self, dy) if db else self.db
        return dX(self, dy) if dX else result

    return linear(backward=backward)


def starting(W, b=np.zeros):
    def start(self, d_in, d_out):
        self.W, self.b = W(d_in, d_out), b(d_out)

    return linear(__init__=start)


def accumulate(self, dy):
    self.total = getattr(self, "total", 0) + self.cache.T @ dy
    return self.total


class ReLU:
    def forward(self, x):
        self.x = x.copy()
        return np.where(x > 0, x, 0)

    def backward(self, dy):
        return np.where(self.x > 0, dy, 0)


def relu(**methods):
    return type("ReLU", (ReLU,), methods)


def relu_in_place(self, x):
    self.x = x
    x[x < 0] = 0
    return x


class Network:
    def __init__(self, d_in, h1, h2, d_out):
        self.layers = [Linear(d_in, h1), ReLU(), Linear(h1, h2), ReLU(), Linear(h2, d_out)]

    def forward(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dy):
        for layer in self.layers[::-1]:
            dy = layer.backward(dy)
        return dy


def network(**methods):
    return type("Network", (Network,), methods)


def with_layers(*kinds):
    def start(self, *sizes):
        pairs = iter(pairwise(sizes))
        self.layers = [Linear(*next(pairs)) if kind == "L" else ReLU() for kind in kinds]

    return network(__init__=start)


def backward_forward_order(self, dy):
    for layer in self.layers:
        dy = layer.backward(dy)
    return dy


def backward_last_only(self, dy):
    Network.backward(self, dy)
    for layer in self.layers[:3]:
        layer.dW = np.zeros_like(layer.W) if hasattr(layer, "W") else None
    return self.layers[4].backward(dy) @ np.eye(self.layers[4].W.shape[0], self.layers[0].W.shape[0])


def backward_without_relu(self, dy):
    for layer in self.layers[::-1]:
        if isinstance(layer, Linear):
            dy = layer.backward(dy)
    return dy


def forward_probabilities(self, x):
    z = Network.forward(self, x)
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def backward_returns_nothing_new(self, dy):
    Network.backward(self, dy)
    return dy


class SeparateAttributes:
    """Layers as attributes, the list beside them."""

    def __init__(self, d_in, h1, h2, d_out):
        self.one, self.two, self.three = Linear(d_in, h1), Linear(h1, h2), Linear(h2, d_out)
        self.layers = [self.one, self.two, self.three]

    def forward(self, x):
        self.z1 = self.one.forward(x)
        self.z2 = self.two.forward(np.maximum(self.z1, 0))
        return self.three.forward(np.maximum(self.z2, 0))

    def backward(self, dy):
        dy = self.three.backward(dy) * (self.z2 > 0)
        dy = self.two.backward(dy) * (self.z1 > 0)
        return self.one.backward(dy)


def cross_entropy(z, y):
    z = z - z.max(1, keepdims=True)
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    onehot = np.eye(z.shape[1])[y]
    return float(-(onehot * (z - np.log(np.exp(z).sum(1, keepdims=True)))).sum() / len(y)), (p - onehot) / len(y)


def training(sign=1, biases=True, only=(0, 1, 2), late=False, result=lambda losses: losses, factor=lambda y: 1):
    def code(net, X, y, lr, epochs):
        losses = []
        linears = [layer for layer in net.layers if hasattr(layer, "W")]
        for _ in range(epochs):
            loss, gradient = cross_entropy(net.forward(X), y)
            net.backward(gradient)
            for i in only:
                linears[i].W -= sign * lr * linears[i].dW
                if biases:
                    linears[i].b -= sign * lr * linears[i].db
            losses.append((cross_entropy(net.forward(X), y)[0] if late else loss) * factor(y))
        return result(losses)

    return code


WRONG = {
    "linear": [
        ("not summed", backward_with(db=lambda self, dy: dy)),
        ("not a mean", backward_with(db=lambda self, dy: dy.mean(0))),
        ("over the outputs", backward_with(db=lambda self, dy: dy.sum(1))),
        ("the other way round", backward_with(dW=lambda self, dy: dy.T @ self.cache)),
        ("W is not transposed", backward_with(dX=lambda self, dy: dy @ self.W)),
        (
            "the loss has done already",
            backward_with(lambda s, dy: s.cache.T @ dy / len(dy), lambda s, dy: dy.sum(0) / len(dy)),
        ),
        ("bias is not added", linear(forward=lambda self, x: setattr(self, "cache", x) or x @ self.W)),
        ("W is transposed", linear(forward=lambda self, x: setattr(self, "cache", x) or x @ self.W.T + self.b)),
        ("the layer below needs dX", backward_with(dX=lambda self, dy: self.dW)),
        ("as it came", backward_with(dX=lambda self, dy: dy)),
        ("this is the variance", starting(lambda m, n: np.random.normal(0, 2 / m, (m, n)))),
        ("root was taken once more", starting(lambda m, n: np.random.normal(0, (2 / m) ** 0.25, (m, n)))),
        ("number of inputs", starting(lambda m, n: np.random.normal(0, (2 / n) ** 0.5, (m, n)))),
        ("not scaled", starting(lambda m, n: np.random.randn(m, n))),
        ("the same", starting(lambda m, n: np.zeros((m, n)))),
        ("W has to have the shape (d_in, d_out)", starting(lambda m, n: np.random.normal(0, (2 / m) ** 0.5, (n, m)))),
        ("bias has to start at 0", starting(lambda m, n: np.random.normal(0, (2 / m) ** 0.5, (m, n)), np.ones)),
        ("names of attributes", linear(backward=lambda self, dy: self.x.T @ dy)),
    ],
    "relu_layer": [
        ("passes everywhere", relu(backward=lambda self, dy: dy)),
        ("not the sign of the gradient", relu(backward=lambda self, dy: np.maximum(dy, 0))),
        ("not by the activation", relu(backward=lambda self, dy: dy * np.maximum(self.x, 0))),
        ("multiplies dy", relu(backward=lambda self, dy: (self.x > 0).astype(float))),
        ("> and not >=", relu(backward=lambda self, dy: dy * (self.x >= 0))),
        ("mask is turned", relu(backward=lambda self, dy: dy * (self.x < 0))),
        ("work on a copy", relu(forward=relu_in_place)),
    ],
    "network": [
        ("A ReLU is missing", with_layers(*"LRLL")),
        ("one linear map", with_layers(*"LLL")),
        ("There is a ReLU on the logits", with_layers(*"LRLRLR")),
        ("probabilities", network(forward=forward_probabilities)),
        ("what it was given", network(backward=backward_returns_nothing_new)),
        ("through the ReLUs", network(backward=backward_without_relu)),
        ("Linear, ReLU, Linear, ReLU, Linear", with_layers(*"LRL")),
        ("the same in reverse", network(backward=backward_forward_order)),
        ("the same in reverse", network(backward=backward_last_only)),
    ],
    "train_with_gd": [
        ("climbs", training(sign=-1)),
        ("biases", training(biases=False)),
        ("last layer", training(only=(2,))),
        ("first layer", training(only=(0,))),
        ("after its step", training(late=True)),
        ("summed", training(factor=len)),
        ("a list", training(result=lambda losses: losses[-1])),
        ("list of losses", training(result=lambda losses: None)),
    ],
}

RIGHT = {
    "linear": [Linear],
    "relu_layer": [ReLU],
    "network": [Network, SeparateAttributes],
    "train_with_gd": [training()],
}
