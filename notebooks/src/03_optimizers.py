# %% [markdown]
# # 03 · Optimizers
#
# Backpropagation gives a gradient. An optimizer turns it into a step. Four rules do this in four ways, and the homework on MNIST and
# CIFAR-10 asks which one is best.
#
# **What you will learn**
#
# - why plain gradient descent zigzags in a ravine, and which learning rates it can use there;
# - what momentum, RMSprop and Adam remember, and how to derive their step lengths;
# - why Adam corrects the bias of its averages;
# - how to compare optimizers fairly: each at its own tuned rate, seed by seed;
# - how to investigate a published curve that you cannot reproduce.
#
# **You need** the training loop of [notebook 01](01_mlp_from_scratch.ipynb) and partial derivatives. **Difficulty:** medium. **Time:** an
# hour to read with the exercises; about a minute to run, because stored trainings are replayed.
#
# **Predict before you look.** Plain SGD at learning rate 0.01 should be far behind. Momentum should catch up with RMSprop and Adam, which
# should be quickest in the first epochs. Will these differences remain when every rule gets its own best rate?

# %% tags=["setup"]
import math
import statistics
import time
from dataclasses import replace
from functools import partial
from itertools import permutations

import numpy as np
import pandas as pd
import torch

from coursekit import (
    Experiment,
    Runs,
    Spread,
    check,
    data,
    diagrams,
    history,
    models,
    plots,
    recall,
    scorecard,
    settings,
    sweep,
    training,
)
from coursekit.analysis.diagrams import descent
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

setup("03_optimizers")

# %% tags=["parameters"]
EPOCHS = budget(20, sample=3)
SEEDS = range(budget(8, sample=2))
TUNING_SEED, TUNED_SEEDS = 100, SEEDS[: budget(5, sample=2)]
CONTROL_EPOCHS, CONTROL_SEEDS = budget(10, sample=3), SEEDS[: budget(3, sample=2)]
MORE_SEEDS = range(len(SEEDS), budget(24, sample=3))
EQUAL_WITHIN = 0.003  # of two test accuracies
TIMING_ROUNDS, TIMING_STEPS = budget((11, 50), sample=(3, 10))

# %% tags=["plumbing"]
digits = data.load("mnist")
REAL = not digits.is_sample
show_data(digits)

# %% [markdown]
# ## Down a ravine
#
# Picture a long, narrow valley. Its walls are steep, its floor falls gently. The negative gradient points down the nearest wall, hardly along the floor.
# The smallest such landscape has two weights:
#
# $$f(x, y) = \tfrac12 \left(x^2 + 20\, y^2\right), \qquad \nabla f = (x,\; 20\, y).$$
#
# The curvature is 1 along the floor ($x$) and 20 across it ($y$). **Stochastic gradient descent** (SGD) subtracts the gradient $g_t$ times the
# learning rate $\eta$:
#
# $$w_{t+1} = w_t - \eta\, g_t.$$
#
# *Stochastic* it is when $g_t$ comes from a random mini-batch. In the ravine it is exact, and we keep the name.

# %% tags=["figure"]
show_figure(
    diagrams.optimizer_paths({f"SGD, η = {lr:g}": partial(torch.optim.SGD, lr=lr) for lr in (0.02, 0.09)}),
    "03-ravine",
    "Forty steps of plain gradient descent from the upper left; the star marks the minimum, rings join points of equal loss, and a title gives the final "
    "loss. A small rate creeps along the floor, a large one bounces between the walls.",
    pixels=True,
)

# %% [markdown]
# In this valley each weight is multiplied by a fixed factor at every step:
#
# $$x_{t+1} = (1 - \eta)\, x_t, \qquad y_{t+1} = (1 - 20\,\eta)\, y_t.$$
#
# A factor below −1 means divergence, so $y$ demands $\eta < 2/20 = 0.1$. Near that limit $x$ still shrinks by only 10 % a step. The steepest
# direction limits the learning rate, and the flattest one pays for it. The other three rules attack this problem.

# %% tags=["claim"]
factors = [descent.descend(partial(torch.optim.SGD, lr=lr), 100, 20.0, (-6.0, 1.2))[-1] for lr in (0.099, 0.101)]
claim(abs(factors[0][1]) < 1.2 < abs(factors[1][1]), "across the valley η = 0.099 converges and η = 0.101 diverges")
claim(np.isclose(factors[0][0], -6 * 0.901**100), "along the floor each step multiplies x by 1 − η")

# %% [markdown]
# ## Momentum: an average of past gradients
#
# Across the valley the gradient changes its sign at every bounce; along the floor it keeps it. So add up the past gradients, with coefficients that fade:
# what alternates mostly cancels, and what agrees accumulates.

# %% tags=["figure"]
SETTINGS = ((0.02, 0), (0.02, 0.8), (0.09, 0), (0.09, 0.3))
show_figure(
    diagrams.optimizer_paths(
        {f"η = {lr:g}, μ = {mu:g}": partial(torch.optim.SGD, lr=lr, momentum=mu) for lr, mu in SETTINGS}
    ),
    "03-momentum",
    "Forty steps at two rates, without momentum (left) and with it. At the small rate μ = 0.8 is faster along the floor, but swings across it. "
    "At the large rate plain SGD bounces between the walls, and μ = 0.3 damps that.",
    pixels=True,
)

# %% [markdown]
# In a formula:
#
# $$m_t = \mu\, m_{t-1} + g_t, \qquad w_{t+1} = w_t - \eta\, m_t.$$
#
# Inserting the first formula into itself shows what $m_t$ is. From $m_0 = 0$,
#
# $$m_t = g_t + \mu\, (g_{t-1} + \mu\, m_{t-2}) = \dots = \sum_{i=0}^{t-1} \mu^i g_{t-i}.$$
#
# Times $1 - \mu$, this is an *exponential average*: a weighted mean whose coefficients fall by the factor $\mu$ from step to step and add up to nearly 1. If all gradients equal $g$, the sum is a geometric series:
#
# $$m_t = g \sum_{i=0}^{t-1} \mu^i = g\, \frac{1 - \mu^t}{1 - \mu} \;\longrightarrow\; \frac{g}{1 - \mu}.$$
#
# With $\mu = 0.9$ the limit is $10\, g$: momentum takes steps ten times as long as plain SGD at the same $\eta$. If the gradients alternate, $g, -g,
# g, \dots$, the size of the sum approaches $|g|\,(1 - \mu + \mu^2 - \dots) = |g|/(1 + \mu)$, about half. Both cases are ideal. In the ravine the gradient depends on the
# position, so momentum can also swing.

# %% [markdown]
# Move the sliders (in JupyterLab): which momentum suits a larger rate, and at which rate does the path diverge?

# %% tags=["key"]
SLIDERS = {
    "SGD": {"rate": (0.005, 0.12, 0.005), "momentum": (0.0, 0.98, 0.02)},
    "RMSprop": {"rate": (0.01, 0.5, 0.01), "momentum": (0.0, 0.98, 0.02)},
    "Adam": {"rate": (0.01, 1.0, 0.01), "beta1": (0.0, 0.98, 0.02)},
}


def draw(rule: str, rate: float, **memory: float):
    """The path of one rule down the ravine."""
    options = {"betas": (memory["beta1"], 0.999)} if rule == "Adam" else memory
    return diagrams.optimizer_paths({rule: partial(getattr(torch.optim, rule), lr=rate, **options)})


show_sliders(draw, SLIDERS)

# %% [markdown]
# ## RMSprop: a step length for each weight
#
# The other idea is to measure how steep each direction usually is, and to divide by it. Then the steps down a steep wall are no longer than those along the flat floor.

# %% tags=["figure"]
RAVINE = {
    "SGD": partial(torch.optim.SGD, lr=0.09),
    "momentum": partial(torch.optim.SGD, lr=0.02, momentum=0.8),
    "RMSprop": partial(torch.optim.RMSprop, lr=0.15),
    "Adam": partial(torch.optim.Adam, lr=0.4),
}
show_figure(
    diagrams.optimizer_paths({rule: RAVINE[rule] for rule in ("SGD", "RMSprop")}),
    "03-rmsprop",
    "Forty steps of SGD at η = 0.09 and of RMSprop at η = 0.15. RMSprop begins diagonally: it divides the steepness out.",
    pixels=True,
)

# %% [markdown]
# RMSprop (Hinton 2012) keeps an exponential average of squared gradients; squares, root and division are element by element:
#
# $$v_t = \alpha\, v_{t-1} + (1 - \alpha)\, g_t^2, \qquad w_{t+1} = w_t - \eta\, \frac{g_t}{\sqrt{v_t} + \epsilon}.$$
#
# $\alpha$ sets how slowly the average forgets; the tiny $\epsilon$ ($10^{-8}$ in torch) prevents a division by zero.
# Here the weights of the average add up to $(1 - \alpha)(1 + \alpha + \alpha^2 + \dots) = 1$, so $\sqrt{v_t}$ is a typical gradient (its root mean
# square). A step is about $\eta$ long in *every* direction, however steep that is. Its $\eta$ is therefore in another unit than SGD's.
#
# The average starts at $v_0 = 0$ and needs time to fill. At the first step $v_1 = (1 - \alpha)\, g_1^2$, so the step is
# $\eta / \sqrt{1 - \alpha}$: ten times $\eta$ for the usual $\alpha = 0.99$. You can see that long first step in the picture.
#
# ## Adam: both ideas, without the bias
#
# Adam (Kingma & Ba 2015) steers like momentum and measures like RMSprop.

# %% tags=["figure"]
show_figure(
    diagrams.optimizer_paths({rule: RAVINE[rule] for rule in ("momentum", "Adam")}),
    "03-adam",
    "Forty steps of momentum (η = 0.02, μ = 0.8) and of Adam (η = 0.4). Adam begins diagonally like RMSprop, without its long first step, "
    "and overshoots like momentum.",
    pixels=True,
)

# %% [markdown]
# It averages the gradients *and* their squares:
#
# $$m_t = \beta_1 m_{t-1} + (1-\beta_1)\, g_t, \qquad v_t = \beta_2\, v_{t-1} + (1-\beta_2)\, g_t^2.$$
#
# Both start at zero, so both are too small at first. By how much? Suppose that over the random mini-batches all gradients have the same mean, $\mathbb{E}[g_i] = \bar g$. Then
#
# $$\mathbb{E}[m_t] = (1 - \beta_1) \sum_{i=0}^{t-1} \beta_1^i\; \bar g = (1 - \beta_1^t)\, \bar g.$$
#
# If the squares share one mean too, the same sum gives $\mathbb{E}[v_t] = (1 - \beta_2^t)\, \mathbb{E}[g^2]$. Dividing by these factors removes that bias:
#
# $$\hat m_t = \frac{m_t}{1-\beta_1^t}, \qquad \hat v_t = \frac{v_t}{1-\beta_2^t}, \qquad w_{t+1} = w_t - \eta\, \frac{\hat m_t}{\sqrt{\hat v_t} + \epsilon}.$$
#
# Without the correction a constant gradient would give steps of $(1-\beta_1^t)/\sqrt{1-\beta_2^t}$ times $\eta$. Since the average with $\beta_2 = 0.999$ fills much more slowly
# than that with $\beta_1 = 0.9$, the divisor is too small for a thousand steps.

# %% tags=["figure"]
t = np.arange(1, 3001)
uncorrected = (1 - 0.9**t) / np.sqrt(1 - 0.999**t)
fig, axes = plots.figure(1, 1, height=2.8)
axes[0].plot(t, uncorrected, color="0.5", linestyle="--", label="without correction")
axes[0].plot(t, np.ones(len(t)), color=plots.colors(["Adam"])["Adam"], label="Adam")
axes[0].set(xscale="log", xlabel="step", ylabel="length of the step / η", ylim=(0, 8))
axes[0].legend()
show_figure(
    fig, "03-bias", "Length of Adam's steps under a constant gradient, with the bias correction and without it."
)

# %% tags=["claim"]
adam = descent.descend(partial(torch.optim.Adam, lr=0.01), 1, 20.0, (-6.0, 1.2))
claim(
    np.allclose(np.abs(np.diff(adam, axis=0)), 0.01), "Adam's first step has length η in both directions, steep or flat"
)
claim(
    uncorrected.max() > 6.5 and t[uncorrected.argmax()] < 20,
    "without correction the longest step is over 6.5 η, before step 20",
)

# %% tags=["finding"]
finding(
    f"Under a constant gradient, Adam without the correction would take steps of up to {uncorrected.max():.1f} times its learning rate, the longest at step {t[uncorrected.argmax()]}. "
    "With it, they have the length of one learning rate from the start."
)

# %% [markdown]
# ## The four rules in one table
#
# | | what is remembered | step | usual constants |
# |:--------|:-----------------|:------------------|:-------------|
# | SGD | nothing | $w_{t+1} = w_t - \eta\, g_t$ | |
# | momentum | $m_t = \mu\, m_{t-1} + g_t$ | $w_{t+1} = w_t - \eta\, m_t$ | $\mu = 0.9$ |
# | RMSprop | $v_t = \alpha\, v_{t-1} + (1-\alpha)\, g_t^2$ | $w_{t+1} = w_t - \eta\, g_t / (\sqrt{v_t} + \epsilon)$ | $\alpha = 0.99$ |
# | Adam | $m_t$ and $v_t$ as averages with $\beta_1$, $\beta_2$ | $w_{t+1} = w_t - \eta\, \hat m_t / (\sqrt{\hat v_t} + \epsilon)$ | $\beta_1 = 0.9$, $\beta_2 = 0.999$ |
#
# *What each rule remembers, and its step.*

# %% [markdown] tags=["exercise"]
# **Your turn: three of the four rules.** Each function takes the weights `w`, their gradient `g` and what the rule remembers, all of one
# shape, and returns the new weights and the new memory. Change nothing in place. Adam's `t` counts steps from 1.
#
# <details><summary>Hint</summary>First remember, then step: the step uses the new m and v. ε stands outside the root.</details>


# %% tags=["exercise"]
def my_momentum(w, g, m, lr: float, mu: float) -> tuple:
    """One step of SGD with momentum; returns the new w and m."""
    # BEGIN SOLUTION
    memory = g + mu * m
    return w - lr * memory, memory
    # END SOLUTION


# %% tags=["exercise"]
def my_rmsprop(w, g, v, lr: float, alpha: float, eps: float) -> tuple:
    """One step of RMSprop; returns the new w and v."""
    # BEGIN SOLUTION
    squares = v + (1 - alpha) * (g**2 - v)
    return w - lr * g / (eps + squares**0.5), squares
    # END SOLUTION


def my_adam(w, g, m, v, t: int, lr: float, beta1: float, beta2: float, eps: float) -> tuple:
    """Step t of Adam, t = 1, 2, ...; returns the new w, m and v."""
    # BEGIN SOLUTION
    first, second = m + (1 - beta1) * (g - m), v + (1 - beta2) * (g**2 - v)
    size = (second / (1 - beta2**t)) ** 0.5 + eps
    return w - lr / (1 - beta1**t) * first / size, first, second
    # END SOLUTION


# %% tags=["exercise"]
check("momentum", my_momentum)
check("rmsprop", my_rmsprop)
check("adam", my_adam)

# %% [markdown]
# ### An optimizer is its memory, and it can be lost
#
# In torch, `momentum` is an option of `SGD`. These are the published settings:

# %% tags=["key"]
OPTIMIZERS = {
    "SGD": partial(torch.optim.SGD, lr=0.01),
    "momentum": partial(torch.optim.SGD, lr=0.01, momentum=0.9),
    "RMSprop": partial(torch.optim.RMSprop, lr=1e-3),
    "Adam": partial(torch.optim.Adam, lr=1e-3),
}

# %% [markdown]
# Feed each rule the same gradient of 1 for ten steps. In a second run, create a new optimizer halfway, as some course code does in order to change
# the learning rate.


# %% tags=["key"]
def steps_under_constant_gradient(make, renew_after: int = 0, count: int = 10) -> list[float]:
    """Length of each step in units of lr when the gradient is always 1."""
    weight, lengths = torch.nn.Parameter(torch.zeros(1)), []
    optimizer = make([weight])
    for step in range(count):
        if renew_after and step == renew_after:
            optimizer = make([weight])  # forgets m and v
        weight.grad, before = torch.ones(1), weight.item()
        optimizer.step()
        lengths.append((before - weight.item()) / optimizer.param_groups[0]["lr"])
    return lengths


# %% tags=["figure"]
fig, axes = plots.figure(1, 2)
palette = plots.colors(OPTIMIZERS)
for ax, renew_after, title in zip(axes, (0, 5), ("one optimizer", "a new one after step 5"), strict=True):
    for name, make in OPTIMIZERS.items():
        lengths = steps_under_constant_gradient(make, renew_after)
        ax.plot(range(1, 11), lengths, "o-", color=palette[name], label=name, markersize=4)
    ax.set(xlabel="step", ylabel="length of the step / lr", ylim=(0, 11), title=title)
axes[0].legend()
show_figure(
    fig,
    "03-memory",
    "Steps under a gradient of 1: left with one optimizer, right with a new one after step 5. SGD and Adam coincide at 1; a new RMSprop starts again at "
    "ten times lr.",
)

# %% tags=["claim"]
kept = steps_under_constant_gradient(OPTIMIZERS["momentum"])
renewed = steps_under_constant_gradient(OPTIMIZERS["momentum"], renew_after=5)
rmsprop, adam = (steps_under_constant_gradient(OPTIMIZERS[name]) for name in ("RMSprop", "Adam"))
claim(
    abs(kept[4] - (1 - 0.9**5) / (1 - 0.9)) < 1e-3,
    "after five gradients of 1 momentum has summed (1 - 0.9⁵) / 0.1 = 4.095",
)
claim(abs(renewed[5] - 1) < 1e-3, "the first step of a new optimizer is that of plain SGD: the buffer was lost")
claim(abs(rmsprop[0] - 10) < 1e-2, "the first step of RMSprop is ten times its learning rate")
claim(max(abs(x - 1) for x in adam) < 1e-2, "all steps of Adam are one learning rate long")

# %% tags=["finding"]
finding(
    f"A new optimizer forgets: momentum falls from {kept[4]:.3f} times the learning rate back to {renewed[5]:.3f}. To change the rate, set "
    "`optimizer.param_groups[0]['lr']`, which keeps the buffers."
)

# %% [markdown]
# ## Four rules on MNIST
#
# Now a real loss surface, with 109,386 parameters. The homework on MNIST and CIFAR-10 trains the network of notebook 01 with all four rules for 20
# epochs, and publishes the training loss and the test accuracy after each.

# %% tags=["figure"]
show_figure(
    diagrams.draw_network(models.MLP((784, 128, 64, 10)), (1, 28, 28)),
    "03-network",
    "The network: two hidden layers with ReLU, ten logits.",
)

# %%
show_source(training.train_step)

# %% [markdown]
# Batches hold 128 of the 60,000 training images, with pixels in [0, 1]. The training loss of an epoch is the mean over its images, taken while the weights
# change. The test accuracy is watched after every epoch because the published series did so; nothing is chosen by it.
#
# One seed fixes the initial weights and the order of the batches for all four rules. So two rules can be compared seed by seed: we report the mean of
# the differences with its 95 % interval. *Better* and *worse* mean that the interval excludes
# zero, *undecided* that it does not. We call two test accuracies *equal*, whether or not it contains zero, if the interval lies within ±0.003, which is two standard errors of an accuracy near 0.978
# on 10,000 images.

# %% tags=["key"]
base = Experiment(
    model=partial(models.MLP, (784, 128, 64, 10)),
    optimizer=OPTIMIZERS["SGD"],
    data="mnist",
    epochs=EPOCHS,
    batch_size=128,
    watch_test=True,
)
runs = sweep({name: replace(base, optimizer=optimizer) for name, optimizer in OPTIMIZERS.items()}, SEEDS)
assert runs.ok == runs

# %% tags=["figure"]
METRICS = ("train_loss", "test_accuracy")
series = {(m, name): scorecard.PUBLISHED[f"S2.2A.{name}.{m.split('_')[1]}"] for m in METRICS for name in OPTIMIZERS}
fig = plots.learning_curve_panels(runs.frame(), METRICS)
dot = dict(linestyle="", marker="o", markersize=3.5, markeredgecolor="black", markeredgewidth=0.4)
for ax, metric in zip(fig.axes, METRICS, strict=True):
    for name in OPTIMIZERS:
        ax.plot(range(1, EPOCHS + 1), series[metric, name].values[:EPOCHS], color=palette[name], **dot)
fig.axes[0].set_yscale("log")
if REAL:
    fig.axes[1].set_ylim(0.87, 0.985)
show_figure(
    fig,
    "03-optimizers",
    f"Four optimizers at the published rates: lines are our mean ± std of {len(SEEDS)} seeds, dots the published run. The first epochs of SGD are "
    "below the right panel.",
)

# %% [markdown]
# ### What a step costs
#
# The homework also compares times: 137.9 s for plain SGD, 81.3 s for momentum, 92.7 s for RMSprop and 121.3 s for Adam. It reads them as the cost of the
# rules. That cannot be right, because SGD does only a part of what momentum does. If other jobs share the machine, runs that follow one another
# also measure those jobs.
#
# A fair stopwatch warms up first, lets the four take turns in short rounds, waits for the device before it reads the clock, and takes the median.


# %% tags=["key"]
def milliseconds(model, optimizer, images, labels, steps: int) -> float:
    """Mean time of a training step on one fixed batch."""
    start = time.perf_counter()
    for _ in range(steps):
        _, loss = training.train_step(model, images, labels, optimizer)
    loss.item()  # waits for the device
    return 1000 * (time.perf_counter() - start) / steps


# %% tags=["plumbing"]
batch = next(iter(data.Batches(digits.train_images[:1000], digits.train_labels[:1000], 128, device=settings.device())))
timed = {}
for name, make in OPTIMIZERS.items():
    torch.manual_seed(0)
    model = base.model().to(settings.device())
    timed[name] = partial(milliseconds, model, make(model.parameters()), *batch, TIMING_STEPS)
    timed[name]()  # warm-up
rounds = [{name: clock() for name, clock in timed.items()} for _ in range(TIMING_ROUNDS)]
cost = {name: statistics.median(row[name] for row in rounds) for name in OPTIMIZERS}
ratio = {name: statistics.median(row[name] / row["SGD"] for row in rounds) for name in OPTIMIZERS}
steps = runs["SGD"][0].history[-1]["step"]

# %% tags=["figure"]
published_seconds = dict(zip(OPTIMIZERS, scorecard.PUBLISHED["S2.2A.seconds"].values, strict=True))
table = pd.DataFrame(
    {
        "ms a step": {name: f"{cost[name]:.3f}" for name in OPTIMIZERS},
        "ratio to SGD": {name: f"{ratio[name]:.2f}" for name in OPTIMIZERS},
        "published ratio": {name: f"{s / published_seconds['SGD']:.2f}" for name, s in published_seconds.items()},
    }
)
show_table(
    table.rename_axis("optimizer"),
    f"Time of a training step (forward, backward, update; batch 128) on {settings.device_name()}: median of {TIMING_ROUNDS} "
    f"interleaved rounds of {TIMING_STEPS} steps. The ratio is the median of the ratios within a round.",
    name="03-cost",
)

# %% tags=["claim"]
claim(
    min(ratio.values()) > 0.75,
    "no rule is much cheaper than plain SGD; the published ratio of 0.59 for momentum is not seen",
    REAL,
)

# %% tags=["finding"]
finding(
    f"No rule takes much less time than plain SGD: a step of momentum takes {ratio['momentum']:.2f} times as long, one of Adam {ratio['Adam']:.2f} times "
    "([table](#03-cost)). A hypothesis for the published times, not tested here: the machine had other work.",
    when=REAL,
)

# %% [markdown]
# ### The table that the homework asks for

# %% tags=["figure"]
final = runs.last("test_accuracy")
first_loss = runs.each(lambda run: run.history[0]["train_loss"])
epochs_to_95 = runs.first_epoch("test_accuracy", 0.95)


def median_and_range(counts: Spread) -> str:
    """Epochs to 95 % over the seeds."""
    median = statistics.median(counts.values)
    if math.isinf(median):
        return f"not in {EPOCHS}"
    return f"{median:g} ({counts.values.min():g} to {counts.values.max():g})"


table = runs.table({"loss, epoch 1": first_loss, "last epoch": runs.last("train_loss"), "test accuracy": final}, ".4f")
table["epochs to 95 %"] = [median_and_range(epochs_to_95[name]) for name in runs]
table["seconds"] = [f"{cost[name] * steps / 1000:.1f}" for name in runs]
show_table(
    table.rename_axis("optimizer"),
    f"Training loss and final test accuracy at the published rates after {EPOCHS} epochs: mean ± std of {len(SEEDS)} seeds; epochs to 95 % test accuracy as "
    "median and range; seconds: all steps at the cost measured above.",
    name="03-table",
)

# %% tags=["figure"]
PAIRS = (("RMSprop", "Adam"), ("RMSprop", "momentum"), ("momentum", "Adam"), ("momentum", "SGD"))


def paired(of: Runs) -> pd.DataFrame:
    """Differences between the rules at the end, seed by seed."""
    compared = {
        f"last {metric.replace('_', ' ')}": [
            str(of.compare(a, b, metric, None if metric == "train_loss" else EQUAL_WITHIN, at="last")) for a, b in PAIRS
        ]
        for metric in METRICS
    }
    return pd.DataFrame(compared, index=pd.Index([f"{a} − {b}" for a, b in PAIRS], name="rules"))


show_table(
    paired(runs),
    f"At the published rates: paired differences after {EPOCHS} epochs over {len(SEEDS)} seeds, with 95 % intervals. The verdict is on the first of the two; −0.0000 is just below zero.",
    name="03-pairs",
)

# %% tags=["claim"]
accuracy = {(a, b): runs.compare(a, b, "test_accuracy", EQUAL_WITHIN, at="last") for a, b in PAIRS}
starts = {(a, b): history.compare(first_loss[a].values, first_loss[b].values, lower_is_better=True) for a, b in PAIRS}
claim(accuracy["RMSprop", "Adam"].better, "RMSprop ends above Adam on the test set", REAL)
claim(sum(d > 0 for d in accuracy["RMSprop", "Adam"].differences) == len(SEEDS), "with every seed", REAL)
claim(accuracy["RMSprop", "momentum"].verdict == "equal", "RMSprop and momentum end equal there, within 0.003", REAL)
claim(accuracy["momentum", "Adam"].verdict == "undecided", "momentum against Adam is undecided there", REAL)
claim(accuracy["momentum", "SGD"].low > 0.02, "momentum ends above SGD by more than 0.02", REAL)
claim(
    all(min(final[a].values) - max(final["SGD"].values) >= 0.02 for a in OPTIMIZERS if a != "SGD"),
    "SGD ends lowest, by at least 0.02, with every pair of seeds",
    REAL,
)
claim(
    starts["RMSprop", "Adam"].better
    and starts["momentum", "Adam"].verdict == "worse"
    and starts["momentum", "SGD"].better,
    "loss of the first epoch: RMSprop below Adam below momentum below SGD, each paired interval below 0",
    REAL,
)
claim(
    max(epochs_to_95[name].values.max() for name in ("RMSprop", "Adam")) < epochs_to_95["momentum"].values.min(),
    "RMSprop and Adam reach 95 % before momentum does, with every seed",
    REAL,
)

# %% tags=["finding"]
finding(
    f"At the published rates RMSprop ends above Adam by {accuracy['RMSprop', 'Adam']:+.4f} in test accuracy, and equal to momentum within {EQUAL_WITHIN:g}. SGD is far behind, and "
    "momentum against Adam is undecided ([table](#03-pairs)).",
    when=REAL,
)

# %% tags=["claim"]
rmsprop, momentum = (series["test_accuracy", name].values for name in ("RMSprop", "momentum"))
lead = runs.compare("RMSprop", "momentum", "test_accuracy", at="last")
behind = sum(difference < 0 for difference in lead.differences)
claim(
    0 < lead.difference < np.std(lead.differences, ddof=1) and behind > 0,
    "RMSprop's mean lead over momentum is smaller than its standard deviation between seeds, and momentum ends higher with some",
    REAL,
)

# %% tags=["finding"]
finding(
    f"One run cannot separate RMSprop from momentum. The published lead at the last epoch is {rmsprop[-1] - momentum[-1]:.4f}. Ours is {lead.difference:.4f} on average with a "
    f"standard deviation of {np.std(lead.differences, ddof=1):.4f}, and with {behind} of {len(lead.differences)} seeds momentum ends higher.",
    when=REAL,
)

# %% [markdown]
# ## Is plain SGD slower, or only its step shorter?
#
# The homework blames SGD's fixed learning rate. But momentum's rate is fixed as well, and by the derivation above, where the gradient changes slowly momentum moves like plain SGD with ten
# times the rate. That can be tried: SGD at 0.1.

# %% tags=["key"]
longer = {"SGD lr 0.1": replace(base, optimizer=partial(torch.optim.SGD, lr=0.1))}
with_longer = runs | sweep(longer, TUNED_SEEDS)

# %% tags=["figure"]
fig = plots.learning_curve_panels(with_longer.frame().query("variant not in ('RMSprop', 'Adam')"), METRICS)
for lines in (*(ax.lines for ax in fig.axes), fig.legends[0].get_lines()):
    lines[2].set_linestyle("--")  # it covers momentum's
fig.axes[0].set_yscale("log")
if REAL:
    fig.axes[1].set_ylim(0.87, 0.985)
show_figure(
    fig,
    "03-long-step",
    f"Plain SGD with lr 0.01 and 0.1, and momentum 0.9 with lr 0.01; mean ± std of {len(SEEDS)} seeds, for lr 0.1 of {len(TUNED_SEEDS)}.",
)

# %% tags=["claim"]
accuracy_gap = with_longer.compare("SGD lr 0.1", "momentum", "test_accuracy", EQUAL_WITHIN, at="last")
loss_gap = with_longer.compare("SGD lr 0.1", "momentum", "train_loss", at="last")
slow_gap = with_longer.compare("SGD", "momentum", "train_loss", at="last")
claim(accuracy_gap.verdict == "equal", "plain SGD at lr 0.1 ends equal to momentum at lr 0.01, within 0.003", REAL)
claim(
    max(-loss_gap.low, loss_gap.high) < slow_gap.low / 10,
    "its training loss is more than ten times nearer to momentum's than that of SGD at lr 0.01, at the ends of both intervals",
    REAL,
)

# %% tags=["finding"]
finding(
    f"Plain SGD at lr 0.1 ends at the test accuracy of momentum at lr 0.01: {accuracy_gap!s}. The training loss of SGD at lr 0.01 is higher by {slow_gap.difference:.2f}.",
    when=REAL,
)

# %% [markdown]
# ## Each rule at its own rate
#
# So far each rule ran at one usual rate, and a slower rule may only have had the wrong one. A fair comparison tunes all of them with nearly the same effort, on data
# that decide nothing else:
#
# 1. hold out 500 training images per digit for validation, and train at five or six rates with one extra seed;
# 2. take the rate with the highest validation accuracy, averaged over the last five epochs because a single epoch is noisy;
# 3. train at that rate on all 60,000 images with other seeds, and read the test set at the end.

# %% tags=["key"]
RULES = {
    "SGD": torch.optim.SGD,
    "momentum": partial(torch.optim.SGD, momentum=0.9),
    "RMSprop": torch.optim.RMSprop,
    "Adam": torch.optim.Adam,
}
RATES = {
    "SGD": (0.01, 0.03, 0.1, 0.3, 1),
    "momentum": (0.001, 0.003, 0.01, 0.03, 0.1, 0.3),
    "RMSprop": (1e-4, 3e-4, 1e-3, 3e-3, 1e-2),
    "Adam": (1e-4, 3e-4, 1e-3, 3e-3, 1e-2),
}

# %% tags=["key"]
tuning = replace(base, validation=500, watch_test=False)
grid = sweep(
    {
        f"{rule} lr {lr:g}": replace(tuning, optimizer=partial(RULES[rule], lr=lr))
        for rule in RULES
        for lr in RATES[rule]
    },
    [TUNING_SEED],
)


def late_accuracy(run) -> float:
    """Mean validation accuracy of the last five epochs."""
    return statistics.mean(row["val_accuracy"] for row in run.history[-5:]) if run.status == "ok" else -math.inf


# %% tags=["key"]
scores = {rule: {lr: late_accuracy(grid[f"{rule} lr {lr:g}"][0]) for lr in RATES[rule]} for rule in RULES}
best_rate = {rule: max(by_rate, key=by_rate.get) for rule, by_rate in scores.items()}
tuned = sweep(
    {rule: replace(base, optimizer=partial(RULES[rule], lr=best_rate[rule])) for rule in RULES},
    TUNED_SEEDS,
)

# %% tags=["figure"]
fig, axes = plots.figure(1, 2)
start = {rule: {lr: grid[f"{rule} lr {lr:g}"][0].history[0]["train_loss"] for lr in RATES[rule]} for rule in RULES}
for ax, of_rules, best in ((axes[0], start, min), (axes[1], scores, max)):
    for rule, by_rate in of_rules.items():
        ax.plot(list(by_rate), list(by_rate.values()), "o-", color=palette[rule], label=rule, markersize=4)
        lr = best(by_rate, key=by_rate.get)
        ax.plot(lr, by_rate[lr], "o", color=palette[rule], markersize=10, markerfacecolor="none", markeredgewidth=1.6)
    ax.set(xscale="log", xlabel="learning rate")
axes[0].set(yscale="log", ylabel="training loss, epoch 1 (nats)")
axes[1].set(ylabel="validation accuracy", **({"ylim": (0.955, 0.985)} if REAL else {}))
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
show_figure(
    fig,
    "03-rates",
    f"Four rules at five or six rates, {history.seeds(1)}, {EPOCHS} epochs; rings mark the best. Left: the first epoch, right: the score that "
    "chooses the rate. Points below the right panel are not shown.",
)

# %% tags=["figure"]
table = pd.DataFrame(
    {
        "tuned rate": {rule: f"{best_rate[rule]:g}" for rule in RULES},
        "validation accuracy": {rule: f"{scores[rule][best_rate[rule]]:.4f}" for rule in RULES},
        "loss, epoch 1": {rule: f"{tuned.each(lambda run: run.history[0]['train_loss'])[rule]:.3f}" for rule in RULES},
        "test accuracy": {rule: f"{tuned.last('test_accuracy')[rule]:.4f}" for rule in RULES},
        "same, published rate": {rule: f"{final[rule]:.4f}" for rule in RULES},
    }
)
show_table(
    table.rename_axis("optimizer"),
    f"The rate that validation chose, and the test accuracy after {EPOCHS} epochs: mean ± std of {len(TUNED_SEEDS)} seeds, at the published rates of {len(SEEDS)}.",
    name="03-tuned",
)
show_table(
    paired(tuned),
    f"At tuned rates: paired differences after {EPOCHS} epochs over {len(TUNED_SEEDS)} seeds, with 95 % intervals. The verdict is on the first of the two.",
    name="03-tuned-pairs",
)
# %% tags=["claim"]
tuned_final, tuned_first = tuned.last("test_accuracy"), tuned.each(lambda run: run.history[0]["train_loss"])
own = {pair: tuned.compare(*pair, "test_accuracy", EQUAL_WITHIN, at="last") for pair in permutations(RULES, 2)}
begin = {
    pair: tuned.compare(*pair, lambda run: run.history[0]["train_loss"], lower_is_better=True)
    for pair in permutations(RULES, 2)
}
after_one = {pair: tuned.compare(*pair, lambda run: run.history[0]["test_accuracy"]) for pair in own}
claim(
    all(min(RATES[rule]) < best_rate[rule] < max(RATES[rule]) for rule in RULES),
    "no rule has its best rate at the edge of its grid",
    REAL,
)
claim(own["SGD", "momentum"].verdict == "equal", "at tuned rates SGD and momentum end equal, within 0.003", REAL)
claim(
    all(own[a, b].better for a in ("SGD", "momentum") for b in ("RMSprop", "Adam")),
    "both end above RMSprop and above Adam",
    REAL,
)
claim(own["RMSprop", "Adam"].better, "RMSprop still ends above Adam", REAL)
claim(
    all(begin[pair].better for pair in (("RMSprop", "Adam"), ("Adam", "SGD"), ("SGD", "momentum"))),
    "loss of the first epoch at tuned rates: RMSprop below Adam below SGD below momentum",
    REAL,
)
slow_start = first_loss["SGD"].mean - first_loss["RMSprop"].mean
claim(
    begin["SGD", "RMSprop"].high < slow_start / 10,
    "the gap between SGD and RMSprop in that loss is less than a tenth of the gap at the published rates",
    REAL,
)
claim(
    {comparison.verdict for comparison in after_one.values()} == {"undecided"},
    "in test accuracy after the first epoch all pairs are undecided",
    REAL,
)

# %% tags=["finding"]
finding(
    f"At its own rate plain SGD ends equal to momentum, {own['SGD', 'momentum']}, and both end above RMSprop and Adam. At the published rate it was last "
    "by far ([tuned](#03-tuned-pairs), [published](#03-pairs)).",
    when=REAL,
    headline=f"With a tuned rate for each rule, plain SGD ({tuned_final['SGD']:.4f}) and momentum ({tuned_final['momentum']:.4f}) end equal on MNIST and above RMSprop and Adam; "
    "at the published rates plain SGD is last by far.",
)
finding(
    f"Most of SGD's slow start was its rate: its first-epoch loss exceeds RMSprop's by {begin['SGD', 'RMSprop']!s}, at the published rates by {slow_start:.2f}. "
    "A hypothesis for the rest, not tested here: RMSprop and Adam rescale every weight's step.",
    when=REAL,
)

# %% [markdown]
# What this does not show: only the rate was tuned, and one seed chose it. For momentum, RMSprop and Adam the best rate leads the next by only about 0.002. Both keep the
# published 0.001, so only SGD and momentum gained. The test accuracy is that of a single epoch. $\mu$, $\alpha$ and the $\beta$ kept their usual values. It is one small network on an easy data set, at a
# constant rate for 20 epochs. On deep networks and Transformers the ranking can differ.

# %% [markdown]
# ## Against the published series
#
# How close should a repetition come? We agreed on tolerances before the first run. For the loss they are 10 % (SGD: 5 % up to epoch 4, then 3 %; RMSprop and Adam only
# up to epoch 10, after which a loss near 0.01 is mostly noise), for the test accuracy 0.005 (SGD: 0.12 at epoch 1, 0.01 after epoch 3).

# %% tags=["figure"]
epochs = np.arange(1, EPOCHS + 1)
means = {key: runs.frame().query("variant == @key[1]").groupby("epoch")[key[0]].mean() for key in series}
off = {key: series[key].deviations(means[key]) for key in series}
titles = {key: f"{key[1]}, {'loss' if key[0] == 'train_loss' else 'test accuracy'}" for key in series}
fig, axes = plots.figure(1, 1, height=3.0)
rows = {titles[key]: (off[key], dict(linestyle="", marker="o", alpha=0.6, color=palette[key[1]])) for key in series}
plots.deviations(rows, axes[0])
show_figure(
    fig,
    "03-deviations",
    f"Our mean over {len(SEEDS)} seeds minus the published run, in units of the tolerance: a dot per epoch, grey is inside.",
)

# %% tags=["figure"]
table = pd.DataFrame(
    {
        "tolerance": {titles[key]: series[key].agreed for key in series},
        "epochs outside": {
            titles[key]: f"{(np.abs(off[key]) > 1).sum()} of {np.isfinite(off[key]).sum()}" for key in series
        },
        "largest deviation": {
            titles[key]: f"{off[key][np.nanargmax(np.abs(off[key]))]:+.1f} tolerances" for key in series
        },
    }
)
show_table(
    table.rename_axis("series"), "The eight published series and how far ours are from them.", name="03-published"
)

# %% tags=["claim"]
inside = {titles[key]: not (np.abs(off[key]) > 1).any() for key in series}
for name in ("momentum", "RMSprop", "Adam"):
    claim(inside[f"{name}, loss"], f"the loss of {name} is within its tolerance after every epoch that has one", REAL)
for name in ("SGD", "momentum", "Adam"):
    claim(inside[f"{name}, test accuracy"], f"so is the test accuracy of {name}", REAL)
dip = series["test_accuracy", "RMSprop"].values[9:12]
claim(
    min(dip[0], dip[2]) - dip[1] > 0.005,
    f"the published accuracy of RMSprop itself dips at epoch 11: {dip[1]:.4f} between {dip[0]:.4f} and {dip[2]:.4f}",
)
sgd = means["train_loss", "SGD"]
claim(
    2.10 <= sgd[1] <= 2.25 and 0.60 <= sgd[3] <= 0.80,
    "the loss of SGD is in [2.10, 2.25] at epoch 1, in [0.60, 0.80] at epoch 3",
    REAL,
)
claim(
    not inside["SGD, loss"] and (off["train_loss", "SGD"][4:] < 0).all(),
    "the loss of SGD leaves its tolerance, always to the lower side from epoch 5 on",
    REAL,
)

# %% tags=["finding"]
finding(
    "Six of the eight series are reproduced. RMSprop's accuracy misses at the epoch where the published run dips. The loss of SGD is lower than published "
    f"from epoch 5 on, and outside the tolerance at {(np.abs(off['train_loss', 'SGD']) > 1).sum()} of {EPOCHS} epochs ([table](#03-published)).",
    when=REAL,
)

# %% [markdown]
# ## An open case: the loss of plain SGD
#
# A deviation that always has the same sign is not noise from epoch to epoch: a run that is ahead stays ahead, so this is one deviation and not many. What could make our
# SGD faster than the published run? We change one thing at a time and train for ten epochs; by then most of the gap has opened.
#
# - **How the loss is averaged**: over images or over batches, with or without the last, smaller batch.
# - **How it is computed**: our fast loop against a plain one, 32 against 64 bits, batches in a fixed order, without the last batch.
# - **What was not published**: initial weights, batch size, pixel scaling, number of images (many MNIST programs keep 5,000 for validation), weight decay.
# - **Chance**: 16 more seeds.

# %% tags=["key"]
short = replace(base, epochs=CONTROL_EPOCHS)


def without_initial_biases():
    """The same network with all biases 0 at the start."""
    model = models.MLP((784, 128, 64, 10))
    for layer in model:
        if isinstance(layer, torch.nn.Linear):
            torch.nn.init.zeros_(layer.bias)
    return model


# %% tags=["key"]
controls = {
    "biases 0 at the start": replace(short, model=without_initial_biases),
    "Xavier initialisation": replace(short, initialization="xavier"),
    "He initialisation": replace(short, initialization="he"),
    "weight decay 0.001": replace(short, optimizer=partial(torch.optim.SGD, lr=0.01, weight_decay=1e-3)),
}
# Three epochs are enough for settings that are far off from the start.
brief = {
    "batch 64": replace(base, epochs=3, batch_size=64),
    "batch 256": replace(base, epochs=3, batch_size=256),
    "standardised pixels": replace(base, epochs=3, pixels="standard"),
}

# %% tags=["key"]
controlled = sweep(controls, CONTROL_SEEDS) | sweep(brief, CONTROL_SEEDS)
more = sweep({"SGD": short}, MORE_SEEDS)
fewer = sweep(
    {name: replace(base, optimizer=OPTIMIZERS[name], train_size=55_000) for name in ("SGD", "momentum")},
    TUNED_SEEDS,
)
decayed = partial(torch.optim.SGD, lr=0.01, momentum=0.9, weight_decay=1e-3)
heavier = sweep({"weight decay 0.001": replace(short, optimizer=decayed)}, CONTROL_SEEDS)


# %% tags=["key"]
def plain_sgd(seed: int, epochs: int, shuffle: bool = True, drop_last: bool = False, double: bool = False) -> dict:
    """SGD in a plain loop; the training loss of every epoch in three ways."""
    torch.manual_seed(seed)
    kind = torch.float64 if double else torch.float32
    model = models.MLP((784, 128, 64, 10)).to(kind)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    batches = data.Batches(digits.train_images, digits.train_labels, 128, shuffle, seed, drop_last=drop_last)
    means = {"over images": [], "over batches": [], "over full batches": []}
    for _ in range(epochs):
        steps = ((training.train_step(model, x.to(kind), y, optimizer)[1].item(), len(y)) for x, y in batches)
        losses, sizes = map(np.array, zip(*steps, strict=True))
        for how, weights in zip(means, (sizes, np.ones(len(sizes)), sizes == 128), strict=True):
            means[how].append(float(np.average(losses, weights=weights)))
    return means


# %% tags=["plumbing"]
LOSS = np.array(series["train_loss", "SGD"].values)
LIMIT = np.array(series["train_loss", "SGD"].tolerance)


def losses(of: list, upto: int = CONTROL_EPOCHS) -> np.ndarray:
    """Training losses (seeds, epochs) of the first epochs."""
    return np.array([[row["train_loss"] for row in run.history[:upto]] for run in of])


def away(values: np.ndarray) -> np.ndarray:
    """How far training losses of SGD are from the published ones, relative."""
    return values / LOSS[: values.shape[-1]] - 1


plain = {
    "plain loop, one seed": {},
    "64 bits, one seed": dict(double=True),
    "fixed order of batches": dict(shuffle=False),
    "last batch left out, one seed": dict(drop_last=True),
}
loops = {
    name: [
        recall(digits, plain_sgd, seed, CONTROL_EPOCHS, **options)
        for seed in (CONTROL_SEEDS if "one seed" not in name else CONTROL_SEEDS[:1])
    ]
    for name, options in plain.items()
}

# %% tags=["figure"]
every = losses(runs["SGD"] + more["SGD"])
tried = {"as published": every}
tried |= {name: np.array([each["over images"] for each in of]) for name, of in loops.items()}
averages = loops["plain loop, one seed"]
tried |= {f"mean {how}, one seed": np.array([each[how] for each in averages]) for how in list(averages[0])[1:]}
tried |= {name: losses(of) for name, of in controlled.items()}
tried["55,000 images"] = losses(fewer["SGD"])


def same_seeds(values: np.ndarray) -> np.ndarray:
    """Our own protocol with the seeds of a control."""
    return every[: len(values), : values.shape[1]]


rows, changes = {}, {}
for name, values in tried.items():
    mean, own = away(values.mean(0)), away(same_seeds(values).mean(0))
    cells = {f"epoch {e}": f"{mean[e - 1]:+.1%}" if e <= len(mean) else "–" for e in (1, 3, 5, 10)}
    changes[name] = np.abs(mean - own).max()
    outside = (np.abs(mean) > LIMIT[: len(mean)]).sum()
    rows[name] = cells | {
        "outside": f"{outside} of {len(mean)}",
        "largest change": f"{changes[name]:.1%}" if name != "as published" else "–",
    }
show_table(
    pd.DataFrame(rows).T.rename_axis("setting"),
    f"Training loss of plain SGD against the published one, relative: {len(every)} seeds as published, {len(CONTROL_SEEDS)} seeds for a control where the row does not say "
    f"one, {len(TUNED_SEEDS)} for 55,000 images. Outside: epochs outside the tolerance. Largest change: against our own runs with the same seeds.",
    name="03-controls",
)

# %% tags=["figure"]
fig, axes = plots.figure(1, 2)
count = np.arange(1, every.shape[1] + 1)
axes[0].plot(count, away(every).T, color=palette["SGD"], linewidth=0.8, alpha=0.5)
axes[0].plot(count, away(every)[every[:, -1].argmax()], color="black", linewidth=1.5, label="the slowest seed")
shown = {"SGD": every, **{name: tried[name] for name in ("weight decay 0.001", "55,000 images")}}
for name, color in plots.colors(shown).items():
    values = away(shown[name][:, : len(count)])
    label = "SGD as published" if name == "SGD" else f"SGD, {name}"
    axes[1].errorbar(count, values.mean(0), values.std(0, ddof=1), fmt="o-", ms=4, capsize=2, color=color, label=label)
for ax, title in zip(axes, (f"{len(every)} seeds, as published", "mean ± std"), strict=True):
    ax.fill_between(count, -LIMIT[: len(count)], LIMIT[: len(count)], color="0.88", step="mid", label="tolerance")
    ax.axhline(0, color="black", linewidth=0.8)
    ax.yaxis.set_major_formatter("{x:+.0%}")
    ax.set(title=title, xlabel="epoch", xticks=count[1::2])
axes[0].set_ylabel("loss, ours / published - 1")
handles = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
fig.legend(handles.values(), handles, loc="outside upper center", ncols=3, fontsize="small")
show_figure(
    fig,
    "03-sgd-loss",
    f"Training loss of plain SGD against the published one (zero line). Left: our protocol with {len(every)} seeds. Right: its mean, and two controls with "
    f"{len(CONTROL_SEEDS)} and {len(TUNED_SEEDS)} seeds.",
)

# %% [markdown]
# A setting that explains SGD must also suit momentum, which the homework trained on the same images with the same program.

# %% tags=["figure"]
pair = {"as published": runs["momentum"], "55,000 images": fewer["momentum"], **heavier}
rows = {}
for name, of in pair.items():
    mean = losses(of).mean(0) / np.array(series["train_loss", "momentum"].values[:CONTROL_EPOCHS]) - 1
    cells = {f"epoch {e}": f"{mean[e - 1]:+.1%}" if e <= len(mean) else "–" for e in (1, 3, 5, 10)}
    rows[name] = cells | {"outside": f"{(np.abs(mean) > 0.1).sum()} of {len(mean)}", "seeds": len(of)}
show_table(
    pd.DataFrame(rows).T.rename_axis("setting"),
    "Training loss of momentum against the published one, relative, mean over seeds. Outside: epochs outside the tolerance of 10 %.",
    name="03-controls-momentum",
)


# %% tags=["claim"]
def distance(name: str, run) -> float:
    """How far the training loss of one run is from the published one: mean over the epochs, without the sign."""
    theirs = series["train_loss", name].values
    return statistics.mean(abs(row["train_loss"] / theirs[row["epoch"] - 1] - 1) for row in run.history)


farther = {
    name: Runs({"all": runs[name], "fewer": fewer[name]}).compare(
        "fewer", "all", partial(distance, name), lower_is_better=True
    )
    for name in fewer
}
by_setting = {name: away(values.mean(0)) for name, values in tried.items()}
same = [*loops, *[name for name in tried if name.startswith("mean ")]]
far = ["Xavier initialisation", "He initialisation", *brief]
claim(
    max(changes[name] for name in same) < 0.005,
    "averaging, arithmetic, batch order and the last batch change the loss by less than 0.5 %",
    REAL,
)
claim(changes["biases 0 at the start"] < 0.01, "biases that start at 0 change it by less than 1 %", REAL)
claim(
    all(abs(by_setting[name][2]) > 0.2 for name in far),
    "other initial weights, batch sizes and pixels miss epoch 3 by more than 20 %",
    REAL,
)
claim(
    farther["momentum"].verdict == "worse",
    "with 55,000 images the loss of momentum is farther from the published one",
    REAL,
)
claim(farther["SGD"].verdict == "undecided", "whether that of SGD is nearer is undecided", REAL)
claim(
    (np.abs(by_setting["weight decay 0.001"]) <= LIMIT[:CONTROL_EPOCHS]).all(),
    "weight decay 0.001 brings SGD into its tolerance",
    REAL,
)
heavy = (
    losses(heavier["weight decay 0.001"]).mean(0)[-1] / series["train_loss", "momentum"].values[CONTROL_EPOCHS - 1] - 1
)
claim(heavy > 0.25, "with it momentum is more than 25 % above the published loss at epoch 10", REAL)

# %% tags=["finding"]
finding(
    f"Averaging, precision, batch order and the last batch change the loss by at most {max(changes[name] for name in same):.1%}. Other initial distributions, batch sizes "
    "or pixels miss by far more than the gap ([table](#03-controls)).",
    when=REAL,
)
finding(
    f"Weight decay 0.001 would fit SGD, but puts momentum {heavy:.0%} above the published loss at epoch 10. With 55,000 images momentum fits worse and SGD's gain is undecided. "
    "Neither explains both ([table](#03-controls-momentum)).",
    when=REAL,
)

# %% [markdown]
# The order of the batches changes almost nothing, so what makes seeds differ must be the initial weights. How slow can an unlucky seed be? We take the slowest of all
# seeds at the last control epoch and train it for the full 20 epochs.

# %% tags=["key"]
slowest = int(every[:, -1].argmax())
slow = sweep({"SGD": base}, [slowest])

# %% tags=["claim"]
full = away(losses(slow["SGD"], EPOCHS))[0]
agreeing = (np.abs(away(every)) <= LIMIT[: every.shape[1]]).all(1)
claim((away(every)[:, -1] < 0).all(), "after ten epochs the loss of every seed is below the published one", REAL)
claim(agreeing.any(), "at least one seed is within the tolerance at all ten epochs", REAL)
claim(
    np.abs(full[4:]).max(initial=0) < 0.015,
    "from epoch 5 to 20 the slowest seed is within 1.5 % of the published loss",
    REAL,
)

# %% tags=["finding"]
finding(
    f"*Hypothesis*: chance. The slowest of {len(every)} seeds, chosen for that, follows the published loss within {np.abs(full[4:]).max(initial=0):.1%} from epoch 5 to {EPOCHS}. "
    f"After {CONTROL_EPOCHS} epochs the published run is slower than all of them.",
    when=REAL,
)

# %% [markdown]
# If the published run were one more seed of ours, it would be the slowest of 25. For one series that has a probability of 1 in 25. The homework published eight, and we look at this one
# because it is off: if eight series were independent, one of them or more would be the slowest of 25 with a probability of $1 - (24/25)^8 \approx 0.28$. So chance is plausible. We have found no setting that suits SGD and momentum at once, so the case stays open, and the scorecard says *outside*.

# %% [markdown]
# ## Analysis
#
# At the published rates RMSprop and Adam start fastest, momentum follows, and plain SGD is far behind ([curves](#03-optimizers)). At the end RMSprop is above Adam
# and equal to momentum within 0.003; momentum against Adam is undecided. Plain SGD is slow because its steps are short, not because its rate is fixed: all four rates are fixed, and
# at 0.1 it keeps up with momentum. When validation chooses a rate for each rule, the order changes: plain SGD and momentum end equal, above RMSprop and Adam. RMSprop
# and Adam still have the lower training loss in the first epoch, but after it the test accuracies of the four cannot be told apart.
#
# ## What to take away
#
# - Curvature across the valley limits the learning rate; the other rules work around that limit. Momentum averages gradients, RMSprop rescales them, Adam
#   does both and corrects the start of its averages.
# - Learning rates of different rules are in different units. Where the gradient changes slowly, momentum 0.9 takes steps ten times as long as SGD at the same rate.
# - Compare rules at their own best learning rates, found on validation data. Here that changed the order.
# - State batch size and pixel scaling: they change the curve of SGD far more than the seed does.
# - An optimizer *is* its memory. Change the learning rate in `param_groups`; a new optimizer forgets.
# - Measure times by turns, after a warm-up, and report the median.
#
# ## Exercises
#
# 1. **Change** the learning rate of `SGD lr 0.1` to 1, then to 2. **Predict** where it breaks.
#
#    <details><summary>Answer</summary>At 1 it still trains, with a first epoch that is better than at 0.1 for some seeds and worse for others. At 2 the first steps throw the weights so
#    far that the hidden units output 0 for each image. The loss stays at about ln 10 = 2.303, the price of guessing: no NaN, and nothing learnt.</details>
#
# 2. **Change** momentum to 0.99 at lr 0.001. **Predict** which of our curves it resembles.
#
#    <details><summary>Answer</summary>0.001 / (1 - 0.99) = 0.1, the same long-run step as momentum 0.9 at 0.01, whose curve it approaches. But
#    the buffer needs hundreds of steps to fill, so the first epoch is clearly slower.</details>
#
# 3. **Set** `OPTIMIZERS["Adam"]` to lr 0.01. **Predict** the first and the last epoch.
#
#    <details><summary>Answer</summary>The first is much better, the last worse and restless: the length of a step follows the
#    rate and not the size of the gradient, so near the minimum it keeps jumping. A schedule (notebook 07) is the cure.</details>
#
# ## Further reading
#
# - Kingma & Ba 2015, [Adam](https://arxiv.org/abs/1412.6980): section 2 has the algorithm, section 3 the bias correction derived above.
# - Goh 2017, [Why Momentum Really Works](https://distill.pub/2017/momentum/): the ravine with sliders, and which momentum suits which curvature.
# - Hinton 2012, [lecture 6 of *Neural Networks for Machine Learning*](https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf): part e
#   introduces RMSprop.
# - Sutskever et al. 2013, [On the importance of initialization and momentum in deep learning](https://proceedings.mlr.press/v28/sutskever13.html): section 2 on
#   classical and Nesterov momentum.
# - Choi et al. 2019, [On Empirical Comparisons of Optimizers for Deep Learning](https://arxiv.org/abs/1910.05446): how the tuning protocol decides the
#   ranking.
#
# **Next:** [notebook 04](04_gradient_flow.ipynb) asks what happens when the gradient itself vanishes or explodes on its way through the layers.

# %% tags=["scorecard"]
for (metric, name), row in series.items():
    scorecard.record(row.id, [[epoch[metric] for epoch in run.history] for run in runs[name]], runs[name])
scorecard.record(
    "S2.2A.seconds",
    [[cost[name] * steps / 1000 for name in OPTIMIZERS]],
    [run for of_rule in runs.values() for run in of_rule],
)

# %% [markdown]
# ## References

# %% tags=["hide-input"]
show_references("choi2019", "goh2017", "kingma2015", "mnist", "sutskever2013")
