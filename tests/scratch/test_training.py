import numpy as np
import pytest

from coursekit import scratch
from coursekit.errors import DataError, Diverged

RNG = np.random.default_rng(0)


def task(count=60, d_in=8, classes=3, dtype=np.float64):
    labels = RNG.integers(0, classes, count)
    images = RNG.normal(size=(classes, d_in))[labels] + 0.3 * RNG.normal(size=(count, d_in))
    return images.astype(dtype), labels


def test_train_with_gd_steps_by_lr_times_gradient_twice():
    images, labels = task()
    net, twin = scratch.SimpleNetwork(8, 5, 4, 3, seed=1), scratch.SimpleNetwork(8, 5, 4, 3, seed=1)
    losses = scratch.train_with_gd(net, images, labels, lr=0.3, epochs=2)
    for expected_loss in losses:
        loss, dlogits = scratch.cross_entropy(twin.forward(images), labels)
        assert loss == expected_loss
        twin.backward(dlogits)
        for linear in twin.linears:
            linear.W = linear.W - 0.3 * linear.dW
            linear.b = linear.b - 0.3 * linear.db
    for mine, theirs in zip(net.linears, twin.linears, strict=True):
        np.testing.assert_allclose(mine.W, theirs.W, rtol=1e-12)
        np.testing.assert_allclose(mine.b, theirs.b, rtol=1e-12, atol=1e-15)


def test_train_with_gd_learns_by_heart():
    images, labels = task()
    net = scratch.SimpleNetwork(8, 16, 8, 3)
    losses = scratch.train_with_gd(net, images, labels, lr=0.5, epochs=300)
    assert len(losses) == 300
    assert losses[-1] < 0.05 < losses[0]
    assert scratch.accuracy(net.forward(images), labels) == 1


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_train_with_gd_stops_when_it_diverges():
    images, labels = task()
    with pytest.raises(Diverged, match="try a smaller lr than 1e"):
        scratch.train_with_gd(scratch.SimpleNetwork(8, 5, 4, 3), images, labels, lr=1e200, epochs=50)


def test_minibatches_keep_pairs_together_and_the_last_short_batch():
    images, labels = np.arange(10)[:, None], np.arange(10)
    batches = list(scratch.minibatches(images, labels, 4, np.random.default_rng(0)))
    assert [len(y) for _, y in batches] == [4, 4, 2]
    seen = np.concatenate([y for _, y in batches])
    assert sorted(seen) == list(range(10))
    assert list(seen) != list(range(10))
    assert all((x[:, 0] == y).all() for x, y in batches)


def test_minibatches_without_rng_are_in_file_order():
    batches = scratch.minibatches(np.arange(5)[:, None], np.arange(5), 2)
    assert [y.tolist() for _, y in batches] == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize(("images", "labels"), [(3, 2), (0, 0)])
def test_minibatches_refuse_unequal_or_no_examples(images, labels):
    with pytest.raises(DataError, match="as many images as labels"):
        next(scratch.minibatches(np.zeros((images, 2)), np.zeros(labels, int), 2))


def test_regularization_touches_weights_and_not_biases():
    model = scratch.TwoLayerNet(8, 5, 3, scale=1.0)
    model.weights["b1"] += 1
    scratch.apply_regularization(model, 0.1)
    np.testing.assert_allclose(model.gradients["W1"], 0.1 * model.weights["W1"], rtol=1e-6)
    np.testing.assert_allclose(model.gradients["W2"], 0.1 * model.weights["W2"], rtol=1e-6)
    assert not model.gradients["b1"].any()


def test_sgd_update_equals_the_hand_computation_twice():
    images, labels = task()
    model, optimizer = scratch.TwoLayerNet(8, 5, 3, scale=1.0, dtype=np.float64), scratch.SGD(0.2, 0.05)
    for _ in range(2):
        model.forward(images, labels, mode="train")
        expected = {
            name: weight - 0.2 * (model.gradients[name] + (0.05 * weight if name.startswith("W") else 0))
            for name, weight in model.weights.items()
        }
        optimizer.update(model)
        for name, weight in expected.items():
            np.testing.assert_allclose(model.weights[name], weight, rtol=1e-12, err_msg=name)


def test_fit_reports_every_epoch_and_ends_with_the_best_weights():
    train, validation = task(), task()
    model = scratch.TwoLayerNet(8, 16, 3, scale=0.5, dtype=np.float64)
    history = scratch.fit(model, train, validation, scratch.SGD(0.5), epochs=8, batch_size=16)
    assert [row["epoch"] for row in history] == list(range(1, 9))
    assert [row["step"] for row in history] == [4 * epoch for epoch in range(1, 9)]
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    best = max(row["val_accuracy"] for row in history)
    assert scratch.evaluate(model, *validation)[1] == best


class Scripted:
    """A model whose only weight counts the steps made, and whose validation accuracies are given."""

    def __init__(self, accuracies: list[float]):
        self.accuracies = iter(accuracies)
        self.weights, self.gradients = {"W1": np.zeros((2, 1))}, {"W1": np.zeros((2, 1))}
        self.seen = []

    def forward(self, images, labels, mode):
        self.seen.append((mode, float(self.weights["W1"][0, 0]), images.tolist()))
        if mode == "train":
            self.gradients["W1"][:] = -1
            return 1.0, 0.5
        return 3.0 + self.weights["W1"][0, 0], next(self.accuracies)


@pytest.mark.parametrize(
    ("accuracies", "best"), [([0.2, 0.9, 0.5, 0.9, 0.1], 2), ([0.0, 0.0], 1), ([0.1, 0.2], 2), ([0.3, 0.2, 0.1], 1)]
)
def test_fit_ends_with_the_weights_of_the_first_of_its_best_epochs_by_validation(accuracies, best):
    model = Scripted(accuracies)
    train, validation = (np.zeros((3, 2)), np.zeros(3, int)), (np.ones((4, 2)), np.zeros(4, int))
    history = scratch.fit(model, train, validation, scratch.SGD(1.0), epochs=len(accuracies), batch_size=2)
    assert model.weights["W1"].ravel().tolist() == [2 * best] * 2  # two steps an epoch
    assert [row["val_accuracy"] for row in history] == accuracies
    assert [row["val_loss"] for row in history] == [3 + 2 * row["epoch"] for row in history]
    assert {(row["train_loss"], row["train_accuracy"]) for row in history} == {(1, 0.5)}
    validated = [(steps, images) for mode, steps, images in model.seen if mode == "valid"]
    assert validated == [(2 * epoch, validation[0].tolist()) for epoch in range(1, len(accuracies) + 1)]


def test_fit_reports_the_gap_between_training_and_validation():
    train, validation = task(), task()
    model = scratch.TwoLayerNet(8, 4, 3, scale=1.0, dtype=np.float64)
    expected = [scratch.evaluate(model, *part) for part in (train, validation)]
    [row] = scratch.fit(model, train, validation, scratch.SGD(0.0), epochs=1)
    assert (row["train_loss"], row["train_accuracy"]) == pytest.approx(expected[0])
    assert (row["val_loss"], row["val_accuracy"]) == pytest.approx(expected[1])
    assert row["train_loss"] != row["val_loss"]


def test_validation_leaves_the_gradients_alone():
    images, labels = task()
    model = scratch.TwoLayerNet(8, 4, 3, scale=1.0)
    scratch.evaluate(model, images, labels)
    assert not any(gradient.any() for gradient in model.gradients.values())


def test_every_epoch_has_an_order_of_its_own():
    model = Scripted([0.5] * 3)
    images = np.arange(40.0).reshape(20, 2)
    scratch.fit(model, (images, np.zeros(20, int)), (images, np.zeros(20, int)), scratch.SGD(0.0), 3, batch_size=20)
    orders = [seen for mode, _, seen in model.seen if mode == "train"]
    assert len(orders) == 3
    assert all(sorted(order) == images.tolist() for order in orders)
    assert len({str(order) for order in orders}) == 3


def test_fit_weights_the_mean_loss_by_examples_and_leaves_the_penalty_out():
    images, labels = task(count=10)
    model = scratch.TwoLayerNet(8, 4, 3, scale=1.0, dtype=np.float64)
    expected = scratch.evaluate(model, images, labels)
    history = scratch.fit(model, (images, labels), (images, labels), scratch.SGD(0.0, 5.0), epochs=1, batch_size=4)
    assert history[0]["train_loss"] == pytest.approx(expected[0], rel=1e-12)
    assert history[0]["train_accuracy"] == pytest.approx(expected[1])


def test_fit_is_a_function_of_its_seed():
    train = task()

    def final(seed):
        model = scratch.TwoLayerNet(8, 4, 3, scale=1.0)
        return scratch.fit(model, train, train, scratch.SGD(0.5), 2, 16, seed)[-1]["train_loss"]

    assert final(1) == final(1) != final(2)
