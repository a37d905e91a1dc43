# %% [markdown]
# # 04 · Gradient flow
#
# A layer learns from the gradient that reaches it. In a deep network that gradient has passed through every later layer first, and each
# of them can shrink it or enlarge it. This notebook measures how much arrives at the first layer, and what decides that: the
# activation, the depth, the initial weights, or the scale of the inputs.
#
# **What you will learn**
#
# - why a sigmoid multiplies the gradient by at most ¼ in every layer, and where He's $\sqrt{2/n}$ comes from;
# - to predict what a layer passes on, and to check the prediction on a real network;
# - to read gradients so that they can be compared: weights without biases, mean absolute values where layers differ in size, and
#   during training as well as before it;
# - why the first layers of a deep CNN get so little, and why weight sharing is not the reason;
# - what unscaled pixels do to training, and how to tell the effect of their offset from that of their scale.
#
# **You need** the backward pass of a linear layer (notebook 01), sigmoid and ReLU (notebook 02), SGD and Adam (notebook 03).
# Convolutions appear as given layers; notebook 06 explains them. **Time:** about an hour to read, two with the exercises; two minutes
# to run from the stored results. **Difficulty:** medium, with one derivation about variances.
#
# **What we expect before looking.** The slope of a sigmoid is at most ¼, so every layer should cost the gradient a constant
# factor, and seven layers several powers of ten. A ReLU has slope 1 or 0, so we expect it to lose little. Write down your own guess.

# %% tags=["setup"]
from functools import partial
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F

from coursekit import Experiment, check, data, diagnostics, diagrams, history, models, plots, recall, sweep, training
from coursekit.notebook import (
    budget,
    claim,
    finding,
    setup,
    show_data,
    show_figure,
    show_references,
    show_sliders,
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
CIFAR_SEEDS = range(budget(3, sample=1))
CIFAR_EPOCHS = budget(15, sample=1)  # of 1,000 steps each
CIFAR_BATCH = 50
CIFAR_SIZE = budget(None, sample=100)  # None: all 50,000
IMAGES = budget(500, sample=50)  # for one backward pass through a CIFAR network
SCALE_SEEDS = range(budget(5, sample=1))

# %% tags=["plumbing"]
digits = data.load("mnist")
cifar = data.load("cifar10")
REAL = not (digits.is_sample or cifar.is_sample)
show_data(digits, cifar)


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


# %% [markdown]
# ## Two signals meet in every weight
#
# Our first network has seven linear layers with an activation between them. It is deep enough for the effect and still trains in seconds.

# %% tags=["figure"]
show_figure(
    diagrams.draw_network(models.DeepMLP("sigmoid"), (1, 28, 28)),
    "04-deep-mlp",
    "The deep network for MNIST, here with sigmoids: six hidden layers of 256 units. Only a few units of each layer are drawn.",
    pixels=True,
)

# %% [markdown]
# In the forward pass each layer hands its *activations* to the next. In the backward pass each layer hands an *error* to the one before
# it. A weight sits between the two, and its gradient is the product of what arrives from both sides.
#
# In symbols: layer $l$ computes $z_l = W_l a_{l-1} + b_l$ and $a_l = \varphi(z_l)$. Let $\delta_l = \partial L / \partial z_l$ be the
# error at layer $l$. The chain rule says
#
# $$\delta_l = (W_{l+1}^\top \delta_{l+1}) \odot \varphi'(z_l), \qquad \frac{\partial L}{\partial W_l} = \delta_l\, a_{l-1}^\top .$$
#
# So an error on its way back is multiplied twice in every layer: by the weights, and by the slope of the activation. We look at these
# two factors in turn.
#
# ### The slope of the activation
#
# The sigmoid's derivative is $\sigma' = \sigma(1 - \sigma)$. Completing the square shows how large it can get:
#
# $$\sigma' = \sigma - \sigma^2 = \tfrac14 - \left(\sigma - \tfrac12\right)^2 \le \tfrac14 .$$
#
# It equals ¼ where $\sigma = \tfrac12$, at $z = 0$, and is smaller everywhere else. After $k$ layers at most $4^{-k}$ is left of the
# product of the slopes. The ReLU's slope is 1 for an active unit and 0 otherwise, so a path through active units loses nothing.

# %% tags=["figure"]
z = torch.linspace(-6, 6, 121, requires_grad=True)
fig, [ax] = plots.figure(height=2.9)
palette = plots.colors(["sigmoid", "ReLU"])
for name, function in (("sigmoid", torch.sigmoid), ("ReLU", torch.relu)):
    (slope,) = torch.autograd.grad(function(z).sum(), z)
    ax.plot(z.detach(), slope, color=palette[name], label=name)
ax.axhline(0.25, color="0.5", linestyle="--", linewidth=1)
ax.set(xlabel="z", ylabel="slope of the activation", yticks=[0, 0.25, 0.5, 0.75, 1])
ax.legend(loc="center left")
show_figure(fig, "04-slopes", "The slopes of both activations, computed by autograd; dashed: ¼.")

# %% tags=["claim"]
(slope,) = torch.autograd.grad(torch.sigmoid(z).sum(), z)
square = 0.25 - (torch.sigmoid(z) - 0.5).square()
claim(torch.allclose(slope, square, atol=1e-6), "σ′ is ¼ − (σ − ½)², by autograd")
claim(slope.max().item() <= 0.25, "the slope of the sigmoid never exceeds ¼")

# %% [markdown]
# ### The weights: He's argument, step by step
#
# Which weights keep a signal at its size? Take a layer with $n$ inputs whose weights are drawn independently, symmetric around 0, with
# variance $v$; biases are 0.
#
# 1. **One output is a sum.** $z_i = \sum_{j=1}^{n} W_{ij}\, a_j$. The weights are independent of the inputs and have mean 0, so every
#    term has mean 0, and no two terms are correlated. Their variances add: $\operatorname{Var}(z_i) = n\, v\, \mathrm{E}[a^2]$. It is the
#    mean *square* of the inputs that counts, because the outputs of a ReLU do not have mean 0.
# 2. **A ReLU halves the mean square.** The $z$ of the layer before are symmetric around 0, as its weights are. The ReLU sets the negative half
#    to 0 and leaves the squares of the other half: $\mathrm{E}[a^2] = \tfrac12 \operatorname{Var}(z_{l-1})$.
# 3. **Together,** $\operatorname{Var}(z_l) = \tfrac12\, n\, v \operatorname{Var}(z_{l-1})$: a constant factor in every layer.
# 4. **The factor is 1** for $v = 2/n$, that is $\mathrm{std}(W) = \sqrt{2/n}$. These are He's weights (He et al. 2015).
# 5. **Backward** the same argument sums over the $m$ outputs of layer $l + 1$, whose weights have variance $v$:
#    $\mathrm{E}[\delta_l^2] = m\, v\, \mathrm{E}[\varphi'^2]\, \mathrm{E}[\delta_{l+1}^2]$. It assumes that errors, weights and slopes are independent.
#    Half of the ReLU's slopes are 1, so $\mathrm{E}[\varphi'^2] = \tfrac12$.
#
# Where $m = n$, as in our hidden layers, one rule serves both directions. Taking roots, a layer multiplies the size of $\delta$ by
#
# $$\sqrt n \cdot \mathrm{std}(W) \cdot \mathrm{rms}(\varphi'), \qquad \mathrm{rms}(\varphi') \le \tfrac14 \text{ for sigmoids}, \quad = \sqrt{\tfrac12} \text{ for ReLUs},$$
#
# where rms is the root of the mean square. Does a random network obey it? We send random inputs forward through 12 layers and random errors back.


# %% tags=["key"]
def signal_sizes(activation, gain, depth=12, width=512, seed=0):
    """The rms of z and of δ in each layer of a random network with std(W) = gain / √width."""
    generator = torch.Generator().manual_seed(seed)
    a, outputs = torch.randn(64, width, generator=generator, requires_grad=True), []
    for _ in range(depth):
        z = a @ (gain / width**0.5 * torch.randn(width, width, generator=generator))
        z.retain_grad()
        outputs.append(z)
        a = activation(z)
    z.backward(torch.randn(64, width, generator=generator))
    forward = [z.detach().square().mean().sqrt().item() for z in outputs]
    return forward, [z.grad.square().mean().sqrt().item() for z in outputs]


# %% tags=["figure"]
GAINS = {"ReLU": 3**-0.5, "ReLU, He": 2**0.5, "gain 2": 2.0}
SHOWN = {"ReLU": "default weights, 0.58", "ReLU, He": "He's weights, √2", "gain 2": "2"}
sizes = {name: np.array([signal_sizes(torch.relu, gain, seed=s) for s in range(3)]) for name, gain in GAINS.items()}
fig, axes = plots.figure(1, 2, height=3.4)
for ax, way, label in zip(axes, (0, 1), ("rms of z, forward", "rms of δ, backward"), strict=True):
    plots.gradient_by_layer({name: values[:, way] for name, values in sizes.items()}, ax).set(ylabel=label)
legend_above(fig, axes, columns=3)
for text in fig.legends[0].get_texts():
    text.set_text(SHOWN[text.get_text()])
show_figure(
    fig,
    "04-he-check",
    "Size of the two signals in a random ReLU network of 12 layers, by √n · std(W): median of 3 seeds, band from minimum to maximum. "
    "An error starts at layer 12 and travels to the left.",
)

# %% tags=["claim"]
kept = {name: np.exp(np.diff(np.log(values), axis=2).mean(2)) for name, values in sizes.items()}  # (seed, way)
off = max(
    float(np.abs(kept[name] ** [1, -1] / (gain * 0.5**0.5) - 1).max()) for name, gain in GAINS.items()
)  # an error travels to the left
claim(off < 0.05, "both ways, each layer multiplies the signal by √n · std(W) · √½, within 5 %, for each gain and seed")
lost = float(np.median(sizes["ReLU"][:, 0, 0] / sizes["ReLU"][:, 0, -1]))
claim(lost > 1e4, "with torch's default standard deviation the forward signal shrinks over 10,000-fold in 12 layers")
claim(
    float(np.median(sizes["gain 2"][:, 0, -1] / sizes["gain 2"][:, 0, 0])) > 30, "a gain of 2 enlarges it over 30-fold"
)

# %% tags=["finding"]
finding(
    f"The rule holds within {100 * off:.0f} % in both directions. Over 12 layers only He's weights keep the signal's size. "
    f"With the default standard deviation it shrinks {float(format(lost, '.1g')):,.0f}-fold, and with a gain of 2 it grows."
)

# %% [markdown]
# ### What torch draws by default
#
# The initial weights of `nn.Linear` and `nn.Conv2d` follow neither He nor Xavier:

# %%
show_source(nn.Linear.reset_parameters)

# %% [markdown]
# With $a = \sqrt5$, `kaiming_uniform_` draws from the interval $\pm b$ with $b = \sqrt{6 / ((1 + a^2)\, n)} = 1/\sqrt n$. A uniform
# distribution on $\pm b$ has the standard deviation $b/\sqrt3$, so $\mathrm{std}(W) = 1/\sqrt{3n}$: only 0.41 of He's. The rule above
# then predicts, for $n$ inputs and $n$ outputs:
#
# | weights | std(W) | √n · std(W) | factor per layer, sigmoid | factor per layer, ReLU |
# |---|---|---|---|---|
# | torch's default | 1/√(3n) | 0.58 | 0.14 | 0.41 |
# | Xavier (Glorot & Bengio 2010) | 1/√n | 1 | 0.25 | 0.71 |
# | He | √(2/n) | 1.41 | 0.35 | **1** |
#
# *What each rule for the weights predicts for one layer. For sigmoids it is an upper bound, reached at $z = 0$.*

# %% tags=["claim"]
torch.manual_seed(0)
drawn = nn.Linear(256, 256).weight.std().item() * 256**0.5
claim(abs(drawn * 3**0.5 - 1) < 0.02, "torch's default weights have the standard deviation 1/√(3n), within 2 %")

# %% tags=["plumbing"]
FUNCTIONS = {"ReLU": torch.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh}


def draw_signals(choice: str, gain: float, depth: int):
    """Both signals by layer, for one activation."""
    fig, axes = plots.figure(1, 2, height=2.8)
    signals = signal_sizes(FUNCTIONS[choice], gain, depth, width=256)
    for ax, values, label in zip(axes, signals, ("rms of z, forward", "rms of δ, backward"), strict=True):
        plots.gradient_by_layer({choice: np.array([values])}, ax).set(ylabel=label)
        ax.get_legend().remove()
    return fig


# %% [markdown]
# **Try it.** Find the gain, √n · std(W), at which the error neither vanishes nor explodes. Is there one for the sigmoid? Look at
# the forward signal, too.

# %%
show_sliders(draw_signals, {name: {"gain": (0.2, 12.0, 0.1), "depth": (2, 40, 1)} for name in FUNCTIONS})

# %% [markdown]
# ## Seven layers, one backward pass
#
# Now the real network and real digits. We read the gradients of the *weights* only, after `backward` and before they are cleared. Of each
# layer we take the mean of the absolute values, because a norm grows with the number of weights.

# %%
show_source(diagnostics.mean_absolute_gradients)

# %% [markdown] tags=["exercise"]
# **Your turn: weights that keep the signal's size, and a measure of the gradient's.** `my_he_weights` draws He's weights. `my_gradient_norm`
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

# %% [markdown]
# We compare both activations under three kinds of initial weights. A variant without an addition to its name has torch's default weights.

# %%
ACTIVATION = {"sigmoid": "sigmoid", "ReLU": "relu"}
START = {  # name: activation and initial weights
    "sigmoid": ("sigmoid", "default"),
    "ReLU": ("relu", "default"),
    "sigmoid, Xavier": ("sigmoid", "xavier"),
    "sigmoid, He": ("sigmoid", "he"),
    "ReLU, He": ("relu", "he"),
}


# %% tags=["key"]
def after_backward(build, images, labels, seed, initialization="default"):
    """A network with fresh weights and the gradients of one batch."""
    torch.manual_seed(seed)
    network = models.initialize(build(), initialization)
    F.cross_entropy(network(images), labels).backward()
    return network


digit_batch = first_batch(digits, BATCH)
at_start = {}
for name, (activation, scheme) in START.items():
    build = partial(models.DeepMLP, activation)
    networks = [after_backward(build, *digit_batch, seed, scheme) for seed in INIT_SEEDS]
    at_start[name] = np.array([diagnostics.mean_absolute_gradients(network) for network in networks])

# %% tags=["figure"]
fig, [ax] = plots.figure(height=3.8)
plots.gradient_by_layer(at_start, ax)
ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
ax.minorticks_off()
show_figure(
    fig,
    "04-layers-start",
    f"Mean |gradient| of each layer's weights before the first step, on one batch of {BATCH} digits: "
    f"median of {len(INIT_SEEDS)} seeds, band from minimum to maximum.",
)

# %% tags=["figure"]
last_to_first = {name: float(np.median(values[:, -1] / values[:, 0])) for name, values in at_start.items()}
table = pd.DataFrame({name: np.median(values, axis=0) for name, values in at_start.items()}).map("{:.1e}".format)
table.index = [f"layer {number}" for number in range(1, len(table) + 1)]
table.loc["last / first"] = [f"{last_to_first[name]:,.0f}" for name in table]
table.index.name = "mean |gradient|"
show_table(table, f"The same as numbers: medians of {len(INIT_SEEDS)} seeds.", name="04-start-table")

# %% tags=["claim"]
inner = at_start["ReLU, He"][:, :-1]
inner_spread = float((inner.max(axis=1) / inner.min(axis=1)).max())
claim(last_to_first["sigmoid"] >= 1e4, "sigmoid: the last layer's gradient is at least 10⁴ times the first's", REAL)
claim(last_to_first["ReLU"] <= 1e3, "ReLU: it is at most 10³ times the first's", REAL)
claim(last_to_first["sigmoid"] >= 100 * last_to_first["ReLU"], "the sigmoid's ratio is at least 100 times the ReLU's")
claim(inner_spread <= 3, "ReLU with He's weights: layers 1 to 6 are within a factor of 3, for each seed", REAL)
by_he = at_start["ReLU, He"][:, 0] / at_start["ReLU"][:, 0]
claim(
    by_he.min() > 100, "He's weights give layer 1 of the ReLU network over 100 times the gradient, for each seed", REAL
)

# %% tags=["finding"]
sigmoid_fold = f"{float(format(last_to_first['sigmoid'], '.2g')):,.0f}"  # two digits are known
finding(
    f"With default weights the gradient shrinks {sigmoid_fold}-fold from the last to the first layer with sigmoids, and {last_to_first['ReLU']:.0f}-fold with ReLUs. "
    f"With He's weights, layers 1 to 6 of the ReLU network agree within a factor of {inner_spread:.1f}.",
    when=REAL,
    headline=f"Before training, the gradient shrinks {sigmoid_fold}-fold from the last to the first of seven layers with sigmoids and "
    f"{last_to_first['ReLU']:.0f}-fold with ReLUs, with default weights; He's weights keep layers 1 to 6 within a factor of {inner_spread:.1f}.",
)

# %% [markdown]
# ### Is it the factor that we derived?
#
# We run the same backward pass, but keep $\delta$ and $a$ themselves, and look at how much each grows over one layer.


# %% tags=["key"]
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


# %% tags=["figure"]
GAIN = {"default": (1 / 3) ** 0.5, "he": 2**0.5, "xavier": 1.0}  # √n · std(W)
SLOPE = {"sigmoid": 0.25, "relu": 0.5**0.5}
measured = {name: np.median([growth(*START[name], seed) for seed in INIT_SEEDS], axis=0) for name in START}
predicted = {name: GAIN[scheme] * SLOPE[activation] for name, (activation, scheme) in START.items()}
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
    f"By how much one layer multiplies δ on its way back and the activations on their way forward: medians of {len(INIT_SEEDS)} seeds.",
    name="04-factors",
)

# %% tags=["claim"]
deviation = {name: abs(measured[name][0] / predicted[name] - 1) for name in START}
claim(max(deviation.values()) < 0.15, "√n · std(W) · rms(φ′) predicts what a layer passes on within 15 %", REAL)
claim(measured["ReLU"][0] < 0.6, "with default weights a ReLU layer loses more than a third of δ as well")
best_sigmoid = max(measured[name][0] for name in START if name.startswith("sigmoid"))
claim(best_sigmoid < 0.4, "under none of the three kinds of weights does a sigmoid layer pass on 0.4 of δ")
back = {gain: signal_sizes(torch.sigmoid, gain)[1] for gain in (4, 10)}
back = {gain: (errors[0] / errors[-1]) ** (1 / (len(errors) - 1)) for gain, errors in back.items()}
claim(
    back[4] < 0.7 and 0.9 < back[10] < 1.1,
    "random sigmoid layers pass on less than 0.7 of δ at gain 4, about 1 at gain 10",
)

# %% tags=["finding"]
finding(
    f"Backward, the derived factor holds within {100 * max(deviation.values()):.0f} % ([table](#04-factors)). A ReLU layer with default weights passes on "
    f"{measured['ReLU'][0]:.2f} of δ, with He's {measured['ReLU, He'][0]:.2f}. Under these three kinds of weights a sigmoid layer passes on at most {best_sigmoid:.2f}.",
    when=REAL,
)

# %% [markdown]
# At $z = 0$ a sigmoid layer would need $\sqrt n \cdot \mathrm{std}(W) = 4$ to keep an error's size. But such weights push $z$ away from 0, where the slope
# is smaller, so the factor is still below 1. It takes a gain of about 10 (try the sliders above), and by then about half of the sigmoids have
# a slope below 0.01.
#
# Forward, the rule holds for ReLUs with He's weights, whose biases we set to 0. torch's default biases are not 0, and they soon make
# up much of a ReLU layer's activations. For sigmoids step 2 fails: their outputs stay around ½, so their size hardly changes.
#
# ### How the homework read its gradients
#
# The homework on MNIST and CIFAR-10 asks to track the gradients *during training*. Its solution runs one batch through fresh weights and
# never takes a step. It also reads `model.parameters()` in order, so that its "layer index" counts weights and biases in turn.

# %% tags=["figure"]
mixed = {}
for name, activation in ACTIVATION.items():
    networks = [after_backward(partial(models.DeepMLP, activation), *digit_batch, seed) for seed in INIT_SEEDS]
    mixed[name] = np.array([[p.grad.abs().mean().item() for p in network.parameters()] for network in networks])
table = pd.DataFrame(
    {
        f"{name}, {kind}": [f"{x:.1e}" for x in np.median(values, axis=0)[start::2]]
        for name, values in mixed.items()
        for start, kind in enumerate(("weights", "biases"))
    },
    index=pd.Index([f"layer {number}" for number in range(1, 8)], name="mean |gradient|"),
)
show_table(
    table,
    f"Weights and biases on one batch before the first step: medians of {len(INIT_SEEDS)} seeds. The homework plots each network's two columns as one line, in turn.",
    name="04-mixed",
)

# %% tags=["claim"]
bias_to_weight = {name: float(np.median(values[:, 3:-2:2] / values[:, 2:-2:2])) for name, values in mixed.items()}
claim(
    bias_to_weight["ReLU"] > 5, "a hidden bias of the ReLU network has over 5 times the gradient of its weights", REAL
)

# %% tags=["finding"]
finding(
    f"The zigzag of such a line is not a property of depth. In the ReLU network a hidden bias has a gradient {bias_to_weight['ReLU']:.0f} times that of its layer's weights, "
    "so a line through both mixes two quantities.",
    when=REAL,
)

# %% [markdown]
# The formula says why: a bias has the gradient $\delta_l$, a weight $\delta_l\,a_{l-1}$. So a weight's gradient over its bias's is about the size of the
# activations that the layer receives. It says nothing about vanishing. Moreover, one batch before the first step cannot show whether a network trains. So we train.
#
# ## Seven layers, during training
#
# We use plain SGD at 0.01, as in notebook 03, and add Adam at 0.001 for the default weights. Neither rate was tuned for these networks. Runs
# with the same seed share the order of their batches, so we compare in pairs: the mean difference with its 95 % interval. *Better* means that the
# interval does not contain zero.

# %% tags=["key"]
ADAM = {"sigmoid, Adam": ("sigmoid", "default"), "ReLU, Adam": ("relu", "default")}
sgd, adam = partial(torch.optim.SGD, lr=LR), partial(torch.optim.Adam, lr=ADAM_LR)
watched = dict(probe=diagnostics.layer_gradients, probe_every=20, watch_test=True)  # the test set selects nothing

# %% tags=["key"]
deep = {
    name: Experiment(
        model=partial(models.DeepMLP, activation),
        initialization=scheme,
        optimizer=adam if name in ADAM else sgd,
        data="mnist",
        epochs=EPOCHS,
        batch_size=BATCH,
        train_size=DIGITS_SIZE,
        **watched,
    )
    for name, (activation, scheme) in (START | ADAM).items()
}
deep_runs = sweep(deep, SEEDS)

# %% tags=["plumbing"]
LEARN = ["ReLU, He", "sigmoid, Adam", "ReLU, Adam"]
STUCK = [name for name in deep if name not in LEARN]  # asserted below


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
last_step = int(tracked["step"].max())
late = tracked[tracked["step"] >= last_step - last_step // 10]

# %% tags=["figure"]
frame = deep_runs.frame()
fig, [ax] = plots.figure(height=3.6)
plots.learning_curves(frame[frame["variant"].isin(LEARN)], "train_loss", ax).set(xticks=range(1, EPOCHS + 1))
rest = frame[frame["variant"].isin(STUCK)].groupby("epoch")["train_loss"]
ax.fill_between(rest.min().index, rest.min(), rest.max(), color="0.5", linewidth=3)
ax.text(
    EPOCHS,
    rest.min().min() - 0.06,
    "sigmoid with SGD, and ReLU with SGD\nand default weights: ln 10",
    va="top",
    ha="right",
    fontsize="small",
)
ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
show_figure(
    fig,
    "04-deep-training",
    f"Training loss of the deep network on MNIST, batch {BATCH}, SGD {LR} or Adam {ADAM_LR}: {history.spread_over(len(SEEDS))}. "
    f"Grey: from minimum to maximum of the four variants at the loss of guessing, {rest.min().min():.3f} to {rest.max().max():.3f}.",
)

# %% tags=["figure"]
loss_2 = deep_runs.each(lambda run: run.history[1]["train_loss"])
test_1 = deep_runs.each(lambda run: run.history[0]["test_accuracy"])
test_end = deep_runs.last("test_accuracy")
table = deep_runs.table({"training loss, epoch 2": loss_2, "test, epoch 1": test_1, f"test, epoch {EPOCHS}": test_end})
late_ratio = (late["linear 7"] / late["linear 1"]).groupby(late["variant"]).median()
table["gradient last / first at the end"] = late_ratio.map("{:.2g}".format)
show_table(
    table,
    f"Mean training loss over epoch 2 and test accuracy: {history.spread_over(len(SEEDS))}. Gradient: median over the last tenth of the steps.",
    name="04-deep-table",
)

# %% tags=["claim"]
claim(
    all(loss_2[name].values.min() >= 2.25 for name in STUCK),
    "SGD with sigmoids, or with ReLUs and default weights: the loss is still ≥ 2.25 after 2 epochs",
    REAL,
)
claim(max(test_end[name].values.max() for name in STUCK) < 0.15, "their test accuracy never reaches 0.15", REAL)
claim(test_1["ReLU, He"].values.min() >= 0.88, "ReLU with He's weights: test accuracy ≥ 0.88 after 1 epoch", REAL)
claim(test_end["sigmoid, Adam"].values.min() >= 0.9, "Adam trains the sigmoid network: ≥ 0.9 for each seed", REAL)
claim(test_1["sigmoid, Adam"].values.min() >= 0.5, "and brings it to 0.5 within one epoch", REAL)
he_gain = deep_runs.compare("ReLU, He", "ReLU", "test_accuracy", at="last")
claim(he_gain.better, f"the same ReLU network, SGD: He's weights score higher than the default ones: {he_gain}", REAL)

# %% tags=["finding"]
finding(
    f"With SGD at {LR:g}, sigmoids, and ReLUs with default weights, stay at guessing: test accuracies {test_end['sigmoid'].mean:.2f} and {test_end['ReLU'].mean:.2f}. "
    f"He's weights raise that of the ReLU network by {he_gain:.3f}, and Adam brings the sigmoid network to {test_end['sigmoid, Adam'].mean:.3f}.",
    when=REAL,
)

# %% [markdown]
# The ReLU network's ratio of last to first layer had looked harmless before training ([table](#04-start-table)). A ratio hides the size in
# each layer, and its first layer started with a gradient over a hundred times smaller than under He's weights.
#
# Adam divides every weight's step by the running size of that weight's gradient. A hypothesis, not tested here: this is why a gradient that is
# tiny but points steadily in one direction is enough for it.
#
# How do the gradients develop meanwhile?

# %% tags=["figure"]
PLACES = {"first layer": "linear 1", "middle layer": "linear 4", "last layer": "linear 7"}
medians = tracked.groupby(["variant", "step"]).median(numeric_only=True).reset_index()
fig, axes = plots.figure(2, 2, height=2.8)
for ax, name in zip(axes, ("sigmoid", "ReLU", "sigmoid, Adam", "ReLU, He"), strict=True):
    chosen = medians[(medians["variant"] == name) & (medians["step"] % 120 == 0)]
    lines = pd.concat(chosen[["step"]].assign(variant=place, gradient=chosen[layer]) for place, layer in PLACES.items())
    plots.learning_curves(lines, "gradient", ax, x="step", log=True).set(
        title=name, ylim=(1e-9, 1), ylabel="mean |gradient|"
    )
for ax in axes:
    ax.label_outer()
legend_above(fig, axes, columns=3)
show_figure(
    fig,
    "04-deep-tracked",
    f"Mean |gradient| of the first, middle and last layer during training, read every 20 steps: running median of 5 readings, "
    f"median of {len(SEEDS)} seeds.",
)

# %% tags=["figure"]
LAYERS = [f"linear {number}" for number in range(1, 8)]
by_seed = late.groupby(["variant", "seed"], sort=False)[LAYERS].median()
fig, [ax] = plots.figure(height=3.6)
names = ("sigmoid", "ReLU", "sigmoid, Adam", "ReLU, He")
plots.gradient_by_layer({name: by_seed.loc[name].to_numpy() for name in names}, ax).set(ylim=(1e-9, 1))
ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
show_figure(
    fig,
    "04-layers-later",
    f"Mean |gradient| by layer over the last tenth of the training: median of {len(SEEDS)} seeds, band from minimum to maximum.",
)

# %% tags=["claim"]
fold = {name: late_ratio[name] / last_to_first[name] for name in STUCK}
claim(
    all(0.1 < value < 2 for value in fold.values()),
    "where nothing is learnt, last / first stays within a factor of 10",
    REAL,
)
claim(all(late_ratio[name] < 30 for name in LEARN), "where the network learns, it ends below 30", REAL)

# %% tags=["finding"]
finding(
    f"Under Adam the layers' gradients draw closer as the network learns: with sigmoids, the ratio of last to first layer falls from {sigmoid_fold} to {late_ratio['sigmoid, Adam']:.0f}. "
    f"Under SGD, at the loss of guessing, it stays: {late_ratio['sigmoid']:,.0f}.",
    when=REAL,
)

# %% [markdown]
# ## Five networks on CIFAR-10
#
# The five-part report trains five networks on CIFAR-10, each once with ReLU and once with sigmoids everywhere. mlp1 has one hidden layer. mlp2 has a
# second one without activation. cnn3, cnn4 and cnn5 have three, four and six convolutions. The third convolution of cnn3 has no activation, so
# the networks have 1, 1, 2, 4 and 6 activations.

# %% tags=["figure"]
NETS = {"mlp1": models.mlp1, "mlp2": models.mlp2, "cnn3": models.cnn3, "cnn4": models.cnn4, "cnn5": models.cnn5}
layer_tables = {net: models.layer_table(build(), (3, 32, 32)) for net, build in NETS.items()}


def in_words(row):
    """A layer of `models.layer_table` as "conv 3×3, 16"."""
    count, *_, size = row["weight"].split("×")
    return f"conv {size}×{size}, {count}" if row["layer"] == "Conv2d" else f"linear {count}"


table = pd.DataFrame({net: rows.apply(in_words, axis=1) for net, rows in layer_tables.items()}).fillna("")
table.index = [f"layer {number}" for number in range(1, len(table) + 1)]
table.loc["parameters"] = [f"{rows['parameters'].sum():,}" for rows in layer_tables.values()]
table.index.name = ""
show_table(table, "Layers with weights, and their number of outputs or filters.", name="04-nets")
show_figure(
    diagrams.draw_network(models.cnn3(), (3, 32, 32)),
    "04-cnn3",
    "cnn3, here with ReLU. Its first layer has 16 filters; each is used at 30 × 30 positions of the image.",
)

# %% [markdown]
# ### How does the gradient depend on the architecture?
#
# In the report every network draws its own initial weights, so part of a difference between ReLU and sigmoid is luck. Here
# **the twins start from the same weights** and see the same batches, because both follow from the seed alone.

# %% tags=["plumbing"]
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


# %% tags=["key"]
def gradients_at_start(build, scheme, images):
    """L2 norm and mean absolute value of every layer's gradient before the first step, a row for each seed."""
    batch = first_batch(cifar, images, statistics)
    networks = [after_backward(build, *batch, seed, scheme) for seed in INIT_SEEDS]
    measures = {"norm": diagnostics.gradient_norms, "mean": diagnostics.mean_absolute_gradients}
    return {name: [list(map(float, of(network))) for network in networks] for name, of in measures.items()}


def at_first_step(net, name="ReLU", scheme="default"):
    """These gradients, from the results store where they are there."""
    return recall(cifar, gradients_at_start, partial(NETS[net], ACTIVATION[name]), scheme, IMAGES)


# %% tags=["figure"]
first = {(net, name): at_first_step(net, name) for net in NETS for name in ACTIVATION}
norm, mean = (
    {key: np.array(found[kind])[:, 0] for key, found in first.items()} for kind in ("norm", "mean")
)  # of the first layer
ratio = {net: float(np.median(norm[net, "ReLU"] / norm[net, "sigmoid"])) for net in NETS}
first_weights = {net: next(iter(diagnostics.layers(build()).values())).weight.numel() for net, build in NETS.items()}
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
    "L2 norm as in the report, and mean absolute value.",
    name="04-first-layers",
)

# %% tags=["claim"]
typical = {key: float(np.median(values)) for key, values in norm.items()}
claim(
    all((norm[a, "ReLU"] > norm[b, "ReLU"]).all() for a, b in pairwise(NETS)),
    "first-layer L2 norm with ReLU: mlp1 > mlp2 > cnn3 > cnn4 > cnn5, for each seed",
    REAL,
)
by_norm = typical["mlp1", "ReLU"] / typical["cnn3", "ReLU"]
by_mean = float(np.median(mean["mlp1", "ReLU"]) / np.median(mean["cnn3", "ReLU"]))
claim(by_norm > 5 * by_mean > 5, "mlp1 is far ahead of cnn3 by norm, and much less by mean |gradient|", REAL)

# %% tags=["finding"]
finding(
    f"The first layer's norm falls from mlp1 to cnn5, as the report saw. But a norm grows with the number of weights: mlp1 is {by_norm:.0f} times ahead of cnn3 by norm, "
    f"and {by_mean:.0f} times by mean |gradient| ([table](#04-first-layers)).",
    when=REAL,
)

# %% [markdown]
# ### Why? The report's reasons, corrected
#
# | the report says | what holds | where to see it |
# |---|---|---|
# | The derivative of ReLU is unbounded. | The *function* is unbounded; its derivative is 0 or 1. | [slopes](#04-slopes) |
# | The derivative of the sigmoid is always below 0.25. | It is at most 0.25, and equals it at 0. | [slopes](#04-slopes) |
# | Weights below 1 shrink gradients. | What counts is √n · std(W), not a single weight. He's weights for 256 inputs have a standard deviation of 0.09 and shrink nothing. | [factors](#04-factors) |
# | Weight sharing means smaller gradients. | The gradient of a shared weight is the **sum** over all positions. | next cell |
# | The networks are compared by the norm of their first layers. | Norms of tensors of different size are not comparable. | [table](#04-first-layers) |
# | ReLU and sigmoid networks start from different random weights. | Compare twins from the same weights. | check above |
#
# *What the report says about gradients, and what holds.*
#
# We take the gradient of a shared weight apart for the first layer of cnn3, position by position.

# %% tags=["key"]
network = after_backward(models.cnn3, *cifar_batch, seed=0)
z = network[0](cifar_batch[0]).detach().requires_grad_()
F.cross_entropy(network[1:](z), cifar_batch[1]).backward()
patches = F.unfold(cifar_batch[0], 3)  # (image, 27 pixels, 900 positions)
by_position = torch.einsum("ifp,ikp->pfk", z.grad.flatten(2), patches)
torch.testing.assert_close(by_position.sum(0), network[0].weight.grad.flatten(1), rtol=1e-3, atol=1e-5)
shared, single = network[0].weight.grad.norm().item(), by_position.flatten(1).norm(dim=1)
print(f"norm of the sum over {len(single)} positions: {shared:.1e}")
print(f"norm of a single position: median {single.median():.1e}, largest {single.max():.1e}")

# %% [markdown]
# The candidate that remains is depth times initial weights. If that is the reason, He's weights should level the three CNNs.

# %% tags=["figure"]
CNNS = ("cnn3", "cnn4", "cnn5")
by_layer = {
    scheme: {net: np.array(at_first_step(net, scheme=scheme)["mean"]) for net in CNNS} for scheme in ("default", "he")
}
fig, axes = plots.figure(1, 2, height=3.6)
for ax, (title, gradients) in zip(
    axes, zip(("default weights", "He's weights"), by_layer.values(), strict=True), strict=True
):
    plots.gradient_by_layer(gradients, ax).set(title=title, ylim=(1e-5, 1))
    ax.minorticks_off()
    ax.label_outer()
legend_above(fig, axes, columns=3)
show_figure(
    fig,
    "04-cnn-layers",
    f"Mean |gradient| of every layer's weights before the first step, ReLU: median of {len(INIT_SEEDS)} seeds, band from minimum to maximum.",
)

# %% tags=["claim"]
claim(shared > single.max().item(), "cnn3, one seed: the sum over positions exceeds every single position")
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
    "with He's weights the layers of cnn5 are closer together, for each seed",
    REAL,
)

# %% tags=["finding"]
finding(
    f"The order of the CNNs comes from depth times default weights: with He's, their first layers are within a factor of {apart['he']:.1f} instead of {apart['default']:.0f}. "
    f"Sharing *enlarges* a gradient (cnn3, one seed): {shared / single.median().item():.0f} times that of a typical position.",
    when=REAL,
)

# %% [markdown]
# ### Sigmoid against ReLU, and the link to XOR
#
# The twins show what the activation costs. A factor for each activation should make the ratio of ReLU to sigmoid grow with depth.

# %% tags=["claim"]
claim(
    all((norm[net, "sigmoid"] < norm[net, "ReLU"]).all() for net in NETS),
    "every sigmoid twin has a smaller norm, for each seed",
)
by_seed = {net: norm[net, "ReLU"] / norm[net, "sigmoid"] for net in NETS}
claim(
    all((by_seed[a] < by_seed[b]).all() for a, b in [("mlp1", "cnn3"), *pairwise(["mlp2", "cnn3", "cnn4", "cnn5"])]),
    "the ratio ReLU / sigmoid grows with the number of activations, for each seed",
    REAL,
)
activations = {net: sum(isinstance(layer, nn.ReLU) for layer in build("relu").modules()) for net, build in NETS.items()}
claim(list(activations.values()) == [1, 1, 2, 4, 6], "the networks have 1, 1, 2, 4 and 6 activations")
per_activation = sorted(ratio[net] ** (1 / count) for net, count in activations.items())

# %% tags=["finding"]
finding(
    f"Each activation costs a factor. From the same weights the first layer of the ReLU network gets {ratio['mlp1']:.1f} times the gradient in mlp1, "
    f"{ratio['cnn3']:.0f} times in cnn3, {ratio['cnn4']:.0f} in cnn4 and {ratio['cnn5']:.0f} in cnn5: {per_activation[0]:.1f} to {per_activation[-1]:.1f} for each activation.",
    when=REAL,
)

# %% [markdown]
# **The link to XOR.** The XOR networks of notebook 02 have one hidden layer, like mlp1, and a sigmoid at the output. A sigmoid in the
# hidden layer costs a factor of two or three against a ReLU. The one at the output costs at least another factor of four under the squared error. With one hidden
# layer these factors do not multiply any further, and sigmoids solve XOR. What can stop them even there is *saturation*: at $z = 5$ the slope is
# 0.007, at $z = 10$ it is 0.00005, and such a unit hardly learns whatever the depth. A ReLU in turn can be *dead*: its slope is 0 for each
# example. Depth multiplies small slopes; saturation and dead units make single slopes small. You will see both below, where the pixels are
# not scaled ([table](#04-inputs-table)).
#
# ### Training the five networks
#
# The published protocol trains on all 50,000 images without validation, in batches of 50, with SGD at 0.01 and no momentum, for 15 epochs.
# Nothing is selected, so no validation is needed. Every 10 steps we keep the batch loss and the L2 norm of the first layer's weight gradient,
# at the weights before the step.

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
every = 10 * max(1, len(smooth[smooth["variant"] == "mlp1, ReLU"]) // len(CIFAR_SEEDS) // 20)  # 20 points to a line
fig, axes = plots.figure(2, 2, height=3.2)
for row, name in enumerate(("ReLU", "sigmoid")):
    chosen = smooth[smooth["variant"].str.endswith(name) & (smooth["step"] % every == 0)]
    chosen = chosen.assign(variant=chosen["variant"].str.split(",").str[0])
    plots.learning_curves(chosen, "loss", axes[2 * row], x="step").set(
        title=name, ylabel="batch loss (nats)", ylim=(min(1.2, chosen["loss"].min()), 2.5)
    )
    medians = chosen.groupby(["variant", "step"], sort=False)["gradient"].median().reset_index()
    plots.learning_curves(medians, "gradient", axes[2 * row + 1], x="step", log=True)
    axes[2 * row + 1].set(title=name, ylabel="L2 norm, first layer", ylim=(1e-6, 10))
for ax in axes[:2]:
    ax.tick_params(labelbottom=False)
    ax.set_xlabel("")
legend_above(fig, axes, columns=5)
show_figure(
    fig,
    "04-five-nets",
    f"Five networks, {CIFAR_EPOCHS} epochs: batch loss and gradient norm of the first layer, read every 10 steps, running median of 20 readings. "
    f"Loss: {history.spread_over(len(CIFAR_SEEDS))}; gradient: median of the seeds.",
)

# %% tags=["figure"]
last_reading = smooth.groupby(["variant", "seed"])["gradient"].last()
five_loss, five_test = five_runs.final("train_loss"), five_runs.final("test_accuracy")
table = five_runs.table({"training loss": five_loss, "test accuracy": five_test})
pairs = {net: five_runs.compare(f"{net}, ReLU", f"{net}, sigmoid", "test_accuracy") for net in NETS}
table["ReLU − sigmoid"] = [f"{pairs[name.split(',')[0]]:+.3f}" if name.endswith("ReLU") else "" for name in five_runs]
first_reading = smooth.groupby(["variant", "seed"])["gradient"].first()
table["L2 at the start"] = first_reading.groupby("variant").median().map("{:.1e}".format)
table["L2 at the end"] = last_reading.groupby("variant").median().map("{:.1e}".format)
show_table(
    table.rename_axis("network"),
    f"After {CIFAR_EPOCHS} epochs, SGD {LR}, batch {CIFAR_BATCH}; {history.spread_over(len(CIFAR_SEEDS))}. Loss and accuracy of the last weights, and the difference of the twins' test accuracies, paired by seed, with its 95 % interval. "
    f"Gradient of the first layer: first reading (one batch of {CIFAR_BATCH}, so larger than [with {IMAGES} images](#04-first-layers)), and running median at the end; medians of the seeds.",
    name="04-five-table",
)

# %% tags=["claim"]
stuck_nets = [name for name, loss in five_loss.items() if loss.values.max() >= 2.25]
claim(
    stuck_nets == ["cnn4, sigmoid", "cnn5, sigmoid"]
    and all(five_loss[name].values.min() >= 2.25 for name in stuck_nets),
    "cnn4 and cnn5 with sigmoids are stuck at a loss of 2.25 or more in every run, no other network in any",
    REAL,
)
in_runs = f"in every run ({history.seeds(len(CIFAR_SEEDS))})"
claim(
    all(five_test[name].values.max() < 0.2 for name in stuck_nets), "the networks that are stuck score below 0.2", REAL
)
claim(
    all((five_loss[f"{net}, ReLU"].values < five_loss[f"{net}, sigmoid"].values).all() for net in NETS),
    f"{in_runs} the ReLU twin has the lower training loss",
    REAL,
)
claim(all(pair.better for pair in pairs.values()), "in each network ReLU is better on the test set than sigmoid", REAL)
leaves = five_runs.first_epoch("train_loss", 2.25)["cnn5, ReLU"].values
claim(
    leaves.min() >= 3 and leaves.max() <= 5,
    f"{in_runs} the mean loss of cnn5 with ReLU is below 2.25 for the first time in epoch 3 to 5",
    REAL,
)
claim(
    all(
        last_reading[f"{net}, ReLU", run.seed] > 10 * run.probes[0]["gradient"]
        for net in CNNS
        for run in five_runs[f"{net}, ReLU"]
    ),
    f"{in_runs} the first-layer gradient of a CNN with ReLU grows more than tenfold as it learns",
    REAL,
)

# %% tags=["finding"]
finding(
    f"In each network ReLU is better on the test set than its sigmoid twin, by {pairs['mlp1'].difference:+.3f} and {pairs['mlp2'].difference:+.3f} in the MLPs and {pairs['cnn3']:+.3f} in cnn3 ([table](#04-five-table)). "
    "In cnn4 and cnn5 the sigmoid twin guesses.",
    when=REAL,
)
finding(
    f"After {CIFAR_EPOCHS} epochs cnn4 and cnn5 with sigmoids are still at the loss of guessing, with each seed. "
    f"In every CNN with ReLU the first layer's gradient has grown more than tenfold ({history.seeds(len(CIFAR_SEEDS))}).",
    when=REAL,
)

# %% [markdown]
# On a *plateau* the loss stays at that of guessing, ln 10. cnn5 with ReLU leaves it in the third to fifth epoch, depending on the seed. Of the CNNs with
# sigmoids cnn3 leaves it, and cnn4 and cnn5 do not within 15 epochs, with each seed. The gradient before the first step says how hard the start is, and
# only the training shows whether a plateau ends.
#
# The table compares activations within a network. Networks differ in more than that. [Notebook 06](06_cnns.ipynb) compares them, trained with Adam, and
# the order can differ there.
#
# ## What if the pixels were not scaled?
#
# The five-part report answers this question with an argument; we try it. We feed pixels as they come, [0, 255], and compare with [0, 1]
# and with standardised ones (mean 0 and standard deviation 1 per channel of the training split), mostly in mlp1, the simplest of the five.
#
# The input enters twice: $z_1 = W_1 x$ contains it, and so does $\partial L/\partial W_1 = \delta_1 x^\top$. We start with one
# batch, before any step.

# %% tags=["figure"]
PIXELS = {"[0, 1]": None, "standardised": statistics, "[0, 255]": (torch.zeros(1), torch.full((1,), 1 / 255))}
columns = ["z", "slope", "saturated", *ACTIVATION]
by_seed = {}
for pixels, normalize in PIXELS.items():
    images, labels = first_batch(cifar, IMAGES, normalize)
    of_seed = []
    for seed in INIT_SEEDS:
        nets = {
            name: after_backward(partial(models.mlp1, activation), images, labels, seed)
            for name, activation in ACTIVATION.items()
        }
        with torch.no_grad():
            z = nets["sigmoid"][1](images.flatten(1))
            slope = torch.sigmoid(z) * (1 - torch.sigmoid(z))
        found = [z.square().mean().sqrt(), slope.mean(), (slope < 0.01).float().mean()]
        of_seed.append([float(x) for x in found + [diagnostics.gradient_norms(net)[0] for net in nets.values()]])
    by_seed[pixels] = pd.DataFrame(of_seed, columns=columns)
at_pixels = pd.DataFrame({pixels: values.median() for pixels, values in by_seed.items()}).T
growth_of = by_seed["[0, 255]"] / by_seed["[0, 1]"]  # seed by seed
grown = growth_of.median()
NAMES = {"z": "rms of z", "slope": "mean slope of σ", "saturated": "share with slope < 0.01"}
table = at_pixels.map("{:.3g}".format).rename(columns=NAMES | {name: f"L2, {name}" for name in ACTIVATION})
table.index.name = "pixels"
show_table(
    table,
    f"First layer of mlp1 before the first step, {IMAGES} images, medians of {len(INIT_SEEDS)} seeds: z and its slope, and the L2 norm of the weight gradient.",
    name="04-pixels-start",
)

# %% tags=["claim"]
claim(250 < grown["z"] < 260, "raw pixels make z about 255 times larger", REAL)
claim(grown["ReLU"] > 1000, "they make the ReLU network's gradient more than 1,000 times larger", REAL)
claim(grown["sigmoid"] < 30, "and the sigmoid network's less than 30 times", REAL)
claim(at_pixels.loc["[0, 255]", "saturated"] > 0.9, "raw pixels saturate over 90 % of the sigmoids", REAL)

# %% tags=["finding"]
finding(
    f"Raw pixels make z 255 times larger, as expected, but the first gradient {grown['ReLU']:,.0f} times with ReLU and only {grown['sigmoid']:.0f} times with sigmoid.",
    when=REAL,
)

# %% [markdown]
# ### Why not 255 times?
#
# For one image the gradient is $\delta_1 x^\top$, and its norm is $\lVert\delta_1\rVert \lVert x\rVert$. The gradient of the batch is the mean over
# its images, which is shorter where they pull in different directions. With a bar for that mean, its norm is exactly the product of three factors:
#
# 1. the input, $\overline{\lVert x\rVert}$;
# 2. the error, $\overline{\lVert\delta_1\rVert\lVert x\rVert}\,/\,\overline{\lVert x\rVert}$, a mean weighted by the lengths of the inputs;
# 3. the agreement, $\lVert\overline{\delta_1 x^\top}\rVert\,/\,\overline{\lVert\delta_1\rVert\lVert x\rVert}$: 1 if all images pull the same way, near 0 if they cancel.
#
# To find out what the softmax contributes, we also compute the error as if the logits had been divided by 255, and leave everything else as it is.


# %% tags=["key"]
def parts_of_gradient(network, images, labels, divisor=1.0):
    """Input, error and agreement: their product is the norm of the first layer's gradient. The softmax sees logits / divisor."""
    x = images.flatten(1)
    _, hidden, activation, output = network
    z = hidden(x).detach().requires_grad_()
    logits = output(activation(z))
    error = (logits / divisor).softmax(1) - F.one_hot(labels, 10)
    logits.backward(error.detach())
    of_image = x.norm(dim=1) * z.grad.norm(dim=1)
    mean_input, mean_norm = x.norm(dim=1).mean(), of_image.mean()
    norm_of_mean = (z.grad.T @ x / len(x)).norm()
    return np.array([float(f) for f in (mean_input, mean_norm / mean_input, norm_of_mean / mean_norm)])


# %% tags=["figure"]
unit_batch, raw_batch = (first_batch(cifar, IMAGES, PIXELS[pixels]) for pixels in ("[0, 1]", "[0, 255]"))
factors, confidence, errors = {}, [], []
for title, activation, divisor in (("ReLU", "relu", 1), ("ReLU, logits / 255", "relu", 255), ("sigmoid", "sigmoid", 1)):
    of_seed = []
    for seed in INIT_SEEDS:
        torch.manual_seed(seed)
        network = models.mlp1(activation)
        raw_parts, unit_parts = parts_of_gradient(network, *raw_batch, divisor), parts_of_gradient(network, *unit_batch)
        of_seed.append(raw_parts / unit_parts)
    factors[title] = np.array(of_seed)
products = {title: values.prod(axis=1) for title, values in factors.items()}
for seed in INIT_SEEDS:
    torch.manual_seed(seed)
    network = models.mlp1()
    with torch.no_grad():
        sure = {name: network(batch[0]).softmax(1).max(1) for name, batch in (("unit", unit_batch), ("raw", raw_batch))}
    confidence.append([sure[name].values.mean().item() for name in sure])
    errors.append((sure["raw"].indices != raw_batch[1]).float().mean().item())
confidence = np.array(confidence)  # (seed, unit or raw)
table = pd.DataFrame(
    [
        [
            *(f"{x:.3g}" for x in np.median(values, axis=0)),
            f"{np.median(products[title]):,.0f}",
            f"{products[title].min():,.0f} to {products[title].max():,.0f}",
        ]
        for title, values in factors.items()
    ],
    columns=["input", "error", "agreement", "product", "least to most"],
    index=pd.Index(list(factors), name="[0, 255] over [0, 1]"),
)
show_table(
    table,
    f"By which factor raw pixels enlarge the first layer's gradient and its three parts, mlp1 before the first step: medians of {len(INIT_SEEDS)} seeds, "
    "so that a row's factors need not multiply to its product.",
    name="04-parts",
)

# %% tags=["claim"]
relu_parts, relu_products = factors["ReLU"], products["ReLU"]
claim(
    all(np.allclose(products[name], growth_of[name], rtol=1e-3) for name in ACTIVATION),
    "the product of the three parts is the measured growth, for each seed",
)
claim(
    confidence[:, 0].max() < 0.2 and confidence[:, 1].min() > 0.9,
    "mean largest probability: < 0.2 on [0, 1], > 0.9 on raw pixels",
    REAL,
)
claim(min(errors) > 0.8, "and on raw pixels it is wrong for over 80 % of the images", REAL)
claim(relu_parts[:, 2].min() > 4, "ReLU: raw images agree over four times as well as scaled ones, for each seed", REAL)
claim(relu_parts[:, 1].min() > 1.2 and relu_parts[:, 1].max() < 1.7, "ReLU: the error grows 1.2- to 1.7-fold", REAL)
claim(
    float(np.abs(products["ReLU, logits / 255"] / 255 - 1).max()) < 0.2,
    "with unsaturated errors the ReLU's gradient grows 255-fold, within 20 % for each seed",
    REAL,
)
claim(factors["sigmoid"][:, 1].max() < 0.15, "sigmoid: saturation cuts the error to less than 0.15 of it", REAL)

# %% tags=["finding"]
finding(
    f"With ReLU the saturated softmax adds to the 255: errors grow {np.median(relu_parts[:, 1]):.1f}-fold, and images agree {np.median(relu_parts[:, 2]):.1f} times better. "
    f"With unsaturated errors the factor is {np.median(products['ReLU, logits / 255']):.0f} ([table](#04-parts)).",
    when=REAL,
)

# %% [markdown]
# Scaled pixels give logits near 0, so the network predicts about 0.1 for each class. The errors of images of different classes then nearly
# cancel. Raw pixels give logits 255 times larger. The softmax is then sure of one class, and wrong for most images; images for which it picks the same
# wrong class pull in the same direction. With sigmoids the opposite happens: they are saturated, and most of the error does not pass.
#
# ### A stretch is a learning rate
#
# How much smaller would the learning rate have to be? Stretch the input by $c$ and divide $W_1$ by $c$: the function is
# the same, and its gradient with respect to $W_1$ is $c$ times larger. The weights are $c$ times smaller, so their steps should be too. So the rate of the
# first layer has to fall by $c^2$, here by $255^2$, and that of the other layers not at all. We check it on 20 steps.
#
# The same argument holds for each pixel by itself, with a factor of its own. With factors of ±1 it says that *flipping the sign* of pixels and of
# their weights changes nothing, at the same rate: $c^2 = 1$. We flip a random half of them.


# %% tags=["key"]
def losses_of_20_steps(factor, first_rate=LR):
    """SGD on mlp1 with each pixel times its factor, first weights divided by it, and a rate of their own."""
    torch.manual_seed(0)
    network = models.mlp1()
    network[1].weight.data /= factor
    first_weights, *others = network.parameters()
    groups = [{"params": [first_weights], "lr": first_rate}, {"params": others}]
    optimizer = torch.optim.SGD(groups, lr=LR)
    images, labels = first_batch(cifar, min(500, len(cifar.train_labels)))
    batches = zip((images.flatten(1) * factor).split(25), labels.split(25), strict=True)
    return np.array([training.train_step(network, x, y, optimizer)[1].item() for x, y in batches])


ones, signs = torch.ones(3072), torch.randint(2, (3072,), generator=torch.Generator().manual_seed(0)) * 2.0 - 1
original, stretched_255 = losses_of_20_steps(ones), losses_of_20_steps(255 * ones, LR / 255**2)
flipped = losses_of_20_steps(signs)

# %% tags=["claim"]
claim(
    np.abs(stretched_255 - original).max() < 1e-4,
    "W₁ / 255 and a first-layer rate of lr / 255² undo the stretch: same loss at every step",
)
claim(
    np.abs(flipped - original).max() < 1e-4,
    "flipping the sign of half of the pixels, and of their weights, changes no loss",
)

# %% tags=["finding"]
finding(
    "A stretch by c acts like first weights c times larger, with c² times the rate. Flipped pixels with flipped weights give the same losses, and "
    "these weights are as likely at the start. Signs have no effect on average."
)

# %% [markdown]
# ### One rate for all layers
#
# One learning rate for all layers cannot undo a stretch. What happens with the usual weights and one rate?

# %% tags=["key"]
SETTINGS = {  # pixels and learning rate, the same for all layers
    "[0, 1], lr 0.01": ("unit", LR),
    "standardised, lr 0.01": ("standard", LR),
    "[0, 255], lr 0.01": ("raw", LR),
    "[0, 255], lr 0.0001": ("raw", 1e-4),
    "[0, 255], lr 1e-6": ("raw", 1e-6),
}
INPUT_NETS = {
    "mlp1, ReLU": partial(models.mlp1, "relu"),
    "mlp1, sigmoid": partial(models.mlp1, "sigmoid"),
    "cnn3, ReLU": partial(models.cnn3, "relu"),
}


# %% tags=["key"]
def with_pixels(build, pixels, lr):
    """One epoch on CIFAR-10 with these pixels and this rate."""
    options = dict(data="cifar10", epochs=1, batch_size=CIFAR_BATCH, train_size=CIFAR_SIZE, pixels=pixels)
    optimizer = partial(torch.optim.SGD, lr=lr)
    return Experiment(model=build, optimizer=optimizer, probe=diagnostics.first_gradient_norm, **options)


input_runs = {
    net: sweep({setting: with_pixels(build, *chosen) for setting, chosen in SETTINGS.items()}, CIFAR_SEEDS)
    for net, build in INPUT_NETS.items()
}

# %% [markdown]
# `Result.status` is "diverged" when a loss is not a number any more. There are quieter ways to fail. A first step that is far
# too long can push nearly every ReLU below 0, or every sigmoid into its flat ends. The first layer's gradient is then 0, or close to it,
# on most batches, while the loss stays finite. In the table, "dead" means that the last five readings of the gradient were exactly 0,
# "exploded" a training loss above 100, and "not below guessing" one above ln 10 − 0.02.


# %% tags=["plumbing"]
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


def fate_row(runs, setting):
    """What became of the runs of a setting, and what those that did not diverge reached."""
    loss, accuracy = (runs.ok.final(metric)[setting] for metric in ("train_loss", "test_accuracy"))
    return {
        "pixels, rate": setting,
        "outcome": fates(runs[setting]),
        "training loss": f"{loss:.3f}" if loss.mean < 100 else f"{loss:.1e}",
        "test accuracy": f"{accuracy:.3f}",
    }


# %% tags=["figure"]
LINES = {"[0, 1]": ("[0, 1], lr 0.01", "-")}  # shown: name of the setting, style
LINES |= {
    f"[0, 255], {rate}": (f"[0, 255], {rate}", style)
    for rate, style in (("lr 0.01", "-"), ("lr 0.0001", (0, (5, 2.5))), ("lr 1e-6", (0, (1, 1.2))))
}
RANGES = {"mlp1, ReLU": (1.6, 60, (2, 5, 10, 20, 50)), "mlp1, sigmoid": (2.05, 2.65, (2.1, 2.2, 2.3, 2.4, 2.5, 2.6))}
palette = plots.colors(LINES)
fig, axes = plots.figure(1, 2, height=3.6)
for ax, (net, (low, high, ticks)) in zip(axes, RANGES.items(), strict=True):
    frame = probe_frame(input_runs[net], smooth=5)
    median = frame[frame["step"] % 40 == 0].groupby(["variant", "step"])["loss"].median()
    for name, (setting, style) in LINES.items():
        look = dict(color=palette[name], linestyle=style, linewidth=2.2)
        ax.plot(median[setting].index, median[setting], label=setting, **look)
    ax.set(title=net, xlabel="step", ylabel="batch loss (nats)", yscale="log", ylim=(low, high))
    ax.set_yticks(ticks, labels=ticks)
    ax.minorticks_off()
legend_above(fig, axes, columns=2)
show_figure(
    fig,
    "04-inputs",
    f"mlp1, one epoch of SGD on raw pixels at three rates, and on [0, 1] for comparison: running median of 5 readings, median of {len(CIFAR_SEEDS)} seeds. "
    "The log scales differ.",
)

# %% tags=["figure"]
rows = [{"network": net} | fate_row(runs, setting) for net, runs in input_runs.items() for setting in runs]
every_run = [run for by_setting in input_runs.values() for runs in by_setting.values() for run in runs]
diverged = sum(run.status == "diverged" for run in every_run)
show_table(
    pd.DataFrame(rows).set_index("network"),
    f"After one epoch, batch {CIFAR_BATCH}; {history.spread_over(len(CIFAR_SEEDS))}. Dead and exploded runs are in the means. "
    + (f"{diverged} diverged runs are only in the counts." if diverged else "No run diverged."),
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
fates_at_published_rate = [fate(run) for by_setting in input_runs.values() for run in by_setting["[0, 255], lr 0.01"]]
failures = sum(word != "learns" for word in fates_at_published_rate)
claim(
    failures >= len(fates_at_published_rate) - 1, "[0, 255] at lr 0.01: one run at most does better than guessing", REAL
)

# %% tags=["finding"]
best_raw = max(max(accuracy[net, bad]) for net in INPUT_NETS for bad in raw)
worst_scaled = min(min(accuracy[net, good]) for net in INPUT_NETS for good in scaled)
finding(
    f"On raw pixels {failures} of {len(fates_at_published_rate)} runs at lr 0.01 do no better than guessing, and neither smaller rate makes up for it within one epoch: "
    f"the best run on raw pixels scores {best_raw:.2f}, the worst scaled one {worst_scaled:.2f}.",
    when=REAL,
)

# %% [markdown]
# ### Offset or scale?
#
# In [the table](#04-inputs-table) networks with standardised pixels also reach a higher mean test accuracy than with [0, 1]. Standardising does two things at once. It removes the *offset*, the mean of the pixels, and it
# *stretches* the rest about fourfold, so that the rms rises from 0.54 to 1. The usual explanation is that inputs in [0, 1] are all positive.
# As we saw, signs have no effect of their own. That leaves the offset, and the stretch, which acts like a larger learning rate.
#
# To tell them apart we compare at equal size. [0, 1] and standardised pixels are both stretched to the same rms, and so to the same expected rms
# of $z$. As part of an rms may be offset, we also compare at equal *variation*, the standard deviation without the offset. We need not touch the images for it: by the argument above, a stretch by $c$ is the same as first weights $c$ times larger
# with $c^2$ times the rate.


# %% tags=["key"]
def stretched_mlp1(activation, c):
    """mlp1 with the first weights c times larger: it computes from x what mlp1 computes from c · x."""
    network = models.mlp1(activation)
    network[1].weight.data *= c
    return network


def stretched_sgd(parameters, lr, c):
    """SGD with c² times the rate for the first weights: the steps of mlp1 on c · x."""
    first_weights, *others = parameters
    return torch.optim.SGD([{"params": [first_weights], "lr": lr * c**2}, {"params": others, "lr": lr}])


# %% tags=["key"]
def stretched(activation, pixels, c):
    """One epoch of mlp1 on pixels that are stretched by c."""
    return Experiment(
        model=partial(stretched_mlp1, activation, c),
        optimizer=partial(stretched_sgd, lr=LR, c=c),
        data="cifar10",
        epochs=1,
        batch_size=CIFAR_BATCH,
        train_size=CIFAR_SIZE,
        pixels=pixels,
    )


# %% tags=["key"]
channel_mean, channel_std = statistics
RMS = {"unit": (channel_mean.square() + channel_std.square()).mean().sqrt().item(), "standard": 1.0}
LEVELS = (round(RMS["unit"], 3), 1.0, 2.0, 4.0)
KINDS = {"[0, 1]": "unit", "standardised": "standard"}
stretches = {
    f"{kind}, rms {level:g}": (pixels, round(level / RMS[pixels], 3))
    for kind, pixels in KINDS.items()
    for level in LEVELS
}
scale_runs = {
    name: sweep({variant: stretched(activation, *how) for variant, how in stretches.items()}, SCALE_SEEDS)
    for name, activation in ACTIVATION.items()
}

# %% tags=["figure"]
fig, axes = plots.figure(1, 2, height=3.5)
palette = plots.colors(KINDS)
for ax, (name, runs) in zip(axes, scale_runs.items(), strict=True):
    reached = runs.final("test_accuracy")
    for kind in KINDS:
        spreads = [reached[f"{kind}, rms {level:g}"] for level in LEVELS]
        ax.plot(LEVELS, [spread.mean for spread in spreads], color=palette[kind], label=kind)
        dots = [(level, value) for level, spread in zip(LEVELS, spreads, strict=True) for value in spread.values]
        ax.plot(*zip(*dots, strict=True), "o", markersize=4, alpha=0.6, color=palette[kind])
    ax.set(
        title=f"mlp1, {name}",
        xlabel="rms of the stretched pixels",
        ylabel="test accuracy",
        xscale="log",
        ylim=(0.05, 0.5),
    )
    ax.set_xticks(LEVELS, labels=[f"{level:.2g}" for level in LEVELS])
    ax.minorticks_off()
    ax.label_outer()
legend_above(fig, axes, columns=2)
show_figure(
    fig,
    "04-offset",
    f"Test accuracy of mlp1 after one epoch at lr {LR}, by the rms to which pixels are stretched: {len(SCALE_SEEDS)} seeds as dots, their mean as a line. "
    f"Two settings are not stretched: [0, 1] at {LEVELS[0]:.2g} and standardised pixels at 1.",
)

# %% tags=["figure"]
offset = {
    (name, level): runs.compare(f"standardised, rms {level:g}", f"[0, 1], rms {level:g}", "test_accuracy")
    for name, runs in scale_runs.items()
    for level in LEVELS
}
scale = {
    (name, kind): runs.compare(f"{kind}, rms 1", f"{kind}, rms {LEVELS[0]:g}", "test_accuracy")
    for name, runs in scale_runs.items()
    for kind in KINDS
}
same_variation = {
    name: runs.compare("standardised, rms 1", "[0, 1], rms 2", "test_accuracy") for name, runs in scale_runs.items()
}
variation = 2 / RMS["unit"] * channel_std.square().mean().sqrt().item()  # of [0, 1] at rms 2
table = pd.DataFrame(
    {
        name: {f"offset removed, both at rms {level:.2g}": f"{offset[name, level]:+.3f}" for level in LEVELS}
        | {f"{kind} stretched from rms {LEVELS[0]:.2g} to 1": f"{scale[name, kind]:+.3f}" for kind in KINDS}
        | {f"offset removed, variation {variation:.2f} and 1": f"{same_variation[name]:+.3f}"}
        for name in scale_runs
    }
)
table.index.name = "difference in test accuracy"
show_table(
    table,
    f"The offset at equal size, and the size at equal offset: paired differences with 95 % intervals, {len(SCALE_SEEDS)} seeds, mlp1 after one epoch. Last row: [0, 1] at rms 2 has a variation of {variation:.2f}, standardised pixels at rms 1 have 1.",
    name="04-offset-table",
)

# %% tags=["claim"]
natural = (LEVELS[0], 1.0)
claim(
    all(offset[name, level].better for name in ACTIVATION for level in natural),
    "at equal rms (0.54 and 1), standardised pixels score higher, for both activations",
    REAL,
)
claim(
    all(comparison.better for comparison in same_variation.values()) and abs(variation - 1) < 0.1,
    "at equal variation, within 10 %, standardised pixels score higher, for both activations",
    REAL,
)
claim(
    all(comparison.better for comparison in scale.values()),
    "stretched from rms 0.54 to 1, both kinds of pixels score higher, for both activations",
    REAL,
)
more = {
    name: history.compare(offset[name, 1.0].differences, scale[name, "standardised"].differences) for name in ACTIVATION
}
claim(
    all(gain.better for gain in more.values()),
    "removing the offset at rms 1 gains more than the stretch to rms 1, for both activations, paired by seed",
    REAL,
)
less = same_variation["sigmoid"].difference < scale["sigmoid", "standardised"].difference
claim(less, "sigmoid: at equal variation removing the offset gains less than the stretch does", REAL)
claim(
    min(offset["ReLU", level].difference for level in natural) > max(scale["ReLU", kind].difference for kind in KINDS),
    "ReLU: removing the offset gains more than the stretch",
    REAL,
)

# %% tags=["finding"]
finding(
    f"Both matter ([table](#04-offset-table)). At rms 1 removing the offset gains more than the stretch to rms 1: {more['ReLU']:+.3f} with ReLU, {more['sigmoid']:+.3f} with sigmoids. "
    "With sigmoids that depends on comparing at equal rms.",
    when=REAL,
)

# %% [markdown]
# At equal *variation* the sigmoid network gains less from removing the offset than from the stretch, so the order of the two depends on the comparison.
#
# The stretch acts like a larger rate for the first layer, so another learning rate may give that part as well. The rate was the same for all runs here and
# not tuned for either kind of pixels. A hypothesis, not tested here: an offset hurts because it is one strong direction that all
# images share; a rate that is safe in this direction is small in all others.
#
# ## What to take away
#
# - A weight's gradient is a backward signal times a forward signal. Each layer multiplies the first by
#   √n · std(W) · rms(φ′): below 1 it vanishes with depth, above 1 it explodes.
# - The slope of the activation is one factor and the initial weights are the other. He's weights make their product 1 for ReLU. None of the usual
#   weights does so for sigmoids.
# - A reading before the first step does not replace training, and a plateau need not be the end: on MNIST Adam leaves it within an epoch. Under
#   SGD cnn4 and cnn5 with sigmoids are still on it after 15.
# - Compare twins from the same weights. Compare norms only between tensors of the same size. Read weights and biases apart.
# - Scale the inputs and remove their mean. A finite loss may still belong to a dead network: look at the gradient.
# - Corrected on the way: the ReLU's *derivative* is bounded by 1, the sigmoid's reaches ¼, and shared weights sum their gradients. The order
#   cnn3 > cnn4 > cnn5 of the first layers' gradients before training is an effect of the default weights. It is not the sign of the inputs that slows
#   training.
#
# ## Exercises
#
# 1. **Change** the optimizer of `"sigmoid"` to SGD with a rate ten times larger. **Predict** whether the first layer, which gets
#    a gradient many powers of ten smaller than the last, starts to learn; then rerun.
#
#    <details><summary>Answer</summary>It does not: one power of ten is little against six, and the last layer, which sees almost
#    constant inputs, only learns the class frequencies faster. Accuracy stays at guessing. The rates that the layers need differ by
#    orders of magnitude, and one SGD rate cannot serve them all.</details>
#
# 2. **Add** `"tanh, Xavier": ("tanh", "xavier")` to `START`, `"tanh": 1.0` to `SLOPE` and `"tanh, Xavier"` to `LEARN`. **Predict** whether the measured factor is
#    above or below the predicted one.
#
#    <details><summary>Answer</summary>The slope of tanh is 1 at 0, and Xavier's √n · std(W) is 1: the factor is a little below 1, because
#    the slope falls where z is not small. Xavier's rule was derived for such an activation (Glorot & Bengio 2010).</details>
#
# 3. **Predict** the curves of cnn5 with ReLU when `initialization="he"` is added to its experiment, then run it.
#
#    <details><summary>Answer</summary>Its first-layer norm starts far above those of cnn3 and cnn4, which keep the default weights, and near
#    that of mlp1. The plateau should be gone: it was an effect of the initial weights and not of the depth alone.</details>
#
# ## Further reading
#
# - [Glorot & Bengio 2010](https://proceedings.mlr.press/v9/glorot10a.html), section 3.1: how saturation moves through the layers of a sigmoid network; section 4.2: the variance argument for both directions.
# - [He et al. 2015](https://arxiv.org/abs/1502.01852), section 2.2: the derivation above in the authors' words, with the case for convolutions.
# - [LeCun et al. 2012](https://doi.org/10.1007/978-3-642-35289-8_3), *Efficient BackProp*, section 4.3: why inputs should have mean 0 and equal variances.
# - [Dive into Deep Learning](https://d2l.ai/chapter_multilayer-perceptrons/numerical-stability-and-init.html), section 5.4: vanishing and exploding gradients, and symmetry.
#
# **Next:** [05 · Regularisation](05_regularisation.ipynb) asks what to do when a network trains too well.

# %% [markdown]
# ## References

# %% tags=["hide-input"]
show_references("cifar10", "glorot2010", "he2015", "lecun2012", "mnist")
