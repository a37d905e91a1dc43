# %% [markdown]
# # 06 · Convolutional networks
#
# A convolutional network looks at an image through small windows and uses the same weights in every window. What does it gain by
# that, and what decides how much: parameters, depth, BatchNorm, the learning rate?
#
# **What you will learn**
#
# - to write a convolution, to derive the size of its output, and to derive its backward pass;
# - to count parameters and multiply-adds, and to test a network before training it;
# - to read generalisation from gaps between curves, and to compare five networks by it;
# - to look inside a trained network: filters beside their initial values, feature maps beside their images, units by class;
# - to derive what BatchNorm does in training, in evaluation and in the backward pass, and to measure what it gains.
#
# **What you need.** Backpropagation and the training loop ([notebook 01](01_mlp_from_scratch.ipynb)), activations
# ([notebook 02](02_activations_and_xor.ipynb)), SGD with momentum and Adam ([notebook 03](03_optimizers.ipynb)). Terms and symbols are in
# the workbook's glossary. **Time:** 75 minutes to read; a few minutes to run, since the trainings are read from `results/`.
# **Difficulty:** medium.
#
# **Predict before you look.** Two MLPs have seven to twelve times as many parameters as three small convolutional networks. Which score
# higher on CIFAR-10? Does a network with BatchNorm tolerate a learning rate of 0.1, and one of 1.0?

# %% tags=["setup"]
import math
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional

from coursekit import (
    Experiment,
    Runs,
    check,
    data,
    diagnostics,
    diagrams,
    history,
    look_inside,
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
    show_sliders,
    show_source,
    show_table,
)

_ = setup("06_cnns")

# %% tags=["parameters"]
SEEDS = range(budget(3, sample=1))
ONE_SEED = range(1)  # of CNN_C and its control, which train longest
IMAGES = budget(None, sample=400)  # None: all 45,000
BASELINE_EPOCHS = NORM_EPOCHS = budget(30, sample=1)
FIVE_EPOCHS = budget(15, sample=1)
CNN_EPOCHS = budget(20, sample=1)
THREE_EPOCHS, THREE_IMAGES = budget((20, None), sample=(1, 200))  # None: all 50,000

# %% tags=["plumbing"]
cifar, digits = data.load("cifar10"), data.load("mnist")
REAL = not (cifar.is_sample or digits.is_sample)
SEEDED, ALL_SEEDS = history.spread_over(len(SEEDS)), history.seeds(len(SEEDS))
per_class = min(500, len(cifar.train_labels) // 20)
train_index, val_index = data.stratified(cifar.train_labels, per_class)
statistics = data.channel_statistics(cifar.train_images[train_index])
BUILD = Path("build")
BUILD.mkdir(exist_ok=True)
show_data(cifar, digits)


def with_verdicts(comparisons: dict, what: str) -> pd.DataFrame:
    """A row for each comparison: the difference with its interval, and the verdict."""
    rows = {name: {"difference": f"{c:+.3f}", "verdict": c.verdict} for name, c in comparisons.items()}
    return pd.DataFrame(rows).T.rename_axis(what)


# %% [markdown]
# The split is the same almost everywhere: 45,000 images to train, 5,000 to validate (500 of each class, always the same ones), 10,000 to
# test. Epochs and settings are chosen on validation images. The test set is read after that and chooses nothing.
#
# Networks are compared seed by seed: the mean of the differences, with its 95 % interval. *Better* and *worse* mean that the interval does
# not contain zero; *undecided* means that it does; *equal within d* means that all of it lies between −d and d. One seed has no interval and is always
# undecided, whatever its number.

# %% tags=["figure"]
labels = cifar.train_labels.numpy()
chosen = np.concatenate([np.flatnonzero(labels == c)[:2] for c in range(10)]).reshape(10, 2).T.ravel()
fig, [ax] = plots.figure(height=1.5)
plots.image_grid(cifar.train_images.numpy()[chosen], columns=10, ax=ax)
show_figure(fig, "06-cifar", f"Two training images of each class: {', '.join(cifar.classes)}.", pixels=True)

# %% [markdown]
# ## A small window, shared by all positions
#
# A linear layer on an image of 32 × 32 × 3 needs 3,072 weights for each unit, and a cat in the upper left corner has to be learned
# separately from a cat in the middle. A convolution avoids both. A unit looks at a few pixels only, and units at all positions share their
# weights. Lay a small grid of weights, the **kernel**, on the image; multiply number by number; add up; move on by one pixel.

# %% tags=["figure"]
picture = [[0, 0, 1, 1, 1], [0, 0, 1, 1, 1], [0, 0, 1, 1, 1], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]
show_figure(
    diagrams.sliding_window(picture, [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], (0, 0)),
    "06-window",
    "A 3 × 3 kernel at the first position of a 5 × 5 image. The kernel responds where dark on the left meets light on the right: a vertical edge. The response is smaller where the window sees only a part of that edge.",
    pixels=True,
)

# %% [markdown]
# With several channels the window is a small block, and a kernel has weights for each channel. For images $x$ and kernels $k$, without
# padding and with stride 1,
#
# $$y_{n,o,i,j} = \sum_{c,a,b} x_{n,c,i+a,j+b}\; k_{o,c,a,b} + \beta_o ,$$
#
# where $n$ counts images, $c$ input channels, $o$ output channels, $(i, j)$ positions and $(a, b)$ the pixels of the window; $\beta_o$ is the bias.
# The kernel is not flipped. Strictly this is cross-correlation, and deep learning calls it convolution. Write every window of an image as a column.
# Then, for kernels of $k \times k$ pixels, the whole layer is one matrix product, $(C_{out} \times C_{in} k^2)$ times $(C_{in} k^2 \times \text{positions})$.

# %% [markdown] tags=["exercise"]
# **Your turn: a convolution** (without the bias). Loops are fine. The check tries several channels, several kernels, sizes that are not
# square, and images of bytes.
#
# <details><summary>Hint</summary>Loop over the positions $(i, j)$ of the result. A window has the shape of one kernel; multiply number by number
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

# %% [markdown]
# ### Eight kernels on five sevens
#
# The five-part report applies eight kernels to five digits and saves the result as `out.npy`. Its two input files are not public, so
# these are five sevens of MNIST and eight kernels written by hand.

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
kernels = np.array(list(KERNELS.values()), np.float32)[:, None]
sevens = digits.train_images[digits.train_labels == 7][:5].numpy()[:, None] / 255
maps = scratch.conv2d(sevens, kernels)
np.save(BUILD / "out.npy", maps)

# %% tags=["figure"]
fig, axes = plots.figure(1, 9, height=5.4)
fig.set_size_inches(6.2, 3.8)
columns = {"input": sevens[:, 0]} | dict(zip(KERNELS, maps.swapaxes(0, 1), strict=True))
for ax, (name, column) in zip(axes, columns.items(), strict=True):
    plots.image_grid(column, columns=1, ax=ax)
    ax.set_title(name.replace(", ", "\n").replace("-", "-\n"), fontsize=8)
show_figure(
    fig,
    "06-sevens",
    "Five sevens (rows) through eight 3 × 3 kernels (columns), each column on its own grey scale, from its smallest number (black) to its largest.",
    pixels=True,
)

# %% tags=["claim"]
expected = functional.conv2d(torch.tensor(sevens, dtype=torch.float32), torch.tensor(kernels)).numpy()
claim(np.abs(maps - expected).max() < 1e-5, "our convolution is torch's to 1e-5")
claim(np.load(BUILD / "out.npy").shape == (5, 8, 26, 26), "out.npy holds five images with eight maps of 26 × 26 each")
moved = scratch.conv2d(np.roll(sevens, 1, axis=3), kernels)
claim(np.abs(moved[..., 2:] - maps[..., 1:-1]).max() < 1e-5, "moving a digit by one pixel moves its maps by one pixel")

# %% [markdown]
# **What the output is.** For each image and each kernel one **feature map** of 26 × 26: large where the bright pixels of the window meet the large weights
# of the kernel.
#
# **Why columns look alike and rows differ.** A column is one kernel on five sevens, so the same question about similar pictures. A row is
# eight different questions about one picture.
#
# **What follows for a layer.** Each kernel is a detector, and its map says *where* the pattern is. Moving the digit moves the map
# (translation equivariance). Eight maps are more numbers than one image: this convolution reduces nothing. Strides, pooling or fewer channels do.
#
# **What the numbers of a kernel tensor mean.** $C_{out} \times C_{in} \times k_h \times k_w$: how many maps come out, how many channels each
# kernel spans, and how many rows and columns it sees.
#
# **Why convolutions matter.** A pattern is looked for in a small window, at every position, with the same weights. That needs few
# parameters, and what is learned at one position holds at all others. The architecture has these properties before any training.
#
# Try it. The stride is the step from one window to the next.


# %% tags=["plumbing"]
def kernel_on_image(kernel: str, digit: int, stride: int):
    image = digits.train_images[digit][None, None].numpy() / 255
    out = scratch.conv2d(image, np.array(KERNELS[kernel], np.float32)[None, None])[:, 0, ::stride, ::stride]
    titles = ("input, 28 × 28", f"map, {out.shape[1]} × {out.shape[2]}")
    fig, axes = plots.figure(1, 2, height=2.6)
    for ax, shown, title in zip(axes, (image[0], out), titles, strict=True):
        plots.image_grid(shown, columns=1, ax=ax)
        ax.set_title(title, fontsize=10)
    return fig


show_sliders(kernel_on_image, {name: {"digit": (0, 9, 1), "stride": (1, 4, 1)} for name in KERNELS})

# %% [markdown]
# ### How large is the map?
#
# Put the kernel at the left end of a row of $n$ pixels with $p$ zeros added on each side. The row has $n + 2p$ pixels, and the kernel covers
# $k$ of them. It can still move by $n + 2p - k$ pixels. With stride $s$ it makes $\lfloor (n + 2p - k) / s \rfloor$ whole steps, and the
# first position counts too:
#
# $$n_{out} = \left\lfloor \frac{n + 2p - k}{s} \right\rfloor + 1 .$$
#
# A step that does not fit is left out. Padding with $p = (k-1)/2$ and stride 1 keeps the size.

# %% [markdown] tags=["exercise"]
# **Your turn: how large is the map?** The number of rows (or columns) that a convolution or a pooling returns.
#
# <details><summary>Hint</summary>Put the kernel at the very left; how many strides are possible? A stride that does not fit is left out.</details>


# %% tags=["exercise"]
def my_output_size(size: int, kernel: int, stride: int, padding: int) -> int:
    """Positions of a kernel on `size` pixels with `padding` more on each side."""
    # BEGIN SOLUTION
    return len(range(0, size + 2 * padding - kernel + 1, stride))
    # END SOLUTION


# %% tags=["exercise"]
check("output_size", my_output_size)

# %% [markdown]
# ### Pooling, and how far a unit sees
#
# **Max pooling** keeps the largest number of each 2 × 2 window, which leaves a quarter of the numbers. Its windows do not overlap: the stride is 2. In
# the backward pass only the pixel that won has any influence on the output, so it gets the whole gradient; of equal ones the first wins. **Average
# pooling** takes the mean instead, and gives each of the four pixels a quarter of the gradient.

# %% tags=["figure"]
show_figure(
    diagrams.max_pooling([[1, 3, 0, 2], [5, 2, 1, 1], [0, 2, 4, 3], [1, 1, 2, 6]]),
    "06-pooling",
    "Max pooling in windows of 2 × 2, and where its gradient goes: to the largest number of each window.",
    pixels=True,
)

# %% tags=["solution"]
show_source(scratch.max_pool2d, scratch.max_pool2d_backward)

# %% [markdown]
# **The receptive field** of a unit is the part of the image that it depends on. Let $j$ be the step in pixels between two neighbouring units
# of a layer. A layer with kernel $k$ and stride $s$ looks at $k$ neighbouring units below it; the first and the last are $k - 1$ steps apart:
#
# $$r_{l} = r_{l-1} + (k_l - 1)\, j_{l-1}, \qquad j_l = j_{l-1}\, s_l, \qquad r_0 = j_0 = 1 .$$
#
# After a pooling each later layer grows the field twice as fast.

# %% tags=["figure"]
show_figure(
    diagrams.receptive_field(models.SimpleNN()),
    "06-field",
    "How the receptive field grows in SimpleNN, the network of the lab homework: one unit after the second pooling sees 12 × 12 of 32 × 32 pixels.",
    pixels=True,
)

# %% tags=["claim"]
claim(
    diagrams.convolution.receptive_fields(models.SimpleNN())[-1].size == 12,
    "a unit after SimpleNN's second pooling sees 12 × 12 pixels",
)

# %% [markdown]
# ### Features of features, by hand
#
# A second convolution reads *all* maps of the first one, so its patterns are made of the first layer's patterns. Two kernels and one
# threshold show it. The first layer finds the lower edges of strokes and their right edges. The second layer adds up lower edges in the
# upper left part of its window and right edges in the lower right part. It subtracts what one of the two sums can reach by itself on these images, so that
# after ReLU only positions with both remain: the corner of a seven.

# %% tags=["key"]
edges = scratch.relu(scratch.conv2d(sevens, -kernels[[1, 0]]))  # light above dark, light left of dark
reads_both = np.zeros((1, 2, 7, 7), np.float32)  # one second-layer kernel for both maps
reads_both[0, 0, :4, :4] = 1  # lower edges, upper left
reads_both[0, 1, 3:, 3:] = 1  # right edges, lower right
sums = [scratch.conv2d(edges[:, [channel]], reads_both[:, [channel]]) for channel in (0, 1)]
threshold = max(part.max() for part in sums)  # more than one kind of edge can give
corners = scratch.relu(sum(sums) - threshold)

# %% tags=["figure"]
fig, axes = plots.figure(1, 4, height=1.8)
fig.set_size_inches(5, 4.3)
stages = {"input": sevens, "lower edges": edges[:, :1], "right edges": edges[:, 1:], "corner": corners}
for ax, (name, column) in zip(axes, stages.items(), strict=True):
    plots.image_grid(column[:, 0], columns=1, ax=ax)
    ax.set_title(name, fontsize=9)
show_figure(
    fig,
    "06-corners",
    "Two first-layer maps of five sevens after ReLU, and a second-layer map that reads both. It responds at the corner of each seven, and in the third also where the bar crosses the stroke. Maps of 26 × 26 and 20 × 20 numbers are drawn as large as the input of 28 × 28.",
    pixels=True,
)

# %% tags=["claim"]
claim(all(part.max() <= threshold for part in sums), "no edge of one kind passes the threshold without the other")
active = (corners > 0).mean(axis=(1, 2, 3))
claim(
    active.min() > 0 and active.max() < 0.1,
    "the detector responds in every seven, at less than a tenth of the positions",
    REAL,
)

# %% [markdown]
# Nobody writes such kernels in a network; training finds them. But this is how deeper layers can answer to corners, textures and parts of
# objects while each single layer stays small and nearly linear (Zeiler and Fergus 2014 show such patterns for a large network).
#
# ### The backward pass of a convolution
#
# Let $\delta = \partial L / \partial y$ be the gradient that arrives at the output. Each output is linear in the kernel, and one weight is
# used at every position of every image. By the chain rule its gradient is the *sum* over all its uses:
#
# $$\frac{\partial L}{\partial k_{o,c,a,b}} = \sum_{n,i,j} \delta_{n,o,i,j}\; x_{n,c,i+a,j+b}, \qquad \frac{\partial L}{\partial \beta_o} = \sum_{n,i,j} \delta_{n,o,i,j} .$$
#
# The pixel $(u, v)$ enters the outputs $(i, j)$ with $i + a = u$ and $j + b = v$. Collect them:
#
# $$\frac{\partial L}{\partial x_{n,c,u,v}} = \sum_{o,a,b} \delta_{n,o,u-a,v-b}\; k_{o,c,a,b} ,$$
#
# with $\delta = 0$ outside the map. The minus signs make this a convolution with the *flipped* kernel, in which inputs and outputs have changed
# places. With a stride $s$ the pixel enters the outputs with $s\,i + a = u$ and $s\,j + b = v$; where $u - a$ is no multiple of $s$, that weight
# never met it. Padding adds zeros whose gradients are dropped. The code handles one kernel position $(a, b)$ at a time:

# %% tags=["solution"]
show_source(scratch.conv2d_backward)

# %% tags=["key"]
rng = np.random.default_rng(0)
images, weights = rng.normal(size=(2, 3, 7, 7)), rng.normal(size=(4, 3, 3, 3))
inputs = [torch.tensor(array, requires_grad=True) for array in (images, weights, np.zeros(4))]
output = functional.conv2d(*inputs, stride=2, padding=1)
d_out = rng.normal(size=output.shape)
by_hand = scratch.conv2d_backward(d_out, images, weights, stride=2, padding=1)
by_torch = torch.autograd.grad(output, inputs, torch.tensor(d_out))
conv_errors = [np.abs(ours - theirs.numpy()).max() for ours, theirs in zip(by_hand, by_torch, strict=True)]
pooled = functional.max_pool2d(inputs[0], 2)
d_pooled = rng.normal(size=pooled.shape)
(d_images,) = torch.autograd.grad(pooled, inputs[0], torch.tensor(d_pooled))
pool_error = np.abs(scratch.max_pool2d_backward(d_pooled, images) - d_images.numpy()).max()
print(f"largest difference from autograd: convolution {max(conv_errors):.0e}, max pooling {pool_error:.0e}")

# %% tags=["claim"]
claim(
    max(conv_errors) < 1e-12,
    "the gradients of images, kernels and biases are those of autograd, with stride 2 and padding 1",
)
claim(pool_error < 1e-12, "the gradient of max pooling is that of autograd, with a row and a column left out")

# %% [markdown]
# ## Counting
#
# Five questions of the lab homework, answered by arithmetic and checked by building the layer. A fully connected layer has a weight for each pair of
# input and output, and a bias for each output. A convolution has $C_{out}\,(C_{in}\, k^2 + 1)$ parameters, for example $100 \cdot (3 \cdot 9 + 1) = 2800$. A
# **multiply-add** (MAC) is one multiplication and one addition. A layer needs one for each weight at each position where the weight is used.


# %% tags=["key"]
def depthwise(n: int) -> float:
    """How many times fewer multiply-adds a 3×3 depthwise separable layer takes, for n output channels."""
    return 9 * n / (9 + n)


separable = nn.Sequential(nn.Conv2d(16, 16, 3, groups=16, bias=False, padding=1), nn.Conv2d(16, 64, 1, bias=False))
ordinary = nn.Conv2d(16, 64, 3, padding=1, bias=False)
macs = [models.layer_table(net, (16, 32, 32)).MACs.sum() for net in (ordinary, separable)]

# %% tags=["figure"]
parameters = models.parameter_count
answers = {
    "100×100 RGB, 100 fully connected units": (3 * 100 * 100 * 100 + 100, parameters(nn.Linear(30_000, 100))),
    "the same, 100 filters of 3×3": (3 * 3 * 3 * 100 + 100, parameters(nn.Conv2d(3, 100, 3))),
    "one 1×1 filter on 16 channels": (16 + 1, parameters(nn.Conv2d(16, 1, 1))),
    "100×100×16, 32 filters of 5×5: height and width": (
        100 - 5 + 1,
        nn.Conv2d(16, 32, 5)(torch.zeros(1, 16, 100, 100)).shape[2],
    ),
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
    "the gain 9N/(9+N) is 5.8 for 16 channels and approaches 9 for many",
)
layers = models.layer_table(models.resnet20(), (3, 32, 32))
cubes = layers[layers.weight.str.endswith("×3×3")]
gain = cubes.MACs.sum() / sum(row.MACs / depthwise(int(row.weight.split("×")[0])) for row in cubes.itertuples())
claim(6.7 < gain < 6.8, f"over all 3 × 3 convolutions of ResNet-20 (notebook 08) it would be {gain:.2f}")

# %% [markdown]
# The fourth output is 96 × 96 × 32: no padding, so each side loses 4 pixels, and each filter makes one channel.
#
# **Depthwise separable** means two steps: one 3 × 3 kernel for each channel by itself, then a 1 × 1 convolution that mixes the channels (Howard
# et al. 2017). With $M$ channels in, $N$ out and maps of $D \times D$ it costs $9MD^2 + MND^2$ multiply-adds in place of $9MND^2$, so
# the gain is $9N / (9 + N)$. The lab homework's "eight to nine times faster" holds from 72 channels on, in multiply-adds; the limit for many channels is 9. The clock can gain less, because a
# depthwise layer does little arithmetic for each number that it moves. The lab homework prints a spurious $N$ in the first term of the cost, which
# would make the separable layer slower than the convolution that it replaces.
#
# ## Two small networks, and checks before training
#
# LeNet5 (from the three-problem assignment) and SimpleNN (from the lab homework) have two convolutions and three linear layers each. The
# [original LeNet-5](http://yann.lecun.com/exdb/publis/pdf/lecun-01a.pdf) of 1998 took grey digits of 28 × 28, padded to 32 × 32. The
# assignment describes its input as 28 × 28 black and white. The version here takes colour images of 32 × 32, with ReLU and max pooling.

# %% tags=["solution"]
show_source(models.LeNet5, models.SimpleNN)

# %% tags=["figure"]
show_figure(
    diagrams.draw_pair({"LeNet5": models.LeNet5(), "SimpleNN": models.SimpleNN()}, (3, 32, 32)),
    "06-lenet",
    "LeNet5 and SimpleNN with output shapes and parameters. The first linear layer has most of the parameters in both.",
    pixels=True,
)

# %% [markdown]
# Four questions before any training: does a batch pass, are the parameters where we think they are, is the first loss $\ln 10$, and on which
# device does the model run? The code falls back to the CPU where there is no GPU.

# %% tags=["key"]
torch.manual_seed(0)
model = models.SimpleNN().to(settings.device())
logits = model(torch.zeros(100, 3, 32, 32, device=settings.device()))
assert logits.shape == (100, 10)
print(f"parameters on {next(model.parameters()).device} ({settings.device_name()}), logits on {logits.device}")
if torch.cuda.is_available():
    print(f"allocated on the GPU: {torch.cuda.memory_allocated() / 1e6:.1f} MB")

# %% tags=["figure"]
table = models.layer_table(model, (3, 32, 32))
takes = ["3×32×32", "8×14×14", "576", "120", "84"]
table.insert(1, "input", takes)
show_table(
    table.set_index("layer").map(lambda x: f"{x:,}" if isinstance(x, int) else x),
    "SimpleNN layer by layer, for an image of 3 × 32 × 32; 2 × 2 max pooling after each convolution is between the rows.",
)

# %% tags=["claim"]
claim(
    table.parameters.tolist() == [608, 1168, 69_240, 10_164, 850],
    "the layers have 608, 1,168, 69,240, 10,164 and 850 parameters",
)
claim(sum(table.parameters) == 82_030, "together 82,030 parameters")
claim(
    [str(layer.in_features) for layer in model if isinstance(layer, nn.Linear)] == takes[2:],
    "the inputs of the linear layers are 576, 120 and 84",
)

# %% [markdown]
# The lab homework prints 60,240 parameters for the first linear layer and 19,800 weights for the second, and then says that the numbers match.
# They do not: 576 · 120 + 120 = 69,240 and 120 · 84 = 10,080.
#
# **The first loss.** Cross-entropy is $-\frac1B\sum_n \ln p_{n, y_n}$; the lab homework's formula lost the minus sign. A network that knows
# nothing gives each of ten classes about a tenth, which costs $-\ln\frac1{10} = 2.3026$ (the homework has 2.31). A first loss
# far from it points to a wrong scale of inputs or weights, or to wrong labels.

# %% tags=["key"]
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
sizes = {name: models.layer_table(net(), (3, 32, 32))[["parameters", "MACs"]].sum() for name, net in NETS.items()}

# %% tags=["figure"]
shown, targets = (cifar.train_images[:500].permute(0, 3, 1, 2) / 127.5 - 1), cifar.train_labels[:500].long()
first_loss = {}
for name, net in NETS.items():
    torch.manual_seed(0)
    first_loss[name] = models.initial_loss(net(), shown, targets)
table = pd.DataFrame(
    {
        name: {"parameters": f"{s.parameters:,}", "MACs": f"{s.MACs:,}", "first loss": f"{first_loss[name]:.3f}"}
        for name, s in sizes.items()
    }
).T
show_table(
    table.rename_axis("network"),
    f"The networks of this notebook: size, multiply-adds for one image, loss before the first step (ln 10 = {math.log(10):.4f}).",
)

# %% tags=["claim"]
claim(
    max(abs(loss - math.log(10)) for loss in first_loss.values()) < 0.05,
    "every first loss is within 0.05 of ln 10",
)
claim(
    [sizes[n].parameters for n in ("CNN_A", "CNN_B", "CNN_C")] == [545_098, 1_080_042, 1_259_786],
    "the three large networks have the published parameter counts",
)

# %% [markdown]
# ## The lab homework's training loop
#
# **Why the inputs are standardised.** Pixels arrive as bytes. `ToTensor` divides them by 255, and `Normalize` subtracts each channel's
# mean and divides by its standard deviation, $(0.491, 0.482, 0.447)$ and $(0.247, 0.243, 0.262)$. Raw bytes make the first
# layer's outputs 255 times larger than pixels in [0, 1] do, and its gradients larger by a factor that [notebook 04](04_gradient_flow.ipynb)
# measures; a learning rate that suits them suits no other layer. The same notebook asks what an offset of the inputs does. Mean and standard deviation come
# from the training split *only*: the test images must not leak into the training.
#
# **The loaders.** Training batches of 128, shuffled in every epoch; validation batches of 100 in a fixed order. The course asks for four
# worker processes that load images. The whole data set fits into memory here, so there is nothing to load.

# %% tags=["key"]
view = partial(data.Batches, normalize=statistics, device=settings.device())
few = train_index[:10_000]  # a short demonstration
train_batches = view(cifar.train_images[few], cifar.train_labels[few], batch_size=128, shuffle=True)
val_batches = view(cifar.train_images[val_index], cifar.train_labels[val_index], batch_size=100)

# %% [markdown]
# **The loop.** Train mode for the steps, evaluation mode without gradients for the validation, and a checkpoint whenever the validation
# accuracy is the best so far. Every training below does the same through `Experiment` and `sweep`.


# %% tags=["key"]
def run_epoch(model: nn.Module, batches: data.Batches, optimizer=None) -> tuple[float, float]:
    """Mean loss and accuracy over one epoch; with an optimizer each batch is also a step."""
    model.train(optimizer is not None)
    loss_sum = correct = 0.0
    with torch.set_grad_enabled(optimizer is not None):
        for images, labels in batches:
            logits = model(images)
            loss = functional.cross_entropy(logits, labels)
            if optimizer is not None:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            loss_sum += loss.item() * len(labels)
            correct += (logits.argmax(1) == labels).sum().item()
    return loss_sum / len(batches.labels), correct / len(batches.labels)


# %% tags=["key"]
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
best, checkpoint = 0.0, BUILD / "simplenn.pth"
for epoch in range(1, 4):
    train_loss, train_accuracy = run_epoch(model, train_batches, optimizer)
    val_loss, val_accuracy = run_epoch(model, val_batches)
    print(f"{epoch}: training {train_loss:.3f}, {train_accuracy:.3f}; validation {val_loss:.3f}, {val_accuracy:.3f}")
    if val_accuracy > best:
        best = val_accuracy
        torch.save({"state_dict": model.state_dict(), "epoch": epoch, "lr": 0.01}, checkpoint)

# %% tags=["claim"]
restored = models.SimpleNN().to(settings.device())
restored.load_state_dict(torch.load(checkpoint, weights_only=True)["state_dict"])
claim(
    run_epoch(restored, val_batches)[1] == best, "the restored checkpoint has the best validation accuracy of the loop"
)

# %% [markdown]
# ### The baseline
#
# Thirty epochs on all 45,000 images, with the settings of the loop: SGD with momentum 0.9, learning rate 0.01, weight decay 1e-4, batch 128, no
# augmentation.

# %% tags=["key"]
on_cifar = partial(Experiment, data="cifar10", validation=500, pixels="standard", train_size=IMAGES)
sgd = partial(torch.optim.SGD, lr=0.01, momentum=0.9, weight_decay=1e-4)
with_sgd = partial(on_cifar, optimizer=sgd, epochs=BASELINE_EPOCHS, batch_size=128)
baseline = sweep({name: with_sgd(model=NETS[name]) for name in ("SimpleNN", "LeNet5")}, SEEDS)

# %% tags=["figure"]
BOTH_SPLITS = ("train_loss", "val_loss", "train_accuracy", "val_accuracy")
show_figure(
    plots.learning_curve_panels(baseline.frame(), BOTH_SPLITS),
    "06-baseline",
    f"SimpleNN and LeNet5 without augmentation; the training curves are means over the batches of an epoch; {SEEDED}.",
    pixels=True,
)

# %% tags=["figure"]
gaps = baseline.each(lambda run: run.final("train_accuracy") - run.last("val_accuracy"))
turns = baseline.each(lambda run: min(run.history, key=lambda row: row["val_loss"])["epoch"])
reached = baseline.best("val_accuracy")
table = baseline.table(
    {
        "best validation": reached,
        "test (best epoch)": baseline.final("best_test_accuracy"),
        "training (last epoch)": baseline.final("train_accuracy"),
        "gap (last epoch)": gaps,
    }
)
table["validation loss lowest at epoch"] = [f"{turns[name].mean:.0f}" for name in baseline]
show_table(
    table.rename_axis("network"),
    f"The two baselines after {BASELINE_EPOCHS} epochs, {SEEDED}. Gap: training minus validation accuracy.",
    name="06-baseline-table",
)

# %% tags=["claim"]
simple = baseline["SimpleNN"]
claim(reached["SimpleNN"].mean >= 0.65, "SimpleNN reaches a validation accuracy of 0.65", REAL)
claim(
    gaps["SimpleNN"].values.min() > 0.15,
    "in every run SimpleNN's training accuracy ends more than 0.15 above its validation accuracy",
    REAL,
)
claim(
    turns["SimpleNN"].values.max() <= 15,
    "in every run the validation loss is lowest in the first half of the training",
    REAL,
)
nets_compared = baseline.compare("SimpleNN", "LeNet5", "val_accuracy", at="best")
claim(nets_compared.verdict == "undecided", "between SimpleNN and LeNet5 nothing is decided", REAL)

# %% tags=["finding"]
finding(
    f"SimpleNN overfits: its validation loss is lowest at about epoch {turns['SimpleNN'].mean:.0f} of {BASELINE_EPOCHS}, and the gap grows to {gaps['SimpleNN'].mean:.2f}. "
    f"Its best validation accuracy is {reached['SimpleNN'].mean:.3f} ([the table](#06-baseline-table)).",
    when=REAL,
)

# %% [markdown]
# The lab homework reads overfitting and a learning rate that is too high from a validation accuracy that stops rising. That curve
# cannot tell the two apart. The rising validation loss and the gap can.
#
# **Remedies.** *Early stopping* keeps the weights of the best epoch, which the checkpoint does. *Dropout*, *weight decay* and *augmentation*
# shrink the gap. [Notebook 05](05_regularisation.ipynb) compares them, and the last part of this notebook trains with augmentation. A learning rate that
# falls during the training is the topic of [notebook 07](07_schedules.ipynb).
#
# ## Five networks compared
#
# The five-part report trains two MLPs and three convolutional networks with Adam at 1e-3 and batch 50 for 15 epochs. It validates on all
# 5,000 images every ten steps: 5,000 forward passes for 500 images of training, whose forward and backward passes cost about three
# each. Here the first 1,000 of them are used at that cadence, and all of them once an epoch.

# %% tags=["solution"]
show_source(models.mlp1, models.mlp2, models.cnn3)

# %% tags=["solution"]
show_source(models.cnn4, models.cnn5)

# %% tags=["figure"]
show_figure(
    diagrams.draw_pair({"mlp2": models.mlp2(), "cnn3": models.cnn3()}, (3, 32, 32)),
    "06-mlp2-cnn3",
    "mlp2 and cnn3. mlp1 is mlp2 without the layer of 64 units. That layer has neither activation nor bias. cnn3's last convolution has no activation either.",
    pixels=True,
)

# %% tags=["figure"]
show_figure(
    diagrams.draw_pair({"cnn4": models.cnn4(), "cnn5": models.cnn5()}, (3, 32, 32)),
    "06-cnn4-cnn5",
    "cnn4 and cnn5. cnn5 has six convolutions, and the fewest parameters of the five.",
    pixels=True,
)

# %% [markdown]
# mlp2's second layer has no activation behind it. Two matrices in a row are one matrix, so mlp2 can represent exactly what mlp1 can, with
# 2,368 more parameters. The report credits it with more depth.
#
# The measurement after the training keeps what the next sections look at: the first filters, mean activations by class, the confusion
# matrix, and feature maps.

# %% tags=["key"]
FIVE = ("mlp1", "mlp2", "cnn3", "cnn4", "cnn5")
adam = partial(torch.optim.Adam, lr=1e-3)
inside, probe = partial(look_inside, name="cifar10"), partial(validation_slice, name="cifar10")
looked_into = partial(on_cifar, optimizer=adam, measure=inside, precision="bfloat16")
of_five = partial(looked_into, epochs=FIVE_EPOCHS, batch_size=50, probe=probe)
five = sweep({name: of_five(model=NETS[name]) for name in FIVE}, SEEDS)

# %% tags=["figure"]
probes = pd.concat(
    pd.DataFrame(r.probes).rolling(30, min_periods=1).mean()[::10].assign(variant=name, seed=seed)
    for name, results in five.items()
    for seed, r in enumerate(results)
)
fig, axes = plots.figure(1, 2, height=2.9)
for ax, metric, label in zip(
    axes, ("loss", "val_accuracy"), ("training loss (nats)", "validation accuracy"), strict=True
):
    plots.learning_curves(probes, metric, ax, x="step").set_ylabel(label)
    ax.get_legend().remove()
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=5)
show_figure(
    fig,
    "06-five",
    f"Five networks: loss of the batch, and accuracy on 1,000 validation images, every ten steps; running means of 30 points; {SEEDED}. [The next figure](#06-five-gap) has the training accuracy of every epoch.",
    pixels=True,
)

# %% tags=["figure"]
on_train, on_test = five.final("train_accuracy"), five.final("test_accuracy")
fig, axes = plots.figure(1, 2, height=2.9)
plots.labelled_points({name: (on_train[name].mean, on_test[name].mean) for name in five}, axes[0]).set(
    xlabel="final training accuracy", ylabel="final test accuracy"
)
frame = five.frame()
for name, color in plots.colors(five).items():
    rows = frame[frame.variant == name].groupby("epoch").mean(numeric_only=True)
    axes[1].plot(rows.train_accuracy, rows.val_accuracy, "o-", color=color, markersize=3, label=name)
axes[1].set(xlabel="running training accuracy", ylabel="validation accuracy")
axes[1].legend()
for ax in axes:
    start = max(ax.get_xlim()[0], ax.get_ylim()[0])
    ax.axline((start, start), slope=1, linestyle=":", color="grey")
show_figure(
    fig,
    "06-five-gap",
    f"Left: accuracies of the last weights. Right: validation against running training accuracy (of each batch before its step, over an epoch), epoch by epoch. Dotted: equal. A path "
    f"can lie above it, since the running value averages over weights that were still worse. Means of {ALL_SEEDS}.",
    pixels=True,
)


# %% tags=["figure"]
def gap_of(run) -> float:
    """Training minus test accuracy of the last weights."""
    return run.final("train_accuracy") - run.final("test_accuracy")


gaps = five.each(gap_of)
columns = {"train": on_train, "validation": five.last("val_accuracy"), "test": on_test, "train - test": gaps}
table = five.table(columns).rename_axis("network")
table.insert(0, "parameters", [f"{sizes[name].parameters:,}" for name in five])
table.insert(1, "MACs", [f"{sizes[name].MACs:,}" for name in five])
show_table(
    table,
    f"Five networks after {FIVE_EPOCHS} epochs (Adam 1e-3, batch 50), all accuracies in evaluation mode; {SEEDED}.",
    name="06-five-table",
)

# %% tags=["figure"]
PAIRED = (("mlp2", "mlp1"), ("cnn3", "cnn5"), ("cnn4", "cnn5"), ("cnn4", "cnn3"))
on_both = {
    split: {pair: five.compare(*pair, f"{split}_accuracy", at=when) for pair in PAIRED}
    for split, when in (("val", "last"), ("test", "final"))
}
show_table(
    pd.DataFrame(
        {
            " - ".join(pair): {
                "on validation": f"{on_both['val'][pair]:+.3f}: {on_both['val'][pair].verdict}",
                "on test": f"{on_both['test'][pair]:+.3f}: {on_both['test'][pair].verdict}",
            }
            for pair in PAIRED
        }
    ).T.rename_axis("networks"),
    f"Accuracy of the last weights, paired by seed: difference, 95 % interval, and the verdict on the first of the two; {ALL_SEEDS}.",
    name="06-five-differences",
)

# %% tags=["claim"]
mlps, cnns = FIVE[:2], FIVE[2:]
ahead = {(cnn, mlp): five.compare(cnn, mlp, "test_accuracy") for cnn in cnns for mlp in mlps}
closest = min(ahead, key=lambda pair: ahead[pair].difference)
claim(all(c.better for c in ahead.values()), "on the test set every CNN is better than both MLPs", REAL)
claim(
    min(sizes[n].parameters for n in mlps) > 7 * max(sizes[n].parameters for n in cnns),
    "the MLPs have more than seven times the parameters of each CNN",
)
claim(min(FIVE, key=lambda name: sizes[name].parameters) == "cnn5", "cnn5 has the fewest parameters")
extra_layer = five.compare("mlp2", "mlp1", "test_accuracy", equal_within=0.03)
claim(extra_layer.verdict == "equal", "mlp1 and mlp2 are equal within 0.03", REAL)
gap_differences = {other: five.compare("cnn5", other, gap_of, lower_is_better=True) for other in FIVE[:-1]}
next_gap = max(gap_differences, key=lambda other: gap_differences[other].difference)
claim(all(c.better for c in gap_differences.values()), "cnn5's gap is smaller than that of each other network", REAL)
others = [name for name in FIVE if name != "cnn4"]
claim(
    all(five.compare("cnn4", other, "val_accuracy", at="last").better for other in others),
    "on validation cnn4 is better than each other network",
    REAL,
)
claim(on_both["test"]["cnn4", "cnn3"].better, "on the test set, too, cnn4 is better than cnn3", REAL)
claim(on_both["test"]["cnn4", "cnn5"].verdict == "undecided", "on the test set cnn4 against cnn5 is undecided", REAL)
claim(
    all(split["cnn3", "cnn5"].verdict == "undecided" for split in on_both.values()),
    "cnn3 against cnn5 is undecided",
    REAL,
)

# %% tags=["finding"]
times = sizes["mlp1"].parameters / sizes["cnn5"].parameters
finding(
    f"Every CNN is better on the test set than both MLPs, which have 7 to 12 times the parameters ([the table](#06-five-table)). "
    f"The smallest margin is that of {' over '.join(closest)}: {ahead[closest]:+.3f}.",
    when=REAL,
    headline=f"On CIFAR-10, cnn5 with {sizes['cnn5'].parameters:,} parameters scores {on_test['cnn5']:.3f} on the test set; two MLPs, with "
    f"{times:.0f} times as many, score {on_test['mlp1']:.3f} and {on_test['mlp2']:.3f} ({SEEDED}).",
)
finding(
    f"cnn5 overfits least: its gap between training and test accuracy, {gaps['cnn5'].mean:.3f} on average, is smaller than that of each other network. The difference from {next_gap}, the next one, is {gap_differences[next_gap]:+.3f}.",
    when=REAL,
)
finding(
    f"cnn4 is the best of the five on validation, by {on_both['val']['cnn4', 'cnn3']:+.3f} against cnn3 and {on_both['val']['cnn4', 'cnn5']:+.3f} against cnn5 ([differences](#06-five-differences)). Between cnn3 and cnn5 nothing is decided.",
    when=REAL,
)

# %% [markdown]
# ### What the first layer has learned
#
# The weights of a first-layer unit can be drawn as a picture. Trained filters are tempting to read, so look at the initial ones first. The
# start of a run is known, since its seed is. The difference shows what the training added.


# %% tags=["key"]
def filters_of(name: str, run) -> tuple[np.ndarray, np.ndarray]:
    """First-layer weights before and after a run: (filters, rows, columns, channels)."""
    torch.manual_seed(run.seed)
    start = diagnostics.first_filters(NETS[name](), 16)
    stored = (start, run.metrics)
    return tuple(np.array(weights["filters"]) * weights["scale"] for weights in stored)


def movement(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """Medians over the filters: correlation with the start, and length of the change in lengths of the start."""
    pairs = [(b.ravel(), a.ravel()) for b, a in zip(before, after, strict=True)]
    correlations = [np.corrcoef(b, a)[0, 1] for b, a in pairs]
    distances = [np.linalg.norm(a - b) / np.linalg.norm(b) for b, a in pairs]
    return float(np.median(correlations)), float(np.median(distances))


# %% tags=["figure"]
grown = {name: filters_of(name, five[name][0]) for name in FIVE}
fig, axes = plots.figure(5, 3, height=1.0)
fig.set_size_inches(6.6, 3.6)
for row, name in zip(axes.reshape(5, 3), FIVE, strict=True):
    before, after = (weights[:4] for weights in grown[name])
    largest = max(np.abs(before).max(), np.abs(after).max())
    for ax, weights, title in zip(
        row, (before, after, after - before), ("initial", "trained", "difference"), strict=True
    ):
        plots.image_grid(np.clip(0.5 + weights / (2 * largest), 0, 1), columns=4, ax=ax, seam=1)
        if name == FIVE[0]:
            ax.set_title(title, fontsize=10)
    row[0].set_ylabel(name, rotation=0, ha="right", va="center")
show_figure(
    fig,
    "06-first-weights",
    "Four first-layer units of each network, seed 0: 32 × 32 × 3 weights in the MLPs, 3 × 3 × 3 in the CNNs. Grey is zero, and all three pictures of a network have one scale.",
    pixels=True,
)

# %% tags=["figure"]
fig, axes = plots.figure(5, 1, height=0.5)
fig.set_size_inches(6.6, 2.4)
for ax, (name, (_, after)) in zip(axes, grown.items(), strict=True):
    plots.image_grid(0.5 + after / (2 * np.abs(after).max()), columns=16, ax=ax, seam=1)
    ax.set_anchor("W")
    ax.set_ylabel(name, rotation=0, ha="right", va="center")
show_figure(
    fig,
    "06-filters",
    "All trained first-layer filters of the CNNs, and the first 16 units of the MLPs, each row on its own scale; seed 0.",
    pixels=True,
)

# %% tags=["figure"]
moved = {name: [movement(*filters_of(name, run)) for run in runs] for name, runs in five.items()}
likeness = {name: history.Spread(correlation for correlation, _ in pairs) for name, pairs in moved.items()}
change = {name: history.Spread(length for _, length in pairs) for name, pairs in moved.items()}
show_table(
    five.table({"correlation with the start": likeness, "change / start": change}, ".2f").rename_axis("network"),
    f"How far the first-layer weights moved: medians over up to 16 units of each network, after {FIVE_EPOCHS} epochs. *Change / start*: length of the change in lengths of the initial weights; {SEEDED}.",
    name="06-moved",
)

# %% tags=["claim"]
starts = {name: filters[0] for name, filters in grown.items()}
claim(
    np.allclose(starts["cnn3"], starts["cnn4"], atol=1e-3)
    and np.allclose(starts["cnn5"], starts["cnn3"][:8], atol=1e-3),
    "cnn3 and cnn4 start from the same first filters and cnn5 from eight of them, since they share a seed",
)
claim(
    max(likeness[n].values.max() for n in mlps) < min(likeness[n].values.min() for n in cnns),
    "in every run the filters of a CNN correlate more with their start than the templates of any MLP do",
    REAL,
)

# %% tags=["finding"]
finding(
    f"A trained filter still carries its random start: the median correlation with it is {likeness['cnn3'].mean:.2f} in cnn3 and {likeness['cnn4'].mean:.2f} in cnn4, "
    f"but {likeness['mlp1'].mean:.2f} in mlp1 ([the table](#06-moved); means of {ALL_SEEDS}). Read the difference, not the filter.",
    when=REAL,
)

# %% [markdown]
# For each seed cnn3 and cnn4 start from the same 16 filters, and cnn5 from the first eight of them: they are drawn from the same seed, for the same 27 inputs. Those of the MLPs look
# grey because the change is many times as long as the start.
#
# ### Do hidden units belong to classes?
#
# A unit in front of the last linear layer would be a class detector if it were active for one class and silent for all others. For each such
# unit take its mean activation over the validation images of every class, and divide the second largest of the ten means by the largest. A
# detector has a ratio near 0; a unit that ignores the class has 1. In a CNN such a unit is one channel at one position. The same networks before training are the reference. (mlp2 and cnn3 have
# no activation there, so their means can be negative and the ratio says nothing.)

# %% tags=["key"]
validation = view(cifar.train_images[val_index], cifar.train_labels[val_index], batch_size=1000)


def means_before(name: str, seed: int) -> np.ndarray:
    """Mean activation (classes, units) in front of the last layer of an untrained network."""
    torch.manual_seed(seed)
    model = NETS[name]().to(settings.device()).eval()
    return np.array(diagnostics.class_means(model, validation.of_epoch(0)))


def second_to_first(means: np.ndarray) -> np.ndarray:
    """Second largest over largest class mean of each unit, without those that are as good as dead."""
    *_, second, first = np.sort(means, axis=0)
    alive = first > 0.01 * np.median(first[first > 0])
    return second[alive] / first[alive]


# %% tags=["figure"]
pair = means_before("mlp1", 0), np.array(five["mlp1"][0].metrics["class_means"])
fig, axes = plots.figure(1, 2, height=3.2)
for ax, means, title in zip(axes, pair, ("before training", "trained"), strict=True):
    means = means[:, means.max(axis=0) > 0]
    means = means[:, np.argsort(means.argmax(axis=0), kind="stable")]
    image = ax.imshow(means / means.max(axis=0), vmin=0, vmax=1, cmap="viridis", aspect="auto")
    ax.set(yticks=range(10), xlabel="hidden unit, in the order of its class", title=title)
    ax.set_yticklabels(cifar.classes if ax is axes[0] else [], fontsize=9)
    ax.grid(False)
fig.colorbar(image, ax=axes[1], label="share of its largest mean")
show_figure(
    fig,
    "06-units",
    "Hidden units of mlp1: mean activation by class, as a share of the unit's largest; seed 0. Units are sorted in each panel by the class to which they respond most. A detector of one class would be a column with a single bright cell.",
    pixels=True,
)

# %% tags=["figure"]
looked_at = Runs({name: five[name] for name in ("mlp1", "cnn4", "cnn5")})
before = {
    name: history.Spread(np.median(second_to_first(means_before(name, run.seed))) for run in runs)
    for name, runs in looked_at.items()
}
ratios = {
    name: [second_to_first(np.array(run.metrics["class_means"])) for run in runs] for name, runs in looked_at.items()
}
after = {name: history.Spread(map(np.median, of_runs)) for name, of_runs in ratios.items()}
show_table(
    looked_at.table({"untrained": before, "trained": after}, ".2f").rename_axis("network"),
    f"Second largest over largest class mean: median over the units in front of the last layer, before and after training; {SEEDED}. Units whose largest mean is below 1 % of the median unit's are left out.",
    name="06-units-table",
)

# %% tags=["claim"]
for name in ratios:
    claim(
        (after[name].values < before[name].values).all(), f"{name}: training lowers the median ratio in every run", REAL
    )
claim(
    all(spread.values.min() > 0.25 for spread in after.values()),
    "in every run the median unit is still active for a second class, with more than a quarter of its response",
    REAL,
)

# %% tags=["finding"]
finding(
    f"Training makes units a little more selective. mlp1's median unit responds to its second class with {after['mlp1'].mean:.0%} of its response to the first, "
    f"against {before['mlp1'].mean:.0%} before (means of {ALL_SEEDS}; [table](#06-units-table)): it belongs to no single class.",
    when=REAL,
)

# %% [markdown]
# ### The report's ten questions
#
# 1. **What is generalisation?** Performance on images that were not trained on, drawn like the training images.
# 2. **Which plots show it?** The test accuracy, and its distance from the training accuracy: the left panel of [the gap figure](#06-five-gap).
#    A training curve by itself never shows it.
# 3. **How do the models compare?** Every CNN is better than both MLPs. The report calls cnn4 best and cnn3 close. [Here](#06-five-differences)
#    cnn4 is better than cnn3 on both sets. Against cnn5 it is better on validation, and undecided on the test set. Between cnn3 and cnn5 nothing is decided.
# 4. **What does the number of parameters do?** It does not order these networks: the two largest score lowest. *A hypothesis, not tested
#    here*, is that locality and shared weights fit images, so that few parameters go far. The CNNs also do about 30 times as many multiply-adds, and
#    these runs do not separate the two.
# 5. **What does depth do?** mlp2 is not deeper than mlp1 as a function. Among the CNNs depth and width change together: cnn5
#    is the deepest and the smallest, so its score says nothing about depth by itself. The report says that cnn5 overfits.
#    Overfitting would show as a large gap, and cnn5's is the smallest of the five.
# 6. **Can first-layer weights be interpreted?** Only with their start beside them. The weights of an MLP's unit form a picture as large as the image, its
#    *template*. Templates moved far and show faint patches of colour; a
#    3 × 3 filter can show a colour or the direction of an edge, and part of what it shows is random.
# 7. **Do units specialise by class?** Output units do by construction. Hidden units prefer classes, but the median unit also
#    responds to its second class, by the share in [the table](#06-units-table).
# 8. **Which weights are easiest to read?** The MLPs' templates, since they are as large as the image. The report explains cnn5's
#    pictures by its "increased number of parameters" and cnn4's by "relatively more parameters". cnn5 has the fewest of all, and
#    each MLP has more than seven times as many as cnn4.
# 9. **How do models of like and unlike structure compare?** mlp1 and mlp2 are one class of functions, and their test accuracies are equal within 0.03: all of the interval in [the table](#06-five-differences) is inside. cnn3,
#    cnn4 and cnn5 are one family with different depths, widths and kernels. Between the families there is a step: every CNN is above both MLPs.
# 10. **Which model would you pick?** cnn4: on validation it is better than each of the others, and the test set must not choose. Where validation leaves
#     two undecided, such as cnn3 and cnn5, take the cheaper one.
#
# ## A larger network, and when its validation loss turns
#
# SimpleCNN, from the homework on MNIST and CIFAR-10, has two padded convolutions and a wide linear layer. It is trained with Adam at 1e-3 and
# batch 64 for 20 epochs. The homework uses the test set where a validation set belongs, and its best epoch (0.7238) and its last (0.7032)
# differ without comment. We watch the test set too, but only to compare with that series.

# %% tags=["solution"]
show_source(models.SimpleCNN)

# %% tags=["figure"]
show_figure(
    diagrams.draw_network(models.SimpleCNN(), (3, 32, 32)),
    "06-simplecnn-layers",
    "SimpleCNN: 96 % of its parameters are in one linear layer.",
    pixels=True,
)

# %% tags=["claim"]
wide = models.layer_table(models.SimpleCNN(), (3, 32, 32)).parameters
claim(round(100 * wide.max() / wide.sum()) == 96, "one linear layer has 96 % of SimpleCNN's parameters")

# %% tags=["key"]
watched = looked_into(model=models.SimpleCNN, epochs=CNN_EPOCHS, batch_size=64, watch_test=True)
large = sweep({"SimpleCNN": watched}, SEEDS)
cnn = large["SimpleCNN"][0]  # the pictures below are of this seed

# %% tags=["figure"]
frame = large.frame()
fig, axes = plots.figure(1, 2, height=2.9)
for ax, kind in zip(axes, ("loss", "accuracy"), strict=True):
    both_splits = pd.concat(
        [
            frame.assign(variant=name, **{kind: frame[f"{split}_{kind}"]})
            for name, split in (("training", "train"), ("validation", "val"))
        ]
    )
    plots.learning_curves(both_splits, kind, ax).set_ylabel("loss (nats)" if kind == "loss" else "accuracy")
show_figure(
    fig,
    "06-simplecnn",
    f"SimpleCNN: the training loss falls to the end, the validation loss turns; {SEEDED}.",
    pixels=True,
)

# %% tags=["claim"]
histories = [run.history for run in large["SimpleCNN"]]
turns = [min(rows, key=lambda row: row["val_loss"])["epoch"] for rows in histories]
peaks = [max(rows, key=lambda row: row["test_accuracy"]) for rows in histories]
ends = [rows[-1] for rows in histories]
claim(max(turns) < CNN_EPOCHS / 2, "validation loss is lowest in the first half of the training, in every seed", REAL)
claim(max(end["train_loss"] for end in ends) < 0.15, "the training loss ends below 0.15 in every seed", REAL)
claim(max(peak["epoch"] for peak in peaks) < 12, "test accuracy is highest before epoch 12 in every seed", REAL)
claim(
    all(end["test_accuracy"] < peak["test_accuracy"] - 0.005 for end, peak in zip(ends, peaks, strict=True)),
    "test accuracy ends more than 0.005 below its highest value in every seed",
    REAL,
)

# %% tags=["finding"]
at_end, at_best = (large.final(metric)["SimpleCNN"].values for metric in ("test_accuracy", "best_test_accuracy"))
later = history.compare(at_end, at_best)
finding(
    f"SimpleCNN memorises its training images: the training loss falls to {large.last('train_loss')['SimpleCNN'].mean:.3f}, while the validation loss turns after a few epochs. "
    f"From the best validation epoch to the last, the test accuracy changes by {later:+.3f}: {later.verdict}.",
    when=REAL,
)

# %% [markdown]
# ### Which classes are confused
#
# A confusion matrix counts test images by true class (row) and predicted class (column). The diagonal is correct. A pair that is bright on
# both sides of the diagonal is confused in both directions; a pair that is bright on one side only means that the network prefers one of the two.

# %% tags=["figure"]
matrix = np.array(cnn.metrics["confusion"])
fig, [ax] = plots.figure(height=4.4)
plots.confusion(matrix, cifar.classes, ax)
show_figure(
    fig,
    "06-confusion",
    "SimpleCNN on the test images: counts, coloured by the share of each true class; seed 0.",
    pixels=True,
)

# %% tags=["figure"]
upper = np.triu_indices(10, 1)
pairs = sorted(zip((matrix + matrix.T)[upper], *upper, strict=True), reverse=True)
show_table(
    pd.DataFrame(
        [
            {
                "pair": f"{cifar.classes[i]}, {cifar.classes[j]}",
                "first taken for second": matrix[i, j],
                "second for first": matrix[j, i],
            }
            for _, i, j in pairs[:5]
        ]
    ).set_index("pair"),
    "The five pairs with the most errors, among 1,000 test images of each class; seed 0.",
    name="06-pairs",
)

# %% tags=["plumbing"]
vehicles = np.isin(cifar.classes, ["airplane", "automobile", "ship", "truck"])
same_kind = vehicles[:, None] == vehicles


def most_confused(matrix: np.ndarray) -> set:
    """The two classes with the most errors between them."""
    both_ways = np.triu(matrix + matrix.T, 1)
    return {cifar.classes[i] for i in np.unravel_index(both_ways.argmax(), both_ways.shape)}


def share_within(matrix: np.ndarray) -> tuple[float, float]:
    """Share of the errors that stay within animals or within vehicles, and what evenly spread errors would give."""
    errors = matrix * (1 - np.eye(10, dtype=int))
    evenly = errors.sum(1) * (same_kind.sum(1) - 1) / 9
    return errors[same_kind].sum() / errors.sum(), evenly.sum() / errors.sum()


matrices = [np.array(run.metrics["confusion"]) for run in large["SimpleCNN"]]
shares, by_chance = (history.Spread(column) for column in zip(*map(share_within, matrices), strict=True))

# %% tags=["claim"]
claim(
    all(most_confused(each) == {"cat", "dog"} for each in matrices),
    "cat and dog are the pair with the most errors in every run",
    REAL,
)
claim(
    (shares.values > by_chance.values + 0.1).all(),
    "in every run errors stay within animals and within vehicles more often than evenly spread errors would",
    REAL,
)

# %% tags=["finding"]
finding(
    f"In every run ({ALL_SEEDS}) cat and dog are the pair with the most errors ([seed 0](#06-pairs)). On average {shares.mean:.0%} of the errors stay within animals or within vehicles; "
    f"errors spread evenly over the other classes would give {by_chance.mean:.0%}.",
    when=REAL,
)

# %% [markdown]
# ### Feature maps
#
# The first eight filters, and what they make of three test images. A map is bright where the pattern of its filter is present; ReLU has set the
# rest to zero. As above, the start of each filter and the difference come first.

# %% tags=["figure"]
before, after = (weights[:8] for weights in filters_of("CNN_A", cnn))
largest = max(np.abs(before).max(), np.abs(after).max())
maps, inputs = np.array(cnn.metrics["maps"]), np.array(cnn.metrics["images"], np.uint8)
fig, axes = plots.figure(2, 2, height=2.4)
fig.set_size_inches(6.6, 4.9)
grid = axes[0].get_gridspec()
grid.set_width_ratios([1, 8])
axes[0].axis("off")
weights = np.clip(0.5 + np.concatenate([before, after, after - before]) / (2 * largest), 0, 1)
plots.image_grid(weights, columns=8, ax=axes[1], row_labels=["initial", "trained", "difference"], seam=1)
plots.image_grid(inputs, columns=1, ax=axes[2], row_labels=[cifar.classes[c] for c in cifar.test_labels[: len(inputs)]])
scaled = maps / maps.max(axis=(0, 2, 3), keepdims=True).clip(1e-9)
plots.image_grid(scaled.reshape(-1, *maps.shape[2:]), columns=8, ax=axes[3])
for ax in axes:
    ax.tick_params(labelsize=9)
show_figure(
    fig,
    "06-inside",
    "SimpleCNN: eight first-layer filters (3 × 3 × 3, grey is zero, one scale), and below each its maps after ReLU of the three test images on the left, each column on its own scale from zero (black); seed 0.",
    pixels=True,
)

# %% tags=["plumbing"]
grey = inputs.mean(axis=3) / 255
slopes = [np.hypot(*np.gradient(image)) for image in grey]


def like(of_filter: np.ndarray, pictures) -> float:
    """Mean correlation of a filter's maps with pictures of the same images; nan for a map that is 0 everywhere."""
    alive = [(m.ravel(), np.ravel(p)) for m, p in zip(of_filter, pictures, strict=True) if m.std() > 0]
    return float(np.mean([np.corrcoef(*pair)[0, 1] for pair in alive])) if alive else math.nan


kinds = pd.DataFrame(
    {
        "active positions": [float((maps[:, n] > 0).mean()) for n in range(8)],
        "with brightness": [like(maps[:, n], grey) for n in range(8)],
        "with edges": [like(maps[:, n], slopes) for n in range(8)],
    },
    index=pd.Index(range(1, 9), name="filter"),
)

# %% tags=["figure"]
show_table(
    kinds.map("{:.2f}".format),
    "What each map follows: share of positions that are not zero, and mean correlation over the three images with their brightness and with their edges (length of the brightness gradient); seed 0.",
    name="06-kinds",
)

# %% [markdown]
# **How to read it.** A map that follows brightness correlates with the grey image, one with a negative correlation responds to dark areas, and a map
# that follows edges correlates with their strength. [The table](#06-kinds) says which is which, where the eye would guess from three pictures. Low numbers
# in both columns leave a filter unexplained: these two correlations do not test for colour.
#
# **What deeper layers add.** SimpleCNN's second convolution reads all 32 maps, and one of its units sees 8 × 8 pixels after the first
# pooling. Its features are combinations of the first layer's, as in the corners by hand above. Their pictures are not drawn: a
# kernel of 32 channels has no colours.
#
# ## Three architectures
#
# The homework compares CNN_A (SimpleCNN), CNN_B (one convolution more, and 256 units) and CNN_C (wider 5 × 5 convolutions and average pooling).
# CNN_C differs from CNN_A in three things at once, so the homework's conclusion that average pooling is worse does not follow. "CNN_C max"
# is the control: CNN_C with max pooling. As in the homework all 50,000 images are trained on, so there is no validation set and nothing
# is chosen.

# %% tags=["solution"]
show_source(models.cnn_b, models.cnn_c)

# %% tags=["figure"]
show_figure(
    diagrams.draw_pair({"CNN_B": models.cnn_b(), "CNN_C": models.cnn_c()}, (3, 32, 32)),
    "06-cnn-b-c",
    "CNN_B and CNN_C. CNN_A is SimpleCNN, and CNN_C max has max pooling where CNN_C takes the mean.",
    pixels=True,
)

# %% tags=["key"]
three_nets = {
    "CNN_A": models.SimpleCNN,
    "CNN_B": models.cnn_b,
    "CNN_C": models.cnn_c,
    "CNN_C max": partial(models.cnn_c, nn.MaxPool2d),
}
on_all = partial(Experiment, data="cifar10", pixels="standard", precision="bfloat16", train_size=THREE_IMAGES)
of_three = partial(on_all, optimizer=adam, epochs=THREE_EPOCHS, batch_size=64)
three = sweep({name: of_three(model=three_nets[name]) for name in ("CNN_A", "CNN_B")}, SEEDS)
three |= sweep({name: of_three(model=three_nets[name]) for name in ("CNN_C", "CNN_C max")}, ONE_SEED)
COUNTS = f"CNN_A and CNN_B: {SEEDED}; CNN_C and its control: {history.seeds(len(ONE_SEED))}"

# %% tags=["figure"]
DESCRIBED = {
    "CNN_A": "2 × conv 3×3 (32, 64), max",
    "CNN_B": "3 × conv 3×3 (32, 32, 64), max",
    "CNN_C": "2 × conv 5×5 (64, 128), mean",
    "CNN_C max": "2 × conv 5×5 (64, 128), max",
}
cost = {name: models.layer_table(net(), (3, 32, 32))[["parameters", "MACs"]].sum() for name, net in three_nets.items()}
three_test = three.final("test_accuracy")
table = three.table({"training": three.final("train_accuracy"), "test": three_test}).rename_axis("network")
table.insert(0, "layers, pooling", [DESCRIBED[name] for name in three])
table.insert(1, "parameters", [f"{cost[name].parameters:,}" for name in three])
table.insert(2, "MACs", [f"{cost[name].MACs / 1e6:.1f} M" for name in three])
theirs = {f"CNN_{letter}": scorecard.PUBLISHED[f"S2.3B.{letter}"].values[0] for letter in "ABC"}
table["published"] = [f"{theirs[name]:.4f}" if name in theirs else "–" for name in three]
show_table(
    table,
    f"Three architectures and a control after {THREE_EPOCHS} epochs, last weights. {COUNTS}.",
    name="06-three",
)

# %% tags=["figure"]
versus = {
    f"{a} - {b}": three.compare(a, b, "test_accuracy")
    for a, b in (("CNN_B", "CNN_A"), ("CNN_C", "CNN_A"), ("CNN_B", "CNN_C"), ("CNN_C max", "CNN_C"))
}
show_table(
    with_verdicts(versus, "networks"),
    "Test accuracy of the last weights, paired by seed: difference, 95 % interval where there are several seeds, and the verdict on the first of the two. Rows with CNN_C use seed 0 of both networks, so they are not the differences of the means above.",
    name="06-three-differences",
)

# %% tags=["figure"]
fig, axes = plots.figure(1, 2, height=2.9)
panels = {
    f"{FIVE_EPOCHS} epochs, Adam, batch 50": (five, sizes),
    f"{THREE_EPOCHS} epochs, Adam, batch 64": (three, cost),
}
for ax, (title, (runs, costs)) in zip(axes, panels.items(), strict=True):
    scores = runs.final("test_accuracy")
    plots.labelled_points({name: (costs[name].MACs, scores[name].mean) for name in runs}, ax)
    ax.set(xscale="log", xlabel="multiply-adds for one image", ylabel="test accuracy", title=title)
    low, high = (edge(costs[name].MACs for name in runs) for edge in (min, max))
    ax.set_xlim(low / 2, high * 6)
show_figure(
    fig,
    "06-cost",
    f"Cost against test accuracy of the last weights: the five networks, and the three with their control. The panels have different protocols, so compare within a panel. Left: means of {ALL_SEEDS}. Right: CNN_A and CNN_B, means of {ALL_SEEDS}; CNN_C and its control, {history.seeds(len(ONE_SEED))}.",
    pixels=True,
)

# %% tags=["claim"]
relative = [round(cost[f"CNN_{letter}"].MACs / cost["CNN_A"].MACs, 2) for letter in "ABC"]
claim(relative == [1.0, 2.63, 9.53], "the multiply-adds are as 1 : 2.63 : 9.53")
claim(
    cost["CNN_C"].parameters > cost["CNN_B"].parameters > cost["CNN_A"].parameters, "parameters grow from A to B to C"
)
learned = three.final("train_accuracy")
claim(
    all((learned[name].values - three_test[name].values > 0.1).all() for name in three),
    "every training accuracy is more than 0.1 above the test accuracy",
    REAL,
)
claim(all(spread.values.min() > 0.95 for spread in learned.values()), "every training accuracy is above 0.95", REAL)
claim(versus["CNN_B - CNN_A"].better, "CNN_B is better than CNN_A on the test set", REAL)
pooling = versus["CNN_C max - CNN_C"]
claim(
    cost["CNN_C"].equals(cost["CNN_C max"]),
    "pooling has no parameters and no multiply-adds, so CNN_C and its control cost the same",
)

# %% tags=["finding"]
finding(
    f"CNN_B is better than CNN_A: {versus['CNN_B - CNN_A']:+.3f} on the test set ([differences](#06-three-differences)). It has one convolution more and more linear units; these runs do not say which of the two changes helps.",
    when=REAL,
)
finding(
    f"One seed cannot decide between max and average pooling; in it max pooling scores {pooling.difference:+.3f}, all else equal. "
    "The homework calls average pooling worse; its own table has CNN_C above CNN_A.",
    when=REAL,
)
finding(
    f"CNN_B does {relative[1]:.1f} times and CNN_C {relative[2]:.1f} times the multiply-adds of CNN_A. The homework reports B as faster than A; "
    f"a *hypothesis* is that its clock measured the machine's load."
)

# %% [markdown]
# **Complexity against performance.** CNN_B and CNN_C have about twice the parameters of CNN_A, and CNN_C does almost ten times the
# arithmetic. The homework concludes that more complexity is better, although its best network is B and C has the most parameters. Here
# B, the larger one, is better than A, which agrees with the homework ([differences](#06-three-differences)). Whether C, larger still, falls behind B is not decided by one seed. In each run the
# training accuracy ends above 0.95, so the networks can fit the training images; capacity is not what limits them. To say which of depth, width, kernel and pooling
# helps, change one at a time.
#
# ## BatchNorm
#
# The inputs of the network are standardised, but the inputs of its second layer are not: they depend on the first layer's weights, and these
# change with every step. **Batch normalisation** (Ioffe and Szegedy 2015) standardises them again, channel by channel, over the batch.
# With the mean $\mu_c$ and the variance $\sigma_c^2$ of channel $c$ over all $m = B \cdot H \cdot W$ numbers of it in the batch,
#
# $$\hat x = \frac{x - \mu_c}{\sqrt{\sigma_c^2 + \epsilon}}, \qquad y = \gamma_c\, \hat x + \beta_c .$$
#
# $\gamma_c$ and $\beta_c$ are learned, so the layer can undo the normalisation where that is better. $\epsilon = 10^{-5}$ keeps a channel
# without contrast from dividing by zero.

# %% tags=["figure"]
show_figure(
    diagrams.batch_norm_axes(),
    "06-batch-norm-axes",
    "Left: one mean and one variance for each channel, over all examples and positions. Right: training uses the batch's mean, which fluctuates; the running mean follows it for evaluation.",
    pixels=True,
)

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

# %% [markdown]
# ### Training, evaluation, running statistics
#
# In training an image's output depends on the other images of its batch. That must not be so in use, where a batch may be a single image. The
# layer therefore keeps running averages, with $\alpha = 0.1$ in torch,
#
# $$\mu_{run} \leftarrow (1 - \alpha)\, \mu_{run} + \alpha\, \mu_c, \qquad \sigma^2_{run} \leftarrow (1 - \alpha)\, \sigma^2_{run} + \alpha\, \tfrac{m}{m-1}\, \sigma^2_c ,$$
#
# and `model.eval()` makes it use them in place of the batch's. The factor $m / (m-1)$ makes the variance unbiased. A forgotten `eval()` is a
# classic mistake: predictions then depend on the batch, and every forward pass changes the running averages.

# %% tags=["key"]
torch.manual_seed(0)
layer, x = nn.BatchNorm2d(3), 2 + torch.randn(8, 3, 5, 5)
y = layer(x)  # training mode
by_numpy, _ = scratch.batch_norm_forward(x.numpy(), np.ones(3), np.zeros(3))
expected_mean = 0.1 * x.mean((0, 2, 3))  # the running mean starts at 0
expected_var = 0.9 + 0.1 * x.var((0, 2, 3))  # the running variance starts at 1
one_image = layer.eval()(x[:1])
in_a_batch = layer(x)[:1]
apart = (one_image - in_a_batch).abs().max().item()
print(f"training: mean of each channel {y.mean((0, 2, 3)).abs().max().item():.0e}")
print(f"evaluation: an image alone and in a batch differ by {apart:.0e}")

# %% tags=["claim"]
claim(np.abs(by_numpy - y.detach().numpy()).max() < 1e-5, "the forward pass in NumPy is torch's")
claim(
    torch.allclose(layer.running_mean, expected_mean), "the running mean moves a tenth of the way to the batch's mean"
)
claim(torch.allclose(layer.running_var, expected_var), "so does the running variance, to the unbiased one")
claim(
    torch.allclose(one_image, in_a_batch, atol=1e-6),
    "in evaluation mode an image's output does not depend on its batch",
)

# %% [markdown]
# ### The backward pass of BatchNorm
#
# Take one channel and call its numbers $x_1, \dots, x_m$, with $s = \sqrt{\sigma^2 + \epsilon}$ and $\hat\delta_i = \gamma\, \delta_i$ the gradient at
# $\hat x_i$. Every $x_j$ changes its own output, and through mean and standard deviation all others:
#
# $$\frac{\partial \mu}{\partial x_j} = \frac1m, \qquad \frac{\partial s}{\partial x_j} = \frac{x_j - \mu}{m\, s} = \frac{\hat x_j}{m}, \qquad
# \frac{\partial \hat x_i}{\partial x_j} = \frac1s \Big( [i = j] - \frac1m - \frac{\hat x_i\, \hat x_j}{m} \Big) .$$
#
# (Here $s$ is a standard deviation, not a stride; $[i = j]$ is 1 where $i = j$ and 0 elsewhere.) The last one is the quotient rule for $\hat x_i = (x_i - \mu)/s$. In
# $\partial s/\partial x_j$ the part through $\mu$ is missing because $\sum_i (x_i - \mu) = 0$. Multiply by $\hat\delta_i$ and sum over $i$:
#
# $$\frac{\partial L}{\partial x_j} = \frac1s \Big( \hat\delta_j - \frac1m \sum_i \hat\delta_i - \hat x_j\, \frac1m \sum_i \hat x_i\, \hat\delta_i \Big), \qquad
# \frac{\partial L}{\partial \gamma} = \sum_i \delta_i\, \hat x_i, \qquad \frac{\partial L}{\partial \beta} = \sum_i \delta_i .$$
#
# The gradient loses its mean and its part along $\hat x$. That has to be so: adding a constant to the channel, or scaling it, does not
# change the output (up to $\epsilon$). In evaluation mode $\mu$ and $s$ are constants, and only the first of the three terms is left.

# %% tags=["solution"]
show_source(scratch.batch_norm_forward, scratch.batch_norm_backward)

# %% tags=["key"]
shape, rng = (6, 3, 4, 4), np.random.default_rng(0)
x, d_out = rng.normal(2, 3, shape), rng.normal(size=shape)
gamma, beta = rng.normal(size=3), rng.normal(size=3)
_, cache = scratch.batch_norm_forward(x, gamma, beta)
by_hand = scratch.batch_norm_backward(d_out, cache)
inputs = [torch.tensor(array, requires_grad=True) for array in (x, gamma, beta)]
output = functional.batch_norm(inputs[0], None, None, *inputs[1:], training=True)
by_torch = torch.autograd.grad(output, inputs, torch.tensor(d_out))
norm_errors = [np.abs(ours - theirs.numpy()).max() for ours, theirs in zip(by_hand, by_torch, strict=True)]
print(f"largest difference from autograd: {max(norm_errors):.0e}")

# %% tags=["claim"]
claim(max(norm_errors) < 1e-10, "the gradients of x, weight and bias are those of autograd")
claim(np.abs(by_hand[0].sum(axis=(0, 2, 3))).max() < 1e-10, "the gradient of each channel sums to 0")

# %% [markdown]
# **What it does to the weights before it.** Scale the kernels of a convolution by $a > 0$. Its output scales by $a$, BatchNorm divides by $a$ again, and
# the loss does not change, up to $\epsilon$. So $L(a k) = L(k)$. Differentiate with respect to $k$: $a\,\nabla L(a k) = \nabla L(k)$. Kernels that have
# grown long get small gradients. Differentiate with respect to $a$, at $a = 1$: $k \cdot \nabla L(k) = 0$. The gradient is perpendicular to the kernels, so
# a plain step lengthens them: $\|k - \eta \nabla L\|^2 = \|k\|^2 + \eta^2 \|\nabla L\|^2$. A step that is too long makes the following steps shorter.

# %% tags=["key"]
torch.manual_seed(0)
net = models.SimpleNN(batch_norm=True)
images, targets = next(validation.of_epoch(0))
images, targets = images[:200].cpu(), targets[:200].cpu()
seen = []
for factor in (1, 10):
    with torch.no_grad():
        net[0].weight.mul_(factor)
        net[0].bias.mul_(factor)
    loss = functional.cross_entropy(net(images), targets)
    (gradient,) = torch.autograd.grad(loss, net[0].weight)
    seen.append((loss.item(), gradient.norm().item()))
    print(f"kernels × {factor}: loss {loss.item():.4f}, gradient {gradient.norm().item():.5f}")

# %% tags=["claim"]
(loss_1, gradient_1), (loss_10, gradient_10) = seen
claim(abs(loss_1 - loss_10) < 1e-3, "ten times the kernels, the same loss")
claim(9.5 < gradient_1 / gradient_10 < 10.5, "ten times the kernels, a tenth of the gradient")

# %% [markdown]
# ### BatchNorm and the learning rate
#
# SimpleNN with random crop and flip, at learning rates of 0.01 and 0.1, with and without BatchNorm; then Swish in place of all
# ReLUs at 0.1; then a rate of 1.0, to see what too much looks like. BatchNorm stands after each convolution and before its activation, and adds 48
# parameters. The snippet that the lab homework shows for this step contains no BatchNorm layer. The first block should read

# %% tags=["key"]
first_block = nn.Sequential(nn.Conv2d(3, 8, 5), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2))

# %% [markdown]
# The convolution's bias is superfluous there, since BatchNorm subtracts it again; it is kept to match the published 82,078 parameters.


# %% tags=["key"]
def augmented(batch_norm: bool, lr: float, activation: str = "relu") -> Experiment:
    """SimpleNN with random crop and flip, all else as in the baseline."""
    net = partial(models.SimpleNN, batch_norm, activation)
    optimizer = partial(torch.optim.SGD, lr=lr, momentum=0.9, weight_decay=1e-4)
    return on_cifar(net, optimizer, epochs=NORM_EPOCHS, batch_size=128, augment=data.crop_flip)


norms = sweep(
    {f"{'BN' if bn else 'plain'}, lr {lr}": augmented(bn, lr) for bn in (False, True) for lr in (0.01, 0.1)}, SEEDS
)
norms |= sweep({"BN, Swish, lr 0.1": augmented(True, 0.1, "swish"), "BN, lr 1.0": augmented(True, 1.0)}, SEEDS)

# %% tags=["figure"]
frame = norms.frame()
fig, axes = plots.figure(2, 2, height=2.9)
kinds_of_net = {"plain": "plain", "BN": "BatchNorm", "BN, Swish": "BatchNorm, Swish"}
for column, lr in enumerate((0.01, 0.1)):
    of_rate = frame[frame.variant.str.endswith(f", lr {lr}")]
    of_rate = of_rate.assign(variant=of_rate.variant.str.replace(f", lr {lr}", "").map(kinds_of_net))
    for row, metric in enumerate(("train_loss", "val_accuracy")):
        ax = axes[2 * row + column]
        plots.learning_curves(of_rate, metric, ax).get_legend().remove()
        ax.set_title(f"learning rate {lr}" if row == 0 else "", fontsize=11)
        if column:
            lows, highs = zip(axes[2 * row].get_ylim(), ax.get_ylim(), strict=True)
            for each in (axes[2 * row], ax):
                each.set_ylim(min(lows), max(highs))
fig.legend(*axes[1].get_legend_handles_labels(), loc="outside upper center", ncols=3)
show_figure(
    fig,
    "06-batchnorm",
    f"SimpleNN with and without BatchNorm at two learning rates, and with Swish; {SEEDED}. The panels of a row have one scale.",
    pixels=True,
)

# %% tags=["figure"]
published = {
    "plain, lr 0.01": "0.7106",
    "plain, lr 0.1": "0.4946",
    "BN, lr 0.01": "0.7224, 0.7180",
    "BN, lr 0.1": "0.6862",
    "BN, Swish, lr 0.1": "0.7242",
    "BN, lr 1.0": "0.1054",
}
reached = norms.best("val_accuracy")
columns = {
    "best validation": reached,
    "test (best epoch)": norms.final("best_test_accuracy"),
    "last training loss": norms.last("train_loss"),
}
table = norms.table(columns)
table["published, validation"] = [published[name] for name in norms]
show_table(
    table.rename_axis("network"),
    f"BatchNorm, learning rate and Swish after {NORM_EPOCHS} epochs, {SEEDED}; published: one run each.",
    name="06-norm-table",
)

# %% tags=["figure"]
PAIRS = {
    "BatchNorm - plain, both at 0.1": ("BN, lr 0.1", "plain, lr 0.1"),
    "BatchNorm - plain, both at 0.01": ("BN, lr 0.01", "plain, lr 0.01"),
    "Swish - ReLU, BatchNorm, both at 0.1": ("BN, Swish, lr 0.1", "BN, lr 0.1"),
    "Swish at 0.1 - ReLU at 0.01, BatchNorm": ("BN, Swish, lr 0.1", "BN, lr 0.01"),
    "0.01 - 0.1, both with BatchNorm": ("BN, lr 0.01", "BN, lr 0.1"),
    "0.01 - 0.1, both plain": ("plain, lr 0.01", "plain, lr 0.1"),
}
comparisons = {title: norms.compare(*pair, "val_accuracy", at="best") for title, pair in PAIRS.items()}
show_table(
    with_verdicts(comparisons, "comparison"),
    f"Differences in best validation accuracy, paired by seed, with 95 % intervals; {history.seeds(len(SEEDS))}.",
    name="06-norm-differences",
)

# %% tags=["claim"]
high, low, smooth, tuned, slower, plain_slower = comparisons.values()
claim(high.better and high.difference >= 0.08, "at 0.1 BatchNorm is better, by 0.08 or more", REAL)
claim(low.difference >= -0.01 and low.verdict == "undecided", "at 0.01 BatchNorm against plain is undecided", REAL)
claim(smooth.better, "at 0.1, with BatchNorm, Swish is better than ReLU", REAL)
claim(tuned.verdict == "undecided", "Swish at 0.1 against ReLU at 0.01 is undecided", REAL)
claim(slower.better and plain_slower.better, "with ReLU, 0.01 is better than 0.1, with BatchNorm and without", REAL)
claim(
    all(run.best("val_accuracy") <= 0.20 and run.last("train_loss") >= 2.2 for run in norms["BN, lr 1.0"]),
    "at 1.0 every run ends at guessing",
    REAL,
)
claim(
    models.parameter_count(models.SimpleNN(batch_norm=True)) == 82_078,
    "BatchNorm after each convolution adds 48 parameters",
)

# %% tags=["finding"]
finding(
    f"BatchNorm limits the damage of the large learning rate: at 0.1 it adds {high:+.3f}. At 0.01, the better of the two for the plain network, its effect is undecided ([the table](#06-norm-differences)).",
    when=REAL,
)
finding(
    f"At 0.1 Swish is better than ReLU, by {smooth:+.3f}. Against ReLU at 0.01, where ReLU is better, the gain is undecided ([the table](#06-norm-differences)).",
    when=REAL,
)
finding(
    f"At 1.0 every run collapses to guessing: the training loss stays at {norms.last('train_loss')['BN, lr 1.0'].mean:.2f}, about ln 10.",
    when=REAL,
)

# %% [markdown]
# **Why BatchNorm helps** at large rates is partly a *hypothesis*. The scale argument above holds for each layer with BatchNorm behind it, but it does not show that it is what
# decides these runs. Ioffe and Szegedy explain the gain by less "internal covariate shift"; the lab homework states that as a fact.
# Santurkar et al. 2018 put the shift back in and lost nothing, and found a smoother loss instead. Hence the smoother loss is
# the better supported account.
#
# **Why Swish helps** at 0.1 is a *hypothesis* too, not tested here. Swish has a gradient for moderately negative inputs, so a unit of the linear layers, which have
# no BatchNorm, can come back after one long step has pushed it below zero. Far below zero its slope is almost 0, so it is not the general cure for vanishing gradients that the
# homework claims.
#
# **BatchNorm and dropout** are not two names for one thing. BatchNorm changes the optimisation, and adds noise only because each batch has other
# statistics. Dropout adds noise on purpose; [notebook 05](05_regularisation.ipynb) measures how it slows a training down.
#
# ## What to take away
#
# - A convolution is a small linear layer, shared by all positions. Its backward pass sums over these positions.
# - On images, a few shared weights can score higher than many that are not shared.
# - Read generalisation from a gap, and read the validation *loss*: it can rise while the accuracy stays nearly where it was.
# - Show trained filters beside their start, and feature maps beside their images.
# - Compare architectures that differ in one thing, with several seeds. A single run decides nothing.
# - BatchNorm makes a learning rate that is too large less harmful, not harmless. Compare each method at the rate that suits it.
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
#    of about the standard deviation between seeds.</details>
#
# 3. **Train** SimpleCNN with `augment=data.crop_flip`. **Predict** the epoch of the lowest validation loss.
#
#    <details><summary>Answer</summary>Later, perhaps the last: every epoch shows other crops, so memorising the images takes longer.</details>
#
# ## Further reading
#
# - *Gradient-based learning applied to document recognition*,
#   [section II](http://yann.lecun.com/exdb/publis/pdf/lecun-01a.pdf): why local receptive fields, shared weights and subsampling, and the
#   original LeNet-5.
# - Dumoulin and Visin 2016, [A guide to convolution arithmetic](https://arxiv.org/abs/1603.07285): output sizes with padding and strides, in pictures.
# - Zeiler and Fergus 2014, [section 4](https://arxiv.org/abs/1311.2901): what deeper layers answer to.
# - Ioffe and Szegedy 2015, [section 3](https://arxiv.org/abs/1502.03167): BatchNorm in training and in evaluation.
# - Santurkar et al. 2018, [sections 2 and 3](https://arxiv.org/abs/1805.11604): what BatchNorm does not do, and what it does.
# - Howard et al. 2017, [section 3.1](https://arxiv.org/abs/1704.04861): depthwise separable convolutions.
# - Ramachandran et al. 2017, [section 4](https://arxiv.org/abs/1710.05941): Swish.
#
# Next: [07 · Learning-rate schedules](07_schedules.ipynb), where the learning rate changes during the training.

# %% tags=["scorecard"]
scorecard.record("S4.L1.g.initial", [first_loss["SimpleNN"]], when=REAL)
scorecard.record("S4.L1.g.best", baseline.best("val_accuracy")["SimpleNN"].values, simple)
RAISED = "seeds raised from 1 to 3 after a first look"
scorecard.record("S1.5.1.d", five.final("test_accuracy")["cnn4"].values, five["cnn4"], note=RAISED)
for id, metric in (("S2.3A.loss", "train_loss"), ("S2.3A.accuracy", "test_accuracy")):
    scorecard.record(
        id,
        [[row[metric] for row in run.history] for run in large["SimpleCNN"]],
        large["SimpleCNN"],
        note=RAISED,
    )
for letter in "ABC":
    results = three[f"CNN_{letter}"]
    note = RAISED if len(results) > 1 else ""
    scorecard.record(f"S2.3B.{letter}", [run.final("test_accuracy") for run in results], results, note=note)
scorecard.record("S2.3B.parameters", [[sizes[f"CNN_{letter}"].parameters for letter in "ABC"]], when=REAL)
by_id = {"i": "BN, lr 0.01", "ii.plain": "plain, lr 0.1", "ii.BN": "BN, lr 0.1", "iii": "BN, Swish, lr 0.1"}
for id, name in by_id.items():
    scorecard.record(f"S4.L2.b.{id}", reached[name].values, norms[name])

# %% [markdown]
# ## References

# %% tags=["hide-input"]
show_references(
    "cifar10",
    "dumoulin2016",
    "howard2017",
    "ioffe2015",
    "mnist",
    "ramachandran2017",
    "santurkar2018",
    "zeiler2014",
)
