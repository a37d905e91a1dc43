"""FAULTS N1 to N7: numbers that are none, and input that no training survives, refused in one line."""

from functools import partial

import nbformat
import numpy as np
import pytest
import torch
from nbformat.v4 import new_code_cell, new_notebook
from torch import nn

from coursekit import checks, models, scratch
from coursekit.classroom import predictions
from coursekit.data.batches import Batches
from coursekit.errors import DataError, Diverged
from coursekit.execution import notebooks
from coursekit.training import loop

RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.random((12, 6)), np.arange(12) % 3
POINTS, TARGETS = scratch.blobs(8)


def descend(images=IMAGES, labels=LABELS, lr=0.1, epochs=3):
    return scratch.train_with_gd(scratch.SimpleNetwork(6, 5, 4, 3), images, labels, lr, epochs)


def fit(images=IMAGES, labels=LABELS, lr=0.1, batch_size=4):
    net = scratch.TwoLayerNet(6, 5, 3, dtype=np.float64)
    return scratch.fit(net, (images, labels), (IMAGES, LABELS), scratch.SGD(lr), epochs=3, batch_size=batch_size)


def learn_xor(points=POINTS, targets=TARGETS, lr=0.01, batch=None, output="sigmoid"):
    return scratch.train_xor(scratch.XorNet(4, "relu", output), points, targets, 50, lr, batch)


TRAININGS = pytest.mark.parametrize("train", [descend, fit, learn_xor], ids=lambda train: train.__name__)


def with_nan(array):
    array = array.copy()
    array[5, 1] = np.nan
    return array


# --- N1 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("train", [partial(descend, lr=1e200, epochs=50), partial(learn_xor, lr=1e16, output="linear")])
def test_n1_a_loss_that_is_not_finite_ends_a_training_by_hand(train):
    with pytest.raises(Diverged, match=r"(loss|error) is .* epoch \d+; try a smaller lr than 1e\+") as caught:
        train()
    assert caught.value.exit_code == 6


def test_n1_nan_weights_end_the_torch_loop_with_what_was_seen_before():
    model = models.MLP((4, 3))
    with torch.no_grad():
        model[1].weight[0, 0] = torch.nan
    batches = Batches(torch.ones(6, 2, 2, dtype=torch.uint8), torch.arange(6) % 3, 3)
    with pytest.raises(Diverged, match=r"loss is nan at step 1; try a smaller lr than 0\.1") as caught:
        loop.fit(model, batches, {}, torch.optim.SGD(model.parameters(), lr=0.1), 2)
    assert caught.value.progress.history == []


def test_n1_a_notebook_that_diverged_ends_with_6():
    error = nbformat.v4.new_output("error", ename="Diverged", evalue="loss is nan at step 1", traceback=[])
    with pytest.raises(Diverged, match=r"n\.py cell 1: Diverged: loss is nan") as caught:
        notebooks.check(new_notebook(cells=[new_code_cell("x", outputs=[error], execution_count=1)]), "n.py")
    assert caught.value.exit_code == 6


def test_n1_predictions_of_a_diverged_network_are_refused():
    model = models.MLP((4, 3))
    with torch.no_grad():
        model[1].weight[0, 3] = torch.nan
    batches = Batches(torch.ones(5, 2, 2, dtype=torch.uint8), torch.zeros(5, dtype=torch.long), 2)
    with pytest.raises(DataError, match="not finite for 5 of 5 images, first for image 0; its training has diverged"):
        predictions.predict(model, batches)


# --- N2 (NumPy's warnings of an overflow are errors here) -------------------------------------------------------------


@pytest.mark.parametrize("size", [1e3, 1e30, 1e300])
def test_n2_no_overflow_in_softmax_cross_entropy_and_sigmoid(size):
    logits = np.array([[size, 0.0], [0.0, -size], [-size, size]])
    np.testing.assert_array_equal(scratch.softmax(logits), [[1, 0], [1, 0], [0, 1]])
    np.testing.assert_array_equal(scratch.sigmoid(np.array([-size, 0, size])), [0, 0.5, 1])
    np.testing.assert_array_equal(scratch.sigmoid_derivative(np.array([-size, size])), [0, 0])
    np.testing.assert_array_equal(scratch.swish_derivative(np.array([-size, size])), [0, 1])
    loss, gradient = scratch.cross_entropy(logits, np.array([0, 0, 1]))
    assert loss == 0
    np.testing.assert_array_equal(gradient, np.zeros((3, 2)))


def test_n2_no_log_of_zero_where_the_network_is_sure_and_wrong():
    loss, gradient = scratch.cross_entropy(np.array([[1000.0, 0.0]]), np.array([1]))
    assert loss == 1000
    np.testing.assert_array_equal(gradient, [[1, -1]])


def naive_softmax(logits):
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def naive_cross_entropy(logits, labels):
    right = scratch.softmax(logits)[np.arange(len(labels)), labels]
    return -np.log(right).mean(), scratch.cross_entropy(logits, labels)[1]


@pytest.mark.parametrize(
    ("name", "code", "words", "hint"),
    [
        ("softmax", naive_softmax, "wrong for logits of 1000: the result has nan", "subtract the maximum of each row"),
        (
            "sigmoid",
            lambda x: np.exp(x) / (1 + np.exp(x)),
            "wrong for inputs of ±1000: the result has nan",
            "overflows",
        ),
        (
            "cross_entropy",
            naive_cross_entropy,
            "sure and wrong: the loss is inf",
            "take the log of softmax by formula",
        ),
    ],
)
def test_n2_a_learners_overflow_is_told_with_its_remedy(name, code, words, hint):
    verdict = checks.check(name, code)
    assert verdict.status == "wrong"
    assert words in verdict.message
    assert hint in verdict.hint


def test_n2_softmax_of_one_row_alone():
    np.testing.assert_array_equal(scratch.softmax(np.array([1000, 0])), [1, 0])


# --- N3 ---------------------------------------------------------------------------------------------------------------


@TRAININGS
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_n3_input_that_is_not_finite_is_named_before_the_first_step(train, value):
    poisoned = with_nan(POINTS if train is learn_xor else IMAGES)
    poisoned[7, 0] = value
    with pytest.raises(DataError, match="contain values that are not finite in 2 rows, first at index 5"):
        train(poisoned)


def test_n3_validation_images_too():
    net = scratch.SoftmaxRegression(6, 3)
    with pytest.raises(DataError, match="validation images contain values that are not finite in 1 rows"):
        scratch.fit(net, (IMAGES, LABELS), (with_nan(IMAGES), LABELS), scratch.SGD(0.1), 1)


def test_n3_nan_is_nobodys_largest_logit():
    logits = np.array([[np.nan, 0.0], [2.0, 1.0], [0.0, np.nan]])
    assert scratch.accuracy(logits, np.array([0, 0, 1])) == pytest.approx(1 / 3)


# --- N4 ---------------------------------------------------------------------------------------------------------------


def test_n4_no_examples():
    for empty in (descend, fit):
        with pytest.raises(DataError, match=r"empty|at least one"):
            empty(np.zeros((0, 6)), np.zeros(0, int))
    for function in (scratch.accuracy, scratch.cross_entropy):
        with pytest.raises(DataError, match="the batch is empty"):
            function(np.zeros((0, 3)), np.zeros(0, int))
    with pytest.raises(DataError, match="0 batches: 5 examples, batch_size 8, drop_last=True"):
        Batches(torch.zeros(5, 2, 2, dtype=torch.uint8), torch.zeros(5).long(), 8, drop_last=True)


@pytest.mark.parametrize("size", [0, -4])
def test_n4_no_batch_size(size):
    with pytest.raises(DataError, match=f"batch_size must be at least 1, got {size}"):
        fit(batch_size=size)
    with pytest.raises(DataError, match=f"batch must be at least 1, got {size}"):
        learn_xor(batch=size)


# --- N5, N6 -----------------------------------------------------------------------------------------------------------


def test_n5_a_batch_of_one_with_batch_norm_says_what_to_do_before_training():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.BatchNorm1d(3))
    batches = Batches(torch.zeros(9, 2, 2, dtype=torch.uint8), torch.zeros(9).long(), 4)
    before = model[1].weight.detach().clone()
    with pytest.raises(DataError, match="a batch has 1 example, too few for BatchNorm: use drop_last=True or another"):
        loop.fit(model, batches, {}, torch.optim.SGD(model.parameters(), lr=0.1), 1)
    assert torch.equal(model[1].weight, before)


@pytest.mark.parametrize("wrong", [3, -1, -100])
@pytest.mark.parametrize("train", [descend, fit])
def test_n6_labels_out_of_range_are_found_by_hand(train, wrong):
    labels = LABELS.copy()
    labels[3] = wrong
    with pytest.raises(DataError, match=rf"labels must be 0\.\.2; found {wrong} at index \d"):
        train(labels=labels)


@pytest.mark.parametrize("wrong", [3, -1, -100])
def test_n6_labels_out_of_range_are_found_in_torch(wrong):
    labels = torch.tensor([0, 1, 2, wrong])
    model = models.MLP((4, 3))
    batches = Batches(torch.zeros(4, 2, 2, dtype=torch.uint8), labels, 2)
    with pytest.raises(DataError, match=rf"labels must be 0\.\.2; found {wrong} at index 3"):
        loop.fit(model, batches, {}, torch.optim.SGD(model.parameters(), lr=0.1), 1)


# --- N7 ---------------------------------------------------------------------------------------------------------------


@TRAININGS
def test_n7_raw_pixels_are_refused_by_hand(train):
    raw = (255 * (POINTS if train is learn_xor else IMAGES)).astype(np.uint8)
    with pytest.raises(DataError, match=r"must be floats \(pixels in \[0, 1\]: divide by 255\), got uint8"):
        train(raw)


@pytest.mark.parametrize("train", [descend, fit])
@pytest.mark.parametrize("shape", [(12, 2, 3), (12, 7)])
def test_n7_images_of_another_shape(train, shape):
    with pytest.raises(DataError, match=rf"images must have shape \(N, 6\), got \({shape[0]}, {shape[1]}"):
        train(np.zeros(shape))


@pytest.mark.parametrize("kind", [float, bool])
def test_n7_labels_that_are_no_integers(kind):
    with pytest.raises(DataError, match=f"labels must be 12 integers, got shape .* of {np.dtype(kind)}"):
        descend(labels=LABELS.astype(kind))


def test_n7_shapes_that_would_broadcast_in_silence():
    with pytest.raises(DataError, match=r"labels must be 3 integers, got shape \(3, 1\)"):
        scratch.accuracy(np.eye(3), np.arange(3)[:, None])
    with pytest.raises(DataError, match=r"labels must have shape \(\.\.\., 8, 1\) like the outputs, got \(8,\)"):
        learn_xor(targets=TARGETS[:, 0])
    with pytest.raises(DataError, match=r"logits must have shape \(batch, classes\), got \(3,\)"):
        scratch.cross_entropy(np.zeros(3), np.arange(3))


def test_n7_unsigned_integers_do_not_wrap_around():
    np.testing.assert_allclose(scratch.sigmoid(np.array([0, 1], np.uint8)), [0.5, 0.731], atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64])
def test_n7_torch_takes_images_as_they_are_stored(dtype):
    with pytest.raises(DataError, match="images must be uint8, one for each label; got torch"):
        Batches(torch.zeros(4, 2, 2, dtype=dtype), torch.zeros(4).long(), 2)
