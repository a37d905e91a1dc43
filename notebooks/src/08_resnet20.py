# %% [markdown]
# # 08 · ResNet-20
#
# **Question.** What do shortcuts add to a convolutional network, and how much of its published accuracy can be had in minutes?
#
# A residual network is built from one block. It is compared with two small networks under one protocol, trained for 200 epochs
# where there is a GPU, and trained with a faster recipe of ours on two cores. Then the shortcuts are taken out, to see what they
# were for. The trained network is saved, loaded, and fills in `predictions.csv`; parts of it are used again for classes that it has
# never seen. Last comes the scorecard of all eight notebooks.
#
# **What we expect before looking.** ResNet-20 beats the small networks by more than ten points. Twenty layers train with or without
# shortcuts; sixty hardly train without. A schedule that falls to zero needs fewer epochs.

# %% tags=["setup"]
import contextlib
import io
import math
import socket
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torchvision
from torch import nn

from coursekit import (
    Experiment,
    Runs,
    check,
    data,
    diagnostics,
    executors,
    find,
    history,
    landscape,
    models,
    plots,
    predictions,
    recall,
    schedules,
    scorecard,
    settings,
    store,
    sweep,
    training,
)
from coursekit.errors import DataError
from coursekit.notebook import (
    budget,
    claim,
    finding,
    setup,
    show_data,
    show_figure,
    show_references,
    show_source,
    show_table,
)

PROFILE = setup("08_resnet20")

# %% tags=["parameters"]
SEEDS = range(budget(1, sample=1))
IMAGES = budget(None, sample=128)  # None: all 45,000
VALIDATION = budget(500, sample=20)  # of each class
STEP_EPOCHS = budget(9, sample=3)  # lr × 0.1 after each third
FAST_EPOCHS = budget(10, sample=1)
DEPTHS = budget((20, 56), sample=(8, 14))
TRIED = budget(19, sample=4)  # learning rates of the first step
START_SEEDS = range(budget(3, sample=1))
DEPTH_EPOCHS, DEPTH_IMAGES = budget((5, 4_000), sample=(1, 128))
DEPTH_VALIDATION = budget(100, sample=20)  # of each class: 56 layers are slow to evaluate, too
LOOK_AT, DIRECTIONS, POINTS = budget((200, 3, 9), sample=(32, 1, 5))
OLD_EPOCHS = budget(2, sample=1)
FEW_EPOCHS, FEW = budget((16, 200), sample=(1, 100))  # images, of all new classes together
FEW_SEEDS = range(budget(3, sample=1))

# %%
cifar = data.load("cifar10")
REAL = not cifar.is_sample
FULL = REAL and PROFILE == "full"
HOW_MANY, SEEDED = history.seeds(len(SEEDS)), history.spread_over(len(SEEDS))
per_class = min(VALIDATION, len(cifar.train_labels) // 20)
train_index, val_index = data.stratified(cifar.train_labels, per_class)
statistics = data.channel_statistics(cifar.train_images[train_index[:IMAGES]])  # of the training split alone
view = partial(data.Batches, batch_size=1000, device=settings.device(), normalize=statistics)
validation = view(cifar.train_images[val_index], cifar.train_labels[val_index])
show_data(cifar)
# Runs of the real data are replayed under the schedules that they had, also where the data set itself cannot be had.
train_count = len(train_index) if settings.source() == "sample" else 45_000
print(f"{len(train_index):,} images to train, {len(val_index):,} to validate, {len(cifar.test_labels):,} to test")

# %% [markdown]
# The split is the one of the notebooks before: the same 5,000 images, 500 of each class, validate every run. They choose epochs
# and settings. The course's own hold-out set is not public, so CIFAR-10's test set takes its place: it is read for the weights that
# validation has chosen, and decides nothing.
#
# Runs are compared seed by seed: the mean of the differences with its 95 % interval. *Better* and *worse* mean that the interval does
# not contain zero, *undecided* that it does. One seed has no interval, so it decides nothing: it says what happened in that run.
#
# ## A block, a stage, a network (S0.2.b, S0.2.c)
#
# A residual block learns what to *add* to its input:
#
# $$y = \mathrm{ReLU}\big(F(x) + s(x)\big), \qquad F = \mathrm{BN} \circ \mathrm{conv} \circ \mathrm{ReLU} \circ \mathrm{BN} \circ \mathrm{conv} .$$
#
# The shortcut $s$ is the identity. Where a block halves the image and doubles the channels there are two choices: a 1 × 1
# convolution with BatchNorm (*projection*), or every second pixel with zeros for the new channels (*zero-padding*, no parameters,
# the paper's choice for CIFAR-10; He et al. 2016, section 4.2). ReLU comes after the addition, and the addition makes a new tensor:
# an in-place ReLU on $x$ would change what the shortcut carries.
#
# One course calls this block a bottleneck. It is the *basic* block; a bottleneck squeezes the channels with 1 × 1 convolutions
# around one 3 × 3. The courses' names for the parts: `ResidualBlock` is `BasicBlock` here, `SimplifiedResNet` and `ResNet20` are
# `resnet20()`.

# %% [markdown] tags=["exercise"]
# **Your turn: a residual block.** With a projection where the shape changes. The check knows no names: it looks at what the block
# computes, in train mode, and at its number of parameters.
#
# <details><summary>Hint</summary>The stride belongs to the first convolution and to the shortcut. A bias before a BatchNorm is taken out again:
# `bias=False`. Add before the last ReLU, and let no ReLU work in place on x.</details>


# %% tags=["exercise"]
class MyResidualBlock(nn.Module):
    """images (batch, c_in, H, W) to (batch, c_out, H / stride, W / stride)."""

    def __init__(self, c_in: int, c_out: int, stride: int = 1):
        super().__init__()
        # BEGIN SOLUTION
        first = [nn.Conv2d(c_in, c_out, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU()]
        second = [nn.Conv2d(c_out, c_out, 3, padding=1, bias=False), nn.BatchNorm2d(c_out)]
        self.branch, self.skip = nn.Sequential(*first, *second), nn.Sequential()
        if (c_in, 1) != (c_out, stride):
            self.skip = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride=stride, bias=False), nn.BatchNorm2d(c_out))
        # END SOLUTION

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The branch and the shortcut, added, then ReLU."""
        # BEGIN SOLUTION
        return torch.relu(self.skip(x) + self.branch(x))
        # END SOLUTION


# %% tags=["exercise"]
check("residual_block", MyResidualBlock)

# %% [markdown] tags=["exercise"]
# **Your turn: ResNet-20 from your blocks.** Stem 3 → 16 channels; three stages of three blocks with 16, 32 and 64 channels, the second and
# third with stride 2 in their first block; the mean over all places; a linear layer. 272,474 parameters.
#
# <details><summary>Hint</summary>`nn.Sequential` of the stem's three layers, nine blocks, `nn.AdaptiveAvgPool2d(1)`, `nn.Flatten()`, `nn.Linear`.</details>


# %% tags=["exercise"]
def my_resnet20() -> nn.Module:
    """A network for images (batch, 3, 32, 32); returns logits (batch, 10)."""
    # BEGIN SOLUTION
    layers = [nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    for c_in, c_out, stride in ((16, 16, 1), (16, 32, 2), (32, 64, 2)):
        layers += [MyResidualBlock(c_in, c_out, stride), MyResidualBlock(c_out, c_out), MyResidualBlock(c_out, c_out)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    # END SOLUTION


# %% tags=["exercise"]
check("resnet20", my_resnet20)

# %% tags=["solution"]
show_source(models.BasicBlock, models.ZeroPadShortcut)

# %% tags=["solution"]
show_source(models.stage, models.ResNet, models.resnet)

# %%
torch.manual_seed(0)
net = models.resnet20()
parts = {"stem": net.stem, **{f"stage {n}": part for n, part in enumerate(net.stages, 1)}, "head": net.head}
of_part = [name for name, part in parts.items() for layer in part.modules() if hasattr(layer, "weight")]
table = models.layer_table(net, (3, 32, 32)).groupby(np.array(of_part), sort=False)
table = table.agg(
    layers=("layer", "size"), output=("output", "last"), parameters=("parameters", "sum"), MACs=("MACs", "sum")
)
show_table(
    table.rename_axis("part").map(lambda x: f"{x:,}" if isinstance(x, int) else x),
    "ResNet-20 with projections, part by part, for an image of 3 × 32 × 32; layers are those with parameters, BatchNorm included.",
)

# %%
SIZES = {
    "ResNet-20, projection": (models.resnet20(), 272_474),
    "ResNet-20, zero-padding": (models.resnet20("zero-padding"), 269_722),
    "plain-20, no shortcut": (models.resnet20("none"), 269_722),
    "ResNet-38, projection": (models.resnet(38), 564_122),
}
sizes = {name: models.layer_table(net, (3, 32, 32))[["parameters", "MACs"]].sum() for name, (net, _) in SIZES.items()}
show_table(
    pd.DataFrame({name: {key: f"{value:,}" for key, value in size.items()} for name, size in sizes.items()}).T,
    "Parameters and multiply-adds for one image. The last row is what one course trained under the name of ResNet-20.",
)

# %% tags=["claim"]
claim(all(sizes[name].parameters == count for name, (_, count) in SIZES.items()), "every count is the expected one")
biases = sum(layer.out_channels for layer in net.modules() if isinstance(layer, nn.Conv2d))
claim(biases == 784, "biases in front of a BatchNorm, which takes them out again, would be 784 parameters more")

# %% [markdown]
# **Depth is $6n + 2$.** Three stages of $n$ blocks with two convolutions each, plus the stem and the linear layer: $n = 3$ makes 20.
# The source (S4.L3.a) sets $n = 6$, which is a ResNet-38 with twice the parameters. Its 0.8788 and 0.9296, quoted below, belong to 38 layers.
#
# ### Before training
#
# Does a batch pass, is the first loss near $\ln 10$, and is a block whose last BatchNorm weight is 0 exactly its shortcut?

# %%
show_source(models.zero_last_norms)

# %%
one_batch = view(cifar.train_images[train_index[:128]], cifar.train_labels[train_index[:128]])
images, labels = (tensor.cpu() for tensor in next(one_batch.of_epoch(0)))
assert net(images).shape == (len(images), 10)
first_losses = []
for seed in range(5):
    torch.manual_seed(seed)
    first_losses.append(models.initial_loss(models.resnet20().train(), images, labels))
quiet = models.zero_last_norms(models.resnet20())
x = torch.relu(quiet.stem(images))
as_shortcut = [torch.equal(block(x), torch.relu(block.shortcut(x))) for block in quiet.stages[0]]
print(f"first loss of five networks: {min(first_losses):.3f} to {max(first_losses):.3f}; ln 10 = {math.log(10):.3f}")

# %% tags=["claim"]
claim(abs(np.median(first_losses) - math.log(10)) <= 0.4, "R36: the first loss in train mode is within 0.4 of ln 10")
claim(all(as_shortcut), "a block whose last BatchNorm weight is 0 is its shortcut, bit by bit")

# %% [markdown]
# BatchNorm makes what each block adds of size one, whatever the weights are, and the shortcuts sum it up; so the first logits are larger
# than a plain network's, and so is the first loss. That is why the tolerance is 0.4 and not 0.05.
#
# ## Three networks, one protocol (S0.2.d, S4.L3.a)
#
# SGD with momentum 0.9, weight decay 1e-4, batch 128, random crop and flip; the learning rate starts at 0.1 (LeNet5, which has no
# BatchNorm: 0.01) and is multiplied by 0.1 after each third of the epochs. Published are 30 epochs; shorter profiles keep the
# thirds. All three are trained with bfloat16 products where the machine gains by it; weights and sums stay in float32.

# %% tags=["key"]
on_cifar = partial(
    Experiment,
    data="cifar10",
    batch_size=128,
    validation=VALIDATION,
    pixels="standard",
    augment=data.crop_flip,
    precision="bfloat16",
)
sgd = partial(torch.optim.SGD, momentum=0.9, weight_decay=1e-4)
thirds = partial(schedules.step, step_size=STEP_EPOCHS // 3, gamma=0.1)
step_by_step = partial(on_cifar, train_size=IMAGES, epochs=STEP_EPOCHS, schedule=thirds)
NETS = {
    "ResNet-20": (models.resnet20, 0.1),
    "SimpleNN-BN": (partial(models.SimpleNN, batch_norm=True), 0.1),
    "LeNet5": (models.LeNet5, 0.01),
}

# %% [markdown]
# ### A faster recipe
#
# A constant rate is either too high to converge or too low to get far; the published long run, below, spends nearly half of its 200
# epochs at one that is too high. A schedule that climbs for some epochs and then falls to zero in a straight line uses every epoch:
# high rates first, while there is far to go, low ones at the end. Around it: Nesterov momentum, weight decay 5e-4, and targets that
# leave 0.1 of the probability to all classes alike (*label smoothing*), so that the network is not pushed to be certain. The schedule
# is read at every step, not once an epoch.

# %%
show_source(schedules.one_cycle)


# %% tags=["key"]
def steps(epochs: int, count: int | None, batch: int = 128) -> int:
    """Optimizer steps in so many epochs of `count` images (None: of the whole training split)."""
    return epochs * -(-(count or train_count) // batch)


def fast(model, epochs: int, count: int | None, lr: float = 0.2, batch: int = 128, **options) -> Experiment:
    """The recipe for a model, on `count` images (None: all of them)."""
    cycle = partial(schedules.one_cycle, total=steps(epochs, count, batch))
    nesterov = partial(torch.optim.SGD, lr=lr, momentum=0.9, nesterov=True, weight_decay=5e-4)
    common = dict(batch_size=batch, schedule=cycle, schedule_by="step", label_smoothing=0.1)
    return on_cifar(model=model, optimizer=nesterov, epochs=epochs, train_size=count, **common, **options)


# %% [markdown]
# The two trainings of ResNet-20 are the long ones of this notebook. On a CPU they go on beside each other, each with half of the
# threads: a second thread helps one training of so small a network less than it helps another training.

# %% tags=["key"]
by_steps = {name: step_by_step(model=net, optimizer=partial(sgd, lr=lr)) for name, (net, lr) in NETS.items()}
by_cycle = {"fast recipe": fast(models.resnet20, FAST_EPOCHS, IMAGES, keep_weights=True)}
trained = sweep(by_cycle | by_steps, SEEDS, executor=executors.side_by_side())
three, quick = (Runs({name: trained[name] for name in runs}) for runs in (by_steps, by_cycle))

# %% tags=["figure"]
drops = (STEP_EPOCHS // 3, 2 * (STEP_EPOCHS // 3))
show_figure(
    plots.learning_curve_panels(three.frame(), ("train_loss", "val_accuracy"), drops),
    "08-three",
    f"Three networks under one protocol; dotted: the learning rate drops; {SEEDED}.",
)

# %% tags=["figure"]
theirs = {name: scorecard.PUBLISHED[f"S4.L3.a.{name}"].values[0] for name in ("ResNet", "SimpleNN")}
published = {"ResNet-20": f"{theirs['ResNet']} (38 layers)", "SimpleNN-BN": f"{theirs['SimpleNN']}", "LeNet5": "–"}
reached = three.best("val_accuracy")
table = three.table({"best validation": reached, "test (those weights)": three.final("best_test_accuracy")})
seconds = three.each(lambda run: run.last("seconds") / STEP_EPOCHS)
table.insert(0, "parameters", [f"{models.parameter_count(NETS[name][0]()):,}" for name in three])
table.insert(1, "seconds an epoch", [f"{seconds[name]:.1f}" for name in three])
table["published, 30 epochs"] = [published[name] for name in three]
show_table(
    table.rename_axis("network"),
    f"Three networks after {STEP_EPOCHS} epochs of the same protocol, {SEEDED}.",
    name="08-table",
)

# %% tags=["claim"]
over_simple, over_lenet = (
    three.compare("ResNet-20", name, "val_accuracy", at="best") for name in ("SimpleNN-BN", "LeNet5")
)
claim(
    over_simple.difference >= 0.12,
    f"R34: ResNet-20 scores higher than SimpleNN-BN by 0.12 or more on validation ({HOW_MANY})",
    REAL,
)
claim(over_lenet.difference > 0, f"R34: ResNet-20 scores higher than LeNet5 ({HOW_MANY})", REAL)

# %%
scorecard.record("S4.L3.a.ResNet", reached["ResNet-20"].values, three["ResNet-20"])
scorecard.record("S4.L3.a.SimpleNN", reached["SimpleNN-BN"].values, three["SimpleNN-BN"])

# %% tags=["finding"]
work = {name: models.layer_table(net(), (3, 32, 32)).MACs.sum() for name, (net, _) in NETS.items()}
finding(
    f"Best validation accuracy within {STEP_EPOCHS} epochs ([the table](#08-table)): ResNet-20 minus SimpleNN-BN {over_simple!s}; minus LeNet5 {over_lenet!s}.",
    when=REAL,
)
finding(
    f"ResNet-20 has {272_474 / 82_078:.1f} times SimpleNN-BN's parameters and does {work['ResNet-20'] / work['SimpleNN-BN']:.0f} times its multiply-adds for each image.",
    when=REAL,
)

# %% [markdown]
# **How structure affects accuracy.** LeNet5 and SimpleNN have two convolutions and put most of their parameters into the first linear
# layer, which knows every place by itself. ResNet-20 has nineteen 3 × 3 convolutions and does far more arithmetic with
# each parameter: its weights are shared over places, its receptive field grows slowly through many nonlinearities, and the mean over
# places at the end leaves no large linear layer to learn by heart. Depth, width, BatchNorm and shortcuts differ at once here; the
# section *What the shortcuts are for* takes out the shortcuts alone.
#
# ## 200 epochs (S4.L3.b)
#
# The published long run: learning rate 0.1, times 0.1 at epochs 90 and 140, all else as above. The source explains the milestones
# with the paper's 32,000 and 48,000 steps. With 45,000 images and batches of 128 those are epochs 91 and 136.5, and the paper stops at
# 64,000 steps, which is epoch 182; we keep the published 90 and 140. One seed.

# %% tags=["key"]
long = partial(on_cifar, epochs=200, schedule=partial(schedules.multi_step, milestones=(90, 140)))
long_run = long(model=models.resnet20, optimizer=partial(sgd, lr=0.1))
if PROFILE == "full":
    long_runs = sweep({"ResNet-20": long_run}, range(1))
    show_figure(
        plots.learning_curve_panels(long_runs.frame(), ("train_loss", "val_accuracy"), (90, 140)),
        "08-long",
        "ResNet-20 for 200 epochs; dotted: the learning rate drops; one seed.",
    )
else:
    long_runs = Runs()
    print("The 200 epochs belong to profile full (more than an hour on two cores) and were not run here.")

# %% tags=["claim"]
long_result = long_runs.get("ResNet-20", [None])[0]
accuracy = {row["epoch"]: row["val_accuracy"] for row in long_result.history} if long_result else {}
rise = np.mean([accuracy.get(e, 0) for e in range(95, 101)]) - np.mean([accuracy.get(e, 0) for e in range(85, 90)])
RAN = REAL and bool(accuracy)
claim(RAN and max(accuracy.values()) >= 0.90, "R35: best validation accuracy of 0.90 or more in 200 epochs", RAN)
claim(rise >= 0.02, "R35: the first drop lifts validation accuracy by 0.02 or more", RAN)
claim(RAN and long_result.metrics["train_accuracy"] > 0.97, "R35: training accuracy above 0.97 at the end", RAN)

# %%
if long_result:
    scorecard.record("S4.L3.b", [max(accuracy.values())], [long_result])
    print(f"test accuracy of the weights that validation chose: {long_result.metrics['best_test_accuracy']:.4f}")

# %% [markdown]
# ## What the faster recipe reaches

# %% tags=["figure"]
both = Runs(
    {
        f"{STEP_EPOCHS} epochs, three steps": three["ResNet-20"],
        f"{FAST_EPOCHS} epochs, fast recipe": quick["fast recipe"],
    }
)
show_figure(
    plots.learning_curve_panels(both.frame(), ("val_loss", "val_accuracy")),
    "08-fast",
    f"ResNet-20 with two recipes on the validation images; {SEEDED}.",
)

# %% tags=["claim"]
reached, last = (of_runs["fast recipe"] for of_runs in (quick.best("val_accuracy"), quick.last("val_accuracy")))
claim(reached.mean >= 0.80, "the fast recipe reaches 0.80 on validation", REAL)
claim(reached.mean >= theirs["ResNet"] - 0.02, "it is within 0.02 of the published 30 epochs, or above", REAL)
claim(reached.mean >= 0.90, "the fast recipe reaches 0.90 on validation in 24 epochs or fewer", FULL)

# %% tags=["finding"]
seconds = quick.last("seconds")["fast recipe"]
finding(
    f"In {FAST_EPOCHS} epochs, {seconds.mean / 60:.1f} minutes of training on {quick['fast recipe'][0].provenance['device']}, the recipe reaches {reached:.3f} on validation ({HOW_MANY}); the published "
    f"38-layer network reached {theirs['ResNet']} in 30 epochs.",
    when=REAL,
    headline=f"ResNet-20 reaches {reached:.3f} on CIFAR-10's validation images in {FAST_EPOCHS} epochs ({HOW_MANY}), where a published network of 38 layers reached "
    f"{theirs['ResNet']} after 30.",
)
finding(
    f"The last epoch scores {last:.3f}, {'its best' if np.allclose(last.values, reached.values) else f'{reached.mean - last.mean:.3f} below the best'}: "
    "a schedule that ends at zero leaves little to choose. The learning rate and the smoothing were picked on validation, the number of epochs by the time that the machine has.",
    when=REAL,
)

# %% [markdown]
# Profile full gives the recipe 24 epochs. One such training is kept with this workbook's results and is read from there; where it is not,
# nothing is trained for it here.

# %% tags=["key"]
longer = find(fast(models.resnet20, 24, None, keep_weights=True)) if REAL else None
KEPT = longer is not None
print("24 epochs, one seed:", f"kept, made on {longer.provenance['device']}" if KEPT else "not in the results store")

# %% tags=["claim"]
claim(KEPT and longer.best("val_accuracy") >= 0.90, "24 epochs of the recipe reach 0.90 on validation", KEPT)

# %% tags=["finding"]
if KEPT:
    finding(
        f"In {len(longer.history)} epochs the recipe reaches {longer.best('val_accuracy'):.4f} on validation, and the weights of its best epoch classify {longer.final('best_test_accuracy'):.4f} of the test images; "
        f"one seed. The published 38-layer network had {theirs['ResNet']} after 30 epochs and {max(scorecard.PUBLISHED['S4.L3.b'].values)} after 200."
    )

# %% [markdown]
# ## What the shortcuts are for (S4.1.5)
#
# One course asks: *"ResNet shortcuts smooth the loss surface and so stabilise training: true or false?"* Take them out and look. With
# zero-padding shortcuts the residual network and its plain twin have the same parameters, and with the same seed the same initial
# weights; the shortcut is the only difference. Four measurements: gradients before training, the first step, a short training, and
# the loss around the weights that it found.
#
# ### Gradients and the first step
#
# On one batch of 128 images, in train mode and in float32: the mean absolute gradient of each layer, and then one step along the
# negative gradient $g$ with learning rates from tiny to large. If the loss were a plane, it would fall by $\eta\,|g|^2$. With curvature
# $\lambda$ along the gradient the fall is $\eta\,|g|^2 (1 - \eta\lambda / 2)$: half of what was promised at $\eta = 1/\lambda$. The largest
# rate that still keeps half of its promise is therefore a measure of how smooth the loss is where training begins.

# %%
SHORTCUTS = {"residual": "zero-padding", "plain": "none"}
RATES = np.logspace(-9, 0, TRIED).tolist()


def before_training(depth: int, shortcut: str, seed: int) -> dict:
    """Mean |gradient| of each layer, squared length of the whole gradient, and how far one step lowers the loss."""
    torch.manual_seed(seed)
    net = models.resnet(depth, shortcut).to(settings.device()).train()
    seen, targets = next(one_batch.of_epoch(0))
    nn.functional.cross_entropy(net(seen), targets).backward()
    down = {name: -parameter.grad for name, parameter in net.named_parameters()}
    losses = landscape.loss_along(net, down, [0.0, *RATES], one_batch, batch_statistics=True)
    return {
        "gradients": torch.stack(diagnostics.mean_absolute_gradients(net)).tolist(),
        "square": float(sum(along.square().sum() for along in down.values())),
        "falls": [losses[0] - loss for loss in losses[1:]],
    }


begin = {
    depth: {
        name: [recall(cifar, before_training, depth, word, seed) for seed in START_SEEDS]
        for name, word in SHORTCUTS.items()
    }
    for depth in DEPTHS
}

# %% tags=["figure"]
fig, axes = plots.figure(1, 2)
for ax, depth in zip(axes, DEPTHS, strict=True):
    gradients = {name: [run["gradients"] for run in runs] for name, runs in begin[depth].items()}
    plots.gradient_by_layer(gradients, ax).set_title(f"{depth} layers", fontsize=11)
limits = [ax.get_ylim() for ax in axes]
for ax in axes:
    ax.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
axes[1].set_ylabel(None)
show_figure(
    fig,
    "08-gradients",
    f"Gradient of each layer before training, residual and plain: median and range of {history.seeds(len(START_SEEDS))}.",
)


# %% tags=["figure"]
def kept(run: dict) -> np.ndarray:
    """Fall of the loss as a share of what the gradient promised; nan where float32 cannot tell so small a fall."""
    promised = np.array(RATES) * run["square"]
    return np.where(promised > 1e-5, run["falls"] / promised, np.nan)


fig, axes = plots.figure(1, 2)
palette = plots.colors(SHORTCUTS)
for ax, depth in zip(axes, DEPTHS, strict=True):
    for name, color in palette.items():
        lines = np.array([kept(run) for run in begin[depth][name]]).T
        ax.plot(RATES, lines, color=color, linewidth=1.5, label=[name, *["_"] * (lines.shape[1] - 1)])
    ax.axhline(0.5, linestyle=":", color="grey")
    ax.set(title=f"{depth} layers", xlabel="learning rate of the first step", xscale="log", ylim=(-0.5, 1.3))
axes[0].set_ylabel("fall of the loss / promised fall")
axes[0].legend()
show_figure(
    fig,
    "08-first-step",
    f"How much of the fall that the gradient promises one step keeps, on its own batch; {history.seeds(len(START_SEEDS))}. Dotted: half, where the learning rate is one over the curvature.",
)


# %% tags=["claim"]
def span(run: dict) -> float:
    """Largest over smallest gradient of the 3 × 3 convolutions behind the first."""
    return max(run["gradients"][1:-1]) / min(run["gradients"][1:-1])


def reach(run: dict) -> float:
    """The largest rate that keeps half of its promise; the smallest that was tried where none does."""
    return max(np.array(RATES)[kept(run) >= 0.5], default=RATES[0])


def deepest(run: dict) -> float:
    """The largest fall of the loss in one step, over the rates."""
    return max(run["falls"])


spans, reaches, falls = (
    {depth: {name: np.array([*map(measure, runs)]) for name, runs in begin[depth].items()} for depth in DEPTHS}
    for measure in (span, reach, deepest)
)
shallow, deep = DEPTHS
start_seeds = history.seeds(len(START_SEEDS))
show_table(
    pd.DataFrame(
        {
            f"{name}, {depth} layers": {
                "largest / smallest gradient": f"{np.median(spans[depth][name]):,.0f}",
                "largest rate that keeps half": f"{np.median(reaches[depth][name]):.1g}",
                "largest fall of the loss": f"{np.median(falls[depth][name]):.2f}",
            }
            for depth in DEPTHS
            for name in SHORTCUTS
        }
    ).T.rename_axis("network"),
    f"Before training: how far the layers' gradients differ, and what one step along the gradient gives; medians of {start_seeds}.",
    name="08-start",
)

# %% tags=["claim"]
claim(
    (spans[deep]["plain"] >= 10 * spans[deep]["residual"]).all(),
    f"at {deep} layers the plain network's gradients are spread ten times wider over the layers, or more, in every seed",
    REAL,
)
for depth in DEPTHS:
    claim(
        (reaches[depth]["residual"] >= 3 * reaches[depth]["plain"]).all(),
        f"at {depth} layers the residual network's gradient holds for steps three times longer, or more, in every seed",
        REAL,
    )

# %% tags=["finding"]
finding(
    f"In every one of {start_seeds} the gradients of the {deep}-layer plain network differ at least {(spans[deep]['plain'] / spans[deep]['residual']).min():.0f} times more between layers than the residual one's ([the table](#08-start)). "
    "They do not vanish, since BatchNorm is in both networks; in the plain network they grow towards the input.",
    when=REAL,
)
finding(
    f"One step also keeps half of the promised fall up to much larger rates with shortcuts: {(reaches[shallow]['residual'] / reaches[shallow]['plain']).min():.0f} times larger or more at {shallow} layers. Beyond its limit no step lowers the plain network's loss much.",
    when=REAL,
)

# %% [markdown]
# ### A short training, and the loss around it
#
# Both twins at both depths with the recipe above, at half its learning rate (0.1). Then the trained weights $\theta$ are moved along a random direction $d$,
#
# $$L(a) = L(\theta + a\,d), \qquad |d_{\text{filter}}| = |\theta_{\text{filter}}| \text{ for every filter},$$
#
# so that $a = 1$ moves every filter by its own length (Li et al. 2018). Without that scale the picture would show the size of the
# weights: BatchNorm makes a network with doubled weights the same function, on a landscape twice as wide. BatchNorm's own
# parameters and all biases stay.
#
# BatchNorm forces a choice. With its *running* statistics the loss is one function of the weights, and $L(0)$ is what an evaluation
# reports; but those statistics belong to the weights in the middle, and a layer that is moved away from them adds an error of its
# own. With the statistics *of each batch* it is the surface on which training walks. Both are drawn.

# %%
show_source(landscape.filter_normalised_direction, landscape.loss_along)

# %%
DISTANCES = np.linspace(-1, 1, POINTS).round(3).tolist()


def surroundings(model: nn.Module) -> dict:
    """Loss along random directions from these weights, with running statistics and with those of each batch."""
    seen = view(cifar.train_images[train_index[:LOOK_AT]], cifar.train_labels[train_index[:LOOK_AT]])
    lines = {"running": [], "batch": []}
    for seed in range(DIRECTIONS):
        direction = landscape.filter_normalised_direction(model, torch.Generator().manual_seed(seed))
        for kind, found in lines.items():
            found.append(landscape.loss_along(model, direction, DISTANCES, seen, batch_statistics=kind == "batch"))
    return lines


variants = {
    f"{name}-{depth}": partial(models.resnet, depth, word) for depth in DEPTHS for name, word in SHORTCUTS.items()
}
short = partial(fast, epochs=DEPTH_EPOCHS, count=DEPTH_IMAGES, lr=0.1, validation=DEPTH_VALIDATION)
twins = sweep({name: short(net, measure=surroundings) for name, net in variants.items()}, SEEDS)

# %% tags=["figure"]
show_figure(
    plots.learning_curve_panels(twins.frame(), ("train_loss", "val_accuracy")),
    "08-twins",
    f"Residual and plain twins, {DEPTH_EPOCHS} epochs of {DEPTH_IMAGES or len(train_index):,} images; {SEEDED}.",
)

# %% tags=["figure"]
TOP = 30  # nats; the deep plain network goes far beyond
fig, axes = plots.figure(2, 2, height=3.1)
for ax, (kind, depth) in zip(axes, [(kind, depth) for kind in ("batch", "running") for depth in DEPTHS], strict=True):
    for name, color in palette.items():
        lines = np.array([line for r in twins[f"{name}-{depth}"] for line in r.metrics[kind]])
        ax.plot(DISTANCES, lines.T, color=color, alpha=0.4, linewidth=1)
        ax.plot(DISTANCES, np.median(lines, axis=0), color=color, linewidth=2, label=name)
    ax.set_title(f"{depth} layers, {kind} statistics", fontsize=11)
for row, scale in ((axes[:2], "linear"), (axes[2:], "log")):
    limits = [ax.get_ylim() for ax in row]
    for ax in row:
        ax.set(yscale=scale, ylim=(max(0.5, min(limits)[0]), min(TOP, max(high for _, high in limits))))
    row[0].set_ylabel("training loss (nats)")
for ax in axes[2:]:
    ax.set_xlabel("distance a, in lengths of each filter")
axes[0].legend()
show_figure(
    fig,
    "08-landscape",
    f"Loss on {LOOK_AT} training images along {DIRECTIONS} random directions from the trained weights (thin) and their median. Below, log scale, cut off at {TOP}.",
)

# %% tags=["figure"]
half, start = DISTANCES.index(0.5), DISTANCES.index(0.0)


def loss_at(place: int, kind: str) -> dict:
    """Loss at one distance, mean of the directions, for each variant over seeds."""
    return twins.each(lambda run: np.mean([line[place] for line in run.metrics[kind]]))


columns = {
    "last training loss": twins.last("train_loss"),
    "best validation": twins.best("val_accuracy"),
    "loss here": loss_at(start, "batch"),
    "at a = 0.5, batch": loss_at(half, "batch"),
    "at a = 0.5, running": loss_at(half, "running"),
}
show_table(
    twins.table(columns).rename_axis("network"),
    f"Twins after {DEPTH_EPOCHS} epochs, {SEEDED}; at a = 0.5 mean of the directions. Last training loss with augmentation and smoothed targets, the other losses without, on {LOOK_AT} images.",
    name="08-twins-table",
)

# %% tags=["claim"]
gain = {depth: twins.compare(f"residual-{depth}", f"plain-{depth}", "val_accuracy", at="best") for depth in DEPTHS}
for depth in DEPTHS:
    claim(
        gain[depth].difference >= 0.05,
        f"at {depth} layers the residual network scores higher by 0.05 or more after the same epochs ({HOW_MANY})",
        REAL and (depth == deep or not FULL),  # with 30 epochs, twenty plain layers catch up
    )
deeper = twins.compare(f"plain-{deep}", f"plain-{shallow}", "val_accuracy", at="best")
claim(deeper.difference < 0, f"without shortcuts the deeper network scores lower ({HOW_MANY})", REAL)
slices = {name: np.median([line for r in runs for line in r.metrics["batch"]], axis=0) for name, runs in twins.items()}
claim(
    all(min(line[0], line[-1]) > line[start] for line in slices.values()),
    "with batch statistics every median slice is higher at both ends than in the middle",
    REAL,
)

# %% tags=["finding"]
ends = {name: [max(line) for r in runs for line in r.metrics["running"]] for name, runs in twins.items()}
highest = {
    name: f"up to {max(tops):,.0f} nats (median of the directions {np.median(tops):,.0f})"
    for name, tops in ends.items()
}
finding(
    f"Best validation accuracy, residual minus plain, from the same initial weights ([the table](#08-twins-table)): {gain[shallow]!s} at {shallow} layers; {gain[deep]!s} at {deep}.",
    when=REAL,
)
finding(
    f"The random slices show no such difference. With batch statistics all are bowls, and a plain network's is shallower, but it also lies higher up ({slices[f'plain-{deep}'][start]:.2f} against {slices[f'residual-{deep}'][start]:.2f} at {deep} layers), where there is less room to rise: its depth says nothing about smoothness.",
    when=REAL,
)
finding(
    f"With running statistics the error of one layer goes on through all that follow: the deep plain network's loss rises {highest[f'plain-{deep}']}, the residual one's {highest[f'residual-{deep}']}. "
    "This is a property of stale statistics at least as much as of the surface.",
    when=REAL,
)

# %% [markdown]
# **Answer: true**, as an account of what was seen here: through the shortcuts a part of the gradient reaches every block without
# passing the convolutions above it (only their last ReLUs), the gradients of the layers stay comparable, and on the first step the loss
# follows its gradient over rates that are many times larger, the more so the deeper the network. That larger rates are usable in training
# is what one expects from this; here the twins were trained with one rate. Its limits:
#
# - It is an empirical account and no theorem. The steps were measured at the start of training, on one batch; the training is short,
#   with few seeds. Given time, twenty plain layers with BatchNorm learn too (in the paper nearly as well as residual ones).
# - Random directions ([figure](#08-landscape)) hardly show it. A slice of one dimension out of hundreds of thousands can be smooth on a rugged surface, and two networks
#   that have come differently far lie at different heights. Published pictures compare fully trained networks, and there the deep
#   plain one is rugged (Li et al. 2018).
# - Shortcuts are one cause among several. BatchNorm is in both networks, and careful initial weights can do part of the same work.
#
# ## Saving and loading
#
# `keep_weights` put the weights of the best validation epoch beside the run's result. They are tensors and nothing else, and are
# read with `weights_only`: a pickled model could run any code when it is opened. The course's own checkpoint is a dictionary with
# `state_dict`, `epoch` and `lr`; a `state_dict` holds references, so one that is kept during training has to be copied
# (`copy.deepcopy`), or it goes on changing.

# %%
chosen = max(quick["fast recipe"], key=lambda run: run.best("val_accuracy"))


def loaded(state: dict, classes: int = 10) -> nn.Module:
    """A ResNet-20 with these weights, on the device."""
    net = models.ResNet(classes=classes)
    net.load_state_dict(state)
    return net.to(settings.device(), memory_format=torch.channels_last)


def as_trained(result) -> torch.autocast:
    """Products in the precision in which this run was trained and evaluated."""
    in_bfloat16 = result.provenance["precision"] == "bfloat16"
    return torch.autocast(settings.device().type, torch.bfloat16, enabled=in_bfloat16, cache_enabled=False)


net = loaded(store.load_weights(chosen))
with as_trained(chosen):
    val_accuracy = training.evaluate(net, validation)[1]
print(f"validation accuracy in training {chosen.best('val_accuracy'):.4f}, of the loaded weights {val_accuracy:.4f}")

# %% tags=["key"]
row = max(chosen.history, key=lambda row: row["val_accuracy"])
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "resnet20.pth"
    torch.save({"state_dict": net.state_dict(), "epoch": row["epoch"], "lr": row["lr"]}, path)
    checkpoint = torch.load(path, weights_only=True)
    size = path.stat().st_size
again = loaded(checkpoint["state_dict"])
same = all(torch.equal(value, again.state_dict()[name]) for name, value in net.state_dict().items())
print(
    f"checkpoint of epoch {checkpoint['epoch']}, lr {checkpoint['lr']:.4f}: {size / 1e6:.2f} MB, weights equal: {same}"
)

# %% tags=["claim"]
ONE_IMAGE = 1 / len(val_index)
claim(
    abs(val_accuracy - chosen.best("val_accuracy")) <= 2 * ONE_IMAGE,
    "loaded weights score what they did, to two images at most",
    REAL or PROFILE == "sample",  # not where stored runs are replayed without the data sets
)
claim(same, "weights come back from the course's checkpoint bit by bit")

# %% [markdown]
# ## `predictions.csv`
#
# One row for each of the 10,000 test images, in the order of the test set, below the header `Id,Label`. `predict` refuses shuffled
# or augmented batches; `validate` names the first row that is wrong, as would `coursekit predictions build/predictions.csv`.

# %%
show_source(predictions.predict, predictions.write)

# %% tags=["key"]
test = view(cifar.test_images, cifar.test_labels)
path = Path("build/predictions.csv")
with as_trained(chosen):
    predictions.write(path, predictions.predict(net, test))
predicted = predictions.validate(path, rows=len(cifar.test_labels))
test_accuracy = float((torch.tensor(predicted) == cifar.test_labels).double().mean())
print(*path.read_text().splitlines()[:4], "...", sep="\n")

# %%
lines = path.read_text().splitlines()
FAULTS = {
    "two rows exchanged": [*lines[:3], lines[4], lines[3], *lines[5:]],
    "a row left out": lines[:5] + lines[6:],
    "class 10": [*lines[:7], "6,10", *lines[8:]],
    "a row too many": [*lines, f"{len(lines) - 1},3"],
}
with tempfile.TemporaryDirectory() as folder:
    for fault, text in FAULTS.items():
        faulty = Path(folder) / "predictions.csv"
        faulty.write_text("\n".join(text))
        try:
            predictions.validate(faulty, rows=len(cifar.test_labels))
        except DataError as error:
            print(f"{fault}: {error}")

# %% tags=["claim"]
reported = chosen.metrics["best_test_accuracy"]
claim(
    abs(test_accuracy - reported) <= 2 / len(predicted),
    "the file's accuracy is the reported test accuracy, to two images at most",
    REAL or PROFILE == "sample",
)

# %% tags=["finding"]
deviation = math.sqrt(reported * (1 - reported) / len(predicted))
finding(
    f"The weights that validation chose classify {reported:.4f} of the test images ({chosen.best('val_accuracy'):.4f} of the validation images), and the file says the same. One standard deviation of an "
    f"accuracy on {len(predicted):,} images is {deviation:.4f}; validation chose the epoch, so its number is expected a little higher than it deserves.",
    when=REAL,
)

# %% [markdown]
# ## Using it again: transfer (the bonus of S2)
#
# A network that has learnt to see some classes should need fewer images for others. The usual start is a network trained on
# ImageNet: torchvision's ResNet-18 with a new linear layer for ten classes. It was made for larger images (its first layers divide
# the size by four), so ours are enlarged to 64 × 64; our standardised pixels are close to the ones that it knows. The weights are a
# download of 45 MB. (Pre-training is forbidden in the course whose accuracies stand above; nothing here mixes with them.)


# %%
def resnet18(weights: str | None) -> nn.Module:
    """torchvision's ResNet-18 for ten classes, behind an enlargement to 64 × 64."""
    nowhere = io.StringIO()  # torch says in which folder of this machine it keeps a download
    with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        net = torchvision.models.resnet18(weights=weights, progress=False)
    net.fc = nn.Linear(net.fc.in_features, 10)
    return nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), net)


IMAGENET_EPOCHS, IMAGENET_IMAGES = budget((3, 2000), sample=(1, 128))
starts = {"ImageNet weights": partial(resnet18, "IMAGENET1K_V1"), "random weights": partial(resnet18, None)}
from_imagenet = {name: fast(net, IMAGENET_EPOCHS, IMAGENET_IMAGES, lr=0.02) for name, net in starts.items()}
from_imagenet["SimpleCNN"] = fast(models.SimpleCNN, IMAGENET_EPOCHS, IMAGENET_IMAGES, lr=0.02)
imagenet = Runs()
socket.setdefaulttimeout(20)  # seconds without an answer; there would be no limit
if PROFILE == "sample":
    print("ImageNet weights are not asked for in profile sample.")
else:
    try:
        imagenet = sweep(from_imagenet, range(1))
    except OSError as error:  # urllib's errors and time-outs are all of this kind
        print(f"ImageNet weights could not be had ({error}); below is a transfer that needs no download.")

# %% tags=["figure"]
if imagenet:
    columns = {"best validation": imagenet.best("val_accuracy"), "test": imagenet.final("best_test_accuracy")}
    show_table(
        imagenet.table(columns).rename_axis("network"),
        f"ResNet-18 with and without ImageNet weights, and SimpleCNN: {IMAGENET_EPOCHS} epochs of {IMAGENET_IMAGES or len(train_index):,} images, one seed.",
    )

# %% [markdown]
# ### A transfer without a download
#
# Our own ResNet-20 learns six classes with all their images, and is then to learn the other four from a handful. It keeps all
# layers but the last, which starts anew. The rival starts from random weights and sees the same images. Both may choose between two
# learning rates by validation (100 images of each class, more than there are to train on: a comfort that real small data would not
# give); pixels are standardised by the few training images alone.

# %% tags=["key"]
OLD, NEW = tuple(range(6)), tuple(range(6, 10))
old_count = IMAGES or len(OLD) * (train_count // 10)
base_run = fast(partial(models.ResNet, classes=len(OLD)), OLD_EPOCHS, old_count, classes=OLD, keep_weights=True)
base = sweep({f"{len(OLD)} classes": base_run}, range(1))[f"{len(OLD)} classes"][0]


def with_new_head(key: str, classes: int) -> nn.Module:
    """The network of a kept run, its last layer drawn anew for other classes."""
    state = store.load_weights(store.load(key))
    net = models.ResNet(classes=classes)
    net.load_state_dict({name: net.state_dict()[name] if "head" in name else value for name, value in state.items()})
    return net


print(f"knows {', '.join(cifar.classes[c] for c in OLD)}: {base.best('val_accuracy'):.3f} on validation")
print(f"is to learn {', '.join(cifar.classes[c] for c in NEW)}")

# %% tags=["key"]
STARTS = {
    "fine-tuned": (partial(with_new_head, base.key, len(NEW)), (0.02, 0.1)),
    "from scratch": (partial(models.ResNet, classes=len(NEW)), (0.02, 0.1)),
}
few = partial(fast, epochs=FEW_EPOCHS, count=FEW, batch=50, classes=NEW, validation=min(100, VALIDATION))
tried = sweep({f"{name}, lr {lr}": few(net, lr=lr) for name, (net, rates) in STARTS.items() for lr in rates}, FEW_SEEDS)
by_rate = tried.best("val_accuracy")
chosen_rate = {name: max((v for v in tried if v.startswith(name)), key=lambda v: by_rate[v].mean) for name in STARTS}
transfer = Runs({name: tried[variant] for name, variant in chosen_rate.items()})

# %% tags=["figure"]
few_seeds = history.spread_over(len(FEW_SEEDS))
on_test = transfer.final("best_test_accuracy")
fig, axes = plots.figure(1, 2, height=2.6)
plots.learning_curves(transfer.frame(), "val_accuracy", axes[0])
plots.compare({name: spread.values for name, spread in on_test.items()}, "test accuracy", axes[1])
show_figure(
    fig,
    "08-transfer",
    f"Four classes from {FEW} images together: our ResNet-20 fine-tuned or from scratch, {few_seeds}; test accuracy of the weights chosen by validation.",
)

# %% tags=["figure"]
show_table(
    tried.table({"best validation": by_rate, "test": tried.final("best_test_accuracy")}).rename_axis("start"),
    f"{FEW} images of four new classes, {FEW_EPOCHS} epochs, {few_seeds}.",
    name="08-transfer-table",
)

# %% tags=["claim"]
borrowed = transfer.compare("fine-tuned", "from scratch", "best_test_accuracy")
claim(borrowed.better, "fine-tuning is better than training from scratch on the same few images", REAL)

# %% tags=["finding"]
finding(
    f"From {FEW} images of four classes that it had never seen, the fine-tuned network is {borrowed.verdict} on the test set than the one from scratch: {borrowed:+.3f}. "
    f"Each has the better of two learning rates ([the table](#08-transfer-table)); guessing scores 0.25.",
    when=REAL,
)

# %% [markdown]
# **Why it helps.** Edges, textures and parts are not the property of six classes. The first layers start where another training
# would have to arrive; a handful of images is enough to read the new classes off them, and not enough to learn to see. With all 18,000 images
# of the four classes the advantage would probably shrink to a faster start (not tested here). ImageNet adds a thousand classes and a million images to what the
# first layers have seen; its price is a download, and input that has to be made to fit.
#
# ## The scorecard
#
# Every published number beside ours; three of the five courses have some. Each notebook records what it measured on the real data; this table is
# read from those records. Tolerances were set before the runs. A row says *shorter protocol* where this machine's budget cut it, and
# then it is shown without a verdict.

# %% tags=["figure"]
scorecard.show()

# %% [markdown]
# ## What to take along
#
# - A residual block adds to its input. Set its last BatchNorm weight to 0 and it is its shortcut: one line that tests a network.
# - Count the layers that you build: $n$ blocks in a stage make $6n + 2$, and six of them are no ResNet-20.
# - With BatchNorm gradients do not vanish in a plain network; they grow towards the input, the more so the deeper it is. Shortcuts keep
#   them even. Twenty plain layers learn too, but in the one run of each more slowly.
# - The fast recipe needs fewer epochs than the published thirty for about the same accuracy. It changes schedule, rate, momentum, weight
#   decay and targets together: which of them does it was not measured.
# - Choose on validation, read the test set for what was chosen, and say how often you looked.
# - Pictures of a loss surface need a scale, and two networks; one pretty valley shows nothing.
#
# ## Exercises
#
# 1. **Call** `zero_last_norms` on a plain network, `models.resnet20("none")`. **Predict** its first loss, and which parameters get a
#    gradient.
#
#    <details><summary>Answer</summary>Each block returns ReLU(0) = 0, so the logits are the bias of the last layer and the loss is
#    about 2.3. The slope of ReLU at 0 is taken as 0, so nothing but that bias gets a gradient: the network is dead. With shortcuts the
#    same initialisation is a good one; the shortcut carries signal and gradient past the silent branch.</details>
#
# 2. **Train** `models.resnet20("zero-padding")` with the fast recipe. **Predict** parameters, accuracy, and whether one seed can tell.
#
#    <details><summary>Answer</summary>269,722 parameters, 1 % fewer; expect a difference in accuracy no larger than that between
#    two seeds, so one seed cannot tell them apart.</details>
#
# 3. **Fine-tune** from 50 and from 2,000 images (`FEW`), and change `FEW_EPOCHS` so that the number of steps stays. **Predict** how the distance to training from scratch changes.
#
#    <details><summary>Answer</summary>Expect it to shrink with the number of images: features that are borrowed save the images that
#    would be needed to learn them. Look at the spread between seeds too, which should be widest with 50.</details>

# %% [markdown]
# ## References

# %% tags=["hide-input"]
show_references("cifar10", "goyal2017", "he2016", "li2018")
