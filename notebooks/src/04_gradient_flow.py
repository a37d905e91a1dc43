# %% [markdown]
# # 04 · Gradient flow
#
# **Question.** A layer learns from the gradient that reaches it. How much of it reaches the first layer of a deep network,
# and what decides that: the activation, the depth, the initial weights, the scale of the inputs?
#
# We measure twice. First in a plain network of seven layers on MNIST, layer by layer, before and *during* training. Then in
# the first layer of five networks on CIFAR-10, each with ReLU and with sigmoid from the same initial weights.
#
# **What we expect before looking.** The slope of a sigmoid is at most ¼, so every layer should cost the gradient a constant
# factor and seven layers several powers of ten. A ReLU has slope 1 or 0, so we expect it to lose little.

# %% tags=["setup"]
from functools import partial
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F

from coursekit import Experiment, check, data, diagnostics, history, models, plots, recall, sweep, training
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

setup("04_gradient_flow")

# %% tags=["parameters"]
INIT_SEEDS = range(budget(5, sample=2))  # a backward pass costs next to nothing
SEEDS = range(budget(3, sample=1))
EPOCHS = budget(5, sample=2)
DIGITS_SIZE = budget(None, sample=1000)  # None: all 60,000
LR, ADAM_LR, BATCH = 0.01, 1e-3, 128
CIFAR_SEEDS = range(budget(1, sample=1))
CIFAR_EPOCHS = budget(3, sample=1)  # of 1,000 steps
CIFAR_BATCH = 50
CIFAR_SIZE = budget(None, sample=100)  # None: all 50,000
IMAGES = budget(500, sample=50)  # for one backward pass through a CIFAR network
INPUT_SEEDS = range(budget(3, sample=1))

# %%
digits = data.load("mnist")
cifar = data.load("cifar10")
REAL = not (digits.is_sample or cifar.is_sample)
show_data(digits, cifar)

# %% [markdown]
# ## Seven layers, one backward pass (S2.2B.1)
#
# Layer $l$ computes $z_l = W_l a_{l-1} + b_l$ and $a_l = \varphi(z_l)$. With $\delta_l = \partial L / \partial z_l$ the chain
# rule says
#
# $$\delta_l = (W_{l+1}^\top \delta_{l+1}) \odot \varphi'(z_l), \qquad \frac{\partial L}{\partial W_l} = \delta_l\, a_{l-1}^\top .$$
#
# So the gradient of a layer's weights is a product of two signals: $\delta_l$, which has come all the way *back*, and
# $a_{l-1}$, which has come *forward*. Going back over one layer with $n$ outputs multiplies the size of $\delta$ by about
#
# $$\sqrt n \cdot \mathrm{std}(W) \cdot \mathrm{rms}(\varphi').$$
#
# For 256 units: PyTorch's default weights have $\mathrm{std} = 1/\sqrt{3 \cdot 256}$, He's $\sqrt{2/256}$. The slope of a sigmoid
# is at most ¼ (reached at $z = 0$), and that of a ReLU is 1 for half of the units, $\mathrm{rms} = \sqrt{½}$. The factor is then
# 0.14 for sigmoids, 0.41 for ReLUs, and 1 for ReLUs with He's weights (He et al. 2015). He's rule counts a layer's inputs, which keeps
# the size of the activations; here inputs and outputs are both 256, so it keeps that of the gradient too.
#
# We read the gradients of the *weights* only, after `backward` and before they are cleared, and take the mean of their
# absolute values, because a norm grows with the number of weights.

# %% [markdown] tags=["exercise"]
# **Your turn: weights that keep the signal's size, and a measure of the gradient's.** `my_he_weights` draws He's weights; `my_gradient_norm`
# takes a list of arrays, the gradients of several weights, and returns their L2 norm as if they were one long vector.
#
# <details><summary>Hint</summary>He's √(2/n) is a standard deviation, and n is the number of inputs. The norm of several arrays is not the
# sum of their norms.</details>


# %% tags=["exercise"]
def my_he_weights(d_in: int, d_out: int, rng: np.random.Generator) -> np.ndarray:
    """Weights (d_in, d_out) for a layer before a ReLU, drawn from rng."""
    # BEGIN SOLUTION
    return rng.standard_normal((d_in, d_out)) * (2 / d_in) ** 0.5
    # END SOLUTION


def my_gradient_norm(gradients: list[np.ndarray]) -> float:
    """L2 norm over all numbers of all arrays."""
    # BEGIN SOLUTION
    return float(np.linalg.norm(np.concatenate([gradient.ravel() for gradient in gradients])))
    # END SOLUTION


# %% tags=["exercise"]
check("he_weights", my_he_weights)
check("gradient_norm", my_gradient_norm)

# %%
show_source(models.DeepMLP, diagnostics.layers, diagnostics.mean_absolute_gradients, diagnostics.layer_gradients)

# %%
ACTIVATION = {"sigmoid": "sigmoid", "ReLU": "relu"}
START = {  # name: activation and initial weights
    "sigmoid": ("sigmoid", "default"),
    "ReLU": ("relu", "default"),
    "sigmoid, Xavier": ("sigmoid", "xavier"),
    "sigmoid, He": ("sigmoid", "he"),
    "ReLU, He": ("relu", "he"),
}


def first_batch(dataset, size, normalize=None):
    """The first images of the training split and their labels."""
    images, labels = dataset.train_images[:size], dataset.train_labels[:size]
    return next(data.Batches(images, labels, size, normalize=normalize).of_epoch(0))


def legend_above(fig, axes, columns):
    """One legend above all panels, in place of those inside."""
    handles, names = axes[0].get_legend_handles_labels()
    for ax in axes:
        if ax.get_legend():
            ax.get_legend().remove()
    fig.legend(handles, names, loc="outside upper center", ncols=columns)


def after_backward(build, images, labels, seed, initialization="default"):
    """A network with fresh weights and the gradients of one batch."""
    torch.manual_seed(seed)
    network = models.initialize(build(), initialization)
    F.cross_entropy(network(images), labels).backward()
    return network


# %%
digit_batch = first_batch(digits, BATCH)
at_start = {
    name: np.array(
        [
            diagnostics.mean_absolute_gradients(
                after_backward(partial(models.DeepMLP, activation), *digit_batch, seed, scheme)
            )
            for seed in INIT_SEEDS
        ]
    )
    for name, (activation, scheme) in START.items()
}
last_to_first = {name: float(np.median(values[:, -1] / values[:, 0])) for name, values in at_start.items()}

# %% tags=["figure"]
fig, [ax] = plots.figure(height=3.8)
plots.gradient_by_layer(at_start, ax)
ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
show_figure(
    fig,
    "04-layers-start",
    f"Mean |gradient| of each layer's weights before the first step, 784-[256]×6-10 on one batch of {BATCH} digits: "
    f"median of {len(INIT_SEEDS)} seeds, band from the least to the most.",
)

# %% tags=["figure"]
table = pd.DataFrame({name: np.median(values, axis=0) for name, values in at_start.items()}).map("{:.1e}".format)
table.index = [f"layer {number}" for number in range(1, len(table) + 1)]
table.loc["last / first"] = [f"{last_to_first[name]:,.0f}" for name in table]
table.index.name = "mean |gradient|"
show_table(
    table, f"The same as numbers; medians over {len(INIT_SEEDS)} seeds. Names without an addition: default weights."
)

# %% tags=["claim"]
inner = at_start["ReLU, He"][:, :-1]
inner_spread = float((inner.max(axis=1) / inner.min(axis=1)).max())
claim(
    last_to_first["sigmoid"] >= 1e4, "R13: sigmoid: the last layer's gradient is at least 10⁴ times the first's", REAL
)
claim(last_to_first["ReLU"] <= 1e3, "R13: ReLU: at most 10³ times", REAL)
claim(
    last_to_first["sigmoid"] >= 100 * last_to_first["ReLU"], "R13: the sigmoid's ratio is at least 100 times the ReLU's"
)
claim(inner_spread <= 3, "R14: ReLU with He's weights: layers 1 to 6 within a factor of 3, for every seed", REAL)

# %% [markdown]
# ### Is it the factor that we computed?
#
# The same backward pass, but now we keep $\delta$ and $a$ themselves and look at how much each grows over one layer.


# %%
def growth(activation, scheme, seed):
    """Mean factor per layer, over the six hidden layers: of δ on its way back, and of the activations forward."""
    torch.manual_seed(seed)
    x, signals = digit_batch[0], []
    for layer in models.initialize(models.DeepMLP(activation), scheme):
        x = layer(x)
        if not isinstance(layer, nn.Flatten):
            x.retain_grad()
            signals.append(x)
    F.cross_entropy(x, digit_batch[1]).backward()
    delta = [z.grad.square().mean().sqrt().item() for z in signals[0:-1:2]]
    size = [a.square().mean().sqrt().item() for a in signals[1::2]]
    return (delta[0] / delta[-1]) ** (1 / 5), (size[-1] / size[0]) ** (1 / 5)


STD = {"default": (1 / 3) ** 0.5, "he": 2**0.5, "xavier": 1.0}  # times 1/√256
SLOPE = {"sigmoid": 0.25, "relu": 0.5**0.5}
measured = {name: np.median([growth(*START[name], seed) for seed in INIT_SEEDS], axis=0) for name in START}
predicted = {name: STD[scheme] * SLOPE[activation] for name, (activation, scheme) in START.items()}

# %% tags=["figure"]
table = pd.DataFrame(
    {
        "predicted, back": predicted,
        "measured, back": {name: back for name, (back, _) in measured.items()},
        "measured, forward": {name: forward for name, (_, forward) in measured.items()},
    }
)
table.index.name = "factor per layer"
show_table(
    table.map("{:.2f}".format),
    f"By how much one layer multiplies δ on its way back and the activations on their way forward; medians of {len(INIT_SEEDS)} seeds.",
)

# %% tags=["claim"]
deviation = {name: abs(measured[name][0] / predicted[name] - 1) for name in START}
claim(
    max(deviation.values()) < 0.15, "the factor √n · std(W) · rms(φ′) predicts what a layer passes on within 15 %", REAL
)
claim(measured["ReLU"][0] < 0.6, "with default weights a ReLU layer, too, loses more than a third of δ")

# %% tags=["finding"]
sigmoid_fold = f"{float(format(last_to_first['sigmoid'], '.2g')):,.0f}"  # two digits are known
finding(
    f"From the last layer to the first the gradient shrinks {sigmoid_fold}-fold with sigmoids and {last_to_first['ReLU']:.0f}-fold with ReLUs. "
    f"The slope is half of the story: with PyTorch's default weights a ReLU layer passes on only {measured['ReLU'][0]:.2f} of δ as well, and layer 1 of the ReLU "
    f"network starts with a mean gradient of {np.median(at_start['ReLU'][:, 0]):.0e}. With He's weights the factor is {measured['ReLU, He'][0]:.2f} and layers 1 to 6 "
    f"agree within a factor of {inner_spread:.1f}. Sigmoids cannot be cured that way: Xavier's weights leave a factor of {measured['sigmoid, Xavier'][0]:.2f}, "
    f"He's {measured['sigmoid, He'][0]:.2f}; all predictions hold within {max(deviation.values()):.0%}.",
    when=REAL,
    headline=f"Before training, the gradient shrinks {sigmoid_fold}-fold from the last to the first of seven layers with sigmoids and "
    f"{last_to_first['ReLU']:.0f}-fold with ReLUs, with default weights; He's weights keep layers 1 to 6 within a factor of {inner_spread:.1f}.",
)

# %% [markdown]
# ### What the source did, and what it does not show
#
# The task asks to track the gradients *during training*. The source runs one batch through fresh weights, never takes a step,
# and reads `model.parameters()` in order, so that its "layer index" counts weights and biases in turn.

# %% tags=["figure"]
mixed = {
    name: np.array(
        [
            [
                parameter.grad.abs().mean().item()
                for parameter in after_backward(partial(models.DeepMLP, activation), *digit_batch, seed).parameters()
            ]
            for seed in INIT_SEEDS
        ]
    )
    for name, activation in ACTIVATION.items()
}
fig, [ax] = plots.figure()
plots.gradient_by_layer(mixed, ax).set_xlabel("index in model.parameters(): odd weights, even biases")
show_figure(
    fig,
    "04-mixed",
    f"The source's way of reading: weights and biases in one line, at one batch before the first step; {len(INIT_SEEDS)} seeds.",
)

# %% tags=["claim"]
bias_to_weight = {name: float(np.median(values[:, 3:-2:2] / values[:, 2:-2:2])) for name, values in mixed.items()}
claim(
    bias_to_weight["ReLU"] > 5,
    "a hidden bias of the ReLU network has more than 5 times the gradient of its weights",
    REAL,
)

# %% [markdown]
# The zigzag ([figure](#04-mixed)) is no property of layers. A bias has gradient $\delta_l$, a weight $\delta_l\,a_{l-1}$: weight over bias is
# about the size of the activations, and says nothing about vanishing. And one batch before the first step cannot say whether a network
# trains. So we train.
#
# ## Seven layers, during training
#
# (S2.2B.2, S2.2B.3) Plain SGD at 0.01, as in notebook 03, plus Adam at 0.001, which divides every weight's step by the running size of its own gradient.
# Runs with the same seed share the order of their batches, so we compare in pairs: the mean difference with its 95 % interval.

# %% tags=["key"]
ADAM = {"sigmoid, Adam": ("sigmoid", "default"), "ReLU, Adam": ("relu", "default")}
deep = {
    name: Experiment(
        model=partial(models.DeepMLP, activation),
        initialization=scheme,
        optimizer=partial(torch.optim.Adam, lr=ADAM_LR) if name in ADAM else partial(torch.optim.SGD, lr=LR),
        data="mnist",
        epochs=EPOCHS,
        batch_size=BATCH,
        train_size=DIGITS_SIZE,
        probe=diagnostics.layer_gradients,
        probe_every=20,
        watch_test=True,  # for the comparison after each epoch; nothing is chosen by it
    )
    for name, (activation, scheme) in (START | ADAM).items()
}
deep_runs = sweep(deep, SEEDS)

# %% tags=["figure"]
fig = plots.learning_curve_panels(deep_runs.frame(), ("train_loss", "test_accuracy"))
show_figure(
    fig,
    "04-deep-training",
    f"784-[256]×6-10 on MNIST, batch {BATCH}, SGD {LR} or Adam {ADAM_LR}: {history.spread_over(len(SEEDS))}.",
)


# %%
def probe_frame(runs, smooth=1):
    """Probes as one table with a row per variant, seed and step; each series is a running median of `smooth` values."""
    rows = [
        dict(variant=variant, seed=seed, **row)
        for variant, results in runs.items()
        for seed, run in enumerate(results)
        for row in run.probes
    ]
    frame = pd.DataFrame(rows)
    series = frame.columns.drop(["variant", "seed", "step"])
    smoothed = frame.groupby(["variant", "seed"])[list(series)].rolling(smooth, min_periods=1).median()
    frame[series] = smoothed.droplevel([0, 1])
    return frame


tracked = probe_frame(deep_runs, smooth=5)

# %% tags=["figure"]
PLACES = {"first layer": "linear 1", "middle layer": "linear 4", "last layer": "linear 7"}
medians = tracked.groupby(["variant", "step"]).median(numeric_only=True).reset_index()
fig, axes = plots.figure(3, 2, height=2.7)
for ax, name in zip(axes, ("sigmoid", "ReLU", "sigmoid, He", "ReLU, He", "sigmoid, Adam", "ReLU, Adam"), strict=True):
    chosen = medians[(medians["variant"] == name) & (medians["step"] % 60 == 0)]
    lines = pd.concat(chosen[["step"]].assign(variant=place, gradient=chosen[layer]) for place, layer in PLACES.items())
    plots.learning_curves(lines, "gradient", ax, x="step", log=True).set(
        title=name, ylim=(1e-9, 1), ylabel="mean |gradient|"
    )
legend_above(fig, axes, columns=3)
show_figure(
    fig,
    "04-deep-tracked",
    f"Mean |gradient| of the first, middle and last layer during training, read every 20 steps: running median of 5 readings, "
    f"median of {len(SEEDS)} seeds.",
)

# %% tags=["figure"]
LAYERS = [f"linear {number}" for number in range(1, 8)]
last_step = int(tracked["step"].max())
windows = {
    f"early: steps 0 to {last_step // 10}": tracked["step"] <= last_step // 10,
    f"late: steps {last_step - last_step // 10} to {last_step}": tracked["step"] >= last_step - last_step // 10,
}
fig, axes = plots.figure(1, 2, height=4.2)
for ax, (title, rows) in zip(axes, windows.items(), strict=True):
    by_seed = tracked[rows].groupby(["variant", "seed"], sort=False)[LAYERS].median()
    plots.gradient_by_layer({name: by_seed.loc[name].to_numpy() for name in deep}, ax).set(title=title, ylim=(1e-9, 1))
legend_above(fig, axes, columns=4)
show_figure(
    fig,
    "04-layers-later",
    f"Mean |gradient| by layer early and late in training; median of {len(SEEDS)} seeds, band from the least to the most.",
)

# %% tags=["figure"]
loss_2 = deep_runs.each(lambda run: run.history[1]["train_loss"])
test_1 = deep_runs.each(lambda run: run.history[0]["test_accuracy"])
test_end = deep_runs.last("test_accuracy")
table = deep_runs.table({"running loss, epoch 2": loss_2, "test, epoch 1": test_1, f"test, epoch {EPOCHS}": test_end})
late = tracked[tracked["step"] >= last_step - last_step // 10]
late_ratio = (late["linear 7"] / late["linear 1"]).groupby(late["variant"]).median()
table["gradient last / first at the end"] = late_ratio.map("{:.2g}".format)
show_table(
    table,
    f"Mean training loss over epoch 2, test accuracy: {history.spread_over(len(SEEDS))}; what is left of the gradient: median.",
)

# %% tags=["claim"]
claim(
    loss_2["sigmoid"].values.min() >= 2.25,
    "R15: sigmoid, default weights, SGD 0.01: the loss is still ≥ 2.25 after 2 epochs",
    REAL,
)
claim(test_1["ReLU, He"].values.min() >= 0.88, "R15: ReLU with He's weights: test accuracy ≥ 0.88 after 1 epoch", REAL)
claim(
    loss_2["ReLU"].values.min() >= 2.25,
    "E16: ReLU with default weights has not learnt anything after 2 epochs either",
    REAL,
)
claim(test_end["sigmoid, Adam"].values.min() >= 0.9, "Adam trains the sigmoid network: ≥ 0.9 for every seed", REAL)
he_gain = deep_runs.compare("ReLU, He", "ReLU", "test_accuracy", at="last")
claim(he_gain.better, f"the same ReLU network, SGD: He's weights score higher than the default ones: {he_gain}", REAL)

# %% tags=["finding"]
finding(
    f"With SGD {LR} the sigmoid network does not learn: loss {loss_2['sigmoid']:.3f} after two epochs, and ln 10 = {np.log(10):.3f} is guessing. "
    f"Neither does the ReLU network with default weights ({loss_2['ReLU']:.3f}; test accuracy {test_end['ReLU']:.3f} after {EPOCHS} epochs), though its ratio of last to first layer looked harmless: "
    f"*one reading before training would have called it healthy.* What counts is the size in every layer. With He's weights the same network is at "
    f"{test_1['ReLU, He']:.3f} after one epoch and {test_end['ReLU, He']:.3f} after {EPOCHS}. "
    f"Adam rescues both, {test_end['sigmoid, Adam']:.3f} with sigmoids and {test_end['ReLU, Adam']:.3f} with ReLUs: it rescales each weight's step, so a "
    f"gradient that is tiny but points somewhere is enough.",
    when=REAL,
)

# %% [markdown]
# ## Five networks on CIFAR-10
#
# mlp1 has one hidden layer, mlp2 a second one without activation; cnn3, cnn4 and cnn5 have three, four and six convolutions. Each is trained with ReLU
# and with sigmoid. In the source every network draws its own initial weights, so that part of a difference is luck. Here
# **the twins start from the same weights** and see the same batches, because both follow from the seed alone.

# %%
NETS = {"mlp1": models.mlp1, "mlp2": models.mlp2, "cnn3": models.cnn3, "cnn4": models.cnn4, "cnn5": models.cnn5}
statistics = data.channel_statistics(cifar.train_images)
cifar_batch = first_batch(cifar, IMAGES, statistics)
twins_differ = 0
for net in NETS.values():
    for seed in INIT_SEEDS:
        torch.manual_seed(seed)
        relu = net("relu").state_dict()
        torch.manual_seed(seed)
        sigmoid = net("sigmoid").state_dict()
        twins_differ += sum(not torch.equal(relu[name], sigmoid[name]) for name in relu)
claim(twins_differ == 0, "all weights and biases of every ReLU network equal those of its sigmoid twin")


# %%
def gradients_at_start(build, scheme, images):
    """L2 norm and mean absolute value of every layer's gradient before the first step, a row for each seed."""
    batch = first_batch(cifar, images, statistics)
    networks = [after_backward(build, *batch, seed, scheme) for seed in INIT_SEEDS]
    measures = {"norm": diagnostics.gradient_norms, "mean": diagnostics.mean_absolute_gradients}
    return {name: [list(map(float, of(network))) for network in networks] for name, of in measures.items()}


def at_first_step(net, name="ReLU", scheme="default"):
    """These gradients, from the results store where they are there."""
    return recall(cifar, gradients_at_start, partial(NETS[net], ACTIVATION[name]), scheme, IMAGES)


first = {(net, name): at_first_step(net, name) for net in NETS for name in ACTIVATION}
norm, mean = (
    {key: np.array(found[kind])[:, 0] for key, found in first.items()} for kind in ("norm", "mean")
)  # of the first layer
ratio = {net: float(np.median(norm[net, "ReLU"] / norm[net, "sigmoid"])) for net in NETS}
first_weights = {net: next(iter(diagnostics.layers(build()).values())).weight.numel() for net, build in NETS.items()}

# %% tags=["figure"]
table = pd.DataFrame(
    {
        "weights": f"{first_weights[net]:,}",
        "L2, ReLU": f"{np.median(norm[net, 'ReLU']):.1e}",
        "L2, sigmoid": f"{np.median(norm[net, 'sigmoid']):.1e}",
        "ReLU / sigmoid": f"{ratio[net]:.3g}",
        "mean, ReLU": f"{np.median(mean[net, 'ReLU']):.1e}",
        "mean, sigmoid": f"{np.median(mean[net, 'sigmoid']):.1e}",
    }
    for net in NETS
).set_axis(pd.Index(NETS, name="network"))
show_table(
    table,
    f"Gradient of the first layer's weights before the first step ({IMAGES} images, medians of {len(INIT_SEEDS)} seeds): "
    "L2 norm as in the source, and mean absolute value.",
)

# %% tags=["claim"]
typical = {key: float(np.median(values)) for key, values in norm.items()}
claim(
    all((norm[a, "ReLU"] > norm[b, "ReLU"]).all() for a, b in pairwise(NETS)),
    "first-layer L2 norm with ReLU: mlp1 > mlp2 > cnn3 > cnn4 > cnn5, for every seed",
    REAL,
)
claim(
    all((norm[net, "sigmoid"] < norm[net, "ReLU"]).all() for net in NETS),
    "every sigmoid twin has a smaller norm, for every seed",
)
by_seed = {net: norm[net, "ReLU"] / norm[net, "sigmoid"] for net in NETS}
claim(
    all((by_seed[a] < by_seed[b]).all() for a, b in [("mlp1", "cnn3"), *pairwise(["mlp2", "cnn3", "cnn4", "cnn5"])]),
    "the ratio ReLU / sigmoid grows with depth, for every seed",
    REAL,
)

# %% [markdown]
# ### Why? The source's explanations
#
# The source gives four reasons: "the derivative of ReLU is unbounded" (the *function* is; its derivative is 0 or 1), "the
# derivative of the sigmoid is always below 0.25" (it is at most 0.25, and equals it at 0), "weights below 1 shrink gradients" (what
# counts is $\sqrt n \cdot \mathrm{std}(W)$, no single weight), and "weight sharing means smaller gradients". The last one can be measured: the gradient of a shared weight is the **sum** of what all its places
# send. We take it apart for the first layer of cnn3, place by place.

# %%
network = after_backward(models.cnn3, *cifar_batch, seed=0)
z = network[0](cifar_batch[0]).detach().requires_grad_()
F.cross_entropy(network[1:](z), cifar_batch[1]).backward()
patches = F.unfold(cifar_batch[0], 3)  # (image, 27 pixels, 900 places)
by_place = torch.einsum("ifp,ikp->pfk", z.grad.flatten(2), patches)
torch.testing.assert_close(by_place.sum(0), network[0].weight.grad.flatten(1), rtol=1e-3, atol=1e-5)
shared, alone = network[0].weight.grad.norm().item(), by_place.flatten(1).norm(dim=1)
print(
    f"{len(alone)} places; norm of the sum {shared:.1e}; of a single place: median {alone.median():.1e}, largest {alone.max():.1e}"
)
claim(shared > alone.max().item(), "sharing a weight enlarges its gradient: the sum exceeds every single place")

# %% [markdown]
# What is left is depth times initial weights. If that is it, He's weights should level the three CNNs.

# %%
CNNS = ("cnn3", "cnn4", "cnn5")
by_layer = {
    scheme: {net: np.array(at_first_step(net, scheme=scheme)["norm"]) for net in CNNS} for scheme in ("default", "he")
}

# %% tags=["figure"]
fig, axes = plots.figure(1, 2, height=3.6)
for ax, (title, gradients) in zip(
    axes, zip(("default weights", "He's weights"), by_layer.values(), strict=True), strict=True
):
    plots.gradient_by_layer(gradients, ax).set(title=title, ylim=(3e-4, 30), ylabel="L2 norm of the gradient")
show_figure(
    fig,
    "04-cnn-layers",
    f"L2 norm of every layer's weight gradient before the first step, ReLU: median of {len(INIT_SEEDS)} seeds, band from least to most.",
)

# %% tags=["claim"]
level = {scheme: [np.median(values[:, 0]) for values in gradients.values()] for scheme, gradients in by_layer.items()}
apart = {scheme: max(values) / min(values) for scheme, values in level.items()}
within = {scheme: values["cnn5"].max(axis=1) / values["cnn5"].min(axis=1) for scheme, values in by_layer.items()}
claim(
    apart["he"] < 4 < 10 < apart["default"],
    "first layers of cnn3, cnn4, cnn5, medians: > 10 apart with default weights, < 4 with He's",
    REAL,
)
claim(
    (within["he"] < within["default"]).all(),
    "with He's weights the layers of cnn5 are closer together, for every seed",
    REAL,
)

# %% tags=["finding"]
by_norm, by_mean = (
    typical["mlp1", "ReLU"] / typical["cnn3", "ReLU"],
    float(np.median(mean["mlp1", "ReLU"]) / np.median(mean["cnn3", "ReLU"])),
)
finding(
    f"**The gradient by architecture (S1.4.2.1).** The first-layer norm falls from {typical['mlp1', 'ReLU']:.1f} (mlp1) to {typical['cnn5', 'ReLU']:.0e} (cnn5), as the source saw. "
    f"But a norm sums over the weights, and mlp1's first layer has {first_weights['mlp1']:,} of them, cnn3's {first_weights['cnn3']}: "
    f"by L2 norm mlp1 is {by_norm:.0f} times ahead of cnn3, by mean |gradient| {by_mean:.0f} times. "
    f"**Why, among the CNNs (S1.4.2.2).** Depth times default weights: with He's weights the first layers of the three CNNs lie within a factor of {apart['he']:.1f} in place of {apart['default']:.0f}. "
    f"Sharing is innocent: it sums {len(alone)} places, and the sum is {shared / alone.median().item():.0f} times a typical place. "
    f"**Sigmoid against ReLU (S1.4.2.3).** From the same weights the ReLU's gradient is {ratio['mlp1']:.1f} times larger behind one activation (mlp1), "
    f"{ratio['cnn3']:.0f} times in cnn3, {ratio['cnn4']:.0f} in cnn4, {ratio['cnn5']:.0f} in cnn5: a factor for every activation.",
    when=REAL,
)

# %% [markdown]
# **The link to XOR (S1.4.2.3).** The XOR networks of notebook 02 have one hidden layer, like mlp1, and a sigmoid at the output. The
# hidden one costs a factor of two or three against a ReLU, the one at the output, under the squared error, at least four more; more
# steps or a larger learning rate pay that back, so sigmoids solve XOR. What can stop them
# even there is *saturation*: at $z = 5$ the slope is 0.007, at $z = 10$ it is 0.00005, and a unit out there hardly learns
# whatever the depth. And a ReLU may be *dead*: slope 0 for every example. Depth multiplies small slopes, saturation and death
# make them small to begin with. Both will be seen when the pixels are not scaled ([figure](#04-inputs)).
#
# ### Training (S1.4.1)
#
# As published: all 50,000 images to train, no validation, batches of 50, SGD 0.01 without momentum; every 10 steps we keep
# the batch loss and the L2 norm of the first layer's weight gradient at the weights before the step. (Nothing is selected,
# so no validation is needed. The profile `cpu` stops after a few of the 15 epochs.)

# %% tags=["key"]
five = {
    f"{net}, {name}": Experiment(
        model=partial(build, activation),
        optimizer=partial(torch.optim.SGD, lr=LR),
        data="cifar10",
        epochs=CIFAR_EPOCHS,
        batch_size=CIFAR_BATCH,
        train_size=CIFAR_SIZE,
        pixels="standard",
        probe=diagnostics.first_gradient_norm,
    )
    for net, build in NETS.items()
    for name, activation in ACTIVATION.items()
}
five_runs = sweep(five, CIFAR_SEEDS)

# %% tags=["figure"]
smooth = probe_frame(five_runs, smooth=20)
fig, axes = plots.figure(2, 2, height=3.2)
for row, name in enumerate(("ReLU", "sigmoid")):
    chosen = smooth[smooth["variant"].str.endswith(name) & (smooth["step"] % 40 == 0)]
    chosen = chosen.assign(variant=chosen["variant"].str.split(",").str[0])
    plots.learning_curves(chosen, "loss", axes[2 * row], x="step").set(
        title=name, ylabel="batch loss (nats)", ylim=(1.2, 2.5)
    )
    plots.learning_curves(chosen, "gradient", axes[2 * row + 1], x="step", log=True)
    axes[2 * row + 1].set(title=name, ylabel="L2 norm, first layer", ylim=(1e-6, 10))
legend_above(fig, axes, columns=5)
show_figure(
    fig,
    "04-five-nets",
    f"Five networks, ReLU above, sigmoid below: batch loss and gradient norm of the first layer, every 10 steps, running median of 20 readings; {history.spread_over(len(CIFAR_SEEDS))}.",
)

# %% tags=["figure"]
last = smooth.groupby(["variant", "seed"])["gradient"].last()
five_loss = five_runs.final("train_loss")
table = five_runs.table({"training loss": five_loss, "test accuracy": five_runs.final("test_accuracy")})
table["L2 at the start"] = [f"{runs[0].probes[0]['gradient']:.1e}" for runs in five_runs.values()]
table["L2 at the end"] = last.groupby("variant").median().map("{:.1e}".format)
show_table(
    table.rename_axis("network"),
    f"After {CIFAR_EPOCHS} epochs of SGD {LR}, batch {CIFAR_BATCH}; {history.spread_over(len(CIFAR_SEEDS))}. Loss and accuracy of the last weights; gradient of the first layer: first reading of seed 0, and running median at the end.",
)

# %% tags=["claim"]
stuck = [name for name, loss in five_loss.items() if loss.values.min() >= 2.25]
in_runs = f"in every run ({history.seeds(len(CIFAR_SEEDS))})"
claim(
    {"cnn4, sigmoid", "cnn5, sigmoid"} <= set(stuck),
    f"{in_runs} cnn4 and cnn5 with sigmoids are stuck: loss ≥ 2.25 after {CIFAR_EPOCHS} epochs",
    REAL,
)
claim(
    all((five_loss[f"{net}, ReLU"].values <= five_loss[f"{net}, sigmoid"].values + 1e-3).all() for net in NETS),
    f"{in_runs} the ReLU twin has the lower training loss, or an equal one within 0.001",
    REAL,
)
claim(
    all(
        last[f"{net}, ReLU", run.seed] > 10 * run.probes[0]["gradient"]
        for net in CNNS
        for run in five_runs[f"{net}, ReLU"]
    ),
    f"{in_runs} the first-layer gradient of a CNN with ReLU grows more than tenfold as it learns",
    REAL,
)

# %% tags=["finding"]
finding(
    f"Only the training shows whether a plateau ends: after {CIFAR_EPOCHS} epochs ({history.seeds(len(CIFAR_SEEDS))}) "
    f"{' and '.join(name.replace(',', ' with') for name in stuck)} are still at the loss of guessing, while the first layer's gradient has grown "
    "more than tenfold in every CNN with ReLU."
    + (" One seed does not decide the order of the others." if len(CIFAR_SEEDS) == 1 else ""),
    when=REAL,
)

# %% [markdown]
# ## Inputs from 0 to 255
#
# "What if the pixels were not scaled?" (S1.4.2.4) The source argues; we try. Pixels as they come, [0, 255], against [0, 1]
# and against standardised ones (mean 0, deviation 1 per channel, of the training split).
#
# First one batch, before any step. $\partial L/\partial W_1 = \delta_1 x^\top$ contains the input, and so does $z_1 = W_1 x$.

# %%
PIXELS = {"[0, 1]": None, "standardised": statistics, "[0, 255]": (torch.zeros(1), torch.full((1,), 1 / 255))}
rows = {}
for pixels, normalize in PIXELS.items():
    images, labels = first_batch(cifar, IMAGES, normalize)
    nets = {
        name: after_backward(partial(models.mlp1, activation), images, labels, seed=0)
        for name, activation in ACTIVATION.items()
    }
    with torch.no_grad():
        z = nets["sigmoid"][1](images.flatten(1))
        slope = torch.sigmoid(z) * (1 - torch.sigmoid(z))
    rows[pixels] = dict(
        z=z.square().mean().sqrt().item(), slope=slope.mean().item(), saturated=(slope < 0.01).float().mean().item()
    )
    rows[pixels] |= {name: diagnostics.gradient_norms(net)[0].item() for name, net in nets.items()}
at_pixels = pd.DataFrame(rows).T

# %% tags=["figure"]
NAMES = {"z": "rms of z", "slope": "mean slope of σ", "saturated": "share with slope < 0.01"}
table = at_pixels.map("{:.3g}".format).rename(columns=NAMES | {name: f"L2, {name}" for name in ACTIVATION})
table.index.name = "pixels"
show_table(
    table,
    f"First layer of mlp1 before the first step, {IMAGES} images, one seed: z and its slope, and the L2 norm of the weight gradient.",
    name="04-pixels-start",
)

# %% [markdown]
# How much smaller would the learning rate have to be? Stretch the input by $c$ and shrink $W_1$ by $c$: the function is
# the same, its gradient with respect to $W_1$ is $c$ times larger, and the step should be $c$ times *smaller*. So the rate of the
# first layer has to fall by $c^2 = 255^2$, and that of the other layers not at all. We check it on 20 steps.

# %%
show_source(training.train_step)

# %%
losses = {}
for pixels, c in (("[0, 1]", 1), ("[0, 255]", 255)):
    torch.manual_seed(0)
    network = models.mlp1()
    network[1].weight.data /= c
    first_layer, *others = network.parameters()
    optimizer = torch.optim.SGD([{"params": [first_layer], "lr": LR / c**2}, {"params": others, "lr": LR}])
    batches = list(
        data.Batches(cifar.train_images[:500], cifar.train_labels[:500], 25, normalize=PIXELS[pixels]).of_epoch(0)
    )
    losses[pixels] = np.array([training.train_step(network, *batch, optimizer)[1].item() for batch in batches])
difference = float(np.abs(losses["[0, 1]"] - losses["[0, 255]"]).max())
claim(difference < 1e-4, "W₁ / 255 and a first-layer rate of lr / 255² undo the stretch: the same loss at every step")

# %% [markdown]
# One rate for all layers cannot do both. What happens with the usual weights and one rate?

# %% tags=["key"]
SETTINGS = {  # pixels and learning rate, the same for all layers
    "[0, 1], lr 0.01": ("unit", LR),
    "standardised, lr 0.01": ("standard", LR),
    "[0, 255], lr 0.01": ("raw", LR),
    "[0, 255], lr 0.0001": ("raw", 1e-4),
    "[0, 255], lr 1e-6": ("raw", 1e-6),
}
INPUT_NETS = {  # and how many seeds
    "mlp1, ReLU": (partial(models.mlp1, "relu"), INPUT_SEEDS),
    "mlp1, sigmoid": (partial(models.mlp1, "sigmoid"), INPUT_SEEDS),
    "cnn3, ReLU": (partial(models.cnn3, "relu"), CIFAR_SEEDS),
}


def with_pixels(build, pixels, lr):
    """One epoch on CIFAR-10 with these pixels and this rate."""
    return Experiment(
        model=build,
        optimizer=partial(torch.optim.SGD, lr=lr),
        data="cifar10",
        epochs=1,
        batch_size=CIFAR_BATCH,
        train_size=CIFAR_SIZE,
        pixels=pixels,
        probe=diagnostics.first_gradient_norm,
    )


input_runs = {
    net: sweep({setting: with_pixels(build, *chosen) for setting, chosen in SETTINGS.items()}, seeds)
    for net, (build, seeds) in INPUT_NETS.items()
}

# %% [markdown]
# `Result.status` is "diverged" when a loss is no longer a number. That is not the only way to fail. A first step that is far
# too long can push nearly every ReLU below 0, or every sigmoid into its flat ends: the first layer's gradient is then 0, or next to it,
# on most batches, while the loss stays a number. "Dead" below: the last five readings were exactly 0. "Exploded" is a training loss
# above 100, "not below guessing" one above ln 10 - 0.02.

# %%
CEILING, TICKS = 50, (2, 3, 5, 10, 20, 50)


def fate(run):
    """What became of a run, in a word or two."""
    if run.status == "diverged":
        return "diverged"
    loss = run.metrics["train_loss"]
    stopped = all(row["gradient"] == 0 for row in run.probes[-5:])
    guessing = np.log(10) - 0.02 < loss <= 100 and not stopped
    found = {"exploded": loss > 100, "dead": stopped, "not below guessing": guessing}
    return " and ".join(word for word, holds in found.items() if holds) or "learns"


def fates(results):
    """How many seeds met which fate."""
    found = [fate(run) for run in results]
    return ", ".join(f"{word} ({found.count(word)} of {len(found)})" for word in dict.fromkeys(found))


# %% tags=["figure"]
fig, axes = plots.figure(3, 2, height=2.9)
for row, (net, runs) in enumerate(input_runs.items()):
    series = (
        probe_frame(runs, smooth=5).groupby(["variant", "step"], sort=False).median(numeric_only=True).reset_index()
    )
    series = series.assign(
        loss=series["loss"].fillna(np.inf).clip(upper=CEILING), gradient=series["gradient"].replace(0, np.nan)
    )
    series = series[series["step"] % 40 == 0]
    left, right = axes[2 * row : 2 * row + 2]
    plots.learning_curves(series, "loss", left, x="step", log=True).set(
        title=net, ylabel="batch loss (nats)", ylim=(1.4, 1.1 * CEILING)
    )
    plots.learning_curves(series, "gradient", right, x="step", log=True).set(title=net, ylabel="L2 norm, first layer")
    left.set_yticks(TICKS, labels=TICKS)
    left.minorticks_off()
    right.set_ylim(1e-4, 1e4)
legend_above(fig, axes, columns=2)
show_figure(
    fig,
    "04-inputs",
    f"One epoch of SGD by pixel scale and learning rate, running median of 5 readings, median of {len(INPUT_SEEDS)} seeds (cnn3: {len(CIFAR_SEEDS)}). "
    f"Losses above {CEILING} are drawn at {CEILING}; a gradient line that ends has left the picture or become exactly 0.",
)


# %% tags=["figure"]
def fate_row(runs, setting):
    """What became of the runs of a setting, and what those that did not diverge reached."""
    loss, accuracy = (runs.ok.final(metric)[setting] for metric in ("train_loss", "test_accuracy"))
    return {
        "pixels, rate": setting,
        "what became of it": fates(runs[setting]),
        "training loss": f"{loss:.3f}" if loss.mean < 100 else f"{loss:.1e}",
        "test accuracy": f"{accuracy:.3f}",
    }


rows = [{"network": net} | fate_row(runs, setting) for net, runs in input_runs.items() for setting in runs]
show_table(
    pd.DataFrame(rows).set_index("network"),
    f"After one epoch, batch {CIFAR_BATCH}; mean ± std of {len(INPUT_SEEDS)} seeds (cnn3: {len(CIFAR_SEEDS)}). Dead and exploded runs are in the means, diverged ones only in the counts.",
    name="04-inputs-table",
)

# %% tags=["claim"]
scaled, raw = (
    [setting for setting in SETTINGS if setting.startswith("[0, 255]") is is_raw] for is_raw in (False, True)
)
accuracy = {
    (net, setting): [run.metrics.get("test_accuracy", 0.1) for run in runs]  # diverged: guessing
    for net, by_setting in input_runs.items()
    for setting, runs in by_setting.items()
}
claim(
    all(min(accuracy[net, good]) > max(accuracy[net, bad]) for net in INPUT_NETS for good in scaled for bad in raw),
    "every scaled run scores higher than every run on raw pixels, at each rate, for each network and seed",
    REAL,
)
failed = {net: [fate(run) for run in by_setting["[0, 255], lr 0.01"]] for net, by_setting in input_runs.items()}
claim(
    all(word != "learns" for words in failed.values() for word in words),
    "[0, 255] at lr 0.01: no run does better than guessing",
    REAL,
)
growth_by = {name: at_pixels.loc["[0, 255]", name] / at_pixels.loc["[0, 1]", name] for name in ("z", "ReLU", "sigmoid")}
claim(
    200 < growth_by["z"] < 300 and growth_by["ReLU"] > 255,
    "raw pixels: z about 255 times larger, the ReLU's gradient even more",
    REAL,
)
gains = {
    net: input_runs[net].compare("standardised, lr 0.01", "[0, 1], lr 0.01", "test_accuracy")
    for net in ("mlp1, ReLU", "mlp1, sigmoid")
}
for net, gain in gains.items():
    claim(gain.better, f"{net}: standardised pixels score higher than [0, 1] after one epoch: {gain}", REAL)

# %% tags=["finding"]
best_raw = max(np.mean(accuracy[net, bad]) for net in INPUT_NETS for bad in raw)
worst_scaled = min(min(accuracy[net, good]) for net in INPUT_NETS for good in scaled)
finding(
    f"On pixels from 0 to 255 no run at lr 0.01 does better than guessing, and neither smaller rate makes up for it within one epoch: the best "
    f"mean accuracy is {best_raw:.2f}, the worst scaled run scores {worst_scaled:.2f} ([table](#04-inputs-table)). "
    f"At the start z is {growth_by['z']:.0f} times larger than with [0, 1], and the ReLU network's gradient {growth_by['ReLU']:,.0f} times.",
    when=REAL,
)
finding(
    f"Standardised pixels score higher than [0, 1] after one epoch, with mlp1 and ReLU by {gains['mlp1, ReLU']}. One reason may be that inputs "
    "in [0, 1] are all positive. That is not tested here: standardising also makes z and the gradient larger ([table](#04-pixels-start)).",
    when=REAL,
)

# %% [markdown]
# ## What to take along
#
# - A weight's gradient is a backward signal times a forward signal. Each layer multiplies the first by
#   √n · std(W) · rms(φ′); below 1 it vanishes with depth, above 1 it explodes.
# - The slope of the activation is one factor and the initial weights the other. He's weights make it 1 for ReLU. No common
#   choice of weights makes it 1 for sigmoids.
# - A picture before the first step is no record of training, and a plateau is no verdict: Adam leaves it within an epoch.
# - Compare twins from the same weights. Compare norms only between tensors of the same size. Read weights and biases apart.
# - Scale the inputs. A loss that is a number may still belong to a dead network: look at the gradient.
# - Corrected on the way: the ReLU's *derivative* is bounded by 1, the sigmoid's reaches ¼, shared weights sum their gradients,
#   and the order cnn3 > cnn4 > cnn5 is an effect of the default weights.
#
# ## Exercises
#
# 1. **Change** the optimizer of `"sigmoid"` to SGD with a rate ten times larger. **Predict** whether the first layer, which gets
#    a gradient many powers of ten smaller than the last, starts to learn; then rerun.
#
#    <details><summary>Answer</summary>It does not: one power of ten is nothing against six, and the last layer, which sees almost
#    constant inputs, only learns the class frequencies faster. Accuracy stays at guessing. The rates that the layers need differ by
#    orders of magnitude, which is what Adam gives and one SGD rate cannot.</details>
#
# 2. **Add** `"tanh, Xavier": ("tanh", "xavier")` to `START` and `"tanh": 1.0` to `SLOPE`. **Predict** whether the measured factor is
#    above or below the predicted one.
#
#    <details><summary>Answer</summary>The slope of tanh is 1 at 0, and Xavier's √n · std(W) is 1: the factor is a little below 1, because
#    the slope falls where z is not small. Xavier's rule was derived for such an activation (Glorot & Bengio 2010).</details>
#
# 3. **Predict** the curves of cnn5 with ReLU when `initialization="he"` is added to its experiment, then run it.
#
#    <details><summary>Answer</summary>Its first-layer norm starts far above those of cnn3 and cnn4, which keep the default weights, and near
#    that of mlp1. The plateau should be gone: it was an effect of the initial weights and not of the depth alone.</details>

# %% [markdown]
# ## References

# %% tags=["hide-input"]
show_references("cifar10", "glorot2010", "he2015", "mnist")
