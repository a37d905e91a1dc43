"""Checks of convolution, its arithmetic, and BatchNorm."""

import numpy as np

from coursekit import scratch
from coursekit.checks.judging import Case, Mistake, Piece

RNG = np.random.default_rng(9)


def _images(*shape: int) -> np.ndarray:
    return RNG.integers(-3, 4, shape).astype(np.float32)


def _conv_case(words: str, images: tuple, kernels: tuple, hint: str = "") -> Case:
    return Case(words, {"images": _images(*images), "kernels": _images(*kernels)}, hint)


def _then(change):
    """Our convolution of changed arguments."""
    return lambda images, kernels: scratch.conv2d(*change(images, kernels))


def _padded(images, kernels):
    size = kernels.shape[2] // 2
    return scratch.conv2d(np.pad(images, ((0, 0), (0, 0), (size, size), (size, size))), kernels)


def _first_channel(images, kernels):
    return scratch.conv2d(images[:, :1], kernels[:, :1])


def _mean_of_window(images, kernels):
    return scratch.conv2d(images, kernels) / kernels[0].size


def _first_kernel(images, kernels):
    return scratch.conv2d(images, np.broadcast_to(kernels[:1], kernels.shape))


def _too_small(images, kernels):
    return scratch.conv2d(images, kernels)[:, :, :-1, :-1]


def _kernels_first(images, kernels):
    return scratch.conv2d(images, kernels).transpose(1, 0, 2, 3)


def _bytes(images, kernels):
    return scratch.conv2d(images, kernels).astype(np.uint8)


CONV2D = Piece(
    "conv2d",
    "conv2d(images, kernels)",
    scratch.conv2d,
    [
        _conv_case("one image of 3 × 3, one kernel of 2 × 2", (1, 1, 3, 3), (1, 1, 2, 2)),
        _conv_case(
            "two channels", (1, 2, 3, 3), (1, 2, 2, 2), "Sum over the channels too: a kernel spans all of them."
        ),
        _conv_case("two kernels", (1, 1, 3, 3), (2, 1, 2, 2), "Each kernel makes a map of its own."),
        _conv_case("a batch of 2", (2, 1, 3, 3), (1, 1, 2, 2), "Each image by itself."),
        _conv_case("an image of 3 × 5", (1, 1, 3, 5), (1, 1, 2, 2), "Rows and columns are counted separately."),
        _conv_case("a kernel of 1 × 3", (1, 1, 4, 4), (1, 1, 1, 3), "A kernel need not be square."),
        _conv_case("a kernel as large as the image", (2, 3, 3, 3), (2, 3, 3, 3), "There is one place for it: 1 × 1."),
        Case(
            "a kernel of 1/9, which makes a mean",
            {"images": _images(1, 1, 4, 4), "kernels": np.full((1, 1, 3, 3), 1 / 9, np.float32)},
            "The results are fractions: the array that takes them has to hold floats.",
        ),
        Case(
            "images of bytes",
            {"images": np.full((1, 1, 2, 2), 200, np.uint8), "kernels": np.ones((1, 1, 2, 2), np.float32)},
            "The sum overflows in uint8, 200 + 200 is 144 there: make floats first.",
        ),
    ],
    [
        Mistake(
            "The kernel is flipped: deep learning's convolution is cross-correlation, and does not flip it.",
            _then(lambda x, k: (x, k[:, :, ::-1, ::-1])),
        ),
        Mistake(
            "The kernel is transposed: its first axis goes with the rows of the image.",
            _then(lambda x, k: (x, k.swapaxes(2, 3))),
        ),
        Mistake("The image is padded: no padding here, the map is smaller than the image.", _padded),
        Mistake("Only the first channel is read: sum over the channels too.", _first_channel),
        Mistake("It is a mean over the window: a sum is wanted.", _mean_of_window),
        Mistake("Every map is that of the first kernel.", _first_kernel),
        Mistake("The last row and column are missing: there are H − kh + 1 places.", _too_small),
        Mistake("The axes are swapped: batch first, then the maps.", _kernels_first),
        Mistake("The result is stored in bytes, which hold 0 to 255 and no sign.", _bytes),
        Mistake(
            "The result is stored in whole numbers, which cut off fractions.",
            lambda images, kernels: scratch.conv2d(images, kernels).astype(int),
        ),
    ],
    hint="Each number is the sum of window × kernel over channels, rows and columns of the window.",
    tolerance=1e-5,
)


def _output_size(size, kernel, stride, padding):
    return (size + 2 * padding - kernel) // stride + 1


OUTPUT_SIZE = Piece(
    "output_size",
    "output_size(size, kernel, stride, padding)",
    _output_size,
    [
        Case("no stride, no padding", dict(size=32, kernel=5, stride=1, padding=0)),
        Case("padding", dict(size=32, kernel=3, stride=1, padding=1), "Padding is added on both sides."),
        Case("stride 2", dict(size=32, kernel=2, stride=2, padding=0)),
        Case(
            "stride 2 that does not fit",
            dict(size=7, kernel=2, stride=2, padding=0),
            "What does not fit is left out: round down, //.",
        ),
        Case(
            "stride and padding",
            dict(size=32, kernel=3, stride=2, padding=1),
            "First the padding, then the kernel, then the stride, rounded down; 1 at the very end.",
        ),
        Case("a kernel as large as the image", dict(size=5, kernel=5, stride=1, padding=0)),
    ],
    [
        Mistake("One place is missing: + 1 at the end.", lambda n, k, s, p: (n + 2 * p - k) // s),
        Mistake(
            "The padding is added once: it belongs on both sides, 2 · padding.", lambda n, k, s, p: (n + p - k) // s + 1
        ),
        Mistake("The padding is forgotten.", lambda n, k, s, p: (n - k) // s + 1),
        Mistake("The stride is forgotten.", lambda n, k, s, p: n + 2 * p - k + 1),
        Mistake("What does not fit is left out: round down, not up.", lambda n, k, s, p: -(-(n + 2 * p - k) // s) + 1),
        Mistake(
            "What does not fit is left out: the division is whole, //.", lambda n, k, s, p: (n + 2 * p - k) / s + 1
        ),
        Mistake(
            "The 1 is added before the division: it belongs at the end.", lambda n, k, s, p: (n + 2 * p - k + 1) // s
        ),
        Mistake("The kernel is forgotten.", lambda n, k, s, p: (n + 2 * p) // s),
        Mistake(
            "The kernel takes away size − 1, not its half on each side.",
            lambda n, k, s, p: (n + 2 * p - 2 * (k // 2)) // s,
        ),
    ],
    hint="(size + 2 · padding − kernel) // stride + 1.",
)


def _batch_norm(images, weight, bias, eps):
    axes = (0, 2, 3)
    mean, variance = images.mean(axes, keepdims=True), images.var(axes, keepdims=True)
    normal = (images - mean) / np.sqrt(variance + eps)
    return normal * weight[None, :, None, None] + bias[None, :, None, None]


def _other_norm(axes=(0, 2, 3), ddof=0, divide=lambda variance, eps: np.sqrt(variance + eps), mean=True, order=1):
    """BatchNorm with something else than the rule says."""

    def code(images, weight, bias, eps):
        centred = images - images.mean(axes, keepdims=True) if mean else images
        normal = centred / divide(images.var(axes, ddof=ddof, keepdims=True), eps)
        weight, bias = weight[None, :, None, None], bias[None, :, None, None]
        return normal * weight + bias if order else (normal + bias) * weight

    return code


def _without_scale(images, weight, bias, eps):
    return _batch_norm(images, np.ones_like(weight), np.zeros_like(bias), eps)


def _on_columns(images, weight, bias, eps):
    return _batch_norm(images, np.ones_like(weight), np.zeros_like(bias), eps) * weight + bias


def _norm_case(words: str, *shape: int, constant: bool = False, hint: str = "") -> Case:
    images = np.full(shape, 3.0) if constant else _images(*shape).astype(np.float64)
    weight, bias = np.linspace(1.5, 0.5, shape[1]), np.linspace(-1, 0.5, shape[1])
    return Case(words, {"images": images, "weight": weight, "bias": bias, "eps": 1e-2}, hint)


BATCH_NORM = Piece(
    "batch_norm",
    "batch_norm(images, weight, bias, eps)",
    _batch_norm,
    [
        _norm_case("two images with two channels of 1 × 2", 2, 2, 1, 2),
        _norm_case("three images with two channels of 2 × 3", 3, 2, 2, 3),
        _norm_case("one image", 1, 3, 2, 2, hint="One image will do as long as it has several pixels."),
        _norm_case(
            "as many channels as columns",
            2,
            2,
            2,
            2,
            hint="weight and bias belong to the channels, axis 1: give them the shape (1, channels, 1, 1).",
        ),
        _norm_case(
            "images of one grey", 2, 2, 1, 1, constant=True, hint="The variance is 0: eps keeps the division alive."
        ),
    ],
    [
        Mistake(
            "Mean and variance are those of all channels together: each channel has its own.",
            _other_norm(axes=(0, 1, 2, 3)),
        ),
        Mistake(
            "Mean and variance run over the batch alone: over rows and columns too, one pair for each channel.",
            _other_norm(axes=0),
        ),
        Mistake(
            "Each image is normalised by itself: the batch is what BatchNorm is named after.", _other_norm(axes=(2, 3))
        ),
        Mistake("This normalises over the channels, as LayerNorm does.", _other_norm(axes=(1, 2, 3))),
        Mistake("It divides by the variance: divide by its square root.", _other_norm(divide=lambda v, eps: v + eps)),
        Mistake(
            "eps belongs inside the square root; here it is outside.",
            _other_norm(divide=lambda v, eps: np.sqrt(v) + eps),
        ),
        Mistake(
            "eps is missing: a channel without contrast is divided by 0.", _other_norm(divide=lambda v, eps: np.sqrt(v))
        ),
        Mistake("The variance is divided by n − 1: in training BatchNorm divides by n.", _other_norm(ddof=1)),
        Mistake("The mean is not subtracted.", _other_norm(mean=False)),
        Mistake("weight and bias are not used: scale and shift come last.", _without_scale),
        Mistake(
            "weight and bias belong to the channels, not to the columns: give them the shape (1, channels, 1, 1).",
            _on_columns,
        ),
        Mistake("The bias is scaled too: first the weight, then the bias.", _other_norm(order=0)),
    ],
    hint="Channel by channel: minus the mean, divided by the root of variance plus eps, times weight, plus bias.",
)

PIECES = (CONV2D, OUTPUT_SIZE, BATCH_NORM)
