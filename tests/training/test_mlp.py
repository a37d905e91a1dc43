"""The step by hand is autograd's, and is left to autograd where it would not be."""

import copy
import inspect
import itertools
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations
from torch.optim.optimizer import register_optimizer_step_post_hook

from coursekit import models
from coursekit.analysis import diagnostics
from coursekit.data.batches import Batches
from coursekit.training import checkpoint, fused, loop, mlp, penalties, stacked

SGD, ADAM, ADAMW = torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW
OPTIMIZERS = {
    "SGD": partial(SGD, lr=0.1),
    "momentum": partial(SGD, lr=0.05, momentum=0.9, dampening=0.2),
    "Nesterov": partial(SGD, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.1),
    "upwards": partial(SGD, lr=0.01, momentum=0.5, maximize=True),
    "Adam": partial(ADAM, lr=1e-3),
    "Adam, decay": partial(ADAM, lr=1e-3, betas=(0.5, 0.9), eps=1e-3, weight_decay=0.1),
    "AMSGrad": partial(ADAM, lr=1e-3, amsgrad=True),
    "AdamW": partial(ADAMW, lr=1e-3, weight_decay=0.5),
}
if "decoupled_weight_decay" in inspect.signature(ADAM).parameters:  # torch 2.6 has it in AdamW alone
    OPTIMIZERS["Adam, decoupled"] = partial(ADAM, lr=1e-3, weight_decay=0.5, decoupled_weight_decay=True)
OTHERS = {
    "RMSprop": partial(torch.optim.RMSprop, lr=1e-3),
    "Adagrad": partial(torch.optim.Adagrad, lr=1e-2),
    "ProximalSGD": partial(penalties.ProximalSGD, lr=0.05, strength=0.01, momentum=0.9),
    "not fused": partial(SGD, lr=0.05, momentum=0.9, fused=False),
}
MAKERS = {name: partial(make, fused=True) for name, make in OPTIMIZERS.items()} | OTHERS
PIXELS, BATCH, EXAMPLES = (5, 4, 3), 8, 29  # the last batch has 5


def some_batches(double: bool = True, seed: int = 0, **options) -> Batches:
    generator = torch.Generator().manual_seed(5)
    images = torch.randint(0, 256, (EXAMPLES, *PIXELS), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, 10, (EXAMPLES,), generator=generator)
    augment = (lambda images, generator: images.double()) if double else None
    return Batches(images, labels, BATCH, shuffle=True, seed=seed, augment=augment, **options)


def network(*hidden: int, activation: str = "relu", seed: int = 0, double: bool = True) -> nn.Sequential:
    torch.manual_seed(seed)
    model = models.MLP((60, *hidden, 10), activation)
    return model.double() if double else model


def by_autograd(model: nn.Module, batches, optimizer, smoothing: float = 0.0, penalty=None) -> list[torch.Tensor]:
    """What an epoch leaves: its losses."""
    return [loop.train_step(model, *batch, optimizer, penalty, smoothing)[1] for batch in batches]


def by_hand(model: nn.Module, batches, optimizer, smoothing: float = 0.0, penalty=None) -> list[torch.Tensor]:
    chain = mlp.chain([model])
    assert chain, "the rule does not take this network"
    return [mlp.train_step(chain, *batch, [optimizer], smoothing, [penalty])[1] for batch in batches]


def assert_close(model: nn.Module, expected: nn.Module, rtol: float = 1e-10, atol: float = 1e-12) -> None:
    """Weights and gradients."""
    for (name, left), right in zip(model.named_parameters(), expected.parameters(), strict=True):
        for what in ("detach", "grad"):
            values = [part.detach() if what == "detach" else part.grad for part in (left, right)]
            torch.testing.assert_close(
                *values, rtol=rtol, atol=atol, msg=lambda text, where=(name, what): f"{where} {text}"
            )


def assert_same_epochs(model: nn.Module, make, smoothing: float = 0.0, penalty=None) -> None:
    expected = copy.deepcopy(model)
    ours, theirs = make(model.parameters()), make(expected.parameters())
    for epoch in range(3):
        left = by_hand(model, some_batches().of_epoch(epoch), ours, smoothing, penalty)
        right = by_autograd(expected, some_batches().of_epoch(epoch), theirs, smoothing, penalty)
        torch.testing.assert_close(left, right, rtol=1e-12, atol=1e-12)
    assert_close(model, expected)


# --- one network ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", models.ACTIVATIONS)
@pytest.mark.parametrize("hidden", [(), (7,), (9, 1, 6)], ids=str)
def test_steps_are_those_of_autograd(hidden, activation):
    assert_same_epochs(network(*hidden, activation=activation), MAKERS["momentum"])


@pytest.mark.parametrize("name", MAKERS)
def test_every_optimizer_makes_the_same_steps(name):
    assert_same_epochs(network(7, 6), MAKERS[name])


@pytest.mark.parametrize("smoothing", [0.1, 0.9])
@pytest.mark.parametrize("penalty", [None, partial(penalties.l1, strength=0.1)], ids=["plain", "l1"])
def test_smoothing_and_penalties_are_in_the_gradient(smoothing, penalty):
    assert_same_epochs(network(7), MAKERS["SGD"], smoothing, penalty)


def test_layers_without_bias_and_without_activation():
    layers = [nn.Linear(60, 9, bias=False), nn.Linear(9, 8), nn.Tanh(), nn.Linear(8, 10), nn.Sigmoid()]
    torch.manual_seed(0)
    assert_same_epochs(nn.Sequential(nn.Flatten(), *layers).double(), MAKERS["Adam"])


@pytest.mark.parametrize("activation", models.ACTIVATIONS)
def test_in_float32_the_steps_are_equal_up_to_rounding(activation):
    model = network(16, 12, activation=activation, double=False)
    expected = copy.deepcopy(model)
    left = by_hand(model, some_batches(double=False), MAKERS["momentum"](model.parameters()))
    right = by_autograd(expected, some_batches(double=False), MAKERS["momentum"](expected.parameters()))
    torch.testing.assert_close(left, right, rtol=1e-5, atol=0)
    assert_close(model, expected, rtol=1e-4, atol=1e-6)


def assert_same_bits(left, right) -> None:
    for net, other in zip(left, right, strict=True):
        assert all(map(torch.equal, net.parameters(), other.parameters()))


needs_mkl = pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="other libraries may round otherwise")


@needs_mkl
@pytest.mark.parametrize("activation", models.ACTIVATIONS)
@pytest.mark.parametrize(("hidden", "count"), [((16,), 1), ((128, 64), 1), ((33, 20), 3), ((128, 64), 8)], ids=str)
@pytest.mark.parametrize("name", ["Nesterov", "Adam"])
def test_float32_steps_have_the_bits_of_autograd(monkeypatch, activation, hidden, count, name):
    """A stored result stays that of its experiment."""
    totals, nets = [], []
    for rule in (mlp.chain, lambda *_: None):
        monkeypatch.setattr(mlp, "chain", rule)
        nets.append([network(*hidden, activation=activation, seed=seed, double=False) for seed in range(count)])
        optimizers = [MAKERS[name](net.parameters()) for net in nets[-1]]
        for _ in range(3):
            if count == 1:
                totals.append(loop.train_one_epoch(nets[-1][0], some_batches(double=False), optimizers[0]))
            else:
                stack = stacked.stack(nets[-1])
                totals.append(stacked.train_one_epoch(stack, some_batches(double=False), optimizers))
    assert_same_bits(*nets)
    assert all(map(torch.equal, totals[:3], totals[3:]))


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=2, max_size=5),
    batch=st.integers(1, 6),
    runs=st.integers(1, 3),
    activation=st.sampled_from(sorted(models.ACTIVATIONS)),
    smoothing=st.sampled_from([0.0, 0.3]),
    each_its_own=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_gradients_are_those_of_autograd(sizes, batch, runs, activation, smoothing, each_its_own, seed):
    torch.manual_seed(seed)
    nets = [models.MLP(sizes, activation).double() for _ in range(runs)]
    images = torch.randn(runs, batch, sizes[0], 1, 1, dtype=torch.float64)
    labels = torch.randint(sizes[-1], (runs, batch))
    if not each_its_own:
        images, labels = images[:1].expand(runs, -1, -1, -1, -1), labels[:1].expand(runs, -1)
    expected = copy.deepcopy(nets)
    outputs = [net(x) for net, x in zip(expected, images, strict=True)]
    losses = [
        nn.functional.cross_entropy(z, y, label_smoothing=smoothing) for z, y in zip(outputs, labels, strict=True)
    ]
    torch.stack(losses).sum().backward()
    chain = stacked.stack(nets).chain()
    batch = (images.transpose(0, 1).flatten(1, 2), labels) if each_its_own else (images[0], labels[0])
    logits, loss = chain.backpropagate(*batch, smoothing)
    torch.testing.assert_close(loss, torch.stack(losses).detach(), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(logits, torch.stack(outputs).detach())
    for net, other in zip(nets, expected, strict=True):
        assert_close(net, other)
    alone = mlp.chain([other := copy.deepcopy(expected[0])])
    _, loss = alone.backpropagate(images[0], labels[0], smoothing)
    torch.testing.assert_close(loss, losses[0].detach(), rtol=1e-10, atol=1e-12)
    assert_close(other, expected[0])


def test_the_loss_of_huge_logits_is_finite_and_that_of_infinite_ones_is_not():
    logits = torch.tensor([[1000.0, 0.0, -1000.0]])
    loss, gradient = mlp.cross_entropy(logits, torch.tensor([2]))
    assert loss == 2000
    assert gradient.tolist() == [[1, 0, -1]]
    assert not mlp.cross_entropy(logits * torch.inf, torch.tensor([2]))[0].isfinite()


# --- in the loops -----------------------------------------------------------------------------------------------------


@pytest.fixture
def steps(monkeypatch):
    """Counts the steps made by hand and by autograd."""
    counts = {"by hand": 0, "autograd": 0}

    def counting(name, step):
        def counted(*args, **options):
            counts[name] += 1
            return step(*args, **options)

        return counted

    monkeypatch.setattr(mlp, "train_step", counting("by hand", mlp.train_step))
    for loops in (loop, stacked):
        monkeypatch.setattr(loops, "train_step", counting("autograd", loops.train_step))
    return counts


@pytest.mark.parametrize(("smoothing", "strength"), [(0.0, 0.0), (0.2, 0.0), (0.0, 0.1)])
def test_an_epoch_by_hand_is_one_by_autograd(steps, monkeypatch, smoothing, strength):
    totals, nets = [], []
    penalty = partial(penalties.l1, strength=strength) if strength else None
    for rule in (mlp.chain, lambda *_: None):
        monkeypatch.setattr(mlp, "chain", rule)
        nets.append(network(7))
        optimizer = MAKERS["Adam"](nets[-1].parameters())
        totals.append(loop.train_one_epoch(nets[-1], some_batches(), optimizer, penalty, smoothing))
    torch.testing.assert_close(*totals, rtol=1e-12, atol=0)
    assert_close(*nets)
    assert steps == {"by hand": 4, "autograd": 4}


@pytest.mark.parametrize(("double", "rel"), [(True, 1e-9), (False, 1e-4)], ids=["float64", "float32"])
def test_a_probe_sees_the_gradients_and_may_keep_a_part_of_them(steps, double, rel):
    def probe(model):
        parts = {"gradient": model[1].weight.grad[0, 0], "weight": model[1].weight.detach()[0, 0]}
        return diagnostics.layer_gradients(model) | parts

    model, expected = network(7, double=double), network(7, double=double)
    ours, theirs = (MAKERS["SGD"](net.parameters()) for net in (model, expected))
    rows = loop.fit(model, some_batches(double), {}, ours, 1, probe=probe, probe_every=1).probes
    assert steps == {"by hand": 4, "autograd": 0}
    for row, batch in zip(rows, some_batches(double), strict=True):
        loop.train_step(expected, *batch, theirs)
        values = {name: float(value) for name, value in probe(expected).items()}
        assert {name: row[name] for name in values} == pytest.approx(values, rel=rel, abs=1e-7)


def test_gradients_that_a_probe_throws_away_are_there_again_for_the_next_step():
    model, expected = network(7), network(7)
    ours, theirs = (MAKERS["momentum"](net.parameters()) for net in (model, expected))

    def forget(loss, totals):
        model.zero_grad()

    loop.train_one_epoch(model, some_batches(), ours, after_step=forget)
    by_autograd(expected, some_batches(), theirs)
    for left, right in zip(model.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(left.detach(), right.detach(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["SGD", "momentum", "Adam", "AdamW", "AMSGrad", "RMSprop"])
@pytest.mark.parametrize("stop", range(1, 8))
def test_interrupted_after_any_step_and_resumed_is_the_same_bit_for_bit(tmp_path, name, stop, steps):
    def train(folder, interrupt=None):
        model = network(16, 8, double=False)
        options = dict(schedule=lambda step: 1 / (1 + step), schedule_by="step")
        on_step = partial(leave_at, interrupt) if interrupt else None
        optimizer = MAKERS[name](model.parameters())
        loop.fit(
            model,
            some_batches(double=False),
            {},
            optimizer,
            2,
            folder=folder,
            checkpoint_every=1,
            on_step=on_step,
            **options,
        )
        return model, optimizer

    def leave_at(step, progress):
        if progress.step > step:
            raise KeyboardInterrupt

    whole, whole_optimizer = train(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "parts", stop)
    model, optimizer = train(tmp_path / "parts")
    assert steps["autograd"] == 0
    for left, right in zip(model.parameters(), whole.parameters(), strict=True):
        assert torch.equal(left, right)
    state, expected = (owner.state_dict()["state"] for owner in (optimizer, whole_optimizer))
    for number, values in expected.items():
        assert all(torch.equal(state[number][key], value) for key, value in values.items())


def test_a_checkpoint_of_a_step_by_hand_holds_the_state_of_the_optimizer(tmp_path):
    model, expected = network(7), network(7)
    loop.fit(model, some_batches(), {}, MAKERS["Adam"](model.parameters()), 1, folder=tmp_path, checkpoint_every=3)
    theirs = MAKERS["Adam"](expected.parameters())
    by_autograd(expected, itertools.islice(some_batches(), 3), theirs)
    state = checkpoint.load(tmp_path)
    older = min(tmp_path.glob("step-*.pt"))
    assert checkpoint.NAME.fullmatch(older.name)[1] == "000000003"
    state = torch.load(older, weights_only=True)["optimizer"]["state"]
    for number, values in theirs.state_dict()["state"].items():
        assert state[number].keys() == values.keys()
        for key, value in values.items():
            torch.testing.assert_close(state[number][key], value, rtol=1e-10, atol=1e-14)


# --- stacks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", models.ACTIVATIONS)
@pytest.mark.parametrize("seeds", [(0, 0, 0), (0, 1, 0)], ids=["shared images", "own images"])
@pytest.mark.parametrize("double", [True, False], ids=["float64", "float32"])
def test_a_stack_by_hand_is_a_stack_by_autograd(steps, monkeypatch, activation, seeds, double):
    makers = [MAKERS[name] for name in ("Adam", "Nesterov", "RMSprop")]
    pulls = [None, partial(penalties.l1, strength=0.1), None]
    nets = {}
    for rule in (mlp.chain, lambda *_: None):
        monkeypatch.setattr(mlp, "chain", rule)
        nets[rule] = [network(7, 6, activation=activation, seed=seed, double=double) for seed in range(3)]
        trains = {seed: some_batches(double, seed) for seed in set(seeds)}
        stack = stacked.stack(nets[rule])
        journals = [
            loop.Journal(net, trains[seed], {}, make(net.parameters()))
            for net, seed, make in zip(nets[rule], seeds, makers, strict=True)
        ]
        assert stacked.fit(stack, journals, 2, pulls, 0.1) == [None] * 3
    assert steps == {"by hand": 8, "autograd": 8}
    tolerance = {} if double else dict(rtol=1e-3, atol=1e-5)
    for left, right in zip(*nets.values(), strict=True):
        assert_close(left, right, **tolerance)


# --- what is left to autograd -----------------------------------------------------------------------------------------


class Doubling(nn.Sequential):
    def forward(self, x):
        return 2 * super().forward(x)


class Scaled(nn.Linear):
    def forward(self, x):
        return 3 * super().forward(x)


def changed(change) -> nn.Module:
    """An MLP after `change(model)`, or what that returns."""
    model = network(7, 6, double=False)
    return change(model) or model


def twice(gradient: torch.Tensor) -> torch.Tensor:
    return 2 * gradient


def double_gradient(parameter: nn.Parameter) -> None:
    parameter.grad *= 2


def tie(model: nn.Sequential) -> None:
    model[3], model[4] = nn.Linear(7, 7), nn.ReLU()
    model.insert(5, nn.Linear(7, 7))
    model[5].weight = model[3].weight
    model[6] = nn.Linear(7, 10)


OTHERWISE = {
    "dropout": lambda: models.MLP((60, 7, 10), dropout=0.3),
    "BatchNorm": lambda: nn.Sequential(nn.Flatten(), nn.Linear(60, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 10)),
    "convolution": lambda: nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(12, 10)),
    "another activation": lambda: nn.Sequential(nn.Flatten(), nn.Linear(60, 7), nn.GELU(), nn.Linear(7, 10)),
    "two activations": lambda: nn.Sequential(nn.Flatten(), nn.Linear(60, 7), nn.ReLU(), nn.Tanh(), nn.Linear(7, 10)),
    "activation first": lambda: nn.Sequential(nn.Flatten(), nn.Tanh(), nn.Linear(60, 10)),
    "no Flatten": lambda: nn.Sequential(nn.AvgPool2d((5, 4)), nn.Flatten(), nn.Linear(3, 10)),
    "another Flatten": lambda: nn.Sequential(nn.Flatten(1, 3), nn.Linear(60, 10)),
    "a forward of its own": lambda: Doubling(nn.Flatten(), nn.Linear(60, 10)),
    "a layer's own forward": lambda: nn.Sequential(nn.Flatten(), Scaled(60, 10)),
    "no Sequential": lambda: nn.Sequential(network(7, double=False)),
    "a forward put in its place": lambda: changed(lambda m: setattr(m[1], "forward", lambda x: 2 * x[:, :7])),
    "forward hook": lambda: changed(lambda m: m[2].register_forward_hook(lambda layer, x, y: 2 * y) and None),
    "forward pre-hook": lambda: changed(
        lambda m: m[3].register_forward_pre_hook(lambda layer, x: (2 * x[0],)) and None
    ),
    "backward hook": lambda: changed(lambda m: m[3].register_full_backward_hook(lambda *a: (2 * a[1][0],)) and None),
    "hook of the network": lambda: changed(lambda m: m.register_forward_hook(lambda layer, x, y: 2 * y) and None),
    "hook of a gradient": lambda: changed(lambda m: m[1].weight.register_hook(twice) and None),
    "hook after a gradient": lambda: changed(
        lambda m: m[1].weight.register_post_accumulate_grad_hook(double_gradient) and None
    ),
    "frozen weights": lambda: changed(lambda m: m[3].requires_grad_(False) and None),
    "shared weights": lambda: changed(tie),
    "weight norm": lambda: changed(lambda m: parametrizations.weight_norm(m[1]) and None),
    "bfloat16": lambda: changed(lambda m: m.bfloat16() and None),
    "two precisions": lambda: nn.Sequential(nn.Flatten(), nn.Linear(60, 7), nn.Linear(7, 10).double()),
    "nothing": nn.Sequential,
}


@pytest.mark.parametrize("case", OTHERWISE)
def test_what_is_more_than_a_chain_is_left_to_autograd(case):
    assert mlp.chain([OTHERWISE[case]()]) is None


UNABLE = ("nothing", "two precisions", "bfloat16")  # to be trained on these images


@pytest.mark.parametrize("case", [case for case in OTHERWISE if case not in UNABLE])
def test_and_trained_as_it_was_before(case, steps):
    trained = []
    for train in (loop.train_one_epoch, by_autograd):
        torch.manual_seed(0)
        model = OTHERWISE[case]()
        optimizer = SGD([p for p in model.parameters() if p.requires_grad], lr=0.05)
        torch.manual_seed(1)
        train(model, some_batches(double=False), optimizer)
        trained.append([p.detach() for p in model.parameters()])
    assert steps["by hand"] == 0
    assert all(map(torch.equal, *trained))


def test_autocast_and_hooks_on_all_modules_are_left_to_autograd():
    model = network(7, double=False)
    with torch.autocast("cpu", torch.bfloat16):
        assert mlp.chain([model]) is None
    handle = nn.modules.module.register_module_forward_hook(lambda layer, x, y: None)
    assert mlp.chain([model]) is None
    handle.remove()
    assert mlp.chain([model])


def test_another_device_is_left_to_autograd():
    assert mlp.chain([network(7).to("meta")]) is None


def test_a_stack_with_one_network_that_has_a_hook_is_left_to_autograd():
    nets = [network(7, seed=seed) for seed in range(2)]
    stack = stacked.stack(nets)
    assert stack.chain()
    nets[1][1].weight.register_hook(twice)
    assert stack.chain() is None
    assert stacked.stack([models.SimpleNN() for _ in range(2)]).chain() is None


# --- fused updates ----------------------------------------------------------------------------------------------------


def gradients(model: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, dtype=parameter.dtype, generator=generator)


def kernels(monkeypatch) -> list[str]:
    """The names of the fused kernels that are called directly."""
    called = []

    def noting(kind, kernel):
        def noted(*state, **options):
            called.append(kind.__name__)
            return kernel(*state, **options)

        return noted

    monkeypatch.setattr(fused, "KERNELS", {kind: noting(kind, kernel) for kind, kernel in fused.KERNELS.items()})
    return called


@pytest.mark.parametrize("double", [True, False], ids=["float64", "float32"])
@pytest.mark.parametrize("name", MAKERS)
def test_an_update_is_the_optimizers_own_bit_for_bit(name, double, monkeypatch):
    called = kernels(monkeypatch)
    model = network(7, double=double)
    expected = copy.deepcopy(model)
    ours, theirs = (MAKERS[name](net.parameters()) for net in (model, expected))
    for step in range(4):
        for net, optimizer in ((model, ours), (expected, theirs)):
            gradients(net, step)
            optimizer.param_groups[0]["lr"] *= 0.5
        fused.update(ours)
        theirs.step()
        for left, right in zip(model.parameters(), expected.parameters(), strict=True):
            assert torch.equal(left, right)
            assert all(torch.equal(ours.state[left][key], value) for key, value in theirs.state[right].items())
    own = {"SGD": 0, "AMSGrad": 4, **dict.fromkeys(OTHERS, 4)}.get(name, 1)
    assert len(called) == 4 - own


def test_groups_keep_their_own_settings(monkeypatch):
    called = kernels(monkeypatch)
    model = network(7)
    expected = copy.deepcopy(model)
    ours, theirs = (
        SGD(
            [{"params": net[1].parameters(), "momentum": 0.9}, {"params": net[3].parameters(), "lr": 0.3}],
            lr=0.1,
            fused=True,
        )
        for net in (model, expected)
    )
    for step in range(3):
        gradients(model, step), gradients(expected, step)
        fused.update(ours)
        theirs.step()
    assert all(map(torch.equal, model.parameters(), expected.parameters()))
    assert called == ["SGD"] * 4


@pytest.mark.parametrize("kind", ["before", "after", "all", "scheduler", "no gradient"])
def test_a_step_that_others_watch_is_the_optimizers_own(kind, monkeypatch):
    called, seen = kernels(monkeypatch), []
    model = network(7)
    optimizer = SGD(model.parameters(), lr=0.1, fused=True)
    gradients(model, 0)
    if kind == "scheduler":
        torch.optim.lr_scheduler.ConstantLR(optimizer)
    elif kind == "no gradient":
        model[1].bias.grad = None
    else:
        register = dict(
            before=optimizer.register_step_pre_hook,
            after=optimizer.register_step_post_hook,
            all=register_optimizer_step_post_hook,
        )[kind]
        handle = register(lambda *_: seen.append(kind))
    before = model[1].bias.clone()
    fused.update(optimizer)
    assert called == []
    if kind == "no gradient":
        assert torch.equal(model[1].bias, before)
    elif kind != "scheduler":
        handle.remove()
        assert seen == [kind]
