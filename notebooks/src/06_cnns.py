# %% [markdown]
# # 06 · Convolutional networks
#
# **Question.** What does a network gain when it looks at an image through small windows that it shares over all places,
# and what decides how much: parameters, depth, BatchNorm, the learning rate?
#
# A convolution by hand comes first, then the arithmetic of layers, then eleven networks on CIFAR-10: the five nets of one
# course compared with each other, a larger one watched while it overfits, three architectures side by side, and a small
# one with and without BatchNorm at two learning rates.
#
# **What we expect before looking.** cnn3, cnn4 and cnn5 beat both MLPs although the MLPs have seven to twelve times their
# parameters. The large CNN comes close to knowing its training images by heart within a few epochs. A learning rate of 0.1 is
# too much for the plain net and fine with BatchNorm; 1.0 is too much even with it.

# %% tags=["setup"]
import math
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import nn

from coursekit import (
    Experiment,
    batches_of_test_set,
    check,
    data,
    diagnostics,
    history,
    models,
    plots,
    scorecard,
    scratch,
    settings,
    sweep,
    validation_slice,
)
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

PROFILE = setup("06_cnns")

# %% tags=["parameters"]
SEEDS = range(budget(1, sample=1))
FIVE_EPOCHS = budget(3, sample=1)
BASELINE_EPOCHS = budget(10, sample=1)
CNN_EPOCHS = budget(6, sample=1)
THREE_EPOCHS, THREE_IMAGES = budget((5, 7_500), sample=(1, 200))
IMAGES = budget(None, sample=400)  # None: all 45,000
NORM_EPOCHS = budget(8, sample=1)

# %%
cifar = data.load("cifar10")
digits = data.load("mnist")
REAL = not (cifar.is_sample or digits.is_sample)
FULL = REAL and PROFILE == "full"
HOW_MANY, SEEDED = history.seeds(len(SEEDS)), history.spread_over(len(SEEDS))
show_data(cifar, digits)

# %% [markdown]
# Every split below is the same: 45,000 images to train (fewer where a table says so), 5,000 (500 of each class, fixed) to validate,
# 10,000 to test. Pixels are standardised with mean and deviation *of the training split*. The test set chooses nothing.
#
# Networks are compared seed by seed: the mean of the differences with its 95 % interval. *Better* and *worse* mean that the interval does
# not contain zero, *undecided* that it does. One seed has no interval, so it decides nothing: it says what happened in that run.

# %% tags=["figure"]
labels = cifar.train_labels.numpy()
chosen = np.concatenate([np.flatnonzero(labels == c)[:2] for c in range(10)]).reshape(10, 2).T.ravel()
fig, [ax] = plots.figure(height=1.5)
plots.image_grid(cifar.train_images.numpy()[chosen], columns=10, ax=ax)
show_figure(fig, "06-cifar", f"Two training images of each class: {', '.join(cifar.classes)}.", pixels=True)

# %% [markdown]
# ## A convolution by hand
#
# For images $x$ and kernels $k$, without padding and with stride 1,
#
# $$y_{n,o,i,j} = \sum_{c,a,b} x_{n,c,i+a,j+b}\; k_{o,c,a,b} .$$
#
# The kernel is not flipped: strictly this is cross-correlation, and deep learning calls it convolution. All windows of an
# image, written as columns, turn it into one matrix product.

# %% [markdown] tags=["exercise"]
# **Your turn: a convolution.** Loops are fine. The check tries several channels, several kernels, sizes that are not square, and images
# of bytes.
#
# <details><summary>Hint</summary>Loop over the places $(i, j)$ of the result. A window has the shape of one kernel; multiply number by number
# and sum over channels, rows and columns. 200 + 200 is 144 in uint8.</details>


# %% tags=["exercise"]
def my_conv2d(images: np.ndarray, kernels: np.ndarray) -> np.ndarray:
    """images (batch, c_in, H, W), kernels (c_out, c_in, kh, kw) to (batch, c_out, H-kh+1, W-kw+1)."""
    # BEGIN SOLUTION
    height, width = (n - k + 1 for n, k in zip(images.shape[2:], kernels.shape[2:], strict=True))
    result = np.zeros((len(images), len(kernels), height, width))
    for a, b in np.ndindex(kernels.shape[2:]):
        shifted = images[:, :, a : a + height, b : b + width].astype(float)
        result += np.einsum("nchw,oc->nohw", shifted, kernels[:, :, a, b])
    return result
    # END SOLUTION


# %% tags=["exercise"]
check("conv2d", my_conv2d)

# %% tags=["solution"]
show_source(scratch.conv2d)

# %% tags=["key"]
KERNELS = {
    "edge, vertical": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
    "edge, horizontal": [[-1, -2, -1], [0, 0, 0], [1, 2, 1]],
    "diagonal \\": [[2, -1, -1], [-1, 2, -1], [-1, -1, 2]],
    "diagonal /": [[-1, -1, 2], [-1, 2, -1], [2, -1, -1]],
    "Laplacian": [[0, 1, 0], [1, -4, 1], [0, 1, 0]],
    "blur": [[1 / 9] * 3] * 3,
    "corner": [[1, 1, 0], [1, 1, -1], [0, -1, -3]],
    "centre-surround": [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]],
}
sevens = digits.train_images[digits.train_labels == 7][:5].numpy()[:, None] / 255
kernels = np.array(list(KERNELS.values()), np.float32)[:, None]
maps = scratch.conv2d(sevens, kernels)
expected = torch.nn.functional.conv2d(torch.tensor(sevens, dtype=torch.float32), torch.tensor(kernels)).numpy()
claim(np.abs(maps - expected).max() < 1e-5, "R39: our convolution is torch's to 1e-5")
sevens.shape, kernels.shape, maps.shape

# %% tags=["figure"]
fig, axes = plots.figure(1, 8, height=5.4)
fig.set_size_inches(9.2, 5.6)
for ax, (name, column) in zip(axes, zip(KERNELS, maps.swapaxes(0, 1), strict=True), strict=True):
    plots.image_grid(column, columns=1, ax=ax)
    ax.set_title(name.replace(", ", "\n"), fontsize=9)
show_figure(
    fig,
    "06-sevens",
    "Five sevens (rows) through eight 3 × 3 kernels (columns), each column on its own grey scale.",
    pixels=True,
)

# %% [markdown]
# **Why columns look alike and rows do not.** A column is one kernel over five sevens: the same question asked of similar
# pictures. A row is eight questions asked of one picture. What follows for a layer: each kernel is a detector, its map says
# *where* the pattern is; moving the digit moves the map (translation equivariance); and eight maps are more numbers than one
# image, so a convolution by itself reduces nothing. Strides and pooling do.
#
# **Why convolutions matter.** A pattern is looked for in a small window, at every place, with the same weights: few parameters, and what was
# learnt at one place is known at all others. Pooling adds some indifference to small shifts. The architecture has all of that before any training.
#
# **What the numbers of a kernel tensor mean.** $C_{out} \times C_{in} \times k_h \times k_w$: how many maps come out, how many
# channels each kernel spans, and how far it sees. Sharing one kernel over all places is why there are so few parameters.
#
# ## Counting
#
# Five questions of one course, answered by arithmetic and checked by building the layer.

# %% [markdown] tags=["exercise"]
# **Your turn: how large is the map?** Rows (or columns) of the result of a convolution or a pooling.
#
# <details><summary>Hint</summary>Lay the kernel at the very left; how many strides are possible? A stride that does not fit is left out.</details>


# %% tags=["exercise"]
def my_output_size(size: int, kernel: int, stride: int, padding: int) -> int:
    """Places for a kernel on `size` pixels with `padding` more on each side."""
    # BEGIN SOLUTION
    return len(range(0, size + 2 * padding - kernel + 1, stride))
    # END SOLUTION


# %% tags=["exercise"]
check("output_size", my_output_size)


# %% tags=["key"]
def parameters(layer: nn.Module) -> int:
    """Weights and biases of one layer."""
    return models.parameter_count(layer)


def depthwise(n: int) -> float:
    """How many times fewer multiply-adds a 3×3 depthwise separable layer takes, for n output channels."""
    return 9 * n / (9 + n)


separable = nn.Sequential(nn.Conv2d(16, 16, 3, groups=16, bias=False, padding=1), nn.Conv2d(16, 64, 1, bias=False))
macs = [
    models.layer_table(net, (16, 32, 32)).MACs.sum() for net in (nn.Conv2d(16, 64, 3, padding=1, bias=False), separable)
]
answers = {
    "100×100 RGB, 100 fully connected units": (3 * 100 * 100 * 100 + 100, parameters(nn.Linear(30_000, 100))),
    "the same, 100 filters of 3×3": (3 * 3 * 3 * 100 + 100, parameters(nn.Conv2d(3, 100, 3))),
    "one 1×1 filter on 16 channels": (16 + 1, parameters(nn.Conv2d(16, 1, 1))),
    "100×100×16, 32 filters of 5×5: height": (100 - 5 + 1, nn.Conv2d(16, 32, 5)(torch.zeros(1, 16, 100, 100)).shape[2]),
    "3×3 convolution / depthwise separable, 64 channels out": (round(depthwise(64), 4), round(macs[0] / macs[1], 4)),
}
show_table(
    pd.DataFrame(answers, index=["by formula", "by torch"]).T.map("{:,.7g}".format),
    "Computations, by formula and by building the layer.",
)

# %% tags=["claim"]
claim(all(a == b for a, b in answers.values()), "every formula gives what the layer has")
claim([a for a, _ in answers.values()][:4] == [3_000_100, 2_800, 17, 96], "3,000,100; 2,800; 17; 96 × 96 × 32")
claim(
    depthwise(16) < 6 < depthwise(64) < 8 < depthwise(256) < 9,
    "R40: the gain 9N/(9+N) is 5.8 for 16 channels and nears 9 for many",
)
layers = models.layer_table(models.resnet20(), (3, 32, 32))
cubes = layers[layers.weight.str.endswith("×3×3")]
gain = cubes.MACs.sum() / sum(row.MACs / depthwise(int(row.weight.split("×")[0])) for row in cubes.itertuples())
claim(6.7 < gain < 6.8, f"over all 3 × 3 convolutions of ResNet-20 (notebook 08) it would be {gain:.2f}")

# %% [markdown]
# "Eight to nine times faster" is the wide limit, in multiply-adds; clocks gain less, because a depthwise layer does little
# arithmetic for each number that it moves. With $M$ channels in, $N$ out and maps of $D \times D$ a depthwise separable layer costs
# $9MD^2 + MND^2$; the
# source prints a spurious $N$ in the first term, which would make it slower than the convolution that it replaces.
#
# ## SimpleNN: checks before training
#
# Two convolutions and three linear layers. Before any training, four questions: does a batch pass, are the parameters
# where we think, is the first loss $\ln 10$, and on which device does it run?

# %%
torch.manual_seed(0)
model = models.SimpleNN().to(settings.device())
assert model(torch.zeros(100, 3, 32, 32, device=settings.device())).shape == (100, 10)
table = models.layer_table(model, (3, 32, 32))
print(
    f"parameters on {next(model.parameters()).device}, {settings.device_name()}; {models.parameter_count(model):,} in all"
)
show_table(table.set_index("layer"), "SimpleNN layer by layer, for an image of 3 × 32 × 32.")

# %% tags=["claim"]
claim(
    table.parameters.tolist() == [608, 1168, 69_240, 10_164, 850],
    "the layers have 608, 1,168, 69,240, 10,164 and 850 parameters",
)
claim(models.parameter_count(models.SimpleNN(batch_norm=True)) == 82_078, "BatchNorm after each convolution adds 48")

# %% [markdown]
# The source prints 60,240 for the first linear layer and 19,800 weights for the second, and then says that the numbers match.
# They do not: 576 · 120 + 120 = 69,240 and 120 · 84 = 10,080.

# %%
NETS = {
    "LeNet5": models.LeNet5,
    "SimpleNN": models.SimpleNN,
    "SimpleNN-BN": partial(models.SimpleNN, True),
    "mlp1": models.mlp1,
    "mlp2": models.mlp2,
    "cnn3": models.cnn3,
    "cnn4": models.cnn4,
    "cnn5": models.cnn5,
    "CNN_A": models.SimpleCNN,
    "CNN_B": models.cnn_b,
    "CNN_C": models.cnn_c,
}
shown, targets = (cifar.train_images[:500].permute(0, 3, 1, 2) / 127.5 - 1), cifar.train_labels[:500].long()
first_loss = {name: models.initial_loss(net(), shown, targets) for name, net in NETS.items()}
sizes = {name: models.layer_table(net(), (3, 32, 32))[["parameters", "MACs"]].sum() for name, net in NETS.items()}
table = pd.DataFrame(
    {
        name: {"parameters": f"{s.parameters:,}", "MACs": f"{s.MACs:,}", "first loss": f"{first_loss[name]:.3f}"}
        for name, s in sizes.items()
    }
).T
show_table(
    table,
    f"The networks of this notebook: size, multiply-adds for one image, loss before the first step (ln 10 = {math.log(10):.4f}).",
)

# %% tags=["claim"]
claim(
    max(abs(loss - math.log(10)) for loss in first_loss.values()) < 0.05,
    "R36: every first loss is within 0.05 of ln 10",
)
claim(
    [sizes[n].parameters for n in ("CNN_A", "CNN_B", "CNN_C")] == [545_098, 1_080_042, 1_259_786],
    "R33: published parameter counts",
)

# %% [markdown]
# Cross-entropy is $-\frac1B\sum \ln p_{y}$, with the minus sign that the source lost; guessing among ten classes costs
# $-\ln\frac1{10} = 2.3026$, not 2.31.
#
# ### Baseline
#
# SGD with momentum 0.9, lr 0.01, weight decay 1e-4, batch 128, no augmentation.

# %% tags=["key"]
on_cifar = partial(Experiment, data="cifar10", validation=500, pixels="standard", train_size=IMAGES)
sgd = partial(torch.optim.SGD, lr=0.01, momentum=0.9, weight_decay=1e-4)
baseline = sweep(
    {name: on_cifar(NETS[name], sgd, epochs=BASELINE_EPOCHS, batch_size=128) for name in ("SimpleNN", "LeNet5")}, SEEDS
)


# %% tags=["figure"]
BOTH_SPLITS = ("train_loss", "val_loss", "train_accuracy", "val_accuracy")
show_figure(
    plots.learning_curve_panels(baseline.frame(), BOTH_SPLITS),
    "06-baseline",
    f"SimpleNN and LeNet5 without augmentation; the training curves are means over the batches of an epoch; {SEEDED}.",
)

# %% tags=["claim"]
simple, reached = baseline["SimpleNN"], baseline.best("val_accuracy")
scorecard.record("S4.L1.g.initial", [first_loss["SimpleNN"]], when=REAL)
scorecard.record("S4.L1.g.best", reached["SimpleNN"].values, simple)
claim(reached["SimpleNN"].mean >= 0.65, "R27: SimpleNN reaches 0.65 on validation", FULL)
claim(reached["SimpleNN"].mean >= 0.58, "SimpleNN reaches 0.58 on validation within the short budget", REAL)

# %% tags=["finding"]
gap = baseline.each(lambda run: run.final("train_accuracy") - run.last("val_accuracy"))["SimpleNN"]
turns = [min(run.history, key=lambda row: row["val_loss"])["epoch"] for run in simple]
finding(
    f"After {BASELINE_EPOCHS} epochs SimpleNN's best validation accuracy is {reached['SimpleNN']:.3f} (published after 30: 0.6564), LeNet5's "
    f"{reached['LeNet5']:.3f}. The gap between training and validation accuracy of SimpleNN's last weights is {gap:.3f}; its validation loss "
    f"is lowest after epoch {', '.join(map(str, turns))}. A validation accuracy that no longer rises does not tell overfitting from a plateau; these two do.",
    when=REAL,
)

# %% [markdown]
# ## Five networks compared
#
# Two MLPs and three CNNs with Adam at 1e-3 and batch 50. The source validates on all 5,000 images every ten steps, which costs
# 3.3 times the training itself. We validate at that cadence on a fixed 1,000 of them and on all once an epoch.
#
# mlp2 has a layer more than mlp1 and no activation before it, so it can represent exactly what mlp1 can. We call their test
# accuracies equal if the interval of the difference lies within ±0.03, a limit that was set before the runs.


# %%
def first_weights(model: nn.Module, count: int = 8) -> dict:
    """The first filters, as small integers that a results file can hold: 0 to 255 over each filter's own range."""
    weight = next(iter(diagnostics.layers(model).values())).weight.detach()[:count].reshape(-1, 3, *_size(model))
    low, high = weight.amin((1, 2, 3), keepdim=True), weight.amax((1, 2, 3), keepdim=True)
    scaled = (255 * (weight - low) / (high - low)).round().int()
    return {"filters": scaled.permute(0, 2, 3, 1).tolist()}


def _size(model: nn.Module) -> tuple[int, int]:
    weight = next(iter(diagnostics.layers(model).values())).weight
    return tuple(weight.shape[2:]) if weight.ndim == 4 else (32, 32)


adam = partial(torch.optim.Adam, lr=1e-3)
probe = partial(validation_slice, name="cifar10")
five_nets = ("mlp1", "mlp2", "cnn3", "cnn4", "cnn5")
five = sweep(
    {
        name: on_cifar(NETS[name], adam, epochs=FIVE_EPOCHS, batch_size=50, probe=probe, measure=first_weights)
        for name in five_nets
    },
    SEEDS,
)

# %% tags=["figure"]
probes = pd.concat(
    pd.DataFrame(r.probes).rolling(30, min_periods=1).mean()[::10].assign(variant=name, seed=seed)
    for name, results in five.items()
    for seed, r in enumerate(results)
)
frame = five.frame()
fig, axes = plots.figure(2, 2)
plots.learning_curves(probes, "loss", axes[0], x="step").set_ylabel("training loss (nats)")
plots.learning_curves(probes, "val_accuracy", axes[1], x="step").get_legend().remove()
on_train, on_test = five.final("train_accuracy"), five.final("test_accuracy")
plots.labelled_points({name: (on_train[name].mean, on_test[name].mean) for name in five}, axes[2]).set(
    xlabel="final training accuracy", ylabel="final test accuracy"
)
for name, color in plots.colors(five).items():
    rows = frame[frame.variant == name].groupby("epoch").mean(numeric_only=True)
    axes[3].plot(rows.train_accuracy, rows.val_accuracy, "o-", color=color, markersize=3)
low, high = axes[3].get_xlim()
axes[3].plot([low, high], [low, high], ":", color="grey")
axes[3].set(xlabel="running training accuracy", ylabel="validation accuracy")
show_figure(
    fig,
    "06-five",
    "Five nets: loss and validation accuracy every ten steps (running mean of 30 points), final accuracies, and the path of validation against running training accuracy by epoch (dotted: equal; above it because the running value is of weights that were still worse).",
)

# %% tags=["figure"]
gaps = five.each(lambda run: run.final("train_accuracy") - run.final("test_accuracy"))
columns = {"train": on_train, "validation": five.last("val_accuracy"), "test": on_test, "train - test": gaps}
table = five.table(columns).rename_axis("network")
table.insert(0, "parameters", [f"{sizes[name].parameters:,}" for name in five])
table.insert(1, "MACs", [f"{sizes[name].MACs:,}" for name in five])
show_table(
    table,
    f"Five nets after {FIVE_EPOCHS} epochs (Adam 1e-3, batch 50), all accuracies in evaluation mode, {SEEDED}.",
    name="06-five-table",
)

# %% tags=["claim"]
scorecard.record("S1.5.1.d", on_test["cnn4"].values, five["cnn4"])
two_mlps, three_cnns = five_nets[:2], five_nets[2:]
ahead = [five.compare(cnn, mlp, "test_accuracy") for cnn in three_cnns for mlp in two_mlps]
claim(
    all(comparison.difference > 0 for comparison in ahead),
    f"R24: on the test set every CNN scores higher than both MLPs ({HOW_MANY})",
    REAL,
)
deeper = five.compare("mlp2", "mlp1", "test_accuracy", equal_within=0.03)
claim(abs(deeper.difference) <= 0.03, f"R18: mlp1 and mlp2 differ by no more than 0.03 ({HOW_MANY})", REAL)
claim(
    gaps["cnn5"].mean <= max(gaps["mlp1"].mean, gaps["mlp2"].mean) + 0.02,
    f"cnn5's gap is larger than the MLPs' by no more than 0.02 ({HOW_MANY})",
    REAL,
)

# %% tags=["finding"]
on_validation = five.last("val_accuracy")
better_mlp = max(two_mlps, key=lambda name: on_test[name].mean)
finding(
    f"In these runs ({HOW_MANY}) every CNN scores higher on the test set than both MLPs ([the table](#06-five-table)); "
    f"{sum(comparison.better for comparison in ahead)} of the {len(ahead)} differences are decided. The one to pick is {max(five, key=lambda name: on_validation[name].mean)}, the best on validation.",
    when=REAL,
    headline=f"On CIFAR-10, cnn5 with {sizes['cnn5'].parameters:,} parameters scores {on_test['cnn5']:.3f} on the test set; the better of two MLPs, with "
    f"{sizes['mlp1'].parameters / sizes['cnn5'].parameters:.0f} times as many, scores {on_test[better_mlp]:.3f} ({HOW_MANY}).",
)
finding(f"mlp2's extra layer changes the test accuracy by {deeper!s}.", when=REAL)
finding(
    f"cnn5's gap between training and test accuracy after {FIVE_EPOCHS} epochs is {gaps['cnn5']:.3f}: no sign of overfitting{'' if FULL else ' so far'}.",
    when=REAL,
)

# %% tags=["figure"]
fig, axes = plots.figure(5, 1, height=1.1)
fig.set_size_inches(6, 4.4)
for ax, name in zip(axes, five_nets, strict=True):
    plots.image_grid(np.array(five[name][0].metrics["filters"]), columns=8, ax=ax)
    ax.set_ylabel(name, rotation=0, ha="right", va="center")
show_figure(
    fig,
    "06-first-weights",
    "Eight first-layer units of each net, each scaled to its own range: templates of 32 × 32 × 3 (MLPs) and filters of 3 × 3 × 3 (CNNs).",
    pixels=True,
)

# %% [markdown]
# **Questions of the course.**
#
# - *Generalisation* is performance on images that were not trained on. The test score shows it, and so does the gap between
#   training and test accuracy (bottom left of [the four panels](#06-five)). A training curve alone never does.
# - *Parameters* do not order these nets. The likely reason is inductive bias: locality and sharing fit images, so few parameters go far.
# - *Depth* helps as long as optimisation keeps up. cnn5 is deeper and narrower than cnn4; its score is what its small size and
#   weak gradients (notebook 04) allow. To say that it overfits, as the source does, one would have to see a large gap.
# - *Readable weights*: MLP units look like noisy colour templates; 3 × 3 filters are too small to read more than a colour or an
#   edge direction. Output units belong to classes by construction, hidden units only in part.
# - *Alike and unlike*: mlp1 and mlp2 are one class of functions; their scores here are close. cnn3, cnn4 and cnn5 are one family and differ by depth and
#   width and kernel size, by more than the worst of them differs from the MLPs; yet every one of them is above both MLPs.
# - *Which one?* The best on validation, here among the CNNs; where that is undecided between two, the cheaper one.
#
# ## A larger CNN, and when its validation loss turns
#
# SimpleCNN: two padded convolutions and a wide linear layer, 545,098 parameters, Adam 1e-3, batch 64. The source has no
# validation loss and uses the test set in its place; its best epoch (0.7238) and its last (0.7032) differ without comment.
# We watch the test set too, beside that series and for nothing else.


# %%
def look_inside(model: nn.Module) -> dict:
    """Confusion matrix on the test set, first filters, and the first maps of three test images, as small integers."""
    test = batches_of_test_set("cifar10", validation=500, pixels="standard")
    with torch.inference_mode(), diagnostics.recorded_activations(model.eval()) as outputs:
        predicted = torch.cat([model(images).argmax(1) for images, _ in test.of_epoch(0)])
        model(next(test.of_epoch(0))[0][:3])
    matrix = torch.bincount(10 * test.labels + predicted, minlength=100).reshape(10, 10)
    maps = outputs["activation 1"][:, :8]
    maps = (255 * maps / maps.amax()).round().int()
    return first_weights(model, 16) | {"confusion": matrix.tolist(), "maps": maps.tolist()}


big = on_cifar(models.SimpleCNN, adam, epochs=CNN_EPOCHS, batch_size=64, measure=look_inside, watch_test=True)
watched = sweep({"SimpleCNN": big}, SEEDS)
cnn = watched["SimpleCNN"]

# %% tags=["figure"]
frame = watched.frame()
fig, axes = plots.figure(1, 2)
for ax, kind in zip(axes, ("loss", "accuracy"), strict=True):
    both = pd.concat(
        [
            frame.assign(variant=name, **{kind: frame[f"{split}_{kind}"]})
            for name, split in (("training", "train"), ("validation", "val"))
        ]
    )
    plots.learning_curves(both, kind, ax).set_ylabel("loss (nats)" if kind == "loss" else "accuracy")
show_figure(
    fig,
    "06-simplecnn",
    f"SimpleCNN (CNN_A): training goes on, validation loss turns; {SEEDED}.",
)

# %% tags=["claim"]
for id, metric in (("S2.3A.loss", "train_loss"), ("S2.3A.accuracy", "test_accuracy")):
    scorecard.record(id, [[row[metric] for row in r.history] for r in cnn], cnn)
turns = [min(run.history, key=lambda row: row["val_loss"])["epoch"] for run in cnn]
claim(max(turns) < CNN_EPOCHS, "validation loss is lowest before the last epoch", REAL)
claim(all(r.history[-1]["train_loss"] < 0.15 for r in cnn), "R32: training loss below 0.15 after 20 epochs", FULL)
peaks = [max(r.history, key=lambda row: row["test_accuracy"]) for r in cnn]
claim(
    all(
        p["epoch"] < 12 and r.history[-1]["test_accuracy"] < p["test_accuracy"] - 0.005
        for p, r in zip(peaks, cnn, strict=True)
    ),
    "R32: test accuracy is highest before epoch 12 and ends more than 0.005 lower",
    FULL,
)

# %% tags=["finding"]
finals = {
    metric: watched.final(metric)["SimpleCNN"] for metric in ("train_accuracy", "test_accuracy", "best_test_accuracy")
}
finding(
    f"Validation loss is lowest after epoch {', '.join(map(str, turns))} of {CNN_EPOCHS}, while the training loss still falls to "
    f"{watched.last('train_loss')['SimpleCNN']:.3f} and the training accuracy of the last weights is {finals['train_accuracy']:.3f}. "
    f"The last weights score {finals['test_accuracy']:.3f} on the test set, those of the best validation epoch {finals['best_test_accuracy']:.3f} ({HOW_MANY}).",
    when=REAL,
)

# %% tags=["figure"]
fig, [ax] = plots.figure(height=4.4)
plots.confusion(np.array(cnn[0].metrics["confusion"]), cifar.classes, ax)
show_figure(
    fig,
    "06-confusion",
    "SimpleCNN on the test images: counts, coloured by the share of each true class. Look for pairs that are confused both ways.",
)

# %%
matrix = np.array(cnn[0].metrics["confusion"])
pairs = (matrix + matrix.T)[np.triu_indices(10, 1)]
worst = [
    (cifar.classes[i], cifar.classes[j], int(n))
    for n, i, j in sorted(zip(pairs, *np.triu_indices(10, 1), strict=True), reverse=True)[:3]
]
print("most confused, both ways together:", "; ".join(f"{a} and {b} ({n})" for a, b, n in worst))

# %% tags=["figure"]
fig, [top, bottom] = plots.figure(2, 1, height=1.8)
top.get_gridspec().set_height_ratios([1, 4])
plots.image_grid(np.array(cnn[0].metrics["filters"]), columns=16, ax=top)
top.set_title("16 first-layer filters (3 × 3 × 3), each on its own scale", fontsize=10)
maps = np.array(cnn[0].metrics["maps"])
plots.image_grid(
    maps.reshape(-1, *maps.shape[2:]),
    columns=8,
    ax=bottom,
    row_labels=[cifar.classes[c] for c in cifar.test_labels[:3]],
)
bottom.set_title("what the first 8 of them see in three test images (one common scale)", fontsize=10)
show_figure(fig, "06-inside", "SimpleCNN from inside: filters, and their activation maps after ReLU.", pixels=True)

# %% [markdown]
# ## Three architectures
#
# CNN_A, CNN_B (one convolution and 128 units more) and CNN_C (wider, 5 × 5, average pooling). CNN_C differs in three things
# at once, so the course's conclusion that average pooling is worse does not follow. The control has maximum pooling.

# %% tags=["key"]
three_nets = {
    "CNN_A": models.SimpleCNN,
    "CNN_B": models.cnn_b,
    "CNN_C": models.cnn_c,
    "CNN_C max": partial(models.cnn_c, nn.MaxPool2d),
}
smaller = partial(on_cifar, train_size=THREE_IMAGES, epochs=THREE_EPOCHS, batch_size=64)
three = sweep({name: smaller(net, adam) for name, net in three_nets.items()}, SEEDS)

# %% tags=["figure"]
cost = {name: models.layer_table(net(), (3, 32, 32))[["parameters", "MACs"]].sum() for name, net in three_nets.items()}
columns = {"best validation": three.best("val_accuracy"), "test (best epoch)": three.final("best_test_accuracy")}
seconds = three.last("seconds")
table = three.table(columns).rename_axis("network")
table.insert(0, "parameters", [f"{cost[name].parameters:,}" for name in three])
table.insert(1, "MACs", [f"{cost[name].MACs:,}" for name in three])
table.insert(2, "training seconds", [f"{seconds[name]:.0f}" for name in three])
images = "45,000" if THREE_IMAGES is None else f"{THREE_IMAGES:,}"
show_table(
    table,
    f"Three architectures and a control after {THREE_EPOCHS} epochs on {images} images, {SEEDED}.",
    name="06-three",
)

# %% tags=["figure"]
fig, axes = plots.figure(1, 2)
for ax, runs, macs in zip(axes, (five, three), (sizes, cost), strict=True):
    test = runs.final("test_accuracy")
    plots.labelled_points({name: (macs[name].MACs, test[name].mean) for name in runs}, ax)
    ax.set(xscale="log", xlabel="multiply-adds for one image", ylabel="test accuracy, last epoch", xlim=(5e4, 4e8))
show_figure(
    fig,
    "06-cost",
    f"Cost against test accuracy: the five small nets (left, {FIVE_EPOCHS} epochs), and CNN_A, CNN_B and CNN_C (right, {THREE_EPOCHS} epochs of {images} images); {SEEDED}.",
)

# %% tags=["claim"]
for letter in "ABC":
    results = three[f"CNN_{letter}"]
    scorecard.record(f"S2.3B.{letter}", [run.final("test_accuracy") for run in results], results)
scorecard.record("S2.3B.parameters", [[sizes[f"CNN_{letter}"].parameters for letter in "ABC"]], when=REAL)
relative = [round(cost[f"CNN_{letter}"].MACs / cost["CNN_A"].MACs, 2) for letter in "ABC"]
claim(relative == [1.0, 2.63, 9.53], "R33: the multiply-adds are as 1 : 2.63 : 9.53")
deeper = three.compare("CNN_B", "CNN_A", "val_accuracy", at="best")
claim(deeper.difference >= -0.005, "R33: CNN_B is no worse than CNN_A by more than 0.005 on average", FULL)

# %% tags=["finding"]
finding(
    f"On this machine CNN_B takes {seconds['CNN_B'].mean / seconds['CNN_A'].mean:.1f} and CNN_C {seconds['CNN_C'].mean / seconds['CNN_A'].mean:.1f} times as long as CNN_A, in the order of their "
    f"multiply-adds. The course has B faster than A, which was its machine, not the network.",
    when=REAL,
)
on_val = three.compare("CNN_C max", "CNN_C", "val_accuracy", at="best")
on_test = three.compare("CNN_C max", "CNN_C", "best_test_accuracy")
finding(
    f"Maximum against average pooling, all else equal, is {on_val.verdict}: {on_val:+.3f} on validation, {on_test:+.3f} on the test set. "
    f"The course calls average pooling worse; its own table, with C above A, does not show it.",
    when=REAL,
)

# %% [markdown]
# ## BatchNorm and the learning rate
#
# SimpleNN with crop and flip, at 0.01 and 0.1, with and without BatchNorm; Swish in place of ReLU at 0.1; and a rate of 1.0,
# to see what too much looks like.


# %% [markdown] tags=["exercise"]
# **Your turn: BatchNorm.** What it does to a batch in training, without the running statistics.
#
# <details><summary>Hint</summary>Each channel has one mean and one variance, over images, rows and columns. eps belongs under the root.</details>


# %% tags=["exercise"]
def my_batch_norm(images: np.ndarray, weight: np.ndarray, bias: np.ndarray, eps: float) -> np.ndarray:
    """images (batch, channels, H, W) normalised channel by channel; weight and bias (channels,)."""
    # BEGIN SOLUTION
    channels = np.moveaxis(images, 1, 0).reshape(len(weight), -1)
    scale = weight / np.sqrt(channels.var(axis=1) + eps)
    return images * scale[:, None, None] + (bias - scale * channels.mean(axis=1))[:, None, None]
    # END SOLUTION


# %% tags=["exercise"]
check("batch_norm", my_batch_norm)


# %% tags=["key"]
def augmented(batch_norm: bool, lr: float, activation: str = "relu") -> Experiment:
    """SimpleNN with random crop and flip, all else as in the baseline."""
    net = partial(models.SimpleNN, batch_norm, activation)
    optimizer = partial(torch.optim.SGD, lr=lr, momentum=0.9, weight_decay=1e-4)
    return on_cifar(net, optimizer, epochs=NORM_EPOCHS, batch_size=128, augment=data.crop_flip)


norms = sweep(
    {f"{'BN' if bn else 'plain'}, lr {lr}": augmented(bn, lr) for bn in (False, True) for lr in (0.01, 0.1)}, SEEDS
)
swish = sweep({"BN, Swish, lr 0.1": augmented(True, 0.1, "swish")}, SEEDS)
too_much = sweep({"BN, lr 1.0": augmented(True, 1.0)}, SEEDS)

# %% tags=["figure"]
normed = norms | swish | too_much
show_figure(
    plots.learning_curve_panels(normed.frame(), ("train_loss", "val_accuracy")),
    "06-batchnorm",
    f"SimpleNN with and without BatchNorm at two learning rates, Swish, and a rate that is too large; {SEEDED}.",
)

# %% tags=["figure"]
published = {
    "plain, lr 0.01": 0.7106,
    "plain, lr 0.1": 0.4946,
    "BN, lr 0.01": 0.7180,
    "BN, lr 0.1": 0.6862,
    "BN, Swish, lr 0.1": 0.7242,
    "BN, lr 1.0": 0.1054,
}
reached = normed.best("val_accuracy")
table = normed.table({"best validation": reached, "last training loss": normed.last("train_loss")})
table.insert(0, "status", [runs[0].status for runs in normed.values()])
table["published, 30 epochs"] = [f"{published[name]:.4f}" for name in normed]
show_table(
    table.rename_axis("network"),
    f"BatchNorm, learning rate and Swish after {NORM_EPOCHS} epochs, {SEEDED}; published values are for 30 epochs.",
)

# %% tags=["figure"]
PAIRS = {
    "BatchNorm - plain, lr 0.1": ("BN, lr 0.1", "plain, lr 0.1"),
    "BatchNorm - plain, lr 0.01": ("BN, lr 0.01", "plain, lr 0.01"),
    "Swish - ReLU, BatchNorm, lr 0.1": ("BN, Swish, lr 0.1", "BN, lr 0.1"),
}
comparisons = {title: normed.compare(*pair, "val_accuracy", at="best") for title, pair in PAIRS.items()}
show_table(
    pd.DataFrame({title: {"difference": f"{c}", "verdict": c.verdict} for title, c in comparisons.items()}).T,
    f"Differences in best validation accuracy, with 95 % intervals where there are several seeds; here {HOW_MANY}.",
    name="06-norm-differences",
)

# %% tags=["claim"]
by_id = {"i": "BN, lr 0.01", "ii.plain": "plain, lr 0.1", "ii.BN": "BN, lr 0.1", "iii": "BN, Swish, lr 0.1"}
for id, name in by_id.items():
    scorecard.record(f"S4.L2.b.{id}", reached[name].values, normed[name])
high, low, smooth = comparisons.values()
claim(high.difference >= 0.08, f"R28: at lr 0.1 BatchNorm scores higher by 0.08 or more ({HOW_MANY})", REAL)
claim(low.difference >= -0.01, f"R28: at lr 0.01 BatchNorm costs no more than 0.01 ({HOW_MANY})", REAL)
claim(
    all(run.best("val_accuracy") <= 0.20 and run.last("train_loss") >= 2.2 for run in normed["BN, lr 1.0"]),
    "R29: lr 1.0 collapses to guessing",
    REAL,
)
claim(smooth.difference >= 0, f"R31: Swish scores no lower than ReLU at lr 0.1 with BatchNorm ({HOW_MANY})", REAL)

# %% tags=["finding"]
finding(
    f"In these runs ({HOW_MANY}) BatchNorm changes the best validation accuracy by {high.difference:+.3f} at lr 0.1 and by {low.difference:+.3f} at 0.01, Swish by {smooth.difference:+.3f} at 0.1. "
    f"{sum(c.verdict != 'undecided' for c in comparisons.values())} of the three differences are decided ([the table](#06-norm-differences)).",
    when=REAL,
)
finding(
    f"At 1.0 the net collapses: the training loss stays at {normed.last('train_loss')['BN, lr 1.0']:.3f}, the same answer for every image. That is neither a bounce around an optimum nor a diverged (infinite) loss.",
    when=REAL,
)

# %% [markdown]
# **Why.** With BatchNorm behind it a convolution's output does not depend on the scale of its kernels, and its gradient falls as
# they grow: a step that is too long makes the next ones shorter in proportion. The original account ("internal covariate shift") is disputed; a smoother loss is the better
# supported one. Swish is flat on no whole interval, so a unit that a step has pushed moderately below 0 still gets a gradient (far
# below it is as good as none); that may help at large rates (not tested here) and is no general cure for vanishing gradients. BatchNorm slightly regularises, dropout slows convergence:
# they are not two names for one thing.
#
# ## What to take along
#
# - On images, a few shared weights can score higher than seven to twelve times as many that are not shared.
# - Read generalisation from a gap, not from a curve; and read the validation *loss*, which turns before the accuracy does.
# - Compare architectures that differ in one thing. Where they differ in three, add the control, and several seeds.
# - Report what failed as failed: a collapsed run belongs in the table, not in the mean.
#
# ## Exercises
#
# 1. **Change** one kernel of the sevens to `[[0, 0, 0], [0, 0, 1], [0, 0, 0]]`. **Predict** the map, then rerun.
#
#    <details><summary>Answer</summary>The image, moved one pixel to the left (and cropped): the kernel is not flipped, so the weight at
#    the right reads the pixel to the right.</details>
#
# 2. **Give** mlp2 an activation after its 64 units. **Predict** whether it now scores higher than mlp1, with three seeds.
#
#    <details><summary>Answer</summary>It can represent more now, but 32 units in front of it are the bottleneck; expect a change
#    of about the spread between seeds.</details>
#
# 3. **Train** SimpleCNN with `augment=data.crop_flip`. **Predict** the epoch of the lowest validation loss.
#
#    <details><summary>Answer</summary>Later, in the short profile perhaps the last: every epoch shows other crops, so learning by heart takes longer.</details>

# %% [markdown]
# ## References

# %% tags=["hide-input"]
show_references("cifar10", "mnist")
