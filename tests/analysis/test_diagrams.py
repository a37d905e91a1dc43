"""The numbers in drawings against the modules and autograd; words neither overlap nor leave the page."""

from functools import partial
from itertools import combinations, pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn, optim
from torch.nn import functional

from coursekit import diagrams, models, scratch
from coursekit.analysis import plots
from coursekit.analysis.diagrams import canvas, descent, graph, layers
from coursekit.analysis.diagrams.steps import steps
from coursekit.errors import UsageError

COLOR, DIGIT, MAPS = (3, 32, 32), (1, 28, 28), (16, 32, 32)
NETWORKS = {
    "LeNet5": (models.LeNet5, COLOR),
    "LeNet5, Swish": (partial(models.LeNet5, "swish"), COLOR),
    "SimpleNN": (models.SimpleNN, COLOR),
    "SimpleNN, BN": (partial(models.SimpleNN, True), COLOR),
    "mlp1": (models.mlp1, COLOR),
    "mlp2": (partial(models.mlp2, "sigmoid"), COLOR),
    "cnn3": (models.cnn3, COLOR),
    "cnn4": (models.cnn4, COLOR),
    "cnn5": (partial(models.cnn5, "sigmoid"), COLOR),
    "CNN_A": (models.SimpleCNN, COLOR),
    "CNN_B": (models.cnn_b, COLOR),
    "CNN_C": (models.cnn_c, COLOR),
    "MLP": (partial(models.MLP, (784, 128, 64, 10)), DIGIT),
    "MLP, dropout": (partial(models.MLP, (784, 512, 512, 10), dropout=0.25), DIGIT),
    "MLP 2-4-1": (partial(models.MLP, (2, 4, 1), "tanh"), (2,)),
    "DeepMLP": (partial(models.DeepMLP, "sigmoid"), DIGIT),
    "BasicBlock": (partial(models.BasicBlock, 16, 16), MAPS),
    "BasicBlock, projection": (partial(models.BasicBlock, 16, 32, 2), MAPS),
    "BasicBlock, zero padding": (partial(models.BasicBlock, 16, 32, 2, "zero-padding"), MAPS),
    "BasicBlock, plain": (partial(models.BasicBlock, 16, 32, 2, "none"), MAPS),
    "ResNet-20": (models.resnet20, COLOR),
    "ResNet-20, zero padding": (partial(models.resnet20, "zero-padding"), COLOR),
    "plain-20": (partial(models.resnet20, "none"), COLOR),
}
OTHERS = {
    "blocks": diagrams.draw_blocks,
    "blocks, projection": partial(diagrams.draw_blocks, 16, 32, 2),
    "pair": lambda: diagrams.draw_pair({"mlp2": models.mlp2(), "cnn5": models.cnn5()}, (3, 32, 32)),
    "softmax, first": diagrams.softmax_graph,
    "softmax, middle": partial(diagrams.softmax_graph, (1.0, 3.0, -1.0), 1),
    "softmax, last": partial(diagrams.softmax_graph, (1.0, 3.0, -1.0), 2),
    "window": partial(diagrams.sliding_window, np.arange(9).reshape(3, 3), np.arange(4).reshape(2, 2)),
    "window, padded": partial(diagrams.sliding_window, np.eye(4), -np.ones((3, 3)), (1, 0), 2, 1),
    "field of LeNet5": lambda: diagrams.receptive_field(models.LeNet5()),
    "field of two": lambda: diagrams.receptive_field([nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 3)]),
    "pooling": partial(diagrams.max_pooling, np.arange(16).reshape(4, 4) * 7 % 16),
    "batch norm": diagrams.batch_norm_axes,
    "dropout": diagrams.dropout_masks,
    "penalties": diagrams.penalty_balls,
    "optimizers": diagrams.optimizer_paths,
}


def words_of(fig):
    """Every text that is drawn, also the labels of ticks within the limits of their axis."""
    texts = list(fig.texts)
    for ax in fig.axes:
        texts += ax.texts
        texts += ax.get_legend().get_texts() if ax.get_legend() else []
        for axis in (ax.xaxis, ax.yaxis) if ax.axison else ():
            low, high = sorted(axis.get_view_interval())
            texts += [ax.title, axis.label, *(t.label1 for t in axis.get_major_ticks() if low <= t.get_loc() <= high)]
    return [text for text in dict.fromkeys(texts) if text.get_visible() and text.get_text().strip()]


def assert_legible(fig):
    if fig.get_layout_engine():
        fig.draw_without_rendering()
    boxes = {text: text.get_window_extent() for text in words_of(fig)}
    for text, box in boxes.items():
        assert min(box.x0, box.y0) >= -0.5, text
        assert box.x1 <= fig.bbox.x1 + 0.5, text
        assert box.y1 <= fig.bbox.y1 + 0.5, text
        assert text.get_fontsize() >= 8, text
    assert not [(a, b) for a, b in combinations(boxes, 2) if boxes[a].overlaps(boxes[b])]
    assert fig.get_figwidth() <= canvas.FULL + 0.01


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_drawn_with_its_own_shapes_and_parameters(name):
    build, shape = NETWORKS[name]
    model = build()
    fig, found = diagrams.draw_network(model, shape), steps(model, shape)
    assert_legible(fig)
    words = [text.get_text() for text in words_of(fig)]
    for step in found[1:]:
        assert not step.parameters or f"{step.parameters:,}" in words
        assert {step.size, f"{step.shape[0]:,}"} & set(words)
    total = models.parameter_count(model)
    assert sum(step.parameters + step.shortcut[1] for step in found) == total
    kinds = {step.kind for step in found}
    assert kinds == {"input", "linear"} or f"{total:,}" in words
    if "convolution" in kinds and not kinds & {"block", "join"}:
        table = models.layer_table(model, shape).query("layer != 'BatchNorm2d'")
        drawn = [str(step.shape[0]) for step in found if step.parameters]
        assert drawn == [size.split("×")[0] for size in table["output"]]


@pytest.mark.parametrize("name", OTHERS)
def test_words_of_a_drawing_neither_overlap_nor_leave_the_page(name):
    assert_legible(OTHERS[name]())


def test_the_theme_of_the_notebooks_does_not_change_a_drawing():
    with plt.rc_context():
        plots.set_theme()
        for draw in (diagrams.optimizer_paths, diagrams.penalty_balls, diagrams.batch_norm_axes):
            assert_legible(draw())


def test_parameters_of_layers_are_those_of_the_layer_table():
    table = models.layer_table(models.SimpleNN(batch_norm=True), COLOR)["parameters"].tolist()
    drawn = [step.parameters for step in steps(models.SimpleNN(batch_norm=True), COLOR)]
    assert drawn == [0, table[0] + table[1], table[2] + table[3], *table[4:]]


def test_layers_share_the_box_of_the_one_before_them():
    words = [", ".join(step.words) for step in steps(models.SimpleNN(batch_norm=True), COLOR)]
    assert words[1] == "conv 5×5, batch norm, ReLU, max pool 2"
    assert words[3:] == ["flatten, linear, ReLU", "linear, ReLU", "linear"]


@pytest.mark.parametrize(
    ("arguments", "shortcut"),
    [
        ((16, 16), (["identity"], 0)),
        ((16, 32, 2), (["conv 1×1, stride 2", "batch norm"], 16 * 32 + 64)),
        ((16, 32, 2, "zero-padding"), (["zero padding"], 0)),
    ],
)
def test_a_shortcut_runs_from_the_input_to_the_plus(arguments, shortcut):
    found = steps(models.BasicBlock(*arguments), MAPS)
    assert [step.kind for step in found] == ["input", "convolution", "convolution", "join", "activation"]
    assert (found[3].source, found[3].shortcut) == (0, shortcut)
    assert not any(step.kind == "join" for step in steps(models.BasicBlock(16, 16, shortcut="none"), MAPS))


def test_a_network_of_a_learner_may_use_functions():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.out = nn.Conv2d(1, 4, 3), nn.Linear(4 * 13 * 13, 10)

        def forward(self, x):
            x = functional.max_pool2d(functional.relu(self.conv(x)), 2)
            return self.out(x.view(x.size(0), -1))

    found = steps(Net(), DIGIT)
    assert [step.words for step in found] == [["input"], ["conv 3×3", "ReLU", "max pool2d"], ["flatten", "linear"]]
    assert found[1].shape == (4, 13, 13)
    assert_legible(diagrams.draw_network(Net(), DIGIT))


def test_a_network_that_cannot_be_drawn_is_refused_in_one_line():
    with pytest.raises(UsageError, match=r"cannot draw LeNet5 for inputs of shape \(1, 28, 28\): .*channels"):
        diagrams.draw_network(models.LeNet5(), DIGIT)

    class Net(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(UsageError, match="cannot draw Net for inputs of shape"):
        diagrams.draw_network(Net(), DIGIT)


def test_drawing_leaves_the_network_as_it_was():
    model = models.SimpleNN(batch_norm=True)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    diagrams.draw_network(model, COLOR)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@given(
    st.lists(
        st.tuples(st.sampled_from([nn.Conv2d, nn.AvgPool2d]), st.integers(1, 4), st.integers(1, 2)),
        min_size=1,
        max_size=4,
    )
)
@settings(max_examples=25)
def test_the_receptive_field_is_where_autograd_finds_a_gradient(plan):
    made = [
        nn.Conv2d(1, 1, kernel, stride, bias=False) if kind is nn.Conv2d else nn.AvgPool2d(kernel, stride)
        for kind, kernel, stride in plan
        if kind is nn.Conv2d or kernel >= stride
    ]
    made = [layer for layer in made if max(np.ravel(layer.kernel_size)) >= max(np.ravel(layer.stride))]
    for layer in made:
        for weight in layer.parameters():
            nn.init.ones_(weight)
    field = diagrams.receptive_fields(made)[-1]
    images = torch.zeros(1, 1, field.size + 3, field.size + 3, requires_grad=True)
    nn.Sequential(*made)(images)[0, 0, 0, 0].backward()
    rows, columns = np.nonzero(images.grad[0, 0].numpy())
    assert (rows.max() + 1, columns.max() + 1) == (field.size, field.size)
    assert len(rows) == field.size**2


def test_one_step_to_the_next_unit_moves_the_field_by_its_step():
    layers_ = [nn.Conv2d(1, 1, 5), nn.MaxPool2d(2), nn.Conv2d(1, 1, 5), nn.MaxPool2d(2)]
    assert [(field.size, field.step) for field in diagrams.receptive_fields(layers_)] == [
        (1, 1),
        (5, 1),
        (6, 2),
        (14, 2),
        (16, 4),
    ]


def test_derivatives_in_the_graph_are_those_of_cross_entropy():
    logits, label = (0.3, -1.2, 2.0, 0.1), 2
    nodes = graph.softmax_nodes(4, label)
    values, gradients, local = graph.differentiate(nodes, **{f"z{n}": logit for n, logit in enumerate(logits)})
    loss, expected = scratch.cross_entropy(np.array([logits]), np.array([label]))
    assert values["L"] == pytest.approx(loss)
    assert [gradients[f"z{n}"] for n in range(4)] == pytest.approx(expected[0].tolist())
    for name, node in nodes.items():
        after = [local[name, other] * gradients[other] for other in nodes if (name, other) in local]
        assert gradients[name] == pytest.approx(sum(after) if after else 1), node.symbol


def test_the_graph_shows_the_derivatives():
    logits = torch.tensor([2.0, 1.0, 0.1], requires_grad=True)
    functional.cross_entropy(logits, torch.tensor(0)).backward()
    words = [text.get_text() for text in words_of(diagrams.softmax_graph((2.0, 1.0, 0.1), 0))]
    for gradient in logits.grad.tolist():
        assert f"{gradient:.3g}".replace("-", "−") in words


def test_a_label_without_a_logit_is_refused():
    with pytest.raises(UsageError, match="invalid label 3; expected 0 to 2"):
        diagrams.softmax_graph(label=3)


def test_the_window_gives_the_cell_of_the_output():
    image, kernel = np.arange(16.0).reshape(4, 4), np.array([[1.0, 0], [-2, 1]])
    words = [text.get_text() for text in words_of(diagrams.sliding_window(image, kernel, (1, 2)))]
    expected = scratch.conv2d(image[None, None], kernel[None, None])[0, 0, 1, 2]
    assert words[-1] == f"6·1 + 7·0 + 10·(−2) + 11·1 = {expected:g}".replace("-", "−")
    with pytest.raises(UsageError, match="invalid position"):
        diagrams.sliding_window(image, kernel, (3, 0))


def test_the_gradient_of_max_pooling_is_shown_where_it_goes():
    image, d_output = np.arange(16.0).reshape(4, 4) * 7 % 16, np.array([[1.0, 2], [3, 4]])
    ax = diagrams.max_pooling(image, d_output=d_output).axes[0]
    words = [text.get_text() for text in ax.texts]
    expected = scratch.max_pool2d_backward(d_output[None, None], image[None, None])[0, 0]
    assert words[-17:-1] == [f"{number:g}" for number in expected.ravel()]


def test_the_running_mean_moves_by_its_momentum():
    means, running = layers.running_means(batch=4, steps=6, momentum=0.2, seed=1)
    for mean, (before, after) in zip(means, pairwise(running), strict=True):
        assert after == pytest.approx(0.8 * before + 0.2 * mean, abs=1e-6)


def test_masks_keep_or_drop_and_divide_by_what_is_kept():
    hidden = np.array([1.0, 2.0, 3.0, 4.0])
    kept = np.array(layers.masked(hidden.tolist(), 0.75, 20, seed=0)) / hidden
    assert set(np.unique(kept).tolist()) == {0.0, 4.0}
    state = torch.get_rng_state()
    diagrams.dropout_masks()
    assert torch.equal(torch.get_rng_state(), state)


def test_the_lowest_loss_in_the_l1_ball_is_at_its_corner():
    fig = diagrams.penalty_balls()
    first, second = (ax.lines[1].get_xydata()[0] for ax in fig.axes)
    assert first.tolist() == [1, 0]
    assert min(abs(second)) > 0.1


@pytest.mark.parametrize("norm", [1, 2])
def test_no_point_of_the_ball_has_a_lower_loss(norm):
    minimum, hessian = np.array([1.2, 1.4]), np.array([[1.0, 0.3], [0.3, 2.0]])
    best = descent.constrained_minimum(minimum, hessian, 1.0, norm)
    assert np.linalg.norm(best, norm) == pytest.approx(1)
    angles = np.linspace(0, 2 * np.pi, 2001)
    border = np.column_stack([np.cos(angles), np.sin(angles)])
    border /= np.linalg.norm(border, norm, axis=1, keepdims=True)
    losses = [0.5 * (w - minimum) @ hessian @ (w - minimum) for w in (*border, best)]
    assert losses[-1] <= min(losses[:-1]) + 1e-12


def test_the_path_of_gradient_descent_is_the_formulas():
    path = descent.descend(partial(optim.SGD, lr=0.1), 5, 4.0, (1.0, -1.0))
    steps_ = np.arange(6)[:, None]
    assert path == pytest.approx(np.array([1.0, -1.0]) * np.array([0.9, 0.6]) ** steps_)


def test_an_optimizer_that_diverges_is_drawn_and_said_so():
    fig = diagrams.optimizer_paths({"SGD": partial(optim.SGD, lr=0.11)}, steps=2000)
    assert fig.axes[0].get_title() == "SGD: diverges"
    assert_legible(fig)


def test_a_drawing_takes_other_optimizers():
    fig = diagrams.optimizer_paths({"mine": partial(optim.Adagrad, lr=0.5)}, steps=5)
    assert len(fig.axes) == 1
    assert len(fig.axes[0].lines[0].get_xdata()) == 6


def test_a_pair_has_titles_shapes_and_parameters_of_both():
    pair = {"LeNet5": models.LeNet5(), "SimpleNN": models.SimpleNN()}
    words = [text.get_text() for text in words_of(diagrams.draw_pair(pair, (3, 32, 32)))]
    assert {"LeNet5", "SimpleNN", "62,006", "82,030"} <= set(words)
    assert words.count("120") == 2
