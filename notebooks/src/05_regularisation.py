# %% [markdown]
# # 05 · Regularisation
#
# A network with enough parameters can memorise its training images. That alone does not make it better on new ones. Weight decay,
# dropout, augmentation, L1 and early stopping are the usual remedies. Two questions are asked of each: does it close the gap
# between training and test accuracy, and does it raise the test accuracy? The answers differ.
#
# **What you will learn**
#
# - to read overfitting from two curves, and to stop a training before it sets in;
# - to derive what weight decay, L1 and dropout do to a single weight or unit, and to write two of them yourself;
# - to choose the strength of a regulariser on validation data, and to read the test set once;
# - when augmentation helps, and when it harms;
# - why an L1 term in the loss gives small weights but no zeros, and which step does give zeros.
#
# **What you need.** Notebook 01 (the training loop, mini-batches, an L2 penalty in NumPy) and notebook 03 (SGD with momentum, Adam).
# A convolution is taken as given; notebook 06 explains it. **Time:** about 60 minutes to read, a minute to run with the stored
# results. **Difficulty:** medium.
#
# **Predict before you look.** The homework on MNIST and CIFAR-10 says that dropout is best and L2 weaker, without a number. The lab
# homework on CIFAR-10 says that L1 makes many weights exactly zero. Write down what you expect of each remedy: a smaller gap, a higher
# test accuracy, both, or neither?

# %% tags=["setup"]
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import torch

from coursekit import (
    Experiment,
    Runs,
    check,
    data,
    diagnostics,
    diagrams,
    history,
    models,
    penalties,
    plots,
    scorecard,
    sweep,
)
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

setup("05_regularisation")

# %% tags=["parameters"]
DIGIT_EPOCHS = budget(20, sample=3)
DIGIT_SEEDS = range(budget(5, sample=2))
HELD_SEEDS = range(budget(3, sample=2))  # for the choice of a strength
FLIP_EPOCHS, FLIP_SEEDS = budget((5, 3), sample=(1, 1))
AUGMENT_EPOCHS = budget(30, sample=2)
SWEEP_EPOCHS = budget(30, sample=1)
CIFAR_SEEDS = range(budget(3, sample=1))
SPARSE_EPOCHS = budget(30, sample=1)  # for L1 and the proximal step
SPARSE_SEEDS = range(budget(3, sample=1))

# %% tags=["plumbing"]
digits = data.load("mnist")
photos = data.load("cifar10")
REAL = not (digits.is_sample or photos.is_sample)
show_data(digits, photos)

# %% [markdown]
# ## What overfitting looks like
#
# A training set holds two kinds of regularity: those that any new image shares, and accidents of these particular images. At first
# the loss falls fastest along the shared ones, so training and validation loss fall together. Later only the accidents are left to
# learn. The training loss keeps falling and the validation loss rises: the network **overfits**. The **gap** is the training
# accuracy minus the accuracy on other images: validation images for CIFAR-10, test images for MNIST.
#
# SimpleNN, the network of the lab homework on CIFAR-10, shows it. It is trained on 45,000 images; 5,000 are held out for validation
# (500 of each class, the same in all runs). Pixels are standardised with the training split's own statistics. The optimizer is SGD with
# lr 0.01, momentum 0.9 and weight decay 1e-4; the runs with augmentation below use the same.

# %% tags=["figure"]
show_figure(diagrams.draw_network(models.SimpleNN(), (3, 32, 32)), "05-simplenn", "SimpleNN, layer by layer.")

# %% tags=["key"]
base = Experiment(
    model=models.SimpleNN,
    optimizer=partial(torch.optim.SGD, lr=0.01, momentum=0.9, weight_decay=1e-4),
    data="cifar10",
    epochs=AUGMENT_EPOCHS,
    batch_size=128,
    validation=500,
    pixels="standard",
)
as_they_are = sweep({"as they are": base}, CIFAR_SEEDS)

# %% [markdown]
# ### Early stopping
#
# If the validation loss turns, stop there. The rule needs one number, the *patience*: how many epochs without an improvement to
# wait, because a validation loss is noisy. It then keeps the weights of the best epoch, not the last ones.


# %% tags=["key"]
def early_stop(losses: list[float], patience: int = 5) -> tuple[int, int]:
    """The epoch whose weights early stopping keeps, and the epoch after which it stops."""
    best = 0
    for epoch, loss in enumerate(losses):
        if loss < losses[best]:
            best = epoch
        elif epoch - best >= patience:
            return best + 1, epoch + 1
    return best + 1, len(losses)


# %% tags=["plumbing"]
long_runs = as_they_are["as they are"]
kept, stopped = zip(*(early_stop([row["val_loss"] for row in run.history]) for run in long_runs), strict=True)


def at_kept(metric: str) -> list[float]:
    """The metric in the epoch that early stopping keeps, for each run."""
    return [run.history[epoch - 1][metric] for run, epoch in zip(long_runs, kept, strict=True)]


def at_last(metric: str) -> list[float]:
    """The metric in the last epoch of each run."""
    return [run.last(metric) for run in long_runs]


lower_loss = history.compare(at_kept("val_loss"), at_last("val_loss"), lower_is_better=True)
higher_val = history.compare(at_kept("val_accuracy"), at_last("val_accuracy"))
best_tests, last_tests = (
    [run.final(metric) for run in long_runs] for metric in ("best_test_accuracy", "test_accuracy")
)
higher_test = history.compare(best_tests, last_tests)

# %% tags=["figure"]
frame = as_they_are.frame()
fig, axes = plots.figure(1, 2)
for ax, metric in zip(axes, ("loss", "accuracy"), strict=True):
    both = [
        frame.assign(variant=name, y=frame[f"{key}_{metric}"])
        for key, name in (("train", "training"), ("val", "validation"))
    ]
    plots.learning_curves(pd.concat(both), "y", ax)
    ax.axvspan(min(kept), max(kept), color="0.85", zorder=0)
    ax.set_ylabel("loss (nats)" if metric == "loss" else "accuracy")
show_figure(
    fig,
    "05-overfitting",
    f"SimpleNN on CIFAR-10 images as they are, {history.spread_over(len(CIFAR_SEEDS))}. Grey: the epochs that early stopping keeps.",
)

# %% tags=["figure"]


def pairs(kept_values, last_values, form: str) -> list[str]:
    """Each kept value with the last one of its run."""
    return [f"{a:{form}}, last {b:{form}}" for a, b in zip(kept_values, last_values, strict=True)]


table = pd.DataFrame(
    {
        "stops after epoch": stopped,
        "keeps epoch": kept,
        "validation loss": pairs(at_kept("val_loss"), at_last("val_loss"), ".3f"),
        "validation accuracy": pairs(at_kept("val_accuracy"), at_last("val_accuracy"), ".4f"),
        "test accuracy": pairs(best_tests, last_tests, ".4f"),
    },
    index=pd.Index([run.seed for run in long_runs], name="seed"),
)
show_table(
    table,
    f"What early stopping with a patience of 5 would have given, against {AUGMENT_EPOCHS} epochs. The test accuracy belongs to another rule: it is that of the "
    "epoch with the highest validation accuracy of all.",
    name="05-early-stopping",
)

# %% tags=["claim"]
claim(max(stopped) <= 0.6 * AUGMENT_EPOCHS, "early stopping ends every run after 60 % of the epochs or before", REAL)
claim(lower_loss.better, f"the kept weights have a lower validation loss than the last ones: {lower_loss}", REAL)
claim(
    higher_test.verdict == "undecided" and min(higher_test.differences) > 0,
    f"test accuracy of the best weights by validation accuracy, against the last ones: {higher_test}; higher in every run",
    REAL,
)

# %% tags=["finding"]
finding(
    f"Early stopping saves about half of the epochs, and its validation loss is lower: {lower_loss:+.2f} "
    f"([table](#05-early-stopping)). Its test accuracy was not measured; that of the best epoch by validation accuracy is undecided against the last, {higher_test:+.3f}.",
    when=REAL,
)

# %% [markdown]
# Early stopping needs validation images, but no new term in the loss. It limits how far the weights can travel, but adds nothing to what the images
# teach. The other remedies change the training itself.
#
# ## Weight decay: every step shrinks the weights a little
#
# A large weight lets a small change of the input change the output a lot. A preference for small weights is a preference for
# smooth functions. **L2 regularisation** writes it into the loss that is differentiated:
#
# $$\tilde L(w) = L(w) + \frac\lambda2\sum_i w_i^2, \qquad \nabla\tilde L = \nabla L + \lambda w .$$
#
# One step of gradient descent shows why this is called *weight decay*:
#
# $$w \leftarrow w - \eta\,(\nabla L + \lambda w) = (1-\eta\lambda)\,w - \eta\nabla L .$$
#
# First the weight shrinks by the factor $1-\eta\lambda$, then it takes the usual step. Where the loss is flat, $t$ steps leave
# $(1-\eta\lambda)^t \approx e^{-\eta\lambda t}$ of it. With momentum $\mu$ every gradient counts $1/(1-\mu)$ times in the end, so
# $\eta$ becomes $\eta/(1-\mu)$. Where the loss has the curvature $h$ and its minimum at $\hat w$, the two forces balance at
#
# $$h\,(w-\hat w) + \lambda w = 0 \quad\Rightarrow\quad w = \frac{h}{h+\lambda}\,\hat w .$$
#
# A direction that matters to the loss ($h\gg\lambda$) hardly notices; one that does not ($h\ll\lambda$) shrinks to almost 0.
#
# Two conventions are in use: with $\lambda\sum w^2$ the gradient gains $2\lambda w$. The `weight_decay` of PyTorch is the
# $\lambda$ above. The penalty never enters the loss that we report. The handout with unit tests (NumPy) asks for a study of
# $\lambda$; it is in notebook 01.
#
# How much is that in the training of SimpleNN? The loss below is flat, so only the decay acts.

# %% tags=["key"]
DECAYS = (1e-2, 1e-3, 1e-4, 1e-5, 0)
STEPS = 30 * 352  # 30 epochs of 45,000 images in batches of 128
sgd = partial(torch.optim.SGD, lr=0.01, momentum=0.9)


def left_after(decay: float, steps: int) -> float:
    """How much of a weight of 1 remains after steps of SGD in which the gradient of its loss is 0."""
    weight = torch.nn.Parameter(torch.ones(1))
    weight.grad = torch.zeros(1)
    optimizer = sgd([weight], weight_decay=decay)
    for _ in range(steps):
        optimizer.step()
    return weight.item()


# %% tags=["figure"]
left = {decay: left_after(decay, STEPS) for decay in DECAYS}
formula = {decay: float(np.exp(-0.01 / (1 - 0.9) * decay * STEPS)) for decay in DECAYS}
table = pd.DataFrame(
    {
        "after 30 epochs": [f"{left[decay]:.4f}" for decay in DECAYS],
        "by the formula": [f"{formula[decay]:.4f}" for decay in DECAYS],
        "epochs to one half": [f"{np.log(2) / (0.1 * decay * 352):,.1f}" if decay else "∞" for decay in DECAYS],
    },
    index=pd.Index([f"{decay:g}" for decay in DECAYS], name="weight decay"),
)
show_table(
    table,
    "A weight of 1 that the loss does not need: what SGD (lr 0.01, momentum 0.9) leaves of it.",
    name="05-half-life",
)

# %% tags=["claim"]
claim(
    all(abs(left[decay] - formula[decay]) < 1e-3 for decay in DECAYS),
    "the rest of the weight is exp(-ηλt/(1-μ)) within 0.001",
)
claim(min(left[1e-4], left[1e-5]) > 0.85, "1e-4 and 1e-5 leave more than 85 % of the weight after 30 epochs")
claim(abs(left_after(1e-2, 2 * 352) - 0.5) < 0.02, "1e-2 leaves half of the weight after two epochs")

# %% [markdown]
# **What did you expect?** The lab homework trains with these five strengths and asks this question. The table allows a prediction before
# any network is trained. Strengths of 1e-4 and 1e-5 take little from a weight in a whole training, too little to see. A strength of
# 1e-2 halves a weight that the loss does not need in about two epochs, so we expect it to underfit. Only 1e-3 is in between. The runs come
# later ([figure](#05-weight-decay)).
#
# ### Which parameters does `weight_decay` affect?
#
# All that the optimizer was given: biases and the scales of BatchNorm as well, which few textbooks intend. (BatchNorm normalises each
# channel and multiplies it by a learned scale; notebook 06 explains it.) With all gradients at zero, decay is the only force left.
# One step shows which parameters move.

# %% tags=["key"]
torch.manual_seed(0)
net = models.SimpleNN(batch_norm=True)
before = {name: p.detach().clone() for name, p in net.named_parameters()}
for p in net.parameters():
    p.grad = torch.zeros_like(p)
torch.optim.SGD(net.parameters(), lr=0.1, weight_decay=0.1).step()
changed = {name: int((p != before[name]).sum()) for name, p in net.named_parameters()}


# %% tags=["figure"]
def kind(name: str, parameter: torch.Tensor) -> str:
    """What a parameter of SimpleNN is."""
    if parameter.ndim > 1:
        return "matrices and kernels"
    return "BatchNorm scales" if name.endswith("weight") else "biases and BatchNorm shifts"


rows = {}
for name, p in net.named_parameters():
    row = rows.setdefault(kind(name, p), {"parameters": 0, "moved": 0})
    row["parameters"] += p.numel()
    row["moved"] += changed[name]
moved = pd.DataFrame(rows).T
show_table(
    moved.rename_axis("kind"),
    "SimpleNN with BatchNorm: what one SGD step with weight_decay 0.1 moves at zero gradient. The 24 shifts of BatchNorm start at 0, so decay cannot move them.",
)

# %% tags=["claim"]
claim(moved.parameters.sum() == 82_078, "SimpleNN with BatchNorm has 82,078 parameters")
claim(
    moved.moved["BatchNorm scales"] == 24 and moved.moved["biases and BatchNorm shifts"] >= 238,
    "weight_decay moves biases and BatchNorm's scales too (BatchNorm's shifts stay at 0 only because they start there)",
)
claim(
    sum(w.numel() for w in penalties.weights(net)) == moved.parameters["matrices and kernels"],
    "our L1 and proximal step act on matrices and kernels only",
)

# %% [markdown]
# ### Adam and AdamW
#
# `Adam(weight_decay=λ)` adds $\lambda w$ to the gradient *before* it divides by the gradient's size. Where gradients are large, the
# decay almost vanishes. `AdamW` multiplies every weight by $1-\eta\lambda$, whatever its gradient (Loshchilov & Hutter 2019). Two
# weights of 1 show the difference: one has gradients of ±10, the other of ±0.001. A run without decay is the control, because the
# first steps of Adam do not cancel.


# %% tags=["key"]
def after_steps(make, weight_decay: float = 0.01, steps: int = 200) -> list[float]:
    """Two weights of 1 after steps under gradients of ±10 and ±0.001 that alternate in sign."""
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = make([weight], lr=1e-2, weight_decay=weight_decay)
    for step in range(steps):
        weight.grad = torch.tensor([10.0, 0.001]) * (-1) ** step
        optimizer.step()
    return weight.tolist()


decayed = {"no decay": after_steps(torch.optim.Adam, weight_decay=0.0)}
decayed |= {make.__name__: after_steps(make) for make in (torch.optim.Adam, torch.optim.AdamW)}

# %% tags=["figure"]
table = pd.DataFrame(decayed, index=["gradient ±10", "gradient ±0.001"]).map("{:.3f}".format)
show_table(
    table.rename_axis("weight"), "Two weights that started at 1, after 200 steps with lr 0.01 and weight decay 0.01."
)

# %% tags=["claim"]
claim(
    abs(decayed["Adam"][0] - decayed["no decay"][0]) < 0.005 and decayed["Adam"][1] < 0.5,
    "Adam's weight decay leaves a weight with large gradients alone and pulls the other down",
)
claim(abs(decayed["AdamW"][0] - decayed["AdamW"][1]) < 0.01, "AdamW shrinks both alike")

# %% [markdown]
# ## Dropout: no unit can rely on another
#
# In every training step each hidden unit is switched off with probability $p$ (Srivastava et al. 2014). A unit cannot count on
# a particular partner, so each has to be useful by itself. Another view: every step trains a different thinned network, and all of
# them share their weights.

# %% tags=["figure"]
show_figure(
    diagrams.dropout_masks(),
    "05-dropout",
    "One hidden layer in three training steps with dropout ½, and in evaluation. Dashed: switched off. What stays is doubled.",
)

# %% [markdown]
# The outputs of the units that stay are divided by $1-p$. Let $x$ be such an output. If $m$ is 0 with probability $p$ and 1 otherwise, then
#
# $$\mathbb E\left[\frac{m}{1-p}\,x\right] = \frac{1-p}{1-p}\,x = x ,$$
#
# so the next layer gets the same input on average, and evaluation needs no correction: there dropout does nothing. The variance is
# the price, $x^2\,p/(1-p)$: this noise is the regulariser.

# %% tags=["key"]
torch.manual_seed(0)
dropout = torch.nn.Dropout(0.5)
ones = torch.ones(10_000)
in_train, in_eval = dropout.train()(ones), dropout.eval()(ones)
print(f"training mode: values {in_train.unique().tolist()}, mean {in_train.mean():.2f}, variance {in_train.var():.2f}")
print(f"eval mode: values {in_eval.unique().tolist()}")

# %% [markdown] tags=["exercise"]
# **Your turn: dropout.** In NumPy, with the scaling that torch's has.
#
# <details><summary>Hint</summary>Draw one random number for each number of x. Dividing by 1 − p belongs in training, so that eval mode has
# nothing to do.</details>


# %% tags=["exercise"]
def my_dropout(x: np.ndarray, p: float, training: bool, rng: np.random.Generator) -> np.ndarray:
    """x with each number set to 0 with probability p in training; x itself in eval mode."""
    # BEGIN SOLUTION
    if not training:
        return x
    kept = rng.uniform(size=x.shape) < 1 - p
    return np.where(kept, x / (1 - p), 0.0)
    # END SOLUTION


# %% tags=["exercise"]
check("dropout", my_dropout)

# %% [markdown]
# ## Weight decay and dropout on MNIST
#
# The homework on MNIST and CIFAR-10 compares three settings of one MLP: no regulariser, weight decay 0.001, and dropout ½ after both
# hidden layers. It names neither optimizer nor epochs; we take Adam with lr 1e-3 and 20 epochs in batches of 128, and L2 is Adam's
# `weight_decay`. We add dropout and L2 together, because a question at the end of this notebook asks about the combination.

# %% tags=["figure"]
show_figure(
    diagrams.draw_network(models.MLP((784, 128, 64, 10), dropout=0.5), (1, 28, 28)),
    "05-mlp",
    "The MLP for MNIST. Dropout acts on the outputs of both hidden layers and has no parameters.",
)

# %% tags=["key"]
mlp = partial(models.MLP, (784, 128, 64, 10))
half = partial(mlp, dropout=0.5)
l2 = partial(torch.optim.Adam, lr=1e-3, weight_decay=1e-3)
plain = Experiment(
    model=mlp,
    optimizer=partial(torch.optim.Adam, lr=1e-3),
    data="mnist",
    epochs=DIGIT_EPOCHS,
    batch_size=128,
    watch_test=True,
)

# %% tags=["key"]
variants = {
    "none": plain,
    "L2 1e-3": replace(plain, optimizer=l2),
    "dropout 0.5": replace(plain, model=half),
    "dropout + L2": replace(plain, model=half, optimizer=l2),
}
digit_runs = sweep(variants, DIGIT_SEEDS)


def gap(run) -> float:
    """Training minus test accuracy of the last weights, both in eval mode."""
    return run.final("train_accuracy") - run.final("test_accuracy")


# %% [markdown]
# The task asks for the training and the test accuracy of every setting. Nothing is selected by them; the choice of a strength comes
# later, on validation data ([figure](#05-strengths)). Runs with the same seed share their initial weights and the order of their batches, so
# we compare in pairs: the mean difference with its 95 % interval, *undecided* where the interval contains zero.

# %% tags=["plumbing"]
gaps = digit_runs.each(gap)
trains, tests = digit_runs.final("train_accuracy"), digit_runs.final("test_accuracy")
gap_change = digit_runs.against("none", gap)
test_change = digit_runs.against("none", "test_accuracy")
half_to_l2 = digit_runs.compare("dropout 0.5", "L2 1e-3", "test_accuracy")

# %% tags=["figure"]
fig = plots.learning_curve_panels(digit_runs.frame(), ("train_accuracy", "test_accuracy"))
left, right = fig.axes
left.set_ylabel("running training accuracy")
for name, color in plots.colors(digit_runs).items():
    left.plot(
        DIGIT_EPOCHS + 0.6, trains[name].mean, "D", color=color, markeredgecolor="black", markersize=6, clip_on=False
    )
if REAL:
    left.set_ylim(0.9, 1.001)
    right.set_ylim(0.93, 0.985)
show_figure(
    fig,
    "05-mnist",
    f"MLP on MNIST: {history.spread_over(len(DIGIT_SEEDS))}. Diamonds: training accuracy of the final weights in eval mode.",
)

# %% tags=["figure"]
fig, [left, right] = plots.figure(1, 2, height=2.6)
plots.compare({name: spread.values for name, spread in gaps.items()}, "training - test accuracy", left)
plots.compare({name: spread.values for name, spread in tests.items()}, "test accuracy", right)
right.set_yticklabels([])
show_figure(
    fig, "05-mnist-gap", "The gap (both accuracies in eval mode) and the test accuracy: one dot a seed, bars are means."
)

# %% tags=["figure"]
columns = {"running train": digit_runs.last("train_accuracy"), "train": trains, "test": tests, "gap": gaps}
show_table(
    digit_runs.table(columns, ".4f").rename_axis("regulariser"),
    f"MNIST after {DIGIT_EPOCHS} epochs, {history.spread_over(len(DIGIT_SEEDS))}; all but the first column in eval mode.",
)

# %% tags=["figure"]
changes = {"gap": {name: f"{change}" for name, change in gap_change.items()}}
changes["test accuracy"] = {name: str(change) for name, change in test_change.items()}
show_table(
    pd.DataFrame(changes).rename_axis("regulariser"),
    f"Each regulariser against none: mean difference and its 95 % interval over {history.seeds(len(DIGIT_SEEDS))}, and the verdict on the "
    "test accuracy.",
    name="05-mnist-table",
)

# %% tags=["claim"]
for name, change in gap_change.items():
    claim(change.high < 0, f"the gap is smaller with {name} than without a regulariser: {change}", REAL)
for name, change in test_change.items():
    claim(not change.better, f"the test accuracy with {name} is not shown to be higher than without: {change}", REAL)
three = [tests[name].mean for name in ("none", "L2 1e-3", "dropout 0.5")]
claim(max(three) - min(three) <= 0.02, "the mean test accuracies of none, L2 and dropout ½ lie within 0.02", REAL)
claim(half_to_l2.verdict == "worse", f"dropout ½ scores lower on the test set than L2: {half_to_l2}", REAL)
for run in digit_runs["dropout 0.5"]:
    running, test, train = run.last("train_accuracy"), run.final("test_accuracy"), run.final("train_accuracy")
    claim(
        running < test < train,
        f"seed {run.seed}: {running:.4f} running < {test:.4f} test < {train:.4f} training in eval mode",
        REAL,
    )

# %% tags=["finding"]
finding(
    f"A smaller gap is not a better network: all three regularisers shrink the gap, and none is shown to raise the test accuracy "
    f"([table](#05-mnist-table)). At these strengths dropout ½ scores below L2, {half_to_l2:+.4f}; the homework says the opposite.",
    when=REAL,
    headline=f"On MNIST, L2 and dropout ½ shrink the gap between training and test accuracy from {gaps['none'].mean:.4f} to "
    f"{gaps['L2 1e-3'].mean:.4f} and {gaps['dropout 0.5'].mean:.4f}, but neither is shown to raise the test accuracy.",
)

# %% [markdown]
# **Trap.** The running training accuracy is measured *while units are dropped*. With dropout ½ it lies below the test accuracy, and
# their difference would be a negative gap. The diamonds ([figure](#05-mnist)) are the final weights with all units active; they lie
# above the test accuracy. Measure both accuracies in eval mode before you speak of a gap.
#
# ### How strong? A choice for validation data
#
# Dropout ½ and λ = 1e-3 were given. Half of 64 units may be too many to lose, so we try smaller strengths. Picking the one with the
# best test accuracy would mean fitting one more parameter to the test set. So we hold out 5,000 training images, choose by
# the mean validation accuracy of the last epoch, and read the test accuracy once: for the chosen strengths and for no regulariser. (The
# comparison above has already used the test set, so it is not untouched.)

# %% tags=["key"]
held_out = replace(plain, validation=500, watch_test=False)  # 500 of each class
candidates = {"none": held_out}
for p in (0.1, 0.2, 0.3, 0.5):
    candidates[f"dropout {p:g}"] = replace(held_out, model=partial(mlp, dropout=p))
for strength in (1e-4, 3e-4, 1e-3):
    candidates[f"L2 {strength:g}"] = replace(
        held_out, optimizer=partial(torch.optim.Adam, lr=1e-3, weight_decay=strength)
    )
held_runs = sweep(candidates, HELD_SEEDS)


def chosen(kind: str) -> str:
    """The variant of a kind with the highest mean validation accuracy."""
    scores = held_runs.last("val_accuracy")
    return max((name for name in scores if name.startswith(kind)), key=lambda name: scores[name].mean)


# %% tags=["plumbing"]
picks = [chosen("dropout"), chosen("L2")]
held_change = {name: held_runs.compare(name, "none", "val_accuracy", at="last") for name in held_runs if name != "none"}
read_once = {name: held_runs.compare(name, "none", "test_accuracy") for name in picks}
between_picks = held_runs.compare(*picks, "test_accuracy")

# %% tags=["figure"]
validation = held_runs.last("val_accuracy")
fig, [left, right] = plots.figure(1, 2, height=3.4)
for ax, kind_of, label in ((left, "dropout", "dropout probability"), (right, "L2", "weight decay of Adam")):
    scores = {float(name.split()[1]): spread.values for name, spread in validation.items() if name.startswith(kind_of)}
    plots.by_value({0: validation["none"].values} | scores, label, "validation accuracy", ax)
right.sharey(left)
show_figure(
    fig,
    "05-strengths",
    f"Strengths on 5,000 held-out digits after {DIGIT_EPOCHS} epochs: one dot a seed, lines and dashes are means.",
)

# %% tags=["figure"]
table = (
    pd.DataFrame(
        {
            "validation accuracy": {name: f"{spread:.4f}" for name, spread in validation.items()},
            "against none": {name: str(change) for name, change in held_change.items()},
            "test against none": {name: str(change) for name, change in read_once.items()},
        }
    )
    .loc[list(held_runs)]
    .fillna("")
)
show_table(
    table.rename_axis("regulariser"),
    f"Choice by validation accuracy, {history.spread_over(len(HELD_SEEDS))}; the test set is read for the chosen strengths only.",
    name="05-strengths-table",
)

# %% tags=["claim"]
rivals = {
    name: held_runs.compare(picks[0], name, "val_accuracy", at="last")
    for name in ("dropout 0.1", "dropout 0.2", "dropout 0.3")
}
for name, lead in rivals.items():
    if name != picks[0]:
        claim(lead.verdict == "undecided", f"{picks[0]} against {name} on validation data: {lead}", REAL)
weaker = [held_runs.compare(name, "dropout 0.5", "val_accuracy", at="last") for name in rivals]
claim(
    all(min(lead.differences) > 0 for lead in weaker), "in every run dropout ½ scores below every weaker dropout", REAL
)
claim(picks[0] != "dropout 0.5", f"validation chooses {picks[0]}", REAL)
for name, change in read_once.items():
    claim(change.verdict == "undecided", f"{name} against none on the test set: {change}", REAL)
claim(between_picks.verdict == "undecided", f"{picks[0]} against {picks[1]} on the test set: {between_picks}", REAL)

# %% tags=["finding"]
finding(
    "Validation puts dropout ½ below every weaker one; among these, the choice is undecided. On the test set, the chosen strengths, "
    f"{' and '.join(picks)}, are undecided against no regulariser ([table](#05-strengths-table)), and against each other: {between_picks:+.4f}.",
    when=REAL,
)

# %% [markdown]
# ## Augmentation: more images from the same ones
#
# A car that is moved by three pixels, or mirrored, is still a car. Such changes cost nothing and keep the label, so each
# epoch can show new variants of the training images. This tells the network *what does not matter*. A penalty on weights cannot.
#
# Here each image is padded with 4 pixels, cropped at random to its old size, and mirrored with probability ½, with a draw of its own.
# Only the training batches are changed.

# %% tags=["key"]
show_source(data.crop_flip)

# %% tags=["figure"]
images = photos.train_images[[4, 7, 9]].permute(0, 3, 1, 2).float() / 255
generator = torch.Generator().manual_seed(0)
draws = torch.stack([images, *(data.crop_flip(images, generator) for _ in range(5))], dim=1)
fig, [ax] = plots.figure(height=3)
plots.image_grid(draws.flatten(0, 1).permute(0, 2, 3, 1).numpy(), columns=6, ax=ax)
show_figure(
    fig,
    "05-augmented",
    "Three training images (left) and five draws of each; the padding is black here, mean colour in training.",
    pixels=True,
)

# %% tags=["key"]
augmented = sweep({"augmented": replace(base, augment=data.crop_flip)}, CIFAR_SEEDS)
augmentation = as_they_are | augmented


def running_gap(run) -> float:
    """Running training minus validation accuracy in the last epoch, as a reader takes it from the curves."""
    return run.last("train_accuracy") - run.last("val_accuracy")


def eval_gap(run) -> float:
    """Training accuracy on the images as they are, in eval mode, minus validation accuracy."""
    return run.final("train_accuracy") - run.last("val_accuracy")


# %% [markdown]
# With three seeds the 95 % interval is 4.3 standard errors wide on either side, with five 2.8. Three seeds decide only what differs
# clearly.

# %% tags=["figure"]
fig = plots.learning_curve_panels(augmentation.frame(), ("train_loss", "val_loss", "train_accuracy", "val_accuracy"))
for left, right in (fig.axes[:2], fig.axes[2:]):
    right.sharey(left)
show_figure(
    fig,
    "05-augmentation",
    f"SimpleNN with and without augmentation, {AUGMENT_EPOCHS} epochs; {history.spread_over(len(CIFAR_SEEDS))}. "
    "The training curves are running values on the images as they were shown.",
)

# %% tags=["plumbing"]
running_change = augmentation.compare("augmented", "as they are", running_gap)
eval_change = augmentation.compare("augmented", "as they are", eval_gap)
ahead = augmentation.compare("augmented", "as they are", "val_accuracy", at="best")
ahead_test = augmentation.compare("augmented", "as they are", "best_test_accuracy")

# %% tags=["figure"]
columns = {
    "last validation": augmentation.last("val_accuracy"),
    "best validation": augmentation.best("val_accuracy"),
    "gap, running": augmentation.each(running_gap),
    "gap, eval mode": augmentation.each(eval_gap),
    "test": augmentation.final("best_test_accuracy"),
}
table = augmentation.table(columns, ".4f")
published = [scorecard.PUBLISHED[name] for name in ("S4.L1.g.best", "S4.L2.a")]
table.insert(
    2, "published best", [", ".join(f"{value:.4f}" for value in (*row.values, *row.repeats)) for row in published]
)
table = table.T
table["difference"] = ["", f"{ahead}", "", f"{running_change}", f"{eval_change}", f"{ahead_test}"]
show_table(
    table.rename_axis("accuracy").rename_axis(columns=None),
    f"SimpleNN on CIFAR-10 after {AUGMENT_EPOCHS} epochs, {history.spread_over(len(CIFAR_SEEDS))}; published: one run each, the second "
    "number is a repetition. The test accuracy is that of the weights with the best validation accuracy.",
    name="05-augmentation-table",
)

# %% tags=["claim"]
claim(
    running_change.difference <= -0.05 and running_change.high < 0,
    f"augmentation shrinks the gap between running training and validation accuracy: {running_change:+.4f}",
    REAL,
)
claim(eval_change.high < 0, f"the gap in eval mode is smaller with augmentation: {eval_change:+.4f}", REAL)
claim(
    ahead.better and ahead.difference >= 0.01,
    f"the best validation accuracy is higher with augmentation, by at least 0.01: {ahead}",
    REAL,
)
claim(ahead_test.better, f"the test accuracy is higher with augmentation: {ahead_test}", REAL)
for run in augmented["augmented"]:
    lowest = run.first_epoch("val_loss", run.best("val_loss"))
    claim(lowest >= 0.9 * AUGMENT_EPOCHS, f"augmented, seed {run.seed}: lowest validation loss in epoch {lowest}", REAL)

# %% tags=["finding"]
finding(
    f"Augmentation does both: the gap in eval mode changes by {eval_change.difference:+.2f}, and the test accuracy rises by "
    f"{ahead_test:.3f} ([table](#05-augmentation-table)). Within {AUGMENT_EPOCHS} epochs the validation loss does not turn.",
    when=REAL,
)

# %% [markdown]
# ### When augmentation lies
#
# A mirrored car is a car; a mirrored 2 is not a digit. Here is the MLP on MNIST with half of its training images mirrored.

# %% tags=["key"]
digit_base = replace(plain, epochs=FLIP_EPOCHS)
mirrored = replace(digit_base, augment=partial(data.crop_flip, padding=0))
flips = sweep({"as they are": digit_base, "mirrored": mirrored}, range(FLIP_SEEDS))
cost = flips.compare("mirrored", "as they are", "test_accuracy")

# %% tags=["claim"]
claim(cost.verdict == "worse", f"mirroring digits costs test accuracy after {FLIP_EPOCHS} epochs: {cost}", REAL)

# %% tags=["finding"]
finding(
    f"Mirrored digits lower the test accuracy by {-cost.difference:.4f} [{-cost.high:.4f}, {-cost.low:.4f}]. "
    "A hypothesis for the reason: a mirrored digit is often no longer that digit.",
    when=REAL,
)

# %% [markdown]
# ## How much weight decay?
#
# The lab homework trains SimpleNN with BatchNorm after each convolution, augmentation on, lr 0.01, with five strengths of weight decay. Its rules:
# at least 70 % on validation, no decay of the learning rate in this lab, and new weights for each run.
# The half-lives ([table](#05-half-life)) predict that 1e-4, 1e-5 and 0 behave alike and that 1e-2 underfits. Of each trained
# network we keep the histograms of its weights for the next section.

# %% tags=["figure"]
show_table(
    models.layer_table(models.SimpleNN(batch_norm=True), (3, 32, 32)).set_index("layer"),
    "SimpleNN with BatchNorm, layer by layer: 48 parameters more than without.",
)

# %% tags=["key"]
EDGES = [round(-0.605 + 0.01 * i, 3) for i in range(122)]  # 0 lies in the middle of a bin


def measure_weights(model: torch.nn.Module) -> dict:
    """Histograms by layer, share of weights that are exactly 0, and share below 0.001."""
    zero, small = diagnostics.sparsity(model)
    return {"weights": diagnostics.weight_distributions(model, EDGES), "zero": zero, "small": small}


# %% tags=["key"]
norm_base = replace(
    base,
    model=partial(models.SimpleNN, batch_norm=True),
    augment=data.crop_flip,
    epochs=SWEEP_EPOCHS,
    measure=measure_weights,
)
strengths = {f"{decay:g}": replace(norm_base, optimizer=partial(sgd, weight_decay=decay)) for decay in DECAYS}
decays = sweep(strengths, CIFAR_SEEDS)

# %% tags=["plumbing"]
best_val, fitted = decays.best("val_accuracy"), decays.final("train_accuracy")
published = {decay: scorecard.PUBLISHED[f"S4.L2.c.ii.{decay}"].values[0] for decay in decays}
decay_change = decays.against("0", "val_accuracy", at="best")
fit_change = decays.against("0", "train_accuracy")

# %% tags=["figure"]
fig, [left, right] = plots.figure(1, 2, height=4.2)
plots.learning_curves(decays.frame(), "val_accuracy", left).get_legend().remove()
fig.legend(*left.get_legend_handles_labels(), title="weight decay", loc="outside upper center", ncols=len(decays))
scores = {float(decay): spread.values for decay, spread in best_val.items()}
plots.by_value(scores, "weight decay", "best validation accuracy", right)
grey = dict(color=plots.colors(["published"])["published"], markersize=5)
right.plot([float(decay) or 1e-6 for decay in published], list(published.values()), "s", **grey)
ours = [line for line in right.lines if line.get_color() == right.lines[0].get_color()]
for line in ours:
    line.set_color("black")  # the colours of the left panel are strengths
show_figure(
    fig,
    "05-weight-decay",
    f"SimpleNN with BatchNorm: weight decay, {SWEEP_EPOCHS} epochs. Left {history.spread_over(len(CIFAR_SEEDS))}, right one black dot a run, "
    "the line joins means; grey squares: published, one run each.",
)

# %% tags=["figure"]
columns = {"best validation": best_val, "training": fitted, "gap": decays.each(eval_gap)}
table = decays.table(columns | {"test": decays.final("best_test_accuracy")}, ".4f")
table.insert(0, "published", [f"{value:.4f}" for value in published.values()])
table["validation against 0"] = [str(decay_change[decay]) if decay in decay_change else "" for decay in decays]
show_table(
    table.rename_axis("weight decay"),
    f"Weight decay after {SWEEP_EPOCHS} epochs, {history.spread_over(len(CIFAR_SEEDS))}; published: best validation accuracy of one run. "
    "Training accuracy and gap in eval mode, on the images as they are. The last column has the 95 % interval of the mean difference.",
    name="05-decay-table",
)

# %% tags=["claim"]
weak = [decay for decay in decays if decay != "0.01"]
weak_means = [best_val[decay].mean for decay in weak]
claim(np.ptp(weak_means) <= 0.03, "from 1e-3 to 0 the mean best validation accuracies lie within 0.03", REAL)
claim(max(weak_means) >= 0.70, "the lab homework's goal: 0.70 or more on validation", REAL)
for decay in ("0.001", "0.0001", "1e-05"):
    claim(
        decay_change[decay].verdict == "undecided", f"{decay} against 0, best validation: {decay_change[decay]}", REAL
    )
claim(decay_change["0.01"].verdict == "worse", f"1e-2 against 0, best validation: {decay_change['0.01']}", REAL)
claim(fit_change["0.01"].verdict == "worse", f"1e-2 against 0, training accuracy: {fit_change['0.01']}", REAL)

# %% tags=["finding"]
finding(
    f"Too much weight decay underfits: 1e-2 changes validation accuracy by {decay_change['0.01']:+.2f} and training accuracy by "
    f"{fit_change['0.01']:+.2f}. Every weaker strength is undecided against none ([table](#05-decay-table)).",
    when=REAL,
)

# %% [markdown]
# The prediction for 1e-2 holds. For 1e-3, 1e-4 and 1e-5 the comparison with 0 is undecided: the runs do not contradict "alike", and three
# seeds do not show it. The homework calls 1e-3 best; it has one run of each strength.
#
# The published tables themselves show how much luck is in a single run. They give the same configuration as 0.7224, 0.7180, 0.7218 and
# 0.7202, another as 0.6982 and 0.7106, a third as 0.6862 and 0.6780. They compare 0.6982 (augmentation only) with 0.6978 (decay of the
# learning rate only), although a run with neither reaches 0.6564 and one with both is missing. Each number is the *best of 30* epochs
# on the validation set. Between our own seeds the best validation accuracy of the weaker strengths has a standard deviation of up to
# 0.01 ([table](#05-decay-table)), so two single runs can differ by 0.02 without any other cause.
#
# ## L1, L2 and real zeros
#
# Weight decay makes weights small. Sometimes we want them to be *zero*: a zero weight needs no memory and no multiplication. L1 is said to do
# that, and a picture shows why. A penalty acts like a budget: find the lowest loss within $\sum\left|w_i\right|\le c$ (L1) or
# $\sum w_i^2\le c^2$ (L2).

# %% tags=["figure"]
show_figure(
    diagrams.penalty_balls(),
    "05-balls",
    "The lowest loss within an L1 budget and within an L2 budget. The contours of the loss are ellipses; the diamond and the disc are the "
    "constraints. At a corner of the diamond one weight is exactly 0.",
)

# %% [markdown]
# In JupyterLab, move the lowest loss around: how often does the diamond meet the contours at a corner, and how often does the disc?

# %% tags=["plumbing"]
show_sliders(
    lambda choice, w1, w2, budget: diagrams.penalty_balls((w1, w2), radius=budget),
    {"the lowest loss is at": {"w1": (0.2, 2.0, 0.1), "w2": (0.2, 2.0, 0.1), "budget": (0.5, 1.5, 0.1)}},
)

# %% [markdown]
# Now the same for a single weight and a single step. The pull of L2 is *proportional*, $\lambda w$: half the weight, half the pull,
# so it fades before it arrives. The pull of L1 is *constant*, $\lambda\,\mathrm{sign}(w)$, however small $w$ is. At $w=0$ the
# function $\left|w\right|$ has no derivative but a range of slopes $[-1, 1]$, its *subdifferential*. So 0 stays the minimum
# as long as the loss pulls with less than $\lambda$:
#
# $$0 \in \frac{\partial L}{\partial w} + \lambda\,[-1, 1] \quad\Leftrightarrow\quad \left|\frac{\partial L}{\partial w}\right| \le \lambda .$$
#
# With L2 the condition at 0 is $\partial L/\partial w = 0$, which almost never holds exactly. So the *minimum* of a loss with L1 can have
# exact zeros. A *gradient step* still misses them: a step of fixed length $\eta\lambda$ jumps over 0 and lands on the other side.
#
# The **proximal step** does what L1 asks for. First a gradient step on the loss without the penalty, from $w$ to $v$. Then the
# penalty, solved exactly (Parikh & Boyd 2014): with $a=\eta\lambda$ we look for
#
# $$w^+ = \arg\min_u\; \tfrac12(u-v)^2 + a\,\left|u\right| .$$
#
# - If $u>0$, the derivative $u-v+a$ is 0 at $u=v-a$, which is positive only if $v>a$.
# - If $u<0$, it is $u-v-a$, so $u=v+a$, which is negative only if $v<-a$.
# - If $\left|v\right|\le a$, neither case applies, and $u=0$ is left: there $0\in -v+a\,[-1,1]$.
#
# The three cases in one formula are the **soft threshold**
#
# $$w^+ = \mathrm{sign}(v)\,\max(\left|v\right|-a,\ 0) .$$
#
# The same with $\tfrac a2u^2$ gives $u=v/(1+a)$: L2 shrinks and never reaches 0. To compare L2, L1 in the loss and the proximal step, we let one
# weight start at 0.47 under the penalty only; the loss is flat.


# %% tags=["key"]
def path(make, l1: float = 0.0, steps: int = 15) -> list[float]:
    """A weight that starts at 0.47, step by step, where only a penalty acts."""
    weight = torch.nn.Parameter(torch.tensor([[0.47]]))
    optimizer, visited = make([weight], lr=0.1), [weight.item()]
    for _ in range(steps):
        weight.grad = l1 * weight.detach().sign()
        optimizer.step()
        visited.append(weight.item())
    return visited


# %% tags=["key"]
paths = {
    "L2": path(partial(torch.optim.SGD, weight_decay=1.0)),
    "L1 in the loss": path(torch.optim.SGD, l1=1.0),
    "proximal": path(partial(penalties.ProximalSGD, strength=1.0)),
}

# %% tags=["figure"]
fig, [ax] = plots.figure(height=2.8)
for (name, color), marker in zip(plots.colors(paths).items(), "os^", strict=True):
    ax.plot(paths[name], f"{marker}-", color=color, markersize=5, label=name)
ax.axhline(0, color="black", linewidth=0.8)
ax.set(xlabel="step", ylabel="weight")
ax.legend()
show_figure(fig, "05-one-weight", "One weight under three penalties of strength 1, lr 0.1, and a flat loss.")

# %% tags=["claim"]
claim(paths["L2"][-1] > 0.05, "L2 shrinks the weight by a factor and does not reach 0")
claim(min(map(abs, paths["L1 in the loss"])) > 0.01, "L1 in the loss jumps over 0 and never hits it")
claim(paths["proximal"][5:] == [0] * len(paths["proximal"][5:]), "the proximal step reaches exactly 0 and stays there")

# %% [markdown] tags=["exercise"]
# **Your turn: the step that gives zeros.** The second half of the proximal step, for an amount $\eta\lambda$.
#
# <details><summary>Hint</summary>Three kinds of weights: above the amount, below minus the amount, and those between.</details>


# %% tags=["exercise"]
def my_soft_threshold(w: np.ndarray, amount: float) -> np.ndarray:
    """Every weight moved towards 0 by the amount; it stops there."""
    # BEGIN SOLUTION
    return np.where(w > amount, w - amount, np.where(w < -amount, w + amount, 0.0))
    # END SOLUTION


# %% tags=["exercise"]
check("soft_threshold", my_soft_threshold)

# %% tags=["solution"]
show_source(penalties.l1, penalties.ProximalSGD)

# %% [markdown]
# ### L1 against L2 on CIFAR-10
#
# The lab homework trains SimpleNN with an L1 penalty of 1e-4 in place of weight decay and compares the weights. We add the proximal
# step. One thing to watch: L1 in the loss goes through the momentum buffer, which multiplies it by $1/(1-\mu) = 10$; the threshold does
# not. For the same pull the proximal λ has to be 1e-3, so we run both.

# %% tags=["key"]
LAMBDA = 1e-4
short = replace(norm_base, epochs=SPARSE_EPOCHS)
proximal = partial(penalties.ProximalSGD, lr=0.01, momentum=0.9)
penalised = {
    "none": replace(short, optimizer=partial(sgd, weight_decay=0)),
    "L2 1e-4": replace(short, optimizer=partial(sgd, weight_decay=LAMBDA)),
    "L1 1e-4": replace(short, optimizer=sgd, penalty=partial(penalties.l1, strength=LAMBDA)),
    "proximal 1e-4": replace(short, optimizer=partial(proximal, strength=LAMBDA)),
    "proximal 1e-3": replace(short, optimizer=partial(proximal, strength=10 * LAMBDA)),
}
sparse_runs = sweep(penalised, SPARSE_SEEDS)

# %% tags=["plumbing"]
small, zero = sparse_runs.final("small"), sparse_runs.final("zero")
kurtosis = {
    layer: sparse_runs.each(lambda run, layer=layer: run.metrics["weights"][layer]["kurtosis"])
    for layer in ("all layers", *diagnostics.layers(models.SimpleNN()))
}
pooled = kurtosis["all layers"]
penalty_change = sparse_runs.against("none", "val_accuracy", at="last")

# %% tags=["figure"]
shown = ("none", "L2 1e-4", "L1 1e-4", "proximal 1e-3")
fig, axes = plots.figure(2, 2, height=3.2)
colors = plots.colors(shown)
for ax, name in zip(axes, shown, strict=True):
    plots.weight_histogram(sparse_runs[name][0].metrics["weights"]["all layers"], EDGES, colors[name], ax)
    ax.set(title=name, ylim=(0.7, 1e6))
    ax.label_outer()
axes[0].legend(loc="upper left")
show_figure(
    fig,
    "05-weights",
    f"All 81,792 weights after {SPARSE_EPOCHS} epochs (seed 0), on a log scale, in bins of 0.01. Black: a Gaussian of the same standard "
    "deviation. The outermost bins also count all weights beyond them. Insets: the bins around 0 on a linear scale.",
)

# %% tags=["figure"]
table = sparse_runs.table(
    {"last validation": sparse_runs.last("val_accuracy"), "gap": sparse_runs.each(eval_gap)}, ".4f"
)
table = table.join(sparse_runs.table({"exactly 0": zero, "below 0.001": small}, ".2%"))
table["validation against none"] = [str(penalty_change[name]) if name in penalty_change else "" for name in sparse_runs]
show_table(
    table.rename_axis("penalty"),
    f"The weights of SimpleNN with BatchNorm after {SPARSE_EPOCHS} epochs, {history.spread_over(len(SPARSE_SEEDS))}; gap in eval mode.",
    name="05-sparse-table",
)

# %% tags=["figure"]
table = pd.DataFrame(
    {layer: {name: f"{spread.mean:.1f}" for name, spread in kurtosis[layer].items()} for layer in kurtosis}
)
show_table(
    table.rename_axis("penalty"),
    f"Kurtosis of the weights: the mean of $(w - \\bar w)^4$ over the squared variance (a Gaussian has 3), {'mean of ' if len(SPARSE_SEEDS) > 1 else ''}{history.seeds(len(SPARSE_SEEDS))}.",
    name="05-kurtosis",
)

# %% tags=["claim"]
claim(
    (small["L1 1e-4"].values >= 2 * small["L2 1e-4"].values).all(),
    "in every run L1 leaves at least twice as many weights below 0.001 as L2",
    REAL,
)
claim(
    max(zero[name].values.max() for name in ("none", "L2 1e-4", "L1 1e-4")) < 1e-3,
    "with L1 or L2 in the loss fewer than one weight in a thousand is exactly 0",
    REAL,
)
claim(zero["proximal 1e-3"].values.min() > 0.001, "in every run the proximal step at 1e-3 gives exact zeros", REAL)
claim(
    all(2 * kurtosis[layer]["L2 1e-4"].mean < pooled["L2 1e-4"].mean for layer in kurtosis if "all" not in layer),
    "in each layer by itself the kurtosis is less than half of that of all weights",
    REAL,
)
claim(
    min(pooled["L2 1e-4"].values.min(), pooled["none"].values.min()) > 4,
    "with L2 and without a penalty all weights together have heavier tails than a Gaussian",
    REAL,
)

# %% tags=["finding"]
finding(
    f"L1 in the loss makes weights small: {small['L1 1e-4'].mean:.0%} are below 0.001, against {small['L2 1e-4'].mean:.0%} with L2. Only the "
    f"proximal step makes them exactly 0, the stronger one {zero['proximal 1e-3'].mean:.1%} ([table](#05-sparse-table)).",
    when=REAL,
)
finding(
    f'L2 does not give "a Gaussian": the kurtosis of all weights is {pooled["L2 1e-4"].mean:.1f}, without a penalty {pooled["none"].mean:.1f}, '
    "and a Gaussian has 3. Layer by layer it is much nearer to 3: most of it comes from pooling different layers ([table](#05-kurtosis)).",
    when=REAL,
)

# %% [markdown]
# The homework applied L1 to biases and BatchNorm's parameters too. A BatchNorm scale of 0 makes its whole channel constant. That is a
# way to prune channels, but not what was asked; ours acts on kernels and matrices.
#
# ## True or false?
#
# Four questions of the lab homework; the fifth is in notebook 08. Answer them before you read on.
#
# | claim | answer | reason |
# |:--------------------|:------|:--------------------------------------------------------|
# | Data augmentation always helps. | **False** | It helps where the change keeps the label and stays plausible. Mirrored digits (above) cost accuracy; a small net or a short training may underfit, since augmented images are harder. |
# | BatchNorm and dropout are regularisers that both make CNNs converge much faster. | **False** | BatchNorm is there for the optimisation; it also adds noise, because each batch has other statistics. Dropout adds noise and slows training down; see the check below. |
# | Dropout together with an L-norm is always best. | **False** | Each limits what the net can express; both at once can underfit, and their strengths have to be tuned together on validation data. On MNIST above, both together scored lower on the test set than either of them. |
# | L1 gives less sparsity than L2. | **False** | More: its pull does not fade near 0, that of L2 does. The L1 ball is a diamond with its corners on the axes ([figure](#05-balls)), where some weights are 0, and the contours of the loss often meet it there. (The homework calls the diamond the contour of the loss; it is the constraint.) With plain gradient steps these are near-zeros only. |
#
# *Claims about regularisation from the lab homework, with answers.*


# %% tags=["plumbing"]
def epochs_to_97(run) -> float:
    """The first epoch that reaches 97 % on the test set."""
    return run.first_epoch("test_accuracy", 0.97)


EARLY = min(5, SWEEP_EPOCHS, AUGMENT_EPOCHS)  # speed is a matter of the first epochs
norm = Runs({"BatchNorm": decays["0.0001"], "none": augmentation["augmented"]})
slower = digit_runs.compare("dropout 0.5", "none", epochs_to_97)
faster = norm.compare("BatchNorm", "none", lambda run: run.history[EARLY - 1]["val_accuracy"])

# %% tags=["claim"]
claim(slower.low > 0, f"dropout ½ takes more epochs to 97 % than no dropout: {slower:+.1f}", REAL)
claim(faster.better, f"after epoch {EARLY} BatchNorm is ahead of none in validation accuracy: {faster}", REAL)
for single in ("L2 1e-3", "dropout 0.5"):
    both = digit_runs.compare("dropout + L2", single, "test_accuracy")
    claim(both.verdict == "worse", f"dropout with L2 scores lower on the test set than {single}: {both}", REAL)

# %% tags=["finding"]
finding(
    f"Dropout ½ delays 97 % on the MNIST test set by {slower:.1f} epochs (MLP). After epoch {EARLY} BatchNorm leads SimpleNN's validation accuracy by {faster:.3f}. "
    "Rates were not tuned, and dropout in a CNN was not tested.",
    when=REAL,
)

# %% [markdown]
# ## What to take away
#
# - The gap says how much was memorised, the test accuracy what the network is worth. L2 and dropout on MNIST closed half of the gap
#   and did not show a higher test accuracy. Augmentation on CIFAR-10 improved both.
# - Measure both accuracies in the same mode, eval, on images as they are, before you speak of a gap.
# - Choose strengths on validation data, over several seeds; read the test set once, for what was chosen.
# - Weight decay multiplies a weight by $1-\eta\lambda$ in each step. Its half-life tells you before the training whether a
#   strength can matter. It affects biases and BatchNorm too, unless you give the optimizer groups. In Adam it is a term of the gradient, in
#   AdamW a factor on the weight.
# - L1 in the loss makes weights small. Exact zeros come from the proximal step.
# - Corrected on the way: dropout ½ did not score higher than L2 at the given strengths; weight decay 1e-3 against 0 is undecided; L1 in the
#   loss made no weight exactly zero; L2 does not make a Gaussian; the diamond is the constraint, not the loss.
#
# ## Exercises
#
# 1. **Change** the sizes of `mlp` to 784-512-256-10. **Predict** whether dropout ½ now scores higher on the test set than no dropout, then rerun.
#
#    <details><summary>Answer</summary>With four times the units, half of them may be enough, so dropout should cost less than it does in the narrow network. Read the
#    paired interval, and the gap beside it. How much dropout is right depends on how many units there are.</details>
#
# 2. **Change** `torch.optim.Adam` in `l2` to `torch.optim.AdamW`, same λ. **Predict** which of the two regularises more.
#
#    <details><summary>Answer</summary>Adam's. There λw is divided by the gradient's size, which late in training is tiny, so the decay is
#    effectively much stronger than AdamW's factor of 1 - ηλ = 0.999999 a step, with which nothing visible happens.</details>
#
# 3. **Write** `grouped(parameters, weight_decay, **options)`, which gives `torch.optim.SGD` two groups: parameters with `ndim > 1`, which
#    decay, and the others with `weight_decay=0`. Use it in `decays`. **Predict** the difference at 1e-4.
#
#    <details><summary>Answer</summary>None that the seeds would separate: 286 of 82,078 parameters. At 1e-2 and with a deep net it
#    begins to matter, and it is how large networks are trained.</details>

# %% [markdown]
# ## Further reading
#
# - [Goodfellow et al. 2016](https://www.deeplearningbook.org/contents/regularization.html), chapter 7: section 7.1 derives $h/(h+\lambda)$ and
#   the zeros of L1, section 7.8 early stopping, section 7.12 dropout.
# - [Srivastava et al. 2014](https://jmlr.org/papers/v15/srivastava14a.html), sections 4 and 7: the model, and what dropout does to features
#   and sparsity.
# - [Loshchilov & Hutter 2019](https://arxiv.org/abs/1711.05101), section 2: why L2 and weight decay differ in Adam.
# - [Parikh & Boyd 2014](https://doi.org/10.1561/2400000003), sections 4.2 and 6.5.2: the proximal gradient method and the soft threshold.
#
# **Next:** [notebook 06](06_cnns.ipynb) opens the convolutional network that was taken as given here.

# %% tags=["scorecard"]
scorecard.record("S4.L2.a", augmentation.best("val_accuracy")["augmented"].values, augmentation["augmented"])
for decay, runs in decays.items():
    scorecard.record(f"S4.L2.c.ii.{decay}", best_val[decay].values, runs)

# %% [markdown]
# ## References

# %% tags=["plumbing"]
show_references("cifar10", "goodfellow2016", "loshchilov2019", "mnist", "parikh2014", "srivastava2014")
