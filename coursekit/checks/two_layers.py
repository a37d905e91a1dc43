"""Check of the two-layer classifier by hand."""

import numpy as np

from coursekit import scratch
from coursekit.checks.arrays import rounded
from coursekit.checks.diagnosis import Wrong
from coursekit.checks.dictionaries import SLOPE_OF_OUTPUT, after_backward, scaled
from coursekit.checks.judging import Case, Mistake, Piece


def _two_layers(cls, inputs: dict) -> dict:
    sizes = (*inputs["weights"]["W1"].shape, inputs["weights"]["W2"].shape[1])

    def results(net) -> dict:
        returned = net.forward(inputs["x"], inputs["labels"], "valid")
        if returned is None or returned is ...:
            return {"the loss": None, "the accuracy": None}
        net.forward(inputs["x"], inputs["labels"], "train")
        if not isinstance(returned, tuple | list) or len(returned) != 2:
            raise Wrong("forward returns one value, two are wanted", "It returns (loss, accuracy).")
        return dict(zip(("the loss", "the accuracy"), returned, strict=True))

    return after_backward(cls, inputs, sizes, results)


def _plain(d_in=784, hidden=128, d_out=10):
    return scratch.TwoLayerNet(d_in, hidden, d_out, dtype=np.float64)


def _two_layer_mistake(change):
    """Our net with other gradients: change(net, images, dlogits) edits them."""

    class Changed(scratch.TwoLayerNet):
        def __init__(self, d_in, hidden, d_out):
            super().__init__(d_in, hidden, d_out, dtype=np.float64)

        def backward(self, images, dlogits):
            super().backward(images, dlogits)
            change(self, images, dlogits)

    return Changed


def _hidden_gradient(slope):
    """dz replaced: what the hidden layer gets when the slope is another."""

    def change(net, images, dlogits):
        dz = dlogits @ net.weights["W2"].T * slope(net.hidden)
        net.gradients |= {"W1": images.T @ dz, "b1": dz.sum(axis=0)}

    return change


class _SoftmaxTwice(scratch.TwoLayerNet):
    def __init__(self, d_in, hidden, d_out):
        super().__init__(d_in, hidden, d_out, dtype=np.float64)

    def logits(self, images):
        return scratch.softmax(super().logits(images))


class _LinearHidden(_SoftmaxTwice):
    def logits(self, images):
        self.hidden = images @ self.weights["W1"] + self.weights["b1"]
        return self.hidden @ self.weights["W2"] + self.weights["b2"]


def _two_layer_case(words: str, batch: int, d_in: int, hidden: int, d_out: int) -> Case:
    weights = {"W1": rounded(d_in, hidden), "b1": rounded(hidden), "W2": rounded(hidden, d_out), "b2": rounded(d_out)}
    return Case(words, {"x": rounded(batch, d_in), "labels": np.arange(batch) % d_out, "weights": weights})


TWO_LAYER_NET = Piece(
    "two_layer_net",
    "TwoLayerNet(d_in, hidden, d_out) with forward(x, labels, mode), and the dictionaries weights and gradients",
    _plain,
    [
        _two_layer_case("a batch of 3, all layers of size 2", 3, 2, 2, 2),
        _two_layer_case("a batch of 4, sizes 3, 2, 4", 4, 3, 2, 4),
        _two_layer_case("a batch of one", 1, 2, 3, 2),
    ],
    [
        Mistake("Softmax is applied before the cross-entropy, which does it too.", _SoftmaxTwice),
        Mistake("The hidden layer has no sigmoid.", _LinearHidden),
        Mistake(SLOPE_OF_OUTPUT, _two_layer_mistake(_hidden_gradient(scratch.sigmoid_derivative))),
        Mistake(
            "The slope of the sigmoid is missing in the backward pass through the hidden layer.",
            _two_layer_mistake(_hidden_gradient(lambda a: 1)),
        ),
        Mistake(
            "The backward pass multiplies by the slope a(1 − a), not by the activation a.",
            _two_layer_mistake(_hidden_gradient(lambda a: a)),
        ),
        Mistake(
            "The gradients are not divided by the batch size.",
            _two_layer_mistake(scaled(lambda n: n, "W1", "b1", "W2", "b2")),
        ),
        Mistake(
            "The gradients are divided by the batch size twice.",
            _two_layer_mistake(scaled(lambda n: 1 / n, "W1", "b1", "W2", "b2")),
        ),
        Mistake(
            "The sign of the gradients is turned: softmax minus one-hot.",
            _two_layer_mistake(scaled(lambda n: -1, "W1", "b1", "W2", "b2")),
        ),
        Mistake(
            "The gradients of the biases are means: they are sums over the batch of what is divided already.",
            _two_layer_mistake(scaled(lambda n: 1 / n, "b1", "b2")),
        ),
    ],
    probe=_two_layers,
    hint="From the loss backwards: dlogits, then W2 and b2, then the hidden layer with its slope, then W1 and b1.",
)


PIECES = (TWO_LAYER_NET,)
