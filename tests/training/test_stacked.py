"""Runs trained together are the runs trained one by one."""

import copy
from functools import partial

import pytest
import torch
from torch import nn

from coursekit import models
from coursekit.data.batches import Batches
from coursekit.errors import UsageError
from coursekit.training import checkpoint, loop, penalties, stacked

RUNS, STEPS = 3, 4
NETS = {
    "MLP": (partial(models.MLP, (784, 16, 8, 10)), (28, 28)),
    "MLP, tanh": (partial(models.MLP, (784, 16, 10), "tanh"), (28, 28)),
    "mlp2": (models.mlp2, (32, 32, 3)),
    "SimpleNN": (models.SimpleNN, (32, 32, 3)),
    "SimpleNN, BN": (partial(models.SimpleNN, True), (32, 32, 3)),
    "SimpleNN, BN, swish": (partial(models.SimpleNN, True, "swish"), (32, 32, 3)),
    "LeNet5": (models.LeNet5, (32, 32, 3)),
    "cnn4": (models.cnn4, (32, 32, 3)),
    "SimpleCNN": (models.SimpleCNN, (32, 32, 3)),
}
SGD, ADAM = torch.optim.SGD, torch.optim.Adam
OPTIMIZERS = {
    "SGD": [partial(SGD, lr=lr) for lr in (0.1, 0.03, 0.01)],
    "momentum": [partial(SGD, lr=0.02, momentum=m) for m in (0, 0.5, 0.9)],
    "weight decay": [partial(SGD, lr=lr, momentum=0.9, weight_decay=wd) for lr, wd in ((0.01, 0), (0.02, 0.1), (0, 1))],
    "Adam": [partial(ADAM, lr=lr, weight_decay=wd) for lr, wd in ((1e-3, 0), (3e-3, 0.1), (1e-2, 0))],
    "fused Adam": [partial(ADAM, lr=lr, fused=True) for lr in (1e-3, 3e-3, 1e-2)],
    "each another": [
        partial(SGD, lr=0.1),
        partial(ADAM, lr=1e-3),
        partial(penalties.ProximalSGD, lr=0.01, strength=0.1),
    ],
}


def batches(shape: tuple[int, ...], double: bool = True) -> Batches:
    generator = torch.Generator().manual_seed(5)
    images = torch.randint(0, 256, (8 * STEPS - 3, *shape), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, 10, (len(images),), generator=generator)
    return Batches(images, labels, 8, shuffle=True, augment=to_double if double else None)


def to_double(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """In float32, Adam and BatchNorm make steps of rounding noise around gradients of 0."""
    return images.double()


def networks(make, same: bool = False, double: bool = True) -> list[nn.Module]:
    found = []
    for run in range(RUNS):
        torch.manual_seed(0 if same else run)
        found.append(make().double() if double else make())
    return found


def assert_close(together: nn.Module, alone: nn.Module) -> None:
    state = alone.state_dict()
    assert list(together.state_dict()) == list(state)
    for name, value in together.state_dict().items():
        assert value.dtype == state[name].dtype
        torch.testing.assert_close(value, state[name], rtol=1e-7, atol=1e-7, msg=lambda text, name=name: name + text)


def compare(make, shape, optimizers, schedule=None) -> None:
    alone = networks(make)
    together = copy.deepcopy(alone)
    train = batches(shape)
    stack = stacked.stack(together)
    ours = [optimizer(model.parameters()) for optimizer, model in zip(optimizers, together, strict=True)]
    theirs = [optimizer(model.parameters()) for optimizer, model in zip(optimizers, alone, strict=True)]
    for epoch in range(2):
        if schedule:
            for own, other in zip(ours, theirs, strict=True):
                own.param_groups[0]["lr"] *= schedule(epoch)
                other.param_groups[0]["lr"] *= schedule(epoch)
        totals = stacked.train_one_epoch(stack, train.of_epoch(epoch), ours)
        expected = [loop.train_one_epoch(m, train.of_epoch(epoch), o) for m, o in zip(alone, theirs, strict=True)]
        torch.testing.assert_close(totals, torch.stack(expected), rtol=1e-7, atol=1e-9)
    together[1].eval()
    for left, right, evaluated in zip(together, alone, stacked.evaluate(stack, train), strict=True):
        assert_close(left, right)
        assert loop.evaluate(left, train) == pytest.approx(loop.evaluate(right, train), rel=1e-7)
        assert evaluated == pytest.approx(loop.evaluate(right, train), rel=1e-7)
        assert evaluated[1] in [n / len(train.labels) for n in range(len(train.labels) + 1)]  # not rounded to float32
    assert [model.training for model in together] == [True, False, True], "evaluating left another mode behind"
    with torch.no_grad():
        images, _ = next(train.of_epoch(0))
        for model in together:
            model.eval()
        torch.testing.assert_close(stack(images), torch.stack([model(images) for model in together]))


@pytest.mark.parametrize("net", NETS)
def test_every_network_trains_as_it_does_alone(net):
    compare(*NETS[net], OPTIMIZERS["weight decay"])


def small(*layers: nn.Module) -> nn.Sequential:
    """For images of 8×8: the layers given between a convolution of four channels and the logits."""
    body = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), *layers, nn.Flatten())
    features = body(torch.zeros(2, 3, 8, 8)).shape[1]
    for norm in (layer for layer in body if isinstance(layer, nn.BatchNorm2d)):
        norm.reset_running_stats()
    return nn.Sequential(*body, nn.Linear(features, 10))


SETTINGS = {
    "momentum": lambda: small(nn.BatchNorm2d(4, momentum=0.4)),
    "eps": lambda: small(nn.BatchNorm2d(4, eps=0.3)),
    "no scale and no shift": lambda: small(nn.BatchNorm2d(4, affine=False)),
    "stride": lambda: small(nn.Conv2d(4, 6, 3, stride=2)),
    "padding": lambda: small(nn.Conv2d(4, 6, 3, padding=(0, 2))),
    "same": lambda: small(nn.Conv2d(4, 6, 3, padding="same")),
    "dilation": lambda: small(nn.Conv2d(4, 6, 2, dilation=3)),
    "max-pooling with overlap": lambda: small(nn.MaxPool2d(3, 1)),
    "average of a part": lambda: small(nn.AvgPool2d(4, ceil_mode=True, count_include_pad=False, padding=1)),
    "no bias": lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 8, bias=False), nn.Tanh(), nn.Linear(8, 10)),
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_setting_of_a_layer_is_kept(setting):
    compare(SETTINGS[setting], (8, 8, 3), OPTIMIZERS["momentum"])


def test_every_network_keeps_statistics_of_its_own():
    nets = networks(lambda: small(nn.BatchNorm2d(4)))
    for run, net in enumerate(nets):
        net[1].running_mean.fill_(run)
        net[1].running_var.fill_(1 + run)
        net[1].num_batches_tracked.fill_(10 * run)
    alone = copy.deepcopy(nets)
    stack = stacked.stack(nets)
    images, _ = next(batches((8, 8, 3)).of_epoch(0))
    with torch.no_grad():
        for net in (*nets, *alone):
            net.eval()
        torch.testing.assert_close(stack(images), torch.stack([net(images) for net in alone]))
        for net in (*nets, *alone):
            net.train()
        stack(images)
        for net, expected in zip(nets, alone, strict=True):
            expected(images)
            assert_close(net, expected)
    assert [int(net[1].num_batches_tracked) for net in nets] == [1, 11, 21]


@pytest.mark.parametrize(("smoothing", "strengths"), [(0.0, [0, 0, 0]), (0.2, [0, 0, 0]), (0.0, [0.1, 0, 0.3])])
def test_fit_trains_as_the_loop_for_one_does(smoothing, strengths):
    nets = networks(SETTINGS["momentum"])
    alone = copy.deepcopy(nets)
    train, evaluations = batches((8, 8, 3)), {"val": batches((8, 8, 3))}
    pulls = [partial(penalties.l1, strength=strength) if strength else None for strength in strengths]
    schedule = dict(schedule=lambda step: 1 / (1 + step), schedule_by="step")

    def optimizer(model):
        return SGD(model.parameters(), lr=0.05, momentum=0.5)

    stack = stacked.stack(nets)
    journals = [loop.Journal(net, train, evaluations, optimizer(net), **schedule) for net in nets]
    assert stacked.fit(stack, journals, 2, pulls, smoothing) == [None] * RUNS
    for net, journal, expected, penalty in zip(nets, journals, alone, pulls, strict=True):
        options = dict(penalty=penalty, label_smoothing=smoothing, **schedule)
        progress = loop.fit(expected, train, evaluations, optimizer(expected), 2, **options)
        assert_close(net, expected)
        for row, other in zip(journal.progress.history, progress.history, strict=True):
            assert {**row, "seconds": 0} == pytest.approx({**other, "seconds": 0}, rel=1e-7)


@pytest.mark.parametrize("net", ["MLP", "cnn4"])
def test_in_float32_the_steps_are_equal_up_to_rounding(net):
    make, shape = NETS[net]
    together, alone = networks(make, double=False), networks(make, double=False)
    optimizers = [SGD(model.parameters(), lr=0.05) for model in together]
    stacked.train_one_epoch(stacked.stack(together), batches(shape, double=False).of_epoch(0), optimizers)
    for model, expected in zip(together, alone, strict=True):
        loop.train_one_epoch(expected, batches(shape, double=False).of_epoch(0), SGD(expected.parameters(), lr=0.05))
        for left, right in zip(model.parameters(), expected.parameters(), strict=True):
            torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name != "each another"])
def test_every_optimizer_makes_the_same_steps(name):
    compare(*NETS["SimpleNN, BN"], OPTIMIZERS[name])


def test_runs_may_differ_in_their_optimizers_and_follow_a_schedule():
    compare(*NETS["MLP"], OPTIMIZERS["each another"], schedule=lambda epoch: 0.5**epoch)


def test_losses_are_those_of_the_runs():
    make, shape = NETS["LeNet5"]
    together = networks(make)
    alone = copy.deepcopy(together)
    images, labels = next(iter(batches(shape)))
    stack = stacked.stack(together)
    none = [SGD(model.parameters(), lr=0.0) for model in together]
    logits, losses = stacked.train_step(stack, images, labels, none, label_smoothing=0.1)
    for run, model in enumerate(alone):
        expected = loop.train_step(model, images, labels, SGD(model.parameters(), lr=0.0), label_smoothing=0.1)
        torch.testing.assert_close(logits[run], expected[0], rtol=1e-7, atol=1e-9)
        torch.testing.assert_close(losses[run], expected[1])
        for left, right in zip(together[run].parameters(), model.parameters(), strict=True):
            torch.testing.assert_close(left.grad, right.grad, rtol=1e-7, atol=1e-9)


def test_bfloat16_by_autocast_stays_near():
    make, shape = NETS["SimpleNN, BN"]
    stack = stacked.stack(networks(make, double=False))
    optimizers = [SGD(model.parameters(), lr=0.01) for model in stack.models]
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        totals = stacked.train_one_epoch(stack, batches(shape, double=False).of_epoch(0), optimizers)
    assert totals.dtype == torch.float32
    assert all(parameter.dtype == torch.float32 for parameter in stack.models[0].parameters())
    exact = stacked.stack(networks(make, double=False))
    optimizers = [SGD(model.parameters(), lr=0.01) for model in exact.models]
    expected = stacked.train_one_epoch(exact, batches(shape, double=False).of_epoch(0), optimizers)
    torch.testing.assert_close(totals[:, 0], expected[:, 0], rtol=0.01, atol=0)


@pytest.mark.parametrize("own_images", [False, True])
@pytest.mark.parametrize("net", ["MLP", "SimpleNN, BN"])
@pytest.mark.parametrize("alike", [True, False])
def test_after_an_epoch_each_network_is_evaluated_on_its_own_sets(net, alike, own_images):
    make, shape = NETS[net]
    stack = stacked.stack(networks(make))
    few = batches(shape)
    few.images, few.labels = few.images[:5], few.labels[:5]
    sets = (
        [{"val": batches(shape)}] * RUNS
        if alike
        else [{"val": few}, {"val": few, "test": few}, {"val": batches(shape)}]
    )
    trains = [batches(shape)] * RUNS
    if own_images:
        trains = [batches(shape) for _ in range(RUNS)]
        for seed, train in enumerate(trains):
            train.seed = seed
    journals = [
        loop.Journal(model, train, own, SGD(model.parameters(), lr=0.1))
        for model, train, own in zip(stack.models, trains, sets, strict=True)
    ]
    assert stacked.fit(stack, journals, 1) == [None] * RUNS
    for model, journal, own in zip(stack.models, journals, sets, strict=True):
        [row] = journal.progress.history
        assert {name for name in row if name.endswith("_accuracy")} == {f"{name}_accuracy" for name in ("train", *own)}
        for name, evaluated in own.items():
            expected = loop.evaluate(model, evaluated)
            assert (row[f"{name}_loss"], row[f"{name}_accuracy"]) == pytest.approx(expected, rel=1e-7)


def test_one_run_can_diverge_alone():
    make, shape = NETS["MLP"]
    stack = stacked.stack(networks(make, same=True, double=False))
    optimizers = [SGD(m.parameters(), lr=lr) for m, lr in zip(stack.models, (1e30, 0.1, 0.1), strict=True)]
    totals = stacked.train_one_epoch(stack, batches(shape, double=False).of_epoch(0), optimizers)
    assert not torch.isfinite(totals[0, 0])
    assert torch.equal(totals[1], totals[2])
    assert torch.isfinite(totals[1:]).all()


def test_unstacked_networks_own_their_memory():
    make, shape = NETS["SimpleNN, BN"]
    stack = stacked.stack(networks(make))
    optimizers = [SGD(model.parameters(), lr=0.1) for model in stack.models]
    stacked.train_one_epoch(stack, batches(shape).of_epoch(0), optimizers)
    before = [copy.deepcopy(model.state_dict()) for model in stack.models]
    for model, state in zip(stack.unstack(), before, strict=True):
        for name, tensor in model.state_dict().items():
            assert torch.equal(tensor, state[name])
            assert tensor.untyped_storage().nbytes() == tensor.nbytes


class OwnNorm(nn.BatchNorm2d):
    def forward(self, x):
        return super().forward(x) + 1


class Doubled(nn.Sequential):
    def forward(self, x):
        return 2 * super().forward(x)


@pytest.mark.parametrize(
    "nets",
    [
        [],
        [models.MLP((784, 8, 10)), models.MLP((784, 9, 10))],
        [models.MLP((784, 8, 10), dropout=0.5)],
        [nn.Sequential(nn.Conv2d(4, 4, 3, groups=2))],
        [small(nn.Dropout2d(0.5))],
        [nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"))],
        [small(nn.BatchNorm2d(4, momentum=None))],
        [small(nn.BatchNorm2d(4, track_running_stats=False))],
        [small(OwnNorm(4))],
        [nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.LayerNorm(8))],
        [small(nn.BatchNorm2d(4)), small(nn.BatchNorm2d(4, momentum=0.4))],
        [small(nn.BatchNorm2d(4)), small(nn.BatchNorm2d(4, eps=0.3))],
        [models.MLP((784, 8, 10)), models.MLP((784, 8, 10), "tanh")],
        [small(nn.MaxPool2d(2)), small(nn.AvgPool2d(2))],
        [small(nn.AvgPool2d(3)), small(nn.AvgPool2d(3, divisor_override=2))],
        [small(nn.AvgPool2d(2)), small(nn.AvgPool2d(2, count_include_pad=False))],
        [nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3))],
        [nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4).requires_grad_(False))],
        [nn.Sequential(*[nn.Linear(4, 4)] * 2)],
        [nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)))],
        [Doubled(nn.Linear(4, 4))],
    ],
    ids=[
        "none", "two shapes", "dropout", "groups", "channel dropout", "padding with pixels", "cumulative norm",
        "norm without statistics", "norm of its own", "layer norm", "two momenta", "two eps", "two activations",
        "two kinds of pooling", "two divisors", "two ways to count padding",
        "norm first", "frozen", "tied", "parametrised", "a forward of its own",
    ],
)  # fmt: skip
def test_what_cannot_be_stacked_is_refused(nets):
    with pytest.raises(UsageError, match="stack"):
        stacked.stack(nets)
    assert len(nets) != 1 or not stacked.can_stack(nets[0])


STATEFUL = {
    "momentum": (partial(SGD, lr=0.05, momentum=0.9, weight_decay=1e-3), True),
    "Nesterov": (partial(SGD, lr=0.05, momentum=0.9, nesterov=True), True),
    "ProximalSGD": (partial(penalties.ProximalSGD, lr=0.05, strength=0.01, momentum=0.9), True),
    "Adam": (partial(ADAM, lr=0.01), True),
    "AdamW": (partial(torch.optim.AdamW, lr=0.01), True),
    "Adagrad": (partial(torch.optim.Adagrad, lr=0.01), True),
    "RMSprop": (partial(torch.optim.RMSprop, lr=0.01, momentum=0.5), False),
}
CASES = [(name, fused) for name, (_, can) in STATEFUL.items() for fused in ((False, True) if can else (False,))]


def conv(layout: str) -> nn.Module:
    """A network as a single run has it (channels-last), or as a view of a stack (contiguous)."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 5), nn.ReLU(), nn.Flatten(), nn.Linear(64, 10))
    if layout == "single":
        return model.to(memory_format=torch.channels_last)
    return stacked.stack([model, copy.deepcopy(model)]).models[0]


def some_steps(model: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(3):
        for parameter in model.parameters():
            gradient = torch.randn(parameter.shape, generator=generator)
            parameter.grad = torch.empty_like(parameter).copy_(gradient)  # as autograd lays it out
        optimizer.step()


@pytest.mark.parametrize(("name", "fused"), CASES)
@pytest.mark.parametrize("layouts", [("stack", "single"), ("single", "stack"), ("single", "single")], ids=" to ".join)
def test_an_optimizers_state_is_taken_up_in_the_layout_of_the_weights(tmp_path, name, fused, layouts):
    """torch's fused SGD reads a momentum buffer in the memory order of the parameter, whatever its strides say."""
    make, can_fuse = STATEFUL[name]
    make = partial(make, fused=fused) if can_fuse else make
    models_ = [conv(layout) for layout in layouts]
    optimizers = [make(model.parameters()) for model in models_]
    some_steps(models_[0], optimizers[0], seed=1)
    checkpoint.write(tmp_path, models_[0], optimizers[0], checkpoint.Progress(step=3))
    checkpoint.restore(tmp_path, models_[1], optimizers[1])
    for model, optimizer in zip(models_, optimizers, strict=True):
        some_steps(model, optimizer, seed=2)
    assert_alike = partial(torch.testing.assert_close, rtol=1e-5, atol=1e-6)
    for one, other in zip(*(model.parameters() for model in models_), strict=True):
        assert_alike(one.detach(), other.detach())
        for state in optimizers[1].state[other].values():
            assert state.shape != other.shape or state.stride() == other.stride()


@pytest.mark.parametrize("by", ["epoch", "step"])
def test_a_schedule_that_fails_later_is_refused_before_the_first_step(by):
    nets = [nn.Sequential(nn.Flatten(), nn.Linear(16, 3)) for _ in range(2)]
    weights = [parameter.clone() for net in nets for parameter in net.parameters()]
    train = Batches(torch.zeros(8, 4, 4, dtype=torch.uint8), torch.arange(8) % 3, 4)
    stack = stacked.stack(nets)
    fails = [lambda count: 1.0, lambda count: [1.0, 0.5, 0.1][count]]
    journals = [
        loop.Journal(net, train, {}, torch.optim.SGD(net.parameters(), lr=0.1), schedule=schedule, schedule_by=by)
        for net, schedule in zip(nets, fails, strict=True)
    ]
    with pytest.raises(UsageError, match=r"^the schedule gives no learning rate at 3: list index out of range"):
        stacked.fit(stack, journals, 4 if by == "epoch" else 2)
    assert all(map(torch.equal, weights, (parameter for net in nets for parameter in net.parameters())))
