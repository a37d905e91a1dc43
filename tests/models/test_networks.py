from collections import OrderedDict
from functools import partial
from itertools import pairwise
from math import log, sqrt

import pytest
import torch
from torch import nn

from coursekit import models
from coursekit.errors import UsageError

DIGIT, COLOUR = (1, 28, 28), (3, 32, 32)
# Parameters and multiply-adds of one image, counted by hand layer by layer.
COUNTS = {
    "MLP": (partial(models.MLP, (784, 128, 64, 10)), DIGIT, 109_386, 109_184),
    "MLP with dropout": (partial(models.MLP, (784, 128, 64, 10), dropout=0.5), DIGIT, 109_386, 109_184),
    "DeepMLP": (models.DeepMLP, DIGIT, 532_490, 530_944),
    "mlp1": (models.mlp1, COLOUR, 98_666, 98_624),
    "mlp2": (models.mlp2, COLOUR, 101_034, 100_992),
    "cnn3": (models.cnn3, COLOUR, 11_394, 2_860_768),
    "cnn4": (models.cnn4, COLOUR, 13_810, 3_547_328),
    "cnn5": (models.cnn5, COLOUR, 8_490, 2_845_280),
    "LeNet5": (models.LeNet5, COLOUR, 62_006, 651_720),
    "CNN_A": (models.SimpleCNN, COLOUR, 545_098, 6_128_896),
    "CNN_B": (models.cnn_b, COLOUR, 1_080_042, 16_091_648),
    "CNN_C": (models.cnn_c, COLOUR, 1_259_786, 58_393_856),
    "SimpleNN": (models.SimpleNN, COLOUR, 82_030, 716_328),
    "SimpleNN with BatchNorm": (partial(models.SimpleNN, batch_norm=True), COLOUR, 82_078, 716_328),
    "SimpleNN with Swish": (partial(models.SimpleNN, batch_norm=True, activation="swish"), COLOUR, 82_078, 716_328),
}
FIVE = (models.mlp1, models.mlp2, models.cnn3, models.cnn4, models.cnn5)


def kinds(model: nn.Module) -> list[str]:
    return [type(layer).__name__ for layer in model]


def images(shape, count=40) -> torch.Tensor:
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(99))  # not a seed that weights have


@pytest.mark.parametrize(("make", "shape", "parameters", "macs"), COUNTS.values(), ids=COUNTS)
def test_parameters_multiply_adds_and_output(make, shape, parameters, macs):
    model = make()
    table = models.layer_table(model, shape)
    assert models.parameter_count(model) == table.parameters.sum() == parameters
    assert table.MACs.sum() == macs
    assert model(images(shape, 2)).shape == (2, 10)


def test_parameter_count_leaves_frozen_ones_out():
    model = models.MLP((4, 3, 2))
    next(model.parameters()).requires_grad_(False)
    assert models.parameter_count(model) == 3 + 3 * 2 + 2


def test_layer_table_of_simple_nn():
    table = models.layer_table(models.SimpleNN(), COLOUR)
    assert table.to_records(index=False).tolist() == [
        ("Conv2d", "8×28×28", "8×3×5×5", 608, 8 * 75 * 28 * 28),
        ("Conv2d", "16×12×12", "16×8×3×3", 1168, 16 * 72 * 12 * 12),
        ("Linear", "120", "120×576", 69_240, 69_120),
        ("Linear", "84", "84×120", 10_164, 10_080),
        ("Linear", "10", "10×84", 850, 840),
    ]


def test_layer_table_shows_batch_norm_without_multiply_adds():
    table = models.layer_table(models.SimpleNN(batch_norm=True), COLOUR)
    norm = table[table.layer == "BatchNorm2d"]
    assert norm.output.tolist() == ["8×28×28", "16×12×12"]
    assert norm.parameters.tolist() == [16, 32]
    assert norm.MACs.tolist() == [0, 0]


@pytest.mark.parametrize("training", [True, False])
def test_layer_table_leaves_the_model_as_it_was(training):
    model = models.SimpleNN(batch_norm=True).train(training)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    models.layer_table(model, COLOUR)
    assert {module.training for module in model.modules()} == {training}
    assert not any(module._forward_hooks for module in model.modules())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_layer_table_takes_its_hooks_away_after_an_error():
    model = models.SimpleNN()
    with pytest.raises(RuntimeError):
        models.layer_table(model, (1, 5, 5))
    assert not any(module._forward_hooks for module in model.modules())
    assert model.training


@pytest.mark.parametrize(
    ("activation", "function"),
    [("relu", torch.relu), ("sigmoid", torch.sigmoid), ("tanh", torch.tanh), ("swish", lambda x: x * torch.sigmoid(x))],
)
def test_mlp_forward_written_out(activation, function):
    torch.manual_seed(0)
    model = models.MLP((12, 5, 4, 3), activation)
    x = torch.rand(7, 1, 3, 4)
    w1, b1, w2, b2, w3, b3 = model.parameters()
    hidden = function(function(x.flatten(1) @ w1.T + b1) @ w2.T + b2)
    torch.testing.assert_close(model(x), hidden @ w3.T + b3)


def test_mlp_of_two_sizes_is_linear():
    assert kinds(models.MLP((4, 2))) == ["Flatten", "Linear"]


def test_dropout_follows_every_activation_and_nothing_else():
    assert kinds(models.MLP((6, 5, 4, 3), dropout=0.25)) == [
        *["Flatten", "Linear", "ReLU", "Dropout", "Linear", "ReLU", "Dropout", "Linear"]
    ]
    assert {layer.p for layer in models.MLP((6, 5, 4, 3), dropout=0.25) if isinstance(layer, nn.Dropout)} == {0.25}


@pytest.mark.parametrize(
    ("arguments", "message"), [(((4, 3, 2), "swish!"), "'swish!'; choose relu"), (((4,),), "at least two")]
)
def test_mlp_refuses_what_it_does_not_know(arguments, message):
    with pytest.raises(UsageError, match=message):
        models.MLP(*arguments)


def test_deep_mlp_has_six_hidden_layers_of_256():
    assert [layer.out_features for layer in models.DeepMLP() if isinstance(layer, nn.Linear)] == [256] * 6 + [10]
    assert kinds(models.DeepMLP("sigmoid")).count("Sigmoid") == 6


def test_mlp2_has_neither_bias_nor_activation_at_the_64():
    model = models.mlp2()
    assert kinds(model) == ["Flatten", "Linear", "ReLU", "Linear", "Linear"]
    assert [layer.bias is not None for layer in model if isinstance(layer, nn.Linear)] == [True, False, True]


def test_mlp2_folds_into_mlp1():
    torch.manual_seed(0)
    model, folded = models.mlp2(), models.mlp1()
    with torch.no_grad():
        folded[1].load_state_dict(model[1].state_dict())
        folded[3].weight.copy_(model[4].weight @ model[3].weight)
        folded[3].bias.copy_(model[4].bias)
    torch.testing.assert_close(folded(images(COLOUR)), model(images(COLOUR)))


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (models.cnn3, "Conv2d ReLU Conv2d ReLU MaxPool2d Conv2d MaxPool2d Flatten Linear"),
        (models.cnn4, "Conv2d ReLU Conv2d ReLU Conv2d ReLU MaxPool2d Conv2d ReLU MaxPool2d Flatten Linear"),
        (models.cnn5, f"{'Conv2d ReLU ' * 4}MaxPool2d {'Conv2d ReLU ' * 2}MaxPool2d Flatten Linear"),
        (models.SimpleNN, f"{'Conv2d ReLU MaxPool2d ' * 2}Flatten Linear ReLU Linear ReLU Linear"),
        (models.LeNet5, f"{'Conv2d ReLU MaxPool2d ' * 2}Flatten Linear ReLU Linear ReLU Linear"),
    ],
)
def test_order_of_layers(make, expected):
    assert kinds(make()) == expected.split()
    assert kinds(make(activation="sigmoid")) == expected.replace("ReLU", "Sigmoid").split()


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (models.SimpleCNN, f"{'Conv2d ReLU MaxPool2d ' * 2}Flatten Linear ReLU Linear"),
        (models.cnn_b, "Conv2d ReLU Conv2d ReLU MaxPool2d Conv2d ReLU MaxPool2d Flatten Linear ReLU Linear"),
        (models.cnn_c, f"{'Conv2d ReLU AvgPool2d ' * 2}Flatten Linear ReLU Linear"),
        (partial(models.cnn_c, nn.MaxPool2d), f"{'Conv2d ReLU MaxPool2d ' * 2}Flatten Linear ReLU Linear"),
    ],
)
def test_order_of_layers_in_the_comparison(make, expected):
    assert kinds(make()) == expected.split()


def test_kernels_of_the_five_nets():
    sizes = {make.__name__: [m.kernel_size[0] for m in make() if isinstance(m, nn.Conv2d)] for make in FIVE}
    assert sizes == {"mlp1": [], "mlp2": [], "cnn3": [3, 5, 7], "cnn4": [3, 3, 5, 5], "cnn5": [3] * 6}


def test_batch_norm_stands_between_convolution_and_activation():
    one = ["Conv2d", "BatchNorm2d", "SiLU", "MaxPool2d"]
    assert kinds(models.SimpleNN(batch_norm=True, activation="swish"))[:8] == one * 2


@pytest.mark.parametrize("make", [*FIVE, models.DeepMLP, models.SimpleNN, models.LeNet5])
def test_a_sigmoid_twin_starts_from_the_same_weights(make):
    states = []
    for activation in ("relu", "sigmoid"):
        torch.manual_seed(4)
        states.append(make(activation=activation).state_dict())
    assert list(states[0]) == list(states[1])
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize(("make", "shape"), [row[:2] for row in COUNTS.values()], ids=COUNTS)
def test_initial_loss_of_a_plain_net_is_near_ln_10(make, shape):
    x = images(shape) if shape == DIGIT else (images(shape) - 0.5) * sqrt(12)  # as they are trained on
    losses = []
    for seed in range(3):
        torch.manual_seed(seed)
        losses.append(models.initial_loss(make().eval(), x, torch.arange(len(x)) % 10))
    assert sum(losses) / 3 == pytest.approx(log(10), abs=0.05)


def test_initial_loss_is_the_mean_cross_entropy():
    model = models.MLP((4, 3))
    x, labels = torch.rand(5, 1, 2, 2), torch.tensor([0, 1, 2, 1, 0])
    by_hand = -sum(torch.log_softmax(model(x[i : i + 1]), 1)[0, labels[i]] for i in range(5)) / 5
    assert models.initial_loss(model, x, labels) == pytest.approx(by_hand.item(), rel=1e-6)


# fan_in, fan_out of a layer with enough weights that their standard deviation is known to 2 %.
LAYERS = {
    "linear": (lambda: nn.Linear(300, 100), 300, 100),
    "convolution": (lambda: nn.Conv2d(24, 60, 3), 24 * 9, 60 * 9),
}
STD = {
    "he": lambda fan_in, fan_out: sqrt(2 / fan_in),
    "xavier": lambda fan_in, fan_out: sqrt(2 / (fan_in + fan_out)),
    "default": lambda fan_in, fan_out: 1 / sqrt(3 * fan_in),
}


@pytest.mark.parametrize("scheme", STD)
@pytest.mark.parametrize(("make", "fan_in", "fan_out"), LAYERS.values(), ids=LAYERS)
def test_standard_deviation_of_each_scheme(make, fan_in, fan_out, scheme):
    torch.manual_seed(0)
    layer = models.initialize(nn.Sequential(make()), scheme)[0]
    weight = layer.weight.detach()
    assert float(weight.std()) == pytest.approx(STD[scheme](fan_in, fan_out), rel=0.03)
    assert abs(float(weight.mean())) < 0.03 * float(weight.std())
    beyond = float((weight.abs() > 2 * weight.std()).double().mean())  # 0 if uniform
    assert beyond == pytest.approx(0 if scheme == "default" else 0.0455, abs=0.01)
    assert bool((layer.bias == 0).all()) == (scheme != "default")


def test_initialize_draws_every_layer_but_not_batch_norm():
    torch.manual_seed(0)
    model = models.SimpleNN(batch_norm=True)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert models.initialize(model, "he") is model
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    layers = [f"{i}" for i, layer in enumerate(model) if isinstance(layer, nn.Linear | nn.Conv2d)]
    assert changed == {f"{i}.{kind}" for i in layers for kind in ("weight", "bias")}


def test_initialize_takes_layers_without_bias_and_leaves_default_alone():
    models.initialize(models.mlp2(), "xavier")
    torch.manual_seed(0)
    expected = models.mlp1().state_dict()
    torch.manual_seed(0)
    found = models.initialize(models.mlp1(), "default").state_dict()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_initialize_refuses_an_unknown_scheme():
    with pytest.raises(UsageError, match="no initialisation 'kaiming'; choose default, he, xavier"):
        models.initialize(models.mlp1(), "kaiming")


@pytest.mark.parametrize("build", [models.LeNet5, models.cnn4, partial(models.SimpleNN, True), models.SimpleCNN])
@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
def test_pooling_first_is_the_same_function_with_the_same_gradients(build, activation):
    torch.manual_seed(0)
    model = build() if build is models.SimpleCNN else build(activation=activation)
    turned = models.pooling_first(model)
    kinds = [type(layer) for layer in turned]
    assert not any(a in models.RISING and b is nn.MaxPool2d for a, b in pairwise(kinds))
    assert list(turned.state_dict()) == list(model.state_dict())
    images, gradients = torch.randn(4, 3, 32, 32), []
    for net in (model, turned):
        net.zero_grad()
        logits = net(images)
        logits.pow(2).sum().backward()
        gradients.append([logits, *(parameter.grad for parameter in model.parameters())])
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_pooling_first_keeps_the_names_of_layers():
    layers = {"conv": nn.Conv2d(3, 4, 3), "relu": nn.ReLU(), "pool": nn.MaxPool2d(2), "flat": nn.Flatten()}
    net = nn.Sequential(OrderedDict(layers))
    swapped = models.pooling_first(net)
    assert swapped.state_dict().keys() == net.state_dict().keys()
    assert [type(layer) for layer in swapped] == [nn.Conv2d, nn.MaxPool2d, nn.ReLU, nn.Flatten]


def test_pooling_first_leaves_a_forward_of_its_own_alone():
    class Doubled(nn.Sequential):
        def forward(self, x):
            return 2 * super().forward(x)

    net = Doubled(nn.ReLU(), nn.MaxPool2d(2))
    assert models.pooling_first(net) is net


def test_pooling_first_leaves_other_networks_alone():
    swish, residual = models.LeNet5("swish"), models.resnet20()
    assert [str(layer) for layer in models.pooling_first(swish)] == [str(layer) for layer in swish]
    assert models.pooling_first(residual) is residual


@pytest.mark.parametrize("sizes", [(784, 0, 10), (784, -5, 10), (784, 2.5, 10), (784, "10"), (784,), ()])
def test_sizes_that_make_no_layer_are_one_line(sizes):
    with pytest.raises(UsageError, match=r"^MLP takes at least two sizes, whole numbers > 0, got \("):
        models.MLP(sizes)


@pytest.mark.parametrize("dropout", [-0.1, 1, float("nan")])
def test_a_dropout_that_is_no_probability_is_one_line(dropout):
    with pytest.raises(UsageError, match=r"^invalid dropout "):
        models.MLP((4, 3, 2), dropout=dropout)
